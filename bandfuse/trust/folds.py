"""Folds: contiguous blocks of pixels to hold out.

Neighbouring pixels are alike: a random split would test on the training's neighbours. Blocks keep
them apart (Roberts et al., "Cross-validation strategies for data with temporal, spatial,
hierarchical, or phylogenetic structure", Ecography 40, 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bandfuse.moments.moments import Moments, total
from bandfuse.moments.slopes import WithoutSlopes
from bandfuse.solve.scores import Pairs
from bandfuse.spectral.bands import Floats
from bandfuse.trust.moved_outputs import SlopedPixels

FOLDS = 5

FOLD_BYTES = 128 * 2**20
"""What the moments of all folds may take, where there are more than :data:`FOLDS`."""


def bounded(count: int, size: int, matrices: int = 1) -> int:
    """As many folds as are asked for, or fewer: the training and the test of each hold so many
    matrices of so many variables."""
    return min(count, max(FOLDS, FOLD_BYTES // (2 * 8 * matrices * size**2)))


def fewer_messages(asked: int, parts: int, count: int) -> list[str]:
    """What a user should know where there are fewer folds than were asked for."""
    if count >= min(asked, parts):
        return []
    return [
        f"{count} folds instead of {min(asked, parts)}: the moments of all would take more "
        f"than {FOLD_BYTES // 2**20} MB"
    ]


@dataclass(frozen=True, eq=False)
class Fold:
    """Moments of the pixels to train on, and of those held out; a sample (n, D) of the latter, and
    their moments by ``blocks``. ``sloped``: what is held out with its slopes, where all of these
    are without what slopes explain of them."""

    train: Moments
    test: Moments
    sample: Floats
    blocks: tuple[Moments, ...] = ()
    sloped: SlopedPixels | None = None

    def pairs(self, matrix: Floats, offset: Floats) -> Pairs:
        """Outputs beside targets of what is held out."""
        if self.sloped is not None:
            return self.sloped.pairs(matrix, offset)
        return Pairs.linear(self.test, self.sample, matrix, offset)

    def without_slopes(self, size: int) -> Fold:
        """From moments of so many variables and slopes: without what the slopes explain, as it is
        learned from the training."""
        out = WithoutSlopes.of(self.train, size)
        return replace(
            self,
            train=out.moments(self.train),
            test=out.moments(self.test),
            sample=out.pixels(self.sample),
            blocks=tuple(map(out.moments, self.blocks)),
            sloped=SlopedPixels(self.test, self.sample, out),
        )


def runs(counts: Sequence[int], most: int = FOLDS) -> list[int]:
    """Cut blocks, in their order, into runs of nearly equal numbers of pixels: the number of each
    block's run.

    Fewer runs where there are fewer blocks; none (an empty list) for less than two.

    Parameters
    ----------
    counts : pixels in each block, all above zero.
    """
    count = min(most, len(counts))
    if count < 2:
        return []
    pixels = sum(counts)
    numbers: list[int] = []
    seen, run = 0, 0
    for number, size in enumerate(counts):
        # The middle of the block decides, but no run stays empty.
        wanted = int((seen + size / 2) * count / pixels)
        least = count - (len(counts) - number)
        run = min(max(wanted, least, run), run + (run in numbers), count - 1)
        numbers.append(run)
        seen += size
    return numbers


def folds(
    blocks: Sequence[Moments], samples: Sequence[Floats] | None = None, count: int = FOLDS
) -> list[Fold]:
    """Runs of blocks, each of which is held out once.

    Parameters
    ----------
    blocks : moments by block, row by row, scene after scene. samples : (n, D) pixels of each block;
        none if not given."""
    some = [np.zeros((0, b.size)) for b in blocks] if samples is None else samples
    full = [(b, s) for b, s in zip(blocks, some, strict=True) if b.count]
    numbers = runs([b.count for b, _ in full], count)
    if not numbers:
        return []
    size = full[0][0].size
    parts = [
        [pair for pair, n in zip(full, numbers, strict=True) if n == i]
        for i in range(max(numbers) + 1)
    ]
    sums = [total((b for b, _ in part), size) for part in parts]
    return [
        Fold(
            total((s for j, s in enumerate(sums) if j != i), size),
            held,
            np.concatenate([s for _, s in parts[i]]),
            tuple(b for b, _ in parts[i]),
        )
        for i, held in enumerate(sums)
    ]
