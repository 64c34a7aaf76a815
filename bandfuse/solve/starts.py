"""Starts: initial weights, where training starts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bandfuse.errors import ConfigError
from bandfuse.solve.layout import Layout
from bandfuse.spectral.bands import Bands, Floats


def uniform(layout: Layout, bands: Bands, random: np.random.Generator) -> Floats:
    """Equal weights that sum to one in each row."""
    sets, sums = layout.sets, layout.multiplicity
    total = np.bincount(sets, weights=sums)
    return 1.0 / total[sets]


def normal(layout: Layout, bands: Bands, random: np.random.Generator) -> Floats:
    """Standard normal numbers, divided by the number of weights in the row."""
    return random.standard_normal(layout.size) * uniform(layout, bands, random)


def xavier(layout: Layout, bands: Bands, random: np.random.Generator) -> Floats:
    """Uniform in ±√(6 / (n + 1)), n weights into one output (Glorot and Bengio, AISTATS 2010)."""
    n = 1.0 / uniform(layout, bands, random)
    return random.uniform(-1.0, 1.0, layout.size) * np.sqrt(6.0 / (n + 1.0))


def response(layout: Layout, bands: Bands, random: np.random.Generator) -> Floats:
    """A Gaussian at the centre of each row's bands, its FWHM half their range; by number without
    wavelengths."""
    axis = bands.wavelength_nm if bands.has_wavelengths else np.arange(len(bands), dtype=np.float64)
    v = np.zeros(layout.size)
    for row in range(layout.shape[0]):
        here = layout.row == row
        x = axis[layout.col[here]]
        if not len(x):
            continue
        low, high = float(x.min()), float(x.max())
        sigma = max((high - low) / 2 / np.sqrt(8 * np.log(2)), 1e-9)
        shape = np.exp(-0.5 * ((x - (low + high) / 2) / sigma) ** 2)
        v[layout.param[here]] = shape / shape.sum()
    return v


INITS: dict[str, Callable[[Layout, Bands, np.random.Generator], Floats]] = {
    "uniform": uniform,
    "normal": normal,
    "xavier": xavier,
    "response": response,
}
"""Initial weights by name. ``least-squares`` (the exact optimum) is the fit's own, as it needs the
objective."""


def initial(name: str, layout: Layout, bands: Bands, seed: int) -> Floats:
    """(P,) seeded initial weights; the part of a set that a constraint forbids is left to the
    constraint's map."""
    if name not in INITS:
        raise ConfigError(
            "init", got=repr(name), expected=f"one of {', '.join(INITS)}, least-squares or auto"
        )
    if not layout.size:
        return np.zeros(0)
    return INITS[name](layout, bands, np.random.default_rng(seed))


def feasible(v: Floats, layout: Layout, constraint: str) -> Floats:
    """The weights moved to where the constraint holds: signs dropped, sums shifted or scaled to
    one."""
    sets, sums = layout.sets, layout.multiplicity
    if not len(v) or constraint == "free":
        return v
    if constraint == "affine":
        short = 1.0 - np.bincount(sets, weights=sums * v)
        shifted: Floats = v + (short / np.bincount(sets, weights=sums))[sets]
        return shifted
    # A weight that starts at exactly zero would never leave it, as its gradient vanishes there.
    positive: Floats = np.maximum(np.abs(v), 1e-12 * np.abs(v).max())
    if constraint == "nonnegative":
        return positive
    shared: Floats = positive / np.bincount(sets, weights=sums * positive)[sets]
    return shared
