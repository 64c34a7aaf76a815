"""A part of a scene is written with the bits of the whole, and lies where it belongs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from helpers import same_bits
from makers import in_parts, pickled, weights_for
from rasters import (
    LAYOUTS,
    NORTH_UP,
    ROTATED,
    cli,
    listing,
    ok,
    profile,
    read,
    spectra,
    wavelengths,
    write_tiff,
)

WINDOWS = {
    "a corner": (0, 0, 5, 7),
    "within a cell": (17, 260, 3, 30),
    "across cells": (10, 200, 100, 300),
    "one pixel": (149, 599, 1, 1),
    "full rows": (33, 0, 40, 600),
    "all": (0, 0, 150, 600),
}


@pytest.fixture
def scene(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Weights, a cube with gaps that is larger than a few cells, and their folder."""
    x = spectra(6, 150, 600)
    x[:, 70:90, :300] = np.nan
    write_tiff(tmp_path / "x.tif", x, nm=wavelengths(6), **LAYOUTS["tiled-band"])
    return weights_for(tmp_path), tmp_path / "x.tif", tmp_path


@pytest.mark.parametrize("name", WINDOWS)
def test_a_window_is_the_cut_of_the_whole(name: str, scene: tuple[Path, Path, Path]) -> None:
    weights, cube, folder = scene
    row, col, rows, cols = WINDOWS[name]
    whole = ok("apply", weights, cube, "-o", folder / "whole.tif", "--json").json
    part = ok(
        *("apply", weights, cube, "-o", folder / "part.tif", "--json"),
        *("--window", row, col, rows, cols, "--memory", 16, "--threads", 3),
    ).json
    cut = read(folder / "whole.tif")[:, row : row + rows, col : col + cols]
    same_bits(read(folder / "part.tif"), cut)
    shift = rasterio.Affine.translation(col, row)
    assert profile(folder / "part.tif")["transform"] == NORTH_UP @ shift
    assert part["pixels"] == rows * cols < whole["pixels"] + (name == "all")
    assert part["valid_share"] == pytest.approx(np.isfinite(cut).mean(), abs=1e-12)


def test_bounds_take_the_pixels_whose_centres_they_hold(scene: tuple[Path, Path, Path]) -> None:
    weights, cube, folder = scene
    ok("apply", weights, cube, "-o", folder / "whole.tif")
    left, top = 400_000 + 30 * 12, 5_800_000 - 30 * 20
    bounds = left + 15, top - 30 * 8 + 14, left + 30 * 6 + 15, top - 15
    ok("apply", weights, cube, "-o", folder / "part.tif", "--bounds", *bounds)
    # The lower bound is in, the upper one is not: columns 12 to 17, rows 21 to 27.
    same_bits(read(folder / "part.tif"), read(folder / "whole.tif")[:, 21:28, 12:18])
    with rasterio.open(folder / "part.tif") as ds:
        assert (ds.bounds.left, ds.bounds.top) == (left, top - 30)


def test_bounds_agree_with_those_of_a_training(tmp_path: Path) -> None:
    """Both count the same pixels, at edges that fall on centres, too."""
    from bandfuse.applying.part import part_of
    from bandfuse.raster import describe
    from bandfuse.raster.mask import Selection
    from bandfuse.streaming.windows import Window

    grid = describe(write_tiff(tmp_path / "x.tif", spectra(2, 40, 50)))
    random = np.random.default_rng(2)
    for _ in range(200):
        x = np.sort(random.integers(-4, 104, 2)) * 15 + 400_000.0
        y = np.sort(random.integers(-4, 84, 2)) * -15 + 5_800_000.0
        bounds = (x[0], y[1], x[1] + 30, y[0] + 30)
        chosen = Selection(grid, bounds).within_bounds(Window(0, 0, 40, 50))
        if not chosen.any():
            continue
        part = part_of(grid, None, bounds)
        assert part is not None
        mine = np.zeros((40, 50), bool)
        mine[part.row : part.row + part.rows, part.col : part.col + part.cols] = True
        np.testing.assert_array_equal(mine, chosen)


def test_bounds_of_a_turned_scene_hold_all_centres(tmp_path: Path) -> None:
    x = spectra(6, 80, 90)
    write_tiff(tmp_path / "x.tif", x, nm=wavelengths(6), transform=ROTATED)
    weights, (cx, cy) = weights_for(tmp_path), ROTATED @ (40.5, 30.5)
    ok("apply", weights, tmp_path / "x.tif", "-o", tmp_path / "whole.tif")
    how = ["--bounds", cx - 20, cy - 20, cx + 20, cy + 20]
    ok("apply", weights, tmp_path / "x.tif", "-o", tmp_path / "part.tif", *how)
    with rasterio.open(tmp_path / "part.tif") as ds:
        col, row = ~ROTATED @ (ds.transform.c, ds.transform.f)
        values = ds.read()
    row, col = round(row), round(col)
    same_bits(
        values,
        read(tmp_path / "whole.tif")[:, row : row + values.shape[1], col : col + values.shape[2]],
    )
    centres = [ROTATED @ (c + 0.5, r + 0.5) for r in range(80) for c in range(90)]
    inside = [
        divmod(i, 90) for i, (x, y) in enumerate(centres) if abs(x - cx) <= 20 and abs(y - cy) <= 20
    ]
    rows, cols = zip(*inside, strict=True)
    assert row <= min(rows) and max(rows) < row + values.shape[1]  # noqa: PT018
    assert col <= min(cols) and max(cols) < col + values.shape[2]  # noqa: PT018
    assert values[0].size < 3 * len(inside)


def test_parts_of_sources_on_other_grids_have_the_bits_of_the_whole(tmp_path: Path) -> None:
    """The second source is coarser, and is brought to the grid of the first."""
    first = write_tiff(tmp_path / "a.tif", spectra(3, 120, 300), nm=wavelengths(3))
    second = write_tiff(
        tmp_path / "b.tif",
        spectra(2, 60, 150, seed=4),
        nm=[1100.0, 1300.0],
        transform=NORTH_UP @ rasterio.Affine.scale(2),
    )
    sources = ["--source", f"a={first}", "--source", f"b={second}"]
    how = ["--groups", "1-5", "--no-report", "--no-fused", "--folds", 0]
    ok("train", *sources, *how, "-o", tmp_path / "run")
    for name, more in (("whole", []), ("part", ["--window", 21, 37, 50, 240])):
        ok("apply", tmp_path / "run", *sources, "-o", tmp_path / f"{name}.tif", *more)
    same_bits(read(tmp_path / "part.tif"), read(tmp_path / "whole.tif")[:, 21:71, 37:277])


def test_a_part_of_a_rebuilt_cube(scene: tuple[Path, Path, Path]) -> None:
    _, cube, folder = scene
    ok("train", cube, "--groups", "equal:2", "-o", folder / "run", "--no-report", "--folds", 0)
    fused = folder / "run" / "fused.tif"
    for name, more in (("whole", []), ("part", ["--window", 3, 250, 40, 20])):
        ok("apply", folder / "run", fused, "--inverse", "-o", folder / f"{name}.tif", *more)
    same_bits(read(folder / "part.tif"), read(folder / "whole.tif")[:, 3:43, 250:270])


def test_values_that_are_lost_are_counted_in_the_part_alone(scene: tuple[Path, Path, Path]) -> None:
    weights, cube, folder = scene
    how = ["--dtype", "uint8", "--scale", 0.005, "--json"]
    whole = ok("apply", weights, cube, "-o", folder / "whole.tif", *how).json
    quarters = [
        ok("apply", weights, cube, "-o", folder / f"{r}{c}.tif", *how, "--window", r, c, 75, 300)
        for r in (0, 75)
        for c in (0, 300)
    ]
    assert whole["clipped"] > 0
    assert sum(done.json["clipped"] for done in quarters) == whole["clipped"]


def test_a_part_that_others_fuse_has_the_same_bits(scene: tuple[Path, Path, Path]) -> None:
    weights, cube, folder = scene
    how = ["--window", 30, 250, 60, 200, "--memory", 16]
    pickled.seen = []  # type: ignore[attr-defined]
    ok("apply", weights, cube, "-o", folder / "here.tif", *how)
    with in_parts():
        ok("apply", weights, cube, "-o", folder / "there.tif", *how)
    same_bits(read(folder / "here.tif"), read(folder / "there.tif"))


def test_the_item_of_a_part_has_its_place(scene: tuple[Path, Path, Path]) -> None:
    weights, cube, folder = scene
    how = ["--window", 10, 20, 30, 40, "--stac"]
    ok("apply", weights, cube, "-o", folder / "y.tif", *how)
    text = (folder / "y.stac.json").read_text()
    assert json.loads(text)["properties"]["proj:shape"] == [30, 40] or '"proj:shape": [30, 40]' in (
        " ".join(text.split())
    )


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--window", 0, 0, 151, 10], ("--window leaves", "151", "150 rows and 600 columns")),
        (["--window", 0, 0, 0, 10], ("ROW COL ROWS COLS",)),
        (["--bounds", 9, 48, 10, 49], ("--bounds", "EPSG:32633", "400000 5795500 418000 5800000")),
        (["--bounds", 10, 49, 9, 48], ("each minimum below its maximum",)),
    ],
)
def test_a_part_that_is_not_there_is_refused(
    flags: list[object], said: tuple[str, ...], scene: tuple[Path, Path, Path]
) -> None:
    weights, cube, folder = scene
    before = listing(folder)
    done = cli("apply", weights, cube, "-o", folder / "y.tif", *flags)
    assert done.code == 2
    assert [word for word in said if word not in done.err] == [], done.err
    assert listing(folder) == before


def test_an_image_in_sensor_geometry_has_no_parts(tmp_path: Path) -> None:
    import published

    path = published.emit(tmp_path).path
    ok("train", path, "--groups", "1-4", "-o", tmp_path / "run", "--no-report", "--no-fused")
    done = cli("apply", tmp_path / "run", path, "-o", tmp_path / "y.tif", "--window", 0, 0, 2, 2)
    assert done.code == 2
    assert "sensor geometry" in done.err
    assert not (tmp_path / "y.tif").exists()


def test_a_batch_applies_whole_scenes_unless_a_job_says_a_part(
    scene: tuple[Path, Path, Path],
) -> None:
    """A window among the settings of all jobs is that of the trainings."""
    folder = scene[2]
    (folder / "b.yaml").write_text(
        "version: 1\noutput: out\nscenes: [{files: [x.tif]}]\n"
        "defaults: {window: [0, 0, 60, 90], groups: '1-3'}\njobs:\n"
        "  - {name: m, kind: train}\n  - {name: whole, kind: apply, weights: m}\n"
        "  - {name: part, kind: apply, weights: m, settings: {window: [5, 6, 7, 8]}}\n"
    )
    ok("batch", folder / "b.yaml")
    whole, part = (read(folder / "out" / name / "x.tif") for name in ("whole", "part"))
    assert whole.shape[1:] == (150, 600)
    same_bits(part, whole[:, 5:12, 6:14])


# ---------------------------------------------------------------------------------- where it goes


@pytest.mark.parametrize("there", [True, False])
def test_a_folder_for_one_raster(there: bool, scene: tuple[Path, Path, Path]) -> None:
    weights, cube, folder = scene
    out = folder / "new" / "deep"
    if there:
        out.mkdir(parents=True)
    done = ok("apply", weights, cube, "-o", out if there else f"{out}/", "--json")
    assert done.json["outputs"] == [str(out / "x.tif")]
    ok("apply", weights, cube, "-o", folder / "y.tif")
    same_bits(read(out / "x.tif"), read(folder / "y.tif"))


def test_folders_are_taken_away_again_if_nothing_comes_of_them(
    scene: tuple[Path, Path, Path],
) -> None:
    weights, cube, folder = scene
    (folder / "kept").mkdir()
    before = listing(folder)
    for out in (f"{folder}/new/deep/", f"{folder}/kept/deep/"):
        done = cli("apply", weights, cube, "-o", out, "--co", "compress=abacus")
        assert done.code == 2, done.err
    assert {k for k in listing(folder) if k != "kept"} == {k for k in before if k != "kept"}
    done = cli("apply", weights, cube, "-o", f"{cube}/")
    assert done.code == 2
    assert "x.tif" in done.err


def test_a_template_makes_no_folder(scene: tuple[Path, Path, Path]) -> None:
    weights, cube, folder = scene
    done = cli("apply", weights, cube, "-o", folder / "no" / "{stem}.tif")
    assert "no does not exist" in done.err


def test_a_store_is_no_folder_for_rasters(scene: tuple[Path, Path, Path]) -> None:
    """The name of a Zarr store may end in a slash, and the store is replaced as a whole."""
    weights, cube, folder = scene
    ok("apply", weights, cube, "-o", f"{folder}/y.zarr/")
    ok("apply", weights, cube, "-o", f"{folder}/y.zarr", "--overwrite")
    assert not (folder / "y.zarr" / "x.zarr").exists()
    ok("apply", weights, cube, "-o", f"{folder}/out/", "--driver", "Zarr")
    assert (folder / "out" / "x.zarr").is_dir()


# ------------------------------------------------------------------------------------------ nodata


@pytest.mark.parametrize(
    ("kind", "fill"), [("float32", -9999), ("int16", 0), ("uint8", 7), ("uint16", 0)]
)
def test_missing_pixels_hold_the_nodata_that_is_given(
    kind: str, fill: int, scene: tuple[Path, Path, Path]
) -> None:
    weights, cube, folder = scene
    how = [] if kind == "float32" else ["--dtype", kind, "--scale", 0.01]
    ok("apply", weights, cube, "-o", folder / "own.tif", *how)
    ok("apply", weights, cube, "-o", folder / "y.tif", *how, "--nodata-out", fill)
    ours, theirs = read(folder / "y.tif"), read(folder / "own.tif")
    declared = profile(folder / "own.tif")["nodata"]
    missing = np.isnan(theirs) if kind == "float32" else theirs == declared
    assert profile(folder / "y.tif")["nodata"] == fill
    assert missing.any() and not missing.all()  # noqa: PT018
    np.testing.assert_array_equal(ours == fill, missing)
    # A value that would be stored as the fill lies one step beside it; all others stay, but for
    # those that were clipped to leave room for the nodata of the type.
    edge = 254 if (kind, fill) == ("uint8", 7) else None
    same = ~missing & (theirs != fill) & (theirs != edge)
    np.testing.assert_array_equal(ours[same], theirs[same])
    np.testing.assert_array_equal(ours[~missing & (theirs == fill)], fill + 1)
    with rasterio.open(folder / "y.tif") as ds:
        np.testing.assert_array_equal(ds.read_masks() == 0, missing)


@pytest.mark.parametrize("driver", ["ENVI", "Zarr", "COG"])
def test_every_driver_keeps_the_nodata(driver: str, scene: tuple[Path, Path, Path]) -> None:
    weights, cube, folder = scene
    out = folder / {"ENVI": "y.dat", "Zarr": "y.zarr", "COG": "y.tif"}[driver]
    ok("apply", weights, cube, "-o", out, "--driver", driver, "--nodata-out", -1)
    assert profile(out)["nodata"] == -1
    assert (read(out) == -1).any()
    assert not np.isnan(read(out)).any()


@pytest.mark.parametrize(("kind", "fill"), [("uint8", 256), ("uint8", 0.5), ("float32", 1e39)])
def test_a_nodata_that_the_type_does_not_hold(
    kind: str, fill: float, scene: tuple[Path, Path, Path]
) -> None:
    weights, cube, folder = scene
    how = [] if kind == "float32" else ["--scale", 0.01]
    out = ["-o", folder / "y.tif", "--dtype", kind, "--nodata-out", fill]
    done = cli("apply", weights, cube, *out, *how)
    assert done.code == 2
    assert "--nodata-out" in done.err
    assert not (folder / "y.tif").exists()
