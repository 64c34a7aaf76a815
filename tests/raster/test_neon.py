"""NEON AOP: tiles and flight lines of the published structure, against what h5py finds; and the
texts in HDF5 files by which they are placed."""

from __future__ import annotations

import shutil
import struct
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import published_hdf
import pytest
from product_checks import every_command, read_as_made, refused_in_one_line
from rasterio.crs import CRS
from rasterio.transform import Affine

from bandfuse.raster import describe, product_in
from bandfuse.raster.products.hdf_texts import arrays_in, bytes_told, texts_of

TILE = "NEON_D02_SERC_DP3_368000_4306000_reflectance.h5"
NAMES = {
    TILE: "NEON AOP L3 reflectance",
    "NEON_D02_SERC_DP3_368000_4306000_bidirectional_reflectance.h5": (
        "NEON AOP L3 bidirectional reflectance"
    ),
    "NEON_D05_LIRO_DP3.30006.002_290000_5097000_bidirectional_reflectance.h5": (
        "NEON AOP L3 bidirectional reflectance"
    ),
    "NEON_D10_R10C_DP1_20170522_173011_reflectance.h5": "NEON AOP L1 reflectance",
    "NEON_D13_RMNP_DP1_L019-1_20230619_directional_reflectance.h5": (
        "NEON AOP L1 directional reflectance"
    ),
}
PLACE = Affine(1.0, 0, 368000.0, 0, -1.0, 4307000.0)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_read_as_h5py_finds_it(name: str, tmp_path: Path) -> None:
    made = published_hdf.neon(tmp_path, name)
    raster = read_as_made(made.path, made)
    assert raster.product == product_in([name]) == NAMES[name]
    assert set(raster.nodata.tolist()) == {-9999.0}
    np.testing.assert_allclose(raster.scale, 1e-4, rtol=1e-12)
    assert raster.pieces[0].axes == "rcb"
    assert (raster.crs, raster.transform) == (CRS.from_epsg(32618), PLACE)
    assert raster.messages == ()


def test_bands_in_the_water_windows_are_bad(tmp_path: Path) -> None:
    made = published_hdf.neon(tmp_path)
    bands = describe(made.path).bands
    inside = (np.abs(made.nm - 1392.5) <= 52.5) | (np.abs(made.nm - 1872.5) <= 82.5)
    assert inside.sum() >= 5
    np.testing.assert_array_equal(~bands.good, inside)
    assert bands.reason[int(np.flatnonzero(inside)[0])] == (
        "in a water window, 1340 to 1445 nm (Band_Window_1_Nanometers)"
    )


def test_every_command_works(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").mkdir()
    made = published_hdf.neon(tmp_path / "in")
    every_command(made.path, made, NAMES[TILE], tmp_path, capfd, vrt=False)


@pytest.mark.parametrize(
    ("texts", "crs", "place", "says"),
    [
        ({"EPSG Code": "EPSG:32614"}, 32614, PLACE, ""),
        ({"EPSG Code": ""}, 32618, PLACE, ""),
        ({"EPSG Code": "none", "Coordinate_System_String": ""}, None, PLACE, "names no CRS"),
        (
            {"Map_Info": "UTM, 3, 2.0, 500, 900, 2.0, 4.0, 18, North, WGS-84, units=Meters"},
            32618,
            Affine(2.0, 0, 496.0, 0, -4.0, 904.0),
            "",
        ),
        ({"Map_Info": ""}, None, Affine.identity(), "Map_Info (none)"),
        ({"Map_Info": "UTM, 1, 1, x, 4"}, None, Affine.identity(), "not understood"),
        ({"Map_Info": f"{published_hdf.NEON_MAP}, rotation=12"}, None, Affine.identity(), "place"),
    ],
)
def test_the_place_is_that_of_its_texts(
    texts: dict[str, str], crs: int | None, place: Affine, says: str, tmp_path: Path
) -> None:
    raster = describe(published_hdf.neon(tmp_path, texts=texts).path)
    assert raster.crs == (None if crs is None else CRS.from_epsg(crs))
    assert raster.transform == place
    assert says in " ".join(raster.messages)
    assert bool(says) == bool(raster.messages)


def test_radiance_in_two_arrays_is_refused(tmp_path: Path) -> None:
    name = "NEON_D10_R10C_DP1_20170522_173011_radiance.h5"
    path = published_hdf.neon(tmp_path, name, radiance=True).path
    refused_in_one_line("info", path, says=("NEON AOP radiance", "RadianceIntegerPart", "Give"))


def test_it_is_found_in_folders_and_under_other_names(tmp_path: Path) -> None:
    path = published_hdf.neon(tmp_path).path
    for name, title in ((path.name.lower(), NAMES[TILE]), ("TILE.H5", "NEON AOP")):
        place = tmp_path / name / "order"
        place.mkdir(parents=True)
        shutil.copy(path, place / name)
        for given in (place / name, place, place.parent):
            assert describe(given).product == title


@pytest.mark.parametrize("kind", ["zip", "tar", "gztar"])
def test_an_archive_is_named_and_to_be_unpacked(kind: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    published_hdf.neon(tmp_path / "in")
    made = shutil.make_archive(str(tmp_path / "order"), kind, tmp_path / "in")
    refused_in_one_line("info", made, says=("NEON AOP L3 reflectance", "Unpack it"))


@pytest.mark.parametrize("name", ["Wavelength", "FWHM"])
def test_columns_of_another_length_are_refused(name: str, tmp_path: Path) -> None:
    path = published_hdf.neon(tmp_path).path
    with h5py.File(path, "r+") as h:
        spectral = h["SERC/Reflectance/Metadata/Spectral_Data"]
        shorter = spectral[name][:-1]
        del spectral[name]
        spectral[name] = shorter
    refused_in_one_line("info", path, says=(name, "10 numbers", "11, one per band"))


def test_without_widths_there_are_none(tmp_path: Path) -> None:
    made = published_hdf.neon(tmp_path)
    with h5py.File(made.path, "r+") as h:
        del h["SERC/Reflectance/Metadata/Spectral_Data/FWHM"]
    assert np.isnan(describe(made.path).bands.fwhm_nm).all()
    read_as_made(made.path, replace(made, fwhm=np.full(11, np.nan)))


def test_the_cube_may_be_the_only_array_of_the_file(tmp_path: Path) -> None:
    """Of one array GDAL lists no subdatasets."""
    made = published_hdf.neon(tmp_path)
    with h5py.File(made.path, "r+") as h:
        del h["SERC/Reflectance/Metadata/Ancillary_Imagery"]
    raster = read_as_made(made.path, made)
    assert raster.product == "NEON AOP L3 reflectance"
    assert (raster.crs, raster.transform) == (CRS.from_epsg(32618), PLACE)


@pytest.mark.parametrize(
    ("attribute", "value", "says"),
    [("Scale_Factor", None, "lacks the attribute"), ("Scale_Factor", 0.0, "a number above 0"),
     ("Data_Ignore_Value", None, "lacks the attribute")],
)  # fmt: skip
def test_attributes_that_are_missing_are_named(
    attribute: str, value: float | None, says: str, tmp_path: Path
) -> None:
    path = published_hdf.neon(tmp_path).path
    with h5py.File(path, "r+") as h:
        attributes = h["SERC/Reflectance/Reflectance_Data"].attrs
        del attributes[attribute]
        if value is not None:
            attributes[attribute] = value
    refused_in_one_line("info", path, says=(attribute, says))


# ---------------------------------------------------------------------------------- texts in HDF5

PLACE_OF = "SITE/Metadata/Coordinate_System"


def texts_file(path: Path, libver: str, track_order: bool) -> dict[str, str]:
    """A file with many links beside the texts, as h5py writes it, and the texts that it finds."""
    with h5py.File(path, "w", libver=(libver, "latest"), track_order=track_order) as h:
        group = h.create_group(PLACE_OF)
        group["Map_Info"] = "UTM,  1.000,  1.000, é"
        group["EPSG Code"] = np.bytes_("32618")
        group["Proj4"] = b"+proj=utm"
        group["number"] = 3.0
        group["several"] = np.array([b"a", b"b"])
        group["log"] = "x" * 200_000
        group["Map_Info"].attrs["note"] = "n" * 300
        old = libver == "earliest" and not track_order
        many = "SITE/Metadata" if old else "SITE/Logs"
        for i in range(70):
            h[f"{many}/flight_{i}"] = np.arange(3.0)
    with h5py.File(path) as h:
        keys = [k for k in h[PLACE_OF] if k not in ("number", "several")]
        return {f"{PLACE_OF}/{k}": h[f"{PLACE_OF}/{k}"][()].decode() for k in keys}


@pytest.mark.parametrize("track_order", [False, True])
@pytest.mark.parametrize("libver", ["earliest", "v108", "v110", "latest"])
def test_texts_are_those_that_h5py_reads(libver: str, track_order: bool, tmp_path: Path) -> None:
    expected = texts_file(tmp_path / "t.h5", libver, track_order)
    assert len(expected) == 4
    asked = [*expected, f"{PLACE_OF}/number", f"{PLACE_OF}/nothing", "NOWHERE/Map_Info"]
    assert texts_of(str(tmp_path / "t.h5"), asked) == expected


@pytest.mark.parametrize("times", [False, True])
def test_headers_with_settings_of_their_own_are_read(times: bool, tmp_path: Path) -> None:
    """Of version 2, with times of change and with bounds of the list of attributes."""
    with h5py.File(tmp_path / "t.h5", "w", libver="latest") as h:
        how = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        how.set_attr_phase_change(5, 3)
        how.set_obj_track_times(times)
        kind, space = h5py.h5t.C_S1.copy(), h5py.h5s.create(h5py.h5s.SCALAR)
        kind.set_size(6)
        made = h5py.h5d.create(h.id, b"text", kind, space, how)
        made.write(h5py.h5s.ALL, h5py.h5s.ALL, np.array(b"32618", "S6"))
    with h5py.File(tmp_path / "t.h5") as h:
        assert h["text"][()] == b"32618"
    assert texts_of(str(tmp_path / "t.h5"), ["text"]) == {"text": "32618"}


def test_a_group_of_many_links_in_the_new_form_is_not_understood(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "t.h5", "w", libver="latest") as h:
        for i in range(20):
            h[f"group/text_{i}"] = "UTM"
        h["few/text"] = "UTM"
    found = texts_of(str(tmp_path / "t.h5"), ["group/text_1", "few/text"])
    assert found == {"few/text": "UTM"}


def test_a_file_with_a_user_block_is_not_understood(tmp_path: Path) -> None:
    """Nor is one that is no HDF5 file, or is not there."""
    with h5py.File(tmp_path / "t.h5", "w", userblock_size=512) as h:
        h["Map_Info"] = "UTM"
    (tmp_path / "t.txt").write_text("UTM")
    for name in ("t.h5", "t.txt", "none.h5"):
        assert texts_of(str(tmp_path / name), ["Map_Info"]) == {}


def test_damaged_files_give_no_text_or_another_but_never_fail(tmp_path: Path) -> None:
    texts_file(tmp_path / "t.h5", "earliest", False)
    whole = (tmp_path / "t.h5").read_bytes()
    rng = np.random.default_rng(7)
    names = [f"{PLACE_OF}/Map_Info", f"{PLACE_OF}/EPSG Code"]
    for trial in range(300):
        data = bytearray(whole[: int(rng.integers(len(whole)))] if trial % 3 == 0 else whole)
        for _ in range(int(rng.integers(1, 200))):
            if data:
                data[int(rng.integers(min(len(data), 30_000)))] = int(rng.integers(256))
        (tmp_path / "d.h5").write_bytes(data)
        found = texts_of(str(tmp_path / "d.h5"), names)
        assert set(found) <= set(names)
        assert all(arrays_in(str(tmp_path / "d.h5")))
        told = bytes_told(str(tmp_path / "d.h5"))
        assert told is None or told >= 0


@pytest.mark.parametrize("libver", ["earliest", "v108", "v110"])
def test_arrays_are_those_that_h5py_finds(libver: str, tmp_path: Path) -> None:
    """Arrays of one axis, scalars and links in a circle are not among them."""
    with h5py.File(tmp_path / "a.h5", "w", libver=(libver, "v110")) as h:
        for i in range(7):
            h[f"a/group {i}/flat"] = np.zeros(3)
            h[f"a/group {i}/an image"] = np.zeros((2, 3 + i))
            h[f"a/group {i}/back"] = h["a"]
        h["cube"], h["number"] = np.zeros((2, 3, 4)), 1.0
    every = {f"a/group {i}/an image" for i in range(7)} | {"cube"}
    assert set(arrays_in(str(tmp_path / "a.h5"))) == every
    assert bytes_told(str(tmp_path / "a.h5")) == (tmp_path / "a.h5").stat().st_size


# ------------------------------------------------------------------------------- what is not read


@pytest.mark.parametrize("short", [1, 30_000])
def test_a_file_that_ends_early_says_how_much_of_it_is_there(short: int, tmp_path: Path) -> None:
    for made in (published_hdf.neon(tmp_path), published_hdf.tanager(tmp_path)):
        whole = made.path.read_bytes()
        assert bytes_told(str(made.path)) == len(whole)
        made.path.write_bytes(whole[:-short])
        refused_in_one_line(
            "info",
            made.path,
            says=(f"got {len(whole) - short} bytes", f"expected {len(whole)} bytes", "again"),
        )


def test_arrays_in_a_newer_form_are_named_as_such(tmp_path: Path) -> None:
    """GDAL passes over arrays that its HDF5 library does not know. The version of the layout of
    one is raised here, as in files that a newer library has written in its newest form."""
    made = published_hdf.neon(tmp_path)
    with h5py.File(made.path, "r+") as file:
        cube = file["SERC/Reflectance/Reflectance_Data"]
        bands = cube.shape[2]
    data = bytearray(made.path.read_bytes())
    layout = bytes([3, 2, 4])  # version, chunked, its axes and one for the size of a value
    place = next(
        i
        for i in range(len(data) - 30)
        if data[i : i + 3] == layout
        and struct.unpack_from("<4I", data, i + 11) == (10, 10, bands, 2)
    )
    data[place] = 99
    made.path.write_bytes(data)
    refused_in_one_line(
        "info",
        made.path,
        says=("is NEON AOP L3 reflectance by its name", "does not find the cube", "h5repack"),
    )
