"""Learn: from settings to a model. Reads and fits; writes nothing."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

from threadpoolctl import threadpool_limits

from bandfuse.config.train import TrainConfig
from bandfuse.device import on_cpu, plain_errors, require_device
from bandfuse.errors import ScenesError
from bandfuse.model.discriminants import Discriminants
from bandfuse.model.model import Model
from bandfuse.model.uncertainty import Uncertainty
from bandfuse.progress import Progress, during, silent
from bandfuse.scenes.attempts import each
from bandfuse.scenes.opening import Opened
from bandfuse.scenes.scene import Scene
from bandfuse.solve.classes import Classifier
from bandfuse.solve.scores import score_pairs
from bandfuse.spectral.bands import Floats
from bandfuse.streaming.budget import Effort
from bandfuse.survey.stored_moments import StoredMoments
from bandfuse.survey.survey import Survey
from bandfuse.training.fitting import CONVERGED, Fitting, fit_model, targets_of
from bandfuse.training.placing import EXACT, placed
from bandfuse.training.reading import remarks_of, surveyed
from bandfuse.training.settings.steps import assessing_of, checkpoint_of, fitting_of
from bandfuse.training.trained import Trained
from bandfuse.trust.assess import (
    JACKKNIFE,
    Assessing,
    Assessment,
    RegularisationPlan,
    assess,
    jackknives,
    plan_regularisation,
)
from bandfuse.trust.lobes import tags_of
from bandfuse.trust.output_errors import ErrorSummary, uncertainty_of
from bandfuse.trust.refits import held_out_pairs, peak_of
from bandfuse.trust.trials import assess_trials

if TYPE_CHECKING:
    from bandfuse.optimise.losses import LossFunction
    from bandfuse.solve.fit_result import Fit

OnceRead = Callable[[Sequence[str]], None]
"""Is given the input files when their pixels are read."""


def learn(
    config: TrainConfig,
    opened: Opened,
    progress: Progress = silent,
    *,
    loss: LossFunction | None = None,
    once_read: OnceRead = lambda files: None,
    effort: Effort | None = None,
    before: Sequence[StoredMoments] = (),
) -> Trained:
    """Learn weights with resolved settings; again without the scenes that turn out broken, if they
    may be left out. Nothing is written.

    Parameters
    ----------
    loss : a loss of the user's own, ``loss(y, target)`` of (N, K) tensors.
    before : what passes over the scenes have left before; no pixel is read then.
    """
    effort = effort or Effort.of(config.threads, config.memory, device=config.device)
    while True:
        try:
            reading = _Reading(config, opened.scenes, effort, progress, before)
            trained = _learned(config, opened.scenes, effort, progress, loss, once_read, reading)
        except ScenesError as error:
            opened = opened.without(error.reasons)
        else:
            return replace(trained, left_out=opened.left_out, without_pixels=bool(before))


@dataclass(frozen=True, eq=False)
class _Reading:
    """How a training comes to its survey: from the pixels of scenes, or from what passes over them
    have left before."""

    config: TrainConfig
    scenes: Sequence[Scene]
    effort: Effort
    progress: Progress
    before: Sequence[StoredMoments]

    def __call__(self) -> tuple[Survey, list[str]]:
        """The survey, and what a user should know of the pixels."""
        config, scenes = self.config, self.scenes
        keys = [scene.key for scene in scenes]
        before = [one for one in self.before if one.facts.scene.key in keys]
        if before:
            fills = [one.facts.remarks for one in before]
        else:
            look = partial(remarks_of, config.nodata, config.seed)
            fills = each(keys, scenes, look, skip=config.skip_broken)
        found, remarks = surveyed(config, scenes, self.effort, self.progress, before)
        return found, [*chain(*fills), *remarks]


def _learned(
    config: TrainConfig,
    scenes: list[Scene],
    effort: Effort,
    progress: Progress,
    loss: LossFunction | None,
    once_read: OnceRead,
    reading: _Reading,
) -> Trained:
    started = time.perf_counter()
    require_device(effort.device)
    found, remarks = reading()
    once_read([raster.path for scene in scenes for raster in scene.files])
    how, assessing = fitting_of(config, loss), assessing_of(config)
    how, where = placed(how, effort, found, config.folds)
    if not config.no_tags:
        assessing = replace(assessing, tags=tags_of(targets_of(found, scenes)))
    _load(how, found)
    how = replace(how, checkpoint=checkpoint_of(config, where.torch, found))
    read = time.perf_counter()
    # One thread: sums have the same bits on every run, and thousands of small products do not wait
    # for each other.
    with threadpool_limits(limits=1, user_api="blas"), plain_errors(where):
        if config.pooling == "auto":
            how, pooling = _pooled(how, assessing, scenes, found, progress)
            remarks.append(pooling)
        choices = plan_regularisation(assessing, found, progress) if config.assessed else None
        if choices is not None:
            remarks += choices.messages(found.design.names)
        model, fits = fit_model(how, scenes, found, choices, progress)
        fitted = _Fitted(how, assessing, scenes, found, choices, model, fits)
        trust = _assess(fitted, progress)
        known, errors = _errors(fitted, trust, progress)
        classes = _classifier(config, scenes, found, model)
    model = replace(model, classes=classes, uncertainty=known)
    refits = on_cpu(EXACT) if fitted.exactly else where
    places = {"pass": found.places, "fit": (where,), "refits": (refits,)}
    config = config.model_copy(update={"pooling": how.pooling, "precision": found.precision})
    times = read - started, time.perf_counter() - read
    remarks.extend(trust.messages)
    return Trained(
        config,
        scenes,
        found,
        model,
        fits,
        *times,
        places,
        choices,
        trust,
        effort,
        remarks=tuple(remarks),
        errors=tuple(errors),
    )


def _classifier(
    config: TrainConfig, scenes: Sequence[Scene], survey: Survey, model: Model
) -> Discriminants | None:
    """The classifier of the outputs, on all pixels: what the scores of a training with labels are
    of."""
    if "classes" not in config.gathers:
        return None
    weight = model.common.matrix[:, list(survey.design.used)]
    made = Classifier.of(survey.classes, weight, balanced=config.balance)
    names = tuple(survey.class_name(int(n)) for n in made.numbers)
    labels = scenes[0].labels
    numbered = labels is not None and labels.numbered
    return Discriminants(made.numbers, names, made.slope, made.level, numbered)


def _load(how: Fitting, survey: Survey) -> None:
    """Import what the fit needs: a limit on threads reaches only libraries that are loaded, and all
    of scipy shares one. Not while the pixels are read: an import of seconds would hold the reading
    threads up for longer."""
    torch = () if how.solved or how.leads(survey.design) else ("torch",)
    for name in ("scipy.linalg", *torch):
        importlib.import_module(name)


POOLINGS = (0.0, *(10.0**e for e in range(-6, 3)))
"""Strengths that are tried; the last one leaves scenes next to nothing of their own."""


def _pooled(
    how: Fitting, assessing: Assessing, scenes: Sequence[Scene], survey: Survey, progress: Progress
) -> tuple[Fitting, str]:
    """With the pooling of the least error on held-out blocks of every scene, when its common and
    own weights are learned from the rest; and what is said of it."""
    descent = replace(how.descent, starts=1, optimizer="lbfgs", init="auto", lr=None, schedule=None)
    names, peak = [scene.names for scene in scenes], peak_of(survey)
    errors: dict[float, float] = {}
    for strength in progress(POOLINGS, total=len(POOLINGS), label="choose the pooling"):
        trial = replace(how, pooling=strength, descent=descent, checkpoint=None)

        def refit(part: Survey, trial: Fitting = trial) -> Model:
            return fit_model(trial, scenes, part, None, silent)[0]

        pairs = held_out_pairs(
            survey, names, refit, count=assessing.folds, per_scene=True, progress=silent
        )
        if pairs is not None:
            errors[strength] = sum(-(row["r2"] or 0.0) for row in score_pairs(pairs, peak).outputs)
    chosen = min(errors, key=lambda strength: errors[strength]) if errors else 0.0
    why = "on held-out blocks" if errors else "as there are too few blocks to hold any out"
    return replace(how, pooling=chosen), f"pooling {chosen:g} was chosen {why}"


@dataclass(frozen=True, eq=False)
class _Fitted:
    """A fitted model with what it was learned from."""

    how: Fitting
    assessing: Assessing
    scenes: Sequence[Scene]
    survey: Survey
    choices: RegularisationPlan | None
    model: Model
    fits: Sequence[Fit]

    def refit(self, part: Survey) -> Model:
        """The model, learned again from a part of the pixels."""
        return fit_model(self.how.once(), self.scenes, part, self.choices, silent)[0]

    @property
    def exactly(self) -> bool:
        """Whether the weights are those of the exact solution."""
        gap = max((fit.relative_gap or 0.0 for fit in self.fits), default=0.0)
        return self.choices is not None and gap <= CONVERGED


def _assess(fitted: _Fitted, progress: Progress) -> Assessment:
    """Hold-out, baselines and intervals of the fitted weights, as far as they are known."""
    goal = fitted.how.goals[0]
    if goal.matches:
        return _assess_matches(fitted, progress)

    def encode(part: Survey) -> Floats:
        return fitted.refit(part).common.weight[:, list(part.design.used)]

    scoring = goal.scoring_of(fitted.survey, balanced=fitted.how.balanced)
    weight = fitted.model.common.weight[:, list(fitted.survey.design.used)]
    return assess_trials(fitted.assessing, fitted.survey, scoring, weight, encode, progress)


def _errors(
    fitted: _Fitted, trust: Assessment, progress: Progress
) -> tuple[Uncertainty | None, list[ErrorSummary]]:
    """What the model remembers of errors and of its training's spectra, and what is said of it."""
    names = [scene.names for scene in fitted.scenes]
    with during(progress, "measure the errors of outputs"):
        return uncertainty_of(
            fitted.assessing, fitted.survey, fitted.choices, trust, fitted.model, names
        )


def _assess_matches(fitted: _Fitted, progress: Progress) -> Assessment:
    """Of outputs that are matched with targets."""
    how, surveyed, models = fitted.assessing, fitted.survey, list[Model]()

    def refit(part: Survey) -> Model:
        models.append(fitted.refit(part))
        return models[-1]

    pairs, exactly = None, fitted.exactly
    if not exactly:
        names = [scene.names for scene in fitted.scenes]
        pairs = held_out_pairs(
            surveyed, names, refit, count=how.folds, per_scene=how.per_scene, progress=progress
        )
    held = None if pairs is None else score_pairs(pairs, peak_of(surveyed))
    used = surveyed.design.used
    matrix = fitted.model.common.matrix[:, list(used)]
    trust = assess(how, surveyed, fitted.choices, matrix, held, exactly=exactly, progress=progress)
    if exactly:
        return trust
    bounds = jackknives(how, fitted.choices, used, fitted.model, models)
    return replace(trust, intervals=bounds, method=JACKKNIFE, models=models)
