"""Scoring: a sharpened cube beside the true one, and the interpolated one too, streamed.

A first pass has found which pixels count, and the largest true value of each band. The second sums
what the scores are made of, over squares of the pixels that count. Squares are grouped in tiles
that are always computed as a whole, so scores are the same to the bit for every number of threads
and every layout of the files."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bandfuse.progress import Progress
from bandfuse.results.sharpening import BANDFUSE, INTERPOLATION
from bandfuse.sharpening.pairs.ranges import Range, place_of
from bandfuse.sharpening.scores.scores import Sums, square_sums
from bandfuse.sharpening.scores.squares import SQUARE, square_grid
from bandfuse.sharpening.scores.ssim import SSIM_WINDOW
from bandfuse.sharpening.truth.beside import Beside, Seen, any_of
from bandfuse.spectral.bands import Floats
from bandfuse.streaming.blocks import BlockGrid
from bandfuse.streaming.budget import Effort
from bandfuse.streaming.stream import each_window
from bandfuse.streaming.windows import Window

TILE_BYTES = 12 * 2**20
"""One image of a tile takes so many bytes at most, or is one square."""

ROOM, COPIES = 400 * 2**20, 10
"""Bytes that tiles in work may take together, and how many images are held of each."""

PER_SIDE = 8
"""Blocks along each side, of whole squares, that standard errors are taken over."""


@dataclass(frozen=True, eq=False)
class Tile:
    """Whole squares that are scored at once: their ``grid`` begins at the row and column ``first``
    of the image; ``blocks``: of each square."""

    first: tuple[int, int]
    grid: BlockGrid
    blocks: tuple[int, ...]

    @property
    def window(self) -> Window:
        """Its pixels."""
        return Window(*self.first, self.grid.row_edges[-1], self.grid.col_edges[-1])


def tiles(rows: Range, cols: Range, bands: int) -> list[list[Tile]]:
    """The pixels that count, of so many bands, cut into rows of tiles."""
    grid = square_grid((rows.size, cols.size))
    numbers = np.array(grid.within(grid.coarser(PER_SIDE)))
    numbers = numbers.reshape(len(grid.row_edges) - 1, len(grid.col_edges) - 1)
    side = max(1, math.isqrt(TILE_BYTES // (8 * bands)) // SQUARE)
    out: list[list[Tile]] = []
    for row in range(0, numbers.shape[0], side):
        out.append([])
        for col in range(0, numbers.shape[1], side):
            down = grid.row_edges[row : row + side + 1]
            across = grid.col_edges[col : col + side + 1]
            edges = (tuple(e - some[0] for e in some) for some in (down, across))
            blocks = numbers[row : row + side, col : col + side].ravel().tolist()
            first = rows.start + down[0], cols.start + across[0]
            out[-1].append(Tile(first, BlockGrid(*edges), tuple(blocks)))
    return out


def block_scores(
    beside: Beside, found: Seen, stored: tuple[int, int], effort: Effort, progress: Progress
) -> dict[str, list[Sums]]:
    """The second pass: sums over each block that holds pixels, of the sharpened cube and, with a
    cube, of the interpolated one. ``stored``: rows and columns of the blocks of the files."""
    every = tiles(found.rows, found.cols, beside.bands)
    parts = {
        _hull([t.window for t in some]): some for some in _reads(every, beside, stored, effort)
    }
    passed = each_window(
        list(parts),
        lambda window: _scored(beside, parts[window], found.high),
        threads=max(1, min(effort.threads, ROOM // (COPIES * TILE_BYTES))),
        progress=progress,
        label="score",
    )
    total: dict[str, dict[int, Sums]] = {}
    for _, sums in passed:
        for name, block, one in sums:
            blocks = total.setdefault(name, {})
            blocks[block] = blocks[block] + one if block in blocks else one
    return {
        name: [blocks[block] for block in sorted(blocks) if blocks[block].pixels]
        for name, blocks in total.items()
    }


def _reads(
    every: Sequence[Sequence[Tile]], beside: Beside, stored: tuple[int, int], effort: Effort
) -> Iterator[list[Tile]]:
    """The tiles that are read at once: neighbours, about as many as lie in a stored block, as far
    as the memory allows."""
    first = every[0][0].window
    most = max(1, effort.window_bytes // (beside.source.bytes_per_pixel * first.size))
    strips = stored[1] >= beside.shape[1]
    side = 1 if strips else math.isqrt(most)
    down = max(1, min(side, -(-stored[0] // first.rows)))
    across = most if strips else max(1, min(side, -(-stored[1] // first.cols)))
    for row in range(0, len(every), down):
        for col in range(0, len(every[0]), across):
            yield [tile for some in every[row : row + down] for tile in some[col : col + across]]


def _scored(beside: Beside, some: Sequence[Tile], peak: Floats) -> list[tuple[str, int, Sums]]:
    """For every square of some tiles: the method, the number of its block, and its sums."""
    wide = [_wider(tile.window, SSIM_WINDOW // 2, beside.shape) for tile in some]
    around = _hull(wide)
    patch = beside.source.read(around)
    found = []
    for tile, window in zip(some, wide, strict=True):
        values = patch.cell(*window.within(around)).values()
        result, truth = beside.split(values.reshape(-1, window.rows, window.cols))
        for name, sums in _of_tile(beside, tile, window, result, truth, peak):
            found += [(name, block, one) for block, one in zip(tile.blocks, sums, strict=True)]
    return found


def _of_tile(
    beside: Beside, tile: Tile, wide: Window, result: Floats, truth: Floats, peak: Floats
) -> Iterator[tuple[str, list[Sums]]]:
    """The sums of the squares of a tile, of every method, from the pixels of a wider window."""
    out = any_of(beside.reasons(wide, result, truth).values(), wide)
    result[:, out] = truth[:, out] = np.nan
    first = tile.first[0] - wide.row, tile.first[1] - wide.col
    yield BANDFUSE, square_sums(result, truth, peak, first, tile.grid)
    if beside.pair is not None:
        plain = beside.pair.interpolated(*place_of(wide))
        plain[:, out] = np.nan
        yield INTERPOLATION, square_sums(plain, truth, peak, first, tile.grid)


def _hull(windows: Sequence[Window]) -> Window:
    """The smallest window that holds all of these."""
    row, col = min(w.row for w in windows), min(w.col for w in windows)
    bottom, right = max(w.row + w.rows for w in windows), max(w.col + w.cols for w in windows)
    return Window(row, col, bottom - row, right - col)


def _wider(window: Window, by: int, shape: tuple[int, int]) -> Window:
    """With so many more pixels on each side, as far as there are some."""
    row, col = max(window.row - by, 0), max(window.col - by, 0)
    bottom = min(window.row + window.rows + by, shape[0])
    right = min(window.col + window.cols + by, shape[1])
    return replace(window, row=row, col=col, rows=bottom - row, cols=right - col)
