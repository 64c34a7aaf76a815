"""Fold problems: the weights of outputs that belong together, as quadratics on all pixels and on
each fold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial

import numpy as np

from bandfuse.moments.moments import Moments
from bandfuse.moments.slopes import WithoutSlopes
from bandfuse.solve.exact import (
    Quadratic,
    affine,
    free,
    joined_halves,
    nonnegative,
    simplex,
    unit_scale,
)
from bandfuse.solve.layout import Layout
from bandfuse.solve.nnls import nonnegative_gram
from bandfuse.solve.scores import Pairs
from bandfuse.solve.squares import Split, squared_error
from bandfuse.spectral.bands import Floats
from bandfuse.trust.folds import Fold
from bandfuse.trust.kept import KEPT, Keeper, Matrices
from bandfuse.trust.moved_outputs import SlopedPixels
from bandfuse.trust.penalty import Tie, smooth_form


@dataclass(frozen=True)
class Strength:
    """How strongly weights are penalised: factors of the two forms, and of the price of their
    sizes."""

    ridge: float = 0.0
    smooth: float = 0.0
    sparse: float = 0.0


class Spectrum:
    """The eigenvectors of a squared error in the units of its ridge: least squares with any ridge
    in P² operations.

    Outputs of one group differ in their targets only, and share it.
    """

    def __init__(self, a: Callable[[], Floats], ridge: Floats) -> None:
        """``a``: makes the (P, P) squared error. ``ridge``: (P,) the diagonal of its form."""
        self._a, self._root = a, np.sqrt(ridge)

    @cached_property
    def _parts(self) -> tuple[Floats, Floats]:
        values, vectors = np.linalg.eigh(self._a() / np.outer(self._root, self._root))
        return np.maximum(values, 0.0), vectors / self._root[:, None]

    def solve(self, b: Floats, ridge: float, scale: float) -> Floats:
        """The minimiser of ``vᵀ (a + ridge · form) v − 2 bᵀ v``, a and the form divided by
        ``scale``, ridge above 0."""
        values, vectors = self._parts
        result: Floats = vectors @ ((scale * (b @ vectors)) / (values + ridge))
        return result


@dataclass(frozen=True, eq=False)
class FoldProblem:
    """One set of P weights.

    ``rows`` of the design, ``layout`` of these rows, ``scale`` their target variances; ``wholes``:
    the squared error on all pixels, alone; ``trains`` and ``tests``: on each fold, the test seen
    from the training's means; ``shares``: the part of the pixels in each test. ``ridge``: (P,) the
    diagonal of its form, ``smooth``: the (P, P) form alone, both in the same units; ``sparse`` (P,)
    half the price of the sizes. ``nm``: (P,) wavelengths, where each weight is that of one band and
    its wavelength is known. ``terms``: what it shares with the others."""

    rows: tuple[int, ...]
    layout: Layout
    scale: Floats
    wholes: Sequence[Quadratic]
    trains: Sequence[Quadratic]
    tests: Sequence[Quadratic]
    shares: Floats
    ridge: Floats
    smooth: Sequence[Floats]
    sparse: Floats
    nm: Floats | None
    spectra: tuple[Spectrum, ...] | None
    terms: Terms

    @property
    def whole(self) -> Quadratic:
        """The squared error on all pixels."""
        return self.wholes[0]

    def ridged(self, fold: int, q: Quadratic, ridge: float) -> Floats:
        """Least squares with a ridge on the training ``q`` of one fold, without a constraint."""
        if self.spectra is None or ridge <= 0:
            return minimiser(self.penalised(q, Strength(ridge)), "free")[0]
        return self.spectra[fold].solve(q.b, ridge, float(self.scale[0]))

    def penalised(self, q: Quadratic, strength: Strength) -> Quadratic:
        """A squared error with the penalties added."""
        l1 = strength.sparse * self.sparse if strength.sparse else None
        a = q.a.copy()
        if strength.ridge:
            a[np.diag_indices_from(a)] += strength.ridge * self.ridge
        if strength.smooth:
            a += strength.smooth * self.smooth[0]
        return Quadratic(a, q.b, q.c, q.sums, l1)


@dataclass(frozen=True, eq=False)
class Terms:
    """What all cases share: the layout, moments and a sample (n, B + K) of all pixels, the folds,
    and how outputs are made; ``nm`` (B,) wavelengths of the bands; ``sloped``: all pixels with
    their slopes, where moments and sample are without what these explain."""

    layout: Layout
    joint: Moments
    sample: Floats
    folds: Sequence[Fold]
    n_bands: int
    tied: list[Tie]
    offset: bool
    gain: bool
    nm: Floats | None = None
    sloped: SlopedPixels | None = None

    def pairs(self, matrix: Floats, offset: Floats) -> Pairs:
        """Outputs beside targets of all pixels."""
        if self.sloped is not None:
            return self.sloped.pairs(matrix, offset)
        return Pairs.linear(self.joint, self.sample, matrix, offset)

    def of_blocks(self, moments: Moments) -> Moments:
        """Moments that blocks add up to, without what slopes explain."""
        if self.sloped is None:
            return moments
        return WithoutSlopes.of(moments, self.joint.size).moments(moments)

    def prices(self, rows: Sequence[int]) -> Floats:
        """(K, B) half the price of a weight's size, of unit sparsity: ``std(x_b) std(t_k) / 2``."""
        split = Split.of(self.joint, self.n_bands)
        result: Floats = 0.5 * np.sqrt(np.outer(split.var[list(rows)], split.a.diagonal()))
        return result

    def ridge(self) -> Floats:
        """(B,) the diagonal of the ridge's form, of unit strength."""
        found: Floats = self.joint.variance[: self.n_bands]
        return found

    def smooth(self, row: int) -> Floats:
        """(B, B) the smooth form of a row, of unit strength."""
        found: Floats = float(self.ridge().mean()) * smooth_form(self.layout, row, self.tied)
        return found


def fold_problems(terms: Terms) -> list[FoldProblem]:
    """One case per set of weights."""
    shared: dict[bytes, tuple[Spectrum, ...]] = {}
    smooth, keeper = lru_cache(maxsize=1)(terms.smooth), Keeper(KEPT)
    sets = terms.layout.rows_of_set()
    return [_fold_problem(terms, rows, smooth, shared, keeper) for rows in sets]


def _spectra(
    part: Layout, case: FoldProblem, shared: dict[bytes, tuple[Spectrum, ...]]
) -> tuple[Spectrum, ...] | None:
    """Of one output whose weights are all its own; shared by the outputs of one group."""
    if (
        part.shape[0] != 1
        or len(part.col) != part.size
        or part.fixed.any()
        or not (case.ridge > 0).all()
    ):
        return None
    size = float(case.scale[0])

    def sized(fold: int) -> Floats:
        found: Floats = size * case.trains[fold].a
        return found

    key, folds = part.col.tobytes(), range(len(case.trains))
    if key not in shared:
        shared[key] = tuple(Spectrum(partial(sized, i), size * case.ridge) for i in folds)
    return shared[key]


def _fold_problem(
    terms: Terms,
    rows: Sequence[int],
    smooth_of: Callable[[int], Floats],
    shared: dict[bytes, tuple[Spectrum, ...]],
    keeper: Keeper,
) -> FoldProblem:
    part = terms.layout.part(rows)
    var = terms.joint.variance[terms.n_bands :][list(rows)]
    scale = np.where(var > 0, var, 1.0)

    def error(split: Split, offset: bool) -> Quadratic:
        return squared_error(split, part, scale, offset=offset, gain=terms.gain)

    def on_all(_: int) -> Quadratic:
        return error(Split.of(terms.joint, terms.n_bands).rows(rows), terms.offset)

    def train(fold: int) -> Quadratic:
        return error(Split.of(terms.folds[fold].train, terms.n_bands).rows(rows), terms.offset)

    def test(fold: int) -> Quadratic:
        held = Split.of(terms.folds[fold].test, terms.n_bands).rows(rows)
        if not terms.offset:
            return error(held, False)
        mean = terms.folds[fold].train.mean
        bands, targets = mean[: terms.n_bands], mean[terms.n_bands :][list(rows)]
        return error(held.about(bands, targets), True)

    def smooth(_: int) -> Floats:
        return _form(part, [smooth_of(row) for row in rows], scale)

    kept = partial(Matrices, owner=object(), size=8 * part.size**2, keeper=keeper)
    counts = np.array([f.test.count for f in terms.folds], dtype=np.float64)
    found = FoldProblem(
        rows=tuple(rows),
        layout=part,
        scale=scale,
        wholes=kept(on_all, 1, "whole"),
        trains=kept(train, len(terms.folds), "train"),
        tests=kept(test, len(terms.folds), "test"),
        shares=counts / max(1.0, counts.sum()),
        ridge=np.sum(
            [part.gather(k, terms.ridge()) / scale[k] for k in range(part.shape[0])], axis=0
        ),
        smooth=kept(smooth, 1, "smooth"),
        sparse=np.sum(
            [part.gather(k, p) / scale[k] for k, p in enumerate(terms.prices(rows))], axis=0
        ),
        nm=_wavelengths(terms, part),
        spectra=None,
        terms=terms,
    )
    return replace(found, spectra=_spectra(part, found, shared))


def _wavelengths(terms: Terms, part: Layout) -> Floats | None:
    """(P,) of one output with a weight for each of its bands; None where any is unknown, or a gain
    is learned beside the weights."""
    single = part.shape[0] == 1 and len(part.col) == part.size and not part.fixed.any()
    if terms.nm is None or terms.gain or not single:
        return None
    nm = np.empty(part.size)
    nm[part.param] = terms.nm[part.col]
    return nm if np.isfinite(nm).all() else None


def _form(part: Layout, forms: Sequence[Floats], scale: Floats) -> Floats:
    total = np.zeros(0)
    for k in range(part.shape[0]):
        own = part.project(k, forms[k])
        own /= scale[k]
        total = own if k == 0 else total + own
    return total


Active = np.ndarray
"""(P,) which weights were positive: where a neighbouring problem may begin."""


def minimiser(
    q: Quadratic, constraint: str, active: Active | None = None
) -> tuple[Floats, Active | None]:
    """The exact minimiser, quickly: many neighbouring problems are solved one after the other."""
    if constraint == "free":
        return (_solved(q), None) if q.l1 is None else _lasso(q, active)
    if constraint == "affine":
        return affine(q), None
    if constraint == "nonnegative":
        return _nonnegative(q.a, q.smooth().b, active) or (nonnegative(q), None)
    found = _nonnegative(_gram(q), np.ones(len(q.b)), active)
    if found is None:
        return simplex(q), None
    u, active = found
    return u / u.sum() / q.sums, active


class Minimiser:
    """Exact minimisers of one output's problems on the whole scene and on each fold, of one
    constraint.

    Each begins where the last one ended, as they are neighbours.
    """

    def __init__(self, constraint: str) -> None:
        self._constraint = constraint
        self._active: Active | None = None

    def __call__(self, q: Quadratic) -> Floats:
        """The minimiser."""
        v, self._active = minimiser(q, self._constraint, self._active)
        return v


def _gram(q: Quadratic) -> Floats:
    """(P, P) of the simplex problem as one of non-negative weights; see
    :func:`bandfuse.solve.exact.simplex`."""
    b = q.b / q.sums
    # In place: it is made thousands of times, and new memory takes longer than the sums.
    gram: Floats = np.outer(q.sums, q.sums)
    np.divide(q.a, gram, out=gram)
    gram -= b[:, None]
    gram -= b
    gram += q.c
    gram /= max(float(gram.diagonal().min()), 1e-300)
    gram += 1.0
    return gram


def _lasso(q: Quadratic, active: Active | None) -> tuple[Floats, Active | None]:
    """Least squares with a sparsity, as a non-negative problem of its halves."""
    halves = q.halves()
    found = _nonnegative(halves.a, halves.b, active)
    return (free(q), None) if found is None else (joined_halves(found[0]), found[1])


def _nonnegative(a: Floats, b: Floats, active: Active | None) -> tuple[Floats, Active] | None:
    scale = unit_scale(a)
    unit: Floats = np.outer(scale, scale)
    unit *= a
    v, active, reached = nonnegative_gram(unit, b * scale, active)
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


def block_errors(case: FoldProblem, without: Sequence[Floats]) -> Floats:
    """(n,) the sum of squared errors of one output on every held-out block.

    Parameters
    ----------
    without : (P,) weights that were learned without each fold.
    """
    terms, row = case.terms, case.rows[0]
    errors = []
    for fold, v in zip(terms.folds, without, strict=True):
        u = np.zeros(fold.train.size)
        u[: terms.n_bands] = effective(case, v, gain=terms.gain)[0]
        u[terms.n_bands + row] = -1.0
        level = float(fold.train.mean @ u) if terms.offset else 0.0
        errors += [
            float(u @ b.scatter @ u) + b.count * (float(b.mean @ u) - level) ** 2
            for b in fold.blocks
        ]
    return np.array(errors)


def effective(case: FoldProblem, v: Floats, *, gain: bool) -> Floats:
    """(rows, B) gain · W of weights v (of u = gain · v with a gain, where fixed groups ride on the
    gain)."""
    size = float(case.whole.sums @ v) if gain else 1.0
    return case.layout.matrix(v) + (size - 1.0) * case.layout.fixed
