"""Shape: centre, width and out-of-band share of a response, with intervals from resamples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bandfuse.bands import Floats

TO_FWHM = float(np.sqrt(8 * np.log(2)))
"""FWHM of a Gaussian per standard deviation."""


@dataclass(frozen=True)
class Estimate:
    """A number and the 2.5th and 97.5th percentiles of its resamples."""

    value: float
    low: float
    high: float


def centre_and_width(weight: Floats, nm: Floats) -> tuple[Floats, Floats]:
    """(…,) centre ``λ = Σ w λ_b / Σ w`` and width ``√(8 ln 2) √(Σ w (λ_b − λ)² / Σ w)`` in nm of non-negative (…, B)
    weights; NaN where all weights are zero."""
    total = weight.sum(axis=-1)
    share = weight / np.where(total > 0, total, np.nan)[..., None]
    centre = share @ nm
    variance = (share * (nm - centre[..., None]) ** 2).sum(axis=-1)
    return centre, TO_FWHM * np.sqrt(variance)


def outside(weight: Floats, nm: Floats, centre: float, reach: float) -> Floats:
    """(…,) share of the weight of non-negative (…, B) weights that lies more than ``reach`` nm from a centre."""
    far = np.abs(nm - centre) > reach
    total = weight.sum(axis=-1)
    part: Floats = weight[..., far].sum(axis=-1) / np.where(total > 0, total, np.nan)
    return part


def peak_width(weight: Floats, nm: Floats) -> float:
    """Width in nm of the part of a response above half of its largest weight: from the first to the last such band."""
    high = nm[weight >= 0.5 * weight.max()]
    return float(high.max() - high.min())


def response_shape(weight: Floats, resampled: Floats, nm: Floats) -> dict[str, Estimate] | None:
    """Centre (nm), FWHM (nm) and out-of-band share of one output; None for signed weights or unknown wavelengths.

    Parameters
    ----------
    weight : (B,) fitted weights. resampled : (R, B) weights of the resamples. nm : (B,) wavelengths.

    Out of band is what lies further from the centre of the largest weights (those above half of the peak) than their
    width and the typical distance between bands together.
    """
    if not np.isfinite(nm).all() or (weight < 0).any() or not weight.any() or len(nm) < 2:
        return None
    used = resampled[resampled.sum(axis=1) > 0]
    middle = float(np.mean(nm[weight >= 0.5 * weight.max()]))
    reach = peak_width(weight, nm) + float(np.median(np.abs(np.diff(np.sort(nm)))))
    values = (*centre_and_width(weight, nm), outside(weight, nm, middle, reach))
    draws = (*centre_and_width(used, nm), outside(used, nm, middle, reach))
    return {
        name: Estimate(float(value), *_percentiles(drawn, float(value)))
        for name, value, drawn in zip(("centre", "fwhm", "outside"), values, draws, strict=True)
    }


def _percentiles(drawn: Floats, value: float) -> tuple[float, float]:
    """Bounds that hold the value itself; the value alone without resamples."""
    if not len(drawn):
        return value, value
    low, high = np.percentile(drawn, [2.5, 97.5])
    return min(float(low), value), max(float(high), value)
