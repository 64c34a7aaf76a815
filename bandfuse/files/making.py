"""Making: the folder that an output names and that is not there yet."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bandfuse.errors import OutputError


def names_folder(output: str) -> bool:
    """Whether a user means a folder: the name ends in a slash."""
    return output.endswith(("/", os.sep))


@contextmanager
def making(folder: Path | None) -> Iterator[None]:
    """Make a folder, with those above it; where the work fails, they are taken away again if
    nothing is in them. None: nothing is made.

    Raises
    ------
    OutputError : it cannot be made.
    """
    made = [] if folder is None else _missing(folder)
    try:
        for place in made:
            place.mkdir(exist_ok=True)
    except OSError as error:
        _remove(made)
        raise OutputError(
            f"folder {folder} cannot be made", got=error.strerror or str(error)
        ) from error
    done = False
    try:
        yield
        done = True
    finally:
        if not done:
            _remove(made)


def _missing(folder: Path) -> list[Path]:
    """The folders that are not there, the highest first."""
    chain = [folder, *folder.parents]
    return [place for place in reversed(chain) if not os.path.lexists(place)]


def _remove(folders: list[Path]) -> None:
    for place in reversed(folders):
        with suppress(OSError):
            place.rmdir()
