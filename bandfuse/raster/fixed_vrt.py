"""Fixed VRT: a GDAL VRT over a raster, with the metadata as bandfuse understands it. The pixels
stay where they are."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from rasterio.shutil import copy as gdal_copy

from bandfuse.errors import InputError, OutputError
from bandfuse.files.names import for_gdal, from_vrt
from bandfuse.raster.array_vrt import array_band, array_dataset, array_of_bands
from bandfuse.raster.band_tags import band_tags, imagery_tags
from bandfuse.raster.describe import Raster, describe
from bandfuse.raster.gdal import GDAL_ERRORS, reason, unplaced_quietly
from bandfuse.raster.header_files import vrt_of
from bandfuse.raster.read import Reader
from bandfuse.spectral.bands import Bands
from bandfuse.streaming.windows import Window

OWN = {"wavelength", "wavelengths", "wavelength_units", "wavelength_unit", "fwhm", "bbl"}
"""Tags that are replaced, in lower case with ``_`` for spaces."""


def write_fixed(scratch: Path, path: Path, raster: Raster) -> None:
    """Write a VRT to ``scratch``, as it is to stand at ``path``, with a raster's band table,
    nodata, scale and offset.

    Raises
    ------
    OutputError : GDAL alone cannot read the raster, or the VRT does not say what it should.
    """
    array = array_of_bands(raster)
    root = _copied(scratch, path, raster) if array is None else _over_array(path, raster, array)
    for i, tags in enumerate(band_tags(raster.bands)):
        _put(root.findall("VRTRasterBand")[i], raster, i, tags)
    tree = ET.ElementTree(root)
    ET.indent(tree)
    tree.write(scratch, encoding="utf-8")


def _over_array(path: Path, raster: Raster, array: tuple[str, str]) -> ET.Element:
    """A VRT over an array whose axes GDAL shows otherwise."""
    root = array_dataset(raster)
    file, relative = from_vrt(array[0], path)
    for i in range(len(raster.bands)):
        root.append(array_band(raster, i, file, array[1], relative=relative))
    return root


def _copied(scratch: Path, path: Path, raster: Raster) -> ET.Element:
    """GDAL's own VRT over the file of a raster, without the tags that are replaced.

    Raises
    ------
    OutputError : GDAL alone cannot read the raster.
    """
    source = _image_of(raster)
    if source is None:
        raise OutputError(
            f"{path} cannot be made",
            got=_why_not(raster),
            expected="one image that GDAL reads as it stands",
            remedy="Give bandfuse the product itself: it needs no VRT.",
        )
    try:
        with unplaced_quietly():
            gdal_copy(for_gdal(source), str(scratch), driver="VRT")
    except GDAL_ERRORS as error:
        raise OutputError(
            f"{path} cannot be made",
            got=reason(error),
            expected="a raster that GDAL reads as it stands",
        ) from error
    try:
        root = vrt_of(scratch.read_bytes())
    except ET.ParseError as error:
        raise OutputError(
            f"{path} cannot be made", got=str(error), expected="texts that XML can hold"
        ) from error
    bands = root.findall("VRTRasterBand")
    if len(bands) != len(raster.bands):
        raise OutputError(
            f"{path} cannot be made",
            got=f"{len(bands)} bands from GDAL",
            expected=f"{len(raster.bands)}, as bandfuse sees in {raster.path}",
        )
    for domain in [m for m in root.findall("Metadata") if m.get("domain") in (None, "ENVI")]:
        for item in [i for i in domain if not _is_kept(i)]:
            domain.remove(item)
    _place(root, raster)
    for name in root.iter("SourceFilename"):
        _point(name, source, path)
    return root


def _image_of(raster: Raster) -> str | None:
    """The one file that GDAL opens for a raster; of a product, its image. None where GDAL does not
    show all of it in one."""
    if not raster.pieces:
        return raster.path
    one = raster.pieces[0]
    alone = len(raster.pieces) == 1 and raster.glt is None and not (one.axes or one.flaws)
    if not alone or one.name.startswith("<"):
        return None
    return one.name if one.name in raster.files or one.name.startswith("HDF5:") else raster.path


def _place(root: ET.Element, raster: Raster) -> None:
    """The CRS and the transform, where GDAL does not find them itself."""
    at = 0
    if root.find("SRS") is None and raster.crs is not None:
        root.insert(at, srs := ET.Element("SRS"))
        srs.text = raster.crs.to_wkt()
        at += 1
    if root.find("GeoTransform") is None and not raster.transform.is_identity:
        root.insert(at, transform := ET.Element("GeoTransform"))
        transform.text = ", ".join(map(repr, map(float, raster.transform.to_gdal())))


def _why_not(raster: Raster) -> str:
    """Why GDAL alone does not show a product as bandfuse reads it."""
    what = raster.product or raster.driver
    if raster.glt is not None:
        return f"{what}, which is put on the map by a lookup table"
    if any(piece.flaws for piece in raster.pieces):
        return f"{what}, some of whose pixels are marked as wrong by another image"
    if len(raster.pieces) > 1 or raster.pieces[0].name.startswith("<"):
        return f"{what}, whose bands lie in several images"
    return f"{what}, whose bands do not lie along the first axis of its array"


def _is_kept(item: ET.Element) -> bool:
    """Whether a tag still holds: it is not replaced, no statistics, and none of GDAL's copies of
    band names."""
    key = "_".join((item.get("key") or "").lower().split())
    return (
        key not in OWN
        and not key.startswith("statistics_")
        and re.fullmatch(r"band_\d+", key) is None
    )


def _put(band: ET.Element, raster: Raster, i: int, tags: Mapping[str, str]) -> None:
    """The metadata of one band, in the place of what was there."""
    kept = {
        str(item.get("key")): item.text or ""
        for domain in band.findall("Metadata")
        if domain.get("domain") is None
        for item in domain
        if _is_kept(item)
    }
    nodata, scale, offset = (float(v[i]) for v in (raster.nodata, raster.scale, raster.offset))
    # A declared NaN stays as it is.
    old = ("Description", "Scale", "Offset", *(["NoDataValue"] if np.isfinite(nodata) else []))
    for child in [
        c
        for c in band
        if c.tag in old or (c.tag == "Metadata" and c.get("domain") in (None, "IMAGERY"))
    ]:
        band.remove(child)
    texts = {"Description": raster.bands.name[i]}
    texts |= {"NoDataValue": repr(nodata)} if np.isfinite(nodata) else {}
    texts |= {"Offset": repr(offset), "Scale": repr(scale)} if (scale, offset) != (1.0, 0.0) else {}
    made = [_metadata({**kept, **tags}), _metadata(imagery_tags(tags), "IMAGERY")]
    for name, text in texts.items():
        child = ET.Element(name)
        child.text = text
        made.append(child)
    for at, child in enumerate(m for m in made if len(m) or m.text):
        band.insert(at, child)


def _metadata(tags: Mapping[str, str], domain: str | None = None) -> ET.Element:
    element = ET.Element("Metadata", {} if domain is None else {"domain": domain})
    for key, value in sorted(tags.items()):
        ET.SubElement(element, "MDI", {"key": key}).text = value
    return element


def _point(name: ET.Element, source: str, path: Path) -> None:
    """The source's place, relative to the VRT where that can be."""
    name.text, relative = from_vrt(source, path) if Path(source).exists() else (source, False)
    name.set("relativeToVRT", str(int(relative)))


def same_table(made: Path, path: Path, raster: Raster) -> None:
    """A VRT that was made, and is to stand at ``path``, must say what was meant.

    Raises
    ------
    OutputError : it does not.
    """
    try:
        again = describe(made, raster.bands.source[0])
    except InputError as error:
        raise OutputError(
            f"{path} cannot be made",
            got=error.got,
            expected="a raster that GDAL finds by its name, in which it writes blanks as _",
            remedy="Give bandfuse the raster itself: it needs no VRT.",
        ) from error
    wanted = raster.bands
    flags = Bands.of(
        wanted.name,
        source=wanted.source[0],
        wavelength_nm=wanted.wavelength_nm,
        fwhm_nm=wanted.fwhm_nm,
        reason=again.bands.reason,
    )
    same = again.bands == flags and (again.bands.good == wanted.good).all()
    same = same and again.transform == raster.transform and again.crs == raster.crs
    same = same and (array_of_bands(raster) is None or _same_corner(again, raster))
    for one, other in (
        (again.nodata, raster.nodata),
        (again.scale, raster.scale),
        (again.offset, raster.offset),
    ):
        same = same and np.array_equal(one, other, equal_nan=True)
    if not same:
        raise OutputError(
            f"{path} does not read back as intended", remedy="Report this with gdalinfo's output."
        )


def _same_corner(one: Raster, other: Raster) -> bool:
    """Whether the first pixels of the first and last band are the same: GDAL finds an array by its
    own name, in which blanks may stand for ``_``."""
    window, ends = Window(0, 0, min(other.rows, 4), min(other.cols, 4)), [0, len(other.bands) - 1]
    whole = slice(0, window.rows), slice(0, window.cols)
    with Reader([(one, ends)]) as first, Reader([(other, ends)]) as second:
        ours = second.read(window).cell(*whole).values()
        return np.array_equal(first.read(window).cell(*whole).values(), ours, equal_nan=True)
