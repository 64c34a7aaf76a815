"""Sample: some pixels of a scene; samples merge, and are the same however the scene was cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bandfuse.errors import MismatchError
from bandfuse.spectral.bands import Floats
from bandfuse.summary import Summarised, Summary, brief

Keys = NDArray[np.uint64]


def _mix(x: Keys) -> Keys:
    """One round of the finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014)."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def keys(seed: int, scene: int, row: NDArray[np.integer], col: NDArray[np.integer]) -> Keys:
    """(N,) hashes of pixels: a function of the seed, the scene's number and the pixel's row and
    column only."""
    with np.errstate(over="ignore"):
        start = _mix(_mix(np.array([seed], dtype=np.int64).astype(np.uint64)) ^ np.uint64(scene))
        return _mix(_mix(start ^ row.astype(np.uint64)) ^ col.astype(np.uint64))


@dataclass(frozen=True, eq=False, repr=False)
class Pixels(Summarised):
    """The ``capacity`` pixels with the smallest hash, in order of their hash. A monoid under ``+``.

    Columns: ``key`` (N,) uint64, ``place`` (N, 3) int64 = scene, row, column, ``values`` (N, D)
    float64. Equal hashes are ordered by place, so the sample does not depend on the order of
    merging."""

    capacity: int
    key: Keys
    place: NDArray[np.int64]
    values: Floats

    @classmethod
    def zero(cls, capacity: int, size: int) -> Pixels:
        """The empty sample: the identity of ``+``."""
        return cls(
            capacity, np.zeros(0, np.uint64), np.zeros((0, 3), np.int64), np.zeros((0, size))
        )

    @classmethod
    def of(cls, capacity: int, key: Keys, place: NDArray[np.int64], values: Floats) -> Pixels:
        """Sample from N pixels that carry their hashes and places."""
        if len(key) > capacity > 0:
            bound = np.partition(key, capacity - 1)[capacity - 1]
            near = key <= bound
            key, place, values = key[near], place[near], values[near]
        order = np.lexsort((place[:, 2], place[:, 1], place[:, 0], key))[:capacity]
        return cls(capacity, key[order], place[order], values[order])

    def __len__(self) -> int:
        return len(self.key)

    def summary(self) -> Summary:
        """How many pixels there are, of which scenes."""
        scenes = np.unique(self.place[:, 0]).tolist()
        title = f"Pixels: {len(self)} of at most {self.capacity}"
        facts = (("values of each", str(self.values.shape[1])), ("scenes", brief(scenes)))
        return Summary(title, facts)

    def where(self, here: NDArray[np.bool_]) -> Pixels:
        """Some of the pixels."""
        return Pixels(self.capacity, self.key[here], self.place[here], self.values[here])

    @property
    def bound(self) -> int:
        """The largest hash that could still enter the sample."""
        return int(self.key[-1]) if len(self) >= self.capacity > 0 else 2**64 - 1

    def __add__(self, other: Pixels) -> Pixels:
        if self.capacity != other.capacity or self.values.shape[1] != other.values.shape[1]:
            raise MismatchError(
                "samples to merge",
                got=f"{self.capacity} × {self.values.shape[1]} and {other.capacity} × "
                f"{other.values.shape[1]}",
                expected="equal capacity and equal numbers of variables",
            )
        return merged([self, other], self.capacity, self.values.shape[1])


def merged(parts: Sequence[Pixels], capacity: int, size: int) -> Pixels:
    """The sample of many samples at once; the empty sample for none."""
    full = [p for p in parts if len(p)]
    if not full:
        return Pixels.zero(capacity, size)
    return Pixels.of(
        capacity,
        np.concatenate([p.key for p in full]),
        np.concatenate([p.place for p in full]),
        np.concatenate([p.values for p in full]),
    )


MOST = 256
"""Pixels of a window that are kept."""


def thinly(values: Floats) -> Floats:
    """(D, n) at most :data:`MOST` of the pixels, evenly spread; a copy."""
    return values[:, :: -(-values.shape[1] // MOST)].copy()
