"""Slopes: against numpy's differences, against least squares, and the same bits for all windows."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import MemorySource, close_to_conditioning, condition_of, same_bits, windows_at_random
from rasters import ok, refused, spectra, wavelengths, write_tiff
from scipy.ndimage import gaussian_filter, shift

from bandfuse.moments.moments import Moments
from bandfuse.moments.reduce import reduce_windows
from bandfuse.moments.slopes import SlopedSource, WithoutSlopes, grouped, slopes_of
from bandfuse.moments.tally import Question
from bandfuse.streaming.blocks import blocks
from bandfuse.streaming.stream import whole
from bandfuse.streaming.windows import Window


class Weighed(MemorySource):
    """An image in memory that says how much it weighs."""

    bytes_per_pixel = 8


def test_of_a_quadratic_image_slopes_are_its_derivatives() -> None:
    row, col = np.mgrid[:5, :6].astype(float)
    image = 2 * col + 3 * row + 0.5 * col**2 - 1.5 * row**2 + 0.25 * row * col
    dx, dy, dxx, dyy, dxy = slopes_of(image[None])
    row, col = row[1:-1, 1:-1], col[1:-1, 1:-1]
    np.testing.assert_allclose(dx, 2 + col + 0.25 * row, atol=1e-12)
    np.testing.assert_allclose(dy, 3 - 3 * row + 0.25 * col, atol=1e-12)
    for slope, value in ((dxx, 1.0), (dyy, -3.0), (dxy, 0.25)):
        np.testing.assert_allclose(slope, value, atol=1e-12)


def test_groups_are_of_equal_numbers_and_no_more_than_bands() -> None:
    assert grouped([3, 1, 2]) == [[3], [1], [2]]
    assert [len(group) for group in grouped(range(20))] == [4, 4, 3, 3, 3, 3]


def test_pixels_at_an_edge_and_beside_a_missing_one_have_no_slopes() -> None:
    cube = np.random.default_rng(0).normal(size=(2, 7, 9))
    cube[1, 3, 4] = np.nan
    seen = whole(SlopedSource(Weighed(cube), (7, 9), [[0, 1]]), Window(0, 0, 7, 9))
    there = np.isfinite(seen).all(axis=0)
    expected = np.zeros((7, 9), dtype=bool)
    expected[1:-1, 1:-1] = True
    expected[2:5, 3:6] = False
    np.testing.assert_array_equal(there, expected)
    part = whole(SlopedSource(Weighed(cube), (7, 9), [[0, 1]]), Window(2, 1, 3, 5))
    same_bits(part, seen[:, 2:5, 1:6])


@pytest.mark.parametrize("seed", range(3))
def test_moments_with_slopes_have_the_same_bits_for_all_windows_and_threads(seed: int) -> None:
    random = np.random.default_rng(seed)
    shape = (int(random.integers(20, 200)), int(random.integers(20, 600)))
    cube = gaussian_filter(random.normal(size=(4, *shape)), (0, 1, 1))
    source = SlopedSource(Weighed(cube), shape, [[0, 1], [2]])
    question = Question(3, 1 + source.count, (0, 1, 2), blocks(shape, 3), slopes=source.count)
    found = []
    for threads in (1, 2, 3):
        windows = windows_at_random(shape, random)
        found.append(reduce_windows(source, question, windows, threads=threads))
    for other in found[1:]:
        same_bits(found[0].total().scatter, other.total().scatter)
        assert other.invalid == found[0].invalid
    assert found[0].invalid["neighbour missing"] == 2 * (shape[0] + shape[1]) - 4


def test_without_slopes_is_what_least_squares_leaves() -> None:
    random = np.random.default_rng(1)
    z = random.normal(size=(300, 4))
    u = random.normal(size=(300, 3)) + z @ random.normal(size=(4, 3)) + 5
    both = np.hstack([u, z])
    out = WithoutSlopes.of(Moments.of(both), 3)
    x = np.column_stack([np.ones(300), z])
    rest = u - x @ np.linalg.lstsq(x, u, rcond=None)[0] + u.mean(axis=0)
    condition = condition_of(both)
    close_to_conditioning(out.pixels(both), rest, condition)
    close_to_conditioning(
        out.moments(Moments.of(both)).scatter, Moments.of(rest).scatter, condition
    )
    close_to_conditioning(out.moments(Moments.of(both)).mean, u.mean(axis=0), condition)


# --------------------------------------------------------------------------------------------------


WEIGHT = np.exp(-0.5 * ((np.arange(24) - 10) / 2.0) ** 2)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A cube, and a target that its bands make, .4 columns and −1.3 rows off."""
    folder, random = tmp_path_factory.mktemp("pair"), np.random.default_rng(2)
    cube = spectra(24, 70, 90, seed=2).astype(float)
    cube += 0.3 * gaussian_filter(random.normal(size=cube.shape), (2, 1.5, 1.5)) * cube.std()
    cube = gaussian_filter(cube, (0, 1, 1))
    target = shift(np.tensordot(WEIGHT / WEIGHT.sum(), cube, 1), (-1.3, 0.4), mode="nearest")
    target += random.normal(size=target.shape) * target.std() * 0.01
    return (
        write_tiff(folder / "c.tif", cube, wavelengths=wavelengths(24)),
        write_tiff(folder / "t.tif", target[None]),
    )


def learned(folder: Path) -> tuple[float, dict[str, Any]]:
    """How far weights are off, and the report."""
    with (folder / "weights.csv").open() as file:
        weight = np.array([float(row["effective_weight"]) for row in csv.DictReader(file)])
    truth = WEIGHT / WEIGHT.sum()
    report = json.loads((folder / "report.json").read_text())
    return float(np.linalg.norm(weight - truth) / np.linalg.norm(truth)), report


def test_slopes_keep_the_weights_of_a_shifted_target_true(
    pair: tuple[str, str], tmp_path: Path
) -> None:
    base = ("train", pair[0], "--target", pair[1], "--no-fused", "--no-report")
    error, r2 = {}, {}
    for how in ("auto", "off"):
        said = ok(*base, "--register", how, "-o", tmp_path / how).err
        error[how], report = learned(tmp_path / how)
        r2[how] = report["scores"]["holdout"]["b1"]["r2"]
        assert ("slopes of the cube explain the rest" in said) is (how == "auto")
        assert report["alignment"][0]["moved"] == ([0.0, 1.0] if how == "auto" else [0.0, 0.0])
    assert error["auto"] < 0.25 < 2 * error["auto"] + 0.25 < error["off"] + 0.25
    assert r2["auto"] > 0.99 > r2["off"]


def test_slopes_give_the_same_bits_for_every_memory_and_number_of_threads(
    pair: tuple[str, str], tmp_path: Path
) -> None:
    base = ("train", pair[0], "--target", pair[1], "--no-fused", "--no-report")
    texts = []
    for i, how in enumerate((("--threads", 1), ("--threads", 2, "--memory", 64))):
        ok(*base, "--register", "on", *how, "-o", tmp_path / str(i))
        texts.append((tmp_path / str(i) / "weights.csv").read_bytes())
    same_bits(*texts)


def test_slopes_are_for_one_scene_and_a_regression_from_moments(
    pair: tuple[str, str], tmp_path: Path
) -> None:
    c, t = pair
    other = write_tiff(tmp_path / "other.tif", spectra(24, 9, 9), wavelengths=wavelengths(24))
    two = (c, other, "--target", t, "--target", t)
    assert "one scene" in refused(tmp_path, *two, "--register", "on")
    one = (c, "--target", t, "--loss", "mae", "--register", "on")
    assert "--register on" in refused(tmp_path, *one)
