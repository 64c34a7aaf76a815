"""Sample: some pixels of a scene; samples merge, and are the same however the scene was cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bandfuse.errors import MismatchError
from bandfuse.goals import TRAINED_ON
from bandfuse.spectral.bands import Floats
from bandfuse.summary import Summarised, Summary, brief

Keys = NDArray[np.uint64]


def _mix(x: Keys) -> Keys:
    """One round of the finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014)."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def keys(seed: int, row: NDArray[np.integer], col: NDArray[np.integer]) -> Keys:
    """(N,) hashes of pixels: a function of the seed and the pixel's row and column only. The number
    of the scene is no part of it, so that a scene gives the same sample alone and beside others."""
    with np.errstate(over="ignore"):
        start = _mix(_mix(np.array([seed], dtype=np.int64).astype(np.uint64)))
        return _mix(_mix(start ^ row.astype(np.uint64)) ^ col.astype(np.uint64))


MOST_DOUBLE = 2**26
"""Numbers up to which a sample is kept in float64, half a gigabyte; larger ones are in float32."""


def kept_as(capacity: int, size: int) -> type[np.float64 | np.float32]:
    """The type of a sample of so many pixels with so many variables: their number decides alone,
    never their values."""
    return np.float64 if capacity * size <= MOST_DOUBLE else np.float32


@dataclass(frozen=True, eq=False, repr=False)
class Pixels(Summarised):
    """The ``capacity`` pixels with the smallest hash, in order of their hash. A monoid under ``+``.

    Columns: ``key`` (N,) uint64, ``place`` (N, 3) int64 = scene, row, column, ``values`` (N, D)
    float64. Equal hashes are ordered by place, so the sample does not depend on the order of
    merging. What is kept is the ``store`` (M, D), float64 or float32, and ``at`` (N,), the rows of
    the pixels in it; None where they are all rows in order. Parts of a sample share its store."""

    capacity: int
    key: Keys
    place: NDArray[np.int64]
    store: NDArray[np.floating]
    at: NDArray[np.intp] | None = None

    @property
    def rows(self) -> NDArray[np.floating]:
        """(N, D) in the type of the store; a copy unless they are all of it."""
        return self.store if self.at is None else self.store[self.at]

    @property
    def values(self) -> Floats:
        """(N, D) float64; a copy unless they are kept so."""
        return self.rows.astype(np.float64, copy=False)

    @classmethod
    def zero(cls, capacity: int, size: int) -> Pixels:
        """The empty sample: the identity of ``+``."""
        return cls(
            capacity, np.zeros(0, np.uint64), np.zeros((0, 3), np.int64), np.zeros((0, size))
        )

    @classmethod
    def of(
        cls, capacity: int, key: Keys, place: NDArray[np.int64], values: NDArray[np.floating]
    ) -> Pixels:
        """Sample from N pixels that carry their hashes and places."""
        if len(key) > capacity > 0:
            bound = np.partition(key, capacity - 1)[capacity - 1]
            near = key <= bound
            key, place, values = key[near], place[near], values[near]
        order = _order(key, place)[:capacity]
        return cls(capacity, key[order], place[order], values[order])

    def __len__(self) -> int:
        return len(self.key)

    def summary(self) -> Summary:
        """How many pixels there are, of which scenes."""
        scenes = np.unique(self.place[:, 0]).tolist()
        title = f"Pixels: {len(self)} of at most {self.capacity}"
        facts = (("values of each", str(self.store.shape[1])), ("scenes", brief(scenes)))
        return Summary(title, facts)

    def where(self, here: NDArray[np.bool_]) -> Pixels:
        """Some of the pixels, which share the store."""
        at = np.flatnonzero(here) if self.at is None else self.at[here]
        return Pixels(self.capacity, self.key[here], self.place[here], self.store, at)

    def first(self, count: int) -> Pixels:
        """The pixels with the smallest hashes, so many at most; a copy that lets go of the
        others."""
        if count >= len(self):
            return self
        rows = self.store[:count].copy() if self.at is None else self.store[self.at[:count]]
        return Pixels(self.capacity, self.key[:count].copy(), self.place[:count].copy(), rows)

    @property
    def scored(self) -> Pixels:
        """The pixels that scores rest on: the first ones, as many as are drawn by default."""
        if len(self) <= TRAINED_ON:
            return self
        at = np.arange(TRAINED_ON) if self.at is None else self.at[:TRAINED_ON]
        return Pixels(self.capacity, self.key[:TRAINED_ON], self.place[:TRAINED_ON], self.store, at)

    @property
    def bound(self) -> int:
        """The largest hash that could still enter the sample."""
        return int(self.key[-1]) if len(self) >= self.capacity > 0 else 2**64 - 1

    def __add__(self, other: Pixels) -> Pixels:
        if self.capacity != other.capacity or self.store.shape[1] != other.store.shape[1]:
            raise MismatchError(
                "samples to merge",
                got=f"{self.capacity} × {self.store.shape[1]} and {other.capacity} × "
                f"{other.store.shape[1]}",
                expected="equal capacity and equal numbers of variables",
            )
        return merged([self, other], self.capacity, self.store.shape[1])


def merged(parts: Sequence[Pixels], capacity: int, size: int) -> Pixels:
    """The sample of many samples at once, in the memory of one; the empty sample for none."""
    drawn = Reservoir(capacity, size, sum(map(len, parts)))
    for part in parts:
        drawn.add(part)
    return drawn.pixels()


def _order(key: Keys, place: NDArray[np.int64]) -> NDArray[np.intp]:
    """Of hashes; of places where hashes are equal, which is rare."""
    order = np.argsort(key, kind="stable")
    ordered = key[order]
    if (ordered[1:] == ordered[:-1]).any():
        return np.lexsort((place[:, 2], place[:, 1], place[:, 0], key))
    return order


class Reservoir:
    """Takes pixels in, and keeps the ``capacity`` with the smallest hash: the sample that merging
    would find, in the memory of one.

    Parameters
    ----------
    most : pixels that may come. size : variables of each.
    """

    def __init__(self, capacity: int, size: int, most: int) -> None:
        room = min(capacity, most)
        self._capacity, self._count, self._waiting = capacity, 0, list[Pixels]()
        self._key, self._place = np.empty(room, np.uint64), np.empty((room, 3), np.int64)
        # Only the pages that are written to take memory.
        self._store = np.empty((room, size), kept_as(capacity, size))
        self._bound = 2**64 - 1

    @property
    def bound(self) -> int:
        """The largest hash that could still enter the sample."""
        return self._bound

    def add(self, pixels: Pixels) -> None:
        """Take pixels in."""
        room = len(self._key) - self._count
        if room and len(pixels):
            first = np.arange(min(room, len(pixels)))
            self._put(self._count + first, pixels, first)
            self._count += len(first)
            pixels = pixels.where(np.arange(len(pixels)) >= len(first))
            if self._count == self._capacity:
                self._bound = int(self._key.max())
        if len(pixels) and self._capacity:
            self._waiting.append(pixels)
            if sum(map(len, self._waiting)) >= max(1, self._capacity // 16):
                self._merge()

    def _put(self, to: NDArray[np.intp], pixels: Pixels, which: NDArray[np.intp]) -> None:
        self._key[to], self._place[to] = pixels.key[which], pixels.place[which]
        self._store[to] = pixels.store[which if pixels.at is None else pixels.at[which]]

    def _merge(self) -> None:
        """Put waiting pixels in the place of those with larger hashes."""
        waiting, self._waiting = self._waiting, []
        key = np.concatenate([self._key, *(p.key for p in waiting)])
        place = np.concatenate([self._place, *(p.place for p in waiting)])
        kept = np.zeros(len(key), dtype=bool)
        bound = np.partition(key, self._capacity - 1)[self._capacity - 1]
        near = np.flatnonzero(key <= bound)
        kept[near[_order(key[near], place[near])[: self._capacity]]] = True
        free, start = np.flatnonzero(~kept[: self._capacity]), self._capacity
        for pixels in waiting:
            which = np.flatnonzero(kept[start : start + len(pixels)])
            self._put(free[: len(which)], pixels, which)
            free, start = free[len(which) :], start + len(pixels)
        self._bound = int(bound)

    def pixels(self) -> Pixels:
        """The sample of what has come. The reservoir must not be used any more."""
        if self._waiting:
            self._merge()
        n = self._count
        key, place, store = self._key[:n], self._place[:n], self._store[:n]
        order = _order(key, place)
        small = store.dtype == np.float64
        rows, at = (store[order], None) if small else (store, order)
        return Pixels(self._capacity, key[order], place[order], rows, at)


MOST = 256
"""Pixels of a window that are kept."""


def thinly(values: Floats, most: int = MOST) -> Floats:
    """(D, n) at most so many of the pixels, evenly spread; a copy."""
    return values[:, :: -(-values.shape[1] // most)].copy()
