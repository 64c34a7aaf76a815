"""Objectives: what a fusion is good for, as a loss of its weights. They see moments or a sample, never the pixels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bandfuse.bands import Floats
from bandfuse.exact import Quadratic
from bandfuse.layout import Layout
from bandfuse.moments import Moments
from bandfuse.weights import ACTIVATIONS

JITTER = 1e-12
"""Added to the correlations of the outputs before they are inverted."""


class Objective(ABC):
    """A loss of ``(W, gain, level)``.

    Attributes
    ----------
    separable : the losses of different outputs can be minimised apart.
    scale : (L,) the loss of knowing nothing (a variance): losses divided by it have no unit.
    """

    separable = True
    scale: Floats

    @abstractmethod
    def losses(self, weight: Tensor, gain: Tensor, level: Tensor | None) -> Tensor:
        """(L,) mean squared errors: one per output, or one for all."""

    @abstractmethod
    def part(self, rows: Sequence[int]) -> Objective:
        """The objective of these outputs alone."""

    @abstractmethod
    def metric(self, layout: Layout) -> Floats:
        """(P, P) curvature of the scaled loss along the weights."""

    def quadratic(self, layout: Layout, *, gain: bool) -> Quadratic | None:
        """The sum of the losses as a quadratic in the weights (in gain · v with a gain), or None if it is none."""
        return None

    def to(self, device: torch.device, dtype: torch.dtype) -> Objective:
        """The same objective with its tensors on a device, in a type."""
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(self, name, value.to(device, dtype))
        return self


def _scale(variance: Floats) -> Floats:
    return np.where(variance > 0, variance, 1.0)


@dataclass(frozen=True, eq=False)
class Split:
    """Moments of the joint vector [bands, targets], taken apart: covariances A, C = cov(x, t), var(t) and means."""

    a: Floats
    c: Floats
    var: Floats
    mean: Floats
    target_mean: Floats

    @classmethod
    def of(cls, joint: Moments, n_bands: int) -> Split:
        """From joint moments with the targets last."""
        s = joint.covariance
        b = n_bands
        return cls(s[:b, :b], s[:b, b:], np.diag(s)[b:].copy(), joint.mean[:b], joint.mean[b:])

    def rows(self, rows: Sequence[int]) -> Split:
        """For some of the targets."""
        r = list(rows)
        return Split(self.a, self.c[:, r], self.var[r], self.mean, self.target_mean[r])


class Regression(Objective):
    """Mean squared error of each output to its target, from moments.

    ``loss_k = g² w A wᵀ − 2 g w c_k + var(t_k) + (level_k − mean(t_k))²``; without an offset the level is
    ``g w mean(x)``.
    """

    def __init__(self, split: Split, *, offset: bool) -> None:
        self.split, self.offset = split, offset
        self.scale = _scale(split.var)
        self._a, self._c = torch.as_tensor(split.a), torch.as_tensor(split.c)
        self._var, self._mean = torch.as_tensor(split.var), torch.as_tensor(split.mean)
        self._target_mean = torch.as_tensor(split.target_mean)

    def losses(self, weight: Tensor, gain: Tensor, level: Tensor | None) -> Tensor:
        """(K,) mean squared errors."""
        effective = gain[:, None] * weight
        spread = ((effective @ self._a) * effective).sum(1) - 2 * (effective * self._c.T).sum(1) + self._var
        at_mean = effective @ self._mean if level is None else level
        return spread + (at_mean - self._target_mean) ** 2

    def part(self, rows: Sequence[int]) -> Regression:
        """The regression of these outputs alone."""
        return Regression(self.split.rows(rows), offset=self.offset)

    def _second(self) -> tuple[Floats, Floats, Floats]:
        """A, C and var as the quadratic sees them: centred with an offset, about zero without one."""
        s = self.split
        if self.offset:
            return s.a, s.c, s.var
        return s.a + np.outer(s.mean, s.mean), s.c + np.outer(s.mean, s.target_mean), s.var + s.target_mean**2

    def metric(self, layout: Layout) -> Floats:
        """(P, P) ``Σ_k Z_kᵀ A Z_k / var_k``."""
        a, _, _ = self._second()
        rows = [(layout.member(k), s) for k, s in enumerate(self.scale)]
        return np.sum([z.T @ a @ z / s for z, s in rows], axis=0) if layout.size else np.zeros((0, 0))

    def quadratic(self, layout: Layout, *, gain: bool) -> Quadratic:
        """The summed, scaled squared error in v; with a gain in u = gain · v, where fixed groups ride on the gain."""
        a, c, var = self._second()
        sums = layout.multiplicity
        qa, qb, qc = np.zeros((layout.size,) * 2), np.zeros(layout.size), 0.0
        for k in range(layout.shape[0]):
            z, f = layout.member(k), layout.fixed[k]
            if gain:
                z, f = z + np.outer(f, sums), np.zeros_like(f)
            qa += z.T @ a @ z / self.scale[k]
            qb += z.T @ (c[:, k] - a @ f) / self.scale[k]
            qc += float(f @ a @ f - 2 * f @ c[:, k] + var[k]) / self.scale[k]
        return Quadratic(qa, qb, qc, sums)


class SampledRegression(Objective):
    """Mean squared error to the targets on a sample of pixels, for fusions with an activation.

    The sample is (N, B + K): bands, then targets. ``mean`` (B,) is the pixel at which the level is taken.
    """

    def __init__(self, sample: Floats, n_bands: int, mean: Floats, activation: str) -> None:
        x, t = sample[:, :n_bands], sample[:, n_bands:]
        self.activation = activation
        self._x, self._t, self._mean = torch.as_tensor(x - mean), torch.as_tensor(t), torch.as_tensor(mean)
        self.scale = _scale(t.var(axis=0) if len(t) else np.ones(t.shape[1]))
        self._cov = (x - mean).T @ (x - mean) / max(1, len(x))

    def losses(self, weight: Tensor, gain: Tensor, level: Tensor | None) -> Tensor:
        """(K,) mean squared errors over the sample."""
        effective = gain[:, None] * weight
        at_mean = effective @ self._mean if level is None else level
        y = ACTIVATIONS[self.activation](self._x @ effective.T + at_mean)
        return ((y - self._t) ** 2).mean(0)

    def part(self, rows: Sequence[int]) -> SampledRegression:
        """The regression of these outputs alone."""
        other = object.__new__(SampledRegression)
        other.__dict__.update(self.__dict__)
        other._t, other.scale = self._t[:, list(rows)], self.scale[list(rows)]
        return other

    def metric(self, layout: Layout) -> Floats:
        """(P, P) curvature as if the activation were the identity."""
        rows = [(layout.member(k), s) for k, s in enumerate(self.scale)]
        return np.sum([z.T @ self._cov @ z / s for z, s in rows], axis=0) if layout.size else np.zeros((0, 0))


class Reconstruction(Objective):
    """Mean squared error, per band, of the best linear decoder from the K outputs back to all B bands.

    ``loss = (tr A − tr((W A Wᵀ)⁻¹ W A A Wᵀ)) / B``: a function of the covariance A alone. It does not depend on the
    scale of a row. Over all unconstrained W the K leading principal components are the optimum (Eckart and Young 1936).
    """

    separable = False

    def __init__(self, covariance: Floats) -> None:
        self._a = torch.as_tensor(covariance)
        self.covariance = covariance
        self.scale = _scale(np.array([np.trace(covariance) / len(covariance)]))

    def losses(self, weight: Tensor, gain: Tensor, level: Tensor | None) -> Tensor:
        """(1,) mean squared error per band."""
        cross = weight @ self._a
        inner = cross @ weight.T
        size = torch.sqrt(torch.diagonal(inner).clamp_min(1e-300))
        correlation = inner / size[:, None] / size[None, :]
        correlation = correlation + JITTER * torch.eye(len(size), dtype=weight.dtype, device=weight.device)
        lower = torch.linalg.cholesky(correlation)
        explained = torch.linalg.solve_triangular(lower, cross / size[:, None], upper=False).square().sum()
        loss: Tensor = ((torch.trace(self._a) - explained) / len(self._a)).reshape(1)
        return loss

    def part(self, rows: Sequence[int]) -> Reconstruction:
        """The outputs explain the cube together: there are no parts."""
        return self

    def metric(self, layout: Layout) -> Floats:
        """(P, P) ``Σ_k Z_kᵀ A Z_k``: whitening by it gives every output unit variance."""
        a = self.covariance
        members = [layout.member(k) for k in range(layout.shape[0])]
        bend: Floats = np.sum([z.T @ a @ z for z in members], axis=0)
        return bend
