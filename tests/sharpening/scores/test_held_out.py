"""Blocks of a scene one scale down, each sharpened by what is learned from the others."""

from __future__ import annotations

import numpy as np
import pytest
from sharp_images import MODULATION, pair_of

from bandfuse.sharpening.pairs.pair import Pair, reading
from bandfuse.sharpening.pairs.ranges import Range
from bandfuse.sharpening.scores import held_out, reduced

Parts = tuple[Pair, list[reduced.Small], list[held_out.Block]]


@pytest.fixture(scope="module")
def small() -> Parts:
    """A small pair, its parts and their blocks."""
    pair = pair_of(96)
    smalls = reduced.smalls_of(pair, reduced.parts_of(pair.geometry))
    return pair, smalls, held_out.blocks_of(smalls)


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
