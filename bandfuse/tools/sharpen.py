"""Sharpen: a cube at the resolution of a sharper image, by learned gains."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from bandfuse.applying.outputs import check_rasters, drivers_of, encoding_of
from bandfuse.config.commands import SharpenConfig
from bandfuse.errors import ConfigError, MismatchError
from bandfuse.files.checksums import Checksums
from bandfuse.files.guards import check_folder
from bandfuse.files.making import making, names_folder
from bandfuse.files.whole import Ready, whole_files, whole_folder
from bandfuse.model.weightsfile import weights_file
from bandfuse.progress import Progress, during, silent
from bandfuse.results.sharpening import SharpenResult
from bandfuse.runs.versions import kernels, versions
from bandfuse.scenes.matching import check_inputs
from bandfuse.scenes.scene import target_bands
from bandfuse.sharpening.gains.gainsfile import SharpeningWeights, load_gains
from bandfuse.sharpening.gains.streamed import learned
from bandfuse.sharpening.inputs.opening import Images, chosen_bands, opened_images
from bandfuse.sharpening.inputs.registration import registered
from bandfuse.sharpening.inputs.sources import opened
from bandfuse.sharpening.outputs.run import (
    CONTENTS,
    Sharpening,
    raster_name,
    result_of,
    write_raster,
    write_run,
)
from bandfuse.streaming.budget import Effort
from bandfuse.survey.scout import Lookout, scout_scenes


def sharpen(
    config: SharpenConfig,
    progress: Progress = silent,
    *,
    keep: Sequence[Path] = (),
    ready: Ready | None = None,
) -> SharpenResult:
    """Learn how detail of a sharp image goes into the bands of a cube, and write the sharpened cube
    in a run folder; or sharpen a cube with what an earlier run learned.

    Outputs never take the place of inputs, nor of the files in ``keep``. ``ready`` is given the
    scratch folder of the output before that takes its place.

    Raises
    ------
    InputError, MismatchError, ConfigError, OutputError : nothing is written then.
    """
    if not config.output:
        raise ConfigError(
            "no output is given",
            expected="-o RUN, the folder to make"
            if config.weights is None
            else "-o OUT, the raster to write",
        )
    encoding_of(config)
    with during(progress, "open the images"):
        images = opened_images(config)
    with during(progress, "register the images"):
        images = registered(images, config.shift)
    effort = Effort.of(config.threads, config.memory)
    if config.weights is not None:
        return _applied(config, images, effort, progress, keep, ready)
    return _learned(config, images, effort, progress, keep, ready)


def _learned(
    config: SharpenConfig,
    images: Images,
    effort: Effort,
    progress: Progress,
    keep: Sequence[Path],
    ready: Ready | None,
) -> SharpenResult:
    """Learn, and write the run folder."""
    started, folder = time.perf_counter(), Path(str(config.output))
    inputs = [*keep, *images.paths]
    above = folder.parent if names_folder(str(config.output)) else None
    with making(above), Checksums() as checksums:
        seen = check_folder(folder, CONTENTS, overwrite=config.overwrite, inputs=inputs)
        name = raster_name(config.driver)
        driver = drivers_of([folder / name], config)[0]
        weights = _weights(config, images, effort, progress)
        checksums.start([raster.path for raster in images.rasters])
        what = Sharpening(images, weights, config, effort)
        places = {"output": str(folder), "raster": str(folder / name)}
        made = {"versions": versions(), "kernels": kernels()}
        with whole_folder(folder, ready, seen) as scratch:
            return write_run(
                scratch,
                what,
                driver,
                progress,
                lambda counts: result_of(
                    what, counts, places, started, checksums.wait(progress)
                ).model_copy(update=made),
            )


def _weights(
    config: SharpenConfig, images: Images, effort: Effort, progress: Progress
) -> SharpeningWeights:
    """What is learned of the images."""
    scene = images.scene
    with during(progress, "look at the cube"):
        seen = scout_scenes([scene], Lookout([scene], effort, config.seed)).bands
    positions = chosen_bands(scene, seen, config.bands)
    learn = partial(
        learned,
        blur=None if config.blur == "average" else config.blur,
        effort=effort,
        progress=progress,
        seed=config.seed,
    )
    with opened(images, positions) as files:
        steps = tuple(learn(step) for step in files.steps)
        gains = learn(files.pair(steps), force=config.force)
    bands, ratio = (scene.bands, images.sharp_bands), images.meeting.ratio
    return SharpeningWeights(gains, *bands, positions, steps, ratio)


def _applied(
    config: SharpenConfig,
    images: Images,
    effort: Effort,
    progress: Progress,
    keep: Sequence[Path],
    ready: Ready | None,
) -> SharpenResult:
    """Sharpen with what an earlier run learned."""
    started, path = time.perf_counter(), Path(str(config.output))
    file = weights_file(str(config.weights))
    weights = load_gains(file)
    check_inputs(images.scene, weights.inputs)
    _require_sharp(images, weights)
    inputs = [file, *keep, *images.paths]
    seen = check_rasters([path], config, inputs)[0]
    driver = drivers_of([path], config)[0]
    what = Sharpening(images, weights, config, effort)
    with whole_files(path, inputs, ready, seen) as scratch:
        counts = write_raster(scratch, what, driver, progress)
    return result_of(what, counts, {"output": str(path), "raster": str(path)}, started)


def _require_sharp(images: Images, weights: SharpeningWeights) -> None:
    """The sharp images have as many bands as those that the gains were learned with.

    Raises
    ------
    MismatchError
    """
    here = [len(images.sharp_bands), *(len(target_bands(s)) for s in images.coarser)]
    there = [len(weights.sharp), *(len(gains.gain) for gains in weights.steps)]
    if here != there:
        raise MismatchError(
            "the sharp images have other bands or resolutions than those of the training",
            got=_counted(here),
            expected=_counted(there),
        )


def _counted(bands: Sequence[int]) -> str:
    """How many bands sharp images have."""
    whole, *coarser = bands
    several = f", {' and '.join(map(str, coarser))} of them coarser" if coarser else ""
    return f"{whole} band{'' if whole == 1 else 's'}{several}"
