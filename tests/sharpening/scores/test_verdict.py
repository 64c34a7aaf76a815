"""The verdict on a sharpening: does it say without the truth what the truth says?"""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import rasterio
from realdata import DATA, needs_real_data
from sharp_images import MODULATION, scene, seen

from bandfuse.results.sharpening import MethodScores
from bandfuse.sharpening.arrays import learn_gains, sharpened
from bandfuse.sharpening.pairs.pair import Geometry, Pair, reading
from bandfuse.sharpening.pairs.ranges import Range
from bandfuse.sharpening.scores import alike, verdict
from bandfuse.sharpening.scores.baselines import METHODS
from bandfuse.sharpening.scores.held_out import view_of
from bandfuse.sharpening.scores.worth import jackknife
from bandfuse.spectral.bands import Floats

SENSORS = {"pan": [(450, 700)], "ms4": [(457, 522), (542, 577), (650, 680), (784, 900)]}


def judged(cube: Floats, sharp: Floats, ratio: int) -> tuple[verdict.Verdict, Pair, Floats]:
    """The verdict, the pair and the sharpened cube."""
    geometry = Geometry.of_ratio(sharp.shape[1:], ratio)
    gains = learn_gains(cube, [sharp], geometry, blur=MODULATION)
    pair = Pair(geometry, MODULATION, reading(cube), reading(sharp))
    return verdict.verdict_of(pair, gains), pair, sharpened(cube, [sharp], gains, geometry)


def by_method(rows: list[MethodScores], name: str) -> dict[str, float]:
    return {row.method: float(row.scores[name] or 0) for row in rows}


@pytest.fixture(scope="module")
def made() -> tuple[verdict.Verdict, Pair, Floats]:
    truth, sharp = scene(192, noise=0.02)
    return judged(seen(truth, 4), sharp, 4)


def test_every_method_has_every_score(made: tuple[verdict.Verdict, Pair, Floats]) -> None:
    found = made[0]
    assert found.reduced is not None
    assert found.full is not None
    names = ["bandfuse", "interpolation", "gsa", "glp", "brovey"]
    for rows, count in ((found.reduced.methods, 6), (found.full.methods, 6)):
        assert [row.method for row in rows] == names
        for row in rows:
            assert len(row.scores) == count
            assert all(value is not None and np.isfinite(value) for value in row.scores.values())
    assert all(row.errors["ergas"] for row in found.reduced.methods)
    assert found.reduced.whole
    assert found.reduced.blocks == 9


def test_the_gain_of_a_band_is_that_of_its_psnr(made: tuple[verdict.Verdict, Pair, Floats]) -> None:
    bands = made[0].bands
    assert bands is not None
    np.testing.assert_allclose(bands.gained, bands.psnr - bands.plain, rtol=1e-9)
    assert (bands.gained > 5).all()
    assert (bands.error > 0).all()


def test_bands_that_the_sharp_image_knows_nothing_of_are_worse() -> None:
    """With detail forced into them."""
    truth, sharp = scene(192)
    other, _ = scene(192, seed=9)
    truth[0] = other[0]
    cube = seen(truth, 4)
    geometry = Geometry.of_ratio((192, 192), 4)
    gains = learn_gains(cube, [sharp], geometry, blur=MODULATION, force=True)
    pair = Pair(geometry, MODULATION, reading(cube), reading(sharp))
    found = verdict.verdict_of(pair, gains, force=True)
    assert found.bands is not None
    assert found.bands.gained[0] < 1
    assert (found.bands.gained[1:] > 5).all()


def test_consistency_is_that_of_the_result_seen_by_the_cube(
    made: tuple[verdict.Verdict, Pair, Floats],
) -> None:
    found, pair, result = made
    assert found.full is not None
    # the middle 24 × 24 of 48 × 48 pixels of the cube
    middle = slice(12, 36)
    cube = pair.read_cube(Range(0, 48), Range(0, 48))
    mse = np.square(seen(result, 4) - cube)[:, middle, middle].mean(axis=(1, 2))
    mean = cube[:, middle, middle].mean(axis=(1, 2))
    expected = 25 * np.sqrt((mse / mean**2).mean())
    ergas = by_method(found.full.methods, "consistency_ergas")
    assert ergas["bandfuse"] == pytest.approx(expected, rel=0.02)
    assert ergas["bandfuse"] < ergas["interpolation"]


def test_full_scale_scores_are_those_of_the_whole_arrays(
    made: tuple[verdict.Verdict, Pair, Floats],
) -> None:
    found, pair, result = made
    assert found.full is not None
    middle, coarse = slice(48, 144), slice(12, 36)
    sharp = pair.read_sharp(Range(0, 192), Range(0, 192))
    low = pair.reduced(Range(0, 48), Range(0, 48)).values
    cube = pair.read_cube(Range(0, 48), Range(0, 48))
    fine = alike.alike(np.concatenate([result, sharp])[:, middle, middle])
    seen_so = alike.alike(np.concatenate([cube, low])[:, coarse, coarse], 8)
    expected = alike.distortions(fine, seen_so, 4)
    own = found.full.methods[0].scores
    for name in ("d_lambda", "d_s", "qnr"):
        assert own[name] == pytest.approx(expected[name], rel=1e-9)


def test_the_map_shows_where_it_helps(made: tuple[verdict.Verdict, Pair, Floats]) -> None:
    found = made[0]
    assert found.gain_map is not None
    assert found.gain_map.shape == (48, 48)
    assert np.nanmedian(found.gain_map) > 3
    # next to the edges nothing is known
    assert np.isnan(found.gain_map[:4]).all()


def test_a_scene_too_small_has_no_scores_one_scale_down() -> None:
    truth, sharp = scene(28)
    found, _, _ = judged(seen(truth, 4), sharp, 4)
    assert found.reduced is None
    assert found.bands is None
    assert found.full is not None


def test_jackknife_of_a_mean_is_its_standard_error() -> None:
    values = np.random.default_rng(0).normal(size=20)
    left = np.array([np.delete(values, k).mean() for k in range(20)])
    expected = values.std(ddof=1) / np.sqrt(20)
    assert jackknife(left) == pytest.approx(expected)


def read(path: Path) -> tuple[Floats, Floats]:
    """(B, H, W) and wavelengths in nm."""
    with rasterio.open(path) as data:
        nm = [float(data.tags(i)["wavelength"]) for i in data.indexes]
        return data.read().astype(np.float64), np.array(nm)


def protocol(name: str, sensor: str) -> tuple[Floats, Floats, Floats]:
    """The true cube, the cube as it is seen at a ratio of 4, and the sharp image."""
    truth, nm = read(DATA / "unmixing" / name)
    rows, cols = (n // 4 * 4 for n in truth.shape[1:])
    truth = truth[:, :rows, :cols]
    rng = np.random.default_rng(0)

    def noisy(values: Floats) -> Floats:
        spread = values.std(axis=(1, 2), keepdims=True)
        return values + 0.01 * spread * rng.normal(size=values.shape)

    ranges = SENSORS[sensor]
    sharp = np.stack([truth[(nm >= a) & (nm <= b)].mean(axis=0) for a, b in ranges])
    return truth, noisy(seen(truth, 4)), noisy(sharp)


def true_ergas(truth: Floats, pair: Pair, own: Floats) -> dict[str, float]:
    """ERGAS of every method against the truth, without a border of one pixel of the cube."""
    every = tuple(Range(0, n) for n in pair.geometry.coarse)
    x, t = (
        a.values.reshape(len(a.values), -1).T for a in (pair.cube(*every), pair.reduced(*every))
    )
    view = view_of(pair, *(Range(0, n) for n in pair.geometry.fine))
    made = {"bandfuse": own} | {name: make(x, t)(view) for name, make in METHODS.items()}
    inner = (slice(None), slice(4, -4), slice(4, -4))
    mean = truth[inner].mean(axis=(1, 2))
    return {
        name: float(25 * np.sqrt((np.square(y - truth)[inner].mean(axis=(1, 2)) / mean**2).mean()))
        for name, y in made.items()
    }


@pytest.mark.thorough
@needs_real_data
@pytest.mark.parametrize("sensor", SENSORS)
@pytest.mark.parametrize("name", ["jasper_198b.tif", "samson_156b.tif"])
def test_methods_are_ranked_as_by_the_truth(name: str, sensor: str) -> None:
    """Those that differ by less than 3 % of their true error may change places."""
    truth, cube, sharp = protocol(name, sensor)
    found, pair, own = judged(cube, sharp, 4)
    assert found.reduced is not None
    assert found.bands is not None
    known = true_ergas(truth, pair, own)
    assert min(known, key=lambda method: known[method]) == "bandfuse"
    estimated = by_method(found.reduced.methods, "ergas")
    ranked = ["bandfuse", "glp", "gsa", "interpolation"]
    for a, b in combinations(ranked, 2):
        if abs(known[a] - known[b]) > 0.03 * known[a]:
            assert (known[a] < known[b]) == (estimated[a] < estimated[b]), (a, b, known, estimated)
    assert found.reduced.better == []
