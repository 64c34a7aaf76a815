"""Commands that are called in Python: with settings made there, and paths."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rasters import spectra, wavelengths, write_tiff

import bandfuse
from bandfuse.errors import ConfigError


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    """Two runs of one cube."""
    x = spectra(6, 30, 20).astype(np.float64)
    cube = write_tiff(tmp_path / "a.tif", x, nm=wavelengths(6))
    target = write_tiff(tmp_path / "t.tif", 0.5 * x[:1] + 0.5 * x[1:2], names=["red"])
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder, constraint in zip(folders, ("free", "simplex"), strict=True):
        config = bandfuse.TrainConfig(
            scenes=Path(cube), target=Path(target), output=folder, constraint=constraint
        )
        bandfuse.train(config)
    return folders


def test_runs_are_compared(runs: list[Path], tmp_path: Path) -> None:
    result = bandfuse.compare(runs, bandfuse.CompareConfig())
    assert [run.constraints["red"] for run in result.runs] == ["free", "simplex"]
    assert "2 × ComparedRun (one, two)" in repr(result)
    bandfuse.compare(runs, bandfuse.CompareConfig(output=tmp_path / "both.html"))
    assert "simplex" in (tmp_path / "both.html").read_text(encoding="utf-8")
    with pytest.raises(ConfigError, match="there is nothing to compare"):
        bandfuse.compare(runs[:1], bandfuse.CompareConfig())
