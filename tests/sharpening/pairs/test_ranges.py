"""Ranges of pixels, and windows as rows and columns."""

from __future__ import annotations

import pytest

from bandfuse.sharpening.pairs.ranges import Range, place_of, window_of


@pytest.mark.parametrize(
    ("other", "expected"), [((0, 20), (3, 9)), ((5, 20), (5, 9)), ((-4, 4), (3, 4))]
)
def test_what_two_ranges_share(other: tuple[int, int], expected: tuple[int, int]) -> None:
    here = Range(3, 9)
    assert here.shared(Range(*other)) == Range(*other).shared(here) == Range(*expected)


def test_ranges_that_are_apart_share_nothing() -> None:
    assert Range(3, 9).shared(Range(12, 15)).size <= 0


def test_a_window_is_the_rows_and_columns_that_it_is_made_of() -> None:
    rows, cols = Range(3, 9), Range(20, 21)
    window = window_of(rows, cols)
    assert (window.row, window.col, window.rows, window.cols) == (3, 20, 6, 1)
    assert place_of(window) == (rows, cols)
