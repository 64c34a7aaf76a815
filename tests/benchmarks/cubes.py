"""Cubes to measure on: one image in seven layouts, with a panchromatic target of known weights."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import from_origin
from rasterio.windows import Window

BANDS, WIDTH, TILE = 224, 1536, 256

PLACE = {
    "crs": "EPSG:32633",
    "transform": from_origin(500_000, 5_000_000, 30, 30),
    "driver": "GTiff",
}
TILES = {"tiled": True, "blockxsize": TILE, "blockysize": TILE}

LAYOUTS: dict[str, dict[str, object]] = {
    "tiled band": {**TILES, "interleave": "band"},
    "tiled pixel": {**TILES, "interleave": "pixel"},
    "zstd": {**TILES, "interleave": "band", "compress": "zstd", "zstd_level": 1, "predictor": 2},
    "deflate": {**TILES, "interleave": "band", "compress": "deflate", "zlevel": 1, "predictor": 2},
    "ENVI bsq": {"driver": "ENVI", "interleave": "bsq"},
    "ENVI bil": {"driver": "ENVI", "interleave": "bil"},
    "ENVI bip": {"driver": "ENVI", "interleave": "bip"},
}
"""Creation options by name; the first is the one that the others are copies of."""


def rows_of(gb: float) -> int:
    """Rows of a cube of this size, whole tiles."""
    return max(TILE, round(gb * 2**30 / (BANDS * WIDTH * 2) / TILE) * TILE)


def path_of(folder: Path, layout: str) -> Path:
    """Where a layout's cube lies."""
    return folder / f"{layout.replace(' ', '-')}.{'img' if layout.startswith('ENVI') else 'tif'}"


def make(folder: Path, gb: float) -> None:
    """The first layout and the target: twelve smooth components with noise, strip by strip."""
    random = np.random.default_rng(0)
    mix = np.cumsum(random.normal(size=(BANDS, 12)), axis=0)
    common = {**PLACE, "width": WIDTH, "height": rows_of(gb), **LAYOUTS["tiled band"]}
    cube = rasterio.open(
        path_of(folder, "tiled band"), "w", count=BANDS, dtype="int16", nodata=-32768, **common
    )
    pan = rasterio.open(folder / "pan.tif", "w", count=1, dtype="float32", **common)
    with cube, pan:
        for row in range(0, rows_of(gb), TILE):
            parts = random.normal(size=(12, TILE, WIDTH))
            noise = 20 * random.normal(size=(BANDS, TILE, WIDTH))
            x = np.clip(2000 + 60 * np.tensordot(mix, parts, 1) + noise, -30000, 30000).astype(
                "int16"
            )
            cube.write(x, window=Window(0, row, WIDTH, TILE))
            pan.write(
                x[20:60].mean(axis=0, keepdims=True).astype("float32"),
                window=Window(0, row, WIDTH, TILE),
            )


def copy(folder: Path, layout: str) -> None:
    """Another layout of the same cube, strip by strip."""
    with rasterio.open(path_of(folder, "tiled band")) as source:
        size = {"width": source.width, "height": source.height, "count": source.count}
        options = {**PLACE, **size, "dtype": "int16", "nodata": -32768, **LAYOUTS[layout]}
        with rasterio.open(path_of(folder, layout), "w", **options) as target:
            for row in range(0, source.height, TILE):
                here = Window(0, row, source.width, TILE)
                target.write(source.read(window=here), window=here)


def corner(folder: Path, side: int) -> None:
    """A small cube, small.tif: the first pixels of the first layout."""
    with rasterio.open(path_of(folder, "tiled band")) as source:
        values = source.read(window=Window(0, 0, side, side))
        size = {"width": side, "height": side, "count": source.count, "dtype": "int16"}
    with rasterio.open(folder / "small.tif", "w", **PLACE, **size, nodata=-32768) as target:
        target.write(values)


def forget(folder: Path, layout: str) -> None:
    """Remove a layout's files."""
    for path in folder.glob(f"{path_of(folder, layout).stem}.*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
