"""Folds: contiguous blocks of pixels to hold out.

Neighbouring pixels are alike: a random split would test on the training's neighbours. Blocks keep them apart
(Roberts et al., "Cross-validation strategies for data with temporal, spatial, hierarchical, or phylogenetic
structure", Ecography 40, 2017).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bandfuse.moments import Moments, total

FOLDS = 5


@dataclass(frozen=True, eq=False)
class Fold:
    """Moments of the pixels to train on, and of those held out."""

    train: Moments
    test: Moments


def folds(blocks: Sequence[Moments], count: int = FOLDS) -> list[Fold]:
    """Cut blocks, in their order, into runs of nearly equal numbers of pixels; each run is held out once.

    Fewer folds where there are fewer blocks with pixels; none for less than two.

    Parameters
    ----------
    blocks : moments by block, row by row, scene after scene.
    """
    full = [b for b in blocks if b.count]
    count = min(count, len(full))
    if count < 2:
        return []
    size = full[0].size
    pixels = sum(b.count for b in full)
    runs: list[list[Moments]] = [[] for _ in range(count)]
    seen, run = 0, 0
    for number, block in enumerate(full):
        # The middle of the block decides, but no run stays empty.
        wanted = int((seen + block.count / 2) * count / pixels)
        least = count - (len(full) - number)
        run = min(max(wanted, least, run), run + bool(runs[run]), count - 1)
        runs[run].append(block)
        seen += block.count
    sums = [total(run, size) for run in runs]
    return [Fold(total((s for j, s in enumerate(sums) if j != i), size), held) for i, held in enumerate(sums)]
