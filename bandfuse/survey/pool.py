"""Pool: keeps what the passes over many scenes leave within bounds, however many there are."""

from __future__ import annotations

from bandfuse.moments.tally import Tally
from bandfuse.streaming.blocks import BlockGrid
from bandfuse.survey.pool_blocks import PoolBlocks
from bandfuse.survey.pool_sample import PoolSample


class Pool:
    """Takes the tallies of so many scenes in, one after the other.

    ``own_blocks``, ``own_samples``: every scene needs its blocks, or all pixels that it drew."""

    def __init__(self, scenes: int, *, own_blocks: bool, own_samples: bool) -> None:
        self._blocks = PoolBlocks(scenes, apart=own_blocks)
        self._sample = PoolSample(whole=own_samples)

    def add(self, tally: Tally) -> None:
        """Take the tally of the next scene in; what it holds may become less, now or later."""
        self._sample.add(tally)
        self._blocks.add(tally)

    def settle(self) -> None:
        """Once all scenes are in."""
        self._sample.settle()

    def grid(self, own: BlockGrid) -> BlockGrid:
        """The blocks of a scene, of which these are its own."""
        return self._blocks.grid(own)

    @property
    def messages(self) -> list[str]:
        """What a user should know."""
        return self._blocks.messages
