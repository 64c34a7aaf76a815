"""The parameterisation of bandfuse as a torch module, for people who train a network of their
own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from bandfuse.errors import MismatchError
from bandfuse.optimise.activations import ACTIVATIONS
from bandfuse.optimise.parameters import Weights
from bandfuse.solve.layout import across
from bandfuse.solve.starts import feasible, initial
from bandfuse.spectral.bands import Bands
from bandfuse.spectral.groups import Group


class WeightedSum(nn.Module):
    """A learned weighted sum of tensors: ``y_c = activation(gain · Σ_s w_{s,c} x_s[c] +
    offset_c)``.

    Parameters
    ----------
    channels : channels of each tensor; all equal, or 1 for one that is broadcast.
    weights : ``scalar`` (one per tensor), ``channel`` (one per tensor and channel), ``instance``
        (one per tensor and place in the batch).
    constraint : ``free``, ``affine`` (sum to one: w and 1 − w for two tensors), ``nonnegative`` or
        ``simplex``.
    fixed : places of tensors that enter with weight 1, not learned.
    gain, offset : learn one non-negative gain per set of weights, one offset per channel.
    instances : size of the batch, for instance weights.

    Shapes
    ------
    Each input is (N, C_s, …) with equal N and trailing sizes; the output is (N, C, …).

    Raises
    ------
    GroupError : channels that do not fit. MismatchError : tensors that are not of the shapes
        declared.

    >>> fuse = WeightedSum([3, 3], weights="scalar", constraint="affine")
    >>> fuse(torch.ones(2, 3, 4, 4), torch.zeros(2, 3, 4, 4))[0, 0, 0, 0].item()
    0.5
    """

    def __init__(
        self,
        channels: Sequence[int],
        *,
        weights: str = "channel",
        constraint: str = "free",
        fixed: Sequence[int] = (),
        gain: bool = False,
        offset: bool = False,
        activation: str = "identity",
        init: str = "uniform",
        seed: int = 0,
        instances: int = 1,
    ) -> None:
        super().__init__()
        self.channels = list(channels)
        starts = np.cumsum([0, *channels])
        groups = [
            Group(str(s), tuple(range(starts[s], starts[s + 1]))) for s in range(len(self.channels))
        ]
        layout = across(groups, int(starts[-1]), weights, {str(s) for s in fixed})
        bands = Bands.of([str(i) for i in range(int(starts[-1]))])
        level = np.zeros(layout.shape[0]) if offset else None
        copies = instances if weights == "instance" else 1
        self.weights = nn.ModuleList(
            Weights(layout, constraint, gain=gain, level=level).start(
                feasible(initial(init, layout, bands, seed + i), layout, constraint)
            )
            for i in range(copies)
        )
        self.instance = weights == "instance"
        self.activation = activation

    def forward(self, *tensors: Tensor) -> Tensor:
        """Combine the tensors."""
        self._check(tensors)
        n, tail = tensors[0].shape[0], tensors[0].shape[2:]
        x = torch.cat([t.reshape(n, t.shape[1], -1) for t in tensors], dim=1)
        parts = [module() for module in self.weights]
        matrix = torch.stack([gain[:, None] * w for w, gain, _ in parts]).to(x.dtype)
        y = matrix @ x
        if parts[0][2] is not None:
            y = y + torch.stack([level for _, _, level in parts]).to(x.dtype)[:, :, None]
        return ACTIVATIONS[self.activation](y).reshape(n, -1, *tail)

    def _check(self, tensors: Sequence[Tensor]) -> None:
        got = [tuple(t.shape) for t in tensors]
        fits = (
            [s[1] for s in got] == self.channels
            and len({(s[0], *s[2:]) for s in got}) == 1
            and (not self.instance or got[0][0] == len(self.weights))
        )
        if not fits:
            batch = f"N = {len(self.weights)}" if self.instance else "any N"
            raise MismatchError(
                "tensors to combine",
                got=f"shapes {got}",
                expected=f"(N, C, …) with {batch}, C = {self.channels}, and equal trailing sizes",
            )
