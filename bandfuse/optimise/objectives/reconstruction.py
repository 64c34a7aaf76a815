"""Reconstruction: how well fused bands give the input bands back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from bandfuse.optimise.objectives.base import JITTER, Gathered, Objective, curvature, scale_of
from bandfuse.solve.layout import Layout
from bandfuse.spectral.bands import Floats


class Reconstruction(Objective):
    """Mean squared error, per band, of the best linear decoder from the K outputs back to all B
    bands.

    ``loss = (tr A − tr((W A Wᵀ)⁻¹ W A A Wᵀ)) / B``: a function of the covariance A alone. It does
    not depend on the scale of a row. Over all unconstrained W the K leading principal components
    are the optimum (Eckart and Young 1936)."""

    separable = False

    def __init__(self, covariance: Floats) -> None:
        self._a = torch.as_tensor(covariance)
        self.covariance = covariance
        self.scale = scale_of(np.array([np.trace(covariance) / len(covariance)]))

    def losses(self, weight: Tensor, gain: Tensor, level: Tensor | None) -> Tensor:
        """(…, 1) mean squared error per band."""
        cross = weight @ self._a
        inner = cross @ weight.mT
        size = torch.sqrt(torch.diagonal(inner, dim1=-2, dim2=-1).clamp_min(1e-300))
        correlation = inner / size[..., :, None] / size[..., None, :]
        correlation = correlation + JITTER * torch.eye(
            size.shape[-1], dtype=weight.dtype, device=weight.device
        )
        lower = torch.linalg.cholesky(correlation)
        solved = torch.linalg.solve_triangular(lower, cross / size[..., None], upper=False)
        explained = solved.square().sum((-2, -1))
        loss: Tensor = ((torch.trace(self._a) - explained) / len(self._a))[..., None]
        return loss

    def part(self, rows: Sequence[int]) -> Reconstruction:
        """The outputs explain the cube together: there are no parts."""
        return self

    def metric(self, layout: Layout) -> Floats:
        """(P, P) ``Σ_k Z_kᵀ A Z_k``: whitening by it gives every output unit variance."""
        return curvature(layout, self.covariance)


def reconstruction(gathered: Gathered) -> Reconstruction:
    """Of the covariance of the bands."""
    return Reconstruction(gathered.split.a)
