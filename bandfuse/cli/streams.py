"""Streams: stdout and stderr as they come: closed, full, or of an encoding that lacks some
letters."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from typing import TextIO

from bandfuse.errors import OutputError
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


def remark(text: str, logged: str = "") -> None:
    """Write to stderr, if that can be written to; and to the log, if there is one: ``logged`` where
    that is to be longer."""
    with suppress(OSError):
        sys.stderr.write(text)
        sys.stderr.flush()
    log(logged or text)


class Log:
    """The file that ``--log-file`` names, while a command runs; None for none."""

    now: TextIO | None = None


HEAD = "# bandfuse log"
"""How a log begins: by this it is told from a file that must not be written to."""


def start_log(path: str, lines: Iterable[str]) -> None:
    """Open a log at its end, and write these lines.

    Raises
    ------
    OutputError : it cannot be written to, or is another kind of file.
    """
    try:
        there = os.path.lexists(path)
        if there and not os.path.isfile(path):
            raise OutputError(f"{path} is no ordinary file", expected="a file for --log-file")
        if there and os.path.getsize(path):
            with open(path, "rb") as stream:
                head = stream.read(len(HEAD))
            if head != HEAD.encode():
                raise OutputError(
                    f"{path} exists, and is no log of bandfuse",
                    expected="a new file, or an earlier log, for --log-file",
                )
        stop_log()
        Log.now = open(path, "a", encoding="utf-8", errors="replace")  # noqa: SIM115 (it lives as long as the command)
    except OSError as error:
        raise OutputError(
            f"--log-file {path} cannot be written", got=error.strerror or str(error)
        ) from error
    log("\n".join([HEAD, *lines]))


def stop_log() -> None:
    """Close the log."""
    if Log.now is not None:
        with suppress(OSError):
            Log.now.close()
        Log.now = None


_STYLES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


_SECRETS = re.compile(
    r"(?<=://)[^/\s@]+(?=@)"
    r"|(?<=[?&])((?:[\w-]*(?:sig|signature|token|credential|secret|password|key|keyid))=)[^&\s'\"]+",
    re.IGNORECASE,
)
"""What must not be kept of a URL: who asks with which password, and what signs it."""


def _without_secrets(text: str) -> str:
    return _SECRETS.sub(lambda found: f"{found[1] or ''}***", text)


def log(text: str) -> None:
    """Write lines with the time to the log, without the terminal's codes and what is secret in
    URLs. A full disk ends the log, not the work."""
    if Log.now is None:
        return
    time = datetime.now(UTC).astimezone().isoformat(timespec="milliseconds")
    plain = _without_secrets(_STYLES.sub("", text)).strip("\r\n")
    try:
        for line in plain.split("\n"):
            Log.now.write(f"{line}\n" if line == HEAD else f"{time} {line}\n")
        Log.now.flush()
    except (OSError, ValueError):
        stop_log()


class Remarks(logging.Handler):
    """Writes what is logged as remarks."""

    def emit(self, record: logging.LogRecord) -> None:
        """One line on stderr."""
        remark(self.format(record) + "\n")


class Plainly(logging.Formatter):
    """Messages of GDAL as a terminal may see them."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        return shown(super().format(record))
