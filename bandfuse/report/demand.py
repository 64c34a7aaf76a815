"""Demand: the weights of many outputs, small, for charts that the page draws when it is asked."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np

from bandfuse.report.choice import labels_of
from bandfuse.report.figures import has_wavelengths
from bandfuse.report.numbers import shorten
from bandfuse.report.views import output_facts
from bandfuse.results.training import OutputRow, TrainReport, WeightRow

STEPS = 9999
"""Weights are written as whole numbers, in so many steps of the largest of their output."""

MOST_VALUES = 300_000
"""Numbers that a page holds at most: about five characters each."""

Rows = Mapping[str, Sequence[WeightRow]]


def on_demand(report: TrainReport, rows: Rows, names: Sequence[str]) -> str:
    """The weights of these outputs as JSON, as many as fit; ``rows``: by output.

    ``x`` and ``bands``: place on the axis and name of every band; ``line``: bands of one source lie
    on one line. Of each output: ``at`` the bands it has, None for all of them, ``w`` its weights,
    ``low`` and ``high`` their intervals, None without, all in steps of ``unit``."""
    named = {output.name: output for output in report.outputs}
    by_band = {row.band: row for name in names for row in rows[name]}
    bands = [by_band[number] for number in sorted(by_band)]
    by_wavelength = has_wavelengths(bands)
    place, labels = {row.band: i for i, row in enumerate(bands)}, labels_of(report)
    sources = {source: i for i, source in enumerate(dict.fromkeys(r.source for r in bands))}
    shown, left = [], MOST_VALUES
    for name in names:
        one = _output(named[name], labels[name], rows[name], place)
        left -= 3 * len(rows[name])
        if left < 0:
            break
        shown.append(one)
    content = {
        "axis": "wavelength (nm)" if by_wavelength else "band number",
        "x": [
            round(float(r.wavelength_nm), 3) if by_wavelength and r.wavelength_nm else r.band
            for r in bands
        ],
        "bands": [f"band {r.band} ({shorten(r.name)})" for r in bands],
        "line": [sources[r.source] for r in bands],
        "outputs": shown,
    }
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def _output(
    output: OutputRow, label: str, rows: Sequence[WeightRow], place: Mapping[int, int]
) -> dict[str, object]:
    """The weights of one output, in the order of its bands."""
    ordered = sorted(rows, key=lambda row: row.band)
    columns = ("effective_weight", "ci_low", "ci_high")
    values = np.array([[getattr(r, c) for r in ordered] for c in columns], dtype=np.float64)
    unit = float(np.nanmax(np.abs(values), initial=0.0)) / STEPS or 1.0
    known = bool(np.isfinite(values[1:]).all()) and len(ordered) > 0
    whole = np.rint(np.nan_to_num(values) / unit).astype(int).tolist()
    at = [place[row.band] for row in ordered]
    return {
        "label": label,
        "facts": output_facts(output, rows),
        "unit": float(f"{unit:.6g}"),
        "at": None if at == list(range(len(place))) else at,
        "w": whole[0],
        "low": whole[1] if known else None,
        "high": whole[2] if known else None,
        "centre": output.target_nm,
        "fwhm": output.target_fwhm_nm,
    }
