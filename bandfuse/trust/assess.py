"""Assess: what the blocks' moments say of a regression. Regularisation, hold-out scores, baselines,
intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from bandfuse.errors import MismatchError, shorten
from bandfuse.model.model import Model
from bandfuse.moments.moments import Moments
from bandfuse.progress import Progress, Ticks, during
from bandfuse.solve.bandpass.window import Tag
from bandfuse.solve.scores import Pairs, Scored, score_pairs
from bandfuse.spectral.bands import Floats
from bandfuse.streaming.heap import give_back
from bandfuse.survey.survey import Survey
from bandfuse.trust.band_windows import PIECES, Needed, needed
from bandfuse.trust.baselines import Line, Table, baselines, fold_lines, folded_pairs
from bandfuse.trust.bootstrap import RESAMPLES, Interval, intervals
from bandfuse.trust.fold_problems import FoldProblem, Terms, fold_problems
from bandfuse.trust.folds import bounded, fewer_messages, folds
from bandfuse.trust.jackknife import jackknife
from bandfuse.trust.moved_outputs import SlopedPixels
from bandfuse.trust.penalty import ties
from bandfuse.trust.refits import peak_of
from bandfuse.trust.regularisation import Choice, Wish, choose, solved_as

NONNEGATIVE = ("nonnegative", "simplex", "bandpass")
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
    ``tags``: what the target's file says of the band of each output; none where it is empty.
    """

    wish: Wish
    folds: int = 5
    seed: int = 0
    offset: bool = True
    gain: bool = False
    per_band: bool = True
    per_scene: bool = False
    classes: bool = False
    tags: tuple[Tag | None, ...] = ()

    def tag(self, row: int) -> Tag | None:
        """That of one output."""
        return self.tags[row] if row < len(self.tags) else None

    @property
    def bounded(self) -> bool:
        """Whether weights cannot be negative."""
        return self.wish.constraint in NONNEGATIVE

    @property
    def most(self) -> float:
        """What no weight can be above: one, where weights that are not negative have that sum."""
        return 1.0 if self.wish.constraint == "simplex" and not self.gain else np.inf


@dataclass(frozen=True, eq=False)
class RegularisationPlan:
    """How a regression is regularised: a choice for every output, the penalties' forms
    (K, used, used) and prices (K, used); what a user should know of the folds (``said``)."""

    terms: Terms
    fold_problems: list[FoldProblem]
    choices: list[Choice]
    forms: Floats | None
    l1: Floats | None
    blocks: list[Moments]
    said: Sequence[str] = ()

    @property
    def constraints(self) -> list[str]:
        """The constraint of every output."""
        return [c.constraint for c in self.choices]

    @property
    def solved_as(self) -> list[str]:
        """The constraint under which every output's weights are solved, without a gain: that of a
        band-pass response is that no weight is negative."""
        return [solved_as(c, gain=False) for c in self.choices]

    def messages(self, names: Sequence[str]) -> list[str]:
        """What a user should know of the choices; ``names`` (K,) of the outputs."""
        named = list(zip(names, self.choices, strict=True))
        off = [
            f"output {name}: the pixels do not fit the centre and FWHM that the target's file "
            f"states ({choice.lobe.stated}); --no-tags leaves them out"
            for name, choice in named
            if choice.lobe is not None and choice.lobe.disagrees
        ]
        plain = [
            f"output {name}: its weights are nonnegative, not bandpass, as no response can be "
            "told: its target does not vary or rises with no bands, or its bands are fewer than 3"
            for name, choice in named
            if choice.instead
        ]
        return [*self.said, *off, *plain]


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
    count = bounded(how.folds, blocks[0].moments.size) if blocks else 0
    made = folds([b.moments for b in blocks], [b.sample for b in blocks], count)
    joint, sample = found.joint(found.pooled), found.pixels.values[:, found.sloped]
    sloped = None
    if found.slopes:
        made = [fold.without_slopes(joint.size) for fold in made]
        out = found.without_slopes
        sloped = SlopedPixels(found.pooled.take(found.sloped), sample, out)
        sample = out.pixels(sample)
    tied = ties(found.bands, design.used) if how.per_band else []
    nm = found.bands.wavelength_nm[list(design.used)] if how.per_band else None
    return Terms(
        design.layout, joint, sample, made, len(design.used), tied, how.offset, how.gain, nm, sloped
    )


def plan_regularisation(how: Assessing, found: Survey, progress: Progress) -> RegularisationPlan:
    """Choose constraint and regularisation of every output by block cross-validation."""
    with during(progress, "prepare the folds"):
        terms, wish = _terms(how, found), how.wish
        made = fold_problems(terms)
    if wish.constraint == "bandpass":
        _check_wavelengths(found)
    ticks = Ticks(progress, parts=len(made), steps=1, label="choose the regularisation")
    choices: dict[int, Choice] = {}
    for case in made:
        choice = choose(
            case,
            wish if terms.tied else replace(wish, smooth=wish.smooth or 0.0),
            gain=how.gain,
            tag=how.tag(case.rows[0]),
        )
        choices.update(dict.fromkeys(case.rows, choice))
        ticks.end_part()
        give_back()
    ordered = [choices[k] for k in range(terms.layout.shape[0])]
    return RegularisationPlan(
        terms,
        made,
        ordered,
        _forms(terms, made, ordered),
        _prices(terms, made, ordered),
        [b.moments for b in found.blocks()],
        fewer_messages(how.folds, len(found.parts()), len(terms.folds)),
    )


def _check_wavelengths(found: Survey) -> None:
    """Refuse band-pass responses of bands without wavelengths."""
    used = found.bands.take(found.design.used)
    missing = [n for n, nm in zip(used.name, used.wavelength_nm, strict=True) if not nm > 0]
    if missing:
        raise MismatchError(
            "--constraint bandpass needs the wavelength of every band",
            got=f"none of {shorten(missing)}",
            remedy="Give them with --wavelengths, or use --constraint nonnegative.",
        )


SHUT = 2.0
"""Half the price of a weight that is to be zero, in units of ``std(x_b) std(t_k) / 2``: no weight
can gain more than that by being larger than zero."""


def _prices(terms: Terms, made: Sequence[FoldProblem], choices: Sequence[Choice]) -> Floats | None:
    """(K, used) half the prices of the weights' sizes that the fit adds, or None where there are
    none: the sparsity, and beyond the window of a band-pass response."""
    strengths = np.array([c.strength.sparse for c in choices])
    lobes = any(c.lobe is not None for c in choices)
    if not strengths.any() and not lobes:
        return None
    prices = terms.prices(range(len(choices)))
    factors = np.tile(strengths[:, None], (1, terms.n_bands))
    for case in made:
        lobe = choices[case.rows[0]].lobe
        if lobe is not None:
            _, open_ = lobe.form()
            factors[case.rows[0]] = SHUT * (1 - case.layout.matrix(open_)[0])
    return factors * prices


def _forms(terms: Terms, made: Sequence[FoldProblem], choices: Sequence[Choice]) -> Floats | None:
    """(K, used, used) the penalties that the fit adds, or None where there are none."""
    lobes = any(c.lobe is not None for c in choices)
    if not lobes and not any(c.strength.ridge or c.strength.smooth for c in choices):
        return None
    forms = np.zeros((len(choices), terms.n_bands, terms.n_bands))
    diagonal = np.diag_indices(terms.n_bands)
    for row, (form, choice) in enumerate(zip(forms, choices, strict=True)):
        form[diagonal] = choice.strength.ridge * terms.ridge()
        if choice.strength.smooth:
            form += choice.strength.smooth * terms.smooth(row)
    for case in made:
        lobe = choices[case.rows[0]].lobe
        if lobe is not None:
            form, _ = lobe.form()
            member = case.layout.member(0)
            forms[case.rows[0]] += member @ form @ member.T
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
    lines: list[Line] = []
    if exactly and made.terms.folds:
        with during(progress, "score held-out blocks"):
            without = [made.choices[c.rows[0]].without(c) for c in made.fold_problems]
            lines = fold_lines(made.terms, made.fold_problems, without)
            holdout = score_pairs(Pairs.joined(folded_pairs(made.terms, lines)), peak)
    with during(progress, BASELINES):
        table = baselines(made.terms, made.fold_problems, peak)
    give_back()
    needs = _needed(found, made, progress)
    give_back()
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
            model.common.matrix[:, here],
            [m.common.matrix[:, here] for m in without],
            bounded,
            how.most,
        )
    }
    for key, own in model.scenes.items():
        found[key] = jackknife(
            own.matrix[:, here], [m.scenes[key].matrix[:, here] for m in without], bounded, how.most
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
