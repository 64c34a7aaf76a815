"""Trust: pivoting, folds, penalties, choices, hold-out, baselines, intervals; each against an
independent reference."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import close_to_conditioning, condition_of, same_bits
from hypothesis import given
from hypothesis import strategies as st
from makers import Scene, make
from scipy.optimize import nnls
from scipy.stats import norm
from sklearn.decomposition import PCA
from sklearn.linear_model import Lasso, LinearRegression, Ridge
from sklearn.metrics import r2_score, root_mean_squared_error

from bandfuse.moments.moments import Moments
from bandfuse.progress import silent
from bandfuse.solve import layout
from bandfuse.solve.exact import SOLVERS, Quadratic
from bandfuse.solve.nnls import nonnegative_gram, nonnegative_grams
from bandfuse.solve.squares import Split, squared_error
from bandfuse.spectral import groups, resampling
from bandfuse.spectral.bands import Bands
from bandfuse.spectral.lobe import main_lobe
from bandfuse.spectral.sensors import find
from bandfuse.trust.baselines import baselines, best_band, fold_lines, folded_pairs
from bandfuse.trust.bootstrap import BlockSums, intervals, resamples
from bandfuse.trust.fold_problems import FoldProblem, Strength, effective, fold_problems, minimiser
from bandfuse.trust.folds import Fold, folds
from bandfuse.trust.penalty import smooth_form, ties
from bandfuse.trust.published import compare
from bandfuse.trust.regularisation import Wish, choose, held_out_error
from bandfuse.trust.response_shape import response_shape
from bandfuse.trust.scorers import principal, rebuild_error

# --------------------------------------------------------------------------------------------------


@given(seed=st.integers(0, 10_000), size=st.integers(1, 25), rows=st.integers(1, 60))
def test_pivoting_is_nnls(seed: int, size: int, rows: int) -> None:
    random = np.random.default_rng(seed)
    x, y = random.normal(size=(rows + size, size)), random.normal(size=rows + size)
    v, active, reached = nonnegative_gram(x.T @ x, x.T @ y)
    assert reached
    np.testing.assert_allclose(v, nnls(x, y)[0], rtol=1e-7, atol=1e-9)
    assert (v[~active] == 0).all()


def test_pivoting_from_a_neighbour_ends_in_the_same_place() -> None:
    random = np.random.default_rng(0)
    x, y = random.normal(size=(80, 30)), random.normal(size=80)
    cold, active, _ = nonnegative_gram(x.T @ x, x.T @ y)
    start = active.copy()
    start[:5] ^= True
    close_to_conditioning(nonnegative_gram(x.T @ x, x.T @ y, start)[0], cold, condition_of(x))


@given(seed=st.integers(0, 10_000), size=st.integers(2, 25), rows=st.integers(1, 60))
def test_what_pivoting_does_not_reach_is_reached_one_by_one(
    seed: int, size: int, rows: int
) -> None:
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, size)) + random.normal(size=(rows, 1))
    y = random.normal(size=rows)
    v, active, reached = nonnegative_gram(x.T @ x, x.T @ y, most=0)
    assert reached
    assert (v >= 0).all()
    assert (v[~active] == 0).all()
    best = nnls(x, y)[1]
    assert np.linalg.norm(x @ v - y) <= best + 1e-7 * np.linalg.norm(y)


def test_exchanges_that_are_too_many_still_end_at_the_best() -> None:
    random = np.random.default_rng(0)
    x, y = random.normal(size=(80, 30)), random.normal(size=80)
    v, _, reached = nonnegative_gram(x.T @ x, x.T @ y, most=1)
    assert reached
    np.testing.assert_allclose(v, nnls(x, y)[0], rtol=1e-7, atol=1e-9)


# --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scene() -> Scene:
    w = np.zeros((2, 12))
    w[0, 3:7] = [0.1, 0.4, 0.4, 0.1]
    w[1] = np.random.default_rng(5).normal(size=12)
    return make(w, 0.5)


# --------------------------------------------------------------------------------------------------


@given(counts=st.lists(st.integers(0, 50), min_size=1, max_size=40), wanted=st.integers(2, 7))
def test_folds_are_runs_that_hold_every_pixel_out_once(counts: list[int], wanted: int) -> None:
    blocks = [Moments.of(np.full((c, 1), float(i))) for i, c in enumerate(counts)]
    made = folds(blocks, count=wanted)
    full = sum(1 for c in counts if c)
    assert len(made) == (min(wanted, full) if full > 1 else 0)
    assert sum(f.test.count for f in made) == (sum(counts) if made else 0)
    for fold in made:
        assert fold.test.count > 0
        assert fold.train.count + fold.test.count == sum(counts)
    # Blocks carry their number as value: runs do not overlap.
    means = [float(f.test.mean[0]) for f in made]
    assert means == sorted(means)


def test_folds_of_equal_blocks_are_equal() -> None:
    made = folds([Moments.of(np.zeros((10, 1)))] * 20)
    assert [f.test.count for f in made] == [40] * 5


# --------------------------------------------------------------------------------------------------


def test_neighbours_are_not_tied_across_gaps_and_dropped_bands() -> None:
    nm = [400.0, 410, 420, 430, 600, 610, 620, 630]
    bands = Bands.of([str(v) for v in nm], wavelength_nm=nm).dropping({6: "flagged bad (bbl)"})
    used = (0, 1, 2, 3, 4, 5, 7)
    assert [(t.first, t.second) for t in ties(bands, used)] == [(0, 1), (1, 2), (2, 3), (4, 5)]


def test_ties_follow_wavelength_and_are_stronger_for_closer_bands() -> None:
    bands = Bands.of(list("abcd"), wavelength_nm=[420.0, 400, 410, 415])
    tied = ties(bands, (0, 1, 2, 3))
    assert [(t.first, t.second) for t in tied] == [(1, 2), (2, 3), (3, 0)]
    assert [t.strength for t in tied] == pytest.approx([0.5, 1.0, 1.0])


def test_the_smooth_form_is_the_sum_of_squared_differences() -> None:
    bands = Bands.of([str(i) for i in range(6)], wavelength_nm=[400, 410, 425, 430, 440, 450])
    made = layout.within([groups.Group("g", (0, 1, 2, 4, 5))], 6, "channel", set(), [0])
    w = np.random.default_rng(0).normal(size=6)
    form = smooth_form(made, 0, ties(bands, tuple(range(6))))
    # Band 3 is not in the group: neither of its differences counts.
    expected = sum(
        ((w[j] - w[i]) * 10 / h) ** 2 for i, j, h in ((0, 1, 10), (1, 2, 15), (4, 5, 10))
    )
    assert w @ form @ w == pytest.approx(expected)


# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("offset", [True, False])
def test_a_test_quadratic_is_the_squared_error_on_held_out_pixels(
    scene: Scene, offset: bool
) -> None:
    made = fold_problems(scene.terms(offset=offset))
    v = np.random.default_rng(1).normal(size=12)
    for case, k in zip(made, (0, 1), strict=True):
        for (xa, ta, xb, tb), train, test in zip(
            scene.held_out(), case.trains, case.tests, strict=True
        ):
            level = ta[:, k].mean() - v @ xa.mean(0) if offset else 0.0
            assert train(v) * case.scale[0] == pytest.approx(
                np.mean((ta[:, k] - xa @ v - level) ** 2)
            )
            assert test(v) * case.scale[0] == pytest.approx(
                np.mean((tb[:, k] - xb @ v - level) ** 2)
            )


@pytest.mark.parametrize("constraint", ["free", "affine", "nonnegative", "simplex"])
def test_the_quick_minimiser_is_the_exact_one(scene: Scene, constraint: str) -> None:
    from bandfuse.solve.exact import SOLVERS

    for case in fold_problems(scene.terms()):
        quick, _ = minimiser(case.whole, constraint)
        np.testing.assert_allclose(quick, SOLVERS[constraint](case.whole), rtol=1e-6, atol=1e-8)


def _row(case: FoldProblem, v: np.ndarray) -> np.ndarray:
    return effective(case, v, gain=False)[0]


def test_ridge_is_that_of_scikit_learn(scene: Scene) -> None:
    """alpha = pixels · strength on bands scaled by their standard deviation over all pixels."""
    case = fold_problems(scene.terms())[1]
    spread = np.concatenate(scene.x).std(axis=0)
    for strength in (1e-3, 0.1):
        error = 0.0
        for xa, ta, xb, tb in scene.held_out():
            model = Ridge(alpha=len(xa) * strength).fit(xa / spread, ta[:, 1])
            error += np.mean((tb[:, 1] - model.predict(xb / spread)) ** 2) / 5
        found = held_out_error(case, "free", Strength(ridge=strength), [None] * 5)
        assert found * case.scale[0] == pytest.approx(error, rel=1e-8)


# --------------------------------------------------------------------------------------------------


def test_the_choice_is_the_least_of_its_curve(scene: Scene) -> None:
    case = fold_problems(scene.terms())[0]
    choice = choose(case, Wish("nonnegative", 0.0, None), gain=False)
    assert choice.error == min(e for _, e in choice.curve)
    assert (choice.strength, choice.error) in choice.curve
    assert len(choice.curve) >= 11


def test_auto_takes_physical_weights_where_they_cost_nothing_and_signed_ones_else(
    scene: Scene,
) -> None:
    physical, signed = (
        choose(c, Wish("auto", None, None), gain=False) for c in fold_problems(scene.terms())
    )
    assert physical.constraint == "nonnegative"
    assert signed.constraint == "free"


def test_what_is_given_is_not_chosen(scene: Scene) -> None:
    choice = choose(fold_problems(scene.terms())[0], Wish("free", 0.25, 0.5), gain=False)
    assert choice.strength == Strength(0.25, 0.5)


def test_without_folds_nothing_is_chosen() -> None:
    scene = make(np.full((1, 4), 0.25), 0.1, n_blocks=1)
    case = fold_problems(scene.terms())[0]
    choice = choose(case, Wish("auto", None, None), gain=False)
    assert (choice.constraint, choice.strength) == ("nonnegative", Strength())


# -------------------------------------------------------------------------------------------------


def test_baselines_are_those_of_scikit_learn_and_scipy(scene: Scene) -> None:
    terms = scene.terms()
    peak = np.concatenate(scene.t).max(axis=0)
    table = baselines(terms, fold_problems(terms), peak)
    x, t = np.concatenate(scene.x), np.concatenate(scene.t)
    for k in (0, 1):
        truth, ols, positive, mean = [], [], [], []
        for xa, ta, xb, tb in scene.held_out():
            truth.append(tb[:, k])
            ols.append(LinearRegression().fit(xa, ta[:, k]).predict(xb))
            w = nnls(xa - xa.mean(0), ta[:, k] - ta[:, k].mean())[0]
            positive.append(ta[:, k].mean() + (xb - xa.mean(0)) @ w)
            mean.append(ta[:, k].mean() + (xb - xa.mean(0)).mean(1))
        for name, guess in (("ols", ols), ("nnls", positive), ("mean", mean)):
            score = table[name]["holdout"].outputs[k]
            assert score["r2"] == pytest.approx(
                r2_score(np.concatenate(truth), np.concatenate(guess)), rel=1e-8
            )
            rmse = root_mean_squared_error(np.concatenate(truth), np.concatenate(guess))
            assert score["rmse"] == pytest.approx(rmse, rel=1e-8)
        fitted = LinearRegression().fit(x, t[:, k]).predict(x)
        assert table["ols"]["train"].outputs[k]["r2"] == pytest.approx(
            r2_score(t[:, k], fitted), rel=1e-8
        )
        single = max(
            r2_score(t[:, k], LinearRegression().fit(x[:, [b]], t[:, k]).predict(x[:, [b]]))
            for b in range(12)
        )
        assert table["best_band"]["train"].outputs[k]["r2"] == pytest.approx(single, rel=1e-8)


def test_held_out_pairs_of_the_choice_are_dense_cross_validation(scene: Scene) -> None:
    terms = scene.terms()
    made = fold_problems(terms)
    choice = choose(made[0], Wish("nonnegative"), gain=False)
    lines = fold_lines(terms, made, [choice.without(c) for c in made])
    for pair, (xa, ta, xb, tb) in zip(folded_pairs(terms, lines), scene.held_out(), strict=True):
        for k in (0, 1):
            w = nnls(xa - xa.mean(0), ta[:, k] - ta[:, k].mean())[0]
            guess = ta[:, k].mean() + (xb - xa.mean(0)) @ w
            dense = Moments.of(np.stack([guess, tb[:, k]], axis=1))
            found = pair.moments.take([k, 2 + k])
            np.testing.assert_allclose(
                pair.sample[:, k], guess.reshape(-1, 60)[:, ::3].ravel(), rtol=1e-7
            )
            np.testing.assert_allclose(found.mean, dense.mean, rtol=1e-7)
            np.testing.assert_allclose(found.scatter, dense.scatter, rtol=1e-6)


@pytest.mark.parametrize("constraint", ["simplex", "affine"])
def test_a_gain_takes_the_sum_away(scene: Scene, constraint: str) -> None:
    terms = scene.terms(gain=True)
    made = fold_problems(terms)
    choice = choose(made[0], Wish(constraint), gain=True)
    v = choice.weights(made[0])
    plain = {"simplex": "nonnegative", "affine": "free"}[constraint]
    np.testing.assert_allclose(
        v, minimiser(fold_problems(scene.terms())[0].whole, plain)[0], rtol=1e-6, atol=1e-9
    )


# --------------------------------------------------------------------------------------------------


def test_a_resample_is_the_moments_of_its_pixels(scene: Scene) -> None:
    times = np.array([0, 2, 1, 0, 3] * 4, dtype=np.float64)
    (drawn,) = BlockSums.of(scene.blocks, scene.terms().joint.mean).drawn(times[None])
    pixels = np.concatenate(
        [
            np.hstack([x, t])
            for x, t, n in zip(scene.x, scene.t, times, strict=True)
            for _ in range(int(n))
        ]
    )
    dense = Moments.of(pixels)
    assert drawn.count == dense.count
    close_to_conditioning(drawn.mean, dense.mean)
    close_to_conditioning(drawn.scatter, dense.scatter)


def test_resamples_are_seeded_and_need_two_blocks(scene: Scene) -> None:
    about = scene.terms().joint.mean
    first, second = (
        [m.mean for m in resamples(scene.blocks, about, count=3, seed=s)] for s in (1, 1)
    )
    same_bits(first, second)
    assert not list(resamples(scene.blocks[:1], about, count=3, seed=1))


def test_intervals_are_the_percentiles_of_refits(scene: Scene) -> None:
    terms = scene.terms()
    made = fold_problems(terms)
    choices = [choose(c, Wish("nonnegative", 0.0, 0.1), gain=False) for c in made]
    fitted = np.array(
        [
            _row(c, minimiser(c.penalised(c.whole, Strength(0.0, 0.1)), "nonnegative")[0])
            for c in made
        ]
    )
    found = intervals(terms, made, choices, scene.blocks, fitted, count=40, seed=3, progress=silent)
    assert found is not None
    refits = []
    for moments in resamples(scene.blocks, terms.joint.mean, count=40, seed=3):
        s = Split.of(moments, 12)
        values, vectors = np.linalg.eigh(s.a)
        half = np.sqrt(np.maximum(values, 1e-300))[:, None] * vectors.T
        refits.append([nnls(half, vectors.T @ s.c[:, k] / np.sqrt(values))[0] for k in (0, 1)])
    low, high = np.percentile(refits, [2.5, 97.5], axis=0)
    np.testing.assert_allclose(found.low, np.minimum(low, fitted), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(found.high, np.maximum(high, fitted), rtol=1e-5, atol=1e-7)


def test_intervals_cover_the_true_weights() -> None:
    truth = np.zeros((1, 20))
    truth[0, 6:13] = [0.05, 0.12, 0.2, 0.26, 0.2, 0.12, 0.05]
    inside, hits = truth[0] > 0.01 * truth.max(), []
    for seed in range(12):
        scene = make(truth, 0.4, seed=seed, n_blocks=40)
        terms = scene.terms()
        made = fold_problems(terms)
        choice = choose(made[0], Wish("nonnegative", 0.0, None), gain=False)
        fitted = _row(made[0], choice.weights(made[0]))[None]
        found = intervals(
            terms, made, [choice], scene.blocks, fitted, count=200, seed=0, progress=silent
        )
        assert found is not None
        hits.append(((found.low <= truth) & (truth <= found.high))[0, inside])
    assert 0.85 <= np.mean(hits) <= 1.0


def test_squared_error_with_a_fixed_group_and_a_gain_rides_on_the_gain() -> None:
    random = np.random.default_rng(0)
    x, t = random.normal(size=(50, 4)), random.normal(size=(50, 2))
    made = layout.across(
        [groups.Group("a", (0, 1)), groups.Group("b", (2, 3))], 4, "channel", {"b"}
    )
    split = Split.of(Moments.of(np.hstack([x, t])), 4)
    q = squared_error(split, made, np.ones(2), offset=False, gain=True)
    u = np.array([0.7, 0.3])
    y = np.stack([u[c] * x[:, c] + made.multiplicity @ u * x[:, 2 + c] for c in (0, 1)], axis=1)
    assert q(u) == pytest.approx(((t - y) ** 2).mean(0).sum())


# --------------------------------------------------------------------------------------------------


def test_a_rebuilt_cube_is_that_of_scikit_learn(scene: Scene) -> None:
    """Principal components, and any other outputs with the decoder of a linear regression."""
    terms = scene.terms()
    bands = [
        Fold(f.train.take(range(12)), f.test.take(range(12)), f.sample[:, :12]) for f in terms.folds
    ]
    weight = np.random.default_rng(0).normal(size=(3, 12))
    for fold, (xa, _, xb, _) in zip(bands, scene.held_out(), strict=True):
        pca = PCA(3).fit(xa)
        error = np.mean((xb - pca.inverse_transform(pca.transform(xb))) ** 2)
        assert rebuild_error(fold.train, fold.test, principal(fold.train, 3)) == pytest.approx(
            error, rel=1e-8
        )
        back = LinearRegression().fit(xa @ weight.T, xa).predict(xb @ weight.T)
        assert rebuild_error(fold.train, fold.test, weight) == pytest.approx(
            np.mean((xb - back) ** 2), rel=1e-8
        )


def test_outputs_that_repeat_one_another_rebuild_no_less(scene: Scene) -> None:
    joint = scene.terms().joint.take(range(12))
    weight = np.random.default_rng(0).normal(size=(2, 12))
    twice = np.concatenate([weight, weight])
    assert rebuild_error(joint, joint, twice) == pytest.approx(
        rebuild_error(joint, joint, weight), rel=1e-8
    )


def test_more_components_rebuild_more_and_none_leaves_the_mean(scene: Scene) -> None:
    joint = scene.terms().joint.take(range(12))
    errors = [rebuild_error(joint, joint, principal(joint, k)) for k in (1, 4, 11)]
    assert errors == sorted(errors, reverse=True)
    assert rebuild_error(joint, joint, np.zeros((0, 12))) == pytest.approx(
        float(joint.variance.mean())
    )


# --------------------------------------------------------------------------------------------------


def test_the_shape_of_a_gaussian_response_is_its_centre_and_fwhm() -> None:
    nm = np.arange(400.0, 900.0, 2.0)
    weight = np.exp(-0.5 * ((nm - 612.0) / 20.0) ** 2)
    draws = np.stack(
        [np.exp(-0.5 * ((nm - 612.0 - d) / 20.0) ** 2) for d in np.linspace(-10, 10, 401)]
    )
    found = response_shape(weight, draws, nm)
    assert found is not None
    assert found["centre"].value == pytest.approx(612.0, abs=1e-6)
    assert found["fwhm"].value == pytest.approx(
        20.0 * np.sqrt(8 * np.log(2)), rel=1e-3
    )  # straight between bands
    assert (found["centre"].low, found["centre"].high) == pytest.approx((602.5, 621.5), abs=0.01)
    # Further than the FWHM of 47.1 nm from the centre: the sum over bands of 2 nm is the integral
    # to their edge at 47.
    assert found["outside"].value == pytest.approx(2 * (1 - norm.cdf(47.0 / 20.0)), rel=0.01)


def test_leaks_far_from_the_peak_are_out_of_band() -> None:
    nm = np.array([400.0, 410, 420, 430, 440, 900])
    found = response_shape(np.array([0, 0.3, 0.4, 0.2, 0, 0.1]), np.zeros((0, 6)), nm)
    assert found is not None
    assert found["outside"].value == pytest.approx(0.1)
    assert found["outside"].low == found["outside"].high


@pytest.mark.parametrize(
    ("weight", "nm"),
    [([0.5, -0.1], [1.0, 2]), ([0.5, 0.5], [1, np.nan]), ([0.0, 0], [1, 2]), ([1.0], [1])],
)
def test_a_response_without_a_shape_gets_none(weight: list[float], nm: list[float]) -> None:
    assert response_shape(np.array(weight), np.zeros((3, len(nm))), np.array(nm, float)) is None


@given(
    seed=st.integers(0, 2000), size=st.integers(1, 20), many=st.integers(1, 12), warm=st.booleans()
)
def test_many_problems_at_once_are_nnls(seed: int, size: int, many: int, warm: bool) -> None:
    random = np.random.default_rng(seed)
    x = random.normal(size=(many, size + 5, size))
    of = random.integers(0, many, 2 * many)
    y = random.normal(size=(2 * many, size + 5))
    start = random.random((2 * many, size)) < 0.5 if warm else None
    v, reached = nonnegative_grams(
        np.einsum("rni,rnj->rij", x, x), of, np.einsum("rni,rn->ri", x[of], y), start
    )
    assert reached.all()
    for i, matrix in enumerate(of):
        np.testing.assert_allclose(v[i], nnls(x[matrix], y[i])[0], rtol=1e-6, atol=1e-9)


# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("constraint", "positive"), [("free", False), ("nonnegative", True)])
@pytest.mark.parametrize("sparse", [1e-4, 1e-2, 0.3])
def test_sparse_weights_are_the_lasso_of_scikit_learn(
    scene: Scene, constraint: str, positive: bool, sparse: float
) -> None:
    """``sparse · Σ std_b |w_b| std(t)`` beside the mean squared error; scikit-learn halves the
    latter."""
    x, t = np.concatenate(scene.x), np.concatenate(scene.t)
    made = fold_problems(scene.terms())
    for k in (0, 1):
        q = made[k].penalised(made[k].whole, Strength(sparse=sparse))
        v, active = minimiser(q, constraint)
        scale = x.std(axis=0)
        model = Lasso(sparse * t[:, k].std() / 2, positive=positive, tol=1e-12, max_iter=1_000_000)
        theirs = model.fit(x / scale, t[:, k]).coef_ / scale
        np.testing.assert_allclose(v, theirs, atol=1e-5 * np.abs(theirs).max() + 1e-9)
        condition = condition_of(x)
        close_to_conditioning(SOLVERS[constraint](q), v, condition)
        close_to_conditioning(minimiser(q, constraint, active)[0], v, condition)
        dense = (
            np.mean((t[:, k] - t[:, k].mean() - (x - x.mean(0)) @ v) ** 2)
            + sparse * t[:, k].std() * np.abs(v) @ scale
        )
        assert q(v) == pytest.approx(dense / t[:, k].var(), rel=1e-8)


def test_a_sparsity_is_chosen_like_the_other_strengths(scene: Scene) -> None:
    case = fold_problems(scene.terms())[0]
    choice = choose(case, Wish("free", 0.0, 0.0, None), gain=False)
    tried = {s.sparse: e for s, e in choice.curve}
    assert len(tried) == 11
    assert tried[choice.strength.sparse] == min(tried.values())


def test_a_batch_that_gives_up_is_solved_one_by_one(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the batch does not reach is the same non-negative least squares."""
    from bandfuse.trust import bootstrap as room

    terms = scene.terms()
    made = fold_problems(terms)
    choices = [choose(c, Wish("nonnegative"), gain=False) for c in made]

    def bounds() -> np.ndarray:
        found = intervals(
            terms, made, choices, scene.blocks, np.zeros((2, 12)), count=6, seed=0, progress=silent
        )
        assert found is not None
        return found.resampled

    whole = bounds()
    monkeypatch.setattr(
        room,
        "nonnegative_grams",
        lambda a, of, b, start: (np.full(b.shape, 7.0), np.zeros(len(b), bool)),
    )
    np.testing.assert_allclose(bounds(), whole, rtol=1e-6, atol=1e-8)


# --------------------------------------------------------------------------------------------------


ROUND = np.array(
    [
        [22, 9, -8, -10, -14],
        [9, 22, -1, -12, 0],
        [-8, -1, 7, 5, 8],
        [-10, -12, 5, 13, 5],
        [-14, 0, 8, 5, 12],
    ]
)
"""With 5, 5, 5, 5, 1 to explain, exchanges of all that is wrong go round in a circle."""


def test_exchanges_that_go_round_end_one_by_one() -> None:
    a, b = ROUND.astype(float), np.array([5.0, 5, 5, 5, 1])
    root = np.linalg.cholesky(a)
    expected = nnls(root.T, np.linalg.solve(root, b))[0]
    v, active, reached = nonnegative_gram(a, b)
    assert reached
    np.testing.assert_allclose(v, expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(active, expected > 0)
    many, all_reached = nonnegative_grams(a[None], np.zeros(3, int), np.array([b, 2 * b, 0 * b]))
    assert all_reached.all()
    np.testing.assert_allclose(many, [expected, 2 * expected, 0 * expected], rtol=1e-9, atol=1e-12)
    assert nonnegative_grams(a[None], np.zeros(2, int), np.array([b, 0 * b]), most=1)[
        1
    ].tolist() == [False, True]


def test_nothing_to_explain_is_explained_at_once() -> None:
    v, _, reached = nonnegative_gram(np.eye(3), np.zeros(3), most=1)
    assert (v.tolist(), reached) == ([0, 0, 0], True)
    v, _, reached = nonnegative_gram(np.eye(3), np.zeros(3), np.ones(3, bool), most=1)
    assert (v.tolist(), reached) == ([0, 0, 0], True)


def test_all_strengths_are_tried(scene: Scene) -> None:
    """Decades of ridge, then of smooth, then the half decades about the best smooth, then decades
    of sparse."""
    choice = choose(fold_problems(scene.terms())[1], Wish("free", None, None, None), gain=False)
    decades = [10.0**e for e in range(-9, 1)]
    curve = [s for s, _ in choice.curve]
    assert curve[0] == Strength()
    assert [s.ridge for s in curve[1:11]] == decades
    assert [s.smooth for s in curve[11:21]] == decades
    best = min(choice.curve[:21], key=lambda row: row[1])[0]
    halves = [best.smooth * 10**-0.5, best.smooth * 10**0.5] if best.smooth > 0 else []
    rest = curve[21:]
    assert [s.smooth for s in rest[: len(halves)]] == pytest.approx(halves)
    assert [s.sparse for s in rest[len(halves) :]] == decades
    assert {s.sparse for s in curve[: -len(decades)]} == {0.0}


def test_a_free_choice_feels_its_smoothing(scene: Scene) -> None:
    case = fold_problems(scene.terms())[1]
    for strength in (Strength(smooth=0.1), Strength(0.01, 0.1)):
        error = 0.0
        for i in range(5):
            q = case.penalised(case.trains[i], strength)
            error += case.shares[i] * case.tests[i](np.linalg.solve(q.a, q.b))
        assert held_out_error(case, "free", strength, [None] * 5) == pytest.approx(error, rel=1e-8)


def test_the_best_band_may_stand_beside_one_that_does_not_vary() -> None:
    q = Quadratic(np.diag([0.0, 4.0, 1.0]), np.array([0.0, 2.0, -1.5]), 9.0, np.ones(3))
    assert best_band(q).tolist() == [0.0, 0.0, -1.5]


def test_equal_bands_share_their_weight() -> None:
    """Least squares of least norm, where a plain solution would be anything."""
    q = Quadratic(np.full((2, 2), 3.0), np.array([3.0, 3.0]), 4.0, np.ones(2))
    np.testing.assert_allclose(minimiser(q, "free")[0], [0.5, 0.5], rtol=1e-9)
    near = np.full((2, 2), 3.0) + np.diag([4e-15, 0])
    np.testing.assert_allclose(
        minimiser(Quadratic(near, q.b, 4.0, q.sums), "free")[0], [0.5, 0.5], rtol=1e-6
    )


def test_a_shape_s_bounds_are_the_percentiles_of_its_draws() -> None:
    nm = np.array([400.0, 410, 420, 430])
    draws = np.random.default_rng(0).uniform(0, 1, (200, 4))
    found = response_shape(np.array([0.1, 0.4, 0.3, 0.2]), draws, nm)
    assert found is not None
    centres = [lobe.centre for lobe in (main_lobe(draw, nm) for draw in draws) if lobe is not None]
    low, high = np.percentile(centres, [2.5, 97.5])
    assert (found["centre"].low, found["centre"].high) == pytest.approx((low, high))
    # Whatever the unit of the weights: the peak is one band, and 10 nm about it are the band.
    tiny = response_shape(np.array([0.15, 0.4, 0.1, 0.1]) / 1000, draws, nm)
    assert tiny is not None
    assert tiny["outside"].value == pytest.approx(0.1 / 0.75)


def test_many_weights_need_few_exchanges_and_weights_of_zero_none() -> None:
    b = np.append(np.arange(1.0, 41.0), 0.0)
    v, active, reached = nonnegative_gram(np.eye(41), b, most=8)
    assert (v.tolist(), active.tolist(), reached) == (b.tolist(), (b > 0).tolist(), True)
    many, all_reached = nonnegative_grams(
        np.eye(41)[None], np.zeros(2, int), np.array([b, -b]), most=20
    )
    assert (many.tolist(), all_reached.tolist()) == ([b.tolist(), (0 * b).tolist()], [True, True])


def test_intervals_of_signed_weights_keep_their_penalties(scene: Scene) -> None:
    """Each refit solves (A + ridge · diag var + smooth · mean var · DᵀD) w = c, D the first
    differences."""
    terms = scene.terms()
    made = fold_problems(terms)
    choices = [choose(c, Wish("free", 0.05, 0.1), gain=False) for c in made]
    found = intervals(
        terms, made, choices, scene.blocks, np.zeros((2, 12)), count=7, seed=3, progress=silent
    )
    assert found is not None
    variance = np.concatenate(scene.x).var(axis=0)
    step = np.diff(np.eye(12), axis=0)
    penalty = 0.05 * np.diag(variance) + 0.1 * variance.mean() * step.T @ step
    for drawn, moments in zip(
        found.resampled, resamples(scene.blocks, terms.joint.mean, count=7, seed=3), strict=True
    ):
        cov = moments.covariance
        np.testing.assert_allclose(
            drawn.T, np.linalg.solve(cov[:12, :12] + penalty, cov[:12, 12:]), rtol=1e-7, atol=1e-9
        )


def test_intervals_of_one_weight_for_all_bands(scene: Scene) -> None:
    """The weight of the bands' sum, by least squares, and not below zero."""
    terms = scene.terms(kind="scalar")
    made = fold_problems(terms)
    choices = [choose(c, Wish("nonnegative"), gain=False) for c in made]
    found = intervals(
        terms, made, choices, scene.blocks, np.zeros((2, 12)), count=5, seed=3, progress=silent
    )
    assert found is not None
    for drawn, moments in zip(
        found.resampled, resamples(scene.blocks, terms.joint.mean, count=5, seed=3), strict=True
    ):
        cov = moments.covariance
        best = np.maximum(cov[:12, 12:].sum(axis=0) / cov[:12, :12].sum(), 0)
        np.testing.assert_allclose(drawn, np.tile(best[:, None], 12), rtol=1e-9, atol=1e-12)


def test_the_similarity_to_a_published_response_is_a_cosine() -> None:
    """And its centre shift that of the main lobes; weights of both signs have no centre."""
    nm = np.arange(430.0, 900.0, 5.0)
    bands = Bands.of([f"b{i}" for i in range(len(nm))], wavelength_nm=nm, fwhm_nm=[5.0] * len(nm))
    learned = np.stack([np.exp(-(((nm - 670) / 20) ** 2)), np.sin(nm)])
    found = compare("sentinel-2a", bands, ["B4", "B3"], learned)
    truth = resampling.published(find("sentinel-2a"), bands).weight
    for k, name in enumerate(("B4", "B3")):
        theirs = truth[list(find("sentinel-2a").names).index(name)]
        cosine = np.dot(theirs, learned[k]) / np.sqrt((theirs**2).sum() * (learned[k] ** 2).sum())
        assert found[k].similarity == pytest.approx(cosine, rel=1e-12)
    ours, published = main_lobe(learned[0], nm), found[0].centre_nm
    assert ours is not None
    assert published is not None
    assert found[0].shift_nm == pytest.approx(ours.centre - published)
    assert found[1].shift_nm is None
    assert compare("sentinel-2a", bands, ["B4"], 0 * learned)[0].similarity is None
