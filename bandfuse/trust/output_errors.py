"""Output errors: how far fused pixels may be off, by what is not known of the weights and by what
the weights do not explain; made to hold on pixels that were held out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bandfuse.model.model import Model
from bandfuse.model.uncertainty import SHARED, SLOPES, Z90, OutputErrors, Uncertainty
from bandfuse.moments.slopes import WithoutSlopes
from bandfuse.solve.scores import Pairs
from bandfuse.spectral.bands import Floats
from bandfuse.survey.survey import Survey
from bandfuse.trust.assess import Assessing, Assessment, RegularisationPlan
from bandfuse.trust.bootstrap import Interval
from bandfuse.trust.cloud import cloud_of, leading_vectors
from bandfuse.trust.refits import Names, folded, pairs_of

RANK = 10
"""Columns of the covariance of each output's weights."""

ALONE = 0.01
"""Variance of each band on its own, as a part of its variance, for which columns are chosen beside
the variances and covariances of the training's bands."""

LITTLE = 1e-3
"""A part of the variance that weights bring in: bands that bring less together are left out."""

PORTIONS = np.logspace(-1.5, 1.5, 13)
"""Portions of the weights' variance that are tried."""

EXACT = 1e-14
"""Least mean squared error, as a part of the target's variance."""


@dataclass(frozen=True)
class ErrorSummary:
    """The errors of one output in the training: ``residual`` (root mean square); the share of the
    variance that is of the weights; ``scale``; ``coverage``: the part of held-out pixels within
    their 90 % intervals, whose scale was found on the other folds, None without folds; ``rank``:
    rank correlation of standard deviations with sizes of errors."""

    residual: float
    of_weights: float
    scale: float
    coverage: float | None
    rank: float | None


@dataclass(frozen=True, eq=False)
class _Seen:
    """Pixels (n, used), their outputs and targets (n, K)."""

    x: Floats
    y: Floats
    target: Floats

    @property
    def off(self) -> Floats:
        """(n, K) sizes of the errors."""
        found: Floats = np.abs(self.y - self.target)
        return found


def uncertainty_of(
    how: Assessing,
    survey: Survey,
    plan: RegularisationPlan | None,
    trust: Assessment,
    model: Model,
    names: Names,
) -> tuple[Uncertainty | None, list[ErrorSummary]]:
    """What a model remembers of errors and of its training's spectra, None without sampled pixels;
    and the errors of the common outputs in the training, none where outputs have no targets or
    nothing tells how firm the weights are."""
    if not len(survey.pixels):
        return None, []
    errors: dict[str, OutputErrors] = {}
    summaries: dict[str, list[ErrorSummary]] = {}
    for key, interval in trust.intervals.items() if survey.design.targets else ():
        part, own = _of_key(survey, names, key), _alone(model, key)
        raw = _raw(how, part, own, interval)
        held = list(_held_out(how, survey, plan, trust, names, key))
        seen = held or [_seen(part, own)]
        errors[key], summaries[key] = _scaled(raw, seen, survey.design.used, own.common.activation)
    if not set(model.scenes) <= set(errors):
        errors = {key: found for key, found in errors.items() if not key}
    cloud = cloud_of(survey, _columns(survey, model, errors), how.folds)
    return Uncertainty(cloud, errors), summaries.get("", [])


def _columns(survey: Survey, model: Model, errors: Mapping[str, OutputErrors]) -> list[int]:
    """The used bands that carry weight, or on whose weights errors depend."""
    counts = np.zeros(len(survey.bands), dtype=bool)
    for fusion in (model.common, *model.scenes.values()):
        counts |= (fusion.matrix != 0).any(axis=0)
    for known in errors.values():
        counts |= (known.factor != 0).any(axis=(0, 1))
    columns = np.flatnonzero(counts[list(survey.design.used)]).tolist()
    return columns or list(range(len(survey.design.used)))


def _alone(model: Model, key: str) -> Model:
    """The fusion of one scene, or the common one, for all that it is given."""
    return Model(model.scenes[key] if key else model.common)


def _of_key(survey: Survey, names: Names, key: str) -> Survey:
    """What was found in one scene; in all of them for the common weights."""
    if not key:
        return survey
    i = next(i for i, some in enumerate(names) if key in some)
    return replace(
        survey, scenes=[survey.scenes[i]], tallies=[survey.tallies[i]], grids=[survey.grids[i]]
    )


def _pairs(survey: Survey, model: Model, without: WithoutSlopes | None = None) -> Pairs:
    return pairs_of(survey, [[""]] * len(survey.scenes), model, without)


def _seen(survey: Survey, model: Model, without: WithoutSlopes | None = None) -> _Seen:
    """The sampled pixels, as :func:`pairs_of` orders them."""
    sample, n = _pairs(survey, model, without).sample, len(survey.design.used)
    full = [t for t, m in zip(survey.tallies, survey.scenes, strict=True) if m.count]
    return _both(np.concatenate([t.pixels.scored.values[:, :n] for t in full]), sample)


def _both(x: Floats, pairs: Floats) -> _Seen:
    k = pairs.shape[1] // 2
    return _Seen(x, pairs[:, :k], pairs[:, k:])


def _held_out(
    how: Assessing,
    survey: Survey,
    plan: RegularisationPlan | None,
    trust: Assessment,
    names: Names,
    key: str,
) -> Iterator[_Seen]:
    """The sampled pixels of each fold, with outputs of weights that were learned without it."""
    if plan is not None and trust.lines:
        for fold, line in zip(plan.terms.folds, trust.lines, strict=True):
            yield _both(fold.sample[:, : plan.terms.n_bands], fold.pairs(*line).sample)
        return
    every = [(block.scene, block.number) for block in survey.parts()]
    runs = folded(survey, how.folds, per_scene=how.per_scene) if trust.models else []
    for run, model in zip(runs, trust.models, strict=True):
        rest = survey.within([place for place in every if place not in run])
        part = _of_key(survey.within(run), names, key)
        if any(moments.count for moments in part.scenes):
            yield _seen(part, _alone(model, key), rest.without_slopes if survey.slopes else None)


def _raw(how: Assessing, survey: Survey, model: Model, interval: Interval) -> OutputErrors:
    """What errors are made of, before they are held against those of held-out pixels."""
    fusion, used = model.common, list(survey.design.used)
    seen = survey.pooled.take(range(len(used)))
    k = len(fusion.outputs)
    moments = _pairs(survey, model).moments
    s, step = moments.covariance, moments.mean[:k] - moments.mean[k:]
    variance = np.diag(s)[k:]
    residual = np.diag(s)[:k] + variance - 2 * np.diag(s[:k, k:]) + step**2
    residual = np.maximum(residual, EXACT * variance)
    factor = np.zeros((k, RANK, len(fusion.inputs)))
    for row in range(k):
        factor[row][:, used] = weight_factor(interval.resampled[:, row], seen.covariance)
    factor[:, :, used] = with_shared_bands(factor[:, :, used], seen.covariance)
    about = np.zeros(len(fusion.inputs))
    about[used] = seen.mean if how.offset else 0.0
    blocks = max(1, len(survey.parts()))
    level = residual / blocks if how.offset else np.zeros(k)
    return OutputErrors(about, factor, level, residual, np.ones(k))


def weight_factor(drawn: Floats, covariance: Floats, rank: int = RANK) -> Floats:
    """(rank, B) F with Fᵀ F near the covariance of (R, B) drawn weights: those combinations of
    the draws that vary most over spectra of this (B, B) covariance, to which each band has a
    hundredth of its variance added on its own. Bands that hardly count are zero."""
    away = (drawn - drawn.mean(axis=0)) / np.sqrt(len(drawn))
    variance = np.diag(covariance)
    share = (away**2).sum(axis=0) * variance
    order = np.argsort(share)
    little = order[np.cumsum(share[order]) <= LITTLE * share.sum()]
    away[:, little] = 0.0
    gram = away @ covariance @ away.T + ALONE * (away * variance) @ away.T
    _, vectors = np.linalg.eigh(gram)
    leading = vectors[:, ::-1][:, :rank].T @ away
    factor = np.zeros((rank, drawn.shape[1]))
    factor[: len(leading)] = leading
    return factor


def with_shared_bands(factor: Floats, covariance: Floats) -> Floats:
    """(K, r, B) factors of which all rows are sums of the same 12 at most, so that few rows
    multiply each pixel: those sums that vary most over spectra of this covariance, where each
    output's variance counts as much as another's. Factors of outputs that have bands of their own,
    which are few, are left as they are."""
    count, rank, bands = factor.shape
    used = (factor != 0).any(axis=1)
    if used.sum() * rank <= SHARED * used.any(axis=0).sum():
        return factor
    variance = np.diag(covariance)
    rows = factor.reshape(-1, bands)

    def seen(vectors: Floats) -> Floats:
        """(B, m) products of the covariance for which rows are chosen."""
        found: Floats = covariance @ vectors + ALONE * variance[:, None] * vectors
        return found

    size = np.sqrt((rows * seen(rows.T).T).sum(axis=1).reshape(count, rank).sum(axis=1))
    each = np.repeat(np.where(size > 0, size, 1.0), rank)[:, None]
    even = rows / each
    vectors = leading_vectors(lambda some: even @ seen(even.T @ some), len(even), SHARED)
    found: Floats = (each * (vectors.T @ (vectors @ even))).reshape(factor.shape)
    return found


def _scaled(
    raw: OutputErrors, seen: Sequence[_Seen], used: Sequence[int], activation: str
) -> tuple[OutputErrors, list[ErrorSummary]]:
    """With the portion of the weights' variance that fits the errors best, and the scale at which
    90 % intervals hold 90 % of them; and what is said of that."""
    inner = replace(raw, about=raw.about[list(used)], factor=raw.factor[:, :, list(used)])
    weights = [SLOPES[activation](s.y) ** 2 * inner.of_weights(s.x) for s in seen]
    off = np.concatenate([s.off for s in seen])
    portion = _portion(raw.residual, np.concatenate(weights), off)
    weights = [portion * w for w in weights]
    sd = [np.sqrt(raw.residual + w) for w in weights]
    ratio = [_ratio(s.off, d) for s, d in zip(seen, sd, strict=True)]
    scale, covered = _scale(ratio), _coverage(ratio)
    of_weights, every = np.concatenate(weights).mean(axis=0), np.concatenate(sd)
    rows = [
        ErrorSummary(
            residual=float(np.sqrt(raw.residual[k])),
            of_weights=float(of_weights[k] / max(raw.residual[k] + of_weights[k], 1e-300)),
            scale=float(scale[k]),
            coverage=None if covered is None else float(covered[k]),
            rank=_rank_correlation(every[:, k], off[:, k]),
        )
        for k in range(len(scale))
    ]
    factor = np.sqrt(portion)[:, None, None] * raw.factor
    return replace(raw, factor=factor, level=portion * raw.level, scale=scale), rows


def _portion(residual: Floats, of_weights: Floats, off: Floats) -> Floats:
    """(K,) the portion of (n, K) variances of the weights at which errors are likeliest: where they
    follow a Laplace distribution, whose width is this deviation times any scale. Resamples say more
    of the weights where they are learned without the smoothing, and less where a ridge holds
    them."""
    misfit = []
    for portion in PORTIONS:
        sd = np.sqrt(residual + portion * of_weights)
        width = np.maximum(_ratio(off, sd).mean(axis=0), 1e-300)
        misfit.append(np.log(np.maximum(sd, 1e-300)).mean(axis=0) + np.log(width))
    found: Floats = PORTIONS[np.argmin(misfit, axis=0)]
    return found


def _ratio(off: Floats, sd: Floats) -> Floats:
    """Errors in standard deviations; zero where neither is above zero."""
    found: Floats = np.where(off > 0, off, 0.0) / np.where(sd > 0, sd, 1.0)
    return found


def _scale(ratio: Sequence[Floats]) -> Floats:
    """(K,) what brings 90 % of errors within 1.645 standard deviations."""
    found: Floats = np.quantile(np.concatenate(list(ratio)), 0.9, axis=0) / Z90
    return found


def _coverage(ratio: Sequence[Floats]) -> Floats | None:
    """(K,) part of the pixels of each fold within intervals whose scale is that of the others; None
    for less than two folds."""
    if len(ratio) < 2:
        return None
    inside = [
        part <= Z90 * _scale([r for j, r in enumerate(ratio) if j != i])
        for i, part in enumerate(ratio)
    ]
    found: Floats = np.concatenate(inside).mean(axis=0)
    return found


def _rank_correlation(a: Floats, b: Floats) -> float | None:
    """Spearman's, of values that are hardly ever equal; None where one does not vary."""
    if len(a) < 3 or not (np.ptp(a) > 0 and np.ptp(b) > 0):
        return None
    middle = (len(a) - 1) / 2
    one, other = (np.argsort(np.argsort(v)) - middle for v in (a, b))
    return float(one @ other / (one @ one))
