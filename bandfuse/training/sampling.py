"""Sampling: how many pixels a training draws to train on, and the memory that they take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bandfuse.errors import ConfigError
from bandfuse.goals import TRAINED_ON
from bandfuse.moments.sample import kept_as
from bandfuse.results.training import PlannedSample
from bandfuse.scenes.scene import Scene, target_bands
from bandfuse.streaming.budget import free_memory
from bandfuse.survey.pool_sample import pool_most

BESIDE = 64
"""Bytes of a pixel of the sample beside its values: its hash, its place and its turn."""


@dataclass(frozen=True)
class Sampling:
    """The sample of a training. ``asked``: pixels to train on, or all; ``memory``: the megabytes
    that were given, None for what is free; ``apart``: every scene trains on a sample of its own."""

    asked: int | str
    memory: int | None = None
    apart: bool = False

    def size(self, scenes: Sequence[Scene]) -> int:
        """Pixels that are drawn at most."""
        if self.asked == TRAINED_ON:
            return TRAINED_ON
        pixels = sum(scene.shape[0] * scene.shape[1] for scene in scenes)
        return pixels if isinstance(self.asked, str) else min(self.asked, pixels)

    def planned(self, scenes: Sequence[Scene]) -> PlannedSample:
        """The pixels, their type and their memory. Those of several scenes are put together from
        one sample of each.

        Raises
        ------
        ConfigError : a number of pixels was asked for that does not fit the memory.
        """
        first, pixels = scenes[0], self.size(scenes)
        target = 0 if first.target is None else len(target_bands(first.target))
        size = int(first.bands.good.sum()) + target
        kept = kept_as(pixels, size)
        each = size * kept().itemsize + BESIDE
        held = sum(min(pixels, s.shape[0] * s.shape[1]) for s in scenes)
        if not self.apart:
            held = min(held, pool_most(pixels, size, len(scenes)))
        most = held + (pixels if len(scenes) > 1 else 0)
        plan = PlannedSample(pixels=pixels, dtype=kept.__name__, megabytes=most * each / 2**20)
        if self.asked != TRAINED_ON:
            self._require(plan)
        return plan

    def _require(self, plan: PlannedSample) -> None:
        limit = free_memory() if self.memory is None else self.memory
        if plan.megabytes <= limit:
            return
        fits = max(1, int(plan.pixels * limit / plan.megabytes))
        more = "." if self.memory is None else ", or a larger --memory."
        raise ConfigError(
            f"a sample of {plan.pixels} pixels does not fit the memory",
            got=f"{plan.megabytes:.0f} MB in {plan.dtype}",
            expected=f"at most {limit} MB, {'free now' if self.memory is None else '--memory'}",
            remedy=f"Use --sample {fits}{more}",
        )
