"""Hypercomplex: Q2ⁿ, which compares the spectra of a square as numbers of 2ⁿ parts."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from bandfuse.spectral.bands import Floats


def q2n(result: Floats, truth: Floats) -> float:
    """Q2ⁿ of one square: how alike two sets of spectra are, from 0 to 1.

    ``|s_zt| / (s_z s_t) · 2 s_z s_t / (s_z² + s_t²) · 2 |m_z| |m_t| / (|m_z|² + |m_t|²)``, where a
    pixel's bands are one hypercomplex number of 2ⁿ parts (missing ones are zero), m are means, s²
    variances and ``s_zt = E[t conj(z)] − m_t conj(m_z)`` (Garzelli & Nencini, IEEE Geoscience and
    Remote Sensing Letters 6, 2009). Before that both are moved and scaled, band by band, so that
    the truth has a mean and a standard deviation of 1, and all bands count the same, as the
    published code of the authors' group does. A constant band is not scaled.

    The product is bilinear, so the covariance of hypercomplex numbers is a signed sum over the
    matrix of covariances of their parts: no pixel is multiplied on its own.

    Parameters
    ----------
    result, truth : (B, n) valid pixels, n ≥ 2.
    """
    n, mean = truth.shape[1], truth.mean(axis=1, keepdims=True)
    spread = truth.std(axis=1, ddof=1, keepdims=True)
    spread = np.where(spread > 0, spread, 1.0)
    t, z = (truth - mean) / spread + 1, (result - mean) / spread + 1
    mt, mz = t.mean(axis=1), z.mean(axis=1)
    t, z = t - mt[:, None], z - mz[:, None]
    varied = float((t**2).sum() + (z**2).sum()) / (n - 1)
    square_t, square_z = float(mt @ mt), float(mz @ mz)
    level = square_t + square_z
    bias = 2 * np.sqrt(square_t * square_z) / level if level > 0 else 1.0
    if varied == 0:
        return bias
    return float(2 * np.linalg.norm(_hypercomplex(t @ z.T / (n - 1))) / varied * bias)


def _hypercomplex(covariance: Floats) -> Floats:
    """(2ⁿ,) parts of E[t conj(z)] from the (B, B) covariances of the parts of t and z."""
    b = len(covariance)
    signs, places = _table(1 << (b - 1).bit_length())
    signed = covariance * signs[:b, :b]
    signed[:, 1:] *= -1
    places = places[:b, :b].ravel()
    return np.bincount(places, signed.ravel(), minlength=len(signs)).astype(np.float64)


@lru_cache(maxsize=4)
def _table(size: int) -> tuple[Floats, NDArray[np.int64]]:
    """Signs and places of the products of unit numbers: ``e_i e_j = sign e_place``.

    ``(a, b)(c, d) = (ac − conj(d) b, conj(a) conj(d) + c conj(b))``, where each pair has half of
    the parts: Cayley and Dickson's doubling with the second half conjugated, as the authors' code
    has it."""
    numbers = np.arange(size)
    signs = np.ones((1, 1))
    while len(signs) < size:
        flip = np.where(np.arange(len(signs)) > 0, -1.0, 1.0)
        upper = np.hstack([signs, flip[:, None] * flip * signs])
        lower = np.hstack([flip[:, None] * signs.T, -flip * signs.T])
        signs = np.vstack([upper, lower])
    return signs, numbers[:, None] ^ numbers
