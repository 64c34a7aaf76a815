"""Kernels beside scipy's, and exact where there is an answer."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d, map_coordinates

from bandfuse.sharpening.pairs.kernels import (
    ROUNDS,
    TAPS,
    Axis,
    filled,
    low_weights,
    spline_weights,
    up_weights,
)
from bandfuse.sharpening.pairs.ranges import Range


def test_up_is_the_interpolating_spline_of_scipy() -> None:
    axis = Axis(120, 30, 4.0)
    values = np.random.default_rng(0).normal(size=60)
    fine = Range(40, 80)
    under = axis.under(fine)
    had = under.wider(TAPS)
    weight = up_weights(axis, fine, under) @ spline_weights(under, had)
    at = axis.on_coarse(fine) + 15
    expected = map_coordinates(values, [at], order=3, mode="mirror")
    assert weight @ values[had.start + 15 : had.stop + 15] == pytest.approx(expected, abs=2e-4)


@pytest.mark.parametrize(("ratio", "offset"), [(4.0, 0.0), (2.5, 0.7), (-3.0, 60.0), (1.37, -2.0)])
def test_up_passes_through_the_pixels_and_keeps_a_slope(ratio: float, offset: float) -> None:
    axis = Axis(60, 24, ratio, offset)
    fine = Range(20, 40)
    under = axis.under(fine)
    had = under.wider(TAPS)
    weight = up_weights(axis, fine, under) @ spline_weights(under, had)
    slope = 3 + 0.5 * np.arange(had.start, had.stop)
    assert weight @ slope == pytest.approx(3 + 0.5 * axis.on_coarse(fine), abs=1e-9)


@pytest.mark.parametrize(("ratio", "offset"), [(4.0, 0.0), (2.5, 0.7), (-3.0, 60.0)])
@pytest.mark.parametrize("blur", [None, 0.3])
def test_low_keeps_a_slope(ratio: float, offset: float, blur: float | None) -> None:
    axis = Axis(60, 24, ratio, offset)
    coarse = Range(3, 9)
    fine = axis.seen(coarse, blur)
    weight = low_weights(axis, coarse, fine, blur)
    slope = 1 + 0.25 * np.arange(fine.start, fine.stop)
    assert weight.sum(axis=1) == pytest.approx(1)
    assert weight @ slope == pytest.approx(1 + 0.25 * axis.on_fine(coarse), abs=0.01)


def test_the_gaussian_has_the_modulation_that_is_asked_for() -> None:
    axis = Axis(4000, 400, 10.0)
    coarse = Range(100, 101)
    fine = axis.seen(coarse, 0.3)
    wave = np.cos(np.pi * (np.arange(fine.start, fine.stop) - axis.on_fine(coarse)) / 10)
    assert float(low_weights(axis, coarse, fine, 0.3)[0] @ wave) == pytest.approx(0.3, abs=0.002)


def test_low_is_scipys_gaussian_sampled_at_the_centres() -> None:
    axis = Axis(200, 40, 5.0)
    values = np.random.default_rng(1).normal(size=200)
    sigma = 5 * np.sqrt(2 * np.log(1 / 0.3)) / np.pi
    expected = gaussian_filter1d(values, sigma, truncate=6)[2::5][10:20]
    weight = low_weights(axis, Range(10, 20), Range(0, 200), 0.3)
    assert weight @ values == pytest.approx(expected, abs=1e-3)


def test_the_average_is_exact_over_parts_of_pixels() -> None:
    axis = Axis(10, 4, 2.5)
    assert low_weights(axis, Range(0, 2), Range(0, 5), None) == pytest.approx(
        np.array([[0.4, 0.4, 0.2, 0, 0], [0, 0, 0.2, 0.4, 0.4]])
    )


def test_missing_pixels_are_filled_from_those_around_and_no_farther() -> None:
    values = np.full((2, 3, 30), np.nan)
    values[0, :, :5], values[1, :, :5] = 7.0, -1.0
    valid = np.isfinite(values[0])
    out = filled(values, valid)
    assert np.array_equal(out[:, :, : 5 + ROUNDS], np.broadcast_to([[[7.0]], [[-1.0]]], (2, 3, 11)))
    assert not out[:, :, 5 + ROUNDS :].any()


def test_filling_takes_the_mean_of_valid_neighbours() -> None:
    values = np.array([[[1.0, np.nan, 3.0], [1.0, 2.0, 3.0]]])
    assert filled(values, np.isfinite(values[0]))[0, 0, 1] == pytest.approx(2.0)
