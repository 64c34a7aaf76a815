"""Cloud: where the spectra of a training lie, and how far the ones that were held out are from
them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from bandfuse.model.uncertainty import Cloud
from bandfuse.moments.moments import Moments, total
from bandfuse.spectral.bands import Floats
from bandfuse.survey.survey import Survey
from bandfuse.trust.folds import runs

AXES, LEFT = 20, 1e-3
"""Axes of a cloud: at most so many, and as few as leave less than this part of the variance."""

FLATTEST, FLOOR = 1e-5, 1e-8
"""The least standard deviation of a band, as a part of its mean; and the least variance along an
axis, of bands in units of their standard deviations."""

SMALL = 400
"""Bands up to which all axes are found at once."""

ROUNDS, MORE = 12, 10
"""Rounds of the search for the leading axes of more bands, and axes beside them."""

LEVELS = np.concatenate([np.linspace(0.0, 0.99, 100), [0.993, 0.996, 0.998, 0.999, 1.0]])
"""Parts of the held-out pixels whose distances are kept."""


def cloud_of(survey: Survey, columns: Sequence[int], folds: int) -> Cloud:
    """Where the spectra of a training lie, over some of the used bands (``columns``). Distances
    are those of the sampled pixels of blocks that are held out in turn; where there are too few
    blocks, those of all of the sample."""
    width, here = len(survey.bands), list(columns)
    held = [_ellipsoid(train).distances(x) for train, x in _held_out(survey, here, folds)]
    cloud = _ellipsoid(survey.pooled.take(here))
    if not held:
        held = [cloud.distances(survey.pixels.values[:, here])]
    distance = np.quantile(np.concatenate(held), LEVELS)
    positions = [survey.design.used[c] for c in here]

    def wide(values: Floats) -> Floats:
        found = np.zeros((*values.shape[:-1], width))
        found[..., positions] = values
        return found

    return replace(
        cloud,
        mean=wide(cloud.mean),
        inverse=wide(cloud.inverse),
        axes=wide(cloud.axes),
        distance=distance,
        part=LEVELS,
    )


def _held_out(survey: Survey, columns: list[int], folds: int) -> Iterator[tuple[Moments, Floats]]:
    """For each fold the moments of the pixels to train on, and a sample (n, B) of the others."""
    parts = [(p.moments, p.sample) for p in survey.parts() if p.moments.count]
    numbers = runs([moments.count for moments, _ in parts], folds)
    for fold in sorted(set(numbers)):
        rest = [m.take(columns) for (m, _), n in zip(parts, numbers, strict=True) if n != fold]
        held = [x[:, columns] for (_, x), n in zip(parts, numbers, strict=True) if n == fold]
        yield total(rest, len(columns)), np.concatenate(held)


def _ellipsoid(moments: Moments) -> Cloud:
    """From the moments of the bands, without distances."""
    least = FLATTEST * np.abs(moments.mean)
    deviation = np.maximum(np.sqrt(np.maximum(moments.variance, 0.0)), least)
    inverse = np.where(deviation > 0, 1.0 / np.where(deviation > 0, deviation, 1.0), 0.0)
    z = moments.covariance * np.outer(inverse, inverse)
    variance, axes = _leading(z, min(AXES, max(1, len(z) - 1)))
    whole = float(np.trace(z))
    rest = whole - np.cumsum(variance)
    count = 1 + int(np.argmax(rest <= LEFT * whole)) if (rest <= LEFT * whole).any() else len(rest)
    others = max(1, len(z) - count)
    floor = max(float(rest[count - 1]) / others, FLOOR)
    nothing = np.zeros(1)
    kept = np.maximum(variance[:count], floor)
    return Cloud(moments.mean, inverse, axes[:count], kept, floor, nothing, nothing)


def _leading(matrix: Floats, count: int) -> tuple[Floats, Floats]:
    """(count,) largest eigenvalues of a covariance, falling, and (count, B) their vectors. Of many
    bands by subspace iteration (Halko, Martinsson and Tropp, SIAM Review 53, 2011)."""
    if len(matrix) <= SMALL:
        values, vectors = np.linalg.eigh(matrix)
    else:
        start = np.random.default_rng(0).standard_normal((len(matrix), count + MORE))
        basis = np.linalg.qr(start)[0]
        for _ in range(ROUNDS):
            basis = np.linalg.qr(matrix @ basis)[0]
        values, small = np.linalg.eigh(basis.T @ matrix @ basis)
        vectors = basis @ small
    order = np.argsort(values)[::-1][:count]
    return np.maximum(values[order], 0.0), vectors[:, order].T
