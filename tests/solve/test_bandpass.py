"""Band-pass responses: the evidence against a dense reference, slopes against differences, known
answers, and draws that cover the truth."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from helpers import close_to_conditioning
from scipy.optimize import approx_fprime
from threadpoolctl import threadpool_limits

from bandfuse.solve.bandpass.response import Response, bandpass
from bandfuse.solve.bandpass.ripple import Prior
from bandfuse.solve.bandpass.spectrum import Spectrum
from bandfuse.solve.bandpass.window import Tag, Window, intervals

NM = np.linspace(400.0, 990.0, 60)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As in a training: threads of the linear algebra would wait for each other."""
    with threadpool_limits(limits=1, user_api="blas"):
        yield


def pixels(count: int = 900, seed: int = 0, nm: np.ndarray = NM) -> np.ndarray:
    """(N, B) smooth spectra with fine structure."""
    random = np.random.default_rng(seed)
    axis = (nm - 400) / 600
    smooth = random.normal(size=(count, 5)) @ np.cos(np.outer(np.arange(5), np.pi * axis))
    fine = random.normal(size=(count, 25)) @ np.cos(np.outer(np.arange(5, 30), np.pi * axis))
    return 5 + smooth + 0.05 * fine + 0.01 * random.normal(size=(count, len(nm)))


def lobe(centre: float, width: float, nm: np.ndarray = NM) -> np.ndarray:
    """(B,) a box with soft ends and a ripple, of sum one."""
    box = 1 / (1 + np.exp(-(width / 2 - np.abs(nm - centre)) / (0.04 * width)))
    ripple = 1 + 0.05 * np.sin(2 * np.pi * (nm - centre) / (0.7 * width))
    return box * ripple / (box * ripple).sum()


def spectrum_of(
    x: np.ndarray, t: np.ndarray, nm: np.ndarray = NM, count: float | None = None
) -> Spectrum:
    joint = np.cov(np.column_stack([x, t]).T, bias=True)
    b = x.shape[1]
    found = Spectrum.of(joint[:b, :b], joint[:b, b], joint[b, b], count or len(x), nm)
    assert found is not None
    return found


def learned(x: np.ndarray, t: np.ndarray, nm: np.ndarray = NM, tag: Tag | None = None) -> Response:
    found = bandpass(spectrum_of(x, t, nm), tag)
    assert found is not None
    return found


def weights_of(response: Response, count: int = 60) -> np.ndarray:
    return response.spectrum.widen(response.weights, count)


def noisy(x: np.ndarray, w: np.ndarray, decibels: float, seed: int = 1) -> np.ndarray:
    t = x @ w
    noise = np.random.default_rng(seed).normal(size=len(t))
    return t + noise * t.std() * 10 ** (-decibels / 20)


@pytest.fixture(scope="module")
def problem() -> tuple[Prior, np.ndarray]:
    x = pixels()
    spectrum = spectrum_of(x, noisy(x, lobe(650, 90), 35))
    window = Window(spectrum, Tag(655, 85))
    at = Window.at(645.0, 80.0) + np.array([0, 0.1, 0.2, -0.1])
    support = np.flatnonzero(window.shape(at) > 1e-5)
    return Prior(window, support), np.array([*at, at[1] - 2.0, -2.5, 6.0])


def test_slopes_are_those_of_differences(problem: tuple[Prior, np.ndarray]) -> None:
    prior, at = problem
    for misfit, here in ((prior.misfit, at), (prior.window.misfit, at[:4])):
        steps = 1e-6 * np.maximum(1, abs(here))
        differences = approx_fprime(here, lambda z, f=misfit: f(z)[0], steps)
        np.testing.assert_allclose(misfit(here)[1], differences, rtol=2e-3, atol=2e-3)


def test_the_evidence_is_that_of_all_pixels(problem: tuple[Prior, np.ndarray]) -> None:
    """Minus the log density of the target's values, ``t ~ N(0, s² (I + X Γ Xᵀ))`` at the best s²,
    from an N × N matrix; up to a constant, so that two parameters are compared."""
    prior, at = problem
    x = pixels()
    t = noisy(x, lobe(650, 90), 35)
    x, t = x - x.mean(0), (t - t.mean()) / t.std()
    x = x / np.sqrt(x.var(0).mean())

    def dense(here: np.ndarray) -> float:
        h = prior.window.shape(here[:4])[prior.support]
        apart = np.sqrt(5) * abs(NM[prior.support][:, None] - NM[prior.support]) / np.exp(here[4])
        k = (1 + apart + apart**2 / 3) * np.exp(-apart) + 1e-3 * np.eye(len(h))
        tilt = (NM[prior.support] - here[0]) / (np.exp(here[1]) / 2)
        alike = 1 + 0.1**2 * np.outer(tilt, tilt) + np.exp(2 * here[5]) * k
        gamma = np.exp(here[6]) * np.outer(h, h) * alike
        some = x[:, prior.support]
        matrix = np.eye(len(t)) + some @ gamma @ some.T
        variance = float(t @ np.linalg.solve(matrix, t)) / len(t)
        return len(t) / 2 * np.log(variance) + np.linalg.slogdet(matrix)[1] / 2

    other = at + np.array([3.0, 0.05, -0.2, 0.3, 0.2, 0.5, -1.0])
    found = [prior.misfit(z)[0] - prior.price(z)[0] for z in (at, other)]
    assert found[0] - found[1] == pytest.approx(dense(at) - dense(other), rel=1e-6)


def test_a_window_is_found_where_it_is() -> None:
    x = pixels()
    for centre, width in ((480, 40), (650, 90), (800, 200)):
        truth = lobe(centre, width)
        found = weights_of(learned(x, noisy(x, truth, 50)))
        assert np.linalg.norm(found - truth) / np.linalg.norm(truth) < 0.1
        assert float(found @ NM / found.sum()) == pytest.approx(centre, abs=0.03 * width)
        assert (found >= 0).all()
        assert (found[np.abs(NM - centre) > width] == 0).all()


def test_noise_free_weights_come_back_to_the_last_digits() -> None:
    x, truth = pixels(), lobe(650, 90)
    found = weights_of(learned(x, x @ truth))
    assert np.linalg.norm(found - truth) / np.linalg.norm(truth) < 1e-3


def test_it_is_nearer_than_non_negative_least_squares() -> None:
    from scipy.optimize import nnls

    errors = []
    for seed in range(5):
        x, truth = pixels(seed=seed), lobe(600, 70)
        t = noisy(x, truth, 35, seed)
        plain = nnls(x - x.mean(0), t - t.mean())[0]
        ours = weights_of(learned(x, t))
        errors.append([np.linalg.norm(w - truth) / np.linalg.norm(truth) for w in (ours, plain)])
    ours, plain = np.median(errors, axis=0)
    assert ours < 0.35 * plain


def test_units_and_order_of_the_bands_do_not_matter() -> None:
    x, truth = pixels(), lobe(650, 90)
    t = noisy(x, truth, 40)
    plain = weights_of(learned(x, t))
    order = np.random.default_rng(3).permutation(len(NM))
    scaled = weights_of(learned(1e4 * x[:, order], 7.0 * t, NM[order]))
    assert np.linalg.norm(scaled * 1e4 / 7.0 - plain[order]) < 1e-3 * np.linalg.norm(plain)


def test_bands_that_do_not_vary_carry_no_weight() -> None:
    x, truth = pixels(), lobe(650, 90)
    t = noisy(x, truth, 40)
    x[:, 24] = 3.0
    found = weights_of(learned(x, t))
    assert found[24] == 0
    assert found[26] > 0


@pytest.mark.parametrize("case", ["constant target", "two bands", "no wavelengths", "one place"])
def test_where_no_lobe_can_be_told_there_is_none(case: str) -> None:
    x, nm = pixels(), NM.copy()
    t = x @ lobe(650, 90)
    if case == "constant target":
        t = np.ones(len(x))
    if case == "two bands":
        x, nm = x[:, :2], nm[:2]
    if case == "no wavelengths":
        nm = np.full(len(nm), np.nan)
    if case == "one place":
        nm = np.full(len(nm), 500.0)
    joint = np.cov(np.column_stack([x, t]).T, bias=True)
    b = x.shape[1]
    assert Spectrum.of(joint[:b, :b], joint[:b, b], joint[b, b], len(x), nm) is None


def test_what_falls_where_bands_rise_has_no_response() -> None:
    random = np.random.default_rng(0)
    x = 5 + np.outer(random.normal(size=400), np.ones(60)) + 0.1 * random.normal(size=(400, 60))
    assert bandpass(spectrum_of(x, -x.sum(1))) is None


def test_a_window_beyond_all_bands_is_no_window() -> None:
    """What it lets through is so little that its square would overflow."""
    x = pixels()
    window = Window(spectrum_of(x, x @ lobe(650, 90)))
    for nm in (1086, 1087, 1500):
        misfit, slope = window.misfit(window.at(nm, 40))
        assert misfit == np.inf
        assert np.isfinite(slope).all()


def test_intervals_to_start_from_are_the_best_of_all() -> None:
    x = pixels(400)
    spectrum = spectrum_of(x, noisy(x, lobe(650, 90), 20))
    a, c, d = spectrum.a, spectrum.c, spectrum.spacing
    gains = {}
    for i in range(60):
        for j in range(i, 60):
            w = np.zeros(60)
            w[i : j + 1] = d[i : j + 1]
            gains[i, j] = (c @ w) ** 2 / (w @ a @ w) if c @ w > 0 else -np.inf
    found = intervals(spectrum)
    assert found[0] == max(gains, key=lambda k: gains[k])
    assert len(found) == 3
    for n, (i, j) in enumerate(found):
        for k, m in found[:n]:
            shared = max(0, min(j, m) - max(i, k) + 1)
            assert shared <= 0.5 * ((j - i + 1) + (m - k + 1) - shared)


def test_a_tag_pulls_the_window_where_pixels_say_little() -> None:
    x, truth = pixels(200), lobe(650, 60)
    t = noisy(x, truth, 5)
    errors = [
        np.linalg.norm(weights_of(learned(x, t, tag=tag)) - truth) / np.linalg.norm(truth)
        for tag in (None, Tag(650.0, 60.0))
    ]
    assert errors[1] < errors[0]
    strong = noisy(pixels(), truth, 50)
    wrong = learned(pixels(), strong, tag=Tag(690.0, 60.0))
    assert wrong.off_tag > 3
    assert learned(pixels(), strong, tag=Tag(650.0, 60.0)).off_tag < 3


def test_a_tag_that_is_far_off_is_passed_over() -> None:
    x, truth = pixels(2000), lobe(650, 60)
    t = noisy(x, truth, 40)
    plain = weights_of(learned(x, t))
    for tag in (Tag(950.0, 30.0), Tag(12000.0, 1.0), Tag(420.0, 600.0), Tag(650.0, 0.02)):
        found = learned(x, t, tag=tag)
        assert found.off_tag > 10
        assert np.linalg.norm(weights_of(found) - plain) < 0.05 * np.linalg.norm(plain)


@pytest.mark.parametrize("off", [0.5, 3.0, 9.9, 10.0, 10.1, 40.0, 1e6])
def test_the_price_of_a_tag_ends_where_it_is_a_mistake(off: float) -> None:
    tag, log_width = Tag(650.0, 60.0), np.log(60.0) + 0.05
    price, slope = tag.price(650.0 + 3 * off, log_width)
    assert price == pytest.approx(min((off**2 + 0.25) / 2, 50.0), abs=1.0)
    ahead, behind = (tag.price(650.0 + 3 * off + s, log_width)[0] for s in (1e-5, -1e-5))
    assert slope[0] == pytest.approx((ahead - behind) / 2e-5, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("same", [(0, 1), (58, 59), (24, 25, 26), (0, 1, 2, 3), tuple(range(59))])
def test_bands_at_one_wavelength_share_what_it_stands_for(same: tuple[int, ...]) -> None:
    nm, x = NM.copy(), pixels()
    nm[list(same)] = nm[same[0]]
    spectrum = spectrum_of(x, noisy(x, lobe(650, 90), 40), nm)
    places = np.unique(nm)
    whole = np.gradient(places) / np.median(np.diff(places))
    each = [spectrum.spacing[spectrum.nm == place] for place in places]
    np.testing.assert_allclose([one.sum() for one in each], whole, rtol=1e-12)
    assert all(np.ptp(one) == 0 for one in each)
    found = bandpass(spectrum)
    assert found is not None
    assert np.isfinite(found.weights).all()
    assert found.weights.any()


@pytest.mark.parametrize("count", [5, 400])
def test_bands_and_tags_of_any_size_leave_finite_weights_or_none(count: int) -> None:
    """Windows that leave the bands, variances 10 orders apart, priors that rounding makes
    singular."""
    random = np.random.default_rng(count)
    learnt = 0
    for _ in range(30):
        p = int(random.integers(3, 40))
        nm = np.sort(random.uniform(400, 2500, p))
        x = random.normal(size=(count, p)) * np.exp(random.normal(0, random.choice([0, 6]), p))
        t = x[:, random.integers(p)] + random.choice([0, 1]) * random.normal(size=count)
        tag = Tag(float(np.exp(random.uniform(0, 12))), float(np.exp(random.uniform(-9, 9))))
        found = bandpass(spectrum_of(x, t, nm), tag)
        if found is not None:
            again = found.again(spectrum_of(x[1:], t[1:], nm))
            rows = [found.weights, *found.draws(3, 0), *([] if again is None else [again.weights])]
            assert np.isfinite(rows).all()
            learnt += 1
    assert learnt > 10


def test_the_penalty_gives_the_same_weights_by_least_squares() -> None:
    from scipy.optimize import nnls

    x = pixels()
    found = learned(x, noisy(x, lobe(650, 90), 40))
    here, form = found.penalty()
    spectrum = found.spectrum
    h = spectrum.a[np.ix_(here, here)] + form
    root = np.linalg.cholesky(h)
    w, _ = nnls(root.T, np.linalg.solve(root, spectrum.c[here]))
    close_to_conditioning(found.weights[here], w)


def test_learning_again_begins_at_the_first() -> None:
    x = pixels()
    t = noisy(x, lobe(650, 90), 40)
    whole = learned(x, t)
    part = spectrum_of(x[:700], t[:700])
    again, anew = whole.again(part), bandpass(part)
    assert anew is not None
    assert np.linalg.norm(again.weights - anew.weights) < 0.02 * np.linalg.norm(anew.weights)


def test_draws_cover_the_truth_and_do_not_change() -> None:
    hits = []
    for seed in range(12):
        x, truth = pixels(seed=seed), lobe(650, 90)
        response = learned(x, noisy(x, truth, 40, seed))
        drawn = response.spectrum.widen(response.draws(100, 0), 60)
        low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
        inside = truth > 0.02 * truth.max()
        hits.append(np.mean((low <= truth) & (truth <= high), where=inside))
        assert (drawn >= 0).all()
    assert 0.8 <= np.mean(hits) <= 1.0
    again = response.spectrum.widen(response.draws(100, 0), 60)
    np.testing.assert_array_equal(drawn, again)


def test_more_pixels_narrow_the_draws() -> None:
    spread = []
    for count in (200, 20000):
        x = pixels(count)
        response = learned(x, noisy(x, lobe(650, 90), 30))
        spread.append(np.std(response.draws(60, 0), axis=0).sum())
    assert spread[1] < 0.4 * spread[0]


def test_draws_are_those_of_one_prior_after_the_other() -> None:
    """The reference solves the stated problem for each draw by Lawson and Hanson's method."""
    from scipy.optimize import nnls

    from bandfuse.solve.bandpass import response as module

    x = pixels()
    found = learned(x, noisy(x, lobe(650, 90), 40))
    drawn = found.draws(7, 3)
    random = np.random.default_rng(3)
    spread = module._spread(found.prior.misfit, found.at, found.size)
    prior = Prior(found.prior.window, module._above(found.prior.window, found.at, module.SEEN))
    na, nc = prior.moments
    for row in drawn:
        made = prior.whitened(found.at + spread @ random.standard_normal(7))
        inverse = made.inverse_root
        noise = module._root(na) @ random.standard_normal(len(nc))
        noise += inverse.T @ random.standard_normal(len(nc))
        right = nc + noise * np.sqrt(made.variance)
        curvature = na + inverse.T @ inverse
        root = np.linalg.cholesky(curvature)
        w, _ = nnls(root.T, np.linalg.solve(root, right))
        unit = 1 / np.sqrt(curvature.diagonal())
        condition = np.linalg.cond(curvature * np.outer(unit, unit))
        close_to_conditioning(row[prior.support], w, condition)


def test_how_many_draws_are_solved_at_once_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    x = pixels()
    found = learned(x, noisy(x, lobe(650, 90), 40))
    together = found.draws(20, 0)
    monkeypatch.setattr("bandfuse.solve.bandpass.response.BATCH_BYTES", 1)
    alone = found.draws(20, 0)
    np.testing.assert_allclose(alone, together, atol=1e-9 * together.max())


def test_a_draw_whose_window_is_shut_takes_the_prior_that_was_learned() -> None:
    from bandfuse.solve.bandpass.response import _priors

    x = pixels()
    found = learned(x, noisy(x, lobe(650, 90), 40))
    shut = found.at + np.array([1e5, 0, 0, 0, 0, 0, 0])
    roots, variances = _priors(found.prior, np.array([found.at, shut]), found.at)
    np.testing.assert_array_equal(roots[0], roots[1])
    assert variances[0] == variances[1]
