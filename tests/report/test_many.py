"""Pages of many outputs: what is drawn, what is drawn on demand, and how much that weighs."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from browser import Tab, browser

from bandfuse.report import choice, demand, html, views
from bandfuse.report.page_data import BlockErrors, Density, Page
from bandfuse.results.base import PixelCount, PlaceRow
from bandfuse.results.training import (
    Convergence,
    CurvePoint,
    OutputRow,
    OutputTrust,
    RunRow,
    ScoreTable,
    Seconds,
    TrainReport,
    Trust,
    WeightRow,
)

HOSTILE = "</script><script>alert(1)</script>\"'&"


def _nm(outputs: int) -> np.ndarray:
    return np.linspace(420.0, 2440.0, outputs)


def _weights(k: int, bands: int) -> np.ndarray:
    """(B, 3) weights with their intervals, of both signs."""
    rng = np.random.default_rng(k)
    middle = rng.normal(size=bands) * 10.0 ** (k % 5 - 3)
    wide = np.abs(rng.normal(size=bands)) * np.abs(middle).max() / 5
    return np.stack([middle, middle - wide, middle + wide], axis=1)


def _rows(name: str, values: np.ndarray, nm: np.ndarray) -> list[WeightRow]:
    fields = ("weight", "effective_weight", "ci_low", "ci_high")
    return [
        WeightRow.model_validate(
            {
                "output": name,
                "scene": "",
                "band": b + 1,
                "source": "cube",
                "source_band": b + 1,
                "name": f"b{b + 1}",
                "wavelength_nm": float(nm[b]),
                "fwhm_nm": 9.0,
                **dict(zip(fields, (w, w, low, high), strict=True)),
            }
        )
        for b, (w, low, high) in enumerate(values.tolist())
    ]


def _trust(name: str) -> OutputTrust:
    curve = [
        CurvePoint(ridge=10.0**-i, smooth=0.0, sparse=0.0, error=0.1 + i / 99) for i in range(9)
    ]
    runs = [
        RunRow(bands=[b, b + 1], from_nm=400, to_nm=410, total=1, ci_low=0, ci_high=2, cost=1e-4)
        for b in range(1, 80, 2)
    ]
    return OutputTrust(name=name, curve=curve, condition=1e9, runs=runs)


def many(outputs: int = 244, bands: int = 111, first: str = "band 1") -> TrainReport:
    """A report of many outputs; the one at place 7·k mod K is the k-th worst."""
    names = [first, *(f"band {i}" for i in range(2, outputs + 1))]
    left = {name: ((7 * k) % outputs + 1) / (outputs + 9) for k, name in enumerate(names)}
    scores = {n: {"r2": 1 - left[n], "rmse": 0.01, "cc": 0.9, "psnr": 20.0} for n in names}
    nm = np.linspace(450.0, 2480.0, bands)
    made = {"gain": 1.0, "offset": -0.01, "constraint": "free", "active_bands": bands}
    return TrainReport(
        outputs=[
            OutputRow(name=n, wavelength_nm=x, fwhm_nm=6.5, target_nm=x, target_fwhm_nm=6.5, **made)
            for n, x in zip(names, _nm(outputs), strict=True)
        ],
        weights=[row for k, n in enumerate(names) for row in _rows(n, _weights(k, bands), nm)],
        scores=ScoreTable(train=scores, holdout=scores),
        baselines={"ridge": ScoreTable(train=scores, holdout=scores)},
        convergence=Convergence(loss=1.0, optimum=1.0, relative_gap=0.0, steps=0),
        trust=Trust(outputs=[_trust(n) for n in names], needed=None),
        pixels=PixelCount(used=600, invalid=0, by_reason={}),
        bands_dropped=[],
        device={"fit": PlaceRow(device="cpu", reason="there is no GPU")},
        seconds=Seconds(read=1, fit=1, write=1),
        versions={},
        inputs=[],
        seed=0,
    )


def page_of(report: TrainReport) -> Page:
    names = [o.name for o in report.outputs]
    counts = np.random.default_rng(0).poisson(1.0, (32, 32)).tolist()
    errors = {n: [0.1, 0.2, 0.3, None] for n in names}
    return Page(
        title="many",
        command="bandfuse train",
        equation="y",
        sampled="held out",
        densities=[Density(output=n, low=0, high=1, counts=counts, pixels=1000) for n in names],
        blocks=[BlockErrors(scene="s", row_edges=[0, 5, 9], col_edges=[0, 5, 9], errors=errors)],
    )


# --------------------------------------------------------------------------------------------------


@pytest.mark.thorough
def test_244_outputs_make_a_page_of_at_most_3_mb_in_at_most_10_s() -> None:
    report = many()
    page = page_of(report)
    start = time.process_time()
    text = html.render(report, page)
    assert time.process_time() - start < 10
    assert len(text.encode()) < 3_000_000
    assert text.count("<svg") < 20


@pytest.mark.thorough
def test_of_many_outputs_the_worst_and_those_of_the_picture_are_drawn() -> None:
    report = many()
    left = choice.unexplained(report)
    assert left["band 3"] == pytest.approx(15 / 253)
    worst = sorted(left, key=lambda name: -left[name])[: choice.CHOSEN]
    colours = [f"band {np.argmin(np.abs(_nm(244) - nm)) + 1}" for nm in (660, 560, 480)]
    assert choice.chosen(report) == [*worst, *colours]
    text = html.render(report, page_of(report))
    shown = re.findall(r'class="card output" id="output-(\d+)"', text)
    assert [f"band {n}" for n in shown] == choice.chosen(report)
    few = many(choice.MOST_CARDS)
    assert choice.chosen(few) == [o.name for o in few.outputs]
    assert "data-outputs" not in html.render(few, page_of(few))


def test_rows_are_named_by_wavelength_and_the_worst_come_first() -> None:
    report = many()
    table = views.score_tables(report)[0]
    first = max(choice.unexplained(report).items(), key=lambda pair: pair[1])
    nm = dict(zip((o.name for o in report.outputs), _nm(244), strict=True))[first[0]]
    assert table.rows[0][0] == f"{first[0]} ({nm:.0f} nm)"
    assert table.columns[1].title == views.UNEXPLAINED
    assert table.rows[0][1] == f"{100 * first[1]:.1f}"
    assert views.SORTED in table.note
    few = views.score_tables(many(4))[0]
    assert [row[0].split(" (")[0] for row in few.rows] == [f"band {i}" for i in range(1, 5)]


def test_the_data_of_a_page_hold_every_weight_to_four_digits() -> None:
    report = many(30, 40)
    rows = {o.name: [r for r in report.weights if r.output == o.name] for o in report.outputs}
    names = choice.worst_first(report, rows)
    content = json.loads(demand.on_demand(report, rows, names))
    assert [one["label"].split(" (")[0] for one in content["outputs"]] == names
    for name, one in zip(names, content["outputs"], strict=True):
        assert one["at"] is None
        values = np.array([one["w"], one["low"], one["high"]]) * one["unit"]
        expected = _weights(int(name.split()[1]) - 1, 40).T
        assert np.abs(values - expected).max() <= 0.55 * np.abs(expected).max() / demand.STEPS
    assert content["x"][1] == pytest.approx(450 + 2030 / 39, abs=1e-3)


def test_what_does_not_fit_is_left_out_and_groups_say_which_bands_they_have(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    report = many(20, 10)
    rows = {o.name: [r for r in report.weights if r.output == o.name] for o in report.outputs}
    rows["band 2"] = [r for r in rows["band 2"] if r.band in (3, 7)]
    content = json.loads(demand.on_demand(report, rows, list(rows)))
    assert content["outputs"][1]["at"] == [2, 6]
    monkeypatch.setattr(demand, "MOST_VALUES", 3 * 10 * 4)
    assert len(json.loads(demand.on_demand(report, rows, list(rows)))["outputs"]) == 4


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with browser(tmp_path_factory.mktemp("profile")) as found:
        yield found


def test_any_output_is_drawn_when_it_is_chosen(tab: Tab, tmp_path: Path) -> None:
    report = many(30, 40, first=HOSTILE)
    path = tmp_path / "many.html"
    path.write_text(html.render(report, page_of(report)), encoding="utf-8")
    tab.open(path)
    assert tab.complaints == []
    labels = tab.run("[...document.querySelectorAll('#which option')].map(o => o.textContent)")
    assert sorted(labels) == sorted(choice.labels_of(report).values())
    at = labels.index(f"{HOSTILE} ({_nm(30)[0]:.0f} nm)")
    tab.run(
        f"(s => {{ s.selectedIndex = {at}; s.dispatchEvent(new Event('change')) }})"
        "(document.querySelector('#which'))"
    )
    assert tab.run("document.scripts.length") == 1
    card = "document.querySelector('.demand')"
    points = np.array(
        tab.run(
            f"[...{card}.querySelectorAll('.point')].map(p => [+p.getAttribute('cx'),"
            " +p.getAttribute('cy')])"
        )
    )
    expected = _weights(0, 40)[:, 0]
    x = np.linspace(450.0, 2480.0, 40)
    assert np.corrcoef(points[:, 0], x)[0, 1] > 0.999999
    assert np.corrcoef(points[:, 1], expected)[0, 1] < -0.9999
    tab.run(f"{card}.querySelector('.chart').focus()")
    for _ in range(3):
        tab.key("ArrowRight")
    told = tab.run(f"{card}.querySelector('.readout').textContent")
    assert told.startswith(f"band 3 (b3), {x[2]:.1f} nm: ")
    number = told.split("nm: ")[1].split(" (")[0].replace("−", "-").replace("×10", "e")
    number = number.translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789"))
    assert float(number) == pytest.approx(expected[2], abs=1e-3 * np.abs(expected).max())
    line = tab.run(f"+{card}.querySelector('.aim').getAttribute('x1')")
    slope, level = np.polyfit(x, points[:, 0], 1)
    assert line == pytest.approx(slope * _nm(30)[0] + level, abs=0.5)
    assert tab.run(f"{card}.querySelectorAll('.readout').length") == 1
    assert tab.complaints == []


def test_long_tables_scroll_on_a_screen_and_are_cut_on_paper(tab: Tab, tmp_path: Path) -> None:
    report = many(60, 12)
    path = tmp_path / "long.html"
    path.write_text(html.render(report, page_of(report)), encoding="utf-8")
    tab.open(path)
    table = "document.querySelector('#scores .scroll')"
    assert tab.run(f"{table}.clientHeight") <= 640 < tab.run(f"{table}.scrollHeight")
    tab.call("Emulation.setEmulatedMedia", media="print")
    rows = f"[...{table}.querySelectorAll('tbody tr')].filter(r => r.offsetHeight).length"
    assert tab.run(rows) == 40
    assert "first 40 of 60 rows" in tab.run("document.querySelector('#scores').innerText")
    tab.call("Emulation.setEmulatedMedia", media="")


def test_a_hostile_name_stays_inside_its_attribute() -> None:
    report = many(20, 6, first=HOSTILE)
    text = html.render(report, page_of(report))
    assert HOSTILE not in text
    (data,) = re.findall(r'data-outputs="([^"]*)"', text)
    labels = [one["label"] for one in json.loads(unescape(data))["outputs"]]
    assert f"{HOSTILE} (420 nm)" in labels
