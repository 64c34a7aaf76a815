"""Fit: every optimizer reaches the optimum, known answers come back, and the three textbook cases
are solved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import (
    bands_of,
    close_to_conditioning,
    condition_of,
    correlated,
    plain,
    rounding,
    same_bits,
)
from sklearn.decomposition import PCA
from torch import nn

from bandfuse.errors import ConfigError, GroupError
from bandfuse.model import fusion
from bandfuse.moments.moments import Moments
from bandfuse.nn import WeightedSum
from bandfuse.optimise.activations import ACTIVATIONS
from bandfuse.optimise.fit import OPTIMIZERS, fit
from bandfuse.optimise.objectives.base import Objective
from bandfuse.optimise.objectives.reconstruction import Reconstruction
from bandfuse.optimise.objectives.regression import Regression
from bandfuse.optimise.objectives.sampled import SampledRegression
from bandfuse.optimise.objectives.total import Sum
from bandfuse.optimise.parameters import CONSTRAINTS
from bandfuse.solve.design import design
from bandfuse.solve.exact import CONE
from bandfuse.solve.fit_result import Fit, Settings
from bandfuse.solve.layout import Layout, within
from bandfuse.solve.squares import Split, Squares
from bandfuse.solve.starts import INITS, initial
from bandfuse.spectral.bands import Bands, Floats
from bandfuse.spectral.groups import Group

B = 5
ONE_GROUP = within([Group("all", tuple(range(B)))], B, "channel", set(), [0])
QUICK = {"lbfgs": None, "adam": 500, "adamw": 500, "sgd": 600}
"""Steps that are enough for small problems."""

KNOWN = {
    "free": np.array([0.9, -0.4, 0.2, 0.1, 0.3]),
    "affine": np.array([0.9, -0.4, 0.2, 0.1, 0.2]),
    "nonnegative": np.array([0.9, 0.0, 0.2, 0.1, 0.3]),
    "simplex": np.array([0.5, 0.0, 0.2, 0.1, 0.2]),
}
"""Weights that each constraint allows, on its edge where it has one."""


def data(
    *, n: int = 400, d: int = B, noise: float = 0.0, weight: Floats | None = None, seed: int = 0
) -> Floats:
    """(N, D + 1) well-conditioned bands and one target."""
    random = np.random.default_rng(seed)
    x = correlated(random, n, d, floor=2.0)
    w = random.uniform(-0.5, 1.0, d) if weight is None else weight
    return np.column_stack([x, x @ w + 0.7 + noise * random.standard_normal(n)])


def regress(
    joint: Floats,
    layout: Layout,
    settings: Settings,
    *,
    offset: bool = True,
    bands: Bands | None = None,
) -> Fit:
    """Regression from the moments of [bands, targets]."""
    n = layout.shape[1]
    moments = Moments.of(joint)
    split = Split.of(moments, n)
    level = split.target_mean if offset else None
    return fit(
        layout,
        Regression(Squares.of(split, offset=offset)),
        bands or bands_of(n),
        moments.mean[:n],
        level,
        settings,
    )


def predicted(found: Fit, x: Floats) -> Floats:
    return (x @ found.weight.T) * found.gain + found.offset


# ------------------------------------------------------------------------------------------------ t


@pytest.mark.one_in(3)
@pytest.mark.parametrize("constraint", CONSTRAINTS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_reaches_the_exact_optimum(optimizer: str, constraint: str) -> None:
    joint = data(noise=0.5)
    settings = Settings(
        constraint=constraint, optimizer=optimizer, init="uniform", steps=QUICK[optimizer]
    )
    found = regress(joint, ONE_GROUP, settings)
    assert found.relative_gap is not None
    assert -1e-10 <= found.relative_gap <= 1e-6
    residual = predicted(found, joint[:, :B]) - joint[:, B:]
    # The loss is a difference of terms of the size of the squares of weights and bands.
    share = rounding(
        float(np.sum(found.weight**2) * joint[:, :B].var(axis=0).sum() / found.losses[0])
    )
    assert found.losses == pytest.approx(np.mean(residual**2, axis=0), rel=share)
    assert found.scale == pytest.approx(joint[:, B:].var(axis=0))
    (rows, history), *more = found.history
    assert more == []
    assert rows == [0]
    assert len(history) == found.steps + 1
    assert history[-1] == pytest.approx(float(found.losses[0] / found.scale[0]), rel=share)
    assert history[0] > history[-1]


@pytest.mark.parametrize("offset", [True, False])
@pytest.mark.parametrize("init", [*INITS, "least-squares", "auto"])
@pytest.mark.parametrize("constraint", CONSTRAINTS)
def test_lbfgs_reaches_the_optimum_from_anywhere(constraint: str, init: str, offset: bool) -> None:
    joint = data(noise=0.5)
    found = regress(
        joint, ONE_GROUP, Settings(constraint=constraint, init=init, seed=3), offset=offset
    )
    assert found.relative_gap is not None
    assert -1e-10 <= found.relative_gap <= 1e-6
    assert (found.offset != 0).all() == offset


@pytest.mark.parametrize("offset", [True, False])
@pytest.mark.parametrize("constraint", CONE)
def test_lbfgs_reaches_the_optimum_with_a_gain(constraint: str, offset: bool) -> None:
    random = np.random.default_rng(1)
    joint = data(noise=0.1, weight=random.uniform(0.2, 0.8, B))
    found = regress(
        joint, ONE_GROUP, Settings(constraint=constraint, gain=True, init="uniform"), offset=offset
    )
    assert found.relative_gap is not None
    assert -1e-10 <= found.relative_gap <= 1e-6
    assert found.weight.sum() == pytest.approx(1.0)
    assert found.gain[0] > 1.5


@pytest.mark.parametrize("init", ["normal", "xavier"])
def test_random_starts_are_seeded(init: str) -> None:
    joint = data(noise=0.5)
    fits = [
        regress(
            joint,
            ONE_GROUP,
            Settings(constraint="free", init=init, seed=seed, optimizer="adam", steps=3),
        )
        for seed in (1, 1, 2)
    ]
    same_bits(fits[0].weight, fits[1].weight)
    assert fits[0].history == fits[1].history
    assert not np.array_equal(fits[0].weight, fits[2].weight)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_fits_have_the_same_bits_every_time(optimizer: str) -> None:
    joint = data(noise=0.5)
    settings = Settings(constraint="nonnegative", optimizer=optimizer, init="normal", steps=30)
    same_bits(
        regress(joint, ONE_GROUP, settings).weight, regress(joint, ONE_GROUP, settings).weight
    )


@pytest.mark.parametrize("init", INITS)
def test_no_steps_leave_the_initial_weights(init: str) -> None:
    bands = bands_of(B)
    joint = data(noise=0.5)
    found = regress(
        joint, ONE_GROUP, Settings(constraint="free", init=init, steps=0, seed=9), bands=bands
    )
    condition = condition_of(joint[:, :B])
    assert found.weight[0] == pytest.approx(
        initial(init, ONE_GROUP, bands, 9), abs=rounding(condition)
    )
    assert found.steps == 0


def test_response_starts_as_a_gaussian_at_the_centre_of_the_range() -> None:
    layout = within([Group("a", (0, 1, 2)), Group("b", (2, 3, 4))], B, "channel", set(), [0, 1])
    w = layout.matrix(initial("response", layout, bands_of(B, start_nm=500, step_nm=10), 0))
    # The width at half maximum is half the range of 20 nm: the outer bands, 10 nm away, hold
    # (1/2)^4 of the peak.
    assert w[0, :3] == pytest.approx(np.array([1, 16, 1]) / 18)
    assert w[1, 2:] == pytest.approx(np.array([1, 16, 1]) / 18)
    by_number = layout.matrix(initial("response", layout, plain(B), 0))
    assert by_number == pytest.approx(w)


def test_an_unknown_init_is_refused() -> None:
    with pytest.raises(ConfigError, match="got 'ones'; expected one of uniform"):
        regress(data(), ONE_GROUP, Settings(init="ones"))


# -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("offset", [True, False])
def test_free_weights_are_those_of_least_squares(offset: bool) -> None:
    random = np.random.default_rng(2)
    x = correlated(random, 300, B) * [1.0, 10.0, 0.1, 1000.0, 1.0]
    t = x @ random.standard_normal((B, 3)) + random.standard_normal((300, 3))
    layout = within([Group("all", tuple(range(B)))], B, "channel", set(), [0, 0, 0])
    found = regress(
        np.hstack([x, t]), layout, Settings(constraint="free", init="normal"), offset=offset
    )
    design_matrix = np.column_stack([x, np.ones(300)]) if offset else x
    reference = np.linalg.lstsq(design_matrix, t, rcond=None)[0].T
    # Each weight in the units of its band; without an offset the bands count from zero.
    condition = float(np.linalg.cond(design_matrix / np.linalg.norm(design_matrix, axis=0))) ** 2
    spread = x.std(axis=0)
    close_to_conditioning(found.weight * spread, reference[:, :B] * spread, condition)
    close_to_conditioning(found.offset, reference[:, B] if offset else np.zeros(3), condition)


@pytest.mark.parametrize("init", ["uniform", "auto"])
@pytest.mark.parametrize("constraint", CONSTRAINTS)
def test_weights_that_made_the_target_come_back(constraint: str, init: str) -> None:
    weight = KNOWN[constraint]
    settings = Settings(constraint=constraint, init=init)
    found = regress(data(weight=weight), ONE_GROUP, settings)
    assert found.weight[0] == pytest.approx(weight, abs=1e-3)
    assert found.offset[0] == pytest.approx(0.7, abs=1e-2)


@pytest.mark.parametrize("constraint", ["affine", "simplex"])
def test_a_known_gain_and_offset_come_back(constraint: str) -> None:
    weight = KNOWN[constraint]
    found = regress(
        data(weight=3.0 * weight),
        ONE_GROUP,
        Settings(constraint=constraint, gain=True, init="uniform"),
    )
    assert found.gain[0] == pytest.approx(3.0, rel=1e-4)
    assert found.weight[0] == pytest.approx(weight, abs=1e-4)
    assert found.offset[0] == pytest.approx(0.7, abs=1e-3)


def test_groups_that_are_fixed_everywhere_leave_the_offset_to_learn() -> None:
    layout = within([Group("a", (0, 1)), Group("b", (2,))], 3, "channel", {"a"}, [0, 1])
    random = np.random.default_rng(0)
    x = random.standard_normal((50, 3)) + 2
    joint = np.column_stack([x, x[:, 0] + x[:, 1] + 5, 0.5 * x[:, 2]])
    for constraint in CONSTRAINTS:
        found = regress(joint, layout, Settings(constraint=constraint, init="uniform"))
        assert found.weight[0] == pytest.approx([1, 1, 0])
        assert found.offset[0] == pytest.approx(5)
        assert found.weight[1, 2] == pytest.approx(1.0 if constraint in CONE else 0.5)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_free_reconstruction_is_principal_components(k: int) -> None:
    random = np.random.default_rng(5)
    d = 6
    x = (
        random.standard_normal((300, d))
        @ np.diag([5.0, 3.0, 2.0, 1.0, 0.7, 0.5])
        @ random.standard_normal((d, d))
    )
    layout = within(
        [Group(f"g{i}", tuple(range(d))) for i in range(k)], d, "channel", set(), list(range(k))
    )
    moments = Moments.of(x)
    objective = Reconstruction(moments.covariance)
    found = fit(layout, objective, bands_of(d), moments.mean, None, Settings(constraint="free"))
    pca = PCA(k).fit(x)
    lost = np.mean((x - pca.inverse_transform(pca.transform(x))) ** 2)
    assert found.losses[0] == pytest.approx(lost, rel=1e-8)
    assert found.optimum is None
    assert found.relative_gap is None
    # The same subspace: all cosines of the angles between the two are one.
    rows = np.linalg.qr(found.weight.T)[0].T
    assert np.linalg.svd(rows @ pca.components_.T)[1] == pytest.approx(np.ones(k), abs=1e-6)


@pytest.mark.parametrize("constraint", [c for c in CONSTRAINTS if c != "free"])
def test_constrained_reconstruction_improves_and_never_beats_principal_components(
    constraint: str,
) -> None:
    random = np.random.default_rng(5)
    x = correlated(random, 300, B)
    layout = within(
        [Group("a", tuple(range(B))), Group("b", tuple(range(B)))], B, "channel", set(), [0, 1]
    )
    moments = Moments.of(x)
    found = fit(
        layout,
        Reconstruction(moments.covariance),
        bands_of(B),
        moments.mean,
        None,
        Settings(constraint, steps=100),
    )
    pca = PCA(2).fit(x)
    lost = np.mean((x - pca.inverse_transform(pca.transform(x))) ** 2)
    assert found.losses[0] >= lost * (1 - 1e-8)
    assert found.history[0][1][0] > found.history[0][1][-1]
    assert np.linalg.matrix_rank(found.weight) == 2


def test_the_exact_solution_cannot_start_what_has_none() -> None:
    with pytest.raises(
        ConfigError, match="least-squares needs an objective with an exact solution"
    ):
        fit(
            ONE_GROUP,
            Reconstruction(np.eye(B)),
            bands_of(B),
            np.zeros(B),
            None,
            Settings(init="least-squares"),
        )


@pytest.mark.parametrize("name", [a for a in ACTIVATIONS if a != "identity"])
def test_weights_behind_an_activation_come_back(name: str) -> None:
    random = np.random.default_rng(4)
    x = correlated(random, 500, 4, floor=2.0)
    weight, offset = np.array([0.6, -0.3, 0.4, 0.2]), 0.3
    t = fusion.ACTIVATIONS[name]((x - x.mean(axis=0)) @ weight + offset)
    layout = within([Group("all", (0, 1, 2, 3))], 4, "channel", set(), [0])
    objective: Objective = SampledRegression(np.column_stack([x, t]), 4, x.mean(axis=0), name)
    found = fit(
        layout, objective, bands_of(4), x.mean(axis=0), np.zeros(1), Settings(constraint="free")
    )
    assert found.weight[0] == pytest.approx(weight, abs=1e-5)
    assert found.offset[0] == pytest.approx(offset - weight @ x.mean(axis=0), abs=1e-5)
    assert found.losses[0] < 1e-10
    assert found.relative_gap is None


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_weights_behind_a_sigmoid_come_back_by_descent(optimizer: str) -> None:
    random = np.random.default_rng(4)
    x = correlated(random, 200, 3, floor=2.0)
    weight = np.array([0.5, 0.3, 0.2])
    t = fusion.ACTIVATIONS["sigmoid"]((x - x.mean(axis=0)) @ weight)
    layout = within([Group("all", (0, 1, 2))], 3, "channel", set(), [0])
    objective = SampledRegression(np.column_stack([x, t]), 3, x.mean(axis=0), "sigmoid")
    settings = Settings(constraint="simplex", optimizer=optimizer, init="uniform", steps=600)
    found = fit(layout, objective, bands_of(3), x.mean(axis=0), np.zeros(1), settings)
    assert found.weight[0] == pytest.approx(weight, abs=1e-3)


# -------------------------------------------------------------------------------------------- the t

N, C = 300, 3
STEPS = {"adam": 300, "sgd": 300}
DESCENT = pytest.mark.parametrize("optimizer", ["adam", "sgd"])

STEPPERS: dict[str, Callable[[list[nn.Parameter]], torch.optim.Optimizer]] = {
    "adam": lambda parameters: torch.optim.Adam(parameters, lr=0.02),
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=0.05, momentum=0.9),
}


def from_moments(
    groups: list[Group],
    x: Floats,
    t: Floats,
    optimizer: str,
    *,
    kind: str,
    constraint: str,
    fixed: tuple[str, ...] = (),
    steps: int | None = None,
) -> Fit:
    """Design, layout, objective and fit, as training does it."""
    arranged = design(
        groups, targets=[f"t{c}" for c in range(t.shape[1])], kind=kind, fuse="across", fixed=fixed
    )
    assert arranged.used == tuple(range(x.shape[1]))
    assert arranged.layout.shape == (t.shape[1], x.shape[1])
    settings = Settings(
        constraint=constraint, optimizer=optimizer, init="uniform", steps=steps or STEPS[optimizer]
    )
    return regress(
        np.hstack([x, t]), arranged.layout, settings, offset=False, bands=plain(x.shape[1])
    )


class Network(nn.Module):
    """A small network: the weighted sum, then a layer of its own that mixes the channels."""

    def __init__(self, fuse: WeightedSum, channels: int) -> None:
        super().__init__()
        self.fuse = fuse
        self.head = nn.Sequential(nn.Conv2d(channels, channels, 1), nn.LeakyReLU(0.2))
        with torch.no_grad():
            mixing = torch.eye(channels) + 0.2 * torch.ones(channels, channels)
            self.head[0].weight.copy_(mixing[:, :, None, None])
            self.head[0].bias.zero_()

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        return self.head(self.fuse(*tensors))


def train(
    network: Network, truth: Network, tensors: list[torch.Tensor], optimizer: str, steps: int = 700
) -> float:
    """The plain loop that everyone writes; all parameters of the network are trained. Gives the
    last loss."""
    with torch.no_grad():
        target = truth(*tensors)
        # The head starts beside the truth and has to find back as well.
        network.head[0].weight += 0.05
    descent = STEPPERS[optimizer](list(network.parameters()))
    for _ in range(steps):
        descent.zero_grad()
        loss = nn.functional.mse_loss(network(*tensors), target)
        loss.backward()
        descent.step()
    return float(loss.detach())


def images(count: int, channels: list[int], seed: int = 0) -> list[torch.Tensor]:
    """Tensors of shape (count, C, 6, 6)."""
    random = torch.Generator().manual_seed(seed)
    return [torch.randn(count, c, 6, 6, generator=random) for c in channels]


def learned(fuse: WeightedSum, instance: int = 0) -> Floats:
    """The weights of one instance, in the order of the layout."""
    vector: Floats = fuse.weights[instance].vector().detach().numpy()  # type: ignore[operator, union-attr]
    return vector


def sum_of(channels: list[int], values: list[Floats], **settings: object) -> WeightedSum:
    """A weighted sum with these weights."""
    fuse = WeightedSum(channels, **settings)  # type: ignore[arg-type]
    for module, v in zip(fuse.weights, values, strict=True):
        module.start(np.asarray(v))  # type: ignore[operator, union-attr]
    return fuse


@DESCENT
def test_textbook_two_tensors_one_scalar(optimizer: str) -> None:
    """Two tensors of one shape and one scalar: w and 1 − w."""
    random = np.random.default_rng(0)
    x = random.standard_normal((N, 2 * C)) + 1.0
    noise = 0.1 * random.standard_normal((N, C))
    t = 0.3 * x[:, :C] + 0.7 * x[:, C:] + noise
    groups = [Group("first", (0, 1, 2)), Group("second", (3, 4, 5))]
    found = from_moments(groups, x, t, optimizer, kind="scalar", constraint="affine")
    # One scalar on paper: w = Σ ⟨d_c, t_c − b_c⟩ / Σ ⟨d_c, d_c⟩ with d = a − b, each channel over
    # its variance.
    d, r = x[:, :C] - x[:, C:], t - x[:, C:]
    w = float((d * r / t.var(axis=0)).sum() / (d * d / t.var(axis=0)).sum())
    assert found.weight == pytest.approx(np.hstack([w * np.eye(C), (1 - w) * np.eye(C)]), abs=1e-5)
    assert w == pytest.approx(0.3, abs=0.02)
    assert found.relative_gap == pytest.approx(0.0, abs=1e-6)


@pytest.mark.one_in(2)
@DESCENT
def test_textbook_two_tensors_one_scalar_in_a_network(optimizer: str) -> None:
    settings = {"weights": "scalar", "constraint": "affine"}
    truth = Network(sum_of([C, C], [np.array([0.3, 0.7])], **settings), C)
    network = Network(WeightedSum([C, C], **settings), C)  # type: ignore[arg-type]
    assert sum(p.numel() for p in network.fuse.parameters()) == 1
    assert train(network, truth, images(4, [C, C]), optimizer) < 1e-6
    assert learned(network.fuse) == pytest.approx([0.3, 0.7], abs=1e-2)
    assert learned(network.fuse).sum() == pytest.approx(1.0, abs=rounding())


@DESCENT
def test_textbook_three_channels_and_one_broadcast(optimizer: str) -> None:
    """Three channels and one channel that is broadcast, with one weight per channel: w_c and 1 −
    w_c."""
    random = np.random.default_rng(1)
    x = random.standard_normal((N, 4)) + 1.0
    w = np.array([0.2, 0.5, 0.9])
    t = w * x[:, :3] + (1 - w) * x[:, 3:] + 0.1 * random.standard_normal((N, 3))
    groups = [Group("rgb", (0, 1, 2)), Group("pan", (3,))]
    found = from_moments(groups, x, t, optimizer, kind="channel", constraint="affine")
    d, r = x[:, :3] - x[:, 3:], t - x[:, 3:]
    best = (d * r).sum(axis=0) / (d * d).sum(axis=0)
    assert found.weight == pytest.approx(np.column_stack([np.diag(best), 1 - best]), abs=1e-5)
    assert best == pytest.approx(w, abs=0.03)
    assert found.relative_gap == pytest.approx(0.0, abs=1e-6)
    # Without a constraint both weights of a channel are learned.
    free = from_moments(groups, x, t, optimizer, kind="channel", constraint="free")
    for c in range(3):
        pair = np.linalg.lstsq(x[:, [c, 3]], t[:, c], rcond=None)[0]
        assert free.weight[c, [c, 3]] == pytest.approx(pair, abs=1e-5)


@pytest.mark.one_in(2)
@DESCENT
def test_textbook_three_channels_and_one_broadcast_in_a_network(optimizer: str) -> None:
    settings = {"weights": "channel", "constraint": "affine"}
    w = np.array([0.2, 0.5, 0.9])
    layout = WeightedSum([3, 1], **settings).weights[0].layout  # type: ignore[arg-type, union-attr]
    values = np.zeros(6)
    values[layout.param] = np.where(layout.group == 0, w[layout.row], 1 - w[layout.row])
    truth = Network(sum_of([3, 1], [values], **settings), 3)
    network = Network(WeightedSum([3, 1], **settings), 3)  # type: ignore[arg-type]
    assert sum(p.numel() for p in network.fuse.parameters()) == 3
    assert train(network, truth, images(4, [3, 1]), optimizer) < 1e-6
    assert learned(network.fuse) == pytest.approx(values, abs=1e-2)


@DESCENT
def test_textbook_four_instances_and_an_unweighted_group(optimizer: str) -> None:
    """y_i = w_i x_i + u_i for four instances: each is a scene with a weight of its own; u enters as
    it is."""
    # Adam's memory of the first, steep steps keeps a single weight short of the optimum for long.
    steps = 700 if optimizer == "adam" else None
    random = np.random.default_rng(2)
    groups = [Group("weighted", (0, 1, 2)), Group("plain", (3, 4, 5))]
    for w in (0.5, -0.3, 1.6, 0.0):
        x = random.standard_normal((N, 2 * C)) + 1.0
        t = w * x[:, :C] + x[:, C:] + 0.1 * random.standard_normal((N, C))
        found = from_moments(
            groups,
            x,
            t,
            optimizer,
            kind="instance",
            constraint="free",
            fixed=("plain",),
            steps=steps,
        )
        a, r = x[:, :C], t - x[:, C:]
        best = float((a * r / t.var(axis=0)).sum() / (a * a / t.var(axis=0)).sum())
        assert found.weight == pytest.approx(np.hstack([best * np.eye(C), np.eye(C)]), abs=1e-5)
        assert best == pytest.approx(w, abs=0.03)
        assert found.relative_gap == pytest.approx(0.0, abs=1e-6)


@DESCENT
def test_textbook_four_instances_as_four_groups_and_an_unweighted_group(optimizer: str) -> None:
    """The other reading: y = Σ_i w_i x_i + u, four tensors with one weight each."""
    random = np.random.default_rng(3)
    groups = [Group(f"instance {i}", (3 * i, 3 * i + 1, 3 * i + 2)) for i in range(5)]
    x = random.standard_normal((N, 15)) + 1.0
    w = np.array([0.4, 0.1, 0.3, 0.2])
    t = np.einsum("i,nic->nc", w, x[:, :12].reshape(N, 4, 3)) + x[:, 12:]
    found = from_moments(
        groups, x, t, optimizer, kind="scalar", constraint="simplex", fixed=("instance 4",)
    )
    expected = np.hstack([*(v * np.eye(3) for v in w), np.eye(3)])
    assert found.weight == pytest.approx(expected, abs=1e-3)


@pytest.mark.one_in(2)
@DESCENT
def test_textbook_four_instances_and_an_unweighted_group_in_a_network(optimizer: str) -> None:
    settings = {"weights": "instance", "constraint": "free", "fixed": [1], "instances": 4}
    w = [0.5, -1.0, 2.0, 0.25]
    truth = Network(sum_of([C, C], [np.array([v]) for v in w], **settings), C)
    network = Network(WeightedSum([C, C], **settings), C)  # type: ignore[arg-type]
    assert sum(p.numel() for p in network.fuse.parameters()) == 4
    assert train(network, truth, images(4, [C, C]), optimizer) < 1e-6
    assert [float(learned(network.fuse, i)[0]) for i in range(4)] == pytest.approx(w, abs=1e-2)


def test_groups_of_three_and_two_channels_are_an_error_that_names_both() -> None:
    groups = [Group("rgb", (0, 1, 2)), Group("pair", (3, 4))]
    with pytest.raises(GroupError) as caught:
        design(groups, targets=None, kind="channel", fuse="across")
    assert "'rgb' with 3" in str(caught.value)
    assert "'pair' with 2" in str(caught.value)
    with pytest.raises(GroupError, match=r"with 3 and .* with 2"):
        WeightedSum([3, 2])


# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_outputs_side_by_side_end_as_each_alone(optimizer: str) -> None:
    """Each output stops for itself, and ends where it would have ended alone."""
    random = np.random.default_rng(8)
    x = correlated(random, 300, B, floor=2.0)
    t = x @ random.uniform(0, 0.5, (B, 3)) + random.standard_normal((300, 3)) * [0.1, 1.0, 3.0]
    held, mean = np.arange(300) % 5 == 0, x.mean(axis=0)
    layout = within([Group("all", tuple(range(B)))], B, "channel", set(), [0, 0, 0])
    settings = Settings(
        "nonnegative", optimizer=optimizer, init="uniform", lr=0.02, steps=300, patience=2
    )

    def fitted(rows: list[int]) -> Fit:
        joint = np.hstack([x, t[:, rows]])
        kept = held if optimizer == "adam" else None
        objective = SampledRegression(joint, B, mean, "identity", loss="huber", held=kept)
        level = t[:, rows].mean(axis=0)
        return fit(layout.part(rows), objective, bands_of(B), mean, level, settings)

    together, alone = fitted([0, 1, 2]), [fitted([k]) for k in range(3)]
    for k, one in enumerate(alone):
        assert together.weight[k] == pytest.approx(one.weight[0], abs=1e-6)
        assert together.losses[k] == pytest.approx(one.losses[0], rel=1e-9)
        if optimizer == "adam":
            assert together.stops[k][1:] == one.stops[0][1:]
            assert len(together.history[k][1]) == len(one.history[0][1])
    if optimizer == "adam":
        assert len({stop[1:] for stop in together.stops}) > 1


def test_moving_an_objective_leaves_its_own_numbers_as_they_are() -> None:
    """A device without float64 rounds its copy alone."""
    joint = data(noise=0.5)
    squares = Squares.of(Split.of(Moments.of(joint), B), offset=True)
    inner = Regression(squares)
    before = inner._a.clone()
    for objective in (inner, Sum([(1.0, inner)])):
        other = objective.to(torch.device("cpu"), torch.float32)
        assert other is not objective
        w = torch.ones(1, B, dtype=torch.float32)
        assert other.losses(w, w[:, 0], w[:, 0]).dtype == torch.float32
        assert inner._a.dtype == torch.float64
        assert torch.equal(inner._a, before)


def test_an_unknown_optimizer_is_refused() -> None:
    with pytest.raises(ConfigError, match="got 'newton'; expected one of lbfgs, adam, adamw, sgd"):
        regress(data(), ONE_GROUP, Settings(optimizer="newton"))


TOO_FAST = Settings(optimizer="sgd", init="normal", lr=1e12, steps=200)


@pytest.mark.parametrize("constraint", [c for c in CONSTRAINTS if c != "simplex"])
def test_a_rate_that_diverges_is_an_error_with_a_remedy(constraint: str) -> None:
    with pytest.raises(ConfigError, match="training diverged") as caught:
        regress(data(noise=0.5), ONE_GROUP, replace(TOO_FAST, constraint=constraint))
    assert "--lr" in caught.value.remedy


def test_shares_cannot_diverge_and_the_gap_tells_that_they_did_not_converge() -> None:
    found = regress(data(noise=0.5), ONE_GROUP, replace(TOO_FAST, constraint="simplex"))
    assert found.weight.sum() == pytest.approx(1.0)
    assert found.relative_gap is not None
    assert found.relative_gap > 1e-3


@pytest.mark.cuda
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("constraint", CONSTRAINTS)
def test_cuda_finds_what_the_cpu_finds(constraint: str, optimizer: str) -> None:
    joint = data(noise=0.5)
    found = [
        regress(
            joint,
            ONE_GROUP,
            Settings(
                constraint,
                optimizer=optimizer,
                init="uniform",
                steps=QUICK[optimizer],
                device=device,
            ),
        )
        for device in ("cpu", "cuda")
    ]
    assert found[1].weight == pytest.approx(found[0].weight, abs=1e-6)
    assert found[1].relative_gap == pytest.approx(0.0, abs=1e-6)


def test_fitting_leaves_torch_s_threads_as_they_were() -> None:
    torch.set_num_threads(2)
    regress(data(), ONE_GROUP, Settings(steps=1))
    assert torch.get_num_threads() == 2
    with pytest.raises(ConfigError):
        regress(data(), ONE_GROUP, Settings(optimizer="newton"))
    assert torch.get_num_threads() == 2
