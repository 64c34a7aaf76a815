"""Worth: what a sharpened cube is worth beside the interpolated one, by band, and how certain its
scores are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bandfuse.results.sharpening import BandScore
from bandfuse.sharpening.scores.scores import Score, Sums, or_none, scores_of, total
from bandfuse.spectral.bands import Floats


@dataclass(frozen=True, eq=False)
class BandWorth:
    """What sharpening is worth to every band (B,): NaN where it is not known.

    ``psnr`` and ``plain``: of the sharpened band and of the interpolated one, in dB; ``gained``:
    their difference; ``error``: its standard error over blocks; ``rmse``, ``ssim``."""

    psnr: Floats
    plain: Floats
    gained: Floats
    error: Floats
    rmse: Floats
    ssim: Floats


def band_worth(own: Sequence[Sums], plain: Sequence[Sums], peak: Floats) -> BandWorth:
    """From sums of the same blocks of the sharpened cube and of the interpolated one."""
    mine, theirs = (np.stack([s.squared for s in some]) for some in (own, plain))
    left = decibels(theirs.sum(axis=0) - theirs, mine.sum(axis=0) - mine)
    scored, interpolated = (scores_of(total(some), peak, math.nan) for some in (own, plain))
    return BandWorth(
        psnr=scored.psnr,
        plain=interpolated.psnr,
        gained=decibels(theirs.sum(axis=0), mine.sum(axis=0)),
        error=jackknife(left) if len(own) > 1 else np.full(mine.shape[1], np.nan),
        rmse=scored.rmse,
        ssim=scored.ssim,
    )


def decibels(plain: Floats, own: Floats) -> Floats:
    """How much smaller one error is than another; NaN where that is not defined."""
    with np.errstate(invalid="ignore", divide="ignore"):
        gained = 10 * np.log10(plain / own)
    return np.where(np.isfinite(gained), gained, np.nan)


def jackknife(left: Floats) -> Floats:
    """Standard error over n blocks from values (n, …) that were made without each of them:
    ``√((n − 1) / n Σ (v − mean)²)`` (Efron & Stein, Annals of Statistics 9, 1981)."""
    n = len(left)
    error: Floats = np.sqrt((n - 1) / n * np.square(left - left.mean(axis=0)).sum(axis=0))
    return error


def standard_errors(some: Sequence[Sums], peak: Floats, ratio: float) -> Score:
    """The standard error of each score over all bands: by leaving out one block after the other.
    Nothing of less than two blocks."""
    if len(some) < 2:
        return {}
    left = (total(s for i, s in enumerate(some) if i != k) for k in range(len(some)))
    every = [scores_of(one, peak, ratio).overall for one in left]
    out: Score = {}
    for name in every[0]:
        values = [one[name] for one in every]
        known = [value for value in values if value is not None]
        out[name] = float(jackknife(np.array(known))) if len(known) == len(some) else None
    return out


def band_scores(bands: BandWorth, indices: Sequence[int]) -> list[BandScore]:
    """A row for each band; ``indices``: their numbers in the cube."""
    names = {"psnr": "psnr", "interpolated": "plain"} | {
        name: name for name in ("gained", "error", "rmse", "ssim")
    }
    return [
        BandScore(
            index=index, **{out: or_none(getattr(bands, name)[i]) for out, name in names.items()}
        )
        for i, index in enumerate(indices)
    ]
