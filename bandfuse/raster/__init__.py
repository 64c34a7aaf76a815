"""Raster: the only door to rasterio. Files in, band tables and patches out; fused windows in, files
out.

Each file is built on those before it::

    gdal                how GDAL fails, what it says, what its drivers say of themselves
    header_files        the text files beside a raster: its ENVI header, a table of the user
    netcdf              whether the header of a classic netCDF file fits the file
    describe            what a file says of itself; whether two rasters share a grid
    nodata              values that the user declares to mean missing
    products            one file per product; each is opened as one cube
    raw                 rasters whose pixels lie in their file as they are
    read                windows of rasters, by several threads; quicklooks
    areas               the share of each pixel's area that pixels of another grid cover
    align               windows of one grid from rasters on other grids
    encoding            how numbers are stored in a new raster
    band_tags           what a new raster says of its bands
    drivers             how each driver makes a raster; one file per driver that needs care
    creation_options    what a driver can be told when it makes a file
    ground              whether a new raster lies where it should
    array_files         arrays as files in GDAL's memory
    write               fused windows to new files
    ortho               fused images in sensor geometry, to the grid of a map
    array_vrt           bands of an array whose axes GDAL shows otherwise, as VRTs
    fixed_vrt           a VRT over a raster, with corrected metadata
    geojson             polygons and properties from a text
    vectors             polygons and their classes from vector files
    polygons            areas in pixels of a raster, burnt part by part
    quality             pixels that the quality layers of products flag
    mask                which pixels of a scene count: bounds, windows, masks, quality layers
    categories          what a raster calls the numbers of its classes
    labels              classes of pixels
    raster_table        rasters, labels and selections as JSON holds them
    acquisition         where and when an image was taken

It imports errors, progress, summary, files, spectral, streaming and moments.
"""

from bandfuse.raster.acquisition import acquired, footprint, polygons_in
from bandfuse.raster.align import (
    AlignedReader,
    Placing,
    coarsest,
    covering,
    cut,
    extent_of,
    moved,
    on_one_grid,
    placed,
    refined,
    windowed,
)
from bandfuse.raster.areas import REACH, gaussian_sigma
from bandfuse.raster.array_files import IN_MEMORY, ArrayFiles, ArrayGrid
from bandfuse.raster.array_vrt import array_bands
from bandfuse.raster.band_tags import band_tags
from bandfuse.raster.categories import holds_classes
from bandfuse.raster.creation_options import check_options, check_type
from bandfuse.raster.describe import QualityLayer, Raster, in_memory, same_grid
from bandfuse.raster.drivers import CONTENT, FOLDERS, WITHOUT_CONTROL, driver_of, mark_of
from bandfuse.raster.encoding import Encoding, Lost
from bandfuse.raster.fixed_vrt import same_table, write_fixed
from bandfuse.raster.gdal import CACHE, GDAL_TYPES, gdal_version
from bandfuse.raster.header_files import Header, said
from bandfuse.raster.labels import (
    Labels,
    describe_labels,
    drawn_labels,
    labelled,
    renumbered,
    same_numbers,
)
from bandfuse.raster.mask import OUTSIDE, Selection, Where, is_left_out, opened_selection, select
from bandfuse.raster.nodata import declared
from bandfuse.raster.ortho import SensedImage, orthorectified
from bandfuse.raster.products import FORMATS, Describe, describe, is_product, product_in
from bandfuse.raster.quality import counted, quality_files, quality_messages, words_of
from bandfuse.raster.raster_table import (
    labels_of,
    labels_table,
    raster_of,
    raster_table,
    selection_of,
    selection_table,
)
from bandfuse.raster.read import Choice, Handles, Plain, RasterPatch, Reader, quicklook
from bandfuse.raster.vectors import SHAPEFILE, Layer, layers_of, vector_driver
from bandfuse.raster.write import Writer, blank, write_array

__all__ = [
    "CACHE",
    "CONTENT",
    "FOLDERS",
    "FORMATS",
    "GDAL_TYPES",
    "IN_MEMORY",
    "OUTSIDE",
    "REACH",
    "SHAPEFILE",
    "WITHOUT_CONTROL",
    "AlignedReader",
    "ArrayFiles",
    "ArrayGrid",
    "Choice",
    "Describe",
    "Encoding",
    "Handles",
    "Header",
    "Labels",
    "Layer",
    "Lost",
    "Placing",
    "Plain",
    "QualityLayer",
    "Raster",
    "RasterPatch",
    "Reader",
    "Selection",
    "SensedImage",
    "Where",
    "Writer",
    "acquired",
    "array_bands",
    "band_tags",
    "blank",
    "check_options",
    "check_type",
    "coarsest",
    "counted",
    "covering",
    "cut",
    "declared",
    "describe",
    "describe_labels",
    "drawn_labels",
    "driver_of",
    "extent_of",
    "footprint",
    "gaussian_sigma",
    "gdal_version",
    "holds_classes",
    "in_memory",
    "is_left_out",
    "is_product",
    "labelled",
    "labels_of",
    "labels_table",
    "layers_of",
    "mark_of",
    "moved",
    "on_one_grid",
    "opened_selection",
    "orthorectified",
    "placed",
    "polygons_in",
    "product_in",
    "quality_files",
    "quality_messages",
    "quicklook",
    "raster_of",
    "raster_table",
    "refined",
    "renumbered",
    "said",
    "same_grid",
    "same_numbers",
    "same_table",
    "select",
    "selection_of",
    "selection_table",
    "vector_driver",
    "windowed",
    "words_of",
    "write_array",
    "write_fixed",
]
