"""Raster: the only door to rasterio. Files in, band tables and patches out; fused windows in, files
out.

Each file is built on those before it::

    gdal                how GDAL fails, what it says, what its drivers say of themselves
    header_files        the text files beside a raster: its ENVI header, a table of the user
    netcdf              whether the header of a classic netCDF file fits the file
    describe            what a file says of itself; whether two rasters share a grid
    nodata              values that the user declares to mean missing
    products            one file per product; each is opened as one cube
    read                windows of rasters, by several threads; quicklooks
    areas               the share of each pixel's area that pixels of another grid cover
    align               windows of one grid from rasters on other grids
    encoding            how numbers are stored in a new raster
    band_tags           what a new raster says of its bands
    drivers             how each driver makes a raster; one file per driver that needs care
    creation_options    what a driver can be told when it makes a file
    ground              whether a new raster lies where it should
    write               fused windows to new files
    ortho               fused images in sensor geometry, to the grid of a map
    fixed_vrt           a VRT over a raster, with corrected metadata
    polygons            areas from GeoJSON files, in pixels of a raster
    mask                which pixels of a scene count: bounds, windows, mask rasters, polygons
    categories          what a raster calls the numbers of its classes
    labels              classes of pixels
    acquisition         where and when an image was taken

It imports errors, progress, files, spectral, streaming and moments.
"""

from bandfuse.raster.acquisition import acquired, footprint, polygons_in
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
from bandfuse.raster.band_tags import band_tags
from bandfuse.raster.creation_options import check_options, check_type
from bandfuse.raster.describe import Raster, same_grid
from bandfuse.raster.drivers import CONTENT, FOLDERS, WITHOUT_CONTROL, driver_of, mark_of
from bandfuse.raster.encoding import Encoding, Lost
from bandfuse.raster.fixed_vrt import same_table, write_fixed
from bandfuse.raster.gdal import CACHE, gdal_version
from bandfuse.raster.header_files import Header, said
from bandfuse.raster.labels import Labels, describe_labels, drawn_labels, labelled
from bandfuse.raster.mask import OUTSIDE, Selection, opened_selection, select
from bandfuse.raster.nodata import declared
from bandfuse.raster.ortho import orthorectified
from bandfuse.raster.polygons import is_json
from bandfuse.raster.products import FORMATS, Describe, describe
from bandfuse.raster.read import Choice, RasterPatch, Reader, quicklook
from bandfuse.raster.write import Writer, blank, write_array

__all__ = [
    "CACHE",
    "CONTENT",
    "FOLDERS",
    "FORMATS",
    "OUTSIDE",
    "WITHOUT_CONTROL",
    "AlignedReader",
    "Choice",
    "Describe",
    "Encoding",
    "Header",
    "Labels",
    "Lost",
    "Placing",
    "Raster",
    "RasterPatch",
    "Reader",
    "Selection",
    "Writer",
    "acquired",
    "band_tags",
    "blank",
    "check_options",
    "check_type",
    "coarsest",
    "cut",
    "declared",
    "describe",
    "describe_labels",
    "drawn_labels",
    "driver_of",
    "footprint",
    "gdal_version",
    "is_json",
    "labelled",
    "mark_of",
    "moved",
    "on_one_grid",
    "opened_selection",
    "orthorectified",
    "placed",
    "polygons_in",
    "quicklook",
    "said",
    "same_grid",
    "same_table",
    "select",
    "windowed",
    "write_array",
    "write_fixed",
]
