"""The report page: one file that needs nothing else."""

from __future__ import annotations

import base64
import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

from jinja2 import Environment, FunctionLoader, StrictUndefined, Template
from markupsafe import Markup
from numpy.typing import ArrayLike

from bandfuse.errors import said_once
from bandfuse.report import trust_tables as trusting
from bandfuse.report import views
from bandfuse.report.choice import (
    MOST_CARDS,
    MOST_DRAWN,
    chosen,
    drawn_scenes,
    label_of,
    labels_of,
    worst,
    worst_first,
)
from bandfuse.report.class_figures import MOST_TINTS, confusion_figure, spectra_figure
from bandfuse.report.demand import on_demand
from bandfuse.report.figures import curve_figure, loss_figure, weights_figure
from bandfuse.report.maps import (
    MOST_DENSITIES,
    MOST_ROWS,
    MOST_SCENES,
    blocks_figure,
    certainty,
    certainty_figure,
    density_figure,
    noise_figure,
)
from bandfuse.report.numbers import minus, number, shorten
from bandfuse.report.overview import MOST_LINES, overview_figure
from bandfuse.report.page_data import Page, Shot
from bandfuse.report.pictures import MAX_SIDE, Limits, picture
from bandfuse.report.svg import standalone
from bandfuse.results.training import OutputRow, TrainReport, WeightRow

SECTIONS = (
    ("verdict", "Verdict"),
    ("weights", "Weights"),
    ("scores", "Scores"),
    ("quicklooks", "Pictures"),
    ("convergence", "Convergence"),
    ("trust", "How far to trust the weights"),
    ("failures", "Where it fails"),
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
    limits : values shown as black and white, per channel, to compare pictures; by default this
        array's 2–98 %.
    stretch : what such limits are.
    """

    title: str
    caption: str
    array: ArrayLike
    limits: Limits | None = None
    stretch: str = "limits set to compare pictures"


@dataclass(frozen=True)
class _Figure:
    """A drawn figure with its words; ``svg`` is trusted markup, the rest is text. ``number``: of
    the output that it shows, from 1."""

    title: str
    caption: str
    svg: Markup | None
    facts: views.Facts = ()
    table: views.Table | None = None
    number: int = 0


def render(report: TrainReport, page: Page) -> str:
    """The page as one HTML text, without any reference to the network; its one script is allowed by
    its hash.

    The same arguments give the same text. Not safe to call from several threads at once:
    matplotlib's settings are global and are set for the time of drawing."""
    return template("template.html.j2").render(
        page=page,
        report=report,
        **dress(),
        sections=SECTIONS,
        glance=views.glance(report),
        overview=_overview(report),
        weights=_weight_figures(report, chosen(report)),
        demand=_demand(report),
        classes=_class_figures(report),
        scores=_score_tables(report),
        score_note=views.score_note(report),
        trust=trusting.trust_tables(report),
        certainty=_certainty(report),
        curves=_curves(report),
        density=_density(report, page),
        blocks=_blocks(report, page),
        noise=_noise(page),
        pair=_pair(page.shots),
        loss=_loss(page.history),
        convergence=views.convergence_facts(report),
        loss_note=views.loss_note(report),
        pixels=views.pixel_table(report),
        dropped=views.dropped_table(report.bands_dropped),
        inputs=views.input_table(report.inputs),
        run=views.run_facts(report),
    )


def dress() -> dict[str, Markup | str]:
    """Style and script of a page, and the script's hash."""
    script = text_of("page.js")
    return {
        "style": Markup(text_of("page.css")),
        "script": Markup(script),
        "script_hash": hash_of(script),
    }


def hash_of(script: str) -> str:
    """What a Content-Security-Policy calls a script by."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")


def figure_files(report: TrainReport, page: Page) -> dict[str, bytes]:
    """Every chart as SVG and every picture as PNG, by file name."""
    several = [
        _overview(report),
        _certainty(report),
        _curves(report),
        _density(report, page),
        _blocks(report, page),
        _noise(page),
        _loss(page.history),
    ]
    every = [output.name for output in report.outputs]
    charts = [(f"weights_{f.number}", f) for f in _weight_figures(report, every)]
    charts += list(zip(("class_spectra", "confusion"), _class_figures(report), strict=False))
    names = (
        "weights",
        "certainty",
        "regularisation",
        "fused_against_target",
        "error_by_block",
        "noise",
        "loss",
    )
    charts += [
        (name, figure) for name, figure in zip(names, several, strict=True) if figure is not None
    ]
    files = {
        f"{name}.svg": standalone(str(f.svg)).encode() for name, f in charts if f.svg is not None
    }
    return files | {
        f"{plain_name(shot.title)}.png": base64.b64decode(shot.png) for shot in page.shots
    }


def plain_name(title: str) -> str:
    """A title as a file name.

    >>> plain_name("../Red & blue")
    'red_blue'
    """
    return re.sub(r"[^a-z0-9]+", "_", title.lower()).strip("_") or "picture"


def text_of(name: str) -> str:
    """A file of this folder."""
    return resources.files("bandfuse.report").joinpath(name).read_text("utf-8")


@cache
def template(name: str) -> Template:
    """A template of this folder, compiled once; everything in it is escaped."""
    environment = Environment(
        loader=FunctionLoader(text_of),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["number"] = number
    environment.filters["minus"] = minus
    environment.filters["said_once"] = said_once
    return environment.get_template(name)


def _pair(shots: Sequence[Shot]) -> tuple[int, int] | None:
    """Which pictures are compared first: fused and target, else the first two; None where there are
    no two."""
    titles = [shot.title for shot in shots]
    if "Fused" in titles and "Target" in titles:
        return titles.index("Fused"), titles.index("Target")
    return (0, 1) if len(titles) > 1 else None


def _weight_figures(report: TrainReport, names: Sequence[str]) -> list[_Figure]:
    """A chart of each of these outputs."""
    rows, named = _rows(report), {o.name: (i, o) for i, o in enumerate(report.outputs, 1)}
    return [_weight_figure(report, named[name][1], rows[name], named[name][0]) for name in names]


def _demand(report: TrainReport) -> dict[str, str | int] | None:
    """What the page draws when it is asked to: any output of many; None where all are drawn, or
    where scenes have weights of their own."""
    if len(report.outputs) <= MOST_CARDS or any(row.scene for row in report.weights):
        return None
    rows = _rows(report)
    names = [name for name in _worst_first(report) if rows[name]]
    return {"data": on_demand(report, rows, names), "first": len(chosen(report))}


def _worst_first(report: TrainReport) -> list[str]:
    return worst_first(report, [output.name for output in report.outputs])


def _score_tables(report: TrainReport) -> list[views.Table]:
    classes = [] if report.separation is None else [views.separation_table(report.separation)]
    return [*classes, *views.score_tables(report)]


def _class_figures(report: TrainReport) -> list[_Figure]:
    """Spectra of the classes, and what they are taken for."""
    table = report.separation
    if table is None:
        return []
    names = ", ".join(shorten(row.name) for row in table.rows)
    tints = " Tints: one standard deviation to both sides." if len(table.rows) <= MOST_TINTS else ""
    spectra = spectra_figure(table, label=f"Mean spectra of the classes {names}.", key="spectra")
    label = f"How many pixels of the classes {names} are found as which class."
    found = confusion_figure(table, label=label, key="confusion")
    return [
        _Figure(
            "Spectra of the classes",
            f"Mean over the labelled pixels of each class, of the bands that were used.{tints}",
            Markup(spectra),
        ),
        _Figure(
            "What each class is taken for",
            f"Sampled {views.WHERE[table.where]}, classified by linear discriminants of the fused "
            "bands. A row holds the pixels of one class; the diagonal is what is found as it is.",
            Markup(found),
        ),
    ]


def _overview(report: TrainReport) -> _Figure | None:
    """The weights of all outputs in one chart; None for a single output and for weights of single
    scenes."""
    rows = {name: some for name, some in _rows(report).items() if some}
    if len(rows) < 2 or any(r.scene for r in report.weights):
        return None
    kind = (
        ""
        if len(rows) <= MOST_LINES
        else " A row is an output. The stronger the colour, the larger the weight; gaps hold no "
        "bands."
    )
    caption = f"Effective weights of every output, divided by the size of its largest.{kind}"
    labels = labels_of(report)
    largest = [max(some, key=lambda r: abs(r.effective_weight)) for some in rows.values()]
    ends = "; ".join(f"{r.output}: largest at {views.place(r)}" for r in largest[:MOST_CARDS])
    rows = {labels[name]: some for name, some in rows.items()}
    svg = overview_figure(rows, label=f"Weights of all outputs. {ends}.", key="overview")
    return _Figure("All outputs", caption, Markup(svg))


def _rows(report: TrainReport) -> dict[str, list[WeightRow]]:
    rows: dict[str, list[WeightRow]] = {output.name: [] for output in report.outputs}
    for row in report.weights:
        rows.setdefault(row.output, []).append(row)
    return rows


def _weight_figure(
    report: TrainReport, output: OutputRow, rows: Sequence[WeightRow], place: int
) -> _Figure:
    caption = views.weights_caption(output, rows, report.bands_dropped)
    facts, title = views.output_facts(output, rows), label_of(output)
    if not rows:
        return _Figure(title, caption, None, facts, number=place)
    alt = views.weights_alt(output, rows)
    trust = (
        next((t for t in report.trust.outputs if t.name == output.name), None)
        if report.trust
        else None
    )
    theirs = trust.published.weights if trust and trust.published else {}
    if theirs:
        caption += " Dashed: the published response, with the same sum."
    aim = None if output.target_nm is None else (output.target_nm, output.target_fwhm_nm)
    drawn, several = drawn_scenes(rows), len({row.scene for row in rows})
    if len(drawn) < len(rows):
        caption += f" {MOST_DRAWN} of {several} scenes are drawn; weights.csv has all."
    svg = weights_figure(
        drawn, report.bands_dropped, published=theirs, target=aim, label=alt, key=f"weights-{place}"
    )
    table = views.weight_table(output, rows)
    return _Figure(title, caption, Markup(svg), facts, table, place)


def _curves(report: TrainReport) -> _Figure | None:
    """Held-out error against the strength of the penalty that was chosen last."""
    curves = trusting.choice_curves(report)
    if not curves:
        return None
    label = "; ".join(
        f"{name}: {len(points)} strengths were tried" for name, points in curves.items()
    )
    caption = (
        "Squared error on held-out blocks, divided by the variance of the target, against the "
        "strength of the penalty. The mark is what was chosen."
    )
    svg = curve_figure(curves, label=f"Held-out error against strength. {label}.", key="choice")
    return _Figure("Regularisation", caption, Markup(svg))


def _loss(history: Mapping[str, Sequence[float]]) -> _Figure | None:
    drawn = {name: values for name, values in history.items() if len(values)}
    if (
        min((min(values) for values in drawn.values()), default=0.0) < 0
    ):  # of no use where nothing moved
        drawn = {name: values for name, values in drawn.items() if max(values) > min(values)}
    if not drawn:
        return None
    ends = "; ".join(
        f"{name} ends at {number(float(values[-1]))}" for name, values in drawn.items()
    )
    caption = (
        "Loss of every output against step, divided by the variance of its target. The axis is "
        "logarithmic."
    )
    if min(min(values) for values in drawn.values()) < 0:
        caption = (
            "Distance of the loss from the least that was reached, against step. The axis is "
            "logarithmic: a line ends where its least is reached."
        )
    svg = loss_figure(drawn, label=f"Relative loss against step: {ends}.", key="loss")
    return _Figure("Loss", caption, Markup(svg))


def _certainty(report: TrainReport) -> _Figure | None:
    """Which weights are known; for weights that all scenes share and that have intervals."""
    rows, labels = _rows(report), labels_of(report)
    shown = {name: rows[name] for name in worst(report, MOST_ROWS)}
    kinds = {name: [certainty(r) for r in some] for name, some in shown.items()}
    if any(r.scene for r in report.weights) or not any(any(k) for k in kinds.values()):
        return None
    trust = report.trust.outputs if report.trust else []
    counts = "; ".join(
        f"{name}: {k.count('sure')} sure, {k.count('unsure')} unsure" for name, k in kinds.items()
    )
    caption = (
        "Blue: the 95\u202f% interval of the weight does not hold zero, so its sign is sure. "
        "Orange: it holds zero. The lines below join neighbours among which the weight can be "
        "shared out otherwise at a cost below 0.1\u202f% of the target's variance: of those, only "
        "the sum is known."
    )
    if len(rows) > MOST_ROWS:
        caption += f" Drawn are {MOST_ROWS} of {len(rows)} outputs: {WORST}."
    svg = certainty_figure(
        shown,
        trust,
        labels,
        label=f"Certain weights by output and band. {counts}.",
        key="certainty",
    )
    return _Figure("Which weights are known", caption, Markup(svg))


WORST = "those with the largest unexplained variance"


def _density(report: TrainReport, page: Page) -> _Figure | None:
    """Fused values against the target's."""
    named = {d.output: d for d in page.densities}
    shown = [named[name] for name in worst(report, MOST_DENSITIES) if name in named]
    if not shown:
        return None
    labels = labels_of(report)
    outside = max(d.pixels - sum(map(sum, d.counts)) for d in shown)
    caption = (
        f"Pixels that were {page.sampled}, a sample of {number(shown[0].pixels)}: the stronger the "
        "colour, the more of them have this target (across) and this fused value (up). On the "
        f"dashed line both are the same. At most {number(outside)} lie outside of a panel."
    )
    if len(page.densities) > len(shown):
        caption += f" Drawn are {len(shown)} of {len(page.densities)} outputs: {WORST}."
    names = ", ".join(labels[d.output] for d in shown)
    label = f"Fused values against the target's, of {names}."
    svg = density_figure(shown, labels, label=label, key="density")
    return _Figure("Fused against target", caption, Markup(svg))


def _blocks(report: TrainReport, page: Page) -> _Figure | None:
    """Error by block."""
    if not page.blocks:
        return None
    caption = (
        "Mean squared error in every block, by weights that were learned without it, in per cent "
        "of the variance that the target has over all pixels. Each map has its own scale. A dash: "
        "no valid pixel."
    )
    if len(page.blocks) > MOST_SCENES:
        caption += f" Drawn are the first {MOST_SCENES} of {len(page.blocks)} scenes."
    labels = labels_of(report)
    table = views.block_table(page.blocks, labels)
    label = "Held-out error by block; the table below has the largest."
    svg = blocks_figure(page.blocks, labels, label=label, key="blocks")
    return _Figure("Where it fails", caption, Markup(svg), table=table)


def _noise(page: Page) -> _Figure | None:
    known = [n.snr_db for n in page.noise if n.snr_db is not None]
    if not known:
        return None
    ends = f"{number(min(known), 3)} to {number(max(known), 3)} dB"
    caption = (
        "Variance of each band over that of its noise, which is taken from differences of "
        "neighbouring pixels."
    )
    svg = noise_figure(page.noise, label=f"Signal to noise of the bands: {ends}.", key="noise")
    return _Figure("Noise of the bands", f"{caption} From {ends}.", Markup(svg))


def _side(pictures: int) -> int:
    """Pixels a side, so that many pictures don't make a heavy page."""
    return max(96, min(MAX_SIDE, int(MAX_SIDE * math.sqrt(3 / max(pictures, 1)))))


def shots(looks: Sequence[Quicklook]) -> list[Shot]:
    """The pictures, drawn: the more, the smaller.

    Raises
    ------
    MismatchError : a quicklook that is not (H, W) or (H, W, 3).
    """
    return [_shot(look, _side(len(looks))) for look in looks]


def _shot(look: Quicklook, side: int) -> Shot:
    made = picture(look.array, look.limits, max_side=side)
    ranges = "; ".join(
        dict.fromkeys(f"{number(low, 3)} to {number(high, 3)}" for low, high in made.limits)
    )
    kind = "2–98\u202f% of the values" if look.limits is None else look.stretch
    stretch = (
        f"Stretch ({kind}): {ranges}. Nodata is transparent." if made.limits else "No valid pixel."
    )
    caption = f"{look.caption} {stretch}".strip()
    png = base64.b64encode(made.png).decode("ascii")
    ends = made.limits[0] if len(set(made.limits)) == 1 else None
    return Shot(
        title=look.title, caption=caption, png=png, width=made.width, height=made.height, ends=ends
    )
