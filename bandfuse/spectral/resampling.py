"""Resampling: the weights that make a sensor's bands of a cube's, and weights of one cube for the
bands of another.

Nothing is learned here: all of it follows from wavelengths, widths and published responses, in nm.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bandfuse.errors import MismatchError, shorten
from bandfuse.spectral.bands import Bands, Floats, Positions
from bandfuse.spectral.sensors import Sensor, SensorBand

FAR = 3.0
"""Bands more than this many median steps apart are no neighbours: there is a gap between them."""


def _steps(nm: Floats, fwhm: Floats) -> tuple[Floats, Floats]:
    """(B,) distances to the next shorter and the next longer wavelength. Across a gap or at an end
    the one to the other side stands in; without any neighbour the FWHM (NaN if that is unknown
    too)."""
    order = np.argsort(nm, kind="stable")
    step = np.diff(nm[order])
    step = (
        np.where(step <= FAR * np.median(step[step > 0]), step, np.nan)
        if (step > 0).any()
        else step
    )
    left, right = np.append(np.nan, step), np.append(step, np.nan)
    left, right = np.where(np.isnan(left), right, left), np.where(np.isnan(right), left, right)
    back = np.argsort(order, kind="stable")
    left, right = left[back], right[back]
    return np.where(np.isnan(left), fwhm, left), np.where(np.isnan(right), fwhm, right)


def tolerance(bands: Bands) -> Floats:
    """(B,) by how much the wavelength of a band may differ from that of one which stands for it:
    half of its FWHM, or half of the spacing where no FWHM is known."""
    result: Floats = np.where(np.isfinite(bands.fwhm_nm), bands.fwhm_nm / 2, _half_spacing(bands))
    return result


def _half_spacing(bands: Bands) -> np.ndarray:
    """(B,) half the distance to the nearest other wavelength; infinite where there is none."""
    known = np.sort(np.unique(bands.wavelength_nm[np.isfinite(bands.wavelength_nm)]))
    if len(known) < 2:
        return np.full(len(bands), np.inf)
    steps = np.diff(known)
    nearest_step = np.minimum(np.append(steps, np.inf), np.insert(steps, 0, np.inf))
    place = np.searchsorted(known, bands.wavelength_nm).clip(0, len(known) - 1)
    half: np.ndarray = nearest_step[place] / 2
    return half


def _require(bands: Bands, what: str) -> None:
    lacking = [i for i in range(len(bands)) if not np.isfinite(bands.wavelength_nm[i])]
    if lacking or not len(bands):
        raise MismatchError(
            f"{what} needs wavelengths",
            got=f"{len(lacking)} bands without, the first {bands.name[lacking[0]]!r}"
            if lacking
            else "no usable band",
            expected="a wavelength for every band that is not flagged bad",
        )


def extents(bands: Bands, what: str) -> Floats:
    """(B, 2) what each band sees, in nm: its FWHM about its centre. Where that is unknown: half of
    the way to both neighbours taken together, about its centre."""
    _require(bands, what)
    left, right = _steps(bands.wavelength_nm, bands.fwhm_nm)
    width = np.where(np.isfinite(bands.fwhm_nm), bands.fwhm_nm, (left + right) / 2)
    _require_widths(bands, width, what)
    ends: Floats = bands.wavelength_nm[:, None] + width[:, None] * np.array([-0.5, 0.5])
    return ends


def bins(bands: Bands, what: str) -> Floats:
    """(B, 2) the part of the spectrum that each band stands for, in nm: half of the way to each
    neighbour. Bins of neighbours touch, and none overlap."""
    _require(bands, what)
    left, right = _steps(bands.wavelength_nm, bands.fwhm_nm)
    _require_widths(bands, left, what)
    return bands.wavelength_nm[:, None] + 0.5 * np.stack([-left, right], axis=1)


def _require_widths(bands: Bands, width: Floats, what: str) -> None:
    if not np.isfinite(width).all():
        lone = int(np.flatnonzero(~np.isfinite(width))[0])
        raise MismatchError(
            f"{what} needs the width of every band",
            got=f"neither FWHM nor neighbours of {bands.label(lone)}",
        )


@dataclass(frozen=True, eq=False)
class Covered:
    """Weights, and how far the bands cover what they stand for: ``weight`` (K, B), ``coverage``
    (K,) from 0 to 1."""

    weight: Floats
    coverage: Floats


def published(sensor: Sensor, bands: Bands) -> Covered:
    """The weights of a sensor's bands: ``w_kb = ∫ r_k(λ) dλ over the extent of band b``, rows of
    sum one.

    The value of band b is taken as that of the spectrum all over its extent (:func:`extents`), r_k
    is the published response. For sensors that are given by centres and widths this is the
    definition of BandResampler in Spectral Python. Bands flagged bad get no weight.

    ``coverage``: the share of ``∫ r_k`` that lies in the extent of some band. A row without any is
    all zeros.

    Raises
    ------
    MismatchError : a good band without wavelength, or whose width cannot be told.
    """
    good = np.flatnonzero(bands.good)
    extent = extents(bands.take(good), f"resampling to {sensor.name}")
    weight, coverage = np.zeros((len(sensor.bands), len(bands))), np.zeros(len(sensor.bands))
    for k, band in enumerate(sensor.bands):
        part = band.area(extent[:, 0], extent[:, 1])
        if part.sum() > 0:
            weight[k, good] = part / part.sum()
            coverage[k] = _covered(band, extent)
    return Covered(weight, coverage)


def _covered(band: SensorBand, extent: Floats) -> float:
    """The share of a response in the union of extents."""
    low, high = extent[np.argsort(extent[:, 0])].T
    reached = np.maximum.accumulate(high)
    start = np.maximum(low, np.append(-np.inf, reached[:-1]))
    part = band.area(start, np.maximum(start, high)).sum()
    return float(min(1.0, part / band.area(-np.inf, np.inf)))


def moved(weight: Floats, old: Bands, new: Bands) -> Covered:
    """Weights (K, B) of the bands of one cube for the bands of another that sees the same in other
    places.

    The weight of a band, divided by the width of its bin (:func:`bins`), is a density over
    wavelength; the weight of a new band is the integral of the density over the new bin. Sources
    are moved one by one. What lies in no new bin is lost: ``coverage`` is the share of ``Σ |w|``
    that is not. Positive and negative weights are then scaled to the sums that they had, so that a
    row keeps its sum.

    Raises
    ------
    MismatchError : other sources; wavelengths that are needed and unknown.
    """
    if old.sources != new.sources and len(old.sources) + len(new.sources) > 2:
        raise MismatchError(
            "sources of the cube and of the weights differ",
            got=shorten(new.sources),
            expected=shorten(old.sources),
        )
    share = np.zeros((len(new), len(old)))
    for was, now in zip(old.sources, new.sources, strict=True):
        here, there = _of_source(old, was), _of_source(new, now)
        share[np.ix_(there, here)] = _shares(
            bins(old.take(here), "moving weights"),
            bins(new.take(there), "moving weights to a cube"),
        )
    parts = [np.maximum(weight, 0.0), np.maximum(-weight, 0.0)]
    taken = [part @ share.T for part in parts]
    had = sum(part.sum(axis=1) for part in parts)
    found = sum(part.sum(axis=1) for part in taken)
    scaled = [
        part * (sums / np.where(left > 0, left, 1.0))[:, None]
        for part, sums, left in (
            (t, p.sum(axis=1), t.sum(axis=1)) for p, t in zip(parts, taken, strict=True)
        )
    ]
    coverage = np.where(had > 0, found / np.where(had > 0, had, 1.0), 1.0)
    return Covered(scaled[0] - scaled[1], np.minimum(coverage, 1.0))


def _of_source(bands: Bands, source: str) -> Positions:
    """Positions of the good bands of one source."""
    return np.flatnonzero(bands.good & np.array([s == source for s in bands.source]))


def _shares(old: Floats, new: Floats) -> Floats:
    """(N, B) the part of each old bin (B, 2) that lies in each new one (N, 2). A bin without width
    is a point."""
    low = np.maximum(new[:, None, 0], old[None, :, 0])
    high = np.minimum(new[:, None, 1], old[None, :, 1])
    width = old[:, 1] - old[:, 0]
    point = width <= 0
    inside = (new[:, None, 0] <= old[None, :, 0]) & (old[None, :, 0] < new[:, None, 1])
    part: Floats = np.where(
        point, inside, np.maximum(high - low, 0.0) / np.where(point, 1.0, width)
    )
    return part
