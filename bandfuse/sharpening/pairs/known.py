"""Known: pixels of which some are missing, and their means on a coarser grid."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bandfuse.scenes.displacement import complete
from bandfuse.sharpening.pairs.kernels import Mask, both, filled
from bandfuse.sharpening.pairs.ranges import Place, Range
from bandfuse.spectral.bands import Floats

COVERED = 0.5
"""The share of a coarse pixel's weights that must find valid fine pixels."""


@dataclass(frozen=True, eq=False)
class Known:
    """``values`` (D, n, m), filled where they are not ``valid`` (n, m)."""

    values: Floats
    valid: Mask

    @classmethod
    def of(cls, values: Floats) -> Known:
        """Of values that are NaN where missing; a pixel is missing if one of its values is."""
        valid = complete(values)
        return cls(filled(values, valid), valid)

    def cut(self, by: int) -> Known:
        """Without so many pixels on each side."""
        inner = slice(by, -by or None), slice(by, -by or None)
        return Known(self.values[:, *inner], self.valid[inner])


class Means:
    """Means of fine pixels on coarse ones (D, n, m), by their weights, from strips of fine rows
    that are added one after the other; NaN where what is known has less than ``covered`` of the
    weight.

    Parameters
    ----------
    seen : the fine pixels that are needed. low : their weights, along rows and columns.
    within : fine pixels beyond which nothing is known.
    """

    def __init__(
        self,
        seen: Place,
        low: tuple[Floats, Floats],
        bands: int,
        within: Place | None = None,
        covered: float = COVERED,
    ) -> None:
        self.seen, self._within, self._covered = seen, within or seen, covered
        self._down, self._across = low
        self._weight = np.zeros((len(low[0]), len(low[1])))
        self._total = np.zeros((bands, *self._weight.shape))

    def strips(self, room: int) -> Iterator[Place]:
        """The fine pixels that are needed, some rows at a time that take so many bytes; without
        those beyond the sharp image."""
        rows, cols = (a.shared(b) for a, b in zip(self.seen, self._within, strict=True))
        if cols.size <= 0:
            return
        height = max(1, room // (8 * len(self._total) * cols.size))
        for start in range(rows.start, rows.stop, height):
            yield Range(start, min(start + height, rows.stop)), cols

    def add(self, place: Place, known: Known) -> None:
        """Take what is known of a strip: zero where it is not valid."""
        down = self._down[:, place[0].within(self.seen[0])]
        across = self._across[:, place[1].within(self.seen[1])]
        see = np.flatnonzero(down.any(axis=1))
        if see.size and known.valid.any():
            some = slice(see[0], see[-1] + 1)
            self._total[:, some] += both(down[some], known.values, across)
            self._weight[some] += _weight(down[some], known.valid, across)

    @property
    def values(self) -> Floats:
        """What they come to."""
        enough = self._weight >= self._covered - 1e-9
        return np.where(enough, self._total / np.where(enough, self._weight, 1.0), np.nan)


def _weight(down: Floats, valid: Mask, across: Floats) -> Floats:
    """(n, m) weights of valid fine pixels in coarse ones."""
    if valid.all():
        return np.outer(down.sum(axis=1), across.sum(axis=1))
    return both(down, valid.astype(np.float64), across)
