"""Looks: pictures, spectra and the map of local gain, for the page of a sharpening."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bandfuse.report.pictures import Limits
from bandfuse.report.sharpen_data import Spot
from bandfuse.sharpening.gains.gains import Gains
from bandfuse.sharpening.gains.tiles import CHUNK, tile
from bandfuse.sharpening.pairs.kernels import Axis
from bandfuse.sharpening.pairs.pair import Pair
from bandfuse.sharpening.pairs.ranges import Place, Range
from bandfuse.spectral.bands import Bands, Floats
from bandfuse.spectral.display import shown

SIDE, COARSE_SIDE = 400, 72
"""Pixels of the result, and of the cube, along the longer side of the pictures at most."""

NUMBERS = 12_000
"""Points × bands whose spectra the page holds at most; and ``MOST_SPOTS`` along a side."""

MOST_SPOTS = 8

DRAWN = 4
"""Points whose spectra are drawn on the page."""

SWIR_NM = (2200.0, 1650.0, 860.0)
INFRARED_NM = (860.0, 660.0, 560.0)
"""Wavelengths that false colour shows as red, green and blue; the second where there is no SWIR."""

SWIR = "SWIR"
FAR_NM = 40.0
"""A band may lie so far from such a wavelength."""

LEAST_DB = 1.0
"""The map of local gain is full blue or orange from a larger gain or loss than this on."""

BLUE, ORANGE, GREY = (0.04, 0.42, 0.62), (0.75, 0.31, 0.03), (0.93, 0.94, 0.95)


STRETCH = "Black and white are 2 and 98\u202f% of the values. Nodata is transparent."


@dataclass(frozen=True, eq=False)
class Look:
    """A picture: (H, W, n) or (H, W), and the values it shows as black and white, where it is not
    its own quantiles."""

    title: str
    caption: str
    array: Floats
    limits: Limits | None = None


@dataclass(frozen=True, eq=False)
class Looks:
    """What the page shows of one part of the result, its middle."""

    rows: Range
    cols: Range
    looks: list[Look]
    spots: list[Spot]
    first: list[int]


def false_colour(bands: Bands) -> tuple[list[int], str] | None:
    """Positions of three bands in the infrared, and in words which; None where they are missing.

    >>> false_colour(Bands.of("abc", wavelength_nm=[2210, 1640, 850]))
    ([0, 1, 2], 'SWIR false colour: red 2210 nm, green 1640 nm, blue 850 nm')
    """
    for kind, wanted in ((SWIR, SWIR_NM), ("infrared", INFRARED_NM)):
        away = np.abs(np.where(bands.good, bands.wavelength_nm, np.inf)[:, None] - np.array(wanted))
        away = np.where(np.isfinite(away), away, np.inf)
        if len(bands) and (away.min(axis=0) <= FAR_NM).all():
            found = [int(i) for i in away.argmin(axis=0)]
            places = zip(("red", "green", "blue"), bands.wavelength_nm[found], strict=True)
            said = ", ".join(f"{colour} {nm:.0f} nm" for colour, nm in places)
            return found, f"{kind} false colour: {said}"
    return None


def looks_of(pair: Pair, gains: Gains, bands: Bands, sharp: Bands) -> Looks:
    """Pictures and spectra of the middle of the result.

    Parameters
    ----------
    bands, sharp : of the result, and of the sharp images.
    """
    (rows, coarse_rows), (cols, coarse_cols) = (
        _middle(axis) for axis in (pair.geometry.rows, pair.geometry.cols)
    )
    natural, false = shown(bands), false_colour(bands)
    infrared = [] if false is None else [(f", {false[1].partition(' ')[0]}", false)]
    views = [("", natural), *infrared]
    cube = pair.cube(coarse_rows, coarse_cols)
    x = np.where(cube.valid, cube.values, np.nan)
    near = (
        _nearest(pair.geometry.rows, rows, coarse_rows),
        _nearest(pair.geometry.cols, cols, coarse_cols),
    )
    at = _points((rows, cols), len(bands))
    wanted = sorted({i for _, (chosen, _) in views for i in chosen})
    made, after = _sharpened(pair, gains, (rows, cols), wanted, at)
    t = pair.read_sharp(rows, cols)
    looks = []
    for name, (chosen, how) in views:
        before = _picture(x[chosen][:, near[0]][:, :, near[1]])
        limits = _limits(before)
        fine = _picture(made[_rows_of(wanted, chosen)])
        looks.append(Look(f"Cube{name}", f"Before, {how}. {STRETCH}", before, limits))
        looks.append(
            Look(f"Sharpened{name}", f"After, {how}, as bright as the cube.", fine, limits)
        )
    chosen, how = shown(sharp)
    caption = f"Where the detail is from, {how}. {STRETCH}"
    looks.insert(2, Look("Sharp image", caption, _picture(t[chosen])))
    spots = _spots(x, after, at, near, (rows, cols))
    return Looks(rows, cols, looks, spots, _apart(spots))


def _middle(axis: Axis) -> Place:
    """The middle of an axis, at most ``SIDE`` fine pixels long, and the coarse pixels under it."""
    n = min(SIDE, axis.fine, int(COARSE_SIDE * abs(axis.ratio)))
    start = (axis.fine - n) // 2
    fine = Range(start, start + n)
    near = axis.nearest(fine)
    low, high = int(near.min()), int(near.max())
    return fine, Range(max(low, 0), min(high, axis.coarse - 1) + 1)


def _nearest(axis: Axis, fine: Range, coarse: Range) -> np.ndarray:
    """(n,) which of the coarse pixels holds each fine one."""
    found: np.ndarray = np.clip(axis.nearest(fine) - coarse.start, 0, coarse.size - 1)
    return found


def _points(place: Place, bands: int) -> list[tuple[int, int]]:
    """Rows and columns within a place at which spectra are kept."""
    side = max(2, min(MOST_SPOTS, int((NUMBERS / max(bands, 1)) ** 0.5)))
    rows, cols = (_even(r.size, side) for r in place)
    return [(row, col) for row in rows for col in cols]


def _even(size: int, count: int) -> list[int]:
    return sorted({int((i + 0.5) * size / count) for i in range(count)})


def _sharpened(
    pair: Pair, gains: Gains, place: Place, wanted: Sequence[int], at: Sequence[tuple[int, int]]
) -> tuple[Floats, Floats]:
    """(n, H, W) some bands of the result in a place, and (B, points) all of them at points."""
    made, spectra = [], []
    rows, cols = (np.array(some) for some in zip(*at, strict=True))
    for k, values in enumerate(tile(pair, gains, *place).values()):
        here = [i - k * CHUNK for i in wanted if k * CHUNK <= i < (k + 1) * CHUNK]
        made.append(values[here])
        spectra.append(values[:, rows, cols])
    return np.concatenate(made), np.concatenate(spectra)


def _rows_of(wanted: Sequence[int], chosen: Sequence[int]) -> list[int]:
    return [list(wanted).index(i) for i in chosen]


def _picture(array: Floats) -> Floats:
    """(H, W) of one band, (H, W, n) of several."""
    return array[0] if len(array) == 1 else np.moveaxis(array, 0, -1)


def _limits(array: Floats) -> Limits | None:
    """2 and 98 % of each channel; None where nothing is known."""
    pixels = array.reshape(-1, 1 if array.ndim == 2 else array.shape[2])
    pixels = pixels[np.isfinite(pixels).all(axis=1)]
    if not len(pixels):
        return None
    low, high = np.percentile(pixels, [2, 98], axis=0)
    return tuple((float(a), float(b)) for a, b in zip(low, high, strict=True))


def _spots(
    x: Floats,
    after: Floats,
    at: Sequence[tuple[int, int]],
    near: Sequence[np.ndarray],
    place: Place,
) -> list[Spot]:
    """Points at which the result is known, with their spectra."""
    found = []
    for k, (row, col) in enumerate(at):
        before = x[:, near[0][row], near[1][col]]
        if not np.isfinite(after[:, k]).all() or not np.isfinite(before).all():
            continue
        found.append(
            Spot(
                x=(col + 0.5) / place[1].size,
                y=(row + 0.5) / place[0].size,
                row=place[0].start + row,
                col=place[1].start + col,
                before=_rounded(before),
                after=_rounded(after[:, k]),
            )
        )
    return found


def _rounded(values: Floats) -> list[float | None]:
    return [float(f"{v:.4g}") for v in values]


def _apart(spots: Sequence[Spot]) -> list[int]:
    """A few points whose spectra differ most: each is the farthest from those before it."""
    if not spots:
        return []
    values = np.array([spot.after for spot in spots], dtype=np.float64)
    away = np.linalg.norm(values - np.median(values, axis=0), axis=1)
    chosen = [int(away.argmin())]
    while len(chosen) < min(DRAWN, len(spots)):
        gap = np.min([np.linalg.norm(values - values[i], axis=1) for i in chosen], axis=0)
        gap[chosen] = -1
        chosen.append(int(gap.argmax()))
    return sorted(chosen)


def gain_look(gain_map: Floats, place: Place | None) -> Look | None:
    """The map of local gain, as colours: blue where the sharpening helps, orange where it harms."""
    if not np.isfinite(gain_map).any():
        return None
    most = max(LEAST_DB, float(np.ceil(np.nanpercentile(np.abs(gain_map), 95))))
    share = np.clip(gain_map / most, -1, 1)[..., None]
    ends = np.where(share >= 0, np.array(BLUE), np.array(ORANGE))
    array = np.array(GREY) + np.abs(share) * (ends - np.array(GREY))
    where = ""
    if place is not None:
        rows, cols = place
        where = (
            f" Rows {rows.start} to {rows.stop - 1} and columns {cols.start} to {cols.stop - 1} of "
            "the cube."
        )
    middle = float(np.nanmedian(gain_map))
    caption = (
        "One scale down, pixel by pixel: how much smaller the error is than that of plain "
        f"interpolation, over all bands. Full blue: {most:g} dB smaller or more; full orange: "
        f"{most:g} dB larger or more; grey: the same. Half of the pixels gain more than "
        f"{middle:.1f} dB.{where}"
    )
    return Look("Local gain", caption.replace(" -", " −"), array, ((0.0, 1.0),) * 3)
