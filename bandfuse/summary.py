"""Summary: what a value says of itself in a few lines: in Python, and as a table in a notebook."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from bandfuse.errors import shorten

LINES, WIDTH, LENGTH, ONE_LINE = 9, 78, 600, 100
"""At most so many lines, characters of a line, and characters of a text; and of a model in one line
that holds more than plain values."""

ROWS = 20
"""At most so many rows of a table are shown."""

Facts = tuple[tuple[str, str], ...]
Row = tuple[str, ...]


@dataclass(frozen=True)
class Summary:
    """What is said of a value.

    Parameters
    ----------
    title : what it is.
    facts : names and texts, the most important first; those without a text are left out.
    head, rows : a table, for notebooks.

    >>> Summary("Bands: 2", (("names", "red, nir"), ("sources", ""))).text()
    'Bands: 2\\n  names: red, nir'
    """

    title: str
    facts: Facts = ()
    head: Row = ()
    rows: tuple[Row, ...] = ()

    @property
    def known(self) -> Facts:
        """The facts that have a text."""
        return tuple((name, text) for name, text in self.facts if text)

    def text(self) -> str:
        """A few lines of plain text. Characters that would control a terminal are escaped."""
        lines = [self.title, *(f"  {name}: {text}" for name, text in self.known)]
        lines = [cut(_plain(line), WIDTH) for line in lines]
        shown = lines[:LINES]
        while len("\n".join(shown)) > LENGTH - 4:
            shown.pop()
        return "\n".join([*shown, *(["  …"] if len(shown) < len(lines) else [])])

    def html(self) -> str:
        """The same in HTML, with the first rows of the table."""
        left = 'style="text-align:left"'
        parts = [f"<div><strong>{_safe(self.title)}</strong>"]
        if self.known:
            rows = (
                f"<tr><th {left}>{_safe(name)}</th><td {left}>{_safe(text)}</td></tr>"
                for name, text in self.known
            )
            parts.append(f"<table>{''.join(rows)}</table>")
        if self.rows:
            head = "".join(f"<th>{_safe(name)}</th>" for name in self.head)
            body = ("".join(f"<td>{_safe(cell)}</td>" for cell in row) for row in self.rows[:ROWS])
            lines = "".join(f"<tr>{row}</tr>" for row in body)
            parts.append(f"<table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>")
        if len(self.rows) > ROWS:
            parts.append(f"<p>{len(self.rows) - ROWS} more rows</p>")
        return "".join([*parts, "</div>"])


class Summarised:
    """Base of values that Python and notebooks show as their summary."""

    def summary(self) -> Summary:
        """What is said of the value."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return self.summary().text()

    def _repr_html_(self) -> str:
        """What notebooks show."""
        return self.summary().html()


class SummarisedFields(Summarised):
    """The same for a model of fields: one line where that is short."""

    def facts(self) -> Facts:
        """The fields that say something."""
        raise NotImplementedError

    def summary(self) -> Summary:
        """The fields in a few lines."""
        return Summary(type(self).__name__, self.facts())

    def __repr__(self) -> str:
        said = self.summary()
        line = f"{type(self).__name__}({', '.join(f'{n}={text}' for n, text in said.known)})"
        flat = not any(isinstance(v, (list, dict, Summarised)) for v in vars(self).values())
        short = len(line) <= (LENGTH if flat else ONE_LINE)
        return line if short and line.isprintable() else said.text()

    __str__ = __repr__

    def __repr_args__(self) -> Iterable[tuple[str | None, object]]:
        """What pydantic gives to rich and others: the summary too."""
        return [(name, _Said(text)) for name, text in self.summary().known]


class _Said(str):
    """A text that is shown as it is."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _plain(text: str) -> str:
    """Characters that control a terminal, or end a line, become escapes."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _safe(text: str) -> str:
    return escape(_plain(text))


def cut(text: str, most: int) -> str:
    """A text of at most so many characters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def number(value: float | None) -> str:
    """A number in four digits, without an exponent where it is whole; empty for none.

    >>> number(0.123456), number(1234567), number(None)
    ('0.1235', '1234567', '')
    """
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else f"{value:.4g}"


def brief(value: object, most: int = 60) -> str:
    """A value in part of a line: a count of what it holds where it is long; empty for nothing.

    >>> brief([0.5, 1.0]), brief("a.tif"), brief(list(range(99)))
    ('[0.5, 1.0]', "'a.tif'", '99 values')
    """
    if value is None or value in ([], (), ""):
        return ""
    if isinstance(value, float):
        return number(value)
    if isinstance(value, Mapping):
        return _brief_mapping(value)
    if isinstance(value, str):
        return cut(repr(value), most)
    text = repr(value) if not isinstance(value, Sequence) or len(value) <= most // 3 else ""
    if text and len(text) <= most and "\n" not in text:
        return text
    if isinstance(value, Sequence):
        kinds = dict.fromkeys(type(item).__name__ for item in value)
        plain = not kinds.keys() - {"str", "int", "float", "list", "tuple", "NoneType"}
        return f"{len(value)} {'values' if plain else f'× {shorten(kinds)}'}"
    return cut(text.partition("\n")[0], most)


def _brief_mapping(value: Mapping[object, object]) -> str:
    """Names and numbers of a few entries; scores of outputs, by output."""
    parts = []
    for name, item in value.items():
        if isinstance(item, Mapping):
            inner = shorten((f"{key} {brief(v)}" for key, v in item.items()), 3)
            parts.append(f"{name} ({inner})")
        else:
            parts.append(f"{name} {brief(item, 20)}")
    return shorten(parts, 4) if parts else ""


def counted(n: int, what: str) -> str:
    """A number of things.

    >>> counted(1, "band"), counted(2, "band")
    ('1 band', '2 bands')
    """
    return f"{n} {what}{'' if n == 1 else 's'}"


def span(numbers: Iterable[float], unit: str) -> str:
    """From the least to the greatest number that is known; empty if none is.

    >>> span([650.0, 450.0, float("nan")], "nm"), span([10.0], "nm"), span([], "nm")
    ('450 to 650 nm', '10 nm', '')
    """
    known = [float(n) for n in numbers if n == n]
    if not known:
        return ""
    low, high = f"{min(known):.5g}", f"{max(known):.5g}"
    return f"{low} {unit}".rstrip() if low == high else f"{low} to {high} {unit}".rstrip()
