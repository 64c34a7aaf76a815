"""What a training says of its weights, from the command line: choices, hold-out, baselines,
intervals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import close_to_conditioning, condition_of, rounding
from rasters import cli, ok, write_tiff
from realdata import DATA, needs_real_data
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression

SAMPLE = Path(__file__).parents[2] / "data" / "sample"
CUBE, TARGET = str(SAMPLE / "cube.tif"), str(SAMPLE / "target.tif")
AVIRIS = "aviris_rotated_unsorted/AV_mastercal_testdata.bsq"
BASELINES = {"ols", "ridge", "nnls", "simplex", "best_band", "mean"}


def report(folder: Path, *arguments: object) -> dict[str, Any]:
    ok("train", *arguments, "--no-fused", "--no-report", "-o", folder / "run")
    found: dict[str, Any] = json.loads((folder / "run" / "report.json").read_text())
    return found


@pytest.fixture(scope="module")
def by_default(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return report(tmp_path_factory.mktemp("assess"), CUBE, "--target", TARGET)


def test_a_regression_is_chosen_held_out_and_compared_without_a_flag(
    by_default: dict[str, Any],
) -> None:
    assert {o["constraint"] for o in by_default["outputs"]} <= {"bandpass", "nonnegative"}
    assert all(o["smooth"] is not None for o in by_default["outputs"])
    assert set(by_default["baselines"]) == BASELINES
    for part in ("train", "holdout"):
        names = set(by_default["scores"][part])
        assert names == {"blue", "green", "red", "nir"}
        assert all(set(table[part]) == names for table in by_default["baselines"].values())
    for name, held in by_default["scores"]["holdout"].items():
        assert held["r2"] < by_default["scores"]["train"][name]["r2"]
        assert held["r2"] > by_default["baselines"]["best_band"]["holdout"][name]["r2"]
    for row in by_default["weights"]:
        assert row["ci_low"] <= row["effective_weight"] <= row["ci_high"]


def test_intervals_hold_the_weights_that_the_sample_was_made_with(
    by_default: dict[str, Any],
) -> None:
    lines = (SAMPLE / "true_weights.csv").read_text().splitlines()
    names = lines[0].split(",")[2:]
    truth = dict(zip(names, np.array([r.split(",")[2:] for r in lines[1:]], float).T, strict=True))
    hits = [
        row["ci_low"] <= truth[row["output"]][row["band"] - 1] <= row["ci_high"]
        for row in by_default["weights"]
        if truth[row["output"]][row["band"] - 1] > 0.01 * truth[row["output"]].max()
    ]
    assert len(hits) > 20
    assert 0.85 <= np.mean(hits) <= 1


def test_signed_responses_are_found_by_default(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    cube = random.normal(100, 10, (5, 40, 40))
    target = np.tensordot([1.0, -1.0, 0.5, 0.0, -0.25], cube, 1)[None] + random.normal(
        0, 0.1, (1, 40, 40)
    )
    found = report(
        tmp_path,
        write_tiff(tmp_path / "x.tif", cube),
        "--target",
        write_tiff(tmp_path / "t.tif", target),
    )
    assert found["outputs"][0]["constraint"] == "free"
    assert [w["effective_weight"] for w in found["weights"]] == pytest.approx(
        [1, -1, 0.5, 0, -0.25], abs=0.01
    )


def test_strengths_that_are_given_are_used(tmp_path: Path) -> None:
    found = report(
        tmp_path,
        CUBE,
        "--target",
        TARGET,
        "--constraint",
        "free",
        "--ridge",
        "0.01",
        "--smooth",
        "0.5",
    )
    assert {(o["constraint"], o["ridge"], o["smooth"]) for o in found["outputs"]} == {
        ("free", 0.01, 0.5)
    }
    assert found["convergence"]["relative_gap"] <= 1e-9


def test_an_explicit_constraint_is_not_regularised(tmp_path: Path) -> None:
    found = report(tmp_path, CUBE, "--target", TARGET, "--constraint", "free")
    assert {(o["ridge"], o["smooth"]) for o in found["outputs"]} == {(0.0, 0.0)}


def test_ridge_can_be_chosen_alone(tmp_path: Path) -> None:
    found = report(tmp_path, CUBE, "--target", TARGET, "--constraint", "free", "--ridge", "auto")
    assert {o["smooth"] for o in found["outputs"]} == {0.0}
    assert any(o["ridge"] > 0 for o in found["outputs"])


def test_a_reconstruction_is_held_out_and_stands_beside_principal_components(
    tmp_path: Path,
) -> None:
    found = report(tmp_path, CUBE, "--groups", "equal:4")
    assert set(found["baselines"]) == {"pca_k", "mean"}
    for part in ("train", "holdout"):
        best, mine, mean = (
            scores["cube"]["r2"]
            for scores in (
                found["baselines"]["pca_k"][part],
                found["scores"][part],
                found["baselines"]["mean"][part],
            )
        )
        assert best > mine > mean


def test_a_rebuilt_cube_is_scored_as_by_scikit_learn(tmp_path: Path) -> None:
    """Folds by hand; the principal components and the mean spectrum of each training."""
    random = np.random.default_rng(0)
    cube = np.einsum(
        "bm,mrc->brc", random.normal(size=(6, 6)), random.normal(size=(6, 40, 48)).cumsum(axis=1)
    )
    found = report(tmp_path, write_tiff(tmp_path / "x.tif", cube), "--groups", "equal:2")
    fold, x = runs_by_hand((40, 48), 8).ravel(), cube.reshape(6, -1).T
    error = nothing = 0.0
    for i in range(5):
        train, test = x[fold != i], x[fold == i]
        pca = PCA(2).fit(train)
        error += ((test - pca.inverse_transform(pca.transform(test))) ** 2).sum()
        nothing += ((test - train.mean(axis=0)) ** 2).sum()
    score = found["baselines"]["pca_k"]["holdout"]["cube"]
    assert score["r2"] == pytest.approx(1 - error / nothing, rel=rounding(condition_of(x)))
    assert score["rmse"] == pytest.approx(
        np.sqrt(error / x.size), rel=rounding(condition_of(x) * nothing / error)
    )


def test_one_pixel_more_than_nothing_is_not_held_out(tmp_path: Path) -> None:
    cube = np.random.default_rng(0).normal(size=(2, 1, 2))
    found = report(
        tmp_path,
        write_tiff(tmp_path / "x.tif", cube),
        "--target",
        write_tiff(tmp_path / "t.tif", cube[:1]),
    )
    assert len(found["scores"]["train"]) == 1


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--fuse", "across", "--smooth", "auto"], "--smooth is for one weight per band"),
        (["--ridge", "-1"], "ridge"),
        (["--smooth", "much"], "smooth"),
        (["--loss", "mae", "--ridge", "0.1"], "--ridge does not apply"),
        (["--folds", "0", "--ridge", "auto"], "--ridge auto and --folds 0 exclude each other"),
        (["--folds", "1"], "0, or 2 and more"),
        (["--constraint", "simplex", "--sparse", "0.1"], "--sparse does not apply where the sum"),
        (["--loss", "mae", "--sparse", "auto"], "--sparse does not apply"),
        (["--weights", "instance", "--constraint", "auto"], "--constraint auto does not apply"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, flags: list[str], words: str) -> None:
    done = cli("train", CUBE, "--target", TARGET, *flags, "-o", tmp_path / "run")
    assert done.code == 2
    assert words in done.err
    assert not (tmp_path / "run").exists()


@needs_real_data
def test_defaults_find_the_responses_of_sentinel_2_under_noise(tmp_path: Path) -> None:
    """Real spectra, real responses, 40 dB of noise, the left half to learn from: nothing but
    defaults."""
    from bandfuse.raster import describe, quicklook

    raster = describe(DATA / AVIRIS)
    cube = np.moveaxis(quicklook(raster, range(194)), -1, 0)
    table = np.genfromtxt(DATA / "srf" / "sentinel2a_msi_1nm.csv", delimiter=",", names=True)
    names = ["B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A"]
    truth = np.array(
        [np.interp(raster.bands.wavelength_nm, table["wavelength_nm"], table[n]) for n in names]
    )
    truth /= truth.sum(axis=1, keepdims=True)
    clean = np.tensordot(truth, cube, 1)
    noise = np.random.default_rng(0).normal(size=clean.shape)
    noisy = clean + noise * clean[:, :, :25].std(axis=(1, 2), keepdims=True) / 100
    noisy[:, :, 25:] = np.nan
    target = write_tiff(tmp_path / "t.tif", noisy, crs=None, transform=None, names=names)
    found = report(tmp_path, DATA / AVIRIS, "--target", target)
    learned = np.array([w["effective_weight"] for w in found["weights"]]).reshape(truth.shape)
    error = np.linalg.norm(learned - truth, axis=1) / np.linalg.norm(truth, axis=1)
    assert np.median(error) <= 0.09
    low, high = (
        np.array([w[c] for w in found["weights"]]).reshape(truth.shape)
        for c in ("ci_low", "ci_high")
    )
    inside = truth > 0.01 * truth.max(axis=1, keepdims=True)
    assert 0.7 <= ((low <= truth) & (truth <= high))[inside].mean() <= 1


def test_sparse_weights_are_few_and_exact(tmp_path: Path) -> None:
    dense = report(tmp_path, CUBE, "--target", TARGET, "--constraint", "free", "--ridge", 1e-6)
    (tmp_path / "more").mkdir()
    few = report(
        tmp_path / "more", CUBE, "--target", TARGET, "--constraint", "free", "--sparse", 0.01
    )
    assert all(o["sparse"] == 0.01 for o in few["outputs"])
    assert max(o["active_bands"] for o in few["outputs"]) < 40
    assert min(o["active_bands"] for o in dense["outputs"]) > 90
    assert few["convergence"]["relative_gap"] <= 1e-9
    assert min(s["r2"] for s in few["scores"]["holdout"].values()) > 0.99


# ------------------------------------------------------------------------------------- learned agai


def runs_by_hand(shape: tuple[int, int], per_side: int) -> np.ndarray:
    """(H, W) fold of each pixel: blocks of a scene in five runs, row by row, every pixel valid. The
    edges of blocks are among those of 8 × 8."""
    edges = ([(i * 8 // per_side) * n // 8 for i in range(per_side + 1)] for n in shape)
    rows, cols = (
        np.searchsorted(e, np.arange(n), side="right") - 1
        for e, n in zip(edges, shape, strict=True)
    )
    block = rows[:, None] * per_side + cols[None]
    sizes = np.bincount(block.ravel())
    middle = np.cumsum(sizes) - sizes / 2
    return (middle * 5 / sizes.sum()).astype(int)[block]


def test_weights_that_did_not_arrive_are_held_out_as_they_are(tmp_path: Path) -> None:
    """Three steps of Adam: the hold-out scores are not those of the exact solution."""
    found = report(tmp_path, CUBE, "--target", TARGET, "--optimizer", "adam", "--steps", 3)
    assert found["convergence"]["relative_gap"] > 0.02
    for name, held in found["scores"]["holdout"].items():
        assert held["r2"] < found["baselines"]["ols"]["holdout"][name]["r2"] - 0.02
        # The steps that stop early see all pixels as well as they see other ones.
        train = found["scores"]["train"][name]["r2"]
        assert train - 0.05 < held["r2"] < train + 0.005
    assert found["trust"]["method"] == "jackknife over folds"


def test_learning_again_finds_what_the_exact_solution_does() -> None:
    """Two ways to the same hold-out scores: the exact solver on each fold, and the whole training
    on each fold."""
    from bandfuse.config.train import TrainConfig
    from bandfuse.progress import silent
    from bandfuse.scenes.opening import open_scenes
    from bandfuse.solve.scores import score_pairs
    from bandfuse.training import learn
    from bandfuse.training.fitting import fit_model
    from bandfuse.training.settings.defaults import resolve
    from bandfuse.training.settings.steps import fitting_of
    from bandfuse.trust.refits import held_out_pairs, peak_of

    config = resolve(
        TrainConfig(
            scenes=[CUBE], target=[TARGET], threads=1, constraint="nonnegative", smooth="auto"
        )
    )
    opened = open_scenes(config)
    scenes = opened.scenes
    trained = learn.learn(config, opened)
    assert trained.trust.holdout is not None

    def again(part: learn.Survey) -> learn.Model:
        return fit_model(fitting_of(config, "cpu"), scenes, part, trained.plan, silent)[0]

    found, names = trained.survey, [s.names for s in scenes]
    pairs = held_out_pairs(found, names, again, count=5, per_scene=False, progress=silent)
    assert pairs is not None
    judged = score_pairs(pairs, peak_of(found))
    for mine, exact in zip(judged.outputs, trained.trust.holdout.outputs, strict=True):
        assert mine == pytest.approx(exact, rel=1e-7)
    assert judged.overall == pytest.approx(trained.trust.holdout.overall, rel=1e-7)


def test_scenes_with_weights_of_their_own_are_held_out_by_themselves(tmp_path: Path) -> None:
    """Two scenes, two weights each: dense least squares on the same folds of the same blocks."""
    random = np.random.default_rng(1)
    files: list[str] = []
    guesses, truths = [], []
    for scene, w in enumerate(([0.8, 0.3], [-0.2, 0.9])):
        x = random.normal(size=(2, 40, 45)).cumsum(axis=2)
        t = np.tensordot(w, x, 1) + random.normal(size=(40, 45)) + 2
        for name, band in (("a", x[0]), ("b", x[1]), ("t", t)):
            files.append(write_tiff(tmp_path / f"{name}{scene}.tif", band[None]))
        fold = runs_by_hand((40, 45), 5)
        for i in range(5):
            inside = fold == i
            design = np.column_stack([*x[:, ~inside], np.ones((~inside).sum())])
            v = np.linalg.lstsq(design, t[~inside], rcond=None)[0]
            guesses.append(np.column_stack([*x[:, inside], np.ones(inside.sum())]) @ v)
            truths.append(t[inside])
    a0, b0, t0, a1, b1, t1 = files
    sources = [f"a={a0}", f"a={a1}", f"b={b0}", f"b={b1}"]
    flags = [f for s in sources for f in ("--source", s)]
    found = report(
        tmp_path,
        *flags,
        "--target",
        t0,
        "--target",
        t1,
        "--fuse",
        "across",
        "--weights",
        "instance",
        "--constraint",
        "free",
    )
    (held,) = found["scores"]["holdout"].values()
    t, y = np.concatenate(truths), np.concatenate(guesses)
    # Errors of y in units of its deviation, beside residuals that are smaller.
    condition = t.var() / ((t - y) ** 2).mean() * float(np.linalg.cond(design)) ** 2
    assert held["r2"] == pytest.approx(1 - ((t - y) ** 2).mean() / t.var(), rel=rounding(condition))
    assert held["mae"] == pytest.approx(np.abs(t - y).mean(), rel=rounding(condition))


def test_a_loss_on_a_sample_is_held_out_beside_the_baselines(tmp_path: Path) -> None:
    """Targets with wild pixels: mae finds the weights, least squares does not; held-out mae says
    so."""
    random = np.random.default_rng(0)
    cube = random.normal(size=(3, 40, 60)) + 5
    target = np.tensordot([0.5, 0.2, 0.3], cube, 1)
    target[random.random(target.shape) < 0.1] += 40
    found = report(
        tmp_path,
        write_tiff(tmp_path / "x.tif", cube),
        "--target",
        write_tiff(tmp_path / "t.tif", target[None]),
        "--loss",
        "mae",
        "--constraint",
        "free",
    )
    weights = [w["effective_weight"] for w in found["weights"]]
    assert weights == pytest.approx([0.5, 0.2, 0.3], abs=1e-3)
    (held,), (ols,) = (
        found["scores"]["holdout"].values(),
        found["baselines"]["ols"]["holdout"].values(),
    )
    assert held["mae"] < 0.8 * ols["mae"]
    assert set(found["baselines"]) == BASELINES


@pytest.mark.one_in(3)
@pytest.mark.parametrize("loss", ["mae", "huber", "sam"])
def test_the_unit_of_the_target_does_not_matter(tmp_path: Path, loss: str) -> None:
    """A target in units a thousand times smaller gives weights a thousand times larger, and the
    same scores."""
    random = np.random.default_rng(0)
    cube = random.normal(size=(4, 30, 40)) + 3
    mix = np.array([[0.5, 0.2, 0.2, 0.1], [0.1, 0.1, 0.3, 0.6]])
    target = np.tensordot(mix, cube, 1) + 0.1 * random.normal(size=(2, 30, 40)) + 20
    scene, scores, weights = write_tiff(tmp_path / "x.tif", cube), [], []
    for scale in (1.0, 1000.0):
        (tmp_path / str(scale)).mkdir()
        t = write_tiff(tmp_path / f"t{scale}.tif", scale * target)
        flags = [
            "--target",
            t,
            "--loss",
            loss,
            "--optimizer",
            "adam",
            "--steps",
            "400",
            "--folds",
            "0",
        ]
        found = report(tmp_path / str(scale), scene, *flags)
        scores.append([s["r2"] for s in found["scores"]["train"].values()])
        weights.append([w["effective_weight"] / scale for w in found["weights"]])
    assert scores[0] == pytest.approx(scores[1], abs=1e-6)
    assert weights[0] == pytest.approx(weights[1], abs=1e-6)


# -------------------------------------------------------------------------------------------- weigh


def two_scenes(
    folder: Path, own: list[list[float]], noise: float
) -> tuple[list[str], list[np.ndarray], list[np.ndarray]]:
    """Files of scenes with weights of their own, their pixels and targets."""
    random = np.random.default_rng(3)
    files, cubes, targets = [], [], []
    for i, w in enumerate(own):
        x = random.normal(size=(3, 30, 32)) @ np.eye(32) + np.array([2.0, 3.0, 1.0])[:, None, None]
        t = np.tensordot(w, x, 1) + noise * random.normal(size=(30, 32)) + 1
        files += [write_tiff(folder / f"s{i}.tif", x), write_tiff(folder / f"t{i}.tif", t[None])]
        cubes.append(x.reshape(3, -1).T)
        targets.append(t.ravel())
    return files, cubes, targets


def own_weights(files: list[str]) -> list[str]:
    """The flags of a training of free weights for each of two scenes."""
    x, t, y, u = files
    return [x, y, "--target", t, "--target", u, "--scope", "per-scene", "--constraint", "free"]


@pytest.mark.parametrize("pooling", [0.0, 0.3, 1e6])
def test_pulled_weights_are_those_of_dense_least_squares(tmp_path: Path, pooling: float) -> None:
    files, cubes, targets = two_scenes(tmp_path, [[0.5, 0.2, 0.3], [0.9, -0.2, 0.1]], 0.1)
    found = report(tmp_path, *own_weights(files), "--pooling", pooling)
    pixels = np.concatenate(cubes)
    design = np.column_stack([pixels, np.ones(len(pixels))])
    common = np.linalg.lstsq(design, np.concatenate(targets), rcond=None)[0][:3]
    assert found["convergence"]["relative_gap"] <= 1e-9
    for i, (x, t) in enumerate(zip(cubes, targets, strict=True)):
        a, c = np.cov(x.T, bias=True), (x - x.mean(0)).T @ (t - t.mean()) / len(t)
        price = pooling * np.diag(pixels.var(axis=0))
        expected = np.linalg.solve(a + price, c + price @ common)
        mine = [w["effective_weight"] for w in found["weights"] if w["scene"] == f"s{i}"]
        close_to_conditioning(mine, expected, condition_of(x))


def test_pooling_is_chosen_by_what_scenes_share(tmp_path: Path) -> None:
    """Scenes with the same weights and much noise are pooled; scenes with other weights are not."""
    chosen = []
    for name, own, noise in (
        ("same", [[0.5, 0.2, 0.3]] * 2, 3.0),
        ("other", [[0.5, 0.2, 0.3], [-0.5, 0.9, 0.0]], 0.01),
    ):
        (tmp_path / name).mkdir()
        files, _, _ = two_scenes(tmp_path / name, own, noise)
        report(tmp_path / name, *own_weights(files))
        text = (tmp_path / name / "run" / "config.yaml").read_text()
        chosen.append(float(text.split("pooling: ")[1].split()[0]))
    assert chosen[0] >= 1
    assert chosen[1] <= 1e-3


# --------------------------------------------------------------------------------------------------


def test_random_pixels_leak_and_say_so(tmp_path: Path) -> None:
    """A target that drifts over the scene: held-out pixels are guessed well from their neighbours,
    blocks are not."""
    random = np.random.default_rng(0)
    drift = np.linspace(0, 3, 60)[:, None] * np.ones(64)
    cube = np.array([drift**p for p in (1, 2, 3)]) + 0.01 * random.normal(size=(3, 60, 64))
    target = np.sin(2 * drift) + 0.05 * random.normal(size=drift.shape)
    scene, goal = write_tiff(tmp_path / "x.tif", cube), write_tiff(tmp_path / "t.tif", target[None])
    found = {}
    for split in ("blocks", "random"):
        (tmp_path / split).mkdir()
        flags = ["--constraint", "free", "--split", split]
        found[split] = report(tmp_path / split, scene, "--target", goal, *flags)
    r2 = {split: f["scores"]["holdout"]["b1"]["r2"] for split, f in found.items()}
    assert r2["random"] > r2["blocks"] + 0.01
    assert found["random"]["scores"]["split"] == "random"
    assert found["random"]["scores"]["train"]["b1"]["r2"] == pytest.approx(
        found["blocks"]["scores"]["train"]["b1"]["r2"]
    )
    done = ok(
        "train",
        scene,
        "--target",
        goal,
        "--constraint",
        "free",
        "--split",
        "random",
        "-o",
        tmp_path / "again",
    )
    assert "they leak" in done.out
    page = (tmp_path / "again" / "report.html").read_text()
    assert "On random pixels that were held out, the fused bands" in page
    assert "these scores leak" in page


def test_random_parts_are_dense_cross_validation(tmp_path: Path) -> None:
    """Parts by the pixels' hashes, over two scenes together; the same for every number of
    threads."""
    from bandfuse.moments.sample import keys
    from bandfuse.moments.tally import part_of

    files, cubes, targets = two_scenes(tmp_path, [[0.5, 0.2, 0.3], [0.4, 0.3, 0.3]], 0.3)
    flags = [
        "--target",
        files[1],
        "--target",
        files[3],
        "--constraint",
        "free",
        "--split",
        "random",
        "--folds",
        4,
    ]
    one, three = (
        report(tmp_path, files[0], files[2], *flags, "--overwrite", "--threads", n) for n in (1, 3)
    )
    assert one["scores"] == three["scores"]  # to the bit: two runs with the same kernels
    row, col = np.divmod(np.arange(30 * 32), 32)
    part = np.tile(part_of(keys(0, row, col), 4), 2)
    x, t = np.concatenate(cubes), np.concatenate(targets)
    error = 0.0
    for i in range(4):
        model = LinearRegression().fit(x[part != i], t[part != i])
        error += ((model.predict(x[part == i]) - t[part == i]) ** 2).sum()
    assert np.bincount(part).min() > 400
    assert one["scores"]["holdout"]["b1"]["r2"] == pytest.approx(
        1 - error / len(t) / t.var(), rel=rounding(condition_of(x))
    )


def test_weights_that_are_all_zero_are_said(tmp_path: Path) -> None:
    done = ok(
        "train",
        "--no-report",
        CUBE,
        "--target",
        TARGET,
        "--sparse",
        1e6,
        "-o",
        tmp_path / "run",
        "--no-fused",
    )
    assert "all weights of blue, green, red, nir are zero" in done.err


def lobes(folder: Path, nm: list[float], target: str = "up") -> tuple[str, str]:
    """A cube, and a target that is its eighth band with noise; or one that falls where it rises."""
    random = np.random.default_rng(3)
    cube = 5 + np.cumsum(random.normal(size=(len(nm), 24, 20)), axis=0)
    y = cube[7] + 0.01 * random.normal(size=(24, 20))
    cube = cube if target == "up" else 5 + cube[7] + 0.01 * random.normal(size=cube.shape)
    y = y if target == "up" else -y
    return (
        write_tiff(folder / "cube.tif", cube, nm=nm),
        write_tiff(folder / "target.tif", y[None]),
    )


def test_what_has_no_band_pass_response_is_said(tmp_path: Path) -> None:
    cube, target = lobes(tmp_path, [400.0 + 10 * i for i in range(16)], "down")
    flags = ("--target", target, "--constraint", "bandpass", "--no-fused", "--no-report")
    done = cli("train", cube, *flags, "-o", tmp_path / "run")
    assert done.code == 0
    assert "its weights are nonnegative, not bandpass" in done.err
    outputs = json.loads((tmp_path / "run" / "report.json").read_text())["outputs"]
    assert [o["constraint"] for o in outputs] == ["nonnegative"]


def test_band_pass_responses_need_wavelengths(tmp_path: Path) -> None:
    cube, target = lobes(tmp_path, [float("nan") if i == 4 else 400.0 + 10 * i for i in range(16)])
    done = cli("train", cube, "--target", target, "--constraint", "bandpass", "-o", tmp_path / "r")
    assert done.code == 2
    assert "--constraint bandpass needs the wavelength of every band; got none of" in done.err
    assert not (tmp_path / "r").exists()
