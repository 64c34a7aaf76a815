"""Contrast: objectives that are ratios of variances, from moments; and sums of objectives."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from bandfuse.spectral.bands import Floats
from bandfuse.solve.layout import Layout
from bandfuse.optimise.objectives.regression import JITTER, Objective


def _log_det(weight: Tensor, a: Tensor) -> Tensor:
    """log det of ``W A Wᵀ``, by Cholesky of its correlations."""
    inner = weight @ a @ weight.T
    size = torch.diagonal(inner).clamp_min(1e-300)
    root = torch.sqrt(size)
    correlation = inner / root[:, None] / root[None, :]
    correlation = correlation + JITTER * torch.eye(len(size), dtype=weight.dtype, device=weight.device)
    return 2 * torch.log(torch.diagonal(torch.linalg.cholesky(correlation))).sum() + torch.log(size).sum()


def _bend(layout: Layout, a: Floats) -> Floats:
    members = [layout.member(k) for k in range(layout.shape[0])]
    bend: Floats = np.sum([z.T @ a @ z for z in members], axis=0)
    return bend


def leading_ratio(top: Floats, bottom: Floats) -> Floats:
    """The vector v with the largest ``vᵀ top v / vᵀ bottom v``, of unit norm and a sum that is not negative."""
    from scipy.linalg import eigh

    scale = 1 / np.sqrt(np.maximum(np.diag(bottom), 1e-300))
    outer = np.outer(scale, scale)
    _, vectors = eigh(top * outer, bottom * outer + 1e-12 * np.eye(len(scale)), subset_by_index=[len(scale) - 1] * 2)
    v: Floats = scale * vectors[:, 0]
    return v / np.linalg.norm(v) * (-1.0 if v.sum() < 0 else 1.0)


class Separability(Objective):
    """``loss = (log det(W S_w Wᵀ) − log det(W S_t Wᵀ)) / K``, S_w the scatter within classes, S_t that of all.

    Zero where the classes lie on each other, and the more negative the further apart they are. It does not depend on
    the scale or the mixture of rows. With all weights free the C − 1 leading linear discriminants are the optimum
    (Fukunaga, "Introduction to Statistical Pattern Recognition", 1990, section 10.2, criterion J2).
    """

    separable = False

    def __init__(self, within: Floats, total: Floats) -> None:
        self.within = within
        self._within, self._total = torch.as_tensor(within), torch.as_tensor(total)
        self.scale = np.ones(1)

    def losses(self, weight: Tensor, gain: Tensor, level: Tensor | None) -> Tensor:
        """(1,) mean over the outputs of the log ratio."""
        ratio = _log_det(weight, self._within) - _log_det(weight, self._total)
        return (ratio / len(weight)).reshape(1)

    def part(self, rows: Sequence[int]) -> Separability:
        """The outputs part the classes together: there are no parts."""
        return self

    def metric(self, layout: Layout) -> Floats:
        """(P, P) ``Σ_k Z_kᵀ S_w Z_k``."""
        return _bend(layout, self.within)


class SignalToNoise(Objective):
    """``loss_k = log(w_k N w_kᵀ) − log(w_k A w_kᵀ)``: minus the log of an output's variance over that of its noise.

    With free weights the optimum is the first of the minimum noise fractions (Green et al., IEEE Transactions on
    Geoscience and Remote Sensing 26, 1988), and is solved exactly.
    """

    def __init__(self, signal: Floats, noise: Floats, rows: int) -> None:
        self.signal, self.noise = signal, noise
        self._signal, self._noise = torch.as_tensor(signal), torch.as_tensor(noise)
        self.scale = np.ones(rows)

    def losses(self, weight: Tensor, gain: Tensor, level: Tensor | None) -> Tensor:
        """(K,) log ratios."""
        noise, signal = (((weight @ a) * weight).sum(1).clamp_min(1e-300) for a in (self._noise, self._signal))
        return torch.log(noise) - torch.log(signal)

    def part(self, rows: Sequence[int]) -> SignalToNoise:
        """The ratios of these outputs alone."""
        return SignalToNoise(self.signal, self.noise, len(rows))

    def metric(self, layout: Layout) -> Floats:
        """(P, P) ``Σ_k Z_kᵀ N Z_k``."""
        return _bend(layout, self.noise)

    def exact(self, layout: Layout, constraint: str, *, gain: bool) -> tuple[Floats, float] | None:
        """The leading generalised eigenvector, for one output with free weights."""
        if constraint != "free" or layout.shape[0] != 1 or layout.fixed.any():
            return None
        z = layout.member(0)
        return leading_ratio(z.T @ self.signal @ z, z.T @ self.noise @ z), 1.0


class Sum(Objective):
    """``Σ_i factor_i · mean(losses_i / scale_i)``: several objectives of the same weights, each without its unit."""

    separable = False

    def __init__(self, parts: Sequence[tuple[float, Objective]]) -> None:
        self.parts = list(parts)
        self.scale = np.ones(1)

    @property
    def spread(self) -> Floats | None:
        """That of the first part with one."""
        return next((s for _, part in self.parts if (s := part.spread) is not None), None)

    def losses(self, weight: Tensor, gain: Tensor, level: Tensor | None) -> Tensor:
        """(1,) the weighted sum."""
        terms = [
            factor * (part.losses(weight, gain, level) / torch.as_tensor(part.scale).to(weight)).mean()
            for factor, part in self.parts
        ]
        return torch.stack(terms).sum().reshape(1)

    def part(self, rows: Sequence[int]) -> Sum:
        """A sum has no parts."""
        return self

    def metric(self, layout: Layout) -> Floats:
        """(P, P) the weighted sum of the parts' curvatures, each scaled to a mean diagonal of one."""
        bends = [(factor, part.metric(layout)) for factor, part in self.parts]
        total: Floats = np.sum([f * a / max(float(np.mean(np.diag(a))), 1e-300) for f, a in bends], axis=0)
        return total

    def start_scale(self, weight: Floats) -> float:
        """That of the parts that have one."""
        return float(np.prod([part.start_scale(weight) for _, part in self.parts]))

    def to(self, device: torch.device, dtype: torch.dtype) -> Objective:
        """The same sum with its tensors on a device, in a type."""
        self.parts = [(factor, part.to(device, dtype)) for factor, part in self.parts]
        return self
