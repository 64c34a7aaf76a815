"""Sums: what learning needs of a cube and a sharp image, by block, from one pass."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from bandfuse.scenes.displacement import complete
from bandfuse.sharpening.pairs.kernels import ROUNDS, filled
from bandfuse.sharpening.pairs.known import Known
from bandfuse.sharpening.pairs.pair import Pair, held
from bandfuse.sharpening.pairs.ranges import Place, Range
from bandfuse.spectral.bands import Floats
from bandfuse.streaming.blocks import BlockGrid, blocks

SIDE = 64
"""Rows and columns of the coarse pixels that are computed at once."""

LEAST_SIDE, FINE_SIDE = 8, 1024
"""At least so many; and fewer where they would be more fine pixels than that."""

PER_SIDE, LEAST_PER_SIDE, ROOM = 8, 3, 96 * 2**20
"""Blocks along each side of a scene: at most so many, at least so many, and otherwise no more than
their sums have room for."""

HELD = 64 * 2**20
"""Bytes of a sharp image that are held while several blurs are tried; more are read again."""

MANY_BANDS = 256
"""Of more bands fewer pixels are computed at once."""


@dataclass(frozen=True, eq=False)
class Sums:
    """Sums over the pixels of each of N blocks, of values less ``shift``. Pixels can be added.

    ``both`` (N, 1 + B + T, 1 + B + T): products of [1, cube, sharp]. ``detail`` (N, T, T),
    ``cross`` (N, T, B) and ``plain`` (N, B): products of the sharp image's detail as the cube sees
    it, with itself and with what interpolation misses, and squares of that."""

    shift: Floats
    both: Floats
    detail: Floats
    cross: Floats
    plain: Floats

    @classmethod
    def none(cls, shift: Floats, bands: int, count: int) -> Sums:
        """Of no pixels, in so many blocks."""
        every, sharp = 1 + len(shift), len(shift) - bands
        shapes = (every, every), (sharp, sharp), (sharp, bands), (bands,)
        return cls(shift, *(np.zeros((count, *shape)) for shape in shapes))

    def add(self, some: Pixels) -> None:
        """Add the pixels of some blocks."""
        every = some.less(self.shift)
        for number in np.unique(some.block):
            here = some.block == number
            v, d, e = every[:, here], some.detail[:, here], some.missed[:, here]
            self.both[number] += v @ v.T
            self.detail[number] += d @ d.T
            self.cross[number] += d @ e.T
            self.plain[number] += np.square(e).sum(axis=1)

    @property
    def bands(self) -> int:
        """B."""
        return int(self.plain.shape[1])

    @property
    def by_cube(self) -> CubeSums:
        """What tells how the cube explains the sharp image."""
        at = np.arange(1 + self.bands, self.both.shape[1])
        return CubeSums(self.shift, self.both[:, : 1 + self.bands], self.both[:, at, at])

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
        if some.all():
            return self
        return Sums(
            self.shift, self.both[some], self.detail[some], self.cross[some], self.plain[some]
        )


@dataclass(frozen=True, eq=False)
class CubeSums:
    """What it takes to explain T sharp bands by the B bands of a cube: sums over the pixels of each
    of N blocks, of values less ``shift``.

    ``products`` (N, 1 + B, 1 + B + T) of [1, cube] with [1, cube, sharp]; ``squares`` (N, T) of the
    sharp bands, whose products with one another are not asked for: there can be thousands."""

    shift: Floats
    products: Floats
    squares: Floats

    @classmethod
    def none(cls, shift: Floats, bands: int, count: int) -> CubeSums:
        """Of no pixels, in so many blocks."""
        shape = count, 1 + bands, 1 + len(shift)
        return cls(shift, np.zeros(shape), np.zeros((count, len(shift) - bands)))

    def add(self, some: Pixels) -> None:
        """Add the pixels of some blocks."""
        every = some.less(self.shift)
        for number in np.unique(some.block):
            v = every[:, some.block == number]
            self.products[number] += v[: 1 + self.bands] @ v.T
            self.squares[number] += np.square(v[1 + self.bands :]).sum(axis=1)

    @property
    def bands(self) -> int:
        """B."""
        return int(self.products.shape[1]) - 1

    @property
    def count(self) -> Floats:
        """(N,) pixels."""
        return self.products[:, 0, 0]

    @property
    def known(self) -> CubeSums:
        """Of the blocks that hold pixels."""
        some = self.count > 0
        return CubeSums(self.shift, self.products[some], self.squares[some])


CONSTANT = 1e-6
"""A band whose standard deviation is a smaller part of its values is constant."""


def parts(coarse: tuple[int, int], ratio: float = 1.0, bands: int = 1) -> list[Place]:
    """Parts of a cube, row by row; smaller ones where more fine pixels lie on each of its own, and
    of many bands."""
    most = SIDE * min(1.0, math.sqrt(MANY_BANDS / bands))
    side = int(max(LEAST_SIDE, min(most, FINE_SIDE / ratio)))
    return [
        (Range(row, min(row + side, coarse[0])), Range(col, min(col + side, coarse[1])))
        for row in range(0, coarse[0], side)
        for col in range(0, coarse[1], side)
    ]


def per_side(bands: int, sharp: int = 0) -> int:
    """Blocks along each side of a scene of so many bands, and so many sharp ones where these are
    more than a few."""
    most = math.sqrt(ROOM / 8 / (1 + bands) / (1 + bands + sharp))
    return max(LEAST_PER_SIDE, min(PER_SIDE, int(most)))


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

    @property
    def mean(self) -> Floats:
        """(B + T,) of cube and sharp image."""
        return np.concatenate([self.cube.mean(axis=1), self.sharp.mean(axis=1)])

    def less(self, shift: Floats) -> Floats:
        """(1 + B + T, n) [1, cube, sharp] less a shift of all but the one."""
        ones = np.ones((1, len(self.block)))
        every: Floats = np.concatenate([ones, self.cube, self.sharp])
        every[1:] -= shift[:, None]
        return every


def pixels(pair: Pair, rows: Range, cols: Range) -> Pixels:
    """The pixels of one part of a cube. Where the cube is missing, the sharp image on its grid is
    filled as the cube is: both show the same beyond an edge."""
    around = pair.around(rows, cols)
    wide = around[0].wider(ROUNDS), around[1].wider(ROUNDS)
    values, low = pair.read_cube(*wide), pair.averaged(*wide)
    there = complete(values)
    known = Known(low, complete(low)).cut(ROUNDS).valid
    cube = Known(filled(values, there), there).cut(ROUNDS)
    sharp = Known.of(np.where(there, low, np.nan)).cut(ROUNDS)
    detail = pair.averaged_detail(Known(sharp.values, known), around, rows, cols)
    missed = pair.missed(rows, cols)(cube)
    here = rows.within(around[0]), cols.within(around[1])
    valid = sharp.valid[here] & complete(detail)
    return Pixels(
        _blocks(pair, rows, cols, len(cube.values))[valid],
        cube.values[:, *here][:, valid],
        sharp.values[:, *here][:, valid],
        missed[:, valid],
        detail[:, valid],
    )


def plain_pixels(pair: Pair, blurs: Sequence[float | None], rows: Range, cols: Range) -> Pixels:
    """The pixels of one part that are known with each of several blurs, with the sharp bands of all
    of them; without detail, of which nothing is asked: zero."""
    cube = pair.read_cube(rows, cols)
    pairs = [replace(pair, blur=blur) for blur in blurs]
    seen = [one.seen(rows, cols) for one in pairs]
    down, across = (
        Range(min(one[i].start for one in seen), max(one[i].stop for one in seen)) for i in (0, 1)
    )
    if down.size * across.size * pair.sharp_bands <= HELD // 8:
        read = held(pair.read_sharp, down, across)
        pairs = [replace(one, read_sharp=read) for one in pairs]
    sharp = np.concatenate([one.averaged_once(rows, cols) for one in pairs])
    valid = complete(cube) & complete(sharp)
    x, t = cube[:, valid], sharp[:, valid]
    block = _blocks(pair, rows, cols, len(x), len(t))[valid]
    return Pixels(block, x, t, np.broadcast_to(0.0, x.shape), np.broadcast_to(0.0, t.shape))


def _blocks(pair: Pair, rows: Range, cols: Range, bands: int, sharp: int = 0) -> NDArray[np.int64]:
    return numbers(blocks(pair.geometry.coarse, per_side(bands, sharp)), rows, cols)


def summed(some: Pixels, count: int) -> Sums:
    """Sums of pixels in so many blocks."""
    total = Sums.none(some.mean, len(some.cube), count)
    total.add(some)
    return total


def added(every: Iterable[Pixels]) -> Sums | None:
    """Sums over the pixels of parts of a scene; None where there are none."""
    return _total(every, lambda x: Sums.none(x.mean, len(x.cube), per_side(len(x.cube)) ** 2))


def explained(every: Iterable[Pixels]) -> CubeSums | None:
    """What tells how the cube explains the sharp image, over the pixels of parts of a scene; None
    where there are none."""

    def none(first: Pixels) -> CubeSums:
        bands, sharp = len(first.cube), len(first.sharp)
        return CubeSums.none(first.mean, bands, per_side(bands, sharp) ** 2)

    return _total(every, none)


S = TypeVar("S", Sums, CubeSums)


def _total(every: Iterable[Pixels], none: Callable[[Pixels], S]) -> S | None:
    """Sums over pixels, which begin at those that ``none`` makes of the first of them."""
    total: S | None = None
    for some in every:
        if len(some.block):
            total = none(some) if total is None else total
            total.add(some)
    return total
