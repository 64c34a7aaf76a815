"""Styles: which raster a QGIS style beside it was written for, so that styles of users are kept."""

from __future__ import annotations

from pathlib import Path

from bandfuse.errors import OutputError
from bandfuse.files.names import href

ENDING = ".qml"
"""QGIS takes the style ``NAME.qml`` for the raster ``NAME.tif``, whatever the raster's ending."""

MARK = "bandfuse"
"""The first attribute of a style that bandfuse wrote: its value is :func:`marked`. QGIS passes over
it, and leaves it out of the styles that it writes itself."""

HEAD = 4096
"""Bytes at the start of a style that hold the mark."""


def style_name(path: Path) -> str:
    """The name of the style of a raster.

    Raises
    ------
    OutputError : the raster itself has the ending of a style.
    """
    if path.suffix.lower() == ENDING:
        raise OutputError(
            f"{path.name} cannot have a style beside it",
            got=f"a raster with the ending of styles, {path.suffix}",
            expected="another name for the output, such as fused.tif",
            remedy="Choose another ending, or leave --style out.",
        )
    return f"{path.stem}{ENDING}"


def marked(path: Path) -> str:
    """How a style names its raster: escaped as in a link, so that it is plain text in XML."""
    return href(path.name)


def is_style_of(place: Path, path: Path | None = None) -> bool:
    """Whether a file is a style that bandfuse wrote for a raster, or for any raster."""
    if place.suffix != ENDING or not place.is_file():
        return False
    if path is not None and place.name != f"{path.stem}{ENDING}":
        return False
    with place.open("rb") as file:
        head = file.read(HEAD)
    mark = f'<qgis {MARK}="' if path is None else f'<qgis {MARK}="{marked(path)}"'
    return mark.encode() in head
