"""Sharp images that are displaced: what is said, and what is done."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.transform import Affine
from rasters import cli
from sharp_images import error, scene, seen
from warps import displaced, on_coarse, quadratic

import bandfuse
from bandfuse import SharpenConfig
from bandfuse.errors import ConfigError, MismatchError
from bandfuse.results.sharpening import SharpenResult

Floats = NDArray[np.float64]
FINE = Affine(5, 0, 4e5, 0, -5, 5e6)
SIZE, RATIO = 160, 4
FIELD = quadratic((SIZE, SIZE), 2.0 * RATIO, 1)


def write(path: Path, values: Floats, transform: Affine) -> None:
    options = {"crs": "EPSG:32633", "driver": "GTiff", "dtype": "float32", "nodata": np.nan}
    count, rows, cols = values.shape
    with rasterio.open(
        path, "w", count=count, height=rows, width=cols, transform=transform, **options
    ) as ds:
        ds.write(values.astype(np.float32))


def read(path: Path) -> Floats:
    with rasterio.open(path) as ds:
        return ds.read().astype(np.float64)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cube, a sharp image that lies on it, one that is bent and one that lies elsewhere."""
    folder = tmp_path_factory.mktemp("images")
    truth, sharp = scene(SIZE, noise=0.01, seed=11)
    write(folder / "cube.tif", seen(truth, RATIO), FINE @ Affine.scale(RATIO))
    write(folder / "sharp.tif", sharp, FINE)
    write(folder / "truth.tif", truth, FINE)
    bent = displaced(sharp, quadratic((SIZE, SIZE), 2.0 * RATIO, 1, wide=32))
    write(folder / "bent.tif", bent, FINE)
    write(folder / "beside.tif", sharp, FINE @ Affine.translation(-6, 3))
    return folder


def sharpen(folder: Path, sharp: str, name: str, **settings: Any) -> SharpenResult:
    images = [str(folder / "cube.tif"), str(folder / sharp)]
    settings = {"no_report": name != "field", **settings}
    config = SharpenConfig(images=images, output=str(folder / name), blur=0.3, **settings)
    return bandfuse.sharpen(config)


@pytest.mark.one_in(2)
@pytest.mark.parametrize("shift", [None, "auto"])
def test_a_displacement_that_varies_stops_the_run(folder: Path, shift: str | None) -> None:
    with pytest.raises(MismatchError, match=r"vary over the scene; got \d\.\d\d pixels") as caught:
        sharpen(folder, "bent.tif", "stopped", shift=shift)
    message = str(caught.value)
    for text in ("quadratic field", "windows", "at most 0.3", "--shift field", "--shift keep"):
        assert text in message
    places = message[message.index("top ") :].rstrip(".").split("; ")
    shown = np.array([[p.split(",") for p in place.split()[1:]] for place in places], dtype=float)
    known = FIELD[:, :: SIZE // 2 - 1, :: SIZE // 2 - 1][:, :3, :3] / RATIO
    assert np.abs(shown - known[::-1].transpose(1, 2, 0)).max() < 0.25
    assert not (folder / "stopped").exists()


def test_the_command_line_says_it_in_one_message(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    done = cli("sharpen", "cube.tif", "bent.tif", "-o", "stopped")
    assert done.code == 2
    assert done.err.count("error:") == 1
    assert "Traceback" not in done.err


def test_a_field_brings_the_image_onto_the_cube(folder: Path) -> None:
    result = sharpen(folder, "bent.tif", "field", shift="field")
    row = result.registration[0]
    assert (row.moved, row.certain) == ("field", True)
    assert row.order in ("quadratic", "cubic")
    assert 0.0 < row.error < 0.1
    assert row.windows <= row.of
    known = on_coarse(FIELD, RATIO)
    off = [
        np.hypot(
            p.dy - known[0, round(p.row), round(p.col)], p.dx - known[1, round(p.row), round(p.col)]
        )
        for p in row.field
    ]
    assert np.sqrt(np.mean(np.square(off))) < 0.2  # places lie between pixels
    kept = sharpen(folder, "bent.tif", "kept", shift="keep")
    assert kept.registration[0].moved == "no"
    sharpen(folder, "sharp.tif", "plain")
    truth = read(folder / "truth.tif")
    errors = {
        name: error(read(folder / name / "sharpened.tif"), truth, border=24)
        for name in ("field", "kept", "plain")
    }
    assert errors["field"] < 1.1 * errors["plain"] + 0.01 * truth.std()
    assert errors["kept"] > 3 * errors["field"]
    report = json.loads((folder / "field" / "report.json").read_text(encoding="utf-8"))
    assert report["registration"][0]["range"] == row.range > 1


def test_an_image_that_lies_beside_the_cube_is_moved_as_a_whole(folder: Path) -> None:
    told = sharpen(folder, "beside.tif", "told").registration[0]
    assert (told.order, told.moved) == ("constant", "no")
    assert (told.dx, told.dy) == pytest.approx((1.5, -0.75), abs=0.02)
    moved = sharpen(folder, "beside.tif", "moved", shift="auto")
    assert moved.registration[0].moved == "whole"
    given = sharpen(folder, "beside.tif", "given", shift=(1.5, -0.75))
    assert given.registration == []
    with rasterio.open(folder / "moved" / "sharpened.tif") as ds:
        assert ds.transform.c == pytest.approx(4e5 - 30 + told.dx * 20, abs=5.01)


def test_an_image_that_lies_on_the_cube_is_left_alone(folder: Path) -> None:
    for shift in (None, "auto", "field"):
        result = sharpen(folder, "sharp.tif", f"on_{shift}", shift=shift)
        row = result.registration[0]
        assert row.range < 0.1
        assert np.hypot(row.dx, row.dy) < 0.03


def test_a_word_that_is_no_way_to_move_is_an_error(folder: Path) -> None:
    with pytest.raises((ConfigError, ValueError), match="auto, field, keep, or DX,DY"):
        sharpen(folder, "sharp.tif", "wrong", shift="everywhere")
