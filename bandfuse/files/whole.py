"""Whole: files and folders that appear whole or not at all, and never in the place of what is still
needed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from bandfuse.errors import OutputError
from bandfuse.files.guards import SIDECARS, Seen, require_apart, same_place
from bandfuse.files.names import href as escaped
from bandfuse.files.placing import (
    PLAN,
    Moves,
    State,
    make_scratch,
    new_files,
    place,
    remove_scratch,
    settled,
    state_of,
    sync,
    take_back,
)
from bandfuse.files.styles import ENDING as STYLE
from bandfuse.files.styles import is_style_of

ENDING = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
"""Signals that end a command. SIGHUP comes when a terminal is closed, and not on every system."""


Ready = Callable[[Path], None]
"""Is given the scratch folder of an output once all in it is whole, before any of it takes its
place."""


@contextmanager
def whole_files(
    path: Path, inputs: Iterable[Path] = (), ready: Ready | None = None, seen: Seen | None = None
) -> Iterator[Path]:
    """A place of the same name to write a file or folder (and what belongs to it) to; all of it is
    moved to ``path`` at the end.

    What GDAL left beside an earlier file goes with it, and so does the style that was written for
    it. On any error, Ctrl-C included, nothing is
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
    with whole_together([(path, seen)], inputs, ready) as (place_of_it,):
        yield place_of_it


@contextmanager
def whole_together(
    outputs: Sequence[tuple[Path, Seen | None]],
    inputs: Iterable[Path] = (),
    ready: Ready | None = None,
) -> Iterator[list[Path]]:
    """The same for several outputs, which take their places one after the other once all of them
    are whole. Where one cannot, those before it are taken back, and what they replaced is put back.
    Only a sudden end of the process, between two of these moves, leaves the first ones new and the
    others as they were. ``ready`` is given the scratch folder of each."""
    making = [
        _Making(path, state_of(path) if seen is None else seen.state) for path, seen in outputs
    ]
    files, now = list(inputs), making[0]
    try:
        for now in making:
            with undisturbed():
                now.scratch = _scratch(now.path)
        yield [_there(one) / one.path.name for one in making]
        for now in making:
            now.check(files)
        require_apart([path for one in making for path in one.places])
        if ready is not None:
            for now in making:
                ready(_there(now))
        for now in making:
            _require_state(now.path, now.before)
            if now.before is not None:
                sync(_there(now))
        with undisturbed():
            _place(making)
    except OSError as error:
        raise _unwritten(now.path, now.scratch, error) from error
    finally:
        with undisturbed():
            for one in making:
                if one.scratch is not None:
                    remove_scratch(one.scratch)


class _Making:
    """An output that is being written: what stood there before, and its scratch folder."""

    def __init__(self, path: Path, before: State | None) -> None:
        self.path, self.before = path, before
        self.scratch: Path | None = None

    @property
    def places(self) -> list[Path]:
        """Where it comes to lie, and what it brings with it."""
        names = [file.name for file in new_files(_there(self), self.path.name)]
        return [self.path.with_name(name) for name in names]

    def check(self, inputs: Iterable[Path]) -> None:
        """It was written, and brings nothing with it whose place is taken."""
        path = self.path
        company = [place.name for place in self.places if place.name != path.name]
        if not company and not os.path.lexists(_there(self) / path.name):
            raise OutputError(f"{path} was not written", expected="a driver that writes files")
        _check_company(path, company, inputs)


def _place(making: Sequence[_Making]) -> None:
    """Put outputs in their places, all or none.

    Raises
    ------
    OutputError : of the first that cannot be.
    """
    placed: list[tuple[Path, Moves]] = []
    for now in making:
        last = now is making[-1]
        try:
            placed.append((now.path, place(_there(now), now.path, _going(now.path), last=last)))
        except OSError as error:
            with suppress(OSError):  # plans tell the next command what is left to do
                for path, moves in reversed(placed):
                    take_back(path, moves)
            stuck = [_there(one) for one in making if (_there(one) / PLAN).exists()]
            raise _unwritten(now.path, stuck[0] if stuck else None, error) from error
    for one in making[:-1]:
        settled(_there(one))


def _there(made: _Making) -> Path:
    """The scratch folder of an output, once there is one."""
    assert made.scratch is not None
    return made.scratch


def _going(path: Path) -> list[str]:
    """Names of what goes when an output is replaced."""
    sidecars = [path.name + ending for ending in SIDECARS] if path.exists() else []
    style = path.with_name(f"{path.stem}{STYLE}")
    return [*sidecars, *([style.name] if is_style_of(style, path) else [])]


def _unwritten(path: Path, scratch: Path | None, error: OSError) -> OutputError:
    """The error of an output that cannot be written."""
    remedy = ""
    if scratch is not None and (scratch / PLAN).exists():
        remedy = (
            f"Files are in {scratch}: the next command that writes into {scratch.parent} puts "
            "them in place."
        )
    return OutputError(f"{path} cannot be written", got=error.strerror or str(error), remedy=remedy)


@contextmanager
def lent(file: Path, folder: Path) -> Iterator[Path]:
    """A copy of a scratch file in a folder for a while, for what it says of places relative to
    it."""
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
            f
            for f in path.parent.glob(f"{_literal(place.stem)}*")
            if f.stem == place.stem or f.name == place.stem
        ]
        others = [
            f for f in shared if f.name not in (path.name, *names) and not is_style_of(f, path)
        ]
        near = path.exists() and (name.startswith(f"{path.name}.") or not others)
        own = _tells_of(place, path) or (near and place.suffix != STYLE)
        if not own or any(same_place(place, file) for file in inputs):
            raise OutputError(
                f"{path} brings {name} with it, which exists and belongs to another file",
                remedy="Choose another name for the output.",
            )


def _tells_of(place: Path, path: Path) -> bool:
    """Whether a file is the STAC item or the style that bandfuse writes beside this very raster, by
    the name that it gives."""
    if is_style_of(place, path):
        return True
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
def whole_folder(
    path: Path, ready: Ready | None = None, seen: Seen | None = None
) -> Iterator[Path]:
    """A folder to write into; it takes the place of ``path``, and of an earlier folder there, at
    the end. ``ready``, ``seen``: as for ``whole_files``."""
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
        raise OutputError(
            f"folder {path.parent} cannot be written to", got=error.strerror or str(error)
        ) from error
