"""Fitting: exact solutions need no descent, wherever torch would compute."""

from __future__ import annotations

import pytest

from bandfuse.solve.fit_result import Settings
from bandfuse.training.fitting import Fitting


@pytest.mark.parametrize("device", ["cpu", "cuda", "mps"])
def test_an_exact_solution_needs_no_descent_on_any_device(device: str) -> None:
    settings = Settings(device=device)
    assert Fitting({"regression": 1.0}, settings).solved
    assert not Fitting({"regression": 1.0}, settings, sampled=True).solved
    assert not Fitting({"snr": 1.0}, settings).solved
    assert not Fitting({"regression": 1.0}, Settings(device=device, optimizer="adam")).solved
