"""Journal: what happened, one JSON line per event, on the disk before anything builds on it."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout
from pydantic import BaseModel, ValidationError

from bandfuse.batches.fingerprints import Fingerprint
from bandfuse.errors import OutputError, shorten

LOG = logging.getLogger(__name__)

NAME = "journal.jsonl"

LOCK = ".journal.lock"
"""Is held while a batch runs. The system releases it when the process ends, in whatever way, and
the file goes with the end of the batch. It is a file of its own, since on Windows nobody else can
read what is locked."""

FRESH = "fresh"
"""The event after which everything is done anew."""

Event = dict[str, Any]


class Journal:
    """The journal of one output folder. Only one process may have it open.

    A line that a sudden end cut short is taken away; other damaged lines are skipped, and that is
    logged. ``before``: the events of earlier runs, since the last ``fresh`` start; ``own``: by the
    key of an item, its output's files as they were written, ever; several versions if it is not
    known which of them took its place.

    Raises
    ------
    OutputError : another batch has it, or it cannot be written.
    """

    def __init__(self, folder: Path, *, fresh: bool = False) -> None:
        path = self._path = folder / NAME
        self._lock = _locked(folder)
        try:
            self._file: IO[bytes] = path.open("a+b", buffering=0)
        except OSError as error:
            _let_go(self._lock)
            raise OutputError(
                f"{path} cannot be written", got=error.strerror or str(error)
            ) from error
        self.own: dict[str, list[list[Fingerprint]]] = {}
        self._repair()
        if fresh:
            self.write([{"event": FRESH}])
        self.before = self.read()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()
        _let_go(self._lock)

    def _repair(self) -> None:
        """End the last line if it is whole; else take it away. Say which other lines are
        damaged."""
        self._file.seek(0)
        content = self._file.read()
        last = content.rpartition(b"\n")[2]
        try:
            if last and _event(last) is not None:
                self._file.write(b"\n")
            elif last:
                self._file.truncate(len(content) - len(last))
        except OSError as error:
            raise self._unwritten(error) from error
        lines = enumerate(content.split(b"\n")[:-1], 1)
        damaged = [str(number) for number, line in lines if line and _event(line) is None]
        if damaged:
            LOG.warning(
                "%s: damaged lines are skipped: %s; what they told of is done again, with "
                "--overwrite",
                self._path,
                shorten(damaged),
            )

    def read(self) -> list[Event]:
        """All events that are whole, since the last fresh start."""
        self._file.seek(0)
        events = list(_events(self._file.read()))
        self.own = own_of(events, {})
        return _since_fresh(events)

    def write(self, events: Iterable[Event]) -> None:
        """Append events with the time (Unix seconds), and wait until the disk has them.

        Raises
        ------
        OutputError : the disk is full, or does not take them for another reason.
        """
        now, events = round(time.time(), 3), list(events)
        data = "".join(json.dumps({"time": now, **event}) + "\n" for event in events).encode()
        if not data:
            return
        try:
            while data:
                data = data[self._file.write(data) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._unwritten(error) from error
        own_of(events, self.own)

    def _unwritten(self, error: OSError) -> OutputError:
        return OutputError(
            f"{self._path} cannot be written",
            got=error.strerror or str(error),
            remedy="Correct that; the same command then goes on.",
        )


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
    """The events of a folder's journal since the last fresh start; a batch that writes to it is not
    disturbed."""
    path = folder / NAME
    return _since_fresh(list(_events(path.read_bytes()))) if path.is_file() else []


class _Plain(BaseModel):
    """Nothing beside the event itself."""


class _OfItem(BaseModel):
    """What every event of an item tells."""

    item: str


class _Output(BaseModel):
    path: str
    size: int
    mtime_ns: int


class _Input(_Output):
    sha256: str


class _Claimed(_OfItem):
    outputs: list[_Output]


class _Done(_Claimed):
    inputs: list[_Input]
    seconds: float
    scores: dict[str, float] = {}
    messages: list[str] = []
    left_out: dict[str, str] = {}


_TOLD: dict[str, type[BaseModel]] = {"claimed": _Claimed, "done": _Done, FRESH: _Plain}
"""What an event tells, by its kind; others tell of an item."""


def _event(line: bytes) -> Event | None:
    """The event of a line; None if the line is damaged."""
    try:
        event = json.loads(line)
        _TOLD.get(event["event"], _OfItem).model_validate(event)
    except (ValueError, TypeError, KeyError, RecursionError, ValidationError):
        return None
    return dict(event)


def _events(content: bytes) -> Iterator[Event]:
    """The events of the lines that are whole."""
    for line in content.split(b"\n"):
        event = _event(line) if line else None
        if event is not None:
            yield event


def own_of(
    events: Iterable[Event], own: dict[str, list[list[Fingerprint]]]
) -> dict[str, list[list[Fingerprint]]]:
    """Add to ``own`` the files that events tell of: those that are in place, and those that were
    about to be."""
    for event in events:
        if event["event"] == "done":
            own[str(event["item"])] = [event["outputs"]]
        elif event["event"] == "claimed":
            own.setdefault(str(event["item"]), []).append(event["outputs"])
    return own


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
