"""Vector files as masks and labels: GeoPackage, shapefile, FlatGeobuf and GeoJSON, in any CRS,
against rasterio and a formula in numpy."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.features import geometry_mask
from rasters import NORTH_UP, UTM, cli, ok, spectra, write_tiff
from vectors import SUFFIXES, box, features, on_map, write_json, write_vector

from bandfuse.raster import blank, describe, describe_labels, opened_selection, select
from bandfuse.raster.polygons import PART, Areas, Polygon
from bandfuse.streaming.windows import Window, tile

ROWS, COLS = 40, 60
CRSES = [UTM, "EPSG:4326", "EPSG:3857", "EPSG:3035"]
SHAPE = shapely.Polygon(
    [(3.3, 2.2), (55.1, 8.4), (41.7, 37.6), (9.4, 31.2)],
    [[(20.1, 10.2), (30.3, 12.4), (26.2, 22.1)]],
)


@pytest.fixture
def cube(tmp_path: Path) -> str:
    return write_tiff(tmp_path / "cube.tif", spectra(4, ROWS, COLS))


def written(path: Path, shapes: list[Any], fields: dict[str, Any], crs: str | None) -> str:
    if path.suffix == ".geojson":
        return write_json(path, features(shapes, fields, crs))
    return write_vector(path, shapes, fields, crs=crs)


def mask_of(cube: str, path: str, layer: str | None = None) -> np.ndarray:
    """(rows, cols): pixels that count, by a mask."""
    with opened_selection(select(describe(cube), path, None, None, layer=layer)) as where:
        assert where is not None
        return ~where.outside(Window(0, 0, ROWS, COLS))


def classes_of(cube: str, path: str, **how: Any) -> tuple[np.ndarray, dict[int, str]]:
    """(rows, cols) classes, 0 for none; and their names."""
    found = describe_labels(path, describe(cube), **how)
    return np.nan_to_num(found.drawn(Window(0, 0, ROWS, COLS))), dict(found.names)


def report(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return found


# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("crs", CRSES)
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_masks_in_every_format_and_crs(cube: str, tmp_path: Path, suffix: str, crs: str) -> None:
    path = written(tmp_path / f"m{suffix}", [on_map(SHAPE, crs)], {"id": [1]}, crs)
    expected = geometry_mask(
        [shapely.geometry.mapping(on_map(SHAPE))], (ROWS, COLS), NORTH_UP, invert=True
    )
    found = mask_of(cube, path)
    assert 500 < expected.sum() < 1500
    # Straight lines of another CRS bend a little.
    assert (found != expected).sum() <= (0 if crs == UTM else 2)


@pytest.mark.parametrize("crs", [UTM, "EPSG:4326"])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_labels_in_every_format(cube: str, tmp_path: Path, suffix: str, crs: str) -> None:
    """Text classes keep their names; of two that overlap, the class that comes later counts.
    FlatGeobuf sorts its features by place."""
    last = 40 if suffix == ".fgb" else 35
    shapes = [box(0, 0, 20, 40), box(20, 0, 40, 40), box(last, 0, 60, 40)]
    names = ["wäter, deep", "soil", "grass"]
    path = written(
        tmp_path / f"l{suffix}",
        [on_map(s, crs) for s in shapes],
        {"id": [7, 8, 9], "what": names},
        crs,
    )
    found, known = classes_of(cube, path, field="what")
    assert known == {1: "grass", 2: "soil", 3: "wäter, deep"}
    expected = np.zeros((ROWS, COLS))
    expected[:, :20], expected[:, 20:40], expected[:, last:] = 3, 2, 1
    np.testing.assert_array_equal(found, expected)
    numbers, known = classes_of(cube, path, field="id")
    assert known == {7: "7", 8: "8", 9: "9"}
    np.testing.assert_array_equal(numbers, np.choose(expected.astype(int), [0, 9, 8, 7]))


def test_names_of_classes_stand_in_the_report(cube: str, tmp_path: Path) -> None:
    shapes = [on_map(box(0, 0, 20, 40)), on_map(box(20, 0, 60, 40))]
    path = write_vector(tmp_path / "l.gpkg", shapes, {"what": ["soil", "forest"]})
    run = tmp_path / "run"
    ok(
        "train",
        cube,
        "--labels",
        path,
        "--groups",
        "equal:2",
        "-o",
        run,
        "--no-fused",
        "--no-report",
    )
    assert report(run)["classes"] == [
        {"value": 1, "name": "forest", "pixels": 1600},
        {"value": 2, "name": "soil", "pixels": 800},
    ]
    told = report(run)["inputs"][-1]
    assert (told["path"], told["crs"]) == (path, UTM)
    assert told["size"] == Path(path).stat().st_size


def test_layers_of_a_geopackage(cube: str, tmp_path: Path) -> None:
    path = tmp_path / "l.gpkg"
    write_vector(path, [on_map(box(0, 0, 60, 20))], {"id": [1]}, layer="area")
    classes = [on_map(box(0, 0, 30, 40)), on_map(box(30, 0, 60, 40))]
    write_vector(path, classes, {"what": ["a", "b"]}, layer="fields", append=True)
    train = ("train", cube, "--groups", "equal:2", "--no-report", "--no-fused", "-o")
    refused = cli(*train, tmp_path / "no", "--labels", path)
    assert refused.code == 2
    assert "which layer is meant? got area, fields" in refused.err.replace(";", "")
    refused = cli(*train, tmp_path / "no", "--labels", path, "--layer", "field")
    assert refused.code == 2
    assert "Did you mean 'fields'?" in refused.err
    ok(*train, tmp_path / "one", "--labels", path, "--layer", "fields")
    assert [row["pixels"] for row in report(tmp_path / "one")["classes"]] == [1200, 1200]
    both = ("--mask", path, "--layer", "labels=fields", "--layer", "mask=area")
    ok(*train, tmp_path / "two", "--labels", path, *both)
    assert [row["pixels"] for row in report(tmp_path / "two")["classes"]] == [600, 600]
    refused = cli(*train, tmp_path / "no", "--layer", "fields")
    assert refused.code == 2
    assert "--layer does not name a layer of a vector file" in refused.err


def test_only_what_lies_near_the_scene_is_read(cube: str, tmp_path: Path) -> None:
    """Classes elsewhere keep their numbers: those of a name are the same for every scene."""
    shapes = [box(0, 0, 20, 40), box(20, 0, 60, 40), box(5000, 0, 5010, 10)]
    placed = [on_map(s) for s in shapes]
    path = write_vector(tmp_path / "l.fgb", placed, {"what": ["b", "c", "a"]})
    labels = describe_labels(path, describe(cube))
    assert labels.areas is not None
    assert len(labels.areas.polygons) == 2
    assert dict(labels.names) == {1: "a", 2: "b", 3: "c"}
    assert "classes that lie outside of cube.tif: a" in labels.file.messages


def test_a_scene_at_the_antimeridian(tmp_path: Path) -> None:
    """UTM zone 1 begins at 180° west: a part of the scene lies east, the other west of it."""
    transform = (1000.0, 0.0, 280_000.0, 0.0, -1000.0, 6_000_000.0)
    grid = blank(40, 60, transform, 32601)
    half = shapely.box(179.0, 53.0, 180.0, 55.0), shapely.box(-180.0, 53.0, -179.0, 55.0)
    path = write_vector(tmp_path / "m.gpkg", list(half), {"id": [1, 2]}, crs="EPSG:4326")
    with opened_selection(select(grid, path, None, None)) as where:
        assert where is not None
        found = ~where.outside(Window(0, 0, 40, 60))
    assert found.all()


def test_a_file_without_crs_lies_in_that_of_the_scene(cube: str, tmp_path: Path) -> None:
    shapes = [on_map(box(0, 0, 20, 40)), on_map(box(20, 0, 60, 40))]
    path = write_vector(tmp_path / "l.shp", shapes, {"what": ["a", "b"]}, crs=None)
    found, _ = classes_of(cube, path)
    assert [(found == k).sum() for k in (1, 2)] == [800, 1600]
    done = ok("train", cube, "--labels", path, "-o", tmp_path / "run", "--no-report", "--no-fused")
    assert "the file says no CRS" in done.err


def test_other_files_of_a_shapefile_are_inputs(cube: str, tmp_path: Path) -> None:
    shapes = [on_map(box(0, 0, 20, 40)), on_map(box(20, 0, 60, 40))]
    path = Path(write_vector(tmp_path / "l.shp", shapes, {"what": ["a", "b"]}))
    found = describe_labels(str(path), describe(cube)).file
    endings = {Path(name).suffix for name in found.files}
    assert endings == {".shx", ".dbf", ".prj", ".cpg"}
    for ending in (".shx", ".dbf"):
        other = path.with_suffix(ending)
        content = other.read_bytes()
        other.unlink()
        done = cli("train", cube, "--labels", path, "-o", tmp_path / "no")
        assert done.code == 2
        assert f"is one file of a shapefile; got no l{ending} beside it" in done.err
        assert done.err.count("\n") == 1
        other.write_bytes(content)


def test_a_geopackage_of_rasters_is_a_raster(cube: str, tmp_path: Path) -> None:
    path = tmp_path / "m.gpkg"
    mask = np.zeros((1, ROWS, COLS), np.int16)
    mask[:, :10] = 1
    how = {"height": ROWS, "width": COLS, "count": 1, "dtype": "int16"}
    with rasterio.open(path, "w", driver="GPKG", crs=UTM, transform=NORTH_UP, **how) as ds:
        ds.write(mask)
    assert mask_of(cube, str(path)).sum() == 600


@pytest.mark.parametrize(
    ("shapes", "fields", "flags", "words"),
    [
        ([box(0, 0, 9, 9)], {"a": ["x"], "b": ["y"]}, [], "which property is the class?"),
        ([box(0, 0, 9, 9)], {"a": ["x"], "b": ["y"]}, ["--label-field", "aa"], "no field 'aa'"),
        ([box(0, 0, 9, 9)], {"a": [0.5]}, [], "a feature has no class; got 0.5"),
        ([box(0, 0, 9, 9), box(9, 9, 12, 12)], {"a": ["x", None]}, [], "has no class; got null"),
        ([box(5000, 0, 5009, 9)], {"a": ["x"]}, [], "lie elsewhere"),
    ],
)
def test_labels_that_are_refused(
    cube: str,
    tmp_path: Path,
    shapes: list[Any],
    fields: dict[str, Any],
    flags: list[str],
    words: str,
) -> None:
    path = write_vector(tmp_path / "l.gpkg", [on_map(s) for s in shapes], fields)
    done = cli("train", cube, "--labels", path, *flags, "-o", tmp_path / "no")
    assert done.code == 2
    assert words in done.err
    assert done.err.count("\n") == 1


def test_other_geometries_are_refused(cube: str, tmp_path: Path) -> None:
    lines = [on_map(shapely.LineString([(1, 1), (9, 9)]))]
    path = write_vector(tmp_path / "l.gpkg", lines, {"a": ["x"]}, geometry_type="LineString")
    done = cli("train", cube, "--mask", path, "-o", tmp_path / "no")
    assert done.code == 2
    assert "something else than polygons; got LineString" in done.err


def test_broken_files_are_one_line(cube: str, tmp_path: Path) -> None:
    whole = Path(write_vector(tmp_path / "l.gpkg", [on_map(SHAPE)], {"a": ["x"]})).read_bytes()
    for name, content in (
        ("a.gpkg", whole[: len(whole) // 3]),
        ("b.gpkg", b"SQLite format 3\0" + bytes(5000)),
        ("c.fgb", b"fgb\x03fgb\x01" + bytes(100)),
        ("d.shp", b"\x00\x00\x27\x0a" + bytes(50)),
    ):
        (tmp_path / name).write_bytes(content)
        for flag in ("--mask", "--labels"):
            done = cli("train", cube, flag, tmp_path / name, "-o", tmp_path / "no")
            assert (done.code, done.err.count("\n")) == (2, 1), done.err


def test_a_crs_that_is_no_text_is_one_line(cube: str, tmp_path: Path) -> None:
    path = Path(write_vector(tmp_path / "l.shp", [on_map(SHAPE)], {"a": ["x"]}))
    projection = path.with_suffix(".prj")
    projection.write_bytes(projection.read_bytes().replace(b"WGS", b"W\xbaS"))
    done = cli("train", cube, "--mask", path, "-o", tmp_path / "no")
    assert (done.code, done.err.count("\n")) == (2, 1), done.err
    assert "l.shp cannot be read" in done.err


def test_too_many_corners_are_refused(
    cube: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring = on_map(shapely.Point(30, 20).buffer(10, 100), "EPSG:4326")
    path = write_vector(tmp_path / "m.gpkg", [ring], {"a": ["x"]}, crs="EPSG:4326")
    assert mask_of(cube, path).any()
    monkeypatch.setattr("bandfuse.raster.polygons.MOST_CORNERS", 100)
    done = cli("train", cube, "--mask", path, "-o", tmp_path / "no")
    assert done.code == 2
    assert "too many corners" in done.err
    monkeypatch.setattr("bandfuse.raster.vectors.MOST_CORNERS", 100)
    done = cli("train", cube, "--mask", path, "-o", tmp_path / "no")
    assert "too many corners" in done.err


# --------------------------------------------------------------------------------------------------


def even_odd(rings: list[np.ndarray], rows: int, cols: int) -> np.ndarray:
    """Pixels whose centres rings enclose oddly often: edges to the left of each centre, counted
    exactly where corners are multiples of a quarter."""
    y, x = np.mgrid[:rows, :cols] + 0.5
    count = np.zeros((rows, cols), int)
    for ring in rings:
        for (x0, y0), (x1, y1) in pairwise(ring):
            crosses = (np.minimum(y0, y1) <= y) & (y < np.maximum(y0, y1))
            left = (x - x0) * abs(y1 - y0) >= (y - y0) * (x1 - x0) * np.sign(y1 - y0)
            count += crosses & left
    return count % 2 == 1


quarters = st.integers(-80, 400).map(lambda n: n / 4)
corners = st.lists(st.tuples(quarters, quarters), min_size=3, max_size=7)


@settings(max_examples=60, deadline=None)
@given(rings=st.lists(corners, min_size=1, max_size=2), part=st.sampled_from([(5, 7), (16, 64)]))
def test_polygons_are_filled_by_the_even_odd_rule(
    rings: list[list[tuple[float, float]]], part: tuple[int, int]
) -> None:
    """Any rings, with corners and edges on centres of pixels; in parts of any size."""
    closed = [np.array([*ring, ring[0]]) for ring in rings]
    expected = even_odd(closed, 70, 90)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bandfuse.raster.polygons.PART", part)
        patch.setattr("bandfuse.raster.polygons.FEW", 0)
        np.testing.assert_array_equal(Polygon.of(closed).inside(Window(0, 0, 70, 90)), expected)


def test_a_pixel_does_not_depend_on_the_window() -> None:
    """Over several parts, with edges that pass through centres of pixels but for rounding."""
    rng = np.random.default_rng(0)
    shape = (3 * PART[0], PART[1] + 300)
    polygons = []
    for _ in range(20):
        centre, step = rng.integers(20, 150, 2) + 0.5, rng.integers(3, 40, 2) / 3
        ring = np.array([(0, 0), (step[0], 0), step, (0, step[1]), (0, 0)]) * 3 + centre
        polygons.append(Polygon.of([ring / 3 * 3 + [PART[1] - 100, 0]]))
    areas = Areas.of(polygons, range(1, 21))
    whole = areas.burnt(Window(0, 0, *shape))
    assert len(np.unique(whole)) > 10
    for window in tile(shape, 17, 90):
        np.testing.assert_array_equal(
            areas.burnt(window), whole[window.within(Window(0, 0, *shape))]
        )


def test_corners_beyond_what_gdal_counts() -> None:
    for far in (1e9, 1e12, 1e300):
        ring = np.array([(-far, -far), (far, -far), (far, far), (-far, far), (-far, -far)])
        assert Polygon.of([ring]).inside(Window(0, 0, 9, 9)).all()


# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_info_describes_a_vector_file(tmp_path: Path, suffix: str) -> None:
    shapes = [on_map(box(0, 0, 20, 40)), on_map(box(20, 0, 60, 40)), on_map(box(0, 0, 1, 1))]
    fields = {"what": ["soil", "forest", "soil"], "area": [1.5, 2.5, 3.5]}
    path = written(tmp_path / f"fields{suffix}", shapes, fields, UTM)
    (vector,) = ok("info", path, "--json").json["vectors"]
    assert (vector["path"], vector["driver"]) == (path, SUFFIXES[suffix])
    (layer,) = vector["layers"]
    assert (layer["name"], layer["geometry"]) == ("fields", "Polygon")
    assert (layer["features"], layer["crs"]) == (3, UTM)
    assert layer["fields"] == [
        {"name": "what", "kind": "text", "distinct": 2, "values": {"soil": 2, "forest": 1}},
        {"name": "area", "kind": "number", "distinct": 3, "values": None},
    ]
    shown = ok("info", path).out
    assert "fields: 3 features of type Polygon, EPSG:32633" in shown
    assert "what (text), 2 values: soil (2), forest (1)" in shown
    assert "bands" not in shown


def test_info_of_a_raster_and_a_vector_file(cube: str, tmp_path: Path) -> None:
    path = write_vector(tmp_path / "l.gpkg", [on_map(SHAPE)], {"a": ["x\x1b[31m"]})
    found = ok("info", cube, path, "--json").json
    assert ([s["path"] for s in found["scenes"]], len(found["vectors"])) == ([cube], 1)
    assert "\x1b[31m" not in ok("info", path).out
    refused = cli("info", path, "--groups", "equal:2")
    assert refused.code == 2
    assert "vectors" not in ok("info", cube, "--json").json
