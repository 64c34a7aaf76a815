"""Faults at named points: a signal, or a full disk, at the N-th call that changes files.

``Bench`` is a process that has imported bandfuse and runs every command in a forked child: hundreds
of faults in seconds. ``environment`` brings the same fault into processes that are started in the
ordinary way."""

from __future__ import annotations

import builtins
import errno
import gc
import importlib
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

VARIABLE = "BANDFUSE_TEST_FAULT"

CALLS = {
    "rename": "rename",
    "replace": "rename",
    "link": "rename",
    "unlink": "remove",
    "remove": "remove",
    "rmdir": "remove",
    "mkdir": "mkdir",
    "fsync": "fsync",
}
"""Functions of ``os`` that change files, by the kind of point that they are."""


LIBRARIES = {
    "bandfuse",
    "numpy",
    "scipy",
    "torch",
    "rasterio",
    "pydantic",
    "jinja2",
    "safetensors",
    "rich",
    "yaml",
}
"""Packages that a bench imports once for all its children."""


OTHER = ("read", "started")
"""Points that change no file: they count only if they are asked for."""


@dataclass(frozen=True)
class Fault:
    """What happens at which point.

    Parameters
    ----------
    at : the how-manieth point, from 1; 0 is never.
    how : ``SIGINT`` and other signals, or ``ENOSPC``.
    after : the call is made before the signal comes, and its result is lost.
    kind : only points of this kind are counted: ``rename``, ``remove``, ``mkdir``, ``fsync``,
        ``open``, ``write``, ``pixels`` (a window is written), ``read`` (a window is read),
        ``started`` (an item of a batch).
    group : the signal goes to the whole process group.
    """

    at: int = 0
    how: str = "SIGKILL"
    after: bool = False
    kind: str = ""
    group: bool = False


@dataclass
class Injector:
    """Counts the points of this process below a folder, and lets the fault come at its point."""

    folder: str
    fault: Fault
    calls: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def install(self) -> None:
        """Put a counter around everything that changes files."""
        for name, kind in CALLS.items():
            setattr(os, name, self._counted(kind, getattr(os, name)))
        io.open = builtins.open = self._opening(io.open)  # type: ignore[assignment]

    def wrap(self, owner: Any, name: str, kind: str) -> None:
        """Make a method a point."""
        original = getattr(owner, name)

        def counted(*arguments: Any, **more: Any) -> Any:
            return self.point(kind, name, lambda: original(*arguments, **more))

        setattr(owner, name, counted)

    def point(self, kind: str, label: str, call: Callable[[], Any]) -> Any:
        """One point: the call, or the fault."""
        with self.lock:
            counts = self.fault.kind == kind or (not self.fault.kind and kind not in OTHER)
            if counts:
                self.calls.append(f"{kind} {label}")
            here = counts and len(self.calls) == self.fault.at
        if not here:
            return call()
        if self.fault.how == "ENOSPC":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if self.fault.after:
            try:
                return call()
            finally:
                self._send()
        self._send()
        return call()

    def _send(self) -> None:
        number = signal.Signals[self.fault.how]
        os.killpg(0, number) if self.fault.group else os.kill(os.getpid(), number)

    def _below(self, path: Any) -> bool:
        if isinstance(path, int):
            return False
        return os.path.abspath(os.fsdecode(path)).startswith(self.folder + os.sep)

    def _counted(self, kind: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def counted(path: Any, *arguments: Any, **more: Any) -> Any:
            inside = kind == "fsync" or any(
                k.endswith("dir_fd") and v is not None for k, v in more.items()
            )
            if not inside and not self._below(path):
                return original(path, *arguments, **more)
            label = "" if kind == "fsync" else os.path.basename(os.fsdecode(path))
            return self.point(kind, label, lambda: original(path, *arguments, **more))

        return counted

    def _opening(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def opened(path: Any, mode: str = "r", *arguments: Any, **more: Any) -> Any:
            if not set(mode) & set("wax+") or not self._below(path):
                return original(path, mode, *arguments, **more)
            name = os.path.basename(os.fsdecode(path))
            return _Counted(
                self.point("open", name, lambda: original(path, mode, *arguments, **more)),
                self,
                name,
            )

        return opened


class _Counted:
    """A file whose writes are points. Of a write that finds the disk full, half is on the disk."""

    def __init__(self, file: Any, injector: Injector, name: str) -> None:
        self._file, self._injector, self._name = file, injector, name

    def write(self, data: Any) -> Any:
        done = []

        def call() -> Any:
            done.append(1)
            return self._file.write(data)

        try:
            return self._injector.point("write", self._name, call)
        except OSError:
            if not done:
                self._file.write(data[: len(data) // 2])
            raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> _Counted:
        self._file.__enter__()
        return self

    def __exit__(self, *error: Any) -> Any:
        return self._file.__exit__(*error)

    def __iter__(self) -> Any:
        return iter(self._file)


def methods(injector: Injector) -> None:
    """Make bandfuse's own steps points as well."""
    from bandfuse.batches.runner import BatchRun
    from bandfuse.raster import Reader, Writer

    injector.wrap(Writer, "__call__", "pixels")
    injector.wrap(Reader, "read", "read")
    injector.wrap(BatchRun, "_start", "started")


# --------------------------------------------------------------------------------------------- proc


def environment(folder: Path, fault: Fault, place: Path) -> dict[str, str]:
    """The environment of a process (not of those that it starts) in which the fault comes.
    ``place``: a folder for a file that Python runs at its start."""
    place.mkdir(exist_ok=True)
    (place / "sitecustomize.py").write_text(
        f"import sys\nsys.path.append({str(Path(__file__).parent)!r})\nimport "
        "faults\nfaults.begin()\n"
    )
    path = os.pathsep.join([str(place), *filter(None, [os.environ.get("PYTHONPATH")])])
    told = json.dumps({"folder": str(folder), **asdict(fault)})
    return {**os.environ, "PYTHONPATH": path, VARIABLE: told}


def begin() -> None:
    """At the start of a process: those that it starts are left alone."""
    told = json.loads(os.environ.pop(VARIABLE, "null"))
    if told is None:
        return
    injector = Injector(os.path.abspath(told.pop("folder")), Fault(**told))
    injector.install()
    if injector.fault.kind in ("pixels", "read", "started"):
        methods(injector)


# --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code, minus the signal's number if one ended it; what it said;
    its points, if it came so far as to tell them."""

    code: int
    out: str
    err: str
    calls: list[str]


class Bench:
    """A process that runs commands, each in a child of its own."""

    def __init__(self) -> None:
        threads = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}
        self._server = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **threads},
        )

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *error: object) -> None:
        assert self._server.stdin
        with self._server:
            self._server.stdin.close()

    def run(self, folder: Path, *arguments: object, fault: Fault | None = None) -> Ended:
        """Run a command in a folder, below which calls are points."""
        assert self._server.stdin
        assert self._server.stdout
        told = {
            "folder": str(folder),
            "arguments": [*map(str, arguments)],
            "fault": asdict(fault or Fault()),
        }
        self._server.stdin.write(json.dumps(told) + "\n")
        self._server.stdin.flush()
        return Ended(**json.loads(self._server.stdout.readline()))


def _serve() -> None:
    import torch  # noqa: F401

    import bandfuse.batches.batch
    import bandfuse.cli.commands
    import bandfuse.cli.main
    import bandfuse.cli.show_batch
    import bandfuse.cli.show_rasters
    import bandfuse.cli.show_sharpen
    import bandfuse.tools.apply
    import bandfuse.tools.evaluate
    import bandfuse.tools.export
    import bandfuse.tools.resample
    import bandfuse.tools.sharpen
    import bandfuse.tools.train  # noqa: F401

    gc.collect()
    gc.freeze()  # a collection in a child would copy the pages that it shares
    for line in sys.stdin:
        told = json.loads(line)
        ended = _run(told["folder"], told["arguments"], Fault(**told["fault"]))
        sys.stdout.write(json.dumps(asdict(ended)) + "\n")
        sys.stdout.flush()


def _run(folder: str, arguments: Sequence[str], fault: Fault) -> Ended:
    with (
        tempfile.TemporaryFile("w+") as out,
        tempfile.TemporaryFile("w+") as err,
        tempfile.TemporaryFile("w+") as told,
    ):
        child = os.fork()
        if not child:
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            _child(folder, arguments, fault, told)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        for file in (out, err, told):
            file.seek(0)
        calls, modules = json.load(told) if os.fstat(told.fileno()).st_size else ([], [])
        _import(modules)
        return Ended(code, out.read(), err.read(), calls)


def _import(modules: Sequence[str]) -> None:
    """What one child had to import, the next finds imported."""
    for name in modules:
        with suppress(ImportError):
            importlib.import_module(name)


def _child(folder: str, arguments: Sequence[str], fault: Fault, told: Any) -> None:
    """The command, and the end of this process."""
    from bandfuse.cli.main import main

    code: object = 70
    before = set(sys.modules)
    try:
        os.setpgid(0, 0)
        os.chdir(folder)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sys.argv = ["bandfuse", *arguments]
        injector = Injector(folder, fault)
        methods(injector)
        injector.install()
        main()
    except SystemExit as ended:
        code = ended.code or 0
        ours = [m for m in sys.modules if m.split(".")[0] in LIBRARIES and m not in before]
        json.dump([injector.calls, ours], told)
    except BaseException:  # noqa: BLE001  (the parent is told, whatever it was)
        traceback.print_exc()
    finally:
        for file in (sys.stdout, sys.stderr, told):
            file.flush()
        os._exit(code if isinstance(code, int) else 1)


if __name__ == "__main__":
    _serve()
