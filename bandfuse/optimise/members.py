"""Members: sums over members of sets, and their gradients, with the same bits on every run.

``index_add`` and the gradient of an index that repeats add in any order on a GPU. Here both ways
are gathers, and sums along an axis of a fixed length."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bandfuse.spectral.bands import Positions


class _Sums(torch.autograd.Function):
    """``y[…, i] = Σ_j x[…, there[i, j]]``; the gradient is the same along the other lists."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, there: Tensor, back: Tensor) -> Tensor:
        """(…, I) from (…, J), (I, n) places and (J, m) places."""
        padded = torch.cat([x, x.new_zeros((*x.shape[:-1], 1))], -1)
        found = padded.index_select(-1, there.reshape(-1))
        return found.reshape(*x.shape[:-1], *there.shape).sum(-1)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
        """Keep the lists."""
        ctx.save_for_backward(*inputs[1:])

    @staticmethod
    def backward(ctx: Any, *gradient: Tensor) -> tuple[Tensor, None, None]:
        """Each entry takes what its own entries of the result got."""
        there, back = ctx.saved_tensors
        return _Sums.apply(gradient[0], back, there), None, None  # type: ignore[no-untyped-call]


class Members(nn.Module):
    """The sums ``y[…, to[e]] += x[…, source[e]]`` over entries e, along the last axis.

    Parameters
    ----------
    to, source : (E,) places in the result and in what is summed.
    shape : their sizes, I and J.
    """

    there: Tensor
    back: Tensor

    def __init__(self, to: Positions, source: Positions, shape: tuple[int, int]) -> None:
        super().__init__()
        there, back = _lists(to, source, shape), _lists(source, to, shape[::-1])
        self.register_buffer("there", torch.as_tensor(there), persistent=False)
        self.register_buffer("back", torch.as_tensor(back), persistent=False)
        self.same = shape[0] == shape[1] and np.array_equal(there[:, 0], np.arange(shape[0]))
        self.same = self.same and there.shape[1] == 1

    def forward(self, x: Tensor) -> Tensor:
        """(…, I) from (…, J)."""
        if self.same:
            return x
        found: Tensor = _Sums.apply(x, self.there, self.back)  # type: ignore[no-untyped-call]
        return found


def _lists(to: Positions, source: Positions, shape: tuple[int, int]) -> NDArray[np.int64]:
    """(I, n) the sources of each place; J, where a zero stands, for those with fewer than n."""
    order = np.argsort(to, kind="stable")
    count = np.bincount(to, minlength=shape[0])
    start = np.cumsum(count) - count
    lists = np.full((shape[0], max(1, int(count.max(initial=0)))), shape[1], dtype=np.int64)
    lists[to[order], np.arange(len(to)) - start[to[order]]] = source[order]
    return lists
