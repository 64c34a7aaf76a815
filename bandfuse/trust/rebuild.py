"""Rebuild: how well a cube comes back from its outputs, on pixels that were held out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bandfuse.spectral.bands import Floats
from bandfuse.moments.moments import Moments

Encoder = Callable[[Moments], Floats]
"""(K, B) weights learned from the moments of B bands."""


def rebuild_error(train: Moments, test: Moments, weight: Floats) -> float:
    """Mean squared error per band on the test pixels, of the least-squares decoder of the training.

    ``x̂ = m + A Wᵀ (W A Wᵀ)⁺ W (x − m)`` with A and m the covariance and mean of the training, so that the error is
    ``tr(E S Eᵀ) / B`` with ``E = I − A Wᵀ (W A Wᵀ)⁺ W`` and S the second moment of the test about m. No weights
    (K = 0) leave the mean spectrum.
    """
    step = test.mean - train.mean
    spread = test.covariance + np.outer(step, step)
    error = np.eye(len(step))
    if len(weight):
        cross = train.covariance @ weight.T
        error -= cross @ np.linalg.pinv(weight @ cross, hermitian=True) @ weight
    return float(np.trace(error @ spread @ error.T)) / len(step)


def principal(k: int) -> Encoder:
    """The k leading principal components."""

    def encode(moments: Moments) -> Floats:
        _, vectors = np.linalg.eigh(moments.covariance)
        leading: Floats = vectors[:, ::-1][:, :k].T
        return leading

    return encode
