"""Gains: what is learned of a pair, its file, and the sharpened cube that they make, part by part.

Each file is built on those before it::

    gains        what is learned, and which bands get detail
    gainsfile    the weights file of a sharpening
    sums         what learning needs, by block, from one pass
    ridged       least squares with a ridge, folds and resamples
    weights      the sharp image as a sum of the cube's bands
    learn        gains from sums over blocks
    blur         the blur that explains the cube best
    tiles        the sharpened cube, tile by tile
    streamed     gains learned from files, and the sharpened cube written window by window

It imports errors, progress, spectral, model, streaming, raster, scenes and pairs.
"""
