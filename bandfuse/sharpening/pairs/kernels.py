"""Kernels: the linear maps between a coarse and a fine grid, along one axis each.

``low`` brings a fine image to the coarse grid: a Gaussian whose modulation at the Nyquist frequency
of the coarse grid is given, sampled at the centres of the coarse pixels, or the exact average over
their areas. ``up`` brings a coarse image to the fine grid: the interpolating cubic spline (M.
Unser, Splines: a perfect fit for signal and image processing, IEEE Signal Processing Magazine
16(6), 1999), at the centres of the fine pixels. Grids of any ratio and offset are taken."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bandfuse.raster import REACH, gaussian_sigma
from bandfuse.sharpening.pairs.ranges import Range
from bandfuse.spectral.bands import Floats

Mask = NDArray[np.bool_]

POLE = math.sqrt(3) - 2
"""Of the recursive filter that turns values into coefficients of a cubic spline."""

TAPS = 8
"""The filter is cut after so many pixels on each side; what is left out is below 0.0001 of it."""

ROUNDS = 6
"""Missing pixels are filled from their neighbours so far from the nearest valid one."""


@dataclass(frozen=True)
class Axis:
    """How ``fine`` pixels lie on ``coarse`` ones along one axis: edge c of the coarse pixels is at
    ``ratio · c + offset`` of the fine pixels. The ratio is negative where the axes run against each
    other."""

    fine: int
    coarse: int
    ratio: float
    offset: float = 0.0

    def on_coarse(self, fine: Range) -> Floats:
        """(n,) centres of fine pixels, in coarse pixels from the centre of the first."""
        at: Floats = (
            np.arange(fine.start, fine.stop, dtype=np.float64) + 0.5 - self.offset
        ) / self.ratio - 0.5
        return at

    def on_fine(self, coarse: Range) -> Floats:
        """(n,) centres of coarse pixels, in fine pixels from the centre of the first."""
        at: Floats = (
            (np.arange(coarse.start, coarse.stop, dtype=np.float64) + 0.5) * self.ratio
            + self.offset
            - 0.5
        )
        return at

    def nearest(self, fine: Range) -> NDArray[np.int64]:
        """(n,) the coarse pixel in which the centre of each fine pixel lies."""
        found: NDArray[np.int64] = np.floor(self.on_coarse(fine) + 0.5).astype(np.int64)
        return found

    def under(self, fine: Range) -> Range:
        """The coarse pixels of whose spline coefficients fine pixels are made."""
        ends = (
            self.on_coarse(Range(fine.start, fine.start + 1)),
            self.on_coarse(Range(fine.stop - 1, fine.stop)),
        )
        low, high = sorted((float(ends[0][0]), float(ends[1][0])))
        return Range(math.floor(low) - 1, math.floor(high) + 3)

    def seen(self, coarse: Range, blur: float | None) -> Range:
        """The fine pixels that coarse pixels are made of."""
        centre = self.on_fine(coarse)
        reach = self.reach(blur)
        low, high = float(centre.min()) - reach, float(centre.max()) + reach
        return Range(math.floor(low), math.ceil(high) + 1)

    def reach(self, blur: float | None) -> float:
        """How far from its centre, in fine pixels, a coarse pixel sees."""
        size = abs(self.ratio)
        return size / 2 + 1.0 if blur is None else max(REACH * gaussian_sigma(blur, size), 1.0)


def low_weights(axis: Axis, coarse: Range, fine: Range, blur: float | None) -> Floats:
    """(coarse, fine) weights of fine pixels in coarse ones; those of all fine pixels add up to one.

    Parameters
    ----------
    blur : modulation at the Nyquist frequency of the coarse grid of a Gaussian that is sampled at
        the centres of the coarse pixels; None: the average over the area of each.
    """
    seen = axis.seen(coarse, blur)
    at, centre = np.arange(seen.start, seen.stop), axis.on_fine(coarse)
    far = at[None] - centre[:, None]
    if blur is None:
        half = abs(axis.ratio) / 2
        weight = np.clip(np.minimum(far + 0.5, half) - np.maximum(far - 0.5, -half), 0.0, None)
    else:
        weight = np.exp(-0.5 * np.square(far / gaussian_sigma(blur, abs(axis.ratio))))
        weight[np.abs(far) > axis.reach(blur)] = 0.0
    weight /= weight.sum(axis=1, keepdims=True)
    return _cut(weight, seen, fine)


def _cut(weight: Floats, has: Range, wanted: Range) -> Floats:
    """The columns of a range, zero where there are none."""
    out = np.zeros((len(weight), wanted.size))
    low, high = max(has.start, wanted.start), min(has.stop, wanted.stop)
    if low < high:
        shared = Range(low, high)
        out[:, shared.within(wanted)] = weight[:, shared.within(has)]
    return out


def up_weights(axis: Axis, fine: Range, coarse: Range) -> Floats:
    """(fine, coarse) weights of spline coefficients at the centres of fine pixels."""
    far = axis.on_coarse(fine)[:, None] - np.arange(coarse.start, coarse.stop)[None]
    far = np.abs(far)
    near = 2 / 3 - far**2 + far**3 / 2
    return np.where(far < 1, near, np.where(far < 2, np.clip(2 - far, 0, None) ** 3 / 6, 0.0))


def spline_weights(coarse: Range, values: Range) -> Floats:
    """(coarse, values) weights of pixels in the coefficients of the cubic spline that goes through
    them."""
    far = np.abs(
        np.arange(coarse.start, coarse.stop)[:, None] - np.arange(values.start, values.stop)[None]
    )
    scale = sum(POLE ** abs(k) for k in range(-TAPS, TAPS + 1))
    return np.where(far <= TAPS, POLE**far / scale, 0.0)


def both(down: Floats, values: Floats, across: Floats) -> Floats:
    """(D, n, m) values under one matrix along their rows and one along their columns."""
    result: Floats = np.matmul(np.matmul(down, values), across.T)
    return result


class Fill:
    """Fills pixels where they are not valid (n, m): with the mean of the valid ones around, so many
    ``ROUNDS`` far, and zero beyond."""

    def __init__(self, valid: Mask) -> None:
        known = np.pad(valid, 1)
        self._valid, width = valid, known.shape[1]
        beside = (i * width + j for i in (-1, 0, 1) for j in (-1, 0, 1))
        self._beside = [step for step in beside if step]
        self._rounds: list[tuple[NDArray[np.intp], NDArray[np.int64]]] = []
        inside = np.pad(np.ones(valid.shape, dtype=bool), 1).ravel()
        flat = known.ravel()
        for _ in range(0 if valid.all() else ROUNDS):
            missing = np.flatnonzero(inside & ~flat)
            count = np.stack([flat[missing + step] for step in self._beside]).sum(axis=0)
            reached = missing[count > 0]
            self._rounds.append((reached, count[count > 0]))
            flat[reached] = True

    def __call__(self, values: Floats) -> Floats:
        """(D, n, m) values, filled; the same array where all are valid."""
        if not self._rounds:
            return values
        rows, cols = self._valid.shape
        out = np.zeros((len(values), rows + 2, cols + 2))
        inner = out[:, 1:-1, 1:-1]
        np.copyto(inner, values, where=self._valid)
        flat = out.reshape(len(values), -1)
        for at, count in self._rounds:
            flat[:, at] = sum(flat[:, at + step] for step in self._beside) / count
        return inner


def filled(values: Floats, valid: Mask) -> Floats:
    """(D, n, m) values, filled where they are not valid (n, m)."""
    return Fill(valid)(values)
