"""STAC: what the STAC item of an image says of its bands, in a JSON file beside it.

The asset of the image has ``eo:bands`` (``center_wavelength``, ``full_width_half_max`` in µm) and
``raster:bands`` (``scale``, ``offset``, ``nodata``), each one entry a band in the image's order
(STAC 1.0 with the Electro-Optical extension 1.1 and the Raster extension 1.1); or ``bands`` with
``eo:center_wavelength``, ``eo:full_width_half_max``, ``raster:scale``, ``raster:offset`` and
``nodata``, which the asset may say once for all bands (STAC 1.1)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bandfuse.errors import InputError, MismatchError
from bandfuse.files.textfile import bytes_of, readable
from bandfuse.raster.products.files import LARGEST
from bandfuse.spectral.bands import Floats
from bandfuse.spectral.headers import Stated
from bandfuse.spectral.units import number

KEYS = {
    "wavelength": ("eo:center_wavelength", "center_wavelength"),
    "fwhm": ("eo:full_width_half_max", "full_width_half_max"),
    "scale": ("raster:scale", "scale"),
    "offset": ("raster:offset", "offset"),
    "nodata": ("nodata",),
}
"""What is read of a band, under the names of STAC 1.1 and 1.0."""

LISTS = ("bands", "eo:bands", "raster:bands")
"""The lists of an asset with one entry a band."""


@dataclass(frozen=True, eq=False)
class ItemBands:
    """What an item says of the B bands of an image: wavelengths and widths; ``scale``, ``offset``
    and ``nodata`` (B,), NaN where it says none."""

    stated: Stated
    scale: Floats
    offset: Floats
    nodata: Floats

    @property
    def placed(self) -> bool:
        """Whether it says any wavelength."""
        return bool(np.isfinite(self.stated.wavelength).any())


def parse_item(data: bytes, where: str) -> Mapping[str, Any] | None:
    """The assets of a STAC item; None for other JSON.

    Raises
    ------
    InputError : the text is no JSON.
    """
    try:
        found = json.loads(readable(data))
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{where} is not complete JSON", got=str(error), expected="a STAC item"
        ) from error
    if not isinstance(found, dict) or "stac_version" not in found:
        return None
    assets = found.get("assets")
    return assets if isinstance(assets, dict) else None


def bands_of(assets: Mapping[str, Any], image: str, count: int, where: str) -> ItemBands | None:
    """What the asset of an image says of its bands; None where none is the image's.

    ``image``: the name of the image's file: the asset is the one whose ``href`` ends in it, else
    the only one that says wavelengths. ``where``: the item, as messages name it.

    Raises
    ------
    MismatchError : it says something of another number of bands.
    """
    asset = _asset_of(assets, image)
    if asset is None:
        return None
    for key in LISTS:
        length = len(_rows(asset, key))
        if length not in (0, count):
            raise MismatchError(
                f"{where} does not fit {image}",
                got=f"{length} entries of {key}",
                expected=f"{count}, one per band",
            )
    columns = {key: np.full(count, np.nan) for key in KEYS}
    for key in ("", *reversed(LISTS)):
        for i, band in enumerate(_rows(asset, key) if key else [asset] * count):
            for column, names in KEYS.items():
                said = next((number(str(band[n])) for n in names if n in band), np.nan)
                if np.isfinite(said):
                    columns[column][i] = said
    unsaid = np.full(count, np.nan)
    stated = Stated(where, columns["wavelength"], columns["fwhm"], unsaid, "Micrometers")
    return ItemBands(stated, columns["scale"], columns["offset"], columns["nodata"])


def beside(path: str, count: int) -> tuple[str, ItemBands | None, str] | None:
    """The STAC item beside a file, of its name with the ending ``.json``, what it says of so many
    bands, and why it is not used, if so; None where there is none that is of the file."""
    place = Path(path)
    endings = (place.with_suffix(".json"), place.with_suffix(".JSON"), Path(f"{path}.json"))
    for item in endings if place.is_file() else ():
        if not item.is_file() or item == place:
            continue
        try:
            assets = parse_item(bytes_of(item, "a STAC item", LARGEST), str(item))
            said = assets and bands_of(assets, place.name, count, f"the STAC item {item.name}")
        except MismatchError as error:
            return str(item), None, f"{error.what}: it has {error.got}, and is not used"
        except InputError:
            continue  # Files of this name need be no STAC items.
        if said and said.placed:
            return str(item), said, ""
    return None


def _asset_of(assets: Mapping[str, Any], image: str) -> Mapping[str, Any] | None:
    """The asset of an image."""
    every = [asset for asset in assets.values() if isinstance(asset, dict)]
    spectral = [a for a in every if any(_says(row) for key in LISTS for row in _rows(a, key))]
    named = [a for a in every if _named(a.get("href")).lower() == image.lower()]
    found = [a for a in spectral if a in named] or named or (spectral if len(spectral) == 1 else [])
    return found[0] if found else None


def _named(href: object) -> str:
    """The name of the file at the end of an address."""
    return str(href or "").partition("?")[0].replace("\\", "/").rsplit("/", 1)[-1]


def _rows(asset: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    """The entries of a list of an asset; none where it is no list of objects."""
    found = asset.get(key)
    good = isinstance(found, list) and all(isinstance(row, dict) for row in found)
    return list(found) if good and found else []


def _says(band: Mapping[str, Any]) -> bool:
    """Whether an entry says a wavelength."""
    return any(np.isfinite(number(str(band[n]))) for n in KEYS["wavelength"] if n in band)
