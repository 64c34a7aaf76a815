"""Applying: weights over rasters.

Each file is built on those before it::

    moving     weights for cubes whose bands lie at other wavelengths
    part       the part of a scene that is written
    outputs    names, types and creation options of the output rasters
    fuse       the fused bands of one raster, window by window

It imports errors, progress, results, files, spectral, model, streaming, moments, raster, export,
config, scenes and survey.
"""
