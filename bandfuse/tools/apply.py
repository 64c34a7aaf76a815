"""Apply: saved weights to rasters of any size."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path

from bandfuse.applying.fuse import fuse_to
from bandfuse.applying.moving import Moves
from bandfuse.applying.outputs import (
    check_raster,
    creation,
    drivers_of,
    empty_messages,
    encoding_of,
    item_of,
    output_paths,
    store_messages,
)
from bandfuse.checks.fill import fill_messages
from bandfuse.config.commands import ApplyConfig
from bandfuse.config.outputs import ending_of
from bandfuse.device import device_of
from bandfuse.errors import InputError
from bandfuse.files.whole import Ready
from bandfuse.model.decoder import as_read
from bandfuse.model.fusion import Fusion, NodataPolicy
from bandfuse.model.model import Model
from bandfuse.model.weightsfile import load
from bandfuse.progress import Progress, silent
from bandfuse.raster import Lost
from bandfuse.results import ApplyResult
from bandfuse.scenes.alignment import alignment_messages
from bandfuse.scenes.matching import check_inputs
from bandfuse.scenes.places import places
from bandfuse.scenes.scene import Scene, input_remarks, open_scene
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
    """Fuse scenes with the weights in a file.

    Outputs never take the place of inputs, nor of the files in ``keep``. ``ready`` is given the
    scratch folder of each output before that takes its place. ``spread``: has parts of a scene
    fused by others.

    Raises
    ------
    InputError, MismatchError, ConfigError, OutputError : nothing is written then.
    """
    started = time.perf_counter()
    device, model = device_of(config.device), load(weights)
    scenes = _opened(config)
    outputs = output_paths(config.output, scenes, ending_of(config.driver))
    encoding = encoding_of(config)
    effort = Effort.of(config.threads, config.memory, spread)
    inputs = [Path(weights), *keep, *(p for s in scenes for p in s.paths)]
    moves = Moves(config.min_coverage)
    fitted = [_fitting(weights, model, scene, config, moves, effort) for scene in scenes]
    fusions = [fusion for fusion, _ in fitted]
    seen = [
        check_raster(path, config, overwrite=config.overwrite, inputs=inputs) for path in outputs
    ]
    drivers = drivers_of(outputs, config)
    fuse = partial(fuse_to, encoding=encoding, effort=effort, progress=progress, inputs=inputs)
    fuse = partial(fuse, options=creation(config), device=device, ready=ready)
    counts = []
    every = zip(scenes, fusions, outputs, drivers, seen, strict=True)
    for scene, fusion, path, driver, before in every:
        item = item_of(config, path, scene, fusion, encoding, driver)
        counts.append(fuse(path, scene, fusion, driver=driver, seen=before, beside=item))
    pixels = [scene.shape[0] * scene.shape[1] for scene in scenes]
    values = sum(int(f.outputs.good.sum()) * n for f, n in zip(fusions, pixels, strict=True))
    lost = sum((part for _, part in counts), Lost(0, 0))
    return ApplyResult(
        outputs=[str(p) for p in outputs],
        pixels=sum(pixels),
        valid_share=sum(v for v, _ in counts) / values,
        clipped=lost.clipped,
        seconds=time.perf_counter() - started,
        messages=[
            *moves.messages,
            *chain(*(remarks for _, remarks in fitted)),
            *_scene_messages(scenes, drivers, config.nodata),
            *lost.messages(encoding, values),
            *empty_messages(outputs, [valid for valid, _ in counts]),
        ],
        coverage=moves.coverage,
    )


def _scene_messages(
    scenes: Sequence[Scene], drivers: Sequence[str], nodata: Sequence[str]
) -> list[str]:
    fills = (text for scene in scenes for text in fill_messages(scene, nodata))
    return [*alignment_messages(scenes), *store_messages(drivers, scenes), *fills]


def _opened(config: ApplyConfig) -> list[Scene]:
    here = places(config.scenes, config.source, [])
    return [
        in_units(open_scene(p, wavelengths=config.wavelengths, nodata=config.nodata), config)
        for p in here
    ]


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
    check_inputs(scene, model.common.inputs)
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
