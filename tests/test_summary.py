"""What values say of themselves: a few lines in Python, an escaped table in notebooks."""

from __future__ import annotations

from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from helpers import fusion_of
from rasters import spectra, wavelengths, write_tiff

import bandfuse
from bandfuse.results.base import PixelCount, Result
from bandfuse.results.rasters import CheckResult, EvaluateResult, Finding
from bandfuse.results.training import OutputRow
from bandfuse.summary import LENGTH, LINES, Summary

MANY = 244
HOSTILE = "<script>alert(1)</script>\x1b[31m\n& \"'"


class Tags(HTMLParser):
    """The tags of a text, in their order, and the words between them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.words = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.open.append(tag)
        self.seen.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


def many_bands() -> bandfuse.Bands:
    names = [f"{HOSTILE} {i}" for i in range(MANY)]
    bands = bandfuse.Bands.of(names, wavelength_nm=np.linspace(400, 2500, MANY), source=HOSTILE)
    return bands.dropping({3: HOSTILE})


def many_outputs() -> bandfuse.Fusion:
    weight = np.random.default_rng(0).normal(size=(60, MANY))
    outputs = bandfuse.Bands.of([f"{HOSTILE} {i}" for i in range(60)])
    return bandfuse.Fusion(weight, np.ones(60), np.zeros(60), many_bands(), outputs)


def image(folder: Path) -> bandfuse.Image:
    path = folder / "a&b.tif"
    names = [f"{HOSTILE} {i}" for i in range(MANY)]
    x = np.ones((MANY, 4, 3), dtype=np.float32)
    return bandfuse.open(write_tiff(path, x, nm=wavelengths(MANY), names=names))


def evaluated() -> EvaluateResult:
    scores = {f"{HOSTILE} {i}": {"r2": 0.5, "rmse": 1e-7, "cc": None} for i in range(MANY)}
    return EvaluateResult(
        weights=HOSTILE * 50,
        scene=HOSTILE,
        scores=scores,
        overall={"sam": 1.0},
        sampled=3,
        pixels=PixelCount(used=3, invalid=2, by_reason={HOSTILE: 2}),
        messages=[HOSTILE] * 100,
    )


VALUES: dict[str, Callable[[Path], object]] = {
    "bands": lambda folder: many_bands(),
    "fusion": lambda folder: many_outputs(),
    "model": lambda folder: bandfuse.Model(many_outputs(), {HOSTILE: many_outputs()}),
    "image": image,
    "scene": lambda folder: image(folder).scene,
    "raster": lambda folder: image(folder).scene.rasters[0],
    "moments": lambda folder: bandfuse.Moments.of(np.random.default_rng(0).normal(size=(50, 200))),
    "pixels": lambda folder: bandfuse.Pixels.zero(10, 200),
    "config": lambda folder: bandfuse.TrainConfig(scenes=[HOSTILE] * 1000, output=HOSTILE),
    "evaluate": lambda folder: evaluated(),
    "check": lambda folder: CheckResult(
        scene=HOSTILE, target=None, findings=[], looked=[0] * 999, pixels=[]
    ),
}


@pytest.mark.parametrize("kind", VALUES)
def test_values_of_any_size_are_a_few_safe_lines(kind: str, tmp_path: Path) -> None:
    value = VALUES[kind](tmp_path)
    text = repr(value)
    assert text == str(value)
    assert len(text) <= LENGTH
    lines = text.splitlines()
    assert 1 <= len(lines) <= LINES + 1
    assert all(line.isprintable() for line in lines)
    assert type(value).__name__ in lines[0]
    html = value._repr_html_()  # type: ignore[attr-defined]
    tags = Tags(html)
    assert tags.open == []
    assert tags.seen <= {"div", "strong", "table", "thead", "tbody", "tr", "th", "td", "p"}
    assert len(html) < 12_000
    assert "\x1b" not in html


def test_a_summary_says_what_matters() -> None:
    bands = bandfuse.Bands.of(["red", "nir"], wavelength_nm=[650, 850], fwhm_nm=[10, 12])
    assert repr(bands.dropping({1: "noise"})) == (
        "Bands: 2\n  names: red, nir\n  wavelengths: 650 to 850 nm\n  FWHM: 10 to 12 nm\n"
        "  not used: noise (1)"
    )
    assert "sources: scene (2), swir (1)" in repr(bands + bandfuse.Bands.of(["a"], source="swir"))
    words = Tags(bands._repr_html_()).words
    assert all(word in words for word in ("red", "nir", "650", "850", "wavelength / nm"))
    fusion = fusion_of(np.array([[0.5, 0.5, 0.0]]), np.array([2.0]), np.array([0.25]))
    assert "1 output of 3 bands" in repr(fusion)
    assert "2 bands" in repr(fusion)
    model = bandfuse.Model(fusion, {"a": fusion, "b": fusion})
    assert "weights of 2 scenes" in repr(model)
    assert "scenes: a, b" in repr(model)


def test_an_image_tells_grid_and_bands(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "cube.tif", spectra(6, 70, 30), nm=wavelengths(6), nodata=-1)
    text = repr(bandfuse.open(path))
    low, high = wavelengths(6)[0], wavelengths(6)[-1]
    assert text.startswith("Image cube: 6 bands × 70 rows × 30 columns\n")
    assert f"wavelengths: {low:.5g} to {high:.5g} nm" in text
    assert "nodata: -1" in text
    assert "CRS: EPSG:32633" in text
    assert "pixel: 30 × 30 metre" in text


def test_small_results_are_one_line_and_rich_shows_the_same() -> None:
    row = OutputRow(name="red", gain=1.0, offset=0.5, constraint="free", active_bands=3)
    assert repr(row) == (
        "OutputRow(name='red', gain=1, offset=0.5, constraint='free', active_bands=3)"
    )
    finding = Finding(code="a", severity="info", message="m" * 59, remedy="r" * 59)
    assert "\n" not in repr([finding])
    assert [str(text) for _, text in evaluated().__repr_args__()] == [
        text for _, text in evaluated().summary().known
    ]


def test_long_tables_are_cut_with_their_number_said() -> None:
    rows = tuple((str(i),) for i in range(25))
    html = Summary("T", (), ("n",), rows).html()
    assert "<td>19</td>" in html
    assert "<td>20</td>" not in html
    assert "5 more rows" in html


def test_every_public_value_has_a_summary() -> None:
    """Results, settings and the other values of the package; BandFuser has scikit-learn's."""
    kinds = [getattr(bandfuse, name) for name in bandfuse.__all__]
    values = [k for k in kinds if isinstance(k, type) and not issubclass(k, Exception)]
    without = [k.__name__ for k in [*values, Result] if not hasattr(k, "_repr_html_")]
    assert set(without) <= {"BandFuser"}
