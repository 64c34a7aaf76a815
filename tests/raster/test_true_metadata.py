"""Products of true metadata, as the agencies wrote them, with made-up pixels: what is read of them,
against numbers that a few lines here take from the same text."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from xml.etree import ElementTree

import h5py
import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine
from rasters import UTM, ok, spectra, write_tiff
from realdata import DATA, needs_real_data

from bandfuse.raster import Raster, Reader, describe
from bandfuse.streaming.windows import Window

META = DATA / "metadata"

pytestmark = needs_real_data


def pixels(raster: Raster) -> np.ndarray:
    """(B, H, W) as bandfuse reads them."""
    with Reader([(raster, range(len(raster.bands)))]) as reader:
        whole = reader.read(Window(0, 0, *raster.shape))
        x: np.ndarray = whole.cell(slice(0, raster.rows), slice(0, raster.cols)).values().copy()
    return x.reshape(-1, *raster.shape)


# ------------------------------------------------------------------------------------------- EnMAP

STEM = "ENMAP01-____{}-DT0000326721_20170626T102020Z_001_V000204_20200406T180016Z"


def enmap_text(level: str) -> str:
    file = META / f"ENMAP_{level}_qualification-METADATA.XML.gz"
    return gzip.decompress(file.read_bytes()).decode("utf-8").replace("\r", "")


def enmap(folder: Path, level: str, **images: np.ndarray) -> Path:
    """A product of true metadata, with these images by the endings of their names."""
    folder.mkdir()
    stem = STEM.format(level)
    (folder / f"{stem}-METADATA.XML").write_text(enmap_text(level), encoding="utf-8")
    for name, values in images.items():
        write_tiff(folder / f"{stem}-{name}.TIF", values)
    return folder


def characters(text: str) -> dict[str, np.ndarray]:
    """The columns of ``bandCharacterisation``, by regular expression."""
    part = text.split("<bandCharacterisation>")[1].split("</bandCharacterisation>")[0]
    keys = ("wavelengthCenterOfBand", "FWHMOfBand", "GainOfBand", "OffsetOfBand")
    found = {k: np.array(re.findall(f"<{k}>(.*?)</{k}>", part), float) for k in keys}
    assert [len(v) for v in found.values()] == [218] * 4
    return found


def same_bands(raster: Raster, told: dict[str, np.ndarray], kept: object = slice(None)) -> None:
    for column, key in (
        (raster.bands.wavelength_nm, "wavelengthCenterOfBand"),
        (raster.bands.fwhm_nm, "FWHMOfBand"),
        (raster.scale, "GainOfBand"),
        (raster.offset, "OffsetOfBand"),
    ):
        np.testing.assert_array_equal(column, told[key][kept])


@pytest.mark.parametrize(
    ("level", "dtype", "fill"), [("L1C", "uint16", 0.0), ("L2A", "int16", -32768.0)]
)
def test_enmap_on_the_map(level: str, dtype: str, fill: float, tmp_path: Path) -> None:
    """The metadata of both say ``backgroundValue`` 0; L2A's pixels hold −32768 all the same."""
    text = enmap_text(level)
    assert "<backgroundValue>0</backgroundValue>" in text
    cube = spectra(218, 5, 6, dtype=dtype)
    cube[:, 0, :2] = fill
    folder = enmap(tmp_path / "p", level, SPECTRAL_IMAGE=cube)
    raster, told = describe(folder), characters(text)
    assert raster.product == f"EnMAP {level}"
    same_bands(raster, told)
    assert set(raster.nodata.tolist()) == {fill}
    gain, offset = (told[k][:, None, None] for k in ("GainOfBand", "OffsetOfBand"))
    np.testing.assert_allclose(
        pixels(raster), np.where(cube == fill, np.nan, cube * gain + offset), rtol=1e-12
    )


def test_enmap_of_each_detector(tmp_path: Path) -> None:
    """L1B has 88 and 130 bands, whose numbers are woven into each other."""
    text = enmap_text("L1B")
    lists = [
        np.array(found.split(","), int) - 1
        for found in re.findall("<expectedChannelsList>(.*?)</expectedChannelsList>", text)
    ]
    assert [len(row) for row in lists] == [88, 130]
    images = {
        f"SPECTRAL_IMAGE_{name}": spectra(len(row), 5, 6, dtype="uint16")
        for name, row in zip(("VNIR", "SWIR"), lists, strict=True)
    }
    folder = enmap(tmp_path / "p", "L1B", **images)
    told = characters(text)
    for name, row in zip(("VNIR", "SWIR"), lists, strict=True):
        raster = describe(folder / f"{STEM.format('L1B')}-SPECTRAL_IMAGE_{name}.TIF")
        assert raster.product == "EnMAP L1B"
        same_bands(raster, told, row)
        assert set(raster.nodata.tolist()) == {0.0}


# -------------------------------------------------------------------------------------- Sentinel-2


def sentinel2(folder: Path, manifest: str, name: str) -> dict[str, np.ndarray]:
    """A SAFE folder with an image for every IMAGE_FILE; the pixels of its bands by name and
    resolution."""
    folder.mkdir()
    text = (META / manifest).read_text(encoding="utf-8")
    (folder / name).write_text(text, encoding="utf-8")
    made = {}
    for seed, stem in enumerate(re.findall(r"<IMAGE_FILE>(.*?)</IMAGE_FILE>", text)):
        match = re.search(r"_(B\d[\dA])(?:_(\d\d)m)?$", stem)
        if match is None:
            continue
        metres = int(match[2] or SENSED[match[1]])
        values = spectra(1, 240 // metres, 240 // metres, seed, "uint16")[0]
        values[0, 0] = 0
        made[f"{match[1]}_{metres}"] = values
        path = folder / f"{stem}.jp2"
        path.parent.mkdir(parents=True, exist_ok=True)
        place = {"crs": UTM, "transform": Affine(metres, 0, 600_000, 0, -metres, 5_900_040)}
        with rasterio.open(
            path,
            "w",
            driver="JP2OpenJPEG",
            height=len(values),
            width=len(values),
            count=1,
            dtype="uint16",
            QUALITY="100",
            REVERSIBLE="YES",
            **place,
        ) as ds:
            ds.write(values, 1)
    return made


SENSED = {
    **dict.fromkeys(("B02", "B03", "B04", "B08"), 10),
    **dict.fromkeys(("B05", "B06", "B07", "B8A", "B11", "B12"), 20),
    **dict.fromkeys(("B01", "B09", "B10"), 60),
}


def told_of_s2(manifest: str) -> dict[str, tuple[float, int, float]]:
    """Wavelength, width at half maximum and offset of each band, from the manifest."""
    root = ElementTree.parse(META / manifest).getroot()
    offsets = {
        e.get("band_id"): float(e.text or "")
        for e in root.iter()
        if e.tag in ("BOA_ADD_OFFSET", "RADIO_ADD_OFFSET")
    }
    found = {}
    for e in root.iter("Spectral_Information"):
        name = e.get("physicalBand", "")
        response = np.array((e.findtext("Spectral_Response/VALUES") or "").split(), float)
        above = np.flatnonzero(response >= response.max() / 2)
        found[f"B0{name[1:]}" if len(name) == 2 else name] = (
            float(e.findtext("Wavelength/CENTRAL") or ""),
            int(above[-1] - above[0] + 1),
            offsets.get(e.get("bandId"), 0.0),
        )
    return found


@pytest.mark.parametrize(
    ("manifest", "name", "product"),
    [
        ("S2A_N0212_MTD_MSIL2A.xml", "MTD_MSIL2A.xml", "Sentinel-2 L2A"),
        ("S2A_N0212_lowercase_MTD_MSIL2a.xml", "MTD_MSIL2a.xml", "Sentinel-2 L2A"),
        ("S2C_MTD_MSIL2A.xml", "MTD_MSIL2A.xml", "Sentinel-2 L2A"),
        ("S2A_N0301_MTD_MSIL1C.xml", "MTD_MSIL1C.xml", "Sentinel-2 L1C"),
    ],
)
def test_sentinel2(manifest: str, name: str, product: str, tmp_path: Path) -> None:
    made = sentinel2(tmp_path / "x.SAFE", manifest, name)
    raster, told = describe(tmp_path / "x.SAFE"), told_of_s2(manifest)
    assert raster.product == product
    there = {key.split("_")[0] for key in made}
    assert list(raster.bands.name) == [band for band in told if band in there]
    assert len(there) == (13 if product.endswith("L1C") else 12)
    for i, band in enumerate(raster.bands.name):
        nm, width, offset = told[band]
        assert raster.bands.wavelength_nm[i] == nm
        assert raster.bands.fwhm_nm[i] == width
        assert raster.scale[i] == 1e-4
        assert raster.offset[i] == offset / 10000
        sizes = sorted(int(key.split("_")[1]) for key in made if key.startswith(band))
        metres = min([m for m in sizes if m >= SENSED[band]] or sizes)
        stored = made[f"{band}_{metres}"].astype(float)
        whole = np.kron(stored, np.ones((metres // 10,) * 2))
        expected = np.where(whole == 0, np.nan, (whole + offset) / 10000)
        np.testing.assert_allclose(pixels(raster)[i], expected, rtol=1e-12)
    assert ("S2C" in manifest) == bool((raster.offset == -0.1).all())


# ------------------------------------------------------------------------------------------ PRISMA

ATTRIBUTES = "prisma_L2D_20201002_attributes.txt"


def attributes() -> dict[str, object]:
    """The attributes of the root of a real file, from how Python printed them."""
    text = (META / ATTRIBUTES).read_text(encoding="utf-8")
    found: dict[str, object] = {}
    for key, value in re.findall(r"^(\w+) (\[.*?\]|.*?)$", text, re.M | re.S):
        if value.startswith("["):
            words = value.strip("[]").split()
            if all(re.fullmatch(r"[-+.\de]+", word) for word in words):
                found[key] = np.array(words, "f4")
        elif value.startswith("b'"):
            found[key] = value[2:-1].encode()
        elif "." in value:
            found[key] = np.float32(value)
        else:
            found[key] = np.int32(value)
    return found


def prisma(path: Path, rows: int, cols: int, *, empty: bool) -> dict[str, np.ndarray]:
    """A file of these attributes; ``empty``: chunks that were never written."""
    told, made = attributes(), {}
    with h5py.File(path, "w") as file:
        file.attrs.update(told)
        file.create_group("HDFEOS INFORMATION").attrs["HDFEOSVersion"] = b"HDFEOS_5.1.15"
        fields = file.create_group("HDFEOS/SWATHS/PRS_L2D_HCO/Data Fields")
        for name in ("Vnir", "Swir"):
            shape = rows, len(told[f"List_Cw_{name}"]), cols  # type: ignore[arg-type]
            title = f"{name.upper()}_Cube"
            if empty:
                fields.create_dataset(title, shape, "u2", chunks=(1, shape[1], cols))
                continue
            cube = np.moveaxis(spectra(shape[1], rows, cols, dtype="uint16"), 0, 1)
            fields[title], made[name] = cube, cube
            fields[f"{name.upper()}_PIXEL_L2_ERR_MATRIX"] = np.zeros(shape, "u1")
    return made


def test_prisma_of_the_attributes_of_a_real_file(tmp_path: Path) -> None:
    path = tmp_path / "PRS_L2D_STD_20201002193710_20201002193714_0001.he5"
    made, told = prisma(path, 4, 5, empty=False), attributes()
    raster = describe(path)
    nm, fwhm, values = [], [], []
    for name in ("Vnir", "Swir"):
        centres = np.asarray(told[f"List_Cw_{name}"], float)
        order = [i for i in np.argsort(centres) if centres[i] > 0]
        nm += centres[order].tolist()
        fwhm += np.asarray(told[f"List_Fwhm_{name}"], float)[order].tolist()
        low, high = (told.get(f"L2Scale{name}{end}", end == "Max") for end in ("Min", "Max"))
        values.append(low + np.moveaxis(made[name], 1, 0)[order] * (high - low) / 65535)
    assert len(nm) == 63 + 171
    np.testing.assert_allclose(raster.bands.wavelength_nm, nm, rtol=1e-6)
    np.testing.assert_allclose(raster.bands.fwhm_nm, fwhm, rtol=1e-6)
    np.testing.assert_allclose(pixels(raster), np.concatenate(values), rtol=1e-6)


def test_prisma_has_pixels_of_30_m_though_its_corners_are_float32(tmp_path: Path) -> None:
    """The corners lie 36 359.94 and 35 910 m apart: 1212 and 1197 steps of 29.99995 and 30 m."""
    path = tmp_path / "PRS_L2D_STD_20201002193710_20201002193714_0001.he5"
    prisma(path, 1198, 1213, empty=True)
    raster, told = describe(path), attributes()
    assert (raster.transform.a, raster.transform.e) == (30.0, -30.0)
    centre = raster.transform @ (0.5, 0.5)
    expected = told["Product_ULcorner_easting"], told["Product_ULcorner_northing"]
    assert centre == pytest.approx(expected, abs=0.001)
    assert str(raster.crs) == f"EPSG:{told['Epsg_Code']}" == "EPSG:32609"


# --------------------------------------------------------------------------------------------------


def test_the_formats_say_on_what_they_are_proven() -> None:
    listed = {f["name"]: f["proven"] for f in ok("info", "--formats", "--json").json["formats"]}
    for name, words in (
        ("Sentinel-2", "true metadata"),
        ("EnMAP", "true metadata"),
        ("PRISMA", "attributes of a real"),
        ("DESIS", "synthetic"),
    ):
        (proven,) = (text for key, text in listed.items() if key.startswith(name))
        assert words in proven
