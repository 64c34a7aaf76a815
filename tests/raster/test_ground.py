"""Ground: fused rasters lie where their scene lies, in every driver, or are not written."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.errors import NotGeoreferencedWarning
from rasterio.rpc import RPC
from rasterio.transform import Affine
from rasters import cli, ok, spectra, write_tiff

import bandfuse
from bandfuse.errors import MismatchError
from bandfuse.raster.describe import crs_name, same_grid
from bandfuse.raster.ground import displaced, misplaced
from bandfuse.raster.write import blank

CORNER = Affine.translation(5e5, 5e6)
GRIDS = {
    "mirrored rows": CORNER @ Affine.scale(30, 30),
    "mirrored columns": CORNER @ Affine.scale(-30, -30),
    "turned by 180": CORNER @ Affine.scale(-30, 30),
    "turned": CORNER @ Affine.rotation(30) @ Affine.scale(30, -30),
    "oblong": CORNER @ Affine.scale(30, -20),
    "oblong and turned": CORNER @ Affine.rotation(30) @ Affine.scale(30, -20),
    "sheared": CORNER @ Affine.shear(10, 0) @ Affine.scale(30, -30),
}
POINTS = [
    GroundControlPoint(r, c, x, y)
    for r, c, x, y in (
        (0, 0, 10, 46),
        (0, 50, 10.02, 46),
        (40, 0, 10, 45.985),
        (40, 50, 10.021, 45.984),
    )
]
RPCS = RPC(
    err_bias=0,
    err_rand=0,
    height_off=0,
    height_scale=500,
    lat_off=46,
    lat_scale=0.1,
    line_den_coeff=[1] + [0] * 19,
    line_num_coeff=[0, 0, 1] + [0] * 17,
    line_off=20,
    line_scale=20,
    long_off=10,
    long_scale=0.1,
    samp_den_coeff=[1] + [0] * 19,
    samp_num_coeff=[0, 1] + [0] * 18,
    samp_off=25,
    samp_scale=25,
)


def report(run: Path) -> Any:
    """What a run says of itself."""
    return json.loads((run / "report.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    path = write_tiff(folder / "c.tif", spectra(4), transform=None, crs=None)
    ok(
        "train",
        path,
        "--objective",
        "reconstruction",
        "-o",
        folder / "r",
        "--no-report",
        "--no-fused",
    )
    return folder / "r" / "weights.safetensors"


@pytest.mark.parametrize("driver", ["GTiff", "COG", "ENVI", "HFA", "ERS", "Zarr"])
@pytest.mark.parametrize("name", GRIDS)
def test_a_grid_is_kept_or_the_driver_refused(
    name: str, driver: str, weights: Path, tmp_path: Path
) -> None:
    path = write_tiff(tmp_path / "c.tif", spectra(4), transform=GRIDS[name])
    endings = {"GTiff": "tif", "COG": "tif", "Zarr": "zarr", "ERS": "ers"}
    output = tmp_path / f"f.{endings.get(driver, 'img')}"
    said = cli("apply", weights, path, "-o", output, "--driver", driver)
    assert said.code in (0, 2)
    if said.code == 2:
        assert driver not in ("GTiff", "COG")
        assert "Use another driver, such as GTiff" in said.err
        assert [p.name for p in tmp_path.iterdir()] == ["c.tif"]
        return
    with rasterio.open(output) as ds:
        for corner in ((0, 0), (50, 0), (0, 40), (50, 40)):
            np.testing.assert_allclose(ds.transform @ corner, GRIDS[name] @ corner, atol=1e-3)
        assert ds.crs.to_epsg() == 32633


@contextmanager
def unplaced() -> Iterator[None]:
    """Without rasterio's warning that a file has no place."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


def controlled(path: Path, kind: str) -> str:
    write_tiff(path, spectra(4), transform=None, crs=None)
    with unplaced(), rasterio.open(path, "r+") as ds:
        if kind == "gcps":
            ds.gcps = (POINTS, rasterio.crs.CRS.from_epsg(4326))
        else:
            ds.rpcs = RPCS
    return str(path)


def control(path: Path) -> Any:
    with unplaced(), rasterio.open(path) as ds:
        points, crs = ds.gcps
        place = [(p.row, p.col, p.x, p.y) for p in points], crs and crs.to_epsg()
        return place, None if ds.rpcs is None else ds.rpcs.to_dict()


@pytest.mark.parametrize("kind", ["gcps", "rpcs"])
def test_control_points_and_rpcs_are_kept(kind: str, weights: Path, tmp_path: Path) -> None:
    path = controlled(tmp_path / "c.tif", kind)
    expected = control(Path(path))
    for driver, ending in (("GTiff", "tif"), ("COG", "cog.tif"), ("ENVI", "dat"), ("HFA", "img")):
        ok("apply", weights, path, "-o", tmp_path / f"f.{ending}", "--driver", driver)
        assert control(tmp_path / f"f.{ending}") == expected
    ok("export", weights, "--to", "vrt", "--scene", path, "-o", tmp_path / "e.vrt")
    assert control(tmp_path / "e.vrt") == expected
    said = ok("apply", weights, path, "-o", tmp_path / "f.zarr")
    assert "Zarr has no place for ground control points and RPCs" in said.err
    found = json.loads(ok("check", path, "--json").out)["findings"]
    codes = {f["code"] for f in found}
    assert "control-points" in codes
    assert not codes & {"no-crs", "no-transform"}


def test_wavelengths_of_a_netcdf_dimension(tmp_path: Path) -> None:
    """What xarray writes: a coordinate of the bands' dimension with units, under any name."""
    xarray = pytest.importorskip("xarray")
    nm = np.array([420.0, 600.5, 980.0])
    for dim, unit, values, known in (
        ("wavelength", "nm", nm, True),
        ("wavelength", "um", nm / 1000, True),
        ("band", "nanometers", nm, True),
        ("wavelength", None, nm, True),
        ("band", None, np.arange(3), False),
        ("level", "m s-1", nm, False),
    ):
        attributes = {} if unit is None else {"units": unit}
        places = {
            dim: (dim, values, attributes),
            "y": 5e6 - np.arange(4.0),
            "x": 5e5 + np.arange(5.0),
        }
        cube = xarray.DataArray(
            np.ones((3, 4, 5), np.float32), places, (dim, "y", "x"), name="reflectance"
        )
        try:
            cube.to_netcdf(tmp_path / "c.nc")
        except (ImportError, ValueError) as error:
            pytest.skip(f"xarray cannot write netCDF here: {error}")
        found = bandfuse.open(tmp_path / "c.nc").bands.wavelength_nm
        np.testing.assert_allclose(found, nm if known else np.nan, rtol=1e-12)


def test_a_header_beside_a_tiff_tells_its_wavelengths(tmp_path: Path) -> None:
    write_tiff(tmp_path / "c.tif", spectra(3))
    (tmp_path / "c.hdr").write_text(
        "ENVI\nbands = 3\nwavelength units = nm\nwavelength = {420, 600.5, 980}\n"
    )
    assert bandfuse.open(tmp_path / "c.hdr").bands.wavelength_nm.tolist() == [420, 600.5, 980]
    (tmp_path / "c.hdr").write_text("ENVI\nbands = 3\n")
    assert "c.hdr has no wavelengths" in ok("info", tmp_path / "c.hdr").err


def square(row: int, col: int, side: int, *, swapped: bool = False) -> dict[str, Any]:
    ring = [(col, row), (col + side, row), (col + side, row + side), (col, row + side), (col, row)]
    at = [Affine(30, 0, 400_000, 0, -30, 5_800_000) @ p for p in ring]
    return {"type": "Polygon", "coordinates": [[(y, x) if swapped else (x, y) for x, y in at]]}


def features(path: Path, *found: tuple[int, dict[str, Any] | None]) -> Path:
    every = [{"type": "Feature", "properties": {"c": c}, "geometry": g} for c, g in found]
    crs = {"type": "name", "properties": {"name": "EPSG:32633"}}
    path.write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": every}))
    return path


def test_labels_that_meet_no_pixel_are_named(tmp_path: Path) -> None:
    cube = write_tiff(tmp_path / "c.tif", spectra(4))
    two = (1, square(2, 2, 15)), (2, square(20, 20, 15))
    train = ("train", cube, "--groups", "equal:2", "--no-report", "--no-fused", "--labels")
    path = features(
        tmp_path / "l.geojson", *two, (3, None), (4, square(900, 900, 9)), (5, square(1, 1, 0))
    )
    said = ok(*train, path, "-o", tmp_path / "r").err
    assert "1 feature without geometry left out" in said
    assert "classes that lie outside of c.tif: 4" in said
    assert "classes without a pixel that counts, left out: 4, 5" in said
    assert report(tmp_path / "r")["pixels"]["used"] == 2 * 15 * 15
    path = features(tmp_path / "s.geojson", *((c, square(5, 5, 9, swapped=True)) for c in (1, 2)))
    refused = cli(*train, path, "-o", tmp_path / "s")
    assert refused.code == 2
    assert "lie elsewhere" in refused.err
    assert "swapped" in refused.err


LOCAL = 'LOCAL_CS["Arbitrary",UNIT["metre",1],AXIS["Easting",EAST],AXIS["Northing",NORTH]]'
LONG = (
    'PROJCS["of our own",GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS '
    '84",6378137,298.257223563]],PRIMEM["Greenwich",'
    '0],UNIT["degree",0.0174532925199433]],PROJECTION["Transverse_Mercator"],PARAMETER["latitude_of_origin",3],'
    'PARAMETER["central_meridian",17.5],PARAMETER["scale_factor",0.98],PARAMETER["false_easting",12345],'
    'PARAMETER["false_northing",54321],UNIT["metre",1]]'
)


@pytest.mark.parametrize("other", [LOCAL, LONG, "EPSG:32633"])
@pytest.mark.parametrize("one", [LOCAL, LONG])
def test_a_crs_without_a_code_is_named_in_few_words(one: str, other: str, tmp_path: Path) -> None:
    raster = replace(blank(8, 8, (10, 0, 4e5, 0, -10, 5e6)), path="a.tif", crs=CRS.from_string(one))
    second = replace(raster, path="b.tif", crs=CRS.from_string(other))
    said = [str(misplaced("f.img", "ENVI", crs_name(raster.crs)))]
    if one != other:
        with pytest.raises(MismatchError) as refused:
            same_grid(raster, second, "source")
        said.append(str(refused.value))
    for text in said:
        assert len(text) <= 300
        assert "PARAMETER" not in text
        assert "Arbitrary" in text or "of our own" in text


def test_a_format_that_cannot_hold_a_crs_is_refused_in_two_sentences(tmp_path: Path) -> None:
    raster = replace(blank(8, 8, (10, 0, 4e5, 0, -10, 5e6)), path="a.tif", crs=CRS.from_epsg(32633))
    with rasterio.MemoryFile() as memory:
        grid = {
            "width": 8,
            "height": 8,
            "count": 1,
            "dtype": "uint8",
            "transform": raster.transform,
        }
        with memory.open(driver="GTiff", crs=CRS.from_string(LONG), **grid) as ds:
            lost = displaced(ds, raster, "ENVI")
    assert lost == "a CRS named 'of our own'"
    text = str(misplaced("f.img", "ENVI", lost))
    assert (len(text) <= 300, text.count(". ")) == (True, 1)
