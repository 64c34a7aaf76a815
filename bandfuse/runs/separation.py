"""Separation: names, spectra and scores of the classes of a separability, for the report."""

from __future__ import annotations

import numpy as np

from bandfuse.results.training import SeparatedClass, Separation
from bandfuse.runs.trust_rows import finite_or_none
from bandfuse.solve.confusion import Confusion
from bandfuse.solve.scores import Scored
from bandfuse.survey.survey import Survey
from bandfuse.training.trained import Trained


def separation_of(trained: Trained) -> Separation | None:
    """What a training found of its classes; None without classes, or where none was scored."""
    survey, trust = trained.survey, trained.trust
    scored = trust.holdout or trust.train
    if scored is None or not scored.confusion:
        return None
    where = trained.config.split if trust.holdout else "train"
    return separation(survey, scored, where)


def separation(survey: Survey, scored: Scored, where: str) -> Separation:
    """The classes in order of their numbers, with those that were found by mistake."""
    counts = np.array(
        [[scored.confusion.get((a, b), 0) for b in survey.classes] for a in survey.classes]
    )
    found = Confusion(counts)
    rows = [
        SeparatedClass(
            value=number,
            name=survey.class_name(number),
            pixels=int(moments.count),
            recall=finite_or_none(found.recall[i]),
            precision=finite_or_none(found.precision[i]),
            f1=finite_or_none(found.f1[i]),
            mean=moments.mean.tolist(),
            deviation=np.sqrt(moments.variance).tolist(),
        )
        for i, (number, moments) in enumerate(survey.classes.items())
    ]
    nm = survey.bands.wavelength_nm[list(survey.design.used)]
    return Separation.model_validate(
        {
            "where": where,
            "bands": [p + 1 for p in survey.design.used],
            "wavelength_nm": [finite_or_none(x) for x in nm],
            "rows": rows,
            "confusion": counts.tolist(),
        }
    )
