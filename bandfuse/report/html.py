"""The report page: one file that needs nothing else."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup
from numpy.typing import ArrayLike

from bandfuse.report import trusting, views
from bandfuse.report.figures import curve_figure, loss_figure, weights_figure
from bandfuse.report.numbers import number
from bandfuse.report.pictures import MAX_SIDE, Limits, picture
from bandfuse.results import OutputRow, TrainReport, WeightRow

TEMPLATE = "template.html.j2"
SECTIONS = (
    ("verdict", "Verdict"),
    ("weights", "Weights"),
    ("scores", "Scores"),
    ("trust", "How far to trust the weights"),
    ("quicklooks", "Quicklooks"),
    ("convergence", "Convergence"),
    ("data", "Data"),
    ("provenance", "Provenance"),
)
"""Ids and headings of the sections, in order."""


@dataclass(frozen=True, eq=False)
class Quicklook:
    """A picture for the report.

    Parameters
    ----------
    title, caption : the words above and below it; the stretch is added to the caption.
    array : (H, W) or (H, W, 3) values; pixels that are not finite are nodata.
    limits : values shown as black and white, per channel, to compare pictures; by default this array's 2–98 %.
    """

    title: str
    caption: str
    array: ArrayLike
    limits: Limits | None = None


@dataclass(frozen=True, eq=False)
class ReportContext:
    """What the page shows.

    Parameters
    ----------
    title : the page's heading.
    report : the numbers.
    command : the exact command that makes this run again.
    equation : the fusion's formula, as text.
    history : per output, loss / Var(target) before step 1, after step 1, …; empty for a closed solution.
    quicklooks : scene, fused, target, …
    messages : warnings and remarks of the run.
    verdict : plain sentences, the most important first.
    """

    title: str
    report: TrainReport
    command: str
    equation: str
    history: Mapping[str, Sequence[float]] = field(default_factory=dict)
    quicklooks: Sequence[Quicklook] = ()
    messages: Sequence[str] = ()
    verdict: Sequence[str] = ()


@dataclass(frozen=True)
class _Figure:
    """A drawn figure with its words; ``svg`` is trusted markup, the rest is text."""

    title: str
    caption: str
    svg: Markup | None
    facts: views.Facts = ()
    table: views.Table | None = None


@dataclass(frozen=True)
class _Image:
    title: str
    caption: str
    source: str
    width: int
    height: int


def render(context: ReportContext) -> str:
    """The page as one HTML text, without a script and without any reference to the network.

    The same context gives the same text. Not safe to call from several threads at once: matplotlib's settings are
    global and are set for the time of drawing.

    Raises
    ------
    MismatchError : a quicklook that is not (H, W) or (H, W, 3).
    """
    report = context.report
    return _template().render(
        context=context,
        report=report,
        sections=SECTIONS,
        glance=views.glance(report),
        weights=_weight_figures(context),
        scores=views.score_tables(report),
        score_note=views.score_note(report),
        trust=trusting.trust_tables(report),
        needed=trusting.needed_sentence(report),
        curves=_curves(report),
        images=[_image(look, _side(len(context.quicklooks))) for look in context.quicklooks],
        loss=_loss(context.history),
        convergence=views.convergence_facts(report),
        loss_note=views.loss_note(report),
        pixels=views.pixel_table(report),
        dropped=views.dropped_table(report.bands_dropped),
        inputs=views.input_table(report),
        run=views.run_facts(report),
    )


def _template() -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    text = resources.files("bandfuse.report").joinpath(TEMPLATE).read_text("utf-8")
    return environment.from_string(text)


def _weight_figures(context: ReportContext) -> list[_Figure]:
    report = context.report
    rows: dict[str, list[WeightRow]] = {output.name: [] for output in report.outputs}
    for row in report.weights:
        rows.setdefault(row.output, []).append(row)
    return [_weight_figure(context, output, rows[output.name], i) for i, output in enumerate(report.outputs, 1)]


def _weight_figure(context: ReportContext, output: OutputRow, rows: Sequence[WeightRow], place: int) -> _Figure:
    report = context.report
    caption = views.weights_caption(rows, report.bands_dropped)
    facts = views.output_facts(output, rows)
    if not rows:
        return _Figure(output.name, caption, None, facts)
    alt = views.weights_alt(output, rows)
    trust = next((t for t in report.trust.outputs if t.name == output.name), None) if report.trust else None
    theirs = trust.published.weights if trust and trust.published else {}
    if theirs:
        caption += " Dashed: the published response, with the same sum."
    svg = weights_figure(rows, report.bands_dropped, published=theirs, label=alt, key=f"weights-{place}")
    return _Figure(output.name, caption, Markup(svg), facts, views.weight_table(output, rows))


def _curves(report: TrainReport) -> _Figure | None:
    """Held-out error against the strength of the penalty that was chosen last."""
    curves = trusting.choice_curves(report)
    if not curves:
        return None
    label = "; ".join(f"{name}: {len(points)} strengths were tried" for name, points in curves.items())
    caption = (
        "Squared error on held-out blocks, divided by the variance of the target, against the strength of the penalty. "
        "The mark is what was chosen."
    )
    svg = curve_figure(curves, label=f"Held-out error against strength. {label}.", key="choice")
    return _Figure("Regularisation", caption, Markup(svg))


def _loss(history: Mapping[str, Sequence[float]]) -> _Figure | None:
    drawn = {name: values for name, values in history.items() if len(values)}
    if not drawn:
        return None
    ends = "; ".join(f"{name} ends at {number(float(values[-1]))}" for name, values in drawn.items())
    caption = "Loss of every output against step, divided by the variance of its target. The axis is logarithmic."
    if min(min(values) for values in drawn.values()) < 0:
        caption = "Distance of the loss from the least that was reached, against step. The axis is logarithmic."
    svg = loss_figure(drawn, label=f"Relative loss against step: {ends}.", key="loss")
    return _Figure("Loss", caption, Markup(svg))


def _side(pictures: int) -> int:
    """Pixels a side, so that many pictures don't make a heavy page."""
    return max(96, min(MAX_SIDE, int(MAX_SIDE * math.sqrt(4 / max(pictures, 1)))))


def _image(look: Quicklook, side: int) -> _Image:
    made = picture(look.array, look.limits, max_side=side)
    ranges = "; ".join(f"{number(low, 3)} to {number(high, 3)}" for low, high in made.limits)
    kind = "2–98\u202f% of the values" if look.limits is None else "limits set to compare pictures"
    stretch = f"Stretch ({kind}): {ranges}. Nodata is transparent." if made.limits else "No valid pixel."
    source = "data:image/png;base64," + base64.b64encode(made.png).decode("ascii")
    return _Image(look.title, f"{look.caption} {stretch}".strip(), source, made.width, made.height)
