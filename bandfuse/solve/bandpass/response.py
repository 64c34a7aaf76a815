"""Response: the weights of a band-pass target, and draws of their posterior."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandfuse.solve.bandpass.ripple import HEIGHT, LENGTH, Prior, Whitened
from bandfuse.solve.bandpass.spectrum import Spectrum
from bandfuse.solve.bandpass.window import FAINTEST, FLOOR, Misfit, Places, Tag, Window
from bandfuse.solve.nnls import nonnegative_gram, nonnegative_grams
from bandfuse.spectral.bands import Floats

SEEN, WEIGHED = 1e-6, 0.002
"""Bands are looked at where the window that a search begins with is above the first part of its
peak, and carry weight where the one that it ends with is above the second."""

ROUNDS = 4
"""Most searches of the evidence: the window may move to bands that were not looked at."""

EXACT, NEAR = 1e-6, 1e-3
"""Slopes of the log evidence, in units of a search's steps, at which it ends: for the weights, and
for those of a part of the pixels, which begin near them."""

Positive = NDArray[np.bool_]

SHUT = 1e300
"""The misfit of what is no response."""

STIFFEST = 0.03
"""Least curvature of the log posterior along a parameter, in units of the search's steps: draws
spread no wider than these."""


BATCH_BYTES = 2**21
"""Draws are solved together as long as each of their matrices takes at most so much."""


@dataclass(frozen=True, eq=False)
class Response:
    """A band-pass response as it was learned.

    ``at`` (7,) parameters of the prior, ``size`` (7,) typical steps along them; ``weights`` (P,) in
    the spectrum's order and unit.
    """

    prior: Prior
    at: Floats
    size: Floats
    weights: Floats

    @property
    def spectrum(self) -> Spectrum:
        """The moments that it was learned from."""
        return self.prior.spectrum

    @property
    def apart(self) -> float:
        """The share of the weight that a band without weight separates from the greatest one: of
        targets of one lobe it is next to zero."""
        w = self.weights
        gaps, peak = np.flatnonzero(w <= 0), int(np.argmax(w))
        first = gaps[gaps < peak].max(initial=-1) + 1
        after = gaps[gaps > peak].min(initial=len(w))
        return float(1 - w[first:after].sum() / w.sum()) if w[peak] > 0 else 0.0

    @property
    def off_tag(self) -> float:
        """How far the window is from what the target's file says, in standard deviations of the
        tag; 0 without one."""
        tag = self.prior.window.tag
        return 0.0 if tag is None else float(np.abs(tag.off(self.at[0], self.at[1])).max())

    def again(self, spectrum: Spectrum) -> Response | None:
        """Learned from other moments of the same bands, beginning at this one; None where there is
        none."""
        return _of_evidence(replace(self.prior.window, spectrum=spectrum), self.at, self.size, NEAR)

    def penalty(self) -> tuple[Places, Floats]:
        """The bands that carry weight, and the form Γ⁻¹ / N over them: with it as a ridge, least
        squares under w ≥ 0 has these weights."""
        inverse = self.prior.whitened(self.at).inverse_root
        return self.prior.support, inverse.T @ inverse / self.spectrum.count

    def draws(self, count: int, seed: int) -> Floats:
        """(count, P) weights drawn from the posterior: parameters by Laplace's approximation, then
        weights that are perturbed and solved again.

        For each, ``min_{w ≥ 0} wᵀ(NA + Γ⁻¹)w − 2bᵀw`` with ``b = Nc + s [(NA)^½ ε₁ + Γ^−½ ε₂]``.
        """
        random = np.random.default_rng(seed)
        spread = _spread(self.prior.misfit, self.at, self.size)
        # A window that is drawn elsewhere reaches bands that carry no weight here.
        window = self.prior.window
        prior = Prior(window, _above(window, self.at, SEEN))
        root = _root(prior.moments[0])
        start = self.weights[prior.support] > 0
        size, seen = len(self.at), len(prior.support)
        batch = max(1, BATCH_BYTES // (8 * seen**2))
        weights = np.zeros((count, len(self.weights)))
        for first in range(0, count, batch):
            some = weights[first : first + batch]
            normal = random.standard_normal((len(some), size + 2 * seen))
            at = self.at + normal[:, :size] @ spread.T
            inverse, variance = _priors(prior, at, self.at)
            noise = normal[:, size : size + seen] @ root.T
            noise += (normal[:, None, size + seen :] @ inverse)[:, 0]
            noise *= np.sqrt(np.maximum(variance, FLOOR))[:, None]
            some[:, prior.support] = _drawn(prior, inverse, noise, start)
        return weights


def bandpass(spectrum: Spectrum, tag: Tag | None = None) -> Response | None:
    """Learn a band-pass response; None where nothing correlates with the target, or
    rounding hides what does.

    Parameters
    ----------
    tag : centre and FWHM that the target's file states; they count as a prior.
    """
    window = Window(spectrum, tag)
    found = [_of_window(window, start) for start in window.starts()]
    misfit, at = min(found, key=lambda one: one[0], default=(np.inf, np.zeros(4)))
    if misfit >= SHUT:
        return None
    h = window.shape(at)
    along, power = float(spectrum.c @ h), float(h @ spectrum.a @ h)
    if along <= 0 or power < FAINTEST:
        return None
    variance = max(1.0 - along**2 / power, FLOOR)
    gain = np.log((along / power) ** 2 / variance)
    start = np.concatenate([at, [at[1] + LENGTH, HEIGHT, gain]])
    size = np.array([0.05 * np.exp(at[1]), 0.1, 0.3, 0.3, 0.3, 0.3, 1.0])
    return _of_evidence(window, start, size, EXACT)


def _of_window(window: Window, start: Floats) -> tuple[float, Floats]:
    """The least misfit of the window from one start, and its parameters."""
    width = float(np.exp(start[1]))
    size = np.array([max(0.1 * width, 0.5 * window.spectrum.step), 0.2, 0.5, 0.5])
    return _search(window.misfit, start, size, NEAR)


def _of_evidence(window: Window, at: Floats, size: Floats, end: float) -> Response | None:
    """The response of highest evidence from a start; None where rounding hides it."""
    for _ in range(ROUNDS):
        seen = _above(window, at, SEEN)
        _, at = _search(Prior(window, seen).misfit, at, size, end)
        if np.isin(_above(window, at, WEIGHED), seen).all():
            break
    prior = Prior(window, _above(window, at, WEIGHED))
    try:
        return Response(prior, at, size, _weights(prior, prior.whitened(at)))
    except np.linalg.LinAlgError:
        return None


def _above(window: Window, at: Floats, part: float) -> Places:
    """The bands at which the window is above a part of its peak."""
    log_h, _ = window.log_shape(at[:4])
    return np.flatnonzero(log_h > log_h.max() + np.log(part))


def _search(
    misfit: Callable[[Floats], Misfit], start: Floats, size: Floats, end: float
) -> tuple[float, Floats]:
    """The least misfit near a start, and where it is: L-BFGS in units of ``size``."""
    from scipy.optimize import minimize

    def scaled(z: Floats) -> Misfit:
        value, slope = misfit(start + size * z)
        return min(value, SHUT), size * slope

    how: dict[str, Any] = {"jac": True, "method": "L-BFGS-B", "bounds": [(-20, 20)] * len(start)}
    how["options"] = {"maxiter": 200, "ftol": 1e-6 * end, "gtol": end}
    found = minimize(scaled, np.zeros(len(start)), **how)
    return float(found.fun), start + size * found.x


def _weights(prior: Prior, made: Whitened) -> Floats:
    """(P,) the non-negative weights of highest posterior density."""
    curvature, unit = _curvature(prior, made.inverse_root)
    v, _, _ = nonnegative_gram(curvature, prior.moments[1] * unit)
    weights = np.zeros(len(prior.spectrum.nm))
    weights[prior.support] = v * unit
    return weights


def _curvature(prior: Prior, inverse: Floats) -> tuple[Floats, Floats]:
    """NA + Γ⁻¹ with a diagonal of one (…, S, S), of priors of inverse roots (…, S, S); and the unit
    (…, S) of its weights."""
    curvature = prior.moments[0] + inverse.swapaxes(-1, -2) @ inverse
    unit = 1 / np.sqrt(np.diagonal(curvature, axis1=-2, axis2=-1))
    curvature *= unit[..., :, None] * unit[..., None, :]
    return curvature, unit


def _priors(prior: Prior, at: Floats, instead: Floats) -> tuple[Floats, Floats]:
    """Inverse roots (R, S, S) and variances (R,) of priors that are drawn; those at ``instead``
    where a drawn one is singular."""
    try:
        return prior.inverse_roots(at)
    except np.linalg.LinAlgError:
        if len(at) == 1:
            return prior.inverse_roots(instead[None])
    roots, variances = zip(*(_priors(prior, one[None], instead) for one in at), strict=True)
    return np.concatenate(roots), np.concatenate(variances)


def _drawn(prior: Prior, inverse: Floats, noise: Floats, start: Positive) -> Floats:
    """(R, S) the non-negative weights of highest density under priors of inverse roots (R, S, S),
    with noise (R, S). ``start`` (S,) the set of positive ones to begin with."""
    curvature, unit = _curvature(prior, inverse)
    right = (prior.moments[1] + noise) * unit
    every = np.arange(len(noise))
    v, reached = nonnegative_grams(curvature, every, right, np.tile(start, (len(noise), 1)))
    for i in np.flatnonzero(~reached).tolist():
        v[i], _, _ = nonnegative_gram(curvature[i], right[i], start)
    result: Floats = v * unit
    return result


def _root(a: Floats) -> Floats:
    """A square root of a positive semidefinite matrix."""
    values, vectors = np.linalg.eigh(a)
    root: Floats = vectors * np.sqrt(np.maximum(values, 0.0))
    return root


def _spread(misfit: Callable[[Floats], Misfit], at: Floats, size: Floats) -> Floats:
    """(n, n) a root of the parameters' covariance, from the curvature of the misfit by differences
    of its slopes."""
    step = 0.01
    rows = []
    for move in step * np.diag(size):
        ahead, behind = misfit(at + move)[1], misfit(at - move)[1]
        rows.append(size * (ahead - behind) / (2 * step))
    curvature = np.array(rows)
    values, vectors = np.linalg.eigh((curvature + curvature.T) / 2)
    spread: Floats = size[:, None] * vectors / np.sqrt(np.maximum(values, STIFFEST))
    return spread
