"""What a separability says of its classes, against scikit-learn and numpy on the same pixels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rasters import ok, write_tiff
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from bandfuse.model.weightsfile import load
from bandfuse.moments.moments import Moments
from bandfuse.solve.classes import Classifier, confusion

NAMES = {1: "oak & ash", 4: "<b>water</b>", 7: "7"}
PAM = """<PAMDataset><PAMRasterBand band="1"><CategoryNames><Category/>
<Category>oak &amp; ash</Category><Category/><Category/>
<Category>&lt;b&gt;water&lt;/b&gt;</Category></CategoryNames></PAMRasterBand></PAMDataset>"""


def _made(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """(6, 60, 70) bands of three classes in stripes, and their (60, 70) numbers."""
    rng = np.random.default_rng(0)
    numbers = np.array([1, 4, 7])[(np.arange(60)[:, None] // 4 + np.arange(70) // 9) % 3]
    means = {1: 0.2, 4: 0.35, 7: 0.3}
    middle = np.vectorize(means.get)(numbers)
    slopes = np.linspace(0.8, 1.3, 6)[:, None, None] ** (1 + (numbers == 7))
    cube = (middle * slopes + rng.normal(0, 0.04, (6, 60, 70))).astype(np.float32)
    nm = [480.0, 550.0, 650.0, 700.0, 850.0, 900.0]
    write_tiff(folder / "cube.tif", cube, nm=nm)
    write_tiff(folder / "labels.tif", numbers[None].astype(np.uint8))
    (folder / "labels.tif.aux.xml").write_text(PAM, encoding="utf-8")
    return cube, numbers


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray, np.ndarray]:
    folder = tmp_path_factory.mktemp("classes")
    cube, numbers = _made(folder)
    groups = ("--group", "a=1-3", "--group", "b=4-6")
    where = ("--labels", folder / "labels.tif", "-o", folder / "run")
    ok("train", folder / "cube.tif", *where, *groups)
    return folder / "run", cube, numbers


def _separation(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "report.json").read_text())["separation"]
    return found


def test_names_and_spectra_are_those_of_the_pixels(
    trained: tuple[Path, np.ndarray, np.ndarray],
) -> None:
    run, cube, numbers = trained
    found = _separation(run)
    assert {row["value"]: row["name"] for row in found["rows"]} == NAMES
    assert found["wavelength_nm"] == [480.0, 550.0, 650.0, 700.0, 850.0, 900.0]
    for row in found["rows"]:
        pixels = cube[:, numbers == row["value"]].astype(np.float64)
        assert row["pixels"] == pixels.shape[1]
        np.testing.assert_allclose(row["mean"], pixels.mean(axis=1), rtol=1e-9)
        np.testing.assert_allclose(row["deviation"], pixels.std(axis=1), rtol=1e-6)


def test_scores_of_the_classes_follow_from_the_confusion(
    trained: tuple[Path, np.ndarray, np.ndarray],
) -> None:
    run, _, numbers = trained
    found = _separation(run)
    counts = np.array(found["confusion"])
    assert found["where"] == "blocks"
    assert counts.sum() == numbers.size
    report = json.loads((run / "report.json").read_text())
    held = report["scores"]["holdout"]["classes"]
    assert np.trace(counts) / counts.sum() == pytest.approx(held["accuracy"], abs=1e-12)
    truth = np.repeat(np.repeat(np.arange(3), 3), counts.ravel())
    guess = np.repeat(np.tile(np.arange(3), 3), counts.ravel())
    precision, recall, f1, _ = precision_recall_fscore_support(truth, guess)
    for i, row in enumerate(found["rows"]):
        assert row["precision"] == pytest.approx(precision[i])
        assert row["recall"] == pytest.approx(recall[i])
        assert row["f1"] == pytest.approx(f1[i])


def test_the_counts_are_those_of_the_classifier(
    trained: tuple[Path, np.ndarray, np.ndarray],
) -> None:
    run, cube, numbers = trained
    weight = load(run / "weights.safetensors").common.matrix
    x, y = cube.reshape(6, -1).T.astype(np.float64), numbers.ravel()
    classes = {int(c): Moments.of(x[y == c]) for c in np.unique(y)}
    guess = Classifier.of(classes, weight)(x @ weight.T)
    found, labels = confusion(y, guess), [1, 4, 7]
    expected = confusion_matrix(y, guess, labels=labels)
    assert [[found.get((a, b), 0) for b in labels] for a in labels] == expected.tolist()


def test_the_page_shows_the_classes_by_name_and_as_text(
    trained: tuple[Path, np.ndarray, np.ndarray],
) -> None:
    page = (trained[0] / "report.html").read_text(encoding="utf-8")
    assert "<b>water" not in page
    for words in ("&lt;b&gt;water&lt;/b&gt;", "oak &amp; ash", "Spectra of the classes"):
        assert words in page
    assert "What each class is taken for" in page
    assert "The class that is found least is" in page


def test_names_of_a_property_are_kept(tmp_path: Path) -> None:
    from rasters import NORTH_UP, UTM

    _made(tmp_path)

    def box(top: int, name: str) -> dict[str, Any]:
        corners = [(0, top), (70, top), (70, top + 20), (0, top + 20), (0, top)]
        ring = [list(NORTH_UP @ corner) for corner in corners]
        shape = {"type": "Polygon", "coordinates": [ring]}
        return {"type": "Feature", "properties": {"kind": name}, "geometry": shape}

    epsg = UTM.split(":")[-1]
    crs = {"type": "name", "properties": {"name": f"urn:ogc:def:crs:EPSG::{epsg}"}}
    content = {"type": "FeatureCollection", "crs": crs}
    content["features"] = [box(0, "spruce"), box(30, "meadow <i>")]  # type: ignore[assignment]
    (tmp_path / "areas.geojson").write_text(json.dumps(content), encoding="utf-8")
    labels = ("--labels", tmp_path / "areas.geojson", "-o", tmp_path / "run")
    ok("train", tmp_path / "cube.tif", *labels, "--groups", "all")
    rows = _separation(tmp_path / "run")["rows"]
    assert {row["name"] for row in rows} == {"spruce", "meadow <i>"}
    assert "meadow <i>" not in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")


def test_other_objectives_have_no_classes(tmp_path: Path) -> None:
    _made(tmp_path)
    ok("train", tmp_path / "cube.tif", "--groups", "equal:2", "-o", tmp_path / "run", "--no-report")
    assert json.loads((tmp_path / "run" / "report.json").read_text())["separation"] is None
