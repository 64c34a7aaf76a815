"""Learn: gains from sums over blocks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from bandfuse.sharpening.gains.gains import LEARNED, Gains, reasons_of
from bandfuse.sharpening.gains.sums import Sums
from bandfuse.spectral.bands import Floats

RIDGES = (0.1, 0.3, 1.0, 3.0, 10.0, 100.0)
"""Pulls towards the gains of the whole image, relative to the variance of the detail."""

JITTER = 1e-9

WHOLE_RIDGES = (JITTER, 1e-4, 1e-3)
"""Ridges of the gains of the whole image, relative to the variance of the sharp bands: there can be
many of these that are nearly alike, and few pixels."""

WEIGHT_RIDGES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
"""Ridges of the weights of the sharp image, relative to the variance of the bands."""

FOLDS = 5
RESAMPLES = 400
AT_ONCE, ROOM = 16, 8 * 2**20
"""Resamples whose covariances are held at once: so many, or fewer that take so many bytes."""

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
    folds = _folds(len(sums.plain), seed)
    ridges = _chosen(sums, folds)
    every = np.ones((1, len(sums.plain)))
    learned = _gains(sums, every, ridges)[0]
    errors = _held_out(sums, folds, ridges)
    low, high = _intervals(sums, ridges, seed)
    reasons = (LEARNED,) * sums.bands if force else reasons_of(low, high, errors, sums.plain)
    count = max(float(sums.both[:, 0, 0].sum()), 1.0)
    kept = np.array([not reason for reason in reasons])
    weight, offset, _ = weights_of(sums, seed)
    lift, drop, noise = _subspace(sums)
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


def _folds(count: int, seed: int) -> NDArray[np.int64]:
    """(N,) the fold of each block."""
    return np.random.default_rng(seed).permutation(count) % min(FOLDS, max(count, 1))


def _covariance(sums: Sums, times: Floats) -> Floats:
    """(R, B + T, B + T) covariances of cube and sharp image, each block (R, N) times."""
    both = np.tensordot(times, sums.both, 1)
    n = np.maximum(both[:, :1, :1], 1.0)
    mean = both[:, 0, 1:] / n[:, 0]
    result: Floats = both[:, 1:, 1:] / n - mean[:, :, None] * mean[:, None, :]
    return result


def _gains(sums: Sums, times: Floats, ridges: Ridges) -> Floats:
    """(R, B, T) gains with each block so many times."""
    b = sums.bands
    rows = np.concatenate([[0], np.arange(1 + b, sums.both.shape[1])])
    both = np.tensordot(times, sums.both[:, rows], 1)
    detail = np.tensordot(times, sums.detail, 1)
    cross = np.tensordot(times, sums.cross, 1)
    gain = np.empty_like(cross)
    for first in range(0, len(times), GAINS_AT_ONCE):
        here = slice(first, first + GAINS_AT_ONCE)
        gain[here] = _gains_from(both[here], detail[here], cross[here], ridges)
    found: Floats = gain.transpose(0, 2, 1)
    return found


GAINS_AT_ONCE = 16
"""Gains that are solved at once: the matrices of one take a few MB, of 100 sharp bands."""


def _gains_from(both: Floats, detail: Floats, cross: Floats, ridges: Ridges) -> Floats:
    """(R, T, B) gains from sums of [1, sharp] with [1, cube, sharp], and those of the detail."""
    n, b = np.maximum(both[:, :1, :1], 1.0), cross.shape[2]
    cov = (both[:, 1:, 1:] - both[:, 1:, :1] * both[:, :1, 1:] / n) / n
    whole = _solved(cov[:, :, b:], cov[:, :, :b], ridges[0])
    found: Floats = whole + _solved(detail, cross - detail @ whole, ridges[1])
    return found


def _solved(square: Floats, right: Floats, ridge: float) -> Floats:
    """(R, T, B) of (square + ridge · its diagonal)⁻¹ right; zero for what does not vary."""
    scale = np.sqrt(np.einsum("rii->ri", square))
    scale = np.where(scale > 0, scale, 1.0)
    same = square / scale[:, :, None] / scale[:, None, :]
    ridged = same + max(ridge, JITTER) * np.eye(square.shape[1])
    result: Floats = np.linalg.solve(ridged, right / scale[:, :, None]) / scale[:, :, None]
    return result


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
    count = len(sums.plain)
    rng = np.random.default_rng(seed)
    times = rng.multinomial(count, np.full(count, 1 / count), size=RESAMPLES).astype(np.float64)
    low, high = np.quantile(_gains(sums, times, ridges), [0.025, 0.975], axis=0)
    return low, high


def _fits(sums: Sums, times: Floats) -> Iterator[tuple[Floats, Floats]]:
    """Weights (T, B) and offsets (T,) of the sharp image from the cube, for each ridge."""
    b = sums.bands
    cov = _covariance(sums, times[None])[0]
    mean = np.tensordot(times, sums.both[:, 0], 1)
    mean = mean[1:] / max(mean[0], 1.0) + sums.shift
    for ridge in WEIGHT_RIDGES:
        weight = _solved(cov[None, :b, :b], cov[None, :b, b:], ridge)[0].T
        yield weight, mean[b:] - weight @ mean[:b]


def weights_of(sums: Sums, seed: int = 0) -> tuple[Floats, Floats, Floats]:
    """(T, B) weights and (T,) offsets of the sharp image, with the ridge that has the least
    held-out error; and (N,) that error of each block: squares of ``t − W x − offset``, in units of
    the variance of t, summed over T."""
    best, losses = _weight_ridge(sums, seed)
    weight, offset = list(_fits(sums, np.ones(len(losses))))[best]
    return weight, offset, losses


def _weight_ridge(sums: Sums, seed: int) -> tuple[int, Floats]:
    """Which ridge has the least held-out error, and (N,) that error."""
    losses = _weight_losses(sums, seed).sum(axis=2)
    best = int(np.argmin(losses.sum(axis=1)))
    return best, losses[best]


def unexplained(sums: Sums, groups: int, seed: int = 0) -> Floats:
    """(G, N) held-out errors of each block as :func:`weights_of` tells, where the sharp bands are G
    groups of as many, one after the other: each with its own ridge."""
    losses = _weight_losses(sums, seed)
    losses = losses.reshape(*losses.shape[:2], groups, -1).sum(axis=3)
    best = losses.sum(axis=1).argmin(axis=0)
    return np.stack([losses[ridge, :, group] for group, ridge in enumerate(best)])


def _weight_losses(sums: Sums, seed: int) -> Floats:
    """(R, N, T) held-out error of every sharp band in each block, for each ridge."""
    folds = _folds(len(sums.plain), seed)
    shape = len(WEIGHT_RIDGES), len(folds), sums.both.shape[1] - 1 - sums.bands
    losses = np.zeros(shape)
    for fold in np.unique(folds):
        held = folds == fold
        fits = list(_fits(sums, (~held).astype(np.float64)))
        losses[:, held] = _misfit(sums, held, fits)
    return losses


def weight_intervals(sums: Sums, seed: int = 0) -> tuple[Floats, Floats]:
    """(T, B) ends of 95 % intervals of the weights of the sharp image, by a bootstrap over blocks
    with the ridge of the weights."""
    b, count = sums.bands, len(sums.plain)
    ridge = WEIGHT_RIDGES[_weight_ridge(sums, seed)[0]]
    rng = np.random.default_rng(seed)
    times = rng.multinomial(count, np.full(count, 1 / count), size=RESAMPLES).astype(np.float64)
    found = []
    at_once = max(1, min(AT_ONCE, ROOM // (8 * sums.both.shape[1] ** 2)))
    for some in np.array_split(times, -(-RESAMPLES // at_once)):
        cov = _covariance(sums, some)
        found.append(_solved(cov[:, :b, :b], cov[:, :b, b:], ridge))
    low, high = np.quantile(np.concatenate(found), [0.025, 0.975], axis=0)
    return low.T, high.T


def _misfit(sums: Sums, some: NDArray[np.bool_], fits: Sequence[tuple[Floats, Floats]]) -> Floats:
    """(R, n, T) sums of squares of ``t − W x − offset`` in some blocks, for each of R weights and
    offsets, in units of the variance of t."""
    b, r = sums.bands, len(fits)
    weight, offset = (np.concatenate(every) for every in zip(*fits, strict=True))
    t = len(offset) // r
    own = np.tile(np.eye(t), (r, 1))
    level = np.tile(sums.shift[b:], r) - weight @ sums.shift[:b] - offset
    row = np.concatenate([level[:, None], -weight, own], axis=1)
    variance = _sharp_variance(sums)
    # Block by block: the products of all of them, with many sharp bands, would take gigabytes.
    missed = np.empty((int(some.sum()), r * t))
    for i, number in enumerate(np.flatnonzero(some)):
        products = sums.both[number] @ row.T
        products *= row.T
        missed[i] = products.sum(axis=0)
    by_fit = missed.reshape(len(missed), r, t).transpose(1, 0, 2)
    result: Floats = by_fit / np.where(variance > 0, variance, 1.0)
    return result


def _sharp_variance(sums: Sums) -> Floats:
    """(T,) variance of the sharp bands."""
    at = np.arange(1 + sums.bands, sums.both.shape[1])
    n = max(float(sums.both[:, 0, 0].sum()), 1.0)
    squares, mean = sums.both[:, at, at].sum(axis=0) / n, sums.both[:, 0, at].sum(axis=0) / n
    result: Floats = squares - np.square(mean)
    return result


def _subspace(sums: Sums) -> tuple[Floats, Floats, Floats]:
    """(B, k) and (k, B) whose product brings residuals to the subspace of the cube that is not
    noise; and (B,) the noise.

    The noise of a band is what the others do not explain of it (J. M. Bioucas-Dias and J. M. P.
    Nascimento, Hyperspectral subspace identification, IEEE TGRS 46(8), 2008). In units of noise the
    eigenvalues of n pixels of noise alone lie below (1 + √(B/n))² (V. A. Marčenko and L. A. Pastur,
    1967)."""
    b, n = sums.bands, float(sums.both[:, 0, 0].sum())
    cov = _covariance(sums, np.ones((1, len(sums.both))))[0][:b, :b]
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
