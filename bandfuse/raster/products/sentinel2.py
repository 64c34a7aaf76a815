"""Sentinel-2: L2A surface and L1C top-of-atmosphere reflectance, JPEG 2000 files of 10, 20 and 60 m
in a SAFE folder or archive.

``MTD_MSIL2A.xml``: ``IMAGE_FILE`` names the files, ``BOA_QUANTIFICATION_VALUE`` Q and
``BOA_ADD_OFFSET`` (per band, from processing baseline 04.00 on; 0 before) their units: reflectance
= (DN + offset) / Q; DN 0 is no data. ``MTD_MSIL1C.xml`` is alike, with ``QUANTIFICATION_VALUE`` and
``RADIO_ADD_OFFSET``. ``Spectral_Information`` holds the central wavelength and the response of each
band, nm, from which the width at half maximum comes (Sentinel-2 Products Specification Document);
MIN and MAX are the limits of the whole response. Every band is taken at the resolution it was
sensed at, or the next coarser that is there; all are brought to the finest grid, a coarser pixel
repeated."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from bandfuse.errors import InputError, MismatchError, shorten
from bandfuse.raster.describe import Masks, Raster, SourceImage, describe
from bandfuse.raster.products.files import Files, files_of, is_archive
from bandfuse.raster.products.product import METADATA_OF, Format, Product
from bandfuse.spectral.bands import Bands
from bandfuse.spectral.units import number

MANIFEST = r"MTD_MSI(L2A|L1C)\.xml"
QUANTIFICATION = {"L2A": "BOA_QUANTIFICATION_VALUE", "L1C": "QUANTIFICATION_VALUE"}
OFFSETS = {"L2A": "BOA_ADD_OFFSET", "L1C": "RADIO_ADD_OFFSET"}
OFFSETS_FROM = 4.0
"""The first processing baseline whose values have an offset."""

_IMAGE = re.compile(r"_(B\d[\dA])(?:_(10|20|60)m)?$")


@dataclass(frozen=True)
class _Band:
    """One band as the manifest has it: wavelengths in nm, resolution in m."""

    name: str
    centre: float
    width: float
    sensed: int
    offset: float


def recognises(path: str) -> bool:
    """The manifest of an L2A or L1C product, or a folder or an archive that holds one."""
    name = path.rstrip("/").rsplit("/", 1)[-1]
    manifest = re.fullmatch(MANIFEST, name, re.I) is not None
    if not (manifest or is_archive(name) or Path(path).is_dir()):
        return False
    found = files_of(path)
    return found is not None and bool(found[0].like(MANIFEST)) and (manifest or not found[1])


def open_(path: str, source: str) -> Raster:
    """All bands on the finest grid.

    Raises
    ------
    InputError : a baseline or a structure that is not known, or files are missing.
    MismatchError : files whose sizes do not fit.
    """
    found = files_of(path)
    assert found is not None
    files = found[0]
    manifest = found[1] or files.one(MANIFEST, "manifest of Sentinel-2 (MTD_MSIL2A.xml)")
    place = files.gdal(manifest)
    root = files.xml(manifest)
    level = _level(root, manifest, place)
    key = QUANTIFICATION[level]
    per_unit = _require(number(root.findtext(f".//{{*}}{key}")), place, key)
    bands = _bands(root, place, level)
    images = _images(root, files, manifest, {band.name: band.sensed for band in bands})
    bands = [band for band in bands if band.name in images]
    chosen = [min(images[b.name], key=lambda m, b=b: (m < b.sensed, m)) for b in bands]  # type: ignore[misc]
    finest = chosen.index(min(chosen))
    names = [images[b.name][m] for b, m in zip(bands, chosen, strict=True)]
    rasters = [describe(files.gdal(name), source) for name in names]
    grid = rasters[finest]
    text = _stack(grid, [(r, m // min(chosen)) for r, m in zip(rasters, chosen, strict=True)])
    return replace(
        grid,
        path=path,
        product=f"Sentinel-2 {level}",
        dtypes=(grid.dtypes[0],) * len(bands),
        masks=Masks(),
        exact=(),
        bands=Bands.of(
            [b.name for b in bands],
            source=source,
            wavelength_nm=[b.centre for b in bands],
            fwhm_nm=[b.width for b in bands],
        ),
        nodata=np.zeros(len(bands)),
        scale=np.full(len(bands), 1.0 / per_unit),
        offset=np.array([b.offset for b in bands]) / per_unit,
        interleave="",
        messages=_messages(bands, chosen),
        files=tuple(dict.fromkeys(map(files.local, [manifest, *names]))),
        pieces=(SourceImage(text, tuple(range(1, len(bands) + 1))),),
    )


def _level(root: Element, manifest: str, place: str) -> str:
    """The level of a product.

    Raises
    ------
    InputError : it has the structure of old baselines.
    """
    match = re.fullmatch(MANIFEST, manifest.rsplit("/", 1)[-1], re.I)
    assert match is not None
    old = [".//{*}L2A_BOA_QUANTIFICATION_VALUE", ".//{*}IMAGE_ID", ".//{*}IMAGE_ID_2A"]
    if any(root.find(tag) is not None for tag in old):
        raise InputError(
            f"{place} cannot be understood",
            got=f"Sentinel-2 {match[1].upper()} in the structure of before baseline 02.07",
            expected="that of products from baseline 02.07 on",
            remedy="Get it from Collection 1, for which ESA processed all again.",
        )
    return match[1].upper()


def _messages(bands: list[_Band], chosen: list[int]) -> tuple[str, ...]:
    """What was done to bands of coarser pixels."""
    coarse = [f"{b.name} ({m} m)" for b, m in zip(bands, chosen, strict=True) if m > min(chosen)]
    return (
        (f"on the {min(chosen)} m grid; pixels of {shorten(coarse)} are repeated",)
        if coarse
        else ()
    )


def _require(value: float, place: str, what: str) -> float:
    if not value > 0:
        raise InputError(
            f"{place} cannot be understood",
            got=f"no {what}",
            expected="the manifest of a Sentinel-2 L2A or L1C product",
        )
    return value


def _bands(root: Element, place: str, level: str) -> list[_Band]:
    """The bands of the manifest in order of their numbers, with their offsets."""
    text = (root.findtext(".//{*}PROCESSING_BASELINE") or "").strip()
    baseline = _require(
        number(text), place, f"processing baseline that is known ({text or 'none'})"
    )
    offsets = {e.get("band_id"): number(e.text) for e in root.iterfind(f".//{{*}}{OFFSETS[level]}")}
    found = []
    for e in root.iterfind(".//{*}Spectral_Information"):
        short = e.get("physicalBand", "")
        name = f"B0{short[1:]}" if len(short) == 2 else short
        centre = number(e.findtext("{*}Wavelength/{*}CENTRAL"))
        sensed = _require(number(e.findtext("{*}RESOLUTION")), place, f"RESOLUTION of {name}")
        offset = (
            offsets.get(e.get("bandId"), np.nan) if baseline >= OFFSETS_FROM or offsets else 0.0
        )
        found.append(
            _Band(
                name,
                _require(centre, place, f"wavelength of {name}"),
                _width(e),
                int(sensed),
                offset,
            )
        )
    if not found:
        raise InputError(
            f"{place} cannot be understood",
            got="no Spectral_Information",
            expected=f"that of a Sentinel-2 {level} product",
        )
    lost = [
        b.name for b in found if not np.isfinite(b.offset) and (b.name, level) != ("B10", "L2A")
    ]
    if lost:
        raise InputError(
            f"{place} cannot be understood",
            got=f"baseline {text} without {OFFSETS[level]} of {shorten(lost)}",
            expected="an offset for every band from baseline 04.00 on",
        )
    return found


def _width(band: Element) -> float:
    """The full width at half maximum of a band's response, to the step that it is given in; NaN
    where it is not."""
    step = number(band.findtext("{*}Spectral_Response/{*}STEP"))
    text = band.findtext("{*}Spectral_Response/{*}VALUES") or ""
    response = np.array([number(word) for word in text.split()])
    if not len(response) or not np.isfinite(response).all() or not response.max() > 0:
        return float("nan")
    half = np.flatnonzero(response >= response.max() / 2)
    return float(step * (half[-1] - half[0] + 1))


def _images(
    root: Element, files: Files, manifest: str, sensed: Mapping[str, int]
) -> dict[str, dict[int, str]]:
    """The files of each band by resolution in m; that at which it was ``sensed`` where the name of
    the file does not tell it."""
    above = manifest.rpartition("/")[0]
    found: dict[str, dict[int, str]] = {}
    missing = []
    for e in root.iterfind(".//{*}IMAGE_FILE"):
        stem = (e.text or "").strip()
        match = _IMAGE.search(stem)
        if match is None:
            continue
        wanted = f"{above}/{stem}".lstrip("/")
        name = files.find(f"{wanted}.jp2") or files.find(f"{wanted}.tif")
        if name is None:
            missing.append(f"{wanted}.jp2")
        metres = int(match[2] or sensed.get(match[1], 0))
        found.setdefault(match[1], {})[metres] = name or ""
    if missing:
        raise InputError(
            f"{files.root} is not whole",
            got=f"no {shorten(missing, 2)}",
            expected="all files of its manifest",
        )
    if not found:
        raise InputError(
            f"{files.gdal(manifest)} cannot be understood",
            got="no IMAGE_FILE of a band",
            expected="the structure of products from baseline 02.07 on",
        )
    if len(root.findall(".//{*}Granule")) > 1:
        raise InputError(f"{files.root} holds several granules", expected="one tile")
    return found


def _stack(grid: Raster, sources: list[tuple[Raster, int]]) -> str:
    """A VRT of single-band files, each repeated to the grid."""
    bands = []
    for number_, (raster, times) in enumerate(sources, 1):
        if (raster.rows * times, raster.cols * times, raster.dtypes) != (*grid.shape, ("uint16",)):
            raise MismatchError(
                f"{raster.path} does not fit {grid.path}",
                got=f"{raster.rows} × {raster.cols} pixels of {times} × {times}, "
                f"{', '.join(raster.dtypes)}",
                expected=f"{grid.rows} × {grid.cols} pixels, uint16",
            )
        name = escape(raster.path, quote=False)
        bands.append(
            f'<VRTRasterBand dataType="UInt16" band="{number_}"><SimpleSource>'
            f'<SourceFilename relativeToVRT="0" shared="0">{name}</SourceFilename>'
            f"<SourceBand>1</SourceBand>"
            f'<SourceProperties RasterXSize="{raster.cols}" RasterYSize="{raster.rows}" '
            'DataType="UInt16" '
            f'BlockXSize="{raster.stored[1]}" BlockYSize="{raster.stored[0]}"/>'
            f'<SrcRect xOff="0" yOff="0" xSize="{raster.cols}" ySize="{raster.rows}"/>'
            f'<DstRect xOff="0" yOff="0" xSize="{grid.cols}" '
            f'ySize="{grid.rows}"/></SimpleSource></VRTRasterBand>'
        )
    return (
        f'<VRTDataset rasterXSize="{grid.cols}" '
        f'rasterYSize="{grid.rows}">{"".join(bands)}</VRTDataset>'
    )


SENTINEL2 = Product(
    Format(
        "Sentinel-2 L2A, L1C",
        "the .SAFE folder, a zip or tar archive, MTD_MSIL2A.xml or MTD_MSIL1C.xml",
        "B01 to B12 on the finest grid, coarser pixels repeated; wavelengths, widths, offset, "
        "quantification, nodata 0",
        METADATA_OF,
    ),
    recognises,
    open_,
)
