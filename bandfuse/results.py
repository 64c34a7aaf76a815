"""What commands return: models that `--json`, the terminal table and the report are views of."""

from __future__ import annotations

from pathlib import Path
from pkgutil import resolve_name
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from bandfuse.errors import shorten
from bandfuse.summary import Facts, SummarisedFields, Summary, brief, counted, number

Score = dict[str, float | None]
"""Scores by name (r2, rmse, cc, psnr, …) in the target's units; None where a score does not
exist."""

Scores = dict[str, Score]
"""Scores of every output, by the output's name."""


class Result(SummarisedFields, BaseModel):
    """Base of every result model. Numbers that are not finite become null in JSON."""

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="null", defer_build=True)

    def facts(self) -> Facts:
        """Every field, or the count of what it holds."""
        return tuple((name, _listed(value) or brief(value)) for name, value in self)


def _listed(value: object) -> str:
    """How many results of which kind a list holds, and the first words of some of them."""
    if not (isinstance(value, list) and value and isinstance(value[0], Result)):
        return ""
    words = [next((v for _, v in row if isinstance(v, str) and v), "") for row in value]
    names = shorten(dict.fromkeys(filter(None, words)), 4)
    return f"{len(value)} × {type(value[0]).__name__} ({names})"


class OutputRow(Result):
    """One output band of a fusion."""

    name: str
    gain: float
    offset: float
    constraint: str
    ridge: float | None = Field(None, description="strength of the ridge penalty")
    smooth: float | None = Field(None, description="strength of the smoothness penalty")
    sparse: float | None = Field(None, description="strength of the sparsity penalty")
    active_bands: int = Field(
        description="inputs with a weight above a thousandth of the output's largest"
    )
    wavelength_nm: float | None = Field(
        None, description="centre of the target's band, else of the weights"
    )
    fwhm_nm: float | None = Field(
        None, description="width at half maximum of the target's band, else of the weights"
    )
    target_nm: float | None = Field(None, description="centre of the target's band, if it is known")
    target_fwhm_nm: float | None = Field(None, description="width of the target's band")


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
    holdout: Scores | None = Field(
        None, description="on contiguous blocks that were held out in turn"
    )
    split: str = Field(
        "blocks", description="what was held out: blocks, or random pixels (whose scores leak)"
    )
    overall: Scores = Field(
        default_factory=dict,
        description="of all outputs together, for train and holdout: sam in degrees, ergas",
    )
    sampled: int = Field(0, description="pixels of the sample that mae and sam rest on")


class Convergence(Result):
    """How the fit ended. Losses are summed over the outputs, in the units of the loss: squared
    units of the target for mean squared errors, with their penalties."""

    loss: float
    optimum: float | None = Field(
        description="loss of the exact solution; null where the problem is not convex"
    )
    relative_gap: float | None = Field(
        description="largest (loss − optimum) / (loss of the mean target) of all outputs"
    )
    steps: int
    starts: list[list[float]] = Field(
        default_factory=list,
        description="relative losses that each start ended with, for every part that was fitted "
        "from several",
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
    """One strength of the penalties that was tried, and its squared error on held-out blocks per
    target variance."""

    ridge: float
    smooth: float
    sparse: float
    error: float


class WeightTrust(Result):
    """How steady one weight is over the resamples."""

    band: int = Field(description="1-based position in the concatenated inputs")
    sign_flip: float | None = Field(
        description="share of resamples with the other sign; null for a weight of zero"
    )
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
    cost: float = Field(
        description="the most that sharing the sum out otherwise adds to the loss, per target "
        "variance"
    )


class PublishedResponse(Result):
    """A learned response beside the published one, as the bands of the cube see it. Out of band is
    further from its centre than its FWHM; of learned weights their sizes count."""

    band: str = Field(description="the sensor's band")
    coverage: float = Field(
        description="share of the published response within the bands of the cube"
    )
    centre_nm: float | None = Field(
        description="of the published response; null where no band of the cube sees it"
    )
    shift_nm: float | None = Field(
        description="learned minus published centre; null for signed weights"
    )
    similarity: float | None = Field(
        None, description="cosine between learned and published weights; null if all are zero"
    )
    out_of_band: float | None
    out_of_band_published: float | None
    weights: dict[int, float] = Field(
        description="published weights by band number, with the sum of the learned ones"
    )


class OutputTrust(Result):
    """How far the weights of one output can be believed."""

    name: str
    curve: list[CurvePoint] = Field(description="what the choice of the regularisation looked at")
    condition: float | None = Field(
        description="condition number of the correlations of the group; null: infinite"
    )
    centre_nm: Estimate | None = None
    fwhm_nm: Estimate | None = None
    out_of_band: Estimate | None = None
    rank_agreement: float | None = Field(
        None, description="mean rank correlation of the resampled sizes with the fitted ones"
    )
    weights: list[WeightTrust] = Field(default_factory=list)
    runs: list[RunRow] = Field(default_factory=list)
    published: PublishedResponse | None = Field(
        None, description="with sensor: against its published response"
    )


class WindowRow(Result):
    """One window of bands that is needed."""

    bands: list[int]
    from_nm: float | None
    to_nm: float | None
    worth: float = Field(description="what the explained share loses without it")


class NeededBands(Result):
    """Few windows that keep 99 % of the share that all bands explain on held-out blocks, mean over
    the outputs."""

    windows: list[WindowRow]
    explained: float
    full: float


class Trust(Result):
    """How far the weights can be believed; from what the one pass gathered, without reading pixels
    again."""

    method: str = Field(
        "", description="how the intervals were found: block bootstrap, or jackknife over folds"
    )
    outputs: list[OutputTrust]
    needed: NeededBands | None
    sensor: str = Field("", description="the sensor that the responses are compared with")


class SeparatedClass(Result):
    """One class: how well it is found, and its spectrum over the bands that were used."""

    value: int = Field(description="its number: in a raster of labels the value of its pixels")
    name: str = Field(description="as the labels call it; its number where they do not")
    pixels: int = Field(description="labelled pixels that count")
    recall: float | None = Field(
        description="share of its sampled pixels that are found (producer's accuracy)"
    )
    precision: float | None = Field(
        description="share of the pixels found as it that are of it (user's accuracy)"
    )
    f1: float | None = Field(description="harmonic mean of recall and precision")
    mean: list[float] = Field(description="by band, as listed in the table")
    deviation: list[float] = Field(description="standard deviation, by band")


class Separation(Result):
    """The classes of a separability, in order of their numbers."""

    where: Literal["blocks", "random", "train"] = Field(
        description="which pixels were classified: blocks held out in turn, random pixels held "
        "out, or those trained on"
    )
    bands: list[int] = Field(description="1-based positions in the concatenated inputs")
    wavelength_nm: list[float | None]
    rows: list[SeparatedClass]
    confusion: list[list[int]] = Field(
        description="sampled pixels by class (row) and by the class that is found (column)"
    )


class ShiftRow(Result):
    """What an estimate says brings a target onto its scene."""

    dx: float = Field(description="columns of the training grid to move it by")
    dy: float = Field(description="rows of the training grid to move it by")
    x: float = Field(description="the same in units of the grid's CRS, along x")
    y: float = Field(description="the same in units of the grid's CRS, along y")
    error: float = Field(description="standard error of dx and dy, in pixels")
    correlation: float = Field(
        description="of the target, once moved, with what the cube predicts of it"
    )
    before: float = Field(description="the same where the target lies")
    certain: bool = Field(description="whether the estimate is believed")


class AlignedFile(Result):
    """A file that was brought to the training grid."""

    path: str
    pixels: float = Field(description="of the file along the side of a pixel of the grid")
    how: str = Field(description="mean, or majority")


class AlignmentRow(Result):
    """How the files of one scene were brought together."""

    scene: str
    grid: str = Field(description="the file that has the training grid")
    row: int = Field(description="of that file, at which the training grid begins")
    col: int
    rows: int
    cols: int
    files: list[AlignedFile]
    blur: float | None = None
    shift: ShiftRow | None = Field(None, description="estimated between scene and target")
    moved: tuple[float, float] = Field(
        description="columns and rows by which target and labels were moved"
    )
    corrected: bool = Field(description="whether they were moved at all")


class ClassRow(Result):
    """One class of the labels, in the order of the numbers."""

    value: int = Field(description="its number: in a raster of labels the value of its pixels")
    name: str = Field(description="the number itself where the labels have no names")
    pixels: int = Field(description="pixels of the class that were used")


class Kernel(Result):
    """A library of linear algebra that the run used, and the processor kernel that it chose."""

    library: str = Field(description="such as openblas or mkl; torch for torch's own functions")
    version: str
    kernel: str = Field(
        description="such as Haswell or SkylakeX for OpenBLAS, AVX2 for torch; empty if unknown"
    )


class TrainReport(Result):
    """``report.json``: everything that a training run found."""

    outputs: list[OutputRow]
    weights: list[WeightRow]
    scores: ScoreTable
    baselines: dict[str, ScoreTable] = Field(
        default_factory=dict, description="same scores, same folds, by method"
    )
    convergence: Convergence
    trust: Trust | None = None
    separation: Separation | None = Field(
        None, description="how well classes are told apart, for separability"
    )
    pixels: PixelCount
    bands_dropped: list[DroppedBand]
    classes: list[ClassRow] = Field(
        default_factory=list, description="of the labels, with --labels"
    )
    device: str
    seconds: Seconds
    versions: dict[str, str]
    kernels: list[Kernel] = Field(
        default_factory=list,
        description="of the process that fitted; runs of other kernels agree to rounding, not in "
        "their bits",
    )
    inputs: list[InputFile]
    seed: int
    alignment: list[AlignmentRow] = Field(
        default_factory=list, description="of scenes whose files have several grids"
    )
    left_out: dict[str, str] = Field(
        default_factory=dict, description="scenes left out by --skip-broken: the reasons"
    )

    _page: Result | None = PrivateAttr(None)

    def __eq__(self, other: object) -> bool:
        """Equal fields make equal reports."""
        return isinstance(other, TrainReport) and self.__dict__ == other.__dict__

    def keep_page(self, page: Result) -> None:
        """Keep what the page shows beside the report, for :meth:`to_html`."""
        self._page = page

    def to_html(self) -> str:
        """The page of the run: that of ``report.html``, if the report was just made by a training
        that kept it. Else without pictures, blocks and verdict, which report.json does not hold.
        """
        # The room of pages is below this one, and heavy: it is looked up when a page is wanted.
        bare = resolve_name("bandfuse.report.page_data:bare_page")
        title = f"Outputs {shorten((o.name for o in self.outputs), 3)}"
        again = "bandfuse train --config RUN/config.yaml -o NEW_RUN"
        page = self._page or bare(title, again, [FROM_REPORT])
        text: str = resolve_name("bandfuse.report.html:render")(self, page)
        return text

    def summary(self) -> Summary:
        """Outputs and scores, and as a table."""
        measure, train, held = self._measured()
        rows = tuple(
            (o.name, o.constraint, str(o.active_bands), number(train.get(o.name)))
            + ((number(held.get(o.name)),) if held else ())
            for o in self.outputs
        )
        parts = ("training", "held out") if held else ("training",)
        head = ("output", "constraint", "active bands", *(f"{measure} ({p})" for p in parts))
        outputs = counted(len(self.outputs), "output")
        bands = counted(len({w.band for w in self.weights}), "band")
        title = f"TrainReport: {outputs} learned from {bands}"
        return Summary(title, self.facts(), head, rows)

    def facts(self) -> Facts:
        """Outputs, scores, pixels, inputs and times."""
        measure, train, held = self._measured()
        scores = (f"{name} {number(value)}" for name, value in (held or train).items())
        files = (f"{Path(i.path).name} ({' × '.join(map(str, i.shape))})" for i in self.inputs)
        pixels, gap = self.pixels, self.convergence.relative_gap
        seconds = self.seconds.read + self.seconds.fit + self.seconds.write
        return (
            ("outputs", shorten((o.name for o in self.outputs), 8)),
            (f"{measure}, {'held out' if held else 'training'}", shorten(scores, 4)),
            ("pixels", f"{pixels.used} used, {pixels.invalid} invalid"),
            ("bands dropped", str(len(self.bands_dropped) or "")),
            ("gap to the optimum", number(gap)),
            ("inputs", shorten(files, 2)),
            ("seconds", f"{seconds:.1f} on {self.device}"),
        )

    def _measured(self) -> tuple[str, dict[str, float | None], dict[str, float | None]]:
        """The first score, of the training pixels and of those held out, by name."""
        table = self.scores
        measure = next((name for row in table.train.values() for name in row), "")
        parts = (table.train, table.holdout or {})
        train, held = ({name: row.get(measure) for name, row in p.items()} for p in parts)
        return measure, train, held


FROM_REPORT = "made from the report alone: pictures, blocks and verdict were not kept"


class ReportResult(Result):
    """What ``report`` wrote."""

    output: str
    figures: list[str]
    messages: list[str]


class ComparedRun(Result):
    """One run beside others."""

    run: str
    constraints: dict[str, str] = Field(description="by output")
    active_bands: dict[str, int] = Field(description="by output")
    train: Scores
    holdout: Scores | None
    relative_gap: float | None
    pixels: int
    seconds: float
    seed: int


class CompareResult(Result):
    """Runs side by side, and where they are written to."""

    output: str | None
    runs: list[ComparedRun]
    messages: list[str]


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


class InfoResult(Result):
    """What ``info`` prints."""

    scenes: list[SceneInfo]
    groups: list[GroupInfo] | None = None
    vectors: list[VectorInfo] = Field(default_factory=list)


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


class HelpResult(Result):
    """What ``help`` prints: the topics, or the page of one."""

    topics: dict[str, str] = Field(description="what each page is about, by topic")
    topic: str | None = None
    text: str | None = Field(None, description="the page, as Markdown")


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


class EvaluateResult(Result):
    """Scores of saved weights on another image; with labels one row of scores, ``classes``."""

    weights: str
    scene: str
    scores: Scores
    overall: Score = Field(description="of all outputs together: sam in degrees, ergas")
    sampled: int = Field(description="pixels of the sample that mae and sam rest on")
    pixels: PixelCount
    classification: ClassesResult | None = Field(None, description="with labels")
    alignment: list[AlignmentRow] = Field(
        default_factory=list, description="if the files have several grids"
    )
    messages: list[str] = Field(default_factory=list)


class ExportResult(Result):
    """What ``export`` wrote."""

    output: str
    form: str
    outputs: list[str]
    difference: float | None = Field(
        None,
        description="vrt: largest difference to the fusion itself in three windows, relative to "
        "the largest value",
    )
    messages: list[str] = Field(default_factory=list, description="what a user should know")


class BatchItem(Result):
    """One item of a batch: a job on one scene, or on all of them (scene is empty)."""

    job: str
    scene: str = ""
    state: str = Field(description="done, failed or skipped")
    reason: str = Field("", description="why it failed or was skipped, in one line")
    seconds: float = 0.0
    outputs: list[str] = Field(default_factory=list)
    scores: dict[str, float] = Field(
        default_factory=dict, description="means over the outputs, held out where known"
    )
    kept: bool = Field(False, description="finished by an earlier run, and unchanged")
    drift: float | None = Field(
        None,
        description="‖W − M‖ / ‖M‖ of the scene's own weights, M the median over the scenes of the "
        "job",
    )
    messages: list[str] = Field(default_factory=list)


class BatchResult(Result):
    """What ``batch`` did: ``batch.json``."""

    output: str
    done: int
    failed: int
    skipped: int
    kept: int = Field(description="of those done: finished by an earlier run, and unchanged")
    seconds: float
    items: list[BatchItem]


class PlannedItem(Result):
    """One item as ``batch --dry-run`` shows it."""

    job: str
    kind: str
    scene: str
    size: int = Field(description="bytes of its inputs")
    output: str
    needs: str | None


class BatchPlan(Result):
    """What ``batch --dry-run`` prints."""

    output: str
    items: list[PlannedItem]
    size: int = Field(description="bytes of all inputs, each counted as often as it is read")
    seconds: float | None = Field(
        description="estimate from an earlier run's seconds per byte; null without one"
    )


class DemoResult(Result):
    """How close the demo's training came to the answer that was built in."""

    folder: str
    rows: list[dict[str, Any]]


class SensorInfo(Result):
    """One known sensor."""

    name: str
    bands: int
    low_nm: float = Field(description="where the first band falls to half of its peak")
    high_nm: float = Field(description="where the last band falls to half of its peak")
    measured: bool = Field(description="whether its responses are known, not centre and FWHM alone")


class SensorsResult(Result):
    """All known sensors."""

    sensors: list[SensorInfo]


class SensorBandInfo(Result):
    """One band of a sensor, with its response where that is known."""

    name: str
    centre_nm: float
    fwhm_nm: float
    nm: list[float] | None = Field(description="wavelengths of the response; null: a Gaussian")
    response: list[float] | None


class SensorResult(Result):
    """The bands of a sensor."""

    name: str
    origin: str = Field(description="where the responses come from")
    measured: bool
    bands: list[SensorBandInfo]


class InitResult(Result):
    """What ``init`` wrote."""

    output: str
    job: str
    command: str = Field(description="what runs it")


class PlannedScene(Result):
    """One scene of a training that is not run yet."""

    scene: str
    files: list[str]
    rows: int = Field(description="of the grid on which its files meet")
    cols: int
    bands: int
    target_bands: int
    size: int = Field(description="bytes of its pixels, before compression")


class PlannedOutput(Result):
    """One output that will be learned."""

    name: str
    bands: int = Field(description="inputs with a weight to learn")
    low_nm: float | None
    high_nm: float | None


class TrainPlan(Result):
    """What ``train --dry-run`` prints."""

    output: str
    objective: str
    constraint: str
    folds: int
    scenes: list[PlannedScene]
    bands_used: int = Field(description="good bands; dead ones are found when pixels are read")
    bands_flagged: int
    outputs: list[PlannedOutput] = Field(description="empty where groups are made from pixels")
    weights: int | None = Field(description="numbers to learn, beside gains and offsets")
    writes: list[str] = Field(description="files of the run folder")
    seconds: dict[str, float] = Field(description="rough estimate of each phase")
    messages: list[str]
