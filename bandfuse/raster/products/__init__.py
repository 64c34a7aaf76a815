"""Products: what people hold, each opened as one cube by what they give. One file per product.

A new product is a file with a :class:`Product` and a line in :data:`PRODUCTS`.
"""

from __future__ import annotations

from pathlib import Path

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

__all__ = ["FORMATS", "PRODUCTS", "Format", "Product", "describe"]

PRODUCTS: tuple[Product, ...] = (EMIT, PRISMA, ENMAP, DESIS, SENTINEL2)
"""The readers, in the order in which they are asked."""

FORMATS: tuple[Format, ...] = (*PLAIN, *(p.format for p in PRODUCTS))
"""All that can be opened."""


def describe(path: str | Path, source: str = "scene") -> Raster:
    """Read what a file or a product says of itself.

    Raises
    ------
    InputError : missing, not a raster, no bands, complex numbers, shorter than its header says; or no whole product.
    """
    path = str(path)
    product = next((p for p in PRODUCTS if p.recognises(path)), None)
    return describe_file(data_file(path), source) if product is None else product.open(path, source)
