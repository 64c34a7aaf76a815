"""Device: where each part of the work runs. It is decided where the work is done, from how much
there is to compute; a GPU is promised only after it was tried, and torch is imported only then.

Seconds are predicted as ``flops / (threads · CPU_FLOPS)`` on the CPU, and on a GPU as ``START +
bytes / LINK + launches · LAUNCH + flops / rate``, where the rate is measured on the card. ``make
bench-gpu`` prints each of these numbers for the machine at hand."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

from bandfuse.errors import ConfigError
from bandfuse.results.base import PlaceRow

CPU_FLOPS = 2.5e10
"""Operations per second of products in float64 on one core."""

GPU_FLOPS = 5e12
"""The same of a GPU, before it was tried: of those made for computing. Other cards have a tenth."""

LINK = 8e9
"""Bytes per second from memory to a GPU."""

LAUNCH = 1e-5
"""Seconds to start one operation on a GPU."""

START = 4.0
"""Seconds to import torch and to start a GPU."""

HIDDEN = "CUDA_VISIBLE_DEVICES"
KINDS = {"cuda": "a CUDA GPU", "mps": "an Apple GPU"}


@dataclass(frozen=True)
class Work:
    """How much a part computes: floating-point operations, bytes that travel to a device,
    operations that are started one after the other; ``threads`` of the CPU that would do it."""

    flops: float
    moved: float = 0.0
    launches: float = 0.0
    threads: int = 1

    @property
    def on_cpu(self) -> float:
        """Seconds on the CPU."""
        return self.flops / (CPU_FLOPS * max(1, self.threads))

    def on_gpu(self, flops: float, *, started: bool = False) -> float:
        """Seconds on a GPU of this rate, with its start if that is not paid yet."""
        start = 0.0 if started else START
        return start + self.moved / LINK + self.launches * LAUNCH + self.flops / flops


@dataclass(frozen=True)
class Card:
    """A GPU that was tried: what torch calls it, its own name, and its products in operations per
    second; or the ``trouble`` with it."""

    torch: str = ""
    name: str = ""
    flops: float = GPU_FLOPS
    trouble: str = ""


@dataclass(frozen=True)
class Place:
    """Where a part runs: ``cpu``, ``cuda`` or ``mps``, and why; what torch calls it, and the name
    of the card."""

    kind: str
    reason: str
    torch: str = "cpu"
    card: str = ""

    @property
    def on_card(self) -> bool:
        """Whether it runs on a GPU."""
        return self.kind != "cpu"

    def __str__(self) -> str:
        return f"{self.kind} ({self.card})" if self.card else self.kind


def row_of(places: Sequence[Place]) -> PlaceRow:
    """What a report says of the places of one part."""

    def joined(words: Iterable[str], between: str) -> str:
        return between.join(dict.fromkeys(filter(None, words)))

    return PlaceRow(
        device=joined((p.kind for p in places), " and "),
        card=joined((p.card for p in places), ", "),
        reason=joined((p.reason for p in places), "; "),
    )


def on_cpu(reason: str) -> Place:
    """The CPU, and why."""
    return Place("cpu", reason)


def place(asked: str, work: Work, *, started: bool = False, exact: bool = True) -> Place:
    """Where a part runs that a GPU could do.

    Parameters
    ----------
    asked : ``cpu``, ``cuda`` or ``mps`` force it; ``auto`` takes a CUDA GPU where it is quicker.
    started : an earlier part has started the GPU.
    exact : the part needs float64, which Apple's GPUs do not have.

    Raises
    ------
    ConfigError : the device that is asked for is not there, or does not work.
    """
    if asked == "cpu":
        return on_cpu("--device cpu was given")
    if asked != "auto":
        found = _forced(asked)
        if exact and asked == "mps":
            return on_cpu("this part needs float64, which Apple GPUs do not have")
        return Place(asked, f"--device {asked} was given", found.torch, found.name)
    absent = _absent()
    if absent:
        return on_cpu(absent)
    return _quicker(work, started=started)


def _quicker(work: Work, *, started: bool) -> Place:
    """The CPU, or a CUDA GPU if that is quicker by its own rate."""
    here, there = work.on_cpu, work.on_gpu(GPU_FLOPS, started=started)
    if there < here:
        card = tried("cuda")
        if card.trouble:
            return on_cpu(f"the GPU cannot be used: {card.trouble}")
        there = work.on_gpu(card.flops, started=started)
        if there < here:
            why = f"about {there:.2g} s on the GPU, {here:.2g} s on the CPU"
            return Place("cuda", why, card.torch, card.name)
    with_start = "" if started else ", with its start"
    return on_cpu(f"about {here:.2g} s on the CPU; a GPU would take {there:.2g} s{with_start}")


def require_device(asked: str) -> None:
    """A device that is asked for by name must work.

    Raises
    ------
    ConfigError : it is not there, or does not work.
    """
    if asked not in ("auto", "cpu"):
        _forced(asked)


def _forced(asked: str) -> Card:
    if asked not in KINDS:
        raise ConfigError(
            f"device {asked!r} is not available", expected=f"auto, cpu or {' or '.join(KINDS)}"
        )
    found = tried(asked)
    if found.trouble:
        raise ConfigError(
            f"device {asked!r} is not available",
            got=found.trouble,
            expected=f"{KINDS[asked]} that works",
            remedy="Use --device auto or --device cpu.",
        )
    return found


def _absent() -> str:
    """Why there is no CUDA GPU, as far as that is known without torch; empty if there may be
    one."""
    if os.environ.get(HIDDEN, "0").strip() in ("", "-1"):
        return f"{HIDDEN} hides all GPUs"
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        # AMD's GPUs are called cuda by torch, too.
        return "" if os.path.exists("/dev/kfd") else "there is no GPU"
    return ""


def fix_workspace() -> None:
    """Sums of cuBLAS have the same bits in every run only if its workspace is fixed before it is
    first called."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


@cache
def tried(kind: str) -> Card:
    """The GPU of a kind, after a small product on it was right."""
    fix_workspace()
    import torch

    backend: Any = torch.cuda if kind == "cuda" else torch.backends.mps
    if not backend.is_available():
        built = torch.version.cuda or torch.version.hip or kind != "cuda"
        said = "finds no GPU" if built else "was built without GPU support"
        return Card(trouble=f"torch {torch.__version__} {said}")
    try:
        name = torch.cuda.get_device_name() if kind == "cuda" else "Apple GPU"
        return Card(kind, name, _rate(torch, kind))
    except RuntimeError as error:
        return Card(trouble=_first_line(error))


def _rate(torch: Any, kind: str) -> float:
    """Operations per second of a product on a device, in float64 where it has that.

    Raises
    ------
    RuntimeError : the device does not work, or multiplies wrongly.
    """
    size, times = 1024, 8
    exact = torch.arange(size * size, dtype=torch.float32).reshape(size, size) % 7
    there = exact.to(kind, torch.float32 if kind == "mps" else torch.float64)
    product = there @ there
    if not torch.equal(product.cpu().to(torch.float32), exact @ exact):
        raise RuntimeError("a product of whole numbers came out wrong on it")
    begun = time.perf_counter()
    for _ in range(times):
        product = there @ there
    float(product[0, 0])  # waits for the device
    return 2.0 * size**3 * times / (time.perf_counter() - begun)


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:200]


@contextmanager
def plain_errors(where: Sequence[Place] | Place) -> Iterator[None]:
    """Say in one message what torch's errors of a device say: no memory left, a broken driver.

    Raises
    ------
    ConfigError : in their place.
    """
    places = [where] if isinstance(where, Place) else where
    cards = [place for place in places if place.on_card]
    try:
        yield
    except RuntimeError as error:
        if not cards or not _of_device(error):
            raise
        raise ConfigError(
            f"the work on {cards[0]} failed",
            got=_first_line(error),
            remedy="Use --device cpu, or free the memory of the GPU.",
        ) from error


def _of_device(error: RuntimeError) -> bool:
    """Whether torch says that a device failed."""
    torch = sys.modules.get("torch")
    if torch is None:
        return False
    kinds = (torch.OutOfMemoryError, getattr(torch, "AcceleratorError", torch.OutOfMemoryError))
    return isinstance(error, kinds) or str(error).startswith(("CUDA", "cuBLAS", "HIP", "MPS"))
