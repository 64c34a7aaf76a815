"""Runs tests in forked processes of one that has imported all that is heavy, but not bandfuse.

A run then costs what its tests cost: importing torch, rasterio, scipy and pytest takes longer than
most of them. Time is that of the processor, so that a busy machine changes nothing. Needs
``os.fork``: Linux or macOS.
"""

from __future__ import annotations

import ast
import importlib
import json
import os
import resource
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

FLAGS = [
    *["-x", "-q", "-n", "0", "-p", "no:cacheprovider", "--no-header", "--tb=line"],
    *["-W", "ignore::pytest.PytestAssertRewriteWarning"],
]
ENDED_BY_TIME = -1

WAIT = 6
"""Seconds by the clock, per second of the processor, after which a run is taken to hang."""


def prepare(sources: Iterable[Path]) -> None:
    """Import what these files import but for themselves, without a thread started: a fork takes one
    thread along only."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    names = set()
    for path in sources:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in sorted(n for n in names if n.split(".")[0] != "bandfuse"):
            with suppress(ImportError):
                importlib.import_module(name)


@dataclass
class Job:
    """Tests to run in a tree: ``files`` are collected, ``order`` says which of their tests run, and
    when (all of them if it is empty). ``limit`` in seconds of the processor; the lines of each test
    in files that are ``watched`` are noted. ``change``: files of the tree that are different for
    this run."""

    files: Sequence[str]
    order: Sequence[str] = ()
    limit: float = 600.0
    watched: Sequence[str] = ()
    change: Mapping[str, str] = field(default_factory=dict)
    about: Any = None


@dataclass
class Outcome:
    """pytest's exit status, or :data:`ENDED_BY_TIME`; seconds; the test that failed first; and the
    seconds and lines (file → numbers) of each test."""

    status: int
    seconds: float
    failed: str = ""
    took: dict[str, float] = field(default_factory=dict)
    lines: dict[str, dict[str, list[int]]] = field(default_factory=dict)


class _Watch:
    """A plugin of pytest: picks and orders tests, and notes what they did."""

    def __init__(self, job: Job, coverage: Any) -> None:
        self.place = {name: i for i, name in enumerate(job.order)}
        self.coverage, self.took = coverage, dict[str, float]()
        self.failed, self.now, self.since = "", "", 0.0

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        if self.place:
            items[:] = [item for item in items if item.nodeid in self.place]
            items.sort(key=lambda item: self.place[item.nodeid])

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self.now, self.since = item.nodeid, _spent()
        if self.coverage is not None:
            self.coverage.switch_context(item.nodeid)
        result = yield
        if self.coverage is not None:
            self.coverage.switch_context("")
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any, request: Any) -> Iterator[object]:
        """What a whole file shares is run for every test of the file."""
        shared = self.coverage is not None and fixturedef.scope != "function"
        here = request.node.nodeid.split("::")[0]
        if shared:
            self.coverage.switch_context(f"{here}::*")
        result = yield
        if shared:
            self.coverage.switch_context(self.now)
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.took[report.nodeid] = self.took.get(report.nodeid, 0.0) + _spent() - self.since
        self.since = _spent()
        if report.failed and not self.failed:
            self.failed = report.nodeid

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed and not self.failed:
            self.failed = f"import of {report.nodeid}"


def _spent() -> float:
    """Seconds of the processor that this process and those that it waited for have used."""
    return sum(os.times()[:4])


def _child(job: Job, tree: Path, log: Path, answer: Path) -> None:
    """Everything that happens in the forked process."""
    os.setsid()
    most = int(job.limit)
    resource.setrlimit(resource.RLIMIT_CPU, (most, most + 5))
    out = os.open(log, os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.chdir(tree)
    os.environ["PYTHONPATH"] = str(tree)
    sys.path[:0] = [str(tree)]
    if job.change:
        sys.dont_write_bytecode = True
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    coverage = _coverage([tree / name for name in job.watched]) if job.watched else None
    watch = _Watch(job, coverage)
    base = f"--basetemp={tree.parent / (tree.name + '-tmp')}"
    flags = [flag for flag in FLAGS if not (job.watched and flag == "-x")]
    status = int(pytest.main([*flags, base, *job.files], plugins=[watch]))
    found = Outcome(status, _spent(), watch.failed, watch.took)
    if coverage is not None:
        coverage.stop()
        found.lines = _lines_of(coverage, tree)
    answer.write_text(json.dumps(vars(found)))


def _coverage(files: Sequence[Path]) -> Any:
    import coverage

    names = [str(file) for file in files]
    watcher = coverage.Coverage(data_file=None, include=names, config_file=False)
    watcher.start()
    return watcher


def _lines_of(coverage: Any, tree: Path) -> dict[str, dict[str, list[int]]]:
    found: dict[str, dict[str, list[int]]] = {}
    data = coverage.get_data()
    for path in data.measured_files():
        name = str(Path(path).relative_to(tree))
        for line, contexts in data.contexts_by_lineno(path).items():
            for test in contexts:
                if test:
                    found.setdefault(test, {}).setdefault(name, []).append(line)
    return found


@dataclass
class _Running:
    job: Job
    tree: Path
    pid: int
    start: float
    kept: dict[Path, tuple[str, os.stat_result]]

    @property
    def answer(self) -> Path:
        return self.tree.with_name(self.tree.name + ".json")


def _start(job: Job, tree: Path) -> _Running:
    kept = {}
    for name, content in job.change.items():
        path = tree / name
        kept[path] = path.read_text(encoding="utf-8"), path.stat()
        path.write_text(content, encoding="utf-8")
        # Bytecode is known by the time of its source in whole seconds: no other has this one.
        os.utime(path, (0, int(time.time()) + 10_000))
    answer = tree.with_name(tree.name + ".json")
    answer.unlink(missing_ok=True)
    pid = os.fork()
    if pid == 0:
        try:
            _child(job, tree, tree.with_name(tree.name + ".log"), answer)
        except BaseException:  # noqa: BLE001 - nothing of the parent's stack may run here
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(0)
    return _Running(job, tree, pid, time.monotonic(), kept)


def _ended(run: _Running) -> Outcome | None:
    """The outcome of a run that has ended or has had its time; None for one that goes on."""
    late = time.monotonic() - run.start > WAIT * run.job.limit
    pid, status = os.waitpid(run.pid, 0 if late and _stop(run.pid) else os.WNOHANG)
    if pid == 0:
        return None
    late = late or (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU)
    _stop(run.pid)  # what it started and left behind
    for path, (content, stat) in run.kept.items():
        path.write_text(content, encoding="utf-8")
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    if run.answer.exists():
        return Outcome(**json.loads(run.answer.read_text()))
    return Outcome(ENDED_BY_TIME if late else 3, time.monotonic() - run.start)


def _stop(group: int) -> bool:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)
    return True


Seen = Callable[[int, int], None]
"""Is told how many jobs are done, and of how many."""


def each(jobs: Iterable[Job], trees: Sequence[Path], seen: Seen) -> Iterator[tuple[Job, Outcome]]:
    """Run jobs, one at a time in each tree; they come back as they end."""
    waiting, free, running, done = list(jobs), list(trees), list[_Running](), 0
    whole = len(waiting)
    try:
        while waiting or running:
            while waiting and free:
                running.append(_start(waiting.pop(0), free.pop(0)))
            time.sleep(0.02)
            for run in list(running):
                outcome = _ended(run)
                if outcome is not None:
                    running.remove(run)
                    free.append(run.tree)
                    done += 1
                    seen(done, whole)
                    yield run.job, outcome
    finally:
        for run in running:
            _stop(run.pid)
