"""Scout: what a few windows of each scene tell before any pass: dead bands, and how the others vary together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from bandfuse.errors import shorten
from bandfuse.moments.census import Census, look
from bandfuse.moments.moments import Moments, total
from bandfuse.moments.sample import thinly
from bandfuse.raster import opened_selection
from bandfuse.scenes.attempts import each
from bandfuse.scenes.scene import Scene
from bandfuse.spectral.bands import Bands, Floats
from bandfuse.streaming.budget import Effort
from bandfuse.streaming.stream import each_window
from bandfuse.streaming.windows import STACK_ROWS, Window, at_random, cells, tile
from bandfuse.survey.missing import common_reasons, dead_of

SCOUT_STACKS = 8
"""Stacks that are looked at to guess the dead bands."""


@dataclass(frozen=True)
class Inquiry:
    """What a survey is to gather: a ``sample`` of so many pixels; with ``noise`` the moments of the noise too; the
    pixels dealt to so many ``random_parts``; all of them, or about ``most``. ``device``, ``precision``: where
    moments are computed, and how precisely; auto: by the look of the first windows. ``squares_only``: nothing but
    squared errors of outputs is asked for, so that bands of different groups need not meet. ``skip``: all scenes that
    fail are looked for. ``any_units``: scenes may hold values in different units."""

    seed: int
    sample: int
    noise: bool = False
    random_parts: int = 0
    device: str = "cpu"
    precision: str = "auto"
    most: int | None = None
    squares_only: bool = False
    skip: bool = False
    any_units: bool = False

    def of_scene(self, scene: Scene, scenes: Sequence[Scene]) -> Inquiry:
        """With the scene's share of the pixels."""
        if self.most is None:
            return self
        pixels = [s.shape[0] * s.shape[1] for s in scenes]
        return replace(self, most=-(-self.most * scene.shape[0] * scene.shape[1] // sum(pixels)))


@dataclass(frozen=True, eq=False)
class Look:
    """What a few windows of a scene tell of some bands: their census; moments over the first cell of each, if they are
    to tell the precision; and a (D, n) sample of the pixels, NaN where missing."""

    census: Census
    moments: Moments
    sample: Floats


def scout(scene: Scene, wanted: Sequence[int], effort: Effort, inquiry: Inquiry) -> Look:
    """The look of a few stacks in which pixels count, chosen by the seed: census of the wanted bands, and if they are
    to tell the precision their moments over the first cell of each stack."""
    stacks = tile(scene.shape, STACK_ROWS, 256)
    order = at_random(len(stacks), inquiry.seed)
    census, moments, samples = Census.zero(len(wanted)), Moments.zero(len(wanted)), [np.empty((len(wanted), 0))]
    with (
        opened_selection(scene.where) as where,
        scene.reader(wanted) as reader,
    ):
        some = (i for i in order if where is None or not where.outside(stacks[i]).all())
        chosen = [stacks[i] for i in sorted(islice(some, SCOUT_STACKS))]

        def seen(window: Window) -> Look:
            patch = reader.read(window)
            outside = np.zeros((window.rows, window.cols), dtype=bool) if where is None else where.outside(window)
            found, first, sample = Census.zero(len(wanted)), Moments.zero(len(wanted)), samples[0]
            for cell in cells(window):
                here = cell.within(window)
                inside = ~outside[here].ravel()
                counted, values, _ = look(patch.cell(*here), inside, len(wanted))
                found += counted
                if not sample.size and inside.any():
                    sample = thinly(values[:, inside])
                if inquiry.precision == "auto" and not first.count:
                    first = _moments_of(values[:, inside])
            return Look(found, first, sample)

        for _, part in each_window(chosen, seen, threads=effort.threads):
            census, moments = census + part.census, moments + part.moments
            samples.append(part.sample)
    return Look(census, moments, np.concatenate(samples, axis=1))


def _moments_of(z: Floats) -> Moments:
    """Of the pixels in which nothing is missing, a dead band standing in as zeros."""
    finite = np.isfinite(z)
    alive = finite.any(axis=1, keepdims=True)
    whole = np.logical_and.reduce(finite | ~alive, axis=0)
    return Moments.of_columns(np.ascontiguousarray(np.where(alive, z, 0.0)[:, whole]))


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
