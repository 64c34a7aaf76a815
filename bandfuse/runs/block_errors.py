"""Block errors: outputs beside targets on every block that was held out. No pixel is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from bandfuse.model.model import Model
from bandfuse.moments.slopes import WithoutSlopes
from bandfuse.report.page_data import BlockErrors, Density
from bandfuse.solve.scores import Pairs
from bandfuse.spectral.bands import Floats
from bandfuse.survey.survey import WHOLE, Block, Survey
from bandfuse.trust.assess import Assessment
from bandfuse.trust.baselines import Line
from bandfuse.trust.moved_outputs import SlopedPixels
from bandfuse.trust.refits import Names, folded, pairs_of

Place = tuple[int, int]
"""Scene and block; a random part is of scene −1."""

CELLS = 32
"""Cells a side in which pixels are counted."""

TAILS = (0.1, 99.9)
"""Percentiles between which the counted range lies."""


def held_pairs(
    survey: Survey, names: Names, trust: Assessment, *, folds: int, per_scene: bool
) -> dict[Place, Pairs]:
    """Outputs beside targets of each block, by weights that were learned without it. Empty
    without folds or targets. ``folds`` and ``per_scene``: how the blocks were held out."""
    if not trust.lines and not trust.models:
        return {}
    held = folded(survey, folds, per_scene=per_scene)
    parts = {(part.scene, part.number): part for part in survey.parts()}
    without = [_without_slopes(survey, [p for p in parts if p not in run]) for run in held]
    if trust.models:
        return {
            place: pairs_of(survey.within([place]), names, model, out)
            for model, run, out in zip(trust.models, held, without, strict=True)
            for place in run
        }
    return {
        place: _pairs(parts[place], line, out)
        for line, run, out in zip(trust.lines, held, without, strict=True)
        for place in run
    }


def _without_slopes(survey: Survey, places: Sequence[Place]) -> WithoutSlopes | None:
    """What takes slopes out, learned from some places; None where there are none."""
    return survey.within(places).without_slopes if survey.slopes else None


def _pairs(part: Block, line: Line, without: WithoutSlopes | None) -> Pairs:
    """Of one block, by weights and offset that were learned without it."""
    if without is None:
        return Pairs.linear(part.moments, part.sample, *line)
    return SlopedPixels(part.moments, part.sample, without).pairs(*line)


def block_errors(
    survey: Survey, keys: Sequence[str], held: Mapping[Place, Pairs]
) -> list[BlockErrors]:
    """By scene: the mean squared error of every output in every block, as a share of the variance
    of its target over all pixels. None in blocks without pixels; empty for random parts."""
    names, variance = survey.design.names, _target_variance(survey)
    shares = {place: _squared_errors(pairs) / variance for place, pairs in held.items()}
    unknown, tables = np.full(len(names), np.nan), []
    for scene in sorted({scene for scene, _ in held if scene >= 0}):
        grid = survey.grids[scene]
        whole = shares.get((scene, WHOLE), unknown)
        errors = np.array([shares.get((scene, block), whole) for block in range(grid.count)])
        by_output = {name: _or_none(errors[:, k]) for k, name in enumerate(names)}
        edges = {"row_edges": list(grid.row_edges), "col_edges": list(grid.col_edges)}
        tables.append(BlockErrors(scene=keys[scene], **edges, errors=by_output))
    return tables


def _target_variance(survey: Survey) -> Floats:
    """(K,) variances of the targets of the outputs; NaN where a target does not vary."""
    every = np.diag(survey.pooled.take(survey.order).covariance)
    variance = every[len(survey.design.used) :]
    return np.where(variance > 0, variance, np.nan)


def _squared_errors(pairs: Pairs) -> Floats:
    """(K,) mean squared errors."""
    k = pairs.moments.size // 2
    s, mean = pairs.moments.covariance, pairs.moments.mean
    spread = np.diag(s)[:k] + np.diag(s)[k:] - 2 * np.diag(s[:k, k:])
    error: Floats = np.maximum(spread, 0.0) + (mean[:k] - mean[k:]) ** 2
    return error


def _or_none(values: Floats) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]


def densities(
    survey: Survey, names: Names, model: Model, held: Mapping[Place, Pairs]
) -> tuple[list[Density], str]:
    """How many pixels of the sample have which target and which fused value, by output; and which
    pixels these are: those that were held out, if there are any."""
    outputs = survey.design.names
    if not survey.design.targets:
        return [], ""
    if held:
        sample, which = np.concatenate([pairs.sample for pairs in held.values()]), "held out"
    else:
        sample, which = pairs_of(survey, names, model).sample, "trained on"
    if not len(sample):
        return [], which
    columns = [sample[:, [k, len(outputs) + k]] for k in range(len(outputs))]
    return [_density(*named) for named in zip(outputs, columns, strict=True)], which


def _density(name: str, values: Floats) -> Density:
    """Of (n, 2) fused and target values; both axes have one range."""
    low, high = (float(x) for x in np.percentile(values, TAILS))
    high = high if high > low else low + max(abs(low), 1.0) * 1e-6
    ranges = [(low, high)] * 2
    counts = np.histogram2d(values[:, 1], values[:, 0], bins=CELLS, range=ranges)[0]
    cells = counts.astype(int).tolist()
    return Density(output=name, low=low, high=high, counts=cells, pixels=len(values))
