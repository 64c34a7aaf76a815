"""Inputs: from the settings to a cube and sharp images that are opened, and lie on each other.

Each file is built on those before it::

    grids           how sharp images lie on a cube, and the grid of the result
    opening         from the settings to a described cube and sharp images
    sources         what reads ranges of rows and columns of both
    registration    whether sharp images are displaced, and what is done then

It imports errors, results, spectral, streaming, raster, config, scenes, pairs and gains.
"""
