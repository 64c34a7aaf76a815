"""Lobe: where the main lobe of a response lies and how wide it is, at half of its maximum. numpy
only.

Second moments of the weights would do for a clean response, but a single stray weight far away
throws them off by hundreds of nanometres. The main lobe is not moved by it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bandfuse.spectral.bands import Floats, Positions

Flags = NDArray[np.bool_]

FAR = 3.0
"""Bands more than this many median steps apart have a gap between them, over which no lobe
reaches."""

SMOOTHING = np.array([0.25, 0.5, 0.25])
"""Over neighbouring bands, to find the lobe; its width is measured on the density itself."""


HIGHEST = 12
"""So many peaks, from the highest on, may have the main lobe."""


class Lobe(NamedTuple):
    """The main lobe: the middle of its two points at half maximum, their distance (both in nm), how
    many bands with weight lie between them, and the position of its band with the greatest
    weight."""

    centre: float
    width: float
    bands: int
    peak: int


def main_lobe(weight: Floats, nm: Floats) -> Lobe | None:
    """The main lobe of weights (B,) at wavelengths (B,) in nm.

    The weight of a band, by its size and divided by the part of the spectrum that the band stands
    for (half of the way to each neighbour), is a density over wavelength. Smoothed over
    neighbouring bands, each of its peaks has a lobe: the run of bands that reaches half of the
    peak. The main lobe is the one with the largest area. Its ends are where the density itself
    falls to half of its maximum there, on straight lines between bands; beyond the last band of a
    detector the density falls to zero within one step.

    None where all weights are zero, or a wavelength of the bands with weight is not known.

    >>> nm = np.arange(500.0, 600.0, 10.0)
    >>> box = np.array([0, 0, 0, 1, 1, 1, 0, 0, 0, 0.4])
    >>> main_lobe(box, nm)[:2]
    (540.0, 30.0)
    """
    return main_lobes(weight[None], nm)[0]


def main_lobes(weights: Floats, nm: Floats) -> list[Lobe | None]:
    """The main lobe of each row of weights (R, B); see :func:`main_lobe`."""
    known = np.isfinite(nm)
    spectrum = _Spectrum.of(nm[known]) if known.any() else None
    found: list[Lobe | None] = []
    for size in np.abs(weights):
        lost = spectrum is None or not size.any() or size[~known].any()
        found.append(None if lost or spectrum is None else _lobe(size, nm, known, spectrum))
    return found


def _lobe(size: Floats, nm: Floats, known: Flags, spectrum: _Spectrum) -> Lobe:
    density = spectrum.density(size[known])
    low, high = _main_run(spectrum.x, np.convolve(density, SMOOTHING, mode="same"))
    left, right = _half_points(spectrum.x, density, low, high)
    inside = np.flatnonzero(known & (size > 0) & (nm >= left) & (nm <= right))
    peak = int(inside[np.argmax(size[inside])])
    return Lobe((left + right) / 2, right - left, len(inside), peak)


@dataclass(frozen=True, eq=False)
class _Spectrum:
    """Where densities are known: wavelengths ``x`` in order, with one more step beyond both ends of
    every detector; the place of every band among them, and the ``width`` that it stands for."""

    x: Floats
    place: Positions
    width: Floats

    @classmethod
    def of(cls, nm: Floats) -> _Spectrum:
        """From the wavelengths of all bands, in any order."""
        places, of = np.unique(nm, return_inverse=True)
        if len(places) == 1:
            return cls(places.repeat(3), np.ones(len(nm), np.intp), np.ones(3))
        step = np.diff(places)
        gap = step > FAR * np.median(step)
        typical = float(np.median(step[~gap])) if (~gap).any() else float(step.min())
        ends = np.flatnonzero(gap)
        xs, widths, inner = [], [], []
        for start, stop in zip([0, *(ends + 1)], [*ends, len(places) - 1], strict=True):
            x = places[start : stop + 1]
            own = np.diff(x) if len(x) > 1 else np.array([typical])
            around = np.concatenate([own[:1], own, own[-1:]]) if len(x) > 1 else own[[0, 0]]
            xs.append(np.concatenate([x[:1] - own[0], x, x[-1:] + own[-1]]))
            widths.append(np.concatenate([[1.0], (around[:-1] + around[1:]) / 2, [1.0]]))
            inner.append(np.concatenate([[False], np.ones(len(x), bool), [False]]))
        return cls(
            np.concatenate(xs), np.flatnonzero(np.concatenate(inner))[of], np.concatenate(widths)
        )

    def density(self, size: Floats) -> Floats:
        """Of weights (B,), per nm; bands of one wavelength together."""
        return np.bincount(self.place, size, minlength=len(self.x)) / self.width


def _main_run(x: Floats, smooth: Floats) -> tuple[int, int]:
    """First and last position of the run that reaches half of its peak and has the largest area."""
    inner = smooth[1:-1]
    peaks = 1 + np.flatnonzero((inner > 0) & (inner >= smooth[:-2]) & (inner >= smooth[2:]))
    peaks = np.sort(peaks[np.argsort(-smooth[peaks], kind="stable")[:HIGHEST]])
    below = (
        smooth < smooth[peaks, None] / 2
    )  # (peaks, B); the outermost densities are zero but for the smoothing
    below[:, [0, -1]] = True
    place = np.arange(len(x))
    left = np.where(below & (place < peaks[:, None]), place, 0).max(axis=1) + 1
    right = np.where(below & (place > peaks[:, None]), place, len(x)).min(axis=1) - 1
    area = np.append(0.0, np.cumsum(smooth * np.gradient(x)))
    best = int(np.argmax(area[right + 1] - area[left]))
    return int(left[best]), int(right[best])


def _half_points(x: Floats, density: Floats, low: int, high: int) -> tuple[float, float]:
    """Where the density first and last reaches half of its maximum within a run."""
    half = density[low : high + 1].max() / 2
    there = low + np.flatnonzero(density[low : high + 1] >= half)
    first, last = int(there[0]), int(there[-1])
    ends = []
    for at, beside in ((first, first - 1), (last, last + 1)):
        drop = density[at] - density[beside]
        share = (density[at] - half) / drop if drop > 0 else 0.0
        ends.append(float(x[at] + min(share, 1.0) * (x[beside] - x[at])))
    return ends[0], ends[1]


def outside(weight: Floats, nm: Floats, centre: float, reach: float) -> Floats:
    """(…,) share of the weight of non-negative (…, B) weights that lies more than ``reach`` nm from
    a centre."""
    far = np.abs(nm - centre) > reach
    total = weight.sum(axis=-1)
    part: Floats = weight[..., far].sum(axis=-1) / np.where(total > 0, total, np.nan)
    return part
