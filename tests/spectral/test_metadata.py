"""Metadata: from the tags of a raster, as GDAL gives them, to a band table and messages about
guesses."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from helpers import same_bits
from rasters import cli, listing, ok, spectra, write_tiff

from bandfuse.model.fusion import Fusion
from bandfuse.model.model import Model
from bandfuse.model.weightsfile import dumps, load
from bandfuse.raster import describe
from bandfuse.spectral.bands import Bands
from bandfuse.spectral.detectors import without_overlaps
from bandfuse.spectral.headers import Stated, envi_list
from bandfuse.spectral.metadata import RasterTags, band_table
from bandfuse.spectral.units import number

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
    [
        ("1.5", 1.5),
        (" 2e3 ", 2000.0),
        ("-1", -1.0),
        ("nan", np.nan),
        ("inf", np.nan),
        ("x", np.nan),
        (None, np.nan),
    ],
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
def test_known_units_are_believed_without_a_message(
    unit: str, values: list[str], place: str
) -> None:
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
    assert messages == [
        f"wavelengths in {place} have {said}; taken as {name} from their size ({middle})"
    ]


@pytest.mark.parametrize(
    ("unit", "values", "name"),
    [("Micrometers", NM, "nm"), ("um", NM, "nm"), ("Nanometers", UM, "µm")],
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
        tags(
            wavelength=braces(UM),
            fwhm=braces(["0.01", "0.02", "0.03"]),
            wavelength_units="Micrometers",
        ),
        "cube",
    )
    assert table.fwhm_nm == pytest.approx([10, 20, 30])


def test_keys_of_band_tags_are_read_in_any_case() -> None:
    given = tags(
        bands=[{"Wavelength": v, "FWHM": "0.01", "Wavelength_Units": "Micrometers"} for v in UM]
    )
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
    given = tags(
        imagery=[{"CENTRAL_WAVELENGTH_UM": "0.451"}] * 3,
        wavelength=braces(NM),
        wavelength_units="Nanometers",
    )
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
    "names",
    [
        ["450 nm", "green", "650 nm"],
        ["450 nm", None, "650 nm"],
        ["B1", "B2", "B3"],
        ["450", "550", "650"],
    ],
)
def test_names_count_only_if_every_band_has_its_wavelength_and_unit(
    names: list[str | None],
) -> None:
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
    """GDAL 3.x for a header with ``band names`` and ``wavelength``, but without usable ``wavelength
    units``."""
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
def test_a_bad_band_list_of_the_wrong_length_is_not_used_and_the_message_says_so(
    items: list[str],
) -> None:
    table, messages = band_table(tags(bbl=braces(items)), "cube")
    assert table.good.all()
    assert len(messages) == 1
    assert "bbl" in messages[0]
    assert str(len(items)) in messages[0]
    assert "3" in messages[0]


@pytest.mark.parametrize("key", ["wavelength", "fwhm"])
@pytest.mark.parametrize("items", [NM[:2], [*NM, "750"]])
def test_a_list_of_the_wrong_length_is_not_used_and_the_message_says_so(
    key: str, items: list[str]
) -> None:
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


# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("unit", "factor"),
    [
        *((u, 1.0) for u in ("Nanometer", "nanometre", "NANOMETRES", "[nm]", "(nm)", "nm.", "n m")),
        *(
            (u, 1e-3)
            for u in ("Micron", "Microns", "micrometre", "µm", "μm", "um", "Micro meters", "UM")
        ),
        *((u, 10.0) for u in ("Angstroms", "Å", "ångström")),
        *((u, 1e-6) for u in ("mm", "Millimeters")),
        *((u, 1e-9) for u in ("m", "Meters")),
    ],
)
def test_other_spellings_of_units(unit: str, factor: float) -> None:
    values = [repr(nm * factor) for nm in TRUE_NM]
    table, messages = band_table(tags(bands=band_tags(values, wavelength_units=unit)), "cube")
    assert table.wavelength_nm == pytest.approx(TRUE_NM)
    assert messages == []


@pytest.mark.parametrize("unit", ["Wavenumber", "cm-1", "1/cm", "GHz", "MHz", "eV"])
def test_no_length_is_taken_for_one_and_what_comes_next_is_read(unit: str) -> None:
    imagery = [{"CENTRAL_WAVELENGTH_UM": f"{nm / 1e3:.6f}"} for nm in TRUE_NM]
    table, messages = band_table(
        tags(imagery=imagery, wavelength=braces(NM), wavelength_units=unit), "cube"
    )
    assert table.wavelength_nm == pytest.approx(TRUE_NM)
    assert [m.code for m in messages] == ["units-not-length"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("unit", ["Index", "Unknown", None])
def test_a_count_of_the_bands_is_no_wavelength(unit: str | None) -> None:
    said = {} if unit is None else {"wavelength_units": unit}
    table, messages = band_table(tags(wavelength="{1, 2, 3}", **said), "cube")
    assert not table.has_wavelengths
    assert "counts the bands" in messages[0]


def test_a_unit_may_stand_behind_its_number_or_in_the_dataset() -> None:
    behind, quiet = band_table(tags(bands=[{"wavelength": f"{v} µm"} for v in UM]), "cube")
    assert behind.wavelength_nm == pytest.approx(TRUE_NM)
    given = tags(bands=band_tags(UM))
    given.dataset = {"wavelength_units": "Micrometers"}
    table, also = band_table(given, "cube")
    assert table.wavelength_nm == pytest.approx(TRUE_NM)
    assert quiet == also == []


def test_every_band_may_have_a_unit_of_its_own() -> None:
    given = tags(
        bands=[
            {"wavelength": "450.5", "wavelength_units": "nm", "fwhm": "5"},
            {"wavelength": "0.55", "wavelength_units": "um", "fwhm": "0.006"},
            {"wavelength": "650", "wavelength_units": "nm", "fwhm": "7"},
        ]
    )
    table, messages = band_table(given, "cube")
    assert table.wavelength_nm == pytest.approx(TRUE_NM)
    assert table.fwhm_nm == pytest.approx([5, 6, 7])
    assert [m.code for m in messages] == ["units-mixed"]  # type: ignore[attr-defined]


def test_widths_in_other_units_than_the_wavelengths_are_seen_by_their_size() -> None:
    table, messages = band_table(
        tags(wavelength=braces(NM), wavelength_units="nm", fwhm=braces(["0.0058"] * 3)), "cube"
    )
    assert table.fwhm_nm == pytest.approx([5.8] * 3)
    assert "taken as µm" in messages[0]


def test_lists_of_the_dataset_s_own_tags_are_read() -> None:
    given = tags()
    given.dataset = {"wavelength": braces(NM), "wavelength units": "nm", "bbl": "{1, 0, 1}"}
    table, messages = band_table(given, "cube")
    assert table.wavelength_nm == pytest.approx(TRUE_NM)
    assert table.good.tolist() == [True, False, True]
    assert messages == []


def test_what_is_stated_comes_before_all_tags_each_column_for_itself() -> None:
    given = tags(
        bands=band_tags(["1", "2", "3"], bbl="0"), fwhm=braces([5, 6, 7]), wavelength_units="nm"
    )
    nothing = np.full(3, np.nan)
    user = Stated("mine.csv", np.array([450.5, 550, 650]), nothing, nothing, "nm")
    table, messages = band_table(given, "cube", stated=[user])
    assert table.wavelength_nm == pytest.approx(TRUE_NM)
    assert table.fwhm_nm == pytest.approx([5, 6, 7])
    assert not table.good.any()
    product = Stated(
        "product", np.array([0.9, 1, 1.1]), np.array([0.009] * 3), np.array([1.0, 1, 0]), "um"
    )
    table, messages = band_table(given, "cube", stated=[user, product])
    assert table.wavelength_nm == pytest.approx(TRUE_NM)
    assert table.fwhm_nm == pytest.approx([9] * 3)
    assert table.good.tolist() == [True, True, False]
    assert messages == []


def test_names_lose_a_suffix_however_often_it_was_written() -> None:
    text = "blue (450.5 Nanometers) (450.500000 Nanometers) (0.4505 Micrometers)"
    assert band_table(tags(1, descriptions=[text]), "cube")[0].name == ("blue",)


# ------------------------------------------------------------------------------------------------ t

TABLES = {
    "one column": "450.5\n550\n650\n",
    "commas": "450.5,5\n550,6\n650,7\n",
    "spaces and comments": "# my sensor\n450.5  5 1\n550 6  0   # dead\n\n650 7 1\n",
    "counted": "1 450.5 5\n2 550 6\n3 650 7\n",
    "counted from zero, in µm": "0 0.4505 0.005\n1 0.55 0.006\n2 0.65 0.007\n",
    "headings": "fwhm_nm,band,wavelength_nm\n5,1,450.5\n6,2,550\n7,3,650\n",
    "a unit in brackets": "Wavelength [µm];FWHM [µm]\n0.4505;0.005\n0.55;0.006\n0.65;0.007\n",
    "decimal commas": "wavelength (nm);fwhm\n450,5;5\n550,0;6\n650;7\n",
    "tabs and words": "Center "
    "wavelength\tbandwidth\tgood\n450.5\t5\tyes\n550\t6\tno\n650\t7\tyes\n",
    "quotes": '"wavelength","fwhm"\n"450.5","5"\n"550","6"\n"650","7"\n',
    "a header": "ENVI\nbands = 3\nwavelength units = Micrometers\nwavelength = {0.4505,\n 0.55, "
    "0.65}\n"
    "fwhm = {.005,.006,.007}\n",
}


@pytest.mark.parametrize("kind", TABLES)
def test_tables_of_wavelengths(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "table.txt"
    file.write_text(TABLES[kind], encoding="utf-8")
    cube = write_tiff(tmp_path / "c.tif", spectra(3), nm=[900.0, 901.0, 902.0], bad=[3])
    bands = describe(cube, wavelengths=file).bands
    assert bands.wavelength_nm == pytest.approx(TRUE_NM)
    if kind != "one column":
        assert bands.fwhm_nm == pytest.approx([5, 6, 7])
    flagged = kind in ("spaces and comments", "tabs and words")
    assert bands.good.tolist() == ([True, False, True] if flagged else [True, True, False])


BAD_TABLES = {
    "": "is empty",
    "# nothing\n": "is empty",
    "wavelength,fwhm\n": "is empty",
    "450\n550\n": "2 wavelengths; expected 3",
    "450\nx\n650\n": "line 2 of",
    "wavelength\n450\nx\n650\n": "line 3 of",
    "name,width\na,5\nb,6\nc,7\n": "no column of wavelengths",
    "400,1,1,1\n500,1,1,1\n600,1,1,1\n": "too many columns",
    "ENVI\nbands = 3\n": "has no wavelengths",
    "ENVI\nwavelength = {450, 550, 650}\nfwhm = {5, 6}\n": "differ in length",
}


ASKED = [("info", text) for text in BAD_TABLES]
ASKED += [(command, "450\nx\n650\n") for command in ("check", "train", "apply", "evaluate")]


@pytest.mark.parametrize(("command", "text"), ASKED)
def test_bad_tables_are_one_message(command: str, text: str, tmp_path: Path) -> None:
    cube = write_tiff(tmp_path / "c.tif", spectra(3, 20, 20))
    file = tmp_path / "table.csv"
    file.write_text(text)
    line: dict[str, list[object]] = {
        "info": ["info", cube],
        "check": ["check", cube],
        "train": ["train", cube, "--groups", "all", "-o", tmp_path / "r"],
        "apply": ["apply", weights(tmp_path), cube, "-o", tmp_path / "o.tif"],
        "evaluate": ["evaluate", weights(tmp_path), cube, "--target", cube],
    }
    before = listing(tmp_path)
    done = cli(*line[command], "--wavelengths", file)
    assert done.code == 2
    assert BAD_TABLES[text] in done.err
    assert len(done.err.splitlines()) == 1
    assert listing(tmp_path) == before


def weights(folder: Path) -> Path:
    """Weights of one group of three bands at 450.5, 550 and 650 nm."""
    inputs = Bands.of(["a", "b", "c"], wavelength_nm=TRUE_NM, fwhm_nm=[10.0] * 3)
    path = folder / "w.safetensors"
    path.write_bytes(
        dumps(Model(Fusion(np.ones((1, 3)) / 3, np.ones(1), np.zeros(1), inputs, Bands.of(["y"]))))
    )
    return path


def test_a_table_counts_in_every_command(tmp_path: Path) -> None:
    nm = [450.5, 550.0, 650.0]
    cube = write_tiff(
        tmp_path / "c.tif", spectra(3, 20, 20), nm=[1000.0, 1100.0, 1200.0], fwhm=[5.0] * 3
    )
    table = tmp_path / "c.csv"
    table.write_text("\n".join(map(str, nm)))
    assert cli("apply", weights(tmp_path), cube, "-o", tmp_path / "o.tif").code == 2
    ok("apply", weights(tmp_path), cube, "-o", tmp_path / "o.tif", "--wavelengths", table)
    ok("evaluate", weights(tmp_path), cube, "--target", tmp_path / "o.tif", "--wavelengths", table)
    (scene,) = ok("info", cube, "--wavelengths", table, "--json").json["scenes"]
    assert [b["wavelength_nm"] for b in scene["bands"]] == nm
    run = tmp_path / "run"
    ok(
        "train",
        cube,
        "--groups",
        "400-600nm",
        "--wavelengths",
        table,
        "--no-report",
        "--folds",
        0,
        "-o",
        run,
    )
    assert load(run / "weights.safetensors").common.inputs.wavelength_nm.tolist() == nm
    again = tmp_path / "again"
    ok("train", "--config", run / "config.yaml", "--no-report", "-o", again)
    same_bits(
        (again / "weights.safetensors").read_bytes(), (run / "weights.safetensors").read_bytes()
    )
    # The table is an input: no output takes its place.
    assert (
        "is an input"
        in cli(
            "apply", weights(tmp_path), cube, "-o", table, "--wavelengths", table, "--overwrite"
        ).err
    )


def test_every_source_may_have_a_table(tmp_path: Path) -> None:
    files = {
        name: write_tiff(tmp_path / f"{name}.tif", spectra(3, 20, 20, seed=i))
        for i, name in enumerate("ab")
    }
    for name, first in (("a", 450), ("b", 950)):
        (tmp_path / f"{name}.csv").write_text(f"{first}\n{first + 100}\n{first + 200}\n")
    sources = [t for name, file in files.items() for t in ("--source", f"{name}={file}")]
    line = ["train", *sources, "--groups", "equal:2", "--no-report", "--folds", 0]
    run = tmp_path / "run"
    ok(
        *line,
        "-o",
        run,
        "--wavelengths",
        "a={parent}/{stem}.csv",
        "--wavelengths",
        f"b={tmp_path / 'b.csv'}",
    )
    nm = load(run / "weights.safetensors").common.inputs.wavelength_nm
    assert nm.tolist() == [450, 550, 650, 950, 1050, 1150]
    done = cli(*line, "-o", tmp_path / "r2", "--wavelengths", tmp_path / "a.csv")
    assert done.code == 2
    assert "does not name a source" in done.err


# ------------------------------------------------------------------------------------------------ o

VNIR, SWIR = [400.0, 500, 600, 700, 800, 900], [750.0, 850, 950, 1050]


@pytest.mark.parametrize(
    ("rule", "left"),
    [
        ("keep", [*VNIR, *SWIR]),
        ("first", [*VNIR, 950, 1050]),
        ("last", [400, 500, 600, 700, *SWIR]),
        ("sharper", [400, 500, 600, 700, *SWIR]),
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_one_of_two_detectors_is_picked_by_rule(rule: str, left: list[float], turned: bool) -> None:
    nm = [*VNIR[::-1], *SWIR[::-1]] if turned else [*VNIR, *SWIR]
    bands = Bands.of([f"b{i}" for i in range(10)], wavelength_nm=nm, fwhm_nm=[9.0] * 6 + [7.0] * 4)
    found = without_overlaps(bands, rule)
    assert sorted(found.wavelength_nm[found.good]) == sorted(left)
    assert all("--overlap" in r for r in found.reason if r)


def test_the_rule_for_overlaps_is_a_flag_of_train(tmp_path: Path) -> None:
    cube = write_tiff(tmp_path / "c.tif", spectra(10, 20, 20), nm=[*VNIR, *SWIR])
    line = ["train", cube, "--groups", "all", "--no-report", "--folds", 0]
    ok(*line, "-o", tmp_path / "run", "--overlap", "first")
    dropped = json.loads((tmp_path / "run" / "report.json").read_text())["bands_dropped"]
    assert [d["wavelength_nm"] for d in dropped] == [750, 850]
    done = cli(*line, "-o", tmp_path / "r2", "--overlap", "sharper")
    assert (done.code, "needs widths" in done.err) == (2, True)
