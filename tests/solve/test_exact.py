"""Exact minimisers against references that share no code with them: least squares and NNLS on the
data themselves, all active sets of small problems, and the conditions of optimality."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pytest
from helpers import close_to_conditioning, correlated, rounding, same_fit
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import LinearConstraint, minimize, nnls

from bandfuse.solve.exact import (
    CONE,
    SOLVERS,
    Quadratic,
    factor,
    optimality,
    solve,
    sum_plane,
    unit_scale,
    whitener,
)
from bandfuse.spectral.bands import Floats


@dataclass(frozen=True)
class Problem:
    """Minimise ``‖x v − t‖²`` where ``sumsᵀ v = 1`` may hold."""

    x: Floats
    t: Floats
    sums: Floats

    @property
    def quadratic(self) -> Quadratic:
        """The same as a quadratic: all that the solvers see."""
        return Quadratic(self.x.T @ self.x, self.x.T @ self.t, float(self.t @ self.t), self.sums)

    def loss(self, v: Floats) -> float:
        """From the data."""
        return float(np.sum((self.x @ v - self.t) ** 2))


def problem_of(
    seed: int, n: int, p: int, *, rank: int | None = None, multiple: bool = False
) -> Problem:
    """Data of any conditioning between good and fair, scales from 1e-3 to 1e3, weights of both
    signs."""
    random = np.random.default_rng(seed)
    x = correlated(random, n, p)
    if rank is not None:
        x = x[:, :rank] @ random.uniform(0, 1, (rank, p))
    x = x * 10.0 ** random.uniform(-1, 1)
    t = (
        x @ random.uniform(-0.5, 1, p) / p
        + random.uniform(0.01, 1) * random.standard_normal(n) * x.std()
    )
    sums = random.integers(1, 5, p).astype(float) if multiple else np.ones(p)
    return Problem(x, t, sums)


PROBLEMS = st.builds(
    problem_of,
    st.integers(0, 2**32 - 1),
    st.integers(12, 40),
    st.integers(1, 6),
    multiple=st.booleans(),
)
DEFICIENT = st.builds(
    lambda seed, p, rank, multiple: problem_of(
        seed, 30, p, rank=min(rank, p - 1), multiple=multiple
    ),
    st.integers(0, 2**32 - 1),
    st.integers(3, 6),
    st.integers(1, 4),
    st.booleans(),
)


def equality_constrained(
    problem: Problem, support: tuple[int, ...], *, unit_sum: bool
) -> Floats | None:
    """Least squares over a support by the KKT system, in numpy; None where it is singular."""
    here = list(support)
    x, s = problem.x[:, here], problem.sums[here]
    a, b = x.T @ x, x.T @ problem.t
    if unit_sum:
        system = np.block([[a, s[:, None]], [s[None], np.zeros((1, 1))]])
        right = np.append(b, 1.0)
    else:
        system, right = a, b
    if np.linalg.matrix_rank(system) < len(system):
        return None
    v = np.zeros(problem.x.shape[1])
    v[here] = np.linalg.solve(system, right)[: len(here)]
    return v


def best_of_all_active_sets(problem: Problem, *, unit_sum: bool) -> Floats:
    """The optimum with v ≥ 0 by trying every support: slow, and without doubt."""
    p = problem.x.shape[1]
    found = [] if unit_sum else [np.zeros(p)]
    for size in range(1, p + 1):
        for support in combinations(range(p), size):
            v = equality_constrained(problem, support, unit_sum=unit_sum)
            if v is not None and (v >= -1e-12).all():
                found.append(v)
    return min(found, key=problem.loss)


def reference(problem: Problem, constraint: str) -> Floats:
    """An independent optimum."""
    if constraint == "free":
        return np.linalg.lstsq(problem.x, problem.t, rcond=None)[0]
    if constraint == "affine":
        v = equality_constrained(problem, tuple(range(problem.x.shape[1])), unit_sum=True)
        assert v is not None
        return v
    if constraint == "nonnegative":
        return nnls(problem.x, problem.t)[0]
    return best_of_all_active_sets(problem, unit_sum=True)


def assert_feasible(v: Floats, problem: Problem, constraint: str) -> None:
    if constraint in ("affine", "simplex"):
        assert problem.sums @ v == pytest.approx(1.0, abs=rounding(np.abs(problem.sums * v).sum()))
    if constraint in ("nonnegative", "simplex"):
        assert (v >= 0).all()


def assert_optimal(v: Floats, problem: Problem, constraint: str) -> None:
    """The Karush–Kuhn–Tucker conditions, with gradients in units of the data."""
    unit = np.sqrt(
        (problem.x**2).sum(axis=0) * max(problem.loss(v), 1e-12 * problem.loss(0 * v)) + 1e-300
    )
    unit = np.maximum(unit, 1e-7 * np.sqrt((problem.x**2).sum(axis=0) * problem.loss(0 * v)))
    slope = problem.x.T @ (problem.x @ v - problem.t)
    active = (
        v > 1e-9 * np.abs(v).max(initial=0.0)
        if constraint in ("nonnegative", "simplex")
        else np.full(len(v), True)
    )
    if constraint in ("affine", "simplex"):
        # On the plane the gradient is a multiple μ of the sums: never below μ, and equal to it
        # where a weight is free.
        ratio = slope / problem.sums
        mu = np.average(
            ratio[active], weights=problem.sums[active] * np.maximum(v[active], 0) + 1e-12
        )
        slope = slope - mu * problem.sums
    assert np.abs(slope[active] / unit[active]).max(initial=0.0) < 1e-6
    assert (slope / unit > -1e-6).all() or constraint in ("free", "affine")


def test_the_list_of_constraints_is_covered() -> None:
    assert set(SOLVERS) == {"free", "affine", "nonnegative", "simplex"}
    assert set(CONE) == {"affine", "simplex"}


@pytest.mark.parametrize("constraint", SOLVERS)
@given(problem=PROBLEMS)
@settings(max_examples=40)
def test_the_solution_is_that_of_an_independent_solver(constraint: str, problem: Problem) -> None:
    v, gain = solve(problem.quadratic, constraint)
    expected = reference(problem, constraint)
    assert gain == 1.0
    assert_feasible(v, problem, constraint)
    assert problem.loss(v) <= problem.loss(expected) * (1 + 1e-9) + 1e-10 * problem.loss(0 * v)
    assert v == pytest.approx(expected, rel=1e-5, abs=1e-5 * np.abs(expected).max())
    assert_optimal(v, problem, constraint)


@given(problem=PROBLEMS)
@settings(max_examples=40)
def test_nonnegative_is_the_best_of_all_active_sets(problem: Problem) -> None:
    v, _ = solve(problem.quadratic, "nonnegative")
    expected = best_of_all_active_sets(problem, unit_sum=False)
    assert problem.loss(v) == pytest.approx(
        problem.loss(expected), rel=1e-8, abs=1e-10 * problem.loss(0 * v)
    )


@given(problem=PROBLEMS)
@settings(max_examples=15)
def test_simplex_is_what_a_general_solver_finds(problem: Problem) -> None:
    p = problem.x.shape[1]
    start = np.full(p, 1.0 / problem.sums.sum())
    scale = max(problem.loss(start), 1e-300)
    found = minimize(
        lambda v: problem.loss(v) / scale,
        start,
        jac=lambda v: 2 * problem.x.T @ (problem.x @ v - problem.t) / scale,
        method="SLSQP",
        bounds=[(0, None)] * p,
        constraints=LinearConstraint(problem.sums[None], 1.0, 1.0),
        options={"ftol": 1e-14, "maxiter": 500},
    )
    v, _ = solve(problem.quadratic, "simplex")
    assert problem.loss(v) <= problem.loss(found.x) * (1 + 1e-8) + 1e-9 * scale
    assert problem.loss(v) >= problem.loss(found.x) * (1 - 1e-4) - 1e-6 * scale


@pytest.mark.parametrize("constraint", SOLVERS)
@given(problem=DEFICIENT)
@settings(max_examples=40)
def test_rank_deficient_problems_have_an_optimal_solution(
    constraint: str, problem: Problem
) -> None:
    v, _ = solve(problem.quadratic, constraint)
    assert np.isfinite(v).all()
    assert_feasible(v, problem, constraint)
    assert_optimal(v, problem, constraint)
    best = {
        "free": lambda: reference(problem, "free"),
        "affine": lambda: affine_by_elimination(problem),
        "nonnegative": lambda: reference(problem, "nonnegative"),
        "simplex": lambda: reference(problem, "simplex"),
    }[constraint]()
    assert problem.loss(v) == pytest.approx(
        problem.loss(best), rel=1e-6, abs=1e-8 * problem.loss(0 * v)
    )
    same_fit(v[None], best[None], problem.x)


def affine_by_elimination(problem: Problem) -> Floats:
    """Put the last weight as one minus the others, and take least squares on the data."""
    s, x = problem.sums, problem.x
    rest = x[:, :-1] - np.outer(x[:, -1] / s[-1], s[:-1])
    v = np.linalg.lstsq(rest, problem.t - x[:, -1] / s[-1], rcond=1e-10)[0]
    return np.append(v, (1.0 - s[:-1] @ v) / s[-1])


@pytest.mark.parametrize("constraint", SOLVERS)
@given(problem=PROBLEMS, seed=st.integers(0, 2**32 - 1))
@settings(max_examples=25)
def test_no_feasible_weights_are_better(constraint: str, problem: Problem, seed: int) -> None:
    v, _ = solve(problem.quadratic, constraint)
    random = np.random.default_rng(seed)
    for size in (1e-3, 0.1, 1.0):
        other = v + size * np.abs(v).max() * random.standard_normal(len(v))
        if constraint in ("nonnegative", "simplex"):
            other = np.abs(other)
        if constraint == "simplex":
            other = other / (problem.sums @ other)
        if constraint == "affine":
            other = other + (1.0 - problem.sums @ other) / problem.sums.sum()
        assert_feasible(other, problem, constraint)
        assert problem.loss(other) >= problem.loss(v) - 1e-9 * problem.loss(0 * v)


@pytest.mark.parametrize("constraint", SOLVERS)
@pytest.mark.parametrize("multiple", [False, True])
def test_weights_that_made_the_target_come_back(constraint: str, multiple: bool) -> None:
    problem = problem_of(4, 40, 4, multiple=multiple)
    v = np.array([0.5, 0.0, 0.2, 0.3])
    if constraint in ("free", "affine"):
        v[1] = -0.4
    if constraint in ("affine", "simplex"):
        v = v / (problem.sums @ v)
    known = Problem(problem.x, problem.x @ v, problem.sums)
    found, _ = solve(known.quadratic, constraint)
    assert found == pytest.approx(v, abs=1e-6)


@pytest.mark.parametrize("constraint", SOLVERS)
@pytest.mark.parametrize("size", [1e-8, 1e8])
def test_solutions_do_not_depend_on_the_units_of_the_data(constraint: str, size: float) -> None:
    problem = problem_of(8, 40, 4)
    once, _ = solve(problem.quadratic, constraint)
    again, _ = solve(
        Problem(size * problem.x, size * problem.t, problem.sums).quadratic, constraint
    )
    assert again == pytest.approx(once, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("constraint", ["free", "nonnegative"])
def test_solutions_follow_the_units_of_single_bands(constraint: str) -> None:
    problem = problem_of(8, 40, 4)
    units = np.array([1e-5, 1.0, 1e4, 1e2])
    once, _ = solve(problem.quadratic, constraint)
    again, _ = solve(Problem(problem.x * units, problem.t, problem.sums).quadratic, constraint)
    assert again * units == pytest.approx(once, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("constraint", SOLVERS)
@pytest.mark.parametrize("seed", range(20))
def test_a_band_that_is_always_zero_does_no_harm(constraint: str, seed: int) -> None:
    problem = problem_of(seed, 30, 3)
    x = np.hstack([problem.x, np.zeros((30, 1))])
    v, _ = solve(Problem(x, problem.t, np.ones(4)).quadratic, constraint)
    assert np.isfinite(v).all()
    assert_feasible(v, Problem(x, problem.t, np.ones(4)), constraint)
    if constraint in ("free", "nonnegative"):
        assert v[3] == 0.0
        close_to_conditioning(
            v[:3], solve(problem.quadratic, constraint)[0], np.linalg.cond(problem.x) ** 2
        )


@pytest.mark.parametrize("constraint", SOLVERS)
@pytest.mark.parametrize("gain", [False, True])
def test_nothing_to_learn_is_solved_by_nothing(constraint: str, gain: bool) -> None:
    v, g = solve(Quadratic(np.zeros((0, 0)), np.zeros(0), 3.0, np.zeros(0)), constraint, gain=gain)
    assert v.shape == (0,)
    assert g == 1.0


@pytest.mark.parametrize("constraint", ["affine", "simplex"])
def test_one_weight_of_unit_sum_has_no_choice(constraint: str) -> None:
    problem = Problem(np.array([[1.0], [2.0]]), np.array([5.0, 5.0]), np.array([4.0]))
    assert solve(problem.quadratic, constraint)[0] == pytest.approx([0.25])


# --------------------------------------------------------------------------------------------------


def with_gain(problem: Problem, constraint: str) -> Floats:
    """gain · v of an independent solver: the cone over the constraint."""
    return reference(problem, CONE[constraint])


@pytest.mark.parametrize("constraint", CONE)
@given(problem=PROBLEMS)
@settings(max_examples=40)
def test_a_gain_frees_the_sum(constraint: str, problem: Problem) -> None:
    expected = with_gain(problem, constraint)
    v, gain = solve(problem.quadratic, constraint, gain=True)
    assert gain >= 0
    assert_feasible(v, problem, constraint)
    if problem.sums @ expected > 1e-3 * np.abs(problem.sums * expected).sum():
        assert gain * v == pytest.approx(expected, rel=1e-5, abs=1e-5 * np.abs(expected).max())
        assert gain == pytest.approx(problem.sums @ expected, rel=1e-5)
        # A gain can only help.
        assert problem.loss(gain * v) <= problem.loss(solve(problem.quadratic, constraint)[0]) * (
            1 + 1e-9
        )


@pytest.mark.parametrize("constraint", CONE)
@pytest.mark.parametrize("multiple", [False, True])
def test_a_known_gain_comes_back(constraint: str, multiple: bool) -> None:
    problem = problem_of(6, 40, 4, multiple=multiple)
    v = (
        np.array([0.4, 0.0, 0.35, 0.25])
        if constraint == "simplex"
        else np.array([0.9, -0.3, 0.3, 0.1])
    )
    v = v / (problem.sums @ v)
    found, gain = solve(
        Problem(problem.x, 2.5 * problem.x @ v, problem.sums).quadratic, constraint, gain=True
    )
    assert gain == pytest.approx(2.5, rel=1e-7)
    assert found == pytest.approx(v, abs=1e-7)


def test_a_target_that_falls_with_every_band_gets_no_gain_on_the_simplex() -> None:
    x = np.abs(problem_of(1, 30, 3).x)
    problem = Problem(x, -x.sum(axis=1), np.ones(3))
    v, gain = solve(problem.quadratic, "simplex", gain=True)
    assert gain == 0.0
    assert v == pytest.approx([1 / 3] * 3)


def test_an_affine_gain_is_not_beaten_by_feasible_weights() -> None:
    """The free solution has a negative sum, so that no gain ≥ 0 reaches it: what remains is the
    best of gain ≥ 0."""
    random = np.random.default_rng(0)
    x = random.standard_normal((200, 3))
    problem = Problem(x, x @ np.array([1.0, -2.0, 0.5]), np.ones(3))
    v, gain = solve(problem.quadratic, "affine", gain=True)
    assert gain >= 0
    assert_feasible(v, problem, "affine")
    # gain · v with a sum close to zero is feasible, and explains most of the target.
    near = np.array([1.17, -1.83, 0.67])
    assert near.sum() > 0
    assert problem.loss(gain * v) <= problem.loss(near) * 1.05


# --------------------------------------------------------------------------------------------------


@given(problem=st.one_of(PROBLEMS, DEFICIENT))
def test_a_quadratic_is_its_joined_matrix_and_its_data(problem: Problem) -> None:
    q = problem.quadratic
    v = np.random.default_rng(0).standard_normal(len(q.b))
    one = np.append(v, 1.0)
    terms = np.abs(one) @ np.abs(q.joined()) @ np.abs(one)
    assert q(v) == pytest.approx(one @ q.joined() @ one, abs=rounding() * terms)
    assert q(v) == pytest.approx(problem.loss(v), abs=rounding() * terms)


@given(problem=st.one_of(PROBLEMS, DEFICIENT))
def test_factor_and_whitener(problem: Problem) -> None:
    a = problem.quadratic.a
    s, t = factor(a), whitener(a)
    assert s.T @ s == pytest.approx(a, rel=0, abs=rounding() * np.abs(a).max())
    assert t.T @ a @ t == pytest.approx(np.eye(t.shape[1]), abs=1e-6)
    assert t.shape[1] == np.linalg.matrix_rank(problem.x)
    assert np.diag(a) * unit_scale(a) ** 2 == pytest.approx(np.ones(len(a)))


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6))
def test_sum_plane(sums: list[int]) -> None:
    s = np.array(sums, dtype=float)
    point, basis = sum_plane(s)
    assert s @ point == pytest.approx(1.0)
    assert basis.shape == (len(s), len(s) - 1)
    assert s @ basis == pytest.approx(np.zeros(len(s) - 1), abs=rounding() * s.max())
    assert basis.T @ basis == pytest.approx(np.eye(len(s) - 1), abs=rounding())


# --------------------------------------------------------------------------------------------------


def test_the_scale_of_a_diagonal_is_its_root() -> None:
    assert unit_scale(np.diag([4.0, 0.25, 0.0])).tolist() == [0.5, 2.0, 1.0]


@pytest.mark.parametrize("constraint", SOLVERS)
def test_no_weights_have_no_sum_and_break_no_condition(constraint: str) -> None:
    nothing = Quadratic(np.zeros((0, 0)), np.zeros(0), 1.0, np.zeros(0))
    for gain in (False, True):
        v, size = solve(nothing, constraint, gain=gain)
        assert (v.tolist(), size) == ([], 1.0)
    assert optimality(nothing, np.zeros(0), constraint) == 0.0


def test_a_target_that_is_zero_needs_no_weight() -> None:
    q = Quadratic(np.array([[4.0, 1.0], [1.0, 9.0]]), np.zeros(2), 0.0, np.ones(2))
    assert SOLVERS["nonnegative"](q) == pytest.approx(np.zeros(2), abs=1e-12)
    assert optimality(q, np.zeros(2), "nonnegative") == 0.0
    assert SOLVERS["free"](q).tolist() == [0.0, 0.0]
    assert SOLVERS["free"](Quadratic(np.zeros((2, 2)), np.zeros(2), 0.0, np.ones(2))).tolist() == [
        0.0,
        0.0,
    ]


def test_how_far_weights_are_from_the_conditions_is_a_slope_in_their_units() -> None:
    """f(v) = 4 v² − 4 v + 4 at v = 1: half the slope is 2, the band's size 2, the target's 2."""
    q = Quadratic(np.array([[4.0]]), np.array([2.0]), 4.0, np.ones(1))
    assert optimality(q, np.array([1.0]), "free") == 0.5
    assert optimality(q, np.array([0.5]), "nonnegative") == 0.0
    assert optimality(q, np.array([0.0]), "nonnegative") == 0.5
    assert optimality(q, np.array([-0.5]), "nonnegative") == np.inf
    assert optimality(q, np.array([1.0]), "affine") == 0.0
    # The slope along the plane is told by the weights that are not zero: half slopes of 0 and 1 at
    # (1, 0).
    corner = Quadratic(np.eye(2), np.array([1.0, -1.0]), 1.0, np.ones(2))
    assert optimality(corner, np.array([1.0, 0.0]), "simplex") == 0.0
    assert optimality(corner, np.zeros(2), "affine") == np.inf


def test_a_gain_below_zero_is_held_at_a_small_sum() -> None:
    """The best u is (−3, 1): of a sum below zero; held at 1e-4 of the sizes, on the plane u₀ + u₁ =
    4e-4."""
    q = Quadratic(np.eye(2), np.array([-3.0, 1.0]), 20.0, np.ones(2))
    v, gain = solve(q, "affine", gain=True)
    assert gain == pytest.approx(4e-4)
    np.testing.assert_allclose(v * gain, [-2 + 2e-4, 2 + 2e-4], rtol=1e-12)
    v, gain = solve(q, "simplex", gain=True)
    assert (v.tolist(), gain) == ([0.0, 1.0], pytest.approx(1.0))
    v, gain = solve(
        Quadratic(np.eye(2), np.array([-3.0, -1.0]), 20.0, np.ones(2)), "simplex", gain=True
    )
    assert (v.tolist(), gain) == ([0.5, 0.5], 0.0)
