"""A matplotlib figure as SVG text: small, deterministic, and coloured by the page it stands in.

Colours come out as ``var(--name, #fallback)``: on a page that defines the variables the chart
follows its light or dark theme, and a file on its own shows the light colours. Text stays text."""

from __future__ import annotations

import io
import json
import math
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from itertools import groupby

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK = "#1c2430"
MUTED = "#5b6675"
RULE = "#dbe0e7"
SHADE = "#8b95a4"
SERIES = ("#0b6a9e", "#bf4f08", "#0a7a58", "#97408a", "#846000", "#b3203f", "#4d5db8", "#52606e")
"""Colours of lines, all with a contrast above 4.5 to white."""

_VARIABLES = {INK: "--ink", MUTED: "--muted", RULE: "--rule", SHADE: "--shade"} | {
    colour: f"--series-{i}" for i, colour in enumerate(SERIES, 1)
}
_STYLE: dict[str, object] = {
    "svg.fonttype": "none",
    "font.family": ["sans-serif"],
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10.5,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.titley": 1.0,  # placed by matplotlib it would measure all the ticks first
    "axes.formatter.useoffset": False,
    "axes.formatter.use_mathtext": False,
    "axes.formatter.limits": (-3, 4),
    "grid.color": RULE,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "ytick.major.size": 0,
    "ytick.minor.size": 0,
    "text.color": INK,
    "text.parse_math": False,
    "image.composite_image": False,
    "legend.frameon": False,
}
# a style sheet inside an inlined <svg> would hold for the whole page: the one rule becomes an
# attribute
_SHEET = re.compile(r"<defs>\s*<style.*?</style>\s*</defs>", re.DOTALL)
_TAG = re.compile(r"<[^<>]*>")
_ID = re.compile(r'\sid="([^"]*)"')
_REFERENCE = re.compile(r'(?<=href="#)[^"]+|(?<=url\(#)[^)]+')


@contextmanager
def chart_style(key: str) -> Iterator[None]:
    """The look of the charts, whatever the user's matplotlibrc says; restores all settings at the
    end.

    The names inside the SVG depend on ``key`` alone, so the same figure gives the same text.
    """
    style = {**_STYLE, "svg.hashsalt": f"bandfuse-{key}"}
    with matplotlib.style.context(["default", style]), warnings.catch_warnings():
        # the browser draws the text with its own fonts: a glyph that the measuring font lacks is no
        # loss
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        yield


def colour_bar(
    figure: Figure,
    box: tuple[float, float, float, float],
    colours: Sequence[tuple[float, float, float, float]],
    ticks: Sequence[tuple[float, str]],
    *,
    small: bool = False,
) -> None:
    """A bar of colours from the bottom to the top, with numbers to its right.

    Parameters
    ----------
    box : left, bottom, width and height in parts of the figure.
    colours : red, green, blue, opacity from 0 to 1, evenly spaced between the lowest and the
        highest tick.
    ticks : values in ascending order, and their texts. small : their size.
    """
    axes = figure.add_axes(box)
    low, high = ticks[0][0], ticks[-1][0]
    picture = np.array(colours)[:, None, :]
    extent = (0.0, 1.0, low, high)
    axes.imshow(picture, extent=extent, origin="lower", aspect="auto", interpolation="none")
    axes.grid(False)
    axes.set_xticks([])
    axes.yaxis.tick_right()
    axes.set_yticks([value for value, _ in ticks], [text for _, text in ticks])
    axes.tick_params(axis="y", labelsize=8.5 if small else 10.5)


@dataclass(frozen=True, eq=False)
class Mark:
    """A place in a chart, in the units of its axes, whose value can be read from the page."""

    axes: Axes
    x: float
    y: float
    text: str


def to_svg(
    figure: Figure, *, key: str, label: str, marks: Sequence[Mark] = (), across: bool = False
) -> str:
    """The figure as one ``<svg>`` element, to be called inside :func:`chart_style`.

    Parameters
    ----------
    key : makes the ids unique among the figures of a page.
    label : what the chart shows, for people who can't see it.
    marks : what the page's script shows of the place nearest to the pointer; ``across``: nearest
        along x."""
    out = io.StringIO()
    no_metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(out, format="svg", transparent=True, metadata=no_metadata)
    text = out.getvalue()
    text = re.sub(r"\n\s+", "\n", _SHEET.sub("", text[text.index("<svg") :], count=1)).strip()
    names = {
        name: f"{key}-{i}" for i, name in enumerate(dict.fromkeys(_REFERENCE.findall(_tags(text))))
    }
    text = _TAG.sub(lambda tag: _clean(tag.group(), names), text)
    head = f'<svg role="img" aria-label="{escape(label)}" stroke-linejoin="round"'
    return text.replace("<svg", head + _data(figure, marks, across), 1)


def _data(figure: Figure, marks: Sequence[Mark], across: bool) -> str:
    """The marks as an attribute, in the units of the view box: points from the upper left
    corner."""
    shown = []
    for axes, group in groupby(marks, key=lambda mark: mark.axes):
        some = [mark for mark in group if math.isfinite(mark.x) and math.isfinite(mark.y)]
        places = (
            axes.transData.transform(np.reshape([(mark.x, mark.y) for mark in some], (-1, 2)))
            * 72
            / figure.dpi
        )
        shown += [(x, y, mark.text) for (x, y), mark in zip(places.tolist(), some, strict=True)]
    if not shown:
        return ""
    height = 72 * figure.get_figheight()
    columns = {
        "x": [round(x, 1) for x, _, _ in shown],
        "y": [round(height - y, 1) for _, y, _ in shown],
        "text": [text for _, _, text in shown],
        "across": across,
    }
    text = json.dumps(columns, ensure_ascii=False, separators=(",", ":"))
    # single quotes around it: JSON is full of double ones, which would be six characters each
    return f" data-marks='{escape(text, quote=False).replace(chr(39), '&#39;')}'"


def standalone(text: str) -> str:
    """The SVG text as a file of its own, in the light colours, for programs that know no style
    sheets."""
    text = re.sub(r" data-marks='[^']*'", "", text)
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        + re.sub(r"var\(--[a-z0-9-]+,(#[0-9a-f]{6})\)", r"\1", text)
        + "\n"
    )


def _tags(text: str) -> str:
    return "".join(_TAG.findall(text))


def _clean(tag: str, names: dict[str, str]) -> str:
    """One tag with short unique ids, no ids that nothing refers to, and theme colours."""
    tag = _ID.sub(lambda m: f' id="{names[m.group(1)]}"' if m.group(1) in names else "", tag)
    tag = _REFERENCE.sub(lambda m: names[m.group()], tag)
    for colour, variable in _VARIABLES.items():
        tag = tag.replace(colour, f"var({variable},{colour})")
    return tag
