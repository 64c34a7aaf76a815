"""Regularisation: its strengths and the constraint, chosen by block cross-validation, from the
folds' moments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from bandfuse.solve.exact import CONE
from bandfuse.trust.fold_problems import Active, FoldProblem, Strength, minimiser

WORTH = 1e-3
"""Physical (non-negative) weights are taken unless they cost more than this part of the target's
variance."""

DECADES = tuple(10.0**e for e in range(-9, 1))


Tried = tuple[Strength, float]
"""A strength and its held-out error as a part of the target's variance."""


@dataclass(frozen=True, eq=False)
class Choice:
    """A constraint and strengths, with their held-out error as a part of the target's variance, and
    the curves that were looked at."""

    constraint: str
    strength: Strength
    error: float
    curve: list[Tried] = field(default_factory=list)


def solved_as(choice: Choice, gain: bool) -> str:
    """The constraint on gain · v: a gain takes the sum's constraint away."""
    return CONE.get(choice.constraint, choice.constraint) if gain else choice.constraint


@dataclass(frozen=True)
class Wish:
    """What is given and what is to be chosen: None stands for auto."""

    constraint: str
    ridge: float | None = 0.0
    smooth: float | None = 0.0
    sparse: float | None = 0.0


def held_out_error(
    case: FoldProblem, constraint: str, strength: Strength, active: list[Active | None]
) -> float:
    """Σ over folds of the squared error on the held-out pixels, as a part of the target's variance
    per output.

    ``active`` (one per fold) is where the last problem ended, and is kept up.
    """
    error = 0.0
    for i, (train, test) in enumerate(zip(case.trains, case.tests, strict=True)):
        if constraint == "free" and not (strength.smooth or strength.sparse):
            v = case.ridged(i, strength.ridge)
        else:
            v, active[i] = minimiser(case.penalised(train, strength), constraint, active[i])
        error += case.shares[i] * test(v)
    return error / len(case.rows)


def choose(case: FoldProblem, wish: Wish, *, gain: bool) -> Choice:
    """The best of what the wish leaves open.

    ``auto`` compares non-negative + smooth with free + ridge + smooth, and takes the first unless
    it costs more than :data:`WORTH`; with an error below that it cannot. Without folds nothing can
    be chosen: strengths that are open are zero, auto is non-negative."""
    if wish.constraint == "auto":
        ridge = 0.0 if wish.ridge is None else wish.ridge
        physical = choose(case, Wish("nonnegative", ridge, wish.smooth, wish.sparse), gain=gain)
        if not case.trains or physical.error <= WORTH:
            return physical
        signed = choose(case, Wish("free", wish.ridge, wish.smooth, wish.sparse), gain=gain)
        return physical if physical.error <= signed.error + WORTH else signed
    found = _search(
        case, CONE.get(wish.constraint, wish.constraint) if gain else wish.constraint, wish
    )
    return Choice(wish.constraint, found.strength, found.error, found.curve)


def _search(case: FoldProblem, constraint: str, wish: Wish) -> Choice:
    """Coordinate search: ridge by decades, then smooth by decades and half decades, then sparse by
    decades."""
    now = Strength(wish.ridge or 0.0, wish.smooth or 0.0, wish.sparse or 0.0)
    if not case.trains:
        return Choice(constraint, now, float("nan"))
    active: list[Active | None] = [None] * len(case.trains)
    curve: list[Tried] = []

    def try_all(strengths: Sequence[Strength]) -> Strength:
        for s in strengths:
            curve.append((s, held_out_error(case, constraint, s, active)))
        return min(curve, key=lambda row: row[1])[0]

    now = try_all([now])
    if wish.ridge is None:
        now = try_all([replace(now, ridge=r) for r in DECADES])
    if wish.smooth is None:
        now = try_all([replace(now, smooth=s) for s in DECADES])
        if now.smooth > 0:
            now = try_all([replace(now, smooth=now.smooth * f) for f in (10**-0.5, 10**0.5)])
    if wish.sparse is None:
        now = try_all([replace(now, sparse=s) for s in DECADES])
    error = min(row[1] for row in curve)
    return Choice(constraint, now, error, curve)
