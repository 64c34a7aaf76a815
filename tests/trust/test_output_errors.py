"""Output errors: a planted covariance comes back, 90 % intervals hold about 90 % of pixels that
were not trained on, and distances are calibrated."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasters import cli, ok, read, write_tiff
from realdata import DATA, needs_real_data
from scipy.ndimage import binary_dilation
from scipy.stats import spearmanr

from bandfuse import load
from bandfuse.trust.output_errors import weight_factor, with_shared_bands


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


def test_outputs_over_the_same_bands_share_rows() -> None:
    """What 12 rows can hold of all outputs' variances over the spectra is held: no projection onto
    12 others holds more (singular values by scipy); bands of nothing stay so."""
    random = np.random.default_rng(2)
    factor = random.normal(size=(6, 10, 40)) * np.array([1, 10, 1, 5, 1e3, 1])[:, None, None]
    factor[:, :, 7] = 0
    spectra = random.normal(size=(3000, 40)) * np.geomspace(10, 0.1, 40)
    covariance = np.cov(spectra.T)
    found = with_shared_bands(factor, covariance)
    assert np.linalg.matrix_rank(found.reshape(60, 40)) == 12
    assert not found[:, :, 7].any()
    root = np.linalg.cholesky(covariance + 0.01 * np.diag(np.diag(covariance)))
    size = np.linalg.norm(factor @ root, axis=(1, 2))
    even = lambda f: (f / size[:, None, None]).reshape(60, 40) @ root  # noqa: E731
    values = np.linalg.svd(even(factor), compute_uv=False)
    best = (values[:12] ** 2).sum()
    assert best * (1 - 1e-3) < np.linalg.norm(even(found)) ** 2 < best * (1 + 1e-9)


def test_outputs_of_few_bands_of_their_own_keep_their_factors() -> None:
    random = np.random.default_rng(3)
    factor = np.zeros((4, 10, 40))
    for k in range(4):
        factor[k, :, 10 * k : 10 * k + 10] = random.normal(size=(10, 10))
    np.testing.assert_array_equal(with_shared_bands(factor, np.eye(40)), factor)


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


JASPER, SAMSON = "unmixing/jasper_198b.tif", "unmixing/samson_156b.tif"


def cube_and_nm(name: str) -> tuple[np.ndarray, np.ndarray]:
    """A real cube (B, rows, cols) in float64, and its wavelengths in nm."""
    with rasterio.open(DATA / name) as dataset:
        cube = dataset.read().astype(np.float64)
        nm = [float(dataset.tags(i)["wavelength"]) for i in dataset.indexes]
    return cube, np.array(nm) * (1000 if max(nm) < 100 else 1)


def matched(cube: np.ndarray, nm: np.ndarray) -> np.ndarray:
    """Targets of four responses, with noise of 40 dB."""
    response = np.exp(-((nm - [[490.0], [560.0], [665.0], [842.0]]) ** 2) / (2 * 30.0**2))
    target = np.tensordot(response / response.sum(axis=1, keepdims=True), cube, 1)
    noise = np.random.default_rng(0).normal(size=target.shape)
    return target + 0.01 * noise * target.std(axis=(1, 2), keepdims=True)


@needs_real_data
def test_intervals_hold_on_the_other_half_of_a_real_scene(tmp_path: Path) -> None:
    cube, nm = cube_and_nm(JASPER)
    target, half = matched(cube, nm), cube.shape[2] // 2
    for name, cols in (("a", slice(0, half)), ("b", slice(half, None))):
        write_tiff(tmp_path / f"{name}.tif", cube[:, :, cols].astype("float32"), nm=nm.tolist())
    write_tiff(tmp_path / "t.tif", target[:, :, :half].astype("float32"))
    run, second = tmp_path / "run", ("--uncertainty", tmp_path / "s.tif")
    ok("train", tmp_path / "a.tif", "--target", tmp_path / "t.tif", "-o", run, "--no-fused")
    report = json.loads((run / "report.json").read_text(encoding="utf-8"))
    for output in report["trust"]["outputs"]:
        assert 0.87 <= output["error"]["coverage"] <= 0.93
    ok("apply", run, tmp_path / "b.tif", "-o", tmp_path / "y.tif", *second)
    off = np.abs(read(tmp_path / "y.tif") - target[:, :, half:])
    covered = (off <= 1.645 * read(tmp_path / "s.tif")[:-1]).mean(axis=(1, 2))
    assert (covered >= 0.85).all()


@needs_real_data
def test_other_surfaces_of_real_scenes_lie_outside(tmp_path: Path) -> None:
    """Water, of a training on land; and another scene, put onto the same bands and brightness."""
    cube, nm = cube_and_nm(JASPER)
    target = matched(cube, nm)
    green, nir = (cube[np.argmin(np.abs(nm - at))] for at in (560, 860))
    water = green > nir
    near = binary_dilation(water, iterations=2)
    other, other_nm = cube_and_nm(SAMSON)
    shared = (nm > other_nm.min()) & (nm < other_nm.max())
    moved = np.apply_along_axis(lambda v: np.interp(nm[shared], other_nm, v), 0, other)
    moved *= np.median(cube[shared]) / np.median(moved)
    write_tiff(tmp_path / "t.tif", target.astype("float32"))
    land = np.where(near, np.nan, cube).astype("float32")
    cases = {
        "water": (land, cube.astype("float32"), nm),
        "other": (cube[shared].astype("float32"), moved.astype("float32"), nm[shared]),
    }
    found = {}
    for name, (first, second, at) in cases.items():
        write_tiff(tmp_path / f"{name}.tif", first, nm=at.tolist())
        write_tiff(tmp_path / f"{name}_2.tif", second, nm=at.tolist())
        run, target_of = tmp_path / f"{name}_run", ("--target", tmp_path / "t.tif")
        ok("train", tmp_path / f"{name}.tif", *target_of, "-o", run, "--no-fused", "--no-report")
        files = ("-o", tmp_path / "y.tif", "--uncertainty", tmp_path / "s.tif", "--overwrite")
        ok("apply", run, tmp_path / f"{name}_2.tif", *files)
        found[name] = read(tmp_path / "s.tif")[-1]
    assert (found["water"][water] > 0.99).mean() > 0.95
    assert (found["water"][~near] > 0.99).mean() < 0.05
    assert (found["other"] > 0.99).mean() > 0.9
