"""Assess: what the blocks' moments say of a regression. Regularisation, hold-out scores, baselines, intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bandfuse.bands import Floats
from bandfuse.config import TrainConfig
from bandfuse.init import uniform as uniform_weights
from bandfuse.moments import Moments, total
from bandfuse.progress import Progress, Ticks
from bandfuse.scores import Score, regression_scores
from bandfuse.tools.survey import Survey
from bandfuse.trust.cases import Case, Terms, cases
from bandfuse.trust.choose import Choice, Wish, choose
from bandfuse.trust.folds import folds
from bandfuse.trust.holdout import Table, baselines, chosen_solver, held_out_pairs
from bandfuse.trust.intervals import RESAMPLES, Interval, intervals
from bandfuse.trust.penalty import ties
from bandfuse.trust.rebuild import Encoder, held_out_score, principal, rebuild_table


@dataclass(frozen=True, eq=False)
class Plan:
    """How a regression is regularised: a choice for every output, and the penalty's forms (K, used, used)."""

    terms: Terms
    cases: list[Case]
    choices: list[Choice]
    forms: Floats | None
    blocks: list[Moments]

    @property
    def constraints(self) -> list[str]:
        """The constraint of every output."""
        return [c.constraint for c in self.choices]


@dataclass(frozen=True, eq=False)
class Assessment:
    """``holdout``: a score per output (one for a cube that is rebuilt), None without folds; ``table``: the baselines;
    ``interval``: (K, used) bounds of gain · W, None without blocks to draw."""

    holdout: list[Score] | None
    table: Table
    interval: Interval | None


def _wish(value: float | str | None, *, auto: bool) -> float | None:
    """A strength to use, or None for one to be chosen: by default with constraint auto only."""
    if value is None:
        return None if auto else 0.0
    return None if isinstance(value, str) else float(value)


def plan(config: TrainConfig, found: Survey, progress: Progress) -> Plan:
    """Choose constraint and regularisation of every output by block cross-validation."""
    design = found.design
    n = len(design.used)
    order = [*range(n), *(n + t for t in design.targets)]
    blocks = [tally.blocks[b].take(order) for tally in found.tallies for b in sorted(tally.blocks)]
    tied = ties(found.bands, design.used) if config.fuse == "within" and config.weights == "channel" else []
    joint = found.pooled.take(order)
    terms = Terms(design.layout, joint, folds(blocks), n, tied, not config.no_offset, config.gain)
    made = cases(terms)
    auto = config.constraint == "auto"
    wish = Wish(str(config.constraint), _wish(config.ridge, auto=auto), _wish(config.smooth, auto=auto))
    ticks = Ticks(progress, parts=len(made), steps=1, label="choose")
    choices: dict[int, Choice] = {}
    for case in made:
        choice = choose(case, wish if tied else Wish(wish.constraint, wish.ridge, wish.smooth or 0.0), gain=config.gain)
        choices.update(dict.fromkeys(case.rows, choice))
        ticks.end_part()
    ordered = [choices[k] for k in range(design.layout.shape[0])]
    return Plan(terms, made, ordered, _forms(terms, ordered), blocks)


def _forms(terms: Terms, choices: Sequence[Choice]) -> Floats | None:
    """The penalties that the fit adds, or None where there are none."""
    if not any(c.strength.ridge or c.strength.smooth for c in choices):
        return None
    ridge, smooth = terms.forms(range(len(choices)))
    strengths = [c.strength for c in choices]
    forms: Floats = np.array([s.ridge * r + s.smooth * m for s, r, m in zip(strengths, ridge, smooth, strict=True)])
    return forms


def assess_rebuild(found: Survey, refit: Encoder, progress: Progress) -> Assessment:
    """Hold-out score of a reconstruction, learned anew without each fold, and its baselines: as many principal
    components as outputs, and plain means of the groups."""
    n, layout = len(found.design.used), found.design.layout
    blocks = [tally.blocks[b].take(range(n)) for tally in found.tallies for b in sorted(tally.blocks)]
    made, joint, peak = folds(blocks), found.pooled.take(range(n)), float(found.high[:n].max())
    means = layout.matrix(uniform_weights(layout, found.bands, np.random.default_rng(0)))
    table = rebuild_table(joint, made, {"pca_k": principal(layout.shape[0]), "mean": lambda moments: means}, peak)
    if not made:
        return Assessment(None, table, None)
    ticks = Ticks(progress, parts=len(made), steps=1, label="hold out")

    def again(moments: Moments) -> Floats:
        ticks.end_part()
        return refit(moments)

    return Assessment([held_out_score(made, again, peak)], table, None)


def assess(made: Plan, fitted: Floats, peak: Floats, *, seed: int, progress: Progress) -> Assessment:
    """Hold-out scores and baselines on the same folds, and intervals around the fitted (K, used) gain · W."""
    solvers = [chosen_solver(c, made.choices[c.rows[0]], gain=made.terms.gain) for c in made.cases]
    holdout = None
    if made.terms.folds:
        pairs = held_out_pairs(made.terms, made.cases, solvers)
        holdout = regression_scores(total(pairs, 2 * len(peak)), peak)
    table = baselines(made.terms, made.cases, peak)
    bounds = intervals(
        made.terms, made.cases, made.choices, made.blocks, fitted, count=RESAMPLES, seed=seed, progress=progress
    )
    return Assessment(holdout, table, bounds)
