"""Verdict: what the sharpening is worth, one scale down and at full scale."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bandfuse.results.sharpening import BANDFUSE, INTERPOLATION, FullScale, MethodScores, Reduced
from bandfuse.scenes.displacement import complete
from bandfuse.sharpening.gains.gains import Gains
from bandfuse.sharpening.gains.sums import plain_pixels
from bandfuse.sharpening.gains.tiles import ground
from bandfuse.sharpening.pairs.kept import shared
from bandfuse.sharpening.pairs.kernels import Axis, Range
from bandfuse.sharpening.pairs.known import Known, Place
from bandfuse.sharpening.pairs.pair import Pair
from bandfuse.sharpening.scores.baselines import METHODS
from bandfuse.sharpening.scores.reduced import (
    MOST_BANDS,
    Block,
    Learned,
    Small,
    blocks_of,
    held_out,
    is_whole,
    parts_of,
    ratio_of,
    sharpened_all,
    smalls_of,
)
from bandfuse.sharpening.scores.scores import (
    SQUARE,
    Alike,
    Score,
    Sums,
    alike,
    block_sums,
    full_scale,
    image_sums,
    peak_of,
    scores_of,
    total,
)
from bandfuse.sharpening.scores.worth import BandWorth, band_worth, jackknife, standard_errors
from bandfuse.spectral.bands import Floats

FULL_SIDE = 96
"""Fine pixels along each side of what is scored at full scale, in every part; fewer of many
bands."""

MOST_RATIO = 16
"""At higher ratios a square that is compared at both scales has too few pixels of the cube: only
consistency is scored."""

STRIP_BYTES = 8 * 2**20
"""Bytes of one method's image that are made at once."""


@dataclass(frozen=True, eq=False)
class Verdict:
    """``reduced`` and ``bands``: one scale down, None where the scene is too small for it;
    ``full``: at full scale; ``gain_map`` (h, w): local gain over interpolation in dB one scale
    down, in the part ``place`` of the cube, NaN where it is not known."""

    reduced: Reduced | None
    bands: BandWorth | None
    full: FullScale | None
    gain_map: Floats | None
    place: Place | None


def verdict_of(pair: Pair, gains: Gains, *, force: bool = False, seed: int = 0) -> Verdict:
    """Score a sharpening beside interpolation, GSA, GLP and Brovey.

    Of a large scene parts are taken, spread over it, with at most 144² pixels of the cube together.

    Parameters
    ----------
    pair : cube and sharp image. gains : what was learned from them. force : whether bands get
        detail that it does not help.
    """
    parts = parts_of(pair.geometry, len(gains.gain))
    whole = is_whole(pair.geometry, parts)
    full = _full(pair, gains, parts, whole)
    smalls = smalls_of(pair, parts)
    every = blocks_of(smalls)
    if sum(len(block.pixels.block) > 0 for block in every) < 2:
        return Verdict(None, None, full, None, None)
    found = _held(smalls, every, force, seed)
    if not found.sums:
        return Verdict(None, None, full, None, None)
    reduced, bands = _reduced(found, ratio_of(pair.geometry), whole)
    first = smalls[0]
    place = next(p for p in parts if first.size[0] <= p[0].size and first.size[1] <= p[1].size)
    return Verdict(reduced, bands, full, found.gain_map, place)


@dataclass(frozen=True, eq=False)
class _Held:
    """Sums of every method by block, the ``peak`` (B,) of the truth, how many coarse pixels were
    learned from, and the map of the first part."""

    sums: Mapping[str, list[Sums]]
    peak: Floats
    coarse: int
    gain_map: Floats


def _held(smalls: Sequence[Small], every: Sequence[Block], force: bool, seed: int) -> _Held:
    """Every block, sharpened by what was learned from the others, scored."""
    peak = np.fmax.reduce([peak_of(small.truth) for small in smalls])
    counts = [len(small.places) for small in smalls]
    sums: dict[str, list[Sums | None]] = {}
    squared = {name: np.zeros(smalls[0].size) for name in (BANDFUSE, INTERPOLATION)}
    for number, made in held_out(smalls, every, force=force, seed=seed):
        small, start = smalls[number], sum(counts[:number])
        for name, image in made.items():
            mine = sums.setdefault(name, [None] * sum(counts))
            for i, one in enumerate(block_sums(image, small.truth, peak, small.grid), start):
                before = mine[i]
                mine[i] = one if before is None else before + one
            if number == 0 and name in squared:
                squared[name] += _relative(image, small.truth)
    known = {
        name: [one for one in some if one is not None and one.pixels] for name, some in sums.items()
    }
    with np.errstate(invalid="ignore", divide="ignore"):
        gained = 10 * np.log10(squared[INTERPOLATION] / squared[BANDFUSE])
    coarse = sum(math.prod(small.phases[0].pair.geometry.coarse) for small in smalls)
    filled = {name: some for name, some in known.items() if some}
    return _Held(filled, peak, coarse, np.where(np.isfinite(gained), gained, np.nan))


def _relative(image: Floats, truth: Floats) -> Floats:
    """(h, w) squared errors, each band's in units of its variance, summed; zero where missing."""
    spread = np.nanvar(truth, axis=(1, 2))
    weight = np.where(spread > 0, 1 / np.where(spread > 0, spread, 1), 0.0)
    error: Floats = np.tensordot(weight, np.square(image - truth), axes=1)
    return np.where(np.isfinite(error), error, 0.0)


def _reduced(held: _Held, ratio: float, whole: bool) -> tuple[Reduced, BandWorth]:
    scored = {name: scores_of(total(some), held.peak, ratio) for name, some in held.sums.items()}

    methods = [
        MethodScores(
            method=name,
            scores=one.overall,
            errors=standard_errors(held.sums[name], held.peak, ratio),
        )
        for name, one in scored.items()
    ]
    better, alike_ = _compared(held, ratio)
    result = Reduced(
        methods=methods,
        blocks=len(held.sums[BANDFUSE]),
        bands=[],
        pixels=sum(some.pixels for some in held.sums[BANDFUSE]),
        coarse=held.coarse,
        whole=whole,
        better=better,
        alike=alike_,
    )
    own, plain = held.sums[BANDFUSE], held.sums[INTERPOLATION]
    return result, band_worth(own, plain, held.peak)


def _compared(held: _Held, ratio: float) -> tuple[list[str], list[str]]:
    """Methods that are better than bandfuse by ERGAS, and those that cannot be told apart."""

    def ergas(name: str, chosen: Sequence[int]) -> float:
        some = held.sums[name]
        value = scores_of(total(some[i] for i in chosen), held.peak, ratio).overall["ergas"]
        return math.nan if value is None else value

    every = list(range(len(held.sums[BANDFUSE])))
    better, same = [], []
    for name in held.sums:
        if name == BANDFUSE:
            continue
        more = ergas(BANDFUSE, every) - ergas(name, every)
        left = [[i for i in every if i != k] for k in every] if len(every) > 1 else []
        error = jackknife(np.array([ergas(BANDFUSE, c) - ergas(name, c) for c in left] or [0.0]))
        if abs(more) <= 2 * float(error):
            same.append(name)
        elif more > 0:
            better.append(name)
    return better, same


def _full(pair: Pair, gains: Gains, parts: Sequence[Place], whole: bool) -> FullScale | None:
    """Scores without a truth, of the middle of every part."""
    known = _baselines(pair, gains, parts)
    if known is None:
        return None
    ratio = ratio_of(pair.geometry)
    many = min(1.0, math.sqrt(MOST_BANDS / len(gains.gain)))
    side = max(2, round(FULL_SIDE * many / ratio))
    inner = [(_middle(rows, side), _middle(cols, side)) for rows, cols in parts]
    seen = [_seen(pair, known, rows, cols, ratio) for rows, cols in inner]
    methods = []
    for name in (BANDFUSE, *METHODS):
        some = [one[name] for one in seen if name in one]
        if some:
            methods.append(MethodScores(method=name, scores=_without_truth(some, ratio)))
    covered = sum(r.size * c.size for r, c in inner) == sum(r.size * c.size for r, c in parts)
    return FullScale(methods=methods, whole=whole and covered) if methods else None


def _baselines(pair: Pair, gains: Gains, parts: Sequence[Place]) -> Learned | None:
    """The baselines, learned from the parts at full scale."""
    every = [plain_pixels(pair, [pair.blur], *part) for part in parts]
    x = np.concatenate([some.cube for some in every], axis=1).T
    t = np.concatenate([some.sharp for some in every], axis=1).T
    if len(x) < 2:
        return None
    return Learned(gains, {name: method(x, t) for name, method in METHODS.items()})


def _middle(some: Range, side: int) -> Range:
    """The middle of a range, so long at most."""
    n = min(side, some.size)
    start = some.start + (some.size - n) // 2
    return Range(start, start + n)


@dataclass(frozen=True, eq=False)
class _Seen:
    """What is summed of one method at full scale, in one part."""

    fine: Alike
    coarse: Alike
    bands: int
    back: Sums
    peak: Floats


def _seen(pair: Pair, known: Learned, rows: Range, cols: Range, ratio: float) -> dict[str, _Seen]:
    """Every method in one part: alike to itself at both scales, and brought back to the cube."""
    cube, low = pair.cube(rows, cols), pair.reduced(rows, cols)
    x = np.where(cube.valid, cube.values, np.nan)
    if not cube.valid.any():
        return {}
    inner = _on_fine(pair.axes[0], rows), _on_fine(pair.axes[1], cols)
    both = np.concatenate([x, np.where(low.valid, low.values, np.nan)])
    if ratio > MOST_RATIO:
        inner, both = (Range(inner[0].start, inner[0].start), inner[1]), both[:, :0]
    coarse = alike(both, SQUARE / ratio)
    sharp, peak = pair.read_sharp(*inner), peak_of(x)
    return {
        name: _Seen(
            alike(np.concatenate([image, sharp])), coarse, len(x), image_sums(back, x, peak), peak
        )
        for name, (image, back) in _images(pair, known, (rows, cols), inner).items()
    }


def _images(
    pair: Pair, known: Learned, coarse: Place, inner: Place
) -> dict[str, tuple[Floats, Floats]]:
    """Of every method the fine pixels of a place, and what the cube would see on coarse ones."""
    means = {name: pair.means(*coarse, pair.bands) for name in (BANDFUSE, *known.methods)}
    on, bands = ground(pair, known.gains, *means[BANDFUSE].seen), pair.bands
    images = {name: np.full((bands, *(one.size for one in inner)), np.nan) for name in means}
    for place in means[BANDFUSE].strips(STRIP_BYTES):
        rows, cols = (shared(*both) for both in zip(place, inner, strict=True))
        for name, image in sharpened_all(pair, known, *place, on).items():
            valid = complete(image)
            means[name].add(place, Known(np.where(valid, image, 0.0), valid))
            if rows.size > 0 and cols.size > 0:
                part = image[:, rows.within(place[0]), cols.within(place[1])]
                images[name][:, rows.within(inner[0]), cols.within(inner[1])] = part
    return {name: (images[name], means[name].values) for name in means}


def _on_fine(axis: Axis, coarse: Range) -> Range:
    """The fine pixels that lie on coarse ones."""
    ends = sorted(axis.ratio * edge + axis.offset for edge in (coarse.start, coarse.stop))
    return Range(round(ends[0]), round(ends[1]))


def _without_truth(some: Sequence[_Seen], ratio: float) -> Score:
    """Scores at full scale, over all parts."""
    fine, coarse = some[0].fine, some[0].coarse
    for one in some[1:]:
        fine, coarse = fine + one.fine, coarse + one.coarse
    peak = np.fmax.reduce([one.peak for one in some])
    back = scores_of(total(one.back for one in some), peak, ratio).overall
    names = ("psnr", "sam", "ergas")
    consistency = {f"consistency_{name}": back[name] for name in names}
    return {**full_scale(fine, coarse, some[0].bands), **consistency}
