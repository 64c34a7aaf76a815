"""Learn: from settings to a model. Reads and fits; writes nothing."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from threadpoolctl import threadpool_limits

from bandfuse.checks.fill import fill_messages
from bandfuse.config import TrainConfig
from bandfuse.device import device_of
from bandfuse.errors import ScenesError
from bandfuse.model.model import Model
from bandfuse.progress import Progress, silent
from bandfuse.scenes.attempts import each
from bandfuse.scenes.opening import Opened
from bandfuse.scenes.scene import Scene
from bandfuse.solve.scores import judge
from bandfuse.spectral.bands import Floats
from bandfuse.streaming.budget import Effort
from bandfuse.survey.gather import survey
from bandfuse.survey.missing import require_classes, require_noise
from bandfuse.survey.scout import Inquiry, glance
from bandfuse.survey.survey import SCORED, Survey
from bandfuse.training.arrange import arrange, require_room, unique_target_names
from bandfuse.training.checkpoint import checkpoint_of
from bandfuse.training.fitting import CONVERGED, Sampling, fit_model, is_solved
from bandfuse.training.settings import is_assessed, is_sampled
from bandfuse.training.trained import Trained
from bandfuse.trust.assess import JACKKNIFE, Assessment, Plan, assess, jackknives, plan
from bandfuse.trust.refits import held_out_pairs, peak_of
from bandfuse.trust.trials import contest

if TYPE_CHECKING:
    from bandfuse.optimise.losses import LossFunction
    from bandfuse.solve.fit_result import Fit

SAMPLE = 20_000
"""Pixels sampled to train on where moments do not tell enough."""


def learn_from(
    config: TrainConfig,
    opened: Opened,
    progress: Progress = silent,
    *,
    loss: LossFunction | None = None,
    once_read: Callable[[Sequence[str]], None] = lambda files: None,
) -> Trained:
    """:func:`learn`, again without the scenes that turn out broken if they may be left out."""
    while True:
        try:
            trained = learn(config, opened.scenes, progress, loss=loss, once_read=once_read)
        except ScenesError as error:
            opened = opened.without(error.reasons)
        else:
            return replace(trained, left_out=opened.left_out)


def learn(
    config: TrainConfig,
    scenes: list[Scene],
    progress: Progress = silent,
    *,
    loss: LossFunction | None = None,
    once_read: Callable[[Sequence[str]], None] = lambda files: None,
) -> Trained:
    """Learn weights with resolved settings; nothing is written. ``loss(y, target)`` is a loss of your own, of (N, K)
    tensors; ``once_read`` is given the files when their pixels are read."""
    targets = unique_target_names(config, scenes)
    started = time.perf_counter()
    fills = each(
        [s.key for s in scenes], scenes,
        lambda scene: fill_messages(scene, config.nodata, config.seed, stop=True), skip=config.skip_broken,
    )  # fmt: skip
    effort = Effort.of(config.threads, config.memory)
    seen = cache(lambda: glance(scenes, effort, config.seed, skip=config.skip_broken).covariance)
    found = survey(
        scenes,
        lambda bands: arrange(config, bands, targets, seen),
        effort,
        progress,
        Inquiry(
            seed=config.seed,
            sample=_sample_size(config),
            noise="snr" in config.terms,
            random_parts=config.folds if config.split == "random" else 0,
            device=_pass_device(config),
            precision=config.precision,
            most=config.max_pixels,
            squares_only=set(config.terms) == {"regression"},
            skip=config.skip_broken,
            any_units=config.any_units,
        ),
    )
    found.messages[:0] = [text for some in fills for text in some]
    require_classes(config, scenes, found)
    require_noise(config, found)
    _note_few(config, found)
    require_room(config, found)
    once_read([r.path for s in scenes for r in s.files])
    _load(config)
    read = time.perf_counter()
    sampling = Sampling(loss, checkpoint_of(config, found))
    # One thread: sums have the same bits on every run, and thousands of small products do not wait for each other.
    with threadpool_limits(limits=1, user_api="blas"):
        config = _pooled(config, scenes, found, progress)
        made = plan(config, found, progress) if is_assessed(config) else None
        model, fits, device = fit_model(config, scenes, found, made, sampling, progress)
        trust = _assess(config, scenes, made, found, model, fits, loss, progress)
    ended = time.perf_counter()
    return Trained(
        config.model_copy(update={"device": device, "precision": found.precision}), scenes, found, model, fits,
        read - started, ended - read, device, made, trust,
    )  # fmt: skip


def _pass_device(config: TrainConfig) -> str:
    """Where moments are computed: on cuda, as Apple's GPUs have no float64."""
    device = device_of(config.device)
    return device if device == "cuda" else "cpu"


def _sample_size(config: TrainConfig) -> int:
    if is_sampled(config) or "separability" in config.terms:
        return SAMPLE
    return SCORED if config.goal == "regression" else 0


def _note_few(config: TrainConfig, found: Survey) -> None:
    """Say where there are fewer pixels than weights: then many weights fit them alike."""
    if set(config.terms) == {"regression"} and (count := found.pooled.count) < (n := len(found.design.used)):
        found.messages.append(
            f"there are fewer pixels than weights of an output ({count} and {n}): many weights fit them alike, "
            "scores say little, and there are no intervals"
        )


def _load(config: TrainConfig) -> None:
    """Import what the fit needs: a limit on threads reaches only libraries that are loaded. Not while the pixels are
    read: an import of seconds would hold the reading threads up for longer than it takes."""
    torch = () if is_solved(config, device_of(config.device)) else ("torch",)
    for name in ("scipy.linalg", "scipy.optimize", *torch):
        importlib.import_module(name)


POOLINGS = (0.0, *(10.0**e for e in range(-6, 3)))
"""Strengths that are tried; the last one leaves scenes next to nothing of their own."""


def _pooled(config: TrainConfig, scenes: Sequence[Scene], found: Survey, progress: Progress) -> TrainConfig:
    """The settings with a number for the pooling: of those tried, the one with the least error on held-out blocks of
    every scene, its common and own weights learned from the rest."""
    if config.pooling != "auto":
        return config
    quick = config.model_copy(update={"starts": 1, "optimizer": "lbfgs", "init": "auto", "lr": None, "schedule": None})
    errors: dict[float, float] = {}
    for strength in progress(POOLINGS, total=len(POOLINGS), label="choose the pooling"):
        tried = quick.model_copy(update={"pooling": strength})

        def again(part: Survey, tried: TrainConfig = tried) -> Model:
            return fit_model(tried, scenes, part, None, Sampling(), silent)[0]

        names = [s.names for s in scenes]
        pairs = held_out_pairs(found, names, again, count=config.folds, per_scene=True, progress=silent)
        if pairs is not None:
            errors[strength] = sum(-(row["r2"] or 0.0) for row in judge(pairs, peak_of(found)).outputs)
    chosen = min(errors, key=lambda strength: errors[strength]) if errors else 0.0
    why = "on held-out blocks" if errors else "as there are too few blocks to hold any out"
    found.messages.append(f"pooling {chosen:g} was chosen {why}")
    return config.model_copy(update={"pooling": chosen})


def _assess(
    config: TrainConfig,
    scenes: Sequence[Scene],
    made: Plan | None,
    found: Survey,
    model: Model,
    fits: Sequence[Fit],
    loss: LossFunction | None,
    progress: Progress,
) -> Assessment:
    """Hold-out, baselines and intervals of the fitted weights, as far as they are known."""
    plain, once = Sampling(loss), config.model_copy(update={"starts": 1})
    if config.goal != "regression":
        weight = model.common.weight[:, list(found.design.used)]

        def encode(part: Survey) -> Floats:
            return fit_model(once, scenes, part, None, plain, silent)[0].common.weight[:, list(part.design.used)]

        return contest(config, found, weight, encode, progress)
    gap = max((f.relative_gap or 0.0 for f in fits), default=0.0)
    exactly = made is not None and gap <= CONVERGED

    without: list[Model] = []

    def again(part: Survey) -> Model:
        without.append(fit_model(once, scenes, part, made, plain, silent)[0])
        return without[-1]

    pairs = None
    if not exactly:
        names = [s.names for s in scenes]
        pairs = held_out_pairs(found, names, again, count=config.folds, per_scene=config.per_scene, progress=progress)
    held = None if pairs is None else judge(pairs, peak_of(found))
    matrix = model.common.matrix[:, list(found.design.used)]
    trust = assess(config, found, made, matrix, held, exactly=exactly, progress=progress)
    if exactly:
        return trust
    bounds = jackknives(config, made, found.design.used, model, without)
    return replace(trust, intervals=bounds, method=JACKKNIFE, models=without)
