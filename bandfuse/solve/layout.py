"""Layout: which entries of W are learned, which of them share one weight, and which are fixed at
one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from bandfuse.errors import GroupError, shorten
from bandfuse.spectral.bands import Floats, Positions
from bandfuse.spectral.groups import Group

KINDS = ("scalar", "channel", "instance")
"""One weight per group; one per band; one per scene and group."""


@dataclass(frozen=True, eq=False)
class Layout:
    """How a vector of P learned weights v fills a K × B matrix: ``W = fixed + Σ_e v[param[e]] ·
    E(row[e], col[e])``.

    Weights that meet in a row, directly or through others, form a *set*: constraints hold per set.

    Columns
    -------
    row, col, param : (E,) the learned entries and the weight that each one takes.
    fixed : (K, B) zeros, and one where a group is fixed.
    group : (E,) number of the group that an entry belongs to.
    """

    row: Positions
    col: Positions
    param: Positions
    group: Positions
    fixed: Floats

    @property
    def shape(self) -> tuple[int, int]:
        """K and B."""
        return self.fixed.shape[0], self.fixed.shape[1]

    @property
    def size(self) -> int:
        """P, the number of learned weights."""
        return int(self.param.max()) + 1 if len(self.param) else 0

    def matrix(self, v: Floats) -> Floats:
        """(K, B) from (P,)."""
        w = self.fixed.copy()
        np.add.at(w, (self.row, self.col), np.asarray(v)[self.param])
        return w

    def member(self, row: int) -> Floats:
        """(B, P) design of one row: ``W[row] = fixed[row] + member(row) @ v``."""
        z = np.zeros((self.shape[1], self.size))
        here = self.row == row
        np.add.at(z, (self.col[here], self.param[here]), 1.0)
        return z

    def project(self, row: int, form: Floats) -> Floats:
        """(P, P) ``Zᵀ form Z`` of a (B, B) form, Z the design of one row."""
        here = self.row == row
        cols, params = self.col[here], self.param[here]
        if len(params) == self.size and np.array_equal(params, np.arange(self.size)):
            whole = np.array_equal(cols, np.arange(len(form)))
            own: Floats = form if whole else form[np.ix_(cols, cols)]
            return own.copy() if whole else own
        result = np.zeros((self.size, self.size))
        places, values = (params[:, None], params[None, :]), form[np.ix_(cols, cols)]
        if len(np.unique(params)) == len(params):
            result[places] = values
        else:
            np.add.at(result, places, values)
        return result

    def gather(self, row: int, vector: Floats) -> Floats:
        """(P,) ``Zᵀ vector`` of a (B,) vector."""
        here = self.row == row
        weights: Floats = np.zeros(self.size)
        np.add.at(weights, self.param[here], vector[self.col[here]])
        return weights

    @property
    def multiplicity(self) -> Floats:
        """(P,) how many entries of a row take each weight (the same in every row that has it)."""
        per_row = np.zeros((self.shape[0], self.size))
        np.add.at(per_row, (self.row, self.param), 1.0)
        return per_row.max(axis=0) if self.size else np.zeros(0)

    @property
    def sets(self) -> Positions:
        """(P,) number of the constraint set of each weight."""
        label = np.arange(self.size)
        changed = True
        while changed:
            before = label.copy()
            for row in range(self.shape[0]):
                here = self.param[self.row == row]
                if len(here):
                    label[here] = label[here].min()
            changed = not np.array_equal(before, label)
        return np.unique(label, return_inverse=True)[1].astype(np.intp)

    def rows_of_set(self) -> list[list[int]]:
        """For each set, the rows that take weights from it; rows without learned weights come last,
        one by one."""
        sets = self.sets
        rows: list[list[int]] = [[] for _ in range(int(sets.max()) + 1 if len(sets) else 0)]
        bare = []
        for row in range(self.shape[0]):
            here = self.param[self.row == row]
            if len(here):
                rows[sets[here[0]]].append(row)
            else:
                bare.append([row])
        return rows + bare

    def part(self, rows: Sequence[int]) -> Layout:
        """The layout of these rows alone, rows and weights renumbered."""
        chosen = np.asarray(rows, dtype=np.intp)
        renumber = np.full(self.shape[0], -1)
        renumber[chosen] = np.arange(len(chosen))
        keep = renumber[self.row] >= 0
        params = np.unique(self.param[keep], return_inverse=True)[1]
        return Layout(
            renumber[self.row[keep]],
            self.col[keep],
            params.astype(np.intp),
            self.group[keep],
            self.fixed[chosen],
        )

    def params_of(self, rows: Sequence[int]) -> Positions:
        """The weights that these rows take, in the order in which :meth:`part` numbers them."""
        return np.unique(self.param[np.isin(self.row, rows)]).astype(np.intp)


def _build(
    entries: Iterable[tuple[int, int, tuple[int, int], int]],
    shape: tuple[int, int],
    fixed_groups: set[int],
) -> Layout:
    """From (row, column, weight's key, group) entries; the weights are numbered in order of first
    appearance."""
    fixed = np.zeros(shape)
    numbers: dict[tuple[int, int], int] = {}
    learned = []
    for row, col, key, group in entries:
        if group in fixed_groups:
            fixed[row, col] += 1.0
        else:
            learned.append((row, col, numbers.setdefault(key, len(numbers)), group))
    columns = np.array(learned, dtype=np.intp).reshape(-1, 4).T
    return Layout(columns[0], columns[1], columns[2], columns[3], fixed)


def within(
    groups: Sequence[Group], n_bands: int, kind: str, fixed: set[str], rows: Sequence[int]
) -> Layout:
    """Each row k sums the bands of group ``rows[k]`` into one output.

    ``channel``: every entry is its own weight. ``scalar`` and ``instance``: one weight for the
    whole row."""
    numbers = {i for i, g in enumerate(groups) if g.name in fixed}
    entries = (
        (k, band, (k, band if kind == "channel" else -1), g)
        for k, g in enumerate(rows)
        for band in groups[g].positions
    )
    return _build(entries, (len(rows), n_bands), numbers)


def across(groups: Sequence[Group], n_bands: int, kind: str, fixed: set[str]) -> Layout:
    """Groups of C bands (or of 1 band, broadcast) are combined channel by channel into C rows.

    ``channel``: one weight per group and channel. ``scalar`` and ``instance``: one weight per
    group."""
    channels = max(len(g) for g in groups)
    odd = [g for g in groups if len(g) not in (1, channels)]
    if odd:
        widest = next(g for g in groups if len(g) == channels)
        raise GroupError(
            "groups cannot be fused across: their numbers of bands differ",
            got=f"{widest.name!r} with {channels} and "
            f"{shorten(f'{g.name!r} with {len(g)}' for g in odd)}",
            expected="equal numbers of bands, or 1 band to be broadcast",
        )
    numbers = {i for i, g in enumerate(groups) if g.name in fixed}
    entries = (
        (c, group.positions[c if len(group) > 1 else 0], (g, c if kind == "channel" else -1), g)
        for c in range(channels)
        for g, group in enumerate(groups)
    )
    return _build(entries, (channels, n_bands), numbers)
