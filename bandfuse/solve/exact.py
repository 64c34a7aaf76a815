"""Exact minimisers of quadratics under the constraints: the optimum that every training is held
against."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bandfuse.errors import RunError
from bandfuse.solve.nnls import nonnegative_gram
from bandfuse.spectral.bands import Floats


@dataclass(frozen=True, eq=False)
class Quadratic:
    """``f(v) = vᵀ a v − 2 bᵀ v + c + 2 l1ᵀ |v|`` with a positive semidefinite and f ≥ 0.

    ``sums`` (P,) are the factors of the sum constraint, ``sumsᵀ v = 1`` for affine and simplex.
    ``l1`` (P,) ≥ 0 is the sparsity's penalty, None for none."""

    a: Floats
    b: Floats
    c: float
    sums: Floats
    l1: Floats | None = None

    def __call__(self, v: Floats) -> float:
        """f(v)."""
        size = 0.0 if self.l1 is None else 2 * float(self.l1 @ np.abs(v))
        return float(v @ self.a @ v - 2 * self.b @ v + self.c) + size

    def smooth(self) -> Quadratic:
        """The same for weights that are not negative, without an absolute value."""
        return self if self.l1 is None else Quadratic(self.a, self.b - self.l1, self.c, self.sums)

    def halves(self) -> Quadratic:
        """The problem of (2P,) non-negative weights [p, n] with v = p − n: the absolute value is
        their sum."""
        assert self.l1 is not None
        a = np.block([[self.a, -self.a], [-self.a, self.a]])
        return Quadratic(
            a, np.concatenate([self.b - self.l1, -self.b - self.l1]), self.c, np.tile(self.sums, 2)
        )

    def joined(self) -> Floats:
        """(P+1, P+1) matrix M with ``f(v) = [v, 1]ᵀ M [v, 1]``."""
        return np.block([[self.a, -self.b[:, None]], [-self.b[None], np.array([[self.c]])]])


def factor(m: Floats) -> Floats:
    """(R, P) S with ``SᵀS = m`` for a positive semidefinite m, by its eigenvectors.

    Eigenvalues below P · eps of the largest are rounding and become zero: their roots, of 1e-8,
    would not look like it.
    """
    values, vectors = np.linalg.eigh(m)
    least = len(m) * np.finfo(np.float64).eps * values.max(initial=0.0)
    root = np.sqrt(np.where(values > least, values, 0.0))
    result: Floats = root[:, None] * vectors.T
    return result


def whitener(a: Floats) -> Floats:
    """(P, R) T with ``Tᵀ a T = I`` on the range of a: scaled to unit diagonal first, then by
    eigenvectors.

    Directions whose eigenvalue is below P · eps of the largest are left out.
    """
    scale = unit_scale(a)
    values, vectors = np.linalg.eigh(a * np.outer(scale, scale))
    keep = values > len(a) * np.finfo(np.float64).eps * values.max(initial=0.0)
    result: Floats = scale[:, None] * (vectors[:, keep] / np.sqrt(values[keep]))
    return result


def unit_scale(a: Floats) -> Floats:
    """(P,) factors that give a unit diagonal; one where the diagonal is zero."""
    d = np.diag(a)
    factors: Floats = 1.0 / np.sqrt(np.where(d > 0, d, 1.0))
    return factors


def sum_plane(sums: Floats, total: float = 1.0) -> tuple[Floats, Floats]:
    """A point on the plane ``sumsᵀ v = total`` and an orthonormal (P, P−1) basis of its
    directions."""
    point = np.full(len(sums), total / sums.sum())
    q, _ = np.linalg.qr(sums[:, None], mode="complete")
    return point, q[:, 1:]


def free(q: Quadratic) -> Floats:
    """Least squares; the solution of least norm (in standardised units) where it is not unique.
    With a sparsity the lasso (Tibshirani, Journal of the Royal Statistical Society B 58, 1996), as
    non-negative least squares of its halves."""
    if q.l1 is not None:
        return joined_halves(_pivoted(q.halves()))
    t = whitener(q.a)
    result: Floats = t @ (t.T @ q.b)
    return result


def affine(q: Quadratic, total: float = 1.0) -> Floats:
    """Least squares on the plane ``sumsᵀ v = total``."""
    point, basis = sum_plane(q.sums, total)
    t = basis @ whitener(basis.T @ q.a @ basis)
    result: Floats = point + t @ (t.T @ (q.b - q.a @ point))
    return result


def _nnls(design: Floats, target: Floats) -> Floats:
    from scipy.optimize import nnls

    try:
        solution: Floats = nnls(design, target, maxiter=50 * design.shape[1])[0]
    except RuntimeError as error:
        raise RunError("the exact non-negative solution was not found", got=str(error)) from error
    return solution


def joined_halves(v: Floats) -> Floats:
    """(P,) p − n of (2P,) [p, n]."""
    p, n = np.split(v, 2)
    result: Floats = p - n
    return result


def nonnegative(q: Quadratic) -> Floats:
    """Non-negative least squares (Lawson and Hanson, "Solving Least Squares Problems", 1974,
    chapter 23)."""
    if q.l1 is not None:
        return _pivoted(q.smooth())
    scale = unit_scale(q.a)
    wide = np.append(scale, 1.0 / np.sqrt(q.c) if q.c > 0 else 1.0)
    s = factor(q.joined() * np.outer(wide, wide))
    # A band that is always zero explains nothing, whatever rounding left of it.
    design = s[:, :-1] * (np.diag(q.a) > 0)
    v: Floats = scale * _nnls(design, -s[:, -1]) / wide[-1]
    return v


def _pivoted(q: Quadratic) -> Floats:
    """Non-negative least squares from the Gram matrix: a linear term that is no inner product with
    a target."""
    scale = unit_scale(q.a)
    v, _, reached = nonnegative_gram(q.a * np.outer(scale, scale), q.b * scale)
    if not reached:
        raise RunError(
            "the exact sparse solution was not found",
            remedy="Try another --sparse or --constraint.",
        )
    result: Floats = scale * v
    return result


def simplex(q: Quadratic) -> Floats:
    """Least squares on the simplex ``v ≥ 0, sumsᵀ v = 1``.

    With u = sums · v the objective is ``‖R u‖²`` on the unit simplex: the point of least norm in a
    convex hull, which is the direction of the non-negative least-squares solution of ``[R; 1ᵀ] u =
    [0; 1]`` (Lawson and Hanson 1974, chapter 23, least distance programming)."""
    a = q.a / np.outer(q.sums, q.sums)
    b = q.b / q.sums
    r = factor(a - b[:, None] - b[None, :] + q.c)
    size = np.sqrt(max(float((r**2).sum(axis=0).min()), 1e-300))
    ones = np.ones(len(b))
    u = _nnls(np.vstack([r / size, ones]), np.append(np.zeros(len(r)), 1.0))
    v: Floats = u / u.sum() / q.sums
    return v


SOLVERS: dict[str, Callable[[Quadratic], Floats]] = {
    "free": free,
    "affine": affine,
    "nonnegative": nonnegative,
    "simplex": simplex,
}
"""The exact solver of each constraint."""


def optimality(q: Quadratic, v: Floats, constraint: str) -> float:
    """How far v is from fulfilling the conditions of Karush, Kuhn and Tucker: the largest
    violation, with bands in units of their standard deviation and the loss in units of f(0).

    Half the gradient is ``g = a v − b`` (for the lasso ± l1 is added); on the sum plane ``g − μ ·
    sums``, with μ from the weights that are not zero, and the sum itself must be one. Where v may
    not be negative, g ≥ 0 is allowed at v = 0."""
    if not len(v):
        return 0.0
    g, inside = q.a @ v - q.b, v != 0
    below = np.abs(g)
    if q.l1 is not None:
        below = np.where(inside, np.abs(g + q.l1 * np.sign(v)), np.maximum(np.abs(g) - q.l1, 0.0))
    if constraint in ("affine", "simplex"):
        if not inside.any():
            return np.inf
        g = g - q.sums * float(np.mean(g[inside] / q.sums[inside]))
        below = np.abs(g)
    if constraint in ("nonnegative", "simplex"):
        g = g if q.l1 is None else g + q.l1
        below = np.where(inside, np.abs(g), np.maximum(-g, 0.0))
        below = np.maximum(below, np.where(v < 0, np.inf, 0.0))
    largest = float(np.max(below * unit_scale(q.a)) / np.sqrt(q.c if q.c > 0 else 1.0))
    off = abs(float(q.sums @ v) - 1.0) if constraint in ("affine", "simplex") else 0.0
    return max(largest, off)


LEAST_SUM = 1e-4
"""Least sum of affine weights with a gain, as a part of the sum of their sizes."""

CONE = {"affine": "free", "simplex": "nonnegative"}
"""The constraint on gain · v where a gain is learned beside v."""


def solve(q: Quadratic, constraint: str, *, gain: bool = False) -> tuple[Floats, float]:
    """The minimiser v and its gain (1 unless learned).

    With a gain the quadratic is taken in u = gain · v, so that ``gain = sumsᵀ u`` and v = u / gain.
    Where the best affine u has a sum below zero there is no best gain, as the loss falls on and on
    towards a sum of zero: the sum is then held at a small part of the weights. A gain of zero comes
    with uniform v."""
    if not len(q.b):
        return np.zeros(0), 1.0
    if not gain:
        return SOLVERS[constraint](q), 1.0
    u = SOLVERS[CONE[constraint]](q)
    size = float(q.sums @ u)
    if size <= 0 and constraint == "affine":
        least = LEAST_SUM * float(q.sums @ np.abs(u))
        u, size = affine(q, least), least
    if size <= 0:
        return np.full(len(u), 1.0 / q.sums.sum()), 0.0
    return u / size, size
