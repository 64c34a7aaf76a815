"""Card: what a torch device needs. Page-locked memory, streams and errors of cuda are known here
alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from bandfuse.device import fix_workspace
from bandfuse.errors import ConfigError
from bandfuse.spectral.bands import Floats

_cuda: Any = torch.cuda

NO_ROOM = torch.cuda.OutOfMemoryError
"""What torch raises where a device has no memory left."""

ALIGNED = 64
"""Bytes at multiples of which arrays begin that travel together."""

SIGNED = {np.dtype(np.uint16): np.dtype(np.int16), np.dtype(np.uint32): np.dtype(np.int32)}
"""Types that torch hardly knows, and as which they travel."""


def prepare(device: str) -> torch.device:
    """A device, about to be used."""
    fix_workspace()
    return torch.device(device)


def no_room(device: str, what: str) -> ConfigError:
    """The error where a device has no memory left."""
    return ConfigError(
        f"the device {device} has too little free memory",
        got=f"no room for {what}",
        remedy="Use --device cpu, or end what else uses the device.",
    )


def forget(device: torch.device) -> None:
    """Give memory back that torch keeps for later."""
    if device.type == "cuda":
        torch.cuda.empty_cache()


_SETTING = threading.Lock()


@contextmanager
def full_float32() -> Iterator[None]:
    """Products of float32 keep all their digits within: TF32, which keeps three, is off. The
    setting belongs to all threads: one at a time."""
    with _SETTING:
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("highest")
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(before)


def there(values: Any, device: torch.device, dtype: torch.dtype | None = None) -> torch.Tensor:
    """A few numbers as a tensor on the device, without waiting for it."""
    return torch.as_tensor(values, dtype=dtype).to(device, non_blocking=True)


def filled(
    device: torch.device, *shape: int, value: float = 0, dtype: torch.dtype = torch.float64
) -> torch.Tensor:
    """A tensor on the device that holds one value everywhere."""
    return torch.full(shape, value, dtype=dtype, device=device)


class Lanes:
    """Two buffers, in turn, through which the arrays of a window travel to a device at once."""

    def __init__(self, device: torch.device) -> None:
        kind = _CudaLane if device.type == "cuda" else _Lane
        self._lanes = [kind(device), kind(device)]

    def send(self, arrays: Sequence[np.ndarray]) -> list[torch.Tensor]:
        """The arrays on the device, until :meth:`used` is called twice more. Unsigned types of 2
        and 4 bytes arrive as signed ones.

        Raises
        ------
        torch.cuda.OutOfMemoryError : there is no room; nothing was sent.
        """
        starts = np.cumsum([0, *(-(-a.nbytes // ALIGNED) * ALIGNED for a in arrays)])
        lane = self._lanes[0]
        lane.make_room(int(starts[-1]))
        packed = lane.host.numpy()
        for array, at in zip(arrays, starts, strict=False):
            np.copyto(packed[at : at + array.nbytes].view(array.dtype).reshape(array.shape), array)
        arrived = lane.travel(int(starts[-1]))
        return [_viewed(arrived, int(at), a) for a, at in zip(arrays, starts, strict=False)]

    def used(self) -> None:
        """What was sent last is not needed any more, once what was asked of the device is done."""
        self._lanes[0].used()
        self._lanes.reverse()


def _viewed(packed: torch.Tensor, at: int, like: np.ndarray) -> torch.Tensor:
    """An array among packed bytes."""
    kind = SIGNED.get(like.dtype, like.dtype)
    dtype = torch.from_numpy(np.empty(0, kind)).dtype
    return packed[at : at + like.nbytes].view(dtype).view(like.shape)


class _Lane:
    """A buffer in memory, and what a device makes of it."""

    def __init__(self, device: torch.device) -> None:
        self._device, self.host = device, self._locked(0)

    def _locked(self, size: int) -> torch.Tensor:
        return torch.empty(size, dtype=torch.uint8)

    def make_room(self, size: int) -> None:
        """Room for so many bytes that is free to be written to."""
        if len(self.host) < size:
            self.host = self._locked(size)

    def travel(self, size: int) -> torch.Tensor:
        """The first bytes, on the device."""
        return self.host[:size].to(self._device)

    def used(self) -> None:
        """They are not needed any more."""


class _CudaLane(_Lane):
    """Page-locked memory, and a buffer on the card that is filled by a stream of its own while the
    card computes."""

    def __init__(self, device: torch.device) -> None:
        super().__init__(device)
        with torch.cuda.device(device):
            self._stream = _cuda.Stream(device)
            self._arrived, self._used = _cuda.Event(), _cuda.Event()
        self._card = torch.empty(0, dtype=torch.uint8, device=device)

    def _locked(self, size: int) -> torch.Tensor:
        return torch.empty(size, dtype=torch.uint8, pin_memory=True)

    def make_room(self, size: int) -> None:
        self._arrived.synchronize()  # what was in it has left
        if len(self._card) < size:
            self._used.synchronize()
            self._card = torch.empty(0, dtype=torch.uint8, device=self._device)
            self._card = torch.empty(size, dtype=torch.uint8, device=self._device)
            # Torch may give memory whose last use was asked for but is not done yet.
            self._stream.wait_stream(torch.cuda.current_stream(self._device))
        super().make_room(size)

    def travel(self, size: int) -> torch.Tensor:
        with torch.cuda.stream(self._stream):
            self._stream.wait_event(self._used)
            self._card[:size].copy_(self.host[:size], non_blocking=True)
            self._arrived.record(self._stream)
        torch.cuda.current_stream(self._device).wait_event(self._arrived)
        return self._card[:size]

    def used(self) -> None:
        self._used.record(torch.cuda.current_stream(self._device))


class Multiplier:
    """Products of a matrix with pixels, on a torch device: in float64, or in float32 on those that
    have no float64.

    On cuda every thread has a stream and page-locked memory of its own: while one thread's pixels
    travel and are multiplied, others are read."""

    def __init__(self, device: str) -> None:
        self._device = prepare(device)
        self._dtype = torch.float32 if self._device.type == "mps" else torch.float64
        self._own = threading.local()

    def __call__(self, matrix: Floats, x: Floats) -> Floats:
        """(K, n) matrix · x from (K, D) and (D, n)."""
        product: Floats
        if self._device.type != "cuda":
            moved = torch.from_numpy(x).to(self._dtype).to(self._device)
            product = (self._there(matrix) @ moved).cpu().double().numpy()
            return product
        stream, staged = self._mine(x)
        with torch.cuda.stream(stream):
            staged.copy_(torch.from_numpy(x))
            moved = staged.to(self._device, non_blocking=True)
            product = (self._there(matrix) @ moved).cpu().numpy()
        return product

    def _there(self, matrix: Floats) -> torch.Tensor:
        """The matrix on the device; it travels once for each thread."""
        own = self._own
        if getattr(own, "matrix", None) is not matrix:
            own.matrix = matrix
            own.there = torch.from_numpy(matrix).to(self._dtype).to(self._device)
        there: torch.Tensor = own.there
        return there

    def _mine(self, x: Floats) -> tuple[torch.cuda.Stream, torch.Tensor]:
        """This thread's stream, and page-locked memory in the shape of x."""
        own = self._own
        if not hasattr(own, "stream"):
            own.stream = _cuda.Stream(self._device)
            own.memory = torch.empty(0, dtype=torch.float64, pin_memory=True)
        if own.memory.numel() < x.size:
            own.memory = torch.empty(x.size, dtype=torch.float64, pin_memory=True)
        memory: torch.Tensor = own.memory[: x.size].view(x.shape)
        return own.stream, memory
