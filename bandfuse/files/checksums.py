"""Checksums: SHA-256 of the inputs, by a thread of its own while the weights are fitted."""

from __future__ import annotations

import hashlib
import os
import queue
import threading
from collections.abc import Mapping, Sequence

from bandfuse.errors import InputError
from bandfuse.progress import Progress

CHUNK = 1 << 23
"""Bytes that are read at once."""


class Checksums:
    """SHA-256 (FIPS 180-4) of files; of what is not an ordinary file, nothing.

    >>> sums = Checksums()
    >>> sums.start([])
    >>> sums.wait(lambda items, total, label: items)
    {}
    """

    def __init__(self) -> None:
        self._sizes: dict[str, int] = {}
        self._found: dict[str, str] = {}
        self._ticks: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._stopped = threading.Event()

    def __enter__(self) -> Checksums:
        return self

    def __exit__(self, *exc: object) -> None:
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()

    def start(self, paths: Sequence[str]) -> None:
        """Begin, unless this was done already."""
        if self._thread is None:
            self._sizes = {p: os.path.getsize(p) for p in dict.fromkeys(paths) if os.path.isfile(p)}
            self._thread = threading.Thread(
                target=self._work, name="bandfuse-checksums", daemon=True
            )
            self._thread.start()

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes of the ordinary files when it began, by path."""
        return dict(self._sizes)

    def wait(self, progress: Progress) -> dict[str, str]:
        """The hexadecimal sums by path, once all are there; it was started before.

        Raises
        ------
        InputError : a file can no longer be read.
        """
        total = sum(map(_chunks, self._sizes.values()))
        for _ in progress(range(total), total=total, label="checksum of the inputs"):
            error = self._ticks.get()
            if error is not None:
                raise InputError(
                    f"an input cannot be read again: {error}", remedy="Is it still there?"
                ) from error
        return self._found

    def _work(self) -> None:
        try:
            for path, size in self._sizes.items():
                digest = hashlib.sha256()
                with open(path, "rb") as stream:
                    for left in reversed(range(_chunks(size))):
                        if self._stopped.is_set():
                            return
                        digest.update(stream.read(CHUNK))
                        if not left:
                            self._found[path] = digest.hexdigest()
                        self._ticks.put(None)
        except OSError as error:
            self._ticks.put(error)


class KnownSums(Checksums):
    """Sizes and SHA-256 of files that were taken before, by path: nothing is read."""

    def __init__(self, known: Mapping[str, tuple[int, str]]) -> None:
        super().__init__()
        self._sizes = {path: size for path, (size, _) in known.items()}
        self._found = {path: sha256 for path, (_, sha256) in known.items()}

    def start(self, paths: Sequence[str]) -> None:
        """Nothing is to be done."""

    def wait(self, progress: Progress) -> dict[str, str]:
        """The hexadecimal sums by path."""
        return self._found


def _chunks(size: int) -> int:
    """Reads of a file; one of an empty file."""
    return max(1, -(-size // CHUNK))
