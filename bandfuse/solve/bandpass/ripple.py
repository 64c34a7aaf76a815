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

        shape = self._shape(at)
        na, nc = self.moments
        chol = np.asarray(np.linalg.cholesky(shape.alike), np.float64)
        root = shape.size[:, None] * chol
        inner = np.asarray(np.linalg.cholesky(np.eye(len(na)) + root.T @ na @ root), np.float64)
        y = solve_triangular(inner, root.T @ nc, lower=True, check_finite=False)
        variance = 1.0 - float(y @ y) / self.spectrum.count
        return Whitened(shape, chol, inner, y, variance)

    def inverse_roots(self, at: Floats) -> tuple[Floats, Floats]:
        """(R, S, S) L⁻¹ and (R,) s² at many parameters (R, 7) at once.

        Raises
        ------
        LinAlgError : one of the priors is singular, or one of the windows is shut.
        """
        shape = self._shape(at)
        na, nc = self.moments
        chol = np.linalg.cholesky(shape.alike)
        root = shape.size[..., None] * chol
        inner = np.linalg.cholesky(np.eye(len(na)) + root.transpose(0, 2, 1) @ na @ root)
        y = np.linalg.solve(inner, (nc @ root)[..., None])
        variance = 1.0 - np.square(y).sum(axis=(1, 2)) / self.spectrum.count
        return np.linalg.inv(chol) / shape.size[:, None, :], variance

    def _shape(self, at: Floats) -> Shape:
        """Window and ripple at parameters (…, 7)."""
        log_length, log_height, log_gain = (at[..., i, None] for i in (4, 5, 6))
        x = self._apart / np.exp(log_length)[..., None]
        fading, power = np.exp(-x), np.exp(2 * log_height)[..., None]
        ripple = power * (1 + x + x**2 / 3) * fading
        every = np.arange(len(self.support))
        ripple[..., every, every] += power[..., 0] * GRAIN
        width = np.exp(at[..., 1, None])
        tilt = 2 * (self.spectrum.nm[self.support] - at[..., 0, None]) / width
        alike = 1 + TILT**2 * (tilt[..., :, None] * tilt[..., None, :]) + ripple
        log_h, slopes = self.window.log_shape(at[..., :4], self.support)
        peak = log_h.max(axis=-1, keepdims=True)
        if not (peak > -DEEPEST).all():
            raise np.linalg.LinAlgError("the window is shut")
        size = np.exp(np.maximum(log_h, peak - DEEPEST) + log_gain / 2)
        longer = power * x**2 / 3 * (1 + x) * fading
        return Shape(size, alike, ripple, longer, slopes, tilt, width)

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
class Shape:
    """The prior of the weights at parameters (…, 7).

    ``size`` (…, S) is √g · h. ``alike`` (…, S, S) is C, ``ripple`` its part and ``longer`` its
    slope along log ℓ. ``slopes`` (…, 4, S) are those of log h; ``tilt`` (…, S) is u of a window of
    ``width`` (…, 1) ω.
    """

    size: Floats
    alike: Floats
    ripple: Floats
    longer: Floats
    slopes: Floats
    tilt: Floats
    width: Floats


@dataclass(frozen=True, eq=False)
class Whitened:
    """The problem in the units of the prior, ``L = diag(size) chol``: ``inner`` is the root of
    I + N LᵀAL and ``variance`` s² of the residual."""

    shape: Shape
    chol: Floats
    inner: Floats
    y: Floats
    variance: float

    def slope(self, *, known: bool) -> Floats:
        """(7,) slopes of minus the log evidence; ``known``: the residual counts.

        With Q = ``C⁻ᐟ² (I − M⁻¹ − qqᵀ/s²) C⁻ᐟ²``, M = I + N LᵀAL and q = M⁻¹ Lᵀ N c, the slope
        along any change dΓ = hhᵀ ∘ dC · g is ½ Σ Q ∘ dC, and along log h_b it is Σ_a Q ∘ C. The
        tilt changes with m by −2 / ω, and with log ω by −u.
        """
        from scipy.linalg import solve_triangular

        shape, eye = self.shape, np.eye(len(self.y))
        half = solve_triangular(self.inner, eye, lower=True, check_finite=False)
        middle = eye - half.T @ half
        if known:
            q = half.T @ self.y
            middle -= np.outer(q, q) / self.variance
        back = solve_triangular(self.chol, eye, lower=True, check_finite=False)
        whole = back.T @ middle @ back
        along_h = (whole * shape.alike).sum(axis=1)
        of_shape = shape.slopes @ along_h
        of_tilt = TILT**2 * (whole @ shape.tilt)
        of_shape[0] -= 2 / float(shape.width[0]) * float(of_tilt.sum())
        of_shape[1] -= float(of_tilt @ shape.tilt)
        rest = [(whole * shape.longer).sum() / 2, (whole * shape.ripple).sum(), along_h.sum() / 2]
        return np.array([*of_shape, *rest])

    @cached_property
    def inverse_root(self) -> Floats:
        """L⁻¹."""
        from scipy.linalg import solve_triangular

        back = solve_triangular(
            self.chol, np.diag(1 / self.shape.size), lower=True, check_finite=False
        )
        return np.asarray(back)
