"""Train: learn weights from image files, and write a run folder."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bandfuse.config.paths import named_file
from bandfuse.config.train import TrainConfig
from bandfuse.errors import ConfigError
from bandfuse.files.checksums import Checksums, KnownSums
from bandfuse.files.guards import Seen, check_file, check_folder
from bandfuse.files.making import making, names_folder
from bandfuse.files.whole import Ready
from bandfuse.progress import Progress, during, silent
from bandfuse.results.training import TrainPlan, TrainReport
from bandfuse.runs.folder import RUN_CONTENTS, write_run
from bandfuse.scenes.folders import with_scenes
from bandfuse.scenes.opening import Opened, open_scenes
from bandfuse.scenes.scene import Scene, held
from bandfuse.spectral.sensors import is_file
from bandfuse.streaming.budget import Effort
from bandfuse.streaming.stream import Spread
from bandfuse.survey.stored_moments import StoredMoments
from bandfuse.training.learn import learn
from bandfuse.training.plan import plan_training
from bandfuse.training.settings.defaults import resolve, with_loss
from bandfuse.training.settings.moments import regathered, with_moments
from bandfuse.training.trained import doubts

LOG = logging.getLogger(__name__)


if TYPE_CHECKING:
    from bandfuse.optimise.losses import LossFunction


@dataclass(frozen=True)
class Beside:
    """Of a training from moments that stand for files: the settings that its config.yaml names in
    their place, and the scenes of which there are none, with the reasons."""

    named: Mapping[str, object]
    left_out: dict[str, str]


def train(
    config: TrainConfig,
    progress: Progress = silent,
    *,
    loss: LossFunction | None = None,
    keep: Sequence[Path] = (),
    ready: Ready | None = None,
    spread: Spread | None = None,
    beside: Beside | None = None,
) -> tuple[TrainReport, list[str]]:
    """Learn weights and write the run folder. Gives the report, and messages for the user.

    Parameters
    ----------
    loss : a loss of your own for regression: ``loss(y, target)`` of two (N, K) tensors gives (N,)
        or a scalar.
    keep : further files that the run must not take the place of.
    ready : is given the scratch folder of the run before that takes its place.
    spread : has the passes over pixels done in parts by others; the bits are the same.
    beside : of a training from moments, what the run says of the files that they are of.

    Raises
    ------
    UsageError and its children : bad input; nothing is written then.
    """
    if not config.output:
        raise ConfigError("no output is given", expected="-o RUN, the folder to make")
    folder = Path(config.output)
    above = folder.parent if names_folder(config.output) else None
    config, before, fused = with_moments(config), list[StoredMoments](), not config.no_fused
    with during(progress, "open the scenes"):
        if config.moments:
            config, before, odd = regathered(config, loss, progress)
            opened = Opened(
                [one.facts.scene for one in before], {**(beside.left_out if beside else {}), **odd}
            )
        else:
            config = resolve(with_loss(with_scenes(config), loss))
            opened = open_scenes(config)
    scenes = opened.scenes
    for text in doubts(scenes[0]):
        LOG.info(text)
    with making(above), _sums(before) as checksums, held([] if before else scenes) as kept:
        seen = _check_outputs(folder, config, [*keep, *_read_files(config.moments, scenes)])
        trained = learn(
            config,
            opened if before else replace(opened, scenes=kept),
            progress,
            loss=loss,
            once_read=checksums.start,
            effort=Effort.of(config.threads, config.memory, spread, config.device),
            before=before,
        )
        if before:
            named: Mapping[str, object] = {**UNNAMED, "precision": "auto"}
            config = trained.config.model_copy(update=named if beside is None else beside.named)
            said = [NOT_FUSED] if fused else []
            trained = replace(trained, config=config, remarks=(*trained.remarks, *said))
        return write_run(folder, trained, checksums, progress, ready=ready, seen=seen)


UNNAMED: dict[str, list[str]] = {"target": [], "labels": [], "unlabelled": []}
"""Settings of which moments tell."""

NOT_FUSED = (
    "fused rasters are not written, as moments hold no pixels: bandfuse apply RUN SCENE -o OUT "
    "writes them"
)


def _sums(before: Sequence[StoredMoments]) -> Checksums:
    """The checksums of the inputs; of moments those that were taken when they were gathered."""
    known = {path: facts for one in before for path, facts in one.facts.inputs.items()}
    return KnownSums(known) if before else Checksums()


def _read_files(moments: Sequence[str], scenes: Sequence[Scene]) -> list[Path]:
    """The files that a training reads."""
    return [Path(file) for file in moments] or [path for s in scenes for path in s.paths]


def dry_run(config: TrainConfig, *, keep: Sequence[Path] = ()) -> TrainPlan:
    """What a training will read, learn and write, and how long it may take; no pixel is read, and
    nothing is written.

    Raises
    ------
    UsageError and its children : what would end the training before its first pixel.
    """
    if not config.output:
        raise ConfigError("no output is given", expected="-o RUN, the folder to make")
    folder, made = Path(config.output), names_folder(config.output)
    config = with_moments(config)
    if config.moments:
        config, before, odd = regathered(config, None)
        opened = Opened([one.facts.scene for one in before], odd)
    else:
        config = resolve(with_loss(with_scenes(config), None))
        opened = open_scenes(config, look=False)
    scenes = opened.scenes
    planned = plan_training(config, scenes, list(opened.left_out.values()))
    if folder.parent.exists() or not made:
        _check_outputs(folder, config, [*keep, *_read_files(config.moments, scenes)])
    return planned.model_copy(update={"output": str(folder)})


def _check_outputs(folder: Path, config: TrainConfig, inputs: list[Path]) -> Seen:
    """Neither the run nor the checkpoint may take the place of anything that is read, or of each
    other."""
    if config.groups and named_file(config.groups):
        inputs.append(Path(named_file(config.groups)))
    if config.sensor and is_file(config.sensor):
        inputs.append(Path(config.sensor))
    if config.checkpoint:
        check_file(Path(config.checkpoint), overwrite=True, inputs=inputs)
        inputs.append(Path(config.checkpoint))
    return check_folder(folder, RUN_CONTENTS, overwrite=config.overwrite, inputs=inputs)
