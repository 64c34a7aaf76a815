"""What is held while gains are learned does not grow with the resamples or the blocks."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import numpy as np

from bandfuse.sharpening.gains import learn
from bandfuse.sharpening.gains.sums import Sums

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


def test_misfits_are_those_of_all_blocks_at_once_and_hold_one() -> None:
    some, rng, fits = sums(), np.random.default_rng(1), 6
    every = np.ones(BLOCKS, dtype=bool)
    made = [(rng.normal(size=(SHARP, CUBE)), rng.normal(size=SHARP)) for _ in range(fits)]
    weight, offset = (np.concatenate(part) for part in zip(*made, strict=True))
    level = np.tile(some.shift[CUBE:], fits) - weight @ some.shift[:CUBE] - offset
    row = np.concatenate([level[:, None], -weight, np.tile(np.eye(SHARP), (fits, 1))], axis=1)
    squares = ((some.both @ row.T) * row.T).sum(axis=1).reshape(BLOCKS, fits, SHARP)
    expected = squares.transpose(1, 0, 2) / learn._sharp_variance(some)
    np.testing.assert_array_equal(learn._misfit(some, every, made), expected)
    products = 8 * row.size
    assert peak(lambda: learn._misfit(some, every, made)) < 8 * products < BLOCKS * products


def test_gains_are_those_of_all_resamples_at_once_and_hold_a_few() -> None:
    some, rng = sums(), np.random.default_rng(1)
    times = rng.multinomial(BLOCKS, np.full(BLOCKS, 1 / BLOCKS), size=200).astype(np.float64)
    rows = np.concatenate([[0], np.arange(1 + CUBE, 1 + CUBE + SHARP)])
    parts = [np.tensordot(times, p, 1) for p in (some.both[:, rows], some.detail, some.cross)]
    expected = learn._gains_from(*parts, (0.1, 0.2)).transpose(0, 2, 1)
    np.testing.assert_array_equal(learn._gains(some, times, (0.1, 0.2)), expected)
    held = sum(part.nbytes for part in parts) + expected.nbytes
    assert peak(lambda: learn._gains(some, times, (0.1, 0.2))) < 1.5 * held
    assert peak(lambda: learn._gains_from(*parts, (0.1, 0.2))) > 1.5 * held - sum(
        part.nbytes for part in parts
    )
