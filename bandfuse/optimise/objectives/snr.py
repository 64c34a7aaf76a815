"""SNR: the signal-to-noise ratio of fused bands."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from bandfuse.optimise.objectives.base import Gathered, Objective, curvature
from bandfuse.solve.layout import Layout
from bandfuse.solve.leading import leading
from bandfuse.spectral.bands import Floats


def leading_ratio(top: Floats, bottom: Floats) -> Floats:
    """The vector v with the largest ``vᵀ top v / vᵀ bottom v``, of unit norm and a sum that is not
    negative."""
    first: Floats = leading(top, bottom, 1)[0][0]
    return first


class SignalToNoise(Objective):
    """``loss_k = log(w_k N w_kᵀ) − log(w_k A w_kᵀ)``: minus the log of an output's variance over
    that of its noise.

    With free weights the optimum is the first of the minimum noise fractions (Green et al., IEEE
    Transactions on Geoscience and Remote Sensing 26, 1988), and is solved exactly."""

    def __init__(self, signal: Floats, noise: Floats, rows: int) -> None:
        self.signal, self.noise = signal, noise
        self._signal, self._noise = torch.as_tensor(signal), torch.as_tensor(noise)
        self.scale = np.ones(rows)

    def losses(self, weight: Tensor, gain: Tensor, level: Tensor | None) -> Tensor:
        """(…, K) log ratios."""
        noise, signal = (
            ((weight @ a) * weight).sum(-1).clamp_min(1e-300) for a in (self._noise, self._signal)
        )
        return torch.log(noise) - torch.log(signal)

    def part(self, rows: Sequence[int]) -> SignalToNoise:
        """The ratios of these outputs alone."""
        return SignalToNoise(self.signal, self.noise, len(rows))

    def metric(self, layout: Layout) -> Floats:
        """(P, P) ``Σ_k Z_kᵀ N Z_k``."""
        return curvature(layout, self.noise)

    def exact(self, layout: Layout, constraint: str, *, gain: bool) -> tuple[Floats, float] | None:
        """The leading generalised eigenvector, for one output with free weights."""
        if constraint != "free" or layout.shape[0] != 1 or layout.fixed.any():
            return None
        z = layout.member(0)
        return leading_ratio(z.T @ self.signal @ z, z.T @ self.noise @ z), 1.0


def signal_to_noise(gathered: Gathered) -> SignalToNoise:
    """Of the covariances of the bands and of their noise, with a ridge on that of the noise."""
    assert gathered.noise is not None
    noise = gathered.noise.covariance
    return SignalToNoise(gathered.split.a, gathered.ridged(noise, noise), gathered.outputs)
