"""Train: the settings of ``bandfuse train``, one class per section of its help."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from bandfuse.config.base import Config, Pairs, Strength, Texts
from bandfuse.config.inputs import Aligning, Inputs, Labelling, Limits, Units
from bandfuse.config.outputs import Replacing, Running
from bandfuse.goals import GOALS, TRAINED_ON, Goal, terms_of
from bandfuse.needs import Need

Constraint = Literal["auto", "free", "affine", "nonnegative", "simplex", "bandpass"]
"""What the weights of an output may be."""


class Truth(Labelling):
    """What weights are learned from, beside the scenes."""

    section: ClassVar[str] = "Inputs"

    target: Texts = Field(
        default_factory=list,
        description="Raster to learn to predict, on any grid. One per scene in order, or a "
        "template such as {parent}/{stem}_t.tif.",
    )
    skip_broken: bool = Field(
        False,
        description="Leave out scenes that cannot be read, hold no data or do not fit the others, "
        "and say so. By default the first of them ends the training.",
    )


class Learning(Config):
    """What is learned."""

    section: ClassVar[str] = "What to learn"

    objective: str | None = Field(
        None,
        description="regression: match the target. reconstruction: keep what rebuilds the cube. "
        "separability: separate the classes of the labels. snr: much signal, little noise. Or a "
        "sum: reconstruction + 0.5*snr. By default regression with a target, separability with "
        "labels, else reconstruction.",
    )
    balance: bool = Field(
        False, description="Let every class count the same, however many pixels it has."
    )
    fuse: Literal["within", "across"] = Field(
        "within",
        description="within: each group becomes one output band. across: groups are combined "
        "channel by channel.",
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
    activation: Literal["identity", "relu", "leaky_relu", "sigmoid", "tanh", "softplus"] = Field(
        "identity",
        description="Applied after the sum. Others than identity are trained on a pixel sample.",
    )
    gain: bool = Field(
        False, description="Learn a gain >= 0 beside affine or simplex weights (regression)."
    )
    no_offset: bool = Field(False, description="Do not learn an offset (regression).")
    no_tags: bool = Field(
        False,
        description="Do not use the centres and widths that the target's file states for its "
        "bands: by default a bandpass response starts from them.",
    )
    sensor: str | None = Field(
        None,
        min_length=1,
        description="Compare the learned weights with the published responses of this sensor, by "
        "the outputs' names or order: sentinel-2a, …, or a CSV file. It changes no weight.",
    )

    @field_validator("objective")
    @classmethod
    def _sum_of_objectives(cls, value: str | None) -> str | None:
        if value is not None:
            terms_of(value)
        return value


class Grouping(Config):
    """Which bands are combined."""

    section: ClassVar[str] = "Groups"

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
    outputs: int | None = Field(
        None,
        ge=1,
        description="K free outputs of each group, the most important first: the K leading "
        "principal components (reconstruction), linear discriminants (separability) or noise "
        "fractions (snr). Free weights by default.",
    )
    fixed: Texts = Field(
        default_factory=list, description="Name of a group that enters with weight 1, not learned."
    )


class Detectors(Config):
    """Which bands of detectors that see the same wavelengths are used."""

    section: ClassVar[str] = "Groups"

    overlap: Literal["keep", "first", "last", "sharper"] = Field(
        "keep",
        description="Where the wavelengths of two detectors overlap: keep the bands of both, or of "
        "the first, the last, or the one with narrower bands.",
    )


class Constraining(Config):
    """What weights may be, and what is paid for them."""

    section: ClassVar[str] = "Constraints and penalties"

    constraint: Constraint | None = Field(
        None,
        description="Per output: free; affine (sum one); nonnegative; simplex (nonnegative, sum "
        "one); bandpass (nonnegative, one lobe along wavelength); auto: bandpass, or nonnegative "
        "and smooth where that is better on held-out blocks, or free with ridge where both cost "
        "over 0.1 % of the target's variance. By default auto for regression (affine with --gain; "
        "nonnegative for instance weights, and for activations and losses on a pixel sample), "
        "simplex for reconstruction, free for separability and snr.",
    )
    ridge: Strength | Literal["auto"] | None = Field(
        None,
        description="Strength of the ridge penalty, or auto: chosen on held-out blocks. By default "
        "auto with constraint auto, else 0. For separability and snr a part of the variances that "
        "is added to the scatter within classes (default: 0.0001 to 0.03, more where "
        "pixels are few) and to the noise (0).",
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


class Registering(Config):
    """What is done about a target that lies beside its scene."""

    section: ClassVar[str] = "Grids"

    registration: Literal["auto", "on", "off"] = Field(
        "auto",
        description="For true weights where target and scene lie apart: slopes of the cube are "
        "learned beside the weights and absorb the effect of the shift. auto: where a shift "
        "of over 0.1 pixels is estimated, for a regression of one scene, unless --shift, --loss "
        "or --activation is given; targets of several scenes are not registered. Outputs stay "
        "where the scene is. --shift auto moves the target instead, which makes predictions "
        "better, but not weights.",
    )


class Optimising(Config):
    """How the loss is minimised."""

    section: ClassVar[str] = "Optimiser"

    optimizer: Literal["lbfgs", "adam", "adamw", "sgd"] = Field(
        "lbfgs", description="How the loss is minimised."
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
    sample: Annotated[int, Field(ge=1)] | Literal["all"] = Field(
        TRAINED_ON,
        description="Pixels that losses and activations are trained on, drawn in the pass over the "
        "files and kept in memory; all: every pixel. Large samples are kept in float32.",
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


class Seeded(Config):
    """What everything random rests on."""

    section: ClassVar[str] = "Optimiser"

    seed: int = Field(0, ge=0, lt=2**63, description="Seed of everything random.")


class Trusting(Config):
    """How far the weights can be trusted."""

    section: ClassVar[str] = "Trust"

    folds: int = Field(
        5,
        ge=0,
        le=100,
        description="Runs of blocks that are held out in turn, to choose the regularisation and "
        "for the hold-out scores; 0: none, and nothing is chosen.",
    )
    split: Literal["blocks", "scenes", "random"] = Field(
        "blocks",
        description="What is held out: blocks of pixels. scenes: whole scenes, each alone unless "
        "--folds is given. random: single pixels, whose neighbours are trained on: scores leak, "
        "and are better than elsewhere.",
    )

    @field_validator("folds")
    @classmethod
    def _two_or_none(cls, value: int) -> int:
        if value == 1:
            raise ValueError("0, or 2 and more: with one run nothing is left to learn from")
        return value


class Computing(Running):
    """Where a training runs, and how exactly."""

    section: ClassVar[str] = "Where it runs"

    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        "auto",
        description="Where moments, fit and fused rasters are computed; auto takes a CUDA GPU for "
        "each part that is quicker there.",
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


class Writing(Replacing):
    """What a run folder holds."""

    section: ClassVar[str] = "Outputs"

    output: str | None = Field(
        None,
        description="Folder of the run, made new; where its name ends in a slash, with the folders "
        "above it.",
    )
    nodata_policy: Literal["strict", "renormalise"] = Field(
        "strict",
        description="Fused pixels with a missing input: nodata (strict), or from the bands present "
        "(renormalise).",
    )
    stac: bool = Field(
        False, description="Write a STAC item beside each fused raster: NAME.stac.json."
    )
    style: bool = Field(
        False,
        description="Write a QGIS style beside each fused raster, NAME.qml: natural colour where "
        "outputs cover red, green and blue.",
    )
    no_fused: bool = Field(False, description="Do not write fused rasters.")
    no_report: bool = Field(
        False, description="Do not write report.html; a sharpening is then not scored either."
    )
    figures: bool = Field(
        False, description="Also write the figures of report.html as files: figures/*.svg, *.png."
    )


class Gathering(Computing, Seeded, Detectors, Aligning, Registering, Limits, Units, Truth, Inputs):
    """All settings that decide what the pass over the pixels finds, beside the objective."""

    section: ClassVar[str] = "Inputs"


class Regathering(Config):
    """What was gathered before."""

    section: ClassVar[str] = "Inputs"

    moments: Texts = Field(
        default_factory=list,
        description="File that bandfuse moments has written, in the place of scenes: no pixel is "
        "read. Repeat, or give a folder or a pattern in quotes such as '*.moments'.",
    )


class TrainConfig(
    Writing,
    Computing,
    Trusting,
    Seeded,
    Optimising,
    Constraining,
    Detectors,
    Grouping,
    Learning,
    Aligning,
    Registering,
    Limits,
    Units,
    Truth,
    Regathering,
    Inputs,
):
    """Settings of ``bandfuse train``. What depends on the objective is refused by
    :func:`bandfuse.training.settings.defaults.resolve`."""

    most_used: ClassVar[tuple[str, ...]] = (
        "target",
        "labels",
        "source",
        "groups",
        "group",
        "objective",
        "constraint",
        "mask",
        "quality",
        "output",
        "overwrite",
    )

    needs = (
        Need("lr schedule batch_size patience checkpoint", "optimizer", ("adam", "adamw", "sgd")),
        Need("momentum", "optimizer", ("sgd",)),
        Need("weight_decay", "optimizer", ("adamw",)),
        Need("checkpoint_every", "checkpoint"),
        Need("huber_delta", "loss", ("huber",)),
        Need("stac style", "no_fused", (False,)),
        Need("figures", "no_report", (False,)),
    )

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
    "style",
}
"""Settings of a training that do not change the weights: left out of a run's config.yaml."""
