"""Alike: how alike pairs of bands are, and how much that changes from one scale to another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bandfuse.scenes.displacement import complete
from bandfuse.sharpening.scores.scores import Score, or_none
from bandfuse.sharpening.scores.squares import SQUARE, columns, enough, squares_within
from bandfuse.spectral.bands import Floats


def quality(values: Floats) -> Floats:
    """(B, B) Q of every pair of bands of one square of (B, n) pixels, n ≥ 2.

    ``4 s_ij m_i m_j / ((s_i² + s_j²)(m_i² + m_j²))`` (Wang & Bovik, IEEE Signal Processing Letters
    9, 2002): 1 for equal bands. Two bands that both are constant, or both zero on average, are
    alike in that; their factor is 1."""
    mean = values.mean(axis=1)
    covariance = np.atleast_2d(np.cov(values, ddof=0))
    squares = mean**2
    level = _ratio(2 * np.outer(mean, mean), squares[:, None] + squares)
    variance = np.diag(covariance)
    return level * _ratio(2 * covariance, variance[:, None] + variance)


def _ratio(part: Floats, whole: Floats) -> Floats:
    """A quotient; 1 where nothing is divided by nothing."""
    return np.divide(part, whole, out=np.ones_like(part), where=whole > 0)


@dataclass(frozen=True, eq=False)
class Alike:
    """Sums over squares of the Q of all pairs of bands; those of two parts add up. ``q`` (D, D) for
    the D bands of cube and sharp image together."""

    q: Floats
    squares: int

    def __add__(self, other: Alike) -> Alike:
        """The sums of both parts together."""
        return Alike(self.q + other.q, self.squares + other.squares)

    @property
    def mean(self) -> Floats:
        """(D, D) mean over squares; NaN without one."""
        return self.q / self.squares if self.squares else np.full_like(self.q, np.nan)


def alike(stack: Floats, side: float = SQUARE) -> Alike:
    """The Q of all pairs of bands of a (D, H, W) stack, summed over squares of ``side`` pixels."""
    valid = complete(stack)
    parts = squares_within(valid, side)
    every = [quality(*columns((stack,), valid, part)) for part in parts if enough(valid, part)]
    d = len(stack)
    return Alike(np.sum(every, axis=0) if every else np.zeros((d, d)), len(every))


def distortions(fine: Alike, coarse: Alike, bands: int) -> Score:
    """D_λ, D_S and QNR of a sharpened cube without a true one.

    ``d_lambda``: mean over pairs of bands of |Q of both as sharpened − Q of both in the cube|;
    ``d_s``: mean over bands and sharp bands of |Q of both at the sharp resolution − Q of both at
    the cube's|; ``qnr = (1 − d_lambda)(1 − d_s)`` (Alparone et al., Photogrammetric Engineering &
    Remote Sensing 74, 2008, with all exponents 1). Squares cover the same ground at both
    resolutions.

    Parameters
    ----------
    fine : of the sharpened cube and the sharp image. coarse : of the cube and the sharp image that
        was brought to its resolution. bands : how many of the stack are the cube's.
    """
    change = np.abs(fine.mean - coarse.mean)
    own, cross = change[:bands, :bands], change[:bands, bands:]
    pairs = bands * (bands - 1)
    d_lambda = or_none(own.sum() / pairs) if pairs else None  # Q of a band with itself stays 1
    d_s = or_none(cross.mean()) if cross.size else None
    qnr = None if d_lambda is None or d_s is None else (1 - d_lambda) * (1 - d_s)
    return {"d_lambda": d_lambda, "d_s": d_s, "qnr": qnr}
