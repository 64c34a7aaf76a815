"""Defaults: the settings of a training with every default filled in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bandfuse.config.paths import PATHS, rebased
from bandfuse.config.train import TrainConfig
from bandfuse.errors import ConfigError
from bandfuse.scenes.places import pair_of
from bandfuse.training.settings.clashes import refuse_clashes

if TYPE_CHECKING:
    from bandfuse.optimise.losses import LossFunction


def with_loss(config: TrainConfig, loss: LossFunction | None) -> TrainConfig:
    """The settings of a run with a user's own loss function, or without one.

    Raises
    ------
    ConfigError : two losses, or the name ``custom`` without a function.
    """
    if loss is None:
        if config.loss == "custom":
            raise ConfigError(
                "loss custom needs a function",
                expected="bandfuse.train(config, loss=function) in Python",
                remedy="On the command line, use --loss mse, mae, huber, sam or cosine.",
            )
        return config
    if config.loss not in ("mse", "custom"):
        raise ConfigError(
            f"loss {config.loss} and a loss function exclude each other", remedy="Use one of them."
        )
    return config.model_copy(update={"loss": "custom"})


MOST_FOLDS = 100
"""Folds at most: so many scenes are held out alone."""


def resolve(config: TrainConfig) -> TrainConfig:
    """Fill in the defaults that depend on other settings.

    Raises
    ------
    ConfigError : settings that exclude each other.
    """
    by_files = (
        "regression" if config.target else "separability" if config.labels else "reconstruction"
    )
    config = config.model_copy(update={"objective": config.objective or by_files})
    config = config.model_copy(update=_defaults(config))
    for text in config.group:
        pair_of(text, "--group")
    refuse_clashes(config)
    values = rebased(config.model_dump(include={*PATHS, "groups", "sensor"}), Path.cwd())
    return config.model_copy(update=values)


def _defaults(config: TrainConfig) -> dict[str, object]:
    """Settings that were not given, by the objective."""
    defaults: dict[str, object] = {}
    if config.pooling is None:
        defaults["pooling"] = "auto" if _may_pool(config) else 0.0
    if config.split == "scenes" and "folds" not in config.model_fields_set:
        defaults["folds"] = MOST_FOLDS
    if config.constraint is None:
        defaults["constraint"] = _default_constraint(config)
    return defaults


def _may_pool(config: TrainConfig) -> bool:
    """Weights per scene, asked for as such, that are fitted from moments."""
    return config.scope == "per-scene" and config.from_moments and config.folds > 0


def _default_constraint(config: TrainConfig) -> str:
    if not config.goals[0].matches:
        return config.goals[0].constraint if config.outputs is None else "free"
    if config.gain:
        return "affine"
    return "auto" if config.assessed else config.goals[0].constraint
