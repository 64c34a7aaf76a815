"""Array scenes: cubes, targets, labels and masks in memory, as files in GDAL's memory."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bandfuse.errors import ConfigError, InputError, MismatchError
from bandfuse.interop.arrays import is_of, names_of, wavelengths_of
from bandfuse.interop.image import Image
from bandfuse.interop.spatial_ref import crs_of, transform_of
from bandfuse.raster import ArrayFiles, ArrayGrid
from bandfuse.spectral.bands import Bands

FWHMS = {"fwhm_nm": 1.0, "fwhm": 1.0, "fwhm_um": 1000.0}
"""Coordinates of a dimension of bands that hold widths, and what makes nm of them, if no unit is
said."""

SLAB = 1 << 25
"""Bytes of an array that are copied at once."""

_NAME = re.compile(r"[^/\\.{}=,\s\x00-\x1f][^/\\.{}=,\x00-\x1f]*")


@dataclass(frozen=True)
class BandWords:
    """What is said of the bands of numpy arrays: names, wavelengths and widths in nm; None where
    nothing is. They come before what a DataArray says."""

    names: Sequence[str] | None = None
    wavelength_nm: Sequence[float] | None = None
    fwhm_nm: Sequence[float] | None = None


def by_name(given: Any, alone: str) -> dict[str, Any]:
    """Arrays by name: from a mapping, from a list, or one array.

    Raises
    ------
    ConfigError : a name with characters that a file's name cannot have.
    """
    if isinstance(given, Mapping):
        found = {str(name): array for name, array in given.items()}
    elif isinstance(given, (list, tuple)):
        found = {f"{alone}_{i}": array for i, array in enumerate(given, 1)}
    else:
        own = getattr(given, "name", None) if is_of(given, "xarray", "DataArray") else None
        name = own if isinstance(own, str) and _NAME.fullmatch(own) else alone
        found = {name: given}
    odd = next((name for name in found if not _NAME.fullmatch(name)), None)
    if odd is not None:
        raise ConfigError(
            "name of a scene", got=repr(odd), expected="a name without / \\ . { } = ,"
        )
    return found


def in_order(given: Any, scenes: Sequence[str], what: str) -> list[Any]:
    """The arrays that belong to scenes, in their order: by name, as a list, or one for one scene;
    none if nothing is given.

    Raises
    ------
    ConfigError : other names, or another number.
    """
    if given is None:
        return []
    if isinstance(given, Mapping):
        if {str(name) for name in given} != set(scenes):
            got, expected = (", ".join(map(str, names)) for names in (given, scenes))
            raise ConfigError(f"{what}=", got=got, expected=f"one of each scene: {expected}")
        return [given[name] for name in scenes]
    arrays = list(given) if isinstance(given, (list, tuple)) else [given]
    if len(arrays) != len(scenes):
        raise ConfigError(f"{what}=", got=f"{len(arrays)} arrays", expected=f"{len(scenes)}")
    return arrays


def held(files: ArrayFiles, name: str, given: Any, dim: str, words: BandWords, what: str) -> str:
    """The path of an array, which is copied to a file in memory; a path stays as it is.

    Parameters
    ----------
    given : (B, H, W); or (H, W) for one band, but for a cube. numpy and what numpy takes; a masked
        array; torch; dask and xarray, which are computed in parts; an opened scene.
    dim : the dimension of the bands of a DataArray.
    what : cube, target, labels or mask.

    Raises
    ------
    MismatchError, InputError : another shape, numbers of bands that differ, no numbers.
    """
    if isinstance(given, (str, os.PathLike)):
        return os.fspath(given)
    if isinstance(given, Image):
        return _held_image(files, name, given)
    if is_of(given, "xarray", "DataArray"):
        return _held_labelled(files, name, given, dim, words, what)
    if is_of(given, "torch", "Tensor"):
        half = given.is_floating_point() and given.element_size() < 4
        given = (given.float() if half else given).detach().cpu().numpy()
    array = given if hasattr(given, "ndim") and hasattr(given, "dtype") else np.asarray(given)
    cube = _cube(array, what)
    bands, named = _bands(cube.shape[0], words, what)
    return files.hold(name, ArrayGrid(cube.shape, _stored(cube, what), bands, named), _slabs(cube))


def _held_labelled(
    files: ArrayFiles, name: str, array: Any, dim: str, words: BandWords, what: str
) -> str:
    """A DataArray, with what it says of its bands and its place."""
    flat = [d for d in array.dims if d != dim]
    if len(flat) != 2 or (what == "cube" and dim not in array.dims):
        raise MismatchError(
            f"dimensions of the {what}",
            got=", ".join(map(str, array.dims)),
            expected=f"{dim}, and two of rows and columns",
            remedy="Name the dimension of the bands with dim=…",
        )
    if dim in array.dims:
        array = array.transpose(dim, *flat)
        labels = names_of(array, dim)
        known = array.coords[dim].dtype.kind in "UO" if dim in array.coords else bool(labels)
        words = BandWords(
            words.names if words.names is not None or not known else labels,
            _first(words.wavelength_nm, wavelengths_of(array, dim)[1]),
            _first(words.fwhm_nm, wavelengths_of(array, dim, FWHMS)[1]),
        )
    cube = _cube(array.data, what)
    bands, named = _bands(cube.shape[0], words, what)
    fill = array.attrs.get("_FillValue")
    grid = ArrayGrid(
        cube.shape,
        _stored(cube, what),
        bands,
        named,
        nodata=None if fill is None else np.asarray(fill).item(),
        crs=crs_of(array),
        transform=transform_of(array, *map(str, flat)),
    )
    return files.hold(name, grid, _slabs(cube))


def _held_image(files: ArrayFiles, name: str, image: Image) -> str:
    """An opened scene, its sources as one file, in physical units."""
    count, height, width = image.shape
    grid = image.scene.grid
    transform = None if grid.transform.is_identity else image.transform
    kind = np.dtype(np.float64)
    told = ArrayGrid(image.shape, kind, image.bands, True, crs=image.crs, transform=transform)
    step = max(1, SLAB // (count * width * kind.itemsize))
    rows = [(r, min(step, height - r)) for r in range(0, height, step)]
    return files.hold(name, told, ((r, image.read((r, 0, n, width))) for r, n in rows))


def _first(said: Any, found: Any) -> Any:
    return found if said is None else said


def _cube(array: Any, what: str) -> Any:
    """(B, H, W) of an array; of two dimensions, one band."""
    if array.ndim == 2 and what != "cube":
        array = array[None]
    if array.ndim != 3 or 0 in array.shape:
        plain = "" if what == "cube" else " or (H, W)"
        bands = "T" if what == "target" else "1" if what in ("labels", "mask") else "B"
        raise MismatchError(
            f"array of the {what}",
            got=f"shape {tuple(array.shape)}",
            expected=f"({bands}, H, W){plain}, not empty",
        )
    return array


def _stored(cube: Any, what: str) -> np.dtype[np.generic]:
    """The type in which the numbers of an array are held: its own where GDAL has it.

    Raises
    ------
    InputError : no real numbers.
    """
    kind = np.dtype(cube.dtype)
    if kind.kind not in "biuf":
        raise InputError(f"array of the {what}", got=f"type {kind}", expected="real numbers")
    if np.ma.isMaskedArray(cube) and kind.kind != "f":
        return np.dtype(np.float32 if kind.itemsize <= 2 else np.float64)
    if kind.kind == "b":
        return np.dtype(np.uint8)
    if kind.kind == "f":
        return np.dtype(np.float32 if kind.itemsize <= 4 else np.float64)
    native: np.dtype[np.generic] = kind.newbyteorder("=")
    return native


def _bands(count: int, words: BandWords, what: str) -> tuple[Bands, bool]:
    """The table of so many bands, and whether their names are known.

    Raises
    ------
    MismatchError : another number of names, wavelengths or widths.
    """
    for name in ("names", "wavelength_nm", "fwhm_nm"):
        column = getattr(words, name)
        if column is not None and len(column) != count:
            raise MismatchError(
                f"{name}= of the {what}", got=f"{len(column)}", expected=f"{count}, one per band"
            )
    names = [f"b{i + 1}" for i in range(count)] if words.names is None else words.names
    table = Bands.of(
        [str(name) for name in names], wavelength_nm=words.wavelength_nm, fwhm_nm=words.fwhm_nm
    )
    return table, words.names is not None


def _slabs(cube: Any) -> Iterator[tuple[int, np.ndarray]]:
    """Rows of a cube, some at a time, from the first of them; NaN where a mask is. A lazy array is
    computed by its own chunks."""
    chunks = getattr(cube, "chunks", None)
    bands, height, width = cube.shape
    step = max(1, SLAB // (bands * width * np.dtype(cube.dtype).itemsize))
    sizes = chunks[1] if chunks else [min(step, height - r) for r in range(0, height, step)]
    row = 0
    for size in sizes:
        part = cube[:, row : row + size]
        if np.ma.isMaskedArray(part):
            part = np.ma.filled(part.astype(_stored(cube, "cube")), np.nan)
        yield row, np.asarray(part)
        row += size
