"""Resample: the bands of a known sensor from cubes, with weights that follow from its published
responses."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bandfuse.applying.fuse import Output
from bandfuse.applying.outputs import check_rasters, drivers_of, output_folder, output_paths
from bandfuse.applying.rasters import paths_of, write_all, writing_of
from bandfuse.checks.fill import fill_messages
from bandfuse.config.commands import ResampleConfig
from bandfuse.config.outputs import ending_of
from bandfuse.device import row_of
from bandfuse.errors import ConfigError, MismatchError, shorten
from bandfuse.files.guards import Seen, check_file
from bandfuse.files.making import making
from bandfuse.files.whole import whole_files
from bandfuse.model.fusion import Fusion, NodataPolicy
from bandfuse.model.model import Model
from bandfuse.model.weightsfile import dumps
from bandfuse.progress import Progress, silent
from bandfuse.results.rasters import ResampledScene, ResampleResult, SensorBandRow
from bandfuse.scenes.folders import with_scenes
from bandfuse.scenes.places import places
from bandfuse.scenes.scene import Scene, held, open_scene
from bandfuse.spectral.bands import Bands
from bandfuse.spectral.resampling import Covered, published
from bandfuse.spectral.sensors import Sensor, find, is_file
from bandfuse.streaming.budget import Effort
from bandfuse.survey.scout import Lookout, scout_messages, scout_scenes

WEIGHTS = ".weights.safetensors"
"""Ending of the weights file beside a resampled raster."""


@dataclass(frozen=True, eq=False)
class Made:
    """The weights for one scene, how well its bands cover the sensor's, and what a user should
    know."""

    scene: Scene
    fusion: Fusion
    rows: list[SensorBandRow]
    messages: list[str]


def resample(
    config: ResampleConfig, progress: Progress = silent, *, keep: Sequence[Path] = ()
) -> ResampleResult:
    """Make the bands of a sensor of scenes: a raster and a weights file for each, or the weights
    alone.

    Outputs never take the place of inputs, nor of the files in ``keep``.

    Raises
    ------
    InputError, MismatchError, ConfigError, OutputError : nothing is written then.
    """
    if not config.sensor:
        raise ConfigError("no sensor is given", expected="--sensor NAME, or a table of responses")
    with making(output_folder(config.output)):
        return _resample(with_scenes(config), find(config.sensor), progress, keep)


def _resample(
    config: ResampleConfig, sensor: Sensor, progress: Progress, keep: Sequence[Path]
) -> ResampleResult:
    """The same, into a folder that is there."""
    started = time.perf_counter()
    with held(_opened(config)) as scenes:
        pairs = _outputs(config, scenes)
        own = [Path(str(config.sensor))] if is_file(str(config.sensor)) else []
        effort = Effort.of(config.threads, config.memory, device=config.device)
        how = writing_of(config, progress, effort, [*own, *keep, *paths_of(scenes)])
        drivers, seen = _checked(config, pairs, how.inputs)
        every = [_make(scene, sensor, config, effort) for scene in scenes]
        outputs = []
        for made, (raster, weights), driver, before in zip(
            every, pairs, drivers, seen, strict=True
        ):
            files = {weights.name: dumps(Model(made.fusion))}
            if raster is not None:
                outputs.append(Output(raster, made.scene, made.fusion, driver, before, files))
                continue
            with whole_files(weights, how.inputs, seen=before) as scratch:
                scratch.write_bytes(files[weights.name])
        written = write_all(outputs, how)
        messages = [
            *(text for made in every for text in made.messages),
            *(text for scene in scenes for text in fill_messages(scene, config.nodata)),
            *written.messages,
        ]
        return ResampleResult(
            sensor=sensor.name,
            origin=sensor.origin,
            scenes=[_row(made, *pair) for made, pair in zip(every, pairs, strict=True)],
            valid_share=written.share,
            clipped=written.clipped,
            seconds=time.perf_counter() - started,
            messages=messages,
            device=row_of(written.places) if written.places else None,
        )


def _opened(config: ResampleConfig) -> list[Scene]:
    here = places(config.scenes, config.source, [])
    tables, fills, quality = config.wavelengths, config.nodata, config.quality
    return [
        open_scene(p, wavelengths=tables, nodata=fills, quality=quality, writes=True) for p in here
    ]


def _row(made: Made, raster: Path | None, weights: Path) -> ResampledScene:
    return ResampledScene(
        scene=made.scene.key,
        output=None if raster is None else str(raster),
        weights=str(weights),
        bands=made.rows,
    )


def _outputs(config: ResampleConfig, scenes: Sequence[Scene]) -> list[tuple[Path | None, Path]]:
    """The raster and the weights file of each scene; no raster where only weights are wanted."""
    if config.weights_only:
        files = output_paths(config.output, scenes, WEIGHTS)
        wrong = next((f for f in files if f.suffix != ".safetensors"), None)
        if wrong is not None:
            raise ConfigError(
                "--weights-only writes a weights file",
                got=f"-o {wrong}",
                expected="a .safetensors file",
            )
        return [(None, file) for file in files]
    rasters = output_paths(config.output, scenes, ending_of(config.driver))
    if any(raster.suffix == ".safetensors" for raster in rasters):
        raise ConfigError(
            "resample writes rasters, and their weights beside them",
            got=f"-o {rasters[0]}",
            expected="the name of a raster; or --weights-only beside it",
        )
    beside = [raster.with_name(f"{raster.stem}{WEIGHTS}") for raster in rasters]
    if len(set(beside)) != len(beside):
        raise ConfigError(
            "two scenes have the same weights file",
            got=shorten(map(str, beside)),
            expected="outputs whose names differ before the ending",
        )
    return list(zip(rasters, beside, strict=True))


def _checked(
    config: ResampleConfig, pairs: Sequence[tuple[Path | None, Path]], inputs: Sequence[Path]
) -> tuple[list[str], list[Seen]]:
    """The driver of each raster, empty where there is none; and what stands at each output now. All
    of them may be written."""
    rasters = [raster for raster, _ in pairs if raster is not None]
    seen = check_rasters(rasters, config, inputs)
    weights = [check_file(w, overwrite=config.overwrite, inputs=inputs) for _, w in pairs]
    return drivers_of(rasters, config) or [""] * len(pairs), seen or weights


def _make(scene: Scene, sensor: Sensor, config: ResampleConfig, effort: Effort) -> Made:
    """The weights of a sensor for a scene, without the bands that it covers too little.

    Raises
    ------
    MismatchError : no wavelengths; no band of the sensor is covered enough.
    """
    seen = scout_scenes([scene], Lookout([scene], effort, seed=0))
    covered = published(sensor, seen.bands)
    kept = (covered.coverage > 0) & (covered.coverage >= config.min_coverage)
    rows = _rows(sensor, covered, [bool(k) for k in kept])
    low = [f"{r.name} ({100 * r.coverage:.0f} %)" for r in rows if not r.used]
    least = f"at least {100 * config.min_coverage:g} % of the response within the bands of the cube"
    if not kept.any():
        raise MismatchError(
            f"scene {scene.key!r} covers no band of {sensor.name}",
            got=shorten(low),
            expected=least,
            remedy="See its wavelengths with bandfuse info -v; bands flagged bad do not count.",
        )
    here = np.flatnonzero(kept)
    bands = [sensor.bands[k] for k in here]
    outputs = Bands.of(
        [b.name for b in bands],
        source="fused",
        wavelength_nm=[b.centre_nm for b in bands],
        fwhm_nm=[b.fwhm_nm for b in bands],
    )
    k = len(bands)
    fusion = Fusion(covered.weight[here], np.ones(k), np.zeros(k), seen.bands, outputs)
    fusion = replace(fusion, nodata=NodataPolicy(config.nodata_policy))
    messages = [
        *(f"{Path(r.path).name}: {m}" for r in scene.rasters for m in r.messages),
        *scout_messages(scene, seen),
        *scene.remarks,
    ]
    if low:
        messages.append(
            f"{scene.key}: left out, as the cube covers too little of them: {shorten(low)}; asked "
            f"is {least}"
        )
    lone = [r.name for r in rows if r.used and r.bands == 1]
    if lone:
        messages.append(
            f"{scene.key}: made of a single band of the cube, and no sharper than it: "
            f"{shorten(lone)}"
        )
    return Made(scene, fusion, rows, messages)


def _rows(sensor: Sensor, covered: Covered, kept: Sequence[bool]) -> list[SensorBandRow]:
    return [
        SensorBandRow(
            name=band.name,
            wavelength_nm=band.centre_nm,
            fwhm_nm=band.fwhm_nm,
            coverage=float(covered.coverage[k]),
            bands=int((covered.weight[k] != 0).sum()),
            used=kept[k],
        )
        for k, band in enumerate(sensor.bands)
    ]
