"""Uncertain: beside each fused cell the errors of its outputs, and how far its spectra lie outside
of the training's.

Bands are brought to their training's standard deviations and multiplied in float32, whose error is
far below what such numbers say. A missing band counts as the training's mean."""

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
"""Stored types that are brought to standard deviations in float32."""

FAR = 1e15
"""Standard deviations beyond which distances are not told apart."""

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
        support, cloud = uncertain.support(fusion), uncertain.cloud
        place = {band: i for i, band in enumerate(support)}
        self._fused, self._rows = fused, [place[band] for band in fusion.support]
        self._all = self._rows == list(range(len(support)))
        self._mean, self._inverse = cloud.mean[support], cloud.inverse[support]
        self._axes = cloud.axes[:, support].astype(np.float32)
        self._flat = self._axes.T.copy()
        self._over = (1.0 / cloud.variance)[:, None].astype(np.float32)
        self._cloud, self._errors = cloud, uncertain.errors
        self._slope, self._rooms = SLOPES[fusion.activation], threading.local()
        if uncertain.errors is not None:
            self._factor, self._shift = _in_deviations(uncertain.errors, cloud, support)

    def of(self, cell: Cell) -> Floats:
        """(K + M, n) float64."""
        y = self._fused.of(cell if self._all else Chosen(cell, self._rows))
        z = self._deviations(cell)
        none = np.isnan(y).all(axis=0)
        outside = self._cloud.outside(self._distances(z))
        outside[none] = np.nan
        if self._errors is None:
            return np.concatenate([y, outside[None]])
        return np.concatenate([y, self._sd(z, y, self._errors), outside[None]])

    def _deviations(self, cell: Cell) -> np.ndarray:
        """(S, n) float32: standard deviations from the training's means; 0 where missing."""
        plain = getattr(cell, "plain", None)
        if plain is not None and plain.stored.dtype.name in SHORT:
            z = self._room("z", (len(self._mean), plain.stored[0].size))
            slope = (self._inverse * plain.scale).astype(np.float32)[:, None, None]
            level = (self._inverse * (plain.offset - self._mean)).astype(np.float32)[:, None]
            with np.errstate(over="ignore", invalid="ignore"):
                np.multiply(plain.stored, slope, out=z.reshape(plain.stored.shape))
                z += level
            if np.isfinite(z.sum()):
                return z
        values = cell.values()
        z = self._room("z", values.shape)
        missing = ~np.isfinite(values)
        with np.errstate(over="ignore", invalid="ignore"):
            away = (values - self._mean[:, None]) * self._inverse[:, None]
        away[missing] = 0.0
        np.clip(away, -FAR, FAR, out=away)
        z[...] = away
        return z

    def _distances(self, z: np.ndarray) -> Floats:
        """(n,) distances from the training's mean."""
        along = self._axes @ z
        across = self._room("across", z.shape)
        np.matmul(self._flat, along, out=across)
        np.subtract(z, across, out=across)
        squared = (along * along * self._over).sum(axis=0, dtype=np.float64)
        squared += np.einsum("sn,sn->n", across, across) / self._cloud.floor
        found: Floats = np.sqrt(squared)
        return found

    def _sd(self, z: np.ndarray, y: Floats, errors: OutputErrors) -> Floats:
        """(K, n) standard deviations of outputs; missing where these are."""
        k, rank = errors.factor.shape[:2]
        sums = (self._factor @ z + self._shift).reshape(k, rank, -1)
        of_weights = np.einsum("krn,krn->kn", sums, sums).astype(np.float64)
        of_weights += errors.level[:, None]
        slope = self._slope(y)
        found: Floats = errors.joined(of_weights.T, slope.T).T
        found[np.isnan(y)] = np.nan
        return found

    def _room(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """Memory of this thread, used again for every cell."""
        rooms: dict[str, np.ndarray] = self._rooms.__dict__
        size = int(np.prod(shape))
        if name not in rooms or rooms[name].size < size:
            rooms[name] = np.empty(size, np.float32)
        return rooms[name][:size].reshape(shape)


def _in_deviations(
    errors: OutputErrors, cloud: Cloud, support: list[int]
) -> tuple[np.ndarray, np.ndarray]:
    """(K r, S) factors for bands in standard deviations from the training's means, and (K r, 1)
    what is added."""
    factor = errors.factor[:, :, support].reshape(-1, len(support))
    inverse = cloud.inverse[support]
    unit = np.where(inverse > 0, 1.0 / np.where(inverse > 0, inverse, 1.0), 0.0)
    shift = factor @ (cloud.mean - errors.about)[support]
    return (factor * unit).astype(np.float32), shift[:, None].astype(np.float32)
