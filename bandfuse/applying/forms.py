"""Forms: squared sums over the bands of pixels, as few products in float32.

For q axes A, and for each of K outputs r rows F_k, of differences x from a mean::

    ‖A x‖²   and   ‖F_k (x + step)‖²,   k = 1 … K

All rows are multiplied in one product, or each output's over its own bands where these are few.
Where the rows of all outputs are sums of the same few, F_k = M_k L, only L is multiplied with
pixels, and M_k with what comes of it.

Products are in float32 where its rounding is known to be small. With u = 2⁻²⁴ a row a is off by at
most ``γ Σ |a_b d_b| + u Σ |a_b m_b|``, ``γ = n u / (1 − n u)``, for differences d from a mean m
that is itself rounded, and n roundings of each term: one of a_b, one of d_b, one product, S
additions, and 14 more where there is a mix (N. J. Higham, Accuracy and Stability of Numerical
Algorithms, 2nd edition, section 3.1). If that is above :data:`MOST_ERROR` in any row, for a
spectrum that is one standard deviation off in every band, all is float64. Rows are in units in
which 1 matters: a standard deviation along an axis, the residual of an output."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from bandfuse.model.scratch import Scratch
from bandfuse.model.stored import made_up
from bandfuse.model.uncertainty import SHARED
from bandfuse.spectral.bands import Floats

PIXELS = 256
"""Pixels of a block: their bands in float32 stay in the cache of a core."""

SMALL_PRODUCTS = 2
"""How much longer small products take for each of their operations."""

EXACT = 1e-9
"""Error, as a part of their size, up to which rows are sums of others."""

MOST_ERROR = 0.1
"""The most that float32 may change a sum by, at one standard deviation in every band: the bound of
the worst case. Errors are far smaller as a rule."""

Spans = list[tuple[slice, slice]]
"""Rows and bands of products."""


class Forms:
    """Of blocks of :data:`PIXELS` pixels, as BLAS takes its steps by the shape.

    Parameters
    ----------
    axes : (q, S). factor : (K, r, S). mean : (S,) what numbers are differences from. step : (S,)
        added to differences for the factors. inverse : (S,) one over the standard deviation of each
        band, or zero."""

    def __init__(
        self, axes: Floats, factor: Floats, mean: Floats, step: Floats, inverse: Floats
    ) -> None:
        self.outputs, self._axes = len(factor), len(axes)
        rows = factor.reshape(-1, factor.shape[2])
        self.matrix, mix = np.concatenate([axes, rows]), None
        self._spans = _spans(self.matrix, self._axes, self.outputs)
        found = in_common(rows, inverse)
        if found is not None:
            matrix = np.concatenate([axes, found[1]])
            if matrix.size + found[0].size < _operations(self._spans):
                self.matrix, self._spans, mix = matrix, _whole(matrix), found[0]
        error = _rounding(self.matrix, self._axes, mix, mean, inverse)
        self.dtype: type[np.floating[Any]] = np.float32 if error <= MOST_ERROR else np.float64
        self._mix = None if mix is None else mix.astype(self.dtype)
        shift = self.matrix[self._axes :] @ step
        self._shift = shift.astype(self.dtype)[:, None] if shift.any() else None
        self._rooms = Scratch()

    def squares(self, matrix: np.ndarray, away: np.ndarray, out: np.ndarray) -> None:
        """Put (1 + K, n) squares of the first n of (S, PIXELS) differences into ``out``.
        ``matrix``: :attr:`matrix` in :attr:`dtype`, for the scale of these numbers."""
        sums = self._rooms("sums", len(matrix), PIXELS, dtype=self.dtype)
        for rows, bands in self._spans:
            np.matmul(matrix[rows, bands], away[bands], out=sums[rows])
        count = out.shape[1]
        along, parts = sums[: self._axes, :count], sums[self._axes :]
        np.einsum("rn,rn->n", along, along, out=out[0])
        if not self.outputs:
            return
        if self._shift is not None:
            parts += self._shift
        if self._mix is not None:
            mixed = self._rooms("mixed", len(self._mix), PIXELS, dtype=self.dtype)
            parts = np.matmul(self._mix, parts, out=mixed)
        each = parts.reshape(self.outputs, -1, PIXELS)[:, :, :count]
        np.einsum("krn,krn->kn", each, each, out=out[1:])

    @cached_property
    def either_way(self) -> bool:
        """Whether a block that lies pixel by pixel in memory gives the same bits as band by
        band."""
        matrix = made_up(*self.matrix.shape).astype(self.dtype)
        away = made_up(matrix.shape[1], PIXELS).astype(self.dtype)
        found = np.empty((2, 1 + self.outputs, PIXELS), self.dtype)
        self.squares(matrix, away, found[0])
        self.squares(matrix, np.ascontiguousarray(away.T).T, found[1])
        return bool(np.array_equal(*found))


def in_common(rows: Floats, inverse: Floats) -> tuple[Floats, Floats] | None:
    """(n, 12) and (12, S) matrices whose product are the (n, S) rows, where there are such;
    ``inverse``: (S,) one over the typical size of each band, or zero."""
    if len(rows) <= SHARED:
        return None
    unit = np.where(inverse > 0, inverse, 1.0)
    even = rows / unit
    mixed = np.random.default_rng(0).standard_normal((SHARED, len(rows))) @ even
    basis = np.linalg.qr(mixed.T)[0].T
    mix = even @ basis.T
    if np.linalg.norm(even - mix @ basis) > EXACT * np.linalg.norm(even):
        return None
    return mix, basis * unit


def _rounding(
    matrix: Floats, axes: int, mix: Floats | None, mean: Floats, inverse: Floats
) -> float:
    """The bound of what float32 changes a sum by."""
    size = np.abs(matrix)
    counts, unit = inverse > 0, 2.0**-24
    deviation = np.where(counts, 1.0 / np.where(counts, inverse, 1.0), 0.0)
    steps = unit * (matrix.shape[1] + 3 + (0 if mix is None else SHARED + 2))
    sums = size @ (steps / (1 - steps) * deviation + unit * np.abs(mean))
    mixed = sums[axes:] if mix is None else np.abs(mix) @ sums[axes:]
    return float(max(sums[:axes].max(initial=0.0), mixed.max(initial=0.0)))


def _spans(matrix: np.ndarray, axes: int, outputs: int) -> Spans:
    """Rows and bands of the products of (q + K r, S) axes and factors: of each output over its own
    bands, where that is much less than all of them at once."""
    rank = (len(matrix) - axes) // max(1, outputs)
    found = [(slice(0, axes), slice(0, matrix.shape[1]))]
    for k in range(outputs):
        rows = slice(axes + k * rank, axes + (k + 1) * rank)
        used = np.flatnonzero((matrix[rows] != 0).any(axis=0))
        first, last = (int(used[0]), int(used[-1]) + 1) if len(used) else (0, 1)
        found.append((rows, slice(first, last)))
    whole = _whole(matrix)
    return found if SMALL_PRODUCTS * _operations(found) < _operations(whole) else whole


def _whole(matrix: np.ndarray) -> Spans:
    """All rows over all bands at once."""
    return [(slice(0, matrix.shape[0]), slice(0, matrix.shape[1]))]


def _operations(spans: Spans) -> int:
    """Multiplications for each pixel."""
    return sum((r.stop - r.start) * (b.stop - b.start) for r, b in spans)
