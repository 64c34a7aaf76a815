"""Batches: many scenes by one file of settings; resumable, by one process, several, or a Dask
cluster.

Each file is built on those before it::

    doubts          items that ended with a doubtful result
    settings        the batch file, checked with file and line
    scenes          rules that find scenes and what belongs to them
    item_files      which files of its scenes an item is given
    plan            jobs × scenes → items of work
    fingerprints    files as they were, and whether they still are
    journal         what happened, one line per event, on the disk before anything builds on it
    cache           what was gathered of scenes, kept so that each is read once
    item            one item, done by whichever process
    workers         who does the work: this process or several
    dask_workers    the workers of a Dask scheduler
    runner          items in order of what they need; resume, retry, failures apart
    summary         batch.json, batch.csv, batch.html
    batch           from a batch file to results

It imports errors, progress, results, goals, files, spectral, model, report, streaming, raster,
config, scenes, survey, training and tools.
"""
