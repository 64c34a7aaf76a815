"""Small things that several test modules need: comparisons, an image in memory, random data.

A comparison of computed numbers is of one of three kinds, and the call says which:

* :func:`same_bits`: two runs on this machine, with the same kernels. Windows, layout, threads,
  memory and workers must not change a bit.
* :func:`close_to_conditioning` and :func:`rounding`: the same number by another way. Another
  processor adds in another order, so the tolerance follows from the problem.
* :func:`same_fit`: weights of a problem that has no unique answer. What they make of the pixels is
  compared (or losses, or scores), never the weights.

Names, whole numbers, and values that are copied and not computed are compared as they are. So are
sums of a few numbers that binary fractions hold, which are exact in any order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from bandfuse.model.fusion import Fusion, NodataPolicy
from bandfuse.spectral.bands import Bands, Floats
from bandfuse.streaming.windows import CELL_COLS, STACK_ROWS, Window

EPS = float(np.finfo(np.float64).eps)
"""The spacing of float64 numbers at one."""

STEPS = 1000
"""Roundings that add up in one result: the terms of a sum, and the sums that follow one another."""


def same_bits(first: ArrayLike, *others: ArrayLike) -> None:
    """Runs on this machine agree in type, shape and every bit; bytes of files too. NaN is NaN."""
    assert others
    if isinstance(first, bytes):
        assert all(other == first for other in others)
        return
    expected = np.asarray(first)
    for other in others:
        found = np.asarray(other)
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
        np.testing.assert_array_equal(found, expected)
        if expected.dtype.kind == "f":
            there = ~np.isnan(expected)
            np.testing.assert_array_equal(np.signbit(found[there]), np.signbit(expected[there]))


def rounding(condition: float = 1.0) -> float:
    """``1000 · eps · condition``: what the order of summation may move results by, relative to the
    largest of them.

    A sum in another order differs by some eps of the sum of the sizes of its terms. What is
    computed from it magnifies this by its condition: 1 for means and variances of centred numbers,
    the largest over the smallest eigenvalue of the correlations for least squares from moments
    (:func:`condition_of`), size over result where terms cancel."""
    return STEPS * EPS * condition


def close_to_conditioning(found: ArrayLike, expected: ArrayLike, condition: float = 1.0) -> None:
    """Numbers by two ways agree to :func:`rounding` of the largest of them; NaN where NaN is."""
    there = np.abs(np.asarray(expected, dtype=np.float64))
    size = float(np.max(there, where=np.isfinite(there), initial=0.0))
    limit = rounding(condition) * size
    np.testing.assert_allclose(np.asarray(found), np.asarray(expected), rtol=0, atol=limit)


def condition_of(pixels: ArrayLike) -> float:
    """The condition of least squares from moments of (N, D) pixels: that of their correlations."""
    return float(np.linalg.cond(np.corrcoef(np.asarray(pixels, dtype=np.float64).T)))


def same_fit(found: ArrayLike, expected: ArrayLike, pixels: ArrayLike) -> None:
    """(K, B) weights that may differ where (N, B) pixels cannot tell them apart fit the same.

    A solver leaves a gradient of some eps. It moves the weights by eps · condition, and the fitted
    values by eps times the root of the condition, which is at most 1 / eps: half of the digits are
    certain for any pixels.
    """
    x = np.asarray(pixels, dtype=np.float64)
    y, t = ((x - x.mean(axis=0)) @ np.asarray(w, dtype=np.float64).T for w in (found, expected))
    apart = np.sqrt(np.mean((y - t) ** 2, axis=0))
    assert (apart <= rounding(min(condition_of(x), 1 / EPS) ** 0.5) * t.std(axis=0)).all(), apart


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
        """A copy of the window's pixels: its place in memory says nothing about its place in the
        scene."""
        return MemoryPatch(
            self.array[(slice(None), *window.within(Window(0, 0, *self.shape)))].copy()
        )


def windows_at_random(shape: tuple[int, int], random: np.random.Generator) -> list[Window]:
    """A partition of a scene into unions of whole stacks, in row order: every column of stacks or
    pair of columns is cut at heights of its own."""
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
    """(N, D) pixels with correlated variables, a mean far from zero and a covariance of full
    rank."""
    mix = random.standard_normal((d, d)) + floor * d * np.eye(d)
    return random.standard_normal((n, d)) @ mix.T / d + random.uniform(1.0, 3.0, d)
