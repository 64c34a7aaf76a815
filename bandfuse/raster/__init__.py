"""Raster: the only door to rasterio. Files in, band tables and patches out; fused windows in, files out.

Order inside the room, from the ground up::

    describe   what a file says of itself; whether two share a grid
    read       windows, by several threads; quicklooks
    write      fused windows to new files
    mask       which pixels of a scene count: bounds, windows, mask rasters, polygons
    labels     classes of pixels
    place      where and when an image was taken
"""

from bandfuse.raster.describe import CACHE, Raster, describe, gdal_version, same_grid
from bandfuse.raster.labels import Labels, describe_labels, labelled
from bandfuse.raster.mask import OUTSIDE, Selection, opened_selection, select
from bandfuse.raster.place import acquired, footprint, polygons
from bandfuse.raster.read import Choice, RasterPatch, Reader, quicklook
from bandfuse.raster.write import Encoding, Writer, band_tags, blank, driver_of, write_array

__all__ = [
    "CACHE",
    "OUTSIDE",
    "Choice",
    "Encoding",
    "Labels",
    "Raster",
    "RasterPatch",
    "Reader",
    "Selection",
    "Writer",
    "acquired",
    "band_tags",
    "blank",
    "describe",
    "describe_labels",
    "driver_of",
    "footprint",
    "gdal_version",
    "labelled",
    "opened_selection",
    "polygons",
    "quicklook",
    "same_grid",
    "select",
    "write_array",
]
