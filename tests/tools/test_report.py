"""The page of a sharpening, made again; and what else is said of its run folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine
from scipy.ndimage import map_coordinates
from sharp_images import scene, seen

import bandfuse
from bandfuse import CompareConfig, ReportConfig, SharpenConfig
from bandfuse.errors import InputError, OutputError
from bandfuse.tools.compare import compare
from bandfuse.tools.report import make_report

FINE = Affine(10, 0, 5e5, 0, -10, 5e6)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of a sharp image that is bent against its cube."""
    folder = tmp_path_factory.mktemp("report")
    truth, sharp = scene(192, noise=0.01, seed=4)
    y, x = np.mgrid[:192, :192].astype(float)
    u, v = (x - 96) / 96, (y - 96) / 96
    at = [y + 5 * u * u, x + 4 * u * v]
    bent = np.stack([map_coordinates(b, at, order=3, mode="nearest") for b in sharp])
    for name, values, grid in (
        ("cube.tif", seen(truth, 4), FINE @ Affine.scale(4)),
        ("sharp.tif", bent, FINE),
    ):
        count, rows, cols = values.shape
        with rasterio.open(
            folder / name, "w", driver="GTiff", count=count, height=rows, width=cols,
            dtype="float32", crs="EPSG:32633", transform=grid,
        ) as ds:  # fmt: skip
            ds.write(values.astype(np.float32))
    images = [str(folder / name) for name in ("cube.tif", "sharp.tif")]
    for name, shift in (("run", "field"), ("bare", "keep")):
        settings = {"shift": shift, "blur": 0.3, "no_report": name == "bare"}
        bandfuse.sharpen(SharpenConfig(images=images, output=str(folder / name), **settings))
    return folder / "run"


def test_the_page_is_made_again_to_the_byte(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "again.html"
    figures = tmp_path / "figures"
    made = make_report(run, ReportConfig(output=str(out), figures=str(figures)))
    assert made.messages == []
    assert out.read_bytes() == (run / "report.html").read_bytes()
    assert sorted(p.name for p in figures.iterdir()) == made.figures
    wanted = {"gains.svg", "weights.svg", "spectra.svg", "displacement.svg", "sharpened.png"}
    assert wanted <= set(made.figures)
    drawn = (figures / "displacement.svg").read_bytes()
    assert drawn == (run / "figures" / "displacement.svg").read_bytes()
    make_report(run, ReportConfig(output=str(out), figures=str(figures), overwrite=True))
    with pytest.raises(OutputError, match="exists"):
        make_report(run, ReportConfig())


def test_the_map_of_displacements_is_on_the_page(run: Path) -> None:
    text = (run / "report.html").read_text(encoding="utf-8")
    section = text[text.index('<section id="registration"') :]
    section = section[: section.index("</section>")]
    row = json.loads((run / "report.json").read_text())["registration"][0]
    assert row["range"] > 0.5
    assert "Displacement of sharp.tif" in section
    assert f"{row['range']:.2f} pixels of the cube more at one place than at another" in section
    assert "moved from place to place" in section
    assert "<svg" in section


def test_a_run_without_a_page_gets_one_of_its_numbers(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "bare.html"
    made = make_report(run.parent / "bare", ReportConfig(output=str(out)))
    assert "--no-report" in made.messages[0]
    assert "Injection gains" in out.read_text(encoding="utf-8")


def test_a_sharpening_is_not_compared_as_a_training(run: Path) -> None:
    with pytest.raises(InputError, match="is the run of a sharpening"):
        compare([run, run.parent / "bare"], CompareConfig())
