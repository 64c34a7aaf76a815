"""Names: files as GDAL, a VRT and a link need them, whatever characters they hold."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import quote, unquote

_TAKEN = re.compile(r"[:{<]")
"""What marks a URL, a subdataset, a JSON or XML text for GDAL and rasterio. ``http:x.tif`` may be a
file, too."""


def for_gdal(name: str) -> str:
    """The name by which GDAL opens a file: its full path where the name alone would be taken for
    something else."""
    if _TAKEN.search(name) and not os.path.isabs(name) and os.path.exists(name):
        return os.path.abspath(name)
    return name


def from_vrt(path: str, vrt: Path) -> tuple[str, bool]:
    """A local file as a VRT names its source, and whether that is relative to the VRT.

    Folders are resolved, as ``..`` leads out of what a link points to. Names are not, as a header
    goes by its name. It is the full path where there is no other from the VRT's folder (another
    drive of Windows), and where GDAL would look for that folder elsewhere: it takes any ``\\`` for
    the end of a folder's name.
    """
    source = Path(path).parent.resolve() / Path(path).name
    folder = vrt.parent.resolve()
    if os.sep != "\\" and "\\" in str(folder / vrt.name):
        return str(source), False
    try:
        found = os.path.relpath(source, folder)
    except ValueError:
        return str(source), False
    # GDAL leaves out blanks at the start, and takes C:\ and \ for full paths on all systems.
    odd = re.match(r"\s|\\|.*:", found, re.DOTALL)
    return (os.path.join(os.curdir, found) if odd else found), True


def href(path: str) -> str:
    """A relative path as a link: parts divided by ``/``, all else escaped as RFC 3986 has it.

    >>> href("a b#1.tif")
    'a%20b%231.tif'
    """
    return quote(path.replace(os.sep, "/"))


def linked(text: str, folder: Path) -> str:
    """What a link in a file names, as a path from the file's folder; URLs stay as they are.

    Some writers do not escape: where a file has the very text as its name, that file is meant.
    """
    plain = text if "://" in text or text.startswith("/vsi") else unquote(text)
    return text if plain == text or os.path.exists(folder / text) else plain
