"""Moved outputs: outputs beside a target that lies off its scene, moved onto it by slopes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bandfuse.moments.moments import Moments
from bandfuse.moments.slopes import WithoutSlopes
from bandfuse.solve.scores import Pairs
from bandfuse.spectral.bands import Floats


@dataclass(frozen=True, eq=False)
class SlopedPixels:
    """Moments and a sample of [B bands, K targets, slopes], and what takes the slopes out, as it
    was learned from the training's pixels."""

    seen: Moments
    sample: Floats
    without: WithoutSlopes

    def pairs(self, matrix: Floats, offset: Floats) -> Pairs:
        """Outputs ``matrix x + offset + extra (z − about)`` beside the targets as they are: what
        slopes tell of a target beside its output, ``extra = share_t − matrix share_x``, moves the
        output onto it."""
        k, b = matrix.shape
        extra = self.without.share[b:] - matrix @ self.without.share[:b]
        size = self.seen.size
        order = [*range(b), *range(b + k, size), *range(b, b + k)]
        return Pairs.linear(
            self.seen.take(order),
            self.sample[:, order],
            np.hstack([matrix, extra]),
            offset - extra @ self.without.about,
        )
