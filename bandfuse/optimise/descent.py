"""Descent: first-order steps on all pixels or on minibatches, with a falling rate, early stopping
and memory. Several problems go side by side; each stops for itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bandfuse.optimise.doors import numbers, place, put, read
from bandfuse.progress import Ticks

State = dict[str, NDArray[Any]]
"""All that a descent must remember to go on as if it had never stopped, by name."""

SHORTEST_EPOCH = 10
"""An epoch is one pass over the sample, or as many passes as make this many steps."""

EVERY = 10
"""Steps between two looks at how the problems stand. In between the device does not wait for the
processor."""

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


@dataclass(frozen=True, eq=False)
class Task:
    """What is minimised: ``losses(index)`` (Q,) of Q problems on the pixels of a batch,
    ``losses(None)`` on all ``n_pixels``. No parameter enters two problems.

    ``owners``: for each parameter an array in its shape, the number of the problem that an entry
    belongs to; -1 for what stays as it is. ``held()`` are the losses on pixels kept out, or there
    are none. Objectives from moments have no pixels. The first ``n_weights`` of the parameters may
    decay; gains and levels never do."""

    parameters: list[torch.nn.Parameter]
    losses: Callable[[Tensor | None], Tensor]
    owners: Sequence[NDArray[np.intp]]
    count: int = 1
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
    """How the descent of one problem went. ``history``: the loss of each step's batch, then of all
    pixels; ``epoch`` of the best, if held-out pixels were watched."""

    history: list[float]
    epoch: int | None
    epochs: int


class Descent:
    """Steps of one optimizer on the problems of one task."""

    def __init__(
        self, optimizer: torch.optim.Optimizer, task: Task, pace: Pace, slot: Slot
    ) -> None:
        self.optimizer, self.task, self.pace, self.slot = optimizer, task, pace, slot
        self.top = [group["lr"] for group in optimizer.param_groups]
        self.n_batches = pace.batches(task.n_pixels)
        self.epoch_steps = self.n_batches * -(-SHORTEST_EPOCH // self.n_batches)
        self.watched = task.held if pace.patience else None
        self._history: list[NDArray[np.float64]] = []
        self._unread: list[Tensor] = []
        self._parts: list[Tensor] = []
        self.last = [read(p) for p in task.parameters]
        self.best = [value.copy() for value in self.last]
        self.best_loss = np.full(task.count, np.inf)
        self.best_epoch = np.zeros(task.count, dtype=np.int64)
        self.ended_at = np.full(task.count, -1, dtype=np.int64)
        for problem in set(range(task.count)) - {int(n) for o in task.owners for n in o.flat}:
            self.ended_at[problem] = 0
        self.done = False
        self._freeze()

    def run(self, ticks: Ticks) -> list[Path]:
        """Step until nothing moves any more, patience ends, or the steps are used up; the path of
        each problem."""
        self._restore(ticks)
        if not self.steps:
            self._look()
        while not self.done and self.steps < self.pace.steps and (self.ended_at < 0).any():
            self._step(self._batch())
            ticks.step()
            if (self.steps % EVERY == 0 or self.steps % self.epoch_steps == 0) and self._diverged():
                break
            self.slot.keep(self._state)
        if not self.done:
            self._end()
        with torch.no_grad():
            final = numbers(self.task.losses(None))
        return [self._path(problem, float(final[problem])) for problem in range(self.task.count)]

    def _path(self, problem: int, final: float) -> Path:
        steps = int(self.ended_at[problem])
        losses = [float(h[problem]) for h in self._history[1:steps]]
        best = None if self.watched is None else int(self.best_epoch[problem])
        return Path([*losses, final] if steps else [], best, self._epoch(steps))

    @property
    def steps(self) -> int:
        """Steps taken."""
        return len(self._history) + len(self._unread)

    def _epoch(self, steps: int) -> int:
        """Epochs begun."""
        return -(-steps // self.epoch_steps)

    def _batch(self) -> Tensor | None:
        """The pixels of the next step: each pass has an order of its own, known from its number
        alone, that goes to the device once."""
        if self.n_batches == 1:
            return None
        passed, batch = divmod(self.steps, self.n_batches)
        if not self._parts or batch == 0:
            order = np.random.default_rng([self.pace.seed, passed]).permutation(self.task.n_pixels)
            there = place(torch.as_tensor(order), self.task.parameters[0].device)
            self._parts = list(torch.tensor_split(there, self.n_batches))
        return self._parts[batch]

    def _step(self, index: Tensor | None) -> None:
        """One step of all problems. Nothing here waits for the device."""
        done = self.steps / self.pace.steps
        for group, lr in zip(self.optimizer.param_groups, self.top, strict=True):
            group["lr"] = lr * SCHEDULES[self.pace.schedule](done)
        self.optimizer.zero_grad()
        losses = self.task.losses(index)
        losses.sum().backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self._unread.append(losses.detach())
        with torch.no_grad():
            for p, frozen in zip(self.task.parameters, self._frozen, strict=True):
                if frozen is not None:
                    p.copy_(torch.where(frozen[0], frozen[1], p))

    def _freeze(self) -> None:
        """Keep the parameters of problems that have ended, and of none, as they are."""
        self._frozen: list[tuple[Tensor, Tensor] | None] = []
        for p, owner in zip(self.task.parameters, self.task.owners, strict=True):
            ended = (owner < 0) | (self.ended_at[owner] >= 0)
            still = place(torch.as_tensor(ended), p.device)
            self._frozen.append((still, p.detach().clone()) if ended.any() else None)

    def _read(self) -> None:
        """Fetch the losses of the steps since the last look."""
        if self._unread:
            self._history += list(numbers(torch.stack(self._unread)))
            self._unread = []

    def _diverged(self) -> bool:
        """Look at how the problems stand: end those that nothing moves any more, or whose best
        epoch lies too far back; whether a loss is not finite."""
        self._read()
        running = self.ended_at < 0
        if not np.isfinite(self._history[-1][running]).all():
            return True
        now = [read(p) for p in self.task.parameters]
        moved = np.zeros(self.task.count, dtype=bool)
        for before, value, owner in zip(self.last, now, self.task.owners, strict=True):
            moved[owner[(before != value) & (owner >= 0)]] = True
        self.last, ended = now, running & ~moved
        if self.watched is not None and self.steps % self.epoch_steps == 0:
            self._look()
            far = self._epoch(self.steps) - self.best_epoch >= self.pace.patience
            ended |= running & far
        if ended.any():
            self.ended_at[ended] = self.steps
            self._freeze()
        return False

    def _look(self) -> None:
        """Remember the parameters of each problem that the held-out pixels like better than all
        before."""
        if self.watched is None:
            return
        with torch.no_grad():
            losses = numbers(self.watched())
        better = losses < self.best_loss
        self.best_loss[better] = losses[better]
        steps = np.where(self.ended_at < 0, self.steps, self.ended_at)
        self.best_epoch[better] = -(-steps[better] // self.epoch_steps)
        now = [read(p) for p in self.task.parameters]
        for best, value, owner in zip(self.best, now, self.task.owners, strict=True):
            here = (owner >= 0) & better[owner]
            best[here] = value[here]

    def _end(self) -> None:
        """Go back to the best parameters."""
        self._read()
        finite = all(np.isfinite(h).all() for h in self._history[-1:])
        if self.watched is not None and finite:
            self._look()
            put(self.best, self.task.parameters)
        self.ended_at[self.ended_at < 0] = self.steps
        self.done = True
        self.slot.keep(self._state, last=True)

    def _state(self) -> State:
        """Everything that changes from step to step."""
        self._read()
        state = {
            "history": np.reshape(self._history, (-1, self.task.count)).astype(np.float64),
            "best_epoch": self.best_epoch.copy(),
            "ended_at": self.ended_at.copy(),
            "done": np.array([self.done], dtype=np.int64),
            "best_loss": self.best_loss.copy(),
        }
        for i, (p, best, last) in enumerate(
            zip(self.task.parameters, self.best, self.last, strict=True)
        ):
            state |= {f"parameter.{i}": read(p), f"best.{i}": best.copy(), f"last.{i}": last}
            for key, value in self.optimizer.state[p].items():
                if value is not None:
                    state[f"optimizer.{i}.{key}"] = read(value)
        return state

    def _restore(self, ticks: Ticks) -> None:
        """Take up a state that was kept."""
        state = self.slot.recall()
        if state is None:
            return
        self._history = list(state["history"])
        self.best_epoch, self.ended_at = state["best_epoch"].copy(), state["ended_at"].copy()
        self.best_loss, self.done = state["best_loss"].copy(), bool(state["done"][0])
        count = range(len(self.task.parameters))
        self.best = [state[f"best.{i}"].copy() for i in count]
        self.last = [state[f"last.{i}"].copy() for i in count]
        put([state[f"parameter.{i}"] for i in count], self.task.parameters)
        for i, p in enumerate(self.task.parameters):
            for name, value in state.items():
                if name.startswith(f"optimizer.{i}."):
                    self._recall_moment(p, name.split(".")[2], torch.as_tensor(value))
        self._freeze()
        for _ in self._history:
            ticks.step()

    def _recall_moment(self, parameter: torch.nn.Parameter, key: str, value: Tensor) -> None:
        # Adam counts its steps on the CPU, whatever the parameters' device.
        self.optimizer.state[parameter][key] = (
            value.clone() if key == "step" else place(value, parameter.device).clone()
        )
