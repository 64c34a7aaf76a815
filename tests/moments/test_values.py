"""The laws of the values: moments, samples, fusions, and what one pass over a scene gathers."""

from __future__ import annotations

import tracemalloc
from dataclasses import dataclass, replace

import numpy as np
import pytest
from helpers import (
    MemorySource,
    close_to_conditioning,
    fusion_of,
    plain,
    rounding,
    same_bits,
    windows_at_random,
)
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from bandfuse.errors import MismatchError
from bandfuse.model.fusion import ACTIVATIONS, Fusion, FusionKernel, NodataPolicy
from bandfuse.moments.census import Census
from bandfuse.moments.moments import Moments, total
from bandfuse.moments.reduce import reduce_windows
from bandfuse.moments.sample import Pixels, Reservoir, kept_as, keys, merged
from bandfuse.moments.tally import Question, Tally, keys_of
from bandfuse.streaming.blocks import BlockGrid, blocks
from bandfuse.streaming.stream import map_windows
from bandfuse.streaming.windows import Window, plan

SEEDS = st.integers(0, 2**32 - 1)


def random_pixels(seed: int, n: int, d: int) -> np.ndarray:
    """(N, D) pixels whose variables differ in size and level, as reflectances and radiances do."""
    random = np.random.default_rng(seed)
    size, level = 10.0 ** random.integers(-3, 4, d), random.uniform(-10, 10, d)
    return size * (random.standard_normal((n, d)) @ random.standard_normal((d, d)) + level)


def dense(x: np.ndarray) -> tuple[int, np.ndarray, np.ndarray]:
    """Count, mean and scatter in extended precision."""
    wide = x.astype(np.longdouble)
    mean = wide.mean(axis=0) if len(x) else np.zeros(x.shape[1])
    centred = wide - mean
    return len(x), mean.astype(np.float64), (centred.T @ centred).astype(np.float64)


def assert_moments(
    m: Moments, count: int, mean: np.ndarray, scatter: np.ndarray, *, rounding: float = 1e-12
) -> None:
    """Equal to rounding, each entry against the sizes of its two variables."""
    assert m.count == count
    deviation = np.sqrt(np.diag(scatter))
    size = np.abs(mean) + deviation / np.sqrt(max(1, count))
    assert (np.abs(m.mean - mean) <= rounding * size).all()
    bound = np.outer(deviation, deviation) + max(1, count) * np.outer(size, size) * 1e-4
    assert (np.abs(m.scatter - scatter) <= rounding * bound).all()


def assert_same_moments(a: Moments, b: Moments) -> None:
    assert_moments(a, b.count, b.mean, b.scatter)


def assert_same_bits(a: Moments, b: Moments) -> None:
    assert a.count == b.count
    same_bits(a.mean, b.mean)
    same_bits(a.scatter, b.scatter)


# --------------------------------------------------------------------------------------------------


@given(SEEDS, st.integers(0, 40), st.integers(1, 5))
def test_moments_of_pixels_are_the_dense_ones(seed: int, n: int, d: int) -> None:
    x = random_pixels(seed, n, d)
    m = Moments.of(x)
    assert m.size == d
    assert m.mean.dtype == m.scatter.dtype == np.float64
    assert_moments(m, *dense(x))
    if n:
        close_to_conditioning(m.covariance, np.cov(x.T, bias=True).reshape(d, d))
        close_to_conditioning(m.variance, x.var(axis=0))


@given(SEEDS, st.integers(0, 30), st.integers(0, 30), st.integers(1, 5))
def test_moments_merge_to_those_of_all_pixels(seed: int, n: int, k: int, d: int) -> None:
    x = random_pixels(seed, n + k, d)
    assert_moments(Moments.of(x[:n]) + Moments.of(x[n:]), *dense(x))


@given(SEEDS, st.integers(0, 30), st.integers(1, 5))
def test_no_pixels_are_the_identity_of_moments_to_the_bit(seed: int, n: int, d: int) -> None:
    m = Moments.of(random_pixels(seed, n, d))
    assert_same_bits(Moments.zero(d) + m, m)
    assert_same_bits(m + Moments.zero(d), m)


@given(SEEDS, st.lists(st.integers(0, 12), min_size=3, max_size=3), st.integers(1, 5))
def test_moments_add_associatively_and_commute(seed: int, sizes: list[int], d: int) -> None:
    x = random_pixels(seed, sum(sizes), d)
    a, b, c = (Moments.of(part) for part in np.split(x, np.cumsum(sizes)[:-1]))
    assert_same_moments((a + b) + c, a + (b + c))
    assert_same_moments(a + b, b + a)
    assert_same_bits(total([a, b, c], d), (a + b) + c)


def test_the_sum_of_no_moments_is_zero() -> None:
    assert_same_bits(total([], 3), Moments.zero(3))


@given(SEEDS, st.integers(1, 30))
def test_a_scatter_is_symmetric_to_the_bit(seed: int, n: int) -> None:
    x = random_pixels(seed, 2 * n, 4)
    for m in (Moments.of(x), Moments.of(x[:n]) + Moments.of(x[n:])):
        assert np.array_equal(m.scatter, m.scatter.T)


def test_moments_keep_their_digits_far_from_zero() -> None:
    x = 1e8 + np.random.default_rng(0).standard_normal((1000, 3))
    halves = Moments.of(x[:400]) + Moments.of(x[400:])
    assert halves.scatter == pytest.approx(dense(x)[2], rel=1e-8, abs=1e-6)


def test_moments_of_different_size_do_not_add() -> None:
    with pytest.raises(MismatchError, match="got 2 and 3 variables"):
        Moments.zero(2) + Moments.zero(3)


def test_of_columns_leaves_its_array_alone() -> None:
    z = random_pixels(1, 20, 3).T.copy()
    before = z.copy()
    Moments.of_columns(z)
    assert np.array_equal(z, before)


@given(SEEDS, st.integers(0, 30), st.integers(1, 5), st.integers(1, 3))
def test_moments_push_forward_through_a_fusion(seed: int, n: int, b: int, k: int) -> None:
    random = np.random.default_rng(seed)
    f = fusion_of(
        random.standard_normal((k, b)), random.uniform(0.5, 2, k), random.standard_normal(k)
    )
    x = random.standard_normal((n, b)) + random.uniform(-3, 3, b)
    pushed = Moments.of(x).through(f)
    if n:
        y = dense(f(x))
        assert pushed.count == n
        # Terms may cancel in an output, and in its variance: to the size of the terms.
        size = float(np.abs(f.matrix).sum(axis=1).max() * np.abs(x).max() + np.abs(f.offset).max())
        assert pushed.mean == pytest.approx(y[1], rel=0, abs=rounding() * size)
        assert pushed.scatter == pytest.approx(y[2], rel=0, abs=rounding() * n * size**2)
    else:
        assert_same_bits(pushed, Moments.zero(k))
    assert_same_bits(pushed, Moments.of(x).mapped(f.matrix, f.offset))


def test_moments_pass_linear_fusions_only() -> None:
    with pytest.raises(MismatchError, match="activation 'tanh'"):
        Moments.zero(2).through(fusion_of(np.ones((1, 2)), activation="tanh"))


@given(SEEDS, st.integers(0, 30), st.lists(st.integers(0, 4), max_size=6))
def test_take_is_the_moments_of_these_variables(seed: int, n: int, variables: list[int]) -> None:
    x = random_pixels(seed, n, 5)
    m = Moments.of(x)
    taken = m.take(variables)
    assert taken.count == n
    assert np.array_equal(taken.mean, m.mean[variables])
    for i, v in enumerate(variables):
        for j, w in enumerate(variables):
            assert taken.scatter[i, j] == m.scatter[v, w]
    if variables:
        selection = np.eye(5)[variables]
        assert_same_moments(taken, m.mapped(selection, np.zeros(len(variables))))


# --------------------------------------------------------------------------------------------------


def scattered(
    seed: int, n: int, *, few_keys: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Keys, places and values of n different pixels; with few different keys there are many
    ties."""
    random = np.random.default_rng(seed)
    place = np.unique(random.integers(0, 40, (n, 3)), axis=0).astype(np.int64)
    random.shuffle(place)
    key = (
        random.integers(0, 4, len(place)).astype(np.uint64)
        if few_keys
        else keys(seed, place[:, 1], place[:, 2])
    )
    return key, place, random.standard_normal((len(place), 2))


def assert_same_sample(a: Pixels, b: Pixels) -> None:
    assert a.capacity == b.capacity
    same_bits(a.key, b.key)
    assert np.array_equal(a.place, b.place)
    same_bits(a.values, b.values)


@given(SEEDS, st.integers(1, 60), st.integers(0, 80), st.booleans())
def test_a_sample_holds_the_smallest_keys_in_order(
    seed: int, n: int, capacity: int, few: bool
) -> None:
    key, place, values = scattered(seed, n, few_keys=few)
    sample = Pixels.of(capacity, key, place, values)
    rows = sorted(zip(key.tolist(), place.tolist(), values.tolist(), strict=True))[:capacity]
    assert len(sample) == min(capacity, len(key))
    assert sample.key.tolist() == [r[0] for r in rows]
    assert sample.place.tolist() == [r[1] for r in rows]
    assert sample.values.tolist() == [r[2] for r in rows]
    full = len(key) >= capacity > 0
    assert sample.bound == (rows[-1][0] if full else 2**64 - 1)


@given(SEEDS, st.integers(1, 60), st.integers(0, 30), st.booleans(), st.integers(1, 6))
def test_samples_merge_to_the_sample_of_all_in_any_split_and_order(
    seed: int, n: int, capacity: int, few: bool, parts: int
) -> None:
    key, place, values = scattered(seed, n, few_keys=few)
    whole = Pixels.of(capacity, key, place, values)
    random = np.random.default_rng(seed + 1)
    split = np.array_split(random.permutation(len(key)), parts)
    samples = [Pixels.of(capacity, key[i], place[i], values[i]) for i in split]
    assert_same_sample(merged(samples, capacity, 2), whole)
    one_by_one = Pixels.zero(capacity, 2)
    for i in random.permutation(len(samples)):
        one_by_one = samples[i] + one_by_one
    assert_same_sample(one_by_one, whole)
    assert_same_sample(whole + Pixels.zero(capacity, 2), whole)
    assert_same_sample(Pixels.zero(capacity, 2) + whole, whole)


@given(SEEDS, st.integers(1, 60), st.integers(0, 30), st.booleans(), st.integers(1, 6))
def test_a_reservoir_keeps_the_sample_of_all_that_comes(
    seed: int, n: int, capacity: int, few: bool, parts: int
) -> None:
    key, place, values = scattered(seed, n, few_keys=few)
    whole = Pixels.of(capacity, key, place, values)
    random = np.random.default_rng(seed + 1)
    reservoir = Reservoir(capacity, 2, len(key))
    for i in np.array_split(random.permutation(len(key)), parts):
        some = Pixels.of(capacity, key[i], place[i], values[i])
        reservoir.add(some.where(some.key <= np.uint64(reservoir.bound)))
    kept = reservoir.pixels()
    assert_same_sample(kept, whole)
    assert reservoir.bound >= kept.bound


def test_large_samples_are_kept_in_float32_by_their_number_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert kept_as(20_000, 300) is np.float64
    assert kept_as(2_000_000, 232) is np.float32
    key, place, values = scattered(3, 50)
    whole = Pixels.of(20, key, place, values)
    monkeypatch.setattr("bandfuse.moments.sample.MOST_DOUBLE", 20 * 2 - 1)
    reservoir = Reservoir(20, 2, 50)
    reservoir.add(Pixels.of(20, key, place, values.astype(kept_as(20, 2))))
    kept = reservoir.pixels()
    assert kept.store.dtype == np.float32
    assert kept.values.dtype == np.float64
    same_bits(kept.key, whole.key)
    np.testing.assert_allclose(kept.values, whole.values, rtol=2**-23)
    odd = kept.where(np.arange(20) % 2 == 1)
    assert odd.store is kept.store
    same_bits(odd.values, kept.values[1::2])


def test_scores_rest_on_the_first_pixels_of_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    key, place, values = scattered(4, 60)
    monkeypatch.setattr("bandfuse.moments.sample.TRAINED_ON", 7)
    small, large = (Pixels.of(capacity, key, place, values) for capacity in (7, 60))
    same_bits(large.scored.values, small.values)
    same_bits(large.scored.key, small.key)
    assert small.scored is small


def test_merging_nothing_is_the_empty_sample() -> None:
    empty = merged([], 5, 3)
    assert len(empty) == 0
    assert empty.values.shape == (0, 3)


@pytest.mark.parametrize("other", [Pixels.zero(4, 2), Pixels.zero(5, 3)])
def test_samples_of_different_kind_do_not_merge(other: Pixels) -> None:
    with pytest.raises(MismatchError, match="5 × 2"):
        Pixels.zero(5, 2) + other


@given(st.integers(-(2**40), 2**40), SEEDS)
def test_keys_depend_on_seed_row_and_column_only(seed: int, mixing: int) -> None:
    random = np.random.default_rng(mixing)
    row, col = random.integers(0, 10**6, 20), random.integers(0, 10**6, 20)
    found = keys(seed, row, col)
    order = random.permutation(20)
    assert np.array_equal(keys(seed, row[order], col[order]), found[order])
    assert np.array_equal(keys(seed, row.astype(np.int32), col.astype(np.uint32)), found)
    for other in (keys(seed + 1, row, col), keys(seed, row + 1, col), keys(seed, row, col + 1)):
        assert (other != found).all()


@given(SEEDS)
def test_the_keys_of_some_pixels_of_a_window_are_those_of_each(mixing: int) -> None:
    random = np.random.default_rng(mixing)
    window = Window(*random.integers(0, 10**5, 2).tolist(), *random.integers(1, 9, 2).tolist())
    places = np.flatnonzero(random.random(window.size) < random.choice([0.5, 1.0]))
    question = Question(1, 0, (0,), BlockGrid((0, 10**6), (0, 10**6)), scene=3, seed=mixing)
    key, row, col = keys_of(places, window, question)
    assert np.array_equal(row, window.row + places // window.cols)
    assert np.array_equal(col, window.col + places % window.cols)
    assert np.array_equal(key, keys(mixing, row, col))


def test_keys_are_spread_evenly_and_rows_and_columns_do_not_swap() -> None:
    row, col = (a.ravel() for a in np.mgrid[0:200, 0:200])
    found = keys(0, row, col)
    assert len(np.unique(found)) == 40_000
    share = np.bincount((found >> np.uint64(61)).astype(int), minlength=8) / 40_000
    assert np.abs(share - 1 / 8).max() < 0.01
    off_diagonal = row != col
    assert (keys(0, col, row) != found)[off_diagonal].all()


def test_keys_never_change() -> None:
    """Golden values: a sample drawn today is drawn again by any later version."""
    found = keys(7, np.array([0, 3]), np.array([0, 5]))
    assert found.tolist() == [_splitmix_key(7, 0, 0), _splitmix_key(7, 3, 5)]


def _splitmix_key(seed: int, row: int, col: int) -> int:
    """The same hash in Python's own integers."""

    def mix(x: int) -> int:
        x = (x + 0x9E3779B97F4A7C15) % 2**64
        x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        x = (x ^ (x >> 27)) * 0x94D049BB133111EB % 2**64
        return x ^ (x >> 31)

    return mix(mix(mix(mix(seed % 2**64)) ^ row) ^ col)


# --------------------------------------------------------------------------------------------------


def random_fusion(
    seed: int, k: int, b: int, *, signed: bool = True, policy: NodataPolicy | None = None
) -> Fusion:
    random = np.random.default_rng(seed)
    weight = random.standard_normal((k, b)) if signed else random.uniform(0, 1, (k, b))
    weight[random.uniform(size=(k, b)) < 0.3] = 0.0
    return fusion_of(weight, random.uniform(0.5, 2, k), random.standard_normal(k), nodata=policy)


@given(
    SEEDS,
    st.integers(0, 20),
    st.integers(1, 6),
    st.integers(1, 4),
    st.sampled_from(sorted(ACTIVATIONS)),
)
def test_a_fusion_is_the_dense_product(seed: int, n: int, b: int, k: int, activation: str) -> None:
    f = replace(random_fusion(seed, k, b), activation=activation)
    x = np.random.default_rng(seed).standard_normal((n, b))
    y = f(x)
    before = x @ (f.gain[:, None] * f.weight).T + f.offset
    assert y.shape == (n, k)
    assert y.dtype == np.float64
    size = float(
        np.abs(f.matrix).sum(axis=1).max() * np.abs(x).max(initial=0) + np.abs(f.offset).max()
    )
    assert y == pytest.approx(ACTIVATIONS[activation](before), rel=0, abs=rounding() * size)
    assert np.array_equal(f.matrix, f.gain[:, None] * f.weight)


@pytest.mark.parametrize(
    ("name", "formula"),
    [
        ("identity", lambda y: y),
        ("relu", lambda y: max(y, 0.0)),
        ("leaky_relu", lambda y: y if y > 0 else 0.01 * y),
        ("sigmoid", lambda y: 1 / (1 + np.exp(-y))),
        ("tanh", lambda y: (np.exp(y) - np.exp(-y)) / (np.exp(y) + np.exp(-y))),
        ("softplus", lambda y: np.log(1 + np.exp(y))),
    ],
)
def test_activations_are_their_formulas(name: str, formula: object) -> None:
    y = np.array([-5.0, -1.0, -1e-3, 0.0, 0.5, 4.0])
    assert callable(formula)
    assert ACTIVATIONS[name](y) == pytest.approx([formula(v) for v in y], rel=rounding())


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_activations_keep_nan_and_do_not_overflow(name: str) -> None:
    y = ACTIVATIONS[name](np.array([np.nan, -1e4, 1e4]))
    assert np.isnan(y[0])
    assert np.isfinite(y[1:]).all()


def test_support_is_what_must_be_read() -> None:
    f = fusion_of(np.array([[0.0, 1.0, 0.0, 2.0], [0.0, 0.0, 0.0, 3.0]]), np.array([0.0, 1.0]))
    # The gain of zero takes band 1 out.
    assert f.support == [3]
    x = np.full((2, 4), np.nan)
    x[:, 3] = 1.0
    assert np.array_equal(f(x), [[0.0, 3.0], [0.0, 3.0]])


def test_a_fusion_without_support_gives_its_offset() -> None:
    f = fusion_of(np.zeros((2, 3)), None, np.array([1.0, -2.0]))
    assert f.support == []
    assert np.array_equal(f(np.full((2, 3), np.nan)), [[1.0, -2.0], [1.0, -2.0]])


@given(
    SEEDS,
    st.integers(1, 5),
    st.integers(1, 4),
    st.integers(1, 3),
    st.sampled_from(sorted(ACTIVATIONS)),
)
def test_then_composes(seed: int, b: int, k: int, m: int, activation: str) -> None:
    f, g = random_fusion(seed, k, b), replace(random_fusion(seed + 1, m, k), activation=activation)
    x = np.random.default_rng(seed).standard_normal((7, b))
    both = f.then(g)
    inner = np.abs(x) @ np.abs(f.matrix).T + np.abs(f.offset)
    size = float((inner @ np.abs(g.matrix).T + np.abs(g.offset)).max())
    assert both(x) == pytest.approx(g(f(x)), rel=0, abs=rounding() * size)
    assert both.inputs == f.inputs
    assert both.outputs == g.outputs
    assert both.activation == activation


def test_then_needs_a_linear_inner_fusion_and_fitting_shapes() -> None:
    with pytest.raises(MismatchError, match="activation 'relu'"):
        fusion_of(np.ones((1, 2)), activation="relu").then(fusion_of(np.ones((1, 1))))


def test_then_refuses_an_outer_fusion_of_other_inputs() -> None:
    with pytest.raises(MismatchError):
        fusion_of(np.ones((1, 2))).then(fusion_of(np.ones((1, 2))))


def per_pixel(f: Fusion, x: np.ndarray) -> np.ndarray:
    """The nodata policies, one pixel and one output at a time, in plain sums."""
    out = np.empty((len(x), len(f.outputs)))
    for n, pixel in enumerate(x):
        for k in range(len(f.outputs)):
            w = [f.gain[k] * v for v in f.weight[k]]
            needed = [b for b in range(len(w)) if w[b] != 0]
            present = [b for b in needed if np.isfinite(pixel[b])]
            value = sum(w[b] * pixel[b] for b in present)
            if len(present) < len(needed):
                value *= _rescaled(f.nodata, [w[b] for b in needed], [w[b] for b in present])
            out[n, k] = value + f.offset[k]
    return out


def _rescaled(policy: NodataPolicy, needed: list[float], present: list[float]) -> float:
    """The factor on the sum of the present bands, NaN where the output is missing."""
    share = sum(map(abs, present)) / sum(map(abs, needed))
    if policy.kind == "strict" or share < policy.min_share * (1 - 1e-12) or sum(present) == 0:
        return float("nan")
    factor = sum(needed) / sum(present)
    return factor if 0 < factor <= (1 + 1e-12) / policy.min_share else float("nan")


POLICIES = st.one_of(
    st.just(NodataPolicy()),
    st.floats(0.05, 1.0).map(lambda share: NodataPolicy("renormalise", share)),
)


@given(SEEDS, st.integers(1, 6), POLICIES, st.booleans(), st.floats(0, 0.8))
@settings(max_examples=50)
def test_missing_values_do_what_the_policy_says(
    seed: int, b: int, policy: NodataPolicy, signed: bool, share: float
) -> None:
    random = np.random.default_rng(seed)
    f = random_fusion(seed, 3, b, signed=signed, policy=policy)
    x = random.uniform(0.5, 1.5, (25, b))
    gone = random.uniform(size=x.shape) < share
    x[gone] = random.choice([np.nan, np.inf, -np.inf], size=int(gone.sum()))
    expected = per_pixel(f, x)
    found = f(x)
    assert np.array_equal(np.isnan(found), np.isnan(expected))
    # A factor is at most 1 / min_share, and as certain as the sum that it divides by is far from
    # zero.
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9, equal_nan=True)


def test_renormalise_keeps_the_sum_of_the_weights() -> None:
    f = fusion_of(np.array([[0.5, 0.3, 0.2]]), nodata=NodataPolicy("renormalise", 0.5))
    flat = f(
        np.array([[4.0, 4.0, 4.0], [4.0, np.nan, 4.0], [np.nan, 4.0, 4.0], [np.nan, np.nan, 4.0]])
    )
    # A flat spectrum stays what it is; half of the weight is just enough, a fifth is not.
    assert flat[:3, 0] == pytest.approx([4.0, 4.0, 4.0])
    assert np.isnan(flat[3, 0])


def test_renormalise_leaves_the_offset_alone() -> None:
    f = fusion_of(
        np.array([[1.0, 1.0]]), None, np.array([10.0]), nodata=NodataPolicy("renormalise", 0.5)
    )
    assert f(np.array([[3.0, np.nan]]))[0, 0] == pytest.approx(16.0)


@pytest.mark.parametrize("kind", ["strict", "renormalise"])
@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "sigmoid", "softplus"])
def test_a_missing_output_stays_missing_after_the_activation(kind: str, activation: str) -> None:
    f = fusion_of(np.array([[0.9, 0.1]]), activation=activation, nodata=NodataPolicy(kind))
    assert np.isnan(f(np.array([[np.nan, 1.0]]))).all()


@pytest.mark.parametrize(
    ("kind", "share"), [("lenient", 0.5), ("renormalise", 0.0), ("renormalise", 1.1)]
)
def test_policies_that_make_no_sense_are_refused(kind: str, share: float) -> None:
    with pytest.raises(MismatchError, match="strict or renormalise"):
        NodataPolicy(kind, share)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"weight": np.ones((3, 2))},
            r"weight of a fusion; got shape \(3, 2\); expected shape \(2, 3\)",
        ),
        ({"gain": np.ones(3)}, r"gain of a fusion; got shape \(3,\); expected shape \(2,\)"),
        ({"offset": np.ones((2, 1))}, r"offset of a fusion; got shape \(2, 1\)"),
        ({"weight": np.full((2, 3), np.nan)}, "weight of a fusion; got NaN or infinite"),
        ({"gain": np.array([1.0, np.inf])}, "gain of a fusion; got NaN or infinite"),
        ({"activation": "swish"}, "activation; got 'swish'; expected one of identity"),
        ({"inputs": plain(2)}, r"expected shape \(2, 2\)"),
    ],
)
def test_a_fusion_checks_its_parts(change: dict[str, object], said: str) -> None:
    with pytest.raises(MismatchError, match=said):
        replace(fusion_of(np.ones((2, 3))), **change)  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(3,), (2, 2), (1, 3, 1)])
def test_pixels_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(MismatchError, match=r"expected shape \(N, 3\)"):
        fusion_of(np.ones((2, 3)))(np.zeros(shape))


def test_a_fusion_owns_its_numbers() -> None:
    weight = np.ones((1, 2))
    f = fusion_of(weight)
    weight[0, 0] = 5.0
    assert f.weight[0, 0] == 1.0
    with pytest.raises(ValueError, match="read-only"):
        f.weight[0, 0] = 5.0


# ---------------------------------------------------------------------------------------------- one


@dataclass(frozen=True)
class Place:
    """A scene in memory, and what is asked of it."""

    source: MemorySource
    question: Question


def place_of(
    seed: int, *, shape: tuple[int, int], missing: float = 0.02, sample: int = 50
) -> Place:
    """A scene of 4 bands and 1 target with scattered missing values and a corner without any."""
    random = np.random.default_rng(seed)
    cube = (
        random.standard_normal((5, *shape)).astype(np.float32)
        + np.arange(5, dtype=np.float32)[:, None, None]
    )
    cube[random.uniform(size=cube.shape) < missing] = np.nan
    cube[:, : shape[0] // 5, : shape[1] // 4] = np.nan
    used = tuple(sorted(random.choice(4, size=int(random.integers(1, 5)), replace=False).tolist()))
    grid = random_grid(random, shape)
    return Place(
        MemorySource(cube), Question(4, 1, used, grid, scene=seed % 3, seed=seed, sample=sample)
    )


def random_grid(random: np.random.Generator, shape: tuple[int, int]) -> BlockGrid:
    """Equal blocks, or blocks cut anywhere."""
    if random.uniform() < 0.5:
        return blocks(shape, int(random.integers(1, 5)))
    cut = [np.unique(random.integers(1, max(2, s), 3)) for s in shape]
    rows, cols = ((0, *(int(i) for i in c if i < s), s) for c, s in zip(cut, shape, strict=True))
    return BlockGrid(rows, cols)


def flat(place: Place) -> tuple[np.ndarray, np.ndarray]:
    """(N, D) joint pixels of the scene, and which of them count."""
    joint = (
        place.source.array[place.question.joint]
        .reshape(len(place.question.joint), -1)
        .T.astype(np.float64)
    )
    return joint, np.isfinite(joint).all(axis=1)


def assert_same_tally(a: Tally, b: Tally) -> None:
    """The same bits in everything."""
    assert sorted(a.blocks) == sorted(b.blocks)
    for block, moments in a.blocks.items():
        assert_same_bits(moments, b.blocks[block])
    assert_same_sample(a.pixels, b.pixels)
    assert_same_bits(a.total(), b.total())
    same_bits(a.high, b.high)
    assert a.used == b.used
    assert a.invalid == b.invalid
    assert a.census.seen == b.census.seen
    assert np.array_equal(a.census.valid, b.census.valid)
    same_bits(a.census.low, b.census.low)
    same_bits(a.census.high, b.census.high)


# What fails on a scene is not worth minutes of shrinking: seeds do not get simpler.
NO_SHRINKING = (Phase.explicit, Phase.generate)

# Drawn evenly: hypothesis' own integers are mostly small, and most scenes would be one stack.
SCENE_SHAPES = SEEDS.map(
    lambda seed: tuple(np.random.default_rng(seed).integers(1, (260, 800)).tolist())
)


@given(
    SEEDS,
    SCENE_SHAPES,
    st.tuples(st.integers(1, 300), st.integers(1, 800)),
    st.integers(1, 2**22),
    st.integers(1, 3),
)
@settings(max_examples=25, phases=NO_SHRINKING)
def test_the_bits_of_a_tally_do_not_depend_on_windows_or_threads(
    seed: int, shape: tuple[int, int], stored: tuple[int, int], memory: int, threads: int
) -> None:
    place = place_of(seed, shape=shape)
    whole = reduce_windows(place.source, place.question, [Window(0, 0, *shape)], threads=1)
    planned = plan(shape, stored, 20, memory)
    assert_same_tally(reduce_windows(place.source, place.question, planned, threads=threads), whole)
    unions = windows_at_random(shape, np.random.default_rng(seed))
    assert_same_tally(
        reduce_windows(place.source, place.question, unions, threads=4 - threads), whole
    )


@given(SEEDS, SCENE_SHAPES)
@settings(max_examples=15, phases=NO_SHRINKING)
def test_a_tally_is_the_dense_moments_of_its_blocks(seed: int, shape: tuple[int, int]) -> None:
    place = place_of(seed, shape=shape)
    tally = reduce_windows(
        place.source, place.question, plan(shape, (1, shape[1]), 20, 2**18), threads=2
    )
    joint, ok = flat(place)
    grid = place.question.grid
    row, col = (i.ravel() for i in np.indices(shape))
    block = (np.searchsorted(grid.row_edges, row, "right") - 1) * (len(grid.col_edges) - 1)
    block += np.searchsorted(grid.col_edges, col, "right") - 1
    assert set(tally.blocks) == set(range(grid.count))
    for number, moments in tally.blocks.items():
        assert_moments(moments, *dense(joint[ok & (block == number)]), rounding=1e-10)
    assert_moments(tally.total(), *dense(joint[ok]), rounding=1e-10)


@given(SEEDS, SCENE_SHAPES, st.integers(0, 3000))
@settings(max_examples=15, phases=NO_SHRINKING)
def test_a_tally_counts_and_samples_what_a_dense_look_finds(
    seed: int, shape: tuple[int, int], sample: int
) -> None:
    place = place_of(seed, shape=shape, sample=sample)
    q = place.question
    tally = reduce_windows(place.source, q, plan(shape, (64, 256), 20, 2**18), threads=2)
    joint, ok = flat(place)
    row, col = (i.ravel()[ok] for i in np.indices(shape))
    places = np.stack([np.full(len(row), q.scene), row, col], axis=1)
    assert_same_sample(tally.pixels, Pixels.of(sample, keys(q.seed, row, col), places, joint[ok]))
    bands_ok = np.isfinite(joint[:, :-1]).all(axis=1)
    assert tally.used == ok.sum()
    assert tally.invalid == {
        "band missing": (~bands_ok).sum(),
        "target missing": (bands_ok & ~ok).sum(),
    }
    assert tally.high.tolist() == joint[ok].max(axis=0, initial=-np.inf).tolist()
    every = place.source.array.reshape(5, -1).astype(np.float64)
    finite = np.isfinite(every)
    assert tally.census.seen == finite[:4].any(axis=0).sum()
    assert tally.census.valid.tolist() == finite.sum(axis=1).tolist()
    assert tally.census.low.tolist() == np.where(finite, every, np.inf).min(axis=1).tolist()
    assert tally.census.high.tolist() == np.where(finite, every, -np.inf).max(axis=1).tolist()


def test_a_sample_s_places_lead_back_to_its_values() -> None:
    place = place_of(3, shape=(100, 300), sample=200)
    pixels = reduce_windows(
        place.source, place.question, [Window(0, 0, 100, 300)], threads=1
    ).pixels
    assert len(pixels) == 200
    values = place.source.array[place.question.joint][:, pixels.place[:, 1], pixels.place[:, 2]].T
    assert np.array_equal(pixels.values, values.astype(np.float64))


def test_a_scene_without_a_valid_pixel_has_empty_moments() -> None:
    source = MemorySource(np.full((3, 70, 300), np.nan, np.float32))
    question = Question(2, 1, (0, 1), blocks((70, 300), 2), sample=10)
    tally = reduce_windows(source, question, plan((70, 300), (1, 300), 12, 2**14), threads=2)
    assert tally.used == 0
    assert tally.total().count == 0
    assert len(tally.pixels) == 0
    assert tally.invalid == {"band missing": 70 * 300, "target missing": 0}
    assert tally.census.dead(2) == {0: "no valid pixel", 1: "no valid pixel"}


@given(SEEDS, st.integers(1, 5))
def test_a_census_merges_exactly_in_any_order(seed: int, parts: int) -> None:
    random = np.random.default_rng(seed)
    z = random.standard_normal((3, 40))
    z[random.uniform(size=z.shape) < 0.3] = np.nan
    whole = Census.of(z, np.isfinite(z), 2)
    found = Census.zero(3)
    for i in np.array_split(random.permutation(40), parts):
        found = Census.of(z[:, i], np.isfinite(z[:, i]), 2) + found
    assert found.seen == whole.seen
    for column in ("valid", "low", "high"):
        assert np.array_equal(getattr(found, column), getattr(whole, column))


def test_dead_bands_are_named_with_their_reason() -> None:
    z = np.random.default_rng(0).standard_normal((5, 100))
    z[0] = np.nan
    z[1] = 7.5
    z[2, :70] = np.nan
    z[3, :50] = np.nan
    z[4] = 1.0
    dead = Census.of(z, np.isfinite(z), 4).dead(4)
    assert dead == {
        0: "no valid pixel",
        1: "constant (7.5)",
        2: "missing in 70 % of the otherwise valid pixels",
    }


def test_a_band_that_holds_next_to_nothing_but_one_value_is_dead() -> None:
    random = np.random.default_rng(0)
    z = random.standard_normal((8, 4000))
    for band, (value, share) in enumerate(
        [(-9999, 0.995), (65535, 0.993), (-0.01, 0.98), (0.0, 0.4)]
    ):
        z[band, random.uniform(size=4000) < share] = value
    z[1, :300] = np.nan
    census = Census.of(z[:, :1500], np.isfinite(z[:, :1500]), 8) + Census.of(
        z[:, 1500:], np.isfinite(z[:, 1500:]), 8
    )
    for band, value in ((0, -9999), (1, 65535)):
        assert max(census.at_low[band], census.at_high[band]) == (z[band] == value).sum()
    dead = census.dead(8)
    assert set(dead) == {0, 1}
    assert dead[0].startswith("-9999 in 99.")
    assert dead[1].startswith("65535 in 99.")
    assert all(text.endswith("a fill value that is not declared") for text in dead.values())


def test_the_background_of_a_scene_kills_no_band() -> None:
    z = np.random.default_rng(0).standard_normal((4, 4000))
    z[:, 10:] = 0.0
    z[:, :10] += 100
    assert Census.of(z, np.isfinite(z), 4).dead(4) == {}


def test_pixels_without_any_band_say_nothing_against_one() -> None:
    z = np.random.default_rng(0).standard_normal((3, 100))
    z[:2, :90] = np.nan
    census = Census.of(z, np.isfinite(z), 2)
    assert census.seen == 10
    assert census.dead(2) == {}


# ------------------------------------------------------------------------------------------- one pa


@given(
    SEEDS,
    SCENE_SHAPES,
    st.integers(1, 2**21),
    st.integers(1, 3),
    st.sampled_from(["strict", "renormalise"]),
)
@settings(max_examples=15, phases=NO_SHRINKING)
def test_streamed_is_dense_with_the_same_bits_for_any_windows(
    seed: int, shape: tuple[int, int], memory: int, threads: int, policy: str
) -> None:
    source = place_of(seed, shape=shape).source
    f = random_fusion(seed, 2, 5, policy=NodataPolicy(policy))
    support = MemorySource(np.ascontiguousarray(source.array[f.support]))

    def fused(windows: list[Window], threads: int) -> np.ndarray:
        out, seen = np.full((2, *shape), -99.0, np.float32), []

        def sink(window: Window, values: np.ndarray) -> None:
            seen.append(window)
            out[(slice(None), *window.within(Window(0, 0, *shape)))] = values

        map_windows(
            support,
            FusionKernel(f),
            lambda cell, y: y.astype(np.float32),
            sink,
            windows,
            threads=threads,
        )
        assert seen == list(windows)
        return out

    whole = fused([Window(0, 0, *shape)], 1)
    same_bits(fused(plan(shape, (1, shape[1]), 8, memory), threads), whole)
    same_bits(fused(windows_at_random(shape, np.random.default_rng(seed)), 2), whole)
    expected = f(source.array.reshape(5, -1).T).T.reshape(2, *shape)
    np.testing.assert_allclose(whole, expected, rtol=1e-6, atol=1e-6, equal_nan=True)


def test_an_error_while_reading_comes_out_and_the_threads_end() -> None:
    class Broken(MemorySource):
        def read(self, window: Window):  # type: ignore[no-untyped-def]
            if window.row >= 128:
                raise OSError("disk gone")
            return super().read(window)

    source = Broken(np.zeros((2, 300, 300), np.float32))
    question = Question(2, 0, (0, 1), blocks((300, 300), 2))
    with pytest.raises(OSError, match="disk gone"):
        reduce_windows(source, question, plan((300, 300), (1, 300), 8, 1), threads=2)


# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("weight", "expected"),
    [
        ([1.0, -0.5, 0.5], 2 * (1 - 0.5)),  # the sum is halved: a factor of 2 is just allowed
        ([1.0, -0.7, 0.7], np.nan),  # a third of the sum is left: 3.3 is too much
        ([1.0, -0.6, -0.4], np.nan),  # the sum is zero, and no factor brings it back
        ([0.25, 0.25, 0.5], 2 * 0.5),  # half of the weight is just enough
        ([0.025, 0.025, 0.05], 2 * 0.05),  # of however little weight there is
        ([0.0, 0.0, 0.0], 0.0),  # what carries no weight is not missed
    ],
)
def test_the_factor_of_missing_weights_is_bounded(weight: list[float], expected: float) -> None:
    f = fusion_of(np.array([weight]), nodata=NodataPolicy("renormalise"))
    np.testing.assert_allclose(f(np.array([[1.0, 1.0, np.nan]])), [[expected]], rtol=1e-15)


def test_half_of_the_bands_are_background_and_less_are_fill_values() -> None:
    z = np.random.default_rng(0).standard_normal((4, 400))
    z[:2, 1:] = -9.0
    every = np.ones(z.shape, bool)
    assert Census.of(z, every, 4).dead(4) == {}
    z[1] = z[2]
    assert Census.of(z, every, 4).dead(4) == {
        0: "-9 in 99.8 % of the pixels, as a fill value that is not declared"
    }


def test_values_at_an_extreme_are_counted_in_the_smallest_cell() -> None:
    one = Census.of(np.array([[3.0], [np.nan]]), np.array([[True], [False]]), 2)
    assert (one.at_low.tolist(), one.at_high.tolist()) == ([1, 0], [1, 0])
    two = Census.of(np.array([[3.0, 4.0, 5.0]]), np.ones((1, 3), bool), 1)
    assert (two.at_low.tolist(), two.at_high.tolist()) == ([0], [0])


def test_samples_are_merged_in_the_memory_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of large ones: the values are not joined before they are chosen."""
    monkeypatch.setattr("bandfuse.moments.sample.MOST_DOUBLE", 0)
    capacity, size, random = 12_000, 600, np.random.default_rng(0)
    parts = []
    for scene in range(3):
        place = np.stack([np.full(capacity, scene), np.arange(capacity), np.zeros(capacity)], 1)
        key = random.integers(0, 2**63, capacity).astype(np.uint64)
        values = np.zeros((capacity, size), np.float32)
        parts.append(Pixels.of(capacity, key, place.astype(np.int64), values))
    one = parts[0].store.nbytes
    tracemalloc.start()
    found = merged(parts, capacity, size)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(found) == capacity
    assert (np.diff(found.key.astype(np.float64)) >= 0).all()
    assert peak < 2.5 * one
