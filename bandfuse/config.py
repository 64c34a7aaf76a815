"""Config: every setting of every command, declared once. A field is its schema, default, check and
help."""

from __future__ import annotations

import os
from collections.abc import Mapping, Set
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from bandfuse.errors import ConfigError, nearest
from bandfuse.export import FORMS, sentence
from bandfuse.goals import GOALS, Goal, terms_of
from bandfuse.needs import Need, given_of, unmet
from bandfuse.spectral.sensors import is_file

M = TypeVar("M", bound="Config")


def _one_or_many(value: object) -> object:
    """A list from one text or number, or from a mapping (``{blue: 450-520nm}`` for
    ``blue=450-520nm``)."""
    if isinstance(value, Mapping):
        return [f"{k}={v}" for k, v in value.items()]
    return _one_or_list(value)


def _one_or_list(value: object) -> object:
    """A list from one text."""
    return [value] if isinstance(value, (str, Path)) else value


Integers = Annotated[
    list[int], BeforeValidator(lambda value: value if isinstance(value, list) else [value])
]
Texts = Annotated[list[str], BeforeValidator(_one_or_list)]
Pairs = Annotated[list[str], BeforeValidator(_one_or_many)]
"""``NAME=VALUE`` texts; in YAML also a mapping."""


def _texts_of_numbers(value: object) -> object:
    """Texts, of numbers too: a list of numbers is one text."""
    if isinstance(value, dict):
        return [f"{name}={_joined(numbers)}" for name, numbers in value.items()]
    if isinstance(value, (list, tuple)) and any(isinstance(v, str) for v in value):
        return [str(v) for v in value]
    return [_joined(value)] if value not in (None, [], ()) else []


def _joined(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


Numbers = Annotated[list[str], BeforeValidator(_texts_of_numbers)]
"""Numbers between commas, or ``NAME=NUMBERS``, as texts; in YAML also a number, a list of them, or
a mapping."""

Strength = Annotated[float, Field(ge=0, le=1e9)]
"""Of a penalty, relative to the variance of the bands."""


class Config(BaseModel):
    """Base of all settings: unknown keys are errors, values do not change, and none is given that
    has no meaning beside the others (``needs``)."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, defer_build=True)

    needs: ClassVar[tuple[Need, ...]] = ()

    @field_validator("*", mode="before")
    @classmethod
    def _no_flag_is_a_number(cls, value: object, info: ValidationInfo) -> object:
        """``yes`` in YAML is no 1.0."""
        if (
            isinstance(value, bool)
            and cls.model_fields[str(info.field_name)].annotation is not bool
        ):
            raise ValueError("a value, not yes or no")
        return value

    @model_validator(mode="after")
    def _all_have_a_meaning(self, info: ValidationInfo) -> Self:
        """A flag of the command line (``flags`` of the context) has one even where it says the
        default."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        flags = (info.context or {}).get("flags", frozenset())
        for error in unmet(self.needs, given_of(values, self.default_values(), flags), values):
            raise error
        return self

    @classmethod
    def default_values(cls) -> dict[str, Any]:
        """Every setting as it is if it is not given; None for one that must be."""
        fields = cls.model_fields.items()
        return {
            n: None if f.is_required() else f.get_default(call_default_factory=True)
            for n, f in fields
        }


class Running(Config):
    """Settings that change how a command runs, never what it computes."""

    threads: int | None = Field(
        None, ge=1, le=256, description="Reader threads; all cores if not given."
    )
    memory: int | None = Field(
        None,
        ge=16,
        description="Memory for pixels in flight, in MB; an eighth of what is free, 256 at most, "
        "if not given.",
    )
    overwrite: bool = Field(False, description="Replace an existing output.")


class Inputs(Config):
    """The files of one or more scenes."""

    scenes: Texts = Field(default_factory=list, description="Raster files, each a scene.")
    source: Pairs = Field(
        default_factory=list,
        description="NAME=PATH: one of several files of a scene. Repeat in scene order, or give a "
        "template such as swir={parent}/{stem}_swir.tif.",
    )
    wavelengths: Pairs = Field(
        default_factory=list,
        description="FILE with the bands' wavelengths, instead of what the raster says: columns "
        "wavelength, fwhm, good, or an ENVI header; may be a template. NAME=FILE with several "
        "sources; repeat.",
    )

    nodata: Numbers = Field(
        default_factory=list,
        description="Stored value that means missing, in place of what the file declares: one for "
        "all bands, one per band (V1,V2,...), or none. NAME=V with several sources, target=V for "
        "the target; repeat.",
    )


class AnyUnits(Config):
    """Whether values are compared with those of the training."""

    any_units: bool = Field(
        False,
        description="Take values as they are. By default it is an error if those of a scene are 60 "
        "times and more larger or smaller than those of the training (or of the other scenes), or "
        "if an offset holds them apart.",
    )


class Units(AnyUnits):
    """The units of the scenes' values."""

    scale_inputs: float | None = Field(
        None,
        ge=1e-30,
        le=1e30,
        description="Multiply the values of the scenes by this, e.g. 0.0001 for reflectance times "
        "10 000.",
    )


class Limits(Config):
    """Which pixels count."""

    mask: Texts = Field(
        default_factory=list,
        description="Only pixels in here count: a raster (valid and not zero), or polygons in "
        "GeoJSON. One for all scenes, one per scene in order, or a template.",
    )
    bounds: tuple[float, float, float, float] | None = Field(
        None,
        description="Only pixels whose centres are in here count, in the CRS of the training grid.",
    )
    window: tuple[int, int, int, int] | None = Field(
        None,
        description="Only these pixels of the training grid count: first row and column from 0, "
        "rows, columns.",
    )

    @field_validator("bounds")
    @classmethod
    def _ordered(cls, value: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if value is not None and not (value[0] < value[2] and value[1] < value[3]):
            raise ValueError("MINX MINY MAXX MAXY, each minimum below its maximum")
        return value

    @field_validator("window")
    @classmethod
    def _not_empty(cls, value: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if value is not None and not (min(value) >= 0 and min(value[2:]) >= 1):
            raise ValueError("ROW COL ROWS COLS: from 0, and at least one row and column")
        return value


class Aligning(Config):
    """How files on different grids are brought together."""

    shift: Literal["auto"] | tuple[float, float] | None = Field(
        None,
        description="DX,DY: move target and labels by so many columns and rows of the training "
        "grid. auto: by what is estimated.",
    )
    blur: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="See finer images through a Gaussian with this modulation at the Nyquist "
        "frequency of the training grid before they are averaged, e.g. 0.3.",
    )

    @field_validator("shift", mode="before")
    @classmethod
    def _two_numbers(cls, value: object) -> object:
        if isinstance(value, str) and value != "auto":
            try:
                dx, dy = (float(word) for word in value.split(","))
            except ValueError:
                raise ValueError("auto, or DX,DY: two numbers such as 0.5,-1") from None
            return dx, dy
        return value


class TrainConfig(Inputs, Units, Limits, Aligning, Running):
    """Settings of ``bandfuse train``. What depends on the objective is refused by
    :func:`bandfuse.training.settings.resolve`."""

    needs = (
        Need("lr schedule batch_size patience checkpoint", "optimizer", ("adam", "adamw", "sgd")),
        Need("momentum", "optimizer", ("sgd",)),
        Need("weight_decay", "optimizer", ("adamw",)),
        Need("checkpoint_every", "checkpoint"),
        Need("huber_delta", "loss", ("huber",)),
        Need("stac", "no_fused", (False,)),
        Need("figures", "no_report", (False,)),
    )

    output: str | None = Field(None, description="Folder of the run, made new.")
    target: Texts = Field(
        default_factory=list,
        description="Raster to learn to predict, on any grid. One per scene in order, or a "
        "template such as {parent}/{stem}_t.tif.",
    )
    labels: Texts = Field(
        default_factory=list,
        description="Classes for separability: a raster of one band with whole numbers, or "
        "polygons in GeoJSON. One per scene in order, or a template.",
    )
    label_field: str | None = Field(
        None, min_length=1, description="Property of GeoJSON features that is the class."
    )
    unlabelled: Integers = Field(
        default_factory=list, description="Number in the labels that is no class. Repeat."
    )
    balance: bool = Field(
        False, description="Let every class count the same, however many pixels it has."
    )
    objective: str | None = Field(
        None,
        description="regression: match the target. reconstruction: keep what rebuilds the cube. "
        "separability: separate the classes of the labels. snr: much signal, little noise. Or a "
        "sum: reconstruction + 0.5*snr. By default regression with a target, separability with "
        "labels, else reconstruction.",
    )
    group: Pairs = Field(
        default_factory=list,
        description="NAME=SPEC: one band group, e.g. blue=450-520nm or vis=1-30,35. Repeat.",
    )
    groups: str | None = Field(
        None,
        min_length=1,
        description="Several groups at once: equal:8, correlation:8, cluster:8, "
        "sensor:sentinel-2a, regions, file:groups.yaml; or one group: 450-900nm, 1-30,35, all.",
    )
    sensor: str | None = Field(
        None,
        min_length=1,
        description="Compare the learned weights with the published responses of this sensor, by "
        "the outputs' names or order: sentinel-2a, …, or a CSV file. It changes no weight.",
    )
    fuse: Literal["within", "across"] = Field(
        "within",
        description="within: each group becomes one output band. across: groups are combined "
        "channel by channel.",
    )
    overlap: Literal["keep", "first", "last", "sharper"] = Field(
        "keep",
        description="Where the wavelengths of two detectors overlap: keep the bands of both, or of "
        "the first, the last, or the one with narrower bands.",
    )
    fixed: Texts = Field(
        default_factory=list, description="Name of a group that enters with weight 1, not learned."
    )
    weights: Literal["scalar", "channel", "instance"] = Field(
        "channel", description="One weight per group, per band, or per scene and group."
    )
    scope: Literal["shared", "per-scene"] = Field(
        "shared",
        description="per-scene: every scene has weights of its own, beside the common ones.",
    )
    pooling: Strength | Literal["auto"] | None = Field(
        None,
        description="How strongly the weights of a scene are pulled to the common ones; 0: not at "
        "all. auto: chosen on held-out blocks of every scene. By default auto with per-scene, 0 "
        "with weights instance.",
    )
    constraint: Literal["auto", "free", "affine", "nonnegative", "simplex"] | None = Field(
        None,
        description="Per output: free; affine (sum one); nonnegative; simplex (nonnegative, sum "
        "one); auto: nonnegative and smooth unless that costs over 0.1 % of the target's variance "
        "on held-out blocks, else free with ridge. By default auto for regression (affine with "
        "--gain; nonnegative for instance weights, and for activations and losses on a pixel "
        "sample), simplex for reconstruction, free for separability and snr.",
    )
    ridge: Strength | Literal["auto"] | None = Field(
        None,
        description="Strength of the ridge penalty, or auto: chosen on held-out blocks. By default "
        "auto with constraint auto, else 0. For separability and snr a part of the variances that "
        "is added to the scatter within classes (0.03 by default) and to the noise (0).",
    )
    smooth: Strength | Literal["auto"] | None = Field(
        None,
        description="Strength of the smoothness penalty along wavelength, or auto; by default as "
        "for ridge.",
    )
    sparse: Strength | Literal["auto"] | None = Field(
        None,
        description="Price of the weights' sizes, which makes most of them zero, or auto; 0 by "
        "default.",
    )
    gain: bool = Field(
        False, description="Learn a gain >= 0 beside affine or simplex weights (regression)."
    )
    no_offset: bool = Field(False, description="Do not learn an offset (regression).")
    activation: Literal["identity", "relu", "leaky_relu", "sigmoid", "tanh", "softplus"] = Field(
        "identity",
        description="Applied after the sum. Others than identity are trained on a pixel sample.",
    )
    loss: Literal["mse", "mae", "huber", "sam", "cosine", "custom"] = Field(
        "mse",
        description="What regression minimises: mse, mae, huber, sam (spectral angle), cosine (1 - "
        "cosine similarity); custom is a function of your own, in Python. Others than mse are "
        "trained on a pixel sample.",
    )
    huber_delta: float = Field(
        1.0,
        gt=0,
        description="Where huber turns from square to straight, in standard deviations of the "
        "target.",
    )
    init: Literal["auto", "uniform", "normal", "xavier", "response", "least-squares"] = Field(
        "auto",
        description="Where training starts. auto: the exact optimum where it is known and lbfgs is "
        "used, else uniform, as wide as the target where no sum is given.",
    )
    starts: int = Field(
        3,
        ge=1,
        le=1000,
        description="Seeded starts where no exact optimum is known from moments; the best is kept.",
    )
    optimizer: Literal["lbfgs", "adam", "adamw", "sgd"] = Field(
        "lbfgs", description="How the loss is minimised."
    )
    steps: int | None = Field(
        None, ge=0, description="Most steps: 1000 for lbfgs, 3000 for the others."
    )
    lr: float | None = Field(
        None, gt=0, le=1e6, description="Learning rate of adam, adamw and sgd: 0.05 if not given."
    )
    momentum: float = Field(0.9, ge=0, lt=1, description="Momentum of sgd.")
    weight_decay: float = Field(0.01, ge=0, description="Weight decay of adamw.")
    schedule: Literal["constant", "cosine", "step"] | None = Field(
        None,
        description="How the learning rate falls. step: a tenth after 1/2 and 3/4 of the steps. By "
        "default cosine for adam and adamw, constant for sgd.",
    )
    batch_size: int = Field(
        1024,
        ge=0,
        description="Pixels per step of adam, adamw and sgd on a pixel sample; 0: all of them.",
    )
    patience: int = Field(
        20,
        ge=0,
        description="On a pixel sample, adam, adamw and sgd hold a fifth of the blocks out, stop "
        "after this many epochs without a better loss there, and keep the best weights; 0: use all "
        "pixels and never stop early.",
    )
    checkpoint: str | None = Field(
        None,
        description="File that keeps the state of adam, adamw and sgd. If it exists, training goes "
        "on from it, and ends in the same bits.",
    )
    checkpoint_every: float = Field(
        10.0, ge=0, description="Seconds between two writes of the checkpoint."
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        "auto",
        description="Where moments and fit are computed; auto takes cuda where there is one.",
    )
    precision: Literal["auto", "float64", "float32"] = Field(
        "auto",
        description="Of the products that moments are made of, which are added up in float64. "
        "auto: float32 where the bands are many, and so little alike that no weight changes by "
        "more than 0.01 %; else float64.",
    )
    max_pixels: int | None = Field(
        None,
        ge=1,
        description="Read only about so many pixels, in seeded parts of the scenes; all if not "
        "given.",
    )
    seed: int = Field(0, ge=0, lt=2**63, description="Seed of everything random.")
    split: Literal["blocks", "random"] = Field(
        "blocks",
        description="What is held out. random: single pixels, whose neighbours are trained on: "
        "scores leak, and are better than elsewhere.",
    )
    folds: int = Field(
        5,
        ge=0,
        le=100,
        description="Runs of blocks that are held out in turn, to choose the regularisation and "
        "for the hold-out scores; 0: none, and nothing is chosen.",
    )
    nodata_policy: Literal["strict", "renormalise"] = Field(
        "strict",
        description="Fused pixels with a missing input: nodata (strict), or from the bands present "
        "(renormalise).",
    )
    skip_broken: bool = Field(
        False,
        description="Leave out scenes that cannot be read, hold no data or do not fit the others, "
        "and say so. By default the first of them ends the training.",
    )
    stac: bool = Field(
        False, description="Write a STAC item beside each fused raster: NAME.stac.json."
    )
    no_fused: bool = Field(False, description="Do not write fused rasters.")
    no_report: bool = Field(False, description="Do not write report.html.")
    figures: bool = Field(
        False, description="Also write the figures of report.html as files: figures/*.svg, *.png."
    )

    @field_validator("objective")
    @classmethod
    def _sum_of_objectives(cls, value: str | None) -> str | None:
        if value is not None:
            terms_of(value)
        return value

    @property
    def per_scene(self) -> bool:
        """Whether scenes have weights of their own."""
        return self.scope == "per-scene" or self.weights == "instance"

    @property
    def terms(self) -> dict[str, float]:
        """The objectives with their factors; the first is the main one. Needs an objective."""
        return terms_of(str(self.objective))

    @property
    def goals(self) -> list[Goal]:
        """The objectives, the main one first: that is scored."""
        return [GOALS[name] for name in self.terms]

    @property
    def gathers(self) -> set[str]:
        """What the pass gathers for them: targets, classes, noise."""
        return {goal.gathers for goal in self.goals if goal.gathers}

    @property
    def sampled(self) -> bool:
        """Whether the loss depends on more than the moments of the pixels."""
        return self.activation != "identity" or self.loss != "mse"

    @property
    def from_moments(self) -> bool:
        """Whether it is a regression and nothing else, and moments are all that it needs."""
        return all(goal.matches for goal in self.goals) and not self.sampled

    @property
    def assessed(self) -> bool:
        """Whether its blocks can be held out and drawn again: common weights, from moments."""
        return self.from_moments and not self.per_scene

    @field_validator("folds")
    @classmethod
    def _two_or_none(cls, value: int) -> int:
        if value == 1:
            raise ValueError("0, or 2 and more: with one run nothing is left to learn from")
        return value


INTEGERS = ("uint8", "int16", "uint16", "int32")
"""Types of an output that need a scale."""

STORED: tuple[Need, ...] = (Need("scale offset_out", "dtype", INTEGERS),)


class Encoded(Config):
    """How fused values are stored."""

    needs: ClassVar[tuple[Need, ...]] = STORED

    dtype: Literal["float32", "float64", "uint8", "int16", "uint16", "int32"] = Field(
        "float32", description="Type of the output. Integers need --scale."
    )
    scale: float | None = Field(
        None, ge=1e-30, le=1e30, description="Integer output: value = stored * scale + offset-out."
    )
    offset_out: float | None = Field(
        None, ge=-1e30, le=1e30, description="Integer output: the value that is stored as 0."
    )
    driver: str | None = Field(
        None, min_length=1, description="GDAL driver of the output; by default by its ending."
    )
    co: Pairs = Field(
        default_factory=list, description="KEY=VALUE: creation option of the driver. Repeat."
    )


def ending_of(driver: str | None) -> str:
    """The ending of rasters that are named after their scenes."""
    return ".zarr" if driver is not None and driver.lower() == "zarr" else ".tif"


class ApplyConfig(Inputs, Units, Encoded, Running):
    """Settings of ``bandfuse apply``."""

    needs = (
        *STORED,
        Need("min_coverage", "resample"),
        Need("resample nodata_policy use_common", "inverse", (False,)),
    )

    output: str | None = Field(
        None, description="Raster to write; with several scenes a folder or a template."
    )
    stac: bool = Field(False, description="Write a STAC item beside each raster: NAME.stac.json.")
    nodata_policy: Literal["strict", "renormalise"] | None = Field(
        None, description="Pixels with a missing input; by default as in training."
    )
    use_common: bool = Field(
        False, description="Per-scene weights: use the common ones for a scene not in training."
    )
    device: Literal["cpu", "cuda"] = Field("cpu", description="Where the products are computed.")
    resample: bool = Field(
        False,
        description="Move the weights to a cube of other wavelengths: as a density over "
        "wavelength.",
    )
    min_coverage: float | None = Field(
        None,
        ge=0,
        le=1,
        description="With --resample: the least share of every output's weight that must find "
        "bands, 0.95 by default.",
    )
    inverse: bool = Field(
        False,
        description="The other way: rebuild the cube from a raster that weights of a "
        "reconstruction have fused.",
    )


class ResampleConfig(Inputs, Encoded, Running):
    """Settings of ``bandfuse resample``."""

    needs = (
        Need("stac dtype scale offset_out driver co device", "weights_only", (False,)),
        *STORED,
    )

    sensor: str | None = Field(
        None,
        min_length=1,
        description="A known sensor (sentinel-2a, landsat-8-oli, enmap, …), or a CSV file: "
        "wavelength_nm,B1,B2,… or name,centre_nm,fwhm_nm.",
    )
    output: str | None = Field(
        None,
        description="Raster to write, its weights beside it as NAME.weights.safetensors; with "
        "several scenes a folder or a template.",
    )
    stac: bool = Field(False, description="Write a STAC item beside each raster: NAME.stac.json.")
    weights_only: bool = Field(
        False, description="Write no raster: the output is the weights file, *.safetensors."
    )
    min_coverage: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Bands of the sensor are left out of which the cube's bands cover less than "
        "this share of the response.",
    )
    nodata_policy: Literal["strict", "renormalise"] = Field(
        "strict",
        description="Pixels with a missing input: nodata (strict), or from the bands present "
        "(renormalise).",
    )
    device: Literal["cpu", "cuda"] = Field("cpu", description="Where the products are computed.")


class EvaluateConfig(Inputs, Units, Limits, Aligning, Running):
    """Settings of ``bandfuse evaluate``."""

    target: Texts = Field(default_factory=list, description="Raster with the true values.")
    use_common: bool = Field(
        False, description="Per-scene weights: use the common ones for a scene not in training."
    )


if TYPE_CHECKING:
    FormName = str
else:
    FormName = Literal[tuple(FORMS)]


class ExportConfig(AnyUnits):
    """Settings of ``bandfuse export``."""

    needs = (Need("form", "to", ("vrt",)), Need("pan", "to", ("pansharpen",)))

    to: FormName = Field(description=sentence())
    output: str | None = Field(None, description="File to write.")
    scene: str | None = Field(
        None, description="Raster that the form is for: vrt, pansharpen and bandmathx."
    )
    pan: str | None = Field(None, description="Panchromatic image, for pansharpen.")
    form: Literal["derived", "processed"] = Field(
        "derived",
        description="Of a vrt. derived: GDAL 3.4 and later. processed: GDAL 3.9 and later, "
        "quicker; outputs of different bands only where no value is missing.",
    )
    use_common: bool = Field(False, description="Per-scene weights: use the common ones.")
    overwrite: bool = Field(False, description="Replace an existing output.")


class ReportConfig(Config):
    """Settings of ``bandfuse report``."""

    output: str | None = Field(None, description="HTML file to write.")
    figures: str | None = Field(
        None, description="Also write the figures as files into this folder, made new."
    )
    overwrite: bool = Field(False, description="Replace an existing output.")


class CompareConfig(Config):
    """Settings of ``bandfuse compare``."""

    needs = (Need("overwrite", "output"),)

    output: str | None = Field(
        None, description="HTML file to write; nothing is written if not given."
    )
    overwrite: bool = Field(False, description="Replace an existing output.")


def build(
    model: type[M],
    given: Mapping[str, Any],
    where: Mapping[str, str] | None = None,
    flags: Set[str] = frozenset(),
) -> M:
    """Check settings; ``where`` says by key where a setting was made, ``flags`` which of them are
    flags of the command line.

    Raises
    ------
    ConfigError : the first thing that does not fit, with the nearest known key or the values
        allowed."""
    try:
        return model.model_validate(dict(given), context={"flags": flags})
    except ValidationError as error:
        raise _explain(model, error, where or {}) from error


def _explain(model: type[Config], error: ValidationError, where: Mapping[str, str]) -> ConfigError:
    """Say what does not fit: by its flag if it was given on the command line, by its key if in a
    file."""
    every = error.errors()
    key = str(every[0]["loc"][0])
    place = where.get(key)
    if every[0]["type"] == "extra_forbidden":
        at = f" in {place}" if place else ""
        return ConfigError(f"unknown key {key!r}{at}", remedy=nearest(key, model.model_fields))
    if every[0]["type"] == "missing":
        return ConfigError(
            f"no --{key} is given", expected=model.model_fields[key].description or "a value"
        )
    here = [e for e in every if e["loc"][0] == key]
    expected = " or ".join(dict.fromkeys(_plainly(e["msg"]) for e in here))
    name = f"{key} in {place}" if place else f"--{key.replace('_', '-')}"
    return ConfigError(name, got=_shown(here[0]["input"]), expected=expected)


def _plainly(message: str) -> str:
    """A message of pydantic without its own words."""
    for words in ("Input should be ", "String should have ", "Value error, "):
        message = message.removeprefix(words)
    parse = ", unable to parse string as a number"
    return message.removesuffix(parse).removesuffix(", unable to parse string as an integer")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"


NOT_RESULTS = {
    "output",
    "overwrite",
    "threads",
    "memory",
    "no_fused",
    "no_report",
    "figures",
    "checkpoint",
    "checkpoint_every",
    "stac",
}
"""Settings of a training that do not change the weights: left out of a run's config.yaml."""

PATHS = ("scenes", "source", "wavelengths", "target", "labels", "mask")
"""Settings that are lists of paths."""


def named_file(groups: str) -> str:
    """The file that ``file:groups.yaml`` or ``sensor:mine.csv`` names; empty where none is
    named."""
    word, _, path = groups.partition(":")
    return path if word == "file" or (word == "sensor" and is_file(path)) else ""


def rebased(given: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Settings whose relative paths are relative to a folder, made absolute."""
    result = dict(given)
    for key in PATHS:
        value = (_one_or_many if key in ("source", "wavelengths") else _one_or_list)(
            result.get(key)
        )
        if isinstance(value, list):
            pairs = key == "source" or (
                key == "wavelengths" and any("=" in str(text) for text in value)
            )
            result[key] = [_rebase(str(text), folder, named=pairs) for text in value]
    groups = result.get("groups")
    if isinstance(groups, str) and (path := named_file(groups)):
        result["groups"] = f"{groups.partition(':')[0]}:{_rebase(path, folder)}"
    if isinstance(result.get("sensor"), str) and (path := named_file(f"sensor:{result['sensor']}")):
        result["sensor"] = _rebase(path, folder)
    for key in ("output", "checkpoint"):
        if isinstance(result.get(key), str):
            result[key] = _rebase(result[key], folder)
    return result


def _rebase(text: str, folder: Path, *, named: bool = False) -> str:
    """One path, or ``NAME=PATH``; templates, GDAL's virtual files, subdatasets and URLs stay as
    they are."""
    name, equals, path = text.partition("=") if named else ("", "", text)
    if named and not equals:
        return text
    there = os.path.exists(folder / path)
    virtual = (path.startswith("{") and not there) or path.startswith("/vsi") or "://" in path
    subdataset = ":" in path and not there and not Path(path).drive
    return text if virtual or subdataset else f"{name}{equals}{(folder / path).absolute()}"
