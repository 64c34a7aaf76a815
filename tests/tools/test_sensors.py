"""The known sensors, and the bands of one."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from rasters import cli, ok

from bandfuse.cli.show_sensors import BLOCKS, drawing
from bandfuse.results.others import SensorBandInfo, SensorResult
from bandfuse.spectral.sensors import find, known


def test_all_known_sensors_are_listed() -> None:
    rows = {s["name"]: s for s in ok("sensors", "--json").json["sensors"]}
    assert sorted(rows) == known()
    assert rows["sentinel-2a"]["bands"] == 13
    assert rows["sentinel-2a"]["measured"]
    assert not rows["enmap"]["measured"]
    for row in rows.values():
        assert 350 < row["low_nm"] < row["high_nm"] < 2600
    text = ok("sensors").out
    assert all(name in text for name in rows)


@pytest.mark.parametrize("name", ["sentinel-2a", "enmap", "Landsat8OLI"])
def test_the_bands_of_a_sensor(name: str) -> None:
    result = ok("sensors", name, "--json").json
    sensor = find(name)
    assert result["name"] == sensor.name
    for row, band in zip(result["bands"], sensor.bands, strict=True):
        assert row["name"] == band.name
        assert row["centre_nm"] == pytest.approx(band.centre_nm)
        assert row["fwhm_nm"] == pytest.approx(band.fwhm_nm)
        if band.response is None or band.nm is None:
            assert row["nm"] is row["response"] is None
        else:
            np.testing.assert_array_equal(row["nm"], band.nm)
            np.testing.assert_array_equal(row["response"], band.response)
    text = ok("sensors", name).out
    assert all(f" {band.centre_nm:.1f} " in text for band in sensor.bands)


def test_a_sensor_of_the_users_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("name,centre_nm,fwhm_nm\nred,650,40\nnir,850,60\n")
    rows = ok("sensors", path, "--json").json["bands"]
    assert [(r["name"], r["centre_nm"], r["fwhm_nm"]) for r in rows] == [
        ("red", 650.0, 40.0),
        ("nir", 850.0, 60.0),
    ]
    assert "nir" in ok("sensors", path).out


def test_a_sensor_that_is_not_known() -> None:
    done = cli("sensors", "sentinel-2d")
    assert done.code == 2
    assert "sentinel-2" in done.err


def band(name: str, nm: list[float] | None, response: list[float] | None) -> SensorBandInfo:
    return SensorBandInfo(name=name, centre_nm=500, fwhm_nm=100, nm=nm, response=response)


def test_a_response_is_drawn_as_it_is() -> None:
    """A triangle from 450 over 500 to 550 nm, 20 nm a place: 400 to 600 nm."""
    triangle = band("B1", [450.0, 500.0, 550.0], [0.0, 2.0, 0.0])
    one = SensorResult(name="x", origin="", measured=True, bands=[triangle])
    line, axis = drawing(one, 14)
    assert line[:3] == "B1 "
    places = line[3:].ljust(10)
    heights = [BLOCKS.index(c) for c in places]
    # The highest response within each 20 nm, relative to the peak, in eighths, rounded up.
    ends = np.arange(400, 601, 20)
    top = [max(0.0, 1 - min(abs(np.clip(500, a, b) - 500), 50) / 50) for a, b in pairwise(ends)]
    assert heights == [0 if t < 0.02 else int(np.ceil(8 * t - 1e-9)) for t in top]
    assert axis == "   400 600 nm"


def test_a_gaussian_is_half_as_high_half_a_width_away() -> None:
    one = SensorResult(name="x", origin="", measured=False, bands=[band("B1", None, None)])
    line, _ = drawing(one, 104)
    heights = [BLOCKS.index(c) for c in line[3:].ljust(100)]
    assert heights[49] == heights[50] == 8
    assert heights[:20] == [0] * 20 or max(heights[:20]) < 4
    above = [i for i, h in enumerate(heights) if h > 4]
    assert (above[-1] - above[0] + 1) * 2 == pytest.approx(100, abs=6)


def test_many_bands_share_a_line() -> None:
    lines = drawing(SensorResult(**ok("sensors", "enmap", "--json").json), 60)
    assert len(lines) == 2
    assert lines[0].startswith("all ")
    assert len(lines[0]) <= 60
