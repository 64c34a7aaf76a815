"""Tiles: parts of the sharpened cube, each made on the ground of its surroundings."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice, zip_longest

import numpy as np
from numpy.typing import NDArray

from bandfuse.scenes.displacement import complete
from bandfuse.sharpening.gains.gains import Gains
from bandfuse.sharpening.pairs.kept import Kept
from bandfuse.sharpening.pairs.kernels import ROUNDS, TAPS, Fill, Mask
from bandfuse.sharpening.pairs.known import Known
from bandfuse.sharpening.pairs.pair import Pair
from bandfuse.sharpening.pairs.ranges import Place, Range
from bandfuse.spectral.bands import Floats

TILE_COLS, TILE_ROWS = 256, ((128, 256), (256, 128))
"""Columns of the unit of computation, on the fine grid; and its rows for cubes of so many bands at
most, 64 for cubes of more. A tile is always computed as a whole, so its bits never depend on how
the image is cut for reading."""

LEAST_ROWS = 64

GROUND_SIDE, GROUND_BANDS, MOST_FINE = 64, 256, 1024
"""Tiles lie on a common ground: about so many coarse pixels a side, fewer for cubes of more bands,
and at most so many fine pixels a side."""

CHUNK = 16
"""Bands that are brought to the fine grid at once."""

MISSING, INTERPOLATED, SHARPENED = 0, 1, 2
"""Of what a pixel of the result is made."""


@dataclass(frozen=True)
class Tiles:
    """The tiles of a result of (rows, columns) and so many bands, with so many fine pixels along
    the side of a coarse one; ground by ground."""

    fine: tuple[int, int]
    bands: int
    ratio: float

    @property
    def rows(self) -> int:
        """Rows of a tile."""
        return next((rows for most, rows in TILE_ROWS if self.bands <= most), LEAST_ROWS)

    @property
    def ground(self) -> tuple[int, int]:
        """Rows and columns of a ground: whole tiles."""
        coarse = GROUND_SIDE * min(1.0, math.sqrt(GROUND_BANDS / self.bands))
        side = int(min(coarse * self.ratio, MOST_FINE))
        return max(1, side // self.rows) * self.rows, max(1, side // TILE_COLS) * TILE_COLS

    def grounds(self) -> Iterator[Place]:
        """The grounds, row by row."""
        return _cut((Range(0, self.fine[0]), Range(0, self.fine[1])), self.ground)

    def within(self, ground: Place) -> Iterator[Place]:
        """The tiles of a ground, row by row."""
        return _cut(ground, (self.rows, TILE_COLS))

    def ordered(self, grounds: int = 1) -> Iterator[Place]:
        """All tiles: so many grounds at a time, in turn."""
        every = self.grounds()
        while some := [list(self.within(one)) for one in islice(every, grounds)]:
            yield from (place for turn in zip_longest(*some) for place in turn if place is not None)

    def ground_at(self, row: int, col: int) -> Place:
        """The ground that begins at some row and column."""
        height, width = self.ground
        return (
            Range(row, min(row + height, self.fine[0])),
            Range(col, min(col + width, self.fine[1])),
        )


def _cut(place: Place, size: tuple[int, int]) -> Iterator[Place]:
    """A place in parts of some size, row by row."""
    rows, cols = place
    for row in range(rows.start, rows.stop, size[0]):
        for col in range(cols.start, cols.stop, size[1]):
            yield (
                Range(row, min(row + size[0], rows.stop)),
                Range(col, min(col + size[1], cols.stop)),
            )


@dataclass(frozen=True, eq=False)
class Ground:
    """What tiles have in common. ``under``: coarse pixels; ``coarse`` (B, ·, ·): the argument of
    the last ``up`` there, and ``valid``: where the cube is known."""

    under: Place
    coarse: Floats
    valid: Mask


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
    """Compute one tile on a ground of its own."""
    return tile_on(ground(pair, gains, rows, cols), pair, gains, rows, cols)


def tile_on(ground: Ground, pair: Pair, gains: Gains, rows: Range, cols: Range) -> Tile:
    """Compute one tile of a ground."""
    under = _under(pair, rows, cols)
    has = ground.under
    detail = pair.detail(rows, cols)
    valid = pair.nearest(ground.valid, has, rows, cols)
    return Tile(
        gains.gain,
        _at(ground.coarse, has, (under[0].wider(TAPS), under[1].wider(TAPS))),
        pair.up((rows, cols), under),
        detail.values,
        valid,
        np.where(valid, np.where(detail.valid, SHARPENED, INTERPOLATED), MISSING).astype(np.uint8),
    )


def ground(pair: Pair, gains: Gains, rows: Range, cols: Range) -> Ground:
    """Compute the ground of fine pixels."""
    near = _under(pair, rows, cols)
    under = near[0].wider(TAPS), near[1].wider(TAPS)
    needed = under[0].wider(ROUNDS), under[1].wider(ROUNDS)
    around = pair.around(*needed)
    cube = _guided(pair, gains, around)
    lowered = pair.lowered(*needed)
    valid = _at(cube.valid, around, needed)
    axes, missed = np.zeros((gains.rank, valid.size)), pair.missed(*needed)
    for some in _chunks(gains):
        residual = missed(Known(cube.values[some], cube.valid))
        residual -= _times(gains.gain[some], lowered.values)
        residual[:, ~lowered.valid] = 0.0
        axes += gains.drop[:, some] @ residual.reshape(len(residual), -1)
    fill = Fill(valid)
    coarse = np.empty((len(gains.gain), under[0].size, under[1].size))
    for some in _chunks(gains):
        residual = (gains.lift[some] @ axes).reshape(-1, *valid.shape)
        coarse[some] = _at(fill(residual), needed, under)
        coarse[some] += _at(cube.values[some], around, under)
    return Ground(under, coarse, _at(valid, needed, under))


def _guided(pair: Pair, gains: Gains, place: Place) -> Known:
    """The cube on coarse pixels. Where it is missing, beyond its edge too, not the cube is filled
    from its neighbours but what it has more than its share of the sharp image: the detail does not
    end where the cube does."""
    wide = place[0].wider(ROUNDS), place[1].wider(ROUNDS)
    values = pair.read_cube(*wide)
    valid = complete(values)
    if not valid.all():
        low, fill = pair.reduced(*wide).values, Fill(valid)
        for some in _chunks(gains):
            guide = _times(gains.gain[some], low)
            guided = fill(values[some] - guide) + guide
            values[some] = np.where(valid, values[some], guided)
    return Known(values, valid).cut(ROUNDS)


def grounds(pair: Pair, gains: Gains, tiles: Tiles, most: int) -> Callable[[Place], Ground]:
    """The ground of each tile; so many are kept."""
    height, width = tiles.ground
    kept = Kept(lambda key: ground(pair, gains, *tiles.ground_at(*key)), most)

    def on(place: Place) -> Ground:
        rows, cols = place
        return kept((rows.start // height * height, cols.start // width * width))

    return on


def _chunks(gains: Gains) -> Iterator[slice]:
    """The bands, a few after the other."""
    return (slice(at, at + CHUNK) for at in range(0, len(gains.gain), CHUNK))


def _under(pair: Pair, rows: Range, cols: Range) -> Place:
    """The coarse pixels of whose spline coefficients fine pixels are made."""
    return pair.geometry.rows.under(rows), pair.geometry.cols.under(cols)


def _at(values: np.ndarray, has: Place, wanted: Place) -> np.ndarray:
    """A part of (…, n, m) pixels."""
    return values[..., wanted[0].within(has[0]), wanted[1].within(has[1])]


def _times(matrix: Floats, values: Floats) -> Floats:
    """(K, n, m) a (K, D) matrix times (D, n, m) pixels."""
    result: Floats = (matrix @ values.reshape(len(values), -1)).reshape(-1, *values.shape[1:])
    return result
