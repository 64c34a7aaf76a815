"""What is made once and kept."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from bandfuse.sharpening.pairs.kept import Kept, Parts
from bandfuse.sharpening.pairs.ranges import Range
from bandfuse.spectral.bands import Floats


def test_each_value_is_made_once_for_all_threads() -> None:
    made: Counter[tuple[int, int]] = Counter()

    def make(key: tuple[int, int]) -> int:
        made[key] += 1
        return 10 * key[0] + key[1]

    kept = Kept(make, 6)
    keys = [(i % 2, i % 3) for i in range(60)]
    with ThreadPoolExecutor(4) as pool:
        values = list(pool.map(kept, keys))
    assert values == [10 * row + col for row, col in keys]
    assert set(made.values()) == {1}


def test_the_last_ones_are_kept() -> None:
    made: list[int] = []
    kept = Kept(lambda key: made.append(key[0]) or key[0], 2)
    for at in (1, 2, 1, 3, 1, 2):
        assert kept((at, 0)) == at
    assert made == [1, 2, 3, 2]


def test_what_failed_is_tried_again() -> None:
    answers = iter([1, 0])
    kept = Kept(lambda _: 1 / (1 - next(answers)), 1)
    with pytest.raises(ZeroDivisionError):
        kept((0, 0))
    assert kept((0, 0)) == 1


def whole(rows: Range, cols: Range) -> Floats:
    """An image whose pixels tell where they lie."""
    row, col = np.arange(rows.start, rows.stop), np.arange(cols.start, cols.stop)
    return np.stack([row[:, None] * 1000.0 + col, row[:, None] - 0.5 * col])


@pytest.mark.parametrize("rows", [Range(-13, 3), Range(0, 8), Range(5, 31)])
@pytest.mark.parametrize("cols", [Range(-1, 1), Range(7, 29)])
def test_parts_put_together_are_the_whole(rows: Range, cols: Range) -> None:
    for room in (1, 10**6):
        parts = Parts(whole, (8, 5), 2, room)
        assert np.array_equal(parts(rows, cols), whole(rows, cols))
