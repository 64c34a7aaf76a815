"""Runs side by side, as one self-contained page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from bandfuse.report.figures import weights_figure
from bandfuse.report.html import dress, template
from bandfuse.report.numbers import MISSING, number
from bandfuse.report.views import SCORE_TITLES, Column, Table, score_cell
from bandfuse.results import Scores, TrainReport, WeightRow

Runs = Mapping[str, TrainReport]


@dataclass(frozen=True)
class _Chart:
    title: str
    caption: str
    svg: Markup


def render(runs: Runs, messages: Sequence[str]) -> str:
    """The page as one HTML text, as safe as the report of a run. ``runs``: reports by the runs'
    names, two or more."""
    return template("compare.html.j2").render(
        runs=list(runs),
        messages=messages,
        summary=_summary(runs),
        scores=score_tables(runs),
        weights=[_weights(runs, name, i) for i, name in enumerate(_outputs(runs), 1)],
        **dress(),
    )


def _outputs(runs: Runs) -> list[str]:
    """Outputs that have weights, in the order of the runs."""
    return list(dict.fromkeys(row.output for report in runs.values() for row in report.weights))


def _summary(runs: Runs) -> Table:
    """A row per run."""
    titles = ("Outputs", "Active bands", "Pixels", "Relative gap", "Steps", "Seconds", "Seed")
    columns = (Column("Run"), Column("Constraints"), *(Column(title, "number") for title in titles))
    rows = []
    for name, r in runs.items():
        gap = r.convergence.relative_gap
        seconds = r.seconds.read + r.seconds.fit + r.seconds.write
        rows.append(
            (
                name,
                ", ".join(dict.fromkeys(o.constraint for o in r.outputs)),
                number(len(r.outputs)),
                number(sum(o.active_bands for o in r.outputs)),
                number(r.pixels.used),
                MISSING if gap is None else number(gap),
                number(r.convergence.steps),
                number(seconds, 3),
                str(r.seed),
            )
        )
    return Table("The runs", columns, tuple(rows))


def score_tables(runs: Runs) -> list[Table]:
    """A table per score: a row per output, a column per run; held out where every run is."""
    held = all(r.scores.holdout for r in runs.values())
    scores: dict[str, Scores] = {
        n: r.scores.holdout or {} if held else r.scores.train for n, r in runs.items()
    }
    outputs = list(dict.fromkeys(name for some in scores.values() for name in some))
    keys = list(
        dict.fromkeys(key for some in scores.values() for row in some.values() for key in row)
    )
    where = "pixels that were held out" if held else "training pixels"
    columns = (Column("Output"), *(Column(name, "number") for name in runs))
    return [
        Table(
            f"{SCORE_TITLES.get(key, key)} on {where}",
            columns,
            tuple(
                (o, *(score_cell(key, some.get(o, {}).get(key)) for some in scores.values()))
                for o in outputs
            ),
        )
        for key in keys
    ]


def _weights(runs: Runs, output: str, place: int) -> _Chart:
    """The weights of one output, a line per run (and scene)."""
    rows: list[WeightRow] = [
        row.model_copy(update={"scene": f"{name}, {row.scene}" if row.scene else name})
        for name, report in runs.items()
        for row in report.weights
        if row.output == output
    ]
    found = list(dict.fromkeys(row.scene for row in rows))
    label = f"Effective weights of output {output} in {', '.join(found)}."
    caption = (
        f"Effective weight (gain × weight) in {', '.join(found)}. Tints are 95\u202f% intervals."
    )
    return _Chart(
        output, caption, Markup(weights_figure(rows, label=label, key=f"weights-{place}"))
    )
