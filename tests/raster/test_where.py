"""Where it counts: masks, bounds and windows of train and evaluate, against references in
memory."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import same_bits
from rasterio.crs import CRS
from rasterio.features import geometry_mask
from rasterio.transform import Affine
from rasterio.warp import transform, transform_geom
from rasters import (
    LAYOUTS,
    NORTH_UP,
    ROTATED,
    UTM,
    blend,
    cli,
    ok,
    profile,
    read,
    refused,
    spectra,
    write_tiff,
)

from bandfuse.model.weightsfile import load
from bandfuse.raster import OUTSIDE, blank, opened_selection, select
from bandfuse.raster.polygons import Polygon
from bandfuse.streaming.windows import Window, tile

B, ROWS, COLS = 4, 30, 40
TRUE = [[0.5, 0.3, 0.2, 0.0]]
OTHER = [[0.0, 0.1, 0.2, 0.9]]
BOUNDS, MASK = OUTSIDE


def write_scene(
    folder: Path, here: np.ndarray, name: str = "cube", **how: Any
) -> tuple[str, str, np.ndarray]:
    """A cube and a target that follows one rule where ``here`` is true, and another elsewhere."""
    cube = spectra(B, *here.shape, seed=len(name))
    target = np.where(here, blend(cube, TRUE), blend(cube, OTHER, 0.3)).astype(np.float32)
    scene = write_tiff(folder / f"{name}.tif", cube, **how)
    return scene, write_tiff(
        folder / f"{name}_t.tif", target, **{k: how[k] for k in ("transform", "crs") if k in how}
    )


def train(folder: Path, *arguments: object, name: str = "run") -> tuple[np.ndarray, dict[str, Any]]:
    """The weights and the report of a training without fused rasters."""
    run = folder / name
    ok("train", *arguments, "--constraint", "nonnegative", "-o", run, "--no-report", "--no-fused")
    return load(run / "weights.safetensors").common.matrix, json.loads(
        (run / "report.json").read_text()
    )


def write_json(path: Path, content: object) -> str:
    path.write_text(json.dumps(content))
    return str(path)


def polygon(*rings: Sequence[Sequence[float]]) -> dict[str, Any]:
    return {"type": "Polygon", "coordinates": [list(map(list, r)) for r in rings]}


def box(left: float, top: float, right: float, bottom: float) -> list[list[float]]:
    return [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]


def to_map(shape: dict[str, Any], affine: Affine = NORTH_UP) -> dict[str, Any]:
    """A polygon in pixels, in the coordinates of the scene."""
    rings = [[list(affine @ (x, y)) for x, y in ring] for ring in shape["coordinates"]]
    return {"type": "Polygon", "coordinates": rings}


def named(crs: str, content: dict[str, Any]) -> dict[str, Any]:
    """With the "crs" member of the older GeoJSON."""
    return {**content, "crs": {"type": "name", "properties": {"name": crs}}}


def block(rows: slice, cols: slice, shape: tuple[int, int] = (ROWS, COLS)) -> np.ndarray:
    here = np.zeros(shape, dtype=bool)
    here[rows, cols] = True
    return here


HERE = block(slice(5, 20), slice(10, 35))
CORNERS = box(10, 5, 35, 20)
"""The outline of HERE in pixels."""


def check(weights: np.ndarray, report: dict[str, Any], here: np.ndarray, reason: str) -> None:
    np.testing.assert_allclose(weights, TRUE, atol=1e-5)
    out = int((~here).sum())
    expected = {"used": int(here.sum()), "invalid": out, "by_reason": {reason: out}}
    assert report["pixels"] == {**expected, "quality": {}}


# ------------------------------------------------------------------------------------------------ t


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_mask_raster(tmp_path: Path, dtype: str) -> None:
    scene, target = write_scene(tmp_path, HERE)
    mask = write_tiff(tmp_path / "mask.tif", (3 * HERE[None]).astype(dtype))
    weights, report = train(tmp_path, scene, "--target", target, "--mask", mask)
    check(weights, report, HERE, MASK)
    assert [i["path"] for i in report["inputs"]] == [scene, target, mask]


def test_mask_raster_is_out_where_it_is_missing(tmp_path: Path) -> None:
    """Nodata, NaN, and a mask of the mask's own."""
    scene, target = write_scene(tmp_path, HERE)
    values = np.where(HERE, 1, 7).astype(np.int16)[None]
    mask = write_tiff(tmp_path / "nodata.tif", values, nodata=7)
    check(*train(tmp_path, scene, "--target", target, "--mask", mask, name="a"), HERE, MASK)
    mask = write_tiff(tmp_path / "nan.tif", np.where(HERE, 1, np.nan).astype(np.float32)[None])
    check(*train(tmp_path, scene, "--target", target, "--mask", mask, name="b"), HERE, MASK)
    mask = write_tiff(tmp_path / "own.tif", np.ones_like(values), mask=HERE)
    check(*train(tmp_path, scene, "--target", target, "--mask", mask, name="c"), HERE, MASK)


def test_window(tmp_path: Path) -> None:
    scene, target = write_scene(tmp_path, HERE)
    check(*train(tmp_path, scene, "--target", target, "--window", 5, 10, 15, 25), HERE, BOUNDS)


@pytest.mark.parametrize("affine", [NORTH_UP, ROTATED], ids=["north-up", "rotated"])
def test_bounds_take_pixel_centres(tmp_path: Path, affine: Affine) -> None:
    row, col = np.mgrid[:ROWS, :COLS]
    x, y = affine @ (col + 0.5, row + 0.5)
    low, high = np.percentile(x, [20, 70]), np.percentile(y, [30, 90])
    here = (x >= low[0]) & (x < low[1]) & (y >= high[0]) & (y < high[1])
    assert 100 < here.sum() < here.size
    scene, target = write_scene(tmp_path, here, transform=affine)
    bounds = [low[0], high[0], low[1], high[1]]
    check(
        *train(tmp_path, scene, "--target", target, "--bounds", *map(repr, map(float, bounds))),
        here,
        BOUNDS,
    )


def test_bounds_may_be_negative_and_come_from_a_file(tmp_path: Path) -> None:
    scene, target = write_scene(tmp_path, HERE, transform=Affine(1, 0, -60, 0, -1, -10), crs=None)
    check(
        *train(tmp_path, scene, "--target", target, "--bounds", -50, -30, -25, -15, name="a"),
        HERE,
        BOUNDS,
    )
    (tmp_path / "c.yaml").write_text(
        f"scenes: {scene}\ntarget: {target}\nbounds: [-50, -30, -25, -15]\n"
    )
    check(*train(tmp_path, "--config", tmp_path / "c.yaml", name="b"), HERE, BOUNDS)
    check(*train(tmp_path, "--config", tmp_path / "a" / "config.yaml", name="c"), HERE, BOUNDS)


def test_polygons_in_longitude_and_latitude(tmp_path: Path) -> None:
    """RFC 7946: WGS 84 without saying so. The outline lies half a pixel off the centres."""
    scene, target = write_scene(tmp_path, HERE)
    shape = transform_geom(UTM, "EPSG:4326", to_map(polygon(CORNERS)))
    content = {
        "type": "FeatureCollection",
        "features": [
            {"type": "Feature", "properties": {}, "geometry": None},
            {"type": "Feature", "properties": {"name": "field"}, "geometry": shape},
        ],
    }
    mask = write_json(tmp_path / "mask.geojson", content)
    weights, report = train(tmp_path, scene, "--target", target, "--mask", mask)
    check(weights, report, HERE, MASK)
    told = report["inputs"][-1]
    assert (told["path"], told["crs"], told["size"]) == (
        mask,
        "EPSG:4326",
        Path(mask).stat().st_size,
    )
    assert len(told["sha256"]) == 64


def test_polygons_in_the_crs_they_name(tmp_path: Path) -> None:
    scene, target = write_scene(tmp_path, HERE)
    mask = write_json(
        tmp_path / "own.geojson", named("urn:ogc:def:crs:EPSG::32633", to_map(polygon(CORNERS)))
    )
    check(*train(tmp_path, scene, "--target", target, "--mask", mask, name="a"), HERE, MASK)
    far = transform_geom(UTM, "EPSG:3857", to_map(polygon(CORNERS)))
    mask = write_json(
        tmp_path / "mercator.json",
        named("EPSG:3857", {"type": "GeometryCollection", "geometries": [far]}),
    )
    check(*train(tmp_path, scene, "--target", target, "--mask", mask, name="b"), HERE, MASK)


def test_polygons_of_a_scene_without_crs(tmp_path: Path) -> None:
    """``"crs": null``: the scene's own coordinates. Two parts and a hole, in a file of another
    name."""
    here = HERE & ~block(slice(8, 12), slice(15, 20)) | block(slice(25, 28), slice(0, 5))
    scene, target = write_scene(tmp_path, here, crs=None, transform=None)
    parts = [[CORNERS, box(15, 8, 20, 12)], [box(0, 25, 5, 28)]]
    mask = write_json(
        tmp_path / "parts.txt", {"type": "MultiPolygon", "coordinates": parts, "crs": None}
    )
    check(*train(tmp_path, scene, "--target", target, "--mask", mask), here, MASK)


def test_ways_together(tmp_path: Path) -> None:
    """A pixel has one reason: the bounds before the mask, the mask before missing values."""
    cube = spectra(B, ROWS, COLS)
    cube[2, 18:22, :] = -1
    scene = write_tiff(tmp_path / "cube.tif", cube, nodata=-1)
    target = write_tiff(tmp_path / "t.tif", blend(cube, TRUE).astype(np.float32))
    mask = write_tiff(tmp_path / "mask.tif", HERE[None].astype(np.uint8))
    left, top = NORTH_UP @ (0, 0)
    right, bottom = NORTH_UP @ (20, ROWS)
    how = ("--mask", mask, "--window", 10, 0, 20, 40, "--bounds", left, bottom, right, top)
    weights, report = train(tmp_path, scene, "--target", target, *how)
    np.testing.assert_allclose(weights, TRUE, atol=1e-5)
    inside = block(slice(10, 30), slice(0, 20))
    missing = inside & HERE & (cube[2] < 0)
    assert report["pixels"]["by_reason"] == {
        "band missing": missing.sum(),
        BOUNDS: (~inside).sum(),
        MASK: (inside & ~HERE).sum(),
    }
    assert report["pixels"]["used"] == (inside & HERE & ~missing).sum()


def test_masks_of_several_scenes(tmp_path: Path) -> None:
    """One per scene, a template, or one for all."""
    first, second = HERE, block(slice(2, 9), slice(3, 30))
    scenes = [write_scene(tmp_path, here, name)[0] for here, name in ((first, "a"), (second, "bb"))]
    for here, name in ((first, "a"), (second, "bb"), (first | second, "all")):
        write_tiff(tmp_path / f"{name}_m.tif", here[None].astype(np.uint8))
    targets = ("--target", "{parent}/{stem}_t.tif")
    weights, report = train(
        tmp_path, *scenes, *targets, "--mask", "{parent}/{stem}_m.tif", name="x"
    )
    np.testing.assert_allclose(weights, TRUE, atol=1e-5)
    each = ("--mask", tmp_path / "a_m.tif", "--mask", tmp_path / "bb_m.tif")
    again, same = train(tmp_path, *scenes, *targets, *each, name="y")
    same_bits(weights, again)
    assert same["pixels"] == report["pixels"]
    assert report["pixels"]["used"] == first.sum() + second.sum()
    _, both = train(tmp_path, *scenes, *targets, "--mask", tmp_path / "all_m.tif", name="z")
    assert both["pixels"]["used"] == 2 * (first | second).sum()


# ------------------------------------------------------------------------------------------ what de


def test_dead_bands_are_those_of_the_selection(tmp_path: Path) -> None:
    cube = spectra(B, ROWS, COLS)
    cube[1][HERE] = 0.5
    scene = write_tiff(tmp_path / "cube.tif", cube)
    target = write_tiff(tmp_path / "t.tif", blend(cube, TRUE).astype(np.float32))
    _, report = train(tmp_path, scene, "--target", target, "--window", 5, 10, 15, 25)
    assert [(d["band"], d["reason"]) for d in report["bands_dropped"]] == [(2, "constant (0.5)")]
    _, report = train(tmp_path, scene, "--target", target, name="all")
    assert report["bands_dropped"] == []


def test_a_small_selection_in_a_large_scene_is_found(tmp_path: Path) -> None:
    """The scout looks only where pixels count; a sparse scene without a selection is no dead scene
    either."""
    here = block(slice(900, 905), slice(500, 510), (1000, 600))
    cube = spectra(2, 1000, 600)
    target = blend(cube, [[0.25, 0.75]]).astype(np.float32)
    scene = write_tiff(tmp_path / "cube.tif", cube)
    goal = write_tiff(tmp_path / "t.tif", target)
    weights, report = train(tmp_path, scene, "--target", goal, "--window", 900, 500, 5, 10)
    np.testing.assert_allclose(weights, [[0.25, 0.75]], atol=1e-5)
    assert (report["pixels"]["used"], report["bands_dropped"]) == (50, [])
    sparse = write_tiff(
        tmp_path / "sparse.tif", np.where(here, cube, -9).astype(np.float32), nodata=-9
    )
    _, report = train(tmp_path, sparse, "--target", goal, name="sparse")
    assert (report["pixels"]["used"], report["bands_dropped"]) == (50, [])


def test_fused_rasters_cover_the_scene(tmp_path: Path) -> None:
    scene, target = write_scene(tmp_path, HERE)
    ok(
        "train",
        scene,
        "--target",
        target,
        "--window",
        5,
        10,
        15,
        25,
        "-o",
        tmp_path / "run",
        "--no-report",
    )
    fused = read(tmp_path / "run" / "fused.tif")
    np.testing.assert_allclose(fused, blend(read(scene), TRUE), atol=1e-5)
    assert profile(tmp_path / "run" / "fused.tif")["transform"] == NORTH_UP


def test_the_sample_is_of_the_selection(tmp_path: Path) -> None:
    """With an activation the fit rests on sampled pixels."""
    scene, target = write_scene(tmp_path, HERE)
    weights, _ = train(
        tmp_path, scene, "--target", target, "--window", 5, 10, 15, 25, "--activation", "relu"
    )
    np.testing.assert_allclose(weights, TRUE, atol=1e-3)


def test_evaluate_scores_the_selection(tmp_path: Path) -> None:
    scene, target = write_scene(tmp_path, HERE)
    weights = tmp_path / "run" / "weights.safetensors"
    train(tmp_path, scene, "--target", target, "--window", 5, 10, 15, 25)
    shape = write_json(tmp_path / "m.geojson", named(UTM, to_map(polygon(CORNERS))))
    for how in (["--window", 5, 10, 15, 25], ["--mask", shape]):
        done = ok("evaluate", weights, scene, "--target", target, *how, "--json").json
        assert done["scores"]["b1"]["rmse"] < 1e-6
        assert done["pixels"]["used"] == HERE.sum()
        assert sum(done["pixels"]["by_reason"].values()) == (~HERE).sum()
    assert (
        ok("evaluate", weights, scene, "--target", target, "--json").json["scores"]["b1"]["rmse"]
        > 0.01
    )
    failed = cli("evaluate", weights, scene, "--target", target, "--bounds", 0, 0, 1, 1)
    assert failed.code == 2
    assert "no pixel of scene 'cube' is selected" in failed.err


def test_bits_do_not_depend_on_windows_or_threads(tmp_path: Path) -> None:
    """A slanted triangle over several cells and blocks, in several layouts, and a sample."""
    rows, cols = 150, 700
    cube = spectra(B, rows, cols)
    target = write_tiff(tmp_path / "t.tif", blend(cube, TRUE).astype(np.float32) + cube[:1] ** 2)
    slanted = [[3.3, 140.1], [690.7, 77.7], [111.1, 2.2], [3.3, 140.1]]
    shape = transform_geom(UTM, "EPSG:4326", to_map(polygon(slanted)))
    mask = write_json(tmp_path / "m.geojson", shape)
    found = set()
    for name, threads, memory in (
        ("tiled-band", 1, 16),
        ("strips-pixel", 3, 64),
        ("tiled-pixel", 2, 256),
    ):
        scene = write_tiff(tmp_path / "cube.tif", cube, **LAYOUTS[name])
        how = ("--mask", mask, "--threads", threads, "--memory", memory, "--steps", 3)
        for kind in ("identity", "tanh"):
            weights, report = train(
                tmp_path,
                scene,
                "--target",
                target,
                *how,
                "--activation",
                kind,
                "--overwrite",
                name=kind,
            )
            found.add((kind, weights.tobytes(), report["pixels"]["used"]))
    assert len(found) == 2


def test_windows_outside_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bandfuse.raster import Reader

    cube = spectra(B, 200, 900)
    scene = write_tiff(tmp_path / "cube.tif", cube, **LAYOUTS["tiled-band"])
    target = write_tiff(tmp_path / "t.tif", blend(cube, TRUE).astype(np.float32))
    seen: list[Window] = []
    original = Reader.read
    monkeypatch.setattr(
        Reader, "read", lambda self, window: (seen.append(window), original(self, window))[1]
    )
    monkeypatch.setattr("bandfuse.streaming.budget.plan", lambda shape, *_: tile(shape, 64, 256))
    train(tmp_path, scene, "--target", target, "--window", 70, 300, 20, 30)
    assert (64, 256) in {(w.row, w.col) for w in seen}
    meets = [
        w.row < 90 and w.row + w.rows > 70 and w.col < 330 and w.col + w.cols > 300 for w in seen
    ]
    assert all(meets), seen


# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_polygons_are_filled_as_gdal_fills_them(seed: int) -> None:
    """Stars with holes, partly off the scene; every pixel's answer is the same from any window."""
    rng = np.random.default_rng(seed)
    shape = (70, 300)
    angle = np.sort(rng.uniform(0, 2 * np.pi, 25))
    star = rng.uniform(5, 160, (25, 1)) * np.stack([np.cos(angle), 0.4 * np.sin(angle)], axis=1) + [
        150,
        35,
    ]
    rings = [
        np.vstack([r, r[:1]]) for r in (star, np.array([[140.2, 30.1], [160, 31], [151, 44.4]]))
    ]
    shape_of = {"type": "Polygon", "coordinates": [r.tolist() for r in rings]}
    expected = geometry_mask([shape_of], shape, Affine(1, 0, 0, 0, 1, 0), invert=True)
    made = Polygon.of(rings)
    whole = made.inside(Window(0, 0, *shape))
    assert np.array_equal(whole, expected)
    for window in tile(shape, 17, 90):
        assert np.array_equal(made.inside(window), whole[window.within(Window(0, 0, *shape))])


def test_polygons_that_touch_share_no_pixel() -> None:
    """Corners and edges on pixel centres: every pixel of the square is in one of the four
    triangles."""
    centre, corners = [4.5, 4.5], [[0.5, 0.5], [8.5, 0.5], [8.5, 8.5], [0.5, 8.5], [0.5, 0.5]]
    parts = [Polygon.of([np.array([centre, corners[i], corners[i + 1], centre])]) for i in range(4)]
    count = np.sum([p.inside(Window(0, 0, 10, 10)) for p in parts], axis=0)
    assert set(count[0:8, 0:8].ravel()) == {1}
    assert count.sum() == 64


def test_long_edges_bend_between_crs(tmp_path: Path) -> None:
    """A line of equal latitude is no straight line in UTM: against the corners of a densely sampled
    one."""
    grid = blank(400, 400, (1000, 0, 300_000, 0, -1000, 6_400_000), 32633)
    west, east, south, north = 12.0, 18.0, 54.5, 57.0
    mask = write_json(tmp_path / "m.geojson", polygon(box(west, north, east, south)))
    row, col = np.mgrid[:400, :400]
    x, y = grid.transform @ (col.ravel() + 0.5, row.ravel() + 0.5)
    lon, lat = map(np.array, transform(CRS.from_epsg(32633), CRS.from_epsg(4326), x, y))
    expected = ((lon > west) & (lon < east) & (lat > south) & (lat < north)).reshape(400, 400)
    with opened_selection(select(grid, mask, None, None)) as where:
        assert where is not None
        found = ~where.outside(Window(0, 0, 400, 400))
    assert 20_000 < expected.sum() < 150_000
    assert (found != expected).sum() <= 20  # straight edges would miss over 500


# --------------------------------------------------------------------------------------------------


def test_nothing_but_nodata_selected(tmp_path: Path) -> None:
    cube = spectra(B, ROWS, COLS)
    cube[:, :5] = -1
    scene = write_tiff(tmp_path / "cube.tif", cube, nodata=-1)
    message = refused(tmp_path, scene, "--groups", "equal:2", "--window", 0, 0, 5, 40)
    assert "no valid pixel in --window 0 0 5 40" in message


def test_nothing_selected(tmp_path: Path) -> None:
    scene, target = write_scene(tmp_path, HERE)
    empty = write_tiff(tmp_path / "empty.tif", np.zeros((1, ROWS, COLS), np.uint8))
    far = write_json(tmp_path / "far.geojson", polygon(box(100, 10, 101, 9)))
    for how, told in (
        (["--mask", empty], "empty.tif"),
        (["--bounds", 0, 0, 10, 10], "--bounds 0 0 10 10"),
        (["--mask", far], "far.geojson"),
    ):
        message = refused(tmp_path, scene, "--target", target, *how)
        assert "no pixel of scene 'cube' is selected" in message
        assert told in message


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (["--window", 0, 0, 31, 10], ["--window leaves", "rows up to 31", "at most 30 rows"]),
        (["--window", 0, 0, 0, 10], ["window", "at least one row"]),
        (["--window", -1, 0, 5, 10], ["window", "from 0"]),
        (["--bounds", 5, 0, 1, 10], ["bounds", "each minimum below its maximum"]),
        (["--bounds", 5, 0, 1], ["--bounds", "4 numbers"]),
        (["--mask", "nowhere.tif"], ["nowhere.tif does not exist"]),
        (["--set", "window=[1, 2]"], ["window"]),
    ],
)
def test_refused_numbers(tmp_path: Path, how: list[object], words: list[str]) -> None:
    scene, target = write_scene(tmp_path, HERE)
    message = refused(tmp_path, scene, "--target", target, *how)
    assert all(word in message for word in words), message


def test_refused_masks(tmp_path: Path) -> None:
    scene, target = write_scene(tmp_path, HERE)

    def says(path: str) -> str:
        return refused(tmp_path, scene, "--target", target, "--mask", path)

    nowhere: dict[str, Any] = {"crs": None, "transform": None}
    assert "is not on the grid of" in says(
        write_tiff(tmp_path / "small.tif", np.ones((1, 5, 5), np.uint8), **nowhere)
    )
    away = {"transform": NORTH_UP @ Affine.translation(500, 0)}
    assert "lies elsewhere than" in says(
        write_tiff(tmp_path / "away.tif", np.ones((1, 5, 5), np.uint8), **away)
    )
    assert "2 bands" in says(write_tiff(tmp_path / "two.tif", np.ones((2, ROWS, COLS), np.uint8)))
    (tmp_path / "shapes.gpkg").write_text("no database")
    assert "ogr2ogr" in says(str(tmp_path / "shapes.gpkg"))
    (tmp_path / "torn.geojson").write_text('{"type": "Polygon", "coordin')
    assert "is not GeoJSON" in says(str(tmp_path / "torn.geojson"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([1, 2], ["something else than polygons", "got list"]),
        ({"type": "Point", "coordinates": [1, 2]}, ["something else than polygons", "got Point"]),
        ({"type": "FeatureCollection", "features": []}, ["holds no polygon"]),
        ({"type": "Feature"}, ["not complete GeoJSON"]),
        (polygon([[0, 0], [1, 1], [0, 0]]), ["not complete GeoJSON", "a ring of 3 positions"]),
        (polygon([[0, 0], [1, 1], [1], [0, 0]]), ["cannot be", "complete GeoJSON"]),
        (polygon([[0, 0], [1, float("nan")], [1, 0], [0, 0]]), ["not a number"]),
        (polygon(box(0, 200, 10, 100)), ["cannot be brought to the CRS", "longitude and latitude"]),
        (named("EPSG:99999999", polygon(CORNERS)), ["a CRS that is not known", "99999999"]),
        ({**polygon(CORNERS), "crs": {"type": "link"}}, ["a CRS that is not known"]),
    ],
)
def test_refused_geojson(tmp_path: Path, content: object, words: list[str]) -> None:
    scene, target = write_scene(tmp_path, HERE)
    message = refused(
        tmp_path, scene, "--target", target, "--mask", write_json(tmp_path / "m.geojson", content)
    )
    assert any(word in message for word in words), message


def test_a_mask_with_crs_needs_a_scene_with_one(tmp_path: Path) -> None:
    scene, target = write_scene(tmp_path, HERE, crs=None, transform=None)
    message = refused(
        tmp_path,
        scene,
        "--target",
        target,
        "--mask",
        write_json(tmp_path / "m.json", polygon(CORNERS)),
    )
    assert "a scene without CRS" in message
    assert '"crs": null' in message
