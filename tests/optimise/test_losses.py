"""Losses: one battery for the whole table, known answers, minibatches, schedules and early
stopping."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import bands_of, close_to_conditioning, correlated, rounding, same_bits
from rasters import blend, cli, spectra, wavelengths, write_tiff
from scipy import special
from scipy.spatial import distance

from bandfuse import TrainConfig, train
from bandfuse.errors import ConfigError
from bandfuse.model.weightsfile import load
from bandfuse.optimise.descent import SCHEDULES, SHORTEST_EPOCH, Descent, Nowhere, Pace, Task
from bandfuse.optimise.fit import Fit, Settings, fit
from bandfuse.optimise.losses import COUPLED, LOSSES
from bandfuse.optimise.objectives.sampled import SampledRegression
from bandfuse.optimise.parameters import Weights
from bandfuse.progress import Ticks, silent
from bandfuse.report.figures import loss_figure
from bandfuse.solve.layout import within
from bandfuse.spectral.bands import Floats
from bandfuse.spectral.groups import Group
from bandfuse.streaming.blocks import block_numbers, blocks, held_out

N, B, K = 300, 4, 3
WEIGHT = np.array([[0.5, 0.2, 0.2, 0.1], [0.1, 0.0, 0.3, 0.6], [0.3, 0.3, 0.0, 0.1]])
OFFSET = np.array([0.4, -0.1, 0.2])
LAYOUT = within([Group("all", tuple(range(B)))], B, "channel", set(), [0] * K)
ROBUST = [name for name in LOSSES if name not in COUPLED and name != "mse"]
EVERY = pytest.mark.parametrize("name", LOSSES)
DESCENTS = pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])


def angle(u: Floats, v: Floats) -> Floats:
    return np.array([np.arccos(1 - distance.cosine(a, b)) for a, b in zip(u, v, strict=True)])


REFERENCE: dict[str, Callable[[Floats, Floats], Floats]] = {
    "mse": lambda y, t: np.array(
        [
            [distance.sqeuclidean([a], [b]) for a, b in zip(*p, strict=True)]
            for p in zip(y, t, strict=True)
        ]
    ),
    "mae": lambda y, t: np.array(
        [
            [distance.cityblock([a], [b]) for a, b in zip(*p, strict=True)]
            for p in zip(y, t, strict=True)
        ]
    ),
    "huber": lambda y, t: special.huber(1.0, y - t),
    "sam": angle,
    "cosine": lambda y, t: np.array([distance.cosine(a, b) for a, b in zip(y, t, strict=True)]),
}
"""The same losses by scipy."""
DEGREE = {"mse": 2, "mae": 1, "sam": 0, "cosine": 0}
"""What a common scale of outputs and targets does to a loss; huber has a scale of its own."""


def pair(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    random = np.random.default_rng(seed)
    return tuple(torch.as_tensor(random.uniform(-2, 2, (40, K))) for _ in range(2))  # type: ignore[return-value]


def sample(*, outliers: float = 0.0, noise: float = 0.0, seed: int = 0) -> Floats:
    """(N, B + K) bands and targets of known weights, some of the targets grossly wrong."""
    random = np.random.default_rng(seed)
    x = correlated(random, N, B, floor=2.0)
    t = x @ WEIGHT.T + OFFSET + noise * random.standard_normal((N, K))
    wrong = random.random((N, K)) < outliers
    return np.hstack([x, np.where(wrong, t + random.uniform(3, 8, (N, K)), t)])


def objective_of(joint: Floats, loss: object = "mse", **how: object) -> SampledRegression:
    return SampledRegression(joint, B, joint[:, :B].mean(axis=0), "identity", loss=loss, **how)  # type: ignore[arg-type]


def fitted(
    joint: Floats, loss: object = "mse", settings: Settings | None = None, **how: object
) -> Fit:
    mean, level = joint[:, :B].mean(axis=0), joint[:, B:].mean(axis=0)
    settings = settings or Settings(constraint="free", init="uniform")
    return fit(LAYOUT, objective_of(joint, loss, **how), bands_of(B), mean, level, settings)


# --------------------------------------------------------------------------------------------------


def test_every_loss_is_in_the_battery() -> None:
    choices = TrainConfig.model_json_schema()["properties"]["loss"]["enum"]
    assert set(REFERENCE) == set(LOSSES) == set(choices) - {"custom"}
    assert set(DEGREE) == set(LOSSES) - {"huber"}


@EVERY
def test_losses_are_those_of_scipy(name: str) -> None:
    y, t = pair()
    found = LOSSES[name](y, t)
    assert found.shape == ((40,) if name in COUPLED else (40, K))
    # scipy takes the angle from its cosine: all of these are wide enough for that to cost two
    # digits at most.
    condition = 1 / float(torch.sin(found).min()) if name == "sam" else 1.0
    close_to_conditioning(found, REFERENCE[name](y.numpy(), t.numpy()), condition)


@EVERY
def test_gradients_are_right_at_generic_points(name: str) -> None:
    y, t = pair()
    assert torch.autograd.gradcheck(
        lambda y: LOSSES[name](y, t), (y.requires_grad_(),), atol=1e-7, rtol=1e-5
    )


@EVERY
def test_the_order_of_pixels_does_not_matter(name: str) -> None:
    """To rounding: a processor may compute a pixel otherwise in the lanes of a vector than in its
    tail."""
    y, t = pair()
    order = torch.as_tensor(np.random.default_rng(1).permutation(40))
    close_to_conditioning(LOSSES[name](y[order], t[order]), LOSSES[name](y, t)[order])
    joint = sample(noise=0.3)
    shuffled = joint[np.random.default_rng(1).permutation(N)]
    module = Weights(LAYOUT, "free", level=OFFSET).start(np.linspace(0.1, 0.9, LAYOUT.size))
    once, again = (objective_of(j, name).losses(*module()).tolist() for j in (joint, shuffled))
    close_to_conditioning(again, once)


@pytest.mark.parametrize("name", DEGREE)
def test_scale(name: str) -> None:
    y, t = pair()
    for size in (1e-3, 7.0, 1e4):
        torch.testing.assert_close(
            LOSSES[name](size * y, size * t), size ** DEGREE[name] * LOSSES[name](y, t)
        )


def test_huber_is_square_near_zero_and_straight_far_off() -> None:
    r = torch.tensor([[0.5, -0.5], [10.0, -10.0]], dtype=torch.float64)
    delta = torch.tensor([1.0, 2.0], dtype=torch.float64)
    found = LOSSES["huber"](r, torch.zeros_like(r), delta)
    assert found.tolist() == [[0.125, 0.125], [9.5, 18.0]]
    joint = sample(noise=0.3)
    wide, narrow = (objective_of(joint, "huber", huber_delta=d) for d in (1e6, 1.0))
    module = Weights(LAYOUT, "free", level=OFFSET).start(np.linspace(0.1, 0.9, LAYOUT.size))
    half = objective_of(joint, "mse").losses(*module()) / 2
    torch.testing.assert_close(wide.losses(*module()), half)
    assert (narrow.losses(*module()) < half).all()
    # Ten times larger targets and outputs: δ grows with the target's deviation.
    larger = np.hstack([joint[:, :B], 10 * joint[:, B:]])
    weight, gain, level = module()
    assert level is not None
    tenfold = objective_of(larger, "huber").losses(10 * weight, gain, 10 * level)
    torch.testing.assert_close(tenfold, 100 * narrow.losses(weight, gain, level))


@pytest.mark.parametrize("name", sorted(COUPLED))
def test_angles_do_not_see_the_brightness_of_a_pixel(name: str) -> None:
    y, t = pair()
    bright = torch.as_tensor(np.random.default_rng(3).uniform(0.01, 100, (40, 1)))
    close_to_conditioning(LOSSES[name](bright * y, t), LOSSES[name](y, t))
    close_to_conditioning(LOSSES[name](y, bright * t), LOSSES[name](y, t))


@pytest.mark.parametrize("name", sorted(COUPLED))
def test_angles_are_safe_where_they_are_zero_or_undefined(name: str) -> None:
    t = torch.tensor(
        [[1.0, 2.0, 3.0], [0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]], dtype=torch.float64
    )
    y = torch.tensor(
        [[2.0, 4.0, 6.0], [1.0, 1.0, 1.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 0.0]], dtype=torch.float64
    )
    y.requires_grad_()
    values = LOSSES[name](y, t)
    values.sum().backward()
    assert y.grad is not None
    assert torch.isfinite(y.grad).all()
    assert y.grad.abs().max() < 10
    straight, opposite = (np.pi / 2, np.pi) if name == "sam" else (1.0, 2.0)
    close_to_conditioning(values.detach()[:3], [0.0, straight, opposite])


def test_small_angles_are_exact() -> None:
    for size in (1e-3, 1e-7, 1e-12):
        y = torch.tensor([[1.0, size]], dtype=torch.float64)
        assert LOSSES["sam"](
            y, torch.tensor([[1.0, 0.0]], dtype=torch.float64)
        ).item() == pytest.approx(np.arctan(size), rel=rounding())


# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
@pytest.mark.parametrize("name", ROBUST)
def test_robust_losses_find_the_weights_among_outliers(name: str, optimizer: str) -> None:
    """A tenth of the targets is wrong by 3 to 8 units: mse misses the offset by 0.5, a robust loss
    by far less."""
    joint = sample(outliers=0.1)
    settings = Settings(
        constraint="free", init="uniform", optimizer=optimizer, batch_size=0, steps=400
    )
    square = np.hstack([(f := fitted(joint)).weight, f.offset[:, None]])
    robust = np.hstack(
        [(f := fitted(joint, name, settings, huber_delta=0.02)).weight, f.offset[:, None]]
    )
    truth = np.column_stack([WEIGHT, OFFSET])
    assert np.abs(square - truth).max() > 0.3
    assert np.abs(robust - truth).max() < 0.03


@pytest.mark.parametrize("name", sorted(COUPLED))
@pytest.mark.parametrize("constraint", ["free", "nonnegative"])
def test_weights_behind_an_angle_come_back(name: str, constraint: str) -> None:
    """Every pixel of the target has a brightness of its own, which mse would follow."""
    joint = sample()
    # The brightness has a mean square of its mean: the one factor that is free is then one.
    bright = np.random.default_rng(5).uniform(0.5, 1.5, (N, 1))
    dimmed = np.hstack([joint[:, :B], joint[:, B:] * bright])
    found = fitted(dimmed, name, Settings(constraint=constraint, init="uniform", steps=200))
    assert len(found.losses) == 1
    assert found.losses[0] < 1e-4
    shape = found.weight / np.linalg.norm(found.weight)
    assert shape == pytest.approx(WEIGHT / np.linalg.norm(WEIGHT), abs=0.01)
    y = joint[:, :B] @ found.weight.T + found.offset
    assert float((y * dimmed[:, B:]).sum() / (y * y).sum()) == pytest.approx(1.0)


def test_angles_need_two_outputs() -> None:
    with pytest.raises(
        ConfigError, match="sam compares vectors; got one output; expected two or more"
    ):
        objective_of(sample()[:, : B + 1], "sam")


# --------------------------------------------------------------------------------------------------


def pseudo_huber(y: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    return (torch.sqrt(1 + (y - t) ** 2) - 1).sum(1)


@pytest.mark.parametrize("scalar", [True, False])
def test_a_function_of_your_own(scalar: bool) -> None:
    function = (lambda y, t: pseudo_huber(y, t).mean()) if scalar else pseudo_huber
    found = fitted(sample(), function)
    assert found.weight == pytest.approx(WEIGHT, abs=1e-3)
    assert len(found.losses) == 1


class Priced(torch.nn.Module):
    """A loss of one's own with a number for each output."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("price", torch.ones(K))
        self.seen: set[torch.dtype] = set()

    def forward(self, y: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        self.seen.add(self.price.dtype)
        return (self.price * (y - t) ** 2).sum(1)


def test_a_module_of_your_own_is_copied_in_the_type_of_the_pixels() -> None:
    own = Priced()
    assert fitted(sample(), own).weight == pytest.approx(WEIGHT, abs=1e-3)
    assert own.price.dtype == torch.float32
    assert own.seen == set()


def test_a_sample_without_pixels_cannot_be_trained_on() -> None:
    mean = np.zeros(B)
    objective = SampledRegression(np.zeros((0, B + K)), B, mean, "identity", loss="mae")
    with pytest.raises(ConfigError, match="training diverged"):
        fit(LAYOUT, objective, bands_of(B), mean, np.zeros(K), Settings(optimizer="adam"))


@pytest.mark.parametrize(
    ("function", "got"),
    [
        (lambda y, t: (y - t) ** 2, "got shape"),
        (lambda y, t: 1.0, "got float"),
        (lambda y, t: (y - t).detach().mean(), "without a gradient"),
    ],
)
def test_functions_that_cannot_be_trained_on(function: object, got: str) -> None:
    with pytest.raises(ConfigError, match=got):
        fitted(sample(), function)


# ------------------------------------------------------------------------------- minibatches, sched


@DESCENTS
def test_minibatches_reach_the_weights_and_repeat_their_bits(optimizer: str) -> None:
    settings = Settings(
        constraint="free", init="uniform", optimizer=optimizer, batch_size=64, steps=250
    )
    joint = sample(noise=0.01)
    assert fitted(joint, "mse", settings).weight == pytest.approx(WEIGHT, abs=0.03)
    settings = replace(settings, steps=12)
    found, again = (fitted(joint, "mse", settings) for _ in range(2))
    same_bits(found.weight, again.weight)
    assert found.history == again.history
    other = fitted(joint, "mse", replace(settings, seed=1))
    assert found.weight.tobytes() != other.weight.tobytes()


@DESCENTS
def test_a_batch_of_all_pixels_is_the_whole_sample(optimizer: str) -> None:
    settings = Settings(constraint="nonnegative", init="uniform", optimizer=optimizer, steps=20)
    found = [
        fitted(sample(noise=0.1), "mae", replace(settings, batch_size=n)).weight
        for n in (0, N, 10 * N)
    ]
    same_bits(*found)


def test_batches_of_a_pass_are_all_pixels_once() -> None:
    parameter = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    seen: list[torch.Tensor] = []

    def loss(index: torch.Tensor | None) -> torch.Tensor:
        if index is not None:
            seen.append(index)
        return parameter**2 + parameter

    owners = [np.zeros(1, dtype=np.intp)]
    pace = Pace(steps=8, batch_size=30)
    Descent(
        torch.optim.SGD([parameter], lr=0.01),
        Task([parameter], loss, owners, n_pixels=100),
        pace,
        Nowhere(),
    ).run(Ticks(silent, parts=1, steps=8, label=""))
    assert [len(i) for i in seen] == [25] * 8
    passes = [torch.cat(seen[:4]), torch.cat(seen[4:])]
    assert all(p.sort().values.tolist() == list(range(100)) for p in passes)
    assert not torch.equal(*passes)


def test_schedules_fall_from_one() -> None:
    share = np.linspace(0, 0.999, 200)
    for name, schedule in SCHEDULES.items():
        rates = np.array([schedule(s) for s in share])
        assert rates[0] == 1.0
        assert (np.diff(rates) <= 0).all()
        assert (rates[-1] < 0.02) == (name != "constant")


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_schedule_trains(schedule: str) -> None:
    settings = Settings(
        constraint="free", init="uniform", optimizer="adam", schedule=schedule, steps=200
    )
    assert fitted(sample(), "mse", settings).weight == pytest.approx(WEIGHT, abs=0.05)


def test_an_unknown_schedule_is_refused() -> None:
    with pytest.raises(
        ConfigError, match="schedule; got 'linear'; expected one of constant, cosine, step"
    ):
        fitted(sample(), "mse", Settings(optimizer="adam", schedule="linear"))


def test_weight_decay_shrinks_the_weights_but_not_the_offset() -> None:
    settings = Settings(constraint="free", init="uniform", optimizer="adamw", steps=250)
    plain, decayed = (
        fitted(sample(), "mse", replace(settings, weight_decay=d)) for d in (0.0, 5.0)
    )
    assert plain.weight == pytest.approx(WEIGHT, abs=0.01)
    assert np.linalg.norm(decayed.weight) < 0.9 * np.linalg.norm(plain.weight)
    x = sample()[:, :B].mean(axis=0)
    for found in (plain, decayed):
        assert found.weight @ x + found.offset == pytest.approx(WEIGHT @ x + OFFSET, abs=0.01)


def test_early_stopping_keeps_the_best_weights() -> None:
    """The held-out pixels follow other weights than the others: training on makes their loss worse
    after a while."""
    joint, held = sample(seed=1), np.arange(N) % 5 == 0
    joint[held, B:] = joint[held, :B] @ (0.5 * WEIGHT + 0.1).T + OFFSET + 0.5
    settings = Settings(
        constraint="free", init="uniform", optimizer="adam", lr=0.01, steps=600, patience=3
    )
    found = fitted(joint, "mse", settings, held=held)
    assert len(found.stops) == K
    for _, best, epochs in found.stops:
        assert epochs == best + 3
    assert found.steps == max(e for _, _, e in found.stops) * SHORTEST_EPOCH
    x, t = joint[held, :B], joint[held, B:]
    lost = np.mean((x @ found.weight.T + found.offset - t) ** 2, axis=0)
    endless = fitted(joint, "mse", replace(settings, patience=0), held=held)
    assert endless.stops == []
    assert (lost < np.mean((x @ endless.weight.T + endless.offset - t) ** 2, axis=0)).all()


def test_held_out_pixels_are_whole_blocks() -> None:
    random = np.random.default_rng(0)
    grids = [blocks((64, 48), 5), blocks((30, 90), 5)]
    place = np.stack(
        [random.integers(0, 2, 4000), random.integers(0, 30, 4000), random.integers(0, 48, 4000)],
        axis=1,
    )
    number, held = block_numbers(place, grids), held_out(place, grids, seed=3)
    occupied, chosen = set(number.tolist()), set(number[held].tolist())
    assert chosen.isdisjoint(number[~held].tolist())
    assert len(chosen) == round(len(occupied) / 5)
    assert held.tolist() == held_out(place, grids, seed=3).tolist()
    assert held.tolist() != held_out(place, grids, seed=4).tolist()
    first = (place[:, 0] == 0) & (place[:, 1] // 13 == 0)
    assert set(number[first & (place[:, 1] < 12) & (place[:, 2] < 9)].tolist()) == {0}
    assert not held_out(np.zeros((5, 3), np.int64), grids, seed=0).any()


def test_long_histories_make_no_large_figure() -> None:
    curve = 1 / np.arange(1.0, 200_000.0)
    assert len(loss_figure({"a": curve.tolist()})) < 100_000


# --------------------------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    cube = spectra(B, 40, 60)
    target = blend(cube, WEIGHT.tolist(), OFFSET.tolist()).astype(np.float32)
    scene = write_tiff(tmp_path / "cube.tif", cube, nm=wavelengths(B))
    return [
        scene,
        "--target",
        write_tiff(tmp_path / "t.tif", target),
        "-o",
        str(tmp_path / "run"),
        "--no-fused",
    ]


@dataclass
class Stopped:
    """A fit that watched held-out pixels: rows, best epoch, epochs."""

    stops: list[tuple[list[int], int, int]]


def test_early_stopping_is_said_where_something_was_stopped() -> None:
    from bandfuse.training.messages import stop_messages

    (text,) = stop_messages([Stopped([([0], 3, 10), ([1], 7, 7)])], ["red", "nir"])  # type: ignore[list-item]
    assert text == "early stopping: red kept the weights after epoch 3 of 10"


@pytest.mark.one_in(6)
@pytest.mark.parametrize("name", [n for n in LOSSES if n != "mse"])
def test_losses_from_files(name: str, tmp_path: Path, files: list[str]) -> None:
    done = cli(
        "train", *files, "--no-report", "--loss", name, "--optimizer", "adamw", "--steps", "40"
    )
    assert done.code == 0, done.err
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert report["scores"]["holdout"] is not None
    assert f"loss: {name}" in (tmp_path / "run" / "config.yaml").read_text()
    again = cli(
        "train",
        "--config",
        tmp_path / "run" / "config.yaml",
        "-o",
        tmp_path / "again",
        "--threads",
        "1",
        "-q",
        "--no-fused",
        "--no-report",
    )
    assert again.code == 0, again.err
    weights = [(tmp_path / run / "weights.safetensors").read_bytes() for run in ("run", "again")]
    same_bits(*weights)


def test_a_function_of_your_own_from_files(tmp_path: Path, files: list[str]) -> None:
    config = TrainConfig(
        scenes=[files[0]],
        target=[files[2]],
        output=files[4],
        no_fused=True,
        no_report=True,
        steps=200,
        constraint="free",
    )
    train(config, loss=pseudo_huber)
    assert load(tmp_path / "run" / "weights.safetensors").common.matrix == pytest.approx(
        WEIGHT, abs=0.01
    )
    done = cli("train", "--config", tmp_path / "run" / "config.yaml", "-o", tmp_path / "again")
    assert done.code == 2
    assert "loss custom needs a function" in " ".join(done.err.split())
    with pytest.raises(ConfigError, match="loss mae and a loss function exclude each other"):
        train(config.model_copy(update={"loss": "mae", "overwrite": True}), loss=pseudo_huber)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--schedule", "cosine"], "--schedule does not apply with --optimizer lbfgs"),
        (["--checkpoint", "c"], "--checkpoint does not apply with --optimizer lbfgs"),
        (["--loss", "mae", "--ridge", "1"], "--ridge does not apply to"),
        (["--loss", "custom"], "loss custom needs a function"),
    ],
)
def test_settings_that_exclude_each_other(flags: list[str], said: str, files: list[str]) -> None:
    done = cli("train", *files, *flags)
    assert done.code == 2
    assert said in " ".join(done.err.split())
