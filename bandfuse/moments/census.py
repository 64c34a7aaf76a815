"""Census: how many valid values each band has, alone and together with others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bandfuse.spectral.bands import Floats
from bandfuse.streaming.stream import Cell

Counts = NDArray[np.int64]


MOSTLY = 0.5
"""A band that is missing in more than this share of the otherwise valid pixels is dead."""


NEARLY = 0.99
"""A band that has one and the same value in so many of its valid pixels holds a fill value and no
data."""


THIN = 32
"""Pixels of a cell that tell whether it is worth while to count those at an extreme."""


@dataclass(frozen=True, eq=False)
class Census:
    """Facts per variable. A monoid under ``+``, exact in any order.

    ``seen``: pixels in which at least one band is valid. ``valid`` (D,): pixels in which the
    variable is valid. ``low``, ``high`` (D,): extremes of the valid values. ``at_low``, ``at_high``
    (D,): how many values are there, counted in the cells of which a thin look finds at least half
    there: a band that holds little else is counted."""

    seen: int
    valid: Counts
    low: Floats
    high: Floats
    at_low: Counts
    at_high: Counts

    @classmethod
    def zero(cls, size: int) -> Census:
        """The census of no pixels."""
        none = np.zeros(size, np.int64)
        return cls(0, none, np.full(size, np.inf), np.full(size, -np.inf), none, none)

    @classmethod
    def of(cls, z: Floats, finite: NDArray[np.bool_], n_bands: int) -> Census:
        """From (D, n) values, where they are finite, and how many of the variables are bands."""
        if finite.all():
            return cls.whole(z, (z.min(axis=1), z.max(axis=1)))
        low = np.where(finite, z, np.inf).min(axis=1)
        high = np.where(finite, z, -np.inf).max(axis=1)
        valid = finite.sum(axis=1, dtype=np.int64)
        return cls(
            int(finite[:n_bands].any(axis=0).sum()), valid, low, high, *_count_at(z, (low, high))
        )

    @classmethod
    def whole(cls, z: Floats, ends: tuple[Floats, Floats]) -> Census:
        """From (D, n) values of which none is missing, and their extremes."""
        low, high = ends
        return cls(
            z.shape[1], np.full(len(z), z.shape[1], np.int64), low, high, *_count_at(z, ends)
        )

    def __add__(self, other: Census) -> Census:
        low, high = np.minimum(self.low, other.low), np.maximum(self.high, other.high)
        return Census(
            self.seen + other.seen,
            self.valid + other.valid,
            low,
            high,
            self.at_low * (self.low == low) + other.at_low * (other.low == low),
            self.at_high * (self.high == high) + other.at_high * (other.high == high),
        )

    def take(self, variables: Sequence[int]) -> Census:
        """That of some variables; ``seen`` stays as it was counted."""
        v = np.asarray(variables, dtype=np.intp)
        return Census(
            self.seen, self.valid[v], self.low[v], self.high[v], self.at_low[v], self.at_high[v]
        )

    def dead(self, n_bands: int) -> dict[int, str]:
        """Bands that cannot be used, by position among the variables, with the reason."""
        reasons = {}
        for i in range(n_bands):
            valid = int(self.valid[i])
            if valid == 0:
                reasons[i] = "no valid pixel"
            elif self.seen - valid > MOSTLY * self.seen:
                reasons[i] = (
                    f"missing in {100 * (1 - valid / self.seen):.0f} % of the otherwise valid "
                    "pixels"
                )
            elif self.low[i] == self.high[i] and self.seen > 1:
                reasons[i] = f"constant ({self.low[i]:g})"
        return {**reasons, **self._filled(set(range(n_bands)) - set(reasons))}

    def _filled(self, bands: set[int]) -> dict[int, str]:
        """Of these bands, those that hold next to nothing but one value; none if that is so of half
        of them, as then it is the background of the scene."""
        found = {}
        for i in sorted(bands):
            count, value = max(
                (int(self.at_low[i]), self.low[i]), (int(self.at_high[i]), self.high[i])
            )
            if count >= NEARLY * self.valid[i]:
                share = 100 * count / self.valid[i]
                found[i] = (
                    f"{value:g} in {share:.1f} % of the pixels, as a fill value that is not "
                    "declared"
                )
        return found if 2 * len(found) < len(bands) else {}


def _count_at(z: Floats, ends: tuple[Floats, Floats]) -> list[Counts]:
    """For each of two extremes (D,) how many of (D, n) values are there, where a thin look finds at
    least half of them there; else 0."""
    thin = z[:, :: max(1, z.shape[1] // THIN)].copy()
    half = np.isfinite(thin).sum(axis=1)
    every = []
    for end in ends:
        there = (thin == end[:, None]).sum(axis=1)
        many = np.flatnonzero((there > 0) & (2 * there >= half))
        counts = np.zeros(len(z), np.int64)
        if len(many):
            counts[many] = (z[many] == end[many, None]).sum(axis=1)
        every.append(counts)
    return every


def look(
    pixels: Cell, inside: NDArray[np.bool_], n_bands: int
) -> tuple[Census, Floats, NDArray[np.bool_] | None]:
    """The census of a cell and its (D, n) values; where some are or may be missing, NaN outside,
    and where they are finite."""
    ends = pixels.extremes if inside.all() else None
    z = pixels.values()
    if ends is not None:
        return Census.whole(z, ends), z, None
    z[:, ~inside] = np.nan
    finite = np.isfinite(z)
    return Census.of(z, finite, n_bands), z, finite
