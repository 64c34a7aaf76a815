"""Kept: matrices that are asked for again and again, as far as there is room for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar, cast, overload

M = TypeVar("M")

KEPT = 96 * 2**20
"""Bytes of (P, P) matrices that are kept: those of several folds of an output with 1 000 weights,
or of all outputs with few."""


class Keeper:
    """Keeps arrays that were made, up to so many bytes. Those of the owner that asks have
    precedence over those of the one that asked longest ago."""

    def __init__(self, most: int) -> None:
        self._most, self._bytes = most, 0
        self._of: dict[object, dict[object, tuple[int, object]]] = {}

    def get(self, owner: object, key: object, make: Callable[[], M], size: int) -> M:
        """What is kept under a key, else what is made; ``size`` in bytes."""
        own = self._of[owner] = self._of.pop(owner, {})  # the last one now
        if key in own:
            return cast(M, own[key][1])
        found = make()
        while self._bytes + size > self._most and next(iter(self._of)) is not owner:
            dropped = self._of.pop(next(iter(self._of)))
            self._bytes -= sum(some for some, _ in dropped.values())
        if self._bytes + size <= self._most:
            own[key] = size, found
            self._bytes += size
        return found


@dataclass(frozen=True, eq=False)
class Matrices(Sequence[M]):
    """What ``make`` makes of (P, P) numbers, ``size`` bytes each, whenever it is asked for and not
    kept. All matrices of a problem have one ``owner``, and names of their own."""

    make: Callable[[int], M]
    length: int
    name: str
    owner: object
    size: int
    keeper: Keeper

    def __len__(self) -> int:
        return self.length

    @overload
    def __getitem__(self, place: int) -> M: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[M]: ...
    def __getitem__(self, place: int | slice) -> M | Sequence[M]:
        if isinstance(place, slice):
            return [self[i] for i in range(self.length)[place]]
        i = range(self.length)[place]
        return self.keeper.get(self.owner, (self.name, i), lambda: self.make(i), self.size)
