"""Sampling: how many pixels a training draws, its memory, and what comes of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from rasters import blend, cli, spectra, wavelengths, write_tiff

from bandfuse.model.weightsfile import load
from bandfuse.moments import sample

B, ROWS, COLS = 4, 60, 50
WEIGHT = [[0.5, 0.2, 0.2, 0.1], [0.1, 0.0, 0.3, 0.6]]


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    cube = spectra(B, ROWS, COLS)
    target = blend(cube, WEIGHT, [0.4, -0.1])
    target = target + 0.05 * np.random.default_rng(0).standard_normal(target.shape)
    scene = write_tiff(tmp_path / "cube.tif", cube, nm=wavelengths(B))
    truth = write_tiff(tmp_path / "t.tif", target.astype(np.float32))
    return [scene, "--target", truth, "--loss", "huber", "--folds", "0"]


def trained(tmp_path: Path, name: str, files: list[str], *flags: object) -> np.ndarray:
    how = ("-o", tmp_path / name, "--no-fused", "--no-report")
    done = cli("train", *files, *how, *flags)
    assert done.code == 0, done.err
    return load(tmp_path / name / "weights.safetensors").common.matrix


def test_a_training_on_every_pixel_is_that_on_a_sample_as_large(
    tmp_path: Path, files: list[str]
) -> None:
    every = trained(tmp_path, "all", files, "--sample", "all")
    same = trained(tmp_path, "same", files, "--sample", ROWS * COLS)
    few = trained(tmp_path, "few", files, "--sample", 200)
    assert every.tobytes() == same.tobytes()
    assert every.tobytes() != few.tobytes()
    assert every == pytest.approx(np.array(WEIGHT), abs=0.1)
    assert "sample: all" in (tmp_path / "all" / "config.yaml").read_text()


@pytest.mark.one_in(2)
@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_threads_and_memory_change_no_bit_of_a_large_sample(
    optimizer: str, tmp_path: Path, files: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bandfuse.optimise.objectives.sampled.CHUNKS", {"cpu": 256})
    how = ("--sample", "all", "--optimizer", optimizer, "--steps", 12)
    found = [
        trained(tmp_path, f"{n}", files, *how, "--threads", n, "--memory", m).tobytes()
        for n, m in ((1, 64), (2, 512), (3, 64))
    ]
    assert len(set(found)) == 1


def test_float32_changes_weights_by_little(
    tmp_path: Path, files: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    double = trained(tmp_path, "double", files, "--sample", "all")
    monkeypatch.setattr(sample, "MOST_DOUBLE", 100)
    single = trained(tmp_path, "single", files, "--sample", "all")
    assert single.dtype == np.float64
    assert single.tobytes() != double.tobytes()
    assert single == pytest.approx(double, abs=1e-4)


def test_a_dry_run_says_the_memory(tmp_path: Path, files: list[str]) -> None:
    call = ("train", *files, "-o", tmp_path / "run", "--sample", "all", "--dry-run")
    plan = json.loads(cli(*call, "--json").out)["sample"]
    assert (plan["pixels"], plan["dtype"]) == (ROWS * COLS, "float64")
    assert plan["megabytes"] == pytest.approx(ROWS * COLS * (8 * (B + 2) + 64) / 2**20)
    assert f"Trains on a sample of {ROWS * COLS} pixels in float64" in cli(*call).out
    plain = [files[0], *files[1:3], "-o", tmp_path / "run", "--dry-run", "--json"]
    assert json.loads(cli("train", *plain).out)["sample"] is None


def test_a_sample_that_does_not_fit_the_memory_is_refused(
    tmp_path: Path, files: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    call = ("train", *files, "-o", tmp_path / "run", "--sample", "all")
    monkeypatch.setattr("bandfuse.training.sampling.BESIDE", 10_000)
    for more in ([], ["--dry-run"]):
        done = cli(*call, "--memory", 16, *more)
        said = " ".join(done.err.split())
        assert done.code == 2
        assert f"a sample of {ROWS * COLS} pixels does not fit the memory" in said
        assert "expected at most 16 MB, --memory" in said
        assert "Use --sample 1" in said
    monkeypatch.setattr("bandfuse.training.sampling.free_memory", lambda: 8)
    assert "at most 8 MB, free now" in " ".join(cli(*call).err.split())
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("value", ["0", "-3", "many", "1.5"])
def test_odd_samples_are_refused(value: str, files: list[str]) -> None:
    done = cli("train", *files, "--sample", value)
    assert done.code == 2
    assert "--sample" in done.err
    assert "Traceback" not in done.err
