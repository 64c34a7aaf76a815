"""NEON AOP: surface reflectance of NEON's imaging spectrometer in HDF5: flight lines (DP1) and
tiles (DP3), directional (DP1.30006.001, DP3.30006.001) or bidirectional (DP3.30006.002).

``SITE/Reflectance/Reflectance_Data`` (rows, columns, bands) int16; reflectance = DN /
``Scale_Factor``, and DN ``Data_Ignore_Value`` is no data. ``Metadata/Spectral_Data/{Wavelength,
FWHM}`` in nm. ``Band_Window_{1,2}_Nanometers`` of ``SITE/Reflectance`` are the ends of the windows
in which water vapour absorbs all light. ``Metadata/Coordinate_System/{Map_Info,EPSG Code}`` are
texts; Map_Info is ENVI's: the projection, a pixel that counts from 1 at the image's upper left
corner, its easting and northing, and the pixel's width and height (NEON's tutorials, NEONScience/
NEON-Data-Skills; EnSpec/hytools ``neon.py``; opengeos/HyperCoast ``neon.py``)."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import rasterio
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.transform import Affine

from bandfuse.errors import InputError, MismatchError
from bandfuse.raster.describe import Raster
from bandfuse.raster.gdal import CACHE
from bandfuse.raster.products.cubes import cube_of, raster_of
from bandfuse.raster.products.given import Given
from bandfuse.raster.products.hdf import Hdf
from bandfuse.raster.products.hdf_texts import texts_of
from bandfuse.raster.products.names import product_in
from bandfuse.raster.products.product import PUBLISHED, Format, Product
from bandfuse.spectral.bands import Bands, Floats
from bandfuse.spectral.units import UNITS_NM, number, spelling

CUBE = re.compile(r"([^/]+)/Reflectance/Reflectance_Data")
RADIANCE = re.compile(r"([^/]+)/Radiance/Radiance(?:Integer|Decimal)Part")

NAME = "NEON AOP"

WINDOWS = ("Band_Window_1_Nanometers", "Band_Window_2_Nanometers")

EPSG, WKT, MAP = (
    f"Metadata/Coordinate_System/{name}"
    for name in ("EPSG Code", "Coordinate_System_String", "Map_Info")
)


def recognises(given: Given) -> bool:
    """An HDF5 file with the arrays of reflectance or radiance of a site."""
    hdf = given.hdf
    return hdf is not None and any(
        pattern.fullmatch(array) for array in hdf.arrays for pattern in (CUBE, RADIANCE)
    )


def open_(given: Given, source: str) -> Raster:
    """The cube of reflectance, on its map grid.

    Raises
    ------
    InputError : radiance, or an array or attribute is missing.
    MismatchError : wavelengths that do not fit the cube.
    """
    hdf = given.hdf
    assert hdf is not None
    cube = next((a for a in hdf.arrays if CUBE.fullmatch(a)), None)
    if cube is None:
        raise InputError(
            f"{given.path} holds NEON AOP radiance as whole numbers and decimals in two arrays",
            got="RadianceIntegerPart and RadianceDecimalPart",
            expected="reflectance in one array, Reflectance_Data",
            remedy="Give the reflectance file; or add the whole numbers and the decimals divided "
            "by their Scale_Factor, and write the sum as one raster.",
        )
    group = cube.rpartition("/")[0]
    stored = replace(
        cube_of(hdf, cube, None, "rcb"),
        fill=_attribute(hdf, cube, "Data_Ignore_Value"),
        scale=1 / _divisor(hdf, cube),
        offset=0.0,
    )
    bands = _bands(hdf, group, stored.bands, source)
    crs, transform, said = _place(hdf, group)
    told = product_in([given.name])
    product = told if told.startswith(NAME) else NAME
    return raster_of(hdf, product, [(stored, range(stored.bands))], bands, said, (crs, transform))


def _attribute(hdf: Hdf, place: str, name: str) -> float:
    """A number among the attributes of an array or a group, as GDAL joins their names."""
    return float(hdf.attribute(f"{place.replace('/', '_')}_{name}")[0])


def _divisor(hdf: Hdf, cube: str) -> float:
    """What stored values are divided by."""
    found = _attribute(hdf, cube, "Scale_Factor")
    if found <= 0:
        raise InputError(
            f"Scale_Factor of {hdf.path}", got=f"{found:g}", expected="a number above 0"
        )
    return found


def _bands(hdf: Hdf, group: str, n: int, source: str) -> Bands:
    """The bands; those in the windows of water vapour are bad."""
    columns: dict[str, Floats] = {}
    for name in ("Wavelength", "FWHM"):
        try:
            columns[name] = hdf.values(f"{group}/Metadata/Spectral_Data/{name}")
        except InputError:
            if name == "Wavelength":
                raise
            columns[name] = np.full(n, np.nan)
        if len(columns[name]) != n:
            raise MismatchError(
                f"{name} of {hdf.path} does not fit its cube",
                got=f"{len(columns[name])} numbers",
                expected=f"{n}, one per band",
            )
    key = f"{group}/Metadata/Spectral_Data/Wavelength_Units".replace("/", "_")
    unit = UNITS_NM.get(spelling(hdf.attributes.get(key, "nm")), 1.0)
    nm = columns["Wavelength"] * unit
    reason = [""] * n
    for name in WINDOWS:
        low, high = _window(hdf, f"{group}/{name}".replace("/", "_"))
        said = f"in a water window, {low:g} to {high:g} nm ({name})"
        reason = [said if low <= x <= high else r for x, r in zip(nm, reason, strict=True)]
    return Bands.of(
        [f"b{i}" for i in range(1, n + 1)],
        source=source,
        wavelength_nm=nm,
        fwhm_nm=columns["FWHM"] * unit,
        reason=reason,
    )


def _window(hdf: Hdf, key: str) -> tuple[float, float]:
    """The ends of a window of bands; none where the file does not tell it."""
    if key not in hdf.attributes:
        return np.inf, -np.inf
    ends = hdf.attribute(key)
    return float(ends.min()), float(ends.max())


def _place(hdf: Hdf, group: str) -> tuple[CRS | None, Affine, tuple[str, ...]]:
    """The CRS and the transform by the texts of the file, and what is said of them."""
    texts = texts_of(hdf.path, [f"{group}/{name}" for name in (EPSG, WKT, MAP)])
    epsg, wkt, info = (texts.get(f"{group}/{name}", "") for name in (EPSG, WKT, MAP))
    transform = _transform(info)
    if transform is None:
        said = f"its Map_Info ({info[:60] or 'none'}) is not understood: it has no place"
        return None, Affine.identity(), (said,)
    crs = _crs(epsg, wkt)
    unknown = f"its EPSG Code ({epsg[:20] or 'none'}) names no CRS: it has none"
    return crs, transform, () if crs else (unknown,)


def _crs(epsg: str, wkt: str) -> CRS | None:
    """The CRS of a code, or of a text where the code is none. NEON's Proj4 is not used: that of
    flight lines has blanks behind its equals signs."""
    code = number(epsg.upper().removeprefix("EPSG:"))
    with rasterio.Env(**CACHE):
        for text in ([f"EPSG:{code:.0f}"] if np.isfinite(code) else []) + [wkt]:
            try:
                found = CRS.from_string(text) if text else None
            except CRSError:
                continue
            if found:
                return found
    return None


def _transform(text: str) -> Affine | None:
    """The transform of a grid along the axes, by ENVI's map info; None for others.

    >>> _transform("UTM, 1.000, 1.000, 368000.00, 4307000.0, 1.0, 1.0, 18, North, WGS-84")[:6]
    (1.0, 0.0, 368000.0, 0.0, -1.0, 4307000.0)
    """
    items = [item.strip() for item in text.split(",")]
    numbers = [number(item) for item in items[1:7]]
    turned = [number(i.partition("=")[2]) for i in items if i.lower().startswith("rotation")]
    if len(numbers) < 6 or not np.isfinite(numbers).all() or any(a != 0 for a in turned):
        return None
    col, row, east, north, width, height = numbers
    if width <= 0 or height <= 0:
        return None
    return Affine(width, 0, east - (col - 1) * width, 0, -height, north + (row - 1) * height)


NEON = Product(
    Format(
        "NEON AOP reflectance",
        "the .h5 file of a flight line or a tile",
        "rows, columns and bands put in order, wavelengths, FWHM, scale, fill, CRS; bands in the "
        "two water windows are bad",
        PUBLISHED,
    ),
    recognises,
    open_,
)
