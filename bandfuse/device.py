"""Device: where torch computes. Finds out that there is no GPU without importing torch, which takes
seconds."""

from __future__ import annotations

import ctypes
import os
import sys

from bandfuse.errors import ConfigError


def device_of(name: str) -> str:
    """``cpu``, ``cuda`` or ``mps``; ``auto`` is cuda where there is one, else cpu.

    Raises
    ------
    ConfigError : the device is not there.
    """
    if name == "cpu" or (name == "auto" and not _has_driver()):
        return "cpu"
    import torch

    found = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if name == "auto":
        return "cuda" if found["cuda"] else "cpu"
    if not found.get(name, False):
        there = ", ".join(n for n, ok in found.items() if ok)
        raise ConfigError(f"device {name!r} is not available", expected=f"auto, or one of: {there}")
    return name


def _has_driver() -> bool:
    """Whether a GPU's driver is installed: NVIDIA's library, or the device file of AMD's."""
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return os.path.exists("/dev/kfd")
    return True
