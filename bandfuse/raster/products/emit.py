"""EMIT: L2A reflectance (and L1B radiance) in netCDF, in sensor geometry.

``/reflectance`` (rows, columns, bands);
``/sensor_band_parameters/{wavelengths,fwhm,good_wavelengths}``, nm; ``/location/{glt_x,glt_y}`` on
the grid of the attributes ``geotransform`` and ``spatial_ref``: the 1-based column and row of the
image, 0 or the fill value for none (EMIT L2A User Guide, LP DAAC; the mission's own writer,
emit-sds/emit-sds-l2a ``output_conversion.py``).

The quality layers are in a file of their own, ``EMIT_L2A_MASK_…nc`` with the same time, orbit and
scene in its name: ``/mask`` (rows, columns, bands), 1 where a band applies. What its bands are is
in ``/sensor_band_parameters/mask_bands``, texts that GDAL does not read; their number tells it:
those of version 001 (8 bands, ``make_emit_masks.py`` there), those of the EMIT L2A Mask User Guide
(11 bands, emit-sds/emit-sds-masks), and those of version 003 (7 bands). ``/band_mask``
speaks of single values that were interpolated, and leaves out no pixel."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import rasterio
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.transform import Affine

from bandfuse.errors import InputError, MismatchError
from bandfuse.raster.describe import QualityLayer, Raster, SourceImage, opened
from bandfuse.raster.gdal import CACHE, reason
from bandfuse.raster.products.cubes import cube_of, raster_of
from bandfuse.raster.products.given import Given
from bandfuse.raster.products.hdf import Hdf, hdf_of
from bandfuse.raster.products.lookup import lookup_table, on_its_map
from bandfuse.raster.products.product import WRITER_OF, Format, Product
from bandfuse.spectral.bands import Bands, Floats

CUBES = ("reflectance", "radiance")
LEVELS = {"reflectance": "L2A", "radiance": "L1B"}
COLUMN, ROW = "location/glt_x", "location/glt_y"
FILL = -9999.0
"""The value of pixels without data, where the file does not tell it."""

MASK = "mask"
TRADITIONAL = ((1, "cloud"), (2, "cirrus"), (3, "water"), (4, "invalid"), (5, "buffer"))
"""Cloud, cirrus, water and spacecraft flags, and the cloud flag dilated."""

LAYERS = {
    8: TRADITIONAL,
    11: (*TRADITIONAL, (10, "cloud")),
    7: ((1, "cloud"), (2, "cirrus"), (3, "water"), (4, "buffer"), (6, "cloud")),
}
"""By the number of bands of the mask, the bands that are flags and what they say; "invalid" is the
spacecraft in view, "buffer" lies around clouds, and the later cloud flag is that of SpecTf."""

NAME = re.compile(r"EMIT_L\d\w_[A-Z]+_\d{3}_(\d{8}T\d{6}_\d+_\d+)\.nc", re.I)
"""Names of EMIT's files; version, then time, orbit and scene."""


def recognises(given: Given) -> bool:
    """A netCDF-4 file with a cube and a lookup table."""
    hdf = given.hdf
    return hdf is not None and COLUMN in hdf.arrays and any(cube in hdf.arrays for cube in CUBES)


def open_(given: Given, source: str) -> Raster:
    """The image in sensor geometry, right way up, with its lookup table.

    Raises
    ------
    InputError : an array or attribute is missing.
    MismatchError : arrays whose sizes do not fit, or a lookup table that points outside the image.
    """
    hdf = given.hdf
    assert hdf is not None
    name = next(c for c in CUBES if c in hdf.arrays)
    cube = cube_of(hdf, name, None, "rcb")
    cube = replace(cube, fill=FILL if np.isnan(cube.fill) else cube.fill)
    bands = _bands(hdf, cube.bands, source, flagged=name == CUBES[0])
    glt = _table(hdf, (cube.rows, cube.cols))
    layers, lacks = quality_of(hdf)
    said, parts = [on_its_map(glt)], [(cube, range(cube.bands))]
    made = raster_of(hdf, f"EMIT {LEVELS[name]}", parts, bands, said, glt=glt)
    files = tuple(dict.fromkeys([given.path, *(layer.file for layer in layers)]))
    return replace(made, files=files, quality=layers, no_quality=lacks)


def quality_of(hdf: Hdf) -> tuple[tuple[QualityLayer, ...], str]:
    """The layers of the mask file beside the image; or why there are none."""
    place = Path(hdf.path)
    match = NAME.fullmatch(place.name)
    if match is None:
        return (), "its name does not tell that of its mask file, EMIT_L2A_MASK_…nc"
    wanted = re.compile(rf"EMIT_L2A_MASK_\d{{3}}_{match[1]}\.nc", re.I)
    try:
        found = next((p for p in sorted(place.parent.iterdir()) if wanted.fullmatch(p.name)), None)
    except OSError:
        found = None
    if found is None:
        return (), f"the mask file EMIT_L2A_MASK_…_{match[1]}.nc is not beside it"
    unread = f"{found.name} beside it cannot be read as a mask file"
    mask = hdf_of(str(found))
    if mask is None or MASK not in mask.arrays:
        return (), unread
    try:
        with rasterio.Env(**CACHE), opened(mask.name(MASK)) as ds:
            bands = ds.width
    except InputError:
        return (), unread
    if bands not in LAYERS:
        return (), f"the mask in {found.name} has {bands} bands, of unknown meaning"
    name = mask.name(MASK)
    layers = [
        QualityLayer(reason, SourceImage(name, (band,), axes="rcb"), str(found), (1,))
        for band, reason in LAYERS[bands]
    ]
    return tuple(layers), ""


def _bands(hdf: Hdf, n: int, source: str, *, flagged: bool) -> Bands:
    columns: dict[str, Floats] = {}
    for name in ("wavelengths", "fwhm", *(["good_wavelengths"] if flagged else [])):
        columns[name] = hdf.values(f"sensor_band_parameters/{name}")
        if len(columns[name]) != n:
            raise MismatchError(
                f"{name} of {hdf.path} does not fit its cube",
                got=f"{len(columns[name])}",
                expected=f"{n}",
            )
    good = columns.get("good_wavelengths", np.ones(n))
    return Bands.of(
        [f"b{i}" for i in range(1, n + 1)],
        source=source,
        wavelength_nm=columns["wavelengths"],
        fwhm_nm=columns["fwhm"],
        reason=["" if g == 1 else "flagged bad (good_wavelengths)" for g in good],
    )


def _table(hdf: Hdf, shape: tuple[int, int]) -> Raster:
    """The lookup table, on the grid that the attributes of the root tell."""
    for name in (COLUMN, ROW):
        hdf.require(name, "EMIT product")
    place = hdf.attribute("geotransform")
    if len(place) != 6:
        raise InputError(
            f"geotransform of {hdf.path} cannot be read", got=f"{len(place)} numbers", expected="6"
        )
    try:
        with rasterio.Env(**CACHE):
            crs = CRS.from_wkt(hdf.attributes.get("spatial_ref", ""))
    except CRSError as error:
        raise InputError(
            f"spatial_ref of {hdf.path} cannot be read", got=reason(error), expected="WKT"
        ) from error
    return lookup_table(hdf, (COLUMN, ROW), (crs, Affine.from_gdal(*place)), shape)


EMIT = Product(
    Format(
        "EMIT L2A, L1B",
        "the .nc file of reflectance or radiance",
        "rows the right way up, wavelengths, FWHM, good_wavelengths, fill; fused bands are put on "
        "the GLT's map grid; quality layers of the mask file beside it",
        WRITER_OF,
    ),
    recognises,
    open_,
)
