"""Sharpening: a cube at the resolution of a sharper image, by learned gains.

Each file is built on those before it::

    kernels        the linear maps between a coarse and a fine grid
    kept           what is made once, of which the last is kept
    known          pixels of which some are missing, and their means on a coarser grid
    pair           parts of a cube and of a sharp image, on the grids of both
    moved          a sharp image through a field of displacements
    field          how a sharp image lies on a cube, from looks at parts of both
    gains          what is learned, and which bands get detail
    sums           what learning needs, by block, from one pass
    learn          gains from sums over blocks
    blur           the blur that explains the cube best
    sharpen        the sharpened cube, tile by tile
    arrays         all of it on whole arrays
    grids          how sharp images lie on a cube, and the grid of the result
    opening        from the settings to a described cube and sharp images
    sources        what reads ranges of rows and columns of both
    registration   whether sharp images are displaced, and what is done then
    streamed       gains learned from files, and the sharpened cube written window by window
    gainsfile      the weights file of a sharpening
    hypercomplex   Q2n, which compares the spectra of a square as numbers of 2^n parts
    scores         how far a sharpened cube is from a true one; what is said without one
    baselines      what else sharpens a cube
    reduced        everything once more one scale down, where the cube is the truth
    worth          what a sharpened cube is worth beside the interpolated one
    verdict        what the sharpening is worth, in scores
    sentences      the same in words
    looks          pictures, spectra and the map of local gain
    page           the verdict and the page of a sharpening
    run            the folder of a sharpening, and what is said of it
    scoring        a sharpened cube beside the true one, streamed
    pairing        which bands of a true cube are those of a sharpened one
    compared       a sharpened raster and the true cube on one grid
    evaluated      the scores of a sharpened raster against the true cube

On arrays::

    geometry = Geometry.of_ratio(sharp.shape[1:], 4)        # or of two Axis
    gains = learn_gains(cube, [sharp], geometry)            # (B, h, w), (T, H, W) → Gains
    result = sharpened(cube, [sharp], gains, geometry)      # (B, H, W)

It imports errors, progress, results, files, spectral, model, report, streaming, raster, solve,
config, scenes, survey and applying.
"""
