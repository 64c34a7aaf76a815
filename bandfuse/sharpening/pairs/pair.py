"""Pair: parts of a cube and of a sharp image, on the grids of both.

All is made of two functions that read: each gives the pixels of any range of rows and columns, NaN
where there are none. What a part comes to depends on the pixels around it only, never on how an
image is cut. What the cube sees of the sharp image is made square by square and kept, so that each
fine pixel is read a few times only, whatever the ratio."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np

from bandfuse.scenes.displacement import complete
from bandfuse.sharpening.pairs.kept import Parts
from bandfuse.sharpening.pairs.kernels import (
    ROUNDS,
    TAPS,
    Axis,
    Mask,
    both,
    low_weights,
    spline_weights,
    up_weights,
)
from bandfuse.sharpening.pairs.known import COVERED, Known, Means
from bandfuse.sharpening.pairs.ranges import Place, Range
from bandfuse.spectral.bands import Floats

Read = Callable[[Range, Range], Floats]
"""(D, rows, cols) of ranges of rows and columns, which may lie beyond the image: NaN there."""

SQUARE, LEAST_SQUARE, FINE_SQUARE = 64, 8, 1024
"""Coarse pixels a side that are made of the sharp image at once; fewer where they would be more
fine pixels than ``FINE_SQUARE``, but no fewer than ``LEAST_SQUARE``."""

STRIP = 8 * 2**20
"""Bytes of the fine pixels of such a square that are held at once, of one image."""

ROOM = 16 * 2**20
"""Bytes of coarse pixels of the sharp image that are kept, and as many of its detail."""


@dataclass(frozen=True)
class Geometry:
    """How the pixels of a sharp image lie on those of a cube."""

    rows: Axis
    cols: Axis

    @classmethod
    def of_ratio(cls, fine: tuple[int, int], ratio: float) -> Geometry:
        """Of a sharp image (rows, columns) whose first corner is that of the cube."""
        coarse = [max(1, round(size / ratio)) for size in fine]
        return cls(Axis(fine[0], coarse[0], ratio), Axis(fine[1], coarse[1], ratio))

    @property
    def coarse(self) -> tuple[int, int]:
        """Rows and columns of the cube."""
        return self.rows.coarse, self.cols.coarse

    @property
    def ratio(self) -> float:
        """Fine pixels along the side of a coarse one, the larger number of rows and columns."""
        return max(abs(self.rows.ratio), abs(self.cols.ratio))

    @property
    def fine(self) -> tuple[int, int]:
        """Rows and columns of the sharp image, and of the result."""
        return self.rows.fine, self.cols.fine


def reading(values: Floats) -> Read:
    """Reads from a (D, rows, cols) array."""

    def read(rows: Range, cols: Range) -> Floats:
        out = np.full((len(values), rows.size, cols.size), np.nan)
        low = max(rows.start, 0), max(cols.start, 0)
        high = min(rows.stop, values.shape[1]), min(cols.stop, values.shape[2])
        if low[0] < high[0] and low[1] < high[1]:
            r, c = Range(low[0], high[0]), Range(low[1], high[1])
            out[:, r.within(rows), c.within(cols)] = values[:, low[0] : high[0], low[1] : high[1]]
        return out

    return read


def held(read: Read, rows: Range, cols: Range) -> Read:
    """Reads from ranges that are read once: NaN beyond."""
    within = reading(read(rows, cols))

    def again(some: Range, others: Range) -> Floats:
        return within(some.moved(-rows.start), others.moved(-cols.start))

    return again


@dataclass(frozen=True, eq=False)
class Pair:
    """A cube and a sharp image, and the ``blur`` between them: the modulation of a Gaussian at the
    Nyquist frequency of the cube's grid, None for the plain average over its pixels.

    ``within``: fine pixels beyond which the sharp image is missing, where that is known."""

    geometry: Geometry
    blur: float | None
    read_cube: Read
    read_sharp: Read
    within: Place | None = None

    @property
    def axes(self) -> tuple[Axis, Axis]:
        """How the pixels of both lie on each other, along rows and columns."""
        return self.geometry.rows, self.geometry.cols

    @cached_property
    def bands(self) -> int:
        """B."""
        return len(self.read_cube(Range(0, 1), Range(0, 1)))

    @cached_property
    def sharp_bands(self) -> int:
        """T."""
        return len(self.read_sharp(Range(0, 1), Range(0, 1)))

    def cube(self, rows: Range, cols: Range) -> Known:
        """(B, n, m) of coarse pixels."""
        read = self.read_cube(rows.wider(ROUNDS), cols.wider(ROUNDS))
        return Known.of(read).cut(ROUNDS)

    def reduced(self, rows: Range, cols: Range) -> Known:
        """(T, n, m) the sharp image on coarse pixels: the mean of the valid fine pixels by their
        weights; missing where these have less than half of the weight."""
        return Known.of(self.averaged(rows.wider(ROUNDS), cols.wider(ROUNDS))).cut(ROUNDS)

    @cached_property
    def averaged(self) -> Parts:
        """Reads the same, not filled: NaN where it is missing."""
        return self._parts(self.sharp)

    def averaged_once(self, rows: Range, cols: Range) -> Floats:
        """The same of one part that is asked for once."""
        return self._mean(self.sharp, rows, cols)

    def sharp(self, rows: Range, cols: Range) -> Known:
        """(T, n, m) of fine pixels, zero where they are missing."""
        values = self.read_sharp(rows, cols)
        valid = complete(values)
        return Known(np.where(valid, values, 0.0), valid)

    @cached_property
    def _lowered(self) -> Parts:
        return self._parts(self.detail)

    def _parts(self, fine: Callable[[Range, Range], Known]) -> Parts:
        """Reads coarse pixels of what is known on fine ones."""
        whole = -(-max(self.geometry.coarse) // LEAST_SQUARE) * LEAST_SQUARE
        most = min(SQUARE, whole, int(FINE_SQUARE / self.geometry.ratio))
        side = max(LEAST_SQUARE, most)
        return Parts(lambda *place: self._mean(fine, *place), (side, side), self.sharp_bands, ROOM)

    def _mean(self, fine: Callable[[Range, Range], Known], rows: Range, cols: Range) -> Floats:
        means = self.means(rows, cols, self.sharp_bands)
        for place in means.strips(STRIP):
            means.add(place, fine(*place))
        return means.values

    def means(self, rows: Range, cols: Range, bands: int, covered: float = COVERED) -> Means:
        """What coarse pixels of an image of so many bands are summed up in."""
        seen = self.seen(rows, cols)
        return Means(seen, self.low((rows, cols), seen), bands, self.within, covered)

    def detail(self, rows: Range, cols: Range) -> Known:
        """(T, n, m) what the sharp image has more than itself as the cube sees it, on fine pixels:
        ``t − up(low(t))``. Zero where it is not known."""
        under = self.geometry.rows.under(rows), self.geometry.cols.under(cols)
        has = under[0].wider(TAPS), under[1].wider(TAPS)
        return self.detail_of(self.reduced(*has), has, rows, cols)

    def detail_of(self, low: Known, has: Place, rows: Range, cols: Range) -> Known:
        """The same with what the cube sees of the sharp image on the coarse pixels that are
        needed, and perhaps more."""
        sharp = self.read_sharp(rows, cols)
        known = complete(sharp)
        if not known.any():
            return Known(np.zeros_like(sharp), known)
        under = self.geometry.rows.under(rows), self.geometry.cols.under(cols)
        near = under[0].wider(TAPS).within(has[0]), under[1].wider(TAPS).within(has[1])
        smooth = self.raised(low.values[:, *near], under, rows, cols)
        valid = known & self.nearest(low.valid, has, rows, cols)
        return Known(np.where(valid, sharp - smooth, 0.0), valid)

    def averaged_detail(self, low: Known, has: Place, rows: Range, cols: Range) -> Floats:
        """(T, n, m) that detail as the cube sees it, NaN where too little of it is known."""
        return self._mean(partial(self.detail_of, low, has), rows, cols)

    def lowered(self, rows: Range, cols: Range) -> Known:
        """(T, n, m) the detail of the sharp image as the cube sees it: the mean of what is known by
        its weights. Zero and not valid where that has less than half of the weight."""
        values = self._lowered(rows, cols)
        valid = complete(values)
        return Known(np.where(valid, values, 0.0), valid)

    def raised(self, coarse: Floats, under: Place, rows: Range, cols: Range) -> Floats:
        """(D, n, m) coarse pixels of the ranges ``under``, with ``TAPS`` more on each side, on fine
        pixels."""
        down, across = self.up((rows, cols), under)
        return both(down, coarse, across)

    def interpolated(self, rows: Range, cols: Range) -> Floats:
        """(B, n, m) the cube on fine pixels; NaN where it is missing."""
        under = self.geometry.rows.under(rows), self.geometry.cols.under(cols)
        wide = under[0].wider(TAPS), under[1].wider(TAPS)
        cube = self.cube(*wide)
        raised = self.raised(cube.values, under, rows, cols)
        return np.where(self.nearest(cube.valid, wide, rows, cols), raised, np.nan)

    def missed(self, rows: Range, cols: Range) -> Callable[[Known], Floats]:
        """What gives, of a cube that is known on ranges that :meth:`around` tells, (B, n, m) what
        the interpolated cube, brought back to the coarse grid, is off the cube: ``x −
        low(up(x))``. Zero where the cube is missing."""
        wide = self.around(rows, cols)
        seen = self.seen(rows, cols)
        under = self.geometry.rows.under(seen[0]), self.geometry.cols.under(seen[1])
        down, across = (
            low @ up
            for low, up in zip(self.low((rows, cols), seen), self.up(seen, under), strict=True)
        )
        needed = under[0].wider(TAPS).within(wide[0]), under[1].wider(TAPS).within(wide[1])
        here = rows.within(wide[0]), cols.within(wide[1])

        def of(cube: Known) -> Floats:
            again = both(down, cube.values[:, *needed], across)
            return np.where(cube.valid[here], cube.values[:, *here] - again, 0.0)

        return of

    def around(self, rows: Range, cols: Range) -> Place:
        """The coarse pixels that :meth:`missed` needs."""
        seen = self.seen(rows, cols)
        return (
            self.geometry.rows.under(seen[0]).wider(TAPS),
            self.geometry.cols.under(seen[1]).wider(TAPS),
        )

    def seen(self, rows: Range, cols: Range) -> Place:
        """The fine pixels that coarse pixels are made of."""
        return self.geometry.rows.seen(rows, self.blur), self.geometry.cols.seen(cols, self.blur)

    def low(self, coarse: Place, fine: Place) -> tuple[Floats, Floats]:
        """Weights of fine pixels in coarse ones, along rows and columns."""
        down, across = (
            low_weights(axis, c, f, self.blur)
            for axis, c, f in zip(self.axes, coarse, fine, strict=True)
        )
        return down, across

    def up(self, fine: Place, under: Place) -> tuple[Floats, Floats]:
        """Weights of coarse values, through the coefficients of their spline, in fine pixels."""
        down, across = (
            up_weights(axis, f, u) @ spline_weights(u, u.wider(TAPS))
            for axis, f, u in zip(self.axes, fine, under, strict=True)
        )
        return down, across

    def nearest(self, coarse: Mask, has: Place, rows: Range, cols: Range) -> Mask:
        """(n, m) a mask of coarse pixels at the fine pixels whose centres lie in them."""
        row = self.geometry.rows.nearest(rows) - has[0].start
        col = self.geometry.cols.nearest(cols) - has[1].start
        return coarse[np.ix_(row, col)]
