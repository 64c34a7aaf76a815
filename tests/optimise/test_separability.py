"""Contrast: separability and signal to noise, classes, labels and noise, against scikit-learn,
scipy and numpy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import (
    MemorySource,
    bands_of,
    close_to_conditioning,
    condition_of,
    rounding,
    same_bits,
    windows_at_random,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from rasters import cli, ok, read, spectra, wavelengths, write_tiff
from scipy.linalg import eigh
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import accuracy_score, balanced_accuracy_score, cohen_kappa_score

from bandfuse.goals import terms_of
from bandfuse.moments.moments import Moments
from bandfuse.moments.reduce import reduce_windows
from bandfuse.moments.tally import NOISE, Question, differences
from bandfuse.optimise.fit import Settings, fit
from bandfuse.optimise.objectives.reconstruction import Reconstruction
from bandfuse.optimise.objectives.regression import Regression
from bandfuse.optimise.objectives.separability import Separability
from bandfuse.optimise.objectives.snr import SignalToNoise, leading_ratio
from bandfuse.optimise.objectives.total import Sum
from bandfuse.solve.classes import Classifier, agreement, discriminants, ridge_of, scatters
from bandfuse.solve.layout import within
from bandfuse.solve.squares import Split, Squares
from bandfuse.spectral.groups import Group
from bandfuse.streaming.blocks import blocks


def classed(seed: int = 0, n: int = 400, d: int = 6, c: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """(n, d) correlated pixels of c Gaussian classes of different sizes, and their numbers."""
    random = np.random.default_rng(seed)
    mix = random.normal(size=(d, d)) + 2 * np.eye(d)
    y = random.choice(c, n, p=np.arange(1, c + 1) / np.arange(1, c + 1).sum())
    return random.normal(size=(n, d)) @ mix + random.normal(scale=1.5, size=(c, d))[y], y


def moments_of(x: np.ndarray, y: np.ndarray) -> dict[int, Moments]:
    return {int(c): Moments.of(x[y == c]) for c in np.unique(y)}


# --------------------------------------------------------------------------------------------------


def test_the_ridge_is_least_where_pixels_are_many_and_largest_where_they_are_few() -> None:
    """0.03 (B / n)², B = 6; a small class that counts as much as the others leaves few pixels."""

    def some(*counts: int) -> dict[int, Moments]:
        return {c: Moments(n, np.zeros(6), np.eye(6)) for c, n in enumerate(counts)}

    assert ridge_of(some(5000, 5000), balanced=False) == 1e-4
    assert ridge_of(some(2, 2), balanced=False) == 0.03
    assert ridge_of(some(10, 10), balanced=False) == pytest.approx(0.03 * (6 / 20) ** 2)
    assert ridge_of(some(1000, 5), balanced=False) == 1e-4
    n = 4 / (1 / 1000 + 1 / 5)
    assert ridge_of(some(1000, 5), balanced=True) == pytest.approx(0.03 * (6 / n) ** 2)


@pytest.mark.thorough
def test_a_fine_contrast_between_nearly_identical_bands_is_found(tmp_path: Path) -> None:
    """Classes differ by 0.02 in one of 24 bands, along which spectra vary smoothly by far more."""
    random = np.random.default_rng(0)
    modes = np.polynomial.legendre.legvander(np.linspace(-1, 1, 24), 5)
    cube = 1 + 0.25 * np.tensordot(modes, random.normal(size=(6, 60, 60)), 1)
    cube += 0.002 * random.normal(size=cube.shape)
    labels = np.kron(random.integers(1, 3, (12, 12)), np.ones((5, 5), int))
    cube[7] -= np.where(labels == 1, 0.02, 0.0)
    scene = write_tiff(tmp_path / "c.tif", cube)
    classes = write_tiff(tmp_path / "l.tif", labels[None].astype("uint8"))
    base = ("train", scene, "--labels", classes, "--groups", "equal:3", "--no-fused", "--no-report")
    found = {}
    for name, how in {"default": (), "large": ("--ridge", 0.03)}.items():
        ok(*base, *how, "-o", tmp_path / name)
        report = json.loads((tmp_path / name / "report.json").read_text())
        found[name] = report["scores"]["holdout"]["classes"]["accuracy"]
    assert found["default"] > 0.95 > found["large"] + 0.02


@given(seed=st.integers(0, 500))
def test_the_classifier_is_linear_discriminant_analysis(seed: int) -> None:
    x, y = classed(seed)
    new, truth = classed(seed + 1)
    for balanced, priors in ((False, None), (True, np.full(3, 1 / 3))):
        model = LinearDiscriminantAnalysis(solver="lsqr", priors=priors).fit(x, y)
        mine = Classifier.of(moments_of(x, y), np.eye(6), balanced=balanced)
        if balanced:  # scikit-learn's pooled covariance is weighted by the priors, as ours is
            close_to_conditioning(model.covariance_, scatters(moments_of(x, y), balanced=True)[0])
        np.testing.assert_array_equal(mine(new), model.predict(new))
        found = agreement(truth, mine(new))
        assert found["accuracy"] == pytest.approx(accuracy_score(truth, model.predict(new)))
        assert found["balanced"] == pytest.approx(
            balanced_accuracy_score(truth, model.predict(new))
        )
        assert found["kappa"] == pytest.approx(
            cohen_kappa_score(truth, model.predict(new)), abs=rounding()
        )


def test_scatters_and_discriminants_are_those_of_the_pixels() -> None:
    x, y = classed()
    inside, total = scatters(moments_of(x, y))
    close_to_conditioning(total, np.cov(x.T, bias=True))
    away = np.array([x[y == c].mean(axis=0) for c in range(3)])[y]
    close_to_conditioning(inside, np.cov((x - away).T, bias=True))
    mine = discriminants(moments_of(x, y), 5)
    assert mine.shape == (2, 6)
    theirs = LinearDiscriminantAnalysis(solver="eigen", n_components=2).fit(x, y).scalings_[:, :2].T
    for a, b in zip(mine, theirs, strict=True):
        assert abs(a @ b) == pytest.approx(
            np.linalg.norm(a) * np.linalg.norm(b), rel=rounding(condition_of(x - away))
        )


def test_agreement_without_chance() -> None:
    assert agreement(np.array([1, 1]), np.array([1, 1])) == {
        "accuracy": 1.0,
        "balanced": 1.0,
        "kappa": None,
    }


# --------------------------------------------------------------------------------------------------


def test_losses_are_those_of_the_pixels() -> None:
    x, y = classed()
    inside, total = scatters(moments_of(x, y))
    w = np.random.default_rng(1).normal(size=(2, 6))
    loss = float(Separability(inside, total).losses(torch.as_tensor(w), torch.ones(2), None))
    away = np.array([x[y == c].mean(axis=0) for c in range(3)])[y]
    dense = [np.linalg.slogdet(np.cov((v @ w.T).T, bias=True))[1] for v in (x - away, x)]
    assert loss == pytest.approx(
        (dense[0] - dense[1]) / 2, rel=rounding(condition_of((x - away) @ w.T))
    )
    noise = np.diag(np.arange(1.0, 7.0))
    ratios = SignalToNoise(total, noise, 2).losses(torch.as_tensor(w), torch.ones(2), None).numpy()
    close_to_conditioning(
        -ratios, np.log(np.var(x @ w.T, axis=0) / ((w**2) @ np.arange(1.0, 7.0))), condition_of(x)
    )


@pytest.mark.parametrize("name", ["separability", "snr", "sum"])
def test_gradients_are_right(name: str) -> None:
    x, y = classed(n=100)
    inside, total = scatters(moments_of(x, y))
    objective = {
        "separability": Separability(inside, total),
        "snr": SignalToNoise(total, inside, 2),
        "sum": Sum([(1.0, Reconstruction(total)), (2.0, SignalToNoise(total, inside, 2))]),
    }[name]
    w = torch.as_tensor(np.random.default_rng(0).normal(size=(2, 6))).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda v: objective.losses(v, torch.ones(2, dtype=v.dtype), None), (w,)
    )
    bend = objective.metric(layout_of(6, 2))
    assert bend.shape == (12, 12)
    assert np.linalg.eigvalsh(bend).min() > -rounding() * np.linalg.norm(bend)


def layout_of(d: int, rows: int):  # type: ignore[no-untyped-def]
    return within([Group("all", tuple(range(d)))], d, "channel", set(), [0] * rows)


def test_free_weights_part_classes_as_the_discriminants_do() -> None:
    x, y = classed(d=5)
    inside, total = scatters(moments_of(x, y))
    objective = Separability(inside, total)
    found = fit(
        layout_of(5, 2), objective, bands_of(5), x.mean(axis=0), None, Settings("free", starts=3)
    )
    best = discriminants(moments_of(x, y), 2)
    exact = float(objective.losses(torch.as_tensor(best), torch.ones(2), None))
    assert float(found.losses[0]) == pytest.approx(exact, abs=1e-9)
    angles = np.linalg.svd(np.linalg.qr(found.weight.T)[0].T @ np.linalg.qr(best.T)[0])[1]
    np.testing.assert_allclose(angles, 1, atol=1e-6)
    ((_, ends),) = found.starts
    assert len(ends) == 3
    assert min(ends) == pytest.approx(float(found.losses[0]))


@pytest.mark.one_in(2)
@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_free_weights_reach_the_best_signal_to_noise(optimizer: str) -> None:
    random = np.random.default_rng(0)
    a, n = (m @ m.T + 0.1 * np.eye(5) for m in random.normal(size=(2, 5, 5)))
    objective = SignalToNoise(a, n, 1)
    how = Settings("free", optimizer=optimizer, init="uniform")
    found = fit(layout_of(5, 1), objective, bands_of(5), np.zeros(5), None, how)
    best = eigh(a, n, eigvals_only=True)[-1]
    assert found.optimum is not None
    assert float(found.optimum[0]) == pytest.approx(
        -np.log(best), rel=rounding(float(np.linalg.cond(n)))
    )
    assert float(found.losses[0]) == pytest.approx(-np.log(best), abs=1e-6)
    v = leading_ratio(a, n)
    assert (v @ a @ v) / (v @ n @ v) == pytest.approx(best, rel=rounding(float(np.linalg.cond(n))))


def test_a_sum_is_the_sum_of_its_parts_and_starts_are_seeded() -> None:
    x, y = classed()
    inside, total = scatters(moments_of(x, y))
    parts = [(1.0, Reconstruction(total)), (0.3, Separability(inside, total))]
    both = Sum(parts)
    w = torch.as_tensor(np.random.default_rng(1).normal(size=(2, 6)))
    scaled = [
        f * float((p.losses(w, torch.ones(2), None) / torch.as_tensor(p.scale)).sum())
        for f, p in parts
    ]
    assert float(both.losses(w, torch.ones(2), None)) == pytest.approx(sum(scaled))
    twice = [
        fit(
            layout_of(6, 2),
            Sum(parts),
            bands_of(6),
            x.mean(axis=0),
            None,
            Settings("simplex", starts=2, seed=5),
        )
        for _ in range(2)
    ]
    same_bits(twice[0].weight, twice[1].weight)
    np.testing.assert_allclose(twice[0].weight.sum(axis=1), 1)
    assert twice[0].optimum is None


# --------------------------------------------------------------------------------------------------


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), threads=st.integers(1, 3))
def test_the_pass_gathers_classes_and_noise_whatever_the_windows(seed: int, threads: int) -> None:
    random = np.random.default_rng(seed)
    shape = (int(random.integers(1, 150)), int(random.integers(1, 400)))
    cube = random.normal(size=(3, *shape)).cumsum(axis=2)
    cube[:, random.random(shape) < 0.1] = np.nan
    labels = random.choice([1.0, 4.0, np.nan], shape)
    source = MemorySource(np.concatenate([cube, labels[None]]))
    question = Question(3, 1, (0, 2), blocks(shape, 3), sample=50, classes=True, noise=True)
    tally = reduce_windows(source, question, windows_at_random(shape, random), threads=threads)
    again = reduce_windows(source, question, windows_at_random(shape, random), threads=1)
    assert list(tally.strata) == list(again.strata) or sorted(tally.strata) == sorted(again.strata)
    for key, part in tally.strata.items():
        same_bits(part.scatter, again.strata[key].scatter)
    used = cube[[0, 2]].reshape(2, -1).T
    ok_ = np.isfinite(used).all(axis=1) & np.isfinite(labels.ravel())
    for number, found in tally.by_stratum().items():
        if number != NOISE:
            dense = Moments.of(used[ok_ & (labels.ravel() == number)])
            assert found.count == dense.count
            close_to_conditioning(found.mean, dense.mean, 10)
            close_to_conditioning(found.scatter, dense.scatter, 10)
    assert tally.total().count == tally.used == int(ok_.sum())


def test_noise_is_found_in_smooth_scenes() -> None:
    """A plane with white noise of known covariance: the neighbours' differences show the noise, not
    the plane."""
    random = np.random.default_rng(0)
    root = np.array([[1.0, 0.0], [0.5, 0.3]])
    slope = np.linspace(0, 1, 64)
    z = (
        slope[None, :, None]
        + slope[None, None]
        + np.einsum("ij,jrc->irc", root, random.normal(size=(2, 64, 64)))
    )
    found = Moments.of_columns(differences(z.reshape(2, -1), np.ones(4096, bool), (64, 64)))
    assert found.count == 2 * 64 * 63
    np.testing.assert_allclose(found.covariance, root @ root.T, rtol=0.1, atol=0.01)


def test_neighbours_that_do_not_count_make_no_difference() -> None:
    z = np.array([[1.0, 5.0, 2.0, 9.0, 9.0, 9.0]])
    ok_ = np.array([True, True, False, True, True, False])
    found = differences(z, ok_, (2, 3)) * np.sqrt(2)
    assert sorted(found[0].tolist()) == pytest.approx([0.0, 4.0, 4.0, 8.0])


# ------------------------------------------------------------------------------------------------ f


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray, np.ndarray]:
    """A cube of three classes in stripes; its labels, with 9 for pixels without."""
    folder = tmp_path_factory.mktemp("classes")
    random = np.random.default_rng(0)
    y = np.broadcast_to(np.arange(60) // 4 % 3, (40, 60))
    cube = spectra(9, 40, 60)
    cube[2] += 0.05 * (y == 1)
    cube[7] += 0.05 * (y == 2)
    labels = np.where(random.random(y.shape) < 0.2, 9, y + 1).astype("uint8")
    write_tiff(folder / "cube.tif", cube, nm=wavelengths(9))
    write_tiff(folder / "labels.tif", labels[None])
    return folder, cube, labels


def train(folder: Path, *flags: object, name: str = "run") -> dict[str, Any]:
    ok("train", folder / "cube.tif", *flags, "-o", folder / name, "--overwrite")
    found: dict[str, Any] = json.loads((folder / name / "report.json").read_text())
    return found


LABELS = ["--unlabelled", 9, "--groups", "equal:3"]


def test_classes_are_parted_better_than_by_principal_components(
    scene: tuple[Path, np.ndarray, np.ndarray],
) -> None:
    folder, cube, labels = scene
    found = train(folder, "--labels", folder / "labels.tif", *LABELS)
    mine, baselines = found["scores"]["holdout"]["classes"], found["baselines"]
    assert set(baselines) == {"pca_k", "mean", "lda"}
    assert mine["accuracy"] > baselines["pca_k"]["holdout"]["classes"]["accuracy"] + 0.05
    assert mine["accuracy"] > baselines["mean"]["holdout"]["classes"]["accuracy"] + 0.05
    assert found["pixels"]["by_reason"]["not labelled"] == int((labels == 9).sum())
    # On the training pixels, by hand: the fused bands and scikit-learn's linear discriminant
    # analysis.
    there = labels != 9
    y = read(folder / "run" / "fused.tif")[:, there].T.astype(np.float64)
    model = LinearDiscriminantAnalysis(solver="lsqr").fit(y, labels[there])
    assert found["scores"]["train"]["classes"]["accuracy"] == pytest.approx(
        model.score(y, labels[there]), abs=2e-3
    )
    pca = PCA(3).fit_transform(cube[:, there].T.astype(np.float64))
    theirs = (
        LinearDiscriminantAnalysis(solver="lsqr").fit(pca, labels[there]).score(pca, labels[there])
    )
    assert baselines["pca_k"]["train"]["classes"]["accuracy"] == pytest.approx(theirs, abs=2e-3)
    assert "linear discriminants" in (folder / "run" / "report.html").read_text()


def test_polygons_label_as_a_raster_does(scene: tuple[Path, np.ndarray, np.ndarray]) -> None:
    folder, _, _ = scene
    stripes = np.arange(60) // 4 % 3
    names = ["water", "soil", "grass"]
    features = [
        {
            "type": "Feature",
            "properties": {"id": i, "what": names[stripes[col]]},
            "geometry": {
                "type": "Polygon",
                "coordinates": [
                    [
                        [400_000 + 30 * col, 5_800_000],
                        [400_000 + 30 * (col + 4), 5_800_000],
                        [400_000 + 30 * (col + 4), 5_800_000 - 1200],
                        [400_000 + 30 * col, 5_800_000 - 1200],
                        [400_000 + 30 * col, 5_800_000],
                    ]
                ],
            },
        }
        for i, col in enumerate(range(0, 60, 4))
    ]
    content = {"type": "FeatureCollection", "crs": None, "features": features}
    (folder / "labels.geojson").write_text(json.dumps(content))
    write_tiff(folder / "full.tif", np.broadcast_to(stripes + 1, (1, 40, 60)).astype("int16"))
    drawn = train(
        folder, "--labels", folder / "labels.geojson", "--label-field", "what", *LABELS[2:]
    )
    raster = train(folder, "--labels", folder / "full.tif", *LABELS[2:])
    assert drawn["pixels"] == raster["pixels"]
    assert drawn["scores"]["train"]["classes"] == pytest.approx(
        raster["scores"]["train"]["classes"]
    )
    np.testing.assert_allclose(
        [w["weight"] for w in drawn["weights"]],
        [w["weight"] for w in raster["weights"]],
        rtol=1e-6,
        atol=1e-9,
    )
    counts = {names[i]: 40 * int((stripes == i).sum()) for i in range(3)}
    assert drawn["classes"] == [
        {"value": number, "name": name, "pixels": counts[name]}
        for number, name in enumerate(sorted(names), 1)
    ]
    assert [(row["value"], row["name"]) for row in raster["classes"]] == [
        (1, "1"),
        (2, "2"),
        (3, "3"),
    ]
    done = cli(
        "train", folder / "cube.tif", "--labels", folder / "labels.geojson", "-o", folder / "no"
    )
    assert done.code == 2
    assert "which property is the class?" in done.err


def test_balance_gives_small_classes_a_voice(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    y = (random.random((50, 60)) < 0.04).astype("uint8")
    cube = random.normal(size=(4, 50, 60)) + y * np.array([1.5, 0.5, 0, 0])[:, None, None]
    write_tiff(tmp_path / "cube.tif", cube)
    write_tiff(tmp_path / "y.tif", y[None])
    plain, fair = (
        train(tmp_path, "--labels", tmp_path / "y.tif", *more) for more in ([], ["--balance"])
    )
    assert (
        fair["scores"]["holdout"]["classes"]["balanced"]
        > plain["scores"]["holdout"]["classes"]["balanced"] + 0.1
    )


def test_signal_to_noise_is_that_of_numpy(scene: tuple[Path, np.ndarray, np.ndarray]) -> None:
    folder, _, _ = scene
    found = train(folder, "--objective", "snr", "--groups", "equal:3")
    assert set(found["baselines"]) == {"mean", "inverse_variance", "best_band"}
    assert found["convergence"]["relative_gap"] < 1e-9
    fused = read(folder / "run" / "fused.tif").astype(np.float64)
    for name, y in zip(("g1", "g2", "g3"), fused, strict=True):
        # Neighbours within cells of 16 rows, and within the blocks of 5 rows and 7 or 8 columns.
        edges = [
            {i * n // 8 for i in range(9)} | set(range(0, n, 16 if n == 40 else 256))
            for n in (40, 60)
        ]
        across = [
            y[r, c + 1] - y[r, c] for r in range(40) for c in range(59) if c + 1 not in edges[1]
        ]
        down = [
            y[r + 1, c] - y[r, c] for r in range(39) for c in range(60) if r + 1 not in edges[0]
        ]
        noise = np.array(across + down) / np.sqrt(2)
        expected = 10 * np.log10(y.var() / noise.var())
        assert found["scores"]["train"][name]["snr_db"] == pytest.approx(expected, abs=1e-3)
        held = [t["holdout"][name]["snr_db"] for t in found["baselines"].values()]
        assert found["scores"]["holdout"][name]["snr_db"] >= max(held) - 1


@pytest.mark.thorough
def test_sums_of_objectives(scene: tuple[Path, np.ndarray, np.ndarray]) -> None:
    folder, _, _ = scene
    both = train(folder, "--objective", "reconstruction + 2*snr", "--groups", "equal:3")
    one = train(folder, "--objective", "reconstruction", "--groups", "equal:3")
    assert both["scores"]["train"]["cube"]["r2"] <= one["scores"]["train"]["cube"]["r2"] + 1e-9
    assert len(both["convergence"]["starts"][0]) == 3
    target = write_tiff(folder / "t.tif", spectra(1, 40, 60, seed=3))
    summed = train(folder, "--objective", "regression+0.001*snr", "--target", target)
    assert summed["scores"]["holdout"]["b1"]["r2"] is not None


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("snr", {"snr": 1.0}),
        (" 0.5 * snr+reconstruction", {"reconstruction": 1.0, "snr": 0.5}),
        ("separability*2", {"separability": 2.0}),
    ],
)
def test_objectives_are_read(text: str, terms: dict[str, float]) -> None:
    assert terms_of(text) == terms


@pytest.mark.parametrize(
    "text", ["", "lda", "snr+snr", "0*snr", "-1*snr", "snr*2*3", "nan*snr", "1", "snr*"]
)
def test_objectives_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="one of regression"):
        terms_of(text)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--objective", "separability"], "separability needs labels"),
        (["--objective", "snr", "--labels", "{y}"], "--labels does not apply without separability"),
        (
            ["--labels", "{y}", "--target", "{y}", "--objective", "regression+separability"],
            "cannot be summed",
        ),
        (
            ["--labels", "{y}", "--unlabelled", "1", "--unlabelled", "2", "--unlabelled", "3"],
            "have too few classes",
        ),
        (["--labels", "{y}", "--gain"], "--gain does not apply to separability"),
        (["--objective", "magic"], "--objective; got 'magic'; expected one of regression"),
        (["--labels", "{cube}"], "are not one band"),
        (["--labels", "{half}"], "not a whole number"),
        (["--labels", "{y}", "--label-field", "a"], "--label-field does not apply"),
        (["--labels", "{many}"], "too many classes"),
        (["--labels", "{empty}"], "hold no features"),
        (["--objective", "snr", "--group", "a=all", "--group", "b=all"], "are of the same bands"),
        (["--labels", "{y}", "--group", "a=1", "--group", "b=1"], "2 outputs of 1 bands"),
        (["--labels", "{y}", "--split", "random"], "--split random does not apply"),
        (["--objective", "snr", "--window", "0", "0", "2", "3"], "too few neighbouring pixels"),
    ],
)
def test_what_does_not_fit_is_refused(
    scene: tuple[Path, np.ndarray, np.ndarray], flags: list[str], words: str
) -> None:
    folder, _, labels = scene
    write_tiff(folder / "half.tif", labels[None] / np.float32(2))
    write_tiff(folder / "many.tif", np.arange(2400, dtype="int16").reshape(1, 40, 60))
    (folder / "empty.geojson").write_text('{"type": "FeatureCollection", "features": []}')
    more = {"many": folder / "many.tif", "empty": folder / "empty.geojson"}
    places = more | {
        "y": folder / "labels.tif",
        "cube": folder / "cube.tif",
        "half": folder / "half.tif",
    }
    done = cli(
        "train", folder / "cube.tif", *(f.format(**places) for f in flags), "-o", folder / "none"
    )
    assert done.code == 2, done.out
    assert words in done.err
    assert not (folder / "none").exists()


def test_losses_below_zero_are_drawn(scene: tuple[Path, np.ndarray, np.ndarray]) -> None:
    from bandfuse.report.figures import loss_figure

    folder, _, _ = scene
    train(folder, "--labels", folder / "labels.tif", *LABELS)
    page = (folder / "run" / "report.html").read_text()
    assert "Distance of the loss from the least that was reached" in page
    assert "ratio of variances" in page
    falling = loss_figure({"a": [-0.1, -0.5, -0.6, -0.61]})
    assert "loss above the least" in falling
    assert falling.count("<path") > loss_figure({"a": [float("nan")]}).count("<path")


def test_folds_that_hold_out_whole_scenes(tmp_path: Path) -> None:
    """Five scenes, five folds: each training lacks one scene, the test has that one alone."""
    random = np.random.default_rng(0)
    files, labels = [], []
    for i in range(5):
        y = random.integers(1, 3, (1, 20, 20)).astype("uint8")
        files.append(write_tiff(tmp_path / f"s{i}.tif", random.normal(size=(4, 20, 20)) + y))
        labels.append(write_tiff(tmp_path / f"y{i}.tif", y))
    flags = [f for name in labels for f in ("--labels", name)]
    ok(
        "train",
        "--no-report",
        *files,
        *flags,
        "--groups",
        "equal:2",
        "-o",
        tmp_path / "run",
        "--no-fused",
    )
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert report["scores"]["holdout"]["classes"]["accuracy"] > 0.7


def test_polygons_may_be_left_out_by_number(tmp_path: Path) -> None:
    def square(col: int, value: int) -> dict[str, Any]:
        x, y = 400_000 + 30 * col, 5_800_000
        ring = [[x, y], [x + 300, y], [x + 300, y - 600], [x, y - 600], [x, y]]
        return {
            "type": "Feature",
            "properties": {"c": value},
            "geometry": {"type": "Polygon", "coordinates": [ring]},
        }

    features = [square(0, 1), square(10, 2), square(20, 3)]
    (tmp_path / "y.json").write_text(
        json.dumps({"type": "FeatureCollection", "crs": None, "features": features})
    )
    write_tiff(tmp_path / "cube.tif", spectra(4, 20, 30))
    for flags, used in (([], 600), (["--unlabelled", 3], 400)):
        found = train(tmp_path, "--labels", tmp_path / "y.json", *flags)
        assert found["pixels"]["used"] == used


def test_what_is_rare_is_said(tmp_path: Path) -> None:
    y = np.ones((1, 20, 20), "uint8")
    y[0, :, 10:] = 2
    y[0, 0, 0] = 7
    write_tiff(tmp_path / "cube.tif", spectra(4, 20, 20))
    done = ok(
        "train",
        "--no-report",
        tmp_path / "cube.tif",
        "--labels",
        write_tiff(tmp_path / "y.tif", y),
        "-o",
        tmp_path / "run",
    )
    assert "classes with few pixels: 7 (1)" in done.err
    assert "unknown where it is held out: 7" in done.err


def test_equal_outputs_part_classes_as_one_does() -> None:
    """Two equal rows have no determinant; held apart by a trifle, each is worth what it is
    alone."""
    x, y = classed()
    inside, total = scatters(moments_of(x, y))
    w = np.random.default_rng(1).normal(size=(1, 6))
    ones = torch.ones(2)
    twice = float(
        Separability(inside, total).losses(torch.as_tensor(np.vstack([w, w])), ones, None)
    )
    once = float(Separability(inside, total).losses(torch.as_tensor(w), ones[:1], None))
    assert twice == pytest.approx(once, rel=1e-2)


def test_the_leading_ratio_does_not_see_units() -> None:
    x, y = classed()
    inside, total = scatters(moments_of(x, y))
    unit = 10.0 ** np.array([-9, 0, 3, -4, 8, 1])
    plain, scaled = (
        leading_ratio(total, inside),
        leading_ratio(total * np.outer(unit, unit), inside * np.outer(unit, unit)),
    )
    turned = scaled * unit
    np.testing.assert_allclose(
        turned / np.linalg.norm(turned) * np.sign(turned @ plain), plain, rtol=1e-6
    )
    assert np.linalg.norm(scaled) == pytest.approx(1.0)
    assert scaled.sum() >= 0
    assert leading_ratio(-np.eye(2) + np.array([[2.0, 0], [0, 0]]), np.eye(2)).tolist() == [
        1.0,
        0.0,
    ]


def test_an_exact_signal_to_noise_has_no_gain() -> None:
    x, y = classed()
    inside, total = scatters(moments_of(x, y))
    found = SignalToNoise(total, inside, 1).exact(layout_of(6, 1), "free", gain=False)
    assert found is not None
    assert found[1] == 1.0
    np.testing.assert_allclose(found[0], leading_ratio(total, inside), rtol=1e-12)
    assert SignalToNoise(total, inside, 2).exact(layout_of(6, 2), "free", gain=False) is None
    assert SignalToNoise(total, inside, 1).exact(layout_of(6, 1), "affine", gain=False) is None


def test_a_sum_starts_where_its_part_with_a_unit_does() -> None:
    x, y = classed()
    inside, total = scatters(moments_of(x, y))
    joint = Moments.of(np.hstack([x, x[:, :1] * 5]))
    regression = Regression(Squares.of(Split.of(joint, 6), offset=True))
    weight = np.ones((1, 6))
    expected = 5 * x[:, 0].std() / x.sum(axis=1).std()
    assert regression.start_scale(weight) == pytest.approx(expected)
    both = Sum([(1.0, SignalToNoise(total, inside, 1)), (0.5, regression)])
    assert both.start_scale(weight) == pytest.approx(expected)
