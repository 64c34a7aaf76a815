"""Output errors: a planted covariance comes back, 90 % intervals hold about 90 % of pixels that
were not trained on, and distances are calibrated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rasters import cli, ok, read, write_tiff
from scipy.stats import spearmanr

from bandfuse import load
from bandfuse.trust.output_errors import weight_factor


def test_a_planted_covariance_comes_back() -> None:
    """Draws in a space of 10 dimensions: the factor has their covariance, but for bands that bring
    in less than a thousandth of it."""
    random = np.random.default_rng(0)
    planted = random.normal(size=(10, 40))
    drawn = random.normal(size=(300, 10)) @ planted + random.normal(size=40)
    spectra = random.normal(size=(500, 40)) * np.linspace(1, 3, 40)
    covariance = np.cov(spectra.T)
    factor = weight_factor(drawn, covariance)
    assert factor.shape == (10, 40)
    exact = np.cov(drawn.T, bias=True)
    np.testing.assert_allclose(factor.T @ factor, exact, rtol=1e-8, atol=1e-9 * np.abs(exact).max())
    seen = np.einsum("nb,bc,nc->n", spectra, exact, spectra)
    np.testing.assert_allclose(((spectra @ factor.T) ** 2).sum(axis=1), seen, rtol=1e-8)


def test_few_columns_hold_what_counts_over_the_spectra() -> None:
    """Spectra have few dimensions, weights are drawn in all of them."""
    random = np.random.default_rng(1)
    spectra = random.normal(size=(2000, 5)) @ random.normal(size=(5, 60))
    drawn = random.normal(size=(200, 60))
    factor = weight_factor(drawn, np.cov(spectra.T))
    seen = ((spectra @ np.cov(drawn.T, bias=True)) * spectra).sum(axis=1)
    found = ((spectra @ factor.T) ** 2).sum(axis=1)
    assert 0.9 < found.mean() / seen.mean() <= 1 + 1e-9


NM = np.linspace(420, 2400, 40)
RESPONSE = np.exp(-((NM - [[660.0], [860.0]]) ** 2) / (2 * 60.0**2))
RESPONSE /= RESPONSE.sum(axis=1, keepdims=True)


def land(seed: int, rows: int = 70, cols: int = 80, water: float = 0.0) -> np.ndarray:
    """(B, rows, cols) mixtures of vegetation and soil; ``water``: a part at the right."""
    random = np.random.default_rng(seed)
    leaf = 0.05 + 0.4 / (1 + np.exp(-(NM - 710) / 20)) * np.exp(-((NM - 900) ** 2) / 2e6)
    soil = 0.1 + 0.2 * (NM - 400) / 2000
    row, col = np.mgrid[:rows, :cols]
    phase = random.uniform(0, 6, 4)
    share = 0.5 + 0.3 * np.sin(row / 9 + phase[0]) * np.cos(col / 7 + phase[1])
    light = 1 + 0.2 * np.sin(row / 5 + col / 6 + phase[2])
    cube = light * (share * leaf[:, None, None] + (1 - share) * soil[:, None, None])
    dark = 0.06 * np.exp(-(NM - 420) / 150)[:, None, None] + 0.002
    cube = np.where(col[None] >= cols * (1 - water), dark, cube)
    return cube + random.normal(0, 0.002, cube.shape)


def pair(folder: Path, name: str, seed: int, **how: Any) -> tuple[str, np.ndarray]:
    """A cube, and a target with noise of a known size."""
    cube = land(seed, **how)
    noise = np.random.default_rng(1000 + seed).normal(0, 0.004, (2, *cube.shape[1:]))
    target = np.tensordot(RESPONSE, cube, 1) + noise
    path = write_tiff(folder / f"{name}.tif", cube.astype("float32"), nm=NM.tolist())
    write_tiff(folder / f"{name}_t.tif", target.astype("float32"), names=["red", "nir"])
    return path, target


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("errors")
    path, _ = pair(folder, "a", 0)
    ok("train", path, "--target", folder / "a_t.tif", "-o", folder / "run", "--no-fused")
    return folder


def test_intervals_hold_what_they_say(trained: Path, tmp_path: Path) -> None:
    import json

    report = json.loads((trained / "run" / "report.json").read_text(encoding="utf-8"))
    for output in report["trust"]["outputs"]:
        error = output["error"]
        assert 0.87 <= error["coverage"] <= 0.93
        assert 0 <= error["of_weights"] < 0.5
        assert error["residual"] == pytest.approx(0.004, rel=0.1)
    path, target = pair(tmp_path, "b", 7)
    ok(
        "apply",
        trained / "run",
        path,
        "-o",
        tmp_path / "y.tif",
        "--uncertainty",
        tmp_path / "s.tif",
    )
    y, sd = read(tmp_path / "y.tif"), read(tmp_path / "s.tif")
    for k in range(2):
        off = np.abs(y[k] - target[k])
        assert 0.87 <= (off <= 1.645 * sd[k]).mean() <= 0.93
        assert -0.1 < spearmanr(sd[k].ravel(), off.ravel()).statistic < 0.6


def test_distances_are_calibrated_and_water_lies_outside(trained: Path, tmp_path: Path) -> None:
    """A training without water: land of another scene spreads over 0 … 1, water is at 1."""
    path, _ = pair(tmp_path, "b", 3, water=0.25)
    ok(
        "apply",
        trained / "run",
        path,
        "-o",
        tmp_path / "y.tif",
        "--uncertainty",
        tmp_path / "s.tif",
    )
    outside = read(tmp_path / "s.tif")[-1]
    on_land, on_water = outside[:, :60], outside[:, 60:]
    assert (on_water > 0.999).mean() > 0.99
    assert 0.3 < np.median(on_land) < 0.7
    assert (on_land > 0.95).mean() < 0.15


def test_pixels_at_random_are_calibrated(tmp_path: Path) -> None:
    """Spectra that are alike everywhere, heavy tails too: the parts are even."""
    random = np.random.default_rng(5)
    mixing = random.normal(size=(12, 12))

    def cube(seed: int) -> np.ndarray:
        drawn = np.random.default_rng(seed).standard_t(3, (12, 4000))
        return (mixing @ drawn).reshape(12, 50, 80) + 50

    first = write_tiff(tmp_path / "a.tif", cube(1), nm=NM[:12].tolist())
    other = write_tiff(tmp_path / "b.tif", cube(2), nm=NM[:12].tolist())
    ok("train", first, "--groups", "equal:2", "-o", tmp_path / "run", "--no-fused")
    done = cli(
        *("apply", tmp_path / "run", other),
        *("-o", tmp_path / "y.tif", "--uncertainty", tmp_path / "s.tif"),
    )
    assert done.code == 0
    assert "s.tif has no errors of outputs, only the extrapolation" in done.err
    (outside,) = read(tmp_path / "s.tif")
    for part in (0.1, 0.5, 0.9, 0.95):
        assert (outside <= part).mean() == pytest.approx(part, abs=0.03)


def test_scenes_with_weights_of_their_own_have_errors_of_their_own(tmp_path: Path) -> None:
    for i, name in enumerate("ab"):
        pair(tmp_path, name, i, rows=40, cols=40)
    ok(
        *("train", tmp_path / "a.tif", tmp_path / "b.tif"),
        *("--target", tmp_path / "{stem}_t.tif", "--scope", "per-scene", "--pooling", "0.01"),
        *("-o", tmp_path / "run", "--no-fused", "--no-report"),
    )
    model = load(tmp_path / "run")
    assert model.uncertainty is not None
    assert set(model.uncertainty.errors) == {"", "a", "b"}
    for key in "ab":
        scene = tmp_path / f"{key}.tif"
        second = ("-o", tmp_path / "y.tif", "--uncertainty", tmp_path / "s.tif", "--overwrite")
        ok("apply", tmp_path / "run", scene, *second)
        y, sd, target = (read(tmp_path / n) for n in ("y.tif", "s.tif", f"{key}_t.tif"))
        for k in range(2):
            assert 0.85 <= (np.abs(y[k] - target[k]) <= 1.645 * sd[k]).mean() <= 0.95
