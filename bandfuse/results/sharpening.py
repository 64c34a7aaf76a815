"""Sharpening: what a sharpening says of itself (report.json of its run folder)."""

from __future__ import annotations

from pydantic import Field

from bandfuse.results.base import PlaceRow, Result, Score
from bandfuse.results.training import InputFile, Kernel, Seconds

BANDFUSE, INTERPOLATION = "bandfuse", "interpolation"
"""Names of methods; the others are gsa, glp and brovey."""


class SharpBand(Result):
    """One band of the sharp images."""

    name: str
    source: str = Field(description="the file it is of")
    wavelength_nm: float | None
    fwhm_nm: float | None
    offset: float = Field(description="of what the cube's weights make of it")


class BandGain(Result):
    """What one band of the cube gets, and what that is worth."""

    band: int
    name: str
    wavelength_nm: float | None
    fwhm_nm: float | None
    gain: list[float] = Field(description="learned, of each sharp band, in the cube's units")
    ci_low: list[float]
    ci_high: list[float]
    weight: list[float] = Field(
        description="of this band in each sharp band: sharp = sum of weight · band + offset"
    )
    sharpened: bool = Field(description="false: the band comes out interpolated")
    reason: str = Field(description="why it comes out interpolated; empty where it does not")
    psnr: float | None = Field(description="one scale down, on held-out blocks, in dB")
    psnr_interpolation: float | None = Field(description="the same of plain interpolation")
    gained: float | None = Field(description="their difference, in dB")
    error: float | None = Field(description="its standard error over blocks, in dB")
    rmse: float | None = Field(description="one scale down, in the cube's units")
    ssim: float | None = Field(description="one scale down; null where the image is too small")


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


class SharpenReport(Result):
    """What ``sharpen`` did, and what it is worth."""

    output: str
    rows: int
    cols: int
    ratio: float = Field(description="side of a pixel of the cube over that of the result")
    bands: list[BandGain]
    sharp: list[SharpBand]
    blur: float | None = Field(
        description="modulation at the Nyquist frequency of the cube's grid; null for the plain "
        "average over its pixels"
    )
    blur_error: float | None = Field(None, description="its standard error, if it was estimated")
    rank: int = Field(description="dimensions of the subspace of the cube that is not noise")
    pixels: int = Field(description="of the cube that gains were learned from")
    blocks: int
    sources: dict[str, int] = Field(
        default_factory=dict, description="pixels of the result by what they are made of"
    )
    reduced: Reduced | None
    full: FullScale | None
    verdict: list[str] = Field(
        default_factory=list, description="plain sentences, the most important first"
    )
    device: dict[str, PlaceRow] = Field(default_factory=dict)
    seconds: Seconds
    versions: dict[str, str] = Field(default_factory=dict)
    kernels: list[Kernel] = Field(default_factory=list)
    inputs: list[InputFile] = Field(default_factory=list)
    seed: int = 0
    messages: list[str] = Field(default_factory=list)

    @property
    def kept_out(self) -> list[BandGain]:
        """The bands that come out interpolated."""
        return [band for band in self.bands if not band.sharpened]
