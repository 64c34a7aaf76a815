"""Decoder: the inverse map, from fused bands back to input bands. numpy only."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bandfuse.errors import MismatchError
from bandfuse.model.fusion import Fusion
from bandfuse.spectral.bands import Bands, Floats

UNUSED = "not used in the training"
"""Why a band cannot be rebuilt, where nothing else was said against it."""


def decoder(matrix: Floats, offset: Floats, inputs: Bands, outputs: Bands) -> Fusion:
    """The decoder as a fusion of the K outputs; bands whose offset is NaN get a reason, and come
    out missing.

    Raises
    ------
    MismatchError : shapes that do not fit the tables.
    """
    if offset.shape != (len(inputs),):
        raise MismatchError(
            "offset of a decoder", got=f"shape {offset.shape}", expected=f"shape ({len(inputs)},)"
        )
    lost = np.isnan(offset)
    rebuilt = inputs.dropping({int(i): UNUSED for i in np.flatnonzero(lost)})
    return Fusion(matrix, np.ones(len(inputs)), np.where(lost, 0.0, offset), outputs, rebuilt)


def offsets(made: Fusion) -> Floats:
    """(B,) the offsets of a decoder as they are stored: NaN where a band is not rebuilt."""
    return np.where(made.outputs.good, made.offset, np.nan)


def as_read(made: Fusion, bands: Bands, name: str) -> Fusion:
    """The decoder for a raster of this name, whose bands come from another source than the
    training's outputs.

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
