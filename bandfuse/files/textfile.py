"""Textfile: small files that are read whole, up to a size; and text as a terminal may show it."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from unicodedata import category

from bandfuse.errors import InputError

TABLE = 64 * 2**20
"""Bytes of a table or list: a response table of 10 000 lines and 1 000 bands, or a list of 500 000
scenes, is less."""

JSON = 256 * 2**20
"""Bytes of a JSON file: it takes about ten times as much memory once it is read. Polygons of a
million corners are less."""

SETTINGS = 4 * 2**20
"""Bytes of a settings file: YAML is read at about 0.2 MB a second, and 30 000 scenes by name are 2
MB."""

HEADER = 64 * 2**20
"""Bytes of a header beside a raster: lists of 60 000 bands are about 5 MB."""

CONTROLLING = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Unicode's categories of characters that are not shown but obeyed: control and format characters,
halves of pairs (in file names that are not UTF-8), and ends of lines."""


def bytes_of(path: str | Path, expected: str, most: int) -> bytes:
    """The bytes of a file.

    Raises
    ------
    InputError : missing, no regular file, or of more bytes than ``most``.
    """
    try:
        size = _size(path, expected)
        with open(path, "rb") as stream:
            found = stream.read(most + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{path} cannot be read", got=reason, expected=expected) from error
    if len(found) > most:
        raise InputError(
            f"{path} is too large",
            got=f"{max(size, len(found))} bytes",
            expected=f"{expected}, of at most {most} bytes",
        )
    return found


def _size(path: str | Path, expected: str) -> int:
    """Bytes that a file says it holds."""
    about = os.stat(path)
    if not (stat.S_ISREG(about.st_mode) or stat.S_ISDIR(about.st_mode)):
        raise InputError(f"{path} is a pipe or a device", expected=expected)
    return about.st_size


def text_of(path: str | Path, expected: str, most: int) -> str:
    """The text of a file in UTF-8, with or without a byte order mark; line ends as Python reads
    them.

    Raises
    ------
    InputError : as for :func:`bytes_of`; or it is not UTF-8.
    """
    try:
        text = bytes_of(path, expected, most).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} cannot be read", got="not UTF-8 text", expected=expected
        ) from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def readable(data: bytes) -> str:
    """Text in UTF-8, or else in Latin-1, which older programs write and which no bytes are wrong
    in.

    >>> readable("µm".encode()), readable("µm".encode("latin-1"))
    ('µm', 'µm')
    """
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def shown(text: str, keep: str = "") -> str:
    r"""Text for a terminal: characters that would control it, or turn or end its lines, are written
    as escapes.

    >>> shown("a\x1b[31mb\nc")
    'a\\x1b[31mb\\nc'
    """
    if text.isprintable():
        return text
    return "".join(
        c if c in keep or category(c) not in CONTROLLING else ascii(c)[1:-1] for c in text
    )


FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""With these a cell begins that spreadsheet programs take for a formula, and run."""


def guarded(text: str) -> str:
    """A text for a cell of a CSV file: one that a spreadsheet would take for a formula gets an
    apostrophe before it.

    >>> guarded("=1+1"), unguarded(guarded("=1+1")), guarded("'=x"), guarded("red")
    ("'=1+1", '=1+1', "''=x", 'red')
    """
    return f"'{text}" if text.lstrip("'").startswith(FORMULA) else text


def unguarded(text: str) -> str:
    """The text of a cell that :func:`guarded` has written; any other as it is."""
    return text[1:] if text.startswith("'") and text.lstrip("'").startswith(FORMULA) else text
