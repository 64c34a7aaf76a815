"""The scene one scale down: which parts, and what is known of them."""

from __future__ import annotations

import numpy as np
import pytest
from sharp_images import MODULATION, pair_of, seen

from bandfuse.sharpening.pairs.kernels import Axis
from bandfuse.sharpening.pairs.pair import Geometry, Pair, reading
from bandfuse.sharpening.pairs.ranges import Range
from bandfuse.sharpening.scores import reduced


def geometry_of(rows: int, cols: int, ratio: float) -> Geometry:
    return Geometry(Axis(round(rows * ratio), rows, ratio), Axis(round(cols * ratio), cols, ratio))


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


def test_phases_see_the_truth_where_they_lie() -> None:
    pair = pair_of(96)
    (one,) = reduced.smalls_of(pair, reduced.parts_of(pair.geometry))
    assert len(one.phases) == 9
    moved = next(phase for phase in one.phases if min(phase.first) > 0)
    rows, cols = (Axis(24, 5, 4, start) for start in moved.first)
    seen_whole = reading(one.truth)
    inner = Range(2, 4), Range(2, 3)
    direct = Pair(Geometry(rows, cols), MODULATION, seen_whole, seen_whole).reduced(*inner)
    # the part ends where the last coarse pixel does, which is seen a little
    found = moved.pair.read_cube(*inner)
    np.testing.assert_allclose(found, direct.values, rtol=1e-3)


def test_a_scene_that_is_too_small_has_no_parts() -> None:
    pair = pair_of(28)
    assert reduced.smalls_of(pair, reduced.parts_of(pair.geometry)) == []
