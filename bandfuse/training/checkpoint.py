"""Checkpoint: a training that was interrupted goes on, and ends in the same bits."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bandfuse.errors import ConfigError
from bandfuse.files.guards import check_file
from bandfuse.files.whole import undisturbed, whole_files
from bandfuse.moments.sample import Pixels
from bandfuse.optimise.checkpointfile import States, dumps, load
from bandfuse.survey.survey import Survey

if TYPE_CHECKING:
    from bandfuse.optimise.descent import Slot, State


STRETCH = 8192
"""Pixels that are hashed at once."""


class Checkpoint:
    """The states of all descents of one training, in one file.

    Parameters
    ----------
    path : the file; taken up if it exists.
    settings : everything that the result depends on, the pixels by :func:`digest`.
    every : seconds between two writes.

    Raises
    ------
    ConfigError : the file belongs to a training with other settings or other pixels.
    """

    def __init__(self, path: Path, settings: dict[str, Any], every: float) -> None:
        check_file(path, overwrite=True)
        self.path, self.settings, self.every = path, settings, every
        self.states: States = {}
        self._written = time.monotonic()
        if path.exists():
            before, self.states = load(path)
            _require_same(path, before, settings)

    def slot(self, part: str) -> Slot:
        """The place of one descent."""
        return _Slot(self, part)

    def write(self) -> None:
        """Replace the file, whole or not at all."""
        with undisturbed(), whole_files(self.path) as place:
            place.write_bytes(dumps(self.settings, self.states))
        self._written = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether the file is old enough to be written again."""
        return time.monotonic() - self._written >= self.every


@dataclass(frozen=True)
class _Slot:
    """One descent's part of a checkpoint."""

    checkpoint: Checkpoint
    part: str

    def recall(self) -> State | None:
        """The state in the file, if there is one."""
        return self.checkpoint.states.get(self.part)

    def keep(self, state: Callable[[], State], *, last: bool = False) -> None:
        """Write if it is time to, or the descent has ended."""
        if last or self.checkpoint.due:
            self.checkpoint.states[self.part] = state()
            self.checkpoint.write()


def digest(survey: Survey) -> str:
    """A fingerprint of the design and of all that the pass gathered."""
    layout, targets = survey.design.layout, np.array(survey.design.targets, dtype=np.int64)
    arrays = [layout.row, layout.col, layout.param, layout.fixed, targets]
    for moments, tally in zip(survey.scenes, survey.tallies, strict=True):
        arrays += [np.array([moments.count]), moments.mean, moments.scatter]
        arrays += [tally.pixels.place]
    sha = hashlib.sha256()
    for array in arrays:
        sha.update(np.ascontiguousarray(array).tobytes())
    for tally in survey.tallies:
        for some in _stretches(tally.pixels):
            sha.update(some.tobytes())
    return sha.hexdigest()


def _stretches(pixels: Pixels) -> Iterator[NDArray[np.floating]]:
    """The rows of a sample, some at a time: it may be as large as the memory."""
    for start in range(0, len(pixels), STRETCH):
        here = slice(start, start + STRETCH)
        yield pixels.store[here] if pixels.at is None else pixels.store[pixels.at[here]]


def _require_same(path: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    other = [key for key in sorted({*before, *now}) if before.get(key) != now.get(key)]
    if not other:
        return
    remedy = "Delete it to start anew, or choose another file for --checkpoint."
    named = [key for key in other if key != "pixels"]
    if not named:
        raise ConfigError(f"checkpoint {path} was made from other pixels", remedy=remedy)
    key = named[0]
    raise ConfigError(
        f"checkpoint {path} was made with other settings",
        got=f"{key} {now.get(key)}",
        expected=f"{key} {before.get(key)}",
        remedy=remedy,
    )
