"""CSV and JSON: the files for programs, weights.csv and report.json."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from bandfuse.files.textfile import guarded
from bandfuse.results.training import TrainReport, WeightRow

COLUMNS: tuple[str, ...] = tuple(WeightRow.model_fields)
"""The columns of weights.csv, in order."""


def write_csv(rows: Sequence[WeightRow]) -> str:
    """The text of weights.csv: one header line, one line per weight, ``\\n`` line ends.

    Floats are written so that reading them gives the same bits; an empty cell is a value that does
    not exist."""
    lines = [_line(COLUMNS)]
    lines += [_line([_cell(getattr(row, column)) for column in COLUMNS]) for row in rows]
    return "".join(lines)


def _line(cells: Sequence[str]) -> str:
    out = io.StringIO()
    # Python 3.11 and 3.12 quote a carriage return in a cell only if the line end holds one
    csv.writer(out, lineterminator="\r\n").writerow(cells)
    return out.getvalue().removesuffix("\r\n") + "\n"


def _cell(value: str | int | float | None) -> str:
    if value is None:
        return ""
    # float() first: the repr of a numpy scalar isn't a number
    if isinstance(value, str):
        return guarded(value)
    return repr(float(value)) if isinstance(value, float) else str(value)


def write_json(report: TrainReport) -> str:
    """The text of report.json: indented by 1; numbers that are not finite are null."""
    return report.model_dump_json(indent=1) + "\n"
