"""Learn: from settings to a model. Reads and fits; writes nothing."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from threadpoolctl import threadpool_limits

from bandfuse.spectral import groups as make
from bandfuse.spectral.bands import Bands, Floats
from bandfuse.config import TrainConfig
from bandfuse.solve.design import Design, design, unique_names
from bandfuse.device import device_of
from bandfuse.errors import ConfigError, GroupError, InputError, ScenesError, shorten
from bandfuse.spectral.groups import Covariance, Group
from bandfuse.model.model import Model
from bandfuse.progress import Progress, silent
from bandfuse.scenes.scene import Scene, left_out_messages, pair_of, target_bands, target_names
from bandfuse.solve.scores import judge
from bandfuse.moments.tally import MOST_STRATA
from bandfuse.trust.assess import JACKKNIFE, Assessment, Plan, assess, jackknives, plan
from bandfuse.training.checkpoint import checkpoint_of
from bandfuse.trust.trials import contest
from bandfuse.scenes.attempts import each
from bandfuse.streaming.budget import Effort
from bandfuse.checks.fill import fill_messages
from bandfuse.training.fitting import fit_model, is_solved
from bandfuse.survey.scout import glance
from bandfuse.trust.refits import held_out_pairs, peak_of
from bandfuse.scenes.opening import Opened
from bandfuse.trust.published import require_comparable
from bandfuse.training.settings import is_assessed
from bandfuse.tools.sampled import CONVERGED, Sampling, is_sampled, limit_messages, stop_messages
from bandfuse.scenes.alignment import alignment_messages
from bandfuse.survey.gather import SCORED, Inquiry, Survey, survey

if TYPE_CHECKING:
    from bandfuse.solve.fit_result import Fit
    from bandfuse.optimise.losses import LossFunction

SAMPLE = 20_000
"""Pixels sampled to train on where moments do not tell enough."""

FEW = 10
"""A class with fewer pixels is said to be small."""


@dataclass(frozen=True, eq=False)
class Trained:
    """A finished training before it is written."""

    config: TrainConfig
    scenes: list[Scene]
    survey: Survey
    model: Model
    fits: list[Fit]
    seconds_read: float
    seconds_fit: float
    device: str
    plan: Plan | None
    trust: Assessment
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def messages(self) -> list[str]:
        """What a user should know, from the files and from the pass."""
        from_files = [f"{Path(r.path).name}: {m}" for s in self.scenes for r in s.files for m in r.messages]
        names = self.survey.design.names
        stops = [*stop_messages(self.fits, names), *limit_messages(self.config, self.fits, names)]
        design = self.survey.design
        fusion = self.model.common
        empty = [n for n, w in zip(design.names, fusion.matrix, strict=True) if not w.any()]
        if empty:
            stops.append(
                f"all weights of {shorten(empty)} are zero: the penalties are too strong, or nothing is explained"
            )
        unread = [text for scene in self.scenes for text in left_out_messages(scene)]
        lacking, aligned = make.lacking(self.config.groups, self.survey.bands), alignment_messages(self.scenes)
        aligned += _swapped(self.scenes)
        broken = [f"scene {key!r} is left out: {reason}" for key, reason in self.left_out.items()]
        return list(
            dict.fromkeys(
                [*broken, *from_files, *unread, *aligned, *self.survey.messages, *filter(None, [lacking]), *stops]
            )
        )


def _swapped(scenes: Sequence[Scene]) -> list[str]:
    """A target with more bands than its scene may be the scene."""
    first = scenes[0]
    count = 0 if first.target is None else len(target_bands(first.target))
    if first.target is None or count <= len(first.bands):
        return []
    return [
        f"the target {Path(first.target.path).name} has {count} bands, the scene {Path(first.grid.path).name} has "
        f"{len(first.bands)}: {count} outputs were learned from {len(first.bands)} bands. If that is the wrong way "
        "round, give the scene first: bandfuse train SCENE --target TARGET"
    ]


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
    targets = _target_names(config, scenes)
    started = time.perf_counter()
    fills = each(
        [s.key for s in scenes], scenes,
        lambda scene: fill_messages(scene, config.nodata, config.seed, stop=True), skip=config.skip_broken,
    )  # fmt: skip
    effort = Effort.of(config.threads, config.memory)
    seen = cache(lambda: glance(scenes, effort, config.seed, skip=config.skip_broken).covariance)
    found = survey(
        scenes,
        lambda bands: _arrange(config, bands, targets, seen),
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
    _require_classes(config, scenes, found)
    _require_noise(config, found)
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


def _require_noise(config: TrainConfig, found: Survey) -> None:
    """The noise of B bands needs more neighbours than bands, and outputs of one group would all be the same."""
    if "snr" not in config.terms:
        return
    pairs, bands = found.noise.count, len(found.design.used)
    if pairs < 2 * bands:
        raise InputError(
            f"there are too few neighbouring pixels to see the noise of {bands} bands", got=f"{pairs} pairs",
            expected=f"at least {2 * bands}", remedy="Use a larger scene, or fewer bands.",
        )  # fmt: skip


def require_room(config: TrainConfig, found: Survey) -> None:
    """Without targets, outputs of the same bands must be able to differ."""
    if config.goal == "regression":
        return
    layout = found.design.layout
    same: dict[tuple[int, ...], list[str]] = {}
    for k, name in enumerate(found.design.names):
        same.setdefault(tuple(sorted(layout.col[layout.row == k].tolist())), []).append(name)
    for bands, names in same.items():
        most = 1 if [*config.terms] == ["snr"] else len(bands)
        if len(names) > most:
            raise GroupError(
                f"outputs {shorten(names)} are of the same bands", got=f"{len(names)} outputs of {len(bands)} bands",
                expected=f"at most {most}", remedy="Give each a group of its own, such as --groups equal:K.",
            )  # fmt: skip


def _require_classes(config: TrainConfig, scenes: Sequence[Scene], found: Survey) -> None:
    """Separability needs two classes; a class 0 that may be none is said."""
    if "separability" not in config.terms:
        return
    classes, labels = found.classes, scenes[0].labels
    assert labels is not None
    if len(classes) < 2:
        raise InputError(
            f"labels {shorten(config.labels)} part nothing", got=f"classes {shorten(map(labels.name, classes))}",
            expected="two or more classes among the pixels that count",
        )  # fmt: skip
    if len(classes) > MOST_STRATA:
        raise InputError(
            f"labels {shorten(config.labels)} hold too many classes", got=f"{len(classes)}",
            expected=f"{MOST_STRATA} or fewer", remedy="Leave a fill value out with --unlabelled.",
        )  # fmt: skip
    every = {number for s in scenes if s.labels is not None for number, _ in s.labels.names}
    empty = [labels.name(n) for n in sorted(every - {*classes, *labels.unlabelled, *config.unlabelled})]
    if empty:
        found.messages.append(f"classes without a pixel that counts, left out: {shorten(empty)}")
    small = [f"{labels.name(number)} ({m.count})" for number, m in classes.items() if m.count < FEW]
    if small:
        found.messages.append(f"classes with few pixels: {shorten(small)}; their scores mean little")
    if 0 in classes:
        found.messages.append("class 0 counts as a class: leave it out with --unlabelled 0 if it is none")


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


def _target_names(config: TrainConfig, scenes: Sequence[Scene]) -> list[str] | None:
    """Unique names of the target bands; None without a target."""
    if config.goal != "regression":
        return None
    first = scenes[0].target
    assert first is not None
    count = len(target_bands(first))
    names = target_names(first)
    return [f"b{i}" for i in range(1, count + 1)] if names is None else unique_names(names)


def make_groups(
    config_group: Sequence[str], spec: str | None, fuse: str, bands: Bands, covariance: Covariance | None = None
) -> tuple[list[Group], bool]:
    """The usable groups, and whether their names were given by the user. ``covariance`` of the bands, for rules that
    see pixels."""
    if config_group:
        pairs = [pair_of(text, "--group") for text in config_group]
        names = [name for name, _ in pairs]
        twice = next((n for n in names if names.count(n) > 1), None)
        if twice is not None:
            raise ConfigError(f"two groups are named {twice!r}", remedy="Give each group a name of its own.")
        return make.usable(make.named(dict(pairs), bands), bands), True
    if spec and spec.startswith("file:"):
        from bandfuse.files.yamlfile import read_yaml

        content = read_yaml(spec.removeprefix("file:"))
        return make.usable(make.named({k: str(v) for k, v in content.items()}, bands), bands), True
    if spec:
        return make.usable(make.split(spec, bands, covariance), bands), True
    found = make.per_source(bands) if fuse == "across" else make.one(bands)
    return make.usable(found, bands), fuse == "across"


def _arrange(config: TrainConfig, bands: Bands, targets: list[str] | None, covariance: Covariance) -> Design:
    groups, named = make_groups(config.group, config.groups, config.fuse, bands, covariance)
    made = design(groups, targets=targets, kind=config.weights, fuse=config.fuse, fixed=config.fixed, named=named)
    if config.sensor:
        require_comparable(config.sensor, bands, made.names)
    return made
