"""Slopes: how a cube changes from pixel to pixel, as variables beside its bands; and moments
without what they explain.

A target that lies δ pixels off its cube sees ``Σ w_b x_b(p + δ) ≈ Σ w_b (x_b + δ·∇x_b + ½ δᵀ∇∇x_b
δ)``. The slopes of a few means of bands span the terms with δ nearly, so that weights that are
learned beside them are those of the bands where they lie. What the slopes explain is taken out of
bands and targets (Frisch and Waugh, Econometrica 1, 1933; Lovell, Journal of the American
Statistical Association 58, 1963): ``A* = A_xx − A_xz A_zz⁻¹ A_zx``, and ``c*`` and ``v*`` likewise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bandfuse.moments.moments import Moments
from bandfuse.spectral.bands import Floats
from bandfuse.streaming.stream import Cell, Patch, WeighedSource
from bandfuse.streaming.windows import Window, cells

GROUPS = 6
"""Means of neighbouring bands whose slopes are taken."""

KINDS = 5
"""Slopes of each: ∂x, ∂y, ∂xx, ∂yy and ∂xy, by differences of the eight neighbours."""

CUT = 1e-9
"""Correlations of the slopes have no inverse along directions with less than this part of the
largest variance."""

ON_CPU = "slopes of the cube, which register the target, are computed there"
"""Why the pass stays on the CPU."""


def grouped(order: Sequence[int]) -> list[list[int]]:
    """Bands, given in wavelength order, in groups of equal numbers."""
    return [part.tolist() for part in np.array_split(np.array(order), min(GROUPS, len(order)))]


def slopes_of(means: Floats) -> Floats:
    """(5 G, H − 2, W − 2) slopes of (G, H, W) images, without their outermost pixels: ∂x of all
    images, then ∂y, ∂xx, ∂yy and ∂xy; NaN where a neighbour is missing."""
    here, up, down = means[:, 1:-1, 1:-1], means[:, :-2, 1:-1], means[:, 2:, 1:-1]
    left, right = means[:, 1:-1, :-2], means[:, 1:-1, 2:]
    corners = means[:, 2:, 2:] - means[:, 2:, :-2] - means[:, :-2, 2:] + means[:, :-2, :-2]
    twice = 2 * here
    kinds = ((right - left) / 2, (down - up) / 2, left - twice + right, up - twice + down)
    around: Floats = np.concatenate([*kinds, corners / 4])
    return around


@dataclass(frozen=True, eq=False)
class SlopedSource:
    """A source with the slopes of its bands as variables after its own.

    A window is read with the pixels around it, so that slopes do not depend on how a scene is cut.
    Pixels at the edge of the scene, and pixels beside one in which a band is missing, have no
    slopes.

    ``shape`` of the scene; ``groups``: the variables of each mean."""

    source: WeighedSource
    shape: tuple[int, int]
    groups: Sequence[Sequence[int]]

    @property
    def count(self) -> int:
        """How many slopes there are."""
        return KINDS * len(self.groups)

    @property
    def bytes_per_pixel(self) -> int:
        """Of the source, and of the means."""
        return self.source.bytes_per_pixel + 8 * len(self.groups)

    def read(self, window: Window) -> _SlopedPatch:
        """The pixels of a window."""
        row, col = max(window.row - 1, 0), max(window.col - 1, 0)
        bottom = min(window.row + window.rows + 1, self.shape[0])
        right = min(window.col + window.cols + 1, self.shape[1])
        around = Window(row, col, bottom - row, right - col)
        frame = Window(window.row - 1, window.col - 1, window.rows + 2, window.cols + 2)
        patch = self.source.read(around)
        means = np.full((len(self.groups), frame.rows, frame.cols), np.nan)
        for cell in cells(around):
            values = patch.cell(*cell.within(around)).values()
            for mean, group in zip(means, self.groups, strict=True):
                mean[cell.within(frame)] = _mean(values, group).reshape(cell.rows, cell.cols)
        return _SlopedPatch(patch, means, window.row - row, window.col - col)


def _mean(values: Floats, group: Sequence[int]) -> Floats:
    """(n,) of some rows, added one by one: the bits do not depend on n."""
    total = values[group[0]].copy()
    for i in group[1:]:
        total += values[i]
    mean: Floats = total / len(group)
    return mean


@dataclass(frozen=True, eq=False)
class _SlopedPatch:
    """A window that lies ``row`` and ``col`` within a patch; ``means`` reach one pixel beyond."""

    patch: Patch
    means: Floats
    row: int
    col: int

    def cell(self, rows: slice, cols: slice) -> _SlopedCell:
        """The pixels of a cell."""
        means = self.means[:, rows.start : rows.stop + 2, cols.start : cols.stop + 2]
        slopes = slopes_of(means)
        down, across = slice(rows.start + self.row, rows.stop + self.row), self.col
        inner = self.patch.cell(down, slice(cols.start + across, cols.stop + across))
        return _SlopedCell(inner, slopes.reshape(len(slopes), -1))


@dataclass(frozen=True, eq=False)
class _SlopedCell:
    """The pixels of one cell, and their (Z, n) slopes."""

    inner: Cell
    slopes: Floats

    def values(self) -> Floats:
        """(D + Z, n) float64; NaN where missing."""
        return np.concatenate([self.inner.values(), self.slopes])

    @property
    def extremes(self) -> tuple[Floats, Floats] | None:
        """(D + Z,) least and largest values, if all are known to be finite."""
        ends = self.inner.extremes
        if ends is None or not np.isfinite(self.slopes).all():
            return None
        own = self.slopes.min(axis=1), self.slopes.max(axis=1)
        return np.concatenate([ends[0], own[0]]), np.concatenate([ends[1], own[1]])


@dataclass(frozen=True, eq=False)
class WithoutSlopes:
    """Takes out of D variables what Z slopes after them explain: ``u − share (z − about)``.

    ``share`` (D, Z), ``about`` (Z,): means keep their place, so that levels stay."""

    share: Floats
    about: Floats

    @classmethod
    def of(cls, moments: Moments, size: int) -> WithoutSlopes:
        """As the moments of D variables and slopes have it."""
        covariance = moments.covariance
        inner, cross = covariance[size:, size:], covariance[:size, size:]
        spread = np.sqrt(np.where(np.diag(inner) > 0, np.diag(inner), 1.0))
        inverse = np.linalg.pinv(inner / np.outer(spread, spread), rcond=CUT, hermitian=True)
        return cls((cross / spread) @ inverse / spread, moments.mean[size:])

    def moments(self, seen: Moments) -> Moments:
        """Of the D variables, from those of variables and slopes: ``S_uu − H − Hᵀ`` with
        ``H = share (S_zu − S_zz shareᵀ / 2)``, as slopes are few beside variables."""
        size = len(self.share)
        inner, cross = seen.scatter[size:, size:], seen.scatter[size:, :size]
        half = self.share @ (cross - 0.5 * inner @ self.share.T)
        mean = seen.mean[:size] - self.share @ (seen.mean[size:] - self.about)
        return Moments(seen.count, mean, seen.scatter[:size, :size] - half - half.T)

    def pixels(self, values: Floats) -> Floats:
        """(n, D) from (n, D + Z)."""
        size = len(self.share)
        rest: Floats = values[:, :size] - (values[:, size:] - self.about) @ self.share.T
        return rest
