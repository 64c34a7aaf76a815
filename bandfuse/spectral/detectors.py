"""Detectors: bands that are not in the order of their wavelengths, and detectors that see the same
ones."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from bandfuse.errors import ConfigError, shorten
from bandfuse.spectral.bands import Bands
from bandfuse.spectral.remarks import Remark


def order_remarks(bands: Bands) -> list[Remark]:
    """What is odd about the order of wavelengths: descending, turned back, repeated."""
    nm = bands.wavelength_nm
    known = np.flatnonzero(np.isfinite(nm))
    if len(known) < 2:
        return []
    steps = np.diff(nm[known])
    down = bool((steps < 0).sum() > (steps > 0).sum())
    found: list[Remark] = []
    if down:
        found.append(
            Remark(
                "descending",
                "wavelengths descend; bands are taken in the order of their wavelengths",
            )
        )
    back = np.flatnonzero(steps > 0 if down else steps < 0)
    if len(back):
        turns = [(int(known[i]), int(known[i + 1])) for i in back]
        places = shorten((f"{nm[i]:.1f} to {nm[j]:.1f} nm after band {i + 1}" for i, j in turns), 4)
        found.append(
            Remark(
                "unsorted",
                f"wavelengths are not in order: {places}; they are sorted where order counts",
            )
        )
    values, counts = np.unique(nm[known], return_counts=True)
    if (counts > 1).any():
        twice = shorten([f"{v:g} nm" for v in values[counts > 1]], 4)
        found.append(Remark("duplicate-wavelengths", f"wavelengths occur more than once: {twice}"))
    return found


def runs(bands: Bands) -> list[list[int]]:
    """Positions of the good bands with a wavelength, cut where the source changes or the
    wavelengths turn back: one run per detector, as it were. The direction of a source is that of
    most of its steps."""
    found: list[list[int]] = []
    for source in bands.sources:
        mine = [
            i
            for i, s in enumerate(bands.source)
            if s == source and not bands.reason[i] and np.isfinite(bands.wavelength_nm[i])
        ]
        steps = np.diff(bands.wavelength_nm[mine])
        back = steps > 0 if (steps < 0).sum() > (steps > 0).sum() else steps < 0
        cuts = [0, *(np.flatnonzero(back) + 1).tolist(), len(mine)]
        found += [mine[a:b] for a, b in pairwise(cuts) if b > a]
    return found


def overlaps(bands: Bands) -> list[tuple[list[int], list[int]]]:
    """For each pair of neighbouring runs whose wavelengths overlap, the positions of both in the
    common range."""
    nm = bands.wavelength_nm
    found = []
    for one, other in pairwise(runs(bands)):
        low, high = max(nm[one].min(), nm[other].min()), min(nm[one].max(), nm[other].max())
        if low <= high:
            found.append(
                (
                    [i for i in one if low <= nm[i] <= high],
                    [i for i in other if low <= nm[i] <= high],
                )
            )
    return found


def without_overlaps(bands: Bands, rule: str) -> Bands:
    """The table with a reason against the bands of one of two detectors, where their wavelengths
    overlap.

    Parameters
    ----------
    rule : keep (both), first or last (of the two, in the order of the bands), sharper (the one of
        narrower bands).

    Raises
    ------
    ConfigError : sharper where widths are unknown.
    """
    if rule == "keep":
        return bands
    reasons: dict[int, str] = {}
    for one, other in overlaps(bands):
        loses = {"first": other, "last": one}.get(rule)
        if loses is None:
            widths = [float(np.median(bands.fwhm_nm[side])) for side in (one, other)]
            if not np.isfinite(widths).all():
                raise ConfigError(
                    "--overlap sharper needs widths",
                    got="bands without FWHM",
                    remedy="Use first or last, or give widths with --wavelengths.",
                )
            loses = other if widths[0] <= widths[1] else one
        reasons |= dict.fromkeys(loses, f"seen by another detector too (--overlap {rule})")
    return bands.dropping(reasons)
