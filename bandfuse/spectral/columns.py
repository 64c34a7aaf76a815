"""Columns: tables of bands and of their values as JSON holds them, in weights files and files of
moments."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from typing import Any

import numpy as np

from bandfuse.spectral.bands import Bands, Floats
from bandfuse.spectral.value_units import Values


def numbers_of(values: Iterable[float]) -> list[float | None]:
    """Numbers for JSON, None where they are not finite."""
    return [float(x) if np.isfinite(x) else None for x in values]


def floats_of(column: list[float | None]) -> Floats:
    """(n,) numbers from JSON, NaN for None."""
    return np.array([np.nan if v is None else v for v in column], dtype=np.float64)


def table_of(bands: Bands) -> dict[str, Any]:
    """A table of bands by column."""
    return {
        "name": list(bands.name),
        "source": list(bands.source),
        "index": [int(i) for i in bands.index],
        "wavelength_nm": numbers_of(bands.wavelength_nm),
        "fwhm_nm": numbers_of(bands.fwhm_nm),
        "reason": list(bands.reason),
    }


def bands_of(table: dict[str, Any]) -> Bands:
    """The table of bands that has these columns."""
    return Bands(
        tuple(map(str, table["name"])),
        tuple(map(str, table["source"])),
        tuple(map(int, table["index"])),
        floats_of(table["wavelength_nm"]),
        floats_of(table["fwhm_nm"]),
        tuple(map(str, table["reason"])),
    )


def columns_of(values: Values) -> dict[str, list[float | None]]:
    """The values of bands by column."""
    return {field.name: numbers_of(getattr(values, field.name)) for field in fields(values)}


def values_of(table: dict[str, Any]) -> Values:
    """The values of bands that have these columns."""
    return Values(**{field.name: floats_of(table[field.name]) for field in fields(Values)})
