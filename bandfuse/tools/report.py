"""Report: the page of a run made again from its folder, and runs side by side. No image is read."""

from __future__ import annotations

import shlex
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from bandfuse.config import CompareConfig, ReportConfig
from bandfuse.errors import ConfigError, InputError
from bandfuse.files.whole import Contents, check_file, check_folder, whole_files, whole_folder
from bandfuse.files.placing import recovered
from bandfuse.report.page_data import Page
from bandfuse.results import ComparedRun, CompareResult, ReportResult, Result, TrainReport
from bandfuse.files.textfile import JSON, text_of
from bandfuse.runs.page import DATA_FILE, REPORT_FILE, write_figures

R = TypeVar("R", bound=Result)

FIGURES = Contents("weights_1.svg", ("*.svg", "*.png"))
"""What a folder of figures holds."""

NO_DATA = (
    "the run kept no pictures, blocks or verdict: it was trained with --no-report, or by an earlier version; "
    "the page shows what report.json holds"
)


@dataclass(frozen=True, eq=False)
class _Run:
    name: str
    folder: Path
    report: TrainReport


def report(run: str | Path, config: ReportConfig) -> ReportResult:
    """Write the page of a run, the same as training wrote; and its figures, if wanted.

    Raises
    ------
    InputError : the folder is no run, or its files are damaged. OutputError, ConfigError : nothing is written.
    """
    from bandfuse.report.html import figure_files, render

    folder = Path(run)
    if not config.output:
        raise ConfigError("no output is given", expected="-o FILE, such as report.html")
    path, read = Path(config.output), [folder / REPORT_FILE, folder / DATA_FILE]
    figures = None if config.figures is None else Path(config.figures)
    seen, seen_figures = check_file(path, overwrite=config.overwrite, inputs=read), None
    if figures is not None:
        seen_figures = check_folder(figures, FIGURES, overwrite=config.overwrite, inputs=[*read, path])
    found, messages = _read(folder / REPORT_FILE, TrainReport), []
    if (folder / DATA_FILE).exists():
        page = _read(folder / DATA_FILE, Page)
    else:
        page, messages = _bare(folder), [NO_DATA]
    with _fitting(folder):
        text = render(found, page)
        pictures = {} if figures is None else figure_files(found, page)
    with whole_files(path, read, seen=seen) as scratch:
        scratch.write_text(text, encoding="utf-8")
    names: list[str] = []
    if figures is not None:
        names = sorted(pictures)
        with whole_folder(figures, seen=seen_figures) as place:
            write_figures(place, found, page)
    return ReportResult(output=str(path), figures=names, messages=messages)


@contextmanager
def _fitting(*folders: Path) -> Iterator[None]:
    """Results are shown, each of which is well formed; that they go together is seen only then."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # matplotlib's, on what cannot be drawn
            yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise InputError(
            f"the results in {' or '.join(map(str, folders))} do not go together",
            got=f"{type(error).__name__}: {error}"[:LONGEST],
            remedy="Train again, or use the bandfuse that wrote them.",
        ) from error  # fmt: skip


LONGEST = 300
"""Characters that are shown of what is wrong."""


def _bare(folder: Path) -> Page:
    """The page of a run that kept nothing for it."""
    command = f"bandfuse train --config {shlex.quote(str(folder / 'config.yaml'))} -o NEW_RUN"
    return Page(title=folder.resolve().name, command=command, equation="", messages=[NO_DATA])


def _read(path: Path, kind: type[R]) -> R:
    remedy = recovered(path)
    if remedy:
        raise InputError(f"{path} does not exist", remedy=remedy)
    text = text_of(path, "the folder of a run, with report.json in it", JSON)
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InputError(
            f"{path} is damaged, or of another version", got=f"{where}: {first['msg']}" if where else first["msg"],
            remedy="Train again, or use the bandfuse that wrote it.",
        ) from error  # fmt: skip


def compare(runs: Sequence[str | Path], config: CompareConfig) -> CompareResult:
    """Put runs side by side; written as a page if an output is given.

    Raises
    ------
    InputError : a folder is no run. OutputError, ConfigError : nothing is written.
    """
    if len(runs) < 2:
        raise ConfigError("there is nothing to compare", got=f"{len(runs)} run", expected="two runs or more")
    seen = None
    if config.output:
        inputs = [Path(run) / REPORT_FILE for run in runs]
        seen = check_file(Path(config.output), overwrite=config.overwrite, inputs=inputs)
    found = _runs([Path(run) for run in runs])
    messages = _differences(found)
    if config.output:
        from bandfuse.report.compare import render

        with _fitting(*(run.folder for run in found)):
            text = render({run.name: run.report for run in found}, messages)
        with whole_files(Path(config.output), seen=seen) as scratch:
            scratch.write_text(text, encoding="utf-8")
    return CompareResult(output=config.output, runs=[_compared(run) for run in found], messages=messages)


def _runs(folders: Sequence[Path]) -> list[_Run]:
    """By the folder's name where that is unique, else by its path."""
    names = Counter(f.resolve().name for f in folders)
    again = next((f for i, f in enumerate(folders) if f.resolve() in [g.resolve() for g in folders[:i]]), None)
    if again is not None:
        raise ConfigError(f"run {again} is given twice", expected="different runs")
    return [
        _Run(f.resolve().name if names[f.resolve().name] == 1 else str(f), f, _read(f / REPORT_FILE, TrainReport))
        for f in folders
    ]


def _differences(runs: Sequence[_Run]) -> list[str]:
    """What makes the scores of these runs hard to compare."""
    inputs = {tuple(sorted(i.sha256 or i.path for i in run.report.inputs)) for run in runs}
    used = {run.report.pixels.used for run in runs}
    splits = {run.report.scores.split for run in runs}
    lines = []
    if len(inputs) > 1:
        lines.append("the runs were not trained on the same files: their scores are of different pixels")
    elif len(used) > 1:
        lines.append("the runs did not use the same number of pixels: their scores are of different pixels")
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
    """Whether versions or kernels differ; a library that only one of the runs has loaded says nothing."""
    a, b = _kernels_of(one), _kernels_of(other)
    return one.versions != other.versions or any(a[name] != b[name] for name in a.keys() & b.keys())


def _kernels_of(report: TrainReport) -> dict[str, set[tuple[str, str]]]:
    found: dict[str, set[tuple[str, str]]] = {}
    for k in report.kernels:
        found.setdefault(k.library, set()).add((k.version, k.kernel))
    return found


def _compared(run: _Run) -> ComparedRun:
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
