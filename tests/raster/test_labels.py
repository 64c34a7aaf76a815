"""Labels: names of classes, over the files of several scenes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from rasters import cli, ok, spectra, write_envi, write_tiff
from vectors import box, features, on_map, write_json


def write_labels(path: Path, stripes: dict[Any, tuple[int, int]]) -> str:
    """A GeoJSON file with one class for each range of columns."""
    shapes = [on_map(box(left, 0, right, 40)) for left, right in stripes.values()]
    return write_json(path, features(shapes, {"what": list(stripes)}))


def trained(folder: Path, *arguments: object) -> dict[str, Any]:
    run = folder / "run"
    ok("train", *arguments, "-o", run, "--no-report", "--no-fused", "--overwrite")
    found: dict[str, Any] = json.loads((run / "report.json").read_text())
    return found


def scenes_of(folder: Path, *labels: dict[Any, tuple[int, int]]) -> list[object]:
    """The arguments of a training on scenes with these labels."""
    found: list[object] = []
    for i, stripes in enumerate(labels):
        cube = write_tiff(folder / f"s{i}.tif", spectra(4, 40, 60, seed=i))
        found += [cube, "--labels", write_labels(folder / f"l{i}.geojson", stripes)]
    return found


def test_a_name_means_one_class_in_all_scenes(tmp_path: Path) -> None:
    """Each file alone would number its classes 1 and 2; over both there are three."""
    arguments = scenes_of(
        tmp_path, {"forest": (0, 20), "water": (20, 60)}, {"meadow": (0, 10), "water": (10, 60)}
    )
    assert trained(tmp_path, *arguments)["classes"] == [
        {"value": 1, "name": "forest", "pixels": 20 * 40},
        {"value": 2, "name": "meadow", "pixels": 10 * 40},
        {"value": 3, "name": "water", "pixels": 90 * 40},
    ]


def test_names_in_one_scene_and_numbers_in_another_are_refused(tmp_path: Path) -> None:
    arguments = scenes_of(
        tmp_path, {"forest": (0, 20), "water": (20, 60)}, {1: (0, 10), 2: (10, 60)}
    )
    done = cli("train", *arguments, "-o", tmp_path / "run")
    assert done.code == 2
    assert "do not name classes alike" in done.err
    assert "l0.geojson" in done.err


def test_classes_of_a_training_without_labels(tmp_path: Path) -> None:
    cube = write_tiff(tmp_path / "s.tif", spectra(4, 40, 60))
    assert trained(tmp_path, cube)["classes"] == []


def test_names_of_a_classification_of_envi(tmp_path: Path) -> None:
    """They are told of numbers that are the pixels' own."""
    cube = write_tiff(tmp_path / "s.tif", spectra(4, 40, 60))
    values = np.zeros((1, 40, 60), np.uint8)
    values[:, :, 20:], values[:, :, 40:] = 1, 3
    header = "classes = 4\nclass names = {Unclassified, Oak forest, Never, Lake}"
    path = Path(write_envi(tmp_path / "l.bsq", values, header=header))
    text = path.with_suffix(".hdr").read_text()
    path.with_suffix(".hdr").write_text(text.replace("ENVI Standard", "ENVI Classification"))
    found = trained(tmp_path, cube, "--labels", path, "--unlabelled", 0)
    assert found["classes"] == [
        {"value": 1, "name": "Oak forest", "pixels": 800},
        {"value": 3, "name": "Lake", "pixels": 800},
    ]
    weights = tmp_path / "run" / "weights.safetensors"
    plain = write_tiff(tmp_path / "plain.tif", values)
    done = ok("evaluate", weights, cube, "--labels", plain, "--unlabelled", 0, "--json").json
    rows = done["classification"]["classes"]
    assert [(r["value"], r["name"]) for r in rows] == [(1, "Oak forest"), (3, "Lake")]
