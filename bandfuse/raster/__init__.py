"""Raster: the only door to rasterio. Files in, band tables and patches out; fused windows in, files out.

Order inside the room, from the ground up::

    describe   what a file says of itself; whether two share a grid
    read       windows, by several threads; quicklooks
    write      fused windows to new files
"""

from bandfuse.raster.describe import CACHE, Raster, describe, gdal_version, same_grid
from bandfuse.raster.read import Choice, RasterPatch, Reader, quicklook
from bandfuse.raster.write import Encoding, Writer, band_tags, blank, write_array

__all__ = [
    "CACHE",
    "Choice",
    "Encoding",
    "Raster",
    "RasterPatch",
    "Reader",
    "Writer",
    "band_tags",
    "blank",
    "describe",
    "gdal_version",
    "quicklook",
    "same_grid",
    "write_array",
]
