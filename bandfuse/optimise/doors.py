"""Doors: the only places where numbers go to a device and come back from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bandfuse.spectral.bands import Floats

M = TypeVar("M", bound=nn.Module)

WITHOUT_DOUBLE = {"mps"}
"""Types of devices that have no float64: Apple's GPUs."""


def fine(device: torch.device) -> torch.dtype:
    """The finest type of a device: float64 where there is one, else float32."""
    return torch.float32 if device.type in WITHOUT_DOUBLE else torch.float64


def place(value: Tensor, device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """A tensor on a device; numbers that are not whole in a type, if one is given. The type changes
    on the side that has both."""
    if dtype is None or not value.is_floating_point():
        return value.to(device)
    if device.type in WITHOUT_DOUBLE:
        return value.to(dtype).to(device)
    return value.to(device).to(dtype)


def read(value: Tensor) -> NDArray[Any]:
    """A copy of a tensor in numpy, in its type. Waits for the device."""
    array: NDArray[Any] = value.detach().cpu().numpy().copy()
    return array


def numbers(value: Tensor) -> Floats:
    """A copy of a tensor in numpy, float64. Waits for the device."""
    found: Floats = read(value).astype(np.float64)
    return found


def moved(module: M, device: torch.device, dtype: torch.dtype) -> M:
    """The same module with its parameters and buffers on a device, in a type."""
    for part in module.modules():
        for name, parameter in [*part.named_parameters(recurse=False)]:
            there = nn.Parameter(place(parameter.detach(), device, dtype), parameter.requires_grad)
            part.register_parameter(name, there)
        for name, buffer in [*part.named_buffers(recurse=False)]:
            setattr(part, name, place(buffer, device, dtype))
    return module


def put(values: Sequence[NDArray[Any]], parameters: Sequence[Tensor]) -> None:
    """Write arrays over parameters, wherever these are."""
    with torch.no_grad():
        for array, parameter in zip(values, parameters, strict=True):
            parameter.copy_(place(torch.as_tensor(array), parameter.device, parameter.dtype))
