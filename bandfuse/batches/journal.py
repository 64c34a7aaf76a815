"""Journal: what happened, one JSON line per event, on the disk before anything builds on it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout

from bandfuse.errors import OutputError

NAME = "journal.jsonl"

LOCK = ".journal.lock"
"""Is held while a batch runs. The system lets go of it when the process ends, however that is, and
the file goes with the end of the batch. It is a file of its own, since on Windows nobody else can
read what is locked."""

FRESH = "fresh"
"""The event after which everything is done anew."""

Event = dict[str, Any]


class Journal:
    """The journal of one output folder. Only one process may have it open.

    A line that a sudden end cut short is ended, and not read. ``before``: the events of earlier runs, since the last
    ``fresh`` start; ``own``: keys of all items that were ever started, whose outputs are the batch's own.

    Raises
    ------
    OutputError : another batch has it, or it cannot be written.
    """

    def __init__(self, folder: Path, *, fresh: bool = False) -> None:
        path = folder / NAME
        self._lock = _locked(folder)
        try:
            self._file: IO[bytes] = path.open("a+b")
        except OSError as error:
            _let_go(self._lock)
            raise OutputError(f"{path} cannot be written", got=error.strerror or str(error)) from error
        if fresh:
            self.write([{"event": FRESH}])
        self.before = self.read()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()
        _let_go(self._lock)

    def read(self) -> list[Event]:
        """All events that are whole, since the last fresh start."""
        self._file.seek(0)
        content = self._file.read()
        if content and not content.endswith(b"\n"):
            self._file.write(b"\n")
        events = _events(content)
        self.own = {str(event["item"]) for event in events if event["event"] == "started"}
        return _since_fresh(events)

    def write(self, events: Iterable[Event]) -> None:
        """Append events with the time (Unix seconds), and wait until the disk has them."""
        now = round(time.time(), 3)
        text = "".join(json.dumps({"time": now, **event}) + "\n" for event in events)
        if text:
            self._file.write(text.encode())
            self._file.flush()
            os.fsync(self._file.fileno())


def _locked(folder: Path) -> FileLock:
    """The lock of a folder's journal, held.

    Raises
    ------
    OutputError : another batch holds it, or the file system has no locks.
    """
    lock = FileLock(folder / LOCK, thread_local=False, fallback_to_soft=False)
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        raise OutputError(
            f"another batch is writing to {folder}", remedy="Wait for it, or choose another output."
        ) from error
    except OSError as error:
        raise OutputError(
            f"{folder / LOCK} cannot be locked",
            got=error.strerror or str(error),
            expected="a folder that can be written to, on a file system with locks",
            remedy="Choose another output.",
        ) from error
    return lock


def _let_go(lock: FileLock) -> None:
    """Take the lock's file away while it is held, as a lock without a name is not taken by others;
    then let go. Windows keeps the name of what is open: there the file goes afterwards."""
    with suppress(OSError):
        Path(lock.lock_file).unlink()
    lock.release()


def look_into(folder: Path) -> list[Event]:
    """The events of a folder's journal since the last fresh start; a batch that writes to it is not disturbed."""
    path = folder / NAME
    return _since_fresh(_events(path.read_bytes())) if path.is_file() else []


def _events(content: bytes) -> list[Event]:
    """The events of the lines that are whole."""
    events = []
    for line in content.split(b"\n"):
        with suppress(ValueError):
            events.append(json.loads(line))
    return [event for event in events if isinstance(event, dict) and "event" in event]


def _since_fresh(events: list[Event]) -> list[Event]:
    starts = [i for i, event in enumerate(events) if event["event"] == FRESH]
    return events[starts[-1] + 1 :] if starts else events


def last_done(events: Iterable[Event]) -> dict[str, Event]:
    """The last ``done`` of every item that no later failure overtook."""
    found: dict[str, Event] = {}
    for event in events:
        if event["event"] == "done":
            found[str(event.get("item"))] = event
        elif event["event"] in ("failed", "started"):
            found.pop(str(event.get("item")), None)
    return found
