"""Cluster: the workers of a Dask scheduler as a crew."""

from __future__ import annotations

import importlib
import logging
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar

import bandfuse
from bandfuse.batches.crew import LEFT_TO_PARENT, Crew, share_of
from bandfuse.batches.work import Share
from bandfuse.errors import ConfigError, InputError, RunError, shorten
from bandfuse.stream import Spread

R = TypeVar("R")

PATIENCE = "10s"
"""How long a scheduler is waited for."""

LOOK = 0.5
"""Seconds of waiting for a part, after which the end of all is looked for."""

BUNDLE = 16
"""At most so many small items are sent at once."""


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
    own = _own(distributed, workers) if address is None else None
    try:
        with _client(distributed, str(address if own is None else own.scheduler_address)) as client:
            count, stopped = _same_version(client, str(address)), threading.Event()
            share = share_of(workers, None, None) if own is not None and workers else Share()
            executor, spread = client.get_executor(pure=False, retries=0), _over(client, count, stopped)
            yield Crew(2 * count, share, executor, bundle=BUNDLE, spread=spread, stopped=stopped)
    finally:
        if own is not None:
            own.close()


def _own(distributed: Any, workers: int | None) -> Any:
    """A cluster of processes on this machine. They do not hear Ctrl-C, nor that a terminal is closed: that is their
    parent's business."""
    heard = LEFT_TO_PARENT if threading.current_thread() is threading.main_thread() else []
    before = {number: signal.signal(number, signal.SIG_IGN) for number in heard}
    try:
        return distributed.LocalCluster(
            n_workers=workers, threads_per_worker=1, dashboard_address=None, processes=True,
            silence_logs=logging.CRITICAL,
        )  # fmt: skip
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _client(distributed: Any, address: str) -> Iterator[Any]:
    try:
        client = distributed.Client(address, timeout=PATIENCE)
    except (OSError, TimeoutError, ValueError) as error:
        raise InputError(
            f"there is no scheduler at {address}", got=str(error).splitlines()[0][:120],
            expected="the address of a running dask scheduler, such as tcp://10.0.0.1:8786",
        ) from error  # fmt: skip
    try:
        yield client
    finally:
        client.close()


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
    return bandfuse.__version__
