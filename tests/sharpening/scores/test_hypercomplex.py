"""Q2n beside its definition, pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest

from bandfuse.sharpening.scores import hypercomplex


def conjugated(a: np.ndarray) -> np.ndarray:
    return np.concatenate([a[:1], -a[1:]])


def multiplied(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The product of two hypercomplex numbers, (2ⁿ, …), half by half."""
    half = len(x) // 2
    if not half:
        return x * y
    a, b, c, d = x[:half], x[half:], y[:half], y[half:]
    first = multiplied(a, c) - multiplied(conjugated(d), b)
    second = multiplied(conjugated(a), conjugated(d)) + multiplied(c, conjugated(b))
    return np.concatenate([first, second])


def q2n_by_pixels(result: np.ndarray, truth: np.ndarray) -> float:
    """The definition: every pixel's numbers are multiplied."""
    bands, n = truth.shape
    size = 2 ** int(np.ceil(np.log2(bands)))
    z, t = np.zeros((size, n)), np.zeros((size, n))
    for b in range(bands):
        mean, spread = np.mean(truth[b]), np.std(truth[b], ddof=1)
        z[b], t[b] = (result[b] - mean) / spread + 1, (truth[b] - mean) / spread + 1
    mz, mt = z.mean(axis=1), t.mean(axis=1)
    more = n / (n - 1)
    covariance = more * multiplied(t, conjugated(z)).mean(axis=1)
    covariance -= more * multiplied(mt, conjugated(mz))
    vz = more * ((z**2).sum(axis=0).mean() - (mz**2).sum())
    vt = more * ((t**2).sum(axis=0).mean() - (mt**2).sum())
    lz, lt = np.linalg.norm(mz), np.linalg.norm(mt)
    return float(
        np.linalg.norm(covariance)
        / np.sqrt(vz * vt)
        * (2 * np.sqrt(vz * vt) / (vz + vt))
        * (2 * lz * lt / (lz**2 + lt**2))
    )


@pytest.mark.parametrize("bands", [1, 2, 3, 4, 5, 8, 13])
def test_q2n_is_that_of_its_definition(bands: int) -> None:
    rng = np.random.default_rng(bands)
    truth = rng.normal(size=(bands, 90)) + 4
    mixed = truth + 0.6 * rng.normal(size=(bands, bands)) @ truth / bands
    result = mixed + 0.4 * rng.normal(size=(bands, 90))
    found = hypercomplex.q2n(result, truth)
    assert 0.05 < found < 0.99
    assert found == pytest.approx(q2n_by_pixels(result, truth), rel=1e-10)


def test_products_of_units_keep_their_size() -> None:
    signs, places = hypercomplex._table(16)
    assert set(np.unique(signs)) == {-1.0, 1.0}
    # the square of the first unit is 1, that of all others −1; the first changes nothing
    assert np.diag(signs).tolist() == [1.0] + [-1.0] * 15
    assert (places[0] == np.arange(16)).all()


def test_q2n_of_a_constant_band_exists() -> None:
    truth = np.stack([np.full(50, 3.0), np.linspace(1, 2, 50)])
    assert hypercomplex.q2n(truth, truth) == pytest.approx(1)
    assert hypercomplex.q2n(truth[:1], truth[:1]) == pytest.approx(1)
