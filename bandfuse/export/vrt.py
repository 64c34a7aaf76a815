"""VRT: fused bands that GDAL computes when they are read, so that QGIS shows them with nothing
installed."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree as Xml

import numpy as np

from bandfuse.errors import MismatchError
from bandfuse.export.linear import LinearForm
from bandfuse.files.names import from_vrt
from bandfuse.raster import GDAL_TYPES
from bandfuse.spectral.bands import Bands, Floats
from bandfuse.spectral.colours import colours

FILL = "-3.4028234663852886e+38"
"""Nodata of processed bands, which cannot be NaN: the least float32."""


@dataclass(frozen=True, eq=False)
class Cube:
    """What a VRT must know of the raster it reads: its size, WKT, affine transform, GDAL types,
    nodata (NaN: none), whether it has a mask of its own; ground control points as (column, row, x,
    y, z) with their WKT; RPCs as GDAL's texts; and the scale and offset of each band. ``texts``: a
    VRT of each band, where GDAL does not show the bands as bands."""

    path: str
    rows: int
    cols: int
    wkt: str
    transform: Sequence[float]
    dtypes: Sequence[str]
    nodata: Floats
    masked: bool
    points: Sequence[tuple[float, ...]] = ()
    points_wkt: str = ""
    rpcs: Mapping[str, str] = field(default_factory=dict)
    scale: Sequence[float] = ()
    offset: Sequence[float] = ()
    texts: Sequence[str] = ()


def _dataset(cube: Cube, kind: str = "") -> Xml.Element:
    root = Xml.Element("VRTDataset", rasterXSize=str(cube.cols), rasterYSize=str(cube.rows))
    if kind:
        root.set("subClass", kind)
    if cube.wkt:
        Xml.SubElement(root, "SRS").text = cube.wkt
    a, b, c, d, e, f = cube.transform
    if tuple(cube.transform) != (1, 0, 0, 0, 1, 0):
        Xml.SubElement(root, "GeoTransform").text = ", ".join(
            repr(float(v)) for v in (c, a, b, f, d, e)
        )
    if cube.points:
        points = Xml.SubElement(root, "GCPList", Projection=cube.points_wkt)
        for number, values in enumerate(cube.points, 1):
            places = zip(("Pixel", "Line", "X", "Y", "Z"), values, strict=True)
            Xml.SubElement(
                points, "GCP", {"Id": str(number), **{key: repr(float(v)) for key, v in places}}
            )
    if cube.rpcs:
        metadata = Xml.SubElement(root, "Metadata", domain="RPC")
        for key, value in cube.rpcs.items():
            Xml.SubElement(metadata, "MDI", key=key).text = value
    return root


def _source(parent: Xml.Element, kind: str, cube: Cube, band: int, place: Path) -> Xml.Element:
    """A source that is one band of the cube (1-based), relative to the VRT where it can be."""
    source = Xml.SubElement(parent, kind)
    name = Xml.SubElement(source, "SourceFilename")
    if cube.texts:
        name.text, relative, band = cube.texts[band - 1], False, 1
    elif os.path.exists(cube.path):
        name.text, relative = from_vrt(cube.path, place)
    else:
        name.text, relative = _anywhere(cube.path), False
    name.set("relativeToVRT", str(int(relative)))
    Xml.SubElement(source, "SourceBand").text = str(band)
    return source


def _anywhere(path: str) -> str:
    """A member of an archive, by the archive's full path: GDAL looks for it from the folder that
    one works in."""
    start = next((s for s in ("/vsizip/{", "/vsitar/{") if path.startswith(s)), None)
    if start is None:
        return path
    archive, end, member = path.removeprefix(start).partition("}")
    return f"{start}{os.path.abspath(archive)}{end}{member}"


def _named(band: Xml.Element, bands: Bands, k: int, tags: dict[str, str], nodata: str = "") -> None:
    """Name a band of a VRT, with its tags and what colour it shows; and its nodata, if given."""
    Xml.SubElement(band, "Description").text = bands.name[k]
    metadata = Xml.SubElement(band, "Metadata")
    for key, value in tags.items():
        Xml.SubElement(metadata, "MDI", key=key).text = value
    if "wavelength" in tags:
        imagery = Xml.SubElement(band, "Metadata", domain="IMAGERY")
        for name, key in (("wavelength", "CENTRAL_WAVELENGTH_UM"), ("fwhm", "FWHM_UM")):
            if name in tags:
                Xml.SubElement(imagery, "MDI", key=key).text = f"{float(tags[name]) / 1000:.6f}"
    if nodata:
        Xml.SubElement(band, "NoDataValue").text = nodata
    if (colour := colours(bands)[k]) != "undefined":
        Xml.SubElement(band, "ColorInterp").text = colour.capitalize()


def _text(root: Xml.Element) -> str:
    Xml.indent(root)
    return Xml.tostring(root, encoding="unicode") + "\n"


def derived(
    cube: Cube, linear: LinearForm, outputs: Bands, tags: Sequence[dict[str, str]], place: Path
) -> str:
    """Bands that are sums of scaled sources (GDAL 3.4 and later). A missing source makes the sum
    missing.

    ``<PixelFunctionType>sum`` over ``ratio · stored + offset`` per source, the constant riding on
    the first; a sum of one source is the source itself, as GDAL's ``sum`` needs two before 3.12.
    """
    root = _dataset(cube)
    for k in range(len(outputs)):
        used = linear.used(k)
        band = Xml.SubElement(root, "VRTRasterBand", dataType="Float32", band=str(k + 1))
        _named(band, outputs, k, tags[k], "nan")
        if not used:
            raise MismatchError(
                f"output {outputs.name[k]!r} has no weights",
                expected="at least one band with weight",
            )
        if len(used) > 1:
            band.set("subClass", "VRTDerivedRasterBand")
            Xml.SubElement(band, "PixelFunctionType").text = "sum"
            Xml.SubElement(band, "SourceTransferType").text = "Float64"
            Xml.SubElement(band, "PixelFunctionArguments", propagateNoData="true")
        for number, b in enumerate(used):
            source = _source(band, "ComplexSource", cube, b + 1, place)
            if cube.masked:
                Xml.SubElement(source, "UseMaskBand").text = "true"
            elif np.isfinite(cube.nodata[b]):
                Xml.SubElement(source, "NODATA").text = repr(float(cube.nodata[b]))
            Xml.SubElement(source, "ScaleOffset").text = (
                repr(float(linear.constant[k])) if number == 0 else "0"
            )
            Xml.SubElement(source, "ScaleRatio").text = repr(float(linear.matrix[k, b]))
    return _text(root)


def processed(
    cube: Cube, linear: LinearForm, outputs: Bands, tags: Sequence[dict[str, str]], place: Path
) -> str:
    """Bands by GDAL's affine combination (GDAL 3.9 and later), several times quicker than
    :func:`derived`.

    Only the bands with weight are read; a missing one makes *all* outputs missing.

    Raises
    ------
    MismatchError : a mask, which this form cannot see; nodata that differs between bands; outputs
        that need different bands while values may be missing, as GDAL then loses pixels that only
        some outputs need; a type it is not written for."""
    used = sorted({b for k in range(len(outputs)) for b in linear.used(k)})
    fill = _one_fill(cube, linear, used, len(outputs))
    root = _dataset(cube, "VRTProcessedDataset")
    inner = _dataset(cube)
    for number, b in enumerate(used):
        band = Xml.SubElement(
            inner, "VRTRasterBand", dataType=GDAL_TYPES[cube.dtypes[b]], band=str(number + 1)
        )
        if fill is not None:
            Xml.SubElement(band, "NoDataValue").text = repr(fill)
        _source(band, "SimpleSource", cube, b + 1, place)
    Xml.SubElement(root, "Input", unscale="false").append(inner)
    step = Xml.SubElement(Xml.SubElement(root, "ProcessingSteps"), "Step", name="bandfuse")
    Xml.SubElement(step, "Algorithm").text = "BandAffineCombination"
    rows = ((linear.constant[k], *linear.matrix[k, used]) for k in range(len(outputs)))
    arguments = {
        f"coefficients_{k}": ",".join(repr(float(v)) for v in row) for k, row in enumerate(rows, 1)
    }
    if fill is not None:
        arguments |= {"src_nodata": repr(fill), "dst_nodata": FILL}
    for name, value in {**arguments, "dst_intended_datatype": "Float32"}.items():
        Xml.SubElement(step, "Argument", name=name).text = value
    kind = {"dataType": "Float32", "subClass": "VRTProcessedRasterBand"}
    for k in range(len(outputs)):
        band = Xml.SubElement(root, "VRTRasterBand", {**kind, "band": str(k + 1)})
        _named(band, outputs, k, tags[k], "nan" if fill is None else FILL)
    return _text(root)


def _one_fill(cube: Cube, linear: LinearForm, used: Sequence[int], outputs: int) -> float | None:
    """The one nodata value of the used bands; None without any. A processed VRT must be able to
    hold the fusion.

    Raises
    ------
    MismatchError : it is not able to.
    """
    strange = [cube.dtypes[b] for b in used if cube.dtypes[b] not in GDAL_TYPES]
    if strange:
        raise MismatchError(
            f"{cube.path} does not fit a processed VRT",
            got=strange[0],
            expected=f"one of {', '.join(GDAL_TYPES)}",
            remedy="Use --form derived.",
        )
    fill = np.unique(cube.nodata[used][np.isfinite(cube.nodata[used])])
    if cube.masked or len(fill) > 1:
        got = "a mask" if cube.masked else f"nodata {', '.join(f'{v:g}' for v in fill)}"
        raise MismatchError(
            f"{cube.path} does not fit a processed VRT", got=got, remedy="Use --form derived."
        )
    missing = len(fill) or any(cube.dtypes[b].startswith("float") for b in used)
    if missing and any(linear.used(k) != used for k in range(outputs)):
        raise MismatchError(
            "a processed VRT would lose pixels",
            got="outputs of different bands, and values that may be missing",
            expected="outputs that all use the same bands",
            remedy="Use --form derived.",
        )
    return float(fill[0]) if len(fill) else None


def sharpened(bands: Bands, weight: Floats) -> list[int]:
    """Positions of the bands of a cube that are sharpened: the good ones, and all with weight."""
    return [i for i in range(len(bands)) if bands.good[i] or weight[i]]


def pansharpened(
    cube: Cube,
    pan: Cube,
    linear: LinearForm,
    bands: Bands,
    tags: Sequence[dict[str, str]],
    place: Path,
) -> str:
    """GDAL's weighted Brovey pansharpening of the cube's good bands by a panchromatic image, the
    learned weights in its ``<Weights>``; ``bands`` and ``tags`` are those of the cube, and
    so are the scale and offset of the sharpened values. A band with weight 0 is sharpened as the
    others are.

    Parameters
    ----------
    linear : gives the panchromatic image as it is stored.

    Raises
    ------
    MismatchError : more than one output, or a constant, which it has no place for.
    """
    if len(linear.matrix) != 1 or linear.constant[0] != 0:
        got = (
            f"{len(linear.matrix)} outputs"
            if len(linear.matrix) != 1
            else f"offset {linear.constant[0]:g}"
        )
        raise MismatchError(
            "pansharpening takes one sum of bands without an offset",
            got=got,
            remedy="Train on the panchromatic image with --no-offset.",
        )
    shown = sharpened(bands, linear.matrix[0])
    root = _dataset(pan, "VRTPansharpenedDataset")
    some = bands.take(shown)
    for number, b in enumerate(shown):
        kind = {"dataType": GDAL_TYPES.get(cube.dtypes[b], "Float64"), "band": str(number + 1)}
        band = Xml.SubElement(root, "VRTRasterBand", kind, subClass="VRTPansharpenedRasterBand")
        _named(band, some, number, tags[b])
        for name, values, plain in (("Offset", cube.offset, 0.0), ("Scale", cube.scale, 1.0)):
            if len(values) and values[b] != plain:
                Xml.SubElement(band, name).text = repr(float(values[b]))
    options = Xml.SubElement(root, "PansharpeningOptions")
    Xml.SubElement(options, "Algorithm").text = "WeightedBrovey"
    weights = ",".join(repr(float(linear.matrix[0, b])) for b in shown)
    Xml.SubElement(Xml.SubElement(options, "AlgorithmOptions"), "Weights").text = weights
    Xml.SubElement(options, "Resampling").text = "Cubic"
    _source(options, "PanchroBand", pan, 1, place)
    for number, b in enumerate(shown):
        _source(options, "SpectralBand", cube, b + 1, place).set("dstBand", str(number + 1))
    return _text(root)
