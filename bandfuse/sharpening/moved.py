"""Moved: a sharp image through a field of displacements, resampled part by part.

It is taken at displaced places of the cubic spline through its pixels (M. Unser, Splines: a perfect
fit for signal and image processing, IEEE Signal Processing Magazine 16(6), 1999). All is made by
additions and multiplications of single pixels, so that a pixel has the same bits in every part."""

from __future__ import annotations

import math

import numpy as np

from bandfuse.scenes.polynomials import Field
from bandfuse.sharpening.kernels import POLE, ROUNDS, TAPS, Range, filled
from bandfuse.sharpening.known import complete
from bandfuse.sharpening.pair import Geometry, Read
from bandfuse.spectral.bands import Floats


def moved_read(read: Read, geometry: Geometry, field: Field) -> Read:
    """Reads a sharp image as it lies once it is moved by a field of the cube's grid. A pixel is
    missing where the one that its place falls into is; other missing ones are filled from those
    around."""

    def moved(rows: Range, cols: Range) -> Floats:
        row, col = _places(geometry, field, rows, cols)
        around = _around(row), _around(col)
        values = read(*around)
        valid = complete(values)
        coefficients = _coefficients(filled(values, valid))
        start = around[0].start, around[1].start
        known = valid[_whole(row + 0.5) - start[0], _whole(col + 0.5) - start[1]]
        return np.where(known, _sampled(coefficients, row, col, start), np.nan)

    return moved


def _places(geometry: Geometry, field: Field, rows: Range, cols: Range) -> tuple[Floats, Floats]:
    """(n, m) rows and columns of the sharp image that come to lie on pixels. Beyond what a field
    was told from, displacements are those of its edge."""
    top, bottom, left, right = field.ends
    row, col = np.meshgrid(
        np.clip(geometry.rows.on_coarse(rows), top - 0.5, bottom + 0.5),
        np.clip(geometry.cols.on_coarse(cols), left - 0.5, right + 0.5),
        indexing="ij",
    )
    down, across = field.at(row, col)
    at = np.meshgrid(
        np.arange(rows.start, rows.stop, dtype=np.float64),
        np.arange(cols.start, cols.stop, dtype=np.float64),
        indexing="ij",
    )
    return at[0] - down * geometry.rows.ratio, at[1] - across * geometry.cols.ratio


def _around(at: Floats) -> Range:
    """The pixels that places are made of."""
    halo = TAPS + ROUNDS + 2
    return Range(math.floor(at.min()) - halo, math.floor(at.max()) + halo + 1)


def _whole(at: Floats) -> np.ndarray:
    whole: np.ndarray = np.floor(at).astype(np.int64)
    return whole


def _coefficients(values: Floats) -> Floats:
    """(D, n, m) coefficients of the cubic spline through pixels; those near the edges are not
    right."""
    for axis in (1, 2):
        taps = [POLE ** abs(k) for k in range(-TAPS, TAPS + 1)]
        total = np.zeros_like(values)
        for k, tap in zip(range(-TAPS, TAPS + 1), taps, strict=True):
            total += (tap / sum(taps)) * np.roll(values, k, axis=axis)
        values = total
    return values


def _sampled(coefficients: Floats, row: Floats, col: Floats, start: tuple[int, int]) -> Floats:
    """(D, n, m) the spline at places, from coefficients of the pixels from ``start`` on."""
    r, c = _whole(row), _whole(col)
    down, across = _taps(row - r), _taps(col - c)
    r, c = r - start[0], c - start[1]
    total = np.zeros((len(coefficients), *row.shape))
    for i in range(4):
        for j in range(4):
            total += (down[i] * across[j]) * coefficients[:, r + i - 1, c + j - 1]
    return total


def _taps(far: Floats) -> list[Floats]:
    """Weights of the four coefficients around a place that lies so far from the second one."""
    near = 1 - far
    return [
        near * near * near / 6,
        2 / 3 - far * far * (2 - far) / 2,
        2 / 3 - near * near * (2 - near) / 2,
        far * far * far / 6,
    ]
