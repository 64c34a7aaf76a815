"""Cases: the weights of outputs that belong together, as quadratics on all pixels and on each fold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bandfuse.bands import Floats
from bandfuse.exact import Quadratic, affine, free, nonnegative, simplex, unit_scale
from bandfuse.layout import Layout
from bandfuse.moments import Moments
from bandfuse.pivoting import nonnegative_gram
from bandfuse.split import Split, squared_error
from bandfuse.trust.folds import Fold
from bandfuse.trust.penalty import Tie, smooth_form


@dataclass(frozen=True)
class Strength:
    """How strongly weights are penalised: factors of the two forms."""

    ridge: float = 0.0
    smooth: float = 0.0


@dataclass(frozen=True, eq=False)
class Case:
    """One set of P weights.

    ``rows`` of the design, ``layout`` of these rows, ``scale`` their target variances; ``whole``: the squared error on
    all pixels; ``trains`` and ``tests``: on each fold, the test seen from the training's means; ``shares``: the part of
    the pixels in each test. ``ridge`` and ``smooth``: (P, P) forms in the same units.
    """

    rows: tuple[int, ...]
    layout: Layout
    scale: Floats
    whole: Quadratic
    trains: tuple[Quadratic, ...]
    tests: tuple[Quadratic, ...]
    shares: Floats
    ridge: Floats
    smooth: Floats

    def penalised(self, q: Quadratic, strength: Strength) -> Quadratic:
        """A squared error with the penalties added."""
        return Quadratic(q.a + strength.ridge * self.ridge + strength.smooth * self.smooth, q.b, q.c, q.sums)


@dataclass(frozen=True, eq=False)
class Terms:
    """What all cases share: the layout, moments and a sample (n, B + K) of all pixels, the folds, and how outputs are
    made."""

    layout: Layout
    joint: Moments
    sample: Floats
    folds: Sequence[Fold]
    n_bands: int
    tied: list[Tie]
    offset: bool
    gain: bool

    def forms(self, rows: Sequence[int]) -> tuple[Floats, Floats]:
        """(K, B, B) ridge and smooth forms of these rows, of unit strength."""
        variance = Split.of(self.joint, self.n_bands).a.diagonal()
        size = float(variance.mean())
        smooth = [size * smooth_form(self.layout, row, self.tied) for row in rows]
        return np.broadcast_to(np.diag(variance), (len(rows), *smooth[0].shape)), np.array(smooth)


def cases(terms: Terms) -> list[Case]:
    """One case per set of weights."""
    return [_case(terms, rows) for rows in terms.layout.rows_of_set()]


def _case(terms: Terms, rows: Sequence[int]) -> Case:
    part = terms.layout.part(rows)
    whole = Split.of(terms.joint, terms.n_bands).rows(rows)
    scale = np.where(whole.var > 0, whole.var, 1.0)

    def error(split: Split, offset: bool) -> Quadratic:
        return squared_error(split, part, scale, offset=offset, gain=terms.gain)

    trains = [Split.of(f.train, terms.n_bands).rows(rows) for f in terms.folds]
    tests = [Split.of(f.test, terms.n_bands).rows(rows) for f in terms.folds]
    seen = [
        error(test.about(train.mean, train.target_mean), True) if terms.offset else error(test, False)
        for train, test in zip(trains, tests, strict=True)
    ]
    ridge, smooth = terms.forms(rows)
    counts = np.array([f.test.count for f in terms.folds], dtype=np.float64)
    return Case(
        rows=tuple(rows),
        layout=part,
        scale=scale,
        whole=error(whole, terms.offset),
        trains=tuple(error(s, terms.offset) for s in trains),
        tests=tuple(seen),
        shares=counts / max(1.0, counts.sum()),
        ridge=_form(part, ridge, scale),
        smooth=_form(part, smooth, scale),
    )


def _form(part: Layout, forms: Floats, scale: Floats) -> Floats:
    rows = [part.project(k, forms[k]) / scale[k] for k in range(part.shape[0])]
    total: Floats = np.sum(rows, axis=0)
    return total


Active = np.ndarray
"""(P,) which weights were positive: where a neighbouring problem may begin."""


def minimiser(q: Quadratic, constraint: str, active: Active | None = None) -> tuple[Floats, Active | None]:
    """The exact minimiser, quickly: many neighbouring problems are solved one after the other."""
    if constraint == "free":
        return _solved(q), None
    if constraint == "affine":
        return affine(q), None
    if constraint == "nonnegative":
        return _nonnegative(q.a, q.b, active) or (nonnegative(q), None)
    a = q.a / np.outer(q.sums, q.sums)
    b = q.b / q.sums
    gram = a - b[:, None] - b[None, :] + q.c
    size = max(float(gram.diagonal().min()), 1e-300)
    found = _nonnegative(gram / size + 1.0, np.ones(len(b)), active)
    if found is None:
        return simplex(q), None
    u, active = found
    return u / u.sum() / q.sums, active


def _nonnegative(a: Floats, b: Floats, active: Active | None) -> tuple[Floats, Active] | None:
    scale = unit_scale(a)
    v, active, reached = nonnegative_gram(a * np.outer(scale, scale), b * scale, active)
    return (scale * v, active) if reached else None


def _solved(q: Quadratic) -> Floats:
    """Least squares by Cholesky where the matrix is well conditioned, else by eigenvectors."""
    from scipy.linalg import LinAlgError, cho_factor, cho_solve

    scale = unit_scale(q.a)
    try:
        factors = cho_factor(q.a * np.outer(scale, scale), lower=True, check_finite=False)
    except LinAlgError:
        return free(q)
    if float(factors[0].diagonal().min()) < 1e-6:
        return free(q)
    result: Floats = scale * cho_solve(factors, q.b * scale, check_finite=False)
    return result


def effective(case: Case, v: Floats, *, gain: bool) -> Floats:
    """(rows, B) gain · W of weights v (of u = gain · v with a gain, where fixed groups ride on the gain)."""
    size = float(case.whole.sums @ v) if gain else 1.0
    return case.layout.matrix(v) + (size - 1.0) * case.layout.fixed
