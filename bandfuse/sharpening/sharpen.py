"""Sharpen: the sharpened cube, tile by tile."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bandfuse.sharpening.gains import Gains
from bandfuse.sharpening.kernels import ROUNDS, TAPS, Mask, Range
from bandfuse.sharpening.pair import Known, Pair, Place
from bandfuse.spectral.bands import Floats

TILE_COLS, TILE_ROWS = 256, ((128, 256), (256, 128))
"""Columns of the unit of computation, on the fine grid; and its rows for cubes of so many bands at
most, 64 for cubes of more. A tile is always computed as a whole, so its bits never depend on how
the image is cut for reading."""

LEAST_ROWS = 64

CHUNK = 16
"""Bands that are brought to the fine grid at once."""

MISSING, INTERPOLATED, SHARPENED = 0, 1, 2
"""Of what a pixel of the result is made."""


@dataclass(frozen=True)
class Tiles:
    """The tiles of a result of (rows, columns) and so many bands, row by row."""

    fine: tuple[int, int]
    bands: int

    @property
    def rows(self) -> int:
        """Rows of a tile."""
        return next((rows for most, rows in TILE_ROWS if self.bands <= most), LEAST_ROWS)

    def __iter__(self) -> Iterator[Place]:
        for row in range(0, self.fine[0], self.rows):
            for col in range(0, self.fine[1], TILE_COLS):
                yield (
                    Range(row, min(row + self.rows, self.fine[0])),
                    Range(col, min(col + TILE_COLS, self.fine[1])),
                )


@dataclass(frozen=True, eq=False)
class Tile:
    """One tile of ``y = up(x + P (x − low(u))) + G d``, where ``d = t − up(low(t))`` is the detail
    of the sharp image, ``u = up(x) + G d`` the cube with it, and P the projection on the subspace
    of the cube that is not noise.

    ``coarse`` (B, ·, ·): the argument of the last ``up``; ``up``: its weights along rows and
    columns. ``detail`` (T, n, m). ``valid`` (n, m): where the cube is known. ``source`` (n, m): of
    what each pixel is made."""

    gain: Floats
    coarse: Floats
    up: tuple[Floats, Floats]
    detail: Floats
    valid: Mask
    source: NDArray[np.uint8]

    def values(self) -> Iterator[Floats]:
        """(b, n, m) a few bands after the other, NaN where the cube is missing."""
        down, across = self.up
        for at in range(0, len(self.coarse), CHUNK):
            some = slice(at, at + CHUNK)
            fine = np.matmul(np.matmul(down, self.coarse[some]), across.T)
            fine += _times(self.gain[some], self.detail)
            fine[:, ~self.valid] = np.nan
            yield fine


def tile(pair: Pair, gains: Gains, rows: Range, cols: Range) -> Tile:
    """Compute one tile."""
    under = pair.geometry.rows.under(rows), pair.geometry.cols.under(cols)
    needed = under[0].wider(TAPS + ROUNDS), under[1].wider(TAPS + ROUNDS)
    seen = pair.seen(*needed)
    seen = _hull(seen[0], rows), _hull(seen[1], cols)
    detail = pair.detail(*seen)
    around = pair.around(*needed)
    cube = pair.cube(*around)
    residual = _residual(pair, gains, cube, detail, seen, needed)
    here = _at(cube.valid, around, needed)
    residual += _at(cube.values, around, needed)
    residual[:, ~here] = np.nan
    valid = pair.valid(cube, around, rows, cols)
    there = _at(detail.valid, seen, (rows, cols))
    return Tile(
        gains.gain,
        Known.of(residual).cut(ROUNDS).values,
        pair.up((rows, cols), under),
        np.ascontiguousarray(_at(detail.values, seen, (rows, cols))),
        valid,
        np.where(valid, np.where(there, SHARPENED, INTERPOLATED), MISSING).astype(np.uint8),
    )


def _residual(
    pair: Pair, gains: Gains, cube: Known, detail: Known, seen: Place, needed: Place
) -> Floats:
    """(B, n, m) what the cube with detail is off the cube, as far as it is no noise. Zero where the
    detail is not known."""
    lowered = pair.lowered(detail, seen, *needed)
    residual = pair.missed(cube, *needed)
    residual -= _times(gains.gain, lowered.values)
    residual[:, ~lowered.valid] = 0.0
    return _times(gains.lift, _times(gains.drop, residual))


def _hull(a: Range, b: Range) -> Range:
    return Range(min(a.start, b.start), max(a.stop, b.stop))


def _at(values: np.ndarray, has: Place, wanted: Place) -> np.ndarray:
    """A part of (…, n, m) pixels."""
    return values[..., wanted[0].within(has[0]), wanted[1].within(has[1])]


def _times(matrix: Floats, values: Floats) -> Floats:
    """(K, n, m) a (K, D) matrix times (D, n, m) pixels."""
    result: Floats = (matrix @ values.reshape(len(values), -1)).reshape(-1, *values.shape[1:])
    return result
