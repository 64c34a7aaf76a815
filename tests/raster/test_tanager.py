"""Tanager: basic and ortho scenes of the published structure, against what h5py finds."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import published_hdf
import pytest
import rasterio
from product_checks import every_command, pixels, read_as_made, refused_in_one_line
from rasterio.crs import CRS
from rasters import ok

from bandfuse.raster import describe, product_in

TITLES = {
    "basic_radiance": "Tanager basic radiance",
    "ortho_radiance": "Tanager ortho radiance",
    "basic_sr": "Tanager basic surface reflectance",
    "ortho_sr": "Tanager ortho surface reflectance",
}


def fields(product: str) -> str:
    return f"HDFEOS/{'GRIDS' if product.startswith('ortho') else 'SWATHS'}/HYP/Data Fields"


@pytest.mark.parametrize("product", TITLES)
def test_a_scene_is_read_as_h5py_finds_it(product: str, tmp_path: Path) -> None:
    made = published_hdf.tanager(tmp_path, product)
    raster = read_as_made(made.path, made)
    assert raster.product == TITLES[product]
    assert made.good.all() == product.endswith("radiance")
    assert set(raster.nodata.tolist()) == {-9999.0}
    assert raster.scale.tolist() == [1.0] * 9
    assert not raster.pieces[0].axes
    assert raster.files == (str(made.path),)
    missing = np.isnan(pixels(raster)).all(axis=0)
    with h5py.File(made.path) as h:
        flagged = h[f"{fields(product)}/nodata_pixels"][:] == 1
    np.testing.assert_array_equal(missing, flagged)
    assert missing[-1, -1], "flagged, but not filled"


@pytest.mark.parametrize("product", ["ortho_radiance", "ortho_sr"])
def test_an_ortho_scene_lies_on_its_map_grid(product: str, tmp_path: Path) -> None:
    raster = describe(published_hdf.tanager(tmp_path, product).path)
    assert raster.transform.to_gdal() == published_hdf.TANAGER_PLACE
    assert raster.crs == CRS.from_epsg(32613)


def test_the_crs_is_that_of_its_code(tmp_path: Path) -> None:
    """GDAL makes a CRS of the zone; the attribute names it."""
    path = published_hdf.tanager(tmp_path).path
    with h5py.File(path, "r+") as h:
        del h["HDFEOS/GRIDS/HYP"].attrs["epsg_code"]
    assert describe(path).crs == CRS.from_epsg(32613)
    with h5py.File(path, "r+") as h:
        h["HDFEOS/GRIDS/HYP"].attrs["epsg_code"] = np.int64(7)
    refused_in_one_line("info", path, says=("epsg_code", "is unknown", "7"))


def test_a_scene_without_its_grid_has_no_place_and_says_so(tmp_path: Path) -> None:
    path = published_hdf.tanager(tmp_path).path
    with h5py.File(path, "r+") as h:
        del h["HDFEOS INFORMATION/StructMetadata.0"]
    raster = describe(path)
    assert (raster.crs, raster.transform.is_identity) == (None, True)
    assert "no place on the ground" in " ".join(raster.messages)


@pytest.mark.parametrize("product", ["basic_radiance", "basic_sr"])
def test_a_basic_scene_has_ground_control_points(product: str, tmp_path: Path) -> None:
    """They are the latitudes and longitudes of centres of pixels, and go with what is fused."""
    made = published_hdf.tanager(tmp_path, product)
    raster = describe(made.path)
    assert (raster.crs, raster.transform.is_identity) == (None, True)
    assert "sensor geometry" in " ".join(raster.messages)
    points = raster.control.points
    assert len(points) == 121
    with h5py.File(made.path) as h:
        place = h["HDFEOS/SWATHS/HYP/Geolocation Fields"]
        lon, lat = place["Longitude"][:], place["Latitude"][:]
    at = [(int(p.row - 0.5), int(p.col - 0.5)) for p in points]
    assert {at[0], at[-1]} == {(0, 0), (59, 43)}
    np.testing.assert_array_equal([(p.x, p.y) for p in points], [(lon[a], lat[a]) for a in at])
    ok("train", made.path, "--groups", "equal:2", "--folds", 0, "--no-report", "-o", tmp_path / "r")
    with rasterio.open(tmp_path / "r" / "fused.tif") as ds:
        gcps, crs = ds.gcps
    assert (len(gcps), crs) == (121, CRS.from_epsg(4326))


def test_the_places_of_a_basic_scene_go_on_across_180_degrees(tmp_path: Path) -> None:
    """Longitudes that change their sign there are told without a break."""
    made = published_hdf.tanager(tmp_path, "basic_sr")
    with h5py.File(made.path, "a") as h:
        lon = h["HDFEOS/SWATHS/HYP/Geolocation Fields/Longitude"]
        whole = lon[:] + 284.2
        assert whole.min() < 180 < whole.max()
        lon[:] = np.where(whole > 180, whole - 360, whole)
    points = describe(made.path).control.points
    at = [(int(p.row - 0.5), int(p.col - 0.5)) for p in points]
    np.testing.assert_allclose([p.x for p in points], [whole[a] for a in at], atol=1e-4)


def test_scale_and_offset_of_the_cube_are_used(tmp_path: Path) -> None:
    made = published_hdf.tanager(tmp_path, scale=1e-4)
    raster = read_as_made(made.path, made)
    assert set(raster.scale.tolist()) == {1e-4}
    assert set(raster.dtypes) == {"int16"}


@pytest.mark.parametrize("product", ["ortho_sr", "basic_radiance"])
def test_every_command_works(
    product: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    made = published_hdf.tanager(tmp_path / "in", product)
    every_command(made.path, made, TITLES[product], tmp_path, capfd, vrt=False)


def test_a_scene_without_its_mask_is_a_raster_that_a_vrt_can_read(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    made = published_hdf.tanager(tmp_path / "in", "ortho_radiance")
    with h5py.File(made.path, "r+") as h:
        del h[f"{fields('ortho')}/nodata_pixels"]
        cube = h[f"{fields('ortho')}/toa_radiance"][:].astype(float)
    whole = replace(made, values=np.where(cube == -9999, np.nan, cube))
    assert describe(made.path).messages == ()
    every_command(made.path, whole, TITLES["ortho_radiance"], tmp_path, capfd, vrt=True)


def test_it_is_found_in_folders_and_under_other_names(tmp_path: Path) -> None:
    path = published_hdf.tanager(tmp_path).path
    for name in (path.name.upper(), "scene.H5"):
        place = tmp_path / name / "order"
        place.mkdir(parents=True)
        shutil.copy(path, place / name)
        for given in (place / name, place, place.parent):
            assert describe(given).product == TITLES["ortho_sr"]


@pytest.mark.parametrize("kind", ["zip", "tar", "gztar"])
def test_an_archive_is_named_and_to_be_unpacked(kind: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    published_hdf.tanager(tmp_path / "in", "basic_sr")
    made = shutil.make_archive(str(tmp_path / "order"), kind, tmp_path / "in")
    refused_in_one_line("info", made, says=("Tanager basic surface reflectance", "Unpack it"))


def test_names_tell_the_product() -> None:
    for name, title in TITLES.items():
        assert product_in([f"20250225_153627_16_4001_{name}.h5"]) == title
        assert product_in([f"x/20250926_092059_95_4001_{name}_hdf5.h5".upper()]) == title
    assert product_in(["20250225_153627_16_4001_ortho_visual.tif"]) == ""


@pytest.mark.parametrize("name", ["wavelengths", "fwhm", "good_wavelengths"])
def test_attributes_of_another_length_are_refused(name: str, tmp_path: Path) -> None:
    path = published_hdf.tanager(tmp_path).path
    with h5py.File(path, "r+") as h:
        attributes = h[f"{fields('ortho')}/surface_reflectance"].attrs
        attributes[name] = attributes[name][:-1]
    refused_in_one_line("info", path, says=(name, "8 numbers", "9, one per band"))


def test_attributes_that_are_missing_are_named(tmp_path: Path) -> None:
    path = published_hdf.tanager(tmp_path).path
    with h5py.File(path, "r+") as h:
        del h[f"{fields('ortho')}/surface_reflectance"].attrs["wavelengths"]
    refused_in_one_line("info", path, says=("lacks the attribute", "wavelengths"))


@pytest.mark.parametrize("name", ["nodata_pixels", "Latitude"])
def test_arrays_of_another_size_are_refused(name: str, tmp_path: Path) -> None:
    path = published_hdf.tanager(tmp_path, "basic_sr").path
    with h5py.File(path, "r+") as h:
        group = h[
            fields("basic") if name == "nodata_pixels" else "HDFEOS/SWATHS/HYP/Geolocation Fields"
        ]
        del group[name]
        group[name] = np.zeros((60, 43), "f4")
    refused_in_one_line("info", path, says=(name, "60 × 43", "60 × 44"))


@pytest.mark.parametrize("widths", [None, 6.5])
@pytest.mark.parametrize("product", TITLES)
def test_the_cube_may_be_the_only_array_of_the_file(
    product: str, widths: float | None, tmp_path: Path
) -> None:
    """Of one array GDAL lists no subdatasets, and shows its lists of numbers band by band, also
    where all are equal."""
    made = published_hdf.tanager(tmp_path, product)
    with h5py.File(made.path, "r+") as h:
        group = h[fields(product)]
        for name in [n for n in group if group[n].ndim == 2]:
            del group[name]
        group.parent.pop("Geolocation Fields", None)
        (cube,) = group.values()
        if widths is not None:
            cube.attrs["fwhm"] = np.full(len(cube), widths, "f4")
        values = cube[:].astype(np.float64)
        fwhm = cube.attrs["fwhm"].astype(np.float64)
    values[values == -9999] = np.nan
    raster = read_as_made(made.path, replace(made, values=values, fwhm=fwhm))
    assert raster.product == TITLES[product]
    assert raster.quality == ()
    assert "beta_cloud_mask" in raster.no_quality
