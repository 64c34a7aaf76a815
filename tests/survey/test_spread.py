"""Parts of one scene, done elsewhere: the same bits as one pass, whatever the parts are done by."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio
from helpers import same_bits
from makers import in_parts, pickled
from rasters import ok, read, spectra, write_tiff

from bandfuse.streaming.budget import Effort


@pytest.fixture
def parts() -> Iterator[list[tuple[str, int]]]:
    pickled.seen = []  # type: ignore[attr-defined]
    with in_parts():
        yield pickled.seen  # type: ignore[attr-defined]


def scene(folder: Path, *, gaps: bool = True) -> None:
    """Larger than several blocks, whose edges cut cells; some pixels missing."""
    x = spectra(6, 300, 530)
    if gaps:
        x[:, np.random.default_rng(0).random(x.shape[1:]) < 0.1] = np.nan
    write_tiff(folder / "x.tif", x)
    write_tiff(folder / "t.tif", x[:3].mean(axis=0)[None])
    write_tiff(
        folder / "labels.tif",
        (np.arange(300 * 530).reshape(1, 300, 530) // 700 % 3).astype("uint8"),
    )


RUNS: list[tuple[str, ...]] = [
    ("--target", "t.tif"),
    ("--target", "t.tif", "--split", "random"),
    ("--target", "t.tif", "--max-pixels", "60000"),
    ("--target", "t.tif", "--loss", "mae", "--steps", "20", "--window", "10", "20", "250", "400"),
    ("--labels", "labels.tif", "--groups", "equal:2"),
    ("--objective", "reconstruction + snr", "--groups", "equal:2"),
]


@pytest.mark.one_in(3)
@pytest.mark.parametrize("flags", RUNS)
def test_a_training_in_parts_is_the_same_to_the_bit(
    flags: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    scene(tmp_path)
    monkeypatch.chdir(tmp_path)
    ok("train", "x.tif", *flags, "-o", "whole", "--no-report")
    parts = request.getfixturevalue("parts")
    ok("train", "x.tif", *flags, "-o", "parts", "--no-report", "--memory", 16)
    assert parts[0][0] == "_pass"
    assert parts[0][1] == (5 if "--labels" in flags else 8)
    assert parts[-1][0] == "fused_windows"
    for name in ("weights.safetensors", "weights.csv"):
        same_bits(
            (tmp_path / "whole" / name).read_bytes(), (tmp_path / "parts" / name).read_bytes()
        )
    same_bits(read(tmp_path / "whole/fused.tif"), read(tmp_path / "parts/fused.tif"))


def test_several_scenes_and_clipped_values(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    for i in range(3):
        write_tiff(tmp_path / f"s{i}.tif", spectra(5, 150, 270, seed=i))
    scenes = [tmp_path / f"s{i}.tif" for i in range(3)]
    ok(
        "train",
        *scenes,
        "--groups",
        "equal:2",
        "-o",
        tmp_path / "whole",
        "--no-fused",
        "--no-report",
    )
    weights = tmp_path / "whole/weights.safetensors"
    apply = ["apply", weights, scenes[0], "--dtype", "uint8", "--scale", "0.001", "-o"]
    before = ok(*apply, tmp_path / "a.tif")
    parts = request.getfixturevalue("parts")
    ok(
        "train",
        *scenes,
        "--groups",
        "equal:2",
        "-o",
        tmp_path / "parts",
        "--no-fused",
        "--no-report",
    )
    same_bits(weights.read_bytes(), (tmp_path / "parts/weights.safetensors").read_bytes())
    after = ok(*apply, tmp_path / "b.tif", "--memory", 16)
    assert [n for n, _ in parts] == ["_pass", "fused_windows"]
    assert before.err == after.err
    assert "clipped" in after.err
    with rasterio.open(tmp_path / "a.tif") as a, rasterio.open(tmp_path / "b.tif") as b:
        same_bits(a.read(), b.read())


def test_parts_are_not_parted_again() -> None:
    effort = Effort.of(4, 64, pickled)
    assert effort.spread is pickled
    assert effort.alone == Effort(1, 64)
