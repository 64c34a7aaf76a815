"""The page of a report, from Python."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from rasters import spectra, wavelengths, write_tiff

import bandfuse
from bandfuse.results.training import TrainReport


def trained(folder: Path, *, no_report: bool = False) -> TrainReport:
    x = spectra(6, 40, 30).astype(np.float64)
    cube = write_tiff(folder / "a.tif", x, nm=wavelengths(6))
    target = write_tiff(folder / "t.tif", 0.5 * x[:1] + 0.5 * x[1:2], names=["<i>red</i>"])
    config = bandfuse.TrainConfig(
        scenes=cube, target=target, output=folder / "run", no_report=no_report, figures=False
    )
    return bandfuse.train(config)[0]


@pytest.mark.thorough
def test_the_page_of_a_training_is_that_of_its_run(tmp_path: Path) -> None:
    report = trained(tmp_path)
    assert report.to_html() == (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    copies = [report.model_copy(), pickle.loads(pickle.dumps(report))]
    assert all(copy == report and copy.to_html() == report.to_html() for copy in copies)


def test_a_report_that_was_read_has_a_page_without_what_was_not_kept(tmp_path: Path) -> None:
    report = trained(tmp_path)
    text = (tmp_path / "run" / "report.json").read_text(encoding="utf-8")
    read = TrainReport.model_validate_json(text)
    assert read == report
    page = read.to_html()
    assert page.startswith("<!")
    assert "&lt;i&gt;red&lt;/i&gt;" in page
    assert "<i>red</i>" not in page
    assert len(page) < len(report.to_html())
    assert "data:image/png" in report.to_html()
    assert "data:image/png" not in page


def test_without_a_report_nothing_is_kept(tmp_path: Path) -> None:
    report = trained(tmp_path, no_report=True)
    assert "data:image/png" not in report.to_html()
    assert report != report.model_copy(update={"seed": 7})
