"""Stored: the product of a cell as its pixels are stored, block by block.

A *block* is a few pixels of a cell whose values in float64 fit the cache of a core next to the
weights. Stored numbers are cast into a block, multiplied, and forgotten: nothing as large as a cell
is copied. Blocks have one size for all cells of a fusion, outputs are filled up to a multiple of
:data:`OUTPUTS`, and what is filled up is not looked at. So BLAS always sees one shape.

**The promise.** ``--precision auto`` may add up the terms of ``y = Σ w_b x_b + o`` in any order,
and takes the scale s of stored numbers into the weights: ``w_b (s_b n_b) = (w_b s_b) n_b``. Its
error is at most :data:`PROMISE` ``· (Σ |w_b x_b| + |o|)``, beside half a unit in the last place of
the output, for all weights and values. The proof: let u = 2⁻⁵³. With float64 arithmetic each
operation gives its exact result times (1 + δ), |δ| ≤ u. The stored n_b is exact in float64
(integers of 64 bits may have one rounding more). A term passes one rounding in w_b s_b, one in the
product with n_b, and at most S in the additions of S bands and of o, whatever their order, and
fewer where a product is added without being rounded (FMA). So the computed sum is ``Σ w_b x_b Π(1 +
δ)`` with at most S + 2 factors each, and its error is at most ``γ (Σ |w_b x_b| + |o|)`` with ``γ =
(S + 2) u / (1 - (S + 2) u)`` (N. J. Higham, Accuracy and Stability of Numerical Algorithms, 2nd
edition, lemma 3.1 and section 4.2). That is below 4 · 10⁻⁷ for all S up to 3 · 10⁹, and 2.6 · 10⁻¹⁴
for 224 bands. One more rounding, to the type of the output, adds half a unit in the last place.
Sums that run over are made again of values; terms below 10⁻³⁰⁸ lose digits, which is far below what
an output of float32 or of integers holds (scales go into the weights only if all of these stay
above :data:`LEAST`). In float32 the promise cannot be kept at less cost: with u = 2⁻²⁴ it allows
six roundings, so that five bands at most could be added up at once, and adding these sums in
float64 takes longer than all products in float64.

``--precision float64`` gives the bits of :class:`FusionKernel` over values: blocks are used where
BLAS makes the same bits of both. BLAS takes its steps by the shape and never by the values, so that
one look at a shape tells it. In the same way it is found whether pixels that are stored one after
the other can be multiplied as they lie, (n, S) by (S, K); else they are turned."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import numpy as np

from bandfuse.model.fusion import Fusion, FusionKernel, Valued
from bandfuse.model.scratch import Scratch
from bandfuse.spectral.bands import Floats

PROMISE = 4e-7
"""The error of a sum, as a share of the sum of sizes."""

OUTPUTS = 8
"""Rows of weights are filled up to a multiple of this, as BLAS has other steps for what is left."""

MOST, FEWEST = 256, 32
"""Pixels of a block."""

SMALL = 10**6
"""Multiplications up to which OpenBLAS does not copy what it multiplies. Blocks have fewer where
that leaves enough pixels."""

LEAST = 1e-280
"""The least size of a weight that a scale is part of."""


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


class StoredKernel(FusionKernel):
    """Fuses cells as they are stored. Where values are missing, or sums run over, it is
    :class:`FusionKernel`.

    ``precision``: ``auto`` for what this module promises; ``float64`` for the bits of
    :class:`FusionKernel`."""

    def __init__(self, fusion: Fusion, precision: str = "float64") -> None:
        super().__init__(fusion)
        self._any_order = precision == "auto"
        self._products: dict[tuple[bytes, bytes], _Product] = {}

    def of(self, cell: Valued) -> Floats:
        """(K, n) from a cell. They last until this thread fuses its next cell."""
        plain = getattr(cell, "plain", None)
        if plain is None or not self._may(plain.stored):
            return self(cell.values())
        with np.errstate(invalid="ignore", over="ignore", under="ignore"):
            total = self._product(plain)(plain.stored)
            if not np.isfinite(total).all():
                return self(cell.values())
            total += self._offset
            return self.activated(total)

    def _may(self, stored: np.ndarray) -> bool:
        """Whether blocks may be used for a cell of this shape."""
        if not stored.size:
            return False
        return self._any_order or _as_whole(*self._matrix.shape, stored[0].size)

    def _product(self, plain: Plain) -> _Product:
        """The weights for stored numbers of this scale and offset."""
        key = plain.scale.tobytes(), plain.offset.tobytes()
        if key not in self._products:
            scaled = self._matrix * plain.scale
            size = np.abs(scaled[self._used])
            taken = self._any_order and not plain.offset.any() and np.isfinite(scaled).all()
            if taken and (size >= LEAST).all():
                self._products[key] = _Product(scaled)
            else:
                self._products[key] = _Product(self._matrix, plain.scale, plain.offset)
        return self._products[key]


class _Product:
    """(K, S) weights, made ready for blocks of ``pixels`` each. ``scale``, ``offset``: of stored
    numbers, where the weights do not hold them."""

    def __init__(
        self, matrix: Floats, scale: Floats | None = None, offset: Floats | None = None
    ) -> None:
        self.outputs, bands = matrix.shape
        rows = -(-self.outputs // OUTPUTS) * OUTPUTS
        self.pixels = _pixels_at_once(rows, bands)
        self._rows = np.zeros((rows, bands))
        self._rows[: self.outputs] = matrix
        self._columns = np.ascontiguousarray(self._rows.T)
        self._scale = None if scale is None or (scale == 1).all() else scale
        self._offset = None if offset is None or not offset.any() else offset
        self._room = Scratch()

    def __call__(self, stored: np.ndarray) -> Floats:
        """(K, n) weighted sums of (S, rows, cols); they last until this thread's next product."""
        if by_pixel(stored) and either_way(*self._rows.shape, self.pixels):
            return self.of_pixels(stored)
        return self.of_bands(stored)

    def of_bands(self, stored: np.ndarray) -> Floats:
        """(K, n) of pixels in any order, in memory of this thread."""
        bands = len(self._columns)
        room, sums = (
            self._room("x", bands, self.pixels),
            self._room("y", len(self._rows), self.pixels),
        )
        total = self._room("total", self.outputs, stored[0].size)
        for piece in pieces(stored, self.pixels):
            x = room[:, : piece.size]
            np.copyto(x.reshape(piece.stored.shape), piece.stored)
            if self._scale is not None:
                x *= self._scale[:, None]
            if self._offset is not None:
                x += self._offset[:, None]
            np.matmul(self._rows, room, out=sums)
            total[:, piece.place] = sums[: self.outputs, : piece.size]
        return total

    def of_pixels(self, stored: np.ndarray) -> Floats:
        """(K, n) of pixels that are stored one after the other, in memory of this thread."""
        bands = len(self._columns)
        room, sums = (
            self._room("x", self.pixels, bands),
            self._room("y", self.pixels, len(self._rows)),
        )
        total = self._room("total", self.outputs, stored[0].size)
        for piece in pieces(stored, self.pixels):
            x = room[: piece.size]
            pixels = piece.stored.transpose(1, 2, 0)
            np.copyto(x.reshape(pixels.shape), pixels)
            if self._scale is not None:
                x *= self._scale
            if self._offset is not None:
                x += self._offset
            np.matmul(room, self._columns, out=sums)
            total[:, piece.place] = sums[: piece.size, : self.outputs].T
        return total


@dataclass(frozen=True, eq=False)
class Piece:
    """The (S, h, w) pixels of one block, and their ``place`` in the cell, row by row."""

    stored: np.ndarray
    place: slice

    @property
    def size(self) -> int:
        """How many pixels there are."""
        return int(self.place.stop - self.place.start)


def pieces(stored: np.ndarray, most: int) -> Iterator[Piece]:
    """(S, rows, cols) in blocks of at most so many pixels: parts of a row, or whole rows."""
    rows, cols = stored.shape[1:]
    high, wide = max(1, most // cols), min(most, cols)
    for row in range(0, rows, high):
        for col in range(0, cols, wide):
            some = stored[:, row : row + high, col : col + wide]
            start = row * cols + col
            yield Piece(some, slice(start, start + some[0].size))


def _pixels_at_once(outputs: int, bands: int) -> int:
    """Pixels of a block."""
    most = SMALL // max(1, outputs * bands)
    return MOST if most < FEWEST else min(MOST, 2 ** (most.bit_length() - 1))


def by_pixel(stored: np.ndarray) -> bool:
    """Whether (S, rows, cols) lie pixel by pixel in memory."""
    step = stored.strides
    return stored.shape[0] > 1 and step[0] == stored.itemsize and step[2] > step[0]


def made_up(*shape: int) -> Floats:
    """Numbers of all digits, between -1 and 1."""
    numbers = np.arange(int(np.prod(shape)), dtype=np.float64) * np.sqrt(2)
    found: Floats = (2 * (numbers % 1) - 1).reshape(shape)
    return found


@cache
def either_way(outputs: int, bands: int, pixels: int) -> bool:
    """Whether a block gives the same bits pixel by pixel and band by band."""
    product = _Product(made_up(outputs, bands))
    stored = made_up(bands, 1, pixels)
    turned = np.ascontiguousarray(stored.transpose(1, 2, 0)).transpose(2, 0, 1)
    by_band = product.of_bands(stored).copy()
    return bool(np.array_equal(by_band, product.of_pixels(turned)))


@cache
def _as_whole(outputs: int, bands: int, pixels: int) -> bool:
    """Whether blocks give the bits of one product of a cell of so many pixels."""
    matrix, stored = made_up(outputs, bands), made_up(bands, 1, pixels)
    whole = matrix @ stored.reshape(bands, pixels)
    return bool(np.array_equal(_Product(matrix).of_bands(stored), whole))
