"""Trials: scores of objectives without a target, on training pixels and held out, beside baselines.

Every method is an *encoder*: it learns (K, used) weights from a part of the pixels. A *judge* scores encoders by what
they learned on the training part of each fold and what is seen on its test.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from bandfuse.config import TrainConfig
from bandfuse.errors import shorten
from bandfuse.moments.moments import Moments
from bandfuse.progress import Progress
from bandfuse.solve.classes import Classifier, agreement, discriminants
from bandfuse.solve.scores import Judged, Score, reconstruction_score
from bandfuse.solve.starts import uniform
from bandfuse.spectral.bands import Floats
from bandfuse.survey.survey import Survey
from bandfuse.trust.assess import JACKKNIFE, Assessment, is_bounded
from bandfuse.trust.baselines import Table
from bandfuse.trust.jackknife import facing, jackknife
from bandfuse.trust.refits import folded


def rebuild_error(train: Moments, test: Moments, weight: Floats) -> float:
    """Mean squared error per band on the test pixels, of the least-squares decoder of the training.

    ``x̂ = m + A Wᵀ (W A Wᵀ)⁺ W (x − m)`` with A and m the covariance and mean of the training, so that the error is
    ``tr(E S Eᵀ) / B`` with ``E = I − A Wᵀ (W A Wᵀ)⁺ W`` and S the second moment of the test about m. No weights
    (K = 0) leave the mean spectrum.
    """
    step = test.mean - train.mean
    spread = test.covariance + np.outer(step, step)
    error = np.eye(len(step))
    if len(weight):
        cross = train.covariance @ weight.T
        error -= cross @ np.linalg.pinv(weight @ cross, hermitian=True) @ weight
    return float(np.trace(error @ spread @ error.T)) / len(step)


def principal(k: int) -> Callable[[Moments], Floats]:
    """The k leading principal components."""

    def encode(moments: Moments) -> Floats:
        _, vectors = np.linalg.eigh(moments.covariance)
        leading: Floats = vectors[:, ::-1][:, :k].T
        return leading

    return encode


Encoder = Callable[[Survey], Floats]
Trial = tuple[Survey, Survey, Floats]
"""The training and the test part of the pixels, and what was learned from the first."""

Judge = Callable[[Sequence[Trial]], Judged]


def contest(config: TrainConfig, found: Survey, weight: Floats, encode: Encoder, progress: Progress) -> Assessment:
    """Scores of the trained weights, of the whole training done again without each fold, and of the baselines."""
    judge, baselines = _rules(config, found)
    folds = _folds(config, found)
    table: Table = {}
    for name, method in baselines.items():
        table[name] = {"train": judge([(found, found, method(found))])}
        if folds:
            table[name]["holdout"] = judge([(train, test, method(train)) for train, test in folds])
    trials = [
        (train, test, encode(train))
        for train, test in progress(folds, total=len(folds), label="learn again without each fold")
    ]
    bounds = jackknife(weight, [facing(weight, w) for _, _, w in trials], np.full(len(weight), is_bounded(config)))
    return Assessment(
        judge(trials) if trials else None, table, train=judge([(found, found, weight)]),
        intervals={} if bounds is None else {"": bounds}, method=JACKKNIFE,
    )  # fmt: skip


def _folds(config: TrainConfig, found: Survey) -> list[tuple[Survey, Survey]]:
    """Training and test parts; one whose training holds a single class cannot part anything, and is left out."""
    held = folded(found, config.folds, per_scene=False)
    every = [(block.scene, block.number) for block in found.parts()]
    parts = [(found.within([p for p in every if p not in run]), found.within(run)) for run in held]
    if "separability" not in config.terms:
        return parts
    whole = [(train, test) for train, test in parts if len(train.classes) > 1]
    if len(whole) < len(parts):
        left = len(parts) - len(whole)
        found.messages.append(f"{left} of {len(parts)} folds are left out: without them there is a single class")
    lone = {c for train, _ in whole for c in found.classes if c not in train.classes}
    if lone:
        found.messages.append(
            f"classes that lie in one fold, and are unknown where it is held out: {shorten(map(str, sorted(lone)))}"
        )
    return whole


def _rules(config: TrainConfig, found: Survey) -> tuple[Judge, dict[str, Encoder]]:
    """How the main objective is scored, and its baselines."""
    layout = found.design.layout
    k = layout.shape[0]
    mean = layout.matrix(uniform(layout, found.bands, np.random.default_rng(0)))
    common: dict[str, Encoder] = {"mean": lambda part: mean}
    components: dict[str, Encoder] = {"pca_k": lambda part: principal(k)(_bands(part))}
    if config.goal == "reconstruction":
        peak = float(found.high[: len(found.design.used)].max())
        return lambda trials: _rebuilt(trials, peak), components | common
    if config.goal == "separability":
        fisher: dict[str, Encoder] = {"lda": lambda part: discriminants(part.classes, k, balanced=config.balance)}
        return lambda trials: _parted(trials, balanced=config.balance), components | common | fisher
    single: dict[str, Encoder] = {
        "inverse_variance": lambda part: _inverse_variance(part, mean),
        "best_band": lambda part: _best_band(part, mean),
    }
    return lambda trials: _signal_to_noise(trials), common | single


def _bands(part: Survey) -> Moments:
    """Moments of the used bands."""
    return part.pooled.take(range(len(part.design.used)))


def _rebuilt(trials: Sequence[Trial], peak: float) -> Judged:
    """How well the cube comes back from the outputs, by the decoder of the training."""
    parts = [(_bands(train), _bands(test), weight) for train, test, weight in trials]
    count = sum(test.count for _, test, _ in parts)
    nothing = np.zeros((0, parts[0][1].size))
    loss = sum(test.count * rebuild_error(train, test, weight) for train, test, weight in parts) / count
    none = sum(test.count * rebuild_error(train, test, nothing) for train, test, _ in parts) / count
    return Judged([reconstruction_score(loss, none, peak)], {})


def _parted(trials: Sequence[Trial], *, balanced: bool) -> Judged:
    """How often linear discriminant analysis of the outputs, learned on the training, finds the class of a pixel."""
    truth, guess = [], []
    for train, test, weight in trials:
        values = test.pixels.values
        truth.append(values[:, -1].astype(np.int64))
        guess.append(Classifier.of(train.classes, weight, balanced=balanced)(values[:, : weight.shape[1]] @ weight.T))
    return Judged([agreement(np.concatenate(truth), np.concatenate(guess))], {})


def _signal_to_noise(trials: Sequence[Trial]) -> Judged:
    """``10 log₁₀(var(y) / var(noise of y))`` of every output, in dB, over the test pixels of all trials."""
    signal, noise = np.zeros(len(trials[0][2])), np.zeros(len(trials[0][2]))
    for _, test, weight in trials:
        seen = _bands(test)
        signal += seen.count * np.einsum("kb,bc,kc->k", weight, seen.covariance, weight)
        noise += seen.count * np.einsum("kb,bc,kc->k", weight, test.noise.covariance, weight)
    rows: list[Score] = [
        {"snr_db": float(10 * np.log10(s / n)) if s > 0 and n > 0 else None} for s, n in zip(signal, noise, strict=True)
    ]
    return Judged(rows, {})


def _inverse_variance(part: Survey, mean: Floats) -> Floats:
    """Every band weighted by the inverse of its noise's variance, within the groups."""
    variance = np.diag(part.noise.covariance)
    result: Floats = np.where(mean != 0, 1 / np.where(variance > 0, variance, np.inf), 0.0)
    return result


def _best_band(part: Survey, mean: Floats) -> Floats:
    """The band of each group with the best ratio of its own."""
    noise = np.diag(part.noise.covariance)
    ratio = np.diag(_bands(part).covariance) / np.where(noise > 0, noise, np.inf)
    best = np.argmax(np.where(mean != 0, ratio, -1.0), axis=1)
    result: Floats = np.eye(mean.shape[1])[best]
    return result
