"""Sampling: few of many pixels in memory."""

from __future__ import annotations

from bandfuse.spectral.bands import Floats

MOST = 256
"""Pixels of a window that are kept."""


def thinly(values: Floats) -> Floats:
    """(D, n) at most :data:`MOST` of the pixels, evenly spread; a copy."""
    return values[:, :: -(-values.shape[1] // MOST)].copy()
