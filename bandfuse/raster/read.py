"""Read: windows of rasters, in their stored types, by several threads."""

from __future__ import annotations

import queue
import threading
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
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

    def cut(self, rows: slice, cols: slice) -> _Part:
        """A rectangle of it, close together in memory: what follows is several times quicker there."""
        mask = None if self.mask is None else self.mask[rows, cols]
        return replace(self, stored=np.ascontiguousarray(self.stored[:, rows, cols]), mask=mask)

    @cached_property
    def extremes(self) -> tuple[Floats, Floats] | None:
        """(n,) least and largest physical values; None if any value is missing, or may be."""
        if self.mask is not None and not self.mask.all():
            return None
        low, high = self._flat.min(axis=1), self._flat.max(axis=1)
        if not (np.isfinite(low).all() and np.isfinite(high).all()):
            return None
        fill, there = self._fill
        if (there & (low <= fill) & (fill <= high)).any():
            return None
        ends = np.stack([low, high]) * self.scale + self.offset
        return ends.min(axis=0), ends.max(axis=0)

    def put(self, out: Floats) -> None:
        """Write (n, pixels) physical values into ``out``, NaN where missing."""
        out[...] = self._flat
        if self.extremes is None:
            self._strike(out)
        if (self.scale != 1).any() or (self.offset != 0).any():
            out *= self.scale[:, None]
            out += self.offset[:, None]

    def _strike(self, out: Floats) -> None:
        """NaN where a value is missing."""
        fill, there = self._fill
        if there.any():
            same = self._flat == (fill[0] if there.all() and (fill == fill[0]).all() else fill[:, None])
            out[same if there.all() else same & there[:, None]] = np.nan
        if self.mask is not None:
            out[:, self.mask.ravel() == 0] = np.nan

    @property
    def _flat(self) -> np.ndarray:
        """(n, pixels) as stored."""
        return self.stored.reshape(len(self.stored), -1)

    @cached_property
    def _fill(self) -> tuple[np.ndarray, np.ndarray]:
        """(n,) nodata in the stored type, and where there is one that this type can hold: -3.4e38 in float32 is not
        the float64 of that text, and no int16 is -99999."""
        kind = self.stored.dtype
        with np.errstate(over="ignore", invalid="ignore"):
            fill = self.nodata.astype(kind)
        there = np.isfinite(self.nodata)
        return fill, there if kind.kind == "f" else there & (fill == self.nodata)


@dataclass(frozen=True, eq=False)
class RasterCell:
    """One cell of several rasters, in their stored types, and room for its values."""

    parts: list[_Part]
    out: Floats

    def values(self) -> Floats:
        """(D, n) float64, row by row; NaN where missing. They last until the next cell of the patch is taken."""
        sizes = [len(p.stored) for p in self.parts]
        out = self.out
        at = 0
        for part, size in zip(self.parts, sizes, strict=True):
            part.put(out[at : at + size])
            at += size
        return out

    @property
    def extremes(self) -> tuple[Floats, Floats] | None:
        """(D,) least and largest values, found in the stored types; None if a value is or may be missing."""
        found = [part.extremes for part in self.parts]
        there = [ends for ends in found if ends is not None]
        if len(there) < len(found):
            return None
        return np.concatenate([low for low, _ in there]), np.concatenate([high for _, high in there])


@dataclass(frozen=True, eq=False)
class RasterPatch:
    """One window of several rasters, in their stored types."""

    parts: list[_Part]
    _room: list[Floats] = field(default_factory=lambda: [np.empty(0)])

    def cell(self, rows: slice, cols: slice) -> RasterCell:
        """The pixels of a cell. All cells share the room for their values: one at a time."""
        parts = [part.cut(rows, cols) for part in self.parts]
        shape = sum(len(p.stored) for p in parts), (rows.stop - rows.start) * (cols.stop - cols.start)
        if self._room[0].size < shape[0] * shape[1]:
            self._room[0] = np.empty(shape[0] * shape[1])
        return RasterCell(parts, self._room[0][: shape[0] * shape[1]].reshape(shape))

    def beside(self, values: Floats) -> RasterPatch:
        """With one more variable: (rows, cols) values, NaN where missing."""
        return RasterPatch([*self.parts, _Part(values[None], np.full(1, np.nan), np.ones(1), np.zeros(1), None)])


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
    # GDAL takes a raw file line by line through its cache, unless it is told to take a band's lines at once.
    raw = {"GDAL_ONE_BIG_READ": "YES"} if raster.driver == "ENVI" and raster.interleave == "band" else {}
    try:
        with rasterio.Env(**raw):
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
    part.put(out)
    return np.moveaxis(out.reshape(shape), 0, -1)
