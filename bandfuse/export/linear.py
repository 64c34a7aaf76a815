"""Linear: a fusion as one matrix on the stored values of a raster."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bandfuse.errors import MismatchError
from bandfuse.model.fusion import Fusion
from bandfuse.spectral.bands import Floats


@dataclass(frozen=True, eq=False)
class LinearForm:
    """``y = matrix · stored + constant``: (K, B) and (K,), for values ``x = scale · stored +
    offset``."""

    matrix: Floats
    constant: Floats

    @classmethod
    def of(
        cls, fusion: Fusion, scale: Floats | None = None, offset: Floats | None = None
    ) -> LinearForm:
        """``matrix = M · diag(scale)``, ``constant = M · offset + c`` with M and c of the fusion.

        Raises
        ------
        MismatchError : an activation follows the sum.
        """
        if fusion.activation != "identity":
            raise MismatchError(
                "this form only holds linear fusions",
                got=f"activation {fusion.activation!r}",
                remedy="Export to onnx or pt2, or train without --activation.",
            )
        m = fusion.matrix
        scale = np.ones(m.shape[1]) if scale is None else scale
        offset = np.zeros(m.shape[1]) if offset is None else offset
        return cls(m * scale, m @ offset + fusion.offset)

    def stored_as(self, scale: float, offset: float) -> LinearForm:
        """The same, with y as a raster of that scale and offset stores it."""
        return LinearForm(self.matrix / scale, (self.constant - offset) / scale)

    def used(self, k: int) -> list[int]:
        """Positions of the bands with weight in output k."""
        return [int(i) for i in np.flatnonzero(self.matrix[k])]


def require_strict(fusion: Fusion) -> None:
    """Only ``strict`` has a counterpart elsewhere: a missing input makes the output missing.

    Raises
    ------
    MismatchError : the weights renormalise.
    """
    if fusion.nodata.kind != "strict":
        raise MismatchError(
            "this form cannot rescale weights where bands are missing",
            got=f"nodata policy {fusion.nodata.kind}",
            remedy="Train with --nodata-policy strict, or use bandfuse apply.",
        )
