"""PRISMA: L2D reflectance in HDF-EOS5, on a map grid.

``HDFEOS/SWATHS/PRS_L2D_HCO/Data Fields/{VNIR,SWIR}_Cube`` (rows, bands, columns) uint16; what says
of them is in attributes of the root (PRISMA Products Specification Document, ASI):

- reflectance = Min + DN · (Max − Min) / 65535, Min and Max from ``L2Scale{Vnir,Swir}{Min,Max}``; DN
  0 is no data.
- ``List_Cw_*`` and ``List_Fwhm_*``, nm, in falling order; 0 for a band that is not there.
- ``*_PIXEL_L2_ERR_MATRIX``: 0 good, 1 invalid in L1, 2 negative after the atmospheric correction, 4
  saturated.
- ``{Cloud,SunGlint,LandCover}_Mask`` (rows, columns), in L1 only: cloud or glint is 1; land cover
  is 0 for water and 1 for snow; 10 is none of the classes, 255 an error.
- ``Product_{UL,LR}corner_{easting,northing}``: the centres of the corner pixels, in ``Epsg_Code``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import rasterio
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.transform import Affine

from bandfuse.errors import InputError, MismatchError
from bandfuse.raster.describe import QualityLayer, Raster, SourceImage, opened
from bandfuse.raster.gdal import CACHE, reason
from bandfuse.raster.products.hdf import Hdf, hdf_of
from bandfuse.raster.products.product import ATTRIBUTES_OF, Format, Product
from bandfuse.spectral.bands import Bands

FIELDS = "HDFEOS/SWATHS/PRS_L2D_HCO/Data_Fields"
MASKS = {
    "cloud": ("Cloud_Mask", 1),
    "glint": ("SunGlint_Mask", 1),
    "water": ("LandCover_Mask", 0),
    "snow": ("LandCover_Mask", 1),
}
"""By reason the array that says it, and the value that does."""

FULL = 65535.0
"""The DN of the greatest value."""


ROUNDED = 1.0
"""By how many metres two corners may be nearer or farther than they are: northings are float32, in
steps of half a metre."""


def recognises(path: str) -> bool:
    """An HDF5 file with PRISMA's swaths, or that says that it is PRISMA's."""
    hdf = hdf_of(path)
    if hdf is None:
        return False
    return any("SWATHS/PRS_L" in a for a in hdf.arrays) or hdf.attributes.get(
        "Product_ID", ""
    ).startswith("PRS_L")


@dataclass(frozen=True, eq=False)
class _Detector:
    """One of the two cubes: its bands in rising order of their wavelengths."""

    piece: SourceImage
    bands: Bands
    scale: float
    offset: float
    shape: tuple[int, int]
    dtype: str


def open_(path: str, source: str) -> Raster:
    """VNIR, then SWIR, each in rising order of wavelength.

    Raises
    ------
    InputError : another level, or an array or attribute is missing.
    MismatchError : cubes whose sizes do not fit.
    """
    hdf = hdf_of(path)
    assert hdf is not None
    level = hdf.attributes.get("Processing_Level", "")
    if level.upper().removeprefix("L") not in ("2D", ""):
        raise InputError(
            f"{path} is not a PRISMA L2D product",
            got=f"PRISMA level {level}",
            expected="PRISMA L2D, reflectance on a map grid",
        )
    if not any(a.startswith(FIELDS) for a in hdf.arrays):
        raise InputError(
            f"{path} is not a PRISMA L2D product",
            got=f"level {level or 'unknown'}, and no {FIELDS}",
            expected="the cubes of its two detectors",
        )
    vnir, swir = (_detector(hdf, name, source) for name in ("VNIR", "SWIR"))
    if vnir.shape != swir.shape:
        raise MismatchError(
            f"the cubes of {path} differ",
            got=f"{vnir.shape} and {swir.shape}",
            expected="equal sizes",
        )
    rows, cols = vnir.shape
    counts = [len(vnir.bands), len(swir.bands)]
    joined = vnir.bands + swir.bands
    crs, transform = _place(hdf, rows, cols)
    return Raster(
        path=path,
        driver="HDF5Image",
        rows=rows,
        cols=cols,
        dtypes=(vnir.dtype,) * counts[0] + (swir.dtype,) * counts[1],
        crs=crs,
        transform=transform,
        bands=Bands.of(
            joined.name, source=source, wavelength_nm=joined.wavelength_nm, fwhm_nm=joined.fwhm_nm
        ),
        nodata=np.zeros(sum(counts)),
        scale=np.repeat([vnir.scale, swir.scale], counts),
        offset=np.repeat([vnir.offset, swir.offset], counts),
        stored=(1, cols),
        messages=_messages(vnir, swir),
        files=(path,),
        product="PRISMA L2D",
        quality=quality_of(hdf),
        no_quality="" if quality_of(hdf) else "it holds no cloud mask, which is in the L1 file",
        pieces=(vnir.piece, swir.piece),
    )


def quality_of(hdf: Hdf) -> tuple[QualityLayer, ...]:
    """The masks that the file holds, on the grid of its cubes."""
    there = {name.rsplit("/", 1)[-1]: name for name in hdf.arrays}
    return tuple(
        QualityLayer(reason, SourceImage(hdf.name(there[array]), (1,)), hdf.path, (value,))
        for reason, (array, value) in MASKS.items()
        if array in there
    )


def _messages(*detectors: _Detector) -> tuple[str, ...]:
    if all(d.piece.flaws for d in detectors):
        return (
            "values that the pixel error matrices flag (invalid, negative, saturated) are taken as "
            "missing",
        )
    return (
        "there is no pixel error matrix for every cube: invalid, negative and saturated values may "
        "be in it",
    )


def _detector(hdf: Hdf, name: str, source: str) -> _Detector:
    """What the file says of one cube."""
    title = name.capitalize()
    array, flaws = f"{FIELDS}/{name}_Cube", f"{FIELDS}/{name}_PIXEL_L2_ERR_MATRIX"
    seen, dtype = _size(hdf.require(array, "PRISMA L2D product"))
    nm, fwhm = (hdf.attribute(f"List_{key}_{title}") for key in ("Cw", "Fwhm"))
    axes, sizes = _axes(seen, len(nm))
    if not len(nm) == len(fwhm) == sizes[1]:
        raise MismatchError(
            f"the wavelengths of {array} in {hdf.path} do not fit",
            got=f"{len(nm)} and {len(fwhm)}",
            expected=f"{sizes[1]}",
        )
    there = flaws in hdf.arrays
    flaw_axes, flawed = _axes(_size(hdf.name(flaws))[0], len(nm)) if there else (axes, sizes)
    if flawed != sizes:
        raise MismatchError(
            f"{flaws} of {hdf.path} does not fit its cube", got=f"{flawed}", expected=f"{sizes}"
        )
    order = [int(i) for i in np.argsort(nm, kind="stable") if nm[i] > 0]
    if not order:
        raise InputError(
            f"{hdf.path} has no {name} band",
            got=f"List_Cw_{title} all zero",
            expected="wavelengths in nm",
        )
    low, high = (float(hdf.attribute(f"L2Scale{title}{end}")[0]) for end in ("Min", "Max"))
    bands = Bands.of(
        [f"{name} {i + 1}" for i in order],
        source=source,
        wavelength_nm=nm[order],
        fwhm_nm=fwhm[order],
    )
    numbers = tuple(i + 1 for i in order)
    return _Detector(
        SourceImage(
            hdf.name(array),
            numbers,
            axes,
            hdf.name(flaws) if there else "",
            flaw_axes if there else "",
        ),
        bands,
        (high - low) / FULL,
        low,
        (sizes[0], sizes[2]),
        dtype,
    )


def _size(name: str) -> tuple[tuple[int, int, int], str]:
    """The sizes of a cube's axes as GDAL shows them, and its type."""
    with rasterio.Env(**CACHE), opened(name) as ds:
        return (ds.count, ds.height, ds.width), ds.dtypes[0]


def _axes(seen: tuple[int, int, int], bands: int) -> tuple[str, tuple[int, int, int]]:
    """What the axes are, and rows, bands and columns. They lie in the file in this order; where
    ``StructMetadata.0`` names the axes, GDAL shows the bands first."""
    turned = seen[0] == bands != seen[1]
    return ("brc", (seen[1], seen[0], seen[2])) if turned else ("rbc", seen)


def _place(hdf: Hdf, rows: int, cols: int) -> tuple[CRS, Affine]:
    """The CRS, and the transform from the centres of the corner pixels."""
    ends = {
        f"{corner}_{axis}": float(hdf.attribute(f"Product_{corner}corner_{axis}")[0])
        for corner in ("UL", "LR")
        for axis in ("easting", "northing")
    }
    width = _step(ends["UL_easting"], ends["LR_easting"], cols)
    height = _step(ends["UL_northing"], ends["LR_northing"], rows)
    if not (width > 0 > height):
        raise InputError(
            f"the corners of {hdf.path} are not those of a map",
            got=f"pixels of {width:g} × {height:g}",
        )
    corner = ends["UL_easting"] - width / 2, ends["UL_northing"] - height / 2
    code = int(hdf.attribute("Epsg_Code")[0])
    try:
        with rasterio.Env(**CACHE):
            return CRS.from_epsg(code), Affine(width, 0, corner[0], 0, height, corner[1])
    except CRSError as error:
        raise InputError(
            f"Epsg_Code of {hdf.path} is unknown", got=f"{code}: {reason(error)}"
        ) from error


def _step(first: float, last: float, count: int) -> float:
    """The distance of neighbouring pixels: whole metres where the corners, which are rounded to
    float32, allow it."""
    step = (last - first) / max(1, count - 1)
    whole = float(np.rint(step))
    return whole if whole and abs(step - whole) * (count - 1) < ROUNDED else step


PRISMA = Product(
    Format(
        "PRISMA L2D",
        "the .he5 file",
        "VNIR and SWIR joined, wavelengths rising, absent bands left out, FWHM, scale, CRS; "
        "flagged pixels missing",
        ATTRIBUTES_OF,
    ),
    recognises,
    open_,
)
