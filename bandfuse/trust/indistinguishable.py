"""Indistinguishable: neighbouring bands that the pixels cannot tell apart, and the weights of such
runs as sums."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bandfuse.spectral.bands import Floats
from bandfuse.trust.penalty import Tie
from bandfuse.trust.regularisation import WORTH

SMALL = 0.01
"""Runs that hold no more than this part of the weight are not worth a word."""


@dataclass(frozen=True, eq=False)
class BandRun:
    """Neighbouring bands among which weight can be moved at will: only its sum is known.

    ``positions`` among the used bands; ``total`` the sum of the weights, with the 2.5th and 97.5th
    percentiles of its resamples; ``cost`` the most that sharing the weight out otherwise can add to
    the loss, as a part of the target's variance."""

    positions: tuple[int, ...]
    total: float
    low: float
    high: float
    cost: float


def condition(covariance: Floats) -> float:
    """Condition number of the correlations of the bands: how much noise the least-squares weights
    magnify (squared).

    Infinite where bands depend on each other exactly.
    """
    d = np.sqrt(np.diag(covariance))
    size = np.where(d > 0, d, 1.0)
    values = np.linalg.eigvalsh(covariance / np.outer(size, size))
    return float(values[-1] / values[0]) if values[0] > 0 else float("inf")


def moving_cost(
    covariance: Floats, weight: Floats, positions: Sequence[int], variance: float
) -> float:
    """The most that sharing the weight of some bands out otherwise can add to the squared error,
    per target variance.

    A change d of the weights with ``Σ d = 0`` that moves no more than ``S = Σ |w|`` adds ``dᵀ A
    d``, at most ``S² max_{p,q} var(x_p − x_q)``: d is S times the difference of two ways of
    sharing, and a variance is convex."""
    p = list(positions)
    local = covariance[np.ix_(p, p)]
    spread = np.diag(local)[:, None] + np.diag(local)[None] - 2 * local
    return (
        float(np.abs(weight[p]).sum() ** 2 * max(spread.max(), 0.0) / variance)
        if variance > 0
        else 0.0
    )


def runs(
    covariance: Floats,
    weight: Floats,
    resampled: Floats,
    variance: float,
    ties: Sequence[Tie],
    worth: float = WORTH,
) -> list[BandRun]:
    """Runs of at least two bands with weight among which moving it costs no more than ``worth``,
    the largest sum first.

    Runs are taken from the first band on, each as long as may be; those with less than a hundredth
    of the weight are left out.

    Parameters
    ----------
    covariance : (B, B) of the bands. weight : (B,) gain · w of one output, in its group. resampled
        : (R, B).
    variance : of the target. ties : which bands are neighbours; runs do not cross gaps.
    """
    found, most = [], worth * variance if variance > 0 else np.inf
    for chain in _chains(ties):
        start = 0
        while start < len(chain):
            end = _end(covariance, weight, chain, start, most)
            part = chain[start:end]
            if len(part) > 1 and np.abs(weight[part]).sum() > SMALL * np.abs(weight).sum():
                found.append(_run(covariance, weight, resampled, part, variance))
            start = end
    return sorted(found, key=lambda run: -abs(run.total))


def _end(covariance: Floats, weight: Floats, chain: Sequence[int], start: int, most: float) -> int:
    """One after the last band of a chain among which, from ``start`` on, moving the weight adds no
    more than ``most`` to the squared error: :func:`moving_cost`, band by band."""
    own = covariance.diagonal()
    moved, spread = abs(float(weight[chain[start]])), 0.0
    for end in range(start + 1, len(chain)):
        new, part = chain[end], chain[start:end]
        moved += abs(float(weight[new]))
        apart = own[part] + own[new] - 2 * covariance[new, part]
        spread = max(spread, float(apart.max()))
        if moved**2 * spread > most:
            return end
    return len(chain)


def _run(
    covariance: Floats, weight: Floats, resampled: Floats, part: list[int], variance: float
) -> BandRun:
    """Some bands as a run, with the percentiles of its sum over the resamples (R, B)."""
    sums, total = resampled[:, part].sum(axis=1), float(weight[part].sum())
    low, high = np.percentile(sums, [2.5, 97.5]) if len(sums) else (total, total)
    cost = moving_cost(covariance, weight, part, variance)
    return BandRun(tuple(part), total, min(float(low), total), max(float(high), total), cost)


def _chains(ties: Sequence[Tie]) -> Iterator[list[int]]:
    """Bands that are tied to each other, in the order of the ties."""
    chain: list[int] = []
    for tie in ties:
        if chain and chain[-1] == tie.first:
            chain.append(tie.second)
            continue
        if chain:
            yield chain
        chain = [tie.first, tie.second]
    if chain:
        yield chain
