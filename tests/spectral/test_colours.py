"""Colours: the bands of real sensors that are called red, green and blue, and others that are
none."""

from __future__ import annotations

import numpy as np
import pytest

from bandfuse.spectral.bands import Bands
from bandfuse.spectral.colours import colours
from bandfuse.spectral.sensors import find


def coloured(nm: list[float], fwhm: list[float] | None = None) -> list[str]:
    names = [f"b{i}" for i in range(len(nm))]
    return colours(Bands.of(names, wavelength_nm=nm, fwhm_nm=fwhm))


def test_bands_of_sentinel_2() -> None:
    sensor = find("sentinel-2a")
    table = Bands.of(
        sensor.names,
        wavelength_nm=[b.centre_nm for b in sensor.bands],
        fwhm_nm=[b.fwhm_nm for b in sensor.bands],
    )
    found = {
        name: c for name, c in zip(table.name, colours(table), strict=True) if c != "undefined"
    }
    assert found == {"B4": "red", "B3": "green", "B2": "blue"}


@pytest.mark.parametrize(
    ("nm", "fwhm", "expected"),
    [
        ([], None, []),
        ([650, 651], None, ["undefined", "red"]),
        ([480, 560, 660], None, ["blue", "green", "red"]),
        ([1600, 2200], None, ["undefined", "undefined"]),
        ([float("nan"), 565], None, ["undefined", "green"]),
        ([443, 704], [20, 15], ["undefined", "undefined"]),
        ([690.0], [10.0], ["red"]),
        ([690.1], [10.0], ["undefined"]),
        ([710.0], [100.0], ["red"]),
        ([675.0], [450.0], ["undefined"]),
    ],
)
def test_colours_are_near(nm: list[float], fwhm: list[float] | None, expected: list[str]) -> None:
    assert coloured(nm, fwhm) == expected


def test_no_band_has_two_colours_and_no_colour_two_bands() -> None:
    random = np.random.default_rng(0)
    for _ in range(200):
        nm, fwhm = random.uniform(400, 800, 12), random.uniform(1, 200, 12)
        found = [c for c in coloured(nm.tolist(), fwhm.tolist()) if c != "undefined"]
        assert len(set(found)) == len(found)
