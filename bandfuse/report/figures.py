"""The charts of the report, as SVG text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from bandfuse.report.numbers import SUPERSCRIPT, number, shorten
from bandfuse.report.svg import INK, MUTED, SERIES, SHADE, Mark, chart_style, to_svg
from bandfuse.results.training import DroppedBand, WeightRow
from bandfuse.spectral.bands import Floats

LineStyle = Literal["-", "--", ":"]
STYLES: tuple[LineStyle, ...] = ("-", "--", ":")
_Entry = tuple[str, str, LineStyle]
Aim = tuple[float, float | None]
Range = tuple[float, float]
WIDTH_IN, HEIGHT_IN = 10.6, 3.5
STEM_BANDS = 24
"""Up to this many bands a chart has stems, above it a line."""
LEGEND_MOST, LEGEND_COLUMNS = 16, 5
GAP_STEPS = 3.0
"""A step longer than this many median steps is a gap in the wavelengths."""
MARKER_POINTS = 2000
"""Charts with more points than this show lines only, and charts of several lines."""
DETAIL_SHARE = 0.4
"""A chart gets a second panel if its weight lies within this share of the axis."""
DETAIL_LEAST, DETAIL_HELD = 0.01, 0.9
"""Weights below this part of the largest may lie elsewhere, as long as the others hold this part of
the sizes."""
ROUND_STEPS = (1, 2, 5, 10)


@dataclass(frozen=True, eq=False)
class _Series:
    """The weights of one line: x ascending; x, y, low, high of (B,)."""

    label: str
    x: Floats
    y: Floats
    low: Floats
    high: Floats

    def within(self, part: Range) -> _Series:
        """The points in one part of the axis."""
        keep = (self.x >= part[0]) & (self.x <= part[1])
        return _Series(self.label, self.x[keep], self.y[keep], self.low[keep], self.high[keep])

    @property
    def has_interval(self) -> bool:
        return bool((np.isfinite(self.low) & np.isfinite(self.high)).any())


def has_wavelengths(rows: Sequence[WeightRow]) -> bool:
    """True if a chart of these weights is drawn against wavelength: every band has one."""
    return bool(rows) and all(
        r.wavelength_nm is not None and math.isfinite(r.wavelength_nm) for r in rows
    )


def weights_figure(
    rows: Sequence[WeightRow],
    dropped: Sequence[DroppedBand] = (),
    *,
    published: Mapping[int, float] | None = None,
    target: Aim | None = None,
    label: str = "",
    key: str = "weights",
) -> str:
    """Effective weights of one output against wavelength (nm), or band number if a wavelength is
    missing, as SVG.

    Bands of different scenes or sources are separate lines. Lines break at wavelength gaps and at
    dropped bands; dropped bands are shaded; 95 % intervals are drawn where they exist. If nearly
    all the weight lies in a small part of the axis, a second panel shows the whole of it. (Up to 24
    bands are drawn as stems.)

    Parameters
    ----------
    rows : the weights of one output.
    dropped : bands that were not used; those of other sources are left out.
    published : weights to show beside them, by band number; zero for all others.
    target : centre and full width at half maximum in nm of what the output is to be, drawn as a
        line and a strip; the width may be missing.
    label : alternative text.
    key : makes ids unique on a page.
    """
    by_wavelength = has_wavelengths(rows)
    series = _all_series(rows, by_wavelength)
    unused = dropped_positions(rows, dropped, by_wavelength)
    entries = _entries(series, published=bool(published))
    with chart_style(key):
        whole, detail = _whole_range(series), _detail_range(series)
        figure, panels = canvas(
            len(entries), (1.9, 1.0) if detail else (1.0,), titles=detail is not None
        )
        if detail:
            _draw_weights(panels[0], series, unused, detail, markers=len(series) == 1)
            _draw_weights(panels[1], series, unused, whole, markers=False)
            for axes, title in zip(panels, ("where the weight is", "all bands"), strict=True):
                axes.set_title(title, loc="left", fontsize=10.5, color=MUTED)
        else:
            few = len(series) == 1 and len(series[0].x) <= MARKER_POINTS
            _draw_weights(panels[0], series, unused, whole, markers=few)
        for axes in panels:
            if target and by_wavelength:
                _draw_target(axes, *target)
            if published:
                _draw_published(axes, rows, published, by_wavelength)
            most = 12 if len(panels) == 1 else 8 if axes is panels[0] else 5
            _label_bands(axes, most, by_wavelength)
        panels[0].set_ylabel(
            "effective weight" + power_ticks(panels[0].yaxis, panels[0].get_ylim())
        )
        legend(figure, entries)
        parts = zip(panels, (detail or whole, whole), strict=False)
        marks = [m for axes, part in parts for m in _weight_marks(axes, rows, part, by_wavelength)]
        return to_svg(figure, key=key, label=label, marks=marks, across=True)


def _label_bands(axes: Axes, most: int, by_wavelength: bool) -> None:
    """What lies along the axis of the bands, with at most so many numbers."""
    axes.set_xlabel("wavelength (nm)" if by_wavelength else "band number")
    places = MaxNLocator(most, integer=not by_wavelength, steps=ROUND_STEPS)
    axes.xaxis.set_major_locator(places)


def _entries(series: Sequence[_Series], *, published: bool) -> list[_Entry]:
    """The legend: a line of each series, and the published weights."""
    lines = [(one.label, *look(i)) for i, one in enumerate(series)]
    if not published:
        return lines
    named = [(name or "learned", colour, style) for name, colour, style in lines]
    return [*named, ("published", INK, "--")]


def _weight_marks(
    axes: Axes, rows: Sequence[WeightRow], part: Range, by_wavelength: bool
) -> list[Mark]:
    """The weights that a panel shows, in words, from left to right."""
    placed = sorted(
        (float(x), i)
        for i, r in enumerate(rows)
        if (x := r.wavelength_nm if by_wavelength else r.band) is not None
    )
    return [
        Mark(axes, x, rows[i].effective_weight, _in_words(rows[i]))
        for x, i in placed
        if part[0] <= x <= part[1]
    ]


def _in_words(row: WeightRow) -> str:
    nm = "" if row.wavelength_nm is None else f", {row.wavelength_nm:.1f} nm"
    known = row.ci_low is not None and row.ci_high is not None
    interval = f" (95\u202f%: {number(row.ci_low, 3)} to {number(row.ci_high, 3)})" if known else ""
    scene = f"{row.scene}: " if row.scene else ""
    return (
        f"{scene}band {row.band} ({shorten(row.name)}){nm}: "
        f"{number(row.effective_weight)}{interval}"
    )


def power_ticks(axis: Axis, ends: Range) -> str:
    """Write the ticks of an axis with very small or large values in a power of ten; the words for
    it, else none.

    A number above the axis would lie on the title.
    """
    most = max(abs(ends[0]), abs(ends[1]))
    if most == 0 or 1e-3 <= most < 1e5:
        return ""
    power = math.floor(math.log10(most))
    axis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{value / 10.0**power:.4g}".replace("-", "−"))
    )
    return f" (×10{str(power).translate(SUPERSCRIPT)})"


def canvas(
    entries: int, ratios: tuple[float, ...], *, titles: bool = False
) -> tuple[Figure, list[Axes]]:
    """A figure with panels side by side and room for a legend of so many entries above them."""
    head = 0.32 if titles else 0.14
    head += 0.24 * math.ceil(min(entries, LEGEND_MOST) / LEGEND_COLUMNS) if entries > 1 else 0.0
    height = HEIGHT_IN + head - 0.32
    figure = Figure(figsize=(WIDTH_IN, height))
    edges = {
        "left": 0.84 / WIDTH_IN,
        "right": 1 - 0.1 / WIDTH_IN,
        "bottom": 0.55 / height,
        "top": 1 - head / height,
    }
    grid = figure.add_gridspec(1, len(ratios), wspace=0.06, width_ratios=ratios, **edges)
    return figure, list(grid.subplots(squeeze=False, sharey=True)[0])


def _all_series(rows: Sequence[WeightRow], by_wavelength: bool) -> list[_Series]:
    groups: dict[tuple[str, str], list[WeightRow]] = {}
    for row in rows:
        groups.setdefault((row.scene, row.source), []).append(row)
    several = [len({key[part] for key in groups}) > 1 for part in (0, 1)]
    return [_one_series(key, several, group, by_wavelength) for key, group in groups.items()]


def _one_series(
    key: tuple[str, str], several: Sequence[bool], rows: Sequence[WeightRow], by_wavelength: bool
) -> _Series:
    names = [part or "all scenes" for part, shown in zip(key, several, strict=True) if shown]
    x = np.array([r.wavelength_nm if by_wavelength else r.band for r in rows], dtype=np.float64)
    columns = [
        [r.effective_weight for r in rows],
        [r.ci_low for r in rows],
        [r.ci_high for r in rows],
    ]
    y, low, high = np.array(columns, dtype=np.float64)
    order = np.argsort(x, kind="stable")
    return _Series(", ".join(names), x[order], y[order], low[order], high[order])


def dropped_positions(
    rows: Sequence[WeightRow], dropped: Sequence[DroppedBand], by_wavelength: bool
) -> Floats:
    """Sorted places on the axis of the dropped bands of these rows' sources; bands without a
    wavelength have none."""
    sources = {r.source for r in rows}
    x = [
        d.wavelength_nm if by_wavelength else float(d.band) for d in dropped if d.source in sources
    ]
    return np.array(sorted(v for v in x if v is not None and math.isfinite(v)), dtype=np.float64)


def segments(x: Floats, unused: Floats) -> list[slice]:
    """Runs of ascending positions ``x`` with neither a gap nor an unused band between neighbours.

    >>> segments(np.array([1.0, 2.0, 3.0, 9.0, 10.0, 12.0]), np.array([11.0]))
    [slice(0, 3, None), slice(3, 5, None), slice(5, 6, None)]
    """
    step = np.diff(x)
    longest = GAP_STEPS * float(np.median(step[step > 0])) if (step > 0).any() else np.inf
    between = np.searchsorted(unused, x[1:], "left") > np.searchsorted(unused, x[:-1], "right")
    cuts = [0, *(np.flatnonzero((step > longest) | between) + 1).tolist(), len(x)]
    return [slice(a, b) for a, b in pairwise(cuts) if b > a]


def _whole_range(series: Sequence[_Series]) -> Range:
    x = np.concatenate([np.array([]), *(s.x for s in series)])
    return _padded(x, 0.015) if x.size else (0.0, 1.0)


def _detail_range(series: Sequence[_Series]) -> Range | None:
    """The part of the axis that holds nearly all the weight, if it is a small part."""
    x = np.concatenate([np.array([]), *(s.x for s in series)])
    size = np.abs(np.concatenate([np.array([]), *(s.y for s in series)]))
    large = size > DETAIL_LEAST * size.max(initial=0.0)
    held = x[large] if size[large].sum() >= DETAIL_HELD * size.sum() else x[size > 0]
    if x.size <= STEM_BANDS or held.size < 2 or np.ptp(held) > DETAIL_SHARE * np.ptp(x):
        return None
    return _padded(held, 0.12, _step(x))


def _padded(x: Floats, share: float, step: float | None = None) -> Range:
    pad = max(share * float(np.ptp(x)), 0.6 * _step(x) if step is None else 2.5 * step)
    return float(x.min()) - pad, float(x.max()) + pad


def _step(x: Floats) -> float:
    step = np.diff(np.unique(x))
    return float(np.median(step)) if step.size else 1.0


def _draw_weights(
    axes: Axes, series: Sequence[_Series], unused: Floats, part: Range, *, markers: bool
) -> None:
    """One panel: all lines, in one part of the axis."""
    stems = len(series) == 1 and len(series[0].x) <= STEM_BANDS
    axes.axhline(0.0, color=INK, linewidth=0.9, zorder=1.5)
    for i, one in enumerate(series):
        inside = one.within(part)
        (_draw_stems if stems else _draw_line)(axes, inside, *look(i), unused)
        if markers:
            _draw_markers(axes, inside, SERIES[i % len(SERIES)])
    axes.set_xlim(*part)
    _shade(axes, unused, np.concatenate([unused, *(s.x for s in series)]))


def _draw_target(axes: Axes, centre: float, width: float | None) -> None:
    """A dotted line at a centre and a strip as wide as its FWHM, within what the axis shows."""
    low, high = axes.get_xlim()
    half = (width or 0.0) / 2
    left, right = max(low, centre - half), min(high, centre + half)
    if left < right:
        axes.axvspan(left, right, color=SERIES[2], alpha=0.13, linewidth=0, zorder=0.6)
    if low < centre < high:
        axes.axvline(centre, color=SERIES[2], linestyle=":", linewidth=1.4, zorder=1.6)


def _draw_published(
    axes: Axes, rows: Sequence[WeightRow], published: Mapping[int, float], by_wavelength: bool
) -> None:
    """Published weights at the places of these rows, as a dashed line."""
    points = {r.band: r.wavelength_nm if by_wavelength else r.band for r in rows}
    line = sorted((x, published.get(band, 0.0)) for band, x in points.items() if x is not None)
    axes.plot(
        *zip(*line, strict=True), color=INK, linestyle="--", linewidth=1.1, zorder=3.5, scalex=False
    )


def look(i: int) -> tuple[str, LineStyle]:
    """Colour and style of a line; with other dashes than its neighbours, lines on the same place
    are all seen."""
    return SERIES[i % len(SERIES)], STYLES[i % len(STYLES)]


def _draw_stems(axes: Axes, one: _Series, colour: str, style: LineStyle, unused: Floats) -> None:
    axes.vlines(one.x, 0.0, one.y, color=colour, linewidth=2.2, alpha=0.45)
    if one.has_interval:
        axes.vlines(one.x, one.low, one.high, color=colour, linewidth=7, alpha=0.25)


def _draw_line(axes: Axes, one: _Series, colour: str, style: LineStyle, unused: Floats) -> None:
    for part in segments(one.x, unused):
        drawn = "o" if part.stop - part.start == 1 else style
        axes.plot(
            one.x[part],
            one.y[part],
            drawn,
            color=colour,
            linewidth=1.6,
            markersize=3,
            markeredgewidth=0,
            solid_joinstyle="round",
            zorder=3,
        )
        if one.has_interval and part.stop - part.start > 1:
            axes.fill_between(
                one.x[part], one.low[part], one.high[part], color=colour, alpha=0.2, linewidth=0
            )
        elif one.has_interval:
            axes.vlines(
                one.x[part], one.low[part], one.high[part], color=colour, linewidth=4, alpha=0.25
            )


def _draw_markers(axes: Axes, one: _Series, colour: str) -> None:
    """Points for weights; small grey ones where a weight is exactly zero."""
    size = float(np.clip(60.0 / math.sqrt(max(len(one.x), 1)), 2.6, 7.0))
    active = one.y != 0
    axes.plot(
        one.x[active],
        one.y[active],
        "o",
        color=colour,
        markersize=size,
        markeredgewidth=0,
        zorder=4,
    )
    axes.plot(
        one.x[~active],
        one.y[~active],
        "o",
        color=SHADE,
        markersize=0.7 * size,
        markeredgewidth=0,
        zorder=4,
    )


def _shade(axes: Axes, unused: Floats, positions: Floats) -> None:
    """Shade unused bands from the middle between neighbours to the middle; a run of them is one
    strip."""
    grid = np.unique(positions)
    step = np.diff(grid)
    widest = GAP_STEPS * _step(grid)
    half = np.minimum(step, widest) / 2 if step.size else np.array([0.5])
    low, high = axes.get_xlim()
    strips: list[list[float]] = []
    for x in np.unique(unused):
        i = int(np.searchsorted(grid, x))
        left, right = x - half[max(i - 1, 0)], x + half[min(i, half.size - 1)]
        if strips and left <= strips[-1][1] * (1 + 1e-9):
            strips[-1][1] = right
        else:
            strips.append([left, right])
    for left, right in strips:
        if max(left, low) < min(right, high):
            axes.axvspan(
                max(left, low), min(right, high), color=SHADE, alpha=0.22, linewidth=0, zorder=0.5
            )


def legend(figure: Figure, entries: Sequence[_Entry]) -> None:
    """A legend above the chart; none for a single line."""
    if len(entries) < 2:
        return
    shown = entries if len(entries) <= LEGEND_MOST else entries[: LEGEND_MOST - 1]
    handles = [
        Line2D([], [], color=colour, linestyle=style, linewidth=2) for _, colour, style in shown
    ]
    texts = [shorten(name, 28) for name, _, _ in shown]
    if len(shown) < len(entries):
        handles.append(Line2D([], [], linestyle="none"))
        texts.append(f"and {len(entries) - len(shown)} more")
    # plain labels first: matplotlib reads a meaning into labels that start with an underscore
    numbers = [str(i) for i in range(len(handles))]
    columns = min(len(handles), LEGEND_COLUMNS)
    box = figure.legend(
        handles, numbers, loc="upper left", ncols=columns, handlelength=2.2, borderaxespad=0.2
    )
    for place, text in zip(box.get_texts(), texts, strict=True):
        place.set_text(text)


MOST_POINTS = 2000
"""Points that a curve is drawn with at most: a long training must not make a large page."""


def loss_figure(
    history: Mapping[str, Sequence[float]], *, label: str = "", key: str = "loss"
) -> str:
    """Loss of every output against step, on a logarithmic axis, as SVG.

    Parameters
    ----------
    history : per output, loss / Var(target) before step 1, after step 1, …; values ≤ 0 and NaN are
        not drawn. Losses that fall below zero are drawn as the distance of each from its least.
    """
    looks = [
        (SERIES[i % len(SERIES)], STYLES[i // len(SERIES) % len(STYLES)])
        for i in range(len(history))
    ]
    below = any(v < 0 for values in history.values() for v in values)
    with chart_style(key):
        figure, (axes,) = canvas(len(history), (1.0,))
        lines = [_positive(values, below=below) for values in history.values()]
        if any(np.isfinite(y).any() for y in lines):
            axes.set_yscale("log")
        for y, (colour, style) in zip(lines, looks, strict=True):
            drawn = np.unique(
                np.linspace(0, y.size - 1, min(y.size, MOST_POINTS)).round().astype(int)
            )
            axes.plot(drawn, y[drawn], color=colour, linestyle=style, linewidth=1.7)
        log_ticks(axes.yaxis, axes.get_ylim())
        axes.set_xlabel("step")
        axes.set_ylabel("loss above the least" if below else "loss / variance of the target")
        axes.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True))
        legend(
            figure,
            [(name, colour, style) for name, (colour, style) in zip(history, looks, strict=True)],
        )
        return to_svg(figure, key=key, label=label)


def _positive(values: Sequence[float], *, below: bool) -> Floats:
    """Losses as a logarithmic axis can show them: above zero, else NaN."""
    y = np.array(values, dtype=np.float64)
    y -= np.nanmin(y, initial=np.inf) if below else 0.0
    return _on_log(y)


LOG_RANGE = (1e-290, 1e290)
"""What a logarithmic axis shows: with its margins it must stay within the range of floats."""


def _on_log(y: Floats) -> Floats:
    """Values as a logarithmic axis can show them; NaN for all others."""
    low, high = LOG_RANGE
    return np.where((y > low) & (y < high), y, np.nan)


Points = Sequence[tuple[float, float]]


def curve_figure(curves: Mapping[str, Points], *, label: str = "", key: str = "curve") -> str:
    """Held-out error against strength, both logarithmic, one line per output, the least error
    marked, as SVG.

    Parameters
    ----------
    curves : per output, (strength, error) in order of strength; a strength of zero stands left of
        all others."""
    looks = [
        (SERIES[i % len(SERIES)], STYLES[i // len(SERIES) % len(STYLES)])
        for i in range(len(curves))
    ]
    least = min((s for points in curves.values() for s, _ in points if s > 0), default=1.0)
    with chart_style(key):
        figure, (axes,) = canvas(len(curves), (1.0,))
        axes.set_xscale("log")
        errors = np.array([error for points in curves.values() for _, error in points])
        if np.isfinite(_on_log(errors)).any():
            axes.set_yscale("log")
        for points, (colour, style) in zip(curves.values(), looks, strict=True):
            x, y = np.array(
                [(s if s > 0 else least / 10, e) for s, e in points], dtype=np.float64
            ).T
            y = _on_log(y)
            axes.plot(x, y, color=colour, linestyle=style, linewidth=1.7)
            if np.isfinite(y).any():
                best = int(np.nanargmin(y))
                axes.plot(x[best], y[best], "o", color=colour, markersize=6)
        axes.xaxis.set_major_locator(LogLocator(numticks=12))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _power(value, least)))
        axes.set_xlabel("strength of the penalty")
        axes.set_ylabel("held-out error / variance")
        log_ticks(axes.yaxis, axes.get_ylim())
        legend(
            figure,
            [(name, colour, style) for name, (colour, style) in zip(curves, looks, strict=True)],
        )
        return to_svg(figure, key=key, label=label)


def _power(value: float, least: float) -> str:
    """A power of ten as text; what lies below the least strength stands for none.

    >>> _power(1e-4, 1e-9), _power(1e-10, 1e-9)
    ('10⁻⁴', 'none')
    """
    if value < 0.99 * least:
        return "none"
    return "10" + str(round(math.log10(value))).translate(SUPERSCRIPT)


def log_ticks(axis: Axis, ends: Range) -> None:
    """Ticks at 1, 2, 5 or powers of ten; even ones where the range holds less than a factor of
    four."""
    low, high = ends
    if not 0 < low < high < math.inf:  # nothing that a logarithm shows
        return
    decades = math.log10(high / low)
    subs = (1.0,) if decades > 2.5 else (1.0, 2.0, 5.0)
    few = LogLocator(subs=subs, numticks=9) if decades > 0.6 else MaxNLocator(5)
    axis.set_major_locator(few)
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))


def _short(value: float) -> str:
    """A tick of a logarithmic axis.

    >>> _short(0.005), _short(2e-7)
    ('0.005', '2×10⁻⁷')
    """
    text = f"{value:.4g}"
    if "e" not in text:
        return text
    mantissa, exponent = text.split("e")
    power = f"10{str(int(exponent)).translate(SUPERSCRIPT)}"
    return power if mantissa == "1" else f"{mantissa}×{power}"
