"""Discriminants: which class fused values belong to, by what a training learned of its classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bandfuse.errors import MismatchError
from bandfuse.spectral.bands import Floats


@dataclass(frozen=True, eq=False)
class Discriminants:
    """Linear discriminant analysis of K outputs: the class with the largest ``y · slope + level``.

    Attributes
    ----------
    numbers : (C,) of the classes, ascending. names : of the classes; their numbers where the labels
        had no names.
    slope, level : (K, C) and (C,).
    numbered : classes are texts in the labels; their numbers were made, and mean nothing elsewhere.

    Raises
    ------
    MismatchError : shapes that do not fit, or numbers that are not finite.
    """

    numbers: NDArray[np.int64]
    names: tuple[str, ...]
    slope: Floats
    level: Floats
    numbered: bool = False

    def __post_init__(self) -> None:
        count = len(self.numbers)
        shapes = self.slope.ndim == 2 and self.slope.shape[1:] == self.level.shape == (count,)
        if not shapes or len(self.names) != count or not count:
            raise MismatchError(
                "classes of discriminants",
                got=f"{count} numbers, {len(self.names)} names, a slope of shape "
                f"{self.slope.shape} and a level of shape {self.level.shape}",
                expected="as many of each",
            )
        if not (np.isfinite(self.slope).all() and np.isfinite(self.level).all()):
            raise MismatchError(
                "slope and level of discriminants", got="numbers that are not finite"
            )

    def __call__(self, y: Floats) -> NDArray[np.int64]:
        """(n,) class numbers of (K, n) outputs."""
        found: NDArray[np.int64] = self.numbers[
            np.argmax(self.slope.T @ y + self.level[:, None], axis=0)
        ]
        return found
