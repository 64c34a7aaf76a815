"""Kept: what is made again, as there is no room to keep it, gives the bits of what is kept."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import same_bits
from makers import make

from bandfuse.trust import fold_problems as module
from bandfuse.trust.baselines import baselines
from bandfuse.trust.kept import KEPT, Keeper
from bandfuse.trust.regularisation import Wish, choose

WISHES = {
    "free": Wish("free", None, 0.0),
    "smooth": Wish("free", 1e-4, None),
    "sparse": Wish("free", 0.0, 0.0, 1e-3),
    "nonnegative": Wish("nonnegative", 0.0, None),
    "simplex": Wish("simplex", 0.0, None),
    "affine": Wish("affine"),
    "bandpass": Wish("bandpass"),
    "auto": Wish("auto", None, None),
}


def learned(gain: bool, kind: str, bands: int) -> list[np.ndarray]:
    """All that is learned of three outputs, and its scores."""
    random = np.random.default_rng(3)
    weights = np.exp(-0.5 * ((np.arange(bands) - [[2], [5], [8]]) / 1.5) ** 2)
    terms = make(weights + 0.05 * random.normal(size=weights.shape), 0.5).terms(
        gain=gain, kind=kind
    )
    found: list[np.ndarray] = []
    for wish in WISHES.values():
        problems = module.fold_problems(terms)
        choices = [choose(p, wish, gain=gain) for p in problems]
        for choice, problem in zip(choices, problems, strict=True):
            found += [choice.weights(problem), *choice.without(problem)]
            found.append(np.array([choice.error, *(error for _, error in choice.curve)]))
    table = baselines(terms, module.fold_problems(terms), np.ones(3))
    for rows in table.values():
        found += [np.array([*o.values()]) for part in rows.values() for o in part.outputs]
    return found


@pytest.mark.one_in(2)
@pytest.mark.parametrize(
    ("gain", "kind", "bands"),
    [(False, "channel", 12), (True, "channel", 12), (False, "scalar", 12), (False, "channel", 1)],
)
def test_no_room_changes_no_bit(
    monkeypatch: pytest.MonkeyPatch, gain: bool, kind: str, bands: int
) -> None:
    kept = learned(gain, kind, bands)
    for room in (0, 3 * 8 * bands**2):
        monkeypatch.setattr(module, "KEPT", room)
        made_again = learned(gain, kind, bands)
        assert len(made_again) == len(kept) > 24
        for one, other in zip(made_again, kept, strict=True):
            same_bits(one, other)


def test_what_is_kept_is_not_made_again_and_never_more_than_there_is_room_for() -> None:
    made: list[tuple[str, int]] = []
    keeper = Keeper(40)

    def ask(owner: str, key: int) -> None:
        def new() -> tuple[str, int]:
            made.append((owner, key))
            return owner, key

        assert keeper.get(owner, key, new, 10) == (owner, key)

    for _ in range(3):  # the fifth finds no room, and drives none of its owner's out
        for key in range(5):
            ask("a", key)
    assert made == [*(("a", key) for key in range(5)), ("a", 4), ("a", 4)]
    made.clear()
    ask("b", 0)  # all of the others' go
    ask("b", 0)
    ask("a", 0)
    assert made == [("b", 0), ("a", 0)]
    assert KEPT >= 8 * 1000**2 * 12  # a whole problem of 1 000 weights and five folds
