"""Report: the page of a run, made again from its folder. No image is read."""

from __future__ import annotations

import shlex
from pathlib import Path

from bandfuse.config.commands import ReportConfig
from bandfuse.files.guards import Contents, check_file, check_folder
from bandfuse.files.whole import whole_files, whole_folder
from bandfuse.report.page_data import Page
from bandfuse.results.runs import ReportResult
from bandfuse.results.training import TrainReport
from bandfuse.runs.page import DATA_FILE, PAGE_FILE, REPORT_FILE, write_figures
from bandfuse.runs.read import read_result, same_version

FIGURES = Contents("weights_1.svg", ("*.svg", "*.png"))
"""What a folder of figures holds."""

NO_DATA = (
    "the run kept no pictures, blocks or verdict: it was trained with --no-report, or by an "
    "earlier version; the page shows what report.json holds"
)


def make_report(run: str | Path, config: ReportConfig) -> ReportResult:
    """Write the page of a run, the same as training wrote; and its figures, if wanted.

    Raises
    ------
    InputError : the folder is no run, or its files are damaged. OutputError, ConfigError : nothing
        is written."""
    from bandfuse.report.html import figure_files, render

    folder = Path(run)
    path = Path(config.output) if config.output else folder / PAGE_FILE
    read = [folder / REPORT_FILE, folder / DATA_FILE]
    figures = None if config.figures is None else Path(config.figures)
    seen, seen_figures = check_file(path, overwrite=config.overwrite, inputs=read), None
    if figures is not None:
        seen_figures = check_folder(
            figures, FIGURES, overwrite=config.overwrite, inputs=[*read, path]
        )
    found, messages = read_result(folder / REPORT_FILE, TrainReport), []
    if (folder / DATA_FILE).exists():
        page = read_result(folder / DATA_FILE, Page)
    else:
        page, messages = _bare(folder), [NO_DATA]
    with same_version(folder):
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


def _bare(folder: Path) -> Page:
    """The page of a run that kept nothing for it."""
    command = f"bandfuse train --config {shlex.quote(str(folder / 'config.yaml'))} -o NEW_RUN"
    return Page(title=folder.resolve().name, command=command, equation="", messages=[NO_DATA])
