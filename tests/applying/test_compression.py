"""Whether a raster is compressed: by what its cells come to, and never against what is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import fusion_of
from rasters import profile, read, write_tiff

from bandfuse.applying import compression
from bandfuse.applying.compression import looked_at, may_leave_out, worth_it
from bandfuse.config.commands import ApplyConfig
from bandfuse.model.model import Model
from bandfuse.model.weightsfile import dumps
from bandfuse.streaming.windows import Window, cells
from bandfuse.tools.apply import apply

SHAPE, FILL = (150, 300), -32768
TILES = {"tiled": True, "blockxsize": 256, "blockysize": 64}


@pytest.mark.parametrize(
    "part",
    [
        Window(0, 0, 1, 1),
        Window(0, 0, 128, 2048),
        Window(40, 100, 60, 180),
        Window(5, 1000, 3000, 7),
    ],
)
def test_the_cells_that_are_looked_at_are_some_of_the_part(part: Window) -> None:
    chosen = looked_at(part)
    assert 1 <= len(chosen) <= 4
    assert set(chosen) <= set(cells(part))


def test_noise_is_not_worth_it_and_what_repeats_is() -> None:
    noise = np.random.default_rng(0).normal(size=(3, 16, 256)).astype(np.float32)
    half = noise.copy()
    half[:, :8] = np.nan
    assert not worth_it([noise, noise])
    assert worth_it([half])
    assert worth_it([noise, np.full_like(noise, np.nan)])
    assert worth_it([np.round(30 * noise).astype(np.int16)])
    assert worth_it([noise.transpose(0, 2, 1) * 0])


@pytest.mark.parametrize(
    ("driver", "options", "size", "expected"),
    [
        ("GTiff", {}, compression.LARGE, True),
        ("GTiff", {"bigtiff": "YES"}, compression.LARGE, True),
        ("GTiff", {}, compression.LARGE - 1, False),
        ("GTiff", {"compress": "LZW"}, compression.LARGE, False),
        ("GTiff", {"Predictor": "3"}, compression.LARGE, False),
        ("GTiff", {"ZLEVEL": "9"}, compression.LARGE, False),
        ("COG", {}, compression.LARGE, False),
        ("ENVI", {}, compression.LARGE, False),
    ],
)
def test_only_large_geotiffs_without_such_an_option_are_decided_for(
    driver: str, options: dict[str, str], size: int, expected: bool
) -> None:
    assert may_leave_out(driver, options, size) == expected


def scene(folder: Path, *, empty: float = 0.0, **how: Any) -> str:
    """Noise in 20 bands; so much of its columns is missing."""
    values = np.random.default_rng(1).integers(0, 6000, (20, *SHAPE)).astype("int16")
    values[:, :, : round(empty * SHAPE[1])] = FILL
    return write_tiff(folder / "cube.tif", values, nodata=FILL, **how)


def compressed(folder: Path, cube: str, **how: Any) -> str:
    """How the fused raster is compressed."""
    matrix = np.random.default_rng(2).random((2, 20))
    (folder / "w.safetensors").write_bytes(dumps(Model(fusion_of(matrix))))
    out = folder / "out.tif"
    apply(
        folder / "w.safetensors", ApplyConfig(scenes=[cube], output=str(out), overwrite=True, **how)
    )
    assert np.isfinite(read(out)).any()
    return str(profile(out).get("compress", "none"))


@pytest.mark.parametrize("how", [{}, TILES, {**TILES, "interleave": "pixel"}])
def test_a_large_raster_of_noise_is_not_compressed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: dict[str, Any]
) -> None:
    cube = scene(tmp_path, **how)
    assert compressed(tmp_path, cube) == "deflate"
    monkeypatch.setattr(compression, "LARGE", 1)
    for threads, memory in ((1, 16), (3, 200)):
        assert compressed(tmp_path, cube, threads=threads, memory=memory) == "none"
    assert compressed(tmp_path, cube, window=(40, 100, 60, 180)) == "none"
    assert compressed(tmp_path, cube, co=["COMPRESS=DEFLATE"]) == "deflate"
    assert compressed(tmp_path, cube, co=["zlevel=6"]) == "deflate"


def test_a_raster_of_which_much_is_missing_is_compressed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compression, "LARGE", 1)
    assert compressed(tmp_path, scene(tmp_path, empty=0.6)) == "deflate"


def test_whole_numbers_of_a_small_range_are_compressed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compression, "LARGE", 1)
    assert compressed(tmp_path, scene(tmp_path), dtype="int16", scale=1000.0) == "deflate"
