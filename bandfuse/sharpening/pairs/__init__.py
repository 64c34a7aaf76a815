"""Pairs: a cube and a sharp image, each on the grid of the other, read by rows and columns.

Each file is built on those before it::

    ranges     pixels along one axis, and rows and columns together
    kernels    the linear maps between a coarse and a fine grid
    kept       what is made once, of which the last is kept
    known      pixels of which some are missing, and their means on a coarser grid
    pair       parts of a cube and of a sharp image, on the grids of both
    moved      a sharp image through a field of displacements
    field      how a sharp image lies on a cube, from looks at parts of both

It imports spectral, streaming, raster and scenes.
"""
