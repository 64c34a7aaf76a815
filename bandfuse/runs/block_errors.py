"""Block errors: outputs beside targets of every block, by weights that were learned without it. No pixel is read."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bandfuse.report.page_data import BlockErrors, Density
from bandfuse.solve.scores import Pairs
from bandfuse.training.trained import Trained
from bandfuse.trust.folds import runs
from bandfuse.trust.refits import folded, pairs_of

Place = tuple[int, int]
"""Scene and block; a random part is of scene −1."""

CELLS = 32
"""Cells a side in which pixels are counted."""

TAILS = (0.1, 99.9)
"""Percentiles between which the counted range lies."""


def held_pairs(trained: Trained) -> dict[Place, Pairs]:
    """By block that was held out. Empty without folds, and for objectives without a target."""
    found, config = trained.survey, trained.config
    parts, trust = found.parts(), trained.trust
    if trust.lines:
        numbers = runs([part.moments.count for part in parts], config.folds)
        return {
            (p.scene, p.number): Pairs.linear(p.moments, p.sample, *trust.lines[n])
            for p, n in zip(parts, numbers, strict=True)
        }
    names = [s.names for s in trained.scenes]
    held = folded(found, config.folds, per_scene=config.per_scene) if trust.models else []
    return {
        place: pairs_of(found.within([place]), names, model)
        for model, run in zip(trust.models, held, strict=True)
        for place in run
    }


def block_errors(trained: Trained, held: Mapping[Place, Pairs]) -> list[BlockErrors]:
    """By scene: the mean squared error of every output in every block, divided by the variance of its target over all
    pixels; None in blocks without pixels. Empty for random parts."""
    found, names = trained.survey, trained.survey.design.names
    variance = np.diag(found.pooled.take(found.order).covariance)[len(found.design.used) :]
    shares = {place: _squared(pairs) / np.where(variance > 0, variance, np.nan) for place, pairs in held.items()}
    made = []
    for number, (scene, grid) in enumerate(zip(trained.scenes, found.grids, strict=True)):
        here = {block: row for (of, block), row in shares.items() if of == number}
        if here:
            table = np.full((grid.count, len(names)), np.nan)
            table[list(here)] = list(here.values())
            errors = {n: [float(x) if np.isfinite(x) else None for x in table[:, k]] for k, n in enumerate(names)}
            edges = {"row_edges": list(grid.row_edges), "col_edges": list(grid.col_edges)}
            made.append(BlockErrors(scene=scene.key, **edges, errors=errors))
    return made


def _squared(pairs: Pairs) -> np.ndarray:
    """(K,) mean squared errors."""
    k = pairs.moments.size // 2
    s, mean = pairs.moments.covariance, pairs.moments.mean
    spread = np.diag(s)[:k] + np.diag(s)[k:] - 2 * np.diag(s[:k, k:])
    error: np.ndarray = np.maximum(spread, 0.0) + (mean[:k] - mean[k:]) ** 2
    return error


def densities(trained: Trained, held: Mapping[Place, Pairs]) -> tuple[list[Density], str]:
    """How many pixels of the sample have which target and which fused value, by output; and which pixels they are."""
    if not trained.survey.design.targets:
        return [], ""
    names = trained.survey.design.names
    if held:
        sample, which = np.concatenate([p.sample for p in held.values()]), "held out"
    else:
        pairs = pairs_of(trained.survey, [s.names for s in trained.scenes], trained.model)
        sample, which = pairs.sample, "trained on"
    return [_density(name, sample[:, [k, len(names) + k]]) for k, name in enumerate(names) if len(sample)], which


def _density(name: str, values: np.ndarray) -> Density:
    """Of (n, 2) fused and target values; both axes have one range."""
    low, high = (float(x) for x in np.percentile(values, TAILS))
    high = high if high > low else low + max(abs(low), 1.0) * 1e-6
    counts = np.histogram2d(values[:, 1], values[:, 0], bins=CELLS, range=[(low, high)] * 2)[0]
    return Density(output=name, low=low, high=high, counts=counts.astype(int).tolist(), pixels=len(values))
