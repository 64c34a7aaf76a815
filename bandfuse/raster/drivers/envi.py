"""ENVI: a raw file and a header, which GDAL writes not quite right."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bandfuse.raster.band_tags import number_lists, plain_names
from bandfuse.raster.drivers.driver import Driver, NewRaster
from bandfuse.spectral.bands import Bands


class Envi(Driver):
    """Wavelengths stand in the header too, and the header is put right at the end."""

    coloured = True

    def describe(self, ds: Any, new: NewRaster) -> None:
        """The lists of the header, and the tags of the bands."""
        ds.update_tags(ns="ENVI", **envi_tags(new.bands))
        super().describe(ds, new)

    def finish(self, new: NewRaster) -> None:
        """Put the header right."""
        tidy_header(new.path, new.bands)


def envi_tags(bands: Bands) -> dict[str, str]:
    """The lists of an ENVI header, one item a line: GDAL reads no line of more than 10 000
    characters. A number that is unknown is ``nan``."""
    tags = {"bbl": _envi_list("1" if good else "0" for good in bands.good)}
    for key, numbers in number_lists(bands).items():
        tags |= {key: _envi_list(numbers), "wavelength_units": "Nanometers"}
    return tags


def _envi_list(items: Iterable[str]) -> str:
    return "{\n" + ",\n".join(items) + "}"


def tidy_header(path: Path, bands: Bands) -> None:
    """Put right what GDAL writes into an ENVI header: names with commas and braces, which would
    break the list, lists in one line, and the path at which the file was made. Full names stand
    in the ``.aux.xml``."""
    places = (path.with_suffix(".hdr"), path.with_name(f"{path.name}.hdr"))
    header = next((p for p in places if p.is_file()), None)
    if header is None:
        return
    text = header.read_text(encoding="utf-8")
    title = path.name.translate(str.maketrans("{}", "()"))
    numbers = re.compile(r"^data (?:gain|offset) values = \{.*\}$", re.MULTILINE)
    text = numbers.sub(lambda line: line[0].replace(", ", ",\n"), text)
    for key, written, right in (
        ("band names", _envi_list(bands.name), _envi_list(plain_names(bands))),
        ("description", f"{{\n{path}}}", f"{{\n{title}}}"),
    ):
        text = text.replace(f"{key} = {written}", f"{key} = {right}")
    header.write_text(text, encoding="utf-8")
