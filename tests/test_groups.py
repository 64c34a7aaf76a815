"""Groups: what a SPEC names, what is refused, and what the message says."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandfuse.bands import Bands
from bandfuse.errors import GroupError
from bandfuse.groups import Group, named, one, per_source, select, split, usable

VNIR = Bands.of(["a", "b", "c", "d"], source="vnir", wavelength_nm=[450, 550, 650, 850])
SWIR = Bands.of(["e", "f"], source="swir", wavelength_nm=[1600, 2200], reason=["", "flagged bad (bbl)"])
BOTH = VNIR + SWIR
NAMELESS = Bands.of(["a", "b", "c"])


@pytest.mark.parametrize(
    ("spec", "positions"),
    [
        ("450-650nm", [0, 1, 2]),
        ("450 - 650 nm", [0, 1, 2]),
        ("0.45-0.65um", [0, 1, 2]),
        ("0.45-0.65µm", [0, 1, 2]),
        ("0.45-0.65μm", [0, 1, 2]),
        ("450.5-650NM", [1, 2]),
        ("550-550nm", [1]),
        ("1-3", [0, 1, 2]),
        ("2", [1]),
        ("5,1-2", [0, 1, 4]),
        ("1-3, 2-4", [0, 1, 2, 3]),
        ("1-1", [0]),
        ("800-900nm,1", [0, 3]),
        ("all", [0, 1, 2, 3, 4, 5]),
        ("source:swir", [4, 5]),
        ("source:swir,1", [0, 4, 5]),
    ],
)
def test_select(spec: str, positions: list[int]) -> None:
    assert select(spec, BOTH) == positions


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("900-1000nm", ["'900-1000nm' holds no band", "got 900 to 1000 nm", "450.0 to 2200.0 nm"]),
        ("650-450nm", ["runs backwards", "expected 450-650nm"]),
        ("0", ["outside the cube", "got 0", "numbers from 1 to 6"]),
        ("7", ["outside the cube", "got 7", "numbers from 1 to 6"]),
        ("3-7", ["outside the cube", "got 3-7"]),
        ("3-2", ["runs backwards", "expected 2-3"]),
        ("source:swri", ["no source 'swri'", "Did you mean 'swir'?"]),
        ("red", ["'red' cannot be read", "450-520nm", "equal:"]),
        ("", ["cannot be read", "got ''"]),
        ("1,,2", ["'1,,2' cannot be read", "got ''"]),
        ("450-550", ["outside the cube"]),
        ("-3", ["cannot be read"]),
    ],
)
def test_select_refuses_and_says_why(spec: str, said: list[str]) -> None:
    with pytest.raises(GroupError) as caught:
        select(spec, BOTH)
    for part in said:
        assert part in str(caught.value)


def test_a_wavelength_range_needs_wavelengths() -> None:
    with pytest.raises(GroupError, match="needs wavelengths") as caught:
        select("450-500nm", NAMELESS)
    assert "1-3" in caught.value.remedy


def test_bands_without_wavelength_are_in_no_range() -> None:
    table = VNIR + NAMELESS
    assert select("1-9999nm", table) == [0, 1, 2, 3]


@given(st.integers(1, 9), st.permutations(list(range(9))), st.sets(st.integers(0, 8), max_size=4))
def test_equal_splits_good_bands_in_wavelength_order(k: int, order: list[int], bad: set[int]) -> None:
    bands = Bands.of([f"b{i}" for i in order], wavelength_nm=[400 + 10 * i for i in order]).dropping(
        dict.fromkeys(bad, "dead")
    )
    good = 9 - len(bad)
    if k > good:
        with pytest.raises(GroupError, match=f"from 1 to {good}"):
            split(f"equal:{k}", bands)
        return
    groups = split(f"equal:{k}", bands)
    sizes = [len(g) for g in groups]
    assert [g.name for g in groups] == [f"g{i}" for i in range(1, k + 1)]
    assert max(sizes) - min(sizes) <= 1
    assert sorted(p for g in groups for p in g.positions) == [i for i in range(9) if i not in bad]
    ranges = [bands.wavelength_nm[list(g.positions)] for g in groups]
    assert all(a.max() < b.min() for a, b in pairwise(ranges))
    assert all(list(g.positions) == sorted(g.positions) for g in groups)


@pytest.mark.parametrize("spec", ["equal:0", "equal:", "equal:-2", "equal:two", "equal:2.5", "equal:6"])
def test_equal_refuses_counts_that_make_no_sense(spec: str) -> None:
    with pytest.raises(GroupError, match="a whole number from 1 to 5, the good bands") as caught:
        split(spec, BOTH)
    assert repr(spec) in str(caught.value)


def test_split_makes_one_group_of_any_other_spec() -> None:
    assert split("1-3,5", BOTH) == [Group("1-3,5", (0, 1, 2, 4))]
    assert split("source:vnir", BOTH) == [Group("source:vnir", (0, 1, 2, 3))]


def test_named_one_and_per_source() -> None:
    assert named({"vis": "450-650nm", "last": "6"}, BOTH) == [Group("vis", (0, 1, 2)), Group("last", (5,))]
    assert one(BOTH) == [Group("all", (0, 1, 2, 3, 4))]
    assert per_source(BOTH) == [Group("vnir", (0, 1, 2, 3)), Group("swir", (4, 5))]


def test_usable_leaves_bad_bands_out() -> None:
    assert usable(per_source(BOTH), BOTH) == [Group("vnir", (0, 1, 2, 3)), Group("swir", (4,))]


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        (
            [Group("bad", (5,))],
            ["'bad' is empty", "band 6 (f, 2200.0 nm): flagged bad (bbl)", "at least one good band"],
        ),
        ([Group("none", ())], ["'none' is empty", "no bands"]),
        ([Group("x", (0,)), Group("x", (1,))], ["two groups are named 'x'"]),
        ([], ["there are no groups"]),
    ],
)
def test_usable_refuses_empty_and_double_groups(groups: list[Group], said: list[str]) -> None:
    with pytest.raises(GroupError) as caught:
        usable(groups, BOTH)
    for part in said:
        assert part in str(caught.value)


def test_usable_keeps_the_order_of_the_bands() -> None:
    assert usable([Group("x", (3, 0, 5, 1))], BOTH) == [Group("x", (3, 0, 1))]
    assert np.array_equal(BOTH.good, [True, True, True, True, True, False])
