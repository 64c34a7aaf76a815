"""Stored moments: what the pass over a scene has left in a file. Facts are known at once; blocks
and pixels are opened when they are needed, one scene after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Concatenate, ParamSpec

import numpy as np

from bandfuse.moments.sample import Pixels
from bandfuse.survey.momentsfile import each_scene, one_scene
from bandfuse.survey.scene_moments import SceneMoments

P = ParamSpec("P")


@dataclass(frozen=True, eq=False)
class StoredMoments:
    """The moments of one scene.

    ``facts``: all but the blocks, the sample and the moments of the look, which are empty;
    ``noise``: whether differences of neighbours are among the blocks; ``drawn``: pixels of the
    sample. ``whole``: opens all."""

    facts: SceneMoments
    noise: bool
    drawn: int
    whole: Callable[[], SceneMoments]

    @classmethod
    def of(cls, every: SceneMoments, whole: Callable[[], SceneMoments]) -> StoredMoments:
        """Of moments that ``whole`` opens again."""
        tally, look = every.tally, every.look
        none = Pixels.zero(tally.pixels.capacity, len(tally.high))
        wanted = len(every.wanted)
        facts = replace(
            every,
            tally=replace(tally, strata={}, pixels=none),
            look=replace(look.served, sample=np.empty((wanted, 0))),
        )
        return cls(facts, every.noise, len(tally.pixels), whole)

    def changed(
        self,
        change: Callable[Concatenate[SceneMoments, P], SceneMoments],
        *args: P.args,
        **more: P.kwargs,
    ) -> StoredMoments:
        """With a change, which is made again when all is opened."""
        whole = self.whole
        return replace(
            self,
            facts=change(self.facts, *args, **more),
            whole=lambda: change(whole(), *args, **more),
        )


def stored_moments(path: str, *, held: bool) -> Iterator[StoredMoments]:
    """The scenes of a file, each of which is read once to see that nothing is damaged. ``held``:
    all of it stays in memory.

    Raises
    ------
    InputError : as :func:`bandfuse.survey.momentsfile.read_moments`.
    """
    for number, scene in enumerate(each_scene(path)):
        again = partial(_itself, scene) if held else partial(one_scene, path, number)
        yield StoredMoments.of(scene, again)


def _itself(scene: SceneMoments) -> SceneMoments:
    return scene
