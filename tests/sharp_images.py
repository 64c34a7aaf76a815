"""Cubes and sharp images whose fine cube is known; made with scipy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from bandfuse.sharpening.pairs.pair import Geometry, Pair, reading

Floats = NDArray[np.float64]
MIX = np.array([[1.0, 0.2], [0.5, -0.7], [-0.3, 1.5], [0.8, 0.8]])
MODULATION = 0.3


SHAPE = (5, 70, 66)
"""Bands, rows and columns of :func:`two_images`."""


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


def pair_of(size: int = 192, ratio: int = 4, seed: int = 0) -> Pair:
    """A cube (4, n, n) and a sharp image (2, n · ratio, n · ratio)."""
    truth, sharp = scene(size, seed=seed)
    cube = seen(truth, ratio)
    geometry = Geometry.of_ratio((size, size), ratio)
    return Pair(geometry, MODULATION, reading(cube), reading(sharp))


def two_images(seed: int = 0, shape: tuple[int, int, int] = SHAPE) -> tuple[Floats, Floats]:
    """A smooth image with all bands above zero, and a worse one."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0 : shape[1], 0 : shape[2]] / 10
    level = np.arange(1, shape[0] + 1)[:, None, None]
    truth = 3 * level + np.sin(y * level + x) + 0.3 * rng.normal(size=shape)
    return 1.02 * truth + 0.2 * rng.normal(size=shape) + 0.05, truth


def batch(array: Floats) -> object:
    """As torch has it: one image of a batch."""
    import torch

    return torch.from_numpy(array)[None]
