"""Verdict: how good a training is, in plain words, against which baseline, and what to distrust."""

from __future__ import annotations

import numpy as np

from bandfuse.goals import Goal, Measure
from bandfuse.report.numbers import share
from bandfuse.results import TrainReport
from bandfuse.spectral.bands import Floats
from bandfuse.survey.gather import NOT_DRAWN
from bandfuse.training.fitting import CONVERGED
from bandfuse.training.trained import Trained
from bandfuse.trust.assess import BOOTSTRAP, JACKKNIFE, Assessment
from bandfuse.trust.bootstrap import Interval

INTERVALS = {
    BOOTSTRAP: "Intervals are percentiles of 200 resamples of blocks, the regularisation not "
    "chosen anew. For non-negative weights they are solved without smoothing, so that they hold "
    "its bias; for free and affine weights they do not hold the bias of the ridge, and are too "
    "narrow where it is strong.",
    JACKKNIFE: "Intervals are a jackknife over the folds: the whole training was done again "
    "without each. They do not hold the bias of a penalty, and with few folds they are wide.",
}
"""What is said of intervals, by how they were found."""


LEAK = (
    "What was held out are random pixels, whose neighbours were trained on: these scores leak. On "
    "another part of the scene expect less."
)


def verdict(report: TrainReport, trained: Trained) -> list[str]:
    """Sentences, the most important first."""
    held, goal = report.scores.holdout, trained.config.goals[0]
    scores = held or report.scores.train
    known = {
        name: value for name, s in scores.items() if (value := s[goal.measure.key]) is not None
    }
    if not known:
        return ["No score could be computed: there is nothing that varies."]
    leak = [LEAK] if held and report.scores.split == "random" else []
    fitted = trained.model.common.matrix[:, list(trained.survey.design.used)]
    left = report.pixels.by_reason.get(NOT_DRAWN, 0)
    moved = _moved(fitted, trained.trust.interval) if left else None
    pixels = sum(scene.shape[0] * scene.shape[1] for scene in trained.scenes)
    return [
        _first(goal, known, report.scores.split if held else ""),
        *leak,
        *_of_scores(report, goal.measure),
        *_of_intervals(trained.trust),
        *_of_part(pixels, left, moved),
        *_of_sample(trained.config.activation, report.scores.sampled),
        *_of_gap(report.convergence.relative_gap),
    ]


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
        share(value) if goal.measure.share else f"{value:.1f}"
        for value in (min(known.values()), max(known.values()))
    )
    return goal.sentence.format(worst=worst, best=best, where=where)


def explained(start: str, r2: dict[str, float]) -> str:
    """Shares of the targets' variances in words; R² below zero is worse than the mean of the
    target, not a share."""
    worst, best = min(r2, key=lambda name: r2[name]), max(r2, key=lambda name: r2[name])
    failed = [repr(name) for name, value in r2.items() if value <= 0]
    useless = f"predict {', '.join(failed)} no better than the mean of the target would"
    if len(failed) == len(r2):
        return f"{start} fused bands {useless}."
    most = f"{share(r2[best])} of the variance of {best!r}"
    if failed:
        return f"{start} fused bands {useless}; they explain {most}, at most."
    rest = ", the least well matched target, and more of the others." if len(r2) > 1 else "."
    least = f"{share(r2[worst])} of the variance of {worst!r}"
    return f"{start} fused bands explain {least}{rest}"


def _of_scores(report: TrainReport, measure: Measure) -> list[str]:
    if report.scores.holdout is not None:
        return against_baselines(report, measure)
    trained_on = "These scores are of the pixels that were trained on"
    return [f"{trained_on}; they do not show how far the weights hold."]


def _of_intervals(trust: Assessment) -> list[str]:
    if not trust.intervals:
        return []
    advice = "A good fit says little about the weights: look at their intervals."
    return [advice, INTERVALS[trust.method]]


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
    short = f"{gap:.1e} of the target's variance short"
    return [f"The training stopped {short} of the best weights."]


def against_baselines(report: TrainReport, measure: Measure) -> list[str]:
    """Where a baseline does better on held-out blocks, by more than is worth a word."""
    if not report.baselines:
        return []
    lines = []
    for name, score in (report.scores.holdout or {}).items():
        others = {m: t.holdout[name][measure.key] for m, t in report.baselines.items() if t.holdout}
        known = {method: value for method, value in others.items() if value is not None}
        best = max(known, key=lambda method: known[method], default=None)
        value = score[measure.key]
        if best is not None and value is not None and known[best] > value + measure.worth:
            lines.append(
                f"For {name!r} the baseline {best} does better on held-out blocks: {measure.name} "
                f"{known[best]:.4f} against {value:.4f}."
            )
    return lines or [f"No baseline does better on held-out blocks by more than {measure.words}."]
