"""Choice: which outputs are worth a chart of their own, and what they are called."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from bandfuse.results.training import OutputRow, TrainReport, WeightRow
from bandfuse.spectral.bands import Bands
from bandfuse.spectral.display import natural

MOST_CARDS = 16
"""Up to this many outputs are all drawn one by one."""

CHOSEN = 5
"""Of more outputs so many are, and those that are shown as red, green and blue."""


def label_of(output: OutputRow) -> str:
    """The name of an output, and its wavelength where the name does not hold it.

    >>> row = dict(gain=1, offset=0, constraint="free", active_bands=3)
    >>> label_of(OutputRow(name="band 7", wavelength_nm=491.2, **row))
    'band 7 (491 nm)'
    >>> label_of(OutputRow(name="b491", wavelength_nm=491.2, **row))
    'b491'
    """
    nm = output.wavelength_nm
    if nm is None or not math.isfinite(nm) or f"{nm:.0f}" in output.name:
        return output.name
    return f"{output.name} ({nm:.0f} nm)"


def labels_of(report: TrainReport) -> dict[str, str]:
    """What every output is called on a page."""
    return {output.name: label_of(output) for output in report.outputs}


def unexplained(report: TrainReport) -> dict[str, float]:
    """Share of the variance of each target that its output does not explain, of targets that vary:
    on what was held out, else on the training pixels. Empty for other objectives."""
    scores = report.scores.holdout or report.scores.train
    names = {output.name for output in report.outputs}
    return {
        name: 1 - r2
        for name, score in scores.items()
        if name in names and (r2 := score.get("r2")) is not None and math.isfinite(r2)
    }


def worst(report: TrainReport, most: int) -> list[str]:
    """The names of all outputs, in their order; of more than ``most`` those that leave most
    unexplained, worst first."""
    names = [output.name for output in report.outputs]
    return names if len(names) <= most else worst_first(report, names)[:most]


def worst_first(report: TrainReport, names: Iterable[str]) -> list[str]:
    """The names by what is not explained, the largest first; those of which it is not known stay in
    their order, at the end."""
    left = unexplained(report)
    return sorted(names, key=lambda name: -left.get(name, -math.inf))


def chosen(report: TrainReport) -> list[str]:
    """The outputs that are drawn one by one: all, or of many those that leave most unexplained and
    those that are shown as red, green and blue."""
    names = [output.name for output in report.outputs]
    if len(names) <= MOST_CARDS:
        return names
    nm = [np.nan if o.wavelength_nm is None else o.wavelength_nm for o in report.outputs]
    colours = natural(Bands.of(names, wavelength_nm=nm)) or []
    return list(dict.fromkeys([*worst(report, CHOSEN), *(names[i] for i in colours)]))


MOST_DRAWN = 16
"""Scenes whose own weights are drawn in one chart."""


def drawn_scenes(rows: Sequence[WeightRow]) -> list[WeightRow]:
    """The weights that a chart draws: those of all scenes, or of some of many, evenly spread."""
    scenes = list(dict.fromkeys(row.scene for row in rows))
    last = min(len(scenes), MOST_DRAWN) - 1
    kept = {scenes[i * (len(scenes) - 1) // max(1, last)] for i in range(last + 1)}
    return [row for row in rows if row.scene in kept]
