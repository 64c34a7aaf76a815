"""Moments that travel: a training from a file of moments gives what one from the images gives, bit
for bit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rasters import blend, ok, spectra, wavelengths, write_tiff

BANDS = 10
TRUTH = [[0, 0.2, 0.5, 0.3, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0.4, 0.6, 0, 0, 0]]
QUICK = ("--threads", 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three scenes of different sizes with targets and labels, and their moments."""
    place = tmp_path_factory.mktemp("moments")
    for i, (name, shape) in enumerate({"a": (90, 120), "b": (70, 64), "c": (75, 90)}.items()):
        cube = spectra(BANDS, *shape, seed=i)
        cube[:, 3:6, 5:9] = np.nan
        noise = np.random.default_rng(i).normal(0, 0.01, (2, *shape))
        write_tiff(place / f"{name}.tif", cube, nm=wavelengths(BANDS))
        write_tiff(place / f"{name}_t.tif", blend(cube, TRUTH, [0.1, -0.2]) + noise)
        rank = np.nan_to_num(cube[2]) > 0.3
        classes = rank.astype("uint8") + (np.nan_to_num(cube[7]) > 0.28) + 1
        write_tiff(place / f"{name}_l.tif", classes[None].astype("uint8"))
        target, labels = place / f"{name}_t.tif", place / f"{name}_l.tif"
        ok("moments", place / f"{name}.tif", "-o", place / f"{name}.moments", "--noise", *QUICK)
        out = place / f"{name}_t.moments"
        ok("moments", place / f"{name}.tif", "--target", target, "-o", out, *QUICK)
        out = place / f"{name}_l.moments"
        ok("moments", place / f"{name}.tif", "--labels", labels, "-o", out, *QUICK)
    return place


def report_of(run: Path) -> dict[str, Any]:
    """report.json without where and when it was made."""
    found: dict[str, Any] = json.loads((run / "report.json").read_text())
    for name in ("seconds", "versions", "kernels"):
        found.pop(name)
    return found


def trained(folder: Path, run: str, *arguments: object) -> Path:
    place = folder / run
    shutil.rmtree(place, ignore_errors=True)
    ok("train", *arguments, "-o", place, "--no-report", *QUICK)
    return place


def assert_alike(folder: Path, names: str, kind: str, *flags: object) -> None:
    """Trainings from files and from moments leave the same weights and the same report."""
    files = [folder / f"{name}.tif" for name in names]
    beside: list[object] = []
    if kind:
        flag = {"t": "--target", "l": "--labels"}[kind]
        for name in names:
            beside += [flag, folder / f"{name}_{kind}.tif"]
    given: list[object] = []
    for name in names:
        given += ["--moments", folder / f"{name}{'_' if kind else ''}{kind}.moments"]
    one = trained(folder, "from-files", *files, *beside, "--no-fused", *flags)
    other = trained(folder, "from-moments", *given, *flags)
    first, second = ((run / "weights.safetensors").read_bytes() for run in (one, other))
    assert first == second
    assert report_of(one) == report_of(other)


CASES = {
    "regression": ("t",),
    "simplex": ("t", "--constraint", "simplex"),
    "ridge": ("t", "--constraint", "free", "--ridge", 0.01),
    "huber": ("t", "--loss", "huber", "--constraint", "free", "--steps", 60),
    "adam": ("t", "--activation", "sigmoid", "--optimizer", "adam", "--steps", 40),
    "per scene": ("t", "--scope", "per-scene"),
    "across scenes": ("t", "--split", "scenes"),
    "reconstruction": ("", "--groups", "equal:3"),
    "components": ("", "--outputs", 2),
    "correlation": ("", "--groups", "correlation:3"),
    "snr": ("", "--objective", "snr"),
    "sum": ("", "--objective", "reconstruction + 0.5*snr", "--steps", 40),
    "separability": ("l", "--outputs", 2),
    "separability by groups": ("l", "--groups", "equal:2", "--split", "scenes"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_training_of_several_scenes_is_the_same_from_moments(folder: Path, case: str) -> None:
    kind, *flags = CASES[case]
    assert_alike(folder, "abc", str(kind), *flags)


@pytest.mark.parametrize("case", ["regression", "huber", "snr", "separability"])
def test_a_training_of_one_scene_is_the_same_from_moments(folder: Path, case: str) -> None:
    kind, *flags = CASES[case]
    assert_alike(folder, "a", str(kind), *flags)


def test_scenes_can_be_left_out_and_come_in_any_order(folder: Path) -> None:
    assert_alike(folder, "ca", "t")
    assert_alike(folder, "cb", "t", "--loss", "huber", "--steps", 30)
