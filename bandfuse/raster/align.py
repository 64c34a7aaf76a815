"""Align: rasters on other grids, brought to one grid window by window.

A *grid* is told by a raster that has it: its rows, columns, transform and CRS. What is finer than
the grid, turned against it or in another CRS is averaged over the exact area of each of its pixels
(:mod:`bandfuse.raster.areas`)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import rasterio
from rasterio.transform import Affine
from rasterio.warp import transform

from bandfuse.errors import MismatchError
from bandfuse.raster.areas import (
    SNAP,
    Overlap,
    average,
    blurred,
    gaussian_sigma,
    halo,
    of_corners,
    of_edges,
)
from bandfuse.raster.describe import SAME_PLACE, Raster, same_grid
from bandfuse.raster.gdal import CACHE, GDAL_ERRORS, reason
from bandfuse.raster.read import Choice, Handles, RasterPatch, Reader
from bandfuse.spectral.bands import Floats
from bandfuse.streaming.stream import Layer
from bandfuse.streaming.windows import Window, cells

if TYPE_CHECKING:
    from scipy.sparse import csr_array

SAME_SIZE = 0.01
"""Pixels whose sides differ by less are taken to be equally large."""

READ_BYTES, PART_BYTES = 32 * 2**20, 8 * 2**20
"""Of a finer raster each thread reads so much at once, and makes numbers of so much of it at
once."""

SEAM = 16.0
"""A pixel of the grid that spans so many times more of the raster than others do lies on the seam
of a map of the globe, and meets nothing."""

OUTLINE = 33
"""Points on each side of a raster that is laid over another one."""

Regrid = Callable[["csr_array", Floats], Floats]
"""From shares (n, m) and values (m, D) to values (n, D)."""


@dataclass(frozen=True, eq=False)
class Placing:
    """How the pixels of a grid lie in a raster."""

    grid: Raster
    raster: Raster

    @cached_property
    def affine(self) -> Affine | None:
        """From column and row in the grid to those in the raster; None where the CRS differ."""
        if self.grid.crs and self.raster.crs and self.grid.crs != self.raster.crs:
            return None
        turned = Affine.translation(-self._turns, 0.0) @ self.grid.transform
        return ~self.raster.transform @ turned

    @cached_property
    def _turn(self) -> float:
        """A whole turn in longitudes of the raster, in units of its CRS; 0 where x is no
        longitude."""
        crs = self.raster.crs
        return 2 * math.pi / crs.units_factor[1] if crs is not None and crs.is_geographic else 0.0

    @cached_property
    def _turns(self) -> float:
        """By what the grid's longitudes lie whole turns east of the raster's, where they share
        their CRS."""
        if not (self._turn and self.grid.crs):
            return 0.0
        return self._turn * round((_middle(self.grid) - _middle(self.raster)) / self._turn)

    def __call__(self, col: Floats, row: Floats) -> tuple[Floats, Floats]:
        """Columns and rows in the raster of positions in the grid; not finite where there are none.

        Raises
        ------
        MismatchError : GDAL knows no way from one CRS to the other.
        """
        if self.affine is not None:
            a, b, c, d, e, f = self.affine[:6]
            return a * col + b * row + c, d * col + e * row + f
        a, b, c, d, e, f = self.grid.transform[:6]
        x, y = a * col + b * row + c, d * col + e * row + f
        try:
            with rasterio.Env(**CACHE):
                found = transform(
                    self.grid.crs, self.raster.crs, x.ravel().tolist(), y.ravel().tolist()
                )
        except GDAL_ERRORS as error:
            raise MismatchError(
                f"{self.raster.path} cannot be brought to the CRS of {self.grid.path}",
                got=reason(error),
                expected=f"a way from {self.raster.crs_name} to {self.grid.crs_name}",
            ) from error
        x, y = (np.array(v, dtype=np.float64).reshape(np.shape(col)) for v in found)
        if self._turn:
            # Longitudes begin anew at 180°: those that are nearest to the raster's are meant.
            with np.errstate(invalid="ignore"):
                x = x - self._turn * np.rint((x - _middle(self.raster)) / self._turn)
        a, b, c, d, e, f = (~self.raster.transform)[:6]
        with np.errstate(invalid="ignore"):
            return a * x + b * y + c, d * x + e * y + f

    @cached_property
    def linear(self) -> Floats:
        """(2, 2) columns and rows of the raster per column and row of the grid, at the middle of
        the grid."""
        if self.affine is not None:
            a, b, _, d, e, _ = self.affine[:6]
            return np.array([[a, b], [d, e]])
        middle = np.array([self.grid.cols / 2, self.grid.rows / 2])
        col, row = (middle[:, None] + [[-0.5, 0.5, 0, 0], [0, 0, -0.5, 0.5]]).astype(np.float64)
        u, v = self(col, row)
        return np.array([[u[1] - u[0], u[3] - u[2]], [v[1] - v[0], v[3] - v[2]]])

    @property
    def factor(self) -> float:
        """Pixels of the raster along the side of a pixel of the grid, by their areas."""
        (a, b), (c, d) = self.linear.tolist()
        return math.sqrt(abs(a * d - b * c))

    @cached_property
    def offset(self) -> tuple[int, int] | None:
        """Row and column of the raster at which the grid begins, if their pixels are the same; None
        if not."""
        if self.affine is None:
            return None
        rows, cols = self.grid.rows, self.grid.cols
        col, row = self(np.array([0.0, cols, 0.0, cols]), np.array([0.0, 0.0, rows, rows]))
        start = np.rint(col[0]), np.rint(row[0])
        off = max(
            np.abs(col - start[0] - [0, cols, 0, cols]).max(),
            np.abs(row - start[1] - [0, 0, rows, rows]).max(),
        )
        return (int(start[1]), int(start[0])) if off < SAME_PLACE else None

    def overlap(self, window: Window) -> Overlap | None:
        """The shares of the raster's pixels in those of a window of the grid; None if they do not
        meet."""
        row = np.arange(window.row, window.row + window.rows + 1, dtype=np.float64)
        col = np.arange(window.col, window.col + window.cols + 1, dtype=np.float64)
        if self.affine is not None and self.affine.b == 0 == self.affine.d:
            a, _, c, _, e, f = self.affine[:6]
            return of_edges(e * row + f, a * col + c, self.raster.shape)
        corners = np.stack(self(*np.meshgrid(col, row)), axis=-1)
        return of_corners(
            corners, self.raster.shape, most=SEAM * (1.0 + float(np.abs(self.linear).sum()))
        )

    def sigma(self, modulation: float) -> tuple[float, float]:
        """Of a Gaussian with this modulation at the Nyquist frequency of the grid: along rows and
        columns of the raster, in its pixels."""
        if self.affine is not None and self.affine.b == 0 == self.affine.d:
            return gaussian_sigma(modulation, abs(self.affine.e)), gaussian_sigma(
                modulation, abs(self.affine.a)
            )
        both = gaussian_sigma(modulation, self.factor)
        return both, both


def _middle(raster: Raster) -> float:
    """x of the middle of a raster."""
    x, _ = raster.transform @ (raster.cols / 2, raster.rows / 2)
    return float(x)


def on_one_grid(first: Raster, other: Raster) -> bool:
    """Whether two rasters share their grid, by the rules of :func:`same_grid`."""
    try:
        same_grid(first, other, "raster")
    except MismatchError:
        return False
    return True


def placed(first: Raster, other: Raster, what: str) -> Raster:
    """A raster with a position: one of the same size without position, or without CRS, has those of
    the first.

    Raises
    ------
    MismatchError : one of the two has no position or CRS, and they do not share their grid.
    """
    whole = not (first.transform.is_identity or other.transform.is_identity)
    if whole and bool(first.crs) == bool(other.crs):
        return other
    try:
        same_grid(first, other, what)
    except MismatchError as error:
        lacking = next(r for r in (other, first) if r.transform.is_identity or not r.crs)
        remedy = (
            f"They can be aligned if both say where they lie: give {lacking.path} its CRS and "
            "position (gdal_edit.py -a_srs … -a_ullr …), or bring them to one size."
        )
        if lacking.product:
            remedy = (
                f"They can be aligned if both lie on a map, and {lacking.product} does not: give a "
                "level of it that does, or bring them to one size."
            )
        raise MismatchError(
            error.what, got=error.got, expected=error.expected, remedy=remedy
        ) from error
    return replace(other, transform=first.transform, crs=first.crs)


def coarsest(rasters: Sequence[Raster]) -> Raster:
    """The raster with the largest pixels; the first of those that are about equally large."""
    chosen = rasters[0]
    for raster in rasters[1:]:
        if Placing(chosen, raster).factor < 1 - SAME_SIZE:
            chosen = raster
    return chosen


def moved(raster: Raster, grid: Raster, columns: float, rows: float) -> Raster:
    """A raster that lies so many columns and rows of the grid farther on."""
    u, v = Placing(grid, raster).linear @ [columns, rows]
    return replace(raster, transform=raster.transform @ Affine.translation(float(u), float(v)))


def refined(grid: Raster, parts: int) -> Raster:
    """A grid whose pixels are cut into so many parts along each side. It cannot be read from."""
    rows, cols = grid.rows * parts, grid.cols * parts
    return replace(grid, rows=rows, cols=cols, transform=grid.transform @ Affine.scale(1 / parts))


def covering(grid: Raster, raster: Raster) -> Raster:
    """A raster, laid over the whole of a grid, whatever it says of its position."""
    scale = Affine.scale(grid.cols / raster.cols, grid.rows / raster.rows)
    return replace(raster, transform=grid.transform @ scale, crs=grid.crs)


def cut(grid: Raster, rasters: Sequence[Raster]) -> Window:
    """The window of a grid that holds what all rasters cover.

    Raises
    ------
    MismatchError : there is no such window.
    """
    low, high = np.zeros(2), np.array([grid.cols, grid.rows], dtype=np.float64)
    for raster in rasters:
        col, row = Placing(raster, grid)(*_outline(raster))
        known = np.isfinite(col) & np.isfinite(row)
        box = np.stack([col[known], row[known]])
        if box.size:
            low, high = np.maximum(low, box.min(axis=1)), np.minimum(high, box.max(axis=1))
        if not box.size or not (low < high).all():
            raise MismatchError(
                f"{raster.path} lies elsewhere than {grid.path}",
                got=extent_of(raster),
                expected=f"some of {extent_of(grid)}",
                remedy="Look at both with bandfuse info.",
            )
    (col, row), (right, bottom) = np.floor(low + SNAP).astype(int), np.ceil(high - SNAP).astype(int)
    return Window(int(row), int(col), int(bottom - row), int(right - col))


def _outline(raster: Raster) -> tuple[Floats, Floats]:
    """Columns and rows of points on the sides of a raster."""
    share = np.linspace(0, 1, OUTLINE)
    col = np.concatenate([share, share, 0 * share, 0 * share + 1]) * raster.cols
    row = np.concatenate([0 * share, 0 * share + 1, share, share]) * raster.rows
    return col, row


def extent_of(raster: Raster) -> str:
    """Where a raster lies, in words: its least and greatest x and y, and its CRS."""
    a, b, c, d, e, f = raster.transform[:6]
    col, row = _outline(raster)
    x, y = a * col + b * row + c, d * col + e * row + f
    return f"{x.min():.10g} to {x.max():.10g}, {y.min():.10g} to {y.max():.10g} ({raster.crs_name})"


def windowed(raster: Raster, window: Window) -> Raster:
    """The grid that a window of a raster has. It cannot be read from."""
    transform = raster.transform @ Affine.translation(window.col, window.row)
    control = raster.control.within(window.row, window.col)
    return replace(raster, rows=window.rows, cols=window.cols, transform=transform, control=control)


@dataclass(frozen=True, eq=False)
class AlignedCell:
    """The pixels of one cell."""

    array: Floats

    def values(self) -> Floats:
        """(D, n) float64, row by row; NaN where missing."""
        return self.array

    @property
    def extremes(self) -> tuple[Floats, Floats] | None:
        """(D,) least and largest values; None if a value is missing."""
        low, high = self.array.min(axis=1), self.array.max(axis=1)
        return (low, high) if np.isfinite(low).all() and np.isfinite(high).all() else None


@dataclass(frozen=True, eq=False)
class AlignedPatch:
    """One window of several rasters on one grid: (D, rows, cols)."""

    array: Floats

    def cell(self, rows: slice, cols: slice) -> AlignedCell:
        """The pixels of a cell, which are its own."""
        part = self.array[:, rows, cols]
        return AlignedCell(part.reshape(len(part), -1).copy())

    def layers(self) -> list[Layer]:
        """The window as it was computed, in float64."""
        return [Layer.of(self.array)]

    def beside(self, values: Floats) -> AlignedPatch:
        """With one more variable: (rows, cols) values, NaN where missing."""
        return AlignedPatch(np.concatenate([self.array, values[None]]))


@dataclass(frozen=True, eq=False)
class _Part:
    """Some bands of one raster, and how the grid lies in it; ``sigma`` of the Gaussian that they
    are seen through."""

    reader: Reader
    placing: Placing
    bands: int
    sigma: tuple[float, float] | None

    @property
    def stored(self) -> float:
        """Bytes of the raster, as stored, under one pixel of the grid."""
        return self.reader.bytes_per_pixel * max(1.0, self.placing.factor) ** 2

    @property
    def weight(self) -> float:
        """Bytes that are needed to make one pixel of the grid."""
        around = (2 + 1.5 * self.placing.factor) ** 2
        return 24 * self.bands * max(1.0, self.placing.factor) ** 2 + 200 * around

    def around(self, window: Window) -> Window:
        """A window of the raster with all that the Gaussian sees of it."""
        rows, cols = (0, 0) if self.sigma is None else halo(self.sigma)
        wide = Window(
            window.row - rows, window.col - cols, window.rows + 2 * rows, window.cols + 2 * cols
        )
        there = _within(wide, self.placing.raster)
        assert there is not None
        return there

    def values(self, patch: RasterPatch, whole: Window, window: Window) -> Floats:
        """(D, rows, cols) of a window in the patch of another one."""
        cell = patch.cell(*window.within(whole))
        return cell.values().reshape(self.bands, window.rows, window.cols)

    def seen(self, patch: RasterPatch, whole: Window, window: Window) -> Floats:
        """The same, through the Gaussian if there is one."""
        if self.sigma is None:
            return self.values(patch, whole, window)
        around = self.around(window)
        return blurred(self.values(patch, whole, around), self.sigma)[
            (slice(None), *window.within(around))
        ]


class AlignedReader:
    """Reads windows of a grid from chosen bands of rasters on any grids, by several threads, as
    :class:`Reader` does.

    Parameters
    ----------
    regrid : what becomes of the pixels of a raster that is not on the grid; by default their mean.
    blur : modulation at the Nyquist frequency of the grid of a Gaussian that finer rasters are seen
        through."""

    def __init__(
        self,
        choices: Sequence[Choice],
        grid: Raster,
        *,
        regrid: Regrid = average,
        blur: float | None = None,
        handles: Handles | None = None,
    ) -> None:
        self._regrid = regrid
        self._parts = []
        for raster, positions in choices:
            if len(positions):
                placing = Placing(grid, raster)
                finer = blur is not None and placing.factor > 1 + SAME_SIZE
                sigma = placing.sigma(blur) if blur is not None and finer else None
                self._parts.append(
                    _Part(Reader([(raster, positions)], handles), placing, len(positions), sigma)
                )

    def __enter__(self) -> AlignedReader:
        return self

    def __exit__(self, *exc: object) -> None:
        for part in self._parts:
            part.reader.__exit__(*exc)

    @property
    def bytes_per_pixel(self) -> int:
        """Bytes of one pixel of the grid, all chosen bands: as stored, and what becomes of them."""
        return int(sum(8 * part.bands + part.stored for part in self._parts))

    def read(self, window: Window) -> AlignedPatch:
        """The pixels of a window of the grid.

        Raises
        ------
        InputError : a file is damaged or ends too early.
        """
        out = np.full((sum(part.bands for part in self._parts), window.rows, window.cols), np.nan)
        at = 0
        for part in self._parts:
            self._fill(part, window, out[at : at + part.bands])
            at += part.bands
        return AlignedPatch(out)

    def _fill(self, part: _Part, window: Window, out: Floats) -> None:
        """Write one raster's bands where there are any."""
        if part.placing.offset is not None:
            row, col = part.placing.offset
            there = _within(
                Window(window.row + row, window.col + col, window.rows, window.cols),
                part.placing.raster,
            )
            if there is not None:
                here = Window(there.row - row, there.col - col, there.rows, there.cols)
                out[(slice(None), *here.within(window))] = part.values(
                    part.reader.read(there), there, there
                )
            return
        for once in _pieces([window], part.stored, READ_BYTES):
            every = [
                (piece, part.placing.overlap(piece))
                for piece in _pieces(cells(once), part.weight, PART_BYTES)
            ]
            known = [(piece, overlap) for piece, overlap in every if overlap is not None]
            if known:
                whole = part.around(_hull([overlap.window for _, overlap in known]))
                patch = part.reader.read(whole)
                for piece, overlap in known:
                    values = part.seen(patch, whole, overlap.window).reshape(part.bands, -1)
                    found = self._regrid(overlap.shares, np.ascontiguousarray(values.T))
                    out[(slice(None), *piece.within(window))] = found.T.reshape(
                        -1, piece.rows, piece.cols
                    )


def _hull(windows: Sequence[Window]) -> Window:
    """The smallest window that holds all of these."""
    row, col = min(w.row for w in windows), min(w.col for w in windows)
    bottom, right = max(w.row + w.rows for w in windows), max(w.col + w.cols for w in windows)
    return Window(row, col, bottom - row, right - col)


def _within(window: Window, raster: Raster) -> Window | None:
    """What a raster has of a window."""
    row, col = max(window.row, 0), max(window.col, 0)
    rows = min(window.row + window.rows, raster.rows) - row
    cols = min(window.col + window.cols, raster.cols) - col
    return Window(row, col, rows, cols) if rows > 0 and cols > 0 else None


def _pieces(windows: Iterable[Window], weight: float, room: int) -> Iterator[Window]:
    """Windows, cut such that none takes more than this room; ``weight``: of a pixel."""
    most = max(1, int(room / weight))
    for cell in windows:
        tall = min(cell.rows, most)
        wide = min(cell.cols, max(1, most // tall))
        for row in range(cell.row, cell.row + cell.rows, tall):
            for col in range(cell.col, cell.col + cell.cols, wide):
                yield Window(
                    row,
                    col,
                    min(tall, cell.row + cell.rows - row),
                    min(wide, cell.col + cell.cols - col),
                )
