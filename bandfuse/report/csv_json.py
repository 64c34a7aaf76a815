"""CSV and JSON: the files for programs, weights.csv and report.json."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

from bandfuse.files.textfile import guarded
from bandfuse.results.base import Result
from bandfuse.results.training import TrainReport, WeightRow

COLUMNS: tuple[str, ...] = tuple(WeightRow.model_fields)
"""The columns of weights.csv, in order."""


def write_csv(rows: Sequence[WeightRow]) -> str:
    """The text of weights.csv: one header line, one line per weight, ``\\n`` line ends.

    Floats are written so that reading them gives the same bits; an empty cell is a value that does
    not exist."""
    return "".join(csv_lines(rows))


def csv_lines(rows: Sequence[WeightRow]) -> Iterator[str]:
    """The same, line by line."""
    yield _line(COLUMNS)
    for row in rows:
        yield _line([_cell(getattr(row, column)) for column in COLUMNS])


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
    return "".join(json_parts(report))


ROWS = 4096
"""Weights whose text is made at once."""


class _Weights(Result):
    weights: Sequence[WeightRow | None]


def json_parts(report: TrainReport) -> Iterator[str]:
    """The same in parts of a bounded size, as the weights of many scenes have a long text."""
    rest = report.model_copy(update={"weights": []}).model_dump_json(indent=1)
    none, (head, tail) = _json_of([]), _json_of([None]).split("null")
    before, after = rest.split(none, 1)
    yield before
    for first in range(0, len(report.weights), ROWS):
        text = _json_of(report.weights[first : first + ROWS])
        yield (",\n  " if first else head) + text.removeprefix(head).removesuffix(tail)
    yield (tail if report.weights else none) + after + "\n"


def _json_of(rows: Sequence[WeightRow | None]) -> str:
    """The weights as they stand in report.json."""
    text = _Weights.model_construct(weights=rows).model_dump_json(indent=1)
    return text.removeprefix("{").removesuffix("\n}")
