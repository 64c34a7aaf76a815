"""Products: where and how precisely moments are computed, and the rule that chooses; exact
solutions without torch."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from helpers import close_to_conditioning, condition_of, correlated, fusion_of, rounding, same_bits
from hypothesis import given
from hypothesis import strategies as st
from rasters import blend, ok, read, spectra, wavelengths, write_tiff
from realdata import DATA, needs_real_data

from bandfuse.model.fusion import FusionKernel, NodataPolicy
from bandfuse.moments.gram import MANY, TOLERANCE, Product, apart, double, enough, product_of
from bandfuse.moments.moments import Moments, Sums
from bandfuse.moments.on_device.card import Multiplier
from bandfuse.solve.design import design
from bandfuse.solve.exact import Quadratic, optimality, solve
from bandfuse.spectral.bands import Bands
from bandfuse.spectral.groups import Group, one


def centred(d: int, n: int, seed: int = 0) -> np.ndarray:
    x = correlated(np.random.default_rng(seed), n, d).T
    return np.ascontiguousarray(x - x.mean(axis=1, keepdims=True))


@pytest.mark.parametrize(("precision", "tolerance"), [("float64", rounding()), ("float32", 1e-6)])
def test_products_are_sums_over_pixels(precision: str, tolerance: float) -> None:
    with ThreadPoolExecutor(3) as pool:
        some = [centred(7, n, n) for n in (1, 50, 4096, 300, 20)]
        for z, found in zip(some, pool.map(product_of(precision), some), strict=True):
            exact = np.einsum("in,jn->ij", z, z)
            assert found.dtype == np.float64
            size = np.sqrt(np.diag(exact))
            assert np.abs(found - exact).max() <= tolerance * (size[:, None] * size).max()


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
def test_fusing_on_a_device_is_fusing(device: str) -> None:
    """With missing values too, by both policies; to the last digits, which belong to the device."""
    random = np.random.default_rng(0)
    x = random.normal(size=(500, 6))
    x[random.random(x.shape) < 0.1] = np.nan
    for policy in ("strict", "renormalise"):
        made = fusion_of(random.random((3, 6)), activation="softplus", nodata=NodataPolicy(policy))
        found = FusionKernel(made, Multiplier(device))(np.ascontiguousarray(x.T))
        close_to_conditioning(found.T, made(x))


@pytest.mark.cuda
def test_apply_on_cuda_writes_what_the_cpu_does(tmp_path: Path) -> None:
    scene = write_tiff(tmp_path / "x.tif", spectra(8, 100, 300))
    ok("train", scene, "-o", tmp_path / "run", "--groups", "equal:2", "--no-fused", "--no-report")
    for device in ("cpu", "cuda"):
        weights = tmp_path / "run" / "weights.safetensors"
        ok("apply", weights, scene, "-o", tmp_path / f"{device}.tif", "--device", device)
    np.testing.assert_allclose(read(tmp_path / "cuda.tif"), read(tmp_path / "cpu.tif"), rtol=1e-6)


@given(parts=st.lists(st.integers(0, 30), min_size=1, max_size=6), far=st.sampled_from([0.0, 1e3]))
def test_sums_are_the_moments_of_all_their_parts(parts: list[int], far: float) -> None:
    random = np.random.default_rng(len(parts))
    some = [random.normal(size=(3, n)) + far for n in parts]
    sums = Sums.near(some[0])
    for part in some:
        sums.use_up(part.copy())
    whole, mine = Moments.of(np.concatenate(some, axis=1).T), sums.moments()
    assert mine.count == whole.count
    # Of a level of 1000 deviations a sum of squares loses no digits: the point that is taken off
    # lies near it.
    close_to_conditioning(mine.mean, whole.mean)
    close_to_conditioning(mine.scatter, whole.scatter, condition=max(1.0, far))


# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alike", [0.0, 0.5, 0.8, 0.99, 0.9999])
def test_float32_is_taken_only_where_weights_keep(alike: float) -> None:
    """Bands that are alike to a degree: wherever the rule says float32, least squares agree within
    the tolerance."""
    random = np.random.default_rng(3)
    common = random.normal(size=4000)
    x = np.stack(
        [
            np.sqrt(alike) * common + np.sqrt(1 - alike) * random.normal(size=4000)
            for _ in range(MANY)
        ]
    )
    z = np.vstack([x, random.normal(size=MANY) @ x + random.normal(size=4000)]) * 700 + 4000
    weights = []
    for precision in ("float64", "float32"):
        s = Moments.of_columns(z, product_of(precision)).covariance
        weights.append(np.linalg.solve(s[:MANY, :MANY], s[:MANY, MANY]))
    change = np.linalg.norm(weights[1] - weights[0]) / np.linalg.norm(weights[0])
    chosen = enough(np.cov(x))
    assert chosen == ("float32" if alike < 0.9 else "float64")
    assert enough(np.cov(x[:-1])) == "float64"
    assert change <= TOLERANCE or chosen == "float64"


def test_what_float32_cannot_hold_is_left_to_float64() -> None:
    one = np.eye(MANY)
    assert enough(one) == "float32"
    assert enough(1e-40 * one) == enough(1e40 * one) == "float64"
    assert (
        enough(np.diag([*[1.0] * MANY, 0.0]))
        == enough(np.nan * one)
        == enough(np.zeros((0, 0)))
        == "float64"
    )


def trained(folder: Path, *flags: object) -> tuple[dict[str, Any], dict[str, Any]]:
    ok("train", *flags, "-o", folder / "run", "--overwrite", "--no-fused", "--no-report")
    report: dict[str, Any] = json.loads((folder / "run" / "report.json").read_text())
    return report, yaml.safe_load((folder / "run" / "config.yaml").read_text())


def test_the_precision_is_chosen_by_the_bands_or_by_hand(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for name, cube, chosen in (
        ("unlike", random.normal(1000, 100, (MANY, 60, 70)).astype("float32"), "float32"),
        ("alike", spectra(MANY, 60, 70), "float64"),
    ):
        scene = write_tiff(tmp_path / f"{name}.tif", cube)
        target = write_tiff(
            tmp_path / f"{name}_t.tif", blend(cube, [[0.5, 0.25, 0.25, *[0] * (len(cube) - 3)]])
        )
        flags = (scene, "--target", target, "--constraint", "free")
        weights = {}
        for precision in ("auto", "float64", "float32"):
            report, config = trained(tmp_path, *flags, "--precision", precision)
            assert config["precision"] == (chosen if precision == "auto" else precision)
            weights[precision] = np.array([row["weight"] for row in report["weights"]])
        same_bits(weights["auto"], weights[chosen])
        assert not np.array_equal(weights["float32"], weights["float64"])
        if chosen == "float32":
            np.testing.assert_allclose(weights["float32"], weights["float64"], rtol=1e-4, atol=1e-5)


@needs_real_data
def test_real_cubes_need_float64() -> None:
    from bandfuse.raster import describe, quicklook

    for cube in DATA.rglob("*.hdr"):
        try:
            raster = describe(str(cube.with_suffix("")))
        except Exception:  # noqa: BLE001 - a header of something else
            continue
        z = quicklook(raster, range(len(raster.bands)), 200).reshape(-1, len(raster.bands))
        z = z[np.isfinite(z).all(axis=1)]
        if len(raster.bands) > 50 and len(z) > 500:
            assert enough(Moments.of(z).covariance) == "float64"


# ------------------------------------------------------------------------------------------------ e


@given(
    seed=st.integers(0, 500),
    constraint=st.sampled_from(["free", "affine", "nonnegative", "simplex"]),
)
def test_solutions_fulfil_the_conditions_and_their_neighbours_do_not(
    seed: int, constraint: str
) -> None:
    random = np.random.default_rng(seed)
    x, t = random.normal(size=(40, 6)) * 10.0 ** random.integers(-2, 3, 6), random.normal(size=40)
    sparse = random.uniform(0, 3, 6) if constraint in ("free", "nonnegative") and seed % 2 else None
    q = Quadratic(x.T @ x, x.T @ t, float(t @ t), np.ones(6), sparse)
    v, _ = solve(q, constraint)
    # Bands whose sizes differ by up to 10⁴ meet in one sum: 7e-9 is the most over all seeds.
    assert optimality(q, v, constraint) < 1e-7
    assert optimality(q, v * np.where(v != 0, 1.001, 1), constraint) > 1e-9 or not v.any()


def test_the_conditions_see_what_is_not_allowed() -> None:
    q = Quadratic(np.eye(2), np.array([1.0, -1.0]), 4.0, np.ones(2))
    assert optimality(q, np.array([1.0, -1.0]), "free") == 0
    assert optimality(q, np.array([1.0, -1.0]), "nonnegative") == np.inf
    assert optimality(q, np.array([1.0, 0.0]), "nonnegative") == 0
    assert optimality(q, np.array([0.0, 0.0]), "nonnegative") == 0.5
    assert optimality(q, np.array([0.0, 0.0]), "simplex") == np.inf
    assert (
        optimality(Quadratic(np.zeros((0, 0)), np.zeros(0), 1.0, np.zeros(0)), np.zeros(0), "free")
        == 0
    )


SCRIPT = """
import sys
from bandfuse.cli.main import main
sys.argv = ["bandfuse", *sys.argv[1:]]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print("torch" in sys.modules)
"""


@pytest.mark.one_in(2)
@pytest.mark.parametrize(
    ("flags", "needs"), [((), False), (("--optimizer", "adam", "--steps", "3"), True)]
)
def test_exact_weights_need_no_torch_and_are_what_a_training_finds(
    tmp_path: Path, flags: tuple[str, ...], needs: bool
) -> None:
    flags = (*flags, "--device", "cpu")
    cube = spectra(12, 30, 40)
    scene = write_tiff(tmp_path / "x.tif", cube, nm=wavelengths(12))
    target = write_tiff(tmp_path / "t.tif", blend(cube, [[0, 0.2, 0.5, 0.3, *[0] * 8]]))
    call = ["train", scene, "--target", target, "-o", str(tmp_path / "run"), "--no-report", *flags]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *call], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str(needs)


@pytest.mark.one_in(2)
@pytest.mark.parametrize(
    "flags",
    [
        ("--constraint", "free"),
        ("--constraint", "simplex"),
        ("--gain", "--constraint", "affine"),
        ("--sparse", "0.01"),
        ("--no-offset",),
    ],
)
def test_a_training_from_elsewhere_ends_at_the_exact_weights(
    tmp_path: Path, flags: tuple[str, ...]
) -> None:
    cube = spectra(6, 30, 40)
    noisy = blend(cube, [[0.4, 0, 0.5, 0.3, 0, 0]]) + np.random.default_rng(0).normal(
        0, 0.01, (1, 30, 40)
    )
    scene, target = write_tiff(tmp_path / "x.tif", cube), write_tiff(tmp_path / "t.tif", noisy)
    reports = [
        trained(tmp_path, scene, "--target", target, *flags, *how)[0]
        for how in ((), ("--init", "uniform"))
    ]
    losses = [r["convergence"]["loss"] for r in reports]
    assert losses[0] <= losses[1] * (1 + rounding(condition_of(cube.reshape(6, -1).T)))
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
    assert reports[0]["convergence"]["relative_gap"] == 0
    assert reports[0]["convergence"]["steps"] == 0
    assert double(np.ones((1, 2)))[0, 0] == 2


EQUAL = ("--groups", "equal:3")
APART = [
    (EQUAL, ("--ridge", "auto", "--smooth", 0)),
    (EQUAL, ("--weights", "scalar", "--gain", "--constraint", "simplex")),
    (EQUAL, ("--loss", "huber", "--steps", 20)),
    (EQUAL, ("--constraint", "free", "--ridge", "auto", "--optimizer", "adam", "--steps", 30)),
    (
        ("--group", "a=1-4,9", "--group", "b=5-8", "--group", "c=10-12"),
        ("--smooth", 0, "--split", "random"),
    ),
]
"""Groups that share no band, and other flags. Smoothness is measured against the bands of all
groups."""


@pytest.mark.one_in(4)
@pytest.mark.parametrize(("groups", "how"), APART)
def test_bands_of_different_groups_need_not_meet(
    tmp_path: Path, groups: tuple[str, ...], how: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The products that are left out change no bit of the report, however wrong they would be; and
    every group gets what it gets alone, to the rounding of sums in another order, in a problem with
    one clear answer."""
    x, t = three_means()
    write_tiff(tmp_path / "x.tif", x)
    write_tiff(tmp_path / "t.tif", t)
    files = (tmp_path / "x.tif", "--target", tmp_path / "t.tif")
    arguments = ["train", "--no-report", *files, *groups, *how, "-o"]
    asked = []

    def wrong(product: Product, parts: list[list[int]]) -> Product:
        asked.append(parts)
        few = apart(product, parts)
        return lambda z: few(z) + 1e6 * (few(np.ones_like(z)) == 0)

    ok(*arguments, tmp_path / "few")
    monkeypatch.setattr("bandfuse.moments.gram.apart", wrong)
    ok(*arguments, tmp_path / "wrong")
    assert len(set(map(str, asked))) == 1
    assert sorted(map(len, asked[0])) in ([5, 5, 5], [4, 5, 6])
    monkeypatch.undo()
    few, wrong_ = (
        json.loads((tmp_path / run / "report.json").read_text()) for run in ("few", "wrong")
    )
    for report in (few, wrong_):
        for key in ("seconds", "command"):
            report.pop(key, None)
    assert few == wrong_
    condition = condition_of(x.reshape(len(x), -1).T)
    assert condition < 10
    # What each step of a descent rounds adds up, and L-BFGS carries it into its next directions.
    condition *= (1 + few["convergence"]["steps"]) ** 3
    if "--loss" in how:
        # Such a loss is flat at its optimum, which is found to about the root of the rounding.
        condition *= 100
    for k, (name, bands) in enumerate(by_group(few).items()):
        goal = write_tiff(tmp_path / "one.tif", t[k : k + 1])
        group = ("--group", f"{name}={','.join(map(str, bands))}")
        ok(
            "train",
            "--no-report",
            tmp_path / "x.tif",
            "--target",
            goal,
            *group,
            *how,
            *strengths(few, k, how),
            "-o",
            tmp_path / name,
        )
        alone = json.loads((tmp_path / name / "report.json").read_text())
        found = [w["weight"] for w in few["weights"] if w["output"] == name]
        close_to_conditioning(found, [w["weight"] for w in alone["weights"]], condition)
        for part in ("train", "holdout"):
            (expected,) = alone["scores"][part].values()
            assert few["scores"][part][name]["r2"] == pytest.approx(
                expected["r2"], rel=rounding(condition)
            )


def strengths(report: dict[str, Any], k: int, how: tuple[Any, ...]) -> list[object]:
    """Flags for what a training chose for all outputs together, where it chose."""
    if {"--constraint", "--loss"} & set(how):
        return []
    output = report["outputs"][k]
    return [f for name in ("constraint", "ridge", "smooth") for f in (f"--{name}", output[name])]


def by_group(report: dict[str, Any]) -> dict[str, list[int]]:
    """The bands of each output."""
    found: dict[str, list[int]] = {}
    for row in report["weights"]:
        found.setdefault(row["output"], []).append(row["band"])
    return found


def three_means() -> tuple[np.ndarray, np.ndarray]:
    """Twelve bands that differ, and the means of three groups of them with noise: every weight is
    certain."""
    random = np.random.default_rng(0)
    x = (1 + 0.1 * random.normal(size=(12, 60, 50)) + 0.05 * random.normal(size=(60, 50))).astype(
        "float32"
    )
    means = np.stack([x[:4].mean(axis=0), x[4:8].mean(axis=0), x[8:].mean(axis=0)])
    return x, means + 0.02 * random.normal(size=means.shape)


def test_outputs_that_share_bands_keep_all_products() -> None:
    """One group for three targets, and groups too unequal to save half."""
    bands = Bands.of([f"b{i}" for i in range(12)])
    shared = design(one(bands), targets=["a", "b", "c"], kind="channel", fuse="within")
    assert shared.parts() == [list(range(15))]
    unequal = design(
        [Group("g", tuple(range(10))), Group("h", (10, 11))],
        targets=["g", "h"],
        kind="channel",
        fuse="within",
    )
    assert unequal.parts() == [list(range(14))]
    halves = design(
        [Group("g", tuple(range(0, 12, 2))), Group("h", tuple(range(1, 12, 2)))],
        targets=["h", "g"],
        kind="channel",
        fuse="within",
    )
    assert halves.parts() == [[*range(0, 12, 2), 13], [*range(1, 12, 2), 12]]
