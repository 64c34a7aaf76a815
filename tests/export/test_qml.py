"""Styles for QGIS beside rasters: the right bands, the right limits, whole with the raster; what
QGIS makes of them is in test_qgis.py."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine
from rasters import NORTH_UP, cli, listing, ok, read, spectra, wavelengths, write_tiff

from bandfuse.export import qml
from bandfuse.model.fusion import Fusion
from bandfuse.model.model import Model
from bandfuse.model.weightsfile import dumps
from bandfuse.spectral.bands import Bands

COLOURS = ("red", "green", "blue")
CENTRES = [490.0, 560.0, 660.0, 860.0]
"""Of the outputs: blue, green, red, nir."""

NOT_COVERED = "no QGIS style is written for"
USERS = '<qgis version="3.22.4-Bialowieza"><pipe/></qgis>'
"""As QGIS writes it: without the mark of bandfuse."""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cube with a gap, weights whose outputs are blue, green, red, nir, and some without
    wavelengths."""
    cube = spectra(6, 40, 50)
    cube[2, 5:9, 10:20] = np.nan
    write_tiff(tmp_path / "x.tif", cube, nm=wavelengths(6))
    weight = np.random.default_rng(3).random((4, 6))
    inputs = Bands.of([f"b{i}" for i in range(6)], wavelength_nm=wavelengths(6))
    for name, nm in (("w", CENTRES), ("plain", [np.nan] * 4)):
        outputs = Bands.of(["b", "g", "r", "n"], wavelength_nm=nm)
        fusion = Fusion(weight, np.ones(4), np.zeros(4), inputs, outputs)
        (tmp_path / f"{name}.safetensors").write_bytes(dumps(Model(fusion)))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def style_of(path: str | Path) -> tuple[list[int], list[tuple[float, float]]]:
    """The bands that a style draws as red, green and blue, and their limits."""
    root = Xml.parse(path).getroot()
    assert root.tag == "qgis"
    (renderer,) = root.findall("pipe/rasterrenderer")
    assert renderer.get("type") == "multibandcolor"
    assert renderer.get("alphaBand") == "-1"
    found = []
    for colour in COLOURS:
        (stretch,) = renderer.findall(f"{colour}ContrastEnhancement")
        assert stretch.findtext("algorithm") == "StretchToMinimumMaximum"
        found.append(tuple(float(stretch.findtext(k) or "") for k in ("minValue", "maxValue")))
    return [int(renderer.get(f"{c}Band") or 0) for c in COLOURS], found  # type: ignore[return-value]


def physical(path: str | Path) -> np.ndarray:
    """(B, H, W) values as QGIS reads them: scale and offset of the bands are applied."""
    with rasterio.open(path) as ds:
        scales, offsets = (np.array(v)[:, None, None] for v in (ds.scales, ds.offsets))
        return ds.read(masked=True).astype(float).filled(np.nan) * scales + offsets


def check(raster: str, bands: list[int] | None = None, within: float = 1e-9) -> None:
    """The style beside a raster: its limits are the percentiles of the values in the raster."""
    drawn, limits = style_of(Path(raster).with_suffix(".qml"))
    assert drawn == (bands or [3, 2, 1])
    values = physical(raster)
    for band, (low, high) in zip(drawn, limits, strict=True):
        assert low < high
        want = np.nanpercentile(values[band - 1], [2, 98])
        room = within * (np.nanmax(values) - np.nanmin(values))
        assert [low, high] == pytest.approx(list(want), abs=room)


FORMS: dict[str, list[object]] = {
    "y.tif": [],
    "cog.tif": ["--driver", "COG"],
    "y.img": ["--driver", "ENVI"],
    "y.zarr": [],
    "whole.tif": ["--dtype", "int16", "--scale", 0.001, "--offset-out", 0.25],
    "part.tif": ["--window", 3, 8, 20, 30],
    "filled.tif": ["--nodata-out", -9999],
}


@pytest.mark.parametrize("name", FORMS)
def test_the_style_of_an_applied_raster(place: Path, name: str) -> None:
    done = ok("apply", "w.safetensors", "x.tif", "-o", name, "--style", *FORMS[name])
    assert NOT_COVERED not in done.err
    check(name)


def test_the_style_of_a_large_raster_rests_on_few_pixels(place: Path) -> None:
    """On a grid of several thousand pixels a ramp's percentiles are known."""
    ramp = np.linspace(0, 1, 1500, dtype="float32")[None, :, None].repeat(6, 0).repeat(40, 2)
    write_tiff(place / "large.tif", ramp, nm=wavelengths(6))
    ok("apply", "w.safetensors", "large.tif", "-o", "y.tif", "--style", "--any-units")
    check("y.tif", within=0.01)


def test_the_style_of_a_run(place: Path) -> None:
    """It is in the run folder, which can be replaced; a second run does not ask for it."""
    cube, nm = spectra(30, 40, 50), wavelengths(30)
    known: dict[str, Any] = {"fwhm": [20.0] * 3, "names": COLOURS}
    write_tiff(place / "x.tif", cube, nm=nm, fwhm=[20.0] * 30)
    write_tiff(place / "t.tif", cube[[13, 8, 4]], nm=[nm[i] for i in (13, 8, 4)], **known)
    how = ("--no-report", "--folds", 0)
    train = ("train", "x.tif", "--target", "t.tif", "-o", "run", *how)
    plan = ok(*train, "--style", "--dry-run", "--json").json
    assert [text for text in plan["messages"] if "NAME.qml" in text]
    ok(*train, "--style")
    check("run/fused.tif", [1, 2, 3])
    ok(*train, "--style", "--overwrite")
    ok("train", "--config", "run/config.yaml", "-o", "again", *how)
    assert not Path("again/fused.qml").exists()
    Path("run/fused.qml").write_text(USERS)
    done = cli(*train, "--style", "--overwrite")
    assert (done.code, "run also holds fused.qml" in done.err) == (2, True), done.err
    assert Path("run/fused.qml").read_text() == USERS


def test_the_style_of_a_resampled_raster(place: Path) -> None:
    write_tiff(place / "c.tif", spectra(60, 20, 20), nm=wavelengths(60), fwhm=[10.0] * 60)
    ok("resample", "c.tif", "--sensor", "sentinel-2a", "-o", "s2.tif", "--style", "--stac")
    with rasterio.open("s2.tif") as ds:
        want = [ds.descriptions.index(b) + 1 for b in ("B4", "B3", "B2")]
    check("s2.tif", want)
    assert Path("s2.weights.safetensors").is_file()
    assert Path("s2.stac.json").is_file()


@pytest.mark.parametrize("form", ["derived", "processed"])
def test_the_style_of_a_virtual_raster(place: Path, form: str) -> None:
    """Its limits are those of what GDAL computes, also of a cube with a scale."""
    cube = np.rint(spectra(6, 40, 50) * 1000).astype("int16")
    scaled = {"scales": [0.001] * 6, "offsets": [0.1] * 6}
    write_tiff(place / "s.tif", cube, nm=wavelengths(6), **scaled)
    export = ("export", "w.safetensors", "--to", "vrt", "--form", form, "--scene", "s.tif")
    ok(*export, "-o", "f.vrt", "--style")
    check("f.vrt", within=1e-5)


def test_the_style_of_a_pansharpened_raster(place: Path) -> None:
    """The bands are numbered as in the VRT, without the bad ones; limits are in stored values,
    about those of the cube."""
    nm = [420.0, 430.0, 490.0, 560.0, 660.0, 860.0]
    cube = np.rint(spectra(6, 40, 50) * 1000).astype("int16")
    known: dict[str, Any] = {"nm": nm, "fwhm": [20.0] * 6, "bad": [1]}
    write_tiff(place / "c.tif", cube, scales=[0.001] * 6, **known)
    pan = (0.001 * cube[2:5].mean(0))[None].astype("float32")
    write_tiff(place / "small.tif", pan)
    fine = (1000 * pan).repeat(2, axis=1).repeat(2, axis=2)
    write_tiff(place / "pan.tif", fine, transform=NORTH_UP @ Affine.scale(0.5))
    how = ("--constraint", "nonnegative", "--no-offset", "--no-report", "--no-fused")
    ok("train", "c.tif", "--target", "small.tif", "-o", "run", *how)
    pair = ("--scene", "c.tif", "--pan", "pan.tif", "--style")
    ok("export", "run", "--to", "pansharpen", *pair, "-o", "sharp.vrt")
    drawn, limits = style_of("sharp.qml")
    with rasterio.open("sharp.vrt") as ds:
        assert [ds.colorinterp[i - 1].name for i in drawn] == list(COLOURS)
    for position, ends in zip((4, 3, 2), limits, strict=True):
        assert list(ends) == pytest.approx(list(np.percentile(cube[position], [2, 98])), rel=1e-9)


COMMANDS = {
    "apply": ["apply", "plain.safetensors", "x.tif", "-o", "y.tif", "--style"],
    "resample": ["resample", "x.tif", "--sensor", "near.csv", "-o", "y.tif", "--style"],
    "train": ["train", "x.tif", "--groups", "equal:2", "--folds", 0, "-o", "run", "--style"],
    "export": [
        *("export", "plain.safetensors", "--to", "vrt", "--scene", "c.tif", "-o", "f.vrt"),
        "--style",
    ],
}


@pytest.mark.one_in(2)
@pytest.mark.parametrize("command", COMMANDS)
def test_without_red_green_and_blue_one_message_says_so(place: Path, command: str) -> None:
    (place / "near.csv").write_text("name,centre_nm,fwhm_nm\nb1,750,150\nb2,860,150\n")
    write_tiff(place / "c.tif", spectra(6, 40, 50), nm=wavelengths(6))
    done = ok(*COMMANDS[command])
    said = " ".join(done.err.split())
    assert said.count(NOT_COVERED) == 1, done.err
    assert "its bands do not cover red, green and blue by their wavelengths" in said
    assert not list(place.rglob("*.qml"))
    quiet = ok(*COMMANDS[command][:-1], "--overwrite")
    assert NOT_COVERED not in quiet.err


def test_several_rasters_without_a_style_are_one_message(place: Path) -> None:
    (place / "z.tif").write_bytes((place / "x.tif").read_bytes())
    done = ok("apply", "plain.safetensors", "x.tif", "z.tif", "-o", "out/", "--style")
    said = " ".join(done.err.split())
    assert said.count(NOT_COVERED) == 1
    assert "x.tif, z.tif: their bands do not cover" in said


def test_nothing_is_left_behind_when_the_style_fails(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> np.ndarray:
        raise OSError(28, "No space left on device")

    before = listing(place)
    for target, command in (
        ("bandfuse.applying.fuse.quicklook", ["apply", "w.safetensors", "x.tif", "-o", "y.tif"]),
        (
            "bandfuse.tools.export._proved",
            ["export", "w.safetensors", "--to", "vrt", "--scene", "x.tif", "-o", "y.vrt"],
        ),
    ):
        monkeypatch.setattr(target, full)
        done = cli(*command, "--style")
        assert (done.code, "No space left" in done.err) == (2, True), done.err
        assert listing(place) == before


def test_a_style_of_a_user_is_kept(place: Path) -> None:
    """One made in QGIS, or written for another raster; also with --overwrite."""
    theirs, apply = Path("y.qml"), ("apply", "w.safetensors", "x.tif", "-o")
    ok(*apply, "y.img", "--driver", "ENVI", "--style")
    other = theirs.read_text()
    Path("y.img").unlink()
    for text in (USERS, other, "", "\udcff"):
        content = text.encode(errors="surrogateescape")
        theirs.write_bytes(content)
        for more in ([], ["--overwrite"]):
            done = cli(*apply, "y.tif", "--style", *more)
            assert done.code == 2
            assert "brings y.qml with it, which exists and belongs to another file" in done.err
            assert not Path("y.tif").exists()
        ok(*apply, "y.tif")
        ok(*apply, "y.tif", "--overwrite")
        assert theirs.read_bytes() == content
        Path("y.tif").unlink()


def test_a_style_goes_when_its_raster_is_replaced_without_one(place: Path) -> None:
    """It would name bands that are there no more; other bands may have taken their numbers."""
    for name, driver in (("y.tif", "GTiff"), ("e.img", "ENVI"), ("z.zarr", "Zarr")):
        style = Path(name).with_suffix(".qml")
        apply = ("apply", "w.safetensors", "x.tif", "-o", name, "--driver", driver)
        ok(*apply, "--style")
        first = style.read_bytes()
        ok(*apply, "--style", "--overwrite", "--dtype", "int16", "--scale", 0.01)
        assert style.read_bytes() != first
        ok(*apply, "--overwrite")
        assert not style.exists()
        ok(*apply, "--overwrite", "--style")
        assert style.read_bytes() == first
        ok("apply", "plain.safetensors", *apply[2:], "--overwrite", "--style")
        assert not style.exists()


@pytest.mark.skipif(os.name == "nt", reason="no such names on Windows")
def test_names_are_escaped(place: Path) -> None:
    name = "a&b <i>\"q\" 'é' --.tif"
    for _ in range(2):
        ok("apply", "w.safetensors", "x.tif", "-o", name, "--style", "--overwrite")
        check(name)
    root = Xml.parse(Path(name).with_suffix(".qml")).getroot()
    assert root.get("bandfuse") == "a%26b%20%3Ci%3E%22q%22%20%27%C3%A9%27%20--.tif"


@pytest.mark.parametrize(
    "command",
    [
        ["apply", "w.safetensors", "x.tif", "--driver", "GTiff"],
        ["export", "w.safetensors", "--to", "vrt", "--scene", "x.tif"],
    ],
    ids=["apply", "export"],
)
def test_a_raster_with_the_ending_of_styles_has_none(place: Path, command: list[str]) -> None:
    before = listing(place)
    for name in ("y.qml", "y.QML"):
        done = cli(*command, "-o", name, "--style")
        assert (done.code, f"{name} cannot have a style beside it" in done.err) == (2, True)
    assert listing(place) == before


def test_styles_of_a_batch(place: Path) -> None:
    """``style: true`` in jobs that train and apply, and in the settings of all jobs; a style that
    is gone is made again."""
    (place / "b.yaml").write_text("""
version: 1
output: out/
scenes: [{files: [x.tif]}]
defaults: {style: true}
jobs:
  - {name: t, kind: train, pool: each, settings: {groups: 'equal:2', no_report: true}}
  - {name: f, kind: apply, weights: w.safetensors}
""")
    ok("batch", "b.yaml")
    check("out/f/x.tif")
    assert ok("batch", "b.yaml", "--json").json["kept"] == 2
    Path("out/f/x.qml").unlink()
    assert ok("batch", "b.yaml", "--json").json["kept"] == 1
    check("out/f/x.tif")


def test_an_empty_raster_has_a_style_without_limits(place: Path) -> None:
    write_tiff(place / "x.tif", np.full((6, 9, 9), np.nan, "float32"), nm=wavelengths(6))
    ok("apply", "w.safetensors", "x.tif", "-o", "y.tif", "--style")
    (renderer,) = Xml.parse("y.qml").getroot().findall("pipe/rasterrenderer")
    assert [renderer.get(f"{c}Band") for c in COLOURS] == ["3", "2", "1"]
    assert not [e.tag for e in renderer if e.tag.endswith("ContrastEnhancement")]


@pytest.mark.parametrize(
    ("values", "want"),
    [
        ([0.0, 1.0], (0.02, 0.98)),
        ([np.nan, np.inf, 3.0, 5.0], (3.04, 4.96)),
        ([0.0] * 99 + [7.0], (0.0, 7.0)),
        ([-4.0] * 5, (-4.04, -3.96)),
        ([0.0], (-1.0, 1.0)),
        ([np.nan], None),
    ],
)
def test_limits_differ(values: list[float], want: tuple[float, float] | None) -> None:
    assert qml.limits(np.array(values)) == (None if want is None else pytest.approx(want))


def test_pixels_are_the_same_with_a_style(place: Path) -> None:
    for name, more in (("a.tif", []), ("b.tif", ["--style"])):
        ok("apply", "w.safetensors", "x.tif", "-o", name, *more)
    np.testing.assert_array_equal(read("a.tif"), read("b.tif"))
