"""The cache of a batch: scenes are read once, however many settings are tried, and the results are
those of a batch that reads them every time."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from makers import QUICK, batch_file, rows, scenes_in
from rasterio.io import DatasetReader
from rasters import cli, ok, spectra, write_tiff

import bandfuse.survey.gather

MATRIX = """
jobs:
  - name: m
    kind: train
    matrix:
      ridge: [0.0, 0.001, 0.01, 0.1, 1.0]
      constraint: [free, nonnegative]
      no_offset: [true, false]
"""
SCENES = 12


def reads(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> tuple[Counter[str], int]:
    """The windows that a command reads of each file, and its passes over scenes."""
    windows: Counter[str] = Counter()
    passes: list[str] = []
    read, reduce = DatasetReader.read, bandfuse.survey.gather.reduce_windows

    def count_read(ds: DatasetReader, *args: object, **kwargs: object) -> object:
        windows[Path(ds.name).name] += 1
        return read(ds, *args, **kwargs)

    def count_pass(*args: object, **kwargs: object) -> object:
        passes.append(str(kwargs["label"]))
        return reduce(*args, **kwargs)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(DatasetReader, "read", count_read)
        patch.setattr(bandfuse.survey.gather, "reduce_windows", count_pass)
        ok(*arguments)
    assert len(set(passes)) == len(passes)
    return windows, len(passes)


@pytest.mark.thorough
def test_a_matrix_of_20_settings_reads_each_of_12_scenes_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenes_in(tmp_path, SCENES)
    path = batch_file(tmp_path, MATRIX, extra="cache: true\n", defaults=QUICK)
    windows, passes = reads(monkeypatch, "batch", path)
    assert passes == SCENES
    assert [row["state"] for row in rows(tmp_path)] == ["done"] * 20
    target = tmp_path / "in/s000_t.tif"
    alone = tmp_path / "alone.moments"
    gathered = "moments", tmp_path / "in/s000.tif", "--target", target, "-o", alone
    once, _ = reads(monkeypatch, *gathered)
    assert len(windows) == 2 * SCENES
    assert {name: windows[name] for name in once} == dict(once)
    config = next((tmp_path / "out").glob("m.*/config.yaml")).read_text()
    assert "s000.tif" in config
    assert "moments" not in config


SOME = """
jobs:
  - {name: pooled, kind: train}
  - {name: huber, kind: train, settings: {loss: huber, steps: 20}}
  - {name: own, kind: train, pool: each}
  - {name: fused, kind: apply, weights: pooled}
"""


def test_results_are_those_without_a_cache(tmp_path: Path) -> None:
    scenes_in(tmp_path, 3, size=(40, 40))
    (tmp_path / "in/broken.tif").write_bytes(b"II*\0nothing")
    shared = "{objective: regression, folds: 0, no_report: true, constraint: free}"
    path = batch_file(tmp_path, SOME, defaults=shared)
    done = cli("batch", path)
    before = {p: p.read_bytes() for p in weights(tmp_path)}
    states = [(row["job"], row["scene"], row["state"]) for row in rows(tmp_path)]
    assert len(before) == 5, done.err
    path = batch_file(tmp_path, SOME, extra="cache: true\n", defaults=shared)
    cli("batch", path, "--fresh", "--overwrite")
    assert {p: p.read_bytes() for p in weights(tmp_path)} == before
    assert [(row["job"], row["scene"], row["state"]) for row in rows(tmp_path)] == states


def weights(folder: Path) -> list[Path]:
    return sorted((folder / "out").rglob("weights.safetensors"))


def test_a_scene_that_changed_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenes_in(tmp_path, 2)
    path = batch_file(tmp_path, "jobs: [{name: a, kind: train}]\n", "cache: true\n", QUICK)
    assert reads(monkeypatch, "batch", path)[1] == 2
    assert reads(monkeypatch, "batch", path, "--fresh")[1] == 0
    write_tiff(tmp_path / "in/s001.tif", spectra(6, 16, 20, seed=9))
    assert reads(monkeypatch, "batch", path)[1] == 1
