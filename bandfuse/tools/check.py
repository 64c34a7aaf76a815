"""Check: what is odd about a scene, and about a target beside it. Each finding has a code, a severity and a remedy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from bandfuse.spectral.bands import Floats
from bandfuse.errors import ConfigError, MismatchError, UsageError, shorten
from bandfuse.spectral.headers import envi_list
from bandfuse.spectral.metadata import named_wavelengths
from bandfuse.needs import require_meaning
from bandfuse.spectral.detectors import order_remarks, overlaps
from bandfuse.files.whole import Seen, check_file, lent, whole_files
from bandfuse.raster import Header, Raster, cut, declared, describe, on_one_grid, said, same_table, write_fixed
from bandfuse.spectral.remarks import Remark
from bandfuse.results import CheckResult, Finding
from bandfuse.scenes.scene import MAIN, Place, open_scene
from bandfuse.checks.fill import named, numbers, standing
from bandfuse.checks.look import SIDE, Peek, peek
from bandfuse.scenes.alignment import estimate_shift
from bandfuse.spectral.units import UNITS_NM, number, spelling

Severity = Literal["info", "warning", "decision"]


class Kind(NamedTuple):
    """How grave a finding of one code is, and what to do about it."""

    severity: Severity
    remedy: str


TABLE = "Give the wavelengths with --wavelengths FILE, or write them down with check --fix OUT.vrt."
NONE = ""
FILL = "If it means missing, say so with --nodata N (one value, or one per band), or in a file: check --fix OUT.vrt."
MASK = "If these pixels hold no data, leave them out with --mask, or declare it with --nodata N."

CODES: dict[str, Kind] = {
    "units-missing": Kind("warning", TABLE),
    "units-unknown": Kind("warning", TABLE),
    "units-contradict": Kind("warning", TABLE),
    "units-mixed": Kind("info", NONE),
    "units-not-length": Kind("decision", "Give wavelengths in nm or µm with --wavelengths FILE."),
    "units-converted": Kind("info", NONE),
    "list-length": Kind("warning", "Mend the header, or give a table with --wavelengths FILE."),
    "axes-assumed": Kind("warning", "If bands are last (NEON's are), write it as GeoTIFF or ENVI with bands first."),
    "header-incomplete": Kind("warning", "Write what lacks into the header."),
    "imagery-rounded": Kind("warning", "Give exact wavelengths with --wavelengths FILE."),
    "wavelengths-impossible": Kind("warning", TABLE),
    "wavelengths-in-names": Kind("info", NONE),
    "wavelengths-missing": Kind("warning", "Give all of them with --wavelengths FILE."),
    "wavelengths-even": Kind("info", "If they were made up from the ends, give the true ones with --wavelengths FILE."),
    "no-wavelengths": Kind("info", "Give them with --wavelengths FILE if they are known."),
    "unsorted": Kind("info", NONE),
    "descending": Kind("info", NONE),
    "duplicate-wavelengths": Kind("info", NONE),
    "detector-overlap": Kind("info", "Both are kept; train --overlap first, last or sharper picks one."),
    "other-encoding": Kind("info", "Other programs may refuse them: write check --fix OUT.vrt for them."),
    "header-line-too-long": Kind("warning", "Other programs lose it: write check --fix OUT.vrt for them."),
    "georeference-lost": Kind("warning", "Break the header's long line: lists may run over many lines."),
    "transform-unusable": Kind("warning", "Give the file a transform: gdal_edit -a_ullr ULX ULY LRX LRY."),
    "file-ending": Kind("info", NONE),
    "no-crs": Kind("info", NONE),
    "no-transform": Kind("info", NONE),
    "control-points": Kind("info", "Fused rasters keep them. To align it with others, warp it first: gdalwarp."),
    "rotated": Kind("info", NONE),
    "bad-bands": Kind("info", NONE),
    "dead-bands": Kind("warning", "train leaves them out. check --fix OUT.vrt flags them for other programs."),
    "nodata-declared": Kind("info", NONE),
    "nodata-impossible": Kind("warning", "Declare one that is: check --nodata N --fix OUT.vrt."),
    "undeclared-fill": Kind("decision", FILL),
    "zeros": Kind("warning", MASK),
    "nan-values": Kind("info", NONE),
    "negative-values": Kind("info", "They stay; use --mask if they are not meant."),
    "saturated-bands": Kind("warning", "Leave these bands out of the groups, or these pixels out with --mask."),
    "striped-bands": Kind("warning", "Leave these bands out of the groups, or correct the stripes first."),
    "scale-undeclared": Kind("info", "If it is a scale, say so: check --scale 0.0001 --fix OUT.vrt."),
    "scale-mismatch": Kind(
        "decision", "Declare the scale of one: check --scale X --fix OUT.vrt; or train with --gain."
    ),
    "target-shifted": Kind("warning", "train --shift auto moves it."),
    "grids-differ": Kind("warning", "Look whether they are what you mean to train on."),
    "crs-differ": Kind("warning", "Look whether both are right."),
    "no-common-ground": Kind("decision", "Give a target of the same place."),
    "gdal-warning": Kind("warning", "If the file was cut off, copy or download it again; else see what is lost."),
    "target-without-crs": Kind("warning", "Give both a coordinate system, or make sure that they show one place."),
    "reader": Kind("info", NONE),
}
"""Every code."""


def finding(code: str, message: str) -> Finding:
    """A finding of a code of :data:`CODES`."""
    return Finding(code=code, severity=CODES[code].severity, message=message, remedy=CODES[code].remedy)


@dataclass(frozen=True, eq=False)
class Subject:
    """One raster under the lens: its description, the look at its pixels, and what its texts say."""

    raster: Raster
    look: Peek
    header: Header
    unit: str | None


def check(
    scene: str,
    target: str | None = None,
    *,
    wavelengths: str | None = None,
    nodata: str | None = None,
    scale: float | None = None,
    fix: str | None = None,
    overwrite: bool = False,
    seed: int = 0,
) -> CheckResult:
    """Look for what is odd about a scene and a target, in their metadata and in a bounded look at their pixels.

    Parameters
    ----------
    wavelengths : file that says more of the scene's bands. nodata (one stored value, one per band between commas, or
        none), scale : taken for declared.
    fix : VRT to write, with the scene's metadata as bandfuse understands it.

    Raises
    ------
    InputError, MismatchError, ConfigError, OutputError
    """
    require_meaning({"scale": scale, "overwrite": overwrite}, "fix", fix)
    raster = _declared(describe(scene, MAIN, wavelengths), nodata, scale)
    paths = [Path(p) for p in (raster.path, *raster.files)]
    seen = None if fix is None else _check_fix(Path(fix), paths, overwrite=overwrite)
    one = _subject(raster, seed)
    other = None if target is None else _subject(describe(target, "target"), seed)
    found = [f for ask in SINGLE for f in ask(one)]
    if other is not None:
        found += [_of(other, f) for ask in SINGLE if ask not in SCENE_ONLY for f in ask(other)]
        found += [f for ask in PAIRS for f in ask(one, other)]
    if fix is not None:
        _fix(Path(fix), one, paths, seen)
    both = [one] if other is None else [one, other]
    return CheckResult(
        scene=scene,
        target=target,
        findings=sorted(found, key=lambda f: ("decision", "warning", "info").index(f.severity)),
        looked=[s.look.looked for s in both],
        pixels=[s.raster.rows * s.raster.cols for s in both],
        fixed=fix,
    )


def _subject(raster: Raster, seed: int) -> Subject:
    return Subject(raster, peek(raster, seed), *said(raster.path))


def _declared(raster: Raster, nodata: str | None, scale: float | None) -> Raster:
    """With the nodata and scale that the user declares."""
    if scale is not None and not (np.isfinite(scale) and scale > 0):
        raise ConfigError("--scale", got=f"{scale}", expected="a number above zero")
    n = len(raster.bands)
    raster = raster if nodata is None else declared(raster, nodata)
    return raster if scale is None else replace(raster, scale=np.full(n, scale))


def _of(subject: Subject, found: Finding) -> Finding:
    """A finding about the target says so."""
    return found.model_copy(update={"message": f"target {Path(subject.raster.path).name}: {found.message}"})


def _check_fix(path: Path, inputs: Sequence[Path], *, overwrite: bool) -> Seen:
    """Refuse a VRT that must not or cannot be written; gives what stands there now."""
    if path.suffix.lower() != ".vrt":
        raise ConfigError("--fix writes a GDAL VRT", got=repr(str(path)), expected="a name that ends in .vrt")
    return check_file(path, overwrite=overwrite, inputs=inputs)


def _fix(path: Path, subject: Subject, inputs: Sequence[Path], seen: Seen | None) -> None:
    """Write the VRT. Dead bands are flagged bad if the look was at all pixels."""
    raster = subject.raster
    if subject.look.whole:
        raster = replace(raster, bands=raster.bands.dropping(subject.look.dead))
    with whole_files(path, inputs, seen=seen) as scratch:
        write_fixed(scratch, path, raster)
        with lent(scratch, path.parent) as place:
            same_table(place, path, raster)


# ------------------------------------------------------------------------------------------------------------- metadata


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
    if factor != 1.0 and not any(isinstance(m, Remark) and m.code == "units-contradict" for m in s.raster.messages):
        yield finding("units-converted", f"wavelengths are in {s.unit}, and are read as nm")
    names = envi_list(s.header.entries.get("band_names"))
    coded = {m.code for m in s.raster.messages if isinstance(m, Remark)}
    listed = "wavelength" in s.header.entries or "wavelengths-in-names" in coded
    if names and not listed and named_wavelengths(names) is not None:
        yield finding("wavelengths-in-names", "the header has no list of wavelengths: they stand in the band names")
    yield from (finding(r.code, r) for r in order_remarks(bands))
    both = [(bands.wavelength_nm[[*one, *other]], one, other) for one, other in overlaps(bands)]
    if both:
        places = [f"{nm.min():.1f}-{nm.max():.1f} nm ({numbers(a)} and {numbers(b)})" for nm, a, b in both]
        yield finding("detector-overlap", f"two detectors see the same wavelengths: {shorten(places, 4)}")
    if _is_even(bands.wavelength_nm[known]):
        step = float(np.mean(np.diff(bands.wavelength_nm[known])))
        yield finding("wavelengths-even", f"all steps between wavelengths are equal, {step:.3f} nm")


def _is_even(nm: Floats) -> bool:
    """Whether wavelengths lie on a line to within what two decimals leave open, though the step is no round number."""
    if len(nm) < 20:
        return False
    line = np.linspace(nm[0], nm[-1], len(nm))
    step = (nm[-1] - nm[0]) / (len(nm) - 1)
    return bool(np.abs(nm - line).max() <= 0.011) and abs(step * 2 - round(step * 2)) > 1e-3


def _file(s: Subject) -> Iterator[Finding]:
    path = Path(s.raster.path)
    if s.raster.driver == "ENVI" and path.suffix.lower() not in (".bsq", ".bil", ".bip", ".img", ".dat", ".envi"):
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
        yield finding("no-transform", "rows and columns have no place on the ground (identity transform)")
    elif t.b or t.d:
        turn = np.degrees(np.arctan2(t.d, t.a))
        yield finding("rotated", f"the grid is turned by {turn:.1f}°; the transform is used, not the map info")


def _nodata(s: Subject) -> Iterator[Finding]:
    values = s.raster.nodata[np.isfinite(s.raster.nodata)]
    lost = number(s.header.entries.get("data_ignore_value"))
    if not len(values) and np.isfinite(lost):
        yield finding("nodata-impossible", f"nodata {lost:g} is declared, which {s.raster.dtypes[0]} cannot hold")
    if not len(values):
        return
    said_so = shorten(f"{v:g}" for v in np.unique(values))
    integers = [np.iinfo(d) for d in s.raster.dtypes if np.dtype(d).kind != "f"]
    if any(
        not (i.min <= v <= i.max and v == round(v)) for i, v in zip(integers, s.raster.nodata, strict=False) if v == v
    ):
        yield finding("nodata-impossible", f"nodata {said_so} is declared, which {s.raster.dtypes[0]} cannot hold")
        return
    exact = np.array(s.raster.exact or s.raster.nodata, dtype=object)
    counts = [int((p.stored[i] == v).sum()) for p in s.look.parts for i, v in enumerate(exact) if v is not None]
    share = sum(counts) / max(1, s.look.looked * len(s.raster.bands))
    held = f"{100 * share:.1f} % of the values" if share else "none of the values"
    yield finding("nodata-declared", f"nodata {said_so} is declared; {held} looked at hold it")


# --------------------------------------------------------------------------------------------------------------- pixels


def _bad(s: Subject) -> Iterator[Finding]:
    """Flagged bands with what they hold, and dead ones that nothing flags."""
    bands, dead = s.raster.bands, s.look.dead
    flagged = [i for i in range(len(bands)) if bands.reason[i]]
    for reason in dict.fromkeys(bands.reason[i] for i in flagged):
        mine = [i for i in flagged if bands.reason[i] == reason]
        held = dict.fromkeys(dead[i] for i in mine if i in dead)
        what = f"; {sum(i in dead for i in mine)} of them: {shorten(held, 3)}" if held else ""
        yield finding("bad-bands", f"{named(mine)}: {reason}{what}")
    lost = {i: why for i, why in dead.items() if i not in flagged}
    for why in dict.fromkeys(lost.values()):
        mine = [i for i in lost if lost[i] == why]
        yield finding("dead-bands", f"no data in {named(mine)}: {why}")


def _fills(s: Subject) -> Iterator[Finding]:
    """Values that stand out at the ends of the bands."""
    yield from (finding(one.code, one.message) for one in standing(s.look))


def _nans(s: Subject) -> Iterator[Finding]:
    count = sum(int(np.isnan(p.stored).sum()) for p in s.look.parts if p.stored.dtype.kind == "f")
    if count:
        share = 100 * count / (s.look.looked * len(s.raster.bands))
        said_so = f"{share:.1f}" if share >= 1 else f"{share:.2g}"
        yield finding("nan-values", f"{said_so} % of the values looked at are NaN: missing, whatever masks say")


def _negatives(s: Subject) -> Iterator[Finding]:
    fills = {(p.band, p.value) for p in s.look.spikes if p.at_low and p.value < 0}
    count, least = 0, 0.0
    for band in range(len(s.raster.bands)):
        if band in s.look.dead or not s.raster.bands.good[band]:
            continue
        v = s.look.valid(band).astype(np.float64)
        below = v[(v < 0) & ~np.isin(v, [value for b, value in fills if b == band])]
        count += len(below)
        least = min(least, float(below.min())) if len(below) else least
    if count:
        yield finding("negative-values", f"{count} of the values looked at are below zero, down to {least:.4g}: they "
                      "may be noise about zero, and count as valid")  # fmt: skip


ROUGH, STRIPED = 8.0, 25.0
"""Columns are striped if their means are so many times rougher than those of rows, and than in the other bands; or
so many times, whatever the other bands are."""


def _stripes(s: Subject) -> Iterator[Finding]:
    ratio = s.look.unevenness.copy()
    ratio[list(s.look.dead)] = np.nan
    if not np.isfinite(ratio).any():
        return
    usual = float(np.nanmedian(ratio))
    inverse = np.divide(1.0, ratio, out=np.full_like(ratio, np.nan), where=ratio > 0)
    for name, r, u in (("columns", ratio, usual), ("rows", inverse, 1 / usual if usual > 0 else np.inf)):
        with np.errstate(invalid="ignore"):
            striped = np.flatnonzero(((r > ROUGH) & (r > ROUGH * u)) | (r > STRIPED))
        if len(striped):
            yield finding("striped-bands", f"{name} have levels of their own, up to {np.nanmax(r):.0f} times rougher "
                          f"across than along, in {named(striped)}")  # fmt: skip


def _scale(s: Subject) -> Iterator[Finding]:
    """Large whole numbers without a scale."""
    if (s.raster.scale != 1).any() or (s.raster.offset != 0).any() or np.dtype(s.raster.dtypes[0]).kind == "f":
        return
    high = _typical(s, 99)
    if high > 255:
        yield finding("scale-undeclared", f"whole numbers up to about {high:.0f} without a scale: reflectance times "
                      "10 000, or counts? Weights and offsets are in these units")  # fmt: skip


def _typical(s: Subject, percent: float) -> float:
    """A percentile of the sizes of the values looked at, in physical units, without what stands out; NaN for none."""
    fills = {(p.band, p.value) for p in s.look.spikes}
    found = []
    for band in range(len(s.raster.bands)):
        if band not in s.look.dead and s.raster.bands.good[band]:
            v = s.look.valid(band).astype(np.float64)
            v = v[~np.isin(v, [value for b, value in fills if b == band])]
            found.append(np.abs(v * s.raster.scale[band] + s.raster.offset[band])[:: max(1, len(v) // 2000)])
    every = np.concatenate(found) if found else np.zeros(0)
    return float(np.percentile(every, percent)) if every.size else float("nan")


# ---------------------------------------------------------------------------------------------------- scene and target

FAR = 30.0
"""Values of two rasters that differ by such a factor are in different units."""


def _grids(scene: Subject, target: Subject) -> Iterator[Finding]:
    a, b = scene.raster, target.raster
    if a.crs is not None and b.crs is not None and a.crs != b.crs:
        yield finding("crs-differ", f"the scene is in {a.crs_name}, the target in {b.crs_name}")
        return
    if (a.crs is None) != (b.crs is None):
        yield finding("target-without-crs", f"{'the scene' if a.crs is None else 'the target'} has no coordinate "
                      f"system, the other is in {(a if b.crs is None else b).crs_name}")  # fmt: skip
    if not on_one_grid(a, b):
        one, two = (f"{r.rows} × {r.cols} pixels of {_pixel(r)}" for r in (a, b))
        yield finding("grids-differ", f"scene and target have grids of their own: {one}, and {two}")
    if not (a.transform.is_identity or b.transform.is_identity) and not _meet(a, b):
        yield finding("no-common-ground", "scene and target have no place on the ground in common")


def _pixel(r: Raster) -> str:
    t = r.transform
    turned = f", turned by {np.degrees(np.arctan2(t.d, t.a)):.2g}°" if t.b or t.d else ""
    return f"{np.hypot(t.a, t.d):g} × {np.hypot(t.b, t.e):g}{turned}"


def _meet(a: Raster, b: Raster) -> bool:
    """Whether two rasters have some ground in common."""
    try:
        cut(a, [b])
    except MismatchError:
        return False
    return True


def _scales(scene: Subject, target: Subject) -> Iterator[Finding]:
    one, two = _typical(scene, 50), _typical(target, 50)
    if min(one, two) > 0 and max(one / two, two / one) > FAR:
        yield finding("scale-mismatch", f"the scene's values are about {one:.3g}, the target's about {two:.3g}: one "
                      "may lack its scale")  # fmt: skip


def _shifted(scene: Subject, target: Subject) -> Iterator[Finding]:
    """A target that lies beside its scene, by :func:`bandfuse.scenes.alignment.estimate_shift`."""
    try:
        both = open_scene(Place("scene", ((MAIN, scene.raster.path),), target.raster.path), training=True)
        shift = estimate_shift(both)
    except UsageError:  # they do not meet, or cannot be read: other findings say so
        return
    if shift is not None and shift.certain and not shift.small:
        yield finding("target-shifted", f"{shift.columns:+.2f} columns and {shift.rows:+.2f} rows of {both.grid.path} "
                      f"bring the target onto the scene (± {shift.error:.2f})")  # fmt: skip


SINGLE: list[Callable[[Subject], Iterator[Finding]]] = [
    _messages, _wavelengths, _file, _place, _nodata, _bad, _fills, _nans, _negatives, _stripes, _scale,
]  # fmt: skip
"""What is asked of a raster. A new check is a function with a line here, and its codes in :data:`CODES`."""

SCENE_ONLY = [_wavelengths, _stripes]
"""What is not asked of a target."""

PAIRS: list[Callable[[Subject, Subject], Iterator[Finding]]] = [_grids, _scales, _shifted]
"""What is asked of a scene and its target."""


def look_text(result: CheckResult) -> str:
    """How much of the pixels was looked at."""
    parts = [f"{n} of {of}" if n < of else f"all {of}" for n, of in zip(result.looked, result.pixels, strict=True)]
    seeded = f" in seeded parts of {SIDE} × {SIDE}" if result.looked != result.pixels else ""
    return f"looked at {' and '.join(parts)} pixels{seeded}"
