"""The images in a file of PRISMA: the cubes of its two detectors, and the panchromatic image.

``HDFEOS/SWATHS/PRS_{L1,L2B,L2C,L2D}_{HCO,HRC,PCO}/Data Fields``: ``VNIR_Cube`` and ``SWIR_Cube``
(rows, bands, columns) or ``Cube`` (rows, columns), uint16, each with a matrix of pixel errors. What
says of them is in attributes of the root (PRISMA Products Specification Document, ASI; the readers
of SNAP, opttbx-prisma-reader, and prismaread)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import rasterio

from bandfuse.errors import InputError, MismatchError
from bandfuse.raster.describe import SourceImage, opened
from bandfuse.raster.gdal import CACHE
from bandfuse.raster.products.hdf import Hdf
from bandfuse.spectral.bands import Bands

FULL = 65535.0
"""The DN of the greatest value of level 2."""

L2_FLAWS = "invalid, negative, saturated"
L1_FLAWS = "defective, saturated, less accurate after co-registration, not finite"


@dataclass(frozen=True)
class Level:
    """A level: its name, the ending of the names of its error matrices, what these flag, and
    whether its images lie on a map."""

    name: str
    errors: str
    flagged: str
    on_map: bool = False

    @property
    def product(self) -> str:
        """What a product of it is called."""
        return f"PRISMA {self.name}"

    def swath(self, kind: str) -> str:
        """Where its images of a kind lie, as GDAL names it: HCO, HRC or PCO."""
        return f"HDFEOS/SWATHS/PRS_{self.name}_{kind}"


LEVELS = (
    Level("L1", "PIXEL_SAT_ERR_MATRIX", L1_FLAWS),
    Level("L2B", "PIXEL_L2_ERR_MATRIX", L2_FLAWS),
    Level("L2C", "PIXEL_L2_ERR_MATRIX", L2_FLAWS),
    Level("L2D", "PIXEL_L2_ERR_MATRIX", L2_FLAWS, on_map=True),
)


def level_of(hdf: Hdf) -> Level:
    """The level that a file says it is of; where it says none, that of its swaths.

    Raises
    ------
    InputError : another level, or none.
    """
    told = hdf.attributes.get("Processing_Level", "").strip().upper().removeprefix("L")
    names = {level.name.removeprefix("L"): level for level in LEVELS}
    there = [v for v in LEVELS if any(a.startswith(v.swath("")) for a in hdf.arrays)]
    if told in names:
        return names[told]
    if told or not there:
        raise InputError(
            f"{hdf.path} is a PRISMA product that is not read",
            got=f"PRISMA level {told or 'unknown'}",
            expected=f"PRISMA {', '.join(v.name for v in LEVELS)}",
        )
    return there[0]


@dataclass(frozen=True, eq=False)
class Image:
    """One image of a file: its bands in rising order of their wavelengths; value = stored · scale +
    offset; GDAL's blocks of rows and columns."""

    piece: SourceImage
    bands: Bands
    scale: float
    offset: float
    nodata: float
    shape: tuple[int, int]
    dtype: str
    blocks: tuple[int, int]


def detector(hdf: Hdf, level: Level, kind: str, name: str, source: str) -> Image:
    """The cube of a detector, VNIR or SWIR.

    Raises
    ------
    InputError : an array or an attribute is missing, or no band is there.
    MismatchError : wavelengths or errors that do not fit the cube.
    """
    title, fields = name.capitalize(), f"{level.swath(kind)}/Data_Fields"
    array, flaws = f"{fields}/{name}_Cube", f"{fields}/{name}_{level.errors}"
    seen, dtype, _ = _size(hdf.require(array, f"{level.product} product"))
    nm, fwhm = (hdf.attribute(f"List_{key}_{title}") for key in ("Cw", "Fwhm"))
    axes, sizes = _axes(seen, len(nm))
    if not len(nm) == len(fwhm) == sizes[1]:
        raise MismatchError(
            f"the wavelengths of {array} in {hdf.path} do not fit",
            got=f"{len(nm)} and {len(fwhm)}",
            expected=f"{sizes[1]}",
        )
    there = flaws in hdf.arrays
    flaw_axes, flawed = _axes(_size(hdf.name(flaws))[0], len(nm)) if there else ("", sizes)
    _require_fit(hdf, flaws, flawed, sizes)
    order = [int(i) for i in np.argsort(nm, kind="stable") if nm[i] > 0]
    if not order:
        raise InputError(
            f"{hdf.path} has no {name} band",
            got=f"List_Cw_{title} all zero",
            expected="wavelengths in nm",
        )
    bands = Bands.of(
        [f"{name} {i + 1}" for i in order],
        source=source,
        wavelength_nm=nm[order],
        fwhm_nm=fwhm[order],
    )
    numbers, errors = tuple(i + 1 for i in order), hdf.name(flaws) if there else ""
    piece = SourceImage(hdf.name(array), numbers, axes, errors, flaw_axes)
    shape = sizes[0], sizes[2]
    return Image(piece, bands, *_scale(hdf, level, title), shape, dtype, (1, shape[1]))


def panchromatic(hdf: Hdf, level: Level, source: str) -> Image:
    """The panchromatic image.

    Raises
    ------
    InputError : it or an attribute is missing.
    MismatchError : errors that do not fit it.
    """
    fields = f"{level.swath('PCO')}/Data_Fields"
    array, flaws = f"{fields}/Cube", f"{fields}/{level.errors}"
    if array not in hdf.arrays:
        raise InputError(
            f"{hdf.path} has no panchromatic image",
            got=f"no array {array}",
            expected=f"a {level.product} product with PAN",
        )
    (_, rows, cols), dtype, blocks = _size(hdf.name(array))
    there = flaws in hdf.arrays
    flawed = _size(hdf.name(flaws))[0] if there else (1, rows, cols)
    _require_fit(hdf, flaws, flawed, (1, rows, cols))
    axes, errors = ("brc", hdf.name(flaws)) if there else ("", "")
    piece = SourceImage(hdf.name(array), (1,), axes, errors, axes)
    bands = Bands.of(["PAN"], source=source)
    return Image(piece, bands, *_scale(hdf, level, "Pan"), (rows, cols), dtype, blocks)


def _scale(hdf: Hdf, level: Level, title: str) -> tuple[float, float, float]:
    """Scale, offset and nodata of an image.

    Level 2: value = Min + DN · (Max − Min) / 65535, DN 0 is no data. Level 1: radiance = DN /
    ScaleFactor − Offset, in W/(m² sr µm); DN 0 is a small radiance, which deep absorptions have.
    """
    if level.name != "L1":
        low, high = (float(hdf.attribute(f"L2Scale{title}{end}")[0]) for end in ("Min", "Max"))
        return (high - low) / FULL, low, 0.0
    factor, offset = (
        float(hdf.attribute(f"{key}_{title}")[0]) for key in ("ScaleFactor", "Offset")
    )
    if not factor > 0:
        raise InputError(
            f"ScaleFactor_{title} of {hdf.path} cannot be used",
            got=f"{factor:g}",
            expected="a number above 0",
        )
    return 1 / factor, 0.0 - offset, np.nan


def _require_fit(
    hdf: Hdf, flaws: str, flawed: tuple[int, int, int], sizes: tuple[int, int, int]
) -> None:
    if flawed != sizes:
        raise MismatchError(
            f"{flaws} of {hdf.path} does not fit its cube", got=f"{flawed}", expected=f"{sizes}"
        )


def _size(name: str) -> tuple[tuple[int, int, int], str, tuple[int, int]]:
    """The sizes of an array's axes as GDAL shows them, its type, and its blocks."""
    with rasterio.Env(**CACHE), opened(name) as ds:
        return (ds.count, ds.height, ds.width), ds.dtypes[0], ds.block_shapes[0]


def _axes(seen: tuple[int, int, int], bands: int) -> tuple[str, tuple[int, int, int]]:
    """What the axes are, and rows, bands and columns. They lie in the file in this order; where
    ``StructMetadata.0`` names the axes, GDAL shows the bands first."""
    turned = seen[0] == bands != seen[1]
    return ("brc", (seen[1], seen[0], seen[2])) if turned else ("rbc", seen)
