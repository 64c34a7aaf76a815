"""Regression: the squared error of outputs against targets, from moments."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from bandfuse.optimise.objectives.base import Gathered, Objective, as_wide
from bandfuse.solve.exact import Quadratic
from bandfuse.solve.layout import Layout
from bandfuse.solve.squares import Squares
from bandfuse.spectral.bands import Floats


class Regression(Objective):
    """Mean squared error of each output to its target, from moments, and penalties.

    ``loss_k = u A uᵀ − 2 u c_k + var(t_k) + (level_k − mean(t_k))² + u F_k uᵀ + 2 l_kᵀ |u|`` with u
    = g w; without an offset the level is ``u mean(x)``. F_k (B, B) and l_k (B,) are the penalties.
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
        return as_wide(self.spread, weight, self.squares.split.a)

    def losses(self, weight: Tensor, gain: Tensor, level: Tensor | None) -> Tensor:
        """(…, K) mean squared errors with their penalties."""
        effective = gain[..., None] * weight
        spread = (
            ((effective @ self._a) * effective).sum(-1)
            - 2 * (effective * self._c.T).sum(-1)
            + self._var
        )
        at_mean = effective @ self._mean if level is None else level
        errors = spread + (at_mean - self._target_mean) ** 2
        if self._forms is not None:
            bent = effective[..., None, :] @ self._forms @ effective[..., :, None]
            errors = errors + bent[..., 0, 0]
        return errors if self._l1 is None else errors + 2 * (self._l1 * effective.abs()).sum(-1)

    def part(self, rows: Sequence[int]) -> Regression:
        """The regression of these outputs alone."""
        return Regression(self.squares.rows(rows))

    def metric(self, layout: Layout) -> Floats:
        """(P, P) ``Σ_k Z_kᵀ (A + F_k) Z_k / var_k``."""
        return self.quadratic(layout, gain=False).a

    def quadratic(self, layout: Layout, *, gain: bool) -> Quadratic:
        """The summed, scaled squared error and penalties; see
        :func:`bandfuse.solve.squares.squared_error`."""
        return self.squares.quadratic(layout, gain=gain)


def regression(gathered: Gathered) -> Regression:
    """Of the squared error that was gathered."""
    assert gathered.squares is not None
    return Regression(gathered.squares)
