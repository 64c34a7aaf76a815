"""Workers: who does the work: this process or several; a Dask cluster is one too. All give
futures."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    wait,
)
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing.connection import wait as wait_for
from multiprocessing.process import BaseProcess
from typing import Any

from bandfuse.batches.fingerprints import size_of
from bandfuse.batches.item import Allowance, Found, ticking, work_all
from bandfuse.batches.plan import Item
from bandfuse.files.unraisable import log_latin
from bandfuse.streaming.budget import Effort
from bandfuse.streaming.stream import Spread

SPREAD_FROM = 256 * 2**20
"""Items with inputs of so many bytes and more are done in parts by a cluster's workers."""

ASKED, WAIT = 20, 0.5
"""How often a worker is asked to end, and how many seconds it is waited for each time."""

LOOK = 0.5
"""Seconds of waiting, after which it is looked whether all has ended, or who does the work is
lost."""

LEFT_TO_PARENT = [getattr(signal, name) for name in ("SIGINT", "SIGHUP") if hasattr(signal, name)]
"""Signals that the terminal sends to all processes at once. The parent ends its workers itself."""

SMALL = 2**20
"""Items with inputs of less bytes may go in bundles."""


class Inline(Executor):
    """Work is done when it is given."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """A future that is done."""
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


def _well() -> None:
    """Who does the work is always there, and nobody must be told that all ends."""


@dataclass
class WorkExecutor:
    """Who does the items.

    ``slots``: bundles of items that may be given out at once; ``share``: what each may take;
    ``renew`` makes the executor again when its processes died. ``bundle``: most items of a bundle.
    ``spread``: has parts of big items done; these are seen to by ``near``, one at a time, until all
    is ``stopped``. ``work``: does a bundle. ``check``: raises once nobody will do any more;
    ``leave``: tells others that what they do is not wanted any more."""

    slots: int
    share: Allowance
    executor: Executor
    renew: Callable[[], Executor] | None = None
    bundle: int = 1
    spread: Spread | None = None
    stopped: threading.Event = field(default_factory=threading.Event)
    near: Executor = field(
        default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="bandfuse-item")
    )
    work: Callable[[Sequence[Item], Allowance], list[Found]] = work_all
    check: Callable[[], None] = _well
    leave: Callable[[], None] = _well

    def takes(self, bundle: Sequence[Item], ready: Sequence[Item]) -> bool:
        """Whether the first that is ready is to go with a bundle: any goes alone, small ones
        together as long as enough is left to keep all slots busy."""
        if not bundle:
            return True
        enough = min(self.bundle, 1 + (len(bundle) + len(ready)) // (2 * self.slots))
        return len(bundle) < enough and all(_is_small(i) for i in (bundle[-1], ready[0]))

    def give(self, items: Sequence[Item]) -> Future[list[Found]]:
        """Have items done: a big one here, its passes in parts by a cluster's workers."""
        if self.spread is not None and is_big(items[0]):
            progress = ticking(self.stopped.is_set)
            return self.near.submit(
                work_all, items, replace(self.share, spread=self.spread), progress
            )
        return self.executor.submit(self.work, items, self.share)

    def wait(self, futures: Collection[Future[list[Found]]]) -> list[Future[list[Found]]]:
        """Those that are done by now, one at least; what came to its end stands before what was
        lost.

        Raises
        ------
        RunError : nobody is left who would do them.
        """
        while True:
            ended = wait(futures, timeout=LOOK, return_when=FIRST_COMPLETED).done
            if ended:
                return sorted(ended, key=lambda f: f.cancelled() or f.exception() is not None)
            self.check()

    def __enter__(self) -> WorkExecutor:
        return self

    def __exit__(self, *exc: object) -> None:
        """Nothing more is begun, and what goes on near is waited for."""
        self.stopped.set()
        self.leave()
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


def share_of(workers: int, threads: int | None, memory: int | None) -> Allowance:
    """The machine's threads and memory, dealt to so many workers."""
    whole = Effort.of(threads, memory)
    return Allowance(max(1, whole.threads // workers), max(16, whole.memory // workers))


@contextmanager
def local(
    workers: int, threads: int | None = None, memory: int | None = None
) -> Iterator[WorkExecutor]:
    """This process alone, or so many others."""
    share, others = share_of(workers, threads, memory), set(multiprocessing.active_children())
    if workers == 1:
        yield WorkExecutor(1, share, Inline())
        return

    def made() -> Executor:
        return ProcessPoolExecutor(
            workers, mp_context=multiprocessing.get_context("spawn"), initializer=_begin
        )

    executor = WorkExecutor(workers, share, made(), made)
    finished = False
    try:
        yield executor
        finished = True
    finally:
        if not finished:
            _end(set(multiprocessing.active_children()) - others)
        executor.executor.shutdown(wait=True, cancel_futures=True)


def _end(processes: Iterable[BaseProcess]) -> None:
    """End processes: asked again as long as one has missed it, and in the end not asked."""
    for process in processes:
        for _ in range(ASKED):
            process.terminate()
            process.join(WAIT)
            if not process.is_alive():
                break
        else:
            process.kill()


def _begin() -> None:
    """In a new worker: Ctrl-C and a closed terminal are the parent's business, being ended cleans
    up, and no worker outlives its parent."""
    for number in LEFT_TO_PARENT:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    # Where Python takes no exception, such as while it clears away, the parent asks again.
    sys.unraisablehook = lambda found: (
        None if found.exc_type is SystemExit else sys.__unraisablehook__(found)
    )
    log_latin()
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    importlib.import_module("bandfuse.tools.apply")


def _end_with(parent: int) -> None:
    wait_for([parent])
    os._exit(1)
