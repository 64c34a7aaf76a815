"""What commands return: models that `--json`, the terminal table and the report are views of."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

Score = dict[str, float | None]
"""Scores by name (r2, rmse, cc, psnr, …) in the target's units; None where a score does not exist."""

Scores = dict[str, Score]
"""Scores of every output, by the output's name."""


class Result(BaseModel):
    """Base of every result model. Numbers that are not finite become null in JSON."""

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="null", defer_build=True)


class OutputRow(Result):
    """One output band of a fusion."""

    name: str
    gain: float
    offset: float
    constraint: str
    ridge: float | None = Field(None, description="strength of the ridge penalty")
    smooth: float | None = Field(None, description="strength of the smoothness penalty")
    sparse: float | None = Field(None, description="strength of the sparsity penalty")
    active_bands: int = Field(description="inputs with a non-zero weight")


class WeightRow(Result):
    """One weight: one row of ``weights.csv``."""

    output: str
    scene: str = Field(description="empty if shared by all scenes")
    band: int = Field(description="1-based position in the concatenated inputs")
    source: str
    source_band: int = Field(description="1-based number in its source")
    name: str
    wavelength_nm: float | None
    fwhm_nm: float | None
    weight: float = Field(description="the constrained shape")
    effective_weight: float = Field(description="gain × weight")
    ci_low: float | None = None
    ci_high: float | None = None


class ScoreTable(Result):
    """Scores per part of the data."""

    train: Scores
    holdout: Scores | None = Field(None, description="on contiguous blocks that were held out in turn")
    split: str = Field("blocks", description="what was held out: blocks, or random pixels (whose scores leak)")
    overall: Scores = Field(
        default_factory=dict, description="of all outputs together, for train and holdout: sam in degrees, ergas"
    )
    sampled: int = Field(0, description="pixels of the sample that mae and sam rest on")


class Convergence(Result):
    """How the fit ended. Losses are summed over the outputs, in the units of the loss: squared units of the target for
    mean squared errors, with their penalties."""

    loss: float
    optimum: float | None = Field(description="loss of the exact solution; null where the problem is not convex")
    relative_gap: float | None = Field(
        description="largest (loss − optimum) / (loss of the mean target) of all outputs"
    )
    steps: int
    starts: list[list[float]] = Field(
        default_factory=list,
        description="relative losses that each start ended with, for every part that was fitted from several",
    )


class PixelCount(Result):
    """How many pixels were used in training, and why the others were not."""

    used: int
    invalid: int
    by_reason: dict[str, int]


class DroppedBand(Result):
    """A band that was not used."""

    band: int
    source: str
    name: str
    wavelength_nm: float | None
    reason: str


class Seconds(Result):
    """Wall-clock seconds of each phase."""

    read: float
    fit: float
    write: float


class InputFile(Result):
    """One file that was read."""

    path: str
    size: int
    sha256: str
    shape: tuple[int, int, int] = Field(description="bands, rows, columns")
    crs: str | None


class Estimate(Result):
    """A number with the 2.5th and 97.5th percentiles of its resamples."""

    value: float
    low: float
    high: float


class CurvePoint(Result):
    """One strength of the penalties that was tried, and its squared error on held-out blocks per target variance."""

    ridge: float
    smooth: float
    sparse: float
    error: float


class WeightTrust(Result):
    """How steady one weight is over the resamples."""

    band: int = Field(description="1-based position in the concatenated inputs")
    sign_flip: float | None = Field(description="share of resamples with the other sign; null for a weight of zero")
    rank: float = Field(description="place by size in its output, 1 for the largest")
    rank_low: float
    rank_high: float


class RunRow(Result):
    """Neighbouring bands that cannot be told apart: only the sum of their weights is known."""

    bands: list[int]
    from_nm: float | None
    to_nm: float | None
    total: float = Field(description="sum of the effective weights")
    ci_low: float
    ci_high: float
    cost: float = Field(description="the most that sharing the sum out otherwise adds to the loss, per target variance")


class OutputTrust(Result):
    """How far the weights of one output can be believed."""

    name: str
    curve: list[CurvePoint] = Field(description="what the choice of the regularisation looked at")
    condition: float | None = Field(description="condition number of the correlations of the group; null: infinite")
    centre_nm: Estimate | None = None
    fwhm_nm: Estimate | None = None
    out_of_band: Estimate | None = None
    rank_agreement: float | None = Field(
        None, description="mean rank correlation of the resampled sizes with the fitted ones"
    )
    weights: list[WeightTrust] = Field(default_factory=list)
    runs: list[RunRow] = Field(default_factory=list)


class WindowRow(Result):
    """One window of bands that is needed."""

    bands: list[int]
    from_nm: float | None
    to_nm: float | None
    worth: float = Field(description="what the explained share loses without it")


class NeededBands(Result):
    """Few windows that keep 99 % of the share that all bands explain on held-out blocks, mean over the outputs."""

    windows: list[WindowRow]
    explained: float
    full: float


class Trust(Result):
    """How far the weights can be believed; from what the one pass gathered, without reading pixels again."""

    method: str = Field("", description="how the intervals were found: block bootstrap, or jackknife over folds")
    outputs: list[OutputTrust]
    needed: NeededBands | None


class TrainReport(Result):
    """``report.json``: everything that a training run found."""

    outputs: list[OutputRow]
    weights: list[WeightRow]
    scores: ScoreTable
    baselines: dict[str, ScoreTable] = Field(default_factory=dict, description="same scores, same folds, by method")
    convergence: Convergence
    trust: Trust | None = None
    pixels: PixelCount
    bands_dropped: list[DroppedBand]
    device: str
    seconds: Seconds
    versions: dict[str, str]
    inputs: list[InputFile]
    seed: int


class BandInfo(Result):
    """One band as ``info`` shows it."""

    index: int
    name: str
    wavelength_nm: float | None
    fwhm_nm: float | None
    good: bool
    reason: str


class SceneInfo(Result):
    """One scene as ``info`` shows it."""

    path: str
    driver: str = Field(description="GDAL's driver; of a product its name, and the driver in brackets")
    rows: int
    cols: int
    dtype: str
    crs: str | None
    transform: list[float] = Field(description="affine a, b, c, d, e, f: x = a col + b row + c, y = d col + e row + f")
    nodata: float | None
    scale: float | None = Field(description="null where bands differ")
    bands: list[BandInfo]
    messages: list[str]


class GroupInfo(Result):
    """One group as ``info --groups`` shows it: 1-based band numbers."""

    name: str
    bands: list[int]


class InfoResult(Result):
    """What ``info`` prints."""

    scenes: list[SceneInfo]
    groups: list[GroupInfo] | None = None


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


class EvaluateResult(Result):
    """Scores of saved weights on another image."""

    weights: str
    scene: str
    scores: Scores
    overall: Score = Field(description="of all outputs together: sam in degrees, ergas")
    sampled: int = Field(description="pixels of the sample that mae and sam rest on")
    pixels: PixelCount


class DemoResult(Result):
    """How close the demo's training came to the answer that was built in."""

    folder: str
    rows: list[dict[str, Any]]
