"""Decoder: the linear map from K outputs back to the bands that they were fused from, by least squares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from bandfuse.spectral.bands import Bands, Floats
from bandfuse.errors import MismatchError
from bandfuse.model.fusion import Fusion
from bandfuse.moments.moments import Moments

UNUSED = "not used in the training"
"""Why a band cannot be rebuilt, where nothing else was said against it."""

CUT = 1e-12
"""Correlations of the outputs have no inverse along directions with less than this part of the largest variance."""


def least_squares(fusion: Fusion, bands: Moments, used: Sequence[int]) -> Fusion:
    """The decoder ``x̂ = D y + offset`` with the least squared error over the pixels whose moments are given.

    ``D = A Wᵀ (W A Wᵀ)⁺`` and ``offset = mean(x) − D mean(y)``, A the covariance of the used bands.

    Parameters
    ----------
    fusion : K outputs from B inputs; its activation must be the identity.
    bands : moments of the used bands.
    used : their positions among the B inputs. The other bands are missing from what the decoder gives.
    """
    a, w = bands.covariance, fusion.matrix[:, list(used)]
    cross, inner = a @ w.T, w @ a @ w.T
    size = np.sqrt(np.where(np.diag(inner) > 0, np.diag(inner), 1.0))
    inverse = np.linalg.pinv(inner / np.outer(size, size), rcond=CUT, hermitian=True)
    inner_map = (cross / size) @ inverse / size
    matrix, offset = np.zeros(fusion.weight.T.shape), np.full(len(fusion.inputs), np.nan)
    matrix[list(used)] = inner_map
    offset[list(used)] = bands.mean - inner_map @ (w @ bands.mean + fusion.offset)
    return decoder(matrix, offset, fusion.inputs, fusion.outputs)


def decoder(matrix: Floats, offset: Floats, inputs: Bands, outputs: Bands) -> Fusion:
    """The decoder as a fusion of the K outputs; bands whose offset is NaN get a reason, and come out missing.

    Raises
    ------
    MismatchError : shapes that do not fit the tables.
    """
    if offset.shape != (len(inputs),):
        raise MismatchError("offset of a decoder", got=f"shape {offset.shape}", expected=f"shape ({len(inputs)},)")
    lost = np.isnan(offset)
    rebuilt = inputs.dropping({int(i): UNUSED for i in np.flatnonzero(lost)})
    return Fusion(matrix, np.ones(len(inputs)), np.where(lost, 0.0, offset), outputs, rebuilt)


def offsets(made: Fusion) -> Floats:
    """(B,) the offsets of a decoder as they are stored: NaN where a band is not rebuilt."""
    return np.where(made.outputs.good, made.offset, np.nan)


def as_read(made: Fusion, bands: Bands, name: str) -> Fusion:
    """The decoder for a raster of this name, whose bands come from another source than the training's outputs.

    Raises
    ------
    MismatchError : another number of bands.
    """
    if len(bands) != len(made.inputs):
        raise MismatchError(
            f"{name} has another number of bands than the weights have outputs",
            got=f"{len(bands)} bands",
            expected=f"{len(made.inputs)} bands, as these weights fuse them",
        )
    return replace(made, inputs=replace(made.inputs, source=bands.source))
