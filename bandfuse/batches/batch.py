"""Batch: from a batch file to results."""

from __future__ import annotations

import hashlib
import json
import platform
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path

import bandfuse
from bandfuse.batches.dask_workers import cluster
from bandfuse.batches.fingerprints import size_of
from bandfuse.batches.journal import NAME, Event, Journal, last_done, look_into
from bandfuse.batches.plan import FILES, Plan, plan
from bandfuse.batches.runner import BatchRun, Watch, unwatched
from bandfuse.batches.settings import BatchConfig, read_batch, require_folder
from bandfuse.batches.summary import with_drift, write_summary
from bandfuse.batches.workers import WorkExecutor, local
from bandfuse.errors import BandfuseError, ConfigError, OutputError
from bandfuse.files.placing import settle
from bandfuse.files.whole import whole_files
from bandfuse.results.batches import BatchItem, BatchPlan, BatchResult, PlannedItem


def batch(
    path: str | Path,
    *,
    sets: Sequence[str] = (),
    workers: int | None = None,
    dask: bool = False,
    scheduler: str | None = None,
    fresh: bool = False,
    fail_fast: bool = False,
    overwrite: bool = False,
    watch: Watch = unwatched,
) -> BatchResult:
    """Run a batch file. What an earlier run finished and nothing changed since is kept.

    Parameters
    ----------
    path : the batch file. sets : ``key=value`` settings over it.
    workers : processes on this machine (1); with ``dask`` as a Dask cluster. scheduler : address of
        a Dask scheduler.
    fresh : forget earlier runs. fail_fast : give nothing more out after a failure. overwrite :
        replace outputs that no
    run of this batch has made, too. watch : is told every event.

    Raises
    ------
    UsageError and its children : before any work is done. Failures of items are in the result.
    """
    started = time.perf_counter()
    config, made = planned(path, sets)
    folder = made.folder
    _require_free(folder, overwrite=overwrite)
    run, result = None, None
    try:
        with (
            _executor(workers, dask=dask, scheduler=scheduler) as executor,
            Journal(require_folder(folder), fresh=fresh) as journal,
            executor,
        ):
            _settle(made)
            write_manifest(folder, config, made, journal.before)
            run = BatchRun(made, executor, journal, watch, overwrite=overwrite)
            rows = with_drift(run(fail_fast=fail_fast))
            _settle(made)
            write_manifest(folder, config, made, journal.read())
        result = _summed(rows, folder, started)
    finally:
        if run is not None and result is None:
            _leave_summary(run, folder, started)
    write_summary(result, folder)
    return result


def _summed(rows: list[BatchItem], folder: Path, started: float) -> BatchResult:
    states = [row.state for row in rows]
    return BatchResult(
        output=str(folder),
        done=states.count("done"),
        failed=states.count("failed"),
        skipped=states.count("skipped"),
        kept=sum(row.kept for row in rows),
        seconds=time.perf_counter() - started,
        items=rows,
    )


def _leave_summary(run: BatchRun, folder: Path, started: float) -> None:
    """After an interruption: what is done and what is not, without pictures. What ended the run is
    what is told, not that this could not be written either."""
    with suppress(BandfuseError, OSError):
        write_summary(_summed(run.rows(), folder, started), folder, pictures=0)


def planned(path: str | Path, sets: Sequence[str] = ()) -> tuple[BatchConfig, Plan]:
    """A batch file and its items; nothing is done."""
    config, lines = read_batch(path, sets)
    return config, plan(config, Path(path).absolute().parent, lines)


def _require_free(folder: Path, *, overwrite: bool) -> None:
    """Refuse a folder of a first run where others' files stand at the names of the batch's own."""
    there = next((name for name in FILES if (folder / name).exists()), None)
    if there is not None and not overwrite and not (folder / NAME).exists():
        raise OutputError(
            f"{folder / there} exists, and {folder} holds no journal of a batch",
            remedy="Choose another output, or use --overwrite.",
        )


def _settle(made: Plan) -> None:
    """Finish or remove what commands that ended suddenly have left, wherever the batch writes."""
    written = (Path(output).parent for item in made.items for output in item.outputs)
    for folder in dict.fromkeys([made.folder, *written]):
        settle(folder)


def _executor(
    workers: int | None, *, dask: bool, scheduler: str | None
) -> AbstractContextManager[WorkExecutor]:
    if workers is not None and workers < 1:
        raise ConfigError("--workers", got=str(workers), expected="1 or more")
    if scheduler is not None and (dask or workers is not None):
        raise ConfigError(
            "--scheduler excludes --workers and --dask", remedy="The scheduler has its own workers."
        )
    if scheduler is not None or dask:
        return cluster(scheduler, workers or 1)
    return local(workers or 1)


def dry_run(path: str | Path, sets: Sequence[str] = ()) -> BatchPlan:
    """What a batch would do, and how long it may take by the pace of what the journal knows."""
    _, made = planned(path, sets)
    items = [
        PlannedItem(
            job=i.job,
            kind=i.kind,
            scene=i.scene,
            size=size_of(i.inputs),
            output=i.output,
            needs=i.needs,
        )
        for i in made.items
    ]
    size = sum(item.size for item in items)
    return BatchPlan(output=str(made.folder), items=items, size=size, seconds=_estimate(made, size))


def _estimate(made: Plan, size: int) -> float | None:
    """Seconds, from those per byte of finished items."""
    done = last_done(look_into(made.folder)).values()
    seen = sum(m["size"] for event in done for m in event["inputs"])
    return size * sum(event["seconds"] for event in done) / seen if seen else None


NOTED = ("inputs", "outputs", "seconds", "device", "seed", "weights")
"""What the manifest keeps of a finished item."""


def write_manifest(folder: Path, config: BatchConfig, made: Plan, events: Sequence[Event]) -> None:
    """``manifest.json``: what was asked for, of what, by what, and what came of it, with checksums
    of the inputs."""
    asked = config.model_dump(mode="json")
    done = last_done(events)
    manifest = {
        "config": asked,
        "config_sha256": hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest(),
        "versions": {"bandfuse": bandfuse.__version__, "python": platform.python_version()},
        "items": [
            {
                "key": i.key,
                "kind": i.kind,
                "settings": dict(i.values),
                "settings_sha256": i.settings_hash,
                "output": i.output,
                "needs": i.needs,
                "done": i.key in done,
                **{
                    k: v
                    for k, v in done.get(i.key, {"inputs": list(i.inputs)}).items()
                    if k in NOTED
                },
            }
            for i in made.items
        ],
    }
    with whole_files(folder / "manifest.json") as scratch:
        scratch.write_text(json.dumps(manifest, indent=1), encoding="utf-8")
