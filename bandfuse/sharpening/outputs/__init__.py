"""Outputs: the folder of a sharpening: its raster, weights, report and page.

Each file is built on those before it::

    sentences    the verdict in words
    looks        pictures, spectra and the map of local gain
    page         the verdict and the page of a sharpening
    run          the folder of a sharpening, and what is said of it

It imports errors, progress, results, files, spectral, model, report, streaming, raster, config,
applying, pairs, gains, inputs and scores.
"""
