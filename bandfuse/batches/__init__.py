"""Batches: many scenes by one file of settings; resumable, by one process, several, or a Dask cluster.

Order inside the room, from the ground up; each file imports only from those before it::

    settings   the batch file: its models, checked with file and line
    scenes     rules that find scenes and what belongs to them
    plan       jobs × scenes → items of work
    marks      files as they were, and whether they still are
    journal    what happened, one line per event, on the disk before anything builds on it
    work       one item, done by whichever process
    crew       who does the work: this process or several
    cluster    the workers of a Dask scheduler as a crew
    run        items in order of what they need; resume, retry, failures apart
    summary    batch.json, batch.csv, batch.html
"""
