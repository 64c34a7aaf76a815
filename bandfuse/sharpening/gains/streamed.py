"""Streamed: gains learned from files, and the sharpened cube written window by window."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from threadpoolctl import threadpool_limits

from bandfuse.errors import MismatchError
from bandfuse.progress import Progress, during
from bandfuse.raster import Encoding, Lost, Writer
from bandfuse.sharpening.gains.blur import AUTO, Blur, Found, found_blur
from bandfuse.sharpening.gains.gains import Gains
from bandfuse.sharpening.gains.learn import gains_of
from bandfuse.sharpening.gains.sums import added, parts, pixels
from bandfuse.sharpening.gains.tiles import (
    INTERPOLATED,
    MISSING,
    SHARPENED,
    TILE_COLS,
    Tiles,
    grounds,
    tile_on,
)
from bandfuse.sharpening.gains.weights import weight_intervals
from bandfuse.sharpening.pairs.kernels import ROUNDS, TAPS
from bandfuse.sharpening.pairs.pair import Pair
from bandfuse.sharpening.pairs.ranges import place_of, window_of
from bandfuse.streaming.budget import Effort
from bandfuse.streaming.stream import each_window
from bandfuse.streaming.windows import Window

COPIES = 3
"""How often the coarse pixels of a ground are held at once, at most."""


def learned(
    pair: Pair,
    *,
    blur: Blur,
    effort: Effort,
    progress: Progress,
    force: bool = False,
    seed: int = 0,
) -> Gains:
    """Learn gains from the whole of a pair.

    Raises
    ------
    MismatchError : there is no pixel at which both are known, or too few blocks of them; or
        the sharp image does not vary.
    """
    with threadpool_limits(limits=1, user_api="blas"):
        return _learned(pair, blur, effort, progress, force, seed)


def _learned(
    pair: Pair, blur: Blur, effort: Effort, progress: Progress, force: bool, seed: int
) -> Gains:
    geometry = pair.geometry
    every = parts(geometry.coarse, geometry.ratio, pair.bands)
    try:
        if blur == AUTO:
            with during(progress, "find the blur"):
                found = found_blur(pair, every, seed)
        else:
            found = Found(blur)
    except ValueError as error:
        raise _apart() from error
    blurred = replace(pair, blur=found.blur)
    passed = each_window(
        [window_of(*place) for place in every],
        lambda window: pixels(blurred, *place_of(window)),
        threads=effort.threads,
        progress=progress,
        label="learn",
    )
    sums = added(some for _, some in passed)
    if sums is None or len(sums.known.plain) < 2:
        raise _apart()
    _require_enough(int(sums.known.both[:, 0, 0].sum()), sums.known.detail.shape[1])
    if not sums.known.varies.any():
        raise MismatchError(
            "the sharp image does not vary where the cube is valid",
            got="the same value everywhere",
            expected="an image of the place of the cube, with more detail",
            remedy="Look at it with bandfuse check: is that value its nodata? --nodata sharp=V.",
        )
    gains = gains_of(sums.known, found.blur, blur_error=found.error, force=force, seed=seed)
    low, high = weight_intervals(sums.known.without_constant().by_cube, seed)
    return replace(gains, weight_low=low, weight_high=high)


LEAST, ENOUGH = 3, 20
"""Pixels of the cube for each number that is learned of a band: so many at least, and with so many
there is nothing to say."""


def least_pixels(sharp: int, each: int = LEAST) -> int:
    """Pixels of the cube that it takes with so many sharp bands: of a band a gain for each of them
    and an offset is learned."""
    return each * (sharp + 1)


def _require_enough(pixels: int, sharp: int) -> None:
    """Refuse to learn from too few pixels.

    Raises
    ------
    MismatchError
    """
    if pixels < least_pixels(sharp):
        raise MismatchError(
            "the cube and the sharp image have too few valid pixels in common to learn from",
            got=f"{pixels} pixels of the cube",
            expected=f"at least {least_pixels(sharp)} for a sharp image of {sharp} "
            f"band{'s' * (sharp > 1)}",
            remedy="Give a larger part of the scene, or --weights of another run.",
        )


def _apart() -> MismatchError:
    return MismatchError(
        "the cube and the sharp image have too few valid pixels in common to learn from",
        expected="at least two blocks of the scene in which both are valid",
        remedy="Look at both with bandfuse check: nodata, clouds, and where they lie.",
    )


@dataclass(frozen=True)
class Counts:
    """How many pixels of a result are ``sharpened``, ``interpolated`` and ``missing``; and the
    values that were lost."""

    sharpened: int
    interpolated: int
    missing: int
    lost: Lost


def threads_for(effort: Effort, pair: Pair, bands: int) -> int:
    """How many threads may work at once in the memory, at least one: each has a ground, a tile and
    the tile that it wrote before."""
    tiles = Tiles(pair.geometry.fine, bands, pair.geometry.ratio)
    ground = tiles.ground_at(0, 0)
    around = pair.around(*(axis.under(one) for axis, one in zip(pair.axes, ground, strict=True)))
    coarse = math.prod(one.wider(TAPS + ROUNDS).size for one in around)
    one = 8 * bands * coarse * COPIES + 8 * bands * tiles.rows * TILE_COLS * 2
    return max(1, min(effort.threads, effort.memory * 2**20 // one))


def write_tiles(
    pair: Pair,
    gains: Gains,
    encoding: Encoding,
    writer: Writer,
    effort: Effort,
    progress: Progress,
    *,
    source_band: bool = False,
) -> Counts:
    """Write the sharpened cube, tile by tile; ``source_band``: with what each pixel is made of as
    one more band."""
    bands = len(gains.gain)
    tiles = Tiles(pair.geometry.fine, bands, pair.geometry.ratio)
    threads = threads_for(effort, pair, bands)
    on = grounds(pair, gains, tiles, threads + 1)
    lost: list[Lost] = []  # appended to by the threads

    def work(window: Window) -> tuple[np.ndarray, np.ndarray]:
        place = place_of(window)
        one = tile_on(on(place), pair, gains, *place)
        out = np.empty((bands + source_band, window.rows, window.cols), dtype=encoding.dtype)
        at = 0
        for values in one.values():
            out[at : at + len(values)] = encoding(values)
            lost.append(encoding.lost(values))
            at += len(values)
        if source_band:
            out[at] = encoding(one.source.astype(np.float64))
        return out, np.bincount(one.source.ravel(), minlength=3)

    total = np.zeros(3, dtype=np.int64)
    for window, (values, count) in each_window(
        [window_of(*place) for place in tiles.ordered(threads)],
        work,
        threads=threads,
        progress=progress,
        label="sharpen",
    ):
        writer(window, values)
        total += count
    sharpened, interpolated, missing = (
        int(total[kind]) for kind in (SHARPENED, INTERPOLATED, MISSING)
    )
    return Counts(sharpened, interpolated, missing, sum(lost, Lost(0, 0)))
