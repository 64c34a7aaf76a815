"""Windows, cells and stacks: the geometry of one pass over a raster, in integers.

A *cell* (16 × 256 pixels of the scene's own grid) is the unit of computation: a product is always
taken over a whole cell, so its bits never depend on how the raster was cut for reading. A *stack*
is four cells, one above the other. A *window* is what is read at once: a union of whole stacks. A
*block* is a unit of statistics: moments are kept per block. Blocks depend on the shape of the scene
only; where a block's edge cuts a cell, both pieces are computed apart."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import overload

import numpy as np

CELL_ROWS, CELL_COLS = 16, 256
CELL_PIXELS = CELL_ROWS * CELL_COLS
STACK_ROWS = 4 * CELL_ROWS


@dataclass(frozen=True, order=True)
class Window:
    """A rectangle of pixels: first row and column, and how many of each."""

    row: int
    col: int
    rows: int
    cols: int

    @property
    def size(self) -> int:
        """Number of pixels."""
        return self.rows * self.cols

    def within(self, outer: Window) -> tuple[slice, slice]:
        """The row and column slices that cut this window out of an array that holds *outer*."""
        r, c = self.row - outer.row, self.col - outer.col
        return slice(r, r + self.rows), slice(c, c + self.cols)


def cuts(start: int, stop: int, step: int) -> list[int]:
    """Edges from start to stop at multiples of step."""
    inner = range(start - start % step + step, stop, step)
    return [start, *inner, stop]


@dataclass(frozen=True)
class Tiles(Sequence[Window]):
    """Windows of rows × cols on the grid of a scene, row by row, cut where the scene ends; of the
    rows from ``top`` on, before ``bottom``. They are made when they are asked for: a scene of 10⁹ ×
    10⁹ pixels has 10¹³."""

    rows: int
    cols: int
    top: int
    bottom: int
    width: int

    @property
    def _first(self) -> int:
        """The row of tiles that holds the top."""
        return self.top // self.rows

    @property
    def _across(self) -> int:
        return -(-self.width // self.cols)

    @property
    def size(self) -> int:
        """Number of pixels."""
        return max(0, self.bottom - self.top) * self.width

    def __len__(self) -> int:
        return (-(-self.bottom // self.rows) - self._first) * self._across if self.size else 0

    @overload
    def __getitem__(self, at: int) -> Window: ...
    @overload
    def __getitem__(self, at: slice) -> list[Window]: ...
    def __getitem__(self, at: int | slice) -> Window | list[Window]:
        """One window, or a list of some."""
        if isinstance(at, slice):
            return [self[i] for i in range(*at.indices(len(self)))]
        at = int(at)  # NumPy's numbers run over
        if not -len(self) <= at < len(self):
            raise IndexError(at)
        down, across = divmod(at % len(self), self._across)
        row, col = (self._first + down) * self.rows, across * self.cols
        low, high = max(row, self.top), min(row + self.rows, self.bottom)
        return Window(low, col, high - low, min(self.cols, self.width - col))

    def between(self, top: int, bottom: int) -> Tiles:
        """What of them lies between two rows."""
        return replace(self, top=max(top, self.top), bottom=min(bottom, self.bottom))


def tile(shape: tuple[int, int], rows: int, cols: int) -> Tiles:
    """Cut a scene into windows of rows × cols, row by row; the last ones are smaller.

    >>> tile((3, 5), 2, 4)[-1]
    Window(row=2, col=4, rows=1, cols=1)
    """
    return Tiles(rows, cols, 0, shape[0], shape[1])


SHUFFLED = 2**22
"""So many numbers are shuffled as a whole, in 32 MB; of more some are drawn one by one."""


def at_random(count: int, seed: int) -> Iterator[int]:
    """The numbers below a count in an order that the seed chooses."""
    if count <= 1:  # There is nothing to draw, and numpy.random takes 0.01 seconds to import.
        yield from range(count)
        return
    rng = np.random.default_rng(seed)
    if count <= SHUFFLED:
        yield from rng.permutation(count).tolist()
        return
    seen: set[int] = set()
    while len(seen) < count:
        number = int(rng.integers(count))
        if number not in seen:
            seen.add(number)
            yield number


def cells(window: Window) -> Iterator[Window]:
    """The cells of the scene's grid in a window, row by row; cut where the window ends."""
    for r, r2 in pairwise(cuts(window.row, window.row + window.rows, CELL_ROWS)):
        for c, c2 in pairwise(cuts(window.col, window.col + window.cols, CELL_COLS)):
            yield Window(r, c, r2 - r, c2 - c)


def cells_of(window: Window, part: Window) -> Iterator[Window]:
    """The cells of a window that lie in a part of the scene, of which every cell is in it or not.

    >>> list(cells_of(Window(0, 0, 32, 100), Window(16, 0, 16, 256)))
    [Window(row=16, col=0, rows=16, cols=100)]
    """
    row, bottom = max(window.row, part.row), min(window.row + window.rows, part.row + part.rows)
    col, right = max(window.col, part.col), min(window.col + window.cols, part.col + part.cols)
    if row < bottom and col < right:
        yield from cells(Window(row, col, bottom - row, right - col))


def _whole(size: int, unit: int) -> int:
    return -(-size // unit) * unit


def plan(
    shape: tuple[int, int], stored: tuple[int, int], bytes_per_pixel: int, window_bytes: int
) -> Tiles:
    """Choose the windows for one pass: whole stacks that follow the file's own layout and fit the
    memory.

    Parameters
    ----------
    shape : rows and columns of the scene.
    stored : rows and columns of one stored block of the file (a tile, a strip, a line).
    bytes_per_pixel : bytes of all bands that are read, for one pixel.
    window_bytes : the memory that one window may take. One stack is the least.

    Files stored in lines or strips are read in full-width windows where these fit; tiled files in
    whole tiles, and in as many of them side by side as fit."""
    rows, cols = shape
    pixels = max(1, window_bytes // max(1, bytes_per_pixel))
    height = _whole(min(stored[0], rows), STACK_ROWS)
    if height * CELL_COLS > pixels:
        height = STACK_ROWS
    width = max(1, pixels // height // CELL_COLS) * CELL_COLS
    if stored[1] < cols:
        tile_cols = _whole(stored[1], CELL_COLS)
        width = max(tile_cols, width // tile_cols * tile_cols) if width >= tile_cols else width
    if width >= cols:
        width = _whole(cols, CELL_COLS)
        height *= max(1, pixels // (height * width))
    return tile(shape, height, width)


def drawn(shape: tuple[int, int], stored: tuple[int, int], most: int, seed: int) -> list[Window]:
    """Seeded parts of a scene, until they hold so many pixels: whole stacks that follow the file's
    own layout, the same whatever the memory. In order of their rows.

    >>> sum(part.size for part in drawn((1024, 1000), (1, 1000), 100_000, seed=0))
    128000
    """
    wide = shape[1] if stored[1] >= shape[1] else _whole(stored[1], CELL_COLS)
    high = _whole(min(stored[0], shape[0]), STACK_ROWS)
    if high * wide > most:
        wide = min(wide, max(1, most // (high * CELL_COLS)) * CELL_COLS)
    if high * wide > max(most, STACK_ROWS * CELL_COLS):
        high = STACK_ROWS
    parts = tile(shape, high, wide)
    chosen: list[Window] = []
    size = 0
    for number in _shuffled(len(parts), seed):
        if size >= most:
            break
        chosen.append(parts[number])
        size += chosen[-1].size
    return sorted(chosen)


def _shuffled(count: int, seed: int) -> Iterator[int]:
    """The numbers below a count in an order that the seed chooses, as Python shuffles them."""
    if count > SHUFFLED:
        return at_random(count, seed)
    numbers = list(range(count))
    random.Random(seed).shuffle(numbers)
    return reversed(numbers)


def pixels_of(windows: Sequence[Window]) -> int:
    """How many pixels windows hold."""
    return windows.size if isinstance(windows, Tiles) else sum(w.size for w in windows)


def plan_parts(
    parts: Sequence[Window], stored: tuple[int, int], bytes_per_pixel: int, window_bytes: int
) -> list[Window]:
    """Windows for parts of a scene, each planned as a scene of its own; in order of their rows."""
    return sorted(
        Window(part.row + w.row, part.col + w.col, w.rows, w.cols)
        for part in parts
        for w in plan((part.rows, part.cols), stored, bytes_per_pixel, window_bytes)
    )
