"""Decoder: the linear map from K outputs back to the bands that they were fused from, by least
squares."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bandfuse.model.decoder import decoder
from bandfuse.model.fusion import Fusion
from bandfuse.moments.moments import Moments

CUT = 1e-12
"""Correlations of the outputs have no inverse along directions with less than this part of the
largest variance."""


def least_squares(fusion: Fusion, bands: Moments, used: Sequence[int]) -> Fusion:
    """The decoder ``x̂ = D y + offset`` with the least squared error over the pixels whose moments
    are given.

    ``D = A Wᵀ (W A Wᵀ)⁺`` and ``offset = mean(x) − D mean(y)``, A the covariance of the used bands.

    Parameters
    ----------
    fusion : K outputs from B inputs; its activation must be the identity.
    bands : moments of the used bands.
    used : their positions among the B inputs. The other bands are missing from what the decoder
        gives."""
    a, w = bands.covariance, fusion.matrix[:, list(used)]
    cross, inner = a @ w.T, w @ a @ w.T
    size = np.sqrt(np.where(np.diag(inner) > 0, np.diag(inner), 1.0))
    inverse = np.linalg.pinv(inner / np.outer(size, size), rcond=CUT, hermitian=True)
    inner_map = (cross / size) @ inverse / size
    matrix, offset = np.zeros(fusion.weight.T.shape), np.full(len(fusion.inputs), np.nan)
    matrix[list(used)] = inner_map
    offset[list(used)] = bands.mean - inner_map @ (w @ bands.mean + fusion.offset)
    return decoder(matrix, offset, fusion.inputs, fusion.outputs)
