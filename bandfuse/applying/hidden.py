"""Hidden: pixels of a scene that are read as missing, so that they are written as nodata."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bandfuse.raster import Where
from bandfuse.spectral.bands import Floats
from bandfuse.streaming.stream import Cell, Patch, Source
from bandfuse.streaming.windows import Window


@dataclass(frozen=True, eq=False)
class HiddenCell:
    """A cell with missing values in the (n,) pixels that are ``out``."""

    cell: Cell
    out: NDArray[np.bool_]

    def values(self) -> Floats:
        """(D, n) float64; NaN where missing or hidden."""
        values = self.cell.values()
        values[:, self.out] = np.nan
        return values

    @property
    def extremes(self) -> tuple[Floats, Floats] | None:
        """(D,) least and largest values; None if a pixel is hidden, or a value may be missing."""
        return None if self.out.any() else self.cell.extremes


@dataclass(frozen=True, eq=False)
class HiddenPatch:
    """A patch of which the (rows, cols) pixels that are ``out`` are hidden."""

    patch: Patch
    out: NDArray[np.bool_]

    def cell(self, rows: slice, cols: slice) -> HiddenCell:
        """The pixels of a cell."""
        return HiddenCell(self.patch.cell(rows, cols), self.out[rows, cols].ravel())


@dataclass(frozen=True, eq=False)
class Hidden:
    """A source without the pixels that a selection leaves out."""

    source: Source
    where: Where

    def read(self, window: Window) -> HiddenPatch:
        """The pixels of a window."""
        return HiddenPatch(self.source.read(window), self.where.outside(window))
