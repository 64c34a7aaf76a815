"""Files as agencies and instruments write them: what a header or metadata say is used, or a message tells why not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rasters import cli, envi_list, ok, spectra, write_envi

from bandfuse.headers import envi_list as items_of
from bandfuse.headers import from_header, parse_header
from bandfuse.raster import Raster, describe

NM = [500.0, 600.0, 700.0, 800.0, 900.0]


def envi(folder: Path, *lines: str, values: np.ndarray | None = None, **replaced: str) -> str:
    """An ENVI file with further lines; ``replaced``: whole lines in the place of others, by their keys."""
    path = write_envi(folder / "x.dat", spectra(5, 6, 7) if values is None else values, header="\n".join(lines))
    file = folder / "x.hdr"
    text = file.read_text()
    for key, line in replaced.items():
        old = next(row for row in text.splitlines() if row.startswith(key.replace("_", " ")))
        text = text.replace(f"{old}\n", f"{line}\n" if line else "")
    file.write_text(text)
    return path


def said(raster: Raster) -> str:
    return "\n".join(raster.messages)


# ---------------------------------------------------------------------------------------------------------------- lists


def test_a_comma_at_the_end_of_a_list_is_no_item(tmp_path: Path) -> None:
    """Headers of silmae/fpipy and silmae/hsicube."""
    path = envi(tmp_path, "wavelength units = nm", "wavelength = {500, 600, 700, 800, 900,}",
                "fwhm = {13, 16, 14, 11, 12 , }", "bbl = {0, 1, 1, 1, 1,}")  # fmt: skip
    raster = describe(path)
    assert raster.bands.wavelength_nm.tolist() == NM
    assert raster.bands.fwhm_nm.tolist() == [13, 16, 14, 11, 12]
    assert raster.bands.good.tolist() == [False, True, True, True, True]
    assert "items" not in said(raster)
    assert describe(path, wavelengths=tmp_path / "x.hdr").bands.wavelength_nm.tolist() == NM
    assert items_of("{a, ,}") == ["a", ""]


@pytest.mark.parametrize("count", [3, 4, 6, 7])
@pytest.mark.parametrize("named", [False, True])
def test_a_list_of_wavelengths_that_does_not_fit_comes_in_by_no_door(count: int, named: bool, tmp_path: Path) -> None:
    """GDAL hands such a list to the bands one by one: as tags, in their names and in the IMAGERY domain."""
    names = [envi_list("band names", [f"n{i}" for i in range(5)])] if named else []
    lists = [envi_list(key, range(first, first + count)) for key, first in (("wavelength", 500), ("fwhm", 5))]
    raster = describe(envi(tmp_path, *names, "wavelength units = Nanometers", *lists))
    assert np.isnan(raster.bands.wavelength_nm).all()
    assert np.isnan(raster.bands.fwhm_nm).all()
    assert f"wavelength in the ENVI header has {count} items for 5 bands, and is not used" in raster.messages
    assert all("(" not in name for name in raster.bands.name)
    if named:
        assert list(raster.bands.name) == [f"n{i}" for i in range(5)]


# ---------------------------------------------------------------------------------------------------------- scale, axis


def test_a_reflectance_scale_factor_is_one_over_the_scale(tmp_path: Path) -> None:
    stored = np.random.default_rng(0).integers(100, 9000, (5, 6, 7)).astype("uint16")
    path = envi(tmp_path, "reflectance scale factor = 10000", values=stored)
    assert describe(path).scale.tolist() == [1e-4] * 5
    found = ok("check", path, "--json").json["findings"]
    assert "scale-undeclared" not in {f["code"] for f in found}
    ok("check", path, "--nodata", "0", "--fix", tmp_path / "x.vrt")
    assert describe(tmp_path / "x.vrt").scale.tolist() == [1e-4] * 5


@pytest.mark.parametrize("line", ["reflectance scale factor = 0", "reflectance scale factor = x", "unit = 1"])
def test_a_scale_factor_that_is_none_changes_nothing(line: str, tmp_path: Path) -> None:
    assert describe(envi(tmp_path, line)).scale.tolist() == [1] * 5


def test_the_gains_of_the_bands_come_before_a_scale_factor(tmp_path: Path) -> None:
    lines = "reflectance scale factor = 10000", envi_list("data gain values", [0.5] * 5)
    assert describe(envi(tmp_path, *lines)).scale.tolist() == [0.5] * 5
    lines = "reflectance scale factor = 10000", envi_list("data gain values", [1.0] * 5)
    assert describe(envi(tmp_path, *lines)).scale.tolist() == [1] * 5


WAVENUMBERS = "z plot titles = {Wavenumbers (cm-1), Unknown}"
"""Of r-hyperspec/hySpc.read.ENVI (Nicolet)."""


@pytest.mark.parametrize("title", [WAVENUMBERS, WAVENUMBERS + "\nwavelength units = Unknown",
                                   "z plot titles = {Wavenumber, Value}"])  # fmt: skip
def test_wavenumbers_in_the_title_of_the_spectra_are_no_wavelengths(title: str, tmp_path: Path) -> None:
    raster = describe(envi(tmp_path, title, envi_list("wavelength", [649.9, 651.8, 653.8, 655.7, 657.6])))
    assert np.isnan(raster.bands.wavelength_nm).all()
    assert "where wavelengths should be; not used" in said(raster)


def test_the_title_of_the_spectra_tells_a_unit_where_no_other_does(tmp_path: Path) -> None:
    title, numbers = "z plot titles = {Wavelength (Micrometers), Value}", envi_list("wavelength", [0.5, 0.6, 0.7, 1, 2])
    raster = describe(envi(tmp_path, title, numbers))
    assert raster.bands.wavelength_nm == pytest.approx([500, 600, 700, 1000, 2000])
    assert "units" not in said(raster)
    raster = describe(envi(tmp_path, title, "wavelength units = Nanometers", envi_list("wavelength", NM)))
    assert raster.bands.wavelength_nm.tolist() == NM
    stated = from_header(f"ENVI\n{WAVENUMBERS}\nwavelength = {{649.9, 651.8}}\n", "x.hdr")
    assert stated.unit == "cm-1"


# ---------------------------------------------------------------------------------------------- what GDAL passes over


@pytest.mark.parametrize("command", ["info", "check"])
def test_an_interleave_that_is_none_is_refused(command: str, tmp_path: Path) -> None:
    """darkReference4.hdr of plantcv has bup; GDAL reads it as bsq."""
    done = cli(command, envi(tmp_path, interleave="interleave = bup"))
    assert done.code == 2
    assert "interleave" in done.err
    assert "'bup'" in done.err


def test_what_a_header_leaves_out_is_told(tmp_path: Path) -> None:
    raster = describe(envi(tmp_path, interleave=""))
    assert "x.hdr does not say all that pixels need; read as interleave = bsq" in raster.messages
    found = {f["code"]: f["severity"] for f in cli("check", tmp_path / "x.dat", "--json").json["findings"]}
    assert found["header-incomplete"] == "warning"
    raster = describe(envi(tmp_path, data_type="", values=np.ones((5, 6, 7), "uint8")))
    assert "read as data type = 1" in said(raster)


def test_without_a_data_type_more_than_bytes_are_refused(tmp_path: Path) -> None:
    """hypercloud.hdr of hylite has none; GDAL reads the first quarter of the numbers as bytes."""
    done = cli("info", envi(tmp_path, data_type=""))
    assert done.code == 2
    assert "does not say the data type" in done.err
    assert "840 bytes of data; expected 210" in " ".join(done.err.split())


@pytest.mark.parametrize("given", ["x.dat", "x.hdr"])
def test_a_byte_order_mark_before_a_header_is_named(given: str, tmp_path: Path) -> None:
    envi(tmp_path)
    file = tmp_path / "x.hdr"
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    done = cli("info", tmp_path / given)
    assert done.code == 2
    assert "byte order mark" in done.err
    assert parse_header("a = {1,\n2,}\n") == {"a": "{1, 2,}"}
