"""Which bands get detail: those of which it is known, and to which it does good."""

from __future__ import annotations

import numpy as np
import pytest

from bandfuse.sharpening.gains.gains import LEARNED, UNCERTAIN, WORSE, Gains, reasons_of
from bandfuse.sharpening.gains.learn import gains_of
from bandfuse.sharpening.gains.sums import Pixels, summed
from bandfuse.spectral.bands import Floats

BLOCKS, EACH = 20, 200
LOUD = 7
"""The block whose detail is stronger than that of all others together."""


def learned(slope: Floats, size: Floats, noise: float = 0.05, *, force: bool = False) -> Gains:
    """Gains of cubes of len(slope) bands (B, N), whose blocks have detail of some size (N,) and
    miss so much of it."""
    rng = np.random.default_rng(0)
    block = np.repeat(np.arange(BLOCKS), EACH)
    detail = rng.normal(size=(1, block.size)) * size[block]
    missed = slope[:, block] * detail + noise * rng.normal(size=(len(slope), block.size))
    cube, sharp = 5 + missed, 3 + detail
    some = Pixels(block, cube, sharp, missed, detail)
    return gains_of(summed(some, BLOCKS), None, force=force)


def held_out(gains: Gains) -> Floats:
    """(B,) the held-out error in units of interpolation's."""
    return gains.error / gains.plain


@pytest.fixture(scope="module")
def blocks() -> tuple[Floats, Floats]:
    """Slopes of four bands in every block, and the size of its detail: of the last band all slopes
    are above zero, but that of the loud block is a tenth of the others'."""
    size = np.ones(BLOCKS)
    size[LOUD] = 30.0
    even, odd = np.ones(BLOCKS), np.where(np.arange(BLOCKS) % 2, 1.0, -1.0)
    odd[LOUD] = 0.0
    unlike = np.ones(BLOCKS)
    unlike[LOUD] = 0.1
    return np.stack([even, -even, odd, unlike]), size


def test_detail_goes_where_it_is_known_to_help(blocks: tuple[Floats, Floats]) -> None:
    gains = learned(*blocks)
    assert gains.reasons == (LEARNED, LEARNED, UNCERTAIN, WORSE)
    assert list(gains.kept) == [True, True, False, False]
    np.testing.assert_allclose(gains.gain[:2, 0], [1, -1], atol=0.02)
    assert np.array_equal(gains.gain[2:], np.zeros((2, 1)))


def test_a_gain_that_is_certain_but_does_harm_is_no_gain(blocks: tuple[Floats, Floats]) -> None:
    """Its interval is above zero, and what is learned without the loud block spoils that block."""
    gains = learned(*blocks)
    assert gains.low[3, 0] > 0
    assert held_out(gains)[3] > 1
    assert gains.learned[3, 0] > 0
    assert held_out(gains)[0] < 0.1


def test_the_held_out_error_is_that_of_gains_of_other_blocks() -> None:
    """By least squares without each fold, where the pull of the ridge is no matter."""
    slope, size = np.array([np.linspace(0.5, 1.5, BLOCKS)]), np.ones(BLOCKS)
    gains = learned(slope, size, noise=0.0)
    fold = np.random.default_rng(0).permutation(BLOCKS) % 5
    rng = np.random.default_rng(0)
    energy = np.square(rng.normal(size=(BLOCKS, EACH))).sum(axis=1)
    error = 0.0
    for k in range(5):
        held = fold == k
        gain = (slope[0] * energy)[~held].sum() / energy[~held].sum()
        error += (np.square(slope[0] - gain) * energy)[held].sum()
    expected = error / (slope[0] ** 2 * energy).sum()
    assert held_out(gains)[0] == pytest.approx(expected, rel=0.02)


def test_force_gives_detail_all_the_same(blocks: tuple[Floats, Floats]) -> None:
    gains = learned(*blocks, force=True)
    assert gains.reasons == (LEARNED,) * 4
    np.testing.assert_array_equal(gains.gain, gains.learned)


@pytest.mark.parametrize(
    ("low", "high", "error", "reason"),
    [
        ([0.1], [0.9], 0.5, LEARNED),
        ([-0.9], [-0.1], 0.5, LEARNED),
        ([-0.1], [0.9], 0.5, UNCERTAIN),
        ([0.0], [0.9], 0.5, UNCERTAIN),
        ([0.1], [0.9], 1.5, WORSE),
        ([0.1], [0.9], 1.0, WORSE),
        ([0.1], [0.9], np.nan, WORSE),
        ([-0.1, 0.2], [0.1, 0.4], 0.5, LEARNED),
        ([-0.1, 0.2], [0.1, 0.4], 1.5, WORSE),
        ([-0.1, -0.2], [0.1, 0.4], 0.5, UNCERTAIN),
    ],
)
def test_both_halves_of_the_rule(
    low: list[float], high: list[float], error: float, reason: str
) -> None:
    """Of one block, in which the error of interpolation is 1."""
    found = reasons_of(np.array([low]), np.array([high]), np.array([[error]]), np.ones((1, 1)))
    assert found == (reason,)


def test_an_error_that_is_surely_smaller_is_enough() -> None:
    """Gains of sharp bands that are alike are not certain one by one."""
    plain = np.full((16, 2), 10.0)
    spared = np.tile([3.0, 0.5], (16, 1))
    spared[:, 1] += np.where(np.arange(16) % 2, 4.0, -4.0)
    low, high = np.array([[-0.1, -0.5]] * 2), np.array([[0.9, 0.5]] * 2)
    assert reasons_of(low, high, plain - spared, plain) == (LEARNED, UNCERTAIN)
