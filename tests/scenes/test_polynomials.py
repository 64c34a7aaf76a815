"""Fields of displacements that are polynomials."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.polynomial import polynomial

from bandfuse.scenes.polynomials import Field, basis, terms

SHAPE = (31, 50)


def field(order: int = 2, seed: int = 0) -> Field:
    rng = np.random.default_rng(seed)
    m = terms(order)
    half = rng.normal(size=(2 * m, 2 * m))
    return Field(SHAPE, order, rng.normal(size=(2, m)), half @ half.T)


@pytest.mark.parametrize("order", [0, 1, 2, 3])
def test_the_terms_are_all_products_up_to_the_order(order: int) -> None:
    u, v = np.random.default_rng(1).uniform(-1, 1, size=(2, 40))
    known = polynomial.polyvander2d(u, v, [order, order]).reshape(40, order + 1, order + 1)
    every = {(i, j) for i in range(order + 1) for j in range(order + 1 - i)}
    found = basis(u, v, order)
    assert len(found) == len(every) == terms(order)
    for i, j in every:
        assert any(np.allclose(one, known[:, i, j], rtol=1e-12) for one in found)


def test_the_displacement_is_zero_in_the_middle_without_a_constant() -> None:
    whole = field(1)
    straight = Field(SHAPE, 1, whole.coefficients * [0, 1, 1], whole.covariance)
    down, across = straight.at((SHAPE[0] - 1) / 2, (SHAPE[1] - 1) / 2)
    assert abs(float(down)) + abs(float(across)) < 1e-12


def test_places_have_the_same_bits_in_every_array() -> None:
    rows, cols = np.mgrid[0:31, 0:50].astype(float)
    for order in (0, 1, 2, 3):
        one = field(order)
        whole = np.stack(one.at(rows, cols))
        assert (np.stack(one.at(rows[3:9, 7:20], cols[3:9, 7:20])) == whole[:, 3:9, 7:20]).all()
        assert (np.stack(one.at(rows[5, 6], cols[5, 6])) == whole[:, 5, 6]).all()


def test_the_error_is_that_of_draws_of_the_coefficients() -> None:
    one = field(2)
    rng = np.random.default_rng(3)
    draws = rng.multivariate_normal(one.coefficients.ravel(), one.covariance, size=20000)
    places = np.array([0.0, 15.0, 30.0]), np.array([0.0, 25.0, 3.0])
    seen = np.array(
        [np.stack(Field(SHAPE, 2, d.reshape(2, -1), one.covariance).at(*places)) for d in draws]
    )
    assert np.allclose(seen.std(axis=0), np.stack(one.error(*places)), rtol=0.05)


def test_the_spread_of_a_straight_field_is_between_two_corners() -> None:
    one = Field(SHAPE, 1, np.array([[5.0, 0.0, 0.0], [1.0, 0.2, 0.0]]), np.zeros((6, 6)))
    assert one.spread == pytest.approx(0.2 * 49 / 25)
    assert one.middle == pytest.approx((5.0, 1.0))
    assert Field.none(SHAPE).spread == 0 == Field.none(SHAPE).uncertainty


def test_a_higher_order_keeps_the_displacements() -> None:
    one = field(1)
    places = np.array([2.0, 20.0]), np.array([40.0, 1.0])
    assert np.allclose(one.raised(3).at(*places), one.at(*places), rtol=1e-12)
    assert one.raised(0).coefficients.tolist() == one.coefficients[:, :1].tolist()
