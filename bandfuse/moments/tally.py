"""Tally: all that one training pass gathers. Moments per block, facts per band, a pixel sample,
counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bandfuse.device import Place
from bandfuse.errors import InputError
from bandfuse.moments.census import Census, Counts
from bandfuse.moments.gram import Gram
from bandfuse.moments.moments import Moments, total
from bandfuse.moments.sample import Keys, Pixels, Reservoir, keys, merged
from bandfuse.spectral.bands import Floats
from bandfuse.streaming.blocks import BlockGrid
from bandfuse.streaming.stream import Source
from bandfuse.streaming.windows import Window

MOST_STRATA = 256
"""More distinct numbers than this are no classes."""

NOISE = -1
"""The stratum of the moments of noise. Classes are not negative."""


class Where(Protocol):
    """Says which pixels count; several threads may ask at once."""

    def excluded(self, window: Window) -> Mapping[str, NDArray[np.bool_]]:
        """(rows, cols) of the pixels that do not count, by reason; no pixel has two reasons."""
        ...


@dataclass(frozen=True, eq=False)
class Question:
    """What a pass is to gather.

    A patch has D variables: ``n_bands`` bands first, then targets. ``used`` are the bands that must
    be valid and that enter the moments, before the targets. ``where`` says which pixels count; all
    of them if it is None.

    ``classes``: the only target is a class number; moments are of the used bands, apart for each
    class. ``noise``: the moments of noise are gathered too; see :func:`differences`.
    ``random_parts``: pixels are dealt at random, by their hash, to so many strata. ``slopes``: so
    many of the targets, the last ones, are slopes. ``gram``: where and how precisely moments are
    computed."""

    n_bands: int
    n_targets: int
    used: tuple[int, ...]
    grid: BlockGrid
    scene: int = 0
    seed: int = 0
    sample: int = 0
    where: Where | None = None
    classes: bool = False
    noise: bool = False
    random_parts: int = 0
    slopes: int = 0
    gram: Gram = field(default_factory=Gram)

    @property
    def size(self) -> int:
        """Variables of the moments."""
        return len(self.used) if self.classes else len(self.joint)

    @property
    def joint(self) -> list[int]:
        """Variables that enter the sample: used bands, then targets. The moments leave classes
        out."""
        return [*self.used, *range(self.n_bands, self.n_bands + self.n_targets)]

    @property
    def lacking(self) -> str:
        """Why a pixel with valid bands does not count."""
        return "not labelled" if self.classes else "target missing"


@dataclass
class Tally:
    """What one pass over one scene gathered.

    ``strata``: moments of [used bands, targets] by block number and stratum: the class of the
    pixels, 0 where there are no classes, or :data:`NOISE` for moments of the noise. ``invalid``:
    pixels not used, by reason. ``high``: maxima of [used bands, targets] over the used pixels.
    ``size``: variables of the moments, the last ``slopes`` of them slopes. ``places``: where they
    were computed. ``because``: why the CPU computed them where a device was asked for."""

    census: Census
    pixels: Pixels
    high: Floats
    used: int = 0
    invalid: dict[str, int] = field(
        default_factory=lambda: {"band missing": 0, "target missing": 0}
    )
    strata: dict[tuple[int, int], Moments] = field(default_factory=dict)
    size: int = 0
    slopes: int = 0
    places: tuple[Place, ...] = ()
    because: str = ""

    @classmethod
    def zero(cls, question: Question) -> Tally:
        """The tally of no pixels."""
        size = len(question.joint)
        return cls(
            Census.zero(question.n_bands + question.n_targets),
            Pixels.zero(question.sample, size),
            np.full(size, -np.inf),
            size=question.size,
            slopes=question.slopes,
        )

    @property
    def blocks(self) -> dict[int, Moments]:
        """Moments of all pixels of each block: its strata added in order of their numbers, without
        the noise."""
        found: dict[int, Moments] = {}
        for block, stratum in sorted(self.strata):
            if stratum != NOISE:
                part = self.strata[block, stratum]
                found[block] = found[block] + part if block in found else part
        return found

    def total(self) -> Moments:
        """The moments of the whole scene: blocks added in order of their numbers."""
        return total(self.blocks.values(), self.size)

    def by_stratum(self) -> dict[int, Moments]:
        """The moments of the whole scene for each stratum that has pixels, the noise too."""
        found: dict[int, Moments] = {}
        for key in sorted(self.strata):
            found[key[1]] = (
                found[key[1]] + self.strata[key] if key[1] in found else self.strata[key]
            )
        return {stratum: moments for stratum, moments in found.items() if moments.count}

    def coarser(self, fine: BlockGrid, coarse: BlockGrid) -> Tally:
        """With the moments of fewer, larger blocks whose edges are among those of the fine ones:
        blocks add up in order of their numbers."""
        if coarse == fine:
            return self
        number, strata = fine.within(coarse), dict[tuple[int, int], Moments]()
        for block, stratum in sorted(self.strata):
            key, moments = (number[block], stratum), self.strata[block, stratum]
            strata[key] = strata[key] + moments if key in strata else moments
        return replace(self, strata=dict(sorted(strata.items())))

    def count(self, other: Tally) -> None:
        """Add what does not depend on order, but for the sample."""
        self.census += other.census
        self.high = np.maximum(self.high, other.high)
        self.used += other.used
        for reason, n in other.invalid.items():
            self.invalid[reason] = self.invalid.get(reason, 0) + n

    @classmethod
    def joined(cls, parts: Sequence[Tally], sample: int) -> Tally:
        """Of parts of one scene that share no block: what one pass over all of them would have
        found, to the bit."""
        whole = parts[0]
        for other in parts[1:]:
            whole.count(other)
            whole.strata.update(other.strata)
            whole.places = tuple(dict.fromkeys((*whole.places, *other.places)))
        whole.strata = dict(sorted(whole.strata.items()))
        whole.pixels = merged([p.pixels for p in parts], sample, len(whole.high))
        return whole


def strata_of(numbers: Counts) -> list[int]:
    """The different numbers among those of the pixels of a cell, in order.

    Raises
    ------
    InputError : there are more than classes can be.
    """
    known = np.unique(numbers)
    if len(known) > MOST_STRATA:
        raise InputError(
            "labels hold too many classes",
            got=f"{len(known)} in one part of the scene",
            expected=f"{MOST_STRATA} or fewer",
            remedy="Leave a fill value out with --unlabelled.",
        )
    return [int(number) for number in known]


def part_of(key: Keys, parts: int) -> Counts:
    """(n,) the random part of pixels, from their hashes: by other bits than those that order the
    sample."""
    numbers: Counts = ((key * np.uint64(0x9E3779B97F4A7C15)) % np.uint64(parts)).astype(np.int64)
    return numbers


def differences(z: Floats, ok: NDArray[np.bool_], shape: tuple[int, int]) -> Floats:
    """(D, m) differences of neighbours along rows and columns, divided by √2: where neighbouring
    pixels see the same ground, their covariance is that of the noise (the shift difference of Green
    et al., IEEE Transactions on Geoscience and Remote Sensing 26, 1988).

    Neighbours are taken within one cell of the scene's grid, both valid, so that windows do not
    matter.

    Parameters
    ----------
    z : (D, n) of a cell, row by row. ok : (n,) pixels that count.
    """
    image, valid = z.reshape(len(z), *shape), ok.reshape(shape)
    across = (image[:, :, 1:] - image[:, :, :-1])[:, valid[:, 1:] & valid[:, :-1]]
    down = (image[:, 1:] - image[:, :-1])[:, valid[1:] & valid[:-1]]
    both: Floats = np.concatenate([across, down], axis=1) / np.sqrt(2)
    return both


def keys_of(
    places: NDArray[np.intp], window: Window, question: Question
) -> tuple[Keys, NDArray[np.intp], NDArray[np.intp]]:
    """Hash, row and column of pixels of a window, by their places in it, row by row. Rows are
    hashed once, and not for each of their pixels."""
    rows, cols = np.arange(window.rows) + window.row, np.arange(window.cols) + window.col
    key = keys(question.seed, rows[:, None], cols).ravel()
    down, across = np.divmod(places, window.cols)
    return key if len(places) == len(key) else key[places], rows[down], cols[across]


def reservoir_of(question: Question, most: int) -> Reservoir:
    """What draws the sample of a pass over at most so many pixels."""
    return Reservoir(question.sample, len(question.joint), most)


class Route(Protocol):
    """How a pass adds its pixels up."""

    def read(self, source: Source, window: Window) -> Any:
        """Read a window, and do with it what needs no other; several threads may ask at once."""
        ...

    def add(self, window: Window, part: Any) -> None:
        """Add what was read of a window, in the order of the windows."""
        ...

    def result(self) -> Tally:
        """What all windows came to."""
        ...


def ended_blocks(
    known: Iterable[tuple[int, int]], grid: BlockGrid, row: int
) -> list[tuple[int, int]]:
    """Of (block, stratum) those whose block ends above a row, in order."""
    n_cols = len(grid.col_edges) - 1
    return sorted({(b, s) for b, s in known if grid.row_edges[b // n_cols + 1] <= row})
