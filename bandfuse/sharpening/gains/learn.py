"""Learn: gains from sums over blocks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bandfuse.sharpening.gains.gains import LEARNED, Gains, reasons_of
from bandfuse.sharpening.gains.ridged import JITTER, at_once, folds_of, resampled, solved
from bandfuse.sharpening.gains.sums import CubeSums, Sums
from bandfuse.sharpening.gains.weights import covariance, weights_of
from bandfuse.spectral.bands import Floats

RIDGES = (0.1, 0.3, 1.0, 3.0, 10.0, 100.0)
"""Pulls towards the gains of the whole image, relative to the variance of the detail."""

WHOLE_RIDGES = (JITTER, 1e-4, 1e-3)
"""Ridges of the gains of the whole image, relative to the variance of the sharp bands: there can be
many of these that are nearly alike, and few pixels."""

Ridges = tuple[float, float]
"""Of the whole image, and of the detail."""


def gains_of(
    sums: Sums,
    blur: float | None,
    *,
    blur_error: float = np.nan,
    force: bool = False,
    seed: int = 0,
) -> Gains:
    """The gains, from sums over blocks.

    The gains of the whole image are ``G₁ = C_xt C_tt⁻¹``. Those of the detail on the cube's grid,
    ``C_ed C_dd⁻¹`` with e what interpolation misses there and d the detail of the sharp image, are
    nearer to what is asked for, but come from less: they are pulled towards G₁. Both have a ridge
    that is chosen on held-out blocks."""
    sums = sums.without_constant()
    folds = folds_of(len(sums.plain), seed)
    ridges = _chosen(sums, folds)
    every = np.ones((1, len(sums.plain)))
    learned = _gains(sums, every, ridges)[0]
    errors = _held_out(sums, folds, ridges)
    low, high = _intervals(sums, ridges, seed)
    reasons = (LEARNED,) * sums.bands if force else reasons_of(low, high, errors, sums.plain)
    count = max(float(sums.both[:, 0, 0].sum()), 1.0)
    kept = np.array([not reason for reason in reasons])
    weight, offset = weights_of(sums.by_cube, seed)
    lift, drop, noise = _subspace(sums.by_cube)
    return Gains(
        gain=np.where(kept[:, None], learned, 0.0),
        learned=learned,
        low=low,
        high=high,
        weight=weight,
        offset=offset,
        blur=blur,
        blur_error=blur_error,
        lift=lift,
        drop=drop,
        noise=noise,
        error=errors.sum(axis=0) / count,
        plain=sums.plain.sum(axis=0) / count,
        reasons=reasons,
        ridge=ridges[1],
        blocks=len(sums.plain),
        pixels=int(sums.both[:, 0, 0].sum()),
    )


def _gains(sums: Sums, times: Floats, ridges: Ridges) -> Floats:
    """(R, B, T) gains with each block so many times."""
    t, b = sums.cross.shape[1:]
    rows = np.concatenate([[0], np.arange(1 + b, 1 + b + t)])
    every = sums.both[:, rows], sums.detail, sums.cross
    gain = np.empty((len(times), b, t))
    batch = at_once(sum(part[0].size for part in every), len(times), ROOM)
    for first in range(0, len(times), batch):
        here = slice(first, first + batch)
        both, detail, cross = (np.tensordot(times[here], part, 1) for part in every)
        gain[here] = _gains_from(both, detail, cross, ridges).transpose(0, 2, 1)
    return gain


ROOM = 8 * 2**20
"""Bytes of the matrices from which gains are solved at once."""


def _gains_from(both: Floats, detail: Floats, cross: Floats, ridges: Ridges) -> Floats:
    """(R, T, B) gains from sums of [1, sharp] with [1, cube, sharp], and those of the detail."""
    n, b = np.maximum(both[:, :1, :1], 1.0), cross.shape[2]
    cov = (both[:, 1:, 1:] - both[:, 1:, :1] * both[:, :1, 1:] / n) / n
    whole = solved(cov[:, :, b:], cov[:, :, :b], ridges[0])
    found: Floats = whole + solved(detail, cross - detail @ whole, ridges[1])
    return found


def _held_out(sums: Sums, folds: NDArray[np.int64], ridges: Ridges) -> Floats:
    """(N, B) sums of squared errors of the detail in each block, by gains that were learned from
    other blocks."""
    errors = np.empty_like(sums.plain)
    for fold in np.unique(folds):
        held = folds == fold
        gain = _gains(sums, (~held).astype(np.float64)[None], ridges)[0]
        both = 2 * sums.cross[held].transpose(0, 2, 1) - gain @ sums.detail[held]
        errors[held] = sums.plain[held] - (gain * both).sum(axis=2)
    return errors


def _chosen(sums: Sums, folds: NDArray[np.int64]) -> Ridges:
    """The ridges with the least held-out error, summed over bands in units of interpolation's:
    first that of the whole image, with hardly anything learned from the detail, then the other."""
    plain = sums.plain.sum(axis=0)

    def loss(ridges: Ridges) -> float:
        error = _held_out(sums, folds, ridges).sum(axis=0)
        return float((error[plain > 0] / plain[plain > 0]).sum())

    whole = min(WHOLE_RIDGES, key=lambda ridge: loss((ridge, RIDGES[-1])))
    return whole, min(RIDGES, key=lambda ridge: loss((whole, ridge)))


def _intervals(sums: Sums, ridges: Ridges, seed: int) -> tuple[Floats, Floats]:
    """(B, T) ends of 95 % intervals, by a bootstrap over blocks."""
    gains = _gains(sums, resampled(len(sums.plain), seed), ridges)
    low, high = np.quantile(gains, [0.025, 0.975], axis=0, overwrite_input=True)
    return low, high


def _subspace(sums: CubeSums) -> tuple[Floats, Floats, Floats]:
    """(B, k) and (k, B) whose product brings residuals to the subspace of the cube that is not
    noise; and (B,) the noise.

    The noise of a band is what the others do not explain of it (J. M. Bioucas-Dias and J. M. P.
    Nascimento, Hyperspectral subspace identification, IEEE TGRS 46(8), 2008). In units of noise the
    eigenvalues of n pixels of noise alone lie below (1 + √(B/n))² (V. A. Marčenko and L. A. Pastur,
    1967)."""
    b, n = sums.bands, float(sums.count.sum())
    cov = covariance(sums, np.ones((1, len(sums.squares))))[0][:b, :b]
    noise = _noise(cov, n)
    white = cov / noise[:, None] / noise[None]
    size, axes = np.linalg.eigh(white)
    signal = size > (1 + np.sqrt(b / n)) ** 2
    signal[-1] = True
    chosen = axes[:, signal][:, ::-1]
    return noise[:, None] * chosen, chosen.T / noise, noise


def _noise(cov: Floats, n: float) -> Floats:
    """(B,) standard deviation of what the other bands do not explain of each, of n pixels."""
    b = len(cov)
    spread = np.sqrt(np.diag(cov))
    spread = np.where(spread > 0, spread, 1.0)
    same = cov / spread[:, None] / spread[None] + JITTER * np.eye(b)
    left = 1 / np.diag(np.linalg.inv(same))
    free = max(n - b, 1.0) / n if n > b else 1.0
    found: Floats = np.sqrt(np.clip(left / free, JITTER, 1.0)) * spread
    return found
