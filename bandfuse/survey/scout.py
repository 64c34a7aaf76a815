"""Glance: what a few windows of each scene tell before any pass: the dead bands, and how the others vary together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bandfuse.spectral.bands import Bands, Floats
from bandfuse.errors import shorten
from bandfuse.moments.moments import Moments, total
from bandfuse.scenes.scene import Scene, common_reasons
from bandfuse.scenes.attempts import each
from bandfuse.streaming.budget import Effort
from bandfuse.survey.gather import Inquiry, Look, dead_of, scout


@dataclass(frozen=True, eq=False)
class Glance:
    """What was seen. ``bands``: the inputs, with a reason against those that look dead. ``covariance``: (B, B) over
    the pixels seen, zero for bands that are not good."""

    bands: Bands
    covariance: Floats


def glance(scenes: Sequence[Scene], effort: Effort, seed: int, *, skip: bool = False) -> Glance:
    """Look at a few stacks of each scene, chosen by the seed: the same for every memory and number of threads.

    Where every band looks dead, the windows tell nothing, and none is taken for dead.
    """
    flagged = scenes[0].bands.dropping({i: r for s in reversed(scenes) for i, r in enumerate(s.bands.reason) if r})
    wanted = [int(i) for i in np.flatnonzero(flagged.good)]

    def looks_at(wanted: Sequence[int]) -> list[Look]:
        keys, inquiry = [s.key for s in scenes], Inquiry(seed=seed, sample=0)
        return each(keys, scenes, lambda scene: scout(scene, wanted, effort, inquiry), skip=skip)

    looks = looks_at(wanted)
    dead = common_reasons(scenes, [dead_of(s.census, wanted) if s.census.seen else {} for s in looks])
    dead = {} if len(dead) == len(wanted) else dead
    alive = [p for p in wanted if p not in dead]
    if dead:
        looks = looks_at(alive)
    seen = total((s.moments for s in looks), len(alive))
    covariance = np.zeros((len(flagged), len(flagged)))
    covariance[np.ix_(alive, alive)] = _finite(seen)
    return Glance(flagged.dropping(dead), covariance)


def _finite(seen: Moments) -> Floats:
    """The covariance, zeros in the place of squares that overflowed."""
    return np.where(np.isfinite(seen.covariance), seen.covariance, 0.0)


def glance_messages(scene: Scene, seen: Glance) -> list[str]:
    """Which bands look dead, in words; the reasons that the files themselves give are left out."""
    before, after = scene.bands.reason, seen.bands.reason
    new = [f"{seen.bands.label(i)}: {after[i]}" for i in range(len(after)) if after[i] and not before[i]]
    return [f"{scene.key}: not used, by the look of a few windows: {shorten(new, 6)}"] if new else []
