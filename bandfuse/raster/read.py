"""Read: windows of rasters, in their stored types, by several threads."""

from __future__ import annotations

import queue
import threading
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import rasterio
from rasterio.errors import NotGeoreferencedWarning

from bandfuse.bands import Floats
from bandfuse.errors import InputError
from bandfuse.raster.describe import CACHE, GDAL_ERRORS, Raster, opened, reason
from bandfuse.windows import Window


@dataclass(frozen=True, eq=False)
class _Part:
    """The stored pixels of some bands of one raster: (n, rows, cols) and how to make numbers of them."""

    stored: np.ndarray
    nodata: Floats
    scale: Floats
    offset: Floats
    mask: np.ndarray | None

    def fill(self, out: Floats, rows: slice, cols: slice) -> None:
        """Write (n, pixels) physical values into ``out``, NaN where missing."""
        raw = self.stored[:, rows, cols].reshape(len(self.stored), -1)
        out[...] = raw
        declared = np.isfinite(self.nodata)
        if declared.any():
            same = raw == self.nodata.astype(raw.dtype)[:, None] if self._exact else out == self.nodata[:, None]
            out[same & declared[:, None]] = np.nan
        if self.mask is not None:
            out[:, self.mask[rows, cols].ravel() == 0] = np.nan
        if (self.scale != 1).any() or (self.offset != 0).any():
            out *= self.scale[:, None]
            out += self.offset[:, None]

    @property
    def _exact(self) -> bool:
        """Floats are compared in their own type: -3.4e38 in float32 is not the float64 of that text."""
        return self.stored.dtype.kind == "f"


@dataclass(frozen=True, eq=False)
class RasterPatch:
    """One window of several rasters, in their stored types."""

    parts: list[_Part]

    def values(self, rows: slice, cols: slice) -> Floats:
        """(D, n) float64 of a cell; NaN where missing."""
        sizes = [len(p.stored) for p in self.parts]
        pixels = (rows.stop - rows.start) * (cols.stop - cols.start)
        out = np.empty((sum(sizes), pixels))
        at = 0
        for part, size in zip(self.parts, sizes, strict=True):
            part.fill(out[at : at + size], rows, cols)
            at += size
        return out


_OPENING = threading.Lock()
"""Python's filters of warnings belong to all threads: only one may change them at a time."""

Choice = tuple[Raster, Sequence[int]]
"""A raster and the 0-based positions of the bands to read."""


class Reader:
    """Reads windows of chosen bands of several rasters on one grid. Each thread that reads has its own handles."""

    def __init__(self, choices: Sequence[Choice]) -> None:
        self._choices = [(r, list(p)) for r, p in choices if len(p)]
        self._free: queue.SimpleQueue[list[Any]] = queue.SimpleQueue()
        self._every: list[Any] = []

    def _open(self, path: str) -> Any:
        try:
            with _OPENING, warnings.catch_warnings():
                warnings.simplefilter("ignore", NotGeoreferencedWarning)
                handle = rasterio.open(path)
        except GDAL_ERRORS as error:
            raise InputError(
                f"{path} cannot be opened again", got=reason(error),
                remedy="Is it still there? If too many files are open, use fewer --threads.",
            ) from error  # fmt: skip
        self._every.append(handle)
        return handle

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *exc: object) -> None:
        for handle in self._every:
            handle.close()

    @property
    def bytes_per_pixel(self) -> int:
        """Bytes of one pixel as stored, all chosen bands."""
        return sum(np.dtype(r.dtypes[i]).itemsize for r, p in self._choices for i in p)

    def read(self, window: Window) -> RasterPatch:
        """The pixels of a window.

        Raises
        ------
        InputError : the file is damaged or ends too early.
        """
        with rasterio.Env(**CACHE):
            try:
                handles = self._free.get_nowait()
            except queue.Empty:
                handles = [self._open(r.path) for r, _ in self._choices]
            try:
                return RasterPatch([_read(h, r, p, window) for h, (r, p) in zip(handles, self._choices, strict=True)])
            finally:
                self._free.put(handles)


def _read(handle: Any, raster: Raster, positions: list[int], window: Window) -> _Part:
    where = ((window.row, window.row + window.rows), (window.col, window.col + window.cols))
    kinds = {raster.dtypes[i] for i in positions}
    dtype = kinds.pop() if len(kinds) == 1 else "float64"
    try:
        stored = handle.read([i + 1 for i in positions], window=where, out_dtype=dtype)
        mask = handle.read_masks(1, window=where) if raster.masked else None
    except GDAL_ERRORS as error:
        raise InputError(
            f"{raster.path} cannot be read to its end",
            got=reason(error),
            expected="a whole file",
            remedy="It is damaged or truncated: copy or download it again.",
        ) from error
    p = list(positions)
    return _Part(stored, raster.nodata[p], raster.scale[p], raster.offset[p], mask)


def quicklook(raster: Raster, positions: Sequence[int], most: int = 512) -> Floats:
    """(H, W, n) physical values of some bands, thinned to at most ``most`` pixels a side; NaN where missing."""
    step = max(1, -(-max(raster.shape) // most))
    shape = (len(positions), -(-raster.rows // step), -(-raster.cols // step))
    with rasterio.Env(**CACHE), opened(raster.path) as ds:
        try:
            stored = ds.read([p + 1 for p in positions], out_shape=shape, out_dtype="float64")
            mask = ds.read_masks(1, out_shape=shape[1:]) if raster.masked else None
        except GDAL_ERRORS as error:
            raise InputError(f"{raster.path} cannot be read", got=reason(error), expected="a whole file") from error
    p = list(positions)
    part = _Part(stored, raster.nodata[p], raster.scale[p], raster.offset[p], mask)
    out = np.empty((len(p), shape[1] * shape[2]))
    part.fill(out, slice(0, shape[1]), slice(0, shape[2]))
    return np.moveaxis(out.reshape(shape), 0, -1)
