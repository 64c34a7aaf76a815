"""Array files: arrays as GeoTIFFs in GDAL's memory, which every reader opens like other files."""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import rasterio
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.io import MemoryFile
from rasterio.transform import Affine

from bandfuse.errors import InputError
from bandfuse.raster.band_tags import band_tags
from bandfuse.raster.gdal import CACHE, reason, unplaced_quietly
from bandfuse.spectral.bands import Bands
from bandfuse.streaming.windows import Window

IN_MEMORY = "/vsimem/bandfuse-"
"""The beginning of the folders of :class:`ArrayFiles`; a number follows."""

STRIP_ROWS = 16
"""Rows of a strip, or fewer: windows follow them."""


@dataclass(frozen=True, eq=False)
class ArrayGrid:
    """What a file of an array says beside its pixels.

    ``shape``: bands, rows and columns. ``dtype``: of the stored numbers. ``bands``: their table;
    ``named``: whether its names are known. ``nodata``: the number that means missing, if any; NaN
    always does. ``crs``: an authority code or WKT. ``transform``: (a, b, c, d, e, f)."""

    shape: tuple[int, int, int]
    dtype: np.dtype[np.generic]
    bands: Bands
    named: bool = False
    nodata: float | int | None = None
    crs: str | None = None
    transform: tuple[float, ...] | None = None


class ArrayFiles:
    """A folder in memory with files of arrays; they last until it is closed.

    >>> grid = ArrayGrid((1, 2, 2), np.dtype("f8"), Bands.of(["b1"]))
    >>> with ArrayFiles() as files:
    ...     files.hold("cube", grid, [(0, np.ones((1, 2, 2)))]).rpartition("/")[2]
    'cube'
    """

    _taken: ClassVar[set[int]] = set()
    _lock = threading.Lock()

    def __init__(self) -> None:
        self._files: dict[str, MemoryFile] = {}
        self._open = ExitStack()
        with self._lock:
            self._number = next(n for n in itertools.count(1) if n not in self._taken)
            self._taken.add(self._number)

    def __enter__(self) -> ArrayFiles:
        return self

    def __exit__(self, *exc: object) -> None:
        self._open.close()
        with self._lock:
            self._taken.discard(self._number)

    def hold(self, name: str, grid: ArrayGrid, parts: Iterable[tuple[int, np.ndarray]]) -> str:
        """Make a file of an array, and give its path.

        Parameters
        ----------
        parts : first row, and (B, n, W) values of the rows from there.

        Raises
        ------
        InputError : a CRS that cannot be read.
        """
        folder = f"{IN_MEMORY.rpartition('/')[2]}{self._number}/{len(self._files)}"
        file = self._open.enter_context(MemoryFile(dirname=folder, filename=name))
        count, height, width = grid.shape
        placed = {} if grid.transform is None else {"transform": Affine(*grid.transform)}
        with rasterio.Env(**CACHE):
            with unplaced_quietly():
                dataset = file.open(
                    driver="GTiff",
                    count=count,
                    height=height,
                    width=width,
                    dtype=grid.dtype.name,
                    nodata=grid.nodata,
                    crs=_crs(grid.crs, name),
                    blockysize=min(STRIP_ROWS, height),
                    interleave="band",
                    bigtiff="if_safer",
                    **placed,
                )
            with dataset:
                for i, tags in enumerate(band_tags(grid.bands), 1):
                    dataset.update_tags(i, **tags)
                    if grid.named:
                        dataset.set_band_description(i, grid.bands.name[i - 1])
                for row, values in parts:
                    window = Window(row, 0, values.shape[1], width)
                    dataset.write(
                        np.ascontiguousarray(values, dtype=grid.dtype), window=_where(window)
                    )
        self._files[file.name] = file
        return str(file.name)

    def checksums(self) -> dict[str, str]:
        """SHA-256 of the files, by path."""
        return {
            path: hashlib.sha256(file.getbuffer()).hexdigest() for path, file in self._files.items()
        }


def _where(window: Window) -> tuple[tuple[int, int], tuple[int, int]]:
    """A window as rasterio takes it."""
    return (window.row, window.row + window.rows), (window.col, window.col + window.cols)


def _crs(text: str | None, name: str) -> CRS | None:
    """The CRS of a text."""
    if text is None:
        return None
    try:
        return CRS.from_user_input(text)
    except CRSError as error:
        raise InputError(
            f"the CRS of {name} cannot be read", got=reason(error), expected="EPSG:CODE or WKT"
        ) from error
