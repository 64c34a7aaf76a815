"""Compression: whether it is worth the time to compress a raster, by a few of its cells.

Sums of many bands hold noise in all digits, of which DEFLATE saves a twentieth or so, and takes as
long as to read and multiply everything. It is left out where it saves little; where much of a
raster is missing, or bands are few and their values whole numbers, it saves a lot. The cells that
are looked at have fixed places in the scene, so that files are the same for every layout of the
input, window and number of threads."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence

import numpy as np

from bandfuse.streaming.windows import CELL_COLS, CELL_ROWS, Window

PLACES = ((0, 1), (1, 3), (2, 0), (3, 2))
"""Where cells are looked at: quarters of the rows and columns of cells."""

LARGE = 2**24
"""Bytes of a raster from which on it is looked at; smaller ones are always compressed."""

WORTH = 0.8
"""What is left of the bytes, at most, where compressing is worth its time."""

OPTIONS = {"COMPRESS", "PREDICTOR", "ZLEVEL", "ZSTD_LEVEL", "DISCARD_LSB", "NBITS"}
"""Creation options by which users say themselves how a GeoTIFF is compressed."""


def looked_at(part: Window) -> list[Window]:
    """Cells of the scene's grid in the middle of some quarters of a part of a scene.

    >>> [(cell.row, cell.col) for cell in looked_at(Window(0, 0, 128, 2048))]
    [(16, 768), (48, 1792), (80, 256), (112, 1280)]
    """
    rows = _cells(part.row, part.rows, CELL_ROWS)
    cols = _cells(part.col, part.cols, CELL_COLS)
    found = []
    for down, across in PLACES:
        row = rows[(2 * down + 1) * len(rows) // (2 * len(PLACES))]
        col = cols[(2 * across + 1) * len(cols) // (2 * len(PLACES))]
        found.append(Window(row.start, col.start, len(row), len(col)))
    return list(dict.fromkeys(found))


def _cells(start: int, count: int, step: int) -> list[range]:
    """The cells of one axis, cut where a part ends."""
    first, stop = start // step * step, start + count
    return [range(max(i, start), min(i + step, stop)) for i in range(first, stop, step)]


def may_leave_out(driver: str, options: Mapping[str, str], size: int) -> bool:
    """Whether it is for us to decide about the compression of a raster of so many bytes."""
    return driver == "GTiff" and size >= LARGE and not OPTIONS & {name.upper() for name in options}


def worth_it(cells: Sequence[np.ndarray]) -> bool:
    """Whether to compress values such as these, (K, rows, cols) of a cell each."""
    bands = [band.tobytes() for cell in cells for band in cell]
    packed = sum(len(zlib.compress(band, 1)) for band in bands)
    return packed <= WORTH * sum(map(len, bands))
