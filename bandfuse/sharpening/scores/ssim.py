"""SSIM: the structural similarity of windows around pixels."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import correlate1d

from bandfuse.spectral.bands import Floats

SSIM_WINDOW, SSIM_SIGMA = 11, 1.5
"""Size and width of the Gaussian window of SSIM, in pixels (Wang et al. 2004)."""

SSIM_K1, SSIM_K2 = 0.01, 0.03
"""Constants of SSIM (Wang et al. 2004)."""

AT_ONCE = 16
"""Bands of which SSIM is computed at once."""


def ssim_map(result: Floats, truth: Floats, peak: Floats) -> Floats:
    """(B, H, W) structural similarity of the window around each pixel; NaN where the window leaves
    the image or holds a pixel that is not valid.

    ``(2 m_y m_t + C₁)(2 s_yt + C₂) / ((m_y² + m_t² + C₁)(s_y² + s_t² + C₂))`` with means, variances
    and covariance weighted by a Gaussian window of 11 × 11 pixels and σ = 1.5, ``C₁ = (0.01 L)²``,
    ``C₂ = (0.03 L)²``; L is the band's ``peak`` (Wang, Bovik, Sheikh & Simoncelli, IEEE
    Transactions on Image Processing 13, 2004)."""
    out = np.full(truth.shape, np.nan)
    if min(truth.shape[1:]) < SSIM_WINDOW:
        return out
    half = SSIM_WINDOW // 2
    for first in range(0, len(truth), AT_ONCE):
        some = slice(first, first + AT_ONCE)
        value = _ssim(result[some], truth[some], peak[some, None, None])
        out[some, half:-half, half:-half] = value[:, half:-half, half:-half]
    return out


def _ssim(y: Floats, t: Floats, peak: Floats) -> Floats:
    """The same of some bands, with windows that leave the image."""
    both = np.isfinite(y) & np.isfinite(t)
    count = np.maximum(both.sum(axis=(1, 2), keepdims=True), 1)
    # centred, so that variances keep their digits
    centre = np.where(both, t, 0.0).sum(axis=(1, 2), keepdims=True) / count
    y0, t0 = np.where(both, y - centre, np.nan), np.where(both, t - centre, np.nan)
    my, mt, squares, yt = (_windowed(a) for a in (y0, t0, y0 * y0 + t0 * t0, y0 * t0))
    varied, c = squares - my * my - mt * mt, yt - my * mt
    my, mt = my + centre, mt + centre
    c1, c2 = (SSIM_K1 * peak) ** 2, (SSIM_K2 * peak) ** 2
    with np.errstate(invalid="ignore", divide="ignore"):
        value: Floats = (2 * my * mt + c1) * (2 * c + c2)
        value /= (my * my + mt * mt + c1) * (varied + c2)
    return value


def _windowed(image: Floats) -> Floats:
    """(B, H, W) means weighted by the window of SSIM."""
    away = np.arange(SSIM_WINDOW) - SSIM_WINDOW // 2
    weight = np.exp(-0.5 * (away / SSIM_SIGMA) ** 2)
    weight /= weight.sum()
    mean: Floats = correlate1d(correlate1d(image, weight, axis=1), weight, axis=2)
    return mean
