"""Missing pixels that files tell of in many ways, and that they do not tell of."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp
from rasterio.shutil import copy as gdal_copy
from rasters import cli, ok, read, spectra, wavelengths, write_tiff

import bandfuse
from bandfuse.model.fusion import Fusion
from bandfuse.spectral.bands import Bands

ROWS, COLS = 40, 50
LOST = np.zeros((ROWS, COLS), bool)
LOST[:10, :12] = True
QUICK = ("--no-report", "--no-fused")


def report(run: Path) -> Any:
    """What a run says of itself."""
    return json.loads((run / "report.json").read_text(encoding="utf-8"))


def used(run: Path) -> int:
    return int(report(run)["pixels"]["used"])


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize(("bands", "place"), [(5, 5), (10, 10), (10, 2), (3, 3), (1, 1)])
def test_where_alpha_is_zero_pixels_are_missing(
    dtype: str, bands: int, place: int, tmp_path: Path
) -> None:
    """GDAL makes a mask of an alpha band only as the last of two or four."""
    data = np.clip(spectra(bands, ROWS, COLS, dtype="int16") // 40, 1, 255).astype(dtype)
    alpha = np.where(LOST, 0, np.iinfo(dtype).max).astype(dtype)
    path = write_tiff(
        tmp_path / "a.tif", np.insert(data, place, alpha, axis=0), photometric="minisblack"
    )
    with rasterio.open(path, "r+") as ds:
        ds.colorinterp = [
            *[ColorInterp.gray] * place,
            ColorInterp.alpha,
            *[ColorInterp.undefined] * (bands - place),
        ]
    seen = np.insert(bandfuse.open(path).read(), 0, 0, axis=0)
    assert np.isnan(np.delete(seen, [0, place + 1], axis=0)[:, LOST]).all()
    assert np.isfinite(np.delete(seen, [0, place + 1], axis=0)[:, ~LOST]).all()


def test_a_targets_alpha_band_counts_and_is_told(tmp_path: Path) -> None:
    cube = spectra(6, ROWS, COLS)
    path = write_tiff(tmp_path / "c.tif", cube, nm=wavelengths(6))
    alpha = np.where(LOST, 0, 255)
    target = np.concatenate([np.clip(cube[:5] * 300, 1, 255), alpha[None]]).astype(np.uint8)
    name = write_tiff(tmp_path / "t.tif", target, photometric="minisblack")
    with rasterio.open(name, "r+") as ds:
        ds.colorinterp = [*[ColorInterp.gray] * 5, ColorInterp.alpha]
    said = ok("train", path, "--target", name, "-o", tmp_path / "r", *QUICK)
    assert "t.tif: 1 band left out, alpha band: 6; pixels in which it is 0 are missing" in said.err
    assert used(tmp_path / "r") == ROWS * COLS - LOST.sum()


def band_masks(folder: Path, cube: np.ndarray, *, own: bool) -> Path:
    """A VRT whose bands, or whose dataset, have a mask band."""
    height, width = cube.shape[1:]
    write_tiff(folder / "plain.tif", cube)
    write_tiff(folder / "m.tif", np.where(LOST, 0, 255).astype(np.uint8)[None])

    def source(file: str, band: int) -> str:
        return (
            f'<SimpleSource><SourceFilename relativeToVRT="1">{file}</SourceFilename>'
            f"<SourceBand>{band}</SourceBand></SimpleSource>"
        )

    mask = (
        f'<MaskBand><VRTRasterBand dataType="Byte">{source("m.tif", 1)}</VRTRasterBand></MaskBand>'
    )
    text = f'<VRTDataset rasterXSize="{width}" rasterYSize="{height}">' + ("" if own else mask)
    for b in range(len(cube)):
        inner = mask if own and b == 1 else ""
        text += (
            f'<VRTRasterBand dataType="Float32" band="{b + 1}">{inner}'
            f"{source('plain.tif', b + 1)}</VRTRasterBand>"
        )
    (folder / "v.vrt").write_text(text + "</VRTDataset>")
    return folder / "v.vrt"


@pytest.mark.parametrize("own", [True, False])
def test_mask_bands_of_vrts_count(own: bool, tmp_path: Path) -> None:
    cube = spectra(3, ROWS, COLS)
    seen = bandfuse.open(band_masks(tmp_path, cube, own=own)).read()
    for b in range(3):
        assert (np.isnan(seen[b]) == (LOST if b == 1 or not own else False)).all()


@pytest.mark.one_in(2)
@pytest.mark.parametrize(
    ("dtype", "fill"),
    [("uint64", 2**64 - 1), ("int64", 2**63 - 1), ("int64", 2**53 + 1), ("int64", -(2**63))],
)
def test_nodata_that_float64_cannot_hold(dtype: str, fill: int, tmp_path: Path) -> None:
    cube = spectra(3, ROWS, COLS, dtype="int16").astype(dtype)
    cube[:, LOST] = np.array(fill, dtype)
    cube[0, 20, 20] = np.array(
        fill - 1 if fill > 0 else fill + 1, dtype
    )  # the same in float64, and no nodata
    path = write_tiff(tmp_path / "c.tif", cube)
    gdal_copy(path, tmp_path / "v.vrt", driver="VRT")
    text = (tmp_path / "v.vrt").read_text()
    text = re.sub(r"(<VRTRasterBand [^>]*>)", rf"\1<NoDataValue>{fill}</NoDataValue>", text)
    (tmp_path / "v.vrt").write_text(text)
    with rasterio.open(tmp_path / "v.vrt") as ds:
        expected = ds.read_masks() == 0
    assert expected[:, LOST].all()
    assert expected.sum() == 3 * LOST.sum()
    assert (np.isnan(bandfuse.open(tmp_path / "v.vrt").read()) == expected).all()
    target = write_tiff(tmp_path / "t.tif", spectra(3, ROWS, COLS)[:1])
    ok("train", path, "--target", target, "-o", tmp_path / "r", "--nodata", fill, *QUICK)
    assert used(tmp_path / "r") == ROWS * COLS - LOST.sum()


def test_masked_arrays_are_missing() -> None:
    random = np.random.default_rng(0)
    fusion = Fusion(
        random.random((2, 4)), np.ones(2), np.zeros(2), Bands.of(list("abcd")), Bands.of(["p", "q"])
    )
    plain = random.random((4, 6, 5))
    mask = random.random((4, 6, 5)) < 0.1
    masked = np.ma.masked_array(np.where(mask, -9999.0, plain), mask)
    expected = bandfuse.fuse(fusion, np.where(mask, np.nan, plain))
    fused = bandfuse.fuse(fusion, masked)
    assert np.isnan(expected).any()
    assert (np.ma.getmaskarray(fused) == np.isnan(expected)).all()
    np.testing.assert_array_equal(np.asarray(fused), expected)
    lazy = pytest.importorskip("dask.array").from_array(masked)
    np.testing.assert_array_equal(np.asarray(bandfuse.fuse(fusion, lazy).compute()), expected)
    rows = masked.reshape(4, -1).T
    np.testing.assert_array_equal(fusion(rows), fusion(rows.filled(np.nan)))


def test_the_estimator_sees_masks() -> None:
    estimator = pytest.importorskip("bandfuse.interop.estimator")
    random = np.random.default_rng(0)
    x, mask = random.random((300, 4)), random.random((300, 4)) < 0.1
    y = x @ [1.0, 2.0, -1.0, 0.5]
    made = estimator.BandFuser(constraint="free", ridge=0, smooth=0)
    for kind in (np.float64, np.int64):
        whole = np.rint(x * 1000).astype(kind)
        masked = np.ma.masked_array(np.where(mask, -9999, whole), mask)
        np.testing.assert_allclose(
            made.fit(masked, whole @ [1.0, 2.0, -1.0, 0.5]).coef_, [[1.0, 2.0, -1.0, 0.5]]
        )
        assert np.isnan(made.transform(masked)[mask.any(axis=1)]).all()
    hidden = np.ma.masked_array(np.where(np.arange(300) < 30, -9999.0, y), np.arange(300) < 30)
    np.testing.assert_allclose(made.fit(x, hidden).coef_, [[1.0, 2.0, -1.0, 0.5]])


FILLS: dict[str, np.ndarray] = {
    "-9999": np.full(5, -9999.0),
    "1e+36": np.full(5, 1e36),
    "0": np.zeros(5),
    "-2147483648": np.full(5, -(2.0**31)),
    "-0.9999,-1.9999,-2.9999,-3.9999,-4.9999": -0.9999 - np.arange(5.0),
}


@pytest.mark.one_in(3)
@pytest.mark.parametrize("text", FILLS)
def test_fill_is_told_before_it_is_learned(text: str, tmp_path: Path) -> None:
    dtype = "int32" if text == "-2147483648" else "float32"
    cube = spectra(5, ROWS, COLS, dtype=dtype)
    target = write_tiff(tmp_path / "t.tif", cube[:1].astype(np.float32))
    cube[:, LOST] = FILLS[text][:, None]
    some = write_tiff(tmp_path / "some.tif", cube, nm=wavelengths(5))
    said = ok("train", some, "--target", target, "-o", tmp_path / "a", *QUICK)
    assert f"--nodata {text};" in said.err
    declared = ok("train", some, "--target", target, "-o", tmp_path / "b", "--nodata", text, *QUICK)
    assert "undeclared" not in declared.err
    assert "not declared" not in declared.err
    assert used(tmp_path / "b") == ROWS * COLS - LOST.sum()
    fused = ok("apply", tmp_path / "b" / "weights.safetensors", some, "-o", tmp_path / "f.tif")
    assert f"--nodata {text};" in fused.err
    ok(
        "apply",
        tmp_path / "b" / "weights.safetensors",
        some,
        "-o",
        tmp_path / "g.tif",
        "--nodata",
        text,
    )
    assert (np.isnan(read(tmp_path / "g.tif")[0]) == LOST).all()
    cube[:, 15:] = FILLS[text][:, None, None]
    most = write_tiff(tmp_path / "most.tif", cube, nm=wavelengths(5))
    stopped = cli("train", most, "--target", target, "-o", tmp_path / "c", *QUICK)
    assert stopped.code == 2
    assert f"--nodata {text};" in stopped.err
    assert not (tmp_path / "c").exists()
    ok("train", most, "--target", target, "-o", tmp_path / "d", "--nodata", "none", *QUICK)
    ok("train", most, "--target", target, "-o", tmp_path / "e", "--window", 10, 12, 5, 38, *QUICK)
    assert used(tmp_path / "e") == 5 * 38


def test_resample_tells_of_a_single_value_that_nothing_measures(tmp_path: Path) -> None:
    nm = [405.0 + 10 * i for i in range(60)]
    cube = np.full((60, 20, 20), 0.3) + 0.001 * np.arange(60)[:, None, None]
    cube[:, 6, 6] = -1.23e34
    path = write_tiff(tmp_path / "c.tif", cube, nm=nm)
    said = ok("resample", path, "--sensor", "sentinel-2a", "-o", tmp_path / "s.tif")
    assert "--nodata -1.23e+34" in said.err
    ok(
        "resample",
        path,
        "--sensor",
        "sentinel-2a",
        "-o",
        tmp_path / "n.tif",
        "--nodata",
        "-1.23e34",
    )
    assert np.isnan(read(tmp_path / "n.tif")[:, 6, 6]).all()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1,2", "one for all bands, or 5"),
        ("x", "a number"),
        ("-1", "a whole number from 0 to 65535"),
        ("swir=3", "NAME=V"),
    ],
)
def test_nodata_that_does_not_fit_is_refused(text: str, expected: str, tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "c.tif", spectra(5, dtype="uint16"))
    said = cli(
        "train", path, "--objective", "reconstruction", "-o", tmp_path / "r", "--nodata", text
    )
    assert said.code == 2
    assert expected in said.err


def test_nodata_of_sources_and_target(tmp_path: Path) -> None:
    cube = spectra(4, ROWS, COLS)
    target = cube[:1] + 0
    cube[:2, LOST] = -5
    target[:, 20:22] = -7
    paths = [
        write_tiff(tmp_path / f"{n}.tif", v)
        for n, v in (("a", cube[:2]), ("b", cube[2:]), ("t", target))
    ]
    given = ("--nodata", "a=-5", "--nodata", "b=none", "--nodata", "target=-7")
    ok(
        "train",
        "--source",
        f"a={paths[0]}",
        "--source",
        f"b={paths[1]}",
        "--target",
        paths[2],
        "-o",
        tmp_path / "r",
        *given,
        *QUICK,
    )
    assert used(tmp_path / "r") == ROWS * COLS - LOST.sum() - 2 * COLS
    again = ok("train", "--config", tmp_path / "r" / "config.yaml", "-o", tmp_path / "s", *QUICK)
    assert again.code == 0
    assert used(tmp_path / "s") == used(tmp_path / "r")


@pytest.mark.one_in(2)
@pytest.mark.parametrize("count", [1, 6])
@pytest.mark.parametrize("odd", [np.inf, -np.inf])
def test_infinite_values_end_no_training(odd: float, count: int, tmp_path: Path) -> None:
    cube = spectra(5, 20, 18)
    target = write_tiff(tmp_path / "t.tif", cube[2:3])
    cube[0, 0, :count] = odd
    path = write_tiff(tmp_path / "c.tif", cube, nm=wavelengths(5))
    ok("info", path)
    cli("check", path)
    done = cli("train", path, "--target", target, "-o", tmp_path / "run", *QUICK)
    assert done.code in (0, 2), done.err
    assert "unexpected" not in done.err
