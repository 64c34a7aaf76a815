"""Windows, cells, blocks: partitions of a scene, in integers."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
from helpers import windows_at_random
from hypothesis import given
from hypothesis import strategies as st

from bandfuse.streaming.blocks import BlockGrid, blocks, pieces
from bandfuse.streaming.windows import CELL_COLS, CELL_ROWS, STACK_ROWS, Window, cells, plan, tile

SHAPES = st.tuples(st.integers(1, 400), st.integers(1, 1100))


def cover(shape: tuple[int, int], windows: Iterable[Window]) -> np.ndarray:
    """How many of the windows hold each pixel."""
    count = np.zeros(shape, dtype=int)
    for w in windows:
        assert w.size > 0
        assert 0 <= w.row < w.row + w.rows <= shape[0]
        assert 0 <= w.col < w.col + w.cols <= shape[1]
        count[w.within(Window(0, 0, *shape))] += 1
    return count


def test_within_cuts_the_window_out_of_what_was_read() -> None:
    outer = np.arange(200).reshape(10, 20)
    read = Window(2, 5, 6, 12)
    part = Window(4, 9, 3, 2)
    data = outer[read.within(Window(0, 0, 10, 20))]
    assert np.array_equal(data[part.within(read)], outer[4:7, 9:11])
    assert part.size == 6


@given(SHAPES, st.integers(1, 300), st.integers(1, 500))
def test_tiles_cover_every_pixel_once_row_by_row(
    shape: tuple[int, int], rows: int, cols: int
) -> None:
    tiles = tile(shape, rows, cols)
    assert (cover(shape, tiles) == 1).all()
    assert list(tiles) == sorted(tiles)
    assert all(t.row % rows == 0 and t.col % cols == 0 for t in tiles)


@given(st.integers(0, 100), st.integers(0, 600), st.integers(1, 100), st.integers(1, 600))
def test_cells_are_the_scene_s_grid_cut_by_the_window(
    row: int, col: int, rows: int, cols: int
) -> None:
    window = Window(row, col, rows, cols)
    found = list(cells(window))
    inside = cover((row + rows, col + cols), found)
    assert (inside[row:, col:] == 1).all()
    assert inside.sum() == window.size
    for cell in found:
        # A cell never crosses a line of the grid of cells.
        assert cell.row // CELL_ROWS == (cell.row + cell.rows - 1) // CELL_ROWS
        assert cell.col // CELL_COLS == (cell.col + cell.cols - 1) // CELL_COLS


@given(SHAPES, st.integers(0, 2**32 - 1))
def test_cells_of_a_partition_are_the_cells_of_the_scene(shape: tuple[int, int], seed: int) -> None:
    whole = set(cells(Window(0, 0, *shape)))
    parts = [c for w in windows_at_random(shape, np.random.default_rng(seed)) for c in cells(w)]
    assert len(parts) == len(whole)
    assert set(parts) == whole


@given(
    SHAPES,
    st.tuples(st.integers(1, 600), st.integers(1, 1200)),
    st.integers(1, 4000),
    st.integers(1, 2**28),
)
def test_a_plan_is_a_partition_into_whole_stacks_within_the_memory(
    shape: tuple[int, int], stored: tuple[int, int], bytes_per_pixel: int, window_bytes: int
) -> None:
    windows = plan(shape, stored, bytes_per_pixel, window_bytes)
    assert (cover(shape, windows) == 1).all()
    assert list(windows) == sorted(windows)
    for w in windows:
        assert w.row % STACK_ROWS == 0
        assert w.col % CELL_COLS == 0
        assert w.rows % STACK_ROWS == 0 or w.row + w.rows == shape[0]
        assert w.cols % CELL_COLS == 0 or w.col + w.cols == shape[1]
        one_stack = w.rows <= STACK_ROWS and w.cols <= CELL_COLS
        assert one_stack or w.size * bytes_per_pixel <= window_bytes


def test_a_plan_reads_lines_in_full_width() -> None:
    windows = plan(
        (1000, 1000), stored=(1, 1000), bytes_per_pixel=100, window_bytes=64 * 1024 * 100
    )
    assert {w.cols for w in windows} == {1000}
    assert {w.rows for w in windows[:-1]} == {64}


def test_a_plan_takes_more_rows_where_memory_allows() -> None:
    windows = plan(
        (1000, 1000), stored=(1, 1000), bytes_per_pixel=100, window_bytes=3 * 64 * 1024 * 100
    )
    assert {w.rows for w in windows[:-1]} == {192}


def test_a_plan_reads_whole_tiles_side_by_side() -> None:
    windows = plan(
        (2048, 2048), stored=(512, 512), bytes_per_pixel=10, window_bytes=512 * 1100 * 10
    )
    assert {(w.rows, w.cols) for w in windows} == {(512, 1024)}


def test_a_plan_cuts_a_tile_that_does_not_fit() -> None:
    windows = plan(
        (2048, 2048), stored=(1024, 1024), bytes_per_pixel=1000, window_bytes=64 * 512 * 1000
    )
    assert {(w.rows, w.cols) for w in windows} == {(64, 512)}


@given(SHAPES, st.integers(1, 12))
def test_blocks_are_nearly_equal_and_none_is_empty(shape: tuple[int, int], per_side: int) -> None:
    grid = blocks(shape, per_side)
    for edges, size in ((grid.row_edges, shape[0]), (grid.col_edges, shape[1])):
        steps = np.diff(edges)
        assert edges[0] == 0
        assert edges[-1] == size
        assert len(steps) == min(per_side, size)
        assert steps.min() >= 1
        assert steps.max() - steps.min() <= 1
    assert grid.count == min(per_side, shape[0]) * min(per_side, shape[1])


@given(SHAPES, st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_pieces_cover_a_window_once_and_stay_in_one_block_and_stack(
    shape: tuple[int, int], per_side: int, seed: int
) -> None:
    grid = blocks(shape, per_side)
    number = np.zeros(shape, dtype=int)
    edges = [(r, c) for r in range(len(grid.row_edges) - 1) for c in range(len(grid.col_edges) - 1)]
    for i, (r, c) in enumerate(edges):
        number[
            grid.row_edges[r] : grid.row_edges[r + 1], grid.col_edges[c] : grid.col_edges[c + 1]
        ] = i
    scene = Window(0, 0, *shape)
    every = [
        p for w in windows_at_random(shape, np.random.default_rng(seed)) for p in pieces(w, grid)
    ]
    assert (cover(shape, (p.window for p in every)) == 1).all()
    for p in every:
        assert (number[p.window.within(scene)] == p.block).all()
        assert (
            p.window.col // CELL_COLS == (p.window.col + p.window.cols - 1) // CELL_COLS == p.column
        )
        assert p.window.row // STACK_ROWS == (p.window.row + p.window.rows - 1) // STACK_ROWS
    # The pieces do not depend on the windows: this is why the bits of block moments do not either.
    assert sorted(p.window for p in every) == sorted(p.window for p in pieces(scene, grid))


@pytest.mark.parametrize(
    ("edges", "count"), [(((0, 5), (0, 3)), 1), (((0, 2, 5), (0, 1, 2, 3)), 6)]
)
def test_count_of_blocks(edges: tuple[tuple[int, ...], tuple[int, ...]], count: int) -> None:
    assert BlockGrid(*edges).count == count
