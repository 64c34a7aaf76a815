"""Sources: what reads ranges of rows and columns of a cube and of sharp images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from bandfuse.raster import AlignedReader, Raster, Reader, Where, opened_selection
from bandfuse.scenes.polynomials import Field
from bandfuse.scenes.scene import target_bands
from bandfuse.sharpening.gains import Gains
from bandfuse.sharpening.grids import SNAP, Meeting, apart, own_geometry, step_geometry
from bandfuse.sharpening.kernels import Range
from bandfuse.sharpening.moved import moved_read
from bandfuse.sharpening.opening import Images
from bandfuse.sharpening.pair import Pair, Read
from bandfuse.sharpening.sharpen import TILE_COLS, Tiles, tile
from bandfuse.spectral.bands import Floats
from bandfuse.streaming.stream import Source, whole
from bandfuse.streaming.windows import Window

HELD = 24
"""Tiles of a sharpened image that are kept for those beside them."""


@dataclass(frozen=True, eq=False)
class Opened:
    """Images whose files are open, for several threads: what reads the ``cube`` and the ``sharp``
    images of the finest resolution; and the ``steps``: each image between the two, as a cube that
    these sharpen."""

    meeting: Meeting
    cube: Read
    sharp: Read
    steps: tuple[Pair, ...]

    def pair(self, gains: Sequence[Gains], blur: float | None = None) -> Pair:
        """The cube, and all sharp images: those between are sharpened by the gains of their
        steps."""
        between = [
            stepped(replace(pair, blur=g.blur), g)
            for pair, g in zip(self.steps, gains, strict=True)
        ]
        return Pair(self.meeting.geometry, blur, self.cube, beside([self.sharp, *between]))


@contextmanager
def opened(images: Images, positions: Sequence[int]) -> Iterator[Opened]:
    """Open the files of a cube and of sharp images. ``positions``: of the cube's bands."""
    scene, met = images.scene, images.meeting
    with ExitStack() as stack:
        cube = scene.reader(positions)
        stack.enter_context(cube)
        hidden = stack.enter_context(opened_selection(scene.hidden))

        def read_cube(rows: Range, cols: Range) -> Floats:
            return _padded(cube, rows, cols, scene.shape, len(positions), hidden)

        def entered(sharp: Raster) -> Read:
            grid, start, field = _lying(images, sharp)
            choice = (sharp, target_bands(sharp))
            reader = Reader([choice]) if grid is sharp else AlignedReader([choice], grid)
            stack.enter_context(reader)
            flagged = stack.enter_context(opened_selection(images.hidden(sharp, grid)))
            read = _shifted(reader, start, grid.shape, len(target_bands(sharp)), flagged)
            if field is None:
                return read
            own = own_geometry(met.grid, sharp) if sharp in images.coarser else met.geometry
            return moved_read(read, own, field)

        sharp = beside([entered(s) for s in images.sharps])
        steps = tuple(Pair(step_geometry(s, met), None, entered(s), sharp) for s in images.coarser)
        yield Opened(met, read_cube, sharp, steps)


@contextmanager
def opened_pair(
    images: Images, positions: Sequence[int], steps: Sequence[Gains] = (), blur: float | None = None
) -> Iterator[Pair]:
    """The cube and all sharp images, open. ``steps``: the gains of the images between."""
    with opened(images, positions) as files:
        yield files.pair(steps, blur)


def beside(reads: Sequence[Read]) -> Read:
    """Reads the bands of several, one after the other."""

    def read(rows: Range, cols: Range) -> Floats:
        return np.concatenate([one(rows, cols) for one in reads])

    return read


def stepped(pair: Pair, gains: Gains) -> Read:
    """Reads an image between cube and sharp image that is sharpened itself, tile by tile."""
    shape, bands = pair.geometry.fine, len(gains.gain)
    height = Tiles(shape, bands).rows

    @lru_cache(maxsize=HELD)
    def one(row: int, col: int) -> Floats:
        rows = Range(row, min(row + height, shape[0]))
        cols = Range(col, min(col + TILE_COLS, shape[1]))
        return np.concatenate(list(tile(pair, gains, rows, cols).values()))

    def read(rows: Range, cols: Range) -> Floats:
        out = np.full((bands, rows.size, cols.size), np.nan)
        for row in _starts(rows, height, shape[0]):
            for col in _starts(cols, TILE_COLS, shape[1]):
                values = one(row, col)
                has = Range(row, row + values.shape[1]), Range(col, col + values.shape[2])
                r = Range(max(rows.start, has[0].start), min(rows.stop, has[0].stop))
                c = Range(max(cols.start, has[1].start), min(cols.stop, has[1].stop))
                out[:, r.within(rows), c.within(cols)] = values[
                    :, r.within(has[0]), c.within(has[1])
                ]
        return out

    return read


def _starts(span: Range, step: int, size: int) -> range:
    """Where the tiles begin that a range meets."""
    return range(max(span.start, 0) // step * step, min(span.stop, size), step)


def _lying(images: Images, sharp: Raster) -> tuple[Raster, tuple[int, int], Field | None]:
    """The grid on which a sharp image is read: its own if its pixels are those of the result; the
    row and column of that at which the result begins; and the field that it is read through. An
    image that lies parts of a pixel beside the others is moved by these, once with its field."""
    met, field = images.meeting, images.field_of(sharp)
    if sharp in images.coarser:
        return sharp, (0, 0), field
    place = apart(met.lattice, sharp)
    if place is None:
        return met.lattice, met.start, field
    row, col = round(place[0]), round(place[1])
    rest = np.array([[place[0] - row], [place[1] - col]])
    start = met.start[0] + row, met.start[1] + col
    if np.abs(rest).max() < SNAP:
        return sharp, start, field
    geometry = met.geometry
    rest = -rest / np.array([[geometry.rows.ratio], [geometry.cols.ratio]])
    field = Field.constant(geometry.coarse, 0.0, 0.0) if field is None else field
    step = np.zeros_like(field.coefficients)
    step[:, :1] = rest
    return sharp, start, field.plus(step)


def _shifted(
    source: Source, start: tuple[int, int], shape: tuple[int, int], bands: int, hidden: Where | None
) -> Read:
    """Reads by rows and columns of a grid that begins at some pixel of a raster, which is missing
    where it is hidden."""
    row, col = start

    def read(rows: Range, cols: Range) -> Floats:
        down = Range(rows.start + row, rows.stop + row)
        across = Range(cols.start + col, cols.stop + col)
        return _padded(source, down, across, shape, bands, hidden)

    return read


def _padded(
    source: Source,
    rows: Range,
    cols: Range,
    shape: tuple[int, int],
    bands: int,
    hidden: Where | None,
) -> Floats:
    """(D, n, m) of ranges of a raster of some shape, NaN beyond it and where it is hidden."""
    out = np.full((bands, rows.size, cols.size), np.nan)
    r = Range(max(rows.start, 0), min(rows.stop, shape[0]))
    c = Range(max(cols.start, 0), min(cols.stop, shape[1]))
    if r.size > 0 and c.size > 0:
        window = Window(r.start, c.start, r.size, c.size)
        values = whole(source, window)
        outside = None if hidden is None else hidden.outside(window)
        if outside is not None:
            values[:, outside] = np.nan
        out[:, r.within(rows), c.within(cols)] = values
    return out
