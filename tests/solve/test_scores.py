"""Scores, output tables, pairing of groups with targets, gauges, layouts."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import (
    bands_of,
    close_to_conditioning,
    condition_of,
    correlated,
    fusion_of,
    plain,
    rounding,
)
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cosine
from scipy.stats import pearsonr
from sklearn.metrics import (
    mean_absolute_error,
    mean_squared_error,
    r2_score,
    root_mean_squared_error,
)

from bandfuse.errors import GroupError, MismatchError
from bandfuse.moments.moments import Moments
from bandfuse.optimise.objectives.reconstruction import Reconstruction
from bandfuse.solve.design import Design, design, output_bands, unique_names
from bandfuse.solve.gauge import normalise, uncorrelate
from bandfuse.solve.layout import Layout, across, within
from bandfuse.solve.scores import Pairs, overall_scores, reconstruction_score, regression_scores
from bandfuse.spectral.bands import Bands
from bandfuse.spectral.groups import Group

# --------------------------------------------------------------------------------------------------


@given(st.integers(0, 2**32 - 1), st.integers(5, 60), st.integers(1, 4), st.integers(1, 3))
def test_scores_from_moments_are_those_of_the_pixels(seed: int, n: int, b: int, k: int) -> None:
    random = np.random.default_rng(seed)
    x = correlated(random, n, b)
    t = x @ random.uniform(0, 1, (b, k)) + random.uniform(0.1, 1) * random.standard_normal((n, k))
    f = fusion_of(
        random.standard_normal((k, b)), random.uniform(0.5, 2, k), random.standard_normal(k)
    )
    peak = t.max(axis=0)
    pixels = np.hstack([x, t])
    pairs = Pairs.linear(Moments.of(pixels), pixels, f.matrix, f.offset)
    scores = regression_scores(pairs, peak)
    y = f(x)
    close_to_conditioning(pairs.sample, np.hstack([y, t]))
    relative = np.array(
        [root_mean_squared_error(t[:, i], y[:, i]) / t[:, i].mean() for i in range(k)]
    )
    overall = overall_scores(pairs)
    assert overall["ergas"] == pytest.approx(100 * np.sqrt((relative**2).mean()), rel=1e-7)
    angles = (
        [np.degrees(np.arccos(np.clip(1 - cosine(a, b), -1, 1))) for a, b in zip(y, t, strict=True)]
        if k > 1
        else []
    )
    assert overall["sam"] == (pytest.approx(np.mean(angles), rel=1e-7, abs=1e-5) if k > 1 else None)
    assert len(scores) == k
    for i, score in enumerate(scores):
        mse = mean_squared_error(t[:, i], y[:, i])
        assert score["r2"] == pytest.approx(r2_score(t[:, i], y[:, i]), rel=1e-8, abs=1e-9)
        assert score["mae"] == pytest.approx(mean_absolute_error(t[:, i], y[:, i]), rel=1e-8)
        assert score["rmse"] == pytest.approx(np.sqrt(mse), rel=1e-8)
        assert score["cc"] == pytest.approx(
            pearsonr(t[:, i], y[:, i]).statistic, rel=1e-7, abs=1e-9
        )
        expected = 10 * np.log10(peak[i] ** 2 / mse) if peak[i] > 0 else None
        assert score["psnr"] == pytest.approx(expected, rel=1e-8)


def test_pairs_of_moments_are_the_joint_of_outputs_and_targets() -> None:
    random = np.random.default_rng(0)
    x, t = correlated(random, 40, 3), random.standard_normal((40, 2))
    f = fusion_of(random.standard_normal((2, 3)), np.array([2.0, 0.5]), np.array([1.0, -1.0]))
    both = np.hstack([x, t])
    made = Pairs.linear(Moments.of(both), both, f.matrix, f.offset)
    pairs = made.moments
    direct = Moments.of(np.hstack([f(x), t]))
    assert pairs.count == direct.count
    assert pairs.mean == pytest.approx(direct.mean)
    assert pairs.scatter == pytest.approx(direct.scatter)
    assert made.sample == pytest.approx(np.hstack([f(x), t]))


def test_scores_that_do_not_exist_are_none() -> None:
    t = np.array([1.0, 2.0, 3.0])
    perfect, constant_target, constant_output, negative = (
        regression_scores(Pairs.of(np.column_stack(pair)), np.array([peak]))[0]
        for pair, peak in (
            ((t, t), 3.0),
            ((t, np.full(3, 2.0)), 2.0),
            ((np.full(3, 2.0), t), 3.0),
            ((t, -t), -1.0),
        )
    )
    assert perfect == {"r2": 1.0, "rmse": 0.0, "cc": pytest.approx(1.0), "psnr": None, "mae": 0.0}
    assert constant_target["r2"] is None
    assert constant_target["cc"] is None
    assert constant_target["rmse"] == pytest.approx(np.sqrt(2 / 3))
    assert constant_output["cc"] is None
    assert constant_output["r2"] == pytest.approx(0.0)
    assert negative["psnr"] is None
    nothing = Pairs(Moments.of(np.column_stack([t, t, t, t - 2])), np.zeros((0, 4)))
    assert [row["mae"] for row in regression_scores(nothing, np.ones(2))] == [None, None]
    assert overall_scores(nothing) == {"sam": None, "ergas": None}
    assert overall_scores(Pairs.of(np.zeros((3, 4)))) == {"sam": None, "ergas": None}
    assert negative["cc"] == pytest.approx(-1.0)
    assert negative["r2"] == pytest.approx(r2_score(-t, t))


def test_correlations_stay_within_one() -> None:
    for seed in range(50):
        t = np.random.default_rng(seed).standard_normal(4) * 1e-3
        cc = regression_scores(Pairs.of(np.column_stack([3 * t, t])), np.ones(1))[0]["cc"]
        assert cc is not None
        assert 1 - rounding() <= cc <= 1.0


def test_reconstruction_score_is_that_of_the_rebuilt_cube() -> None:
    random = np.random.default_rng(0)
    x = correlated(random, 200, 4)
    w = random.standard_normal((2, 4))
    outputs = np.column_stack([x @ w.T, np.ones(200)])
    rebuilt = outputs @ np.linalg.lstsq(outputs, x, rcond=None)[0]
    import torch

    objective = Reconstruction(Moments.of(x).covariance)
    loss = float(objective.losses(torch.as_tensor(w), torch.ones(2), None))
    score = reconstruction_score(loss, float(objective.scale[0]), float(x.max()))
    mse = float(np.mean((x - rebuilt) ** 2))
    share = rounding(condition_of(x @ w.T) * float(x.var(axis=0).sum()) / mse)
    assert score["rmse"] == pytest.approx(np.sqrt(mse), rel=share)
    assert score["r2"] == pytest.approx(1 - mse / np.mean((x - x.mean(axis=0)) ** 2), rel=share)
    assert score["psnr"] == pytest.approx(20 * np.log10(x.max() / np.sqrt(mse)), rel=share)
    assert score["cc"] is None
    # Rounding below zero is a perfect score.
    assert reconstruction_score(-1e-18, 1.0, 1.0)["r2"] == 1.0


# --------------------------------------------------------------------------------------------------


def test_an_output_has_the_centre_and_width_of_its_weights() -> None:
    inputs = Bands.of(
        ["a", "b", "c", "d"], wavelength_nm=[500, 510, 530, 900], fwhm_nm=[5, 6, 7, 8]
    )
    table = output_bands(["green"], np.array([[1.0, 2.0, 1.0, 0.0]]), inputs)
    # Per nm: 1/10, 2/15 and 1/20. Half of 2/15 lies a third of a step before 500, and 16 nm after
    # 510.
    low, high = 500 - 10 / 3, 526
    assert table.wavelength_nm == pytest.approx([(low + high) / 2])
    assert table.fwhm_nm == pytest.approx([high - low])
    assert table.name == ("green",)
    assert table.source == ("fused",)


def test_the_width_of_a_gaussian_response_is_its_fwhm() -> None:
    inputs = bands_of(400, start_nm=400, step_nm=1)
    sigma = 20.0
    weight = np.exp(-0.5 * ((inputs.wavelength_nm - 600) / sigma) ** 2)
    table = output_bands(["g"], weight[None], inputs)
    assert table.wavelength_nm[0] == pytest.approx(600)
    assert table.fwhm_nm[0] == pytest.approx(2 * np.sqrt(2 * np.log(2)) * sigma, rel=1e-4)


def test_outputs_without_a_centre_get_none() -> None:
    inputs = Bands.of(["a", "b", "c"], wavelength_nm=[500, 510, np.nan], fwhm_nm=[5, 6, 7])
    matrix = np.array([[1.0, -0.1, 0.0], [0.5, 0.0, 0.5], [0.0, 0.0, 0.0], [0.0, 3.0, 0.0]])
    table = output_bands(["signed", "unknown", "empty", "single"], matrix, inputs)
    assert np.isnan(table.wavelength_nm[:3]).all()
    assert np.isnan(table.fwhm_nm[:3]).all()
    # A single band keeps its own.
    assert table.wavelength_nm[3] == 510
    assert table.fwhm_nm[3] == 6


# --------------------------------------------------------------------------------------------------

RED, NIR, ALL = Group("red", (1, 2)), Group("nir", (4, 5)), Group("all", (0, 1, 2))


def arranged(groups: list[Group], targets: list[str] | None, **more: object) -> Design:
    settings = {"kind": "channel", "fuse": "within", **more}
    return design(groups, targets=targets, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("groups", "targets", "more", "names", "order", "rows"),
    [
        # No targets: every group is an output.
        ([RED, NIR], None, {}, ("red", "nir"), (), [0, 1]),
        # Equal names win over the order.
        ([RED, NIR], ["nir", "red"], {}, ("red", "nir"), (1, 0), [0, 1]),
        # Equal numbers: by order, and the groups' names stay.
        ([RED, NIR], ["t1", "t2"], {}, ("red", "nir"), (0, 1), [0, 1]),
        # One group serves every target.
        ([ALL], ["t1", "t2", "t3"], {}, ("t1", "t2", "t3"), (0, 1, 2), [0, 0, 0]),
        ([ALL], ["t1"], {}, ("all",), (0,), [0]),
        ([ALL], ["t1"], {"named": False}, ("t1",), (0,), [0]),
    ],
)
def test_within_pairs_groups_and_targets(
    groups: list[Group],
    targets: list[str] | None,
    more: dict[str, object],
    names: tuple[str, ...],
    order: tuple[int, ...],
    rows: list[int],
) -> None:
    found = arranged(groups, targets, **more)
    assert found.names == names
    assert found.targets == order
    mask = found.layout.matrix(np.ones(found.layout.size)) != 0
    for k, g in enumerate(rows):
        assert [found.used[i] for i in np.flatnonzero(mask[k])] == list(groups[g].positions)


@pytest.mark.parametrize(
    ("groups", "targets"), [([RED, NIR], ["a", "b", "c"]), ([RED, NIR], ["a"])]
)
def test_groups_and_targets_that_cannot_be_paired_are_both_listed(
    groups: list[Group], targets: list[str]
) -> None:
    with pytest.raises(MismatchError, match="cannot be paired") as caught:
        arranged(groups, targets)
    for name in [*(g.name for g in groups), *targets]:
        assert name in caught.value.got


def test_a_target_with_some_of_the_groups_names_is_not_paired_by_order() -> None:
    with pytest.raises(MismatchError, match="got nir, t2; expected red, nir"):
        arranged([RED, NIR], ["nir", "t2"])


def test_across_pairs_channels_and_targets() -> None:
    assert arranged([RED, NIR], None, fuse="across").names == ("b1", "b2")
    found = arranged([RED, NIR], ["x", "y"], fuse="across")
    assert found.names == ("x", "y")
    assert found.targets == (0, 1)
    with pytest.raises(MismatchError, match=r"got 2 channels and 3 target bands \(x, y, z\)"):
        arranged([RED, NIR], ["x", "y", "z"], fuse="across")


def test_only_used_bands_enter_and_weights_are_widened_back() -> None:
    found = arranged([NIR, RED], None)
    assert found.used == (1, 2, 4, 5)
    assert found.layout.shape == (2, 4)
    wide = found.widen(np.array([[0.0, 0.0, 1.0, 2.0], [3.0, 4.0, 0.0, 0.0]]), 7)
    assert wide.tolist() == [[0, 0, 0, 0, 1, 2, 0], [0, 3, 4, 0, 0, 0, 0]]


def test_an_unknown_fixed_group_is_an_error_with_a_guess() -> None:
    with pytest.raises(GroupError, match="no group 'rde' to fix") as caught:
        arranged([RED, NIR], None, fixed=["rde"])
    assert "Did you mean 'red'?" in caught.value.remedy


def test_nothing_left_to_learn_is_an_error() -> None:
    with pytest.raises(GroupError, match="learn"):
        arranged([RED, NIR], None, fixed=["red", "nir"])
    with pytest.raises(GroupError, match="nothing is left to learn of red, whose bands are all"):
        arranged([RED, NIR], None, fixed=["red"])


@pytest.mark.parametrize(
    ("names", "unique"),
    [
        (["red", "nir"], ["red", "nir"]),
        (["red", "red"], ["b1", "b2"]),
        (["red", ""], ["b1", "b2"]),
        (["red", "  "], ["b1", "b2"]),
        ([], []),
    ],
)
def test_unique_names(names: list[str], unique: list[str]) -> None:
    assert unique_names(names) == unique


# --------------------------------------------------------------------------------------------------


def test_within_layouts_by_kind() -> None:
    groups = [Group("a", (0, 1)), Group("b", (2, 3, 4))]
    channel = within(groups, 5, "channel", set(), [0, 1, 1])
    assert channel.size == 8
    assert channel.matrix(np.arange(1.0, 9.0)).tolist() == [
        [1, 2, 0, 0, 0],
        [0, 0, 3, 4, 5],
        [0, 0, 6, 7, 8],
    ]
    assert channel.rows_of_set() == [[0], [1], [2]]
    for kind in ("scalar", "instance"):
        scalar = within(groups, 5, kind, set(), [0, 1, 1])
        assert scalar.matrix(np.array([1.0, 2.0, 3.0])).tolist() == [
            [1, 1, 0, 0, 0],
            [0, 0, 2, 2, 2],
            [0, 0, 3, 3, 3],
        ]
        assert scalar.multiplicity.tolist() == [2, 3, 3]


def test_across_layouts_by_kind() -> None:
    groups = [Group("a", (0, 1)), Group("p", (2,)), Group("c", (3, 4))]
    scalar = across(groups, 5, "scalar", set())
    assert scalar.matrix(np.array([1.0, 2.0, 3.0])).tolist() == [[1, 0, 2, 3, 0], [0, 1, 2, 0, 3]]
    assert scalar.rows_of_set() == [[0, 1]]
    channel = across(groups, 5, "channel", {"p"})
    assert channel.size == 4
    assert channel.matrix(np.array([1.0, 2.0, 3.0, 4.0])).tolist() == [
        [1, 0, 1, 2, 0],
        [0, 3, 1, 0, 4],
    ]
    assert channel.rows_of_set() == [[0], [1]]


def test_rows_without_learned_weights_come_last() -> None:
    layout = within([Group("a", (0,)), Group("b", (1,))], 2, "channel", {"a"}, [0, 1])
    assert layout.rows_of_set() == [[1], [0]]
    assert layout.part([0]).size == 0
    assert layout.part([0]).fixed.tolist() == [[1.0, 0.0]]


LAYOUTS = st.builds(
    lambda kind, fuse, fixed, rows: (
        across([Group("a", (0, 1)), Group("p", (2,)), Group("c", (3, 4))], 5, kind, fixed)
        if fuse
        else within([Group("a", (0, 1, 2)), Group("c", (2, 3, 4))], 5, kind, fixed, rows)
    ),
    st.sampled_from(["scalar", "channel", "instance"]),
    st.booleans(),
    st.sampled_from([set(), {"a"}, {"c"}]),
    st.lists(st.integers(0, 1), min_size=1, max_size=4),
)


@given(LAYOUTS)
def test_layouts_are_linear_and_their_parts_fit_together(layout: Layout) -> None:
    v = np.random.default_rng(0).standard_normal(layout.size)
    w = layout.matrix(v)
    groups = layout.rows_of_set()
    assert sorted(r for rows in groups for r in rows) == list(range(layout.shape[0]))
    for k in range(layout.shape[0]):
        assert w[k] == pytest.approx(layout.fixed[k] + layout.member(k) @ v)
    for rows in groups:
        part = layout.part(rows)
        assert np.array_equal(part.matrix(v[layout.params_of(rows)]), w[rows])
        # Rows of one set share weights with no row of another.
        others = [r for r in range(layout.shape[0]) if r not in rows]
        assert not set(layout.params_of(rows).tolist()) & set(layout.params_of(others).tolist())
    sums = [w[k].sum() - layout.fixed[k].sum() for k in range(layout.shape[0])]
    used = [layout.params_of([k]) for k in range(layout.shape[0])]
    assert sums == pytest.approx([float(layout.multiplicity[p] @ v[p]) for p in used])


# --------------------------------------------------------------------------------------------------


@given(st.integers(0, 2**32 - 1))
def test_rows_are_reported_with_unit_norm_and_a_sum_that_is_not_negative(seed: int) -> None:
    w = np.random.default_rng(seed).standard_normal((3, 4)) * 100
    for constraint in ("free", "nonnegative"):
        unit = normalise(w, constraint)
        assert np.linalg.norm(unit, axis=1) == pytest.approx(np.ones(3))
        assert (unit.sum(axis=1) >= 0).all()
        cosine = (unit * w).sum(axis=1) / np.linalg.norm(w, axis=1)
        assert np.abs(cosine) == pytest.approx(np.ones(3))
        assert normalise(unit, constraint) == pytest.approx(unit)


def test_rows_of_unit_sum_and_empty_rows_stay() -> None:
    w = np.array([[0.3, 0.7], [2.0, -1.0]])
    assert np.array_equal(normalise(w, "affine"), w)
    assert np.array_equal(normalise(w[:1], "simplex"), w[:1])
    assert normalise(np.zeros((1, 2)), "free").tolist() == [[0.0, 0.0]]


def test_rows_of_one_group_are_mixed_to_uncorrelated_outputs_largest_first() -> None:
    random = np.random.default_rng(0)
    covariance = Moments.of(correlated(random, 200, 5)).covariance
    first, second = Group("first", (0, 1, 2)), Group("second", (3, 4))
    layout = within([first, Group("again", (0, 1, 2)), second], 5, "channel", set(), [0, 2, 1])
    w = layout.matrix(random.standard_normal(layout.size))
    found = uncorrelate(w, layout, covariance)
    pair = found[[0, 2]]
    spread = pair @ covariance @ pair.T
    assert spread[0, 1] == pytest.approx(0.0, abs=rounding() * spread.max())
    assert spread[0, 0] > spread[1, 1]
    assert pair @ pair.T == pytest.approx(np.eye(2), abs=rounding())
    # The span is the same, and so is what can be rebuilt; the row of the other group is not
    # touched.
    assert np.linalg.matrix_rank(np.vstack([pair, w[[0, 2]]])) == 2
    assert np.array_equal(found[1], w[1])
    import torch

    losses = Reconstruction(covariance).losses
    assert float(losses(torch.as_tensor(found), torch.ones(3), None)) == pytest.approx(
        float(losses(torch.as_tensor(w), torch.ones(3), None))
    )


def test_all_components_of_one_group_are_the_principal_ones() -> None:
    random = np.random.default_rng(1)
    covariance = Moments.of(correlated(random, 200, 3)).covariance
    layout = within([Group(f"g{i}", (0, 1, 2)) for i in range(3)], 3, "channel", set(), [0, 1, 2])
    found = uncorrelate(random.standard_normal((3, 3)), layout, covariance)
    values, vectors = np.linalg.eigh(covariance)
    # Eigenvectors are as certain as their eigenvalues lie apart.
    apart = float(np.diff(values).min() / values.max())
    assert np.abs(found @ vectors[:, ::-1]) == pytest.approx(np.eye(3), abs=rounding(1 / apart))
    assert np.diag(found @ covariance @ found.T) == pytest.approx(values[::-1])


def test_bands_without_wavelengths_give_outputs_without() -> None:
    assert np.isnan(output_bands(["y"], np.ones((1, 2)), plain(2)).wavelength_nm).all()
