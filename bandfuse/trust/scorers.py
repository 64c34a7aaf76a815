"""Scorers: how objectives without targets are scored, and their baselines.

An *encoder* learns (K, used) weights from a part of the pixels. A *score* tells how good weights
are, by what they learned on the training part of each fold and by what is seen on its test part.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from bandfuse.moments.moments import Moments
from bandfuse.solve.classes import Classifier, agreement, confusion, discriminants
from bandfuse.solve.scores import Score, Scored, reconstruction_score
from bandfuse.solve.starts import uniform
from bandfuse.spectral.bands import Floats
from bandfuse.survey.survey import Survey

Encoder = Callable[[Survey], Floats]

Trial = tuple[Survey, Survey, Floats]
"""The training and the test part of the pixels, and the weights learned from the first."""

ScoreTrials = Callable[[Sequence[Trial]], Scored]


@dataclass(frozen=True)
class Scoring:
    """How weights are scored, and the baselines by name."""

    score: ScoreTrials
    baselines: dict[str, Encoder]


def reconstruction(survey: Survey, *, balanced: bool) -> Scoring:
    """How much of the cube comes back, beside principal components and the mean of each group."""
    peak = float(survey.high[: len(survey.design.used)].max())

    def score(trials: Sequence[Trial]) -> Scored:
        parts = [(_bands(train), _bands(test), weight) for train, test, weight in trials]
        count = sum(test.count for _, test, _ in parts)
        nothing = np.zeros((0, parts[0][1].size))
        loss = sum(test.count * rebuild_error(train, test, w) for train, test, w in parts) / count
        none = (
            sum(test.count * rebuild_error(train, test, nothing) for train, test, _ in parts)
            / count
        )
        return Scored([reconstruction_score(loss, none, peak)], {})

    return Scoring(score, {**_components(survey), **_mean(survey)})


def separability(survey: Survey, *, balanced: bool) -> Scoring:
    """How often a linear discriminant analysis of the outputs finds the class of a pixel."""

    def score(trials: Sequence[Trial]) -> Scored:
        truth, guess = [], []
        for train, test, weight in trials:
            values = test.pixels.values
            classifier = Classifier.of(train.classes, weight, balanced=balanced)
            truth.append(values[:, -1].astype(np.int64))
            guess.append(classifier(values[:, : weight.shape[1]] @ weight.T))
        every = np.concatenate(truth), np.concatenate(guess)
        return Scored([agreement(*every)], {}, confusion(*every))

    k = survey.design.layout.shape[0]
    fisher = {"lda": lambda part: discriminants(part.classes, k, balanced=balanced)}
    return Scoring(score, {**_components(survey), **_mean(survey), **fisher})


def signal_to_noise(survey: Survey, *, balanced: bool) -> Scoring:
    """``10 log₁₀(var(y) / var(noise of y))`` of every output, in dB, over the test pixels."""
    mean = _mean_of(survey)
    baselines: dict[str, Encoder] = {
        "inverse_variance": lambda part: _inverse_variance(part, mean),
        "best_band": lambda part: _best_band(part, mean),
    }
    return Scoring(_decibels, {**_mean(survey), **baselines})


def rebuild_error(train: Moments, test: Moments, weight: Floats) -> float:
    """Mean squared error per band on the test pixels, of the least-squares decoder of the training.

    ``x̂ = m + A Wᵀ (W A Wᵀ)⁺ W (x − m)`` with A and m the covariance and mean of the training, so
    that the error is ``tr(E S Eᵀ) / B`` with ``E = I − A Wᵀ (W A Wᵀ)⁺ W`` and S the second moment
    of the test about m. No weights (K = 0) leave the mean spectrum."""
    step = test.mean - train.mean
    spread = test.covariance + np.outer(step, step)
    error = np.eye(len(step))
    if len(weight):
        cross = train.covariance @ weight.T
        error -= cross @ np.linalg.pinv(weight @ cross, hermitian=True) @ weight
    return float(np.trace(error @ spread @ error.T)) / len(step)


def principal(moments: Moments, k: int) -> Floats:
    """(K, B) the k leading principal components."""
    _, vectors = np.linalg.eigh(moments.covariance)
    leading: Floats = vectors[:, ::-1][:, :k].T
    return leading


def _bands(part: Survey) -> Moments:
    """Moments of the used bands."""
    return part.pooled.take(range(len(part.design.used)))


def _components(survey: Survey) -> dict[str, Encoder]:
    k = survey.design.layout.shape[0]
    return {"pca_k": lambda part: principal(_bands(part), k)}


def _mean_of(survey: Survey) -> Floats:
    """(K, used) equal weights within the groups."""
    layout = survey.design.layout
    return layout.matrix(uniform(layout, survey.bands, np.random.default_rng(0)))


def _mean(survey: Survey) -> dict[str, Encoder]:
    mean = _mean_of(survey)
    return {"mean": lambda part: mean}


def _decibels(trials: Sequence[Trial]) -> Scored:
    signal, noise = np.zeros(len(trials[0][2])), np.zeros(len(trials[0][2]))
    for _, test, weight in trials:
        bands = _bands(test)
        signal += bands.count * np.einsum("kb,bc,kc->k", weight, bands.covariance, weight)
        noise += bands.count * np.einsum("kb,bc,kc->k", weight, test.noise.covariance, weight)
    rows: list[Score] = [
        {"snr_db": float(10 * np.log10(s / n)) if s > 0 and n > 0 else None}
        for s, n in zip(signal, noise, strict=True)
    ]
    return Scored(rows, {})


def _inverse_variance(part: Survey, mean: Floats) -> Floats:
    """Every band weighted by the inverse of its noise's variance, within the groups."""
    variance = np.diag(part.noise.covariance)
    weights = 1 / np.where(variance > 0, variance, np.inf)
    result: Floats = np.where(mean != 0, weights, 0.0)
    return result


def _best_band(part: Survey, mean: Floats) -> Floats:
    """The band of each group with the best signal-to-noise ratio of its own."""
    noise = np.diag(part.noise.covariance)
    ratio = np.diag(_bands(part).covariance) / np.where(noise > 0, noise, np.inf)
    best = np.argmax(np.where(mean != 0, ratio, -1.0), axis=1)
    result: Floats = np.eye(mean.shape[1])[best]
    return result
