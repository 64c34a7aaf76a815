"""Cells: a batch of cells on a device. They arrive in their stored types, and become numbers there.

A cell has its place in a batch, and its pixels have theirs in the cell, by their rows and columns
in the scene: pixels that are absent leave holes. So a batch has one shape, whatever was read at
once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from bandfuse.moments.census import THIN
from bandfuse.moments.on_device.card import SIGNED, filled, there
from bandfuse.spectral.bands import Floats
from bandfuse.streaming.stream import Layer
from bandfuse.streaming.windows import CELL_COLS, CELL_PIXELS, CELL_ROWS, Window

LOOK = 2 * THIN
"""Pixels of a thin look: no fewer than any has."""


@dataclass(frozen=True, eq=False)
class Form:
    """How numbers are made of what is stored, for each of D variables: scale · (stored + wrap, if
    that is negative) + offset. ``fill``: what stands for a missing value, NaN for nothing; ``wrap``
    of unsigned numbers that travel as signed ones."""

    fill: Floats
    wrap: Floats
    scale: Floats
    offset: Floats

    @classmethod
    def of(cls, layers: Sequence[Layer]) -> Form:
        """That of layers, one after the other."""
        wraps = [
            np.full(
                len(x.stored), 2.0 ** (8 * x.stored.itemsize) if x.stored.dtype in SIGNED else 0.0
            )
            for x in layers
        ]
        return cls(
            np.concatenate([layer.fill for layer in layers]),
            np.concatenate(wraps),
            np.concatenate([layer.scale for layer in layers]),
            np.concatenate([layer.offset for layer in layers]),
        )

    def same_as(self, other: Form) -> bool:
        """Whether both make the same numbers."""
        return all(
            np.array_equal(getattr(self, name), getattr(other, name), equal_nan=True)
            for name in ("fill", "wrap", "scale", "offset")
        )


@dataclass(frozen=True, eq=False)
class Arrived:
    """A window, or a part of one, on the device: (n, rows, cols) ``stored`` of each layer with its
    mask; ``inside`` (rows, cols) of pixels that count, None for all; ``strata`` of pixels, if there
    are any."""

    window: Window
    stored: list[torch.Tensor]
    masks: list[torch.Tensor | None]
    inside: torch.Tensor | None
    strata: torch.Tensor | None


class Cells:
    """A batch of so many cells of D variables on a device.

    ``z`` (C, D, rows, cols) float64, and as much room to work in; ``inside`` (C, rows, cols):
    pixels that are there and count; ``thin`` (C, 2, :data:`LOOK`): places of pixels that tell
    whether it is worth while to count those at an extreme, and 1 for each that is one; ``strata``
    (C, rows, cols) of the pixels."""

    def __init__(self, count: int, variables: int, device: torch.device) -> None:
        shape = CELL_ROWS, CELL_COLS
        self.z = filled(device, count, variables, *shape)
        self.room = filled(device, count, variables, CELL_PIXELS)
        self.inside = filled(device, count, *shape, dtype=torch.bool)
        self.thin = filled(device, count, 2, LOOK, dtype=torch.int64)
        self.strata = filled(device, count, *shape, dtype=torch.int64)
        self._device = device
        self._looks: dict[Window, torch.Tensor] = {}

    def place(self, number: int, cell: Window, arrived: Arrived) -> None:
        """Put a cell of a window to its place in the batch, as stored; NaN where masks say that
        values are missing."""
        rows, cols = cell.within(arrived.window)
        down, right = cell.row % CELL_ROWS, cell.col % CELL_COLS
        here = (slice(down, down + cell.rows), slice(right, right + cell.cols))
        at = 0
        for stored, mask in zip(arrived.stored, arrived.masks, strict=True):
            room = self.z[(number, slice(at, at + len(stored)), *here)]
            room.copy_(stored[:, rows, cols])
            if mask is not None:
                room.masked_fill_(mask[..., rows, cols] == 0, np.nan)
            at += len(stored)
        inside = arrived.inside
        self.inside[(number, *here)] = True if inside is None else inside[rows, cols]
        self.thin[number] = self._thin_look(Window(down, right, cell.rows, cell.cols))
        if arrived.strata is not None:
            self.strata[(number, *here)] = arrived.strata[rows, cols]

    def _thin_look(self, part: Window) -> torch.Tensor:
        """(2, LOOK) places of every so many pixels of a part of a cell, as on the CPU, and which of
        them are there."""
        if part not in self._looks:
            places = np.arange(0, part.size, max(1, part.size // THIN))
            look = np.zeros((2, LOOK), np.int64)
            row, col = part.row + places // part.cols, part.col + places % part.cols
            look[0, : len(places)] = row * CELL_COLS + col
            look[1, : len(places)] = 1
            self._looks[part] = there(look, self._device)
        return self._looks[part]

    def numbers(self, form: Form) -> torch.Tensor:
        """(C, D, pixels) numbers, made in the place of what was stored; NaN where missing, and
        where pixels do not count."""
        z = self.z.flatten(2)
        each = {
            name: there(getattr(form, name), self._device)[:, None]
            for name in ("fill", "wrap", "scale", "offset")
        }
        if form.wrap.any():
            z.add_((z < 0) * each["wrap"])
        if np.isfinite(form.fill).any():
            z.masked_fill_(z == each["fill"], np.nan)
        if (form.scale != 1).any() or (form.offset != 0).any():
            # Two steps, each rounded, as on the CPU.
            z.mul_(each["scale"])
            z.add_(each["offset"])
        z.masked_fill_(~self.inside.flatten(1)[:, None], np.nan)
        return z

    def clear(self) -> None:
        """Nothing is there any more."""
        self.inside.fill_(False)
