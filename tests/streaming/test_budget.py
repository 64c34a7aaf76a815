"""Effort: what a command may take of the machine, if it is not told."""

from __future__ import annotations

from pathlib import Path

import pytest

from bandfuse.streaming import budget as effort
from bandfuse.streaming.budget import ENOUGH, LEAST, Effort, free_memory


@pytest.mark.parametrize(
    ("free", "taken"), [(100_000, ENOUGH), (1024, 128), (64, LEAST), (0, LEAST)]
)
def test_memory_is_a_share_of_what_is_free(
    free: int, taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(effort, "free_memory", lambda: free)
    assert Effort.of(1, None).memory == taken
    assert Effort.of(1, 4096).memory == 4096


def test_what_a_control_group_leaves_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As batch systems and containers set it; ``max`` is no limit."""
    monkeypatch.setattr(effort, "CGROUP", tmp_path)
    every = free_memory()
    assert every > 0
    (tmp_path / "memory.current").write_text(f"{100 * 2**20}\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert free_memory() >= every / 2
    (tmp_path / "memory.max").write_text(f"{140 * 2**20}\n")
    assert free_memory() == 40
    (tmp_path / "memory.max").write_text(f"{90 * 2**20}\n")
    assert free_memory() == 0
