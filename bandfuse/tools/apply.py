"""Apply: saved weights to rasters of any size."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from bandfuse.spectral.bands import Floats
from bandfuse.config import ApplyConfig, Encoded, ending_of
from bandfuse.solve.decoder import as_read
from bandfuse.device import device_of
from bandfuse.errors import ConfigError, InputError, OutputError, shorten
from bandfuse.export import stac
from bandfuse.model.fusion import Fusion, Kernel, NodataPolicy
from bandfuse.model.model import Model
from bandfuse.files.whole import Contents, Ready, Seen, check_file, check_folder, whole_files
from bandfuse.moments.gram import OnDevice
from bandfuse.progress import Progress, silent
from bandfuse.raster import (
    CONTENT,
    FOLDERS,
    WITHOUT_CONTROL,
    Encoding,
    Lost,
    Raster,
    Writer,
    check_options,
    check_type,
    driver_of,
    mark_of,
    orthorectified,
)
from bandfuse.results import ApplyResult
from bandfuse.scenes.scene import Scene, check_inputs, fill_template, input_remarks, open_scene, pair_of, places
from bandfuse.streaming.stream import Sink, map_windows
from bandfuse.streaming.budget import Effort
from bandfuse.checks.fill import fill_messages
from bandfuse.scenes.value_ranges import in_units, require_inputs
from bandfuse.applying.moving import Moves
from bandfuse.scenes.alignment import alignment_messages
from bandfuse.model.weightsfile import load
from bandfuse.streaming.windows import Window


def apply(
    weights: str | Path,
    config: ApplyConfig,
    progress: Progress = silent,
    *,
    keep: Sequence[Path] = (),
    ready: Ready | None = None,
) -> ApplyResult:
    """Fuse scenes with the weights in a file.

    Outputs never take the place of inputs, nor of the files in ``keep``. ``ready`` is given the
    scratch folder of each output before that takes its place.

    Raises
    ------
    InputError, MismatchError, ConfigError, OutputError : nothing is written then.
    """
    started = time.perf_counter()
    device = device_of(config.device)
    model = load(weights)
    here = places(config.scenes, config.source, [])
    scenes = [in_units(open_scene(p, wavelengths=config.wavelengths, nodata=config.nodata), config) for p in here]
    outputs = output_paths(config.output, scenes, ending_of(config.driver))
    encoding = encoding_of(config)
    effort = Effort.of(config.threads, config.memory)
    inputs = [Path(weights), *keep, *(p for s in scenes for p in s.paths)]
    fusions, remarks, seen = [], [], []
    moves = Moves(config.min_coverage)
    for scene, path in zip(scenes, outputs, strict=True):
        fusion, told = _fitting(weights, model, scene, config, moves, effort)
        fusions.append(fusion)
        remarks += told
        seen.append(check_raster(path, config, overwrite=config.overwrite, inputs=inputs))
    drivers = drivers_of(outputs, config)
    counts = [
        fuse_to(path, scene, fusion, encoding, effort, progress, driver=driver, options=creation(config),
                inputs=inputs, device=device, ready=ready, seen=before,
                beside=stac.beside(path, scene.grid, fusion.outputs, encoding, driver) if config.stac else None)
        for scene, fusion, path, driver, before in zip(scenes, fusions, outputs, drivers, seen, strict=True)
    ]  # fmt: skip
    pixels = sum(s.shape[0] * s.shape[1] for s in scenes)
    values = sum(int(f.outputs.good.sum()) * s.shape[0] * s.shape[1] for f, s in zip(fusions, scenes, strict=True))
    lost = sum((part for _, part in counts), Lost(0, 0))
    return ApplyResult(
        outputs=[str(p) for p in outputs],
        pixels=pixels,
        valid_share=sum(v for v, _ in counts) / values,
        clipped=lost.clipped,
        seconds=time.perf_counter() - started,
        messages=[
            *moves.messages,
            *remarks,
            *alignment_messages(scenes),
            *store_messages(drivers, scenes),
            *(text for scene in scenes for text in fill_messages(scene, config.nodata)),
            *lost.messages(encoding, values),
            *empty_messages(outputs, [valid for valid, _ in counts]),
        ],
        coverage=moves.coverage,
    )


def _fitting(
    weights: str | Path, model: Model, scene: Scene, config: ApplyConfig, moves: Moves, effort: Effort
) -> tuple[Fusion, list[str]]:
    """The fusion for a scene, whose values are in the weights' units; and what a user should know."""
    if config.resample:
        own = _with_policy(_own(model, scene, config), config.nodata_policy)
        moved = moves.fusion(own, scene, effort)
        return moved, require_inputs(scene.fused, own, moved.support, config)
    fusion = _back(weights, model, scene, config) if config.inverse else _forth(model, scene, config)
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
            f"{weights} holds no decoder", expected="weights of a reconstruction",
            remedy="Train with --objective reconstruction to be able to rebuild the cube.",
        )  # fmt: skip
    made = as_read(model.decoder, scene.bands, scene.grid.path)
    check_inputs(scene, made.inputs)
    return made


def _with_policy(fusion: Fusion, kind: str | None) -> Fusion:
    return fusion if kind is None else replace(fusion, nodata=NodataPolicy(kind, fusion.nodata.min_share))


def output_paths(output: str | None, scenes: Sequence[Scene], ending: str = ".tif") -> list[Path]:
    """One file per scene: the output itself for one scene, else a template, or ``<scene>.tif`` in a folder.

    Raises
    ------
    ConfigError : no output; two scenes with one output.
    """
    if not output:
        raise ConfigError("no output is given", expected="-o OUT")
    if "{" in output:
        paths = [Path(fill_template(output, s.grid.path, "--output")) for s in scenes]
    elif len(scenes) == 1:
        paths = [Path(output)]
    elif Path(output).is_dir():
        paths = [Path(output) / f"{s.key}{ending}" for s in scenes]
    else:
        raise ConfigError(
            f"{len(scenes)} scenes need as many outputs", got=repr(output),
            expected="a folder that exists, or a template such as out/{stem}.tif",
        )  # fmt: skip
    if len(set(paths)) != len(paths):
        raise ConfigError("two scenes have the same output", got=repr(output), expected="a name of its own for each")
    return paths


def encoding_of(config: Encoded) -> Encoding:
    """How values are stored.

    Raises
    ------
    ConfigError : an integer type without a declared scale.
    """
    integer = np.dtype(config.dtype).kind != "f"
    if integer and config.scale is None:
        raise ConfigError(f"--dtype {config.dtype} needs a declared scale", expected="--scale (and --offset-out)")
    scale = 1.0 if config.scale is None else config.scale
    return Encoding(config.dtype, scale, config.offset_out or 0.0)


def creation(config: Encoded) -> dict[str, str]:
    """Creation options by name.

    Raises
    ------
    ConfigError : one is given twice.
    """
    found: dict[str, str] = {}
    for key, value in (pair_of(text, "--co") for text in config.co):
        if key.upper() in map(str.upper, found):
            raise ConfigError(f"--co {key} is given twice", remedy="Give each creation option once.")
        found[key] = value
    return found


def drivers_of(outputs: Sequence[Path], config: Encoded) -> list[str]:
    """The driver of each output; all know the creation options, and hold the type.

    Raises
    ------
    ConfigError, OutputError : a driver or an option that there is not, or a type that it does not hold.
    """
    options = creation(config)
    drivers = [driver_of(path, config.driver) for path in outputs]
    for driver in dict.fromkeys(drivers):
        check_options(driver, options)
        check_type(driver, config.dtype)
    return drivers


def check_raster(path: Path, config: Encoded, *, overwrite: bool, inputs: Iterable[Path]) -> Seen:
    """Refuse a raster that must not or cannot be written; gives what stands there now.

    A folder is replaced only if it is the store of one raster.

    Raises
    ------
    OutputError : as ``check_file`` and ``check_folder``.
    """
    driver = path.suffix[1:] if config.driver is None else config.driver
    if driver.lower() not in map(str.lower, FOLDERS):
        return check_file(path, overwrite=overwrite, inputs=inputs)
    if path.is_symlink():
        raise OutputError(f"{path} is a link, and is not replaced", expected="another name for the output")
    return check_folder(path, Contents(mark_of(path), CONTENT), overwrite=overwrite, inputs=inputs)


def store_messages(drivers: Sequence[str], scenes: Sequence[Scene]) -> list[str]:
    """What the driver of each scene's output does not keep."""
    found = ["GDAL has no place for band names in Zarr: they are in the array's attribute band_names"]
    found = found if "Zarr" in drivers else []
    for driver, scene in zip(drivers, scenes, strict=True):
        if driver in WITHOUT_CONTROL and scene.grid.control:
            found.append(f"{scene.key}: {driver} has no place for ground control points and RPCs: they are left out")
    return found


def empty_messages(outputs: Sequence[Path], valid: Sequence[int]) -> list[str]:
    """Which outputs hold nothing."""
    empty = [path.name for path, n in zip(outputs, valid, strict=True) if not n]
    return [f"no pixel is valid in {shorten(empty)}: see the scene's nodata with bandfuse check"] if empty else []


def fuse_to(
    path: Path,
    scene: Scene,
    fusion: Fusion,
    encoding: Encoding,
    effort: Effort,
    progress: Progress,
    *,
    driver: str = "GTiff",
    options: dict[str, str] | None = None,
    inputs: Iterable[Path] = (),
    device: str = "cpu",
    beside: Mapping[str, bytes] | None = None,
    ready: Ready | None = None,
    seen: Seen | None = None,
) -> tuple[int, Lost]:
    """Stream one scene through a fusion into a file that appears whole; how many values are valid, and were lost.
    Files ``beside`` it, by name, appear with it. ``ready``, ``seen``: as for ``whole_files``."""
    valid, lost = 0, Lost(0, 0)

    def writer(grid: Raster) -> Writer:
        return Writer(scratch, grid, fusion.outputs, encoding, driver=driver, options=options, threads=effort.threads)

    k, scene = len(fusion.outputs), scene.fused
    weight = scene.reader(fusion.support).bytes_per_pixel + 4 * k
    with whole_files(path, inputs, ready, seen) as scratch:
        windows = effort.windows(scene.shape, scene.grid.stored, weight)
        sensed = scratch.with_name(f"{scratch.name}.sensed")
        with writer(scene.grid) if scene.grid.glt is None else orthorectified(
            scene.grid, k, encoding, writer, sensed, effort.windows, threads=effort.threads, progress=progress
        ) as keep:  # fmt: skip

            def write(window: Window, values: np.ndarray) -> None:
                nonlocal valid
                missing = np.isnan(values) if values.dtype.kind == "f" else values == encoding.nodata
                valid += values.size - int(missing.sum())
                keep(window, values)

            if effort.spread is None:
                lost = _fused(scene, fusion, encoding, windows, effort, device, write, progress)
            else:
                some = (windows[i : i + PARTS] for i in range(0, len(windows), PARTS))
                tasks = [(scene, fusion, encoding, part, effort.alone, device) for part in some]
                for found, part in progress(effort.spread(fused_windows, tasks), len(tasks), "fuse elsewhere"):
                    lost += part
                    for window, values in found:
                        write(window, values)
        for name, content in (beside or {}).items():
            scratch.with_name(name).write_bytes(content)
    return valid, lost


PARTS = 4
"""Windows that are fused as one part where others do it."""


def _fused(
    scene: Scene,
    fusion: Fusion,
    encoding: Encoding,
    windows: Sequence[Window],
    effort: Effort,
    device: str,
    sink: Sink,
    progress: Progress,
) -> Lost:
    """Fuse windows of a scene; how many values were lost."""
    multiply = np.matmul if device == "cpu" else OnDevice(device).multiply
    lost: list[Lost] = []  # appended to by the reader threads

    def encode(y: Floats) -> np.ndarray:
        lost.append(encoding.lost(y))
        return encoding(y)

    with scene.reader(fusion.support) as reader:
        map_windows(reader, Kernel(fusion, multiply), len(fusion.outputs), encode, sink, windows,
                    threads=effort.threads, progress=progress)  # fmt: skip
    return sum(lost, Lost(0, 0))


def fused_windows(
    scene: Scene, fusion: Fusion, encoding: Encoding, windows: Sequence[Window], effort: Effort, device: str
) -> tuple[list[tuple[Window, np.ndarray]], Lost]:
    """Fused windows in memory, (K, rows, cols) each, and how many values were lost: a part that others do."""
    found: list[tuple[Window, np.ndarray]] = []
    lost = _fused(scene, fusion, encoding, windows, effort, device, lambda w, v: found.append((w, v)), silent)
    return found, lost
