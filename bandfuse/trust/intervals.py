"""Intervals: how much weights change from one part of the scene to another, by a block bootstrap over moments.

Blocks are drawn with replacement (Künsch, "The jackknife and the bootstrap for general stationary observations",
Annals of Statistics 17, 1989; here in two dimensions), their moments added with their multiplicities, and the weights
solved anew. No pixel is read again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bandfuse.bands import Floats
from bandfuse.moments import Moments
from bandfuse.progress import Progress
from bandfuse.split import Split, squared_error
from bandfuse.trust.cases import Active, Case, Terms, effective, minimiser
from bandfuse.trust.choose import Choice, solved_as
from bandfuse.trust.holdout import stacked

RESAMPLES = 200


@dataclass(frozen=True, eq=False)
class Sums:
    """Block moments about one common point: counts (n,), sums (n, D), second moments (n, D, D). They add plainly."""

    count: Floats
    first: Floats
    second: Floats
    about: Floats

    @classmethod
    def of(cls, blocks: Sequence[Moments], about: Floats) -> Sums:
        """From the moments of blocks that have pixels."""
        steps = [b.mean - about for b in blocks]
        return cls(
            np.array([b.count for b in blocks], dtype=np.float64),
            np.array([b.count * s for b, s in zip(blocks, steps, strict=True)]),
            np.array([b.scatter + b.count * np.outer(s, s) for b, s in zip(blocks, steps, strict=True)]),
            about,
        )

    def drawn(self, times: Floats) -> Moments:
        """The moments of a resample in which block i stands times[i] times."""
        count = float(times @ self.count)
        mean = times @ self.first / count
        second = np.tensordot(times, self.second, 1)
        return Moments(int(count), self.about + mean, second - count * np.outer(mean, mean))


def resamples(blocks: Sequence[Moments], about: Floats, *, count: int, seed: int) -> Iterator[Moments]:
    """Moments of ``count`` seeded resamples of the blocks; none for less than two blocks."""
    full = [b for b in blocks if b.count]
    if len(full) < 2:
        return
    sums = Sums.of(full, about)
    random = np.random.default_rng(seed)
    for _ in range(count):
        times = np.bincount(random.integers(0, len(full), len(full)), minlength=len(full))
        yield sums.drawn(times.astype(np.float64))


@dataclass(frozen=True, eq=False)
class Interval:
    """(K, B) bounds of gain · W that hold 95 % of the resamples and the weights themselves; ``resampled`` (R, K, B)."""

    low: Floats
    high: Floats
    resampled: Floats


def intervals(
    terms: Terms,
    cases: Sequence[Case],
    choices: Sequence[Choice],
    blocks: Sequence[Moments],
    fitted: Floats,
    *,
    count: int,
    seed: int,
    progress: Progress,
) -> Interval | None:
    """95 % intervals from the resamples' percentiles, widened to hold the fitted weights.

    Non-negative and simplex weights are solved anew *without* the smoothing: smoothing trades bias for variance, and
    intervals around smoothed weights would not show the bias. Free and affine weights keep their regularisation (they
    mean nothing without it): their intervals do not hold its bias. The regularisation is not chosen anew.
    """
    found = np.zeros((count, *fitted.shape))
    drawn = 0
    # Every resample begins at the weights of all pixels: it is nearer to them than to another resample.
    start = [_resolved(c, choices[c.rows[0]], Split.of(terms.joint, terms.n_bands), terms, None)[1] for c in cases]
    draws = resamples(blocks, terms.joint.mean, count=count, seed=seed)
    for moments in progress(draws, total=count, label="resample the blocks"):
        split = Split.of(moments, terms.n_bands)
        parts = []
        for number, case in enumerate(cases):
            v, _ = _resolved(case, choices[case.rows[0]], split, terms, start[number])
            parts.append(effective(case, v, gain=terms.gain))
        found[drawn] = stacked(cases, parts)
        drawn += 1
    if not drawn:
        return None
    low, high = np.percentile(found, [2.5, 97.5], axis=0)
    return Interval(np.minimum(low, fitted), np.maximum(high, fitted), found)


def _resolved(
    case: Case, choice: Choice, split: Split, terms: Terms, start: Active | None
) -> tuple[Floats, Active | None]:
    """The weights of one case on a resample."""
    q = squared_error(split.rows(case.rows), case.layout, case.scale, offset=terms.offset, gain=terms.gain)
    signed = choice.constraint in ("free", "affine")
    return minimiser(case.penalised(q, choice.strength) if signed else q, solved_as(choice, terms.gain), start)
