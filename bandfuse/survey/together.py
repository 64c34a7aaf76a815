"""Together: what the passes over several scenes come to, whether their pixels are read now or were
read before."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from bandfuse.moments.census import Census
from bandfuse.moments.gram import enough
from bandfuse.moments.moments import Moments, total
from bandfuse.moments.tally import Tally
from bandfuse.progress import Progress
from bandfuse.scenes.attempts import each
from bandfuse.scenes.scene import Scene
from bandfuse.solve.design import Design
from bandfuse.spectral.bands import Bands, Floats
from bandfuse.spectral.groups import Covariance
from bandfuse.spectral.value_units import Values
from bandfuse.streaming.budget import Effort
from bandfuse.survey.gather import pool_of, tallies_of
from bandfuse.survey.missing import (
    common_reasons,
    dead_if_some_live,
    dead_of,
    flagged_by_any,
    require_alike,
    require_bands,
    usable_moments,
)
from bandfuse.survey.pool import Pool
from bandfuse.survey.pool_units import pool_messages, target_values
from bandfuse.survey.scene_moments import SceneMoments
from bandfuse.survey.scout import Inquiry, Look, Lookout, scout_scenes
from bandfuse.survey.stored_moments import StoredMoments
from bandfuse.survey.survey import Survey, block_grid

READ_TWICE = (
    "the dead bands were not those seen in the first windows: the pixels were read a second time"
)


Arrange = Callable[[Bands, Covariance], Design]
"""Makes the design from a band table, and the covariance of the bands for groups that see
pixels."""


@dataclass(frozen=True, eq=False)
class Gathered:
    """What the passes over some scenes leave: the inputs with every reason against a band, the
    design, the moments of each scene, and what is to be said."""

    bands: Bands
    design: Design
    scenes: list[SceneMoments]
    messages: list[str]

    def survey(self, inquiry: Inquiry) -> Survey:
        """All scenes together.

        Raises
        ------
        InputError : of the first scene that cannot be used. ScenesError : of all, if the inquiry
            skips.
        """
        every, keys = self.scenes, [s.scene.key for s in self.scenes]
        totals = each(keys, every, lambda s: usable_moments(s.scene, s.tally), skip=inquiry.skip)
        wanted, samples = list(every[0].wanted), [s.look.sample for s in every]
        looked = np.full((len(self.bands), sum(sample.shape[1] for sample in samples)), np.nan)
        looked[wanted] = np.concatenate(samples, axis=1)
        tallies = [s.tally for s in every]
        known = {s.precision for s in every}
        return Survey(
            bands=self.bands,
            design=self.design,
            scenes=totals,
            tallies=tallies,
            grids=[s.grid for s in every],
            messages=(*self.messages, *_reasons(tallies)),
            random_parts=inquiry.random_parts,
            whole_scenes=inquiry.whole_scenes,
            precision=known.pop() if len(known) == 1 else "auto",
            seen=_values(_seen_in(every, looked), wanted, self.design, tallies, totals),
            looked=looked,
            class_names=_class_names([s.scene for s in every]),
            slopes=tallies[0].slopes,
        )


def gathered(
    scenes: Sequence[Scene], arrange: Arrange, effort: Effort, progress: Progress, inquiry: Inquiry
) -> Gathered:
    """Guess the dead bands from a few windows, gather everything in one pass, and check the guess.

    A wrong guess costs one more pass, and is said in the messages. Where all bands of a scene are
    dead, this speaks against the scene.

    Raises
    ------
    InputError : of the first scene that cannot be used. ScenesError : of all, if the inquiry skips.
    """
    flagged = flagged_by_any(scenes)
    look_at = Lookout(scenes, effort, inquiry.seed, skip=inquiry.skip)
    covariance = cache(lambda: scout_scenes(scenes, look_at).covariance)
    wanted = tuple(arrange(flagged, covariance).used)
    looks = look_at(wanted)
    goals = target_values(scenes) if len(scenes) > 1 or inquiry.targets_too else None
    seen, sources = [look.seen for look in looks], [flagged.source[p] for p in wanted]
    messages = pool_messages(
        scenes, seen, goals, sources, any_units=inquiry.any_units, skip=inquiry.skip
    )
    guess = common_reasons(scenes, [dead_if_some_live(look.census, wanted) for look in looks])
    if len(scenes) > 1:
        looks = [look.served for look in looks]
    passes = _Passes(scenes, flagged, wanted, lambda bands: arrange(bands, covariance), inquiry)
    done = passes.without(guess, look_at, effort, progress)
    if set(done.dead) != set(guess):
        messages.append(READ_TWICE)
        done = passes.without(done.dead, look_at, effort, progress)
    left = [done.of_scene(i, passes, look) for i, look in enumerate(looks)]
    if goals is not None:
        left = [replace(one, goals=values) for one, values in zip(left, goals, strict=True)]
    bands = flagged.dropping(done.dead)
    return Gathered(bands, done.design, left, [*messages, *done.pool.messages])


@dataclass(frozen=True, eq=False)
class _Passed:
    """What one pass over some scenes leaves: the design that it was made with, what was asked of
    each scene, the tallies, what keeps them within bounds, and the bands that turned out dead."""

    design: Design
    settled: Sequence[Inquiry]
    tallies: Sequence[Tally]
    pool: Pool
    dead: dict[int, str]

    def of_scene(self, i: int, passes: _Passes, look: Look) -> SceneMoments:
        """The moments of one scene, by its number, with a look at it."""
        scene = passes.scenes[i]
        return SceneMoments(
            scene,
            passes.wanted,
            tuple(self.design.used),
            look,
            self.tallies[i],
            self.pool.grid(block_grid(scene, len(passes.scenes))),
            self.settled[i].precision,
            seed=passes.inquiry.seed,
        )


@dataclass(frozen=True, eq=False)
class _Passes:
    """What passes over some scenes have in common: the bands, with what speaks against some of
    them; those of them that are wanted; what makes the design of the others; and what is asked."""

    scenes: Sequence[Scene]
    flagged: Bands
    wanted: tuple[int, ...]
    arrange: Callable[[Bands], Design]
    inquiry: Inquiry

    def without(
        self, dead: dict[int, str], look_at: Lookout, effort: Effort, progress: Progress
    ) -> _Passed:
        """One pass, without some bands that are taken to be dead."""
        scenes, wanted, inquiry = self.scenes, self.wanted, self.inquiry
        bands = self.flagged.dropping(dead)
        require_bands(scenes, bands, wanted)
        design = self.arrange(bands)
        places = [wanted.index(p) for p in design.used]
        settled = [
            _settled(inquiry, s, look, places)
            for s, look in zip(scenes, look_at(wanted), strict=True)
        ]
        look_at.forget_moments()
        tallies, pool = tallies_of(scenes, wanted, design, effort, progress, settled)
        truth = _dead(scenes, [t.census for t in tallies], wanted, skip=inquiry.skip)
        return _Passed(design, settled, tallies, pool, truth)


def put_together(
    every: Sequence[StoredMoments], arrange: Arrange, inquiry: Inquiry, progress: Progress
) -> Gathered:
    """What the passes over some scenes would leave together, from what each of them left: no pixel
    is read. Scenes are opened one after the other, and only what this training needs is kept.

    Raises
    ------
    InputError : of the first scene that cannot be used. MismatchError : a band was not gathered.
    ScenesError : of all, if the inquiry skips.
    """
    facts = [s.facts for s in every]
    scenes = [s.scene for s in facts]
    flagged = flagged_by_any(scenes)

    def look_at(bands: tuple[int, ...]) -> Iterator[Look]:
        for one in every:
            whole = one.whole()
            yield whole.look.take([whole.wanted.index(p) for p in bands])

    covariance = cache(lambda: scout_scenes(scenes, look_at).covariance)
    wanted = arrange(flagged, covariance).used
    seen = [s.seen_of(wanted) for s in facts]
    goals = [s.goals for s in facts if s.goals is not None]
    sources, skip = [flagged.source[p] for p in wanted], inquiry.skip
    messages = pool_messages(
        scenes, seen, goals or None, sources, any_units=inquiry.any_units, skip=skip
    )
    truth = _dead(scenes, [s.census_of(wanted) for s in facts], wanted, skip=skip)
    bands = flagged.dropping(truth)
    require_bands(scenes, bands, wanted)
    design, pool = arrange(bands, covariance), pool_of(inquiry, scenes)
    left: list[SceneMoments] = []
    for one in progress(every, total=len(every), label="add the moments up"):
        found = one.whole().of(wanted, design, number=len(left), scenes=len(every))
        pool.add(found.tally)
        left.append(found)
    pool.settle()
    left = [replace(one, grid=pool.grid(one.grid)) for one in left]
    return Gathered(bands, design, left, [*messages, *pool.messages])


def _seen_in(every: Sequence[SceneMoments], looked: Floats) -> Values:
    """The values of all inputs in the windows that were looked at; where their pixels were not
    kept, by what is known of each scene: the median over scenes of typical sizes."""
    if looked.shape[1]:
        return Values.of(looked)
    known = Values.unknown(len(looked))
    seen = [s.look.seen for s in every]
    tables = {f: np.array([getattr(one, f) for one in seen]) for f in ("low", "high", "typical")}
    wanted = list(every[0].wanted)
    known.low[wanted], known.high[wanted] = tables["low"].min(axis=0), tables["high"].max(axis=0)
    known.typical[wanted] = np.median(tables["typical"], axis=0)
    return known


def _reasons(tallies: Sequence[Tally]) -> list[str]:
    """Why the CPU added pixels up where a device was asked for."""
    known = dict.fromkeys(tally.because for tally in tallies if tally.because)
    return [f"the pass ran on the CPU: {why}" for why in known]


def _class_names(scenes: Sequence[Scene]) -> dict[int, str]:
    """What the classes of all scenes are called, by number."""
    return {n: name for s in scenes if s.labels is not None for n, name in s.labels.names}


def _dead(
    scenes: Sequence[Scene], counted: Sequence[Census], wanted: Sequence[int], *, skip: bool
) -> dict[int, str]:
    """The wanted bands that turned out dead in any scene; if scenes may be left out, none of them
    takes too many bands from the others."""
    dead = [dead_of(census, wanted) for census in counted]
    if skip:
        require_alike(scenes, dead, len(wanted))
    return common_reasons(scenes, dead)


def _values(
    looked: Values,
    wanted: Sequence[int],
    design: Design,
    tallies: Sequence[Tally],
    totals: Sequence[Moments],
) -> Values:
    """The values of the inputs: their ends over all pixels, mean and spread over those that count,
    and what a look at some pixels tells of the rest."""
    every = np.full((4, len(looked)), np.nan)
    n = len(wanted)
    every[0, list(wanted)] = np.min([t.census.low[:n] for t in tallies], axis=0)
    every[1, list(wanted)] = np.max([t.census.high[:n] for t in tallies], axis=0)
    used = list(design.used)
    pooled = total(totals, totals[0].size).take(range(len(used)))
    every[2, used], every[3, used] = pooled.mean, np.sqrt(pooled.variance)
    return looked.better(*every)


def _settled(inquiry: Inquiry, scene: Scene, look: Look, used: Sequence[int]) -> Inquiry:
    """With the precision that the used bands of a scene need, by the look of its first windows;
    where slopes are gathered, what they explain is taken out later, which costs digits. Each scene
    has its own, so that it gives the same bits alone and beside others."""
    if inquiry.precision != "auto":
        return inquiry
    if scene.registered:
        return replace(inquiry, precision="float64")
    seen = look.moments
    many = seen.count > 2 * len(used)
    needed = enough(seen.take(used).covariance) if many else "float64"
    return replace(inquiry, precision=needed)
