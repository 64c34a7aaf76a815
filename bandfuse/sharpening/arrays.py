"""Arrays: gains and sharpened cubes of whole arrays, which are what the streamed ones are, to the
bit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from bandfuse.sharpening.gains.blur import AUTO, Blur, Found, found_blur
from bandfuse.sharpening.gains.gains import Gains
from bandfuse.sharpening.gains.learn import gains_of
from bandfuse.sharpening.gains.sums import added, parts, pixels
from bandfuse.sharpening.gains.tiles import Tiles, ground, tile_on
from bandfuse.sharpening.pairs.pair import Geometry, Pair, reading
from bandfuse.sharpening.pairs.ranges import Range
from bandfuse.spectral.bands import Floats

__all__ = ["Geometry", "learn_gains", "sharpened", "sharpened_with_source"]


def learn_gains(
    cube: Floats,
    sharps: Sequence[Floats],
    geometry: Geometry,
    *,
    blur: Blur = AUTO,
    force: bool = False,
    seed: int = 0,
) -> Gains:
    """Learn what turns a cube and sharp images into a sharpened cube.

    Parameters
    ----------
    cube : (B, h, w), NaN where missing.
    sharps : (Tᵢ, H, W) each, on one grid, NaN where missing.
    geometry : how the grid of the sharp images lies on that of the cube.
    blur : modulation of the Gaussian between them at the Nyquist frequency of the cube's grid;
        None for the plain average; ``auto`` for what explains the cube best.
    force : bands get detail even where that does not help.

    Raises
    ------
    ValueError : there is no pixel at which all are known.
    """
    pair = _pair(cube, sharps, geometry, None)
    every = parts(geometry.coarse, geometry.ratio, len(cube))
    with threadpool_limits(limits=1, user_api="blas"):
        found = found_blur(pair, every, seed) if blur == AUTO else Found(blur)
        pair = replace(pair, blur=found.blur)
        sums = added(pixels(pair, *part) for part in every)
        if sums is None:
            raise ValueError("cube and sharp images have no valid pixel in common")
        return gains_of(sums.known, found.blur, blur_error=found.error, force=force, seed=seed)


def sharpened(cube: Floats, sharps: Sequence[Floats], gains: Gains, geometry: Geometry) -> Floats:
    """(B, H, W) the sharpened cube, NaN where the cube is missing.

    Parameters
    ----------
    cube, sharps, geometry : as for :func:`learn_gains`.
    """
    return sharpened_with_source(cube, sharps, gains, geometry)[0]


def sharpened_with_source(
    cube: Floats, sharps: Sequence[Floats], gains: Gains, geometry: Geometry
) -> tuple[Floats, NDArray[np.uint8]]:
    """The same, and (H, W) what each pixel is made of: MISSING, INTERPOLATED or SHARPENED."""
    pair = _pair(cube, sharps, geometry, gains.blur)
    values = np.empty((len(cube), *geometry.fine))
    source = np.empty(geometry.fine, dtype=np.uint8)
    with threadpool_limits(limits=1, user_api="blas"):
        tiles = Tiles(geometry.fine, len(cube), geometry.ratio)
        for some in tiles.grounds():
            common = ground(pair, gains, *some)
            for rows, cols in tiles.within(some):
                one = tile_on(common, pair, gains, rows, cols)
                place = slice(rows.start, rows.stop), slice(cols.start, cols.stop)
                source[place] = one.source
                np.concatenate(list(one.values()), out=values[:, *place])
    return values, source


def _pair(cube: Floats, sharps: Sequence[Floats], geometry: Geometry, blur: float | None) -> Pair:
    sharp = np.concatenate([np.asarray(one, dtype=np.float64) for one in sharps])
    for values, shape, name in ((cube, geometry.coarse, "cube"), (sharp, geometry.fine, "sharp")):
        if values.shape[1:] != shape:
            raise ValueError(f"{name} has {values.shape[1:]} rows and columns, not {shape}")
    within = Range(0, geometry.fine[0]), Range(0, geometry.fine[1])
    read = reading(np.asarray(cube, dtype=np.float64))
    return Pair(geometry, blur, read, reading(sharp), within)
