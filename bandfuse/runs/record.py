"""Record: what a training says of itself, as the model behind report.json and weights.csv."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np

from bandfuse.device import row_of
from bandfuse.model.fusion import Fusion
from bandfuse.model.model import Model
from bandfuse.raster import Raster
from bandfuse.results.base import PixelCount
from bandfuse.results.training import (
    ClassRow,
    Convergence,
    DroppedBand,
    InputFile,
    OutputRow,
    ScoreTable,
    Seconds,
    TrainReport,
    WeightRow,
)
from bandfuse.runs.separation import separation_of
from bandfuse.runs.trust_rows import finite_or_none, trust_of
from bandfuse.runs.versions import kernels, versions
from bandfuse.scenes.alignment import alignment_rows
from bandfuse.scenes.scene import Scene, target_bands
from bandfuse.solve.design import Design
from bandfuse.solve.fit_result import Fit
from bandfuse.solve.scores import Scored, score_pairs
from bandfuse.spectral.bands import Bands
from bandfuse.survey.missing import pixel_count
from bandfuse.survey.survey import Survey
from bandfuse.training.trained import Trained
from bandfuse.trust.assess import RegularisationPlan
from bandfuse.trust.bootstrap import Interval
from bandfuse.trust.refits import pairs_of, peak_of

Sizes = Mapping[str, int]


def report_of(trained: Trained, checksums: Mapping[str, str], sizes: Sizes) -> TrainReport:
    """All that a training says of itself; ``checksums``: SHA-256 of the inputs by path; ``sizes``:
    bytes of those that are ordinary files."""
    config, survey, model = trained.config, trained.survey, trained.model
    design, trust = survey.design, trained.trust
    train = trust.train or score_pairs(
        pairs_of(survey, trained.scene_names, model), peak_of(survey)
    )
    together = config.goals[0].scored
    names = [together] if together else list(design.names)
    table = partial(_table, names, sampled=len(survey.pixels), split=config.split)
    return TrainReport(
        outputs=_outputs(model.common, str(config.constraint), trained.plan, _answers(trained)),
        weights=weight_rows(model, design, trust.intervals),
        scores=table({"train": train, "holdout": trust.holdout}),
        baselines={name: table(parts) for name, parts in trust.table.items()},
        convergence=_convergence(trained.fits, [moments.count for moments in survey.scenes]),
        trust=trust_of(trained),
        separation=separation_of(trained),
        pixels=_pixels(survey),
        bands_dropped=_dropped(survey.bands),
        classes=_classes(survey) if "classes" in config.gathers else [],
        device={part: row_of(places) for part, places in trained.places.items()},
        seconds=Seconds(read=trained.seconds_read, fit=trained.seconds_fit, write=0.0),
        versions=versions(),
        kernels=kernels(),
        inputs=_inputs(trained.scenes, checksums, sizes),
        seed=config.seed,
        alignment=alignment_rows(trained.scenes),
        left_out=trained.left_out,
    )


def _inputs(scenes: Sequence[Scene], checksums: Mapping[str, str], sizes: Sizes) -> list[InputFile]:
    """Every file once, in the order of the scenes."""
    files = {file.path: file for scene in scenes for file in scene.files}
    return [
        _input(file, checksums.get(path, ""), sizes.get(path, 0)) for path, file in files.items()
    ]


def _input(raster: Raster, sha256: str, size: int) -> InputFile:
    """What is recorded of an input; the size of ordinary files only."""
    return InputFile(
        path=raster.path,
        size=size,
        sha256=sha256,
        shape=(len(raster.bands), raster.rows, raster.cols),
        crs=raster.crs_text,
    )


def _answers(trained: Trained) -> Bands | None:
    """The band of the target that each output is to match; None without a target."""
    design, target = trained.survey.design, trained.scenes[0].target
    if target is None or not design.targets:
        return None
    places = target_bands(target)
    return target.bands.take([places[t] for t in design.targets])


ACTIVE = 1e-3
"""Weights above this part of the largest of their output are active."""


def _outputs(
    fusion: Fusion, constraint: str, plan: RegularisationPlan | None, answer: Bands | None
) -> list[OutputRow]:
    """How each output is made; ``constraint`` of all of them where there is no plan; ``answer``:
    the bands that they are to match."""
    aim = Bands.of(fusion.outputs.name) if answer is None else answer
    size = np.abs(fusion.matrix)
    active = (size > ACTIVE * size.max(axis=1, keepdims=True)).sum(axis=1)
    return [
        OutputRow(
            name=name,
            gain=float(fusion.gain[k]),
            offset=float(fusion.offset[k]),
            constraint=constraint if plan is None else plan.choices[k].constraint,
            active_bands=int(active[k]),
            wavelength_nm=finite_or_none(fusion.outputs.wavelength_nm[k]),
            fwhm_nm=finite_or_none(fusion.outputs.fwhm_nm[k]),
            target_nm=finite_or_none(aim.wavelength_nm[k]),
            target_fwhm_nm=finite_or_none(aim.fwhm_nm[k]),
            **({} if plan is None else asdict(plan.choices[k].strength)),
        )
        for k, name in enumerate(fusion.outputs.name)
    ]


def weight_rows(model: Model, design: Design, intervals: Mapping[str, Interval]) -> list[WeightRow]:
    """One row per output and band of its group, and per scene where scenes have weights of their
    own. ``intervals``: by scene, those of the common weights under the empty key."""
    layout = design.layout
    fusions = dict(model.scenes) or {"": model.common}
    matrices = {scene: fusion.matrix for scene, fusion in fusions.items()}
    known = {scene: intervals[scene] for scene in fusions if scene in intervals}
    rows = []
    for k in range(layout.shape[0]):
        group = np.union1d(layout.col[layout.row == k], np.flatnonzero(layout.fixed[k]))
        for place in group.tolist():
            position = design.used[place]
            facts = _facts(model.common, k, position)
            for scene, fusion in fusions.items():
                weights = float(fusion.weight[k, position]), float(matrices[scene][k, position])
                rows.append(_weight_row(facts, scene, weights, known.get(scene), (k, place)))
    return rows


def _facts(fusion: Fusion, k: int, position: int) -> dict[str, Any]:
    """What the rows of all scenes say alike of an output and a band."""
    bands = fusion.inputs
    return {
        "output": fusion.outputs.name[k],
        "band": position + 1,
        "source": bands.source[position],
        "source_band": bands.index[position],
        "name": bands.name[position],
        "wavelength_nm": finite_or_none(bands.wavelength_nm[position]),
        "fwhm_nm": finite_or_none(bands.fwhm_nm[position]),
    }


def _weight_row(
    facts: Mapping[str, Any],
    scene: str,
    weights: tuple[float, float],
    interval: Interval | None,
    place: tuple[int, int],
) -> WeightRow:
    """The row of a weight, with its interval where there is one; ``place``: output and used band.

    Many scenes have so many rows that each is made without a copy of the names of its fields."""
    low, high = None, None
    if interval is not None:
        low, high = float(interval.low[place]), float(interval.high[place])
    weight, effective = weights
    return WeightRow.model_construct(
        ROW_FIELDS,
        **facts,
        scene=scene,
        weight=weight,
        effective_weight=effective,
        ci_low=low,
        ci_high=high,
    )


ROW_FIELDS = set(WeightRow.model_fields)
"""The fields that a row has: one value for all of them."""


def _table(
    names: Sequence[str], parts: Mapping[str, Scored | None], *, sampled: int, split: str
) -> ScoreTable:
    """The scores of what has these names, by part of the pixels."""
    known = {part: judged for part, judged in parts.items() if judged is not None}
    rows = {part: dict(zip(names, judged.outputs, strict=True)) for part, judged in known.items()}
    return ScoreTable(
        train=rows["train"],
        holdout=rows.get("holdout"),
        overall={part: judged.overall for part, judged in known.items() if judged.overall},
        sampled=sampled,
        split=split,
    )


def _convergence(fits: Sequence[Fit], counts: Sequence[int]) -> Convergence:
    """Losses summed over outputs. Several fits, one of each scene, are weighted by their numbers
    of pixels ``counts``."""
    pixels = np.array(counts, dtype=np.float64)
    share = pixels / pixels.sum() if len(fits) > 1 else np.ones(1)
    optima = [float(fit.optimum.sum()) for fit in fits if fit.optimum is not None]
    gaps = [fit.relative_gap for fit in fits if fit.relative_gap is not None]
    return Convergence(
        loss=float(share @ [fit.losses.sum() for fit in fits]),
        optimum=float(share @ optima) if len(optima) == len(fits) else None,
        relative_gap=max(gaps) if len(gaps) == len(fits) else None,
        steps=max(fit.steps for fit in fits),
        starts=[ends for fit in fits for _, ends in fit.starts],
    )


def _pixels(survey: Survey) -> PixelCount:
    invalid: Counter[str] = Counter()
    for tally in survey.tallies:
        invalid.update(tally.invalid)
    return pixel_count(sum(tally.used for tally in survey.tallies), invalid)


def _classes(survey: Survey) -> list[ClassRow]:
    """The classes of the labels that have pixels."""
    return [
        ClassRow(value=number, name=survey.class_name(number), pixels=moments.count)
        for number, moments in survey.classes.items()
    ]


def _dropped(bands: Bands) -> list[DroppedBand]:
    return [
        DroppedBand(
            band=i + 1,
            source=bands.source[i],
            name=bands.name[i],
            wavelength_nm=finite_or_none(bands.wavelength_nm[i]),
            reason=reason,
        )
        for i, reason in enumerate(bands.reason)
        if reason
    ]
