"""Moved: a sharp image through a field of displacements, resampled part by part.

It is taken at displaced places of the quintic spline through its pixels (M. Unser, Splines: a
perfect fit for signal and image processing, IEEE Signal Processing Magazine 16(6), 1999), which
keeps more of the finest detail than a cubic one. All is made by additions and multiplications of
single pixels, so that a pixel has the same bits in every part."""

from __future__ import annotations

import math

import numpy as np

from bandfuse.scenes.displacement import complete
from bandfuse.scenes.polynomials import Field
from bandfuse.sharpening.pairs.kernels import ROUNDS, filled
from bandfuse.sharpening.pairs.pair import Geometry, Read
from bandfuse.sharpening.pairs.ranges import Range
from bandfuse.spectral.bands import Floats

POLES = ((-0.430575347099973743, 12), (-0.0430962882032646538, 4))
"""Of the recursive filters that turn values into coefficients of a quintic spline, and after how
many pixels on each side these are cut; what is left out is below 0.0001 of them."""

REACH = 3
"""Coefficients on each side of a place that the spline is made of."""


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
    halo = sum(taps for _, taps in POLES) + ROUNDS + REACH
    return Range(math.floor(at.min()) - halo, math.floor(at.max()) + halo + 1)


def _whole(at: Floats) -> np.ndarray:
    whole: np.ndarray = np.floor(at).astype(np.int64)
    return whole


def _coefficients(values: Floats) -> Floats:
    """(D, n, m) coefficients of the quintic spline through pixels; those near the edges are not
    right."""
    for axis in (1, 2):
        for pole, far in POLES:
            taps = [pole ** abs(k) for k in range(-far, far + 1)]
            total = np.zeros_like(values)
            for k, tap in zip(range(-far, far + 1), taps, strict=True):
                total += (tap / sum(taps)) * np.roll(values, k, axis=axis)
            values = total
    return values


def _sampled(coefficients: Floats, row: Floats, col: Floats, start: tuple[int, int]) -> Floats:
    """(D, n, m) the spline at places, from coefficients of the pixels from ``start`` on."""
    r, c = _whole(row), _whole(col)
    near = range(1 - REACH, REACH + 1)
    down, across = ([_bell(far - k) for k in near] for far in (row - r, col - c))
    r, c = r - start[0], c - start[1]
    total = np.zeros((len(coefficients), *row.shape))
    for i, along in zip(near, down, strict=True):
        for j, beside in zip(near, across, strict=True):
            total += (along * beside) * coefficients[:, r + i, c + j]
    return total


def _bell(far: Floats) -> Floats:
    """The quintic B-spline, ``((3 − |x|)⁵ − 6 (2 − |x|)⁵ + 15 (1 − |x|)⁵) / 120``, without powers
    of negative numbers."""
    total = np.zeros_like(far)
    for end, times in ((3, 1.0), (2, -6.0), (1, 15.0)):
        rest = np.maximum(end - np.abs(far), 0.0)
        square = rest * rest
        total += (times / 120) * (square * square * rest)
    return total
