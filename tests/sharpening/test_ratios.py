"""High and odd ratios: as right as low ones, with no more work for each pixel."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sharp_images import MIX, MODULATION, error, interpolated, scene, seen

from bandfuse.raster.write import blank
from bandfuse.sharpening.arrays import learn_gains, sharpened
from bandfuse.sharpening.gains.gains import Gains
from bandfuse.sharpening.gains.sums import parts, pixels
from bandfuse.sharpening.gains.tiles import Tiles, grounds, tile_on
from bandfuse.sharpening.inputs.grids import meeting
from bandfuse.sharpening.pairs.pair import Geometry, Pair, reading
from bandfuse.sharpening.pairs.ranges import Range
from bandfuse.spectral.bands import Floats


def gains_for(bands: int, sharp: int) -> Gains:
    """Some gains."""
    truth, image = scene(64)
    known = learn_gains(seen(truth, 4), [image], Geometry.of_ratio((64, 64), 4), blur=MODULATION)
    return replace(known, gain=np.ones((bands, sharp)))


@pytest.mark.parametrize("ratio", [4, 20, 80])
def test_each_sharp_pixel_is_read_a_few_times_only(ratio: float) -> None:
    """In learning, and in sharpening, whatever the ratio."""
    size, count = 480, [0]
    geometry, image = Geometry.of_ratio((size, size), ratio), reading(np.ones((2, size, size)))

    def sharp(rows: Range, cols: Range) -> Floats:
        inside = [max(0, min(r.stop, size) - max(r.start, 0)) for r in (rows, cols)]
        count[0] += inside[0] * inside[1]
        return image(rows, cols)

    def cube(rows: Range, cols: Range) -> Floats:
        return np.ones((4, rows.size, cols.size))

    within = Range(0, size), Range(0, size)
    pair = Pair(geometry, MODULATION, cube, sharp, within)
    for part in parts(geometry.coarse, ratio, 4):
        pixels(pair, *part)
    learning = count[0] / size**2
    count[0] = 0
    pair, gains = replace(pair), gains_for(4, 2)
    tiles = Tiles(geometry.fine, 4, ratio)
    on = grounds(pair, gains, tiles, 1)
    for place in tiles.ordered():
        tile_on(on(place), pair, gains, *place)
    assert max(learning, count[0] / size**2) < 10


@pytest.mark.parametrize("ratio", [16, pytest.param(40, marks=pytest.mark.thorough)])
def test_a_high_ratio_is_sharpened_rightly(ratio: int) -> None:
    size = 16 * ratio
    truth, sharp = scene(size, seed=5)
    cube = seen(truth, ratio)
    geometry = Geometry.of_ratio((size, size), ratio)
    gains = learn_gains(cube, [sharp], geometry, blur=MODULATION)
    assert gains.learned == pytest.approx(MIX, abs=0.05)
    result = sharpened(cube, [sharp], gains, geometry)
    assert error(result, truth) < 0.1 * error(interpolated(cube, ratio), truth)


@pytest.mark.parametrize("ratio", [2.5, 7.3])
def test_a_result_does_not_depend_on_its_grounds(ratio: float) -> None:
    """A tile on a ground of its own has the same numbers but for rounding."""
    size = 280
    _, sharp = scene(size, seed=6)
    geometry = Geometry.of_ratio((size, size), ratio)
    cube = np.random.default_rng(0).normal(size=(4, *geometry.coarse))
    pair = Pair(geometry, MODULATION, reading(cube), reading(sharp))
    gains = gains_for(4, 2)
    on = grounds(pair, gains, Tiles(geometry.fine, 4, ratio), 1)
    small = Range(256, 280), Range(16, 80)
    wide = Range(256, 280), Range(0, 256)
    one = np.concatenate(list(tile_on(on(small), pair, gains, *small).values()))
    two = np.concatenate(list(tile_on(on(wide), pair, gains, *wide).values()))
    np.testing.assert_allclose(one, two[:, :, 16:80], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("ratio", "said"), [(100, False), (101, True)])
def test_a_ratio_beyond_sense_is_told(ratio: int, said: bool) -> None:
    side = 2 * ratio
    cube = blank(2, 2, (10 * ratio, 0, 4e5, 0, -10 * ratio, 5e6), 32633)
    sharp = blank(side, side, (10, 0, 4e5, 0, -10, 5e6), 32633)
    messages = meeting(cube, sharp).messages
    assert any("detail so much finer" in text for text in messages) == said
