"""Moments: the settings of a training that reads files of moments, and no pixel."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bandfuse.config.train import Gathering, TrainConfig
from bandfuse.errors import ConfigError, InputError, shorten
from bandfuse.files.kinds import is_moments
from bandfuse.progress import Progress, silent
from bandfuse.survey.momentsfile import ENDING
from bandfuse.survey.stored_moments import StoredMoments, stored_moments
from bandfuse.training.regathered import moments_files, pooled_moments, require_answers
from bandfuse.training.settings.defaults import resolve, with_loss

if TYPE_CHECKING:
    from bandfuse.optimise.losses import LossFunction


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
