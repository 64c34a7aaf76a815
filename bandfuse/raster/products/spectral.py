"""Spectral image: the GeoTIFF that DLR's products (EnMAP, DESIS) have under the name ``…-SPECTRAL_IMAGE.TIF``."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from bandfuse.bands import Bands, Floats
from bandfuse.errors import MismatchError
from bandfuse.raster.describe import Piece, Raster, describe
from bandfuse.raster.products.files import Files, files_of

IMAGE = r"(?:.*[-_])?SPECTRAL_IMAGE(?:_COG)?\.tiff?"
HEADER = r"(?:.*[-_])?SPECTRAL_IMAGE\.hdr"
METADATA = r"(?:.*[-_])?METADATA\.xml"
NODATA = -32768.0
"""What pixels without data hold where the image does not declare it."""


def parts_of(path: str, header: str) -> Files | None:
    """The files of the product that a path belongs to: its folder, its archive, or one of its files. None for others.

    ``header``: the pattern of the file that tells what the image holds. An image by itself is an ordinary raster.
    """
    name = path.rstrip("/").rsplit("/", 1)[-1]
    one = any(re.fullmatch(pattern, name, re.I) for pattern in (IMAGE, HEADER, METADATA))
    if not (one or name.lower().endswith(".zip") or Path(path).is_dir()):
        return None
    found = files_of(path)
    if found is None:
        return None
    files, given = found
    if given:
        stem = re.split("SPECTRAL_IMAGE|METADATA", given, flags=re.I)[0].lower()
        files = replace(files, names=tuple(n for n in files.names if n.lower().startswith(stem)))
        return files if files.like(IMAGE) and files.like(header) else None
    return files if files.like(IMAGE) else None


def image_of(path: str, files: Files, product: str, bands: Bands, scale: Floats, offset: Floats, meta: str) -> Raster:
    """The image with what its metadata say of its bands.

    Raises
    ------
    MismatchError : another number of bands.
    """
    name = files.one(IMAGE, "spectral image")
    image = describe(files.gdal(name), bands.source[0] if len(bands) else "scene")
    if len(image.bands) != len(bands):
        raise MismatchError(
            f"{files.gdal(meta)} does not fit its image", got=f"{len(bands)} bands",
            expected=f"the {len(image.bands)} bands of {name}",
        )  # fmt: skip
    return replace(
        image,
        path=path,
        product=product,
        bands=bands,
        scale=scale,
        offset=offset,
        nodata=np.where(np.isnan(image.nodata), NODATA, image.nodata),
        messages=(),
        files=tuple(dict.fromkeys([*image.files, files.local(name), files.local(meta)])),
        pieces=(Piece(files.gdal(name), tuple(range(1, len(bands) + 1))),),
    )
