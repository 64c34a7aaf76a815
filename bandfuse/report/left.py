"""Left: what several runs leave unexplained of their targets, in one chart, as SVG text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from bandfuse.report.figures import LOG_RANGE, WIDTH_IN, log_ticks
from bandfuse.report.numbers import number, shorten
from bandfuse.report.svg import SERIES, Mark, chart_style, to_svg

MOST_ROWS = 40
"""Outputs that are drawn at most."""

SHAPES = ("o", "s", "^", "D", "v", "P", "X", "*")
"""Runs differ in shape and in colour."""

LEAST = 1e-12
"""What is smaller is drawn here: rounding is no difference."""


def left_figure(
    left: Mapping[str, Mapping[str, float]],
    outputs: Sequence[str],
    *,
    label: str = "",
    key: str = "left",
) -> str:
    """Unexplained shares of variance on a logarithmic axis, a row per output and a mark per run, as
    SVG. ``left``: by run and output, from 0 on."""
    runs = list(left)
    names = [shorten(name, 24) for name in outputs]
    wide = 0.3 + 0.085 * max(map(len, names))
    head = 0.36 * -(-len(runs) // 4)
    height = head + 0.62 + 0.3 * len(names)
    with chart_style(key):
        figure = Figure(figsize=(WIDTH_IN, height))
        box = (
            wide / WIDTH_IN,
            0.55 / height,
            1 - (wide + 0.15) / WIDTH_IN,
            0.3 * len(names) / height,
        )
        axes = figure.add_axes(box)
        axes.set_xscale("log")
        marks = []
        for i, run in enumerate(runs):
            shown = [(left[run][o], y) for y, o in enumerate(outputs) if o in left[run]]
            drawn = [(min(max(100 * v, LEAST), LOG_RANGE[1]), y) for v, y in shown]
            colour, shape = SERIES[i % len(SERIES)], SHAPES[i % len(SHAPES)]
            x, y = [p[0] for p in drawn], [p[1] for p in drawn]
            axes.plot(x, y, shape, color=colour, markersize=6.5, alpha=0.85, markeredgewidth=0)
            marks += [
                Mark(axes, a, b, f"{run}, {outputs[b]}: {number(100 * v, 3)} %")
                for (a, b), (v, _) in zip(drawn, shown, strict=True)
            ]
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_yticks(range(len(names)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: names[round(value)]))
        axes.grid(True, axis="x")
        log_ticks(axes.xaxis, axes.get_xlim())
        axes.set_xlabel("unexplained variance (%)")
        _legend(figure, runs)
        return to_svg(figure, key=key, label=label, marks=marks)


def _legend(figure: Figure, runs: Sequence[str]) -> None:
    """Which mark is of which run, above the chart."""
    handles = [
        Line2D(
            [], [], color=SERIES[i % len(SERIES)], marker=SHAPES[i % len(SHAPES)], linestyle="none"
        )
        for i in range(len(runs))
    ]
    # plain labels first: matplotlib reads a meaning into labels that start with an underscore
    numbers = [str(i) for i in range(len(runs))]
    box = figure.legend(handles, numbers, loc="upper left", ncols=4, borderaxespad=0.2)
    for place, text in zip(box.get_texts(), runs, strict=True):
        place.set_text(shorten(text, 28))
