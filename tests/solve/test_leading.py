"""Several outputs of one group: against principal components, scikit-learn's discriminants and two
other computations of the minimum noise fraction."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rasters import cli, ok, read, spectra, wavelengths, write_tiff
from scipy.linalg import eigh
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from spectral import GaussianStats, mnf

from bandfuse.interop.estimator import BandFuser
from bandfuse.model.weightsfile import load
from bandfuse.solve.leading import leading

ROWS, COLS, B = 16, 96, 7


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray, np.ndarray]:
    """A cube of four classes in stripes, with noise that differs between bands."""
    folder = tmp_path_factory.mktemp("leading")
    random = np.random.default_rng(3)
    y = np.broadcast_to(np.arange(COLS) // 3 % 4, (ROWS, COLS))
    cube = spectra(B, ROWS, COLS).astype(np.float64)
    for band, number in ((1, 1), (4, 2), (6, 3)):
        cube[band] += 0.04 * (y == number)
    cube += random.normal(size=cube.shape) * np.linspace(0.01, 0.03, B)[:, None, None]
    write_tiff(folder / "cube.tif", cube, nm=wavelengths(B))
    write_tiff(folder / "y.tif", (y + 1).astype("uint8")[None])
    return folder, cube, y


def train(folder: Path, *flags: object) -> tuple[np.ndarray, dict[str, Any]]:
    """The weights and the report."""
    run = folder / "run"
    how = ("--no-report", "--overwrite", "-o", run)
    ok("train", folder / "cube.tif", *flags, *how)
    return load(run / "weights.safetensors").common.matrix, json.loads(
        (run / "report.json").read_text()
    )


def names(report: dict[str, Any]) -> list[str]:
    return [row["name"] for row in report["outputs"]]


def alike(found: np.ndarray, expected: np.ndarray) -> None:
    """Rows of one direction each, in the same order."""
    expected = expected / np.linalg.norm(expected, axis=1, keepdims=True)
    found = found / np.linalg.norm(found, axis=1, keepdims=True)
    assert found.shape == expected.shape
    np.testing.assert_allclose(np.abs((found * expected).sum(axis=1)), 1, atol=1e-7)


def test_outputs_of_a_reconstruction_are_principal_components(
    scene: tuple[Path, np.ndarray, np.ndarray],
) -> None:
    folder, cube, _ = scene
    found, report = train(folder, "--outputs", 3)
    pixels = cube.reshape(B, -1).T
    pca = PCA(3).fit(pixels)
    alike(found, pca.components_)
    assert names(report) == ["pc1", "pc2", "pc3"]
    assert report["scores"]["train"]["cube"]["r2"] == pytest.approx(
        pca.explained_variance_ratio_.sum(), rel=1e-6
    )
    held = report["scores"]["holdout"]["cube"]["r2"]
    assert report["baselines"]["pca_k"]["holdout"]["cube"]["r2"] == pytest.approx(held, rel=1e-6)
    fused = read(folder / "run" / "fused.tif").reshape(3, -1)
    np.testing.assert_allclose(np.corrcoef(fused), np.eye(3), atol=1e-4)
    assert (np.diff(fused.var(axis=1)) < 0).all()
    assert {row["constraint"] for row in report["outputs"]} == {"free"}
    assert report["convergence"]["relative_gap"] == 0


def noise_of(cube: np.ndarray, side: int = 8) -> np.ndarray:
    """(B, B) covariance of the differences of neighbours, within blocks as the pass has them."""
    edges = [{i * n // side for i in range(side + 1)} for n in cube.shape[1:]]
    down = [cube[:, r + 1] - cube[:, r] for r in range(ROWS - 1) if r + 1 not in edges[0]]
    across = [cube[:, :, c + 1] - cube[:, :, c] for c in range(COLS - 1) if c + 1 not in edges[1]]
    every = np.concatenate([np.concatenate(down, axis=1), np.concatenate(across, axis=1)], axis=1)
    return np.cov(every / np.sqrt(2), bias=True)


def test_outputs_of_snr_are_minimum_noise_fractions(
    scene: tuple[Path, np.ndarray, np.ndarray],
) -> None:
    """By scipy's generalised eigenvectors, and by the MNF of Spectral Python."""
    folder, cube, _ = scene
    found, report = train(folder, "--objective", "snr", "--outputs", 4)
    pixels, noise = cube.reshape(B, -1), noise_of(cube)
    signal = np.cov(pixels, bias=True)
    values, vectors = eigh(signal, noise)
    alike(found, vectors[:, ::-1][:, :4].T)
    theirs = mnf(
        GaussianStats(mean=pixels.mean(axis=1), cov=signal),
        GaussianStats(mean=np.zeros(B), cov=noise),
    )
    reduced = theirs.reduce(cube.transpose(1, 2, 0), num=4).reshape(-1, 4)
    fused = read(folder / "run" / "fused.tif").reshape(4, -1)
    for mine, other in zip(fused, reduced.T, strict=True):
        assert abs(np.corrcoef(mine, other)[0, 1]) == pytest.approx(1, abs=1e-6)
    assert names(report) == ["mnf1", "mnf2", "mnf3", "mnf4"]
    decibels = [report["scores"]["train"][name]["snr_db"] for name in names(report)]
    np.testing.assert_allclose(decibels, 10 * np.log10(values[::-1][:4]), atol=1e-6)
    assert report["scores"]["holdout"]["mnf1"]["snr_db"] is not None


def test_outputs_of_separability_are_linear_discriminants(
    scene: tuple[Path, np.ndarray, np.ndarray],
) -> None:
    folder, cube, y = scene
    labels = ("--labels", folder / "y.tif", "--ridge", 0)
    found, report = train(folder, *labels, "--outputs", 3)
    pixels = cube.reshape(B, -1).T
    model = LinearDiscriminantAnalysis(solver="eigen").fit(pixels, y.ravel())
    alike(found, model.scalings_[:, :3].T)
    assert names(report) == ["ld1", "ld2", "ld3"]
    assert report["scores"]["train"]["classes"]["accuracy"] == pytest.approx(
        model.score(pixels, y.ravel()), abs=1e-9
    )
    done = cli("train", folder / "cube.tif", *labels, "--outputs", 4, "-o", folder / "no")
    assert done.code == 2
    assert "got 4 outputs for 4 classes; expected at most 3" in done.err


@pytest.mark.one_in(2)
@pytest.mark.parametrize("objective", ["reconstruction", "separability", "snr"])
def test_every_group_has_so_many_outputs(
    scene: tuple[Path, np.ndarray, np.ndarray], objective: str
) -> None:
    folder, cube, _ = scene
    more = ["--labels", folder / "y.tif", "--ridge", 0] if objective == "separability" else []
    how = ("--objective", objective, "--group", "a=1-3", "--group", "b=4-7", "--outputs", 2)
    found, report = train(folder, *more, *how)
    word = "mnf" if objective == "snr" else "c"
    assert names(report) == [f"{g}_{word}{i}" for g in "ab" for i in (1, 2)]
    assert (found[:2, 3:] == 0).all()
    assert (found[2:, :3] == 0).all()
    fused = read(folder / "run" / "fused.tif").reshape(4, -1)
    for pair in (fused[:2], fused[2:]):
        assert abs(np.corrcoef(pair)[0, 1]) < 1e-3
    if objective == "snr":
        signal, noise = np.cov(cube.reshape(B, -1), bias=True), noise_of(cube)
        for part, rows in ((slice(0, 3), slice(0, 2)), (slice(3, 7), slice(2, 4))):
            _, vectors = eigh(signal[part, part], noise[part, part])
            alike(found[rows, part], vectors[:, ::-1][:, :2].T)


def test_one_named_group_gives_its_name(scene: tuple[Path, np.ndarray, np.ndarray]) -> None:
    folder, cube, _ = scene
    found, report = train(folder, "--group", "vis=1-4", "--outputs", 2)
    assert names(report) == ["vis_pc1", "vis_pc2"]
    alike(found[:, :4], PCA(2).fit(cube[:4].reshape(4, -1).T).components_)
    assert names(train(folder, "--groups", "1-4", "--outputs", 2)[1]) == ["pc1", "pc2"]


def test_outputs_that_are_not_negative(scene: tuple[Path, np.ndarray, np.ndarray]) -> None:
    """They rebuild less of the cube than free ones, and are no components."""
    folder, _, _ = scene
    found, report = train(folder, "--outputs", 2, "--constraint", "nonnegative", "--starts", 1)
    assert (found >= 0).all()
    assert names(report) == ["c1", "c2"]
    free = train(folder, "--outputs", 2)[1]["scores"]["train"]["cube"]["r2"]
    assert 0.3 < report["scores"]["train"]["cube"]["r2"] <= free


def test_an_optimizer_finds_the_components_too(scene: tuple[Path, np.ndarray, np.ndarray]) -> None:
    folder, _, _ = scene
    exact, _ = train(folder, "--outputs", 2)
    found, report = train(folder, "--outputs", 2, "--init", "normal", "--folds", 0)
    assert names(report) == ["pc1", "pc2"]
    np.testing.assert_allclose(np.abs((found * exact).sum(axis=1)), 1, atol=1e-5)
    labels = ("--labels", folder / "y.tif", "--outputs", 2)
    exact, _ = train(folder, *labels)
    found, _ = train(folder, *labels, "--init", "normal", "--folds", 0)
    np.testing.assert_allclose(np.abs((found * exact).sum(axis=1)), 1, atol=1e-5)


def test_the_way_back_of_components(scene: tuple[Path, np.ndarray, np.ndarray]) -> None:
    folder, cube, _ = scene
    train(folder, "--outputs", 3)
    run = folder / "run"
    back = folder / "back.tif"
    weights, fused = run / "weights.safetensors", run / "fused.tif"
    ok("apply", weights, fused, "--inverse", "-o", back, "--overwrite")
    pca = PCA(3).fit(pixels := cube.reshape(B, -1).T)
    expected = pca.inverse_transform(pca.transform(pixels)).T.reshape(cube.shape)
    np.testing.assert_allclose(read(back), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--target", "{t}", "--outputs", 2], "--outputs does not apply to regression"),
        (["--outputs", 2, "--weights", "scalar"], "--outputs does not apply with --weights scalar"),
        (["--outputs", 2, "--fuse", "across"], "--outputs does not apply with --fuse across"),
        (["--outputs", 0], "--outputs"),
        (["--outputs", 8], "8 outputs of 7 bands"),
        (
            ["--objective", "snr", "--outputs", 2, "--constraint", "nonnegative"],
            "--outputs of snr are found by their closed form",
        ),
        (["--objective", "snr", "--outputs", 2, "--optimizer", "adam"], "closed form"),
        (["--objective", "snr", "--group", "a=all", "--group", "b=all"], "--outputs K"),
    ],
)
def test_outputs_that_are_refused(
    scene: tuple[Path, np.ndarray, np.ndarray], flags: list[object], words: str
) -> None:
    folder, _, _ = scene
    target = write_tiff(folder / "t.tif", spectra(1, ROWS, COLS))
    given = [str(flag).format(t=target) for flag in flags]
    done = cli("train", folder / "cube.tif", *given, "-o", folder / "no")
    assert done.code == 2
    assert words in done.err


def test_the_estimator_has_outputs() -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(300, 5)) @ random.normal(size=(5, 5))
    made = BandFuser(outputs=2).fit(x)
    alike(made.coef_, PCA(2).fit(x).components_)
    assert made.get_feature_names_out().tolist() == ["pc1", "pc2"]
    y = np.arange(300) % 3
    x[:, 1] += y
    made = BandFuser(outputs=2, objective="separability", ridge=0).fit(x, y)
    alike(made.coef_, LinearDiscriminantAnalysis(solver="eigen").fit(x, y).scalings_[:, :2].T)
    with pytest.raises(ValueError, match="at most 2"):
        BandFuser(outputs=3, objective="separability").fit(x, y)


@pytest.mark.parametrize("k", [1, 3, 6])
def test_leading_vectors_are_those_of_scipy(k: int) -> None:
    random = np.random.default_rng(k)
    top, bottom = (m @ m.T + 0.1 * np.eye(6) for m in random.normal(size=(2, 6, 6)))
    found, ratios = leading(top, bottom, k)
    values, vectors = eigh(top, bottom)
    np.testing.assert_allclose(ratios, values[::-1][:k], rtol=1e-9)
    alike(found, vectors[:, ::-1][:, :k].T)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1)
    assert (found.sum(axis=1) >= 0).all()
