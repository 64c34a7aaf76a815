"""Show sensors: their bands, and their responses drawn with blocks."""

from __future__ import annotations

import math
import sys
from bisect import bisect_left
from itertools import pairwise

from bandfuse.cli import show
from bandfuse.cli.layout import WIDEST, columns
from bandfuse.results.others import SensorBandInfo, SensorResult, SensorsResult

BLOCKS, PLAIN = " ▁▂▃▄▅▆▇█", " .:-=+*#@"
"""What is drawn from nothing to the peak; the second where the terminal has no blocks."""

ROWS = 24
"""Sensors of so many bands have a line for each; others one for all."""


def show_sensors(result: SensorsResult) -> None:
    """The known sensors, with the range that their bands cover."""
    rows = [
        [s.name, s.bands, f"{s.low_nm:.0f}-{s.high_nm:.0f}", "curves" if s.measured else "FWHM"]
        for s in result.sensors
    ]
    show.table(["sensor", "bands", "nm", "known by"], rows)
    show.line("bandfuse sensors NAME shows the bands of one.")


def show_sensor(result: SensorResult) -> None:
    """The bands of a sensor, and a drawing of their responses."""
    show.facts([("sensor", result.name), ("source", result.origin or "the file itself")])
    show.line("")
    rows = [[b.name, f"{b.centre_nm:.1f}", f"{b.fwhm_nm:.1f}"] for b in result.bands]
    show.table(["band", "centre nm", "FWHM nm"], rows)
    show.line("")
    for text in drawing(result, min(columns(), WIDEST), _blocks()):
        show.line(text, fold=False)


def _blocks() -> str:
    encoding = (sys.stdout.encoding or "").lower()
    return BLOCKS if encoding.startswith("utf") else PLAIN


def drawing(result: SensorResult, width: int, blocks: str = BLOCKS) -> list[str]:
    """A line per band, or one for all of a sensor of many; and the axis in nm below.

    Every place is as high as the response at its highest within the wavelengths of the place,
    relative to the peak of the band."""
    low = min(b.centre_nm - b.fwhm_nm for b in result.bands)
    high = max(b.centre_nm + b.fwhm_nm for b in result.bands)
    few = len(result.bands) <= ROWS
    side = max((len(b.name) for b in result.bands), default=0) + 1 if few else 4
    room = max(10, width - side - 1)
    edges = [low + (high - low) * i / room for i in range(room + 1)]
    rows = [[_peak(band, a, b) for a, b in pairwise(edges)] for band in result.bands]
    if few:
        names = [f"{band.name:{side}s}" for band in result.bands]
    else:
        rows, names = [[max(column) for column in zip(*rows, strict=True)]], ["all "]
    lines = [name + _drawn(row, blocks) for name, row in zip(names, rows, strict=True)]
    ends = f"{low:.0f}", f"{high:.0f} nm"
    return [*lines, " " * side + ends[0] + ends[1].rjust(room - len(ends[0]))]


def _drawn(row: list[float], blocks: str) -> str:
    top = len(blocks) - 1
    return "".join(blocks[0 if v < 0.02 else max(1, math.ceil(v * top))] for v in row).rstrip()


def _peak(band: SensorBandInfo, low: float, high: float) -> float:
    """The highest response between two wavelengths, relative to the band's peak."""
    if band.nm is None or band.response is None:
        near = min(max(band.centre_nm, low), high)
        distance = abs(near - band.centre_nm)
        return (
            0.0 if distance > 1.5 * band.fwhm_nm else 2.0 ** (-4 * (distance / band.fwhm_nm) ** 2)
        )
    inside = [v for x, v in zip(band.nm, band.response, strict=True) if low <= x <= high]
    ends = [_at(band.nm, band.response, x) for x in (low, high)]
    return max([*inside, *ends]) / max(band.response)


def _at(nm: list[float], response: list[float], x: float) -> float:
    """A response at a wavelength, on straight lines; zero outside."""
    if not nm[0] <= x <= nm[-1]:
        return 0.0
    right = min(max(bisect_left(nm, x), 1), len(nm) - 1)
    a, b = nm[right - 1], nm[right]
    return response[right - 1] + (response[right] - response[right - 1]) * (x - a) / (b - a)
