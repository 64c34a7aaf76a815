"""Train: learn weights from image files, and write a run folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bandfuse.config.paths import named_file
from bandfuse.config.train import TrainConfig
from bandfuse.errors import ConfigError
from bandfuse.files.checksums import Checksums
from bandfuse.files.guards import Seen, check_file, check_folder
from bandfuse.files.whole import Ready
from bandfuse.progress import Progress, silent
from bandfuse.results import TrainReport
from bandfuse.runs.folder import RUN_CONTENTS, write_run
from bandfuse.scenes.opening import open_scenes
from bandfuse.spectral.sensors import is_file
from bandfuse.streaming.budget import Effort
from bandfuse.streaming.stream import Spread
from bandfuse.training.learn import learn_from
from bandfuse.training.settings import resolve, with_loss

if TYPE_CHECKING:
    from bandfuse.optimise.losses import LossFunction


def train(
    config: TrainConfig,
    progress: Progress = silent,
    *,
    loss: LossFunction | None = None,
    keep: Sequence[Path] = (),
    ready: Ready | None = None,
    spread: Spread | None = None,
) -> tuple[TrainReport, list[str]]:
    """Learn weights and write the run folder. Gives the report, and messages for the user.

    Parameters
    ----------
    loss : a loss of your own for regression: ``loss(y, target)`` of two (N, K) tensors gives (N,)
        or a scalar.
    keep : further files that the run must not take the place of.
    ready : is given the scratch folder of the run before that takes its place.
    spread : has the passes over pixels done in parts by others; the bits are the same.

    Raises
    ------
    UsageError and its children : bad input; nothing is written then.
    """
    if not config.output:
        raise ConfigError("no output is given", expected="-o RUN, the folder to make")
    folder = Path(config.output)
    config = resolve(with_loss(config, loss))
    opened = open_scenes(config)
    scenes = opened.scenes
    seen = _check_outputs(folder, config, [*keep, *(p for s in scenes for p in s.paths)])
    with Checksums() as checksums:
        effort = Effort.of(config.threads, config.memory, spread)
        trained = learn_from(
            config, opened, progress, loss=loss, once_read=checksums.start, effort=effort
        )
        return write_run(folder, trained, checksums, progress, ready=ready, seen=seen)


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
