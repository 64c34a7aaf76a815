"""Scout: what a few windows of each scene tell before any pass: dead bands, and how the others vary
together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from bandfuse.errors import shorten
from bandfuse.moments.census import Census, look
from bandfuse.moments.moments import Moments, total
from bandfuse.moments.sample import thinly
from bandfuse.raster import opened_selection
from bandfuse.scenes.attempts import each
from bandfuse.scenes.scene import Scene
from bandfuse.spectral.bands import Bands, Floats
from bandfuse.spectral.value_units import Values
from bandfuse.streaming.budget import Effort
from bandfuse.streaming.stream import Patch, each_window
from bandfuse.streaming.windows import STACK_ROWS, Window, at_random, cells, tile
from bandfuse.survey.missing import common_reasons, dead_of, flagged_by_any

SCOUT_STACKS = 8
"""Stacks that are looked at to guess the dead bands."""

LOOKED_BYTES = 64 * 2**20
"""What the pixels may take that are kept of these looks at all scenes of a pool: all that are seen
of 18 scenes with 224 bands."""


@dataclass(frozen=True)
class Inquiry:
    """What a survey is to gather: a ``sample`` of so many pixels; with ``noise`` the moments of the
    noise too; the pixels dealt to so many ``random_parts``; all of them, or about ``most``.
    ``whole_scenes``: scenes are held out as wholes. ``targets_too``: the values of the target are
    looked at where there is one scene, too. ``precision``: of the products that moments are made
    of; auto: by the look of the first windows. ``share``: of the pixels of all scenes.
    ``squares_only``: nothing but squared errors of outputs is asked for, so that bands of different
    groups need not meet. ``per_scene``: scenes have weights of their own; ``own_samples``: these
    are trained on samples of their own. ``skip``: all scenes that fail are looked for.
    ``any_units``: scenes may hold values in different units."""

    seed: int
    sample: int
    noise: bool = False
    random_parts: int = 0
    whole_scenes: bool = False
    targets_too: bool = False
    precision: str = "auto"
    most: int | None = None
    squares_only: bool = False
    per_scene: bool = False
    own_samples: bool = False
    skip: bool = False
    any_units: bool = False
    share: float = 1.0

    def of_scene(self, scene: Scene, scenes: Sequence[Scene]) -> Inquiry:
        """With the scene's share of the pixels."""
        whole = sum(s.shape[0] * s.shape[1] for s in scenes)
        own = scene.shape[0] * scene.shape[1]
        most = None if self.most is None else -(-self.most * own // whole)
        return replace(self, most=most, share=own / max(1, whole))


@dataclass(frozen=True, eq=False)
class Look:
    """What a few windows of a scene tell of some bands: their census; moments over one cell of
    each window, for the precision and for groups; a (D, n) sample of the pixels, NaN where missing;
    and the values that were ``seen`` in these windows."""

    census: Census
    moments: Moments
    sample: Floats
    seen: Values

    def take(self, places: Sequence[int]) -> Look:
        """That of some of the bands, by their places among them."""
        here = list(places)
        return Look(
            self.census.take(here), self.moments.take(here), self.sample[here], self.seen.take(here)
        )

    def one_of(self, scenes: int) -> Look:
        """As one of so many scenes, whose samples together take at most :data:`LOOKED_BYTES`."""
        most = max(1, LOOKED_BYTES // (8 * len(self.sample) * scenes))
        fits = scenes == 1 or self.sample.shape[1] <= most
        return self if fits else replace(self, sample=thinly(self.sample, most))

    @property
    def served(self) -> Look:
        """Without the moments, which have served."""
        return replace(self, moments=Moments.zero(0))


Looks = Callable[[tuple[int, ...]], Iterable[Look]]
"""Gives the look of every scene at bands, by their positions."""


class Lookout:
    """Looks at scenes. Windows are read once for the same bands, however often they are asked."""

    def __init__(
        self, scenes: Sequence[Scene], effort: Effort, seed: int, *, skip: bool = False
    ) -> None:
        self._scenes, self._effort, self._seed, self._skip = scenes, effort, seed, skip
        self._known: dict[tuple[int, ...], list[Look]] = {}

    def __call__(self, bands: tuple[int, ...]) -> list[Look]:
        """Of every scene, at bands by their positions."""
        if bands not in self._known:
            keys, look = [s.key for s in self._scenes], partial(self._look, bands)
            self._known[bands] = each(keys, self._scenes, look, skip=self._skip)
        return self._known[bands]

    def _look(self, bands: tuple[int, ...], scene: Scene) -> Look:
        return scout(scene, bands, self._effort, self._seed).one_of(len(self._scenes))

    def forget_moments(self) -> None:
        """Let go of the moments of many scenes; who asks for these bands again has them read
        again."""
        if len(self._scenes) > 1:
            self._known.clear()


def scout(scene: Scene, bands: Sequence[int], effort: Effort, seed: int) -> Look:
    """The look at a few stacks in which pixels count, chosen by the seed."""
    stacks = tile(scene.shape, STACK_ROWS, 256)
    order = at_random(len(stacks), seed)
    with opened_selection(scene.where) as where, scene.source(bands) as source:
        some = (i for i in order if where is None or not where.outside(stacks[i]).all())
        chosen = [stacks[i] for i in sorted(islice(some, SCOUT_STACKS))]

        def look_at(window: Window) -> tuple[Census, Moments, Floats]:
            counts = np.ones((window.rows, window.cols), dtype=bool)
            if where is not None:
                counts = ~where.outside(window)
            return _look_at(source.read(window), window, counts, len(bands))

        parts = [part for _, part in each_window(chosen, look_at, threads=effort.threads)]
    size = len(bands)
    sample = np.concatenate([np.empty((size, 0)), *(some for _, _, some in parts)], axis=1)
    return Look(
        sum((census for census, _, _ in parts), Census.zero(size)),
        total((moments for _, moments, _ in parts), size),
        sample,
        Values.of(sample),
    )


def _look_at(
    patch: Patch, window: Window, counts: NDArray[np.bool_], size: int
) -> tuple[Census, Moments, Floats]:
    """Census, moments and sample of one window of so many bands; ``counts`` (rows, cols): the
    pixels that count."""
    census, moments, sample = Census.zero(size), Moments.zero(size), np.empty((size, 0))
    for cell in cells(window):
        here = cell.within(window)
        inside = counts[here].ravel()
        counted, values, _ = look(patch.cell(*here), inside, size)
        census += counted
        if not sample.size and inside.any():
            sample = thinly(values[:, inside])
        if not moments.count:
            moments = _moments_of(values[:, inside])
    return census, moments, sample


def _moments_of(z: Floats) -> Moments:
    """Of the pixels in which nothing is missing, a dead band standing in as zeros."""
    finite = np.isfinite(z)
    alive = finite.any(axis=1, keepdims=True)
    whole = np.logical_and.reduce(finite | ~alive, axis=0)
    return Moments.of_columns(np.ascontiguousarray(np.where(alive, z, 0.0)[:, whole]))


@dataclass(frozen=True, eq=False)
class Scouted:
    """What was seen. ``bands``: the inputs, with a reason against those that look dead.
    ``covariance``: (B, B) over the pixels seen, zero for bands that are not good."""

    bands: Bands
    covariance: Floats


def scout_scenes(scenes: Sequence[Scene], looks: Looks) -> Scouted:
    """Which bands look dead in a few stacks of each scene, and how the others vary together there:
    the same for every memory and number of threads.

    Where every band looks dead, the windows tell nothing, and none is taken for dead.
    """
    flagged = flagged_by_any(scenes)
    good = tuple(int(i) for i in np.flatnonzero(flagged.good))
    censuses = [seen.census for seen in looks(good)]
    dead = common_reasons(scenes, [dead_of(c, good) if c.seen else {} for c in censuses])
    dead = {} if len(dead) == len(good) else dead
    alive = tuple(p for p in good if p not in dead)
    seen = total((s.moments for s in looks(alive)), len(alive))
    covariance = np.zeros((len(flagged), len(flagged)))
    covariance[np.ix_(alive, alive)] = _finite(seen)
    return Scouted(flagged.dropping(dead), covariance)


def _finite(seen: Moments) -> Floats:
    """The covariance, zeros in the place of squares that overflowed."""
    return np.where(np.isfinite(seen.covariance), seen.covariance, 0.0)


def scout_messages(scene: Scene, seen: Scouted) -> list[str]:
    """Which bands look dead, in words; the reasons that the files themselves give are left out."""
    before, after = scene.bands.reason, seen.bands.reason
    new = [
        f"{seen.bands.label(i)}: {after[i]}"
        for i in range(len(after))
        if after[i] and not before[i]
    ]
    return (
        [f"{scene.key}: not used, by the look of a few windows: {shorten(new, 6)}"] if new else []
    )
