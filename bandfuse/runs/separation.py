"""Separation: names, spectra and scores of the classes of a separability, for the report."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from bandfuse.raster import Labels
from bandfuse.results import ClassScore, Separation
from bandfuse.runs.trust_rows import finite_or_none
from bandfuse.solve.scores import Scored
from bandfuse.spectral.bands import Floats
from bandfuse.survey.survey import Survey
from bandfuse.training.trained import Trained


def separation_of(trained: Trained) -> Separation | None:
    """What a training found of its classes; None without classes, or where none was scored."""
    survey, trust = trained.survey, trained.trust
    scored = trust.holdout or trust.train
    if scored is None or not scored.confusion:
        return None
    where = trained.config.split if trust.holdout else "train"
    labels = [scene.labels for scene in trained.scenes if scene.labels is not None]
    return separation(survey, scored, where, names_of(survey.classes, labels))


def names_of(numbers: Iterable[int], labels: Iterable[Labels]) -> dict[int, str]:
    """What the files of all scenes call the classes; several names of one number stand side by
    side, and a number without a name is its own."""
    files = list(labels)
    named = {n: dict.fromkeys(file.name(n) for file in files) for n in numbers}
    return {n: " / ".join(x for x in some if x != str(n)) or str(n) for n, some in named.items()}


def separation(survey: Survey, scored: Scored, where: str, names: dict[int, str]) -> Separation:
    """The classes in order of their numbers, with those that were found by mistake."""
    counts = np.array(
        [[scored.confusion.get((a, b), 0) for b in survey.classes] for a in survey.classes]
    )
    nm = survey.bands.wavelength_nm[list(survey.design.used)]
    rows = [
        ClassScore(
            value=number,
            name=names[number],
            pixels=int(moments.count),
            **_scores(counts, i),
            mean=moments.mean.tolist(),
            deviation=np.sqrt(moments.variance).tolist(),
        )
        for i, (number, moments) in enumerate(survey.classes.items())
    ]
    return Separation.model_validate(
        {
            "where": where,
            "bands": [p + 1 for p in survey.design.used],
            "wavelength_nm": [finite_or_none(x) for x in nm],
            "rows": rows,
            "confusion": counts.tolist(),
        }
    )


def _scores(counts: Floats, i: int) -> dict[str, float | None]:
    """Recall, precision and F1 of a class, from counts by class (row) and found class (column);
    None where there is no pixel to tell."""
    hit, truth, found = float(counts[i, i]), float(counts[i].sum()), float(counts[:, i].sum())
    return {
        "recall": hit / truth if truth else None,
        "precision": hit / found if found else None,
        "f1": 2 * hit / (truth + found) if truth + found else None,
    }
