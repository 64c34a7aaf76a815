"""Fit: minimise an objective over the weights of a layout."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from bandfuse.errors import ConfigError
from bandfuse.optimise.descent import SCHEDULES, Descent, Nowhere, Pace, Path, Slot, Task
from bandfuse.optimise.objectives.base import Objective
from bandfuse.optimise.parameters import Weights
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
    """Sums of one thread have the same bits on every run."""
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
    groups = layout.rows_of_set() if objective.separable else [list(range(layout.shape[0]))]
    parts = len(groups) * max(1, settings.starts)
    ticks = Ticks(
        progress, parts=parts, steps=_steps(settings), label=f"fit ({settings.optimizer})"
    )
    done = []
    with _one_thread():
        for i, rows in enumerate(groups):
            mine = (
                settings
                if constraints is None
                else replace(settings, constraint=constraints[rows[0]])
            )
            problem = _Problem(
                layout.part(rows), objective.part(rows), bands, mean, _of(level, rows)
            )
            done.append(_fit_part(problem, mine, ticks, _slot_of(slots, i)))
    return _joined(layout, groups, done)


def _slot_of(slots: Slots, part: int) -> Callable[[int], Slot]:
    """The place of each start of a part."""
    return lambda number: slots(str(part) if number == 0 else f"{part}, start {number}")


@dataclass(frozen=True, eq=False)
class _Problem:
    """Outputs that share weights, or one objective of several; the arguments of :func:`fit` for
    them."""

    layout: Layout
    objective: Objective
    bands: Bands
    mean: Floats
    level: Floats | None


def _of(level: Floats | None, rows: list[int]) -> Floats | None:
    return None if level is None else level[rows]


def _joined(layout: Layout, groups: list[list[int]], parts: list[Fit]) -> Fit:
    """One fit from those of its parts, rows back in place."""
    order = np.argsort(np.concatenate(groups))
    per_loss = (
        order
        if sum(len(p.losses) for p in parts) == layout.shape[0]
        else np.arange(len(parts[0].losses))
    )
    optima = [p.optimum for p in parts]
    known = [o for o in optima if o is not None]
    return Fit(
        weight=np.concatenate([p.weight for p in parts])[order],
        gain=np.concatenate([p.gain for p in parts])[order],
        offset=np.concatenate([p.offset for p in parts])[order],
        losses=np.concatenate([p.losses for p in parts])[per_loss],
        optimum=np.concatenate(known)[per_loss] if len(known) == len(optima) else None,
        scale=np.concatenate([p.scale for p in parts])[per_loss],
        steps=max(p.steps for p in parts),
        history=[(rows, p.history[0][1]) for rows, p in zip(groups, parts, strict=True)],
        stops=[
            (rows, *stop[1:]) for rows, p in zip(groups, parts, strict=True) for stop in p.stops
        ],
        starts=[(rows, p.starts[0][1]) for rows, p in zip(groups, parts, strict=True) if p.starts],
    )


def _fit_part(
    problem: _Problem, settings: Settings, ticks: Ticks, slot: Callable[[int], Slot]
) -> Fit:
    """Fit one problem: once where its optimum is known, else from several starts, of which the best
    is kept."""
    layout, objective = problem.layout, problem.objective
    settings = replace(settings, gain=settings.gain and layout.size > 0)
    best = objective.exact(layout, settings.constraint, gain=settings.gain)
    several = best is None and not objective.n_pixels and layout.size > 0
    found = []
    for number in range(max(1, settings.starts)):
        if number == 0 or several:
            found.append(_fit_once(problem, settings, best, number, ticks, slot(number)))
        ticks.end_part()
    ends = [float((f.losses / f.scale).sum()) for f in found]
    chosen = found[int(np.argmin(ends))]
    return (
        chosen if len(ends) == 1 else replace(chosen, starts=[(list(range(layout.shape[0])), ends)])
    )


def _fit_once(
    problem: _Problem,
    settings: Settings,
    best: tuple[Floats, float] | None,
    number: int,
    ticks: Ticks,
    slot: Slot,
) -> Fit:
    """Fit from one start."""
    layout, objective, level = problem.layout, problem.objective, problem.level
    module = Weights(
        layout,
        settings.constraint,
        metric=objective.metric(layout),
        gain=settings.gain,
        level=level,
        spread=objective.spread,
    )
    module.start(*_start(problem, settings, best, number))
    device = torch.device(settings.device)
    # Apple's GPUs have no float64.
    dtype = torch.float32 if device.type == "mps" else torch.float64
    path = _minimise(module.to(device, dtype), objective.to(device, dtype), settings, ticks, slot)
    module, objective = (
        module.to("cpu", torch.float64),
        objective.to(torch.device("cpu"), torch.float64),
    )
    weight, gain, at_mean = _bright(objective, module, layout, settings)
    losses = _losses(objective, module)
    optimum = None if best is None else _optimum(layout, objective, best, level)
    if (
        best is not None
        and optimum is not None
        and _is_exact(problem, settings)
        and not (losses < optimum - GAINED * objective.scale).any()
    ):
        # Nothing was gained: the solution itself keeps its zeros.
        weight, gain = layout.matrix(best[0]), np.full(layout.shape[0], best[1])
        losses, path = optimum, replace(path, history=path.history[:1])
    every = list(range(layout.shape[0]))
    stops = [] if path.epoch is None else [(every, path.epoch, path.epochs)]
    return Fit(
        weight,
        gain,
        _offset(weight, gain, at_mean, problem.mean),
        losses,
        optimum,
        objective.scale,
        len(path.history) - 1,
        [(every, path.history)],
        stops,
    )


def _start(
    problem: _Problem, settings: Settings, best: tuple[Floats, float] | None, number: int
) -> tuple[Floats, float]:
    """Initial weights and gain; starts after the first are scattered around its weights."""
    layout, objective = problem.layout, problem.objective
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
    v = initial(name, layout, problem.bands, settings.seed)
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


def _is_exact(problem: _Problem, settings: Settings) -> bool:
    """Whether the training began at the exact optimum of a linear problem, at the level that
    belongs to it."""
    begun = settings.init == "least-squares" or (
        settings.init == "auto" and settings.optimizer == "lbfgs"
    )
    return begun and problem.objective.quadratic(problem.layout, gain=settings.gain) is not None


def _numbers(module: Weights) -> tuple[Floats, Floats, Floats | None]:
    """W, gain and level as float64 numpy."""
    with torch.no_grad():
        weight, gain, level = (None if t is None else t.double().cpu().numpy() for t in module())
    assert weight is not None
    assert gain is not None
    return weight, gain, level


def _bright(
    objective: Objective, module: Weights, layout: Layout, settings: Settings
) -> tuple[Floats, Floats, Floats | None]:
    """W, gain and level; where neither loss nor constraint sees their size, as bright as the
    targets."""
    weight, gain, level = _numbers(module)
    if settings.constraint not in ("free", "nonnegative") or layout.fixed.any():
        return weight, gain, level
    with torch.no_grad():
        factor = objective.brightness(*module())
    return factor * weight, gain, None if level is None else factor * level


def _offset(weight: Floats, gain: Floats, level: Floats | None, mean: Floats) -> Floats:
    if level is None:
        return np.zeros(len(gain))
    offset: Floats = level - gain * (weight @ mean)
    return offset


def _losses(objective: Objective, module: Weights) -> Floats:
    with torch.no_grad():
        values: Floats = objective.losses(*module()).double().cpu().numpy()
    return values


def _optimum(
    layout: Layout, objective: Objective, best: tuple[Floats, float], level: Floats | None
) -> Floats:
    """(L,) losses of the exact solution."""
    v, gain = best
    weight = torch.as_tensor(layout.matrix(v))
    gains = torch.full((layout.shape[0],), gain, dtype=torch.float64)
    at_mean = None if level is None else torch.as_tensor(level)
    exact: Floats = objective.losses(weight, gains, at_mean).numpy()
    return exact


def _minimise(
    module: Weights, objective: Objective, settings: Settings, ticks: Ticks, slot: Slot
) -> Path:
    """Run the optimizer; the history holds the relative loss before each step, and the last one."""
    for what, name, known in (
        ("optimizer", settings.optimizer, OPTIMIZERS),
        ("schedule", settings.schedule or "constant", SCHEDULES),
    ):
        if name not in known:
            raise ConfigError(what, got=repr(name), expected=f"one of {', '.join(known)}")
    task = _task(module, objective)
    first = float(task.loss(None).detach())
    path = Path([], None, 0)
    if task.parameters and settings.steps != 0:
        path = OPTIMIZERS[settings.optimizer](task, settings, ticks, slot)
    path = replace(path, history=[first, *path.history])
    if not np.isfinite(path.history[-1]):
        raise ConfigError(
            "training diverged",
            got=f"a loss that is not finite after {len(path.history) - 1} steps",
            remedy="Lower --lr, or use --optimizer lbfgs.",
        )
    return path


def _task(module: Weights, objective: Objective) -> Task:
    """The sum of the relative losses, as a function of a batch of pixels."""
    scale = torch.as_tensor(objective.scale).to(module.theta)
    held = objective.held

    def loss(index: torch.Tensor | None) -> torch.Tensor:
        seen = objective if index is None else objective.batch(index)
        return (seen.losses(*module()) / scale).sum()

    def held_loss() -> torch.Tensor:
        assert held is not None
        return (held.losses(*module()) / scale).sum()

    parameters = [p for p in module.parameters() if p.numel()]
    watched = None if held is None else held_loss
    return Task(
        parameters, loss, watched, objective.n_pixels, n_weights=int(module.theta.numel() > 0)
    )


def _steps(settings: Settings) -> int:
    return DEFAULT_STEPS.get(settings.optimizer, 0) if settings.steps is None else settings.steps


def _lr(settings: Settings) -> float:
    return DEFAULT_LR[settings.optimizer] if settings.lr is None else settings.lr


def _lbfgs(task: Task, settings: Settings, ticks: Ticks, slot: Slot) -> Path:
    """Limited-memory BFGS by scipy, on all pixels; the gradient comes from torch."""
    from scipy.optimize import minimize

    history: list[float] = []
    parameters = task.parameters

    def value_and_gradient(x: Floats) -> tuple[float, Floats]:
        _put(x, parameters)
        value = task.loss(None)
        gradient = torch.autograd.grad(value, parameters)
        return float(value.detach()), np.concatenate(
            [g.detach().double().cpu().numpy().ravel() for g in gradient]
        )

    def keep(intermediate_result: Any) -> None:
        history.append(float(intermediate_result.fun))
        ticks.step()

    start: Floats = np.concatenate([p.detach().double().cpu().numpy().ravel() for p in parameters])
    limits: Any = {
        "maxiter": _steps(settings),
        "maxfun": 25 * _steps(settings),
        "maxcor": 50,
        "ftol": 0.0,
        "gtol": 1e-13,
    }
    found = minimize(
        value_and_gradient, start, jac=True, method="L-BFGS-B", callback=keep, options=limits
    )
    _put(found.x, parameters)
    return Path(history, None, 0)


def _put(x: Floats, parameters: list[torch.nn.Parameter]) -> None:
    """Copy one long vector into the parameters."""
    with torch.no_grad():
        start = 0
        for p in parameters:
            p.copy_(torch.as_tensor(x[start : start + p.numel()]).reshape(p.shape))
            start += p.numel()


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
) -> Callable[[Task, Settings, Ticks, Slot], Path]:
    """Run a first-order optimizer, as :mod:`bandfuse.optimise.descent` does it."""

    def run(task: Task, settings: Settings, ticks: Ticks, slot: Slot) -> Path:
        pace = Pace(
            _steps(settings),
            settings.schedule or DEFAULT_SCHEDULE[settings.optimizer],
            settings.batch_size,
            settings.patience,
            settings.seed,
        )
        return Descent(make(task, settings), task, pace, slot).run(ticks)

    return run


OPTIMIZERS: dict[str, Callable[[Task, Settings, Ticks, Slot], Path]] = {
    "lbfgs": _lbfgs,
    "adam": _descending(_adam),
    "adamw": _descending(_adamw),
    "sgd": _descending(_sgd),
}
"""Optimizers by name: limited-memory BFGS, Adam, Adam with decoupled weight decay, gradient descent
with momentum."""
