"""Gauge: where an objective does not see a row's scale or mixture, the form in which rows are
reported."""

from __future__ import annotations

import numpy as np

from bandfuse.solve.layout import Layout
from bandfuse.solve.leading import leading, same_bands
from bandfuse.spectral.bands import Floats


def normalise(weight: Floats, constraint: str) -> Floats:
    """Rows of unit norm and non-negative sum; affine and simplex rows have their unit sum
    already."""
    if constraint in ("affine", "simplex"):
        return weight
    norm = np.linalg.norm(weight, axis=1, keepdims=True)
    unit = weight / np.where(norm > 0, norm, 1.0)
    return unit * np.where(unit.sum(axis=1, keepdims=True) < 0, -1.0, 1.0)


def uncorrelate(
    weight: Floats, layout: Layout, covariance: Floats, bottom: Floats | None = None
) -> Floats:
    """Mix the rows that share one group so that their outputs are uncorrelated, largest variance
    first.

    With unit-norm rows of one span, ``W A Wᵀ = U Λ Uᵀ`` after an orthonormal basis of the span is
    taken: the leading components of the cube within that span. With ``bottom``, another (B, B)
    matrix, the variance over that of the outputs under it is largest first. Only for unconstrained
    rows: a mixture would leave other constraints."""
    result = weight.copy()
    for rows in same_bands(layout):
        if len(rows) > 1:
            bands = layout.col[layout.row == rows[0]]
            here, place = np.ix_(bands, bands), np.ix_(rows, bands)
            basis = np.linalg.qr(weight[place].T)[0].T
            below = np.eye(len(rows)) if bottom is None else basis @ bottom[here] @ basis.T
            mixed, _ = leading(basis @ covariance[here] @ basis.T, below, len(rows))
            result[place] = mixed @ basis
    return result
