"""Belief: stability, exchangeable runs and needed bands, each against an independent reference."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import condition_of, rounding
from hypothesis import given
from hypothesis import strategies as st
from makers import Scene, make
from rasters import blend, ok, read, spectra, wavelengths, write_tiff
from scipy.stats import rankdata, spearmanr
from sklearn.linear_model import Ridge

from bandfuse.solve.layout import within
from bandfuse.spectral.groups import Group
from bandfuse.trust.band_windows import KEEP, needed
from bandfuse.trust.indistinguishable import condition, moving_cost, runs
from bandfuse.trust.penalty import Tie, ties
from bandfuse.trust.stability import stability

# --------------------------------------------------------------------------------------------------


@given(seed=st.integers(0, 1000), size=st.integers(2, 12))
def test_stability_is_that_of_scipy(seed: int, size: int) -> None:
    random = np.random.default_rng(seed)
    w, drawn = random.normal(size=size), random.normal(size=(30, size))
    found = stability(w, drawn)
    assert found.agreement == pytest.approx(
        np.mean([spearmanr(np.abs(w), np.abs(r)).statistic for r in drawn])
    )
    np.testing.assert_array_equal(found.rank, rankdata(-np.abs(w)))
    np.testing.assert_allclose(
        found.flips, [np.mean(np.sign(drawn[:, i]) != np.sign(w[i])) for i in range(size)]
    )
    low, high = np.percentile([rankdata(-np.abs(r)) for r in drawn], [2.5, 97.5], axis=0)
    np.testing.assert_allclose(found.rank_low, low)
    np.testing.assert_allclose(found.rank_high, high)


def test_a_weight_of_zero_has_no_sign_and_equal_sizes_no_agreement() -> None:
    found = stability(np.array([0.0, 1.0]), np.array([[1.0, 1.0], [0.0, -2.0]]))
    assert np.isnan(found.flips[0])
    assert found.flips[1] == 0.5
    assert np.isnan(stability(np.array([1.0, 1.0]), np.array([[1.0, 2.0]])).agreement)


# --------------------------------------------------------------------------------------------------


def chain(n: int) -> list[Tie]:
    return [Tie(i, i + 1, 1.0) for i in range(n - 1)]


@given(seed=st.integers(0, 1000), size=st.integers(2, 6))
def test_no_way_of_sharing_costs_more_than_is_said(seed: int, size: int) -> None:
    """Signed and unsigned weights, shared out at random; the bound is reached by moving all to the
    worst pair."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(50, size)) @ random.normal(size=(size, size))
    a, w, variance = np.cov(x.T, bias=True), random.normal(size=size), 2.0
    cost = moving_cost(a, w, range(size), variance)
    total = np.abs(w).sum()
    for _ in range(20):
        give, take = random.dirichlet(np.ones(size), 2)
        moved = total * (give - take)
        assert np.var(x @ moved) / variance <= cost * (1 + rounding())
    pairs = [
        np.var(x @ (total * (np.eye(size)[p] - np.eye(size)[q])))
        for p in range(size)
        for q in range(p)
    ]
    assert cost == pytest.approx(max(pairs) / variance)


def test_bands_that_are_alike_are_one_run_and_others_stay_alone() -> None:
    random = np.random.default_rng(0)
    one, two, three = random.normal(size=(3, 400))
    x = np.array([one, one + 1e-4 * three, one - 1e-4 * three, two, two + 1.0 * three])
    a = np.cov(x, bias=True)
    w = np.array([0.2, 0.5, -0.1, 0.7, 0.4])
    t = w @ x
    drawn = w + np.array([[0.3, -0.3, 0.01, 0.0, 0.0], [-0.2, 0.2, -0.01, 0.0, 0.0]])
    (run,) = runs(a, w, drawn, float(t.var()), chain(5))
    assert run.positions == (0, 1, 2)
    assert run.total == pytest.approx(0.6)
    assert (run.low, run.high) == (pytest.approx(0.59, abs=1e-3), pytest.approx(0.61, abs=1e-3))
    assert run.cost < 1e-6
    # A gap ends a run.
    assert runs(a, w, drawn, float(t.var()), [Tie(1, 2, 1.0), Tie(3, 4, 1.0)])[0].positions == (
        1,
        2,
    )


def test_condition_is_that_of_the_correlations() -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(200, 4)) @ random.normal(size=(4, 4)) * [1, 10, 100, 1000]
    assert condition(np.cov(x.T)) == pytest.approx(condition_of(x), rel=rounding(condition_of(x)))
    assert condition(np.ones((2, 2))) > 1e14


# --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scene() -> Scene:
    """Thirty independent bands, of which two outputs need three."""
    w = np.zeros((2, 30))
    w[0, [4, 5]], w[1, 20] = (1.0, 0.8), 1.5
    made = make(w, 0.2)
    random = np.random.default_rng(1)
    x = [random.normal(size=v.shape) for v in made.x]
    t = [v @ w.T + 0.2 * random.normal(size=(len(v), 2)) + 3 for v in x]
    return Scene(x, t, made.bands)


def explained(scene: Scene, bands: list[int], ridge: float) -> float:
    """By scikit-learn: mean over the outputs of 1 − error / variance on the same folds."""
    x, t = np.concatenate(scene.x), np.concatenate(scene.t)
    error = np.zeros(2)
    for xa, ta, xb, tb in scene.held_out():
        scale = np.sqrt(ridge * len(xa) * x[:, bands].var(axis=0))
        model = Ridge(alpha=1.0).fit(xa[:, bands] / scale, ta)
        error += ((tb - model.predict(xb[:, bands] / scale)) ** 2).sum(axis=0)
    return float(np.mean(1 - error / len(t) / t.var(axis=0)))


def test_needed_bands_are_found_and_scored_as_scikit_learn_does(scene: Scene) -> None:
    ridge = 1e-3
    found = needed(scene.terms(), range(30), ridge)
    assert found is not None
    assert [w.positions for w in found.windows] == [(4, 5), (20,)]
    assert found.full == pytest.approx(explained(scene, list(range(30)), ridge), rel=1e-6)
    assert found.explained == pytest.approx(explained(scene, [4, 5, 20], ridge), rel=1e-6)
    assert found.explained >= KEEP * found.full
    first, second = found.windows
    assert first.worth == pytest.approx(found.explained - explained(scene, [20], ridge), rel=1e-6)
    assert second.worth == pytest.approx(
        found.explained - explained(scene, [4, 5], ridge), rel=1e-6
    )


def test_nothing_is_needed_where_nothing_is_explained(scene: Scene) -> None:
    random = np.random.default_rng(0)
    noise = Scene(scene.x, [random.normal(size=t.shape) for t in scene.t], scene.bands)
    assert needed(noise.terms(), range(30), 0.1) is None
    single = Scene(scene.x[:1], scene.t[:1], scene.bands)
    assert needed(single.terms(), range(30), 0.1) is None
    assert len(ties(scene.bands, tuple(range(30)))) == 29


# --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("belief")
    cube = spectra(12, 40, 50)
    truth = [[0, 0, 0.3, 0.5, 0.2, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0, 0.5, 0.5, 0, 0]]
    target = blend(cube, truth) + np.random.default_rng(0).normal(0, 0.002, (2, 40, 50))
    scene = write_tiff(folder / "x.tif", cube, nm=wavelengths(12))
    ok(
        "train",
        scene,
        "--target",
        write_tiff(folder / "t.tif", target, names=["a", "<b>"]),
        "--constraint",
        "nonnegative",
        "--ridge",
        "auto",
        "--smooth",
        "auto",
        "-o",
        folder / "run",
    )
    return folder / "run"


def test_the_report_says_how_far_weights_can_be_believed(run: Path) -> None:
    report: dict[str, Any] = json.loads((run / "report.json").read_text())
    condition = condition_of(read(run.parent / "x.tif").reshape(12, -1).T)
    for one, output in zip(report["trust"]["outputs"], report["outputs"], strict=True):
        best = min(one["curve"], key=lambda p: p["error"])
        assert (best["ridge"], best["smooth"]) == (output["ridge"], output["smooth"])
        assert one["centre_nm"]["low"] <= one["centre_nm"]["value"] <= one["centre_nm"]["high"]
        assert len(one["weights"]) == 12
        assert one["condition"] == pytest.approx(condition, rel=rounding(condition))
    windows = report["trust"]["needed"]["windows"]
    assert 1 <= sum(len(w["bands"]) for w in windows) < 12
    page = (run / "report.html").read_text()
    for words in (
        "How far to trust the weights",
        "Bands that would do",
        "Rank agreement",
        "chosen",
    ):
        assert words in page
    assert "<b>" not in page


def test_without_blocks_there_is_nothing_to_say(tmp_path: Path) -> None:
    cube = spectra(3, 20, 20)
    scene, target = write_tiff(tmp_path / "x.tif", cube), write_tiff(tmp_path / "t.tif", cube[:1])
    ok(
        "train",
        scene,
        "--target",
        target,
        "--loss",
        "mae",
        "--steps",
        5,
        "--folds",
        0,
        "-o",
        tmp_path / "run",
    )
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert report["trust"] is None
    assert report["scores"]["holdout"] is None
    assert "Not known for this run" in (tmp_path / "run" / "report.html").read_text()


def test_a_band_that_does_not_vary_makes_the_condition_infinite() -> None:
    assert condition(np.diag([1.0, 0.0])) == np.inf
    assert condition(np.diag([4.0, 9.0])) == 1.0


def test_the_bounds_of_a_run_are_percentiles_of_its_sums() -> None:
    a, w = np.full((3, 3), 1.0) + 1e-12 * np.eye(3), np.array([0.5, 0.3, 0.2])
    drawn = w + np.random.default_rng(0).normal(0, 0.1, (300, 3))
    (run,) = runs(a, w, drawn, 1.0, chain(3))
    low, high = np.percentile(drawn.sum(axis=1), [2.5, 97.5])
    assert (run.total, run.low, run.high) == pytest.approx((1.0, low, high))
    (alone,) = runs(a, w, np.zeros((0, 3)), 1.0, chain(3))
    assert (alone.total, alone.low, alone.high) == pytest.approx((1.0, 1.0, 1.0))
    assert runs(a, np.array([0.0, 0.004, 1.0]), drawn, 1.0, [Tie(0, 1, 1.0)]) == []


def test_bands_are_needed_by_the_outputs_that_may_use_them(scene: Scene) -> None:
    apart = [Group("a", tuple(range(15))), Group("b", tuple(range(15, 30)))]
    found = needed(
        replace(scene.terms(), layout=within(apart, 30, "channel", set(), [0, 1])), range(30), 1e-3
    )
    assert found is not None
    assert [w.positions for w in found.windows] == [(4, 5), (20,)]
    assert found.full < 1 - 1e-3
    crossed = within(apart[::-1], 30, "channel", set(), [0, 1])
    assert needed(replace(scene.terms(), layout=crossed), range(30), 1e-3) is None


def windows_for(weights: dict[int, float], more: np.ndarray | None = None) -> list[tuple[int, ...]]:
    """The windows that an output of thirty independent bands needs; ``more``: what else stands in
    band 15."""
    random = np.random.default_rng(3)
    x = random.normal(size=(20, 60, 30))
    if more is not None:
        x[..., 15] = x @ more + 0.3 * x[..., 15]
    t = sum(w * x[..., b] for b, w in weights.items()) + 0.05 * random.normal(size=(20, 60)) + 3
    bands = make(np.zeros((1, 30)), 0.1, n_blocks=1).bands
    found = needed(Scene(list(x), list(t[..., None]), bands).terms(), range(30), 1e-3)
    assert found is not None
    assert KEEP * found.full <= found.explained
    return [w.positions for w in found.windows]


def test_windows_join_are_trimmed_and_go_where_others_do_their_work() -> None:
    assert windows_for({20: 1.0, 21: 0.9}) == [(20, 21)]
    assert windows_for({2: 1.0, 20: 1.0, 21: 0.9}) == [(2,), (20, 21)]
    assert windows_for({3: 1.0, 9: 0.7, 20: 1.0, 21: 0.9, 22: 0.8}) == [(3,), (9,), (20, 21, 22)]
    # Band 15 is nearly what is asked for, and the first to be taken; with bands 3 and 20 it is
    # needed no more.
    assert windows_for({3: 1.0, 20: 1.0}, np.isin(np.arange(30), [3, 20]).astype(float)) == [
        (3,),
        (20,),
    ]


@pytest.mark.parametrize("variance", [1.0, 0.0])
def test_runs_are_as_long_as_moving_their_weight_is_cheap(variance: float) -> None:
    random = np.random.default_rng(5)
    steps = random.normal(size=(500, 40)) * random.choice([0.006, 0.15], 40)
    a = np.cov((random.normal(size=(500, 1)) + np.cumsum(steps, axis=1)).T)
    w = random.uniform(0.5, 1.0, 40) / 40
    lengths = []
    for run in runs(a, w, np.zeros((0, 40)), variance, chain(40)):
        first, last = run.positions[0], run.positions[-1]
        assert run.cost == moving_cost(a, w, run.positions, variance) <= 1e-3
        assert last == 39 or moving_cost(a, w, range(first, last + 2), variance) > 1e-3
        lengths.append(len(run.positions))
    assert lengths == [40] if variance == 0.0 else len(set(lengths)) > 2
