"""Sharpening: what a sharpening learned, and what it wrote."""

from __future__ import annotations

from pydantic import Field

from bandfuse.results.base import Result, Score
from bandfuse.results.training import InputFile, Kernel

BANDFUSE, INTERPOLATION = "bandfuse", "interpolation"
"""Names of methods; the others are gsa, glp and brovey."""


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
    weight: list[float] = Field(
        default_factory=list,
        description="of this band in each sharp band: sharp = sum of weight · band + offset",
    )
    weight_low: list[float] = Field(
        default_factory=list, description="lower ends of their 95 % intervals"
    )
    weight_high: list[float] = Field(default_factory=list, description="upper ends of them")


class BandScore(Result):
    """What sharpening is worth to one band, one scale down, on held-out blocks."""

    index: int = Field(description="1-based number in the cube")
    psnr: float | None = Field(description="of the sharpened band, in dB; peak: its maximum")
    interpolated: float | None = Field(description="the same of plain interpolation")
    gained: float | None = Field(description="their difference, in dB")
    error: float | None = Field(description="its standard error over blocks, in dB")
    rmse: float | None = Field(description="in the cube's units")
    ssim: float | None


class MethodScores(Result):
    """The scores of one method."""

    method: str = Field(description="bandfuse, interpolation, gsa, glp or brovey")
    scores: Score
    errors: Score = Field(
        default_factory=dict, description="standard errors over blocks, where there are some"
    )


class Reduced(Result):
    """Wald's protocol: everything once more one scale down, where the truth is the cube."""

    methods: list[MethodScores] = Field(
        description="psnr (dB, mean over bands, peak = the band's maximum), sam (degrees), ergas, "
        "ssim, q2n and rmse on held-out blocks"
    )
    bands: list[BandScore]
    blocks: int = Field(description="each was sharpened by what was learned from the others")
    pixels: int = Field(description="pixels of the cube that were scored")
    coarse: int = Field(description="pixels of the cube one scale down")
    whole: bool = Field(description="false: of parts of the scene only, spread over it")
    better: list[str] = Field(
        description="methods whose ERGAS is below that of bandfuse by more than twice the standard "
        "error of the difference"
    )
    alike: list[str] = Field(
        description="methods whose ERGAS differs from that of bandfuse by less than that"
    )


class FullScale(Result):
    """What is said at full scale, where there is no truth."""

    methods: list[MethodScores] = Field(
        description="d_lambda, d_s and qnr; and consistency, of the result brought back to the "
        "cube's grid against the cube: psnr, sam, ergas"
    )
    whole: bool = Field(description="false: of parts of the scene only, spread over it")


class Worth(Result):
    """What a sharpening is worth."""

    sentences: list[str] = Field(description="the verdict in words, the most important first")
    reduced: Reduced | None = Field(description="null where the scene is too small for it")
    full: FullScale | None


class DisplacedPlace(Result):
    """By how much a sharp image is to be moved at one place of a cube, to lie on it."""

    row: float = Field(description="of the place, in pixels of the cube, from 0")
    col: float
    dx: float = Field(description="columns of the cube's grid to move it by")
    dy: float = Field(description="rows of the cube's grid to move it by")
    error: float = Field(description="standard error in the less certain direction, in pixels")


class RegistrationRow(Result):
    """How a sharp image lies on the cube, in pixels of the cube."""

    path: str
    order: str = Field(description="of the field: none, constant, affine, quadratic or cubic")
    dx: float = Field(description="mean columns to move it by")
    dy: float = Field(description="mean rows to move it by")
    range: float = Field(description="largest difference between the displacements of two places")
    error: float = Field(description="largest standard error of the field at any place")
    windows: int = Field(description="windows that the field was told from")
    of: int = Field(description="windows that were looked at")
    scores: Score = Field(
        description="by order, mean error over windows that were left out, in squares of their "
        "standard errors"
    )
    correlation: float = Field(
        description="of the image, through the field, with what the cube predicts of it"
    )
    before: float = Field(description="the same where the image lies")
    certain: bool = Field(description="whether the field is believed")
    moved: str = Field(description="what was done: field, whole, or no")
    shape: tuple[int, int] = Field(description="rows and columns of the cube")
    field: list[DisplacedPlace] = Field(description="the field at places that are evenly spread")
    measured: list[DisplacedPlace] = Field(description="what the windows say, one by one")


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
    registration: list[RegistrationRow] = Field(
        default_factory=list, description="how sharp images lie on the cube, where that was told"
    )
    sharpened_share: float = Field(description="share of the result's pixels with detail")
    interpolated_share: float
    clipped: int
    seconds: float
    messages: list[str]
    worth: Worth | None = Field(None, description="null where no verdict was asked for")
    inputs: list[InputFile] = Field(
        default_factory=list, description="what was learned from; empty with --weights"
    )
    versions: dict[str, str] = Field(default_factory=dict)
    kernels: list[Kernel] = Field(default_factory=list)
    seed: int = 0
