"""A device that is only pretended: every path of torch is walked on it, and no number is computed.

Run as a program it writes one JSON line for each case: its name, and what went wrong. A tensor on
the wrong device, a read within a step, a sum in no fixed order, and float64 where the device has
none are errors."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from bandfuse.goals import GOALS
from bandfuse.moments.moments import Moments
from bandfuse.nn import WeightedSum
from bandfuse.optimise import doors
from bandfuse.optimise.activations import ACTIVATIONS
from bandfuse.optimise.descent import SCHEDULES, Descent
from bandfuse.optimise.fit import OPTIMIZERS, fit
from bandfuse.optimise.losses import LOSSES
from bandfuse.optimise.objectives.base import Objective
from bandfuse.optimise.objectives.regression import Regression
from bandfuse.optimise.objectives.sampled import SampledRegression
from bandfuse.optimise.objectives.total import Sum
from bandfuse.optimise.parameters import CONSTRAINTS
from bandfuse.solve.fit_result import Settings
from bandfuse.solve.gathered import Gathered
from bandfuse.solve.layout import KINDS, Layout, across, within
from bandfuse.solve.squares import Split, Squares
from bandfuse.spectral.bands import Bands
from bandfuse.spectral.groups import Group

NAME = "pretend"
N, B, K = 50, 6, 2
BANDS = Bands.of([str(i) for i in range(B)])
PAIRS = [Group("a", (0, 1)), Group("b", (2, 3)), Group("c", (4, 5))]
ALL = Group("all", tuple(range(B)))
LAYOUTS: dict[str, Layout] = {
    "groups": within([Group("a", (0, 1, 2)), Group("b", (3, 4))], B, "channel", set(), [0, 1]),
    "dense": within([ALL], B, "channel", set(), [0] * K),
    **{f"across {kind}": across(PAIRS, B, kind, set()) for kind in KINDS},
    "one fixed": across(PAIRS, B, "channel", {"c"}),
}
UNORDERED = ("index_add", "scatter_add", "scatter_reduce", "index_put", "put_", "embedding_dense")
"""What adds in no fixed order on a GPU."""
WAITING = ("_local_scalar_dense", "aten.equal", "nonzero", "is_nonzero", "masked_select", "unique")
"""What makes the processor wait for the device."""


class Watch(TorchDispatchMode):
    """Refuses operations on the pretended device that must not be."""

    def __init__(self) -> None:
        super().__init__()
        self.double, self.seen = True, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(kwargs.get("device"), "type", "") == NAME:
            for tensor in _tensors(args):
                # Tensors of one number remember it, and would take it along.
                tensor.constant = None  # type: ignore[attr-defined]
        out = func(*args, **kwargs)
        there = [t for t in _tensors([args, kwargs, out]) if t.device.type == NAME]
        if there:
            self.seen += 1
            name = str(func)
            if any(word in name for word in (*UNORDERED, *WAITING)):
                raise AssertionError(f"{name} on the device")
            if not self.double and any(t.dtype == torch.float64 for t in there):
                raise AssertionError(f"float64 in {name} on a device that has none")
        return out


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _tensors(part)
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))


@dataclass
class Reader:
    """Takes the place of :func:`bandfuse.optimise.doors.read`: numbers in the right shape."""

    stepping: bool = False
    count: int = 0

    def __call__(self, value: torch.Tensor) -> Any:
        assert not self.stepping, "a number is read within a step"
        self.count += 1
        dtype = np.float32 if value.dtype == torch.float32 else np.float64
        return np.full(tuple(value.shape), 0.5 + 1e-3 * self.count, dtype=dtype)


@contextmanager
def pretending(*, double: bool = True) -> Iterator[Watch]:
    """Within this, tensors have no numbers, and reads give some."""
    from torch._subclasses import FakeTensorMode

    reader, real, step = Reader(), doors.read, Descent._step
    names = [n for n in sys.modules if n.startswith("bandfuse.optimise")]
    homes = [m for m in map(sys.modules.get, names) if getattr(m, "read", None) is real]

    def watched_step(self: Descent, index: torch.Tensor | None) -> None:
        reader.stepping = True
        step(self, index)
        reader.stepping = False

    with ExitStack() as stack:
        for home in homes:
            home.read = reader  # type: ignore[union-attr]
            stack.callback(setattr, home, "read", real)
        Descent._step = watched_step  # type: ignore[method-assign]
        stack.callback(setattr, Descent, "_step", step)
        if not double:
            doors.WITHOUT_DOUBLE.add(NAME)
            stack.callback(doors.WITHOUT_DOUBLE.discard, NAME)
        stack.enter_context(FakeTensorMode())
        watch = stack.enter_context(Watch())
        watch.double = double
        yield watch
        assert watch.seen, "nothing was computed on the device"


# ------------------------------------------------------------------------------ what is walked


def joint(k: int) -> np.ndarray:
    random = np.random.default_rng(0)
    x = random.standard_normal((N, B)) + 2
    return np.hstack([x, x @ random.uniform(0, 0.5, (B, k)) + 0.1 * random.standard_normal((N, k))])


def of_goal(name: str, layout: Layout) -> Objective:
    """The loss of an objective from moments, as a training makes it."""
    k = layout.shape[0]
    values, classes = joint(k), np.arange(N) % 3
    split = Split.of(Moments.of(values), B)
    gathered = Gathered(
        split,
        k,
        classes={int(c): Moments.of(values[classes == c, :B]) for c in range(3)},
        noise=Moments.of(np.diff(values[:, :B], axis=0)),
        squares=Squares.of(split, offset=True),
        ridge=0.03,
    )
    loss: Objective = GOALS[name].loss_of(gathered)
    return loss


def of_sample(
    layout: Layout,
    loss: Any = "mse",
    activation: str = "identity",
    *,
    dtype: type = np.float64,
    held: bool = False,
) -> Objective:
    values = joint(layout.shape[0])
    return SampledRegression(
        values.astype(dtype),
        B,
        values[:, :B].mean(axis=0),
        activation,
        loss=loss,
        held=np.arange(N) % 5 == 0 if held else None,
        device=NAME,
    )


def walked(
    make: Callable[[Layout], Objective],
    layout: Layout,
    settings: Settings,
    *,
    double: bool = True,
    level: bool = True,
    constraints: list[str] | None = None,
) -> None:
    """A fit, from its start to its result; a long one twice, as a refit does it."""
    values, k = joint(layout.shape[0]), layout.shape[0]
    with pretending(double=double):
        objective = make(layout)
        for _ in range(1 if settings.steps == QUICK.steps else 2):
            fit(
                layout,
                objective,
                BANDS,
                values[:, :B].mean(axis=0),
                np.zeros(k) if level else None,
                replace(settings, device=NAME),
                constraints=constraints,
            )


class Weighted(nn.Module):
    """A loss of the user's own, with a buffer."""

    def __init__(self, k: int) -> None:
        super().__init__()
        self.register_buffer("price", torch.arange(1.0, k + 1))

    def __deepcopy__(self, memo: dict[int, Any]) -> Weighted:
        """Tensors without numbers would copy their mode too."""
        return Weighted(len(self.price))

    def forward(self, y: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return (self.price * (y - t) ** 2).sum(1)


def layer(kind: str, constraint: str) -> None:
    """The layer for networks: moved, forward, backward and a step."""
    with pretending():
        fuse = doors.moved(
            WeightedSum(
                [3, 3], weights=kind, constraint=constraint, gain=True, offset=True, instances=4
            ),
            torch.device(NAME),
            torch.float64,
        )
        step = torch.optim.Adam(fuse.parameters())
        for _ in range(2):
            step.zero_grad()
            y = fuse(*(torch.zeros(4, 3, 5, 5, device=NAME, dtype=torch.float64) for _ in range(2)))
            y.square().mean().backward()
            step.step()
        assert all(t.device.type == NAME for t in (*fuse.parameters(), *fuse.buffers()))
        assert fuse.weight.device.type == NAME


QUICK = Settings(optimizer="adam", steps=1, batch_size=16, patience=0, init="uniform", starts=2)
LONG = replace(QUICK, steps=24, patience=1)


def cases() -> dict[str, Callable[[], None]]:
    """One for every row of the tables, in all pairs that may disturb each other."""
    return {**_of_moments(), **_of_samples(), **_of_types(), **_others()}


def _of_moments() -> dict[str, Callable[[], None]]:
    found: dict[str, Callable[[], None]] = {}
    for goal, row in GOALS.items():
        go = partial(walked, partial(of_goal, goal), level=row.matches)
        for constraint, layout in product(CONSTRAINTS, LAYOUTS):
            how = replace(QUICK, constraint=constraint)
            found[f"{goal}, {constraint}, {layout}"] = partial(go, LAYOUTS[layout], how)
        for optimizer in OPTIMIZERS:
            how = replace(LONG, optimizer=optimizer)
            found[f"{goal}, {optimizer}"] = partial(go, LAYOUTS["dense"], how)
        found[f"{goal}, no float64"] = partial(go, LAYOUTS["groups"], QUICK, double=False)
    return found


def _of_samples() -> dict[str, Callable[[], None]]:
    found: dict[str, Callable[[], None]] = {}
    dense = LAYOUTS["dense"]
    for loss, activation, constraint in product(LOSSES, ACTIVATIONS, CONSTRAINTS):
        make = partial(of_sample, loss=loss, activation=activation)
        how = replace(QUICK, constraint=constraint)
        found[f"{loss}, {activation}, {constraint}"] = partial(walked, make, dense, how)
    for constraint, layout in product(CONSTRAINTS, LAYOUTS):
        how = replace(QUICK, constraint=constraint)
        found[f"sample, {constraint}, {layout}"] = partial(walked, of_sample, LAYOUTS[layout], how)
    for optimizer, loss in product(OPTIMIZERS, LOSSES):
        make, how = partial(of_sample, loss=loss, held=True), replace(LONG, optimizer=optimizer)
        found[f"{loss}, {optimizer}, held out"] = partial(walked, make, dense, how)
    for schedule in SCHEDULES:
        how = replace(QUICK, schedule=schedule)
        found[f"schedule {schedule}"] = partial(walked, of_sample, dense, how)
    return found


def _of_types() -> dict[str, Callable[[], None]]:
    found: dict[str, Callable[[], None]] = {}
    for loss, dtype, double in product(LOSSES, (np.float32, np.float64), (True, False)):
        make = partial(of_sample, loss=loss, dtype=dtype)
        name = f"{loss} of {dtype.__name__}, {'with' if double else 'no'} float64"
        found[name] = partial(walked, make, LAYOUTS["dense"], QUICK, double=double)
    for kind, constraint in product(KINDS, CONSTRAINTS):
        found[f"WeightedSum, {kind}, {constraint}"] = partial(layer, kind, constraint)
    return found


def _others() -> dict[str, Callable[[], None]]:
    dense, names = LAYOUTS["dense"], list(CONSTRAINTS)

    def summed(layout: Layout) -> Objective:
        return Sum([(1.0, of_goal(name, layout)) for name in GOALS])

    def own(layout: Layout) -> Objective:
        return of_sample(layout, Weighted(K))

    def plain(layout: Layout) -> Objective:
        return of_sample(layout, lambda y, t: ((y - t) ** 2).mean())

    return {
        "a sum of objectives": partial(walked, summed, dense, QUICK),
        "a loss of one's own with a buffer": partial(walked, own, dense, QUICK),
        "a loss of one's own that is a number": partial(walked, plain, dense, QUICK),
        "a gain": partial(
            walked,
            partial(of_goal, "regression"),
            LAYOUTS["groups"],
            replace(QUICK, constraint="affine", gain=True),
        ),
        "constraints of outputs": partial(
            walked,
            partial(of_goal, "regression"),
            within([ALL], B, "channel", set(), [0] * len(names)),
            QUICK,
            constraints=names,
        ),
    }


class Faulty(Regression):
    """A loss with a fault, to see that it is found."""

    def __init__(self, squares: Squares, fault: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__(squares)
        self.fault = fault

    def losses(
        self, weight: torch.Tensor, gain: torch.Tensor, level: torch.Tensor | None
    ) -> torch.Tensor:
        found = super().losses(weight, gain, level)
        return found if weight.device.type == "cpu" else self.fault(found)

    def part(self, rows: Sequence[int]) -> Faulty:
        return self


FAULTS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "a tensor left on the CPU": lambda loss: loss + torch.ones(3, K, dtype=loss.dtype)[:1],
    "a sum in no order": lambda loss: loss.index_add(
        1, torch.zeros(K, dtype=torch.int64, device=NAME), loss
    ),
    "a number read within a step": lambda loss: loss * float(doors.numbers(loss.sum())),
    "a choice that waits": lambda loss: loss if bool((loss > 0).all()) else 2 * loss,
    "float64 where there is none": lambda loss: loss.double().to(loss.dtype),
}
"""What must be found, each by what it does to the losses."""


def faulty(fault: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """A fit with a fault on a device without float64."""

    def make(layout: Layout) -> Objective:
        return Faulty(Squares.of(Split.of(Moments.of(joint(K)), B), offset=True), fault)

    walked(make, LAYOUTS["dense"], QUICK, double=False)


def main() -> None:
    """Walk all cases, and the faults."""
    from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

    _setup_privateuseone_for_python_backend(NAME)
    faults = {name: partial(faulty, fault) for name, fault in FAULTS.items()}
    for name, walk in (cases() | faults).items():
        wrong = ""
        try:
            walk()
        except Exception:  # noqa: BLE001 (what went wrong is what is asked for)
            wrong = traceback.format_exc(limit=-6)
        sys.stdout.write(json.dumps({"name": name, "wrong": wrong}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
