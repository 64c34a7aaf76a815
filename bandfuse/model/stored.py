"""Stored: the product of a cell as its pixels are stored, without a copy in float64.

In float32 the bands are taken in chunks of :data:`CHUNK`. The sum of a chunk is a product of BLAS
in float32, and the chunks are added two by two. Stored numbers of :data:`EXACT` types are exact in
float32, and scales are part of the weights, so that the error of ``Σ w x`` comes from rounding the
weights and the sums: in tests with all signs of weights and with flat spectra, where roundings add
up the most, it stays below ``4e-7 · Σ |w x|`` (:data:`PROMISE`), where one product of 224 bands in
float32 errs up to six times as much. Fewer bands than a chunk gain no time by it, and are
multiplied in float64.

Pixels that are stored pixel by pixel are multiplied as they are, (n, S) by (S, K), if that gives
the same bits as (K, S) by (S, n). BLAS takes its steps by the shape and never by the values, so
that one look at a shape tells it for all cells of that shape. Where bits differ the cell is turned
first."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from bandfuse.model.fusion import Fusion, FusionKernel, Valued
from bandfuse.spectral.bands import Floats

CHUNK = 16
"""Bands whose products are summed up in float32 at once."""

PROMISE = 4e-7
"""The error of a sum in float32, as a share of the sum of sizes."""

EXACT = ("int8", "uint8", "int16", "uint16", "float32")
"""Stored types whose numbers float32 holds exactly."""

LEAST, MOST = 1e-20, 1e20
"""Sizes of the largest value of a cell of floats, and of weights, between which float32 neither
runs over nor loses digits."""

AS_FLOAT32 = ("float32", "int16", "uint16", "uint8")
"""Types of an output that float32 products are precise enough for."""


class Plain(Protocol):
    """(S, rows, cols) stored values, none of them missing, and (S,) scale and offset of them."""

    @property
    def stored(self) -> np.ndarray:
        """As they lie in memory."""
        ...

    @property
    def scale(self) -> Floats:
        """What they are multiplied by."""
        ...

    @property
    def offset(self) -> Floats:
        """What is added then."""
        ...


def precision_for(wanted: str, dtype: str) -> str:
    """The precision of products for an output of a type: float64 if that is wanted, or if the
    output holds more digits than float32."""
    return "float32" if wanted == "auto" and dtype in AS_FLOAT32 else "float64"


class StoredKernel(FusionKernel):
    """Fuses cells as they are stored. Where that cannot be done — values are missing, numbers are
    not exact in float32, or the sums run over — it is :class:`FusionKernel` in float64.

    ``precision``: ``float32`` where the rule of this module allows it; ``float64`` for the bits of
    :class:`FusionKernel`."""

    def __init__(self, fusion: Fusion, precision: str = "float64") -> None:
        super().__init__(fusion)
        self._short = precision == "float32" and len(fusion.support) >= CHUNK
        self._weights: dict[bytes, _Weights | None] = {}
        self._own = threading.local()
        self._alike: dict[tuple[Any, ...], bool] = {}

    def of(self, cell: Valued) -> Floats:
        """(K, n) from a cell."""
        plain = getattr(cell, "plain", None)
        if plain is None:
            return self(cell.values())
        with np.errstate(invalid="ignore", over="ignore", under="ignore"):
            total = self._total(plain)
            if total is None or not np.isfinite(total).all():
                return self(cell.values())
            return self.finished(total)

    def _total(self, plain: Plain) -> Floats | None:
        """(K, n) weighted sums; None where these are better made of values."""
        weights = self._weights_for(plain) if self._short else None
        if weights is not None and _in_range(plain.stored):
            if _by_pixel(plain.stored) and self._pixels_alike(plain, weights):
                return weights.restored(self._of_pixels(plain.stored, weights))
            return weights.restored(self._of_bands(plain.stored, weights))
        if _by_pixel(plain.stored) and self._whole_alike(plain):
            return self._whole(plain)
        return None

    def _weights_for(self, plain: Plain) -> _Weights | None:
        """The weights in float32 for stored numbers of this scale; None where they must not be
        used."""
        key = plain.scale.tobytes()
        if plain.stored.dtype.name not in EXACT or plain.offset.any():
            return None
        if key not in self._weights:
            self._weights[key] = _Weights.of(self._matrix * plain.scale)
        return self._weights[key]

    def _of_bands(self, stored: np.ndarray, weights: _Weights) -> np.ndarray:
        """(K, n) float32 of (S, rows, cols), chunk by chunk."""
        n = stored.shape[1] * stored.shape[2]
        room = self._room("bands", (CHUNK, n))
        sums = self._room("sums", (len(weights.chunks), len(self._matrix), n))
        for i, (chunk, out) in enumerate(zip(weights.chunks, sums, strict=True)):
            some = stored[i * CHUNK : (i + 1) * CHUNK]
            x = room[: len(some)]
            x.reshape(some.shape)[...] = some
            np.matmul(chunk[:, : len(some)], x, out=out)
        return _added(sums)

    def _of_pixels(self, stored: np.ndarray, weights: _Weights) -> np.ndarray:
        """The same of pixels that are stored one after the other."""
        pixels = np.moveaxis(stored, 0, 2)
        n, bands = pixels.shape[0] * pixels.shape[1], pixels.shape[2]
        x = self._room("pixels", (n, bands))
        x.reshape(pixels.shape)[...] = pixels
        sums = self._room("turned", (len(weights.chunks), n, len(self._matrix)))
        for i, (chunk, out) in enumerate(zip(weights.chunks, sums, strict=True)):
            some = x[:, i * CHUNK : (i + 1) * CHUNK]
            np.matmul(some, chunk[:, : some.shape[1]].T, out=out)
        return _added(sums).T

    def _pixels_alike(self, plain: Plain, weights: _Weights) -> bool:
        """Whether both ways give the same bits for cells of this shape."""

        def both(stored: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            bands = np.ascontiguousarray(stored)
            return self._of_pixels(stored, weights), self._of_bands(bands, weights)

        return self._same(("float32", plain.stored.shape), plain, both)

    def _whole(self, plain: Plain) -> Floats:
        """(K, n) float64 of pixels that are stored one after the other, as one product."""
        pixels = np.moveaxis(plain.stored, 0, 2)
        x = self._room("whole", (pixels.shape[0] * pixels.shape[1], pixels.shape[2]), np.float64)
        x.reshape(pixels.shape)[...] = pixels
        if (plain.scale != 1).any() or plain.offset.any():
            x *= plain.scale
            x += plain.offset
        total: Floats = (x @ self._matrix.T).T
        return total

    def _whole_alike(self, plain: Plain) -> bool:
        """Whether pixels one after the other give the bits of :class:`FusionKernel`."""

        def both(stored: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            x = np.ascontiguousarray(stored, dtype=np.float64).reshape(len(stored), -1)
            x = x * plain.scale[:, None] + plain.offset[:, None]
            return self._whole(_Numbers(stored, plain)), self._matrix @ x

        return self._same(("float64", plain.stored.shape), plain, both)

    def _same(
        self,
        key: tuple[Any, ...],
        plain: Plain,
        both: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
    ) -> bool:
        """Whether two ways give the same bits of made-up numbers in the shape of a cell."""
        if key not in self._alike:
            bands, rows, cols = plain.stored.shape
            numbers = np.arange(bands * rows * cols, dtype=np.uint32) * np.uint32(2654435761) >> 17
            stored = np.moveaxis(numbers.astype(np.int16).reshape(rows, cols, bands), 2, 0)
            one, other = both(stored)
            self._alike[key] = bool(np.array_equal(one, other))
        return self._alike[key]

    def _room(self, name: str, shape: tuple[int, ...], dtype: Any = np.float32) -> np.ndarray:
        """Memory of this thread, used again for every cell."""
        rooms: dict[str, np.ndarray] = self._own.__dict__
        size = int(np.prod(shape))
        if name not in rooms or rooms[name].size < size:
            rooms[name] = np.empty(size, dtype)
        return rooms[name][:size].reshape(shape)


class _Numbers:
    """Other numbers with the scale and offset of a cell."""

    def __init__(self, stored: np.ndarray, plain: Plain) -> None:
        self.stored, self.scale, self.offset = stored, plain.scale, plain.offset


class _Weights:
    """Weights in float32, in chunks of bands; rows are multiplied by powers of two such that their
    largest weight is near 1."""

    def __init__(self, chunks: list[np.ndarray], power: np.ndarray) -> None:
        self.chunks, self._power = chunks, power

    @classmethod
    def of(cls, matrix: Floats) -> _Weights | None:
        """From (K, S) float64; None where float32 cannot hold them."""
        largest = np.abs(matrix).max(axis=1, initial=0.0)
        if not np.isfinite(largest).all():
            return None
        power = np.frexp(largest)[1]
        scaled = np.ldexp(matrix, -power[:, None])
        if (np.abs(scaled[scaled != 0]) < LEAST).any() or (np.abs(power) > 900).any():
            return None
        short = scaled.astype(np.float32)
        starts = range(0, max(1, short.shape[1]), CHUNK)
        return cls([np.ascontiguousarray(short[:, i : i + CHUNK]) for i in starts], power[:, None])

    def restored(self, total: np.ndarray) -> Floats:
        """(K, n) float64 sums of (K, n) float32 sums of scaled weights."""
        found: Floats = np.ldexp(total.astype(np.float64), self._power)
        return found


def _by_pixel(stored: np.ndarray) -> bool:
    """Whether (S, rows, cols) lie pixel by pixel in memory."""
    step = stored.strides
    return stored.shape[0] > 1 and step[0] == stored.itemsize and step[2] > step[0]


def _in_range(stored: np.ndarray) -> bool:
    """Whether float32 sums of these neither run over nor lose digits; integers never do."""
    if stored.dtype.kind in "iu":
        return True
    largest = max(abs(float(stored.min())), abs(float(stored.max())))
    return largest == 0 or LEAST <= largest <= MOST


def _added(sums: np.ndarray) -> np.ndarray:
    """The sum over the first axis, two by two."""
    parts = list(sums)
    while len(parts) > 1:
        rest = parts[len(parts) // 2 * 2 :]
        parts = [np.add(a, b, out=a) for a, b in zip(parts[::2], parts[1::2], strict=False)] + rest
    total: np.ndarray = parts[0]
    return total
