"""Held out: each block of a scene one scale down, sharpened by what is learned from the others."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bandfuse.results.sharpening import BANDFUSE
from bandfuse.sharpening.gains.gains import Gains
from bandfuse.sharpening.gains.learn import gains_of
from bandfuse.sharpening.gains.sums import Pixels, per_side, pixels, summed
from bandfuse.sharpening.gains.tiles import Ground, ground, tile_on
from bandfuse.sharpening.pairs.pair import Pair
from bandfuse.sharpening.pairs.ranges import Place, Range
from bandfuse.sharpening.scores.baselines import METHODS, Method, View
from bandfuse.sharpening.scores.reduced import BLOCKS, Phase, Small
from bandfuse.spectral.bands import Floats
from bandfuse.streaming.blocks import blocks

CELLS, ROOM = 6, 64 * 2**20
"""Gains are learned from sums over so many cells along each side of a part; or over fewer, whose
sums take so many bytes."""


FEWEST_PIXELS = 8
"""Learning takes so many coarse pixels."""


@dataclass(frozen=True, eq=False)
class Block:
    """One block of one part: number of the part, rows and columns of its truth, and the coarse
    pixels within it. Their block numbers are those of cells, at most ``CELLS`` × ``CELLS`` in each
    part."""

    part: int
    place: Place
    pixels: Pixels


def blocks_of(smalls: Sequence[Small]) -> list[Block]:
    """Every block of every part, in order, those without a pixel too."""
    cells = cells_of(len(smalls), len(smalls[0].truth)) if smalls else CELLS
    return [
        Block(
            number,
            place,
            joined([_pixels(small, phase, place, number, cells) for phase in small.phases]),
        )
        for number, small in enumerate(smalls)
        for place in small.places
    ]


def cells_of(parts: int, bands: int) -> int:
    """Cells along each side of each of so many parts of a cube."""
    least = 1 if parts >= BLOCKS else 2
    return max(least, min(CELLS, int(math.sqrt(ROOM / 8 / parts) / (1 + bands))))


def _pixels(small: Small, phase: Phase, place: Place, part: int, cells: int) -> Pixels:
    """The coarse pixels in a place of a part, with the numbers of their cells."""
    rows, cols = phase.coarse(place)
    if not rows.size or not cols.size:
        one = pixels(phase.pair, Range(0, 1), Range(0, 1))
        values = (one.cube, one.sharp, one.missed, one.detail)
        return Pixels(one.block[:0], *(a[:, :0] for a in values))
    found = pixels(phase.pair, rows, cols)
    edges = blocks(phase.pair.geometry.coarse, per_side(len(found.cube)))
    axes = phase.pair.geometry.rows, phase.pair.geometry.cols
    numbers = np.divmod(found.block, len(edges.col_edges) - 1)
    cell = np.full(len(found.block), part)
    for axis, first, some, number, size in zip(
        axes, phase.first, (edges.row_edges, edges.col_edges), numbers, small.size, strict=True
    ):
        middle = (np.array(some[1:]) + np.array(some[:-1])) / 2 * axis.ratio + first
        at = np.minimum(middle[number] * cells // size, cells - 1)
        cell = cell * cells + at.astype(np.int64)
    return replace(found, block=cell)


def joined(every: Sequence[Pixels]) -> Pixels:
    """Pixels together."""
    names = ("cube", "sharp", "missed", "detail")
    values = (np.concatenate([getattr(p, name) for p in every], axis=1) for name in names)
    return Pixels(np.concatenate([p.block for p in every]), *values)


@dataclass(frozen=True, eq=False)
class Learned:
    """What was learned from some blocks: gains, and the baselines."""

    gains: Gains
    methods: Mapping[str, Method]


def learned(some: Sequence[Block], blur: float | None, *, force: bool, seed: int) -> Learned | None:
    """From these blocks; None if they hold too few pixels."""
    filled = [block for block in some if len(block.pixels.block)]
    if sum(len(block.pixels.block) for block in filled) < FEWEST_PIXELS:
        return None
    every = joined([block.pixels for block in filled])
    cells, labels = np.unique(every.block, return_inverse=True)
    sums = summed(replace(every, block=labels), len(cells))
    gains = gains_of(sums.known, blur, force=force, seed=seed)
    x, t = every.cube.T, every.sharp.T
    return Learned(gains, {name: method(x, t) for name, method in METHODS.items()})


def view_of(pair: Pair, rows: Range, cols: Range) -> View:
    """What baselines sharpen, of a range of fine pixels: NaN where cube or detail is missing."""
    detail = pair.detail(rows, cols)
    raised = np.where(detail.valid, pair.interpolated(rows, cols), np.nan)
    sharp = pair.read_sharp(rows, cols)
    return View(raised, sharp, sharp - detail.values)


def sharpened_all(
    pair: Pair, known: Learned, rows: Range, cols: Range, on: Ground | None = None
) -> dict[str, Floats]:
    """(B, n, m) of every method, bandfuse's first, where all of them exist. ``on``: a ground that
    holds the pixels, where there is one."""
    view = view_of(pair, rows, cols)
    one = tile_on(on or ground(pair, known.gains, rows, cols), pair, known.gains, rows, cols)
    own = np.concatenate(list(one.values()))
    own[~np.isfinite(view.raised)] = np.nan
    return {BANDFUSE: own} | {name: method(view) for name, method in known.methods.items()}


def held_out(
    smalls: Sequence[Small], every: Sequence[Block], *, force: bool = False, seed: int = 0
) -> Iterator[tuple[int, dict[str, Floats]]]:
    """For each part, by number, and each coarse grid on it: (B, h, w) of every method, where each
    block is sharpened by what was learned from the others; NaN where nothing could be learned."""
    blur = smalls[0].phases[0].pair.blur
    for number, small in enumerate(smalls):
        here = [k for k, block in enumerate(every) if block.part == number]
        known = {}
        for k in here:
            others = [block for i, block in enumerate(every) if i != k]
            known[k] = learned(others, blur, force=force, seed=seed)
        for phase in small.phases:
            made: dict[str, Floats] = {}
            for k in here:
                _fill(made, small, phase, every[k].place, known[k])
            yield number, made


def _fill(
    made: dict[str, Floats], small: Small, phase: Phase, place: Place, known: Learned | None
) -> None:
    """Put the pixels of one block into the image of every method."""
    rows, cols = phase.place(place)
    if known is None or not rows.size or not cols.size:
        return
    row, col = phase.first
    there = slice(row + rows.start, row + rows.stop), slice(col + cols.start, col + cols.stop)
    for name, values in sharpened_all(phase.pair, known, rows, cols).items():
        made.setdefault(name, np.full_like(small.truth, np.nan))[:, *there] = values
