"""Classes: scatter within and between classes from their moments, and the linear classifier that
follows from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bandfuse.moments.moments import Moments
from bandfuse.spectral.bands import Floats

Numbers = NDArray[np.int64]


def shares(classes: Mapping[int, Moments], *, balanced: bool) -> Floats:
    """(C,) part of each class: of the pixels, or the same for all."""
    counts = np.array([m.count for m in classes.values()], dtype=np.float64)
    return np.full(len(counts), 1 / len(counts)) if balanced else counts / counts.sum()


def scatters(classes: Mapping[int, Moments], *, balanced: bool = False) -> tuple[Floats, Floats]:
    """(D, D) covariance within the classes, ``Σ p_c cov_c``, and in all, ``within + Σ p_c (m_c −
    m)(m_c − m)ᵀ``."""
    parts = shares(classes, balanced=balanced)
    within: Floats = np.sum(
        [p * m.covariance for p, m in zip(parts, classes.values(), strict=True)], axis=0
    )
    means = np.array([m.mean for m in classes.values()])
    away = means - parts @ means
    return within, within + (away * parts[:, None]).T @ away


LEAST_RIDGE, MOST_RIDGE = 1e-4, 0.03
"""Shares of the scatter within classes that are added to it: where pixels are many, and where they
are fewer than bands."""


def ridge_of(classes: Mapping[int, Moments], *, balanced: bool) -> float:
    """The ridge that as many pixels need: ``0.03 (B / n)²``, from 0.0001 to 0.03, with n the pixels
    that tell the scatter within classes, ``1 / Σ p_c² / n_c``.

    Where pixels are many, a ridge hides what sets classes apart in bands that are nearly the same;
    where they are few, the scatter within classes is fitted too closely without."""
    counts = np.array([max(1, m.count) for m in classes.values()], dtype=np.float64)
    n = 1 / float((shares(classes, balanced=balanced) ** 2 / counts).sum())
    size = next(iter(classes.values())).size
    return float(np.clip(MOST_RIDGE * (size / n) ** 2, LEAST_RIDGE, MOST_RIDGE))


def discriminants(classes: Mapping[int, Moments], k: int, *, balanced: bool = False) -> Floats:
    """(≤ k, D) leading linear discriminants (Fisher 1936; Rao 1948): generalised eigenvectors of
    the scatter between classes against that within; there are at most C − 1."""
    from scipy.linalg import eigh

    within, total = scatters(classes, balanced=balanced)
    _, vectors = eigh(total - within, within + _jitter(within))
    leading: Floats = np.ascontiguousarray(vectors[:, ::-1][:, : min(k, len(classes) - 1)].T)
    return leading


def _jitter(a: Floats) -> Floats:
    """Keeps a covariance invertible where bands depend on each other."""
    return 1e-10 * np.diag(np.maximum(np.diag(a), 1e-300))


@dataclass(frozen=True, eq=False)
class Classifier:
    """Gaussian classes with one covariance: ``argmax_c m_cᵀ S⁻¹ y − m_cᵀ S⁻¹ m_c / 2 + log p_c``
    (linear discriminant analysis; Hastie, Tibshirani and Friedman, "The Elements of Statistical
    Learning", 2009, section 4.3)."""

    numbers: Numbers
    slope: Floats
    level: Floats

    @classmethod
    def of(
        cls, classes: Mapping[int, Moments], weight: Floats, *, balanced: bool = False
    ) -> Classifier:
        """Of the outputs ``weight x``, from the moments of the bands of each class."""
        within, _ = scatters(classes, balanced=balanced)
        spread = weight @ within @ weight.T
        means = np.array([weight @ m.mean for m in classes.values()])
        slope = np.linalg.pinv(spread, hermitian=True) @ means.T
        prior = np.log(shares(classes, balanced=balanced))
        return cls(
            np.array(list(classes), dtype=np.int64),
            slope,
            prior - 0.5 * (means.T * slope).sum(axis=0),
        )

    def __call__(self, y: Floats) -> Numbers:
        """(N,) class numbers of (N, K) outputs."""
        found: Numbers = self.numbers[np.argmax(y @ self.slope + self.level, axis=1)]
        return found


def agreement(truth: Numbers, guess: Numbers) -> dict[str, float | None]:
    """``accuracy``; ``balanced``: mean over the classes of the part that is found; ``kappa`` (Cohen
    1960), None where chance alone agrees fully. All None without pixels."""
    if not len(truth):
        return {"accuracy": None, "balanced": None, "kappa": None}
    known = np.unique(truth)
    hit = truth == guess
    every = np.unique(np.concatenate([truth, guess]))
    chance = float(sum((truth == c).mean() * (guess == c).mean() for c in every))
    accuracy = float(hit.mean())
    return {
        "accuracy": accuracy,
        "balanced": float(np.mean([hit[truth == c].mean() for c in known])),
        "kappa": (accuracy - chance) / (1 - chance) if chance < 1 else None,
    }


def confusion(truth: Numbers, guess: Numbers) -> dict[tuple[int, int], int]:
    """How many pixels have which class, and which one is found for them; pairs that occur only."""
    pairs, counts = np.unique(np.stack([truth, guess]), axis=1, return_counts=True)
    return {(int(a), int(b)): int(n) for (a, b), n in zip(pairs.T, counts, strict=True)}
