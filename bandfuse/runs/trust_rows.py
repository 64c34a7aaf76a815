"""Trust rows: what a training says of how far its weights can be believed, for the report."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bandfuse.results.training import (
    CurvePoint,
    Estimate,
    NeededBands,
    OutputError,
    OutputTrust,
    RunRow,
    Trust,
    WeightTrust,
    WindowRow,
)
from bandfuse.solve.squares import Split
from bandfuse.spectral.bands import Floats, Positions
from bandfuse.spectral.sensors import find
from bandfuse.survey.survey import Survey
from bandfuse.training.trained import Trained
from bandfuse.trust.assess import RegularisationPlan
from bandfuse.trust.band_windows import Needed
from bandfuse.trust.fold_problems import Terms
from bandfuse.trust.indistinguishable import condition, runs
from bandfuse.trust.published import compare
from bandfuse.trust.response_shape import response_shape
from bandfuse.trust.stability import stability


@dataclass(frozen=True, eq=False)
class _Used:
    """The bands that the weights use: 1-based numbers among the inputs, wavelengths (used,) in nm,
    and covariance (used, used)."""

    number: list[int]
    nm: Floats
    covariance: Floats

    @classmethod
    def of(cls, survey: Survey) -> _Used:
        used = list(survey.design.used)
        covariance = survey.pooled.take(range(len(used))).covariance
        return cls([p + 1 for p in used], survey.bands.wavelength_nm[used], covariance)

    def row(self, positions: tuple[int, ...]) -> dict[str, Any]:
        """The part of a row that says which bands it is of."""
        nm = self.nm[list(positions)]
        return {
            "bands": [self.number[p] for p in positions],
            "from_nm": finite_or_none(np.min(nm)),
            "to_nm": finite_or_none(np.max(nm)),
        }


@dataclass(frozen=True, eq=False)
class _Weights:
    """The weights of output ``k`` over the used bands: ``fitted`` (used,), and ``drawn`` (R, used)
    over resamples, None without intervals. ``group``: positions of the bands of its group."""

    k: int
    fitted: Floats
    drawn: Floats | None
    group: Positions


def trust_of(trained: Trained) -> Trust | None:
    """How far the weights can be believed; None where nothing tells: neither a choice of the
    regularisation, nor intervals, nor a sensor."""
    sensor, plan, trust = trained.config.sensor, trained.plan, trained.trust
    if plan is None and trust.interval is None and sensor is None:
        return None
    survey, fusion = trained.survey, trained.model.common
    design, used = survey.design, _Used.of(survey)
    drawn = None if trust.interval is None else trust.interval.resampled
    outputs = []
    for k, name in enumerate(design.names):
        group = np.unique(design.layout.col[design.layout.row == k])
        fitted = fusion.matrix[k, list(design.used)]
        weights = _Weights(k, fitted, None if drawn is None else drawn[:, k], group)
        outputs.append(_output(name, weights, used, plan))
    for output, error in zip(outputs, trained.errors, strict=False):
        output.error = OutputError(**asdict(error))
    if sensor is not None:
        published = compare(sensor, survey.bands, fusion.outputs.name, fusion.matrix)
        for k, row in published.items():
            outputs[k].published = row
    method = trust.method if trust.intervals else ""
    return Trust(
        method=method,
        outputs=outputs,
        needed=_needed(trust.needed, used),
        sensor="" if sensor is None else find(sensor).name,
    )


def _output(
    name: str, weights: _Weights, used: _Used, plan: RegularisationPlan | None
) -> OutputTrust:
    here = np.ix_(weights.group, weights.group)
    curve = [] if plan is None else plan.choices[weights.k].curve
    row = OutputTrust(
        name=name,
        curve=[CurvePoint(**asdict(strength), error=error) for strength, error in curve],
        condition=finite_or_none(condition(used.covariance[here])),
    )
    if weights.drawn is None:
        return row
    tied = [] if plan is None else _runs(weights, weights.drawn, used, plan.terms)
    return row.model_copy(update={**_stable(weights, weights.drawn, used), "runs": tied})


def _stable(weights: _Weights, drawn: Floats, used: _Used) -> dict[str, Any]:
    """Shape and stability of one output over resamples (R, used)."""
    group = weights.group
    shape = response_shape(weights.fitted[group], drawn[:, group], used.nm[group]) or {}
    estimates = {name: Estimate(**asdict(estimate)) for name, estimate in shape.items()}
    steady = stability(weights.fitted[group], drawn[:, group])
    return {
        "centre_nm": estimates.get("centre"),
        "fwhm_nm": estimates.get("fwhm"),
        "out_of_band": estimates.get("outside"),
        "rank_agreement": finite_or_none(steady.agreement),
        "weights": [
            WeightTrust(
                band=used.number[p],
                sign_flip=finite_or_none(steady.flips[i]),
                rank=float(steady.rank[i]),
                rank_low=float(steady.rank_low[i]),
                rank_high=float(steady.rank_high[i]),
            )
            for i, p in enumerate(group)
        ],
    }


def _runs(weights: _Weights, drawn: Floats, used: _Used, terms: Terms) -> list[RunRow]:
    """Runs of bands of the output's group that cannot be told apart."""
    split, inside = Split.of(terms.joint, terms.n_bands), set(weights.group.tolist())
    ties = [tie for tie in terms.tied if tie.first in inside and tie.second in inside]
    alike = runs(split.a, weights.fitted, drawn, float(split.var[weights.k]), ties)
    return [
        RunRow(
            **used.row(run.positions),
            total=run.total,
            ci_low=run.low,
            ci_high=run.high,
            cost=run.cost,
        )
        for run in alike
    ]


def _needed(needed: Needed | None, used: _Used) -> NeededBands | None:
    if needed is None:
        return None
    windows = [WindowRow(**used.row(w.positions), worth=w.worth) for w in needed.windows]
    return NeededBands(windows=windows, explained=needed.explained, full=needed.full)


def finite_or_none(x: float) -> float | None:
    """A number for JSON: None for NaN and infinity."""
    return float(x) if np.isfinite(x) else None
