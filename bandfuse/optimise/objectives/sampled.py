"""Sampled: regression by a loss of single pixels, over a sample."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from bandfuse.errors import ConfigError
from bandfuse.optimise.activations import ACTIVATIONS
from bandfuse.optimise.doors import fine, numbers, place
from bandfuse.optimise.losses import COUPLED, LOSSES, LossFunction, check_values, huber
from bandfuse.optimise.objectives.base import Objective, as_wide, scale_of
from bandfuse.solve.layout import Layout
from bandfuse.spectral.bands import Floats

CHUNKS = {"cpu": 4096}
"""Pixels that are computed at once: what stays in the cache of a processor. Sums of these chunks
are added in order, so that their bits do not depend on the number of threads."""

CHUNK = 2**18
"""The same for other devices, which want much to do."""

LOOKED = 100_000
"""Pixels that tell how the bands vary together: steps are scaled by it."""


class _Sums(torch.autograd.Function):
    """Sums of losses over pixels, whose gradient is found on the way: no pixel is kept for it."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, level: Tensor, over: SampledRegression) -> Tensor:
        """(C, L) of (C, K, B) weights and (C, K) levels."""
        found = over.summed(weight.detach(), level.detach(), bend=True)
        ctx.save_for_backward(found.by_weight, found.by_level)
        return found.losses

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        """Of a separable loss by output, of a coupled one by copy."""
        by_weight, by_level = ctx.saved_tensors
        return gradient[..., None] * by_weight, gradient * by_level, None


@dataclass(frozen=True, eq=False)
class Summed:
    """Sums over pixels: (C, L) losses, and what (C, K, B) weights and (C, K) levels change them
    by."""

    losses: Tensor
    by_weight: Tensor
    by_level: Tensor

    def __add__(self, other: Summed) -> Summed:
        return Summed(
            self.losses + other.losses,
            self.by_weight + other.by_weight,
            self.by_level + other.by_level,
        )

    def to(self, dtype: torch.dtype) -> Summed:
        """In a type."""
        return Summed(self.losses.to(dtype), self.by_weight.to(dtype), self.by_level.to(dtype))


class SampledRegression(Objective):
    """A loss of the outputs to the targets on a sample of pixels: for activations, and for what is
    not quadratic.

    The pixels stay in the type that they come in, float64 or float32, and products are computed in
    it; sums over chunks of pixels are added in float64, where the device has it.

    Parameters
    ----------
    sample : (N, B + K) bands, then targets. It is not copied on the CPU.
    mean : (B,) the pixel at which the level is taken.
    loss : a name in :data:`bandfuse.optimise.losses.LOSSES`, or a user's own ``loss(y, target)``:
        (N,) or a scalar. A module is copied to the device with its buffers.
    huber_delta : where huber turns from square to straight, in standard deviations of the target.
    held : (N,) true for the pixels that are not trained on, but watched by early stopping.
    targets : (K,) the columns of the targets; those after the bands if not given.
    rows : (N,) the pixels that are used, in this order; all if not given.
    device : where the pixels live, and everything is computed. threads : on the CPU.
    """

    def __init__(
        self,
        sample: NDArray[np.floating],
        n_bands: int,
        mean: Floats,
        activation: str,
        *,
        loss: str | LossFunction = "mse",
        huber_delta: float = 1.0,
        held: NDArray[np.bool_] | None = None,
        targets: Sequence[int] | None = None,
        rows: NDArray[np.intp] | None = None,
        device: str = "cpu",
        threads: int = 1,
    ) -> None:
        there = torch.device(device)
        kept = torch.float32 if sample.dtype == np.float32 else fine(there)
        self._store, self._n_bands = place(torch.as_tensor(sample), there, kept), n_bands
        columns = range(n_bands, sample.shape[1]) if targets is None else targets
        self._pick(list(columns))
        self._mean = place(torch.as_tensor(mean), there, fine(there))
        self.activation = activation
        self.loss = _on_device(loss, there, kept)
        self.separable = isinstance(loss, str) and loss not in COUPLED
        self.threads, self._pool = threads, _Pool()
        every = np.arange(len(sample)) if rows is None else rows
        used = every if held is None else every[~held]
        self._rows = None if rows is None and used is every else self._index(used)
        self._n = len(used)
        self._look(sample, used, n_bands, huber_delta)
        self.scale = self._loss_of_the_mean()
        if held is not None and held.any():
            self.held = self._on(self._index(every[held]))

    def _pick(self, columns: list[int]) -> None:
        """Say which columns of the store are the targets: a view where they are neighbours."""
        ends = slice(columns[0], columns[-1] + 1) if columns else slice(0, 0)
        near = columns == list(range(ends.start, ends.stop))
        self._columns = columns
        self._picks: slice | Tensor = ends if near else self._index(np.array(columns))

    def _index(self, rows: NDArray[np.intp]) -> Tensor:
        return place(torch.as_tensor(rows, dtype=torch.int64), self._store.device)

    def _look(
        self, sample: NDArray[np.floating], used: NDArray[np.intp], n_bands: int, delta: float
    ) -> None:
        """How bands and targets vary, by some of the pixels and by all."""
        step = max(1, -(-len(used) // LOOKED))
        x = sample[used[::step], :n_bands].astype(np.float64) - numbers(self._mean)
        self._cov = x.T @ x / max(1, len(x))
        count, zero = max(1, self._n), self._mean.new_zeros(len(self._columns))
        total, square = zero, zero
        for index in self._chunks():
            total = total + self._targets(index).to(self._fine).sum(0)
        self._target_mean = total / count
        for index in self._chunks():
            away = self._targets(index).to(self._fine) - self._target_mean
            square = square + away.square().sum(0)
        variance = numbers(square / count) if self._n else np.ones(len(zero))
        self._variance = scale_of(variance)
        spread = torch.as_tensor(delta * np.sqrt(self._variance))
        self._delta = place(spread, self._store.device, self._store.dtype)

    @property
    def _fine(self) -> torch.dtype:
        """The type that sums are added in."""
        return fine(self._store.device)

    @property
    def spread(self) -> Floats | None:
        """(K,) standard deviations of the targets; ones before an activation that bends everything
        to its own range."""
        return None if self.activation in ("sigmoid", "tanh") else np.sqrt(self._variance)

    def start_scale(self, weight: Floats) -> float:
        """The outputs then vary as much as the targets; by one before an activation with a range of
        its own."""
        spread = np.ones(len(weight)) if self.spread is None else self.spread
        return as_wide(spread, weight, self._cov)

    @property
    def n_pixels(self) -> int:
        """Pixels that are trained on."""
        return self._n

    @property
    def _whole(self) -> bool:
        """Whether the loss must see all pixels at once: a user's own may be any function of
        them."""
        return not isinstance(self.loss, str)

    def _chunks(self) -> Iterator[slice | Tensor]:
        """What picks each chunk of the pixels that are trained on."""
        size = CHUNKS.get(self._store.device.type, CHUNK)
        for start in range(0, self._n, size):
            here = slice(start, min(start + size, self._n))
            yield here if self._rows is None else self._rows[here]

    def _loss_of_the_mean(self) -> Floats:
        """(L,) the loss of outputs that are the targets' means; one where there is none. Checks a
        user's own loss, on the device and in the type of the training."""
        if isinstance(self.loss, str) and not self.separable and len(self._columns) < 2:
            raise ConfigError(
                f"loss {self.loss} compares vectors",
                got="one output",
                expected="two or more outputs",
                remedy="Use --loss mse, mae or huber.",
            )
        if not self._n:
            return np.ones(len(self._columns) if self.separable else 1)
        mean = self._target_mean.to(self._store.dtype)
        if self._whole:
            t = self._every_target()
            y = mean.expand_as(t).clone().requires_grad_()
            values = self._values(y, t)
            check_values(values, self._n)
            size = numbers(values.mean()).reshape(1)
        else:
            total = [
                self._values(mean.expand_as(t), t).sum(0).to(self._fine)
                for t in map(self._targets, self._chunks())
            ]
            size = numbers(torch.stack(total).sum(0) / self._n).reshape(-1)
        return scale_of(np.where(np.isfinite(size), size, 0.0))

    def _pixels(self, index: slice | Tensor) -> tuple[Tensor, Tensor]:
        """(n, B) centred bands and (n, K) targets of a chunk."""
        n, mean = self._n_bands, self._mean.to(self._store.dtype)
        if isinstance(index, slice):
            rows = self._store[index]
            return rows[:, :n] - mean, self._picked(rows)
        rows = self._store.index_select(0, index)
        return rows[:, :n].sub_(mean), self._picked(rows)

    def _picked(self, rows: Tensor) -> Tensor:
        """The targets of (n, D) rows."""
        if isinstance(self._picks, slice):
            return rows[:, self._picks]
        return rows.index_select(1, self._picks)

    def _targets(self, index: slice | Tensor) -> Tensor:
        """(n, K) of a chunk."""
        if isinstance(index, slice):
            return self._picked(self._store[index])
        return self._picked(self._store.index_select(0, index))

    def _every_target(self) -> Tensor:
        """(N, K) of the pixels that are trained on."""
        return torch.cat([self._targets(index) for index in self._chunks()])

    def _values(self, y: Tensor, t: Tensor) -> Tensor:
        if not isinstance(self.loss, str):
            return self.loss(y, t)
        return huber(y, t, self._delta) if self.loss == "huber" else LOSSES[self.loss](y, t)

    def losses(self, weight: Tensor, gain: Tensor, level: Tensor | None) -> Tensor:
        """(…, K) mean losses over the sample; (…, 1) of a coupled loss."""
        effective = place(gain[..., None] * weight, self._store.device, self._fine)
        at_mean = effective @ self._mean if level is None else level
        at_mean = place(at_mean, self._store.device, self._fine)
        w = effective.reshape(-1, *effective.shape[-2:])
        flat = at_mean.expand(effective.shape[:-1]).reshape(-1, effective.shape[-2])
        if torch.is_grad_enabled() and (w.requires_grad or flat.requires_grad):
            total: Tensor = _Sums.apply(w, flat, self)  # type: ignore[no-untyped-call]
        else:
            total = self.summed(w, flat, bend=False).losses
        found = total.reshape(*effective.shape[:-2], total.shape[-1]) / self._n
        return place(found, weight.device, weight.dtype)

    def summed(self, weight: Tensor, level: Tensor, *, bend: bool) -> Summed:
        """Sums over the pixels of the losses of (C, K, B) weights and (C, K) levels, and with
        ``bend`` of their gradients."""
        w, at_mean = weight.to(self._store.dtype), level.to(self._store.dtype)
        if self._whole:
            return self._at_once(w, at_mean, bend=bend).to(self._fine)

        def work(index: slice | Tensor) -> Summed:
            return self._of_chunk(*self._pixels(index), w, at_mean, bend=bend).to(self._fine)

        chunks = list(self._chunks())
        parts = self._pool.map(work, chunks, self._used_threads(len(chunks)))
        total = next(parts, None)
        if total is None:
            nothing = w.new_zeros((len(w), len(self.scale)), dtype=self._fine)
            return Summed(nothing, torch.zeros_like(weight), torch.zeros_like(level))
        for part in parts:
            total = total + part
        return total

    def _used_threads(self, chunks: int) -> int:
        """Threads of this process: the device has its own."""
        return min(self.threads, chunks) if self._store.device.type == "cpu" else 1

    def _of_chunk(
        self, x: Tensor, t: Tensor, weight: Tensor, level: Tensor, *, bend: bool
    ) -> Summed:
        """Of (n, B) centred pixels and their (n, K) targets."""
        copies, k, _ = weight.shape
        rows = weight.reshape(copies * k, -1)
        y = torch.addmm(level.reshape(-1), x, rows.T)
        with torch.set_grad_enabled(bend):
            y.requires_grad_(bend)
            values = self._values_of_copies(y, t, copies)
            if not bend:
                return Summed(values.sum(0), weight.new_zeros(()), weight.new_zeros(()))
            (by_output,) = torch.autograd.grad(values.sum(), y)
        return Summed(
            values.detach().sum(0),
            (by_output.T @ x).reshape(weight.shape),
            by_output.sum(0).reshape(level.shape),
        )

    def _values_of_copies(self, y: Tensor, t: Tensor, copies: int) -> Tensor:
        """(n, C, L) losses of (n, C · K) outputs before the activation."""
        outputs = ACTIVATIONS[self.activation](y)
        if copies == 1:
            return self._values(outputs, t).reshape(len(t), 1, -1)
        each = outputs.reshape(len(t), copies, -1)
        if self.separable:
            return self._values(each, t[:, None])
        flat = t[:, None].expand_as(each).reshape(-1, t.shape[1])
        return self._values(each.reshape(flat.shape), flat).reshape(len(t), copies, 1)

    def _at_once(self, weight: Tensor, level: Tensor, *, bend: bool) -> Summed:
        """A user's own loss of all pixels together, for one copy after the other. Their number
        times the loss: the mean of it is then the loss."""
        t, parts = self._every_target(), []
        for w, at_mean in zip(weight, level, strict=True):
            y = torch.cat([torch.addmm(at_mean, self._pixels(i)[0], w.T) for i in self._chunks()])
            with torch.set_grad_enabled(bend):
                y.requires_grad_(bend)
                value = self._values(ACTIVATIONS[self.activation](y), t).mean() * self._n
                by_output = torch.autograd.grad(value, y)[0] if bend else torch.zeros_like(y)
            by_weight, start = torch.zeros_like(w, dtype=self._fine), 0
            for index in self._chunks() if bend else ():
                x, _ = self._pixels(index)
                by_weight = by_weight + (by_output[start : start + len(x)].T @ x).to(self._fine)
                start += len(x)
            parts.append((value.detach().reshape(1), by_weight, by_output.sum(0)))
        return Summed(*(torch.stack(part) for part in zip(*parts, strict=True)))

    def brightness(self, weight: Tensor, gain: Tensor, level: Tensor | None) -> float:
        """The factor that brings the outputs nearest to the targets, for losses and activations
        that do not see it."""
        blind = isinstance(self.loss, str) and self.loss in COUPLED
        if not blind or self.activation not in ("identity", "relu", "leaky_relu"):
            return 1.0
        w = place(gain[..., None] * weight, self._store.device, self._fine)
        at_mean = w @ self._mean if level is None else place(level, self._store.device, self._fine)
        w, at_mean = w.to(self._store.dtype), at_mean.to(self._store.dtype)
        sums = self._mean.new_zeros(2)
        for index in self._chunks():
            x, t = self._pixels(index)
            y = ACTIVATIONS[self.activation](torch.addmm(at_mean, x, w.T))
            found = torch.stack([(y * t).sum(), (y * y).sum()])
            sums = sums + found.to(self._fine)
        along, size = numbers(sums)
        factor = float(along / size) if size > 0 else 1.0
        return factor if np.isfinite(factor) and factor > 0 else 1.0

    def _on(self, rows: Tensor) -> SampledRegression:
        """The same loss, in the same units, on other pixels."""
        other = copy.copy(self)
        other._rows, other._n, other.held = rows, len(rows), None
        return other

    def batch(self, index: Tensor) -> SampledRegression:
        """The objective on some of its pixels."""
        return self._on(index if self._rows is None else self._rows[index])

    def part(self, rows: Sequence[int]) -> SampledRegression:
        """The regression of these outputs alone; a coupled loss has no parts."""
        if not self.separable:
            return self
        r, other = list(rows), copy.copy(self)
        other._pick([self._columns[k] for k in r])
        here = self._index(np.array(r))
        other._delta = self._delta.index_select(0, here)
        other._target_mean = self._target_mean.index_select(0, here)
        other.scale, other._variance = self.scale[r], self._variance[r]
        other.held = None if self.held is None else self.held.part(rows)
        return other

    def to(self, device: torch.device, dtype: torch.dtype) -> Objective:
        """The objective itself: its pixels live where it was made."""
        return self

    def metric(self, layout: Layout) -> Floats:
        """(P, P) curvature as if the activation were the identity and the loss the squared
        error."""
        rows = [(layout.member(k), s) for k, s in enumerate(self._variance)]
        return (
            np.sum([z.T @ self._cov @ z / s for z, s in rows], axis=0)
            if layout.size
            else np.zeros((0, 0))
        )


def _on_device(
    loss: str | LossFunction, device: torch.device, dtype: torch.dtype
) -> str | LossFunction:
    """A loss that is a module, copied to the device with its parameters and buffers, if it has
    any."""
    if not isinstance(loss, nn.Module) or not [*loss.parameters(), *loss.buffers()]:
        return loss
    return copy.deepcopy(loss).to(dtype).to(device)


class _Pool:
    """Threads that are started once, for the chunks of the CPU."""

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None

    def map(
        self, work: Callable[[Any], Summed], items: list[Any], threads: int
    ) -> Iterator[Summed]:
        """The results in order."""
        if threads <= 1:
            return map(work, items)
        if self._pool is None:
            self._pool = ThreadPoolExecutor(threads, thread_name_prefix="bandfuse-sample")
        return self._pool.map(work, items)
