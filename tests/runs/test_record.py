"""What a training says of itself takes little memory, however many scenes have weights."""

from __future__ import annotations

import tracemalloc

import numpy as np

from bandfuse.model.fusion import Fusion
from bandfuse.model.model import Model
from bandfuse.results.training import WeightRow
from bandfuse.runs.record import weight_rows
from bandfuse.solve.design import Design
from bandfuse.solve.layout import within
from bandfuse.spectral.bands import Bands
from bandfuse.spectral.groups import Group
from bandfuse.trust.bootstrap import Interval

BANDS, SCENES = 50, 40


def model() -> Model:
    """Forty scenes with weights of their own, of two outputs."""
    rng = np.random.default_rng(0)
    bands = Bands.of([f"b{i}" for i in range(BANDS)], wavelength_nm=np.linspace(400, 900, BANDS))

    def fusion() -> Fusion:
        one, none = np.ones(2), np.zeros(2)
        return Fusion(rng.random((2, BANDS)), 2 * one, none, bands, Bands.of(["p", "q"]))

    return Model(fusion(), {f"s{i:02d}": fusion() for i in range(SCENES)})


def design() -> Design:
    """Both outputs have all bands."""
    every = tuple(range(BANDS))
    group = Group("all", every)
    layout = within([group], BANDS, "channel", set(), [0, 0])
    return Design(("p", "q"), (0, 1), every, (group,), layout)


def test_a_weight_row_takes_less_than_a_kilobyte() -> None:
    made, plan = model(), design()
    tracemalloc.start()
    try:
        rows = weight_rows(made, plan, {})
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert len(rows) == 2 * BANDS * SCENES
    assert held < 900 * len(rows)


def test_rows_are_those_that_are_validated_one_by_one() -> None:
    made, wide = model(), np.ones((2, BANDS))
    bounds = {"s01": Interval(0 * wide, 3 * wide, wide[None])}
    rows = weight_rows(made, design(), bounds)
    assert [WeightRow.model_validate(row.model_dump()) for row in rows] == rows
    assert {(row.ci_low, row.ci_high) for row in rows if row.scene == "s01"} == {(0.0, 3.0)}
    assert {row.ci_low for row in rows if row.scene != "s01"} == {None}
    first = rows[1]
    fusion = made.scenes[first.scene]
    assert first.weight == fusion.weight[0, first.band - 1]
    assert first.effective_weight == fusion.matrix[0, first.band - 1]
