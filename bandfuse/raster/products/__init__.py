"""Products: what people hold, each opened as one cube by what they give. One file per product.

A new product is a file with a :class:`Product` and a line in :data:`PRODUCTS`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from bandfuse.headers import Stated, envi_list, parse_header
from bandfuse.metadata import RasterTags, band_table
from bandfuse.raster.describe import Raster
from bandfuse.raster.describe import describe as describe_file
from bandfuse.raster.products.desis import DESIS
from bandfuse.raster.products.emit import EMIT
from bandfuse.raster.products.enmap import ENMAP
from bandfuse.raster.products.plain import FORMATS as PLAIN
from bandfuse.raster.products.plain import data_file
from bandfuse.raster.products.prisma import PRISMA
from bandfuse.raster.products.product import Format, Product
from bandfuse.raster.products.sentinel2 import SENTINEL2
from bandfuse.raster.texts import given_table

__all__ = ["FORMATS", "PRODUCTS", "Format", "Product", "describe"]

PRODUCTS: tuple[Product, ...] = (EMIT, PRISMA, ENMAP, DESIS, SENTINEL2)
"""The readers, in the order in which they are asked."""

FORMATS: tuple[Format, ...] = (*PLAIN, *(p.format for p in PRODUCTS))
"""All that can be opened."""


def describe(path: str | Path, source: str = "scene", wavelengths: str | Path | None = None) -> Raster:
    """Read what a file or a product says of itself; ``wavelengths`` names a file that says more of its bands, and comes
    first.

    Raises
    ------
    InputError : missing, not a raster, no bands, complex numbers, shorter than its header says; or no whole product.
    """
    path = str(path)
    product = next((p for p in PRODUCTS if p.recognises(path)), None)
    if product is None:
        data = data_file(path)
        found = describe_file(data, source, wavelengths)
        if wavelengths is None and data != path and found.driver != "ENVI":
            return _headed(found, path, source)
        return found
    found = product.open(path, source)
    return found if wavelengths is None else _told(found, wavelengths)


def _headed(found: Raster, header: str, source: str) -> Raster:
    """A file of another driver than ENVI's, given by the ENVI header beside it, with the wavelengths of that."""
    entries = parse_header(Path(header).read_text(encoding="utf-8", errors="replace"))
    if len(envi_list(entries.get("wavelength"))) == len(found.bands):
        return describe_file(found.path, source, header)
    text = f"{Path(header).name} has no wavelengths for its {len(found.bands)} bands, and is not used"
    return replace(found, messages=(*found.messages, text))


def _told(raster: Raster, wavelengths: str | Path) -> Raster:
    """A product whose bands a file of the user says more of."""
    own = raster.bands
    nothing: list[dict[str, str]] = [{} for _ in own.name]
    unsaid = np.full(len(own), np.nan)
    product = Stated(raster.product, own.wavelength_nm, own.fwhm_nm, unsaid, "Nanometers")
    stated = [given_table(wavelengths, len(own), raster.path), product]
    reasons = {i: reason for i, reason in enumerate(own.reason) if reason}
    bands, messages = band_table(RasterTags(own.name, nothing, nothing), own.source[0], reasons, stated=stated)
    return replace(raster, bands=bands, messages=(*raster.messages, *messages), files=(*raster.files, str(wavelengths)))
