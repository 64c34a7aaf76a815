"""Beside: a sharpened cube and the true one, read together, and the pixels of both that count."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bandfuse.progress import Progress
from bandfuse.raster import Where
from bandfuse.scenes.displacement import complete
from bandfuse.sharpening.pairs.pair import Pair
from bandfuse.sharpening.pairs.ranges import Range, place_of
from bandfuse.sharpening.scores.squares import Flags
from bandfuse.spectral.bands import Floats
from bandfuse.streaming.budget import Effort
from bandfuse.streaming.stream import WeighedSource, each_window, whole
from bandfuse.streaming.windows import Window

MISSING_RESULT = "missing in the sharpened raster"
MISSING_TRUTH = "missing in the true cube"
MISSING_CUBE = "missing in the cube"
"""Why pixels do not count."""


@dataclass(frozen=True, eq=False)
class Beside:
    """What is read: ``source`` gives ``bands`` bands of the sharpened raster and then those of the
    true cube; ``where`` tells which pixels count; ``pair`` holds the cube that was sharpened, if
    its interpolation is scored too."""

    source: WeighedSource
    shape: tuple[int, int]
    bands: int
    where: Where | None = None
    pair: Pair | None = None

    @property
    def bytes_per_pixel(self) -> int:
        """Roughly what a pixel takes while it is looked at, as stored and as numbers."""
        return self.source.bytes_per_pixel + 2 * 8 * self.bands

    def split(self, values: Floats) -> tuple[Floats, Floats]:
        """(B, n, m) of the sharpened raster and of the true cube."""
        return values[: self.bands], values[self.bands :]

    def reasons(self, window: Window, result: Floats, truth: Floats) -> dict[str, Flags]:
        """(n, m) of the pixels that do not count, by reason; no pixel has two."""
        found = {} if self.where is None else self.where.excluded(window)
        known = {MISSING_RESULT: complete(result), MISSING_TRUTH: complete(truth)}
        if self.pair is not None:
            known[MISSING_CUBE] = _cube_known(self.pair, window)
        left = ~any_of(found.values(), window)
        for reason, there in known.items():
            found[reason] = left & ~there
            left = left & there
        return found


def _cube_known(pair: Pair, window: Window) -> Flags:
    """(n, m) whether pixels lie on valid ones of the cube."""
    rows, cols = place_of(window)
    under = pair.geometry.rows.under(rows), pair.geometry.cols.under(cols)
    return pair.nearest(pair.cube(*under).valid, under, rows, cols)


def any_of(flags: Iterable[Flags], window: Window) -> Flags:
    """(n, m) the pixels of a window that one of some masks holds."""
    out: Flags = np.zeros((window.rows, window.cols), dtype=bool)
    for some in flags:
        out = out | some
    return out


@dataclass(frozen=True, eq=False)
class Seen:
    """What the first pass finds of the pixels that count: how many; ``invalid``: how many others,
    by reason; ``low`` and ``high``: (B,) the least and the greatest true value; the ``largest``
    size of any value; the rows and columns in which they lie; and (B,) in how many selected pixels
    each band of the sharpened raster and of the true cube is known."""

    used: int
    invalid: Mapping[str, int]
    low: Floats
    high: Floats
    largest: float
    rows: Range
    cols: Range
    result: NDArray[np.int64]
    truth: NDArray[np.int64]

    def __add__(self, other: Seen) -> Seen:
        """Of both parts together."""
        if not other.used or not self.used:
            box = other if other.used else self
            rows, cols = box.rows, box.cols
        else:
            rows, cols = _both(self.rows, other.rows), _both(self.cols, other.cols)
        return Seen(
            self.used + other.used,
            Counter(self.invalid) + Counter(other.invalid),
            np.fmin(self.low, other.low),
            np.fmax(self.high, other.high),
            max(self.largest, other.largest),
            rows,
            cols,
            self.result + other.result,
            self.truth + other.truth,
        )


def _both(a: Range, b: Range) -> Range:
    return Range(min(a.start, b.start), max(a.stop, b.stop))


def seen(beside: Beside, windows: Sequence[Window], effort: Effort, progress: Progress) -> Seen:
    """The first pass."""
    found: Seen | None = None
    passed = each_window(
        windows,
        lambda window: _seen(beside, window),
        threads=effort.threads,
        progress=progress,
        label="look",
    )
    for _, one in passed:
        found = one if found is None else found + one
    assert found is not None
    return found


def _seen(beside: Beside, window: Window) -> Seen:
    result, truth = beside.split(whole(beside.source, window))
    reasons = beside.reasons(window, result, truth)
    left = ~any_of(reasons.values(), window)
    gone = {MISSING_RESULT, MISSING_TRUTH, MISSING_CUBE}
    asked = ~any_of((some for reason, some in reasons.items() if reason not in gone), window)
    (low, high), others = _ends(truth, left), _ends(result, left)
    rows, cols = (_span(left, axis) for axis in (1, 0))
    return Seen(
        int(left.sum()),
        {reason: int(some.sum()) for reason, some in reasons.items()},
        low,
        high,
        float(np.nanmax(np.abs([low, high, *others]))) if left.any() else 0.0,
        Range(window.row + rows.start, window.row + rows.stop),
        Range(window.col + cols.start, window.col + cols.stop),
        _known(result, asked),
        _known(truth, asked),
    )


def _ends(image: Floats, where: Flags) -> tuple[Floats, Floats]:
    """(B,) the least and the largest value of every band; NaN where there is none."""
    if not where.any():
        return np.full(len(image), np.nan), np.full(len(image), np.nan)
    ends = [(some.min(), some.max()) for some in (band[where] for band in image)]
    low, high = np.array(ends).T
    return low, high


def _known(image: Floats, where: Flags) -> NDArray[np.int64]:
    """(B,) in how many of the pixels each band has a value."""
    return np.array([np.isfinite(band[where]).sum() for band in image], dtype=np.int64)


def _span(some: Flags, over: int) -> Range:
    """From the first to the last row or column that holds a pixel; ``over``: the other axis."""
    at = np.flatnonzero(some.any(axis=over))
    return Range(int(at[0]), int(at[-1]) + 1) if at.size else Range(0, 0)
