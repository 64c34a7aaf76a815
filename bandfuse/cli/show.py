"""Show: results as tables on stdout, progress and messages on stderr."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bandfuse.progress import Progress, silent

T = TypeVar("T")

out = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
err = Console(stderr=True, highlight=False, soft_wrap=True)


class Level:
    """How much is said: -1 quiet, 0 normal, 1 verbose."""

    now = 0


def set_level(verbose: bool, quiet: bool) -> None:
    """Take -v and -q; GDAL's own messages are shown with -v only."""
    Level.now = int(verbose) - int(quiet)
    logger = logging.getLogger("rasterio")
    logger.handlers = [logging.StreamHandler() if verbose else logging.NullHandler()]
    logger.propagate = False


def note(text: str) -> None:
    """A remark on stderr."""
    if Level.now >= 0:
        err.print(f"[dim]{escape(text)}[/]")


def progress() -> Progress:
    """A bar on stderr, in a terminal and unless quiet."""
    if Level.now < 0 or not err.is_terminal:
        return silent
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    def bar(items: Iterable[T], total: int, label: str) -> Iterator[T]:
        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
        with Bars(*columns, console=err, transient=True) as bars:
            yield from bars.track(items, total=total, description=escape(label))

    return bar


def number(value: Any) -> str:
    """A number in a table cell: five digits that matter."""
    if value is None:
        return "–"
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def table(columns: list[str], rows: Iterable[Iterable[Any]], title: str = "") -> None:
    """A table on stdout."""
    if title:
        line(title)
    grid = Table(header_style="bold", box=None, pad_edge=False)
    for i, column in enumerate(columns):
        grid.add_column(column, justify="left" if i == 0 else "right", overflow="fold")
    for row in rows:
        grid.add_row(*(escape(number(cell)) for cell in row))
    out.print(grid)


def facts(pairs: Iterable[tuple[str, str]]) -> None:
    """Names and values, one pair a line."""
    for name, value in pairs:
        out.print(f"[bold]{escape(name):12s}[/] {escape(value)}", soft_wrap=True)


def json(text: str) -> None:
    """JSON on stdout, untouched."""
    out.file.write(text + "\n")


def line(text: str) -> None:
    """A line on stdout."""
    out.print(escape(text), soft_wrap=True)
