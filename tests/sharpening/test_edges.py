"""Edges and holes of a cube under a sharp image that goes on beyond them."""

from __future__ import annotations

import numpy as np
import pytest
from sharp_images import MIX, MODULATION, scene, seen

from bandfuse.sharpening.gains.learn import gains_of
from bandfuse.sharpening.gains.sums import added, parts, pixels
from bandfuse.sharpening.gains.tiles import tile
from bandfuse.sharpening.pairs.pair import Geometry, Pair, Read, reading
from bandfuse.sharpening.pairs.ranges import Range
from bandfuse.spectral.bands import Floats

RATIO, SIDE, BEYOND = 4, 24, 8
FINE = SIDE * RATIO
INNER = slice(BEYOND, -BEYOND)
COVERED = slice(BEYOND * RATIO, -BEYOND * RATIO)


def shifted(read: Read, by: int) -> Read:
    return lambda rows, cols: read(rows.moved(by), cols.moved(by))


@pytest.fixture(scope="module")
def images() -> tuple[Floats, Floats, Floats]:
    """A cube (4, 24, 24) cut from a larger one, what it should come to, and the sharp image that
    goes on beyond it by 8 pixels of the cube."""
    truth, sharp = scene(FINE + 2 * BEYOND * RATIO, noise=0.01, seed=3)
    cube = seen(truth, RATIO)
    return cube[:, INNER, INNER], truth[:, COVERED, COVERED], sharp


def sharpened_in(pair: Pair) -> tuple[Floats, Floats]:
    """The gains that are learned of it, and the result."""
    sums = added(pixels(pair, *part) for part in parts((SIDE, SIDE), RATIO))
    assert sums is not None
    gains = gains_of(sums.known, MODULATION)
    every = Range(0, FINE), Range(0, FINE)
    return gains.learned, np.concatenate(list(tile(pair, gains, *every).values()))


def ring(values: Floats, first: int, last: int) -> float:
    """The root mean square of pixels that lie so many pixels of the cube from the edge."""
    from_edge = np.minimum(np.arange(FINE), np.arange(FINE)[::-1]) // RATIO
    away = np.minimum(from_edge[:, None], from_edge[None])
    chosen = values[:, (away >= first) & (away <= last)]
    return float(np.sqrt(np.square(chosen).mean()))


def pair_of(cube: Floats, sharp: Read) -> Pair:
    return Pair(Geometry.of_ratio((FINE, FINE), RATIO), MODULATION, reading(cube), sharp)


def test_a_sharp_image_that_goes_on_leaves_no_edge(images: tuple[Floats, Floats, Floats]) -> None:
    cube, truth, sharp = images
    learned, result = sharpened_in(pair_of(cube, shifted(reading(sharp), BEYOND * RATIO)))
    assert learned == pytest.approx(MIX, abs=0.005)
    error = result - truth
    assert ring(error, 0, 0) < 1.1 * ring(error, 5, 12)
    cropped = sharpened_in(pair_of(cube, reading(sharp[:, COVERED, COVERED])))[1] - truth
    assert ring(error, 0, 1) < 0.3 * ring(cropped, 0, 1)
    assert ring(error, 5, 12) < 1.05 * ring(cropped, 5, 12)


def test_a_hole_in_the_cube_spoils_nothing_around_it(images: tuple[Floats, Floats, Floats]) -> None:
    cube, truth, sharp = images
    sharp_read = shifted(reading(sharp), BEYOND * RATIO)
    whole = sharpened_in(pair_of(cube, sharp_read))[1] - truth
    holed = cube.copy()
    holed[:, 10:14, 10:14] = np.nan
    learned, result = sharpened_in(pair_of(holed, sharp_read))
    assert learned == pytest.approx(MIX, abs=0.005)
    gone = np.zeros((FINE, FINE), dtype=bool)
    gone[40:56, 40:56] = True
    assert np.isnan(result[:, gone]).all()
    near = np.zeros_like(gone)
    near[36:60, 36:60] = True
    near &= ~gone
    error = result - truth
    assert np.square(error[:, near]).mean() < 1.1 * np.square(whole[:, near]).mean()
