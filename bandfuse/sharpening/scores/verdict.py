"""Verdict: what the sharpening is worth, one scale down and at full scale."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bandfuse.results.sharpening import BANDFUSE, INTERPOLATION, FullScale, MethodScores, Reduced
from bandfuse.sharpening.gains.gains import Gains
from bandfuse.sharpening.pairs.pair import Pair
from bandfuse.sharpening.pairs.ranges import Place
from bandfuse.sharpening.scores.full_scale import full_scale_of
from bandfuse.sharpening.scores.held_out import Block, blocks_of, held_out
from bandfuse.sharpening.scores.reduced import Small, is_whole, parts_of, ratio_of, smalls_of
from bandfuse.sharpening.scores.scores import Sums, block_sums, peak_of, scores_of, total
from bandfuse.sharpening.scores.worth import BandWorth, band_worth, jackknife, standard_errors
from bandfuse.spectral.bands import Floats
from bandfuse.streaming.heap import give_back


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
    full = full_scale_of(pair, gains, parts, whole)
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
        give_back()
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
