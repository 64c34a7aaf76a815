"""Read: the result files of a run folder."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from bandfuse.errors import InputError, close
from bandfuse.files.placing import recovered
from bandfuse.files.textfile import JSON, text_of
from bandfuse.results.base import Result
from bandfuse.results.sharpening import SharpenResult

R = TypeVar("R", bound=Result)


@contextmanager
def same_version(*folders: Path) -> Iterator[None]:
    """Refuse results, each well formed, that turn out not to go together when they are shown."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # matplotlib's, on what cannot be drawn
            yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise InputError(
            f"the results in {' or '.join(map(str, folders))} do not go together",
            got=f"{type(error).__name__}: {error}"[:LONGEST],
            remedy="Train again, or use the bandfuse that wrote them.",
        ) from error


def _require_run(path: Path) -> None:
    """Refuse a run folder that is none; ``path``: of a result file in it."""
    folder, expected = path.parent, "the folder of a run"
    if folder.is_file():
        own = (folder.parent / path.name).is_file()
        remedy = f"Give the folder it is in: {folder.parent}." if own else ""
        raise InputError(f"{folder} is a file", expected=expected, remedy=remedy)
    if not folder.exists():
        above = folder.parent
        names = [p.name for p in above.iterdir() if p.is_dir()] if above.is_dir() else []
        remedy = close(folder.name, names)
        raise InputError(f"{folder} does not exist", expected=expected, remedy=remedy)
    if not path.exists():
        raise InputError(f"{folder} is not a run", got=f"no {path.name} in it", expected=expected)


LONGEST = 300
"""Characters that are shown of what is wrong."""


def read_result(path: Path, kind: type[R]) -> R:
    """A result file of a run folder.

    Raises
    ------
    InputError : it is missing, too large, or not of this kind.
    """
    remedy = recovered(path)
    if remedy:
        raise InputError(f"{path} does not exist", remedy=remedy)
    _require_run(path)
    text = text_of(path, "the folder of a run, with report.json in it", JSON)
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        _require_kind(path, text, kind)
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InputError(
            f"{path} is damaged, or of another version",
            got=f"{where}: {first['msg']}" if where else first["msg"],
            remedy="Train again, or use the bandfuse that wrote it.",
        ) from error


REPORT = "report.json"

OF_SHARPENING = frozenset(("raster", "ratio", "sharpened_share"))
"""Entries that only the report of a sharpening has."""


def is_sharpening(folder: Path) -> bool:
    """Whether a folder holds the run of a sharpening."""
    path = folder / REPORT
    if not path.is_file():
        return False
    return _says_sharpening(text_of(path, "the folder of a run, with report.json in it", JSON))


def _says_sharpening(text: str) -> bool:
    try:
        found = json.loads(text)
    except ValueError:
        return False
    return isinstance(found, dict) and set(found) >= OF_SHARPENING


def _require_kind(path: Path, text: str, kind: type[Result]) -> None:
    """Refuse the run of a sharpening where that of a training is read.

    Raises
    ------
    InputError
    """
    if kind is not SharpenResult and _says_sharpening(text):
        raise InputError(
            f"{path.parent} is the run of a sharpening",
            expected="the folder of a run of bandfuse train",
        )
