"""Response shape: the main lobe of a response and what lies outside of it, with intervals from
resamples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bandfuse.spectral.bands import Floats
from bandfuse.spectral.lobe import main_lobe, main_lobes, outside


@dataclass(frozen=True)
class ShapeEstimate:
    """A number and the 2.5th and 97.5th percentiles of its resamples."""

    value: float
    low: float
    high: float


def response_shape(
    weight: Floats, resampled: Floats, nm: Floats
) -> dict[str, ShapeEstimate] | None:
    """Centre (nm), FWHM (nm) and out-of-band share of one output; None for signed weights or
    unknown wavelengths.

    Parameters
    ----------
    weight : (B,) fitted weights. resampled : (R, B) weights of the resamples. nm : (B,)
        wavelengths.

    Centre and FWHM are those of the main lobe (``main_lobe``). Out of band is what lies further
    from the centre of the fitted weights than their FWHM, or than one step between bands if that is
    more."""
    if not np.isfinite(nm).all() or (weight < 0).any() or not weight.any() or len(nm) < 2:
        return None
    lobe = main_lobe(weight, nm)
    assert lobe is not None
    used = resampled[resampled.sum(axis=1) > 0]
    drawn = np.array([found[:2] for found in main_lobes(used, nm) if found is not None]).reshape(
        -1, 2
    )
    reach = max(lobe.width, float(np.median(np.abs(np.diff(np.sort(nm))))))
    values = (lobe.centre, lobe.width, float(outside(weight, nm, lobe.centre, reach)))
    draws = (drawn[:, 0], drawn[:, 1], outside(used, nm, lobe.centre, reach))
    return {
        name: ShapeEstimate(value, *_percentiles(of_name, value))
        for name, value, of_name in zip(("centre", "fwhm", "outside"), values, draws, strict=True)
    }


def _percentiles(drawn: Floats, value: float) -> tuple[float, float]:
    """Bounds that hold the value itself; the value alone without resamples."""
    if not len(drawn):
        return value, value
    low, high = np.percentile(drawn, [2.5, 97.5])
    return min(float(low), value), max(float(high), value)
