"""Scratch: memory that each thread uses again for every block of pixels."""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np


class Scratch(threading.local):
    """Arrays by name, of each thread its own. The system zeroes new memory, which takes longer than
    to fill it."""

    def __init__(self) -> None:
        self._flat: dict[str, np.ndarray] = {}

    def __call__(
        self, name: str, *shape: int, dtype: type[np.floating[Any]] = np.float64
    ) -> np.ndarray:
        """An array of this shape and, for each name, always of one type. It holds what was put into
        it before, or zeros."""
        size = math.prod(shape)
        if name not in self._flat or self._flat[name].size < size:
            self._flat[name] = np.zeros(size, dtype)
        return self._flat[name][:size].reshape(shape)
