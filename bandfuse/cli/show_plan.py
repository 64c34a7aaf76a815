"""Show plan: what a training will read, learn and write."""

from __future__ import annotations

from bandfuse.cli import show
from bandfuse.errors import shorten
from bandfuse.results.training import TrainPlan

MOST = 20
"""Rows of a table at most."""


def show_plan(plan: TrainPlan) -> None:
    """The scenes, the outputs, the files, and how long it may take."""
    size = sum(scene.size for scene in plan.scenes)
    rows = [
        [s.scene, s.rows, s.cols, s.bands, s.target_bands or None, f"{s.size / 1e6:.1f}"]
        for s in plan.scenes[:MOST]
    ]
    show.table(["scene", "rows", "columns", "bands", "target", "MB"], rows, "Reads")
    _rest(len(plan.scenes))
    flagged = f", {plan.bands_flagged} flagged bad" if plan.bands_flagged else ""
    show.line(f"{size / 1e6:.1f} MB; {show.count(plan.bands_used, 'good band')}{flagged}")
    show.line("")
    weights = "" if plan.weights is None else f"; {show.count(plan.weights, 'weight')}"
    title = f"Learns: {plan.objective}, constraint {plan.constraint}{weights}"
    if plan.outputs:
        outputs = [[o.name, o.bands, _range(o.low_nm, o.high_nm)] for o in plan.outputs[:MOST]]
        show.table(["output", "bands", "nm"], outputs, title)
        _rest(len(plan.outputs))
    else:
        show.line(title)
    if plan.sample is not None:
        drawn, memory = show.count(plan.sample.pixels, "pixel"), f"{plan.sample.megabytes:.0f} MB"
        show.line(f"Trains on a sample of {drawn} in {plan.sample.dtype}, {memory} of memory")
    show.line("")
    show.line(f"Writes {plan.output}: {shorten(plan.writes)}")
    read, rest = plan.seconds["read"], plan.seconds["fit"] + plan.seconds["write"]
    both = sum(max(1, round(seconds)) for seconds in (read, rest))
    show.line(f"Takes about {_time(both)}: {_time(read)} to read, {_time(rest)} for the rest")


def _rest(count: int) -> None:
    if count > MOST:
        show.line(f"and {count - MOST} more; --json lists all")


def _range(low: float | None, high: float | None) -> str:
    return "–" if low is None or high is None else f"{low:.0f}-{high:.0f}"


def _time(seconds: float) -> str:
    """A rough time in words.

    >>> _time(0.2), _time(42.0), _time(600.0)
    ('1 s', '42 s', '10 min')
    """
    if seconds < 100:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
