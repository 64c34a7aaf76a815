"""Moments: all that a quadratic objective needs to know of the pixels. They add up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from bandfuse.errors import MismatchError
from bandfuse.model.fusion import Fusion
from bandfuse.moments.gram import Product, double
from bandfuse.spectral.bands import Floats
from bandfuse.summary import Summarised, Summary, span

FEW = 256
"""Pixels whose mean is near enough to that of all."""


AT_ONCE = 16
"""Variables of a cell that are centred and added up while they are in the processor's cache."""


@dataclass(frozen=True, eq=False, repr=False)
class Moments(Summarised):
    """Count, mean and centred scatter of N vectors of D values. A monoid under ``+``.

    ``mean = Σ z / N``, ``scatter = Σ (z − mean)(z − mean)ᵀ``, both float64.
    Merging follows Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for
    computing sample variances", COMPSTAT 1982.

    >>> m = Moments.of([[0.0], [2.0]]) + Moments.of([[4.0]])
    >>> m.count, float(m.mean[0]), float(m.scatter[0, 0])
    (3, 2.0, 8.0)
    """

    count: int
    mean: Floats
    scatter: Floats

    @classmethod
    def zero(cls, size: int) -> Moments:
        """The moments of no pixels: the identity of ``+``."""
        return cls(0, np.zeros(size), np.zeros((size, size)))

    @classmethod
    def of(cls, pixels: ArrayLike) -> Moments:
        """The moments of an (N, D) array of finite numbers."""
        return cls.of_columns(np.ascontiguousarray(np.asarray(pixels, dtype=np.float64).T))

    @classmethod
    def of_columns(cls, z: Floats, product: Product = double) -> Moments:
        """The moments of a (D, N) array: one contiguous row per variable. The array is not changed.

        Numbers whose squares overflow (beyond 1e154) give a scatter that is not finite.
        """
        sums = Sums.near(z)
        sums.use_up(z.copy(), product)
        return sums.moments()

    @property
    def size(self) -> int:
        """D, the number of variables."""
        return len(self.mean)

    @np.errstate(over="ignore", invalid="ignore")
    def __add__(self, other: Moments) -> Moments:
        if self.size != other.size:
            raise MismatchError(
                "moments to add",
                got=f"{self.size} and {other.size} variables",
                expected="equal numbers",
            )
        if not self.count or not other.count:
            return self if self.count else other
        count = self.count + other.count
        step = other.mean - self.mean
        mean = self.mean + step * (other.count / count)
        lift = np.outer(step, step * (self.count * (other.count / count)))
        return Moments(count, mean, self.scatter + other.scatter + 0.5 * (lift + lift.T))

    def summary(self) -> Summary:
        """Of how many pixels and variables, and their ranges."""
        deviations = np.sqrt(np.maximum(self.variance, 0.0))
        both = (("means", self.mean), ("standard deviations", deviations))
        facts = tuple((name, span(values, "") if self.count else "") for name, values in both)
        return Summary(f"Moments: {self.count} pixels, {self.size} variables", facts)

    @property
    def covariance(self) -> Floats:
        """(D, D) population covariance: scatter / count."""
        return self.scatter / max(1, self.count)

    @property
    def variance(self) -> Floats:
        """(D,) population variances."""
        return np.diag(self.scatter) / max(1, self.count)

    def take(self, variables: Sequence[int]) -> Moments:
        """The moments of these variables, in this order; these ones, if that is how they are."""
        v = np.asarray(variables, dtype=np.intp)
        if np.array_equal(v, np.arange(self.size)):
            return self
        return Moments(self.count, self.mean[v], self.scatter[np.ix_(v, v)])

    def through(self, fusion: Fusion) -> Moments:
        """The moments of ``fusion(z)``: every quadratic score of an output without reading pixels
        again.

        ``mean → M mean + offset``, ``scatter → M scatter Mᵀ`` with M = gain · weight. Needs the
        identity activation."""
        if fusion.activation != "identity":
            raise MismatchError(
                "moments can only pass through linear fusions",
                got=f"activation {fusion.activation!r}",
            )
        return self.mapped(fusion.matrix, fusion.offset)

    def mapped(self, matrix: Floats, offset: Floats) -> Moments:
        """The moments of ``matrix z + offset``."""
        mean = matrix @ self.mean + offset if self.count else np.zeros(len(offset))
        return Moments(self.count, mean, matrix @ self.scatter @ matrix.T)


@dataclass
class Sums:
    """Sums of pixels about a point near their mean, which are quicker to add to than moments.

    ``first = Σ (z − near)``, ``second = Σ (z − near)(z − near)ᵀ``. What the point lies off the mean
    is taken out at the end; it costs digits only where it lies many standard deviations off."""

    point: Floats
    count: int
    first: Floats
    second: Floats

    @classmethod
    def near(cls, z: Floats) -> Sums:
        """Nothing yet, about the mean of a few of these (D, N) pixels."""
        n, size = z.shape[1], z.shape[0]
        with np.errstate(over="ignore", invalid="ignore"):
            point = z[:, :: -(-n // FEW)].mean(axis=1) if n else np.zeros(size)
        return cls(point, 0, np.zeros(size), np.zeros((size, size)))

    @np.errstate(over="ignore", invalid="ignore")
    def use_up(self, z: Floats, product: Product = double) -> None:
        """Add (D, N) pixels, one contiguous row per variable. The array is written over."""
        self.count += z.shape[1]
        ones = np.ones(z.shape[1])
        for low in range(0, len(z), AT_ONCE):
            here = slice(low, low + AT_ONCE)
            z[here] -= self.point[here, None]
            self.first[here] += z[here] @ ones
        self.second += product(z)

    @np.errstate(over="ignore", invalid="ignore")
    def moments(self) -> Moments:
        """What they come to."""
        if not self.count:
            return Moments.zero(len(self.point))
        mean = self.first / self.count
        return Moments(self.count, self.point + mean, self.second - np.outer(self.first, mean))


def total(parts: Iterable[Moments], size: int) -> Moments:
    """The sum of moments, from left to right."""
    result = Moments.zero(size)
    for part in parts:
        result = result + part
    return result
