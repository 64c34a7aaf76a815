"""EnMAP: L2A reflectance, an image with its metadata in XML (L1C radiance has the same structure).

``specific/bandCharacterisation/bandID/{wavelengthCenterOfBand,FWHMOfBand,GainOfBand,OffsetOfBand}``,
nm, and ``product/bandStatistics/bandID/{mean,stdDeviation}`` (EnMAP Product Specification Document,
DLR). value = DN · gain + offset; a band whose standard deviation is 0 is dead. Pixels without data
hold ``specific/backgroundValue``; those of L2A hold −32768, though that says 0 there too.

L1B has an image of each detector, which are not on one grid: each is read by itself, with the
bands of ``specific/{vnir,swir}ProductQuality/expectedChannelsList``.

The quality layers are images of one band beside it, ``QL_QUALITY_…``: CLOUD, CLOUDSHADOW, HAZE and
SNOW are 1 where they are so, CIRRUS is 1, 2 or 3 (thin, medium, thick), CLASSES is 2 over water (1
land, 3 background; as EnPT reads them, GFZ). Those of L1B lie on the grid of its VNIR image.
``QL_QUALITY_TESTFLAGS`` and ``QL_PIXELMASK`` speak of single values, which DLR has interpolated:
they leave out no pixel."""

from __future__ import annotations

import re
from dataclasses import replace
from xml.etree.ElementTree import Element

import numpy as np

from bandfuse.errors import InputError
from bandfuse.raster.describe import QualityLayer, Raster
from bandfuse.raster.products.files import Files
from bandfuse.raster.products.given import Given
from bandfuse.raster.products.layers import beside, layer_in
from bandfuse.raster.products.product import METADATA_OF, Format, Product
from bandfuse.raster.products.spectral import (
    DETECTOR,
    METADATA,
    NODATA,
    background_of,
    has_header,
    image_of,
    is_desis,
    parts_of,
)
from bandfuse.spectral.bands import Bands, Floats
from bandfuse.spectral.units import number

BANDS = "{*}specific/{*}bandCharacterisation/{*}bandID"
STATISTICS = "{*}product/{*}bandStatistics/{*}bandID"
COLUMNS = ("wavelengthCenterOfBand", "FWHMOfBand", "GainOfBand", "OffsetOfBand")
DEAD = "dead in the product's statistics"
LAYERS = {
    "cloud": ("QL_QUALITY_CLOUD", (1,)),
    "cirrus": ("QL_QUALITY_CIRRUS", (1, 2, 3)),
    "shadow": ("QL_QUALITY_CLOUDSHADOW", (1,)),
    "haze": ("QL_QUALITY_HAZE", (1,)),
    "snow": ("QL_QUALITY_SNOW", (1,)),
    "water": ("QL_QUALITY_CLASSES", (2,)),
}
"""By reason the image that says it, and the values that do."""


def recognises(given: Given) -> bool:
    """A spectral image with metadata that are not DESIS's, and without the header that DESIS has;
    or its folder or archive; or the images of the two detectors."""
    files = parts_of(given, METADATA)
    if files is None:
        files = _detectors(given)
    return files is not None and not has_header(files) and not is_desis(files)


def _detectors(given: Given) -> Files | None:
    """The files of a product that has an image of each detector."""
    files = parts_of(given, METADATA, DETECTOR)
    return files if files is not None and files.like(METADATA) else None


def open_(given: Given, source: str) -> Raster:
    """The image with the wavelengths, gains and dead bands of its metadata.

    Raises
    ------
    InputError : metadata are missing, or of another structure; or there are two images.
    MismatchError : metadata of another number of bands.
    """
    files = parts_of(given, METADATA)
    name = ""
    if files is None:
        files = _detectors(given)
        assert files is not None
        name = _one_detector(given, files)
    meta = files.one(METADATA, "METADATA.XML")
    root, place = files.xml(meta), files.gdal(meta)
    level = (root.findtext("{*}base/{*}level") or "").strip()
    numbers, table = _table(root, place)
    if name:
        kept = np.isin(numbers, _channels(root, place, name))
        numbers, table = numbers[kept], {key: column[kept] for key, column in table.items()}
    dead = _dead(root)
    bands = Bands.of(
        [f"b{i}" for i in range(1, len(numbers) + 1)],
        source=source,
        wavelength_nm=table["wavelengthCenterOfBand"],
        fwhm_nm=table["FWHMOfBand"],
        reason=[DEAD if n in dead else "" for n in numbers],
    )
    gain, offset = table["GainOfBand"], table["OffsetOfBand"]
    fill = NODATA if level.upper() == "L2A" else background_of(root)
    product = f"EnMAP {level}".strip()
    image = image_of(given.path, files, product, bands, gain, offset, meta, fill, name)
    if "SWIR" in name.upper():
        return replace(image, no_quality="those of L1B are on the grid of its VNIR image")
    layers = quality_of(files)
    lacks = "" if layers else "no image QL_QUALITY_… is beside it"
    more = dict.fromkeys([*image.files, *(layer.file for layer in layers)])
    return replace(image, quality=layers, no_quality=lacks, files=tuple(more))


def quality_of(files: Files) -> tuple[QualityLayer, ...]:
    """The quality layers that are among the files."""
    there = {reason: beside(files, name) for reason, (name, _) in LAYERS.items()}
    return tuple(
        layer_in(files, name, reason, LAYERS[reason][1])
        for reason, name in there.items()
        if name is not None
    )


def _dead(root: Element) -> set[float]:
    """The numbers of the bands whose values are all alike."""
    return {
        number(e.get("number"))
        for e in root.iterfind(STATISTICS)
        if number(e.findtext("{*}stdDeviation")) == 0
    }


def _one_detector(given: Given, files: Files) -> str:
    """The image of a detector that is given.

    Raises
    ------
    InputError : it names both.
    """
    images = files.like(DETECTOR)
    one = [name for name in images if name.rsplit("/", 1)[-1] == given.name]
    if len(one) == 1:
        return one[0]
    raise InputError(
        f"{given.path} is EnMAP L1B",
        got="an image of each detector, which are not on one grid",
        expected="one of the images, or L1C or L2A",
        remedy=f"Give {' or '.join(files.gdal(name) for name in images[:2])}.",
    )


def _channels(root: Element, place: str, name: str) -> Floats:
    """The numbers of the bands of a detector."""
    match = re.fullmatch(DETECTOR, name.rsplit("/", 1)[-1], re.I)
    assert match is not None
    text = root.findtext(
        f"{{*}}specific/{{*}}{match[1].lower()}ProductQuality/{{*}}expectedChannelsList"
    )
    found = np.array([number(word) for word in (text or "").split(",")])
    if not np.isfinite(found).all():
        raise InputError(
            f"{place} cannot be understood",
            got=f"no expectedChannelsList of {match[1]}",
            expected="the metadata of an EnMAP L1B product",
        )
    return found


def _table(root: Element, place: str) -> tuple[Floats, dict[str, Floats]]:
    """The numbers of the bands in rising order, and what is said of each."""
    rows = sorted(root.findall(BANDS), key=lambda e: number(e.get("number")))
    table = {key: np.array([number(e.findtext(f"{{*}}{key}")) for e in rows]) for key in COLUMNS}
    lacks = [key for key, column in table.items() if not np.isfinite(column).all()]
    if not rows or lacks:
        raise InputError(
            f"{place} cannot be understood",
            got=f"no {lacks[0]} for every band" if rows else "no bandCharacterisation",
            expected="the metadata of an EnMAP product",
        )
    return np.array([number(e.get("number")) for e in rows]), table


ENMAP = Product(
    Format(
        "EnMAP L2A, L1C, L1B",
        "the folder, a zip or tar archive, …-SPECTRAL_IMAGE.TIF (.BSQ, .BIL, .BIP, .JP2) or "
        "…-METADATA.XML; of L1B the image of one detector",
        "wavelengths, FWHM, gain and offset, dead bands, nodata; quality layers",
        METADATA_OF,
    ),
    recognises,
    open_,
)
