"""Apply: saved weights to rasters of any size."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

from bandfuse.applying.fuse import Output, Second
from bandfuse.applying.moving import Moves
from bandfuse.applying.outputs import check_rasters, drivers_of, output_folder, output_paths
from bandfuse.applying.part import part_of
from bandfuse.applying.rasters import paths_of, write_all, writing_of
from bandfuse.applying.uncertain import Uncertain
from bandfuse.checks.fill import fill_messages
from bandfuse.config.commands import ApplyConfig
from bandfuse.config.outputs import ending_of
from bandfuse.device import row_of
from bandfuse.errors import InputError, shorten
from bandfuse.files.guards import require_apart
from bandfuse.files.making import making
from bandfuse.files.whole import Ready
from bandfuse.model.decoder import as_read
from bandfuse.model.fusion import Fusion, NodataPolicy
from bandfuse.model.model import Model
from bandfuse.model.weightsfile import load, weights_file
from bandfuse.progress import Progress, during, silent
from bandfuse.raster import Encoding, check_type, driver_of
from bandfuse.results.rasters import ApplyResult
from bandfuse.scenes.alignment import alignment_messages
from bandfuse.scenes.folders import with_scenes
from bandfuse.scenes.matching import RESAMPLE, check_inputs
from bandfuse.scenes.places import places
from bandfuse.scenes.scene import Scene, held, input_remarks, open_scene
from bandfuse.scenes.value_ranges import in_units, require_inputs
from bandfuse.streaming.budget import Effort
from bandfuse.streaming.stream import Spread


def apply(
    weights: str | Path,
    config: ApplyConfig,
    progress: Progress = silent,
    *,
    keep: Sequence[Path] = (),
    ready: Ready | None = None,
    spread: Spread | None = None,
) -> ApplyResult:
    """Fuse scenes with the weights in a file or a run folder.

    Outputs never take the place of inputs, nor of the files in ``keep``. ``ready`` is given the
    scratch folder of each output before that takes its place. ``spread``: has parts of a scene
    fused by others.

    Raises
    ------
    InputError, MismatchError, ConfigError, OutputError : nothing is written then.
    """
    weights, config = weights_file(weights), with_scenes(config)
    with making(output_folder(config.output)), making(output_folder(config.uncertainty)):
        return _apply(weights, config, progress, keep, ready, spread)


def _apply(
    weights: Path,
    config: ApplyConfig,
    progress: Progress,
    keep: Sequence[Path],
    ready: Ready | None,
    spread: Spread | None,
) -> ApplyResult:
    """The same, into a folder that is there."""
    started = time.perf_counter()
    model = load(weights, config.scenes)
    with during(progress, "open the scenes"):
        opened = _opened(config)
    with held(opened) as scenes:
        parts = [part_of(scene.fused.grid, config.window, config.bounds) for scene in scenes]
        paths = output_paths(config.output, scenes, ending_of(config.driver))
        effort = Effort.of(config.threads, config.memory, spread, config.device)
        how = writing_of(config, progress, effort, [weights, *keep, *paths_of(scenes)], ready)
        moves = Moves(config.min_coverage)
        fitted = [_fitting(weights, model, scene, config, moves, effort) for scene in scenes]
        seen = check_rasters(paths, config, how.inputs)
        drivers = drivers_of(paths, config)
        seconds = _seconds(weights, model, scenes, paths, config, how.inputs)
        every = zip(paths, scenes, fitted, drivers, seen, parts, seconds, strict=True)
        outputs = [
            Output(path, scene, fusion, driver, before, part=part, second=second)
            for path, scene, (fusion, _), driver, before, part, second in every
        ]
        written = write_all(outputs, how)
        return ApplyResult(
            outputs=[str(p) for p in paths],
            pixels=sum(output.pixels for output in outputs),
            valid_share=written.share or 0.0,
            clipped=written.clipped,
            seconds=time.perf_counter() - started,
            messages=[
                *moves.messages,
                *chain(*(remarks for _, remarks in fitted)),
                *alignment_messages(scenes),
                *(text for scene in scenes for text in scene.remarks),
                *(text for scene in scenes for text in fill_messages(scene, config.nodata)),
                *written.messages,
                *_without_errors(seconds),
            ],
            coverage=moves.coverage,
            device=row_of(written.places),
            uncertainties=[str(second.path) for second in seconds if second is not None],
        )


def _seconds(
    weights: Path,
    model: Model,
    scenes: Sequence[Scene],
    paths: Sequence[Path],
    config: ApplyConfig,
    inputs: Sequence[Path],
) -> list[Second | None]:
    """The raster of uncertainty that is asked for beside each output; None without.

    Raises
    ------
    InputError : the weights remember nothing of it.
    OutputError : it is the output itself, or must not be written.
    """
    if config.uncertainty is None:
        return [None] * len(scenes)
    known = [
        Uncertain.of(model, scene.names, weights, use_common=config.use_common) for scene in scenes
    ]
    beside = output_paths(
        config.uncertainty, scenes, ending_of(config.driver), flag="--uncertainty"
    )
    require_apart([*paths, *beside])
    seen = check_rasters(beside, config, inputs)
    drivers = [driver_of(path, config.driver) for path in beside]
    for driver in dict.fromkeys(drivers):
        check_type(driver, Encoding().dtype, always="the raster of --uncertainty")
    every = zip(beside, known, drivers, seen, strict=True)
    return [Second(path, what, driver, before) for path, what, driver, before in every]


def _without_errors(seconds: Sequence[Second | None]) -> list[str]:
    """Say where rasters of uncertainty hold no errors."""
    bare = [second.path.name for second in seconds if second and second.what.errors is None]
    return (
        [
            f"{shorten(bare)} has no errors of outputs, only the extrapolation: the weights were "
            "learned without a target, or from too few pixels or blocks"
        ]
        if bare
        else []
    )


def _opened(config: ApplyConfig) -> list[Scene]:
    here = places(config.scenes, config.source, [])
    tables, fills, quality = config.wavelengths, config.nodata, config.quality
    scenes = [
        open_scene(p, wavelengths=tables, nodata=fills, quality=quality, writes=True) for p in here
    ]
    return [in_units(scene, config) for scene in scenes]


def _fitting(
    weights: str | Path,
    model: Model,
    scene: Scene,
    config: ApplyConfig,
    moves: Moves,
    effort: Effort,
) -> tuple[Fusion, list[str]]:
    """The fusion for a scene, whose values are in the weights' units; and what a user should
    know."""
    if config.resample:
        own = _with_policy(_own(model, scene, config), config.nodata_policy)
        moved = moves.fusion(own, scene, effort)
        return moved, require_inputs(scene.fused, own, moved.support, config)
    fusion = (
        _back(weights, model, scene, config) if config.inverse else _forth(model, scene, config)
    )
    told = input_remarks(scene, fusion.inputs)
    return fusion, [*told, *require_inputs(scene.fused, fusion, fusion.support, config)]


def _forth(model: Model, scene: Scene, config: ApplyConfig) -> Fusion:
    """The fusion for a scene."""
    check_inputs(scene, model.common.inputs, remedy=RESAMPLE)
    return _with_policy(_own(model, scene, config), config.nodata_policy)


def _own(model: Model, scene: Scene, config: ApplyConfig) -> Fusion:
    return model.fusion(scene.names, use_common=config.use_common)


def _back(weights: str | Path, model: Model, scene: Scene, config: ApplyConfig) -> Fusion:
    """The decoder for a fused raster.

    Raises
    ------
    InputError : the weights have no decoder.
    MismatchError : the raster is not what these weights fuse.
    """
    if model.decoder is None:
        raise InputError(
            f"{weights} holds no decoder",
            expected="weights of a reconstruction",
            remedy="Train with --objective reconstruction to be able to rebuild the cube.",
        )
    made = as_read(model.decoder, scene.bands, scene.grid.path)
    check_inputs(scene, made.inputs)
    return made


def _with_policy(fusion: Fusion, kind: str | None) -> Fusion:
    return (
        fusion
        if kind is None
        else replace(fusion, nodata=NodataPolicy(kind, fusion.nodata.min_share))
    )
