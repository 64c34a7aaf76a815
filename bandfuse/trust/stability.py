"""Stability: how often a weight changes its sign, and how far its rank by size moves, over
resamples of the blocks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bandfuse.spectral.bands import Floats


@dataclass(frozen=True, eq=False)
class Stability:
    """Of the B weights of one output.

    ``flips`` (B,): share of the resamples in which the sign is the other one; NaN for weights of
    zero. ``rank`` (B,): place by size, the largest weight first, equal sizes sharing the mean of
    their places; ``rank_low`` and ``rank_high`` its 2.5th and 97.5th percentiles. ``agreement``:
    mean over the resamples of Spearman's rank correlation of the sizes with the fitted ones; NaN
    where all sizes are equal."""

    flips: Floats
    rank: Floats
    rank_low: Floats
    rank_high: Floats
    agreement: float


def stability(fitted: Floats, resampled: Floats) -> Stability:
    """From (B,) fitted and (R, B) resampled weights, R ≥ 1."""
    sign = np.sign(fitted)
    flips = np.where(sign != 0, (np.sign(resampled) * sign < 0).mean(axis=0), np.nan)
    rank, ranks = ranks_by_size(fitted[None])[0], ranks_by_size(resampled)
    low, high = np.percentile(ranks, [2.5, 97.5], axis=0)
    return Stability(flips, rank, low, high, _agreement(rank, ranks))


def ranks_by_size(weight: Floats) -> Floats:
    """(R, B) places by size within each row, from 1 for the largest; ties get the mean of their
    places.

    As scipy.stats.rankdata does; but to import scipy.stats takes longer than all of a small
    training."""
    ranks = np.empty(weight.shape)
    for row, sizes in zip(ranks, -np.abs(weight), strict=True):
        _, place, count = np.unique(sizes, return_inverse=True, return_counts=True)
        row[:] = (np.cumsum(count) - (count - 1) / 2)[place]
    return ranks


def _agreement(rank: Floats, ranks: Floats) -> float:
    """Mean correlation of (R, B) ranks with (B,) ranks, over the rows where there is one."""
    a, b = rank - rank.mean(), ranks - ranks.mean(axis=1, keepdims=True)
    size = np.linalg.norm(a) * np.linalg.norm(b, axis=1)
    there = size > 0
    return float((b[there] @ a / size[there]).mean()) if there.any() else float("nan")
