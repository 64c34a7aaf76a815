"""Holdout: scores of the chosen weights and of baselines, on the training pixels and on blocks that were held out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from bandfuse.bands import Floats
from bandfuse.exact import Quadratic
from bandfuse.moments import Moments, total
from bandfuse.scores import Score, regression_scores
from bandfuse.split import Split
from bandfuse.trust.cases import Case, Terms, effective, minimiser
from bandfuse.trust.choose import Choice, Wish, choose, solved_as

Solver = Callable[[Quadratic], Floats]


def uniform(q: Quadratic) -> Floats:
    """Equal weights that sum to one."""
    return np.full(len(q.b), 1.0 / q.sums.sum())


def best_band(q: Quadratic) -> Floats:
    """The one weight that explains most, by least squares."""
    variance = q.a.diagonal()
    gain = np.where(variance > 0, q.b / np.where(variance > 0, variance, 1.0), 0.0)
    v = np.zeros(len(q.b))
    best = int(np.argmax(gain * q.b))
    v[best] = gain[best]
    return v


def baseline_solvers(case: Case, *, gain: bool) -> dict[str, Solver]:
    """The methods that every choice is held against: least squares, ridge (its strength chosen on the same folds),
    non-negative least squares, simplex, the best single band, and the plain mean; all with the offset of the choice."""
    ridge = choose(case, Wish("free", None, 0.0), gain=gain).strength
    return {
        "ols": lambda q: minimiser(q, "free")[0],
        "ridge": lambda q: minimiser(case.penalised(q, ridge), "free")[0],
        "nnls": lambda q: minimiser(q, "nonnegative")[0],
        "simplex": lambda q: minimiser(q, "simplex")[0],
        "best_band": best_band,
        "mean": uniform,
    }


def chosen_solver(case: Case, choice: Choice, *, gain: bool) -> Solver:
    """The choice itself, solved exactly."""
    return lambda q: minimiser(case.penalised(q, choice.strength), solved_as(choice, gain))[0]


def held_out_pairs(terms: Terms, cases: Sequence[Case], solvers: Sequence[Solver]) -> list[Moments]:
    """For each fold the moments of [K outputs, K targets] over its held-out pixels; the weights come from the rest."""
    pairs = []
    for i, fold in enumerate(terms.folds):
        weights = [effective(c, s(c.trains[i]), gain=terms.gain) for c, s in zip(cases, solvers, strict=True)]
        pairs.append(_pairs(fold.test, Split.of(fold.train, terms.n_bands), stacked(cases, weights), terms.offset))
    return pairs


def stacked(cases: Sequence[Case], parts: Sequence[Floats]) -> Floats:
    """(K, B) from the rows of every case."""
    rows = [r for c in cases for r in c.rows]
    matrix: Floats = np.concatenate(list(parts))[np.argsort(rows)]
    return matrix


def _pairs(moments: Moments, train: Split, matrix: Floats, offset: bool) -> Moments:
    k, b = matrix.shape
    joint = np.zeros((2 * k, b + k))
    joint[:k, :b], joint[k:, b:] = matrix, np.eye(k)
    level = train.target_mean - matrix @ train.mean if offset else np.zeros(k)
    return moments.mapped(joint, np.concatenate([level, np.zeros(k)]))


Table = dict[str, dict[str, list[Score]]]
"""Scores by baseline, then ``train`` and ``holdout``, one per output."""


def baselines(terms: Terms, cases: Sequence[Case], peak: Floats) -> Table:
    """Scores of every baseline."""
    solvers = [baseline_solvers(c, gain=terms.gain) for c in cases]
    table: Table = {}
    for name in solvers[0] if solvers else ():
        mine = [s[name] for s in solvers]
        whole = stacked(cases, [effective(c, s(c.whole), gain=terms.gain) for c, s in zip(cases, mine, strict=True)])
        train = _pairs(terms.joint, Split.of(terms.joint, terms.n_bands), whole, terms.offset)
        table[name] = {"train": regression_scores(train, peak)}
        if terms.folds:
            held = total(held_out_pairs(terms, cases, mine), 2 * len(peak))
            table[name]["holdout"] = regression_scores(held, peak)
    return table
