"""Penalty: ridge and smooth as quadratic forms of the weights.

``ridge · Σ_b var_b w_b²`` shrinks every weight in the units of its band.
``smooth · mean(var) · Σ ((w_j − w_i) h / |λ_j − λ_i|)²`` over neighbouring bands i and j, h the
median step, pulls neighbours together (Tikhonov's first differences)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bandfuse.solve.layout import Layout
from bandfuse.spectral.bands import Bands, Floats

GAP = 3.0
"""Neighbours further apart than this many median steps belong to different detectors, and are not
tied."""

CLOSE = 0.1
"""Neighbours closer than this part of the median step count as that far apart."""


@dataclass(frozen=True)
class Tie:
    """Two neighbouring bands, by their places among the used bands, and the weight of their
    difference."""

    first: int
    second: int
    strength: float


def ties(bands: Bands, used: tuple[int, ...]) -> list[Tie]:
    """Neighbours along wavelength among the used bands (by number where wavelengths are unknown).

    Not tied: bands across a detector gap, and bands with a dropped band of the cube between them.
    """
    order = bands.by_wavelength(used)
    known = bool(np.isfinite(bands.wavelength_nm[list(used)]).all())
    axis = bands.wavelength_nm if known else np.arange(len(bands), dtype=np.float64)
    step = np.diff(axis[order])
    if not len(step):
        return []
    typical = float(np.median(step[step > 0])) if (step > 0).any() else 1.0
    dropped = np.sort(
        [axis[i] for i in range(len(bands)) if bands.reason[i] and np.isfinite(axis[i])]
    )
    place = {p: i for i, p in enumerate(used)}
    return [
        Tie(place[i], place[j], typical / max(float(h), CLOSE * typical))
        for i, j, h in zip(order[:-1], order[1:], step, strict=True)
        if h <= GAP * typical and not _between(dropped, float(axis[i]), float(axis[j]))
    ]


def _between(values: np.ndarray, low: float, high: float) -> bool:
    return bool(np.searchsorted(values, high, "left") > np.searchsorted(values, low, "right"))


def smooth_form(layout: Layout, row: int, tied: list[Tie]) -> Floats:
    """(B, B) form of the squared differences between neighbours that both may carry weight in a
    row."""
    may = np.zeros(layout.shape[1], dtype=bool)
    may[layout.col[layout.row == row]] = True
    form = np.zeros((layout.shape[1], layout.shape[1]))
    for tie in tied:
        i, j, s = tie.first, tie.second, tie.strength**2
        if may[i] and may[j]:
            form[[i, j], [i, j]] += s
            form[[i, j], [j, i]] -= s
    return form
