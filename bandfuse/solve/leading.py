"""Leading: the outputs of a group that come first by an objective without targets, by their closed
form.

Principal components, linear discriminants and minimum noise fractions are all the generalised
eigenvectors of two (B, B) matrices: what is to be large in an output, and what is to be small.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bandfuse.solve.classes import scatters
from bandfuse.solve.fit_result import Fit
from bandfuse.solve.gathered import Gathered
from bandfuse.solve.layout import Layout
from bandfuse.spectral.bands import Floats


@dataclass(frozen=True, eq=False)
class Ratio:
    """What is to be large and what is to be small, (B, B); ``losses`` of the ratios of some
    outputs, and their scale, as the loss of the objective has them."""

    top: Floats
    bottom: Floats
    losses: Callable[[Floats], tuple[Floats, Floats]]


def principal(gathered: Gathered) -> Ratio:
    """Variance, of weights of unit norm: principal components (Eckart and Young 1936)."""
    a = gathered.split.a
    variance = float(np.trace(a)) / len(a)

    def losses(ratios: Floats) -> tuple[Floats, Floats]:
        left = variance - float(ratios.sum()) / len(a)
        return np.array([left]), np.array([variance if variance > 0 else 1.0])

    return Ratio(a, np.eye(len(a)), losses)


def discriminant(gathered: Gathered) -> Ratio:
    """The scatter of all pixels and that within classes: linear discriminants (Fisher 1936; Rao
    1948)."""
    assert gathered.classes is not None
    within, total = scatters(gathered.classes, balanced=gathered.balanced)
    top, bottom = gathered.ridged(total, within), gathered.ridged(within, within)
    return Ratio(top, bottom, lambda ratios: (-np.log(ratios).mean(keepdims=True), np.ones(1)))


def noise_fraction(gathered: Gathered) -> Ratio:
    """Variance and that of the noise: minimum noise fractions (Green et al., IEEE Transactions on
    Geoscience and Remote Sensing 26, 1988)."""
    assert gathered.noise is not None
    noise = gathered.noise.covariance
    bottom = gathered.ridged(noise, noise)
    return Ratio(gathered.split.a, bottom, lambda ratios: (-np.log(ratios), np.ones(len(ratios))))


def leading(top: Floats, bottom: Floats, k: int) -> tuple[Floats, Floats]:
    """(k, B) the vectors v with the largest ``vᵀ top v / vᵀ bottom v``, and (k,) these ratios, the
    largest first. They have unit norm and a sum that is not negative."""
    from scipy.linalg import eigh

    scale = 1 / np.sqrt(np.maximum(np.diag(bottom), 1e-300))
    outer, n = np.outer(scale, scale), len(scale)
    values, vectors = eigh(
        top * outer, bottom * outer + 1e-12 * np.eye(n), subset_by_index=[n - k, n - 1]
    )
    rows = (scale[:, None] * vectors[:, ::-1]).T
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    turned: Floats = rows * np.where(rows.sum(axis=1, keepdims=True) < 0, -1.0, 1.0)
    return turned, values[::-1]


def same_bands(layout: Layout) -> list[list[int]]:
    """The outputs that are of the same bands."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for row in range(layout.shape[0]):
        groups.setdefault(tuple(layout.col[layout.row == row].tolist()), []).append(row)
    return list(groups.values())


def solved_leading(layout: Layout, ratio: Ratio) -> Fit:
    """The leading outputs of each group of a layout with free weights, one per band, as a fit
    without steps."""
    weight, ratios = np.zeros(layout.shape), np.zeros(layout.shape[0])
    for rows in same_bands(layout):
        here = np.ix_(bands := layout.col[layout.row == rows[0]], bands)
        found, values = leading(ratio.top[here], ratio.bottom[here], len(rows))
        weight[np.ix_(rows, bands)], ratios[rows] = found, values
    losses, scale = ratio.losses(ratios)
    every, ones = list(range(len(weight))), np.ones(len(weight))
    history = [(every, [float((losses / scale).sum())])]
    return Fit(weight, ones, np.zeros(len(weight)), losses, losses, scale, 0, history)
