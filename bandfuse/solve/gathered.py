"""Gathered: what the losses of a training are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bandfuse.moments.moments import Moments
from bandfuse.solve.classes import ridge_of
from bandfuse.solve.squares import Split, Squares
from bandfuse.spectral.bands import Floats


@dataclass(frozen=True, eq=False)
class Gathered:
    """What losses are made of.

    ``split``: moments of the used bands, and of the targets if there are any. ``squares``: the
    squared error with its penalties; ``classes``: moments by class; ``noise``: moments of the
    noise; each only where the goal gathers it. ``outputs``: K. ``ridge``: a share of the variances
    that is added to them; None: for classes, as their pixels need it. ``balanced``: every class
    counts the same.
    """

    split: Split
    outputs: int
    squares: Squares | None = None
    classes: Mapping[int, Moments] | None = None
    noise: Moments | None = None
    ridge: float | None = 0.0
    balanced: bool = False

    def ridged(self, a: Floats, by: Floats) -> Floats:
        """A matrix with the ridge: a share of the diagonal of another."""
        share = self.ridge
        if share is None:
            some = self.classes
            share = ridge_of(some, balanced=self.balanced) if some is not None else 0.0
        return a + share * np.diag(np.diag(by))
