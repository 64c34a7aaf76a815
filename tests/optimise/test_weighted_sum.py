"""The layer for networks: what it refuses, and what it says of its weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from bandfuse.errors import ConfigError
from bandfuse.nn import WeightedSum


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"constraint": "convex"},
            "constraint=; got 'convex'; expected one of free, affine, nonnegative, simplex.",
        ),
        ({"constraint": "simplx"}, "simplex. Did you mean 'simplex'?"),
        ({"weights": "channels"}, "weights=; got 'channels'; expected one of scalar, channel"),
        ({"activation": "gelu"}, "activation=; got 'gelu'; expected one of identity, relu"),
        ({"init": "zeros"}, "init=; got 'zeros'; expected one of uniform, normal"),
        ({"fixed": [2]}, "fixed=; got 2; expected places from 0 to 1"),
        ({"fixed": [-1]}, "fixed=; got -1; expected places from 0 to 1"),
    ],
)
def test_unknown_words_are_refused_with_those_that_are_known(
    given: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        WeightedSum([3, 3], **given)
    assert message in str(caught.value)


def data(n: int, channels: list[int]) -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    return [torch.randn(n, c, 5, generator=random, dtype=torch.float64) for c in channels]


@pytest.mark.parametrize("constraint", ["free", "affine", "nonnegative", "simplex"])
@pytest.mark.parametrize("kind", ["scalar", "channel", "instance"])
@pytest.mark.parametrize("gain", [False, True])
def test_the_weights_that_are_read_make_the_output(kind: str, constraint: str, gain: bool) -> None:
    """Through plain sums over tensors, and through the matrix."""
    channels, n = [3, 1, 3], 4
    fuse = WeightedSum(
        channels, weights=kind, constraint=constraint, gain=gain, init="normal", instances=n
    )
    if gain:
        for module in fuse.weights:
            module.root_gain.data.fill_(1.5)  # type: ignore[operator, union-attr]
    x = data(n, channels)
    y = fuse(*x).detach().numpy()
    weight = fuse.weight.numpy() * (2.25 if gain else 1.0)
    assert weight.shape == ((n, 3, 3) if kind == "instance" else (3, 3))
    w = np.broadcast_to(weight, (n, 3, 3))
    wide = [t.expand(n, 3, 5).numpy() for t in x]
    np.testing.assert_allclose(y, sum(w[:, s, :, None] * wide[s] for s in range(3)), atol=1e-12)
    matrix = fuse.matrix()
    assert matrix.requires_grad
    assert matrix.shape[-2:] == (3, 7)
    np.testing.assert_allclose(y, (matrix @ torch.cat(x, dim=1)).detach().numpy(), atol=1e-12)
    if constraint in ("affine", "simplex"):
        np.testing.assert_allclose(fuse.weight.sum(dim=-2), 1.0, atol=1e-12)


def test_a_copy_of_the_weights_does_not_change_them() -> None:
    fuse = WeightedSum([2, 2], weights="scalar", fixed=[0])
    before = fuse.weight
    assert before.tolist() == [[1.0, 1.0], [1.0, 1.0]]
    fuse.weight.zero_()
    assert torch.equal(fuse.weight, before)
    assert not before.requires_grad


def test_the_text_of_a_layer_shows_settings_and_weights() -> None:
    fuse = WeightedSum([3, 3], weights="scalar", constraint="affine")
    assert fuse.extra_repr().splitlines() == [
        "channels=3, 3, weights='scalar', constraint='affine', activation='identity'",
        "tensor 0: 0.5, 0.5, 0.5",
        "tensor 1: 0.5, 0.5, 0.5",
    ]
    many = WeightedSum([200] * 30, weights="instance", instances=16)
    assert "of the first instance" in repr(many)
    assert "… (30 tensors)" in repr(many)
    assert len(repr(many)) < 900
