"""The pictures of a run: natural colour by wavelength, and what is left also after a shift."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rasterio.transform import Affine
from rasters import NORTH_UP, blend, ok, read, spectra, write_tiff

from bandfuse.raster import describe
from bandfuse.runs import page as pages
from bandfuse.runs.page import difference
from bandfuse.scenes.places import Place
from bandfuse.scenes.scene import open_scene

NM = [450.0, 500.0, 560.0, 620.0, 660.0, 750.0, 850.0, 950.0]
TARGET_NM = [850.0, 660.0, 470.0, 560.0]
WEIGHT = np.eye(8)[[6, 4, 0, 2]]


def _pair(folder: Path, moved: tuple[int, int] = (0, 0)) -> np.ndarray:
    """A cube, and a target of it with four bands in mixed order, moved by rows and columns."""
    cube = spectra(8, 60, 70, seed=3)
    write_tiff(folder / "cube.tif", cube, nm=NM)
    target = blend(cube, WEIGHT).astype(np.float32)
    place = NORTH_UP @ Affine.translation(moved[1], moved[0])
    write_tiff(folder / "target.tif", target, nm=TARGET_NM, fwhm=[20.0] * 4, transform=place)
    return cube


def _run(folder: Path, *more: object) -> dict[str, Any]:
    target = ("--target", folder / "target.tif", "-o", folder / "run", "--ridge", "0")
    ok("train", folder / "cube.tif", *target, "--constraint", "free", *more)
    content = json.loads((folder / "run" / "report.data.json").read_text())
    return {shot["title"]: shot for shot in content["shots"]}


def test_colours_are_chosen_by_the_wavelengths_of_the_outputs(tmp_path: Path) -> None:
    _pair(tmp_path)
    shots = _run(tmp_path)
    for title in ("Fused", "Target", "Residual"):
        assert "natural colour: red 660 nm, green 560 nm, blue 470 nm" in shots[title]["caption"]
    outputs = json.loads((tmp_path / "run" / "report.json").read_text())["outputs"]
    assert [o["target_nm"] for o in outputs] == TARGET_NM
    assert [o["target_fwhm_nm"] for o in outputs] == [20.0] * 4


def test_the_residual_is_there_with_a_shift(tmp_path: Path) -> None:
    """A target that says that it lies 2 columns too far, moved back: fused and target agree."""
    _pair(tmp_path, (0, 2))
    moved = _run(tmp_path, "--shift=-2,0")
    assert list(moved) == ["Scene", "Fused", "Target", "Residual"]
    assert "the grid of the training" in moved["Residual"]["caption"]
    low, high = moved["Residual"]["ends"]
    assert low == -high
    assert high < 1e-3


def test_the_residual_on_another_grid_is_the_mean_minus_the_target(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cube = _pair(tmp_path)
    coarse = cube.reshape(8, 12, 5, 14, 5).mean(axis=(2, 4))
    target = (blend(coarse, WEIGHT) + 0.01).astype(np.float32)
    place = NORTH_UP @ Affine.scale(5)
    path = write_tiff(tmp_path / "target.tif", target, nm=TARGET_NM, transform=place)
    scene = open_scene(Place("cube", (("cube", str(tmp_path / "cube.tif")),), path))
    fused = write_tiff(tmp_path / "fused.tif", blend(cube, WEIGHT).astype(np.float32))
    pair = (describe(fused), [1, 3]), (describe(path), [1, 3])
    found, where = difference(scene, *pair)
    means = read(fused).reshape(4, 12, 5, 14, 5).mean(axis=(2, 4))
    expected = np.moveaxis(means - target, 0, -1)[..., [1, 3]]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert where == "On the grid of the training. "
    monkeypatch.setattr(pages, "MOST_SIDE", 6)
    middle, where = difference(scene, *pair)
    np.testing.assert_allclose(middle, expected[3:9, 4:10], atol=1e-6)
    assert "the middle 6 × 6 pixels" in where


def test_bands_are_active_above_a_thousandth_of_the_largest(tmp_path: Path) -> None:
    cube = spectra(8, 60, 70, seed=3)
    write_tiff(tmp_path / "cube.tif", cube, nm=NM)
    weight = [[1.0, 0.5, 2e-3, 0.0, 0.0, 0.0, 5e-4, -5e-4]]
    write_tiff(tmp_path / "target.tif", blend(cube, weight).astype(np.float32))
    _run(tmp_path)
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    sizes = np.abs([row["effective_weight"] for row in report["weights"]])
    assert (sizes > 0).sum() == 8
    assert report["outputs"][0]["active_bands"] == 3
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "<dt>Bands with weight</dt><dd>3 of 8</dd>" in page
