"""Products: what people hold, each opened as one cube by what they give. One file per product.

A new product is a file with a :class:`Product` and a line in :data:`PRODUCTS`.

Each file is built on those before it::

    product      a kind of file or folder that is opened as one cube
    files        where the parts of a product are found: a folder or a zip archive
    hdf          HDF5 and netCDF-4 files, through GDAL
    spectral     the GeoTIFF that EnMAP and DESIS share
    plain        files that GDAL opens as they are
    desis        DESIS L1C and L2A
    emit         EMIT L1B and L2A
    enmap        EnMAP L1C and L2A
    prisma       PRISMA L2D
    sentinel2    Sentinel-2 L2A
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from bandfuse.errors import InputError
from bandfuse.raster.describe import Raster
from bandfuse.raster.describe import describe as describe_file
from bandfuse.raster.header_files import given_table
from bandfuse.raster.products.desis import DESIS
from bandfuse.raster.products.emit import EMIT
from bandfuse.raster.products.enmap import ENMAP
from bandfuse.raster.products.plain import FORMATS as PLAIN
from bandfuse.raster.products.plain import data_file
from bandfuse.raster.products.prisma import PRISMA
from bandfuse.raster.products.product import Format, Product
from bandfuse.raster.products.sentinel2 import SENTINEL2
from bandfuse.spectral.headers import Stated, envi_list, parse_header
from bandfuse.spectral.metadata import RasterTags, band_table

__all__ = [
    "FORMATS",
    "PRODUCTS",
    "Describe",
    "Format",
    "Product",
    "describe",
    "is_product",
    "nearly",
]

Describe = Callable[..., Raster]
"""Describes files as :func:`describe` does. One with a memory opens each file once."""

PRODUCTS: tuple[Product, ...] = (EMIT, PRISMA, ENMAP, DESIS, SENTINEL2)
"""The readers, in the order in which they are asked."""

FORMATS: tuple[Format, ...] = (*PLAIN, *(p.format for p in PRODUCTS))
"""All that can be opened."""


MOST_FOLDERS = 100
"""Folders below a folder that are looked into for a product."""


def is_product(path: str) -> bool:
    """Whether a file or a folder is a product that is opened as one cube."""
    return any(p.recognises(path) for p in PRODUCTS)


def describe(
    path: str | Path, source: str = "scene", wavelengths: str | Path | None = None
) -> Raster:
    """Read what a file or a product says of itself; ``wavelengths`` names a file that says more of
    its bands, and comes first.

    Raises
    ------
    InputError : missing, not a raster, no bands, complex numbers, shorter than its header says; or
        no whole product."""
    path = str(path)
    product = next((p for p in PRODUCTS if p.recognises(path)), None)
    if product is None:
        data = data_file(path)
        try:
            found = describe_file(data, source, wavelengths)
        except InputError as error:
            why = nearly(path)
            if why is None:
                raise
            raise why from error
        if wavelengths is None and data != path and found.driver != "ENVI":
            return _headed(found, path, source)
        return found
    found = product.open(path, source)
    return found if wavelengths is None else _told(found, wavelengths)


ARCHIVE = "an archive"

LIKE = {
    r"MTD_MSIL1C\.xml": ("Sentinel-2 Level-1C", "Level-2A (Sen2Cor makes it)"),
    r"(?:.*[-_])?SPECTRAL_IMAGE_(?:VNIR|SWIR)\.\w+": (
        "EnMAP L1B: an image of each detector",
        "L1C or L2A",
    ),
    r".*\.(?:tar|tgz|tar\.gz|tar\.bz2|7z|rar)": (
        ARCHIVE,
        "the files in it, or a zip archive of them",
    ),
}
"""Names of what is nearly a product: what it is, and what is expected."""


def nearly(path: str) -> InputError | None:
    """Why a path that GDAL does not open is no product, though it looks like one or holds one in a
    folder below; None where nothing is known."""
    place = Path(path)
    try:
        names = [place.name, *([p.name for p in place.iterdir()] if place.is_dir() else [])]
        below = [
            p
            for pattern in ("*", "*/*")
            for p in sorted(place.glob(pattern))
            if place.is_dir() and p.is_dir()
        ]
        product = next(
            (str(p) for p in below[:MOST_FOLDERS] if any(q.recognises(str(p)) for q in PRODUCTS)),
            None,
        )
    except OSError:
        return None
    if product is not None:
        return InputError(
            f"{path} is a folder around a product",
            expected="the product itself",
            remedy=f"Give {product}.",
        )
    for pattern, (what, expected) in LIKE.items():
        if any(re.fullmatch(pattern, name, re.I) for name in names):
            return InputError(f"{path} cannot be read", got=what, expected=expected)
    return None


def _headed(found: Raster, header: str, source: str) -> Raster:
    """A file of another driver than ENVI's, given by the ENVI header beside it, with the
    wavelengths of that."""
    entries = parse_header(Path(header).read_text(encoding="utf-8", errors="replace"))
    if len(envi_list(entries.get("wavelength"))) == len(found.bands):
        return describe_file(found.path, source, header)
    text = (
        f"{Path(header).name} has no wavelengths for its {len(found.bands)} bands, and is not used"
    )
    return replace(found, messages=(*found.messages, text))


def _told(raster: Raster, wavelengths: str | Path) -> Raster:
    """A product whose bands a file of the user says more of."""
    own = raster.bands
    nothing: list[dict[str, str]] = [{} for _ in own.name]
    unsaid = np.full(len(own), np.nan)
    product = Stated(raster.product, own.wavelength_nm, own.fwhm_nm, unsaid, "Nanometers")
    stated = [given_table(wavelengths, len(own), raster.path), product]
    reasons = {i: reason for i, reason in enumerate(own.reason) if reason}
    bands, messages = band_table(
        RasterTags(own.name, nothing, nothing), own.source[0], reasons, stated=stated
    )
    return replace(
        raster,
        bands=bands,
        messages=(*raster.messages, *messages),
        files=(*raster.files, str(wavelengths)),
    )
