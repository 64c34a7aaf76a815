"""Effort: threads and memory, and the windows that follow from them."""

from __future__ import annotations

import os
from dataclasses import dataclass

from bandfuse.windows import Window, plan


@dataclass(frozen=True)
class Effort:
    """Threads and megabytes to spend."""

    threads: int
    memory: int

    @classmethod
    def of(cls, threads: int | None, memory: int) -> Effort:
        """All usable cores if no number of threads is given."""
        return cls(threads or _cores(), memory)

    @property
    def window_bytes(self) -> int:
        """What one window may take, such that all that are in flight fit the memory."""
        return self.memory * 2**20 // (2 * self.threads + 2)

    def windows(self, shape: tuple[int, int], stored: tuple[int, int], bytes_per_pixel: int) -> list[Window]:
        """The windows of a whole scene."""
        return plan(shape, stored, bytes_per_pixel, self.window_bytes)


def _cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
