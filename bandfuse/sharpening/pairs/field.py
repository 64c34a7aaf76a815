"""Field: how a sharp image lies on a cube, from looks at parts all over the scene."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from bandfuse.raster.areas import gaussian_sigma
from bandfuse.scenes.field import Registration, register
from bandfuse.scenes.local_shifts import Look
from bandfuse.sharpening.pairs.kernels import Axis
from bandfuse.sharpening.pairs.pair import STRIP, Geometry, Pair
from bandfuse.sharpening.pairs.ranges import Range
from bandfuse.spectral.bands import Floats

SIDE, MOST = 48, 6
"""Rows and columns of a look, in pixels of the cube, and looks along one side of a scene: larger
scenes are looked at in parts that are evenly spread."""

MARGIN = 12
"""Pixels of the cube around a look in which the sharp image is read."""

TIMES = 3
"""Pixels of a look's sharp image along the side of a pixel of the cube; an odd number."""

BLUR = 0.3
"""Modulation that is taken where none is given. Displacements hardly depend on it."""

BANDS = 48
"""Bands of the cube that are compared: more than a few, as bands of one cube may lie apart."""

ACROSS, LEAST, LARGEST = 8, 4, 24
"""A scene has about so many windows a side, each of at least and at most so many pixels a side;
scenes of more than 200 pixels have more windows."""

GREATEST = 1e150
"""The squares of greater numbers overflow: they say nothing of a displacement."""


def found_field(pair: Pair) -> Registration | None:
    """How the sharp image of a pair lies on its cube, from windows all over the scene; None where
    too little is valid, or nothing varies."""
    shape = pair.geometry.coarse
    side = round(math.sqrt(shape[0] * shape[1]) / ACROSS)
    looks = [
        _look(pair, Range(row, row + rows), Range(col, col + cols))
        for row, rows in _spread(shape[0])
        for col, cols in _spread(shape[1])
    ]
    return register(looks, shape, min(max(side, LEAST), LARGEST))


def some_bands(positions: list[int]) -> list[int]:
    """Bands that are read to see how a cube lies: at most so many, evenly spread."""
    if len(positions) <= BANDS:
        return positions
    return [positions[int(i)] for i in np.linspace(0, len(positions) - 1, BANDS)]


def _spread(size: int) -> list[tuple[int, int]]:
    """First pixel and length of the looks along one side of a scene."""
    count = min(MOST, -(-size // SIDE))
    length = min(SIDE, -(-size // count))
    return [(int(start), length) for start in np.linspace(0, size - length, count)]


def _look(pair: Pair, rows: Range, cols: Range) -> Look:
    """One part of a pair."""
    return Look(
        rows.start,
        cols.start,
        _tamed(pair.read_cube(rows, cols)),
        _divided(pair, rows.wider(MARGIN), cols.wider(MARGIN)),
        MARGIN,
        TIMES,
        _width(BLUR if pair.blur is None else pair.blur),
    )


def _tamed(values: Floats) -> Floats:
    """Without numbers whose squares overflow."""
    return np.where(np.abs(values) < GREATEST, values, np.nan)


def _width(blur: float) -> float:
    """Deviation of the Gaussian that, after the average over divided pixels, makes the blur of a
    modulation; in pixels of the cube."""
    return math.sqrt(max(gaussian_sigma(blur, 1.0) ** 2 - 1 / (12 * TIMES**2), 0.01))


def _divided(pair: Pair, rows: Range, cols: Range) -> Floats:
    """(T, n, m) means of the sharp image over pixels of the cube that are divided; NaN where a part
    of one is missing."""
    finer = Geometry(_finer(pair.geometry.rows), _finer(pair.geometry.cols))
    down, across = (Range(one.start * TIMES, one.stop * TIMES) for one in (rows, cols))
    tame = replace(
        pair, geometry=finer, blur=None, read_sharp=lambda *p: _tamed(pair.read_sharp(*p))
    )
    means = tame.means(down, across, pair.sharp_bands, covered=1 - 1e-6)
    for place in means.strips(STRIP):
        means.add(place, tame.sharp(*place))
    return means.values


def _finer(axis: Axis) -> Axis:
    """The axis of a cube whose pixels are divided."""
    return Axis(axis.fine, axis.coarse * TIMES, axis.ratio / TIMES, axis.offset)
