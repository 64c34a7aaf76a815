"""HDF: what an HDF5 (or netCDF-4) file holds, through GDAL's HDF5 driver: rows and values as they
are stored."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio

from bandfuse.errors import InputError
from bandfuse.files.names import for_gdal
from bandfuse.raster.describe import opened
from bandfuse.raster.gdal import CACHE, GDAL_ERRORS, HDF5, quiet_hdf5, reason, unplaced_quietly
from bandfuse.raster.header_files import said_by
from bandfuse.raster.products.hdf_texts import arrays_in
from bandfuse.spectral.bands import Floats
from bandfuse.spectral.units import number

NO_VARIABLE = "This is a netCDF dimension but not a netCDF variable"
"""How netCDF-4 marks an array that stands for a dimension alone: it holds zeros."""


OF_BANDS = ("wavelengths", "fwhm", "good_wavelength", "good_wavelengths")
"""Attributes that have a number for each band, even where all are equal."""


@dataclass(frozen=True)
class Hdf:
    """The attributes of the root, as text, and the arrays with two and more axes, by their names
    from the root."""

    path: str
    attributes: Mapping[str, str]
    arrays: tuple[str, ...]

    def name(self, array: str) -> str:
        """The name by which GDAL opens an array. GDAL writes blanks in names as ``_``."""
        return f'HDF5:"{self.path}"://{array}'

    def holds(self, array: str) -> bool:
        """Whether this array is there. GDAL does not list the array of a file that has one alone,
        and :func:`hdf_of` may not find its name."""
        if self.arrays:
            return array in self.arrays
        with suppress(InputError), rasterio.Env(**CACHE), opened(self.name(array)):
            return True
        return False

    def require(self, array: str, what: str) -> str:
        """The name by which GDAL opens an array that must be there.

        Raises
        ------
        InputError : it is not.
        """
        if not self.holds(array):
            raise InputError(
                f"{self.path} is not a complete {what}",
                got=f"no array {array}",
                expected="the published structure",
            )
        return self.name(array)

    def values(self, array: str) -> Floats:
        """An array of one axis, as float64.

        Raises
        ------
        InputError : it is not there, or cannot be read.
        """
        try:
            with rasterio.Env(**CACHE), opened(self.name(array)) as ds:
                if ds.tags(1).get("NAME", "").startswith(NO_VARIABLE):
                    raise InputError(f"{array} is no variable", got="a dimension without values")
                return np.asarray(ds.read(1), dtype=np.float64).ravel()
        except (*GDAL_ERRORS, InputError) as error:
            raise InputError(
                f"{self.path} lacks {array}",
                got=getattr(error, "got", "") or reason(error),
                expected="the published structure",
            ) from error

    def column(self, array: str, count: int) -> Floats | None:
        """An array of one axis and of so many numbers, as float64; None where there is none."""
        with suppress(InputError):
            found = self.values(array)
            return found if len(found) == count else None
        return None

    def attribute(self, name: str) -> Floats:
        """The numbers of an attribute of the root.

        Raises
        ------
        InputError : it is not there, or holds something else.
        """
        text = self.attributes.get(name)
        found = np.array([number(item) for item in (text or "").split()])
        if not len(found) or not np.isfinite(found).all():
            raise InputError(
                f"{self.path} lacks the attribute {name}", got=repr(text), expected="numbers"
            )
        return found


def is_hdf(path: str) -> bool:
    """Whether this is a local file that begins as HDF5 files do; why another cannot be read is for
    GDAL to say."""
    with suppress(OSError):
        if Path(path).is_file():
            with open(path, "rb") as stream:
                return stream.read(len(HDF5)) == HDF5
    return False


def hdf_of(path: str) -> Hdf | None:
    """What an HDF5 file holds; None where GDAL cannot open it, or for other files."""
    if not is_hdf(path):
        return None
    quiet_hdf5()
    try:
        with (
            rasterio.Env(**CACHE),
            unplaced_quietly(),
            rasterio.open(for_gdal(path), driver="HDF5") as ds,
        ):
            arrays = tuple(text.split("://", 1)[1] for text in ds.subdatasets)
            told = said_by(ds).of()
            alone = arrays_in(path) if ds.count and not arrays else []
            if len(alone) == 1:
                arrays = (alone[0].replace(" ", "_"),)
                told = {**told, **_own(ds, arrays[0])}
            return Hdf(path, told, arrays)
    except GDAL_ERRORS:
        return None


def _own(ds: Any, array: str) -> dict[str, str]:
    """The attributes of the one array of a file, by the names that GDAL gives those of several. It
    shows numbers of which there is one for each band with that band, and ``good_wavelengths`` as
    ``good_wavelength``."""
    tags = [ds.tags(i) for i in ds.indexes]
    found = {}
    for key in tags[0]:
        values = [tag.get(key, "") for tag in tags]
        apart = len(set(values)) > 1 or (key in OF_BANDS and " " not in values[0].strip())
        name = "good_wavelengths" if key == "good_wavelength" else key
        found[f"{array.replace('/', '_')}_{name}"] = " ".join(values) if apart else values[0]
    return found
