"""Budget: threads and memory, and the windows that follow from them."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bandfuse.streaming.stream import Spread
from bandfuse.streaming.windows import Tiles, plan

LEAST, ENOUGH, SHARE = 16, 256, 8
"""Megabytes: at least 16, at most 256, else an eighth of what is free."""

CGROUP = Path("/sys/fs/cgroup")
"""Where Linux tells the limits that a container or a batch system sets."""


@dataclass(frozen=True)
class Effort:
    """Threads and megabytes to spend; ``spread``: where parts of a scene are done, None for here;
    ``device``: the device that is asked for, or auto: who does a part decides for it."""

    threads: int
    memory: int
    spread: Spread | None = None
    device: str = "cpu"

    @classmethod
    def of(
        cls,
        threads: int | None,
        memory: int | None,
        spread: Spread | None = None,
        device: str = "cpu",
    ) -> Effort:
        """All usable cores if no number of threads is given; without a memory a share of what is
        free, but no more than makes a pass any quicker."""
        megabytes = memory or max(LEAST, min(ENOUGH, free_memory() // SHARE))
        return cls(threads or _cores(), megabytes, spread, device)

    @property
    def alone(self) -> Effort:
        """What one of the others spends on a part: a thread of its own."""
        return Effort(1, self.memory, device=self.device)

    @property
    def window_bytes(self) -> int:
        """What one window may take, such that all that are in flight fit the memory."""
        return self.memory * 2**20 // (2 * self.threads + 2)

    def windows(
        self, shape: tuple[int, int], stored: tuple[int, int], bytes_per_pixel: int
    ) -> Tiles:
        """The windows of a whole scene."""
        return plan(shape, stored, bytes_per_pixel, self.window_bytes)


def free_memory() -> int:
    """Megabytes that this process may still take: what the system says is available, or what its
    control group leaves where that is less. On systems that do not tell, four times :data:`ENOUGH`
    times :data:`SHARE`."""
    found = [4 * ENOUGH * SHARE]
    with suppress(OSError, StopIteration, ValueError, IndexError):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        found = [
            int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1]) // 1024
        ]
    with suppress(OSError, ValueError):
        limit, taken = (
            int((CGROUP / f"memory.{name}").read_text(encoding="ascii"))
            for name in ("max", "current")
        )
        found.append((limit - taken) // 2**20)
    return max(0, min(found))


def _cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
