"""Metadata: findings about what a file says of itself, without its pixels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bandfuse.checks.codes import finding
from bandfuse.checks.fill import named, numbers
from bandfuse.checks.subject import Check, Subject
from bandfuse.errors import shorten
from bandfuse.results.rasters import Finding
from bandfuse.spectral.bands import Floats
from bandfuse.spectral.detectors import order_remarks, overlaps
from bandfuse.spectral.headers import envi_list
from bandfuse.spectral.metadata import named_wavelengths
from bandfuse.spectral.remarks import Remark
from bandfuse.spectral.units import UNITS_NM, number, spelling


def _messages(s: Subject) -> Iterator[Finding]:
    """What reading the metadata had to guess, and what it lost."""
    for message in s.raster.messages:
        yield finding(message.code if isinstance(message, Remark) else "reader", message)


def _wavelengths(s: Subject) -> Iterator[Finding]:
    bands = s.raster.bands
    known = np.isfinite(bands.wavelength_nm)
    if not known.any():
        yield finding("no-wavelengths", f"no wavelengths are known for the {len(bands)} bands")
        return
    if not known.all():
        lacking = named(np.flatnonzero(~known))
        yield finding("wavelengths-missing", f"{lacking} have no wavelength")
    factor = UNITS_NM.get(spelling(s.unit), 1.0)
    if factor != 1.0 and not any(
        isinstance(m, Remark) and m.code == "units-contradict" for m in s.raster.messages
    ):
        yield finding("units-converted", f"wavelengths are in {s.unit}, and are read as nm")
    names = envi_list(s.header.entries.get("band_names"))
    coded = {m.code for m in s.raster.messages if isinstance(m, Remark)}
    listed = "wavelength" in s.header.entries or "wavelengths-in-names" in coded
    if names and not listed and named_wavelengths(names) is not None:
        yield finding(
            "wavelengths-in-names",
            "the header has no list of wavelengths: they stand in the band names",
        )
    yield from (finding(r.code, r) for r in order_remarks(bands))
    both = [(bands.wavelength_nm[[*one, *other]], one, other) for one, other in overlaps(bands)]
    if both:
        places = [
            f"{nm.min():.1f}-{nm.max():.1f} nm ({numbers(a)} and {numbers(b)})" for nm, a, b in both
        ]
        yield finding(
            "detector-overlap", f"two detectors see the same wavelengths: {shorten(places, 4)}"
        )
    if _is_even(bands.wavelength_nm[known]):
        step = float(np.mean(np.diff(bands.wavelength_nm[known])))
        yield finding("wavelengths-even", f"all steps between wavelengths are equal, {step:.3f} nm")


def _is_even(nm: Floats) -> bool:
    """Whether wavelengths lie on a line to within what two decimals leave open, though the step is
    no round number."""
    if len(nm) < 20:
        return False
    line = np.linspace(nm[0], nm[-1], len(nm))
    step = (nm[-1] - nm[0]) / (len(nm) - 1)
    return bool(np.abs(nm - line).max() <= 0.011) and abs(step * 2 - round(step * 2)) > 1e-3


def _file(s: Subject) -> Iterator[Finding]:
    path = Path(s.raster.path)
    if s.raster.driver == "ENVI" and path.suffix.lower() not in (
        ".bsq",
        ".bil",
        ".bip",
        ".img",
        ".dat",
        ".envi",
    ):
        what = f"the ending {path.suffix}" if path.suffix else "no ending"
        yield finding("file-ending", f"an ENVI file with {what}: it is known by its header")


def _place(s: Subject) -> Iterator[Finding]:
    control, t = s.raster.control, s.raster.transform
    if control:
        crs = control.crs.to_string() if control.crs else "an unknown CRS"
        known = [f"{len(control.points)} ground control points in {crs}"] if control.points else []
        known += [] if control.rpcs is None else ["RPCs"]
        yield finding("control-points", f"its place on the ground is told by {' and '.join(known)}")
    elif s.raster.crs is None:
        yield finding("no-crs", "no coordinate system is declared")
    if t.is_identity and not control:
        yield finding(
            "no-transform", "rows and columns have no place on the ground (identity transform)"
        )
    elif t.b or t.d:
        turn = np.degrees(np.arctan2(t.d, t.a))
        yield finding(
            "rotated", f"the grid is turned by {turn:.1f}°; the transform is used, not the map info"
        )


def _nodata(s: Subject) -> Iterator[Finding]:
    values = s.raster.nodata[np.isfinite(s.raster.nodata)]
    lost = number(s.header.entries.get("data_ignore_value"))
    if not len(values) and np.isfinite(lost):
        yield finding(
            "nodata-impossible",
            f"nodata {lost:g} is declared, which {s.raster.dtypes[0]} cannot hold",
        )
    if not len(values):
        return
    said_so = shorten(f"{v:g}" for v in np.unique(values))
    integers = [np.iinfo(d) for d in s.raster.dtypes if np.dtype(d).kind != "f"]
    if any(
        not (i.min <= v <= i.max and v == round(v))
        for i, v in zip(integers, s.raster.nodata, strict=False)
        if v == v
    ):
        yield finding(
            "nodata-impossible",
            f"nodata {said_so} is declared, which {s.raster.dtypes[0]} cannot hold",
        )
        return
    exact = np.array(s.raster.exact or s.raster.nodata, dtype=object)
    counts = [
        int((p.stored[i] == v).sum())
        for p in s.look.parts
        for i, v in enumerate(exact)
        if v is not None
    ]
    share = sum(counts) / max(1, s.look.looked * len(s.raster.bands))
    held = f"{100 * share:.1f} % of the values" if share else "none of the values"
    yield finding("nodata-declared", f"nodata {said_so} is declared; {held} looked at hold it")


OF_METADATA: tuple[Check, ...] = (_messages, _wavelengths, _file, _place, _nodata)
"""Checks of what a file says of itself. A new check is a function here, with its codes in
``codes``."""

METADATA_OF_SCENES: tuple[Check, ...] = (_wavelengths,)
"""Those that are asked of scenes only, not of targets."""
