"""Applying: weights over rasters.

Each file is built on those before it::

    moving       weights for cubes whose bands lie at other wavelengths
    part         the part of a scene that is written
    outputs      names, types and creation options of the output rasters
    products     where the products are computed
    hidden       pixels that are read as missing, and written as nodata
    forms        squared sums over the bands of pixels, as few products in float32
    uncertain    errors of fused cells, and how far their spectra lie outside
    compression  whether it is worth the time to compress a raster
    fuse         the fused bands of one raster, window by window
    rasters      those of several scenes, by the settings of a command
    fused        pixels seen through a fusion, for scores of outputs
    classify     the classes of fused pixels beside those of labels

It imports errors, progress, results, device, files, spectral, model, streaming, moments, raster,
solve, export, config, scenes, survey and trust.
"""
