"""Steps: what each step of a training needs of its settings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bandfuse.config.train import NOT_RESULTS, TrainConfig
from bandfuse.model.fusion import NodataPolicy
from bandfuse.solve.fit_result import Settings
from bandfuse.survey.scout import Inquiry
from bandfuse.survey.survey import Survey
from bandfuse.training.arrange import Grouping
from bandfuse.training.checkpoint import Checkpoint, digest
from bandfuse.training.fitting import Fitting
from bandfuse.training.regathered import Asked
from bandfuse.trust.assess import Assessing
from bandfuse.trust.regularisation import Wish

if TYPE_CHECKING:
    from bandfuse.optimise.losses import LossFunction


_DESCENT = (
    *("gain", "init", "optimizer", "steps", "lr", "momentum", "weight_decay", "schedule"),
    *("batch_size", "patience", "seed", "starts"),
)
"""Settings of the descent that have the same name on the command line."""


STATES = 2
"""The form of the states in a checkpoint."""


def grouping_of(config: TrainConfig) -> Grouping:
    """How bands become outputs."""
    goal = config.goals[0]
    leads = len(config.goals) == 1 and config.constraint == "free"
    return Grouping(
        config.group,
        config.groups,
        config.fuse,
        config.weights,
        config.fixed,
        config.sensor,
        config.outputs,
        goal.component if leads else "c",
        goal.one_per_group,
    )


def inquiry_of(config: TrainConfig, sample: int) -> Inquiry:
    """What the pass gathers, with a sample of so many pixels."""
    return Inquiry(
        seed=config.seed,
        sample=sample,
        noise="noise" in config.gathers,
        random_parts=config.folds if config.split == "random" else 0,
        whole_scenes=config.split == "scenes",
        precision=config.precision,
        most=config.max_pixels,
        squares_only=all(goal.matches for goal in config.goals),
        per_scene=config.per_scene,
        own_samples=config.per_scene and config.sampled,
        skip=config.skip_broken,
        any_units=config.any_units,
    )


def fitting_of(config: TrainConfig, loss: LossFunction | None = None) -> Fitting:
    """How weights are fitted, with a loss of the user's own if there is one."""
    numbers = (float, int)
    return Fitting(
        config.terms,
        Settings(constraint=str(config.constraint), **config.model_dump(include=set(_DESCENT))),
        sampled=config.sampled,
        offset=not config.no_offset,
        activation=config.activation,
        loss=config.loss if loss is None else loss,
        huber_delta=config.huber_delta,
        ridge=float(config.ridge) if isinstance(config.ridge, numbers) else None,
        pooling=float(config.pooling) if isinstance(config.pooling, numbers) else 0.0,
        per_scene=config.per_scene,
        leading=config.outputs is not None,
        balanced=config.balance,
        nodata=NodataPolicy(config.nodata_policy),
    )


def assessing_of(config: TrainConfig) -> Assessing:
    """How the weights are assessed."""
    auto = config.constraint == "auto"
    wish = Wish(
        str(config.constraint),
        _strength(config.ridge, auto=auto),
        _strength(config.smooth, auto=auto),
        _strength(config.sparse, auto=False),
    )
    return Assessing(
        wish,
        folds=config.folds,
        seed=config.seed,
        offset=not config.no_offset,
        gain=config.gain,
        per_band=config.fuse == "within" and config.weights == "channel",
        per_scene=config.per_scene,
        classes="classes" in config.gathers,
    )


def _strength(value: float | str | None, *, auto: bool) -> float | None:
    """A strength to use, or None for one to be chosen: by default with constraint auto only."""
    if value is None:
        return None if auto else 0.0
    return None if isinstance(value, str) else float(value)


def checkpoint_of(config: TrainConfig, device: str, survey: Survey) -> Checkpoint | None:
    """The checkpoint of a training; None without ``--checkpoint``.

    Raises
    ------
    ConfigError : the file belongs to a training with other settings or other pixels.
    """
    if config.checkpoint is None:
        return None
    import torch

    settings = config.model_dump(mode="json", exclude=NOT_RESULTS)
    settings |= {"states": STATES, "device": device}
    settings |= {"torch": torch.__version__, "pixels": digest(survey)}
    return Checkpoint(Path(config.checkpoint), settings, config.checkpoint_every)


def asked_of(config: TrainConfig, sample: int) -> Asked:
    """What a training asks of moments, with a sample of so many pixels."""
    on_pixels = f"--loss {config.loss}" if config.loss != "mse" else "--activation"
    return Asked(
        str(config.objective),
        config.gathers,
        sample,
        on_pixels if config.sampled else "",
        config.assessed,
        config.registration,
    )
