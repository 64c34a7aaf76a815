"""Ripple: the prior of weights around a window, and the evidence of its parameters."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bandfuse.solve.bandpass.spectrum import Spectrum
from bandfuse.solve.bandpass.window import DEEPEST, FLOOR, Misfit, Places, Window
from bandfuse.spectral.bands import Floats

LENGTH, LENGTH_SPREAD = float(np.log(0.12)), 0.6
"""Mean and standard deviation of log(length of the ripple / width of the window)."""

HEIGHT, HEIGHT_SPREAD = float(np.log(0.06)), 0.8
"""Mean and standard deviation of log(height of the ripple)."""

GRAIN = 1e-3
"""Part of the ripple's variance that is apart from band to band."""

TILT = 0.1
"""Standard deviation of how much a response rises from the middle of its window to its end: 0.06
to 0.11 of its mean (median and root mean square of 43 published responses)."""


@dataclass(frozen=True, eq=False)
class Prior:
    """``w ~ N(0, s² Γ)``, ``Γ = g · hhᵀ ∘ C``, ``C = 1 + τ² uuᵀ + ρ² (K_ℓ + 10⁻³ I)``, with h of
    the window, a tilt ``u = (λ − m) / (ω / 2)`` and K Matérn 5/2 along wavelength, over the bands
    of ``support`` (S,).

    Parameters are those of the window, then log ℓ, log ρ, log g.
    """

    window: Window
    support: Places

    @property
    def spectrum(self) -> Spectrum:
        """The moments of target and bands."""
        return self.window.spectrum

    @cached_property
    def _apart(self) -> Floats:
        nm = self.spectrum.nm[self.support]
        apart: Floats = np.sqrt(5.0) * np.abs(nm[:, None] - nm[None, :])
        return apart

    @cached_property
    def moments(self) -> tuple[Floats, Floats]:
        """(S, S) N A and (S,) N c over the support."""
        here, n = self.support, self.spectrum.count
        return n * self.spectrum.a[np.ix_(here, here)], n * self.spectrum.c[here]

    def whitened(self, at: Floats) -> Whitened:
        """The problem in the units of the prior.

        Raises
        ------
        LinAlgError : the prior is singular, or the window is shut.
        """
        from scipy.linalg import solve_triangular

        x = self._apart / np.exp(at[4])
        fading, power = np.exp(-x), np.exp(2 * at[5])
        ripple = power * (1 + x + x**2 / 3) * fading
        ripple[np.diag_indices_from(ripple)] += power * GRAIN
        tilt = 2 * (self.spectrum.nm[self.support] - at[0]) / np.exp(at[1])
        alike = 1 + TILT**2 * np.outer(tilt, tilt) + ripple
        log_h, slopes = self.window.log_shape(at[:4], self.support)
        if not log_h.max() > -DEEPEST:
            raise np.linalg.LinAlgError("the window is shut")
        size = np.exp(np.maximum(log_h, log_h.max() - DEEPEST) + at[6] / 2)
        na, nc = self.moments
        chol = np.linalg.cholesky(alike)
        root = size[:, None] * chol
        inner = np.linalg.cholesky(np.eye(len(na)) + root.T @ na @ root)
        y = solve_triangular(inner, root.T @ nc, lower=True, check_finite=False)
        return Whitened(
            chol=chol,
            size=size,
            inner=inner,
            y=y,
            variance=1.0 - float(y @ y) / self.spectrum.count,
            alike=alike,
            ripple=ripple,
            longer=power * x**2 / 3 * (1 + x) * fading,
            slopes=slopes,
            tilt=tilt,
            width=float(np.exp(at[1])),
        )

    def price(self, at: Floats) -> Misfit:
        """Minus the log density of the parameters before any pixel is seen, and its slopes."""
        price, slope = self.window.price(at[:4])
        length = float(at[4] - at[1] - LENGTH) / LENGTH_SPREAD
        height = float(at[5] - HEIGHT) / HEIGHT_SPREAD
        slope = np.array([*slope, length / LENGTH_SPREAD, height / HEIGHT_SPREAD, 0.0])
        slope[1] -= length / LENGTH_SPREAD
        return price + (length**2 + height**2) / 2, slope

    def misfit(self, at: Floats) -> Misfit:
        """Minus the log evidence, ``N/2 · log s² + ½ log|I + N LᵀAL|``, and the price.

        ``Γ = LLᵀ``, ``s² = 1 − yᵀy / N``, ``y = chol(I + N LᵀAL)⁻¹ Lᵀ N c``.
        """
        price, slope = self.price(at)
        if np.abs(at[1:]).max() > 60:
            return float("inf"), slope
        try:
            made = self.whitened(at)
        except np.linalg.LinAlgError:
            return float("inf"), slope
        n, variance = self.spectrum.count, max(made.variance, FLOOR)
        evidence = n / 2 * float(np.log(variance)) + float(np.log(made.inner.diagonal()).sum())
        return evidence + price, slope + made.slope(known=made.variance > FLOOR)


@dataclass(frozen=True, eq=False)
class Whitened:
    """``L = diag(size) chol``, ``inner`` the root of I + N LᵀAL, ``variance`` s² of the residual;
    ``alike`` C, its part ``ripple``, the slope ``longer`` of C along log ℓ, and the (4, S)
    ``slopes`` of log h; ``tilt`` u, of a window of so much ``width`` ω."""

    chol: Floats
    size: Floats
    inner: Floats
    y: Floats
    variance: float
    alike: Floats
    ripple: Floats
    longer: Floats
    slopes: Floats
    tilt: Floats
    width: float

    def slope(self, *, known: bool) -> Floats:
        """(7,) slopes of minus the log evidence; ``known``: the residual counts.

        With Q = ``C⁻ᐟ² (I − M⁻¹ − qqᵀ/s²) C⁻ᐟ²``, M = I + N LᵀAL and q = M⁻¹ Lᵀ N c, the slope
        along any change dΓ = hhᵀ ∘ dC · g is ½ Σ Q ∘ dC, and along log h_b it is Σ_a Q ∘ C. The
        tilt changes with m by −2 / ω, and with log ω by −u.
        """
        from scipy.linalg import solve_triangular

        eye = np.eye(len(self.size))
        half = solve_triangular(self.inner, eye, lower=True, check_finite=False)
        middle = eye - half.T @ half
        if known:
            q = half.T @ self.y
            middle -= np.outer(q, q) / self.variance
        back = solve_triangular(self.chol, eye, lower=True, check_finite=False)
        whole = back.T @ middle @ back
        along_h = (whole * self.alike).sum(axis=1)
        of_shape = self.slopes @ along_h
        of_tilt = TILT**2 * (whole @ self.tilt)
        of_shape[0] -= 2 / self.width * float(of_tilt.sum())
        of_shape[1] -= float(of_tilt @ self.tilt)
        rest = [(whole * self.longer).sum() / 2, (whole * self.ripple).sum(), along_h.sum() / 2]
        return np.array([*of_shape, *rest])

    @cached_property
    def inverse_root(self) -> Floats:
        """L⁻¹."""
        from scipy.linalg import solve_triangular

        back = solve_triangular(self.chol, np.diag(1 / self.size), lower=True, check_finite=False)
        return np.asarray(back)
