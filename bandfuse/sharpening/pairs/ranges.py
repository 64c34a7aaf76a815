"""Ranges: pixels along one axis, and rows and columns together."""

from __future__ import annotations

from dataclasses import dataclass

from bandfuse.streaming.windows import Window


@dataclass(frozen=True)
class Range:
    """The pixels from ``start`` to before ``stop`` along one axis, also beyond the image."""

    start: int
    stop: int

    @property
    def size(self) -> int:
        """How many."""
        return self.stop - self.start

    def wider(self, by: int) -> Range:
        """With so many more pixels on each side."""
        return Range(self.start - by, self.stop + by)

    def moved(self, by: int) -> Range:
        """So many pixels farther on."""
        return Range(self.start + by, self.stop + by)

    def within(self, outer: Range) -> slice:
        """Where this range lies in an array that holds *outer*."""
        return slice(self.start - outer.start, self.stop - outer.start)

    def shared(self, other: Range) -> Range:
        """What it shares with another; of no size or less where that is nothing."""
        return Range(max(self.start, other.start), min(self.stop, other.stop))


Place = tuple[Range, Range]
"""Rows and columns of a part of an image."""


def window_of(rows: Range, cols: Range) -> Window:
    """These rows and columns of an image as a window."""
    return Window(rows.start, cols.start, rows.size, cols.size)


def place_of(window: Window) -> Place:
    """The rows and columns of a window."""
    return (
        Range(window.row, window.row + window.rows),
        Range(window.col, window.col + window.cols),
    )
