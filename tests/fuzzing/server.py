"""Server: runs one case after the other, each in a fork of a process that has bandfuse imported
already.

A case has a folder of its own, 20 seconds of CPU and a bound on its memory. What it must not do is
told in words."""

from __future__ import annotations

import faulthandler
import os
import re
import resource
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

CPU_SECONDS = 20
WALL_SECONDS = 240
"""Nothing is waited for in a case: more is a hang, on the busiest machine."""

MEMORY = 2**30
"""Bytes that a case may come to hold at most."""

ADDRESSES = 3 * 2**30
"""Bytes of addresses beyond those of the server, for the machine's sake."""

LIBRARY = "a crash or an endless loop inside libhdf5 or GDAL's driver of it"
"""Of a damaged HDF5 file: GDAL follows texts in the file's heap that libhdf5 could not read. No
exit code of a program can stand for that; it is counted apart, and only where the innermost frame
of Python is rasterio's."""

_INSIDE = re.compile(r'^.*most recent call first.*\n  File ".*[/\\]rasterio[/\\]', re.M)

_UNEXPECTED = re.compile(r"^error: unexpected error", re.M)


@dataclass(frozen=True)
class Case:
    """What is run: arguments of bandfuse, in a folder that is filled. Outputs begin with
    ``out``."""

    kind: str
    arguments: Sequence[str]
    folder: Path


@dataclass(frozen=True)
class Ended:
    """How a case ended; ``faults``: what is wrong about that, empty as a rule."""

    code: int
    out: str
    err: str
    seconds: float
    memory: int
    faults: tuple[str, ...]


def ran(case: Case) -> Ended:
    """Run a case."""
    logs = case.folder.with_name(f"{case.folder.name}.log")
    logs.mkdir()
    before = listing(case.folder)
    began = time.monotonic()
    child = os.fork()
    if not child:
        _be(case, logs)
    status, used = _waited(child)
    wall = time.monotonic() - began
    code = os.waitstatus_to_exitcode(status)
    out, err = ((logs / name).read_bytes().decode("utf-8", "replace") for name in ("out", "err"))
    shutil.rmtree(logs)
    memory = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    if code < 0 and _in_library(case, err):
        said = [f"{LIBRARY}: signal {-code}"]
    else:
        said = [*_faults(case, code, out, err), *_spent(used, wall, memory)]
    faults = (*said, *_left(case, code, before))
    return Ended(code, out, err, used.ru_utime + used.ru_stime, memory, faults)


def _be(case: Case, logs: Path) -> None:
    """The child: bandfuse, with these arguments and limits; it does not return."""
    code = 99
    try:
        os.setsid()
        os.chdir(case.folder)
        for name, number in (("out", 1), ("err", 2)):
            os.dup2(os.open(logs / name, os.O_WRONLY | os.O_CREAT), number)
        sys.stdout, sys.stderr = (open(n, "w", encoding="utf-8", closefd=False) for n in (1, 2))  # noqa: SIM115
        faulthandler.enable(sys.stderr, all_threads=False)
        faulthandler.register(signal.SIGXCPU, sys.stderr, all_threads=False)
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 1))
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**28, 2**28))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if sys.platform == "linux":
            now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (now + ADDRESSES, now + ADDRESSES))
        code = _called(case.arguments)
    finally:
        os._exit(code)


def _called(arguments: Sequence[str]) -> int:
    """The exit code of the command line, as Python would give it."""
    from bandfuse.cli.main import main

    sys.argv = ["bandfuse", *arguments]
    try:
        main()
        code: object = 0
    except SystemExit as ended:
        code = ended.code
    except BaseException:  # noqa: BLE001 (what Python itself would print)
        sys.excepthook(*sys.exc_info())
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return code if isinstance(code, int) else 0 if code is None else 1


def _waited(child: int) -> tuple[int, resource.struct_rusage]:
    """Wait for a child; end it and all that it started if it hangs."""
    end = time.monotonic() + WALL_SECONDS
    pause = 0.001
    while True:
        pid, status, used = os.wait4(child, os.WNOHANG)
        if pid:
            return status, used
        if time.monotonic() > end:
            os.killpg(child, signal.SIGKILL)
            _, status, used = os.wait4(child, 0)
            return status, used
        time.sleep(pause)
        pause = min(0.004, pause * 1.5)


def _faults(case: Case, code: int, out: str, err: str) -> list[str]:
    """What is wrong about an exit code and what was said."""
    found = [] if code in (0, 1, 2) else [f"exit code {code}"]
    if "Traceback" in err or "Traceback" in out:
        found.append("traceback")
    if "Exception ignored" in err or "--- Logging error" in err:
        found.append("an exception on stderr")
    if _UNEXPECTED.search(err):
        found.append("unexpected error")
    if "Warning:" in err:
        found.append("a warning of Python on stderr")
    if any((c < " " and c not in "\n") or c in "\x7f\x9b\u202e" for c in out + err):
        found.append("control characters")
    last = err.rstrip("\n").rsplit("\n", 1)[-1]
    told = last.startswith("error: ") or (code == 1 and case.arguments[0] in ("check", "batch"))
    if code and not told:
        found.append("a failure without a reason")
    return found


def _in_library(case: Case, err: str) -> bool:
    """Whether a process crashed or hung while rasterio opened or read a damaged HDF5 file."""
    damaged = case.folder / "cube.h5"
    return case.kind == "hdf" and damaged.is_file() and bool(_INSIDE.search(err))


def _left(case: Case, code: int, before: dict[str, tuple[int, int]]) -> list[str]:
    """What is left behind, and what was changed that is no output."""
    after = listing(case.folder)
    found = [
        f"changed {name}"
        for name in before
        if after.get(name) != before[name] and not name.startswith("out")
    ]
    new = [name for name in after if name not in before]
    scratch = [name for name in new if ".partial" in name]
    odd = [name for name in new if not name.startswith("out")]
    if code and case.arguments[0] not in ("batch", "check"):
        odd = new
    return [*found, *(f"left {name}" for name in dict.fromkeys([*scratch, *odd]))][:4]


def _spent(used: resource.struct_rusage, wall: float, memory: int) -> list[str]:
    """What took too much."""
    found = []
    if used.ru_utime + used.ru_stime >= CPU_SECONDS or wall >= WALL_SECONDS:
        found.append("a hang")
    if memory > MEMORY:
        found.append(f"{memory / 2**20:.0f} MB")
    return found


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of every file and folder below a folder."""
    found = {}
    for place, folders, files in os.walk(folder):
        for name in folders + files:
            path = os.path.join(place, name)
            state = os.lstat(path)
            is_folder = name in folders
            found[os.path.relpath(path, folder)] = (
                (0, 0) if is_folder else (state.st_size, state.st_mtime_ns)
            )
    return found
