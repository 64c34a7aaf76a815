"""Sensors: the tables of the package, a user's own, and what is refused."""

from __future__ import annotations

import csv
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from helpers import rounding
from realdata import DATA, needs_real_data
from scipy.integrate import quad
from scipy.stats import norm

from bandfuse.errors import ConfigError, InputError
from bandfuse.spectral.sensors import SensorBand, find, is_file, known, parse

PUBLISHED = {
    "sentinel-2a": {
        "B1": 442.7,
        "B2": 492.4,
        "B3": 559.8,
        "B4": 664.6,
        "B5": 704.1,
        "B6": 740.5,
        "B7": 782.8,
        "B8": 832.8,
        "B8A": 864.7,
        "B9": 945.1,
        "B10": 1373.5,
        "B11": 1613.7,
        "B12": 2202.4,
    },
    "sentinel-2b": {
        "B1": 442.2,
        "B2": 492.1,
        "B3": 559.0,
        "B4": 664.9,
        "B5": 703.8,
        "B6": 739.1,
        "B7": 779.7,
        "B8": 832.9,
        "B8A": 864.0,
        "B9": 943.2,
        "B10": 1376.9,
        "B11": 1610.4,
        "B12": 2185.7,
    },
    "sentinel-2c": {
        "B1": 444.2,
        "B2": 489.0,
        "B3": 560.6,
        "B4": 666.5,
        "B5": 707.1,
        "B6": 741.1,
        "B7": 784.7,
        "B8": 834.6,
        "B8A": 865.6,
        "B9": 947.2,
        "B10": 1372.2,
        "B11": 1612.0,
        "B12": 2191.3,
    },
}
"""Centres in nm as ESA gives them."""

BANDS = {
    "enmap": 224,
    "emit": 285,
    "prisma": 234,
    "desis": 235,
    "sentinel-2a": 13,
    "sentinel-2b": 13,
    "sentinel-2c": 13,
    "landsat-5-tm": 6,
    "landsat-7-etm": 6,
    "landsat-8-oli": 6,
    "landsat-9-oli-2": 7,
}


def test_the_known_sensors() -> None:
    assert set(known()) == set(BANDS)
    for name, count in BANDS.items():
        sensor = find(name)
        assert (sensor.name, len(sensor.bands)) == (name, count)
        assert len(set(sensor.names)) == count
        assert len(sensor.origin) > 20
        assert all(350 < b.centre_nm < 2550 and 0 < b.fwhm_nm < 300 for b in sensor.bands)
        assert all(b.response is None or b.response.max() == 1 for b in sensor.bands)


@pytest.mark.parametrize("name", PUBLISHED)
def test_centres_are_those_of_the_agency(name: str) -> None:
    assert {b.name: pytest.approx(b.centre_nm, abs=0.06) for b in find(name).bands} == PUBLISHED[
        name
    ]


def test_landsat_bands_have_names_of_their_own() -> None:
    oli = {b.name: b for b in find("landsat-8-oli").bands}
    assert list(oli) == ["blue", "green", "red", "nir", "swir1", "swir2"]
    limits = {
        "blue": (452, 512),
        "green": (533, 590),
        "red": (636, 673),
        "nir": (851, 879),
        "swir1": (1567, 1651),
        "swir2": (2107, 2294),
    }
    for name, (low, high) in limits.items():
        seen = np.arange(300, 2600.0)[oli[name].holds(np.arange(300, 2600.0))]
        assert seen.min() == pytest.approx(low, abs=1.5)
        assert seen.max() == pytest.approx(high, abs=1.5)
        assert oli[name].fwhm_nm == pytest.approx(high - low, abs=2)


@needs_real_data
@pytest.mark.parametrize("name", ["sentinel-2a", "landsat-5-tm", "landsat-7-etm", "landsat-8-oli"])
def test_what_was_left_out_of_the_tables_is_zero(name: str) -> None:
    file = {
        "sentinel-2a": "sentinel2a_msi",
        "landsat-5-tm": "landsat_tm",
        "landsat-7-etm": "landsat_etm",
        "landsat-8-oli": "landsat_oli",
    }[name]
    with (DATA / "srf" / f"{file}_1nm.csv").open(newline="") as stream:
        table = np.array(list(csv.reader(stream))[1:], dtype=float)
    for band, column in zip(find(name).bands, table.T[1:], strict=True):
        assert band.nm is not None
        assert band.response is not None
        np.testing.assert_array_equal(
            np.interp(table[:, 0], band.nm, band.response, left=0, right=0), column
        )


@pytest.mark.parametrize("text", ["Sentinel-2A", "sentinel2a", "SENTINEL_2A", "sentinel 2a"])
def test_names_are_taken_as_people_write_them(text: str) -> None:
    assert find(text).name == "sentinel-2a"
    assert not is_file(text)


def test_an_unknown_sensor_names_the_nearest() -> None:
    with pytest.raises(
        ConfigError, match=r"no sensor 'sentinel-2aa'\. Did you mean 'sentinel-2a'\?"
    ):
        find("sentinel-2aa")
    with pytest.raises(ConfigError, match="Did you mean 'enmap'") as caught:
        find("ENMPA")
    assert ".csv" in caught.value.remedy
    with pytest.raises(ConfigError, match="Known: desis, emit"):
        find("nothing like it")


# --------------------------------------------------------------------------------------------------


def test_the_area_of_a_gaussian_is_cut_at_half_of_the_peak() -> None:
    band = SensorBand("x", 500.0, 20.0)
    sigma = 20 / np.sqrt(8 * np.log(2))
    dist = norm(500, sigma)
    for low, high in ((490, 510), (495, 503), (-np.inf, np.inf), (400, 497), (520, 600)):
        a, b = np.clip([low, high], 490, 510)
        expected = sigma * np.sqrt(2 * np.pi) * (dist.cdf(b) - dist.cdf(a))
        assert band.area(low, high) == pytest.approx(expected, abs=rounding())


def test_the_area_of_a_table_is_exact_between_its_rows() -> None:
    nm, response = np.array([400.0, 403, 410, 411]), np.array([0.2, 1.0, 0.0, 0.5])
    band = SensorBand.of("x", nm, response)
    for low, high in ((399.0, 412.0), (401.3, 401.9), (402.5, 410.5), (405, 405), (411, 500)):
        expected, _ = quad(
            lambda x: np.interp(x, nm, response, left=0, right=0),
            low,
            high,
            points=[*nm],
            limit=200,
        )
        assert band.area(low, high) == pytest.approx(expected, rel=1e-9, abs=1e-9)
    np.testing.assert_allclose(band.area([400, 403], [403, 410]), [1.8, 3.5])


def test_centre_and_width_of_a_table() -> None:
    nm = np.arange(300, 700.0)
    sigma = 12.0
    band = SensorBand.of("x", nm, np.exp(-0.5 * ((nm - 501.3) / sigma) ** 2))
    assert band.centre_nm == pytest.approx(501.3, abs=1e-6)
    assert band.fwhm_nm == pytest.approx(sigma * np.sqrt(8 * np.log(2)), abs=0.05)
    box = SensorBand.of("box", np.array([500.0, 510.0]), np.array([1.0, 1.0]))
    assert (box.centre_nm, box.fwhm_nm) == (505.0, 10.0)


# --------------------------------------------------------------------------------------------------


def test_a_table_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "cam.csv"
    path.write_text(
        "\ufeff# made by hand\nwavelength_nm, red "
        ",nir\n\n600,0,0\n610,1,0\n620,0,0\n800,0,0.1\n820,0,0.4\n"
    )
    sensor = find(str(path))
    assert (sensor.name, sensor.names, sensor.origin) == ("cam", ("red", "nir"), "made by hand")
    assert sensor.bands[0].centre_nm == 610
    path.write_text("name,centre_nm,fwhm_nm\na,500,10\nb,480.5,8\n")
    assert [(b.name, b.centre_nm, b.fwhm_nm) for b in find(str(path)).bands] == [
        ("a", 500, 10),
        ("b", 480.5, 8),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", ["not a table of responses", "wavelength_nm,B1,B2,…"]),
        ("nm,B1\n1,2\n", ["not a table of responses", "'nm,B1'"]),
        ("wavelength_nm,a\n500,1\n501\n", ["line 3", "another number of columns", "expected 2"]),
        ("wavelength_nm,a\n500,1\n501,x\n", ["line 3", "'501,x'", "numbers"]),
        ("wavelength_nm,a\n500,1\n501,-0.1\n", ["line 3", "finite numbers from 0"]),
        ("wavelength_nm,a\n500,1\n501,nan\n", ["line 3", "finite numbers"]),
        ("wavelength_nm,a\n500,1\n499,1\n", ["not rising"]),
        ("wavelength_nm,a\n500,1\n", ["too few"]),
        ("wavelength_nm,a\n", ["too few"]),
        ("wavelength_nm,a,b\n500,1,0\n501,1,0\n", ["'b'", "sees nothing"]),
        ("wavelength_nm,a,a\n500,1,1\n501,1,1\n", ["'a' twice"]),
        ("wavelength_nm\n500\n501\n", ["no bands"]),
        ("wavelength_nm,a\n0.5,1\n0.6,1\n", ["in nm"]),
        ("name,centre_nm,fwhm_nm\n", ["no bands"]),
        ("name,centre_nm,fwhm_nm\na,500,0\n", ["'a'", "no width"]),
        ("name,centre_nm,fwhm_nm\n,500,1\n", ["names of their own"]),
    ],
)
def test_tables_that_are_refused(text: str, said: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        parse(text, "x", "x.csv")
    for part in said:
        assert part in str(caught.value)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read; got No such file"):
        find(str(tmp_path / "none.csv"))
    (tmp_path / "bin.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not UTF-8 text"):
        find(str(tmp_path / "bin.csv"))


OLI_2 = {
    "coastal": (435.065, 450.549),
    "blue": (452.003, 511.832),
    "green": (532.779, 589.156),
    "red": (635.947, 672.716),
    "nir": (850.235, 879.052),
    "swir1": (1565.133, 1651.233),
    "swir2": (2105.440, 2294.857),
}
"""Where OLI-2's responses fall to half of their peaks, in nm: the means of the 14 modules in the
band summary of USGS. Half of the mean of the modules lies within 0.25 nm of them."""


def test_responses_of_oli_2_have_the_limits_that_usgs_gives() -> None:
    bands = {b.name: b for b in find("landsat-9-oli-2").bands}
    assert list(bands) == list(OLI_2)
    fine = np.arange(400, 2400, 0.01)
    for name, (low, high) in OLI_2.items():
        seen = fine[bands[name].holds(fine)]
        assert seen.min() == pytest.approx(low, abs=0.25)
        assert seen.max() == pytest.approx(high, abs=0.25)
        assert bands[name].fwhm_nm == pytest.approx(high - low, abs=0.25)


def test_the_two_operational_land_imagers_are_nearly_the_same() -> None:
    one, two = (
        {b.name: b for b in find(name).bands} for name in ("landsat-8-oli", "landsat-9-oli-2")
    )
    for name, band in one.items():
        assert band.centre_nm == pytest.approx(two[name].centre_nm, abs=1)
        assert band.fwhm_nm == pytest.approx(two[name].fwhm_nm, abs=3)


@needs_real_data
def test_responses_of_sentinel_2c_are_those_of_its_products() -> None:
    """From MIN to MAX of the manifest in steps of STEP, and zero outside."""
    root = ElementTree.parse(DATA / "metadata/S2C_MTD_MSIL2A.xml").getroot()
    bands = {b.name: b for b in find("sentinel-2c").bands}
    told = list(root.iter("Spectral_Information"))
    assert [e.get("physicalBand") for e in told] == list(bands)
    for e in told:
        band = bands[e.get("physicalBand", "")]
        low, high, step = (
            float(e.findtext(name) or "")
            for name in ("Wavelength/MIN", "Wavelength/MAX", "Spectral_Response/STEP")
        )
        values = np.array((e.findtext("Spectral_Response/VALUES") or "").split(), float)
        nm = low + step * np.arange(len(values))
        assert nm[-1] == high
        assert band.nm is not None
        assert band.response is not None
        np.testing.assert_allclose(
            np.interp(nm, band.nm, band.response), values, rtol=1e-5, atol=1e-12
        )
        beside = np.r_[300 : low - 0.5, high + 1 : 2600]
        assert not np.interp(beside, band.nm, band.response, left=0, right=0).any()
        centre = float(e.findtext("Wavelength/CENTRAL") or "")
        assert band.centre_nm == pytest.approx(centre, abs=0.06)


@pytest.mark.parametrize("cell", ["inf", "1e300", "-1", "nan"])
def test_numbers_that_no_table_holds_are_refused(cell: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(f"wavelength_nm,red\n500,0\n510,1\n{cell},0\n")
    with pytest.raises(InputError, match="line 4"):
        find(str(path))
