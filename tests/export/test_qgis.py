"""QGIS opens what bandfuse writes: names, nodata, place, and natural colour without a click."""

from __future__ import annotations

import json
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from matplotlib.image import imread

from bandfuse.config.commands import ApplyConfig, ExportConfig
from bandfuse.config.train import TrainConfig
from bandfuse.tools.apply import apply
from bandfuse.tools.export import export_weights
from bandfuse.tools.train import train

LOOK = Path(__file__).parent.parent / "qgis_look.py"
SAMPLE = Path(__file__).parent.parent.parent / "data" / "sample"
WRITTEN = ["fused.tif", "cog.tif", "raw.img", "scaled.tif", "virtual.vrt"]
SCALED = {"dtype": "int16", "scale": 0.0001}


@cache
def has_qgis() -> bool:
    try:
        done = subprocess.run(["/usr/bin/python3", "-c", "import qgis.core"], capture_output=True)
    except OSError:
        return False
    return done.returncode == 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample, trained and written in five forms; the outputs are ordered blue to nir."""
    if not has_qgis():
        pytest.skip("PyQGIS is missing: apt-get install qgis python3-qgis")
    folder = tmp_path_factory.mktemp("qgis")
    cube, target = str(SAMPLE / "cube.tif"), str(SAMPLE / "target.tif")
    train(TrainConfig(scenes=[cube], target=[target], output=str(folder / "run"), no_report=True))
    weights = str(folder / "run" / "weights.safetensors")
    how: list[dict[str, Any]] = [{}, {"driver": "COG"}, {"driver": "ENVI"}, SCALED]
    for name, settings in zip(WRITTEN[:4], how, strict=True):
        output = str(folder / name)
        apply(weights, ApplyConfig(scenes=[cube], output=output, style=True, **settings))
    output = str(folder / WRITTEN[4])
    export_weights(weights, ExportConfig(to="vrt", scene=cube, output=output, style=True))
    return folder


@pytest.fixture(scope="module")
def seen(folder: Path) -> dict[str, dict[str, Any]]:
    done = subprocess.run(
        ["/usr/bin/python3", str(LOOK), str(folder), *(str(folder / name) for name in WRITTEN)],
        capture_output=True,
        text=True,
        check=True,
        timeout=200,
        env={"PATH": "/usr/bin:/bin", "QT_QPA_PLATFORM": "offscreen", "HOME": str(folder)},
    )
    return dict(zip(WRITTEN, json.loads(done.stdout), strict=True))


@pytest.mark.parametrize("name", WRITTEN)
def test_qgis_opens_it_in_natural_colour(seen: dict[str, dict[str, Any]], name: str) -> None:
    """Red, green and blue are outputs 3, 2 and 1."""
    layer = seen[name]
    assert layer["valid"]
    assert [text.partition(": ")[2].split()[0] for text in layer["names"]] == [
        "blue",
        "green",
        "red",
        "nir",
    ]
    assert layer["has_nodata"] == [True] * 4
    assert layer["nodata"] == ["-32768.0" if name == "scaled.tif" else "nan"] * 4
    assert layer["crs"] == "EPSG:32633"
    assert layer["renderer"] == "multibandcolor"
    assert layer["drawn"] == [3, 2, 1]


@pytest.mark.parametrize("name", WRITTEN)
def test_the_picture_shows_the_red_output_in_red(
    folder: Path, seen: dict[str, dict[str, Any]], name: str
) -> None:
    """The drawn channels vary as the outputs do: each channel alike its own output. What has no
    value is transparent."""
    assert seen[name]["valid"]
    *drawn, opaque = imread(folder / f"{name}.png")[2::4, 2::4].reshape(-1, 4).T
    with rasterio.open(folder / "fused.tif") as fused:
        outputs = fused.read([3, 2, 1]).reshape(3, -1)
    inside = np.isfinite(outputs).all(0)
    assert 0 < inside.mean() < 1
    np.testing.assert_array_equal(opaque, inside)
    alike = np.corrcoef(np.array(drawn)[:, inside], outputs[:, inside])[:3, 3:]
    assert alike.argmax(axis=1).tolist() == [0, 1, 2], alike
    assert alike.diagonal().min() > 0.9, alike
