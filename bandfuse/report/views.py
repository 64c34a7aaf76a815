"""What the page shows: results turned into tables and captions. No HTML here; the template
escapes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from bandfuse.report.choice import MOST_CARDS, label_of, labels_of, worst_first
from bandfuse.report.figures import dropped_positions, has_wavelengths
from bandfuse.report.numbers import METHODS, MISSING, file_size, fixed, number, percent
from bandfuse.report.page_data import BlockErrors
from bandfuse.results.base import Scores
from bandfuse.results.training import (
    DroppedBand,
    InputFile,
    OutputRow,
    Separation,
    TrainReport,
    WeightRow,
)

TOP_WEIGHTS = 12
PART_TITLES = {
    "train": "training pixels",
    "holdout": "held-out blocks",
    "scenes": "held-out scenes",
    "random": "random pixels (leaking)",
    "baselines": "baselines",
}
SCORE_TITLES = {"r2": "R²", "rmse": "RMSE", "mae": "MAE", "cc": "CC", "psnr": "PSNR (dB)"} | {
    "accuracy": "Accuracy",
    "balanced": "Balanced accuracy",
    "kappa": "Kappa",
    "snr_db": "SNR (dB)",
}
SCORE_NOTES = {
    "r2": "R²: share of the target's variance that is explained; unexplained: 1 − R² in percent",
    "rmse": "RMSE: in the target's units",
    "mae": "MAE: mean absolute error in the target's units, over a sample of pixels",
    "cc": "CC: correlation coefficient",
    "psnr": "PSNR: in dB, psnr peak = the target's maximum",
    "accuracy": "Accuracy: part of the sampled pixels whose class is found; balanced: mean over "
    "the classes",
    "snr_db": "SNR: variance of the output over that of its noise, in dB",
}


@dataclass(frozen=True)
class Column:
    """Head of a column; numbers are set flush right, ranges on one line, codes in a fixed-width
    font."""

    title: str
    kind: str = "text"


@dataclass(frozen=True)
class Table:
    """A table as text; the first cell of a row names the row. ``best``: places of the cells, by row
    and column, that are better than the others of their row."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    best: frozenset[tuple[int, int]] = frozenset()


Facts = tuple[tuple[str, str], ...]
"""Pairs of a label and a value."""


def _columns(*titles: str, numeric: Iterable[str] = ()) -> tuple[Column, ...]:
    wanted = set(numeric)
    return tuple(Column(title, "number" if title in wanted else "text") for title in titles)


def place(row: WeightRow) -> str:
    """Where the band of a weight lies."""
    return (
        f"band {row.band}" if row.wavelength_nm is None else f"{wavelength(row.wavelength_nm)} nm"
    )


def wavelength(value: float | None) -> str:
    """A wavelength to a tenth of a nm, without the unit."""
    return fixed(value, 1)


def glance(report: TrainReport) -> Facts:
    """The numbers that a reader looks for first."""
    held = report.scores.holdout
    apart = "leaking" if report.scores.split == "random" else "held out"
    r2 = [
        value
        for score in (held or report.scores.train).values()
        if (value := score.get("r2")) is not None
    ]
    spread = (
        " to ".join(dict.fromkeys([score_cell("r2", min(r2)), score_cell("r2", max(r2))]))
        if r2
        else ""
    )
    weighted = {row.band for row in active_rows(report.weights)}
    total = report.pixels.used + report.pixels.invalid
    seconds = report.seconds.read + report.seconds.fit + report.seconds.write
    facts = (
        ("Outputs", number(len(report.outputs))),
        (f"R², {apart}" if held else "R², training", spread),
        (
            "Bands with weight",
            f"{number(len(weighted))} of {number(len({row.band for row in report.weights}))}",
        ),
        ("Bands dropped", number(len(report.bands_dropped))),
        ("Pixels used", f"{number(report.pixels.used)} ({percent(report.pixels.used, total)})"),
        ("Time", f"{number(seconds, 3)} s"),
    )
    return tuple((label, value) for label, value in facts if value)


ACTIVE = 1e-3
"""Weights above this part of the largest of their output count."""


def active_rows(rows: Sequence[WeightRow]) -> list[WeightRow]:
    """The weights above a thousandth of the largest of their output."""
    most: dict[str, float] = {}
    for row in rows:
        most[row.output] = max(most.get(row.output, 0.0), abs(row.effective_weight))
    return [row for row in rows if abs(row.effective_weight) > ACTIVE * most[row.output]]


def weights_caption(
    output: OutputRow, rows: Sequence[WeightRow], dropped: Sequence[DroppedBand]
) -> str:
    """What the chart of one output shows, in words."""
    if not rows:
        return "This output has no weights."
    axis = "wavelength" if has_wavelengths(rows) else "band number"
    parts = [f"Effective weight (gain × weight) against {axis}."]
    if (
        any(row.effective_weight == 0 for row in rows)
        and len({(row.scene, row.source) for row in rows}) == 1
    ):
        parts.append("Grey points are weights of exactly zero.")
    if any(row.ci_low is not None and row.ci_high is not None for row in rows):
        parts.append("The tint around it is the 95\u202f% interval.")
    if place_of(output) and has_wavelengths(rows):
        strip = "" if output.target_fwhm_nm is None else ", the strip around it its FWHM"
        parts.append(f"The dotted line is the centre of the target's band{strip}.")
    sources = {row.source for row in rows}
    near = [band for band in dropped if band.source in sources]
    drawn = dropped_positions(rows, near, has_wavelengths(rows)).size
    if drawn:
        parts.append("Grey strips are dropped bands.")
    if drawn < len(near):
        parts.append(f"Dropped bands without a wavelength are not drawn: {len(near) - drawn}.")
    return " ".join(parts)


def weights_alt(output: OutputRow, rows: Sequence[WeightRow]) -> str:
    """The chart of one output for people who can't see it."""
    finite = [row for row in rows if math.isfinite(row.effective_weight)]
    if not finite:
        return f"Effective weights of output {output.name}: none."
    top = max(finite, key=lambda row: abs(row.effective_weight))
    where = f" at {wavelength(top.wavelength_nm)} nm" if top.wavelength_nm is not None else ""
    largest = (
        f"the largest is {number(top.effective_weight)}, of band {top.band} ({top.name}){where}"
    )
    return f"Effective weights of output {output.name} over {len(rows)} bands; {largest}."


def output_facts(output: OutputRow, rows: Sequence[WeightRow]) -> Facts:
    """Gain, offset and constraint of one output."""
    penalties = (("Ridge", output.ridge), ("Smooth", output.smooth), ("Sparse", output.sparse))
    return (
        ("Gain", number(output.gain)),
        ("Offset", number(output.offset)),
        ("Constraint", output.constraint),
        *((name, number(strength)) for name, strength in penalties if strength),
        (
            "Active bands",
            f"{number(output.active_bands)} of {number(len({row.band for row in rows}))}",
        ),
        *(((TARGET_TITLE, centre),) if (centre := place_of(output)) else ()),
    )


TARGET_TITLE = "Target ± FWHM/2"


def place_of(output: OutputRow) -> str:
    """Centre and half of the width of the target's band; empty if they are not known."""
    if output.target_nm is None:
        return ""
    half = "" if output.target_fwhm_nm is None else f" ± {fixed(output.target_fwhm_nm / 2, 1)}"
    return f"{fixed(output.target_nm, 1)}{half} nm"


def weight_table(output: OutputRow, rows: Sequence[WeightRow]) -> Table:
    """The largest weights of one output."""
    found = [
        row for row in rows if math.isfinite(row.effective_weight) and row.effective_weight != 0
    ]
    top = sorted(found, key=lambda row: (-abs(row.effective_weight), row.band))[:TOP_WEIGHTS]
    optional = {
        "Scene": [row.scene or "all scenes" for row in top]
        if any(row.scene for row in rows)
        else [],
        "Source": [row.source for row in top] if len({row.source for row in rows}) > 1 else [],
        "Wavelength (nm)": [wavelength(row.wavelength_nm) for row in top]
        if _any(rows, "wavelength_nm")
        else [],
        "Weight": [number(row.weight) for row in top],
        "Effective weight": [number(row.effective_weight) for row in top],
        "95\u202f% from": [number(row.ci_low) for row in top] if _any(rows, "ci_low") else [],
        "to": [number(row.ci_high) for row in top] if _any(rows, "ci_high") else [],
    }
    cells = {"Band": [str(row.band) for row in top], "Name": [row.name for row in top]}
    cells |= {title: column for title, column in optional.items() if column}
    numeric = set(cells) - {"Name", "Scene", "Source"}
    caption = (
        f"Output {label_of(output)}: the {len(top)} largest of {len(rows)} weights, by size of the "
        "effective weight"
    )
    return Table(
        caption, _columns(*cells, numeric=numeric), tuple(zip(*cells.values(), strict=True))
    )


def _any(rows: Sequence[WeightRow], column: str) -> bool:
    return any(getattr(row, column) is not None for row in rows)


def score_tables(report: TrainReport) -> list[Table]:
    """One table per part of the data: a row per output, a column per score."""
    split = report.scores.split
    apart = split if split in ("scenes", "random") else "holdout"
    parts = {apart: report.scores.holdout, "train": report.scores.train}
    tables = [_score_table(report, part, scores) for part, scores in parts.items() if scores]
    more = [table for table in (overall_table(report), baseline_table(report)) if table]
    return [*tables, *more]


UNEXPLAINED = "Unexplained (%)"


def _score_table(report: TrainReport, part: str, scores: Scores) -> Table:
    present = list(dict.fromkeys(name for score in scores.values() for name in score))
    present = [
        name for name in present if any(score.get(name) is not None for score in scores.values())
    ] or present
    names = [n for n in SCORE_TITLES if n in present] + [
        n for n in present if n not in SCORE_TITLES
    ]
    titles = [SCORE_TITLES.get(name, name) for name in names]
    left = [UNEXPLAINED] if "r2" in names else []
    columns = (Column("Output"), *(Column(title, "number") for title in [*left, *titles]))
    labels, order = labels_of(report), ordered(report, scores)
    rows = tuple(
        (
            labels.get(output, output),
            *(percent_left(scores[output].get("r2")) for _ in left),
            *(score_cell(name, scores[output].get(name)) for name in names),
        )
        for output in order
    )
    note = "" if order == list(scores) else SORTED
    return Table(f"Scores on the {PART_TITLES.get(part, part)}", columns, rows, note)


SORTED = "Sorted: the target with the largest unexplained part of its variance comes first."


def ordered(report: TrainReport, names: Iterable[str]) -> list[str]:
    """Outputs in their order, or the worst first where there are many."""
    every = list(names)
    return every if len(every) <= MOST_CARDS else worst_first(report, every)


def percent_left(r2: float | None) -> str:
    """The part of a variance that is not explained, in percent, without the sign."""
    return MISSING if r2 is None or not math.isfinite(r2) else number(100 * (1 - r2), 3)


WHERE = {
    "blocks": "pixels of blocks that were held out in turn",
    "scenes": "pixels of scenes that were held out in turn",
    "random": "random pixels that were held out",
    "train": "pixels that were trained on",
}
"""Which pixels were classified."""


def separation_table(table: Separation) -> Table:
    """How well each class is found, and what it is taken for most."""
    titles = ("Pixels", "Producer's accuracy (%)", "User's accuracy (%)", "F1")
    columns = (Column("Class"), *(Column(title, "number") for title in titles))
    rows = tuple(
        (
            row.name if row.name == str(row.value) else f"{row.name} ({row.value})",
            number(row.pixels),
            *(MISSING if x is None else fixed(100 * x, 2) for x in (row.recall, row.precision)),
            fixed(row.f1, 4),
            _taken_for(table, i),
        )
        for i, row in enumerate(table.rows)
    )
    note = (
        f"Of a sample of {WHERE[table.where]}. Producer's accuracy (recall): share of a class that "
        "is found. User's accuracy (precision): share of the pixels found as a class that are of "
        "it. F1: their harmonic mean. Pixels: all that are labelled and count."
    )
    return Table("Classes", (*columns, Column("Most often taken for")), rows, note)


def _taken_for(table: Separation, at: int) -> str:
    """The class that most of the pixels that are not found go to, and their number."""
    others = [0 if j == at else n for j, n in enumerate(table.confusion[at])]
    most = max(others)
    return f"{table.rows[others.index(most)].name} ({number(most)})" if most else MISSING


def overall_table(report: TrainReport) -> Table | None:
    """Scores of all outputs together: a row per part of the data; None where there are none."""
    parts = report.scores.overall
    if not any(value is not None for score in parts.values() for value in score.values()):
        return None
    columns = (
        Column("All outputs together"),
        Column("Spectral angle (°)", "number"),
        Column("ERGAS", "number"),
    )
    rows = tuple(
        (PART_TITLES.get(part, part), number(score.get("sam")), number(score.get("ergas")))
        for part, score in reversed(parts.items())
    )
    return Table("Scores of all outputs together", columns, rows)


def score_cell(name: str, value: float | None) -> str:
    """A score in a cell; R² and correlations differ in their last digits."""
    if name not in ("r2", "cc") or value is None or abs(value) > 10:
        return number(value)
    return ">0.99999" if 0.999995 < value < 1 else fixed(value, 5)


def baseline_table(report: TrainReport) -> Table | None:
    """The first score of every baseline beside that of the chosen weights, on held-out blocks; of
    R² what is left unexplained. None without."""
    methods = {name: t.holdout for name, t in report.baselines.items() if t.holdout}
    held = report.scores.holdout
    if not methods or not held:
        return None
    key = next(iter(next(iter(held.values()))))
    labels, order = labels_of(report), ordered(report, held)
    titles = ("Chosen", *(METHODS.get(name, name) for name in methods))
    columns = (Column("Output"), *(Column(title, "number") for title in titles))
    values = [[held[o][key], *(scores[o][key] for scores in methods.values())] for o in order]
    cell = percent_left if key == "r2" else partial(score_cell, key)
    rows = tuple(
        (labels.get(output, output), *map(cell, some))
        for output, some in zip(order, values, strict=True)
    )
    what = "Unexplained variance (%)" if key == "r2" else SCORE_TITLES.get(key, key)
    note = "The best value of each row is marked. " + ("" if order == list(held) else SORTED)
    caption = f"{what} on held-out blocks, beside baselines"
    return Table(caption, columns, rows, note.strip(), best_of(key, values, rows))


LESS = {"rmse", "mae", "sam", "ergas"}
"""Scores of which less is better."""


def best_of(
    key: str, values: Sequence[Sequence[float | None]], rows: Sequence[Sequence[str]]
) -> frozenset[tuple[int, int]]:
    """Places, by row and column, of the best score of each row: those that are written the same are
    equally good. None where all are alike."""
    found = set()
    for i, some in enumerate(values):
        known = [(v, j) for j, v in enumerate(some) if v is not None and math.isfinite(v)]
        if len(known) < 2:
            continue
        best = (min if key in LESS else max)(known)[1] + 1
        alike = [j for _, j in known if rows[i][j + 1] == rows[i][best]]
        if len(alike) < len(known):
            found |= {(i, j + 1) for j in alike}
    return frozenset(found)


def score_note(report: TrainReport) -> str:
    """Units of the scores that are present."""
    present = {name for score in report.scores.train.values() for name in score}
    notes = [note for name, note in SCORE_NOTES.items() if name in present]
    return "; ".join(notes) + "." if notes else ""


def convergence_facts(report: TrainReport) -> Facts:
    """How the fit ended."""
    end = report.convergence
    optimum = number(end.optimum) if end.optimum is not None else "none: the problem is not convex"
    gap = number(end.relative_gap) if end.relative_gap is not None else MISSING
    return (
        ("Loss", number(end.loss)),
        ("Optimum (exact solution)", optimum),
        ("Relative gap", gap),
        ("Steps", number(end.steps)),
        *(("Starts", _spread(ends)) for ends in end.starts),
    )


def loss_note(report: TrainReport) -> str:
    """What the loss is."""
    if any("r2" in score for score in report.scores.train.values()):
        return (
            "Losses are summed over the outputs, in the units of the loss (mean squared errors: "
            "squared units of the target). The relative gap is the largest (loss − optimum) / "
            "Var(target) of all outputs."
        )
    return (
        "The loss is the logarithm of a ratio of variances: the smaller the better, and below zero."
    )


def _spread(ends: Sequence[float]) -> str:
    return f"{len(ends)}, ending at {number(min(ends))} to {number(max(ends))}"


def pixel_table(report: TrainReport) -> Table:
    """Pixels used, and the invalid ones by reason; those that quality layers flag as two things
    count in both."""
    pixels = report.pixels
    total = pixels.used + pixels.invalid
    counts = [("used in training", pixels.used), ("invalid", pixels.invalid)]
    counts += [(f"invalid: {reason}", count) for reason, count in pixels.by_reason.items()]
    counts += [(f"of these flagged as {word}", n) for word, n in pixels.quality.items()]
    rows = tuple((label, number(count), percent(count, total)) for label, count in counts)
    return Table("Pixels", _columns("Pixels", "Count", "Share", numeric=("Count", "Share")), rows)


def dropped_table(dropped: Sequence[DroppedBand]) -> Table:
    """Dropped bands; neighbours of one source with one reason share a row."""
    runs: list[list[DroppedBand]] = []
    for band in sorted(dropped, key=lambda d: d.band):
        last = runs[-1][-1] if runs else None
        joins = last and (last.band + 1, last.source, last.reason) == (
            band.band,
            band.source,
            band.reason,
        )
        runs[-1].append(band) if joins else runs.append([band])
    kinds = {
        "Bands": "range",
        "Source": "text",
        "Names": "text",
        "Wavelength (nm)": "range",
        "Count": "number",
    }
    columns = tuple(Column(title, kind) for title, kind in {**kinds, "Reason": "text"}.items())
    return Table("Bands that were not used", columns, tuple(_dropped_row(run) for run in runs))


def _dropped_row(run: Sequence[DroppedBand]) -> tuple[str, ...]:
    ends = (run[0], run[-1])
    bands, names, places = (
        " – ".join(dict.fromkeys(column))
        for column in (
            [str(d.band) for d in ends],
            [d.name for d in ends],
            [wavelength(d.wavelength_nm) for d in ends],
        )
    )
    return bands, run[0].source, names, places, number(len(run)), run[0].reason


WORST_BLOCKS = 8


def block_table(scenes: Sequence[BlockErrors], labels: Mapping[str, str]) -> Table:
    """The blocks with the largest mean error over the outputs, and the output that is worst
    there."""
    found = []
    for scene in scenes:
        for block, errors in enumerate(zip(*scene.errors.values(), strict=True)):
            known = {name: e for name, e in zip(scene.errors, errors, strict=True) if e is not None}
            if known:
                found.append(
                    (
                        sum(known.values()) / len(known),
                        scene,
                        block,
                        max(known, key=lambda n: known[n]),
                    )
                )
    worst = sorted(found, key=lambda row: -row[0])[:WORST_BLOCKS]
    columns = _columns(
        "Scene", "Rows", "Columns", "Error (%)", "Worst output", numeric=("Error (%)",)
    )
    rows = tuple(
        (scene.scene, *_place(scene, block), number(100 * mean, 3), labels.get(name, name))
        for mean, scene, block, name in worst
    )
    return Table("Blocks with the largest error, mean over the outputs", columns, rows)


def _place(scene: BlockErrors, block: int) -> tuple[str, str]:
    """Rows and columns of a block, from 0."""
    row, col = divmod(block, len(scene.col_edges) - 1)
    rows, cols = scene.row_edges[row : row + 2], scene.col_edges[col : col + 2]
    return f"{rows[0]} – {rows[1] - 1}", f"{cols[0]} – {cols[1] - 1}"


def input_table(inputs: Sequence[InputFile]) -> Table:
    """The files that were read."""
    kinds = {
        "File": "code",
        "Bands × rows × columns": "text",
        "CRS": "text",
        "Size": "number",
        "SHA-256": "code",
    }
    rows = tuple(
        (
            item.path,
            " × ".join(str(n) for n in item.shape),
            item.crs or MISSING,
            file_size(item.size),
            item.sha256 or MISSING,
        )
        for item in inputs
    )
    return Table("Inputs", tuple(Column(title, kind) for title, kind in kinds.items()), rows)


def run_facts(report: TrainReport) -> Facts:
    """Where and with what the run was made."""
    seconds = report.seconds
    phases = (("read", seconds.read), ("fit", seconds.fit), ("write", seconds.write))
    return (
        *((f"Device, {part}", f"{row}: {row.reason}") for part, row in report.device.items()),
        ("Seed", str(report.seed)),
        ("Seconds", ", ".join(f"{name} {number(value, 3)}" for name, value in phases)),
        ("Versions", ", ".join(f"{name} {version}" for name, version in report.versions.items())),
        (
            "Kernels",
            ", ".join(" ".join((k.library, k.version, k.kernel)).strip() for k in report.kernels),
        ),
    )
