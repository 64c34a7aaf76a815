"""BandFuser: scikit-learn's own battery; known answers; and the same weights as ``bandfuse
train``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers import close_to_conditioning, condition_of, rounding
from rasters import ok, spectra, wavelengths, write_tiff
from sklearn.utils.estimator_checks import check_estimator

import bandfuse
from bandfuse.interop.estimator import BandFuser


def samples(n: int = 500, b: int = 6) -> np.ndarray:
    return np.asarray(spectra(b, 1, n, dtype="float64")[:, 0].T)


@pytest.mark.one_in(2)
@pytest.mark.parametrize(
    "estimator", [BandFuser(), BandFuser("equal:1", objective="reconstruction")], ids=["y", "no y"]
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_sklearn_is_content(estimator: BandFuser) -> None:
    results = check_estimator(estimator)
    assert {r["check_name"] for r in results if r["status"] == "failed"} == set()
    assert sum(r["status"] == "passed" for r in results) > 35


def test_a_regression_finds_the_weights_that_are_there() -> None:
    x = samples()
    weight = np.array([[0.5, 0, 0.2, 0, 0, 0.3], [0, 1.5, 0, 0.25, 0, 0]])
    made = BandFuser(constraint="nonnegative").fit(x, x @ weight.T + [0.1, -0.2])
    condition = condition_of(x)
    close_to_conditioning(made.coef_, weight, condition)
    close_to_conditioning(made.intercept_, [0.1, -0.2], condition)
    close_to_conditioning(made.transform(x), x @ weight.T + [0.1, -0.2], condition)
    assert made.get_feature_names_out().tolist() == ["b1", "b2"]
    assert made.constraints_ == ["nonnegative"] * 2


def test_free_weights_are_those_of_numpys_least_squares() -> None:
    x = samples()
    y = np.sin(x @ np.arange(6))
    made = BandFuser(constraint="free", ridge=0.0, smooth=0.0).fit(x, y)
    want = np.linalg.lstsq(np.column_stack([x, np.ones(len(x))]), y, rcond=None)[0]
    close_to_conditioning(np.append(made.coef_, made.intercept_), want, condition_of(x))


def test_separability_finds_fishers_discriminant() -> None:
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    rng = np.random.default_rng(0)
    labels = np.repeat(["soil", "tree"], 200)
    x = rng.normal(size=(400, 4)) @ rng.normal(size=(4, 4)) + (labels == "tree")[:, None] * [
        1.0,
        0.0,
        2.0,
        -1.0,
    ]
    made = BandFuser(objective="separability", ridge=0.0).fit(x, labels)
    assert made.classes_.tolist() == ["soil", "tree"]
    want = LinearDiscriminantAnalysis(solver="eigen").fit(x, labels).scalings_[:, 0]
    cosine = made.coef_[0] @ want / np.linalg.norm(made.coef_[0]) / np.linalg.norm(want)
    assert abs(cosine) > 1 - rounding(condition_of(x))


def test_a_reconstruction_with_free_weights_is_as_good_as_pca_and_goes_back() -> None:
    from sklearn.decomposition import PCA

    x = samples()
    made = BandFuser("equal:1", objective="reconstruction", constraint="free").fit(
        x, np.zeros(len(x))
    )
    back = made.inverse_transform(made.transform(x))
    pca = PCA(1).fit(x)
    want = ((pca.inverse_transform(pca.transform(x)) - x) ** 2).mean()
    close_to_conditioning(((back - x) ** 2).mean(), want, x.var() / want)
    with pytest.raises(ValueError, match="only a reconstruction"):
        BandFuser().fit(x, x[:, 0]).inverse_transform(x[:, :1])


SETTINGS = [
    {},
    {"constraint": "free", "ridge": 0.01, "smooth": 0.001},
    {"constraint": "simplex", "gain": True},
    {"groups": "equal:2", "constraint": "nonnegative", "smooth": "auto"},
    {"objective": "reconstruction", "groups": "equal:2"},
]


@pytest.mark.one_in(2)
@pytest.mark.parametrize("given", SETTINGS, ids=lambda g: " ".join(map(str, g)) or "default")
def test_the_weights_are_those_of_the_command_line(
    given: dict[str, object], tmp_path: object
) -> None:
    """An image of one row: the same samples in the same order, with the same folds; summed in other
    pieces. What is descended to ends within 1e-9 of it, whatever the kernel."""
    x, nm = samples(600), wavelengths(6)
    y = x @ [[0.5, 0.0], [0.1, 0.1], [0.1, 0.1], [0.0, 0.2], [0.1, 0.3], [0.2, 0.3]]
    y += np.random.default_rng(1).normal(0, 0.01, y.shape)
    cube = write_tiff(tmp_path / "x.tif", x.T[:, None].copy(), nm=nm)  # type: ignore[operator]
    target = write_tiff(tmp_path / "y.tif", y.T[:, None].copy())  # type: ignore[operator]
    flags = [f"--{k}" if v is True else f"--{k}={v}" for k, v in given.items()]
    rebuilt = "objective" in given
    ok(
        "train",
        cube,
        *([] if rebuilt else ["--target", target]),
        *flags,
        "--no-fused",
        "--no-report",
        "-o",
        tmp_path / "run",
    )  # type: ignore[operator]
    want = bandfuse.load(tmp_path / "run" / "weights.safetensors").common  # type: ignore[operator]
    made = BandFuser(**given, wavelength_nm=nm).fit(x, None if rebuilt else y)  # type: ignore[arg-type]
    np.testing.assert_allclose(made.coef_, want.matrix, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(made.intercept_, want.offset, rtol=1e-9, atol=1e-12)


@pytest.mark.one_in(2)
@pytest.mark.parametrize("objective", ["reconstruction", "separability"])
def test_groups_and_folds_are_those_of_the_command_line_to_the_bit(
    objective: str, tmp_path: Path
) -> None:
    """Of so many samples that only some are looked at for groups; one band is dead."""
    x = samples(20_000, 8)
    x[:, 5] = 1.0
    x[4, 2] = np.nan
    y = (x[:, 3] > np.median(x[:, 3])).astype(int) + (x[:, 6] > np.median(x[:, 6]))
    cube = write_tiff(tmp_path / "x.tif", x.T[:, None].copy())
    labels = write_tiff(tmp_path / "y.tif", y[None, None].astype("uint8"))
    flags = ("--objective", objective, "--groups", "correlation:3", "--precision", "float64")
    more = ("--labels", labels) if objective == "separability" else ()
    ok("train", cube, *more, *flags, "--no-fused", "--no-report", "-o", tmp_path / "run")
    want = bandfuse.load(tmp_path / "run" / "weights.safetensors").common
    made = BandFuser("correlation:3", objective=objective).fit(x, y if more else None)
    np.testing.assert_array_equal(made.coef_, want.matrix)
    np.testing.assert_array_equal(made.intercept_, want.offset)


def test_what_is_missing_does_not_count_and_stays_missing() -> None:
    x = samples()
    y = x @ np.arange(1, 7)
    holes = x.copy()
    holes[3, 2] = np.nan
    made = BandFuser(constraint="free", ridge=0, smooth=0).fit(holes, y)
    whole = np.delete(np.arange(len(x)), 3)
    np.testing.assert_allclose(
        made.coef_, BandFuser(constraint="free", ridge=0, smooth=0).fit(x[whole], y[whole]).coef_
    )
    unknown = np.where(np.arange(len(x)) == 3, np.nan, y)
    np.testing.assert_allclose(
        BandFuser(constraint="free", ridge=0, smooth=0).fit(x, unknown).coef_, made.coef_
    )
    assert np.isnan(made.transform(holes)[3]).all()
    assert np.isfinite(made.transform(holes)[whole]).all()


def test_a_dead_band_is_left_out_and_a_data_frame_keeps_its_names() -> None:
    import pandas as pd

    x = samples()
    frame = pd.DataFrame(np.column_stack([x, np.ones(len(x))]), columns=[*"abcdef", "dead"])
    made = BandFuser({"low": "1-3", "high": "4-7"}).set_output(transform="pandas").fit(frame)
    assert made.fusion_.inputs.name == (*"abcdef", "dead")
    assert made.fusion_.inputs.reason[6] == "constant (1)"
    assert made.coef_[1, 6] == 0
    assert made.transform(frame).columns.tolist() == ["low", "high"]


def test_samples_that_cannot_be_learned_from_are_refused_as_by_a_training() -> None:
    x = samples()
    x[3, 2] = 1e200
    with pytest.raises(ValueError, match="X holds numbers whose squares overflow"):
        BandFuser().fit(x, x[:, 0])
    x[1:] = np.nan
    with pytest.raises(ValueError, match=r"X has no samples to learn from; got 1 usable of \d+"):
        BandFuser().fit(x, np.arange(float(len(x))))


@pytest.mark.parametrize(
    ("given", "y", "says"),
    [
        ({"objective": "snr"}, None, "needs neighbouring pixels"),
        ({"groups": "nothing:3"}, None, "nothing"),
        ({"constraint": "fre"}, None, "constraint=; got 'fre'"),
        ({"objective": "regression"}, None, "needs a target"),
        ({"objective": "separability"}, np.zeros(500), "1 class"),
    ],
)
def test_what_does_not_fit_is_a_value_error(given: dict[str, object], y: object, says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        BandFuser(**given).fit(samples(), y)  # type: ignore[arg-type]
    assert isinstance(caught.value.__cause__, bandfuse.BandfuseError)
