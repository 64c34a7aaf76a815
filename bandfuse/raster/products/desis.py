"""DESIS: L2A reflectance, a GeoTIFF with an ENVI header beside it that GDAL does not look at (L1C
is alike).

``wavelength``, ``fwhm``, ``data gain values``, ``data offset values`` and ``bbl`` of
``…-SPECTRAL_IMAGE.hdr``; nm unless it says otherwise. Where it lacks, as in what DLR's Geoservice
serves: ``specific/bandCharacterisation/band``
``/{wavelengthCenterOfBand,wavelengthWidthOfBand,gainOfBand,offsetOfBand}`` of ``…-METADATA.xml``.
value = DN · gain + offset (DESIS Products Specification, DLR).

L2A has quality layers in ``…-QL_QUALITY-2.tif``, whose bands are 1 where they apply: 1 shadow, 2
land, 3 snow, 4 haze over land, 5 haze over water, 6 cloud over land, 7 cloud over water, 8 water;
then aerosol and water vapour. ``…-QL_QUALITY.tif`` speaks of single values, and leaves out no
pixel."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bandfuse.errors import InputError
from bandfuse.raster.describe import Raster
from bandfuse.raster.products.files import Files
from bandfuse.raster.products.given import Given
from bandfuse.raster.products.layers import beside, layer_in
from bandfuse.raster.products.names import product_in
from bandfuse.raster.products.product import Format, Product
from bandfuse.raster.products.spectral import (
    HEADER,
    METADATA,
    background_of,
    columns_of,
    has_header,
    image_of,
    is_desis,
    parts_of,
)
from bandfuse.spectral.bands import Bands, Floats
from bandfuse.spectral.headers import envi_numbers, parse_header
from bandfuse.spectral.units import UNITS_NM, number, spelling

BANDS = "{*}specific/{*}bandCharacterisation/{*}band"
COLUMNS = ("wavelengthCenterOfBand", "wavelengthWidthOfBand", "gainOfBand", "offsetOfBand")
LAYERS = (
    (6, "cloud"),
    (7, "cloud"),
    (1, "shadow"),
    (4, "haze"),
    (5, "haze"),
    (3, "snow"),
    (8, "water"),
)
"""Bands of ``QL_QUALITY-2``, and the reasons that they say."""


def recognises(given: Given) -> bool:
    """A spectral image with a header or DESIS's metadata beside it, or its folder or archive."""
    files = parts_of(given, HEADER)
    if files is not None and has_header(files):
        return True
    files = parts_of(given, METADATA)
    return files is not None and is_desis(files)


def open_(given: Given, source: str) -> Raster:
    """The image with the wavelengths and gains of its header, or of its metadata.

    Raises
    ------
    InputError : a list is missing.
    MismatchError : a header of another number of bands.
    """
    files = parts_of(given, HEADER)
    if files is None or not has_header(files):
        return _by_metadata(given, source)
    name = files.one(HEADER, "SPECTRAL_IMAGE.hdr")
    text = files.read(name).decode("latin-1")
    entries = parse_header(text)
    nm = _numbers(entries, "wavelength", files.gdal(name))
    others = {
        key: _numbers(entries, key, files.gdal(name), len(nm))
        for key in ("fwhm", "data_gain_values", "data_offset_values")
    }
    unit = UNITS_NM.get(spelling(entries.get("wavelength_units", "nm")), 1.0)
    flags = envi_numbers(entries.get("bbl"), len(nm))
    bad = [bool(f == 0) for f in flags] if len(flags) == len(nm) else [False] * len(nm)
    bands = Bands.of(
        [f"b{i}" for i in range(1, len(nm) + 1)],
        source=source,
        wavelength_nm=nm * unit,
        fwhm_nm=others["fwhm"] * unit,
        reason=["flagged bad (bbl)" if b else "" for b in bad],
    )
    gain, offset = others["data_gain_values"], others["data_offset_values"]
    return _flagged(
        image_of(given.path, files, _called(files, ""), bands, gain, offset, name), files
    )


def _flagged(image: Raster, files: Files) -> Raster:
    """The image with its quality layers."""
    name = beside(files, "QL_QUALITY-2")
    if name is None:
        return replace(image, no_quality="…-QL_QUALITY-2.tif is not beside it")
    layers = tuple(layer_in(files, name, reason, (1,), band) for band, reason in LAYERS)
    more = tuple(dict.fromkeys([*image.files, files.local(name)]))
    return replace(image, quality=layers, files=more)


def _by_metadata(given: Given, source: str) -> Raster:
    """The image with what its XML says of its bands."""
    files = parts_of(given, METADATA)
    assert files is not None
    meta = files.one(METADATA, "METADATA.xml")
    root = files.xml(meta)
    rows = sorted(root.findall(BANDS), key=lambda e: number(e.findtext("{*}bandNumber")))
    nm, width, gain, offset = columns_of(rows, COLUMNS, files.gdal(meta), "a DESIS")
    names = [f"b{i}" for i in range(1, len(rows) + 1)]
    bands = Bands.of(names, source=source, wavelength_nm=nm, fwhm_nm=width)
    level = (root.findtext("{*}base/{*}level") or "").strip()
    product = _called(files, level)
    fill = background_of(root)
    return _flagged(image_of(given.path, files, product, bands, gain, offset, meta, fill), files)


def _called(files: Files, level: str) -> str:
    """The product with its level, as its metadata or the names of its files tell it."""
    told = product_in(files.names)
    return f"DESIS {level}" if level else told if told.startswith("DESIS") else "DESIS"


def _numbers(entries: dict[str, str], key: str, place: str, count: int = 0) -> Floats:
    """A list of the header, of this many numbers."""
    found = envi_numbers(entries.get(key), count)
    if not len(found) or not np.isfinite(found).all() or (count and len(found) != count):
        raise InputError(
            f"{place} cannot be understood",
            got=f"{len(found)} {key.replace('_', ' ')}",
            expected=f"{count or 'a list of'} numbers",
        )
    return found


DESIS = Product(
    Format(
        "DESIS L2A, L1C",
        "the folder, a zip or tar archive, …-SPECTRAL_IMAGE.tif, its .hdr, or …-METADATA.xml",
        "wavelengths, FWHM, gain and offset, flagged bands, nodata; quality layers of L2A",
    ),
    recognises,
    open_,
)
