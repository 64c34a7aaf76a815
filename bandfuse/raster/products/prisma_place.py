"""Where the images of PRISMA lie: on a map (L2D), or at the points that their swath tells (other
levels)."""

from __future__ import annotations

import numpy as np
import rasterio
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.transform import Affine

from bandfuse.errors import InputError
from bandfuse.raster.describe import Control
from bandfuse.raster.gdal import CACHE, reason
from bandfuse.raster.products.control import control_points
from bandfuse.raster.products.hdf import Hdf

ROUNDED = 1.0
"""By how many metres two corners may be nearer or farther than they are: northings are float32, in
steps of half a metre."""

PAN_PIXEL = 5.0
"""The pixel of the panchromatic image on the map, in m."""

POINTS = 10
"""Ground control points along each side of an image in sensor geometry."""

NAMES = ("_VNIR", "", "_SWIR")
"""Endings of Latitude and Longitude in the order in which they are asked for: L1 tells the place of
each detector, and both are registered to VNIR; other levels have one place."""


def map_place(hdf: Hdf, rows: int, cols: int) -> tuple[CRS, Affine]:
    """The CRS and the transform of the cubes of L2D: the corners are centres of pixels.

    Raises
    ------
    InputError : an attribute is missing, or the corners are not those of a map.
    """
    left, right, top, bottom = _ends(hdf)
    width, height = _step(left, right, cols), _step(top, bottom, rows)
    if not (width > 0 > height):
        raise InputError(
            f"the corners of {hdf.path} are not those of a map",
            got=f"pixels of {width:g} × {height:g}",
        )
    corner = left - width / 2, top - height / 2
    code = int(hdf.attribute("Epsg_Code")[0])
    try:
        with rasterio.Env(**CACHE):
            return CRS.from_epsg(code), Affine(width, 0, corner[0], 0, height, corner[1])
    except CRSError as error:
        raise InputError(
            f"Epsg_Code of {hdf.path} is unknown", got=f"{code}: {reason(error)}"
        ) from error


def pan_place(
    hdf: Hdf, cube: tuple[int, int], rows: int, cols: int
) -> tuple[CRS, Affine, tuple[str, ...]]:
    """The CRS and the transform of the panchromatic image of L2D, and what is said of them.

    The file tells corners once. The number of pixels tells what they are for this image: it covers
    the ground of the cube's pixels, or the corners are the centres or the edges of its own pixels
    of 5 m. Where no number fits, they are taken for centres, as EnMAP-Box takes them.

    Raises
    ------
    InputError : as :func:`map_place`.
    """
    crs, whole = map_place(hdf, *cube)
    left, right, top, bottom = _ends(hdf)
    half = whole.a / 2, whole.e / 2
    edges = (
        (left - half[0], right + half[0], top - half[1], bottom + half[1]),
        (left - PAN_PIXEL / 2, right + PAN_PIXEL / 2, top + PAN_PIXEL / 2, bottom - PAN_PIXEL / 2),
        (left, right, top, bottom),
    )
    for west, east, north, south in edges:
        off = abs(east - west - cols * PAN_PIXEL), abs(north - south - rows * PAN_PIXEL)
        if max(off) < ROUNDED:
            return crs, Affine(PAN_PIXEL, 0, west, 0, -PAN_PIXEL, north), ()
    said = (
        f"{rows} × {cols} pixels of 5 m do not fit the corners of the file: the first corner is "
        "taken for the centre of the first pixel"
    )
    west, _, north, _ = edges[1]
    return crs, Affine(PAN_PIXEL, 0, west, 0, -PAN_PIXEL, north), (said,)


def control(hdf: Hdf, swath: str, shape: tuple[int, int]) -> Control:
    """Ground control points of an image in sensor geometry, from the latitudes and longitudes of
    its pixels' centres; none where the file has no such arrays of the size of the image.

    Raises
    ------
    InputError : an array cannot be read to its end.
    """
    fields = f"{swath}/Geolocation_Fields"
    names = [(f"{fields}/Latitude{n}", f"{fields}/Longitude{n}") for n in NAMES]
    there = next((pair for pair in names if set(pair) <= set(hdf.arrays)), None)
    if there is None:
        return Control()
    latitude, longitude = there
    return control_points(hdf, longitude, latitude, shape, POINTS)


def _ends(hdf: Hdf) -> tuple[float, float, float, float]:
    """Left, right, top and bottom, as the corners of the file tell them."""
    left, right, top, bottom = (
        float(hdf.attribute(f"Product_{corner}corner_{axis}")[0])
        for axis in ("easting", "northing")
        for corner in ("UL", "LR")
    )
    return left, right, top, bottom


def _step(first: float, last: float, count: int) -> float:
    """The distance of neighbouring pixels: whole metres where the corners, which are rounded to
    float32, allow it."""
    step = (last - first) / max(1, count - 1)
    whole = float(np.rint(step))
    return whole if whole and abs(step - whole) * (count - 1) < ROUNDED else step
