"""Gather: the pass over the training pixels. It finds the dead bands and gathers the moments that every fit needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np

from bandfuse.errors import BandfuseError
from bandfuse.moments.gram import apart, enough, product_of
from bandfuse.moments.moments import Moments, total
from bandfuse.moments.tally import Question, Tally, reduce_windows
from bandfuse.progress import Progress, silent
from bandfuse.raster import AlignedReader, Reader, labelled, opened_selection
from bandfuse.scenes.attempts import each
from bandfuse.scenes.scene import Scene, target_bands
from bandfuse.solve.design import Design
from bandfuse.spectral.bands import Bands, Floats
from bandfuse.spectral.groups import Covariance
from bandfuse.spectral.value_units import Values
from bandfuse.streaming.blocks import BlockGrid
from bandfuse.streaming.budget import Effort
from bandfuse.streaming.stream import Source
from bandfuse.streaming.windows import Tiles, Window, drawn, pixels_of, plan_parts
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
from bandfuse.survey.pool_units import pool_messages
from bandfuse.survey.scout import Inquiry, glance, looking
from bandfuse.survey.survey import Survey, block_grid

NOT_DRAWN = "not read (--max-pixels)"
"""Why pixels are not used of which only some are wanted."""


Arrange = Callable[[Bands, Covariance], Design]
"""Makes the design from a band table, and the covariance of the bands for groups that see pixels."""


def survey(scenes: Sequence[Scene], arrange: Arrange, effort: Effort, progress: Progress, inquiry: Inquiry) -> Survey:
    """Guess the dead bands from a few windows, gather everything in one pass, and check the guess.

    A wrong guess costs one more pass, and is said in the messages. Where all bands of a scene are dead, this speaks
    against the scene.

    Parameters
    ----------
    arrange : makes the design; called again when bands turn out dead.

    Raises
    ------
    InputError : of the first scene that cannot be used. ScenesError : of all of them, if the inquiry skips.
    """
    keys = [s.key for s in scenes]
    flagged, look_at = flagged_by_any(scenes), looking(scenes, effort, inquiry.seed, skip=inquiry.skip)
    covariance = cache(lambda: glance(scenes, look_at).covariance)
    wanted = arrange(flagged, covariance).used
    looks = look_at(tuple(wanted))
    guess = common_reasons(scenes, [dead_if_some_live(look.census, wanted) for look in looks])
    samples, sources = [look.sample for look in looks], [flagged.source[p] for p in wanted]
    messages = pool_messages(scenes, samples, sources, any_units=inquiry.any_units, skip=inquiry.skip)
    for attempt in (1, 2):
        bands = flagged.dropping(guess)
        require_bands(scenes, bands, wanted)
        design = arrange(bands, covariance)
        inquiry = _settled(inquiry, [look.moments for look in looks], [wanted.index(p) for p in design.used])
        tallies = _passes(scenes, wanted, design, effort, progress, inquiry)
        pairs = list(zip(scenes, tallies, strict=True))
        each(keys, pairs, lambda pair: require_bands_of(*pair, wanted), skip=inquiry.skip)
        dead = [dead_of(t.census, wanted) for t in tallies]
        if inquiry.skip:
            require_alike(scenes, dead, len(wanted))
        truth = common_reasons(scenes, dead)
        if attempt == 2 or set(truth) == set(guess):
            break
        messages.append("the dead bands were not those seen in the first windows: the pixels were read a second time")
        guess = truth
    totals = each(keys, pairs, lambda pair: usable_moments(*pair), skip=inquiry.skip)
    grids = [block_grid(s, len(scenes)) for s in scenes]
    bands = flagged.dropping(truth)
    looked = np.full((len(bands), sum(sample.shape[1] for sample in samples)), np.nan)
    looked[list(wanted)] = np.concatenate(samples, axis=1)
    seen = values_of(looked, wanted, design, tallies, totals)
    return Survey(
        bands, design, totals, tallies, grids, messages, inquiry.random_parts, inquiry.precision, seen, looked
    )  # fmt: skip


def values_of(
    looked: Floats, wanted: Sequence[int], design: Design, tallies: Sequence[Tally], totals: Sequence[Moments]
) -> Values:
    """The values of the inputs: their ends over all pixels, mean and spread over those that count, and what a look at
    (B, n) pixels tells of the rest."""
    every = np.full((4, len(looked)), np.nan)
    n = len(wanted)
    every[0, list(wanted)] = np.min([t.census.low[:n] for t in tallies], axis=0)
    every[1, list(wanted)] = np.max([t.census.high[:n] for t in tallies], axis=0)
    used = list(design.used)
    pooled = total(totals, totals[0].size).take(range(len(used)))
    every[2, used], every[3, used] = pooled.mean, np.sqrt(pooled.variance)
    return Values.of(looked).better(*every)


def _settled(inquiry: Inquiry, looks: Sequence[Moments], used: Sequence[int]) -> Inquiry:
    """With the precision that the used bands need, by the look of the first windows of each scene."""
    if inquiry.precision != "auto":
        return inquiry
    needs = {enough(m.take(used).covariance) if m.count > 2 * len(used) else "float64" for m in looks}
    return replace(inquiry, precision="float32" if needs == {"float32"} else "float64")


def _targets_of(scene: Scene) -> int:
    if scene.labels is not None:
        return 1
    return 0 if scene.target is None else len(target_bands(scene.target))


def _passes(
    scenes: Sequence[Scene],
    wanted: Sequence[int],
    design: Design,
    effort: Effort,
    progress: Progress,
    inquiry: Inquiry,
) -> list[Tally]:
    """Gather all scenes; elsewhere each row of blocks is a part of its own."""
    own = [inquiry.of_scene(scene, scenes) for scene in scenes]
    grids = [block_grid(scene, len(scenes)) for scene in scenes]
    keys, numbers = [s.key for s in scenes], range(len(scenes))
    if effort.spread is None:

        def gather(i: int) -> Tally:
            return _pass(scenes[i], i, wanted, design, effort, own[i], grids[i], progress=progress)

        return each(keys, numbers, gather, skip=inquiry.skip)
    tasks = [
        (scene, i, wanted, design, effort.alone, own[i], grids[i], rows)
        for i, scene in enumerate(scenes)
        for rows in pairwise(grids[i].row_edges)
    ]
    found: list[list[Tally | BandfuseError]] = [[] for _ in scenes]
    work = _pass_or_error if inquiry.skip else _pass
    results: Iterator[Tally | BandfuseError] = effort.spread(work, tasks)
    for task, part in zip(tasks, progress(results, total=len(tasks), label="read elsewhere"), strict=True):
        found[task[1]].append(part)

    def joined(i: int) -> Tally:
        """The parts; if they have been asked for before, what is done here in their place."""
        parts, found[i] = found[i], []
        if not parts:
            return _pass(scenes[i], i, wanted, design, effort, own[i], grids[i], progress=progress)
        return _joined(parts, own[i].sample)

    return each(keys, numbers, joined, skip=inquiry.skip)


def _pass_or_error(*task: Any) -> Tally | BandfuseError:
    """A part, or why there is none: the other parts go on."""
    try:
        return _pass(*task)
    except BandfuseError as error:
        return error


def _joined(parts: Sequence[Tally | BandfuseError], sample: int) -> Tally:
    """The parts of a scene together.

    Raises
    ------
    BandfuseError : of the first part that failed.
    """
    whole = []
    for part in parts:
        if isinstance(part, BandfuseError):
            raise part
        whole.append(part)
    return Tally.joined(whole, sample)


def _pass(
    scene: Scene,
    number: int,
    wanted: Sequence[int],
    design: Design,
    effort: Effort,
    inquiry: Inquiry,
    grid: BlockGrid,
    rows: tuple[int, int] | None = None,
    *,
    progress: Progress = silent,
) -> Tally:
    """Gather one scene, or the blocks between two row edges of its grid."""
    place = {p: i for i, p in enumerate(wanted)}
    product = product_of(inquiry.precision, inquiry.device)
    if inquiry.squares_only and len(design.parts()) > 1:
        product = apart(product, design.parts())
    with (
        opened_selection(scene.where) as where,
        scene.reader(wanted, target=True) as reader,
        nullcontext(reader) if scene.labels is None else _labelled(reader, scene) as source,
    ):
        question = Question(
            n_bands=len(wanted),
            n_targets=_targets_of(scene),
            used=tuple(place[p] for p in design.used),
            grid=grid,
            scene=number,
            seed=inquiry.seed,
            sample=inquiry.sample,
            where=where,
            classes=scene.labels is not None,
            noise=inquiry.noise,
            random_parts=inquiry.random_parts,
            product=product,
        )
        weight = reader.bytes_per_pixel + (0 if where is None else where.bytes_per_pixel)
        pixels = scene.shape[0] * scene.shape[1]
        if inquiry.most is None or inquiry.most >= pixels:
            windows: Sequence[Window] = effort.windows(scene.shape, scene.grid.stored, weight)
        else:
            parts = drawn(scene.shape, scene.grid.stored, inquiry.most, inquiry.seed)
            windows = plan_parts(parts, scene.grid.stored, weight, effort.window_bytes)
        if rows is not None:
            windows, pixels = _between(windows, rows), (rows[1] - rows[0]) * scene.shape[1]
        tally = reduce_windows(
            source, question, windows, threads=effort.threads, progress=progress, label=f"read {scene.key}"
        )
        tally.invalid[NOT_DRAWN] = pixels - pixels_of(windows)
        return tally


def _between(windows: Sequence[Window], rows: tuple[int, int]) -> Sequence[Window]:
    """What of the windows lies between two rows."""
    if isinstance(windows, Tiles):
        return windows.between(*rows)
    cut = ((w, max(w.row, rows[0]), min(w.row + w.rows, rows[1])) for w in windows)
    return [Window(top, w.col, bottom - top, w.cols) for w, top, bottom in cut if top < bottom]


def _labelled(reader: Reader | AlignedReader, scene: Scene) -> AbstractContextManager[Source]:
    assert scene.labels is not None
    return labelled(reader, scene.labels, None if scene.common is None else scene.common.grid)
