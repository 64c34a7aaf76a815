"""Settings: those of a training with every default filled in, and what each step needs of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bandfuse.config.paths import PATHS, rebased
from bandfuse.config.train import NOT_RESULTS, Gathering, TrainConfig
from bandfuse.errors import ConfigError, InputError, shorten
from bandfuse.files.kinds import is_moments
from bandfuse.goals import GOALS
from bandfuse.model.fusion import NodataPolicy
from bandfuse.progress import Progress, silent
from bandfuse.scenes.places import pair_of
from bandfuse.solve.fit_result import Settings
from bandfuse.survey.momentsfile import ENDING
from bandfuse.survey.scout import Inquiry
from bandfuse.survey.stored_moments import StoredMoments, stored_moments
from bandfuse.survey.survey import Survey
from bandfuse.training.arrange import Grouping
from bandfuse.training.checkpoint import Checkpoint, digest
from bandfuse.training.fitting import Fitting
from bandfuse.training.regathered import Asked, moments_files, pooled_moments, require_answers
from bandfuse.trust.assess import Assessing
from bandfuse.trust.regularisation import Wish

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


_DESCENT = (
    *("gain", "init", "optimizer", "steps", "lr", "momentum", "weight_decay", "schedule"),
    *("batch_size", "patience", "seed", "starts"),
)
"""Settings of the descent that have the same name on the command line."""

STATES = 2
"""The form of the states in a checkpoint."""

MOST_FOLDS = 100
"""Folds at most: so many scenes are held out alone."""

Clash = tuple[bool, str, str]
"""Whether it is so, what cannot be, and what to do."""


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
    for wrong, what, remedy in (
        *_of_objective(config),
        *_of_constraint(config),
        *_of_outputs(config),
        *_of_others(config),
        *_of_folds(config),
    ):
        if wrong:
            raise ConfigError(what, remedy=remedy)
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
    for flag, given in (
        ("--labels", bool(config.labels)),
        ("--label-field", config.label_field is not None),
        ("--unlabelled", bool(config.unlabelled)),
        ("--balance", config.balance),
    ):
        yield (
            "classes" not in asked and given,
            f"{flag} does not apply without {_named('classes')}",
            "Leave it out.",
        )
    for flag, given in (
        ("--target", bool(config.target)),
        ("--gain", config.gain),
        ("--no-offset", config.no_offset),
        ("--activation", config.activation != "identity"),
        ("--loss", config.loss != "mse"),
        ("--weights instance", config.weights == "instance"),
        ("--scope per-scene", config.scope == "per-scene"),
    ):
        yield (
            not config.goals[0].matches and given,
            f"{flag} does not apply to {config.goals[0].name}",
            "Leave it out.",
        )


def _of_constraint(config: TrainConfig) -> Iterator[Clash]:
    yield (
        config.gain and config.constraint not in ("affine", "simplex"),
        f"--gain does not apply with constraint {config.constraint}",
        "Use it with --constraint affine or simplex; free and non-negative weights hold their gain "
        "already.",
    )
    yield (
        config.pooling not in (None, 0.0) and not config.per_scene,
        "--pooling does not apply to weights that all scenes share",
        "Use it with --scope per-scene.",
    )
    yield (
        config.pooling not in (None, 0.0) and not config.from_moments,
        "--pooling is for regression from moments",
        "Leave it out.",
    )
    what = (
        "other objectives and sums, weights per scene, and losses and activations on a pixel sample"
    )
    for flag, given in (
        ("--constraint auto", config.constraint == "auto"),
        ("--constraint bandpass", config.constraint == "bandpass"),
        ("--ridge", config.ridge is not None and not any(goal.ridged for goal in config.goals)),
        ("--smooth", config.smooth is not None),
        ("--sparse", config.sparse is not None),
    ):
        yield given and not config.assessed, f"{flag} does not apply to {what}", "Leave it out."
    yield (
        config.sparse is not None
        and (config.constraint in ("affine", "simplex") or bool(config.fixed)),
        "--sparse does not apply where the sum of the weights is given, nor beside fixed groups",
        "Use it with --constraint free, nonnegative or auto.",
    )
    yield from _of_bandpass(config)
    yield (
        config.ridge == "auto" and not config.assessed,
        f"--ridge auto does not apply to {config.objective}",
        "Give a number.",
    )
    yield (
        config.smooth is not None and (config.fuse == "across" or config.weights != "channel"),
        "--smooth is for one weight per band within groups",
        "Leave it out.",
    )


def _of_bandpass(config: TrainConfig) -> Iterator[Clash]:
    chosen = config.constraint == "bandpass"
    yield (
        chosen and (config.fuse == "across" or config.weights != "channel"),
        "--constraint bandpass is for one weight per band within groups",
        "Use another --constraint.",
    )
    for flag, given in (
        ("--ridge", config.ridge),
        ("--smooth", config.smooth),
        ("--sparse", config.sparse),
    ):
        yield (
            chosen and given is not None,
            f"{flag} does not apply with --constraint bandpass, which chooses how smooth weights "
            "are by itself",
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
    for flag, given in (
        ("--sample", config.sample),
        ("--batch-size", config.batch_size),
        ("--patience", config.patience),
    ):
        yield (
            given != TrainConfig.model_fields[flag[2:].replace("-", "_")].default
            and not config.sampled,
            f"{flag} does not apply with --loss mse and --activation identity, which need no pixel "
            "sample",
            "Leave it out, or use another --loss or --activation.",
        )
    seen = bool(config.target or config.labels)
    yield (
        config.shift is not None and not seen,
        "--shift does not apply without --target or --labels",
        "Leave it out.",
    )
    yield (
        config.registration == "on" and not config.assessed,
        "--register on only applies to a plain regression with one set of weights, learned from "
        "all pixels",
        "Leave it out; --shift auto moves the target.",
    )
    yield (
        config.blur is not None and not seen and not config.source,
        "--blur does not apply without --target, --labels or --source, as one file has one grid",
        "Leave it out.",
    )
    yield (
        bool(config.group and config.groups),
        "--group and --groups exclude each other",
        "Use one of them.",
    )


def _of_folds(config: TrainConfig) -> Iterator[Clash]:
    """What is held out."""
    yield (
        config.split == "random" and "classes" in config.gathers,
        f"--split random does not apply to {_named('classes')}",
        "Leave it out.",
    )
    yield (
        config.split == "scenes" and config.per_scene,
        "--split scenes does not apply to weights per scene, as a scene that is held out has none",
        "Use --split blocks.",
    )
    for flag, asked in (
        ("--ridge auto", config.ridge == "auto"),
        ("--smooth auto", config.smooth == "auto"),
        ("--sparse auto", config.sparse == "auto"),
        ("--pooling auto", config.pooling == "auto"),
        (f"--split {config.split}", config.split != "blocks"),
    ):
        yield (
            asked and config.folds == 0,
            f"{flag} and --folds 0 exclude each other",
            "Use one of them.",
        )


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


HELD_BYTES = 192 * 2**20
"""Files of moments that are no larger together stay in memory once they are read."""

STILL = {"any_units", "skip_broken", "registration", "seed", "device", "threads", "memory"}
"""Settings of what is gathered that say something of a training from moments, too."""


def with_moments(config: TrainConfig) -> TrainConfig:
    """Settings with the files of moments that folders and patterns stand for; such files among the
    scenes count as moments, also damaged ones that are named so.

    Raises
    ------
    InputError : a folder without files of moments, or a pattern that no file has.
    """
    among = [path for path in config.scenes if path.endswith(ENDING) or is_moments(path)]
    scenes = [path for path in config.scenes if path not in among]
    files = [file for text in (*config.moments, *among) for file in moments_files(text)]
    if not files:
        return config
    return config.model_copy(update={"moments": files, "scenes": scenes})


def require_no_pixels(config: TrainConfig) -> None:
    """Settings must not ask for pixels where there are only moments.

    Raises
    ------
    ConfigError : a setting that decides what is gathered, or how pixels are written.
    """
    defaults = TrainConfig.default_values()
    asked = [n for n in Gathering.model_fields if n not in STILL]
    for name in (*asked, "stac", "style"):
        if getattr(config, name) == defaults[name]:
            continue
        if name == "scenes":
            raise ConfigError(
                "scenes and moments cannot be given together",
                got=shorten(config.scenes),
                remedy="Gather these scenes with bandfuse moments, and give the files of moments.",
            )
        flag = f"--{name.replace('_', '-')}"
        raise ConfigError(
            f"{flag} does not apply to moments: it needs the pixels",
            remedy=f"Leave it out, or give {flag} to bandfuse moments."
            if name in Gathering.model_fields
            else "Leave it out: bandfuse apply writes fused rasters.",
        )
    if config.split == "random":
        raise ConfigError(
            "--split random does not apply to moments: it needs the pixels",
            remedy="Use --split blocks or --split scenes, or train from the files.",
        )


def as_gathered(config: TrainConfig, every: Sequence[StoredMoments]) -> TrainConfig:
    """Settings that name the targets or labels that the moments were gathered with, where the
    objective is of these.

    Raises
    ------
    ConfigError : the objective needs what was not gathered.
    """
    scenes = [one.facts.scene for one in every]
    first = scenes[0]
    gathers = {"targets", "classes"}
    if config.objective:
        gathers = config.gathers
        require_answers(every, config.objective, gathers)
    update: dict[str, object] = {"no_fused": True}
    if first.target is not None and "targets" in gathers:
        update["target"] = [s.target.path for s in scenes if s.target is not None]
    if first.labels is not None and "classes" in gathers:
        update["labels"] = [s.labels.file.path for s in scenes if s.labels is not None]
    if "classes" in gathers and first.labels is not None:
        update["unlabelled"] = list(first.labels.unlabelled)
    return config.model_copy(update=update)


def regathered(
    config: TrainConfig, loss: LossFunction | None, progress: Progress = silent
) -> tuple[TrainConfig, list[StoredMoments], dict[str, str]]:
    """Resolved settings of a training from files of moments, what these hold, and the scenes that
    do not fit and may be left out, with the reasons.

    Raises
    ------
    ConfigError : settings that need the pixels. InputError : a file that is damaged. MismatchError
        : scenes that do not fit.
    """
    require_no_pixels(config)
    files = progress(config.moments, total=len(config.moments), label="read the moments")
    every, broken = _read(config, files)
    before, odd = pooled_moments(every, skip=config.skip_broken)
    return resolve(with_loss(as_gathered(config, before), loss)), before, {**broken, **odd}


def _read(config: TrainConfig, files: Iterable[str]) -> tuple[list[StoredMoments], dict[str, str]]:
    """What files of moments hold, and the files that are damaged and may be left out, with the
    reasons.

    Raises
    ------
    InputError : a file that is damaged and may not be left out, or nothing but such files.
    """
    every, broken = list[StoredMoments](), dict[str, str]()
    held = sum(map(_size, config.moments)) <= HELD_BYTES
    for file in files:
        try:
            every += stored_moments(file, held=held)
        except InputError as error:
            if not config.skip_broken or len(broken) + 1 == len(set(config.moments)):
                raise
            broken[file] = str(error)
    return every, broken


def _size(file: str) -> int:
    """Bytes of a file; none where there is none."""
    path = Path(file)
    return path.stat().st_size if path.is_file() else 0


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
