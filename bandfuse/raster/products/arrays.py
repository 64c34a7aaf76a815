"""Arrays: cubes in HDF5 and netCDF-4 files of no known product, whose bands may lie on any axis.

GDAL takes the first axis of an array for that of its bands; in many files (NEON's, xarray's) it is
the last. The axis is found by its length: that of the table that the user gives, or of the
wavelengths in the file. These are an array whose unit is nm or µm, or one called wavelength in a
folder of the cube or a folder of metadata below. What the cube's own attributes say of fill and
scale is used: the conventions of CF, and ``Data_Ignore_Value`` and ``Scale_Factor`` (values are
divided by it) of NEON."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import Affine

from bandfuse.errors import InputError, shorten
from bandfuse.raster.describe import Control, Masks, Raster, SourceImage, opened
from bandfuse.raster.gdal import CACHE
from bandfuse.raster.header_files import given_table
from bandfuse.raster.products.hdf import hdf_of, is_hdf
from bandfuse.spectral.bands import Bands, Floats
from bandfuse.spectral.headers import Stated
from bandfuse.spectral.metadata import RasterTags, band_table
from bandfuse.spectral.remarks import Remark
from bandfuse.spectral.units import UNITS_NM, number, spelling

NAMES = ("wavelength", "wavelengths", "wavelength_nm", "center_wavelengths", "wl")
WIDTHS = ("fwhm", "bandwidth")
FOLDERS = ("", "Metadata/Spectral_Data/", "Metadata/", "sensor_band_parameters/")
"""Where files hold the wavelengths of a cube, from a folder that the cube lies in; GDAL finds them
in upper and lower case."""

NO_CENTRES = re.compile(r"fwhm|width|uncert|error|shift|std|min|max", re.I)
"""Arrays of lengths that are not the centres of bands."""

FILLS = ("_FillValue", "missing_value", "Data_Ignore_Value", "data_ignore_value", "nodata")

SHORT = {word for word, factor in UNITS_NM.items() if factor <= UNITS_NM["um"]}
"""Units that no other coordinates than wavelengths have."""

DRIVERS = ("HDF5Image", "netCDF")
PLACED = {
    *("x", "y", "lat", "latitude", "lon", "longitude", "row", "rows", "line", "lines", "col"),
    *("cols", "column", "columns", "sample", "samples", "downtrack", "crosstrack"),
    *("number_of_lines", "pixels_per_line", "easting", "northing"),
}
"""Names of axes that are no bands."""

ROWS = ("y", "lat", "latitude", "northing", "yc", "row", "line")
"""Names of coordinates of rows."""

PLACES = ("first", "second", "last")

AXES = {1: "rbc", 2: "rcb"}
"""The axes of an array by the place of its bands."""

_SUBDATASET = re.compile(r'(hdf5|netcdf):"?(.+?)"?:(?://)?/?([^:]+)', re.I)


def file_of(path: str) -> str | None:
    """The local HDF5 or netCDF file that a path or a subdataset lies in; None for others."""
    match = _SUBDATASET.fullmatch(path)
    name = match[2] if match and not Path(path).exists() else path
    return name if is_hdf(name) or _is_classic(name) else None


def _is_classic(name: str) -> bool:
    """Whether this is a netCDF file of the classic form, which no HDF5 library reads."""
    with suppress(OSError, ValueError):
        if os.path.isfile(name):
            with open(name, "rb") as stream:
                return stream.read(3) == b"CDF"
    return False


@dataclass(frozen=True, eq=False)
class _Cube:
    """An array: the file, its own name there (empty where GDAL does not tell it), the tags of the
    file by variable, and its own attributes."""

    file: str
    name: str
    tags: Mapping[str, str]
    own: Mapping[str, str]

    @property
    def gdal(self) -> str:
        """What GDAL opens, with the axes as they are in the file."""
        return f'HDF5:"{self.file}"://{self.name}' if self.name else self.file

    def candidates(self) -> Iterator[str]:
        """Names of arrays that may hold the wavelengths: those called so come first."""
        told = [
            key.rpartition("#")[0].strip("/")
            for key, unit in self.tags.items()
            if key.lower().endswith("#units") and spelling(unit) in SHORT
        ]
        lengths = [name for name in told if not NO_CENTRES.search(name.rsplit("/", 1)[-1])]
        yield from sorted(lengths, key=lambda name: "wavelength" not in name.lower())
        parts = self.name.split("/")[:-1]
        for depth in range(len(parts), -1, -1):
            above = "".join(f"{part}/" for part in parts[:depth])
            yield from (f"{above}{folder}{name}" for folder in FOLDERS for name in NAMES)

    def values(self, name: str) -> tuple[Floats, str | None] | None:
        """The numbers of an array of one axis, and their unit; None where there is none."""
        with (
            suppress(InputError),
            rasterio.Env(**CACHE),
            opened(f'HDF5:"{self.file}"://{name}') as ds,
        ):
            if ds.count == 1 and 1 in ds.shape and ds.width * ds.height > 1:
                units = [v for k, v in ds.tags(1).items() if k.lower() in ("units", "unit")]
                return np.asarray(ds.read(1), np.float64).ravel(), next(iter(units), None)
        return None

    def wavelengths(self, sizes: tuple[int, ...]) -> Stated | None:
        """What the file says of the bands: the first array of wavelengths that is as long as an
        axis."""
        for name in dict.fromkeys(self.candidates()):
            found = self.values(name)
            if found is None or len(found[0]) not in sizes:
                continue
            nm, unit = found
            nothing = np.full(len(nm), np.nan)
            folder = name.rpartition("/")[0]
            beside = (self.values(f"{folder}/{width}".lstrip("/")) for width in WIDTHS)
            widths = next((w[0] for w in beside if w is not None and len(w[0]) == len(nm)), nothing)
            return Stated(f"the array {name}", nm, widths, nothing, unit)
        return None

    def goes_down(self, rows: int) -> bool:
        """Whether the file has a coordinate of so many rows that goes down."""
        for name in ROWS:
            found = self.values(name)
            if found is not None and len(found[0]) == rows:
                return bool((np.diff(found[0]) < 0).all())
        return False

    def fill(self) -> float:
        """The value that means missing; NaN where none is told."""
        told = (number(self.own.get(key)) for key in FILLS)
        return next((value for value in told if np.isfinite(value)), np.nan)

    def scale(self) -> tuple[float, float]:
        """Scale and offset of stored values."""
        divisor = number(self.own.get("Scale_Factor"))
        told = 1 / divisor if divisor > 1 else number(self.own.get("scale_factor"))
        offset = number(self.own.get("add_offset"))
        return told if np.isfinite(told) else 1.0, offset if np.isfinite(offset) else 0.0


def _cube_of(found: Raster, file: str) -> _Cube | None:
    """The array that GDAL shows as a raster; None where it does not open it as HDF5."""
    name = _name_in(found.path)
    short, tags = _as_netcdf(file, name)
    name = name or _long_name(short, tags, file)
    for known in dict.fromkeys((name, "")):
        cube = _Cube(file, known, tags, {})
        with suppress(InputError), rasterio.Env(**CACHE), opened(cube.gdal) as ds:
            if ds.driver == "HDF5Image":
                return replace(cube, own=dict(ds.tags(1)))
    return None


def _name_in(path: str) -> str:
    """The name of the array that a subdataset is; empty for a file."""
    match = None if Path(path).exists() else _SUBDATASET.fullmatch(path)
    return match[3].strip("/") if match else ""


def _as_netcdf(file: str, name: str) -> tuple[str, Mapping[str, str]]:
    """The last part of an array's name, and the file's tags by variable, as GDAL's netCDF driver
    tells them; nothing where it does not open the file."""
    place = f'NETCDF:"{file}":/{name}' if name else f'NETCDF:"{file}"'
    with suppress(InputError), rasterio.Env(**CACHE), opened(place) as ds:
        return ds.tags(1).get("NETCDF_VARNAME", "") if ds.count else "", dict(ds.tags())
    return "", {}


def _long_name(short: str, tags: Mapping[str, str], file: str) -> str:
    """The name of a variable from the root, where only its last part is told."""
    hdf = hdf_of(file)
    told = [key.rpartition("#")[0].strip("/") for key in tags]
    names = [*(hdf.arrays if hdf else ()), *told]
    return next((n for n in names if n.rsplit("/", 1)[-1] == short), short)


def array_of(found: Raster, source: str, wavelengths: str | Path | None) -> Raster | None:
    """What GDAL shows of an array, with its bands along the axis that they lie on; None for other
    files, and where nothing tells more than GDAL does.

    ``wavelengths``: a file of the user's that says more of the bands.

    Raises
    ------
    InputError : that file cannot be read.
    """
    file = file_of(found.path)
    known = wavelengths is None and np.isfinite(found.bands.wavelength_nm).any()
    if file is None or found.driver not in DRIVERS or len(found.bands) < 2 or known:
        return None
    cube, sizes = _cube_of(found, file), (len(found.bands), *found.shape)
    if cube is None:
        tags = _as_netcdf(file, _name_in(found.path))[1]
        return _unsure(found, tags, sizes) if wavelengths is None else None
    given = None if wavelengths is None else given_table(wavelengths, None, found.path)
    stated = given or cube.wavelengths(sizes)
    axes = [] if stated is None else [i for i, n in enumerate(sizes) if n == len(stated.wavelength)]
    if stated is None or not axes:
        return _unsure(found, cube.tags, sizes) if wavelengths is None else None
    axis = 0 if 0 in axes else axes[-1]
    made = _turned(found, cube, axis, sizes) if axis else found
    scale, offset = cube.scale()
    said = [_doubt(sizes, axis) if len(axes) > 1 else _sure(sizes, axis, stated)]
    bands, messages = _bands(stated, source)
    kept = [m for m in made.messages if getattr(m, "code", "") != "axes-assumed"]
    return replace(
        made,
        bands=bands,
        nodata=np.where(np.isnan(made.nodata), cube.fill(), made.nodata),
        scale=np.where(made.scale == 1, scale, made.scale),
        offset=np.where(made.offset == 0, offset, made.offset),
        messages=(*kept, *(said if axis or len(axes) > 1 else []), *messages),
        files=(file, *([] if wavelengths is None else [str(wavelengths)])),
    )


def as_stored(found: Raster) -> Raster:
    """An array in which GDAL finds no place on the ground, with its rows as they are stored where a
    coordinate of theirs goes down, as in files that xarray writes.

    GDAL's netCDF driver takes such rows as going up, and reads them from the last to the first;
    where no coordinate tells it, a message does. GDAL itself writes them so."""
    file = file_of(found.path)
    unplaced = found.crs is None and found.transform.is_identity
    if file is None or found.driver != "netCDF" or not unplaced or found.rows < 2:
        return found
    cube = _cube_of(found, os.path.abspath(file))
    written_by_gdal = cube is None or "NC_GLOBAL#GDAL" in cube.tags
    if cube is None or written_by_gdal or not cube.name or not _is_reversed(found, cube):
        return found
    if not cube.goes_down(found.rows):
        text = (
            "its rows are read from the last to the first, as GDAL takes rows without a place as "
            f'going up; HDF5:"{file}"://{cube.name} reads them as they are stored'
        )
        return replace(found, messages=(*found.messages, Remark("rows-reversed", text)))
    text = (
        "its rows are read as they are stored, as their coordinate goes down; GDAL reads them from "
        "the last to the first"
    )
    return replace(
        found,
        pieces=(SourceImage(cube.gdal, tuple(range(1, len(found.bands) + 1))),),
        files=(file, *(f for f in found.files if os.path.isfile(f) and f != file)),
        messages=(*found.messages, Remark("rows-as-stored", text)),
    )


def _is_reversed(found: Raster, cube: _Cube) -> bool:
    """Whether the first row that GDAL's netCDF driver shows is the last one that is stored."""
    ends = [((row, row + 1), (0, found.cols)) for row in (0, found.rows - 1)]
    with rasterio.Env(**CACHE), opened(found.path) as ds, opened(cube.gdal) as stored:
        if (stored.count, *stored.shape) != (ds.count, *ds.shape):
            return False
        first = ds.read(1, window=ends[0])
        same, last = (np.array_equal(first, stored.read(1, window=e), equal_nan=True) for e in ends)
        return last and not same


def _unsure(found: Raster, tags: Mapping[str, str], sizes: tuple[int, ...]) -> Raster | None:
    """With a doubt where the first axis is called rows or columns and is taken for the bands."""
    name = tags.get("NETCDF_DIM_EXTRA", "").strip("{}").lower()
    if found.driver != "netCDF" or name not in PLACED:
        return None
    text = (
        f"the first axis, {name}, is taken for the bands: {sizes[0]} bands of {sizes[1]} rows and "
        f"{sizes[2]} columns; if bands are another axis, it is read wrongly"
    )
    return replace(found, messages=(*found.messages, Remark("axes-assumed", text)))


def _bands(stated: Stated, source: str) -> tuple[Bands, list[str]]:
    """The band table from what is said of the bands alone."""
    nothing: list[dict[str, str]] = [{} for _ in stated.wavelength]
    tags = RasterTags([None] * len(nothing), nothing, nothing)
    return band_table(tags, source, stated=[stated])


def _turned(found: Raster, cube: _Cube, axis: int, sizes: tuple[int, ...]) -> Raster:
    """The array with its bands along another axis than the first; rows as they are in the file."""
    with rasterio.Env(**CACHE), opened(cube.gdal) as ds:
        blocks, dtype = ds.block_shapes[0], ds.dtypes[0]
        together = int(ds.tags(ns="IMAGE_STRUCTURE").get("BAND_CHUNK_SIZE", 1))
    n, cols = sizes[axis], sizes[3 - axis]
    return replace(
        found,
        driver="HDF5Image",
        rows=sizes[0],
        cols=cols,
        dtypes=(dtype,) * n,
        crs=None,
        transform=Affine.identity(),
        nodata=np.full(n, found.nodata[0]),
        scale=np.full(n, found.scale[0]),
        offset=np.full(n, found.offset[0]),
        stored=(together, blocks[0] if axis == 2 else blocks[1]),
        interleave="",
        masks=Masks(),
        exact=(),
        control=Control(),
        pieces=(SourceImage(cube.gdal, tuple(range(1, n + 1)), AXES[axis]),),
    )


def _sure(sizes: tuple[int, ...], axis: int, stated: Stated) -> Remark:
    text = (
        f"the {PLACES[axis]} axis is that of the bands, as {stated.where} has {sizes[axis]} "
        "values; rows and columns have no place on the ground"
    )
    return Remark("axes-found", text)


def _doubt(sizes: tuple[int, ...], axis: int) -> Remark:
    text = (
        f"several of its axes ({shorten(map(str, sizes))}) are as long as its wavelengths: the "
        f"{PLACES[axis]} is taken for the bands; if they are another, it is read wrongly"
    )
    return Remark("axes-assumed", text)
