"""Reduced: everything once more one scale down, where the cube itself is the truth.

The sharp image is brought to the cube's grid and the cube to a grid that is as much coarser, with
the same blur (Wald's protocol: Wald, Ranchin & Mangolini, "Fusion of satellite images of different
spatial resolutions", Photogrammetric Engineering & Remote Sensing 63, 1997). What is learned there
without a block sharpens that block; so its error is known. Of a large scene parts are taken, spread
over it, so that memory stays bounded."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np

from bandfuse.scenes.displacement import complete
from bandfuse.sharpening.pairs.kernels import Axis
from bandfuse.sharpening.pairs.known import Known
from bandfuse.sharpening.pairs.pair import Geometry, Pair, reading
from bandfuse.sharpening.pairs.ranges import Place, Range
from bandfuse.spectral.bands import Floats
from bandfuse.streaming.blocks import BlockGrid, blocks

MOST_SIDE = 144
"""The parts that are looked at have so many rows and columns of the cube together at most."""

MOST_BANDS = 224
"""Of more bands the parts are smaller."""

LEAST_SIDE = 12
"""A part should have so many pixels a side one scale down, or be the only one."""

MOST_PARTS = 3
"""Parts along each side of the scene."""

BLOCKS = 9
"""About so many blocks are held out, each on its own."""


ENOUGH = 300
"""Where there are fewer coarse pixels, the coarse grid is laid on the truth in several places, to
learn from about so many."""


@dataclass(frozen=True, eq=False)
class Phase:
    """The coarse grid as it lies from the row and column ``first`` of a part on: a ``pair`` one
    scale down."""

    first: tuple[int, int]
    pair: Pair

    def place(self, here: Place) -> Place:
        """The fine pixels of the pair in a place of the part, without a border of one coarse pixel:
        what is next to it is not known."""
        axes = self.pair.geometry.rows, self.pair.geometry.cols
        return _pair_of(
            _within(r, start + math.ceil(a.ratio), start + a.fine - math.ceil(a.ratio), start)
            for r, start, a in zip(here, self.first, axes, strict=True)
        )

    def coarse(self, here: Place) -> Place:
        """The coarse pixels whose centres lie in a place of the part."""
        axes = self.pair.geometry.rows, self.pair.geometry.cols
        ranges = []
        for axis, start, r in zip(axes, self.first, here, strict=True):
            low, high = ((edge - start) / axis.ratio - 0.5 for edge in (r.start, r.stop))
            ends = (min(max(math.ceil(e - 1e-9), 0), axis.coarse) for e in (low, high))
            ranges.append(Range(*ends))
        return _pair_of(ranges)


def _within(r: Range, low: int, high: int, start: int) -> Range:
    """What of a range lies between two ends, counted from a start; empty where nothing does."""
    first = max(r.start, low)
    return Range(first - start, max(first, min(r.stop, high)) - start)


def _pair_of(ranges: Iterable[Range]) -> Place:
    rows, cols = ranges
    return rows, cols


@dataclass(frozen=True, eq=False)
class Small:
    """A part of a scene one scale down: the ``truth`` (B, h, w) that it should come to, NaN where
    missing, the blocks of that, and the coarse grids that are laid on it."""

    truth: Floats
    grid: BlockGrid
    phases: Sequence[Phase]

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.truth.shape[1], self.truth.shape[2]

    @property
    def places(self) -> list[Place]:
        """Rows and columns of every block."""
        rows, cols = pairwise(self.grid.row_edges), list(pairwise(self.grid.col_edges))
        return [(Range(*row), Range(*col)) for row in rows for col in cols]


def ratio_of(geometry: Geometry) -> float:
    """Side of a pixel of the cube in sharp pixels: the geometric mean of both axes."""
    return math.sqrt(abs(geometry.rows.ratio * geometry.cols.ratio))


def parts_of(geometry: Geometry, bands: int = 1) -> list[Place]:
    """Parts of a cube that are looked at: all of a small one, else some that are spread evenly.

    No more than ``MOST_SIDE``² pixels together, fewer of more than ``MOST_BANDS`` bands; at larger
    ratios the parts are fewer and larger."""
    together = int(MOST_SIDE * min(1.0, math.sqrt(MOST_BANDS / bands)))
    most = max(1, min(MOST_PARTS, int(together / ratio_of(geometry) / LEAST_SIDE)))
    rows, cols = (_spread(size, most, together // most) for size in geometry.coarse)
    return list(product(rows, cols))


def _spread(size: int, most: int, side: int) -> list[Range]:
    """At most so many ranges of so many pixels, each in the middle of its share."""
    count = min(most, math.ceil(size / side))
    shares = pairwise(i * size // count for i in range(count + 1))
    out = []
    for low, high in shares:
        n = min(side, high - low)
        start = low + (high - low - n) // 2
        out.append(Range(start, start + n))
    return out


def is_whole(geometry: Geometry, parts: Sequence[Place]) -> bool:
    """Whether parts are all of a cube."""
    rows, cols = geometry.coarse
    return sum(r.size * c.size for r, c in parts) == rows * cols


def smalls_of(pair: Pair, parts: Sequence[Place]) -> list[Small]:
    """The parts that can be reduced: with a valid pixel, and room for the ratio."""
    side = max(1, math.ceil(math.sqrt(BLOCKS / max(len(parts), 1))))
    sizes = [
        [_axis(pair.geometry.rows, r.size), _axis(pair.geometry.cols, c.size)] for r, c in parts
    ]
    pixels = sum(rows.coarse * cols.coarse for rows, cols in sizes)
    phases = phases_of(pair.geometry, pixels)
    found = (_small(pair, rows, cols, side, phases) for rows, cols in parts)
    return [small for small in found if small is not None]


def _small(
    pair: Pair, rows: Range, cols: Range, side: int, phases: Sequence[tuple[int, int]]
) -> Small | None:
    truth, low = pair.read_cube(rows, cols), pair.reduced(rows, cols)
    if not np.isfinite(truth).all(axis=0).any():
        return None
    sharp = _known(low)
    made = [(first, shrunk(truth, sharp, pair, first)) for first in phases]
    every = [Phase(first, shrink) for first, shrink in made if shrink is not None]
    return Small(truth, blocks((truth.shape[1], truth.shape[2]), side), every) if every else None


def shrunk(truth: Floats, sharp: Floats, pair: Pair, first: tuple[int, int]) -> Pair | None:
    """A (B, h, w) cube and the sharp image (T, h, w) on its grid, from a first row and column on,
    with the cube on a grid that is coarser by the ratio of a pair; None where that has less than
    two rows or columns.

    Both end where the last coarse pixel does: neither may know more of what lies beyond."""
    axes = zip((pair.geometry.rows, pair.geometry.cols), truth.shape[1:], first, strict=True)
    geometry = Geometry(*(_axis(axis, size - start) for axis, size, start in axes))
    if min(geometry.coarse) < 2:
        return None
    part = tuple(slice(a, a + n) for a, n in zip(first, geometry.fine, strict=True))
    cube, low = truth[:, *part], sharp[:, *part]
    within = Range(0, geometry.fine[0]), Range(0, geometry.fine[1])
    shrink = Pair(geometry, pair.blur, reading(cube), reading(cube), within)
    small = shrink.averaged_once(*(Range(0, n) for n in geometry.coarse))
    small[:, ~complete(small)] = np.nan
    return Pair(geometry, pair.blur, reading(small), reading(low), within)


def _axis(axis: Axis, size: int) -> Axis:
    """How so many pixels of the cube lie on whole pixels that are coarser by the same ratio."""
    ratio = abs(axis.ratio)
    coarse = int(size / ratio + 1e-9)
    return Axis(min(size, math.ceil(coarse * ratio - 1e-9)), coarse, ratio)


def _known(image: Known) -> Floats:
    """An image, NaN where it is missing."""
    return np.where(image.valid, image.values, np.nan)


def phases_of(geometry: Geometry, pixels: int) -> list[tuple[int, int]]:
    """Rows and columns of the truth at which coarse grids can begin: as many as it takes for about
    ``ENOUGH`` coarse pixels, if each has so many."""
    rows, cols = (range(max(1, int(abs(a.ratio)))) for a in (geometry.rows, geometry.cols))
    every = list(product(rows, cols))
    count = min(len(every), math.ceil(ENOUGH / max(pixels, 1)))
    return [every[i * len(every) // count] for i in range(count)]
