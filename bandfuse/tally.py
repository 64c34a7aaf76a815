"""Tally: all that one training pass gathers. Moments per block, facts per band, a pixel sample, counts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bandfuse.bands import Floats
from bandfuse.moments import Moments, total
from bandfuse.pixels import Pixels, keys, merged
from bandfuse.progress import Progress, silent
from bandfuse.stream import Source, each_window
from bandfuse.windows import BlockGrid, Window, cells, pieces

Counts = NDArray[np.int64]

MOSTLY = 0.5
"""A band that is missing in more than this share of the otherwise valid pixels is dead."""


@dataclass(frozen=True, eq=False)
class Census:
    """Facts per variable. A monoid under ``+``, exact in any order.

    ``seen``: pixels in which at least one band is valid. ``valid`` (D,): pixels in which the variable is valid.
    ``low``, ``high`` (D,): extremes of the valid values.
    """

    seen: int
    valid: Counts
    low: Floats
    high: Floats

    @classmethod
    def zero(cls, size: int) -> Census:
        """The census of no pixels."""
        return cls(0, np.zeros(size, np.int64), np.full(size, np.inf), np.full(size, -np.inf))

    @classmethod
    def of(cls, z: Floats, finite: NDArray[np.bool_], n_bands: int) -> Census:
        """From (D, n) values, where they are finite, and how many of the variables are bands."""
        if finite.all():
            low, high = z.min(axis=1), z.max(axis=1)
            return cls(z.shape[1], np.full(len(z), z.shape[1], np.int64), low, high)
        low = np.where(finite, z, np.inf).min(axis=1)
        high = np.where(finite, z, -np.inf).max(axis=1)
        return cls(int(finite[:n_bands].any(axis=0).sum()), finite.sum(axis=1, dtype=np.int64), low, high)

    def __add__(self, other: Census) -> Census:
        return Census(
            self.seen + other.seen,
            self.valid + other.valid,
            np.minimum(self.low, other.low),
            np.maximum(self.high, other.high),
        )

    def dead(self, n_bands: int) -> dict[int, str]:
        """Bands that cannot be used, by position among the variables, with the reason."""
        reasons = {}
        for i in range(n_bands):
            valid = int(self.valid[i])
            if valid == 0:
                reasons[i] = "no valid pixel"
            elif self.seen - valid > MOSTLY * self.seen:
                reasons[i] = f"missing in {100 * (1 - valid / self.seen):.0f} % of the otherwise valid pixels"
            elif self.low[i] == self.high[i] and self.seen > 1:
                reasons[i] = f"constant ({self.low[i]:g})"
        return reasons


class Where(Protocol):
    """Says which pixels count; several threads may ask at once."""

    def excluded(self, window: Window) -> Mapping[str, NDArray[np.bool_]]:
        """(rows, cols) of the pixels that do not count, by reason; no pixel has two reasons."""
        ...


@dataclass(frozen=True, eq=False)
class Question:
    """What a pass is to gather.

    A patch has D variables: ``n_bands`` bands first, then targets. ``used`` are the bands that must be valid and that
    enter the moments, before the targets. ``where`` says which pixels count; all of them if it is None.
    """

    n_bands: int
    n_targets: int
    used: tuple[int, ...]
    grid: BlockGrid
    scene: int = 0
    seed: int = 0
    sample: int = 0
    where: Where | None = None

    @property
    def joint(self) -> list[int]:
        """Variables that enter the moments: used bands, then targets."""
        return [*self.used, *range(self.n_bands, self.n_bands + self.n_targets)]


@dataclass
class Tally:
    """What one pass over one scene gathered.

    ``blocks``: moments of [used bands, targets] by block number. ``invalid``: pixels not used, by reason.
    ``high``: maxima of [used bands, targets] over the used pixels.
    """

    census: Census
    pixels: Pixels
    high: Floats
    used: int = 0
    invalid: dict[str, int] = field(default_factory=lambda: {"band missing": 0, "target missing": 0})
    blocks: dict[int, Moments] = field(default_factory=dict)

    @classmethod
    def zero(cls, question: Question) -> Tally:
        """The tally of no pixels."""
        size = len(question.joint)
        return cls(
            Census.zero(question.n_bands + question.n_targets),
            Pixels.zero(question.sample, size),
            np.full(size, -np.inf),
        )

    def total(self) -> Moments:
        """The moments of the whole scene: blocks added in order of their numbers."""
        return total((self.blocks[b] for b in sorted(self.blocks)), len(self.high))

    def count(self, other: Tally) -> None:
        """Add what does not depend on order."""
        self.census += other.census
        if len(other.pixels):
            self.pixels += other.pixels
        self.high = np.maximum(self.high, other.high)
        self.used += other.used
        for reason, n in other.invalid.items():
            self.invalid[reason] = self.invalid.get(reason, 0) + n


Part = tuple[int, int, Moments]


def _tally_window(source: Source, window: Window, question: Question, bound: int) -> tuple[Tally, list[Part]]:
    """Gather one window; the moments come back as (block, stack column, moments) from top to bottom."""
    out = {} if question.where is None else question.where.excluded(window)
    # A window of which no pixel counts is not read.
    patch = None if sum(int(o.sum()) for o in out.values()) == window.size else source.read(window)
    tally = Tally.zero(question)
    parts, drawn = [], []
    for piece in pieces(window, question.grid):
        moments = Moments.zero(len(question.joint))
        for cell in cells(piece.window):
            here = cell.within(window)
            inside = _count_excluded({reason: o[here].ravel() for reason, o in out.items()}, cell, tally)
            if patch is None or not inside.any():
                continue
            more, pixels = _tally_cell(patch.values(*here), inside, cell, question, bound, tally)
            moments = moments + more
            drawn.append(pixels)
        parts.append((piece.block, piece.column, moments))
    tally.pixels = merged(drawn, question.sample, len(question.joint))
    return tally, parts


def _count_excluded(out: Mapping[str, NDArray[np.bool_]], cell: Window, tally: Tally) -> NDArray[np.bool_]:
    """Count the pixels of a cell that do not count; (n,) True for the others."""
    inside = np.ones(cell.size, dtype=bool)
    for reason, excluded in out.items():
        tally.invalid[reason] = tally.invalid.get(reason, 0) + int(excluded.sum())
        inside &= ~excluded
    return inside


def _tally_cell(
    z: Floats, inside: NDArray[np.bool_], cell: Window, question: Question, bound: int, tally: Tally
) -> tuple[Moments, Pixels]:
    """Count one cell into the tally; its moments and its pixels for the sample are returned."""
    if not inside.all():
        z[:, ~inside] = np.nan
    finite = np.isfinite(z)
    tally.census += Census.of(z, finite, question.n_bands)
    bands_ok = finite[list(question.used)].all(axis=0)
    ok = bands_ok & finite[question.n_bands :].all(axis=0)
    tally.used += int(ok.sum())
    tally.invalid["band missing"] += int((inside & ~bands_ok).sum())
    tally.invalid["target missing"] += int((bands_ok & ~ok).sum())
    if not ok.any():
        size = len(question.joint)
        return Moments.zero(size), Pixels.zero(question.sample, size)
    joint = z[question.joint] if ok.all() else z[question.joint][:, ok]
    tally.high = np.maximum(tally.high, joint.max(axis=1))
    return Moments.of_columns(joint), _draw(joint, np.flatnonzero(ok), cell, question, bound)


def _draw(joint: Floats, places: NDArray[np.intp], cell: Window, question: Question, bound: int) -> Pixels:
    """The pixels of a cell whose hash is at most the bound: no others can enter the sample any more."""
    if not question.sample:
        return Pixels.zero(0, len(joint))
    row, col = cell.row + places // cell.cols, cell.col + places % cell.cols
    key = keys(question.seed, question.scene, row, col)
    near = np.flatnonzero(key <= np.uint64(bound))
    place = np.stack([np.full(len(near), question.scene), row[near], col[near]], axis=1).astype(np.int64)
    return Pixels.of(question.sample, key[near], place, joint[:, near].T)


def reduce_windows(
    source: Source,
    question: Question,
    windows: Sequence[Window],
    *,
    threads: int,
    progress: Progress = silent,
    label: str = "read",
) -> Tally:
    """One pass over a scene.

    The bits of the result do not depend on the windows or threads: moments add up from cell to stack, down each column
    of stacks, then from column to column of a block, always in that order. Windows must come row by row.
    """
    tally = Tally.zero(question)
    columns: dict[tuple[int, int], Moments] = {}

    def work(window: Window) -> tuple[Tally, list[Part]]:
        return _tally_window(source, window, question, tally.pixels.bound)

    for window, (counts, parts) in each_window(windows, work, threads=threads, progress=progress, label=label):
        tally.blocks.update(_finished(columns, question, window.row))
        tally.count(counts)
        for block, column, moments in parts:
            before = columns.get((block, column))
            columns[block, column] = moments if before is None else before + moments
    tally.blocks.update(_finished(columns, question, question.grid.row_edges[-1]))
    return tally


def _finished(columns: dict[tuple[int, int], Moments], question: Question, row: int) -> Iterator[tuple[int, Moments]]:
    """Take the blocks out that end above a row, their columns added from left to right."""
    n_cols = len(question.grid.col_edges) - 1
    ended = sorted({b for b, _ in columns if question.grid.row_edges[b // n_cols + 1] <= row})
    for block in ended:
        mine = sorted(c for b, c in columns if b == block)
        yield block, total((columns.pop((block, c)) for c in mine), len(question.joint))
