"""Assess: what the blocks' moments say of a regression. Regularisation, hold-out scores, baselines,
intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from bandfuse.model.model import Model
from bandfuse.moments.moments import Moments
from bandfuse.progress import Progress, Ticks, during
from bandfuse.solve.scores import Pairs, Scored, score_pairs
from bandfuse.spectral.bands import Floats
from bandfuse.survey.survey import Survey
from bandfuse.trust.band_windows import PIECES, Needed, needed
from bandfuse.trust.baselines import Line, Table, baselines, chosen_solver, fold_lines, folded_pairs
from bandfuse.trust.bootstrap import RESAMPLES, Interval, intervals
from bandfuse.trust.fold_problems import FoldProblem, Terms, fold_problems
from bandfuse.trust.folds import folds
from bandfuse.trust.jackknife import jackknife
from bandfuse.trust.penalty import ties
from bandfuse.trust.refits import peak_of
from bandfuse.trust.regularisation import Choice, Wish, choose

NONNEGATIVE = ("nonnegative", "simplex")
"""Constraints that keep weights from being negative."""

BASELINES = "fit the baselines"

BOOTSTRAP, JACKKNIFE = "block bootstrap", "jackknife over folds"
"""How intervals are found: from the blocks' moments, or from trainings that were done again."""


@dataclass(frozen=True)
class Assessing:
    """How weights are assessed.

    ``wish``: the constraint and the strengths of the penalties, None where one is to be chosen.
    ``per_band``: every band has one weight within its group, so that neighbours can be smoothed.
    ``folds``: parts that are held out in turn. ``classes``: the objective needs two classes.
    """

    wish: Wish
    folds: int = 5
    seed: int = 0
    offset: bool = True
    gain: bool = False
    per_band: bool = True
    per_scene: bool = False
    classes: bool = False

    @property
    def bounded(self) -> bool:
        """Whether weights cannot be negative."""
        return self.wish.constraint in NONNEGATIVE


@dataclass(frozen=True, eq=False)
class RegularisationPlan:
    """How a regression is regularised: a choice for every output, the penalties' forms
    (K, used, used) and prices (K, used)."""

    terms: Terms
    fold_problems: list[FoldProblem]
    choices: list[Choice]
    forms: Floats | None
    l1: Floats | None
    blocks: list[Moments]

    @property
    def constraints(self) -> list[str]:
        """The constraint of every output."""
        return [c.constraint for c in self.choices]


@dataclass(frozen=True, eq=False)
class Assessment:
    """``holdout``: scores of the outputs (or of the rebuilt cube), None without folds; ``table``:
    the baselines; ``needed``: which bands would do; ``train``: scores on the training pixels, of
    objectives without a target; ``intervals``: (K, used) bounds of gain · W, by scene key, those of
    the common weights under the empty one; none without blocks to draw or folds. ``method``: how
    the intervals were found. ``lines`` or ``models``: what was learned without each fold, where the
    exact solution stands for the training and where it was done again; for regression.
    ``messages``: what a user should know of the folds."""

    holdout: Scored | None
    table: Table
    needed: Needed | None = None
    train: Scored | None = None
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    method: str = ""
    lines: Sequence[Line] = ()
    models: Sequence[Model] = ()
    messages: tuple[str, ...] = ()

    @property
    def interval(self) -> Interval | None:
        """The intervals of the common weights."""
        return self.intervals.get("")


def _terms(how: Assessing, found: Survey) -> Terms:
    """The moments and folds that every case rests on."""
    design, blocks = found.design, found.parts()
    made = folds([b.moments for b in blocks], [b.sample for b in blocks], how.folds)
    joint, sample = found.pooled.take(found.order), found.pixels.values[:, found.order]
    tied = ties(found.bands, design.used) if how.per_band else []
    return Terms(design.layout, joint, sample, made, len(design.used), tied, how.offset, how.gain)


def plan_regularisation(how: Assessing, found: Survey, progress: Progress) -> RegularisationPlan:
    """Choose constraint and regularisation of every output by block cross-validation."""
    with during(progress, "prepare the folds"):
        terms, wish = _terms(how, found), how.wish
        made = fold_problems(terms)
    ticks = Ticks(progress, parts=len(made), steps=1, label="choose the regularisation")
    choices: dict[int, Choice] = {}
    for case in made:
        choice = choose(
            case, wish if terms.tied else replace(wish, smooth=wish.smooth or 0.0), gain=how.gain
        )
        choices.update(dict.fromkeys(case.rows, choice))
        ticks.end_part()
    ordered = [choices[k] for k in range(terms.layout.shape[0])]
    return RegularisationPlan(
        terms,
        made,
        ordered,
        _forms(terms, ordered),
        _prices(terms, ordered),
        [b.moments for b in found.blocks()],
    )


def _prices(terms: Terms, choices: Sequence[Choice]) -> Floats | None:
    """Half the prices of the weights' sizes that the fit adds, or None where there are none."""
    strengths = np.array([c.strength.sparse for c in choices])
    return strengths[:, None] * terms.prices(range(len(choices))) if strengths.any() else None


def _forms(terms: Terms, choices: Sequence[Choice]) -> Floats | None:
    """The penalties that the fit adds, or None where there are none."""
    if not any(c.strength.ridge or c.strength.smooth for c in choices):
        return None
    ridge, smooth = terms.forms(range(len(choices)))
    strengths = [c.strength for c in choices]
    forms: Floats = np.array(
        [s.ridge * r + s.smooth * m for s, r, m in zip(strengths, ridge, smooth, strict=True)]
    )
    return forms


def assess(
    how: Assessing,
    found: Survey,
    made: RegularisationPlan | None,
    fitted: Floats,
    holdout: Scored | None,
    *,
    exactly: bool,
    progress: Progress,
) -> Assessment:
    """Baselines of a regression; of weights that were planned also hold-out scores and intervals.

    Parameters
    ----------
    fitted : (K, used) gain · W. holdout : scores that are known already.
    exactly : the weights are those of the exact solution, so that it can stand for them on the
        folds."""
    peak = peak_of(found)
    if made is None:
        with during(progress, BASELINES):
            return Assessment(holdout, {} if how.per_scene else _baselines(how, found, peak))
    solvers = [
        chosen_solver(c, made.choices[c.rows[0]], gain=made.terms.gain) for c in made.fold_problems
    ]
    lines: list[Line] = []
    if exactly and made.terms.folds:
        with during(progress, "score held-out blocks"):
            lines = fold_lines(made.terms, made.fold_problems, solvers)
            holdout = score_pairs(Pairs.joined(folded_pairs(made.terms, lines)), peak)
    with during(progress, BASELINES):
        table = baselines(made.terms, made.fold_problems, peak)
    needs = _needed(found, made, progress)
    if not exactly:
        return Assessment(holdout, table, needs)
    if (
        made.terms.joint.count < made.terms.n_bands
    ):  # resamples of so few pixels do not tell how firm weights are
        return Assessment(holdout, table, needs, lines=lines)
    bounds = intervals(
        made.terms,
        made.fold_problems,
        made.choices,
        made.blocks,
        fitted,
        count=RESAMPLES,
        seed=how.seed,
        progress=progress,
    )
    found_bounds = {} if bounds is None else {"": bounds}
    return Assessment(holdout, table, needs, intervals=found_bounds, method=BOOTSTRAP, lines=lines)


def jackknives(
    how: Assessing,
    made: RegularisationPlan | None,
    used: Sequence[int],
    model: Model,
    without: Sequence[Model],
) -> dict[str, Interval]:
    """Intervals of the common weights and of every scene's own, from models that were learned
    without each fold."""
    rows = [how.bounded] * len(model.common.outputs)
    bounded = np.array(rows if made is None else [c in NONNEGATIVE for c in made.constraints])
    here = list(used)
    found = {
        "": jackknife(
            model.common.matrix[:, here], [m.common.matrix[:, here] for m in without], bounded
        )
    }
    for key, own in model.scenes.items():
        found[key] = jackknife(
            own.matrix[:, here], [m.scenes[key].matrix[:, here] for m in without], bounded
        )
    return {key: bounds for key, bounds in found.items() if bounds is not None}


def _needed(found: Survey, made: RegularisationPlan, progress: Progress) -> Needed | None:
    """Which windows of bands would do; for one weight per band."""
    if not made.terms.tied:
        return None
    place = {p: i for i, p in enumerate(found.design.used)}
    order = [place[p] for p in found.bands.by_wavelength(found.design.used)]
    ridge = float(np.median([c.strength.ridge for c in made.choices]))
    ticks = Ticks(progress, parts=1, steps=PIECES, label="look for the bands that are needed")
    needs = needed(made.terms, order, ridge, ticks)
    ticks.end_part()
    return needs


def _baselines(how: Assessing, found: Survey, peak: Floats) -> Table:
    terms = _terms(how, found)
    return baselines(terms, fold_problems(terms), peak)
