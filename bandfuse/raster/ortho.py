"""Ortho: fused images in sensor geometry, brought to the grid of a map by a geographic lookup table
(GLT)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from bandfuse.progress import Progress
from bandfuse.raster.describe import Raster
from bandfuse.raster.encoding import Encoding
from bandfuse.raster.read import Reader
from bandfuse.raster.write import Writer
from bandfuse.streaming.stream import Sink, each_window
from bandfuse.streaming.windows import Window

Plan = Callable[[tuple[int, int], tuple[int, int], int], Sequence[Window]]
"""The windows for a shape, the shape of its stored blocks, and bytes per pixel."""


@dataclass(frozen=True)
class _Kept:
    """A file that holds an image of K outputs as (rows, cols, K), so that a pixel is found in one
    place."""

    path: Path
    shape: tuple[int, int, int]
    dtype: np.dtype[np.generic]

    def put(self, stream: BinaryIO, window: Window, values: np.ndarray) -> None:
        """Write (K, rows, cols) at a window."""
        _, cols, outputs = self.shape
        pixels = np.ascontiguousarray(np.moveaxis(values, 0, -1), self.dtype)
        for line, row in enumerate(pixels, window.row):
            stream.seek((line * cols + window.col) * outputs * self.dtype.itemsize)
            stream.write(row.tobytes())

    def look_up(self, table: np.ndarray, window: Window, nodata: float) -> np.ndarray:
        """(K, rows, cols) of a window of the map. ``table``: (2, pixels) 1-based column and row,
        not above 0 for none."""
        image = np.memmap(self.path, self.dtype, "r", shape=self.shape)
        there = (table > 0).all(axis=0)
        col, row = table[:, there].astype(np.intp) - 1
        out = np.full((window.size, self.shape[2]), nodata, self.dtype)
        out[there] = image[row, col]
        return np.ascontiguousarray(out.T).reshape(-1, window.rows, window.cols)


@contextmanager
def orthorectified(
    image: Raster,
    outputs: int,
    encoding: Encoding,
    writer: Callable[[Raster], Writer],
    beside: Path,
    plan: Plan,
    *,
    threads: int,
    progress: Progress,
) -> Iterator[Sink]:
    """What takes fused windows of an image in sensor geometry; at the end they are written on the
    grid of its map.

    Every pixel of the map is the pixel of the image that the lookup table names, or nodata where it
    names none.

    Parameters
    ----------
    image : with its lookup table.
    writer : makes the file on the map's grid.
    beside : a file of K values per pixel for the meantime; it is taken away.
    """
    glt = image.glt
    assert glt is not None
    kept = _Kept(beside, (*image.shape, outputs), np.dtype(encoding.dtype))
    with beside.open("wb") as stream:
        yield lambda window, values: kept.put(stream, window, values)
    windows = plan(glt.shape, glt.stored, 24 + 2 * outputs * kept.dtype.itemsize)
    with writer(glt) as write, Reader([(glt, (0, 1))]) as reader:

        def look_up(window: Window) -> np.ndarray:
            table = reader.read(window).cell(slice(0, window.rows), slice(0, window.cols)).values()
            return kept.look_up(table, window, encoding.nodata)

        for window, values in each_window(
            windows, look_up, threads=threads, progress=progress, label="place on the map"
        ):
            write(window, values)
    beside.unlink()
