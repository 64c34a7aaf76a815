"""Learn: from settings to a model. Reads and fits; writes nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bandfuse import groups as make
from bandfuse.bands import Bands, Floats
from bandfuse.config import PATHS, TrainConfig, read_yaml, rebased
from bandfuse.design import Design, design, output_bands, unique_names
from bandfuse.errors import ConfigError
from bandfuse.fusion import Fusion, NodataPolicy
from bandfuse.gauge import normalise, uncorrelate
from bandfuse.groups import Group
from bandfuse.model import Model
from bandfuse.moments import Moments
from bandfuse.progress import Progress, silent
from bandfuse.scenes import Scene, check_inputs, open_scene, pair_of, places, target_bands
from bandfuse.tools.survey import Effort, Survey, survey

if TYPE_CHECKING:
    from bandfuse.fit import Fit
    from bandfuse.objectives import Objective

SAMPLE = 20_000
"""Pixels sampled for what moments cannot tell."""


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

    @property
    def messages(self) -> list[str]:
        """What a user should know, from the files and from the pass."""
        from_files = [f"{Path(r.path).name}: {m}" for s in self.scenes for r in s.files for m in r.messages]
        return list(dict.fromkeys([*from_files, *self.survey.messages]))


def learn(config: TrainConfig, progress: Progress = silent) -> Trained:
    """Learn weights; nothing is written."""
    config = resolve(config)
    scenes = [open_scene(p) for p in places(config.scenes, config.source, config.target)]
    for scene in scenes[1:]:
        check_inputs(scene, scenes[0].bands)
    targets = _target_names(config, scenes)
    # Importing torch takes a second: it comes while the pixels are read.
    ahead = threading.Thread(target=__import__, args=("torch",), daemon=True)
    ahead.start()
    started = time.perf_counter()
    found = survey(
        scenes,
        lambda bands: _arrange(config, bands, targets),
        Effort.of(config.threads, config.memory),
        progress,
        seed=config.seed,
        sample=SAMPLE if config.activation != "identity" else 0,
    )
    read = time.perf_counter()
    ahead.join()
    model, fits, device = _fit(config, scenes, found, progress)
    ended = time.perf_counter()
    return Trained(
        config.model_copy(update={"device": device}), scenes, found, model, fits, read - started, ended - read, device
    )


def resolve(config: TrainConfig) -> TrainConfig:
    """Fill in the defaults that depend on other settings, and refuse settings that exclude each other."""
    objective = config.objective or ("regression" if config.target else "reconstruction")
    if objective == "regression" and not config.target:
        raise ConfigError(
            "regression needs a target", expected="--target T", remedy="Or use --objective reconstruction."
        )
    if objective == "reconstruction":
        for flag, given in (
            ("--target", bool(config.target)),
            ("--gain", config.gain),
            ("--activation", config.activation != "identity"),
            ("--weights instance", config.weights == "instance"),
        ):
            if given:
                raise ConfigError(f"{flag} has no meaning for reconstruction", remedy="Leave it out.")
    constraint = config.constraint or ("nonnegative" if objective == "regression" else "simplex")
    if config.gain and constraint not in ("affine", "simplex"):
        raise ConfigError(
            f"--gain has no meaning with constraint {constraint}", expected="--constraint affine or simplex",
            remedy="Free and non-negative weights hold their gain already.",
        )  # fmt: skip
    if config.lr is not None and config.optimizer == "lbfgs":
        raise ConfigError("--lr has no meaning for lbfgs, which searches its steps", remedy="Leave it out.")
    if config.group and config.groups:
        raise ConfigError("--group and --groups exclude each other", remedy="Use one of them.")
    values = rebased(config.model_dump(include={*PATHS, "groups"}), Path.cwd())
    return config.model_copy(update={**values, "objective": objective, "constraint": constraint})


def _target_names(config: TrainConfig, scenes: Sequence[Scene]) -> list[str] | None:
    """Unique names of the target bands, the same number in every scene; None without a target."""
    if config.objective != "regression":
        return None
    first = scenes[0].target
    assert first is not None
    count = len(target_bands(first))
    for scene in scenes[1:]:
        assert scene.target is not None
        if len(target_bands(scene.target)) != count:
            raise ConfigError(
                f"target of scene {scene.key!r} differs from the others",
                got=f"{len(target_bands(scene.target))} bands", expected=f"{count} bands",
            )  # fmt: skip
    names = [first.bands.name[i] for i in target_bands(first)]
    generic = names == [f"b{i + 1}" for i in target_bands(first)]
    return [f"b{i}" for i in range(1, count + 1)] if generic else unique_names(names)


def make_groups(config_group: Sequence[str], spec: str | None, fuse: str, bands: Bands) -> tuple[list[Group], bool]:
    """The usable groups, and whether their names were given by the user."""
    if config_group:
        pairs = [pair_of(text, "--group") for text in config_group]
        names = [name for name, _ in pairs]
        twice = next((n for n in names if names.count(n) > 1), None)
        if twice is not None:
            raise ConfigError(f"two groups are named {twice!r}", remedy="Give each group a name of its own.")
        return make.usable(make.named(dict(pairs), bands), bands), True
    if spec and spec.startswith("file:"):
        content = read_yaml(spec.removeprefix("file:"))
        return make.usable(make.named({k: str(v) for k, v in content.items()}, bands), bands), True
    if spec:
        return make.usable(make.split(spec, bands), bands), True
    found = make.per_source(bands) if fuse == "across" else make.one(bands)
    return make.usable(found, bands), fuse == "across"


def _arrange(config: TrainConfig, bands: Bands, targets: list[str] | None) -> Design:
    groups, named = make_groups(config.group, config.groups, config.fuse, bands)
    return design(groups, targets=targets, kind=config.weights, fuse=config.fuse, fixed=config.fixed, named=named)


def _fit(
    config: TrainConfig, scenes: Sequence[Scene], found: Survey, progress: Progress
) -> tuple[Model, list[Fit], str]:
    """Fit the pooled moments, and for instance weights every scene's own."""
    from bandfuse.fit import device_of

    device = str(device_of(config.device))
    common_fit = _fit_one(config, device, found, found.pooled, progress, scene=None)
    common = _fusion(config, found, common_fit)
    if config.weights != "instance":
        return Model(common), [common_fit], device
    fits = [_fit_one(config, device, found, moments, progress, scene=i) for i, moments in enumerate(found.scenes)]
    own = {s.key: replace(_fusion(config, found, f), outputs=common.outputs) for s, f in zip(scenes, fits, strict=True)}
    return Model(common, own), fits, device


def _fit_one(
    config: TrainConfig, device: str, found: Survey, joint: Moments, progress: Progress, *, scene: int | None
) -> Fit:
    """Minimise the objective of the config on the moments of all scenes, or of one."""
    from bandfuse.fit import Settings, fit

    n = len(found.design.used)
    joint = joint.take([*range(n), *(n + t for t in found.design.targets)])
    objective, level = _objective(config, found, joint, scene)
    settings = Settings(
        constraint=str(config.constraint), gain=config.gain, init=config.init, optimizer=config.optimizer,
        steps=config.steps, lr=config.lr, momentum=config.momentum, device=device, seed=config.seed,
    )  # fmt: skip
    bands = found.bands.take(found.design.used)
    return fit(found.design.layout, objective, bands, joint.mean[:n], level, settings, progress)


def _objective(
    config: TrainConfig, found: Survey, joint: Moments, scene: int | None
) -> tuple[Objective, Floats | None]:
    """The objective, and where the outputs' levels start (None without offset)."""
    from bandfuse.objectives import Reconstruction, Regression, SampledRegression, Split

    n = len(found.design.used)
    split = Split.of(joint, n)
    if config.objective == "reconstruction":
        return Reconstruction(split.a), None
    level = None if config.no_offset else split.target_mean
    if config.activation == "identity":
        return Regression(split, offset=not config.no_offset), level
    pixels = found.pixels if scene is None else found.tallies[scene].pixels
    values = pixels.values[:, [*range(n), *(n + t for t in found.design.targets)]]
    if level is not None and config.activation in ("sigmoid", "tanh"):
        level = np.zeros_like(level)
    return SampledRegression(values, n, split.mean, config.activation), level


def _fusion(config: TrainConfig, found: Survey, fitted: Fit) -> Fusion:
    """The fusion over all B inputs."""
    weight = fitted.weight
    if config.objective == "reconstruction":
        if config.constraint == "free":
            n = len(found.design.used)
            weight = uncorrelate(weight, found.design.layout, found.pooled.covariance[:n, :n])
        weight = normalise(weight, str(config.constraint))
    wide = found.design.widen(weight, len(found.bands))
    return Fusion(
        wide,
        fitted.gain,
        fitted.offset,
        found.bands,
        output_bands(found.design.names, wide * fitted.gain[:, None], found.bands),
        config.activation,
        NodataPolicy(config.nodata_policy),
    )
