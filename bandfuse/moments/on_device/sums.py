"""Sums: moments of the cells of a batch, and how they add up: down each column of stacks, then from
column to column of a block, always in that order."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch

from bandfuse.moments.gram import Gram
from bandfuse.moments.moments import Moments
from bandfuse.moments.on_device.card import filled, full_float32, there
from bandfuse.streaming.windows import CELL_COLS, CELL_ROWS

Key = tuple[int, int, int]
"""Block, stratum, and column of stacks."""


class Parts(NamedTuple):
    """Moments of P parts in float64: ``n`` pixels (P,), ``mean`` (P, D), ``scatter`` (P, D, D)."""

    n: torch.Tensor
    mean: torch.Tensor
    scatter: torch.Tensor

    def take(self, index: torch.Tensor) -> Parts:
        """Some of them, copied."""
        return Parts(*(values[index] for values in self))

    def put(self, index: torch.Tensor, parts: Parts) -> None:
        """Others in the place of some of them."""
        for mine, values in zip(self, parts, strict=True):
            mine.index_copy_(0, index, values)

    def plus(self, other: Parts) -> Parts:
        """Part by part the sum, as :class:`Moments` add."""
        n = self.n + other.n
        share = other.n / n.clamp(min=1)
        step = other.mean - self.mean
        lift = step[:, :, None] * (step * (self.n * share)[:, None])[:, None]
        scatter = self.scatter + other.scatter
        scatter += 0.5 * (lift + lift.mT)
        return Parts(n, self.mean + step * share[:, None], scatter)

    def moments(self) -> list[Moments]:
        """They, in numpy."""
        every = zip(*(values.cpu().numpy() for values in self), strict=True)
        return [Moments(int(n), mean, scatter) for n, mean, scatter in every]


def moments_of(z: torch.Tensor, kept: torch.Tensor, gram: Gram) -> Parts:
    """The moments of (P, D, n) numbers, which are written over, over the (P, n) pixels of each part
    that are kept; what the others hold is not looked at.

    The mean is taken off first, and what rounding leaves of it is taken out at the end. Pixels that
    are not kept are columns of zeros: every part is one product of one shape."""
    count = kept.sum(-1, dtype=torch.float64)
    size, gone = count.clamp(min=1)[:, None], ~kept[:, None]
    y = z.masked_fill_(gone, 0.0)
    point = y.sum(-1) / size
    y.sub_(point[:, :, None])
    y.masked_fill_(gone, 0.0)
    first = y.sum(-1)
    mean = first / size
    scatter = _products(y, gram) - first[:, :, None] * mean[:, None]
    return Parts(count, point + mean, 0.5 * (scatter + scatter.mT))


def differences(
    z: torch.Tensor, ok: torch.Tensor
) -> tuple[tuple[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]:
    """Along rows and along columns: (C, D, n) differences of neighbours divided by √2, and (C, n)
    where both count, of (C, D, n) numbers of cells; as in the tally."""
    image = z.view(*z.shape[:2], CELL_ROWS, CELL_COLS)
    valid = ok.view(len(ok), CELL_ROWS, CELL_COLS)
    return _shifted(image, valid, 3), _shifted(image, valid, 2)


def _shifted(
    image: torch.Tensor, valid: torch.Tensor, axis: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The differences along one axis. The last pixel there has no neighbour."""
    length = image.shape[axis] - 1
    steps, both = torch.zeros_like(image), torch.zeros_like(valid)
    ahead, here = (image.narrow(axis, start, length) for start in (1, 0))
    steps.narrow(axis, 0, length).copy_(ahead).sub_(here).div_(2**0.5)
    both.narrow(axis - 1, 0, length).copy_(
        valid.narrow(axis - 1, 1, length) & valid.narrow(axis - 1, 0, length)
    )
    return steps.flatten(2), both.flatten(1)


def _products(y: torch.Tensor, gram: Gram) -> torch.Tensor:
    """(P, D, D) float64 y yᵀ of each of (P, D, n), in the precision that is asked for."""
    y = y.float() if gram.precision == "float32" else y
    with full_float32():
        if not gram.parts:
            return torch.bmm(y, y.mT).double()
        found = filled(y.device, len(y), y.shape[1], y.shape[1])
        for part in gram.parts:
            here = there(part, y.device, torch.long)
            some = y[:, here]
            found[:, here[:, None], here] = torch.bmm(some, some.mT).double()
    return found


def rows_for(size: int, room: int, least: int) -> int:
    """How many moments of so many variables fit a room of bytes; ``least``: that many anyway."""
    return max(least, room // bytes_of(size))


def bytes_of(size: int) -> int:
    """What moments of so many variables take."""
    return 8 * (size * size + size + 1)


class Columns:
    """Moments by key, on the device while there is room: those that were not used for longest wait
    in memory until they are."""

    def __init__(self, size: int, rows: int, device: torch.device) -> None:
        self._size, self._rows, self._device = size, rows, device
        self._all = self._zero(0)
        self._at: OrderedDict[Key, int] = OrderedDict()
        self._away: dict[Key, Parts] = {}
        self._free: list[int] = []

    def _zero(self, count: int) -> Parts:
        d, device = self._size, self._device
        return Parts(filled(device, count), filled(device, count, d), filled(device, count, d, d))

    def add(self, keys: Sequence[Key], parts: Parts) -> None:
        """Add the parts that have keys, in order, each to what its key has so far."""
        left = list(enumerate(keys))
        while left:
            now: dict[Key, int] = {}
            later = []
            for number, key in left:
                if key in now:
                    later.append((number, key))
                else:
                    now[key] = number
            rows, mine = self._rows_of(list(now)), there(list(now.values()), self._device)
            self._all.put(rows, self._all.take(rows).plus(parts.take(mine)))
            left = later

    def totals(
        self, groups: Mapping[tuple[int, int], Sequence[Key]]
    ) -> dict[tuple[int, int], Moments]:
        """For each group the moments of its keys, added in order, in numpy. Keys are forgotten."""
        found: dict[tuple[int, int], Moments] = {}
        names = list(groups)
        for start in range(0, len(names), self._rows):
            some = names[start : start + self._rows]
            found |= zip(some, self._summed([groups[n] for n in some]).moments(), strict=True)
        return found

    def _summed(self, groups: Sequence[Sequence[Key]]) -> Parts:
        """The sum of each of a few groups."""
        sums = self._all.take(self._rows_of([keys[0] for keys in groups]))
        for place in range(1, max(map(len, groups))):
            more = [i for i, keys in enumerate(groups) if len(keys) > place]
            rows = self._rows_of([groups[i][place] for i in more])
            here = there(more, self._device)
            sums.put(here, sums.take(here).plus(self._all.take(rows)))
        for key in (key for keys in groups for key in keys):
            self._away.pop(key, None)
            if key in self._at:
                self._free.append(self._at.pop(key))
        return sums

    def _rows_of(self, keys: Sequence[Key]) -> torch.Tensor:
        """Where these keys are on the device, which has room for all of them."""
        for key in keys:
            if key in self._at:
                self._at.move_to_end(key)
        for key in keys:
            if key not in self._at:
                self._at[key] = self._row()
                self._fill(self._at[key], self._away.pop(key, None))
        return there([self._at[key] for key in keys], self._device)

    def _fill(self, row: int, parts: Parts | None) -> None:
        """One row, with what waited in memory, or with nothing."""
        for i, values in enumerate(self._all):
            values[row] = 0.0 if parts is None else parts[i].to(self._device)

    def _row(self) -> int:
        """A free row. There are more of them until the room is full."""
        if not self._free and len(self._all.n) < self._rows:
            before = len(self._all.n)
            more = min(self._rows, max(16, 2 * before)) - before
            zero = self._zero(more)
            self._all = Parts(*(torch.cat(both) for both in zip(self._all, zero, strict=True)))
            self._free = list(range(before + more - 1, before - 1, -1))
        if not self._free:
            key, row = self._at.popitem(last=False)
            self._away[key] = Parts(*(values[row].to("cpu", copy=True) for values in self._all))
            self._free.append(row)
        return self._free.pop()
