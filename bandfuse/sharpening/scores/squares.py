"""Squares: an image cut into squares, and which of them hold enough valid pixels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise, product

import numpy as np
from numpy.typing import NDArray

from bandfuse.spectral.bands import Floats
from bandfuse.streaming.blocks import BlockGrid

SQUARE = 32
"""Pixels along the side of the squares of Q and Q2n."""

LEAST_VALID, FEWEST = 0.5, 16
"""A square counts if this share of its pixels is valid, and so many of them."""

Flags = NDArray[np.bool_]


def parts_of_grid(grid: BlockGrid) -> Iterator[tuple[slice, slice]]:
    """Rows and columns of every block of a grid."""
    for (top, bottom), (left, right) in product(pairwise(grid.row_edges), pairwise(grid.col_edges)):
        yield slice(top, bottom), slice(left, right)


def squares_of(shape: tuple[int, int], side: float) -> list[tuple[slice, slice]]:
    """An image cut into nearly equal squares of about ``side`` pixels; one if it is smaller.

    >>> squares_of((64, 20), 32)
    [(slice(0, 32, None), slice(0, 20, None)), (slice(32, 64, None), slice(0, 20, None))]
    """
    return list(parts_of_grid(square_grid(shape, side)))


def square_grid(shape: tuple[int, int], side: float = SQUARE) -> BlockGrid:
    """The same as a grid."""
    counts = [max(1, round(n / side)) for n in shape]
    rows, cols = (
        tuple(i * n // k for i in range(k + 1)) for n, k in zip(shape, counts, strict=True)
    )
    return BlockGrid(rows, cols)


def squares_within(valid: Flags, side: float) -> list[tuple[slice, slice]]:
    """The squares of the rows and columns that hold valid pixels (H, W)."""
    rows, cols = (np.flatnonzero(valid.any(axis=axis)) for axis in (1, 0))
    if not rows.size:
        return []
    first, end = (rows[0], cols[0]), (rows[-1] + 1, cols[-1] + 1)
    some = squares_of((int(end[0] - first[0]), int(end[1] - first[1])), side)
    return [(moved(r, int(first[0])), moved(c, int(first[1]))) for r, c in some]


def moved(some: slice, by: int) -> slice:
    """So many pixels farther on."""
    return slice(some.start + by, some.stop + by)


def enough(valid: Flags, part: tuple[slice, slice]) -> bool:
    """Whether a square has enough valid pixels."""
    here = valid[part]
    return bool(here.sum() >= max(FEWEST, LEAST_VALID * here.size))


def columns(
    images: Sequence[Floats], valid: Flags, part: tuple[slice, slice]
) -> tuple[Floats, ...]:
    """(B, n) valid pixels of a square, of several images."""
    return tuple(image[(slice(None), *part)][:, valid[part]] for image in images)
