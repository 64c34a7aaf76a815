"""Solved: a regression's weights from its exact solution, where that is all that a training would
find."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bandfuse.solve.exact import CONE, optimality, solve
from bandfuse.solve.fit_result import Fit
from bandfuse.solve.layout import Layout
from bandfuse.solve.squares import Squares
from bandfuse.spectral.bands import Floats

SURE = 1e-9
"""How far a solution may be from fulfilling the conditions of its optimum, in standardised
units."""


def solved(
    layout: Layout, squares: Squares, constraints: Sequence[str], *, gain: bool, mean: Floats
) -> Fit | None:
    """The exact solution as a fit without steps; None where it does not fulfil the conditions of an
    optimum to the last digits, so that a training may gain on it.

    Parameters
    ----------
    constraints : (K,) of the rows. mean : (B,) of the bands, where the level is taken.
    """
    weight, gains = np.zeros(layout.shape), np.ones(layout.shape[0])
    for rows in layout.rows_of_set():
        part, constraint = layout.part(rows), constraints[rows[0]]
        free_gain = gain and part.size > 0
        q = squares.rows(rows).quadratic(part, gain=free_gain)
        v, g = solve(q, constraint, gain=free_gain)
        if g <= 0 or optimality(q, g * v, CONE[constraint] if free_gain else constraint) > SURE:
            return None
        weight[rows], gains[rows] = part.matrix(v), g
    matrix = gains[:, None] * weight
    losses = squares.losses(matrix)
    offset = (
        squares.split.target_mean - matrix @ mean if squares.offset else np.zeros(layout.shape[0])
    )
    history = [
        (rows, [float((losses[rows] / squares.scale[rows]).sum())]) for rows in layout.rows_of_set()
    ]
    return Fit(weight, gains, offset, losses, losses, squares.scale, 0, history)
