"""Goals: a new objective is one row, one class and one scorer; nothing else asks which one it
is."""

from __future__ import annotations

import ast
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from rasters import cli, ok, spectra, write_tiff
from torch import Tensor

import bandfuse
from bandfuse.goals import GOALS, Goal, Measure
from bandfuse.optimise.objectives.base import Gathered, Objective, curvature
from bandfuse.solve.layout import Layout
from bandfuse.solve.scores import Scored
from bandfuse.spectral.bands import Floats
from bandfuse.survey.survey import Survey
from bandfuse.trust.scorers import Scoring, Trial


class Steadiness(Objective):
    """``loss_k = log var(y_k) − 2 log |mean(y_k)|``: fused values that vary little beside their
    mean."""

    def __init__(self, covariance: Floats, mean: Floats, rows: int) -> None:
        self.covariance, self.mean = covariance, mean
        self._a, self._m = torch.as_tensor(covariance), torch.as_tensor(mean)
        self.scale = np.ones(rows)

    def losses(self, weight: Tensor, gain: Tensor, level: Tensor | None) -> Tensor:
        return torch.log(((weight @ self._a) * weight).sum(-1)) - 2 * torch.log(
            (weight @ self._m).abs()
        )

    def part(self, rows: Sequence[int]) -> Steadiness:
        return Steadiness(self.covariance, self.mean, len(rows))

    def metric(self, layout: Layout) -> Floats:
        return curvature(layout, self.covariance)


def loss(gathered: Gathered) -> Steadiness:
    return Steadiness(gathered.split.a, gathered.split.mean, gathered.outputs)


def scorer(survey: Survey, *, balanced: bool) -> Scoring:
    def score(trials: Sequence[Trial]) -> Scored:
        rows = []
        for k in range(len(trials[0][2])):
            ratios = []
            for _, test, weight in trials:
                m = test.pooled.take(range(len(test.design.used)))
                ratios.append(
                    abs(weight[k] @ m.mean) / np.sqrt(weight[k] @ m.covariance @ weight[k])
                )
            rows.append({"steadiness": float(np.mean(ratios))})
        return Scored(rows, {})

    first = np.eye(len(survey.design.used))[:1]
    return Scoring(
        score, {"first_band": lambda part: np.repeat(first, len(part.design.names), axis=0)}
    )


ROW = Goal(
    "steadiness",
    f"{__name__}:loss",
    Measure("steadiness", "mean over deviation", 0.01, "0.01", share=False),
    "The fused bands have {worst} times their deviation as mean{where}.",
    scorer=f"{__name__}:scorer",
    constraint="simplex",
)


def test_a_toy_objective_trains_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(GOALS, ROW.name, ROW)
    cube = spectra(6, 60, 80) + 0.5
    scene, run = write_tiff(tmp_path / "x.tif", cube), tmp_path / "run"
    done = ok(
        "train",
        scene,
        "--objective",
        "steadiness",
        "--group",
        "a=1-3",
        "--group",
        "b=4-6",
        "-o",
        run,
    )
    report = json.loads((run / "report.json").read_text())

    held, train = report["scores"]["holdout"], report["scores"]["train"]
    assert list(held) == list(train) == ["a", "b"]
    assert "first_band" in report["baselines"]
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "times their deviation as mean on blocks that were held out" in page
    assert "first_band" in page
    assert done.code == 0

    # The least coefficient of variation of a mixture whose shares are not negative, by a dense
    # search.
    flat = cube.reshape(6, -1).astype(np.float64)
    shares = np.array([(i, j, 60 - i - j) for i in range(61) for j in range(61 - i)]) / 60
    for name, bands in (("a", flat[:3]), ("b", flat[3:])):
        mixed = shares @ bands
        best = (np.abs(mixed.mean(axis=1)) / mixed.std(axis=1)).max()
        assert train[name]["steadiness"] == pytest.approx(best, rel=2e-3)


def test_a_toy_objective_can_be_summed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(GOALS, ROW.name, ROW)
    scene = write_tiff(tmp_path / "x.tif", spectra(6, 40, 60) + 0.5)
    ok(
        "train",
        scene,
        "--objective",
        "reconstruction + 0.1*steadiness",
        "-o",
        tmp_path / "run",
        "--no-report",
    )


def test_an_unknown_objective_is_an_error_with_those_there_are(tmp_path: Path) -> None:
    done = cli(
        "train",
        write_tiff(tmp_path / "x.tif", spectra(3, 20, 20)),
        "--objective",
        "beauty",
        "-o",
        tmp_path / "r",
    )
    assert done.code == 2
    assert all(name in done.err for name in GOALS)


def test_nothing_else_asks_which_objective_it_is() -> None:
    """No comparison with an objective's name outside of goals.py; texts and doctests may hold
    it."""
    root = Path(bandfuse.__file__).parent
    asked = []
    for path in sorted(root.rglob("*.py")):
        if path.name == "goals.py" and path.parent == root:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Compare):
                texts = {n.value for n in ast.walk(node) if isinstance(n, ast.Constant)}
                if texts & set(GOALS):
                    asked.append(f"{path.relative_to(root)}:{node.lineno}")
    assert asked == []
