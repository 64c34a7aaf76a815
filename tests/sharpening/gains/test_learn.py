"""What is held while gains are learned does not grow with the resamples or the blocks."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from helpers import close_to_conditioning

from bandfuse.sharpening.gains import learn, weights
from bandfuse.sharpening.gains.sums import CubeSums, Pixels, Sums, per_side

CUBE, SHARP, BLOCKS = 60, 40, 30


def sums() -> Sums:
    """Sums of blocks of 200 pixels."""
    rng = np.random.default_rng(0)
    every = rng.normal(size=(BLOCKS, 1 + CUBE + SHARP, 200))
    every[:, 0] = 1.0
    detail, missed = rng.normal(size=(BLOCKS, SHARP, 200)), rng.normal(size=(BLOCKS, CUBE, 200))
    return Sums(
        rng.normal(size=CUBE + SHARP),
        every @ every.transpose(0, 2, 1),
        detail @ detail.transpose(0, 2, 1),
        detail @ missed.transpose(0, 2, 1),
        np.square(missed).sum(axis=2),
    )


def peak(work: Callable[[], object]) -> int:
    """Bytes that are held at most."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_misfits_are_those_of_all_products_and_hold_one_block() -> None:
    some, rng, fits = sums(), np.random.default_rng(1), 6
    every = np.ones(BLOCKS, dtype=bool)
    made = [(rng.normal(size=(SHARP, CUBE)), rng.normal(size=SHARP)) for _ in range(fits)]
    weight, offset = (np.concatenate(part) for part in zip(*made, strict=True))
    level = np.tile(some.shift[CUBE:], fits) - weight @ some.shift[:CUBE] - offset
    row = np.concatenate([level[:, None], -weight, np.tile(np.eye(SHARP), (fits, 1))], axis=1)
    squares = ((some.both @ row.T) * row.T).sum(axis=1).reshape(BLOCKS, fits, SHARP)
    total = some.both.sum(axis=0)
    variance = total.diagonal()[1 + CUBE :] / total[0, 0]
    variance = variance - np.square(total[0, 1 + CUBE :] / total[0, 0])
    expected = squares.transpose(1, 0, 2) / variance
    by_cube = some.by_cube
    close_to_conditioning(weights._misfit(by_cube, every, made), expected)
    products = 8 * row.size
    assert peak(lambda: weights._misfit(by_cube, every, made)) < 6 * products < BLOCKS * products


def test_sums_by_the_cube_are_those_of_the_pixels() -> None:
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(3, 50)), rng.normal(size=(4, 50))
    block = rng.integers(0, 2, 50)
    some = Pixels(block, x, t, np.zeros((3, 50)), np.zeros((4, 50)))
    found = CubeSums.none(np.arange(7.0), 3, 2)
    found.add(some)
    whole = Sums.none(np.arange(7.0), 3, 2)
    whole.add(some)
    every = np.concatenate([np.ones((1, 50)), np.concatenate([x, t]) - np.arange(7.0)[:, None]])
    for number in (0, 1):
        v = every[:, block == number]
        np.testing.assert_allclose(found.products[number], (v @ v.T)[:4], atol=1e-11)
        np.testing.assert_allclose(found.squares[number], np.square(v[4:]).sum(axis=1), atol=1e-11)
    for name in ("products", "squares"):
        same = getattr(whole.by_cube, name)
        np.testing.assert_allclose(getattr(found, name), same, atol=1e-11)


def test_gains_are_those_of_all_resamples_at_once_and_hold_a_few(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    some, rng = sums(), np.random.default_rng(1)
    times = rng.multinomial(BLOCKS, np.full(BLOCKS, 1 / BLOCKS), size=200).astype(np.float64)
    rows = np.concatenate([[0], np.arange(1 + CUBE, 1 + CUBE + SHARP)])
    parts = [np.tensordot(times, p, 1) for p in (some.both[:, rows], some.detail, some.cross)]
    expected = learn._gains_from(*parts, (0.1, 0.2)).transpose(0, 2, 1)
    close_to_conditioning(learn._gains(some, times, (0.1, 0.2)), expected)
    at_once = peak(lambda: learn._gains(some, times, (0.1, 0.2)))
    monkeypatch.setattr(learn, "ROOM", 2**18)
    close_to_conditioning(learn._gains(some, times, (0.1, 0.2)), expected)
    # The gains themselves, the sums of sharp bands, and the matrices of four resamples.
    held = expected.nbytes + some.both[:, rows].nbytes + 8 * learn.ROOM
    assert peak(lambda: learn._gains(some, times, (0.1, 0.2))) < held < at_once / 2


def test_the_search_for_a_blur_holds_no_products_of_sharp_bands() -> None:
    """With 13 blurs of 100 sharp bands these would be 1.7 million for each block."""
    shift = np.zeros(200 + 1300)
    rng = np.random.default_rng(0)
    pixels = Pixels(
        rng.integers(0, 9, 300),
        rng.normal(size=(200, 300)),
        rng.normal(size=(1300, 300)),
        np.broadcast_to(0.0, (200, 300)),
        np.broadcast_to(0.0, (1300, 300)),
    )

    def search() -> object:
        found = CubeSums.none(shift, 200, per_side(200, 1300) ** 2)
        found.add(pixels)
        return weights.unexplained(found.known, 13)

    assert peak(search) < 350 * 2**20


@pytest.mark.parametrize(("bands", "sharp", "side"), [(244, 1443, 5), (244, 13, 8), (3000, 0, 3)])
def test_blocks_are_fewer_where_there_are_many_sharp_bands(
    bands: int, sharp: int, side: int
) -> None:
    assert per_side(bands, sharp) == side
