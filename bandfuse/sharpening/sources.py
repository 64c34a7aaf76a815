"""Sources: what reads ranges of rows and columns of a cube and of sharp images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import numpy as np

from bandfuse.raster import AlignedReader, Raster, Reader, Where, opened_selection
from bandfuse.scenes.scene import Scene, target_bands
from bandfuse.sharpening.grids import Meeting
from bandfuse.sharpening.kernels import Range
from bandfuse.sharpening.pair import Pair, Read
from bandfuse.spectral.bands import Floats
from bandfuse.streaming.stream import Source, whole
from bandfuse.streaming.windows import Window


@contextmanager
def opened_pair(
    scene: Scene,
    positions: Sequence[int],
    sharps: Sequence[Raster],
    meeting: Meeting,
    blur: float | None = None,
) -> Iterator[Pair]:
    """A cube and sharp images whose files are open, for several threads. ``positions``: of the
    cube's bands."""
    with ExitStack() as stack:
        cube = scene.reader(positions)
        stack.enter_context(cube)
        hidden = stack.enter_context(opened_selection(scene.hidden))

        def read_cube(rows: Range, cols: Range) -> Floats:
            return _padded(cube, rows, cols, scene.shape, len(positions), hidden)

        readers = [_sharp_reader(sharp, meeting.lattice) for sharp in sharps]
        for reader in readers:
            stack.enter_context(reader)
        reads = [
            _shifted(reader, meeting, len(target_bands(sharp)))
            for reader, sharp in zip(readers, sharps, strict=True)
        ]

        def read_sharp(rows: Range, cols: Range) -> Floats:
            return np.concatenate([read(rows, cols) for read in reads])

        yield Pair(meeting.geometry, blur, read_cube, read_sharp)


def _sharp_reader(sharp: Raster, lattice: Raster) -> Reader | AlignedReader:
    """What reads a sharp image on a lattice: as it is if that is its own."""
    choice = (sharp, target_bands(sharp))
    if sharp.path == lattice.path and sharp.transform == lattice.transform:
        return Reader([choice])
    return AlignedReader([choice], lattice)


def _shifted(reader: Reader | AlignedReader, meeting: Meeting, bands: int) -> Read:
    """Reads by rows and columns of the result."""
    row, col = meeting.start
    shape = meeting.lattice.shape

    def read(rows: Range, cols: Range) -> Floats:
        moved = (Range(rows.start + row, rows.stop + row), Range(cols.start + col, cols.stop + col))
        return _padded(reader, *moved, shape, bands, None)

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
