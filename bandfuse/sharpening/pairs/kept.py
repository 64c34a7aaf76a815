"""Kept: values that are made once, of which the last ones are kept; images that are made part by
part."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

import numpy as np

from bandfuse.sharpening.pairs.ranges import Range
from bandfuse.spectral.bands import Floats

V = TypeVar("V")
Key = tuple[int, int]


class _Slot(Generic[V]):
    """Where one value comes."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.value: V | None = None


class Kept(Generic[V]):
    """Values by key, for several threads: each is made by one thread, for which others wait. At
    most so many are kept, those that were asked for last."""

    def __init__(self, make: Callable[[Key], V], most: int) -> None:
        self._make, self._most = make, max(1, most)
        self._slots: OrderedDict[Key, _Slot[V]] = OrderedDict()
        self._lock = Lock()

    def __call__(self, key: Key) -> V:
        """The value of a key."""
        with self._lock:
            slot = self._slots.setdefault(key, _Slot())
            self._slots.move_to_end(key)
            while len(self._slots) > self._most:
                self._slots.popitem(last=False)
        with slot.lock:
            if slot.value is None:
                slot.value = self._make(key)
            return slot.value


class Parts:
    """Reads ranges of an image that is made part by part, each of so many rows and columns from
    multiples of these on. A part is always made as a whole, so its bits never depend on what is
    asked for. Parts of about so many ``bytes`` together are kept."""

    def __init__(
        self, make: Callable[[Range, Range], Floats], size: tuple[int, int], bands: int, room: int
    ) -> None:
        rows, cols = self._size = size
        self._bands = bands

        def one(key: Key) -> Floats:
            row, col = key
            return make(Range(row, row + rows), Range(col, col + cols))

        self._one = Kept(one, room // (8 * bands * rows * cols))

    def __call__(self, rows: Range, cols: Range) -> Floats:
        """(D, n, m) of ranges of rows and columns."""
        out = np.empty((self._bands, rows.size, cols.size))
        height, width = self._size
        for row in range(rows.start // height * height, rows.stop, height):
            for col in range(cols.start // width * width, cols.stop, width):
                here = Range(row, row + height), Range(col, col + width)
                r, c = rows.shared(here[0]), cols.shared(here[1])
                part = self._one((row, col))
                out[:, r.within(rows), c.within(cols)] = part[
                    :, r.within(here[0]), c.within(here[1])
                ]
        return out
