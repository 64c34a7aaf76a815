"""Baselines: scores of the chosen weights and of simple ways to fuse, on training pixels and on
held-out blocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from bandfuse.moments.moments import Moments
from bandfuse.solve.exact import Quadratic
from bandfuse.solve.scores import Pairs, Scored, score_pairs
from bandfuse.solve.squares import Split
from bandfuse.spectral.bands import Floats
from bandfuse.trust.fold_problems import FoldProblem, Minimiser, Terms, effective, minimiser
from bandfuse.trust.regularisation import Wish, choose

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


def baseline_solvers(case: FoldProblem, *, gain: bool) -> dict[str, Solver]:
    """The methods that every choice is compared with: least squares, ridge (its strength chosen on
    the same folds), non-negative least squares, simplex, the best single band, and the plain mean;
    all with the offset of the choice."""
    ridge = choose(case, Wish("free", None, 0.0), gain=gain).strength
    return {
        "ols": Minimiser("free"),
        "ridge": lambda q: minimiser(case.penalised(q, ridge), "free")[0],
        "nnls": Minimiser("nonnegative"),
        "simplex": Minimiser("simplex"),
        "best_band": best_band,
        "mean": uniform,
    }


Line = tuple[Floats, Floats]
"""gain · W (K, B) and offset (K)."""


def fold_lines(
    terms: Terms, fold_problems: Sequence[FoldProblem], without: Sequence[Sequence[Floats]]
) -> list[Line]:
    """For each fold the weights that come from the rest.

    Parameters
    ----------
    without : for each problem, the (P,) weights that were learned without each fold.
    """
    lines = []
    for i, fold in enumerate(terms.folds):
        weights = [
            effective(c, learned[i], gain=terms.gain)
            for c, learned in zip(fold_problems, without, strict=True)
        ]
        lines.append(_line(terms, fold.train, stacked(fold_problems, weights)))
    return lines


def folded_pairs(terms: Terms, lines: Sequence[Line]) -> list[Pairs]:
    """For each fold outputs and targets of its held-out pixels; the weights come from the rest."""
    return [fold.pairs(*line) for fold, line in zip(terms.folds, lines, strict=True)]


def stacked(fold_problems: Sequence[FoldProblem], parts: Sequence[Floats]) -> Floats:
    """(K, B) from the rows of every case."""
    rows = [r for c in fold_problems for r in c.rows]
    matrix: Floats = np.concatenate(list(parts))[np.argsort(rows)]
    return matrix


def _line(terms: Terms, train: Moments, matrix: Floats) -> Line:
    """With the offset that brings the outputs' means to those of the training's targets."""
    split = Split.of(train, terms.n_bands)
    return matrix, split.target_mean - matrix @ split.mean if terms.offset else np.zeros(
        len(matrix)
    )


Table = dict[str, dict[str, Scored]]
"""Scores by baseline, then ``train`` and ``holdout``."""


def baselines(terms: Terms, fold_problems: Sequence[FoldProblem], peak: Floats) -> Table:
    """Scores of every baseline."""
    learned = [_of_baselines(case) for case in fold_problems]
    table: Table = {}
    for name in learned[0] if learned else ():
        wholes, withouts = zip(*(found[name] for found in learned), strict=True)
        line = _line(terms, terms.joint, stacked(fold_problems, wholes))
        table[name] = {"train": score_pairs(terms.pairs(*line), peak)}
        if terms.folds:
            lines = fold_lines(terms, fold_problems, withouts)
            table[name]["holdout"] = score_pairs(Pairs.joined(folded_pairs(terms, lines)), peak)
    return table


def _of_baselines(case: FoldProblem) -> dict[str, tuple[Floats, list[Floats]]]:
    """By baseline the (rows, B) gain · W of all pixels, and the (P,) weights without each fold: of
    one problem after the other, while its matrices are at hand."""
    gain = case.terms.gain
    return {
        name: (effective(case, solver(case.whole), gain=gain), [*map(solver, case.trains)])
        for name, solver in baseline_solvers(case, gain=gain).items()
    }
