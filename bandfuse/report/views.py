"""What the page shows: results turned into tables and captions. No HTML here; the template
escapes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bandfuse.report.figures import dropped_positions, has_wavelengths
from bandfuse.report.numbers import MISSING, file_size, number, percent
from bandfuse.report.page_data import BlockErrors
from bandfuse.results import DroppedBand, OutputRow, TrainReport, WeightRow

TOP_WEIGHTS = 12
PART_TITLES = {
    "train": "training pixels",
    "holdout": "held-out blocks",
    "random": "random pixels (leaking)",
    "baselines": "baselines",
}
SCORE_TITLES = {"r2": "R²", "rmse": "RMSE", "mae": "MAE", "cc": "CC", "psnr": "PSNR (dB)"} | {
    "accuracy": "Accuracy",
    "balanced": "Balanced accuracy",
    "kappa": "Kappa",
    "snr_db": "SNR (dB)",
}
METHODS = {
    "ols": "Least squares",
    "ridge": "Ridge",
    "nnls": "Non-negative",
    "simplex": "Simplex",
    "best_band": "Best band",
    "mean": "Mean",
    "pca_k": "PCA",
    "lda": "LDA",
    "inverse_variance": "Inverse variance",
}
"""Baselines, as columns."""

SCORE_NOTES = {
    "r2": "R²: share of the target's variance that is explained",
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
    """A table as text; the first cell of a row names the row."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


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
    return MISSING if value is None or not math.isfinite(value) else f"{value:.1f}"


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
    weighted = {row.band for row in report.weights if row.effective_weight != 0}
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


def weights_caption(rows: Sequence[WeightRow], dropped: Sequence[DroppedBand]) -> str:
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
    )


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
        f"Output {output.name}: the {len(top)} largest of {len(rows)} weights, by size of the "
        "effective weight"
    )
    return Table(
        caption, _columns(*cells, numeric=numeric), tuple(zip(*cells.values(), strict=True))
    )


def _any(rows: Sequence[WeightRow], column: str) -> bool:
    return any(getattr(row, column) is not None for row in rows)


def score_tables(report: TrainReport) -> list[Table]:
    """One table per part of the data: a row per output, a column per score."""
    apart = "random" if report.scores.split == "random" else "holdout"
    parts = {apart: report.scores.holdout, "train": report.scores.train}
    tables = [_score_table(part, scores) for part, scores in parts.items() if scores]
    more = [table for table in (overall_table(report), baseline_table(report)) if table]
    return [*tables, *more]


def _score_table(part: str, scores: dict[str, dict[str, float | None]]) -> Table:
    present = list(dict.fromkeys(name for score in scores.values() for name in score))
    present = [
        name for name in present if any(score.get(name) is not None for score in scores.values())
    ] or present
    names = [n for n in SCORE_TITLES if n in present] + [
        n for n in present if n not in SCORE_TITLES
    ]
    titles = [SCORE_TITLES.get(name, name) for name in names]
    columns = (Column("Output"), *(Column(title, "number") for title in titles))
    rows = tuple(
        (output, *(score_cell(name, score.get(name)) for name in names))
        for output, score in scores.items()
    )
    return Table(f"Scores on the {PART_TITLES.get(part, part)}", columns, rows)


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
    return ">0.99999" if 0.999995 < value < 1 else f"{value:.5f}".replace("-", "−")


def baseline_table(report: TrainReport) -> Table | None:
    """The first score of every baseline beside that of the chosen weights, on held-out blocks; None
    without."""
    methods = {name: t.holdout for name, t in report.baselines.items() if t.holdout}
    held = report.scores.holdout
    if not methods or not held:
        return None
    key = next(iter(next(iter(held.values()))))
    columns = (
        Column("Output"),
        Column("Chosen", "number"),
        *(Column(METHODS.get(name, name), "number") for name in methods),
    )
    rows = tuple(
        (
            output,
            score_cell(key, score[key]),
            *(score_cell(key, scores[output][key]) for scores in methods.values()),
        )
        for output, score in held.items()
    )
    return Table(
        f"{SCORE_TITLES.get(key, key)} on held-out blocks, beside baselines", columns, rows
    )


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
    """Pixels used, and the invalid ones by reason."""
    pixels = report.pixels
    total = pixels.used + pixels.invalid
    counts = [("used in training", pixels.used), ("invalid", pixels.invalid)]
    counts += [(f"invalid: {reason}", count) for reason, count in pixels.by_reason.items()]
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


def block_table(scenes: Sequence[BlockErrors]) -> Table:
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
        (scene.scene, *_place(scene, block), number(100 * mean, 3), name)
        for mean, scene, block, name in worst
    )
    return Table("Blocks with the largest error, mean over the outputs", columns, rows)


def _place(scene: BlockErrors, block: int) -> tuple[str, str]:
    """Rows and columns of a block, from 0."""
    row, col = divmod(block, len(scene.col_edges) - 1)
    rows, cols = scene.row_edges[row : row + 2], scene.col_edges[col : col + 2]
    return f"{rows[0]} – {rows[1] - 1}", f"{cols[0]} – {cols[1] - 1}"


def input_table(report: TrainReport) -> Table:
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
            item.sha256,
        )
        for item in report.inputs
    )
    return Table("Inputs", tuple(Column(title, kind) for title, kind in kinds.items()), rows)


def run_facts(report: TrainReport) -> Facts:
    """Where and with what the run was made."""
    seconds = report.seconds
    phases = (("read", seconds.read), ("fit", seconds.fit), ("write", seconds.write))
    return (
        ("Device", report.device),
        ("Seed", str(report.seed)),
        ("Seconds", ", ".join(f"{name} {number(value, 3)}" for name, value in phases)),
        ("Versions", ", ".join(f"{name} {version}" for name, version in report.versions.items())),
        (
            "Kernels",
            ", ".join(" ".join((k.library, k.version, k.kernel)).strip() for k in report.kernels),
        ),
    )
