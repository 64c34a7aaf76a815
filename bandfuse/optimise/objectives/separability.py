"""Separability: how far classes lie apart, as a ratio of variances from moments."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from bandfuse.optimise.objectives.base import JITTER, Gathered, Objective, curvature
from bandfuse.solve.classes import scatters
from bandfuse.solve.layout import Layout
from bandfuse.spectral.bands import Floats


def _log_det(weight: Tensor, a: Tensor) -> Tensor:
    """log det of ``W A Wᵀ``, by Cholesky of its correlations."""
    inner = weight @ a @ weight.mT
    size = torch.diagonal(inner, dim1=-2, dim2=-1).clamp_min(1e-300)
    root = torch.sqrt(size)
    correlation = inner / root[..., :, None] / root[..., None, :]
    correlation = correlation + JITTER * torch.eye(
        size.shape[-1], dtype=weight.dtype, device=weight.device
    )
    pivots = torch.diagonal(torch.linalg.cholesky(correlation), dim1=-2, dim2=-1)
    return 2 * torch.log(pivots).sum(-1) + torch.log(size).sum(-1)


class Separability(Objective):
    """``loss = (log det(W S_w Wᵀ) − log det(W S_t Wᵀ)) / K``, S_w the scatter within classes, S_t
    that of all.

    Zero where the classes lie on each other, and the more negative the further apart they are. It
    does not depend on the scale or the mixture of rows. With all weights free the C − 1 leading
    linear discriminants are the optimum (Fukunaga, "Introduction to Statistical Pattern
    Recognition", 1990, section 10.2, criterion J2)."""

    separable = False

    def __init__(self, within: Floats, total: Floats) -> None:
        self.within = within
        self._within, self._total = torch.as_tensor(within), torch.as_tensor(total)
        self.scale = np.ones(1)

    def losses(self, weight: Tensor, gain: Tensor, level: Tensor | None) -> Tensor:
        """(…, 1) mean over the outputs of the log ratio."""
        ratio = _log_det(weight, self._within) - _log_det(weight, self._total)
        return (ratio / weight.shape[-2])[..., None]

    def part(self, rows: Sequence[int]) -> Separability:
        """The outputs separate the classes together: there are no parts."""
        return self

    def metric(self, layout: Layout) -> Floats:
        """(P, P) ``Σ_k Z_kᵀ S_w Z_k``."""
        return curvature(layout, self.within)


def separability(gathered: Gathered) -> Separability:
    """Of the classes, with a ridge on both scatters: a share of the scatter within classes."""
    assert gathered.classes is not None
    within, total = scatters(gathered.classes, balanced=gathered.balanced)
    return Separability(gathered.ridged(within, within), gathered.ridged(total, within))
