"""Streams: stdout and stderr as they come: closed, full, or of an encoding that lacks some
letters."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import suppress

from bandfuse.files.textfile import shown
from bandfuse.files.unraisable import log_latin


class Unprinted(Exception):
    """The result cannot be printed; the work is done. ``quietly``: whoever read it has read
    enough."""

    def __init__(self, cause: OSError) -> None:
        self.quietly = isinstance(cause, BrokenPipeError)
        super().__init__(
            f"the work is done, but its result cannot be printed; got {cause.strerror or cause}."
        )


def ready() -> None:
    """Make stdin, stdout and stderr usable.

    A closed one becomes the null device, else the next file that is opened would take its number,
    and GDAL's messages would be written into it. Letters that an encoding lacks are replaced."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 (it lives as long as the process)
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    log_latin()


def put(text: str) -> None:
    """Write to stdout.

    Raises
    ------
    Unprinted : it cannot be written to.
    """
    try:
        sys.stdout.write(text)
    except OSError as error:
        raise _lost(error) from error


def flush() -> None:
    """Write what waits to be written to stdout.

    Raises
    ------
    Unprinted : it cannot be written to.
    """
    try:
        sys.stdout.flush()
    except OSError as error:
        raise _lost(error) from error


def _lost(error: OSError) -> Unprinted:
    """Nothing more is tried: Python itself would try again at its end."""
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
    return Unprinted(error)


def remark(text: str) -> None:
    """Write to stderr, if that can be written to."""
    with suppress(OSError):
        sys.stderr.write(text)
        sys.stderr.flush()


class Plainly(logging.Formatter):
    """Messages of GDAL as a terminal may see them."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        return shown(super().format(record))
