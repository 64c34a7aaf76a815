"""Settings: those of a training with every default filled in, and none that excludes another."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from bandfuse.config import PATHS, TrainConfig, rebased
from bandfuse.errors import ConfigError

if TYPE_CHECKING:
    from bandfuse.optimise.losses import LossFunction


DESCENTS = ("adam", "adamw", "sgd")
"""Optimizers that take minibatches and can stop early."""


def is_sampled(config: TrainConfig) -> bool:
    """Whether the loss depends on more than the moments of the pixels."""
    return config.activation != "identity" or config.loss != "mse"


def with_loss(config: TrainConfig, loss: LossFunction | None) -> TrainConfig:
    """The settings of a run with a user's own loss function, or without one.

    Raises
    ------
    ConfigError : two losses, or the name ``custom`` without a function.
    """
    if loss is None:
        if config.loss == "custom":
            raise ConfigError(
                "loss custom needs a function", expected="bandfuse.train(config, loss=function) in Python",
                remedy="On the command line, use --loss mse, mae, huber, sam or cosine.",
            )  # fmt: skip
        return config
    if config.loss not in ("mse", "custom"):
        raise ConfigError(f"loss {config.loss} and a loss function exclude each other", remedy="Use one of them.")
    return config.model_copy(update={"loss": "custom"})


CLASS_RIDGE = 0.03
"""Ridge of separability if none is given: without it, many bands and few blocks of labels are fitted too closely."""

Clash = tuple[bool, str, str]
"""Whether it is so, what cannot be, and what to do."""


def is_assessed(config: TrainConfig) -> bool:
    """A regression of common weights that needs nothing but moments: blocks can be held out and drawn again."""
    return [*config.terms] == ["regression"] and not is_sampled(config) and not config.per_scene


def resolve(config: TrainConfig) -> TrainConfig:
    """Fill in the defaults that depend on other settings.

    Raises
    ------
    ConfigError : settings that exclude each other.
    """
    by_files = "regression" if config.target else "separability" if config.labels else "reconstruction"
    objective = config.objective or by_files
    config = config.model_copy(update={"objective": objective})
    if config.pooling is None:
        config = config.model_copy(update={"pooling": "auto" if _may_pool(config) else 0.0})
    if config.constraint is None:
        config = config.model_copy(update={"constraint": _default_constraint(config)})
    if "separability" in config.terms and config.ridge is None:
        config = config.model_copy(update={"ridge": CLASS_RIDGE})
    for wrong, what, remedy in (*_of_objective(config), *_of_constraint(config), *_of_others(config)):
        if wrong:
            raise ConfigError(what, remedy=remedy)
    values = rebased(config.model_dump(include={*PATHS, "groups", "sensor"}), Path.cwd())
    return config.model_copy(update=values)


def _may_pool(config: TrainConfig) -> bool:
    """Weights per scene, asked for as such, that are fitted from moments."""
    return (
        config.scope == "per-scene"
        and [*config.terms] == ["regression"]
        and not is_sampled(config)
        and config.folds > 0
    )


def _default_constraint(config: TrainConfig) -> str:
    if config.goal != "regression":
        return "simplex" if config.goal == "reconstruction" else "free"
    if config.gain:
        return "affine"
    return "auto" if is_assessed(config) else "nonnegative"


def _of_objective(config: TrainConfig) -> Iterator[Clash]:
    goals = config.terms
    yield (
        "regression" in goals and not config.target,
        "regression needs a target",
        "Give --target T, or use --objective reconstruction.",
    )
    yield "separability" in goals and not config.labels, "separability needs labels", "Give --labels L."
    yield (
        "regression" in goals and "separability" in goals,
        "regression and separability cannot be summed: a scene has a target or labels",
        "Use one of them.",
    )
    yield (
        len(goals) > 1 and is_sampled(config),
        "losses and activations on a pixel sample cannot be summed with other objectives",
        "Leave --loss and --activation out.",
    )
    for flag, given in (
        ("--labels", bool(config.labels)),
        ("--label-field", config.label_field is not None),
        ("--unlabelled", bool(config.unlabelled)),
        ("--balance", config.balance),
    ):
        yield "separability" not in goals and given, f"{flag} has no meaning without separability", "Leave it out."
    for flag, given in (
        ("--target", bool(config.target)),
        ("--gain", config.gain),
        ("--no-offset", config.no_offset),
        ("--activation", config.activation != "identity"),
        ("--loss", config.loss != "mse"),
        ("--weights instance", config.weights == "instance"),
        ("--scope per-scene", config.scope == "per-scene"),
    ):
        yield (
            config.goal != "regression" and given,
            f"{flag} has no meaning for {config.goal}",
            "Leave it out.",
        )


def _of_constraint(config: TrainConfig) -> Iterator[Clash]:
    yield (
        config.gain and config.constraint not in ("affine", "simplex"),
        f"--gain has no meaning with constraint {config.constraint}",
        "Use it with --constraint affine or simplex; free and non-negative weights hold their gain already.",
    )
    yield (
        config.pooling not in (None, 0.0) and not config.per_scene,
        "--pooling has no meaning for weights that all scenes share",
        "Use it with --scope per-scene.",
    )
    yield (
        config.pooling not in (None, 0.0) and ([*config.terms] != ["regression"] or is_sampled(config)),
        "--pooling is for regression from moments",
        "Leave it out.",
    )
    what = "other objectives and sums, weights per scene, and losses and activations on a pixel sample"
    for flag, given in (
        ("--constraint auto", config.constraint == "auto"),
        ("--ridge", config.ridge is not None and not ("separability" in config.terms or "snr" in config.terms)),
        ("--smooth", config.smooth is not None),
        ("--sparse", config.sparse is not None),
    ):
        yield given and not is_assessed(config), f"{flag} has no meaning for {what}", "Leave it out."
    yield (
        config.sparse is not None and (config.constraint in ("affine", "simplex") or bool(config.fixed)),
        "--sparse has no meaning where the sum of the weights is given, nor beside fixed groups",
        "Use it with --constraint free, nonnegative or auto.",
    )
    yield (
        config.ridge == "auto" and not is_assessed(config),
        f"--ridge auto has no meaning for {config.objective}",
        "Give a number.",
    )
    yield (
        config.smooth is not None and (config.fuse == "across" or config.weights != "channel"),
        "--smooth is for one weight per band within groups",
        "Leave it out.",
    )


def _of_others(config: TrainConfig) -> Iterator[Clash]:
    yield (
        config.sensor is not None and (config.goal != "regression" or config.fuse == "across"),
        "--sensor holds weights of a regression within groups against published responses",
        "Leave it out.",
    )
    for flag, given in (("--batch-size", config.batch_size), ("--patience", config.patience)):
        yield (
            given != TrainConfig.model_fields[flag[2:].replace("-", "_")].default and not is_sampled(config),
            f"{flag} has no meaning with --loss mse and --activation identity, which need no pixel sample",
            "Leave it out, or use another --loss or --activation.",
        )
    seen = bool(config.target or config.labels)
    yield config.shift is not None and not seen, "--shift has no meaning without --target or --labels", "Leave it out."
    yield (
        config.blur is not None and not seen and not config.source,
        "--blur has no meaning without --target, --labels or --source, as one file has one grid",
        "Leave it out.",
    )
    yield (
        config.split == "random" and "separability" in config.terms,
        "--split random has no meaning for separability",
        "Leave it out.",
    )
    for flag, asked in (
        ("--ridge auto", config.ridge == "auto"),
        ("--smooth auto", config.smooth == "auto"),
        ("--sparse auto", config.sparse == "auto"),
        ("--pooling auto", config.pooling == "auto"),
        ("--split random", config.split == "random"),
    ):
        yield asked and config.folds == 0, f"{flag} and --folds 0 exclude each other", "Use one of them."
    yield bool(config.group and config.groups), "--group and --groups exclude each other", "Use one of them."
