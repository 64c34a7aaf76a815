"""Grids that differ: averages by exact areas, majorities, blur, the shift of a target, and
trainings across grids."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import close_to_conditioning, condition_of, rounding, same_bits, windows_at_random
from rasterio.transform import Affine
from rasterio.warp import transform
from rasters import NORTH_UP, blend, cli, ok, profile, read, spectra, write_tiff
from realdata import DATA, needs_real_data
from scipy.ndimage import gaussian_filter

import bandfuse.raster.align as align_module
import bandfuse.scenes.alignment as shift_module
from bandfuse.config.inputs import Aligning
from bandfuse.errors import MismatchError
from bandfuse.model.weightsfile import load
from bandfuse.raster import (
    AlignedReader,
    Placing,
    Raster,
    Reader,
    blank,
    cut,
    describe,
    moved,
    placed,
)
from bandfuse.raster.areas import blurred, gaussian_sigma, majority, of_corners, of_edges
from bandfuse.scenes.alignment import alignment_messages, alignment_rows, estimate_shift
from bandfuse.scenes.displacement import Shift, displacement
from bandfuse.scenes.places import Place
from bandfuse.scenes.scene import open_scene
from bandfuse.streaming.windows import Window

Array = np.ndarray


def finer(factor: float, *, x: float = 0.0, y: float = 0.0, turn: float = 0.0) -> Affine:
    """Of pixels that are so many times smaller than those of NORTH_UP, from so many of its pixels
    on."""
    return NORTH_UP @ Affine.translation(x, y) @ Affine.rotation(turn) @ Affine.scale(1 / factor)


def everything(reader: AlignedReader | Reader, shape: tuple[int, int]) -> Array:
    """(D, rows, cols) in one window."""
    cell = reader.read(Window(0, 0, *shape)).cell(slice(0, shape[0]), slice(0, shape[1]))
    return cell.values().reshape(-1, *shape).copy()


def line(edges: Array, size: int) -> Array:
    """(n, size) the share of each interval that each unit cell covers."""
    low, high, cell = edges[:-1, None], edges[1:, None], np.arange(size)
    return np.clip(np.minimum(high, cell + 1) - np.maximum(low, cell), 0, None) / (high - low)


def dense_average(image: Array, rows: Array, cols: Array) -> Array:
    """(D, n, m) area averages of (D, H, W) between edges in its pixels; NaN below half of valid
    area."""
    tall, wide = line(rows, image.shape[1]), line(cols, image.shape[2])
    there = np.isfinite(image)
    total = tall @ np.where(there, image, 0.0) @ wide.T
    area = tall @ there.astype(float) @ wide.T
    return np.where(area >= 0.5 - 1e-9, total / np.maximum(area, 1e-12), np.nan)


def clipped_area(polygon: list[tuple[float, float]], row: int, col: int) -> float:
    """The area of a convex polygon in the unit square at a pixel: cut by its four sides in turn."""
    for axis, limit, sign in ((0, col, 1), (0, col + 1, -1), (1, row, 1), (1, row + 1, -1)):
        out: list[tuple[float, float]] = []
        for p, q in zip(polygon, [*polygon[1:], *polygon[:1]], strict=True):
            a, b = sign * (p[axis] - limit), sign * (q[axis] - limit)
            if a >= 0:
                out.append(p)
            if a * b < 0:
                t = a / (a - b)
                out.append((p[0] + t * (q[0] - p[0]), p[1] + t * (q[1] - p[1])))
        polygon = out
        if not polygon:
            return 0.0
    pairs = zip(polygon, [*polygon[1:], *polygon[:1]], strict=True)
    return abs(sum(p[0] * q[1] - q[0] * p[1] for p, q in pairs)) / 2


# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("turn", "size"), [(0.0, 1.0), (45.0, 1.0), (71.0, 3.3), (-17.0, 0.4), (180.0, 2.5)]
)
def test_shares_are_the_areas_of_turned_pixels(turn: float, size: float) -> None:
    lattice = Affine.translation(4.2, 5.1) @ Affine.rotation(turn) @ Affine.scale(size)
    col, row = np.meshgrid(np.arange(4.0), np.arange(3.0))
    corners = np.stack(lattice @ (col, row), axis=-1)
    overlap = of_corners(corners, (9, 8))
    assert overlap is not None
    found = np.zeros((6, 9, 8))
    found[(slice(None), *overlap.window.within(Window(0, 0, 9, 8)))] = (
        overlap.shares.toarray().reshape(6, overlap.window.rows, overlap.window.cols)
    )
    for i in range(6):
        r, c = divmod(i, 3)
        quad = [tuple(corners[r + a, c + b]) for a, b in ((0, 0), (0, 1), (1, 1), (1, 0))]
        expected = [[clipped_area(quad, y, x) / size**2 for x in range(8)] for y in range(9)]
        # Areas are differences of products of places up to 9.
        close_to_conditioning(found[i], expected, 9**2 / size**2)


def test_shares_of_rectangles_are_those_of_quadrilaterals() -> None:
    rows, cols = np.linspace(-2.2, 9.3, 5), np.linspace(7.7, -1.1, 4)
    overlap = of_edges(rows, cols, (8, 6))
    corners = np.stack(np.meshgrid(cols, rows), axis=-1)
    other = of_corners(corners, (8, 6))
    assert overlap is not None
    assert other is not None
    assert overlap.window == other.window
    close_to_conditioning(overlap.shares.toarray(), other.shares.toarray(), 9**2)


def test_what_does_not_meet_has_no_shares() -> None:
    assert of_edges(np.array([9.0, 10.0]), np.array([0.0, 1.0]), (9, 9)) is None
    square = np.array([[[0.0, 0.0], [1.0, 0.0]], [[0.0, 1.0], [1.0, 1.0]]])
    assert of_corners(square + 9, (9, 9)) is None
    assert of_corners(square * np.nan, (9, 9)) is None


def test_the_majority_is_of_areas_and_never_a_mean() -> None:
    overlap = of_edges(np.array([0.0, 1.5, 3.0]), np.array([0.0, 1.0]), (3, 1))
    assert overlap is not None
    found = majority(overlap.shares, np.array([[1.0], [9.0], [9.0]]))[:, 0]
    np.testing.assert_array_equal(found, [1, 9])
    np.testing.assert_array_equal(
        majority(overlap.shares, np.array([[np.nan], [9], [np.nan]]))[:, 0], [np.nan, np.nan]
    )
    found = majority(overlap.shares, np.array([[9.0], [1.0], [9.0]]))[:, 0]
    np.testing.assert_array_equal(found, [9, 9])
    tie = of_edges(np.array([0.0, 2.0]), np.array([0.0, 1.0]), (2, 1))
    assert tie is not None
    assert majority(tie.shares, np.array([[7.0], [3.0]]))[0, 0] == 3
    assert majority(tie.shares, np.array([[np.nan], [3.0]]))[0, 0] == 3
    assert np.isnan(majority(tie.shares, np.full((2, 1), np.nan))[0, 0])


# --------------------------------------------------------------------------------------------------


def fine_image(
    folder: Path, at: Affine, shape: tuple[int, int] = (70, 90), **how: Any
) -> tuple[str, Array]:
    """A finer raster whose bands lack different pixels, and its values with NaN there."""
    values = spectra(3, *shape, seed=3, dtype="float32")
    lacking = (
        np.random.default_rng(1).uniform(size=values.shape)
        < np.array([0.0, 0.1, 0.5])[:, None, None]
    )
    path = write_tiff(
        folder / "fine.tif", np.where(lacking, -9999, values), nodata=-9999, transform=at, **how
    )
    return path, np.where(lacking, np.nan, values.astype(np.float64))


@pytest.mark.parametrize(
    ("factor", "x", "y"),
    [(3, 0, 0), (10 / 3, 1, 2), (2.5, -3.3, 0.7), (0.4, -2.1, -1.3), (1, 0.25, -0.5)],
)
def test_averages_are_those_of_exact_areas(
    tmp_path: Path, factor: float, x: float, y: float
) -> None:
    grid = blank(20, 24, tuple(NORTH_UP)[:6], 32633)
    path, image = fine_image(tmp_path, finer(factor, x=x, y=y))
    with AlignedReader([(describe(path), [0, 1, 2])], grid) as reader:
        found = everything(reader, grid.shape)
    expected = dense_average(image, (np.arange(21.0) - y) * factor, (np.arange(25.0) - x) * factor)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    # Shares are differences of places up to 80.
    close_to_conditioning(found, expected, 80)
    assert np.isfinite(found[0]).any()


@pytest.mark.skipif(shutil.which("gdalwarp") is None, reason="gdalwarp is not installed")
@pytest.mark.parametrize("factor", [3, 10 / 3])
def test_averages_are_those_of_gdalwarp(tmp_path: Path, factor: float) -> None:
    grid = blank(20, 24, tuple(NORTH_UP)[:6], 32633)
    path, _ = fine_image(tmp_path, finer(factor))
    out = tmp_path / "warped.tif"
    extent = [NORTH_UP.c, NORTH_UP.f - 20 * 30, NORTH_UP.c + 24 * 30, NORTH_UP.f]
    subprocess.run(
        [
            "gdalwarp",
            "-q",
            "-r",
            "average",
            "-wo",
            "UNIFIED_SRC_NODATA=NO",
            "-et",
            "0",
            "-tr",
            "30",
            "30",
            "-te",
            *map(str, extent),
            path,
            str(out),
        ],
        check=True,
        timeout=60,
    )
    warped = read(out).astype(np.float64)
    with AlignedReader([(describe(path), [0, 1, 2])], grid) as reader:
        found = everything(reader, grid.shape)
    there = np.isfinite(found)
    assert there.mean() > 0.6
    np.testing.assert_allclose(found[there], warped[there], rtol=2e-6)


def test_averages_over_another_crs_are_over_the_right_ground(tmp_path: Path) -> None:
    """Of an image whose values are its own coordinates, the mean over a pixel is the coordinate of
    its middle."""
    step = 0.0004
    grid = blank(12, 9, (step, 0.0, 13.55, 0.0, -step, 52.34), 4326)
    at = Affine(2.0, 0.0, 401_100.0, 0.0, -2.0, 5_799_700.0)
    col, row = np.meshgrid(np.arange(200) + 0.5, np.arange(180) + 0.5)
    image = np.stack(at @ (col, row)).astype(np.float64)
    path = write_tiff(tmp_path / "xy.tif", image, transform=at)
    with AlignedReader([(describe(path), [0, 1])], grid) as reader:
        found = everything(reader, grid.shape)
    lon, lat = np.meshgrid(
        13.55 + step * (np.arange(9) + 0.5), 52.34 - step * (np.arange(12) + 0.5)
    )
    x, y = (
        np.reshape(v, lon.shape)
        for v in transform("EPSG:4326", "EPSG:32633", lon.ravel(), lat.ravel())
    )
    inner = np.isfinite(found).all(axis=0)
    whole = (x > 401_140) & (x < 401_460) & (y < 5_799_660) & (y > 5_799_380)
    assert whole.sum() > 30
    assert inner[whole].all()
    np.testing.assert_allclose(found[0][whole], x[whole], atol=0.05)
    np.testing.assert_allclose(found[1][whole], y[whole], atol=0.05)


PLACES: dict[str, tuple[Affine, float | None, str]] = {
    "same axes": (finer(10 / 3, x=-0.4, y=-0.2), None, "EPSG:32633"),
    "turned": (finer(2.2, x=10, y=-60, turn=30), None, "EPSG:32633"),
    "blurred": (finer(3, x=-0.4, y=-0.2), 0.3, "EPSG:32633"),
    "turned and blurred": (finer(2.2, x=10, y=-60, turn=30), 0.3, "EPSG:32633"),
    "another CRS": (Affine(0.0004, 0, 13.531, 0, -0.00025, 52.3405), None, "EPSG:4326"),
}


@pytest.mark.one_in(2)
@pytest.mark.parametrize("place", PLACES)
def test_windows_and_memory_do_not_change_a_bit(
    tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    at, blur, crs = PLACES[place]
    grid = blank(80, 300, tuple(NORTH_UP)[:6], 32633)
    path, _ = fine_image(tmp_path, at, (400, 500), crs=crs)
    raster = describe(path)
    with AlignedReader([(raster, [2, 0])], grid, blur=blur) as reader:
        whole = everything(reader, grid.shape)
    assert np.isfinite(whole[1]).mean() > 0.2
    for seed, some_bytes in ((0, 2**24), (1, 500_000)):
        monkeypatch.setattr(align_module, "PART_BYTES", some_bytes)
        monkeypatch.setattr(align_module, "READ_BYTES", some_bytes // 10)
        found = np.empty_like(whole)
        with AlignedReader([(raster, [2, 0])], grid, blur=blur) as reader:
            for window in windows_at_random(grid.shape, np.random.default_rng(seed)):
                cell = reader.read(window).cell(slice(0, window.rows), slice(0, window.cols))
                where = (slice(None), *window.within(Window(0, 0, *grid.shape)))
                found[where] = cell.values().reshape(2, window.rows, window.cols)
        same_bits(found, whole)


def test_a_raster_on_the_grid_is_read_as_it_is(tmp_path: Path) -> None:
    values = spectra(2, 12, 14)
    path = write_tiff(tmp_path / "a.tif", values, transform=NORTH_UP @ Affine.translation(-2, 3))
    grid = blank(10, 10, tuple(NORTH_UP)[:6], 32633)
    with AlignedReader([(describe(path), [1])], grid) as reader:
        found = everything(reader, grid.shape)[0]
    np.testing.assert_array_equal(found[3:], values[1, :7, 2:12].astype(np.float64))
    assert np.isnan(found[:3]).all()


def test_an_aligned_cell_knows_its_extremes_and_is_its_own(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", spectra(2, 8, 8), transform=finer(2))
    with AlignedReader(
        [(describe(path), [0, 1])], blank(4, 4, tuple(NORTH_UP)[:6], 32633)
    ) as reader:
        patch = reader.read(Window(0, 0, 4, 4))
    cell = patch.cell(slice(0, 2), slice(0, 3))
    low, high = cell.extremes or (None, None)
    values = cell.values()
    np.testing.assert_array_equal(low, values.min(axis=1))
    np.testing.assert_array_equal(high, values.max(axis=1))
    values[:] = np.nan
    assert np.isfinite(patch.cell(slice(0, 2), slice(0, 3)).values()).all()
    beside = patch.beside(np.full((4, 4), np.nan)).cell(slice(0, 4), slice(0, 4))
    assert beside.extremes is None
    assert beside.values().shape == (3, 16)


# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("modulation", [0.15, 0.3, 0.6])
def test_the_blur_has_its_modulation_at_the_nyquist_frequency(modulation: float) -> None:
    pixel = 10
    sigma = gaussian_sigma(modulation, pixel)
    wave = np.cos(np.pi * np.arange(2000) / pixel)  # one period in two pixels
    seen = blurred(wave[None, None], (1e-6, sigma))[0, 0]
    assert np.abs(seen[200:-200]).max() == pytest.approx(modulation, rel=2e-3)


def test_the_blur_is_a_mean_of_what_is_valid() -> None:
    image = spectra(1, 20, 24)[0].astype(np.float64)
    image[5:9, 6] = np.nan
    found = blurred(image[None], (1.3, 0.8))[0]
    row, col = np.mgrid[0:20, 0:24]
    expected = np.full_like(image, np.nan)
    reach = int(4 * 1.3 + 0.5), int(4 * 0.8 + 0.5)
    for r, c in zip(*np.nonzero(np.isfinite(image)), strict=True):
        weight = np.exp(-0.5 * (((row - r) / 1.3) ** 2 + ((col - c) / 0.8) ** 2))
        weight[(np.abs(row - r) > reach[0]) | (np.abs(col - c) > reach[1]) | np.isnan(image)] = 0
        expected[r, c] = np.nansum(weight * np.nan_to_num(image)) / weight.sum()
    close_to_conditioning(found, expected)


# --------------------------------------------------------------------------------------------------


def raster(
    folder: Path, name: str, rows: int, cols: int, at: Affine | None = NORTH_UP, **how: Any
) -> Raster:
    return describe(write_tiff(folder / name, spectra(1, rows, cols), transform=at, **how))


def test_files_without_position_must_have_one_size(tmp_path: Path) -> None:
    first = raster(tmp_path, "a.tif", 6, 7)
    bare = raster(tmp_path, "bare.tif", 6, 7, None, crs=None)
    assert placed(first, bare, "target").transform == NORTH_UP
    assert placed(first, bare, "target").crs == first.crs
    small = raster(tmp_path, "small.tif", 5, 7, None, crs=None)
    with pytest.raises(
        MismatchError,
        match=r"small\.tif is not on the grid of.*give \S*small\.tif its CRS and position",
    ):
        placed(first, small, "target")
    with pytest.raises(MismatchError, match=r"give \S*a\.tif|give \S*small\.tif"):
        placed(small, first, "target")
    nowhere = raster(tmp_path, "nowhere.tif", 12, 14, finer(2), crs=None)
    with pytest.raises(MismatchError, match=r"give \S*nowhere\.tif its CRS"):
        placed(first, nowhere, "target")


def test_the_grid_is_cut_to_what_all_cover(tmp_path: Path) -> None:
    grid = raster(tmp_path, "grid.tif", 30, 40)
    image = raster(tmp_path, "image.tif", 20, 22, finer(4, x=3.25, y=5.5))
    assert cut(grid, [image]) == Window(5, 3, 6, 6)
    with pytest.raises(MismatchError, match=r"far\.tif lies elsewhere than .*grid\.tif"):
        cut(grid, [raster(tmp_path, "far.tif", 5, 5, NORTH_UP @ Affine.translation(50, 0))])


def test_a_moved_raster_lies_so_many_pixels_of_the_grid_farther(tmp_path: Path) -> None:
    grid = raster(tmp_path, "grid.tif", 30, 40)
    for name, image in (
        ("fine", raster(tmp_path, "fine.tif", 20, 20, finer(4, turn=20))),
        (
            "degrees",
            raster(
                tmp_path,
                "deg.tif",
                20,
                20,
                Affine(0.0001, 0, 13.535, 0, -0.0001, 52.338),
                crs="EPSG:4326",
            ),
        ),
    ):
        there = moved(image, grid, 0.5, -1.25)
        point = np.array([7.0]), np.array([9.0])
        before, after = (np.ravel(Placing(r, grid)(*point)) for r in (image, there))
        np.testing.assert_allclose(after - before, [0.5, -1.25], atol=1e-3, err_msg=name)


def test_one_grid_is_read_as_before(tmp_path: Path) -> None:
    write_tiff(tmp_path / "a.tif", spectra(3, 9, 9))
    write_tiff(tmp_path / "t.tif", spectra(1, 9, 9), crs=None, transform=None)
    place = Place("a", (("scene", str(tmp_path / "a.tif")),), str(tmp_path / "t.tif"))
    scene = open_scene(place, training=True)
    assert scene.common is None
    assert isinstance(scene.reader([0], target=True), Reader)


# --------------------------------------------------------------------------------------------------


TRUE = [[0.5, 0.3, 0.2, 0.0], [0.0, 0.1, 0.2, 0.7]]


def report(run: Path) -> dict[str, Any]:
    return json.loads((run / "report.json").read_text())  # type: ignore[no-any-return]


def learned(
    folder: Path, *arguments: object, name: str = "run"
) -> tuple[Array, dict[str, Any], str]:
    """The weights, the report and what was said, of a least-squares training."""
    run = folder / name
    said = ok(
        "train", *arguments, "--constraint", "free", "--ridge", 0, "-o", run, "--no-report"
    ).err
    return load(run / "weights.safetensors").common.matrix, report(run), said


def pair(folder: Path, factor: int = 3, rows: int = 20, cols: int = 30) -> tuple[str, str, Array]:
    """A fine cube with missing pixels, and a coarse target: the mean of what the fine one would
    have made of it."""
    cube = spectra(4, factor * rows, factor * cols, seed=2, dtype="float64")
    target = blend(cube, TRUE, [0.1, 0.2]).reshape(2, rows, factor, cols, factor).mean(axis=(2, 4))
    scene = write_tiff(folder / "fine.tif", cube, transform=finer(factor))
    return scene, write_tiff(folder / "coarse.tif", target, names=["u", "v"]), cube


def of_means(cube: Array, factor: int = 3) -> float:
    """The condition of weights from the means of a fine cube."""
    bands, rows, cols = cube.shape
    means = cube.reshape(bands, rows // factor, factor, cols // factor, factor).mean(axis=(2, 4))
    return condition_of(means.reshape(bands, -1).T)


def test_a_coarser_target_is_learned_on_its_own_grid(tmp_path: Path) -> None:
    scene, target, cube = pair(tmp_path)
    weight, found, said = learned(tmp_path, scene, "--target", target)
    close_to_conditioning(weight, TRUE, of_means(cube))
    assert found["pixels"]["used"] == 600
    (row,) = found["alignment"]
    assert (row["grid"], row["rows"], row["cols"], row["corrected"]) == (target, 20, 30, False)
    assert row["files"] == [{"path": scene, "pixels": pytest.approx(3.0), "how": "mean"}]
    assert abs(row["shift"]["dx"]) < 0.05
    assert abs(row["shift"]["dy"]) < 0.05
    assert (
        "brought to the grid of coarse.tif, 20 × 30 pixels of it: fine.tif (3 pixels a side)"
        in said
    )
    assert "coarse.tif lies on fine" in said
    fused = read(tmp_path / "run" / "fused.tif")
    assert fused.shape == (2, 60, 90)
    assert profile(tmp_path / "run" / "fused.tif")["transform"].almost_equals(finer(3), 1e-9)
    np.testing.assert_allclose(fused, blend(cube, TRUE, [0.1, 0.2]), rtol=1e-5)


def test_a_finer_target_is_averaged(tmp_path: Path) -> None:
    cube = spectra(4, 20, 30, seed=2, dtype="float64")
    fine = blend(cube, TRUE).repeat(3, axis=1).repeat(3, axis=2)
    noise = np.random.default_rng(0).normal(0, 0.1, (2, 20, 3, 30, 3))
    fine += (noise - noise.mean(axis=(2, 4), keepdims=True)).reshape(fine.shape)
    fine = np.pad(fine, ((0, 0), (6, 9), (3, 12)), constant_values=np.nan)
    fine[0, 9:12, 12:15] = np.nan
    at = finer(3, x=-1, y=-2)
    scene, target = (
        write_tiff(tmp_path / "c.tif", cube),
        write_tiff(tmp_path / "t.tif", fine, transform=at),
    )
    weight, found, _ = learned(tmp_path, scene, "--target", target)
    close_to_conditioning(weight, TRUE, condition_of(cube.reshape(4, -1).T))
    assert found["pixels"]["used"] == 599
    assert found["alignment"][0]["grid"] == scene


@pytest.mark.thorough
def test_threads_and_memory_do_not_change_a_bit(tmp_path: Path) -> None:
    cube = spectra(4, 300, 900, seed=2)
    target = (
        blend(cube, TRUE).reshape(2, 100, 3, 300, 3).mean(axis=(2, 4))
        + spectra(2, 100, 300, seed=5) / 20
    )
    scene = write_tiff(tmp_path / "fine.tif", cube, transform=finer(3))
    coarse = write_tiff(
        tmp_path / "coarse.tif", target, transform=NORTH_UP @ Affine.translation(0.3, -0.4)
    )
    files = []
    for name, threads, memory in (("a", 1, 16), ("b", 3, 200)):
        learned(
            tmp_path, scene, "--target", coarse, "--threads", threads, "--memory", memory, name=name
        )
        files.append((tmp_path / name / "weights.csv").read_bytes())
    same_bits(*files)


def test_a_source_of_another_grid_joins(tmp_path: Path) -> None:
    """Trained on the coarser grid, applied on the first one's."""
    fine = spectra(2, 40, 60, seed=1, dtype="float64")
    coarse = spectra(2, 20, 30, seed=4, dtype="float64")
    target = blend(np.concatenate([fine, coarse.repeat(2, axis=1).repeat(2, axis=2)]), TRUE)
    a = write_tiff(tmp_path / "a.tif", fine, transform=finer(2))
    b = write_tiff(tmp_path / "b.tif", coarse)
    t = write_tiff(tmp_path / "t.tif", target, transform=finer(2))
    weight, found, _ = learned(tmp_path, "--source", f"a={a}", "--source", f"b={b}", "--target", t)
    means = np.concatenate([fine.reshape(2, 20, 2, 30, 2).mean(axis=(2, 4)), coarse])
    close_to_conditioning(weight, TRUE, condition_of(means.reshape(4, -1).T))
    assert found["alignment"][0]["grid"] == b
    assert [f["path"] for f in found["alignment"][0]["files"]] == [a, t]
    fused = read(tmp_path / "run" / "fused.tif")
    np.testing.assert_allclose(fused, target, rtol=1e-5)
    out = tmp_path / "out.tif"
    done = ok(
        "apply",
        tmp_path / "run" / "weights.safetensors",
        "--source",
        f"a={a}",
        "--source",
        f"b={b}",
        "-o",
        out,
    )
    assert "brought to the grid of a.tif" in done.err
    same_bits(read(out), fused)


def test_a_reconstruction_of_sources_of_two_grids(tmp_path: Path) -> None:
    a = write_tiff(tmp_path / "a.tif", spectra(4, 40, 60, seed=1), transform=finer(2))
    b = write_tiff(tmp_path / "b.tif", spectra(4, 20, 30, seed=4))
    ok(
        "train",
        "--source",
        f"a={a}",
        "--source",
        f"b={b}",
        "--groups",
        "equal:2",
        "-o",
        tmp_path / "run",
        "--no-report",
    )
    found = report(tmp_path / "run")
    assert found["alignment"][0]["grid"] == b
    assert found["alignment"][0]["shift"] is None
    assert found["pixels"]["used"] == 600
    assert read(tmp_path / "run" / "fused.tif").shape == (2, 40, 60)


def test_evaluate_scores_on_the_coarser_grid(tmp_path: Path) -> None:
    scene, target, _ = pair(tmp_path)
    learned(tmp_path, scene, "--target", target)
    weights = tmp_path / "run" / "weights.safetensors"
    found = ok("evaluate", weights, scene, "--target", target, "--json").json
    assert found["pixels"]["used"] == 600
    assert found["scores"]["u"]["r2"] > 1 - rounding(1e3)
    assert found["alignment"][0]["grid"] == target
    other = ok("evaluate", weights, scene, "--target", target, "--shift", "1,0", "--json").json
    assert other["pixels"]["used"] == 580
    assert other["alignment"][0]["moved"] == [1.0, 0.0]
    assert other["scores"]["u"]["r2"] < 0.9


def test_masks_windows_and_bounds_are_of_the_training_grid(tmp_path: Path) -> None:
    """A target that follows the rule only in one part, by its own pixels, far larger than the
    scene."""
    rows, cols, factor = 20, 30, 3
    cube = spectra(4, factor * rows, factor * cols, seed=2, dtype="float64")
    target = np.full((2, 40, 50), 7.0)
    target[:, 10:30, 15:45] = (
        blend(cube, TRUE).reshape(2, rows, factor, cols, factor).mean(axis=(2, 4))
    )
    here = np.zeros((40, 50), bool)
    here[12:22, 18:30] = True
    target[:, ~here] = np.random.default_rng(0).normal(size=(2, int((~here).sum())))
    t = write_tiff(tmp_path / "t.tif", target)
    scene = write_tiff(tmp_path / "fine.tif", cube, transform=finer(factor, x=15, y=10))
    left, top = NORTH_UP @ (18, 12)
    right, bottom = NORTH_UP @ (30, 22)
    whole = write_tiff(tmp_path / "whole.tif", here[None].astype(np.uint8))
    own = np.zeros((1, factor * rows, factor * cols), np.uint8)
    own[0, 6:36, 9:45] = 1
    fine = write_tiff(tmp_path / "own.tif", own, transform=finer(factor, x=15, y=10))
    ring = [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]
    shape = {"type": "Polygon", "coordinates": [ring]}
    crs = {"type": "name", "properties": {"name": "EPSG:32633"}}
    (tmp_path / "m.geojson").write_text(
        json.dumps(
            {
                "type": "FeatureCollection",
                "crs": crs,
                "features": [{"type": "Feature", "properties": {}, "geometry": shape}],
            }
        )
    )
    ways = [
        ("--window", 12, 18, 10, 12),
        ("--bounds", left, bottom, right, top),
        ("--mask", whole),
        ("--mask", fine),
        ("--mask", tmp_path / "m.geojson"),
    ]
    for i, way in enumerate(ways):
        weight, found, _ = learned(
            tmp_path, scene, "--target", t, *way, "--no-fused", name=f"run{i}"
        )
        assert found["pixels"]["used"] == 120, way
        np.testing.assert_allclose(weight, TRUE, atol=1e-9)
    assert found["alignment"][0]["row"] == 10
    assert found["alignment"][0]["col"] == 15
    assert (found["alignment"][0]["rows"], found["alignment"][0]["cols"]) == (20, 30)


@pytest.mark.one_in(2)
@pytest.mark.parametrize("finer_labels", [True, False])
def test_labels_of_another_grid(tmp_path: Path, finer_labels: bool) -> None:
    """Finer labels are those of most of a pixel, zeros left out first; the cube is brought to
    coarser ones."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(1, 4, (20, 30))
    cube = (
        spectra(4, 60, 90, seed=2)
        + coarse.repeat(3, axis=0).repeat(3, axis=1) * np.array([0, 1, 2, 0])[:, None, None]
    )
    labels = coarse.repeat(3, axis=0).repeat(3, axis=1)
    labels.reshape(20, 3, 30, 3)[:, 0, :, :2] = 9  # two of nine
    labels.reshape(20, 3, 30, 3)[:, 2, :, :2] = 0
    if finer_labels:
        scene = write_tiff(
            tmp_path / "c.tif", cube.reshape(4, 20, 3, 30, 3).mean(axis=(2, 4)).astype(np.float32)
        )
        path = write_tiff(
            tmp_path / "l.tif", labels[None].astype(np.uint8), transform=finer(3), scales=[0.5]
        )
    else:
        scene = write_tiff(tmp_path / "c.tif", cube.astype(np.float32), transform=finer(3))
        path = write_tiff(tmp_path / "l.tif", coarse[None].astype(np.uint8))
    run = tmp_path / "run"
    ok(
        "train",
        scene,
        "--labels",
        path,
        "--unlabelled",
        0,
        "--groups",
        "equal:2",
        "-o",
        run,
        "--no-report",
    )
    found = report(run)
    assert found["pixels"]["used"] == 600
    assert found["scores"]["train"]["classes"]["accuracy"] > 0.95
    (row,) = found["alignment"]
    assert [f["how"] for f in row["files"]] == ["majority" if finer_labels else "mean"]
    assert read(run / "fused.tif").shape[1:] == ((20, 30) if finer_labels else (60, 90))


# --------------------------------------------------------------------------------------------------


@cache
def ground(rows: int, cols: int, detail: int, seed: int) -> Array:
    """(5, rows · detail, cols · detail) spectra of ground that varies within a pixel, with
    edges."""
    rng = np.random.default_rng(seed)
    fields = []
    for _ in range(3):
        rough = gaussian_filter(
            rng.normal(size=(rows * detail, cols * detail)), 0.7 * detail, mode="wrap"
        )
        blocks = (
            gaussian_filter(rng.normal(size=rough.shape), 3 * detail, mode="wrap") > 0
        ).astype(float)
        fields.append(rough / rough.std() + blocks)
    return np.einsum("bm,mhw->bhw", rng.uniform(0.1, 1, (5, 3)), np.stack(fields)) + 5.0


def seen_by(image: Array, detail: int, row: int, col: int, rows: int, cols: int) -> Array:
    """Its mean over pixels of a sensor that begins at a row and column of the ground."""
    part = image[:, row : row + rows * detail, col : col + cols * detail]
    return part.reshape(len(image), rows, detail, cols, detail).mean(axis=(2, 4))


def shift_of(cube: Array, target: Array) -> Shift:
    """A shift that can be told."""
    shift = displacement(cube, target)
    assert shift is not None
    return shift


SHIFTS = [(0.1, -0.3), (0.5, 0.5), (-0.9, 0.2), (1.5, -1.2), (0.0, 0.0), (3.0, -4.4), (0.7, 1.3)]


@pytest.mark.parametrize(("dx", "dy"), SHIFTS)
def test_a_shift_is_found_to_a_tenth_of_a_pixel(dx: float, dy: float) -> None:
    """Noise of a tenth of the deviation; other bands in the target; a tenth of the pixels
    missing."""
    detail, rows, cols = 10, 50, 60
    image = ground(rows + 16, cols + 16, detail, seed=7)
    rng = np.random.default_rng(11)
    cube = seen_by(image, detail, 8 * detail, 8 * detail, rows, cols)
    mix = rng.uniform(0, 1, (2, 5))
    # content of the target that lies at x + d of the cube: it has to be moved by d
    row, col = round((8 + dy) * detail), round((8 + dx) * detail)
    target = np.tensordot(mix, seen_by(image, detail, row, col, rows, cols), axes=1)
    target += rng.normal(0, 0.1, target.shape) * target.std(axis=(1, 2), keepdims=True)
    cube += rng.normal(0, 0.1, cube.shape) * cube.std(axis=(1, 2), keepdims=True)
    cube[:, rng.uniform(size=(rows, cols)) < 0.1] = np.nan
    target[:, :9, :9] = np.nan
    found = shift_of(cube, target)
    assert found.certain
    assert abs(found.columns - dx) < 0.05
    assert abs(found.rows - dy) < 0.05
    assert found.correlation > 0.95


def test_no_shift_is_made_up(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    cube, target = rng.normal(size=(4, 40, 50)), rng.normal(size=(2, 40, 50))
    found = displacement(cube, target)
    assert found is None or not found.certain
    assert displacement(cube, np.ones((1, 40, 50))) is None
    assert displacement(cube * np.nan, target) is None
    assert displacement(cube[:, :6, :6], target[:, :6, :6]) is None
    scene = write_tiff(tmp_path / "c.tif", cube)
    t = write_tiff(tmp_path / "t.tif", target)
    said = ok(
        "train", scene, "--target", t, "--shift", "auto", "--no-report", "-o", tmp_path / "run"
    ).err
    assert "t.tif: whether it is shifted against c cannot be told" in said
    assert report(tmp_path / "run")["alignment"][0]["corrected"] is False


@pytest.mark.one_in(2)
@pytest.mark.parametrize("placed_files", [True, False])
def test_a_shifted_target_is_corrected(tmp_path: Path, placed_files: bool) -> None:
    """Files of one grid, the target's content off by half a pixel and more; with and without
    positions."""
    detail, rows, cols = 10, 60, 80
    image = ground(rows + 4, cols + 4, detail, seed=3)
    cube = seen_by(image, detail, 20, 20, rows, cols)
    target = np.tensordot(
        [[0.5, 0.2, 0.3, 0, 0]], seen_by(image, detail, 20 - 7, 20 + 4, rows, cols), axes=1
    )
    where: dict[str, Any] = {} if placed_files else {"crs": None, "transform": None}
    c, t = (
        write_tiff(tmp_path / "c.tif", cube, **where),
        write_tiff(tmp_path / "t.tif", target, **where),
    )
    base = ("train", c, "--target", t, "--no-report", "--no-fused")
    r2 = {}
    for name, how in {
        "plain": ["--register", "off"],
        "auto": ["--shift", "auto"],
        "given": ["--shift", "0.4,-0.7"],
    }.items():
        ok(*base, *how, "-o", tmp_path / name)
        found = report(tmp_path / name)
        r2[name] = found["scores"]["holdout"]["b1"]["r2"]
        (row,) = found["alignment"]
        assert row["corrected"] is (name != "plain")
        assert row["moved"] == pytest.approx([0.4, -0.7] if name != "plain" else [0, 0], abs=0.05)
        assert row["shift"]["dx"] == pytest.approx(0.4, abs=0.05)
        assert row["shift"]["y"] == pytest.approx(0.7 * 30 if placed_files else -0.7, abs=0.05 * 30)
    assert r2["auto"] > r2["plain"] + 0.02
    assert r2["given"] > r2["plain"] + 0.02


def test_polygons_move_with_the_shift(tmp_path: Path) -> None:
    scene = write_tiff(tmp_path / "c.tif", spectra(3, 20, 30))
    left, top = NORTH_UP @ (2, 3)
    right, bottom = NORTH_UP @ (12, 9)
    ring = [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]
    crs = {"type": "name", "properties": {"name": "EPSG:32633"}}
    shape = {
        "type": "Feature",
        "properties": {"k": 1},
        "geometry": {"type": "Polygon", "coordinates": [ring]},
    }
    content = {"type": "FeatureCollection", "crs": crs, "features": [shape]}
    (tmp_path / "l.geojson").write_text(json.dumps(content))
    place = Place("c", (("scene", scene),), labels=str(tmp_path / "l.geojson"))
    for shift, corner in (((0.0, 0.0), (3, 2)), ((4.0, -2.0), (1, 6))):
        labels = open_scene(place, shift=shift).labels
        assert labels is not None
        inside = labels.drawn(Window(0, 0, 20, 30)) == 1
        assert inside.sum() == 60
        assert tuple(np.argwhere(inside)[0]) == corner


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (["--shift", "1"], ["--shift", "two numbers"]),
        (["--shift", "left,right"], ["--shift", "two numbers"]),
        (["--shift", "auto"], ["--shift does not apply without --target or --labels"]),
        (["--blur", "1.5"], ["--blur", "less than 1"]),
        (["--blur", "0"], ["--blur", "greater than 0"]),
    ],
)
def test_refused_settings(tmp_path: Path, how: list[str], words: list[str]) -> None:
    done = cli(
        "train", write_tiff(tmp_path / "c.tif", spectra(3, 9, 9)), *how, "-o", tmp_path / "run"
    )
    assert done.code == 2
    assert all(word in done.err for word in words), done.err


def test_the_settings_of_a_run_hold_the_shift(tmp_path: Path) -> None:
    scene, target, _ = pair(tmp_path)
    first, _, _ = learned(
        tmp_path, scene, "--target", target, "--shift", "-0.25,0.5", "--blur", 0.4
    )
    ok(
        "train",
        "--config",
        tmp_path / "run" / "config.yaml",
        "-o",
        tmp_path / "again",
        "--no-report",
    )
    again = report(tmp_path / "again")["alignment"][0]
    assert (again["moved"], again["blur"]) == ([-0.25, 0.5], 0.4)
    same_bits(load(tmp_path / "again" / "weights.safetensors").common.matrix, first)


# --------------------------------------------------------------------------------------------------

BERLIN = DATA / "berlin_pair_9m_30m"


def berlin(name: str) -> str:
    return str(BERLIN / f"{name}_Berlin_Urban_Gradient_2009.bsq")


def best_shift(fine: Array, coarse: Array, factor: float) -> tuple[float, float]:
    """Columns and rows of the best linear prediction, by trying all tenths of a pixel."""
    found = []
    shape = coarse.shape[1:]
    for dx in np.arange(-10, 11) / 10:
        for dy in np.arange(-10, 11) / 10:
            seen = dense_average(
                fine,
                (np.arange(shape[0] + 1) + dy) * factor,
                (np.arange(shape[1] + 1) + dx) * factor,
            )
            there = np.isfinite(seen).all(axis=0)
            x = np.column_stack([seen[:, there].T, np.ones(there.sum())])
            y = coarse[:, there].T
            error = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
            found.append((float((error**2).sum() / ((y - y.mean(axis=0)) ** 2).sum()), dx, dy))
    return min(found)[1:]


@needs_real_data
def test_the_shift_of_the_berlin_pair() -> None:
    """EnMAP pixels of 30 m lie one column and two rows of 9 m off the HyMap image: 0.3 and −0.6 of
    their own."""
    fine, coarse = berlin("HyMap02"), berlin("EnMAP01")
    by_hand = best_shift(
        read(fine)[10::25].astype(float), read(coarse)[10::25].astype(float), 30 / 9
    )
    assert by_hand == pytest.approx((0.3, -0.6))
    for first, second, sign in ((fine, coarse, 1), (coarse, fine, -1)):
        found = estimate_shift(open_scene(Place("berlin", (("scene", first),), second)))
        assert found is not None
        assert found.certain
        assert (found.columns, found.rows) == pytest.approx((0.3 * sign, -0.6 * sign), abs=0.03)


@needs_real_data
def test_correcting_the_berlin_pair_raises_the_hold_out(tmp_path: Path) -> None:
    like = profile(berlin("EnMAP01"))
    target = write_tiff(
        tmp_path / "t.tif", read(berlin("EnMAP01"))[10::25], transform=like["transform"]
    )
    mean = {}
    for name, how in {"plain": ["--register", "off"], "auto": ["--shift", "auto"]}.items():
        ok(
            "train",
            berlin("HyMap02"),
            "--target",
            target,
            *how,
            "--no-report",
            "--no-fused",
            "-o",
            tmp_path / name,
        )
        mean[name] = np.mean(
            [s["r2"] for s in report(tmp_path / name)["scores"]["holdout"].values()]
        )
    assert mean["plain"] < 0.65
    assert mean["auto"] > 0.95


@needs_real_data
def test_labels_of_the_berlin_pair(tmp_path: Path) -> None:
    """The 9 m cube, brought to the labels' 30 m, parts the classes as the 30 m cube does once the
    labels are moved as the two cubes lie, and hardly before."""
    ways = {
        "coarse": ("EnMAP01", ()),
        "plain": ("HyMap02", ()),
        "moved": ("HyMap02", ("--shift", "0.3,-0.6")),
    }
    balanced = {}
    for name, (cube, how) in ways.items():
        ok(
            "train",
            berlin(cube),
            "--labels",
            berlin("LandCov_Class"),
            "--unlabelled",
            0,
            "--balance",
            *how,
            "--groups",
            "equal:4",
            "--starts",
            1,
            "--no-report",
            "--no-fused",
            "-o",
            tmp_path / name,
        )
        found = report(tmp_path / name)
        assert len(found["alignment"]) == (cube == "HyMap02")
        balanced[name] = found["scores"]["holdout"]["classes"]["balanced"]
    assert balanced["plain"] < 0.55
    assert balanced["moved"] > 0.62
    assert balanced["coarse"] > 0.62


# --------------------------------------------------------------------------------------------------


def test_how_a_raster_of_another_crs_lies_is_its_slope_in_the_middle(tmp_path: Path) -> None:
    """Columns and rows per column and row of the grid, by differences of what rasterio's warp
    says."""
    grid = raster(tmp_path, "grid.tif", 30, 40)
    other = raster(
        tmp_path, "d.tif", 9, 9, Affine(1e-4, 2e-5, 13.535, 1e-5, -2e-4, 52.338), crs="EPSG:4326"
    )

    def there(col: float, row: float) -> Array:
        x, y = NORTH_UP @ (col, row)
        lon, lat = (v[0] for v in transform("EPSG:32633", "EPSG:4326", [x], [y]))
        return np.array(~other.transform @ (lon, lat))

    placing = Placing(grid, other)
    expected = [there(20.5, 15) - there(19.5, 15), there(20, 15.5) - there(20, 14.5)]
    np.testing.assert_allclose(placing.linear, np.transpose(expected), rtol=1e-6, atol=1e-9)
    assert placing.factor == pytest.approx(np.sqrt(abs(np.linalg.det(expected))), rel=1e-6)
    col, row = placing(np.array([3.0]), np.array([7.0]))
    np.testing.assert_allclose([col[0], row[0]], there(3, 7), rtol=1e-9)
    assert placing.offset is None


def test_a_grid_of_the_same_pixels_knows_where_it_begins(tmp_path: Path) -> None:
    grid = raster(tmp_path, "grid.tif", 6, 9)
    for x, y in ((-4.0, 3.0), (0.004, 2.0)):
        same = raster(tmp_path, "same.tif", 5, 8, NORTH_UP @ Affine.translation(x, y))
        assert Placing(grid, same).offset == (-round(y), -round(x))
    for at in (
        NORTH_UP @ Affine.translation(0.2, 0),
        finer(2),
        NORTH_UP @ Affine.scale(1.02, 1),
        finer(1, turn=1),
    ):
        assert Placing(grid, raster(tmp_path, "other.tif", 5, 8, at)).offset is None


def test_where_a_raster_lies_elsewhere_is_said(tmp_path: Path) -> None:
    grid = raster(tmp_path, "grid.tif", 5, 4)
    far = raster(tmp_path, "far.tif", 3, 2, NORTH_UP @ Affine.translation(50, 10))
    found, wanted = "401500 to 401560, 5799610 to 5799700", "400000 to 400120, 5799850 to 5800000"
    with pytest.raises(
        MismatchError, match=rf"got {found} \(EPSG:32633\); expected some of {wanted} \("
    ):
        cut(grid, [far])


def test_positions_are_lent_only_to_what_has_none(tmp_path: Path) -> None:
    first = raster(tmp_path, "a.tif", 6, 7)
    bare, far = (
        raster(tmp_path, "bare.tif", 6, 7, None, crs=None),
        raster(tmp_path, "far.tif", 4, 4, finer(2)),
    )
    assert placed(first, far, "target") is far
    assert placed(bare, bare, "target").transform.is_identity
    assert placed(bare, first, "target").transform.is_identity
    half = raster(tmp_path, "half.tif", 6, 7, crs=None)
    assert placed(first, half, "target").crs == first.crs
    named = replace(bare, crs=first.crs)
    assert placed(first, named, "target").transform == first.transform
    assert placed(named, first, "target").transform.is_identity


def test_an_aligned_pixel_costs_what_is_read_and_what_is_made(tmp_path: Path) -> None:
    """Two bands of two bytes under each of 3 × 3 pixels, and two numbers of eight."""
    path = write_tiff(tmp_path / "a.tif", spectra(3, 12, 12, dtype="int16"), transform=finer(3))
    with AlignedReader(
        [(describe(path), [0, 2])], blank(4, 4, tuple(NORTH_UP)[:6], 32633)
    ) as reader:
        assert reader.bytes_per_pixel == 2 * 2 * 9 + 2 * 8
    with AlignedReader(
        [(describe(path), [1])], blank(1, 1, tuple(finer(0.1))[:6], 32633)
    ) as reader:
        assert reader.bytes_per_pixel == 2 * 900 + 8


def test_shares_stop_at_the_edge_of_a_raster_that_is_not_square() -> None:
    rows, cols = np.array([-1.0, 1.0, 3.0]), np.array([3.0, 5.0, 7.0])
    overlap = of_edges(rows, cols, (2, 6))
    assert overlap is not None
    assert overlap.window == Window(0, 3, 2, 3)
    expected = [
        [0.25, 0.25, 0, 0, 0, 0],
        [0, 0, 0.25, 0, 0, 0],
        [0, 0, 0, 0.25, 0.25, 0],
        [0, 0, 0, 0, 0, 0.25],
    ]
    np.testing.assert_allclose(overlap.shares.toarray(), expected)
    corners = np.stack(np.meshgrid(cols, rows), axis=-1)
    other = of_corners(corners, (2, 6))
    assert other is not None
    assert (other.window, other.shares.nnz) == (overlap.window, 6)
    np.testing.assert_allclose(other.shares.toarray(), expected)
    assert of_edges(rows, cols + 4, (2, 6)) is None
    assert of_edges(rows + 4, cols, (2, 6)) is None


def test_bands_without_detail_and_small_images_do_not_disturb_a_shift() -> None:
    rows, cols = 20, 24
    image = ground(rows + 4, cols + 4, 4, seed=5)
    cube, target = seen_by(image, 4, 8, 8, rows, cols), seen_by(image, 4, 12, 8, rows, cols)[:1]
    plain = shift_of(cube, target)
    assert (plain.columns, plain.rows) == pytest.approx((0, 1), abs=0.1)
    flat = shift_of(np.concatenate([cube, np.full((1, rows, cols), 3.0)]), target)
    assert (flat.columns, flat.rows, flat.correlation) == pytest.approx(
        (plain.columns, plain.rows, plain.correlation)
    )


def test_a_quarter_of_the_image_is_out_of_reach() -> None:
    detail, cols = 4, 60
    image = ground(44, cols + 4, detail, seed=5)
    for rows, known in ((28, False), (32, True)):
        cube, target = (
            seen_by(image, detail, row * detail, 2 * detail, rows, cols) for row in (2, 9)
        )
        assert (displacement(cube, target[:1]) is not None) is known


def test_neither_units_nor_what_else_a_target_shows_hide_a_shift() -> None:
    """The second component of the target is the cube's, the first is another ground's."""
    detail, rows, cols = 4, 40, 50
    image, other = ground(rows + 4, cols + 4, detail, seed=5), ground(rows, cols, detail, seed=77)
    cube, own = (
        seen_by(image, detail, 8, 8, rows, cols),
        seen_by(image, detail, 8, 12, rows, cols)[0],
    )
    strange = seen_by(other, detail, 0, 0, rows, cols)[3]
    a, b = ((v - v.mean()) / v.std() for v in (strange, own))
    for c, t in ((cube, [a + 0.5 * b, a - 0.5 * b]), (1e-14 * cube, [1e-15 * b])):
        found = shift_of(c, np.stack(t))
        assert found.certain
        assert (found.columns, found.rows) == pytest.approx((1, 0), abs=0.05)


def test_shifts_that_leave_little_to_compare_are_not_taken() -> None:
    """Four columns are valid in both; where it would be fewer there is nothing to see."""
    detail, rows, cols = 4, 40, 50
    image = ground(rows + 4, cols + 4, detail, seed=5)
    cube, target = (
        seen_by(image, detail, 8, 8, rows, cols).copy(),
        seen_by(image, detail, 8, 16, rows, cols)[:2].copy(),
    )
    cube[:, :, :8] = np.nan
    target[:, :, 12:] = np.nan
    found = shift_of(cube, target)
    assert (found.columns, found.rows) == pytest.approx((2, 0), abs=0.1)


@pytest.mark.parametrize(
    ("rows", "cols"), [((0, 40), (41, 50)), ((31, 40), (0, 50)), ((15, 25), (20, 30))]
)
def test_a_shift_is_found_in_a_corner_of_the_image(
    rows: tuple[int, int], cols: tuple[int, int]
) -> None:
    """At the end of rows and columns, and in a hundred pixels."""
    image = ground(44, 54, 4, seed=5)
    cube, seen = seen_by(image, 4, 8, 8, 40, 50), seen_by(image, 4, 8, 4, 40, 50)[:2]
    target = np.full_like(seen, np.nan)
    target[:, slice(*rows), slice(*cols)] = seen[:, slice(*rows), slice(*cols)]
    found = shift_of(cube, target)
    assert (found.columns, found.rows) == pytest.approx((-1, 0), abs=0.15)


def test_two_standard_errors_hold_the_true_shift() -> None:
    """Over scenes and shifts by a quarter of a pixel, in nineteen of twenty numbers or more."""
    held = []
    for seed in range(10):
        random = np.random.default_rng(seed)
        image = ground(60, 60, 4, seed=seed)
        row, col = (int(n) for n in random.integers(0, 9, 2))
        cube = seen_by(image, 4, 8, 8, 48, 48)
        cube += 0.02 * cube.std() * random.normal(size=cube.shape)
        found = shift_of(cube, seen_by(image, 4, 8 + row, 8 + col, 48, 48)[:2])
        off = np.abs([found.rows - row / 4, found.columns - col / 4])
        held += (off < 2 * found.error).tolist()
    assert np.mean(held) >= 0.9


def test_a_target_whose_parts_are_shifted_apart_has_an_uncertain_shift() -> None:
    image = ground(52, 52, 4, seed=9)
    cube = seen_by(image, 4, 8, 8, 48, 48)
    target = cube[:1].copy()
    still = shift_of(cube, target)
    target[:, :24, :24] = seen_by(image, 4, 8, 11, 48, 48)[:1, :24, :24]
    torn = shift_of(cube, target)
    assert torn.error > 0.05 > 3 * still.error


# --------------------------------------------------------------------------------------------------


def test_a_shift_is_told_in_pixels_and_in_units_of_a_turned_grid(tmp_path: Path) -> None:
    scene = write_tiff(tmp_path / "c.tif", spectra(3, 9, 14), transform=finer(1, turn=30))
    target = write_tiff(tmp_path / "t.tif", spectra(1, 18, 28, seed=1), transform=finer(2, turn=30))
    opened = open_scene(Place("c", (("scene", scene),), target), training=True)
    shifted = replace(opened, shift=Shift(2.0, -1.0, 0.06, 0.9, 0.4))
    (row,) = alignment_rows([shifted])
    x, y = np.array(finer(1, turn=30) @ (2.0, -1.0)) - np.array(finer(1, turn=30) @ (0.0, 0.0))
    assert row.shift is not None
    assert (row.shift.x, row.shift.y) == pytest.approx((x, y))
    assert (row.grid, row.row, row.col, row.rows, row.cols, row.corrected) == (
        scene,
        0,
        0,
        9,
        14,
        False,
    )
    assert [(f.path, f.pixels, f.how) for f in row.files] == [(target, pytest.approx(2.0), "mean")]
    grids, told = alignment_messages([shifted])
    assert grids == "c: brought to the grid of c.tif, 9 × 14 pixels of it: t.tif (2 pixels a side)"
    assert told.startswith("t.tif: +2.00 columns and -1.00 rows (")
    assert told.endswith(
        "± 0.06 pixels) move it onto c: correlation 0.400 before, 0.900 after; --shift auto "
        "moves it"
    )
    done = alignment_messages([replace(shifted, moved=(2.0, -1.0))])[1]
    assert done.endswith("it was moved by 2,-1")
    small = alignment_messages([replace(shifted, shift=Shift(0.05, -0.1, 0.06, 0.9, 0.9))])[1]
    assert small == "t.tif lies on c: +0.05 columns and -0.10 rows (± 0.06 pixels)"
    unsure = alignment_messages([replace(shifted, shift=Shift(2.0, -1.0, 0.3, 0.9, 0.4))])[1]
    assert unsure == "t.tif: whether it is shifted against c cannot be told"
    plain = open_scene(Place("c", (("scene", scene),)), training=True)
    assert (alignment_rows([plain]), alignment_messages([plain])) == ([], [])
    (row,) = alignment_rows([replace(plain, shift=shifted.shift)])
    assert (row.grid, row.row, row.col, row.rows, row.cols, row.files) == (scene, 0, 0, 9, 14, [])


@pytest.mark.parametrize(
    ("found", "by"),
    [
        (Shift(2.0, -1.0, 0.06, 0.9, 0.4), (2.0, -1.0)),
        (Shift(2.0, -1.0, 0.3, 0.9, 0.4), (0.0, 0.0)),  # uncertain
        (Shift(0.05, 0.05, 0.01, 0.9, 0.9), (0.0, 0.0)),  # small
        (None, (0.0, 0.0)),
    ],
)
def test_only_a_certain_shift_that_is_not_small_moves_a_target(
    tmp_path: Path, found: Shift | None, by: tuple[float, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = write_tiff(tmp_path / "c.tif", spectra(3, 9, 14))
    place = Place(
        "c", (("scene", scene),), write_tiff(tmp_path / "t.tif", spectra(1, 9, 14, seed=1))
    )
    monkeypatch.setattr(shift_module, "estimate_shift", lambda opened: found)
    opened = shift_module.open_aligned(place, Aligning(shift="auto"))
    assert (opened.moved, opened.shift) == (by, found)
    assert shift_module.open_aligned(place, Aligning()).shift == found
    given = shift_module.open_aligned(place, Aligning(shift=(1.0, 0.0)))
    assert (given.moved, given.shift) == ((1.0, 0.0), found)


def test_labels_that_are_moved_say_so(tmp_path: Path) -> None:
    scene = write_tiff(tmp_path / "c.tif", spectra(3, 9, 14))
    labels = write_tiff(tmp_path / "l.tif", np.ones((1, 9, 14), "uint8"))
    place = Place("c", (("scene", scene),), labels=labels)
    opened = open_scene(place, training=True, shift=(4.0, -2.0))
    assert alignment_messages([opened])[-1] == "l.tif: it was moved by 4,-2"
    assert alignment_rows([opened])[0].moved == (4.0, -2.0)


@pytest.mark.parametrize(("cols", "low"), [(640, 0), (640, 500), (320, 256)])
def test_a_shift_is_looked_for_in_the_middle_then_where_pixels_are(
    tmp_path: Path, cols: int, low: int
) -> None:
    """A strip longer than is looked at, all of it valid or its end alone: at least a quarter of
    what is looked at."""
    image = ground(44, cols + 4, 2, seed=1)
    cube, target = seen_by(image, 2, 4, 4, 40, cols), seen_by(image, 2, 4, 6, 40, cols)[:1]
    cube[:, :, :low] = np.nan
    place = Place(
        "c",
        (("scene", write_tiff(tmp_path / "c.tif", cube)),),
        write_tiff(tmp_path / "t.tif", target),
    )
    found = estimate_shift(open_scene(place, training=True))
    assert found is not None
    assert found.certain
    assert (found.columns, found.rows) == pytest.approx((1, 0), abs=0.1)
