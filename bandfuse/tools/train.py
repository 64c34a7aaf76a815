"""Train: learn weights from image files, and write a run folder."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bandfuse.config import NOT_RESULTS, TrainConfig, named_file
from bandfuse.errors import ConfigError
from bandfuse.export import stac
from bandfuse.files.whole import Contents, Ready, Seen, check_file, check_folder, whole_folder
from bandfuse.progress import Progress, silent
from bandfuse.raster import Encoding
from bandfuse.results import TrainReport
from bandfuse.spectral.sensors import is_file
from bandfuse.tools.apply import empty_messages, fuse_to
from bandfuse.files.checksums import Checksums
from bandfuse.streaming.budget import Effort
from bandfuse.training.learn import Trained, learn_from
from bandfuse.scenes.opening import open_scenes
from bandfuse.runs.page import write_texts
from bandfuse.runs.record import report_of
from bandfuse.training.settings import resolve
from bandfuse.tools.sampled import with_loss
from bandfuse.model.weightsfile import dumps
from bandfuse.files.yamlfile import dump_yaml

if TYPE_CHECKING:
    from bandfuse.optimise.losses import LossFunction

RUN_FILE = "weights.safetensors"
RUN_CONTENTS = Contents(
    RUN_FILE,
    (
        "fused.tif",
        "*.fused.tif",
        "*fused.stac.json",
        "weights.csv",
        "report.json",
        "report.html",
        "report.data.json",
        "config.yaml",
        "figures/*.svg",
        "figures/*.png",
    ),
)
"""By what a folder is known as a run, and what it holds."""


def train(
    config: TrainConfig,
    progress: Progress = silent,
    *,
    loss: LossFunction | None = None,
    keep: Sequence[Path] = (),
    ready: Ready | None = None,
) -> tuple[TrainReport, list[str]]:
    """Learn weights and write the run folder. Gives the report, and messages for the user.

    Parameters
    ----------
    loss : a loss of your own for regression: ``loss(y, target)`` of two (N, K) tensors gives (N,) or a scalar.
    keep : further files that the run must not take the place of.
    ready : is given the scratch folder of the run before that takes its place.

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
        trained = learn_from(config, opened, progress, loss=loss, once_read=checksums.start)
        report = _write(folder, trained, checksums, progress, ready=ready, seen=seen)
    return report, trained.messages


def _write(
    folder: Path, trained: Trained, checksums: Checksums, progress: Progress, *, ready: Ready | None, seen: Seen
) -> TrainReport:
    """The run folder, whole or not at all."""
    started = time.perf_counter()
    with whole_folder(folder, ready, seen) as scratch:
        (scratch / RUN_FILE).write_bytes(dumps(trained.model))
        text = dump_yaml(trained.config.model_dump(mode="json", exclude=NOT_RESULTS, exclude_none=True))
        (scratch / "config.yaml").write_text(text, encoding="utf-8")
        fused = [] if trained.config.no_fused else _write_fused(scratch, trained, progress)
        report = report_of(trained, checksums.wait(progress))
        report.seconds.write = time.perf_counter() - started
        write_texts(scratch, folder, trained, report, fused)
    return report


def _check_outputs(folder: Path, config: TrainConfig, inputs: list[Path]) -> Seen:
    """Neither the run nor the checkpoint may take the place of anything that is read, or of each other."""
    if config.groups and named_file(config.groups):
        inputs.append(Path(named_file(config.groups)))
    if config.sensor and is_file(config.sensor):
        inputs.append(Path(config.sensor))
    if config.checkpoint:
        check_file(Path(config.checkpoint), overwrite=True, inputs=inputs)
        inputs.append(Path(config.checkpoint))
    return check_folder(folder, RUN_CONTENTS, overwrite=config.overwrite, inputs=inputs)


def _write_fused(scratch: Path, trained: Trained, progress: Progress) -> list[Path]:
    """``fused.tif``, or ``<scene>.fused.tif`` for several scenes."""
    effort = Effort.of(trained.config.threads, trained.config.memory)
    single = len(trained.scenes) + len(trained.left_out) == 1
    paths = []
    for scene in trained.scenes:
        path = scratch / ("fused.tif" if single else f"{scene.key}.fused.tif")
        fusion, encoding = trained.model.fusion(scene.names), Encoding()
        item = stac.beside(path, scene.grid, fusion.outputs, encoding) if trained.config.stac else None
        valid, _ = fuse_to(path, scene, fusion, encoding, effort, progress, beside=item)
        trained.survey.messages.extend(empty_messages([path], [valid]))
        paths.append(path)
    return paths
