"""Sentinel-2: L2A surface and L1C top-of-atmosphere reflectance, JPEG 2000 files of 10, 20 and 60 m
in a SAFE folder or archive.

``MTD_MSIL2A.xml``: ``IMAGE_FILE`` names the files, ``BOA_QUANTIFICATION_VALUE`` Q and
``BOA_ADD_OFFSET`` (per band, from processing baseline 04.00 on; 0 before) their units: reflectance
= (DN + offset) / Q; DN 0 is no data. ``MTD_MSIL1C.xml`` is alike, with ``QUANTIFICATION_VALUE`` and
``RADIO_ADD_OFFSET``. ``Spectral_Information`` holds the central wavelength and the response of each
band, nm, from which the width at half maximum comes (Sentinel-2 Products Specification Document);
MIN and MAX are the limits of the whole response. Every band is taken at the resolution it was
sensed at, or the next coarser that is there; all are brought to the finest grid, a coarser pixel
repeated.

The quality layers of L2A are classes of ``…_SCL_20m.jp2``: 0 no data, 1 saturated or defective, 2
dark, 3 cloud shadow, 6 water, 8 and 9 cloud of medium and high probability, 10 thin cirrus, 11 snow
or ice (Sen2Cor; Products Specification Document). Those of L1C are the bands of
``QI_DATA/MSK_CLASSI_B00.jp2``, 1 where they apply: opaque cloud, cirrus, snow or ice. Before
processing baseline 04.00 L1C has polygons in ``MSK_CLOUDS_B00.gml``, which are not read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from html import escape
from xml.etree.ElementTree import Element

import numpy as np

from bandfuse.errors import InputError, MismatchError, shorten
from bandfuse.raster.describe import Masks, QualityLayer, Raster, SourceImage, describe
from bandfuse.raster.products.files import Files, is_archive
from bandfuse.raster.products.given import Given
from bandfuse.raster.products.layers import layer_in
from bandfuse.raster.products.product import METADATA_OF_NEW, Format, Product
from bandfuse.raster.products.sentinel2_old import (
    OLD_MANIFEST,
    SENSED,
    granule_of,
    granules,
    known_bands,
)
from bandfuse.spectral.bands import Bands
from bandfuse.spectral.units import number

MANIFEST = rf"MTD_MSI(?:L2A|L1C)\.xml|{OLD_MANIFEST}"
QUANTIFICATION = {
    "L2A": ("BOA_QUANTIFICATION_VALUE", "L2A_BOA_QUANTIFICATION_VALUE"),
    "L1C": ("QUANTIFICATION_VALUE",),
}
OFFSETS = {"L2A": "BOA_ADD_OFFSET", "L1C": "RADIO_ADD_OFFSET"}
OFFSETS_FROM = 4.0
"""The first processing baseline whose values have an offset."""

SCL = {
    "cloud": (8, 9),
    "cirrus": (10,),
    "shadow": (3,),
    "saturated": (1,),
    "invalid": (0,),
    "dark": (2,),
    "snow": (11,),
    "water": (6,),
}
"""Classes of L2A's scene classification by reason."""

CLASSI = ("cloud", "cirrus", "snow")
"""What the bands of L1C's classification say."""

_SCL = re.compile(r"_SCL_(\d+)m$")
_IMAGE = re.compile(r"_(B\d[\dA])(?:_(10|20|60)m)?$")


@dataclass(frozen=True)
class _Band:
    """One band as the manifest has it: wavelengths in nm, resolution in m."""

    name: str
    centre: float
    width: float
    sensed: int
    offset: float


def recognises(given: Given) -> bool:
    """The manifest of an L2A or L1C product, a folder or archive that holds one, or the folder of a
    granule in it."""
    product, _ = _granule(given)
    manifest = re.fullmatch(MANIFEST, product.name, re.I) is not None
    if not (manifest or is_archive(product.name) or product.folder):
        return False
    found = product.files
    return found is not None and bool(found[0].like(MANIFEST)) and (manifest or not found[1])


def _granule(given: Given) -> tuple[Given, str]:
    """The product, and the granule of it that is given; empty for the whole product."""
    path, granule = granule_of(given.path)
    return (given if path == given.path else Given(path)), granule


def open_(given: Given, source: str) -> Raster:
    """All bands on the finest grid.

    Raises
    ------
    InputError : a baseline or a structure that is not known, or files are missing.
    MismatchError : files whose sizes do not fit.
    """
    product, granule = _granule(given)
    assert product.files is not None
    files, own = product.files
    manifest = own or files.one(MANIFEST, "manifest of Sentinel-2 (MTD_MSIL2A.xml)")
    place = files.gdal(manifest)
    root = files.xml(manifest)
    level = "L1C" if "L1C" in manifest.rsplit("/", 1)[-1].upper() else "L2A"
    keys = QUANTIFICATION[level]
    told = (number(root.findtext(f".//{{*}}{key}")) for key in keys)
    per_unit = _require(next((v for v in told if v > 0), np.nan), place, keys[0])
    bands, said = _bands(root, place, level)
    stems = _stems(root, files, granule)
    images = _images(stems, files, manifest, {band.name: band.sensed for band in bands})
    bands = [band for band in bands if band.name in images]
    chosen = [min(images[b.name], key=lambda m, b=b: (m < b.sensed, m)) for b in bands]  # type: ignore[misc]
    finest = chosen.index(min(chosen))
    names = [images[b.name][m] for b, m in zip(bands, chosen, strict=True)]
    rasters = [describe(files.gdal(name), source) for name in names]
    grid = rasters[finest]
    text = _stack(grid, [(r, m // min(chosen)) for r, m in zip(rasters, chosen, strict=True)])
    layers, lacks = quality_of(root, files, manifest, level)
    parts = [manifest, *names]
    return replace(
        grid,
        path=given.path,
        quality=layers,
        no_quality=lacks,
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
        messages=(*_messages(bands, chosen), *said),
        files=tuple(dict.fromkeys([*map(files.local, parts), *(q.file for q in layers)])),
        pieces=(SourceImage(text, tuple(range(1, len(bands) + 1))),),
    )


def quality_of(
    root: Element, files: Files, manifest: str, level: str
) -> tuple[tuple[QualityLayer, ...], str]:
    """The quality layers of a product; or why there are none."""
    above = manifest.rpartition("/")[0]
    stems = [(e.text or "").strip() for e in root.iterfind(".//{*}IMAGE_FILE")]
    if level == "L2A":
        every = sorted((int(m[1]), s) for s in stems if (m := _SCL.search(s)))
        wanted = [f"{above}/{stem}".lstrip("/") for _, stem in every]
        found = (files.find(f"{w}.{ending}") for w in wanted for ending in ("jp2", "tif"))
        name = next(filter(None, found), None)
        if name is None:
            return (), "the scene classification …_SCL_20m.jp2 is not in it"
        return tuple(layer_in(files, name, word, classes) for word, classes in SCL.items()), ""
    granules = dict.fromkeys(s.partition("/IMG_DATA/")[0] for s in stems if "/IMG_DATA/" in s)
    inside = [f"{above}/{g}/QI_DATA/MSK_CLASSI_B00.jp2".lstrip("/") for g in granules]
    name = next(filter(None, map(files.find, inside)), None)
    if name is None:
        return (), "QI_DATA/MSK_CLASSI_B00.jp2 is not in it, as in products before baseline 04.00"
    bands = enumerate(CLASSI, 1)
    return tuple(layer_in(files, name, word, (1,), band) for band, word in bands), ""


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


def _bands(root: Element, place: str, level: str) -> tuple[list[_Band], tuple[str, ...]]:
    """The bands of the manifest in order of their numbers, with their offsets, and what is said of
    them. Where it tells of none, they are those of the known sensor of its spacecraft."""
    text = (root.findtext(".//{*}PROCESSING_BASELINE") or "").strip()
    baseline = _require(
        number(text), place, f"processing baseline that is known ({text or 'none'})"
    )
    offsets = {e.get("band_id"): number(e.text) for e in root.iterfind(f".//{{*}}{OFFSETS[level]}")}
    shifted = baseline >= OFFSETS_FROM or bool(offsets)
    found = [
        _told_band(e, place, offsets.get(e.get("bandId"), np.nan) if shifted else 0.0)
        for e in root.iterfind(".//{*}Spectral_Information")
    ]
    sensor, known = known_bands(root)
    said: tuple[str, ...] = ()
    if not found and known and not shifted:
        found = [_Band(_long(b.name), b.centre_nm, b.fwhm_nm, SENSED[b.name], 0.0) for b in known]
        said = (f"the manifest tells no wavelengths: those of the known sensor {sensor} are used",)
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
    return found, said


def _told_band(e: Element, place: str, offset: float) -> _Band:
    """A band as ``Spectral_Information`` has it."""
    name = _long(e.get("physicalBand", ""))
    centre = number(e.findtext("{*}Wavelength/{*}CENTRAL"))
    sensed = _require(number(e.findtext("{*}RESOLUTION")), place, f"RESOLUTION of {name}")
    return _Band(
        name, _require(centre, place, f"wavelength of {name}"), _width(e), int(sensed), offset
    )


def _long(name: str) -> str:
    """The name of a band as files have it: B02 for B2."""
    return f"B0{name[1:]}" if len(name) == 2 else name


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


def _stems(root: Element, files: Files, granule: str) -> list[str]:
    """The images of the granule that is meant, without their endings, from the manifest's folder.

    Raises
    ------
    InputError : several granules of which none is given.
    """
    every = granules(root)
    mine = {
        name: stems
        for name, stems in every.items()
        if not granule or any(f"/{granule}/".lower() in f"/{s}".lower() for s in stems)
    }
    if len(mine) > 1:
        unpacked = "" if files.archive else f", as {files.root}/GRANULE/{next(iter(mine))}"
        raise InputError(
            f"{files.root} holds several granules",
            got=shorten(mine, 2),
            expected="one tile",
            remedy=f"{'Unpack it, and give' if files.archive else 'Give'} the folder of one"
            f"{unpacked}.",
        )
    return next(iter(mine.values()), [])


def _images(
    stems: list[str], files: Files, manifest: str, sensed: Mapping[str, int]
) -> dict[str, dict[int, str]]:
    """The files of each band by resolution in m; that at which it was ``sensed`` where the name of
    the file does not tell it."""
    above = manifest.rpartition("/")[0]
    found: dict[str, dict[int, str]] = {}
    missing = []
    for stem in stems:
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
            got="no image of a band",
            expected="IMAGE_FILE, or IMAGE_ID of before December 2016",
        )
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
        "the .SAFE folder, a zip or tar archive, MTD_MSIL2A.xml or MTD_MSIL1C.xml; the folder of a "
        "granule for products of before December 2016",
        "B01 to B12 on the finest grid, coarser pixels repeated; wavelengths, widths, offset, "
        "quantification, nodata 0; quality layers",
        METADATA_OF_NEW,
    ),
    recognises,
    open_,
)
