"""Ortho: fused images in sensor geometry, brought to the grid of a map by a geographic lookup table
(GLT)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
from bandfuse.streaming.budget import Effort
from bandfuse.streaming.stream import Sink, each_window, whole
from bandfuse.streaming.windows import Window


@dataclass(frozen=True)
class SensedImage:
    """A file that holds an image of K outputs as (rows, cols, K), so that a pixel is found in one
    place."""

    path: Path
    shape: tuple[int, int, int]
    encoding: Encoding

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """The type of its values."""
        return np.dtype(self.encoding.dtype)

    def put(self, stream: BinaryIO, window: Window, values: np.ndarray) -> None:
        """Write (K, rows, cols) at a window."""
        _, cols, outputs = self.shape
        pixels = np.ascontiguousarray(np.moveaxis(values, 0, -1), self.dtype)
        for line, row in enumerate(pixels, window.row):
            stream.seek((line * cols + window.col) * outputs * self.dtype.itemsize)
            stream.write(row.tobytes())

    def look_up(self, table: np.ndarray, window: Window) -> np.ndarray:
        """(K, rows, cols) of a window of the map. ``table``: (2, pixels) 1-based column and row,
        0 or NaN for none; of negative numbers, the pixel of that number without its sign."""
        image = np.memmap(self.path, self.dtype, "r", shape=self.shape)
        there = (np.abs(table) > 0).all(axis=0)
        col, row = np.abs(table[:, there]).astype(np.intp) - 1
        out = np.full((window.size, self.shape[2]), self.encoding.nodata, self.dtype)
        out[there] = image[row, col]
        return np.ascontiguousarray(out.T).reshape(-1, window.rows, window.cols)


@contextmanager
def orthorectified(
    glt: Raster,
    sensed: SensedImage,
    writer: Callable[[Raster], Writer],
    effort: Effort,
    progress: Progress,
) -> Iterator[Sink]:
    """What takes fused windows of an image in sensor geometry; at the end they are written on the
    grid of its map.

    Every pixel of the map is the pixel of the image that the lookup table names, or nodata where it
    names none.

    Parameters
    ----------
    glt : the lookup table.
    sensed : holds the image for the meantime; its file is taken away.
    writer : makes the file on the map's grid.
    """
    with sensed.path.open("wb") as stream:
        yield lambda window, values: sensed.put(stream, window, values)
    weight = 24 + 2 * sensed.shape[2] * sensed.dtype.itemsize
    windows = effort.windows(glt.shape, glt.stored, weight)
    with writer(glt) as write, Reader([(glt, (0, 1))]) as reader:

        def look_up(window: Window) -> np.ndarray:
            return sensed.look_up(whole(reader, window).reshape(2, -1), window)

        for window, values in each_window(
            windows, look_up, threads=effort.threads, progress=progress, label="place on the map"
        ):
            write(window, values)
    sensed.path.unlink()
