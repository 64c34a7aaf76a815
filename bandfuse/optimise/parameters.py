"""Parameters: θ → weights v → matrix W, in torch. Gradients reach every parameter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from bandfuse.optimise.members import Members
from bandfuse.solve.exact import sum_plane, unit_scale, whitener
from bandfuse.solve.layout import Layout
from bandfuse.spectral.bands import Floats, Positions


@dataclass(frozen=True, eq=False)
class Plane:
    """Of one set: the places of its p weights, a point (p,) and a basis (p, r) of the directions in
    which they may move."""

    here: Positions
    point: Floats
    basis: Floats


class Linear(nn.Module):
    """``v = point + basis θ`` in every set: no constraint (point 0), or the plane of weights that
    sum to one. All sets are one product of padded bases."""

    point: Tensor
    basis: Tensor
    sets: Positions

    def __init__(self, planes: Sequence[Plane], size: int) -> None:
        super().__init__()
        self._planes = planes
        ranks = [plane.basis.shape[1] for plane in planes]
        wide, deep = max([len(p.here) for p in planes], default=0), max(ranks, default=0)
        point, basis = np.zeros(size), np.zeros((len(planes), wide, deep))
        for s, plane in enumerate(planes):
            point[plane.here] = plane.point
            basis[s, : len(plane.here), : ranks[s]] = plane.basis
        self.register_buffer("point", torch.as_tensor(point))
        self.register_buffer("basis", torch.as_tensor(basis))
        each = [s * deep + np.arange(rank) for s, rank in enumerate(ranks)]
        inner = np.concatenate(each) if each else np.zeros(0, dtype=np.intp)
        self.spread = Members(inner, np.arange(len(inner)), (len(planes) * deep, len(inner)))
        here = [plane.here for plane in planes]
        outer = [s * wide + np.arange(len(h)) for s, h in enumerate(here)]
        empty = np.zeros(0, dtype=np.intp)
        self.collect = Members(
            np.concatenate(here) if here else empty,
            np.concatenate(outer) if outer else empty,
            (size, len(planes) * wide),
        )
        self.sets = np.repeat(np.arange(len(planes)), ranks)

    def forward(self, theta: Tensor) -> Tensor:
        """(…, P) from (…, R)."""
        sets, wide, deep = self.basis.shape
        spread = self.spread(theta).reshape(*theta.shape[:-1], sets, deep, 1)
        moved = (self.basis @ spread).reshape(*theta.shape[:-1], sets * wide)
        found: Tensor = self.point + self.collect(moved)
        return found

    def start(self, v: Floats) -> Floats:
        """The θ whose weights are nearest to v."""
        parts = [_coordinates(plane, v[plane.here]) for plane in self._planes]
        return np.concatenate(parts) if parts else np.zeros(0)


def _coordinates(plane: Plane, v: Floats) -> Floats:
    """(r,) the point of a plane that is nearest to (p,) weights."""
    scale = 1.0 / np.maximum(np.linalg.norm(plane.basis, axis=0), 1e-300)
    offset = v - plane.point
    found: Floats = scale * np.linalg.lstsq(plane.basis * scale, offset, rcond=None)[0]
    return found


class Square(nn.Module):
    """``v = scale · θ²``: non-negative. A weight of zero is reached exactly, at θ = 0."""

    scale: Tensor
    sets: Positions

    def __init__(self, scale: Floats, sets: Positions) -> None:
        super().__init__()
        self._scale, self.sets = scale, sets
        self.register_buffer("scale", torch.as_tensor(scale))

    def forward(self, theta: Tensor) -> Tensor:
        """(…, P) from (…, P)."""
        return self.scale * theta**2

    def start(self, v: Floats) -> Floats:
        """The non-negative θ of these weights."""
        root: Floats = np.sqrt(np.maximum(v, 0.0) / self._scale)
        return root


class Share(nn.Module):
    """``v_p = θ_p² / Σ_q sums_q θ_q²`` within each set: non-negative and summing to one."""

    sums: Tensor
    sets: Positions

    def __init__(self, sets: Positions, sums: Floats) -> None:
        super().__init__()
        self.sets = sets
        self.register_buffer("sums", torch.as_tensor(sums))
        shape, every = int(np.max(sets, initial=-1)) + 1, np.arange(len(sets))
        self.total = Members(sets, every, (shape, len(sets)))
        self.of_set = Members(every, sets, (len(sets), shape))

    def forward(self, theta: Tensor) -> Tensor:
        """(…, P) from (…, P)."""
        square = theta**2
        found: Tensor = square / self.of_set(self.total(self.sums * square))
        return found

    def start(self, v: Floats) -> Floats:
        """The θ of these weights, scaled to a mean square of one in every set."""
        root: Floats = np.sqrt(np.maximum(v, 0.0))
        count = np.bincount(self.sets)
        size = np.sqrt(np.bincount(self.sets, root**2) / np.maximum(count, 1))
        scaled: Floats = root / np.maximum(size, 1e-300)[self.sets]
        return scaled


class Mixed(nn.Module):
    """Sets with constraints of their own: a map for those of each constraint."""

    sets: Positions

    def __init__(self, maps: Sequence[Map], places: Sequence[Positions], sets: Sequence[Positions]):
        super().__init__()
        self.maps, self._places = nn.ModuleList(maps), places
        self._ends = np.cumsum([len(m.sets) for m in maps]).tolist()
        here = np.concatenate(places)
        self.collect = Members(here, np.arange(len(here)), (len(here), len(here)))
        self.sets = np.concatenate([s[m.sets] for m, s in zip(maps, sets, strict=True)])

    def forward(self, theta: Tensor) -> Tensor:
        """(…, P) from (…, R)."""
        parts = torch.tensor_split(theta, self._ends[:-1], dim=-1)
        every = torch.cat([m(part) for m, part in zip(self.maps, parts, strict=True)], -1)
        found: Tensor = self.collect(every)
        return found

    def start(self, v: Floats) -> Floats:
        """The θ of these weights."""
        pairs = zip(self.maps, self._places, strict=True)
        return np.concatenate([m.start(v[here]) for m, here in pairs])  # type: ignore[operator]


Map = Linear | Square | Share | Mixed
"""θ → weights. ``sets`` (R,): the set that each parameter belongs to."""

Metric = Floats
"""(P, P) positive semidefinite: how strongly the loss bends along each weight; scales and whitens
θ. Only what it says within a set counts."""


@dataclass(frozen=True, eq=False)
class Bends:
    """The blocks of a metric: for every set the places of its weights, and how strongly the loss
    bends along them."""

    here: Sequence[Positions]
    block: Sequence[Floats]

    @classmethod
    def of(cls, layout: Layout, metric: Metric) -> Bends:
        """From the whole metric."""
        places = _members_of(layout.sets)
        return cls(places, [metric[np.ix_(here, here)] for here in places])

    def scale(self, size: int) -> Floats:
        """(P,) what gives every weight a unit bend."""
        found = np.ones(size)
        for here, block in zip(self.here, self.block, strict=True):
            found[here] = unit_scale(block)
        return found


def _members_of(sets: Positions) -> list[Positions]:
    """The places of the weights of each set."""
    order = np.argsort(sets, kind="stable")
    return np.split(order, np.cumsum(np.bincount(sets))[:-1]) if len(sets) else []


def _free(layout: Layout, bends: Bends) -> Map:
    planes = [
        Plane(here, np.zeros(len(here)), whitener(block))
        for here, block in zip(bends.here, bends.block, strict=True)
    ]
    return Linear(planes, layout.size)


def _affine(layout: Layout, bends: Bends) -> Map:
    sums, planes = layout.multiplicity, []
    for here, block in zip(bends.here, bends.block, strict=True):
        point, basis = sum_plane(sums[here])
        planes.append(Plane(here, point, basis @ whitener(basis.T @ block @ basis)))
    return Linear(planes, layout.size)


def _nonnegative(layout: Layout, bends: Bends) -> Map:
    return Square(bends.scale(layout.size), layout.sets)


def _simplex(layout: Layout, bends: Bends) -> Map:
    return Share(layout.sets, layout.multiplicity)


def _map_of(layout: Layout, constraints: Sequence[str], bends: Bends) -> Map:
    """The map of a layout whose rows have these constraints, the same within a set."""
    names = list(dict.fromkeys(constraints))
    if len(names) == 1:
        return CONSTRAINTS[names[0]](layout, bends)
    maps, places, numbers, sets = [], [], [], layout.sets
    for name in names:
        rows = [k for k, c in enumerate(constraints) if c == name]
        here, part = layout.params_of(rows), layout.part(rows)
        if not len(here):
            continue
        kept = np.unique(sets[here])
        local = [np.searchsorted(here, bends.here[s]) for s in kept]
        maps.append(CONSTRAINTS[name](part, Bends(local, [bends.block[s] for s in kept])))
        places.append(here)
        numbers.append(kept)
    return Mixed(maps, places, numbers) if maps else CONSTRAINTS[names[0]](layout, bends)


CONSTRAINTS: dict[str, Callable[[Layout, Bends], Map]] = {
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
    not disturb each other. Several *copies* are parameters side by side, along a first axis of all
    three.

    Parameters
    ----------
    layout : which entries are learned.
    constraint : a name in :data:`CONSTRAINTS`, or (K,) names of the rows.
    metric : (P, P) curvature of the loss, for scaling, or its blocks; the identity if not given.
    gain : learn one non-negative gain per set (its square root is the parameter).
    level : (K,) start of the level, learned; None if the output has no offset of its own.
    spread : (K,) unit of the level's parameter: ``level = start + spread · shift``; ones if not
        given.
    copies : how many, or None for one without an axis of its own."""

    fixed: Tensor
    start_level: Tensor
    spread: Tensor

    def __init__(
        self,
        layout: Layout,
        constraint: str | Sequence[str],
        *,
        metric: Metric | Bends | None = None,
        gain: bool = False,
        level: Floats | None = None,
        spread: Floats | None = None,
        copies: int | None = None,
    ) -> None:
        super().__init__()
        self.layout, (n, width) = layout, layout.shape
        names = [constraint] * n if isinstance(constraint, str) else list(constraint)
        self.map = _map_of(layout, names, _bends_of(layout, metric))
        self.register_buffer("fixed", torch.as_tensor(layout.fixed))
        places = layout.row * width + layout.col
        self.place = Members(places, layout.param, (n * width, layout.size))
        self.set_of_row = np.zeros(n, dtype=np.intp)
        for s, rows in enumerate(layout.rows_of_set()):
            self.set_of_row[rows] = s
        n_sets = int(self.set_of_row.max(initial=-1)) + 1
        self.gain_of_row = Members(np.arange(n), self.set_of_row, (n, n_sets))
        self._many = () if copies is None else (copies,)
        self.theta = nn.Parameter(torch.zeros((*self._many, 0), dtype=torch.float64))
        root = torch.ones((*self._many, n_sets), dtype=torch.float64)
        self.root_gain = nn.Parameter(root) if gain else None
        started = np.zeros(n) if level is None else level
        self.register_buffer("start_level", torch.as_tensor(started))
        self.register_buffer("spread", torch.as_tensor(np.ones(n) if spread is None else spread))
        shift = torch.zeros((*self._many, n), dtype=torch.float64)
        self.shift = None if level is None else nn.Parameter(shift)

    def start(self, v: Floats, gain: float | Floats = 1.0) -> Weights:
        """Set the parameters so that the weights are v (as near as the constraint allows): (P,), or
        a row for each copy; ``gain`` is of all sets, or (…, sets)."""
        theta = np.stack([self.map.start(one) for one in v]) if self._many else self.map.start(v)
        self.theta = nn.Parameter(torch.as_tensor(theta))
        if self.root_gain is not None:
            roots = np.broadcast_to(np.sqrt(np.maximum(gain, 0.0)), self.root_gain.shape)
            self.root_gain = nn.Parameter(torch.as_tensor(roots.copy()))
        return self

    def vector(self) -> Tensor:
        """(P,) the constrained weights."""
        value: Tensor = self.map(self.theta)
        return value

    def forward(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """W (K, B), gain (K,), level (K,) or None."""
        entries = self.place(self.vector())
        w = self.fixed + entries.reshape(*entries.shape[:-1], *self.fixed.shape)
        level = None if self.shift is None else self.start_level + self.spread * self.shift
        if self.root_gain is None:
            return w, w.new_ones(w.shape[:-1]), level
        return w, self.gain_of_row(self.root_gain**2), level


def _bends_of(layout: Layout, metric: Metric | Bends | None) -> Bends:
    if isinstance(metric, Bends):
        return metric
    if metric is not None:
        return Bends.of(layout, metric)
    places = _members_of(layout.sets)
    return Bends(places, [np.eye(len(here)) for here in places])
