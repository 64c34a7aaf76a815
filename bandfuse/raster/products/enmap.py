"""EnMAP: L2A reflectance, a GeoTIFF with its metadata in XML (L1C radiance has the same structure).

``specific/bandCharacterisation/bandID/{wavelengthCenterOfBand,FWHMOfBand,GainOfBand,OffsetOfBand}``,
nm, and ``product/bandStatistics/bandID/{mean,stdDeviation}`` (EnMAP Product Specification Document,
DLR). value = DN · gain + offset; a band whose standard deviation is 0 is dead."""

from __future__ import annotations

import numpy as np

from bandfuse.raster.describe import Raster
from bandfuse.raster.products.product import Format, Product
from bandfuse.raster.products.spectral import (
    METADATA,
    background_of,
    columns_of,
    has_header,
    image_of,
    is_desis,
    parts_of,
)
from bandfuse.spectral.bands import Bands
from bandfuse.spectral.units import number

BANDS = "{*}specific/{*}bandCharacterisation/{*}bandID"
COLUMNS = ("wavelengthCenterOfBand", "FWHMOfBand", "GainOfBand", "OffsetOfBand")
STATISTICS = "{*}product/{*}bandStatistics/{*}bandID"
DEAD = "dead in the product's statistics"


def recognises(path: str) -> bool:
    """A spectral image with metadata that are not DESIS's, and without the header that DESIS has;
    or its folder or archive."""
    files = parts_of(path, METADATA)
    return files is not None and not has_header(files) and not is_desis(files)


def open_(path: str, source: str) -> Raster:
    """The image with the wavelengths, gains and dead bands of its metadata.

    Raises
    ------
    InputError : metadata are missing, or of another structure.
    MismatchError : metadata of another number of bands.
    """
    files = parts_of(path, METADATA)
    assert files is not None
    meta = files.one(METADATA, "METADATA.XML")
    root = files.xml(meta)
    rows = sorted(root.findall(BANDS), key=lambda e: number(e.get("number")))
    nm, fwhm, gain, offset = columns_of(rows, COLUMNS, files.gdal(meta), "an EnMAP L2A or L1C")
    spread = np.array([number(e.findtext("{*}stdDeviation")) for e in root.findall(STATISTICS)])
    dead = spread == 0 if len(spread) == len(nm) else np.zeros(len(nm), dtype=bool)
    bands = Bands.of(
        [f"b{i}" for i in range(1, len(nm) + 1)],
        source=source,
        wavelength_nm=nm,
        fwhm_nm=fwhm,
        reason=[DEAD if d else "" for d in dead],
    )
    level = (root.findtext("{*}base/{*}level") or "").strip()
    return image_of(
        path, files, f"EnMAP {level}".strip(), bands, gain, offset, meta, background_of(root)
    )


ENMAP = Product(
    Format(
        "EnMAP L2A",
        "the folder, the zip archive, …-SPECTRAL_IMAGE.TIF (.BSQ, .BIL, .BIP, .JP2) or "
        "…-METADATA.XML",
        "wavelengths, FWHM, gain and offset, dead bands, nodata",
    ),
    recognises,
    open_,
)
