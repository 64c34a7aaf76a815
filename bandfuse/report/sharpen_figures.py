"""Sharpen figures: the charts of a sharpening: gain by band, gains and weights, spectra."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from bandfuse.report.figures import (
    MARKER_POINTS,
    ROUND_STEPS,
    canvas,
    legend,
    look,
    power_ticks,
    segments,
)
from bandfuse.report.numbers import number, shorten
from bandfuse.report.sharpen_data import Spot
from bandfuse.report.svg import INK, SERIES, SHADE, Mark, chart_style, to_svg
from bandfuse.results.sharpening import BandScore, GainRow
from bandfuse.spectral.bands import Floats

NONE: Floats = np.array([])


@dataclass(frozen=True, eq=False)
class Line:
    """One line of a chart by band: its name, (B,) values, and ends of intervals, NaN where there
    are none."""

    name: str
    y: Floats
    low: Floats | None = None
    high: Floats | None = None


def has_nm(bands: Sequence[GainRow]) -> bool:
    """Whether every band has a wavelength."""
    return all(b.wavelength_nm is not None and math.isfinite(b.wavelength_nm) for b in bands)


def places_of(bands: Sequence[GainRow]) -> Floats:
    """(B,) wavelengths, or numbers of the bands where one is missing."""
    known = has_nm(bands)
    return np.array([b.wavelength_nm if known else b.index for b in bands], dtype=np.float64)


def in_words(band: GainRow) -> str:
    """What a reading of a chart calls a band."""
    nm = "" if band.wavelength_nm is None else f", {band.wavelength_nm:.1f} nm"
    return f"band {band.index} ({shorten(band.name)}){nm}"


def lines_figure(
    bands: Sequence[GainRow], lines: Sequence[Line], unit: str, *, label: str, key: str
) -> str:
    """Lines by band with tints for their intervals, as SVG. ``unit``: what the values are."""
    x = places_of(bands)
    order = np.argsort(x, kind="stable")
    with chart_style(key):
        looks = [look(i) for i in range(len(lines))]
        named = [(line.name, *one) for line, one in zip(lines, looks, strict=True)]
        figure, (axes,) = canvas(len(lines), (1.0,))
        axes.axhline(0.0, color=INK, linewidth=0.9, zorder=1.5)
        for line, (_, colour, style) in zip(lines, named, strict=True):
            _draw(axes, x[order], _ordered(line, order), colour, style)
        _label(axes, bands, unit)
        legend(figure, named)
        marks = [
            Mark(axes, float(x[i]), float(line.y[i]), _read(line, i, bands[i], len(lines) > 1))
            for line in lines
            for i in order.tolist()
        ]
        return to_svg(figure, key=key, label=label, marks=marks, across=len(lines) == 1)


def _ordered(line: Line, order: np.ndarray) -> Line:
    low, high = (None if v is None else v[order] for v in (line.low, line.high))
    return Line(line.name, line.y[order], low, high)


def _draw(axes: Axes, x: Floats, line: Line, colour: str, style: str) -> None:
    for part in segments(x, NONE):
        lone = part.stop - part.start == 1
        axes.plot(
            x[part],
            line.y[part],
            "o" if lone else style,
            color=colour,
            linewidth=1.6,
            markersize=3,
            markeredgewidth=0,
            solid_joinstyle="round",
            zorder=3,
        )
        if line.low is None or line.high is None:
            continue
        if lone:
            axes.vlines(x[part], line.low[part], line.high[part], color=colour, alpha=0.25)
        else:
            axes.fill_between(
                x[part], line.low[part], line.high[part], color=colour, alpha=0.2, linewidth=0
            )


def _label(axes: Axes, bands: Sequence[GainRow], unit: str) -> None:
    by_nm = has_nm(bands)
    axes.set_xlabel("wavelength (nm)" if by_nm else "band number")
    axes.xaxis.set_major_locator(MaxNLocator(12, integer=not by_nm, steps=ROUND_STEPS))
    axes.set_ylabel(unit + power_ticks(axes.yaxis, axes.get_ylim()))


def _read(line: Line, i: int, band: GainRow, several: bool) -> str:
    known = line.low is not None and line.high is not None
    between = (
        f" (95\u202f%: {number(float(line.low[i]), 3)} to {number(float(line.high[i]), 3)})"
        if known and line.low is not None and line.high is not None
        else ""
    )
    name = f"{line.name}, " if several else ""
    return f"{name}{in_words(band)}: {number(float(line.y[i]))}{between}"


def gained_figure(
    bands: Sequence[GainRow], scores: Sequence[BandScore], *, label: str, key: str = "gained"
) -> str:
    """What each band gained over interpolation in dB, with its 95 % interval; bands that come out
    interpolated are grey points, as SVG."""
    rows = {score.index: score for score in scores}
    some = [band for band in bands if band.index in rows]
    y = np.array([_number(rows[band.index].gained) for band in some])
    half = 1.96 * np.array([_number(rows[band.index].error) for band in some])
    x = places_of(some)
    order = np.argsort(x, kind="stable")
    with chart_style(key):
        figure, (axes,) = canvas(1, (1.0,))
        axes.axhline(0.0, color=INK, linewidth=0.9, zorder=1.5)
        line = Line("", y, y - half, y + half)
        _draw(axes, x[order], _ordered(line, order), SERIES[0], "-")
        plain = np.array([not band.detail for band in some], dtype=bool)
        if plain.any() and len(some) <= MARKER_POINTS:
            axes.plot(
                x[plain], y[plain], "o", color=SHADE, markersize=3.4, markeredgewidth=0, zorder=4
            )
        _label(axes, some, "gain over interpolation (dB)")
        marks = [
            Mark(axes, float(x[i]), float(y[i]), _gain_words(some[i], rows[some[i].index]))
            for i in order.tolist()
        ]
        return to_svg(figure, key=key, label=label, marks=marks, across=True)


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _gain_words(band: GainRow, score: BandScore) -> str:
    error = "" if score.error is None else f" ± {score.error:.2f}"
    kind = "" if band.detail else ", interpolated"
    text = "–" if score.gained is None else f"{score.gained:+.2f}{error} dB"
    return f"{in_words(band)}: {text}{kind}".replace("-", "−")


def spectra_figure(
    bands: Sequence[GainRow], spots: Mapping[int, Spot], *, label: str, key: str = "spectra"
) -> str:
    """Spectra of points before (dashed) and after (solid), as SVG; ``spots``: by their number."""
    x = places_of(bands)
    order = np.argsort(x, kind="stable")
    with chart_style(key):
        named = [(f"point {n}", look(i)[0], "-") for i, n in enumerate(spots)]
        figure, (axes,) = canvas(len(spots), (1.0,))
        marks = []
        for (n, spot), (_, colour, _) in zip(spots.items(), named, strict=True):
            for values, style in ((spot.before, "--"), (spot.after, "-")):
                y = np.array([_number(v) for v in values], dtype=np.float64)
                _draw(axes, x[order], Line("", y[order]), colour, style)
                kind = "after" if style == "-" else "before"
                marks += [
                    Mark(
                        axes,
                        float(x[i]),
                        float(y[i]),
                        f"point {n}, {kind}, {in_words(bands[i])}: {number(float(y[i]))}",
                    )
                    for i in order.tolist()
                ]
        _label(axes, bands, "value in the cube's units")
        legend(figure, [(name, colour, "-") for name, colour, _ in named])
        return to_svg(figure, key=key, label=label, marks=marks)
