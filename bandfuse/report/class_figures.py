"""The charts of classes, as SVG text: their spectra, and what they are taken for."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bandfuse.report.figures import (
    ROUND_STEPS,
    WIDTH_IN,
    canvas,
    legend,
    look,
    power_ticks,
    segments,
)
from bandfuse.report.maps import FAINTEST, HEAT
from bandfuse.report.numbers import number, shorten
from bandfuse.report.svg import INK, Mark, chart_style, colour_bar, to_svg
from bandfuse.results.training import SeparatedClass, Separation
from bandfuse.spectral.bands import Floats, Positions

MOST_TINTS = 6
"""With more classes than this no deviations are drawn: they would cover each other."""

MOST_NUMBERS = 16
"""With more classes than this the counts are not written into the cells."""

LONGEST = 22
"""Characters of a class name in a chart."""


def spectra_figure(table: Separation, *, label: str = "", key: str = "spectra") -> str:
    """Mean of each class by wavelength (nm) or band number, with a tint of one standard deviation
    to both sides, as SVG."""
    nm = np.array([np.nan if x is None else x for x in table.wavelength_nm], dtype=np.float64)
    by_wavelength = bool(np.isfinite(nm).all())
    x = nm if by_wavelength else np.array(table.bands, dtype=np.float64)
    order = np.argsort(x, kind="stable")
    entries = [(row.name, *look(i)) for i, row in enumerate(table.rows)]
    with chart_style(key):
        figure, (axes,) = canvas(len(entries), (1.0,))
        marks: list[Mark] = []
        for i, row in enumerate(table.rows):
            tint = len(table.rows) <= MOST_TINTS
            marks += _draw_spectrum(axes, row, x[order], order, look=look(i), tint=tint)
        axes.margins(x=0.012)
        axes.set_xlabel("wavelength (nm)" if by_wavelength else "band number")
        axes.xaxis.set_major_locator(MaxNLocator(12, integer=not by_wavelength, steps=ROUND_STEPS))
        axes.set_ylabel("value" + power_ticks(axes.yaxis, axes.get_ylim()))
        legend(figure, entries)
        return to_svg(figure, key=key, label=label, marks=marks)


def _draw_spectrum(
    axes: Axes,
    row: SeparatedClass,
    x: Floats,
    order: Positions,
    *,
    look: tuple[str, str],
    tint: bool,
) -> list[Mark]:
    colour, style = look
    mean, spread = np.array(row.mean)[order], np.array(row.deviation)[order]
    for part in segments(x, np.array([])):
        at, middle, wide = x[part], mean[part], spread[part]
        lone = "o" if len(at) == 1 else style
        axes.plot(at, middle, lone, color=colour, linewidth=1.7, markersize=3, zorder=3)
        if tint:
            axes.fill_between(at, middle - wide, middle + wide, color=colour, alpha=0.14, lw=0)
    return [
        Mark(axes, a, b, f"{row.name}, {a:.5g}: {number(b)} ± {number(c, 3)}")
        for a, b, c in zip(x.tolist(), mean.tolist(), spread.tolist(), strict=True)
    ]


def confusion_figure(table: Separation, *, label: str = "", key: str = "confusion") -> str:
    """Pixels by their class (row) and the class that is found (column): the colour is the share of
    the row, as SVG."""
    counts = np.array(table.confusion, dtype=np.float64)
    total = counts.sum(axis=1, keepdims=True)
    part = counts / np.where(total > 0, total, 1.0)
    names = [shorten(row.name, LONGEST) for row in table.rows]
    side = min(0.62, 6.4 / len(names)) * len(names)
    left, head = 0.5 + 0.085 * max(map(len, names)), 0.3
    foot = 0.55 + 0.075 * max(map(len, names)) * 0.75
    height = side + head + foot
    with chart_style(key):
        figure = Figure(figsize=(WIDTH_IN, height))
        wide = min(WIDTH_IN - left - 1.0, max(side * 1.5, 3.0))
        box = (left / WIDTH_IN, foot / height, wide / WIDTH_IN, side / height)
        axes = figure.add_axes(box)
        marks = _draw_confusion(axes, counts, part, names)
        bar = ((left + wide + 0.12) / WIDTH_IN, box[1], 0.13 / WIDTH_IN, box[3])
        colours = [(*to_rgb(HEAT), _strength(v)) for v in np.linspace(0, 1, 65)]
        colour_bar(figure, bar, colours, [(0.0, "0 %"), (0.5, "50 %"), (1.0, "100 % of the class")])
        return to_svg(figure, key=key, label=label, marks=marks)


DEEPEST = 0.55
"""Opacity of a cell that holds all of its class: the number in it stays legible."""


def _strength(part: float) -> float:
    return (FAINTEST * 0.5 + (1 - FAINTEST * 0.5) * part) * DEEPEST if part > 0 else 0.0


def _draw_confusion(axes: Axes, counts: Floats, part: Floats, names: list[str]) -> list[Mark]:
    picture = np.zeros((*counts.shape, 4))
    picture[..., :3] = to_rgb(HEAT)
    picture[..., 3] = np.vectorize(_strength)(part)
    axes.imshow(picture, aspect="auto", interpolation="none", zorder=2)
    axes.grid(False)
    every = max(1, -(-len(names) // 40))
    shown = range(0, len(names), every)
    # plain labels first: matplotlib reads a meaning into labels that start with an underscore
    for axis, slant in ((axes.xaxis, len(names) > 4 or max(map(len, names)) > 12), (axes.yaxis, 0)):
        axis.set_ticks(list(shown), [names[i] for i in shown])
        if slant:
            axes.tick_params(axis="x", labelrotation=35)
            for tick in axes.get_xticklabels():
                tick.set_horizontalalignment("right")
                tick.set_rotation_mode("anchor")
    axes.set_xlabel("found")
    axes.set_ylabel("class")
    marks = []
    for (i, j), count in np.ndenumerate(counts):
        if len(names) <= MOST_NUMBERS:
            text = number(float(count)) if count else "·"
            axes.text(j, i, text, ha="center", va="center", fontsize=9.5, color=INK, zorder=4)
        if count:
            percent = number(100 * float(part[i, j]), 3)
            words = f"{names[i]} found as {names[j]}: {number(float(count))} pixels, {percent} %"
            marks.append(Mark(axes, j, i, words))
    return marks
