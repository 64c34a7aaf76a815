"""Quirks of real files that break a naive reader, one test (or more) for each, by its number in the
list of facts.

8 to 12 are those of products, and are tested with them.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import rasterio
from helpers import same_bits
from rasters import (
    NORTH_UP,
    ROTATED,
    UTM,
    cli,
    envi_list,
    gdalinfo,
    ok,
    profile,
    read,
    spectra,
    wavelengths,
    write_envi,
    write_per_band_nodata,
    write_tiff,
)

from bandfuse.raster import Encoding, Reader, describe, write_array
from bandfuse.streaming.windows import Window

LONG = [f"a_band_with_a_name_that_says_a_lot_about_it_{i}" for i in range(300)]
"""Names that make a line of more than 10 000 characters."""


def values(path: str | Path) -> np.ndarray:
    """(B, N) float64 as bandfuse reads them, NaN where missing."""
    raster = describe(path)
    with Reader([(raster, range(len(raster.bands)))]) as reader:
        whole = reader.read(Window(0, 0, *raster.shape))
        return whole.cell(slice(0, raster.rows), slice(0, raster.cols)).values().copy()


def codes(*arguments: object) -> dict[str, str]:
    """The findings of ``check``: messages by code."""
    return {f["code"]: f["message"] for f in cli("check", *arguments, "--json").json["findings"]}


def trains(path: str | Path, folder: Path, *flags: object) -> dict[str, object]:
    """The report of a quick training of a target that is known from the bands."""
    x = np.nan_to_num(values(path))
    raster = describe(path)
    crs = None if raster.crs is None else raster.crs.to_wkt()
    target = (
        0.5 * x[2] + 0.5 * x[4] + np.random.default_rng(0).normal(0, 1e-3, x.shape[1])
    ).reshape(1, *raster.shape)
    write_tiff(folder / "t.tif", target, crs=crs, transform=raster.transform)
    run = folder / "run"
    ok(
        "train",
        path,
        "--target",
        folder / "t.tif",
        "--no-report",
        "--folds",
        0,
        "--overwrite",
        "-o",
        run,
        *flags,
    )
    report: dict[str, object] = json.loads((run / "report.json").read_text())
    return report


# --------------------------------------------------------------------------------------------------


def test_quirk_01_wavelengths_after_a_line_over_10000_characters_are_read_from_the_text(
    tmp_path: Path,
) -> None:
    nm = [400.123 + i for i in range(300)]
    header = "\n".join(
        [
            envi_list("band names", LONG),
            "wavelength units = Nanometers",
            envi_list("wavelength", nm),
            envi_list("fwhm", [5.8] * 300),
            envi_list("bbl", [0] + [1] * 299),
        ]
    )
    path = write_envi(tmp_path / "cube.img", spectra(300, 5, 6), header=header)
    assert profile(path)["band_tags"][0] == {}, (
        "GDAL has learned to read long lines: this test shows nothing any more"
    )
    (scene,) = ok("info", path, "--json").json["scenes"]
    assert [b["wavelength_nm"] for b in scene["bands"]] == nm
    assert {b["fwhm_nm"] for b in scene["bands"]} == {5.8}
    assert [b["good"] for b in scene["bands"]] == [False] + [True] * 299
    assert [b["name"] for b in scene["bands"]] == LONG
    assert len(scene["messages"]) == 1
    assert "GDAL loses band names, wavelength units, wavelength, fwhm, bbl" in scene["messages"][0]
    assert "header-line-too-long" in codes(path)


def test_quirk_01_a_list_that_is_itself_too_long_keeps_its_units_and_nodata(tmp_path: Path) -> None:
    nm = [400 + i / 7 for i in range(700)]
    header = "\n".join(
        [
            envi_list("wavelength", nm),
            "wavelength units = nm",
            "data ignore value = -99",
            envi_list("data gain values", [0.5] * 700),
        ]
    )
    cube = spectra(700, 3, 4)
    cube[:, 0, 0] = -99
    raster = describe(write_envi(tmp_path / "cube.img", cube, header=header))
    assert raster.bands.wavelength_nm.tolist() == nm
    assert set(raster.nodata) == {-99}
    assert set(raster.scale) == {0.5}
    x = values(tmp_path / "cube.img")
    assert np.isnan(x[:, 0]).all()
    np.testing.assert_allclose(x[:, 1:], 0.5 * cube.reshape(700, -1)[:, 1:])


@pytest.mark.parametrize("line", ["interleave = bil", "byte order = 1", "header offset = 128"])
def test_quirk_01_what_gdal_needs_for_the_pixels_must_not_be_lost(
    line: str, tmp_path: Path
) -> None:
    path = write_envi(tmp_path / "cube.img", spectra(300, 5, 6))
    header = (
        (tmp_path / "cube.hdr")
        .read_text()
        .replace("interleave = bsq\n", "")
        .replace("byte order = 0\n", "")
    )
    header = (
        header.replace("header offset = 0\n", "") + envi_list("band names", LONG) + f"\n{line}\n"
    )
    (tmp_path / "cube.hdr").write_text(header)
    done = cli("info", path)
    assert done.code == 2
    assert line in done.err
    assert "Break the line" in done.err


def test_quirk_01_a_lost_place_is_said(tmp_path: Path) -> None:
    header = (
        envi_list("band names", LONG)
        + "\nmap info = {UTM, 1, 1, 400000, 5800000, 30, 30, 33, North,WGS-84}"
    )
    found = codes(write_envi(tmp_path / "cube.img", spectra(300, 5, 6), header=header))
    assert "map info" in found["georeference-lost"]


# --------------------------------------------------------------------------------------------------


def test_quirk_02_imagery_is_rounded_and_comes_after_all_else(tmp_path: Path) -> None:
    nm, fwhm = [450.27, 455.83, 461.41], [5.8, 5.82, 5.84]
    header = (
        f"{envi_list('wavelength', nm)}\nwavelength units = Nanometers\nfwhm = {{ 5.8 , 5.82 , "
        f"5.84 }}"
    )
    path = write_envi(tmp_path / "cube.img", spectra(3, 5, 6), header=header)
    assert profile(path)["imagery"][0] == {"CENTRAL_WAVELENGTH_UM": "0.450", "FWHM_UM": "0.006"}
    bands = describe(path).bands
    assert bands.wavelength_nm.tolist() == nm
    assert bands.fwhm_nm.tolist() == fwhm
    assert "imagery-rounded" not in codes(path)


def test_quirk_02_fwhm_and_bbl_are_the_bands_own_tags_in_geotiffs(tmp_path: Path) -> None:
    nm = wavelengths(3)
    path = write_tiff(tmp_path / "c.tif", spectra(3), nm=nm, fwhm=[5.8, 5.82, 5.84], bad=[2])
    bands = describe(path).bands
    assert (bands.wavelength_nm.tolist(), bands.fwhm_nm.tolist()) == (nm, [5.8, 5.82, 5.84])
    assert bands.good.tolist() == [True, False, True]


def test_quirk_02_imagery_alone_is_used_and_said(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "c.tif", spectra(2))
    with rasterio.open(path, "r+") as ds:
        for i, um in ((1, "0.450"), (2, "0.456")):
            ds.update_tags(i, ns="IMAGERY", CENTRAL_WAVELENGTH_UM=um, FWHM_UM="0.006")
    bands = describe(path).bands
    np.testing.assert_allclose(bands.wavelength_nm, [450, 456])
    np.testing.assert_allclose(bands.fwhm_nm, [6, 6])
    assert "1 nm" in codes(path)["imagery-rounded"]


# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", ["Micrometers", "Nanometers", "nm", "nanometers", "Unknown", None])
@pytest.mark.parametrize("size", ["nm", "µm"])
def test_quirk_03_units_are_known_or_guessed_from_their_size(
    unit: str | None, size: str, tmp_path: Path
) -> None:
    numbers = [450.5, 550.25, 650.125] if size == "nm" else [0.4505, 0.55025, 0.650125]
    header = envi_list("wavelength", numbers) + (f"\nwavelength units = {unit}" if unit else "")
    path = write_envi(tmp_path / "cube.img", spectra(3, 5, 6), header=header)
    raster = describe(path)
    np.testing.assert_allclose(raster.bands.wavelength_nm, [450.5, 550.25, 650.125])
    true = {"Micrometers": "µm", "Unknown": None, None: None}.get(unit, "nm")
    assert len(raster.messages) == (0 if true == size else 1)
    found = codes(path)
    expected = {"Unknown": "units-unknown", None: "units-missing"}.get(unit, "units-contradict")
    assert (expected in found) == (true != size)
    assert ("units-converted" in found) == (true == size == "µm")


def test_quirk_03_wavelength_in_nm_beside_units_that_say_micrometers(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "c.tif", spectra(3))
    with rasterio.open(path, "r+") as ds:
        for i, nm in enumerate(["455.4", "469.4", "484.3"], 1):
            ds.update_tags(i, Wavelength=nm, wavelength_units="Micrometers")
    np.testing.assert_allclose(describe(path).bands.wavelength_nm, [455.4, 469.4, 484.3])
    assert "say 'Micrometers' but are nm" in codes(path)["units-contradict"]


# --------------------------------------------------------------------------------------------------

ORDERS = {
    "two detectors": [400.5, 450, 500, 550, 480, 530, 600, 650],
    "descending": [650, 620, 580, 530, 500, 470, 440, 400.5],
    "repeated": [400.5, 450, 500, 550, 500, 530, 600, 650],
    "two descending detectors": [550, 500, 450, 400.5, 650, 600, 530, 480],
}


@pytest.mark.parametrize("order", ORDERS)
def test_quirk_04_any_order_of_wavelengths_is_said_and_trains(order: str, tmp_path: Path) -> None:
    nm = [float(v) for v in ORDERS[order]]
    path = write_tiff(tmp_path / "c.tif", spectra(8, 30, 40), nm=nm)
    expected = {
        "two detectors": {"unsorted", "detector-overlap"},
        "descending": {"descending"},
        "repeated": {"unsorted", "detector-overlap", "duplicate-wavelengths"},
        "two descending detectors": {"descending", "unsorted", "detector-overlap"},
    }[order]
    asked = {"unsorted", "detector-overlap", "descending", "duplicate-wavelengths"}
    assert set(codes(path)) & asked == expected
    messages = " ".join(ok("info", path, "--json").json["scenes"][0]["messages"])
    for code, word in (
        ("unsorted", "not in order"),
        ("descending", "descend"),
        ("duplicate-wavelengths", "more than"),
    ):
        assert (word in messages) == (code in expected)
    report = trains(path, tmp_path, "--ridge", "1e-6", "--smooth", "1e-6", "--constraint", "free")
    (score,) = report["scores"]["train"].values()  # type: ignore[index]
    assert score["r2"] > 0.99
    groups = ok("info", path, "--groups", "equal:4", "--json").json["groups"]
    taken = [[nm[i - 1] for i in g["bands"]] for g in groups]
    assert all(max(a) <= min(b) for a, b in pairwise(taken))


# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("nodata", [-9999, -32768, -99, 65535])
def test_quirk_05_declared_fill_is_missing(nodata: int, tmp_path: Path) -> None:
    cube = spectra(3, dtype="uint16" if nodata > 0 else "int16")
    cube[1, 2, 3] = nodata
    x = values(write_tiff(tmp_path / "c.tif", cube, nodata=nodata)).reshape(cube.shape)
    assert np.isnan(x[1, 2, 3])
    assert np.isnan(x).sum() == 1


def test_quirk_05_fill_differs_between_bands(tmp_path: Path) -> None:
    cube = spectra(2, dtype="int16")
    cube[0, 0, 0], cube[1, 0, 1] = -1, -2
    x = values(write_per_band_nodata(tmp_path / "c.vrt", cube, [-1, -2]))
    assert np.argwhere(np.isnan(x)).tolist() == [[0, 0], [1, 1]]


@pytest.mark.parametrize("few", [0, 3])
def test_quirk_05_bad_bands_of_one_undeclared_value_are_left_out(few: int, tmp_path: Path) -> None:
    cube = spectra(8, 30, 40)
    cube[5] = -0.01
    cube[5].flat[:few] = 0.2
    path = write_tiff(tmp_path / "c.tif", cube, nm=wavelengths(8))
    (dropped,) = trains(path, tmp_path, "--constraint", "nonnegative")["bands_dropped"]  # type: ignore[misc]
    assert dropped["band"] == 6
    assert "-0.01" in dropped["reason"]
    assert "-0.01" in codes(path)["dead-bands"]


def test_quirk_05_nan_is_missing_while_every_mask_says_valid(tmp_path: Path) -> None:
    cube = spectra(3)
    cube[0, 4, 5] = np.nan
    path = write_tiff(tmp_path / "c.tif", cube)
    with rasterio.open(path) as ds:
        assert ds.read_masks().all()
    assert np.isnan(values(path)).sum() == 1
    assert "NaN" in codes(path)["nan-values"]


@pytest.mark.parametrize(
    ("fill", "dtype"), [(-9999, "int16"), (65535, "uint16"), (-3.4028235e38, "float32")]
)
def test_quirk_05_undeclared_fill_needs_a_decision(fill: float, dtype: str, tmp_path: Path) -> None:
    cube = spectra(6, 40, 50, dtype=dtype)
    cube[:, :5, :10] = fill
    path = write_tiff(tmp_path / "c.tif", cube)
    done = cli("check", path, "--json")
    assert done.code == 1
    (found,) = [f for f in done.json["findings"] if f["severity"] == "decision"]
    assert found["code"] == "undeclared-fill"
    assert repr(fill) in found["message"]
    cli("check", path, "--nodata", repr(fill), "--fix", tmp_path / "c.vrt")
    assert "undeclared-fill" not in codes(tmp_path / "c.vrt")
    assert "; 2.5 % of the values" in codes(tmp_path / "c.vrt")["nodata-declared"]
    assert np.isnan(values(tmp_path / "c.vrt")).sum() == 6 * 50


def test_quirk_05_zeros_without_a_declaration_are_said(tmp_path: Path) -> None:
    cube = spectra(6, 40, 50, dtype="uint16")
    cube[0].flat[:200] = 0
    assert "10.0 %" in codes(write_tiff(tmp_path / "one.tif", cube))["zeros"]
    cube[:, :4] = 0
    assert "0 in all bands" in codes(write_tiff(tmp_path / "all.tif", cube))["undeclared-fill"]


def test_quirk_05_a_band_that_is_wholly_nodata_does_not_empty_the_image(tmp_path: Path) -> None:
    cube = spectra(8, 30, 40)
    cube[6] = -9999
    path = write_tiff(tmp_path / "c.tif", cube, nodata=-9999, nm=wavelengths(8))
    report = trains(path, tmp_path, "--constraint", "nonnegative")
    assert report["pixels"]["used"] == 1200  # type: ignore[index]
    assert np.isfinite(read(tmp_path / "run" / "fused.tif")).all()


def test_quirk_05_small_negatives_are_valid(tmp_path: Path) -> None:
    cube = spectra(4, 30, 40)
    cube[3] -= cube[3].mean() - 0.03
    below = int((cube < 0).sum())
    path = write_tiff(tmp_path / "c.tif", cube)
    assert below > 10
    assert np.isfinite(values(path)).all()
    assert f"{below} of the values" in codes(path)["negative-values"]
    assert "undeclared-fill" not in codes(path)


def test_quirk_05_values_are_negative_with_their_offset(tmp_path: Path) -> None:
    """As in Rrs of PACE OCI, whose offset makes positive what is stored below zero."""
    cube = spectra(4, 30, 40)
    stored = np.rint((cube - 0.3) / 1e-4).astype("int16")
    for offset in (0.5, 0.3 - float(np.quantile(cube, 0.1))):
        below = int((stored * 1e-4 + offset < 0).sum())
        path = write_tiff(tmp_path / "c.tif", stored, scales=[1e-4] * 4, offsets=[offset] * 4)
        found = codes(path).get("negative-values", "")
        assert found.startswith(f"{below} of the values") == (below > 0), found
        assert (stored < 0).sum() != below
    assert below > 10


# --------------------------------------------------------------------------------------------------


def test_quirk_06_nodata_is_compared_before_the_scale(tmp_path: Path) -> None:
    cube = spectra(2, dtype="int16")
    cube[0, 0, 0] = -32768
    path = write_tiff(
        tmp_path / "c.tif", cube, nodata=-32768, scales=[1e-4] * 2, offsets=[0.0, 0.5]
    )
    x = values(path).reshape(cube.shape)
    assert np.isnan(x[0, 0, 0])
    assert np.isnan(x).sum() == 1
    np.testing.assert_allclose(x[1], cube[1] * 1e-4 + 0.5)
    assert "scale-undeclared" not in codes(path)


@pytest.mark.parametrize(
    ("factor", "dtype", "said"),
    [(1e4, "int16", True), (1, "float32", False), (12, "float32", False), (6e4, "uint16", True)],
)
def test_quirk_06_values_without_a_scale_are_taken_as_they_are(
    factor: float, dtype: str, said: bool, tmp_path: Path
) -> None:
    cube = (spectra(3) * factor).clip(0, 32000 if dtype == "int16" else 65000).astype(dtype)
    path = write_tiff(tmp_path / "c.tif", cube)
    np.testing.assert_array_equal(values(path), cube.reshape(3, -1))
    assert ("scale-undeclared" in codes(path)) == said


# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("crs", "transform"), [(None, None), (UTM, NORTH_UP), (UTM, ROTATED)])
def test_quirk_07_any_place_is_kept(
    crs: str | None, transform: rasterio.Affine | None, tmp_path: Path
) -> None:
    path = write_tiff(
        tmp_path / "c.tif", spectra(8, 30, 40), crs=crs, transform=transform, nm=wavelengths(8)
    )
    found = codes(path)
    assert ("no-crs" in found, "no-transform" in found) == (crs is None, transform is None)
    assert ("rotated" in found) == (transform is ROTATED)
    trains(path, tmp_path, "--constraint", "nonnegative")
    seen, like = profile(tmp_path / "run" / "fused.tif"), profile(path)
    assert (seen["crs"], seen["transform"]) == (like["crs"], like["transform"])


def test_quirk_07_the_transform_is_used_and_not_the_text_of_map_info(tmp_path: Path) -> None:
    header = (
        "map info = {UTM, 1, 1, 716737.4, 4322229.1, 14.9, 14.9, 10, North,WGS-84, rotation=71}"
    )
    raster = describe(write_envi(tmp_path / "c.img", spectra(2, 5, 6), header=header))
    np.testing.assert_allclose(
        [raster.transform.a, raster.transform.b],
        [14.9 * np.cos(np.radians(71)), 14.9 * np.sin(np.radians(71))],
    )
    assert "71.0°" in codes(raster.path)["rotated"]


# --------------------------------------------------------------------------------------------------


def test_quirk_13_a_profile_of_rasterio_loses_what_bandfuse_keeps(tmp_path: Path) -> None:
    nm = wavelengths(8)
    path = write_tiff(
        tmp_path / "c.tif",
        spectra(8, 30, 40),
        nm=nm,
        fwhm=[9.5] * 8,
        bad=[8],
        names=[f"n{i}" for i in range(8)],
    )
    with (
        rasterio.open(path) as src,
        rasterio.open(tmp_path / "plain.tif", "w", **src.profile) as dst,
    ):
        dst.write(src.read())
    assert np.isnan(describe(tmp_path / "plain.tif").bands.wavelength_nm).all()
    run, back_to = tmp_path / "run", tmp_path / "back.tif"
    ok("train", path, "--groups", "equal:3", "--steps", 5, "--folds", 0, "--no-report", "-o", run)
    ok("apply", run / "weights.safetensors", run / "fused.tif", "--inverse", "-o", back_to)
    back, like = describe(back_to).bands, describe(path).bands
    assert back.name == like.name
    np.testing.assert_array_equal(back.wavelength_nm, like.wavelength_nm)
    np.testing.assert_array_equal(back.fwhm_nm, like.fwhm_nm)
    np.testing.assert_array_equal(back.good, like.good)


def test_quirk_13_an_interleave_that_envi_does_not_know_is_refused(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "c.tif", spectra(8, 30, 40))
    ok(
        "train",
        path,
        "--groups",
        "equal:2",
        "--steps",
        5,
        "--folds",
        0,
        "--no-report",
        "-o",
        tmp_path / "run",
    )
    weights = tmp_path / "run" / "weights.safetensors"
    how = ("apply", weights, path, "-o", tmp_path / "a.img", "--driver", "ENVI", "--co")
    done = cli(*how, "INTERLEAVE=pixel")
    assert done.code == 2
    assert "INTERLEAVE" in done.err
    assert not list(tmp_path.glob("a.*"))
    ok(*how, "INTERLEAVE=BIL")
    assert "interleave = bil" in (tmp_path / "a.hdr").read_text()
    same_bits(read(tmp_path / "a.img"), read(tmp_path / "run" / "fused.tif"))


# --------------------------------------------------------------------------------------------------


def test_quirk_14_many_compressed_bands_are_read_by_several_threads_without_a_word(
    tmp_path: Path,
) -> None:
    cube = spectra(230, 40, 50, dtype="int16")
    path = write_tiff(
        tmp_path / "c.tif", cube, nm=wavelengths(230), compress="deflate", interleave="pixel"
    )
    target = write_tiff(tmp_path / "t.tif", cube[100:101])
    line = [
        sys.executable,
        "-m",
        "bandfuse",
        "train",
        path,
        "--target",
        target,
        "--threads",
        "4",
        "--no-report",
        "--constraint",
        "free",
        "--ridge",
        "1e-3",
        "--folds",
        "0",
        "-o",
        str(tmp_path / "run"),
    ]
    done = subprocess.run(line, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "ExtraSamples" not in done.stderr
    np.testing.assert_array_equal(values(path), cube.reshape(230, -1))


@pytest.mark.skipif(shutil.which("gdalinfo") is None, reason="GDAL's programs are not installed")
def test_quirk_14_gdal_reads_a_written_cube_of_many_bands(tmp_path: Path) -> None:
    like = describe(write_tiff(tmp_path / "c.tif", spectra(230, 20, 30), nm=wavelengths(230)))
    write_array(tmp_path / "back.tif", spectra(230, 20, 30), like, like.bands, Encoding())
    seen = gdalinfo(tmp_path / "back.tif")
    assert seen is not None
    assert [float(b["metadata"][""]["wavelength"]) for b in seen["bands"]] == wavelengths(230)


def test_quirk_02_widths_beyond_the_wavelength_are_kept_in_nm(tmp_path: Path) -> None:
    """A fused band of weights at both ends of the spectrum is wider than its centre is long."""
    nm, fwhm = [903.9, 2068.9], [1036.7, 1268.9]
    path = write_tiff(tmp_path / "c.tif", spectra(2, 30, 40), nm=nm, fwhm=fwhm)
    np.testing.assert_allclose(describe(path).bands.fwhm_nm, fwhm)
    assert "units-contradict" not in codes(path)
    in_um = {"nm": [x / 1000 for x in nm], "units": "Micrometers"}
    for number in ([9.0, 11.0], [90.0, 110.0]):
        path = write_tiff(tmp_path / "d.tif", spectra(2, 30, 40), fwhm=number, **in_um)
        np.testing.assert_allclose(describe(path).bands.fwhm_nm, number)
        assert "taken as nm from their size" in codes(path)["units-contradict"]
