"""Squares: joint moments of bands and targets, and the squared error of a layout's weights made of
them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bandfuse.moments.moments import Moments
from bandfuse.solve.exact import Quadratic
from bandfuse.solve.layout import Layout
from bandfuse.spectral.bands import Floats


@dataclass(frozen=True, eq=False)
class Split:
    """Moments of the joint vector [bands, targets]: covariances A (B, B) and C = cov(x, t) (B, K),
    var(t) and means."""

    a: Floats
    c: Floats
    var: Floats
    mean: Floats
    target_mean: Floats

    @classmethod
    def of(cls, joint: Moments, n_bands: int) -> Split:
        """From joint moments with the targets last."""
        s = joint.covariance
        b = n_bands
        return cls(s[:b, :b], s[:b, b:], np.diag(s)[b:].copy(), joint.mean[:b], joint.mean[b:])

    def rows(self, rows: Sequence[int]) -> Split:
        """For some of the targets."""
        r = list(rows)
        return replace(self, c=self.c[:, r], var=self.var[r], target_mean=self.target_mean[r])

    def about(self, mean: Floats, target_mean: Floats) -> Split:
        """Second moments about other means, in the place of the covariances: what held-out pixels
        look like from the means of the training."""
        dx, dt = self.mean - mean, self.target_mean - target_mean
        a = np.outer(dx, dx)
        a += self.a
        return Split(a, self.c + np.outer(dx, dt), self.var + dt**2, mean, target_mean)

    def second(self, *, offset: bool) -> Split:
        """As a squared error sees them: centred with an offset, about zero without one."""
        return (
            self
            if offset
            else self.about(np.zeros_like(self.mean), np.zeros_like(self.target_mean))
        )


def squared_error(
    split: Split,
    layout: Layout,
    scale: Floats,
    *,
    offset: bool,
    gain: bool,
    forms: Floats | None = None,
    l1: Floats | None = None,
) -> Quadratic:
    """``Σ_k loss_k / scale_k`` as a quadratic in v, with a gain in u = gain · v, where fixed groups
    ride on the gain.

    Parameters
    ----------
    forms : (K, B, B) penalties on the rows of gain · W, in units of the squared error. l1 : (K, B)
        half the price of their sizes, in the same units; not with fixed groups."""
    s, sums = split.second(offset=offset), layout.multiplicity
    a, b, c = np.zeros((layout.size,) * 2), np.zeros(layout.size), 0.0
    for k in range(layout.shape[0]):
        bend = s.a if forms is None else s.a + forms[k]
        fixed = layout.fixed[k]
        if gain and fixed.any():
            z = layout.member(k) + np.outer(fixed, sums)
            a += z.T @ bend @ z / scale[k]
            b += z.T @ s.c[:, k] / scale[k]
            c += float(s.var[k]) / scale[k]
        else:
            own = layout.project(k, bend)
            own /= scale[k]
            a = own if k == 0 else a + own
            b += layout.gather(k, s.c[:, k] - bend @ fixed) / scale[k]
            c += float(fixed @ bend @ fixed - 2 * fixed @ s.c[:, k] + s.var[k]) / scale[k]
    if l1 is None:
        return Quadratic(a, b, c, sums)
    price = np.sum([layout.gather(k, l1[k]) / scale[k] for k in range(layout.shape[0])], axis=0)
    return Quadratic(a, b, c, sums, price)


@dataclass(frozen=True, eq=False)
class Squares:
    """A regression: ``Σ_k (squared error_k + u F_k uᵀ + 2 l_kᵀ |u|) / scale_k`` over the rows u of
    gain · W.

    ``scale`` (K,); ``forms`` F (K, B, B) and ``l1`` (K, B) are penalties, None for none;
    ``offset``: the level is free."""

    split: Split
    scale: Floats
    offset: bool
    forms: Floats | None = None
    l1: Floats | None = None

    @classmethod
    def of(
        cls, split: Split, *, offset: bool, forms: Floats | None = None, l1: Floats | None = None
    ) -> Squares:
        """In units of the targets' variances; one for a constant target."""
        return cls(split, np.where(split.var > 0, split.var, 1.0), offset, forms, l1)

    def rows(self, rows: Sequence[int]) -> Squares:
        """For some of the outputs."""
        r = list(rows)
        forms, l1 = (None if p is None else p[r] for p in (self.forms, self.l1))
        return Squares(self.split.rows(r), self.scale[r], self.offset, forms, l1)

    def quadratic(self, layout: Layout, *, gain: bool) -> Quadratic:
        """As a quadratic in the weights, or in gain · v."""
        return squared_error(
            self.split,
            layout,
            self.scale,
            offset=self.offset,
            gain=gain,
            forms=self.forms,
            l1=self.l1,
        )

    def losses(self, matrix: Floats) -> Floats:
        """(K,) of gain · W, at the best level."""
        s = self.split.second(offset=self.offset)
        found: Floats = (
            np.einsum("kb,bc,kc->k", matrix, s.a, matrix) - 2 * (matrix * s.c.T).sum(axis=1) + s.var
        )
        if self.forms is not None:
            found += np.einsum("kb,kbc,kc->k", matrix, self.forms, matrix)
        if self.l1 is not None:
            found += 2 * (self.l1 * np.abs(matrix)).sum(axis=1)
        return found
