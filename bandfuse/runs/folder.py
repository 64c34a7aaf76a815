"""Folder: what a run folder holds, and how it is written."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from threadpoolctl import threadpool_limits

from bandfuse.applying.fuse import NOTHING, Output, Writing, fuse_to
from bandfuse.applying.outputs import empty_messages
from bandfuse.config.train import NOT_RESULTS
from bandfuse.device import Place
from bandfuse.export.qml import unstyled
from bandfuse.files.checksums import Checksums
from bandfuse.files.guards import RASTERS, Contents, Seen
from bandfuse.files.whole import Ready, whole_folder
from bandfuse.files.yamlfile import dump_yaml
from bandfuse.model.weightsfile import dumps
from bandfuse.progress import Progress, during
from bandfuse.raster import Encoding
from bandfuse.results.training import TrainReport
from bandfuse.runs.page import page, write_texts
from bandfuse.runs.record import report_of
from bandfuse.training.trained import Trained

RUN_FILE = "weights.safetensors"


RUN_CONTENTS = Contents(
    RUN_FILE,
    (
        "fused.tif",
        "*.fused.tif",
        "*fused.stac.json",
        "*fused.qml",
        "weights.csv",
        "report.json",
        "report.html",
        "report.data.json",
        "config.yaml",
        "figures/*.svg",
        "figures/*.png",
    ),
    unlike=RASTERS,
)
"""By what a folder is known as a run, and what it holds."""


def write_run(
    folder: Path,
    trained: Trained,
    checksums: Checksums,
    progress: Progress,
    *,
    ready: Ready | None,
    seen: Seen,
) -> tuple[TrainReport, list[str]]:
    """Write the run folder, whole or not at all. Gives the report, and messages for the user."""
    started, config = time.perf_counter(), trained.config
    with whole_folder(folder, ready, seen) as scratch:
        (scratch / RUN_FILE).write_bytes(dumps(trained.model))
        settings = config.model_dump(mode="json", exclude=NOT_RESULTS, exclude_none=True)
        (scratch / "config.yaml").write_text(dump_yaml(settings), encoding="utf-8")
        valid, places = ({}, ()) if config.no_fused else write_fused(scratch, trained, progress)
        empty = [text for path, n in valid.items() for text in empty_messages([path], [n])]
        if config.style and valid:
            empty += _unstyled(valid, trained)
        trained = replace(
            trained,
            remarks=(*trained.remarks, *empty),
            places=trained.places | ({"apply": places} if places else {}),
        )
        sums = checksums.wait(progress)
        # One thread, as in the training: the report's numbers have the same bits on every run.
        with (
            during(progress, "describe every weight"),
            threadpool_limits(limits=1, user_api="blas"),
        ):
            report = report_of(trained, sums, checksums.sizes)
        report.seconds.write = time.perf_counter() - started
        first = next(iter(valid), None)
        with during(progress, "make the page"):
            shown = None if config.no_report else page(folder, trained, report, first)
            if shown is not None:
                report.keep_page(shown)
            write_texts(scratch, report, shown, figures=config.figures)
    return report, trained.messages


def _unstyled(fused: Iterable[Path], trained: Trained) -> list[str]:
    """Which of the fused rasters of a training's scenes have no style."""
    fusions = [trained.model.fusion(scene.names) for scene in trained.scenes]
    return unstyled((p.name, f.outputs) for p, f in zip(fused, fusions, strict=True))


def write_fused(
    scratch: Path, trained: Trained, progress: Progress
) -> tuple[dict[Path, int], tuple[Place, ...]]:
    """Write ``fused.tif``, or ``<scene>.fused.tif`` for several scenes. Gives the number of valid
    pixels by file, and where they were computed."""
    single = len(trained.scenes) + len(trained.left_out) == 1
    config = trained.config
    how = Writing(Encoding(), trained.effort, progress, stac=config.stac, style=config.style)
    valid, done = {}, NOTHING
    for scene in trained.scenes:
        path = scratch / ("fused.tif" if single else f"{scene.key}.fused.tif")
        valid[path], some = fuse_to(Output(path, scene, trained.model.fusion(scene.names)), how)
        done += some
    return valid, done.places
