"""The synthetic scene: what it promises about its shapes, its known answer and its looks."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers import close_to_conditioning, same_bits

from bandfuse.errors import ConfigError
from bandfuse.spectral.bands import Floats
from bandfuse.synthetic import (
    BAD,
    MATERIALS,
    TARGETS,
    WATER_VAPOUR_NM,
    SyntheticScene,
    library,
    scene,
    target_responses,
)


@pytest.fixture(scope="module")
def default() -> SyntheticScene:
    """The scene of `bandfuse demo`: 140 bands, 200 x 240 pixels."""
    return scene()


@pytest.fixture(scope="module")
def clean() -> SyntheticScene:
    """A smaller scene whose target has no noise."""
    return scene(40, 50, 90, snr_db=None, seed=3)


def known_answer(s: SyntheticScene) -> Floats:
    """Weights times reflectance, over all bands, bad ones too."""
    return s.responses @ (s.cube[:, s.valid] * s.scale)


def reflectance_at(s: SyntheticScene, nm: float) -> Floats:
    """Valid pixels of the band next to a wavelength."""
    band = int(np.argmin(np.abs(s.bands.wavelength_nm - nm)))
    return np.asarray(s.cube[band, s.valid] * s.scale, dtype=np.float64)


def test_the_same_seed_gives_the_same_bits() -> None:
    """The tracked sample is made from a seed."""
    a, b = scene(20, 24, 30, seed=5), scene(20, 24, 30, seed=5)
    same_bits(a.cube, b.cube)
    same_bits(a.target, b.target)
    same_bits(a.responses, b.responses)
    assert a.bands == b.bands


def test_another_seed_gives_another_landscape_with_the_same_weights() -> None:
    """The seed moves the land, never the sensor."""
    a, b = scene(20, 24, 30, seed=5), scene(20, 24, 30, seed=6)
    assert not np.array_equal(a.cube, b.cube)
    same_bits(a.responses, b.responses)
    np.testing.assert_array_equal(a.valid, b.valid)


@pytest.mark.parametrize("snr_db", [None, np.inf, 10.0])
def test_target_noise_leaves_the_cube_alone(snr_db: float | None) -> None:
    """Scenes that differ in the target's noise alone can be compared."""
    same_bits(scene(20, 24, 30, snr_db=snr_db).cube, scene(20, 24, 30).cube)


def test_shapes_and_types(default: SyntheticScene) -> None:
    """What the writers and the tests of other modules count on."""
    assert default.cube.shape == (140, 200, 240)
    assert default.cube.dtype == np.int16
    assert default.target.shape == (4, 200, 240)
    assert default.target.dtype == np.float32
    assert default.responses.shape == (4, 140)
    assert default.responses.dtype == np.float64
    assert len(default.bands) == 140
    assert default.target_names == ("blue", "green", "red", "nir")
    assert default.target_wavelength_nm.tolist() == [490.0, 560.0, 665.0, 842.0]
    assert default.target_fwhm_nm.tolist() == [65.0, 35.0, 30.0, 115.0]
    assert (default.nodata, default.scale, default.epsg) == (-32768, 1e-4, 32633)
    assert len(default.transform) == 6


def test_wavelengths_ascend_and_bands_overlap_a_little(default: SyntheticScene) -> None:
    """Roughly even steps, each a bit narrower than the band."""
    nm = default.bands.wavelength_nm
    assert (nm[0], nm[-1]) == pytest.approx((400.0, 2450.0))
    step = np.diff(nm)
    assert step.min() > 0.8 * step.mean()
    assert step.max() < 1.2 * step.mean()
    assert (default.bands.fwhm_nm[1:] > step).all()
    assert default.bands.name[0] == "b001"


def test_bands_in_the_water_vapour_are_flagged_and_hold_noise(default: SyntheticScene) -> None:
    """No bad band knows anything of another one."""
    nm, good = default.bands.wavelength_nm, default.bands.good
    vapour = np.any([(nm >= a) & (nm <= b) for a, b in WATER_VAPOUR_NM], axis=0)
    np.testing.assert_array_equal(~good, vapour)
    assert {r for r in default.bands.reason if r} == {BAD}
    bad = default.cube[vapour][:, default.valid].astype(np.float64)
    between = np.corrcoef(bad) - np.eye(vapour.sum())
    assert vapour.sum() == 15
    assert np.abs(between).max() < 0.03


@pytest.mark.parametrize("n_bands", [8, 9, 20, 90, 140, 300])
def test_responses_are_shares_of_good_bands(n_bands: int) -> None:
    """For few and wide bands as for many narrow ones."""
    s = scene(8, 8, n_bands)
    close_to_conditioning(s.responses.sum(axis=1), np.ones(4))
    assert (s.responses >= 0.0).all()
    assert (s.responses[:, ~s.bands.good] == 0.0).all()


def test_responses_have_the_centres_and_widths_they_claim(default: SyntheticScene) -> None:
    """Measured where the bands are fine enough to see the curve."""
    fine = target_responses(scene(8, 8, 2000).bands)
    nm = scene(8, 8, 2000).bands.wavelength_nm
    for row, (_, centre, fwhm) in zip(fine, TARGETS, strict=True):
        upper = nm[row >= 0.5 * row.max()]
        assert nm[row.argmax()] == pytest.approx(centre, abs=1.2)
        assert np.ptp(upper) == pytest.approx(fwhm, abs=2.5)
        # The long-wave flank is the wider one.
        assert upper.max() - centre > centre - upper.min()
    same_bits(default.responses, target_responses(default.bands))


def test_target_is_the_weighted_sum_of_the_stored_cube(clean: SyntheticScene) -> None:
    """The known answer is exact for what is stored, to the rounding of float32."""
    np.testing.assert_allclose(
        clean.target[:, clean.valid], known_answer(clean), rtol=2.0**-23, atol=0.0
    )


def test_infinite_ratio_and_none_are_the_same(clean: SyntheticScene) -> None:
    """Both mean no noise."""
    same_bits(scene(40, 50, 90, snr_db=np.inf, seed=3).target, clean.target)


@pytest.mark.parametrize("snr_db", [10.0, 30.0, 45.0])
def test_target_noise_has_the_ratio_asked_for(snr_db: float) -> None:
    """Per band, as the docstring of `scene` defines it, and white across bands."""
    s = scene(100, 120, 60, snr_db=snr_db)
    answer = known_answer(s)
    noise = s.target[:, s.valid] - answer
    measured = 10.0 * np.log10(answer.var(axis=1) / noise.var(axis=1))
    # Four errors of the variance of 11 000 pixels.
    np.testing.assert_allclose(measured, snr_db, atol=0.25)
    assert np.abs(np.corrcoef(noise) - np.eye(4)).max() < 0.05


def test_target_noise_is_drawn_per_scene() -> None:
    """Two seeds share no noise."""
    noise = [
        (s.target[:, s.valid] - known_answer(s)).ravel()
        for s in (scene(30, 30, 30), scene(30, 30, 30, seed=1))
    ]
    assert abs(np.asarray(np.corrcoef(noise))[0, 1]) < 0.1


def test_one_corner_is_nodata_in_all_bands(default: SyntheticScene) -> None:
    """A triangle, the same in cube and target."""
    empty = default.cube == default.nodata
    np.testing.assert_array_equal(empty, np.broadcast_to(~default.valid, empty.shape))
    np.testing.assert_array_equal(
        np.isnan(default.target), np.broadcast_to(~default.valid, default.target.shape)
    )
    assert not default.valid[0, 0]
    assert default.valid[[0, -1, -1], [-1, 0, -1]].all()
    assert 0.02 < (~default.valid).mean() < 0.1
    # A triangle: each row is empty up to a column that never grows on the way down.
    assert (np.diff((~default.valid).sum(axis=1)) <= 0).all()


def test_reflectance_is_plausible(default: SyntheticScene) -> None:
    """Good bands stay in the range of a reflectance product."""
    good = default.cube[default.bands.good][:, default.valid] * default.scale
    assert good.min() > -0.02
    assert good.max() < 1.0
    assert (good < 0.0).mean() < 1e-3


@pytest.mark.parametrize("seed", range(3))
def test_a_good_part_of_the_land_has_a_red_edge(seed: int) -> None:
    """There is vegetation, there is other land, there is water."""
    s = scene(80, 96, 100, seed=seed)
    red, nir = reflectance_at(s, 670.0), reflectance_at(s, 850.0)
    ndvi = (nir - red) / (nir + red)
    assert nir.mean() > 1.5 * red.mean()
    assert 0.1 < (ndvi > 0.6).mean() < 0.8
    assert (ndvi < 0.0).mean() > 0.01  # the river


@pytest.mark.one_in(2)
@pytest.mark.parametrize("seed", range(3))
def test_the_cube_has_a_healthy_rank(seed: int) -> None:
    """Within-class variability makes more directions than there are materials."""
    s = scene(seed=seed)
    values = np.linalg.eigvalsh(np.corrcoef(s.cube[s.bands.good][:, s.valid]))
    assert (values > 1e-4 * values[-1]).sum() >= 12
    # Regular as well, as the noise of a sensor makes it.
    assert values[0] > 1e-8 * values[-1]


def test_cube_noise_is_what_was_asked_for() -> None:
    """Same land, noise of the stated deviation where the sensor is at its best."""
    quiet, loud = scene(40, 48, 60, cube_noise=0.0), scene(40, 48, 60, cube_noise=0.01)
    band = int(np.argmin(np.abs(quiet.bands.wavelength_nm - 800.0)))
    difference = (loud.cube[band].astype(float) - quiet.cube[band])[quiet.valid] * quiet.scale
    assert difference.std() == pytest.approx(0.01, rel=0.1)
    assert abs(difference.mean()) < 0.001


def test_library_shows_the_features_of_its_materials() -> None:
    """Red edge, leaf water, dark water, red tiles, flat asphalt, clay at 2200 nm."""
    nm = np.array([480.0, 553.0, 672.0, 842.0, 1450.0, 1650.0, 2160.0, 2206.0, 2260.0])
    typical = dict(zip(MATERIALS, library(nm, spread=0.0)[:, 0], strict=True))
    for plant in ("crop", "forest"):
        blue, green, red, nir, wet, swir, *_ = typical[plant]
        assert green > blue
        assert green > 2.0 * red
        assert nir > 8.0 * red
        assert wet < 0.8 * swir
    assert typical["water"][3] < 0.01 < typical["water"][1]
    assert typical["roof tile"][2] > 2.5 * typical["roof tile"][0]
    assert np.ptp(typical["asphalt"]) < 0.1
    for soil in ("brown soil", "pale soil"):
        assert typical[soil][7] < 0.95 * typical[soil][8]


def test_library_variants_stay_within_reflectance() -> None:
    """No deviate, however unlikely, leaves the range; each material varies."""
    spectra = library(np.linspace(400.0, 2450.0, 300), 50)
    assert spectra.shape == (len(MATERIALS), 50, 300)
    assert spectra.min() > 0.0
    assert spectra.max() < 0.9
    assert (spectra.std(axis=1).max(axis=1) > 0.005).all()


@pytest.mark.parametrize("size", [(8, 8, 8), (8, 60, 20), (70, 9, 30)])
def test_small_and_narrow_scenes(size: tuple[int, int, int]) -> None:
    """The smallest scene and thin ones still have a corner and a target."""
    s = scene(*size)
    assert s.cube.shape == (size[2], size[0], size[1])
    assert np.isfinite(s.target[:, s.valid]).all()
    assert not s.valid[0, 0]


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"rows": 7}, "rows"),
        ({"cols": 0}, "cols"),
        ({"n_bands": 4}, "n_bands"),
        ({"snr_db": np.nan}, "snr_db"),
        ({"snr_db": -np.inf}, "snr_db"),
        ({"cube_noise": -0.1}, "cube_noise"),
        ({"cube_noise": np.nan}, "cube_noise"),
    ],
)
def test_what_makes_no_scene_is_refused(arguments: dict[str, Any], name: str) -> None:
    """The message names the argument."""
    with pytest.raises(ConfigError, match=name):
        scene(**arguments)


def test_the_default_scene_is_quick() -> None:
    """A demo should start at once: the scene costs no more than a few times its noise, on any
    machine."""

    def seconds(work: Callable[[], object]) -> float:
        start = time.process_time()
        work()
        return time.process_time() - start

    def noise() -> object:
        return np.random.default_rng(0).normal(size=(140, 200, 240))

    assert min(seconds(scene) for _ in range(3)) < 20 * min(seconds(noise) for _ in range(3))
