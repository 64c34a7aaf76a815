"""AVIRIS-3 and AVIRIS-5 (and AVIRIS-NG): L2A reflectance and L1B radiance in netCDF-4.

``/reflectance/reflectance`` or ``/radiance/radiance`` (wavelength, rows, columns), −9999 for none;
``wavelength`` and ``fwhm`` in the group of the cube, nm. What is said of the map grid is in the
attributes ``spatial_ref`` and ``GeoTransform`` of the variable ``transverse_mercator``, and in
``easting`` and ``northing``, the centres of its columns and rows.

- L2A (``…_RFL_ORT.nc``) is on the map grid (ORNL DAAC, AVIRIS-3 L2A Orthocorrected Surface
  Reflectance, doi:10.3334/ORNLDAAC/2357; emit-sds/SpectralUtil, ``open_airborne_rfl``).
- L1B (``…_RDN.nc``) is in sensor geometry, with the lookup table
  ``geolocation_lookup_table/{sample,line}`` on the map grid (ORNL DAAC, AVIRIS-3 L1B Calibrated
  Radiance, doi:10.3334/ORNLDAAC/2356; emit-sds/SpectralUtil, ``open_airborne_rdn``).

JPL delivers the same products as ENVI files, which need no reader."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np
import rasterio
from rasterio.crs import CRS
from rasterio.transform import Affine

from bandfuse.errors import InputError, MismatchError
from bandfuse.raster.describe import Raster, opened
from bandfuse.raster.gdal import CACHE
from bandfuse.raster.products.cubes import HdfCube, cube_of, raster_of
from bandfuse.raster.products.given import Given
from bandfuse.raster.products.hdf import Hdf
from bandfuse.raster.products.lookup import lookup_table, on_its_map
from bandfuse.raster.products.names import product_in
from bandfuse.raster.products.product import PUBLISHED, Format, Product
from bandfuse.spectral.bands import Bands, Floats
from bandfuse.spectral.units import number

LEVELS = {"reflectance": "L2A", "radiance": "L1B"}
TABLE = "geolocation_lookup_table"
MAP = "transverse_mercator"
OBSERVED = "observation_parameters/"
"""Where files of geometry, which have no spectra, hold their arrays."""

_SAID = re.compile(r"AVIRIS[-_ ]?(3|5|NG)\b", re.I)


def recognises(given: Given) -> bool:
    """A netCDF-4 file with a cube and its wavelengths in a group of its own, that says by its name,
    its attributes or its map that it is of AVIRIS; or one of AVIRIS's geometry."""
    hdf = given.hdf
    if hdf is None:
        return False
    if _instrument(hdf) and any(array.startswith(OBSERVED) for array in hdf.arrays):
        return True
    cube = _cube_in(hdf)
    return cube is not None and (bool(_instrument(hdf)) or _has_map(hdf, cube))


def open_(given: Given, source: str) -> Raster:
    """The cube on its map grid, or in sensor geometry with its lookup table.

    Raises
    ------
    InputError : a file without spectra, or an array is missing.
    MismatchError : arrays whose sizes do not fit, or a lookup table that points outside the image.
    """
    hdf = given.hdf
    assert hdf is not None
    name = _instrument(hdf) or "AVIRIS"
    array = _cube_in(hdf)
    if array is None:
        raise InputError(
            f"{given.path} has no spectra",
            got=f"the geometry of {name}, in {OBSERVED.rstrip('/')}",
            expected=f"{name} L2A reflectance or L1B radiance",
            remedy="Give the file …_RFL_ORT.nc or …_RDN.nc.",
        )
    group, _, quantity = array.rpartition("/")
    waves = hdf.values(f"{group}/wavelength")
    cube = cube_of(hdf, array, len(waves))
    bands = Bands.of(
        [f"b{i}" for i in range(1, len(waves) + 1)],
        source=source,
        wavelength_nm=waves,
        fwhm_nm=_widths(hdf, f"{group}/fwhm", len(waves)),
    )
    place, glt, said = _place(hdf, array, cube)
    product = f"{name} {LEVELS[quantity]}"
    return raster_of(hdf, product, [(cube, range(len(waves)))], bands, said, place, glt)


def _cube_in(hdf: Hdf) -> str | None:
    """The array of the cube, whose group has its wavelengths."""
    for quantity in LEVELS:
        if hdf.holds(f"{quantity}/{quantity}"):
            with suppress(InputError):
                hdf.values(f"{quantity}/wavelength")
                return f"{quantity}/{quantity}"
    return None


def _instrument(hdf: Hdf) -> str:
    """AVIRIS-3, AVIRIS-5 or AVIRIS-NG, by the name of the file or what it says of itself; empty
    where neither tells."""
    named = product_in([Path(hdf.path).name]).split(" ")[0]
    if named.startswith("AVIRIS"):
        return named
    title = hdf.attributes.get("title", "")
    found = map(_SAID.search, (title, *hdf.attributes.values()))
    match = next((m for m in found if m), None)
    return f"AVIRIS-{match[1].upper()}" if match else ""


def _widths(hdf: Hdf, array: str, count: int) -> Floats:
    """Widths in nm; NaN where there are none.

    Raises
    ------
    MismatchError : there are more or fewer than bands.
    """
    try:
        widths = hdf.values(array)
    except InputError:
        return np.full(count, np.nan)
    if len(widths) != count:
        raise MismatchError(
            f"{array} of {hdf.path} does not fit its cube",
            got=f"{len(widths)}",
            expected=f"{count}",
        )
    return widths


def _place(
    hdf: Hdf, array: str, cube: HdfCube
) -> tuple[tuple[CRS | None, Affine | None], Raster | None, list[str]]:
    """CRS and transform, the lookup table, and what is to be said."""
    names = f"{TABLE}/sample", f"{TABLE}/line"
    table = all(name in hdf.arrays for name in names)
    centres = _centres(hdf, "", (cube.rows, cube.cols))
    if not table or (cube.mapping and centres is not None):
        crs, told = _said_of_map(hdf, array)
        transform = _agreed(told, centres)
        if transform is not None and (cube.mapping or centres is not None):
            return (crs, transform), None, [] if crs else [_no_crs()]
        return (None, None), None, [_unplaced()]
    maps = (_said_of_map(hdf, name) for name in (*names, *hdf.arrays))
    crs, told = next((found for found in maps if found[0] is not None), (None, None))
    with rasterio.Env(**CACHE), opened(hdf.name(names[0])) as ds:
        shape = ds.shape
    transform = _agreed(told, _centres(hdf, f"{TABLE}/", shape) or _centres(hdf, "", shape))
    if crs is None or transform is None:
        return (None, None), None, [_unplaced()]
    seen = cube.rows, cube.cols
    glt = lookup_table(hdf, names, (crs, transform), seen, signed=True)
    return (None, None), glt, [on_its_map(glt)]


def _has_map(hdf: Hdf, array: str) -> bool:
    """Whether an array lies on the map whose variable is called as in AVIRIS's files."""
    with suppress(InputError), rasterio.Env(**CACHE), opened(hdf.name(array)) as ds:
        return bool(ds.tags(1).get("grid_mapping") == MAP)
    return False


def _said_of_map(hdf: Hdf, array: str) -> tuple[CRS | None, Affine | None]:
    """The CRS and the transform of the map of an array, as GDAL's netCDF driver tells them: its
    HDF5 driver does not show attributes of variables without axes."""
    with suppress(InputError), rasterio.Env(**CACHE), opened(f'NETCDF:"{hdf.path}":/{array}') as ds:
        return ds.crs, _transform(ds.tags())
    return None, None


def _transform(tags: Mapping[str, str]) -> Affine | None:
    """What the attribute ``GeoTransform`` of a map says."""
    told = next((v for k, v in tags.items() if k.endswith("#GeoTransform")), "")
    numbers = [number(item) for item in re.split(r"[\s,]+", told.strip())]
    usable = len(numbers) == 6 and bool(np.isfinite(numbers).all())
    return Affine.from_gdal(*numbers) if usable else None


def _centres(hdf: Hdf, group: str, shape: tuple[int, int]) -> Affine | None:
    """The transform by the centres of columns and rows; None where they do not fit."""
    x = hdf.column(f"{group}easting", shape[1])
    y = hdf.column(f"{group}northing", shape[0])
    if x is None or y is None or min(shape) < 2:
        return None
    width, height = (float(v[-1] - v[0]) / (len(v) - 1) for v in (x, y))
    if not (np.isfinite(width * height) and width * height):
        return None
    return Affine(width, 0, float(x[0]) - width / 2, 0, height, float(y[0]) - height / 2)


def _agreed(told: Affine | None, centres: Affine | None) -> Affine | None:
    """What ``GeoTransform`` says; the centres, where that is missing or its rows and columns run
    the other way: the cube is read as it is stored, and so are they."""
    if told is None or centres is None:
        return told or centres
    turned = told.b or told.d
    along = told.a * centres.a > 0 and told.e * centres.e > 0
    return told if turned or along else centres


def _unplaced() -> str:
    return (
        "the image is in sensor geometry, and stays so when it is read, trained and fused: GDAL "
        "finds neither a map grid nor a lookup table in the file"
    )


def _no_crs() -> str:
    return "the file does not tell the CRS of its map grid"


AVIRIS = Product(
    Format(
        "AVIRIS-3, AVIRIS-5 L2A, L1B (netCDF)",
        "the .nc file of reflectance (…_RFL_ORT.nc) or radiance (…_RDN.nc)",
        "wavelengths, FWHM, fill, CRS; L1B in sensor geometry: fused bands are put on the GLT's "
        "map grid",
        PUBLISHED,
    ),
    recognises,
    open_,
)
