"""Survey: the pass over the training pixels. Finds the dead bands and gathers the moments that every fit rests on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from itertools import islice, pairwise
from typing import Any

import numpy as np

from bandfuse.spectral.bands import Bands, Floats
from bandfuse.solve.design import Design
from bandfuse.errors import BandfuseError, InputError, shorten
from bandfuse.streaming.blocks import block_numbers
from bandfuse.moments.moments import Moments, total
from bandfuse.moments.sample import Pixels
from bandfuse.moments.gram import apart, enough, product_of
from bandfuse.progress import Progress, silent
from bandfuse.raster import OUTSIDE, AlignedReader, Reader, labelled, opened_selection
from bandfuse.scenes.scene import Scene, common_reasons, target_bands
from bandfuse.streaming.stream import Source, each_window
from bandfuse.moments.tally import NOISE, Census, Question, Tally, look, part_of, reduce_windows
from bandfuse.survey.pool_units import pool_messages
from bandfuse.scenes.attempts import each
from bandfuse.streaming.budget import Effort
from bandfuse.tools.sampling import thinly
from bandfuse.spectral.value_units import Values
from bandfuse.streaming.windows import (
    STACK_ROWS,
    BlockGrid,
    Tiles,
    Window,
    at_random,
    blocks,
    cells,
    drawn,
    pixels_of,
    plan_parts,
    tile,
)

SCORED = 5_000
"""Pixels sampled for scores that moments cannot tell."""

SCOUT_STACKS = 8
"""Stacks that are looked at to guess the dead bands."""

BLOCKS_PER_SIDE = 8
"""A single scene is cut into at most 8 × 8 blocks; several scenes share this number."""

NOT_DRAWN = "not read (--max-pixels)"
"""Why pixels are not used of which only some are wanted."""

CLASS_BLOCKS_PER_SIDE = 5
"""The same where every block has moments for each class."""


@dataclass(frozen=True, eq=False)
class Block:
    """One part of the pixels, a block or a random part: its scene and number, the moments of [used bands, outputs'
    targets], and a sample. A random part is of all scenes (scene −1)."""

    scene: int
    number: int
    moments: Moments
    sample: Floats


@dataclass(frozen=True, eq=False)
class Survey:
    """What the pass found, over all scenes.

    ``bands``: the inputs with every reason against a band. ``scenes``: moments of [used bands, targets] per scene.
    ``grids``: how each scene was cut into blocks. ``random_parts``: how many parts of random pixels stand in their
    place where pixels are held out; 0 for none. ``precision`` of the products. ``seen``: the values of the inputs;
    ``looked``: (B, n) some pixels that the first look saw, NaN where missing.
    """

    bands: Bands
    design: Design
    scenes: list[Moments]
    tallies: list[Tally]
    grids: list[BlockGrid]
    messages: list[str]
    random_parts: int = 0
    precision: str = "float64"
    seen: Values | None = None
    looked: Floats = field(default_factory=lambda: np.empty((0, 0)))

    @property
    def classes(self) -> dict[int, Moments]:
        """Moments of the used bands for each class, over all scenes, in order of the classes' numbers."""
        found = [t.by_stratum() for t in self.tallies]
        numbers = sorted({s for strata in found for s in strata if s != NOISE})
        size = len(self.design.used)
        return {n: total((strata[n] for strata in found if n in strata), size) for n in numbers}

    @property
    def noise(self) -> Moments:
        """Moments of the noise of the used bands, over all scenes."""
        found = [t.by_stratum() for t in self.tallies]
        return total((strata[NOISE] for strata in found if NOISE in strata), len(self.design.used))

    @property
    def order(self) -> list[int]:
        """Of the variables [used bands, targets]: the bands, then the target of each output."""
        n = len(self.design.used)
        return [*range(n), *(n + t for t in self.design.targets)]

    def blocks(self) -> list[Block]:
        """The blocks with pixels, scene by scene, row by row."""
        found = []
        for scene, (tally, grid) in enumerate(zip(self.tallies, self.grids, strict=True)):
            of_pixel = block_numbers(tally.pixels.place, [grid], first=scene)
            for number, moments in tally.blocks.items():
                if moments.count:
                    sample = tally.pixels.values[of_pixel == number][:, self.order]
                    found.append(Block(scene, number, moments.take(self.order), sample))
        return found

    def parts(self) -> list[Block]:
        """What can be held out: the blocks, or the random parts."""
        if not self.random_parts:
            return self.blocks()
        pixels, found = self.pixels, []
        strata = [t.by_stratum() for t in self.tallies]
        of_pixel = part_of(pixels.key, self.random_parts)
        for number in range(self.random_parts):
            some = [s[number] for s in strata if number in s]
            if some:
                sample = pixels.values[of_pixel == number][:, self.order]
                found.append(Block(-1, number, total(some, some[0].size).take(self.order), sample))
        return found

    def within(self, places: Sequence[tuple[int, int]]) -> Survey:
        """What the pass found in these parts (scene, number) alone; extremes stay those of all pixels."""
        tallies = []
        for scene, (tally, grid) in enumerate(zip(self.tallies, self.grids, strict=True)):
            kept = [number for s, number in places if s in (scene, -1)]
            if self.random_parts:
                of_pixel, which = part_of(tally.pixels.key, self.random_parts), 1
            else:
                of_pixel, which = block_numbers(tally.pixels.place, [grid], first=scene), 0
            here = np.isin(of_pixel, kept)
            strata = {key: m for key, m in tally.strata.items() if key[which] in kept}
            used = sum(m.count for (_, stratum), m in strata.items() if stratum != NOISE)
            tallies.append(replace(tally, pixels=tally.pixels.where(here), strata=strata, used=used))
        return replace(self, tallies=tallies, scenes=[t.total() for t in tallies])

    @property
    def pooled(self) -> Moments:
        """Moments of all scenes together."""
        return total(self.scenes, self.scenes[0].size)

    @property
    def high(self) -> Floats:
        """Maxima of [used bands, targets] over the used pixels."""
        result: Floats = np.max([t.high for t in self.tallies], axis=0)
        return result

    @property
    def pixels(self) -> Pixels:
        """The sample of all scenes together."""
        sample = self.tallies[0].pixels
        for tally in self.tallies[1:]:
            sample = sample + tally.pixels
        return sample


Arrange = Callable[[Bands], Design]


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


def survey(scenes: Sequence[Scene], arrange: Arrange, effort: Effort, progress: Progress, inquiry: Inquiry) -> Survey:
    """Guess the dead bands from a few windows, gather everything in one pass, and check the guess.

    A wrong guess costs one more pass, and is said in the messages. Where all bands of a scene are dead, this speaks
    against the scene.

    Parameters
    ----------
    arrange : makes the design from a band table; called again when bands turn out dead.

    Raises
    ------
    InputError : of the first scene that cannot be used. ScenesError : of all of them, if the inquiry skips.
    """
    keys = [s.key for s in scenes]
    flagged = scenes[0].bands.dropping({i: r for s in reversed(scenes) for i, r in enumerate(s.bands.reason) if r})
    wanted = arrange(flagged).used
    looks = each(keys, scenes, lambda scene: scout(scene, wanted, effort, inquiry), skip=inquiry.skip)
    guess = common_reasons(scenes, [_dead_if_some_live(look.census, wanted) for look in looks])
    samples, sources = [look.sample for look in looks], [flagged.source[p] for p in wanted]
    messages = pool_messages(scenes, samples, sources, any_units=inquiry.any_units, skip=inquiry.skip)
    for attempt in (1, 2):
        bands = flagged.dropping(guess)
        _require_bands(scenes, bands, wanted)
        design = arrange(bands)
        inquiry = _settled(inquiry, [look.moments for look in looks], [wanted.index(p) for p in design.used])
        tallies = _passes(scenes, wanted, design, effort, progress, inquiry)
        pairs = list(zip(scenes, tallies, strict=True))
        each(keys, pairs, lambda pair: _require_bands_of(*pair, wanted), skip=inquiry.skip)
        dead = [dead_of(t.census, wanted) for t in tallies]
        if inquiry.skip:
            _require_alike(scenes, dead, len(wanted))
        truth = common_reasons(scenes, dead)
        if attempt == 2 or set(truth) == set(guess):
            break
        messages.append("the dead bands were not those seen in the first windows: the pixels were read a second time")
        guess = truth
    totals = each(keys, pairs, lambda pair: _usable(*pair), skip=inquiry.skip)
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


@dataclass(frozen=True, eq=False)
class Look:
    """What a few windows of a scene tell of some bands: their census; moments over the first cell of each, if they are
    to tell the precision; and a (D, n) sample of the pixels, NaN where missing."""

    census: Census
    moments: Moments
    sample: Floats


def _settled(inquiry: Inquiry, looks: Sequence[Moments], used: Sequence[int]) -> Inquiry:
    """With the precision that the used bands need, by the look of the first windows of each scene."""
    if inquiry.precision != "auto":
        return inquiry
    needs = {enough(m.take(used).covariance) if m.count > 2 * len(used) else "float64" for m in looks}
    return replace(inquiry, precision="float32" if needs == {"float32"} else "float64")


def dead_of(census: Census, wanted: Sequence[int]) -> dict[int, str]:
    """The wanted bands that a census finds dead, by position, with the reason."""
    return {wanted[i]: reason for i, reason in census.dead(len(wanted)).items()}


def _dead_if_some_live(census: Census, wanted: Sequence[int]) -> dict[int, str]:
    """The dead bands; none where all seem to be, as a few windows do not tell that."""
    dead = dead_of(census, wanted)
    return dead if len(dead) < len(wanted) else {}


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


def _targets_of(scene: Scene) -> int:
    if scene.labels is not None:
        return 1
    return 0 if scene.target is None else len(target_bands(scene.target))


def block_grid(scene: Scene, n_scenes: int) -> BlockGrid:
    """The blocks of one of so many scenes."""
    most = BLOCKS_PER_SIDE if scene.labels is None else CLASS_BLOCKS_PER_SIDE
    return blocks(scene.shape, max(1, int(most / n_scenes**0.5)))


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


def _require_bands(scenes: Sequence[Scene], bands: Bands, wanted: Sequence[int]) -> None:
    if not bands.good[list(wanted)].any():
        reasons = dict.fromkeys(bands.reason[p] for p in wanted)
        limits = shorten(dict.fromkeys(f" in {s.where.text}" for s in scenes if s.where is not None))
        raise InputError(
            f"no band of {shorten(s.rasters[0].path for s in scenes)} can be used",
            got=shorten(reasons) + (limits if scenes[0].where is not None else ""),
            expected="bands with data",
            remedy="Look at it with bandfuse info -v.",
        )


def require_selected(scene: Scene, tally: Tally) -> None:
    """A selection must leave pixels.

    Raises
    ------
    InputError : it leaves none.
    """
    outside = sum(tally.invalid.get(reason, 0) for reason in OUTSIDE)
    if scene.where is not None and outside == scene.shape[0] * scene.shape[1]:
        raise InputError(
            f"no pixel of scene {scene.key!r} is selected",
            got=scene.where.text,
            expected=f"pixels of {scene.grid.path}",
            remedy="Bounds are in the CRS of the training grid, windows in its pixels from 0; see bandfuse info.",
        )


def _require_bands_of(scene: Scene, tally: Tally, wanted: Sequence[int]) -> None:
    """Of a scene pixels must be selected, and some band must hold data."""
    require_selected(scene, tally)
    dead = dead_of(tally.census, wanted)
    if len(dead) == len(wanted):
        _require_bands([scene], scene.bands.dropping(dead), wanted)


def _require_alike(scenes: Sequence[Scene], dead: Sequence[Mapping[int, str]], wanted: int) -> None:
    """No scene costs the others more than half of the bands: those that are dead there, and in half of all at most.

    Raises
    ------
    ScenesError : scenes that do.
    """
    count = Counter(position for found in dead for position in found)

    def require(pair: tuple[Scene, Mapping[int, str]]) -> None:
        scene, found = pair
        own = [position for position in found if 2 * count[position] <= len(dead)]
        if 2 * len(own) > wanted:
            raise InputError(
                f"scene {scene.key!r} lacks bands that most others have",
                got=f"{len(own)} of {wanted} bands dead: {shorten(scene.bands.label(i) for i in own)}",
            )

    each([s.key for s in scenes], list(zip(scenes, dead, strict=True)), require, skip=True)


def _require_targets(scene: Scene, tally: Tally) -> None:
    """Every band of a target must hold data, as a pixel without one of them is no pixel to learn from."""
    if scene.target is None or not tally.census.seen or scene.labels is not None:
        return
    places = target_bands(scene.target)
    empty = [i for i, n in zip(places, tally.census.valid[-len(places) :], strict=True) if not n]
    if empty and len(empty) < len(places):
        raise InputError(
            f"target {scene.target.path} of scene {scene.key!r} has bands without data where the scene has some",
            got=shorten(f"band {i + 1} ({scene.target.bands.name[i]})" for i in empty),
            expected="valid pixels in every band of the target",
            remedy="Leave these bands out of the target: gdal_translate -b.",
        )  # fmt: skip


def _usable(scene: Scene, tally: Tally) -> Moments:
    """The moments of a scene; it must have pixels, and numbers that can be squared."""
    _require_targets(scene, tally)
    if tally.used < 2:
        reasons = ", ".join(f"{n} {reason}" for reason, n in tally.invalid.items() if n)
        raise InputError(
            f"scene {scene.key!r} has no pixels to learn from",
            got=f"{tally.used} usable of {scene.shape[0] * scene.shape[1]} pixels ({reasons or 'too small'})",
            expected="at least 2 pixels that are valid in all used bands and the target",
            remedy="Look at it with bandfuse info; leave out bands that hold no data.",
        )
    moments = tally.total()
    if not np.isfinite(moments.scatter).all():
        raise InputError(
            f"scene {scene.key!r} holds numbers whose squares overflow",
            expected="numbers below 1e150 in size",
            remedy="Is a fill value not declared as nodata? Look at it with bandfuse info.",
        )
    return moments
