"""Plain: files that GDAL opens as they are, and what people give in their place."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path

from bandfuse.errors import InputError, shorten
from bandfuse.files.textfile import HEADER, bytes_of, readable
from bandfuse.raster.products.files import COMPRESSED, files_of, is_archive, names_in
from bandfuse.raster.products.names import product_in
from bandfuse.raster.products.product import Format
from bandfuse.spectral.headers import envi_numbers, parse_header
from bandfuse.spectral.units import number

REAL, MADE = "real files", "small files made for the tests"

FORMATS = (
    Format(
        "ENVI",
        "the data file, with or without an ending, or its .hdr",
        "bsq, bil, bip, either byte order, gzip; wavelengths, FWHM, bbl, gains, scale factor, data "
        "ignore value",
        f"{REAL} (AVIRIS, AVIRIS-NG, EMIT, HyMap, EnMAP, bench-top)",
    ),
    Format(
        "GeoTIFF, COG",
        "the file",
        "wavelength, FWHM and bbl tags of its bands, else wavelengths and FWHM of a STAC item "
        "beside it; scale and offset, nodata, masks",
        REAL,
    ),
    Format(
        "netCDF, HDF5",
        'the file, or a subdataset: NETCDF:"FILE":NAME, HDF5:"FILE"://NAME',
        "what GDAL tells of it; bands along the axis that is as long as the wavelengths; fill and "
        "scale of the cube's attributes",
        MADE,
    ),
    Format("VRT, and all else that GDAL opens", "the file", "what GDAL tells of it", MADE),
    Format(
        "remote and packed files",
        "/vsicurl/…, /vsis3/…, /vsizip/…, s3://…, https://…",
        "passed to GDAL as it is",
        MADE,
    ),
)
"""What is opened without a reader of its own."""

_BESIDE = """hdr xml txt json csv md md5 sha256 pdf log enp sta prj qml qmd qgz qix sld lyr lyrx
properties ovr msk aux rrd png pgw jpg jpeg jgw tfw wld bmp gif geojson gpkg kml kmz shp shx dbf cpg
roi zip bak"""

SIDECARS = frozenset(f".{ending}" for ending in _BESIDE.split())
"""Endings of files beside an ENVI file that are not its data."""

BYTES = {
    key: float(size)
    for size, keys in ((1, "1"), (2, "2 12"), (4, "3 4 13"), (8, "5 6 14 15"), (16, "9"))
    for key in keys.split()
}
"""Bytes of a value, by ENVI's number of its data type."""

HDF = (".he5", ".h5", ".hdf5", ".nc")
"""Endings of files that are read from the file system only."""

BOM = b"\xef\xbb\xbf"

LIBRARY = re.compile(rb"^\s*file type\s*=\s*ENVI Spectral Library", re.I | re.M)


def data_file(path: str) -> str:
    """The file that GDAL is to open: an ENVI file for its header.

    Raises
    ------
    InputError : a header without data, a spectral library, an archive or a folder of nothing that
        is known."""
    place = Path(path)
    file = path if place.is_file() else path.rpartition(":")[0]
    if Path(file).is_file():
        _require_no_archive(file)
    if path.startswith(("/vsizip/", "/vsitar/")) and path.lower().endswith(HDF):
        raise InputError(
            f"{path} lies in an archive",
            got=product_in([path]) or "HDF5 or netCDF",
            expected="the file itself",
            remedy="Unpack it: HDF5 and netCDF are not read from archives.",
        )
    headers = (
        [place]
        if place.suffix.lower() == ".hdr"
        else [Path(f"{path}.hdr"), place.with_suffix(".hdr")]
        if place.name
        else []
    )
    header = next((h for h in headers if h.is_file()), None)
    if header is None or not place.is_file():
        return path
    text = bytes_of(header, "an ENVI header", HEADER)
    if text.startswith(BOM + b"ENVI"):
        raise InputError(
            f"{header} begins with a byte order mark",
            got="EF BB BF before ENVI",
            expected="a header that begins with ENVI",
            remedy="GDAL does not read it so: save it as UTF-8 without one.",
        )
    if not text.startswith(b"ENVI"):
        return path
    if LIBRARY.search(text):
        raise InputError(
            f"{path} is an ENVI spectral library",
            got="spectra without places",
            expected="an image",
            remedy="A library cannot be fused; give the image.",
        )
    return str(_data_of(place, readable(text))) if header == place else path


def _require_no_archive(path: str) -> None:
    """Refuse an archive that holds nothing that is read in it, and say what it holds."""
    if path.lower().endswith(COMPRESSED):
        held = product_in([Path(path).name, *names_in(path)])
        raise InputError(
            f"{path} is a compressed archive",
            got=held or "files that are not known",
            expected="the files in it, or a zip or tar archive of them",
            remedy="Unpack it: to read one file in it, all before that must be unpacked.",
        )
    if not is_archive(path):
        return
    files = files_of(path)
    inside = files[0].names if files else ()
    held = product_in([Path(path).name, *inside])
    if any(name.lower().endswith(HDF) for name in inside):
        raise InputError(
            f"{path} holds {held or 'HDF5 or netCDF'}",
            got=shorten(inside, 4),
            expected="the file itself",
            remedy="Unpack it: HDF5 and netCDF are not read from archives.",
        )
    kind = Path(path).suffix.lower()[1:]
    raise InputError(
        f"{path} holds no known product",
        got=f"{held}: {shorten(inside, 4)}" if held else shorten(inside, 4),
        remedy=f"See bandfuse info --formats. A raster in it is /vsi{kind}/{path}/NAME.",
    )


def _data_of(header: Path, text: str) -> Path:
    """The data that an ENVI header belongs to: ``x`` or ``x.ENDING`` for ``x.hdr``; of several, the
    one of the size that the header tells."""
    bare = header.with_suffix("")
    if bare.is_file():
        return bare
    beside = sorted(
        p
        for p in header.parent.iterdir()
        if p.stem == header.stem and p.suffix.lower() not in SIDECARS and p.is_file()
    )
    size = _size_told(parse_header(text))
    fitting = [p for p in beside if p.stat().st_size == size]
    beside = fitting if len(beside) > 1 and fitting else beside
    if len(beside) != 1:
        raise InputError(
            f"{header} is an ENVI header {'of several files' if beside else 'without its data'}",
            got=shorten([p.name for p in beside], 4),
            expected=f"{bare.name}, or {bare.name} with an ending",
            remedy="Give the data file.",
        )
    return beside[0]


def _size_told(entries: Mapping[str, str]) -> float:
    """The bytes of the data that a header tells of; NaN where it does not tell it."""
    counts = [number(entries.get(key)) for key in ("samples", "lines", "bands")]
    kind = BYTES.get(entries.get("data_type", ""), float("nan"))
    return number(entries.get("header_offset", "0")) + math.prod([*counts, kind])


def header_beside(path: str, bands: int) -> Path | None:
    """An ENVI header beside a file of another driver that has a wavelength for each of its
    bands."""
    place = Path(path)
    for header in (Path(f"{path}.hdr"), place.with_suffix(".hdr")):
        if place.is_file() and header.is_file() and header.stat().st_size <= HEADER:
            text = readable(header.read_bytes())
            if text.startswith("ENVI") and wavelengths_in(text, bands):
                return header
    return None


def wavelengths_in(header: str, bands: int) -> bool:
    """Whether the text of an ENVI header has a wavelength for each of so many bands."""
    found = envi_numbers(parse_header(header).get("wavelength"), bands)
    return len(found) == bands and any(found > 0)
