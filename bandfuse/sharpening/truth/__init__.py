"""Truth: a sharpened raster beside the true cube, and its scores.

Each file is built on those before it::

    beside       a sharpened cube and the true one, read together
    scoring      their scores, streamed
    pairing      which bands of a true cube are those of a sharpened one
    cube         the cube that was sharpened
    compared     a sharpened raster and the true cube on one grid
    evaluated    the scores of a sharpened raster against the true cube

It imports errors, progress, results, files, spectral, streaming, raster, config, scenes, survey,
pairs, gains, inputs, scores and outputs.
"""
