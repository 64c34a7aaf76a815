"""The verdict: one sentence for one thing, in numbers that a reader can compare."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from rasters import ok

from bandfuse.goals import ACCURACY, GOALS, R2
from bandfuse.report.trust_tables import needed_sentence, trust_tables
from bandfuse.results.base import PixelCount, PlaceRow
from bandfuse.results.training import (
    Convergence,
    NeededBands,
    OutputRow,
    OutputTrust,
    PublishedResponse,
    ScoreTable,
    Seconds,
    SeparatedClass,
    Separation,
    TrainReport,
    Trust,
    WindowRow,
)
from bandfuse.runs.verdict import (
    DRAWN,
    INTERVALS,
    against_baselines,
    explained,
    first,
    of_classes,
    of_intervals,
    of_sensor,
)
from bandfuse.trust.assess import BOOTSTRAP, JACKKNIFE, Assessment
from bandfuse.trust.bootstrap import Interval

SAMPLE = Path(__file__).parents[2] / "data" / "sample"
Values = dict[str, float]


def _report(chosen: Values, baselines: dict[str, Values], key: str = "r2") -> TrainReport:
    def table(values: Values) -> ScoreTable:
        scores = {name: {key: value} for name, value in values.items()}
        return ScoreTable.model_validate({"train": scores, "holdout": scores})

    made = {"gain": 1.0, "offset": 0.0, "constraint": "free", "active_bands": 3}
    return TrainReport(
        outputs=[OutputRow(name=name, wavelength_nm=500.0, **made) for name in chosen],
        weights=[],
        scores=table(chosen),
        baselines={method: table(values) for method, values in baselines.items()},
        convergence=Convergence(loss=1.0, optimum=1.0, relative_gap=0.0, steps=0),
        pixels=PixelCount(used=1, invalid=0, by_reason={}),
        bands_dropped=[],
        device={"fit": PlaceRow(device="cpu", reason="there is no GPU")},
        seconds=Seconds(read=1, fit=1, write=1),
        versions={},
        inputs=[],
        seed=0,
    )


def test_many_outputs_with_better_baselines_make_one_sentence() -> None:
    names = [f"o{i}" for i in range(244)]
    chosen = dict.fromkeys(names, 0.8)
    ridge = {name: 0.79 + 0.0005 * i for i, name in enumerate(names)}
    (sentence,) = against_baselines(_report(chosen, {"ridge": ridge}), R2)
    better = sum(v > 0.8 + R2.worth for v in ridge.values())
    assert sentence.startswith(f"For {better} of 244 outputs a baseline does better")
    assert "'o243 (500 nm)'" in sentence
    assert "ridge regression leaves 8.85 % of the variance unexplained" in sentence
    assert "the chosen weights 20.0 %" in sentence


def test_without_a_better_baseline_the_nearest_is_told_by_what_it_leaves() -> None:
    report = _report(
        {"a": 0.99997, "b": 0.9999}, {"ols": {"a": 0.9999, "b": 0.99985}, "mean": {"a": -3, "b": 0}}
    )
    (sentence,) = against_baselines(report, R2)
    assert sentence.startswith("No baseline does better on held-out blocks by more than 0.1 %")
    assert "'b (500 nm)'" in sentence
    assert "least squares leaves 0.0150 % of the variance unexplained" in sentence
    assert "the chosen weights 0.0100 %" in sentence


def test_other_scores_are_compared_as_they_are() -> None:
    report = _report({"classes": 0.9}, {"lda": {"classes": 0.95}}, "accuracy")
    (sentence,) = against_baselines(report, ACCURACY)
    assert sentence == (
        "A baseline does better on held-out blocks: LDA has 0.9500 accuracy, the chosen weights "
        "0.9000."
    )


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        (
            {"a": 0.9, "b": 0.5, "c": 0.8},
            "The fused bands explain 50.00 % of the variance of 'b', the least well matched of 3 "
            "targets, and 80.00 % in the median: 50 % and 20.0 % are left unexplained.",
        ),
        (
            {"a": 0.99997},
            "The fused bands explain more than 99.99 % of the variance of 'a': 0.00300 % is left "
            "unexplained.",
        ),
        (
            {"a": 0.9, "b": -0.2, "c": -9.0},
            "The fused bands predict 'b', 'c' no better than the mean of the target would; they "
            "explain 90.00 % of the variance of 'a', at most.",
        ),
        ({"a": -0.15}, "The fused bands predict 'a' no better than the mean of the target would."),
    ],
)
def test_what_is_explained_and_what_is_left(scores: Values, words: str) -> None:
    assert explained("The", scores) == words


def test_many_failures_are_counted_and_few_of_them_named() -> None:
    text = explained("The", {f"o{i}": 0.5 - i for i in range(100)})
    assert "99 of 100 targets" in text
    assert len(text) < 300


@pytest.mark.parametrize("name", ["reconstruction", "separability"])
def test_a_share_below_zero_is_never_told(name: str) -> None:
    sentence = first(GOALS[name], {"cube": -0.15}, "blocks")
    assert sentence.endswith("no more of the cube than its mean on blocks that were held out.")
    assert "15" not in sentence


def test_windows_that_explain_nothing_are_not_shown() -> None:
    window = WindowRow(bands=[1, 2], from_nm=500, to_nm=510, worth=0.1)
    report = _report({"a": 0.5}, {})
    for share, shown in ((-0.15, False), (0.8, True)):
        needed = NeededBands(windows=[window], explained=share, full=0.9)
        report.trust = Trust(outputs=[], needed=needed)
        assert bool(trust_tables(report)) == shown
        assert ("no better than" in needed_sentence(report)) != shown
        assert "15" not in needed_sentence(report)


def _published(**changes: float | None) -> PublishedResponse:
    values: dict[str, object] = {"band": "B8", "coverage": 1.0, "centre_nm": 830.0}
    values |= {"shift_nm": 1.0, "similarity": 0.9, "out_of_band": 0.1}
    return PublishedResponse.model_validate(
        {**values, "out_of_band_published": 0.05, "weights": {}, **changes}
    )


def _sensed(**rows: PublishedResponse) -> TrainReport:
    report = _report(dict.fromkeys(rows, 0.9), {})
    outputs = [OutputTrust(name=n, curve=[], condition=1.0, published=p) for n, p in rows.items()]
    report.trust = Trust(outputs=outputs, needed=None, sensor="sentinel-2a")
    return report


def test_the_sensor_is_answered_in_one_sentence_and_a_table() -> None:
    report = _sensed(
        B6=_published(similarity=0.999, shift_nm=0.2), B8=_published(similarity=0.77, shift_nm=-3.4)
    )
    assert of_sensor(report) == [
        "Beside the published responses of sentinel-2a the similarity (cosine) is from 0.7700 "
        "('B8') to 0.9990 ('B6'); centres lie at most 3.4 nm off ('B8')."
    ]
    table = trust_tables(report)[0]
    assert table.caption == "Learned responses against those of sentinel-2a"
    titles = [column.title for column in table.columns]
    cells = dict(zip(titles, table.rows[1], strict=True))
    assert cells["Similarity"] == "0.7700"
    assert cells["Centre shift (nm)"] == "−3.4"


def test_signed_weights_have_no_centre_and_no_sensor_no_sentence() -> None:
    assert "no centre" in of_sensor(_sensed(B8=_published(shift_nm=None)))[0]
    assert of_sensor(_report({"a": 0.9}, {})) == []


def test_the_class_that_is_found_least_is_named() -> None:
    counts = np.array([[90, 2, 8], [0, 50, 0], [1, 3, 16]])
    rows = [
        SeparatedClass(
            value=i,
            name=name,
            pixels=9,
            recall=counts[i, i] / counts[i].sum(),
            precision=1.0,
            f1=1.0,
            mean=[],
            deviation=[],
        )
        for i, name in enumerate(("oak", "ash", "water"))
    ]
    report = _report({"classes": 0.9}, {}, "accuracy")
    report.separation = Separation(
        where="blocks", bands=[], wavelength_nm=[], rows=rows, confusion=counts.tolist()
    )
    (sentence,) = of_classes(report)
    assert re.search(r"'water', 80.00 % of it; it is taken for 'ash'", sentence)
    for row in rows:
        row.recall = 1.0
    assert of_classes(report) == []


@pytest.mark.thorough
def test_the_terminal_answers_the_sensor_too(tmp_path: Path) -> None:
    cube = str(SAMPLE / "cube.tif")
    ok("resample", cube, "--sensor", "sentinel-2a", "-o", tmp_path / "s2.tif")
    target = ("--target", tmp_path / "s2.tif", "--sensor", "sentinel-2a")
    told = ok("train", cube, *target, "-o", tmp_path / "run", "--no-report").out
    lines = told[told.index("Learned responses against those of sentinel-2a") :].splitlines()
    assert {"similarity", "centre", "shift"} <= set(lines[1].split())
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert report["trust"]["sensor"] == "sentinel-2a"
    for line, one in zip(lines[2:], report["trust"]["outputs"], strict=False):
        published = one["published"]
        assert line.split()[:2] == [one["name"], published["band"]]
        assert float(line.split()[2]) == pytest.approx(published["similarity"], abs=1e-4)
        assert "-0.0" not in line.split()


@pytest.mark.parametrize(
    ("method", "constraints", "said"),
    [
        (BOOTSTRAP, {"bandpass"}, [DRAWN]),
        (BOOTSTRAP, {"bandpass", "nonnegative"}, [INTERVALS[BOOTSTRAP], DRAWN]),
        (BOOTSTRAP, {"free"}, [INTERVALS[BOOTSTRAP]]),
        (JACKKNIFE, {"bandpass"}, [INTERVALS[JACKKNIFE]]),
    ],
)
def test_how_intervals_were_found_is_said_by_constraint(
    method: str, constraints: set[str], said: list[str]
) -> None:
    """Band-pass weights are drawn from their posterior, unless the training was done again."""
    zero = np.zeros((1, 2))
    trust = Assessment(None, {}, intervals={"": Interval(zero, zero, zero[None])}, method=method)
    assert of_intervals(trust, constraints)[1:] == said
    assert of_intervals(Assessment(None, {}), constraints) == []
