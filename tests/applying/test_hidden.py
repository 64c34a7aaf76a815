"""Hidden pixels are missing; cells without any are those of the source."""

from __future__ import annotations

import numpy as np
from helpers import MemorySource, same_bits

from bandfuse.applying.hidden import Hidden
from bandfuse.streaming.stream import in_parts, whole
from bandfuse.streaming.windows import Window

WINDOW = Window(0, 0, 6, 8)


class Selected:
    """The first two rows do not count."""

    def outside(self, window: Window) -> np.ndarray:
        return np.arange(window.row, window.row + window.rows)[:, None].repeat(window.cols, 1) < 2


class InRows(MemorySource):
    """A source that would rather be asked row by row."""

    def parts(self, window: Window) -> list[Window]:
        rows = range(window.row, window.row + window.rows)
        return [Window(row, window.col, 1, window.cols) for row in rows]


def image() -> np.ndarray:
    return np.random.default_rng(0).random((3, 6, 8))


def test_hidden_pixels_are_missing_and_others_are_as_they_were() -> None:
    values = image()
    found = whole(Hidden(MemorySource(values), Selected()), WINDOW)
    assert np.isnan(found[:, :2]).all()
    same_bits(found[:, 2:], values[:, 2:])


def test_a_cell_without_a_hidden_pixel_is_that_of_the_source() -> None:
    patch = Hidden(MemorySource(image()), Selected()).read(WINDOW)
    rows = slice(0, 8)
    assert type(patch.cell(slice(2, 6), rows)) is type(patch.patch.cell(slice(2, 6), rows))
    assert type(patch.cell(slice(0, 6), rows)) is not type(patch.patch.cell(slice(0, 6), rows))


def test_a_source_is_asked_in_the_parts_that_it_would_rather_have() -> None:
    source = InRows(image())
    assert [*in_parts(Hidden(source, Selected()), WINDOW)] == source.parts(WINDOW)
