"""Cubes and sharp images whose fine cube is known; made with scipy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

Floats = NDArray[np.float64]
MIX = np.array([[1.0, 0.2], [0.5, -0.7], [-0.3, 1.5], [0.8, 0.8]])
MODULATION = 0.3


def scene(size: int = 128, noise: float = 0.0, seed: int = 0) -> tuple[Floats, Floats]:
    """(4, n, n) a cube of two random fields, and (2, n, n) sharp bands that span them."""
    rng = np.random.default_rng(seed)
    fields = []
    for _ in range(2):
        rough = sum(gaussian_filter(rng.normal(size=(size, size)), s) * s for s in (1.5, 4, 10))
        fields.append(np.asarray(rough))
    sharp = np.stack([3 + fields[0], 5 + fields[1]])
    truth = np.einsum("bt,tij->bij", MIX, np.stack(fields)) + 10
    return truth + noise * rng.normal(size=truth.shape), sharp


def seen(values: Floats, ratio: int, modulation: float = MODULATION) -> Floats:
    """Values as a sensor with larger pixels sees them, by scipy."""
    sigma = ratio * np.sqrt(2 * np.log(1 / modulation)) / np.pi
    rows, cols = (size // ratio for size in values.shape[1:])
    at = np.mgrid[0:rows, 0:cols] * ratio + (ratio - 1) / 2
    return np.stack(
        [map_coordinates(gaussian_filter(v, sigma, mode="nearest"), at, order=3) for v in values]
    )


def interpolated(cube: Floats, ratio: int) -> Floats:
    rows, cols = (size * ratio for size in cube.shape[1:])
    at = (np.mgrid[0:rows, 0:cols] - (ratio - 1) / 2) / ratio
    return np.stack([map_coordinates(v, at, order=3, mode="nearest") for v in cube])


def error(result: Floats, truth: Floats, border: int = 8) -> float:
    inner = slice(border, -border)
    return float(np.sqrt(np.square(result - truth)[:, inner, inner].mean()))
