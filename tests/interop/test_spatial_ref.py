"""DataArrays that say where they lie, as rioxarray and GDAL read it. rioxarray itself reads these
arrays as it does its own of the same files; what it rests on is asserted here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from helpers import fusion_of
from rasterio.crs import CRS
from rasterio.transform import Affine
from rasters import NORTH_UP, spectra, wavelengths, write_tiff

import bandfuse
from bandfuse.interop.spatial_ref import crs_of, transform_of, without_fill

ROTATED = Affine(10, 3, 1000, 2, -9, 5000)
DEGREES = Affine(0.1, 0, 10, 0, -0.1, 50)


def file(folder: Path, **tags: object) -> str:
    x = spectra(6, 70, 30, dtype="int16")
    x[2, 5, 5] = -1
    return write_tiff(folder / "a.tif", x, nm=wavelengths(6), nodata=-1, **tags)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("crs", "transform"),
    [("EPSG:32633", NORTH_UP), ("EPSG:32633", ROTATED), ("EPSG:4326", DEGREES), (None, NORTH_UP)],
)
def test_crs_and_transform_come_back(crs: str | None, transform: Affine, tmp_path: Path) -> None:
    array = bandfuse.open(file(tmp_path, crs=crs, transform=transform)).to_xarray()
    assert array.encoding["grid_mapping"] == "spatial_ref"
    said = array.coords["spatial_ref"]
    assert said.shape == ()
    c, a, b, f, d, e = map(float, said.attrs["GeoTransform"].split())
    assert Affine(a, b, c, d, e, f) == transform
    if crs is not None:
        assert CRS.from_wkt(said.attrs["crs_wkt"]) == CRS.from_string(crs)
        assert said.attrs["spatial_ref"] == said.attrs["crs_wkt"]
        assert CRS.from_user_input(crs_of(array)) == CRS.from_string(crs)
    found = transform_of(array, "y", "x")
    assert found is not None
    np.testing.assert_allclose(found, tuple(transform)[:6], rtol=1e-12, atol=1e-9)
    assert ("x" in array.coords) == (transform != ROTATED)


def test_axes_are_named_as_cf_has_it(tmp_path: Path) -> None:
    metres = bandfuse.open(file(tmp_path, crs="EPSG:32633", transform=NORTH_UP)).to_xarray()
    assert metres.x.attrs["standard_name"] == "projection_x_coordinate"
    assert metres.y.attrs["units"] == "metre"
    degrees = bandfuse.open(file(tmp_path, crs="EPSG:4326", transform=DEGREES)).to_xarray()
    assert degrees.y.attrs["standard_name"] == "latitude"
    assert degrees.x.attrs["units"] == "degrees_east"


def test_a_file_without_a_place_has_none(tmp_path: Path) -> None:
    array = bandfuse.open(file(tmp_path, crs=None, transform=Affine.identity())).to_xarray()
    assert "spatial_ref" not in array.coords
    assert "grid_mapping" not in array.encoding
    assert (crs_of(array), array.attrs) == (None, {})


def test_missing_values_are_nan_and_declared(tmp_path: Path) -> None:
    array = bandfuse.open(file(tmp_path)).to_xarray()
    assert np.isnan(array.encoding["_FillValue"])
    assert np.isnan(array.values[2, 5, 5])
    assert np.isnan(array.values).sum() == 1


@pytest.mark.parametrize("lazily", [True, False])
def test_fusing_keeps_place_and_nodata(lazily: bool, tmp_path: Path) -> None:
    array = bandfuse.open(file(tmp_path)).to_xarray()
    array = array if lazily else array.compute()
    fused = bandfuse.fuse(fusion_of(np.ones((2, 6))), array)
    assert fused.encoding["grid_mapping"] == "spatial_ref"
    assert np.isnan(fused.encoding["_FillValue"])
    assert fused.attrs == {"crs": "EPSG:32633"}
    xr.testing.assert_identical(
        fused.spatial_ref.reset_coords(drop=True), array.spatial_ref.reset_coords(drop=True)
    )
    assert transform_of(fused, "y", "x") == transform_of(array, "y", "x")
    assert np.isnan(fused.values[:, 5, 5]).all()
    assert np.isnan(fused.values).sum() == 2


def test_gdal_reads_the_place_from_a_netcdf_file(tmp_path: Path) -> None:
    image = bandfuse.open(file(tmp_path))
    image.to_xarray().to_netcdf(tmp_path / "x.nc", engine="scipy")
    back = bandfuse.open(f"netcdf:{tmp_path / 'x.nc'}:a")
    assert (back.crs, back.transform) == (image.crs, image.transform)
    np.testing.assert_array_equal(back.read(), image.read())


def test_a_declared_fill_value_is_missing() -> None:
    """As rioxarray gives files that are opened without masking."""
    x = np.ones((6, 3, 4))
    x[1, 2, 3] = -9999.0
    array = xr.DataArray(x, dims=("band", "y", "x"), attrs={"_FillValue": -9999.0})
    assert np.isnan(without_fill(array).values).sum() == 1
    fused = bandfuse.fuse(fusion_of(np.ones((1, 6))), array)
    assert np.isnan(fused.values).sum() == 1
    assert np.isnan(fused.values[0, 2, 3])
    assert fused.attrs == {}


def test_coordinates_that_are_not_even_tell_no_transform() -> None:
    x = [0.0, 1.0, 2.5]
    array = xr.DataArray(np.ones((2, 3)), dims=("y", "x"), coords={"x": x, "y": [0.0, 1.0]})
    assert transform_of(array, "y", "x") is None
    even = array.assign_coords(x=[0.0, 1.0, 2.0])
    assert transform_of(even, "y", "x") == (1.0, 0.0, -0.5, 0.0, 1.0, -0.5)


def test_a_part_of_an_array_lies_where_its_coordinates_say(tmp_path: Path) -> None:
    """Selecting pixels leaves the GeoTransform of the whole behind."""
    part = bandfuse.open(file(tmp_path)).to_xarray()[:, 10:, 5:]
    found = transform_of(part, "y", "x")
    assert found == pytest.approx(tuple(NORTH_UP @ Affine.translation(5, 10))[:6])
