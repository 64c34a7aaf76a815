"""Confusion: scores of a classification, from how often each class was taken for each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bandfuse.spectral.bands import Floats


@dataclass(frozen=True, eq=False)
class Confusion:
    """``counts`` (C, C): pixels by true class (rows) and by the class that was found (columns)."""

    counts: NDArray[np.int64]

    @property
    def hits(self) -> NDArray[np.int64]:
        """(C,) pixels of each class that were found."""
        return np.diag(self.counts)

    @property
    def true(self) -> NDArray[np.int64]:
        """(C,) pixels of each class."""
        total: NDArray[np.int64] = self.counts.sum(axis=1)
        return total

    @property
    def found(self) -> NDArray[np.int64]:
        """(C,) pixels that were taken for each class."""
        total: NDArray[np.int64] = self.counts.sum(axis=0)
        return total

    @property
    def precision(self) -> Floats:
        """(C,) of the pixels that were taken for a class, the share that is of it; NaN for none."""
        return _ratio(self.hits, self.found)

    @property
    def recall(self) -> Floats:
        """(C,) of the pixels of a class, the share that was found; NaN for none."""
        return _ratio(self.hits, self.true)

    @property
    def f1(self) -> Floats:
        """(C,) harmonic mean of precision and recall; NaN for a class without any pixel."""
        return _ratio(2 * self.hits, self.true + self.found)

    def overall(self) -> dict[str, float | None]:
        """``accuracy``; ``balanced``: mean recall of the classes with pixels; ``kappa`` (Cohen
        1960), None where chance alone agrees fully."""
        total = self.counts.sum()
        accuracy = float(self.hits.sum() / total)
        chance = float((self.true / total) @ (self.found / total))
        return {
            "accuracy": accuracy,
            "balanced": float(np.nanmean(self.recall)),
            "kappa": (accuracy - chance) / (1 - chance) if chance < 1 else None,
        }


def _ratio(part: NDArray[np.int64], whole: NDArray[np.int64]) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio: Floats = part / np.where(whole > 0, whole, np.nan)
    return ratio
