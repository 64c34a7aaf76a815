"""Nodata: the values that a user declares to mean missing."""

from __future__ import annotations

import math

import numpy as np

from bandfuse.errors import ConfigError
from bandfuse.raster.describe import Raster


def declared(raster: Raster, text: str, flag: str = "--nodata") -> Raster:
    """A raster with the nodata of a user in place of its own.

    Parameters
    ----------
    text : one stored value for all bands, or one per band between commas; ``none``: no value means
        missing.

    Raises
    ------
    ConfigError : no numbers, another number of them than bands, or a value that the bands' type
        cannot hold."""
    values = [_value(word.strip(), flag) for word in text.split(",")]
    n = len(raster.bands)
    if len(values) not in (1, n):
        raise ConfigError(
            f"{flag} does not fit {raster.path}",
            got=f"{len(values)} values",
            expected="one for all bands" + (f", or {n}" if n > 1 else ""),
        )
    values = values * n if len(values) == 1 else values
    for value, dtype in zip(values, raster.dtypes, strict=True):
        kind = np.dtype(dtype)
        if value is None or kind.kind not in "iu":
            continue
        info = np.iinfo(kind)
        if not (info.min <= value <= info.max and value == int(value)):
            raise ConfigError(
                f"{flag} does not fit {raster.path}",
                got=f"{value}",
                expected=f"a whole number from {info.min} to {info.max}, as {dtype} holds",
            )
    wide = [np.dtype(d).kind in "iu" and np.dtype(d).itemsize == 8 for d in raster.dtypes]
    return raster.declaring(
        [
            None if v is None else int(v) if w else float(v)
            for v, w in zip(values, wide, strict=True)
        ]
    )


def _value(word: str, flag: str) -> int | float | None:
    """A whole number with all its digits, or a number; None for ``none`` and NaN, which is missing
    anyway."""
    if word.lower() == "none":
        return None
    try:
        return int(word)
    except ValueError:
        pass
    try:
        value = float(word)
    except ValueError as error:
        raise ConfigError(
            flag, got=repr(word), expected="a number, numbers between commas, or none"
        ) from error
    return None if math.isnan(value) else value
