"""STAC items of fused rasters: pystac reads them, the schemas that it brings hold, and they are
true to the file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest
import rasterio
from helpers import same_bits
from pystac.validation.local_validator import get_local_schema_cache
from rasterio.transform import Affine
from rasterio.warp import transform_bounds
from rasters import ROTATED, blend, cli, ok, spectra, wavelengths, write_envi, write_tiff


def valid(path: Path) -> dict[str, Any]:
    """An item that keeps to the core schemas, and that pystac reads and writes as it is."""
    from jsonschema import Draft7Validator
    from referencing import Registry, Resource

    made = json.loads(path.read_text(encoding="utf-8"))
    cache = get_local_schema_cache()
    registry: Any = Registry().with_resources(
        [(k, Resource.from_contents(v)) for k, v in cache.items()]
    )
    schema = cache["https://schemas.stacspec.org/v1.1.0/item-spec/json-schema/item.json"]
    assert [e.message for e in Draft7Validator(schema, registry=registry).iter_errors(made)] == []
    item = pystac.Item.from_dict(made)
    assert item.id == made["id"]
    assert item.to_dict(include_self_link=False, transform_hrefs=False)["assets"] == made["assets"]
    return made


@pytest.fixture
def trained(tmp_path: Path) -> tuple[str, str, Path]:
    """Cube, weights and folder."""
    x = spectra(6, 40, 50)
    cube = write_tiff(tmp_path / "cube.tif", x, nm=wavelengths(6), fwhm=[10.0] * 6)
    weight = [[0.5, 0.5, 0, 0, 0, 0], [0, 0, 0, 0.25, 0.25, 0.5], [1, 0, 0, 0, 0, -1]]
    target = write_tiff(
        tmp_path / "t.tif", blend(x, weight).astype("float32"), names=["blue", "red", "index"]
    )
    run = tmp_path / "run"
    ok(
        "train",
        cube,
        "--target",
        target,
        "-o",
        run,
        "--stac",
        "--no-report",
        "--ridge",
        0,
        "--smooth",
        0,
        "--folds",
        0,
        "--constraint",
        "free",
    )
    return cube, str(run / "weights.safetensors"), tmp_path


def test_the_item_of_a_run(trained: tuple[str, str, Path]) -> None:
    _, _, folder = trained
    made = valid(folder / "run" / "fused.stac.json")
    assert made["id"] == "fused"
    assert made["assets"]["fused"]["href"] == "./fused.tif"
    with rasterio.open(folder / "run" / "fused.tif") as ds:
        item = pystac.Item.from_dict(made)
        assert item.ext.proj.code == ds.crs.to_string()
        assert item.ext.proj.shape == list(ds.shape)
        assert item.ext.proj.transform == list(ds.transform)[:6]
        want = transform_bounds(ds.crs, "OGC:CRS84", *ds.bounds)
        np.testing.assert_allclose(made["bbox"], want, atol=1e-7)
        bands = made["assets"]["fused"]["bands"]
        assert [b["name"] for b in bands] == list(ds.descriptions)
        assert {b["data_type"] for b in bands} == set(ds.dtypes)
        assert {b["nodata"] for b in bands} == {"nan"}
        for i, band in enumerate(bands, 1):
            nm = ds.tags(i).get("wavelength")
            assert band.get("eo:center_wavelength") == (None if nm is None else float(nm) / 1000)
    assert (
        "fused.tif"
        not in ok(
            "train", "--no-report", "--config", folder / "run/config.yaml", "-o", folder / "again"
        ).err
    )
    assert not (folder / "again" / "fused.stac.json").exists()


def test_the_item_of_an_integer_raster(trained: tuple[str, str, Path]) -> None:
    cube, weights, folder = trained
    ok(
        "apply",
        weights,
        cube,
        "-o",
        folder / "y.tif",
        "--dtype",
        "int16",
        "--scale",
        "0.001",
        "--stac",
    )
    made = valid(folder / "y.stac.json")
    for band in made["assets"]["fused"]["bands"]:
        want = {
            "data_type": "int16",
            "nodata": -32768.0,
            "raster:scale": 0.001,
            "raster:offset": 0.0,
        }
        assert want.items() <= band.items()
    assert made["assets"]["fused"]["type"] == pystac.MediaType.GEOTIFF
    ok("apply", weights, cube, "-o", folder / "y.tif", "--stac", "--overwrite")
    assert valid(folder / "y.stac.json")["assets"]["fused"]["bands"][0]["data_type"] == "float32"


def refit(folder: Path, weights: str, cube: str) -> dict[str, Any]:
    ok("apply", weights, cube, "-o", folder / "z.tif", "--stac", "--overwrite")
    return valid(folder / "z.stac.json")


def test_without_a_crs_there_is_no_geometry(trained: tuple[str, str, Path]) -> None:
    _, weights, folder = trained
    made = refit(
        folder, weights, write_tiff(folder / "p.tif", spectra(6, 20, 20), crs=None, transform=None)
    )
    assert made["geometry"] is None
    assert "bbox" not in made
    assert made["properties"]["proj:code"] is None


def test_a_footprint_is_counterclockwise_whatever_way_the_grid_is_turned(
    trained: tuple[str, str, Path],
) -> None:
    _, weights, folder = trained
    for transform in (ROTATED, Affine(30, 0, 4e5, 0, -30, 5.8e6), Affine(30, 0, 4e5, 0, 30, 5.8e6)):
        made = refit(
            folder, weights, write_tiff(folder / "p.tif", spectra(6, 20, 30), transform=transform)
        )
        (ring,) = made["geometry"]["coordinates"]
        x, y = np.array(ring).T
        assert x[:-1] @ y[1:] - x[1:] @ y[:-1] > 0
        assert ring[0] == ring[-1]


def test_a_footprint_is_cut_at_the_antimeridian(trained: tuple[str, str, Path]) -> None:
    _, weights, folder = trained
    cube = write_tiff(
        folder / "p.tif",
        spectra(6, 20, 40),
        crs="EPSG:32601",
        transform=Affine(1e4, 0, 1e5, 0, -1e4, 7e6),
    )
    made = refit(folder, weights, cube)
    assert made["geometry"]["type"] == "MultiPolygon"
    west, south, east, north = made["bbox"]
    assert 170 < west < 180
    assert -180 < east < -170
    assert south < north


def test_a_crs_without_a_code_is_wkt_and_the_time_is_that_of_the_image(
    trained: tuple[str, str, Path],
) -> None:
    _, weights, folder = trained
    cube = write_tiff(
        folder / "p.tif",
        spectra(6, 20, 20),
        crs="+proj=laea +lat_0=50 +lon_0=10 +ellps=WGS84",
        tags={"IMAGERY": {"ACQUISITIONDATETIME": "2023-07-04 10:20:30"}},
    )
    made = refit(folder, weights, cube)
    assert made["properties"]["proj:code"] is None
    assert rasterio.crs.CRS.from_wkt(made["properties"]["proj:wkt2"]) == rasterio.open(cube).crs
    assert made["properties"]["datetime"] == "2023-07-04T10:20:30Z"


def test_the_time_of_an_envi_header(trained: tuple[str, str, Path]) -> None:
    _, weights, folder = trained
    cube = write_envi(
        folder / "p.bsq", spectra(6, 20, 20), header="acquisition time = 2021-03-04T11:12:13.5Z"
    )
    assert refit(folder, weights, cube)["properties"]["datetime"] == "2021-03-04T11:12:13Z"


NOT_OURS = [
    "{}",
    "no item",
    "[]",
    '"fused"',
    "\udcff",
    "[" * 100000,
    '{"type": "Feature", "assets": {"fused": {"href": "./new.img"}}}',
    '{"type": "Feature", "assets": {"fused": {"href": "./sub/new.tif"}}}',
    '{"type": "Feature", "assets": {"data": {"href": "./new.tif"}}}',
    '{"type": "Feature", "assets": {"fused": "./new.tif"}}',
    '{"type": "Collection", "assets": {"fused": {"href": "./new.tif"}}}',
]


def test_an_item_of_something_else_is_not_replaced(trained: tuple[str, str, Path]) -> None:
    cube, weights, folder = trained
    item = folder / "new.stac.json"
    for text in NOT_OURS:
        content = text.encode(errors="surrogateescape")
        item.write_bytes(content)
        done = cli("apply", weights, cube, "-o", folder / "new.tif", "--stac")
        assert (done.code, done.err.count("\n")) == (2, 1), done.err
        assert "brings new.stac.json with it, which exists and belongs to another file" in done.err
        assert not (folder / "new.tif").exists()
        assert item.read_bytes() == content
    item.unlink()
    item.mkdir()
    done = cli("apply", weights, cube, "-o", folder / "new.tif", "--stac")
    assert (done.code, item.is_dir(), (folder / "new.tif").exists()) == (2, True, False)


@pytest.mark.one_in(2)
@pytest.mark.parametrize(
    ("name", "neighbour"), [("f.tif", ""), ("f.tif", "f.txt"), ("f.zarr", "f.txt")]
)
def test_an_item_whose_raster_is_gone_is_replaced(
    trained: tuple[str, str, Path], name: str, neighbour: str
) -> None:
    """Also where another file has the raster's stem; but not by a raster of another name."""
    cube, weights, folder = trained
    path, item = folder / name, folder / "f.stac.json"
    ok("apply", weights, cube, "-o", path, "--stac")
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    item.write_text(item.read_text().replace('"created"', '"older"'))
    if neighbour:
        (folder / neighbour).write_text("another's")
    done = cli("apply", weights, cube, "-o", folder / "f.img", "--driver", "ENVI", "--stac")
    assert (done.code, (folder / "f.img").exists(), "older" in item.read_text()) == (2, False, True)
    ok("apply", weights, cube, "-o", path, "--stac")
    assert "created" in valid(item)["properties"]


def test_the_item_of_a_resampled_raster(trained: tuple[str, str, Path]) -> None:
    """The sensor's bands by name, with their centres and widths; none without a raster."""
    _, _, folder = trained
    cube = write_tiff(folder / "c.tif", spectra(60, 20, 20), nm=wavelengths(60), fwhm=[10.0] * 60)
    how = ("resample", cube, "--sensor", "sentinel-2a", "--stac", "-o")
    ok(*how, folder / "s2.tif", "--driver", "COG")
    made = valid(folder / "s2.stac.json")["assets"]["fused"]
    with rasterio.open(folder / "s2.tif") as ds:
        assert [b["name"] for b in made["bands"]] == list(ds.descriptions)
        for i, band in enumerate(made["bands"], 1):
            assert band["eo:center_wavelength"] == pytest.approx(
                float(ds.tags(i)["wavelength"]) / 1000, rel=1e-12
            )
            assert band["eo:full_width_half_max"] == pytest.approx(
                float(ds.tags(i)["fwhm"]) / 1000, rel=1e-12
            )
    assert made["type"] == pystac.MediaType.COG
    assert (folder / "s2.weights.safetensors").is_file()
    ok(*how, folder / "s2.tif", "--overwrite")
    done = cli(*how, folder / "w.safetensors", "--weights-only")
    assert (done.code, "--stac does not apply with --weights-only" in done.err) == (2, True)
    assert not (folder / "w.safetensors").exists()


def test_items_of_a_batch(trained: tuple[str, str, Path]) -> None:
    """``stac: true`` in jobs that train and apply, to files and to Zarr stores; a second run finds
    all as it was."""
    cube, weights, folder = trained
    (folder / "b.yaml").write_text(f"""
version: 1
output: out/
scenes:
  - files: [{cube}]
    target: "{{parent}}/t.tif"
jobs:
  - name: each
    kind: train-apply
    pool: each
    settings: {{groups: 'equal:3', stac: true, no_report: true}}
  - {{name: fused, kind: apply, weights: {weights}, settings: {{stac: true}}}}
  - {{name: stores, kind: apply, weights: {weights}, settings: {{stac: true, driver: zarr}}}}
""")
    ok("batch", folder / "b.yaml")
    places = ["each/cube/fused.tif", "fused/cube.tif", "stores/cube.zarr"]
    for place in places:
        made = valid((folder / "out" / place).with_suffix(".stac.json"))
        assert made["assets"]["fused"]["href"] == f"./{Path(place).name}"
    with (
        rasterio.open(folder / "out/fused/cube.tif") as a,
        rasterio.open(folder / "out/stores/cube.zarr") as b,
    ):
        same_bits(a.read(), b.read())
    assert ok("batch", folder / "b.yaml", "--json").json["kept"] == 3
    (folder / "out/fused/cube.stac.json").unlink()
    assert ok("batch", folder / "b.yaml", "--json").json["kept"] == 2
    assert (folder / "out/fused/cube.stac.json").is_file()
