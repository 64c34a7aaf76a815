"""Metadata: from the tags of a raster, as GDAL gives them, to a band table and messages about guesses."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from bandfuse.metadata import RasterTags, band_table, envi_list, number

NM = ["450.5", "550", "650"]
UM = ["0.4505", "0.55", "0.65"]
TRUE_NM = [450.5, 550.0, 650.0]


def tags(
    n: int = 3,
    *,
    descriptions: Sequence[str | None] | None = None,
    bands: Sequence[dict[str, str]] | None = None,
    imagery: Sequence[dict[str, str]] | None = None,
    **envi: str,
) -> RasterTags:
    """Tags of n bands; what is not given is absent."""
    return RasterTags(descriptions or [None] * n, bands or [{}] * n, imagery or [{}] * n, envi)


def braces(items: Sequence[object]) -> str:
    return "{ " + " , ".join(str(i) for i in items) + " }"


def band_tags(values: Sequence[str], **more: str) -> list[dict[str, str]]:
    return [{"wavelength": v, **more} for v in values]


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("{1, 2,3}", ["1", "2", "3"]),
        ("{ 8.41 , 8.52 }", ["8.41", "8.52"]),
        ("{a b, c}", ["a b", "c"]),
        ("{\n 1,\n 2\n}", ["1", "2"]),
        ("1, 2", ["1", "2"]),
        ("{5}", ["5"]),
        ("{}", []),
        ("{  }", []),
        ("", []),
        (None, []),
    ],
)
def test_envi_list(text: str | None, items: list[str]) -> None:
    assert envi_list(text) == items


@pytest.mark.parametrize(
    ("text", "value"),
    [("1.5", 1.5), (" 2e3 ", 2000.0), ("-1", -1.0), ("nan", np.nan), ("inf", np.nan), ("x", np.nan), (None, np.nan)],
)
def test_number_is_finite_or_nan(text: str | None, value: float) -> None:
    assert number(text) == pytest.approx(value, nan_ok=True)


@pytest.mark.parametrize(
    ("unit", "values"),
    [
        ("Micrometers", UM),
        ("Nanometers", NM),
        ("nm", NM),
        ("nanometers", NM),
        ("NANOMETERS", NM),
        ("Nanometer", NM),
        (" nm ", NM),
        ("um", UM),
        ("µm", UM),
        ("μm", UM),
        ("microns", UM),
    ],
)
@pytest.mark.parametrize("place", ["band tags", "ENVI header"])
def test_known_units_are_believed_without_a_message(unit: str, values: list[str], place: str) -> None:
    if place == "band tags":
        given = tags(bands=band_tags(values, wavelength_units=unit))
    else:
        given = tags(wavelength=braces(values), wavelength_units=unit)
    table, messages = band_table(given, "cube")
    assert table.wavelength_nm == pytest.approx(TRUE_NM)
    assert messages == []


@pytest.mark.parametrize(("values", "name", "middle"), [(NM, "nm", "550"), (UM, "µm", "0.55")])
@pytest.mark.parametrize("unit", ["Unknown", None, "Index", ""])
@pytest.mark.parametrize("place", ["band tags", "the ENVI header"])
def test_units_that_say_nothing_are_guessed_with_a_message(
    values: list[str], name: str, middle: str, unit: str | None, place: str
) -> None:
    said_units = {} if unit is None else {"wavelength_units": unit}
    if place == "band tags":
        given = tags(bands=band_tags(values, **said_units))
    else:
        given = tags(wavelength=braces(values), **said_units)
    table, messages = band_table(given, "cube")
    assert table.wavelength_nm == pytest.approx(TRUE_NM)
    said = f"units {unit!r}" if unit else "no units"
    assert messages == [f"wavelengths in {place} have {said}; taken as {name} from their size ({middle})"]


@pytest.mark.parametrize(
    ("unit", "values", "name"), [("Micrometers", NM, "nm"), ("um", NM, "nm"), ("Nanometers", UM, "µm")]
)
def test_units_that_the_numbers_contradict_are_overruled_with_a_message(
    unit: str, values: list[str], name: str
) -> None:
    table, messages = band_table(tags(wavelength=braces(values), wavelength_units=unit), "cube")
    assert table.wavelength_nm == pytest.approx(TRUE_NM)
    assert len(messages) == 1
    assert f"say {unit!r} but are {name} by their size" in messages[0]
    assert f"taken as {name}" in messages[0]


def test_bands_whose_units_contradict_each_other_are_guessed_and_the_message_names_both() -> None:
    given = tags(
        bands=[
            {"wavelength": "450.5", "wavelength_units": "Nanometers"},
            {"wavelength": "550", "wavelength_units": "Micrometers"},
            {"wavelength": "650", "wavelength_units": "Nanometers"},
        ]
    )
    table, messages = band_table(given, "cube")
    assert table.wavelength_nm == pytest.approx(TRUE_NM)
    assert len(messages) == 1
    assert "Micrometers" in messages[0]
    assert "Nanometers" in messages[0]
    assert "taken as nm" in messages[0]


def test_widths_have_the_units_of_the_wavelengths() -> None:
    table, _ = band_table(
        tags(wavelength=braces(UM), fwhm=braces(["0.01", "0.02", "0.03"]), wavelength_units="Micrometers"), "cube"
    )
    assert table.fwhm_nm == pytest.approx([10, 20, 30])


def test_keys_of_band_tags_are_read_in_any_case() -> None:
    given = tags(bands=[{"Wavelength": v, "FWHM": "0.01", "Wavelength_Units": "Micrometers"} for v in UM])
    table, messages = band_table(given, "cube")
    assert table.wavelength_nm == pytest.approx(TRUE_NM)
    assert table.fwhm_nm == pytest.approx([10, 10, 10])
    assert messages == []


def test_band_tags_come_first_and_take_a_missing_width_from_the_header() -> None:
    given = tags(
        bands=band_tags(NM, wavelength_units="Nanometers"),
        imagery=[{"CENTRAL_WAVELENGTH_UM": "0.9", "FWHM_UM": "0.9"}] * 3,
        wavelength=braces([1, 2, 3]),
        fwhm=braces([5, 6, 7]),
    )
    table, messages = band_table(given, "cube")
    assert table.wavelength_nm == pytest.approx(TRUE_NM)
    assert table.fwhm_nm == pytest.approx([5, 6, 7])
    assert messages == []


def test_the_envi_header_comes_before_imagery() -> None:
    given = tags(imagery=[{"CENTRAL_WAVELENGTH_UM": "0.451"}] * 3, wavelength=braces(NM), wavelength_units="Nanometers")
    assert band_table(given, "cube")[0].wavelength_nm == pytest.approx(TRUE_NM)


def test_imagery_is_the_next_to_last_resort_and_says_that_it_is_rounded() -> None:
    imagery = [{"CENTRAL_WAVELENGTH_UM": w, "FWHM_UM": "0.010"} for w in ("0.451", "0.550")]
    table, messages = band_table(tags(imagery=[*imagery, {}]), "cube")
    assert table.wavelength_nm == pytest.approx([451, 550, np.nan], nan_ok=True)
    assert table.fwhm_nm == pytest.approx([10, 10, np.nan], nan_ok=True)
    assert messages == ["wavelengths come from the IMAGERY domain, which may be rounded to 1 nm"]


@pytest.mark.parametrize(
    "names",
    [
        ["450.5 nm", "550 nm", "650 nm"],
        ["B1 450.5nm", "B2 550nm", "B3 650nm"],
        ["blue (450.5 Nanometers)", "green (550 Nanometers)", "red (650 Nanometers)"],
        ["0.4505 um", "0.55 Micrometers", "0.65 µm"],
        # A Greek mu looks the same as the micro sign.
        ["0.4505 μm", "0.55 μm", "0.65 μm"],
        ["4.505e2 nm", "5.5E+2 nm", "6.5e2 nm"],
    ],
)
def test_names_are_the_last_resort(names: list[str]) -> None:
    table, messages = band_table(tags(descriptions=names), "cube")
    assert table.wavelength_nm == pytest.approx(TRUE_NM)
    assert np.isnan(table.fwhm_nm).all()
    assert messages == ["wavelengths come from the band names"]


@pytest.mark.parametrize(
    "names", [["450 nm", "green", "650 nm"], ["450 nm", None, "650 nm"], ["B1", "B2", "B3"], ["450", "550", "650"]]
)
def test_names_count_only_if_every_band_has_its_wavelength_and_unit(names: list[str | None]) -> None:
    table, messages = band_table(tags(descriptions=names), "cube")
    assert np.isnan(table.wavelength_nm).all()
    assert messages == []


def test_without_any_tags_bands_are_numbered_and_nothing_is_claimed() -> None:
    table, messages = band_table(tags(), "cube")
    assert table.name == ("b1", "b2", "b3")
    assert table.source == ("cube",) * 3
    assert table.index == (1, 2, 3)
    assert table.good.all()
    assert not table.has_wavelengths
    assert messages == []


@pytest.mark.parametrize(
    ("description", "name"),
    [
        ("blue (450.5 Nanometers)", "blue"),
        ("blue (0.4505 Micrometers)", "blue"),
        ("blue (450.5 nm)", "blue"),
        ("blue", "blue"),
        (" blue ", "blue"),
        ("450.5 Nanometers", "450.5 Nanometers"),
        ("(450.5 nm)", "(450.5 nm)"),
        ("B8A (narrow)", "B8A (narrow)"),
        ("B1 450.5nm", "B1 450.5nm"),
        ("", "b1"),
        (None, "b1"),
    ],
)
def test_names_lose_the_wavelength_that_gdal_appends(description: str | None, name: str) -> None:
    assert band_table(tags(1, descriptions=[description]), "cube")[0].name == (name,)


@pytest.mark.parametrize("units", ["Unknown", None])
def test_names_lose_the_wavelength_that_gdal_appends_without_units(units: str | None) -> None:
    """GDAL 3.x for a header with ``band names`` and ``wavelength``, but without usable ``wavelength units``."""
    said = {} if units is None else {"wavelength_units": units}
    given = tags(
        descriptions=["blue (450.5)", "green (550)", "stage (2)"],
        bands=band_tags(NM),
        wavelength=braces(NM),
        **said,
    )
    # The number of the last name is not the band's wavelength: it belongs to the name.
    assert band_table(given, "cube")[0].name == ("blue", "green", "stage (2)")


@pytest.mark.parametrize(
    ("flags", "good"),
    [
        ("{1, 0, 1}", [True, False, True]),
        ("{1.0, 0.0, 1.0}", [True, False, True]),
        ("{1,1,1}", [True, True, True]),
        ("{0, x, }", [False, True, True]),
    ],
)
def test_bad_band_list(flags: str, good: list[bool]) -> None:
    table, _ = band_table(tags(bbl=flags), "cube")
    assert table.good.tolist() == good
    assert {r for r, g in zip(table.reason, good, strict=True) if not g} <= {"flagged bad (bbl)"}


def test_a_band_s_own_flag_comes_before_the_list() -> None:
    table, _ = band_table(tags(bands=[{"bbl": "0"}, {"bbl": "1"}, {}], bbl="{1, 0, 0}"), "cube")
    assert table.good.tolist() == [False, True, False]


def test_reasons_that_are_known_otherwise_come_first() -> None:
    table, _ = band_table(tags(bbl="{0, 1, 1}"), "cube", {0: "alpha band", 2: "alpha band"})
    assert table.reason == ("alpha band", "", "alpha band")


SHORT_AND_LONG = [["1", "0"], ["1", "0", "1", "1"]]


@pytest.mark.parametrize("items", SHORT_AND_LONG)
def test_a_bad_band_list_of_the_wrong_length_is_not_used_and_the_message_says_so(items: list[str]) -> None:
    table, messages = band_table(tags(bbl=braces(items)), "cube")
    assert table.good.all()
    assert len(messages) == 1
    assert "bbl" in messages[0]
    assert str(len(items)) in messages[0]
    assert "3" in messages[0]


@pytest.mark.parametrize("key", ["wavelength", "fwhm"])
@pytest.mark.parametrize("items", [NM[:2], [*NM, "750"]])
def test_a_list_of_the_wrong_length_is_not_used_and_the_message_says_so(key: str, items: list[str]) -> None:
    lists = {"wavelength": braces(NM), "wavelength_units": "Nanometers", key: braces(items)}
    table, messages = band_table(tags(**lists), "cube")
    assert np.isnan(table.wavelength_nm if key == "wavelength" else table.fwhm_nm).all()
    assert len(messages) == 1
    assert key in messages[0]
    assert str(len(items)) in messages[0]


def test_items_that_are_no_numbers_are_unknown() -> None:
    table, _ = band_table(tags(wavelength="{450.5, n/a, 650}", wavelength_units="nm"), "cube")
    assert table.wavelength_nm == pytest.approx([450.5, np.nan, 650], nan_ok=True)


@pytest.mark.parametrize("unit", ["Wavenumber", "GHz"])
def test_units_that_are_no_lengths_give_no_wavelengths_and_a_message(unit: str) -> None:
    table, messages = band_table(tags(wavelength=braces(NM), wavelength_units=unit), "cube")
    assert np.isnan(table.wavelength_nm).all()
    assert len(messages) == 1
    assert repr(unit) in messages[0]


def test_wavelengths_that_cannot_be_are_not_used_and_a_message_says_so() -> None:
    table, messages = band_table(tags(wavelength="{450, 1e300, -5}", wavelength_units="nm"), "cube")
    assert table.wavelength_nm == pytest.approx([450, np.nan, np.nan], nan_ok=True)
    assert any("2 wavelengths lie outside" in m for m in messages)
