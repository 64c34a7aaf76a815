"""Pictures: arrays as PNG bytes, stretched, with transparent nodata."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass

import matplotlib.image
import numpy as np
from numpy.typing import ArrayLike, NDArray

from bandfuse.errors import MismatchError
from bandfuse.spectral.bands import Floats

Limits = tuple[tuple[float, float], ...]
"""Lowest and highest shown value of each channel."""

MAX_SIDE = 480
"""Pictures are thinned to at most this many pixels a side."""


@dataclass(frozen=True)
class Picture:
    """A picture and the values it shows: PNG bytes, limits per channel (empty: no valid pixel),
    pixel size in it."""

    png: bytes
    limits: Limits
    width: int
    height: int


def stretch_limits(array: ArrayLike) -> Limits:
    """The 2 % and 98 % quantiles of each channel of an (H, W) or (H, W, 3) array; empty if nothing
    is finite."""
    pixels = _channels(array).reshape(-1, _channels(array).shape[2])
    pixels = pixels[np.isfinite(pixels).all(axis=1)]
    if not pixels.size:
        return ()
    low, high = np.percentile(pixels, [2, 98], axis=0)
    return tuple((float(a), float(b)) for a, b in zip(low, high, strict=True))


def picture(array: ArrayLike, limits: Limits | None = None, *, max_side: int = MAX_SIDE) -> Picture:
    """An (H, W) or (H, W, 3) array as PNG, stretched linearly per channel; pixels that are not
    finite are transparent.

    Parameters
    ----------
    limits : values shown as black and white, per channel; by default :func:`stretch_limits` of this
        array.
    max_side : larger arrays are thinned: every n-th row and column.
    """
    full = _channels(array)
    limits = stretch_limits(full) if limits is None else limits
    if limits and len(limits) != full.shape[2]:
        raise MismatchError(
            "limits of a picture",
            got=f"{len(limits)}",
            expected=f"{full.shape[2]}, one per channel",
        )
    every = max(1, math.ceil(max(full.shape[:2]) / max_side))
    pixels = full[::every, ::every]
    out = io.BytesIO()
    matplotlib.image.imsave(
        out, _rgba(pixels, limits), format="png", metadata={"Software": "bandfuse"}
    )
    return Picture(out.getvalue(), limits, width=pixels.shape[1], height=pixels.shape[0])


def _channels(array: ArrayLike) -> Floats:
    """(H, W, C) with C of 1 or 3."""
    data = np.asarray(array, dtype=np.float64)
    data = data[:, :, None] if data.ndim == 2 else data
    if data.ndim != 3 or data.shape[2] not in (1, 3) or not data.size:
        raise MismatchError(
            "array of a picture", got=f"shape {np.shape(array)}", expected="(H, W) or (H, W, 3)"
        )
    return data


def _rgba(pixels: Floats, limits: Limits) -> NDArray[np.uint8]:
    out = np.zeros((*pixels.shape[:2], 4), dtype=np.uint8)
    if limits:
        low, high = np.array(limits, dtype=np.float64).T
        width = np.where(high > low, high - low, 1.0)
        # a constant channel is shown as middle grey
        scaled = np.where(high > low, (pixels - low) / width, 0.5 + (pixels - low))
        valid = np.isfinite(pixels).all(axis=2)
        out[valid, :3] = np.rint(255 * np.clip(scaled[valid], 0, 1)).astype(np.uint8)
        out[valid, 3] = 255
    return out
