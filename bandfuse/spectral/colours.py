"""Colours: which bands are red, green and blue, so that viewers show an image in natural colour."""

from __future__ import annotations

import numpy as np

from bandfuse.spectral.bands import Bands

CENTRES_NM = {"red": 660.0, "green": 560.0, "blue": 480.0}
"""Near the bands that sensors are named red, green and blue by."""

NEAR_NM, FAR_NM = 30.0, 60.0
"""How far the centre of a band may lie from that of a colour: the first, or half of its FWHM, but
not more than the second."""

WIDEST_NM = 150.0
"""Bands that are wider have no colour: panchromatic ones."""


def colours(bands: Bands) -> list[str]:
    """``red``, ``green``, ``blue`` or ``undefined`` for each band: a colour is the nearest band
    that is near enough, and none has two.

    >>> colours(Bands.of(["b", "g", "r"], wavelength_nm=[490, 560, 842], fwhm_nm=[65, 35, 115]))
    ['blue', 'green', 'undefined']
    """
    nm, fwhm = bands.wavelength_nm, bands.fwhm_nm
    width = np.where(np.isfinite(fwhm), fwhm, 0.0)
    reach = np.clip(width / 2, NEAR_NM, FAR_NM)
    found = ["undefined"] * len(bands)
    for colour, centre in CENTRES_NM.items():
        away = np.where(np.isfinite(nm) & (width <= WIDEST_NM), np.abs(nm - centre), np.inf)
        away = np.where(away <= reach, away, np.inf)
        if len(away) and np.isfinite(away.min()):
            found[int(np.argmin(away))] = colour
    return found
