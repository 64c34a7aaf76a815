"""Trust rows: what a training says of how far its weights can be believed, for the report."""

from __future__ import annotations

import numpy as np

from bandfuse.results import (
    CurvePoint,
    Estimate,
    NeededBands,
    OutputTrust,
    RunRow,
    Trust,
    WeightTrust,
    WindowRow,
)
from bandfuse.solve.squares import Split
from bandfuse.spectral.bands import Floats
from bandfuse.training.trained import Trained
from bandfuse.trust.assess import Plan
from bandfuse.trust.indistinguishable import condition, runs
from bandfuse.trust.published import compare
from bandfuse.trust.response_shape import response_shape
from bandfuse.trust.stability import stability


def trust_of(trained: Trained) -> Trust | None:
    """How far the weights can be believed; None where neither the choice of a regularisation nor intervals tell."""
    sensor = trained.config.sensor
    if trained.plan is None and trained.trust.interval is None and sensor is None:
        return None
    covariance = trained.survey.pooled.take(range(len(trained.survey.design.used))).covariance
    outputs = [_output(trained, covariance, k) for k in range(len(trained.survey.design.names))]
    if sensor is not None:
        fusion = trained.model.common
        for k, row in compare(sensor, trained.survey.bands, fusion.outputs.name, fusion.matrix).items():
            outputs[k].published = row
    return Trust(
        method=trained.trust.method if trained.trust.intervals else "",
        outputs=outputs,
        needed=_needed(trained),
    )


def _output(trained: Trained, covariance: Floats, k: int) -> OutputTrust:
    design, made, interval = trained.survey.design, trained.plan, trained.trust.interval
    here = np.unique(design.layout.col[design.layout.row == k])
    fitted = trained.model.common.matrix[k, list(design.used)]
    curve = [] if made is None else made.choices[k].curve
    found = OutputTrust(
        name=design.names[k],
        curve=[CurvePoint(ridge=s.ridge, smooth=s.smooth, sparse=s.sparse, error=e) for s, e in curve],
        condition=finite_or_none(condition(covariance[np.ix_(here, here)])),
    )
    if interval is None:
        return found
    drawn = interval.resampled[:, k]
    runs_here = [] if made is None else _runs(trained, made, k, fitted, drawn, here)
    return found.model_copy(update={**_stable(trained, fitted, drawn, here), "runs": runs_here})


def _stable(trained: Trained, fitted: Floats, drawn: Floats, here: np.ndarray) -> dict[str, object]:
    """Shape and stability of one output."""
    design = trained.survey.design
    wavelengths = trained.survey.bands.wavelength_nm[list(design.used)]
    shape = response_shape(fitted[here], drawn[:, here], wavelengths[here]) or {}
    firm = stability(fitted[here], drawn[:, here])
    estimates = {name: Estimate(value=e.value, low=e.low, high=e.high) for name, e in shape.items()}
    return {
        "centre_nm": estimates.get("centre"),
        "fwhm_nm": estimates.get("fwhm"),
        "out_of_band": estimates.get("outside"),
        "rank_agreement": finite_or_none(firm.agreement),
        "weights": [
            WeightTrust(
                band=design.used[p] + 1,
                sign_flip=finite_or_none(firm.flips[i]),
                rank=float(firm.rank[i]),
                rank_low=float(firm.rank_low[i]),
                rank_high=float(firm.rank_high[i]),
            )
            for i, p in enumerate(here)
        ],
    }


def _runs(trained: Trained, made: Plan, k: int, fitted: Floats, drawn: Floats, here: np.ndarray) -> list[RunRow]:
    """Runs of bands that cannot be told apart, within the output's group."""
    design, inside = trained.survey.design, set(here.tolist())
    split = Split.of(made.terms.joint, made.terms.n_bands)
    ties = [t for t in made.terms.tied if t.first in inside and t.second in inside]
    nm = trained.survey.bands.wavelength_nm
    rows = []
    for run in runs(split.a, fitted, drawn, float(split.var[k]), ties):
        bands = [design.used[p] for p in run.positions]
        rows.append(
            RunRow(
                bands=[b + 1 for b in bands],
                from_nm=finite_or_none(float(np.min(nm[bands]))),
                to_nm=finite_or_none(float(np.max(nm[bands]))),
                total=run.total,
                ci_low=run.low,
                ci_high=run.high,
                cost=run.cost,
            )
        )
    return rows


def _needed(trained: Trained) -> NeededBands | None:
    found, used = trained.trust.needed, trained.survey.design.used
    if found is None:
        return None
    nm = trained.survey.bands.wavelength_nm
    windows = []
    for window in found.windows:
        bands = [used[p] for p in window.positions]
        ends = [finite_or_none(float(f(nm[bands]))) for f in (np.min, np.max)]
        windows.append(WindowRow(bands=[b + 1 for b in bands], from_nm=ends[0], to_nm=ends[1], worth=window.worth))
    return NeededBands(windows=windows, explained=found.explained, full=found.full)


def finite_or_none(x: float) -> float | None:
    """A number for JSON: None for NaN and infinity."""
    return float(x) if np.isfinite(x) else None
