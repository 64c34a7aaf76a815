"""Zarr: what GDAL leaves out when it makes a store of several bands, put into the store before
pixels are written.

GDAL writes K bands as one array (Band, Y, X), without CRS, nodata, scale, names and wavelengths;
but it reads all of these but the names where they stand in the array's metadata, and does not
store blocks of nodata.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.crs import CRS

from bandfuse.errors import OutputError
from bandfuse.raster.band_tags import number_lists, plain_names
from bandfuse.raster.describe import Raster
from bandfuse.raster.drivers.driver import Driver, NewRaster
from bandfuse.raster.encoding import Encoding
from bandfuse.raster.gdal import GDAL_ERRORS
from bandfuse.spectral.bands import Bands
from bandfuse.spectral.colours import colours
from bandfuse.streaming.windows import STACK_ROWS

ARRAY = "fused"
"""The name of the array."""

BLOCKS = [folder + "/".join(["[0-9]*"] * depth) for folder in ("", "c/") for depth in (1, 2, 3)]
"""Patterns of the files of an array's blocks."""

CONTENT = (
    ".zattrs",
    ".zmetadata",
    "zarr.json",
    "pam",
    *(
        f"{array}/{file}"
        for array in (ARRAY, "X", "Y")
        for file in (".zarray", ".zattrs", "zarr.json", *BLOCKS, "c.[0-9]*")
    ),
)
"""Patterns of the files in the store of one raster: its array and the coordinates X and Y, in
GDAL's layouts; and ``pam.aux.xml``, where GDAL keeps statistics."""


class Zarr(Driver):
    """A store of one array; what GDAL leaves out is written before pixels are."""

    folder = True
    exact = True
    coloured = True
    keeps_control = False
    reserved = frozenset({"ARRAY_NAME", "SINGLE_ARRAY", "APPEND_SUBDATASET"})

    def defaults(self, new: NewRaster) -> dict[str, str]:
        """One array, in blocks that are written once, lightly compressed."""
        return {
            "array_name": ARRAY,
            "blocksize": f"{'1,' * (len(new.bands) > 1)}{STACK_ROWS},256",
            "compress": "GZIP",
            "gzip_level": "1",
        }

    def place(self, like: Raster) -> dict[str, Any]:
        """The transform alone: bandfuse writes the CRS."""
        return {"transform": like.transform}

    def check(self, new: NewRaster) -> None:
        """Refuse a grid that is turned."""
        if new.like.transform.b or new.like.transform.d:
            raise OutputError(
                f"{new.path.name} cannot be created",
                got="a grid that is turned, which Zarr has no place for",
                remedy="Use another driver, such as GTiff.",
            )

    def create(self, new: NewRaster) -> Any:
        """Make the store, write what GDAL left out, and open it again: only then does GDAL leave
        out blocks of nodata, and of nothing else."""
        self.opened(new, **self.options(new)).close()
        complete(new.path, new.bands, new.like.crs, new.encoding)
        return rasterio.open(new.path, "r+")

    def describe(self, ds: Any, new: NewRaster) -> None:
        """All is in the array's metadata already."""

    def finish(self, new: NewRaster) -> None:
        """Look whether every block has its end: GDAL says nothing of one that a full disk cut off.

        Raises
        ------
        OutputError : one has not.
        """
        cut = next(cut_blocks(new.path, np.dtype(new.encoding.dtype).itemsize), None)
        if cut is not None:
            raise OutputError(
                f"{new.path.name} cannot be written to its end",
                got=f"block {cut} is cut off",
                remedy="Is there room on the disk?",
            )


def cut_blocks(path: Path, itemsize: int) -> Iterator[str]:
    """The blocks of a store that do not have their end, by their names.

    A gzip stream ends with the number of bytes that it unpacks to; a plain block has that many.
    Blocks of other codecs are read.
    """
    array = path / ARRAY
    size, codec = _block(array, itemsize)
    files = sorted({p for pattern in (*BLOCKS, "c.[0-9]*") for p in array.glob(pattern)})
    for file in (p for p in files if p.is_file()):
        if codec == "gzip":
            with file.open("rb") as stream:
                stream.seek(-min(4, file.stat().st_size), os.SEEK_END)
                whole = int.from_bytes(stream.read(), "little") == size % 2**32
        else:
            whole = bool(codec) or file.stat().st_size == size
        if not whole:
            yield file.relative_to(array).as_posix()
    if codec not in ("", "gzip"):
        yield from _unreadable(path)


def _block(array: Path, itemsize: int) -> tuple[int, str]:
    """Bytes of an unpacked block, and its codec; empty for plain bytes."""
    if (array / ".zarray").is_file():
        stated = _read(array / ".zarray")
        plain = stated["compressor"] is None and not stated.get("filters")
        codec = "" if plain else str((stated["compressor"] or {}).get("id", "filters"))
        return itemsize * math.prod(stated["chunks"]), codec
    stated = _read(array / "zarr.json")
    names = [codec["name"] for codec in stated.get("codecs", [])]
    shape = stated["chunk_grid"]["configuration"]["chunk_shape"]
    packed = [name for name in names if name not in ("bytes", "transpose")]
    return itemsize * math.prod(shape), " ".join(packed)


def _unreadable(path: Path) -> Iterator[str]:
    """The first block that GDAL cannot read."""
    with rasterio.open(path) as ds:
        for _, window in ds.block_windows(1):
            try:
                ds.read(window=window)
            except GDAL_ERRORS:
                yield f"at row {window.row_off}, column {window.col_off}"
                return


def mark_of(path: Path) -> str:
    """The file that a store is known by."""
    return "zarr.json" if (path / "zarr.json").is_file() else ".zgroup"


def complete(path: Path, bands: Bands, crs: CRS | None, encoding: Encoding) -> None:
    """Write what is missing into the metadata of a new store, of version 2 or 3, without pixels."""
    fill: Any = "NaN" if np.isnan(encoding.nodata) else encoding.nodata
    fill = int(fill) if np.dtype(encoding.dtype).kind != "f" else fill
    words = attributes(bands)
    if crs is not None:
        words["_CRS"] = {"wkt": crs.to_wkt(version="WKT2_2019")}
    if (encoding.scale, encoding.offset) != (1.0, 0.0):
        words |= {"scale_factor": encoding.scale, "add_offset": encoding.offset}
    array = path / ARRAY
    if (array / "zarr.json").is_file():
        stated = _read(array / "zarr.json")
        words = stated.get("attributes", {}) | words
        _write(array / "zarr.json", {**stated, "fill_value": fill, "attributes": words})
        return
    plain = {**_read(array / ".zarray"), "fill_value": fill}
    attrs = _read(array / ".zattrs") | words if (array / ".zattrs").is_file() else words
    _write(array / ".zarray", plain)
    _write(array / ".zattrs", attrs)
    if (path / ".zmetadata").is_file():
        whole = _read(path / ".zmetadata")
        whole["metadata"] |= {f"{array.name}/.zarray": plain, f"{array.name}/.zattrs": attrs}
        _write(path / ".zmetadata", whole)


def attributes(bands: Bands) -> dict[str, Any]:
    """Lists with one item a band: names, without commas and braces, as GDAL shows a list in one
    text; wavelength and FWHM in nm, ``nan`` where unknown; good-band flags; red, green and blue
    bands."""
    words: dict[str, Any] = {"band_names": plain_names(bands)}
    words["bbl"] = [int(good) for good in bands.good]
    for key, numbers in number_lists(bands).items():
        words |= {key: numbers, "wavelength_units": "Nanometers"}
    known = colours(bands)
    if len(bands) > 1 and set(known) != {"undefined"}:
        words["COLOR_INTERPRETATION"] = [name.capitalize() for name in known]
    return words


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")
