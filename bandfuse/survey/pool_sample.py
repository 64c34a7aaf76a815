"""Pool sample: the pixels that the scenes of a pool keep of their samples, so that these fit a
fixed memory however many scenes there are."""

from __future__ import annotations

import numpy as np

from bandfuse.moments.tally import Tally

POOL_BYTES = 96 * 2**20
"""What the samples of all scenes of a pool may take: 5 000 pixels of each of 10 scenes with 230
variables."""

TIMES = 2
"""What is trained on is taken from the sample of all scenes, and from what a fold leaves of it: at
least so many times its pixels are kept."""

FEWEST = 64
"""Pixels that each scene keeps, where it has so many."""

SLACK = 1.25
"""More pixels than may stay, as a multiple of these, are thinned out at once."""


def pool_room(capacity: int, size: int) -> int:
    """Pixels of so many variables that the scenes of a pool keep together, where each drew at most
    ``capacity``."""
    return max(TIMES * capacity, POOL_BYTES // (8 * max(1, size)))


def pool_most(capacity: int, size: int, scenes: int) -> int:
    """Pixels that so many scenes hold at most while they come in."""
    return int(SLACK * pool_room(capacity, size)) + FEWEST * scenes


class PoolSample:
    """Thins the samples of scenes out as they come: of all pixels those with the smallest hashes
    stay, and the first :data:`FEWEST` of each scene. What stays does not depend on the order, and
    is all of them where they fit.

    ``whole``: every scene keeps all that it drew.
    """

    def __init__(self, *, whole: bool = False) -> None:
        self._whole, self._tallies, self._count = whole, list[Tally](), 0

    def add(self, tally: Tally) -> None:
        """Take a tally in, whose sample may become smaller now or later."""
        if self._whole or not len(tally.pixels):
            return
        self._tallies.append(tally)
        self._count += len(tally.pixels)
        if self._count > pool_most(*self._of_each, len(self._tallies)):
            self.settle()

    @property
    def _of_each(self) -> tuple[int, int]:
        pixels = self._tallies[0].pixels
        return pixels.capacity, pixels.store.shape[1]

    def settle(self) -> None:
        """Leave no more than may stay."""
        if not self._tallies or self._count <= (room := pool_room(*self._of_each)):
            return
        key = np.concatenate([tally.pixels.key for tally in self._tallies])
        bound = np.partition(key, room - 1)[room - 1]
        for tally in self._tallies:
            near = int(np.searchsorted(tally.pixels.key, bound, side="right"))
            tally.pixels = tally.pixels.first(max(near, FEWEST))
        self._count = sum(len(tally.pixels) for tally in self._tallies)
