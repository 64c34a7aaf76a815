"""Evaluate: scores of saved weights on other images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bandfuse.applying.classify import ClassScores, score_classes
from bandfuse.applying.fused import Fused, kernel_of
from bandfuse.checks.fill import fill_messages
from bandfuse.config.commands import EvaluateConfig
from bandfuse.device import require_device
from bandfuse.errors import ConfigError, InputError, MismatchError, shorten
from bandfuse.goals import SCORED
from bandfuse.model.fusion import Fusion
from bandfuse.model.model import Model
from bandfuse.model.weightsfile import load, weights_file
from bandfuse.moments.reduce import reduce_windows
from bandfuse.moments.tally import Question, Tally
from bandfuse.progress import Progress, silent
from bandfuse.raster import opened_selection
from bandfuse.results.rasters import EvaluateResult
from bandfuse.scenes.alignment import alignment_messages, alignment_rows, open_aligned
from bandfuse.scenes.folders import with_scenes
from bandfuse.scenes.matching import APPLY, check_inputs
from bandfuse.scenes.places import limited, places
from bandfuse.scenes.scene import (
    Scene,
    held,
    input_remarks,
    left_out_messages,
    target_bands,
    target_names,
)
from bandfuse.scenes.value_ranges import in_units, require_inputs, require_target
from bandfuse.sharpening.gains.gainsfile import holds_gains, load_gains
from bandfuse.sharpening.truth.evaluated import evaluate_sharpened
from bandfuse.solve.scores import Pairs, score_pairs
from bandfuse.spectral.band_order import require_order
from bandfuse.streaming.blocks import blocks
from bandfuse.streaming.budget import Effort
from bandfuse.survey.missing import pixel_count, require_selected


def _the_scene(config: EvaluateConfig) -> Scene:
    here = places(config.scenes, config.source, config.target, config.labels)
    limits = limited(here, config.mask, config.bounds, config.window)
    if len(limits) != 1:
        raise ConfigError("evaluate takes one scene", got=f"{len(limits)}")
    scene = open_aligned(
        limits[0],
        config,
        label_field=config.label_field,
        layers=config.layer,
        unlabelled=config.unlabelled,
        wavelengths=config.wavelengths,
        nodata=config.nodata,
        quality=config.quality,
    )
    return in_units(scene, config)


def evaluate(
    weights: str | Path, config: EvaluateConfig, progress: Progress = silent
) -> EvaluateResult:
    """Score the outputs of saved weights against a target, or against the classes of labels; of a
    sharpening score a sharpened raster, or without one the run's own, against the true cube.

    Outputs and target bands are paired by equal names where the target has names, else by order.
    Classes are found by the linear discriminants of the training where the weights hold them, else
    by those of the other blocks of the image. Bands of a true cube are paired by wavelength.

    Raises
    ------
    InputError, MismatchError, ConfigError
    """
    config = with_scenes(config)
    model = load(weights, config.scenes)
    if holds_gains(weights):
        run = weights_file(weights).parent
        return evaluate_sharpened(run, str(weights), load_gains(weights), config, progress)
    _require_no_cube(config)
    if bool(config.target) == bool(config.labels):
        last = config.scenes[-1] if len(config.scenes) > 1 else ""
        raise ConfigError(
            "evaluate needs a target or labels",
            got="both" if config.target else "",
            expected="--target T, or --labels L",
            remedy=f"Is it {last}? Then give it with --target {last}." if last else "",
        )
    with held([_the_scene(config)]) as (scene,):
        return _evaluated(str(weights), model, scene, config, progress)


def _require_no_cube(config: EvaluateConfig) -> None:
    """The cube that was sharpened has no meaning for other weights.

    Raises
    ------
    ConfigError
    """
    if config.cube is not None:
        raise ConfigError(
            "--cube is for weights of bandfuse sharpen",
            got=f"--cube {config.cube}",
            expected="SCENE files",
            remedy="Leave --cube out.",
        )


def _evaluated(
    weights: str, model: Model, scene: Scene, config: EvaluateConfig, progress: Progress
) -> EvaluateResult:
    check_inputs(scene, model.common.inputs, remedy=APPLY)
    fusion = model.fusion(scene.names, use_common=config.use_common)
    remarks = input_remarks(scene, fusion.inputs)
    remarks += require_inputs(scene, fusion, fusion.support, config)
    require_device(config.device)
    effort = Effort.of(config.threads, config.memory, device=config.device)
    if config.labels:
        found = _of_classes(score_classes(model.classes, fusion, scene, effort, progress))
        remarks += label_messages(scene)
    else:
        order = _pair(fusion, scene)
        remarks += require_target(scene, fusion, order, config)
        found = _of_target(scene, fusion, _tally(scene, fusion, order, effort, progress))
    messages = [
        *remarks,
        *found.pop("messages"),
        *alignment_messages([scene]),
        *scene.remarks,
        *left_out_messages(scene),
        *fill_messages(scene, config.nodata),
    ]
    return EvaluateResult(
        weights=weights,
        scene=scene.key,
        alignment=alignment_rows([scene]),
        messages=messages,
        **found,
    )


def _of_classes(found: ClassScores) -> dict[str, Any]:
    """The fields of a result that are of labels."""
    return {
        "scores": {"classes": found.confusion.overall()},
        "overall": {},
        "sampled": 0,
        "pixels": pixel_count(int(found.confusion.counts.sum()), found.invalid),
        "classification": found.result,
        "messages": found.messages,
    }


def _of_target(scene: Scene, fusion: Fusion, tally: Tally) -> dict[str, Any]:
    """The fields of a result that are of a target."""
    require_selected(scene, tally)
    if tally.used < 2:
        raise InputError(
            f"scene {scene.key!r} has no pixels to score",
            expected="pixels valid in scene and target",
        )
    pairs = Pairs(tally.total(), tally.pixels.values)
    _require_squares(scene, pairs)
    judged = score_pairs(pairs, tally.high[len(fusion.outputs) :])
    names = fusion.outputs.name
    return {
        "scores": dict(zip(names, judged.outputs, strict=True)),
        "overall": judged.overall,
        "sampled": len(tally.pixels),
        "pixels": pixel_count(tally.used, tally.invalid),
        "messages": score_messages(scene.key, names, [row["r2"] for row in judged.outputs]),
    }


def label_messages(scene: Scene) -> list[str]:
    """What the file of labels says of itself."""
    file = None if scene.labels is None else scene.labels.file
    return [] if file is None else [f"{Path(file.path).name}: {text}" for text in file.messages]


def score_messages(scene: str, names: Sequence[str], r2: Sequence[float | None]) -> list[str]:
    """Which outputs predict their target worse than its mean does."""
    bad = [
        f"{name} (r2 {value:.3g})"
        for name, value in zip(names, r2, strict=True)
        if value is not None and value < 0
    ]
    if not bad:
        return []
    return [
        f"{scene}: worse than the target's own mean: {shorten(bad)}; do units, bands and place fit?"
    ]


MOST = 1e150
"""The squares of greater numbers overflow, or their sums do."""


def _require_squares(scene: Scene, pairs: Pairs) -> None:
    """Refuse outputs and targets whose squares are beyond float64: they have no scores."""
    mean, scatter = np.abs(pairs.moments.mean), pairs.moments.covariance
    if not (np.isfinite(scatter).all() and (mean <= MOST).all()):
        raise InputError(
            f"outputs or target of scene {scene.key!r} are numbers whose squares overflow",
            got=f"means up to {mean.max():g}",
            remedy="Look at the offset and gain of the weights, and at the units of the target.",
        )


def _tally(
    scene: Scene, fusion: Fusion, order: list[int], effort: Effort, progress: Progress
) -> Tally:
    """Moments of [outputs, targets] in one pass."""
    k = len(fusion.outputs)
    with (
        opened_selection(scene.where) as where,
        scene.reader(fusion.support, target=True) as reader,
    ):
        weight = reader.bytes_per_pixel + (0 if where is None else where.bytes_per_pixel)
        windows = effort.windows(scene.shape, scene.grid.stored, weight)
        question = Question(
            k, k, tuple(range(k)), blocks(scene.shape, 1), sample=SCORED, where=where
        )
        return reduce_windows(
            Fused(reader, fusion, kernel_of(scene, fusion, effort), order),
            question,
            windows,
            threads=effort.threads,
            progress=progress,
        )


def _pair(fusion: Fusion, scene: Scene) -> list[int]:
    """For each output the place of its target among the target's bands."""
    assert scene.target is not None
    count, names = len(target_bands(scene.target)), target_names(scene.target)
    outputs = list(fusion.outputs.name)
    if names is not None and len(set(names)) == len(names) and set(outputs) <= set(names):
        return [names.index(o) for o in outputs]
    if count != len(outputs):
        raise MismatchError(
            "outputs and target bands cannot be paired",
            got=f"outputs {shorten(outputs)} and {count} target bands"
            + (f", {shorten(names)}" if names else ""),
            expected="equal names or equal numbers",
        )
    if names is not None:
        require_order(f"target {scene.target.path}", names, outputs)
    return list(range(len(outputs)))
