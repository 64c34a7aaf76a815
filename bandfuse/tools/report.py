"""Report: the page of a run, made again from its folder. No image is read."""

from __future__ import annotations

import shlex
from pathlib import Path

from bandfuse.config.commands import ReportConfig
from bandfuse.files.guards import Contents, check_file, check_folder
from bandfuse.files.whole import whole_files, whole_folder
from bandfuse.report.page_data import Page
from bandfuse.report.sharpen_data import SharpenPage
from bandfuse.results.runs import ReportResult
from bandfuse.results.sharpening import SharpenResult
from bandfuse.results.training import TrainReport
from bandfuse.runs.page import DATA_FILE, PAGE_FILE, REPORT_FILE
from bandfuse.runs.read import is_sharpening, read_result, same_version

FIGURES = Contents("weights_1.svg", ("*.svg", "*.png"))
"""What a folder of figures holds."""

SHARPEN_FIGURES = Contents("gains.svg", FIGURES.others)
"""The same of a sharpening."""

NO_DATA = (
    "the run kept no pictures, blocks or verdict: it was trained with --no-report, or by an "
    "earlier version; the page shows what report.json holds"
)

NO_SHARPENED_DATA = (
    "the run kept no pictures and no spectra, as it was made with --no-report; the page shows what "
    "report.json holds"
)


def make_report(run: str | Path, config: ReportConfig) -> ReportResult:
    """Write the page of a run, the same as the training or the sharpening wrote; and its figures,
    if wanted.

    Raises
    ------
    InputError : the folder is no run, or its files are damaged. OutputError, ConfigError : nothing
        is written."""
    folder = Path(run)
    path = Path(config.output) if config.output else folder / PAGE_FILE
    read = [folder / REPORT_FILE, folder / DATA_FILE]
    figures = None if config.figures is None else Path(config.figures)
    seen, seen_figures = check_file(path, overwrite=config.overwrite, inputs=read), None
    if figures is not None:
        holds = SHARPEN_FIGURES if is_sharpening(folder) else FIGURES
        seen_figures = check_folder(
            figures, holds, overwrite=config.overwrite, inputs=[*read, path]
        )
    make = _sharpening if is_sharpening(folder) else _training
    text, pictures, messages = make(folder, figures is not None)
    with whole_files(path, read, seen=seen) as scratch:
        scratch.write_text(text, encoding="utf-8")
    names: list[str] = []
    if figures is not None:
        names = sorted(pictures)
        with whole_folder(figures, seen=seen_figures) as place:
            place.mkdir(exist_ok=True)
            for name, drawn in pictures.items():
                (place / name).write_bytes(drawn)
    return ReportResult(output=str(path), figures=names, messages=messages)


Made = tuple[str, dict[str, bytes], list[str]]
"""The text of a page, its figures by file name if they are wanted, and messages."""


def _training(folder: Path, figures: bool) -> Made:
    """The page of a training."""
    from bandfuse.report.html import figure_files, render

    found, messages = read_result(folder / REPORT_FILE, TrainReport), []
    if (folder / DATA_FILE).exists():
        page = read_result(folder / DATA_FILE, Page)
    else:
        messages = [NO_DATA]
        page = Page(title=_name(folder), command=_again(folder, "train"), equation="")
        page.messages = messages
    with same_version(folder):
        return render(found, page), figure_files(found, page) if figures else {}, messages


def _sharpening(folder: Path, figures: bool) -> Made:
    """The page of a sharpening."""
    from bandfuse.report.sharpen_html import render_sharpening, sharpening_files

    found, messages = read_result(folder / REPORT_FILE, SharpenResult), []
    if (folder / DATA_FILE).exists():
        page = read_result(folder / DATA_FILE, SharpenPage)
    else:
        messages = [NO_SHARPENED_DATA]
        title = f"{_name(folder)}: sharpened cube"
        page = SharpenPage(title=title, command=_again(folder, "sharpen"))
    with same_version(folder):
        files = sharpening_files(found, page) if figures else {}
        return render_sharpening(found, page), files, messages


def _name(folder: Path) -> str:
    return folder.resolve().name


def _again(folder: Path, command: str) -> str:
    return f"bandfuse {command} --config {shlex.quote(str(folder / 'config.yaml'))} -o NEW_RUN"
