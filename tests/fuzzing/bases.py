"""Bases: small whole inputs of every kind, which cases then damage. They are made anew for each run
of the fuzzer."""

from __future__ import annotations

import json
import struct
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyogrio
import rasterio
import shapely
from rasterio.shutil import copy as gdal_copy
from rasterio.transform import from_origin

BANDS, ROWS, COLS = 6, 20, 24

BATCH = """version: 1
output: out
defaults: {constraint: free, no_report: true, folds: 0}
scenes:
  - files: [cube.tif]
    target: target.tif
jobs:
  - {name: one, kind: train, pool: all, settings: {seed: 1}}
  - {name: fused, kind: apply, weights: one}
"""

CONFIG = """scenes: cube.tif
target: target.tif
objective: regression
constraint: nonnegative
ridge: 0.001
folds: 2
groups: equal:2
seed: 3
bounds: [500000, 4999000, 500500, 5000000]
window: [0, 0, 20, 24]
no_report: true
"""

GROUPS = "red: 1-2\nnir: 600-700nm\nall: 1-6\n"

SENSOR = "# made up\nname,centre_nm,fwhm_nm\nred,550,60\nnir,650,80\n"

RESPONSES = "wavelength_nm,red,nir\n" + "".join(
    f"{nm},{max(0, 60 - abs(nm - 500))},{max(0, 60 - abs(nm - 600))}\n"
    for nm in range(430, 700, 10)
)

TABLE = "wavelength_nm,fwhm_nm,good\n" + "".join(f"{450 + 40 * i},20,1\n" for i in range(BANDS))

SCENES = "scene,target,mask\ncube.tif,target.tif,mask.geojson\n"


def polygons() -> dict[str, Any]:
    """GeoJSON over the scene, in its CRS."""
    ring = [[5e5, 5e6], [5e5 + 100, 5e6], [5e5 + 100, 5e6 - 80], [5e5, 5e6 - 80], [5e5, 5e6]]
    return {
        "type": "FeatureCollection",
        "crs": {"type": "name", "properties": {"name": "EPSG:32633"}},
        "features": [
            {
                "type": "Feature",
                "properties": {"class": 1, "scene": "cube.tif", "target": "target.tif"},
                "geometry": {"type": "Polygon", "coordinates": [ring]},
            }
        ],
    }


def vectors(folder: Path) -> None:
    """Two classes over the scene, as a GeoPackage, a shapefile and a FlatGeobuf file."""
    shapes = [shapely.box(5e5 + 10 * i, 5e6 - 80, 5e5 + 10 * i + 10, 5e6) for i in range(8)]
    names = np.array(["soil", "water"] * 4, dtype=object)
    for name, driver in VECTORS.items():
        pyogrio.raw.write(
            folder / name,
            np.array([shapely.to_wkb(s) for s in shapes], dtype=object),
            [names],
            np.array(["class"]),
            driver=driver,
            geometry_type="Polygon",
            crs="EPSG:32633",
        )


def items() -> dict[str, Any]:
    """A STAC collection of one item."""
    assets = {"data": {"href": "cube.tif"}, "target": {"href": "target.tif"}}
    return {
        "type": "FeatureCollection",
        "features": [{"type": "Feature", "id": "a", "properties": {}, "assets": assets}],
    }


VECTORS = {"l.gpkg": "GPKG", "l.shp": "ESRI Shapefile", "l.fgb": "FlatGeobuf"}
"""Vector files by name, with GDAL's driver."""


def make(folder: Path) -> None:
    """Make all bases in a folder."""
    rng = np.random.default_rng(0)
    mix = np.abs(np.sin(np.arange(BANDS)[:, None] + np.arange(3)))
    cube = (
        3000
        + 300 * np.einsum("bk,khw->bhw", mix, rng.normal(size=(3, ROWS, COLS)))
        + 20 * rng.normal(size=(BANDS, ROWS, COLS))
    )
    _write(folder / "cube.tif", cube.astype("int16"), "GTiff")
    _write(folder / "cube.img", cube.astype("int16"), "ENVI")
    _write(
        folder / "target.tif",
        np.stack([cube[:3].mean(0), cube[3:].mean(0)]).astype("int16"),
        "GTiff",
    )
    gdal_copy(str(folder / "cube.tif"), str(folder / "cube.vrt"), driver="VRT")
    (folder / "cube.vrt").write_text((folder / "cube.vrt").read_text().replace(f"{folder}/", ""))
    with h5py.File(folder / "cube.h5", "w") as file:
        file.create_dataset(
            "cube", data=cube.astype("f4"), chunks=(2, ROWS, COLS), compression="gzip"
        )
        file.attrs["title"] = "made up"
    gdal_copy(str(folder / "target.tif"), str(folder / "target.nc"), driver="netCDF")
    texts = {
        "batch.yaml": BATCH,
        "config.yaml": CONFIG,
        "groups.yaml": GROUPS,
        "sensor.csv": SENSOR,
        "scenes.csv": SCENES,
        "responses.csv": RESPONSES,
        "table.csv": TABLE,
        "mask.geojson": json.dumps(polygons()),
        "items.json": json.dumps(items()),
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    vectors(folder)
    for extra in folder.glob("*.aux.xml"):
        extra.unlink()
    _run(
        "train",
        folder / "cube.tif",
        "--target",
        folder / "target.tif",
        "-o",
        folder / "run",
        "--folds",
        "2",
        "-q",
    )
    _run("batch", folder / "batch.yaml", "-q")
    (folder / "out").rename(folder / "batch")
    weights, scene, target = (
        folder / "run/weights.safetensors",
        folder / "cube.tif",
        folder / "target.tif",
    )
    for arguments in (
        ("info", scene, "-v"),
        ("info", scene, "--groups", "equal:2"),
        ("check", scene, target),
        ("check", scene, "--fix", "x.vrt"),
        ("apply", weights, scene, "-o", "x.tif"),
        ("evaluate", weights, scene, "--target", target),
        ("export", weights, "--to", "csv", "-o", "x.csv"),
        ("report", folder / "run", "-o", "x.html"),
        (
            "train",
            scene,
            "--groups",
            f"file:{folder}/groups.yaml",
            "--mask",
            folder / "mask.geojson",
            "-o",
            "x",
            "--no-report",
        ),
        ("train", "--config", folder / "config.yaml", "-o", "y"),
        ("info", folder / "l.gpkg"),
        ("train", scene, "--labels", folder / "l.shp", "--groups", "equal:2", "-o", "x"),
        ("resample", scene, "--sensor", folder / "responses.csv", "-o", "y.tif"),
        ("batch", folder / "batch.yaml", "--dry-run"),
    ):
        _warm(folder, arguments)


def _warm(folder: Path, arguments: Sequence[object]) -> None:
    """Run a command once, such that all that it imports and builds at its first use is there; and
    see that it works."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as place:
        _run(*(f"{place}/{a}" if str(a).startswith(("x", "y")) else a for a in arguments))


def _write(path: Path, values: np.ndarray, driver: str) -> None:
    with rasterio.open(
        path,
        "w",
        driver=driver,
        count=len(values),
        height=ROWS,
        width=COLS,
        dtype=values.dtype,
        crs="EPSG:32633",
        transform=from_origin(5e5, 5e6, 5, 5),
        nodata=-32768,
    ) as ds:
        ds.write(values)
        for i in range(len(values)):
            ds.set_band_description(i + 1, f"band {i}")
            ds.update_tags(i + 1, wavelength=str(450 + 40 * i), wavelength_units="nm", fwhm="20")
    if driver == "ENVI":
        nm = ",\n".join(str(450 + 40 * i) for i in range(len(values)))
        more = (
            f"wavelength units = Nanometers\nwavelength = {{\n{nm}}}\nbbl = {{1, 1, 1, 1, 1, 0}}\n"
        )
        path.with_suffix(".hdr").write_text(path.with_suffix(".hdr").read_text() + more)


def _run(*arguments: object) -> None:
    from bandfuse.cli.main import main

    sys.argv = ["bandfuse", *map(str, arguments)]
    try:
        main()
    except SystemExit as ended:
        if ended.code and arguments[0] != "check":
            raise RuntimeError(f"the bases cannot be made: {arguments}") from ended


def unpacked(data: bytes) -> tuple[dict[str, Any], bytes]:
    """The header and the tensors of a weights file."""
    size = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8 : 8 + size]), data[8 + size :]


def packed(header: bytes, tensors: bytes, size: int | None = None) -> bytes:
    """A weights file; ``size`` is what it says of its header."""
    return struct.pack("<Q", len(header) if size is None else size) + header + tensors
