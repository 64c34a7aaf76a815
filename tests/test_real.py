"""Real cubes, with all that is odd about them, from the folder in ``BANDFUSE_REAL_DATA``."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import close_to_conditioning, same_bits
from rasters import listing, ok, profile, read, write_tiff
from realdata import DATA, needs_real_data

from bandfuse.model.weightsfile import load
from bandfuse.raster import Reader, describe
from bandfuse.streaming.windows import Window

pytestmark = needs_real_data

AVIRIS = "aviris_rotated_unsorted/AV_mastercal_testdata.bsq"
SAMSON = "unmixing/samson_156b.tif"
JASPER = "unmixing/jasper_198b.tif"
EMIT = "emit_10x10_bil/emit20250324t221005_jpl_unmix_ex"
CUBES = {AVIRIS: 194, SAMSON: 156, JASPER: 198, EMIT: 285}
OTHERS = {
    "corn_kernel_bil/corn-kernel-hyperspectral.raw": 580,
    "avirisng_radiance/ang20160910t185702_2rdn_img": 425,
    "berlin_pair_9m_30m/HyMap02_Berlin_Urban_Gradient_2009.bsq": 111,
    "berlin_pair_9m_30m/EnMAP01_Berlin_Urban_Gradient_2009.bsq": 111,
    "berlin_pair_9m_30m/EnMAP02_Berlin_Urban_Gradient_2009.bsq": 244,
}


@pytest.fixture(autouse=True)
def originals_stay() -> Any:
    """GDAL must not leave sidecars beside the originals."""
    before = listing(DATA)
    yield
    assert listing(DATA) == before


def pixels(path: Path) -> np.ndarray:
    """(B, N) float64, NaN where missing."""
    raster = describe(path)
    with Reader([(raster, range(len(raster.bands)))]) as reader:
        whole = Window(0, 0, *raster.shape)
        return reader.read(whole).cell(slice(0, raster.rows), slice(0, raster.cols)).values()


@pytest.mark.parametrize("name", CUBES | OTHERS)
def test_info(name: str) -> None:
    (scene,) = ok("info", DATA / name, "--json").json["scenes"]
    assert len(scene["bands"]) == (CUBES | OTHERS)[name]
    nm = np.array([b["wavelength_nm"] for b in scene["bands"]], dtype=float)
    assert np.isfinite(nm).all()
    assert 350 < nm.min() < 470
    assert 880 < nm.max() < 2510
    assert ok("info", DATA / name, "-v").err.count("Traceback") == 0


def test_info_says_what_is_odd() -> None:
    def scene(name: str) -> dict[str, Any]:
        return ok("info", DATA / name, "--json").json["scenes"][0]  # type: ignore[no-any-return]

    turned = scene(AVIRIS)
    assert abs(
        np.degrees(np.arctan2(turned["transform"][3], turned["transform"][0]))
    ) == pytest.approx(71, abs=1)
    assert any("taken as nm" in m for m in turned["messages"])
    nm = [b["wavelength_nm"] for b in turned["bands"]]
    assert nm != sorted(nm)

    emit = scene(EMIT)
    assert sum(not b["good"] for b in emit["bands"]) == 41
    assert {b["reason"] for b in emit["bands"]} == {"", "flagged bad (bbl)"}
    assert (emit["nodata"], emit["crs"]) == (-9999, None)

    radiance = scene("avirisng_radiance/ang20160910t185702_2rdn_img")
    assert (radiance["bands"][0]["wavelength_nm"], radiance["nodata"]) == (376.44, -9999)


@pytest.mark.parametrize("name", CUBES)
def test_reconstruction_and_apply(name: str, tmp_path: Path) -> None:
    run, out = tmp_path / "run", tmp_path / "fused.tif"
    short = [] if name == AVIRIS else ["--no-report", "--steps", 300, "--folds", 0]
    ok(
        "train",
        DATA / name,
        "--objective",
        "reconstruction",
        "--groups",
        "equal:8",
        "--constraint",
        "simplex",
        "-o",
        run,
        *short,
    )
    ok("apply", run / "weights.safetensors", DATA / name, "-o", out)
    report = json.loads((run / "report.json").read_text())
    seen, like = profile(out), profile(DATA / name)
    assert seen["names"] == [f"g{i}" for i in range(1, 9)]
    assert seen["crs"] == like["crs"]
    assert seen["transform"].almost_equals(like["transform"], 1e-9)
    assert np.isnan(seen["nodata"])
    nm = [float(t["wavelength"]) for t in seen["band_tags"]]
    assert nm == sorted(nm)
    weight = load(run / "weights.safetensors").common.matrix
    assert (weight >= 0).all()
    close_to_conditioning(weight.sum(1), np.ones(len(weight)))
    assert report["scores"]["train"]["cube"]["r2"] > 0.9

    x = pixels(DATA / name)
    used = weight.any(axis=0)
    fused = read(out)
    expected = (weight[:, used] @ x[used]).reshape(fused.shape)
    same_bits(fused, read(run / "fused.tif"))
    np.testing.assert_array_equal(np.isnan(fused), np.isnan(expected))
    np.testing.assert_allclose(fused, expected, rtol=1e-6)
    assert np.isfinite(fused).mean() > 0.9


@pytest.mark.parametrize("name", OTHERS)
def test_reconstruction_of_the_others(name: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    ok(
        "train",
        DATA / name,
        "--objective",
        "reconstruction",
        "--groups",
        "equal:4",
        "--steps",
        50,
        "--no-report",
        "--folds",
        0,
        "-o",
        run,
    )
    fused = read(run / "fused.tif")
    assert len(fused) == 4
    assert np.isfinite(fused).mean() > 0.9


# --------------------------------------------------------------------------------------------------


def sentinel_responses(nm: np.ndarray) -> tuple[list[str], np.ndarray]:
    """(T, B) real Sentinel-2A responses at these wavelengths, rows of sum one; bands that see
    nothing left out."""
    with (DATA / "srf" / "sentinel2a_msi_1nm.csv").open(newline="") as stream:
        header, *rows = list(csv.reader(stream))
    table = np.array(rows, dtype=float)
    responses = np.stack(
        [np.interp(nm, table[:, 0], column, left=0, right=0) for column in table[:, 1:].T]
    )
    seen = responses.sum(axis=1) > 0
    chosen = responses[seen]
    return [h for h, s in zip(header[1:], seen, strict=True) if s], chosen / chosen.sum(
        axis=1, keepdims=True
    )


@pytest.fixture(scope="module")
def sentinel(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, np.ndarray]:
    """A target made from the AVIRIS cube with real responses and no noise; its values."""
    raster = describe(DATA / AVIRIS)
    names, responses = sentinel_responses(raster.bands.wavelength_nm)
    target = (responses @ pixels(DATA / AVIRIS)).reshape(len(names), *raster.shape)
    like = profile(DATA / AVIRIS)
    path = tmp_path_factory.mktemp("sentinel") / "target.tif"
    crs = like["crs"].to_wkt() if like["crs"] else None
    return write_tiff(path, target, names=names, crs=crs, transform=like["transform"]), target


def test_the_responses_of_sentinel_2_rebuild_their_target(
    sentinel: tuple[str, np.ndarray], tmp_path: Path
) -> None:
    path, target = sentinel
    assert len(target) >= 10
    run = tmp_path / "run"
    ok(
        "train",
        DATA / AVIRIS,
        "--target",
        path,
        "--constraint",
        "simplex",
        "--no-report",
        "-o",
        run,
    )
    report = json.loads((run / "report.json").read_text())
    for score in report["scores"]["train"].values():
        assert 1 - score["r2"] <= 1e-8
    weight = load(run / "weights.safetensors").common.weight
    assert (weight >= 0).all()
    close_to_conditioning(weight.sum(1), np.ones(len(weight)))
    np.testing.assert_allclose(read(run / "fused.tif"), target, rtol=1e-4)


@pytest.mark.parametrize("name", [AVIRIS, JASPER])
def test_free_regression_on_a_real_cube_is_least_squares(name: str, tmp_path: Path) -> None:
    x = pixels(DATA / name)
    raster = describe(DATA / name)
    rng = np.random.default_rng(0)
    truth = x[rng.integers(0, len(x), 20)].reshape(20, *raster.shape).mean(axis=0, keepdims=True)
    truth = truth + rng.normal(0, 0.1 * np.nanstd(truth), truth.shape)
    target = write_tiff(tmp_path / "t.tif", truth, crs=None, transform=None)
    run = tmp_path / "run"
    ok("train", DATA / name, "--target", target, "--constraint", "free", "--no-report", "-o", run)
    design = np.column_stack([x.T, np.ones(x.shape[1])])
    # Columns are scaled first: raw counts would cost least squares half its digits.
    scale = np.linalg.norm(design, axis=0)
    scale[scale == 0] = 1
    answer, *_ = np.linalg.lstsq(design / scale, truth.ravel(), rcond=None)
    fusion = load(run / "weights.safetensors").common
    fitted = fusion(x.T)[:, 0]
    np.testing.assert_allclose(fitted, (design / scale) @ answer, rtol=1e-6)
