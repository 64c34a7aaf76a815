"""Product: a kind of file or folder that is opened as one cube."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bandfuse.raster.describe import Raster
from bandfuse.raster.products.given import Given

METADATA_OF = "true metadata of products, with made-up pixels"
METADATA_OF_NEW = (
    "true metadata of products, with made-up pixels; of before baseline 02.07 synthetic manifests"
)
ATTRIBUTES_OF = "the attributes of a real product, with made-up pixels"
WRITER_OF = "the layout of the mission's own writer, with made-up pixels"
PUBLISHED = "files of the published structure, made for the tests"
SYNTHETIC = "synthetic files of the published structure"
"""What a reader is proven on that no real file was at hand for."""


@dataclass(frozen=True)
class Format:
    """What people hold: its name, what they give, what is understood of it, and what that is proven
    on."""

    name: str
    give: str
    understood: str
    proven: str = SYNTHETIC


@dataclass(frozen=True)
class Product:
    """A reader: whether what is given is a product of its kind, and what it holds under the name
    of a source.

    ``open`` raises InputError where the product is not whole.
    """

    format: Format
    recognises: Callable[[Given], bool]
    open: Callable[[Given, str], Raster]
