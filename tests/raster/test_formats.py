"""Products and plain files, opened by what people have: what is read, what is fused, and what is
refused."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import netCDF4
import numpy as np
import published
import pytest
import rasterio
from helpers import same_bits
from published import Made
from rasterio.crs import CRS
from rasterio.errors import NotGeoreferencedWarning
from rasters import (
    cli,
    envi_list,
    listing,
    ok,
    read,
    spectra,
    truncated,
    wavelengths,
    write_envi,
    write_tiff,
)

from bandfuse.model.weightsfile import load
from bandfuse.raster import FORMATS, Reader, describe, quicklook
from bandfuse.raster.products import PRODUCTS
from bandfuse.streaming.windows import Window


@dataclass(frozen=True)
class Case:
    """A product, and what of it is given."""

    make: Callable[[Path], Made]
    given: Callable[[Path], str] = str
    product: str = ""


def _inside(pattern: str) -> Callable[[Path], str]:
    return lambda folder: str(next(iter(folder.glob(pattern))))


def _zip(folder: Path) -> str:
    return str(published.zipped(folder))


def _member(folder: Path) -> str:
    image = next(iter(folder.glob("*SPECTRAL_IMAGE.[Tt][Ii][Ff]")))
    return f"/vsizip/{published.zipped(folder)}/{folder.name}/{image.name}"


CASES = {
    "emit": Case(published.emit, product="EMIT L2A"),
    "emit-radiance": Case(partial(published.emit, cube_name="radiance"), product="EMIT L1B"),
    "prisma": Case(published.prisma, product="PRISMA L2D"),
    "prisma-chunks": Case(partial(published.prisma, chunks=True), product="PRISMA L2D"),
    "prisma-unflagged": Case(
        partial(published.prisma, leave="SWIR_PIXEL_L2_ERR_MATRIX"), product="PRISMA L2D"
    ),
    "prisma-l1": Case(partial(published.prisma, level="1"), product="PRISMA L1"),
    "prisma-l2b": Case(partial(published.prisma, level="2B"), product="PRISMA L2B"),
    "prisma-l2c": Case(partial(published.prisma, level="2C", chunks=True), product="PRISMA L2C"),
    "enmap": Case(published.enmap, product="EnMAP L2A"),
    "enmap-lower-tif": Case(
        partial(published.enmap, upper=False), _inside("*IMAGE.tif"), "EnMAP L2A"
    ),
    "enmap-xml": Case(published.enmap, _inside("*METADATA.XML"), "EnMAP L2A"),
    "enmap-zip": Case(published.enmap, _zip, "EnMAP L2A"),
    "enmap-member": Case(published.enmap, _member, "EnMAP L2A"),
    "desis": Case(published.desis, product="DESIS L2A"),
    "desis-hdr": Case(published.desis, _inside("*.hdr"), "DESIS L2A"),
    "desis-tif": Case(published.desis, _inside("*.tif"), "DESIS L2A"),
    "desis-zip": Case(published.desis, _zip, "DESIS L2A"),
    "sentinel2": Case(published.sentinel2, product="Sentinel-2 L2A"),
    "sentinel2-xml": Case(published.sentinel2, _inside("MTD*"), "Sentinel-2 L2A"),
    "sentinel2-zip": Case(published.sentinel2, _zip, "Sentinel-2 L2A"),
    "sentinel2-before-04": Case(
        partial(published.sentinel2, baseline="02.14", offset=None), product="Sentinel-2 L2A"
    ),
}
SERVER = """
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
data = open(sys.argv[1], "rb").read()
class Served(BaseHTTPRequestHandler):
    def do_HEAD(self):
        if self.path != "/c.tif":
            return self.answer(404, b"", {})
        self.answer(200, data, {"Accept-Ranges": "bytes"}, body=False)
    def do_GET(self):
        if self.path != "/c.tif" or "Range" not in self.headers:
            return self.answer(404, b"", {})
        first, last = map(int, self.headers["Range"].removeprefix("bytes=").split("-"))
        part = data[first:last + 1]
        here = f"bytes {first}-{first + len(part) - 1}/{len(data)}"
        self.answer(206, part, {"Content-Range": here})
    def answer(self, code, part, headers, body=True):
        self.send_response(code)
        for name, value in {**headers, "Content-Length": str(len(part))}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(part)
    def log_message(self, *_): pass
server = HTTPServer(("127.0.0.1", 0), Served)
print(server.server_port, flush=True)
server.serve_forever()
"""
"""A server of one file, in a process of its own: GDAL may wait for it while it holds Python."""

TRAINED = ("emit", "prisma", "enmap-zip", "desis", "sentinel2")


def made_at(case: Case, place: Path) -> tuple[Made, str]:
    """The product, and the path that is given."""
    made = case.make(place)
    return made, case.given(made.path)


def pixels(
    path: str, window: Window | None = None, positions: list[int] | None = None
) -> np.ndarray:
    """(n, rows, cols) as bandfuse reads them."""
    raster = describe(path)
    w = window or Window(0, 0, *raster.shape)
    with Reader([(raster, range(len(raster.bands)) if positions is None else positions)]) as reader:
        values = reader.read(w).cell(slice(0, w.rows), slice(0, w.cols)).values()
    return values.reshape(-1, w.rows, w.cols)


@pytest.mark.parametrize("name", CASES)
def test_products_are_described_and_read(name: str, tmp_path: Path) -> None:
    """Against what netCDF4, h5py and numpy find, in whole and in odd windows, with bands in another
    order."""
    case = CASES[name]
    made, path = made_at(case, tmp_path)
    before = listing(tmp_path)
    (scene,) = ok("info", path, "--json").json["scenes"]
    assert scene["driver"].startswith(f"{case.product} (")
    np.testing.assert_allclose([b["wavelength_nm"] for b in scene["bands"]], made.nm, rtol=1e-7)
    np.testing.assert_allclose([b["fwhm_nm"] for b in scene["bands"]], made.fwhm, rtol=1e-6)
    flagged = name != "emit-radiance"
    assert [b["good"] for b in scene["bands"]] == (
        made.good.tolist() if flagged else [True] * len(made.good)
    )
    found = pixels(path)
    assert found.shape == made.values.shape
    assert np.isnan(made.values).any()
    np.testing.assert_allclose(found, made.values, rtol=1e-7, atol=1e-8)
    window, order = Window(9, 5, 37, 23), [len(made.nm) - 1, 0, 3, 2]
    np.testing.assert_array_equal(pixels(path, window, order), found[order, 9:46, 5:28])
    step = -(-max(found.shape[1:]) // 20)
    thin = quicklook(describe(path), [1, 4], most=20)
    assert thin.shape == (-(-found.shape[1] // step), -(-found.shape[2] // step), 2)
    assert np.nanmin(found[[1, 4]]) <= np.nanmin(thin) < np.nanmax(thin) <= np.nanmax(found[[1, 4]])
    assert listing(tmp_path) == before


@pytest.mark.one_in(2)
@pytest.mark.parametrize("name", TRAINED)
def test_products_are_trained_on_and_fused(name: str, tmp_path: Path) -> None:
    """The weights of a reconstruction, times the cube that numpy knows, is what train and apply
    write."""
    (tmp_path / "in").mkdir()
    made, path = made_at(CASES[name], tmp_path / "in")
    before = listing(tmp_path / "in")
    run = tmp_path / "run"
    ok("train", path, "--groups", "equal:2", "--folds", 0, "-o", run, "--memory", 16)
    ok("apply", run / "weights.safetensors", path, "-o", tmp_path / "again.tif", "--threads", 1)
    assert listing(tmp_path / "in") == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["again.tif", "in", "run"]
    weight = load(run / "weights.safetensors").common.matrix
    assert not weight[:, ~made.good].any()
    expected = fused_by_numpy(weight, made)
    if name == "emit":
        expected = on_map(expected, made, np.nan)
    for fused in (run / "fused.tif", tmp_path / "again.tif"):
        np.testing.assert_allclose(read(fused), expected, rtol=1e-5, atol=1e-7)
    same_bits(read(run / "fused.tif"), read(tmp_path / "again.tif"))
    with rasterio.open(run / "fused.tif") as ds:
        assert ds.crs == (
            CRS.from_epsg(4326) if name == "emit" else CRS.from_string(scene_crs(path))
        )
    report = json.loads((run / "report.json").read_text())
    assert report["inputs"][0]["shape"] == list(made.values.shape)
    assert "<img" in (run / "report.html").read_text()


def test_no_part_of_a_product_is_an_output(tmp_path: Path) -> None:
    path = published.enmap(tmp_path).path
    ok(
        "train",
        path,
        "--groups",
        "equal:2",
        "--folds",
        0,
        "-o",
        tmp_path / "run",
        "--no-fused",
        "--no-report",
    )
    for part in sorted(path.glob("*METADATA*")) + sorted(path.glob("*SPECTRAL*")):
        done = cli(
            "apply", tmp_path / "run" / "weights.safetensors", path, "-o", part, "--overwrite"
        )
        assert (done.code, "is an input" in done.err) == (2, True), done.err


def scene_crs(path: str) -> str:
    """The CRS that info shows."""
    crs = ok("info", path, "--json").json["scenes"][0]["crs"]
    assert isinstance(crs, str)
    return crs


def fused_by_numpy(weight: np.ndarray, made: Made) -> np.ndarray:
    """(K, H, W): the sums of the bands that have weight, NaN where one of them is missing."""
    return np.stack(
        [np.einsum("b,bhw->hw", row[row != 0], made.values[row != 0]) for row in weight]
    )


def on_map(image: np.ndarray, made: Made, nodata: float) -> np.ndarray:
    """(K, rows, cols) on the map: each pixel the one of the image that the lookup table names."""
    x, y = made.extra["glt_x"], made.extra["glt_y"]
    there = (x > 0) & (y > 0)
    out = np.full((len(image), *x.shape), nodata)
    out[:, there] = image[:, y[there] - 1, x[there] - 1]
    return out


@pytest.mark.parametrize("name", ["prisma", "sentinel2-zip", "emit"])
def test_known_weights_are_found_in_products(name: str, tmp_path: Path) -> None:
    """A target of two bands of the product on its grid, as values, gives back the weights."""
    made, path = made_at(CASES[name], tmp_path)
    target = np.nan_to_num(0.7 * made.values[1] + 0.3 * made.values[4], nan=-1.0)[None].astype(
        "float32"
    )
    raster = describe(path)
    placed: dict[str, Any] = (
        {"crs": None, "transform": None}
        if name == "emit"
        else {"crs": raster.crs_text, "transform": raster.transform}
    )
    write_tiff(tmp_path / "t.tif", target, nodata=-1.0, **placed)
    ok(
        "train",
        path,
        "--target",
        tmp_path / "t.tif",
        "--constraint",
        "free",
        "--group",
        "g=2,5,1",
        "-o",
        tmp_path / "run",
        "--no-report",
        "--no-fused",
    )
    weight = load(tmp_path / "run" / "weights.safetensors").common.matrix[0]
    np.testing.assert_allclose(weight[[0, 1, 4]], [0.0, 0.7, 0.3], atol=1e-4)


def test_emit_is_put_on_the_map(tmp_path: Path) -> None:
    """Grid, CRS, tags and an integer encoding; the same bits whatever the memory and the
    threads."""
    made = published.emit(tmp_path, rows=150, cols=300)
    run = tmp_path / "run"
    ok("train", made.path, "--groups", "equal:2", "--folds", 0, "-o", run, "--no-report")
    weights = run / "weights.safetensors"
    with rasterio.open(run / "fused.tif") as ds:
        assert ds.transform.to_gdal() == tuple(made.extra["place"])
        assert ds.shape == made.extra["glt_x"].shape
        assert ds.tags(1)["wavelength_units"] == "Nanometers"
    coded = tmp_path / "coded.tif"
    done = ok(
        "apply",
        weights,
        made.path,
        "-o",
        coded,
        "--dtype",
        "int16",
        "--scale",
        0.001,
        "--memory",
        16,
        "--threads",
        3,
    )
    assert "150 × 300" not in done.out
    fused = fused_by_numpy(load(weights).common.matrix, made)
    expected = on_map(np.where(np.isnan(fused), -32768, np.rint(fused / 0.001)), made, -32768)
    assert np.mean(read(coded) == expected) > 0.9999
    np.testing.assert_allclose(read(coded), expected, atol=1)
    ok("apply", weights, made.path, "-o", tmp_path / "one.tif", "--threads", 1, "--memory", 300)
    same_bits(read(tmp_path / "one.tif"), read(run / "fused.tif"))


# --------------------------------------------------------------------------------------------------


def refused(path: object, tmp_path: Path, *says: str) -> None:
    """One line, exit code 2, and nothing written."""
    before = listing(tmp_path)
    for arguments in (
        ["info", path],
        ["train", path, "--groups", "equal:2", "-o", tmp_path / "run"],
    ):
        done = cli(*arguments)
        assert done.code == 2, done.out
        assert done.err.count("\n") == 1, done.err
        assert "Traceback" not in done.err
        for text in says:
            assert text in done.err
    assert listing(tmp_path) == before


def test_a_lookup_table_that_points_outside_is_refused(tmp_path: Path) -> None:
    refused(
        published.emit(tmp_path, outside=True).path,
        tmp_path,
        "points outside its image",
        "column 46",
        "0 (none) to 45",
    )


@pytest.mark.parametrize("keep", [0.02, 0.5, 0.98])
def test_a_truncated_netcdf_is_refused(keep: float, tmp_path: Path) -> None:
    refused(
        truncated(published.emit(tmp_path).path, keep), tmp_path, "cannot be opened as a raster"
    )


def test_emit_without_its_wavelengths_is_refused(tmp_path: Path) -> None:
    path = published.emit(tmp_path).path
    with h5py.File(path, "r+") as h:
        del h["sensor_band_parameters/wavelengths"]
    refused(path, tmp_path, "lacks sensor_band_parameters/wavelengths")


def test_emit_without_its_grid_is_refused(tmp_path: Path) -> None:
    path = published.emit(tmp_path).path
    with h5py.File(path, "r+") as h:
        del h.attrs["spatial_ref"]
    refused(path, tmp_path, "spatial_ref", "cannot be read")
    with h5py.File(path, "r+") as h:
        del h.attrs["geotransform"]
    refused(path, tmp_path, "lacks the attribute geotransform")


def test_prisma_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    path = published.prisma(tmp_path, leave="SWIR_Cube").path
    refused(path, tmp_path, "not a complete PRISMA L2D product", "SWIR_Cube")
    with h5py.File(path, "r+") as h:
        h.attrs["Processing_Level"] = b"2C"
    refused(path, tmp_path, "not a complete PRISMA L2C product", "no HDFEOS/SWATHS/PRS_L2C_HCO")
    with h5py.File(path, "r+") as h:
        h.attrs["Processing_Level"] = b"2A"
    refused(path, tmp_path, "got PRISMA level 2A", "expected PRISMA L1, L2B, L2C, L2D")
    with h5py.File(path, "r+") as h:
        del h["HDFEOS"]
        h["a/one"] = h["a/two"] = np.zeros((4, 5), "f4")
        h.attrs["Processing_Level"] = b"2D"
    refused(path, tmp_path, "not a complete PRISMA L2D product")


@pytest.mark.parametrize(
    "key", ["List_Fwhm_Swir", "L2ScaleVnirMax", "Epsg_Code", "Product_LRcorner_northing"]
)
def test_prisma_without_an_attribute_is_refused(key: str, tmp_path: Path) -> None:
    path = published.prisma(tmp_path).path
    with h5py.File(path, "r+") as h:
        del h.attrs[key]
    refused(path, tmp_path, f"lacks the attribute {key}")


def test_an_hdf5_file_of_something_else_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.he5", "w") as h:
        h["a/one"] = h["a/two"] = np.zeros((4, 5), "f4")
    refused(tmp_path / "x.he5", tmp_path, "has no bands", "subdatasets")


def test_archives_without_a_product_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("notes/readme.txt", "nothing")
    refused(tmp_path / "x.zip", tmp_path, "holds no known product", "notes/readme.txt", "--formats")
    refused(truncated(_zip(published.enmap(tmp_path).path)), tmp_path, "not a complete zip archive")


def test_enmap_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    folder = published.enmap(tmp_path).path
    meta = next(iter(folder.glob("*METADATA.XML")))
    text = meta.read_text()
    meta.write_text(text.replace("<FWHMOfBand>6.5</FWHMOfBand>", ""))
    refused(folder, tmp_path, "cannot be understood", "no FWHMOfBand for every band")
    meta.write_text(
        text[: text.index('<bandID number="8">')] + text[text.index("</bandCharacterisation>") :]
    )
    refused(folder, tmp_path, "does not fit its image", "7 bands")
    meta.write_text(text[:900])
    refused(folder, tmp_path, "is not complete XML")
    meta.unlink()
    refused(folder, tmp_path, "has no METADATA.XML")
    image = next(iter(folder.glob("*IMAGE.TIF")))
    assert describe(image).product == ""  # by itself it is an ordinary raster


def test_a_folder_of_several_products_is_refused(tmp_path: Path) -> None:
    folder = published.enmap(tmp_path).path
    for file in list(folder.iterdir()):
        (folder / file.name.replace("008", "009", 1)).write_bytes(file.read_bytes())
    refused(folder, tmp_path, "has several METADATA.XML", "Give the file itself")
    images = sorted(folder.glob("*_009_*SPECTRAL_IMAGE.TIF"))
    assert describe(images[0]).product == "EnMAP L2A"


def test_desis_without_gains_is_refused(tmp_path: Path) -> None:
    folder = published.desis(tmp_path).path
    header = next(iter(folder.glob("*.hdr")))
    header.write_text(header.read_text().replace("data gain", "some gain"))
    refused(folder, tmp_path, "cannot be understood", "0 data gain values")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"offset": None}, "baseline 05.11 without BOA_ADD_OFFSET of B01"),
        ({"baseline": ""}, "no processing baseline that is known (none)"),
        ({"baseline": "N05"}, "no processing baseline that is known (N05)"),
        ({"images": False}, "is not whole"),
    ],
)
def test_sentinel2_of_an_unknown_kind_is_refused(
    change: dict[str, Any], says: str, tmp_path: Path
) -> None:
    refused(published.sentinel2(tmp_path, **change).path, tmp_path, says)


OLD = {
    "2017": published.sentinel2_of_2017,
    "2016": published.sentinel2_of_2016,
    "2016-l1c": partial(published.sentinel2_of_2016, level="L1C"),
}


@pytest.mark.one_in(2)
@pytest.mark.parametrize("name", OLD)
@pytest.mark.parametrize("given", ["folder", "manifest", "zip", "granule"])
def test_sentinel2_of_the_old_structure_is_read(name: str, given: str, tmp_path: Path) -> None:
    """Of before baseline 02.07; where the manifest tells no wavelengths, they are those of ESA's
    table, whose widths are counted in whole nm from end to end."""
    made = OLD[name](tmp_path)
    path = {
        "folder": lambda: str(made.path),
        "manifest": lambda: _inside("*MTD*.xml")(made.path),
        "zip": lambda: _zip(made.path),
        "granule": lambda: _inside("GRANULE/*")(made.path),
    }[given]()
    raster = describe(path)
    assert raster.product == f"Sentinel-2 {'L1C' if 'l1c' in name else 'L2A'}"
    known = "l1c" not in name
    assert ("those of the known sensor sentinel-2a" in " ".join(raster.messages)) == known
    np.testing.assert_allclose(raster.bands.wavelength_nm, made.nm, atol=0.06)
    np.testing.assert_allclose(raster.bands.fwhm_nm, made.fwhm, atol=2)
    np.testing.assert_allclose(pixels(path), made.values, rtol=1e-12)


@pytest.mark.parametrize("packed", [False, True])
def test_one_of_several_old_granules_is_to_be_given(packed: bool, tmp_path: Path) -> None:
    made = published.sentinel2_of_2016(tmp_path, "L1C", 3)
    granule = sorted(made.path.glob("GRANULE/*"))[1]
    path = _zip(made.path) if packed else made.path
    refused(path, tmp_path, "several granules", "Unpack it" if packed else "GRANULE/S2A_OPER_MSI")
    np.testing.assert_allclose(pixels(str(granule)), made.values, rtol=1e-12)
    ok("info", granule)


def test_an_old_manifest_of_no_spacecraft_that_is_known_is_refused(tmp_path: Path) -> None:
    safe = published.sentinel2_of_2017(tmp_path).path
    manifest = safe / "MTD_MSIL2A.xml"
    text = manifest.read_text()
    manifest.write_text(text.replace("Sentinel-2A<", "Sentinel-2X<"))
    refused(safe, tmp_path, "cannot be understood", "no Spectral_Information")
    manifest.write_text(text.replace("02.05<", "04.00<"))
    refused(safe, tmp_path, "cannot be understood", "no Spectral_Information")


def test_a_folder_of_nothing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", tmp_path, "holds no raster; got nothing")


# --------------------------------------------------------------------------------------------------


def test_envi_by_its_header_or_without_an_ending(tmp_path: Path) -> None:
    cube = spectra(4, 20, 30)
    header = envi_list("wavelength", wavelengths(4)) + "\nwavelength units = Nanometers"
    bare = write_envi(tmp_path / "bare", cube, "bil", header=header)
    named = write_envi(tmp_path / "named.bsq", cube, header=header)
    double = write_envi(tmp_path / "double.img", cube, "bip", header=header)
    (tmp_path / "double.hdr").rename(tmp_path / "double.img.hdr")
    (tmp_path / "named.png").write_bytes(b"a quicklook")
    for path in (bare, f"{bare}.hdr", named, tmp_path / "named.hdr", double, f"{double}.hdr"):
        np.testing.assert_array_equal(pixels(str(path)), cube)
        np.testing.assert_allclose(describe(path).bands.wavelength_nm, wavelengths(4))
    (tmp_path / "named.bsq").unlink()
    refused(tmp_path / "named.hdr", tmp_path, "without its data")


def test_subdatasets_and_vrts(tmp_path: Path) -> None:
    path = tmp_path / "two.nc"
    cube = spectra(3, 12, 15)
    with netCDF4.Dataset(path, "w") as ds:
        for name, size in (("band", 3), ("y", 12), ("x", 15)):
            ds.createDimension(name, size)
        for name in ("first", "second"):
            ds.createVariable(name, "f4", ("band", "y", "x"))[:] = cube * (
                2 if name == "second" else 1
            )
    refused(path, tmp_path, "has no bands", "subdatasets", "first", "second")
    np.testing.assert_array_equal(pixels(f'HDF5:"{path}"://second'), 2 * cube)
    inner = write_tiff(tmp_path / "inner.tif", cube)
    vrt = tmp_path / "outer.vrt"
    source = f'<SimpleSource><SourceFilename relativeToVRT="1">{Path(inner).name}</SourceFilename>'
    vrt.write_text(
        '<VRTDataset rasterXSize="15" rasterYSize="12"><VRTRasterBand dataType="Float32" '
        f'band="1">{source}'
        "<SourceBand>2</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"
    )
    np.testing.assert_array_equal(pixels(str(vrt)), cube[1:2])


def test_packed_and_remote_files_pass_unharmed(tmp_path: Path) -> None:
    cube = spectra(4, 20, 30)
    write_tiff(tmp_path / "c.tif", cube, nm=wavelengths(4))
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        archive.write(tmp_path / "c.tif", "deep/c.tif")
    np.testing.assert_array_equal(pixels(f"/vsizip/{tmp_path}/c.zip/deep/c.tif"), cube)

    command = [sys.executable, "-c", SERVER, str(tmp_path / "c.tif")]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        assert server.stdout is not None
        url = f"/vsicurl/http://127.0.0.1:{server.stdout.readline().strip()}/c.tif"
        try:
            ok(
                "train",
                url,
                "--groups",
                "equal:2",
                "-o",
                tmp_path / "run",
                "--folds",
                0,
                "--no-report",
            )
            (scene,) = ok("info", url, "--json").json["scenes"]
        finally:
            server.terminate()
    assert scene["path"] == url
    weight = load(tmp_path / "run" / "weights.safetensors").common.matrix
    np.testing.assert_allclose(
        read(tmp_path / "run" / "fused.tif"), np.einsum("kb,bhw->khw", weight, cube), rtol=1e-5
    )


def test_formats_are_listed() -> None:
    listed = ok("info", "--formats", "--json").json["formats"]
    assert [f["name"] for f in listed] == [f.name for f in FORMATS]
    assert {p.format.name for p in PRODUCTS} <= {f["name"] for f in listed}
    assert all(f["give"] and f["understood"] and f["proven"] for f in listed)
    shown = ok("info", "--formats").out
    assert all(f["name"] in shown for f in listed)
    assert cli("info").code == 2


# -------------------------------------------------------------------------------- quirks of real fi


def test_quirk_7_8_nothing_is_left_beside_a_compressed_file(tmp_path: Path) -> None:
    cube = spectra(3, 40, 50, dtype="int16")
    path = Path(write_envi(tmp_path / "packed.img", cube, header="file compression = 1"))
    path.write_bytes(gzip.compress(path.read_bytes()))
    before = listing(tmp_path)
    np.testing.assert_array_equal(pixels(str(path)), cube)
    ok("info", path)
    assert listing(tmp_path) == before
    ok("train", "--no-report", path, "--groups", "equal:2", "--folds", 0, "-o", tmp_path / "run")
    assert {p.name for p in tmp_path.iterdir()} == {"packed.img", "packed.hdr", "run"}


@pytest.mark.parametrize("name", ["lib.sli", "lib.hdr", "lib"])
def test_quirk_7_9_a_spectral_library_is_refused(name: str, tmp_path: Path) -> None:
    path = Path(write_envi(tmp_path / ("lib" if name == "lib" else "lib.sli"), spectra(1, 5, 20)))
    header = path.with_suffix(".hdr")
    header.write_text(header.read_text().replace("ENVI Standard", "ENVI Spectral Library"))
    refused(tmp_path / name, tmp_path, "is an ENVI spectral library")


def test_quirk_7_10_layouts_that_gdal_shows_alike(tmp_path: Path) -> None:
    cube = spectra(5, 70, 33, dtype="int16")
    found = {}
    for layout in ("bsq", "bil"):
        path = write_envi(tmp_path / f"{layout}.img", cube, layout)
        raster = describe(path)
        assert raster.stored == (1, 33)
        found[layout] = raster.interleave
        np.testing.assert_array_equal(
            pixels(path, Window(11, 4, 40, 20), [4, 1]), cube[[4, 1], 11:51, 4:24]
        )
    assert found == {"bsq": "band", "bil": "line"}


def describe_plainly(path: Path) -> int:
    """How many bands GDAL shows of a file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path) as ds:
            count: int = ds.count
            return count


def test_quirk_7_11_emit_is_right_way_up(tmp_path: Path) -> None:
    """GDAL's netCDF driver shows no band of the file, and turns the rows of the subdataset."""
    made = published.emit(tmp_path)
    assert describe_plainly(made.path) == 0
    first = pixels(str(made.path))[:, 0]
    np.testing.assert_array_equal(first, made.values[:, 0])
    assert not np.array_equal(first, made.values[:, -1])
    assert np.isfinite(describe(made.path).bands.wavelength_nm).all()


def test_quirk_7_12_prisma_has_rows_bands_and_columns_and_falling_wavelengths(
    tmp_path: Path,
) -> None:
    made = published.prisma(tmp_path)
    bands = describe(made.path).bands
    assert bands.name[:3] == ("VNIR 4", "VNIR 2", "VNIR 1")
    assert (np.diff(bands.wavelength_nm[:3]) > 0).all()
    assert (np.diff(bands.wavelength_nm[3:]) > 0).all()
    with h5py.File(made.path) as h:
        dn = h[f"{published.PRISMA_FIELDS}/VNIR_Cube"][:, 3, :].astype(np.float64)
        low, high = (float(h.attrs[f"L2ScaleVnir{end}"]) for end in ("Min", "Max"))
        good = (h[f"{published.PRISMA_FIELDS}/VNIR_PIXEL_L2_ERR_MATRIX"][:, 3, :] == 0) & (dn > 0)
    np.testing.assert_allclose(
        pixels(str(made.path))[0][good], (low + dn * (high - low) / 65535)[good], rtol=1e-7
    )
    assert np.isnan(pixels(str(made.path))[0][~good]).all()


def test_a_picture_of_few_pixels_steps_over_whole_blocks_of_rows(tmp_path: Path) -> None:
    """EMIT's lines are looked at in blocks; the step may be longer than a block."""
    made = published.emit(tmp_path, rows=150, cols=20, bands=7)
    np.testing.assert_allclose(
        quicklook(describe(made.path), [0, 1], most=2)[:, 0].T, made.values[:2, ::75, 0], rtol=1e-7
    )
    np.testing.assert_allclose(
        quicklook(describe(made.path), [3], most=75)[..., 0], made.values[3, ::2, ::2], rtol=1e-7
    )
