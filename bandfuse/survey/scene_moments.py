"""Scene moments: all that the pass over one scene leaves. A training goes on from it, whether it
comes from pixels or from a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from bandfuse.errors import MismatchError, shorten
from bandfuse.moments.census import Census
from bandfuse.moments.moments import Moments
from bandfuse.moments.sample import Pixels, kept_as
from bandfuse.moments.tally import NOISE, Tally
from bandfuse.scenes.scene import Scene
from bandfuse.solve.design import Design
from bandfuse.spectral.value_units import Values
from bandfuse.streaming.blocks import BlockGrid
from bandfuse.survey.scout import Look
from bandfuse.survey.survey import block_grid


@dataclass(frozen=True, eq=False)
class SceneMoments:
    """What the pass over one scene leaves.

    ``wanted``: positions of the bands that were looked at and counted; ``used``: of those that
    entered the moments. ``look``: what a few windows tell of the wanted bands; its sample is empty
    where no pixel is to leave its institute. ``goals``: the values of the target in these windows;
    None where nobody asked. ``grid``: the blocks of the tally. ``precision`` of the products.
    ``remarks``: what was said of fill values. ``inputs``: size and SHA-256 of the files that were
    read, by path; empty where they are still to be summed. ``seed`` of the sample. ``least``:
    pixels of a block at least, 0 for any."""

    scene: Scene
    wanted: tuple[int, ...]
    used: tuple[int, ...]
    look: Look
    tally: Tally
    grid: BlockGrid
    precision: str
    goals: Values | None = None
    remarks: tuple[str, ...] = ()
    inputs: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    seed: int = 0
    least: int = 0

    @property
    def noise(self) -> bool:
        """Whether differences of neighbours were gathered."""
        return any(stratum == NOISE for _, stratum in self.tally.strata)

    @property
    def answers(self) -> int:
        """Variables beside the bands, but for slopes: bands of the target, or the class."""
        return len(self.tally.high) - len(self.used) - self.tally.slopes

    def of(
        self, wanted: Sequence[int], design: Design, *, number: int, scenes: int
    ) -> SceneMoments:
        """For a training of these bands, as scene ``number`` of so many: without the moments of the
        look, which have served.

        Raises
        ------
        MismatchError : a band was not gathered.
        """
        self._require(wanted)
        place = {p: i for i, p in enumerate(self.wanted)}
        here, n = [place[p] for p in wanted], len(self.wanted)
        beside = range(n, len(self.tally.census.valid))
        grid = block_grid(self.scene, scenes, self.grid)
        tally = self.tally.coarser(self.grid, grid)
        tally = replace(
            _of_bands(tally, self.used, design.used), census=tally.census.take([*here, *beside])
        )
        pixels = tally.pixels
        where = pixels.place.copy()
        where[:, 0] = number
        return replace(
            self,
            wanted=tuple(wanted),
            used=tuple(design.used),
            look=self.look.take(here).one_of(scenes).served,
            tally=replace(tally, pixels=replace(pixels, place=where)),
            grid=grid,
        )

    def census_of(self, wanted: Sequence[int]) -> Census:
        """The counts of some of the bands."""
        self._require(wanted)
        return self.tally.census.take([self.wanted.index(p) for p in wanted])

    def seen_of(self, wanted: Sequence[int]) -> Values:
        """The values of some of the bands."""
        self._require(wanted)
        return self.look.seen.take([self.wanted.index(p) for p in wanted])

    def _require(self, wanted: Sequence[int]) -> None:
        missing = [p for p in wanted if p not in set(self.wanted)]
        if missing:
            raise MismatchError(
                f"moments of scene {self.scene.key!r} do not hold all bands that are asked for",
                got=f"none of {shorten(self.scene.bands.label(p) for p in missing)}",
                remedy="Gather them again from a file that declares these bands good.",
            )

    def called(self, key: str) -> SceneMoments:
        """With another key of the scene."""
        return replace(self, scene=replace(self.scene, key=key))

    def in_classes_of(self, scene: Scene) -> SceneMoments:
        """As moments of this scene, whose labels may have other numbers for the same names."""
        ours, theirs = self.scene.labels, scene.labels
        if ours is None or theirs is None or ours.names == theirs.names:
            return replace(self, scene=scene)
        known = {name: number for number, name in theirs.names}
        new = {number: known[name] for number, name in ours.names}
        strata = {
            (block, s if s == NOISE else new[s]): m for (block, s), m in self.tally.strata.items()
        }
        rows = self.tally.pixels.rows.copy()
        rows[:, -1] = [new[int(number)] for number in rows[:, -1]]
        pixels = replace(self.tally.pixels, store=rows, at=None)
        tally = replace(self.tally, strata=dict(sorted(strata.items())), pixels=pixels)
        return replace(self, scene=scene, tally=tally)

    def with_sample(self, pixels: int) -> SceneMoments:
        """With a sample of at most so many pixels: those with the smallest hashes."""
        tally = self.tally
        return replace(self, tally=replace(tally, pixels=_first(tally.pixels, pixels)))

    def without_slopes(self) -> SceneMoments:
        """Without the slopes of the cube. The pixels stay those that have slopes."""
        slopes = self.tally.slopes
        if not slopes:
            return self
        size = len(self.tally.high) - slopes
        tally = _of_variables(self.tally, range(size), range(len(self.used)))
        census = tally.census.take(range(len(tally.census.valid) - slopes))
        scene = replace(self.scene, registered=False)
        return replace(self, scene=scene, tally=replace(tally, census=census, slopes=0))

    def without_answers(self) -> SceneMoments:
        """The bands alone: without target or classes. The pixels stay those that have them."""
        answers, bands = self.answers, range(len(self.used))
        tally = replace(self.tally, strata=self._without_classes())
        tally = _of_variables(tally, bands, bands)
        census = tally.census.take(range(len(self.wanted)))
        scene = replace(self.scene, target=None, labels=None)
        tally = replace(tally, census=census)
        return self if not answers else replace(self, scene=scene, tally=tally, goals=None)

    def _without_classes(self) -> dict[tuple[int, int], Moments]:
        """The strata, those of the classes of a block as one."""
        noise = {key: m for key, m in self.tally.strata.items() if key[1] == NOISE}
        return dict(sorted({**noise, **{(b, 0): m for b, m in self.tally.blocks.items()}}.items()))


def _of_bands(tally: Tally, gathered: Sequence[int], used: Sequence[int]) -> Tally:
    """With the moments and the sample of some of the bands that were gathered."""
    place = {p: i for i, p in enumerate(gathered)}
    bands = [place[p] for p in used]
    return _of_variables(tally, [*bands, *range(len(gathered), len(tally.high))], bands)


def _of_variables(tally: Tally, joint: Sequence[int], bands: Sequence[int]) -> Tally:
    """With some of the variables: ``joint`` of the sample, of which ``bands`` come first."""
    every = range(len(tally.high))
    if list(joint) == list(every):
        return tally
    own = [v for v in joint if v < tally.size]
    strata = {key: m.take(bands if key[1] == NOISE else own) for key, m in tally.strata.items()}
    pixels = tally.pixels
    rows = np.ascontiguousarray(pixels.rows[:, list(joint)])
    sample = replace(pixels, store=rows, at=None)
    high = tally.high[list(joint)]
    return replace(tally, strata=strata, pixels=sample, high=high, size=len(own))


def _first(pixels: Pixels, capacity: int) -> Pixels:
    """The pixels that a sample of another capacity would hold, in the type that it would have."""
    some = pixels.first(capacity)
    rows = some.rows
    kept: NDArray[np.floating] = rows.astype(kept_as(capacity, rows.shape[1]), copy=False)
    return Pixels(capacity, some.key, some.place, kept)
