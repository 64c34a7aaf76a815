"""Ridged: least squares with a ridge, and the folds and resamples of blocks by which it is
chosen and its errors are told."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bandfuse.spectral.bands import Floats

JITTER = 1e-9
"""The least ridge."""

FOLDS = 5
RESAMPLES = 400


def folds_of(count: int, seed: int) -> NDArray[np.int64]:
    """(N,) the fold of each block."""
    return np.random.default_rng(seed).permutation(count) % min(FOLDS, max(count, 1))


def resampled(count: int, seed: int, size: int = RESAMPLES) -> Floats:
    """(R, N) how often each block stands in each resample."""
    random = np.random.default_rng(seed)
    times = random.multinomial(count, np.full(count, 1 / count), size=size)
    return times.astype(np.float64)


def at_once(size: int, most: int, room: int) -> int:
    """Resamples that are held at once, of ``size`` numbers each: so many, or as many as fit into a
    room of so many bytes."""
    return max(1, min(most, room // (8 * size)))


def solved(square: Floats, right: Floats, ridge: float) -> Floats:
    """(R, T, B) of (square + ridge · its diagonal)⁻¹ right; zero for what does not vary."""
    scale = np.sqrt(np.einsum("rii->ri", square))
    scale = np.where(scale > 0, scale, 1.0)
    same = square / scale[:, :, None] / scale[:, None, :]
    ridged = same + max(ridge, JITTER) * np.eye(square.shape[1])
    result: Floats = np.linalg.solve(ridged, right / scale[:, :, None]) / scale[:, :, None]
    return result
