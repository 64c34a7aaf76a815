"""Runs: the run folder: how it is written, read and compared.

Each file is built on those before it::

    block_errors    outputs beside targets for every block
    read            the result files of a run folder
    trust_rows      what a training says of trust, for the report
    separation      what a training says of classes, for the report
    verdict         how good a training is, in plain words
    page            the files that people read
    moments_rows    what is said of files of moments
    versions        of the libraries that compute, and their linear algebra
    record          the model behind report.json and weights.csv
    folder          what a run folder holds, and how it is written

It imports errors, progress, results, goals, device, files, spectral, model, report, streaming,
moments, raster, solve, export, config, scenes, survey, trust, applying and training.
"""
