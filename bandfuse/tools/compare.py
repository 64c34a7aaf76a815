"""Compare: two or more runs, side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bandfuse.config.commands import CompareConfig
from bandfuse.errors import ConfigError
from bandfuse.files.guards import check_file
from bandfuse.files.whole import whole_files
from bandfuse.results.runs import ComparedRun, CompareResult
from bandfuse.results.training import TrainReport
from bandfuse.runs.page import REPORT_FILE
from bandfuse.runs.read import read_result, same_version


@dataclass(frozen=True, eq=False)
class _ComparedRun:
    name: str
    folder: Path
    report: TrainReport


def compare(runs: Sequence[str | Path], config: CompareConfig) -> CompareResult:
    """Put runs side by side; written as a page if an output is given.

    Raises
    ------
    InputError : a folder is no run. OutputError, ConfigError : nothing is written.
    """
    if len(runs) < 2:
        raise ConfigError(
            "there is nothing to compare", got=f"{len(runs)} run", expected="two runs or more"
        )
    seen = None
    if config.output:
        inputs = [Path(run) / REPORT_FILE for run in runs]
        seen = check_file(Path(config.output), overwrite=config.overwrite, inputs=inputs)
    found = _runs([Path(run) for run in runs])
    messages = _differences(found)
    if config.output:
        from bandfuse.report.compare import render

        with same_version(*(run.folder for run in found)):
            text = render({run.name: run.report for run in found}, messages)
        with whole_files(Path(config.output), seen=seen) as scratch:
            scratch.write_text(text, encoding="utf-8")
    return CompareResult(
        output=config.output, runs=[_compared(run) for run in found], messages=messages
    )


def _runs(folders: Sequence[Path]) -> list[_ComparedRun]:
    """By the folder's name where that is unique, else by its path."""
    names = Counter(f.resolve().name for f in folders)
    again = next(
        (f for i, f in enumerate(folders) if f.resolve() in [g.resolve() for g in folders[:i]]),
        None,
    )
    if again is not None:
        raise ConfigError(f"run {again} is given twice", expected="different runs")
    return [
        _ComparedRun(
            f.resolve().name if names[f.resolve().name] == 1 else str(f),
            f,
            read_result(f / REPORT_FILE, TrainReport),
        )
        for f in folders
    ]


def _differences(runs: Sequence[_ComparedRun]) -> list[str]:
    """What makes the scores of these runs hard to compare."""
    inputs = {tuple(sorted(i.sha256 or i.path for i in run.report.inputs)) for run in runs}
    used = {run.report.pixels.used for run in runs}
    splits = {run.report.scores.split for run in runs}
    lines = []
    if len(inputs) > 1:
        lines.append(
            "the runs were not trained on the same files: their scores are of different pixels"
        )
    elif len(used) > 1:
        lines.append(
            "the runs did not use the same number of pixels: their scores are of different pixels"
        )
    if len(splits) > 1:
        lines.append("some runs held out blocks and others random pixels, whose scores leak")
    if len({run.report.scores.holdout is None for run in runs}) > 1:
        lines.append("not all runs have hold-out scores: those of the training pixels are compared")
    if any(_bits_differ(runs[0].report, run.report) for run in runs[1:]):
        lines.append(
            "the runs were made with other versions of libraries or on another kind of processor "
            "(versions and kernels in report.json): their numbers agree to rounding only"
        )
    return lines


def _bits_differ(one: TrainReport, other: TrainReport) -> bool:
    """Whether versions or kernels differ; a library that only one of the runs has loaded says
    nothing."""
    a, b = _kernels_of(one), _kernels_of(other)
    return one.versions != other.versions or any(a[name] != b[name] for name in a.keys() & b.keys())


def _kernels_of(report: TrainReport) -> dict[str, set[tuple[str, str]]]:
    found: dict[str, set[tuple[str, str]]] = {}
    for k in report.kernels:
        found.setdefault(k.library, set()).add((k.version, k.kernel))
    return found


def _compared(run: _ComparedRun) -> ComparedRun:
    r = run.report
    return ComparedRun(
        run=run.name,
        constraints={o.name: o.constraint for o in r.outputs},
        active_bands={o.name: o.active_bands for o in r.outputs},
        train=r.scores.train,
        holdout=r.scores.holdout,
        relative_gap=r.convergence.relative_gap,
        pixels=r.pixels.used,
        seconds=r.seconds.read + r.seconds.fit + r.seconds.write,
        seed=r.seed,
    )
