"""Encoding: how numbers are stored in a new raster, and what its type cannot hold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bandfuse.spectral.bands import Floats


@dataclass(frozen=True)
class Encoding:
    """How numbers are stored: ``stored = (value − offset) / scale``, rounded and clipped for
    integer types."""

    dtype: str = "float32"
    scale: float = 1.0
    offset: float = 0.0

    @property
    def nodata(self) -> float:
        """NaN for floats; the least number of signed and the largest of unsigned integers."""
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
                return y.astype(kind)
        low, high = self.limits
        missing = ~np.isfinite(y)
        stored = np.clip(np.rint(np.where(missing, 0, y)), low, high)
        return np.where(missing, self.nodata, stored).astype(kind)

    @property
    def limits(self) -> tuple[float, float]:
        """Least and largest valid stored number of an integer type (nodata left out)."""
        info = np.iinfo(np.dtype(self.dtype))
        signed = np.dtype(self.dtype).kind == "i"
        return float(info.min + signed), float(info.max - (not signed))

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
