"""Progress: any callable that wraps a sized iterable and a label. The library never draws a bar."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar

T = TypeVar("T")


class Progress(Protocol):
    """Wrap an iterable of ``total`` items under a ``label``; yield the same items, and show them passing."""

    def __call__(self, items: Iterable[T], total: int, label: str) -> Iterable[T]:
        """The same items."""
        ...


def silent(items: Iterable[T], total: int, label: str) -> Iterable[T]:
    """The progress that shows nothing.

    >>> list(silent([1, 2], total=2, label="read"))
    [1, 2]
    """
    return items


class Ticks:
    """A progress that is driven by calls: some parts of at most so many steps each.

    >>> ticks = Ticks(silent, parts=1, steps=3, label="fit")
    >>> ticks.step()
    >>> ticks.end_part()
    """

    def __init__(self, progress: Progress, *, parts: int, steps: int, label: str) -> None:
        total = parts * max(1, steps)
        self._items = iter(progress(range(total), total=total, label=label))
        self._steps, self._done = max(1, steps), 0

    def step(self) -> None:
        """One step of the current part is done."""
        if self._done < self._steps:
            self._done += 1
            next(self._items, None)

    def end_part(self) -> None:
        """The current part is done, whatever steps are left of it."""
        while self._done < self._steps:
            self.step()
        self._done = 0
