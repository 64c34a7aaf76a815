"""Part: the part of a scene that is written."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from bandfuse.errors import MismatchError
from bandfuse.raster import Raster
from bandfuse.streaming.stream import Sink
from bandfuse.streaming.windows import CELL_COLS, CELL_ROWS, Tiles, Window

Bounds = tuple[float, float, float, float]


def part_of(
    grid: Raster, window: tuple[int, int, int, int] | None, bounds: Bounds | None
) -> Window | None:
    """The part of a grid that is asked for; None for all of it.

    Parameters
    ----------
    window : first row and column from 0, number of rows and columns.
    bounds : least x and y, greatest x and y in the grid's CRS. Pixels whose centres are in them,
        the upper bounds left out; where the grid is turned, the smallest part that holds them.

    Raises
    ------
    MismatchError : it leaves the grid, or holds none of its pixels; or the grid is not that of the
        output.
    """
    if window is None and bounds is None:
        return None
    if grid.glt is not None:
        raise MismatchError(
            f"no part of {grid.path} can be written",
            got="an image in sensor geometry, which is placed on a map as a whole",
            remedy="Leave --window and --bounds out, and cut the output with gdal_translate.",
        )
    part = Window(0, 0, grid.rows, grid.cols) if window is None else Window(*window)
    if part.row + part.rows > grid.rows or part.col + part.cols > grid.cols:
        raise MismatchError(
            f"--window leaves {grid.path}",
            got=f"rows up to {part.row + part.rows} and columns up to {part.col + part.cols}",
            expected=f"at most {grid.rows} rows and {grid.cols} columns",
            remedy="Give ROW COL ROWS COLS, in pixels from 0.",
        )
    return part if bounds is None else _within(grid, part, bounds)


def _within(grid: Raster, part: Window, bounds: Bounds) -> Window:
    """What of a part lies in bounds."""
    back = ~grid.transform
    corners = [back @ (x, y) for x in bounds[::2] for y in bounds[1::2]]
    cols, rows = ([c[i] for c in corners] for i in (0, 1))
    a, e = grid.transform.a, grid.transform.e
    left, right = _inside(min(cols), max(cols), part.col, part.cols, low=a > 0)
    top, bottom = _inside(min(rows), max(rows), part.row, part.rows, low=e > 0)
    if left >= right or top >= bottom:
        raise MismatchError(
            f"no pixel of {grid.path} has its centre in --bounds",
            got=" ".join(f"{v:.10g}" for v in bounds),
            expected=f"bounds within {' '.join(f'{v:.10g}' for v in _extent(grid))}, in "
            f"{'no CRS' if grid.crs is None else grid.crs.to_string()}",
        )
    return Window(top, left, bottom - top, right - left)


def _inside(start: float, stop: float, first: int, count: int, *, low: bool) -> tuple[int, int]:
    """The pixels whose centres lie between two places along an axis, in pixels. ``low``: the lower
    end belongs to them, else the upper one."""
    lower = start - 0.5, stop - 0.5
    ends = [math.ceil(v) if low else math.floor(v) + 1 for v in lower]
    return max(first, ends[0]), min(first + count, ends[1])


def _extent(grid: Raster) -> Bounds:
    corners = [grid.transform @ (c, r) for c in (0, grid.cols) for r in (0, grid.rows)]
    x, y = zip(*corners, strict=True)
    return min(x), min(y), max(x), max(y)


def windows_of(tiles: Tiles, part: Window) -> Sequence[Window]:
    """The windows of a pass that hold a part: whole cells of the scene's grid, as the bits of a
    pixel depend on the cell that it is computed in."""
    top, bottom = _cells(part.row, part.rows, CELL_ROWS, tiles.bottom)
    left, right = _cells(part.col, part.cols, CELL_COLS, tiles.width)
    rows = tiles.between(top, bottom)
    if (left, right) == (0, tiles.width):
        return rows
    cut = ((w, max(w.col, left), min(w.col + w.cols, right)) for w in rows)
    return [Window(w.row, a, w.rows, b - a) for w, a, b in cut if a < b]


def _cells(start: int, count: int, unit: int, end: int) -> tuple[int, int]:
    """The whole cells that hold some rows or columns."""
    return start - start % unit, min(end, -(-(start + count) // unit) * unit)


def overlap(window: Window, part: Window) -> Window | None:
    """What two windows share; None for nothing."""
    row, col = max(window.row, part.row), max(window.col, part.col)
    bottom = min(window.row + window.rows, part.row + part.rows)
    right = min(window.col + window.cols, part.col + part.cols)
    return Window(row, col, bottom - row, right - col) if row < bottom and col < right else None


def cutting(sink: Sink, part: Window) -> Sink:
    """A sink that hands on what of each window lies in a part, as windows of that."""

    def cut(window: Window, values: np.ndarray) -> None:
        shared = overlap(window, part)
        if shared is not None:
            place = replace(shared, row=shared.row - part.row, col=shared.col - part.col)
            sink(place, values[:, *shared.within(window)])

    return cut
