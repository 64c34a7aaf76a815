"""Heap: what was freed goes back to the system between the steps of a long computation."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from functools import cache


def give_back() -> None:
    """Have the C library give the system back what no array holds any more.

    glibc puts arrays of up to 32 MB on one heap, which small objects between them keep from
    shrinking: matrices of 1 000 bands that are made and freed in turn take a third more memory than
    is in use. Other C libraries have no such function, and this does nothing."""
    trim = _trim()
    if trim is not None:
        trim(0)


@cache
def _trim() -> Callable[[int], int] | None:
    """glibc's own function for it (malloc.h)."""
    if sys.platform != "linux":
        return None
    found: Callable[[int], int] | None = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return found
