"""Stream: one pass over windows, read and computed by threads, delivered in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

import numpy as np
from threadpoolctl import threadpool_limits

from bandfuse.model.fusion import FusionKernel
from bandfuse.progress import Progress, silent
from bandfuse.spectral.bands import Floats
from bandfuse.streaming.windows import STACK_ROWS, Window, cells

R = TypeVar("R")


class Cell(Protocol):
    """The n pixels of one cell, D numbers each."""

    def values(self) -> Floats:
        """(D, n) float64, contiguous, row by row; NaN where missing. The caller may write over
        them; they last until the next cell of the patch is taken."""
        ...

    @property
    def extremes(self) -> tuple[Floats, Floats] | None:
        """(D,) least and largest values, if all are known to be finite; None otherwise."""
        ...


class Patch(Protocol):
    """The pixels of one window in their stored type; cells are converted one by one."""

    def cell(self, rows: slice, cols: slice) -> Cell:
        """The pixels of a cell."""
        ...


class Source(Protocol):
    """Anything that windows can be read from, by several threads at once."""

    def read(self, window: Window) -> Patch:
        """The pixels of a window."""
        ...


def in_parts(source: Source, window: Window) -> Iterator[Window]:
    """The parts of a window that a source would rather be asked for one after the other; whole
    cells each."""
    parts: Callable[[Window], Iterator[Window]] | None = getattr(source, "parts", None)
    if parts is None:
        yield window
    else:
        yield from parts(window)


def whole(source: Source, window: Window) -> Floats:
    """(D, rows, cols) of a window, NaN where missing."""
    cell = source.read(window).cell(slice(0, window.rows), slice(0, window.cols))
    return cell.values().reshape(-1, window.rows, window.cols)


class WeighedSource(Source, Protocol):
    """A source that says how many bytes it reads for a pixel."""

    @property
    def bytes_per_pixel(self) -> int:
        """Bytes of all bands."""
        ...


def bytes_at_once(source: WeighedSource, cols: int) -> int:
    """Bytes for a pixel of a window of a scene with so many columns, of which only one part is held
    at a time."""
    parts = sum(1 for _ in in_parts(source, Window(0, 0, STACK_ROWS, cols)))
    return -(-source.bytes_per_pixel // parts)


class Spread(Protocol):
    """Has parts of one big piece of work done elsewhere: ``work(*task)`` for every task, all of
    them picklable; yields the results in the order of the tasks."""

    def __call__(self, work: Callable[..., R], tasks: Sequence[tuple[Any, ...]]) -> Iterator[R]:
        """The results."""
        ...


def each_window(
    windows: Sequence[Window],
    work: Callable[[Window], R],
    *,
    threads: int,
    progress: Progress = silent,
    label: str = "read",
) -> Iterator[tuple[Window, R]]:
    """Do work on every window in threads; yield the results in the order of the windows.

    Each worker's BLAS runs on one thread. At most ``threads + 2`` results are held at once.
    """
    waiting: deque[tuple[Window, Future[R]]] = deque()
    pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="bandfuse")
    todo = iter(windows)

    def submit_next() -> None:
        window = next(todo, None)
        if window is not None:
            waiting.append((window, pool.submit(work, window)))

    with threadpool_limits(limits=1, user_api="blas"):
        try:
            for _ in range(threads + 1):
                submit_next()
            for _ in progress(range(len(windows)), total=len(windows), label=label):
                window, future = waiting.popleft()
                submit_next()
                yield window, future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


Sink = Callable[[Window, np.ndarray], None]


def map_windows(
    source: Source,
    kernel: FusionKernel,
    encode: Callable[[Window, Floats], np.ndarray],
    sink: Sink,
    windows: Sequence[Window],
    *,
    threads: int,
    progress: Progress = silent,
) -> None:
    """Fuse every window, cell by cell, and hand (K, rows, cols) arrays to the sink in order.

    ``encode`` turns (K, n) float64 of one cell, whose window it is told, into the stored type; it
    runs in the worker threads.
    """

    def fuse(window: Window) -> np.ndarray:
        out: np.ndarray | None = None
        for some in in_parts(source, window):
            patch = source.read(some)
            for cell in cells(some):
                part = encode(cell, kernel.of(patch.cell(*cell.within(some))))
                if out is None:
                    out = np.empty((len(part), window.rows, window.cols), dtype=part.dtype)
                out[(slice(None), *cell.within(window))] = part.reshape(-1, cell.rows, cell.cols)
        assert out is not None
        return out

    for window, result in each_window(
        windows, fuse, threads=threads, progress=progress, label="fuse"
    ):
        sink(window, result)
