"""Members: sums over sets and their gradients are those of the 0/1 matrix."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers import close_to_conditioning

from bandfuse.optimise.members import Members


@pytest.mark.parametrize("lead", [(), (3,), (2, 3)])
def test_sums_and_gradients_are_those_of_the_matrix(lead: tuple[int, ...]) -> None:
    random = np.random.default_rng(0)
    to, source = random.integers(0, 5, 20), random.integers(0, 7, 20)
    matrix = np.zeros((6, 7))
    np.add.at(matrix, (to, source), 1.0)
    sums = Members(to, source, (6, 7))
    x = torch.as_tensor(random.standard_normal((*lead, 7))).requires_grad_()
    close_to_conditioning(sums(x).detach().numpy(), x.detach().numpy() @ matrix.T)
    assert torch.autograd.gradcheck(sums, (x,))
    assert torch.autograd.gradgradcheck(sums, (x,))
    rows = torch.as_tensor(random.standard_normal((4, 7)))
    torch.testing.assert_close(torch.func.vmap(sums)(rows), sums(rows))


def test_nothing_is_summed_where_every_place_takes_its_own() -> None:
    x = torch.arange(4.0)
    assert Members(np.arange(4), np.arange(4), (4, 4))(x) is x
    assert Members(np.zeros(0, int), np.zeros(0, int), (2, 3))(torch.ones(3)).tolist() == [0, 0]
