"""Uncertainty: how far fused pixels may be off, and how far a spectrum lies from those of the
training.

The error of an output is made of what the weights do not explain of the target, and of what is not
known of the weights (the delta method)::

    sd_k(x) = scale_k · √(residual_k + slope_k² · (level_k + ‖F_k (x − about)‖²))

The distance of a spectrum is Mahalanobis' in few directions (Mahalanobis, "On the generalised
distance in statistics", 1936): the leading axes of the training's bands in units of their standard
deviations, and some directions in which the training hardly varies. What a distance is worth is
read from those of training pixels that were held out, as spectra are not normally distributed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from bandfuse.spectral.bands import Floats

SLOPES: dict[str, Callable[[Floats], Floats]] = {
    "identity": np.ones_like,
    "relu": lambda y: (y > 0).astype(np.float64),
    "leaky_relu": lambda y: np.where(y >= 0, 1.0, 0.01),
    "sigmoid": lambda y: y * (1.0 - y),
    "tanh": lambda y: 1.0 - y**2,
    "softplus": lambda y: -np.expm1(-y),
}
"""The slope of each activation, from its value."""

SHARED = 12
"""Rows of which the factors of many outputs are made."""

Z90 = 1.6448536269514722
"""Half the width of a 90 % interval of a normal distribution, in standard deviations."""


@dataclass(frozen=True, eq=False)
class OutputErrors:
    """What the errors of K outputs are made of.

    Parameters
    ----------
    about : (B,) the spectrum at which the weights' uncertainty adds nothing: the training's mean,
        or zeros where outputs have no offset.
    factor : (K, r, B) F, in units of the output for each unit of a band: Fᵀ F is the covariance of
        gain · W.
    level : (K,) variance of an output's mean. residual : (K,) mean squared error on the training
        pixels. Both in the output's units squared.
    scale : (K,) what brings 90 % intervals to hold 90 % of the held-out pixels.
    """

    about: Floats
    factor: Floats
    level: Floats
    residual: Floats
    scale: Floats

    def __post_init__(self) -> None:
        k, _, b = self.factor.shape
        rows = (self.level, self.residual, self.scale)
        every = (self.about, self.factor, *rows)
        if self.about.shape != (b,) or any(row.shape != (k,) for row in rows):
            raise ValueError("errors of outputs whose shapes do not fit")
        if not all(np.isfinite(a).all() for a in every) or any((row < 0).any() for row in rows):
            raise ValueError("errors of outputs that are negative, or not finite")

    def of_weights(self, x: Floats) -> Floats:
        """(N, K) variances of the sums of (N, B) pixels, as far as the weights are not known."""
        away = x - self.about
        found = [((away @ f.T) ** 2).sum(axis=1) for f in self.factor]
        variances: Floats = np.stack(found, axis=1) + self.level
        return variances

    def joined(self, of_weights: Floats, slope: Floats) -> Floats:
        """(N, K) standard deviations from the variances of the sums and the activation's slopes."""
        found: Floats = self.scale * np.sqrt(self.residual + slope**2 * of_weights)
        return found

    def sd(self, x: Floats, y: Floats, activation: str = "identity") -> Floats:
        """(N, K) standard deviations of the outputs ``y`` (N, K) of pixels ``x`` (N, B)."""
        return self.joined(self.of_weights(x), SLOPES[activation](y))


@dataclass(frozen=True, eq=False)
class Cloud:
    """Where the spectra of a training lie.

    Parameters
    ----------
    mean : (B,). inverse : (B,) one over the standard deviation of each band; zero where a band does
        not count.
    axes : (q, B) orthonormal directions of z = inverse · (x − mean), along which it is not
        correlated, or hardly. variance : (q,) along them.
    distance, part : (m,) rising distances, and the part of the held-out pixels that lie nearer.
    """

    mean: Floats
    inverse: Floats
    axes: Floats
    variance: Floats
    distance: Floats
    part: Floats

    def __post_init__(self) -> None:
        b, q, m = len(self.mean), len(self.variance), len(self.part)
        every = (self.mean, self.inverse, self.axes, self.variance, self.distance, self.part)
        shapes = ((b,), (b,), (q, b), (q,), (m,), (m,))
        if tuple(a.shape for a in every) != shapes or not m:
            raise ValueError("training spectra whose shapes do not fit")
        rising = all((np.diff(a) >= 0).all() for a in (self.distance, self.part))
        if not all(np.isfinite(a).all() for a in every) or not rising:
            raise ValueError("training spectra that are not finite, or distances that do not rise")
        if (self.variance <= 0).any():
            raise ValueError("training spectra without variance")

    def distances(self, x: Floats) -> Floats:
        """(N,) distances of (N, B) pixels from the training's mean."""
        along = ((x - self.mean) * self.inverse) @ self.axes.T
        found: Floats = np.sqrt((along**2 / self.variance).sum(axis=1))
        return found

    def outside(self, distances: Floats) -> Floats:
        """(N,) 0 … 1: the part of the training's held-out pixels that lie nearer."""
        found: Floats = np.interp(distances, self.distance, self.part)
        return found


@dataclass(frozen=True, eq=False)
class Uncertainty:
    """What a training remembers of errors: of the common fusion under the empty key, and of every
    scene's own; none where outputs have no target. ``cloud``: where its spectra lie."""

    cloud: Cloud
    errors: Mapping[str, OutputErrors] = field(default_factory=dict)
