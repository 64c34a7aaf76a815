"""Headers: the texts that tell of bands, ENVI headers and tables of wavelengths. Text in, lists
out; no files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bandfuse.errors import InputError
from bandfuse.spectral.units import NOT_LENGTHS, UNITS_NM, Floats, number, spelling

SHOWN = 60
"""Characters of a line that a message shows."""

LONGEST_LINE = 10_000
"""GDAL reads no header line of more characters, and nothing that follows it."""

WORDS = {"true": 1.0, "false": 0.0, "yes": 1.0, "no": 0.0, "good": 1.0, "bad": 0.0}
"""Words that flag a band as good or bad."""

BEGINS = {
    "wavelength": ("wavelength", "wl", "lambda", "center", "centre", "central", "cw", "band_cent"),
    "fwhm": ("fwhm", "bandwidth", "band_width", "width"),
    "good": ("good", "bbl", "use"),
}
"""How the heading of a column may begin."""


@dataclass(frozen=True, eq=False)
class Stated:
    """What one place says of B bands.

    ``where``: the place, as messages name it. ``wavelength``, ``fwhm`` (B,) in ``unit``; ``good``
    (B,) is 1 for a good band and 0 for a bad one. NaN where nothing is said. ``unit`` is None where
    none is given."""

    where: str
    wavelength: Floats
    fwhm: Floats
    good: Floats
    unit: str | None = None


def envi_list(text: str | None, count: int = 0) -> list[str]:
    """The items of an ENVI list of texts, such as names. Nothing behind a last comma is an item
    only if there are to be ``count`` with it.

    >>> envi_list("{ 8.41 , 8.52, }")
    ['8.41', '8.52']
    """
    return _divided(_inner(text), ",", count)


def envi_numbers(text: str | None, count: int = 0) -> Floats:
    """The numbers of an ENVI list, NaN for what is none; ``count``: how many there should be, 0
    where that is not known.

    Programs part them by commas, semicolons or blanks, and write decimal commas where these are the
    custom. The first way that gives ``count`` numbers is taken; where none does, the first that
    gives numbers.

    >>> envi_numbers("{0,45; 0,55}").tolist(), envi_numbers("[4.5D-1 true]").tolist()
    ([0.45, 0.55], [0.45, 1.0])
    """
    inner = _inner(text)
    if not inner:
        return np.empty(0)
    plain = np.array([_item(item) for item in _divided(inner, ",", count)])
    if len(plain) == count:
        return plain
    others = [
        np.array([_item(item.replace(",", ".")) for item in items])
        for items in (
            _divided(inner, ";", count),
            inner.split(),
            re.split(r",\s+", inner.rstrip(", ")),
        )
    ]
    whole = [row for row in others if np.isfinite(row).all()]
    fits = [row for row in whole if len(row) == count]
    clear = [row for row in [plain, *whole] if np.isfinite(row).all()]
    return (fits or clear or [plain])[0]


def gdal_items(text: str | None) -> list[str]:
    """The items that GDAL's ENVI driver sees in a list: only braces make one, only commas part it.

    >>> gdal_items("{0,45; 0,55}"), gdal_items("[1, 2]")
    (['0', '45; 0', '55'], [])
    """
    inner = (text or "").strip()
    return _divided(inner.strip("{}"), ",", 0) if inner.startswith("{") else []


def has_decimal_commas(text: str | None, count: int) -> bool:
    """Whether ``count`` numbers are found in a list only if its commas are decimal ones, though
    they may also part numbers: which of the two is meant cannot be known.

    >>> has_decimal_commas("{0,45, 0,55}", 2), has_decimal_commas("{0,45; 0,55}", 2)
    (True, False)
    """
    plain = [_item(item) for item in _divided(_inner(text), ",", count)]
    fits = len(envi_numbers(text, count)) == count
    return fits and len(plain) != count and bool(np.isfinite(plain).all())


def _inner(text: str | None) -> str:
    """What stands between the brackets of a list."""
    inner = (text or "").strip()
    for first, last in ("{}", "[]", "()"):
        if inner.startswith(first):
            inner = inner.removeprefix(first).removesuffix(last).strip()
    return inner


def _divided(inner: str, mark: str, count: int) -> list[str]:
    items = [item.strip() for item in inner.split(mark)] if inner else []
    return items if len(items) == count or not items or items[-1] else items[:-1]


def _item(text: str) -> float:
    """A number, or one for a word that flags a band."""
    return WORDS.get(text.lower().strip("\"'"), number(text.strip("\"'")))


def unit_of(entries: Mapping[str, str], unit: str | None) -> str | None:
    """The unit of the wavelengths of an ENVI header: the one that it gives, or that of the title of
    its spectra.

    >>> unit_of({"z_plot_titles": "{Wavenumbers (cm-1), Counts}"}, "Unknown")
    'cm-1'
    """
    if spelling(unit) not in ("", "unknown", "none", "index"):
        return unit
    title = next(iter(envi_list(entries.get("z_plot_titles"))), "")
    inside = re.findall(r"[(\[]([^()\[\]]+)[)\]]", title)
    words = [
        *[w for w in inside if spelling(w) in UNITS_NM],
        *[w for w in [*inside, *title.split()] if spelling(w) in NOT_LENGTHS],
    ]
    return words[0] if words else unit


def parse_header(text: str) -> dict[str, str]:
    """The entries of an ENVI header, by the names that GDAL gives them (``wavelength units`` is
    ``wavelength_units``).

    >>> parse_header("ENVI\\nbands = 2\\nfwhm = {5,\\n 6}\\n")
    {'bands': '2', 'fwhm': '{5, 6}'}
    """
    found: dict[str, str] = {}
    lines = text.splitlines()
    at = 0
    while at < len(lines):
        line, at = lines[at], at + 1
        key, equals, value = line.partition("=")
        if not equals or line.lstrip().startswith(";"):
            continue
        end = _end_of_list(value.strip(), lines, at)
        found["_".join(key.lower().split())] = " ".join(
            part.strip() for part in (value, *lines[at:end])
        )
        at = end
    return found


def _end_of_list(value: str, lines: list[str], at: int) -> int:
    """The number of the line behind a value that begins before line ``at``: lists in braces run to
    their closing brace, those in square brackets no further than to the next entry."""
    closing = {"{": "}", "[": "]"}.get(value[:1], "")
    if not closing or closing in value:
        return at
    for i in range(at, len(lines)):
        if closing == "]" and "=" in lines[i]:
            return at
        if closing in lines[i]:
            return i + 1
    return len(lines) if closing == "}" else at


def dropped(text: str) -> tuple[dict[str, str], int]:
    """The entries of an ENVI header that GDAL does not see whole, as a line of them or before them
    is too long; and the length of that line, 0 if there is none."""
    lines = text.splitlines()
    at = next((i for i, line in enumerate(lines) if len(line) > LONGEST_LINE), None)
    if at is None:
        return {}, 0
    whole, seen = parse_header(text), parse_header("\n".join(lines[:at]))
    return {key: value for key, value in whole.items() if seen.get(key) != value}, len(lines[at])


def from_header(text: str, where: str) -> Stated:
    """What an ENVI header says of its bands.

    Raises
    ------
    InputError : it has no list of wavelengths, or lists of different lengths.
    """
    entries = parse_header(text)
    bands = number(entries.get("bands"))
    count = len(envi_numbers(entries.get("wavelength"), int(bands) if bands > 0 else 0))
    lists = {key: envi_numbers(entries.get(key), count) for key in ("wavelength", "fwhm", "bbl")}
    if not count:
        raise InputError(
            f"{where} has no wavelengths",
            got=f"an ENVI header with {', '.join(entries) or 'nothing'}",
            expected="a line such as wavelength = {450.2, 455.1, …}",
        )
    odd = [f"{len(items)} of {key}" for key, items in lists.items() if len(items) not in (0, count)]
    if odd:
        raise InputError(
            f"lists in {where} differ in length", got=f"{count} of wavelength, {', '.join(odd)}"
        )
    nm, fwhm, good = (row if len(row) else np.full(count, np.nan) for row in lists.values())
    return Stated(where, nm, fwhm, good, unit_of(entries, entries.get("wavelength_units")))


def parse_table(text: str, where: str) -> Stated:
    """A table of wavelengths: one band a line, columns wavelength[, fwhm[, good]], with or without
    a line of headings.

    Columns are separated by commas, semicolons (numbers may have decimal commas then), tabs or
    spaces; ``#`` begins a comment. Headings may name columns in any order, and their unit:
    ``wavelength_nm``, ``fwhm (µm)``. A first column that counts the bands is passed over where
    there are no headings.

    Raises
    ------
    InputError : it is no such table; the line is named.
    """
    rows = [
        (i, _cells(line))
        for i, line in enumerate(text.splitlines(), 1)
        if line.split("#")[0].strip()
    ]
    if not rows:
        raise InputError(f"{where} is empty", expected="one wavelength a line")
    heads = rows.pop(0)[1] if all(np.isnan(number(c)) for c in rows[0][1] if c) else None
    cells = [_numbers(row, line, where) if heads is None else row for line, row in rows]
    if not rows:
        raise InputError(
            f"{where} is empty", got="a line of headings only", expected="one wavelength a line"
        )
    places, unit = _columns(heads, where) if heads else (_plain(cells, where), None)
    values = {
        name: np.array(
            [_value(row, at, line, name, where) for (line, _), row in zip(rows, cells, strict=True)]
        )
        for name, at in places.items()
    }
    nothing = np.full(len(rows), np.nan)
    return Stated(
        where, values["wavelength"], values.get("fwhm", nothing), values.get("good", nothing), unit
    )


def _cells(line: str) -> list[str]:
    line = line.split("#")[0].strip()
    if ";" in line:
        cells = [c.strip() for c in line.split(";")]
        return [c.replace(",", ".") if re.fullmatch(r"[-+\d,eE]+", c) else c for c in cells]
    mark = "," if "," in line else "\t" if "\t" in line else None
    return [c.strip().strip('"') for c in line.split(mark)]


def _numbers(row: list[str], line: int, where: str) -> list[str]:
    """A row of a table without headings: all numbers."""
    wrong = next((c for c in row if c and np.isnan(number(c)) and c.lower() != "nan"), None)
    if wrong is not None:
        raise InputError(
            f"line {line} of {where} cannot be read", got=repr(wrong), expected="numbers"
        )
    return row


def _value(row: list[str], at: int, line: int, name: str, where: str) -> float:
    """One number; NaN where the cell is empty."""
    text = row[at] if at < len(row) else ""
    if name == "good" and text.lower() in WORDS:
        return WORDS[text.lower()]
    value = number(text)
    if text and text.lower() != "nan" and np.isnan(value):
        raise InputError(
            f"line {line} of {where} cannot be read",
            got=repr(text),
            expected=f"a number, its {name}",
        )
    return value


def _plain(rows: list[list[str]], where: str) -> dict[str, int]:
    """The columns of a table without headings."""
    width = max(len(r) for r in rows)
    first = [number(r[0]) for r in rows]
    counted = (
        width > 1
        and len(rows) > 1
        and first[0] in (0, 1)
        and first == [first[0] + i for i in range(len(rows))]
    )
    names = dict(zip(("wavelength", "fwhm", "good"), range(int(counted), width), strict=False))
    if width - counted > 3:
        raise InputError(
            f"{where} has too many columns",
            got=f"{width} without headings",
            expected="wavelength, fwhm, good; or headings",
        )
    return names


def _columns(heads: list[str], where: str) -> tuple[dict[str, int], str | None]:
    """The columns that headings name, and the unit that they say."""
    found: dict[str, int] = {}
    unit = None
    for at, head in enumerate(heads):
        words = [w for w in re.split(r"[\s_()\[\],/:-]+", head.lower()) if w] or [""]
        text = "_".join(words)
        name = next(
            (n for n, begins in BEGINS.items() if any(text.startswith(b) for b in begins)), None
        )
        name = "wavelength" if name is None and spelling(text) in UNITS_NM else name
        if name is None or name in found:
            continue
        found[name] = at
        if name == "wavelength" and (
            spelling(words[-1]) in UNITS_NM or spelling(words[-1]) in NOT_LENGTHS
        ):
            unit = words[-1]
    if "wavelength" not in found:
        first = ", ".join(heads)
        raise InputError(
            f"{where} has no column of wavelengths",
            got=f"{first[:SHOWN]!r}" if first.isprintable() else "something other than text",
            expected="a heading such as wavelength or wavelength_nm",
        )
    return found, unit
