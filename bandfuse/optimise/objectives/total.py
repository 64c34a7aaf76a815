"""Total: a sum of objectives."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from bandfuse.optimise.doors import place
from bandfuse.optimise.objectives.base import Objective
from bandfuse.solve.layout import Layout
from bandfuse.spectral.bands import Floats


class Sum(Objective):
    """``Σ_i factor_i · mean(losses_i / scale_i)``: several objectives of the same weights, each
    without its unit."""

    separable = False

    def __init__(self, parts: Sequence[tuple[float, Objective]]) -> None:
        self.parts = list(parts)
        self._scales = [torch.as_tensor(part.scale) for _, part in self.parts]
        self.scale = np.ones(1)

    @property
    def spread(self) -> Floats | None:
        """That of the first part with one."""
        return next((s for _, part in self.parts if (s := part.spread) is not None), None)

    def losses(self, weight: Tensor, gain: Tensor, level: Tensor | None) -> Tensor:
        """(…, 1) the weighted sum."""
        terms = [
            factor * (part.losses(weight, gain, level) / scale).mean(-1)
            for (factor, part), scale in zip(self.parts, self._scales, strict=True)
        ]
        return torch.stack(terms).sum(0)[..., None]

    def part(self, rows: Sequence[int]) -> Sum:
        """A sum has no parts."""
        return self

    def metric(self, layout: Layout) -> Floats:
        """(P, P) the weighted sum of the parts' curvatures, each scaled to a mean diagonal of
        one."""
        bends = [(factor, part.metric(layout)) for factor, part in self.parts]
        total: Floats = np.sum(
            [f * a / max(float(np.mean(np.diag(a))), 1e-300) for f, a in bends], axis=0
        )
        return total

    def start_scale(self, weight: Floats) -> float:
        """That of the parts that have one."""
        return float(np.prod([part.start_scale(weight) for _, part in self.parts]))

    def to(self, device: torch.device, dtype: torch.dtype) -> Objective:
        """A copy with its tensors on a device, in a type."""
        other = copy.copy(self)
        other.parts = [(factor, part.to(device, dtype)) for factor, part in self.parts]
        other._scales = [place(scale, device, dtype) for scale in self._scales]
        return other
