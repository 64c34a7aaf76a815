"""Runs side by side, as one self-contained page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from bandfuse.report.choice import CHOSEN, MOST_CARDS, labels_of, unexplained
from bandfuse.report.figures import weights_figure
from bandfuse.report.html import dress, template
from bandfuse.report.left import MOST_ROWS, left_figure
from bandfuse.report.numbers import MISSING, number
from bandfuse.report.views import SCORE_TITLES, Column, Table, best_of, percent_left, score_cell
from bandfuse.results.base import Scores
from bandfuse.results.training import TrainReport, WeightRow

Runs = Mapping[str, TrainReport]


@dataclass(frozen=True)
class _Chart:
    title: str
    caption: str
    svg: Markup


def render(runs: Runs, messages: Sequence[str]) -> str:
    """The page as one HTML text, as safe as the report of a run. ``runs``: reports by the runs'
    names, two or more."""
    every = _outputs(runs)
    drawn = every if len(every) <= MOST_CARDS else _worst_first(runs, every)[:CHOSEN]
    return template("compare.html.j2").render(
        runs=list(runs),
        messages=messages,
        summary=_summary(runs),
        left=_left(runs),
        scores=score_tables(runs),
        weights=[_weights(runs, name, i) for i, name in enumerate(drawn, 1)],
        outputs=len(every),
        **dress(),
    )


def _outputs(runs: Runs) -> list[str]:
    """Outputs that have weights, in the order of the runs."""
    return list(dict.fromkeys(row.output for report in runs.values() for row in report.weights))


def _labels(runs: Runs) -> dict[str, str]:
    """What the outputs of all runs are called: as the first run that has them calls them."""
    found: dict[str, str] = {}
    for report in runs.values():
        found = labels_of(report) | found
    return found


def _worst_first(runs: Runs, names: Sequence[str]) -> list[str]:
    """Outputs by the most that a run leaves unexplained of their target, the largest first."""
    left = [unexplained(report) for report in runs.values()]
    most = {name: max((some.get(name, 0.0) for some in left), default=0.0) for name in names}
    return sorted(names, key=lambda name: -most[name])


def _left(runs: Runs) -> _Chart | None:
    """What every run leaves unexplained of the targets; None without targets."""
    scores, held = _scores(runs)
    labels = _labels(runs)
    left = {
        run: {labels.get(o, o): 1 - r2 for o, row in some.items() if (r2 := row.get("r2"))}
        for run, some in scores.items()
    }
    if not any(left.values()):
        return None
    names = _worst_first(runs, list(dict.fromkeys(o for some in scores.values() for o in some)))
    shown = [labels.get(name, name) for name in names[:MOST_ROWS]]
    where = "pixels that were held out" if held else "training pixels"
    caption = f"Variance of each target that is not explained, on {where}: farther left is better."
    if len(names) > MOST_ROWS:
        caption += f" Drawn are the {MOST_ROWS} of {len(names)} outputs with the largest."
    label = f"Unexplained variance of {', '.join(shown)} in {', '.join(runs)}."
    svg = left_figure(left, shown, label=label, key="left")
    return _Chart("Unexplained variance", caption, Markup(svg))


def _scores(runs: Runs) -> tuple[dict[str, Scores], bool]:
    """The scores of each run, held out where every run has such, and whether they are."""
    held = all(r.scores.holdout for r in runs.values())
    return {n: r.scores.holdout or {} if held else r.scores.train for n, r in runs.items()}, held


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
    """A table per score: a row per output, a column per run, the best value marked; held out where
    every run is. Of R² also what is left unexplained."""
    scores, held = _scores(runs)
    outputs = list(dict.fromkeys(name for some in scores.values() for name in some))
    keys = list(
        dict.fromkeys(key for some in scores.values() for row in some.values() for key in row)
    )
    where = "pixels that were held out" if held else "training pixels"
    tables = [(key, f"{SCORE_TITLES.get(key, key)} on {where}", _cell_of(key)) for key in keys]
    if "r2" in keys:
        tables.insert(0, ("r2", f"Unexplained variance (%) on {where}", percent_left))
    labels = _labels(runs)
    called = {output: labels.get(output, output) for output in outputs}
    return [_score_table(key, caption, cell, scores, called) for key, caption, cell in tables]


def _cell_of(key: str) -> Cell:
    return lambda value: score_cell(key, value)


Cell = Callable[[float | None], str]
"""Writes one score."""


def _score_table(
    key: str, caption: str, cell: Cell, scores: Mapping[str, Scores], outputs: Mapping[str, str]
) -> Table:
    """One score: a row per output, by what it is called, and a column per run."""
    columns = (Column("Output"), *(Column(name, "number") for name in scores))
    values = [[some.get(o, {}).get(key) for some in scores.values()] for o in outputs]
    called = zip(outputs.values(), values, strict=True)
    rows = tuple((label, *map(cell, some)) for label, some in called)
    best = best_of(key, values, rows)
    return Table(caption, columns, rows, "The best value of each row is marked.", best)


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
    aims = [
        (o.target_nm, o.target_fwhm_nm)
        for report in runs.values()
        for o in report.outputs
        if o.name == output and o.target_nm is not None
    ]
    aim = aims[0] if aims and len(set(aims)) == 1 else None
    if aim:
        caption += " The dotted line is the centre of the target's band, the strip its FWHM."
    svg = weights_figure(rows, target=aim, label=label, key=f"weights-{place}")
    return _Chart(_labels(runs).get(output, output), caption, Markup(svg))
