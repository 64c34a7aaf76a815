"""Cloud: where the spectra of a training lie, and how far the ones that were held out are from
them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from bandfuse.model.uncertainty import Cloud
from bandfuse.moments.moments import Moments, total
from bandfuse.spectral.bands import Floats
from bandfuse.survey.survey import Survey
from bandfuse.trust.folds import runs

AXES, OTHERS = 12, 8
"""Axes of a cloud along which most of the variance lies, and directions at random across these."""

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
        rest = (m.take(columns) for (m, _), n in zip(parts, numbers, strict=True) if n != fold)
        held = [x[:, columns] for (_, x), n in zip(parts, numbers, strict=True) if n == fold]
        yield total(rest, len(columns)), np.concatenate(held)


def _ellipsoid(moments: Moments) -> Cloud:
    """From the moments of the bands, without distances."""
    least = FLATTEST * np.abs(moments.mean)
    deviation = np.maximum(np.sqrt(np.maximum(moments.variance, 0.0)), least)
    inverse = np.where(deviation > 0, 1.0 / np.where(deviation > 0, deviation, 1.0), 0.0)
    covariance = moments.covariance * np.outer(inverse, inverse)
    leading = _leading(covariance, min(AXES, len(covariance)))
    axes = np.concatenate([leading, _others(leading, min(OTHERS, len(covariance) - len(leading)))])
    variance = np.maximum(np.einsum("qb,bc,qc->q", axes, covariance, axes), FLOOR)
    nothing = np.zeros(1)
    return Cloud(moments.mean, inverse, axes, variance, nothing, nothing)


def _others(leading: Floats, count: int) -> Floats:
    """(count, B) orthonormal directions at random, across (q, B) others: a spectrum that leaves
    these shows in all of them, in whichever bands it does."""
    drawn = np.random.default_rng(1).standard_normal((count, leading.shape[1]))
    drawn -= (drawn @ leading.T) @ leading
    found: Floats = np.linalg.qr(drawn.T)[0].T
    return found - (found @ leading.T) @ leading


def _leading(matrix: Floats, count: int) -> Floats:
    """(count, B) vectors of the largest eigenvalues of a covariance."""
    if len(matrix) > SMALL:
        return leading_vectors(lambda basis: matrix @ basis, len(matrix), count)
    values, vectors = np.linalg.eigh(matrix)
    return _largest(values, vectors, count)


def leading_vectors(times: Callable[[Floats], Floats], size: int, count: int) -> Floats:
    """(count, n) vectors of the largest eigenvalues of a symmetric (n, n) matrix that is known by
    its products with (n, m) others, by subspace iteration (Halko, Martinsson and Tropp, SIAM
    Review 53, 2011)."""
    start = np.random.default_rng(0).standard_normal((size, min(size, count + MORE)))
    basis = np.linalg.qr(start)[0]
    for _ in range(ROUNDS):
        basis = np.linalg.qr(times(basis))[0]
    values, small = np.linalg.eigh(basis.T @ times(basis))
    return _largest(values, basis @ small, count)


def _largest(values: Floats, vectors: Floats, count: int) -> Floats:
    """(count, n) the (n, m) vectors of the largest values."""
    found: Floats = vectors[:, np.argsort(values)[::-1][:count]].T
    return found
