"""Pixels: findings from a bounded look at the values of a raster."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bandfuse.checks.codes import finding
from bandfuse.checks.fill import named, standing
from bandfuse.checks.subject import Check, Subject
from bandfuse.errors import shorten
from bandfuse.results.rasters import Finding


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
        yield finding(
            "nan-values",
            f"{said_so} % of the values looked at are NaN: missing, whatever masks say",
        )


def _negatives(s: Subject) -> Iterator[Finding]:
    fills = {(p.band, p.value) for p in s.look.spikes if p.at_low and p.value < 0}
    count, least = 0, 0.0
    for band in range(len(s.raster.bands)):
        if band in s.look.dead or not s.raster.bands.good[band]:
            continue
        v = s.look.valid(band).astype(np.float64)
        y = v * s.raster.scale[band] + s.raster.offset[band]
        below = y[(y < 0) & ~np.isin(v, [value for b, value in fills if b == band])]
        count += len(below)
        least = min(least, float(below.min())) if len(below) else least
    if count:
        yield finding(
            "negative-values",
            f"{count} of the values looked at are below zero, down to {least:.4g}: they may be "
            "noise about zero, and count as valid",
        )


ROUGH, STRIPED = 8.0, 25.0
"""Columns are striped if their means are so many times rougher than those of rows, and than in the
other bands; or so many times, whatever the other bands are."""


def _stripes(s: Subject) -> Iterator[Finding]:
    ratio = s.look.unevenness.copy()
    ratio[list(s.look.dead)] = np.nan
    if not np.isfinite(ratio).any():
        return
    usual = float(np.nanmedian(ratio))
    inverse = np.divide(1.0, ratio, out=np.full_like(ratio, np.nan), where=ratio > 0)
    for name, r, u in (
        ("columns", ratio, usual),
        ("rows", inverse, 1 / usual if usual > 0 else np.inf),
    ):
        with np.errstate(invalid="ignore"):
            striped = np.flatnonzero(((r > ROUGH) & (r > ROUGH * u)) | (r > STRIPED))
        if len(striped):
            yield finding(
                "striped-bands",
                f"{name} have levels of their own, up to {np.nanmax(r):.0f} times rougher across "
                f"than along, in {named(striped)}",
            )


def _scale(s: Subject) -> Iterator[Finding]:
    """Large whole numbers without a scale."""
    if (
        (s.raster.scale != 1).any()
        or (s.raster.offset != 0).any()
        or np.dtype(s.raster.dtypes[0]).kind == "f"
    ):
        return
    high = typical_value(s, 99)
    if high > 255:
        yield finding(
            "scale-undeclared",
            f"whole numbers up to about {high:.0f} without a scale: reflectance times 10 000, or "
            "counts? Weights and offsets are in these units",
        )


def typical_value(s: Subject, percent: float) -> float:
    """A percentile of the sizes of the values looked at, in physical units, without what stands
    out; NaN for none."""
    fills = {(p.band, p.value) for p in s.look.spikes}
    found = []
    for band in range(len(s.raster.bands)):
        if band not in s.look.dead and s.raster.bands.good[band]:
            v = s.look.valid(band).astype(np.float64)
            v = v[~np.isin(v, [value for b, value in fills if b == band])]
            found.append(
                np.abs(v * s.raster.scale[band] + s.raster.offset[band])[:: max(1, len(v) // 2000)]
            )
    every = np.concatenate(found) if found else np.zeros(0)
    return float(np.percentile(every, percent)) if every.size else float("nan")


OF_PIXELS: tuple[Check, ...] = (_bad, _fills, _nans, _negatives, _stripes, _scale)
"""Checks of the values. A new check is a function here, with its codes in ``codes``."""

PIXELS_OF_SCENES: tuple[Check, ...] = (_stripes,)
"""Those that are asked of scenes only, not of targets."""
