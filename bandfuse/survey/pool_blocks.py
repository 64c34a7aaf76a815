"""Pool blocks: neighbouring scenes of a pool share one block where the moments of all blocks would
take too much memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from bandfuse.moments.moments import Moments
from bandfuse.moments.sample import Pixels
from bandfuse.moments.tally import Tally
from bandfuse.streaming.blocks import BlockGrid
from bandfuse.survey.survey import BLOCK_BYTES

POOL_BYTES = 3 * BLOCK_BYTES // 2
"""What the moments of all blocks of a pool may take: those of 350 scenes with 230 variables."""

FEWEST = 10
"""Shared blocks of a pool at least, so that some can be held out."""

EVERYWHERE = BlockGrid((0, 2**62), (0, 2**62))
"""One block that holds all pixels of a scene, and of its neighbours."""


class PoolBlocks:
    """Takes the tallies of so many scenes in one after the other. Once their moments take too much,
    the moments and samples of 2, 4, 8 … scenes in turn become one block, of the first of them.

    ``apart``: every scene needs its own."""

    def __init__(self, scenes: int, *, apart: bool) -> None:
        self._most = 1 if apart else max(1, scenes // FEWEST)
        self._tallies: list[Tally] = []
        self.each = 1

    def add(self, tally: Tally) -> None:
        """Take the tally of the next scene in; it may lose its moments to another, or get some."""
        self._tallies.append(tally)
        if self.each > 1:
            self._share((len(self._tallies) - 1) // self.each * self.each)
        while 2 * self.each <= self._most and sum(map(_size, self._tallies)) > POOL_BYTES:
            self.each *= 2
            for first in range(0, len(self._tallies), self.each):
                self._share(first)

    def _share(self, first: int) -> None:
        """Give a scene the moments and samples of those that share its block."""
        _share(self._tallies[first : first + self.each], first)

    def grid(self, own: BlockGrid) -> BlockGrid:
        """The blocks of a scene, of which these are its own."""
        return own if self.each == 1 else EVERYWHERE

    @property
    def messages(self) -> list[str]:
        """What a user should know."""
        if self.each == 1:
            return []
        return [
            f"{self.each} scenes at a time share a block, as the moments of all scenes would take "
            f"more than {POOL_BYTES // 2**20} MB: such neighbours are held out together"
        ]


def _size(tally: Tally) -> int:
    return sum(moments.scatter.nbytes for moments in tally.strata.values())


def _share(tallies: Sequence[Tally], number: int) -> None:
    """Give the first one, of a scene with this number, the moments and samples of all."""
    first, *others = tallies
    known = [moments for tally in tallies for moments in tally.strata.values()]
    if not all(np.isfinite(moments.scatter).all() for moments in known):
        return  # The scene that overflows is to be named.
    strata: dict[tuple[int, int], Moments] = {}
    for tally in tallies:
        for stratum, moments in tally.by_stratum().items():
            key = (0, stratum)
            strata[key] = strata[key] + moments if key in strata else moments
    first.strata = dict(sorted(strata.items()))
    samples = [tally.pixels for tally in tallies]
    if any(map(len, samples[1:])):
        first.pixels = _of_scene(samples, number)
    for tally in others:
        tally.strata, tally.pixels = {}, tally.pixels.first(0)


def _of_scene(samples: Sequence[Pixels], number: int) -> Pixels:
    """All pixels of some samples as those of one scene."""
    key, place, rows = (
        np.concatenate([getattr(sample, name) for sample in samples])
        for name in ("key", "place", "rows")
    )
    place[:, 0] = number
    return replace(Pixels.of(len(key), key, place, rows), capacity=samples[0].capacity)
