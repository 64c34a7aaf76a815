"""Pair: parts of a cube and of a sharp image, on the grids of both.

All is made of two functions that read: each gives the pixels of any range of rows and columns, NaN
where there are none. What a part comes to depends on the pixels around it only, never on how an
image is cut."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bandfuse.sharpening.kernels import (
    ROUNDS,
    TAPS,
    Axis,
    Mask,
    Range,
    both,
    filled,
    low_weights,
    spline_weights,
    up_weights,
)
from bandfuse.spectral.bands import Floats

Place = tuple[Range, Range]
"""Rows and columns of a part of an image."""

Read = Callable[[Range, Range], Floats]
"""(D, rows, cols) of ranges of rows and columns, which may lie beyond the image: NaN there."""

COVERED = 0.5
"""The share of a coarse pixel's weights that must find valid fine pixels."""


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


def complete(values: Floats) -> Mask:
    """(n, m) whether all of (D, n, m) values are known."""
    known: Mask = np.logical_and.reduce(np.isfinite(values), axis=0)
    return known


@dataclass(frozen=True, eq=False)
class Known:
    """``values`` (D, n, m), filled where they are not ``valid`` (n, m)."""

    values: Floats
    valid: Mask

    @classmethod
    def of(cls, values: Floats) -> Known:
        """Of values that are NaN where missing; a pixel is missing if one of its values is."""
        valid = complete(values)
        return cls(filled(values, valid), valid)

    def cut(self, by: int) -> Known:
        """Without so many pixels on each side."""
        inner = slice(by, -by or None), slice(by, -by or None)
        return Known(self.values[:, *inner], self.valid[inner])


@dataclass(frozen=True, eq=False)
class Pair:
    """A cube and a sharp image, and the ``blur`` between them: the modulation of a Gaussian at the
    Nyquist frequency of the cube's grid, None for the plain average over its pixels."""

    geometry: Geometry
    blur: float | None
    read_cube: Read
    read_sharp: Read

    def cube(self, rows: Range, cols: Range) -> Known:
        """(B, n, m) of coarse pixels."""
        read = self.read_cube(rows.wider(ROUNDS), cols.wider(ROUNDS))
        return Known.of(read).cut(ROUNDS)

    def reduced(self, rows: Range, cols: Range) -> Known:
        """(T, n, m) the sharp image on coarse pixels: the mean of the valid fine pixels by their
        weights; missing where these have less than half of the weight."""
        wide = rows.wider(ROUNDS), cols.wider(ROUNDS)
        seen = self.seen(*wide)
        read = self.read_sharp(*seen)
        there = complete(read)
        down, across = self._low(wide, seen)
        weight = both(down, there[None].astype(np.float64), across)
        total = both(down, np.where(there, read, 0.0), across)
        enough = weight >= COVERED - 1e-9
        return Known.of(np.where(enough, total / np.where(enough, weight, 1.0), np.nan)).cut(ROUNDS)

    def detail(self, rows: Range, cols: Range) -> Known:
        """(T, n, m) what the sharp image has more than itself as the cube sees it, on fine pixels:
        ``t − up(low(t))``. Zero where it is not known."""
        sharp = self.read_sharp(rows, cols)
        under = self.geometry.rows.under(rows), self.geometry.cols.under(cols)
        low = self.reduced(under[0].wider(TAPS), under[1].wider(TAPS))
        smooth = self.raised(low.values, under, rows, cols)
        near = self._nearest(low.valid, (under[0].wider(TAPS), under[1].wider(TAPS)), rows, cols)
        valid = complete(sharp) & near
        return Known(np.where(valid, sharp - smooth, 0.0), valid)

    def lowered(self, detail: Known, seen: Place, rows: Range, cols: Range) -> Known:
        """(T, n, m) detail of the fine pixels ``seen`` as the cube sees it: the mean of what is
        known by its weights. Zero and not valid where that has less than half of the weight."""
        down, across = self._low((rows, cols), seen)
        weight = both(down, detail.valid[None].astype(np.float64), across)[0]
        enough = weight >= COVERED - 1e-9
        mean = both(down, detail.values, across) / np.where(enough, weight, 1.0)
        return Known(np.where(enough, mean, 0.0), enough)

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
        return np.where(self.valid(cube, wide, rows, cols), raised, np.nan)

    def missed(self, cube: Known, rows: Range, cols: Range) -> Floats:
        """(B, n, m) what the interpolated cube, brought back to the coarse grid, is off the cube:
        ``x − low(up(x))``, with x known on ranges that :meth:`around` tells. Zero where the cube is
        missing."""
        wide = self.around(rows, cols)
        seen = self.seen(rows, cols)
        under = self.geometry.rows.under(seen[0]), self.geometry.cols.under(seen[1])
        down, across = (
            low @ up
            for low, up in zip(self._low((rows, cols), seen), self.up(seen, under), strict=True)
        )
        values = cube.values[
            :, under[0].wider(TAPS).within(wide[0]), under[1].wider(TAPS).within(wide[1])
        ]
        here = slice(None), rows.within(wide[0]), cols.within(wide[1])
        return np.where(cube.valid[here[1:]], cube.values[here] - both(down, values, across), 0.0)

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

    def _low(self, coarse: Place, fine: Place) -> tuple[Floats, Floats]:
        axes = self.geometry.rows, self.geometry.cols
        down, across = (
            low_weights(axis, c, f, self.blur)
            for axis, c, f in zip(axes, coarse, fine, strict=True)
        )
        return down, across

    def up(self, fine: Place, under: Place) -> tuple[Floats, Floats]:
        """Weights of coarse values, through the coefficients of their spline, in fine pixels."""
        axes = self.geometry.rows, self.geometry.cols
        down, across = (
            up_weights(axis, f, u) @ spline_weights(u, u.wider(TAPS))
            for axis, f, u in zip(axes, fine, under, strict=True)
        )
        return down, across

    def _nearest(self, coarse: Mask, has: Place, rows: Range, cols: Range) -> Mask:
        """(n, m) a mask of coarse pixels at the fine pixels whose centres lie in them."""
        row = self.geometry.rows.nearest(rows) - has[0].start
        col = self.geometry.cols.nearest(cols) - has[1].start
        return coarse[np.ix_(row, col)]

    def valid(self, cube: Known, has: Place, rows: Range, cols: Range) -> Mask:
        """(n, m) whether fine pixels lie on valid pixels of the cube."""
        return self._nearest(cube.valid, has, rows, cols)
