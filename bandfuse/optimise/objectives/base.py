"""Base: what every objective offers to the descent."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from bandfuse.optimise.doors import place
from bandfuse.solve.exact import Quadratic, solve
from bandfuse.solve.gathered import Gathered as Gathered
from bandfuse.solve.layout import Layout
from bandfuse.spectral.bands import Floats


def curvature(layout: Layout, a: Floats) -> Floats:
    """(P, P) second derivatives along the learned weights, of (B, B) ones along the entries of each
    row."""
    members = [layout.member(k) for k in range(layout.shape[0])]
    bend: Floats = np.sum([z.T @ a @ z for z in members], axis=0)
    return bend


JITTER = 1e-12
"""Added to the correlations of the outputs before they are inverted."""


class Objective(ABC):
    """A loss of ``(W, gain, level)``: (…, K, B), (…, K) and (…, K). Axes before the last ones are
    of problems that are solved side by side.

    Attributes
    ----------
    separable : the losses of different outputs can be minimised apart.
    scale : (L,) the loss of predicting the mean (a variance): losses divided by it have no unit.
    held : the same objective on pixels that are kept out of training, for early stopping; None if
        there are none."""

    separable = True
    scale: Floats
    held: Objective | None = None

    @abstractmethod
    def losses(self, weight: Tensor, gain: Tensor, level: Tensor | None) -> Tensor:
        """(…, L) mean squared errors: one per output, or one for all."""

    @abstractmethod
    def part(self, rows: Sequence[int]) -> Objective:
        """The objective of these outputs alone."""

    @abstractmethod
    def metric(self, layout: Layout) -> Floats:
        """(P, P) curvature of the scaled loss along the weights."""

    def quadratic(self, layout: Layout, *, gain: bool) -> Quadratic | None:
        """The sum of the losses as a quadratic in the weights (in gain · v with a gain), or None if
        it is none."""
        return None

    @property
    def spread(self) -> Floats | None:
        """(K,) the unit in which the outputs' levels are learned: the targets' standard deviations;
        None for ones."""
        return None

    def exact(self, layout: Layout, constraint: str, *, gain: bool) -> tuple[Floats, float] | None:
        """The minimiser and its gain where they are known, else None."""
        q = self.quadratic(layout, gain=gain)
        return None if q is None else solve(q, constraint, gain=gain)

    def start_scale(self, weight: Floats) -> float:
        """What (K, B) weights to start from are multiplied by, so that the unit of the target does
        not matter."""
        return 1.0

    @property
    def n_pixels(self) -> int:
        """Pixels that minibatches can be drawn from; 0 for objectives from moments."""
        return 0

    def batch(self, index: Tensor) -> Objective:
        """The objective on some of its pixels."""
        return self

    def brightness(self, weight: Tensor, gain: Tensor, level: Tensor | None) -> float:
        """The best common factor of the outputs, for objectives that do not see it; else 1."""
        return 1.0

    def to(self, device: torch.device, dtype: torch.dtype) -> Objective:
        """A copy with its tensors on a device, in a type; this objective keeps its own."""
        other = copy.copy(self)
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(other, name, place(value, device, dtype))
        return other


def scale_of(variance: Floats) -> Floats:
    """What a loss is divided by, so that its size is near one: the variances, or one where there
    are none."""
    return np.where(variance > 0, variance, 1.0)


def as_wide(spread: Floats, weight: Floats, covariance: Floats) -> float:
    """The factor that gives ``weight x`` these standard deviations, on average over the outputs."""
    wide = np.sqrt(np.einsum("kb,bc,kc->k", weight, covariance, weight))
    factor = float(np.mean(spread) / np.mean(wide)) if wide.any() else 1.0
    return factor if np.isfinite(factor) and factor > 0 else 1.0
