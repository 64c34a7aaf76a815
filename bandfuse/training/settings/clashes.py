"""Clashes: settings of a training that exclude each other, or do not apply."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bandfuse.config.train import TrainConfig
from bandfuse.errors import ConfigError
from bandfuse.goals import GOALS

Clash = tuple[bool, str, str]
"""Whether it is so, what cannot be, and what to do."""


def refuse_clashes(config: TrainConfig) -> None:
    """Refuse settings whose defaults are filled in, if some exclude each other.

    Raises
    ------
    ConfigError
    """
    for rules in (
        _of_objective,
        _of_answers,
        _of_constraint,
        _of_penalties,
        _of_outputs,
        _of_others,
        _of_folds,
    ):
        for wrong, what, remedy in rules(config):
            if wrong:
                raise ConfigError(what, remedy=remedy)


def _unused(given: Mapping[str, bool], unless: bool, why: str) -> Iterator[Clash]:
    """Flags that are given although they do not apply."""
    for flag, is_given in given.items():
        yield is_given and not unless, f"{flag} does not apply {why}", "Leave it out."


def _exclude(given: Mapping[str, bool], where: bool, other: str) -> Iterator[Clash]:
    """Flags that are given beside another that excludes them."""
    for flag, is_given in given.items():
        yield is_given and where, f"{flag} and {other} exclude each other", "Use one of them."


def _named(gathers: str) -> str:
    """The objectives that gather something, in words."""
    return " or ".join(goal.name for goal in GOALS.values() if goal.gathers == gathers)


def _of_objective(config: TrainConfig) -> Iterator[Clash]:
    asked = {goal.gathers: goal.name for goal in config.goals}
    yield (
        "targets" in asked and not config.target,
        f"{asked.get('targets')} needs a target",
        "Give --target T, or use --objective reconstruction.",
    )
    yield (
        "classes" in asked and not config.labels,
        f"{asked.get('classes')} needs labels",
        "Give --labels L.",
    )
    yield (
        "targets" in asked and "classes" in asked,
        f"{asked.get('targets')} and {asked.get('classes')} cannot be summed: a scene has a target "
        "or labels",
        "Use one of them.",
    )
    yield (
        len(config.terms) > 1 and config.sampled,
        "losses and activations on a pixel sample cannot be summed with other objectives",
        "Leave --loss and --activation out.",
    )


def _of_answers(config: TrainConfig) -> Iterator[Clash]:
    """Labels without classes, and what only a regression has."""
    yield from _unused(
        {
            "--labels": bool(config.labels),
            "--label-field": config.label_field is not None,
            "--unlabelled": bool(config.unlabelled),
            "--balance": config.balance,
        },
        unless="classes" in config.gathers,
        why=f"without {_named('classes')}",
    )
    goal = config.goals[0]
    yield from _unused(
        {
            "--target": bool(config.target),
            "--gain": config.gain,
            "--no-offset": config.no_offset,
            "--activation": config.activation != "identity",
            "--loss": config.loss != "mse",
            "--weights instance": config.weights == "instance",
            "--scope per-scene": config.scope == "per-scene",
        },
        unless=goal.matches,
        why=f"to {goal.name}",
    )


def _of_constraint(config: TrainConfig) -> Iterator[Clash]:
    yield (
        config.gain and config.constraint not in ("affine", "simplex"),
        f"--gain does not apply with constraint {config.constraint}",
        "Use it with --constraint affine or simplex; free and non-negative weights hold their gain "
        "already.",
    )
    pooled = config.pooling not in (None, 0.0)
    yield (
        pooled and not config.per_scene,
        "--pooling does not apply to weights that all scenes share",
        "Use it with --scope per-scene.",
    )
    yield (
        pooled and not config.from_moments,
        "--pooling is for regression from moments",
        "Leave it out.",
    )
    ridged = any(goal.ridged for goal in config.goals)
    yield from _unused(
        {
            "--constraint auto": config.constraint == "auto",
            "--constraint bandpass": config.constraint == "bandpass",
            "--ridge": config.ridge is not None and not ridged,
            "--smooth": config.smooth is not None,
            "--sparse": config.sparse is not None,
        },
        unless=config.assessed,
        why="to other objectives and sums, weights per scene, and losses and activations on a "
        "pixel sample",
    )


def _of_penalties(config: TrainConfig) -> Iterator[Clash]:
    """Ridge, smooth and sparse, and the constraint that chooses these by itself."""
    per_band = config.fuse == "within" and config.weights == "channel"
    chosen = config.constraint == "bandpass"
    yield (
        config.sparse is not None
        and (config.constraint in ("affine", "simplex") or bool(config.fixed)),
        "--sparse does not apply where the sum of the weights is given, nor beside fixed groups",
        "Use it with --constraint free, nonnegative or auto.",
    )
    yield (
        chosen and not per_band,
        "--constraint bandpass is for one weight per band within groups",
        "Use another --constraint.",
    )
    penalties = {"--ridge": config.ridge, "--smooth": config.smooth, "--sparse": config.sparse}
    yield from _unused(
        {flag: value is not None for flag, value in penalties.items()},
        unless=not chosen,
        why="with --constraint bandpass, which chooses how smooth weights are by itself",
    )
    yield (
        config.ridge == "auto" and not config.assessed,
        f"--ridge auto does not apply to {config.objective}",
        "Give a number.",
    )
    yield (
        config.smooth is not None and not per_band,
        "--smooth is for one weight per band within groups",
        "Leave it out.",
    )


def _of_outputs(config: TrainConfig) -> Iterator[Clash]:
    """Several free outputs of each group."""
    many = config.outputs is not None
    yield (
        many and any(goal.matches for goal in config.goals),
        "--outputs does not apply to regression, which has one output for each band of the target",
        "Leave it out; or use --objective reconstruction, separability or snr.",
    )
    for flag, given in (
        ("--fuse across", config.fuse == "across"),
        (f"--weights {config.weights}", config.weights != "channel"),
        ("--fixed", bool(config.fixed)),
    ):
        yield (
            many and given,
            f"--outputs does not apply with {flag}: the outputs of a group would all be the same",
            "Use one of them.",
        )
    quick = config.optimizer == "lbfgs" and config.init in ("auto", "least-squares")
    alone = all(goal.one_per_group for goal in config.goals)
    yield (
        many and config.outputs != 1 and alone and not (config.constraint == "free" and quick),
        f"--outputs of {config.objective} are found by their closed form, which takes free weights",
        "Leave --constraint, --optimizer and --init out.",
    )


def _of_others(config: TrainConfig) -> Iterator[Clash]:
    yield (
        config.sensor is not None and (not config.goals[0].matches or config.fuse == "across"),
        "--sensor compares weights of a regression within groups with published responses",
        "Leave it out.",
    )
    defaults = TrainConfig.default_values()
    for name in ("sample", "batch_size", "patience"):
        yield (
            getattr(config, name) != defaults[name] and not config.sampled,
            f"--{name.replace('_', '-')} does not apply with --loss mse and --activation identity, "
            "which need no pixel sample",
            "Leave it out, or use another --loss or --activation.",
        )
    seen = bool(config.target or config.labels)
    yield from _unused(
        {"--shift": config.shift is not None}, unless=seen, why="without --target or --labels"
    )
    yield (
        config.registration == "on" and not config.assessed,
        "--register on only applies to a plain regression with one set of weights, learned from "
        "all pixels",
        "Leave it out; --shift auto moves the target.",
    )
    yield from _unused(
        {"--blur": config.blur is not None},
        unless=seen or bool(config.source),
        why="without --target, --labels or --source, as one file has one grid",
    )
    yield from _exclude({"--group": bool(config.group)}, bool(config.groups), "--groups")


def _of_folds(config: TrainConfig) -> Iterator[Clash]:
    """What is held out."""
    yield from _unused(
        {"--split random": config.split == "random"},
        unless="classes" not in config.gathers,
        why=f"to {_named('classes')}",
    )
    yield (
        config.split == "scenes" and config.per_scene,
        "--split scenes does not apply to weights per scene, as a scene that is held out has none",
        "Use --split blocks.",
    )
    yield from _exclude(
        {
            "--ridge auto": config.ridge == "auto",
            "--smooth auto": config.smooth == "auto",
            "--sparse auto": config.sparse == "auto",
            "--pooling auto": config.pooling == "auto",
            f"--split {config.split}": config.split != "blocks",
        },
        config.folds == 0,
        "--folds 0",
    )
