"""Layout: text, lists and tables in the width of a terminal; words are never cut."""

from __future__ import annotations

import re
import shutil
import textwrap
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import TextIO

WIDEST = 100
"""Columns of text at most, however wide the terminal is."""

NARROW = 60
"""Below so many columns, an explanation stands below what it explains."""

LEFT = 28
"""Columns of what is listed, at most, where the explanation stands beside it."""


def folded(text: str, stream: TextIO, first: str = "") -> str:
    """A text in lines of a terminal, which would break words; elsewhere as it is. ``first``: what
    stands before it already."""
    if not stream.isatty():
        return text
    return "\n".join(wrapped(text, columns(), first, ""))[len(first) :]


def columns() -> int:
    """Columns of the terminal, or of ``COLUMNS``; 80 where neither is known."""
    return max(20, shutil.get_terminal_size((80, 24)).columns)


def wrapped(text: str, width: int, first: str = "", rest: str | None = None) -> list[str]:
    """Lines of a text, broken between words only. ``first``, ``rest``: what the first line and the
    others begin with.

    >>> wrapped("a bee sees", 6, rest="  ")
    ['a bee', '  sees']
    """
    return textwrap.wrap(
        text,
        width,
        initial_indent=first,
        subsequent_indent=first if rest is None else rest,
        break_long_words=False,
        break_on_hyphens=False,
    )


def term(text: str, width: int, indent: str = "  ") -> list[str]:
    """Lines of a flag with what it takes; long choices are broken after a bar."""
    lines, more = [indent], indent + "    "
    for piece in re.findall(r" |[^| ]+\|*|\|", text):
        if len(lines[-1]) + len(piece.rstrip()) > width and lines[-1].strip():
            lines.append(more)
        if piece != " " or lines[-1].strip():
            lines[-1] += piece
    return [line.rstrip() for line in lines]


def listed(rows: Sequence[tuple[str, str]], width: int, left: int | None = None) -> list[str]:
    """Lines of names with their explanations: beside them, or below them where the terminal is
    narrow. ``left``: columns of the names."""
    side = min(left or max((len(name) for name, _ in rows), default=0), LEFT)
    lines: list[str] = []
    for name, text in rows:
        if width < NARROW:
            lines += [*term(name, width), *wrapped(text, width, " " * 6)]
        elif len(name) > side:
            lines += [*term(name, width), *wrapped(text, width, " " * (side + 4))]
        else:
            lines += wrapped(text, width, f"  {name:{side}s}  ", " " * (side + 4)) or [f"  {name}"]
    return lines


def command_lines(text: str, width: int) -> list[str]:
    """Lines of a command that a shell reads as one: each but the last ends in a backslash.

    >>> command_lines("bandfuse info cube.tif", 16)
    ['bandfuse info \\\\', '    cube.tif']
    """
    bare = text.lstrip()
    indent = text[: len(text) - len(bare)]
    if len(text) <= width:
        return [text]
    *lines, last = wrapped(bare, width - 2, indent, indent + "    ")
    return [*(f"{line} \\" for line in lines), last]


def table_lines(
    heads: Sequence[str], rows: Sequence[Sequence[str]], width: int, words: int
) -> list[str]:
    """Lines of a table, its head first; long cells are wrapped between words. Empty where a word
    would have to be cut.

    Parameters
    ----------
    words : so many columns, of words, are to the left; the others, of numbers, to the right.
    """
    columns = list(zip(heads, *rows, strict=True))
    least = [max(map(longest, column)) for column in columns]
    widths = [max(map(cells, column)) for column in columns]
    room = width - 2 * (len(heads) - 1)
    if sum(least) > room:
        return []
    while sum(widths) > room:
        spare = [now - low for now, low in zip(widths, least, strict=True)]
        widths[spare.index(max(spare))] -= 1
    lines: list[str] = []
    for row in [heads, *rows]:
        parts = [wrapped(cell, w) or [""] for cell, w in zip(row, widths, strict=True)]
        for texts in zip_longest(*parts, fillvalue=""):
            padded = (
                _padded(text, w, left=i < words)
                for i, (text, w) in enumerate(zip(texts, widths, strict=True))
            )
            lines.append("  ".join(padded).rstrip())
    return lines


def cells(text: str) -> int:
    """Cells of a terminal that a text takes: two for wide letters, none for combining ones."""
    return sum(
        0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF")
        for c in text
    )


def _padded(text: str, width: int, *, left: bool) -> str:
    space = " " * (width - cells(text))
    return text + space if left else space + text


def longest(text: str) -> int:
    """Cells of the longest word.

    >>> longest("of the longest word")
    7
    """
    return max(map(cells, text.split()), default=0)


def records(heads: Sequence[str], rows: Iterable[Sequence[str]], width: int) -> list[str]:
    """A table that is too wide, as lines: every cell with the name of its column, the first one of
    a row in a line of its own."""
    lines = []
    for first, *others in rows:
        pairs = [f"{head} {cell}" for head, cell in zip(heads[1:], others, strict=True) if cell]
        lines += wrapped(f"{heads[0]} {first or '–'}", width, rest="    ")
        lines += _packed(pairs, width)
    return lines


def _packed(parts: Iterable[str], width: int) -> list[str]:
    """Pairs side by side as long as they fit; one that is longer than a line is wrapped."""
    lines, indent = [""], "  "
    for part in parts:
        if lines[-1] and len(lines[-1]) + 2 + len(part) <= width:
            lines[-1] += f"; {part}"
        else:
            lines += wrapped(part, width, indent, indent + "  ")
    return [line for line in lines if line]
