"""Wyvern: images with their STAC items, and STAC items beside other rasters."""

from __future__ import annotations

import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import published
import published_hdf
import pytest
import rasterio
from product_checks import every_command, pixels, read_as_made, refused_in_one_line
from published_hdf import WYVERN_FWHM, WYVERN_NM
from rasterio.crs import CRS
from rasters import NORTH_UP, UTM, cli, ok, spectra, write_tiff

from bandfuse.raster import describe, product_in

STEM = "wyvern_dragonette-001_20250526T081429_123b53d7"
N = len(WYVERN_NM)


def said(path: Path) -> str:
    return " ".join(describe(path).messages)


# ------------------------------------------------------------------------------------------ Wyvern


@pytest.mark.parametrize("stac", ["1.0.0", "1.1.0"])
@pytest.mark.parametrize(("level", "title"), [("", "L1B"), ("l1b", "L1B"), ("l2a", "L2A")])
def test_a_scene_is_read_with_its_item(level: str, title: str, stac: str, tmp_path: Path) -> None:
    made = published_hdf.wyvern(tmp_path, level, stac=stac)
    raster = read_as_made(made.path, made)
    assert raster.product == f"Wyvern Dragonette {title}"
    assert set(raster.scale.tolist()) == {1e-4 if title == "L2A" else 1.0}
    assert set(raster.offset.tolist()) == {0.0}
    assert set(raster.nodata.tolist()) == {65535.0 if title == "L2A" else -9999.0}
    assert raster.bands.name[0] == "Band_503"
    assert not raster.pieces[0].axes
    image = made.path / f"{made.path.name}.tiff"
    with rasterio.open(image) as ds:
        assert (raster.crs, raster.transform) == (ds.crs, ds.transform)
    assert {Path(f).suffix for f in raster.files} == {".tiff", ".json"}
    assert raster.messages == ()


def test_tags_of_the_image_come_before_its_item(tmp_path: Path) -> None:
    made = published_hdf.wyvern(tmp_path, tagged=True)
    item = made.path / f"{STEM}.json"
    text = json.loads(item.read_text())
    for band in text["assets"]["Cloud optimized GeoTiff"]["eo:bands"]:
        band["center_wavelength"] += 0.001
    item.write_text(json.dumps(text))
    read_as_made(made.path, made)


def test_without_an_item_tags_or_names_tell_the_wavelengths(tmp_path: Path) -> None:
    for folder in ("tags", "names", "scale"):
        (tmp_path / folder).mkdir()
    tagged = published_hdf.wyvern(tmp_path / "tags", tagged=True, item=False)
    read_as_made(tagged.path, tagged)
    named = published_hdf.wyvern(tmp_path / "names", item=False)
    raster = describe(named.path)
    assert raster.bands.wavelength_nm.tolist() == list(WYVERN_NM)
    assert np.isnan(raster.bands.fwhm_nm).all()
    assert raster.messages == ("wavelengths come from the band names",)
    scaled = published_hdf.wyvern(tmp_path / "scale", "l2a", item=False)
    assert "values are read as they are stored" in said(scaled.path)
    np.testing.assert_allclose(pixels(describe(scaled.path)) / 10000, scaled.values)


def test_nodata_of_the_item_is_used_where_the_image_declares_none(tmp_path: Path) -> None:
    made = published_hdf.wyvern(tmp_path)
    image = made.path / f"{STEM}.tiff"
    with rasterio.open(image, "r+") as ds:
        ds.nodata = None
    read_as_made(made.path, made)


@pytest.mark.parametrize(("level", "given"), [("", "folder"), ("l2a", ".tiff"), ("", ".json")])
def test_every_command_works(
    level: str, given: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    made = published_hdf.wyvern(tmp_path / "in", level)
    stem = made.path.name
    path = made.path if given == "folder" else made.path / f"{stem}{given}"
    title = f"Wyvern Dragonette {level.upper() or 'L1B'}"
    every_command(path, made, title, tmp_path, capfd, vrt=True)


def in_zip(folder: Path) -> Path:
    return published.zipped(folder)


def in_zip_by_name(folder: Path) -> str:
    """The image in the archive, as GDAL names it."""
    made = published.zipped(folder)
    return f"/vsizip/{made}/{folder.name}/{folder.name}.tiff"


def in_tar(folder: Path) -> Path:
    path = folder.with_name("order.tar")
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        tar.add(folder, f"123b53d7-e949/{folder.name}")
    return path


def in_order(folder: Path) -> Path:
    order = folder.with_name("order")
    (order / "guid").mkdir(parents=True)
    shutil.copytree(folder, order / "guid" / folder.name)
    (order / "guid" / "catalog.json").write_text("{}")
    return order


def in_upper_case(folder: Path) -> Path:
    made = folder.with_name(folder.name.upper())
    made.mkdir()
    for file in folder.iterdir():
        shutil.copy(file, made / file.name.upper())
    return made


@pytest.mark.parametrize("layout", [in_zip, in_zip_by_name, in_tar, in_order, in_upper_case])
def test_layouts_are_read_alike(layout: Callable[[Path], Path | str], tmp_path: Path) -> None:
    made = published_hdf.wyvern(tmp_path, "l2a")
    raster = read_as_made(layout(made.path), made)
    assert raster.product == "Wyvern Dragonette L2A"


def test_a_folder_of_several_scenes_or_of_other_images_is_no_one_scene(tmp_path: Path) -> None:
    made = published_hdf.wyvern(tmp_path)
    for mask in made.path.glob("*_mask.tiff"):
        mask.unlink()
    write_tiff(made.path / "other.tif", spectra(N, 48, 40))
    scenes = ok("info", made.path, "--json").json["scenes"]
    assert sorted(s["driver"].split(" (")[0] for s in scenes) == ["GTiff", "Wyvern Dragonette L1B"]
    (made.path / "other.tif").unlink()
    second = f"{STEM[:-1]}4"
    for ending in ("tiff", "json"):
        shutil.copy(made.path / f"{STEM}.{ending}", made.path / f"{second}.{ending}")
    assert len(ok("info", made.path, "--json").json["scenes"]) == 2


def test_a_compressed_archive_is_named(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    published_hdf.wyvern(tmp_path / "in", "l2a")
    made = shutil.make_archive(str(tmp_path / "order"), "gztar", tmp_path / "in")
    refused_in_one_line("info", made, says=("Wyvern Dragonette L2A", "Unpack it"))


def test_names_tell_the_product() -> None:
    assert product_in([f"{STEM}.tiff"]) == "Wyvern Dragonette L1B"
    assert product_in([f"{STEM}_l2a.json".upper()]) == "Wyvern Dragonette L2A"


def edited(folder: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """A scene whose item is changed."""
    made = published_hdf.wyvern(folder)
    item = made.path / f"{STEM}.json"
    text = json.loads(item.read_text())
    change(text)
    item.write_text(json.dumps(text))
    return made.path


def fewer(key: str) -> Callable[[dict[str, Any]], None]:
    return lambda item: item["assets"]["Cloud optimized GeoTiff"][key].pop()


@pytest.mark.parametrize("key", ["eo:bands", "raster:bands"])
def test_an_item_of_another_number_of_bands_is_refused(key: str, tmp_path: Path) -> None:
    path = edited(tmp_path, fewer(key))
    refused_in_one_line("info", path, says=(f"7 entries of {key}", "8, one per band"))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b'{"type": "Feature", "stac_ver', "is not complete JSON"),
        (b"", "is not complete JSON"),
        (b"\xff\xfe[", "is not complete JSON"),
        (b"[1, 2]", "no STAC item"),
        (b'{"stac_version": "1.0.0", "assets": {"mask": {"href": "m.tif"}}}', "assets mask"),
        (b'{"stac_version": "1.0.0", "assets": [3]}', "no STAC item"),
    ],
)
def test_a_damaged_item_is_refused(data: bytes, says: str, tmp_path: Path) -> None:
    path = published_hdf.wyvern(tmp_path).path
    (path / f"{STEM}.json").write_bytes(data)
    for given in (path, path / f"{STEM}.tiff", path / f"{STEM}.json"):
        refused_in_one_line("info", given, says=(f"{STEM}.json", says))


def test_an_item_without_its_image_is_refused(tmp_path: Path) -> None:
    path = published_hdf.wyvern(tmp_path).path
    (path / f"{STEM}.tiff").unlink()
    refused_in_one_line("info", path / f"{STEM}.json", says=("no Wyvern image",))


def test_odd_entries_of_an_item_are_nothing_said(tmp_path: Path) -> None:
    def change(item: dict[str, Any]) -> None:
        asset = item["assets"]["Cloud optimized GeoTiff"]
        asset["eo:bands"][2]["full_width_half_max"] = None
        asset["eo:bands"][3]["full_width_half_max"] = {"value": 3}
        asset["raster:bands"] = "none"

    raster = describe(edited(tmp_path, change))
    assert raster.bands.wavelength_nm.tolist() == pytest.approx(list(WYVERN_NM))
    assert np.flatnonzero(np.isnan(raster.bands.fwhm_nm)).tolist() == [2, 3]


# -------------------------------------------------------------------- items beside other rasters


def scene(folder: Path, *, stac: str = "1.0.0", href: str = "scene.tif", **how: Any) -> Path:
    """A GeoTIFF without wavelengths, with an item beside it."""
    write_tiff(folder / "scene.tif", spectra(N, 30, 26), **how)
    bands = [
        {"name": f"B{i}", "center_wavelength": nm / 1000, "full_width_half_max": fwhm / 1000}
        for i, (nm, fwhm) in enumerate(zip(WYVERN_NM, WYVERN_FWHM, strict=True))
    ]
    item = published_hdf.wyvern_item("scene.tif", bands, [{"scale": 0.5}] * N, stac=stac)
    item["assets"]["Cloud optimized GeoTiff"]["href"] = href
    (folder / "scene.json").write_text(json.dumps(item))
    return folder / "scene.tif"


@pytest.mark.parametrize("stac", ["1.0.0", "1.1.0"])
@pytest.mark.parametrize("href", ["./scene.tif", "https://x.org/a/SCENE.TIF?key=1", "other.tif"])
def test_an_item_beside_a_raster_tells_its_wavelengths(
    stac: str, href: str, tmp_path: Path
) -> None:
    """It is the raster's by its name, or by the one asset that has wavelengths. Its scale is not
    used: what stands in the raster may have been changed since."""
    raster = describe(scene(tmp_path, stac=stac, href=href))
    np.testing.assert_allclose(raster.bands.wavelength_nm, WYVERN_NM, rtol=1e-12)
    np.testing.assert_allclose(raster.bands.fwhm_nm, WYVERN_FWHM, rtol=1e-12)
    assert raster.scale.tolist() == [1.0] * N
    assert raster.messages == ("wavelengths come from the STAC item scene.json beside it",)
    assert str(tmp_path / "scene.json") in raster.files
    assert raster.crs == CRS.from_string(UTM)
    assert raster.transform == NORTH_UP
    found = cli("check", tmp_path / "scene.tif", "--json").json["findings"]
    assert "stac-item" in {f["code"] for f in found}


def test_what_the_raster_says_itself_comes_first(tmp_path: Path) -> None:
    nm = [float(i) for i in range(700, 700 + N)]
    raster = describe(scene(tmp_path, nm=nm))
    assert raster.bands.wavelength_nm.tolist() == nm
    assert raster.messages == ()


def test_a_table_of_the_user_comes_before_the_item(tmp_path: Path) -> None:
    path = scene(tmp_path)
    (tmp_path / "own.txt").write_text("\n".join(str(900 + i) for i in range(N)))
    raster = describe(path, wavelengths=tmp_path / "own.txt")
    assert raster.bands.wavelength_nm.tolist() == [900.0 + i for i in range(N)]


def test_an_item_of_another_number_of_bands_is_not_used_and_it_is_said(tmp_path: Path) -> None:
    path = scene(tmp_path)
    text = json.loads((tmp_path / "scene.json").read_text())
    fewer("eo:bands")(text)
    (tmp_path / "scene.json").write_text(json.dumps(text))
    raster = describe(path)
    assert np.isnan(raster.bands.wavelength_nm).all()
    assert "7 entries of eo:bands, and is not used" in said(path)
    codes = {f["code"] for f in ok("check", path, "--json").json["findings"]}
    assert "stac-item-unused" in codes


@pytest.mark.parametrize("text", ["{", "[]", '{"a": 1}', '{"stac_version": "1.0.0", "assets": {}}'])
def test_other_json_beside_a_raster_is_nothing(text: str, tmp_path: Path) -> None:
    path = scene(tmp_path)
    (tmp_path / "scene.json").write_text(text)
    assert describe(path).messages == ()
