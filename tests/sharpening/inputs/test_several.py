"""Several sharp images that lie differently: parts of a pixel apart, each displaced by its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.transform import Affine
from scipy.ndimage import map_coordinates
from sharp_images import error, scene, seen
from warps import displaced, quadratic

import bandfuse
from bandfuse import SharpenConfig
from bandfuse.results.sharpening import SharpenResult

Floats = NDArray[np.float64]
FINE = Affine(10, 0, 4e5, 0, -10, 5e6)
ALIKE = (0.0, 0.0)
SIZE, RATIO = 144, 6


def write(path: Path, values: Floats, transform: Affine) -> None:
    count, rows, cols = values.shape
    options = {"crs": "EPSG:32633", "driver": "GTiff", "dtype": "float32", "nodata": np.nan}
    with rasterio.open(
        path, "w", count=count, height=rows, width=cols, transform=transform, **options
    ) as ds:
        ds.write(values.astype(np.float32))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cube, its truth, and two sharp bands, one image each: ``a`` at 10 m; ``b`` there, half a
    pixel beside, and at 20 m; both where they were not measured, and bent."""
    folder = tmp_path_factory.mktemp("several")
    truth, sharp = scene(SIZE, noise=0.01, seed=3)
    a, b = sharp[:1], sharp[1:]
    twice = b.reshape(1, SIZE // 2, 2, SIZE // 2, 2).mean(axis=(2, 4))
    between = np.mgrid[0:SIZE, 0:SIZE] + 0.5
    beside = np.stack([map_coordinates(b[0], between, order=5, mode="mirror")])
    coarser = FINE @ Affine.scale(2)
    write(folder / "cube.tif", seen(truth, RATIO), FINE @ Affine.scale(RATIO))
    write(folder / "truth.tif", truth, FINE)
    write(folder / "a.tif", a, FINE)
    write(folder / "b.tif", b, FINE)
    write(folder / "beside.tif", beside, FINE @ Affine.translation(0.5, 0.5))
    write(folder / "b20.tif", twice, coarser)
    write(folder / "a_moved.tif", a, FINE @ Affine.translation(-6, 3))
    write(folder / "b20_moved.tif", twice, coarser @ Affine.translation(2, -1.5))
    return folder


def sharpened(folder: Path, a: str, b: str, shift: Any) -> tuple[SharpenResult, float]:
    """What is said of a run, and its error in the middle."""
    run = folder / f"{a}_{b}"
    images = [str(folder / name) for name in ("cube.tif", f"{a}.tif", f"{b}.tif")]
    result = bandfuse.sharpen(
        SharpenConfig(
            images=images, output=str(run), blur=0.3, shift=shift, no_report=True, overwrite=True
        )
    )
    with rasterio.open(run / "sharpened.tif") as ds, rasterio.open(folder / "truth.tif") as true:
        values, truth = ds.read().astype(np.float64), true.read().astype(np.float64)
        col, row = ~FINE @ (ds.transform.c, ds.transform.f)
    at = np.mgrid[0:SIZE, 0:SIZE] - np.array([row, col])[:, None, None]
    moved = np.stack([map_coordinates(np.nan_to_num(v), at, order=3) for v in values])
    return result, error(moved, truth, border=24)


def test_an_image_half_a_pixel_beside_the_other_keeps_its_detail(folder: Path) -> None:
    _, there = sharpened(folder, "a", "b", ALIKE)
    _, beside = sharpened(folder, "a", "beside", ALIKE)
    assert beside < 1.1 * there


@pytest.mark.thorough
def test_each_image_is_moved_by_its_own_shift(folder: Path) -> None:
    _, there = sharpened(folder, "a", "b20", ALIKE)
    result, moved = sharpened(folder, "a_moved", "b20_moved", "auto")
    assert [(row.dx, row.dy) for row in result.registration] == [
        pytest.approx((1.0, -0.5), abs=0.02),
        pytest.approx((-2 / 3, 0.5), abs=0.02),
    ]
    assert moved < 1.1 * there


@pytest.mark.thorough
def test_each_image_is_moved_through_its_own_field(folder: Path) -> None:
    for name, seed, largest in (("a", 1, 2.0), ("b20", 2, 1.5)):
        with rasterio.open(folder / f"{name}.tif") as ds:
            values, transform = ds.read().astype(np.float64), ds.transform
        field = quadratic(values.shape[1:], largest * values.shape[1] * RATIO / SIZE, seed, wide=40)
        write(folder / f"{name}_bent.tif", displaced(values, field), transform)
    _, there = sharpened(folder, "a", "b20", ALIKE)
    result, moved = sharpened(folder, "a_bent", "b20_bent", "field")
    assert [row.moved for row in result.registration] == ["field", "field"]
    assert moved < 1.1 * there
