"""Categories: what a raster calls the numbers of its classes."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree.ElementTree import Element, ParseError

from rasterio.enums import ColorInterp

from bandfuse.errors import InputError
from bandfuse.raster.describe import opened
from bandfuse.raster.gdal import GDAL_ERRORS
from bandfuse.raster.header_files import vrt_over

NAME, VALUE = "2", ("5", "3")
"""Usages of a column of a raster attribute table (GDALRATFieldUsage): the name of a class; its
value, or the least of its values."""


def category_names(path: str, band: int = 0) -> dict[int, str]:
    """The names of classes by number: of the band's category names (GeoTIFF with PAM, ENVI, HFA),
    else of its raster attribute table; empty where it has neither, or GDAL cannot tell.

    rasterio has no door to them, but the VRT that GDAL writes over a raster holds both.

    Parameters
    ----------
    band : position of the band, from 0.
    """
    try:
        with opened(path) as ds:
            root = vrt_over(ds)
    except (*GDAL_ERRORS, InputError, ParseError):
        return {}
    node = root.findall("VRTRasterBand")[band]
    listed = [entry.text or "" for entry in node.findall("CategoryNames/Category")]
    names = dict(enumerate(listed)) or dict(_of_table(node))
    return {number: name.strip() for number, name in names.items() if name.strip()}


def holds_classes(path: str) -> bool:
    """Whether a raster of one band says that its values are numbers of classes: by a colour table,
    or by names."""
    try:
        with opened(path) as ds:
            if ds.count != 1:
                return False
            if ds.colorinterp[0] == ColorInterp.palette:
                return True
    except (*GDAL_ERRORS, InputError):
        return False
    return bool(category_names(path))


def _of_table(band: Element) -> Iterator[tuple[int, str]]:
    """Values and names of a raster attribute table; nothing without columns for both."""
    table = band.find("GDALRasterAttributeTable")
    if table is None:
        return
    usages = [field.findtext("Usage", "") for field in table.findall("FieldDefn")]
    values = [usages.index(usage) for usage in VALUE if usage in usages]
    if not values or NAME not in usages:
        return
    for row in table.findall("Row"):
        cells = [cell.text or "" for cell in row.findall("F")]
        value = _whole(cells[values[0]]) if len(cells) == len(usages) else None
        if value is not None:
            yield value, cells[usages.index(NAME)]


def _whole(text: str) -> int | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return int(number) if number.is_integer() else None
