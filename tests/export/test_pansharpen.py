"""Pansharpened virtual rasters keep what is known of the cube's bands."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine
from rasters import NORTH_UP, ok, read, spectra, write_tiff

from bandfuse.model.weightsfile import load

NM = [420.0, 490.0, 560.0, 660.0, 860.0, 940.0]
NAMES = ["coast", "blue", "green & red", "red", "nir", "water"]


@pytest.fixture
def sharp(tmp_path: Path) -> Path:
    """A VRT with weights of a panchromatic image of three bands; the last band is bad."""
    cube = spectra(6, 20, 30)
    names = {"nm": NM, "fwhm": [20.0] * 6, "names": NAMES}
    write_tiff(tmp_path / "cube.tif", cube, bad=[6], **names)
    pan = np.tensordot([0.5, 0.3, 0.2], cube[1:4], 1)[None].astype("float32")
    write_tiff(tmp_path / "small.tif", pan)
    fine = pan.repeat(2, axis=1).repeat(2, axis=2)
    write_tiff(tmp_path / "pan.tif", fine, transform=NORTH_UP @ Affine.scale(0.5))
    how = ("--constraint", "nonnegative", "--no-offset", "--no-report", "--no-fused")
    run = tmp_path / "run"
    ok("train", tmp_path / "cube.tif", "--target", tmp_path / "small.tif", *how, "-o", run)
    place = ("--scene", tmp_path / "cube.tif", "--pan", tmp_path / "pan.tif")
    path = tmp_path / "sharp.vrt"
    ok("export", run / "weights.safetensors", "--to", "pansharpen", *place, "-o", path)
    return path


def test_names_wavelengths_and_colours_are_kept(sharp: Path) -> None:
    """Those of every good band, with weight or without."""
    matrix = load(sharp.parent / "run" / "weights.safetensors").common.matrix[0]
    assert (np.abs(matrix[[0, 4, 5]]) < 1e-6).all()
    assert (matrix == 0).sum() >= 2
    with rasterio.open(sharp) as ds:
        assert list(ds.descriptions) == NAMES[:5]
        assert [float(ds.tags(i)["wavelength"]) for i in ds.indexes] == NM[:5]
        assert [ds.tags(i)["wavelength_units"] for i in ds.indexes] == ["Nanometers"] * 5
        assert [c.name for c in ds.colorinterp] == [
            "undefined",
            "blue",
            "green",
            "red",
            "undefined",
        ]
        assert ds.tags(2, ns="IMAGERY")["CENTRAL_WAVELENGTH_UM"] == "0.490000"
        assert ds.shape == (40, 60)


@pytest.mark.skipif(shutil.which("gdal_pansharpen.py") is None, reason="it is not installed")
def test_bands_without_weight_are_sharpened_as_gdal_does(sharp: Path) -> None:
    folder = sharp.parent
    matrix = load(folder / "run" / "weights.safetensors").common.matrix[0]
    flags = [word for w in matrix[:5] for word in ("-w", repr(float(w)))]
    bands = [f"{folder / 'cube.tif'},band={i}" for i in range(1, 6)]
    command = ["gdal_pansharpen.py", "-q", *flags, "-r", "cubic", folder / "pan.tif", *bands]
    subprocess.run([*command, folder / "g.tif"], check=True, capture_output=True)
    np.testing.assert_allclose(read(sharp), read(folder / "g.tif"), rtol=1e-6)
