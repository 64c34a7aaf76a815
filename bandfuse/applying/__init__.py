"""Applying: weights over rasters.

Each file is built on those before it::

    moving     weights for cubes whose bands lie at other wavelengths
    outputs    names, types and creation options of the output rasters
    fuse       the fused bands of one raster, window by window
    fused      pixels seen through a fusion, for scores of outputs
    classify   the classes of fused pixels beside those of labels

It imports errors, progress, results, files, spectral, model, streaming, moments, raster, export,
config, scenes, survey, solve and trust.
"""
