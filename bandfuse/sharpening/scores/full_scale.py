"""Full scale: scores of a sharpened cube without a true one, at its own resolution: how alike bands
stay to each other, and how far it is from the cube when it is brought back to its grid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bandfuse.results.sharpening import BANDFUSE, FullScale, MethodScores
from bandfuse.scenes.displacement import complete
from bandfuse.sharpening.gains.gains import Gains
from bandfuse.sharpening.gains.sums import plain_pixels
from bandfuse.sharpening.gains.tiles import ground
from bandfuse.sharpening.pairs.kernels import Axis
from bandfuse.sharpening.pairs.known import Known
from bandfuse.sharpening.pairs.pair import Pair
from bandfuse.sharpening.pairs.ranges import Place, Range
from bandfuse.sharpening.scores.alike import Alike, alike, distortions
from bandfuse.sharpening.scores.baselines import METHODS
from bandfuse.sharpening.scores.held_out import Learned, sharpened_all
from bandfuse.sharpening.scores.reduced import MOST_BANDS, ratio_of
from bandfuse.sharpening.scores.scores import Score, Sums, image_sums, peak_of, scores_of, total
from bandfuse.sharpening.scores.squares import SQUARE
from bandfuse.spectral.bands import Floats

FULL_SIDE = 96
"""Fine pixels along each side of what is scored at full scale, in every part; fewer of many
bands."""

MOST_RATIO = 16
"""At higher ratios a square that is compared at both scales has too few pixels of the cube: only
consistency is scored."""

STRIP_BYTES = 8 * 2**20
"""Bytes of one method's image that are made at once."""


def full_scale_of(
    pair: Pair, gains: Gains, parts: Sequence[Place], whole: bool
) -> FullScale | None:
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
        rows, cols = (a.shared(b) for a, b in zip(place, inner, strict=True))
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
    return {**distortions(fine, coarse, some[0].bands), **consistency}
