"""Areas: how much of a pixel's area each pixel of another grid covers, and what follows: means,
majorities, shares.

All shares are exact areas: of rectangles where two grids have the same axes, of quadrilaterals
where they are turned or bent against each other. Sums are taken in the order of the other grid's
pixels, so that the bits of a result do not depend on how the grids were cut into windows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bandfuse.spectral.bands import Floats
from bandfuse.streaming.windows import Window

if TYPE_CHECKING:
    from scipy.sparse import csr_array

COVERED = 0.5
"""The least share of a pixel's area that must be valid for the pixel to be valid."""

SNAP = 1e-6
"""Edges that lie this near to an edge of the other grid, in its pixels, are taken to lie on it."""

LEAST = 1e-9
"""Shares of an area below this are rounding."""

REACH = 4.0
"""A Gaussian ends after so many standard deviations."""


@dataclass(frozen=True, eq=False)
class Overlap:
    """``shares``: (n, m) of the area of n pixels that each of the m pixels of ``window``, row by
    row, covers."""

    window: Window
    shares: csr_array


def of_edges(rows: Floats, cols: Floats, shape: tuple[int, int]) -> Overlap | None:
    """Of pixels between these edges (in pixels of the other grid, ascending or descending), row by
    row; None if none of them meets the other grid.

    >>> found = of_edges(np.array([0.0, 1.5]), np.array([0.0, 2.0]), (4, 4))
    >>> found.shares.toarray().round(3).tolist()
    [[0.333, 0.333, 0.167, 0.167]]
    """
    from scipy.sparse import csr_array, kron

    down, across = _line(rows, shape[0]), _line(cols, shape[1])
    if down is None or across is None:
        return None
    (row, tall), (col, wide) = down, across
    shares = csr_array(kron(tall, wide, format="csr"))
    shares.sort_indices()
    return Overlap(Window(row, col, tall.shape[1], wide.shape[1]), shares)


def _line(edges: Floats, size: int) -> tuple[int, csr_array] | None:
    """Of intervals on a line with so many unit cells: the first cell that counts, and the shares
    from there on."""
    from scipy.sparse import csr_array

    edges = _snapped(edges)
    low, high = np.minimum(edges[:-1], edges[1:]), np.maximum(edges[:-1], edges[1:])
    first = np.floor(np.clip(low, 0, size)).astype(np.int64)
    count = np.maximum(np.ceil(np.clip(high, 0, size)).astype(np.int64) - first, 0)
    if not count.any():
        return None
    which = np.repeat(np.arange(len(count)), count)
    cell = np.arange(len(which)) - np.repeat(np.cumsum(count) - count, count) + first[which]
    share = (np.minimum(high[which], cell + 1) - np.maximum(low[which], cell)) / (high - low)[which]
    start, stop = int(cell.min()), int(cell.max()) + 1
    return start, csr_array((share, (which, cell - start)), shape=(len(count), stop - start))


def _snapped(at: Floats) -> Floats:
    near = np.rint(at)
    return np.where(np.abs(at - near) < SNAP, near, at)


def of_corners(
    corners: Floats, shape: tuple[int, int], *, most: float = math.inf
) -> Overlap | None:
    """Of pixels between (rows + 1, cols + 1, 2) corners (column and row in pixels of the other
    grid), row by row; None if none of them meets the other grid. Pixels with a corner that is not
    finite have no shares, nor do pixels that reach over more than ``most`` rows or columns.

    The area of a quadrilateral left of x = a and above y = b is the sum of ∫ min(x, a) dy over the
    parts of its edges above b (Green's theorem); differences of that over the corners of the other
    grid's pixels are the areas in them."""
    quads = np.stack(
        [corners[:-1, :-1], corners[:-1, 1:], corners[1:, 1:], corners[1:, :-1]], axis=2
    ).reshape(-1, 4, 2)
    with np.errstate(invalid="ignore"):
        reach = np.ptp(quads, axis=1).max(axis=1)
    known = np.flatnonzero(np.isfinite(quads).all(axis=(1, 2)) & (reach <= most))
    quads = _snapped(quads[known])
    low, high = np.floor(quads.min(axis=1)), np.ceil(quads.max(axis=1))
    near = ((high > 0) & (low < [shape[1], shape[0]])).all(axis=1)
    known, quads, low, high = known[near], quads[near], low[near], high[near]
    if not len(known):
        return None
    wide, tall = np.maximum((high - low).max(axis=0), 1).astype(np.int64)
    areas = _areas(quads - low[:, None], int(tall), int(wide))
    share = areas / np.abs(_area(quads - low[:, None]))[:, None, None]
    row = low[:, 1, None, None].astype(np.int64) + np.arange(tall)[:, None]
    col = low[:, 0, None, None].astype(np.int64) + np.arange(wide)
    kept = (share > LEAST) & (row >= 0) & (row < shape[0]) & (col >= 0) & (col < shape[1])
    return _gathered(kept, share, row, col, known, (corners.shape[0] - 1) * (corners.shape[1] - 1))


def _gathered(
    kept: NDArray[np.bool_],
    share: Floats,
    row: NDArray[np.int64],
    col: NDArray[np.int64],
    known: NDArray[np.intp],
    n: int,
) -> Overlap | None:
    """The shares that are kept, as a matrix over the smallest window that holds them."""
    from scipy.sparse import csr_array

    if not kept.any():
        return None
    rows, cols = np.broadcast_to(row, kept.shape)[kept], np.broadcast_to(col, kept.shape)[kept]
    window = Window(int(rows.min()), int(cols.min()), int(np.ptp(rows)) + 1, int(np.ptp(cols)) + 1)
    place = (rows - window.row) * window.cols + cols - window.col
    shares = csr_array((share[kept], (known[np.nonzero(kept)[0]], place)), shape=(n, window.size))
    shares.sort_indices()
    return Overlap(window, shares)


def _area(quads: Floats) -> Floats:
    """(n,) signed areas of polygons of (n, corners, 2)."""
    x, y = quads[..., 0], quads[..., 1]
    area: Floats = ((x * np.roll(y, -1, axis=1)) - (np.roll(x, -1, axis=1) * y)).sum(axis=1) / 2
    return np.where(area == 0, np.nan, area)


def _areas(quads: Floats, tall: int, wide: int) -> Floats:
    """(n, tall, wide) areas of (n, 4, 2) quadrilaterals in the unit squares from (0, 0) on."""
    a, b = np.arange(wide + 1.0), np.arange(tall + 1.0)[:, None]
    found = np.zeros((len(quads), tall + 1, wide + 1))
    for start, stop in ((0, 1), (1, 2), (2, 3), (3, 0)):
        (x0, y0), (x1, y1) = quads[:, start].T[..., None, None], quads[:, stop].T[..., None, None]
        x_top, x_end = np.where(y0 <= y1, x0, x1), np.where(y0 <= y1, x1, x0)
        top, end = np.minimum(y0, y1), np.maximum(y0, y1)
        height = np.clip(b, top, end) - top
        x_cut = x_top + height / np.where(end > top, end - top, 1.0) * (x_end - x_top)
        left, right = np.minimum(x_top, x_cut), np.maximum(x_top, x_cut)
        across = a - np.square(a - left) / (2 * np.where(right > left, right - left, 1.0))
        mean = np.where(right <= a, (left + right) / 2, np.where(left >= a, a, across))
        found += np.sign(y1 - y0) * height * mean
    return np.abs(np.diff(np.diff(found, axis=1), axis=2))


def average(shares: csr_array, values: Floats, least: float = COVERED) -> Floats:
    """(n, D) means of (m, D) values over the valid part of each pixel's area; NaN where that is
    less than ``least``."""
    there = np.isfinite(values)
    if there.all():
        total, valid = shares @ values, shares @ np.ones((len(values), 1))
    else:
        total, valid = shares @ np.where(there, values, 0.0), shares @ there.astype(np.float64)
    enough = valid >= least - LEAST
    mean: Floats = np.where(enough, total / np.where(enough, valid, 1.0), np.nan)
    return mean


def majority(shares: csr_array, values: Floats) -> Floats:
    """(n, 1) the class with most of a pixel's area, of (m, 1) classes; of several the smallest. NaN
    where less than half of the area has a class."""
    n = shares.shape[0]
    entries = shares.tocoo()
    which, share, found = entries.row, entries.data, values[entries.col, 0]
    there = np.isfinite(found)
    which, share, found = which[there], share[there], found[there]
    known, number = np.unique(found, return_inverse=True)
    pairs, place = np.unique(which * max(1, len(known)) + number, return_inverse=True)
    area = np.round(np.bincount(place, weights=share, minlength=len(pairs)) / LEAST)
    owner, kind = np.divmod(pairs, max(1, len(known)))
    order = np.lexsort((-kind, area, owner))
    out = np.full((n, 1), np.nan)
    out[owner[order], 0] = known[kind[order]]  # the last one of an owner stays: that of most area
    out[np.bincount(which, weights=share, minlength=n) < COVERED - LEAST] = np.nan
    return out


def counts(shares: csr_array, values: Floats) -> Floats:
    """(n, 1) one where (m, 1) values that are valid and not zero cover half of a pixel's area or
    more, else zero."""
    yes = np.isfinite(values) & (values != 0)
    most: Floats = ((shares @ yes.astype(np.float64)) >= COVERED - LEAST).astype(np.float64)
    return most


def gaussian_sigma(modulation: float, pixel: float) -> float:
    """The standard deviation of the Gaussian whose modulation transfer at the Nyquist frequency of
    a coarser grid is ``modulation``.

    The transfer of a Gaussian is exp(−2 π² σ² f²), and f = 1 / (2 pixel): σ = pixel · √(2 ln(1 /
    modulation)) / π (the matched filters of Aiazzi et al., Photogrammetric Engineering and Remote
    Sensing 72(5), 2006). The mean over the coarse pixel that follows has a transfer of 2/π = 0.64
    of its own there.

    >>> round(gaussian_sigma(0.3, 1.0), 4)
    0.4939
    """
    return pixel * math.sqrt(2 * math.log(1 / modulation)) / math.pi


def halo(sigma: tuple[float, float]) -> tuple[int, int]:
    """How many rows and columns beyond a pixel a Gaussian sees."""
    rows, cols = (int(REACH * s + 0.5) for s in sigma)
    return rows, cols


def blurred(values: Floats, sigma: tuple[float, float]) -> Floats:
    """(D, rows, cols) values under a Gaussian of so many pixels along rows and columns: the mean of
    the valid ones by its weights. What is missing stays missing."""
    there = np.isfinite(values)
    whole = bool(there.all())
    weight = _filtered((there[:1] if whole else there).astype(np.float64), sigma)
    total = _filtered(np.where(there, values, 0.0), sigma)
    return np.where(there, total / np.where(weight > 0, weight, 1.0), np.nan)


def _filtered(image: Floats, sigma: tuple[float, float]) -> Floats:
    from scipy.ndimage import gaussian_filter1d

    for axis, width in enumerate(sigma, 1):
        image = gaussian_filter1d(image, width, axis=axis, mode="constant", truncate=REACH)
    return image
