"""Band tags: what a new raster says of its bands."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from rasterio.enums import ColorInterp

from bandfuse.spectral.bands import Bands
from bandfuse.spectral.colours import colours


def band_tags(bands: Bands) -> list[dict[str, str]]:
    """The tags of each band: wavelength and FWHM in nm at full precision, the good-band flag."""
    rows = []
    for i in range(len(bands)):
        tags = {"bbl": "1" if bands.good[i] else "0"}
        for column in ("wavelength", "fwhm"):
            value = float(getattr(bands, f"{column}_nm")[i])
            if np.isfinite(value):
                tags |= {column: repr(value), "wavelength_units": "Nanometers"}
        rows.append(tags)
    return rows


def colour_of(bands: Bands) -> list[ColorInterp]:
    """What each band shows. Without any colour the first is grey, as GDAL has it."""
    found = [ColorInterp[name] for name in colours(bands)]
    plain = all(one is ColorInterp.undefined for one in found)
    return [ColorInterp.gray, *found[1:]] if plain else found


def plain_names(bands: Bands) -> list[str]:
    """Names without commas and braces, which would break a list in one text."""
    return [name.translate(str.maketrans(",{}\n", ";() ")) for name in bands.name]


def number_lists(bands: Bands) -> dict[str, list[str]]:
    """Wavelengths and FWHM in nm, one number a band, ``nan`` where unknown; none if all are."""
    columns = {"wavelength": bands.wavelength_nm, "fwhm": bands.fwhm_nm}
    return {
        key: [repr(float(v)) for v in column]
        for key, column in columns.items()
        if np.isfinite(column).any()
    }


def imagery_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """The same for GDAL's IMAGERY domain, in µm."""
    names = (("wavelength", "CENTRAL_WAVELENGTH_UM"), ("fwhm", "FWHM_UM"))
    return {key: f"{float(tags[name]) / 1000:.6f}" for name, key in names if name in tags}
