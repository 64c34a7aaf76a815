"""Layers: the quality layers of products that are files beside the image."""

from __future__ import annotations

from collections.abc import Sequence

from bandfuse.raster.describe import QualityLayer, SourceImage
from bandfuse.raster.products.files import Files

ENDING = r"(?:_COG)?\.(?:tiff?|bsq|bil|bip|jp2)"
"""How the names of DLR's images end, with the letters of its cloud-optimised copies."""


def layer_in(
    files: Files, name: str, reason: str, values: Sequence[int], band: int = 1
) -> QualityLayer:
    """A layer in a band of one of the files, by its name."""
    image = SourceImage(files.gdal(name), (band,))
    return QualityLayer(reason, image, files.local(name), tuple(values))


def beside(files: Files, name: str) -> str | None:
    """The image of this name, such as ``QL_QUALITY_CLOUD``, after the stem of the product; None
    where there is none."""
    return next(iter(files.like(rf"(?:.*[-_])?{name}{ENDING}")), None)
