"""Gains: what is learned of a cube and a sharp image, and which bands get detail."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bandfuse.spectral.bands import Floats

LEARNED, UNCERTAIN, WORSE = "", "the interval of its gain holds zero", "held-out error grows"
"""Why a band gets no detail; empty where it does."""


@dataclass(frozen=True, eq=False)
class Gains:
    """What turns a cube of B bands and a sharp image of T bands into a sharpened cube.

    Parameters
    ----------
    gain : (B, T) how much of each sharp band's detail each band gets, in its own units; zero for
        bands that get none.
    learned : (B, T) the same before bands were set to zero.
    low, high : (B, T) ends of its 95 % intervals, by a bootstrap over blocks.
    weight, offset : (T, B) and (T,) the sharp image from the cube: ``t = W x + offset``.
    blur : modulation of the Gaussian between them at the Nyquist frequency of the cube's grid; None
        for the plain average over its pixels.
    blur_error : its standard error; NaN where the blur was given.
    lift, drop : (B, k) and (k, B): residuals are brought to the subspace of the cube that is not
        noise by ``lift @ drop``.
    noise : (B,) standard deviation of the noise of each band.
    error, plain : (B,) held-out mean squared error of the detail, with the gains and by
        interpolation, on the cube's grid.
    reasons : (B,) why a band gets no detail, empty where it does.
    ridge : strength of the pull towards the gains of the whole image, chosen on held-out blocks.
    blocks, pixels : how many they were learned from.
    weight_low, weight_high : (T, B) ends of 95 % intervals of the weight, where they were asked
        for.
    """

    gain: Floats
    learned: Floats
    low: Floats
    high: Floats
    weight: Floats
    offset: Floats
    blur: float | None
    blur_error: float
    lift: Floats
    drop: Floats
    noise: Floats
    error: Floats
    plain: Floats
    reasons: tuple[str, ...]
    ridge: float
    blocks: int
    pixels: int
    weight_low: Floats | None = None
    weight_high: Floats | None = None

    @property
    def kept(self) -> NDArray[np.bool_]:
        """(B,) which bands get detail."""
        return np.array([not reason for reason in self.reasons], dtype=bool)

    @property
    def rank(self) -> int:
        """Dimensions of the subspace."""
        return len(self.drop)


def reasons_of(low: Floats, high: Floats, errors: Floats, plain: Floats) -> tuple[str, ...]:
    """(B,) why each band gets no detail: nothing of its gains is certain, or its held-out error is
    larger than that of interpolation.

    Gains of sharp bands that are alike are not certain one by one: it is enough if the held-out
    error is smaller by more than twice its standard error over the blocks.

    Parameters
    ----------
    low, high : (B, T) ends of the intervals. errors, plain : (N, B) of each block.
    """
    spared = plain - errors
    n, total = len(spared), spared.sum(axis=0)
    error = np.sqrt(np.square(spared - total / n).sum(axis=0) * n / max(n - 1, 1))
    sure = (total > 2 * error) & (n > 1)
    uncertain = np.logical_and.reduce((low <= 0) & (high >= 0), axis=1) & ~sure
    return tuple(
        UNCERTAIN if unsure else LEARNED if more > 0 else WORSE
        for unsure, more in zip(uncertain, total, strict=True)
    )
