"""Outputs: names, types and creation options of the rasters that applying writes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from bandfuse.config.outputs import Encoded
from bandfuse.errors import ConfigError, OutputError, shorten
from bandfuse.files.guards import Contents, Inputs, Seen, check_file, check_folder, require_apart
from bandfuse.files.making import names_folder
from bandfuse.raster import (
    CONTENT,
    FOLDERS,
    WITHOUT_CONTROL,
    Encoding,
    check_options,
    check_type,
    driver_of,
    mark_of,
)
from bandfuse.scenes.places import fill_template, pair_of
from bandfuse.scenes.scene import Scene


def output_paths(
    output: str | None, scenes: Sequence[Scene], ending: str = ".tif", flag: str = "--output"
) -> list[Path]:
    """One file per scene: from a template, ``<scene>.tif`` in a folder, or the output itself for
    one scene. ``flag``: what gives it.

    Raises
    ------
    ConfigError : no output, or one for several scenes. OutputError : two scenes with one output.
    """
    if not output:
        raise ConfigError("no output is given", expected="-o OUT")
    if "{" in output:
        paths = [Path(fill_template(output, s.grid.path, flag)) for s in scenes]
    elif output_folder(output) is not None:
        paths = [Path(output) / f"{s.key}{ending}" for s in scenes]
    elif len(scenes) == 1:
        paths = [Path(output)]
    else:
        raise ConfigError(
            f"{len(scenes)} scenes need as many outputs",
            got=f"{flag} {output}" if flag != "--output" else repr(output),
            expected="a folder, its name with a slash at the end, or a template such as "
            "out/{stem}.tif",
        )
    require_apart(paths)
    return paths


def output_folder(output: str | None) -> Path | None:
    """The folder that an output is, there or to be made; None for a file, a template or a store
    that is one raster."""
    if not output or "{" in output:
        return None
    path = Path(output)
    store = path.suffix.lower()[1:] in map(str.lower, FOLDERS) or (path / mark_of(path)).is_file()
    return path if (names_folder(output) or path.is_dir()) and not store else None


def encoding_of(config: Encoded) -> Encoding:
    """How values are stored.

    Raises
    ------
    ConfigError : an integer type without a declared scale.
    """
    integer = np.dtype(config.dtype).kind != "f"
    if integer and config.scale is None:
        raise ConfigError(
            f"--dtype {config.dtype} needs a declared scale", expected="--scale (and --offset-out)"
        )
    scale = 1.0 if config.scale is None else config.scale
    return Encoding(config.dtype, scale, config.offset_out or 0.0, _fill_of(config))


def _fill_of(config: Encoded) -> float | None:
    """What is stored for missing pixels, where that is given.

    Raises
    ------
    ConfigError : a number that the type does not hold.
    """
    kind, fill = np.dtype(config.dtype), config.nodata_out
    if fill is None:
        return None
    info = np.finfo(kind) if kind.kind == "f" else np.iinfo(kind)
    if not float(info.min) <= fill <= float(info.max) or (kind.kind != "f" and fill != int(fill)):
        raise ConfigError(
            "--nodata-out",
            got=f"{fill:g}",
            expected=f"a number that --dtype {config.dtype} holds: "
            f"{'whole, ' if kind.kind != 'f' else ''}from {info.min:g} to {info.max:g}",
        )
    return fill


def creation(config: Encoded) -> dict[str, str]:
    """Creation options by name.

    Raises
    ------
    ConfigError : one is given twice.
    """
    found: dict[str, str] = {}
    for key, value in (pair_of(text, "--co") for text in config.co):
        if key.upper() in map(str.upper, found):
            raise ConfigError(
                f"--co {key} is given twice", remedy="Give each creation option once."
            )
        found[key] = value
    return found


def drivers_of(outputs: Sequence[Path], config: Encoded) -> list[str]:
    """The driver of each output; all know the creation options, and hold the type.

    Raises
    ------
    ConfigError, OutputError : a driver or an option that there is not, or a type that it does not
        hold."""
    options = creation(config)
    drivers = [driver_of(path, config.driver) for path in outputs]
    for driver in dict.fromkeys(drivers):
        check_options(driver, options)
        check_type(driver, config.dtype)
    return drivers


def check_rasters(paths: Iterable[Path], config: Encoded, inputs: Iterable[Path]) -> list[Seen]:
    """Refuse rasters that must not or cannot be written; gives what stands there now.

    A folder is replaced only if it is the store of one raster.

    Raises
    ------
    OutputError : as ``check_file`` and ``check_folder``.
    """
    files = list(inputs)
    known = Inputs.of(files)
    return [_check_raster(path, config, files, known) for path in paths]


def _check_raster(path: Path, config: Encoded, inputs: Sequence[Path], known: Inputs) -> Seen:
    driver = path.suffix[1:] if config.driver is None else config.driver
    if driver.lower() not in map(str.lower, FOLDERS):
        return check_file(path, overwrite=config.overwrite, inputs=known.near(path))
    if path.is_symlink():
        raise OutputError(
            f"{path} is a link, and is not replaced", expected="another name for the output"
        )
    store = Contents(mark_of(path), CONTENT)
    return check_folder(path, store, overwrite=config.overwrite, inputs=inputs)


def store_messages(drivers: Sequence[str], scenes: Sequence[Scene]) -> list[str]:
    """What the driver of each scene's output does not keep."""
    found = [
        "GDAL has no place for band names in Zarr: they are in the array's attribute band_names"
    ]
    found = found if "Zarr" in drivers else []
    for driver, scene in zip(drivers, scenes, strict=True):
        if driver in WITHOUT_CONTROL and scene.grid.control:
            found.append(
                f"{scene.key}: {driver} has no place for ground control points and RPCs: they are "
                "left out"
            )
    return found


def empty_messages(outputs: Sequence[Path], valid: Sequence[int]) -> list[str]:
    """Which outputs hold nothing."""
    empty = [path.name for path, n in zip(outputs, valid, strict=True) if not n]
    return (
        [f"no pixel is valid in {shorten(empty)}: see the scene's nodata with bandfuse check"]
        if empty
        else []
    )
