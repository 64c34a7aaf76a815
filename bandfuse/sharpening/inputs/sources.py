"""Sources: what reads ranges of rows and columns of a cube and of sharp images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

import numpy as np

from bandfuse.raster import AlignedReader, Raster, Reader, Where, opened_selection
from bandfuse.scenes.polynomials import Field
from bandfuse.scenes.scene import target_bands
from bandfuse.sharpening.gains.gains import Gains
from bandfuse.sharpening.gains.tiles import TILE_COLS, Tiles, grounds, tile_on
from bandfuse.sharpening.inputs.grids import SNAP, Meeting, apart, own_geometry, step_geometry
from bandfuse.sharpening.inputs.opening import Images
from bandfuse.sharpening.pairs.kept import Parts
from bandfuse.sharpening.pairs.moved import moved_read
from bandfuse.sharpening.pairs.pair import Pair, Read
from bandfuse.sharpening.pairs.ranges import Place, Range, window_of
from bandfuse.spectral.bands import Floats
from bandfuse.streaming.stream import Source, whole

HELD, GROUNDS = 48 * 2**20, 2
"""Bytes of a sharpened image that are kept for what is beside them, and grounds."""


@dataclass(frozen=True, eq=False)
class Opened:
    """Images whose files are open, for several threads: what reads the ``cube`` and the ``sharp``
    images of the finest resolution; and the ``steps``: each image between the two, as a cube that
    these sharpen. ``within``: pixels beyond which sharp images are missing, where that is known."""

    meeting: Meeting
    cube: Read
    sharp: Read
    steps: tuple[Pair, ...]
    within: Place | None

    def pair(self, gains: Sequence[Gains], blur: float | None = None) -> Pair:
        """The cube, and all sharp images: those between are sharpened by the gains of their
        steps."""
        between = [
            stepped(replace(pair, blur=g.blur), g)
            for pair, g in zip(self.steps, gains, strict=True)
        ]
        sharp = beside([self.sharp, *between])
        return Pair(self.meeting.geometry, blur, self.cube, sharp, self.within)


@contextmanager
def opened(images: Images, positions: Sequence[int]) -> Iterator[Opened]:
    """Open the files of a cube and of sharp images. ``positions``: of the cube's bands."""
    scene, met = images.scene, images.meeting
    with ExitStack() as stack:
        cube = scene.reader(positions)
        stack.enter_context(cube)
        hidden = stack.enter_context(opened_selection(scene.hidden))

        def read_cube(rows: Range, cols: Range) -> Floats:
            return padded(cube, rows, cols, scene.shape, len(positions), hidden)

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

        within = None if images.fields else _extent(met)
        sharp = beside([entered(s) for s in images.sharps])
        between = [(s, entered(s)) for s in images.coarser]
        steps = tuple(Pair(step_geometry(s, met), None, r, sharp, within) for s, r in between)
        yield Opened(met, read_cube, sharp, steps, within)


def _extent(met: Meeting) -> Place:
    """The pixels of the result that the lattice of sharp images holds, and those beyond it."""
    (row, col), (rows, cols) = met.start, met.lattice.shape
    return Range(-row, rows - row), Range(-col, cols - col)


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
    tiles = Tiles(shape, bands, pair.geometry.ratio)
    on = grounds(pair, gains, tiles, GROUNDS)

    def one(rows: Range, cols: Range) -> Floats:
        out = np.full((bands, rows.size, cols.size), np.nan)
        here = rows.shared(Range(0, shape[0])), cols.shared(Range(0, shape[1]))
        if here[0].size > 0 and here[1].size > 0:
            made = tile_on(on(here), pair, gains, *here)
            np.concatenate(list(made.values()), out=out[:, : here[0].size, : here[1].size])
        return out

    return Parts(one, (tiles.rows, TILE_COLS), bands, HELD)


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
        return padded(source, down, across, shape, bands, hidden)

    return read


def padded(
    source: Source,
    rows: Range,
    cols: Range,
    shape: tuple[int, int],
    bands: int,
    hidden: Where | None,
) -> Floats:
    """(D, n, m) of ranges of a raster of some shape, NaN beyond it and where it is hidden."""
    r, c = rows.shared(Range(0, shape[0])), cols.shared(Range(0, shape[1]))
    if (r, c) == (rows, cols):
        return _read(source, r, c, hidden)
    out = np.full((bands, rows.size, cols.size), np.nan)
    if r.size > 0 and c.size > 0:
        out[:, r.within(rows), c.within(cols)] = _read(source, r, c, hidden)
    return out


def _read(source: Source, rows: Range, cols: Range, hidden: Where | None) -> Floats:
    window = window_of(rows, cols)
    values = whole(source, window)
    outside = None if hidden is None else hidden.outside(window)
    if outside is not None:
        values[:, outside] = np.nan
    return values
