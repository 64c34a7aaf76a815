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
from bandfuse.model.uncertainty import SHARED, SLOPES, Cloud, OutputErrors
from bandfuse.spectral.bands import Bands, Floats
from bandfuse.streaming.stream import Cell

SHORT = ("int8", "uint8", "int16", "uint16", "float32")
"""Stored types whose differences from the means are taken in float32."""

FAR = 1e15
"""Distances from the mean, in the unit of the bands, beyond which numbers are not told apart."""

SMALL_PRODUCTS = 2
"""How much longer small products take for each of their operations."""

EXACT = 1e-9
"""Error, as a part of their size, up to which rows are sums of others."""

PIECE = 512
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
                expected="weights that this version of bandfuse has learned",
                remedy="Train again, or leave --uncertainty out.",
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
        axes = (cloud.axes * cloud.inverse / np.sqrt(cloud.variance)[:, None])[:, support]
        factor = np.zeros((0, 0, len(support))) if errors is None else errors.factor[:, :, support]
        about = cloud.mean if errors is None else errors.about
        self._axes, outputs = len(axes), len(factor)
        self._matrix = np.concatenate([axes, factor.reshape(-1, len(support))])
        self._spans = _spans(self._matrix, len(axes), outputs)
        self._mix: np.ndarray | None = None
        found = in_common(self._matrix[len(axes) :], cloud.inverse[support])
        if found is not None:
            matrix = np.concatenate([axes, found[1]])
            if matrix.size + found[0].size < _operations(self._spans):
                self._matrix, self._spans = (
                    matrix,
                    [(slice(0, len(matrix)), slice(0, len(support)))],
                )
                self._mix = found[0].astype(np.float32)
        shift = self._matrix[len(axes) :] @ (cloud.mean - about)[support]
        self._shift = shift.astype(np.float32)[:, None]
        self._slope, self._bent = SLOPES[fusion.activation], fusion.activation != "identity"
        self._own = threading.local()
        self._scaled: dict[bytes, np.ndarray] = {}

    def of(self, cell: Cell) -> Floats:
        """(K + M, n) float64; they last until this thread fuses its next cell."""
        y = self._fused.of(cell if self._all else Chosen(cell, self._rows))
        squares = self._squares(cell)
        found = self._room("found", (len(y) + len(squares), y.shape[1]), np.float64)
        found[: len(y)] = y
        self._finish(found[len(y) :], squares, y)
        return found

    def _finish(self, found: Floats, squares: np.ndarray, y: Floats) -> None:
        """Put the (M, n) bands of uncertainty where they belong; missing where outputs are."""
        missing = np.isnan(y)
        for start in range(0, y.shape[1], PIECE):
            part = np.s_[:, start : start + PIECE]
            if self._errors is not None:
                self._join(found[:-1][part], squares[1:][part], y[part], self._errors)
        found[-1] = self._cloud.outside(np.sqrt(squares[0].astype(np.float64)))
        if missing.any():
            found[:-1][missing[: len(found) - 1]] = np.nan
            found[-1, missing.all(axis=0)] = np.nan

    def _join(self, sd: Floats, of_weights: np.ndarray, y: Floats, errors: OutputErrors) -> None:
        """What ``errors.joined`` gives, in the place of ``sd``: new memory takes longer than the
        sums."""
        sd[...] = of_weights
        sd += errors.level[:, None]
        if self._bent:
            sd *= self._slope(y) ** 2
        sd += errors.residual[:, None]
        np.sqrt(sd, out=sd)
        sd *= errors.scale[:, None]

    def _squares(self, cell: Cell) -> np.ndarray:
        """(1 + K, n) float32 squares of the distance from the training's mean, and the variances of
        the factors; of numbers as they are stored where that can be done."""
        plain = getattr(cell, "plain", None)
        if plain is not None and plain.stored.dtype.name in SHORT:
            with np.errstate(over="ignore", invalid="ignore"):
                squares = self._of_stored(plain)
            if np.isfinite(squares).all():
                return squares
        with np.errstate(over="ignore"):
            return self._of_values(cell.values())

    def _of_stored(self, plain: Plain) -> np.ndarray:
        """Of stored numbers, few pixels at a time, which stay in a processor's cache."""
        bands, rows, cols = plain.stored.shape
        matrix = self._matrix_for(plain.scale)
        mean = ((self._mean - plain.offset) / plain.scale).astype(np.float32)[:, None]
        squares = self._room("squares", (self._count, rows * cols))
        step = max(1, PIECE // cols)
        for row in range(0, rows, step):
            some = plain.stored[:, row : row + step]
            away = self._room("away", (bands, some.shape[1] * cols))
            # Cast first: a difference of two types goes through small buffers.
            away.reshape(some.shape)[...] = some
            away -= mean
            self._square(matrix, away, squares[:, row * cols : row * cols + away.shape[1]])
        return squares

    def _of_values(self, values: Floats) -> np.ndarray:
        """Of (S, n) numbers, of which some may be missing."""
        matrix = self._matrix_for(np.ones(len(values)))
        squares = self._room("squares", (self._count, values.shape[1]))
        for start in range(0, values.shape[1], PIECE):
            some = values[:, start : start + PIECE] - self._mean[:, None]
            some[~np.isfinite(some)] = 0.0
            np.clip(some, -FAR, FAR, out=some)
            away = self._room("away", some.shape)
            away[...] = some
            self._square(matrix, away, squares[:, start : start + PIECE])
        return squares

    @property
    def _count(self) -> int:
        """Squares of each pixel."""
        return 1 + (0 if self._errors is None else len(self._errors.factor))

    def _square(self, matrix: np.ndarray, away: np.ndarray, out: np.ndarray) -> None:
        """(1 + K, n) squares of (S, n) differences from the training's mean."""
        sums = self._room("sums", (len(matrix), away.shape[1]))
        for rows, bands in self._spans:
            np.matmul(matrix[rows, bands], away[bands], out=sums[rows])
        along, parts = sums[: self._axes], sums[self._axes :]
        np.einsum("rn,rn->n", along, along, out=out[0])
        if len(out) == 1:
            return
        parts += self._shift
        if self._mix is not None:
            room = self._room("mixed", (len(self._mix), away.shape[1]))
            parts = np.matmul(self._mix, parts, out=room)
        parts = parts.reshape(len(out) - 1, -1, away.shape[1])
        np.einsum("krn,krn->kn", parts, parts, out=out[1:])

    def _matrix_for(self, scale: Floats) -> np.ndarray:
        """The matrix in float32 for numbers of a scale."""
        key = scale.tobytes()
        if key not in self._scaled:
            self._scaled[key] = (self._matrix * scale).astype(np.float32)
        return self._scaled[key]

    def _room(
        self, name: str, shape: tuple[int, ...], dtype: type[np.floating] = np.float32
    ) -> np.ndarray:
        """Memory of this thread, used again for every cell."""
        rooms: dict[str, np.ndarray] = self._own.__dict__
        size = int(np.prod(shape))
        if name not in rooms or rooms[name].size < size:
            rooms[name] = np.empty(size, dtype)
        return rooms[name][:size].reshape(shape)


Spans = list[tuple[slice, slice]]
"""Rows and bands of products."""


def in_common(rows: Floats, inverse: Floats) -> tuple[Floats, Floats] | None:
    """(n, 12) and (12, S) matrices whose product are the (n, S) rows, where there are such;
    ``inverse``: (S,) one over the typical size of each band, or zero."""
    if len(rows) <= SHARED:
        return None
    unit = np.where(inverse > 0, inverse, 1.0)
    even = rows / unit
    mixed = np.random.default_rng(0).standard_normal((SHARED, len(rows))) @ even
    basis = np.linalg.qr(mixed.T)[0].T
    mix = even @ basis.T
    if np.linalg.norm(even - mix @ basis) > EXACT * np.linalg.norm(even):
        return None
    return mix, basis * unit


def _spans(matrix: np.ndarray, axes: int, outputs: int) -> Spans:
    """Rows and bands of the products of (q + K r, S) axes and factors: of each output over its own
    bands, where that is much less than all of them at once."""
    rank = (len(matrix) - axes) // max(1, outputs)
    found = [(slice(0, axes), slice(0, matrix.shape[1]))]
    for k in range(outputs):
        rows = slice(axes + k * rank, axes + (k + 1) * rank)
        used = np.flatnonzero((matrix[rows] != 0).any(axis=0))
        first, last = (int(used[0]), int(used[-1]) + 1) if len(used) else (0, 1)
        found.append((rows, slice(first, last)))
    whole = _whole(matrix)
    return found if SMALL_PRODUCTS * _operations(found) < _operations(whole) else whole


def _whole(matrix: np.ndarray) -> Spans:
    """All rows over all bands at once."""
    return [(slice(0, matrix.shape[0]), slice(0, matrix.shape[1]))]


def _operations(spans: Spans) -> int:
    """Multiplications for each pixel."""
    return sum((r.stop - r.start) * (b.stop - b.start) for r, b in spans)
