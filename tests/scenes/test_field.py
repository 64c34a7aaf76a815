"""Fields of displacements between a cube and a sharp image, with known answers."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sharp_images import scene, seen
from warps import displaced, on_coarse, quadratic

from bandfuse.scenes.displacement import displacement
from bandfuse.scenes.field import Registration, choose, fit, register
from bandfuse.scenes.local_shifts import Look
from bandfuse.scenes.polynomials import Displacements, Field, terms
from bandfuse.sharpening.pairs.field import found_field
from bandfuse.sharpening.pairs.pair import Geometry, Pair, reading

Floats = NDArray[np.float64]
SIZE, RATIO = 200, 4


def problem(seed: int = 0, noise: float = 0.02, size: int = SIZE) -> tuple[Floats, Floats]:
    """(4, n, n) a cube and (2, R n, R n) a sharp image of one place."""
    truth, sharp = scene(size, seed=seed)
    rng = np.random.default_rng(seed + 100)
    cube = seen(truth, RATIO)
    return tuple(
        one + noise * one.std(axis=(1, 2), keepdims=True) * rng.normal(size=one.shape)
        for one in (cube, sharp)
    )


def found(cube: Floats, sharp: Floats) -> Registration | None:
    geometry = Geometry.of_ratio(sharp.shape[1:], RATIO)
    return found_field(Pair(geometry, None, reading(cube), reading(sharp)))


def off(field: Field, known: Floats) -> float:
    """Root mean square of the distance to a known field."""
    rows, cols = np.mgrid[: known.shape[1], : known.shape[2]].astype(float)
    return float(np.sqrt((np.hypot(*(np.stack(field.at(rows, cols)) - known)) ** 2).mean()))


@pytest.mark.parametrize("seed", [1])
def test_a_warp_of_second_order_of_three_pixels_is_recovered(seed: int) -> None:
    cube, sharp = problem(seed)
    known = quadratic((SIZE, SIZE), 3.0 * RATIO, seed)
    wide = quadratic((SIZE, SIZE), 3.0 * RATIO, seed, wide=32)
    registration = found(cube, displaced(sharp, wide))
    assert registration is not None
    assert registration.certain
    assert registration.field.order >= 2
    error = off(registration.field, on_coarse(known, RATIO))
    assert error < 0.05
    assert error < 4 * registration.field.uncertainty
    assert registration.field.spread > 2.0
    assert registration.correlation > 0.99 > registration.before


@pytest.mark.one_in(2)
@pytest.mark.parametrize("shift", [(0.4, -0.3), (5.3, -2.4)])
def test_a_single_shift_is_found_as_well_as_in_one_window(shift: tuple[float, float]) -> None:
    cube, sharp = problem(3)
    field = np.ones((2, SIZE + 64, SIZE + 64)) * np.array(shift)[:, None, None] * RATIO
    moved = displaced(sharp, field)
    registration = found(cube, moved)
    assert registration is not None
    known = on_coarse(field[:, 32:-32, 32:-32], RATIO)
    error = off(registration.field, known)
    mean = moved.reshape(2, SIZE // RATIO, RATIO, SIZE // RATIO, RATIO).mean(axis=(2, 4))
    one = displacement(cube, mean)
    assert one is not None
    assert error < max(0.02, np.hypot(one.rows - shift[0], one.columns - shift[1]))
    assert registration.field.spread < 0.1


def test_no_field_is_found_where_there_is_none() -> None:
    spreads = []
    for seed in range(5):
        cube, sharp = problem(seed, noise=0.2, size=100)
        registration = found(cube, sharp)
        assert registration is not None
        assert off(registration.field, np.zeros((2, 25, 25))) < 0.1
        spreads.append(registration.field.spread)
    assert max(spreads) < 0.3
    assert sum(spread > 0 for spread in spreads) <= 2


@pytest.mark.thorough
def test_a_part_that_has_changed_does_not_bend_the_field() -> None:
    cube, sharp = problem(4)
    known = quadratic((SIZE, SIZE), 2.0 * RATIO, 4)
    moved = displaced(sharp, quadratic((SIZE, SIZE), 2.0 * RATIO, 4, wide=32))
    other = problem(77)[1]
    moved[:, :70, :70] = other[:, :70, :70]
    registration = found(cube, moved)
    assert registration is not None
    assert off(registration.field, on_coarse(known, RATIO)) < 0.1


def test_missing_pixels_of_both_are_left_out() -> None:
    cube, sharp = problem(5)
    known = quadratic((SIZE, SIZE), 2.0 * RATIO, 5)
    moved = displaced(sharp, quadratic((SIZE, SIZE), 2.0 * RATIO, 5, wide=32))
    moved[:, 100:140, 20:90] = np.nan
    cube[:, 5:12, 30:44] = np.nan
    registration = found(cube, moved)
    assert registration is not None
    assert len(registration.displacements) < registration.windows
    assert off(registration.field, on_coarse(known, RATIO)) < 0.1


@pytest.mark.thorough
def test_an_image_of_half_of_the_scene_tells_nothing_of_the_other_half() -> None:
    cube, sharp = problem(7)
    known = quadratic((SIZE, SIZE), 2.0 * RATIO, 7)
    moved = displaced(sharp, quadratic((SIZE, SIZE), 2.0 * RATIO, 7, wide=32))
    moved[:, :, 110:] = np.nan
    registration = found(cube, moved)
    assert registration is not None
    assert registration.certain
    assert registration.field.ends[3] < 30
    here = on_coarse(known, RATIO)[:, :, :24]
    assert off(registration.field, here) < 0.1
    assert registration.field.spread < 2 * np.hypot(*here).max() + 0.1


@pytest.mark.parametrize("what", ["flat", "missing", "cube missing"])
def test_nothing_is_told_where_there_is_nothing_to_compare(what: str) -> None:
    cube, sharp = problem(6, size=80)
    if what == "flat":
        sharp[:] = 3.0
    else:
        (sharp if what == "missing" else cube)[:] = np.nan
    assert found(cube, sharp) is None


def test_an_image_of_another_place_is_not_believed() -> None:
    for seed in (0, 1):
        registration = found(problem(8 + seed, size=120)[0], problem(60 + seed, size=120)[1])
        assert registration is None or not registration.certain


def test_looks_that_are_too_small_tell_nothing() -> None:
    look = Look(0, 0, np.ones((3, 2, 2)), np.ones((1, 3 * 26, 3 * 26)), 12, 3, 0.4)
    assert register([look], (2, 2), 4) is None


def windows(known: Field, error: float, seed: int, count: int = 64) -> Displacements:
    """Windows that show a field, with errors of a known size."""
    rng = np.random.default_rng(seed)
    rows, cols = rng.uniform(0, 99, size=(2, count))
    moves = np.stack(known.at(rows, cols), axis=1) + error * rng.normal(size=(count, 2))
    covariance = np.repeat(error**2 * np.eye(2)[None], count, axis=0)
    return Displacements(rows, cols, moves, covariance, np.arange(count))


@pytest.mark.one_in(2)
@pytest.mark.parametrize("order", [0, 1, 2, 3])
def test_the_order_is_that_of_the_field(order: int) -> None:
    rng = np.random.default_rng(order)
    known = Field((100, 100), order, rng.normal(size=(2, terms(order))), np.zeros((0, 0)))
    chosen = [choose(windows(known, 0.05, seed), (100, 100))[0] for seed in range(10)]
    assert min(chosen) >= order
    assert chosen.count(order) >= 7


def test_the_order_is_rarely_too_high_where_there_is_only_noise() -> None:
    none = Field.none((100, 100))
    chosen = [choose(windows(none, 0.05, seed), (100, 100))[0] for seed in range(20)]
    assert sum(order > 0 for order in chosen) <= 4


def test_a_fit_is_weighted_least_squares_with_an_honest_error() -> None:
    known = Field((100, 100), 1, np.array([[0.3, 1.0, 0.0], [0.0, -0.5, 0.2]]), np.zeros((0, 0)))
    fields = [fit(windows(known, 0.1, seed), (100, 100), 1) for seed in range(60)]
    scatter = np.stack([field.coefficients for field in fields]).std(axis=0)
    told = np.stack([np.sqrt(np.diag(field.covariance)).reshape(2, 3) for field in fields])
    assert np.allclose(told.mean(axis=0), scatter, rtol=0.35)
    far = windows(known, 0.1, 5)
    far.moves[:6] += 4.0
    assert off(fit(far, (100, 100), 1), np.stack(known.at(*np.mgrid[0:100, 0:100]))) < 0.15
