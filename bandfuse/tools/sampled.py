"""Sampled: training on the pixel sample, for what is not quadratic. From settings to an objective and its pace."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bandfuse.spectral.bands import Floats
from bandfuse.config import TrainConfig
from bandfuse.errors import ConfigError, shorten
from bandfuse.solve.fit_result import DEFAULT_STEPS, Fit, Settings
from bandfuse.streaming.blocks import held_out
from bandfuse.moments.sample import Pixels
from bandfuse.streaming.windows import BlockGrid

if TYPE_CHECKING:
    from bandfuse.optimise.fit import Slots
    from bandfuse.optimise.losses import LossFunction
    from bandfuse.optimise.objectives.regression import SampledRegression
    from bandfuse.training.checkpoint import Checkpoint

CONVERGED = 1e-6
"""A relative gap up to which trained weights count as the exact ones; above it they are said to be short of them."""

DESCENTS = ("adam", "adamw", "sgd")
"""Optimizers that take minibatches and can stop early."""


@dataclass(frozen=True, eq=False)
class Sampling:
    """What training on a sample needs beside the settings: a user's own loss, and a place for its state."""

    loss: LossFunction | None = None
    checkpoint: Checkpoint | None = None

    def slots(self, scene: int | None) -> Slots:
        """Where the descents of the common weights (None) or of one scene's keep their states."""
        which, checkpoint = "common" if scene is None else f"scene {scene}", self.checkpoint
        if checkpoint is None:
            from bandfuse.optimise.descent import Nowhere

            return lambda part: Nowhere()
        return lambda part: checkpoint.slot(f"{which}, {part}")


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


def settings_of(config: TrainConfig, device: str) -> Settings:
    """How to fit."""
    return Settings(
        constraint=str(config.constraint), gain=config.gain, init=config.init, optimizer=config.optimizer,
        steps=config.steps, lr=config.lr, momentum=config.momentum, weight_decay=config.weight_decay,
        schedule=config.schedule, batch_size=config.batch_size, patience=config.patience, device=device,
        seed=config.seed, starts=config.starts,
    )  # fmt: skip


def objective_of(
    config: TrainConfig,
    sampling: Sampling,
    pixels: Pixels,
    grids: Sequence[BlockGrid],
    columns: Sequence[int],
    mean: Floats,
) -> SampledRegression:
    """The objective on a sample whose ``columns`` are the used bands and the targets; ``mean`` (B,) of the bands."""
    from bandfuse.optimise.objectives.regression import SampledRegression

    watched = config.patience > 0 and config.optimizer in DESCENTS
    return SampledRegression(
        pixels.values[:, list(columns)],
        len(mean),
        mean,
        config.activation,
        loss=config.loss if sampling.loss is None else sampling.loss,
        huber_delta=config.huber_delta,
        held=held_out(pixels.place, grids, config.seed) if watched else None,
    )


def stop_messages(fits: Sequence[Fit], names: Sequence[str]) -> list[str]:
    """Which epoch's weights were kept, where held-out pixels were watched."""
    stops = [stop for fit in fits for stop in fit.stops]
    return [
        f"early stopping: {shorten([names[r] for r in rows], 3)} kept the weights after epoch {best} of {epochs}"
        for rows, best, epochs in stops
        if best < epochs
    ]


def limit_messages(config: TrainConfig, fits: Sequence[Fit], names: Sequence[str]) -> list[str]:
    """Which outputs ended at the limit of steps, and not at an optimum."""
    limit = DEFAULT_STEPS[config.optimizer] if config.steps is None else config.steps
    short = [fit for fit in fits if fit.relative_gap is None or fit.relative_gap > CONVERGED]
    ended = [rows for fit in short for rows, losses in fit.history if len(losses) > limit > 0]
    if not ended or (config.optimizer in DESCENTS and all(fit.relative_gap is None for fit in short)):
        return []
    which = shorten(dict.fromkeys(names[row] for part in ended for row in part), 3)
    better = "more --steps" + (" or --optimizer lbfgs" if config.optimizer != "lbfgs" else "")
    return [f"the training of {which} was stopped by the limit of {limit} steps: {better} may find better weights"]
