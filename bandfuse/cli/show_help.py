"""Show help: pages of the documentation, laid out in a terminal."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import Markdown, TableElement
from rich.table import Table
from rich.theme import Theme

from bandfuse.cli import show, streams
from bandfuse.cli.layout import columns, wrapped

THEME = Theme({"markdown.code": "bold cyan", "markdown.h1": "bold"})


class FoldedTable(TableElement):
    """A table whose long words are folded, and never cut."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The table, with every column folded."""
        for part in super().__rich_console__(console, options):
            if isinstance(part, Table):
                for column in part.columns:
                    column.overflow = "fold"
            yield part


class Page(Markdown):
    """Markdown with folded tables."""

    elements = {**Markdown.elements, "table_open": FoldedTable}  # noqa: RUF012 (as rich has it)


def show_page(text: str) -> None:
    """Print Markdown: laid out in a terminal, as it is elsewhere."""
    if not sys.stdout.isatty():
        streams.put(text)
        return
    console = show.out()
    with console.use_theme(THEME), console.capture() as written:
        console.print(Page(text, code_theme="ansi_dark", hyperlinks=False))
    streams.put(written.get())


def show_topics(topics: Mapping[str, str]) -> None:
    """Print the list of topics, and how to read one."""
    show.line("bandfuse help TOPIC prints a page; bandfuse help COMMAND the flags of a command.")
    show.line("")
    width = max(map(len, topics))
    for name, about in topics.items():
        first = f"  {name:{width}}  "
        lines = wrapped(about, columns(), first, " " * len(first))
        streams.put("\n".join(lines if sys.stdout.isatty() else [first + about]) + "\n")
