"""Window: where a lobe is. Intervals to start from, and a window with two soft edges."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bandfuse.solve.bandpass.spectrum import Spectrum
from bandfuse.spectral.bands import Floats

STARTS = 3
"""Intervals from which the window is sought."""

SHARPEST = 0.15
"""Steps between bands over which an edge rises at least."""

EDGE, EDGE_SPREAD = -2.8, 0.6
"""Mean and standard deviation of log(edge / width): published responses have edges of 6 %."""

MISTAKEN = 50.0
"""Minus the log odds that what the target's file states is wrong: beyond 10 standard deviations it
is passed over."""

FLOOR = 1e-10
"""Least residual variance of a target of variance one that is told from zero."""

DEEPEST = 30.0
"""How far the logarithm of the window falls below its peak at most: beyond, a band is as good as
shut, and its inverse would overflow. A window that is further down in all bands is none."""
FAINTEST = 1e-200
"""Least variance of what a window lets through: below, it lies beyond all bands."""

Places = NDArray[np.intp]

Misfit = tuple[float, Floats]
"""A misfit, and its slope along every parameter."""


@dataclass(frozen=True)
class Tag:
    """What the target's file says of its band: centre and FWHM in nm."""

    centre: float
    fwhm: float

    def off(self, centre: float, log_width: float) -> tuple[float, float]:
        """How far a window is from it, in standard deviations: 5 % of the FWHM for the centre, 10 %
        for the width."""
        return (
            (centre - self.centre) / (0.05 * self.fwhm),
            (log_width - float(np.log(self.fwhm))) / 0.1,
        )

    def price(self, centre: float, log_width: float) -> Misfit:
        """Minus the log density of a window under the tag, which may be wrong, and its two
        slopes: ``-log(exp(-|off|² / 2) + exp(-MISTAKEN))``."""
        off = np.array(self.off(centre, log_width))
        full = float(off @ off) / 2
        price = -float(np.logaddexp(-full, -MISTAKEN))
        believed = float(np.exp(max(price - full, -700.0)))
        return price, believed * off / (0.05 * self.fwhm, 0.1)


@dataclass(frozen=True)
class Window:
    """``h_b = spacing_b Φ((λ_b − m + ω/2) / d₁) Φ((m + ω/2 − λ_b) / d₂)``: centre m, width ω, edges
    d₁ and d₂, as (m, log ω, log d₁, log d₂).

    An edge is ``√(d² + least²)``: no sharper than the bands can show.
    """

    spectrum: Spectrum
    tag: Tag | None = None

    def log_shape(self, at: Floats, here: Places | None = None) -> tuple[Floats, Floats]:
        """(…, P) log h of all bands or those that are named, and (…, 4, P) its slopes along the
        parameters (…, 4)."""
        from scipy.special import log_ndtr

        some = slice(None) if here is None else here
        nm, half, own = self.spectrum.nm[some], np.exp(at[..., 1, None]) / 2, np.exp(at[..., 2:4])
        edges = np.hypot(own, SHARPEST * self.spectrum.step)[..., None]
        centre = at[..., 0, None]
        away = np.stack([nm - centre + half, centre + half - nm], axis=-2) / edges
        logs = log_ndtr(away)
        # d log Φ(z) / dz, by the logarithms, as Φ may be next to zero.
        steep = np.exp(-(away**2) / 2 - np.log(2 * np.pi) / 2 - logs) / edges
        bend = -steep * away * (own[..., None] ** 2 / edges)
        rise, fall = steep[..., 0, :], steep[..., 1, :]
        slopes = np.stack([fall - rise, half * (rise + fall), bend[..., 0, :], bend[..., 1, :]], -2)
        return np.log(self.spectrum.spacing[some]) + logs.sum(axis=-2), slopes

    def shape(self, at: Floats) -> Floats:
        """(P,) h."""
        h: Floats = np.exp(self.log_shape(at)[0])
        return h

    def price(self, at: Floats) -> Misfit:
        """Minus the log density of the parameters before any pixel is seen, and its slopes."""
        edges = (at[2:4] - at[1] - EDGE) / EDGE_SPREAD
        slope = np.array([0.0, -edges.sum(), *edges]) / EDGE_SPREAD
        price = float(edges @ edges) / 2
        if self.tag is not None:
            own, own_slope = self.tag.price(float(at[0]), float(at[1]))
            price += own
            slope[:2] += own_slope
        return price, slope

    def misfit(self, at: Floats) -> Misfit:
        """``N/2 · log(1 − (cᵀh)² / hᵀAh)``, the window alone as weights, and the price."""
        log_h, slopes = self.log_shape(at)
        price, slope = self.price(at)
        if not log_h.max() > -DEEPEST:
            return float("inf"), slope
        h = np.exp(log_h)
        ah = self.spectrum.a @ h
        along, size = float(self.spectrum.c @ h), float(h @ ah)
        if along <= 0 or size < FAINTEST:
            return float("inf"), slope
        residual = 1.0 - along**2 / size
        if residual <= FLOOR:
            return self.spectrum.count / 2 * float(np.log(FLOOR)) + price, slope
        change = (along / size) ** 2 * ah - along / size * self.spectrum.c
        steep = self.spectrum.count / residual * (slopes @ (h * change))
        return self.spectrum.count / 2 * float(np.log(residual)) + price, slope + steep

    def starts(self) -> Iterator[Floats]:
        """Parameters to begin with: of the intervals that explain most, and of the tag."""
        if self.tag is not None:
            yield self.at(self.tag.centre, self.tag.fwhm)
        nm, step = self.spectrum.nm, self.spectrum.step
        for first, last in intervals(self.spectrum):
            yield self.at((nm[first] + nm[last]) / 2, nm[last] - nm[first] + step)

    @staticmethod
    def at(centre: float, width: float) -> Floats:
        """Parameters with edges as they are expected."""
        log = float(np.log(width))
        return np.array([centre, log, log + EDGE, log + EDGE])


def intervals(spectrum: Spectrum) -> list[tuple[int, int]]:
    """The best few of all intervals of bands that overlap each other by less than half: first and
    last band.

    The weights of an interval are the bands' spacings; its gain is ``(Σ c δ)² / ΣΣ A δδ``, from
    cumulative sums in O(P²).
    """
    size = len(spectrum.nm)
    first, after = np.arange(size + 1)[:, None], np.arange(size + 1)[None, :]
    gain = _gains(spectrum)
    found: list[tuple[int, int]] = []
    while len(found) < STARTS and np.isfinite(gain).any():
        i, j = (int(k) for k in np.unravel_index(np.argmax(gain), gain.shape))
        found.append((i, j - 1))
        shared = np.clip(np.minimum(after, j) - np.maximum(first, i), 0, None)
        together = np.maximum(after - first + (j - i) - shared, 1)
        gain = np.where(shared / together > 0.5, -np.inf, gain)
    return found


def _gains(spectrum: Spectrum) -> Floats:
    """(P + 1, P + 1) the gain of the bands from row up to, not with, column; −inf where there is
    none."""
    d, size = spectrum.spacing, len(spectrum.nm) + 1
    along = np.zeros(size)
    along[1:] = np.cumsum(spectrum.c * d)
    total = np.zeros((size, size))
    total[1:, 1:] = np.cumsum(np.cumsum(spectrum.a * np.outer(d, d), axis=0), axis=1)
    corner = np.diag(total)
    up = along[None, :] - along[:, None]
    variance = corner[None, :] + corner[:, None] - 2 * total
    usable = np.triu(np.ones((size, size), dtype=bool), 1) & (up > 0)
    usable &= variance > 1e-12 * corner[-1]
    return np.where(usable, up**2 / np.where(usable, variance, 1.0), -np.inf)
