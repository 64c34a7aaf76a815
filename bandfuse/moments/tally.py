"""Tally: all that one training pass gathers. Moments per block, facts per band, a pixel sample,
counts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bandfuse.errors import InputError
from bandfuse.moments.census import Census, Counts, look
from bandfuse.moments.gram import Product, double
from bandfuse.moments.moments import Moments, Sums, total
from bandfuse.moments.sample import Keys, Pixels, keys, merged
from bandfuse.progress import Progress, silent
from bandfuse.spectral.bands import Floats
from bandfuse.streaming.blocks import BlockGrid, pieces
from bandfuse.streaming.stream import Cell, Source, each_window
from bandfuse.streaming.windows import Window, cells

MOST_STRATA = 256
"""More distinct numbers than this are no classes."""

NOISE = -1
"""The stratum of the moments of noise. Classes are not negative."""


class Where(Protocol):
    """Says which pixels count; several threads may ask at once."""

    def excluded(self, window: Window) -> Mapping[str, NDArray[np.bool_]]:
        """(rows, cols) of the pixels that do not count, by reason; no pixel has two reasons."""
        ...


@dataclass(frozen=True, eq=False)
class Question:
    """What a pass is to gather.

    A patch has D variables: ``n_bands`` bands first, then targets. ``used`` are the bands that must
    be valid and that enter the moments, before the targets. ``where`` says which pixels count; all
    of them if it is None.

    ``classes``: the only target is a class number; moments are of the used bands, apart for each
    class. ``noise``: the moments of noise are gathered too; see :func:`differences`.
    ``random_parts``: pixels are dealt at random, by their hash, to so many strata. ``slopes``: so
    many of the targets, the last ones, are slopes. ``product``: where and how precisely moments are
    computed."""

    n_bands: int
    n_targets: int
    used: tuple[int, ...]
    grid: BlockGrid
    scene: int = 0
    seed: int = 0
    sample: int = 0
    where: Where | None = None
    classes: bool = False
    noise: bool = False
    random_parts: int = 0
    slopes: int = 0
    product: Product = double

    @property
    def size(self) -> int:
        """Variables of the moments."""
        return len(self.used) if self.classes else len(self.joint)

    @property
    def joint(self) -> list[int]:
        """Variables that enter the sample: used bands, then targets. The moments leave classes
        out."""
        return [*self.used, *range(self.n_bands, self.n_bands + self.n_targets)]


@dataclass
class Tally:
    """What one pass over one scene gathered.

    ``strata``: moments of [used bands, targets] by block number and stratum: the class of the
    pixels, 0 where there are no classes, or :data:`NOISE` for moments of the noise. ``invalid``:
    pixels not used, by reason. ``high``: maxima of [used bands, targets] over the used pixels.
    ``size``: variables of the moments, the last ``slopes`` of them slopes."""

    census: Census
    pixels: Pixels
    high: Floats
    used: int = 0
    invalid: dict[str, int] = field(
        default_factory=lambda: {"band missing": 0, "target missing": 0}
    )
    strata: dict[tuple[int, int], Moments] = field(default_factory=dict)
    size: int = 0
    slopes: int = 0

    @classmethod
    def zero(cls, question: Question) -> Tally:
        """The tally of no pixels."""
        size = len(question.joint)
        return cls(
            Census.zero(question.n_bands + question.n_targets),
            Pixels.zero(question.sample, size),
            np.full(size, -np.inf),
            size=question.size,
            slopes=question.slopes,
        )

    @property
    def blocks(self) -> dict[int, Moments]:
        """Moments of all pixels of each block: its strata added in order of their numbers, without
        the noise."""
        found: dict[int, Moments] = {}
        for block, stratum in sorted(self.strata):
            if stratum != NOISE:
                part = self.strata[block, stratum]
                found[block] = found[block] + part if block in found else part
        return found

    def total(self) -> Moments:
        """The moments of the whole scene: blocks added in order of their numbers."""
        return total(self.blocks.values(), self.size)

    def by_stratum(self) -> dict[int, Moments]:
        """The moments of the whole scene for each stratum that has pixels, the noise too."""
        found: dict[int, Moments] = {}
        for key in sorted(self.strata):
            found[key[1]] = (
                found[key[1]] + self.strata[key] if key[1] in found else self.strata[key]
            )
        return {stratum: moments for stratum, moments in found.items() if moments.count}

    def count(self, other: Tally) -> None:
        """Add what does not depend on order, but for the sample."""
        self.census += other.census
        self.high = np.maximum(self.high, other.high)
        self.used += other.used
        for reason, n in other.invalid.items():
            self.invalid[reason] = self.invalid.get(reason, 0) + n

    @classmethod
    def joined(cls, parts: Sequence[Tally], sample: int) -> Tally:
        """Of parts of one scene that share no block: what one pass over all of them would have
        found, to the bit."""
        whole = parts[0]
        for other in parts[1:]:
            whole.count(other)
            whole.strata.update(other.strata)
        whole.strata = dict(sorted(whole.strata.items()))
        whole.pixels = merged([p.pixels for p in parts], sample, len(whole.high))
        return whole


Part = tuple[int, int, int, Moments]
"""Block, column of stacks, stratum, and the moments there."""


def _tally_window(
    source: Source, window: Window, question: Question, bound: int
) -> tuple[Tally, list[Part]]:
    """Gather one window; the moments come back as parts from top to bottom."""
    out = {} if question.where is None else question.where.excluded(window)
    # A window of which no pixel counts is not read.
    patch = None if sum(int(o.sum()) for o in out.values()) == window.size else source.read(window)
    tally = Tally.zero(question)
    parts, drawn = [], []
    for piece in pieces(window, question.grid):
        found: dict[int, Sums] = {}
        for cell in cells(piece.window):
            here = cell.within(window)
            inside = _count_excluded(
                {reason: o[here].ravel() for reason, o in out.items()}, cell, tally
            )
            if patch is None or not inside.any():
                continue
            drawn.append(
                _tally_cell(patch.cell(*here), inside, cell, question, bound, tally, found)
            )
            bound = _tightened(bound, drawn, question.sample)
        parts += [
            (piece.block, piece.column, stratum, found[stratum].moments())
            for stratum in sorted(found)
        ]
        if not found and not question.classes and not question.random_parts:
            # A block in which no pixel counts is there, with nothing in it.
            parts.append((piece.block, piece.column, 0, Moments.zero(question.size)))
    tally.pixels = merged(drawn, question.sample, len(question.joint))
    return tally, parts


def _tightened(bound: int, drawn: list[Pixels], capacity: int) -> int:
    """The largest hash that can still enter the sample, after these pixels of the window."""
    if not capacity or sum(len(p) for p in drawn) <= capacity:
        return bound
    key = np.concatenate([p.key for p in drawn])
    return min(bound, int(np.partition(key, capacity - 1)[capacity - 1]))


def _count_excluded(
    out: Mapping[str, NDArray[np.bool_]], cell: Window, tally: Tally
) -> NDArray[np.bool_]:
    """Count the pixels of a cell that do not count; (n,) True for the others."""
    inside = np.ones(cell.size, dtype=bool)
    for reason, excluded in out.items():
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
    lacking = "not labelled" if question.classes else "target missing"
    if finite is not None and question.slopes:
        sloped = np.logical_and.reduce(finite[-question.slopes :], axis=0)
        _count(tally, "neighbour missing", bands_ok & ~sloped)
        bands_ok = bands_ok & sloped
    _count(tally, lacking, bands_ok & ~ok)
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
            joint, part_of(_keys(places, cell, question)[0], question.random_parts)
        )
    else:
        strata[0] = joint
    for stratum, some in strata.items():
        if stratum not in found:
            found[stratum] = Sums.near(some)
        found[stratum].use_up(some, question.product)
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
    known = np.unique(numbers)
    if len(known) > MOST_STRATA:
        raise InputError(
            "labels hold too many classes",
            got=f"{len(known)} in one part of the scene",
            expected=f"{MOST_STRATA} or fewer",
            remedy="Leave a fill value out with --unlabelled.",
        )
    return {int(c): np.ascontiguousarray(z[:, numbers == c]) for c in known}


def part_of(key: Keys, parts: int) -> Counts:
    """(n,) the random part of pixels, from their hashes: by other bits than those that order the
    sample."""
    numbers: Counts = ((key * np.uint64(0x9E3779B97F4A7C15)) % np.uint64(parts)).astype(np.int64)
    return numbers


def differences(z: Floats, ok: NDArray[np.bool_], shape: tuple[int, int]) -> Floats:
    """(D, m) differences of neighbours along rows and columns, divided by √2: where neighbouring
    pixels see the same ground, their covariance is that of the noise (the shift difference of Green
    et al., IEEE Transactions on Geoscience and Remote Sensing 26, 1988).

    Neighbours are taken within one cell of the scene's grid, both valid, so that windows do not
    matter.

    Parameters
    ----------
    z : (D, n) of a cell, row by row. ok : (n,) pixels that count.
    """
    image, valid = z.reshape(len(z), *shape), ok.reshape(shape)
    across = (image[:, :, 1:] - image[:, :, :-1])[:, valid[:, 1:] & valid[:, :-1]]
    down = (image[:, 1:] - image[:, :-1])[:, valid[1:] & valid[:-1]]
    both: Floats = np.concatenate([across, down], axis=1) / np.sqrt(2)
    return both


def _draw(
    joint: Floats, places: NDArray[np.intp], cell: Window, question: Question, bound: int
) -> Pixels:
    """The pixels of a cell whose hash is at most the bound: no others can enter the sample any
    more."""
    if not question.sample:
        return Pixels.zero(0, len(joint))
    key, row, col = _keys(places, cell, question)
    near = np.flatnonzero(key <= np.uint64(bound))
    place = np.stack([np.full(len(near), question.scene), row[near], col[near]], axis=1).astype(
        np.int64
    )
    return Pixels.of(question.sample, key[near], place, joint[:, near].T)


def _keys(
    places: NDArray[np.intp], cell: Window, question: Question
) -> tuple[Keys, NDArray[np.intp], NDArray[np.intp]]:
    """Hash, row and column of pixels of a cell."""
    row, col = cell.row + places // cell.cols, cell.col + places % cell.cols
    return keys(question.seed, question.scene, row, col), row, col


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

    The bits of the result do not depend on the windows or threads: moments add up from cell to
    stack, down each column of stacks, then from column to column of a block, always in that order.
    Windows must come row by row."""
    tally = Tally.zero(question)
    columns: dict[tuple[int, int, int], Moments] = {}

    def work(window: Window) -> tuple[Tally, list[Part]]:
        return _tally_window(source, window, question, tally.pixels.bound)

    waiting: list[Pixels] = []
    for window, (counts, parts) in each_window(
        windows, work, threads=threads, progress=progress, label=label
    ):
        tally.strata.update(_finished(columns, question, window.row))
        tally.count(counts)
        waiting.append(counts.pixels)
        if sum(map(len, waiting)) >= question.sample:
            tally.pixels = merged([tally.pixels, *waiting], question.sample, len(question.joint))
            waiting = []
        for block, column, stratum, moments in parts:
            before = columns.get((block, stratum, column))
            columns[block, stratum, column] = moments if before is None else before + moments
    tally.strata.update(_finished(columns, question, question.grid.row_edges[-1]))
    tally.pixels = merged([tally.pixels, *waiting], question.sample, len(question.joint))
    return tally


def _finished(
    columns: dict[tuple[int, int, int], Moments], question: Question, row: int
) -> Iterator[tuple[tuple[int, int], Moments]]:
    """Take the blocks out that end above a row, the columns of each stratum added from left to
    right."""
    n_cols = len(question.grid.col_edges) - 1
    ended = sorted(
        {(b, s) for b, s, _ in columns if question.grid.row_edges[b // n_cols + 1] <= row}
    )
    for block, stratum in ended:
        mine = sorted(c for b, s, c in columns if (b, s) == (block, stratum))
        size = len(question.used) if stratum == NOISE else question.size
        yield (block, stratum), total((columns.pop((block, stratum, c)) for c in mine), size)
