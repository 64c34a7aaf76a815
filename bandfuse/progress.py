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
