"""Windows: what a thread reads of a window, before it travels to a device: its pixels as stored,
which of them count, their strata, and those that may enter the sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bandfuse.moments.census import Counts
from bandfuse.moments.sample import Pixels, kept_as
from bandfuse.moments.tally import MOST_STRATA, Question, keys_of, part_of, strata_of
from bandfuse.spectral.bands import Floats
from bandfuse.streaming.blocks import pieces
from bandfuse.streaming.stream import Layer, Source, layers_of
from bandfuse.streaming.windows import CELL_COLS, CELL_ROWS, Window, cells

NO_STRATUM = -(2**62)
"""In the place of the stratum of a pixel that has none."""

DRAWN = 4096
"""Pixels that are made numbers at once, to find those of the sample."""


@dataclass(frozen=True)
class Place:
    """A piece of a cell in one block: the block's number, the column of its stack, and the strata
    that its pixels may have."""

    block: int
    column: int
    cell: Window
    strata: tuple[int, ...] = (0,)


@dataclass(frozen=True, eq=False)
class Stored:
    """A window, or a part of one, as it was read; no ``layers`` where no pixel counts. ``inside``
    (rows, cols): pixels that count, None for all; ``strata`` of the pixels, where they have any."""

    window: Window
    layers: list[Layer]
    inside: NDArray[np.bool_] | None = None
    strata: Counts | None = None

    @cached_property
    def arrays(self) -> list[np.ndarray]:
        """All that travels: of each layer what is stored, then its mask; which pixels count, and
        their strata."""
        masked = [[x.stored] if x.mask is None else [x.stored, x.mask] for x in self.layers]
        more = [array for array in (self.inside, self.strata) if array is not None]
        return [*(array for layer in masked for array in layer), *more]

    @property
    def nbytes(self) -> int:
        """Of all that travels."""
        return sum(array.nbytes for array in self.arrays)

    def halves(self) -> list[Stored]:
        """Two parts, one above the other if there are several rows of cells, else side by side; no
        part of a single cell."""
        w = self.window
        row = _middle(w.row, w.row + w.rows, CELL_ROWS)
        col = _middle(w.col, w.col + w.cols, CELL_COLS)
        if row is not None:
            top = Window(w.row, w.col, row - w.row, w.cols)
            return [self._cut(top), self._cut(Window(row, w.col, w.row + w.rows - row, w.cols))]
        if col is not None:
            left = Window(w.row, w.col, w.rows, col - w.col)
            return [self._cut(left), self._cut(Window(w.row, col, w.rows, w.col + w.cols - col))]
        return []

    def _cut(self, part: Window) -> Stored:
        """A part of it."""
        here = part.within(self.window)
        return Stored(
            part,
            [layer.cut(*here) for layer in self.layers],
            None if self.inside is None else self.inside[here],
            None if self.strata is None else self.strata[here],
        )

    def places(self, question: Question) -> list[Place]:
        """The pieces of cells in which pixels count, in the order in which moments add up.

        Raises
        ------
        InputError : there are more classes than can be.
        """
        found = []
        for piece in pieces(self.window, question.grid):
            for cell in cells(piece.window):
                here = cell.within(self.window)
                inside = None if self.inside is None else self.inside[here]
                if inside is None or inside.any():
                    strata = self._strata_in(cell, inside, question)
                    found.append(Place(piece.block, piece.column, cell, strata))
        return found

    def _strata_in(
        self, cell: Window, inside: NDArray[np.bool_] | None, question: Question
    ) -> tuple[int, ...]:
        """Those that pixels of a cell may have: all pixels that count, whether or not a value of
        theirs turns out missing."""
        if self.strata is None:
            return (0,)
        here = cell.within(self.window)
        there = self.strata[here]
        numbers = np.unique(there if inside is None else there[inside])
        numbers = numbers[numbers != NO_STRATUM]
        if len(numbers) > MOST_STRATA:
            numbers = np.array(self._certain(here, inside, question))
        return tuple(numbers.tolist())

    def _certain(
        self, here: tuple[slice, slice], inside: NDArray[np.bool_] | None, question: Question
    ) -> list[int]:
        """The strata of the pixels of a cell of which no value is missing."""
        assert self.strata is not None
        there = np.ones(self.strata[here].shape, bool) if inside is None else inside
        rows, cols = np.nonzero(there & (self.strata[here] != NO_STRATUM))
        values = numbers_at(self.layers, rows + here[0].start, cols + here[1].start)
        ok = np.isfinite(values[question.joint]).all(axis=0)
        return strata_of(self.strata[here][rows, cols][ok])


def _middle(start: int, stop: int, unit: int) -> int | None:
    """The multiple of a unit nearest to the middle, strictly between; None if there is none."""
    middle = max(start // unit + 1, round((start + stop) / 2 / unit)) * unit
    return middle if middle < stop else None


def numbers_at(layers: Sequence[Layer], rows: np.ndarray, cols: np.ndarray) -> Floats:
    """(D, m) numbers of m pixels, NaN where missing."""
    return np.concatenate([layer.at(rows, cols) for layer in layers])


@dataclass(frozen=True, eq=False)
class Read:
    """What a thread made of a window: all that travels, why pixels do not count, and its pixels for
    the sample."""

    stored: Stored
    excluded: dict[str, int]
    pixels: Pixels


def read_window(source: Source, window: Window, question: Question, bound: int) -> Read:
    """Read a window; ``bound``: the largest hash that can still enter the sample."""
    out = {} if question.where is None else question.where.excluded(window)
    excluded = {reason: int(flags.sum()) for reason, flags in out.items()}
    nothing = Pixels.zero(question.sample, len(question.joint))
    if sum(excluded.values()) == window.size:
        # A window of which no pixel counts is not read.
        return Read(Stored(window, []), excluded, nothing)
    inside = ~np.logical_or.reduce(list(out.values())) if any(excluded.values()) else None
    stored = Stored(window, layers_of(source.read(window), window), inside)
    stored = replace(stored, strata=_strata(stored, question))
    return Read(stored, excluded, drawn(stored, question, bound) if question.sample else nothing)


def _strata(stored: Stored, question: Question) -> Counts | None:
    """(rows, cols) the class or random part of each pixel; None where there are neither."""
    window = stored.window
    every = np.arange(window.size)
    if question.classes:
        labels = stored.layers[-1].last.at(every // window.cols, every % window.cols)[0]
        known = np.isfinite(labels)
        numbers = np.where(known, labels, 0).astype(np.int64)
        return np.where(known, numbers, NO_STRATUM).reshape(window.rows, window.cols)
    if question.random_parts:
        parts = part_of(keys_of(every, window, question)[0], question.random_parts)
        return parts.reshape(window.rows, window.cols)
    return None


def drawn(stored: Stored, question: Question, bound: int) -> Pixels:
    """The pixels of a window that may enter the sample: those with the smallest hashes of which no
    value is missing."""
    window, inside = stored.window, stored.inside
    places = np.arange(window.size) if inside is None else np.flatnonzero(inside)
    key, row, col = keys_of(places, window, question)
    near = np.flatnonzero(key <= np.uint64(bound))
    near = near[np.argsort(key[near], kind="stable")]
    kept, values, count = list[np.ndarray](), list[Floats](), 0
    for start in range(0, len(near), DRAWN):
        some = near[start : start + DRAWN]
        z = numbers_at(stored.layers, row[some] - window.row, col[some] - window.col)
        z = z[question.joint]
        ok = np.isfinite(z).all(axis=0)
        kept.append(some[ok])
        values.append(z[:, ok])
        count += int(ok.sum())
        if count >= question.sample:
            break
    if not count:
        return Pixels.zero(question.sample, len(question.joint))
    chosen = np.concatenate(kept)
    scene = np.full(len(chosen), question.scene)
    place = np.stack([scene, row[chosen], col[chosen]], axis=1).astype(np.int64)
    rows: NDArray[np.floating] = np.ascontiguousarray(
        np.concatenate(values, axis=1).T, dtype=kept_as(question.sample, len(question.joint))
    )
    return Pixels.of(question.sample, key[chosen], place, rows)
