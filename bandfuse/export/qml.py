"""QML: a style beside a raster, by which QGIS shows it in natural colour.

QGIS does not look at the colours that bands are marked with: without a style it draws the first
three bands as red, green and blue. The form is that of QGIS 3 (``QgsMultiBandColorRenderer``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from xml.etree import ElementTree as Xml

import numpy as np

from bandfuse.errors import shorten
from bandfuse.files.styles import MARK, marked, style_name
from bandfuse.spectral.bands import Bands, Floats
from bandfuse.spectral.display import natural

CUT = (2.0, 98.0)
"""Percentiles of the values that are drawn darkest and brightest: QGIS's own for this stretch."""

Look = Callable[[Sequence[int]], Floats]
"""Gives a few pixels of some bands, (..., n) for n positions of bands; NaN where missing."""

Limits = tuple[float, float] | None
"""The values that are drawn darkest and brightest; None where no value is known."""


def beside(path: Path, bands: Bands, look: Look) -> dict[str, bytes]:
    """The style of a raster by its file's name, ``<stem>.qml``; nothing where its bands do not
    cover red, green and blue.

    Parameters
    ----------
    path : the raster. bands : its bands. look : gives some of its pixels, as QGIS reads them.

    Raises
    ------
    OutputError : the raster itself has the ending of a style.
    """
    name, positions = style_name(path), natural(bands)
    if positions is None:
        return {}
    pixels = look(positions).reshape(-1, len(positions))
    return {name: style(path, positions, [limits(values) for values in pixels.T])}


def limits(values: Floats) -> Limits:
    """The 2nd and the 98th percentile of the finite values; where these are one value, the extremes
    of the values, or a little below and above it.

    >>> limits(np.array([np.nan, *range(101)]))
    (2.0, 98.0)
    >>> limits(np.full(9, 0.5))
    (0.495, 0.505)
    >>> limits(np.full(9, np.nan)) is None
    True
    """
    known = values[np.isfinite(values)]
    if not len(known):
        return None
    low, high = (float(v) for v in np.percentile(known, CUT))
    if not low < high:
        low, high = float(known.min()), float(known.max())
    if not low < high:
        room = 0.01 * abs(low) or 1.0
        low, high = low - room, high + room
    return low, high


def style(path: Path, positions: Sequence[int], stretch: Sequence[Limits]) -> bytes:
    """The style's file: ``positions`` of the bands (from 0) that are red, green and blue, and the
    limits of each. Without limits QGIS draws values as they are. What is nodata in the raster stays
    transparent."""
    root = Xml.Element("qgis", {MARK: marked(path), "version": "3.22.0"})
    root.set("styleCategories", "Symbology")
    pipe = Xml.SubElement(root, "pipe")
    colours = ("red", "green", "blue")
    kind = {"type": "multibandcolor", "opacity": "1", "alphaBand": "-1", "nodataColor": ""}
    numbers = {f"{c}Band": str(i + 1) for c, i in zip(colours, positions, strict=True)}
    renderer = Xml.SubElement(pipe, "rasterrenderer", {**kind, **numbers})
    _add(renderer, "minMaxOrigin", _ORIGIN)
    for colour, ends in zip(colours, stretch, strict=True):
        if ends is not None:
            values = {"minValue": repr(ends[0]), "maxValue": repr(ends[1])}
            how = {**values, "algorithm": "StretchToMinimumMaximum"}
            _add(renderer, f"{colour}ContrastEnhancement", how)
    Xml.SubElement(root, "blendMode").text = "0"
    Xml.indent(root)
    text: str = Xml.tostring(root, encoding="unicode")
    return f"{text}\n".encode()


_ORIGIN = {
    "limits": "CumulativeCut",
    "extent": "WholeRaster",
    "statAccuracy": "Estimated",
    "cumulativeCutLower": f"{CUT[0] / 100:g}",
    "cumulativeCutUpper": f"{CUT[1] / 100:g}",
    "stdDevFactor": "2",
}
"""How the limits were found, as QGIS shows it beside them."""


def _add(parent: Xml.Element, name: str, texts: dict[str, str]) -> None:
    """An element of elements that hold texts."""
    made = Xml.SubElement(parent, name)
    for key, text in texts.items():
        Xml.SubElement(made, key).text = text


def unstyled(rasters: Iterable[tuple[str, Bands]]) -> list[str]:
    """Which rasters have no style beside them, and why."""
    names = [name for name, bands in rasters if natural(bands) is None]
    if not names:
        return []
    whose = "its" if len(names) == 1 else "their"
    return [
        f"no QGIS style is written for {shorten(names)}: {whose} bands do not cover red, green and "
        "blue by their wavelengths"
    ]
