"""Verdict: how good a training is, in plain words, against which baseline, and what to distrust."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

import numpy as np

from bandfuse.errors import shorten
from bandfuse.goals import Goal, Measure
from bandfuse.report.choice import labels_of
from bandfuse.report.numbers import IN_WORDS, METHODS, fixed, number, power, rest, share
from bandfuse.results.training import TrainReport
from bandfuse.spectral.bands import Floats
from bandfuse.survey.gather import NOT_DRAWN
from bandfuse.training.fitting import CONVERGED
from bandfuse.training.trained import Trained
from bandfuse.trust.assess import BOOTSTRAP, JACKKNIFE, Assessment
from bandfuse.trust.bootstrap import Interval

INTERVALS = {
    BOOTSTRAP: "Intervals are percentiles of 200 resamples of blocks; the regularisation is not "
    "chosen anew. Non-negative weights are solved without smoothing there, so that their intervals "
    "hold its bias. The intervals of free and affine weights do not include the bias of the ridge, "
    "and are too narrow where it is strong.",
    JACKKNIFE: "Intervals are a jackknife over the folds: the whole training was done again "
    "without each. They do not include the bias of a penalty, and with few folds they are wide.",
}
"""What is said of intervals, by how they were found."""

DRAWN = "Intervals of band-pass weights are percentiles of 200 draws from their posterior."


LEAK = (
    "What was held out are random pixels, whose neighbours were trained on: these scores leak. On "
    "another part of the scene expect less."
)


def verdict(report: TrainReport, trained: Trained) -> list[str]:
    """Sentences, the most important first."""
    held, goal = report.scores.holdout, trained.config.goals[0]
    labels = labels_of(report)
    known = {
        labels.get(name, name): value
        for name, s in (held or report.scores.train).items()
        if (value := s[goal.measure.key]) is not None
    }
    if not known:
        return ["No score could be computed: there is nothing that varies."]
    leak = [LEAK] if held and report.scores.split == "random" else []
    fitted = trained.model.common.matrix[:, list(trained.survey.design.used)]
    left = report.pixels.by_reason.get(NOT_DRAWN, 0)
    moved = _moved(fitted, trained.trust.interval) if left else None
    pixels = sum(scene.shape[0] * scene.shape[1] for scene in trained.scenes)
    return [
        first(goal, known, report.scores.split if held else ""),
        *leak,
        *of_classes(report),
        *_of_scores(report, goal.measure),
        *of_sensor(report),
        *of_intervals(trained.trust, {o.constraint for o in report.outputs}),
        *_of_part(pixels, left, moved),
        *_of_sample(trained.config.activation, report.scores.sampled),
        *_of_gap(report.convergence.relative_gap),
    ]


def first(goal: Goal, known: dict[str, float], split: str) -> str:
    """How good it is; ``split``: what was held out, empty for nothing."""
    places = {
        "blocks": " on blocks that were held out",
        "scenes": " on scenes that were held out",
        "random": " on random pixels that were held out",
    }
    where = places.get(split, "")
    if not goal.sentence:
        return explained(f"{where.strip().capitalize()}, the" if where else "The", known)
    worst, best = min(known.values()), max(known.values())
    if goal.measure.share and worst <= 0:
        return f"The fused bands tell no more of the cube than its mean{where}."
    told = (share(v) if goal.measure.share else number(v, 3) for v in (worst, best))
    return goal.sentence.format(**dict(zip(("worst", "best"), told, strict=True)), where=where)


def explained(start: str, r2: dict[str, float]) -> str:
    """Shares of the targets' variances in words, and what is left of them; R² below zero is worse
    than the mean of the target, not a share."""
    worst, best = min(r2, key=lambda name: r2[name]), max(r2, key=lambda name: r2[name])
    failed = [name for name, value in r2.items() if value <= 0]
    if failed:
        of = f"{len(failed)} of {len(r2)} targets, " if len(r2) > MOST_NAMES else ""
        names = shorten(map(repr, failed), MOST_NAMES)
        useless = f"predict {of}{names} no better than the mean of the target would"
        if len(failed) == len(r2):
            return f"{start} fused bands {useless}."
        most = f"{share(r2[best])} of the variance of {best!r}"
        return f"{start} fused bands {useless}; they explain {most}, at most."
    least, left = f"{share(r2[worst])} of the variance of {worst!r}", 1 - r2[worst]
    if len(r2) == 1:
        return f"{start} fused bands explain {least}: {rest(left)} is left unexplained."
    middle = float(np.median(list(r2.values())))
    return (
        f"{start} fused bands explain {least}, the least well matched of {len(r2)} targets, and "
        f"{share(middle)} in the median: {rest(left)} and {rest(1 - middle)} are left unexplained."
    )


MOST_NAMES = 4
"""Outputs that one sentence names."""


def of_classes(report: TrainReport) -> list[str]:
    """Which class is found least, and what it is taken for."""
    table = report.separation
    known = [] if table is None else [r for r in table.rows if r.recall is not None]
    least = min(known, key=lambda row: row.recall or 0.0, default=None)
    if table is None or least is None or least.recall == 1:
        return []
    at = table.rows.index(least)
    others = [0 if j == at else n for j, n in enumerate(table.confusion[at])]
    taken = table.rows[int(np.argmax(others))].name
    found = f"The class that is found least is {least.name!r}, {share(least.recall or 0.0)} of it"
    return [f"{found}; it is taken for {taken!r} most often."]


def of_sensor(report: TrainReport) -> list[str]:
    """How the responses compare with those of the sensor that was asked for."""
    every = report.trust.outputs if report.trust else []
    found = [(one.name, one.published) for one in every if one.published is not None]
    alike = {n: p.similarity for n, p in found if p.similarity is not None}
    if not alike or report.trust is None:
        return []
    least, most = min(alike, key=lambda n: alike[n]), max(alike, key=lambda n: alike[n])
    low, high = fixed(alike[least], 4), fixed(alike[most], 4)
    span = f"from {low} ({least!r}) to {high} ({most!r})" if low != high else low
    sensor = report.trust.sensor
    text = f"Beside the published responses of {sensor} the similarity (cosine) is {span}"
    shifts = {n: p.shift_nm for n, p in found if p.shift_nm is not None}
    if not shifts:
        return [f"{text}; weights of both signs have no centre to compare."]
    far = max(shifts, key=lambda n: abs(shifts[n]))
    off = abs(shifts[far])
    most_off = f"at most {fixed(off, 1)} nm off ({far!r})" if off > 0.05 else "within 0.1 nm"
    return [f"{text}; centres lie {most_off}."]


def _of_scores(report: TrainReport, measure: Measure) -> list[str]:
    if report.scores.holdout is not None:
        return against_baselines(report, measure)
    trained_on = "These scores are of the pixels that were trained on"
    return [f"{trained_on}; they do not show how far the weights hold."]


def of_intervals(trust: Assessment, constraints: Set[str]) -> list[str]:
    """How the intervals of outputs under these constraints were found; nothing where there are
    none."""
    if not trust.intervals:
        return []
    said = ["A good fit says little about the weights: look at their intervals."]
    drawn = trust.method == BOOTSTRAP and "bandpass" in constraints
    if not drawn or constraints > {"bandpass"}:
        said.append(INTERVALS[trust.method])
    return [*said, DRAWN] if drawn else said


def _of_part(pixels: int, left: int, moved: float | None) -> list[str]:
    """What reading a part of the pixels leaves open.

    Parameters
    ----------
    pixels : of all scenes. left : those of them that were not read.
    moved : by how much of their size weights move over resamples; None if it is not known.
    """
    if not left:
        return []
    start = f"Only {share(1 - left / pixels)} of the pixels were read (--max-pixels)"
    if moved is None:
        return [f"{start}; how much that moves the weights is not known."]
    return [f"{start}: over resamples of these, weights move by {share(moved)} of their size."]


def _moved(fitted: Floats, interval: Interval | None) -> float | None:
    """By how much of their size the weights (K, used) of an output move over resamples, median."""
    if interval is None:
        return None
    sizes = np.linalg.norm(fitted, axis=1)
    spread = np.linalg.norm(interval.resampled.std(axis=0), axis=1)
    return float(np.median(spread / np.where(sizes > 0, sizes, 1.0)))


def _of_sample(activation: str, sampled: int) -> list[str]:
    if activation == "identity":
        return []
    return [f"With an activation, scores and fit rest on a sample of {sampled} pixels."]


def _of_gap(gap: float | None) -> list[str]:
    if gap is None or gap <= CONVERGED:
        return []
    short = f"{power(gap)} of the target's variance short"
    return [f"The training stopped {short} of the best weights."]


@dataclass(frozen=True)
class _Pair:
    """The score of the chosen weights of one output, and of the best baseline."""

    output: str
    method: str
    chosen: float
    baseline: float


def against_baselines(report: TrainReport, measure: Measure) -> list[str]:
    """Whether a baseline does better on held-out blocks, by more than is worth a word: one sentence
    for all outputs, about the one with the largest difference."""
    pairs = _pairs(report, measure)
    if not pairs:
        return []
    better = [p for p in pairs if p.baseline > p.chosen + measure.worth]
    if better:
        most = max(better, key=lambda p: p.baseline - p.chosen)
        better_one = "a baseline does better on held-out blocks"
        if len(better) > 1:
            better_one += f", most of all for {most.output!r}"
        of = f"{len(better)} of {len(pairs)} outputs" if len(better) > 1 else repr(most.output)
        start = f"For {of} {better_one}" if len(pairs) > 1 else better_one.capitalize()
        return [f"{start}: {_beside(most, measure)}."]
    none = f"No baseline does better on held-out blocks by more than {measure.words}"
    nearest = max(pairs, key=lambda p: p.baseline - p.chosen)
    of = f" is that for {nearest.output!r}" if len(pairs) > 1 else ""
    return [f"{none}; the nearest{of}: {_beside(nearest, measure)}."]


def _pairs(report: TrainReport, measure: Measure) -> list[_Pair]:
    """Outputs whose score is known, each beside the best of its baselines."""
    pairs, labels = [], labels_of(report)
    for name, score in (report.scores.holdout or {}).items():
        others = {m: t.holdout[name][measure.key] for m, t in report.baselines.items() if t.holdout}
        known = {method: value for method, value in others.items() if value is not None}
        best = max(known, key=lambda method: known[method], default=None)
        value = score[measure.key]
        if best is not None and value is not None:
            pairs.append(_Pair(labels.get(name, name), best, value, known[best]))
    return pairs


def _beside(pair: _Pair, measure: Measure) -> str:
    """A baseline and the chosen weights in words: of R², what is left unexplained."""
    name = IN_WORDS.get(pair.method, METHODS.get(pair.method, pair.method))
    if measure.key == "r2":
        left = rest(1 - pair.baseline), rest(1 - pair.chosen)
        return f"{name} leaves {left[0]} of the variance unexplained, the chosen weights {left[1]}"
    told = number(pair.baseline, 4), number(pair.chosen, 4)
    return f"{name} has {told[0]} {measure.name}, the chosen weights {told[1]}"
