"""Nothing is lost on write: what a fused raster says of its bands, read back by four readers."""

from __future__ import annotations

import json
import shutil
import subprocess
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.errors import NotGeoreferencedWarning
from rasters import (
    NORTH_UP,
    ROTATED,
    UTM,
    gdalinfo,
    ok,
    profile,
    read,
    spectra,
    wavelengths,
    write_envi,
    write_tiff,
)
from realdata import DATA, MISSING, THERE

from bandfuse.model.weightsfile import load
from bandfuse.raster import Encoding, Raster, Writer, describe
from bandfuse.spectral.bands import Bands
from bandfuse.streaming.windows import Window

REAL = {
    "aviris": "aviris_rotated_unsorted/AV_mastercal_testdata.bsq",
    "emit": "emit_10x10_bil/emit20250324t221005_jpl_unmix_ex",
    "corn": "corn_kernel_bil/corn-kernel-hyperspectral.raw",
    "avirisng": "avirisng_radiance/ang20160910t185702_2rdn_img",
    "enmap": "berlin_pair_9m_30m/EnMAP02_Berlin_Urban_Gradient_2009.bsq",
}
MADE = ["plain", "nowhere", "turned", "named", "many"]
INTEGERS = {"plain", "many", "turned", "aviris", "corn"}
FORMATS = {"GTiff": "c.tif", "COG": "c.tif", "ENVI": "c.img"}


def made(kind: str, folder: Path) -> str:
    """A cube with something of its own to lose."""
    if kind == "plain":
        return write_tiff(
            folder / "in.tif",
            spectra(6),
            nm=wavelengths(6),
            fwhm=[5.812345] * 6,
            names=list("abcdef"),
        )
    if kind == "nowhere":
        return write_tiff(folder / "in.tif", spectra(4), crs=None, transform=None)
    if kind == "turned":
        nm = [450.1, 550.2, 540.3, 650.4, 650.4]
        return write_tiff(folder / "in.tif", spectra(5), transform=ROTATED, nm=nm, bad=[2, 5])
    if kind == "named":
        names = ["1-30,35", "{odd}", "été (wide)", "B8A", "450.5 Nanometers"]
        return write_tiff(
            folder / "in.tif", spectra(5), names=names, nm=[400.5, 500, 600, 700, 800.123456789012]
        )
    header = (
        "wavelength units = Micrometers\nwavelength = {"
        + ", ".join(f"{0.4 + i / 997}" for i in range(560))
        + "}"
    )
    return write_envi(folder / "in.img", spectra(560, 6, 7), header=header)


@pytest.fixture(params=[*MADE, *REAL], scope="module")
def cube(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Raster:
    """Five cubes that are made, and five real ones where there are any."""
    if request.param in MADE:
        return describe(made(request.param, tmp_path_factory.mktemp(request.param)))
    if not THERE:
        pytest.skip(MISSING)
    return describe(DATA / REAL[request.param])


@pytest.fixture
def encoding(request: pytest.FixtureRequest) -> Encoding:
    """Integers with scale and offset for half of the cubes, floats for the others."""
    kind = request.node.callspec.params["cube"]
    return Encoding("int16", 0.00025, 0.125) if kind in INTEGERS else Encoding()


def written(cube: Raster, driver: str, encoding: Encoding, folder: Path) -> tuple[Path, np.ndarray]:
    """The cube's table over other pixels, as apply would write it; and the stored numbers."""
    path = folder / FORMATS[driver]
    stored = np.arange(len(cube.bands) * cube.rows * cube.cols).reshape(-1, *cube.shape) % 30_000
    stored = stored.astype(encoding.dtype)
    with Writer(path, cube, cube.bands, encoding, driver=driver) as writer:
        writer(Window(0, 0, *cube.shape), stored)
    return path, stored


def texts(bands: Bands) -> list[dict[str, str]]:
    """The tags that every band should have, from its row of the table."""
    rows = []
    for i in range(len(bands)):
        nm, fwhm = float(bands.wavelength_nm[i]), float(bands.fwhm_nm[i])
        row = {"bbl": "1" if bands.good[i] else "0"}
        row |= {"wavelength": repr(nm), "wavelength_units": "Nanometers"} if np.isfinite(nm) else {}
        rows.append(
            row
            | ({"fwhm": repr(fwhm), "wavelength_units": "Nanometers"} if np.isfinite(fwhm) else {})
        )
    return rows


def same_place(crs: Any, transform: Any, cube: Raster) -> None:
    np.testing.assert_allclose(
        tuple(transform)[:6], tuple(cube.transform)[:6], rtol=1e-12, atol=1e-9
    )
    if cube.crs is None:
        assert not crs
    else:
        assert (
            rasterio.crs.CRS.from_user_input(crs) == cube.crs or crs.to_epsg() == cube.crs.to_epsg()
        )


def close(text: str | None, number: float) -> bool:
    return text is not None and float(text) == pytest.approx(number / 1000, abs=6e-7)


@pytest.mark.parametrize("driver", FORMATS)
def test_every_reader_finds_what_was_written(
    cube: Raster, driver: str, encoding: Encoding, tmp_path: Path
) -> None:
    path, stored = written(cube, driver, encoding, tmp_path)
    bands, nodata = cube.bands, encoding.nodata

    # rasterio
    seen = profile(path)
    assert seen["names"] == list(bands.name)
    assert [
        {k: t.get(k) for k in row} for t, row in zip(seen["band_tags"], texts(bands), strict=True)
    ] == texts(bands)
    assert set(seen["scales"]) == {encoding.scale}
    assert set(seen["offsets"]) == {encoding.offset}
    np.testing.assert_array_equal(seen["nodatavals"], [nodata] * len(bands))
    same_place(seen["crs"], seen["transform"], cube)
    for tags, nm in zip(seen["imagery"], bands.wavelength_nm, strict=True):
        assert not np.isfinite(nm) or close(tags.get("CENTRAL_WAVELENGTH_UM"), nm)
    np.testing.assert_array_equal(read(path), stored)

    # bandfuse
    again = describe(path)
    assert again.bands.name == bands.name
    for column in ("wavelength_nm", "fwhm_nm", "good"):
        np.testing.assert_array_equal(getattr(again.bands, column), getattr(bands, column))
    assert again.messages == ()

    # GDAL's own program
    if shutil.which("gdalinfo"):
        info = gdalinfo(path)
        assert info is not None
        domains = [b["metadata"][""] for b in info["bands"]]
        assert [
            {k: t.get(k) for k in row} for t, row in zip(domains, texts(bands), strict=True)
        ] == texts(bands)
        assert [b["description"] for b in info["bands"]] == list(bands.name)


@pytest.mark.parametrize("away", [False, True])
def test_spectral_python_reads_the_envi_header(
    cube: Raster, encoding: Encoding, away: bool, tmp_path: Path
) -> None:
    """So does GDAL where the ``.aux.xml`` is gone."""
    envi = pytest.importorskip("spectral.io.envi")
    path, stored = written(cube, "ENVI", encoding, tmp_path)
    header = path.with_suffix(".hdr")
    assert max(map(len, header.read_text().splitlines())) < 10_000
    assert str(tmp_path) not in header.read_text()
    bands = cube.bands
    clean = [name.translate(str.maketrans(",{}", ";()")) for name in bands.name]
    if away:
        Path(f"{path}.aux.xml").unlink()
        again = describe(path).bands
        assert list(again.name) == clean
        for column in ("wavelength_nm", "fwhm_nm", "good"):
            np.testing.assert_array_equal(getattr(again, column), getattr(bands, column))
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = envi.open(str(header), str(path))
    meta = image.metadata
    assert [n.strip() for n in meta["band names"]] == clean
    assert [int(v) for v in meta["bbl"]] == bands.good.astype(int).tolist()
    if np.isfinite(bands.wavelength_nm).any():
        np.testing.assert_array_equal(image.bands.centers, bands.wavelength_nm)
        assert meta["wavelength units"] == "Nanometers"
    if np.isfinite(bands.fwhm_nm).any():
        np.testing.assert_array_equal([float(v) for v in meta["fwhm"]], bands.fwhm_nm)
    if encoding.scale != 1:
        assert {float(v) for v in meta["data gain values"]} == {encoding.scale}
        assert {float(v) for v in meta["data offset values"]} == {encoding.offset}
    np.testing.assert_array_equal(float(meta["data ignore value"]), encoding.nodata)
    # Spectral Python divides by the gain it does not know of; the stored numbers are the file's.
    np.testing.assert_array_equal(
        np.asarray(image.open_memmap(interleave="bip")).transpose(2, 0, 1), stored
    )


@pytest.mark.parametrize("driver", FORMATS)
def test_apply_says_what_its_weights_say(driver: str, tmp_path: Path) -> None:
    """Weighted centre and width, where no weight is negative; read again by a second run."""
    cube = write_tiff(tmp_path / "c.tif", spectra(8, 30, 40), nm=wavelengths(8), fwhm=[9.0] * 8)
    x = read(cube).astype(float)
    target = write_tiff(
        tmp_path / "t.tif",
        np.stack([0.2 * x[1] + 0.8 * x[3], x[6] - 0.9 * x[0]]),
        names=["in", "out"],
    )
    run = tmp_path / "run"
    ok(
        "train",
        cube,
        "--target",
        target,
        "--constraint",
        "free",
        "--ridge",
        0,
        "--smooth",
        0,
        "--folds",
        0,
        "--no-report",
        "-o",
        run,
    )
    model = load(run / "weights.safetensors")
    fused = tmp_path / FORMATS[driver].replace("c", "fused")
    ok(
        "apply",
        run / "weights.safetensors",
        cube,
        "-o",
        fused,
        "--driver",
        driver,
        "--dtype",
        "int16",
        "--scale",
        1e-4,
    )
    outputs = model.common.outputs
    again = describe(fused)
    assert again.bands.name == outputs.name == ("in", "out")
    np.testing.assert_array_equal(again.bands.wavelength_nm, outputs.wavelength_nm)
    np.testing.assert_array_equal(again.bands.fwhm_nm, outputs.fwhm_nm)
    assert np.isnan(outputs.wavelength_nm[1]), "signed weights have no centre"
    assert (again.crs, again.transform) == (rasterio.crs.CRS.from_string(UTM), NORTH_UP)
    assert ok("info", fused, "--json").json["scenes"][0]["scale"] == 1e-4


@pytest.mark.parametrize("driver", ["GTiff", "ENVI", "COG"])
def test_names_do_not_grow_on_rewriting(driver: str, tmp_path: Path) -> None:
    cube = describe(
        write_tiff(
            tmp_path / "in.tif", spectra(3), nm=wavelengths(3), names=["blue", "green", "red"]
        )
    )
    first = cube
    for i in range(3):
        folder = tmp_path / str(i)
        folder.mkdir()
        path, _ = written(cube, driver, Encoding(), folder)
        Path(f"{path}.aux.xml").unlink(missing_ok=True)
        cube = describe(path)
    assert cube.bands.name == first.bands.name
    np.testing.assert_array_equal(cube.bands.wavelength_nm, first.bands.wavelength_nm)


def test_a_cog_has_overviews_and_is_valid(tmp_path: Path) -> None:
    cube = describe(write_tiff(tmp_path / "in.tif", spectra(2, 700, 600), nm=[500.5, 600.5]))
    path = tmp_path / "cog.tif"
    with Writer(path, cube, cube.bands, Encoding(), driver="COG") as writer:
        writer(Window(0, 0, *cube.shape), spectra(2, 700, 600))
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith("cog")] == ["cog.tif"]
    with rasterio.open(path) as ds:
        assert ds.overviews(1) == [2]
        assert ds.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
    np.testing.assert_array_equal(read(path), spectra(2, 700, 600))


def test_a_cog_that_cannot_be_made_leaves_nothing(tmp_path: Path) -> None:
    cube = write_tiff(tmp_path / "c.tif", spectra(4, 30, 40), nm=wavelengths(4))
    ok(
        "train",
        cube,
        "--target",
        cube,
        "--constraint",
        "free",
        "--folds",
        0,
        "--no-report",
        "-o",
        tmp_path / "run",
    )
    before = sorted(p.name for p in tmp_path.iterdir())
    from rasters import cli

    done = cli(
        "apply",
        tmp_path / "run" / "weights.safetensors",
        cube,
        "-o",
        tmp_path / "o.tif",
        "--driver",
        "COG",
        "--co",
        "NONSENSE=1",
    )
    assert (done.code, "NONSENSE" in done.err) == (2, True)
    assert sorted(p.name for p in tmp_path.iterdir()) == before


@pytest.mark.skipif(
    shutil.which("gdal_translate") is None, reason="GDAL's programs are not installed"
)
def test_what_gdal_copies_from_us_reads_the_same(tmp_path: Path) -> None:
    cube = describe(
        write_tiff(tmp_path / "in.tif", spectra(4), nm=wavelengths(4), fwhm=[7.7] * 4, bad=[3])
    )
    path, _ = written(cube, "GTiff", Encoding(), tmp_path)
    subprocess.run(
        ["gdal_translate", "-q", str(path), str(tmp_path / "copy.tif")], check=True, timeout=60
    )
    copy = describe(tmp_path / "copy.tif").bands
    np.testing.assert_array_equal(copy.wavelength_nm, cube.bands.wavelength_nm)
    np.testing.assert_array_equal(copy.good, cube.bands.good)


def test_gdalinfo_of_a_fixed_vrt(tmp_path: Path) -> None:
    """The VRT of check says what rasterio, GDAL and bandfuse need, over the same pixels."""
    nm = ["0.4505", "0.5503", "0.6501"]
    cube = write_envi(
        tmp_path / "c.img",
        spectra(3, 30, 20, dtype="int16"),
        header="wavelength = {" + ",".join(nm) + "}\nfwhm = {.005,.006,.007}\nbbl = {1,0,1}\n"
        "band names = {a, b, c}",
    )
    sub = tmp_path / "sub"
    sub.mkdir()
    fixed = sub / "c.vrt"
    ok("check", cube, "--nodata", -99, "--scale", 1e-4, "--fix", fixed, "--json")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        seen = profile(fixed)
    assert seen["names"] == ["a", "b", "c"]
    np.testing.assert_allclose(
        [float(t["wavelength"]) for t in seen["band_tags"]], [450.5, 550.3, 650.1]
    )
    assert [t["wavelength_units"] for t in seen["band_tags"]] == ["Nanometers"] * 3
    np.testing.assert_allclose([float(t["fwhm"]) for t in seen["band_tags"]], [5, 6, 7])
    assert [t["bbl"] for t in seen["band_tags"]] == ["1", "0", "1"]
    assert seen["imagery"][0]["CENTRAL_WAVELENGTH_UM"] == "0.450500"
    assert (seen["nodatavals"], seen["scales"]) == ((-99,) * 3, (1e-4,) * 3)
    np.testing.assert_array_equal(read(fixed), read(cube))
    (scene,) = ok("info", fixed, "--json").json["scenes"]
    assert [b["good"] for b in scene["bands"]] == [True, False, True]
    assert scene["messages"] == []
    info = gdalinfo(fixed)
    if info is not None:
        assert info["bands"][1]["noDataValue"] == -99
        assert json.dumps(info).count("Nanometers") == 3
