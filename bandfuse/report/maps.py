"""The maps of the report, as SVG text: fused against target, certain weights by band, errors by
block, noise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from bandfuse.report.figures import (
    GAP_STEPS,
    ROUND_STEPS,
    WIDTH_IN,
    has_wavelengths,
    power_ticks,
    segments,
)
from bandfuse.report.numbers import number, shorten
from bandfuse.report.page_data import BandNoise, BlockErrors, Density
from bandfuse.report.svg import INK, MUTED, SERIES, SHADE, Mark, chart_style, colour_bar, to_svg
from bandfuse.results.training import OutputTrust, WeightRow
from bandfuse.spectral.bands import Floats

HEAT = "#3d8fc6"
"""Colour of pictures inside charts: seen on a light and on a dark page."""

FAINTEST = 0.18
"""Opacity of a cell with one pixel."""

DENSITY_COLUMNS, MOST_DENSITIES = 4, 12
BAR_IN = 0.75
"""Room for a colour bar to the right of the panels."""

MOST_SCENES, SCENE_COLUMNS = 6, 3
MOST_ROWS = 40
TALL_IN = 9.0
"""So high are many rows together, so that they fit on a sheet."""
DARKEST = 0.5
"""Opacity of the block with the largest error: its number stays legible, light or dark."""


def density_figure(
    densities: Sequence[Density],
    labels: Mapping[str, str] | None = None,
    *,
    label: str = "",
    key: str = "density",
) -> str:
    """Counts of pixels by target (x) and fused value (y), a panel per output, with the line of
    equality, as SVG. ``labels``: what outputs are called."""
    shown = densities[:MOST_DENSITIES]
    columns = min(DENSITY_COLUMNS, max(2, len(shown)))
    rows = math.ceil(len(shown) / columns)
    height = rows * (WIDTH_IN - BAR_IN) / columns * 1.02
    most = max((max(map(max, d.counts)) for d in shown), default=1)
    with chart_style(key):
        figure = Figure(figsize=(WIDTH_IN, height))
        edges = {"left": 0.62 / WIDTH_IN, "right": 1 - BAR_IN / WIDTH_IN}
        edges |= {"bottom": 0.5 / height, "top": 1 - 0.3 / height}
        grid = figure.add_gridspec(rows, columns, wspace=0.32, hspace=0.42, **edges)
        marks: list[Mark] = []
        for i, density in enumerate(shown):
            axes = figure.add_subplot(grid[i // columns, i % columns])
            name = (labels or {}).get(density.output, density.output)
            marks += _draw_density(axes, density, name, most)
            if i % columns == 0:
                axes.set_ylabel("fused")
            if i + columns >= len(shown):
                axes.set_xlabel("target")
        _count_bar(figure, most, min(height, 2.4) - 0.8)
        return to_svg(figure, key=key, label=label, marks=marks)


def _opacity(counts: Floats, most: float) -> Floats:
    """Of cells with so many pixels, by the logarithm; the fullest one is opaque."""
    part = np.log1p(counts) / math.log1p(max(most, 1.0))
    strength: Floats = np.where(counts > 0, FAINTEST + (1 - FAINTEST) * part, 0.0)
    return np.clip(strength, 0, 1)


def _count_bar(figure: Figure, most: int, tall: float) -> None:
    """The colours of the densities, of 1 to the most pixels, at the top to the right."""
    height = figure.get_figheight()
    left, bottom = 1 - (BAR_IN - 0.14) / WIDTH_IN, 1 - (0.3 + tall) / height
    ends = math.log1p(1), math.log1p(max(most, 2))
    counts = np.expm1(np.linspace(*ends, 65))
    powers = [10**i for i in range(1, 12) if 10**i < 0.6 * most]
    ticks = [(math.log1p(n), number(n)) for n in (1, *powers, max(most, 2))]
    colours = [(*to_rgb(HEAT), float(a)) for a in _opacity(counts, most)]
    colour_bar(figure, (left, bottom, 0.13 / WIDTH_IN, tall / height), colours, ticks)
    figure.text(left, 1 - 0.2 / height, "pixels", fontsize=9.5, color=MUTED)


def _draw_density(axes: Axes, density: Density, name: str, most: int) -> list[Mark]:
    counts = np.array(density.counts, dtype=np.float64).T
    picture = np.zeros((*counts.shape, 4))
    picture[..., :3] = to_rgb(HEAT)
    picture[..., 3] = _opacity(counts, most)
    ends = density.low, density.high
    axes.imshow(
        picture,
        extent=(*ends, *ends),
        origin="lower",
        interpolation="none",
        aspect="equal",
        zorder=2,
    )
    axes.plot(ends, ends, color=INK, linewidth=0.9, linestyle="--", zorder=3)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(4, steps=ROUND_STEPS))
        power = power_ticks(axis, ends)
    axes.set_title(shorten(name, 24) + power, loc="left", fontsize=10.5, color=INK)
    axes.grid(False)
    step = (density.high - density.low) / len(counts)
    middle = density.low + step * (np.arange(len(counts)) + 0.5)
    shown = [number(float(m), 3) for m in middle]
    return [
        Mark(
            axes,
            middle[j],
            middle[i],
            f"target {shown[j]}, fused {shown[i]}: {number(counts[i, j])} "
            f"{'pixel' if counts[i, j] == 1 else 'pixels'}",
        )
        for i, j in np.argwhere(counts > 0)
    ]


SURE, UNSURE, ZERO = "sure", "unsure", "zero"


def certainty(row: WeightRow) -> str:
    """What an interval says of a weight; empty without one."""
    if row.ci_low is None or row.ci_high is None:
        return ""
    if row.effective_weight == 0:
        return ZERO
    return SURE if row.ci_low > 0 or row.ci_high < 0 else UNSURE


def certainty_figure(
    rows: Mapping[str, Sequence[WeightRow]],
    trust: Sequence[OutputTrust],
    labels: Mapping[str, str] | None = None,
    *,
    label: str = "",
    key: str = "certainty",
) -> str:
    """A line per output against wavelength (nm) or band number: which weights are not zero for
    sure, and which neighbours cannot be told apart, as SVG. ``labels``: what outputs are called."""
    called = labels or {}
    named = {one.name: one for one in trust}
    names = [name for name, some in rows.items() if any(certainty(r) for r in some)][:MOST_ROWS]
    by_wavelength = all(has_wavelengths(rows[name]) for name in names)
    left = 0.25 + 0.082 * max((len(shorten(called.get(n, n), 24)) for n in names), default=1)
    height = 0.95 + min(0.34, TALL_IN / max(len(names), 1)) * len(names)
    with chart_style(key):
        figure = Figure(figsize=(WIDTH_IN, height))
        axes = figure.add_axes(
            (left / WIDTH_IN, 0.52 / height, 1 - (left + 0.1) / WIDTH_IN, 1 - 0.9 / height)
        )
        for y, name in enumerate(names):
            _draw_certainty(axes, rows[name], named.get(name), y, by_wavelength)
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.set_yticks(range(len(names)))
        axes.yaxis.set_major_formatter(
            lambda value, _: shorten(called.get(n := names[round(value)], n), 24) if names else ""
        )
        axes.grid(False)
        axes.margins(x=0.012)
        axes.set_xlabel("wavelength (nm)" if by_wavelength else "band number")
        axes.xaxis.set_major_locator(MaxNLocator(12, integer=not by_wavelength, steps=ROUND_STEPS))
        _certainty_legend(figure)
        return to_svg(figure, key=key, label=label)


def _certainty_legend(figure: Figure) -> None:
    patches = [Patch(color=SERIES[0]), Patch(color=SERIES[1]), Patch(color=SHADE, alpha=0.35)]
    line = Line2D([], [], color=INK, linewidth=2)
    words = ["sign is sure", "interval holds zero", "weight is zero", "cannot be told apart"]
    figure.legend(
        [*patches, line], words, loc="upper left", ncols=4, handlelength=1.6, borderaxespad=0.2
    )


def _draw_certainty(
    axes: Axes, rows: Sequence[WeightRow], trust: OutputTrust | None, y: int, by_wavelength: bool
) -> None:
    looks = {SURE: (SERIES[0], 1.0), UNSURE: (SERIES[1], 1.0), ZERO: (SHADE, 0.35)}
    place = {
        r.band: float(at)
        for r in rows
        if (at := r.wavelength_nm if by_wavelength else r.band) is not None
    }
    order = sorted(
        (r for r in rows if certainty(r) and r.band in place), key=lambda r: place[r.band]
    )
    x = np.array([place[r.band] for r in order])
    half = halves(x)
    cells = [(certainty(r), x[i] - half[i, 0], x[i] + half[i, 1]) for i, r in enumerate(order)]
    joined = _joined(cells)
    for kind, (colour, alpha) in looks.items():
        boxes = [_box(left, right, y - 0.3, y + 0.1) for one, left, right in joined if one == kind]
        axes.add_collection(
            PolyCollection(boxes, facecolor=colour, alpha=alpha, linewidth=0), autolim=False
        )
    for one in trust.runs if trust else ():
        ends = [place[b] for b in one.bands if b in place]
        if ends:
            axes.plot(
                [min(ends), max(ends)],
                [y + 0.22] * 2,
                color=INK,
                linewidth=2,
                solid_capstyle="butt",
            )
    axes.plot(x, np.full(len(x), y), linestyle="none")


def _joined(cells: Sequence[tuple[str, float, float]]) -> list[tuple[str, float, float]]:
    """Cells of one kind that touch each other as one."""
    found: list[tuple[str, float, float]] = []
    for kind, left, right in cells:
        if found and kind == found[-1][0] and left <= found[-1][2] * (1 + 1e-9):
            found[-1] = kind, found[-1][1], right
        else:
            found.append((kind, left, right))
    return found


def _box(left: float, right: float, top: float, bottom: float) -> list[tuple[float, float]]:
    """Corners of a rectangle."""
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def halves(x: Floats) -> Floats:
    """(n, 2) half of the step to the neighbours of ascending places; a gap counts as a usual
    step."""
    if len(x) < 2:
        return np.full((len(x), 2), 0.5)
    step = np.diff(x)
    usual = float(np.median(step[step > 0])) if (step > 0).any() else 1.0
    step = np.where(step > GAP_STEPS * usual, usual, step)
    halves: Floats = 0.5 * np.stack([np.r_[step[0], step], np.r_[step, step[-1]]], axis=1)
    return halves


@dataclass(frozen=True, eq=False)
class _Panel:
    title: str
    scene: BlockErrors
    values: Floats


def mean_errors(scene: BlockErrors) -> Floats:
    """(blocks,) mean over the outputs; NaN where there are no pixels."""
    table = np.array([[np.nan if e is None else e for e in row] for row in scene.errors.values()])
    known = np.isfinite(table)
    return np.where(
        known.any(axis=0),
        np.where(known, table, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1),
        np.nan,
    )


def blocks_figure(
    scenes: Sequence[BlockErrors],
    labels: Mapping[str, str] | None = None,
    *,
    label: str = "",
    key: str = "blocks",
) -> str:
    """Where weights that were learned without a block miss its target: a map per scene of the mean
    over the outputs; of a single scene also of the output with the largest error, as SVG.
    ``labels``: what outputs are called."""
    panels = _panels(scenes, labels or {})
    tall = max(min(1.4, max(0.3, p.scene.row_edges[-1] / p.scene.col_edges[-1])) for p in panels)
    columns = min(SCENE_COLUMNS, max(2, len(panels)))
    rows, width = math.ceil(len(panels) / columns), WIDTH_IN / columns
    height = rows * (0.8 * width * tall + 0.75)
    with chart_style(key):
        figure = Figure(figsize=(WIDTH_IN, height))
        grid = figure.add_gridspec(
            rows,
            columns,
            left=0.62 / WIDTH_IN,
            right=1 - BAR_IN / WIDTH_IN,
            bottom=0.5 / height,
            top=1 - 0.3 / height,
            wspace=0.17 * columns,
            hspace=0.3,
        )
        for i, panel in enumerate(panels):
            axes = figure.add_subplot(grid[i // columns, i % columns])
            _draw_blocks(axes, panel)
            _error_bar(figure, axes, panel)
        return to_svg(figure, key=key, label=label)


def _error_bar(figure: Figure, axes: Axes, panel: _Panel) -> None:
    """The colours of one map, from no error to its largest, to the right of it."""
    most = _largest(panel)
    axes.apply_aspect()
    box = axes.get_position()
    colours = [(*to_rgb(SERIES[0]), DARKEST * part) for part in np.linspace(0, 1, 65)]
    place = (box.x1 + 0.1 / WIDTH_IN, box.y0, 0.13 / WIDTH_IN, box.height)
    colour_bar(figure, place, colours, [(0.0, "0"), (most, _share(most))], small=True)


def _largest(panel: _Panel) -> float:
    """The largest error of a map; 1 where there is none."""
    finite = panel.values[np.isfinite(panel.values)]
    return float(finite.max()) if finite.size and finite.max() > 0 else 1.0


def _panels(scenes: Sequence[BlockErrors], labels: Mapping[str, str]) -> list[_Panel]:
    if len(scenes) > 1:
        return [_Panel(shorten(s.scene, 36), s, mean_errors(s)) for s in scenes[:MOST_SCENES]]
    (scene,) = scenes
    several = len(scene.errors) > 1
    found = [
        _Panel(
            "mean over the outputs"
            if several
            else shorten(labels.get(n := next(iter(scene.errors)), n), 36),
            scene,
            mean_errors(scene),
        )
    ]
    if several:
        table = {
            n: np.array([np.nan if e is None else e for e in row])
            for n, row in scene.errors.items()
        }
        known = {n: float(np.nanmean(v)) for n, v in table.items() if np.isfinite(v).any()}
        worst = max(known, key=lambda n: known[n])
        name = shorten(labels.get(worst, worst), 28)
        found.append(_Panel(f"{name}, with the largest error", scene, table[worst]))
    return found


def _draw_blocks(axes: Axes, panel: _Panel) -> None:
    rows, cols = panel.scene.row_edges, panel.scene.col_edges
    most = _largest(panel)
    boxes, looks = [], []
    for i, (top, bottom) in enumerate(pairwise(rows)):
        for j, (left, right) in enumerate(pairwise(cols)):
            value = float(panel.values[i * (len(cols) - 1) + j])
            known = math.isfinite(value)
            looks.append((SERIES[0], DARKEST * max(value, 0) / most) if known else (SHADE, 0.12))
            boxes.append(_box(left, right, top, bottom))
            text = _share(value) if known else "–"
            axes.text(
                (left + right) / 2,
                (top + bottom) / 2,
                text,
                ha="center",
                va="center",
                fontsize=8.5,
                color=INK,
            )
    axes.add_collection(PolyCollection(boxes, facecolors=looks, linewidth=0), autolim=False)
    axes.set_xlim(0, cols[-1])
    axes.set_ylim(rows[-1], 0)
    axes.set_aspect("equal" if 0.3 <= rows[-1] / cols[-1] <= 1.4 else "auto")
    axes.grid(False)
    axes.set_title(panel.title, loc="left", fontsize=10.5, color=MUTED)
    axes.set_xlabel("column")
    axes.set_ylabel("row")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(6, integer=True))


def _share(value: float) -> str:
    """Two digits of a percentage, without the sign.

    >>> _share(0.00123), _share(0.5), _share(3.21)
    ('0.12', '50', '321')
    """
    return (
        f"{100 * value:.0f}"
        if value >= 0.0995
        else f"{100 * value:#.2g}"
        if value >= 1e-5
        else "<0.001"
    )


def noise_figure(noise: Sequence[BandNoise], *, label: str = "", key: str = "noise") -> str:
    """Signal to noise of the bands in dB against wavelength (nm) or band number, as SVG."""
    by_wavelength = all(n.wavelength_nm is not None for n in noise)
    points = sorted(
        (
            float(n.wavelength_nm if by_wavelength and n.wavelength_nm is not None else n.band),
            n.band,
            n.snr_db,
        )
        for n in noise
        if n.snr_db is not None
    )
    x, y = np.array([p[0] for p in points]), np.array([p[2] for p in points], dtype=np.float64)
    with chart_style(key):
        figure = Figure(figsize=(WIDTH_IN, 3.2))
        axes = figure.add_axes((0.08, 0.17, 0.91, 0.78))
        for part in segments(x, np.array([])):
            lone = part.stop - part.start == 1
            axes.plot(
                x[part], y[part], "o" if lone else "-", color=SERIES[0], linewidth=1.5, markersize=4
            )
        axes.set_xlabel("wavelength (nm)" if by_wavelength else "band number")
        axes.set_ylabel("signal to noise (dB)")
        unit = " nm" if by_wavelength else ""
        marks = [
            Mark(
                axes,
                a,
                float(b),
                f"band {band}{f', {a:.1f}' + unit if unit else ''}: {number(float(b), 3)} dB",
            )
            for a, band, b in points
            if b is not None
        ]
        return to_svg(figure, key=key, label=label, marks=marks, across=True)
