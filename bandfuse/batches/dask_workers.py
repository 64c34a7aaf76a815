"""Dask workers: the workers of a Dask scheduler, with the interface of ``workers``."""

from __future__ import annotations

import importlib
import logging
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, wait
from contextlib import contextmanager, suppress
from itertools import islice
from typing import Any, TypeVar

import bandfuse
from bandfuse.batches.item import Allowance, Found, ticking, work_all
from bandfuse.batches.plan import Item
from bandfuse.batches.workers import LEFT_TO_PARENT, LOOK, WorkExecutor, share_of
from bandfuse.errors import ConfigError, InputError, RunError, shorten
from bandfuse.files.unraisable import log_latin
from bandfuse.streaming.stream import Spread

R = TypeVar("R")

PATIENCE = "10s"
"""How long a scheduler is waited for."""

OWN_PATIENCE = "120s"
"""How long the scheduler of a cluster of our own is waited for: this machine may be busy."""

BUNDLE = 16
"""At most so many small items are sent at once."""

TALKERS = ("distributed", "tornado", "asyncio")
"""Loggers of Dask and of what it is made of, which would tell of a lost connection in
tracebacks."""

GOES_ON = "What is finished is kept; the same command goes on with the rest."


@contextmanager
def cluster(address: str | None, workers: int | None = None) -> Iterator[WorkExecutor]:
    """The workers of a Dask scheduler, or of a cluster of processes on this machine.

    Raises
    ------
    ConfigError : Dask is not installed. InputError : no scheduler there, no workers, or of another
    bandfuse. RunError : the connection was lost, or no cluster can be started here.
    """
    try:
        distributed = importlib.import_module("distributed")
    except ImportError as error:
        raise ConfigError("Dask is not installed", remedy="Install bandfuse[dask].") from error
    with _hushed(), _deaf() as hear:
        own = _own(distributed, workers) if address is None else None
        at = str(address if own is None else own.scheduler_address)
        try:
            hear()
            with _client(distributed, at, PATIENCE if own is None else OWN_PATIENCE) as client:
                share = (
                    share_of(workers, None, None) if own is not None and workers else Allowance()
                )
                yield _executor(client, at, share)
        finally:
            if own is not None:
                with suppress(OSError):
                    own.close()


def _executor(client: Any, address: str, share: Allowance) -> WorkExecutor:
    """All workers of a scheduler as a crew."""
    check = _checking(client, address)
    count, stopped = _same_version(client, address), threading.Event()
    executor: Executor = client.get_executor(pure=False, retries=0)

    def leave() -> None:
        with suppress(OSError, RuntimeError):
            if client.status == "running":
                executor.shutdown(wait=False)

    return WorkExecutor(
        2 * count,
        share,
        executor,
        bundle=BUNDLE,
        spread=_over(executor, count, stopped, check),
        stopped=stopped,
        work=_work_if_wanted,
        check=check,
        leave=leave,
    )


@contextmanager
def _hushed() -> Iterator[None]:
    """Nothing of what Dask logs here is shown: what matters becomes one message of ours."""
    known = [logging.getLogger(name) for name in [*logging.root.manager.loggerDict]]
    quiet = [log for log in known if log.name.partition(".")[0] in TALKERS and not log.disabled]
    for log in quiet:
        log.disabled = True
    try:
        yield
    finally:
        for log in quiet:
            log.disabled = False


MASKS = hasattr(signal, "pthread_sigmask")
"""Whether the system can keep signals from a thread, and from the processes that it starts."""


@contextmanager
def _deaf() -> Iterator[Callable[[], None]]:
    """Keep a Ctrl-C for later, until what is given is called.

    It must not be lost while a cluster starts, whose processes are not to hear it: they, and the
    thread that starts them, inherit the mask of this one.
    """
    if not MASKS or threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    heard: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: heard.append(number))
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    waiting = [True]

    def hear() -> None:
        if waiting:
            waiting.clear()
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
            signal.signal(signal.SIGINT, signal.SIG_DFL if before is None else before)
            if heard:
                signal.raise_signal(signal.SIGINT)

    try:
        yield hear
    finally:
        hear()


def _own(distributed: Any, workers: int | None) -> Any:
    """A cluster of processes on this machine. They do not hear Ctrl-C (see :func:`_deaf`), nor that
    a terminal is closed: that is their parent's business.

    Raises
    ------
    RunError : it cannot be started.
    """
    heard = LEFT_TO_PARENT if threading.current_thread() is threading.main_thread() else []
    ignored = [number for number in heard if not (MASKS and number == signal.SIGINT)]
    before = {number: signal.signal(number, signal.SIG_IGN) for number in ignored}
    try:
        return distributed.LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            dashboard_address=None,
            processes=True,
            silence_logs=logging.CRITICAL,
            scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
        )
    except (OSError, RuntimeError) as error:
        raise RunError(
            "no Dask cluster can be started on this machine",
            got=_line(error),
            remedy="Try it again, or use --workers without --dask.",
        ) from error
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _line(error: BaseException) -> str:
    """An error in one line."""
    return (str(error).splitlines() or [""])[0][:120] or type(error).__name__


@contextmanager
def _client(distributed: Any, address: str, patience: str) -> Iterator[Any]:
    try:
        client = distributed.Client(address, timeout=patience)
    except (OSError, TimeoutError, ValueError) as error:
        raise InputError(
            f"there is no scheduler at {address}",
            got=_line(error),
            expected="the address of a running dask scheduler, such as tcp://10.0.0.1:8786",
        ) from error
    try:
        yield client
    finally:
        with suppress(OSError):
            client.close()


def _checking(client: Any, address: str) -> Callable[[], None]:
    """Says that the connection to a scheduler is lost, once it is: Dask would try to connect again,
    but what ran is given up by then."""

    def check() -> None:
        if client.status != "running":
            raise _lost(address)

    return check


def _lost(address: str) -> RunError:
    return RunError(f"the connection to the scheduler at {address} is lost", remedy=GOES_ON)


def _work_if_wanted(items: Sequence[Item], share: Allowance) -> list[Found]:
    """Do items in a worker, as long as the scheduler wants them: what is cancelled, or was for
    somebody who is gone, ends at its next step."""
    log_latin()
    worker = importlib.import_module("distributed").get_worker()
    key = worker.get_current_task()

    def unwanted() -> bool:
        task = worker.state.tasks.get(key)
        return (
            task is None
            or task.state in ("cancelled", "resumed")
            or str(worker.status.name) in ENDING
        )

    return work_all(items, share, ticking(unwanted))


ENDING = ("closing", "closed", "failed", "closing_gracefully")
"""States of a worker that has lost its scheduler, or is to end."""


def _over(
    executor: Executor, workers: int, stopped: threading.Event, check: Callable[[], None]
) -> Spread:
    """Parts of one item as tasks of a cluster; a few more than it has workers are given out at
    once. Once all is stopped none is waited for: its worker may be gone."""

    def result(future: Future[Any]) -> Any:
        while not stopped.is_set():
            if wait([future], timeout=LOOK).done:
                return _outcome(future)
            check()
        raise RunError("stopped")

    def spread(work: Callable[..., R], tasks: Sequence[tuple[Any, ...]]) -> Iterator[R]:
        todo, waiting = iter(tasks), deque[Future[Any]]()
        for task in islice(todo, 2 * workers):
            waiting.append(executor.submit(_part, work, *task))
        while waiting:
            yield result(waiting.popleft())
            waiting.extend(executor.submit(_part, work, *task) for task in islice(todo, 1))

    return spread


def _part(work: Callable[..., R], *task: Any) -> R:
    """Do one part in a worker."""
    log_latin()
    return work(*task)


def _outcome(future: Future[Any]) -> Any:
    """What came of a part.

    Raises
    ------
    RunError : the cluster gave it up; worth another try.
    """
    if future.cancelled():
        raise RunError("the cluster lost a part of the work") from ConnectionAbortedError()
    return future.result()


def _same_version(client: Any, address: str) -> int:
    """How many workers there are; all must run this bandfuse."""
    try:
        found = client.run(_version, on_error="return")
    except OSError as error:
        raise _lost(address) from error
    if not found:
        raise InputError(
            f"the scheduler at {address} has no workers", remedy="Start some: dask worker ADDRESS."
        )
    others = {
        f"{worker} with {_told(v)}" for worker, v in found.items() if v != bandfuse.__version__
    }
    if others:
        raise InputError(
            "workers run another bandfuse",
            got=shorten(sorted(others)),
            expected=f"bandfuse {bandfuse.__version__}",
        )
    return len(found)


def _told(answer: object) -> str:
    """A version, or why a worker has none."""
    return _line(answer) if isinstance(answer, BaseException) else str(answer)


def _version() -> str:
    return bandfuse.__version__
