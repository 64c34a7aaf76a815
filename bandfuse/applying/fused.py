"""Fused: a source of pixels seen through a fusion, for passes that score outputs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bandfuse.model.fusion import Fusion, FusionKernel
from bandfuse.spectral.bands import Floats
from bandfuse.streaming.stream import Cell, Patch, Source
from bandfuse.streaming.windows import Window


@dataclass(frozen=True, eq=False)
class FusedCell:
    """A cell seen through a fusion: [inputs, targets] in, [outputs, targets] out."""

    cell: Cell
    kernel: FusionKernel
    inputs: int
    order: list[int]

    def values(self) -> Floats:
        """(K + T, n) the outputs, then the targets in the order asked for."""
        z = self.cell.values()
        return np.concatenate([self.kernel(z[: self.inputs]), z[self.inputs :][self.order]])

    @property
    def extremes(self) -> None:
        """Not known before the product."""


@dataclass(frozen=True, eq=False)
class FusedPatch:
    """A patch seen through a fusion."""

    patch: Patch
    kernel: FusionKernel
    inputs: int
    order: list[int]

    def cell(self, rows: slice, cols: slice) -> FusedCell:
        """The pixels of a cell."""
        return FusedCell(self.patch.cell(rows, cols), self.kernel, self.inputs, self.order)


@dataclass(frozen=True, eq=False)
class Fused:
    """A source seen through a fusion. ``order``: positions of the targets, or classes, that follow
    the outputs."""

    source: Source
    fusion: Fusion
    order: list[int]

    def read(self, window: Window) -> FusedPatch:
        """The pixels of a window."""
        kernel, inputs = FusionKernel(self.fusion), len(self.fusion.support)
        return FusedPatch(self.source.read(window), kernel, inputs, self.order)
