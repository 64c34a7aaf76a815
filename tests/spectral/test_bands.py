"""Bands: the table and what can be asked of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandfuse.errors import MismatchError
from bandfuse.spectral.bands import Bands

RED_NIR = Bands.of(["red", "nir"], source="a", wavelength_nm=[650, 850], fwhm_nm=[30, 40])
SWIR = Bands.of(["swir"], source="b", reason=["flagged bad (bbl)"])


def test_of_numbers_bands_from_one_and_leaves_unknown_columns_nan() -> None:
    table = Bands.of(["x", "y", "z"])
    assert table.index == (1, 2, 3)
    assert table.source == ("scene",) * 3
    assert table.reason == ("",) * 3
    assert np.isnan(table.wavelength_nm).all()
    assert np.isnan(table.fwhm_nm).all()


def test_columns_are_float64_whatever_comes() -> None:
    table = Bands.of(["x"], wavelength_nm=[np.float32(650)], fwhm_nm=[5])
    assert table.wavelength_nm.dtype == np.float64
    assert table.fwhm_nm.dtype == np.float64


@pytest.mark.parametrize("column", ["wavelength_nm", "fwhm_nm", "reason"])
def test_columns_of_different_length_are_refused(column: str) -> None:
    with pytest.raises(MismatchError, match="differ in length") as caught:
        Bands.of(["x", "y"], **{column: [1.0] if column != "reason" else [""]})  # type: ignore[arg-type]
    assert f"'{column}': 1" in str(caught.value)


def test_equality_compares_values_and_takes_nan_as_equal() -> None:
    assert Bands.of(["x"]) == Bands.of(["x"])
    assert RED_NIR + SWIR == RED_NIR + SWIR


@pytest.mark.parametrize(
    "other",
    [
        Bands.of(["x", "nir"], source="a", wavelength_nm=[650, 850], fwhm_nm=[30, 40]),
        Bands.of(["red", "nir"], source="b", wavelength_nm=[650, 850], fwhm_nm=[30, 40]),
        Bands.of(["red", "nir"], source="a", wavelength_nm=[651, 850], fwhm_nm=[30, 40]),
        Bands.of(["red", "nir"], source="a", wavelength_nm=[650, 850], fwhm_nm=[30, np.nan]),
        Bands.of(
            ["red", "nir"],
            source="a",
            wavelength_nm=[650, 850],
            fwhm_nm=[30, 40],
            reason=["", "dead"],
        ),
        RED_NIR.take([1, 0]),
        RED_NIR + SWIR,
        "red, nir",
    ],
)
def test_a_difference_in_any_column_makes_tables_unequal(other: object) -> None:
    assert other != RED_NIR


def test_tables_cannot_be_hashed_as_they_hold_arrays() -> None:
    with pytest.raises(TypeError):
        hash(RED_NIR)


def test_which_bands_are_good_is_found_once() -> None:
    """Asked for every band, it would cost the square of their number."""
    bands = Bands.of(["a", "b"], reason=["", "dead"])
    assert bands.good is bands.good
    with pytest.raises(ValueError, match="read-only"):
        bands.good[0] = False
    assert bands.dropping({0: "dead"}).good.tolist() == [False, False]
    assert bands.good.tolist() == [True, False]


def test_good_and_has_wavelengths() -> None:
    both = RED_NIR + SWIR
    assert both.good.tolist() == [True, True, False]
    # The band without a wavelength is bad, so it does not count.
    assert both.has_wavelengths
    assert not both.dropping({0: "dead", 1: "dead"}).has_wavelengths
    assert not Bands.of(["x"]).has_wavelengths
    assert not Bands.of([]).has_wavelengths


def test_sources_in_order_of_first_appearance() -> None:
    assert (SWIR + RED_NIR + SWIR).sources == ("b", "a")


def test_dropping_keeps_earlier_reasons_and_the_original() -> None:
    both = RED_NIR + SWIR
    dropped = both.dropping({1: "no valid pixel", 2: "constant (0)"})
    assert dropped.reason == ("", "no valid pixel", "flagged bad (bbl)")
    assert both.reason == ("", "", "flagged bad (bbl)")


def test_by_wavelength_sorts_or_keeps_the_order_where_one_is_unknown() -> None:
    table = Bands.of(["c", "a", "b", "?"], wavelength_nm=[900, 400, 500, np.nan])
    assert table.by_wavelength([0, 1, 2]) == [1, 2, 0]
    assert table.by_wavelength([0, 3, 1]) == [0, 3, 1]
    assert table.by_wavelength([]) == []


def test_label_names_number_name_and_wavelength() -> None:
    assert RED_NIR.label(1) == "band 2 (nir, 850.0 nm)"
    assert SWIR.label(0) == "band 1 (swir)"


NM = st.one_of(st.just(float("nan")), st.floats(300, 2500))
TABLES = st.lists(
    st.tuples(st.sampled_from(["", "red", "nir"]), NM, NM, st.sampled_from(["", "dead"])),
    max_size=6,
).map(
    lambda rows: Bands.of(
        [r[0] for r in rows],
        wavelength_nm=[r[1] for r in rows],
        fwhm_nm=[r[2] for r in rows],
        reason=[r[3] for r in rows],
    )
)


@given(TABLES, TABLES, TABLES)
def test_adding_tables_is_a_monoid(a: Bands, b: Bands, c: Bands) -> None:
    empty = Bands.of([])
    assert (a + b) + c == a + (b + c)
    assert a + empty == a
    assert empty + a == a
    assert len(a + b) == len(a) + len(b)


@given(TABLES, TABLES)
def test_take_undoes_adding(a: Bands, b: Bands) -> None:
    both = a + b
    assert both.take(range(len(a))) == a
    assert both.take(range(len(a), len(both))) == b


@given(TABLES, st.data())
def test_taking_twice_is_taking_once(table: Bands, data: st.DataObject) -> None:
    places = st.lists(st.integers(0, len(table) - 1), max_size=5) if len(table) else st.just([])
    outer = data.draw(places)
    inner = data.draw(
        st.lists(st.integers(0, len(outer) - 1), max_size=5) if outer else st.just([])
    )
    assert table.take(outer).take(inner) == table.take([outer[i] for i in inner])
    assert table.take(outer).good.tolist() == [bool(table.good[i]) for i in outer]
