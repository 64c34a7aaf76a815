"""Progress: any callable that wraps a sized iterable and a label. The library never draws a bar."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

T = TypeVar("T")

MARKS = 200
"""A bar moves at most so many times in one part: what is left of a part that ends early costs
nothing."""


class Progress(Protocol):
    """Wrap an iterable of ``total`` items under a ``label``; yield the same items, and show them
    passing."""

    def __call__(self, items: Iterable[T], total: int, label: str) -> Iterable[T]:
        """The same items."""
        ...


def silent(items: Iterable[T], total: int, label: str) -> Iterable[T]:
    """The progress that shows nothing.

    >>> list(silent([1, 2], total=2, label="read"))
    [1, 2]
    """
    return items


@contextmanager
def during(progress: Progress, label: str) -> Iterator[None]:
    """Show a step that nobody can count, while it is done within this.

    >>> with during(silent, "make the page"):
    ...     pass
    """
    items = iter(progress((None,), total=1, label=label))
    next(items, None)
    try:
        yield
    finally:
        next(items, None)


class Ticks:
    """A progress that is driven by calls: some parts of at most so many steps each.

    >>> ticks = Ticks(silent, parts=1, steps=3, label="fit")
    >>> ticks.step()
    >>> ticks.end_part()
    """

    def __init__(self, progress: Progress, *, parts: int, steps: int, label: str) -> None:
        self._per_mark = max(1, -(-steps // MARKS))
        self._marks = max(1, -(-steps // self._per_mark))
        total = parts * self._marks
        self._items = iter(progress(range(total), total=total, label=label))
        self._steps, self._marked = 0, 0

    def step(self) -> None:
        """One step of the current part is done."""
        self._steps += 1
        self._mark_to(self._steps // self._per_mark)

    def end_part(self) -> None:
        """The current part is done, whatever steps are left of it."""
        self._mark_to(self._marks)
        self._steps, self._marked = 0, 0

    def _mark_to(self, mark: int) -> None:
        for _ in range(self._marked, min(mark, self._marks)):
            next(self._items, None)
        self._marked = max(self._marked, min(mark, self._marks))
