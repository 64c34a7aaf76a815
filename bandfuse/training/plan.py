"""Plan: what a training will read, learn and write, from what its files say of themselves."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bandfuse.config.train import TrainConfig
from bandfuse.results.training import PlannedOutput, PlannedScene, TrainPlan
from bandfuse.scenes.scene import Scene
from bandfuse.solve.design import Design
from bandfuse.spectral.bands import Bands
from bandfuse.spectral.groups import SEEING
from bandfuse.streaming.budget import Effort
from bandfuse.training.arrange import require_room, unique_target_names
from bandfuse.training.sampling import Sampling
from bandfuse.training.settings.steps import grouping_of

RATE = 200e6
"""Bytes that are read and decoded in a second by one thread, roughly: plain files are read faster,
compressed ones more slowly."""

PER_OUTPUT, PER_PAGE, START = 0.1, 0.5, 6.0
"""Seconds, as measured on two cores: to fit and judge an output of 30 bands, to draw it on the
page, and to import and begin."""

FEW = 8
"""Outputs that are reckoned with where their number is not known."""

TEXTS = ("weights.safetensors", "weights.csv", "config.yaml", "report.json")
PAGES = ("report.html", "report.data.json")
"""Files of a run folder."""

TRIED = 4096
"""Pixels of the product that is timed."""


def plan_training(
    config: TrainConfig, scenes: Sequence[Scene], left_out: Sequence[str]
) -> TrainPlan:
    """What a training with resolved settings will do with its scenes. No pixel is read.

    Raises
    ------
    UsageError and its children : groups that do not fit.
    """
    bands, design, messages = scenes[0].bands, None, [f"left out: {why}" for why in left_out]
    spec = str(config.groups)
    if config.groups and not config.group and spec.partition(":")[0] in SEEING:
        messages.append(f"--groups {spec}: the groups are made of how the pixels vary")
    else:
        design = grouping_of(config).design(bands, unique_target_names(scenes[0]))
        require_room(config.goals, design)
    messages += [text for scene in scenes for text in scene.remarks]
    sampling = Sampling(config.sample, config.memory, apart=config.per_scene)
    sample = sampling.planned(scenes) if config.sampled else None
    if config.shift == "auto":
        messages.append("--shift auto: the shift is estimated when the pixels are read")
    if config.style:
        messages.append("--style: NAME.qml is written where outputs cover red, green and blue")
    outputs = [] if design is None else _outputs(design, bands)
    each = len(scenes) if config.per_scene else 1
    variables = int(bands.good.sum()) + len(outputs)
    return TrainPlan(
        output=str(config.output),
        objective=str(config.objective),
        constraint=str(config.constraint),
        folds=config.folds,
        scenes=[_planned(scene) for scene in scenes],
        bands_used=int(bands.good.sum()),
        bands_flagged=int((~bands.good).sum()),
        outputs=outputs,
        weights=None if design is None else design.layout.size * each,
        sample=sample,
        writes=[
            *TEXTS,
            *([] if config.no_report else PAGES),
            *([] if config.no_fused else _rasters(scenes, stac=config.stac)),
            *(["figures/"] if config.figures else []),
        ],
        seconds={
            "read": 0.0
            if config.moments
            else _reading(scenes, variables, config.threads, config.max_pixels),
            "fit": PER_OUTPUT * (len(outputs) or FEW) * (variables / 30) ** 1.75,
            "write": START + PER_PAGE * (len(outputs) or FEW),
        },
        messages=messages,
    )


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
        quality=scene.quality,
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


def _rasters(scenes: Sequence[Scene], *, stac: bool) -> list[str]:
    """The fused rasters of a run folder, and the items beside them."""
    one = len(scenes) == 1
    rasters = ["fused.tif"] if one else [f"{scene.key}.fused.tif" for scene in scenes]
    return rasters + ([f"{Path(r).stem}.stac.json" for r in rasters] if stac else [])


def _reading(
    scenes: Sequence[Scene], variables: int, threads: int | None, most: int | None
) -> float:
    """Roughly the seconds of the pass over the pixels, of which some may be left out."""
    pixels = sum(s.shape[0] * s.shape[1] for s in scenes)
    seconds = sum(map(_bytes, scenes)) / RATE + pixels * _pace(variables)
    share = 1.0 if most is None else min(1.0, most / pixels)
    return share * seconds / Effort.of(threads, None).threads


def _pace(variables: int) -> float:
    """Seconds per pixel of the product that moments are made of, timed here and now."""
    cell = np.random.default_rng(0).standard_normal((variables, TRIED))
    cell @ cell.T
    started = time.perf_counter()
    cell @ cell.T
    return (time.perf_counter() - started) / TRIED
