"""Band windows: few contiguous windows of bands that keep 99 % of what all bands explain on
held-out blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bandfuse.moments.moments import Moments
from bandfuse.progress import Ticks
from bandfuse.solve.squares import Split
from bandfuse.spectral.bands import Floats
from bandfuse.trust.fold_problems import Terms

KEEP = 0.99
"""Part of the explained share that has to stay."""

PIECES = 24
"""Windows are first chosen among so many pieces of the spectrum, then trimmed band by band."""

LEAST_RIDGE = 1e-9
"""Least ridge, relative to the bands' variances: neighbouring bands are nearly dependent."""


@dataclass(frozen=True)
class NeededWindow:
    """Bands from one end to the other: positions among the used bands, and what the explained share
    loses without."""

    positions: tuple[int, ...]
    worth: float


@dataclass(frozen=True)
class Needed:
    """The windows in the order of the bands; the share that they explain on held-out blocks, and
    that all bands do."""

    windows: tuple[NeededWindow, ...]
    explained: float
    full: float


@dataclass(frozen=True, eq=False)
class _Fold:
    """A training and its test as ``squared_error`` sees them."""

    train: Split
    test: Split
    share: float


class _WindowScores:
    """Explained share of least squares with a ridge on some of the bands, on held-out blocks, mean
    over the outputs.

    ``Σ_folds share · (1 − error_k / var(t_k))`` with ``error = wᵀ A w − 2 wᵀ c + var`` of the test.
    """

    def __init__(self, terms: Terms, ridge: float) -> None:
        total = max(1, sum(f.test.count for f in terms.folds))
        self._variance = Split.of(terms.joint, terms.n_bands).var
        self._ridge = max(ridge, LEAST_RIDGE) * Split.of(terms.joint, terms.n_bands).a.diagonal()
        self._folds = [_fold(terms, f.train, f.test, f.test.count / total) for f in terms.folds]
        learned = [terms.layout.col[terms.layout.row == k] for k in range(terms.layout.shape[0])]
        self._rows: dict[tuple[int, ...], list[int]] = {}
        for k, columns in enumerate(learned):
            if self._variance[k] > 0:
                self._rows.setdefault(tuple(sorted(int(c) for c in columns)), []).append(k)

    @property
    def outputs(self) -> int:
        return sum(len(rows) for rows in self._rows.values())

    def __call__(self, positions: Sequence[int]) -> float:
        chosen, error = set(positions), 0.0
        for columns, rows in self._rows.items():
            here = np.array([c for c in columns if c in chosen], dtype=np.intp)
            for fold in self._folds:
                error += fold.share * float(
                    (self._errors(fold, here, rows) / self._variance[rows]).sum()
                )
        return 1 - error / self.outputs

    def _errors(self, fold: _Fold, here: np.ndarray, rows: list[int]) -> Floats:
        """(rows,) mean squared errors on the test of one fold."""
        from scipy.linalg import LinAlgError, cho_factor, cho_solve

        square, cross = np.ix_(here, here), np.ix_(here, np.array(rows))
        if not len(here):
            return fold.test.var[rows]
        a, c = fold.train.a[square] + np.diag(self._ridge[here]), fold.train.c[cross]
        try:
            w: Floats = cho_solve(cho_factor(a, check_finite=False), c, check_finite=False)
        except LinAlgError:
            w = np.linalg.lstsq(a, c, rcond=None)[0]
        bend = np.einsum("bk,bc,ck->k", w, fold.test.a[square], w, optimize=True)
        errors: Floats = bend - 2 * (w * fold.test.c[cross]).sum(axis=0) + fold.test.var[rows]
        return errors


def _fold(terms: Terms, train: Moments, test: Moments, share: float) -> _Fold:
    a, b = Split.of(train, terms.n_bands), Split.of(test, terms.n_bands)
    seen = b.about(a.mean, a.target_mean) if terms.offset else b.second(offset=False)
    return _Fold(a.second(offset=terms.offset), seen, share)


def needed(
    terms: Terms, order: Sequence[int], ridge: float, ticks: Ticks | None = None
) -> Needed | None:
    """Choose windows greedily: the piece of the spectrum that helps most is added until
    :data:`KEEP` of the share is kept; then pieces and ends of windows that are not needed for that
    are taken away again.

    Parameters
    ----------
    order : the used bands' positions along wavelength. ridge : relative to the bands' variances.

    Returns None without folds, and where the bands explain nothing.
    """
    if not terms.folds:
        return None
    held_out = _WindowScores(terms, ridge)
    full = held_out(order) if held_out.outputs else 0.0
    if not full > 0:
        return None
    pieces = [p.tolist() for p in np.array_split(np.array(order), min(PIECES, len(order)))]
    enough = KEEP * full
    chosen = _add(held_out, pieces, enough, ticks)
    windows = _joined([pieces[i] for i in sorted(chosen)], order)
    windows = _trimmed(held_out, windows, enough)
    explained = held_out(_flat(windows))
    worths = [
        explained - held_out(_flat([w for w in windows if w is not window])) for window in windows
    ]
    found = tuple(NeededWindow(tuple(w), worth) for w, worth in zip(windows, worths, strict=True))
    return Needed(found, explained, full)


def _flat(windows: Sequence[Sequence[int]]) -> list[int]:
    return [p for window in windows for p in window]


def _add(
    held_out: _WindowScores, pieces: list[list[int]], enough: float, ticks: Ticks | None
) -> list[int]:
    """Numbers of the pieces that are needed, by forward choice and backward elimination."""
    chosen: list[int] = []
    while len(chosen) < len(pieces):
        rest = [i for i in range(len(pieces)) if i not in chosen]
        scores = {i: held_out(_flat([pieces[j] for j in (*chosen, i)])) for i in rest}
        best = max(scores, key=lambda i: scores[i])
        chosen.append(best)
        if ticks is not None:
            ticks.step()
        if scores[best] >= enough:
            break
    for i in list(chosen):
        without = [j for j in chosen if j != i]
        if without and held_out(_flat([pieces[j] for j in without])) >= enough:
            chosen = without
    return chosen


def _joined(parts: list[list[int]], order: Sequence[int]) -> list[list[int]]:
    """Neighbouring pieces made one."""
    place = {p: i for i, p in enumerate(order)}
    windows: list[list[int]] = []
    for part in parts:
        if windows and place[windows[-1][-1]] + 1 == place[part[0]]:
            windows[-1] = windows[-1] + part
        else:
            windows.append(list(part))
    return windows


def _trimmed(held_out: _WindowScores, windows: list[list[int]], enough: float) -> list[list[int]]:
    """Take bands off the ends of windows, by half of a window and less, as long as enough is
    kept."""
    for i in range(len(windows)):
        for end in ("last", "first"):
            step = len(windows[i]) // 2
            while step and len(windows[i]) > 1:
                shorter = windows[i][:-step] if end == "last" else windows[i][step:]
                if (
                    len(shorter)
                    and held_out(_flat([*windows[:i], shorter, *windows[i + 1 :]])) >= enough
                ):
                    windows[i] = shorter
                    step = min(step, len(shorter) // 2)
                else:
                    step //= 2
    return windows
