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
    scores     how far a sharpened cube is from a true one; what is said without one
    baselines  what else sharpens a cube
    reduced    everything once more one scale down, where the cube is the truth
    verdict    what the sharpening is worth, in scores
    sentences  the same in words

On arrays::

    geometry = Geometry.of_ratio(sharp.shape[1:], 4)        # or of two Axis
    gains = learn_gains(cube, [sharp], geometry)            # (B, h, w), (T, H, W) → Gains
    result = sharpened(cube, [sharp], gains, geometry)      # (B, H, W)

It imports results, spectral, streaming, raster and solve.
"""
