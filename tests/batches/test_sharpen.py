"""Batches that sharpen: each cube by its own sharp image, or all with what one run learned."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine
from sharp_images import scene, seen

import bandfuse
from bandfuse import EvaluateConfig, SharpenConfig
from bandfuse.batches.batch import planned
from bandfuse.batches.settings import schema
from bandfuse.errors import ConfigError

FINE = Affine(5, 0, 4e5, 0, -5, 5e6)


def pair(folder: Path, name: str, seed: int) -> None:
    """A cube, and beside it a sharp image."""
    truth, sharp = scene(64, noise=0.01, seed=seed)
    for path, values, grid in (
        (f"{name}.tif", seen(truth, 4), FINE @ Affine.scale(4)),
        (f"{name}_pan.tif", sharp, FINE),
    ):
        count, rows, cols = values.shape
        with rasterio.open(
            folder / path, "w", driver="GTiff", count=count, height=rows, width=cols,
            dtype="float32", crs="EPSG:32633", transform=grid,
        ) as ds:  # fmt: skip
            ds.write(values.astype(np.float32))


def batch_file(folder: Path, job: str, target: str = "{parent}/{stem}_pan.tif") -> Path:
    path = folder / "b.yaml"
    path.write_text(
        "version: 1\noutput: out\n"
        f"scenes: [{{glob: '*.tif', exclude: ['*_pan.tif'], target: '{target}'}}]\n"
        f"jobs: [{job}]\n"
    )
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pair(tmp_path, "a", 1)
    pair(tmp_path, "b", 2)
    return tmp_path


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as ds:
        values: np.ndarray = ds.read()
    return values


def test_each_cube_is_sharpened_by_its_own_image(folder: Path) -> None:
    job = "{name: s, kind: sharpen, settings: {blur: 0.3, no_report: true}}"
    result = bandfuse.batch(batch_file(folder, job))
    assert result.failed == 0
    for name in ("a", "b"):
        images = [str(folder / f"{name}.tif"), str(folder / f"{name}_pan.tif")]
        alone = folder / f"alone_{name}"
        bandfuse.sharpen(SharpenConfig(images=images, output=str(alone), blur=0.3, no_report=True))
        here = folder / "out" / "s" / name
        assert np.array_equal(read(here / "sharpened.tif"), read(alone / "sharpened.tif"))
        assert json.loads((here / "report.json").read_text())["blur"] == 0.3


@pytest.mark.thorough
def test_all_are_sharpened_with_the_gains_of_one_run(folder: Path) -> None:
    images = [str(folder / "a.tif"), str(folder / "a_pan.tif")]
    bandfuse.sharpen(
        SharpenConfig(images=images, output=str(folder / "run"), blur=0.3, no_report=True)
    )
    result = bandfuse.batch(batch_file(folder, "{name: s, kind: sharpen, weights: run}"))
    assert result.failed == 0
    expected = read(folder / "run" / "sharpened.tif")
    assert np.array_equal(read(folder / "out" / "s" / "a.tif"), expected)
    assert read(folder / "out" / "s" / "b.tif").shape == expected.shape


def test_wavelengths_are_of_a_file_beside_the_batch_file(folder: Path) -> None:
    rows = "".join(f"{500 + 90 * i},20\n" for i in range(4))
    (folder / "nm.csv").write_text(f"wavelength,fwhm\n{rows}")
    job = "{name: s, kind: sharpen, settings: {blur: 0.3, no_report: true, wavelengths: nm.csv}}"
    assert bandfuse.batch(batch_file(folder, job)).failed == 0
    report = json.loads((folder / "out" / "s" / "a" / "report.json").read_text())
    assert [band["wavelength_nm"] for band in report["bands"]] == [500, 590, 680, 770]


def test_a_sharp_image_is_needed(folder: Path) -> None:
    path = batch_file(folder, "{name: s, kind: sharpen}")
    path.write_text(path.read_text().replace(", target: '{parent}/{stem}_pan.tif'", ""))
    with pytest.raises(ConfigError, match="needs a sharp image"):
        planned(path)


def test_the_schema_allows_what_any_kind_of_job_takes() -> None:
    job = schema()["$defs"]["Job"]["properties"]["settings"]["properties"]
    kinds = [option.get("type") or option.get("const") for option in job["blur"]["anyOf"]]
    assert "number" in kinds
    assert "images" not in job


def scored(folder: Path, jobs: str) -> Path:
    """A batch whose scenes have true cubes."""
    for seed, name in ((1, "a"), (2, "b")):
        truth, _ = scene(64, noise=0.01, seed=seed)
        with rasterio.open(folder / f"{name}_pan.tif") as ds:
            how = {**ds.profile, "count": 4}
        with rasterio.open(folder / f"{name}_true.tif", "w", **how) as out:
            out.write(truth.astype(np.float32))
    path = batch_file(folder, jobs)
    rule = "exclude: ['*_pan.tif', '*_true.tif'], truth: '{parent}/{stem}_true.tif'"
    path.write_text(path.read_text().replace("exclude: ['*_pan.tif']", rule))
    return path


LEARN = "{name: s, kind: sharpen, settings: {blur: 0.3, no_report: true, shift: keep}}"
SCORE = "{name: e, kind: evaluate, weights: s}"


def test_what_was_sharpened_is_scored(folder: Path) -> None:
    result = bandfuse.batch(scored(folder, f"{LEARN}, {SCORE}"))
    assert result.failed == 0
    for name in ("a", "b"):
        found = json.loads((folder / "out" / "e" / f"{name}.json").read_text())
        config = EvaluateConfig(target=[str(folder / f"{name}_true.tif")])
        alone = bandfuse.evaluate(folder / "out" / "s" / name, config)
        assert found["overall"] == alone.overall
        assert found["sharpened"]["cube"] == str(folder / f"{name}.tif")
        assert found["sharpened"]["interpolation"]["ergas"] > found["overall"]["ergas"]
    (row, _) = (item for item in result.items if item.job == "e")
    assert {"psnr", "sam", "ergas", "gained"} <= set(row.scores)
    again = bandfuse.batch(folder / "b.yaml")
    assert (again.failed, again.kept) == (0, 4)


@pytest.mark.thorough
def test_what_was_sharpened_with_one_run_is_scored(folder: Path) -> None:
    images = [str(folder / "a.tif"), str(folder / "a_pan.tif")]
    how = {"blur": 0.3, "no_report": True, "shift": "keep"}
    bandfuse.sharpen(SharpenConfig(images=images, output=str(folder / "run"), **how))
    jobs = "{name: s, kind: sharpen, weights: run, settings: {shift: keep}}"
    assert bandfuse.batch(scored(folder, f"{jobs}, {SCORE}")).failed == 0
    for name in ("a", "b"):
        found = json.loads((folder / "out" / "e" / f"{name}.json").read_text())
        config = EvaluateConfig(
            scenes=[str(folder / "out" / "s" / f"{name}.tif")],
            target=[str(folder / f"{name}_true.tif")],
            cube=str(folder / f"{name}.tif"),
        )
        assert found["overall"] == bandfuse.evaluate(folder / "run", config).overall


def test_a_true_cube_is_needed_to_score(folder: Path) -> None:
    with pytest.raises(ConfigError, match="needs a true cube"):
        planned(batch_file(folder, f"{LEARN}, {SCORE}"))


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("how", [{"workers": 2}, {"workers": 2, "dask": True}])
def test_workers_and_dask_change_no_bit(folder: Path, how: dict[str, Any]) -> None:
    """Neither of what is learned nor of what is written."""
    if how.get("dask"):
        pytest.importorskip("distributed")
    learn = "{name: s, kind: sharpen, settings: {no_report: true}}"
    images = [str(folder / "a.tif"), str(folder / "a_pan.tif")]
    bandfuse.sharpen(SharpenConfig(images=images, output=str(folder / "run"), no_report=True))
    jobs = f"{learn}, {{name: w, kind: sharpen, weights: run}}"
    assert bandfuse.batch(batch_file(folder, jobs)).failed == 0
    (folder / "out").rename(folder / "alone")
    assert bandfuse.batch(batch_file(folder, jobs), **how).failed == 0
    for name in ("a", "b"):
        for path in (f"s/{name}/sharpened.tif", f"w/{name}.tif"):
            assert np.array_equal(read(folder / "out" / path), read(folder / "alone" / path))
        gains = f"s/{name}/weights.safetensors"
        assert (folder / "out" / gains).read_bytes() == (folder / "alone" / gains).read_bytes()
