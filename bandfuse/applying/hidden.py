"""Hidden: pixels of a scene that are read as missing, so that they are written as nodata."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bandfuse.raster import Where
from bandfuse.spectral.bands import Floats
from bandfuse.streaming.stream import Cell, Patch, Source, in_parts
from bandfuse.streaming.windows import Window


@dataclass(frozen=True, eq=False)
class HiddenCell:
    """A cell with missing values in the (n,) pixels that are ``out``; some are."""

    cell: Cell
    out: NDArray[np.bool_]

    def values(self) -> Floats:
        """(D, n) float64; NaN where missing or hidden."""
        values = self.cell.values()
        values[:, self.out] = np.nan
        return values

    @property
    def extremes(self) -> None:
        """Not known, as values are missing."""


@dataclass(frozen=True, eq=False)
class HiddenPatch:
    """A patch of which the (rows, cols) pixels that are ``out`` are hidden."""

    patch: Patch
    out: NDArray[np.bool_]

    def cell(self, rows: slice, cols: slice) -> Cell:
        """The pixels of a cell."""
        cell, out = self.patch.cell(rows, cols), self.out[rows, cols]
        return HiddenCell(cell, out.ravel()) if out.any() else cell


@dataclass(frozen=True, eq=False)
class Hidden:
    """A source without the pixels that a selection leaves out."""

    source: Source
    where: Where

    def parts(self, window: Window) -> Iterator[Window]:
        """As the source would rather be asked."""
        return in_parts(self.source, window)

    def read(self, window: Window) -> HiddenPatch:
        """The pixels of a window."""
        return HiddenPatch(self.source.read(window), self.where.outside(window))
