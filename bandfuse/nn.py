"""The parameterisation of bandfuse as a torch module, for people who train a network of their
own."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from bandfuse.errors import ConfigError, MismatchError, nearest, shorten
from bandfuse.optimise.activations import ACTIVATIONS
from bandfuse.optimise.parameters import CONSTRAINTS, Weights
from bandfuse.solve.layout import KINDS, across
from bandfuse.solve.starts import INITS, feasible, initial
from bandfuse.spectral.bands import Bands
from bandfuse.spectral.groups import Group

LONGEST = 4
"""Tensors whose weights are shown."""


def _require(name: str, value: str, known: Collection[str]) -> None:
    """Refuse a word that is not known."""
    if value not in known:
        raise ConfigError(
            f"{name}=",
            got=repr(value),
            expected=f"one of {', '.join(known)}",
            remedy=hint if (hint := nearest(str(value), known)).startswith("Did") else "",
        )


def _require_places(fixed: Sequence[int], tensors: int) -> None:
    """Refuse places of tensors that there are not."""
    odd = [place for place in fixed if not 0 <= place < tensors]
    if odd:
        raise ConfigError("fixed=", got=f"{odd[0]}", expected=f"places from 0 to {tensors - 1}")


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

    What it has learned is read with :attr:`weight` and :meth:`matrix`.

    Raises
    ------
    ConfigError : a constraint, kind of weights, start or activation that there is not, with those
        that there are; a place of a fixed tensor that there is not. GroupError : channels that do
        not fit. MismatchError : tensors that are not of the shapes declared.

    >>> fuse = WeightedSum([3, 3], weights="scalar", constraint="affine")
    >>> fuse(torch.ones(2, 3, 4, 4), torch.zeros(2, 3, 4, 4))[0, 0, 0, 0].item()
    0.5
    >>> fuse.weight.tolist()
    [[0.5, 0.5, 0.5], [0.5, 0.5, 0.5]]
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
        _require("weights", weights, KINDS)
        _require("constraint", constraint, CONSTRAINTS)
        _require("init", init, INITS)
        _require("activation", activation, ACTIVATIONS)
        self.channels = list(channels)
        _require_places(fixed, len(self.channels))
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
        self.constraint, self.kind = constraint, weights
        self.activation = activation

    @property
    def weight(self) -> Tensor:
        """(S, C) the weight of each tensor in each channel, (N, S, C) for instance weights: a copy
        without gradient and gain. A tensor of one channel has its weight in every channel."""
        with torch.no_grad():
            w = torch.stack([module()[0] for module in self.weights])
        rows = torch.arange(w.shape[1], device=w.device)
        starts = np.cumsum([0, *self.channels]).tolist()
        columns = [
            start + (rows if n > 1 else 0 * rows)
            for n, start in zip(self.channels, starts, strict=False)
        ]
        weight = torch.stack([w[:, rows, column] for column in columns], dim=1)
        return weight if self.instance else weight[0]

    def matrix(self) -> Tensor:
        """(C, B) gain times weight over the B channels of all tensors, one after the other;
        (N, C, B) for instance weights. Gradients pass through it."""
        every = torch.stack([gain[:, None] * w for w, gain, _ in (m() for m in self.weights)])
        return every if self.instance else every[0]

    def extra_repr(self) -> str:
        """Settings and weights, as torch shows a module."""
        said = f"channels={shorten(map(str, self.channels))}, weights={self.kind!r}, "
        said += f"constraint={self.constraint!r}, activation={self.activation!r}"
        weight = self.weight[0] if self.instance else self.weight
        which = " of the first instance" if self.instance else ""
        rows = (
            f"tensor {s}{which}: {shorten((f'{float(v):.4g}' for v in row), 6)}"
            for s, row in enumerate(weight[:LONGEST])
        )
        more = [f"… ({len(weight)} tensors)"] if len(weight) > LONGEST else []
        return "\n".join([said, *rows, *more])

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
