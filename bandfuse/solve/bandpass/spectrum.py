"""Spectrum: the moments of one target and its bands, in wavelength order and in unit scale."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bandfuse.spectral.bands import Floats

LEAST = 3
"""Bands of which a lobe can be told."""


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Covariances ``a`` (P, P) of the bands and ``c`` (P,) with a target of variance one, from
    ``count`` pixels.

    ``nm`` (P,) ascending wavelengths, ``spacing`` (P,) what each band stands for, in units of the
    median step ``step`` (nm); bands at one wavelength share it. ``place`` (P,) where each is in
    the caller's order; ``size``: the caller's covariances of bands are ``size`` times these, and
    ``unit``: its weights ``unit`` times.
    """

    a: Floats
    c: Floats
    count: float
    nm: Floats
    spacing: Floats
    step: float
    place: NDArray[np.intp]
    size: float
    unit: float

    @classmethod
    def of(cls, a: Floats, c: Floats, variance: float, count: float, nm: Floats) -> Spectrum | None:
        """From covariances in any order and unit; None where no lobe can be told from them: too few
        bands that vary, unknown wavelengths, or a target that does not vary."""
        live = np.flatnonzero((a.diagonal() > 0) & np.isfinite(nm))
        if len(live) < LEAST or not variance > 0:
            return None
        place = live[np.argsort(nm[live], kind="stable")]
        ordered = nm[place]
        steps = np.diff(ordered)
        if not (steps > 0).any():
            return None
        step, size = float(np.median(steps[steps > 0])), float(a.diagonal()[place].mean())
        return cls(
            a[np.ix_(place, place)] / size,
            c[place] / np.sqrt(size * variance),
            float(count),
            ordered,
            _spacing(ordered) / step,
            step,
            place,
            size,
            float(np.sqrt(variance / size)),
        )

    def widen(self, weights: Floats, count: int) -> Floats:
        """(…, count) weights in the caller's order and unit, from (…, P)."""
        wide = np.zeros((*weights.shape[:-1], count))
        wide[..., self.place] = self.unit * weights
        return wide


def _spacing(nm: Floats) -> Floats:
    """(P,) nm that each of ascending wavelengths stands for."""
    places, which, count = np.unique(nm, return_inverse=True, return_counts=True)
    spacing: Floats = (np.abs(np.gradient(places)) / count)[which]
    return spacing
