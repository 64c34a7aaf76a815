"""Placing: scratch folders, and the moves that put a whole set of files in its place.

A set of one file takes its place in one step. A set of several files, or a folder in the place of
another, takes several steps. Before the first step a plan lies in the scratch folder, beside all
new files; the old files are moved beside them, and are deleted only when all new ones are in
place. So a sudden end at any moment loses nothing: the next command that writes into the same
folder finds the plan, and finishes it.

A scratch folder's name tells its host, its process and when that started. Only a process of the
same host that no longer runs has its scratch folders finished or removed.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import re
import secrets
import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from glob import escape
from pathlib import Path
from typing import Any

LOG = logging.getLogger(__name__)

PLAN = ".plan.json"
"""In a scratch folder: which files are to take their place, and which are to go."""

OLD = ".old"
"""In a scratch folder: the folder of the files that were replaced."""

State = tuple[int, int, int]
"""Number, time and size of a file; of a folder, its number alone."""

WRITTEN: list[Path] = []
"""What this process has put in its place since the command began."""

_NAME = re.compile(
    r"\..*\.(?P<host>\w+)-(?P<process>\d+)-(?P<start>\d+)-[0-9a-f]+\.partial(\.\w+)*", re.ASCII
)
_FIRST_NAMESPACE = 0xEFFFFFFC
"""Linux: the number of the name space of processes outside of all containers."""

_NEAR = 500
"""Hundredths of a second by which two readings of one process's start may differ."""

_mine: set[str] = set()
"""Names of the scratch folders that this process uses now, or has looked at."""


def make_scratch(path: Path) -> Path:
    """A new scratch folder beside an output, with the rights of any folder made there: on Windows
    what is moved out of it keeps them."""
    made = path.with_name(_new_name(path.name))
    _mine.add(made.name)
    made.mkdir()
    return made


def _new_name(name: str) -> str:
    return f".{name[:24]}.{_owner(os.getpid())}-{secrets.token_hex(4)}.partial"


@cache
def _owner(process: int) -> str:
    """Host, process and start of the process that asks."""
    return f"{_host()}-{process}-{_start_of(process) or 0}"


@cache
def _host() -> str:
    """The host's name; in a container, with the number of its name space of processes."""
    name = re.sub(r"[^A-Za-z0-9]", "_", platform.node())[:24] or "host"
    try:
        space = os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return name
    return name if space == _FIRST_NAMESPACE else f"{name}_{space}"


_STARTED = 19
"""Which of the words after the name in ``/proc/PID/stat`` is the start, in ticks (field 22 of
proc(5))."""


def _start_of(process: int) -> int | None:
    """When a process started, in hundredths of a second; None if the system does not tell.

    Linux tells it since the start of the machine, which does not change when the clock is set.
    """
    if sys.platform == "linux" and hasattr(os, "sysconf"):
        # What psutil reads too; but to import it takes as long as a small file takes to be written.
        try:
            told = Path(f"/proc/{process}/stat").read_bytes().rpartition(b")")[2].split()
            return int(told[_STARTED]) * 100 // os.sysconf("SC_CLK_TCK")
        except (OSError, ValueError, IndexError):
            return None
    import psutil

    try:
        return int(100 * psutil.Process(process).create_time())
    except psutil.Error:
        return None


def _runs(process: int, start: int) -> bool:
    """Whether a process runs that started then. If the system does not tell, it does."""
    import psutil

    if not psutil.pid_exists(process):
        return False
    with suppress(psutil.Error):
        if psutil.Process(process).status() == psutil.STATUS_ZOMBIE:
            return False
    now = _start_of(process)
    return not start or now is None or abs(now - start) <= _NEAR


def _is_dead(name: str) -> bool:
    """Whether a scratch folder belongs to a process of this host that no longer runs."""
    match = _NAME.fullmatch(name)
    if match is None or match["host"] != _host() or name in _mine:
        return False
    if int(match["process"]) == os.getpid():
        return True
    return not _runs(int(match["process"]), int(match["start"]))


def is_scratch(path: Path) -> bool:
    """Whether a path is a scratch folder, or lies in one."""
    return any(_NAME.fullmatch(part) for part in path.parts)


def remove_scratch(scratch: Path) -> None:
    """Take a scratch folder away, unless files lie in it that belong elsewhere."""
    if not (scratch / PLAN).exists():
        shutil.rmtree(scratch, ignore_errors=True)
    _mine.discard(scratch.name)


def state_of(path: Path) -> State | None:
    """What tells one file or folder of a name from another; None if there is none.

    What is laid into a folder does not make it another.
    """
    try:
        found = path.lstat()
    except OSError:
        return None
    if path.is_dir() and not path.is_symlink():
        return found.st_ino, 0, 0
    return found.st_ino, found.st_mtime_ns, found.st_size


def new_files(scratch: Path, name: str) -> list[Path]:
    """What was written into a scratch folder; the file or folder of this name comes last."""
    found = (f for f in sorted(scratch.iterdir()) if f.name not in (PLAN, OLD))
    return sorted(found, key=lambda f: f.name == name)


Moves = list[tuple[Path, Path]]
"""What was renamed, from where and to where."""


def place(scratch: Path, path: Path, going: Sequence[str] = (), *, last: bool = True) -> Moves:
    """Put all that lies in a scratch folder of ``path`` in its place. What replaces other files
    must be on the disk (``sync``).

    Parameters
    ----------
    going : names beside ``path`` that go when it is replaced.
    last : nothing is placed after it. Else what was there before is kept in the scratch folder,
        with the plan, until :func:`take_back` or :func:`settled`.

    Raises
    ------
    OSError : nothing has changed; or a plan is left in the scratch folder, if the system refused
        to move the old files back as well.
    """
    _remove_inner(scratch)
    folder, new = path.parent, [f.name for f in new_files(scratch, path.name)]
    names = dict.fromkeys([path.name, *reversed(new), *going])
    old = [name for name in names if os.path.lexists(folder / name)]
    at_once = not old or (last and old == new and _is_file(path, scratch / path.name))
    moves = [(scratch / path.name, path)]
    if new == [path.name] and at_once:
        os.replace(*moves[0])
    else:
        moves = _place_by_plan(scratch, folder, new, old)
        if last:
            settled(scratch)
    if not is_scratch(folder):
        WRITTEN.append(path)
    return moves


def take_back(path: Path, moves: Moves) -> None:
    """Undo ``place`` of a path that was not the last.

    Raises
    ------
    OSError : it cannot be undone; the plan is left in the scratch folder.
    """
    for source, target in reversed(moves):
        os.rename(target, source)
    settled(moves[-1][0].parent)
    if path in WRITTEN:
        WRITTEN.remove(path)


def settled(scratch: Path) -> None:
    """Forget the plan in a scratch folder."""
    with suppress(OSError):  # it has been carried out, and the next command finds that too
        (scratch / PLAN).unlink()


def _remove_inner(scratch: Path) -> None:
    """Take scratch folders away that the system refused to remove inside a new folder: nobody looks
    for them there once it is in its place."""
    for inner in scratch.glob("*/.*.partial"):
        if _NAME.fullmatch(inner.name):
            remove_scratch(inner)


def _is_file(*paths: Path) -> bool:
    return not any(p.is_dir() and not p.is_symlink() for p in paths)


def _place_by_plan(scratch: Path, folder: Path, new: Sequence[str], old: Sequence[str]) -> Moves:
    """Move the old files aside, the first first, and the new ones to their place."""
    plan = {
        "new": {name: state_of(scratch / name) for name in new},
        "old": {name: state_of(folder / name) for name in old},
    }
    moves = [
        *((folder / name, scratch / OLD / name) for name in old),
        *((scratch / name, folder / name) for name in new),
    ]
    done: Moves = []
    placed = False
    try:
        (scratch / OLD).mkdir()
        _write_plan(scratch, plan)
        for source, target in moves:
            os.rename(source, target)
            done.append((source, target))
        if old:
            sync(folder, deep=False)
        placed = True
    finally:
        if not placed:
            for source, target in reversed(done):
                os.rename(target, source)
            (scratch / PLAN).unlink(missing_ok=True)
    return done


def _write_plan(scratch: Path, plan: Mapping[str, Any]) -> None:
    """On the disk before anything is moved, whole or not at all."""
    part = scratch / f"{PLAN}.part"
    with part.open("w", encoding="utf-8") as file:
        file.write(json.dumps(plan))
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, scratch / PLAN)
    sync(scratch, deep=False)


def sync(path: Path, *, deep: bool = True) -> None:
    """Wait until a file, or a folder and (``deep``) all that lies in it, is on the disk.

    Windows has nothing of the kind for folders.
    """
    folder = path.is_dir()
    for inner in sorted(path.iterdir()) if folder and deep else ():
        sync(inner)
    if os.name == "nt" or path.is_symlink():
        return
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def settle(folder: Path) -> None:
    """Finish or remove what commands that ended suddenly have left in a folder.

    What is done is logged: a finished replacement as a warning, a removed scratch folder as
    information.
    """
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return
    for name in names:
        if name.startswith(".") and ".partial" in name and _is_dead(name):
            with suppress(OSError):  # another command was quicker, or it cannot be changed
                _settle(folder / name)


def recovered(path: Path) -> str:
    """For a reader that finds no file of a name: finish what commands that ended suddenly were
    putting in its place, or in that of its folder. What to do where that is not for this process:
    empty where nothing of the kind is there."""
    if os.path.exists(path) or "\0" in str(path):
        return ""
    places = [place for place in (path, path.parent) if place.name]
    for place in places:
        settle(place.parent)
    if os.path.exists(path):
        return ""
    waiting = (plan for place in places for plan in _plans_of(place))
    return next(
        (
            f"{plan.parent} holds the files of a replacement that is not finished: wait until its "
            "command ends, or run that command again on its machine."
            for plan in waiting
        ),
        "",
    )


def _plans_of(place: Path) -> list[Path]:
    """The plans of all scratch folders of a file or folder."""
    return sorted(place.parent.glob(f"{escape(f'.{place.name[:24]}')}.*.partial/{PLAN}"))


def _settle(found: Path) -> None:
    """One scratch folder, or file, of a dead process. Of two commands, one gets it."""
    if not found.is_dir():
        found.unlink()
        LOG.info("%s removed: a command that ended suddenly had left it", found)
        return
    mine = found.with_name(_new_name(found.name.split(".")[1]))
    _mine.add(mine.name)
    os.rename(found, mine)
    plan = _read_plan(mine)
    if plan is not None:
        if not _can_finish(mine, plan):
            LOG.warning(
                "%s holds files of an output that was being replaced when its command ended, and "
                "other files have taken their place since; nothing is changed. Look at both.",
                mine,
            )
            return
        _finish(mine, plan)
        LOG.warning(
            "%s: a command ended suddenly while it replaced this output; the new files are in "
            "place",
            ", ".join(str(found.with_name(name)) for name in plan["new"]),
        )
        (mine / PLAN).unlink()
    remove_scratch(mine)
    LOG.info("%s removed: a command that ended suddenly had left it", found)


def _read_plan(scratch: Path) -> dict[str, dict[str, State]] | None:
    """The plan in a scratch folder; None where there is none."""
    file = scratch / PLAN
    if not file.exists():
        return None
    read = json.loads(file.read_bytes())
    return {part: {name: tuple(s) for name, s in read[part].items()} for part in ("old", "new")}


def _can_finish(scratch: Path, plan: Mapping[str, Mapping[str, State]]) -> bool:
    """Whether nothing but the old and the new files stands at their places."""
    for name in {**plan["old"], **plan["new"]}:
        here = state_of(scratch.with_name(name))
        waits = os.path.lexists(scratch / name)
        known = [plan["old"].get(name), None] if waits else [plan["new"].get(name), None]
        if name not in plan["new"]:
            known = [plan["old"][name], None]
        if here not in known:
            return False
    return True


def _finish(scratch: Path, plan: Mapping[str, Mapping[str, State]]) -> None:
    """The moves of a plan that were not made."""
    for name, state in plan["old"].items():
        if state_of(scratch.with_name(name)) == state and state != plan["new"].get(name):
            os.rename(scratch.with_name(name), scratch / OLD / name)
    for name in plan["new"]:
        if os.path.lexists(scratch / name):
            os.rename(scratch / name, scratch.with_name(name))
    sync(scratch.parent, deep=False)
