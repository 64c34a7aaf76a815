"""Weights: the sharp image as a sum of the cube's bands, from sums over blocks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from bandfuse.sharpening.gains.ridged import at_once, folds_of, resampled, solved
from bandfuse.sharpening.gains.sums import CubeSums
from bandfuse.spectral.bands import Floats

WEIGHT_RIDGES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
"""Ridges of the weights of the sharp image, relative to the variance of the bands."""

AT_ONCE, ROOM = 16, 8 * 2**20
"""Resamples whose covariances are held at once: so many, or fewer that take so many bytes."""


def covariance(sums: CubeSums, times: Floats) -> Floats:
    """(R, B, B + T) covariances of the cube with cube and sharp image, each block (R, N) times."""
    products = np.tensordot(times, sums.products, 1)
    n = np.maximum(products[:, :1, :1], 1.0)
    mean = products[:, 0, 1:] / n[:, 0]
    among = mean[:, : sums.bands, None] * mean[:, None, :]
    result: Floats = products[:, 1:, 1:] / n - among
    return result


def _fits(sums: CubeSums, times: Floats) -> Iterator[tuple[Floats, Floats]]:
    """Weights (T, B) and offsets (T,) of the sharp image from the cube, for each ridge."""
    b = sums.bands
    cov = covariance(sums, times[None])[0]
    mean = np.tensordot(times, sums.products[:, 0], 1)
    mean = mean[1:] / max(mean[0], 1.0) + sums.shift
    for ridge in WEIGHT_RIDGES:
        weight = solved(cov[None, :b, :b], cov[None, :b, b:], ridge)[0].T
        yield weight, mean[b:] - weight @ mean[:b]


def weights_of(sums: CubeSums, seed: int = 0) -> tuple[Floats, Floats]:
    """(T, B) weights and (T,) offsets of the sharp image, with the ridge that has the least
    held-out error: squares of ``t − W x − offset``, in units of the variance of t."""
    return list(_fits(sums, np.ones(len(sums.squares))))[_weight_ridge(sums, seed)]


def _weight_ridge(sums: CubeSums, seed: int) -> int:
    """Which ridge has the least held-out error."""
    return int(np.argmin(_weight_losses(sums, seed).sum(axis=(1, 2))))


def unexplained(sums: CubeSums, groups: int, seed: int = 0) -> Floats:
    """(G, N) held-out errors of each block as :func:`weights_of` sees them, summed over the bands
    of each of G groups of sharp bands of one size, one after the other: each with its own ridge."""
    losses = _weight_losses(sums, seed)
    losses = losses.reshape(*losses.shape[:2], groups, -1).sum(axis=3)
    best = losses.sum(axis=1).argmin(axis=0)
    return np.stack([losses[ridge, :, group] for group, ridge in enumerate(best)])


def _weight_losses(sums: CubeSums, seed: int) -> Floats:
    """(R, N, T) held-out error of every sharp band in each block, for each ridge."""
    folds = folds_of(len(sums.squares), seed)
    losses = np.zeros((len(WEIGHT_RIDGES), *sums.squares.shape))
    for fold in np.unique(folds):
        held = folds == fold
        fits = list(_fits(sums, (~held).astype(np.float64)))
        losses[:, held] = _misfit(sums, held, fits)
    return losses


def weight_intervals(sums: CubeSums, seed: int = 0) -> tuple[Floats, Floats]:
    """(T, B) ends of 95 % intervals of the weights of the sharp image, by a bootstrap over blocks
    with the ridge of the weights."""
    b, t = sums.bands, sums.squares.shape[1]
    ridge = WEIGHT_RIDGES[_weight_ridge(sums, seed)]
    times = resampled(len(sums.squares), seed)
    weights = np.empty((len(times), b, t))
    batch = at_once(sums.products[0].size, AT_ONCE, ROOM)
    for first in range(0, len(times), batch):
        here = slice(first, first + batch)
        cov = covariance(sums, times[here])
        weights[here] = solved(cov[:, :b, :b], cov[:, :b, b:], ridge)
    low, high = np.quantile(weights, [0.025, 0.975], axis=0, overwrite_input=True)
    return low.T, high.T


def _misfit(
    sums: CubeSums, some: NDArray[np.bool_], fits: Sequence[tuple[Floats, Floats]]
) -> Floats:
    """(R, n, T) sums of squares of ``t − W x − offset`` in some blocks, for each of R weights and
    offsets, in units of the variance of t."""
    b, r = sums.bands, len(fits)
    weight, offset = (np.concatenate(every) for every in zip(*fits, strict=True))
    level = np.tile(sums.shift[b:], r) - weight @ sums.shift[:b] - offset
    # (1 + B, RT): what is added to a sharp band, of [1, cube].
    added = np.concatenate([level[None], -weight.T])
    variance = _sharp_variance(sums)
    missed = np.empty((r, int(some.sum()), sums.squares.shape[1]))
    # Block by block: of many sharp bands the products of all of them take gigabytes.
    for i, number in enumerate(np.flatnonzero(some)):
        products = sums.products[number, :, : 1 + b] @ added
        products += np.tile(2 * sums.products[number, :, 1 + b :], r)
        products *= added
        missed[:, i] = products.sum(axis=0).reshape(r, -1) + sums.squares[number]
    result: Floats = missed / np.where(variance > 0, variance, 1.0)
    return result


def _sharp_variance(sums: CubeSums) -> Floats:
    """(T,) variance of the sharp bands."""
    n = max(float(sums.count.sum()), 1.0)
    mean = sums.products[:, 0, 1 + sums.bands :].sum(axis=0) / n
    result: Floats = sums.squares.sum(axis=0) / n - np.square(mean)
    return result
