"""Codes: the kinds of findings of a check, with severity and remedy."""

from __future__ import annotations

from typing import Literal, NamedTuple

from bandfuse.results.rasters import Finding

Severity = Literal["info", "warning", "decision"]


class Kind(NamedTuple):
    """How grave a finding of one code is, what it says, and what to do about it."""

    severity: Severity
    meaning: str
    remedy: str


TABLE = "Give the wavelengths with --wavelengths FILE, or write them down with check --fix OUT.vrt."


NONE = ""


FILL = (
    "If it means missing, say so with --nodata N (one value, or one per band), or in a file: check "
    "--fix OUT.vrt."
)


MASK = "If these pixels hold no data, leave them out with --mask, or declare it with --nodata N."


CODES: dict[str, Kind] = {
    "units-missing": Kind(
        "warning", "the wavelengths have no units; units are guessed from their size", TABLE
    ),
    "units-unknown": Kind(
        "warning",
        "the units are no known word; they are guessed from the size of the numbers",
        TABLE,
    ),
    "units-contradict": Kind(
        "warning", "the stated units do not fit the numbers, of wavelengths or of widths", TABLE
    ),
    "units-mixed": Kind("info", "bands have different units; each is read in its own", NONE),
    "units-not-length": Kind(
        "decision",
        "wavenumbers, frequencies or band numbers instead of wavelengths; they are not used",
        "Give wavelengths in nm or µm with --wavelengths FILE.",
    ),
    "units-converted": Kind(
        "info", "wavelengths are in µm or another unit; they are read as nm", NONE
    ),
    "list-length": Kind(
        "warning",
        "a list in the header does not have one entry per band; it is not used",
        "Correct the header, or give a table with --wavelengths FILE.",
    ),
    "decimal-commas": Kind(
        "warning", "numbers of a header's list have commas; they are read as decimal points", TABLE
    ),
    "entry-unreadable": Kind(
        "warning",
        "an entry of the header cannot be understood; it is not used",
        "Correct the header.",
    ),
    "axes-assumed": Kind(
        "warning",
        "an HDF5 or netCDF array without wavelengths; its first axis is taken as the bands",
        "Give --wavelengths FILE, whose length tells the axis; or write it with bands first.",
    ),
    "axes-found": Kind(
        "info",
        "the axis of the bands was found by their wavelengths",
        "Other programs may take another axis for bands: check --fix OUT.vrt writes a file that "
        "GDAL 3.8 or later reads as bandfuse does.",
    ),
    "rows-as-stored": Kind("info", "rows are read in the order in which they are stored", NONE),
    "rows-reversed": Kind(
        "warning",
        "rows are stored from south to north; they are read the other way",
        "Look whether other rasters have their rows so, too.",
    ),
    "header-beside": Kind(
        "warning",
        "an ENVI header stands beside a raster of another format; it is not used",
        "If it is of this raster, give it with --wavelengths FILE.",
    ),
    "stac-item": Kind("info", "wavelengths come from the STAC item beside the raster", NONE),
    "stac-item-unused": Kind(
        "warning",
        "the STAC item beside the raster does not have one entry for each band; it is not used",
        "Give the wavelengths with --wavelengths FILE.",
    ),
    "header-incomplete": Kind(
        "warning",
        "an ENVI header lacks interleave or data type; bsq or bytes are assumed",
        "Write what is missing into the header.",
    ),
    "imagery-rounded": Kind(
        "warning",
        "wavelengths come from GDAL's IMAGERY domain and are rounded to 1 nm",
        "Give exact wavelengths with --wavelengths FILE.",
    ),
    "wavelengths-impossible": Kind(
        "warning", "wavelengths are below 1 nm or above 1 cm; they are not used", TABLE
    ),
    "wavelengths-in-names": Kind("info", "wavelengths stand only in the band names", NONE),
    "wavelengths-missing": Kind(
        "warning", "some bands have no wavelength", "Give all of them with --wavelengths FILE."
    ),
    "wavelengths-even": Kind(
        "info",
        "all steps between wavelengths are equal and not round: they may be computed, not measured",
        "If they were made up from the ends, give the true ones with --wavelengths FILE.",
    ),
    "no-wavelengths": Kind(
        "info", "no band has a wavelength", "Give them with --wavelengths FILE if they are known."
    ),
    "unsorted": Kind("info", "wavelengths rise and fall", NONE),
    "descending": Kind("info", "wavelengths descend", NONE),
    "duplicate-wavelengths": Kind("info", "some wavelengths occur more than once", NONE),
    "detector-overlap": Kind(
        "info",
        "two detectors cover the same wavelengths",
        "Both are kept; train --overlap first, last or sharper picks one.",
    ),
    "other-encoding": Kind(
        "info",
        "names or tags are not in UTF-8; they are read as Latin-1",
        "Other programs may refuse them: write check --fix OUT.vrt for them.",
    ),
    "header-line-too-long": Kind(
        "warning",
        "a header line has over 10 000 characters; GDAL does not read what follows it",
        "Other programs lose it: write check --fix OUT.vrt for them.",
    ),
    "georeference-lost": Kind(
        "warning",
        "the same long line hides the position on the ground from GDAL",
        "Break the header's long line: lists may run over many lines.",
    ),
    "transform-unusable": Kind(
        "warning",
        "the transform gives pixels no position or no size; it is not used",
        "Give the file a transform: gdal_edit -a_ullr ULX ULY LRX LRY.",
    ),
    "file-ending": Kind(
        "info", "an ENVI file has no ending, or one that does not name the format", NONE
    ),
    "no-crs": Kind("info", "the file has no coordinate system", NONE),
    "no-transform": Kind("info", "the file has no position on the ground", NONE),
    "control-points": Kind(
        "info",
        "ground control points or RPCs give the position",
        "Fused rasters keep them. To align it with others, warp it first: gdalwarp.",
    ),
    "rotated": Kind("info", "the grid is rotated", NONE),
    "bad-bands": Kind("info", "bands are flagged bad; what they hold", NONE),
    "dead-bands": Kind(
        "warning",
        "bands hold no data and are not flagged",
        "train leaves them out. check --fix OUT.vrt flags them for other programs.",
    ),
    "nodata-declared": Kind("info", "a nodata value is declared; how many values hold it", NONE),
    "nodata-impossible": Kind(
        "warning",
        "the data type cannot hold the declared nodata value",
        "Declare one that is: check --nodata N --fix OUT.vrt.",
    ),
    "undeclared-fill": Kind(
        "decision",
        "a value is far from all others, or zeros fill all bands: it may mean missing",
        FILL,
    ),
    "zeros": Kind("warning", "some bands hold many zeros", MASK),
    "nan-values": Kind("info", "NaN counts as missing", NONE),
    "negative-values": Kind(
        "info",
        "values below zero may be noise around zero; they are valid",
        "They stay; use --mask if they are not meant.",
    ),
    "saturated-bands": Kind(
        "warning",
        "the greatest value is far more frequent than those below it",
        "Leave these bands out of the groups, or these pixels out with --mask.",
    ),
    "striped-bands": Kind(
        "warning",
        "columns or rows differ in level from their neighbours",
        "Leave these bands out of the groups, or correct the stripes first.",
    ),
    "scale-undeclared": Kind(
        "info",
        "large whole numbers without a declared scale",
        "If it is a scale, say so: check --scale 0.0001 --fix OUT.vrt.",
    ),
    "scale-mismatch": Kind(
        "decision",
        "values of scene and target differ by a factor above 30",
        "Declare the scale of one: check --scale X --fix OUT.vrt; or train with --gain.",
    ),
    "target-shifted": Kind(
        "warning",
        "the target is shifted against the scene; by how many columns and rows",
        "train --shift auto moves it.",
    ),
    "grids-differ": Kind(
        "warning",
        "scene and target have different grids",
        "Look whether they are what you mean to train on.",
    ),
    "crs-differ": Kind(
        "warning",
        "scene and target have different coordinate systems",
        "Look whether both are right.",
    ),
    "no-common-ground": Kind(
        "decision", "scene and target do not overlap", "Give a target of the same place."
    ),
    "gdal-warning": Kind(
        "warning",
        "GDAL warns when it opens the file: a tag is ignored, or the file was cut off",
        "If the file was cut off, copy or download it again; else see what is lost.",
    ),
    "target-without-crs": Kind(
        "warning",
        "only one of scene and target has a coordinate system",
        "Give both a coordinate system, or make sure that they show one place.",
    ),
    "reader": Kind("info", "a message of the product's reader", NONE),
}
"""Every code."""


def finding(code: str, message: str) -> Finding:
    """A finding of a code of :data:`CODES`."""
    return Finding(
        code=code, severity=CODES[code].severity, message=message, remedy=CODES[code].remedy
    )
