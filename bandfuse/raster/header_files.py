"""Header files: what the files beside a raster say of its bands: its ENVI header, and the table
that a user gives."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import rasterio
from rasterio.errors import RasterioError
from rasterio.io import MemoryFile
from rasterio.shutil import copy as gdal_copy

from bandfuse.errors import InputError, MismatchError
from bandfuse.files.names import for_gdal
from bandfuse.files.textfile import HEADER, TABLE, bytes_of, readable
from bandfuse.raster.gdal import may_be_hdf5, quiet_hdf5, unplaced_quietly
from bandfuse.spectral.bands import Floats
from bandfuse.spectral.headers import (
    Stated,
    dropped,
    envi_list,
    envi_numbers,
    from_header,
    gdal_items,
    parse_header,
    parse_table,
)
from bandfuse.spectral.remarks import Remark

ASSUMED = {"interleave": "bsq", "byte_order": "0", "header_offset": "0", "data_type": "1"}
"""What GDAL takes for entries that it has not seen."""

PER_BAND = ("data_gain_values", "data_offset_values")
OF_ALL = ("data_ignore_value", "reflectance_scale_factor")
"""Entries of one number per band, and of one number."""

INTERLEAVES = ("bsq", "bil", "bip")
"""The orders of ENVI files. GDAL takes every other for the first."""


@dataclass(frozen=True)
class Said:
    """The texts of an open dataset: names of its bands, tags by band (0 is the dataset) and domain.

    ``latin`` tells that some are not UTF-8; rasterio cannot hand these out. They are read as
    Latin-1 then, from the VRT that GDAL writes for the dataset, in which they stand byte by byte.
    """

    names: tuple[str | None, ...]
    tags: Mapping[tuple[int, str], Mapping[str, str]]
    latin: bool = False

    def of(self, band: int = 0, domain: str = "") -> dict[str, str]:
        """The tags of a band, 0 for the dataset, in one domain."""
        return dict(self.tags.get((band, domain), {}))


DOMAINS = ("", "ENVI", "IMAGERY")
"""Where tags that matter stand."""


def said_by(ds: Any) -> Said:
    """The texts of an open dataset."""
    places = [
        (band, domain)
        for band in (0, *ds.indexes)
        for domain in DOMAINS
        if band == 0 or domain != "ENVI"
    ]
    try:
        return Said(
            ds.descriptions, {(band, domain): _tags(ds, band, domain) for band, domain in places}
        )
    except UnicodeDecodeError:
        return _from_vrt(ds)


def _tags(ds: Any, band: int, domain: str) -> dict[str, str]:
    found: dict[str, str] = ds.tags(band, ns=domain or None)
    return found


def _from_vrt(ds: Any) -> Said:
    """The texts of a dataset from its VRT; what is not UTF-8 is Latin-1."""
    try:
        root = vrt_over(ds)
    except ElementTree.ParseError as error:
        raise InputError(
            f"the names or tags of {ds.name} cannot be read", got=str(error)
        ) from error
    bands = root.findall("VRTRasterBand")
    tags = {
        (number, items.get("domain", "")): {
            str(item.get("key")): item.text or "" for item in items.findall("MDI")
        }
        for number, node in enumerate([root, *bands])
        for items in node.findall("Metadata")
    }
    return Said(tuple(band.findtext("Description") for band in bands), tags, latin=True)


def vrt_over(ds: Any) -> ElementTree.Element:
    """The VRT that GDAL writes for an open dataset.

    Raises
    ------
    ParseError : its texts make no XML.
    """
    with unplaced_quietly(), MemoryFile(ext=".vrt") as file:
        gdal_copy(ds, file.name, driver="VRT")
        return vrt_of(bytes(file.read()))


def vrt_of(content: bytes) -> ElementTree.Element:
    """The root of a VRT of GDAL: lines that are not UTF-8 are Latin-1, and characters that no XML
    may hold are blanks.

    Raises
    ------
    ParseError : it is no XML all the same.
    """
    text = "".join(readable(line) for line in content.splitlines(keepends=True))
    return ElementTree.fromstring(_NOT_XML.sub(" ", text))


_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
"""Characters that no XML may hold."""


@dataclass(frozen=True)
class Header:
    """The entries of a raster's ENVI header, those that GDAL lost by a line that is too long, and
    messages."""

    entries: Mapping[str, str] = field(default_factory=dict)
    lost: Mapping[str, str] = field(default_factory=dict)
    messages: tuple[Remark, ...] = ()

    def numbers(self, key: str, seen: Floats, unsaid: float) -> Floats:
        """(B,) numbers of an entry: one of every band, or one of all of them for a ``data ignore
        value``.

        The text of the header decides; ``seen``, what GDAL tells, counts where it does not come
        from the header but from a file beside it. A list of another length is not used: it leaves
        ``unsaid``."""
        text = self.entries.get(key)
        if text is None:
            return seen
        gdal = self._as_gdal(key, text, len(seen), unsaid)
        if not np.array_equal(gdal, seen, equal_nan=True):
            return seen
        found = envi_numbers(text, _count(key, len(seen)))
        fits = len(found) == _count(key, len(seen)) and np.isfinite(found).all()
        return np.broadcast_to(found if fits else unsaid, len(seen)).astype(np.float64)

    def _as_gdal(self, key: str, text: str, bands: int, unsaid: float) -> Floats:
        """(B,) what GDAL makes of an entry."""
        if key in self.lost:
            return np.full(bands, unsaid)
        items = [text] if _count(key, bands) == 1 else gdal_items(text)
        if len(items) not in (1, bands) or (len(items) == 1 != bands and key in PER_BAND):
            return np.full(bands, unsaid)
        return np.broadcast_to([_leading(item) for item in items], bands).astype(np.float64)

    def scale(self, seen: Floats) -> Floats:
        """(B,) what stored values are multiplied by: the gains of the bands, or one over the
        reflectance scale factor where nothing else is said."""
        gains = self.numbers("data_gain_values", seen, 1.0)
        factor = envi_numbers(self.entries.get("reflectance_scale_factor"), 1)
        said = "data_gain_values" in self.entries or (gains != 1).any()
        usable = len(factor) == 1 and factor[0] > 0
        return np.full(len(seen), 1 / factor[0]) if usable and not said else gains

    def odd_entries(self, bands: int) -> list[Remark]:
        """Remarks on entries that are not used, as they are no numbers or not one per band."""
        found = []
        for key in (*PER_BAND, *OF_ALL):
            text, count = self.entries.get(key), _count(key, bands)
            row = envi_numbers(text, count)
            if text is None or (len(row) == count and np.isfinite(row).all()):
                continue
            if key == "data_ignore_value" and NOT_FINITE.fullmatch(text.strip()):
                continue
            name = key.replace("_", " ")
            said = f"{name} = {text[:40]} in the ENVI header is not understood, and is not used"
            if len(row) != count:
                said = (
                    f"{name} in the ENVI header has {len(row)} items for {bands} bands, and is not "
                    "used"
                )
            found.append(Remark("list-length" if len(row) != count else "entry-unreadable", said))
        return found

    def names(self, seen: tuple[str | None, ...]) -> tuple[str | None, ...]:
        """The bands' names, where GDAL lost them."""
        items = envi_list(self.lost.get("band_names"), len(seen))
        return tuple(items) if len(items) == len(seen) and not any(seen) else seen

    def domain(self, seen: Mapping[str, str]) -> dict[str, str]:
        """The ENVI domain: the text of the header, and what GDAL says beyond it."""
        return {**seen, **self.entries}


NOT_FINITE = re.compile(r"[+-]?(nan|inf|infinity)", re.IGNORECASE)
"""What programs write of a fill value that is no finite number."""


def _count(key: str, bands: int) -> int:
    """How many numbers an entry should have."""
    return bands if key in PER_BAND else 1


def _leading(text: str) -> float:
    """A number as C reads it: as far as the text is one, else 0."""
    match = re.match(r"\s*[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?", text)
    return float(match[0]) if match else 0.0


def header_of(ds: Any, told: Said) -> Header:
    """The header of an open ENVI file, read as text; empty for other drivers, and for files that
    are not on this file system. Of a Zarr store, the names of the bands that bandfuse left there.

    Raises
    ------
    InputError : GDAL lost what it needs to read the pixels.
    """
    if ds.driver == "Zarr":
        return Header(lost={"band_names": told.of().get("band_names", "")})
    if ds.driver != "ENVI":
        return Header()
    path = next(
        (Path(f) for f in ds.files if f.lower().endswith(".hdr") and Path(f).is_file()), None
    )
    if path is None:
        return Header()
    text = readable(bytes_of(path, "an ENVI header", HEADER))
    entries = parse_header(text)
    lost, length = dropped(text)
    _require_readable(path, entries, lost, length)
    return Header(entries, lost, tuple(_header_remarks(path.name, entries, lost, length)))


def _require_readable(
    path: Path, entries: Mapping[str, str], lost: Mapping[str, str], length: int
) -> None:
    """GDAL must see what it needs to read the pixels."""
    kind = entries.get("interleave", "bsq")
    if kind.lower() not in INTERLEAVES:
        raise InputError(
            f"interleave of {path}",
            got=repr(kind[:40]),
            expected=", ".join(INTERLEAVES),
            remedy="GDAL would read it as bsq: correct the header.",
        )
    wrong = [
        f"{key.replace('_', ' ')} = {lost[key]}"
        for key, value in ASSUMED.items()
        if lost.get(key, value).lower() != value
    ]
    if wrong:
        raise InputError(
            f"{path} has a line of {length} characters, and GDAL loses what follows it",
            got=", ".join(wrong),
            expected="lines of at most 10000 characters",
            remedy="Break the line: lists may run over many lines.",
        )


def _header_remarks(
    name: str, entries: Mapping[str, str], lost: Mapping[str, str], length: int
) -> Iterator[Remark]:
    """What a user should know of an ENVI header; ``length`` of a line that is too long, or 0."""
    if length:
        what = ", ".join(key.replace("_", " ") for key in lost) or "nothing"
        said = f"{name} has a line of {length} characters: GDAL loses {what}; read from its text"
        yield Remark("header-line-too-long", said)
    placed = [
        key.replace("_", " ") for key in ("map_info", "coordinate_system_string") if key in lost
    ]
    if placed:
        said = f"GDAL loses {' and '.join(placed)} of {name}: it has no place on the ground"
        yield Remark("georeference-lost", said)
    unsaid = [key for key in ("interleave", "data_type") if key not in entries]
    if unsaid:
        took = ", ".join(f"{key.replace('_', ' ')} = {ASSUMED[key]}" for key in unsaid)
        text = f"{name} does not say all that pixels need; read as {took}"
        yield Remark("header-incomplete", text)


def said(path: str) -> tuple[Header, str | None]:
    """The ENVI header of a file, and the unit that the first band's tags or the dataset's give for
    wavelengths; empty where GDAL does not open the file as it stands."""
    if may_be_hdf5(path):
        quiet_hdf5()
    try:
        with unplaced_quietly(), rasterio.open(for_gdal(path)) as ds:
            found = said_by(ds)
            header = header_of(ds, found)
            tags = {**found.of(), **header.domain(found.of(0, "ENVI")), **found.of(1)}
    except (RasterioError, UnicodeError):
        return Header(), None
    words = ("wavelength_units", "wavelength_unit")
    return header, next((v for k, v in tags.items() if k.lower().replace(" ", "_") in words), None)


def given_table(path: str | Path, count: int | None, raster: str) -> Stated:
    """What a user's file says of the bands of a raster: an ENVI header, or a table. ``count``: how
    many bands there are; None where the table is to tell it.

    Raises
    ------
    InputError : it cannot be read.
    MismatchError : it is of another number of bands.
    """
    if not os.path.lexists(path):
        raise InputError(f"{path} does not exist", expected="a file with wavelengths")
    text = readable(bytes_of(path, "a file with wavelengths", TABLE)).removeprefix("\ufeff")
    envi = Path(path).suffix.lower() == ".hdr" or text.lstrip().startswith("ENVI")
    found = (from_header if envi else parse_table)(text, str(path))
    if count is not None and len(found.wavelength) != count:
        raise MismatchError(
            f"{path} does not fit {raster}",
            got=f"{len(found.wavelength)} wavelengths",
            expected=f"{count}, one per band",
        )
    return found
