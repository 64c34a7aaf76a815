"""Sharpening: what a sharpening learned, and what it wrote."""

from __future__ import annotations

from pydantic import Field

from bandfuse.results.base import Result


class GainRow(Result):
    """What one band of the cube got."""

    index: int = Field(description="1-based number in the cube")
    name: str
    wavelength_nm: float | None
    gain: list[float] = Field(description="of each sharp band's detail, as it was learned")
    low: list[float] = Field(description="lower ends of the 95 % intervals")
    high: list[float] = Field(description="upper ends of the 95 % intervals")
    detail: bool = Field(description="whether the band gets detail")
    reason: str = Field(description="why it gets none")
    explained: float | None = Field(
        description="share of what interpolation misses on the cube's grid that the detail "
        "explains on held-out blocks"
    )


class SharpenResult(Result):
    """What ``sharpen`` learned and wrote."""

    output: str
    raster: str
    ratio: float = Field(description="pixels of the result along the side of one of the cube")
    rows: int
    cols: int
    sharp: list[str] = Field(description="bands of the sharp images")
    blur: float | None = Field(description="modulation at Nyquist; null for the plain average")
    blur_error: float | None = Field(description="its standard error; null where it was given")
    rank: int = Field(description="dimensions of the cube that are not noise")
    ridge: float = Field(description="pull towards the gains of the whole image")
    blocks: int
    pixels: int = Field(description="pixels of the cube that were learned from")
    bands: list[GainRow]
    sharpened_share: float = Field(description="share of the result's pixels with detail")
    interpolated_share: float
    clipped: int
    seconds: float
    messages: list[str]
