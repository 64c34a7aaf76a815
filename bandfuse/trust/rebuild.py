"""Rebuild: how well a cube comes back from its outputs, on pixels that were held out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from bandfuse.bands import Floats
from bandfuse.moments import Moments
from bandfuse.scores import Judged, Score, reconstruction_score
from bandfuse.trust.folds import Fold
from bandfuse.trust.holdout import Table

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


def held_out_score(folds: Sequence[Fold], encode: Encoder, peak: float) -> Score:
    """The score over all folds: the encoder and its decoder are learned on the rest each time."""
    count = sum(f.test.count for f in folds)
    nothing = np.zeros((0, folds[0].test.size))
    loss = sum(f.test.count * rebuild_error(f.train, f.test, encode(f.train)) for f in folds) / count
    none = sum(f.test.count * rebuild_error(f.train, f.test, nothing) for f in folds) / count
    return reconstruction_score(loss, none, peak)


def rebuild_table(joint: Moments, folds: Sequence[Fold], encoders: dict[str, Encoder], peak: float) -> Table:
    """Scores of baselines by name: on the training pixels, and on held-out blocks where there are folds."""
    nothing = rebuild_error(joint, joint, np.zeros((0, joint.size)))
    table: Table = {}
    for name, encode in encoders.items():
        loss = rebuild_error(joint, joint, encode(joint))
        table[name] = {"train": Judged([reconstruction_score(loss, nothing, peak)], {})}
        if folds:
            table[name]["holdout"] = Judged([held_out_score(folds, encode, peak)], {})
    return table
