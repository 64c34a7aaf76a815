"""Applying: weights over rasters.

Each file is built on those before it::

    moving     weights for cubes whose bands lie at other wavelengths
    outputs    names, types and creation options of the output rasters
    fuse       the fused bands of one raster, window by window
    rasters    those of several scenes, by the settings of a command

It imports errors, progress, results, device, files, spectral, model, streaming, moments, raster,
export, config, scenes and survey.
"""
