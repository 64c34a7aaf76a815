"""Fewest: moments of which no number is of fewer pixels than a stated number, and which hold no
pixel as it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bandfuse.errors import InputError
from bandfuse.moments.moments import Moments
from bandfuse.moments.sample import Pixels
from bandfuse.moments.tally import Tally
from bandfuse.streaming.blocks import BlockGrid
from bandfuse.survey.scene_moments import SceneMoments
from bandfuse.survey.survey import BLOCKS_PER_SIDE

TOO_FEW = "of a class with too few pixels in a block (--least-pixels)"
"""Why pixels are left out of moments."""


def without_pixels(scene: SceneMoments) -> SceneMoments:
    """Without the sample, and without the pixels of the first look."""
    tally, look = scene.tally, scene.look
    none = Pixels.zero(0, len(tally.high))
    look = replace(look, sample=np.empty((len(scene.wanted), 0)))
    return replace(scene, tally=replace(tally, pixels=none), look=look)


def with_least(scene: SceneMoments, least: int) -> SceneMoments:
    """With the most blocks a side of which none has fewer pixels than ``least``; classes, and
    differences of neighbours, of which a block has fewer are left out of it.

    Raises
    ------
    InputError : the scene itself has fewer.
    """
    for per_side in range(BLOCKS_PER_SIDE, 0, -1):
        grid = scene.grid.coarser(per_side)
        tally = scene.tally.coarser(scene.grid, grid)
        if all(m.count == 0 or m.count >= least for m in tally.blocks.values()):
            return _of_blocks(without_pixels(scene), tally, grid, least)
    raise InputError(
        f"scene {scene.scene.key!r} has too few pixels",
        got=f"{scene.tally.used}",
        expected=f"at least {least} (--least-pixels)",
    )


def _of_blocks(scene: SceneMoments, tally: Tally, grid: BlockGrid, least: int) -> SceneMoments:
    kept = {key: m for key, m in tally.strata.items() if m.count == 0 or m.count >= least}
    used = sum(m.count for m in replace(tally, strata=kept).blocks.values())
    lost = tally.used - used
    invalid = tally.invalid | ({TOO_FEW: lost} if lost else {})
    small = replace(tally, strata=kept, used=used, invalid=invalid, pixels=scene.tally.pixels)
    look = scene.look
    if look.moments.count < least:
        look = replace(look, moments=Moments.zero(look.moments.size))
    return replace(scene, tally=small, grid=grid, look=look, least=least)
