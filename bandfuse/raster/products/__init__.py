"""Products: what people hold, each opened as one cube by what they give. One file per product.

A new product is a file with a :class:`Product` and a line in :data:`PRODUCTS`.

Each file is built on those before it::

    names           which product, and which level of it, the name of a file tells
    files           where the parts of a product are found: a folder, or a zip or tar archive
    layers          quality layers that are files beside the image
    stac            what a STAC item beside an image says of its bands
    hdf_texts       texts in HDF5 files, and names of arrays, which GDAL does not show
    hdf             HDF5 and netCDF-4 files, through GDAL
    given           what a user gives, looked into once for all readers
    product         a kind of file or folder that is opened as one cube
    spectral        the GeoTIFF that EnMAP and DESIS share
    arrays          cubes in HDF5 and netCDF files of no known product
    control         ground control points of an image in sensor geometry
    cubes           arrays of three axes in HDF5 and netCDF-4 files
    lookup          the lookup table of an image in sensor geometry
    plain           files that GDAL opens as they are
    aviris          AVIRIS-3 and AVIRIS-5 L1B and L2A in netCDF
    desis           DESIS L1C and L2A
    emit            EMIT L1B and L2A
    enmap           EnMAP L1B, L1C and L2A
    neon            NEON AOP reflectance
    pace            PACE OCI L1B and L2
    prisma_place    where the images of PRISMA lie
    prisma_images   the images in a file of PRISMA
    prisma          PRISMA L1, L2B, L2C and L2D
    sentinel2_old   what manifests of before baseline 02.07 say in other words
    sentinel2       Sentinel-2 L1C and L2A
    tanager         Tanager basic and ortho scenes
    wyvern          Wyvern Dragonette L1B and L2A

It imports errors, files, spectral, gdal, header_files and describe.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from bandfuse.errors import InputError, shorten
from bandfuse.files.textfile import HEADER, bytes_of, readable
from bandfuse.raster.describe import Raster
from bandfuse.raster.describe import describe as describe_file
from bandfuse.raster.header_files import given_table
from bandfuse.raster.products.arrays import array_of, as_stored, file_of
from bandfuse.raster.products.aviris import AVIRIS
from bandfuse.raster.products.desis import DESIS
from bandfuse.raster.products.emit import EMIT
from bandfuse.raster.products.enmap import ENMAP
from bandfuse.raster.products.files import ARCHIVES
from bandfuse.raster.products.given import Given
from bandfuse.raster.products.hdf import hdf_of, is_hdf
from bandfuse.raster.products.hdf_texts import bytes_told
from bandfuse.raster.products.names import product_in
from bandfuse.raster.products.neon import NEON
from bandfuse.raster.products.pace import PACE
from bandfuse.raster.products.plain import FORMATS as PLAIN
from bandfuse.raster.products.plain import HDF, data_file, header_beside, wavelengths_in
from bandfuse.raster.products.prisma import PRISMA
from bandfuse.raster.products.product import Format, Product
from bandfuse.raster.products.sentinel2 import SENTINEL2
from bandfuse.raster.products.stac import beside
from bandfuse.raster.products.tanager import TANAGER
from bandfuse.raster.products.wyvern import WYVERN
from bandfuse.spectral.headers import Stated
from bandfuse.spectral.metadata import RasterTags, band_table
from bandfuse.spectral.remarks import Remark

__all__ = [
    "FORMATS",
    "PRODUCTS",
    "Describe",
    "Format",
    "Product",
    "describe",
    "is_product",
    "product_in",
]

Describe = Callable[..., Raster]
"""Describes files as :func:`describe` does. One with a memory opens each file once."""

PRODUCTS: tuple[Product, ...] = (
    EMIT,
    PRISMA,
    PACE,
    AVIRIS,
    ENMAP,
    DESIS,
    SENTINEL2,
    TANAGER,
    NEON,
    WYVERN,
)
"""The readers, in the order in which they are asked."""

FORMATS: tuple[Format, ...] = (*PLAIN, *(p.format for p in PRODUCTS))
"""All that can be opened."""


MOST_FOLDERS = 100
"""Folders below a folder that are looked into for a product."""


def is_product(path: str) -> bool:
    """Whether a file or a folder is a product that is opened as one cube."""
    return _reader(Given(path)) is not None


def _reader(given: Given) -> Product | None:
    """The first reader that takes what is given."""
    return next((p for p in PRODUCTS if p.recognises(given)), None)


def describe(
    path: str | Path, source: str = "scene", wavelengths: str | Path | None = None
) -> Raster:
    """Read what a file or a product says of itself; ``wavelengths`` names a file that says more of
    its bands, and comes first.

    Raises
    ------
    InputError : missing, not a raster, no bands, complex numbers, shorter than its header says; or
        no whole product."""
    path = str(path)
    given = Given(path)
    product = _reader(given)
    if product is not None:
        found = product.open(given, source)
        return found if wavelengths is None else _given(found, wavelengths)
    data = data_file(path)
    try:
        found = _read(data, source, wavelengths)
    except InputError as error:
        inside = _inside(path)
        if inside is not None:
            return describe(inside, source, wavelengths)
        place = Path(path)
        nearly = product_in([place.name, *_names(path)])
        if is_hdf(path):
            raise _unread(path, nearly, error) from error
        if not nearly or not (place.is_dir() or place.suffix.lower() == ".xml"):
            raise
        raise InputError(
            f"{path} cannot be read", got=nearly, expected="a product of bandfuse info --formats"
        ) from error
    if wavelengths is None and found.driver != "ENVI":
        return _headed(found, path, source) if data != path else _beside(_by_item(found))
    return found


def _unread(path: str, nearly: str, error: InputError) -> InputError:
    """What is said of an HDF5 file that GDAL does not read: it ends early, or its name tells a
    product (``nearly``) of which GDAL does not find the cube."""
    size, whole = Path(path).stat().st_size, bytes_told(path)
    if whole is not None and size < whole:
        return InputError(
            f"{path} cannot be opened as a raster",
            got=f"{size} bytes",
            expected=f"{whole} bytes, as its header says",
            remedy="Copy or download it again.",
        )
    if not nearly:
        return error
    hdf = hdf_of(path)
    return InputError(
        f"{path} is {nearly} by its name, but GDAL does not find the cube of one in it",
        got=shorten(hdf.arrays, 4) if hdf and hdf.arrays else error.got,
        expected="the published structure",
        remedy="Give the file with the image. If a newer version of HDF5 has written this one, "
        "rewrite it for older ones with h5repack --low=0 --high=2.",
    )


def _read(data: str, source: str, wavelengths: str | Path | None) -> Raster:
    """What GDAL tells of a file; of an array in HDF5 or netCDF, with its bands along their axis."""
    if file_of(data) is None:
        return describe_file(data, source, wavelengths)
    found = describe_file(data, source)
    array = array_of(found, source, wavelengths)
    if array is None and wavelengths is not None:
        found = describe_file(data, source, wavelengths)
    return array or as_stored(found)


def _inside(path: str) -> str | None:
    """The one product in the folders below a folder that GDAL does not open, or the one file of a
    product in it.

    Raises
    ------
    InputError : there are several.
    """
    place = Path(path)
    if not place.is_dir():
        return None
    try:
        below = [p for pattern in ("*", "*/*") for p in sorted(place.glob(pattern))]
        folders = [p for p in below if p.is_dir()][:MOST_FOLDERS]
        files = [p for p in below if p.name.lower().endswith((*HDF, *ARCHIVES))][:MOST_FOLDERS]
    except OSError:
        return None
    places = [str(p) for p in (*folders, *files)]
    found = [p for p in places if is_product(p)]
    if len(found) > 1:
        raise InputError(
            f"{path} is a folder of several products",
            got=shorten(found, 4),
            expected="one product",
            remedy=f"Give one, as {found[0]}.",
        )
    return found[0] if found else None


def _names(path: str) -> list[str]:
    """The names of what a folder holds; none for a file."""
    try:
        return sorted(p.name for p in Path(path).iterdir()) if Path(path).is_dir() else []
    except OSError:
        return []


def _headed(found: Raster, header: str, source: str) -> Raster:
    """A file of another driver than ENVI's, given by the ENVI header beside it, with the
    wavelengths of that."""
    text = readable(bytes_of(header, "an ENVI header", HEADER))
    if wavelengths_in(text, len(found.bands)):
        return describe_file(found.path, source, header)
    said = (
        f"{Path(header).name} has no wavelengths for its {len(found.bands)} bands, and is not used"
    )
    return replace(found, messages=(*found.messages, said))


def _beside(found: Raster) -> Raster:
    """A file without wavelengths; a message names the ENVI header beside it that has some."""
    if np.isfinite(found.bands.wavelength_nm).any():
        return found
    header = header_beside(found.path, len(found.bands))
    if header is None:
        return found
    said = (
        f"{header.name} beside it has {len(found.bands)} wavelengths, and is not used: give it "
        f"with --wavelengths {header}"
    )
    return replace(found, messages=(*found.messages, Remark("header-beside", said)))


def _by_item(found: Raster) -> Raster:
    """A file without wavelengths, with those of the STAC item beside it; a message says so."""
    if np.isfinite(found.bands.wavelength_nm).any():
        return found
    item = beside(found.path, len(found.bands))
    if item is None:
        return found
    file, said, why = item
    if said is None:
        return replace(found, messages=(*found.messages, Remark("stac-item-unused", why)))
    text = f"wavelengths come from the STAC item {Path(file).name} beside it"
    return _told(found, said.stated, file, (Remark("stac-item", text),))


def _given(raster: Raster, wavelengths: str | Path) -> Raster:
    """A product whose bands a file of the user says more of."""
    stated = given_table(wavelengths, len(raster.bands), raster.path)
    return _told(raster, stated, str(wavelengths))


def _told(raster: Raster, first: Stated, file: str, said: tuple[str, ...] = ()) -> Raster:
    """A raster whose bands a file says more of, which comes before what is known of them."""
    own = raster.bands
    nothing: list[dict[str, str]] = [{} for _ in own.name]
    unsaid = np.full(len(own), np.nan)
    known = Stated(raster.product, own.wavelength_nm, own.fwhm_nm, unsaid, "Nanometers")
    reasons = {i: reason for i, reason in enumerate(own.reason) if reason}
    bands, messages = band_table(
        RasterTags(own.name, nothing, nothing), own.source[0], reasons, stated=[first, known]
    )
    return replace(
        raster,
        bands=bands,
        messages=(*raster.messages, *said, *messages),
        files=(*raster.files, file),
    )
