"""The charts and tables of classes: every number at its place, every name as text."""

from __future__ import annotations

import json
import re
from html import unescape

import numpy as np
import pytest

from bandfuse.report import class_figures, views
from bandfuse.results.training import SeparatedClass, Separation

NAMES = ("<b>oak & ash</b>", "_water", "3")
COUNTS = [[90, 8, 2], [5, 40, 0], [0, 0, 7]]


def _table(names: tuple[str, ...] = NAMES, counts: list[list[int]] = COUNTS) -> Separation:
    rng = np.random.default_rng(0)
    n = np.array(counts)
    rows = [
        SeparatedClass(
            value=i + 1,
            name=name,
            pixels=100 * (i + 1),
            recall=n[i, i] / n[i].sum(),
            precision=n[i, i] / n[:, i].sum(),
            f1=2 * n[i, i] / (n[i].sum() + n[:, i].sum()),
            mean=rng.uniform(0.1, 0.5, 5).tolist(),
            deviation=[0.01] * 5,
        )
        for i, name in enumerate(names)
    ]
    nm = [600.0, 500.0, 700.0, 900.0, 800.0]
    return Separation(
        where="blocks", bands=[1, 2, 3, 4, 5], wavelength_nm=nm, rows=rows, confusion=counts
    )


def _marks(svg: str) -> dict[str, list[float]]:
    (text,) = re.findall(r"data-marks='([^']*)'", svg)
    found: dict[str, list[float]] = json.loads(unescape(text))
    return found


def test_the_confusion_has_every_count_at_its_place() -> None:
    svg = class_figures.confusion_figure(_table())
    assert "<b>oak" not in svg
    assert "&lt;b&gt;oak &amp; ash&lt;/b&gt;" in svg
    marks = _marks(svg)
    places = {t: (x, y) for t, x, y in zip(marks["text"], marks["x"], marks["y"], strict=True)}
    assert len(places) == 6
    hit = f"{NAMES[0]} found as {NAMES[0]}: 90 pixels, 90 %"
    miss = f"{NAMES[0]} found as {NAMES[1]}: 8 pixels, 8 %"
    assert places[hit][1] == places[miss][1]
    assert places[hit][0] < places[miss][0]
    below = places[f"{NAMES[1]} found as {NAMES[0]}: 5 pixels, 11.1 %"]
    assert below[0] == places[hit][0]
    assert below[1] > places[hit][1]
    assert {"90", "40", "7", "·", "100 % of the class"} <= set(re.findall(r">([^<>]+)</text>", svg))


def test_the_spectra_are_drawn_by_wavelength_with_their_deviation() -> None:
    table = _table()
    marks = _marks(class_figures.spectra_figure(table))
    order = np.argsort([x or 0 for x in table.wavelength_nm])
    told = [t for t in marks["text"] if str(t).startswith("_water")]
    assert len(told) == 5
    assert [float(str(t).split(", ")[1].split(":")[0]) for t in told] == [500, 600, 700, 800, 900]
    values = [float(str(t).split(": ")[1].split(" ±")[0]) for t in told]
    np.testing.assert_allclose(values, np.array(table.rows[1].mean)[order], rtol=1e-3)
    assert all("± 0.0100" in str(t) for t in told)


def test_many_classes_keep_small_charts_without_numbers() -> None:
    counts = (np.eye(60, dtype=int) * 9 + 1).tolist()
    table = _table(tuple(f"class {i}" for i in range(60)), counts)
    svg = class_figures.confusion_figure(table)
    assert ">10</text>" not in svg
    assert len(svg) < 600_000
    assert class_figures.spectra_figure(table).startswith("<svg")


def test_the_table_says_what_is_found_and_what_it_is_taken_for() -> None:
    rows = views.separation_table(_table()).rows
    assert rows[0][0] == "<b>oak & ash</b> (1)"
    assert rows[0][1:] == ("100", "90.00", "94.74", "0.9231", "_water (8)")
    assert rows[2] == ("3", "300", "100.00", "77.78", "0.8750", "–")


@pytest.mark.parametrize("values", [[None] * 3, [1.0, None, None]])
def test_nothing_is_best_without_another_value(values: list[float | None]) -> None:
    assert views.best_of("r2", [values], [("a", "1", "–", "–")]) == frozenset()


def test_the_best_of_a_row_is_what_reads_best() -> None:
    rows = [("a", "0.50", "0.50", "0.40"), ("b", "1", "2", "3")]
    values: list[list[float | None]] = [[0.5001, 0.5002, 0.4], [1.0, 2.0, 3.0]]
    assert views.best_of("r2", values, rows) == {(0, 1), (0, 2), (1, 3)}
    assert views.best_of("rmse", values, rows) == {(0, 3), (1, 1)}
    assert views.best_of("r2", [[1.0, 1.0]], [("a", "1", "1")]) == frozenset()
