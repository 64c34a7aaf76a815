"""Exports: each form is read by the program it is for, and gives what bandfuse gives."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import published
import pytest
import rasterio
import spectral
import torch
from helpers import close_to_conditioning, fusion_of
from rasterio.errors import NotGeoreferencedWarning
from rasters import cli, listing, ok, read, spectra, wavelengths, write_envi, write_tiff
from realdata import DATA, needs_real_data

from bandfuse.export import network, tables
from bandfuse.model.fusion import ACTIVATIONS, NodataPolicy
from bandfuse.model.model import Model
from bandfuse.model.weightsfile import dumps, load
from bandfuse.spectral.bands import Bands

CUBES = [
    "aviris_rotated_unsorted/AV_mastercal_testdata.bsq",
    "emit_10x10_bil/emit20250324t221005_jpl_unmix_ex",
    "unmixing/jasper_198b.tif",
    "berlin_pair_9m_30m/EnMAP01_Berlin_Urban_Gradient_2009.bsq",
]


def needs(program: str) -> Any:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


def cube_with_gaps(path: Path, *, nodata: float | None = -9999, scale: float = 1.0) -> np.ndarray:
    """Eight int16 bands with missing values; a third of them in one band only."""
    x = np.rint(spectra(8, 70, 90) * 1000).astype("int16")
    if nodata is not None:
        rng = np.random.default_rng(1)
        x[:, rng.random(x.shape[1:]) < 0.05] = nodata
        x[2, rng.random(x.shape[1:]) < 0.05] = nodata
    write_tiff(path, x, nodata=nodata, nm=wavelengths(8))
    if scale != 1:
        with rasterio.open(path, "r+") as ds:
            ds.scales, ds.offsets = (scale,) * 8, (0.5,) * 8
    return x


def trained(folder: Path, *flags: object, groups: str = "1-8") -> Path:
    ok(
        "train",
        folder / "x.tif",
        "--groups",
        groups,
        "-o",
        folder / "run",
        "--no-fused",
        "--no-report",
        *flags,
    )
    return folder / "run/weights.safetensors"


def applied(folder: Path, weights: Path, scene: str = "x.tif") -> np.ndarray:
    ok("apply", weights, folder / scene, "-o", folder / "y.tif", "--overwrite")
    return read(folder / "y.tif")


def alike(got: np.ndarray, expected: np.ndarray, nodata: float | None = None) -> None:
    got = got.astype(np.float64)
    if nodata is not None:
        got[got == nodata] = np.nan
    np.testing.assert_array_equal(np.isnan(got), np.isnan(expected))
    size = np.nanmax(np.abs(expected))
    np.testing.assert_allclose(got / size, expected / size, atol=3e-7)


# --------------------------------------------------------------------------------------------------


@pytest.mark.one_in(3)
@pytest.mark.parametrize("form", ["derived", "processed"])
@pytest.mark.parametrize("scale", [1.0, 0.01])
@pytest.mark.parametrize("nodata", [-9999, None])
def test_a_vrt_is_what_apply_writes(
    tmp_path: Path, form: str, scale: float, nodata: float | None
) -> None:
    """With missing values, scale and offset; by another working folder's path too."""
    cube_with_gaps(tmp_path / "x.tif", nodata=nodata, scale=scale)
    weights = trained(tmp_path)
    (tmp_path / "deep").mkdir()
    path = tmp_path / "deep/f.vrt"
    done = ok(
        "export",
        weights,
        "--to",
        "vrt",
        "--scene",
        tmp_path / "x.tif",
        "--form",
        form,
        "-o",
        path,
        "--json",
    )
    assert json.loads(done.out)["difference"] < 1e-6
    with rasterio.open(path) as ds:
        alike(ds.read(), applied(tmp_path, weights), ds.nodata)
        assert (ds.descriptions[0], ds.crs, ds.dtypes[0]) == (
            "1-8",
            rasterio.open(tmp_path / "x.tif").crs,
            "float32",
        )
        assert float(ds.tags(1)["wavelength"]) > 400
        assert "CENTRAL_WAVELENGTH_UM" in ds.tags(1, ns="IMAGERY")
    assert "/" + "tmp" not in path.read_text()


@needs("gdal_translate")
def test_debians_gdal_reads_the_derived_form(tmp_path: Path) -> None:
    """A group of one band is no sum, which old versions need."""
    cube_with_gaps(tmp_path / "x.tif")
    ok(
        "train",
        tmp_path / "x.tif",
        "--group",
        "one=3",
        "--group",
        "some=1,2,4-8",
        "-o",
        tmp_path / "run",
        "--no-fused",
    )
    weights = tmp_path / "run/weights.safetensors"
    ok("export", weights, "--to", "vrt", "--scene", tmp_path / "x.tif", "-o", tmp_path / "f.vrt")
    subprocess.run(["gdal_translate", "-q", tmp_path / "f.vrt", tmp_path / "g.tif"], check=True)
    alike(read(tmp_path / "g.tif"), applied(tmp_path, weights))


@needs_real_data
@pytest.mark.parametrize("name", CUBES)
def test_real_cubes_as_vrt(name: str, tmp_path: Path) -> None:
    scene = DATA / name
    ok(
        "train",
        scene,
        "--groups",
        "equal:5",
        "--constraint",
        "simplex",
        "-o",
        tmp_path / "run",
        "--no-report",
        "--folds",
        0,
        "--steps",
        10,
    )
    weights, path = tmp_path / "run/weights.safetensors", tmp_path / "f.vrt"
    for form in ("derived", "processed"):
        done = cli(
            "export",
            weights,
            "--to",
            "vrt",
            "--scene",
            scene,
            "--form",
            form,
            "-o",
            path,
            "--overwrite",
        )
        if form == "processed" and done.code == 2:
            assert "would lose pixels" in done.err
            continue
        assert done.code == 0, done.err
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            nodata = rasterio.open(path).nodata
        alike(read(path), read(tmp_path / "run/fused.tif"), nodata)
        if shutil.which("gdal_translate") and form == "derived":
            subprocess.run(["gdal_translate", "-q", path, tmp_path / "g.tif"], check=True)
            alike(read(tmp_path / "g.tif"), read(tmp_path / "run/fused.tif"))


def test_a_mask_of_the_file_is_seen_by_the_derived_form_only(tmp_path: Path) -> None:
    cube_with_gaps(tmp_path / "x.tif", nodata=None)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK="YES"), rasterio.open(tmp_path / "x.tif", "r+") as ds:
        ds.write_mask(np.arange(70 * 90).reshape(70, 90) % 7 > 0)
    weights = trained(tmp_path)
    ok("export", weights, "--to", "vrt", "--scene", tmp_path / "x.tif", "-o", tmp_path / "f.vrt")
    alike(read(tmp_path / "f.vrt"), applied(tmp_path, weights))
    done = cli(
        "export",
        weights,
        "--to",
        "vrt",
        "--form",
        "processed",
        "--scene",
        tmp_path / "x.tif",
        "-o",
        tmp_path / "p.vrt",
    )
    assert done.code == 2
    assert "a mask" in done.err


def any_weights(folder: Path, **more: Any) -> Path:
    """Of eight bands with the same weight, without training."""
    path = folder / "w.safetensors"
    path.write_bytes(dumps(Model(fusion_of(np.ones((1, 8)), **more))))
    return path


def with_earlier(folder: Path, earlier: str) -> Any:
    """What is in a folder, with this text as an earlier export if there is one."""
    if earlier:
        (folder / "f.vrt").write_text(earlier)
    return listing(folder)


@pytest.mark.one_in(2)
@pytest.mark.parametrize("form", ["vrt", "pansharpen"])
@pytest.mark.parametrize("earlier", ["", "mine"])
def test_a_vrt_that_gdal_cannot_read_is_not_written(
    form: str, earlier: str, tmp_path: Path
) -> None:
    """By a GDAL without virtual rasters. An earlier file stays, and nothing is left beside it."""
    cube_with_gaps(tmp_path / "x.tif")
    weights = any_weights(tmp_path)
    before = with_earlier(tmp_path, earlier)
    pan = ("--pan", "x.tif") if form == "pansharpen" else ()
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "bandfuse",
            "export",
            weights,
            "--to",
            form,
            "--scene",
            "x.tif",
            *pan,
            "-o",
            "f.vrt",
            "--overwrite",
        ],
        cwd=tmp_path,
        env={**os.environ, "GDAL_SKIP": "VRT"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert "GDAL cannot read f.vrt, and it was not written" in done.stderr
    assert listing(tmp_path) == before


@pytest.mark.parametrize("form", ["derived", "processed"])
@pytest.mark.parametrize("earlier", ["", "mine"])
def test_a_vrt_that_gdal_reads_otherwise_is_not_written(
    tmp_path: Path, form: str, earlier: str
) -> None:
    """Outputs beyond the range of float32, which the bands of a virtual raster have."""
    cube_with_gaps(tmp_path / "x.tif")
    weights = any_weights(tmp_path, gain=np.array([1e38]))
    before = with_earlier(tmp_path, earlier)
    done = cli(
        "export",
        weights,
        "--to",
        "vrt",
        "--form",
        form,
        "--scene",
        tmp_path / "x.tif",
        "-o",
        tmp_path / "f.vrt",
        "--overwrite",
    )
    assert (done.code, done.err.count("\n")) == (1, 1), done.err
    assert "GDAL does not read f.vrt as bandfuse fuses it, and it was not written" in done.err
    assert listing(tmp_path) == before


@pytest.mark.parametrize("form", ["derived", "processed"])
def test_a_vrt_through_linked_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    """``..`` leads out of the folder that a link points to, whose depth is another; so too on the
    way to the scene."""
    (tmp_path / "in/deep").mkdir(parents=True)
    (tmp_path / "far/off/away").mkdir(parents=True)
    (tmp_path / "here").mkdir()
    (tmp_path / "here/link").symlink_to("../far/off/away")
    (tmp_path / "here/scenes").symlink_to("../in/deep")
    cube_with_gaps(tmp_path / "in/x.tif")
    weights = any_weights(tmp_path)
    monkeypatch.chdir(tmp_path / "here")
    Path("link/y.vrt").write_text("earlier")
    done = ok(
        "export",
        weights,
        "--to",
        "vrt",
        "--form",
        form,
        "--scene",
        "scenes/../x.tif",
        "-o",
        "link/y.vrt",
        "--overwrite",
        "--json",
    )
    assert done.json["difference"] < 1e-6
    assert sorted(p.name for p in Path("link").iterdir()) == ["y.vrt"]
    ok("apply", weights, tmp_path / "in/x.tif", "-o", tmp_path / "y.tif")
    for path in ("link/y.vrt", "../far/off/away/y.vrt"):
        with rasterio.open(path) as ds:
            alike(ds.read(), read(tmp_path / "y.tif"), ds.nodata)


@pytest.mark.parametrize("dtype", ["int64", "uint64"])
def test_types_that_the_processed_form_has_not(tmp_path: Path, dtype: str) -> None:
    write_tiff(tmp_path / "x.tif", np.rint(spectra(8, 20, 20) * 1000).astype(dtype))
    weights = any_weights(tmp_path)
    vrt = ["--to", "vrt", "--scene", tmp_path / "x.tif", "-o", tmp_path / "f.vrt"]
    done = cli("export", weights, *vrt, "--form", "processed")
    assert (done.code, done.err.count("\n")) == (2, 1), done.err
    assert f"does not fit a processed VRT; got {dtype}" in done.err
    assert not (tmp_path / "f.vrt").exists()
    ok("export", weights, *vrt)
    alike(read(tmp_path / "f.vrt"), applied(tmp_path, weights))


@needs("gdal_pansharpen.py")
def test_pansharpening_as_gdal_does_it_with_these_weights(tmp_path: Path) -> None:
    x = spectra(4, 40, 50)
    write_tiff(tmp_path / "x.tif", x)
    write_tiff(tmp_path / "t.tif", np.tensordot([0.2, 0.3, 0.4, 0.1], x, 1)[None])
    ok(
        "train",
        tmp_path / "x.tif",
        "--target",
        tmp_path / "t.tif",
        "--no-offset",
        "-o",
        tmp_path / "run",
        "--no-fused",
    )
    weights = tmp_path / "run/weights.safetensors"
    ok(
        "export",
        weights,
        "--to",
        "pansharpen",
        "--scene",
        tmp_path / "x.tif",
        "--pan",
        tmp_path / "t.tif",
        "-o",
        tmp_path / "p.vrt",
    )
    matrix = load(weights).common.matrix[0]
    flags = [a for w in matrix for a in ("-w", repr(float(w)))]
    subprocess.run(
        [
            "gdal_pansharpen.py",
            "-q",
            *flags,
            "-r",
            "cubic",
            tmp_path / "t.tif",
            tmp_path / "x.tif",
            tmp_path / "g.tif",
        ],
        check=True,
        capture_output=True,
    )
    np.testing.assert_allclose(read(tmp_path / "p.vrt"), read(tmp_path / "g.tif"), rtol=1e-6)


def test_pansharpening_of_whole_numbers_that_have_a_scale(tmp_path: Path) -> None:
    """An image that sums to the panchromatic one comes back, in its own units."""
    x = np.rint(spectra(4, 40, 50) * 1000) * 4
    write_tiff(tmp_path / "x.tif", x.astype("int16"))
    write_tiff(tmp_path / "t.tif", (x.mean(0) * 5)[None].astype("uint16"))
    for name, scale in (("x", 0.001), ("t", 0.0002)):
        with rasterio.open(tmp_path / f"{name}.tif", "r+") as ds:
            ds.scales = (scale,) * ds.count
    files = (tmp_path / "x.tif", "--target", tmp_path / "t.tif")
    ok("train", "--no-report", *files, "--no-offset", "--no-fused", "-o", tmp_path / "run")
    export = ("export", tmp_path / "run", "--to", "pansharpen", "-o", tmp_path / "p.vrt")
    ok(*export, "--scene", tmp_path / "x.tif", "--pan", tmp_path / "t.tif")
    with rasterio.open(tmp_path / "p.vrt") as ds:
        np.testing.assert_allclose(ds.read(), x, rtol=1e-3, atol=1)
        assert ds.scales == (0.001,) * 4


@pytest.mark.one_in(2)
@pytest.mark.parametrize(("form", "zipped"), [("derived", True), ("processed", False)])
@pytest.mark.parametrize("make", [published.enmap, published.desis])
def test_the_image_of_a_product_as_vrt(make: Any, zipped: bool, form: str, tmp_path: Path) -> None:
    """Gains and offsets of the product's metadata are in the weights; read from elsewhere than it
    was made."""
    (tmp_path / "p").mkdir()
    made = make(tmp_path / "p")
    product = published.zipped(made.path) if zipped else made.path
    ok("train", product, "--groups", "equal:1", "-o", tmp_path / "run", "--no-report", "--folds", 0)
    (tmp_path / "deep").mkdir()
    weights, path = tmp_path / "run/weights.safetensors", tmp_path / "deep/f.vrt"
    place = os.path.relpath(product)
    ok("export", weights, "--to", "vrt", "--form", form, "--scene", place, "-o", path)
    got = subprocess.run(
        [sys.executable, "-c", READ, path], cwd=tmp_path / "deep", check=True, capture_output=True
    )
    assert np.isfinite(read(tmp_path / "run/fused.tif")).any()
    values = np.frombuffer(got.stdout, np.float32).reshape(read(path).shape)
    with rasterio.open(path) as ds:
        alike(values, read(tmp_path / "run/fused.tif"), ds.nodata)


READ = """
import sys, rasterio
with rasterio.open(sys.argv[1]) as ds:
    sys.stdout.buffer.write(ds.read().tobytes())
"""


@pytest.mark.parametrize("make", [published.emit, published.prisma, published.sentinel2])
def test_products_of_many_parts_are_no_source_of_a_vrt(make: Any, tmp_path: Path) -> None:
    product = make(tmp_path).path
    ok(
        "train",
        product,
        "--groups",
        "equal:1",
        "-o",
        tmp_path / "run",
        "--no-report",
        "--no-fused",
        "--folds",
        0,
    )
    done = cli(
        "export",
        tmp_path / "run/weights.safetensors",
        "--to",
        "vrt",
        "--scene",
        product,
        "-o",
        tmp_path / "f.vrt",
    )
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "not a single raster" in done.err
    assert "Use bandfuse apply" in done.err
    assert not (tmp_path / "f.vrt").exists()


# --------------------------------------------------------------------------------------------------


@needs("otbcli_BandMathX")
def test_otb_computes_the_expression(tmp_path: Path) -> None:
    x = cube_with_gaps(tmp_path / "x.tif", nodata=None, scale=0.01)
    weights = trained(tmp_path, groups="equal:2")
    ok(
        "export",
        weights,
        "--to",
        "bandmathx",
        "--scene",
        tmp_path / "x.tif",
        "-o",
        tmp_path / "e.txt",
    )
    expression = (tmp_path / "e.txt").read_text().strip()
    files = ["-il", tmp_path / "x.tif", "-out", tmp_path / "o.tif", "double"]
    subprocess.run(
        ["otbcli_BandMathX", *files, "-exp", expression], check=True, capture_output=True
    )
    fusion = load(weights).common
    dense = np.tensordot(fusion.matrix, x * 0.01 + 0.5, 1) + fusion.offset[:, None, None]
    np.testing.assert_allclose(read(tmp_path / "o.tif"), dense, rtol=2e-7)


@pytest.mark.one_in(2)
@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_networks_compute_the_fusion(activation: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    fusion = fusion_of(
        rng.normal(size=(3, 6)) * [1, 1, 0, 1, 1, 1],
        activation=activation,
        offset=rng.normal(size=3),
    )
    (tmp_path / "w.safetensors").write_bytes(dumps(Model(fusion)))
    x = rng.normal(size=(50, 6))
    for form in ("onnx", "pt2"):
        ok("export", tmp_path / "w.safetensors", "--to", form, "-o", tmp_path / f"w.{form}")
    session = onnxruntime.InferenceSession(tmp_path / "w.onnx", providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {"x": x.astype(np.float32)})
    np.testing.assert_allclose(y, fusion(x), rtol=1e-4, atol=1e-5)
    program = torch.export.load(tmp_path / "w.pt2").module()
    for rows in (1, 50):
        close_to_conditioning(program(torch.tensor(x[:rows])), fusion(x[:rows]))
    close_to_conditioning(network.module(fusion)(torch.tensor(x)), fusion(x))


def labelled(names: list[str]) -> Any:
    rng = np.random.default_rng(3)
    nm, fwhm = [450.0, 500.0, 560.0, 640.0], [9.5, 10.0, 11.25, 12.0]
    fusion = fusion_of(rng.normal(size=(len(names), 4)), offset=rng.normal(size=len(names)))
    inputs = Bands.of([f"b{i}" for i in range(4)], wavelength_nm=nm, fwhm_nm=fwhm)
    return type(fusion)(fusion.weight, fusion.gain, fusion.offset, inputs, Bands.of(names))


def test_text_and_arrays_hold_every_weight_to_the_bit() -> None:
    fusion = labelled(["red", 'a "b", c'])
    rows = list(csv.DictReader(io.StringIO(tables.as_csv(fusion))))
    found = np.zeros((2, 5))
    for row in rows:
        found[["red", 'a "b", c'].index(row["output"]), int(row["band"])] = float(
            row["effective_weight"]
        )
    np.testing.assert_array_equal(found, np.column_stack([fusion.offset, fusion.matrix]))
    content = json.loads(tables.as_json(fusion))
    np.testing.assert_array_equal(content["weights"], fusion.matrix)
    assert content["inputs"][2]["wavelength_nm"] == 560.0
    with np.load(io.BytesIO(tables.as_numpy(fusion)), allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["matrix"], fusion.matrix)
        assert arrays["names"].tolist() == ["red", 'a "b", c']


def test_spectral_python_reads_the_library(tmp_path: Path) -> None:
    fusion = labelled(["red", "near {infrared}, far"])
    (tmp_path / "w.safetensors").write_bytes(dumps(Model(fusion)))
    ok("export", tmp_path / "w.safetensors", "--to", "sli", "-o", tmp_path / "lib.sli")
    library = spectral.envi.open(tmp_path / "lib.hdr", tmp_path / "lib.sli")
    np.testing.assert_array_equal(library.spectra, fusion.matrix)
    assert library.names == ["red", "near _infrared__ far"]
    assert library.bands.centers == [450.0, 500.0, 560.0, 640.0]
    assert library.bands.bandwidths == [9.5, 10.0, 11.25, 12.0]


def test_responses_are_densities_that_rebuild_the_weights() -> None:
    """Non-negative weights of a smooth response on unequal bands; the response is what made
    them."""
    nm = np.array([400.0, 410, 425, 440, 450, 465, 480, 500])
    width = np.gradient(nm)
    response = np.exp(-0.5 * ((nm - 445) / 20) ** 2)
    base = labelled(["g"])
    made = type(base)(
        (response * width / (response * width).sum())[None],
        np.ones(1),
        np.zeros(1),
        Bands.of([f"b{i}" for i in range(8)], wavelength_nm=nm),
        Bands.of(["g"]),
    )
    grid, found = tables.responses(made)
    assert grid[0] == 400
    assert grid[-1] == 500
    close_to_conditioning(np.interp(nm, grid, found[0]), response / response.max())
    lines = tables.as_srf(made).splitlines()
    assert lines[0] == "wavelength_nm,g"
    assert float(lines[1 + 50].split(",")[1]) == pytest.approx(found[0][50], rel=1e-8)


WRONG: list[tuple[list[str], str]] = [
    (["--to", "vrt"], "needs a scene"),
    (["--to", "shp"], "'shp'"),
    (["--to", "pansharpen", "--scene", "x.tif"], "needs the panchromatic image"),
    (["--to", "vrt", "--scene", "other.tif"], "another number of bands"),
    (["--to", "vrt", "--scene", "nowhere.tif"], "does not exist"),
    (["--to", "sli", "-o", "lib.hdr"], "data file"),
    (["--to", "csv", "-o", "there.csv"], "there.csv exists"),
    (["--to", "csv", "-o", "no/where.csv"], "does not exist"),
]


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a cube of eight bands."""
    folder = tmp_path_factory.mktemp("learned")
    cube_with_gaps(folder / "x.tif")
    return trained(folder)


@pytest.mark.parametrize(("flags", "said"), WRONG)
def test_what_cannot_be_exported_is_said(
    flags: list[str], said: str, learned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cube_with_gaps(Path("x.tif"))
    write_tiff(Path("other.tif"), spectra(5))
    Path("there.csv").write_text("mine")
    done = cli("export", learned, *flags, *([] if "-o" in flags else ["-o", "out.vrt"]))
    assert done.code == 2
    assert said in done.err
    assert Path("there.csv").read_text() == "mine"
    assert not Path("out.vrt").exists()


@pytest.mark.parametrize(
    ("form", "flag"), [("bandmathx", "--scene"), ("pansharpen", "--pan"), ("vrt", "--scene")]
)
def test_what_belongs_to_an_input_is_never_an_output(tmp_path: Path, form: str, flag: str) -> None:
    """An ENVI cube named by its header is its data file too, also by another way to it."""
    weights = any_weights(tmp_path)
    (tmp_path / "link").symlink_to(".")
    write_envi(tmp_path / "e.img", spectra(8, 20, 20))
    before = listing(tmp_path)
    for output in ("e.img", "link/e.img"):
        done = cli(
            "export",
            weights,
            "--to",
            form,
            flag,
            tmp_path / "e.hdr",
            "-o",
            tmp_path / output,
            "--overwrite",
        )
        assert (done.code, done.err.count("\n")) == (2, 1), done.err
        assert f"{output} is an input" in done.err
    assert listing(tmp_path) == before


@pytest.mark.parametrize("form", ["vrt", "bandmathx", "onnx", "pt2"])
def test_weights_that_renormalise_are_refused_by_what_computes(tmp_path: Path, form: str) -> None:
    cube_with_gaps(tmp_path / "x.tif")
    weights = any_weights(tmp_path, nodata=NodataPolicy("renormalise"))
    scene = ("--scene", tmp_path / "x.tif") if form in ("vrt", "bandmathx") else ()
    done = cli("export", weights, "--to", form, *scene, "-o", tmp_path / "f.vrt")
    assert (done.code, done.err.count("\n")) == (2, 1), done.err
    assert "cannot rescale weights where bands are missing" in done.err
    assert not (tmp_path / "f.vrt").exists()
    ok("export", weights, "--to", "csv", "-o", tmp_path / "w.csv")


def test_what_others_cannot_do_is_refused(tmp_path: Path) -> None:
    cube_with_gaps(tmp_path / "x.tif")
    vrt = ["--to", "vrt", "--scene", tmp_path / "x.tif", "-o", tmp_path / "f.vrt"]
    fusion = fusion_of(np.ones((1, 8)), activation="relu")
    (tmp_path / "relu.safetensors").write_bytes(dumps(Model(fusion)))
    done = cli("export", tmp_path / "relu.safetensors", *vrt)
    assert (done.code, "only holds linear fusions" in done.err) == (2, True)
    done = cli("export", tmp_path / "relu.safetensors", "--to", "srf", "-o", tmp_path / "s.csv")
    assert (done.code, "needs wavelengths" in done.err) == (2, True)


def test_bands_of_any_name_stay_text_in_xml(tmp_path: Path) -> None:
    cube_with_gaps(tmp_path / "x.tif")
    name = "<script>&\"'"
    ok(
        "train",
        "--no-report",
        tmp_path / "x.tif",
        "--group",
        f"{name}=1-8",
        "-o",
        tmp_path / "run",
        "--no-fused",
    )
    ok(
        "export",
        tmp_path / "run/weights.safetensors",
        "--to",
        "vrt",
        "--scene",
        tmp_path / "x.tif",
        "-o",
        tmp_path / "f.vrt",
    )
    with rasterio.open(tmp_path / "f.vrt") as ds:
        assert ds.descriptions == (name,)
    assert "<script>" not in (tmp_path / "f.vrt").read_text()
