"""Fit: minimise an objective over the weights of a layout.

Outputs that share no weight, and starts, are problems of one batch: they are minimised side by
side, each to its own end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bandfuse.errors import ConfigError
from bandfuse.optimise.descent import SCHEDULES, Descent, Nowhere, Pace, Path, Slot, Task
from bandfuse.optimise.doors import fine, moved, numbers, place
from bandfuse.optimise.members import Members
from bandfuse.optimise.objectives.base import Objective
from bandfuse.optimise.parameters import Bends, Weights
from bandfuse.optimise.quasinewton import lbfgs
from bandfuse.progress import Progress, Ticks, silent
from bandfuse.solve.fit_result import (
    DEFAULT_LR,
    DEFAULT_SCHEDULE,
    DEFAULT_STEPS,
    GAINED,
    Fit,
    Settings,
)
from bandfuse.solve.layout import Layout
from bandfuse.solve.starts import feasible, initial
from bandfuse.spectral.bands import Bands, Floats

Slots = Callable[[str], Slot]
"""Where the descents of a fit keep their state, by the name of the part."""


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums of one thread have the same bits on every run. What is shared among threads is cut into
    chunks that do not depend on their number."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def fit(
    layout: Layout,
    objective: Objective,
    bands: Bands,
    mean: Floats,
    level: Floats | None,
    settings: Settings,
    progress: Progress = silent,
    slots: Slots = lambda name: Nowhere(),
    *,
    constraints: Sequence[str] | None = None,
) -> Fit:
    """Minimise the objective over everything that the layout leaves open.

    Parameters
    ----------
    layout : K × B, over the same B bands as the moments of the objective.
    bands, mean : the table and the mean of these bands.
    level : (K,) where the outputs' level starts, or None to fit without offset.
    slots : where descents keep what they need to go on after an interruption.
    constraints : (K,) the constraint of every row, where they are not all that of the settings.
    """
    every = list(range(layout.shape[0]))
    names = [settings.constraint] * len(every) if constraints is None else list(constraints)
    groups = layout.rows_of_set() if objective.separable else [every]
    with _one_thread():
        parts = [
            _part(layout, objective, rows, replace(settings, constraint=names[rows[0]]), bands)
            for rows in groups
        ]
        batch = _Batch(layout, objective, names, parts, level, settings)
        ticks = Ticks(
            progress, parts=1, steps=_steps(settings), label=f"fit ({settings.optimizer})"
        )
        module, paths = batch.minimised(ticks, slots("0"))
        ticks.end_part()
        return batch.result(module, paths, mean)


@dataclass(frozen=True, eq=False)
class _Part:
    """Outputs that share weights, or all of an objective of several.

    ``best``: the weights of the optimum with their gain, where they are known. ``exact``: it is
    that of a linear problem, and the training begins there, at the level that belongs to it."""

    rows: list[int]
    layout: Layout
    objective: Objective
    settings: Settings
    bands: Bands
    best: tuple[Floats, float] | None
    exact: bool

    @property
    def several(self) -> bool:
        """Whether more than one start may find better weights."""
        return self.best is None and not self.objective.n_pixels and self.layout.size > 0


def _part(
    layout: Layout, objective: Objective, rows: list[int], settings: Settings, bands: Bands
) -> _Part:
    own = layout.part(rows)
    settings = replace(settings, gain=settings.gain and own.size > 0)
    part = objective.part(rows)
    best = part.exact(own, settings.constraint, gain=settings.gain)
    quick = settings.optimizer == "lbfgs" and settings.init == "auto"
    begun = best is not None and (quick or settings.init == "least-squares")
    exact = begun and part.quadratic(own, gain=settings.gain) is not None
    return _Part(rows, own, part, settings, bands, best, exact)


def _start(part: _Part, number: int) -> tuple[Floats, float]:
    """Initial weights and gain; starts after the first are scattered around its weights."""
    layout, objective, settings, best = part.layout, part.objective, part.settings, part.best
    name = settings.init
    if name == "auto":
        name = "least-squares" if best is not None and settings.optimizer == "lbfgs" else "uniform"
    if name == "least-squares":
        if best is None:
            raise ConfigError(
                "init least-squares needs an objective with an exact solution",
                got="a reconstruction or an activation",
                expected="regression with the identity activation",
                remedy="Use --init uniform.",
            )
        return best
    v = initial(name, layout, part.bands, settings.seed)
    if (
        settings.init == "auto"
        and settings.constraint in ("free", "nonnegative")
        and not layout.fixed.any()
    ):
        v = v * objective.start_scale(layout.matrix(v))
    if not objective.separable:
        # Two outputs of one group that start alike would stay alike.
        v = v * (1 + 0.1 * np.random.default_rng(settings.seed).standard_normal(len(v)))
    if number:
        v = v * (1 + np.random.default_rng([settings.seed, number]).standard_normal(len(v)))
    return feasible(v, layout, settings.constraint), 1.0


@dataclass(frozen=True, eq=False)
class _Batch:
    """All parts from all starts. Problem ``start · G + g`` is part g of G from one start."""

    layout: Layout
    objective: Objective
    constraints: list[str]
    parts: list[_Part]
    level: Floats | None
    settings: Settings

    @property
    def starts(self) -> int:
        """How many starts there are of the parts that need several."""
        return max(1, self.settings.starts) if any(p.several for p in self.parts) else 1

    @property
    def device(self) -> torch.device:
        """Where torch computes."""
        return torch.device(self.settings.device)

    def module(self) -> Weights:
        """The parameters of all problems at their starts, on the CPU."""
        module = Weights(
            self.layout,
            self.constraints,
            metric=self._bends(),
            gain=any(part.settings.gain for part in self.parts),
            level=self.level,
            spread=self.objective.spread,
            copies=self.starts,
        )
        v = np.zeros((self.starts, self.layout.size))
        gain = np.ones((self.starts, int(module.set_of_row.max(initial=-1)) + 1))
        for part in self.parts:
            here, sets = self.layout.params_of(part.rows), module.set_of_row[part.rows]
            for number in range(self.starts):
                v[number, here], gain[number, sets] = _start(part, number if part.several else 0)
        return module.start(v, gain)

    def _bends(self) -> Bends:
        """How the loss bends along the weights of each set."""
        sets = self.layout.sets
        count = int(sets.max(initial=-1)) + 1
        here, blocks = [np.flatnonzero(sets == s) for s in range(count)], [np.zeros((0, 0))] * count
        for part in self.parts:
            metric, params = part.objective.metric(part.layout), self.layout.params_of(part.rows)
            for s in np.unique(sets[params]):
                place_in = np.searchsorted(params, here[s])
                blocks[s] = metric[np.ix_(place_in, place_in)]
        return Bends(here, blocks)

    def task(self, module: Weights) -> Task:
        """The sums of the relative losses of each problem, as a function of a batch of pixels, on
        the device of the module."""
        device, dtype = module.theta.device, module.theta.dtype
        objective = self.objective.to(device, dtype)
        held = objective.held
        scale = place(torch.as_tensor(self.objective.scale), device, dtype)
        add = moved(self._sums(), device, dtype)

        def losses(index: Tensor | None) -> Tensor:
            seen = objective if index is None else objective.batch(index)
            relative: Tensor = add(seen.losses(*module()) / scale)
            return relative.reshape(-1)

        def held_losses() -> Tensor:
            assert held is not None
            relative: Tensor = add(held.losses(*module()) / scale)
            return relative.reshape(-1)

        parameters = [p for p in module.parameters() if p.numel()]
        return Task(
            parameters,
            losses,
            [o for o in self._owners(module) if o.size],
            self.starts * len(self.parts),
            None if held is None else held_losses,
            objective.n_pixels,
            n_weights=int(module.theta.numel() > 0),
        )

    def _sums(self) -> Members:
        """From losses to those of parts."""
        count = len(self.objective.scale)
        rows = [np.arange(count)]
        if count == self.layout.shape[0] and len(self.parts) > 1:
            rows = [np.array(part.rows, dtype=np.intp) for part in self.parts]
        to = np.repeat(np.arange(len(rows)), [len(r) for r in rows])
        return Members(to, np.concatenate(rows), (len(self.parts), count))

    def _owners(self, module: Weights) -> list[NDArray[np.intp]]:
        """For every parameter of the module the problems of its entries; -1 where there is nothing
        to do."""
        part_of_row = np.zeros(self.layout.shape[0], dtype=np.intp)
        for g, part in enumerate(self.parts):
            part_of_row[part.rows] = g
        part_of_set = np.zeros(int(module.set_of_row.max(initial=-1)) + 1, dtype=np.intp)
        part_of_set[module.set_of_row] = part_of_row
        start = np.arange(self.starts)[:, None]
        busy = np.array([[s == 0 or p.several for p in self.parts] for s in range(self.starts)])
        learns = np.array([part.settings.gain for part in self.parts], dtype=bool)

        def owners(part: NDArray[np.intp], *, gain: bool = False) -> NDArray[np.intp]:
            used = busy[start, part] & (learns[part] | (not gain))
            return np.where(used, start * len(self.parts) + part, -1)

        found = {
            "theta": owners(part_of_set[module.map.sets]),
            "root_gain": owners(part_of_set, gain=True),
            "shift": owners(part_of_row),
        }
        return [found[name] for name, _ in module.named_parameters()]

    def minimised(self, ticks: Ticks, slot: Slot) -> tuple[Weights, list[Path]]:
        """Run the optimizer; a history holds the relative loss before each step, and the last
        one."""
        settings = self.settings
        for what, name, known in (
            ("optimizer", settings.optimizer, OPTIMIZERS),
            ("schedule", settings.schedule or "constant", SCHEDULES),
        ):
            if name not in known:
                raise ConfigError(what, got=repr(name), expected=f"one of {', '.join(known)}")
        device = self.device
        module = moved(self.module(), device, fine(device))
        task = self.task(module)
        with torch.no_grad():
            first = numbers(task.losses(None))
        paths = [Path([], None, 0)] * task.count
        if task.parameters and settings.steps != 0 and any((o >= 0).any() for o in task.owners):
            paths = OPTIMIZERS[settings.optimizer](task, settings, ticks, slot)
        paths = [
            replace(p, history=[float(f), *p.history]) for p, f in zip(paths, first, strict=True)
        ]
        wrong = [path for path in paths if not np.isfinite(path.history[-1])]
        if wrong:
            raise ConfigError(
                "training diverged",
                got=f"a loss that is not finite after {len(wrong[0].history) - 1} steps",
                remedy="Lower --lr, or use --optimizer lbfgs.",
            )
        return module, paths

    def result(self, module: Weights, paths: list[Path], mean: Floats) -> Fit:
        """What the best start of each part found."""
        with torch.no_grad():
            weight, gain, level = (None if t is None else numbers(t) for t in module())
        assert weight is not None
        assert gain is not None
        ends = [self._ends(g, paths) for g in range(len(self.parts))]
        start = np.zeros(self.layout.shape[0], dtype=np.intp)
        for part, losses in zip(self.parts, ends, strict=True):
            start[part.rows] = np.argmin(losses)
        every = np.arange(len(start))
        level = None if level is None else level[start, every]
        weight, gain, level = self._bright(weight[start, every], gain[start, every], level)
        last = [paths[np.argmin(e) * len(ends) + g] for g, e in enumerate(ends)]
        fit = Fit(
            weight,
            gain,
            np.zeros(len(gain)),
            self._losses(weight, gain, level),
            self._optimum(),
            self.objective.scale,
            0,
            [(part.rows, path.history) for part, path in zip(self.parts, last, strict=True)],
            [
                (part.rows, path.epoch, path.epochs)
                for part, path in zip(self.parts, last, strict=True)
                if path.epoch is not None
            ],
            [(p.rows, e) for p, e in zip(self.parts, ends, strict=True) if len(e) > 1],
        )
        fit = self._or_solutions(fit)
        steps = max(len(losses) - 1 for _, losses in fit.history)
        if level is None:
            return replace(fit, steps=steps)
        offset = level - fit.gain * (fit.weight @ mean)
        return replace(fit, steps=steps, offset=offset)

    def _ends(self, number: int, paths: list[Path]) -> list[float]:
        """The losses at which the starts of a part ended."""
        count = self.starts if self.parts[number].several else 1
        return [paths[s * len(self.parts) + number].history[-1] for s in range(count)]

    def _bright(
        self, weight: Floats, gain: Floats, level: Floats | None
    ) -> tuple[Floats, Floats, Floats | None]:
        """W, gain and level; where neither loss nor constraint sees their size, as bright as the
        targets."""
        sized = set(self.constraints) - {"free", "nonnegative"}
        if sized or self.layout.fixed.any():
            return weight, gain, level
        with torch.no_grad():
            factor = self.objective.brightness(*_tensors(weight, gain, level))
        return factor * weight, gain, None if level is None else factor * level

    def _losses(self, weight: Floats, gain: Floats, level: Floats | None) -> Floats:
        """(L,) in float64, from what the objective was made of."""
        with torch.no_grad():
            return numbers(self.objective.losses(*_tensors(weight, gain, level)))

    def _optimum(self) -> Floats | None:
        """(L,) losses of the exact solutions; None where one is not known."""
        found = np.zeros(len(self.objective.scale))
        for part in self.parts:
            if part.best is None:
                return None
            weight, gain = part.layout.matrix(part.best[0]), np.full(len(part.rows), part.best[1])
            level = None if self.level is None else self.level[part.rows]
            here = part.rows if self.objective.separable else slice(None)
            found[here] = numbers(part.objective.losses(*_tensors(weight, gain, level)))
        return found

    def _or_solutions(self, fit: Fit) -> Fit:
        """With the exact solution of every part whose training gained nothing on it: it keeps its
        zeros."""
        if fit.optimum is None or not self.objective.separable:
            return fit
        weight, gain, losses = fit.weight.copy(), fit.gain.copy(), fit.losses.copy()
        history = list(fit.history)
        for g, part in enumerate(self.parts):
            rows = part.rows
            price = GAINED * fit.scale[rows]
            if not part.exact or part.best is None:
                continue
            if (fit.losses[rows] < fit.optimum[rows] - price).any():
                continue
            weight[rows], gain[rows] = part.layout.matrix(part.best[0]), part.best[1]
            losses[rows], history[g] = fit.optimum[rows], (rows, history[g][1][:1])
        return replace(fit, weight=weight, gain=gain, losses=losses, history=history)


def _tensors(
    weight: Floats, gain: Floats, level: Floats | None
) -> tuple[Tensor, Tensor, Tensor | None]:
    return (
        torch.as_tensor(weight),
        torch.as_tensor(gain),
        None if level is None else torch.as_tensor(level),
    )


def _steps(settings: Settings) -> int:
    return DEFAULT_STEPS.get(settings.optimizer, 0) if settings.steps is None else settings.steps


def _lr(settings: Settings) -> float:
    return DEFAULT_LR[settings.optimizer] if settings.lr is None else settings.lr


def _lbfgs(task: Task, settings: Settings, ticks: Ticks, slot: Slot) -> list[Path]:
    """Limited-memory BFGS by scipy, on all pixels; the gradient comes from torch."""
    return lbfgs(task, _steps(settings), ticks)


def _adam(task: Task, settings: Settings) -> torch.optim.Optimizer:
    return torch.optim.Adam(task.parameters, lr=_lr(settings))


def _adamw(task: Task, settings: Settings) -> torch.optim.Optimizer:
    weights, others = task.parameters[: task.n_weights], task.parameters[task.n_weights :]
    groups = [
        {"params": weights, "weight_decay": settings.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=_lr(settings))


def _sgd(task: Task, settings: Settings) -> torch.optim.Optimizer:
    return torch.optim.SGD(task.parameters, lr=_lr(settings), momentum=settings.momentum)


def _descending(
    make: Callable[[Task, Settings], torch.optim.Optimizer],
) -> Callable[[Task, Settings, Ticks, Slot], list[Path]]:
    """Run a first-order optimizer, as :mod:`bandfuse.optimise.descent` does it."""

    def run(task: Task, settings: Settings, ticks: Ticks, slot: Slot) -> list[Path]:
        pace = Pace(
            _steps(settings),
            settings.schedule or DEFAULT_SCHEDULE[settings.optimizer],
            settings.batch_size,
            settings.patience,
            settings.seed,
        )
        return Descent(make(task, settings), task, pace, slot).run(ticks)

    return run


OPTIMIZERS: dict[str, Callable[[Task, Settings, Ticks, Slot], list[Path]]] = {
    "lbfgs": _lbfgs,
    "adam": _descending(_adam),
    "adamw": _descending(_adamw),
    "sgd": _descending(_sgd),
}
"""Optimizers by name: limited-memory BFGS, Adam, Adam with decoupled weight decay, gradient descent
with momentum."""
