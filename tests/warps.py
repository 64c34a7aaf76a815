"""Sharp images that are displaced against their cubes by known fields; made with scipy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

Floats = NDArray[np.float64]


def quadratic(shape: tuple[int, int], largest: float, seed: int, wide: int = 0) -> Floats:
    """(2, n, m) rows and columns of a made-up field of second order, whose longest displacement on
    a grid of some shape is known; with so many more pixels on each side."""
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(2, 6)) * np.array([0.5, 1, 1, 1, 1, 1])

    def field(extra: int) -> Floats:
        y, x = np.mgrid[-extra : shape[0] + extra, -extra : shape[1] + extra].astype(np.float64)
        u, v = 2 * x / shape[1] - 1, 2 * y / shape[0] - 1
        terms = np.stack([np.ones_like(u), u, v, u * u, u * v, v * v])
        return np.asarray(np.tensordot(weights, terms, axes=1))

    found: Floats = field(wide) * largest / np.hypot(*field(0)).max()
    return found


def displaced(image: Floats, field: Floats) -> Floats:
    """(T, n, m) an image w with ``w(p − d(p)) = image(p)``: d moves it back onto itself. ``field``
    (2, n + 2k, m + 2k) in its pixels, known so much farther than the image. NaN beyond it."""
    k = (field.shape[1] - image.shape[1]) // 2
    y, x = np.mgrid[: field.shape[1], : field.shape[2]].astype(np.float64)
    ahead = field.copy()
    for _ in range(60):
        at = np.stack([y + ahead[0], x + ahead[1]])
        ahead = np.stack([map_coordinates(one, at, order=3, mode="nearest") for one in field])
    inner = slice(k, k + image.shape[1]), slice(k, k + image.shape[2])
    at = np.stack([y + ahead[0], x + ahead[1]])[:, inner[0], inner[1]] - k
    beyond = (at < 0) | (at > np.array(image.shape[1:])[:, None, None] - 1)
    values = np.stack([map_coordinates(one, at, order=5, mode="nearest") for one in image])
    values[:, beyond.any(axis=0)] = np.nan
    return values


def beneath(image: Floats, field: Floats) -> Floats:
    """(T, n, m) an image w with ``w(p) = image(p − d(p))``, which d moves the image onto. ``field``
    (2, n, m) in its pixels. What lies beyond the image mirrors it."""
    y, x = np.mgrid[: image.shape[1], : image.shape[2]].astype(np.float64)
    at = np.stack([y - field[0], x - field[1]])
    return np.stack([map_coordinates(one, at, order=5, mode="mirror") for one in image])


def on_coarse(field: Floats, ratio: int) -> Floats:
    """(2, n / ratio, m / ratio) a field at the centres of coarse pixels, in these."""
    rows, cols = (side // ratio for side in field.shape[1:])
    at = np.mgrid[0:rows, 0:cols] * ratio + (ratio - 1) / 2
    return np.stack([map_coordinates(one, at, order=3) for one in field]) / ratio
