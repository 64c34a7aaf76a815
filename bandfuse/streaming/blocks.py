"""Blocks: a raster cut into blocks, for folds and for the pixels that early stopping watches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from bandfuse.streaming.windows import CELL_COLS, STACK_ROWS, Window, cuts


@dataclass(frozen=True)
class BlockGrid:
    """The blocks of a scene: edges of rows and of columns, first 0, last the size of the scene."""

    row_edges: tuple[int, ...]
    col_edges: tuple[int, ...]

    @property
    def count(self) -> int:
        """Number of blocks."""
        return (len(self.row_edges) - 1) * (len(self.col_edges) - 1)

    def coarser(self, per_side: int) -> BlockGrid:
        """At most per_side × per_side blocks, each of whole blocks of this grid.

        >>> blocks((10, 3), 4).coarser(2)
        BlockGrid(row_edges=(0, 5, 10), col_edges=(0, 1, 3))
        """

        def fewer(edges: tuple[int, ...]) -> tuple[int, ...]:
            have = len(edges) - 1
            n = max(1, min(per_side, have))
            return tuple(edges[i * have // n] for i in range(n + 1))

        return BlockGrid(fewer(self.row_edges), fewer(self.col_edges))

    def within(self, coarse: BlockGrid) -> list[int]:
        """By number of a block, the number of the block of a coarser grid that holds it."""
        rows = np.searchsorted(coarse.row_edges, self.row_edges[:-1], side="right") - 1
        cols = np.searchsorted(coarse.col_edges, self.col_edges[:-1], side="right") - 1
        numbers = rows[:, None] * (len(coarse.col_edges) - 1) + cols[None, :]
        return [int(number) for number in numbers.ravel()]


def blocks(shape: tuple[int, int], per_side: int) -> BlockGrid:
    """Cut a scene into at most per_side × per_side nearly equal blocks.

    >>> blocks((10, 3), 4)
    BlockGrid(row_edges=(0, 2, 5, 7, 10), col_edges=(0, 1, 2, 3))
    """

    def edges(size: int) -> tuple[int, ...]:
        n = max(1, min(per_side, size))
        return tuple(i * size // n for i in range(n + 1))

    return BlockGrid(edges(shape[0]), edges(shape[1]))


@dataclass(frozen=True)
class Piece:
    """The part of one stack that lies in one block: ``block`` is the block's number, ``column`` the
    stack's column."""

    block: int
    column: int
    window: Window


def pieces(window: Window, grid: BlockGrid) -> Iterator[Piece]:
    """Cut a window at the edges of stacks and blocks, row by row."""
    n_cols = len(grid.col_edges) - 1
    for i, (top, bottom) in enumerate(pairwise(grid.row_edges)):
        for j, (left, right) in enumerate(pairwise(grid.col_edges)):
            r0, r1 = max(top, window.row), min(bottom, window.row + window.rows)
            c0, c1 = max(left, window.col), min(right, window.col + window.cols)
            if r0 >= r1 or c0 >= c1:
                continue
            for r, r2 in pairwise(cuts(r0, r1, STACK_ROWS)):
                for c, c2 in pairwise(cuts(c0, c1, CELL_COLS)):
                    yield Piece(i * n_cols + j, c // CELL_COLS, Window(r, c, r2 - r, c2 - c))


SHARE = 5
"""One block in this many is held out."""


def block_numbers(
    place: NDArray[np.int64], grids: Sequence[BlockGrid], first: int = 0
) -> NDArray[np.int64]:
    """(N,) number of the block of each pixel, counted on over the scenes.

    Parameters
    ----------
    place : (N, 3) scene, row and column.
    grids : the blocks of every scene, from scene number ``first`` on.
    """
    start = np.cumsum([0, *(g.count for g in grids)])
    number = np.zeros(len(place), dtype=np.int64)
    for scene, grid in enumerate(grids):
        here = place[:, 0] == scene + first
        row = np.searchsorted(grid.row_edges, place[here, 1], side="right") - 1
        col = np.searchsorted(grid.col_edges, place[here, 2], side="right") - 1
        number[here] = start[scene] + row * (len(grid.col_edges) - 1) + col
    return number


def held_out(place: NDArray[np.int64], grids: Sequence[BlockGrid], seed: int) -> NDArray[np.bool_]:
    """(N,) true in a fifth, chosen by the seed, of the blocks that hold pixels; all false where
    that is only one."""
    number = block_numbers(place, grids)
    blocks = np.unique(number)
    count = max(1, round(len(blocks) / SHARE)) if len(blocks) > 1 else 0
    chosen = np.random.default_rng(seed).permutation(blocks)[:count]
    held: NDArray[np.bool_] = np.isin(number, chosen)
    return held
