"""Fitting: from what a survey gathered to a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from bandfuse.config import TrainConfig
from bandfuse.device import device_of
from bandfuse.model.fusion import Fusion, NodataPolicy
from bandfuse.model.model import Model
from bandfuse.moments.moments import Moments
from bandfuse.moments.sample import Pixels
from bandfuse.progress import Progress
from bandfuse.scenes.scene import Scene, target_bands
from bandfuse.solve.classes import scatters
from bandfuse.solve.decoder import least_squares
from bandfuse.solve.design import output_bands
from bandfuse.solve.fit_result import Settings
from bandfuse.solve.gauge import normalise, uncorrelate
from bandfuse.solve.solved import solved
from bandfuse.solve.squares import Split, Squares
from bandfuse.spectral.bands import Bands, Floats
from bandfuse.spectral.value_units import Values
from bandfuse.streaming.blocks import BlockGrid, held_out
from bandfuse.survey.survey import Survey
from bandfuse.training.settings import DESCENTS, is_sampled
from bandfuse.trust.assess import Plan

if TYPE_CHECKING:
    from bandfuse.optimise.fit import Slots
    from bandfuse.optimise.losses import LossFunction
    from bandfuse.optimise.objectives.base import Objective
    from bandfuse.optimise.objectives.sampled import SampledRegression
    from bandfuse.solve.fit_result import Fit
    from bandfuse.training.checkpoint import Checkpoint


CONVERGED = 1e-6
"""A relative gap up to which trained weights count as the exact ones; above it they are said to be short of them."""


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
    from bandfuse.optimise.objectives.sampled import SampledRegression

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


def fit_model(
    config: TrainConfig,
    scenes: Sequence[Scene],
    found: Survey,
    made: Plan | None,
    sampling: Sampling,
    progress: Progress,
) -> tuple[Model, list[Fit], str]:
    """Fit the pooled moments, and for weights per scene every scene's own, pulled to the common ones."""
    device = device_of(config.device)
    common_fit = fit_one(config, device, found, made, sampling, found.pooled, progress, scene=None)
    common = _fusion(config, found, common_fit, _targets(found, scenes))
    if not config.per_scene:
        return _remembering(Model(common, decoder=_decoder(config, found, common)), found), [common_fit], device
    fits = [
        fit_one(config, device, found, made, sampling, moments, progress, scene=i, common=_effective(common_fit))
        for i, moments in enumerate(found.scenes)
    ]
    own = {
        s.key: replace(_fusion(config, found, f, None), outputs=common.outputs)
        for s, f in zip(scenes, fits, strict=True)
    }
    return _remembering(Model(common, own), found), fits, device


def _remembering(model: Model, found: Survey) -> Model:
    """The model with the values that its inputs and outputs had in the training."""
    if found.seen is None:
        return model
    inputs, outputs = found.seen, Values.of(model.common(found.looked.T).T)
    own = {key: replace(f, inputs_seen=inputs, outputs_seen=outputs) for key, f in model.scenes.items()}
    common = replace(model.common, inputs_seen=inputs, outputs_seen=outputs)
    back = None if model.decoder is None else replace(model.decoder, inputs_seen=outputs, outputs_seen=inputs)
    return Model(common, own, back)


def _decoder(config: TrainConfig, found: Survey, common: Fusion) -> Fusion | None:
    """The way back from the outputs to the bands, which a reconstruction is for."""
    if "reconstruction" not in config.terms:
        return None
    n = len(found.design.used)
    return least_squares(common, found.pooled.take(range(n)), found.design.used)


def fit_one(
    config: TrainConfig,
    device: str,
    found: Survey,
    made: Plan | None,
    sampling: Sampling,
    joint: Moments,
    progress: Progress,
    *,
    scene: int | None,
    common: Floats | None = None,
) -> Fit:
    """Minimise the objective of the config on the moments of all scenes, or of one, whose weights are pulled to the
    (K, used) common ones."""
    n = len(found.design.used)
    joint = joint.take(found.order)
    constraints = [str(config.constraint)] * len(found.design.names) if made is None else made.constraints
    if is_solved(config, device):
        squares = _squares(config, found, made, Split.of(joint, n), common)
        best = solved(found.design.layout, squares, constraints, gain=config.gain, mean=joint.mean[:n])
        if best is not None:
            return best
    from bandfuse.optimise.fit import fit

    objective, level = _objective(config, found, made, sampling, joint, scene, common)
    settings = settings_of(config, device)
    bands = found.bands.take(found.design.used)
    return fit(
        found.design.layout, objective, bands, joint.mean[:n], level, settings, progress, constraints=constraints,
        slots=sampling.slots(scene),
    )  # fmt: skip


def _objective(
    config: TrainConfig,
    found: Survey,
    made: Plan | None,
    sampling: Sampling,
    joint: Moments,
    scene: int | None,
    common: Floats | None,
) -> tuple[Objective, Floats | None]:
    """The objective, and where the outputs' levels start (None without offset)."""
    from bandfuse.optimise.objectives.regression import Regression
    from bandfuse.optimise.objectives.total import Sum

    n = len(found.design.used)
    split = Split.of(joint, n)
    level = None if config.no_offset or config.goal != "regression" else split.target_mean
    if common is not None and config.pooling:
        return Regression(_squares(config, found, made, split, common)), level
    if not is_sampled(config):
        parts = [(factor, _term(name, config, found, made, split)) for name, factor in config.terms.items()]
        return (parts[0][1] if len(parts) == 1 else Sum(parts)), level
    pixels = found.pixels if scene is None else found.tallies[scene].pixels
    if level is not None and config.activation in ("sigmoid", "tanh"):
        level = np.zeros_like(level)
    return objective_of(config, sampling, pixels, found.grids, found.order, split.mean), level


def _effective(fitted: Fit) -> Floats:
    """(K, used) gain · W."""
    result: Floats = fitted.gain[:, None] * fitted.weight
    return result


def is_solved(config: TrainConfig, device: str) -> bool:
    """Whether the weights are the exact solution, unless that is not to be found: torch is not needed then."""
    alone = [*config.terms] == ["regression"] and not is_sampled(config)
    return alone and device == "cpu" and config.optimizer == "lbfgs" and config.init in ("auto", "least-squares")


def _squares(config: TrainConfig, found: Survey, made: Plan | None, split: Split, common: Floats | None) -> Squares:
    """The regression on some moments. Weights of one scene are pulled to the (K, used) common ones c by
    ``pooling · Σ_b var_b (u_b − c_b)²``: a form of u, a part of the covariances with the target, and a constant."""
    offset = not config.no_offset
    if common is None or not config.pooling:
        forms, l1 = (None, None) if made is None else (made.forms, made.l1)
        return Squares.of(split, offset=offset, forms=forms, l1=l1)
    price = float(config.pooling) * found.pooled.take(range(len(found.design.used))).variance
    moved = replace(split, c=split.c + (price * common).T, var=split.var + common**2 @ price)
    return Squares(moved, Squares.of(split, offset=offset).scale, offset, np.tile(np.diag(price), (len(common), 1, 1)))


def _term(name: str, config: TrainConfig, found: Survey, made: Plan | None, split: Split) -> Objective:
    """One objective from moments."""
    from bandfuse.optimise.objectives.reconstruction import Reconstruction
    from bandfuse.optimise.objectives.regression import Regression
    from bandfuse.optimise.objectives.separability import Separability
    from bandfuse.optimise.objectives.snr import SignalToNoise

    if name == "regression":
        return Regression(_squares(config, found, made, split, None))
    if name == "reconstruction":
        return Reconstruction(split.a)
    if name == "separability":
        inside, every = scatters(found.classes, balanced=config.balance)
        shrink = _ridge(config) * np.diag(np.diag(inside))
        return Separability(inside + shrink, every + shrink)
    noise = found.noise.covariance
    return SignalToNoise(split.a, noise + _ridge(config) * np.diag(np.diag(noise)), found.design.layout.shape[0])


def _ridge(config: TrainConfig) -> float:
    """The ridge as a number."""
    return float(config.ridge) if isinstance(config.ridge, (int, float)) else 0.0


def _targets(found: Survey, scenes: Sequence[Scene]) -> Bands | None:
    """The target band of each output, of the first scene whose target has wavelengths; None if none has."""
    for scene in scenes if found.design.targets else ():
        if scene.target is not None and np.isfinite(scene.target.bands.wavelength_nm).any():
            positions = target_bands(scene.target)
            return scene.target.bands.take(positions[t] for t in found.design.targets)
    return None


def _fusion(config: TrainConfig, found: Survey, fitted: Fit, targets: Bands | None) -> Fusion:
    """The fusion over all B inputs."""
    weight = fitted.weight
    if config.goal != "regression":
        if config.constraint == "free" and config.goal != "snr":
            n = len(found.design.used)
            weight = uncorrelate(weight, found.design.layout, found.pooled.covariance[:n, :n])
        weight = normalise(weight, str(config.constraint))
    wide = found.design.widen(weight, len(found.bands))
    return Fusion(
        wide,
        fitted.gain,
        fitted.offset,
        found.bands,
        output_bands(found.design.names, wide * fitted.gain[:, None], found.bands, targets),
        config.activation,
        NodataPolicy(config.nodata_policy),
    )
