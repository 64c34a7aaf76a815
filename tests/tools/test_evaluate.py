"""Evaluate with labels: classes of fused pixels of another image, against scikit-learn."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rasters import cli, ok, read, spectra, write_tiff
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    cohen_kappa_score,
    confusion_matrix,
    precision_recall_fscore_support,
)
from vectors import box, on_map, write_vector

import bandfuse
from bandfuse.model.weightsfile import dumps, load
from bandfuse.streaming.windows import tile
from bandfuse.trust.folds import runs

ROWS, COLS, B = 40, 60, 6
NAMES = ["forest", "meadow", "water"]


def image(folder: Path, name: str, seed: int) -> tuple[Path, np.ndarray]:
    """A cube of three classes in stripes of four columns that start elsewhere in each image; its
    classes from 1 on, 0 where there is no label."""
    y = np.broadcast_to((np.arange(COLS) + 4 * seed) // 4 % 3, (ROWS, COLS)) + 1
    cube = spectra(B, ROWS, COLS, seed=seed)
    cube[1] += 0.05 * (y == 2)
    cube[4] += 0.05 * (y == 3)
    path = Path(write_tiff(folder / f"{name}.tif", cube))
    labels = np.where(np.random.default_rng(seed).random(y.shape) < 0.1, 0, y)
    write_tiff(folder / f"{name}_y.tif", labels.astype("uint8")[None], nodata=0)
    return path, labels


def polygons(folder: Path, name: str, seed: int, names: list[str] = NAMES) -> str:
    """The same classes as polygons with names, everywhere."""
    columns = range(0, COLS, 4)
    shapes = [on_map(box(c, 0, c + 4, ROWS)) for c in columns]
    what = [names[(c // 4 + seed) % 3] for c in columns]
    return write_vector(folder / f"{name}.gpkg", shapes, {"what": what, "id": list(columns)})


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two images, weights that were trained with labels on the first, and others without."""
    folder = tmp_path_factory.mktemp("evaluate")
    first, _ = image(folder, "a", 0)
    image(folder, "b", 1)
    few = ("--no-report", "--folds", 0)
    labels = ("--labels", folder / "a_y.tif", "--groups", "equal:3")
    ok("train", first, *labels, *few, "-o", folder / "numbers")
    labels = ("--labels", polygons(folder, "a", 0), "--label-field", "what", "--outputs", 2)
    ok("train", first, *labels, *few, "-o", folder / "names")
    ok("train", first, "--outputs", 3, *few, "-o", folder / "plain")
    return folder


def weights(folder: Path, run: str) -> Path:
    return folder / run / "weights.safetensors"


def fused(folder: Path, run: str, name: str) -> np.ndarray:
    """(rows, cols, K) of an image."""
    path = folder / f"{run}_{name}.tif"
    ok("apply", weights(folder, run), folder / f"{name}.tif", "-o", path, "--overwrite")
    return read(path).transpose(1, 2, 0).astype(np.float64)


def check(found: dict[str, Any], true: np.ndarray, guess: np.ndarray) -> None:
    """A result is what scikit-learn says of true classes and guesses."""
    table = found["classification"]
    numbers = [row["value"] for row in table["classes"]]
    np.testing.assert_array_equal(table["confusion"], confusion_matrix(true, guess, labels=numbers))
    expected = precision_recall_fscore_support(true, guess, labels=numbers, zero_division=np.nan)
    for i, row in enumerate(table["classes"]):
        got = [row[key] for key in ("precision", "recall", "f1")]
        got = [np.nan if value is None else value for value in got]
        np.testing.assert_allclose(got, [column[i] for column in expected[:3]])
        assert row["pixels"] == expected[3][i]
        assert row["found"] == (guess == row["value"]).sum()
    scores = found["scores"]["classes"]
    assert scores["accuracy"] == pytest.approx(accuracy_score(true, guess))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes without a pixel
        assert scores["balanced"] == pytest.approx(balanced_accuracy_score(true, guess))
    assert scores["kappa"] == pytest.approx(cohen_kappa_score(true, guess))
    assert found["pixels"]["used"] == len(true)


def test_classes_by_the_discriminants_of_the_training(place: Path) -> None:
    """Learned on one image, found in another."""
    labels = {name: read(place / f"{name}_y.tif")[0] for name in "ab"}
    there = {name: some > 0 for name, some in labels.items()}
    pixels = {name: fused(place, "numbers", name)[there[name]] for name in "ab"}
    model = LinearDiscriminantAnalysis(solver="lsqr").fit(pixels["a"], labels["a"][there["a"]])
    guess = model.predict(pixels["b"])
    how = ("--labels", place / "b_y.tif", "--json")
    done = ok("evaluate", weights(place, "numbers"), place / "b.tif", *how)
    assert done.json["classification"]["classifier"] == "training"
    assert 0.5 < done.json["scores"]["classes"]["accuracy"] < 0.99
    check(done.json, labels["b"][there["b"]], guess)
    assert done.json["pixels"]["by_reason"] == {"not labelled": int((~there["b"]).sum())}


def test_names_of_classes_lead_to_those_of_the_training(place: Path, tmp_path: Path) -> None:
    """Numbers of names are made anew in each file: alone, this one would call meadow 1."""
    path = polygons(tmp_path, "b", 1, ["swamp", "meadow", "water"])
    y = np.broadcast_to((np.arange(COLS) + 4) // 4 % 3, (ROWS, COLS)) + 1
    everywhere = fused(place, "names", "a").reshape(-1, 2)
    truth = np.broadcast_to(np.arange(COLS) // 4 % 3, (ROWS, COLS)) + 1
    model = LinearDiscriminantAnalysis(solver="lsqr").fit(everywhere, truth.ravel())
    guess = model.predict(fused(place, "names", "b").reshape(-1, 2))
    how = ("--labels", path, "--label-field", "what", "--json")
    done = ok("evaluate", weights(place, "names"), place / "b.tif", *how)
    rows = done.json["classification"]["classes"]
    assert [row["name"] for row in rows] == ["forest", "meadow", "water", "swamp"]
    check(done.json, np.where(y == 1, 4, y).ravel(), guess)
    assert (rows[0]["pixels"], rows[0]["recall"]) == (0, None)
    assert (rows[3]["found"], rows[3]["precision"]) == (0, None)
    assert "classes that the training did not have, and that are never found: swamp" in done.err


def by_blocks(y: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """True classes and guesses: each fifth of the blocks by the others, with scikit-learn."""
    edges = [[i * n // 5 for i in range(6)] for n in y.shape]
    row = np.searchsorted(edges[0], np.arange(ROWS), side="right") - 1
    col = np.searchsorted(edges[1], np.arange(COLS), side="right") - 1
    block = 5 * row[:, None] + col
    run = np.array(runs([int((y[block == b] > 0).sum()) for b in range(25)]))[block]
    guess = np.zeros_like(y)
    for number in range(run.max() + 1):
        train, test = (run != number) & (y > 0), (run == number) & (y > 0)
        model = LinearDiscriminantAnalysis(solver="lsqr").fit(values[train], y[train])
        guess[test] = model.predict(values[test])
    return y[y > 0], guess[y > 0]


def test_classes_by_the_other_blocks_of_the_image(place: Path) -> None:
    """Weights without a classifier: it is fitted on the image's labels, and said so."""
    y = read(place / "b_y.tif")[0].astype(int)
    how = ("--labels", place / "b_y.tif", "--json")
    done = ok("evaluate", weights(place, "plain"), place / "b.tif", *how)
    assert done.json["classification"]["classifier"] == "blocks"
    assert "the weights hold no classifier" in done.err
    check(done.json, *by_blocks(y, fused(place, "plain", "b")))


@pytest.mark.parametrize("run", ["numbers", "plain"])
def test_nothing_depends_on_windows_or_threads(
    place: Path, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    how = (weights(place, run), place / "b.tif", "--labels", place / "b_y.tif", "--json")
    whole = ok("evaluate", *how, "--threads", 1).json
    monkeypatch.setattr("bandfuse.streaming.budget.plan", lambda shape, *_: tile(shape, 16, 256))
    assert ok("evaluate", *how, "--threads", 3).json == whole


def test_masks_and_unlabelled_numbers(place: Path) -> None:
    y = read(place / "b_y.tif")[0]
    how = ("--labels", place / "b_y.tif", "--unlabelled", 2, "--window", 10, 0, 20, 60, "--json")
    found = ok("evaluate", weights(place, "numbers"), place / "b.tif", *how).json
    here = y[10:30]
    assert found["pixels"]["used"] == np.isin(here, [1, 3]).sum()
    assert found["pixels"]["by_reason"] == {
        "outside the bounds": 20 * COLS,
        "not labelled": int(np.isin(here, [0, 2]).sum()),
    }
    rows = {row["value"]: row for row in found["classification"]["classes"]}
    assert rows[2]["pixels"] == 0
    assert rows[1]["pixels"] == (here == 1).sum()


def test_people_see_classes_and_their_confusion(place: Path, tmp_path: Path) -> None:
    path = polygons(tmp_path, "b", 1, ["forest", "meadow\x1b[31m", "water"])
    how = ("--labels", path, "--label-field", "what")
    done = ok("evaluate", weights(place, "names"), place / "b.tif", *how)
    assert "\x1b[31m" not in done.out
    plain = ok(
        "evaluate", weights(place, "numbers"), place / "b.tif", "--labels", place / "b_y.tif"
    )
    lines = [line.split() for line in plain.out.splitlines()]
    assert lines[1] == ["class", "pixels", "precision", "recall", "F1"]
    assert "All classes together: accuracy 0." in plain.out
    assert "kappa 0." in plain.out
    assert ["class", "1", "2", "3"] in lines


def test_in_python_and_in_a_batch(place: Path, tmp_path: Path) -> None:
    config = bandfuse.EvaluateConfig(scenes=[str(place / "b.tif")], labels=[str(place / "b_y.tif")])
    result = bandfuse.evaluate(weights(place, "numbers"), config)
    assert result.classification is not None
    assert [row.name for row in result.classification.classes] == ["1", "2", "3"]
    (tmp_path / "batch.yaml").write_text(
        "version: 1\noutput: out\nscenes:\n"
        f"  - {{glob: '{place / 'b.tif'}', labels: '{{parent}}/{{stem}}_y.tif'}}\n"
        f"jobs:\n  - {{name: e, kind: evaluate, weights: '{weights(place, 'numbers')}'}}\n"
    )
    ok("batch", tmp_path / "batch.yaml")
    (file,) = (tmp_path / "out" / "e").glob("*.json")
    found = json.loads(file.read_text())
    assert found["classification"] == result.classification.model_dump()
    (item,) = json.loads((tmp_path / "out" / "batch.json").read_text())["items"]
    assert item["scores"]["accuracy"] == result.scores["classes"]["accuracy"]


def test_weights_keep_the_classifier(place: Path) -> None:
    path = weights(place, "names")
    model = load(path)
    assert model.classes is not None
    assert model.classes.names == tuple(NAMES)
    assert model.classes.numbered
    assert dumps(model) == path.read_bytes()
    assert load(weights(place, "plain")).classes is None


@pytest.mark.parametrize(
    ("run", "flags", "words"),
    [
        ("numbers", [], "evaluate needs a target or labels"),
        ("numbers", ["--labels", "{y}", "--target", "{y}"], "got both"),
        ("names", ["--labels", "{y}"], "name other classes than those of the training"),
        (
            "numbers",
            ["--labels", "{shapes}", "--label-field", "what"],
            "got forest, meadow, water; expected 1, 2, 3",
        ),
        ("numbers", ["--labels", "{other}"], "got 7, 8; expected 1, 2, 3"),
        ("plain", ["--labels", "{one}"], "the labels do not suffice for a classifier"),
        ("numbers", ["--labels", "{none}"], "has no labelled pixel to score"),
        ("numbers", ["--labels", "{many}"], "too many classes"),
    ],
)
def test_what_is_refused(
    place: Path, tmp_path: Path, run: str, flags: list[str], words: str
) -> None:
    shape = (1, ROWS, COLS)
    made = {
        "other": np.random.default_rng(0).integers(7, 9, shape).astype("uint8"),
        "one": np.ones(shape, "uint8"),
        "none": np.zeros(shape, "uint8"),
        "many": np.arange(ROWS * COLS, dtype="int32").reshape(shape),
    }
    files = {n: write_tiff(tmp_path / f"{n}.tif", x, nodata=0) for n, x in made.items()}
    files |= {"y": str(place / "b_y.tif"), "shapes": polygons(tmp_path, "s", 1)}
    given = [flag.format(**files) for flag in flags]
    done = cli("evaluate", weights(place, run), place / "b.tif", *given)
    assert done.code == 2
    assert words in done.err
    assert done.err.count("\n") == 1
