"""Fused rasters in natural colour: what rasterio and GDAL's own programs read back."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp
from rasters import ok, read, spectra, wavelengths, write_tiff

GDALINFO = shutil.which("gdalinfo")
FORMS = {"GTiff": "f.tif", "COG": "c.tif", "ENVI": "f.img", "Zarr": "f.zarr"}
GROUPS = ("blue=470-500nm", "nir=800-900nm", "red=640-680nm", "green=540-580nm")
EXPECTED = ["blue", "undefined", "red", "green"]


def colours_of(path: Path) -> list[str]:
    with rasterio.open(path) as ds:
        return [one.name for one in ds.colorinterp]


def by_gdalinfo(path: Path) -> list[str]:
    """The same by GDAL's own program, which may be another version."""
    assert GDALINFO is not None
    done = subprocess.run([GDALINFO, path], check=True, capture_output=True, text=True)
    return [name.lower() for name in re.findall(r"ColorInterp=(\w+)", done.stdout)]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cube of 400 to 1000 nm, and weights of four groups that are not in the order of colours."""
    folder = tmp_path_factory.mktemp("colours")
    write_tiff(folder / "cube.tif", spectra(40, 30, 50), nm=wavelengths(40))
    groups = [word for group in GROUPS for word in ("--group", group)]
    how = ("--no-report", "--folds", 0, "-o", folder / "run")
    ok("train", folder / "cube.tif", *groups, *how)
    return folder


def test_fused_rasters_of_a_training(run: Path) -> None:
    path = run / "run" / "fused.tif"
    assert colours_of(path) == EXPECTED
    assert sorted(p.name for p in (run / "run").glob("fused*")) == ["fused.tif"]
    if GDALINFO:
        assert by_gdalinfo(path) == EXPECTED


@pytest.mark.parametrize("driver", FORMS)
@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_colours_in_every_driver(run: Path, tmp_path: Path, driver: str, dtype: str) -> None:
    path = tmp_path / FORMS[driver]
    encoded = ["--dtype", dtype, "--scale", 0.01] if dtype == "uint8" else []
    weights = run / "run" / "weights.safetensors"
    ok("apply", weights, run / "cube.tif", "-o", path, "--driver", driver, *encoded)
    assert colours_of(path) == EXPECTED
    if GDALINFO and driver != "Zarr":  # older versions of GDAL do not read the whole of a store
        assert by_gdalinfo(path) == EXPECTED
    if driver in ("GTiff", "COG"):
        assert [p.name for p in tmp_path.iterdir()] == [path.name]
    if driver == "ENVI":
        assert "default bands = {3, 4, 1}" in path.with_suffix(".hdr").read_text()
    if dtype == "float32":
        np.testing.assert_array_equal(read(path), read(run / "run" / "fused.tif"))


@pytest.mark.parametrize("form", ["derived", "processed"])
def test_colours_in_virtual_rasters(run: Path, tmp_path: Path, form: str) -> None:
    place = run / "cube.tif"
    path = tmp_path / "f.vrt"
    weights = run / "run" / "weights.safetensors"
    if form == "processed":  # which takes outputs of the same bands alone
        weights, place = same_bands(tmp_path)
    ok("export", weights, "--to", "vrt", "--form", form, "--scene", place, "-o", path)
    assert colours_of(path) == (["red", "green", "blue"] if form == "processed" else EXPECTED)
    if GDALINFO and form == "derived":
        assert by_gdalinfo(path) == EXPECTED


def same_bands(folder: Path) -> tuple[Path, Path]:
    """Weights of three outputs of the same bands, with the wavelengths of their targets."""
    cube = spectra(6, 20, 30)
    scene = Path(write_tiff(folder / "x.tif", cube, nm=wavelengths(6)))
    target = np.einsum("kb,bhw->khw", np.random.default_rng(0).random((3, 6)), cube)
    known = {"nm": [665.0, 560.0, 490.0], "fwhm": [30.0, 36.0, 66.0]}
    path = write_tiff(folder / "t.tif", target.astype("float32"), **known)
    how = ("--constraint", "free", "--no-report", "--folds", 0, "-o", folder / "run")
    ok("train", scene, "--target", path, *how)
    return folder / "run" / "weights.safetensors", scene


@pytest.mark.parametrize("count", [1, 3, 4])
@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_outputs_without_colours(tmp_path: Path, count: int, dtype: str) -> None:
    """GDAL takes three and four bands of bytes for red, green, blue and alpha."""
    cube = write_tiff(tmp_path / "x.tif", spectra(count + 1, 20, 30))
    how = ("--no-report", "--no-fused", "--folds", 0, "-o", tmp_path / "run")
    ok("train", cube, "--groups", f"equal:{count}", *how)
    encoded = ["--dtype", dtype, "--scale", 0.01] if dtype == "uint8" else []
    path = tmp_path / "f.tif"
    ok("apply", tmp_path / "run" / "weights.safetensors", cube, "-o", path, *encoded)
    assert colours_of(path) == ["gray", *["undefined"] * (count - 1)]
    with rasterio.open(path) as ds:
        assert ColorInterp.alpha not in ds.colorinterp


def test_users_say_what_bands_are(run: Path, tmp_path: Path) -> None:
    """By creation options of their own."""
    weights, path = run / "run" / "weights.safetensors", tmp_path / "f.tif"
    ok("apply", weights, run / "cube.tif", "-o", path, "--co", "PHOTOMETRIC=RGB")
    assert colours_of(path)[:3] == ["red", "green", "blue"]
