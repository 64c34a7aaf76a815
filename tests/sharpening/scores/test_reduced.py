"""Everything once more one scale down: which parts, which blocks, and what is known of them."""

from __future__ import annotations

import numpy as np
import pytest
from sharp_images import MODULATION, scene, seen

from bandfuse.sharpening.pairs.kernels import Axis
from bandfuse.sharpening.pairs.pair import Geometry, Pair, reading
from bandfuse.sharpening.pairs.ranges import Range
from bandfuse.sharpening.scores import held_out, reduced


def pair_of(size: int = 192, ratio: int = 4, seed: int = 0) -> Pair:
    """A cube (4, n, n) and a sharp image (2, n · ratio, n · ratio)."""
    truth, sharp = scene(size, seed=seed)
    cube = seen(truth, ratio)
    geometry = Geometry.of_ratio((size, size), ratio)
    return Pair(geometry, MODULATION, reading(cube), reading(sharp))


def geometry_of(rows: int, cols: int, ratio: float) -> Geometry:
    return Geometry(Axis(round(rows * ratio), rows, ratio), Axis(round(cols * ratio), cols, ratio))


Parts = tuple[Pair, list[reduced.Small], list[held_out.Block]]


@pytest.fixture(scope="module")
def small() -> Parts:
    """A small pair, its parts and their blocks."""
    pair = pair_of(96)
    smalls = reduced.smalls_of(pair, reduced.parts_of(pair.geometry))
    return pair, smalls, held_out.blocks_of(smalls)


@pytest.mark.parametrize("ratio", [1.5, 3, 10 / 3, 6, 12])
@pytest.mark.parametrize("shape", [(20, 20), (100, 130), (3000, 5000)])
def test_parts_are_bounded_and_lie_within(shape: tuple[int, int], ratio: float) -> None:
    geometry = geometry_of(*shape, ratio)
    parts = reduced.parts_of(geometry)
    assert sum(r.size * c.size for r, c in parts) <= reduced.MOST_SIDE**2
    for rows, cols in parts:
        assert 0 <= rows.start < rows.stop <= shape[0]
        assert 0 <= cols.start < cols.stop <= shape[1]
    covered = np.zeros(shape, dtype=int)
    for rows, cols in parts:
        covered[rows.start : rows.stop, cols.start : cols.stop] += 1
    assert covered.max() == 1
    assert reduced.is_whole(geometry, parts) == (covered.min() == 1)
    assert reduced.is_whole(geometry, parts) == (max(shape) <= reduced.MOST_SIDE)


def test_parts_of_many_bands_are_smaller() -> None:
    def pixels(bands: int) -> int:
        parts = reduced.parts_of(geometry_of(3000, 3000, 4), bands)
        return sum(r.size * c.size for r, c in parts)

    assert pixels(1) == pixels(224)
    assert 0.2 * pixels(224) < pixels(896) <= 0.25 * pixels(224)


def test_parts_are_spread() -> None:
    parts = reduced.parts_of(geometry_of(3000, 3000, 4))
    assert len(parts) == 9
    assert {r.start + r.size // 2 for r, _ in parts} == {500, 1500, 2500}


def test_the_small_pair_is_the_cube_seen_from_farther() -> None:
    pair = pair_of()
    (small,) = reduced.smalls_of(pair, reduced.parts_of(pair.geometry))
    every = Range(0, 48), Range(0, 48)
    truth = pair.read_cube(*every)
    np.testing.assert_array_equal(small.truth, truth)
    phase = small.phases[0]
    assert phase.first == (0, 0)
    assert phase.pair.geometry.coarse == (12, 12)
    # away from the edges, where scipy repeats the last pixel
    inner = Range(2, 10)
    expected = seen(truth, 4)[:, 2:10, 2:10]
    np.testing.assert_allclose(phase.pair.read_cube(inner, inner), expected, rtol=2e-3)
    sharp = phase.pair.read_sharp(*every)
    np.testing.assert_allclose(sharp, pair.reduced(*every).values, rtol=1e-12)


def test_coarse_grids_begin_in_several_places_of_a_small_scene() -> None:
    small_scene, large = geometry_of(24, 24, 4), geometry_of(3000, 3000, 4)
    assert len(set(reduced.phases_of(small_scene, 36))) == 9
    assert len(set(reduced.phases_of(small_scene, 4))) == 16
    assert reduced.phases_of(large, 5000) == [(0, 0)]
    assert reduced.phases_of(geometry_of(24, 24, 1.5), 256) == [(0, 0)]


def test_phases_see_the_truth_where_they_lie(small: Parts) -> None:
    (one,) = small[1]
    assert len(one.phases) == 9
    moved = next(phase for phase in one.phases if min(phase.first) > 0)
    rows, cols = (Axis(24, 5, 4, start) for start in moved.first)
    seen_whole = reading(one.truth)
    inner = Range(2, 4), Range(2, 3)
    direct = Pair(Geometry(rows, cols), MODULATION, seen_whole, seen_whole).reduced(*inner)
    # the part ends where the last coarse pixel does, which is seen a little
    found = moved.pair.read_cube(*inner)
    np.testing.assert_allclose(found, direct.values, rtol=1e-3)


def test_blocks_hold_each_coarse_pixel_once(small: Parts) -> None:
    _, smalls, every = small
    assert len(every) == reduced.BLOCKS
    total = sum(np.prod(phase.pair.geometry.coarse) for phase in smalls[0].phases)
    assert sum(len(block.pixels.block) for block in every) == total


def test_a_held_out_block_does_not_teach_its_own_gains(small: Parts) -> None:
    """What is predicted of a block does not change with the cube within it, as long as its coarse
    pixels stay: gains come from other blocks."""
    every = small[2]
    others = every[1:]
    before = held_out.learned(others, MODULATION, force=True, seed=0)
    wild = held_out.Block(0, every[0].place, every[0].pixels)
    wild.pixels.cube[:] = 1e6
    after = held_out.learned(others, MODULATION, force=True, seed=0)
    assert before is not None
    assert after is not None
    np.testing.assert_array_equal(before.gains.gain, after.gains.gain)


def test_held_out_detail_is_that_of_the_truth() -> None:
    """Without noise the sharp bands explain the cube: what is held out comes out nearly right."""
    pair = pair_of()
    smalls = reduced.smalls_of(pair, reduced.parts_of(pair.geometry))
    every = held_out.blocks_of(smalls)
    errors: dict[str, list[float]] = {}
    for number, made in held_out.held_out(smalls, every):
        for name, image in made.items():
            error = np.square(image - smalls[number].truth)
            errors.setdefault(name, []).append(float(np.nanmean(error)))
    assert set(errors) == {"bandfuse", "interpolation", "gsa", "glp", "brovey"}
    mean = {name: np.mean(values) for name, values in errors.items()}
    assert mean["bandfuse"] < 0.05 * mean["interpolation"]


def test_a_hole_is_no_part_of_the_scores() -> None:
    pair = pair_of()
    cube = pair.read_cube(Range(0, 48), Range(0, 48))
    cube[:, 20:28, 20:28] = np.nan
    holed = Pair(pair.geometry, pair.blur, reading(cube), pair.read_sharp)
    smalls = reduced.smalls_of(holed, reduced.parts_of(holed.geometry))
    for number, made in held_out.held_out(smalls, held_out.blocks_of(smalls)):
        for image in made.values():
            assert np.isfinite(image).any()
            error = image - smalls[number].truth
            assert not np.isfinite(error[:, 20:28, 20:28]).any()


def test_a_scene_that_is_too_small_has_no_parts() -> None:
    pair = pair_of(28)
    assert reduced.smalls_of(pair, reduced.parts_of(pair.geometry)) == []
