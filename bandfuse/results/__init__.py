"""Results: what commands return. ``--json``, the tables of the terminal and the report are views of
these models.

Each file is built on those before it::

    base        the base of all results, and rows that several of them share
    training    what a training says of itself, and what it would do
    runs        what is made of runs: pages, comparisons, exports
    rasters     what is said of rasters, and of those that are written or scored
    sharpening  what a sharpening learned and wrote
    batches     what a batch did, or would do
    others      help, demo, sensors, configs

It imports errors and summary.
"""
