"""Read: windows of rasters, in their stored types, by several threads."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray

from bandfuse.errors import InputError
from bandfuse.files.names import for_gdal
from bandfuse.raster.describe import Raster, SourceImage, opened
from bandfuse.raster.gdal import (
    CACHE,
    GDAL_ERRORS,
    may_be_hdf5,
    quiet_hdf5,
    reason,
    unplaced_quietly,
)
from bandfuse.raster.raw import RawFile, opened_raw
from bandfuse.spectral.bands import Floats
from bandfuse.streaming.stream import Layer
from bandfuse.streaming.windows import Window

EXACT = ("u1", "i1", "u2", "i2", "u4", "i4", "f2", "f4", "f8")
"""Stored types whose values float64 holds exactly, so that a nodata value can be compared there."""


@dataclass(frozen=True, eq=False)
class _Part:
    """The stored pixels of some bands of one raster: (n, rows, cols) and how to make numbers of
    them.

    ``mask``: 0 where values are missing, (rows, cols) of all bands or (n, rows, cols). ``exact``:
    the nodata of 64-bit integers, None for none; empty if there is none at all. ``cut_from``: what
    it is a rectangle of."""

    stored: np.ndarray
    nodata: Floats
    scale: Floats
    offset: Floats
    mask: np.ndarray | None
    exact: tuple[int | None, ...] = ()
    cut_from: _Part | None = None

    def cut(self, rows: slice, cols: slice) -> _Part:
        """A rectangle of it."""
        mask = None if self.mask is None else self.mask[..., rows, cols]
        stored = self.stored[:, rows, cols]
        larger = self if stored.size < self.stored.size else None
        return replace(self, stored=stored, mask=mask, cut_from=larger)

    def take(self, bands: NDArray[np.intp]) -> _Part:
        """Some of its bands, in rising order; without a copy where they are neighbours."""
        first, last = int(bands[0]), int(bands[-1])
        at = slice(first, last + 1) if last - first == len(bands) - 1 else bands
        mask = self.mask[at] if self.mask is not None and self.mask.ndim == 3 else self.mask
        exact = tuple(self.exact[i] for i in bands) if self.exact else ()
        return _Part(self.stored[at], self.nodata[at], self.scale[at], self.offset[at], mask, exact)

    def thinned(self, step: int) -> _Part:
        """Every so many rows and columns of it."""
        mask = None if self.mask is None else self.mask[..., ::step, ::step]
        return replace(self, stored=self.stored[:, ::step, ::step], mask=mask)

    @cached_property
    @np.errstate(over="ignore", invalid="ignore")
    def extremes(self) -> tuple[Floats, Floats] | None:
        """(n,) least and largest physical values; None if any value is missing, or may be."""
        if self.mask is not None and not self.mask.all():
            return None
        low, high = self.stored.min(axis=(1, 2)), self.stored.max(axis=(1, 2))
        if not (np.isfinite(low).all() and np.isfinite(high).all()):
            return None
        fill, there = self._fill
        if (there & (low <= fill) & (fill <= high)).any():
            return None
        ends = np.stack([low, high]) * self.scale + self.offset
        return (ends.min(axis=0), ends.max(axis=0)) if np.isfinite(ends).all() else None

    @cached_property
    @np.errstate(invalid="ignore")
    def whole(self) -> bool:
        """Whether no value is the nodata, and no mask says that one is missing. Values that are not
        finite may be there. Found in the stored type, mostly by the least or the largest value
        alone; known already where both have been asked for, and once for all rectangles of a part:
        that is quicker in the order of the memory."""
        if vars(self).get("extremes") is not None:
            return True
        if self.cut_from is not None and self.cut_from.whole:
            return True
        if self.mask is not None and not self.mask.all():
            return False
        fill, there = self._fill
        if not there.any():
            return True
        if there.all() and (fill == fill[0]).all():
            return bool(
                self.stored.min() > fill[0]
                or self.stored.max() < fill[0]
                or not (self.stored == fill[0]).any()
            )
        return not bool(((self.stored == fill[:, None, None]) & there[:, None, None]).any())

    @property
    def as_stored(self) -> bool:
        """Whether stored numbers are physical values."""
        return bool((self.scale == 1).all() and (self.offset == 0).all())

    @np.errstate(over="ignore", invalid="ignore")
    def put(self, out: Floats) -> None:
        """Write (n, pixels) physical values into ``out``, NaN where missing."""
        image = out.reshape(self.stored.shape)
        image[...] = self.stored
        if not self.whole:
            self._strike(image)
        if not self.as_stored:
            out *= self.scale[:, None]
            out += self.offset[:, None]

    def layer(self) -> Layer:
        """As stored; 64-bit integers, whose nodata is compared in their own type, as float64."""
        if self.stored.dtype.str[1:] not in EXACT:
            numbers = np.empty(self.stored.shape)
            self.put(numbers.reshape(len(numbers), -1))
            return Layer.of(numbers)
        fill, there = self._fill
        fills = np.where(there, fill.astype(np.float64), np.nan)
        return Layer(self.stored, fills, self.scale, self.offset, self.mask)

    def _strike(self, image: Floats) -> None:
        """NaN where a value of (n, rows, cols) is missing."""
        fill, there = self._fill
        if there.any():
            one = there.all() and (fill == fill[0]).all()
            same = self.stored == (fill[0] if one else fill[:, None, None])
            image[same if there.all() else same & there[:, None, None]] = np.nan
        if self.mask is not None:
            image[np.broadcast_to(self.mask == 0, image.shape)] = np.nan

    @cached_property
    def _fill(self) -> tuple[np.ndarray, np.ndarray]:
        """(n,) nodata in the stored type, and where there is one that this type can hold: -3.4e38
        in float32 is not the float64 of that text, and no int16 is -99999."""
        kind = self.stored.dtype
        with np.errstate(over="ignore", invalid="ignore"):
            fill = self.nodata.astype(kind)
        there = np.isfinite(self.nodata)
        there = there if kind.kind == "f" else there & (fill == self.nodata)
        for i, number in enumerate(self.exact):
            if number is not None and kind.kind in "iu":
                there[i] = np.iinfo(kind).min <= number <= np.iinfo(kind).max
                fill[i] = number if there[i] else 0
        return fill, there


@dataclass(frozen=True, eq=False)
class Plain:
    """The pixels of a cell as they are stored, where none is missing, though some may not be
    finite: (n, rows, cols) in the order of the file, and (n,) ``scale`` and ``offset``."""

    stored: np.ndarray
    scale: Floats
    offset: Floats


@dataclass(frozen=True, eq=False)
class RasterCell:
    """One cell of several rasters, in their stored types, and room for its values."""

    parts: list[_Part]
    out: Floats

    def values(self) -> Floats:
        """(D, n) float64, row by row; NaN where missing. They last until the next cell of the patch
        is taken."""
        sizes = [len(p.stored) for p in self.parts]
        out = self.out
        at = 0
        for part, size in zip(self.parts, sizes, strict=True):
            part.put(out[at : at + size])
            at += size
        return out

    @property
    def plain(self) -> Plain | None:
        """As stored; None where a value is missing, or several rasters have a part in it."""
        parts = [part for part in self.parts if len(part.stored)]
        if len(parts) != 1 or not parts[0].whole:
            return None
        return Plain(parts[0].stored, parts[0].scale, parts[0].offset)

    def chosen(self, rows: Sequence[int]) -> Plain | None:
        """Some variables, in order, as :attr:`plain` has all."""
        starts = np.cumsum([0, *(len(p.stored) for p in self.parts)])
        here = np.asarray(rows, dtype=np.intp)
        own = [here[(a <= here) & (here < b)] - a for a, b in pairwise(starts.tolist())]
        cut = [p.take(v) for p, v in zip(self.parts, own, strict=True) if len(v)]
        return RasterCell(cut, self.out).plain

    @property
    def extremes(self) -> tuple[Floats, Floats] | None:
        """(D,) least and largest values, found in the stored types; None if a value is or may be
        missing."""
        found = [part.extremes for part in self.parts]
        there = [ends for ends in found if ends is not None]
        if len(there) < len(found):
            return None
        return np.concatenate([low for low, _ in there]), np.concatenate(
            [high for _, high in there]
        )


@dataclass(frozen=True, eq=False)
class RasterPatch:
    """One window of several rasters, in their stored types."""

    parts: list[_Part]
    _room: list[Floats] = field(default_factory=lambda: [np.empty(0)])

    def cell(self, rows: slice, cols: slice) -> RasterCell:
        """The pixels of a cell. All cells share the room for their values: one at a time."""
        parts = [part.cut(rows, cols) for part in self.parts]
        shape = (
            sum(len(p.stored) for p in parts),
            (rows.stop - rows.start) * (cols.stop - cols.start),
        )
        if self._room[0].size < shape[0] * shape[1]:
            self._room[0] = np.empty(shape[0] * shape[1])
        return RasterCell(parts, self._room[0][: shape[0] * shape[1]].reshape(shape))

    def layers(self) -> list[Layer]:
        """The window as it is stored, one layer for each part."""
        return [part.layer() for part in self.parts]

    def beside(self, values: Floats) -> RasterPatch:
        """With one more variable: (rows, cols) values, NaN where missing."""
        return RasterPatch(
            [*self.parts, _Part(values[None], np.full(1, np.nan), np.ones(1), np.zeros(1), None)]
        )


Choice = tuple[Raster, Sequence[int]]
"""A raster and the 0-based positions of the bands to read."""


@dataclass(frozen=True, eq=False)
class _BandRun:
    """Bands of one piece of a raster that are read at once: positions in the raster, 1-based
    numbers in the piece."""

    raster: Raster
    piece: SourceImage
    positions: list[int]
    numbers: list[int]

    @property
    def names(self) -> list[str]:
        """What GDAL must open."""
        return [name for name in (self.piece.name, self.piece.flaws) if name]

    @property
    def dtype(self) -> str:
        """The type that holds all of them."""
        kinds = {self.raster.dtypes[p] for p in self.positions}
        return kinds.pop() if len(kinds) == 1 else "float64"

    @property
    def bytes_per_pixel(self) -> int:
        """Bytes of one pixel as stored."""
        values = sum(np.dtype(self.raster.dtypes[p]).itemsize for p in self.positions)
        own = self.piece.flaws or self.raster.masks.bands
        return values + (len(self.positions) if own else 0)

    def mask(self, handle: Any, **where: Any) -> np.ndarray | None:
        """0 where the file's own masks say that values are missing, as :class:`_Part` holds it;
        None without masks. ``where``: what of the file is read, as rasterio takes it."""
        masks, found = self.raster.masks, list[np.ndarray]()
        if masks.dataset:
            found.append(handle.read_masks(masks.dataset, **where) != 0)
        if masks.alpha:
            found.append(handle.read(masks.alpha, **where) != 0)
        if masks.bands:
            shape = (
                {"out_shape": (len(self.numbers), *where["out_shape"])}
                if "out_shape" in where
                else {}
            )
            found.append(handle.read_masks(self.numbers, **{**where, **shape}) != 0)
        return np.logical_and.reduce(np.broadcast_arrays(*found)).view(np.uint8) if found else None

    def part(self, stored: np.ndarray, mask: np.ndarray | None) -> _Part:
        """What was read of them, with all that makes numbers of it."""
        nodata, scale, offset, exact = self._numbers
        return _Part(stored, nodata, scale, offset, mask, exact)

    @cached_property
    def _numbers(self) -> tuple[Floats, Floats, Floats, tuple[int | None, ...]]:
        """What makes numbers of them: nodata, scale, offset, and the nodata of 64-bit integers."""
        r, p = self.raster, self.positions
        exact = tuple(r.exact[i] for i in p) if r.exact else ()
        return r.nodata[p], r.scale[p], r.offset[p], exact


def _runs(raster: Raster, positions: Sequence[int]) -> list[_BandRun]:
    """The bands at these positions, in this order; neighbours of one piece are read together."""
    pieces = raster.pieces or (SourceImage(raster.path, tuple(range(1, len(raster.bands) + 1))),)
    homes = [(piece, number) for piece in pieces for number in piece.bands]
    runs: list[_BandRun] = []
    for position in positions:
        piece, number = homes[position]
        if not runs or runs[-1].piece is not piece:
            runs.append(_BandRun(raster, piece, [], []))
        runs[-1].positions.append(position)
        runs[-1].numbers.append(number)
    return runs


class Handles:
    """Open files that several readers use one after the other; a thread that reads has its own."""

    def __init__(self) -> None:
        self._free: dict[str, queue.SimpleQueue[Any]] = {}
        self._every: list[Any] = []
        self._raw: dict[str, RawFile | None] = {}
        self._looking = threading.Lock()

    def __reduce__(self) -> tuple[type, tuple[()]]:
        """Another process opens files of its own: it gets None."""
        return type(None), ()

    def take(self, name: str, path: str) -> Any:
        """An open file that no thread uses; ``path`` is named in errors."""
        try:
            return self._free.setdefault(name, queue.SimpleQueue()).get_nowait()
        except queue.Empty:
            pass
        try:
            with unplaced_quietly():
                handle = rasterio.open(for_gdal(name))
        except GDAL_ERRORS as error:
            raise InputError(
                f"{path} cannot be opened again",
                got=reason(error),
                remedy="Is it still there? If too many files are open, use fewer --threads.",
            ) from error
        self._every.append(handle)
        return handle

    def give(self, handles: Mapping[str, Any]) -> None:
        """Give open files back, by their names."""
        for name, handle in handles.items():
            self._free[name].put(handle)

    def raw(self, name: str, path: str) -> RawFile | None:
        """A file that is read without GDAL; None where GDAL reads it. It is looked at once."""
        with self._looking:
            if name not in self._raw:
                handle = self.take(name, path)
                try:
                    self._raw[name] = opened_raw(name, handle)
                finally:
                    self.give({name: handle})
            return self._raw[name]

    def close(self) -> None:
        """Close all of them."""
        for handle in (*self._every, *filter(None, self._raw.values())):
            handle.close()


class Reader:
    """Reads windows of chosen bands of several rasters on one grid. Each thread that reads has its
    own handles: of its own, or of others who close them."""

    def __init__(self, choices: Sequence[Choice], handles: Handles | None = None) -> None:
        self._runs = [run for raster, positions in choices for run in _runs(raster, positions)]
        self._paths = {name: run.raster.path for run in self._runs for name in run.names}
        self._handles, self._own = handles or Handles(), handles is None
        self._hdf5 = any(map(may_be_hdf5, self._paths))

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._own:
            self._handles.close()

    @property
    def bytes_per_pixel(self) -> int:
        """Bytes of one pixel as stored, all chosen bands."""
        return sum(run.bytes_per_pixel for run in self._runs)

    def parts(self, window: Window) -> Iterator[Window]:
        """The parts of a window that are best read one after the other; whole cells each. Those of
        the file of which most is read, if all are read without GDAL."""
        raws = [raw for raw in self._raws if raw is not None]
        if raws and len(raws) == len(self._runs):
            sizes = [run.bytes_per_pixel for run in self._runs]
            yield from raws[sizes.index(max(sizes))].parts(window)
        else:
            yield window

    @cached_property
    def _raws(self) -> list[RawFile | None]:
        """For each run the file that is read without GDAL; None where GDAL reads it."""
        return [self._raw(run) for run in self._runs]

    def _raw(self, run: _BandRun) -> RawFile | None:
        """The file of a run, where it is read without GDAL."""
        if run.piece.axes or run.piece.flaws or run.raster.masked:
            return None
        with rasterio.Env(**CACHE):
            return self._handles.raw(run.piece.name, run.raster.path)

    def read(self, window: Window) -> RasterPatch:
        """The pixels of a window.

        Raises
        ------
        InputError : the file is damaged or ends too early.
        """
        # Before a file is taken: a look at another would open it once more.
        raws = self._raws
        return self._as_it_lies(window, raws) or self._by_handles(window, raws)

    def _as_it_lies(self, window: Window, raws: Sequence[RawFile | None]) -> RasterPatch | None:
        """The pixels of a window without GDAL; None if it is needed for any of them."""
        parts = []
        for run, raw in zip(self._runs, raws, strict=True):
            stored = None if raw is None else raw.read(window, run.numbers)
            if stored is None:
                return None
            parts.append(run.part(stored, None))
        return RasterPatch(parts)

    def _by_handles(self, window: Window, raws: Sequence[RawFile | None]) -> RasterPatch:
        """The pixels of a window by open files."""
        handles: dict[str, Any] = {}
        if self._hdf5:
            quiet_hdf5()
        with rasterio.Env(**CACHE):
            try:
                for name, path in self._paths.items():
                    handles[name] = self._handles.take(name, path)
                pairs = zip(self._runs, raws, strict=True)
                return RasterPatch([_read(handles, run, window, raw) for run, raw in pairs])
            finally:
                self._handles.give(handles)


def _read(handles: Mapping[str, Any], run: _BandRun, window: Window, raw: RawFile | None) -> _Part:
    """The pixels of a run: from the file itself where they lie there as they are, else by GDAL."""
    if raw is not None:
        stored = raw.read(window, run.numbers, handles[run.piece.name])
        if stored is not None:
            return run.part(stored, None)
    raster, piece = run.raster, run.piece
    where = ((window.row, window.row + window.rows), (window.col, window.col + window.cols))
    # GDAL takes a raw file line by line through its cache, unless it is told to take a band's lines
    # at once.
    big = (
        {"GDAL_ONE_BIG_READ": "YES"}
        if raster.driver == "ENVI" and raster.interleave == "band"
        else {}
    )
    mask = None
    try:
        if piece.axes:
            stored = _turned(handles[piece.name], piece.axes, run.numbers, window, run.dtype)
        else:
            with rasterio.Env(**big):
                stored = handles[piece.name].read(run.numbers, window=where, out_dtype=run.dtype)
        if piece.flaws:
            mask = _turned(handles[piece.flaws], piece.flaw_axes, run.numbers, window, "uint8") == 0
        elif raster.masked:
            mask = run.mask(handles[piece.name], window=where)
    except GDAL_ERRORS as error:
        raise InputError(
            f"{raster.path} cannot be read to its end",
            got=reason(error),
            expected="a whole file",
            remedy="It is damaged or truncated: copy or download it again.",
        ) from error
    return run.part(stored, mask)


def _turned(
    handle: Any, axes: str, numbers: Sequence[int], window: Window, dtype: str
) -> np.ndarray:
    """(n, rows, cols) of an array whose rows GDAL takes for bands; all between the first and last
    band are read. (rows, cols) of an array of one layer."""
    if axes in ("brc", "rc"):
        where = ((window.row, window.row + window.rows), (window.col, window.col + window.cols))
        layers = [*numbers] if axes == "brc" else 1
        found: np.ndarray = handle.read(layers, window=where, out_dtype=dtype)
        return found
    rows = list(range(window.row + 1, window.row + window.rows + 1))
    low, high = min(numbers) - 1, max(numbers)
    span, cols = (low, high), (window.col, window.col + window.cols)
    block = handle.read(
        rows, window=(span, cols) if axes == "rbc" else (cols, span), out_dtype=dtype
    )
    bands: np.ndarray = np.moveaxis(block, axes.index("b"), 0)
    return bands[[number - 1 - low for number in numbers]]


LOOKED_AT = 64
"""Rows of an array with other axes that are read at once for a quicklook."""


def quicklook(raster: Raster, positions: Sequence[int], most: int = 512) -> Floats:
    """(H, W, n) physical values of some bands, thinned to at most ``most`` pixels a side; NaN where
    missing."""
    step = max(1, -(-max(raster.shape) // most))
    shape = -(-raster.rows // step), -(-raster.cols // step)
    out = np.empty((len(positions), shape[0] * shape[1]))
    at = 0
    for run in _runs(raster, positions):
        apart = run.piece.axes or run.piece.flaws
        part = _thinned_rows(run, step) if apart else _thinned(run, shape)
        part.put(out[at : at + len(run.positions)])
        at += len(run.positions)
    return np.moveaxis(out.reshape(len(positions), *shape), 0, -1)


def _thinned(run: _BandRun, shape: tuple[int, int]) -> _Part:
    """Few pixels of the bands of a piece, as GDAL thins them."""
    path = run.raster.path
    with rasterio.Env(**CACHE), opened(run.piece.name) as ds:
        try:
            kind = run.dtype if run.raster.exact else "float64"
            stored = ds.read(run.numbers, out_shape=(len(run.numbers), *shape), out_dtype=kind)
            mask = run.mask(ds, out_shape=shape)
        except GDAL_ERRORS as error:
            raise InputError(
                f"{path} cannot be read", got=reason(error), expected="a whole file"
            ) from error
    return run.part(stored, mask)


def _thinned_rows(run: _BandRun, step: int) -> _Part:
    """Every so many rows and columns of an array with other axes, or with flaws."""
    raster, rows = run.raster, step * max(1, LOOKED_AT // step)
    with Reader([(raster, run.positions)]) as reader:
        parts = [
            reader.read(Window(row, 0, min(rows, raster.rows - row), raster.cols))
            .parts[0]
            .thinned(step)
            for row in range(0, raster.rows, rows)
        ]
    masks = [p.mask for p in parts if p.mask is not None]
    return run.part(
        np.concatenate([p.stored for p in parts], 1), np.concatenate(masks, -2) if masks else None
    )
