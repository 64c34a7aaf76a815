"""Evaluate: scores of saved weights on other images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bandfuse.checks.fill import fill_messages
from bandfuse.config.commands import EvaluateConfig
from bandfuse.errors import ConfigError, InputError, MismatchError, shorten
from bandfuse.goals import SCORED
from bandfuse.model.fusion import Fusion, FusionKernel
from bandfuse.model.weightsfile import load
from bandfuse.moments.tally import Question, Tally, reduce_windows
from bandfuse.progress import Progress, silent
from bandfuse.raster import opened_selection
from bandfuse.results import EvaluateResult, PixelCount, Scores
from bandfuse.scenes.alignment import alignment_messages, alignment_rows, open_aligned
from bandfuse.scenes.matching import check_inputs
from bandfuse.scenes.places import limited, places
from bandfuse.scenes.scene import (
    Scene,
    input_remarks,
    left_out_messages,
    target_bands,
    target_names,
)
from bandfuse.scenes.value_ranges import in_units, require_inputs, require_target
from bandfuse.solve.scores import Pairs, score_pairs
from bandfuse.spectral.band_order import require_order
from bandfuse.spectral.bands import Floats
from bandfuse.streaming.blocks import blocks
from bandfuse.streaming.budget import Effort
from bandfuse.streaming.stream import Cell, Patch, Source
from bandfuse.streaming.windows import Window
from bandfuse.survey.missing import require_selected


@dataclass(frozen=True, eq=False)
class _FusedCell:
    """A cell seen through a fusion: [inputs, targets] in, [outputs, targets] out."""

    cell: Cell
    kernel: FusionKernel
    inputs: int
    order: list[int]

    def values(self) -> Floats:
        z = self.cell.values()
        return np.concatenate([self.kernel(z[: self.inputs]), z[self.inputs :][self.order]])

    @property
    def extremes(self) -> None:
        """Not known before the product."""


@dataclass(frozen=True, eq=False)
class _FusedPatch:
    """A patch seen through a fusion."""

    patch: Patch
    kernel: FusionKernel
    inputs: int
    order: list[int]

    def cell(self, rows: slice, cols: slice) -> _FusedCell:
        return _FusedCell(self.patch.cell(rows, cols), self.kernel, self.inputs, self.order)


@dataclass(frozen=True, eq=False)
class _Fused:
    """A source seen through a fusion."""

    source: Source
    fusion: Fusion
    order: list[int]

    def read(self, window: Window) -> _FusedPatch:
        return _FusedPatch(
            self.source.read(window),
            FusionKernel(self.fusion),
            len(self.fusion.support),
            self.order,
        )


def _the_scene(config: EvaluateConfig) -> Scene:
    here = places(config.scenes, config.source, config.target)
    limits = limited(here, config.mask, config.bounds, config.window)
    if len(limits) != 1:
        raise ConfigError("evaluate takes one scene", got=f"{len(limits)}")
    scene = open_aligned(limits[0], config, wavelengths=config.wavelengths, nodata=config.nodata)
    return in_units(scene, config)


def evaluate(
    weights: str | Path, config: EvaluateConfig, progress: Progress = silent
) -> EvaluateResult:
    """Score the outputs of saved weights against a target, in one pass.

    Outputs and target bands are paired by equal names where the target has names, else by order.

    Raises
    ------
    InputError, MismatchError, ConfigError
    """
    model = load(weights)
    if not config.target:
        raise ConfigError("evaluate needs a target", expected="--target T")
    scene = _the_scene(config)
    check_inputs(scene, model.common.inputs)
    fusion = model.fusion(scene.names, use_common=config.use_common)
    order = _pair(fusion, scene)
    remarks = input_remarks(scene, fusion.inputs)
    remarks += require_inputs(scene, fusion, fusion.support, config)
    remarks += require_target(scene, fusion, order, config)
    k = len(fusion.outputs)
    tally = _tally(scene, fusion, order, Effort.of(config.threads, config.memory), progress)
    require_selected(scene, tally)
    if tally.used < 2:
        raise InputError(
            f"scene {scene.key!r} has no pixels to score",
            expected="pixels valid in scene and target",
        )
    pairs = Pairs(tally.total(), tally.pixels.values)
    _require_squares(scene, pairs)
    judged = score_pairs(pairs, tally.high[k:])
    remarks += score_messages(scene.key, fusion.outputs.name, [row["r2"] for row in judged.outputs])
    scores: Scores = dict(zip(fusion.outputs.name, judged.outputs, strict=True))
    return EvaluateResult(
        weights=str(weights),
        scene=scene.key,
        scores=scores,
        overall=judged.overall,
        sampled=len(tally.pixels),
        pixels=PixelCount(
            used=tally.used,
            invalid=sum(tally.invalid.values()),
            by_reason={r: n for r, n in tally.invalid.items() if n},
        ),
        alignment=alignment_rows([scene]),
        messages=[
            *remarks,
            *alignment_messages([scene]),
            *left_out_messages(scene),
            *fill_messages(scene, config.nodata),
        ],
    )


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
            _Fused(reader, fusion, order),
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
