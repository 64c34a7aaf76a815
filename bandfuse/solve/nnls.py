"""NNLS: non-negative least squares from Gram matrices by block pivoting, one by one or many at
once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bandfuse.spectral.bands import Floats

TOLERANCE = 1e-12
"""How far below zero a weight or a gradient may be, relative to its scale, and still count as
zero."""

JOINING, JOINING_OF_MANY = 12, 3
"""At most so many weights become active in one exchange: where bands are alike, many more would
want to than need to, and would make the systems large. Fewer where many problems are padded to the
largest of them."""

PATIENCE = 3
"""Full exchanges without progress before exchanges become single (and finite)."""


def nonnegative_gram(
    a: Floats, b: Floats, start: NDArray[np.bool_] | None = None, most: int = 500
) -> tuple[Floats, NDArray[np.bool_], bool]:
    """Minimise ``vᵀ a v − 2 bᵀ v`` over v ≥ 0 by block principal pivoting with Murty's single
    exchanges as a backup, and one weight at a time where these take too many.

    Portugal, Júdice and Vicente, "A comparison of block pivoting and interior-point algorithms for
    linear least squares problems with nonnegative variables", Mathematics of Computation 63 (1994).

    Parameters
    ----------
    a : (P, P) positive semidefinite with unit diagonal or so. b : (P,).
    start : (P,) the set of positive weights to begin with, from a neighbouring problem.
    most : exchanges after which weights join one at a time.

    Returns
    -------
    v (P,), its set of positive weights, and whether the optimum was reached.
    """
    size = len(b)
    active = np.zeros(size, dtype=bool) if start is None else start.copy()
    floor = -TOLERANCE * np.abs(b).max(initial=0.0)
    best, patience = size + 1, PATIENCE
    v = np.zeros(size)
    for _ in range(most):
        v, gradient = _on(a, b, active)
        wrong = np.where(active, v < -TOLERANCE * np.abs(v).max(initial=0.0), gradient < floor)
        count = int(wrong.sum())
        if count == 0:
            return np.maximum(v, 0.0), active, True
        flips = wrong & ~_late(wrong & ~active, gradient, max(JOINING, int(active.sum()) // 2))
        if count < best:
            best, patience = count, PATIENCE
            active = active ^ flips
        elif patience > 0:
            patience -= 1
            active = active ^ flips
        else:
            active[int(np.flatnonzero(wrong)[-1])] ^= True
    return _one_by_one(a, b, most)


def _one_by_one(a: Floats, b: Floats, most: int) -> tuple[Floats, NDArray[np.bool_], bool]:
    """The same by an active set: the loss falls with every weight that joins, so that none comes
    back for ever, however alike the bands are.

    Lawson and Hanson 1974, chapter 23, from the Gram matrix as in Bro and de Jong, "A fast
    non-negativity-constrained least squares algorithm", Journal of Chemometrics 11 (1997).
    """
    v, active = np.zeros(len(b)), np.zeros(len(b), dtype=bool)
    refused = active.copy()
    floor = -TOLERANCE * np.abs(b).max(initial=0.0)
    for _ in range(max(most, 10 * len(b))):
        slope = np.where(active | refused, 0.0, v @ a - b)
        if not slope.min(initial=0.0) < floor:
            return v, active, not (refused & (v @ a - b < 10 * floor)).any()
        new = int(slope.argmin())
        active[new] = True
        aim, _ = _on(a, b, active)
        if aim[new] <= 0:  # Rounding alone made it look useful.
            active[new], refused[new] = False, True
            continue
        v, active = _towards(a, b, v, active)
        refused[:] = False
    return v, active, False


def _towards(
    a: Floats, b: Floats, v: Floats, active: NDArray[np.bool_]
) -> tuple[Floats, NDArray[np.bool_]]:
    """As far as v stays positive towards the minimiser over the active weights; those that become
    zero leave, until it is reached."""
    aim, _ = _on(a, b, active)
    while (low := active & (aim <= 0)).any():
        part = float((v[low] / (v[low] - aim[low])).min())
        v = np.where(active, v + part * (aim - v), 0.0)
        active = active & ~(low & (v <= TOLERANCE * np.abs(v).max()))
        v = np.where(active, v, 0.0)
        aim, _ = _on(a, b, active)
    return aim, active


def _on(a: Floats, b: Floats, active: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """The unconstrained minimiser over the active weights, zero elsewhere, and its gradient."""
    v, here = np.zeros(len(b)), np.flatnonzero(active)
    if not len(here):
        return v, -b
    rows = a[here]
    local = rows[:, here]
    try:
        v[here] = np.linalg.solve(local, b[here])
    except np.linalg.LinAlgError:
        v[here] = np.linalg.lstsq(local, b[here], rcond=None)[0]
    gradient: Floats = v[here] @ rows - b
    return v, gradient


def nonnegative_grams(
    a: Floats,
    of: NDArray[np.intp],
    b: Floats,
    start: NDArray[np.bool_] | None = None,
    most: int = 500,
) -> tuple[Floats, NDArray[np.bool_]]:
    """Many problems of one size at once: the exchanges of :func:`nonnegative_gram`, all problems in
    step.

    Parameters
    ----------
    a : (R, P, P). of : (N,) which of them is each problem's. b : (N, P). start : (N, P) the sets to
        begin with.

    Returns
    -------
    v (N, P), and (N,) whether the optimum was reached.
    """
    count, size = b.shape
    active = np.zeros((count, size), dtype=bool) if start is None else start.copy()
    floor = -TOLERANCE * np.abs(b).max(axis=1, initial=0.0)
    best, patience = np.full(count, size + 1), np.full(count, PATIENCE)
    v, open_ = np.zeros((count, size)), np.arange(count)
    for _ in range(most):
        if not len(open_):
            break
        here = active[open_]
        found, gradient = _all_on(a, of[open_], b[open_], here)
        v[open_] = found
        low = -TOLERANCE * np.abs(found).max(axis=1, initial=0.0)
        wrong = np.where(here, found < low[:, None], gradient < floor[open_, None])
        number = wrong.sum(axis=1)
        better = number < best[open_]
        best[open_[better]], patience[open_[better]] = number[better], PATIENCE
        patience[open_[~better]] -= 1
        single = ~better & (patience[open_] < 0)
        # Murty's rule: the last wrong one alone.
        last = size - 1 - np.argmax(wrong[:, ::-1], axis=1)
        flips = np.where(
            single[:, None],
            np.arange(size) == last[:, None],
            wrong & ~_late(wrong & ~here, gradient, JOINING_OF_MANY),
        )
        going = number > 0
        active[open_[going]] ^= flips[going]
        open_ = open_[going]
    reached = np.ones(count, dtype=bool)
    reached[open_] = False
    return np.maximum(v, 0.0), reached


def _late(joining: NDArray[np.bool_], gradient: Floats, most: int) -> NDArray[np.bool_]:
    """(…, P) all but the ``most`` steepest of the weights that would become active."""
    if joining.shape[-1] <= most:
        return np.zeros_like(joining)
    steep = np.where(joining, -gradient, 0.0)
    least = np.partition(steep, -most, axis=-1)[..., -most]
    late: NDArray[np.bool_] = joining & (steep < least[..., None])
    return late


def _all_on(
    a: Floats, which: NDArray[np.intp], b: Floats, active: NDArray[np.bool_]
) -> tuple[Floats, Floats]:
    """(n, P) unconstrained minimisers over the active weights, zero elsewhere, and their gradients.

    The systems are padded to the largest of them with unknowns that are zero.
    """
    counts = active.sum(axis=1)
    width = int(counts.max(initial=0))
    v = np.zeros(active.shape)
    if width:
        # The active positions of each problem first, then any others as padding.
        places = np.argsort(~active, axis=1, kind="stable")[:, :width]
        real = np.arange(width) < counts[:, None]
        local = a[which[:, None, None], places[:, :, None], places[:, None, :]]
        local *= real[:, :, None] & real[:, None, :]
        local[:, np.arange(width), np.arange(width)] += ~real
        right = np.where(real, np.take_along_axis(b, places, axis=1), 0.0)
        np.put_along_axis(v, places, _solved(local, right), axis=1)
    gradient = -b
    for number in np.unique(which):
        mine = which == number
        gradient[mine] += v[mine] @ a[number]
    return v, gradient


def _solved(a: Floats, b: Floats) -> Floats:
    """(n, w) solutions of many systems; of least norm where one is singular."""
    try:
        x: Floats = np.asarray(np.linalg.solve(a, b[:, :, None])[:, :, 0], dtype=np.float64)
    except np.linalg.LinAlgError:
        return np.array(
            [np.linalg.lstsq(m, r, rcond=None)[0] for m, r in zip(a, b, strict=True)],
            dtype=np.float64,
        )
    return x
