"""GDAL: how it fails, what it says while it works, and what its drivers say of themselves."""

from __future__ import annotations

import ctypes
import logging
import os
import re
import sys
import threading
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import rasterio
import rasterio.shutil
from rasterio.crs import CPLE_BaseError
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from bandfuse.files.textfile import readable

CACHE = {"GDAL_CACHEMAX": 128 * 2**20, "CPL_VSIL_GZIP_WRITE_PROPERTIES": "NO"}
"""GDAL's block cache, in bytes, is kept small: windows follow the stored blocks, so each is read
once. And GDAL leaves nothing beside a compressed file that it reads."""

GDAL_ERRORS = (RasterioError, CPLE_BaseError, OSError, UnicodeError)
"""What rasterio raises when GDAL fails. Some of GDAL's own errors pass through it as they are:
rasterio documents no name of theirs, but ``rasterio.crs`` has it. And messages that are not UTF-8
do not pass through it."""

GDAL_TYPES = {
    "uint8": "Byte",
    "int8": "Int8",
    "uint16": "UInt16",
    "int16": "Int16",
    "uint32": "UInt32",
    "int32": "Int32",
    "float32": "Float32",
    "float64": "Float64",
}
"""What GDAL calls types of pixels, by numpy's names."""

LONGEST = 400
"""Characters of a message of GDAL that are shown."""


_FILTERS = threading.RLock()


@contextmanager
def unplaced_quietly() -> Iterator[None]:
    """Within, nothing is said of rasters that tell no place. One thread at a time: the filters of
    warnings belong to all of them, and would be put back by one while another needs them. What
    changes the filters itself, as rasterio does where it burns polygons, belongs in here, too."""
    with _FILTERS, warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


def reason(error: BaseException) -> str:
    """GDAL's own words, from the deepest cause."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = readable(error.object) if isinstance(error, UnicodeDecodeError) else str(error)
    text = _PROJJSON.sub(r"\1", " ".join(text.split()))
    return text.rstrip(".")[:LONGEST] or type(error).__name__


_PROJJSON = re.compile(r'\{ *"\$schema".*?"name": *"([^"]*)".*?(?=\' to \'|$)')
"""A CRS as PROJ writes it out in its messages; its name is enough."""


class Heard(logging.Handler):
    """Keeps what GDAL says in one thread: warnings, and errors after which it goes on."""

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self._thread = threading.get_ident()
        self.warnings: list[str] = []
        self.errors: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Sort a record of rasterio's: it logs an error as a number and a text, below a warning."""
        if record.thread != self._thread:
            return
        match record.args:
            case (int(), str(text)):
                self.errors.append(text)
            case (str(), str(text)) if record.levelno >= logging.WARNING:
                self.warnings.append(text.strip())
            case _ if record.levelno >= logging.WARNING:
                self.warnings.append(record.getMessage().strip())

    def forget(self) -> None:
        """Forget what was said until now."""
        self.warnings.clear()
        self.errors.clear()

    def warnings_of(self, options: Iterable[str]) -> list[str]:
        """The warnings that name one of these creation options."""
        names = [re.compile(rf"\b{re.escape(name)}\b", re.IGNORECASE) for name in options]
        return [text for text in self.warnings if any(name.search(text) for name in names)]

    def first_error(self, otherwise: str) -> str:
        """The first error, in one line."""
        return " ".join((self.errors[0] if self.errors else otherwise).split())


@contextmanager
def heard(*, errors: bool = False) -> Iterator[Heard]:
    """What GDAL says within: warnings, as of a file that is cut off; ``errors``: errors too."""
    logger = logging.getLogger("rasterio")
    level = logger.level
    handler = Heard(logging.INFO if errors else logging.WARNING)
    logger.addHandler(handler)
    if errors:
        logger.setLevel(logging.INFO)
    try:
        yield handler
    finally:
        logger.removeHandler(handler)
        if errors:
            logger.setLevel(level)


def told(driver: str, key: str) -> str:
    """What a driver says of itself, by the key of GDAL's metadata; empty where it says nothing.

    rasterio has no function for that. GDAL's own is public: it is called in the library that
    rasterio's modules are linked to. Where the loader cannot find it by such a module (Windows),
    nothing is told, and GDAL alone checks.
    """
    library = ctypes.CDLL(rasterio.shutil.__file__)
    if not hasattr(library, "GDALGetMetadataItem"):
        return ""
    library.GDALGetDriverByName.restype = ctypes.c_void_p
    library.GDALGetDriverByName.argtypes = [ctypes.c_char_p]
    library.GDALGetMetadataItem.restype = ctypes.c_char_p
    library.GDALGetMetadataItem.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p]
    with rasterio.Env():
        handle = library.GDALGetDriverByName(driver.encode())
        text = library.GDALGetMetadataItem(handle, key.encode(), None) if handle else None
    return text.decode() if text else ""


HDF5 = b"\x89HDF\r\n\x1a\n"
"""How every HDF5 file begins (HDF5 File Format Specification, III.A)."""


def may_be_hdf5(name: str) -> bool:
    """Whether GDAL may use the HDF5 library for what it opens: an HDF5 file, or what is no plain
    file (a subdataset, a remote or packed file, a VRT)."""
    if name.lower().endswith((".vrt", ".zip", ".tar")):
        return True
    try:
        if not os.path.isfile(name):
            return True
        with open(name, "rb") as stream:
            return stream.read(len(HDF5)) == HDF5
    except (OSError, ValueError):
        return True


def quiet_hdf5() -> None:
    """Turn off what the HDF5 library under GDAL prints to stderr by itself; GDAL tells its errors.

    HDF5 keeps its reports by thread where it is built for threads, and by process elsewhere: this
    must be called in each thread that opens or reads files. Where no library is found, as GDAL is
    built without HDF5, nothing is done.
    """
    if getattr(_QUIET, "done", False):
        return
    _QUIET.done = True
    with _ONE_AT_A_TIME:
        library = _hdf5()
        if library is not None:
            library.H5Eset_auto2.argtypes = [ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p]
            library.H5Eset_auto2(0, None, None)


_QUIET = threading.local()
_ONE_AT_A_TIME = threading.Lock()


@cache
def _hdf5() -> ctypes.CDLL | None:
    """The HDF5 library under GDAL: one that rasterio's modules are linked to, or, where the loader
    does not look through those (Windows) or GDAL loads it later (a plugin), the one beside them."""
    beside = Path(rasterio.__file__).parent.parent / "rasterio.libs"
    prefix = Path(sys.prefix)
    places = [
        Path(rasterio.shutil.__file__),
        *sorted(beside.glob("*hdf5-*.dll")),
        prefix / "Library/bin/hdf5.dll",
        prefix / "lib/libhdf5.so",
        prefix / "lib/libhdf5.dylib",
    ]
    for place in places:
        with suppress(OSError):
            library = ctypes.CDLL(str(place)) if place.is_file() else None
            if library is not None and hasattr(library, "H5Eset_auto2"):
                return library
    return None


def gdal_version() -> str:
    """The version of the GDAL that reads and writes."""
    return str(rasterio.__gdal_version__)
