"""VRTs over arrays whose bands lie along another axis than the first: GDAL reads of them what h5py
reads; and what no VRT can show is refused in one line."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import h5py
import numpy as np
import published
import pytest
import rasterio
import rasterio.shutil
from rasters import cli, ok, read

from bandfuse.raster import describe

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

SIZES = {"rcb": (12, 9, 7), "rbc": (12, 7, 9)}


def array(path: Path, order: str, name: str = "SITE/Reflectance/Data") -> np.ndarray:
    """A file with an array of these axes, and (7, 12, 9) as h5py finds its bands."""
    rng = np.random.default_rng(4)
    stored = rng.integers(0, 9000, SIZES[order]).astype("i2")
    stored[0, 0, 0] = -9999
    path.parent.mkdir(exist_ok=True)
    with h5py.File(path, "w") as file:
        cube = file.create_dataset(name, data=stored, chunks=(4, 4, 4), compression="gzip")
        cube.attrs.update({"Scale_Factor": 10000.0, "Data_Ignore_Value": -9999.0})
        lengths = file.create_dataset(f"{name.rpartition('/')[0]}/wavelength", data=NM)
        lengths.attrs["Units"] = b"Nanometers"
        file["other"] = np.zeros((3, 4))
    with h5py.File(path) as file:
        return np.moveaxis(file[name][()], order.index("b"), 0)


NM = np.linspace(400.0, 1000.0, 7)


@pytest.mark.parametrize("order", SIZES)
@pytest.mark.parametrize("folder", [".", "beside"])
def test_a_corrected_vrt_shows_the_bands_as_bands(order: str, folder: str, tmp_path: Path) -> None:
    """In the folder of the file, and moved with it from another."""
    expected = array(tmp_path / "in/x.h5", order)
    (tmp_path / "in" / folder).mkdir(exist_ok=True)
    made = tmp_path / "in" / folder / "x.vrt"
    source = f'HDF5:"{tmp_path}/in/x.h5"://SITE/Reflectance/Data'
    ok("check", source, "--fix", made)
    (tmp_path / "in").rename(tmp_path / "moved")
    made = tmp_path / "moved" / folder / "x.vrt"
    with rasterio.open(made) as ds:
        assert (ds.count, ds.height, ds.width) == expected.shape
        np.testing.assert_array_equal(ds.read(), expected)
        np.testing.assert_array_equal(
            ds.read([6, 2], window=((3, 8), (2, 7))), expected[[5, 1], 3:8, 2:7]
        )
        assert ds.scales == (1e-4,) * 7
        assert ds.nodatavals == (-9999.0,) * 7
        assert [float(ds.tags(i)["wavelength"]) for i in ds.indexes] == NM.tolist()
    for interleave in ("BAND", "PIXEL"):
        copy = tmp_path / f"{interleave}.tif"
        rasterio.shutil.copy(made, copy, driver="GTiff", INTERLEAVE=interleave)
        np.testing.assert_array_equal(read(copy), expected)
    assert describe(made).bands.wavelength_nm.tolist() == NM.tolist()


def gdal_translate() -> tuple[int, int]:
    """The version of GDAL's programs; none of 0.0."""
    if shutil.which("gdal_translate") is None:
        return 0, 0
    done = subprocess.run(["gdal_translate", "--version"], capture_output=True, text=True)
    words = done.stdout.replace("GDAL ", "").split(".")
    return int(words[0]), int(words[1])


@pytest.mark.skipif(gdal_translate() == (0, 0), reason="GDAL's programs are not installed")
def test_gdal_translate_reads_it_or_fails(tmp_path: Path) -> None:
    """From GDAL 3.8 on; before, it fails, and makes no image of nothing."""
    expected = array(tmp_path / "x.h5", "rcb")
    ok("check", f'HDF5:"{tmp_path}/x.h5"://SITE/Reflectance/Data', "--fix", tmp_path / "x.vrt")
    copied = ["gdal_translate", "-q", tmp_path / "x.vrt", tmp_path / "x.tif"]
    done = subprocess.run(copied, timeout=60, capture_output=True)
    assert (done.returncode == 0) == (gdal_translate() >= (3, 8)), done.stderr
    if done.returncode == 0:
        np.testing.assert_array_equal(read(tmp_path / "x.tif"), expected)


@pytest.mark.parametrize("order", SIZES)
@pytest.mark.parametrize("form", ["derived", "processed"])
def test_fused_bands_of_such_an_array_are_a_vrt(order: str, form: str, tmp_path: Path) -> None:
    array(tmp_path / "x.h5", order)
    source = f'HDF5:"{tmp_path}/x.h5"://SITE/Reflectance/Data'
    run, made = tmp_path / "run", tmp_path / "f.vrt"
    learn = ["train", source, "--groups", "all", "--folds", 0, "--no-report", "--steps", 3]
    ok(*learn, "-o", run)
    ok("export", run, "--to", "vrt", "--form", form, "--scene", source, "-o", made)
    fused = read(run / "fused.tif")
    found = read(made)
    there = np.isfinite(fused)
    assert not there.all()
    assert there.sum() > 100
    np.testing.assert_allclose(found[there], fused[there], rtol=1e-5)
    with rasterio.open(made) as ds:
        assert (ds.read_masks() != 0).tolist() == there.tolist()


def test_an_array_that_gdal_does_not_find_by_its_name_is_refused(tmp_path: Path) -> None:
    """GDAL writes the blanks of a name as ``_`` in one of its two models of HDF5."""
    array(tmp_path / "x.h5", "rcb", "A site/Reflectance Data")
    (tmp_path / "w.txt").write_text("\n".join(map(str, NM)))
    source = f'HDF5:"{tmp_path}/x.h5"://A_site/Reflectance_Data'
    assert describe(source, wavelengths=tmp_path / "w.txt").shape == (12, 9)
    one_line(
        ["check", source, "--wavelengths", tmp_path / "w.txt", "--fix", tmp_path / "x.vrt"],
        "x.vrt cannot be made",
        "blanks as _",
    )
    assert not (tmp_path / "x.vrt").exists()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (published.prisma, "PRISMA L2D, some of whose pixels are marked as wrong by another image"),
        (published.emit, "EMIT L2A, which is put on the map by a lookup table"),
        (published.sentinel2, "Sentinel-2 L2A, whose bands lie in several images"),
    ],
)
def test_products_that_no_vrt_shows_are_refused(make: object, says: str, tmp_path: Path) -> None:
    path = make(tmp_path).path  # type: ignore[operator]
    one_line(["check", path, "--fix", tmp_path / "x.vrt"], "cannot be made", says, "needs no VRT")
    assert not (tmp_path / "x.vrt").exists()


def one_line(command: list[object], *says: str) -> None:
    done = cli(*command)
    assert done.code != 0
    assert done.err.count("\n") == 1, done.err
    assert "Traceback" not in done.err
    for text in says:
        assert text in done.err
