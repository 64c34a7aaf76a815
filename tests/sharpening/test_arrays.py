"""Sharpening of arrays whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates
from sharp_images import MIX, MODULATION, error, interpolated, scene, seen

from bandfuse.sharpening.arrays import learn_gains, sharpened, sharpened_with_source
from bandfuse.sharpening.gains.gains import Gains
from bandfuse.sharpening.gains.tiles import INTERPOLATED, MISSING, SHARPENED
from bandfuse.sharpening.pairs.pair import Geometry

Floats = NDArray[np.float64]


def learned(cube: Floats, sharp: Floats, geometry: Geometry, **how: object) -> Gains:
    how = {"blur": MODULATION, **how}
    return learn_gains(cube, [sharp], geometry, **how)  # type: ignore[arg-type]


def test_a_cube_that_the_sharp_bands_span_comes_back() -> None:
    truth, sharp = scene()
    cube, geometry = seen(truth, 4), Geometry.of_ratio((128, 128), 4)
    gains = learned(cube, sharp, geometry)
    result = sharpened(cube, [sharp], gains, geometry)
    assert gains.learned == pytest.approx(MIX, abs=0.05)
    assert error(result, truth) < 0.05 * error(interpolated(cube, 4), truth)


def test_weights_give_the_sharp_image_from_the_cube() -> None:
    truth, sharp = scene(noise=0.01)
    cube, geometry = seen(truth, 4), Geometry.of_ratio((128, 128), 4)
    gains = learned(cube, sharp, geometry)
    expected = seen(sharp, 4)
    found = np.einsum("tb,bij->tij", gains.weight, cube) + gains.offset[:, None, None]
    assert error(found, expected, 2) < 0.02 * float(expected.std())


def test_the_result_is_consistent_with_the_cube() -> None:
    truth, sharp = scene(noise=0.02)
    cube, geometry = seen(truth, 4), Geometry.of_ratio((128, 128), 4)
    gains = learned(cube, sharp, geometry)
    result = sharpened(cube, [sharp], gains, geometry)
    plain = interpolated(cube, 4)
    assert error(seen(result, 4), cube, 3) < 0.5 * error(seen(plain, 4), cube, 3)


@pytest.mark.parametrize("true", [0.15, 0.3, 0.5])
def test_the_blur_is_found_with_its_error(true: float) -> None:
    truth, sharp = scene(noise=0.05, seed=3)
    cube, geometry = seen(truth, 4, true), Geometry.of_ratio((128, 128), 4)
    gains = learned(cube, sharp, geometry, blur="auto")
    assert gains.blur is not None
    assert gains.blur == pytest.approx(true, abs=0.03)
    assert 0 <= gains.blur_error < 0.02


def test_the_plain_average_is_found() -> None:
    truth, sharp = scene(noise=0.02, seed=4)
    cube = truth.reshape(4, 32, 4, 32, 4).mean(axis=(2, 4))
    gains = learned(cube, sharp, Geometry.of_ratio((128, 128), 4), blur="auto")
    assert gains.blur is None
    assert np.isnan(gains.blur_error)


def test_a_band_without_relation_gets_no_detail_and_is_named() -> None:
    truth, sharp = scene(seed=5)
    other = scene(seed=99)[0][:1]
    truth = np.concatenate([truth, other])
    cube, geometry = seen(truth, 4), Geometry.of_ratio((128, 128), 4)
    gains = learned(cube, sharp, geometry)
    assert gains.kept.tolist() == [True] * 4 + [False]
    assert gains.reasons[4]
    assert not gains.gain[4].any()
    assert gains.learned[4].any()
    forced = learned(cube, sharp, geometry, force=True)
    assert forced.kept.all()
    assert forced.gain[4].any()


def test_many_sharp_bands_that_are_alike_sharpen_as_few_do() -> None:
    truth, sharp = scene(80, noise=0.01, seed=4)
    cube, geometry = seen(truth, 4), Geometry.of_ratio((80, 80), 4)
    rng = np.random.default_rng(5)
    many = np.concatenate([sharp + 0.02 * rng.normal(size=sharp.shape) for _ in range(20)])
    errors = {}
    for name, image in (("few", sharp), ("many", many)):
        gains = learned(cube, image, geometry)
        assert gains.kept.all()
        errors[name] = error(sharpened(cube, [image], gains, geometry), truth)
    assert errors["many"] < 1.25 * errors["few"]


def test_pixels_under_a_cloud_of_the_sharp_image_are_interpolated() -> None:
    truth, sharp = scene(seed=6)
    cube, geometry = seen(truth, 4), Geometry.of_ratio((128, 128), 4)
    sharp = sharp.copy()
    sharp[0, 40:80, 40:80] = np.nan
    gains = learned(cube, sharp, geometry)
    values, source = sharpened_with_source(cube, [sharp], gains, geometry)
    assert np.isfinite(values).all()
    assert (source[44:76, 44:76] == INTERPOLATED).all()
    assert (source[:32] == SHARPENED).all()
    inside = np.s_[:, 52:68, 52:68]
    plain = interpolated(cube, 4)
    assert values[inside] == pytest.approx(plain[inside], abs=0.05)
    clear = error(values[:, 90:, :], truth[:, 90:, :])
    assert clear < 0.1 * error(plain[:, 90:, :], truth[:, 90:, :])


def test_pixels_that_the_cube_lacks_are_missing_and_spoil_none_beside_them() -> None:
    truth, sharp = scene(seed=7)
    cube, geometry = seen(truth, 4), Geometry.of_ratio((128, 128), 4)
    holed = cube.copy()
    holed[1, 10:14, 20:25] = np.nan
    gains = learned(holed, sharp, geometry)
    values, source = sharpened_with_source(holed, [sharp], gains, geometry)
    hole = np.zeros((128, 128), dtype=bool)
    hole[40:56, 80:100] = True
    assert np.array_equal(np.isnan(values).all(axis=0), hole)
    assert np.array_equal(source == MISSING, hole)
    inner = np.s_[:, 8:-8, 8:-8]
    off = np.abs(values - truth)[inner]
    assert np.nanmax(off) < 0.5 * np.abs(interpolated(cube, 4) - truth)[inner].max()


def test_a_ratio_that_does_not_divide_and_an_offset_are_taken() -> None:
    from bandfuse.sharpening.pairs.kernels import Axis

    truth, sharp = scene(150, seed=8)
    ratio, offset = 3.5, 1.25
    axis = Axis(150, 41, ratio, offset)
    sigma = ratio * np.sqrt(2 * np.log(1 / MODULATION)) / np.pi
    at = (np.mgrid[0:41, 0:41] + 0.5) * ratio + offset - 0.5
    cube = np.stack([map_coordinates(gaussian_filter(v, sigma), at, order=3) for v in truth])
    geometry = Geometry(axis, axis)
    gains = learned(cube, sharp, geometry)
    result = sharpened(cube, [sharp], gains, geometry)
    plain = (np.mgrid[0:150, 0:150] + 0.5 - offset) / ratio - 0.5
    base = np.stack([map_coordinates(v, plain, order=3, mode="nearest") for v in cube])
    assert error(result, truth, 12) < 0.1 * error(base, truth, 12)


def test_without_a_common_pixel_there_is_nothing_to_learn() -> None:
    truth, sharp = scene(32)
    cube = seen(truth, 4)
    geometry = Geometry.of_ratio((32, 32), 4)
    with pytest.raises(ValueError, match="no valid pixel in common"):
        learned(cube, np.full_like(sharp, np.nan), geometry)
