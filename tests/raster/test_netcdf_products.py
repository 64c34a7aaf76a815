"""PACE OCI and AVIRIS-3, -5 in netCDF: every number against what netCDF4 and h5py find in the file,
every command, every layout in which the files are kept; and what is not read is named in one
line."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import h5py
import netCDF4
import numpy as np
import published_netcdf as published
import pytest
import rasterio
from makers import weights_file
from product_checks import refused_in_one_line
from published import Made
from rasterio.crs import CRS
from rasterio.transform import Affine, GCPTransformer
from rasters import listing, ok, read

from bandfuse.model.weightsfile import load
from bandfuse.raster import Raster, Reader, describe, product_in, quicklook
from bandfuse.streaming.windows import Window


@dataclass(frozen=True)
class Case:
    """A product: its maker, what it is called, the axes of its cube, and where it is put."""

    make: Callable[[Path], Made]
    product: str
    axes: tuple[str, ...] = ("",)
    place: str = "sensor"


CASES = {
    "oci-l1b": Case(published.pace_l1b, "PACE OCI L1B", ("", "", "")),
    "oci-l1b-radiance": Case(
        partial(published.pace_l1b, sensed="Lt"), "PACE OCI L1B", ("", "", "")
    ),
    "oci-aop": Case(published.pace_l2, "PACE OCI L2", ("rcb",)),
    "oci-sfrefl": Case(partial(published.pace_l2, cube="rhos"), "PACE OCI L2", ("rcb",)),
    "av3-l2a": Case(published.aviris_l2a, "AVIRIS-3 L2A", place="map"),
    "av5-l2a": Case(partial(published.aviris_l2a, number=5), "AVIRIS-5 L2A", place="map"),
    "av3-l1b": Case(partial(published.aviris_l1b, number=3), "AVIRIS-3 L1B", place="table"),
    "av5-l1b": Case(published.aviris_l1b, "AVIRIS-5 L1B", place="table"),
    "av5-l1b-unplaced": Case(partial(published.aviris_l1b, table=False), "AVIRIS-5 L1B"),
}


def pixels(
    raster: Raster, window: Window | None = None, order: list[int] | None = None
) -> np.ndarray:
    """(n, rows, cols) as bandfuse reads them."""
    w = window or Window(0, 0, *raster.shape)
    positions = range(len(raster.bands)) if order is None else order
    with Reader([(raster, positions)]) as reader:
        values = reader.read(w).cell(slice(0, w.rows), slice(0, w.cols)).values()
        return values.reshape(-1, w.rows, w.cols).copy()


@pytest.mark.parametrize("name", CASES)
def test_all_that_the_file_says_is_read(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Wavelengths, widths, fill, scale and axes; in whole, in an odd window with bands in another
    order, and in few pixels."""
    case = CASES[name]
    made = case.make(tmp_path)
    before = listing(tmp_path)
    (scene,) = ok("info", made.path, "--json").json["scenes"]
    assert scene["driver"] == f"{case.product} (HDF5Image)"
    raster = describe(made.path)
    assert raster.product == case.product
    assert tuple(piece.axes for piece in raster.pieces) == case.axes
    np.testing.assert_array_equal(raster.bands.wavelength_nm, made.nm)
    np.testing.assert_array_equal(raster.bands.fwhm_nm, made.fwhm)
    found = pixels(raster)
    assert np.isnan(made.values).any()
    np.testing.assert_allclose(found, made.values, rtol=1e-6, atol=1e-9)
    order = [len(made.nm) - 1, 0, 3, 2]
    np.testing.assert_array_equal(
        pixels(raster, Window(5, 3, 21, 17), order), found[order, 5:26, 3:20]
    )
    thin = quicklook(raster, [1, 4], most=12)
    step = -(-max(raster.shape) // 12)
    assert thin.shape == (-(-raster.rows // step), -(-raster.cols // step), 2)
    assert np.nanmin(found[[1, 4]]) <= np.nanmin(thin) < np.nanmax(thin) <= np.nanmax(found[[1, 4]])
    assert listing(tmp_path) == before
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("name", ["oci-aop", "oci-l1b", "av3-l2a"])
def test_fill_scale_and_offset_are_those_of_the_array(name: str, tmp_path: Path) -> None:
    """As h5py reads the attributes, in their own types."""
    made = CASES[name].make(tmp_path)
    array = {
        "oci-aop": "geophysical_data/Rrs",
        "oci-l1b": "observation_data/rhot_red",
        "av3-l2a": "reflectance/reflectance",
    }[name]
    raster = describe(made.path)
    with h5py.File(made.path) as file:
        told = dict(file[array].attrs)
        kind = file[array].dtype
    assert set(raster.nodata) == {float(told["_FillValue"][0])}
    assert set(raster.dtypes) == {str(kind)}
    scale, offset = (
        float(np.ravel(told.get(key, plain))[0])
        for key, plain in (("scale_factor", 1.0), ("add_offset", 0.0))
    )
    np.testing.assert_allclose(raster.scale, scale, rtol=1e-7)
    np.testing.assert_allclose(raster.offset, offset, rtol=1e-7)
    assert (name == "oci-aop") == (raster.scale[0] != 1)


def test_each_detector_of_oci_is_in_rising_order_and_keeps_its_numbers(tmp_path: Path) -> None:
    """SWIR has two bands of two gains near 1250 and 1617 nm; blue and red overlap."""
    made = published.pace_l1b(tmp_path)
    bands = describe(made.path).bands
    detectors = [name.split(" ")[0] for name in bands.name]
    assert list(dict.fromkeys(detectors)) == ["blue", "red", "SWIR"]
    for detector in published.WAVES:
        ours = bands.wavelength_nm[[d == detector for d in detectors]]
        assert (np.diff(ours) > 0).all()
    at = bands.name.index("SWIR 4")
    with netCDF4.Dataset(made.path) as ds:
        assert bands.wavelength_nm[at] == ds["sensor_band_parameters/SWIR_wavelength"][3]
        assert bands.fwhm_nm[at] == ds["sensor_band_parameters/SWIR_bandpass"][3]
        stored = np.ma.filled(ds["observation_data/rhot_SWIR"][3].astype(np.float64), np.nan)
    np.testing.assert_array_equal(pixels(describe(made.path), order=[at])[0], stored)
    found = {f["code"] for f in ok("check", made.path, "--json").json["findings"]}
    assert "detector-overlap" in found


@pytest.mark.one_in(3)
@pytest.mark.parametrize("name", CASES)
def test_every_command_works_on_it(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The weights that are learned, times the cube that netCDF4 finds, are what is written, at the
    place that the file tells; a VRT is that, or it is refused in one line."""
    (tmp_path / "in").mkdir()
    case = CASES[name]
    made = case.make(tmp_path / "in")
    before = listing(tmp_path / "in")
    run, again = tmp_path / "run", tmp_path / "again.tif"
    ok("check", made.path)
    ok("train", made.path, "--groups", "equal:2", "--folds", 0, "--no-report", "-o", run)
    ok("apply", run / "weights.safetensors", made.path, "-o", again, "--threads", 2)
    weights = load(run / "weights.safetensors").common.matrix
    expected = fused(weights, made.values)
    if case.place == "table":
        expected = on_map(expected, made)
    for written in (run / "fused.tif", again):
        np.testing.assert_allclose(read(written), expected, rtol=1e-4, atol=1e-6)
        with rasterio.open(written) as ds:
            placed = case.place != "sensor"
            assert ds.crs == (CRS.from_epsg(32611) if placed else None)
            there = Affine.from_gdal(*published.PLACE) if placed else Affine.identity()
            assert ds.transform == there
    vrt = ["export", run / "weights.safetensors", "--to", "vrt", "--scene", made.path]
    if case.place == "map" or (case.place == "sensor" and len(case.axes) == 1):
        ok(*vrt, "-o", tmp_path / "f.vrt")
        np.testing.assert_allclose(read(tmp_path / "f.vrt"), expected, rtol=1e-4, atol=1e-6)
    else:
        refused_in_one_line(
            *vrt, "-o", tmp_path / "f.vrt", says=(case.product, "Use bandfuse apply")
        )
    assert listing(tmp_path / "in") == before
    assert capfd.readouterr().err == ""


def fused(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(K, H, W) weighted sums; NaN where a band that has a weight is missing."""
    used = np.abs(weights).sum(axis=0) > 0
    out = np.einsum("kb,bhw->khw", weights[:, used], np.nan_to_num(values[used]))
    out[:, np.isnan(values[used]).any(axis=0)] = np.nan
    return out


def on_map(image: np.ndarray, made: Made) -> np.ndarray:
    """By the table without its signs."""
    col, row = made.extra["glt_x"], made.extra["glt_y"]
    there = (col > 0) & (row > 0)
    return np.where(there, image[:, np.maximum(row, 1) - 1, np.maximum(col, 1) - 1], np.nan)


def test_rows_that_run_north_are_placed_by_their_centres(tmp_path: Path) -> None:
    """GDAL writes files so, with a GeoTransform that runs south."""
    made = published.aviris_l2a(tmp_path, lost="north up")
    raster = describe(made.path)
    with netCDF4.Dataset(made.path) as ds:
        first, last = ((float(ds["easting"][i]), float(ds["northing"][i])) for i in (0, -1))
    assert first[1] < last[1]
    assert raster.transform @ (0.5, 0.5) == pytest.approx(first)
    assert raster.transform @ (raster.cols - 0.5, raster.rows - 0.5) == pytest.approx(last)
    np.testing.assert_allclose(pixels(raster), made.values, rtol=1e-7)


@pytest.mark.parametrize("east", [-120.0, 180.0])
def test_what_is_written_of_oci_lies_where_its_pixels_are(east: float, tmp_path: Path) -> None:
    """Its control points are the places of these pixels, to the last digit; splines through them
    lead from every pixel to its place, to a fifth of a pixel. Also where the date changes."""
    made = published.pace_l1b(tmp_path, rows=90, cols=70, east=east)
    weights = weights_file(tmp_path / "w.safetensors", 20)
    ok("apply", weights, made.path, "-o", tmp_path / "f.tif")
    with netCDF4.Dataset(made.path) as ds:
        lat, lon = (
            np.ma.filled(ds[f"geolocation_data/{n}"][:].astype(np.float64), np.nan)
            for n in ("latitude", "longitude")
        )
    lon = np.where(lon < 0, lon + 360, lon) if east == 180 else lon
    with rasterio.open(tmp_path / "f.tif") as ds:
        points, crs = ds.gcps
    assert crs == CRS.from_epsg(4326)
    assert len(points) == 255
    for point in points:
        row, col = int(point.row), int(point.col)
        assert (point.row, point.col) == (row + 0.5, col + 0.5)
        assert (point.y, point.x) == (lat[row, col], lon[row, col])
    rows, cols = (axis.ravel() for axis in np.mgrid[:90, :70])
    with GCPTransformer(points, tps=True) as transformer:
        x, y = transformer.xy(rows, cols)
    there = np.isfinite(lat.ravel())
    assert np.abs(np.subtract(y, lat.ravel()))[there].max() < 0.0024
    assert np.abs(np.subtract(x, lon.ravel()))[there].max() < 0.0028


def test_around_a_pole_no_control_points_are_kept(tmp_path: Path) -> None:
    """Longitudes have a break there."""
    made = published.pace_l1b(tmp_path)
    with h5py.File(made.path, "r+") as file:
        shape = file["geolocation_data/longitude"].shape
        file["geolocation_data/longitude"][:] = np.linspace(-180, 180, shape[1])
    raster = describe(made.path)
    assert not raster.control
    assert "its place stays in the file's geolocation_data" in raster.messages[0]


def test_negative_numbers_of_a_table_are_pixels_too(tmp_path: Path) -> None:
    """They mark pixels that are taken from beside."""
    made = published.aviris_l1b(tmp_path)
    with h5py.File(made.path) as file:
        sample = file["geolocation_lookup_table/sample"][:]
    taken = (sample < 0) & (sample > -9999)
    assert taken.sum() > 50
    weights = weights_file(tmp_path / "w.safetensors", 9)
    ok("apply", weights, made.path, "-o", tmp_path / "f.tif")
    found = read(tmp_path / "f.tif")[0]
    expected = on_map(fused(load(weights).common.matrix, made.values), made)[0]
    assert np.isfinite(found[taken]).sum() > 50
    np.testing.assert_allclose(found[taken], expected[taken], rtol=1e-4)
    assert np.isnan(found[sample == 0]).all()
    assert np.isnan(found[sample == -9999]).all()


def test_a_fixed_vrt_of_an_array_has_its_place(tmp_path: Path) -> None:
    """GDAL's HDF5 driver does not find it."""
    made = published.aviris_l2a(tmp_path)
    vrt = tmp_path / "fixed.vrt"
    ok("check", made.path, "--fix", vrt)
    with rasterio.open(vrt) as ds:
        assert ds.crs == CRS.from_epsg(32611)
        assert ds.transform == Affine.from_gdal(*published.PLACE)
        np.testing.assert_allclose(
            np.where(ds.read() == -9999, np.nan, ds.read()), made.values, rtol=1e-7
        )


@pytest.mark.parametrize("lost", ["GeoTransform", "centres"])
def test_the_place_comes_from_what_the_map_says_or_from_its_centres(
    lost: str, tmp_path: Path
) -> None:
    raster = describe(published.aviris_l2a(tmp_path, lost=lost).path)
    assert raster.transform == Affine.from_gdal(*published.PLACE)
    assert raster.crs == CRS.from_epsg(32611)


def test_nothing_but_its_own_lines_is_printed(tmp_path: Path) -> None:
    """In a process of its own, whose libraries may write to stderr themselves."""
    made = [case.make(tmp_path).path for case in CASES.values()]
    made.append(published.aviris_l2a(tmp_path, number=5, lost="centres").path)
    command = [sys.executable, "-m", "bandfuse", "info", *map(str, dict.fromkeys(made))]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    lines = done.stderr.splitlines()
    assert lines
    names = {path.name for path in made}
    assert [line for line in lines if line.split(": ")[0] not in names] == []
    assert not [line for line in lines if "GDAL warns" in line or "HDF5" in line], lines


# ---------------------------------------------------------------------------------------- layouts


def upper(path: Path) -> Path:
    return path.rename(path.with_name(path.name.upper()))


def lower(path: Path) -> Path:
    return path.rename(path.with_name(path.name.lower()))


def one_up(path: Path) -> Path:
    """The folder of an order, above that of the file."""
    inner = path.parent / "order" / "scene"
    inner.mkdir(parents=True)
    shutil.move(path, inner / path.name)
    return inner.parent


LAYOUTS = {
    "upper": upper,
    "lower": lower,
    "folder": lambda path: one_up(path) / "scene",
    "one up": one_up,
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["oci-l1b", "oci-aop", "av3-l2a", "av5-l1b"])
def test_it_is_read_in_the_layouts_in_which_it_is_kept(
    name: str, layout: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    case = CASES[name]
    made = case.make(tmp_path)
    given = LAYOUTS[layout](made.path)
    raster = describe(given)
    assert raster.product == case.product
    np.testing.assert_allclose(pixels(raster), made.values, rtol=1e-6, atol=1e-9)
    (scene,) = ok("info", given, "--json").json["scenes"]
    assert scene["driver"].startswith(case.product)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("kind", ["zip", "tar", "gztar"])
@pytest.mark.parametrize("name", ["oci-l1b", "av3-l2a"])
def test_in_an_archive_it_is_named(name: str, kind: str, tmp_path: Path) -> None:
    case = CASES[name]
    inside = case.make(tmp_path).path
    held = tmp_path / "held"
    held.mkdir()
    shutil.move(inside, held / inside.name)
    archive = shutil.make_archive(str(tmp_path / "a"), kind, held)
    refused_in_one_line("info", archive, says=(case.product, "Unpack"))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("PACE_OCI.20240601T163009.L1B.V3.nc", "PACE OCI L1B"),
        ("pace_oci.20240601t163009.l1b.nc", "PACE OCI L1B"),
        ("PACE_OCI.20240601T163009.L2.OC_AOP.V3_0.NRT.nc", "PACE OCI L2"),
        ("PACE_OCI.20240601_20240630.L3m.MO.RRS.V3_0.Rrs.4km.nc", "PACE OCI L3M"),
        ("PACE_OCI_SIM.20190321T011500.L1B.V5.nc", "PACE OCI L1B"),
        ("AV320230716t204543_000_L2A_OE_f576f24d_RFL_ORT.nc", "AVIRIS-3 L2A"),
        ("AV320230927t190252_001_L1B_RDN_V01.nc", "AVIRIS-3 L1B"),
        ("AV320230716T204543_L1B_RDN_001_V01.NC", "AVIRIS-3 L1B"),
        ("AV520250508t173511_000_L1B_ORT_5b9e1cc2_OBS.nc", "AVIRIS-5 L1B"),
        ("ang20220224t210144_003_L2A_OE_0b4f48b4_RFL_ORT.nc", "AVIRIS-NG L2A"),
        ("ang20190624t230039_rdn_v2u1_img", ""),
        ("PACE_HARP2.20240601T163009.L1B.V3.nc", ""),
    ],
)
def test_names_tell_the_product_and_its_level(name: str, told: str) -> None:
    assert product_in([f"order/{name}"]) == told


# ----------------------------------------------------------------------------------- what is told


def test_what_is_said_of_the_place(tmp_path: Path) -> None:
    said = {name: " ".join(describe(CASES[name].make(tmp_path).path).messages) for name in CASES}
    assert "255 of its pixels, from geolocation_data, are kept" in said["oci-l1b"]
    assert "255 of its pixels, from navigation_data, are kept" in said["oci-aop"]
    assert said["av3-l2a"] == ""
    assert "lookup table, 42 × 42 pixels" in said["av5-l1b"]
    assert "neither a map grid nor a lookup table" in said["av5-l1b-unplaced"]


def test_a_file_without_its_name_is_known_by_what_it_says(tmp_path: Path) -> None:
    made = published.aviris_l2a(tmp_path, title="AVIRIS-3 L2A Surface Reflectance")
    assert describe(made.path.rename(tmp_path / "a.nc")).product == "AVIRIS-3 L2A"
    made = published.aviris_l2a(tmp_path)
    assert describe(made.path.rename(tmp_path / "b.nc")).product == "AVIRIS L2A"
    made = published.pace_l2(tmp_path)
    assert describe(made.path.rename(tmp_path / "c.nc")).product == "PACE OCI L2"


def refused(path: Path, *says: str) -> None:
    """By every command, and nothing is written."""
    before = listing(path.parent)
    weights = weights_file(path.parent.parent / "w.safetensors", 3)
    out = path.parent.parent / "out"
    for command in (
        ["info", path],
        ["check", path],
        ["train", path, "--groups", "equal:2", "-o", out],
        ["apply", weights, path, "-o", out.with_suffix(".tif")],
        ["export", weights, "--to", "vrt", "--scene", path, "-o", out.with_suffix(".vrt")],
    ):
        refused_in_one_line(*command, says=says)
    assert listing(path.parent) == before
    assert sorted(p.name for p in path.parent.parent.iterdir()) == ["in", "w.safetensors"]


def test_other_products_of_oci_are_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").mkdir()
    made = published.pace_l2(tmp_path / "in", cube="chlor_a")
    refused(made.path, "PACE OCI L2 with chlor_a", "L1B, L2 AOP (Rrs) or L2 SFREFL (rhos)")
    made.path.unlink()
    made = published.pace_l3m(tmp_path / "in")
    array = f'NETCDF:"{made.path}":Rrs'
    refused(made.path, "PACE OCI L3 Mapped", f"Its map is read as {array}")
    np.testing.assert_array_equal(pixels(describe(array)), made.values)
    assert capfd.readouterr().err == ""


def test_the_geometry_of_aviris_has_no_spectra(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / "AV520250508t173511_000_L1B_ORT_5b9e1cc2_OBS.nc"
    with h5py.File(path, "w") as file:
        for name in ("path_length", "slope"):
            file[f"observation_parameters/{name}"] = np.zeros((5, 6), "f4")
    refused(path, "the geometry of AVIRIS-5", "…_RFL_ORT.nc or …_RDN.nc")


@pytest.mark.parametrize(
    ("make", "array", "says"),
    [
        (published.pace_l1b, "observation_data/rhot_red", "no array observation_data/rhot_red"),
        (
            published.pace_l1b,
            "sensor_band_parameters/blue_wavelength",
            "lacks sensor_band_parameters/blue_wavelength",
        ),
        (
            published.pace_l2,
            "sensor_band_parameters/wavelength_3d",
            "lacks sensor_band_parameters/wavelength_3d",
        ),
    ],
)
def test_what_is_not_whole_is_refused(
    make: Callable[[Path], Made], array: str, says: str, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    path = make(tmp_path / "in").path
    with h5py.File(path, "r+") as file:
        del file[array]
    refused(path, says)


@pytest.mark.parametrize("number", [29, -29])
def test_a_table_that_points_outside_is_refused(number: int, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    made = published.aviris_l1b(tmp_path / "in", outside=number)
    refused(made.path, "points outside its image", f"column {number}", "-28 to 28")


@pytest.mark.parametrize("array", ["wavelength", "fwhm"])
def test_wavelengths_that_do_not_fit_are_refused(array: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    path = published.aviris_l2a(tmp_path / "in", bands=9).path
    with h5py.File(path, "r+") as file:
        del file[f"reflectance/{array}"]
        file[f"reflectance/{array}"] = np.linspace(400, 900, 8)
    refused(path, f"reflectance/{array}" if array == "fwhm" else "8 wavelengths", "9")
