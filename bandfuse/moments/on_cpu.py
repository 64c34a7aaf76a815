"""On the CPU: a pass whose cells are added up in numpy, by the threads that read them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from bandfuse.moments.census import Counts, look
from bandfuse.moments.moments import Moments, Sums, total
from bandfuse.moments.sample import Pixels, kept_as, merged
from bandfuse.moments.tally import (
    NOISE,
    Question,
    Tally,
    differences,
    ended_blocks,
    keys_of,
    part_of,
    reservoir_of,
    strata_of,
)
from bandfuse.spectral.bands import Floats
from bandfuse.streaming.blocks import Piece, pieces
from bandfuse.streaming.stream import Cell, Source, in_parts
from bandfuse.streaming.windows import Window, cells_of

Part = tuple[int, int, int, Moments]
"""Block, column of stacks, stratum, and the moments there."""


def _tally_window(
    source: Source, window: Window, question: Question, bound: int
) -> tuple[Tally, list[Part]]:
    """Gather one window; the moments come back as parts from top to bottom. It is read in the parts
    that the source would rather be asked for: cells are whole in them, so that they change
    nothing."""
    out = {} if question.where is None else question.where.excluded(window)
    tally, drawn = Tally.zero(question), list[Pixels]()
    found: list[tuple[Piece, dict[int, Sums]]] = [(p, {}) for p in pieces(window, question.grid)]
    for some in in_parts(source, window):
        here = some.within(window)
        # A part of which no pixel counts is not read.
        outside = sum(int(o[here].sum()) for o in out.values())
        patch = None if outside == some.size else source.read(some)
        for piece, sums in found:
            for cell in cells_of(piece.window, some):
                inside = _count_excluded(out, window, cell, tally)
                if patch is None or not inside.any():
                    continue
                pixels = patch.cell(*cell.within(some))
                drawn.append(_tally_cell(pixels, inside, cell, question, bound, tally, sums))
                bound = _tightened(bound, drawn, question.sample)
    tally.pixels = merged(drawn, question.sample, len(question.joint))
    return tally, [part for piece, sums in found for part in _parts_of(piece, sums, question)]


def _parts_of(piece: Piece, sums: Mapping[int, Sums], question: Question) -> list[Part]:
    """The moments of a piece, by stratum."""
    parts = [(piece.block, piece.column, s, sums[s].moments()) for s in sorted(sums)]
    if not sums and not question.classes and not question.random_parts:
        # A block in which no pixel counts is there, with nothing in it.
        parts.append((piece.block, piece.column, 0, Moments.zero(question.size)))
    return parts


def _tightened(bound: int, drawn: list[Pixels], capacity: int) -> int:
    """The largest hash that can still enter the sample, after these pixels of the window."""
    if not capacity or sum(len(p) for p in drawn) <= capacity:
        return bound
    key = np.concatenate([p.key for p in drawn])
    return min(bound, int(np.partition(key, capacity - 1)[capacity - 1]))


def _count_excluded(
    out: Mapping[str, NDArray[np.bool_]], window: Window, cell: Window, tally: Tally
) -> NDArray[np.bool_]:
    """Count the pixels of a cell that do not count, as a window has them by reason; (n,) True for
    the others."""
    inside = np.ones(cell.size, dtype=bool)
    for reason, flags in out.items():
        excluded = flags[cell.within(window)].ravel()
        tally.invalid[reason] = tally.invalid.get(reason, 0) + int(excluded.sum())
        inside &= ~excluded
    return inside


def _tally_cell(
    pixels: Cell,
    inside: NDArray[np.bool_],
    cell: Window,
    question: Question,
    bound: int,
    tally: Tally,
    found: dict[int, Sums],
) -> Pixels:
    """Count one cell into the tally and into the sums by stratum; its pixels for the sample are
    returned."""
    census, z, finite = look(pixels, inside, question.n_bands)
    bands_ok, ok = (inside, inside) if finite is None else _valid(finite, question)
    tally.census += census
    tally.used += int(ok.sum())
    tally.invalid["band missing"] += int((inside & ~bands_ok).sum())
    if finite is not None and question.slopes:
        sloped = np.logical_and.reduce(finite[-question.slopes :], axis=0)
        _count(tally, "neighbour missing", bands_ok & ~sloped)
        bands_ok = bands_ok & sloped
    _count(tally, question.lacking, bands_ok & ~ok)
    if not ok.any():
        return Pixels.zero(question.sample, len(question.joint))
    joint = z if question.joint == list(range(len(z))) else z[question.joint]
    joint = joint if ok.all() else np.ascontiguousarray(joint[:, ok])
    tally.high = np.maximum(
        tally.high, census.high[question.joint] if ok.all() else joint.max(axis=1)
    )
    places = np.flatnonzero(ok)
    drawn = _draw(joint, places, cell, question, bound)
    strata: dict[int, Floats] = {}
    if question.noise:
        strata[NOISE] = differences(z[list(question.used)], ok, (cell.rows, cell.cols))
    if question.classes:
        strata |= _by_stratum(joint[:-1], joint[-1].astype(np.int64))
    elif question.random_parts:
        strata |= _by_stratum(
            joint, part_of(keys_of(places, cell, question)[0], question.random_parts)
        )
    else:
        strata[0] = joint
    for stratum, some in strata.items():
        if stratum not in found:
            found[stratum] = Sums.near(some)
        found[stratum].use_up(some, question.gram.product)
    return drawn


def _count(tally: Tally, reason: str, flags: NDArray[np.bool_]) -> None:
    tally.invalid[reason] = tally.invalid.get(reason, 0) + int(flags.sum())


def _valid(
    finite: NDArray[np.bool_], question: Question
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """(n,) pixels whose used bands are valid, and those whose targets are valid too."""
    bands_ok = np.logical_and.reduce(finite[list(question.used)], axis=0)
    return bands_ok, bands_ok & np.logical_and.reduce(finite[question.n_bands :], axis=0)


def _by_stratum(z: Floats, numbers: Counts) -> dict[int, Floats]:
    """The columns of (D, n) values for each of (n,) numbers."""
    return {c: np.ascontiguousarray(z[:, numbers == c]) for c in strata_of(numbers)}


def _draw(
    joint: Floats, places: NDArray[np.intp], cell: Window, question: Question, bound: int
) -> Pixels:
    """The pixels of a cell whose hash is at most the bound: no others can enter the sample any
    more."""
    if not question.sample:
        return Pixels.zero(0, len(joint))
    key, row, col = keys_of(places, cell, question)
    near = np.flatnonzero(key <= np.uint64(bound))
    place = np.stack([np.full(len(near), question.scene), row[near], col[near]], axis=1).astype(
        np.int64
    )
    values: NDArray[np.floating] = np.ascontiguousarray(
        joint[:, near].T, dtype=kept_as(question.sample, len(joint))
    )
    return Pixels.of(question.sample, key[near], place, values)


class OnCpu:
    """Cell by cell in numpy, by the threads that read. ``most``: pixels that
    may come. ``because``: as in the tally."""

    def __init__(self, question: Question, most: int, because: str = "") -> None:
        self._question, self._tally = question, Tally.zero(question)
        self._tally.because = because
        self._drawn = reservoir_of(question, most)
        self._columns: dict[tuple[int, int, int], Moments] = {}

    def read(self, source: Source, window: Window) -> tuple[Tally, list[Part]]:
        """The tally of a window, and its moments from top to bottom."""
        return _tally_window(source, window, self._question, self._drawn.bound)

    def add(self, window: Window, part: tuple[Tally, list[Part]]) -> None:
        """Moments go down each column of stacks."""
        counts, parts = part
        self._tally.strata.update(_finished(self._columns, self._question, window.row))
        self._tally.count(counts)
        self._drawn.add(counts.pixels)
        for block, column, stratum, moments in parts:
            before = self._columns.get((block, stratum, column))
            self._columns[block, stratum, column] = moments if before is None else before + moments

    def result(self) -> Tally:
        """Columns add up from left to right."""
        bottom = self._question.grid.row_edges[-1]
        self._tally.strata.update(_finished(self._columns, self._question, bottom))
        self._tally.pixels = self._drawn.pixels()
        return self._tally


def _finished(
    columns: dict[tuple[int, int, int], Moments], question: Question, row: int
) -> Iterator[tuple[tuple[int, int], Moments]]:
    """Take the blocks out that end above a row, the columns of each stratum added from left to
    right."""
    for block, stratum in ended_blocks(((b, s) for b, s, _ in columns), question.grid, row):
        mine = sorted(c for b, s, c in columns if (b, s) == (block, stratum))
        size = len(question.used) if stratum == NOISE else question.size
        yield (block, stratum), total((columns.pop((block, stratum, c)) for c in mine), size)
