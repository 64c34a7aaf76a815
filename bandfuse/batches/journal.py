"""Journal: what happened, one JSON line per event, on the disk before anything builds on it."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

from bandfuse.errors import OutputError

NAME = "journal.jsonl"

Event = dict[str, Any]


class Journal:
    """The journal of one output folder. Only one process may have it open.

    A line that a sudden end cut short is ended, and not read.
    """

    def __init__(self, folder: Path, *, fresh: bool = False) -> None:
        path = folder / NAME
        self._file: IO[bytes] = path.open("a+b")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise OutputError(
                f"another batch is writing to {folder}", remedy="Wait for it, or choose another output."
            ) from error
        if fresh:
            self._file.truncate(0)
        self.before = self.read()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()

    def read(self) -> list[Event]:
        """All events that are whole."""
        self._file.seek(0)
        lines = self._file.read().split(b"\n")
        if lines[-1]:
            self._file.write(b"\n")
        return [event for line in lines if (event := _parsed(line)) is not None]

    def write(self, events: Iterable[Event]) -> None:
        """Append events with the time (Unix seconds), and wait until the disk has them."""
        now = round(time.time(), 3)
        text = "".join(json.dumps({"time": now, **event}) + "\n" for event in events)
        if text:
            self._file.write(text.encode())
            self._file.flush()
            os.fsync(self._file.fileno())


def _parsed(line: bytes) -> Event | None:
    """An event; None for a line that is not whole."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and "event" in event else None


def last_done(events: Iterable[Event]) -> dict[str, Event]:
    """The last ``done`` of every item that no later failure overtook."""
    found: dict[str, Event] = {}
    for event in events:
        if event["event"] == "done":
            found[str(event.get("item"))] = event
        elif event["event"] in ("failed", "started"):
            found.pop(str(event.get("item")), None)
    return found
