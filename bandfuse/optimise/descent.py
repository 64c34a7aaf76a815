"""Descent: first-order steps on all pixels or on minibatches, with a falling rate, early stopping
and memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bandfuse.progress import Ticks

State = dict[str, NDArray[Any]]
"""All that a descent must remember to go on as if it had never stopped, by name."""

SHORTEST_EPOCH = 10
"""An epoch is one pass over the sample, or as many passes as make this many steps."""

SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda done: 1.0,
    "cosine": lambda done: 0.5 * (1 + float(np.cos(np.pi * done))),
    "step": lambda done: 1.0 if done < 0.5 else 0.1 if done < 0.75 else 0.01,
}
"""Factor of the learning rate by the share of the steps that is done.

``cosine`` is half a cosine (Loshchilov and Hutter, SGDR, ICLR 2017); ``step`` a tenth after half of
the steps, and again after three quarters (He et al., CVPR 2016). """


class Slot(Protocol):
    """Where one descent keeps its state."""

    def recall(self) -> State | None:
        """The state that was kept last; None if there is none."""
        ...

    def keep(self, state: Callable[[], State], *, last: bool = False) -> None:
        """Keep the state now, or not if that was done just before; the last one is always kept."""
        ...


class Nowhere:
    """The slot that keeps nothing."""

    def recall(self) -> State | None:
        """None."""
        return None

    def keep(self, state: Callable[[], State], *, last: bool = False) -> None:
        """Do nothing."""


@dataclass(frozen=True)
class Task:
    """What is minimised: ``loss(index)`` on the pixels of a batch, ``loss(None)`` on all
    ``n_pixels``.

    ``held()`` is the loss on pixels kept out, or there are none. Objectives from moments have no
    pixels. The first ``n_weights`` of the parameters may decay; gains and levels never do."""

    parameters: list[torch.nn.Parameter]
    loss: Callable[[Tensor | None], Tensor]
    held: Callable[[], Tensor] | None = None
    n_pixels: int = 0
    n_weights: int = 0


@dataclass(frozen=True)
class Pace:
    """How steps are taken: at most ``steps``, on ``batch_size`` pixels (0: all), ``patience``
    epochs (0: endless)."""

    steps: int
    schedule: str = "constant"
    batch_size: int = 0
    patience: int = 0
    seed: int = 0

    def batches(self, n_pixels: int) -> int:
        """Steps of one pass over the pixels."""
        return -(-n_pixels // self.batch_size) if 0 < self.batch_size < n_pixels else 1


@dataclass(frozen=True)
class Path:
    """How a descent went. ``history``: the loss of each step's batch, then of all pixels; ``epoch``
    of the best, if held-out pixels were watched."""

    history: list[float]
    epoch: int | None
    epochs: int


class Descent:
    """Steps of one optimizer on one task."""

    def __init__(
        self, optimizer: torch.optim.Optimizer, task: Task, pace: Pace, slot: Slot
    ) -> None:
        self.optimizer, self.task, self.pace, self.slot = optimizer, task, pace, slot
        self.top = [group["lr"] for group in optimizer.param_groups]
        self.n_batches = pace.batches(task.n_pixels)
        self.epoch_steps = self.n_batches * -(-SHORTEST_EPOCH // self.n_batches)
        self.watched = task.held if pace.patience else None
        self.history: list[float] = []
        self.best = [p.detach().clone() for p in task.parameters]
        self.best_loss, self.best_epoch = np.inf, 0
        self.done = False

    def run(self, ticks: Ticks) -> Path:
        """Step until nothing moves any more, patience ends, or the steps are used up."""
        self._restore(ticks)
        if not self.history:
            self._look()
        if not self.done:
            for index in self._batches():
                moved = self._step(index)
                ticks.step()
                if not moved or not np.isfinite(self.history[-1]) or self._impatient():
                    break
                self.slot.keep(self._state)
            self._end()
        final = float(self.task.loss(None).detach())
        return Path(
            [*self.history[1:], final],
            None if self.watched is None else self.best_epoch,
            self.epoch,
        )

    @property
    def epoch(self) -> int:
        """Epochs begun."""
        return -(-len(self.history) // self.epoch_steps)

    def _batches(self) -> Iterator[Tensor | None]:
        """The pixels of every step that is left: each pass has an order of its own, known from its
        number alone."""
        parts: list[NDArray[np.intp]] = []
        for step in range(len(self.history), self.pace.steps):
            if self.n_batches == 1:
                yield None
                continue
            passed, batch = divmod(step, self.n_batches)
            if not parts or batch == 0:
                order = np.random.default_rng([self.pace.seed, passed]).permutation(
                    self.task.n_pixels
                )
                parts = np.array_split(order, self.n_batches)
            yield torch.as_tensor(parts[batch], device=self.task.parameters[0].device)

    def _step(self, index: Tensor | None) -> bool:
        """One step; whether a parameter moved."""
        done = len(self.history) / self.pace.steps
        for group, lr in zip(self.optimizer.param_groups, self.top, strict=True):
            group["lr"] = lr * SCHEDULES[self.pace.schedule](done)
        before = [p.detach().clone() for p in self.task.parameters]
        self.optimizer.zero_grad()
        value = self.task.loss(index)
        value.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.history.append(float(value.detach()))
        return not all(torch.equal(b, p) for b, p in zip(before, self.task.parameters, strict=True))

    def _look(self) -> None:
        """Remember the parameters if the held-out pixels like them better than all before."""
        if self.watched is None:
            return
        with torch.no_grad():
            loss = float(self.watched())
        if loss < self.best_loss:
            self.best_loss, self.best_epoch = loss, self.epoch
            self.best = [p.detach().clone() for p in self.task.parameters]

    def _impatient(self) -> bool:
        """At the end of an epoch: whether the best one lies too far back."""
        if self.watched is None or len(self.history) % self.epoch_steps:
            return False
        self._look()
        return self.epoch - self.best_epoch >= self.pace.patience

    def _end(self) -> None:
        """Go back to the best parameters."""
        if self.watched is not None and np.isfinite(self.history[-1:]).all():
            self._look()
            with torch.no_grad():
                for p, best in zip(self.task.parameters, self.best, strict=True):
                    p.copy_(best)
        self.done = True
        self.slot.keep(self._state, last=True)

    def _state(self) -> State:
        """Everything that changes from step to step."""
        state = {
            "history": np.array(self.history, dtype=np.float64),
            "count": np.array([self.best_epoch, self.done], dtype=np.int64),
            "best_loss": np.array([self.best_loss], dtype=np.float64),
        }
        for i, (p, best) in enumerate(zip(self.task.parameters, self.best, strict=True)):
            state |= {f"parameter.{i}": _numpy(p), f"best.{i}": _numpy(best)}
            for key, value in self.optimizer.state[p].items():
                if value is not None:
                    state[f"optimizer.{i}.{key}"] = _numpy(value)
        return state

    def _restore(self, ticks: Ticks) -> None:
        """Take up a state that was kept."""
        state = self.slot.recall()
        if state is None:
            return
        self.history = state["history"].tolist()
        self.best_epoch, self.done = int(state["count"][0]), bool(state["count"][1])
        self.best_loss = float(state["best_loss"][0])
        for i, p in enumerate(self.task.parameters):
            with torch.no_grad():
                p.copy_(torch.as_tensor(state[f"parameter.{i}"]))
                self.best[i].copy_(torch.as_tensor(state[f"best.{i}"]))
            for name, value in state.items():
                if name.startswith(f"optimizer.{i}."):
                    self._recall_moment(p, name.split(".")[2], torch.as_tensor(value))
        for _ in self.history:
            ticks.step()

    def _recall_moment(self, parameter: torch.nn.Parameter, key: str, value: Tensor) -> None:
        # Adam counts its steps on the CPU, whatever the parameters' device.
        self.optimizer.state[parameter][key] = (
            value.clone() if key == "step" else value.to(parameter, copy=True)
        )


def _numpy(value: Tensor) -> NDArray[Any]:
    array: NDArray[Any] = value.detach().cpu().numpy().copy()
    return array
