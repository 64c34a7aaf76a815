"""Trials: the whole training, done again without each fold, for objectives without a target."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bandfuse.errors import shorten
from bandfuse.progress import Progress
from bandfuse.spectral.bands import Floats
from bandfuse.survey.survey import Survey
from bandfuse.trust.assess import JACKKNIFE, Assessing, Assessment
from bandfuse.trust.baselines import Table
from bandfuse.trust.folds import bounded, fewer_messages
from bandfuse.trust.jackknife import facing, jackknife
from bandfuse.trust.refits import folded
from bandfuse.trust.scorers import Encoder, Scoring, Trial


def assess_trials(
    how: Assessing,
    survey: Survey,
    scoring: Scoring,
    weight: Floats,
    encode: Encoder,
    progress: Progress,
) -> Assessment:
    """Scores of the (K, used) trained weights, of trainings without each fold, and of baselines."""
    folds, messages = _folds(how, survey)
    trials: list[Trial] = [
        (train, test, encode(train))
        for train, test in progress(folds, total=len(folds), label="refit without each fold")
    ]
    turned = [facing(weight, other) for _, _, other in trials]
    bounds = jackknife(weight, turned, np.full(len(weight), how.bounded), how.most)
    return Assessment(
        scoring.score(trials) if trials else None,
        _baselines(scoring, survey, folds),
        train=scoring.score([(survey, survey, weight)]),
        intervals={} if bounds is None else {"": bounds},
        method=JACKKNIFE,
        messages=tuple(messages),
    )


def _baselines(scoring: Scoring, survey: Survey, folds: Sequence[tuple[Survey, Survey]]) -> Table:
    table: Table = {}
    for name, method in scoring.baselines.items():
        table[name] = {"train": scoring.score([(survey, survey, method(survey))])}
        if folds:
            trials = [(train, test, method(train)) for train, test in folds]
            table[name]["holdout"] = scoring.score(trials)
    return table


def _folds(how: Assessing, survey: Survey) -> tuple[list[tuple[Survey, Survey]], list[str]]:
    """Training and test parts, and what a user should know of them. A fold whose training part
    holds a single class cannot separate anything, and is left out."""
    held = len(survey.classes) + 2 if how.classes else 2
    count = bounded(how.folds, survey.scenes[0].size, held)
    runs = folded(survey, count, per_scene=False)
    every = [(block.scene, block.number) for block in survey.parts()]
    messages = fewer_messages(how.folds, len(every), len(runs))
    parts = [
        (survey.within([p for p in every if p not in run]), survey.within(run)) for run in runs
    ]
    if not how.classes:
        return parts, messages
    whole = [(train, test) for train, test in parts if len(train.classes) > 1]
    if len(whole) < len(parts):
        left = len(parts) - len(whole)
        messages.append(
            f"{left} of {len(parts)} folds are left out: without them there is a single class"
        )
    lone = {c for train, _ in whole for c in survey.classes if c not in train.classes}
    if lone:
        messages.append(
            "classes that lie in one fold, and are unknown where it is held out: "
            f"{shorten(map(survey.class_name, sorted(lone)))}"
        )
    return whole, messages
