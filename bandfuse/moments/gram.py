"""Gram: z zᵀ of centred pixels, where a training pass spends its time; on the CPU or on a torch
device."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bandfuse.spectral.bands import Floats

Product = Callable[[Floats], Floats]
"""(D, n) float64 to the (D, D) float64 sums of products over its columns. Several threads may call
it at once."""


def double(z: Floats) -> Floats:
    """The product in float64."""
    result: Floats = z @ z.T
    return result


def single(z: Floats) -> Floats:
    """The product in float32, of numbers between about 1e-15 and 1e15 in size: half the time, seven
    digits."""
    short = z.astype(np.float32)
    return (short @ short.T).astype(np.float64)


class OnDevice:
    """Products on a torch device, in float64 or float32.

    On cuda every thread has a stream and page-locked memory of its own: while one thread's pixels
    travel and are multiplied, others are read."""

    def __init__(self, device: str, *, dtype: str = "float64") -> None:
        self._device, self._dtype = device, dtype
        self._own = threading.local()

    def __call__(self, z: Floats) -> Floats:
        """(D, D) z zᵀ from (D, n)."""
        return self._computed(z, lambda there: there @ there.T)

    def multiply(self, matrix: Floats, x: Floats) -> Floats:
        """(K, n) matrix · x from (K, D) and (D, n)."""
        import torch

        def product(there: Any) -> Any:
            return torch.from_numpy(matrix).to(there.device, there.dtype) @ there

        return self._computed(x, product)

    def _computed(self, z: Floats, product: Callable[[Any], Any]) -> Floats:
        """What a product makes of z on the device."""
        import torch

        dtype: torch.dtype = getattr(torch, self._dtype)
        if torch.device(self._device).type != "cuda":
            found: Floats = (
                product(torch.from_numpy(z).to(self._device, dtype))
                .cpu()
                .numpy()
                .astype(np.float64)
            )
            return found
        stream, staged = self._mine(torch, z, dtype)
        with torch.cuda.stream(stream):
            staged.copy_(torch.from_numpy(z))
            found = product(staged.to(self._device, non_blocking=True)).double().cpu().numpy()
        return found

    def _mine(self, torch: Any, z: Floats, dtype: Any) -> tuple[Any, Any]:
        """This thread's stream, and page-locked memory in the shape of z."""
        own = self._own
        if not hasattr(own, "stream"):
            own.stream, own.memory = (
                torch.cuda.Stream(self._device),
                torch.empty(0, dtype=dtype, pin_memory=True),
            )
        if own.memory.numel() < z.size:
            own.memory = torch.empty(z.size, dtype=dtype, pin_memory=True)
        return own.stream, own.memory[: z.size].view(z.shape)


def apart(product: Product, parts: Sequence[Sequence[int]]) -> Product:
    """The products of variables that share one of these parts; zero elsewhere, where nobody is to
    look."""
    places = [np.asarray(part, dtype=np.intp) for part in parts]

    def products(z: Floats) -> Floats:
        found = np.zeros((len(z), len(z)))
        for here in places:
            found[np.ix_(here, here)] = product(z[here])
        return found

    return products


TOLERANCE = 1e-4
"""The most that float32 products may change weights by, relative to their size."""


MANY = 32
"""Bands from which on products take long enough for their precision to be worth a thought."""


def enough(covariance: Floats) -> str:
    """``float32`` if weights from bands with this covariance keep within :data:`TOLERANCE`, else
    ``float64``.

    A product of n pixels in float32 is wrong by some eps = 2⁻²³ of √(S_ii S_jj). The errors of D²
    such entries have a norm of about eps · √D beside correlations R, and least-squares weights
    change by that over the smallest eigenvalue of R. It counts ten times: ``10 · eps · √D /
    λ_min(R) ≤ TOLERANCE``. Less than :data:`MANY` bands get float64."""
    spread = np.sqrt(np.diag(covariance))
    if len(spread) < MANY or not np.isfinite(spread).all() or not (spread > 0).all():
        return "float64"
    if spread.min() < 1e-15 or spread.max() > 1e15:
        return "float64"
    least = float(np.linalg.eigvalsh(covariance / np.outer(spread, spread))[0])
    error = 10 * float(np.finfo(np.float32).eps) * np.sqrt(len(spread))
    return "float32" if error <= TOLERANCE * least else "float64"


def product_of(precision: str, device: str = "cpu") -> Product:
    """The product for a precision, ``float64`` or ``float32``, and a torch device."""
    if device != "cpu":
        return OnDevice(device, dtype=precision)
    return single if precision == "float32" else double
