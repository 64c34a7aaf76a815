"""Uncertain: beside each fused cell the errors of its outputs, and how far its spectra lie outside
of the training's.

Differences from the training's means are multiplied in float32, whose error is far below what such
numbers say. A missing band counts as the training's mean."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np

from bandfuse.errors import InputError
from bandfuse.model.fusion import Fusion, FusionKernel
from bandfuse.model.model import Model
from bandfuse.model.stored import Plain
from bandfuse.model.uncertainty import SLOPES, Cloud, OutputErrors
from bandfuse.spectral.bands import Bands, Floats
from bandfuse.streaming.stream import Cell

SHORT = ("int8", "uint8", "int16", "uint16", "float32")
"""Stored types whose differences from the means are taken in float32."""

FAR = 1e15
"""Distances from the mean, in the unit of the bands, beyond which numbers are not told apart."""

SMALL_PRODUCTS = 2
"""How much longer small products take for each of their operations."""

PIECE = 1024
"""Pixels whose bands stay in a processor's cache."""

EXTRAPOLATION = "extrapolation"
"""The name of the band that says how far a spectrum lies outside."""


@dataclass(frozen=True, eq=False)
class Uncertain:
    """What is known of the errors of a fusion's outputs (None for nothing), and of the spectra
    that it was learned from."""

    errors: OutputErrors | None
    cloud: Cloud

    @classmethod
    def of(cls, model: Model, names: list[str], weights: Any, *, use_common: bool) -> Uncertain:
        """Of the fusion that a scene of these names is fused with.

        Raises
        ------
        InputError : the weights remember nothing of it.
        """
        if model.uncertainty is None:
            raise InputError(
                f"{weights} holds nothing of the uncertainty of fused pixels",
                expected="weights that bandfuse train has written since it keeps that",
                remedy="Train again with this version of bandfuse, or leave --uncertainty out.",
            )
        return cls(model.errors([] if use_common else names), model.uncertainty.cloud)

    def support(self, fusion: Fusion) -> list[int]:
        """Positions of the inputs that are read."""
        counts = (fusion.matrix != 0).any(axis=0) | (self.cloud.inverse != 0)
        if self.errors is not None:
            counts |= (self.errors.factor != 0).any(axis=(0, 1))
        return [int(i) for i in np.flatnonzero(counts)]

    def bands(self, outputs: Bands) -> Bands:
        """The bands of the raster that is written: ``NAME_sd`` of each output, at its wavelength,
        and the extrapolation."""
        last = Bands.of([EXTRAPOLATION])
        if self.errors is None:
            return last
        of = Bands.of(
            [f"{name}_sd" for name in outputs.name],
            wavelength_nm=outputs.wavelength_nm,
            fwhm_nm=outputs.fwhm_nm,
            reason=outputs.reason,
        )
        return of + last


class Chosen:
    """Some bands of a cell."""

    def __init__(self, cell: Cell, rows: list[int]) -> None:
        self._cell, self._rows = cell, rows

    def values(self) -> Floats:
        """(S, n) of these bands, NaN where missing."""
        found: Floats = self._cell.values()[self._rows]
        return found

    @property
    def plain(self) -> Plain | None:
        """As stored, where no value of these bands is missing."""
        chosen = getattr(self._cell, "chosen", None)
        found: Plain | None = None if chosen is None else chosen(self._rows)
        return found


class UncertainKernel:
    """(K + M, n) of a cell of the bands that are read: the outputs, to the bits that ``fused`` has
    without these, and the M bands of uncertainty."""

    def __init__(self, fusion: Fusion, uncertain: Uncertain, fused: FusionKernel) -> None:
        support, cloud, errors = uncertain.support(fusion), uncertain.cloud, uncertain.errors
        place = {band: i for i, band in enumerate(support)}
        self._fused, self._rows = fused, [place[band] for band in fusion.support]
        self._all = self._rows == list(range(len(support)))
        self._cloud, self._errors, self._mean = cloud, errors, cloud.mean[support]
        axes = cloud.axes * cloud.inverse / np.sqrt(cloud.variance)[:, None]
        factor = np.zeros((0, 0, axes.shape[1])) if errors is None else errors.factor
        about = cloud.mean if errors is None else errors.about
        flat = factor.reshape(-1, axes.shape[1])
        self._matrix = np.concatenate([axes, flat])[:, support]
        self._shift = (flat @ (cloud.mean - about)).astype(np.float32)[:, None]
        self._spans = _spans(self._matrix, len(axes), len(factor))
        self._slope, self._own = SLOPES[fusion.activation], threading.local()
        self._scaled: dict[bytes, np.ndarray] = {}

    def of(self, cell: Cell) -> Floats:
        """(K + M, n) float64."""
        y = self._fused.of(cell if self._all else Chosen(cell, self._rows))
        sums = self._sums(cell)
        count = len(self._cloud.axes)
        outside = self._cloud.outside(_lengths(sums[None, :count])[0])
        outside[np.isnan(y).all(axis=0)] = np.nan
        if self._errors is None:
            return np.concatenate([y, outside[None]])
        return np.concatenate([y, self._sd(sums[count:], y, self._errors), outside[None]])

    def _sums(self, cell: Cell) -> np.ndarray:
        """(q + K r, n) float32 products along the axes and of the factors; as they are stored
        where that can be done."""
        plain = getattr(cell, "plain", None)
        if plain is not None and plain.stored.dtype.name in SHORT:
            with np.errstate(over="ignore", invalid="ignore"):
                sums = self._of_stored(plain)
            if np.isfinite(sums).all():
                return sums
        return self._of_values(cell.values())

    def _of_stored(self, plain: Plain) -> np.ndarray:
        """Of stored numbers, few pixels at a time, which stay in a processor's cache."""
        bands, rows, cols = plain.stored.shape
        matrix = self._matrix_for(plain.scale)
        mean = ((self._mean - plain.offset) / plain.scale).astype(np.float32)[:, None]
        sums = self._room("sums", (len(matrix), rows * cols))
        step = max(1, PIECE // cols)
        for row in range(0, rows, step):
            some = plain.stored[:, row : row + step]
            away = self._room("away", (bands, some.shape[1] * cols))
            # Cast first: a difference of two types goes through small buffers.
            away.reshape(some.shape)[...] = some
            away -= mean
            self._multiply(matrix, away, sums[:, row * cols : row * cols + away.shape[1]])
        return sums

    def _of_values(self, values: Floats) -> np.ndarray:
        """Of (S, n) numbers, of which some may be missing."""
        missing, matrix = ~np.isfinite(values), self._matrix_for(np.ones(len(values)))
        values -= self._mean[:, None]
        values[missing] = 0.0
        away = self._room("away", values.shape)
        np.clip(values, -FAR, FAR, out=values)
        away[...] = values
        sums = self._room("sums", (len(matrix), values.shape[1]))
        self._multiply(matrix, away, sums)
        return sums

    def _multiply(self, matrix: np.ndarray, away: np.ndarray, out: np.ndarray) -> None:
        for rows, bands in self._spans:
            np.matmul(matrix[rows, bands], away[bands], out=out[rows])

    def _matrix_for(self, scale: Floats) -> np.ndarray:
        """The matrix in float32 for numbers of a scale."""
        key = scale.tobytes()
        if key not in self._scaled:
            self._scaled[key] = (self._matrix * scale).astype(np.float32)
        return self._scaled[key]

    def _sd(self, sums: np.ndarray, y: Floats, errors: OutputErrors) -> Floats:
        """(K, n) standard deviations of outputs; missing where these are."""
        sums += self._shift
        of_weights = _lengths(sums.reshape(len(y), -1, sums.shape[1])) ** 2
        of_weights += errors.level[:, None]
        found: Floats = errors.joined(of_weights.T, self._slope(y).T).T
        found[np.isnan(y)] = np.nan
        return found

    def _room(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """Memory of this thread, used again for every cell."""
        rooms: dict[str, np.ndarray] = self._own.__dict__
        size = int(np.prod(shape))
        if name not in rooms or rooms[name].size < size:
            rooms[name] = np.empty(size, np.float32)
        return rooms[name][:size].reshape(shape)


def _lengths(vectors: np.ndarray) -> Floats:
    """(K, n) float64 lengths of (K, r, n) vectors."""
    found: Floats = np.sqrt(np.einsum("krn,krn->kn", vectors, vectors).astype(np.float64))
    return found


def _spans(matrix: np.ndarray, axes: int, outputs: int) -> list[tuple[slice, slice]]:
    """Rows and bands of the products of (q + K r, S) axes and factors: of each output over its own
    bands, where that is much less than all of them at once."""
    count, bands = matrix.shape
    rank = (count - axes) // max(1, outputs)
    found = [(slice(0, axes), slice(0, bands))]
    for k in range(outputs):
        rows = slice(axes + k * rank, axes + (k + 1) * rank)
        used = np.flatnonzero((matrix[rows] != 0).any(axis=0))
        first, last = (int(used[0]), int(used[-1]) + 1) if len(used) else (0, 1)
        found.append((rows, slice(first, last)))
    apart = sum(span.stop - span.start for _, span in found[1:])
    whole = [(slice(0, count), slice(0, bands))]
    return found if SMALL_PRODUCTS * apart < outputs * bands else whole
