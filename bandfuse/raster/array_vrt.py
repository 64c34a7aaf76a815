"""Array VRT: bands of an HDF5 array whose axes GDAL shows otherwise, as VRTs that GDAL reads right.

GDAL 3.8 and later take a slice of a multidimensional array as the source of a band
(``<ArraySource>``, OSGeo/gdal pull request 8534). Where bands are asked for pixel by pixel, as
processed VRTs do, GDAL 3.10 puts the values of such a source in wrong places; a derived band, here
one that changes nothing (``real``), takes them as they are."""

from __future__ import annotations

import os
import re
import xml.etree.ElementTree as ET

import rasterio

from bandfuse.raster.describe import Raster, opened
from bandfuse.raster.gdal import CACHE, GDAL_TYPES

LABELS = "DIMENSION_LABELS"

_ARRAY = re.compile(r'HDF5:"(?P<file>.+)"://(?P<name>.+)')


def array_of_bands(raster: Raster) -> tuple[str, str] | None:
    """The file and the name of the array that alone holds the bands of a raster along another axis
    than the first, and nothing else tells which of its values count; None for other rasters."""
    one = raster.pieces[0] if len(raster.pieces) == 1 else None
    if one is None or one.axes not in ("rbc", "rcb") or one.flaws or raster.glt is not None:
        return None
    match = _ARRAY.fullmatch(one.name)
    known = set(raster.dtypes) <= set(GDAL_TYPES)
    if match is None or not known or _ends_gdal(one.name):
        return None
    return match["file"], match["name"]


def _ends_gdal(name: str) -> bool:
    """Whether GDAL 3.10 and older would end the program at this array: they look for an attribute
    ``DIMENSION_LABELS`` where one is there in other cases, as NEON's ``Dimension_Labels``."""
    with rasterio.Env(**CACHE), opened(name) as ds:
        names = set(ds.tags(1))
    return any(name.upper() == LABELS != name for name in names)


def array_band(raster: Raster, i: int, file: str, name: str, *, relative: bool) -> ET.Element:
    """The band at a position, from an array that :func:`array_of_bands` found; ``file`` is how the
    VRT names it."""
    one = raster.pieces[0]
    band = ET.Element("VRTRasterBand", dataType=GDAL_TYPES[raster.dtypes[i]], band=str(i + 1))
    band.set("subClass", "VRTDerivedRasterBand")
    ET.SubElement(band, "PixelFunctionType").text = "real"
    source = ET.SubElement(band, "ArraySource")
    derived = ET.SubElement(source, "DerivedArray")
    array = ET.SubElement(derived, "SingleSourceArray")
    ET.SubElement(array, "SourceFilename", relativeToVRT=str(int(relative))).text = file
    ET.SubElement(array, "SourceArray").text = f"/{name}"
    slices = [str(one.bands[i] - 1) if axis == "b" else ":" for axis in one.axes]
    step = ET.SubElement(derived, "Step")
    ET.SubElement(step, "View", expr=f"[{','.join(slices)}]")
    for rect in ("SrcRect", "DstRect"):
        size = {"xSize": str(raster.cols), "ySize": str(raster.rows)}
        ET.SubElement(source, rect, {"xOff": "0", "yOff": "0", **size})
    return band


def array_dataset(raster: Raster) -> ET.Element:
    """A VRT without bands, of the size of a raster."""
    return ET.Element("VRTDataset", rasterXSize=str(raster.cols), rasterYSize=str(raster.rows))


def array_bands(raster: Raster) -> tuple[str, ...]:
    """The text of a VRT for each band of a raster that :func:`array_of_bands` knows; nothing for
    others."""
    found = array_of_bands(raster)
    if found is None:
        return ()
    file, name = os.path.abspath(found[0]), found[1]
    texts = []
    for i in range(len(raster.bands)):
        root = array_dataset(raster)
        root.append(array_band(raster, i, file, name, relative=False))
        root[0].set("band", "1")
        texts.append(ET.tostring(root, encoding="unicode"))
    return tuple(texts)
