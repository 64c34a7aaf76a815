"""Files as agencies and instruments write them: what a header or metadata say is used, or a message
tells why not."""

from __future__ import annotations

import re
import tarfile
import zipfile
from pathlib import Path

import h5py
import netCDF4
import numpy as np
import published
import pytest
from rasterio.shutil import copy
from rasters import cli, envi_list, ok, read, spectra, write_envi, write_tiff

from bandfuse.raster import Raster, Reader, describe, quicklook
from bandfuse.spectral.headers import envi_list as items_of
from bandfuse.spectral.headers import from_header, parse_header
from bandfuse.streaming.windows import Window

NM = [500.0, 600.0, 700.0, 800.0, 900.0]


def envi(folder: Path, *lines: str, values: np.ndarray | None = None, **replaced: str) -> str:
    """An ENVI file with further lines; ``replaced``: whole lines in the place of others, by their
    keys."""
    path = write_envi(
        folder / "x.dat", spectra(5, 6, 7) if values is None else values, header="\n".join(lines)
    )
    file = folder / "x.hdr"
    text = file.read_text()
    for key, line in replaced.items():
        old = next(row for row in text.splitlines() if row.startswith(key.replace("_", " ")))
        text = text.replace(f"{old}\n", f"{line}\n" if line else "")
    file.write_text(text)
    return path


def said(raster: Raster) -> str:
    return "\n".join(raster.messages)


# --------------------------------------------------------------------------------------------------


def test_a_comma_at_the_end_of_a_list_is_no_item(tmp_path: Path) -> None:
    """Headers of silmae/fpipy and silmae/hsicube."""
    path = envi(
        tmp_path,
        "wavelength units = nm",
        "wavelength = {500, 600, 700, 800, 900,}",
        "fwhm = {13, 16, 14, 11, 12 , }",
        "bbl = {0, 1, 1, 1, 1,}",
    )
    raster = describe(path)
    assert raster.bands.wavelength_nm.tolist() == NM
    assert raster.bands.fwhm_nm.tolist() == [13, 16, 14, 11, 12]
    assert raster.bands.good.tolist() == [False, True, True, True, True]
    assert "items" not in said(raster)
    assert describe(path, wavelengths=tmp_path / "x.hdr").bands.wavelength_nm.tolist() == NM
    assert items_of("{a, ,}") == ["a", ""]


@pytest.mark.parametrize("count", [3, 4, 6, 7])
@pytest.mark.parametrize("named", [False, True])
def test_a_list_of_wavelengths_that_does_not_fit_comes_in_by_no_door(
    count: int, named: bool, tmp_path: Path
) -> None:
    """GDAL hands such a list to the bands one by one: as tags, in their names and in the IMAGERY
    domain."""
    names = [envi_list("band names", [f"n{i}" for i in range(5)])] if named else []
    lists = [
        envi_list(key, range(first, first + count))
        for key, first in (("wavelength", 500), ("fwhm", 5))
    ]
    raster = describe(envi(tmp_path, *names, "wavelength units = Nanometers", *lists))
    assert np.isnan(raster.bands.wavelength_nm).all()
    assert np.isnan(raster.bands.fwhm_nm).all()
    assert (
        f"wavelength in the ENVI header has {count} items for 5 bands, and is not used"
        in raster.messages
    )
    assert all("(" not in name for name in raster.bands.name)
    if named:
        assert list(raster.bands.name) == [f"n{i}" for i in range(5)]


SPELLINGS = {
    "closing comma": "{500, 600, 700, 800, 900,}",
    "square brackets": "[500, 600, 700, 800, 900]",
    "both brackets": "{[500, 600, 700, 800, 900]}",
    "parentheses": "{(500, 600, 700, 800, 900)}",
    "blanks": "{500 600  700 800\n 900}",
    "semicolons": "{500; 600; 700; 800; 900;}",
    "decimal commas": "{500,0; 600,0; 700,0; 800,0; 900,0}",
    "decimal commas and blanks": "{500,0 600,0 700,0 800,0 900,0}",
    "decimal commas between commas": "{500,0, 600,0, 700,0, 800,0, 900,0}",
    "double precision": "{500D0, 600.D+00, 700.0d+0, 800D000, 900D-0}",
    "over lines in square brackets": "[500, 600,\n 700, 800,\n 900]",
    "quotation marks": "{'500', '600', '700', \"800\", \"900\"}",
}


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_lists_of_numbers_are_read_as_programs_write_them(
    spelling: str, named: bool, tmp_path: Path
) -> None:
    """GDAL parts lists at commas alone, and hands what it gets to the bands: nothing of that is
    left in wavelengths, widths, scale or names."""
    names = [envi_list("band names", [f"n{i}" for i in range(5)])] if named else []
    text = SPELLINGS[spelling]
    lists = [f"{key} = {text}" for key in ("wavelength", "data gain values")]
    lists.append("fwhm = " + re.sub("([5-9])00", r"0\g<1>0", text))  # 500 to 050
    path = envi(tmp_path, *names, "wavelength units = Nanometers", *lists)
    raster = describe(path)
    assert raster.bands.wavelength_nm.tolist() == NM
    assert raster.bands.fwhm_nm.tolist() == [nm / 10 for nm in NM]
    assert raster.scale.tolist() == NM
    assert list(raster.bands.name) == [
        f"{'n' if named else 'b'}{i + (not named)}" for i in range(5)
    ]
    assert raster.bands == describe(path, wavelengths=tmp_path / "x.hdr").bands
    doubt = "fits the 5 bands if it has decimal commas" in said(raster)
    assert doubt == (spelling == "decimal commas between commas")


@pytest.mark.parametrize(
    "flags",
    [
        "{0, 1, 1, 0, 1}",
        "{False, True, True, False, True}",
        "{false true true false true}",
        "[0; 1; 1; 0; 1]",
        "{0.0, 1.0, 1.0, 0.0, 1.0,}",
        "{bad, good, good, bad, good}",
    ],
)
def test_flags_of_bad_bands_are_read_as_programs_write_them(flags: str, tmp_path: Path) -> None:
    raster = describe(envi(tmp_path, f"bbl = {flags}"))
    assert raster.bands.good.tolist() == [False, True, True, False, True]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("-9999", -9999),
        ("{-9999}", -9999),
        ("-1.0D+03", -1000),
        ("-9,5", -9.5),
        ("-9999.0 ", -9999),
    ],
)
def test_a_data_ignore_value_is_read_as_programs_write_it(
    text: str, value: float, tmp_path: Path
) -> None:
    assert describe(envi(tmp_path, f"data ignore value = {text}")).nodata.tolist() == [value] * 5


@pytest.mark.parametrize("count", [1, 2, 4, 6])
@pytest.mark.parametrize(("key", "unsaid"), [("data gain values", 1), ("data offset values", 0)])
def test_gains_of_another_length_are_not_used(
    key: str, unsaid: float, count: int, tmp_path: Path
) -> None:
    raster = describe(envi(tmp_path, envi_list(key, [0.5] * count)))
    found = raster.scale if "gain" in key else raster.offset
    assert found.tolist() == [unsaid] * 5
    assert f"{key} in the ENVI header has {count} items for 5 bands, and is not used" in said(
        raster
    )


@pytest.mark.parametrize(
    "line", ["data ignore value = none", "reflectance scale factor = ten", "data ignore value = {}"]
)
def test_an_entry_that_is_no_number_is_told(line: str, tmp_path: Path) -> None:
    raster = describe(envi(tmp_path, line))
    assert np.isnan(raster.nodata).all()
    assert raster.scale.tolist() == [1] * 5
    assert "is not used" in said(raster)


def test_a_file_beside_the_header_may_correct_it(tmp_path: Path) -> None:
    """``gdal_edit`` writes into ``.aux.xml``, which GDAL tells in the place of the header."""
    lines = envi_list("data gain values", ["1D-1"] * 5), "data ignore value = -1D1"
    path = envi(tmp_path, *lines)
    assert describe(path).scale.tolist() == [0.1] * 5
    assert describe(path).nodata.tolist() == [-10] * 5
    bands = "".join(
        f'<PAMRasterBand band="{i}"><NoDataValue>-7</NoDataValue><Scale>0.25</Scale>'
        "</PAMRasterBand>"
        for i in range(1, 6)
    )
    (tmp_path / "x.dat.aux.xml").write_text(f"<PAMDataset>{bands}</PAMDataset>")
    assert describe(path).scale.tolist() == [0.25] * 5
    assert describe(path).nodata.tolist() == [-7] * 5


COMPANIONS = ("qml", "sta", "enp", "png", "dat.aux.xml", "txt", "prj", "qgz")


def test_files_beside_a_header_that_are_no_rasters_do_not_count(tmp_path: Path) -> None:
    path = envi(tmp_path, envi_list("wavelength", NM), "wavelength units = nm")
    for ending in COMPANIONS:
        (tmp_path / f"x.{ending}").write_bytes(b"something")
    (tmp_path / "x.dat.aux.xml").write_text("<PAMDataset/>")
    raster = describe(tmp_path / "x.hdr")
    assert raster.path == path
    assert raster.bands.wavelength_nm.tolist() == NM


def test_of_several_files_beside_a_header_that_of_its_size_counts(tmp_path: Path) -> None:
    path = envi(tmp_path)
    (tmp_path / "x.mask").write_bytes(b"1" * 42)
    assert describe(tmp_path / "x.hdr").path == path
    (tmp_path / "x.copy").write_bytes(Path(path).read_bytes())
    done = cli("info", tmp_path / "x.hdr")
    assert done.code == 2
    assert "of several files" in done.err


def test_a_header_beside_a_geotiff_is_used_if_it_is_given_and_named_if_not(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "c.tif", spectra(5, 6, 7))
    header = tmp_path / "c.hdr"
    header.write_text(f"ENVI\nbands = 5\n{envi_list('wavelength', NM)}\nwavelength units = nm\n")
    assert describe(header).bands.wavelength_nm.tolist() == NM
    assert describe(path, wavelengths=header).bands.wavelength_nm.tolist() == NM
    raster = describe(path)
    assert np.isnan(raster.bands.wavelength_nm).all()
    assert (
        f"c.hdr beside it has 5 wavelengths, and is not used: give it with --wavelengths {header}"
        in (raster.messages)
    )
    found = {f["code"] for f in ok("check", path, "--json").json["findings"]}
    assert "header-beside" in found
    header.write_text("ENVI\nbands = 5\nwavelength = {1, 2}\n")
    assert "beside it" not in said(describe(path))
    write_tiff(tmp_path / "c.tif", spectra(5, 6, 7), nm=NM)
    header.write_text(f"ENVI\nbands = 5\n{envi_list('wavelength', NM)}\n")
    assert "beside it" not in said(describe(path))


def test_wavelengths_of_the_user_count_in_resample(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "c.tif", spectra(30, 6, 7))
    (tmp_path / "w.txt").write_text("\n".join(map(str, np.linspace(400, 900, 30))))
    arguments = "resample", path, "--sensor", "sentinel-2a", "-o", tmp_path / "s.tif"
    done = cli(*arguments)
    assert done.code == 2
    assert "wavelength" in done.err
    done = ok(*arguments, "--wavelengths", tmp_path / "w.txt", "--json")
    used = {b["name"] for b in done.json["scenes"][0]["bands"] if b["used"]}
    assert {"B2", "B3", "B4"} <= used or {"B02", "B03", "B04"} <= used


# --------------------------------------------------------------------------------------------------


def test_a_reflectance_scale_factor_is_one_over_the_scale(tmp_path: Path) -> None:
    stored = np.random.default_rng(0).integers(100, 9000, (5, 6, 7)).astype("uint16")
    path = envi(tmp_path, "reflectance scale factor = 10000", values=stored)
    assert describe(path).scale.tolist() == [1e-4] * 5
    found = ok("check", path, "--json").json["findings"]
    assert "scale-undeclared" not in {f["code"] for f in found}
    ok("check", path, "--nodata", "0", "--fix", tmp_path / "x.vrt")
    assert describe(tmp_path / "x.vrt").scale.tolist() == [1e-4] * 5


@pytest.mark.parametrize(
    "line", ["reflectance scale factor = 0", "reflectance scale factor = x", "unit = 1"]
)
def test_a_scale_factor_that_is_none_changes_nothing(line: str, tmp_path: Path) -> None:
    assert describe(envi(tmp_path, line)).scale.tolist() == [1] * 5


def test_the_gains_of_the_bands_come_before_a_scale_factor(tmp_path: Path) -> None:
    lines = "reflectance scale factor = 10000", envi_list("data gain values", [0.5] * 5)
    assert describe(envi(tmp_path, *lines)).scale.tolist() == [0.5] * 5
    lines = "reflectance scale factor = 10000", envi_list("data gain values", [1.0] * 5)
    assert describe(envi(tmp_path, *lines)).scale.tolist() == [1] * 5


WAVENUMBERS = "z plot titles = {Wavenumbers (cm-1), Unknown}"
"""Of r-hyperspec/hySpc.read.ENVI (Nicolet)."""


@pytest.mark.parametrize(
    "title",
    [
        WAVENUMBERS,
        WAVENUMBERS + "\nwavelength units = Unknown",
        "z plot titles = {Wavenumber, Value}",
    ],
)
def test_wavenumbers_in_the_title_of_the_spectra_are_no_wavelengths(
    title: str, tmp_path: Path
) -> None:
    raster = describe(
        envi(tmp_path, title, envi_list("wavelength", [649.9, 651.8, 653.8, 655.7, 657.6]))
    )
    assert np.isnan(raster.bands.wavelength_nm).all()
    assert "where wavelengths should be; not used" in said(raster)


def test_the_title_of_the_spectra_tells_a_unit_where_no_other_does(tmp_path: Path) -> None:
    title, numbers = (
        "z plot titles = {Wavelength (Micrometers), Value}",
        envi_list("wavelength", [0.5, 0.6, 0.7, 1, 2]),
    )
    raster = describe(envi(tmp_path, title, numbers))
    assert raster.bands.wavelength_nm == pytest.approx([500, 600, 700, 1000, 2000])
    assert "units" not in said(raster)
    raster = describe(
        envi(tmp_path, title, "wavelength units = Nanometers", envi_list("wavelength", NM))
    )
    assert raster.bands.wavelength_nm.tolist() == NM
    stated = from_header(f"ENVI\n{WAVENUMBERS}\nwavelength = {{649.9, 651.8}}\n", "x.hdr")
    assert stated.unit == "cm-1"


# ---------------------------------------------------------------------------------------------- wha


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
    found = {
        f["code"]: f["severity"]
        for f in cli("check", tmp_path / "x.dat", "--json").json["findings"]
    }
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


# --------------------------------------------------------------------------------------------------


def spectral(
    folder: Path, stem: str, meta: str, dtype: str = "uint16", nodata: float | None = None
) -> np.ndarray:
    """A product of DLR's kind: its image, three bands whose first rows are empty, and its
    metadata."""
    folder.mkdir(exist_ok=True)
    cube = (spectra(3, 6, 7) * 1e4 + 100).astype(dtype)
    cube[:, :2] = 0
    write_tiff(folder / f"{stem}-SPECTRAL_IMAGE.TIF", cube, nodata=nodata)
    (folder / f"{stem}-METADATA.XML").write_text(meta)
    return cube


def enmap_meta(background: str) -> str:
    rows = "".join(
        f'<bandID number="{i + 1}"><wavelengthCenterOfBand>{nm}</wavelengthCenterOfBand>'
        "<FWHMOfBand>7</FWHMOfBand><GainOfBand>2e-06</GainOfBand><OffsetOfBand>0.04</OffsetOfBand></bandID>"
        for i, nm in enumerate(NM[:3])
    )
    return (
        f"<level_X><base><level>L1C</level></base><specific>{background}"
        f"<bandCharacterisation>{rows}</bandCharacterisation></specific></level_X>"
    )


def desis_meta(*, gain: str = "<gainOfBand>0.0001</gainOfBand>") -> str:
    rows = "".join(
        f"<band><bandNumber>{i}</bandNumber>"
        f"<wavelengthCenterOfBand>{NM[i - 1]}</wavelengthCenterOfBand>"
        f"<wavelengthWidthOfBand>3.4</wavelengthWidthOfBand>{gain}"
        "<offsetOfBand>0</offsetOfBand></band>"
        for i in (2, 1, 3)
    )
    return (
        f"<hsi_doc><specific><backgroundValue>0</backgroundValue><bandCharacterisation>{rows}"
        "</bandCharacterisation></specific></hsi_doc>"
    )


BACKGROUND = "<backgroundValue>0</backgroundValue>"


def test_the_background_of_the_metadata_is_the_nodata_of_the_image(tmp_path: Path) -> None:
    """EnMAP L1C is uint16, whose background is 0."""
    spectral(tmp_path / "p", "ENMAP01-L1C", enmap_meta(BACKGROUND))
    assert describe(tmp_path / "p").nodata.tolist() == [0, 0, 0]
    found = {f["code"] for f in ok("check", tmp_path / "p", "--json").json["findings"]}
    assert not found & {"nodata-impossible", "undeclared-fill"}
    run = ok(
        "train",
        tmp_path / "p",
        "--objective",
        "reconstruction",
        "--groups",
        "equal:2",
        "--folds",
        0,
        "--no-report",
        "-o",
        tmp_path / "r",
        "--steps",
        5,
    )
    assert "28 pixels" in run.err + run.out


def test_the_background_of_enmap_l2a_is_known_whatever_its_metadata_say(tmp_path: Path) -> None:
    """Those of the qualification products say 0; the pixels hold −32768."""
    meta = enmap_meta(BACKGROUND).replace("L1C", "L2A")
    spectral(tmp_path / "p", "ENMAP01-L2A", meta, "int16")
    assert describe(tmp_path / "p").nodata.tolist() == [-32768] * 3


def test_a_header_beside_enmap_s_image_makes_no_desis_of_it(tmp_path: Path) -> None:
    """As other programs leave it."""
    for stem in ("ENMAP01-L1C", "renamed"):
        spectral(tmp_path / stem, stem, enmap_meta(BACKGROUND))
        (tmp_path / stem / f"{stem}-SPECTRAL_IMAGE.hdr").write_text(
            "ENVI\nwavelength = {1, 2, 3}\n"
        )
        assert describe(tmp_path / stem).product == "EnMAP L1C"
        assert describe(tmp_path / stem).bands.wavelength_nm.tolist() == NM[:3]


def test_what_the_image_declares_comes_before_its_metadata(tmp_path: Path) -> None:
    spectral(tmp_path / "p", "ENMAP01-L2A", enmap_meta(BACKGROUND), "int16", nodata=-5)
    assert describe(tmp_path / "p").nodata.tolist() == [-5] * 3


def test_no_nodata_is_claimed_that_the_image_cannot_hold(tmp_path: Path) -> None:
    spectral(tmp_path / "p", "ENMAP01-L1C", enmap_meta(""))
    assert np.isnan(describe(tmp_path / "p").nodata).all()
    spectral(tmp_path / "q", "ENMAP01-L2A", enmap_meta(""), "int16")
    assert describe(tmp_path / "q").nodata.tolist() == [-32768] * 3


def test_a_vrt_of_a_product_reads_as_the_product(tmp_path: Path) -> None:
    """``check --fix`` is the remedy that check names."""
    spectral(tmp_path / "p", "ENMAP01-L1C", enmap_meta(""))
    ok("check", tmp_path / "p", "--nodata", "0", "--fix", tmp_path / "f.vrt")
    made = describe(tmp_path / "f.vrt")
    assert made.nodata.tolist() == [0] * 3
    assert made.bands.wavelength_nm.tolist() == NM[:3]
    assert made.scale.tolist() == [2e-6] * 3


@pytest.mark.parametrize("stem", ["DESIS-HSI-L2A-DT1", "renamed"])
@pytest.mark.parametrize("given", ["", "-SPECTRAL_IMAGE.TIF", "-METADATA.XML"])
def test_desis_without_a_header_is_read_from_its_metadata(
    stem: str, given: str, tmp_path: Path
) -> None:
    """DLR's Geoservice serves no header."""
    spectral(tmp_path / "p", stem, desis_meta(), "int16")
    raster = describe(tmp_path / "p" / f"{stem}{given}" if given else tmp_path / "p")
    assert raster.product == ("DESIS L2A" if stem.startswith("DESIS") else "DESIS")
    assert raster.bands.wavelength_nm.tolist() == NM[:3]
    assert raster.bands.fwhm_nm.tolist() == [3.4] * 3
    assert raster.scale.tolist() == [1e-4] * 3
    assert raster.nodata.tolist() == [0] * 3


def test_desis_without_a_gain_is_refused_by_its_own_name(tmp_path: Path) -> None:
    spectral(tmp_path / "p", "DESIS-L2A", desis_meta(gain=""), "int16")
    done = cli("info", tmp_path / "p")
    assert done.code == 2
    assert "no gainOfBand for every band; expected the metadata of a DESIS product" in " ".join(
        done.err.split()
    )


@pytest.mark.parametrize("ending", ["BSQ", "BIL", "BIP", "JP2"])
@pytest.mark.parametrize("given", ["", "IMAGE", "METADATA"])
def test_enmap_is_read_in_the_other_forms_that_can_be_ordered(
    ending: str, given: str, tmp_path: Path
) -> None:
    """ENVI files have a header of their own beside them, as DESIS's GeoTIFFs have."""
    cube = spectral(tmp_path / "p", "ENMAP01-L1C", enmap_meta(BACKGROUND))
    image = tmp_path / "p/ENMAP01-L1C-SPECTRAL_IMAGE.TIF"
    other = image.with_suffix(f".{ending}")
    how = (
        {"driver": "JP2OpenJPEG", "QUALITY": "100", "REVERSIBLE": "YES"}
        if ending == "JP2"
        else {"driver": "ENVI"}
    )
    copy(image, other, **how, **({"INTERLEAVE": ending} if ending[0] == "B" else {}))
    image.unlink()
    path = {
        "": tmp_path / "p",
        "IMAGE": other,
        "METADATA": tmp_path / "p/ENMAP01-L1C-METADATA.XML",
    }[given]
    raster = describe(path)
    assert raster.product == "EnMAP L1C"
    assert raster.bands.wavelength_nm.tolist() == NM[:3]
    x = pixels(raster)
    assert np.isnan(x[:, :2]).all()
    np.testing.assert_allclose(x[:, 2:], cube[:, 2:] * 2e-6 + 0.04)


def pixels(raster: Raster) -> np.ndarray:
    """(B, H, W) as bandfuse reads them."""
    with Reader([(raster, range(len(raster.bands)))]) as reader:
        whole = reader.read(Window(0, 0, *raster.shape))
        x: np.ndarray = whole.cell(slice(0, raster.rows), slice(0, raster.cols)).values().copy()
    return x.reshape(-1, *raster.shape)


# ---------------------------------------------------------------------------------------- nearly a


def test_the_one_product_below_a_folder_is_read(tmp_path: Path) -> None:
    """What DLR and ESA deliver is a tree of folders."""
    product = published.desis(tmp_path).path
    above = tmp_path / "order/dims_op"
    above.mkdir(parents=True)
    product.rename(above / "x")
    assert describe(tmp_path / "order").product == "DESIS L2A"
    second = published.enmap(above).path
    done = cli("info", tmp_path / "order")
    assert done.code == 2
    text = "".join(done.err.split("\n"))
    assert "a folder of several products" in text
    assert str(second) in text


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("S2A_OPER_MTD_SAFL1B_PDMC_20150818T101451.xml", "Sentinel-2 L1B of before December 2016"),
        ("ENMAP01-____L1B-DT0000326721-METADATA.XML", "EnMAP L1B"),
    ],
)
@pytest.mark.parametrize("folder", [True, False])
def test_another_level_of_a_known_product_is_named(
    name: str, told: str, folder: bool, tmp_path: Path
) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / name).write_text("<a/>")
    done = cli("info", tmp_path / "p" if folder else tmp_path / "p" / name)
    assert done.code == 2
    assert told in " ".join(done.err.split())


def test_a_compressed_tar_is_to_be_unpacked(tmp_path: Path) -> None:
    folder = published.enmap(tmp_path).path
    with tarfile.open(tmp_path / "order.tar.gz", "w:gz") as tar:
        tar.add(folder, f"dims_op/{folder.name}")
    done = cli("info", tmp_path / "order.tar.gz")
    assert done.code == 2
    assert "got EnMAP L2A" in " ".join(done.err.split())
    assert "Unpack it" in done.err
    (tmp_path / "a.tar.gz").write_bytes(b"x")
    done = cli("info", tmp_path / "a.tar.gz")
    assert done.code == 2
    assert "Unpack it" in done.err


def test_hdf5_in_an_archive_is_to_be_unpacked(tmp_path: Path) -> None:
    """As ASI delivers PRISMA."""
    product = published.prisma(tmp_path).path
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as packed:
        packed.write(product, product.name)
    for path in (tmp_path / "p.zip", f"/vsizip/{tmp_path}/p.zip/{product.name}"):
        done = cli("info", path)
        assert done.code == 2
        assert "Unpack it:" in " ".join(done.err.split())


def name_axes(path: Path) -> None:
    """``StructMetadata.0``, which says what the axes of the cubes are; GDAL turns them then."""
    with h5py.File(path, "r+") as file:
        fields = file["HDFEOS/SWATHS/PRS_L2D_HCO/Data Fields"]
        rows, _, cols = fields["VNIR_Cube"].shape
        place = file.create_group("HDFEOS/SWATHS/PRS_L2D_HCO/Geolocation Fields")
        for name in ("Latitude", "Longitude"):
            place.create_dataset(name, data=np.zeros((rows, cols), "f4"))
        dims = {
            "nRows": rows,
            "nV": fields["VNIR_Cube"].shape[1],
            "nS": fields["SWIR_Cube"].shape[1],
            "nCols": cols,
        }
        sizes = [f'DimensionName="{name}"\nSize={size}' for name, size in dims.items()]
        geo = [
            f'GeoFieldName="{name}"\nDimList=("nRows","nCols")'
            for name in ("Latitude", "Longitude")
        ]
        data = [
            f'DataFieldName="{name}_Cube"\nDimList=("nRows","{dim}","nCols")'
            for name, dim in (("VNIR", "nV"), ("SWIR", "nS"))
        ]
        text = 'GROUP=SwathStructure\nGROUP=SWATH_1\nSwathName="PRS_L2D_HCO"\n'
        for kind, items in (("Dimension", sizes), ("GeoField", geo), ("DataField", data)):
            objects = [
                f"OBJECT={kind}_{i}\n{t}\nEND_OBJECT={kind}_{i}\n" for i, t in enumerate(items, 1)
            ]
            text += f"GROUP={kind}\n{''.join(objects)}END_GROUP={kind}\n"
        text += "END_GROUP=SWATH_1\nEND_GROUP=SwathStructure\nEND\n"
        file.create_group("HDFEOS INFORMATION")["StructMetadata.0"] = np.bytes_(
            text.ljust(32000, "\0")
        )


@pytest.mark.parametrize(("short", "pixel"), [(0.06, 30.0), (-0.9, 30.0), (49.0, 29.0)])
def test_corners_of_prisma_are_rounded_and_its_pixels_are_not(
    short: float, pixel: float, tmp_path: Path
) -> None:
    path = published.prisma(tmp_path).path
    with h5py.File(path, "r+") as file:
        right = file.attrs["Product_ULcorner_easting"] + 30.0 * 49 - short
        file.attrs["Product_LRcorner_easting"] = np.float64(right)
    assert describe(path).transform.a == pixel


def test_axes_that_the_file_names_are_turned_by_gdal_and_read_alike(tmp_path: Path) -> None:
    made = published.prisma(tmp_path)
    before = describe(made.path)
    plain, look = pixels(before), quicklook(before, [0, 4], most=9)
    name_axes(made.path)
    raster = describe(made.path)
    assert raster.pieces[0].axes == "brc"
    assert raster.shape == before.shape
    np.testing.assert_array_equal(pixels(raster), plain)
    np.testing.assert_array_equal(quicklook(raster, [0, 4], most=9), look)
    assert np.isnan(plain).any()


# --------------------------------------------------------------------------------------------------


def test_widths_of_sentinel_2_are_those_at_half_of_the_response(tmp_path: Path) -> None:
    """MIN and MAX of the manifest are the limits of the whole response."""
    product = published.sentinel2(tmp_path).path
    limits = {name: (high - low) for name, (_, low, high, _) in published.S2_BANDS.items()}
    bands = describe(product).bands
    assert bands.fwhm_nm.tolist() == [limits[f"B{name[1:].lstrip('0')}"] - 8 for name in bands.name]
    manifest = product / "MTD_MSIL2A.xml"
    text = manifest.read_text()
    manifest.write_text(re.sub("<STEP unit='nm'>1<", "<STEP unit='nm'>2<", text))
    assert describe(product).bands.fwhm_nm.tolist() == [2 * w for w in bands.fwhm_nm]
    manifest.write_text(re.sub("<Spectral_Response>.*?</Spectral_Response>", "", text))
    assert np.isnan(describe(product).bands.fwhm_nm).all()


# --------------------------------------------------------------------------------------------------


def test_the_axes_of_hdf5_are_said_to_be_assumed_where_nothing_tells_them(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["site/cube"] = np.ones((24, 20, 60), "i2")
    found = {f["code"]: f for f in cli("check", tmp_path / "x.h5", "--json").json["findings"]}
    assert found["axes-assumed"]["severity"] == "warning"
    assert "24 bands of 20 rows and 60 columns" in found["axes-assumed"]["message"]
    assert "24 bands of 20 rows and 60 columns" in said(describe(tmp_path / "x.h5"))


def neon(folder: Path, order: str = "rcb", sizes: tuple[int, int, int] = (12, 9, 7)) -> np.ndarray:
    """A file of the structure of NEON's, rows, columns and bands in any order; (B, H, W) values."""
    values = spectra(sizes[2], *sizes[:2], dtype="int16")
    values[:, 0, :3] = -9999
    with h5py.File(folder / "NEON.h5", "w") as file:
        site = file.create_group("BART/Reflectance")
        cube = site.create_dataset(
            "Reflectance_Data", data=np.einsum(f"brc->{order}", values), chunks=(4, 3, 5)
        )
        cube.attrs.update({"Data_Ignore_Value": -9999.0, "Scale_Factor": 10000.0})
        numbers = np.linspace(381, 2510, sizes[2]).astype("f4")
        spectral = site.create_group("Metadata/Spectral_Data")
        spectral["Wavelength"], spectral["FWHM"] = numbers, np.full(sizes[2], 5.5, "f4")
        spectral["Wavelength"].attrs["Units"] = "nanometers"
        site["Metadata/Ancillary_Imagery/Path_Length"] = np.zeros(sizes[:2], "f4")
    return np.where(values == -9999, np.nan, values / 10000)


@pytest.mark.parametrize("order", ["rcb", "rbc", "brc"])
def test_the_axis_of_the_bands_is_that_of_the_wavelengths(order: str, tmp_path: Path) -> None:
    expected = neon(tmp_path, order)
    raster = describe(f'HDF5:"{tmp_path}/NEON.h5"://BART/Reflectance/Reflectance_Data')
    np.testing.assert_allclose(raster.bands.wavelength_nm, np.linspace(381, 2510, 7), rtol=1e-6)
    assert raster.bands.fwhm_nm.tolist() == [5.5] * 7
    np.testing.assert_allclose(pixels(raster), expected)
    assert ("axis is that of the bands" in said(raster)) == (order != "brc")
    assert quicklook(raster, [0, 6]).shape == (12, 9, 2)


def test_axes_of_equal_lengths_are_said_to_be_in_doubt(tmp_path: Path) -> None:
    neon(tmp_path, sizes=(12, 7, 7))
    raster = describe(f'HDF5:"{tmp_path}/NEON.h5"://BART/Reflectance/Reflectance_Data')
    assert "several of its axes (12, 7, 7) are as long as its wavelengths" in said(raster)


def test_a_table_of_the_user_tells_the_axis_by_its_length(tmp_path: Path) -> None:
    cube = spectra(5, 12, 9)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["cube"] = np.moveaxis(cube, 0, -1)
    (tmp_path / "five.txt").write_text("\n".join(map(str, NM)))
    raster = describe(tmp_path / "x.h5", wavelengths=tmp_path / "five.txt")
    assert raster.bands.wavelength_nm.tolist() == NM
    np.testing.assert_array_equal(pixels(raster), cube)
    (tmp_path / "six.txt").write_text("1\n2\n3\n4\n5\n6\n")
    done = cli("info", tmp_path / "x.h5", "--wavelengths", tmp_path / "six.txt")
    assert done.code == 2
    assert "got 6 wavelengths" in " ".join(done.err.split())


@pytest.mark.parametrize("group", ["", "deep/group/"])
@pytest.mark.parametrize("dims", ["y x wavelength", "y wavelength x", "wavelength y x"])
def test_netcdf_has_its_bands_along_the_dimension_of_the_wavelengths(
    dims: str, group: str, tmp_path: Path
) -> None:
    sizes = {"wavelength": 7, "y": 12, "x": 9}
    cube = spectra(7, 12, 9)
    turned = np.einsum(f"wyx->{''.join(d[0] for d in dims.split())}", cube).copy()
    with netCDF4.Dataset(tmp_path / "c.nc", "w") as ds:
        for name, size in sizes.items():
            ds.createDimension(name, size)
        axis = ds.createVariable("wavelength", "f8", ("wavelength",))
        axis[:], axis.units = np.linspace(0.4, 0.9, 7), "um"
        for name, step in (("y", -30.0), ("x", 30.0)):
            place = ds.createVariable(name, "f8", (name,))
            place[:], place.units = step * np.arange(sizes[name]), "m"
            place.standard_name = f"projection_{name}_coordinate"
        cube_variable = ds.createVariable(f"{group}refl", "f4", dims.split(), fill_value=-1.0)
        turned[turned == turned.max()] = -1
        cube_variable[:] = turned
    expected = np.where(cube == cube.max(), np.nan, cube)
    # As GDAL's own list of subdatasets writes them, too.
    inside = f'NETCDF:"{tmp_path}/c.nc":/{group}refl', f"netcdf:{tmp_path}/c.nc:/{group}refl"
    for path in (tmp_path / "c.nc", *inside):
        raster = describe(path)
        np.testing.assert_allclose(raster.bands.wavelength_nm, np.linspace(400, 900, 7))
        # GDAL finds no place for arrays in groups, and takes their rows as going up.
        told = "its rows are read as they are stored" in said(raster)
        assert told == (bool(group) and dims.startswith("wavelength"))
        np.testing.assert_array_equal(pixels(raster), expected)


def test_rows_of_netcdf_are_told_to_be_turned_where_no_coordinate_tells_them(
    tmp_path: Path,
) -> None:
    cube = spectra(1, 12, 9)
    with netCDF4.Dataset(tmp_path / "c.nc", "w") as ds:
        for name, size in (("band", 1), ("y", 12), ("x", 9)):
            ds.createDimension(name, size)
        ds.createVariable("reflectance", "f4", ("band", "y", "x"))[:] = cube
    raster = describe(tmp_path / "c.nc")
    np.testing.assert_array_equal(pixels(raster), cube[:, ::-1])
    assert "its rows are read from the last to the first" in said(raster)
    told = next(m for m in raster.messages if "last to the first" in m)
    other = re.search(r"HDF5:\S+", told)
    assert other is not None
    np.testing.assert_array_equal(pixels(describe(other[0])), cube)


def test_netcdf_that_gdal_wrote_reads_as_gdal_reads_it(tmp_path: Path) -> None:
    cube = spectra(3, 12, 9)
    plain = write_tiff(tmp_path / "c.tif", cube, crs=None, transform=None)
    copy(plain, tmp_path / "c.nc", driver="netCDF")
    (name,) = [f'NETCDF:"{tmp_path}/c.nc":Band2']
    raster = describe(name)
    np.testing.assert_array_equal(pixels(raster), cube[1:2])
    assert "rows" not in said(raster)


@pytest.mark.parametrize("placed", [False, True])
def test_rows_of_netcdf_without_a_place_are_read_as_they_are_stored(
    placed: bool, tmp_path: Path
) -> None:
    """xarray writes such files where nobody sets a CRS: GDAL takes them for bottom-up."""
    cube = spectra(5, 12, 9)
    with netCDF4.Dataset(tmp_path / "c.nc", "w") as ds:
        for name, numbers in (("wavelength", NM), ("y", -np.arange(12.0)), ("x", np.arange(9.0))):
            ds.createDimension(name, len(numbers))
            axis = ds.createVariable(name, "f8", (name,))
            axis[:] = numbers
            if placed and name != "wavelength":
                axis.standard_name, axis.units = f"projection_{name}_coordinate", "m"
        ds["wavelength"].units = "nm"
        ds.createVariable("reflectance", "f4", ("wavelength", "y", "x"))[:] = cube
    raster = describe(tmp_path / "c.nc")
    np.testing.assert_array_equal(pixels(raster), cube)
    np.testing.assert_allclose(quicklook(raster, [0])[..., 0], cube[0])
    assert raster.bands.wavelength_nm.tolist() == NM
    assert ("its rows are read as they are stored" in said(raster)) == (not placed)
    ok("check", tmp_path / "c.nc", "--nodata", "0", "--fix", tmp_path / "f.vrt")
    np.testing.assert_array_equal(read(tmp_path / "f.vrt"), cube)
    run = tmp_path / "run"
    ok("train", tmp_path / "c.nc", "--groups", "equal:2", "-o", run, "--no-report", "--folds", 0)
    vrt = tmp_path / "sub"
    vrt.mkdir()
    weights = run / "weights.safetensors"
    ok("export", weights, "--to", "vrt", "--scene", tmp_path / "c.nc", "-o", vrt / "f.vrt")
    np.testing.assert_allclose(read(vrt / "f.vrt"), read(run / "fused.tif"), rtol=1e-5)


def test_widths_in_nm_are_not_taken_for_wavelengths(tmp_path: Path) -> None:
    cube = spectra(5, 12, 9)
    with netCDF4.Dataset(tmp_path / "c.nc", "w") as ds:
        for name, size in (("y", 12), ("x", 9), ("channel", 5)):
            ds.createDimension(name, size)
        for name, numbers in (("fwhm", [8, 9, 8, 9, 8]), ("wavelength", NM)):
            column = ds.createVariable(name, "f8", ("channel",))
            column[:], column.units = numbers, "nm"
        ds.createVariable("refl", "f4", ("y", "x", "channel"))[:] = np.moveaxis(cube, 0, -1)
    raster = describe(tmp_path / "c.nc")
    assert raster.bands.wavelength_nm.tolist() == NM
    assert raster.bands.fwhm_nm.tolist() == [8, 9, 8, 9, 8]
    np.testing.assert_array_equal(pixels(raster), cube)


@pytest.mark.parametrize("form", ["NETCDF4", "NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET"])
def test_netcdf_whose_first_axis_is_rows_is_in_doubt_where_nothing_tells_more(
    form: str, tmp_path: Path
) -> None:
    with netCDF4.Dataset(tmp_path / "c.nc", "w", format=form) as ds:
        for name, size in (("y", 12), ("x", 9), ("channel", 7)):
            ds.createDimension(name, size)
        ds.createVariable("refl", "f4", ("y", "x", "channel"))[:] = 1
    assert "the first axis, y, is taken for the bands" in said(describe(tmp_path / "c.nc"))


@pytest.mark.parametrize("flag", ["--mask", "--labels"])
def test_other_polygons_than_geojson_are_to_be_converted(flag: str, tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "c.tif", spectra(3, 6, 7))
    (tmp_path / "l.gpkg").write_bytes(b"SQLite format 3\0")
    goal = (
        ["--objective", "separability"] if flag == "--labels" else ["--objective", "reconstruction"]
    )
    done = cli(
        "train", path, *goal, "--groups", "equal:2", flag, tmp_path / "l.gpkg", "-o", tmp_path / "r"
    )
    assert done.code == 2
    assert f"ogr2ogr -t_srs EPSG:4326 {flag[2:]}.geojson FILE" in " ".join(done.err.split())


def test_a_grid_called_arbitrary_has_a_short_message(tmp_path: Path) -> None:
    """PROJ writes the whole CRS of it into its message."""
    envi(tmp_path, "map info = {Arbitrary, 1, 1, 0, 0, 1, 1, 0, North}")
    target = write_tiff(tmp_path / "t.tif", spectra(1, 6, 7))
    done = cli("train", tmp_path / "x.dat", "--target", target, "--no-report", "-o", tmp_path / "r")
    assert done.code == 2
    assert "$schema" not in done.err
    assert "'Arbitrary'" in done.err
    assert len(done.err) < 400 + 2 * len(str(tmp_path))


@pytest.mark.parametrize("text", ["nan", "NaN", "-nan", "inf", "-Infinity"])
def test_fill_values_that_are_not_finite_are_no_doubt(text: str, tmp_path: Path) -> None:
    """Such pixels are never valid, and GDAL writes nan itself."""
    found = describe(envi(tmp_path, f"data ignore value = {text}"))
    assert "entry-unreadable" not in {getattr(m, "code", "") for m in found.messages}
    assert not any("not understood" in m for m in found.messages)
