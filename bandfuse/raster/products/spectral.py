"""Spectral image: what DLR's products (EnMAP, DESIS) have under the name ``…-SPECTRAL_IMAGE.TIF``,
or ``.BSQ``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from xml.etree.ElementTree import Element

import numpy as np

from bandfuse.errors import InputError, MismatchError
from bandfuse.raster.describe import Raster, SourceImage, describe
from bandfuse.raster.products.files import Files, is_archive
from bandfuse.raster.products.given import Given
from bandfuse.spectral.bands import Bands, Floats
from bandfuse.spectral.units import number

TIFF = r"(?:.*[-_])?SPECTRAL_IMAGE(?:_COG)?\.tiff?"
IMAGE = r"(?:.*[-_])?SPECTRAL_IMAGE(?:_COG)?\.(?:tiff?|bsq|bil|bip|jp2)"
"""EnMAP's come in all these forms, as the user orders them."""

DETECTOR = r"(?:.*[-_])?SPECTRAL_IMAGE_(VNIR|SWIR)(?:_COG)?\.(?:tiff?|bsq|bil|bip|jp2)"
"""EnMAP's L1B has an image of each detector."""

HEADER = r"(?:.*[-_])?SPECTRAL_IMAGE\.hdr"
METADATA = r"(?:.*[-_])?METADATA\.xml"
ENMAP = r"ENMAP.*METADATA\.xml"
DESIS = r"DESIS[-_].*METADATA\.xml"
NODATA = -32768.0
"""What pixels without data hold where neither the image nor its metadata say it."""


def parts_of(given: Given, header: str, image: str = IMAGE) -> Files | None:
    """The files of the product that is given: its folder, its archive, or one of its
    files. None for others.

    ``header``: the pattern of the file that tells what the ``image`` holds. An image by itself is
    an ordinary raster."""
    one = any(re.fullmatch(pattern, given.name, re.I) for pattern in (image, HEADER, METADATA))
    if not (one or is_archive(given.name) or given.folder) or given.files is None:
        return None
    files, own = given.files
    if own:
        stem = re.split("SPECTRAL_IMAGE|METADATA", own, flags=re.I)[0].lower()
        files = replace(files, names=tuple(n for n in files.names if n.lower().startswith(stem)))
        return files if files.like(image) and files.like(header) else None
    return files if files.like(image) else None


def has_header(files: Files) -> bool:
    """Whether a header beside a GeoTIFF tells of it, and no metadata of EnMAP's do; beside other
    images it is their own."""
    return bool(files.like(HEADER) and files.like(TIFF)) and not is_enmap(files)


def is_enmap(files: Files) -> bool:
    """Whether metadata are EnMAP's: by their name or their first element."""
    found = files.like(METADATA)
    return bool(files.like(ENMAP)) or (
        len(found) == 1 and b"<level_X" in files.read(found[0])[:2000]
    )


def is_desis(files: Files) -> bool:
    """Whether metadata are DESIS's: by their name or their first element."""
    found = files.like(METADATA)
    return bool(files.like(DESIS)) or (
        len(found) == 1 and b"<hsi_doc" in files.read(found[0])[:2000]
    )


def columns_of(
    rows: Sequence[Element], keys: Sequence[str], place: str, product: str
) -> list[Floats]:
    """Numbers of every band, by the names of the elements that hold them.

    Raises
    ------
    InputError : one is missing.
    """
    columns = [np.array([number(row.findtext(f"{{*}}{key}")) for row in rows]) for key in keys]
    for key, column in zip(keys, columns, strict=True):
        if not len(rows) or not np.isfinite(column).all():
            raise InputError(
                f"{place} cannot be understood",
                got=f"no {key} for every band" if len(rows) else "no bandCharacterisation",
                expected=f"the metadata of {product} product",
            )
    return columns


def background_of(root: Element) -> float:
    """What the metadata say that pixels without data hold."""
    told = number(root.findtext("{*}specific/{*}backgroundValue"))
    return told if np.isfinite(told) else NODATA


def image_of(
    path: str,
    files: Files,
    product: str,
    bands: Bands,
    scale: Floats,
    offset: Floats,
    meta: str,
    fill: float = NODATA,
    name: str = "",
) -> Raster:
    """The image with what its metadata say of its bands. ``fill`` is the nodata where the image
    declares none, if its type can hold it; ``name`` that of the image where it is not the only one.

    Raises
    ------
    MismatchError : another number of bands.
    """
    name = name or files.one(IMAGE, "spectral image")
    image = describe(files.gdal(name), bands.source[0] if len(bands) else "scene")
    if len(image.bands) != len(bands):
        raise MismatchError(
            f"{files.gdal(meta)} does not fit its image",
            got=f"{len(bands)} bands",
            expected=f"the {len(image.bands)} bands of {name}",
        )
    can = [fill == np.array(fill).astype(dtype, casting="unsafe") for dtype in image.dtypes]
    return replace(
        image,
        path=path,
        product=product,
        bands=bands,
        scale=scale,
        offset=offset,
        nodata=np.where(np.isnan(image.nodata) & can, fill, image.nodata),
        messages=(),
        files=tuple(dict.fromkeys([*image.files, files.local(name), files.local(meta)])),
        pieces=(SourceImage(files.gdal(name), tuple(range(1, len(bands) + 1))),),
    )
