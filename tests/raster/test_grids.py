"""Grids: whether two rasters share one is a matter of the whole image; and longitudes go round the
globe."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rasterio.transform import Affine
from rasterio.warp import transform
from rasters import ok, read, write_tiff

import bandfuse
from bandfuse.raster import describe, on_one_grid

SIDE = 200
RNG = np.random.default_rng(3)
SPOTS = RNG.uniform(0, 30.0 * SIDE, (60, 2)), RNG.uniform(0.05, 0.4, (60, 4))
"""Places in metres from the corner, and their heights in four layers of smooth ground."""


def report(run: Path) -> Any:
    """What a run says of itself."""
    return json.loads((run / "report.json").read_text(encoding="utf-8"))


def grid(pixel: float, turn: float = 0.0) -> Affine:
    return Affine.translation(5e5, 5e6) @ Affine.rotation(turn) @ Affine.scale(pixel, -pixel)


def ground(at: Affine, layers: int = 4, side: int = SIDE) -> np.ndarray:
    """(layers, side, side) values of the ground at the centres of the pixels of a grid."""
    col, row = np.meshgrid(np.arange(side) + 0.5, np.arange(side) + 0.5)
    x, y = at.a * col + at.b * row + at.c - 5e5, 5e6 - (at.d * col + at.e * row + at.f)
    places, heights = SPOTS
    squared = (x[..., None] - places[:, 0]) ** 2 + (y[..., None] - places[:, 1]) ** 2
    found: np.ndarray = np.einsum(
        "ijs,sl->lij", np.exp(-squared / (2 * 150.0**2)), heights[:, :layers]
    )
    return (0.1 + found).astype(np.float32)


@pytest.mark.one_in(2)
@pytest.mark.parametrize(("pixel", "turn"), [(29.8, 0.0), (29.71, 0.0), (30.0, 0.3), (30.0, -0.05)])
def test_a_grid_that_differs_a_little_is_another_one(
    pixel: float, turn: float, tmp_path: Path
) -> None:
    """The target is the ground itself, so that every pixel that is brought to its place is
    explained."""
    cube = write_tiff(tmp_path / "c.tif", ground(grid(30.0)), transform=grid(30.0))
    at = grid(pixel, turn)
    target = write_tiff(tmp_path / "t.tif", ground(at)[:1], transform=at)
    said = ok("train", cube, "--target", target, "-o", tmp_path / "r", "--no-report", "--no-fused")
    assert "brought to the grid" in said.err
    assert report(tmp_path / "r")["scores"]["train"]["b1"]["r2"] > 0.999
    assert "grids-differ" in ok("check", cube, target).out


def test_a_mask_on_a_finer_grid_counts_by_area(tmp_path: Path) -> None:
    cube = write_tiff(tmp_path / "c.tif", ground(grid(30.0)), transform=grid(30.0))
    target = write_tiff(tmp_path / "t.tif", ground(grid(30.0))[:1], transform=grid(30.0))
    half = np.ones((1, SIDE, SIDE), np.uint8)
    half[..., SIDE // 2 :] = 0
    mask = write_tiff(tmp_path / "m.tif", half, transform=grid(29.8))
    ok(
        "train",
        cube,
        "--target",
        target,
        "--mask",
        mask,
        "-o",
        tmp_path / "r",
        "--no-report",
        "--no-fused",
    )
    rows, cols = round(SIDE * 29.8 / 30), round(SIDE / 2 * 29.8 / 30)
    assert report(tmp_path / "r")["pixels"]["used"] == rows * cols


def test_the_tolerance_is_a_tenth_of_a_pixel_at_the_corner(tmp_path: Path) -> None:
    image = np.ones((1, SIDE, SIDE), np.float32)
    first = describe(write_tiff(tmp_path / "a.tif", image, transform=grid(30.0)))
    for moved, same in ((0.09, True), (0.11, False)):
        wider = write_tiff(
            tmp_path / "b.tif", image, transform=grid(30.0 * (1 + moved / SIDE / 2**0.5))
        )
        assert on_one_grid(first, describe(wider)) is same


def test_python_reads_sources_on_the_grid_of_the_first(tmp_path: Path) -> None:
    one = write_tiff(tmp_path / "a.tif", ground(grid(30.0), 1), transform=grid(30.0))
    two = write_tiff(tmp_path / "b.tif", ground(grid(29.8))[:1], transform=grid(29.8))
    seen = bandfuse.open(a=one, b=two).read()
    there = np.isfinite(seen[1])
    assert there.mean() > 0.95
    assert np.quantile(np.abs(seen[0] - seen[1])[there], 0.97) < 2e-3  # edges are seen in part


def test_a_cube_on_the_antimeridian_meets_a_target_in_degrees(tmp_path: Path) -> None:
    """UTM zone 60 south goes on east of 180°; the target's longitudes do so too."""
    (x,), (y,) = transform("EPSG:4326", "EPSG:32760", [179.98], [-17.0])
    at = Affine(30, 0, x, 0, -30, y)
    lon = Affine(0.00027, 0, 179.97, 0, -0.00027, -16.995)
    col, row = np.meshgrid(np.arange(260) + 0.5, np.arange(150) + 0.5)
    east, north = transform(
        "EPSG:4326",
        "EPSG:32760",
        (lon.c + lon.a * col).ravel().tolist(),
        (lon.f + lon.e * row).ravel().tolist(),
    )
    wave = [np.sin(np.array(v) / 300.0).reshape(150, 260) for v in (east, north)]
    target = write_tiff(
        tmp_path / "t.tif", np.float32([wave[0] + 2]), transform=lon, crs="EPSG:4326"
    )
    col, row = np.meshgrid(np.arange(160) + 0.5, np.arange(100) + 0.5)
    cube = np.float32([np.sin((at.c + 30 * col) / 300.0), np.sin((at.f - 30 * row) / 300.0)])
    path = write_tiff(tmp_path / "c.tif", cube, transform=at, crs="EPSG:32760")
    ok("train", path, "--target", target, "-o", tmp_path / "r", "--no-report", "--no-fused")
    assert report(tmp_path / "r")["scores"]["train"]["b1"]["r2"] > 0.99
    assert "no-common-ground" not in ok("check", path, target).out


def test_longitudes_from_0_to_360_are_those_from_180_west(tmp_path: Path) -> None:
    image = ground(grid(30.0))
    here, there = Affine(1e-3, 0, -70, 0, -1e-3, 10), Affine(1e-3, 0, 290, 0, -1e-3, 10)
    cube = write_tiff(tmp_path / "c.tif", image, transform=here, crs="EPSG:4326")
    target = write_tiff(tmp_path / "t.tif", image[:1], transform=there, crs="EPSG:4326")
    ok("train", cube, "--target", target, "-o", tmp_path / "r", "--no-report")
    assert report(tmp_path / "r")["scores"]["train"]["b1"]["r2"] > 0.9999
    assert np.abs(read(tmp_path / "r" / "fused.tif")[0] - image[0]).max() < 1e-4
