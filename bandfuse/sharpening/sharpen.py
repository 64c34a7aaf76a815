"""Sharpen: the sharpened cube, tile by tile."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bandfuse.sharpening.gains import Gains
from bandfuse.sharpening.kernels import ROUNDS, TAPS, Range
from bandfuse.sharpening.pair import Known, Pair, Place
from bandfuse.spectral.bands import Floats

TILE = 256
"""Rows and columns of the unit of computation, on the fine grid. A tile is always computed as a
whole, so its bits never depend on how the image is cut for reading."""

MISSING, INTERPOLATED, SHARPENED = 0, 1, 2
"""Of what a pixel of the result is made."""


@dataclass(frozen=True, eq=False)
class Tile:
    """``values`` (B, n, m), NaN where the cube is missing, and ``source`` (n, m): of what they are
    made."""

    values: Floats
    source: NDArray[np.uint8]


def tiles(fine: tuple[int, int]) -> Iterator[Place]:
    """Rows and columns of all tiles of a result, row by row."""
    for row in range(0, fine[0], TILE):
        for col in range(0, fine[1], TILE):
            yield Range(row, min(row + TILE, fine[0])), Range(col, min(col + TILE, fine[1]))


def tile(pair: Pair, gains: Gains, rows: Range, cols: Range) -> Tile:
    """One tile of ``y = up(x + P (x − low(u))) + G d``, where ``d = t − up(low(t))`` is the detail
    of the sharp image, ``u = up(x) + G d`` the cube with it, and P the projection on the subspace
    of the cube that is not noise."""
    under = pair.geometry.rows.under(rows), pair.geometry.cols.under(cols)
    needed = under[0].wider(TAPS + ROUNDS), under[1].wider(TAPS + ROUNDS)
    seen = pair.seen(*needed)
    seen = _hull(seen[0], rows), _hull(seen[1], cols)
    detail = pair.detail(*seen)
    lowered = pair.lowered(detail, seen, *needed)
    around = pair.around(*needed)
    cube = pair.cube(*around)
    residual = pair.missed(cube, *needed) - _times(gains.gain, lowered.values)
    residual = np.where(lowered.valid, residual, 0.0)
    residual = _times(gains.lift, _times(gains.drop, residual))
    corrected = np.where(
        _at(cube.valid, around, needed), _at(cube.values, around, needed) + residual, np.nan
    )
    known = Known.of(corrected).cut(ROUNDS)
    smooth = pair.raised(known.values, under, rows, cols)
    fine = _at(detail.values, seen, (rows, cols))
    valid = pair.valid(cube, around, rows, cols)
    values = np.where(valid, smooth + _times(gains.gain, fine), np.nan)
    there = _at(detail.valid, seen, (rows, cols))
    source = np.where(valid, np.where(there, SHARPENED, INTERPOLATED), MISSING).astype(np.uint8)
    return Tile(values, source)


def _hull(a: Range, b: Range) -> Range:
    return Range(min(a.start, b.start), max(a.stop, b.stop))


def _at(values: np.ndarray, has: Place, wanted: Place) -> np.ndarray:
    """A part of (…, n, m) pixels."""
    return values[..., wanted[0].within(has[0]), wanted[1].within(has[1])]


def _times(matrix: Floats, values: Floats) -> Floats:
    """(K, n, m) a (K, D) matrix times (D, n, m) pixels."""
    result: Floats = (matrix @ values.reshape(len(values), -1)).reshape(-1, *values.shape[1:])
    return result
