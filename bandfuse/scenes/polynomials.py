"""Polynomials: displacements that change slowly over a scene. numpy only."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandfuse.spectral.bands import Floats

NAMES = ("none", "constant", "affine", "quadratic", "cubic")
"""Fields by their order from −1 on."""

LATTICE = 9
"""Places a side at which the range of a field is taken."""


def basis(u: Floats, v: Floats, order: int) -> Floats:
    """(m, …) the products of u and v up to an order, ``1, u, v, u², uv, v², …``; m = 0 for order
    −1.

    They are made by multiplications alone, so that a place has the same bits in every array."""
    rows: list[list[Floats]] = [[np.ones(np.shape(u))]]
    for _ in range(order):
        last = rows[-1]
        rows.append([*(u * one for one in last), v * last[-1]])
    every = [one for row in rows for one in row] if order >= 0 else []
    return np.array(every).reshape(terms(order), *np.shape(u))


def terms(order: int) -> int:
    """How many products there are up to an order."""
    return (order + 1) * (order + 2) // 2


@dataclass(frozen=True, eq=False)
class Field:
    """By how much an image is to be moved to lie on a grid, at each place of the grid, in its
    pixels.

    A place of the grid shows what the image holds at the place less the displacement. Pixel centres
    have whole numbers, from 0.

    Columns
    -------
    shape : rows and columns of the grid.
    order : of the polynomials; −1 for none, 0 for one displacement of all places.
    coefficients : (2, m) of :func:`basis`, of rows and of columns.
    covariance : (2m, 2m) of the coefficients, those of rows first.
    seen : first and last row, and first and last column, of the part of the grid that it was told
        from; None for all of it. It says nothing of what lies beyond."""

    shape: tuple[int, int]
    order: int
    coefficients: Floats
    covariance: Floats
    seen: tuple[float, float, float, float] | None = None

    @classmethod
    def constant(cls, shape: tuple[int, int], rows: float, columns: float) -> Field:
        """One displacement of all places, taken to be exact."""
        return cls(shape, 0, np.array([[rows], [columns]], dtype=np.float64), np.zeros((2, 2)))

    @classmethod
    def none(cls, shape: tuple[int, int]) -> Field:
        """No displacement."""
        return cls(shape, -1, np.zeros((2, 0)), np.zeros((0, 0)))

    @property
    def name(self) -> str:
        """Its order in words."""
        return NAMES[self.order + 1]

    def basis(self, rows: Floats, cols: Floats) -> Floats:
        """(m, …) of places: from −1 to 1 over the longer side of the grid, 0 in its middle."""
        return basis(*_places(self.shape, rows, cols), self.order)

    def at(self, rows: Any, cols: Any) -> tuple[Floats, Floats]:
        """Rows and columns to move by at places of the grid, in its pixels."""
        rows, cols = np.broadcast_arrays(
            np.asarray(rows, dtype=np.float64), np.asarray(cols, dtype=np.float64)
        )
        found = np.zeros((2, *rows.shape))
        for term, (down, across) in zip(
            self.basis(rows, cols), self.coefficients.T.tolist(), strict=True
        ):
            found[0] += down * term
            found[1] += across * term
        return found[0], found[1]

    def error(self, rows: Any, cols: Any) -> tuple[Floats, Floats]:
        """Standard errors of :meth:`at`, ``√(bᵀ C b)``, in pixels."""
        b = self.basis(np.asarray(rows, dtype=np.float64), np.asarray(cols, dtype=np.float64))
        m = len(b)
        down, across = (
            np.sqrt(np.maximum(np.einsum("i...,ij,j...->...", b, part, b), 0.0))
            for part in (self.covariance[:m, :m], self.covariance[m:, m:])
        )
        return down, across

    def raised(self, order: int) -> Field:
        """The same displacements as polynomials of another order: higher terms are zero, or left
        out."""
        coefficients = np.zeros((2, terms(order)))
        m = min(terms(order), terms(self.order))
        coefficients[:, :m] = self.coefficients[:, :m]
        return Field(self.shape, order, coefficients, np.zeros((2 * terms(order),) * 2))

    def plus(self, step: Floats) -> Field:
        """With (2, m) added to the coefficients."""
        return replace(self, coefficients=self.coefficients + step)

    @property
    def ends(self) -> tuple[float, float, float, float]:
        """First and last row, and first and last column, of what it was told from."""
        return self.seen or (0.0, self.shape[0] - 1.0, 0.0, self.shape[1] - 1.0)

    def lattice(self, side: int = LATTICE) -> tuple[Floats, Floats]:
        """(side, side) rows and columns of places that are evenly spread, corners included."""
        top, bottom, left, right = self.ends
        rows, cols = np.meshgrid(
            np.linspace(top, bottom, side), np.linspace(left, right, side), indexing="ij"
        )
        return rows, cols

    @property
    def spread(self) -> float:
        """The largest difference between the displacements of two places, in pixels."""
        down, across = (one.ravel() for one in self.at(*self.lattice()))
        apart = np.hypot(down[:, None] - down, across[:, None] - across)
        return float(apart.max())

    @property
    def uncertainty(self) -> float:
        """The largest standard error of rows or columns at any place, in pixels."""
        return float(max(one.max(initial=0.0) for one in self.error(*self.lattice())))

    @property
    def middle(self) -> tuple[float, float]:
        """The mean displacement over the grid: rows, columns."""
        down, across = self.at(*self.lattice())
        return float(down.mean()), float(across.mean())


def _places(shape: tuple[int, int], rows: Floats, cols: Floats) -> tuple[Floats, Floats]:
    """Columns and rows from the middle, in halves of the longer side."""
    half = max(*shape, 2) / 2
    return (cols - (shape[1] - 1) / 2) / half, (rows - (shape[0] - 1) / 2) / half


@dataclass(frozen=True, eq=False)
class Displacements:
    """What n windows say: their middles, and by how much each is displaced.

    Columns
    -------
    rows, cols : (n,) the middles of the windows, in pixels of the grid.
    moves : (n, 2) rows and columns.
    covariance : (n, 2, 2) of the moves.
    numbers : (n,) of the windows among all windows."""

    rows: Floats
    cols: Floats
    moves: Floats
    covariance: Floats
    numbers: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def errors(self) -> Floats:
        """(n,) standard errors in the least certain direction of each, in pixels."""
        errors: Floats = np.sqrt(np.linalg.eigvalsh(self.covariance)[:, -1])
        return errors

    def chosen(self, some: NDArray[np.bool_]) -> Displacements:
        """Some of the windows."""
        return Displacements(
            self.rows[some],
            self.cols[some],
            self.moves[some],
            self.covariance[some],
            self.numbers[some],
        )
