"""Displacement map: by how much a sharp image is to be moved from place to place, as SVG text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bandfuse.report.figures import WIDTH_IN
from bandfuse.report.numbers import number
from bandfuse.report.svg import SERIES, SHADE, Mark, chart_style, to_svg
from bandfuse.results.sharpening import DisplacedPlace, RegistrationRow
from bandfuse.spectral.bands import Floats

LONGEST = 0.09
"""The longest arrow, as a part of the longer side of the scene."""

MARGIN_IN, TALLEST_IN = 0.7, 8.0


def displacement_map(row: RegistrationRow, *, label: str = "", key: str = "displacement") -> str:
    """The field of a registration as arrows over the cube's pixels, and what the windows say, as
    SVG. Arrows point to where the sharp image is moved; their length is stated."""
    rows, cols = row.shape
    height = min(TALLEST_IN, (WIDTH_IN - MARGIN_IN) * rows / max(cols, 1) + 2 * MARGIN_IN)
    longest = max((np.hypot(p.dx, p.dy) for p in (*row.field, *row.measured)), default=0.0)
    scale = LONGEST * max(rows, cols) / max(float(longest), 1e-9)
    with chart_style(key):
        figure = Figure(figsize=(WIDTH_IN, height))
        axes = figure.add_axes(
            (MARGIN_IN / WIDTH_IN, MARGIN_IN / height, 0.9, 1 - 2 * MARGIN_IN / height)
        )
        _arrows(axes, row.measured, scale, SHADE, 2.2)
        _arrows(axes, row.field, scale, SERIES[0], 3.0)
        room = LONGEST * max(rows, cols)
        axes.set_xlim(-room, cols - 1 + room)
        axes.set_ylim(rows - 1 + room, -room)
        axes.set_aspect("equal")
        axes.grid(False)
        axes.set_xlabel("column of the cube")
        axes.set_ylabel("row of the cube")
        axes.set_title(
            f"{row.order} field; the longest arrow is {number(float(longest))} pixels of the cube; "
            "grey: single windows",
            fontsize=10,
            loc="left",
        )
        marks = [Mark(axes, p.col, p.row, _told(p)) for p in row.field]
        return to_svg(figure, key=key, label=label, marks=marks)


def _arrows(
    axes: Axes, places: Sequence[DisplacedPlace], scale: float, colour: str, width: float
) -> None:
    """An arrow at each place."""
    every: Floats = np.array([(p.col, p.row, p.dx, p.dy) for p in places]).reshape(-1, 4)
    axes.quiver(
        *every.T, angles="xy", scale_units="xy", scale=1 / scale, color=colour, width=width / 1000
    )


def _told(place: DisplacedPlace) -> str:
    return (
        f"row {place.row:.0f}, column {place.col:.0f}: {place.dx:+.2f} columns, {place.dy:+.2f} "
        f"rows (± {place.error:.2f})"
    )
