"""Gauge: where an objective does not see a row's scale or mixture, the form in which rows are
reported."""

from __future__ import annotations

import numpy as np

from bandfuse.solve.layout import Layout
from bandfuse.spectral.bands import Floats


def normalise(weight: Floats, constraint: str) -> Floats:
    """Rows of unit norm and non-negative sum; affine and simplex rows have their unit sum
    already."""
    if constraint in ("affine", "simplex"):
        return weight
    norm = np.linalg.norm(weight, axis=1, keepdims=True)
    unit = weight / np.where(norm > 0, norm, 1.0)
    return unit * np.where(unit.sum(axis=1, keepdims=True) < 0, -1.0, 1.0)


def uncorrelate(weight: Floats, layout: Layout, covariance: Floats) -> Floats:
    """Mix the rows that share one group so that their outputs are uncorrelated, largest variance
    first.

    With unit-norm rows of one span, ``W A Wᵀ = U Λ Uᵀ`` after an orthonormal basis of the span is
    taken: the leading components of the cube within that span. Only for unconstrained rows: a
    mixture would leave other constraints."""
    result = weight.copy()
    supports: dict[tuple[int, ...], list[int]] = {}
    for row in range(layout.shape[0]):
        supports.setdefault(tuple(layout.col[layout.row == row].tolist()), []).append(row)
    for rows in supports.values():
        if len(rows) > 1:
            basis = np.linalg.qr(weight[rows].T)[0].T
            values, vectors = np.linalg.eigh(basis @ covariance @ basis.T)
            result[rows] = vectors[:, np.argsort(values)[::-1]].T @ basis
    return result
