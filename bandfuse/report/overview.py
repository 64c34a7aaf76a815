"""All outputs in one chart, as SVG text: responses as lines, or many of them as rows of a
picture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from bandfuse.report.figures import ROUND_STEPS, WIDTH_IN, has_wavelengths, segments
from bandfuse.report.maps import HEAT, halves
from bandfuse.report.numbers import shorten
from bandfuse.report.svg import INK, SERIES, chart_style, colour_bar, to_svg
from bandfuse.results.training import WeightRow
from bandfuse.spectral.bands import Floats

Rows = Mapping[str, Sequence[WeightRow]]
BELOW = "#d9793b"
"""Colour of weights below zero in the picture: seen on a light and on a dark page."""

MOST_LINES = len(SERIES)
"""With more outputs than this each is a row of a picture."""

COLUMNS = 1000
"""Pixels across of the picture."""

LINES_IN, HEAD_IN, FOOT_IN = 2.7, 0.42, 0.55
MOST_LABELS = 40

BAR_IN = 0.62
"""Room for the colour bar to the right of the picture."""


def overview_figure(rows: Rows, *, label: str = "", key: str = "overview") -> str:
    """Weights of two outputs or more against wavelength (nm) or band number, each divided by the
    size of its largest, as SVG. Up to 8 outputs are lines; more are rows of a picture, the stronger
    the colour the larger the weight."""
    by_wavelength = all(has_wavelengths(some) for some in rows.values())
    curves = {name: _relative(some, by_wavelength) for name, some in rows.items()}
    lines = len(curves) <= MOST_LINES
    body = LINES_IN if lines else max(1.2, min(0.3, 8 / len(curves)) * len(curves))
    left = 0.84 if lines else 0.25 + 0.082 * max(len(shorten(name, 24)) for name in curves)
    height = body + HEAD_IN + FOOT_IN
    with chart_style(key):
        figure = Figure(figsize=(WIDTH_IN, height))
        right = 0.1 if lines else 0.1 + BAR_IN
        axes = figure.add_axes(
            (left / WIDTH_IN, FOOT_IN / height, 1 - (left + right) / WIDTH_IN, body / height)
        )
        (_draw_lines if lines else _draw_picture)(axes, curves)
        if not lines:
            _colour_bar(figure, (1 - right / WIDTH_IN, FOOT_IN / height, 0, body / height))
        axes.set_xlabel("wavelength (nm)" if by_wavelength else "band number")
        axes.xaxis.set_major_locator(MaxNLocator(12, integer=not by_wavelength, steps=ROUND_STEPS))
        if lines:
            _legend(figure, list(curves))
        return to_svg(figure, key=key, label=label)


def _relative(rows: Sequence[WeightRow], by_wavelength: bool) -> tuple[Floats, Floats]:
    """Places in ascending order, and weights divided by the size of the largest."""
    x = np.array([r.wavelength_nm if by_wavelength else r.band for r in rows], dtype=np.float64)
    y = np.array([r.effective_weight for r in rows], dtype=np.float64)
    order, most = np.argsort(x, kind="stable"), float(np.abs(y).max(initial=0.0))
    return x[order], y[order] / (most if most > 0 else 1.0)


def _draw_lines(axes: Axes, curves: Mapping[str, tuple[Floats, Floats]]) -> None:
    axes.axhline(0.0, color=INK, linewidth=0.9, zorder=1.5)
    for i, (x, y) in enumerate(curves.values()):
        for part in segments(x, np.array([])):
            axes.plot(
                x[part], y[part], color=SERIES[i], linewidth=1.6, solid_joinstyle="round", zorder=3
            )
            axes.fill_between(x[part], 0.0, y[part], color=SERIES[i], alpha=0.13, linewidth=0)
    axes.margins(x=0.012)
    axes.set_ylabel("weight / largest")


def _draw_picture(axes: Axes, curves: Mapping[str, tuple[Floats, Floats]]) -> None:
    ends = [
        edge
        for x, _ in curves.values()
        for edge in (x[0] - halves(x)[0, 0], x[-1] + halves(x)[-1, 1])
    ]
    grid = np.linspace(min(ends), max(ends), COLUMNS)
    picture = np.zeros((len(curves), COLUMNS, 4))
    for i, (x, y) in enumerate(curves.values()):
        half = halves(x)
        at = np.clip(np.searchsorted(x - half[:, 0], grid, "right") - 1, 0, len(x) - 1)
        inside = (grid >= x[at] - half[at, 0]) & (grid <= x[at] + half[at, 1])
        picture[i, :, :3] = np.where(y[at, None] >= 0, to_rgb(HEAT), to_rgb(BELOW))
        picture[i, :, 3] = np.where(inside, np.clip(np.abs(y[at]), 0.05, 1.0), 0.0)
    extent = (min(ends), max(ends), len(curves) - 0.5, -0.5)
    axes.imshow(picture, extent=extent, aspect="auto", interpolation="none", zorder=2)
    names = [shorten(name, 24) for name in curves]
    axes.set_yticks(range(0, len(names), math.ceil(len(names) / MOST_LABELS)))
    axes.yaxis.set_major_formatter(lambda value, _: names[round(value)])
    axes.grid(False)


def _colour_bar(figure: Figure, beside: tuple[float, float, float, float]) -> None:
    """What the colours of the picture are, to the right of it."""
    right, bottom, _, height = beside
    colour_bar(
        figure,
        (right + 0.1 / WIDTH_IN, bottom, 0.13 / WIDTH_IN, height),
        [(*to_rgb(HEAT if v >= 0 else BELOW), abs(v)) for v in np.linspace(-1, 1, 65)],
        [(-1.0, "−1"), (0.0, "0"), (1.0, "1")],
    )


def _legend(figure: Figure, names: Sequence[str]) -> None:
    """A legend of the lines above the chart."""
    # plain labels first: matplotlib reads a meaning into labels that start with an underscore
    legend = figure.legend(
        [Line2D([], [], color=SERIES[i], linewidth=2.4) for i in range(len(names))],
        [str(i) for i in range(len(names))],
        loc="upper left",
        ncols=len(names),
        handlelength=1.6,
        borderaxespad=0.2,
        columnspacing=1.6,
    )
    for place, text in zip(legend.get_texts(), names, strict=True):
        place.set_text(shorten(text, 20))
