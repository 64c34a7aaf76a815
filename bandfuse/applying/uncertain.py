"""Uncertain: beside each fused cell the errors of its outputs, and how far its spectra lie outside
of the training's. A missing band counts as the training's mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bandfuse.applying.forms import PIXELS, Forms
from bandfuse.errors import InputError
from bandfuse.model.fusion import Fusion, FusionKernel
from bandfuse.model.model import Model
from bandfuse.model.scratch import Scratch
from bandfuse.model.stored import Plain, by_pixel, pieces
from bandfuse.model.uncertainty import SLOPES, Cloud, OutputErrors
from bandfuse.spectral.bands import Bands, Floats
from bandfuse.streaming.stream import Cell

SHORT = ("int8", "uint8", "int16", "uint16", "float32")
"""Stored types whose differences from the means are taken in float32."""

FAR = 1e15
"""Distances from the mean, in the unit of the bands, beyond which numbers are not told apart."""

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


class Seen:
    """A cell, or some bands of it, whose numbers are made once."""

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self._values: Floats | None = None

    def values(self) -> Floats:
        """(S, n) of all bands, NaN where missing."""
        if self._values is None:
            self._values = self._cell.values()
        return self._values

    @property
    def plain(self) -> Plain | None:
        """As stored, where no value is missing."""
        found: Plain | None = getattr(self._cell, "plain", None)
        return found

    def chosen(self, rows: list[int]) -> Plain | None:
        """Some bands as stored, where no value of these is missing."""
        chosen = getattr(self._cell, "chosen", None)
        found: Plain | None = None if chosen is None else chosen(rows)
        return found


class Chosen:
    """Some bands of a cell."""

    def __init__(self, cell: Seen, rows: list[int]) -> None:
        self._cell, self._rows = cell, rows

    def values(self) -> Floats:
        """(S, n) of these bands, NaN where missing."""
        found: Floats = self._cell.values()[self._rows]
        return found

    @property
    def plain(self) -> Plain | None:
        """As stored, where no value of these bands is missing."""
        return self._cell.chosen(self._rows)


class UncertainKernel:
    """(K + M, n) of a cell of the bands that are read: the outputs, to the bits that ``fused`` has
    without these, and the M bands of uncertainty.

    Variances are multiples of the residual variance until they are joined, so that no unit of
    outputs is too small for float32."""

    def __init__(self, fusion: Fusion, uncertain: Uncertain, fused: FusionKernel) -> None:
        support, cloud, errors = uncertain.support(fusion), uncertain.cloud, uncertain.errors
        place = {band: i for i, band in enumerate(support)}
        self._fused, self._rows = fused, [place[band] for band in fusion.support]
        self._all = self._rows == list(range(len(support)))
        self._cloud, self._mean = cloud, cloud.mean[support]
        axes = (cloud.axes * cloud.inverse / np.sqrt(cloud.variance)[:, None])[:, support]
        about = cloud.mean if errors is None else errors.about
        self._joining = None if errors is None else _Joining(errors, fusion.activation)
        factor = np.zeros((0, 0, len(cloud.mean)))
        if errors is not None and self._joining is not None:
            factor = errors.factor / self._joining.unit[:, None, None]
        step, inverse = (cloud.mean - about)[support], cloud.inverse[support]
        self._forms = Forms(axes, factor[:, :, support], self._mean, step, inverse)
        self._rooms = Scratch()
        self._scaled: dict[bytes, tuple[np.ndarray, np.ndarray]] = {}

    def of(self, cell: Cell) -> Floats:
        """(K + M, n) float64; they last until this thread fuses its next cell."""
        seen = Seen(cell)
        y = self._fused.of(seen if self._all else Chosen(seen, self._rows))
        squares = self._squares(seen, y.shape[1])
        found = self._rooms("found", len(y) + len(squares), y.shape[1])
        found[: len(y)] = y
        missing = np.isnan(y)
        if self._joining is not None:
            self._joining(squares[1:], y, found[len(y) : -1])
            if missing.any():
                found[len(y) : -1][missing] = np.nan
        found[-1] = self._cloud.outside(np.sqrt(squares[0].astype(np.float64)))
        found[-1, missing.all(axis=0)] = np.nan
        return found

    def _squares(self, cell: Seen, count: int) -> np.ndarray:
        """(1 + K, n) squares of the distance from the training's mean, and the variances of the
        factors; of numbers as they are stored where that can be done."""
        plain, dtype = cell.plain, self._forms.dtype
        squares: np.ndarray = self._rooms("squares", 1 + self._forms.outputs, count, dtype=dtype)
        with np.errstate(over="ignore", invalid="ignore"):
            if plain is not None and plain.stored.dtype.name in SHORT:
                self._of_stored(plain, squares)
                if np.isfinite(squares).all():
                    return squares
            self._of_values(cell.values(), squares)
        return squares

    def _of_stored(self, plain: Plain, squares: np.ndarray) -> None:
        """Of stored numbers, few pixels at a time, which stay in the cache of a core."""
        matrix, mean = self._for(plain)
        turned = by_pixel(plain.stored) and self._forms.either_way
        for piece in pieces(plain.stored, PIXELS):
            stored = piece.stored.transpose(1, 2, 0) if turned else piece.stored
            away = self._away(turned)
            here = away[: piece.size] if turned else away[:, : piece.size]
            subtracted = mean if turned else mean[:, None, None]
            np.subtract(stored, subtracted, out=here.reshape(stored.shape), dtype=away.dtype)
            self._forms.squares(matrix, away.T if turned else away, squares[:, piece.place])

    def _of_values(self, values: Floats, squares: np.ndarray) -> None:
        """Of (S, n) numbers, of which some may be missing."""
        matrix = self._forms.matrix.astype(self._forms.dtype)
        away = self._away(False)
        for start in range(0, values.shape[1], PIXELS):
            some = values[:, start : start + PIXELS] - self._mean[:, None]
            some[~np.isfinite(some)] = 0.0
            np.clip(some, -FAR, FAR, out=away[:, : some.shape[1]], casting="same_kind")
            self._forms.squares(matrix, away, squares[:, start : start + some.shape[1]])

    def _away(self, turned: bool) -> np.ndarray:
        """Room for the differences of a block, pixel by pixel or band by band."""
        bands = len(self._mean)
        shape = (PIXELS, bands) if turned else (bands, PIXELS)
        found: np.ndarray = self._rooms("away", *shape, dtype=self._forms.dtype)
        return found

    def _for(self, plain: Plain) -> tuple[np.ndarray, np.ndarray]:
        """The matrix, and the mean, for stored numbers of this scale and offset."""
        key = plain.scale.tobytes() + plain.offset.tobytes()
        if key not in self._scaled:
            matrix, mean = self._forms.matrix * plain.scale, (self._mean - plain.offset)
            dtype = self._forms.dtype
            self._scaled[key] = matrix.astype(dtype), (mean / plain.scale).astype(dtype)
        return self._scaled[key]


class _Joining:
    """The formula of :class:`OutputErrors` for many pixels at once: new memory takes longer than
    the sums."""

    def __init__(self, errors: OutputErrors, activation: str) -> None:
        known = errors.residual > 0
        self.unit = np.sqrt(np.where(known, errors.residual, 1.0))
        self._residual = known.astype(np.float64)[:, None]
        self._level = (errors.level / self.unit**2)[:, None]
        self._size = (errors.scale * self.unit)[:, None]
        self._slope, self._bent = SLOPES[activation], activation != "identity"

    def __call__(self, squares: np.ndarray, y: Floats, sd: Floats) -> None:
        """Put (K, n) standard deviations into ``sd``, of variances of the weighted sums in units of
        the residual. ``squares`` are written over."""
        np.add(squares, self._level, out=sd)
        if self._bent:
            sd *= self._slope(y) ** 2
        sd += self._residual
        np.sqrt(sd, out=sd)
        sd *= self._size
