"""Output formats: the same numbers in every one, what each keeps, and what a driver may be told."""

from __future__ import annotations

import importlib
import json
import math
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import numpy as np
import pytest
import rasterio
import spectral
from helpers import same_bits
from makers import NAMES, NM, weights_for
from rasters import (
    NORTH_UP,
    ROTATED,
    cli,
    gdalinfo,
    listing,
    ok,
    profile,
    read,
    spectra,
    wavelengths,
    write_tiff,
)

from bandfuse.errors import OutputError
from bandfuse.raster import check_options, describe
from bandfuse.raster.creation_options import Option, options_of, types_of


@pytest.fixture
def scene(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Weights, a cube with gaps and zeros that is larger than a few tiles, and their folder."""
    x = spectra(6, 150, 600)
    x[:, 70:, :300] = np.nan
    x[:, :64, 256:512] = 0
    write_tiff(tmp_path / "x.tif", x, nm=wavelengths(6))
    return weights_for(tmp_path), tmp_path / "x.tif", tmp_path


ENCODINGS = {
    "float32": [],
    "int16": ["--dtype", "int16", "--scale", 0.0002, "--offset-out", 1.5],
    "uint8": ["--dtype", "uint8", "--scale", 0.01],
}


# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("version", ["ZARR_V2", "ZARR_V3"])
def test_a_zarr_store_holds_what_a_tiff_holds(
    scene: tuple[Path, Path, Path], encoding: str, version: str
) -> None:
    """Pixels to the bit, nodata, CRS, transform, scale, wavelengths; tiles of nodata are not
    stored, zeros are."""
    weights, cube, folder = scene
    how = [*ENCODINGS[encoding], "--memory", 16]
    ok("apply", weights, cube, "-o", folder / "y.tif", *how)
    done = ok("apply", weights, cube, "-o", folder / "y.zarr", "--co", f"format={version}", *how)
    assert "attribute band_names" in done.err
    seen, like = profile(folder / "y.zarr"), profile(folder / "y.tif")
    same_bits(read(folder / "y.zarr"), read(folder / "y.tif"))
    assert (seen["driver"], seen["dtype"], seen["count"]) == ("Zarr", like["dtype"], 3)
    assert seen["crs"].to_epsg() == like["crs"].to_epsg() == 32633
    assert seen["transform"] == like["transform"]
    np.testing.assert_array_equal(seen["nodatavals"], like["nodatavals"])
    assert (seen["scales"], seen["offsets"]) == (like["scales"], like["offsets"])
    again, bands = describe(folder / "y.zarr"), describe(folder / "y.tif").bands
    for column in ("wavelength_nm", "fwhm_nm", "good"):
        np.testing.assert_array_equal(getattr(again.bands, column), getattr(bands, column))
    assert again.bands.name == ("blue; deep", "near (infrared)", "third")
    chunks = [
        p for p in (folder / "y.zarr/fused").rglob("*") if p.name[0].isdigit() and p.is_file()
    ]
    assert len(chunks) == 3 * (3 * 3 - 1)
    assert not list(folder.glob(".*partial"))


def test_one_output_is_a_store_as_well(tmp_path: Path) -> None:
    write_tiff(tmp_path / "x.tif", spectra(6, 70, 300), nm=wavelengths(6))
    weights = weights_for(tmp_path, outputs=1)
    for name in ("y.tif", "X.zarr"):
        ok("apply", weights, tmp_path / "x.tif", "-o", tmp_path / name)
    same_bits(read(tmp_path / "X.zarr"), read(tmp_path / "y.tif"))
    assert np.isnan(profile(tmp_path / "X.zarr")["nodata"])
    assert profile(tmp_path / "X.zarr")["crs"].to_epsg() == 32633


def test_debians_gdal_reads_the_store(scene: tuple[Path, Path, Path]) -> None:
    if shutil.which("gdal_translate") is None:
        pytest.skip("gdal_translate is not installed")
    weights, cube, folder = scene
    for name in ("y.tif", "y.zarr"):
        ok("apply", weights, cube, "-o", folder / name)
    for k in range(3):
        one = f'ZARR:"{folder}/y.zarr":/fused:{k}'
        subprocess.run(["gdal_translate", "-q", one, folder / "g.tif"], check=True)
        same_bits(read(folder / "g.tif")[0], read(folder / "y.tif")[k])
        assert np.isnan(profile(folder / "g.tif")["nodata"])


def test_without_a_place_on_the_ground(tmp_path: Path) -> None:
    write_tiff(tmp_path / "x.tif", spectra(6), nm=wavelengths(6), crs=None, transform=None)
    weights = weights_for(tmp_path)
    for name in ("y.tif", "y.zarr"):
        ok("apply", weights, tmp_path / "x.tif", "-o", tmp_path / name)
    same_bits(read(tmp_path / "y.zarr"), read(tmp_path / "y.tif"))
    assert (
        profile(tmp_path / "y.zarr")["crs"],
        profile(tmp_path / "y.zarr")["transform"].is_identity,
    ) == (None, True)


@pytest.mark.parametrize("transform", [ROTATED, NORTH_UP @ NORTH_UP.scale(1, -1)])
def test_a_grid_that_is_turned_has_no_place_in_zarr(tmp_path: Path, transform: Any) -> None:
    """Upside down is no turning."""
    write_tiff(tmp_path / "x.tif", spectra(6), nm=wavelengths(6), transform=transform)
    weights = weights_for(tmp_path)
    before = listing(tmp_path)
    done = cli("apply", weights, tmp_path / "x.tif", "-o", tmp_path / "y.zarr")
    if transform is ROTATED:
        assert (done.code, "grid that is turned" in done.err, done.err.count("\n")) == (2, True, 1)
        assert listing(tmp_path) == before
    else:
        assert done.code == 0, done.err
        assert profile(tmp_path / "y.zarr")["transform"] == transform


def test_a_store_is_replaced_only_if_it_is_one(scene: tuple[Path, Path, Path]) -> None:
    weights, cube, folder = scene
    out = folder / "y.zarr"
    ok("apply", weights, cube, "-o", out, "--stac")
    done = cli("apply", weights, cube, "-o", out)
    assert (done.code, "--overwrite" in done.err) == (2, True)
    ok(
        "apply",
        weights,
        cube,
        "-o",
        out,
        "--overwrite",
        "--dtype",
        "int16",
        "--scale",
        0.001,
        "--stac",
    )
    assert profile(out)["dtype"] == "int16"
    item = json.loads((folder / "y.stac.json").read_text())["assets"]["fused"]
    assert (item["href"], item["type"]) == ("./y.zarr", "application/vnd+zarr")

    (out / "fused" / "mine.txt").write_text("mine")
    done = cli("apply", weights, cube, "-o", out, "--overwrite")
    assert (done.code, "fused/mine.txt" in done.err) == (2, True)
    (out / "fused" / "mine.txt").unlink()
    (out / "other").mkdir()
    (out / "other" / ".zarray").write_text("{}")
    done = cli("apply", weights, cube, "-o", out, "--overwrite")
    assert (done.code, "other/.zarray" in done.err) == (2, True)

    plain = folder / "photos.zarr"
    plain.mkdir()
    (plain / "holiday.jpg").write_text("mine")
    (folder / "file.zarr").write_text("mine")
    (folder / "link.zarr").symlink_to(plain)
    for name in ("photos.zarr", "file.zarr", "link.zarr"):
        done = cli("apply", weights, cube, "-o", folder / name, "--overwrite")
        assert (done.code, "not replaced" in done.err, done.err.count("\n")) == (2, True, 1)
    assert (plain / "holiday.jpg").read_text() == "mine"


def test_a_store_that_is_read_is_no_output(scene: tuple[Path, Path, Path]) -> None:
    weights, cube, folder = scene
    ok("apply", weights, cube, "-o", folder / "y.zarr")
    assert cli("info", folder / "y.zarr").code == 0
    ok(
        "train",
        folder / "y.zarr",
        "--groups",
        "1-3",
        "-o",
        folder / "run",
        "--no-fused",
        "--no-report",
    )
    done = cli(
        "apply",
        folder / "run/weights.safetensors",
        folder / "y.zarr",
        "-o",
        folder / "y.zarr",
        "--overwrite",
    )
    assert (done.code, "which is read" in done.err) == (2, True)
    assert read(folder / "y.zarr").shape == (3, 150, 600)


def test_a_truncated_scene_leaves_no_store(scene: tuple[Path, Path, Path]) -> None:
    weights, cube, folder = scene
    ok("apply", weights, cube, "-o", folder / "y.zarr")
    cube.write_bytes(cube.read_bytes()[: cube.stat().st_size // 2])
    before = listing(folder)
    assert cli("apply", weights, cube, "-o", folder / "y.zarr", "--overwrite").code == 2
    assert cli("apply", weights, cube, "-o", folder / "z.zarr").code == 2
    assert listing(folder) == before


# --------------------------------------------------------------------------------------------------

WRONG = [
    ("GTiff", "COMPRES=LZW", "'COMPRESS'"),
    ("GTiff", "compress=XYZ", "one of NONE, LZW"),
    ("GTiff", "TILED=perhaps", "YES or NO"),
    ("GTiff", "blockxsize=big", "a whole number"),
    ("GTiff", "ZLEVEL=99", "ZLEVEL"),
    ("GTiff", "NBITS=3", "NBITS"),
    ("GTiff", "PHOTOMETRIC=CMYK", "PHOTOMETRIC"),
    ("GTiff", "nodata=3", "not for a user to set"),
    ("COG", "BLOCKXSIZE=256", "'BLOCKSIZE'"),
    ("COG", "BLOCKSIZE=100", "at least 128"),
    (
        "COG",
        "OVERVIEW_RESAMPLING=best",
        "cannot be created; got GDALGetResampleFunction: Unsupported",
    ),
    (
        "COG",
        "TILING_SCHEME=GoogleMapsCompatible",
        "gdal_translate -of COG -co TILING_SCHEME=GoogleMapsCompatible",
    ),
    ("COG", "target_srs=EPSG:3857", "off the scene's grid"),
    ("COG", "RES=10", "off the scene's grid"),
    ("COG", "EXTENT=0,0,1,1", "off the scene's grid"),
    ("COG", "WARP_RESAMPLING=CUBIC", "off the scene's grid"),
    ("COG", "ADD_ALPHA=YES", "off the scene's grid"),
    ("COG", "ZOOM_LEVEL=10", "off the scene's grid"),
    ("ENVI", "INTERLEAVE=BILL", "one of BIP, BIL, BSQ"),
    ("ENVI", "SUFIX=ADD", "'SUFFIX'"),
    ("Zarr", "COMPRESS=DEFLATE", "one of NONE"),
    ("Zarr", "GZIP_LEVEL=22", "at least 1 and at most 9"),
    ("Zarr", "ARRAY_NAME=mine", "not for a user to set"),
    ("Zarr", "BLOCKSIZE=64", "BLOCKSIZE"),
]


@pytest.mark.parametrize(("driver", "option", "said"), WRONG)
def test_what_a_driver_would_not_take_is_said_before_anything_is_written(
    scene: tuple[Path, Path, Path], driver: str, option: str, said: str
) -> None:
    weights, cube, folder = scene
    before = listing(folder)
    done = cli("apply", weights, cube, "-o", folder / "y", "--driver", driver, "--co", option)
    assert (done.code, done.err.count("\n")) == (2, 1), done.err
    assert said in done.err
    assert listing(folder) == before


@pytest.mark.parametrize(
    ("driver", "dtype", "holds", "use"),
    [
        ("JPEG", "float32", "uint8 or uint16", "--dtype uint8 --scale S --offset-out O"),
        ("PNG", "int16", "uint8 or uint16", "--dtype uint8 --scale S --offset-out O"),
        ("BMP", "float64", "uint8", "--dtype uint8 --scale S --offset-out O"),
        ("GTX", "int32", "float32", "--dtype float32"),
    ],
)
def test_a_type_that_a_driver_cannot_hold_is_refused_with_those_it_can(
    scene: tuple[Path, Path, Path], driver: str, dtype: str, holds: str, use: str
) -> None:
    if not types_of("GTiff"):
        pytest.skip("the drivers of this GDAL tell nothing")
    weights, cube, folder = scene
    before = listing(folder)
    flags = ("--dtype", dtype, *(("--scale", 0.01) if "int" in dtype else ()))
    done = cli("apply", weights, cube, "-o", folder / "y", "--driver", driver, *flags)
    assert (done.code, done.err.count("\n")) == (2, 1), done.err
    assert (
        f"the driver {driver} holds no {dtype}; got --dtype {dtype}; expected --dtype {holds}."
        in done.err
    )
    assert f"Use {use}, or another driver, such as GTiff." in done.err
    assert listing(folder) == before


def test_what_only_the_driver_knows_is_said_with_another_driver(
    scene: tuple[Path, Path, Path],
) -> None:
    """As many bands as no picture has; the disk is not to blame."""
    weights, cube, folder = scene
    before = listing(folder)
    for name, said in (
        ("y.xyz", "y.xyz cannot be made by the driver XYZ; got "),
        ("y.vrt", "a VRT holds no pixels of its own; expected another driver, such as GTiff"),
    ):
        done = cli("apply", weights, cube, "-o", folder / name)
        assert (done.code, done.err.count("\n")) == (2, 1), done.err
        assert said in done.err
    assert listing(folder) == before


def test_options_are_given_once_in_any_case(scene: tuple[Path, Path, Path]) -> None:
    weights, cube, folder = scene
    done = cli(
        "apply", weights, cube, "-o", folder / "y.tif", "--co", "ZLEVEL=3", "--co", "zlevel=2"
    )
    assert (done.code, "given twice" in done.err) == (2, True)
    ok(
        "apply",
        weights,
        cube,
        "-o",
        folder / "y.tif",
        "--co",
        "ComPress=lzw",
        "--co",
        "interleave=PIXEL",
    )
    assert (profile(folder / "y.tif")["compress"], profile(folder / "y.tif")["interleave"]) == (
        "lzw",
        "pixel",
    )


@pytest.mark.parametrize("driver", ["GTiff", "COG", "ENVI", "Zarr", "netCDF", "JP2OpenJPEG"])
def test_the_list_is_the_drivers_own(driver: str) -> None:
    """As GDAL's own program prints it, as far as that one knows; and every default in the list is
    allowed."""
    known = options_of(driver)
    if shutil.which("gdalinfo"):
        text = subprocess.run(
            ["gdalinfo", "--format", driver], capture_output=True, text=True, check=True
        ).stdout
        older = {
            part.split('"')[0].upper()
            for part in text.partition("<CreationOptionList>")[2]
            .partition("</CreationOptionList>")[0]
            .split('<Option name="')[1:]
        }
        assert len(older & set(known)) >= len(older) - 2
    with pytest.raises(OutputError, match="has no creation option XX"):
        check_options(driver, {"XX": "1"})


def test_a_switch_takes_what_gdal_takes() -> None:
    for value in ("YES", "no", "True", "FALSE", "on", "OFF"):
        check_options("GTiff", {"tiled": value})
    for value in ("12", "+3"):
        check_options("GTiff", {"ZLEVEL": value})
    check_options("GTiff", {"ALPHA": "YES"})


def test_an_option_takes_what_the_list_says() -> None:
    """Without limits any whole number; within limits those; of values also by a second name."""
    some = Option("ZLEVEL", "int", (), -math.inf, math.inf)
    assert some.expected("-1") == ""
    assert (
        replace(some, low=1.0, high=12.0).expected("-1")
        == "a whole number at least 1 and at most 12"
    )
    values = '<Value alias="1">BYTE</Value><Value alias="0">NONE</Value>'
    shuffle = Option.of(
        Xml.fromstring(f'<Option name="SHUFFLE" type="string-select">{values}</Option>')
    )
    assert [shuffle.expected(value) for value in ("1", "byte", "NONE")] == ["", "", ""]
    assert shuffle.expected("2") == "one of BYTE, NONE, 1, 0"


# --------------------------------------------------------------------------------------------------


@pytest.mark.one_in(2)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_cog_is_one_by_gdals_own_word(tmp_path: Path, encoding: str) -> None:
    """Tiles, overviews down to one tile, all pixels and metadata of the plain file."""
    write_tiff(tmp_path / "x.tif", spectra(6, 700, 1300), nm=wavelengths(6))
    weights = weights_for(tmp_path)
    how = ENCODINGS[encoding]
    ok("apply", weights, tmp_path / "x.tif", "-o", tmp_path / "y.tif", *how)
    ok(
        "apply",
        weights,
        tmp_path / "x.tif",
        "-o",
        tmp_path / "c.tif",
        "--driver",
        "cog",
        "--co",
        "blocksize=256",
        *how,
    )
    same_bits(read(tmp_path / "c.tif"), read(tmp_path / "y.tif"))
    seen, like = profile(tmp_path / "c.tif"), profile(tmp_path / "y.tif")
    for key in ("names", "band_tags", "imagery", "scales", "offsets", "crs", "transform"):
        assert seen[key] == like[key]
    with rasterio.open(tmp_path / "c.tif") as ds:
        assert ds.overviews(1) == [2, 4, 8]
        assert ds.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert set(ds.block_shapes) == {(256, 256)}
    info = gdalinfo(tmp_path / "c.tif")
    if info is not None:
        assert info["metadata"]["IMAGE_STRUCTURE"]["LAYOUT"] == "COG"
        assert [o["size"] for o in info["bands"][0]["overviews"]] == [
            [650, 350],
            [325, 175],
            [162, 87],
        ]
        assert [b["description"] for b in info["bands"]] == NAMES


@pytest.mark.parametrize("interleave", ["bsq", "bil", "bip"])
def test_spectral_python_finds_everything_in_an_envi_header(
    tmp_path: Path, interleave: str
) -> None:
    write_tiff(tmp_path / "x.tif", spectra(6, 40, 50), nm=wavelengths(6))
    weights = weights_for(tmp_path)
    how = ENCODINGS["int16"]
    ok("apply", weights, tmp_path / "x.tif", "-o", tmp_path / "y.tif", *how)
    ok(
        "apply",
        weights,
        tmp_path / "x.tif",
        "-o",
        tmp_path / "y.img",
        "--driver",
        "ENVI",
        "--co",
        f"interleave={interleave}",
        *how,
    )
    image = spectral.envi.open(tmp_path / "y.hdr", tmp_path / "y.img")
    same_bits(np.moveaxis(image.open_memmap(), -1, 0), read(tmp_path / "y.tif"))
    assert image.bands.centers == NM
    assert image.bands.bandwidths == [10.5, 20.25, 91.0]
    header = image.metadata
    assert header["wavelength units"] == "Nanometers"
    assert header["band names"] == ["blue; deep", "near (infrared)", "third"]
    assert float(header["data ignore value"]) == -32768
    assert [float(v) for v in header["data gain values"]] == [0.0002] * 3
    assert [float(v) for v in header["data offset values"]] == [1.5] * 3
    place = header["map info"]
    assert place[0] == "UTM"
    assert [float(v) for v in place[3:7]] == [NORTH_UP.c, NORTH_UP.f, NORTH_UP.a, -NORTH_UP.e]
    assert "33" in place[7]
    assert header["interleave"] == interleave


@pytest.mark.one_in(5)
@pytest.mark.parametrize(
    ("module", "command", "output"),
    [
        ("applying.fuse", "resample x.tif --sensor s.csv -o o.tif", "o.tif"),
        (
            "tools.resample",
            "resample x.tif --sensor s.csv --weights-only -o o.safetensors",
            "o.safetensors",
        ),
        ("tools.report", "report run -o o.html", "o.html"),
        ("tools.compare", "compare run other -o o.html", "o.html"),
        ("tools.export", "export run/weights.safetensors --to csv -o o.csv", "o.csv"),
        ("tools.check", "check x.tif --fix o.vrt", "o.vrt"),
    ],
)
@pytest.mark.parametrize("flags", [[], ["--overwrite"]])
def test_what_came_after_the_check_is_not_replaced(
    module: str,
    command: str,
    output: str,
    flags: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_tiff(Path("x.tif"), spectra(6, 16, 20), nm=[450, 500, 550, 600, 650, 700])
    Path("s.csv").write_text("name,centre_nm,fwhm_nm\nA,550,80\n")
    for run in ("run", "other"):
        ok("train", "x.tif", "--groups", "equal:2", "-o", run, "--no-fused")
    tool = importlib.import_module(f"bandfuse.{module}")
    door = "whole_together" if module == "applying.fuse" else "whole_files"
    whole = getattr(tool, door)

    def late(place: Any, *rest: Any, **more: Any) -> Any:
        path = place[0][0] if isinstance(place, list) else place
        if Path(path).name == output:
            Path(output).write_text("of another process")
        return whole(place, *rest, **more)

    monkeypatch.setattr(tool, door, late)
    if flags and not command.startswith("compare"):
        Path(output).write_text("earlier")
    done = cli(*command.split(), *flags)
    assert done.code == 2
    assert "was written by another process meanwhile" in done.err
    assert Path(output).read_text() == "of another process"


LIMITED = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
sys.argv = ["bandfuse", *sys.argv[1:]]
from bandfuse.cli.main import main
main()
"""


@pytest.mark.one_in(3)
@pytest.mark.skipif(os.name == "nt", reason="Windows has no limit on the size of files")
@pytest.mark.parametrize("compress", ["GZIP", "NONE", "ZSTD"])
@pytest.mark.parametrize("version", ["ZARR_V2", "ZARR_V3"])
def test_a_store_whose_blocks_are_cut_off_is_not_written(
    tmp_path: Path, compress: str, version: str
) -> None:
    """GDAL says nothing of blocks that the disk has no room for."""
    write_tiff(tmp_path / "x.tif", spectra(6, 130, 300).astype(np.float32))
    weights_for(tmp_path)
    command = ["apply", "w.safetensors", "x.tif", "-o", "y.zarr"]
    options = ["--co", f"COMPRESS={compress}", "--co", f"FORMAT={version}"]
    whole = cli(
        "apply",
        tmp_path / "w.safetensors",
        tmp_path / "x.tif",
        "-o",
        tmp_path / "whole.zarr",
        *options,
    )
    if whole.code:
        pytest.skip(f"this GDAL writes no such store: {whole.err}")
    program = [sys.executable, "-c", LIMITED]
    done = subprocess.run(
        [*program, *command, *options], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "y.zarr cannot be written to its end" in done.stderr
    assert "room on the disk" in done.stderr
    assert not (tmp_path / "y.zarr").exists()
    assert not list(tmp_path.glob(".*.partial"))
