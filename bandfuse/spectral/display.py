"""Display: which bands a picture shows as red, green and blue."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bandfuse.spectral.bands import Bands, Floats
from bandfuse.spectral.colours import CENTRES_NM, colours


def natural(bands: Bands) -> list[int] | None:
    """Positions of the good bands that are red, green and blue by their wavelengths
    (:func:`bandfuse.spectral.colours.colours`); None where one is missing.

    >>> natural(Bands.of("bgr", wavelength_nm=[490, 560, 665]))
    [2, 1, 0]
    >>> natural(Bands.of("abc", wavelength_nm=[1490, 1560, 1665])) is None
    True
    """
    nm = np.where(bands.good, bands.wavelength_nm, np.nan)
    found = colours(replace(bands, wavelength_nm=nm))
    missing = set(CENTRES_NM) - set(found)
    return None if missing else [found.index(colour) for colour in CENTRES_NM]


def shown(bands: Bands) -> tuple[list[int], str]:
    """Positions of three good bands for red, green and blue, or of one where there are fewer, and
    in words how they were chosen.

    They look natural where the bands cover the visible; else three wavelengths from the longest to
    the shortest, or where those are not known three numbers, stand for red, green and blue."""
    good = [int(i) for i in np.flatnonzero(bands.good)] or [0]
    if len(good) < 3:
        return [good[0]], f"{_called(bands, good[0])}"
    visible = natural(bands)
    if visible is not None:
        return visible, f"natural colour: {_listed(bands, visible)}"
    if np.isfinite(bands.wavelength_nm[good]).all():
        good = sorted(good, key=lambda i: float(bands.wavelength_nm[i]))
    chosen = [good[len(good) * q // 6] for q in (5, 3, 1)]
    return chosen, f"false colour: {_listed(bands, chosen)}"


def _listed(bands: Bands, chosen: list[int]) -> str:
    colours = ("red", "green", "blue")
    return ", ".join(f"{c} {_called(bands, i)}" for c, i in zip(colours, chosen, strict=True))


def _called(bands: Bands, i: int) -> str:
    """A band by its number and wavelength, or its name."""
    nm: Floats = bands.wavelength_nm[i]
    return f"{nm:.0f} nm" if np.isfinite(nm) else f"{bands.name[i]}"
