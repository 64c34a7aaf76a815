"""Wyvern: radiance (L1B) and surface reflectance (L2A) of the Dragonette satellites: a GeoTIFF with
its STAC item beside it.

``wyvern_<platform>_<time>_<id>[_<level>].tiff``, without a level until version 2.0, when all was
L1B; masks lie beside it under longer names. Wavelengths and FWHM stand in the tags of newer images
(nm) and in the item's ``eo:bands`` (µm); the oldest have them in the names of bands alone
(``Band_503``). L1B is float32 radiance in W/(m² sr µm). L2A is uint16, and the item's
``raster:bands`` alone say its scale (Wyvern Data Product Guide, versions 1.5 and 2.0,
guide.wyvern.space; opengeos/HyperCoast ``wyvern.py``)."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from bandfuse.errors import InputError
from bandfuse.raster.describe import Raster, SourceImage, describe
from bandfuse.raster.products.files import Files, is_archive
from bandfuse.raster.products.given import Given
from bandfuse.raster.products.names import product_in
from bandfuse.raster.products.product import PUBLISHED, Format, Product
from bandfuse.raster.products.stac import ItemBands, bands_of, parse_item
from bandfuse.spectral.bands import Bands, Floats
from bandfuse.spectral.headers import Stated
from bandfuse.spectral.metadata import RasterTags, band_table
from bandfuse.spectral.remarks import Remark

_STEM = r"wyvern_dragonette-\d+_\d{8}T\d{6}_[0-9a-f]{8}(?:_l\d\w)?"
IMAGE = rf"{_STEM}\.tiff?"
ITEM = rf"{_STEM}\.json"


def recognises(given: Given) -> bool:
    """An image or an item of Wyvern's names, an archive with an image, or a folder with one and no
    other images but its masks."""
    files = _parts(given)
    if files is None:
        return False
    images = files.like(IMAGE)
    if not given.folder:
        return bool(images or files.like(ITEM))
    stem = images[0].rpartition(".")[0].lower() if images else ""
    rasters = [n.lower() for n in files.like(r".*\.tiff?")]
    return len(images) == 1 and all(name.startswith(stem) for name in rasters)


def _parts(given: Given) -> Files | None:
    """The files of the product that a path may belong to; None for others."""
    one = re.fullmatch(IMAGE, given.name, re.I) or re.fullmatch(ITEM, given.name, re.I)
    if not (one or is_archive(given.name) or given.folder) or given.files is None:
        return None
    files, own = given.files
    if not own:
        return files
    stem = own.rpartition(".")[0].lower()
    return replace(
        files, names=tuple(n for n in files.names if n.rpartition(".")[0].lower() == stem)
    )


def open_(given: Given, source: str) -> Raster:
    """The image, with what its tags and its item say of its bands.

    Raises
    ------
    InputError : no image, several, or an item that is damaged or of another image.
    MismatchError : an item of another number of bands.
    """
    files = _parts(given)
    assert files is not None
    name = files.one(IMAGE, "Wyvern image")
    image = describe(files.gdal(name), source)
    item = files.find(f"{name.rpartition('.')[0]}.json")
    said = None if item is None else _item_of(files, item, name, len(image.bands))
    bands, messages = _bands(image, said, source)
    product = product_in([name])
    if said is None and product.endswith("L2A"):
        messages.append(
            "there is no STAC item beside it, which would say its scale: values are read as they "
            "are stored (Wyvern usually stores reflectance times 10000)"
        )
    read = (name,) if item is None else (name, item)
    return replace(
        image,
        path=given.path,
        product=product,
        bands=bands,
        scale=_or(image.scale, 1.0, None if said is None else said.scale),
        offset=_or(image.offset, 0.0, None if said is None else said.offset),
        nodata=_or(image.nodata, np.nan, None if said is None else said.nodata),
        messages=(*image.messages, *messages),
        files=tuple(dict.fromkeys([*image.files, *(files.local(n) for n in read)])),
        pieces=(SourceImage(files.gdal(name), tuple(range(1, len(bands) + 1))),),
    )


def _item_of(files: Files, item: str, name: str, count: int) -> ItemBands:
    """What the item says of the bands of the image."""
    where = files.gdal(item)
    assets = parse_item(files.read(item), where)
    image = name.rsplit("/", 1)[-1]
    said = None if assets is None else bands_of(assets, image, count, where)
    if said is None:
        raise InputError(
            f"{where} says nothing of {image}",
            got="no STAC item" if assets is None else f"assets {', '.join(assets) or 'none'}"[:200],
            expected="the STAC item that Wyvern delivers with it",
        )
    return said


def _bands(image: Raster, said: ItemBands | None, source: str) -> tuple[Bands, list[str]]:
    """The bands by the first that says their wavelengths: the tags of the image, the item, the
    names of the bands."""
    own = image.bands
    if np.isfinite(own.wavelength_nm).any():
        return own, []
    nothing: list[dict[str, str]] = [{} for _ in own.name]
    named = _by_names(own.name)
    stated = ([said.stated] if said is not None and said.placed else []) + (
        [named] if named else []
    )
    reasons = {i: reason for i, reason in enumerate(own.reason) if reason}
    bands, messages = band_table(
        RasterTags(own.name, nothing, nothing), source, reasons, stated=stated
    )
    if stated and stated[0] is named:
        messages.append(Remark("wavelengths-in-names", "wavelengths come from the band names"))
    return bands, messages


def _by_names(names: tuple[str, ...]) -> Stated | None:
    """The wavelengths in names as ``Band_503``, in nm."""
    found = [re.fullmatch(r"[A-Za-z]+_(\d{3,4}(?:\.\d+)?)", name) for name in names]
    numbers = [float(match[1]) for match in found if match]
    unsaid = np.full(len(names), np.nan)
    whole = len(numbers) == len(names)
    return Stated("the band names", np.array(numbers), unsaid, unsaid, "nm") if whole else None


def _or(own: Floats, unsaid: float, said: Floats | None) -> Floats:
    """(B,) the image's own numbers, the item's where the image says none."""
    if said is None:
        return own
    silent = np.isnan(own) if np.isnan(unsaid) else own == unsaid
    return np.where(silent & np.isfinite(said), said, own)


WYVERN = Product(
    Format(
        "Wyvern Dragonette L1B, L2A",
        "the folder, a zip or tar archive, the .tiff or its .json",
        "wavelengths and FWHM of its tags, its STAC item or its band names; the item's scale, "
        "offset and nodata",
        PUBLISHED,
    ),
    recognises,
    open_,
)
