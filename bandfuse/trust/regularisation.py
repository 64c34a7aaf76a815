"""Regularisation: its strengths and the constraint, chosen by block cross-validation, from the
folds' moments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from bandfuse.solve.bandpass.window import Tag
from bandfuse.solve.exact import CONE, Quadratic
from bandfuse.spectral.bands import Floats
from bandfuse.trust.fold_problems import (
    Active,
    FoldProblem,
    Minimiser,
    Strength,
    block_errors,
    minimiser,
)
from bandfuse.trust.lobes import Lobe, lobe_of

WORTH, DEARER = 1e-3, 1.1
"""Physical weights (a band-pass response, or non-negative ones) are taken unless they cost more
than this part of the target's variance, and more than this multiple of the error of free ones."""

APART = 0.02
"""Most of its weight that a response of one lobe may have apart from it: targets of two lobes have
more in its smaller one; targets of published responses and of Gaussians have next to none."""

DECADES = tuple(10.0**e for e in range(-9, 1))


Tried = tuple[Strength, float]
"""A strength and its held-out error as a part of the target's variance."""


@dataclass(frozen=True, eq=False)
class Choice:
    """A constraint and strengths, with their held-out error as a part of the target's variance, and
    the curves that were looked at; ``lobe``: the response, of a band-pass one. ``instead``: it
    stands in the place of a band-pass response that was asked for and cannot be told."""

    constraint: str
    strength: Strength
    error: float
    curve: list[Tried] = field(default_factory=list)
    lobe: Lobe | None = None
    instead: bool = False

    def weights(self, case: FoldProblem) -> Floats:
        """(P,) what is learned from all pixels."""
        return self.lobe.weights if self.lobe is not None else self._solver(case)(case.whole)

    def without(self, case: FoldProblem) -> list[Floats]:
        """(P,) what is learned without each fold."""
        if self.lobe is not None:
            return [*self.lobe.without_folds]
        return [*map(self._solver(case), case.trains)]

    def _solver(self, case: FoldProblem) -> Callable[[Quadratic], Floats]:
        solve = Minimiser(solved_as(self, case.terms.gain))
        return lambda q: solve(case.penalised(q, self.strength))


def solved_as(choice: Choice, gain: bool) -> str:
    """The constraint on gain · v: a gain takes the sum's constraint away, and a band-pass response
    is made of non-negative weights."""
    if choice.constraint == "bandpass":
        return "nonnegative"
    return CONE.get(choice.constraint, choice.constraint) if gain else choice.constraint


@dataclass(frozen=True)
class Wish:
    """What is given and what is to be chosen: None stands for auto."""

    constraint: str
    ridge: float | None = 0.0
    smooth: float | None = 0.0
    sparse: float | None = 0.0

    @property
    def open(self) -> bool:
        """Whether no strength is given."""
        return self.ridge is None and self.smooth is None and not self.sparse


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
            v = case.ridged(i, train, strength.ridge)
        else:
            v, active[i] = minimiser(case.penalised(train, strength), constraint, active[i])
        error += case.shares[i] * test(v)
    return error / len(case.rows)


def choose(case: FoldProblem, wish: Wish, *, gain: bool, tag: Tag | None = None) -> Choice:
    """The best of what the wish leaves open.

    ``auto`` compares a band-pass response, where no strength is given, with non-negative + smooth
    weights, and the better of the two with free + ridge + smooth ones; free ones are taken if the
    others cost more than :data:`WORTH` and :data:`DEARER`. Without folds nothing can be chosen:
    strengths that are open are zero, auto is non-negative. ``tag``: what the target's file says of
    its band."""
    if wish.constraint == "bandpass":
        lobe = lobe_of(case, tag)
        if lobe is not None:
            return _of_lobe(case, lobe)
        return replace(choose(case, Wish("nonnegative"), gain=gain), instead=True)
    if wish.constraint == "auto":
        physical = _physical(case, wish, gain=gain, tag=tag)
        if not case.trains or physical.error <= WORTH:
            return physical
        signed = choose(case, Wish("free", wish.ridge, wish.smooth, wish.sparse), gain=gain)
        most = max(signed.error + WORTH, DEARER * signed.error)
        return physical if physical.error <= most else signed
    constraint = CONE.get(wish.constraint, wish.constraint) if gain else wish.constraint
    return replace(_search(case, constraint, wish), constraint=wish.constraint)


def _physical(case: FoldProblem, wish: Wish, *, gain: bool, tag: Tag | None) -> Choice:
    """A band-pass response, unless its weights fall into several lobes, or non-negative + smooth
    weights are better on held-out blocks by more than a standard error of the differences between
    blocks."""
    ridge = 0.0 if wish.ridge is None else wish.ridge
    plain = choose(case, Wish("nonnegative", ridge, wish.smooth, wish.sparse), gain=gain)
    fits = wish.open and len(case.trains) > 1
    lobe = lobe_of(case, tag, most_apart=APART) if fits else None
    if lobe is None:
        return plain
    band = replace(_of_lobe(case, lobe), curve=plain.curve)
    better = block_errors(case, band.without(case)) - block_errors(case, plain.without(case))
    margin = float(np.std(better, ddof=1)) * np.sqrt(len(better))
    return plain if float(better.sum()) > margin else band


def _of_lobe(case: FoldProblem, lobe: Lobe) -> Choice:
    """A band-pass response as a choice."""
    choice = Choice("bandpass", Strength(), float("nan"), lobe=lobe)
    if not case.trains:
        return choice
    parts = zip(case.shares, case.tests, choice.without(case), strict=True)
    return replace(choice, error=float(sum(share * test(v) for share, test, v in parts)))


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
