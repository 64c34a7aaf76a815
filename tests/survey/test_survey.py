"""Blocks: fewer of them where their moments would take more memory than they may."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bandfuse.survey.survey import BLOCK_BYTES, CLASS_BYTES, block_grid


def sides(bands: int, classes: int | None, scenes: int = 1) -> int:
    """Blocks on a side of a large scene; ``classes`` that its labels tell of, None without."""
    labels = None if classes is None else SimpleNamespace(known=classes)
    scene: Any = SimpleNamespace(
        shape=(4096, 4096),
        bands=SimpleNamespace(good=np.ones(bands, dtype=bool)),
        answers=0,
        labels=labels,
    )
    grid = block_grid(scene, scenes)
    assert grid.row_edges == grid.col_edges
    return len(grid.row_edges) - 1


@pytest.mark.parametrize(
    ("bands", "classes", "side"),
    [(224, None, 8), (1000, None, 3), (4000, None, 2), (224, 0, 5), (224, 30, 5), (500, 16, 3)],
)
def test_moments_of_blocks_fit(bands: int, classes: int | None, side: int) -> None:
    assert sides(bands, classes) == side
    each, least = 8 * bands**2 * side**2, side == 2
    assert least or each <= BLOCK_BYTES
    assert least or not classes or each * classes <= CLASS_BYTES


def test_several_scenes_share_the_blocks() -> None:
    assert sides(224, None, scenes=4) == 4
    assert sides(224, 30, scenes=300) == 1
