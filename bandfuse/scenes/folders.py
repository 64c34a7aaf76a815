"""Folders: scenes that are given as a folder of rasters, or as a pattern of names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from glob import glob
from pathlib import Path
from typing import TypeVar

from bandfuse.config.inputs import Inputs
from bandfuse.errors import InputError, shorten
from bandfuse.raster import describe, is_product, product_in

C = TypeVar("C", bound=Inputs)

ENDINGS = {
    *(".tif", ".tiff", ".gtiff", ".vrt", ".img", ".bsq", ".bil", ".bip", ".dat", ".raw"),
    *(".nc", ".nc4", ".h5", ".hdf5", ".he5", ".hdf", ".jp2", ".pix", ".kea", ".zarr", ".cub"),
}
"""Endings by which a raster is told from other files. A file with an ENVI header beside it is one
too."""

SHOWN = (".tif", ".img", ".vrt", ".nc")

_PATTERN = re.compile(r"[*?\[]")


def with_scenes(config: C) -> C:
    """Settings with the files that folders and patterns among their scenes stand for.

    Raises
    ------
    InputError : a folder without rasters, or a pattern that no file has.
    """
    found = scene_files(config.scenes)
    return config if found == config.scenes else config.model_copy(update={"scenes": found})


def scene_files(given: Sequence[str]) -> list[str]:
    """The files of scenes, in order; those of a folder or a pattern by name.

    A folder that is a product, or that GDAL opens by itself, is one scene.

    Raises
    ------
    InputError : a folder without rasters, or a pattern that no file has.
    """
    return [path for text in given for path in _files(text)]


def _files(text: str) -> list[str]:
    if text.startswith("/vsi") or "://" in text:
        return [text]
    path = Path(text)
    if path.is_dir():
        return _of_folder(text)
    if _PATTERN.search(text) and not path.exists():
        return _matching(text)
    return [text]


def _of_folder(folder: str) -> list[str]:
    """A folder that is one raster, as a product or a Zarr store is; else the rasters in it, or the
    one product further below."""
    if is_product(folder):
        return [folder]
    try:
        opened = describe(folder).path
    except InputError as error:
        return _inside(Path(folder), error)
    return [folder] if opened == folder else _rasters(Path(folder)) or [opened]


def _rasters(folder: Path) -> list[str]:
    return [str(path) for path in sorted(folder.iterdir()) if _is_raster(path)]


def _inside(folder: Path, why: InputError) -> list[str]:
    """The rasters in a folder that is not one raster itself, and why it is none.

    Raises
    ------
    InputError : there is none; or the folder is nearly a product, or one around products.
    """
    found = _rasters(folder)
    if found:
        return found
    names = [path.name for pattern in ("*", "*/*") for path in sorted(folder.glob(pattern))]
    if product_in([folder.name, *names]):
        raise why
    raise InputError(
        f"folder {folder} holds no raster",
        got=contents(folder),
        expected=f"files such as {', '.join(SHOWN)}, or products",
        remedy=_below(folder) or "See bandfuse info --formats.",
    )


MOST = 100
"""Folders in a folder that are looked into for rasters."""


def _below(folder: Path) -> str:
    """Where rasters are in a folder of the folder; empty where there are none."""
    below = [path for path in sorted(folder.iterdir()) if path.is_dir()]
    for path in below[:MOST]:
        if any(map(_is_raster, path.iterdir())):
            return f"There are some in {path}."
    return ""


def _matching(pattern: str) -> list[str]:
    """The files that have a pattern's name; where that leaves the ending open, the rasters.

    Raises
    ------
    InputError : there is none.
    """
    names = [Path(name) for name in sorted(glob(pattern, recursive=True))]
    told = not _PATTERN.search(Path(pattern).suffix) and Path(pattern).suffix
    found = [str(p) for p in names if told or _is_raster(p)]
    if found:
        return found
    folder = Path(pattern).parent
    inside = contents(folder) if folder.is_dir() else ""
    raise InputError(
        f"no raster is named {pattern!r}",
        got=f"in folder {folder}: {inside}" if inside else f"no folder {folder}",
        expected="a pattern such as 'scenes/*.tif'",
    )


def _is_raster(path: Path) -> bool:
    if path.name.startswith("."):
        return False
    if path.is_dir():
        return path.suffix.lower() == ".zarr" or is_product(str(path))
    if path.suffix.lower() in ENDINGS:
        return True
    if path.suffix.lower() in (".zip", ".tar"):
        return is_product(str(path))
    header = Path(f"{path}.hdr")
    return header.is_file() or (not path.suffix and path.with_suffix(".hdr").is_file())


def contents(folder: Path) -> str:
    """What is in a folder, in a few words: how many files of which ending."""
    kinds = Counter(
        ("folder" if p.is_dir() else p.suffix.lower() or "without an ending")
        for p in folder.iterdir()
    )
    texts = (f"{n} {kind}{'s' * (kind == 'folder' and n > 1)}" for kind, n in kinds.most_common())
    return shorten(texts, 6) if kinds else "nothing"
