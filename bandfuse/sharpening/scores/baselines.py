"""Baselines: what else sharpens a cube: interpolation, GSA, GLP with regression, Brovey.

All work on arrays. ``x`` (n, B) and ``t`` (n, T) are coarse pixels that they learn from: of the
cube, and of the sharp image as the cube sees it. An image to sharpen is a :class:`View`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bandfuse.solve.nnls import nonnegative_gram
from bandfuse.spectral.bands import Floats

RIDGE = 1e-4
"""Ridge of GSA's weights, in mean variances of the bands: neighbours are nearly the same, and there
can be fewer pixels than bands."""


@dataclass(frozen=True, eq=False)
class View:
    """What a method sharpens.

    ``raised`` (B, H, W): the cube, interpolated to the fine grid; ``sharp`` (T, H, W): the sharp
    image; ``smooth`` (T, H, W): what the cube would see of it, interpolated likewise."""

    raised: Floats
    sharp: Floats
    smooth: Floats


Method = Callable[[View], Floats]
"""The sharpened (B, H, W) of a view."""


def interpolation(x: Floats, t: Floats) -> Method:
    """The cube as interpolated: what every method must be better than."""
    return lambda view: view.raised


def gsa(x: Floats, t: Floats) -> Method:
    """Adaptive Gram-Schmidt: ``y = up(x) + g (t − I)``, where the intensity ``I = w up(x) + c``
    follows the sharp image by least squares on coarse pixels and ``g = cov(x, I) var(I)⁻¹``
    (Aiazzi, Baronti & Selva, IEEE Transactions on Geoscience and Remote Sensing 45, 2007).

    Several sharp bands have an intensity each. The weights have a small ridge."""
    mx, mt = x.mean(axis=0), t.mean(axis=0)
    x0, t0 = x - mx, t - mt
    cxx = x0.T @ x0 / len(x)
    ridge = RIDGE * np.trace(cxx) / len(cxx)
    weight = np.linalg.solve(cxx + ridge * np.eye(len(cxx)), x0.T @ t0 / len(x))
    gain = _divided(cxx @ weight, weight.T @ cxx @ weight)
    offset = mt - mx @ weight

    def sharpened(view: View) -> Floats:
        intensity = _mixed(weight.T, view.raised) + offset[:, None, None]
        return view.raised + _mixed(gain, view.sharp - intensity)

    return sharpened


def glp(x: Floats, t: Floats) -> Method:
    """Generalised Laplacian pyramid with regression: ``y = up(x) + g (t − up(low(t)))`` and ``g =
    cov(x, t) var(t)⁻¹`` over coarse pixels, as context-based decision injects on a whole image
    (Aiazzi, Alparone, Baronti, Garzelli & Selva, Photogrammetric Engineering & Remote Sensing 72,
    2006; Vivone et al., IEEE Transactions on Geoscience and Remote Sensing 53, 2015)."""
    x0, t0 = x - x.mean(axis=0), t - t.mean(axis=0)
    gain = _divided(x0.T @ t0, t0.T @ t0)
    return lambda view: view.raised + _mixed(gain, view.sharp - view.smooth)


def _divided(part: Floats, whole: Floats) -> Floats:
    """``part whole⁻¹`` (B, T); what a constant sharp band would give is zero."""
    return part @ np.linalg.pinv(whole, hermitian=True)


def _mixed(matrix: Floats, image: Floats) -> Floats:
    """(K, H, W) of a (K, D) matrix and a (D, H, W) image."""
    mixed: Floats = np.tensordot(matrix, image, axes=1)
    return mixed


def brovey(x: Floats, t: Floats) -> Method:
    """GDAL's weighted Brovey with weights of non-negative least squares (see
    :func:`weighted_brovey`).

    GDAL takes one sharp band and weights that someone types in. Here the weights are the best such
    ones on coarse pixels, and each band of the cube is sharpened by the sharp band that it follows
    best."""
    size = np.sqrt((x**2).mean(axis=0))
    scale = np.where(size > 0, size, 1.0)
    scaled = x / scale
    gram = scaled.T @ scaled / len(x)
    weights = [nonnegative_gram(gram, scaled.T @ column / len(x))[0] / scale for column in t.T]
    follows = _follows(x, t)

    def sharpened(view: View) -> Floats:
        out = np.empty_like(view.raised)
        for k, weight in enumerate(weights):
            out[follows == k] = weighted_brovey(view.raised, view.sharp[k], weight)[follows == k]
        return out

    return sharpened


def weighted_brovey(raised: Floats, sharp: Floats, weight: Floats) -> Floats:
    """``y_b = up(x)_b · t / Σ w_j up(x)_j``, zero where the sum is zero: what GDAL's
    VRTPansharpenedDataset computes.

    Parameters
    ----------
    raised : (B, H, W). sharp : (H, W). weight : (B,).

    Source: https://gdal.org/en/stable/drivers/raster/vrt.html, "Pansharpened VRT".
    """
    total = np.tensordot(weight, raised, axes=1)
    return raised * np.divide(sharp, total, out=np.zeros_like(sharp), where=total != 0)


def _follows(x: Floats, t: Floats) -> NDArray[np.intp]:
    """(B,) for each band the sharp band with the largest correlation."""
    x0, t0 = x - x.mean(axis=0), t - t.mean(axis=0)
    size = np.sqrt((t0**2).sum(axis=0))
    cover = np.abs(x0.T @ t0) / np.where(size > 0, size, np.inf)
    best: NDArray[np.intp] = np.argmax(cover, axis=1)
    return best


METHODS = {"interpolation": interpolation, "gsa": gsa, "glp": glp, "brovey": brovey}
"""The baselines by name."""
