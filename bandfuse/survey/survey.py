"""Survey: what the pass over all scenes of a training leaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from bandfuse.device import Place
from bandfuse.moments.moments import Moments, total
from bandfuse.moments.sample import Pixels, merged
from bandfuse.moments.slopes import WithoutSlopes
from bandfuse.moments.tally import NOISE, Tally, part_of
from bandfuse.scenes.scene import Scene
from bandfuse.solve.design import Design
from bandfuse.spectral.bands import Bands, Floats
from bandfuse.spectral.value_units import Values
from bandfuse.streaming.blocks import BlockGrid, block_numbers, blocks

BLOCKS_PER_SIDE = 8
"""A single scene is cut into at most 8 × 8 blocks; several scenes share this number."""

BLOCK_BYTES = 96 * 2**20
"""What the moments of all blocks may take: those of 430 bands in 8 × 8 blocks."""

FEWEST_PER_SIDE = 2
"""A single scene has 2 × 2 blocks at least, so that some can be held out."""

CLASS_BLOCKS_PER_SIDE = 5
"""The same where every block has moments for each class."""

CLASS_BYTES = 3 * BLOCK_BYTES
"""What the moments of all classes in all blocks may take: those of 224 bands and 30 classes in
5 × 5 blocks."""


WHOLE = -2
"""The number of a part that is a whole scene."""


@dataclass(frozen=True, eq=False)
class Block:
    """One part of the pixels, a block, a whole scene or a random part: its scene and number, the
    moments of [used bands, outputs' targets, slopes], and some of its ``pixels`` with ``variables``
    of theirs. A random part is of all scenes (scene −1)."""

    scene: int
    number: int
    moments: Moments
    pixels: Pixels
    variables: Sequence[int]

    @property
    def sample(self) -> Floats:
        """(n, D) of the pixels; a copy."""
        found: Floats = self.pixels.values[:, self.variables]
        return found


@dataclass(frozen=True, eq=False)
class Survey:
    """What the pass found, over all scenes.

    ``bands``: the inputs with every reason against a band. ``scenes``: moments of [used bands,
    targets] per scene. ``grids``: how each scene was cut into blocks. ``random_parts``: how many
    parts of random pixels stand in their place where pixels are held out; 0 for none.
    ``whole_scenes``: scenes are held out as wholes. ``precision`` of the products, "auto" where
    scenes differ. ``seen``: the values of the inputs; ``looked``: (B, n) some pixels that the
    first look saw, NaN where missing. ``class_names``: by number, where the labels have names.
    ``slopes``: how many variables of the moments and samples, after the targets, are slopes."""

    bands: Bands
    design: Design
    scenes: list[Moments]
    tallies: list[Tally]
    grids: list[BlockGrid]
    messages: tuple[str, ...]
    random_parts: int = 0
    whole_scenes: bool = False
    precision: str = "float64"
    seen: Values | None = None
    looked: Floats = field(default_factory=lambda: np.empty((0, 0)))
    class_names: Mapping[int, str] = field(default_factory=dict)
    slopes: int = 0

    @cached_property
    def classes(self) -> dict[int, Moments]:
        """Moments of the used bands for each class, over all scenes, in order of the classes'
        numbers."""
        found = [t.by_stratum() for t in self.tallies]
        numbers = sorted({s for strata in found for s in strata if s != NOISE})
        size = len(self.design.used)
        return {n: total((strata[n] for strata in found if n in strata), size) for n in numbers}

    def class_name(self, number: int) -> str:
        """What a class is called: its number where the labels have no names."""
        return self.class_names.get(number, str(number))

    @cached_property
    def noise(self) -> Moments:
        """Moments of the noise of the used bands, over all scenes."""
        found = [t.by_stratum() for t in self.tallies]
        return total((strata[NOISE] for strata in found if NOISE in strata), len(self.design.used))

    @property
    def order(self) -> list[int]:
        """Of the variables [used bands, targets]: the bands, then the target of each output."""
        n = len(self.design.used)
        return [*range(n), *(n + t for t in self.design.targets)]

    @property
    def sloped(self) -> list[int]:
        """The same, and the slopes after them."""
        size = self.scenes[0].size
        return [*self.order, *range(size - self.slopes, size)]

    @cached_property
    def without_slopes(self) -> WithoutSlopes:
        """What takes out of bands and targets what the slopes explain of them."""
        return WithoutSlopes.of(self.pooled.take(self.sloped), len(self.order))

    def joint(self, moments: Moments) -> Moments:
        """Of the bands and the outputs' targets, from moments of all variables; without what slopes
        explain, where there are some."""
        if not self.slopes:
            return moments.take(self.order)
        wide = moments.take(self.sloped)
        return WithoutSlopes.of(wide, len(self.order)).moments(wide)

    def blocks(self) -> list[Block]:
        """The blocks with pixels, scene by scene, row by row."""
        found = []
        for scene, (tally, grid) in enumerate(zip(self.tallies, self.grids, strict=True)):
            scored = tally.pixels.scored
            of_pixel = block_numbers(scored.place, [grid], first=scene)
            for number, moments in tally.blocks.items():
                if moments.count:
                    here = scored.where(of_pixel == number)
                    found.append(self._part(scene, number, moments, here))
        return found

    def parts(self) -> list[Block]:
        """What can be held out: the blocks, whole scenes, or the random parts."""
        if self.whole_scenes:
            return self._whole()
        if not self.random_parts:
            return self.blocks()
        pixels, found = self.pixels, []
        strata = [t.by_stratum() for t in self.tallies]
        of_pixel = part_of(pixels.key, self.random_parts)
        for number in range(self.random_parts):
            some = [s[number] for s in strata if number in s]
            if some:
                moments = total(some, some[0].size)
                found.append(self._part(-1, number, moments, pixels.where(of_pixel == number)))
        return found

    def _whole(self) -> list[Block]:
        """Each scene with pixels, as one part."""
        found = []
        for scene, (moments, tally) in enumerate(zip(self.scenes, self.tallies, strict=True)):
            if moments.count:
                found.append(self._part(scene, WHOLE, moments, tally.pixels.scored))
        return found

    def _part(self, scene: int, number: int, moments: Moments, pixels: Pixels) -> Block:
        return Block(scene, number, moments.take(self.sloped), pixels, self.sloped)

    def within(self, places: Sequence[tuple[int, int]]) -> Survey:
        """What the pass found in these parts (scene, number) alone; extremes stay those of all
        pixels."""
        tallies, scenes = list[Tally](), list[Moments]()
        nothing = Moments.zero(self.scenes[0].size)
        for scene, (tally, grid) in enumerate(zip(self.tallies, self.grids, strict=True)):
            kept = [number for s, number in places if s in (scene, -1)]
            if WHOLE in kept:
                tallies.append(tally)
                scenes.append(self.scenes[scene])
                continue
            if self.random_parts:
                of_pixel, which = part_of(tally.pixels.key, self.random_parts), 1
            else:
                of_pixel, which = block_numbers(tally.pixels.place, [grid], first=scene), 0
            here = np.isin(of_pixel, kept)
            strata = {key: m for key, m in tally.strata.items() if key[which] in kept}
            used = sum(m.count for (_, stratum), m in strata.items() if stratum != NOISE)
            part = replace(tally, pixels=tally.pixels.where(here), strata=strata, used=used)
            tallies.append(part)
            whole = len(strata) == len(tally.strata)
            scenes.append(self.scenes[scene] if whole else part.total() if strata else nothing)
        return replace(self, tallies=tallies, scenes=scenes)

    @property
    def places(self) -> tuple[Place, ...]:
        """Where the moments were computed, each place once."""
        return tuple(dict.fromkeys(place for tally in self.tallies for place in tally.places))

    @cached_property
    def pooled(self) -> Moments:
        """Moments of all scenes together."""
        return total(self.scenes, self.scenes[0].size)

    @cached_property
    def high(self) -> Floats:
        """Maxima of [used bands, targets] over the used pixels."""
        result: Floats = np.max([t.high for t in self.tallies], axis=0)
        return result

    @cached_property
    def pixels(self) -> Pixels:
        """The sample of all scenes together that scores rest on."""
        return _pooled([tally.pixels.scored for tally in self.tallies]).scored

    @property
    def trained_on(self) -> Pixels:
        """The sample of all scenes together, as many pixels as were asked for."""
        return _pooled([tally.pixels for tally in self.tallies])


def _pooled(every: Sequence[Pixels]) -> Pixels:
    """The sample of several scenes."""
    first = every[0]
    return first if len(every) == 1 else merged(every, first.capacity, first.store.shape[1])


def fine_grid(scene: Scene) -> BlockGrid:
    """The blocks that the pass over a scene gathers, however many scenes there are: fewer, if the
    moments of many bands would take more than :data:`BLOCK_BYTES`, or those of many bands and
    classes more than :data:`CLASS_BYTES`."""
    return blocks(scene.shape, _per_side(scene))


def _per_side(scene: Scene) -> int:
    each = 8 * (int(scene.bands.good.sum()) + scene.answers) ** 2
    most, count = BLOCKS_PER_SIDE, BLOCK_BYTES / each
    if scene.labels is not None:
        most, known = CLASS_BLOCKS_PER_SIDE, max(1, scene.labels.known)
        count = min(count, CLASS_BYTES / each / known)
    return min(most, max(FEWEST_PER_SIDE, int(count**0.5)))


def block_grid(scene: Scene, n_scenes: int, fine: BlockGrid | None = None) -> BlockGrid:
    """The blocks of one of so many scenes, each of whole blocks of the ``fine`` grid, so that a
    scene adds up to the same bits alone and beside others."""
    grid = fine_grid(scene) if fine is None else fine
    return grid.coarser(max(1, int(_per_side(scene) / n_scenes**0.5)))
