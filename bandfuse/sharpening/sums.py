"""Sums: what learning needs of a cube and a sharp image, by block, from one pass."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bandfuse.sharpening.kernels import Range
from bandfuse.sharpening.pair import Pair
from bandfuse.spectral.bands import Floats
from bandfuse.streaming.blocks import BlockGrid, blocks

SIDE = 64
"""Rows and columns of the coarse pixels that are computed at once."""

LEAST_SIDE, FINE_SIDE = 8, 1024
"""At least so many; and fewer where they would be more fine pixels than that."""

PER_SIDE = 8
"""Blocks along each side of a scene."""


@dataclass(frozen=True, eq=False)
class Sums:
    """Sums over the pixels of each of N blocks, of values less ``shift``. They add.

    ``both`` (N, 1 + B + T, 1 + B + T): products of [1, cube, sharp]. ``detail`` (N, T, T),
    ``cross`` (N, T, B) and ``plain`` (N, B): products of the sharp image's detail as the cube sees
    it, with itself and with what interpolation misses, and squares of that."""

    shift: Floats
    both: Floats
    detail: Floats
    cross: Floats
    plain: Floats

    def __add__(self, other: Sums) -> Sums:
        return Sums(
            self.shift,
            self.both + other.both,
            self.detail + other.detail,
            self.cross + other.cross,
            self.plain + other.plain,
        )

    @property
    def bands(self) -> int:
        """B."""
        return int(self.plain.shape[1])

    @property
    def filled(self) -> NDArray[np.bool_]:
        """(N,) which blocks hold pixels."""
        some: NDArray[np.bool_] = self.both[:, 0, 0] > 0
        return some

    @property
    def varies(self) -> NDArray[np.bool_]:
        """(T,) whether each sharp band varies."""
        both = self.both.sum(axis=0)
        n, b = max(float(both[0, 0]), 1.0), self.bands
        mean = both[0, 1 + b :] / n
        variance = np.diag(both)[1 + b :] / n - mean**2
        some: NDArray[np.bool_] = variance > np.square(CONSTANT * (self.shift[b:] + mean))
        return some

    def without_constant(self) -> Sums:
        """With sharp bands that do not vary set to their mean, so that rounding is no detail."""
        constant = np.flatnonzero(~self.varies)
        if not constant.size:
            return self
        both, detail, cross = self.both.copy(), self.detail.copy(), self.cross.copy()
        at = 1 + self.bands + constant
        both[:, at], both[:, :, at] = 0.0, 0.0
        detail[:, constant], detail[:, :, constant], cross[:, constant] = 0.0, 0.0, 0.0
        return Sums(self.shift, both, detail, cross, self.plain)

    @property
    def known(self) -> Sums:
        """Of the blocks that hold pixels."""
        some = self.filled
        return Sums(
            self.shift, self.both[some], self.detail[some], self.cross[some], self.plain[some]
        )


CONSTANT = 1e-6
"""A band whose standard deviation is a smaller part of its values is constant."""


def parts(coarse: tuple[int, int], ratio: float = 1.0) -> list[tuple[Range, Range]]:
    """Parts of a cube, row by row; smaller ones where more fine pixels lie on each of its own."""
    side = max(LEAST_SIDE, min(SIDE, int(FINE_SIDE / ratio)))
    return [
        (Range(row, min(row + side, coarse[0])), Range(col, min(col + side, coarse[1])))
        for row in range(0, coarse[0], side)
        for col in range(0, coarse[1], side)
    ]


def numbers(grid: BlockGrid, rows: Range, cols: Range) -> NDArray[np.int64]:
    """(n, m) number of the block of each pixel."""
    row = np.searchsorted(grid.row_edges, np.arange(rows.start, rows.stop), side="right") - 1
    col = np.searchsorted(grid.col_edges, np.arange(cols.start, cols.stop), side="right") - 1
    number: NDArray[np.int64] = row[:, None] * (len(grid.col_edges) - 1) + col
    return number


@dataclass(frozen=True, eq=False)
class Pixels:
    """n coarse pixels at which both are known: ``block`` (n,), ``cube`` (B, n), ``sharp`` (T, n),
    and where they are asked for ``missed`` (B, n) and ``detail`` (T, n)."""

    block: NDArray[np.int64]
    cube: Floats
    sharp: Floats
    missed: Floats
    detail: Floats


def pixels(pair: Pair, rows: Range, cols: Range) -> Pixels:
    """The pixels of one part of a cube."""
    around = pair.around(rows, cols)
    cube, sharp = pair.cube(*around), pair.reduced(rows, cols)
    detail = pair.lowered(rows, cols)
    missed = pair.missed(cube, rows, cols)
    here = rows.within(around[0]), cols.within(around[1])
    valid = cube.valid[here] & sharp.valid & detail.valid
    return Pixels(
        _blocks(pair, rows, cols)[valid],
        cube.values[:, *here][:, valid],
        sharp.values[:, valid],
        missed[:, valid],
        detail.values[:, valid],
    )


def plain_pixels(pair: Pair, rows: Range, cols: Range) -> Pixels:
    """The same without detail, of which nothing is asked: zero."""
    cube, sharp = pair.cube(rows, cols), pair.reduced(rows, cols)
    valid = cube.valid & sharp.valid
    x, t = cube.values[:, valid], sharp.values[:, valid]
    return Pixels(_blocks(pair, rows, cols)[valid], x, t, np.zeros_like(x), np.zeros_like(t))


def _blocks(pair: Pair, rows: Range, cols: Range) -> NDArray[np.int64]:
    return numbers(blocks(pair.geometry.coarse, PER_SIDE), rows, cols)


def summed(some: Pixels, shift: Floats, count: int) -> Sums:
    """Sums of pixels in so many blocks."""
    b, t = len(some.cube), len(some.sharp)
    both = np.zeros((count, 1 + b + t, 1 + b + t))
    detail, cross = np.zeros((count, t, t)), np.zeros((count, t, b))
    plain = np.zeros((count, b))
    every = np.concatenate([some.cube, some.sharp]) - shift[:, None]
    every = np.concatenate([np.ones((1, every.shape[1])), every])
    for number in np.unique(some.block):
        here = some.block == number
        v, d, e = every[:, here], some.detail[:, here], some.missed[:, here]
        both[number], detail[number], cross[number] = v @ v.T, d @ d.T, d @ e.T
        plain[number] = np.square(e).sum(axis=1)
    return Sums(shift, both, detail, cross, plain)


def added(every: Iterable[Pixels], count: int = PER_SIDE**2) -> Sums | None:
    """Sums over pixels; None where there are none."""
    total: Sums | None = None
    for some in every:
        if not len(some.block):
            continue
        if total is None:
            shift = np.concatenate([some.cube.mean(axis=1), some.sharp.mean(axis=1)])
            total = summed(some, shift, count)
        else:
            total = total + summed(some, total.shift, count)
    return total
