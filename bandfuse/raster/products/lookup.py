"""Lookup: the geographic lookup table (GLT) of an image in sensor geometry.

On the grid of a map, it holds the 1-based column and row of the pixel of the image that belongs
there, and 0 or its fill value for none. JPL's airborne tables also have negative numbers: the pixel
of that number, taken from beside the place where it was seen (AVIRIS-3 Distribution Document)."""

from __future__ import annotations

import numpy as np
import rasterio
from rasterio.crs import CRS
from rasterio.transform import Affine

from bandfuse.errors import InputError, MismatchError
from bandfuse.raster.describe import Raster, SourceImage, opened
from bandfuse.raster.gdal import CACHE, GDAL_ERRORS, reason
from bandfuse.raster.products.hdf import Hdf
from bandfuse.spectral.bands import Bands

LINES = 256
"""Lines of the lookup table that are checked at once."""


def lookup_table(
    hdf: Hdf,
    names: tuple[str, str],
    place: tuple[CRS, Affine],
    shape: tuple[int, int],
    *,
    signed: bool = False,
) -> Raster:
    """The lookup table: two bands on the grid of the map.

    Parameters
    ----------
    names : the arrays of columns and of rows.
    place : the CRS and the transform of the map.
    shape : rows and columns of the image, into which it must point.
    signed : whether negative numbers stand for pixels too.

    Raises
    ------
    MismatchError : arrays that differ in size, or that point outside the image.
    InputError : they cannot be read to their end.
    """
    column, row = map(hdf.name, names)
    with rasterio.Env(**CACHE), opened(column) as ds, opened(row) as other:
        if ds.shape != other.shape:
            raise MismatchError(
                f"{' and '.join(n.rsplit('/', 1)[-1] for n in names)} of {hdf.path} differ",
                got=f"{ds.shape} and {other.shape}",
            )
        stored, dtypes, (rows, cols) = ds.block_shapes[0], (ds.dtypes[0], other.dtypes[0]), ds.shape
        fills = [np.nan if v is None else v for v in (ds.nodata, other.nodata)]
    glt = Raster(
        path=hdf.path,
        driver="HDF5Image",
        rows=rows,
        cols=cols,
        dtypes=dtypes,
        crs=place[0],
        transform=place[1],
        bands=Bands.of([name.rsplit("/", 1)[-1] for name in names]),
        nodata=np.array(fills, dtype=np.float64),
        scale=np.ones(2),
        offset=np.zeros(2),
        stored=stored,
        messages=(),
        files=(hdf.path,),
        pieces=(SourceImage(column, (1,)), SourceImage(row, (1,))),
    )
    _check(glt, *shape, signed=signed)
    return glt


def on_its_map(glt: Raster) -> str:
    """What becomes of an image that has a lookup table, for people."""
    return (
        "the image is in sensor geometry, and is read and trained there; fused rasters are written "
        f"on the map grid of its lookup table, {glt.rows} × {glt.cols} pixels, by nearest neighbour"
    )


def _check(glt: Raster, rows: int, cols: int, *, signed: bool) -> None:
    """The lookup table must point into the image."""
    for piece, size, what in zip(glt.pieces, (cols, rows), ("column", "row"), strict=True):
        low, high = 0, 0
        try:
            with rasterio.Env(**CACHE), opened(piece.name) as ds:
                for at in range(0, glt.rows, LINES):
                    found = ds.read(1, window=((at, min(at + LINES, glt.rows)), (0, glt.cols)))
                    found = found[found != ds.nodata]
                    if not found.size:
                        continue
                    low, high = min(low, int(found.min())), max(high, int(found.max()))
        except GDAL_ERRORS as error:
            raise InputError(
                f"{glt.path} cannot be read to its end", got=reason(error), expected="a whole file"
            ) from error
        least = -size if signed else 0
        if low < least or high > size:
            raise MismatchError(
                f"the lookup table of {glt.path} points outside its image",
                got=f"{what} {low if low < least else high}",
                expected=f"{least if signed else '0 (none)'} to {size}",
                remedy="The file is damaged, or cut: get it again.",
            )
