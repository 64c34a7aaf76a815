"""Pivoting: many small non-negative least-squares problems, solved from their Gram matrices."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bandfuse.bands import Floats

TOLERANCE = 1e-12
"""How far below zero a weight or a gradient may be, relative to its scale, and still count as zero."""

PATIENCE = 3
"""Full exchanges without progress before exchanges become single (and finite)."""


def nonnegative_gram(
    a: Floats, b: Floats, start: NDArray[np.bool_] | None = None, most: int = 500
) -> tuple[Floats, NDArray[np.bool_], bool]:
    """Minimise ``vᵀ a v − 2 bᵀ v`` over v ≥ 0 by block principal pivoting with Murty's single exchanges as a backup.

    Portugal, Júdice and Vicente, "A comparison of block pivoting and interior-point algorithms for linear least squares
    problems with nonnegative variables", Mathematics of Computation 63 (1994).

    Parameters
    ----------
    a : (P, P) positive semidefinite with unit diagonal or so. b : (P,).
    start : (P,) the set of positive weights to begin with, from a neighbouring problem.
    most : exchanges after which to give up.

    Returns
    -------
    v (P,), its set of positive weights, and whether the optimum was reached.
    """
    size = len(b)
    active = np.zeros(size, dtype=bool) if start is None else start.copy()
    floor = -TOLERANCE * max(float(np.abs(b).max(initial=0.0)), 1e-300)
    best, patience = size + 1, PATIENCE
    v = np.zeros(size)
    for _ in range(most):
        v = _on(a, b, active)
        gradient = a @ v - b
        wrong = np.where(active, v < -TOLERANCE * max(float(np.abs(v).max(initial=0.0)), 1e-300), gradient < floor)
        count = int(wrong.sum())
        if count == 0:
            return np.maximum(v, 0.0), active, True
        if count < best:
            best, patience = count, PATIENCE
            active = active ^ wrong
        elif patience > 0:
            patience -= 1
            active = active ^ wrong
        else:
            active[int(np.flatnonzero(wrong)[-1])] ^= True
    return np.maximum(v, 0.0), active, False


def _on(a: Floats, b: Floats, active: NDArray[np.bool_]) -> Floats:
    """The unconstrained minimiser over the active weights, zero elsewhere."""
    v = np.zeros(len(b))
    here = np.flatnonzero(active)
    if len(here):
        local = a[np.ix_(here, here)]
        try:
            v[here] = np.linalg.solve(local, b[here])
        except np.linalg.LinAlgError:
            v[here] = np.linalg.lstsq(local, b[here], rcond=None)[0]
    return v
