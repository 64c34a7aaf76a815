"""Small things that several test modules need: an image in memory, random data, partitions of a scene into windows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bandfuse.bands import Bands, Floats
from bandfuse.fusion import Fusion, NodataPolicy
from bandfuse.windows import CELL_COLS, STACK_ROWS, Window


@dataclass(frozen=True)
class MemoryCell:
    """The pixels of one cell of an array."""

    array: np.ndarray

    def values(self) -> Floats:
        """(D, n) float64 pixels, row by row."""
        return np.array(self.array.reshape(len(self.array), -1), dtype=np.float64)

    @property
    def extremes(self) -> tuple[Floats, Floats] | None:
        """(D,) extremes; None if a value is missing."""
        z = self.values()
        return (z.min(axis=1), z.max(axis=1)) if np.isfinite(z).all() else None


@dataclass(frozen=True)
class MemoryPatch:
    """The pixels of one window of an array."""

    array: np.ndarray

    def cell(self, rows: slice, cols: slice) -> MemoryCell:
        """The pixels of a cell."""
        return MemoryCell(self.array[:, rows, cols])


@dataclass(frozen=True)
class MemorySource:
    """A (D, H, W) array that is read window by window, as a raster would be."""

    array: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.array.shape[1], self.array.shape[2]

    def read(self, window: Window) -> MemoryPatch:
        """A copy of the window's pixels: its place in memory says nothing about its place in the scene."""
        return MemoryPatch(self.array[(slice(None), *window.within(Window(0, 0, *self.shape)))].copy())


def windows_at_random(shape: tuple[int, int], random: np.random.Generator) -> list[Window]:
    """A partition of a scene into unions of whole stacks, in row order: every column of stacks or pair of columns is
    cut at heights of its own."""
    windows, col = [], 0
    while col < shape[1]:
        width = min(shape[1] - col, CELL_COLS * int(random.integers(1, 3)))
        row = 0
        while row < shape[0]:
            height = min(shape[0] - row, STACK_ROWS * int(random.integers(1, 4)))
            windows.append(Window(row, col, height, width))
            row += height
        col += width
    return sorted(windows)


def bands_of(n: int, *, start_nm: float = 400.0, step_nm: float = 10.0) -> Bands:
    """n good bands with evenly spaced wavelengths and a width of one step."""
    nm = start_nm + step_nm * np.arange(n)
    return Bands.of([f"x{i}" for i in range(n)], wavelength_nm=nm, fwhm_nm=np.full(n, step_nm))


def plain(n: int, prefix: str = "y") -> Bands:
    """n bands that have names only."""
    return Bands.of([f"{prefix}{i}" for i in range(n)])


def fusion_of(
    weight: np.ndarray,
    gain: np.ndarray | None = None,
    offset: np.ndarray | None = None,
    *,
    activation: str = "identity",
    nodata: NodataPolicy | None = None,
) -> Fusion:
    """A fusion with these numbers and tables without meaning."""
    k, b = np.shape(weight)
    return Fusion(
        np.asarray(weight, dtype=np.float64),
        np.ones(k) if gain is None else gain,
        np.zeros(k) if offset is None else offset,
        plain(b, "x"),
        plain(k),
        activation,
        NodataPolicy() if nodata is None else nodata,
    )


def correlated(random: np.random.Generator, n: int, d: int, *, floor: float = 0.5) -> Floats:
    """(N, D) pixels with correlated variables, a mean far from zero and a covariance of full rank."""
    mix = random.standard_normal((d, d)) + floor * d * np.eye(d)
    return random.standard_normal((n, d)) @ mix.T / d + random.uniform(1.0, 3.0, d)
