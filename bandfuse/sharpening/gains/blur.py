"""Blur: the modulation between a cube and a sharp image that explains the cube best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from bandfuse.sharpening.gains.ridged import resampled
from bandfuse.sharpening.gains.sums import explained, plain_pixels
from bandfuse.sharpening.gains.weights import unexplained
from bandfuse.sharpening.pairs.pair import Pair
from bandfuse.sharpening.pairs.ranges import Place
from bandfuse.spectral.bands import Floats
from bandfuse.streaming.heap import give_back

AUTO: Literal["auto"] = "auto"
Blur = float | None | Literal["auto"]

TRIED = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7, 0.8)
"""Modulations that are tried; between them the best one is found by a parabola."""

PARTS = 16
"""Parts of a cube that are looked at: so many, evenly spread."""

RESAMPLES = 200


@dataclass(frozen=True)
class Found:
    """A ``blur``, None for the plain average; its standard ``error`` over blocks, NaN where it is
    not known."""

    blur: float | None
    error: float = float("nan")


STEP = 0.02
"""About the best one three more are tried, so far apart."""


def found_blur(pair: Pair, every: Sequence[Place], seed: int = 0) -> Found:
    """The modulation with which the cube's bands explain the sharp image best on held-out blocks:
    the vertex of a parabola through the least losses; its error by a bootstrap over blocks. The
    plain average is taken where it explains more than each of those that are tried.

    Raises
    ------
    ValueError : there is no pixel at which both are known.
    """
    some = [every[i] for i in sorted({int(i) for i in np.linspace(0, len(every) - 1, PARTS)})]

    plain, *losses = _losses(pair, (None, *TRIED), some, seed)
    coarse = np.sum(losses, axis=1)
    if plain.sum() <= coarse.min():
        return Found(None)
    about = float(np.clip(_vertex(TRIED, coarse), TRIED[0] + STEP, TRIED[-1] - STEP))
    near = (about - STEP, about, about + STEP)
    fine = _losses(pair, near, some, seed)
    times = resampled(fine.shape[1], seed, RESAMPLES)
    again = [_vertex(near, fine @ n) for n in times]
    return Found(_vertex(near, fine.sum(axis=1)), float(np.std(again)))


def _losses(pair: Pair, tried: Sequence[float | None], some: Sequence[Place], seed: int) -> Floats:
    """(K, N) held-out error of each block with each of K modulations, of the pixels that are known
    with all of them; zero for blocks without pixels."""
    sums = explained(plain_pixels(pair, tried, *part) for part in some)
    if sums is None:
        raise ValueError("cube and sharp images have no valid pixel in common")
    out = np.zeros((len(tried), len(sums.count)))
    out[:, sums.count > 0] = unexplained(sums.known, len(tried), seed)
    del sums
    give_back()
    return out


def _vertex(tried: Sequence[float], loss: Floats) -> float:
    """Where a parabola through the least of the losses and its neighbours is least; at most as far
    as the parabola's points are apart beyond them."""
    best = int(np.clip(np.argmin(loss), 1, len(loss) - 2))
    x, y = np.array(tried[best - 1 : best + 2]), loss[best - 1 : best + 2]
    square, slope, _ = np.polyfit(x - x[1], y, 2)
    at = -slope / (2 * square) if square > 0 else x[int(np.argmin(y))] - x[1]
    wide = (x[2] - x[0]) / 2
    return float(np.clip(x[1] + at, max(x[0] - wide, TRIED[0] / 2), x[2] + wide))
