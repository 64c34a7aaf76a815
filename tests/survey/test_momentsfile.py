"""What a pass leaves, as a file and back; blocks that add up to larger ones."""

from __future__ import annotations

import stat
import tracemalloc
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from rasters import blend, ok, read, spectra, wavelengths, write_tiff
from safetensors import safe_open
from safetensors.numpy import save

from bandfuse.files.kinds import is_moments
from bandfuse.moments.census import Census
from bandfuse.moments.moments import Moments
from bandfuse.moments.sample import Pixels
from bandfuse.moments.tally import NOISE, Tally
from bandfuse.scenes.scene_table import scene_of, scene_table
from bandfuse.streaming.blocks import BlockGrid, blocks
from bandfuse.survey.momentsfile import one_scene, read_moments, write_moments
from bandfuse.survey.scene_moments import SceneMoments

SIDE = st.integers(1, 60)


@given(rows=SIDE, cols=SIDE, fine=st.integers(1, 8), per_side=st.integers(1, 8))
def test_coarser_blocks_are_whole_blocks_that_cover_the_scene(
    rows: int, cols: int, fine: int, per_side: int
) -> None:
    grid = blocks((rows, cols), fine)
    coarse = grid.coarser(per_side)
    assert set(coarse.row_edges) <= set(grid.row_edges)
    assert set(coarse.col_edges) <= set(grid.col_edges)
    assert (coarse.row_edges[-1], coarse.col_edges[-1]) == (rows, cols)
    assert coarse.count <= per_side**2
    painted = [paint(g) for g in (grid, coarse)]
    number = np.array(grid.within(coarse))
    assert np.array_equal(number[painted[0]], painted[1])


def paint(grid: BlockGrid) -> np.ndarray:
    """(rows, cols) number of the block of every pixel, block by block."""
    image = np.full((grid.row_edges[-1], grid.col_edges[-1]), -1)
    number = 0
    for top, bottom in zip(grid.row_edges, grid.row_edges[1:], strict=False):
        for left, right in zip(grid.col_edges, grid.col_edges[1:], strict=False):
            image[top:bottom, left:right] = number
            number += 1
    return image


@given(seed=st.integers(0, 50), per_side=st.integers(1, 4))
def test_coarser_tallies_are_those_of_the_pixels_of_larger_blocks(seed: int, per_side: int) -> None:
    random = np.random.default_rng(seed)
    shape = (int(random.integers(4, 20)), int(random.integers(4, 20)))
    values, classes = random.normal(3, 1, (*shape, 3)), random.integers(NOISE, 2, shape)
    grid = blocks(shape, 4)
    coarse = grid.coarser(per_side)

    def strata(of: BlockGrid) -> dict[tuple[int, int], Moments]:
        where = paint(of)
        keys = {(int(b), int(c)) for b, c in zip(where.ravel(), classes.ravel(), strict=True)}
        return {(b, c): Moments.of(values[(where == b) & (classes == c)]) for b, c in keys}

    tally = Tally(Census.zero(3), Pixels.zero(0, 3), np.zeros(3), strata=strata(grid), size=3)
    found, expected = tally.coarser(grid, coarse).strata, strata(coarse)
    assert found.keys() == expected.keys()
    for key, moments in expected.items():
        assert found[key].count == moments.count
        np.testing.assert_allclose(found[key].mean, moments.mean, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(found[key].scatter, moments.scatter, rtol=1e-10, atol=1e-10)


@pytest.fixture(scope="module")
def gathered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Moments of a scene with a finer target, a mask, bounds and differences of neighbours."""
    place = tmp_path_factory.mktemp("file")
    cube = spectra(5, 40, 44)
    cube[3] = 1.0  # a dead band
    write_tiff(place / "x.tif", cube, nm=wavelengths(5))
    target = np.kron(blend(cube, [[0.5, 0.5, 0, 0, 0]]), np.ones((1, 2, 2)))
    fine = {"transform": rasterio.Affine(15, 0, 400_000, 0, -15, 5_800_000)}
    write_tiff(place / "t.tif", target.astype("float32"), **fine)
    write_tiff(place / "m.tif", (np.arange(40 * 44).reshape(1, 40, 44) % 7 > 0).astype("uint8"))
    given = ("--target", place / "t.tif", "--mask", place / "m.tif", "--noise")
    window = ("--window", 1, 2, 36, 40)
    ok("moments", place / "x.tif", *given, *window, "-o", place / "x.moments", "--threads", 1)
    return place / "x.moments"


def test_a_file_gives_back_what_was_written(gathered: Path, tmp_path: Path) -> None:
    first = read_moments(gathered)
    write_moments(tmp_path / "again.moments", first)
    assert (tmp_path / "again.moments").read_bytes() == gathered.read_bytes()
    again = read_moments(tmp_path / "again.moments")
    assert_same(first[0], again[0])
    assert scene_table(scene_of(scene_table(first[0].scene))) == scene_table(first[0].scene)
    assert is_moments(gathered)
    assert not is_moments(gathered.with_name("x.tif"))
    assert not is_moments(gathered.parent)


def test_a_file_of_several_scenes_is_the_one_that_the_library_writes(
    gathered: Path, tmp_path: Path
) -> None:
    write_moments(tmp_path / "x.moments", [*read_moments(gathered)] * 11)
    with safe_open(str(tmp_path / "x.moments"), framework="numpy") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    assert (tmp_path / "x.moments").read_bytes() == save(tensors, metadata=metadata)


def test_scenes_are_written_one_after_the_other(gathered: Path, tmp_path: Path) -> None:
    """What is held while many scenes are written does not grow with their number."""

    def scene(number: int) -> SceneMoments:
        one = one_scene(gathered, 0)
        sample = np.zeros((len(one.wanted), 100_000))
        return replace(one, seed=number, look=replace(one.look, sample=sample))

    def peak(count: int) -> int:
        scenes = map(scene, range(count))
        tracemalloc.start()
        try:
            write_moments(tmp_path / "many.moments", scenes)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    few, many = peak(4), peak(40)
    assert [one.seed for one in read_moments(tmp_path / "many.moments")] == list(range(40))
    assert many - few < 36 * 100_000  # of 4 MB each
    assert list(tmp_path.iterdir()) == [tmp_path / "many.moments"]


def assert_same(one: SceneMoments, other: SceneMoments) -> None:
    for field in fields(SceneMoments):
        if field.name in ("scene", "look", "seen", "tally", "goals"):
            continue
        assert getattr(one, field.name) == getattr(other, field.name)
    for name in ("key", "place", "values"):
        first, second = (getattr(s.tally.pixels, name) for s in (one, other))
        assert np.array_equal(first, second)


def test_a_file_holds_what_numpy_finds(gathered: Path) -> None:
    """Counts, means and scatters over all pixels that count, and differences of neighbours."""
    (one,) = read_moments(gathered)
    assert one.used == (0, 1, 2, 4)
    assert one.noise
    x = read(gathered.with_name("x.tif"))[[0, 1, 2, 4]].astype(float)
    t = read(gathered.with_name("t.tif")).astype(float)
    t = t.reshape(1, 40, 2, 44, 2).mean(axis=(2, 4))
    inside = read(gathered.with_name("m.tif"))[0] > 0
    outside = np.ones_like(inside)
    outside[1:37, 2:42] = False
    here = inside & ~outside
    z = np.concatenate([x, t])[:, here]
    total = one.tally.total()
    assert total.count == one.tally.used == here.sum()
    np.testing.assert_allclose(total.mean, z.mean(axis=1), rtol=1e-6)
    np.testing.assert_allclose(total.covariance, np.cov(z, bias=True), rtol=1e-5, atol=1e-9)
    assert one.scene.shape == (40, 44)
    assert one.scene.target is not None
    sizes = {Path(path).name: size for path, (size, _) in one.inputs.items()}
    assert sizes == {name: gathered.with_name(name).stat().st_size for name in sizes}
    assert set(sizes) == {"x.tif", "t.tif", "m.tif"}


def test_others_may_read_a_file_as_they_may_read_weights(gathered: Path) -> None:
    plain = gathered.with_name("plain")
    plain.write_text("")
    assert stat.S_IMODE(gathered.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)
