"""Look: a bounded look at the pixels of a raster, as they are stored, and what it tells of its
bands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from bandfuse.moments.census import Census
from bandfuse.raster import Raster, RasterPatch
from bandfuse.spectral.bands import Floats
from bandfuse.streaming.windows import Tiles, Window, at_random, tile

SIDE = 64
"""Rows and columns of the parts that are looked at."""

MOST_PARTS = 16
"""So many parts are looked at, chosen by the seed; fewer where they hold more than
:data:`MOST_BYTES`."""

MOST_BYTES = 64 * 2**20
"""At most so much is looked at."""

MOST_TRIES = 256
"""So many parts are asked for pixels that count, where some do not."""


@dataclass(frozen=True, eq=False)
class Part:
    """One part: (B, rows, cols) as stored, and where values are missing for reasons that the file
    declares."""

    stored: np.ndarray
    missing: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Spike:
    """A value at the end of a band that far more pixels hold than hold its neighbours.

    ``share`` of the band's pixels that are not missing. ``apart``: how far the next value is away,
    in widths of the rest of the band (between its 1st and 99th percentile)."""

    band: int
    value: float
    share: float
    count: int
    apart: float
    at_low: bool


@dataclass(frozen=True, eq=False)
class PixelLook:
    """What a look at a raster's pixels found."""

    raster: Raster
    parts: list[Part]

    @property
    def looked(self) -> int:
        """Pixels that were looked at."""
        return sum(p.missing[0].size for p in self.parts)

    @property
    def whole(self) -> bool:
        """Whether that is all of them."""
        return self.looked == self.raster.rows * self.raster.cols

    @np.errstate(over="ignore", invalid="ignore")
    def physical(self, part: Part) -> Floats:
        """(B, n) with scale and offset, NaN where missing."""
        z = part.stored.reshape(len(part.stored), -1).astype(np.float64)
        z[part.missing.reshape(len(z), -1)] = np.nan
        result: Floats = z * self.raster.scale[:, None] + self.raster.offset[:, None]
        return result

    @cached_property
    def dead(self) -> dict[int, str]:
        """Bands that hold no data, by position, with the reason."""
        n = len(self.raster.bands)
        census = Census.zero(n)
        for part in self.parts:
            z = self.physical(part)
            census += Census.of(z, np.isfinite(z), n)
        return census.dead(n) if census.seen else dict.fromkeys(range(n), "no valid pixel")

    @cached_property
    def spikes(self) -> list[Spike]:
        """Values at the ends of the bands that stand out; of dead bands such that no measurement
        can be."""
        every = [s for band in range(len(self.raster.bands)) for s in self._ends(band)]
        return [s for s in every if s.band not in self.dead or abs(s.value) > HUGE]

    def valid(self, band: int) -> np.ndarray:
        """(n,) the finite stored values of a band that are not missing."""
        values: np.ndarray = np.concatenate([p.stored[band][~p.missing[band]] for p in self.parts])
        finite: np.ndarray = values[np.isfinite(values)]
        return finite

    def _ends(self, band: int) -> Iterator[Spike]:
        every = self.valid(band)
        if not len(every) or not any(
            _may_stand_out(every, end) for end in (every.min(), every.max())
        ):
            return
        values, counts = np.unique(every, return_counts=True)
        total = int(counts.sum())
        for low in (True, False):
            v, c = (values, counts) if low else (values[::-1], counts[::-1])
            if len(v) > 1 and abs(float(v[0])) > HUGE > abs(float(v[1])):
                yield Spike(band, float(v[0]), float(c[0] / total), int(c[0]), np.inf, low)
                continue
            if len(values) < FEW_VALUES:
                continue
            rest = np.repeat(v[1:].astype(np.float64), c[1:])
            bulk = rest[rest != v[1]] if c[1] > 0.5 * len(rest) else rest
            width = float(np.subtract(*np.percentile(bulk, [99, 1])))
            apart = abs(float(v[1]) - float(v[0])) / width if width > 0 else 0.0
            spiky = c[0] >= SPIKE * max(1, int(c[1:4].max())) and c[0] >= LEAST * total
            if spiky or (apart > APART and (c[0] >= LEAST * total or _is_known(float(v[0])))):
                yield Spike(band, float(v[0]), float(c[0] / total), int(c[0]), apart, low)

    @cached_property
    def unevenness(self) -> Floats:
        """(B,) how much rougher the means of columns are than those of rows, over square parts
        without missing values: the ratio of the variances of their second differences, median over
        the parts. NaN where it cannot be told."""
        n = len(self.raster.bands)
        found = []
        for part in self.parts:
            side = min(part.stored.shape[1:])
            if side < 16:
                continue
            z = part.stored[:, :side, :side].astype(np.float64)
            z[part.missing[:, :side, :side].any(axis=(1, 2))] = np.nan
            ends = [np.diff(z.mean(axis=axis), 2, axis=1).var(axis=1) for axis in (1, 2)]
            with np.errstate(divide="ignore", invalid="ignore"):
                found.append(np.where(ends[1] > 0, ends[0] / ends[1], np.nan))
        if not found:
            return np.full(n, np.nan)
        table = np.array(found)
        whole = np.isfinite(table).any(axis=0)
        result = np.full(n, np.nan)
        result[whole] = np.nanmedian(table[:, whole], axis=0)
        return result


FEW_VALUES = 16
"""A band of fewer distinct values holds classes."""

SPIKE, LEAST = 10.0, 0.002
"""A value stands out that is so many times as frequent as its neighbours and has such a share of
the pixels."""

APART = 0.5
"""A value stands apart that is so many widths of the band away from the next one."""

HUGE = 1e30
"""No measurement is as large."""

KNOWN_FILLS = (
    -1.0,
    -9.0,
    -99.0,
    -999.0,
    -9999.0,
    -99999.0,
    -32768.0,
    -32767.0,
    32767.0,
    65535.0,
    255.0,
    1e20,
    -1e20,
    -1e6,
    9999.0,
    65534.0,
    -2147483648.0,
)
"""Values that files use where they have none."""


def _may_stand_out(values: np.ndarray, end: np.generic) -> bool:
    """Whether the least or greatest value is frequent enough, or one that files use for nothing; to
    spare the sorting of all others."""
    return bool((values == end).sum() >= LEAST * len(values)) or _is_known(float(end))


def _is_known(value: float) -> bool:
    return value in KNOWN_FILLS or abs(value) > HUGE


Read = Callable[[Window], RasterPatch]
"""The pixels of a window, all bands of a raster."""

Unseen = Callable[[Window], NDArray[np.bool_]]
"""(rows, cols) of a window: pixels that do not count."""


def _counting(
    tiles: Tiles, seed: int, unseen: Unseen | None
) -> Iterator[tuple[Window, NDArray[np.bool_] | None]]:
    """Windows in an order drawn by the seed, each with its pixels that do not count. A window
    without any that counts is passed over."""
    if unseen is None:
        yield from ((tiles[i], None) for i in at_random(len(tiles), seed))
        return
    for i in islice(at_random(len(tiles), seed), MOST_TRIES):
        out = unseen(tiles[i])
        if not out.all():
            yield tiles[i], out


def look_at_pixels(
    raster: Raster,
    read: Read,
    seed: int = 0,
    *,
    most: tuple[int, int] = (MOST_PARTS, MOST_BYTES),
    unseen: Unseen | None = None,
) -> PixelLook:
    """Look at some parts of a raster, chosen by the seed; at all of it if it is small.

    Parameters
    ----------
    read : gives the pixels of a window, all bands of the raster.
    most : parts, and bytes at once. unseen : pixels of a window that do not count.

    Raises
    ------
    InputError : the file is damaged.
    """
    tiles = tile(raster.shape, SIDE, SIDE)
    each = SIDE * SIDE * sum(np.dtype(d).itemsize for d in raster.dtypes)
    chosen = islice(_counting(tiles, seed, unseen), int(np.clip(most[1] // each, 1, most[0])))
    found = []
    for window, out in sorted(chosen, key=lambda part: part[0]) or [(tiles[0], None)]:
        cell = read(window).cell(slice(0, window.rows), slice(0, window.cols))
        missing = np.isnan(cell.values()).reshape(len(raster.bands), window.rows, window.cols)
        if out is not None:
            missing |= out
        stored = [part.stored for part in cell.parts]
        found.append(Part(stored[0] if len(stored) == 1 else np.concatenate(stored), missing))
    return PixelLook(raster, found)
