"""Output: files and folders that appear whole or not at all, and never in the place of what is still needed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from bandfuse.errors import OutputError
from bandfuse.files.names import href as escaped
from bandfuse.files.placing import PLAN, State, make_scratch, new_files, place, remove_scratch, settle, state_of, sync

SIDECARS = (".aux.xml", ".ovr", ".msk")
"""Endings of what GDAL and QGIS put beside a raster ``NAME``: statistics, overviews, a mask. They go when it goes."""


ENDING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Signals that end a command. SIGHUP comes when a terminal is closed, and not on every system."""


@dataclass(frozen=True)
class Contents:
    """What a folder of bandfuse holds: the file it is known by, and patterns of all others (``*`` within a name)."""

    mark: str
    others: tuple[str, ...]

    def strangers(self, folder: Path) -> list[str]:
        """Files in a folder that bandfuse did not put there, by their names relative to it."""
        found = (f.relative_to(folder).as_posix() for f in sorted(folder.rglob("*")) if not _is_folder(f))
        return [name for name in found if not self._known(name)]

    def _known(self, name: str) -> bool:
        for ending in SIDECARS:
            name = name.removesuffix(ending)
        return any(name.count("/") == p.count("/") and fnmatchcase(name, p) for p in (self.mark, *self.others))


@dataclass(frozen=True)
class Seen:
    """What stood at an output when it was checked; nothing else is replaced."""

    state: State | None


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


# ------------------------------------------------------------------------------------------------------------ may it be


def check_file(path: Path, *, overwrite: bool, inputs: Iterable[Path] = ()) -> Seen:
    """Refuse a file that must not or cannot be written, before any work is done. Gives what stands there now.

    Parameters
    ----------
    inputs : files that are read. None of them, and no file that GDAL would read beside them, is ever an output.

    Raises
    ------
    OutputError : the folder above is missing or not writable; the output exists, is no ordinary file, or is an input.
    """
    exists = _check_parent(path)
    for file in inputs:
        _spare(path, file)
    seen = Seen(state_of(path))
    if not exists:
        return seen
    if path.is_dir():
        raise OutputError(f"{path} is a folder", expected="a file name for the output")
    if path.exists() and not path.is_file():
        raise OutputError(f"{path} is no ordinary file, and is not replaced", expected="another name for the output")
    _require(overwrite, path)
    return seen


def check_folder(path: Path, contents: Contents, *, overwrite: bool, inputs: Iterable[Path] = ()) -> Seen:
    """Refuse a folder that must not or cannot be made, before any work is done. Gives what stands there now.

    Only a folder that holds what bandfuse puts there and nothing else is ever replaced.

    Raises
    ------
    OutputError : as for a file; or there is something in the folder that would be lost.
    """
    exists = _check_parent(path)
    for file in inputs:
        if _same(path, file) or path.resolve() in file.resolve().parents:
            raise OutputError(
                f"{path} would replace {file}, which is read", expected="an output apart from all inputs",
                remedy="Choose another output.",
            )  # fmt: skip
    seen = Seen(state_of(path))
    if not exists:
        return seen
    _require(overwrite, path)
    if not (path / contents.mark).is_file():
        raise OutputError(
            f"{path} was not made by bandfuse, and is not replaced",
            got="a folder with other things in it" if path.is_dir() else "a file",
            expected=f"a folder with {contents.mark} in it",
            remedy="Choose another output.",
        )
    strange = contents.strangers(path)
    if strange:
        raise OutputError(
            f"{path} also holds {strange[0]}" + (f" and {len(strange) - 1} more" if strange[1:] else ""),
            got="files that bandfuse did not write there",
            remedy="Move them away, or choose another output.",
        )
    return seen


def _require(overwrite: bool, path: Path) -> None:
    if not overwrite:
        raise OutputError(f"{path} exists", remedy="Choose another output, or use --overwrite to replace it.")


def _check_parent(path: Path) -> bool:
    """Check the folder above; whether the path exists."""
    parent = path.parent
    settle(parent)
    try:
        exists = path.exists() or path.is_symlink()
        parent_there = parent.exists()
    except OSError as error:
        raise OutputError(f"{shown(path)} cannot be an output", got=error.strerror or str(error)) from error
    if not parent_there:
        raise OutputError(f"folder {parent} does not exist", remedy="Create it, or choose another output.")
    if not parent.is_dir():
        raise OutputError(f"{parent} is not a folder", got="a file", expected="a folder to write into")
    if not os.access(parent, os.W_OK):
        raise OutputError(f"folder {parent} cannot be written to", remedy="Choose another output.")
    return exists


def shown(path: Path) -> str:
    """A path as a message shows it: no longer than a line."""
    text = str(path)
    return text if len(text) <= 120 else f"{text[:60]}…{text[-40:]}"


def _same(path: Path, other: Path) -> bool:
    """Whether two paths are one place; also where the file system does not tell upper from lower case."""
    if path.resolve() == other.resolve():
        return True
    try:
        return os.path.samefile(path, other)
    except OSError:
        return False


def _spare(path: Path, file: Path) -> None:
    """Refuse an output that is an input, or that GDAL would take for a part of it."""
    beside = path.resolve().parent == file.resolve().parent
    name = path.name.removesuffix(".hdr")
    part = path.name.startswith(f"{file.name}.") or (name != path.name and name in (file.name, file.stem))
    if _same(path, file):
        raise OutputError(f"{path} is an input", expected="another name for the output")
    if beside and part and path.name != file.name:
        raise OutputError(f"{path} would be read as a part of {file}", expected="another name for the output")


# ------------------------------------------------------------------------------------------------------- whole or never


Ready = Callable[[Path], None]
"""Is given the scratch folder of an output once all in it is whole, before any of it takes its
place."""


@contextmanager
def whole_files(
    path: Path,
    inputs: Iterable[Path] = (),
    ready: Ready | None = None,
    seen: Seen | None = None,
) -> Iterator[Path]:
    """A place of the same name to write a file or folder (and what belongs to it) to; all of it is
    moved to ``path`` at the end.

    What GDAL left beside an earlier file goes with it. On any error, Ctrl-C included, nothing is
    left behind.

    Parameters
    ----------
    inputs : files that are read. ready : is called before anything takes its place.
    seen : what stood there when it was checked; else what stands there now.

    Raises
    ------
    OutputError : it cannot be written, or brings a file with it whose place is taken by an input or
        another file's.
    """
    scratch, before = None, state_of(path) if seen is None else seen.state
    try:
        with undisturbed():
            scratch = _scratch(path)
        yield scratch / path.name
        company = [f.name for f in new_files(scratch, path.name) if f.name != path.name]
        if not company and not os.path.lexists(scratch / path.name):
            raise OutputError(f"{path} was not written", expected="a driver that writes files")
        _check_company(path, company, inputs)
        if ready is not None:
            ready(scratch)
        _require_state(path, before)
        if before is not None:
            sync(scratch)
        with undisturbed():
            place(scratch, path, [path.name + ending for ending in SIDECARS] if path.exists() else [])
    except OSError as error:
        raise _unwritten(path, scratch, error) from error
    finally:
        if scratch is not None:
            with undisturbed():
                remove_scratch(scratch)


def _unwritten(path: Path, scratch: Path | None, error: OSError) -> OutputError:
    """The error of an output that cannot be written."""
    remedy = ""
    if scratch is not None and (scratch / PLAN).exists():
        remedy = f"Its files are in {scratch}: the next command that writes into {path.parent} puts them in place."
    return OutputError(f"{path} cannot be written", got=error.strerror or str(error), remedy=remedy)


@contextmanager
def lent(file: Path, folder: Path) -> Iterator[Path]:
    """A copy of a scratch file in a folder for a while, for what it says of places relative to it."""
    place = folder / f"{file.parent.name}{file.suffix}"
    try:
        shutil.copyfile(file, place)
        yield place
    finally:
        with undisturbed():
            place.unlink(missing_ok=True)


def _check_company(path: Path, names: list[str], inputs: Iterable[Path]) -> None:
    """Refuse to replace files beside the output that may belong to others."""
    for name in names:
        place = path.with_name(name)
        if not place.exists():
            continue
        shared = [
            f for f in path.parent.glob(f"{_literal(place.stem)}*") if f.stem == place.stem or f.name == place.stem
        ]
        others = [f for f in shared if f.name not in (path.name, *names)]
        own = _tells_of(place, path) or (path.exists() and (name.startswith(f"{path.name}.") or not others))
        if not own or any(_same(place, file) for file in inputs):
            raise OutputError(
                f"{path} brings {name} with it, which exists and belongs to another file",
                remedy="Choose another name for the output.",
            )


def _tells_of(place: Path, path: Path) -> bool:
    """Whether a file is the STAC item that bandfuse writes beside this very raster, by the name that the item gives."""
    if place.name != f"{path.stem}.stac.json" or not place.is_file():
        return False
    try:
        found = json.loads(place.read_bytes())
    except (ValueError, RecursionError):
        return False
    match found:
        case {"type": "Feature", "assets": {"fused": {"href": href}}}:
            return href in (f"./{path.name}", f"./{escaped(path.name)}")
    return False


def _literal(text: str) -> str:
    """Text as a pattern that matches itself."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in text)


@contextmanager
def whole_folder(path: Path, ready: Ready | None = None, seen: Seen | None = None) -> Iterator[Path]:
    """A folder to write into; it takes the place of ``path``, and of an earlier folder there, at the
    end. ``ready``, ``seen``: as for ``whole_files``."""
    with whole_files(path, ready=ready, seen=seen) as folder:
        try:
            folder.mkdir()
        except OSError as error:
            raise _unwritten(path, None, error) from error
        yield folder


@contextmanager
def undisturbed() -> Iterator[None]:
    """Signals that end a command wait until the end of the block.

    Python hands them to the main thread alone.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    numbers = [n for n in ENDING if signal.getsignal(n) is not signal.SIG_IGN]
    before = {number: signal.signal(number, lambda n, _: came.append(n)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
    if came:
        signal.raise_signal(came[0])


def _require_state(path: Path, before: State | None) -> None:
    """What another process wrote meanwhile is not replaced."""
    if state_of(path) != before:
        raise OutputError(
            f"{path} was written by another process meanwhile, and is left as it is",
            remedy="Look at it, then run again or choose another output.",
        ) from FileExistsError(str(path))


def _scratch(path: Path) -> Path:
    try:
        return make_scratch(path)
    except OSError as error:
        raise OutputError(f"folder {path.parent} cannot be written to", got=error.strerror or str(error)) from error
