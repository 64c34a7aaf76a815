"""Crew: who does the work. This process, several processes, or a Dask cluster; all give futures."""

from __future__ import annotations

import importlib
import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from multiprocessing.connection import wait as wait_for
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from bandfuse.batches.marks import size_of
from bandfuse.batches.plan import Item
from bandfuse.batches.work import Found, Share, work_all, work_in_parts
from bandfuse.errors import ConfigError, InputError, RunError, shorten
from bandfuse.stream import Spread
from bandfuse.tools.effort import Effort

R = TypeVar("R")

SPREAD_FROM = 256 * 2**20
"""Items with inputs of so many bytes and more are done in parts by a cluster's workers."""

PATIENCE = "10s"
"""How long a scheduler is waited for."""

LOOK, ASKED = 0.5, 20
"""Seconds of waiting, after which the end of all is looked for; how often a worker is asked to end."""

SMALL, BUNDLE = 2**20, 16
"""Items of less bytes than the first are sent to a cluster in bundles of at most so many."""


class Inline(Executor):
    """Work is done when it is given."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """A future that is done."""
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


@dataclass
class Crew:
    """``slots``: bundles of items that may be given out at once; ``share``: what each may take; ``renew`` makes the
    executor again when its processes died. ``bundle``: most items of a bundle. ``spread``: has parts of big items done;
    these are seen to by ``near``, one at a time, until all is ``stopped``."""

    slots: int
    share: Share
    executor: Executor
    renew: Callable[[], Executor] | None = None
    bundle: int = 1
    spread: Spread | None = None
    stopped: threading.Event = field(default_factory=threading.Event)
    near: Executor = field(default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="bandfuse-item"))

    def takes(self, bundle: Sequence[Item], ready: Sequence[Item]) -> bool:
        """Whether the first that is ready is to go with a bundle: any goes alone, small ones together as long as
        enough is left to keep all slots busy."""
        if not bundle:
            return True
        enough = min(self.bundle, 1 + (len(bundle) + len(ready)) // (2 * self.slots))
        return len(bundle) < enough and all(_is_small(i) for i in (bundle[-1], ready[0]))

    def give(self, items: Sequence[Item]) -> Future[list[Found]]:
        """Have items done: a big one here, its passes in parts by a cluster's workers."""
        if self.spread is not None and is_big(items[0]):
            return self.near.submit(work_in_parts, items, self.share, self.spread, self._ticking)
        return self.executor.submit(work_all, items, self.share)

    def _ticking(self, items: Iterable[R], total: int, label: str) -> Iterator[R]:
        """No progress is shown; what goes on ends at its next step once all is stopped."""
        for item in items:
            if self.stopped.is_set():
                raise RunError("stopped")
            yield item

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *exc: object) -> None:
        """Nothing more is begun, and what goes on near is waited for."""
        self.stopped.set()
        self.near.shutdown(wait=True, cancel_futures=True)

    def restart(self) -> None:
        """New processes in the place of those that died."""
        assert self.renew is not None
        self.executor.shutdown(wait=False, cancel_futures=True)
        self.executor = self.renew()


def _is_small(item: Item) -> bool:
    return bool(item.scene) and size_of(item.inputs) < SMALL


def is_big(item: Item) -> bool:
    """Whether an item is worth many workers: a pooled training, or large inputs."""
    return (not item.scene and len(item.inputs) > 1) or size_of(item.inputs) >= SPREAD_FROM


def share_of(workers: int, threads: int | None, memory: int | None) -> Share:
    """The machine's threads and memory, dealt to so many workers."""
    whole = Effort.of(threads, memory)
    return Share(max(1, whole.threads // workers), max(16, whole.memory // workers))


@contextmanager
def local(workers: int, threads: int | None = None, memory: int | None = None) -> Iterator[Crew]:
    """This process alone, or so many others."""
    share, others = share_of(workers, threads, memory), set(multiprocessing.active_children())
    if workers == 1:
        yield Crew(1, share, Inline())
        return

    def made() -> Executor:
        return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"), initializer=_begin)

    crew = Crew(workers, share, made(), made)
    finished = False
    try:
        yield crew
        finished = True
    finally:
        if not finished:
            _end(set(multiprocessing.active_children()) - others)
        crew.executor.shutdown(wait=True, cancel_futures=True)


def _end(processes: Iterable[BaseProcess]) -> None:
    """End processes: asked again as long as one has missed it, and in the end not asked."""
    for process in processes:
        for _ in range(ASKED):
            process.terminate()
            process.join(LOOK)
            if not process.is_alive():
                break
        else:
            process.kill()


def _begin() -> None:
    """In a new worker: Ctrl-C is the parent's business, being ended cleans up, and no worker outlives its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    # Where Python takes no exception, such as while it clears away, the parent asks again.
    sys.unraisablehook = lambda found: None if found.exc_type is SystemExit else sys.__unraisablehook__(found)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    importlib.import_module("bandfuse.tools.apply")


def _end_with(parent: int) -> None:
    wait_for([parent])
    os._exit(1)


@contextmanager
def cluster(address: str | None, workers: int | None = None) -> Iterator[Crew]:
    """The workers of a Dask scheduler, or of a cluster of processes on this machine.

    Raises
    ------
    ConfigError : Dask is not installed. InputError : no scheduler there, no workers, or of another bandfuse.
    """
    try:
        distributed = importlib.import_module("distributed")
    except ImportError as error:
        raise ConfigError("Dask is not installed", remedy="Install bandfuse[dask].") from error
    own = None
    try:
        if address is None:
            with _deaf():
                own = distributed.LocalCluster(
                    n_workers=workers, threads_per_worker=1, dashboard_address=None, processes=True,
                    silence_logs=logging.CRITICAL,
                )  # fmt: skip
        client = distributed.Client(own or address, timeout=PATIENCE)
    except (OSError, TimeoutError, ValueError) as error:
        raise InputError(
            f"there is no scheduler at {address}", got=str(error).splitlines()[0][:120],
            expected="the address of a running dask scheduler, such as tcp://10.0.0.1:8786",
        ) from error  # fmt: skip
    try:
        count = _same_version(client, str(address))
        share = share_of(workers, None, None) if own is not None and workers else Share()
        executor = client.get_executor(pure=False, retries=0)
        stopped = threading.Event()
        spread = _over(client, count, stopped)
        yield Crew(2 * count, share, executor, bundle=BUNDLE, spread=spread, stopped=stopped)
    finally:
        client.close()
        if own is not None:
            own.close()


@contextmanager
def _deaf() -> Iterator[None]:
    """Processes that are started within this do not hear Ctrl-C, which is their parent's business."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _over(client: Any, workers: int, stopped: threading.Event) -> Spread:
    """Parts of one item as tasks of a cluster; a few more than it has workers are given out at once. Once all is
    stopped none is waited for: its worker may be gone."""

    def result(future: Any) -> Any:
        while not stopped.is_set():
            try:
                return future.result(timeout=LOOK)
            except TimeoutError:
                if future.done():
                    raise
        raise RunError("stopped")

    def spread(work: Callable[..., R], tasks: Sequence[tuple[Any, ...]]) -> Iterator[R]:
        todo, waiting = iter(tasks), deque[Any]()
        for task in islice(todo, 2 * workers):
            waiting.append(client.submit(work, *task, pure=False))
        while waiting:
            yield result(waiting.popleft())
            waiting.extend(client.submit(work, *task, pure=False) for task in islice(todo, 1))

    return spread


def _same_version(client: Any, address: str) -> int:
    """How many workers there are; all must run this bandfuse."""
    import bandfuse

    found = client.run(_version)
    if not found:
        raise InputError(f"the scheduler at {address} has no workers", remedy="Start some: dask worker ADDRESS.")
    others = {f"{worker} with {v}" for worker, v in found.items() if v != bandfuse.__version__}
    if others:
        raise InputError(
            "workers run another bandfuse", got=shorten(sorted(others)), expected=f"bandfuse {bandfuse.__version__}"
        )
    return len(found)


def _version() -> str:
    import bandfuse

    return bandfuse.__version__
