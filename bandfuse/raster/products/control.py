"""Control: ground control points of an image in sensor geometry, from arrays that tell where the
centre of every pixel lies."""

from __future__ import annotations

import numpy as np
import rasterio
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS

from bandfuse.errors import InputError
from bandfuse.raster.describe import Control, opened
from bandfuse.raster.gdal import CACHE, GDAL_ERRORS, reason
from bandfuse.raster.products.hdf import Hdf
from bandfuse.spectral.bands import Floats

FEWEST = 4
"""Points that tell where an image lies."""


def control_points(
    hdf: Hdf, longitude: str, latitude: str, shape: tuple[int, int], most: int
) -> Control:
    """The places, on WGS 84, of at most ``most`` pixels along either side of an image of (rows,
    columns).

    Pixels without a place have numbers that are none, or zeros. Across 180° longitudes go on above
    it. There are no points where an array is missing or of another size, where too few pixels have
    a place, and where longitudes tell none without a break, as around a pole.

    Raises
    ------
    InputError : an array cannot be read to its end.
    """
    rows, cols = (np.unique(np.rint(np.linspace(0, n - 1, most)).astype(int)) for n in shape)
    x, y = (_sampled(hdf, array, shape, rows, cols) for array in (longitude, latitude))
    there = (np.abs(x) <= 180) & (np.abs(y) <= 90) & ((x != 0) | (y != 0))
    if there.any() and np.ptp(x[there]) > 180:
        x = np.where(x < 0, x + 360, x)
    if there.sum() < FEWEST or np.ptp(x[there]) > 180:
        return Control()
    points = tuple(
        GroundControlPoint(rows[i] + 0.5, cols[j] + 0.5, float(x[i, j]), float(y[i, j]), 0.0)
        for i, j in np.argwhere(there)
    )
    with rasterio.Env(**CACHE):
        return Control(points, CRS.from_epsg(4326))


def _sampled(
    hdf: Hdf, array: str, shape: tuple[int, int], rows: np.ndarray, cols: np.ndarray
) -> Floats:
    """Numbers of an array at these rows and columns; NaN where they are not there."""
    missing = np.full((len(rows), len(cols)), np.nan)
    if array not in hdf.arrays:
        return missing
    with rasterio.Env(**CACHE), opened(hdf.name(array)) as ds:
        if ds.shape != shape:
            return missing
        try:
            lines = [ds.read(1, window=((r, r + 1), (0, shape[1])))[0, cols] for r in rows]
        except GDAL_ERRORS as error:
            raise InputError(
                f"{hdf.path} cannot be read to its end", got=reason(error), expected="a whole file"
            ) from error
    return np.array(lines, dtype=np.float64)
