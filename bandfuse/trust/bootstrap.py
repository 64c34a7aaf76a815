"""Bootstrap: how much weights change from one part of the scene to another, by resampled blocks of
moments.

Blocks are drawn with replacement (Künsch, "The jackknife and the bootstrap for general stationary
observations", Annals of Statistics 17, 1989; here in two dimensions), their moments added with
their multiplicities, and the weights solved anew. No pixel is read again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bandfuse.moments.moments import Moments
from bandfuse.progress import Progress
from bandfuse.solve.exact import Quadratic, nonnegative, unit_scale
from bandfuse.solve.nnls import nonnegative_grams
from bandfuse.solve.squares import Split, squared_error
from bandfuse.spectral.bands import Floats
from bandfuse.trust.fold_problems import Active, FoldProblem, Terms, effective, minimiser
from bandfuse.trust.regularisation import Choice, solved_as

RESAMPLES = 200

BATCH, BATCH_BYTES = 50, 40 * 2**20
"""Resamples that are solved at once: at most so many, whose moments take at most so much."""


def _batch(size: int) -> int:
    """Resamples of so many variables that are solved at once."""
    return max(1, min(BATCH, BATCH_BYTES // (8 * size**2)))


@dataclass(frozen=True, eq=False)
class BlockSums:
    """Block moments about one common point: counts (n,), sums (n, D), second moments (n, D, D).
    They add plainly."""

    count: Floats
    first: Floats
    second: Floats
    about: Floats

    @classmethod
    def of(cls, blocks: Sequence[Moments], about: Floats) -> BlockSums:
        """From the moments of blocks that have pixels."""
        steps = [b.mean - about for b in blocks]
        second = np.empty((len(blocks), len(about), len(about)))
        for own, b, s in zip(second, blocks, steps, strict=True):
            own[:] = b.scatter + b.count * np.outer(s, s)
        return cls(
            np.array([b.count for b in blocks], dtype=np.float64),
            np.array([b.count * s for b, s in zip(blocks, steps, strict=True)]),
            second,
            about,
        )

    def drawn(self, times: Floats) -> Iterator[Moments]:
        """The moments of resamples in which block i stands times[r, i] times; all read the blocks'
        moments once."""
        counts, size = times @ self.count, len(self.about)
        means = times @ self.first / counts[:, None]
        seconds = (times @ self.second.reshape(len(self.count), -1)).reshape(-1, size, size)
        for count, mean, second in zip(counts, means, seconds, strict=True):
            second -= count * np.outer(mean, mean)
            yield Moments(int(count), self.about + mean, second)


def resamples(
    blocks: Sequence[Moments], about: Floats, *, count: int, seed: int
) -> Iterator[Moments]:
    """Moments of ``count`` seeded resamples of the blocks; none for less than two blocks."""
    full = [b for b in blocks if b.count]
    if len(full) < 2:
        return
    sums = BlockSums.of(full, about)
    random = np.random.default_rng(seed)
    drawn = [
        np.bincount(random.integers(0, len(full), len(full)), minlength=len(full))
        for _ in range(count)
    ]
    batch = _batch(len(about))
    for first in range(0, count, batch):
        yield from sums.drawn(np.array(drawn[first : first + batch], dtype=np.float64))


@dataclass(frozen=True, eq=False)
class Interval:
    """(K, B) bounds of gain · W that hold 95 % of the resamples and the weights themselves;
    ``resampled`` (R, K, B)."""

    low: Floats
    high: Floats
    resampled: Floats


def intervals(
    terms: Terms,
    fold_problems: Sequence[FoldProblem],
    choices: Sequence[Choice],
    blocks: Sequence[Moments],
    fitted: Floats,
    *,
    count: int,
    seed: int,
    progress: Progress,
) -> Interval | None:
    """95 % intervals from the resamples' percentiles, widened to hold the fitted weights.

    Band-pass responses are drawn from their posterior instead: their prior is too strong for
    resamples to show what it does not know.
    Non-negative and simplex weights are solved anew *without* the smoothing: smoothing trades bias
    for variance, and intervals around smoothed weights would not show the bias. Free and affine
    weights keep their regularisation (they mean nothing without it): their intervals do not hold
    its bias. The regularisation is not chosen anew."""
    if sum(block.count > 0 for block in blocks) < 2:
        return None
    found = np.zeros((count, *fitted.shape))
    again = [case for case in fold_problems if choices[case.rows[0]].lobe is None]
    if again:
        _resample(terms, again, choices, blocks, found, seed, progress)
    for case in fold_problems:
        lobe = choices[case.rows[0]].lobe
        if lobe is not None:
            draws = lobe.draws(count, seed + case.rows[0])
            found[:, case.rows[0]] = [effective(case, v, gain=False)[0] for v in draws]
    low, high = np.percentile(found, [2.5, 97.5], axis=0)
    return Interval(np.minimum(low, fitted), np.maximum(high, fitted), found)


def _resample(
    terms: Terms,
    again: Sequence[FoldProblem],
    choices: Sequence[Choice],
    blocks: Sequence[Moments],
    found: Floats,
    seed: int,
    progress: Progress,
) -> None:
    """Fill (R, K, B) with the weights of some problems on resamples of the blocks."""
    count, drawn = len(found), 0
    # Every resample begins at the weights of all pixels: it is nearer to them than to another
    # resample.
    whole = Split.of(terms.joint, terms.n_bands)
    start = [minimiser(*_problem(c, choices[c.rows[0]], whole, terms))[1] for c in again]
    mean = terms.joint.mean if terms.sloped is None else terms.sloped.seen.mean
    draws = resamples(blocks, mean, count=count, seed=seed)
    batch, most = list[Split](), _batch(len(mean))
    for moments in progress(draws, total=count, label="resample the blocks"):
        batch.append(Split.of(terms.of_blocks(moments), terms.n_bands))
        if len(batch) == most or drawn + len(batch) == count:
            found[drawn : drawn + len(batch)] = _resolved(again, choices, batch, terms, start)
            drawn, batch = drawn + len(batch), []


def _resolved(
    fold_problems: Sequence[FoldProblem],
    choices: Sequence[Choice],
    splits: Sequence[Split],
    terms: Terms,
    start: Sequence[Active | None],
) -> Floats:
    """(R, K, B) weights of all cases on some resamples."""
    found = np.zeros((len(splits), *terms.layout.shape))
    groups: dict[bytes, list[int]] = {}
    for number, case in enumerate(fold_problems):
        if (
            case.spectra is not None
            and choices[case.rows[0]].constraint == "nonnegative"
            and not terms.gain
        ):
            groups.setdefault(case.layout.col.tobytes(), []).append(number)
            continue
        for i, split in enumerate(splits):
            v, _ = minimiser(*_problem(case, choices[case.rows[0]], split, terms), start[number])
            found[i, list(case.rows)] = effective(case, v, gain=terms.gain)
    for numbers in groups.values():
        _together(
            [fold_problems[n] for n in numbers], splits, terms, [start[n] for n in numbers], found
        )
    return found


def _together(
    fold_problems: Sequence[FoldProblem],
    splits: Sequence[Split],
    terms: Terms,
    start: Sequence[Active | None],
    found: Floats,
) -> None:
    """Non-negative weights of outputs of one group on all resamples, as one batch: they share the
    bands' moments."""
    cols, rows = fold_problems[0].layout.col, [c.rows[0] for c in fold_problems]
    seen = [split.second(offset=terms.offset) for split in splits]
    scale = unit_scale(np.mean([s.a for s in seen], axis=0))[cols]
    a = np.array([s.a[cols][:, cols] for s in seen]) * np.outer(scale, scale)
    b = np.array([s.c[cols][:, rows].T for s in seen]) * scale
    first = [np.zeros(len(cols), dtype=bool) if active is None else active for active in start]
    of = np.repeat(np.arange(len(splits)), len(rows))
    v, reached = nonnegative_grams(
        a, of, b.reshape(-1, len(cols)), np.tile(first, (len(splits), 1))
    )
    v = scale * v
    for i in np.flatnonzero(~reached).tolist():
        case, split = fold_problems[i % len(fold_problems)], splits[of[i]]
        q = squared_error(
            split.rows(case.rows), case.layout, case.scale, offset=terms.offset, gain=False
        )
        v[i] = nonnegative(q)
    found[:, np.array(rows)[:, None], cols] = v.reshape(b.shape)


def _problem(
    case: FoldProblem, choice: Choice, split: Split, terms: Terms
) -> tuple[Quadratic, str]:
    """What is solved for one case on a resample, and under which constraint."""
    q = squared_error(
        split.rows(case.rows), case.layout, case.scale, offset=terms.offset, gain=terms.gain
    )
    signed = choice.constraint in ("free", "affine")
    return case.penalised(q, choice.strength) if signed else q, solved_as(choice, terms.gain)
