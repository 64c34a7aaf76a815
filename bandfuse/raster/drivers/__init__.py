"""Drivers: how each of GDAL's drivers makes a raster. One file per driver that needs care.

Such a driver is a class of :class:`Driver` and a line in :data:`DRIVERS`.

Each file is built on those before it::

    driver      how a raster is made by a driver that needs no care
    gtiff       GeoTIFF
    cog         GeoTIFF for the cloud, made of a finished one
    envi        a raw file and its header
    zarr        a store, with what GDAL leaves out of it

It imports errors, spectral, streaming, gdal, describe, encoding and band_tags.
"""

from __future__ import annotations

from pathlib import Path

import rasterio
from rasterio.drivers import driver_from_extension

from bandfuse.errors import OutputError, nearest
from bandfuse.raster.drivers.cog import Cog
from bandfuse.raster.drivers.driver import Driver, NewRaster
from bandfuse.raster.drivers.envi import Envi
from bandfuse.raster.drivers.gtiff import GTiff
from bandfuse.raster.drivers.zarr import CONTENT, Zarr, mark_of

__all__ = [
    "CONTENT",
    "DRIVERS",
    "FOLDERS",
    "WITHOUT_CONTROL",
    "Driver",
    "NewRaster",
    "driver_named",
    "driver_of",
    "mark_of",
]

DRIVERS: dict[str, Driver] = {
    "GTiff": GTiff("GTiff"),
    "COG": Cog("COG"),
    "ENVI": Envi("ENVI"),
    "Zarr": Zarr("Zarr"),
}
"""Drivers that need care, by their names."""

FOLDERS = tuple(name for name, driver in DRIVERS.items() if driver.folder)
"""Drivers whose rasters are folders."""

WITHOUT_CONTROL = tuple(name for name, driver in DRIVERS.items() if not driver.keeps_control)
"""Drivers that keep neither ground control points nor RPCs."""


def driver_named(name: str) -> Driver:
    """A driver by GDAL's name of it."""
    return DRIVERS.get(name) or Driver(name)


def driver_of(path: Path, given: str | None) -> str:
    """The GDAL driver of an output: as given, else by the file's ending.

    Raises
    ------
    OutputError : GDAL has no such driver, or none for the ending; or there is no ending.
    """
    with rasterio.Env() as env:
        known = env.drivers()
    if given is not None:
        found = next((name for name in known if name.lower() == given.lower()), None)
        if found is None:
            raise OutputError(f"there is no GDAL driver {given!r}", remedy=nearest(given, known))
        _require_pixels(str(found))
        return str(found)
    if not path.suffix:
        raise OutputError(
            f"{path.name} has no ending that names a format",
            expected=f"a name such as {path.name}.tif, or --driver",
        )
    if path.suffix.lower() == ".zarr" and "Zarr" in known:
        return "Zarr"
    if path.suffix.lower() in RAW:
        raise OutputError(
            f"the ending {path.suffix} is that of several formats",
            expected=f"--driver, such as --driver ENVI -o {path.with_suffix('.img').name}",
        )
    try:
        driver = str(driver_from_extension(path))
    except ValueError as error:
        raise OutputError(
            f"no driver is known for {path.name}",
            got=f"the ending {path.suffix}",
            expected=".tif, or --driver with one of GDAL's drivers, such as ENVI",
        ) from error
    _require_pixels(driver)
    return driver


RAW = (".hdr", ".dat", ".raw", ".bin")
"""Endings of headers and of raw data, which GDAL gives to formats that hardly anybody means."""


def _require_pixels(driver: str) -> None:
    """Refuse virtual rasters, which hold no pixels of their own."""
    if driver == "VRT":
        raise OutputError(
            "a VRT holds no pixels of its own",
            expected="another driver, such as GTiff",
            remedy="bandfuse export WEIGHTS --to vrt writes a VRT that computes the fused bands.",
        )
