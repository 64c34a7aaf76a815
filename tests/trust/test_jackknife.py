"""Jackknife: intervals from trainings without each fold, against scipy and against weights of known
populations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import bands_of, condition_of, rounding
from rasters import blend, ok, spectra, wavelengths, write_tiff
from scipy.stats import kstest, kstwo, spearmanr
from scipy.stats import t as student

from bandfuse.moments.moments import Moments
from bandfuse.optimise.fit import Settings, fit
from bandfuse.optimise.objectives.base import Objective
from bandfuse.optimise.objectives.reconstruction import Reconstruction
from bandfuse.optimise.objectives.separability import Separability
from bandfuse.optimise.objectives.snr import SignalToNoise
from bandfuse.solve.classes import scatters
from bandfuse.solve.gauge import normalise
from bandfuse.solve.layout import Layout, within
from bandfuse.spectral.groups import Group
from bandfuse.trust.jackknife import facing, jackknife

FREE = np.zeros(1, dtype=bool)


def test_of_a_mean_it_is_students_interval() -> None:
    """Without one of G equal groups, means differ as in the textbook's interval of a mean of G
    numbers."""
    values = np.random.default_rng(0).normal(3, 2, size=(6, 1, 4))
    without = [np.delete(values, i, axis=0).mean(axis=0) for i in range(6)]
    found = jackknife(values.mean(axis=0), without, FREE)
    assert found is not None
    error = values.std(axis=0, ddof=1) / np.sqrt(6)
    low, high = student.interval(0.95, 5, loc=values.mean(axis=0), scale=error)
    np.testing.assert_allclose(found.low, low)
    np.testing.assert_allclose(found.high, high)
    # What stands for resamples is drawn from the same distribution: in one in a thousand seeds one
    # of the four is farther off than this.
    standard = ((found.resampled - values.mean(axis=0)) / error)[:, 0]
    for column in standard.T:
        assert kstest(column, student(5).cdf).statistic < kstwo.isf(1e-3 / 4, len(standard))
    # One mean each, drawn together: their correlations are those of the groups, three errors of a
    # rank correlation.
    expected = 6 / np.pi * np.arcsin(np.corrcoef(values[:, 0].T) / 2)
    np.testing.assert_allclose(
        spearmanr(standard).statistic, expected, atol=3 / np.sqrt(len(standard))
    )


def test_what_cannot_be_negative_ends_at_zero_and_one_training_says_nothing() -> None:
    fitted = np.array([[0.1, 0.9], [0.1, 0.9]])
    without = [fitted + 0.2, fitted - 0.2]
    found = jackknife(fitted, without, np.array([True, False]))
    assert found is not None
    assert found.low[0, 0] == 0 > found.low[1, 0]
    assert found.resampled[:, 0].min() == 0 > found.resampled[:, 1].min()
    assert jackknife(fitted, without[:1], np.array([True, False])) is None


def test_weights_that_have_a_sum_of_one_end_at_one() -> None:
    fitted = np.array([[0.1, 0.9]])
    step = np.array([[0.1, -0.1]])
    without = [fitted + step, fitted - step]
    found = jackknife(fitted, without, np.array([True]), 1.0)
    assert found is not None
    assert found.high.max() == found.resampled.max() == 1
    assert found.low.min() == found.resampled.min() == 0


def test_rows_are_turned_to_the_fitted_side() -> None:
    w = np.array([[1.0, -2.0], [0.5, 0.1]])
    np.testing.assert_array_equal(facing(w, w * [[-1], [1]]), w)


def split(d: int, rows: int) -> Layout:
    """Rows that share the bands out evenly."""
    parts = np.array_split(np.arange(d), rows)
    groups = [Group(f"g{i}", tuple(p.tolist())) for i, p in enumerate(parts)]
    return within(groups, d, "channel", set(), list(range(rows)))


def learned(layout: Layout, objective: Objective) -> np.ndarray:
    d = layout.shape[1]
    found = fit(layout, objective, bands_of(d), np.zeros(d), None, Settings("free"))
    return normalise(found.weight, "free")


@pytest.mark.thorough
@pytest.mark.parametrize("goal", ["reconstruction", "separability", "snr"])
def test_intervals_cover_the_weights_of_the_population(goal: str) -> None:
    """Pixels drawn from a known population, 15 scenes: what is learned from the population's own
    moments lies within the intervals about as often as they say."""
    random = np.random.default_rng(1)
    d, rows, n, folds = 6, 2, 1500, 5
    layout = split(d, rows)
    mix = random.normal(size=(d, d)) + 2 * np.eye(d)
    centres = random.normal(scale=2.0, size=(3, d))
    noise = 0.3 * (random.normal(size=(d, d)) + np.eye(d))

    def objective(parts: dict[int, Moments], seen: Moments) -> Objective:
        if goal == "separability":
            return Separability(*scatters(parts, balanced=False))
        every = sum(parts.values(), Moments.zero(d))
        return (
            Reconstruction(every.covariance)
            if goal == "reconstruction"
            else SignalToNoise(every.covariance, seen.covariance, rows)
        )

    a, e = mix.T @ mix, noise.T @ noise
    truth = learned(
        layout,
        objective(
            {c: Moments(1000, m, 1000 * a) for c, m in enumerate(centres)},
            Moments(1000, np.zeros(d), 1000 * e),
        ),
    )
    inside = []
    for _ in range(15):
        y = random.integers(0, 3, n)
        x, z = random.normal(size=(n, d)) @ mix + centres[y], random.normal(size=(n, d)) @ noise
        fold = np.arange(n) * folds // n

        def of(
            kept: np.ndarray, x: np.ndarray = x, y: np.ndarray = y, z: np.ndarray = z
        ) -> np.ndarray:
            parts = {c: Moments.of(x[kept & (y == c)]) for c in range(3)}
            return learned(layout, objective(parts, Moments.of(z[kept])))

        fitted = of(np.ones(n, dtype=bool))
        without = [facing(fitted, of(fold != i)) for i in range(folds)]
        found = jackknife(fitted, without, np.zeros(rows, dtype=bool))
        assert found is not None
        seen = facing(fitted, truth)
        inside.append(((found.low <= seen) & (seen <= found.high))[layout.row, layout.col])
    assert 0.90 <= np.mean(inside) <= 0.99, np.mean(inside)


# ---------------------------------------------------------------------------------------------- fro


def train(folder: Path, *flags: object) -> dict[str, Any]:
    ok("train", *flags, "-o", folder / "run")
    found: dict[str, Any] = json.loads((folder / "run" / "report.json").read_text())
    return found


@pytest.fixture
def cube(tmp_path: Path) -> Path:
    return Path(write_tiff(tmp_path / "x.tif", spectra(12, 40, 50), nm=wavelengths(12)))


def test_every_weight_of_a_reconstruction_has_an_interval(cube: Path) -> None:
    found = train(cube.parent, cube, "--objective", "reconstruction", "--groups", "equal:3")
    assert found["trust"]["method"] == "jackknife over folds"
    for row in found["weights"]:
        assert 0 <= row["ci_low"] <= row["effective_weight"] <= row["ci_high"]
    for one, bands in zip(
        found["trust"]["outputs"], spectra(12, 40, 50).reshape(3, 4, -1), strict=True
    ):
        assert len(one["weights"]) == 4
        assert one["curve"] == []
        condition = condition_of(bands.T)
        assert one["condition"] == pytest.approx(condition, rel=rounding(condition))
    page = (cube.parent / "run" / "report.html").read_text()
    assert "jackknife over the folds" in page
    assert "95\u202f% interval" in page


@pytest.mark.thorough
def test_weights_that_did_not_arrive_and_those_of_scenes_have_intervals(
    cube: Path, tmp_path: Path
) -> None:
    x = spectra(12, 40, 50)
    target = write_tiff(tmp_path / "t.tif", blend(x, [[0, 0.2, 0.5, 0.3, *[0] * 8]]))
    found = train(tmp_path, cube, "--target", target, "--optimizer", "adam", "--steps", 20)
    assert found["trust"]["method"] == "jackknife over folds"
    assert all(
        row["ci_low"] <= row["effective_weight"] <= row["ci_high"] for row in found["weights"]
    )
    other = write_tiff(tmp_path / "y.tif", 0.5 * x[:, ::-1] + 1, nm=wavelengths(12))
    theirs = write_tiff(tmp_path / "u.tif", blend(x[:, ::-1], [[0.1, 0.2, 0.4, 0.3, *[0] * 8]]))
    found = train(
        tmp_path,
        cube,
        other,
        "--target",
        target,
        "--target",
        theirs,
        "--scope",
        "per-scene",
        "--constraint",
        "nonnegative",
        "--overwrite",
    )
    assert {row["scene"] for row in found["weights"]} == {"x", "y"}
    assert all(
        row["ci_low"] <= row["effective_weight"] <= row["ci_high"] for row in found["weights"]
    )


def test_without_folds_there_are_none(cube: Path) -> None:
    found = train(
        cube.parent, cube, "--objective", "reconstruction", "--groups", "equal:3", "--folds", 0
    )
    assert found["trust"] is None
    assert all(row["ci_low"] is None for row in found["weights"])
