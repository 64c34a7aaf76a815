"""Codes: the kinds of findings of a check, with severity and remedy."""

from __future__ import annotations

from typing import Literal, NamedTuple

from bandfuse.results import Finding

Severity = Literal["info", "warning", "decision"]


class Kind(NamedTuple):
    """How grave a finding of one code is, and what to do about it."""

    severity: Severity
    remedy: str


TABLE = "Give the wavelengths with --wavelengths FILE, or write them down with check --fix OUT.vrt."


NONE = ""


FILL = (
    "If it means missing, say so with --nodata N (one value, or one per band), or in a file: check "
    "--fix OUT.vrt."
)


MASK = "If these pixels hold no data, leave them out with --mask, or declare it with --nodata N."


CODES: dict[str, Kind] = {
    "units-missing": Kind("warning", TABLE),
    "units-unknown": Kind("warning", TABLE),
    "units-contradict": Kind("warning", TABLE),
    "units-mixed": Kind("info", NONE),
    "units-not-length": Kind("decision", "Give wavelengths in nm or µm with --wavelengths FILE."),
    "units-converted": Kind("info", NONE),
    "list-length": Kind("warning", "Correct the header, or give a table with --wavelengths FILE."),
    "decimal-commas": Kind("warning", TABLE),
    "entry-unreadable": Kind("warning", "Correct the header."),
    "axes-assumed": Kind(
        "warning",
        "Give --wavelengths FILE, whose length tells the axis; or write it with bands first.",
    ),
    "axes-found": Kind("info", NONE),
    "rows-as-stored": Kind("info", NONE),
    "rows-reversed": Kind("warning", "Look whether other rasters have their rows so, too."),
    "header-beside": Kind("warning", NONE),
    "header-incomplete": Kind("warning", "Write what lacks into the header."),
    "imagery-rounded": Kind("warning", "Give exact wavelengths with --wavelengths FILE."),
    "wavelengths-impossible": Kind("warning", TABLE),
    "wavelengths-in-names": Kind("info", NONE),
    "wavelengths-missing": Kind("warning", "Give all of them with --wavelengths FILE."),
    "wavelengths-even": Kind(
        "info", "If they were made up from the ends, give the true ones with --wavelengths FILE."
    ),
    "no-wavelengths": Kind("info", "Give them with --wavelengths FILE if they are known."),
    "unsorted": Kind("info", NONE),
    "descending": Kind("info", NONE),
    "duplicate-wavelengths": Kind("info", NONE),
    "detector-overlap": Kind(
        "info", "Both are kept; train --overlap first, last or sharper picks one."
    ),
    "other-encoding": Kind(
        "info", "Other programs may refuse them: write check --fix OUT.vrt for them."
    ),
    "header-line-too-long": Kind(
        "warning", "Other programs lose it: write check --fix OUT.vrt for them."
    ),
    "georeference-lost": Kind(
        "warning", "Break the header's long line: lists may run over many lines."
    ),
    "transform-unusable": Kind(
        "warning", "Give the file a transform: gdal_edit -a_ullr ULX ULY LRX LRY."
    ),
    "file-ending": Kind("info", NONE),
    "no-crs": Kind("info", NONE),
    "no-transform": Kind("info", NONE),
    "control-points": Kind(
        "info", "Fused rasters keep them. To align it with others, warp it first: gdalwarp."
    ),
    "rotated": Kind("info", NONE),
    "bad-bands": Kind("info", NONE),
    "dead-bands": Kind(
        "warning", "train leaves them out. check --fix OUT.vrt flags them for other programs."
    ),
    "nodata-declared": Kind("info", NONE),
    "nodata-impossible": Kind("warning", "Declare one that is: check --nodata N --fix OUT.vrt."),
    "undeclared-fill": Kind("decision", FILL),
    "zeros": Kind("warning", MASK),
    "nan-values": Kind("info", NONE),
    "negative-values": Kind("info", "They stay; use --mask if they are not meant."),
    "saturated-bands": Kind(
        "warning", "Leave these bands out of the groups, or these pixels out with --mask."
    ),
    "striped-bands": Kind(
        "warning", "Leave these bands out of the groups, or correct the stripes first."
    ),
    "scale-undeclared": Kind(
        "info", "If it is a scale, say so: check --scale 0.0001 --fix OUT.vrt."
    ),
    "scale-mismatch": Kind(
        "decision", "Declare the scale of one: check --scale X --fix OUT.vrt; or train with --gain."
    ),
    "target-shifted": Kind("warning", "train --shift auto moves it."),
    "grids-differ": Kind("warning", "Look whether they are what you mean to train on."),
    "crs-differ": Kind("warning", "Look whether both are right."),
    "no-common-ground": Kind("decision", "Give a target of the same place."),
    "gdal-warning": Kind(
        "warning", "If the file was cut off, copy or download it again; else see what is lost."
    ),
    "target-without-crs": Kind(
        "warning", "Give both a coordinate system, or make sure that they show one place."
    ),
    "reader": Kind("info", NONE),
}
"""Every code."""


def finding(code: str, message: str) -> Finding:
    """A finding of a code of :data:`CODES`."""
    return Finding(
        code=code, severity=CODES[code].severity, message=message, remedy=CODES[code].remedy
    )
