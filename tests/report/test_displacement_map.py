"""The map of a displacement that varies over a scene."""

from __future__ import annotations

import re

import pytest

from bandfuse.report.displacement_map import displacement_map
from bandfuse.results.sharpening import DisplacedPlace, RegistrationRow


def row(dx: float = 1.5) -> RegistrationRow:
    places = [
        DisplacedPlace(row=float(r), col=float(c), dx=dx * c / 40, dy=-0.5, error=0.02)
        for r in (0, 20, 40)
        for c in (0, 20, 40)
    ]
    return RegistrationRow(
        path="pan.tif",
        order="affine",
        dx=dx / 2,
        dy=-0.5,
        range=dx,
        error=0.02,
        windows=4,
        of=5,
        scores={"none": 9.0, "constant": 3.0, "affine": 1.0},
        correlation=0.99,
        before=0.8,
        certain=True,
        moved="field",
        shape=(41, 41),
        field=places,
        measured=places[1:5],
    )


def test_each_place_and_each_window_has_an_arrow() -> None:
    picture = displacement_map(row(), label="Displacement of pan.tif")
    assert picture.startswith("<svg")
    assert 'aria-label="Displacement of pan.tif"' in picture
    arrows = re.findall(r"fill: var\(--(series-1|shade),", picture)
    assert arrows.count("series-1") == 9
    assert arrows.count("shade") == 4


def test_it_says_how_long_the_longest_arrow_is() -> None:
    assert "the longest arrow is 1.581 pixels" in displacement_map(row())


def test_a_displacement_of_nothing_is_no_error() -> None:
    nothing = row().model_copy(
        update={"field": [DisplacedPlace(row=0, col=0, dx=0, dy=0, error=0)], "measured": []}
    )
    assert displacement_map(nothing).startswith("<svg")


@pytest.mark.parametrize("key", ["a", "b"])
def test_names_in_the_picture_begin_with_its_key(key: str) -> None:
    names = re.findall(r'\sid="([^"]+)"', displacement_map(row(), key=key))
    assert all(name.startswith(f"{key}-") for name in names)
