"""Verdict: how good a training is, in plain words, against which baseline, and what to distrust."""

from __future__ import annotations

import numpy as np

from bandfuse.goals import Goal, Measure
from bandfuse.report.numbers import share
from bandfuse.results import Scores, TrainReport
from bandfuse.survey.gather import NOT_DRAWN
from bandfuse.training.fitting import CONVERGED
from bandfuse.training.trained import Trained
from bandfuse.trust.assess import BOOTSTRAP, JACKKNIFE

INTERVALS = {
    BOOTSTRAP: "Intervals are percentiles of 200 resamples of blocks, the regularisation not chosen anew. For "
    "non-negative weights they are solved without smoothing, so that they hold its bias; for free and affine weights "
    "they do not hold the bias of the ridge, and are too narrow where it is strong.",
    JACKKNIFE: "Intervals are a jackknife over the folds: the whole training was done again without each. They do not "
    "hold the bias of a penalty, and with few folds they are wide.",
}
"""What is said of intervals, by how they were found."""


LEAK = (
    "What was held out are random pixels, whose neighbours were trained on: these scores leak. On another part of the "
    "scene expect less."
)


def verdict(report: TrainReport, trained: Trained) -> list[str]:
    """Sentences, the most important first."""
    held, goal = report.scores.holdout, trained.config.goals[0]
    scores = held or report.scores.train
    known = {name: value for name, s in scores.items() if (value := s[goal.measure.key]) is not None}
    if not known:
        return ["No score could be computed: there is nothing that varies."]
    lines = [_first(goal, known, report.scores.split if held else ""), *_doubts(report, trained)]
    return [*lines[:1], LEAK, *lines[1:]] if held and report.scores.split == "random" else lines


def _first(goal: Goal, known: dict[str, float], split: str) -> str:
    """How good it is; ``split``: what was held out, empty for nothing."""
    places = {
        "blocks": " on blocks that were held out",
        "random": " on random pixels that were held out",
    }
    where = places.get(split, "")
    if not goal.sentence:
        return explained(f"{where.strip().capitalize()}, the" if where else "The", known)
    worst, best = (
        share(value) if goal.measure.share else f"{value:.1f}" for value in (min(known.values()), max(known.values()))
    )
    return goal.sentence.format(worst=worst, best=best, where=where)


def explained(start: str, r2: dict[str, float]) -> str:
    """Shares of the targets' variances in words; R² below zero is worse than the mean of the target, not a share."""
    worst, best = min(r2, key=lambda name: r2[name]), max(r2, key=lambda name: r2[name])
    failed = [repr(name) for name, value in r2.items() if value <= 0]
    useless = f"predict {', '.join(failed)} no better than the mean of the target would"
    if len(failed) == len(r2):
        return f"{start} fused bands {useless}."
    if failed:
        return f"{start} fused bands {useless}; they explain {share(r2[best])} of the variance of {best!r}, at most."
    rest = ", the least well matched target, and more of the others." if len(r2) > 1 else "."
    return f"{start} fused bands explain {share(r2[worst])} of the variance of {worst!r}{rest}"


def _doubts(report: TrainReport, trained: Trained) -> list[str]:
    lines = []
    if report.scores.holdout is None:
        lines.append("These scores are of the pixels that were trained on; they do not show how far the weights hold.")
    else:
        lines += against_baselines(report, trained.config.goals[0].measure)
    if trained.trust.intervals:
        lines += ["A good fit says little about the weights: look at their intervals.", INTERVALS[trained.trust.method]]
    lines += _of_part(trained)
    if trained.config.activation != "identity":
        lines.append(f"With an activation, scores and fit rest on a sample of {len(trained.survey.pixels)} pixels.")
    gap = report.convergence.relative_gap
    if gap is not None and gap > CONVERGED:
        lines.append(f"The training stopped {gap:.1e} of the target's variance short of the best weights.")
    return lines


def _of_part(trained: Trained) -> list[str]:
    """What reading a part of the pixels leaves open."""
    left = sum(tally.invalid.get(NOT_DRAWN, 0) for tally in trained.survey.tallies)
    if not left:
        return []
    pixels = sum(s.shape[0] * s.shape[1] for s in trained.scenes)
    start = f"Only {share(1 - left / pixels)} of the pixels were read (--max-pixels)"
    interval = trained.trust.interval
    if interval is None:
        return [f"{start}; how much that moves the weights is not known."]
    fitted = trained.model.common.matrix[:, list(trained.survey.design.used)]
    sizes = np.linalg.norm(fitted, axis=1)
    moved = np.linalg.norm(interval.resampled.std(axis=0), axis=1) / np.where(sizes > 0, sizes, 1.0)
    return [f"{start}: over resamples of these, weights move by {share(float(np.median(moved)))} of their size."]


def against_baselines(report: TrainReport, measure: Measure) -> list[str]:
    """Where a baseline does better on held-out blocks than the chosen weights, by more than is worth a word."""
    if not report.baselines:
        return []
    lines = []
    mine: Scores = report.scores.holdout or {}
    for name, score in mine.items():
        theirs = {m: t.holdout[name][measure.key] for m, t in report.baselines.items() if t.holdout}
        known = {m: value for m, value in theirs.items() if value is not None}
        best = max(known, key=lambda m: known[m], default=None)
        value = score[measure.key]
        if best is not None and value is not None and known[best] > value + measure.worth:
            lines.append(
                f"For {name!r} the baseline {best} does better on held-out blocks: {measure.name} {known[best]:.4f} "
                f"against {value:.4f}."
            )
    return lines or [f"No baseline does better on held-out blocks by more than {measure.words}."]
