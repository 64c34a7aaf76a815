"""Fusion: the value that training finds and apply uses. y = activation(gain · (W x) + offset)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bandfuse.errors import MismatchError, shorten
from bandfuse.spectral.bands import Bands, Floats
from bandfuse.spectral.value_units import Values
from bandfuse.summary import Facts, Summarised, Summary, counted, number, span

ACTIVATIONS: dict[str, Callable[[Floats], Floats]] = {
    "identity": lambda y: y,
    "relu": lambda y: np.maximum(y, 0.0),
    "leaky_relu": lambda y: np.where(y >= 0, y, 0.01 * y),
    "sigmoid": lambda y: 0.5 * (1.0 + np.tanh(0.5 * y)),
    "tanh": np.tanh,
    "softplus": lambda y: np.maximum(y, 0.0) + np.log1p(np.exp(-np.abs(y))),
}
"""Activations after the sum, by name (leaky_relu: slope 0.01 below zero, as in torch)."""

MIN_SHARE = 0.5
"""The least share of a row's absolute weight that must be present for ``renormalise``."""


@dataclass(frozen=True)
class NodataPolicy:
    """What an output pixel is worth when inputs are missing.

    ``strict``: an output is valid iff every input with a non-zero weight is valid.
    ``renormalise``: the weights of the present bands are rescaled so that the row keeps its sum, as
    long as they hold at least ``min_share`` of the row's absolute weight and the factor stays
    within 1/min_share; else missing."""

    kind: str = "strict"
    min_share: float = MIN_SHARE

    def __post_init__(self) -> None:
        if self.kind not in ("strict", "renormalise") or not 0.0 < self.min_share <= 1.0:
            raise MismatchError(
                "nodata policy",
                got=f"{self.kind!r} with min_share {self.min_share!r}",
                expected="strict or renormalise, and a share above 0 and up to 1",
            )


@dataclass(frozen=True, eq=False, repr=False)
class Fusion(Summarised):
    """A linear map from B bands to K outputs, with an activation after it.

    ``y_k = activation(gain_k · Σ_b weight[k, b] · x_b + offset_k)``

    Parameters
    ----------
    weight : (K, B) float64, in the physical units of the inputs.
    gain, offset : (K,) float64.
    activation : a name in :data:`ACTIVATIONS`.
    inputs, outputs : band tables of B and K rows. An output with a reason against it comes out
        missing.
    nodata : what missing inputs do.
    inputs_seen, outputs_seen : the values of inputs and outputs in the training; None where nothing
        was remembered.

    Raises
    ------
    MismatchError : shapes that do not fit, numbers that are not finite, an unknown activation.
    """

    weight: Floats
    gain: Floats
    offset: Floats
    inputs: Bands
    outputs: Bands
    activation: str = "identity"
    nodata: NodataPolicy = field(default_factory=NodataPolicy)
    inputs_seen: Values | None = None
    outputs_seen: Values | None = None

    def __post_init__(self) -> None:
        for name in ("weight", "gain", "offset"):
            object.__setattr__(self, name, np.array(getattr(self, name), dtype=np.float64))
        k, b = len(self.outputs), len(self.inputs)
        shapes = {"weight": (k, b), "gain": (k,), "offset": (k,)}
        for name, shape in shapes.items():
            array = getattr(self, name)
            if array.shape != shape:
                raise MismatchError(
                    f"{name} of a fusion", got=f"shape {array.shape}", expected=f"shape {shape}"
                )
            if not np.isfinite(array).all():
                raise MismatchError(
                    f"{name} of a fusion", got="NaN or infinite numbers", expected="finite numbers"
                )
            array.flags.writeable = False
        with np.errstate(over="ignore"):
            if not np.isfinite(self.matrix).all():
                raise MismatchError(
                    "gain times weight of a fusion",
                    got="an infinite number",
                    expected="finite numbers",
                )
        for name, seen, size in (
            ("inputs", self.inputs_seen, b),
            ("outputs", self.outputs_seen, k),
        ):
            if seen is not None and len(seen) != size:
                raise MismatchError(
                    f"values of the {name} of a fusion", got=f"{len(seen)}", expected=f"{size}"
                )
        if self.activation not in ACTIVATIONS:
            raise MismatchError(
                "activation", got=repr(self.activation), expected=f"one of {', '.join(ACTIVATIONS)}"
            )

    @property
    def matrix(self) -> Floats:
        """(K, B) effective weights: gain times weight."""
        effective: Floats = self.gain[:, None] * self.weight
        return effective

    @property
    def support(self) -> list[int]:
        """Positions of the inputs that carry weight in any output: the bands that must be read."""
        return [int(i) for i in np.flatnonzero(np.any(self.matrix != 0, axis=0))]

    def summary(self) -> Summary:
        """Which outputs there are, of which bands."""
        size = f"{counted(len(self.outputs), 'output')} of {counted(len(self.inputs), 'band')}"
        head = ("output", "bands with weight", "from / to", "gain", "offset")
        rows = tuple(map(self._row, range(len(self.outputs))))
        return Summary(f"Fusion: {size}", self.facts(), head, rows)

    def _row(self, k: int) -> tuple[str, ...]:
        """Of one output: how many bands carry weight, where they lie, gain and offset."""
        used = np.flatnonzero(self.matrix[k])
        numbers = number(float(self.gain[k])), number(float(self.offset[k]))
        return self.outputs.name[k], f"{len(used)}", self._where(used), *numbers

    def _where(self, used: NDArray[np.intp]) -> str:
        nm = self.inputs.wavelength_nm[used]
        return span(nm, "nm") or shorten((self.inputs.name[i] for i in used), 3)

    def facts(self) -> Facts:
        """What is said of the fusion in a few lines."""
        rows = (self._row(k) for k in range(len(self.outputs)))
        said = (f"{name} ({counted(int(n), 'band')}, {where})" for name, n, where, _, _ in rows)
        policy = self.nodata
        share = f", at least {policy.min_share:g}" if policy.kind == "renormalise" else ""
        return (
            ("outputs", shorten(said, 3)),
            ("inputs", dict(self.inputs.facts())["wavelengths"] or shorten(self.inputs.name, 6)),
            ("activation", self.activation),
            ("missing inputs", policy.kind + share),
        )

    def __call__(self, x: ArrayLike) -> Floats:
        """Fuse pixels in memory.

        Parameters
        ----------
        x : (N, B) pixels; NaN, infinity or a numpy mask marks a missing value.

        Returns
        -------
        (N, K) float64; NaN where missing.
        """
        pixels = unmasked(x)
        if pixels.ndim != 2 or pixels.shape[1] != len(self.inputs):
            raise MismatchError(
                "pixels to fuse",
                got=f"shape {pixels.shape}",
                expected=f"shape (N, {len(self.inputs)})",
            )
        result: Floats = FusionKernel(self)(np.ascontiguousarray(pixels[:, self.support].T)).T
        return result

    def then(self, outer: Fusion) -> Fusion:
        """The fusion ``x → outer(self(x))`` as one matrix. Needs the identity as this fusion's
        activation."""
        if self.activation != "identity":
            raise MismatchError(
                "only linear fusions can be merged into one",
                got=f"activation {self.activation!r}",
                expected="identity",
            )
        if len(outer.inputs) != len(self.outputs):
            raise MismatchError(
                "fusions do not follow one another",
                got=f"{len(self.outputs)} outputs into {len(outer.inputs)} inputs",
                expected="equal numbers",
            )
        matrix = outer.matrix @ self.matrix
        return replace(
            outer,
            weight=matrix,
            gain=np.ones(len(outer.outputs)),
            offset=outer.matrix @ self.offset + outer.offset,
            inputs=self.inputs,
            inputs_seen=self.inputs_seen,
        )


def unmasked(x: ArrayLike) -> Floats:
    """Numbers in float64, NaN where a numpy mask says that a value is missing.

    >>> unmasked(np.ma.masked_equal([1, -9999], -9999))
    array([ 1., nan])
    """
    values: Floats = np.asarray(x, dtype=np.float64)
    mask = np.ma.getmaskarray(x) if np.ma.isMaskedArray(x) else None
    return values if mask is None or not mask.any() else np.where(mask, np.nan, values)


class Valued(Protocol):
    """The pixels of one cell."""

    def values(self) -> Floats:
        """(S, n) of the support bands, NaN where missing."""
        ...


class FusionKernel:
    """The product of one cell: (S, n) values of the support bands in, (K, n) outputs out, in
    float64.

    The product is taken over whatever is passed, in one call of ``multiply``; callers that need
    identical bits pass whole cells."""

    def __init__(
        self, fusion: Fusion, multiply: Callable[[Floats, Floats], Floats] = np.matmul
    ) -> None:
        support = fusion.support
        self._multiply = multiply
        self._matrix = np.ascontiguousarray(fusion.matrix[:, support])
        self._offset = fusion.offset[:, None]
        self._activate = ACTIVATIONS[fusion.activation]
        self._nodata = fusion.nodata
        self._used = self._matrix != 0
        self._lost = ~fusion.outputs.good

    def __call__(self, x: Floats) -> Floats:
        """(K, n) from (S, n)."""
        with np.errstate(invalid="ignore", over="ignore"):
            total = self._multiply(self._matrix, x)
            if not np.isfinite(total).all():
                total = self._with_missing(x)
            return self.finished(total)

    def of(self, cell: Valued) -> Floats:
        """(K, n) from a cell."""
        return self(cell.values())

    def finished(self, total: Floats) -> Floats:
        """(K, n) outputs from their weighted sums: the offset, then the activation."""
        return self.activated(total + self._offset)

    def activated(self, total: Floats) -> Floats:
        """(K, n) outputs from their sums with the offset. Outputs with a reason against them are
        missing."""
        y = self._activate(total)
        if self._lost.any():
            y[self._lost] = np.nan
        return y

    def _with_missing(self, x: Floats) -> Floats:
        """The product where some values are missing: zeros for these in the sum, then the nodata
        policy."""
        present = np.isfinite(x)
        total = self._multiply(self._matrix, np.where(present, x, 0.0))
        lacking = self._used.astype(np.float64) @ (~present).astype(np.float64) > 0
        if self._nodata.kind == "strict":
            total[lacking] = np.nan
            return total
        factor, enough = self._rescaling(present.astype(np.float64))
        total[lacking] *= factor[lacking]
        total[lacking & ~enough] = np.nan
        return total

    def _rescaling(self, present: Floats) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """(K, n) factors that give the present weights their row's sum, and where these may be
        used."""
        share = (
            np.abs(self._matrix)
            @ present
            / np.maximum(np.abs(self._matrix).sum(1, keepdims=True), 1e-300)
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            factor = self._matrix.sum(1, keepdims=True) / (self._matrix @ present)
        least = self._nodata.min_share
        # A relative 1e-12 keeps a share of exactly min_share on the valid side whatever the order
        # of the sum.
        enough = (share >= least * (1 - 1e-12)) & (factor > 0) & (factor <= (1 + 1e-12) / least)
        return np.where(enough, factor, 0.0), enough
