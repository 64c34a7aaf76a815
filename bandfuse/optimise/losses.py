"""Losses: how far outputs are from targets, pixel by pixel, for objectives that see a sample.

Shapes: outputs ``y`` and targets ``t`` are (N, K). A *separable* loss gives (N, K), one number per
output, so that outputs can be fitted apart; a *coupled* one gives (N,), one number per pixel."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from bandfuse.errors import ConfigError

LossFunction = Callable[[Tensor, Tensor], Tensor]
"""A user's own loss: ``loss(y, target)`` of two (N, K) tensors gives (N,) or a scalar; it must be
differentiable."""


def mse(y: Tensor, t: Tensor) -> Tensor:
    """(N, K) ``(y − t)²``, in squared units of the target."""
    return (y - t) ** 2


def mae(y: Tensor, t: Tensor) -> Tensor:
    """(N, K) ``|y − t|``, in units of the target. The gradient at zero is zero."""
    return (y - t).abs()


def huber(y: Tensor, t: Tensor, delta: Tensor | float = 1.0) -> Tensor:
    """(N, K) ``r²/2`` where ``|r| ≤ δ``, else ``δ (|r| − δ/2)``, r = y − t; δ a number or (K,), in
    units of the target.

    Source: Huber, Robust estimation of a location parameter, Ann. Math. Statist. 35 (1964).
    """
    size = (y - t).abs()
    near = torch.minimum(size, torch.as_tensor(delta, dtype=y.dtype, device=y.device))
    return near * (size - near / 2)


def _unit(y: Tensor) -> Tensor:
    """Rows of length one; rows of zeros stay zero."""
    length = torch.linalg.vector_norm(y, dim=1, keepdim=True)
    return y / torch.where(length > 0, length, 1.0)


def sam(y: Tensor, t: Tensor) -> Tensor:
    """(N,) angle in radians between the vectors of a pixel: ``2 atan2(‖u − v‖, ‖u + v‖)`` of the
    unit vectors u, v.

    Unlike ``acos(u · v)`` this is exact for small angles, and its gradient at zero is zero, not NaN
    (Kahan, How futile are mindless assessments of roundoff, 2006). A vector of zeros is at a right
    angle to every other. The spectral angle: Kruse et al., Remote Sens. Environ. 44 (1993)."""
    u, v = _unit(y), _unit(t)
    apart = torch.linalg.vector_norm(u - v, dim=1)
    together = torch.linalg.vector_norm(u + v, dim=1)
    return 2 * torch.atan2(apart, together.clamp_min(torch.finfo(y.dtype).tiny ** 0.5))


def cosine(y: Tensor, t: Tensor) -> Tensor:
    """(N,) ``1 − u · v`` of the unit vectors of a pixel: 0 for the same direction, 2 for opposite
    ones."""
    return 1 - (_unit(y) * _unit(t)).sum(1)


LOSSES: dict[str, Callable[..., Tensor]] = {
    "mse": mse,
    "mae": mae,
    "huber": huber,
    "sam": sam,
    "cosine": cosine,
}
"""Losses by name. One that is added here is a choice of ``--loss`` once its name stands in the
config, too."""

COUPLED = frozenset({"sam", "cosine"})
"""Losses of whole vectors: they do not see a pixel's brightness, and need two or more outputs."""


def check_values(values: object, n: int) -> None:
    """Refuse what a user's own loss gave for N pixels if it cannot be trained on."""
    expected = f"a tensor of shape ({n},) or a scalar, with a gradient"
    if not isinstance(values, Tensor):
        raise ConfigError("your loss(y, target)", got=type(values).__name__, expected=expected)
    if tuple(values.shape) not in ((), (n,)):
        raise ConfigError(
            "your loss(y, target)", got=f"shape {tuple(values.shape)}", expected=expected
        )
    if not values.requires_grad:
        raise ConfigError(
            "your loss(y, target)", got="a tensor without a gradient", expected=expected
        )
