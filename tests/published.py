"""Small files with the published structure of products, written with netCDF4, h5py and rasterio
from seeds."""

from __future__ import annotations

import re
import shutil
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import netCDF4
import numpy as np
import rasterio
from rasters import NORTH_UP, UTM, spectra, write_tiff

WGS84 = (
    'GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS '
    '84",6378137,298.257223563,AUTHORITY["EPSG","7030"]],'
    'AUTHORITY["EPSG","6326"]],PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433,AUTHORITY["EPSG","9122"]],'
    'AUTHORITY["EPSG","4326"]]'
)


@dataclass(frozen=True, eq=False)
class Made:
    """What was written: the path to give, (B, H, W) physical values with NaN where missing, and the
    wavelengths."""

    path: Path
    values: np.ndarray
    nm: np.ndarray
    fwhm: np.ndarray
    good: np.ndarray
    extra: dict[str, np.ndarray] = field(default_factory=dict)


def emit(
    folder: Path,
    rows: int = 70,
    cols: int = 45,
    bands: int = 9,
    *,
    outside: bool = False,
    cube_name: str = "reflectance",
) -> Made:
    """EMIT L2A: a turned footprint of the image on a map, some pixels missing, two bands flagged
    bad."""
    rng = np.random.default_rng(1)
    cube = np.moveaxis(spectra(bands, rows, cols, seed=2), 0, -1)
    cube[3, 5] = cube[rows - 1, 0] = -9999.0
    nm = np.linspace(381.00558, 2493.0, bands).astype("f4")
    good = np.ones(bands, "f4")
    good[[2, 6]] = 0
    cube[..., good == 0] = -0.01
    shape = rows + 30, cols + 50
    y, x = np.mgrid[: shape[0], : shape[1]]
    row = np.rint(0.8 * (y - 10) + 0.3 * (x - 30) + rng.uniform(-0.4, 0.4, shape)).astype(int)
    col = np.rint(0.8 * (x - 12) - 0.2 * (y - 30)).astype(int)
    there = (row >= 0) & (row < rows) & (col >= 0) & (col < cols)
    glt_x, glt_y = (np.where(there, v + 1, 0).astype("i4") for v in (col, row))
    if outside:
        glt_x[40, 40] = cols + 1
    place = np.array([-117.52, 0.000542232520256367, 0.0, 35.31, 0.0, -0.000542232520256367])
    path = folder / "EMIT_L2A_RFL_001_20220815T042838_2222703_003.nc"
    with netCDF4.Dataset(path, "w") as ds:
        ds.setncatts(
            {
                "geotransform": place,
                "spatial_ref": WGS84,
                "title": "EMIT L2A Estimated Surface Reflectance",
            }
        )
        for name, size in (("downtrack", rows), ("crosstrack", cols), ("bands", bands)):
            ds.createDimension(name, size)
        ds.createDimension("ortho_y", shape[0])
        ds.createDimension("ortho_x", shape[1])
        kept = {"zlib": True, "fill_value": -9999.0}
        var = ds.createVariable(
            cube_name, "f4", ("downtrack", "crosstrack", "bands"), chunksizes=(16, 20, 4), **kept
        )
        var[:] = cube
        group = ds.createGroup("sensor_band_parameters")
        for name, column in (
            ("wavelengths", nm),
            ("fwhm", np.full(bands, 8.4, "f4")),
            ("good_wavelengths", good),
        ):
            if (cube_name, name) == ("radiance", "good_wavelengths"):
                continue
            kind = {"good_wavelengths": "u1"}.get(name, "f4")
            filled = {} if kind == "u1" else kept
            group.createVariable(name, kind, ("bands",), **filled)[:] = column
        group = ds.createGroup("location")
        for name in ("lat", "lon", "elev"):
            group.createVariable(name, "f8", ("downtrack", "crosstrack"), **kept)[:] = 0.0
        for name, table in (("glt_x", glt_x), ("glt_y", glt_y)):
            variable = group.createVariable(name, "i4", ("ortho_y", "ortho_x"), **kept)
            variable[:] = np.where(there | (y % 2 == 0), table, -9999)
    with netCDF4.Dataset(path) as ds:  # what another reader finds
        found = np.ma.filled(ds[cube_name][:].astype(np.float64), np.nan)
        nm = np.ma.filled(ds["sensor_band_parameters/wavelengths"][:].astype(np.float64), np.nan)
    extra = {"glt_x": glt_x, "glt_y": glt_y, "place": place}
    return Made(
        path,
        np.moveaxis(found, -1, 0),
        nm,
        np.full(bands, np.float64(np.float32(8.4))),
        good == 1,
        extra,
    )


PRISMA_FIELDS = "HDFEOS/SWATHS/PRS_L2D_HCO/Data Fields"


def prisma(
    folder: Path,
    rows: int = 68,
    cols: int = 50,
    *,
    level: str = "2D",
    chunks: bool = False,
    leave: str = "",
) -> Made:
    """PRISMA of a level: 5 + 6 bands of which 3 + 5 are there, falling wavelengths, flagged and
    empty pixels, a panchromatic image; ``extra["pan"]`` is (1, 6 H, 6 W) as numpy finds it."""
    rng = np.random.default_rng(3)
    nm = {
        "Vnir": np.array([977.4, 800.2, 0.0, 600.1, 0.0], "f4"),
        "Swir": np.r_[np.linspace(2497, 943, 5), 0].astype("f4"),
    }
    path = folder / f"PRS_L{level}_STD_20201107101404_20201107101408_0001.he5"
    values, found, widths = [], [], []
    base = spectra(11, rows, cols, seed=4, dtype="uint16").astype(np.int64) * 6
    errors = f"PIXEL_{'SAT' if level == '1' else 'L2'}_ERR_MATRIX"
    with h5py.File(path, "w") as h:
        h.attrs["Product_ID"] = f"PRS_L{level}_STD".encode()
        h.attrs["Processing_Level"] = level.encode()
        _prisma_place(h, rows, cols, level)
        for name, part in (("Vnir", base[:5]), ("Swir", base[5:])):
            n = len(part)
            cube = np.clip(part, 1, 65535).astype("u2")
            cube[nm[name] == 0] = 0
            cube[slice(3, 4) if level == "1" else slice(None), -4:, :6] = 0
            fwhm = np.linspace(9, 15, n).astype("f4")
            h.attrs.update({f"List_Cw_{name}": nm[name], f"List_Fwhm_{name}": fwhm})
            h.attrs[f"List_Cw_{name}_Flags"] = (nm[name] > 0).astype("i4")
            layout = {"chunks": (16, n, 16), "compression": "gzip"} if chunks else {}
            keys = f"{name.upper()}_Cube", f"{name.upper()}_{errors}"
            y = _prisma_image(h, f"PRS_L{level}_HCO", keys, cube, rng, name, leave, layout)
            order = [i for i in np.argsort(nm[name]) if nm[name][i] > 0]
            values.append(y[order])
            found.append(nm[name][order])
            widths.append(fwhm[order])
        dn = np.kron(base[:1], np.ones((1, 6, 6), int)) + rng.integers(
            0, 50, (1, rows * 6, cols * 6)
        )
        if level != "1":
            dn[:, :9, :40] = 0
        keys = "Cube", errors
        pan = _prisma_image(h, f"PRS_L{level}_PCO", keys, dn.astype("u2"), rng, "Pan", leave, {})
    joined = np.concatenate(found).astype(np.float64)
    return Made(
        path,
        np.concatenate(values),
        joined,
        np.concatenate(widths).astype(np.float64),
        np.ones(8, bool),
        {"pan": pan},
    )


PRISMA_ENDS = {
    "Vnir": (np.float32(0.0), np.float32(1.37)),
    "Swir": (np.float32(0.01), np.float32(0.93)),
    "Pan": (np.float32(0.02), np.float32(1.11)),
}
"""Least and greatest value of the images of level 2; the offset and the hundredth of the scale
factor of level 1."""


def _prisma_place(h: h5py.File, rows: int, cols: int, level: str) -> None:
    """Corners on a map; or the latitudes and longitudes of a turned swath."""
    if level == "2D":
        h.attrs["Epsg_Code"] = np.uint32(32632)
        corners = {
            "UL": (500_015.0, 4_999_985.0),
            "LR": (500_015.0 + 30 * (cols - 1), 4_999_985.0 - 30 * (rows - 1)),
        }
        for corner, (east, north) in corners.items():
            h.attrs[f"Product_{corner}corner_easting"] = np.float32(east)
            h.attrs[f"Product_{corner}corner_northing"] = np.float64(north)
        return
    detectors = ("_VNIR", "_SWIR") if level == "1" else ("",)
    for kind, endings, times in (("HCO", detectors, 1), ("PCO", ("",), 6)):
        y, x = (np.mgrid[: rows * times, : cols * times] + 0.5) / times
        for i, ending in enumerate(endings):
            place = f"HDFEOS/SWATHS/PRS_L{level}_{kind}/Geolocation Fields"
            off = 0.01 * i
            h[f"{place}/Latitude{ending}"] = (45.2 - 2e-4 * x - 5e-5 * y + off).astype("f4")
            h[f"{place}/Longitude{ending}"] = (9.1 - 3e-4 * y + 7e-5 * x + off).astype("f4")


def _prisma_image(
    h: h5py.File,
    swath: str,
    keys: tuple[str, str],
    cube: np.ndarray,
    rng: np.random.Generator,
    name: str,
    leave: str,
    layout: dict[str, object],
) -> np.ndarray:
    """Write an image (B, H, W) with its errors, each under its key but that to leave; its values,
    NaN where missing."""
    low, high = PRISMA_ENDS[name]
    ones = "L1" in swath
    codes = [0, 1, 2, 3, 4] if ones else [0, 1, 2, 4]
    share = [1 - 0.01 * (len(codes) - 1), *[0.01] * (len(codes) - 1)]
    flaws = rng.choice(codes, cube.shape, p=share).astype("u1")
    for key, array in zip(keys, (cube, flaws), strict=True):
        if key != leave:
            stored = array.transpose(1, 0, 2) if name != "Pan" else array[0]
            h.create_dataset(f"HDFEOS/SWATHS/{swath}/Data Fields/{key}", data=stored, **layout)
    if ones:
        h.attrs.update({f"ScaleFactor_{name}": high * 100, f"Offset_{name}": low})
        y = cube / np.float64(high * 100) - np.float64(low)
    else:
        h.attrs.update({f"L2Scale{name}Min": low, f"L2Scale{name}Max": high})
        y = np.float64(low) + cube * (np.float64(high) - np.float64(low)) / 65535
        y[cube == 0] = np.nan
    if keys[1] != leave:
        y[flaws != 0] = np.nan
    return y


def _dlr(
    folder: Path, stem: str, ending: str, bands: int, interleave: str
) -> tuple[Path, np.ndarray, np.ndarray]:
    """The spectral image of a product, (B, H, W) as stored with a corner without data, and
    wavelengths."""
    folder.mkdir()
    cube = spectra(bands, 66, 52, seed=5, dtype="int16")
    cube[:, :5, :7] = -32768
    layout = {
        "compress": "deflate",
        "interleave": interleave,
        "tiled": True,
        "blockxsize": 32,
        "blockysize": 32,
    }
    write_tiff(folder / f"{stem}-SPECTRAL_IMAGE.{ending}", cube, nodata=-32768, **layout)
    return folder / f"{stem}-SPECTRAL_IMAGE.{ending}", cube, np.linspace(418.24, 2445.3, bands)


def zipped(folder: Path) -> Path:
    """An archive that holds a folder, as it is downloaded."""
    path = folder.with_name(f"{folder.name}.ZIP")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(p for p in folder.rglob("*") if p.is_file()):
            archive.write(file, f"{folder.name}/{file.relative_to(folder)}")
    return path


def enmap(place: Path, bands: int = 8, *, upper: bool = True) -> Made:
    """EnMAP L2A: the folder; a dead band in the middle."""
    stem = "ENMAP01-____L2A-DT0000001867_20220724T104526Z_008_V010302_20230628T165614Z"
    image, cube, nm = _dlr(place / stem, stem, "TIF" if upper else "tif", bands, "band")
    with rasterio.open(image, "r+") as ds:
        ds.write(np.full(cube.shape[1:], -32768, "int16"), 4)
    cube[3] = -32768
    gain, offset = np.full(bands, 1e-4), np.zeros(bands)
    gain[1], offset[2] = 2e-4, 0.01
    fwhm = np.linspace(6.5, 12.25, bands)
    character = "".join(
        f'<bandID number="{i + 1}"><wavelengthCenterOfBand>{nm[i]}</wavelengthCenterOfBand>'
        f"<FWHMOfBand>{fwhm[i]}</FWHMOfBand><GainOfBand>{gain[i]}</GainOfBand>"
        f"<OffsetOfBand>{offset[i]}</OffsetOfBand></bandID>"
        for i in range(bands)
    )
    statistics = "".join(
        f'<bandID number="{i + 1}"><mean>{-1000000 if i == 3 else 812.5}</mean>'
        f"<stdDeviation>{0 if i == 3 else 31.5}</stdDeviation></bandID>"
        for i in range(bands)
    )
    (image.parent / f"{stem}-METADATA.{'XML' if upper else 'xml'}").write_text(
        '<?xml version="1.0" encoding="UTF-8"?><level_X><base><level>L2A</level></base><specific>'
        f"<bandCharacterisation>{character}</bandCharacterisation></specific><product><bandStatistics>{statistics}</bandStatistics></product>"
        f"</level_X>"
    )
    (image.parent / f"{stem}-QL_VNIR.TIF").write_bytes(b"")
    values = np.where(cube == -32768, np.nan, cube * gain[:, None, None] + offset[:, None, None])
    return Made(image.parent, values, nm, fwhm, np.arange(bands) != 3)


def desis(place: Path, bands: int = 7) -> Made:
    """DESIS L2A: the folder; pixel interleaved."""
    stem = "DESIS-HSI-L2A-DT0483531728_001-20200804T234520-V0210"
    image, cube, _ = _dlr(place / stem, stem, "tif", bands, "pixel")
    nm, fwhm = np.linspace(401.9, 999.5, bands), np.linspace(3.1, 3.6, bands)

    def lines(key: str, column: np.ndarray) -> str:
        return f"{key}  = {{\n" + ",\n".join(map(str, column)) + "}\n"

    (image.parent / f"{stem}-SPECTRAL_IMAGE.hdr").write_text(
        "ENVI\ndescription = {DESIS = L2A}\nsamples = 52\nlines = 66\nwavelength units = "
        "nanometers\n"
        + lines("wavelength", nm)
        + lines("fwhm", fwhm)
        + lines("data gain values", np.full(bands, 1e-4))
        + lines("data offset values", np.zeros(bands))
    )
    (image.parent / f"{stem}-METADATA.xml").write_text("<hsi_doc/>")
    return Made(
        image.parent, np.where(cube == -32768, np.nan, cube * 1e-4), nm, fwhm, np.ones(bands, bool)
    )


S2_BANDS = {
    "B1": (60, 412, 456, 442.7),
    "B2": (10, 456, 533, 492.7),
    "B3": (10, 538, 583, 559.8),
    "B4": (10, 646, 684, 664.6),
    "B8A": (20, 837, 881, 864.7),
    "B9": (60, 932, 958, 945.1),
    "B10": (60, 1337, 1412, 1373.5),
    "B11": (20, 1539, 1682, 1613.7),
}


def s2_response(count: int) -> str:
    """A response of this many steps: four at either end are below half of its maximum."""
    return " ".join(map(str, [0.001, 0.01, 0.1, 0.4, *[0.9] * (count - 8), 0.4, 0.1, 0.01, 0.001]))


def sentinel2(
    place: Path, *, baseline: str = "05.11", offset: int | None = -1000, images: bool = True
) -> Made:
    """Sentinel-2 L2A: the SAFE folder of a small tile; some bands, at their own and at coarser
    resolutions."""
    safe = place / "S2A_MSIL2A_20220724T104031_N0511_R008_T32UQD_20220724T170000.SAFE"
    granule = "GRANULE/L2A_T32UQD_A037004_20220724T104526"
    size = 132
    files, character, offsets, values = [], "", "", []
    for number, (name, (sensed, low, high, centre)) in enumerate(S2_BANDS.items()):
        ident = {"B10": 10, "B11": 11}.get(name, number)
        character += (
            f'<Spectral_Information bandId="{ident}" '
            f'physicalBand="{name}"><RESOLUTION>{sensed}</RESOLUTION>'
            f'<Wavelength><MIN unit="nm">{low}</MIN><MAX unit="nm">{high}</MAX><CENTRAL '
            f'unit="nm">{centre}</CENTRAL>'
            "</Wavelength><Spectral_Response><STEP "
            f"unit='nm'>1</STEP><VALUES>{s2_response(high - low)}</VALUES>"
            f"</Spectral_Response></Spectral_Information>"
        )
        if offset is not None:
            offsets += f'<BOA_ADD_OFFSET band_id="{ident}">{offset - number}</BOA_ADD_OFFSET>'
        if name == "B10":
            continue
        long = f"B0{name[1:]}" if len(name) == 2 else name
        cube = spectra(
            len(S2_BANDS), size * 10 // sensed, size * 10 // sensed, seed=sensed, dtype="uint16"
        )[number]
        cube[-2:, :3] = 0
        for m in [m for m in (10, 20, 60) if m >= sensed] + ([20] if name == "B1" else []):
            stem = f"{granule}/IMG_DATA/R{m}m/T32UQD_20220724T104031_{long}_{m}m"
            files.append(stem)
            stored = cube if m == sensed else np.full((size * 10 // m,) * 2, 7, "u2")
            if images:
                _jp2(safe / f"{stem}.jp2", stored, m)
        whole = np.repeat(np.repeat(cube, sensed // 10, 0), sensed // 10, 1).astype(np.float64)
        values.append(
            np.where(
                whole == 0, np.nan, (whole + (0 if offset is None else offset - number)) / 10000
            )
        )
    for other in ("R10m/T32UQD_20220724T104031_WVP_10m", "R20m/T32UQD_20220724T104031_SCL_20m"):
        files.append(f"{granule}/IMG_DATA/{other}")
    listed = "".join(f"<IMAGE_FILE>{name}</IMAGE_FILE>" for name in files)
    safe.mkdir(exist_ok=True)
    (safe / "MTD_MSIL2A.xml").write_text(
        '<?xml version="1.0"?><n1:Level-2A_User_Product '
        'xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/x.xsd">'
        f"<n1:General_Info><Product_Info><PROCESSING_BASELINE>{baseline}</PROCESSING_BASELINE><Product_Organisation>"
        '<Granule_List><Granule granuleIdentifier="x" '
        f'imageFormat="JPEG2000">{listed}</Granule></Granule_List>'
        "</Product_Organisation></Product_Info><Product_Image_Characteristics><QUANTIFICATION_VALUES_LIST>"
        "<BOA_QUANTIFICATION_VALUE "
        'unit="none">10000</BOA_QUANTIFICATION_VALUE></QUANTIFICATION_VALUES_LIST>'
        f"<BOA_ADD_OFFSET_VALUES_LIST>{offsets}</BOA_ADD_OFFSET_VALUES_LIST><Spectral_Information_List>{character}"
        "</Spectral_Information_List></Product_Image_Characteristics></n1:General_Info></n1:Level-2A_User_Product>"
    )
    kept = {n: v for n, v in S2_BANDS.items() if n != "B10"}
    nm = np.array([v[3] for v in kept.values()])
    fwhm = np.array([float(v[2] - v[1] - 8) for v in kept.values()])
    return Made(safe, np.stack(values), nm, fwhm, np.ones(len(kept), bool))


def sentinel2_of_2017(place: Path) -> Made:
    """Sentinel-2 L2A of baseline 02.05, as Sen2Cor 2.3 wrote it: other words, a granule for every
    resolution, and no wavelengths."""
    made = sentinel2(place, baseline="02.05", offset=None)
    manifest = made.path / "MTD_MSIL2A.xml"
    text = _without_wavelengths(manifest.read_text())
    for word in ("Product_Info", "Product_Organisation", "Product_Image_Characteristics"):
        text = text.replace(f"<{word}>", f"<L2A_{word}>").replace(f"</{word}>", f"</L2A_{word}>")
    text = text.replace("BOA_QUANTIFICATION", "L2A_BOA_QUANTIFICATION")
    stems = re.findall("<IMAGE_FILE>(.*?)</IMAGE_FILE>", text)
    lists = ""
    for metres in (60, 20, 10):
        mine = [stem for stem in stems if stem.endswith(f"{metres}m")]
        images = "".join(f"<IMAGE_FILE_2A>{stem}</IMAGE_FILE_2A>" for stem in mine)
        lists += (
            '<Granule_List><Granule granuleIdentifier="x" imageFormat="JPEG2000">'
            f"{images}</Granule></Granule_List>"
        )
    manifest.write_text(re.sub("<Granule_List>.*</Granule_List>", lists, text, flags=re.S))
    return _of_known_sensor(made)


def sentinel2_of_2016(place: Path, level: str = "L2A", tiles: int = 1) -> Made:
    """Sentinel-2 of before December 2016: ``S2A_OPER_…``, images named by the granule they lie in;
    of L1C with wavelengths, of L2A without. More tiles are copies of the first."""
    made = sentinel2(place, baseline="02.04", offset=None)
    text = (made.path / "MTD_MSIL2A.xml").read_text()
    (made.path / "MTD_MSIL2A.xml").unlink()
    kind = "OPER" if level == "L1C" else "USER"
    lists = ""
    for tile in range(tiles):
        start = f"S2A_{kind}_MSI_{level}_TL_SGS__20160101T000000_A000123_T32TQ{'RST'[tile]}"
        granule = f"{start}_N02.01"
        images = ""
        for stem in re.findall("<IMAGE_FILE>(.*?)</IMAGE_FILE>", text):
            match = re.search(r"_(B\d[\dA])_(\d\d)m$", stem)
            if match is None:
                continue
            sensed = S2_BANDS[f"B{match[1][1:].lstrip('0')}"][0]
            if level == "L1C" and sensed != int(match[2]):
                continue
            ending = "" if level == "L1C" else f"_{match[2]}m"
            name = f"{start}_{match[1]}{ending}"
            below = "" if level == "L1C" else f"R{match[2]}m/"
            new = made.path / f"GRANULE/{granule}/IMG_DATA/{below}{name}.jp2"
            new.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(made.path / f"{stem}.jp2", new)
            tag = "IMAGE_ID" if level == "L1C" else "IMAGE_ID_2A"
            images += f"<{tag}>{name}</{tag}>"
        lists += (
            f'<Granule_List><Granules granuleIdentifier="{granule}" imageFormat="JPEG2000">'
            f"{images}</Granules></Granule_List>"
        )
    shutil.rmtree(made.path / "GRANULE/L2A_T32UQD_A037004_20220724T104526")
    text = re.sub("<Granule_List>.*</Granule_List>", lists, text, flags=re.S)
    if level == "L1C":
        text = text.replace("BOA_QUANT", "QUANT")
    else:
        text = _without_wavelengths(text).replace("BOA_QUANT", "L2A_BOA_QUANT")
    stem = "PDMC_20160101T000000_R022_V20160101T000000_20160101T000000"
    (made.path / f"S2A_{kind}_MTD_SAF{level}_{stem}.xml").write_text(text)
    path = made.path.rename(place / f"S2A_{kind}_PRD_MSI{level}_{stem}.SAFE")
    made = Made(path, made.values, made.nm, made.fwhm, made.good)
    return made if level == "L1C" else _of_known_sensor(made)


def _without_wavelengths(text: str) -> str:
    """A manifest that names its spacecraft and tells nothing of its bands."""
    craft = (
        "<PROCESSING_BASELINE>",
        "<SPACECRAFT_NAME>Sentinel-2A</SPACECRAFT_NAME><PROCESSING_BASELINE>",
    )
    return re.sub("<Spectral_Information .*</Spectral_Information>", "", text.replace(*craft))


S2A = {
    "B1": (442.7, 21),
    "B2": (492.4, 66),
    "B3": (559.8, 36),
    "B4": (664.6, 31),
    "B8A": (864.7, 21),
    "B9": (945.1, 20),
    "B11": (1613.7, 91),
}
"""Centres and widths of Sentinel-2A's bands in nm, as ESA gives them (COPE-GSEG-EOPG-TN-15-0007);
widths in whole nm."""


def _of_known_sensor(made: Made) -> Made:
    """With the wavelengths that ESA gives for Sentinel-2A."""
    nm, fwhm = (np.array([row[i] for row in S2A.values()], dtype=float) for i in (0, 1))
    return Made(made.path, made.values, nm, fwhm, made.good)


def _jp2(path: Path, values: np.ndarray, pixel: int) -> None:
    """A lossless JPEG 2000 file of one band."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(
        path,
        "w",
        driver="JP2OpenJPEG",
        height=values.shape[0],
        width=values.shape[1],
        count=1,
        dtype="uint16",
        crs=UTM,
        transform=rasterio.Affine(pixel, 0, NORTH_UP.c, 0, -pixel, NORTH_UP.f),
        QUALITY="100",
        REVERSIBLE="YES",
        BLOCKXSIZE="64",
        BLOCKYSIZE="64",
    ) as ds:
        ds.write(values, 1)


MASK_BANDS = (
    "Cloud flag",
    "Cirrus flag",
    "Water flag",
    "Spacecraft Flag",
    "Dilated Cloud Flag",
    "AOD550",
    "H2O (g cm-2)",
    "Aggregate Flag",
)
"""Of EMIT's mask, version 001."""


def emit_mask(made: Made, mask: np.ndarray, names: tuple[str, ...] = MASK_BANDS) -> Path:
    """The mask file beside an EMIT image, of (bands, H, W) flags."""
    path = made.path.with_name(made.path.name.replace("_RFL_", "_MASK_"))
    with netCDF4.Dataset(path, "w") as ds:
        sizes = zip(("bands", "downtrack", "crosstrack"), mask.shape, strict=True)
        for name, size in sizes:
            ds.createDimension(name, size)
        kept = {"zlib": True, "fill_value": -9999.0}
        var = ds.createVariable("mask", "f4", ("downtrack", "crosstrack", "bands"), **kept)
        var[:] = np.moveaxis(mask, 0, -1)
        ds.createDimension("packed_wavelength_bands", 2)
        packed = ("downtrack", "crosstrack", "packed_wavelength_bands")
        ds.createVariable("band_mask", "u1", packed)[:] = 0
        group = ds.createGroup("sensor_band_parameters")
        group.createVariable("mask_bands", str, ("bands",))[:] = np.array(names, dtype=object)
    return path


def dlr_layer(made: Made, name: str, values: np.ndarray) -> Path:
    """An image beside that of an EnMAP or DESIS product, of (H, W) or (bands, H, W) uint8."""
    image = next(
        p
        for p in sorted(made.path.iterdir())
        if "SPECTRAL_IMAGE.tif" in p.name.replace("TIF", "tif")
    )
    path = image.with_name(image.name.replace("SPECTRAL_IMAGE", name))
    write_tiff(path, np.atleast_3d(values.T).T.astype("uint8"))
    return path


def sentinel2_classes(made: Made, classes: np.ndarray) -> Path:
    """The scene classification of an L2A product, (H, W) of 20 m."""
    folder = next(made.path.glob("GRANULE/*/IMG_DATA/R20m"))
    path = folder / "T32UQD_20220724T104031_SCL_20m.jp2"
    _jp2(path, classes.astype("uint16"), 20)
    return path
