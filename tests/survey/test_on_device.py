"""Trainings whose pass runs on a torch device find what they find on the CPU; here on torch's own
CPU."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from helpers import same_bits
from makers import in_parts, pickled
from rasters import ok, spectra, write_tiff

from bandfuse.device import Place
from bandfuse.survey.survey import Survey
from bandfuse.survey.together import Gathered, gathered

QUICK = ("--no-report", "--no-fused", "--overwrite", "--folds", 2)


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cube with gaps, stored as int16 with scale and nodata; a target on its grid, a finer one,
    labels as a raster and as polygons, and a mask."""
    x = np.rint(spectra(6, 300, 530) * 9000).astype("int16")
    x[:, np.random.default_rng(0).random(x.shape[1:]) < 0.1] = -9999
    write_tiff(tmp_path / "x.tif", x, nodata=-9999, scales=[1e-4] * 6, offsets=[0.1] * 6)
    t = spectra(6, 300, 530)[:3].mean(axis=0)[None]
    write_tiff(tmp_path / "t.tif", t)
    fine = rasterio.Affine(15, 0, 400_000, 0, -15, 5_800_000)
    write_tiff(tmp_path / "fine.tif", np.kron(t[0], np.ones((2, 2), t.dtype))[None], transform=fine)
    labels = (np.arange(300 * 530).reshape(1, 300, 530) // 700 % 3).astype("uint8")
    write_tiff(tmp_path / "l.tif", labels)
    write_tiff(tmp_path / "m.tif", (labels != 1).astype("uint8"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def surveyed(monkeypatch: pytest.MonkeyPatch, device: str, *flags: object) -> Survey:
    """What a training's pass on a device finds."""
    found: list[Survey] = []

    def there(*given: Any) -> Gathered:
        left = gathered(*given)
        found.append(left.survey(given[-1]))
        return left

    with monkeypatch.context() as patch:
        where = Place("cpu" if device == "cpu" else "cuda", "a test", device)
        patch.setattr("bandfuse.survey.gather.place", lambda asked, work: where)
        patch.setattr("bandfuse.training.reading.gathered", there)
        ok("train", "x.tif", *flags, *QUICK, "-o", "run")
    return found[-1]


RUNS: list[tuple[object, ...]] = [
    ("--target", "t.tif"),
    ("--target", "fine.tif"),
    ("--target", "t.tif", "--mask", "m.tif", "--window", 10, 20, 250, 400),
    ("--target", "t.tif", "--split", "random"),
    ("--target", "t.tif", "--max-pixels", 60000),
    ("--target", "t.tif", "--loss", "mae", "--steps", 3),
    ("--labels", "l.tif", "--groups", "equal:2"),
    ("--objective", "reconstruction + snr", "--groups", "equal:2"),
]


@pytest.mark.one_in(4)
@pytest.mark.parametrize("flags", RUNS)
def test_a_training_sees_the_same_on_a_device(
    flags: tuple[object, ...], scene: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = surveyed(monkeypatch, "cpu", *flags)
    found = surveyed(monkeypatch, "cpu:0", *flags)
    again = surveyed(monkeypatch, "cpu:0", *flags, "--memory", 16, "--threads", 3)
    assert found.messages == expected.messages
    for f, e, a in zip(found.tallies, expected.tallies, again.tallies, strict=True):
        assert [t.places[0].torch for t in (f, e)] == ["cpu:0", "cpu"]
        assert (f.used, f.invalid) == (e.used, e.invalid)
        assert sorted(f.strata) == sorted(e.strata)
        same_bits(f.pixels.values, e.pixels.values)
        same_bits(f.census.low, e.census.low)
        for key, m in e.strata.items():
            spread = np.sqrt(np.diag(m.scatter))
            assert f.strata[key].count == m.count
            far = np.abs(f.strata[key].scatter - m.scatter)
            assert (far <= 1e-12 * np.outer(spread, spread)).all()
            same_bits(a.strata[key].scatter, f.strata[key].scatter)
            same_bits(a.strata[key].mean, f.strata[key].mean)


@pytest.mark.thorough
def test_parts_that_others_do_have_the_bits_of_one_pass(
    scene: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = ("--objective", "reconstruction + snr", "--groups", "equal:2")
    (whole,) = surveyed(monkeypatch, "cpu:0", *flags).tallies
    monkeypatch.setattr(pickled, "seen", [], raising=False)
    with in_parts():
        (parts,) = surveyed(monkeypatch, "cpu:0", *flags).tallies
    assert [where.torch for where in parts.places] == ["cpu:0"]
    for key, m in whole.strata.items():
        same_bits(parts.strata[key].scatter, m.scatter)


def test_a_pass_that_a_device_cannot_do_is_told(
    scene: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = surveyed(monkeypatch, "mps", "--target", "t.tif")
    assert "the pass ran on the CPU: mps has no float64" in found.messages
    said = json.loads((scene / "run" / "report.json").read_text())["device"]["pass"]
    assert said == {"device": "cpu", "card": "", "reason": "mps has no float64"}
