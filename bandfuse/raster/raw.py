"""Raw: rasters whose pixels lie in their file as they are, read without GDAL.

Such a file is an array in *blocks*: one block for all of an ENVI or EHdr file, a tile or a strip
each of an uncompressed TIFF. A block holds its bands one after the other (``bsq``), line by line
(``bil``) or pixel by pixel (``bip``). A window is read into an array of the same order, so that
nothing is moved about.

Files are read with ``pread`` and not mapped: a map of a file that becomes shorter ends the whole
process with SIGBUS, where a read returns less, and an error of a network file system is an
``OSError``."""

from __future__ import annotations

import logging
import math
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from bandfuse.errors import InputError
from bandfuse.raster.gdal import GDAL_ERRORS
from bandfuse.streaming.windows import CELL_COLS, CELL_ROWS, Window, cuts

LOG = logging.getLogger(__name__)

AXES = {"bsq": (0, 1, 2), "bil": (1, 0, 2), "bip": (2, 0, 1)}
"""Where bands, rows and columns stand in a block of each order."""

BY_GDAL = {"band": "bsq", "line": "bil", "pixel": "bip"}
"""The orders by GDAL's names."""

LOOKED_AT = 64
"""Columns of a line that are compared with what GDAL reads."""

BETWEEN, NEAR = 2, 2**14
"""What lies between two pieces is read too where it is less than a piece, or where the pieces begin
so few bytes apart: that takes less time than to ask for each."""

WORTH = 2**15
"""Bytes of a band that are worth a read of their own, if there are more."""

KEPT, LARGE = 2, 2**24
"""Pieces of memory that a thread keeps, and their largest size."""

LINE = 64
"""Bytes of a line of the cache. The system copies a third quicker between places that are alike in
it."""

MOST_KNOWN = 2**16
"""Places of blocks that are remembered."""


@dataclass(frozen=True)
class Layout:
    """How the pixels lie in a file: ``blocks`` of so many rows and columns, each in an ``order``.

    ``apart``: every band has blocks of its own. ``start``: where the only block begins; None where
    GDAL tells it of each block."""

    dtype: np.dtype[Any]
    shape: tuple[int, int]
    bands: int
    order: str
    blocks: tuple[int, int]
    apart: bool = False
    start: int | None = None


def layout_of(ds: Any) -> Layout | None:
    """What an open dataset declares; None if its pixels do not lie in a file as they are."""
    kinds = set(ds.dtypes)
    if len(kinds) != 1 or not ds.files or "complex" in ds.dtypes[0]:
        return None
    structure = ds.tags(ns="IMAGE_STRUCTURE")
    if "COMPRESSION" in structure or "NBITS" in ds.tags(1, ns="IMAGE_STRUCTURE"):
        return None
    told = {"ENVI": _envi, "EHdr": _ehdr, "GTiff": _tiff}.get(ds.driver)
    order = BY_GDAL.get(structure.get("INTERLEAVE", "").lower(), "bsq")
    return None if told is None else told(ds, np.dtype(kinds.pop()), order)


def _whole(ds: Any, kind: np.dtype[Any], order: str, start: int, little: bool) -> Layout:
    """All pixels in one block."""
    dtype = kind.newbyteorder("<" if little else ">")
    return Layout(dtype, ds.shape, ds.count, order, ds.shape, start=start)


def _envi(ds: Any, kind: np.dtype[Any], order: str) -> Layout | None:
    header = ds.tags(ns="ENVI")
    if header.get("file_compression", "0").strip() != "0" or "major_frame_offsets" in header:
        return None
    start, swapped = header.get("header_offset", "0"), header.get("byte_order", "0")
    if not start.strip().isdecimal() or swapped.strip() not in ("0", "1"):
        return None
    return _whole(ds, kind, order, int(start), swapped.strip() == "0")


def _ehdr(ds: Any, kind: np.dtype[Any], order: str) -> Layout | None:
    header = next((Path(name) for name in ds.files if name.lower().endswith(".hdr")), None)
    if header is None:
        return None
    lines = (line.split() for line in header.read_text(encoding="latin-1").splitlines())
    told = {line[0].upper(): line[1].upper() for line in lines if len(line) > 1}
    line = ds.width * kind.itemsize
    whole = {"bsq": line, "bil": line * ds.count, "bip": line * ds.count}[order]
    usual = {"BANDROWBYTES": line, "TOTALROWBYTES": whole, "BANDGAPBYTES": 0}
    if any(told.get(key, str(size)) != str(size) for key, size in usual.items()):
        return None
    order, start = told.get("LAYOUT", "BIL").lower(), told.get("SKIPBYTES", "0")
    if order not in AXES or not start.isdecimal():
        return None
    return _whole(ds, kind, order, int(start), told.get("BYTEORDER", "I")[0] in "IL")


def _tiff(ds: Any, kind: np.dtype[Any], order: str) -> Layout | None:
    with open(ds.files[0], "rb") as stream:
        mark = stream.read(2)
    if mark not in (b"II", b"MM") or len(set(ds.block_shapes)) != 1:
        return None
    blocks, apart = ds.block_shapes[0], order == "bsq"
    size = blocks[0] * blocks[1] * kind.itemsize * (1 if apart else ds.count)
    if ds.get_tag_item("BLOCK_SIZE_0_0", "TIFF", bidx=1) != str(size):
        return None
    dtype = kind.newbyteorder("<" if mark == b"II" else ">")
    return Layout(dtype, ds.shape, ds.count, order, blocks, apart)


class Rooms(threading.local):
    """Memory of a thread for what it reads, used again once nobody looks at it any more: the system
    zeroes new memory before it is written to, which takes as long as to read."""

    def __init__(self) -> None:
        self._kept: list[np.ndarray] = []

    def array(self, shape: Sequence[int], dtype: np.dtype[Any], start: int) -> np.ndarray:
        """An array with any values in it, for what begins at a place in a file: both begin at the
        same place of a line of the cache."""
        size = math.prod(shape) * dtype.itemsize
        room = self._free(size + LINE)
        if room is None:
            room = np.empty(size + LINE, np.uint8)
            if size <= LARGE:
                self._kept = [*self._kept[1 - KEPT :], room]
        first = (start // dtype.itemsize * dtype.itemsize - room.ctypes.data) % LINE
        found: np.ndarray = room[first : first + size].view(dtype).reshape(shape)
        return found

    def _free(self, size: int) -> np.ndarray | None:
        """Memory of at least this size that no array is a view of."""
        for i in range(len(self._kept)):
            # One reference is that of the list, the other that of the argument.
            if self._kept[i].size >= size and sys.getrefcount(self._kept[i]) == 2:
                return self._kept[i]
        return None


ROOMS = Rooms()
"""What all files share."""


class RawFile:
    """An open file whose layout is known; several threads may read at once."""

    def __init__(self, path: str, layout: Layout) -> None:
        self.path, self.layout = path, layout
        self._file = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        self._places: dict[tuple[int, int, int], int] = {}

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def parts(self, window: Window) -> Iterator[Window]:
        """The parts of a window that are best read one after the other: rows of cells, each of one
        column of blocks, so that what is read is still in the cache when it is used; single cells
        where all of a pixel lies together."""
        width = self.layout.blocks[1]
        width = width if width % CELL_COLS == 0 else window.cols
        width = CELL_COLS if self.layout.order == "bip" else width
        bottom, right = window.row + window.rows, window.col + window.cols
        tall = CELL_ROWS
        if self.layout.order == "bsq":
            each = CELL_ROWS * min(width, window.cols) * self.layout.dtype.itemsize
            tall = CELL_ROWS * next((n for n in (1, 2) if n * each >= WORTH), 4)
        across = cuts(window.col, right, width) if width < window.cols else [window.col, right]
        for row, below in pairwise(cuts(window.row, bottom, tall)):
            for col, end in pairwise(across):
                yield Window(row, col, below - row, end - col)

    def read(self, window: Window, numbers: Sequence[int], ds: Any = None) -> np.ndarray | None:
        """(n, rows, cols) of the bands of these 1-based numbers: a view of an array in the order of
        the file. None if a block is not in the file, or if only a dataset can tell where it is and
        none is given.

        Raises
        ------
        InputError : the file is shorter than it was, or cannot be read.
        """
        layout, (high, wide) = self.layout, self.layout.blocks
        first, last = min(numbers), max(numbers)
        every = list(range(1, layout.bands + 1)) if layout.order == "bip" else [*numbers]
        downs = range(window.row // high, (window.row + window.rows - 1) // high + 1)
        acrosses = range(window.col // wide, (window.col + window.cols - 1) // wide + 1)
        places = [(down, across) for down in downs for across in acrosses]
        starts = []
        for place in places:
            found = self._starts(ds, every, *place)
            if found is None:
                return None
            starts.append(found)
        axes = AXES[layout.order]
        shape = (len(every), window.rows, window.cols)
        stored = ROOMS.array([shape[axes.index(i)] for i in range(3)], layout.dtype, starts[0][0])
        out = stored.transpose(axes)
        for place, begin in zip(places, starts, strict=True):
            self._block(out, window, every, place, begin)
        if not layout.dtype.isnative:
            stored.byteswap(inplace=True)
            out = stored.view(layout.dtype.newbyteorder("=")).transpose(axes)
        if every == [*numbers]:
            return out
        if [*numbers] == list(range(first, last + 1)):
            return out[first - 1 : last]
        return out[[number - 1 for number in numbers]]

    def _starts(
        self, ds: Any, numbers: Sequence[int], down: int, across: int
    ) -> Sequence[int] | None:
        """Where a block of each band begins, or the block of all bands; None if one is not
        there."""
        if self.layout.start is not None:
            return [self.layout.start]
        found = []
        for number in numbers if self.layout.apart else (1,):
            key = number, down, across
            where = self._places.get(key)
            if where is None and ds is None:
                return None
            if where is None:
                text = ds.get_tag_item(f"BLOCK_OFFSET_{across}_{down}", "TIFF", bidx=number)
                if text is None:
                    return None
                if len(self._places) >= MOST_KNOWN:
                    self._places.clear()
                where = self._places[key] = int(text)
            found.append(where)
        return found

    def _block(
        self,
        out: np.ndarray,
        window: Window,
        numbers: Sequence[int],
        place: tuple[int, int],
        starts: Sequence[int],
    ) -> None:
        """Read what a window has of one block into its place in (n, rows, cols)."""
        layout, (high, wide) = self.layout, self.layout.blocks
        top, left, size = place[0] * high, place[1] * wide, self.layout.dtype.itemsize
        rows = slice(max(window.row, top), min(window.row + window.rows, top + high))
        cols = slice(max(window.col, left), min(window.col + window.cols, left + wide))
        there = out[
            :,
            rows.start - window.row : rows.stop - window.row,
            cols.start - window.col : cols.stop - window.col,
        ]
        row, col = rows.start - top, cols.start - left
        line = wide * size
        if layout.order == "bip":
            step = line * layout.bands
            self._rows(there.transpose(1, 2, 0), starts[0] + row * step + col * step // wide, step)
        elif layout.order == "bil":
            step = line * layout.bands
            self._lines(there.transpose(1, 0, 2), starts[0] + row * step + col * size, numbers)
        else:
            first = starts[0]
            whole = [first + (number - 1) * high * line for number in numbers]
            places = starts if layout.apart else whole
            at = row * line + col * size
            if there.flags.c_contiguous and there.shape[2] == wide:
                self._bands(there, [start + at for start in places])
                return
            for band, start in zip(there, places, strict=True):
                self._rows(band, start + at, line)

    def _bands(self, out: np.ndarray, starts: Sequence[int]) -> None:
        """Read (n, rows, cols), each band in one piece."""
        room, each = out.reshape(-1).view(np.uint8).data, out[0].nbytes
        for first, start in zip(range(0, len(room), each), starts, strict=True):
            piece = room[first : first + each]
            # The usual case without a call of its own: there are thousands of pieces.
            if os.preadv(self._file, [piece], start) != each:
                self._pour(piece, start)

    def _lines(self, out: np.ndarray, start: int, numbers: Sequence[int]) -> None:
        """Read (rows, n, cols) of a file that is stored line by line: the lines of neighbouring
        bands at once."""
        wide, size = self.layout.blocks[1], self.layout.dtype.itemsize
        line, step = wide * size, wide * size * self.layout.bands
        for low, count in _runs(numbers):
            some, at = out[:, low : low + count], start + (numbers[low] - 1) * line
            if out.shape[2] == wide:
                self._rows(some, at, step)
            else:
                for i, bands in enumerate(some):
                    self._rows(bands, at + i * step, line)

    def _rows(self, out: np.ndarray, start: int, step: int) -> None:
        """Read (rows, …), each row in one piece, from places so many bytes apart; all at once where
        little or nothing lies between them."""
        line = out[0].nbytes
        if out.flags.c_contiguous and line == step:
            self._fill(out, start)
        elif len(out) > 1 and (BETWEEN * line >= step or step <= NEAR):
            room = ROOMS.array([len(out) * step], np.dtype(np.uint8), start)
            self._fill(room[: room.size - step + line], start)
            found = room.reshape(len(out), step)[:, :line].view(out.dtype)
            out[...] = found.reshape(out.shape)
        else:
            for i, row in enumerate(out):
                self._fill(row, start + i * step)

    def _fill(self, array: np.ndarray, start: int) -> None:
        """Read contiguous values from a place in the file on."""
        self._pour(array.reshape(-1).view(np.uint8).data, start)

    def _pour(self, left: memoryview, start: int) -> None:
        """Read bytes from a place in the file on."""
        try:
            while left:
                count = os.preadv(self._file, [left], start)
                if not count:
                    break
                left, start = left[count:], start + count
        except OSError as error:
            raise self._broken(error.strerror or str(error)) from error
        if left:
            raise self._broken(f"{os.fstat(self._file).st_size} bytes")

    def _broken(self, got: str) -> InputError:
        return InputError(
            f"{self.path} cannot be read to its end",
            got=got,
            expected="a whole file",
            remedy="It is damaged or truncated: copy or download it again.",
        )


def _runs(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Positions at which runs of neighbouring numbers begin, and how long they are."""
    low = 0
    for i in range(1, len(numbers) + 1):
        if i == len(numbers) or numbers[i] != numbers[i - 1] + 1:
            yield low, i - low
            low = i


CAN_READ_AT = hasattr(os, "preadv")
"""Whether the system reads at a place without moving another thread's; Windows does not."""


def opened_raw(path: str, ds: Any) -> RawFile | None:
    """The file of an open dataset as one to be read without GDAL: where it declares that its pixels
    lie there as they are, and some of them are those that GDAL reads. Else None, and GDAL reads."""
    if not (CAN_READ_AT and os.path.isfile(path)):
        return None
    try:
        layout = layout_of(ds)
        file = None if layout is None else RawFile(path, layout)
    except (OSError, ValueError, IndexError, UnicodeError):
        return None
    if file is None:
        return None
    with suppress(InputError, *GDAL_ERRORS):
        if _as_gdal(file, ds):
            return file
        LOG.info("%s: GDAL reads other values than its layout tells; GDAL reads it", path)
    file.close()
    return None


def _as_gdal(file: RawFile, ds: Any) -> bool:
    """Whether a few windows hold what GDAL reads there."""
    rows, cols = ds.shape
    numbers = sorted({1, ds.count // 2 + 1, ds.count})
    last = Window(rows - 1, max(0, cols - LOOKED_AT), 1, min(cols, LOOKED_AT))
    middle = Window(rows // 2, max(0, cols // 2 - LOOKED_AT), 1, min(cols, LOOKED_AT))
    first = Window(0, 0, 1, min(cols, LOOKED_AT))
    looks = (first, last) if file.layout.start is None else (first, middle, last)
    return all(_same(file.read(w, numbers, ds), ds, w, numbers) for w in looks)


def _same(found: np.ndarray | None, ds: Any, window: Window, numbers: Sequence[int]) -> bool:
    """Whether values are those that GDAL reads, to the bit; a block that is not there says
    nothing."""
    if found is None:
        return True
    where = ((window.row, window.row + window.rows), (window.col, window.col + window.cols))
    return bool(ds.read(numbers, window=where).tobytes() == found.tobytes())
