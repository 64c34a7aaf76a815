"""Stream: one pass over windows, read and computed by threads, delivered in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
from threadpoolctl import threadpool_limits

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
    return _whole(source.read(window), window)


def _whole(patch: Patch, window: Window) -> Floats:
    """All pixels of the patch of a window."""
    cell = patch.cell(slice(0, window.rows), slice(0, window.cols))
    return cell.values().reshape(-1, window.rows, window.cols)


@dataclass(frozen=True, eq=False)
class Layer:
    """Some variables of a window as stored, and how numbers are made of them.

    ``stored`` (n, rows, cols): of a type whose values float64 holds exactly. ``fill`` (n,): what
    stands for a missing value, NaN for nothing. ``mask``: 0 where values are missing, (rows, cols)
    of all variables or (n, rows, cols); None for no mask. A number is scale · stored + offset."""

    stored: np.ndarray
    fill: Floats
    scale: Floats
    offset: Floats
    mask: np.ndarray | None = None

    @classmethod
    def of(cls, values: Floats) -> Layer:
        """Of (n, rows, cols) numbers, NaN where missing."""
        n = len(values)
        return cls(values, np.full(n, np.nan), np.ones(n), np.zeros(n))

    @property
    def scaled(self) -> bool:
        """Whether numbers differ from what is stored."""
        return bool((self.scale != 1).any() or (self.offset != 0).any())

    @property
    def last(self) -> Layer:
        """Its last variable alone."""
        mask = self.mask
        return Layer(
            self.stored[-1:],
            self.fill[-1:],
            self.scale[-1:],
            self.offset[-1:],
            mask[-1:] if mask is not None and mask.ndim == 3 else mask,
        )

    def cut(self, rows: slice, cols: slice) -> Layer:
        """A rectangle of it."""
        mask = None if self.mask is None else self.mask[..., rows, cols]
        return replace(self, stored=self.stored[:, rows, cols], mask=mask)

    @np.errstate(over="ignore", invalid="ignore")
    def at(self, rows: np.ndarray, cols: np.ndarray) -> Floats:
        """(n, m) numbers of m pixels, NaN where missing."""
        numbers = self.stored[:, rows, cols].astype(np.float64)
        numbers[numbers == self.fill[:, None]] = np.nan
        if self.mask is not None:
            gone = np.broadcast_to(self.mask[..., rows, cols] == 0, numbers.shape)
            numbers[gone] = np.nan
        if self.scaled:
            numbers *= self.scale[:, None]
            numbers += self.offset[:, None]
        return numbers


@runtime_checkable
class Layered(Protocol):
    """A patch that gives its pixels as they are stored."""

    def layers(self) -> list[Layer]:
        """All variables, in order."""
        ...


def layers_of(patch: Patch, window: Window) -> list[Layer]:
    """The pixels of the patch of a window as they are stored; as float64 if it does not tell."""
    return patch.layers() if isinstance(patch, Layered) else [Layer.of(_whole(patch, window))]


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


class Kernel(Protocol):
    """What is computed of the pixels of a cell."""

    def of(self, cell: Cell, /) -> Floats:
        """(K, n) float64."""
        ...


def map_windows(
    source: Source,
    kernel: Kernel,
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
            del patch  # its memory serves the next part
        assert out is not None
        return out

    for window, result in each_window(
        windows, fuse, threads=threads, progress=progress, label="fuse"
    ):
        sink(window, result)
