"""Sharpening: a cube at the resolution of a sharper image, by learned gains.

Each file is built on those before it::

    kernels    the linear maps between a coarse and a fine grid
    pair       parts of a cube and of a sharp image, on the grids of both
    gains      what is learned, and which bands get detail
    sums       what learning needs, by block, from one pass
    learn      gains from sums over blocks
    blur       the blur that explains the cube best
    sharpen    the sharpened cube, tile by tile
    arrays     all of it on whole arrays

On arrays::

    geometry = Geometry.of_ratio(sharp.shape[1:], 4)        # or of two Axis
    gains = learn_gains(cube, [sharp], geometry)            # (B, h, w), (T, H, W) → Gains
    result = sharpened(cube, [sharp], gains, geometry)      # (B, H, W)

It imports spectral, streaming and raster.
"""
