"""Quasi-Newton: limited-memory BFGS by scipy on many problems side by side.

Each problem has a minimiser of its own, in a thread that waits. When all of them have asked for a
loss and a gradient, one product answers them together."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from queue import SimpleQueue
from typing import Any

import numpy as np
import torch

from bandfuse.optimise.descent import Path, Task
from bandfuse.optimise.doors import numbers, put
from bandfuse.progress import Ticks
from bandfuse.spectral.bands import Floats

Answer = tuple[float, Floats]
"""The loss of a problem and its gradient."""


class _Over(Exception):
    """The other problems have failed: this one is given up."""


class _Values:
    """Losses and gradients of all problems, each at parameters of its own."""

    def __init__(self, task: Task) -> None:
        self.task = task
        owner = np.concatenate([o.ravel() for o in task.owners])
        order = np.argsort(owner, kind="stable")
        starts = np.searchsorted(owner[order], np.arange(task.count + 1))
        self.places = [order[a:b] for a, b in pairwise(starts)]
        self.at: Floats = np.concatenate([numbers(p).ravel() for p in task.parameters])

    def start(self, problem: int) -> Floats:
        """Where a problem starts."""
        return self.at[self.places[problem]]

    def move(self, asked: dict[int, Floats]) -> None:
        """Put the parameters of some problems."""
        for problem, x in asked.items():
            self.at[self.places[problem]] = x
        ends = np.cumsum([p.numel() for p in self.task.parameters])[:-1]
        parts = zip(np.split(self.at, ends), self.task.parameters, strict=True)
        put([part.reshape(p.shape) for part, p in parts], self.task.parameters)

    def answers(self, asked: dict[int, Floats]) -> dict[int, Answer]:
        """What some problems have asked for, from one product of all."""
        self.move(asked)
        losses = self.task.losses(None)
        found = torch.autograd.grad(losses.sum(), self.task.parameters)
        values = numbers(losses)
        gradient = np.concatenate([numbers(g).ravel() for g in found])
        return {i: (float(values[i]), gradient[self.places[i]]) for i in asked}


def lbfgs(task: Task, steps: int, ticks: Ticks) -> list[Path]:
    """Minimise every problem on all pixels; the path of each. One without parameters has none."""
    values, histories = _Values(task), [list[float]() for _ in range(task.count)]
    problems = [i for i in range(task.count) if len(values.places[i])]
    if len(problems) == 1:
        (only,) = problems

        def keep(loss: float) -> None:
            histories[only].append(loss)
            ticks.step()

        end = _minimised(values.start(only), lambda x: values.answers({only: x})[only], keep, steps)
        values.move({only: end})
    elif problems:
        _side_by_side(values, problems, histories, steps, ticks)
    return [Path(history, None, 0) for history in histories]


def _minimised(
    start: Floats, value_of: Callable[[Floats], Answer], keep: Callable[[float], None], steps: int
) -> Floats:
    """Where scipy ends; the loss of every iteration is kept."""
    from scipy.optimize import minimize

    def iterated(intermediate_result: Any) -> None:
        keep(float(intermediate_result.fun))

    limits: Any = {"maxiter": steps, "maxfun": 25 * steps, "maxcor": 50, "ftol": 0.0, "gtol": 1e-13}
    found: Floats = minimize(
        value_of, start, jac=True, method="L-BFGS-B", callback=iterated, options=limits
    ).x
    return found


Asked = tuple[int, Floats | None]
"""A problem with what it asks for; None when it has ended."""


def _side_by_side(
    values: _Values, problems: list[int], histories: list[list[float]], steps: int, ticks: Ticks
) -> None:
    """All problems in rounds, until each has ended."""
    asks: SimpleQueue[Asked] = SimpleQueue()
    replies: dict[int, SimpleQueue[Answer | None]] = {i: SimpleQueue() for i in problems}

    def minimise(problem: int, start: Floats) -> Floats:
        def ask(x: Floats) -> Answer:
            asks.put((problem, x.copy()))
            reply = replies[problem].get()
            if reply is None:
                raise _Over
            return reply

        try:
            return _minimised(start, ask, histories[problem].append, steps)
        finally:
            asks.put((problem, None))

    with ThreadPoolExecutor(len(problems), thread_name_prefix="bandfuse-fit") as pool:
        ends = {i: pool.submit(minimise, i, values.start(i)) for i in problems}
        running, shown = set(problems), 0
        try:
            while running:
                running = _round(values, running, asks, replies)
                most = max(map(len, histories))
                for _ in range(shown, most):
                    ticks.step()
                shown = most
        finally:
            for problem in running:
                replies[problem].put(None)
        values.move({i: end.result() for i, end in ends.items()})


def _round(
    values: _Values,
    running: set[int],
    asks: SimpleQueue[Asked],
    replies: dict[int, SimpleQueue[Answer | None]],
) -> set[int]:
    """Hear every running problem once and answer together; those that go on."""
    heard = [asks.get() for _ in running]
    asked = {problem: x for problem, x in heard if x is not None}
    if asked:
        for problem, answer in values.answers(asked).items():
            replies[problem].put(answer)
    return set(asked)
