"""Activations: the functions that may follow the weighted sum."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda y: y,
    "relu": torch.relu,
    "leaky_relu": lambda y: nn.functional.leaky_relu(y, 0.01),
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "softplus": nn.functional.softplus,
}
"""The activations of :data:`bandfuse.model.fusion.ACTIVATIONS`, in torch."""
