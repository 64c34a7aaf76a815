"""Pools of many scenes: what is held does not grow with all that their passes leave, and what is
learned is the same."""

from __future__ import annotations

import weakref
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rasters import blend, cli, ok, spectra, wavelengths, write_tiff

import bandfuse
import bandfuse.survey.stored_moments as stored
import bandfuse.training.settings.moments
from bandfuse.moments.census import Census
from bandfuse.moments.moments import Moments, total
from bandfuse.moments.sample import Pixels, keys, merged
from bandfuse.moments.tally import Tally
from bandfuse.streaming.blocks import BlockGrid
from bandfuse.survey import pool_blocks, pool_sample
from bandfuse.survey.pool_blocks import EVERYWHERE, PoolBlocks
from bandfuse.survey.pool_sample import FEWEST, PoolSample, pool_room
from bandfuse.survey.scene_moments import SceneMoments
from bandfuse.trust import fold_problems, folds

SCENES, BANDS = 8, 6
TRUTH = [[0, 0.4, 0.6, 0, 0, 0]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small scenes with a target, and their moments."""
    place = tmp_path_factory.mktemp("pool")
    for i in range(SCENES):
        cube = spectra(BANDS, 24, 20 + i, seed=i)
        noise = np.random.default_rng(i).normal(0, 0.01, (1, *cube.shape[1:]))
        write_tiff(place / f"s{i}.tif", cube, nm=wavelengths(BANDS))
        write_tiff(place / f"s{i}_t.tif", blend(cube, TRUTH, [0.1]) + noise)
        bandfuse.gather_moments(
            bandfuse.MomentsConfig(
                scenes=[str(place / f"s{i}.tif")],
                target=[str(place / f"s{i}_t.tif")],
                output=str(place / f"s{i}.moments"),
                threads=1,
            )
        )
    return place


def trained(
    folder: Path, run: str, *, moments: bool = True, **more: Any
) -> tuple[bytes, list[str]]:
    """The bytes of the weights of a training of all scenes, and what is said of it."""
    names = [str(folder / f"s{i}") for i in range(SCENES)]
    given: dict[str, Any] = {"moments": [f"{name}.moments" for name in names]}
    if not moments:
        given = {
            "scenes": [f"{name}.tif" for name in names],
            "target": [f"{name}_t.tif" for name in names],
            "no_fused": True,
        }
    beside = {"no_report": True, "overwrite": True, "threads": 1}
    config = bandfuse.TrainConfig(output=str(folder / run), **given, **beside, **more)
    _, said = bandfuse.train(config)
    return (folder / run / "weights.safetensors").read_bytes(), said


@pytest.fixture
def tight(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pool that may hold a quarter of its pixels, and the blocks of half of its scenes."""
    monkeypatch.setattr(pool_sample, "POOL_BYTES", 8 * (BANDS + 1) * 1500)
    monkeypatch.setattr(pool_sample, "TIMES", 0)
    monkeypatch.setattr(pool_blocks, "POOL_BYTES", 8 * (BANDS + 1) ** 2 * SCENES // 2)
    monkeypatch.setattr(pool_blocks, "FEWEST", 3)
    monkeypatch.setattr(bandfuse.training.settings.moments, "HELD_BYTES", 0)


def test_moments_are_open_for_one_scene_at_a_time(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of all files the blocks of two at most are in memory, that which is added up and the one
    before; and the weights are those of a training that holds all."""
    expected, _ = trained(folder, "held")
    monkeypatch.setattr(bandfuse.training.settings.moments, "HELD_BYTES", 0)
    alive, most, opened = set[int](), [0], stored.one_scene
    number = count()

    def one_scene(path: str, place: int) -> SceneMoments:
        found, name = opened(path, place), next(number)
        scatters = next(iter(found.tally.strata.values())).scatter.base
        assert scatters is not None
        assert len(scatters) > 1
        alive.add(name)
        weakref.finalize(scatters, alive.discard, name)
        most[0] = max(most[0], len(alive))
        return found

    monkeypatch.setattr(stored, "one_scene", one_scene)
    assert trained(folder, "opened")[0] == expected
    assert next(number) == SCENES
    assert most[0] <= 2


def test_a_pool_that_shares_blocks_is_the_same_from_files_and_from_moments(
    folder: Path, tight: None
) -> None:
    given = {"constraint": "free", "ridge": 1e-4, "split": "scenes"}
    files, said = trained(folder, "files", moments=False, **given)
    assert files == trained(folder, "stored", **given)[0]
    assert any("2 scenes at a time share a block" in text for text in said)


@pytest.mark.thorough
def test_weights_of_a_pool_do_not_depend_on_what_is_held(
    folder: Path, request: pytest.FixtureRequest
) -> None:
    """The moments of all pixels are the same sums, and a loss on pixels sees the same sample."""
    every = {
        "moments": {"constraint": "free", "ridge": 1e-4},
        "pixels": {"loss": "huber", "sample": 700, "steps": 20, "constraint": "free"},
        "per scene": {"scope": "per-scene", "pooling": 0.1, "constraint": "free"},
    }
    for name, how in every.items():
        trained(folder, name, **how)
    kept = {name: bandfuse.load(folder / name).common for name in every}
    request.getfixturevalue("tight")
    for name, how in every.items():
        trained(folder, name, **how)
        again = bandfuse.load(folder / name).common
        np.testing.assert_allclose(again.matrix, kept[name].matrix, rtol=1e-7, atol=1e-9)


def test_folds_whose_matrices_are_made_again_give_the_same_bits(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, _ = trained(folder, "held", split="scenes")
    monkeypatch.setattr(fold_problems, "KEPT", 0)
    assert trained(folder, "shelf", split="scenes")[0] == before


def test_there_are_fewer_folds_where_all_would_take_too_much(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folds, "FOLD_BYTES", 2 * 8 * (BANDS + 1) ** 2 * 7)
    _, said = trained(folder, "fewer", split="scenes")
    assert any(text.startswith(f"7 folds instead of {SCENES}") for text in said)


def test_labels_of_a_pool_share_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Classes have the same moments as without; a scene whose numbers overflow is still named."""
    monkeypatch.chdir(tmp_path)
    for i in range(SCENES):
        cube = spectra(BANDS, 20, 24, seed=i)
        write_tiff(tmp_path / f"s{i}.tif", cube)
        write_tiff(tmp_path / f"s{i}_l.tif", (1 + (cube[2:3] > 0.3)).astype("uint8"))
    given = [*(f"s{i}.tif" for i in range(SCENES)), "--labels", "{stem}_l.tif", "--outputs", 1]
    flags = ("--no-report", "--no-fused", "--overwrite", "--threads", 1)
    ok("train", *given, "-o", "plain", *flags)
    monkeypatch.setattr(pool_blocks, "POOL_BYTES", 8 * BANDS**2 * SCENES)
    monkeypatch.setattr(pool_blocks, "FEWEST", 3)
    said = ok("train", *given, "-o", "shared", *flags, "--split", "scenes").err
    assert "2 scenes at a time share a block" in said
    plain, shared = (bandfuse.load(run).common.matrix for run in ("plain", "shared"))
    np.testing.assert_allclose(plain, shared, rtol=1e-7)
    wild = spectra(BANDS, 20, 24, seed=7).astype("float64")
    wild[:, 4:9] = 1e200
    write_tiff(tmp_path / "s7.tif", wild)
    refused = cli("train", *given, "-o", "none", *flags, "--any-units")
    assert refused.code == 2
    assert "'s7'" in refused.err


def sampled(seed: int, shape: tuple[int, int], capacity: int) -> Pixels:
    """The sample of a scene, by the hashes of its pixels."""
    row, col = (grid.ravel() for grid in np.indices(shape))
    place = np.stack([np.full(row.size, seed), row, col], axis=1).astype(np.int64)
    return Pixels.of(capacity, keys(1, row, col), place, np.full((row.size, 3), float(seed)))


def tally_of(pixels: Pixels, blocks: int = 1) -> Tally:
    """A tally with a sample, and with moments of as many pixels in some blocks."""
    random = np.random.default_rng(len(pixels))
    strata = {(b, 0): Moments.of(random.random((20, 3))) for b in range(blocks)}
    return Tally(Census.zero(3), pixels, np.zeros(3), strata=strata, size=3)


@pytest.mark.parametrize("order", [1, -1])
def test_the_sample_of_a_pool_is_what_all_of_it_would_give(
    order: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of the smallest hashes are kept, whatever the order in which scenes come."""
    monkeypatch.setattr(pool_sample, "POOL_BYTES", 8 * 3 * 2000)
    shapes = [(60, 50), (4, 4), (90, 80), (30, 30), (70, 9)]
    every = [sampled(i, shape, 500) for i, shape in enumerate(shapes)]
    tallies, pool = [tally_of(pixels) for pixels in every], PoolSample()
    for tally in tallies[::order]:
        pool.add(tally)
    pool.settle()
    assert pool_room(500, 3) == 2000
    bound = np.sort(np.concatenate([pixels.key for pixels in every]))[: pool_room(500, 3)][-1]
    for pixels, tally in zip(every, tallies, strict=True):
        wanted = max(int((pixels.key <= bound).sum()), min(FEWEST, len(pixels)))
        assert len(tally.pixels) == wanted
        np.testing.assert_array_equal(tally.pixels.place, pixels.place[:wanted])
    whole, kept = (merged(some, 500, 3) for some in (every, [t.pixels for t in tallies]))
    np.testing.assert_array_equal(whole.place, kept.place)
    np.testing.assert_array_equal(whole.values, kept.values)


def test_scenes_share_blocks_once_their_moments_take_too_much(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pool_blocks, "POOL_BYTES", 8 * 9 * 16)
    every = [tally_of(sampled(i, (5, 6 + i), 40), blocks=2) for i in range(40)]
    moments = [moments for tally in every for moments in tally.strata.values()]
    pixels = [tally.pixels for tally in every]
    pool = PoolBlocks(len(every), apart=False)
    for tally in every:
        pool.add(tally)
    assert pool.each == 4
    assert [bool(tally.strata) for tally in every] == [i % 4 == 0 for i in range(40)]
    expected, found = total(moments, 3), total((tally.total() for tally in every), 3)
    assert found.count == expected.count
    np.testing.assert_allclose(found.scatter, expected.scatter, rtol=1e-12)
    for first in range(0, 40, 4):
        own = every[first].pixels
        assert set(own.place[:, 0]) == {first}
        assert len(own) == sum(map(len, pixels[first : first + 4]))
    own = BlockGrid((0, 2, 5), (0, 3, 6))
    assert pool.grid(own) == EVERYWHERE
    apart = PoolBlocks(40, apart=True)
    for tally in [tally_of(sampled(i, (5, 6), 40), blocks=2) for i in range(40)]:
        apart.add(tally)
    assert apart.each == 1
    assert apart.grid(own) == own
