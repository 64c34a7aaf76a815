"""Interop: bandfuse's fusions beside numpy, torch, dask, xarray and scikit-learn.

Each file is built on those before it::

    spatial_ref     where a DataArray lies, as rioxarray and GDAL have it
    arrays          one fusion over arrays of any of these libraries
    image           a scene in Python; its pixels are read when they are asked for
    array_scenes    arrays as files in memory
    python_words    errors, said of the parameters of a Python call
    training        learning from arrays, by the code that learns from files
    estimator       learning under scikit-learn's contract

It imports errors, progress, summary, results, goals, device, needs, files, spectral, model,
streaming, raster, config, scenes, optimise, trust, training and runs.
"""
