"""Rasters: what is said of rasters, and of those that are written or scored."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from bandfuse.results.base import AlignmentRow, PixelCount, PlaceRow, Result, Score, Scores


class BandInfo(Result):
    """One band as ``info`` shows it."""

    index: int
    name: str
    wavelength_nm: float | None
    fwhm_nm: float | None
    good: bool
    reason: str


class QualityInfo(Result):
    """One quality layer of a product: what ``--quality`` calls it, and where it is."""

    word: str
    file: str


class SceneInfo(Result):
    """One scene as ``info`` shows it."""

    path: str
    driver: str = Field(
        description="GDAL's driver; of a product its name, and the driver in brackets"
    )
    rows: int
    cols: int
    dtype: str
    crs: str | None
    transform: list[float] = Field(
        description="affine a, b, c, d, e, f: x = a col + b row + c, y = d col + e row + f"
    )
    nodata: float | None
    scale: float | None = Field(description="null where bands differ")
    bands: list[BandInfo]
    messages: list[str]
    quality: list[QualityInfo] = Field(
        default_factory=list, description="layers of a product for --quality"
    )
    no_quality: str = Field("", description="why a product has none")


class GroupInfo(Result):
    """One group as ``info --groups`` shows it: 1-based band numbers."""

    name: str
    bands: list[int]


class FieldInfo(Result):
    """One field of a layer."""

    name: str
    kind: str = Field(description="text, whole number, number or other")
    distinct: int = Field(description="different values")
    values: dict[str, int] | None = Field(
        description="values with their numbers of features, the most frequent first; null where "
        "there are too many for classes, or they are neither texts nor whole numbers"
    )


class LayerInfo(Result):
    """One layer of a vector file."""

    name: str
    geometry: str
    features: int
    crs: str | None
    fields: list[FieldInfo]


class VectorInfo(Result):
    """One vector file as ``info`` shows it."""

    path: str
    driver: str
    layers: list[LayerInfo]


class SceneMomentsRow(Result):
    """What a file of moments holds of one scene."""

    scene: str
    files: list[str]
    rows: int
    cols: int
    bands: int = Field(description="bands that were gathered")
    target_bands: int
    classes: list[str] = Field(description="names of the classes; empty without labels")
    pixels: int = Field(description="pixels that count")
    blocks: int = Field(description="blocks that hold pixels")
    sample: int = Field(description="pixels that are kept as they are")
    noise: bool = Field(description="whether differences of neighbours were gathered")
    slopes: bool = Field(description="whether slopes of the cube were gathered")
    least: int = Field(description="pixels of a block at least; 0 for any")
    precision: str = Field(description="of the products")
    seed: int


class MomentsResult(Result):
    """What was gathered to learn from later."""

    output: str
    bytes: int
    scenes: list[SceneMomentsRow]
    left_out: dict[str, str] = Field(
        default_factory=dict, description="scenes left out by --skip-broken: the reasons"
    )
    messages: list[str] = Field(default_factory=list)
    seconds: float = 0.0


class InfoResult(Result):
    """What ``info`` prints."""

    scenes: list[SceneInfo]
    groups: list[GroupInfo] | None = None
    vectors: list[VectorInfo] = Field(default_factory=list)
    moments: list[MomentsResult] = Field(
        default_factory=list, description="files that bandfuse moments has written"
    )


class Finding(Result):
    """One thing that ``check`` found."""

    code: str
    severity: Literal["info", "warning", "decision"]
    message: str
    remedy: str


class CheckResult(Result):
    """What ``check`` found in a scene, and in a target beside it."""

    scene: str
    target: str | None
    findings: list[Finding]
    looked: list[int] = Field(description="pixels looked at, of the scene and of the target")
    pixels: list[int] = Field(description="pixels of the scene and of the target")
    fixed: str | None = Field(None, description="the VRT that was written")

    @property
    def decisions(self) -> int:
        """Findings that need a decision."""
        return sum(f.severity == "decision" for f in self.findings)


class FormatInfo(Result):
    """What people hold that can be opened, as ``info --formats`` shows it."""

    name: str
    give: str = Field(description="what to give on the command line")
    understood: str
    proven: str = Field(description="what kind of files it is proven on")


class FormatsResult(Result):
    """What ``info --formats`` prints."""

    formats: list[FormatInfo]


class ApplyResult(Result):
    """What ``apply`` did."""

    outputs: list[str]
    pixels: int
    valid_share: float
    clipped: int
    seconds: float
    messages: list[str]
    coverage: Score = Field(
        default_factory=dict,
        description="with resample: the share of each output's weight that found bands, the least "
        "of all scenes",
    )
    device: PlaceRow | None = Field(None, description="where the products were computed")
    uncertainties: list[str] = Field(
        default_factory=list, description="with uncertainty: its raster for each output"
    )


class SensorBandRow(Result):
    """One band of a sensor, as far as a cube covers it."""

    name: str
    wavelength_nm: float
    fwhm_nm: float
    coverage: float = Field(description="share of the response's area within the bands of the cube")
    bands: int = Field(description="bands of the cube with weight")
    used: bool = Field(description="false: covered too little, and left out")


class ResampledScene(Result):
    """What became of one scene."""

    scene: str
    output: str | None = Field(description="the raster; null where only weights were asked for")
    weights: str
    bands: list[SensorBandRow]


class ResampleResult(Result):
    """What ``resample`` did."""

    sensor: str
    origin: str = Field(description="where the responses come from")
    scenes: list[ResampledScene]
    valid_share: float | None
    clipped: int
    seconds: float
    messages: list[str]
    device: PlaceRow | None = Field(
        None, description="where the products were computed; null where no raster was written"
    )


class ClassScore(Result):
    """How one class was found on another image. null where nothing is known: no pixel of the class,
    or none that was taken for it."""

    value: int = Field(description="its number in the training, or in the labels")
    name: str
    pixels: int = Field(description="of the class, by the labels")
    found: int = Field(description="pixels that were taken for the class")
    precision: float | None
    recall: float | None
    f1: float | None


class ClassesResult(Result):
    """How the classes of labels were found in fused pixels."""

    classifier: str = Field(
        description="training: the linear discriminants of the training; blocks: those of the "
        "other blocks of this image, as the weights hold none"
    )
    classes: list[ClassScore]
    confusion: list[list[int]] = Field(
        description="pixels by true class (rows) and by the class that was found (columns)"
    )


class SharpenedScores(Result):
    """How a sharpened raster was compared with the true cube. Beside it stand the scores of every
    band, and those over all bands: psnr (dB, mean over bands, peak = the band's largest true
    value), sam (degrees), ergas, ssim, q2n and rmse."""

    raster: str = Field(description="the sharpened raster")
    truth: str = Field(description="the true cube")
    cube: str | None = Field(description="the cube that was sharpened; null where it is not known")
    ratio: float | None = Field(
        description="pixels that were scored along the side of one of the cube; null where it is "
        "not known, and then there is no ergas"
    )
    blocks: int = Field(description="blocks of the image that standard errors are taken over")
    errors: Score = Field(description="standard errors of the scores over all bands")
    interpolation: Score = Field(
        description="the same scores of the interpolated cube, over the same pixels; empty without "
        "a cube"
    )
    bands: list[int] = Field(description="1-based numbers in the sharpened raster")
    true_bands: list[int] = Field(description="and in the true cube, of the same bands")


class EvaluateResult(Result):
    """Scores of saved weights on another image; with labels one row of scores, ``classes``. Of a
    sharpening the scores of a sharpened raster: psnr, ssim and rmse of each band; with a cube also
    ``interpolated`` (its psnr interpolated), ``gained`` (the difference) and its standard
    ``error``."""

    weights: str
    scene: str
    scores: Scores
    overall: Score = Field(
        description="of all outputs together: sam in degrees, ergas; of a sharpening also means "
        "over the bands"
    )
    sampled: int = Field(description="pixels of the sample that mae and sam rest on")
    pixels: PixelCount
    classification: ClassesResult | None = Field(None, description="with labels")
    sharpened: SharpenedScores | None = Field(None, description="of a sharpening")
    alignment: list[AlignmentRow] = Field(
        default_factory=list, description="if the files have several grids"
    )
    messages: list[str] = Field(default_factory=list)
