"""Gram: z zᵀ of centred pixels, where a training pass spends its time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bandfuse.spectral.bands import Floats

Product = Callable[[Floats], Floats]
"""(D, n) float64 to the (D, D) float64 sums of products over its columns. Several threads may call
it at once."""


def double(z: Floats) -> Floats:
    """The product in float64."""
    result: Floats = z @ z.T
    return result


def single(z: Floats) -> Floats:
    """The product in float32, of numbers between about 1e-15 and 1e15 in size: half the time, seven
    digits."""
    short = z.astype(np.float32)
    return (short @ short.T).astype(np.float64)


def apart(product: Product, parts: Sequence[Sequence[int]]) -> Product:
    """The products of variables that share one of these parts; zero elsewhere, where nobody is to
    look."""
    places = [np.asarray(part, dtype=np.intp) for part in parts]

    def products(z: Floats) -> Floats:
        found = np.zeros((len(z), len(z)))
        for here in places:
            found[np.ix_(here, here)] = product(z[here])
        return found

    return products


TOLERANCE = 1e-4
"""The most that float32 products may change weights by, relative to their size."""


MANY = 32
"""Bands from which on products take long enough for their precision to be worth a thought."""


def enough(covariance: Floats) -> str:
    """``float32`` if weights from bands with this covariance keep within :data:`TOLERANCE`, else
    ``float64``.

    A product of n pixels in float32 is wrong by some eps = 2⁻²³ of √(S_ii S_jj). The errors of D²
    such entries have a norm of about eps · √D beside correlations R, and least-squares weights
    change by that over the smallest eigenvalue of R. It counts ten times: ``10 · eps · √D /
    λ_min(R) ≤ TOLERANCE``. Less than :data:`MANY` bands get float64."""
    spread = np.sqrt(np.diag(covariance))
    if len(spread) < MANY or not np.isfinite(spread).all() or not (spread > 0).all():
        return "float64"
    if spread.min() < 1e-15 or spread.max() > 1e15:
        return "float64"
    least = float(np.linalg.eigvalsh(covariance / np.outer(spread, spread))[0])
    error = 10 * float(np.finfo(np.float32).eps) * np.sqrt(len(spread))
    return "float32" if error <= TOLERANCE * least else "float64"


def product_of(precision: str) -> Product:
    """The product for a precision, ``float64`` or ``float32``, in numpy."""
    return single if precision == "float32" else double


CPU = "cpu"
"""The device whose products are numpy's; ``cpu:0`` is that of torch."""


@dataclass(frozen=True)
class Gram:
    """Where and how a pass computes its products.

    ``parts``: variables that meet each other, for :func:`apart`; empty if all do. ``device``:
    :data:`CPU`, or the name of a torch device."""

    precision: str = "float64"
    parts: tuple[tuple[int, ...], ...] = ()
    device: str = CPU

    @cached_property
    def product(self) -> Product:
        """What numpy computes."""
        product = product_of(self.precision)
        return apart(product, self.parts) if self.parts else product
