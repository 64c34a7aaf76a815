"""The door to files: every layout reads alike, what is missing is missing, and what is written says
what it holds."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rasters import (
    INTERLEAVES,
    LAYOUTS,
    NORTH_UP,
    ROTATED,
    UTM,
    envi_list,
    gdalinfo,
    listing,
    profile,
    read,
    spectra,
    subdatasets_only,
    truncated,
    wavelengths,
    write_envi,
    write_per_band_nodata,
    write_tiff,
)

from bandfuse.errors import InputError, MismatchError, OutputError
from bandfuse.files.guards import Contents, check_file, check_folder
from bandfuse.files.whole import whole_files, whole_folder
from bandfuse.raster import (
    Encoding,
    Raster,
    Reader,
    Writer,
    blank,
    describe,
    quicklook,
    same_grid,
    write_array,
)
from bandfuse.raster.drivers import driver_of
from bandfuse.spectral.bands import Bands
from bandfuse.streaming.windows import Window


def values_of(
    path: str, window: Window | None = None, bands: list[int] | None = None
) -> np.ndarray:
    """(B, H, W) float64 as bandfuse reads them."""
    raster = describe(path)
    window = window or Window(0, 0, raster.rows, raster.cols)
    chosen = list(range(len(raster.bands))) if bands is None else bands
    with Reader([(raster, chosen)]) as reader:
        flat = reader.read(window).cell(slice(0, window.rows), slice(0, window.cols)).values()
    return flat.reshape(len(chosen), window.rows, window.cols)


# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["int16", "uint16", "float32"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_geotiff_layouts_hold_identical_values(tmp_path: Path, layout: str, dtype: str) -> None:
    cube = spectra(5, 70, 90, dtype=dtype)
    path = write_tiff(tmp_path / "a.tif", cube, **LAYOUTS[layout])
    np.testing.assert_array_equal(values_of(path), cube.astype(np.float64))


@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("interleave", INTERLEAVES)
def test_envi_layouts_hold_identical_values(
    tmp_path: Path, interleave: str, big_endian: bool
) -> None:
    cube = spectra(5, 17, 23, dtype="int16")
    path = write_envi(tmp_path / "a.img", cube, interleave, skip=13, big_endian=big_endian)
    np.testing.assert_array_equal(values_of(path), cube.astype(np.float64))


def test_a_window_of_chosen_bands_is_that_part_of_the_file(tmp_path: Path) -> None:
    cube = spectra(6, 50, 60)
    path = write_tiff(tmp_path / "a.tif", cube, **LAYOUTS["tiled-pixel"])
    part = values_of(path, Window(7, 11, 20, 30), [1, 4])
    np.testing.assert_array_equal(part, cube[[1, 4], 7:27, 11:41].astype(np.float64))


def test_bands_of_several_sources_come_in_the_order_of_the_choices(tmp_path: Path) -> None:
    first, second = spectra(3, 10, 12, seed=1), spectra(4, 10, 12, seed=2, dtype="int16")
    rasters = [
        describe(write_tiff(tmp_path / f"{i}.tif", c)) for i, c in enumerate((first, second))
    ]
    with Reader([(rasters[0], [2]), (rasters[1], [0, 3])]) as reader:
        flat = reader.read(Window(0, 0, 10, 12)).cell(slice(2, 5), slice(1, 7)).values()
        assert reader.bytes_per_pixel == 4 + 2 * 2
    expected = np.stack([first[2], second[0], second[3]]).astype(np.float64)[:, 2:5, 1:7]
    np.testing.assert_array_equal(flat, expected.reshape(3, -1))


# -------------------------------------------------------------------------------------------------


def test_scale_and_offset_are_applied_and_nodata_is_the_stored_number(tmp_path: Path) -> None:
    cube = spectra(3, 6, 7, dtype="int16")
    cube[0, 0, 0] = -9999
    cube[1, 2, 3] = 0  # 0 · 0.0001 + 0.5 is not the nodata number
    scales, offsets = (1e-4, 1e-3, 1.0), (0.5, 0.0, -7.0)
    path = write_tiff(tmp_path / "a.tif", cube, nodata=-9999, scales=scales, offsets=offsets)
    expected = cube * np.reshape(scales, (3, 1, 1)) + np.reshape(offsets, (3, 1, 1))
    expected[0, 0, 0] = np.nan
    np.testing.assert_allclose(values_of(path), expected, rtol=1e-15)


def test_a_scaled_value_that_equals_the_nodata_number_is_valid(tmp_path: Path) -> None:
    cube = np.array([[[10, 20, 5]]], dtype="int16")
    path = write_tiff(tmp_path / "a.tif", cube, nodata=5, scales=(0.5,))
    np.testing.assert_array_equal(values_of(path)[0, 0], [5.0, 10.0, np.nan])


@pytest.mark.parametrize("nodata", [-9999.0, -3.4028234663852886e38, 1e-30, float("nan"), None])
def test_float_nodata_nan_and_infinity_are_missing(tmp_path: Path, nodata: float | None) -> None:
    cube = spectra(2, 5, 6)
    missing = np.zeros(cube.shape, bool)
    missing[0, 1, 2] = missing[1, 3, 3] = True
    cube[missing] = np.nan if nodata is None else nodata
    path = write_tiff(tmp_path / "a.tif", cube, nodata=nodata)
    np.testing.assert_array_equal(np.isnan(values_of(path)), missing)
    np.testing.assert_array_equal(values_of(path)[~missing], cube[~missing].astype(np.float64))


def test_each_band_has_its_own_nodata(tmp_path: Path) -> None:
    cube = np.array([[[1, 2, 3]], [[1, 2, 3]]], dtype="int16")
    path = write_per_band_nodata(tmp_path / "a.vrt", cube, [2, 3])
    np.testing.assert_array_equal(values_of(path)[:, 0], [[1, np.nan, 3], [1, 2, np.nan]])


def test_bands_of_different_types_are_read_without_loss(tmp_path: Path) -> None:
    a, b = describe(write_tiff(tmp_path / "a.tif", np.full((1, 2, 3), 65535, "uint16"))), None
    b = describe(write_tiff(tmp_path / "b.tif", np.full((1, 2, 3), 0.1, "float32"), nodata=-1))
    with Reader([(a, [0]), (b, [0])]) as reader:
        flat = reader.read(Window(0, 0, 2, 3)).cell(slice(0, 2), slice(0, 3)).values()
    np.testing.assert_array_equal(flat, [[65535.0] * 6, [float(np.float32(0.1))] * 6])


def test_an_internal_mask_hides_every_band(tmp_path: Path) -> None:
    cube = spectra(3, 8, 9)
    mask = np.full((8, 9), 255, np.uint8)
    mask[:3, 4:] = 0
    path = write_tiff(tmp_path / "a.tif", cube, mask=mask)
    np.testing.assert_array_equal(np.isnan(values_of(path)), np.broadcast_to(mask == 0, cube.shape))


def test_an_alpha_band_is_a_mask_and_no_input(tmp_path: Path) -> None:
    cube = spectra(4, 8, 9, dtype="uint16")
    cube[3] = 65535
    cube[3, :2] = 0
    path = write_tiff(tmp_path / "a.tif", cube, photometric="RGB", alpha="YES")
    raster = describe(path)
    assert raster.bands.reason == ("", "", "", "alpha band")
    assert np.isnan(values_of(path)[:3, :2]).all()
    np.testing.assert_array_equal(values_of(path)[:3, 2:], cube[:3, 2:].astype(np.float64))


# --------------------------------------------------------------------------------------------------


def test_a_missing_file_names_the_file_of_a_similar_name(tmp_path: Path) -> None:
    write_tiff(tmp_path / "cube.tif", spectra(2, 4, 4))
    with pytest.raises(InputError, match=r"cubes\.tif does not exist.*Did you mean 'cube\.tif'"):
        describe(tmp_path / "cubes.tif")


def test_text_is_not_a_raster(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_text("not a raster")
    with pytest.raises(InputError, match=r"a\.tif cannot be opened as a raster"):
        describe(tmp_path / "a.tif")


@pytest.mark.parametrize("interleave", INTERLEAVES)
def test_a_short_envi_file_is_truncated(tmp_path: Path, interleave: str) -> None:
    path = write_envi(tmp_path / "a.img", spectra(3, 10, 10), interleave)
    with pytest.raises(InputError, match=r"truncated.*got 1198 bytes; expected 1200 bytes"):
        describe(truncated(path, 1198.5 / 1200))


def test_a_short_geotiff_is_found_out_when_it_is_read(tmp_path: Path) -> None:
    path = truncated(write_tiff(tmp_path / "a.tif", spectra(3, 64, 64), **LAYOUTS["strips-band"]))
    with pytest.raises(InputError, match=r"a\.tif cannot be (read to its end|opened)"):
        values_of(path)


def test_a_container_of_subdatasets_has_no_bands(tmp_path: Path) -> None:
    path = subdatasets_only(tmp_path)
    if path is None:
        pytest.skip("rasterio's GDAL has no netCDF driver")
    with pytest.raises(
        InputError, match=r"container\.nc has no bands.*Band1.*Give one of its subdatasets"
    ):
        describe(path)


def test_complex_numbers_are_refused(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", spectra(1, 4, 4).astype("complex64"))
    with pytest.raises(InputError, match="complex"):
        describe(path)


# --------------------------------------------------------------------------------------------------


def test_wavelengths_in_band_tags(tmp_path: Path) -> None:
    nm, fwhm = wavelengths(4), [9.5, 10.1, 10.25, 1 / 3]
    bands = describe(write_tiff(tmp_path / "a.tif", spectra(4, 4, 4), nm=nm, fwhm=fwhm)).bands
    np.testing.assert_array_equal(bands.wavelength_nm, nm)
    np.testing.assert_array_equal(bands.fwhm_nm, fwhm)


def test_wavelengths_in_micrometres(tmp_path: Path) -> None:
    path = write_tiff(
        tmp_path / "a.tif", spectra(2, 4, 4), nm=[0.45, 2.2], fwhm=[0.01, 0.02], units="Micrometers"
    )
    bands = describe(path).bands
    np.testing.assert_allclose(bands.wavelength_nm, [450, 2200], rtol=1e-15)
    np.testing.assert_allclose(bands.fwhm_nm, [10, 20], rtol=1e-15)


@pytest.mark.parametrize("units", [None, "Unknown", "parsecs"])
def test_unknown_units_are_guessed_from_size_with_a_message(
    tmp_path: Path, units: str | None
) -> None:
    raster = describe(
        write_tiff(tmp_path / "a.tif", spectra(2, 4, 4), nm=[450.0, 2200.0], units=units)
    )
    np.testing.assert_array_equal(raster.bands.wavelength_nm, [450, 2200])
    assert "taken as nm" in " ".join(raster.messages)


def test_wavelengths_in_the_envi_domain_of_a_geotiff(tmp_path: Path) -> None:
    envi = {
        "wavelength": "{0.5, 0.6}",
        "wavelength_units": "Micrometers",
        "bbl": "{1, 0}",
        "fwhm": "{0.01, 0.02}",
    }
    bands = describe(write_tiff(tmp_path / "a.tif", spectra(2, 4, 4), tags={"ENVI": envi})).bands
    np.testing.assert_allclose(bands.wavelength_nm, [500, 600], rtol=1e-15)
    np.testing.assert_allclose(bands.fwhm_nm, [10, 20], rtol=1e-15)
    assert list(bands.good) == [True, False]


@pytest.mark.parametrize("units", ["Nanometers", "Micrometers"])
def test_an_envi_header_gives_names_wavelengths_and_bad_bands(tmp_path: Path, units: str) -> None:
    size = 1.0 if units == "Nanometers" else 1e-3
    header = "\n".join(
        [
            f"wavelength units = {units}",
            envi_list("wavelength", [400.25 * size, 500.5 * size, 600.75 * size]),
            envi_list("fwhm", [10.5 * size, 11.5 * size, 12.5 * size]),
            envi_list("bbl", [1, 0, 1]),
            envi_list("band names", ["blue", "green", "red"]),
            "data ignore value = -9999",
        ]
    )
    cube = spectra(3, 5, 6, dtype="int16")
    cube[1, 2, 2] = -9999
    path = write_envi(tmp_path / "a.img", cube, "bil", header=header)
    raster = describe(path)
    assert raster.bands.name == ("blue", "green", "red")
    np.testing.assert_allclose(raster.bands.wavelength_nm, [400.25, 500.5, 600.75], rtol=1e-12)
    np.testing.assert_allclose(raster.bands.fwhm_nm, [10.5, 11.5, 12.5], rtol=1e-12)
    assert raster.bands.reason == ("", "flagged bad (bbl)", "")
    assert np.argwhere(np.isnan(values_of(path))).tolist() == [[1, 2, 2]]


def test_a_bad_band_flag_in_a_band_tag(tmp_path: Path) -> None:
    bands = describe(write_tiff(tmp_path / "a.tif", spectra(3, 4, 4), bad=[2])).bands
    assert bands.reason == ("", "flagged bad (bbl)", "")


# --------------------------------------------------------------------------------------------------


def test_crs_rotated_transform_and_their_absence(tmp_path: Path) -> None:
    turned = describe(write_tiff(tmp_path / "r.tif", spectra(1, 4, 4), transform=ROTATED))
    bare = describe(write_tiff(tmp_path / "b.tif", spectra(1, 4, 4), crs=None, transform=None))
    assert turned.transform.almost_equals(ROTATED)
    assert turned.crs_text == UTM
    assert bare.crs_text is None
    assert bare.transform.is_identity


def test_grids_that_differ_are_told_apart(tmp_path: Path) -> None:
    def made(name: str, rows: int = 6, **how: Any) -> Raster:
        return describe(write_tiff(tmp_path / name, spectra(1, rows, 7), **how))

    first = made("a.tif")
    same_grid(first, made("same.tif"), "target")
    same_grid(first, made("bare.tif", crs=None, transform=None), "target")
    with pytest.raises(MismatchError, match=r"size\.tif is not on the grid.*5 × 7.*6 × 7"):
        same_grid(first, made("size.tif", rows=5), "target")
    with pytest.raises(MismatchError, match=r"crs\.tif has another CRS.*EPSG:32634.*EPSG:32633"):
        same_grid(first, made("crs.tif", crs="EPSG:32634"), "target")
    with pytest.raises(MismatchError, match=r"moved\.tif lies elsewhere"):
        same_grid(
            first,
            made("moved.tif", transform=NORTH_UP.translation(400_030.0, 5_800_000.0)),
            "target",
        )


# --------------------------------------------------------------------------------------------------

OUTPUTS = Bands.of(
    ["blue", "grün", "swir 2"],
    wavelength_nm=[450 + 1 / 3, 560.1, np.nan],
    fwhm_nm=[20 / 7, 35, np.nan],
)


def written(
    path: Path, like: Raster, encoding: Encoding, values: np.ndarray | None = None, **how: Any
) -> np.ndarray:
    """Write (3, H, W) physical values; gives them."""
    if values is None:
        values = spectra(3, like.rows, like.cols, seed=4).astype(np.float64)
        values[0, 0, 0] = np.nan
    with Writer(path, like, OUTPUTS, encoding, **how) as writer:
        writer(Window(0, 0, *like.shape), encoding(values))
    return values


def test_float_output_read_by_rasterio(tmp_path: Path) -> None:
    like = describe(write_tiff(tmp_path / "like.tif", spectra(1, 30, 40), transform=ROTATED))
    values = written(tmp_path / "out.tif", like, Encoding())
    seen = profile(tmp_path / "out.tif")
    np.testing.assert_array_equal(read(tmp_path / "out.tif"), values.astype(np.float32))
    assert seen["names"] == ["blue", "grün", "swir 2"]
    assert [t.get("wavelength") for t in seen["band_tags"]] == ["450.3333333333333", "560.1", None]
    assert [t.get("fwhm") for t in seen["band_tags"]] == ["2.857142857142857", "35.0", None]
    assert [t.get("wavelength_units") for t in seen["band_tags"]] == [
        "Nanometers",
        "Nanometers",
        None,
    ]
    assert seen["imagery"][0] == {"CENTRAL_WAVELENGTH_UM": "0.450333", "FWHM_UM": "0.002857"}
    assert seen["imagery"][2] == {}
    assert np.isnan(seen["nodata"])
    assert seen["crs"].to_epsg() == 32633
    assert seen["transform"].almost_equals(ROTATED, 1e-9)
    assert (seen["tiled"], seen["compress"], seen["dtype"]) == (True, "deflate", "float32")


def test_float_output_read_by_gdalinfo(tmp_path: Path) -> None:
    like = describe(write_tiff(tmp_path / "like.tif", spectra(1, 30, 40), transform=ROTATED))
    written(tmp_path / "out.tif", like, Encoding())
    seen = gdalinfo(tmp_path / "out.tif")
    if seen is None:
        pytest.skip("gdalinfo is not installed")
    assert seen["size"] == [40, 30]
    assert seen["geoTransform"] == pytest.approx(ROTATED.to_gdal(), abs=1e-9)
    assert 'ID["EPSG",32633]' in seen["coordinateSystem"]["wkt"]
    assert [b["description"] for b in seen["bands"]] == ["blue", "grün", "swir 2"]
    assert [str(b["noDataValue"]).lower() for b in seen["bands"]] == ["nan"] * 3
    assert [b["type"] for b in seen["bands"]] == ["Float32"] * 3
    assert seen["bands"][0]["metadata"][""]["wavelength"] == "450.3333333333333"
    assert seen["bands"][0]["metadata"]["IMAGERY"]["CENTRAL_WAVELENGTH_UM"] == "0.450333"


def test_output_without_crs_has_none(tmp_path: Path) -> None:
    like = describe(write_tiff(tmp_path / "like.tif", spectra(1, 30, 40), crs=None, transform=None))
    written(tmp_path / "out.tif", like, Encoding())
    seen = profile(tmp_path / "out.tif")
    assert seen["crs"] is None
    assert seen["transform"].is_identity


def test_what_is_written_is_what_is_read_back(tmp_path: Path) -> None:
    like = describe(write_tiff(tmp_path / "like.tif", spectra(1, 30, 40)))
    values = written(tmp_path / "out.tif", like, Encoding("float64"))
    bands = describe(tmp_path / "out.tif").bands
    assert bands.name == OUTPUTS.name
    np.testing.assert_array_equal(bands.wavelength_nm, OUTPUTS.wavelength_nm)
    np.testing.assert_array_equal(bands.fwhm_nm, OUTPUTS.fwhm_nm)
    np.testing.assert_array_equal(values_of(str(tmp_path / "out.tif")), values)


@pytest.mark.parametrize(
    ("dtype", "nodata", "low", "high"),
    [
        ("uint8", 255, 0, 254),
        ("int16", -32768, -32767, 32767),
        ("uint16", 65535, 0, 65534),
        ("int32", -2147483648, -2147483647, 2147483647),
    ],
)
def test_integer_encodings_round_clip_and_count(
    tmp_path: Path, dtype: str, nodata: int, low: int, high: int
) -> None:
    encoding = Encoding(dtype, 0.5, 10.0)
    like = describe(write_tiff(tmp_path / "like.tif", spectra(1, 1, 6)))
    physical = np.array([low * 0.5 + 10, high * 0.5 + 10, 1e12, -1e12, np.nan, 42.4])
    values = np.broadcast_to(physical, (3, 1, 6))
    written(tmp_path / "out.tif", like, encoding, values)
    expected = [low, high, high, low, nodata, 65]
    np.testing.assert_array_equal(read(tmp_path / "out.tif"), np.broadcast_to(expected, (3, 1, 6)))
    assert encoding.lost(np.array(values[:, 0])).clipped == 6
    seen = profile(tmp_path / "out.tif")
    assert (seen["nodata"], seen["scales"], seen["offsets"]) == (nodata, (0.5,) * 3, (10.0,) * 3)
    back = values_of(str(tmp_path / "out.tif"))[0, 0]
    np.testing.assert_array_equal(
        back, [low / 2 + 10, high / 2 + 10, high / 2 + 10, low / 2 + 10, np.nan, 42.5]
    )


@pytest.mark.parametrize("driver", ["ENVI", "COG", "HFA"])
def test_other_drivers_hold_the_same_numbers(tmp_path: Path, driver: str) -> None:
    like = describe(write_tiff(tmp_path / "like.tif", spectra(1, 30, 40)))
    values = written(tmp_path / "out.img", like, Encoding(), driver=driver)
    assert describe(tmp_path / "out.img").driver == {"COG": "GTiff"}.get(driver, driver)
    np.testing.assert_array_equal(read(tmp_path / "out.img"), values.astype(np.float32))


def test_an_unknown_driver_or_option_is_an_output_error(tmp_path: Path) -> None:
    like = blank(4, 4)
    with pytest.raises(OutputError, match=r"out\.xyz cannot be created"):
        Writer(tmp_path / "out.xyz", like, OUTPUTS, Encoding(), driver="NoSuchDriver")
    with pytest.raises(OutputError, match=r"out\.tif cannot be created"):
        Writer(tmp_path / "out.tif", like, OUTPUTS, Encoding(), options={"blockxsize": "17"})


@pytest.mark.parametrize("options", [{"compress": "NOSUCH"}, {"compres": "ZSTD"}])
def test_a_creation_option_that_gdal_would_ignore_is_an_output_error(
    tmp_path: Path, options: dict[str, str]
) -> None:
    with pytest.raises(OutputError, match=r"(?i)compres"):
        Writer(tmp_path / "out.tif", blank(4, 4), OUTPUTS, Encoding(), options=options)


def test_write_array_on_a_blank_grid(tmp_path: Path) -> None:
    values = spectra(3, 5, 6)
    write_array(tmp_path / "a.tif", values, blank(5, 6, NORTH_UP[:6], 32633), OUTPUTS, Encoding())
    np.testing.assert_array_equal(read(tmp_path / "a.tif"), values)
    assert profile(tmp_path / "a.tif")["transform"] == NORTH_UP


def test_quicklook_is_thinned_and_physical(tmp_path: Path) -> None:
    cube = np.full((2, 40, 30), 200, "int16")
    cube[:, :4] = -1
    raster = describe(write_tiff(tmp_path / "a.tif", cube, nodata=-1, scales=(0.01, 0.01)))
    picture = quicklook(raster, [1, 0], most=10)
    assert picture.shape == (10, 8, 2)
    assert np.isnan(picture[0]).all()
    np.testing.assert_allclose(picture[1:], 2.0)


# --------------------------------------------------------------------------------------------------


class Halt(BaseException):
    """Something like Ctrl-C."""


@pytest.mark.parametrize("problem", [ValueError, OSError, Halt])
def test_a_file_that_fails_in_the_middle_leaves_nothing(
    tmp_path: Path, problem: type[BaseException]
) -> None:
    def attempt() -> None:
        with whole_files(tmp_path / "out.tif") as scratch:
            scratch.write_bytes(b"half")
            raise problem("in the middle")

    with pytest.raises((problem, OutputError)):
        attempt()
    assert listing(tmp_path) == {}


@pytest.mark.parametrize("problem", [ValueError, OSError, Halt])
def test_a_folder_that_fails_keeps_the_earlier_one(
    tmp_path: Path, problem: type[BaseException]
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "old.txt").write_text("old")
    before = listing(tmp_path)

    def attempt() -> None:
        with whole_folder(run) as scratch:
            (scratch / "new.txt").write_text("new")
            raise problem("in the middle")

    with pytest.raises((problem, OutputError)):
        attempt()
    assert listing(tmp_path) == before


def test_whole_files_bring_their_sidecars(tmp_path: Path) -> None:
    with whole_files(tmp_path / "out.img") as scratch:
        scratch.write_bytes(b"data")
        scratch.with_suffix(".hdr").write_text("header")
        assert list(listing(tmp_path)) == [
            str(scratch.parent.name),
            *[f"{scratch.parent.name}/out.{e}" for e in ("hdr", "img")],
        ]
    assert list(listing(tmp_path)) == ["out.hdr", "out.img"]


def test_a_sidecar_that_belongs_to_another_file_is_not_replaced(tmp_path: Path) -> None:
    """``out.img`` would bring ``out.hdr``: the header of ``out.bsq``."""
    path = write_envi(tmp_path / "out.bsq", spectra(3, 10, 10))
    header = Path(path).with_suffix(".hdr").read_text()

    def attempt() -> None:
        check_file(tmp_path / "out.img", overwrite=False)
        with whole_files(tmp_path / "out.img") as scratch:
            write_envi(scratch, spectra(1, 5, 5))

    with pytest.raises(OutputError, match=r"out\.hdr"):
        attempt()
    assert Path(path).with_suffix(".hdr").read_text() == header


def test_a_whole_folder_replaces_the_earlier_one(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "old.txt").write_text("old")
    with whole_folder(run) as scratch:
        (scratch / "new.txt").write_text("new")
    assert list(listing(tmp_path)) == ["run", "run/new.txt"]
    assert run.stat().st_mode & 0o777 == 0o777 & ~_umask()


def _umask() -> int:
    import os

    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_places_that_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match=r"nowhere does not exist"):
        check_file(tmp_path / "nowhere" / "run", overwrite=True)
    with pytest.raises(OutputError, match=r"file is not a folder"):
        check_file(tmp_path / "file" / "run", overwrite=True)
    with pytest.raises(OutputError, match=r"file exists.*--overwrite"):
        check_file(tmp_path / "file", overwrite=False)
    with pytest.raises(OutputError, match=r"folder is a folder"):
        check_file(tmp_path / "folder", overwrite=True)
    with pytest.raises(OutputError, match=r"folder was not made by bandfuse"):
        check_folder(tmp_path / "folder", Contents("weights.safetensors", ()), overwrite=True)


@pytest.mark.parametrize(
    "name", ["cube.tif", "cube.tif.ovr", "cube.tif.aux.xml", "cube.hdr", "link.tif"]
)
def test_an_output_is_never_an_input_nor_a_part_of_one(tmp_path: Path, name: str) -> None:
    (tmp_path / "cube.tif").write_text("pixels")
    (tmp_path / "link.tif").symlink_to(tmp_path / "cube.tif")
    with pytest.raises(OutputError, match=r"is an input|a part of"):
        check_file(tmp_path / name, overwrite=True, inputs=[tmp_path / "cube.tif"])
    check_file(tmp_path / "cube2.tif", overwrite=True, inputs=[tmp_path / "cube.tif"])
    check_folder(
        tmp_path / "cube", Contents("x", ()), overwrite=True, inputs=[tmp_path / "cube.tif"]
    )


def test_what_is_no_ordinary_file_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputError, match=r"not an ordinary file"):
        check_file(tmp_path / "pipe", overwrite=True)
    with pytest.raises(OutputError, match=r"too long"):
        check_file(tmp_path / ("x" * 300), overwrite=True)


def test_a_header_that_is_read_is_not_replaced(tmp_path: Path) -> None:
    """``e`` exists already, and would bring ``e.hdr``: the header of ``e.img``, which is the
    input."""
    path = Path(write_envi(tmp_path / "e.img", spectra(3, 10, 10)))
    header = path.with_suffix(".hdr").read_text()
    (tmp_path / "e").write_text("an earlier output")
    inputs = [Path(p) for p in describe(path).files]
    assert path.with_suffix(".hdr") in inputs

    def attempt() -> None:
        with whole_files(tmp_path / "e", inputs) as scratch:
            write_envi(scratch, spectra(1, 5, 5))

    with pytest.raises(OutputError, match=r"e\.hdr"):
        attempt()
    assert path.with_suffix(".hdr").read_text() == header
    assert (tmp_path / "e").read_text() == "an earlier output"


def test_a_file_takes_what_gdal_left_beside_the_earlier_one(tmp_path: Path) -> None:
    for name in ("out.tif", "out.tif.ovr", "out.tif.aux.xml", "out.tif.txt"):
        (tmp_path / name).write_text("old")
    with whole_files(tmp_path / "out.tif") as scratch:
        scratch.write_text("new")
    assert set(listing(tmp_path)) == {"out.tif", "out.tif.txt"}


def test_nothing_written_is_no_success(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"was not written"), whole_files(tmp_path / "out.mem"):
        pass


@pytest.mark.parametrize("problem", [OSError, Halt])
def test_an_earlier_folder_is_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problem: type[BaseException]
) -> None:
    """The new folder cannot take its place: nothing has changed."""
    run = tmp_path / "run"
    run.mkdir()
    (run / "old.txt").write_text("old")
    before, rename, calls = listing(tmp_path), os.rename, []

    def fails_second(a: Path, b: Path) -> None:
        calls.append(a)
        if len(calls) == 2:
            raise problem("in the middle")
        rename(a, b)

    monkeypatch.setattr(os, "rename", fails_second)

    def attempt() -> None:
        with whole_folder(run) as scratch:
            (scratch / "new.txt").write_text("new")

    with pytest.raises((problem, OutputError)):
        attempt()
    assert len(calls) == 3
    assert listing(tmp_path) == before


# -------------------------------------------------------------------------------------------------


def extremes_of(path: str, rows: slice) -> tuple[list[float], list[float]] | None:
    raster = describe(path)
    with Reader([(raster, range(len(raster.bands)))]) as reader:
        patch = reader.read(Window(0, 0, raster.rows, raster.cols))
    found = patch.cell(rows, slice(0, raster.cols)).extremes
    return None if found is None else (found[0].tolist(), found[1].tolist())


def test_a_cell_knows_its_extremes_where_nothing_is_missing(tmp_path: Path) -> None:
    """Of the physical values, scaled down or turned around; none where a mask hides a pixel, a
    number is the nodata or is not finite, in the one cell and not in the next."""
    cube = np.arange(24, dtype="int16").reshape(2, 3, 4)
    mask = np.array([[255] * 4, [255, 0, 255, 255], [255] * 4], "uint8")
    masked = write_tiff(
        tmp_path / "m.tif", cube, mask=mask, scales=(0.5, -2.0), offsets=(10.0, 0.0)
    )
    assert extremes_of(masked, slice(0, 1)) == ([10.0, -30.0], [11.5, -24.0])
    assert extremes_of(masked, slice(1, 2)) is None
    plain = write_tiff(tmp_path / "p.tif", cube, nodata=18)
    assert extremes_of(plain, slice(0, 1)) == ([0.0, 12.0], [3.0, 15.0])
    assert extremes_of(plain, slice(1, 2)) is None
    for bad in (np.nan, np.inf, -np.inf):
        floats = cube.astype("float32")
        floats[1, 1, 1] = bad
        path = write_tiff(tmp_path / "f.tif", floats)
        assert extremes_of(path, slice(0, 1)) == ([0.0, 12.0], [3.0, 15.0])
        assert extremes_of(path, slice(1, 2)) is None


def test_bands_of_one_type_keep_it_and_offsets_count_alone(tmp_path: Path) -> None:
    cube = spectra(2, 4, 5, dtype="uint16")
    raster = describe(write_tiff(tmp_path / "a.tif", cube, offsets=(1.0, -2.0)))
    with Reader([(raster, [0, 1])]) as reader:
        (part,) = reader.read(Window(0, 0, 4, 5)).parts
        assert reader.bytes_per_pixel == 4
    assert part.stored.dtype == "uint16"
    np.testing.assert_array_equal(
        values_of(raster.path), cube.astype(float) + np.array([[[1.0]], [[-2.0]]])
    )


def test_an_offset_alone_is_taken_off_before_storing() -> None:
    assert Encoding("float32", 1.0, 1.0)(np.array([[3.0, np.nan]]))[0, 0] == 2.0
    assert Encoding("int16", 1.0, 1.0)(np.array([[3.0]])).tolist() == [[2]]
    assert Encoding("int16", 2.0, 0.0)(np.array([[3.1]])).tolist() == [[2]]


@pytest.mark.parametrize(("bands", "side"), [(1, 512), (40, 320), (300, 128)])
def test_the_tiles_of_a_cog_hold_16_mb_of_all_bands(tmp_path: Path, bands: int, side: int) -> None:
    outputs = Bands.of([f"b{i}" for i in range(bands)])
    with Writer(tmp_path / "a.tif", blank(2, 2), outputs, Encoding(), driver="COG") as writer:
        writer(Window(0, 0, 2, 2), np.zeros((bands, 2, 2), "float32"))
    assert (
        profile(tmp_path / "a.tif")["blockxsize"],
        profile(tmp_path / "a.tif")["blockysize"],
    ) == (side, side)


def test_a_cog_that_gdal_cannot_make_leaves_no_trial(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"a\.tif cannot be created.*JPEG"):
        Writer(
            tmp_path / "a.tif",
            blank(2, 2),
            OUTPUTS,
            Encoding(),
            driver="COG",
            options={"compress": "JPEG"},
        )
    assert [p.name for p in tmp_path.iterdir() if "trial" in p.name or "plain" in p.name] == []


def test_a_folder_with_folders_of_its_own_may_be_replaced(tmp_path: Path) -> None:
    """Folders are no files of anybody; what lies in them, and a link, is."""
    run = tmp_path / "run"
    (run / "parts").mkdir(parents=True)
    for name in ("mark", "parts/a.tif", "parts/a.tif.aux.xml"):
        (run / name).touch()
    contents = Contents("mark", ("parts/*.tif",))
    check_folder(run, contents, overwrite=True)
    (run / "parts" / "deep").mkdir()
    check_folder(run, contents, overwrite=True)
    (run / "parts" / "deep" / "b.tif").touch()
    with pytest.raises(
        OutputError,
        match=r"run also holds parts/deep/b\.tif; got files that bandfuse did not write",
    ):
        check_folder(run, contents, overwrite=True)
    (run / "parts" / "deep" / "b.tif").unlink()
    (run / "link").symlink_to(tmp_path)
    (run / "notes").touch()
    with pytest.raises(OutputError, match="run also holds link and 1 more"):
        check_folder(run, contents, overwrite=True)


def test_one_more_variable_stands_beside_what_was_read(tmp_path: Path) -> None:
    cube = spectra(2, 3, 4, dtype="uint16")
    more = np.arange(12.0).reshape(3, 4)
    more[0, 0] = np.nan
    with Reader([(describe(write_tiff(tmp_path / "a.tif", cube)), [0, 1])]) as reader:
        patch = reader.read(Window(0, 0, 3, 4)).beside(more)
    np.testing.assert_array_equal(
        patch.cell(slice(0, 3), slice(0, 4)).values(),
        np.concatenate([cube, more[None]]).reshape(3, 12),
    )
    assert patch.cell(slice(0, 1), slice(0, 4)).extremes is None
    ends = patch.cell(slice(1, 3), slice(0, 4)).extremes
    assert ends is not None
    assert (ends[0][2], ends[1][2]) == (4.0, 11.0)


def test_the_driver_is_what_is_given_or_what_the_name_says() -> None:
    for name, given, driver in (
        ("out.tif", None, "GTiff"),
        ("OUT.TIFF", None, "GTiff"),
        ("a.zarr", None, "Zarr"),
        ("a.img", "envi", "ENVI"),
        ("a", "cog", "COG"),
        ("a.img", None, "HFA"),
    ):
        assert driver_of(Path(name), given) == driver
    with pytest.raises(
        OutputError, match=r"no driver is known for a\.nothing; got the ending \.nothing"
    ):
        driver_of(Path("a.nothing"), None)
    with pytest.raises(OutputError, match=r"out has no ending.*a name such as out\.tif"):
        driver_of(Path("out"), None)
    with pytest.raises(OutputError, match=r"there is no GDAL driver 'GTif'.*GTiff"):
        driver_of(Path("a.tif"), "GTif")


def test_what_gdal_says_of_a_file_is_passed_on(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_text("not a raster")
    with pytest.raises(
        InputError,
        match=r"cannot be opened as a raster; got .*not recognized as being in a supported",
    ):
        describe(tmp_path / "a.tif")


def test_a_name_that_is_too_long_is_shown_shortened(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"/.*…x{36}\.tif cannot be an output"):
        check_file(tmp_path / f"{'x' * 300}.tif", overwrite=False)


def test_a_raster_of_which_nothing_is_written_is_whole(tmp_path: Path) -> None:
    with Writer(tmp_path / "a.tif", blank(2, 3), OUTPUTS, Encoding()):
        pass
    assert np.isnan(read(tmp_path / "a.tif")).all()
