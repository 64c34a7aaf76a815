"""Scores of outputs against targets, from moments."""

from __future__ import annotations

import numpy as np

from bandfuse.bands import Floats
from bandfuse.fusion import Fusion
from bandfuse.moments import Moments

Score = dict[str, float | None]


def against_targets(joint: Moments, fusion: Fusion) -> Moments:
    """Moments of [outputs, targets] from those of [inputs of the fusion, K targets]."""
    k, b = fusion.weight.shape
    matrix = np.zeros((2 * k, b + k))
    matrix[:k, :b] = fusion.matrix
    matrix[k:, b:] = np.eye(k)
    return joint.mapped(matrix, np.concatenate([fusion.offset, np.zeros(k)]))


def regression_scores(pairs: Moments, peak: Floats) -> list[Score]:
    """Scores of K outputs from the moments of [K outputs, K targets].

    ``mse = var(y) + var(t) − 2 cov(y, t) + (mean(y) − mean(t))²``; ``rmse = √mse`` in the target's units;
    ``r2 = 1 − mse / var(t)``; ``cc`` Pearson's correlation; ``psnr = 20 log₁₀(peak / rmse)`` in dB, where the peak is
    the target's maximum. A score that does not exist (a constant target, a perfect fit's psnr) is None.
    """
    k = len(peak)
    s = pairs.covariance
    rows = []
    for i in range(k):
        vy, vt, cov = float(s[i, i]), float(s[k + i, k + i]), float(s[i, k + i])
        bias = float(pairs.mean[i] - pairs.mean[k + i])
        mse = max(0.0, vy + vt - 2 * cov) + bias**2
        rows.append(_score(mse, vt, cov / np.sqrt(vy * vt) if vy > 0 and vt > 0 else None, float(peak[i])))
    return rows


def reconstruction_score(loss: float, nothing: float, peak: float) -> Score:
    """Scores of a cube rebuilt from its outputs: ``loss`` and ``nothing`` are mean squared errors per band, with the
    outputs and with the mean spectrum alone."""
    return _score(max(0.0, loss), nothing, None, peak)


def _score(mse: float, variance: float, cc: float | None, peak: float) -> Score:
    rmse = float(np.sqrt(mse))
    return {
        "r2": 1 - mse / variance if variance > 0 else None,
        "rmse": rmse,
        "cc": None if cc is None else float(np.clip(cc, -1, 1)),
        "psnr": float(20 * np.log10(peak / rmse)) if rmse > 0 and peak > 0 else None,
    }
