"""Which bands are shown as red, green and blue."""

from __future__ import annotations

import numpy as np
import pytest

from bandfuse.spectral.bands import Bands
from bandfuse.spectral.display import natural, shown


def _bands(nm: list[float], reason: list[str] | None = None) -> Bands:
    names = [f"b{i}" for i in range(len(nm))]
    return Bands.of(names, wavelength_nm=nm, reason=reason)


def test_colours_follow_wavelengths_and_not_positions() -> None:
    """Sentinel-2's bands in any order."""
    nm = np.array([443, 490, 560, 665, 705, 740, 783, 842, 865, 945, 1610, 2190], dtype=float)
    for seed in range(4):
        order = np.random.default_rng(seed).permutation(len(nm))
        chosen = natural(_bands(nm[order].tolist()))
        assert chosen is not None
        assert nm[order][chosen].tolist() == [665, 560, 490]
        assert shown(_bands(nm[order].tolist()))[1] == (
            "natural colour: red 665 nm, green 560 nm, blue 490 nm"
        )


@pytest.mark.parametrize(
    "nm",
    [[665, 842, 1610, 2190], [490, 842, 1610], [490, 560, 842], [np.nan] * 4, [500, 550]],
    ids=["no blue or green", "only blue", "no red", "unknown", "two"],
)
def test_what_does_not_cover_the_colours_is_not_called_natural(nm: list[float]) -> None:
    assert natural(_bands(nm)) is None
    assert "natural" not in shown(_bands(nm))[1]


def test_false_colour_goes_from_long_to_short_wavelengths() -> None:
    chosen, how = shown(_bands([2190, 842, 1610]))
    assert chosen == [0, 2, 1]
    assert how == "false colour: red 2190 nm, green 1610 nm, blue 842 nm"


def test_bad_bands_are_not_shown_and_unknown_wavelengths_are_named() -> None:
    bands = _bands([650, 655, 550, 470], ["flagged bad", "", "", ""])
    assert natural(bands) == [1, 2, 3]
    assert shown(_bands([np.nan] * 3))[1] == "false colour: red b2, green b1, blue b0"
    assert shown(_bands([np.nan, 500.0])) == ([0], "b0")
