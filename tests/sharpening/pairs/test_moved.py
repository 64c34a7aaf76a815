"""Sharp images that are read through a field of displacements."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from bandfuse.scenes.polynomials import Field
from bandfuse.sharpening.pairs.moved import moved_read
from bandfuse.sharpening.pairs.pair import Geometry, reading
from bandfuse.sharpening.pairs.ranges import Range

Floats = NDArray[np.float64]
RATIO = 4
GEOMETRY = Geometry.of_ratio((96, 120), RATIO)
BENT = Field(
    GEOMETRY.coarse,
    2,
    np.array([[1.2, 0.7, -0.4, 0.5, 0.3, -0.6], [-0.8, 0.2, 0.9, -0.3, 0.4, 0.5]]),
    np.zeros((12, 12)),
)


def image(seed: int = 0) -> Floats:
    rng = np.random.default_rng(seed)
    return np.stack([gaussian_filter(rng.normal(size=(96, 120)), 1.5) for _ in range(2)])


def whole(sharp: Floats, field: Field) -> Floats:
    return moved_read(reading(sharp), GEOMETRY, field)(Range(0, 96), Range(0, 120))


def test_it_is_the_quintic_spline_at_displaced_places() -> None:
    sharp = image()
    rows, cols = np.mgrid[0:96, 0:120].astype(float)
    down, across = BENT.at((rows + 0.5) / RATIO - 0.5, (cols + 0.5) / RATIO - 0.5)
    at = np.stack([rows - RATIO * down, cols - RATIO * across])
    known = np.stack([map_coordinates(one, at, order=5, mode="mirror") for one in sharp])
    inner = (at[0] > 10) & (at[0] < 85) & (at[1] > 10) & (at[1] < 109)
    assert inner.mean() > 0.4
    found = whole(sharp, BENT)
    assert np.abs(found - known)[:, inner].max() < 1e-3 * sharp.std()
    beyond = (at[0] < -0.5) | (at[0] > 95.5) | (at[1] < -0.5) | (at[1] > 119.5)
    assert np.isnan(found[:, beyond]).all()
    assert not np.isnan(found[:, ~beyond]).any()


def test_whole_pixels_move_as_they_are() -> None:
    sharp = image(1)
    found = whole(sharp, Field.constant(GEOMETRY.coarse, 2.0, -1.0))
    assert np.allclose(found[:, 8 + 10 : -10, 10 : -4 - 10], sharp[:, 10:-18, 14:-10], atol=2e-4)
    assert np.isnan(found[:, :8]).all()
    assert np.isnan(found[:, :, -4:]).all()


def test_a_pixel_has_the_same_bits_in_every_part() -> None:
    sharp = image(2)
    sharp[:, 40:50, 30:60] = np.nan
    read, every = moved_read(reading(sharp), GEOMETRY, BENT), whole(sharp, BENT)
    for rows, cols in (((0, 7), (0, 120)), ((33, 62), (21, 22)), ((90, 96), (50, 117))):
        part = read(Range(*rows), Range(*cols))
        assert np.array_equal(part, every[:, slice(*rows), slice(*cols)], equal_nan=True)


def test_missing_pixels_spoil_only_their_own_places() -> None:
    sharp = image(3)
    holed = sharp.copy()
    holed[1, 40:50, 30:60] = np.nan
    found, known = whole(holed, BENT), whole(sharp, BENT)
    rows, cols = np.mgrid[0:96, 0:120].astype(float)
    down, across = BENT.at((rows + 0.5) / RATIO - 0.5, (cols + 0.5) / RATIO - 0.5)
    at = np.floor(np.stack([rows - RATIO * down, cols - RATIO * across]) + 0.5)
    hole = (at[0] >= 40) & (at[0] < 50) & (at[1] >= 30) & (at[1] < 60)
    missing = np.isnan(found).any(axis=0) & np.isfinite(known).all(axis=0)
    assert hole.any()
    assert (missing == (hole & np.isfinite(known).all(axis=0))).all()
    far = (at[0] < 30) | (at[0] > 60) | (at[1] < 20) | (at[1] > 70)
    assert np.allclose(found[:, far], known[:, far], equal_nan=True, atol=1e-3 * sharp.std())
