"""Parameters: θ → weights v → matrix W, in torch. Gradients reach every parameter."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from bandfuse.solve.exact import sum_plane, unit_scale, whitener
from bandfuse.solve.layout import Layout
from bandfuse.spectral.bands import Floats, Positions


class Linear(nn.Module):
    """``v = point + basis θ``: no constraint (point 0), or the plane of weights that sum to one."""

    point: Tensor
    basis: Tensor

    def __init__(self, point: Floats, basis: Floats) -> None:
        super().__init__()
        self.register_buffer("point", torch.as_tensor(point))
        self.register_buffer("basis", torch.as_tensor(basis))

    def forward(self, theta: Tensor) -> Tensor:
        """(P,) from (R,)."""
        return self.point + self.basis @ theta

    def start(self, v: Floats) -> Floats:
        """The θ whose weights are nearest to v."""
        basis = self.basis.numpy()
        scale = 1.0 / np.maximum(np.linalg.norm(basis, axis=0), 1e-300)
        found: Floats = (
            scale * np.linalg.lstsq(basis * scale, v - self.point.numpy(), rcond=None)[0]
        )
        return found


class Square(nn.Module):
    """``v = scale · θ²``: non-negative. A weight of zero is reached exactly, at θ = 0."""

    scale: Tensor

    def __init__(self, scale: Floats) -> None:
        super().__init__()
        self.register_buffer("scale", torch.as_tensor(scale))

    def forward(self, theta: Tensor) -> Tensor:
        """(P,) from (P,)."""
        return self.scale * theta**2

    def start(self, v: Floats) -> Floats:
        """The non-negative θ of these weights."""
        root: Floats = np.sqrt(np.maximum(v, 0.0) / self.scale.numpy())
        return root


class Share(nn.Module):
    """``v_p = θ_p² / Σ_q sums_q θ_q²`` within each set: non-negative and summing to one."""

    sets: Tensor
    sums: Tensor

    def __init__(self, sets: Positions, sums: Floats) -> None:
        super().__init__()
        self.register_buffer("sets", torch.as_tensor(sets, dtype=torch.int64))
        self.register_buffer("sums", torch.as_tensor(sums))
        self.n_sets = int(np.max(sets, initial=-1)) + 1

    def forward(self, theta: Tensor) -> Tensor:
        """(P,) from (P,)."""
        square = theta**2
        size = square.new_zeros(self.n_sets).index_add(0, self.sets, self.sums * square)
        return square / size[self.sets]

    def start(self, v: Floats) -> Floats:
        """The θ of these weights, scaled to a mean square of one."""
        root: Floats = np.sqrt(np.maximum(v, 0.0))
        scaled: Floats = root / max(float(np.linalg.norm(root)), 1e-300) * np.sqrt(len(root))
        return scaled


Map = Linear | Square | Share
Metric = Floats
"""(P, P) positive semidefinite: how strongly the loss bends along each weight; scales and whitens
θ."""


def _block_whitener(layout: Layout, metric: Metric) -> Floats:
    """A whitening basis per set, side by side."""
    sets = layout.sets
    columns = []
    for s in range(int(sets.max(initial=-1)) + 1):
        here = np.flatnonzero(sets == s)
        local = whitener(metric[np.ix_(here, here)])
        wide = np.zeros((layout.size, local.shape[1]))
        wide[here] = local
        columns.append(wide)
    return np.hstack(columns) if columns else np.zeros((0, 0))


def _free(layout: Layout, metric: Metric) -> Map:
    return Linear(np.zeros(layout.size), _block_whitener(layout, metric))


def _affine(layout: Layout, metric: Metric) -> Map:
    sets, sums = layout.sets, layout.multiplicity
    point, columns = np.zeros(layout.size), []
    for s in range(int(sets.max(initial=-1)) + 1):
        here = np.flatnonzero(sets == s)
        point[here], basis = sum_plane(sums[here])
        wide = np.zeros((layout.size, len(here) - 1))
        wide[here] = basis
        columns.append(wide @ whitener(basis.T @ metric[np.ix_(here, here)] @ basis))
    return Linear(point, np.hstack(columns) if columns else np.zeros((0, 0)))


def _nonnegative(layout: Layout, metric: Metric) -> Map:
    return Square(unit_scale(metric))


def _simplex(layout: Layout, metric: Metric) -> Map:
    return Share(layout.sets, layout.multiplicity)


CONSTRAINTS: dict[str, Callable[[Layout, Metric], Map]] = {
    "free": _free,
    "affine": _affine,
    "nonnegative": _nonnegative,
    "simplex": _simplex,
}
"""Constraints per set of weights, by name; each builds its map θ → v."""


class Weights(nn.Module):
    """The learned parameters of a fusion: θ for the weights, a gain per set, a level per row.

    ``forward()`` gives ``(W (K, B), gain (K,), level (K,))``. The *level* is the output at the mean
    pixel, so that ``y = gain · W (x − mean) + level``: in this form the level and the weights do
    not disturb each other.

    Parameters
    ----------
    layout : which entries are learned.
    constraint : a name in :data:`CONSTRAINTS`.
    metric : (P, P) curvature of the loss, for scaling; the identity if not given.
    gain : learn one non-negative gain per set (its square root is the parameter).
    level : (K,) start of the level, learned; None if the output has no offset of its own.
    spread : (K,) unit of the level's parameter: ``level = start + spread · shift``; ones if not
        given."""

    fixed: Tensor
    row: Tensor
    col: Tensor
    param: Tensor
    set_of_row: Tensor
    start_level: Tensor
    spread: Tensor

    def __init__(
        self,
        layout: Layout,
        constraint: str,
        *,
        metric: Metric | None = None,
        gain: bool = False,
        level: Floats | None = None,
        spread: Floats | None = None,
    ) -> None:
        super().__init__()
        self.layout = layout
        self.map = CONSTRAINTS[constraint](
            layout, np.eye(layout.size) if metric is None else metric
        )
        self.register_buffer("fixed", torch.as_tensor(layout.fixed))
        self.register_buffer("row", torch.as_tensor(layout.row, dtype=torch.int64))
        self.register_buffer("col", torch.as_tensor(layout.col, dtype=torch.int64))
        self.register_buffer("param", torch.as_tensor(layout.param, dtype=torch.int64))
        set_of_row = np.zeros(layout.shape[0], dtype=np.int64)
        for s, rows in enumerate(layout.rows_of_set()):
            set_of_row[rows] = s
        self.register_buffer("set_of_row", torch.as_tensor(set_of_row))
        self.theta = nn.Parameter(torch.zeros(0, dtype=torch.float64))
        root = torch.ones(int(set_of_row.max(initial=-1)) + 1, dtype=torch.float64)
        self.root_gain = nn.Parameter(root) if gain else None
        n = layout.shape[0]
        self.register_buffer(
            "start_level", torch.as_tensor(np.zeros(n) if level is None else level)
        )
        self.register_buffer("spread", torch.as_tensor(np.ones(n) if spread is None else spread))
        self.shift = None if level is None else nn.Parameter(torch.zeros(n, dtype=torch.float64))

    def start(self, v: Floats, gain: float = 1.0) -> Weights:
        """Set the parameters so that the weights are v (as near as the constraint allows)."""
        self.theta = nn.Parameter(torch.as_tensor(self.map.start(v)))
        if self.root_gain is not None:
            self.root_gain = nn.Parameter(torch.full_like(self.root_gain, max(gain, 0.0) ** 0.5))
        return self

    def vector(self) -> Tensor:
        """(P,) the constrained weights."""
        value: Tensor = self.map(self.theta)
        return value

    def forward(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """W (K, B), gain (K,), level (K,) or None."""
        w = self.fixed.index_put((self.row, self.col), self.vector()[self.param], accumulate=True)
        level = None if self.shift is None else self.start_level + self.spread * self.shift
        if self.root_gain is None:
            return w, w.new_ones(w.shape[0]), level
        return w, (self.root_gain**2)[self.set_of_row], level
