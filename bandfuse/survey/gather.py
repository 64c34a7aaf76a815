"""Gather: the pass over the training pixels. It finds the dead bands and gathers the moments that
every fit needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice, pairwise

import numpy as np

from bandfuse.device import Place, Work, on_cpu, place, plain_errors
from bandfuse.errors import BandfuseError, is_transient
from bandfuse.moments.census import Census
from bandfuse.moments.gram import Gram, enough
from bandfuse.moments.moments import Moments, total
from bandfuse.moments.reduce import reduce_windows
from bandfuse.moments.slopes import ON_CPU, SlopedSource, grouped
from bandfuse.moments.tally import Question, Tally, Where
from bandfuse.progress import Progress, silent
from bandfuse.raster import opened_selection
from bandfuse.scenes.attempts import each
from bandfuse.scenes.scene import Scene
from bandfuse.solve.design import Design
from bandfuse.spectral.bands import Bands, Floats
from bandfuse.spectral.groups import Covariance
from bandfuse.spectral.value_units import Values
from bandfuse.streaming.blocks import BlockGrid
from bandfuse.streaming.budget import Effort
from bandfuse.streaming.windows import CELL_PIXELS, Tiles, Window, drawn, pixels_of, plan_parts
from bandfuse.survey.missing import (
    common_reasons,
    dead_if_some_live,
    dead_of,
    flagged_by_any,
    require_alike,
    require_bands,
    require_bands_of,
    usable_moments,
)
from bandfuse.survey.pool import Pool
from bandfuse.survey.pool_units import pool_messages, target_values
from bandfuse.survey.scene_moments import SceneMoments
from bandfuse.survey.scout import Inquiry, Look, Lookout, scout_scenes
from bandfuse.survey.stored_moments import StoredMoments
from bandfuse.survey.survey import Survey, block_grid, fine_grid

NOT_DRAWN = "not read (--max-pixels)"
"""Why pixels are not used of which only some are wanted."""

READ_TWICE = (
    "the dead bands were not those seen in the first windows: the pixels were read a second time"
)

Arrange = Callable[[Bands, Covariance], Design]
"""Makes the design from a band table, and the covariance of the bands for groups that see
pixels."""


def survey(
    scenes: Sequence[Scene], arrange: Arrange, effort: Effort, progress: Progress, inquiry: Inquiry
) -> Survey:
    """The survey of scenes, from one pass over their pixels.

    Parameters
    ----------
    arrange : makes the design; called again when bands turn out dead.

    Raises
    ------
    InputError : of the first scene that cannot be used. ScenesError : of all, if the inquiry skips.
    """
    return gathered(scenes, arrange, effort, progress, inquiry).survey(inquiry)


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
            seen=values_of(_seen_in(every, looked), wanted, self.design, tallies, totals),
            looked=looked,
            class_names=class_names([s.scene for s in every]),
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
    wanted = arrange(flagged, covariance).used
    looks = look_at(tuple(wanted))
    seen = [look.seen for look in looks]
    goals = target_values(scenes) if len(scenes) > 1 or inquiry.targets_too else None
    sources = [flagged.source[p] for p in wanted]
    skip = inquiry.skip
    messages = pool_messages(scenes, seen, goals, sources, any_units=inquiry.any_units, skip=skip)
    guess = common_reasons(scenes, [dead_if_some_live(look.census, wanted) for look in looks])
    if len(scenes) > 1:
        looks = [look.served for look in looks]
    for attempt in (1, 2):
        bands = flagged.dropping(guess)
        require_bands(scenes, bands, wanted)
        design = arrange(bands, covariance)
        places = [wanted.index(p) for p in design.used]
        settled = [
            _settled(inquiry, s, look, places)
            for s, look in zip(scenes, look_at(tuple(wanted)), strict=True)
        ]
        look_at.forget_moments()
        tallies, pool = _gathered(scenes, wanted, design, effort, progress, settled)
        truth = _dead(scenes, [t.census for t in tallies], wanted, skip=skip)
        if attempt == 2 or set(truth) == set(guess):
            break
        messages.append(READ_TWICE)
        guess = truth
    left = [
        SceneMoments(
            scene,
            tuple(wanted),
            tuple(design.used),
            look,
            tally,
            pool.grid(block_grid(scene, len(scenes))),
            how.precision,
            goals=None if goals is None else goals[i],
            seed=inquiry.seed,
        )
        for i, (scene, look, tally, how) in enumerate(
            zip(scenes, looks, tallies, settled, strict=True)
        )
    ]
    return Gathered(flagged.dropping(truth), design, left, [*messages, *pool.messages])


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
    design, pool = arrange(bands, covariance), _pool(inquiry, scenes)
    left: list[SceneMoments] = []
    for one in progress(every, total=len(every), label="add the moments up"):
        found = one.whole().of(wanted, design, number=len(left), scenes=len(every))
        pool.add(found.tally)
        left.append(found)
    pool.settle()
    left = [replace(one, grid=pool.grid(one.grid)) for one in left]
    return Gathered(bands, design, left, [*messages, *pool.messages])


def _pool(inquiry: Inquiry, scenes: Sequence[Scene]) -> Pool:
    """What keeps all that scenes leave within bounds."""
    return Pool(len(scenes), own_blocks=inquiry.per_scene, own_samples=inquiry.own_samples)


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


def class_names(scenes: Sequence[Scene]) -> dict[int, str]:
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


def values_of(
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


@dataclass(frozen=True, eq=False)
class Task:
    """What a pass does: a scene and its number, the bands that are wanted and those that are used,
    what is asked, and the blocks of the scene that are kept: all, or those between two row
    edges."""

    scene: Scene
    number: int
    wanted: Sequence[int]
    design: Design
    inquiry: Inquiry
    grid: BlockGrid
    rows: tuple[int, int] | None = None

    @property
    def groups(self) -> list[list[int]]:
        """The bands whose means have slopes, among those that are wanted; none without slopes."""
        if not self.scene.registered:
            return []
        place = {p: i for i, p in enumerate(self.wanted)}
        order = self.scene.bands.by_wavelength(self.design.used)
        return grouped([place[p] for p in order])

    def parts(self) -> list[Task]:
        """One for each row of blocks."""
        return [replace(self, rows=rows) for rows in pairwise(self.grid.row_edges)]


def _gathered(
    scenes: Sequence[Scene],
    wanted: Sequence[int],
    design: Design,
    effort: Effort,
    progress: Progress,
    settled: Sequence[Inquiry],
) -> tuple[list[Tally], Pool]:
    """The tallies of all scenes, each of which must hold data, and what keeps them within bounds.
    ``settled``: what is asked of each."""
    tasks = [
        Task(s, i, wanted, design, how.of_scene(s, scenes), block_grid(s, len(scenes)))
        for i, (s, how) in enumerate(zip(scenes, settled, strict=True))
    ]
    pool = _pool(settled[0], scenes)

    def gather(job: tuple[Task, list[Tally | BandfuseError]]) -> Tally:
        task, parts = job
        tally = _joined(parts, task.inquiry.sample)
        if tally is None:
            tally = _pass(task, effort, progress)
        require_bands_of(task.scene, tally, wanted)
        pool.add(tally)
        return tally

    jobs = _with_parts(tasks, effort, progress)
    found = each([s.key for s in scenes], jobs, gather, skip=settled[0].skip)
    pool.settle()
    return found, pool


def _with_parts(
    tasks: Sequence[Task], effort: Effort, progress: Progress
) -> Iterator[tuple[Task, list[Tally | BandfuseError]]]:
    """Each scene with the parts of it that others did, each a row of blocks; none where there are
    no others."""
    if effort.spread is None:
        yield from ((task, []) for task in tasks)
        return
    parts = [part for task in tasks for part in task.parts()]
    work = _pass_or_error if tasks[0].inquiry.skip else _pass
    results: Iterator[Tally | BandfuseError] = effort.spread(
        work, [(part, effort.alone) for part in parts]
    )
    shown = iter(progress(results, total=len(parts), label="read elsewhere"))
    for task in tasks:
        yield task, list(islice(shown, len(task.parts())))
    next(shown, None)  # The progress sees the end.


def _pass_or_error(task: Task, effort: Effort) -> Tally | BandfuseError:
    """A part, or why there is none: the other parts go on."""
    try:
        return _pass(task, effort)
    except BandfuseError as error:
        return error


def _joined(parts: Sequence[Tally | BandfuseError], sample: int) -> Tally | None:
    """The parts of a scene together; None where there are none, or one is worth another try.

    Raises
    ------
    BandfuseError : of the first part that failed.
    """
    error = next((part for part in parts if isinstance(part, BandfuseError)), None)
    if error is not None and not is_transient(error):
        raise error
    whole = [part for part in parts if isinstance(part, Tally)]
    return Tally.joined(whole, sample) if whole and error is None else None


def _pass(task: Task, effort: Effort, progress: Progress = silent) -> Tally:
    """Gather one scene, or a part of it."""
    scene, groups = task.scene, task.groups
    with opened_selection(scene.where) as where, scene.source(task.wanted, answers=True) as plain:
        source = SlopedSource(plain, scene.shape, groups) if groups else plain
        weight = source.bytes_per_pixel + (0 if where is None else where.bytes_per_pixel)
        windows, pixels = _windows(task, effort, weight)
        slopes = source.count if isinstance(source, SlopedSource) else 0
        here = on_cpu(ON_CPU) if slopes else _place(task, effort, weight)
        with plain_errors(here):
            tally = reduce_windows(
                source,
                _question(task, where, here, slopes),
                windows,
                threads=effort.threads,
                progress=progress,
                label=f"read {scene.key}",
            )
        tally.invalid[NOT_DRAWN] = pixels - pixels_of(windows)
        tally.places = (on_cpu(tally.because) if tally.because else here,)
        return tally.coarser(fine_grid(scene), task.grid)


def _place(task: Task, effort: Effort, weight: int) -> Place:
    """Where the products of a scene are computed, by the pixels of all scenes: ``2 n D²``
    operations on n pixels of D variables, of so many bytes each."""
    rows, cols = task.scene.shape
    pixels = min(rows * cols, task.inquiry.most or rows * cols) / task.inquiry.share
    size = len(task.design.used) + task.scene.answers
    cells = pixels / CELL_PIXELS
    work = Work(2.0 * pixels * size**2, pixels * weight, cells, effort.threads)
    return place(effort.device, work)


def _question(task: Task, where: Where | None, here: Place, slopes: int) -> Question:
    """What is asked of the pixels of a scene; ``slopes``: how many come after its answers."""
    inquiry, design = task.inquiry, task.design
    place = {p: i for i, p in enumerate(task.wanted)}
    parts = design.parts() if inquiry.squares_only else []
    first = len(design.used) + task.scene.answers
    beside = range(first, first + slopes)
    apart = tuple((*part, *beside) for part in parts) if len(parts) > 1 else ()
    return Question(
        n_bands=len(task.wanted),
        n_targets=task.scene.answers + slopes,
        slopes=slopes,
        used=tuple(place[p] for p in design.used),
        grid=fine_grid(task.scene),
        scene=task.number,
        seed=inquiry.seed,
        sample=inquiry.sample,
        where=where,
        classes=task.scene.labels is not None,
        noise=inquiry.noise,
        random_parts=inquiry.random_parts,
        gram=Gram(inquiry.precision, apart, here.torch),
    )


def _windows(task: Task, effort: Effort, weight: int) -> tuple[Sequence[Window], int]:
    """What is read, of so many bytes a pixel, and how many pixels there are."""
    shape, stored, most = task.scene.shape, task.scene.grid.stored, task.inquiry.most
    windows: Sequence[Window] = effort.windows(shape, stored, weight)
    if most is not None and most < shape[0] * shape[1]:
        parts = drawn(shape, stored, most, task.inquiry.seed)
        windows = plan_parts(parts, stored, weight, effort.window_bytes)
    if task.rows is None:
        return windows, shape[0] * shape[1]
    return _between(windows, task.rows), (task.rows[1] - task.rows[0]) * shape[1]


def _between(windows: Sequence[Window], rows: tuple[int, int]) -> Sequence[Window]:
    """What of the windows lies between two rows."""
    if isinstance(windows, Tiles):
        return windows.between(*rows)
    cut = ((w, max(w.row, rows[0]), min(w.row + w.rows, rows[1])) for w in windows)
    return [Window(top, w.col, bottom - top, w.cols) for w, top, bottom in cut if top < bottom]
