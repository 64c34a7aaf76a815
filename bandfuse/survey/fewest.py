"""Fewest: moments of which no number is of fewer pixels than a stated number, which hold no pixel
as it is, and from which none can be computed.

Many variables tell few pixels: the mean and the scatter of N pixels of D whole numbers are the
products of D vectors of N whole numbers. Where N is not above D, a reduction of their lattice
(Lenstra, Lenstra and Lovász, "Factoring polynomials with rational coefficients", 1982) gives the
pixels back. So N is at least twice D, and twice that with differences of neighbours, which are as
many products again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bandfuse.errors import InputError
from bandfuse.moments.census import Census
from bandfuse.moments.moments import Moments
from bandfuse.moments.sample import Pixels
from bandfuse.moments.tally import NOISE, Tally
from bandfuse.spectral.bands import Floats
from bandfuse.spectral.value_units import Values
from bandfuse.streaming.blocks import BlockGrid
from bandfuse.survey.scene_moments import SceneMoments
from bandfuse.survey.survey import BLOCKS_PER_SIDE

TOO_FEW = "of a class with too few pixels in a block (--least-pixels)"
"""Why pixels are left out of moments."""

TIMES = 2
"""Pixels of a block for each variable, at least."""

NEIGHBOURS = 2
"""Differences of neighbours that one pixel can have with those before it."""


def without_pixels(scene: SceneMoments) -> SceneMoments:
    """Without the sample, and without the pixels of the first look."""
    tally, look = scene.tally, scene.look
    none = Pixels.zero(0, len(tally.high))
    look = replace(look, sample=np.empty((len(scene.wanted), 0)))
    return replace(scene, tally=replace(tally, pixels=none), look=look)


def with_least(scene: SceneMoments, least: int) -> SceneMoments:
    """With the most blocks a side of which none has fewer pixels than ``least``; classes of which a
    block has fewer are left out of it. What single pixels or few of them tell is unknown: extremes,
    and all that the first look told that the blocks do not.

    Raises
    ------
    InputError : the scene itself has fewer, or so few pixels can be computed from their moments.
    """
    _require_more_than_variables(scene, least)
    for per_side in range(BLOCKS_PER_SIDE, 0, -1):
        grid = scene.grid.coarser(per_side)
        tally = scene.tally.coarser(scene.grid, grid)
        noise = [m for key, m in tally.strata.items() if key[1] == NOISE]
        every = [
            *((m, least) for m in tally.blocks.values()),
            *((m, NEIGHBOURS * least) for m in noise),
        ]
        if all(m.count == 0 or m.count >= needed for m, needed in every):
            return _of_blocks(without_pixels(scene), tally, grid, least)
    raise InputError(
        f"scene {scene.scene.key!r} has too few pixels",
        got=f"{scene.tally.used}",
        expected=f"at least {least} (--least-pixels)",
    )


def _require_more_than_variables(scene: SceneMoments, least: int) -> None:
    size = scene.tally.size
    needed = TIMES * size * (NEIGHBOURS if scene.noise else 1)
    if least < needed:
        raise InputError(
            f"pixels of scene {scene.scene.key!r} could be computed from moments of so few pixels",
            got=f"--least-pixels {least}",
            expected=f"{needed} or more for {size} bands and targets"
            + (" with --noise" if scene.noise else ""),
        )


def _of_blocks(scene: SceneMoments, tally: Tally, grid: BlockGrid, least: int) -> SceneMoments:
    kept = {
        key: _without_mean(m) if key[1] == NOISE else m
        for key, m in tally.strata.items()
        if m.count == 0 or m.count >= least
    }
    used = sum(m.count for m in replace(tally, strata=kept).blocks.values())
    lost = tally.used - used
    small = replace(
        tally,
        strata=kept,
        used=used,
        invalid=tally.invalid | ({TOO_FEW: lost} if lost else {}),
        pixels=scene.tally.pixels,
        census=_shared(tally.census, least),
        high=np.full(len(tally.high), np.nan),
    )
    return _known(replace(scene, tally=small, grid=grid, least=least))


def _without_mean(noise: Moments) -> Moments:
    """Differences along a row add up to the last pixel less the first one: their mean is of few
    pixels."""
    return replace(noise, mean=np.zeros(noise.size))


def _shared(census: Census, least: int) -> Census:
    """With the extremes that so many pixels have, as fill values and constants; others are
    unknown."""
    low, high = census.at_low >= least, census.at_high >= least
    return replace(
        census,
        low=np.where(low, census.low, np.nan),
        high=np.where(high, census.high, np.nan),
        at_low=census.at_low * low,
        at_high=census.at_high * high,
    )


def _known(scene: SceneMoments) -> SceneMoments:
    """With what the blocks tell of all bands and of the target, in place of what the first windows
    told."""
    whole, census, n = scene.tally.total(), scene.tally.census, len(scene.wanted)
    place = [scene.wanted.index(band) for band in scene.used]
    mean, scatter = np.zeros(n), np.zeros((n, n))
    bands = whole.take(range(len(place)))
    mean[place], scatter[np.ix_(place, place)] = bands.mean, bands.scatter
    unused = np.isin(range(n), place, invert=True)
    moments = Moments(whole.count, mean, scatter)
    seen = _values(moments, census.low[:n], census.high[:n])
    seen.mean[unused] = seen.spread[unused] = seen.typical[unused] = np.nan
    shared = _shared(scene.look.census, scene.least)
    look = replace(scene.look, census=shared, moments=moments, seen=seen)
    if scene.goals is None:
        return replace(scene, look=look)
    targets = range(len(place), len(place) + len(scene.goals))
    ends = (end[n : n + len(targets)] for end in (census.low, census.high))
    return replace(scene, look=look, goals=_values(whole.take(targets), *ends))


def _values(moments: Moments, low: Floats, high: Floats) -> Values:
    """The values that moments tell of; the typical size is the root of the mean square."""
    found = Values(low, high, moments.mean, np.sqrt(moments.variance), moments.mean)
    return replace(found, typical=found.size)
