"""The main lobe of a response: known shapes, and stray weights that must not move it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandfuse.solve.design import output_bands
from bandfuse.spectral.bands import Bands
from bandfuse.spectral.lobe import main_lobe, main_lobes
from bandfuse.trust.response_shape import response_shape

NM = np.arange(400.0, 1000.0, 5.0)
GAUSSIAN = np.exp(-0.5 * ((NM - 612.0) / 20.0) ** 2)
BOX = ((NM >= 550) & (NM <= 600)).astype(float)
FWHM = 20.0 * np.sqrt(8 * np.log(2))


@pytest.mark.parametrize(
    "stray", [(), ((-1, 0.3),), ((0, 0.05), (-1, 0.05), (-20, 0.1)), ((-1, 0.45),)]
)
def test_stray_weights_do_not_move_a_gaussian(stray: tuple[tuple[int, float], ...]) -> None:
    weight = GAUSSIAN / GAUSSIAN.sum()
    for band, share in stray:
        weight[band] += share
    lobe = main_lobe(weight, NM)
    assert lobe is not None
    assert lobe.centre == pytest.approx(612.0, abs=0.1)
    assert lobe.width == pytest.approx(FWHM, rel=0.01)
    second_moment = np.sqrt(
        8 * np.log(2) * (weight @ (NM - weight @ NM / weight.sum()) ** 2) / weight.sum()
    )
    assert not stray or second_moment > 3 * FWHM, "the second moment would have told something else"


@given(noise=st.floats(0, 0.2), seed=st.integers(0, 1000))
def test_noise_under_a_box_leaves_it_in_its_place(noise: float, seed: int) -> None:
    """The density falls from one to the noise within one step, so an end lies half a step off at
    most."""
    weight = BOX + noise * np.random.default_rng(seed).random(len(NM)) * (BOX == 0)
    lobe = main_lobe(weight, NM)
    assert lobe is not None
    assert (lobe.centre, lobe.width) == (
        pytest.approx(575.0, abs=2.5),
        pytest.approx(55.0, abs=5.0),
    )
    assert lobe.bands == 11


def test_a_comb_of_single_bands_is_one_lobe() -> None:
    weight = np.where(np.arange(len(NM)) % 2 == 0, BOX, 0.0)
    lobe = main_lobe(weight, NM)
    assert lobe is not None
    assert (lobe.centre, lobe.width) == (575.0, 55.0)


@given(order=st.permutations(range(6)))
def test_the_order_of_the_bands_and_their_spacing_do_not_matter(order: list[int]) -> None:
    """A response of one height, sampled twice as densely on one side: the weights there are half as
    large."""
    nm, weight = np.array([500.0, 510, 520, 525, 530, 535]), np.array([1.0, 1, 0.75, 0.5, 0.5, 0.5])
    lobe = main_lobe(weight[order], nm[order])
    assert lobe is not None
    assert (lobe.centre, lobe.width) == (pytest.approx((495 + 537.5) / 2), pytest.approx(42.5))


def test_a_lobe_ends_at_a_gap_between_detectors() -> None:
    nm = np.concatenate([np.arange(400.0, 500, 10), np.arange(900.0, 1000, 10)])
    lobe = main_lobe((np.arange(20) >= 5).astype(float) * (np.arange(20) < 10), nm)
    assert lobe is not None
    assert (lobe.centre, lobe.width) == (470.0, 50.0)


def test_what_has_no_lobe_has_none() -> None:
    assert main_lobe(np.zeros(3), np.arange(3.0)) is None
    assert main_lobe(np.array([1.0, 1.0]), np.array([500.0, np.nan])) is None
    assert main_lobes(np.ones((2, 2)), np.full(2, np.nan)) == [None, None]
    alone = main_lobe(np.array([2.0, 0.0]), np.array([500.0, np.nan]))
    assert alone is not None
    assert alone[:3] == (500.0, 0.0, 1)


def test_the_outputs_table_takes_the_lobe_and_the_targets_own_wavelength() -> None:
    weight = np.stack([GAUSSIAN, GAUSSIAN, GAUSSIAN, np.eye(len(NM))[40]])
    weight[:3, -1] = 2.0
    targets = Bands.of(
        ["a", "b", "c", "d"],
        wavelength_nm=[np.nan, 610, 611, np.nan],
        fwhm_nm=[np.nan, 40, np.nan, np.nan],
    )
    inputs = Bands.of(
        [f"b{i}" for i in range(len(NM))], wavelength_nm=NM, fwhm_nm=np.full(len(NM), 7.0)
    )
    found = output_bands(["a", "b", "c", "d"], weight, inputs, targets)
    assert found.wavelength_nm == pytest.approx([612, 610, 611, 600], abs=0.1)
    assert found.fwhm_nm == pytest.approx([FWHM, 40, FWHM, 7], rel=0.01)


def test_the_report_counts_a_stray_weight_as_out_of_band() -> None:
    weight = GAUSSIAN / GAUSSIAN.sum()
    weight[-1] += 1 / 3
    found = response_shape(weight, np.tile(weight, (5, 1)), NM)
    assert found is not None
    inside = GAUSSIAN[np.abs(NM - 612) <= FWHM].sum() / GAUSSIAN.sum()
    assert found["centre"].value == pytest.approx(612, abs=0.1)
    assert found["fwhm"].value == pytest.approx(FWHM, rel=0.01)
    assert found["outside"].value == pytest.approx((1 / 3 + 1 - inside) / (4 / 3), abs=0.005)
