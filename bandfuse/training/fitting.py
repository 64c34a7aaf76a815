"""Fitting: from what a survey gathered to a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from bandfuse.goals import GOALS, Goal
from bandfuse.model.fusion import Fusion, NodataPolicy
from bandfuse.model.model import Model
from bandfuse.moments.moments import Moments
from bandfuse.moments.sample import Pixels
from bandfuse.progress import Progress
from bandfuse.scenes.scene import Scene, target_bands
from bandfuse.solve.decoder import least_squares
from bandfuse.solve.design import Design, output_bands
from bandfuse.solve.fit_result import DESCENTS, Settings
from bandfuse.solve.gathered import Gathered
from bandfuse.solve.gauge import normalise, uncorrelate
from bandfuse.solve.leading import same_bands, solved_leading
from bandfuse.solve.solved import solved
from bandfuse.solve.squares import Split, Squares
from bandfuse.spectral.bands import Bands, Floats
from bandfuse.spectral.value_units import Values
from bandfuse.streaming.blocks import held_out
from bandfuse.survey.survey import Survey
from bandfuse.trust.assess import RegularisationPlan

if TYPE_CHECKING:
    from bandfuse.optimise.fit import Slots
    from bandfuse.optimise.losses import LossFunction
    from bandfuse.optimise.objectives.base import Objective
    from bandfuse.solve.fit_result import Fit
    from bandfuse.training.checkpoint import Checkpoint


CONVERGED = 1e-6
"""A relative gap up to which trained weights count as the exact ones."""


@dataclass(frozen=True, eq=False)
class Fitting:
    """How weights are fitted.

    ``terms``: the goals by their names, with their factors; the first decides how weights are
    reported. ``descent``: constraint, optimizer, steps, seed, device. ``ridge``: of goals that take
    one, None where none is given. ``sampled``: whether the loss depends on more than the moments of
    the pixels. ``loss``: a name, or a function of the user. ``pooling``: how strongly weights of
    one scene are pulled to the common ones. ``leading``: several outputs of each group are asked
    for, the first ones by the goal. ``checkpoint``: where descents keep their states.
    """

    terms: dict[str, float]
    descent: Settings
    sampled: bool = False
    offset: bool = True
    activation: str = "identity"
    loss: str | LossFunction = "mse"
    huber_delta: float = 1.0
    ridge: float | None = None
    pooling: float = 0.0
    per_scene: bool = False
    leading: bool = False
    balanced: bool = False
    nodata: NodataPolicy = field(default_factory=NodataPolicy)
    checkpoint: Checkpoint | None = None

    @property
    def goals(self) -> list[Goal]:
        """The goals, the main one first."""
        return [GOALS[name] for name in self.terms]

    @property
    def solved(self) -> bool:
        """Whether the weights are the exact solution, where that is found: torch is not needed,
        whatever the device."""
        plain = all(goal.matches for goal in self.goals) and not self.sampled
        how = self.descent
        quick = how.optimizer == "lbfgs" and how.init in ("auto", "least-squares")
        return plain and quick

    def leads(self, design: Design) -> bool:
        """Whether the outputs of a design have a closed form: the leading ones of one group, or of
        groups that the loss sees apart."""
        how, goal = self.descent, self.goals[0]
        quick = how.optimizer == "lbfgs" and how.init in ("auto", "least-squares")
        free = how.constraint == "free" and len(self.terms) == 1
        apart = goal.one_per_group or len(same_bands(design.layout)) == 1
        return self.leading and quick and free and apart

    def once(self) -> Fitting:
        """The same with a single start and without a checkpoint, for trainings of a part."""
        return replace(self, checkpoint=None, descent=replace(self.descent, starts=1))

    def slots(self, scene: int | None) -> Slots:
        """Where the descents of the common weights (None), or of one scene's, keep their states."""
        name, checkpoint = "common" if scene is None else f"scene {scene}", self.checkpoint
        if checkpoint is None:
            from bandfuse.optimise.descent import Nowhere

            return lambda part: Nowhere()
        return lambda part: checkpoint.slot(f"{name}, {part}")


def fit_model(
    how: Fitting,
    scenes: Sequence[Scene],
    survey: Survey,
    plan: RegularisationPlan | None,
    progress: Progress,
) -> tuple[Model, list[Fit]]:
    """Fit the pooled moments, and for weights per scene each scene's own, pulled to the common
    ones."""
    fit = fit_one(how, survey, plan, survey.pooled, progress)
    common = _fusion(how, survey, fit, targets_of(survey, scenes))
    if not how.per_scene:
        model = Model(common, decoder=_decoder(how, survey, common))
        return _with_values(model, survey), [fit]
    effective = fit.gain[:, None] * fit.weight
    fits = [
        fit_one(how, survey, plan, moments, progress, scene=i, common=effective)
        for i, moments in enumerate(survey.scenes)
    ]
    own = {
        scene.key: replace(_fusion(how, survey, f, None), outputs=common.outputs)
        for scene, f in zip(scenes, fits, strict=True)
    }
    return _with_values(Model(common, own), survey), fits


def _with_values(model: Model, survey: Survey) -> Model:
    """The model with the values that its inputs and outputs had in the training."""
    if survey.seen is None:
        return model
    inputs, outputs = survey.seen, Values.of(model.common(survey.looked.T).T)

    def with_them(fusion: Fusion) -> Fusion:
        return replace(fusion, inputs_seen=inputs, outputs_seen=outputs)

    own = {key: with_them(fusion) for key, fusion in model.scenes.items()}
    back = model.decoder
    if back is not None:
        back = replace(back, inputs_seen=outputs, outputs_seen=inputs)
    return Model(with_them(model.common), own, back)


def _decoder(how: Fitting, survey: Survey, common: Fusion) -> Fusion | None:
    """The way back from the outputs to the bands, where a goal asks for it."""
    if not any(goal.decodes for goal in how.goals):
        return None
    n = len(survey.design.used)
    return least_squares(common, survey.pooled.take(range(n)), survey.design.used)


def fit_one(
    how: Fitting,
    survey: Survey,
    plan: RegularisationPlan | None,
    moments: Moments,
    progress: Progress,
    *,
    scene: int | None = None,
    common: Floats | None = None,
) -> Fit:
    """Minimise the loss on the moments of all scenes, or of one scene, whose weights are pulled to
    the (K, used) common ones."""
    design, joint = survey.design, survey.joint(moments)
    n, layout = len(design.used), design.layout
    constraints = [how.descent.constraint] * len(design.names) if plan is None else plan.solved_as
    split = Split.of(joint, n)
    if how.leads(design):
        return solved_leading(layout, how.goals[0].ratio_of(_gathered(how, survey, split)))
    if how.solved:
        squares = _squares(how, survey, plan, split, common)
        best = solved(layout, squares, constraints, gain=how.descent.gain, mean=joint.mean[:n])
        if best is not None:
            return best
    from bandfuse.optimise.fit import fit

    return fit(
        layout,
        _objective(how, survey, plan, split, scene, common),
        survey.bands.take(design.used),
        joint.mean[:n],
        _level(how, split, pulled=common is not None and how.pooling > 0),
        how.descent,
        progress,
        constraints=constraints,
        slots=how.slots(scene),
    )


def _level(how: Fitting, split: Split, *, pulled: bool) -> Floats | None:
    """(K,) where the outputs' levels start; None without an offset."""
    if not (how.offset and how.goals[0].matches):
        return None
    bounded = how.activation in ("sigmoid", "tanh") and not pulled
    return np.zeros_like(split.target_mean) if bounded else split.target_mean


def _objective(
    how: Fitting,
    survey: Survey,
    plan: RegularisationPlan | None,
    split: Split,
    scene: int | None,
    common: Floats | None,
) -> Objective:
    from bandfuse.optimise.objectives.regression import Regression
    from bandfuse.optimise.objectives.total import Sum

    if common is not None and how.pooling:
        return Regression(_squares(how, survey, plan, split, common))
    if how.sampled:
        pixels = survey.trained_on if scene is None else survey.tallies[scene].pixels
        return sampled_objective(how, survey, pixels, split.mean)
    losses = [
        (factor, _term(GOALS[name], how, survey, plan, split)) for name, factor in how.terms.items()
    ]
    return losses[0][1] if len(losses) == 1 else Sum(losses)


def _term(
    goal: Goal, how: Fitting, survey: Survey, plan: RegularisationPlan | None, split: Split
) -> Objective:
    """The loss of one goal, from moments."""
    from bandfuse.optimise.objectives.base import Objective

    squares = _squares(how, survey, plan, split, None) if goal.matches else None
    loss = goal.loss_of(replace(_gathered(how, survey, split, goal), squares=squares))
    assert isinstance(loss, Objective)
    return loss


def _gathered(how: Fitting, survey: Survey, split: Split, goal: Goal | None = None) -> Gathered:
    """What the loss of a goal, the main one by default, is made of."""
    gathers = (goal or how.goals[0]).gathers
    return Gathered(
        split,
        survey.design.layout.shape[0],
        classes=survey.classes if gathers == "classes" else None,
        noise=survey.noise if gathers == "noise" else None,
        ridge=how.ridge,
        balanced=how.balanced,
    )


def sampled_objective(how: Fitting, survey: Survey, pixels: Pixels, mean: Floats) -> Objective:
    """The loss over a sample of pixels, which is not copied; ``mean`` (B,) of the bands."""
    from bandfuse.optimise.objectives.sampled import SampledRegression

    watched = how.descent.patience > 0 and how.descent.optimizer in DESCENTS
    n = len(mean)
    return SampledRegression(
        pixels.store,
        n,
        mean,
        how.activation,
        loss=how.loss,
        huber_delta=how.huber_delta,
        held=held_out(pixels.place, survey.grids, how.descent.seed) if watched else None,
        targets=[n + t for t in survey.design.targets],
        rows=pixels.at,
        device=how.descent.device,
        threads=how.descent.threads,
    )


def _squares(
    how: Fitting,
    survey: Survey,
    plan: RegularisationPlan | None,
    split: Split,
    common: Floats | None,
) -> Squares:
    """The squared error on some moments.

    Weights of one scene are pulled to the (K, used) common ones c by ``pooling · Σ_b var_b (u_b −
    c_b)²``: a form of u, a part of the covariances with the target, and a constant.
    """
    if common is None or not how.pooling:
        forms, l1 = (None, None) if plan is None else (plan.forms, plan.l1)
        return Squares.of(split, offset=how.offset, forms=forms, l1=l1)
    price = how.pooling * survey.pooled.take(range(len(survey.design.used))).variance
    moved = replace(split, c=split.c + (price * common).T, var=split.var + common**2 @ price)
    scale = Squares.of(split, offset=how.offset).scale
    return Squares(moved, scale, how.offset, np.tile(np.diag(price), (len(common), 1, 1)))


def targets_of(survey: Survey, scenes: Sequence[Scene]) -> Bands | None:
    """The target band of each output, of the first scene whose target has wavelengths."""
    for scene in scenes if survey.design.targets else ():
        if scene.target is not None and np.isfinite(scene.target.bands.wavelength_nm).any():
            positions = target_bands(scene.target)
            return scene.target.bands.take(positions[t] for t in survey.design.targets)
    return None


def _fusion(how: Fitting, survey: Survey, fit: Fit, targets: Bands | None) -> Fusion:
    """The fusion over all B inputs."""
    goal, design, constraint = how.goals[0], survey.design, how.descent.constraint
    weight = fit.weight
    if not goal.matches:
        if constraint == "free" and goal.mixes and not how.leads(design):
            split = Split.of(survey.pooled.take(survey.order), len(design.used))
            ratio = goal.ratio_of(_gathered(how, survey, split))
            weight = uncorrelate(weight, design.layout, ratio.top, ratio.bottom)
        weight = normalise(weight, constraint)
    wide = design.widen(weight, len(survey.bands))
    outputs = output_bands(design.names, wide * fit.gain[:, None], survey.bands, targets)
    return Fusion(wide, fit.gain, fit.offset, survey.bands, outputs, how.activation, how.nodata)
