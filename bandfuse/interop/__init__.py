"""Interop: bandfuse's fusions beside numpy, torch, dask, xarray and scikit-learn.

Each file is built on those before it::

    spatial_ref  where a DataArray lies, as rioxarray and GDAL have it
    arrays       one fusion over arrays of any of these libraries
    image        a scene in Python; its pixels are read when they are asked for
    estimator    learning under scikit-learn's contract

It imports errors, progress, summary, goals, spectral, model, streaming, moments, raster, solve,
config, scenes, optimise, survey, trust and training.
"""
