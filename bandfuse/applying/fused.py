"""Fused: a source of pixels seen through a fusion, for passes that score outputs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bandfuse.applying.products import kernel_at, place_of_products
from bandfuse.model.fusion import Fusion, FusionKernel
from bandfuse.scenes.scene import Scene
from bandfuse.spectral.bands import Floats
from bandfuse.streaming.budget import Effort
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
    """A source seen through a fusion, by its ``kernel``. ``order``: positions of the targets, or
    classes, that follow the outputs."""

    source: Source
    fusion: Fusion
    kernel: FusionKernel
    order: list[int]

    def read(self, window: Window) -> FusedPatch:
        """The pixels of a window."""
        inputs = len(self.fusion.support)
        return FusedPatch(self.source.read(window), self.kernel, inputs, self.order)


def kernel_of(scene: Scene, fusion: Fusion, effort: Effort) -> FusionKernel:
    """The products of a scene's pixels, computed where that is quickest."""
    rows, cols = scene.shape
    return kernel_at(place_of_products(fusion, rows * cols, effort), fusion)
