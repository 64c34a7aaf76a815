"""Which bands get detail."""

from __future__ import annotations

import numpy as np

from bandfuse.sharpening.gains import LEARNED, UNCERTAIN, WORSE, reasons_of


def test_what_is_not_certain_or_does_not_help_gets_no_detail() -> None:
    plain = np.full((16, 5), 10.0)
    spared = np.tile([3.0, 3.0, 0.5, 0.5, -1.0], (16, 1))
    spared[:, [2, 3]] += np.where(np.arange(16) % 2, 4.0, -4.0)[:, None]
    # Gains of two sharp bands: one is certain, or none; the error is surely smaller, or perhaps.
    sure, unsure = ((0.1, -0.5), (0.9, 0.5)), ((-0.1, -0.5), (0.9, 0.5))
    low, high = np.transpose([sure, unsure, sure, unsure, sure], (1, 0, 2))
    found = reasons_of(low, high, plain - spared, plain)
    assert found == (LEARNED, LEARNED, LEARNED, UNCERTAIN, WORSE)
