"""Train, from files to a run folder: what it holds, that the answer is found, and what must not
change it."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from helpers import close_to_conditioning, condition_of, rounding, same_bits
from rasters import (
    LAYOUTS,
    blend,
    cli,
    listing,
    ok,
    profile,
    read,
    refused,
    spectra,
    wavelengths,
    write_envi,
    write_tiff,
)

from bandfuse.model.weightsfile import load

B = 6
NM = wavelengths(B)
TRUE = np.array([[0.5, 0.3, 0.2, 0.0, 0.0, 0.0], [0.0, 0.0, 0.1, 0.2, 0.3, 0.4]])
OFFSET = np.array([0.05, -0.02])
COLUMNS = [
    "output",
    "scene",
    "band",
    "source",
    "source_band",
    "name",
    "wavelength_nm",
    "fwhm_nm",
    "weight",
    "effective_weight",
    "ci_low",
    "ci_high",
]
REPORT_KEYS = {
    "outputs",
    "weights",
    "scores",
    "baselines",
    "convergence",
    "trust",
    "pixels",
    "bands_dropped",
    "classes",
    "separation",
    "device",
    "seconds",
    "versions",
    "inputs",
    "seed",
    "alignment",
    "left_out",
    "kernels",
}


@pytest.fixture
def pair(tmp_path: Path) -> tuple[str, str, np.ndarray]:
    """A cube, a target of known weights, and the cube's pixels."""
    return make_pair(tmp_path)


Pair = tuple[str, str, np.ndarray]


def make_pair(folder: Path, cube: np.ndarray | None = None, **how: Any) -> Pair:
    cube = spectra(B, 30, 40) if cube is None else cube
    target = blend(np.nan_to_num(cube), TRUE.tolist(), OFFSET.tolist()).astype(np.float32)
    scene = write_tiff(folder / "cube.tif", cube, **{"nm": NM, **how})
    return scene, write_tiff(folder / "target.tif", target, names=["left", "right"]), cube


def train(folder: Path, *arguments: object, name: str = "run") -> tuple[Path, dict[str, Any]]:
    """Train without report.html; the run folder and report.json."""
    run = folder / name
    ok("train", *arguments, "-o", run, "--no-report")
    return run, json.loads((run / "report.json").read_text())


def rows_of(run: Path) -> list[dict[str, str]]:
    with (run / "weights.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def weights_of(run: Path) -> np.ndarray:
    """(K, B) effective weights."""
    return load(run / "weights.safetensors").common.matrix


# --------------------------------------------------------------------------------------------------


def test_run_folder(tmp_path: Path, pair: Pair) -> None:
    scene, target, _ = pair
    ok("train", scene, "--target", target, "-o", tmp_path / "run")
    run = tmp_path / "run"
    assert sorted(listing(run)) == [
        "config.yaml",
        "fused.tif",
        "report.data.json",
        "report.html",
        "report.json",
        "weights.csv",
        "weights.safetensors",
    ]
    assert not any(p.name.startswith(".") for p in tmp_path.iterdir())

    seen = profile(run / "fused.tif")
    assert seen["names"] == ["left", "right"]
    assert (seen["crs"], seen["transform"]) == (profile(scene)["crs"], profile(scene)["transform"])
    np.testing.assert_allclose(read(run / "fused.tif"), read(target), rtol=1e-5)

    rows = rows_of(run)
    text = (run / "weights.csv").read_bytes()
    assert text.startswith((",".join(COLUMNS) + "\n").encode())
    assert b"\r" not in text
    assert [(r["output"], r["band"]) for r in rows] == [
        (o, str(b)) for o in ("left", "right") for b in range(1, 7)
    ]
    assert [float(r["effective_weight"]) for r in rows] == weights_of(run).ravel().tolist()
    assert [float(r["wavelength_nm"]) for r in rows] == NM * 2
    assert {(r["scene"], r["source"], r["fwhm_nm"]) for r in rows} == {("", "scene", "")}
    for r in rows:
        assert float(r["ci_low"]) <= float(r["effective_weight"]) <= float(r["ci_high"])

    html = (run / "report.html").read_text()
    assert html.lstrip().lower().startswith("<!doctype html")
    assert ".partial" not in html


def test_report_json(tmp_path: Path, pair: Pair) -> None:
    scene, target, _ = pair
    run, report = train(tmp_path, scene, "--target", target, "--seed", 7)
    assert set(report) <= REPORT_KEYS
    assert set(report) >= REPORT_KEYS - {"baselines"}
    assert [o["name"] for o in report["outputs"]] == ["left", "right"]
    assert {"name", "gain", "offset", "constraint", "active_bands"} <= set(report["outputs"][0])
    assert [list(w) for w in report["weights"]] == [COLUMNS] * 12
    assert [w["weight"] for w in report["weights"]] == [float(r["weight"]) for r in rows_of(run)]
    assert set(report["scores"]["train"]) == {"left", "right"}
    assert {"loss", "optimum", "relative_gap", "steps"} <= set(report["convergence"])
    assert report["pixels"] == {"used": 1200, "invalid": 0, "by_reason": {}, "quality": {}}
    assert report["bands_dropped"] == []
    assert set(report["seconds"]) == {"read", "fit", "write"}
    assert {"bandfuse", "numpy", "torch", "rasterio", "gdal"} <= set(report["versions"])
    assert [i["path"] for i in report["inputs"]] == [scene, target]
    assert [i["shape"] for i in report["inputs"]] == [[6, 30, 40], [2, 30, 40]]
    assert report["inputs"][0]["size"] == Path(scene).stat().st_size
    import hashlib

    assert report["inputs"][0]["sha256"] == hashlib.sha256(Path(scene).read_bytes()).hexdigest()
    assert report["seed"] == 7


def test_json_on_stdout_is_the_report(tmp_path: Path, pair: Pair) -> None:
    done = ok(
        "train",
        pair[0],
        "--target",
        pair[1],
        "-o",
        tmp_path / "run",
        "--no-report",
        "--no-fused",
        "--json",
    )
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert set(done.json) == set(report)
    assert done.json["weights"] == report["weights"]
    assert sorted(listing(tmp_path / "run")) == [
        "config.yaml",
        "report.json",
        "weights.csv",
        "weights.safetensors",
    ]


@pytest.mark.one_in(4)
@pytest.mark.parametrize(
    "flags",
    [
        [],
        [
            "--constraint",
            "free",
            "--optimizer",
            "adam",
            "--steps",
            "50",
            "--init",
            "normal",
            "--seed",
            "5",
        ],
        ["--groups", "equal:2", "--constraint", "simplex", "--gain", "--no-offset"],
        ["--group", "right=3-6", "--group", "left=1-3"],
        ["--activation", "sigmoid", "--steps", "20"],
    ],
    ids=["defaults", "adam", "gain", "groups", "sigmoid"],
)
def test_the_resolved_config_gives_the_same_weights(
    tmp_path: Path, pair: Pair, flags: list[str]
) -> None:
    run, _ = train(tmp_path, pair[0], "--target", pair[1], "--no-fused", *flags)
    again, _ = train(tmp_path, "--config", run / "config.yaml", "--no-fused", name="again")
    same_bits(
        (again / "weights.safetensors").read_bytes(), (run / "weights.safetensors").read_bytes()
    )
    assert (again / "config.yaml").read_bytes() == (run / "config.yaml").read_bytes()


def test_the_resolved_config_works_from_another_folder(
    tmp_path: Path, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "groups.yaml").write_text("left: 1-3\nright: 3-6\n")
    monkeypatch.chdir(tmp_path)
    run, _ = train(
        tmp_path, "cube.tif", "--target", "target.tif", "--groups", "file:groups.yaml", "--no-fused"
    )
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    again, _ = train(tmp_path, "--config", run / "config.yaml", "--no-fused", name="again")
    same_bits(
        (again / "weights.safetensors").read_bytes(), (run / "weights.safetensors").read_bytes()
    )


def test_flags_win_over_set_over_the_file(tmp_path: Path, pair: Pair) -> None:
    (tmp_path / "c.yaml").write_text("seed: 1\nconstraint: free\ninit: normal\n")
    run, report = train(
        tmp_path,
        pair[0],
        "--target",
        pair[1],
        "--config",
        tmp_path / "c.yaml",
        "--set",
        "seed=2",
        "--set",
        "no-offset=true",
        "--set",
        "constraint=affine",
        "--constraint",
        "simplex",
    )
    settings = yaml.safe_load((run / "config.yaml").read_text())
    assert (settings["seed"], settings["constraint"], settings["init"]) == (2, "simplex", "normal")
    assert settings["no_offset"] is True
    assert report["outputs"][0]["constraint"] == "simplex"


def test_overwrite_replaces_a_run_and_nothing_else(tmp_path: Path, pair: Pair) -> None:
    run, _ = train(tmp_path, pair[0], "--target", pair[1])
    (run / "fused.tif.aux.xml").write_text("statistics by QGIS")
    assert "--overwrite" in refused(tmp_path, pair[0], "--target", pair[1])
    ok("train", pair[0], "--target", pair[1], "-o", run, "--no-report", "--overwrite")
    assert {"fused.tif.aux.xml", "report.html"}.isdisjoint(listing(run))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years")
    done = cli("train", pair[0], "--target", pair[1], "-o", tmp_path / "mine", "--overwrite")
    assert done.code == 2
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "years"


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a pair and a run that was learned from it."""
    folder = tmp_path_factory.mktemp("learned")
    scene, target, _ = make_pair(folder)
    train(folder, scene, "--target", target)
    return folder


@pytest.mark.parametrize(
    "what",
    ["a stranger", "the scene", "the target", "a mask", "the settings", "the checkpoint", "groups"],
)
def test_nothing_in_a_run_folder_is_lost(tmp_path: Path, learned: Path, what: str) -> None:
    """Not even by --overwrite: neither what is read, nor what bandfuse did not write."""
    shutil.copytree(learned, tmp_path, dirs_exist_ok=True)
    run = tmp_path / "run"
    scene, target = (str(tmp_path / name) for name in ("cube.tif", "target.tif"))
    flags: list[object] = []
    if what == "a stranger":
        (run / "notes.txt").write_text("years")
    elif what == "the scene":
        scene = shutil.copy(scene, run / "fused.tif")
    elif what == "the target":
        target = shutil.copy(target, run / "fused.tif")
    elif what == "a mask":
        flags = ["--mask", write_tiff(run / "fused.tif", np.ones((1, 30, 40), "uint8"))]
    elif what == "the settings":
        flags = ["--config", run / "config.yaml"]
    elif what == "the checkpoint":
        flags = ["--checkpoint", run / "report.json", "--optimizer", "adam"]
    else:
        (run / "config.yaml").write_text("a: all")
        flags = ["--groups", f"file:{run / 'config.yaml'}"]
    before = listing(tmp_path)
    done = cli("train", scene, "--target", target, *flags, "-o", run, "--overwrite")
    assert (done.code, listing(tmp_path)) == (2, before), done.err
    assert ("also holds notes.txt" if what == "a stranger" else "which is read") in done.err


# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("constraint", ["free", "nonnegative", "affine", "simplex"])
def test_weights_that_made_the_target_are_found(
    tmp_path: Path, pair: Pair, constraint: str
) -> None:
    run, report = train(
        tmp_path, pair[0], "--target", pair[1], "--constraint", constraint, "--no-fused"
    )
    np.testing.assert_allclose(weights_of(run), TRUE, atol=2e-5)
    assert [o["offset"] for o in report["outputs"]] == pytest.approx(OFFSET.tolist(), abs=2e-5)
    assert report["convergence"]["relative_gap"] <= 1e-9
    assert all(s["r2"] > 1 - 1e-9 for s in report["scores"]["train"].values())


def test_free_regression_is_least_squares(tmp_path: Path) -> None:
    cube = spectra(B, 30, 40)
    noisy = spectra(2, 30, 40, seed=9)
    scene, target = write_tiff(tmp_path / "c.tif", cube), write_tiff(tmp_path / "t.tif", noisy)
    run, report = train(tmp_path, scene, "--target", target, "--constraint", "free", "--no-fused")
    design = np.column_stack([cube.reshape(B, -1).T.astype(np.float64), np.ones(1200)])
    answer, residual, *_ = np.linalg.lstsq(design, noisy.reshape(2, -1).T.astype(np.float64))
    condition = condition_of(design[:, :B])
    close_to_conditioning(weights_of(run), answer[:B].T, condition)
    close_to_conditioning([o["offset"] for o in report["outputs"]], answer[B], condition)
    assert report["convergence"]["loss"] == pytest.approx(residual.sum() / 1200, rel=rounding())
    assert [o["name"] for o in report["outputs"]] == ["b1", "b2"]


def test_scale_offset_and_nodata_of_the_files_are_honoured(tmp_path: Path) -> None:
    stored = spectra(B, 30, 40, dtype="int16")
    stored[:, :5, :7] = -9999
    physical = stored * 1e-4 + 0.01
    target = blend(physical, TRUE.tolist(), OFFSET.tolist())
    scene = write_tiff(
        tmp_path / "c.tif", stored, nodata=-9999, scales=[1e-4] * B, offsets=[0.01] * B
    )
    goal = write_tiff(tmp_path / "t.tif", target, names=["left", "right"])
    run, report = train(tmp_path, scene, "--target", goal)
    np.testing.assert_allclose(weights_of(run), TRUE, atol=1e-6)
    assert report["pixels"] == {
        "used": 1165,
        "invalid": 35,
        "by_reason": {"band missing": 35},
        "quality": {},
    }
    fused = read(run / "fused.tif")
    np.testing.assert_array_equal(
        np.isnan(fused), np.broadcast_to(stored[:1] == -9999, fused.shape)
    )
    np.testing.assert_allclose(fused[:, 5:], target[:, 5:], rtol=1e-5)


def test_gain_beside_simplex(tmp_path: Path) -> None:
    cube = spectra(B, 30, 40)
    target = blend(cube, (2.5 * TRUE).tolist(), OFFSET.tolist())
    scene, goal = write_tiff(tmp_path / "c.tif", cube), write_tiff(tmp_path / "t.tif", target)
    run, report = train(
        tmp_path, scene, "--target", goal, "--constraint", "simplex", "--gain", "--no-fused"
    )
    assert [o["gain"] for o in report["outputs"]] == pytest.approx([2.5, 2.5], rel=1e-6)
    shape = np.array([float(r["weight"]) for r in rows_of(run)]).reshape(2, B)
    np.testing.assert_allclose(shape, TRUE, atol=1e-6)
    np.testing.assert_allclose(weights_of(run), 2.5 * TRUE, atol=3e-6)


@pytest.mark.parametrize("activation", ["sigmoid", "softplus"])
def test_activation_training(tmp_path: Path, activation: str) -> None:
    cube = spectra(3, 50, 60)
    z = blend(cube, [[4.0, -3.0, 2.0]], -0.5)
    target = {"sigmoid": 1 / (1 + np.exp(-z)), "softplus": np.log1p(np.exp(z))}[activation]
    scene, goal = write_tiff(tmp_path / "c.tif", cube), write_tiff(tmp_path / "t.tif", target)
    run, report = train(
        tmp_path, scene, "--target", goal, "--activation", activation, "--constraint", "free"
    )
    np.testing.assert_allclose(weights_of(run), [[4.0, -3.0, 2.0]], rtol=1e-3)
    assert report["convergence"]["optimum"] is None
    np.testing.assert_allclose(read(run / "fused.tif"), target, rtol=1e-3)


def test_reconstruction_finds_the_subspace_of_the_cube(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    cube = np.einsum("bm,mhw->bhw", rng.uniform(0, 1, (B, 2)), rng.uniform(0.1, 1, (2, 30, 40)))
    scene = write_tiff(tmp_path / "c.tif", cube, nm=NM)
    _, report = train(tmp_path, scene, "--groups", "equal:2", "--no-fused")
    assert [o["name"] for o in report["outputs"]] == ["g1", "g2"]
    assert report["scores"]["train"]["cube"]["r2"] > 1 - 1e-9


# --------------------------------------------------------------------------------------------------

DEAD = ("constant", "nodata", "nan", "mostly missing")


def killed(how: str, cube: np.ndarray, band: int) -> np.ndarray:
    """The int16 or float32 cube with one dead band."""
    cube = cube.copy()
    if how == "constant":
        cube[band] = 17
    elif how == "nodata":
        cube[band] = -9999
    elif how == "nan":
        cube[band] = np.nan
    else:
        cube[band, :20] = -9999  # 20 of 30 rows
    return cube


@pytest.mark.one_in(2)
@pytest.mark.parametrize("how", DEAD)
def test_a_dead_band_is_dropped_by_name_with_its_reason(tmp_path: Path, how: str) -> None:
    cube = spectra(B, 30, 40)
    target = blend(cube, [[0.5, 0.3, 0.2, 0.0, 0.0, 0.0]])
    names = [f"channel {i}" for i in range(1, B + 1)]
    scene = write_tiff(tmp_path / "c.tif", killed(how, cube, 4), nodata=-9999, names=names, nm=NM)
    run, report = train(tmp_path, scene, "--target", write_tiff(tmp_path / "t.tif", target))
    (dropped,) = report["bands_dropped"]
    reason = {
        "constant": "constant (17)",
        "mostly missing": "missing in 67 % of the otherwise valid pixels",
    }
    assert dropped == {
        "band": 5,
        "source": "scene",
        "name": "channel 5",
        "wavelength_nm": NM[4],
        "reason": reason.get(how, "no valid pixel"),
    }
    assert report["pixels"]["used"] == 1200
    assert weights_of(run)[0, 4] == 0
    assert {int(r["band"]) for r in rows_of(run)} == {1, 2, 3, 4, 6}
    np.testing.assert_allclose(read(run / "fused.tif"), target, rtol=1e-4)


def test_bands_flagged_bad_are_dropped(tmp_path: Path) -> None:
    cube = spectra(B, 30, 40)
    target = blend(cube, [[0.5, 0.3, 0.2, 0.0, 0.0, 0.0]])
    scene = write_tiff(tmp_path / "c.tif", cube, bad=[4, 6])
    run, report = train(
        tmp_path, scene, "--target", write_tiff(tmp_path / "t.tif", target), "--no-fused"
    )
    assert [(d["band"], d["reason"]) for d in report["bands_dropped"]] == [
        (4, "flagged bad (bbl)"),
        (6, "flagged bad (bbl)"),
    ]
    assert weights_of(run)[0, [3, 5]].tolist() == [0, 0]


def test_a_group_of_dead_bands_only_is_an_error(tmp_path: Path, pair: Pair) -> None:
    scene = write_tiff(tmp_path / "dead.tif", killed("constant", pair[2], 4))
    text = refused(
        tmp_path, scene, "--target", pair[1], "--group", "left=1-3", "--group", "right=5"
    )
    assert "'right' is empty" in text
    assert "constant (17)" in text


SAYS = "read a second time"


@pytest.mark.one_in(2)
@pytest.mark.parametrize("kind", ["dead only where the scout may look", "dead only elsewhere"])
def test_a_wrong_guess_costs_a_second_pass_and_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Three stacks of 64 rows, of which the scout sees one; the band differs in another stack each
    time."""
    monkeypatch.setattr("bandfuse.survey.scout.SCOUT_STACKS", 1)
    cube = spectra(B, 192, 20)
    target = write_tiff(tmp_path / "t.tif", blend(cube, [[0.5, 0.3, 0.2, 0.0, 0.0, 0.0]]))
    said = []
    for stack in range(3):
        here = np.zeros(192, bool)
        here[64 * stack : 64 * stack + 64] = True
        changed = cube.copy()
        if kind == "dead only elsewhere":
            changed[5, ~here] = np.nan
        else:
            changed[5, here] = 0.5
        scene = write_tiff(tmp_path / f"c{stack}.tif", changed)
        run = tmp_path / f"run{stack}"
        done = ok(
            "train", scene, "--target", target, "-o", run, "--constraint", "free", "--no-report"
        )
        report = json.loads((run / "report.json").read_text())
        assert [d["band"] for d in report["bands_dropped"]] == (
            [6] if kind == "dead only elsewhere" else []
        )
        assert report["pixels"]["used"] == 192 * 20
        assert np.isfinite(read(run / "fused.tif")).all()
        np.testing.assert_allclose(weights_of(run), [[0.5, 0.3, 0.2, 0, 0, 0]], atol=1e-5)
        said.append(SAYS in done.err)
    assert sum(said) == 1


def test_a_band_that_is_dead_in_one_of_two_scenes_is_dropped(tmp_path: Path) -> None:
    cubes = [spectra(B, 30, 40, seed=i) for i in (1, 2)]
    for i, cube in enumerate(cubes):
        write_tiff(tmp_path / f"s{i}_t.tif", blend(cube, [[0.5, 0.3, 0.2, 0, 0, 0]]))
    files = [
        write_tiff(tmp_path / "s0.tif", cubes[0]),
        write_tiff(tmp_path / "s1.tif", killed("constant", cubes[1], 4)),
    ]
    run, report = train(tmp_path, *files, "--target", "{parent}/{stem}_t.tif")
    assert [(d["band"], d["reason"]) for d in report["bands_dropped"]] == [
        (5, "constant (17) in s1")
    ]
    assert np.isfinite(read(run / "s1.fused.tif")).all()


def test_a_nodata_corner_stays_out(tmp_path: Path) -> None:
    cube = spectra(B, 30, 40)
    corner = np.add.outer(np.arange(30), np.arange(40)) < 20
    cube[:, corner] = np.nan
    scene, target, _ = make_pair(tmp_path, cube)
    run, report = train(tmp_path, scene, "--target", target)
    assert report["pixels"]["invalid"] == int(corner.sum())
    np.testing.assert_allclose(weights_of(run), TRUE, atol=2e-5)
    np.testing.assert_array_equal(
        np.isnan(read(run / "fused.tif")), np.broadcast_to(corner, (2, 30, 40))
    )


def test_missing_targets_are_counted_apart(tmp_path: Path, pair: Pair) -> None:
    values = read(pair[1])
    values[1, :2] = np.nan
    target = write_tiff(tmp_path / "t.tif", values, names=["left", "right"])
    run, report = train(tmp_path, pair[0], "--target", target)
    assert report["pixels"] == {
        "used": 1120,
        "invalid": 80,
        "by_reason": {"target missing": 80},
        "quality": {},
    }
    assert np.isfinite(read(run / "fused.tif")).all()


def test_a_constant_target_is_matched_by_the_offset_or_refused_by_name(
    tmp_path: Path, pair: Pair
) -> None:
    target = write_tiff(tmp_path / "flat.tif", np.ones((1, 30, 40), "float32"))
    before = listing(tmp_path)
    done = cli("train", pair[0], "--target", target, "-o", tmp_path / "run", "--no-report")
    if done.code == 0:
        np.testing.assert_allclose(read(tmp_path / "run" / "fused.tif"), 1.0, rtol=1e-6)
    else:
        assert done.code == 2
        assert "flat.tif" in done.err
        assert listing(tmp_path) == before


# --------------------------------------------------------------------------------------------------


def positions(run: Path) -> dict[str, list[int]]:
    """Bands of each output's group, from weights.csv."""
    found: dict[str, list[int]] = {}
    for row in rows_of(run):
        found.setdefault(row["output"], []).append(int(row["band"]))
    return found


@pytest.mark.one_in(2)
@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--groups", "equal:3"], {"g1": [1, 2], "g2": [3, 4], "g3": [5, 6]}),
        (["--group", "a=1-3,6", "--group", "b=4"], {"a": [1, 2, 3, 6], "b": [4]}),
        (["--group", "a=1-4", "--group", "b=3-6"], {"a": [1, 2, 3, 4], "b": [3, 4, 5, 6]}),
        (
            ["--group", "blue=400-600nm", "--group", "nir=0.8-1.1um"],
            {"blue": [1, 2], "nir": [5, 6]},
        ),
        (["--groups", "500-800nm"], {"500-800nm": [2, 3, 4]}),
        (["--groups", "2,4-5"], {"2,4-5": [2, 4, 5]}),
        (["--groups", "all"], {"all": [1, 2, 3, 4, 5, 6]}),
        ([], {"all": [1, 2, 3, 4, 5, 6]}),
    ],
)
def test_group_flags(
    tmp_path: Path, pair: Pair, flags: list[str], expected: dict[str, list[int]]
) -> None:
    run, _ = train(tmp_path, pair[0], *flags, "--no-fused", "--steps", 3)
    assert positions(run) == expected
    assert sorted(expected) == sorted(load(run / "weights.safetensors").common.outputs.name)


def test_groups_from_a_file(tmp_path: Path, pair: Pair) -> None:
    (tmp_path / "groups.yaml").write_text("vis: 400-700nm\nlast: 6\nodd: 1,3,5\n")
    run, _ = train(
        tmp_path, pair[0], "--groups", f"file:{tmp_path}/groups.yaml", "--no-fused", "--steps", 3
    )
    assert positions(run) == {"vis": [1, 2, 3], "last": [6], "odd": [1, 3, 5]}


def test_groups_in_a_config_file_as_a_mapping(tmp_path: Path, pair: Pair) -> None:
    (tmp_path / "c.yaml").write_text("group:\n  left: 1-3\n  right: 3-6\n")
    run, _ = train(tmp_path, pair[0], "--target", pair[1], "--config", tmp_path / "c.yaml")
    assert positions(run) == {"left": [1, 2, 3], "right": [3, 4, 5, 6]}
    np.testing.assert_allclose(weights_of(run), TRUE, atol=2e-5)


def test_groups_are_paired_with_targets_by_name(tmp_path: Path, pair: Pair) -> None:
    run, report = train(
        tmp_path, pair[0], "--target", pair[1], "--group", "right=3-6", "--group", "left=1-3"
    )
    assert [o["name"] for o in report["outputs"]] == ["right", "left"]
    np.testing.assert_allclose(weights_of(run), TRUE[::-1], atol=2e-5)
    assert profile(run / "fused.tif")["names"] == ["right", "left"]


def test_equal_groups_go_by_wavelength(tmp_path: Path) -> None:
    nm = [900.0, 400.0, 500.0, 800.0, 600.0, 700.0]
    scene = write_tiff(tmp_path / "c.tif", spectra(B, 20, 20), nm=nm)
    run, _ = train(tmp_path, scene, "--groups", "equal:2", "--no-fused", "--steps", 3)
    assert positions(run) == {"g1": [2, 3, 5], "g2": [1, 4, 6]}


def test_groups_and_targets_that_cannot_be_paired(tmp_path: Path, pair: Pair) -> None:
    text = refused(tmp_path, pair[0], "--target", pair[1], "--groups", "equal:3")
    assert "g1, g2, g3" in text
    assert "left, right" in text


# --------------------------------------------------------------------------------------------------


def test_scenes_are_pooled_with_a_target_template(tmp_path: Path) -> None:
    files = []
    for i in range(3):
        cube = spectra(B, 10, 40, seed=i)
        files.append(write_tiff(tmp_path / f"s{i}.tif", cube))
        write_tiff(
            tmp_path / f"s{i}_t.tif",
            blend(cube, TRUE.tolist(), OFFSET.tolist()),
            names=["left", "right"],
        )
    run, report = train(tmp_path, *files, "--target", "{parent}/{stem}_t.tif")
    assert sorted(f for f in listing(run) if f.endswith(".tif")) == [
        f"s{i}.fused.tif" for i in range(3)
    ]
    assert report["pixels"]["used"] == 1200
    assert [Path(i["path"]).name for i in report["inputs"]] == [
        f"s{i}{t}.tif" for i in range(3) for t in ("", "_t")
    ]
    np.testing.assert_allclose(weights_of(run), TRUE, atol=1e-6)
    assert not load(run / "weights.safetensors").per_scene
    again, _ = train(
        tmp_path,
        *files,
        *[a for f in files for a in ("--target", f.replace(".tif", "_t.tif"))],
        name="again",
    )
    same_bits(
        (again / "weights.safetensors").read_bytes(), (run / "weights.safetensors").read_bytes()
    )


def instance_scenes(folder: Path, own: list[float]) -> list[str]:
    """Arguments for scenes of sources a and b with the target ``own_i · a + b``."""
    for sub in "abt":
        (folder / sub).mkdir()
    arguments: list[str] = []
    for i, w in enumerate(own):
        a, b = spectra(3, 12, 15, seed=2 * i), spectra(3, 12, 15, seed=2 * i + 1)
        arguments += ["--source", f"a={write_tiff(folder / 'a' / f's{i}.tif', a)}"]
        write_tiff(folder / "b" / f"s{i}.tif", b)
        write_tiff(folder / "t" / f"s{i}.tif", w * a.astype(np.float64) + b)
    return [
        *arguments,
        "--source",
        f"b={folder}/b/{{stem}}.tif",
        "--target",
        f"{folder}/t/{{stem}}.tif",
    ]


@pytest.mark.one_in(3)
@pytest.mark.parametrize("optimizer", ["lbfgs", "adam", "sgd"])
def test_instance_weights_over_four_scenes(tmp_path: Path, optimizer: str) -> None:
    own = [0.3, 0.7, 1.6, -0.4]
    run, report = train(
        tmp_path,
        *instance_scenes(tmp_path, own),
        "--fuse",
        "across",
        "--weights",
        "instance",
        "--fixed",
        "b",
        "--constraint",
        "free",
        "--no-offset",
        "--optimizer",
        optimizer,
        "--folds",
        0,
    )
    model = load(run / "weights.safetensors")
    assert list(model.scenes) == ["s0", "s1", "s2", "s3"]
    for fusion, w in zip(model.scenes.values(), own, strict=True):
        np.testing.assert_allclose(fusion.matrix, np.hstack([w * np.eye(3), np.eye(3)]), atol=1e-5)
    assert {r["scene"] for r in rows_of(run)} == set(model.scenes)
    assert report["convergence"]["relative_gap"] <= 1e-8
    for i in range(4):
        np.testing.assert_allclose(
            read(run / f"s{i}.fused.tif"), read(tmp_path / "t" / f"s{i}.tif"), rtol=1e-4
        )


def test_scenes_of_one_name_keep_their_own_weights_on_apply(tmp_path: Path) -> None:
    """Two scenes that are both ``cube.tif``, in different folders."""
    arguments = []
    for name, w in (("north", 0.3), ("south", 0.7)):
        (tmp_path / name).mkdir()
        cube = spectra(2, 12, 15, seed=len(arguments))
        arguments.append(write_tiff(tmp_path / name / "cube.tif", cube))
        write_tiff(tmp_path / name / "t.tif", w * cube.astype(np.float64).sum(0, keepdims=True))
    run, _ = train(tmp_path, *arguments, "--target", "{parent}/t.tif", "--weights", "instance")
    for name in ("north", "south"):
        out = tmp_path / f"{name}.tif"
        ok("apply", run / "weights.safetensors", tmp_path / name / "cube.tif", "-o", out)
        np.testing.assert_allclose(read(out), read(tmp_path / name / "t.tif"), rtol=1e-4)


# -------------------------------------------------------------------------------------------------


@pytest.mark.one_in(2)
@pytest.mark.parametrize("optimizer", ["lbfgs", "adam", "sgd"])
def test_two_images_with_one_weight_between_them(tmp_path: Path, optimizer: str) -> None:
    a, b = spectra(3, 30, 40, seed=1), spectra(3, 30, 40, seed=2)
    target = write_tiff(tmp_path / "t.tif", 0.3 * a.astype(np.float64) + 0.7 * b)
    run, report = train(
        tmp_path,
        "--source",
        f"a={write_tiff(tmp_path / 'a.tif', a)}",
        "--source",
        f"b={write_tiff(tmp_path / 'b.tif', b)}",
        "--target",
        target,
        "--fuse",
        "across",
        "--weights",
        "scalar",
        "--constraint",
        "affine",
        "--optimizer",
        optimizer,
    )
    np.testing.assert_allclose(
        weights_of(run), np.hstack([0.3 * np.eye(3), 0.7 * np.eye(3)]), atol=1e-5
    )
    assert report["convergence"]["relative_gap"] <= 1e-8
    np.testing.assert_allclose(read(run / "fused.tif"), read(target), rtol=1e-4)
    rows = rows_of(run)
    assert [(r["source"], r["source_band"], r["band"]) for r in rows[:2]] == [
        ("a", "1", "1"),
        ("b", "1", "4"),
    ]


@pytest.mark.one_in(2)
@pytest.mark.parametrize("optimizer", ["lbfgs", "adam", "sgd"])
def test_three_channels_and_one_that_is_broadcast(tmp_path: Path, optimizer: str) -> None:
    a, pan = spectra(3, 30, 40, seed=1), spectra(1, 30, 40, seed=2)
    own, shared = np.array([0.2, 1.4, -0.6]), np.array([0.9, 0.1, 0.5])
    target = own[:, None, None] * a.astype(np.float64) + shared[:, None, None] * pan
    run, _ = train(
        tmp_path,
        "--source",
        f"ms={write_tiff(tmp_path / 'a.tif', a)}",
        "--source",
        f"pan={write_tiff(tmp_path / 'p.tif', pan)}",
        "--target",
        write_tiff(tmp_path / "t.tif", target),
        "--fuse",
        "across",
        "--weights",
        "channel",
        "--constraint",
        "free",
        "--optimizer",
        optimizer,
    )
    np.testing.assert_allclose(
        weights_of(run), np.hstack([np.diag(own), shared[:, None]]), atol=1e-5
    )


def test_groups_of_three_and_two_channels_are_an_error_that_names_both(tmp_path: Path) -> None:
    a, b = (
        write_tiff(tmp_path / "a.tif", spectra(3, 9, 9)),
        write_tiff(tmp_path / "b.tif", spectra(2, 9, 9)),
    )
    text = refused(
        tmp_path, "--source", f"ms={a}", "--source", f"sar={b}", "--target", a, "--fuse", "across"
    )
    assert "'ms' with 3" in text
    assert "'sar' with 2" in text


def test_everything_fixed_leaves_nothing_to_learn(tmp_path: Path) -> None:
    a, b = (write_tiff(tmp_path / f"{n}.tif", spectra(2, 9, 9, seed=i)) for i, n in enumerate("ab"))
    text = refused(
        tmp_path,
        "--source",
        f"a={a}",
        "--source",
        f"b={b}",
        "--target",
        a,
        "--fuse",
        "across",
        "--fixed",
        "a",
        "--fixed",
        "b",
    )
    assert "fixed" in text


# ------------------------------------------------------------------------------------------- what m


@pytest.mark.one_in(2)
@pytest.mark.parametrize(
    "flags", [[], ["--activation", "tanh", "--steps", "5"]], ids=["moments", "sample"]
)
def test_weights_do_not_depend_on_threads_memory_or_layout(
    tmp_path: Path, flags: list[str]
) -> None:
    cube = spectra(B, 300, 600)
    cube[:, 40:90, 100:300] = np.nan
    target = blend(np.nan_to_num(cube), TRUE.tolist(), OFFSET.tolist()) + spectra(
        2, 300, 600, seed=5
    )
    goal = write_tiff(tmp_path / "t.tif", target, **LAYOUTS["strips-deflate"])
    seen = set()
    layouts: list[dict[str, Any] | str] = [LAYOUTS["tiled-pixel"], LAYOUTS["strips-pixel"], "bil"]
    for i, (threads, memory) in enumerate([(1, 256), (3, 16), (2, 40)]):
        layout, folder = layouts[i], tmp_path / str(i)
        folder.mkdir()
        scene = (
            write_envi(folder / "c.img", cube, layout)
            if isinstance(layout, str)
            else write_tiff(folder / "c.tif", cube, **layout)
        )
        run, _ = train(
            folder,
            scene,
            "--target",
            goal,
            "--no-fused",
            "--threads",
            threads,
            "--memory",
            memory,
            *flags,
        )
        model = load(run / "weights.safetensors").common
        seen.add((model.weight.tobytes(), model.offset.tobytes()))
    assert len(seen) == 1


@pytest.mark.thorough
def test_weights_files_are_byte_identical_for_any_threads_and_memory(tmp_path: Path) -> None:
    scene, target, _ = make_pair(tmp_path, spectra(B, 300, 600), **LAYOUTS["tiled-band"])
    seen = set()
    for threads, memory in [(1, 256), (3, 16), (2, 64), (1, 16)]:
        run, _ = train(
            tmp_path,
            scene,
            "--target",
            target,
            "--no-fused",
            "--threads",
            threads,
            "--memory",
            memory,
            name=f"{threads}-{memory}",
        )
        seen.add((run / "weights.safetensors").read_bytes())
    assert len(seen) == 1


def test_weights_and_report_are_computed_by_one_thread_of_the_linear_algebra(
    tmp_path: Path, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So their bits do not depend on how many threads the machine has, from Python either."""
    from threadpoolctl import threadpool_info, threadpool_limits

    from bandfuse.runs import folder
    from bandfuse.training import learn

    threads = {}

    def watch(module: Any, name: str) -> None:
        function = getattr(module, name)

        def watched(*values: Any, **more: Any) -> Any:
            blas = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
            threads[name] = {pool["num_threads"] for pool in blas}
            return function(*values, **more)

        monkeypatch.setattr(module, name, watched)

    watch(folder, "report_of")
    for name in ("fit_model", "_assess", "_classifier"):
        watch(learn, name)
    with threadpool_limits(2, user_api="blas"):
        train(tmp_path, pair[0], "--target", pair[1], "--no-fused")
    steps = ("fit_model", "_assess", "_classifier", "report_of")
    assert threads == {name: {1} for name in steps}


# --------------------------------------------------------------------------------------------------


def test_scores_are_those_of_numpy(tmp_path: Path, pair: Pair) -> None:
    run, _ = train(tmp_path, pair[0], "--target", pair[1])
    other = spectra(B, 25, 35, seed=77)
    other[:, 3:6, 4:9] = np.nan
    truth = blend(np.nan_to_num(other), TRUE.tolist(), [0.0, 0.1]) + 0.1 * spectra(
        2, 25, 35, seed=78
    )
    truth = truth.astype(np.float32)
    truth[1, 20, 20] = np.nan
    goal = write_tiff(tmp_path / "ot.tif", truth[::-1].copy(), names=["right", "left"])
    scene = write_tiff(tmp_path / "other.tif", other, nm=NM)
    done = ok("evaluate", run / "weights.safetensors", scene, "--target", goal, "--json").json
    fusion = load(run / "weights.safetensors").common
    x, t = other.reshape(B, -1).T.astype(np.float64), truth.reshape(2, -1).T.astype(np.float64)
    valid = np.isfinite(x).all(1) & np.isfinite(t).all(1)
    y, t = x[valid] @ fusion.matrix.T + fusion.offset, t[valid]
    assert done["pixels"]["used"] == int(valid.sum())
    assert done["pixels"]["invalid"] == int((~valid).sum())
    for k, name in enumerate(("left", "right")):
        mse = np.mean((y[:, k] - t[:, k]) ** 2)
        expected = {
            "r2": 1 - mse / t[:, k].var(),
            "rmse": np.sqrt(mse),
            "cc": np.corrcoef(y[:, k], t[:, k])[0, 1],
            "psnr": 20 * np.log10(t[:, k].max() / np.sqrt(mse)),
            "mae": np.abs(y[:, k] - t[:, k]).mean(),
        }
        assert done["scores"][name] == pytest.approx(expected, rel=1e-9)


def test_the_scores_of_training_are_those_of_evaluate(tmp_path: Path) -> None:
    cube = spectra(B, 30, 40)
    noisy = blend(cube, TRUE.tolist()) + 0.1 * spectra(2, 30, 40, seed=8)
    scene, target = write_tiff(tmp_path / "c.tif", cube), write_tiff(tmp_path / "t.tif", noisy)
    run, report = train(tmp_path, scene, "--target", target)
    scores = ok("evaluate", run / "weights.safetensors", scene, "--target", target, "--json").json[
        "scores"
    ]
    for name, score in report["scores"]["train"].items():
        assert scores[name] == pytest.approx(score, rel=1e-9)


# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (
            ["--constraint", "free", "--gain", "--target", "{t}"],
            "--gain does not apply with constraint free",
        ),
        (
            ["--gain", "--constraint", "nonnegative", "--target", "{t}"],
            "--gain does not apply with constraint nonnegative",
        ),
        (["--constraint", "bandpass", "--ridge", "1", "--target", "{t}"], "--ridge does not apply"),
        (
            ["--constraint", "bandpass", "--weights", "scalar", "--target", "{t}"],
            "--constraint bandpass is for one weight per band",
        ),
        (
            ["--constraint", "bandpass", "--fuse", "across", "--target", "{t}"],
            "--constraint bandpass is for one weight per band",
        ),
        (["--lr", "0.1", "--target", "{t}"], "--lr"),
        (["--group", "a=1", "--groups", "equal:2"], "--group and --groups"),
        (["--objective", "reconstruction", "--target", "{t}"], "--target"),
        (["--objective", "regression"], "--target"),
        (["--gain", "--constraint", "simplex"], "--gain"),
        (["--activation", "relu"], "--activation"),
        (["--weights", "instance"], "--weights instance"),
        (["--group", "a=1", "--group", "a=2"], "'a'"),
        (["--fixed", "sar", "--target", "{t}"], "'sar'"),
        (["--init", "least-squares"], "least-squares"),
        (["--source", "scene={s}"], "'scene'"),
        (["--memory", "1"], "memory"),
        (["--steps", "-1"], "steps"),
    ],
)
def test_settings_that_exclude_each_other(
    tmp_path: Path, pair: Pair, flags: list[str], words: str
) -> None:
    filled = [f.format(t=pair[1], s=pair[0]) for f in flags]
    assert words in refused(tmp_path, pair[0], *filled)


def test_targets_must_fit_the_scenes(tmp_path: Path, pair: Pair) -> None:
    other = write_tiff(tmp_path / "other.tif", pair[2])
    assert "2 scenes" in refused(tmp_path, pair[0], other, "--target", pair[1])
    assert "3 files" in refused(tmp_path, pair[0], other, *["--target", pair[1]] * 3)
    assert "cannot be told apart" in refused(
        tmp_path, pair[0], pair[0], "--target", "{parent}/target.tif"
    )


def test_scenes_of_different_bands_are_not_pooled(tmp_path: Path, pair: Pair) -> None:
    other = write_tiff(tmp_path / "other.tif", spectra(B + 1, 9, 9))
    assert "number of bands" in refused(tmp_path, pair[0], other)


@pytest.mark.parametrize("fill", [1e200, -1e308])
def test_numbers_whose_squares_overflow_are_refused(tmp_path: Path, fill: float) -> None:
    cube = spectra(3, 20, 25).astype("float64")
    target = write_tiff(tmp_path / "t.tif", cube[:1])
    cube[0, 3, 4] = fill
    text = refused(tmp_path, write_tiff(tmp_path / "x.tif", cube), "--target", target)
    assert "squares overflow" in text


def test_more_threads_than_any_machine_has_are_refused(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "x.tif", spectra(3, 20, 25))
    assert "threads" in refused(tmp_path, path, "--threads", "100000")
