"""Held out: the pixels of a sample that early stopping watches: whole blocks, as neighbours are too alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bandfuse.streaming.windows import BlockGrid

SHARE = 5
"""One block in this many is held out."""


def block_numbers(place: NDArray[np.int64], grids: Sequence[BlockGrid], first: int = 0) -> NDArray[np.int64]:
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
    """(N,) true in a fifth, chosen by the seed, of the blocks that hold pixels; all false where that is only one."""
    number = block_numbers(place, grids)
    blocks = np.unique(number)
    count = max(1, round(len(blocks) / SHARE)) if len(blocks) > 1 else 0
    chosen = np.random.default_rng(seed).permutation(blocks)[:count]
    held: NDArray[np.bool_] = np.isin(number, chosen)
    return held
