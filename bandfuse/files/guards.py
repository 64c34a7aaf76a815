"""Guards: outputs never take the place of an input or of files that bandfuse did not write."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from bandfuse.errors import OutputError
from bandfuse.files.placing import State, settle, state_of
from bandfuse.files.styles import ENDING, is_style_of

SIDECARS = (".aux.xml", ".ovr", ".msk")
"""Endings of what GDAL and QGIS put beside a raster ``NAME``: statistics, overviews, a mask. They
go when it goes."""


@dataclass(frozen=True)
class Contents:
    """What a folder of bandfuse holds: the file it is known by, and patterns of all others (``*``
    within a name). ``unlike``: endings of files, with which no new folder of its kind is made."""

    mark: str
    others: tuple[str, ...]
    unlike: tuple[str, ...] = ()

    def strangers(self, folder: Path) -> list[str]:
        """Files in a folder that bandfuse did not put there, by their names relative to it."""
        found = (
            f.relative_to(folder).as_posix() for f in sorted(folder.rglob("*")) if not _is_folder(f)
        )
        return [n for n in found if not self._known(n) or _is_of_a_user(folder / n)]

    def _known(self, name: str) -> bool:
        for ending in SIDECARS:
            name = name.removesuffix(ending)
        return any(
            name.count("/") == p.count("/") and fnmatchcase(name, p)
            for p in (self.mark, *self.others)
        )


def _is_of_a_user(path: Path) -> bool:
    """Whether a file is a style that somebody made in QGIS."""
    return path.suffix == ENDING and not is_style_of(path)


@dataclass(frozen=True)
class Seen:
    """What stood at an output when it was checked; nothing else is replaced."""

    state: State | None


@dataclass(frozen=True)
class Inputs:
    """Files that are read, to be found by where they are and what they are called: checks of many
    outputs against many inputs take time in proportion to their number."""

    known: Mapping[object, list[Path]]

    @classmethod
    def of(cls, files: Iterable[Path]) -> Inputs:
        """Of these files."""
        known: dict[object, list[Path]] = {}
        for file in files:
            for key in {*_places(file), file.name, file.stem}:
                known.setdefault(key, []).append(file)
        return cls(known)

    def near(self, path: Path) -> list[Path]:
        """Those that may be this output, or have it as a part."""
        dots = [i for i, letter in enumerate(path.name) if letter == "."]
        keys = {*_places(path), path.name, *(path.name[:i] for i in dots)}
        return list(dict.fromkeys(f for key in keys for f in self.known.get(key, ())))


def _places(path: Path) -> Iterator[object]:
    """Where a file is, and which one it is."""
    yield path.resolve()
    try:
        found = path.stat()
    except (OSError, ValueError):
        return
    yield found.st_dev, found.st_ino


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def check_file(path: Path, *, overwrite: bool, inputs: Iterable[Path] = ()) -> Seen:
    """Refuse a file that must not or cannot be written, before any work is done. Gives what stands
    there now.

    Parameters
    ----------
    inputs : files that are read. None of them, and no file that GDAL would read beside them, is
        ever an output.

    Raises
    ------
    OutputError : the folder above is missing or not writable; the output exists, is not an ordinary
        file, or is an input."""
    exists = _check_parent(path)
    for file in inputs:
        _spare(path, file)
    seen = Seen(state_of(path))
    if not exists:
        return seen
    if path.is_dir():
        raise OutputError(f"{path} is a folder", expected="a file name for the output")
    if path.exists() and not path.is_file():
        raise OutputError(
            f"{path} is not an ordinary file, and is not replaced",
            expected="another name for the output",
        )
    _require(overwrite, path)
    return seen


def check_folder(
    path: Path, contents: Contents, *, overwrite: bool, inputs: Iterable[Path] = ()
) -> Seen:
    """Refuse a folder that must not or cannot be made, before any work is done. Gives what stands
    there now.

    Only a folder that holds what bandfuse puts there and nothing else is ever replaced.

    Raises
    ------
    OutputError : as for a file; or there is something in the folder that would be lost.
    """
    exists = _check_parent(path)
    for file in inputs:
        if same_place(path, file) or path.resolve() in file.resolve().parents:
            raise OutputError(
                f"{path} would replace {file}, which is read",
                expected="an output apart from all inputs",
                remedy="Choose another output.",
            )
    seen = Seen(state_of(path))
    if not exists:
        _require_folder_name(path, contents)
        return seen
    if not (path / contents.mark).is_file():
        folder = path.is_dir()
        raise OutputError(
            f"{path} was not made by bandfuse, and is not replaced",
            got=_kind_of_folder(path) if folder else "a file",
            expected="the name of a new folder",
            remedy=f"Choose another output{f', such as {path / NEW}' if folder else ''}.",
        )
    strange = contents.strangers(path)
    if strange:
        raise OutputError(
            f"{path} also holds {strange[0]}"
            + (f" and {len(strange) - 1} more" if strange[1:] else ""),
            got="files that bandfuse did not write there",
            remedy="Move them away, or choose another output.",
        )
    _require(overwrite, path)
    return seen


RASTERS = (".tif", ".tiff", ".img", ".vrt", ".nc", ".zarr", ".jp2")
"""Endings by which somebody means a raster, and no folder of a run."""


def _require_folder_name(path: Path, contents: Contents) -> None:
    """Refuse to make a folder with the ending of a file.

    Raises
    ------
    OutputError
    """
    if path.suffix.lower() in contents.unlike:
        raise OutputError(
            f"the output {shown(path)} is the folder of a run, but has the ending of a raster",
            expected="the name of a folder; the raster is written in it",
            remedy=f"Give -o {shown(path.with_suffix(''))}.",
        )


NEW = "run"
"""The name that is suggested for a new folder."""


def _kind_of_folder(path: Path) -> str:
    """A folder, by what is in it."""
    return "a folder with other things in it" if any(path.iterdir()) else "an empty folder"


def _require(overwrite: bool, path: Path) -> None:
    if not overwrite:
        raise OutputError(
            f"{path} exists", remedy="Choose another output, or use --overwrite to replace it."
        )


def _check_parent(path: Path) -> bool:
    """Check the folder above; whether the path exists."""
    parent = path.parent
    if path.name == "-":
        raise OutputError(
            f"{str(path)!r} cannot be an output",
            expected="the name of a file or folder: nothing is written to standard output",
            remedy="With --json, the result of a command is printed as JSON.",
        )
    settle(parent)
    try:
        exists = path.exists() or path.is_symlink()
        parent_there = parent.exists()
    except OSError as error:
        raise OutputError(
            f"{shown(path)} cannot be an output", got=error.strerror or str(error)
        ) from error
    if not parent_there:
        raise OutputError(
            f"folder {parent} does not exist", remedy="Create it, or choose another output."
        )
    if not parent.is_dir():
        raise OutputError(
            f"{parent} is not a folder", got="a file", expected="a folder to write into"
        )
    if not os.access(parent, os.W_OK):
        raise OutputError(f"folder {parent} cannot be written to", remedy="Choose another output.")
    return exists


def shown(path: Path) -> str:
    """A path as a message shows it: no longer than a line."""
    text = str(path)
    return text if len(text) <= 120 else f"{text[:60]}…{text[-40:]}"


def same_place(path: Path, other: Path) -> bool:
    """Whether two paths are one place; also where the file system does not tell upper from lower
    case."""
    if path.resolve() == other.resolve():
        return True
    try:
        return os.path.samefile(path, other)
    except OSError:
        return False


def require_apart(outputs: Sequence[Path]) -> None:
    """Refuse outputs that are one file, or of which one lies within another.

    Raises
    ------
    OutputError : two of them are not apart.
    """
    places: dict[Path, Path] = {}
    for path in outputs:
        first = places.setdefault(path.resolve(), path)
        if first is not path:
            raise OutputError(
                "two rasters have the same output",
                got=f"{first} and {path}" if first != path else str(path),
                expected="a name of its own for each",
            )
    for place, path in places.items():
        outer = next((places[folder] for folder in place.parents if folder in places), None)
        if outer is not None:
            raise OutputError(
                f"{path} would lie within the output {outer}", expected="another name for it"
            )


def _spare(path: Path, file: Path) -> None:
    """Refuse an output that is an input, or that GDAL would take for a part of it."""
    beside = path.resolve().parent == file.resolve().parent
    name = path.name.removesuffix(".hdr")
    part = path.name.startswith(f"{file.name}.") or (
        name != path.name and name in (file.name, file.stem)
    )
    if same_place(path, file):
        raise OutputError(f"{path} is an input", expected="another name for the output")
    if beside and part and path.name != file.name:
        raise OutputError(
            f"{path} would be read as a part of {file}", expected="another name for the output"
        )
