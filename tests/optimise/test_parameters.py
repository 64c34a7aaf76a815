"""One battery for every constraint × objective × layout: gradients, feasibility, starts, reference
losses.

A constraint that is added to :data:`CONSTRAINTS` is covered by all of it; an objective class that
is missing here fails :func:`test_every_objective_is_in_the_battery`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from helpers import close_to_conditioning, correlated, rounding, same_bits
from torch.func import functional_call

from bandfuse.model import fusion
from bandfuse.moments.moments import Moments
from bandfuse.optimise.activations import ACTIVATIONS
from bandfuse.optimise.objectives.base import Objective
from bandfuse.optimise.objectives.reconstruction import Reconstruction
from bandfuse.optimise.objectives.regression import Regression
from bandfuse.optimise.objectives.sampled import SampledRegression
from bandfuse.optimise.parameters import CONSTRAINTS, Share, Weights
from bandfuse.solve.layout import Layout, across, within
from bandfuse.solve.squares import Split, Squares
from bandfuse.solve.starts import feasible
from bandfuse.spectral.bands import Floats
from bandfuse.spectral.groups import Group

N, B = 60, 6
A, C, P = Group("a", (0, 1, 2)), Group("b", (3, 4)), Group("p", (5,))

LAYOUTS: dict[str, Layout] = {
    "within channel": within([A, C], B, "channel", set(), [0, 1]),
    "within, two rows on one group": within(
        [Group("all", tuple(range(B)))], B, "channel", set(), [0, 0]
    ),
    "across scalar": across(
        [Group("a", (0, 1)), Group("b", (2, 3)), Group("c", (4, 5))], B, "scalar", set()
    ),
    "across channel, one broadcast": across([Group("a", (0, 1, 2)), P], B, "channel", set()),
    "across scalar, one broadcast": across([Group("a", (0, 1, 2)), P], B, "scalar", set()),
    "across, one fixed": across(
        [Group("a", (0, 1)), Group("b", (2, 3)), Group("c", (4, 5))], B, "channel", {"c"}
    ),
}
"""Every set of weights has at least two members, so that each constraint leaves something to
learn."""

HOLDS: dict[str, Callable[[Floats, Layout], bool]] = {
    "free": lambda v, layout: bool(np.isfinite(v).all()),
    "affine": lambda v, layout: sums_to_one(v, layout),
    "nonnegative": lambda v, layout: bool((v >= 0).all()),
    "simplex": lambda v, layout: bool((v >= 0).all()) and sums_to_one(v, layout),
}
"""What each constraint promises."""


def sums_to_one(v: Floats, layout: Layout) -> bool:
    """The learned weights of every row that has some sum to one."""
    learned = layout.matrix(v) - layout.fixed
    rows = [r for r in range(layout.shape[0]) if (layout.row == r).any()]
    return bool(
        np.allclose(
            learned[rows].sum(axis=1), 1.0, rtol=0, atol=rounding(np.abs(learned).sum(axis=1).max())
        )
    )


@dataclass(frozen=True)
class Case:
    """An objective, and its losses from the pixels themselves."""

    objective: Objective
    dense: Callable[[Floats, Floats, Floats | None], Floats]
    mean: Floats
    uses_gain: bool


def pixels(k: int) -> tuple[Floats, Floats]:
    """(N, B) bands and (N, K) targets."""
    random = np.random.default_rng(11)
    x = correlated(random, N, B)
    return x, x @ random.uniform(0, 0.5, (B, k)) + 0.3 * random.standard_normal((N, k)) + 1.0


def dense_regression(activation: str) -> Callable[[Layout], Case]:
    """Squared residuals of every pixel, in numpy; the activation is numpy's own as well."""

    def build(layout: Layout) -> Case:
        x, t = pixels(layout.shape[0])
        mean = x.mean(axis=0)

        def dense(weight: Floats, gain: Floats, level: Floats | None) -> Floats:
            at_mean = gain * (weight @ mean) if level is None else level
            offset = at_mean - gain * (weight @ mean)
            y = fusion.ACTIVATIONS[activation]((x @ weight.T) * gain + offset)
            return np.mean((y - t) ** 2, axis=0)

        joint = np.hstack([x, t])
        if activation == "identity":
            objective: Objective = Regression(
                Squares.of(Split.of(Moments.of(joint), B), offset=True)
            )
        else:
            objective = SampledRegression(joint, B, mean, activation)
        return Case(objective, dense, mean, uses_gain=True)

    return build


def dense_reconstruction(layout: Layout) -> Case:
    """The decoder is found by least squares on the pixels: a matrix and an offset from K outputs to
    B bands."""
    x, _ = pixels(1)

    def dense(weight: Floats, gain: Floats, level: Floats | None) -> Floats:
        outputs = np.column_stack([x @ weight.T, np.ones(N)])
        decoder = np.linalg.lstsq(outputs, x, rcond=None)[0]
        return np.array([np.mean((x - outputs @ decoder) ** 2)])

    return Case(Reconstruction(Moments.of(x).covariance), dense, x.mean(axis=0), uses_gain=False)


OBJECTIVES: dict[str, Callable[[Layout], Case]] = {
    "regression": dense_regression("identity"),
    **{f"sampled {name}": dense_regression(name) for name in ACTIVATIONS if name != "identity"},
    "reconstruction": dense_reconstruction,
}


def combinations() -> Iterator[tuple[str, str, str, bool, bool]]:
    """constraint × objective × layout × gain × offset; gain and offset where the objective sees
    them."""
    for constraint in CONSTRAINTS:
        for layout in LAYOUTS:
            yield constraint, "reconstruction", layout, False, False
            yield constraint, "regression", layout, False, False
            yield constraint, "regression", layout, True, True
        for objective in OBJECTIVES:
            if objective.startswith("sampled"):
                yield constraint, objective, "across channel, one broadcast", True, True


COMBINATIONS = list(combinations())
EVERY = pytest.mark.parametrize(
    ("constraint", "objective", "layout", "gain", "offset"),
    COMBINATIONS,
    ids=["-".join([c, o, lay, "gain" * g, "offset" * off]) for c, o, lay, g, off in COMBINATIONS],
)


def module_of(
    layout: Layout, constraint: str, objective: Objective, *, gain: bool, offset: bool
) -> Weights:
    """Weights at a generic point: random θ, gain 1.7, random levels."""
    random = np.random.default_rng(5)
    level = random.uniform(0.5, 1.5, layout.shape[0]) if offset else None
    module = Weights(layout, constraint, metric=objective.metric(layout), gain=gain, level=level)
    module.start(feasible(random.uniform(0.2, 0.8, layout.size), layout, constraint), 1.7)
    with torch.no_grad():
        module.theta += torch.as_tensor(0.1 * random.standard_normal(module.theta.shape))
    return module


def test_every_objective_is_in_the_battery() -> None:
    """Ratios of variances have batteries of their own."""
    classes = {
        c
        for module in map(inspect.getmodule, (Reconstruction, Regression, SampledRegression))
        for _, c in inspect.getmembers(module, inspect.isclass)
        if issubclass(c, Objective) and not inspect.isabstract(c)
    }
    layout = LAYOUTS["within channel"]
    assert {type(build(layout).objective) for build in OBJECTIVES.values()} == classes


def test_every_constraint_says_what_it_promises() -> None:
    assert set(HOLDS) == set(CONSTRAINTS)


@EVERY
def test_gradients_are_right_in_every_parameter(
    constraint: str, objective: str, layout: str, gain: bool, offset: bool
) -> None:
    case = OBJECTIVES[objective](LAYOUTS[layout])
    module = module_of(LAYOUTS[layout], constraint, case.objective, gain=gain, offset=offset)
    names = [n for n, _ in module.named_parameters()]

    def losses(*values: torch.Tensor) -> torch.Tensor:
        return case.objective.losses(
            *functional_call(module, dict(zip(names, values, strict=True)), ())
        )

    inputs = tuple(p.detach().clone().requires_grad_() for p in module.parameters())
    assert set(names) == {"theta"} | ({"root_gain"} if gain else set()) | (
        {"shift"} if offset else set()
    )
    assert torch.autograd.gradcheck(losses, inputs, eps=1e-6, atol=1e-7, rtol=1e-5)


@EVERY
def test_every_parameter_has_a_gradient_at_a_generic_point(
    constraint: str, objective: str, layout: str, gain: bool, offset: bool
) -> None:
    case = OBJECTIVES[objective](LAYOUTS[layout])
    module = module_of(LAYOUTS[layout], constraint, case.objective, gain=gain, offset=offset)
    case.objective.losses(*module()).sum().backward()
    for name, p in module.named_parameters():
        assert p.numel() > 0, name
        assert p.grad is not None, name
        assert (p.grad.abs() > 1e-9).all(), name


@EVERY
def test_losses_are_those_of_the_pixels(
    constraint: str, objective: str, layout: str, gain: bool, offset: bool
) -> None:
    case = OBJECTIVES[objective](LAYOUTS[layout])
    module = module_of(LAYOUTS[layout], constraint, case.objective, gain=gain, offset=offset)
    weight, gains, level = module()
    losses = case.objective.losses(weight, gains, level)
    assert {t.dtype for t in (weight, gains, losses)} == {torch.float64}
    assert level is None or level.dtype == torch.float64
    reference = case.dense(
        weight.detach().numpy(),
        gains.detach().numpy(),
        None if level is None else level.detach().numpy(),
    )
    assert losses.detach().numpy() == pytest.approx(reference, rel=1e-9, abs=1e-10)
    assert case.objective.scale.shape == reference.shape
    assert (case.objective.scale > 0).all()


@pytest.mark.parametrize("metric", ["identity", "curved"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("constraint", CONSTRAINTS)
def test_constraints_hold_for_any_parameters_and_starts_come_back(
    constraint: str, layout: str, metric: str
) -> None:
    lay = LAYOUTS[layout]
    random = np.random.default_rng(3)
    root = random.standard_normal((lay.size, lay.size + 3)) * 10.0 ** random.uniform(
        -2, 2, (lay.size, 1)
    )
    module = Weights(lay, constraint, metric=root @ root.T if metric == "curved" else None)
    module.start(np.full(lay.size, 0.5))
    theta = module.theta.shape
    for size in (0.1, 1.0, 30.0):
        with torch.no_grad():
            module.theta.copy_(torch.as_tensor(size * random.standard_normal(theta)))
        v = module.vector().detach().numpy()
        assert v.dtype == np.float64
        assert v.shape == (lay.size,)
        assert HOLDS[constraint](v, lay)
        # W holds v where the layout says so, and the fixed ones.
        weight, gain, level = module()
        assert np.array_equal(weight.detach().numpy(), lay.matrix(v))
        assert gain.tolist() == [1.0] * lay.shape[0]
        assert level is None
        again = module.start(v).vector().detach().numpy()
        assert again == pytest.approx(v, rel=1e-9, abs=1e-9 * np.abs(v).max())
        assert module.theta.dtype == torch.float64


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("constraint", CONSTRAINTS)
def test_any_weights_can_be_made_feasible_and_started_from(constraint: str, layout: str) -> None:
    lay = LAYOUTS[layout]
    v = feasible(np.random.default_rng(0).standard_normal(lay.size), lay, constraint)
    assert HOLDS[constraint](v, lay)
    assert np.count_nonzero(v) == lay.size
    assert Weights(lay, constraint).start(v).vector().detach().numpy() == pytest.approx(
        v, abs=rounding()
    )
    close_to_conditioning(feasible(v, lay, constraint), v)


@pytest.mark.parametrize("constraint", CONSTRAINTS)
def test_weights_of_zero_are_started_from_exactly(constraint: str) -> None:
    lay = LAYOUTS["within channel"]
    v = np.array([1.0, 0.0, 0.0, 0.25, 0.75])
    assert Weights(lay, constraint).start(v).vector().detach().numpy() == pytest.approx(
        v, abs=rounding()
    )


@pytest.mark.parametrize("constraint", CONSTRAINTS)
def test_gain_is_never_negative_and_shared_by_the_rows_of_a_set(constraint: str) -> None:
    layout = LAYOUTS["across scalar"]
    v = feasible(np.full(layout.size, 0.3), layout, constraint)
    module = Weights(layout, constraint, gain=True).start(v, 2.5)
    assert module()[1].tolist() == pytest.approx([2.5, 2.5])
    assert module.root_gain is not None
    assert module.root_gain.shape == (1,)
    with torch.no_grad():
        module.root_gain.fill_(-3.0)
    assert module()[1].tolist() == [9.0, 9.0]
    assert module.start(v, -1.0)()[1].tolist() == [0.0, 0.0]


def test_gain_and_rows_of_different_sets_are_apart() -> None:
    module = Weights(LAYOUTS["within channel"], "free", gain=True)
    assert module.root_gain is not None
    assert module.root_gain.shape == (2,)
    with torch.no_grad():
        module.root_gain.copy_(torch.tensor([1.0, 2.0]))
    module.start(np.ones(5), 1.0)
    assert module()[1].tolist() == [1.0, 1.0]


@pytest.mark.parametrize("constraint", CONSTRAINTS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_reconstruction_does_not_see_the_scale_of_a_row(constraint: str, layout: str) -> None:
    case = OBJECTIVES["reconstruction"](LAYOUTS[layout])
    weight, gain, _ = module_of(
        LAYOUTS[layout], constraint, case.objective, gain=False, offset=False
    )()
    scales = torch.tensor([1e-4, 7.0, 1e3], dtype=torch.float64)[: len(weight), None]
    once = case.objective.losses(weight, gain, None)
    for scaled in (weight * scales, -weight):
        assert case.objective.losses(scaled, gain, None).item() == pytest.approx(
            once.item(), rel=1e-9
        )


def test_reconstruction_does_not_see_a_mixture_of_rows() -> None:
    case = OBJECTIVES["reconstruction"](LAYOUTS["within, two rows on one group"])
    weight = torch.as_tensor(np.random.default_rng(0).standard_normal((2, B)))
    mixed = torch.tensor([[2.0, 1.0], [-1.0, 3.0]], dtype=torch.float64) @ weight
    losses = case.objective.losses
    assert losses(mixed, torch.ones(2), None).item() == pytest.approx(
        losses(weight, torch.ones(2), None).item()
    )


def test_reconstruction_takes_two_equal_rows_as_one() -> None:
    case = OBJECTIVES["reconstruction"](LAYOUTS["within, two rows on one group"])
    one = torch.as_tensor(np.random.default_rng(0).standard_normal((1, B)))
    once = case.objective.losses(one, torch.ones(1), None).item()
    twice = case.objective.losses(torch.cat([one, one]), torch.ones(2), None).item()
    assert twice == pytest.approx(once, rel=1e-6)


def test_shares_do_not_see_the_size_of_theta() -> None:
    layout = LAYOUTS["across scalar"]
    share = Share(layout.sets, layout.multiplicity)
    theta = torch.as_tensor(np.random.default_rng(0).standard_normal(layout.size))
    close_to_conditioning(share(1e-3 * theta), share(theta))


@pytest.mark.parametrize("objective", [o for o in OBJECTIVES if o != "reconstruction"])
def test_the_units_of_gain_and_weight_trade_off(objective: str) -> None:
    layout = LAYOUTS["within channel"]
    case = OBJECTIVES[objective](layout)
    weight, gain, level = module_of(layout, "free", case.objective, gain=True, offset=True)()
    once = case.objective.losses(weight, gain, level)
    close_to_conditioning(
        case.objective.losses(weight / 4, gain * 4, level).detach(), once.detach()
    )


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_parts_are_the_losses_of_their_rows(objective: str) -> None:
    layout = LAYOUTS["within channel"]
    case = OBJECTIVES[objective](layout)
    weight, gain, level = module_of(layout, "free", case.objective, gain=False, offset=True)()
    whole = case.objective.losses(weight, gain, level).detach()
    if not case.objective.separable:
        same_bits(case.objective.part([0, 1]).losses(weight, gain, level).detach(), whole)
        return
    for rows in ([1], [0], [1, 0]):
        assert level is not None
        part = case.objective.part(rows)
        found = part.losses(weight[rows], gain[rows], level[rows])
        close_to_conditioning(found.detach(), whole[rows])
        assert part.scale == pytest.approx(case.objective.scale[rows], rel=rounding())


@pytest.mark.parametrize("offset", [True, False])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_quadratic_of_a_regression_is_its_scaled_loss(layout: str, offset: bool) -> None:
    lay = LAYOUTS[layout]
    x, t = pixels(lay.shape[0])
    objective = Regression(Squares.of(Split.of(Moments.of(np.hstack([x, t])), B), offset=offset))
    level = torch.as_tensor(t.mean(axis=0)) if offset else None
    for gain in (False, True):
        q = objective.quadratic(lay, gain=gain)
        for seed in range(3):
            v = feasible(np.random.default_rng(seed).uniform(0.1, 1, lay.size), lay, "simplex")
            size = 1.6 if gain else 1.0
            if gain and len(set(lay.sets.tolist())) > 1:
                # A gain belongs to one set; several sets are fitted apart.
                continue
            losses = objective.losses(
                torch.as_tensor(lay.matrix(v)),
                torch.full((lay.shape[0],), size, dtype=torch.float64),
                level,
            )
            assert q(size * v) == pytest.approx(
                float((losses.numpy() / objective.scale).sum()), rel=1e-10
            )


def test_a_metric_without_curvature_leaves_out_what_the_pixels_cannot_tell() -> None:
    layout = LAYOUTS["within channel"]
    # Bands 0 and 1 are the same: their difference is not seen.
    root = np.eye(5)
    root[:, 1] = root[:, 0]
    module = Weights(layout, "free", metric=root.T @ root)
    module.start(np.array([0.7, 0.1, 0.5, 0.2, 0.3]))
    assert module.theta.shape == (4,)
    assert module.vector().detach().numpy() == pytest.approx([0.4, 0.4, 0.5, 0.2, 0.3])


@pytest.mark.parametrize("constraint", CONSTRAINTS)
def test_a_layout_without_learned_weights_is_its_fixed_part(constraint: str) -> None:
    layout = within([A], B, "channel", {"a"}, [0])
    module = Weights(layout, constraint).start(np.zeros(0))
    assert layout.size == 0
    assert module()[0].tolist() == [[1.0, 1.0, 1.0, 0.0, 0.0, 0.0]]


@pytest.mark.parametrize("constraint", ["affine", "simplex"])
def test_one_scalar_weight_of_unit_sum_is_the_plain_mean(constraint: str) -> None:
    layout = within([A], B, "scalar", set(), [0])
    module = Weights(layout, constraint).start(np.array([1 / 3]))
    assert module()[0].detach().numpy() == pytest.approx(np.array([[1 / 3, 1 / 3, 1 / 3, 0, 0, 0]]))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_in_torch_are_those_in_numpy(name: str) -> None:
    y = np.linspace(-6, 6, 101)
    assert ACTIVATIONS[name](torch.as_tensor(y)).numpy() == pytest.approx(
        fusion.ACTIVATIONS[name](y), rel=rounding()
    )
    assert set(ACTIVATIONS) == set(fusion.ACTIVATIONS)


def test_the_level_is_its_start_and_so_many_units_of_the_target() -> None:
    module = Weights(
        LAYOUTS["within channel"], "free", level=np.array([1.0, 2.0]), spread=np.array([0.5, 4.0])
    ).start(np.ones(5))
    assert module.shift is not None
    with torch.no_grad():
        module.shift.copy_(torch.tensor([3.0, -0.25]))
    level = module()[2]
    assert level is not None
    assert level.tolist() == [2.5, 1.0]


def sampled(
    x: Floats, t: Floats, *, loss: str = "mse", activation: str = "identity"
) -> SampledRegression:
    return SampledRegression(np.hstack([x, t]), x.shape[1], x.mean(axis=0), activation, loss=loss)


def test_the_brightness_is_the_best_common_factor_of_what_does_not_see_it() -> None:
    x, t = pixels(2)
    w, ones = (
        torch.as_tensor(np.random.default_rng(0).uniform(0.1, 1, (2, B))),
        torch.ones(2, dtype=torch.float64),
    )
    y = x @ w.numpy().T
    best = (y * t).sum() / (y * y).sum()
    assert sampled(x, t, loss="sam").brightness(w, ones, None) == pytest.approx(best, rel=1e-12)
    assert sampled(x, t, loss="sam").brightness(-w, ones, None) == 1.0
    assert sampled(x, t, loss="sam").brightness(0 * w, ones, None) == 1.0
    assert sampled(x, t).brightness(w, ones, None) == 1.0
    assert sampled(x, t, loss="sam", activation="tanh").brightness(w, ones, None) == 1.0


def test_a_loss_of_vectors_has_no_parts() -> None:
    coupled = sampled(*pixels(2), loss="sam")
    assert coupled.part([0]) is coupled


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_curvature_of_a_sampled_loss_is_in_units_of_its_targets(layout: str) -> None:
    lay = LAYOUTS[layout]
    x, t = pixels(lay.shape[0])
    cov = np.cov(x.T, bias=True)
    expected = sum(
        lay.member(k).T @ cov @ lay.member(k) / t[:, k].var() for k in range(lay.shape[0])
    )
    np.testing.assert_allclose(sampled(x, t).metric(lay), expected, rtol=1e-10)


def test_without_weights_there_is_no_curvature() -> None:
    nothing = across([Group("c", (0, 1))], B, "channel", {"c"})
    assert sampled(*pixels(2)).metric(nothing).shape == (nothing.size, nothing.size)


def test_shares_of_less_than_nothing_are_none() -> None:
    module = Weights(LAYOUTS["within, two rows on one group"], "simplex")
    found = module.start(np.array([-1.0, 2, 1, 1, 0, 0] * 2)).vector().tolist()
    assert found == pytest.approx([0, 0.5, 0.25, 0.25, 0, 0] * 2)
