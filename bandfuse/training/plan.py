"""Plan: what a training will read, learn and write, from what its files say of themselves."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bandfuse.config.train import TrainConfig
from bandfuse.results import PlannedOutput, PlannedScene, TrainPlan
from bandfuse.scenes.matching import check_inputs
from bandfuse.scenes.places import Place, limited, places
from bandfuse.scenes.scene import Scene, open_scene
from bandfuse.scenes.value_ranges import in_units
from bandfuse.solve.design import Design
from bandfuse.spectral.bands import Bands
from bandfuse.spectral.groups import SEEING
from bandfuse.streaming.budget import Effort
from bandfuse.training.arrange import require_room, unique_target_names
from bandfuse.training.settings import grouping_of

RATE = 200e6
"""Bytes that are read and decoded in a second by one thread, roughly: plain files are read faster,
compressed ones more slowly."""

PER_OUTPUT, PER_PAGE, START = 0.1, 0.5, 6.0
"""Seconds, as measured on two cores: to fit and judge an output of 30 bands, to draw it on the
page, and to import and begin."""

TRIED = 4096
"""Pixels of the product that is timed."""


def plan_training(config: TrainConfig) -> tuple[TrainPlan, list[Scene]]:
    """What a training with resolved settings will do, and its scenes. No pixel is read.

    Raises
    ------
    UsageError and its children : files or settings that do not fit.
    """
    scenes = [_opened(place, config) for place in _places(config)]
    for scene in scenes[1:]:
        check_inputs(scene, scenes[0].bands)
    bands, design, messages = scenes[0].bands, None, []
    spec = str(config.groups)
    if config.groups and not config.group and spec.partition(":")[0] in SEEING:
        messages.append(f"--groups {spec}: the groups are made of how the pixels vary")
    else:
        design = grouping_of(config).design(bands, unique_target_names(scenes[0]))
        require_room(config.goals, design)
    if config.shift == "auto":
        messages.append("--shift auto: the shift is estimated when the pixels are read")
    made = TrainPlan(
        output=str(config.output),
        objective=str(config.objective),
        constraint=str(config.constraint),
        folds=config.folds,
        scenes=[_planned(scene) for scene in scenes],
        bands_used=int(bands.good.sum()),
        bands_flagged=int((~bands.good).sum()),
        outputs=[] if design is None else _outputs(design, bands),
        weights=None if design is None else _count(design, config, len(scenes)),
        writes=_writes(config, scenes),
        seconds=_seconds(config, scenes, design),
        messages=messages,
    )
    return made, scenes


def _places(config: TrainConfig) -> list[Place]:
    found = places(config.scenes, config.source, config.target, config.labels)
    return limited(found, config.mask, config.bounds, config.window)


def _opened(place: Place, config: TrainConfig) -> Scene:
    shift = config.shift if isinstance(config.shift, tuple) else (0.0, 0.0)
    scene = open_scene(
        place,
        label_field=config.label_field,
        unlabelled=config.unlabelled,
        wavelengths=config.wavelengths,
        nodata=config.nodata,
        training=True,
        shift=shift,
        blur=config.blur,
    )
    return in_units(scene, config)


def _planned(scene: Scene) -> PlannedScene:
    rows, cols = scene.shape
    return PlannedScene(
        scene=scene.key,
        files=[raster.path for raster in scene.files],
        rows=rows,
        cols=cols,
        bands=len(scene.bands),
        target_bands=0 if scene.target is None else len(scene.target.bands),
        size=_bytes(scene),
    )


def _bytes(scene: Scene) -> int:
    """Bytes of all pixels of a scene's sources and target, before compression."""
    rasters = [*scene.rasters, *([] if scene.target is None else [scene.target])]
    return sum(r.rows * r.cols * sum(np.dtype(d).itemsize for d in r.dtypes) for r in rasters)


def _outputs(design: Design, bands: Bands) -> list[PlannedOutput]:
    rows = []
    for k, name in enumerate(design.names):
        here = [design.used[i] for i in np.unique(design.layout.col[design.layout.row == k])]
        nm = bands.wavelength_nm[here]
        known = bool(len(nm)) and bool(np.isfinite(nm).all())
        rows.append(
            PlannedOutput(
                name=name,
                bands=len(here),
                low_nm=float(nm.min()) if known else None,
                high_nm=float(nm.max()) if known else None,
            )
        )
    return rows


def _count(design: Design, config: TrainConfig, scenes: int) -> int:
    return design.layout.size * (scenes if config.per_scene else 1)


def _writes(config: TrainConfig, scenes: Sequence[Scene]) -> list[str]:
    """The files of the run folder."""
    names = ["weights.safetensors", "weights.csv", "config.yaml", "report.json"]
    names += [] if config.no_report else ["report.html", "report.data.json"]
    if not config.no_fused:
        one = len(scenes) == 1
        rasters = ["fused.tif"] if one else [f"{scene.key}.fused.tif" for scene in scenes]
        names += rasters
        names += [f"{Path(r).stem}.stac.json" for r in rasters] if config.stac else []
    return names + (["figures/"] if config.figures else [])


def _seconds(
    config: TrainConfig, scenes: Sequence[Scene], design: Design | None
) -> dict[str, float]:
    """Roughly how long each phase takes: read, fit, write."""
    effort = Effort.of(config.threads, config.memory)
    variables = int(scenes[0].bands.good.sum()) + (1 if design is None else len(design.names))
    pixels = sum(s.shape[0] * s.shape[1] for s in scenes)
    size = sum(map(_bytes, scenes))
    if config.max_pixels is not None and config.max_pixels < pixels:
        size, pixels = size * config.max_pixels // pixels, config.max_pixels
    read = (size / RATE + pixels * _pace(variables)) / effort.threads
    outputs = 8 if design is None else len(design.names)
    fit = PER_OUTPUT * outputs * (variables / 30) ** 1.75
    return {"read": read, "fit": fit, "write": START + PER_PAGE * outputs}


def _pace(variables: int) -> float:
    """Seconds per pixel of the product that moments are made of, timed here and now."""
    cell = np.random.default_rng(0).standard_normal((variables, TRIED))
    cell @ cell.T
    started = time.perf_counter()
    cell @ cell.T
    return (time.perf_counter() - started) / TRIED
