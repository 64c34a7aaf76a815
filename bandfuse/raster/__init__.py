"""Raster: the only door to rasterio. Files in, band tables and patches out; fused windows in, files out.

Order inside the room, from the ground up::

    describe   what a file says of itself; whether two share a grid
    read       windows, by several threads; quicklooks
    align      windows of a grid, from rasters on others
    write      fused windows to new files
    mask       which pixels of a scene count: bounds, windows, mask rasters, polygons
    labels     classes of pixels
"""

from bandfuse.raster.align import (
    AlignedReader,
    Placing,
    coarsest,
    cut,
    moved,
    on_one_grid,
    placed,
    windowed,
)
from bandfuse.raster.describe import CACHE, Raster, describe, gdal_version, same_grid
from bandfuse.raster.labels import Labels, describe_labels, labelled
from bandfuse.raster.mask import OUTSIDE, Selection, is_json, opened_selection, select
from bandfuse.raster.read import Choice, RasterPatch, Reader, quicklook
from bandfuse.raster.write import Encoding, Writer, band_tags, blank, driver_of, write_array

__all__ = [
    "CACHE",
    "OUTSIDE",
    "AlignedReader",
    "Choice",
    "Encoding",
    "Labels",
    "Placing",
    "Raster",
    "RasterPatch",
    "Reader",
    "Selection",
    "Writer",
    "band_tags",
    "blank",
    "coarsest",
    "cut",
    "describe",
    "describe_labels",
    "driver_of",
    "gdal_version",
    "is_json",
    "labelled",
    "moved",
    "on_one_grid",
    "opened_selection",
    "placed",
    "quicklook",
    "same_grid",
    "select",
    "windowed",
    "write_array",
]
