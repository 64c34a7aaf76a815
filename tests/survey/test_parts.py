"""Parts: training on some of the pixels, chosen by the seed and never by memory, threads or
windows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rasters import LAYOUTS, blend, cli, ok, spectra, wavelengths, write_tiff

from bandfuse.streaming.windows import CELL_COLS, STACK_ROWS, drawn, plan_parts

TRUTH = [0, 0.2, 0.5, 0.3, 0, 0, 0, 0]


@given(
    rows=st.integers(1, 900),
    cols=st.integers(1, 900),
    stored=st.sampled_from([(1, 900), (64, 256), (256, 256), (100, 70)]),
    most=st.integers(1, 400_000),
    seed=st.integers(0, 9),
    memory=st.sampled_from([1, 10**5, 10**7]),
)
def test_parts_are_whole_stacks_that_do_not_overlap(
    rows: int, cols: int, stored: tuple[int, int], most: int, seed: int, memory: int
) -> None:
    parts = drawn((rows, cols), stored, most, seed)
    seen = np.zeros((rows, cols), dtype=int)
    for window in plan_parts(parts, stored, 20, memory):
        assert window.row % STACK_ROWS == window.col % CELL_COLS == 0
        assert window.rows % STACK_ROWS == 0 or window.row + window.rows == rows
        assert window.cols % CELL_COLS == 0 or window.col + window.cols == cols
        seen[window.within(type(window)(0, 0, rows, cols))] += 1
    assert seen.max() == 1
    assert seen.sum() == sum(part.size for part in parts) >= min(most, rows * cols)
    assert seen.sum() - max(part.size for part in parts) < most
    windows = plan_parts(parts, stored, 20, memory)
    assert windows == sorted(windows)
    assert parts == drawn((rows, cols), stored, most, seed)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("parts")
    cube = spectra(8, 300, 520)
    noise = np.random.default_rng(0).normal(0, 0.02, (1, 300, 520))
    write_tiff(place / "x.tif", cube, nm=wavelengths(8), **LAYOUTS["tiled-band"])
    write_tiff(place / "t.tif", blend(cube, [TRUTH]) + noise)
    return place


def trained(folder: Path, *flags: object) -> dict[str, Any]:
    ok(
        "train",
        folder / "x.tif",
        "--target",
        folder / "t.tif",
        "-o",
        folder / "run",
        "--overwrite",
        *flags,
    )
    found: dict[str, Any] = json.loads((folder / "run" / "report.json").read_text())
    return found


def test_some_pixels_give_nearly_the_same_weights_with_wider_intervals(folder: Path) -> None:
    whole, some = trained(folder), trained(folder, "--max-pixels", 20_000)
    reason = "not read (--max-pixels)"
    assert whole["pixels"]["by_reason"].get(reason) is None
    assert some["pixels"]["used"] + some["pixels"]["by_reason"][reason] == 300 * 520
    assert 20_000 <= some["pixels"]["used"] < 40_000
    page = (folder / "run" / "report.html").read_text()
    assert (
        "of the pixels were read (--max-pixels): over resamples of these, weights move by" in page
    )
    weights = [np.array([row["weight"] for row in r["weights"]]) for r in (whole, some)]
    np.testing.assert_allclose(weights[0], TRUTH, atol=0.02)
    np.testing.assert_allclose(weights[1], TRUTH, atol=0.06)
    widths = [sum(row["ci_high"] - row["ci_low"] for row in r["weights"]) for r in (whole, some)]
    assert widths[1] > widths[0]


def test_which_pixels_are_read_depends_on_the_seed_alone(folder: Path) -> None:
    def weights(*flags: object) -> list[float]:
        found = trained(folder, "--max-pixels", 20_000, "--no-fused", "--no-report", *flags)
        return [row["weight"] for row in found["weights"]]

    first = weights()
    assert first == weights("--memory", 16, "--threads", 1) == weights("--threads", 3)
    assert first != weights("--seed", 1)
    everything = trained(folder, "--no-fused", "--no-report")
    more = trained(folder, "--max-pixels", 10**9, "--no-fused", "--no-report")
    assert more["weights"] == everything["weights"]


def test_no_pixels_are_refused(folder: Path) -> None:
    done = cli(
        "train",
        folder / "x.tif",
        "--target",
        folder / "t.tif",
        "-o",
        folder / "none",
        "--max-pixels",
        0,
    )
    assert done.code == 2
    assert "max-pixels" in done.err.replace("_", "-")
