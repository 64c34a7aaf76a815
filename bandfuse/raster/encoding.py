"""Encoding: how numbers are stored in a new raster, and what its type cannot hold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bandfuse.spectral.bands import Floats


@dataclass(frozen=True)
class Encoding:
    """How numbers are stored: ``stored = (value − offset) / scale``, rounded and clipped for
    integer types."""

    dtype: str = "float32"
    scale: float = 1.0
    offset: float = 0.0
    fill: float | None = None

    @property
    def nodata(self) -> float:
        """The fill that is given; else NaN for floats, the least number of signed and the largest
        of unsigned integers."""
        if self.fill is not None:
            return float(np.dtype(self.dtype).type(self.fill))
        kind = np.dtype(self.dtype)
        if kind.kind == "f":
            return float("nan")
        info = np.iinfo(kind)
        return float(info.min if kind.kind == "i" else info.max)

    def __call__(self, y: Floats) -> np.ndarray:
        """(K, n) float64 to the stored type; NaN becomes nodata."""
        kind = np.dtype(self.dtype)
        y = (y - self.offset) / self.scale if (self.scale, self.offset) != (1.0, 0.0) else y
        if kind.kind == "f":
            with np.errstate(over="ignore"):
                stored = y.astype(kind)
            return stored if self.fill is None else self._filled(stored, np.isnan(stored))
        low, high = self.limits
        missing = ~np.isfinite(y)
        stored = np.clip(np.rint(np.where(missing, 0, y)), low, high)
        if self.fill is not None:
            stored = np.where(stored == self.nodata, stored + 1, stored)
        return np.where(missing, self.nodata, stored).astype(kind)

    def _filled(self, stored: np.ndarray, missing: np.ndarray) -> np.ndarray:
        """Floats with the fill where they are missing; a value that is the fill itself moves to the
        next number."""
        nodata = stored.dtype.type(self.nodata)
        beside = np.nextafter(nodata, stored.dtype.type(np.inf))
        stored = np.where(stored == nodata, beside, stored)
        return np.where(missing, nodata, stored)

    def missing(self, stored: np.ndarray) -> NDArray[np.bool_]:
        """Which stored numbers mean that a value is missing."""
        nodata = self.nodata
        found: NDArray[np.bool_] = np.isnan(stored) if np.isnan(nodata) else stored == nodata
        return found

    @property
    def limits(self) -> tuple[float, float]:
        """Least and largest valid stored number of an integer type, without nodata at an end."""
        info, nodata = np.iinfo(np.dtype(self.dtype)), self.nodata
        return float(info.min + (nodata == info.min)), float(info.max - (nodata == info.max))

    def lost(self, y: Floats) -> Lost:
        """What an integer type cannot hold of (K, n) values."""
        if np.dtype(self.dtype).kind == "f":
            return Lost(0, 0)
        low, high = self.limits
        exact = (y - self.offset) / self.scale
        stored = np.rint(exact)
        flat = (np.abs(exact) < 0.5) & (exact != 0)
        return Lost(int(((stored < low) | (stored > high)).sum()), int(flat.sum()))


@dataclass(frozen=True)
class Lost:
    """How many values did not fit an integer type: ``clipped`` to its range; and ``flattened``:
    rounded to a stored 0 as they are less than half of a step away from it. They add."""

    clipped: int
    flattened: int

    def __add__(self, other: Lost) -> Lost:
        return Lost(self.clipped + other.clipped, self.flattened + other.flattened)

    def messages(self, encoding: Encoding, values: int) -> list[str]:
        """In words, of so many values."""
        texts = []
        if self.clipped:
            share = _share(self.clipped, values)
            text = f"{self.clipped} values were clipped to the range of {encoding.dtype} ({share})"
            texts.append(text)
        if self.flattened > MUCH * values:
            share = _share(self.flattened, values)
            texts.append(
                f"{share} of the values were rounded to {encoding.offset:g}: they lie within half "
                f"of --scale {encoding.scale:g}; give a smaller --scale, or a float --dtype"
            )
        return texts


MUCH = 0.1
"""A share of rounded values that is said."""


def _share(part: int, of: int) -> str:
    return f"{100 * part / max(of, 1):.2g} %"
