"""Sampled: regression by a loss of single pixels, over a sample."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bandfuse.errors import ConfigError
from bandfuse.optimise.activations import ACTIVATIONS
from bandfuse.optimise.losses import COUPLED, LOSSES, LossFunction, check_values, huber
from bandfuse.optimise.objectives.base import Objective, as_wide, scale_of
from bandfuse.solve.layout import Layout
from bandfuse.spectral.bands import Floats


class SampledRegression(Objective):
    """A loss of the outputs to the targets on a sample of pixels: for activations, and for what is
    not quadratic.

    Parameters
    ----------
    sample : (N, B + K) bands, then targets.
    mean : (B,) the pixel at which the level is taken.
    loss : a name in :data:`bandfuse.optimise.losses.LOSSES`, or a user's own ``loss(y, target)``:
        (N,) or a scalar.
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
        self._variance = scale_of(t.var(axis=0) if len(t) else np.ones(t.shape[1]))
        self._delta = torch.as_tensor(huber_delta * np.sqrt(self._variance))
        self._cov = x.T @ x / max(1, len(x))
        self.scale = self._loss_of_the_mean()
        if held is not None and held.any():
            rest = torch.as_tensor(sample[held])
            self.held = self._on(rest[:, :n_bands] - self._mean, rest[:, n_bands:])

    @property
    def spread(self) -> Floats | None:
        """(K,) standard deviations of the targets; ones before an activation that bends everything
        to its own range."""
        return None if self.activation in ("sigmoid", "tanh") else np.sqrt(self._variance)

    def start_scale(self, weight: Floats) -> float:
        """The outputs then vary as much as the targets; by one before an activation with a range of
        its own."""
        spread = np.ones(len(weight)) if self.spread is None else self.spread
        return as_wide(spread, weight, self._cov)

    @property
    def n_pixels(self) -> int:
        """Pixels that are trained on."""
        return len(self._x)

    def _loss_of_the_mean(self) -> Floats:
        """(L,) the loss of outputs that are the targets' means; one where there is none. Checks a
        user's own loss."""
        if isinstance(self.loss, str) and not self.separable and self._t.shape[1] < 2:
            raise ConfigError(
                f"loss {self.loss} compares vectors",
                got="one output",
                expected="two or more outputs",
                remedy="Use --loss mse, mae or huber.",
            )
        if not self.n_pixels:
            return np.ones(self._t.shape[1] if self.separable else 1)
        y = self._t.mean(0).expand_as(self._t).clone().requires_grad_()
        values = self._values(y, self._t)
        if not isinstance(self.loss, str):
            check_values(values, self.n_pixels)
        size = values.detach().mean(0).reshape(-1).numpy()
        return scale_of(np.where(np.isfinite(size), size, 0.0))

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
        """The factor that brings the outputs nearest to the targets, for losses and activations
        that do not see it."""
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
        """(P, P) curvature as if the activation were the identity and the loss the squared
        error."""
        rows = [(layout.member(k), s) for k, s in enumerate(self._variance)]
        return (
            np.sum([z.T @ self._cov @ z / s for z, s in rows], axis=0)
            if layout.size
            else np.zeros((0, 0))
        )
