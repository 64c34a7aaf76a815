"""Scores of outputs against targets, from moments and from a sample of pixels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from bandfuse.moments.moments import Moments, total
from bandfuse.spectral.bands import Floats

Score = dict[str, float | None]


@dataclass(frozen=True, eq=False)
class Pairs:
    """Outputs beside targets: moments of [K outputs, K targets] over all pixels, and (n, 2K) values
    of a sample."""

    moments: Moments
    sample: Floats

    @classmethod
    def linear(cls, seen: Moments, sample: Floats, matrix: Floats, offset: Floats) -> Pairs:
        """From moments and a sample of [B bands, K targets], through ``matrix x + offset``."""
        k, b = matrix.shape
        joint = np.zeros((2 * k, b + k))
        joint[:k, :b], joint[k:, b:] = matrix, np.eye(k)
        shift = np.concatenate([offset, np.zeros(k)])
        return cls(seen.mapped(joint, shift), sample @ joint.T + shift)

    @classmethod
    def of(cls, sample: Floats) -> Pairs:
        """From the sample alone."""
        return cls(Moments.of(sample), sample)

    @classmethod
    def joined(cls, parts: Iterable[Pairs]) -> Pairs:
        """The pairs of several parts of the pixels (at least one) together."""
        every = list(parts)
        size = every[0].moments.size
        return cls(
            total((p.moments for p in every), size), np.concatenate([p.sample for p in every])
        )


@dataclass(frozen=True)
class Scored:
    """Scores of every output, and of all outputs together. ``confusion``: sampled pixels by their
    class and the class that is found; for classes."""

    outputs: list[Score]
    overall: Score
    confusion: Mapping[tuple[int, int], int] = field(default_factory=dict)


def score_pairs(pairs: Pairs, peak: Floats) -> Scored:
    """All scores of K outputs; ``peak`` (K,) for the psnr."""
    return Scored(regression_scores(pairs, peak), overall_scores(pairs))


def regression_scores(pairs: Pairs, peak: Floats) -> list[Score]:
    """Scores of each of K outputs.

    ``mse = var(y) + var(t) − 2 cov(y, t) + (mean(y) − mean(t))²``; ``rmse = √mse`` in the target's
    units; ``r2 = 1 − mse / var(t)``; ``cc`` Pearson's correlation; ``psnr = 20 log₁₀(peak / rmse)``
    in dB, where the peak is the target's maximum; ``mae = mean |y − t|`` over the sample, the
    others over all pixels. A score that does not exist (a constant target, a perfect fit's psnr, an
    empty sample's mae) is None."""
    k = len(peak)
    s, mean = pairs.moments.covariance, pairs.moments.mean
    y, t = pairs.sample[:, :k], pairs.sample[:, k:]
    mae = np.abs(y - t).mean(axis=0) if len(y) else None
    rows = []
    for i in range(k):
        vy, vt, cov = float(s[i, i]), float(s[k + i, k + i]), float(s[i, k + i])
        bias = float(mean[i] - mean[k + i])
        mse = max(0.0, vy + vt - 2 * cov) + bias**2
        row = _score(mse, vt, cov / np.sqrt(vy * vt) if vy > 0 and vt > 0 else None, float(peak[i]))
        rows.append({**row, "mae": None if mae is None else float(mae[i])})
    return rows


def overall_scores(pairs: Pairs) -> Score:
    """Scores of K outputs together.

    ``ergas = 100 √(mean_k (rmse_k / mean(t_k))²)`` over all pixels, outputs and target on one grid
    (Wald, "Quality of high resolution synthesised images: is there a simple criterion?", 2000);
    ``sam``: mean spectral angle in degrees between the K outputs and the K targets of a pixel, over
    the sample (Kruse et al., Remote Sensing of Environment 44, 1993). None where there is none: a
    target with a mean of zero, less than two outputs, vectors without a direction."""
    k = pairs.moments.size // 2
    s, mean = pairs.moments.covariance, pairs.moments.mean
    mse = np.diag(s)[:k] + np.diag(s)[k:] - 2 * np.diag(s[:k, k:]) + (mean[:k] - mean[k:]) ** 2
    known = bool((mean[k:] != 0).all())
    ergas = float(100 * np.sqrt(np.mean(np.maximum(mse, 0) / mean[k:] ** 2))) if known else None
    return {
        "sam": _angle(pairs.sample[:, :k], pairs.sample[:, k:]) if k > 1 else None,
        "ergas": ergas,
    }


def _angle(y: Floats, t: Floats) -> float | None:
    """Mean angle in degrees between rows that have a direction."""
    size = np.linalg.norm(y, axis=1) * np.linalg.norm(t, axis=1)
    there = size > 0
    if not there.any():
        return None
    cosine = (y[there] * t[there]).sum(axis=1) / size[there]
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))).mean())


def reconstruction_score(loss: float, nothing: float, peak: float) -> Score:
    """Scores of a cube rebuilt from its outputs: ``loss`` and ``nothing`` are mean squared errors
    per band, with the outputs and with the mean spectrum alone."""
    return _score(max(0.0, loss), nothing, None, peak)


def _score(mse: float, variance: float, cc: float | None, peak: float) -> Score:
    rmse = float(np.sqrt(mse))
    return {
        "r2": 1 - mse / variance if variance > 0 else None,
        "rmse": rmse,
        "cc": None if cc is None else float(np.clip(cc, -1, 1)),
        "psnr": float(20 * np.log10(peak / rmse)) if rmse > 0 and peak > 0 else None,
    }
