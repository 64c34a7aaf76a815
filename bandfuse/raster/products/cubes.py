"""Cubes: arrays of three axes in HDF5 and netCDF-4 files, as GDAL's HDF5 driver shows them.

The driver takes the first axis of an array for that of the bands, and leaves rows as they are
stored. Fill value, scale and offset are those of the conventions of CF: value = stored ·
``scale_factor`` + ``add_offset``, missing where stored is ``_FillValue``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import rasterio
from rasterio.crs import CRS
from rasterio.transform import Affine

from bandfuse.errors import MismatchError
from bandfuse.raster.describe import Control, Raster, SourceImage, opened
from bandfuse.raster.gdal import CACHE
from bandfuse.raster.products.hdf import Hdf
from bandfuse.spectral.bands import Bands
from bandfuse.spectral.units import number

AXES = ("", "rbc", "rcb")
"""What the axes of an array are where its bands lie along the first, the second and the last."""


@dataclass(frozen=True)
class HdfCube:
    """An array: what GDAL opens, what its axes are, and what says of its values.

    ``fill`` is NaN where none is told; ``mapping`` names the variable of its map grid, and is empty
    where it has none."""

    name: str
    axes: str
    rows: int
    cols: int
    bands: int
    dtype: str
    fill: float
    scale: float
    offset: float
    stored: tuple[int, int]
    mapping: str

    def image(self, positions: Sequence[int]) -> SourceImage:
        """The piece of a raster that some of its bands are, by their 0-based positions."""
        return SourceImage(self.name, tuple(int(i) + 1 for i in positions), self.axes)


def cube_of(hdf: Hdf, array: str, bands: int | None, usual: str = "") -> HdfCube:
    """What a file says of an array.

    Parameters
    ----------
    bands : how many bands it must have, by its wavelengths: their axis is found by its length.
        None: the axes are the usual ones.
    usual : what its axes are by the product's documents, which decides where several are as long.

    Raises
    ------
    MismatchError : no axis is as long.
    InputError : it cannot be opened.
    """
    with rasterio.Env(**CACHE), opened(hdf.name(array)) as ds:
        sizes = ds.count, ds.height, ds.width
        bands = sizes[AXES.index(usual)] if bands is None else bands
        fitting = [axes for axes, size in zip(AXES, sizes, strict=True) if size == bands]
        if not fitting:
            raise MismatchError(
                f"the wavelengths of {array} in {hdf.path} do not fit",
                got=f"{bands} wavelengths",
                expected=f"as many as one of its axes: {', '.join(map(str, sizes))}",
            )
        axes = usual if usual in fitting else fitting[0]
        rows, cols = (size for at, size in enumerate(sizes) if at != AXES.index(axes))
        own, blocks = ds.tags(1), ds.block_shapes[0]
        together = int(ds.tags(ns="IMAGE_STRUCTURE").get("BAND_CHUNK_SIZE", 1))
        fill = number(own.get("missing_value")) if ds.nodatavals[0] is None else ds.nodatavals[0]
        stored = {"": blocks, "rbc": (together, blocks[1]), "rcb": (together, blocks[0])}
        return HdfCube(
            hdf.name(array),
            axes,
            rows,
            cols,
            bands,
            ds.dtypes[0],
            fill,
            ds.scales[0],
            ds.offsets[0],
            stored[axes],
            own.get("grid_mapping", ""),
        )


def raster_of(
    hdf: Hdf,
    product: str,
    parts: Sequence[tuple[HdfCube, Sequence[int]]],
    bands: Bands,
    messages: Sequence[str],
    place: tuple[CRS | None, Affine | None] = (None, None),
    glt: Raster | None = None,
    control: Control | None = None,
) -> Raster:
    """A product of one or more arrays on one grid.

    Parameters
    ----------
    parts : each array, with the 0-based positions of its bands in the raster's order.
    place : CRS and transform; None for an image in sensor geometry.
    glt, control : its lookup table, or ground control points.

    Raises
    ------
    MismatchError : arrays of other sizes than the first.
    """
    first, counts = parts[0][0], [len(positions) for _, positions in parts]
    other = next((c for c, _ in parts if (c.rows, c.cols) != (first.rows, first.cols)), None)
    if other is not None:
        raise MismatchError(
            f"the cubes of {hdf.path} differ",
            got=f"{first.rows} × {first.cols} and {other.rows} × {other.cols} pixels",
            expected="equal sizes",
        )

    def each(name: str) -> np.ndarray:
        return np.repeat([getattr(cube, name) for cube, _ in parts], counts)

    return Raster(
        path=hdf.path,
        driver="HDF5Image",
        rows=first.rows,
        cols=first.cols,
        dtypes=tuple(map(str, each("dtype"))),
        crs=place[0],
        transform=place[1] or Affine.identity(),
        bands=bands,
        nodata=each("fill"),
        scale=each("scale"),
        offset=each("offset"),
        stored=first.stored,
        messages=tuple(messages),
        files=(hdf.path,),
        product=product,
        pieces=tuple(cube.image(positions) for cube, positions in parts),
        glt=glt,
        control=control or Control(),
    )
