"""Sharpening: a cube at the resolution of a sharper image, by learned gains.

Each folder or file is built on those before it::

    pairs      a cube and a sharp image, each on the grid of the other
    gains      what is learned of a pair, its file, and the sharpened cube that they make
    arrays     all of it on whole arrays
    inputs     from the settings to a cube and sharp images that lie on each other
    scores     how far a sharpened cube is from a true one, and what it is worth
    outputs    the folder of a sharpening, with its page
    truth      a sharpened raster beside the true cube

On arrays, by what ``arrays`` holds::

    geometry = Geometry.of_ratio(sharp.shape[1:], 4)        # or of two Axis
    gains = learn_gains(cube, [sharp], geometry)            # (B, h, w), (T, H, W) → Gains
    result = sharpened(cube, [sharp], gains, geometry)      # (B, H, W)

It imports errors, progress, results, files, spectral, model, report, streaming, raster, solve,
config, scenes, survey and applying.
"""
