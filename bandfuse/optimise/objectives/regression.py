"""Objectives: what a fusion is good for, as a loss of its weights. They see moments or a sample, never the pixels."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bandfuse.spectral.bands import Floats
from bandfuse.errors import ConfigError
from bandfuse.solve.exact import Quadratic, solve
from bandfuse.solve.layout import Layout
from bandfuse.optimise.losses import COUPLED, LOSSES, LossFunction, check_values, huber
from bandfuse.solve.squares import Squares
from bandfuse.optimise.parameters import ACTIVATIONS

JITTER = 1e-12
"""Added to the correlations of the outputs before they are inverted."""


class Objective(ABC):
    """A loss of ``(W, gain, level)``.

    Attributes
    ----------
    separable : the losses of different outputs can be minimised apart.
    scale : (L,) the loss of knowing nothing (a variance): losses divided by it have no unit.
    held : the same objective on pixels that are kept out of training, for early stopping; None if there are none.
    """

    separable = True
    scale: Floats
    held: Objective | None = None

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

    @property
    def spread(self) -> Floats | None:
        """(K,) the unit in which the outputs' levels are learned: the targets' standard deviations; None for ones."""
        return None

    def exact(self, layout: Layout, constraint: str, *, gain: bool) -> tuple[Floats, float] | None:
        """The minimiser and its gain where they are known, else None."""
        q = self.quadratic(layout, gain=gain)
        return None if q is None else solve(q, constraint, gain=gain)

    def start_scale(self, weight: Floats) -> float:
        """What (K, B) weights to start from are multiplied by, so that the unit of the target does not matter."""
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
        """The same objective with its tensors on a device, in a type."""
        for name, value in vars(self).items():
            if isinstance(value, Tensor | Objective):
                setattr(self, name, value.to(device, dtype))
        return self


def _scale(variance: Floats) -> Floats:
    return np.where(variance > 0, variance, 1.0)


def _as_wide(spread: Floats, weight: Floats, covariance: Floats) -> float:
    """The factor that gives ``weight x`` these standard deviations, on average over the outputs."""
    wide = np.sqrt(np.einsum("kb,bc,kc->k", weight, covariance, weight))
    factor = float(np.mean(spread) / np.mean(wide)) if wide.any() else 1.0
    return factor if np.isfinite(factor) and factor > 0 else 1.0


class Regression(Objective):
    """Mean squared error of each output to its target, from moments, and penalties.

    ``loss_k = u A uᵀ − 2 u c_k + var(t_k) + (level_k − mean(t_k))² + u F_k uᵀ + 2 l_kᵀ |u|`` with u = g w; without an
    offset the level is ``u mean(x)``. F_k (B, B) and l_k (B,) are the penalties.
    """

    def __init__(self, squares: Squares) -> None:
        self.squares, self.scale = squares, squares.scale
        split, forms, l1 = squares.split, squares.forms, squares.l1
        self._l1 = None if l1 is None else torch.as_tensor(l1)
        self._a, self._c = torch.as_tensor(split.a), torch.as_tensor(split.c)
        self._var, self._mean = torch.as_tensor(split.var), torch.as_tensor(split.mean)
        self._target_mean = torch.as_tensor(split.target_mean)
        self._forms = None if forms is None else torch.as_tensor(forms)

    @property
    def spread(self) -> Floats:
        """(K,) standard deviations of the targets."""
        root: Floats = np.sqrt(self.scale)
        return root

    def start_scale(self, weight: Floats) -> float:
        """The outputs then vary as much as the targets."""
        return _as_wide(self.spread, weight, self.squares.split.a)

    def losses(self, weight: Tensor, gain: Tensor, level: Tensor | None) -> Tensor:
        """(K,) mean squared errors with their penalties."""
        effective = gain[:, None] * weight
        spread = ((effective @ self._a) * effective).sum(1) - 2 * (effective * self._c.T).sum(1) + self._var
        at_mean = effective @ self._mean if level is None else level
        errors = spread + (at_mean - self._target_mean) ** 2
        if self._forms is not None:
            errors = errors + (effective[:, None, :] @ self._forms @ effective[:, :, None])[:, 0, 0]
        return errors if self._l1 is None else errors + 2 * (self._l1 * effective.abs()).sum(1)

    def part(self, rows: Sequence[int]) -> Regression:
        """The regression of these outputs alone."""
        return Regression(self.squares.rows(rows))

    def metric(self, layout: Layout) -> Floats:
        """(P, P) ``Σ_k Z_kᵀ (A + F_k) Z_k / var_k``."""
        return self.quadratic(layout, gain=False).a

    def quadratic(self, layout: Layout, *, gain: bool) -> Quadratic:
        """The summed, scaled squared error and penalties; see :func:`bandfuse.solve.squares.squared_error`."""
        return self.squares.quadratic(layout, gain=gain)


class SampledRegression(Objective):
    """A loss of the outputs to the targets on a sample of pixels: for activations, and for what is not quadratic.

    Parameters
    ----------
    sample : (N, B + K) bands, then targets.
    mean : (B,) the pixel at which the level is taken.
    loss : a name in :data:`bandfuse.optimise.losses.LOSSES`, or a user's own ``loss(y, target)``: (N,) or a scalar.
    huber_delta : where huber turns from square to straight, in standard deviations of the target.
    held : (N,) true for the pixels that are not trained on, but watched by early stopping.
    """

    def __init__(
        self,
        sample: Floats,
        n_bands: int,
        mean: Floats,
        activation: str,
        *,
        loss: str | LossFunction = "mse",
        huber_delta: float = 1.0,
        held: NDArray[np.bool_] | None = None,
    ) -> None:
        used = sample if held is None else sample[~held]
        x, t = used[:, :n_bands] - mean, used[:, n_bands:]
        self.activation, self.loss = activation, loss
        self.separable = isinstance(loss, str) and loss not in COUPLED
        self._x, self._t, self._mean = torch.as_tensor(x), torch.as_tensor(t), torch.as_tensor(mean)
        self._variance = _scale(t.var(axis=0) if len(t) else np.ones(t.shape[1]))
        self._delta = torch.as_tensor(huber_delta * np.sqrt(self._variance))
        self._cov = x.T @ x / max(1, len(x))
        self.scale = self._loss_of_the_mean()
        if held is not None and held.any():
            rest = torch.as_tensor(sample[held])
            self.held = self._on(rest[:, :n_bands] - self._mean, rest[:, n_bands:])

    @property
    def spread(self) -> Floats | None:
        """(K,) standard deviations of the targets; ones before an activation that bends everything to its own range."""
        return None if self.activation in ("sigmoid", "tanh") else np.sqrt(self._variance)

    def start_scale(self, weight: Floats) -> float:
        """The outputs then vary as much as the targets; by one before an activation with a range of its own."""
        spread = np.ones(len(weight)) if self.spread is None else self.spread
        return _as_wide(spread, weight, self._cov)

    @property
    def n_pixels(self) -> int:
        """Pixels that are trained on."""
        return len(self._x)

    def _loss_of_the_mean(self) -> Floats:
        """(L,) the loss of outputs that are the targets' means; one where there is none. Checks a user's own loss."""
        if isinstance(self.loss, str) and not self.separable and self._t.shape[1] < 2:
            raise ConfigError(
                f"loss {self.loss} compares vectors", got="one output", expected="two or more outputs",
                remedy="Use --loss mse, mae or huber.",
            )  # fmt: skip
        if not self.n_pixels:
            return np.ones(self._t.shape[1] if self.separable else 1)
        y = self._t.mean(0).expand_as(self._t).clone().requires_grad_()
        values = self._values(y, self._t)
        if not isinstance(self.loss, str):
            check_values(values, self.n_pixels)
        size = values.detach().mean(0).reshape(-1).numpy()
        return _scale(np.where(np.isfinite(size), size, 0.0))

    def _values(self, y: Tensor, t: Tensor) -> Tensor:
        if not isinstance(self.loss, str):
            return self.loss(y, t)
        return huber(y, t, self._delta) if self.loss == "huber" else LOSSES[self.loss](y, t)

    def _outputs(self, weight: Tensor, gain: Tensor, level: Tensor | None) -> Tensor:
        effective = gain[:, None] * weight
        at_mean = effective @ self._mean if level is None else level
        return ACTIVATIONS[self.activation](self._x @ effective.T + at_mean)

    def losses(self, weight: Tensor, gain: Tensor, level: Tensor | None) -> Tensor:
        """(K,) mean losses over the sample; (1,) of a coupled loss."""
        values = self._values(self._outputs(weight, gain, level), self._t)
        return values.mean(0) if self.separable else values.mean().reshape(1)

    def brightness(self, weight: Tensor, gain: Tensor, level: Tensor | None) -> float:
        """The factor that brings the outputs nearest to the targets, for losses and activations that do not see it."""
        blind = isinstance(self.loss, str) and self.loss in COUPLED
        if not blind or self.activation not in ("identity", "relu", "leaky_relu"):
            return 1.0
        y = self._outputs(weight, gain, level)
        factor = float((y * self._t).sum() / (y * y).sum())
        return factor if np.isfinite(factor) and factor > 0 else 1.0

    def _on(self, x: Tensor, t: Tensor) -> SampledRegression:
        """The same loss, in the same units, on other pixels."""
        other = copy.copy(self)
        other._x, other._t, other.held = x, t, None
        return other

    def batch(self, index: Tensor) -> SampledRegression:
        """The objective on some of its pixels."""
        return self._on(self._x[index], self._t[index])

    def part(self, rows: Sequence[int]) -> SampledRegression:
        """The regression of these outputs alone; a coupled loss has no parts."""
        if not self.separable:
            return self
        r, other = list(rows), copy.copy(self)
        other._t, other._delta = self._t[:, r], self._delta[r]
        other.scale, other._variance = self.scale[r], self._variance[r]
        other.held = None if self.held is None else self.held.part(rows)
        return other

    def metric(self, layout: Layout) -> Floats:
        """(P, P) curvature as if the activation were the identity and the loss the squared error."""
        rows = [(layout.member(k), s) for k, s in enumerate(self._variance)]
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
