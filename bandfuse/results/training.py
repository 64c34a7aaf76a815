"""Training: what a training says of itself, and what it would do."""

from __future__ import annotations

from pathlib import Path
from pkgutil import resolve_name
from typing import Literal

from pydantic import Field, PrivateAttr

from bandfuse.errors import shorten
from bandfuse.results.base import AlignmentRow, PixelCount, PlaceRow, Result, Scores
from bandfuse.summary import Facts, Summary, counted, number

FROM_REPORT = "made from the report alone: pictures, blocks and verdict were not kept"


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
        None, description="on contiguous blocks, or scenes, that were held out in turn"
    )
    split: str = Field(
        "blocks",
        description="what was held out: blocks, scenes, or random pixels (whose scores leak)",
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


class OutputError(Result):
    """How far an output may be off."""

    residual: float = Field(
        description="root mean square error on the training pixels, in the target's units"
    )
    of_weights: float = Field(
        description="share of the variance of the error that comes from what is not known of the "
        "weights, mean over sampled pixels"
    )
    scale: float = Field(
        description="what standard deviations are multiplied by, so that 90 % intervals hold 90 % "
        "of the held-out pixels"
    )
    coverage: float | None = Field(
        description="part of the held-out pixels within their 90 % intervals, whose scale was "
        "found on the other folds; null without folds"
    )
    rank: float | None = Field(
        description="rank correlation of the pixels' standard deviations with the sizes of their "
        "errors"
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
    error: OutputError | None = Field(
        None, description="how far the output may be off; null where nothing tells"
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

    where: Literal["blocks", "scenes", "random", "train"] = Field(
        description="which pixels were classified: blocks or scenes held out in turn, random "
        "pixels held "
        "out, or those trained on"
    )
    bands: list[int] = Field(description="1-based positions in the concatenated inputs")
    wavelength_nm: list[float | None]
    rows: list[SeparatedClass]
    confusion: list[list[int]] = Field(
        description="sampled pixels by class (row) and by the class that is found (column)"
    )


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
    device: dict[str, PlaceRow] = Field(
        description="where each part ran: pass, fit, refits, and apply for the fused rasters"
    )
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
            ("seconds", f"{seconds:.1f} on {self.devices}"),
        )

    @property
    def devices(self) -> str:
        """Where the parts ran, in a few words: ``cpu``, or each part with its own."""
        places = {part: str(row) for part, row in self.device.items()}
        if len(set(places.values())) == 1:
            return next(iter(places.values()))
        return ", ".join(f"{part} on {where}" for part, where in places.items())

    def _measured(self) -> tuple[str, dict[str, float | None], dict[str, float | None]]:
        """The first score, of the training pixels and of those held out, by name."""
        table = self.scores
        measure = next((name for row in table.train.values() for name in row), "")
        parts = (table.train, table.holdout or {})
        train, held = ({name: row.get(measure) for name, row in p.items()} for p in parts)
        return measure, train, held


class PlannedScene(Result):
    """One scene of a training that is not run yet."""

    scene: str
    files: list[str]
    rows: int = Field(description="of the grid on which its files meet")
    cols: int
    bands: int
    target_bands: int
    size: int = Field(description="bytes of its pixels, before compression")
    quality: list[str] = Field(
        default_factory=list, description="words of the quality layers that leave pixels out"
    )


class PlannedOutput(Result):
    """One output that will be learned."""

    name: str
    bands: int = Field(description="inputs with a weight to learn")
    low_nm: float | None
    high_nm: float | None


class PlannedSample(Result):
    """The pixels that are drawn to train on."""

    pixels: int = Field(description="at most: pixels that do not count are not drawn")
    dtype: str = Field(description="the type they are kept in, by their number alone")
    megabytes: float = Field(description="memory of the sample")


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
    sample: PlannedSample | None = Field(
        None, description="for losses and activations; null where moments are enough"
    )
    writes: list[str] = Field(description="files of the run folder")
    seconds: dict[str, float] = Field(description="rough estimate of each phase")
    messages: list[str]
