"""Check: every code is found where it should be and stands in its page; real folders with all
that is odd of them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rasters import (
    UTM,
    cli,
    envi_list,
    listing,
    ok,
    read,
    spectra,
    write_envi,
    write_per_band_nodata,
    write_tiff,
)
from realdata import DATA, needs_real_data

import bandfuse
from bandfuse.checks.codes import CODES
from bandfuse.checks.look import MOST_BYTES, SIDE

PAGE = (Path(bandfuse.__file__).parent / "docs" / "codes.md").read_text(encoding="utf-8")

AVIRIS = "aviris_rotated_unsorted/AV_mastercal_testdata.bsq"
EMIT = "emit_10x10_bil/emit20250324t221005_jpl_unmix_ex"
CORN = "corn_kernel_bil/corn-kernel-hyperspectral.raw"
NG = "avirisng_radiance/ang20160910t185702_2rdn_img"
BERLIN = "berlin_pair_9m_30m/{}_Berlin_Urban_Gradient_2009.bsq"


def found(*arguments: object) -> dict[str, str]:
    """Messages by code."""
    return {f["code"]: f["message"] for f in cli("check", *arguments, "--json").json["findings"]}


def smooth(bands: int = 8, side: int = 150, seed: int = 0) -> np.ndarray:
    """(B, H, W) float32: a smooth scene with a little noise, so that stripes and spikes can be seen
    in it."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] / side
    waves = [np.sin(2 * np.pi * (a * x + b * y + c)) for a, b, c in rng.uniform(0.5, 3, (6, 3))]
    cube = 0.4 + 0.05 * np.einsum("bm,mhw->bhw", rng.uniform(-1, 1, (bands, 6)), np.array(waves))
    return (cube + rng.normal(0, 0.003, cube.shape)).astype("float32")


# --------------------------------------------------------------------------------------------------


def test_every_code_stands_in_its_page_with_its_severity() -> None:
    rows = dict(
        re.findall(r"^\| `([a-z-]+)` \| (info|warning|decision) \|", PAGE, flags=re.MULTILINE)
    )
    assert rows == {code: kind.severity for code, kind in CODES.items()}
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", code) for code in CODES)
    assert all(kind.meaning for kind in CODES.values())
    assert all(kind.remedy for kind in CODES.values() if kind.severity != "info")


def test_a_clean_scene_has_no_findings_and_exit_code_0(tmp_path: Path) -> None:
    nm = [450.5, 471.3, 500, 532.2, 560, 610, 655.5, 700]
    done = cli("check", write_tiff(tmp_path / "c.tif", smooth(), nm=nm), "--json")
    assert done.code == 0
    assert done.json["findings"] == []
    assert done.err == ""


def test_findings_are_as_the_contract_says(tmp_path: Path) -> None:
    cube = spectra(4, 40, 50, dtype="int16")
    cube[:, :9] = -9999
    path = write_tiff(tmp_path / "c.tif", cube, crs=None)
    done = cli("check", path, "--json")
    assert done.code == 1
    assert {frozenset(f) for f in done.json["findings"]} == {
        frozenset(("code", "severity", "message", "remedy"))
    }
    order = [("decision", "warning", "info").index(f["severity"]) for f in done.json["findings"]]
    assert order == sorted(order)
    said = cli("check", path)
    assert said.code == 1
    assert "undeclared-fill: -9999 in up to 22.5 %" in said.out
    assert "1 decision to take" in said.out
    assert "looked at all 2000 pixels" in said.out


def test_a_large_scene_is_looked_at_in_parts(tmp_path: Path) -> None:
    cube = np.zeros((2, 700, 900), "int16") + np.arange(900, dtype="int16")
    path = write_tiff(tmp_path / "c.tif", cube, tiled=True)
    first = cli("check", path, "--json").json
    assert 0 < first["looked"][0] <= 16 * SIDE * SIDE < first["pixels"][0] == 630_000
    assert cli("check", path, "--json").json == first
    assert cli("check", path, "--json", "--seed", 1).json["findings"] != []
    assert f"in seeded parts of {SIDE} × {SIDE}" in cli("check", path).out
    wide = write_tiff(tmp_path / "w.tif", np.ones((2100, 130, 130), "float32"))
    assert cli("check", wide, "--json").json["looked"][0] * 4 * 2100 <= MOST_BYTES


@pytest.mark.parametrize(
    "arguments",
    [
        ["nothing.tif"],
        ["c.tif", "nothing.tif"],
        ["c.tif", "--scale", "0.1"],
        ["c.tif", "--scale", "-1", "--fix", "o.vrt"],
        ["c.tif", "--fix", "o.tif"],
        ["c.tif", "--fix", "c.vrt"],
        ["c.tif", "--fix", "no/o.vrt"],
    ],
)
def test_wrong_use_is_one_message(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_tiff(tmp_path / "c.tif", spectra(3))
    (tmp_path / "c.vrt").write_text("mine")
    before = listing(tmp_path)
    done = cli("check", *arguments)
    assert (done.code, len(done.err.splitlines()), done.out) == (2, 1, "")
    assert listing(tmp_path) == before


# -------------------------------------------------------------------------------------------- what


@pytest.mark.parametrize("turned", [False, True])
def test_stripes(turned: bool, tmp_path: Path) -> None:
    cube = smooth()
    assert "striped-bands" not in found(write_tiff(tmp_path / "a.tif", cube))
    levels = np.random.default_rng(1).normal(0, 0.01, 150).astype("float32")
    cube[5] += levels[:, None] if turned else levels[None]
    said = found(write_tiff(tmp_path / "b.tif", cube))["striped-bands"]
    assert said.startswith("rows" if turned else "columns")
    assert said.endswith("in band 6")


def test_saturation(tmp_path: Path) -> None:
    cube = (smooth() * 1e4).astype("uint16")
    cube[2] = np.minimum(cube[2], np.percentile(cube[2], 90).astype("uint16"))
    said = found(write_tiff(tmp_path / "c.tif", cube))
    assert "of band 3 is the greatest value" in said["saturated-bands"]
    assert "undeclared-fill" not in said


def test_dead_bands(tmp_path: Path) -> None:
    cube = smooth()
    cube[1], cube[3] = 7, np.nan
    (path, fixed) = write_tiff(tmp_path / "c.tif", cube), tmp_path / "c.vrt"
    messages = [
        f["message"]
        for f in cli("check", path, "--json").json["findings"]
        if f["code"] == "dead-bands"
    ]
    assert messages == ["no data in band 2: constant (7)", "no data in band 4: no valid pixel"]
    ok("check", path, "--fix", fixed)
    (scene,) = ok("info", fixed, "--json").json["scenes"]
    assert [b["index"] for b in scene["bands"] if not b["good"]] == [2, 4]
    assert "flagged bad" in found(fixed)["bad-bands"]
    np.testing.assert_array_equal(read(fixed), cube)


def test_scales_that_do_not_match(tmp_path: Path) -> None:
    scene = write_tiff(tmp_path / "s.tif", (smooth() * 1e4).astype("int16"))
    target = write_tiff(tmp_path / "t.tif", smooth(2))
    done = cli("check", scene, target, "--json")
    assert done.code == 1
    assert [f["code"] for f in done.json["findings"] if f["severity"] == "decision"] == [
        "scale-mismatch"
    ]
    ok("check", scene, "--scale", 1e-4, "--fix", tmp_path / "s.vrt")
    assert cli("check", tmp_path / "s.vrt", target).code == 0


def test_grids_that_differ(tmp_path: Path) -> None:
    from rasterio.transform import Affine

    def at(name: str, x: float, crs: str = UTM, pixel: float = 30.0) -> str:
        return write_tiff(
            tmp_path / name, smooth(2), crs=crs, transform=Affine(pixel, 0, x, 0, -pixel, 5_800_000)
        )

    scene = at("s.tif", 400_000)
    assert "no-common-ground" in found(scene, at("far.tif", 600_000))
    assert "60 × 60" in found(scene, at("coarse.tif", 400_000, pixel=60))["grids-differ"]
    assert "EPSG:32632" in found(scene, at("other.tif", 400_000, crs="EPSG:32632"))["crs-differ"]
    assert not {"grids-differ", "no-common-ground", "crs-differ"} & set(found(scene, scene))


def test_metadata_that_needs_a_word(tmp_path: Path) -> None:
    cube = spectra(3, 20, 20)

    def header(text: str) -> dict[str, str]:
        return found(write_envi(tmp_path / "c.dat", cube, header=text))

    assert (
        "'Wavenumber'"
        in header("wavelength = {450, 550, 650}\nwavelength units = Wavenumber")["units-not-length"]
    )
    assert cli("check", tmp_path / "c.dat").code == 1
    assert "2 items for 3 bands" in header("wavelength = {450, 550}")["list-length"]
    assert (
        "outside"
        in header("wavelength = {450, 550, 1e300}\nwavelength units = nm")["wavelengths-impossible"]
    )
    assert (
        "band 2"
        in header("wavelength = {450, x, 650}\nwavelength units = nm")["wavelengths-missing"]
    )
    assert "no-wavelengths" in header("")
    assert "band names" in header("band names = {450 nm, 550 nm, 650 nm}")["wavelengths-in-names"]
    mixed = write_tiff(tmp_path / "m.tif", cube, nm=[450, 550, 650], units=None, tags={})
    import rasterio

    with rasterio.open(mixed, "r+") as ds:
        for i, (value, unit) in enumerate([("450", "nm"), ("0.55", "um"), ("650", "nm")], 1):
            ds.update_tags(i, wavelength=value, wavelength_units=unit)
    assert "units-mixed" in found(mixed)
    table = tmp_path / "t.csv"
    table.write_text("450.5\n550\n650\n")
    assert "units-mixed" not in found(mixed, "--wavelengths", table)


def test_nodata_that_the_type_cannot_hold(tmp_path: Path) -> None:
    path = write_envi(
        tmp_path / "c.img", spectra(2, dtype="int16"), header="data ignore value = -99999"
    )
    assert "int16 cannot hold" in found(path)["nodata-impossible"]
    ok("check", path, "--nodata", -9999, "--fix", tmp_path / "c.vrt")
    assert "nodata-impossible" not in found(tmp_path / "c.vrt")
    half = write_per_band_nodata(tmp_path / "h.vrt", spectra(2, dtype="int16"), [-9.5, -9.5])
    assert "-9.5" in found(half)["nodata-impossible"]


def test_contradictory_units_and_long_lines_are_bad_input_that_is_survived(tmp_path: Path) -> None:
    """Both at once, from info to a written raster."""
    nm = [450 + i * 1.37 for i in range(120)]
    names = [f"name_{i}_" + "x" * 90 for i in range(120)]
    header = "\n".join(
        [
            envi_list("band names", names),
            envi_list("wavelength", nm),
            "wavelength units = Micrometers",
        ]
    )
    cube = write_envi(tmp_path / "c.img", spectra(120, 12, 12), header=header)
    said = found(cube)
    assert {"units-contradict", "header-line-too-long"} <= set(said)
    done = ok("info", cube)
    assert "taken as nm" in done.err
    assert "GDAL loses" in done.err
    ok(
        "train",
        cube,
        "--groups",
        "450-470nm",
        "--folds",
        0,
        "--steps",
        2,
        "--no-report",
        "-o",
        tmp_path / "run",
    )
    ok("apply", tmp_path / "run" / "weights.safetensors", cube, "-o", tmp_path / "o.tif")
    assert (
        450
        < ok("info", tmp_path / "o.tif", "--json").json["scenes"][0]["bands"][0]["wavelength_nm"]
        < 500
    )


# --------------------------------------------------------------------------------------------------


@needs_real_data
def test_aviris() -> None:
    said = found(DATA / AVIRIS)
    assert "'Unknown'; taken as nm" in said["units-unknown"]
    assert "667.6 to 655.8 nm" in said["unsorted"]
    assert "1263.5 to 1253.4 nm" in said["unsorted"]
    assert "28-29 and 30-31" in said["detector-overlap"]
    assert "71.0°" in said["rotated"]
    assert "10 000" in said["scale-undeclared"]
    assert "0 in up to 13.7 %" in said["zeros"], "342 of 2500"


@needs_real_data
def test_emit() -> None:
    said = found(DATA / EMIT)
    assert "no ending" in said["file-ending"]
    assert "no units; taken as nm" in said["units-missing"]
    assert said["bad-bands"].startswith("41 bands")
    assert "constant (-0.01)" in said["bad-bands"]
    assert "-9999" in said["nodata-declared"]
    assert "no-crs" in said


@needs_real_data
def test_corn() -> None:
    said = found(DATA / CORN)
    assert "no-crs" in said
    assert ".raw" in said["file-ending"]


@needs_real_data
def test_avirisng() -> None:
    said = found(DATA / NG)
    assert "wavelengths-in-names" in said
    assert "133 of the values" in said["negative-values"]
    assert "-9999" in said["nodata-declared"]
    assert "no ending" in said["file-ending"]


@needs_real_data
def test_berlin() -> None:
    hymap, one, two = (DATA / BERLIN.format(n) for n in ("HyMap02", "EnMAP01", "EnMAP02"))
    said = found(hymap, one)
    assert "9 × 9" in said["grids-differ"]
    assert "30 × 30" in said["grids-differ"]
    columns, rows = re.findall(r"[+-][0-9.]+", said["target-shifted"])[:2]
    assert abs(float(columns)) < 0.5
    assert 0.4 < abs(float(rows)) < 1.4
    assert "Micrometers" in said["units-converted"]
    assert "say 'Micrometers' but are nm" in found(one)["units-contradict"]
    said = found(two)
    assert "after band 89" in said["unsorted"]
    assert "986 nm" in said["duplicate-wavelengths"]
    for layer, bands in (("LandCov_Layer_Level1", 4), ("LandCov_Layer_Level2", 6)):
        said = found(DATA / BERLIN.format(layer))
        assert "-99" in said["nodata-declared"]
        assert f"{bands} bands" in said["no-wavelengths"]


@needs_real_data
def test_unmixing() -> None:
    for name in ("samson_156b", "jasper_198b"):
        said = found(DATA / "unmixing" / f"{name}.tif")
        assert {"no-crs", "no-transform"} <= set(said)
        assert ("wavelengths-even" in said) == name.startswith("samson")


FOLDERS: dict[str, tuple[str, list[str]]] = {
    "aviris_rotated_unsorted": (AVIRIS, []),
    "emit_10x10_bil": (EMIT, []),
    "corn_kernel_bil": (CORN, []),
    "avirisng_radiance": (NG, []),
    "berlin_pair_9m_30m": (
        BERLIN.format("EnMAP01"),
        ["--target", BERLIN.format("LandCov_Layer_Level1")],
    ),
    "unmixing": ("unmixing/samson_156b.tif", ["--target", "unmixing/samson_abundance3.tif"]),
    "srf": (EMIT, ["--wavelengths", "srf/emit.csv"]),
}
"""A cube of every folder, and how to train on it; the tables of responses go with a cube of
another."""


@needs_real_data
@pytest.mark.parametrize("folder", FOLDERS)
def test_every_folder_from_info_to_apply(folder: str, tmp_path: Path) -> None:
    name, flags = FOLDERS[folder]
    paths: list[Any] = [DATA / f if "/" in f else f for f in flags]
    cube, run, out = DATA / name, tmp_path / "run", tmp_path / "out.tif"
    table = paths if flags[:1] == ["--wavelengths"] else []
    before = listing(DATA)
    if folder != "srf":
        assert {p.name for p in DATA.iterdir() if p.is_dir() and not p.name.startswith(".")} <= {
            *FOLDERS,
            "metadata",
        }
    (scene,) = ok("info", cube, *table, "--json").json["scenes"]
    assert cli("check", cube, *table).code in (0, 1)
    how = (
        ["--constraint", "free", "--ridge", 1e-3, "--folds", 0]
        if "--target" in flags
        else ["--groups", "equal:4", "--steps", 5, "--folds", 0]
    )
    ok("train", cube, *paths, *how, "--no-report", "-o", run)
    ok("apply", run / "weights.safetensors", cube, *table, "-o", out)
    used = json.loads((run / "report.json").read_text())["pixels"]["used"]
    assert used > 0
    assert np.isfinite(read(out)).any()
    assert len(scene["bands"]) > 50
    assert listing(DATA) == before, "GDAL must not leave sidecars beside the originals"
