"""The report: files for programs, charts, pictures, and the page that holds them."""

from __future__ import annotations

import csv
import io
import json
import re
import time
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib import image, rcParams

from bandfuse.errors import MismatchError
from bandfuse.report import figures, html, numbers, pictures, svg, tables
from bandfuse.results import (
    Convergence,
    DroppedBand,
    InputFile,
    OutputRow,
    PixelCount,
    ScoreTable,
    Seconds,
    TrainReport,
    WeightRow,
)

SCRIPT = "<script>alert(1)</script>"
MATHS = '$x$ & "q"'


def _weight(output: str, band: int, value: float, wavelength: float | None, **other: object) -> WeightRow:
    row = {"output": output, "scene": "", "band": band, "source": "cube", "source_band": band, "name": f"b{band}"}
    values = {"wavelength_nm": wavelength, "fwhm_nm": 5.0, "weight": value, "effective_weight": 1.1 * value}
    interval = {"ci_low": 1.1 * value - 0.01, "ci_high": 1.1 * value + 0.01}
    return WeightRow.model_validate({**row, **values, **interval, **other})


def _report(
    outputs: Sequence[str] = ("blue", "green", "red"), bands: int = 60, *, wavelengths: bool = True, sparse: bool = True
) -> TrainReport:
    """A report of a fit of K outputs to B bands, of which bands 20 to 22 are dropped."""
    nm = np.linspace(400.0, 1000.0, bands)
    shape = [np.exp(-0.5 * ((nm - c) / 15.0) ** 2) for c in np.linspace(450, 800, len(outputs))]
    kept = [b for b in range(1, bands + 1) if b not in (20, 21, 22)]
    rows = [
        _weight(name, b, float(w[b - 1]) if w[b - 1] > 0.01 or not sparse else 0.0, nm[b - 1] if wavelengths else None)
        for name, w in zip(outputs, shape, strict=True)
        for b in kept
    ]
    return TrainReport(
        outputs=[OutputRow(name=n, gain=1.1, offset=-0.003, constraint="free", active_bands=9) for n in outputs],
        weights=rows,
        scores=ScoreTable(train={n: {"r2": 0.98, "rmse": 0.0042, "cc": 0.99, "psnr": None} for n in outputs}),
        convergence=Convergence(loss=1.25e-4, optimum=1.24e-4, relative_gap=3e-7, steps=50),
        pixels=PixelCount(used=9000, invalid=1000, by_reason={"target is nodata": 1000}),
        bands_dropped=[
            DroppedBand(band=b, source="cube", name=f"b{b}", wavelength_nm=nm[b - 1], reason="dead: constant")
            for b in (20, 21, 22)
        ],
        device="cpu",
        seconds=Seconds(read=1.5, fit=0.2, write=0.1),
        versions={"bandfuse": "0.1.0", "numpy": "2"},
        inputs=[InputFile(path="in/cube.tif", size=12_345_678, sha256="ab" * 32, shape=(bands, 100, 100), crs=None)],
        seed=7,
    )


def _context(report: TrainReport) -> html.ReportContext:
    rng = np.random.default_rng(1)
    scene = rng.normal(0.2, 0.05, (50, 40, 3))
    scene[:5] = np.nan
    return html.ReportContext(
        title="cube to target",
        report=report,
        command="bandfuse train in/cube.tif -o run",
        equation="y = gain · (W x) + offset",
        history={output.name: (0.02 + np.exp(-np.arange(50) / 7)).tolist() for output in report.outputs},
        quicklooks=[html.Quicklook("Scene", "Bands 30, 20, 10.", scene), html.Quicklook("Fused", "", scene[:, :, 0])],
        messages=["3 bands were dropped."],
        verdict=["The fit explains 98 % of the target.", "It is at its optimum."],
    )


class _Page(HTMLParser):
    """The tags, ids, addresses and text of a page; fails on tags that are not closed."""

    VOID = frozenset(("meta", "img", "br", "link", "input"))

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.open += [] if tag in self.VOID else [tag]
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "data")]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_csv_gives_back_every_bit() -> None:
    rng = np.random.default_rng(0)
    names = ["plain", 'a,"b"', "two\nlines", "carriage\rreturn", "日本", SCRIPT, " =1+1"]
    rows = [_weight("red", i, float(v), 400 + v / 3, name=names[i % 7]) for i, v in enumerate(rng.normal(size=40), 1)]
    rows.append(_weight("red", 41, 1e-300, None, fwhm_nm=None, ci_low=None, ci_high=None))
    text = tables.write_csv(rows)
    header, *read = list(csv.reader(io.StringIO(text, newline="")))
    assert header == list(WeightRow.model_fields)
    back = [{k: (None if v == "" and k != "scene" else v) for k, v in zip(header, r, strict=True)} for r in read]
    assert [WeightRow.model_validate(r) for r in back] == rows
    assert text.endswith("\n")
    assert "\r\n" not in text


def test_csv_writes_numpy_scalars_as_numbers() -> None:
    row = _weight("red", 1, 0.1, 400.0).model_copy(update={"weight": np.float64(0.1)})
    assert "np.float64" not in tables.write_csv([row])


def test_json_has_null_for_nan_and_is_the_report() -> None:
    report = _report()
    assert TrainReport.model_validate_json(tables.write_json(report)) == report
    report.scores.train["red"]["psnr"] = float("nan")
    report.convergence.loss = float("inf")
    read = json.loads(tables.write_json(report))
    assert read["scores"]["train"]["red"]["psnr"] is None
    assert read["convergence"]["loss"] is None
    assert tables.write_json(report).startswith('{\n "outputs"')


def test_every_section_is_there_in_order_and_ids_are_unique() -> None:
    page = _Page(html.render(_context(_report())))
    wanted = [name for name, _ in html.SECTIONS]
    assert [name for name in page.ids if name in wanted] == wanted
    assert len(set(page.ids)) == len(page.ids)
    assert page.tags.count("svg") == 3 + 1
    for name in ("h1", "caption", "figcaption", "details", "pre"):
        assert name in page.tags


def test_the_numbers_of_the_report_are_on_the_page() -> None:
    words = " ".join(_Page(html.render(_context(_report()))).words)
    for text in ("0.9800", "0.004200", "0.0001240", "3.000×10⁻⁷", "ab" * 32, "dead: constant", "target is nodata"):
        assert text in words
    for text in ("20 – 22", "bandfuse train in/cube.tif -o run", "psnr peak = the target's maximum"):
        assert text in words


def test_nothing_is_fetched_and_nothing_runs() -> None:
    text = html.render(_context(_report()))
    page = _Page(text)
    assert page.addresses
    assert all(a.startswith(("#", "data:image/png;base64,")) for a in page.addresses)
    bare = re.sub(r'xmlns(:\w+)?="[^"]*"', "", text)
    assert not re.search(r"https?://|@import|url\((?!#)|<script|<link|\son\w+=", bare)
    assert {a[1:] for a in page.addresses if a.startswith("#")} <= set(page.ids)


HOSTILE = [SCRIPT, MATHS, '"><img src=x onerror=alert(1)>', "_hidden", "日本 $", "a\nb </svg>"]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_names_are_shown_literally_and_never_as_markup(hostile: str) -> None:
    report = _report([hostile, "other"])
    for row in report.weights:
        row.name, row.source, row.scene = hostile, row.source if row.band < 30 else hostile, hostile
    report.bands_dropped[0] = report.bands_dropped[0].model_copy(update={"name": hostile, "reason": hostile})
    report.inputs[0].path = report.device = report.outputs[0].constraint = hostile
    report.versions[hostile] = report.inputs[0].crs = hostile
    report.pixels.by_reason = {hostile: 3}
    report.scores.train[hostile][hostile] = 1.0
    context = replace(_context(report), title=hostile, command=hostile, equation=hostile, verdict=[hostile] * 2)
    look = html.Quicklook(hostile, hostile, np.eye(4))
    text = html.render(replace(context, messages=[hostile], quicklooks=[look]))
    plain = _Page(html.render(_context(_report(["one", "other"]))))
    page = _Page(text)
    assert set(page.tags) == set(plain.tags)
    assert page.tags.count("img") == 1
    assert sum(hostile in word for word in page.words) > 12
    if "<" in hostile:
        assert hostile not in text


def test_text_inside_charts_is_text() -> None:
    drawn = figures.loss_figure({SCRIPT: [1.0, 0.1], MATHS: [1.0, 0.2], "_x": [1.0, 0.3]}, label=SCRIPT)
    page = _Page(drawn)
    assert "<script" not in drawn
    assert "script" not in page.tags
    assert {SCRIPT, MATHS, "_x"} <= set(page.words)


def test_a_large_report_is_small_and_quick() -> None:
    report = _report([f"band {i}" for i in range(13)], 425, sparse=False)
    noise = np.random.default_rng(0).normal(size=(1500, 1400, 3))
    looks = [html.Quicklook(f"picture {i}", "", noise) for i in range(3)]
    start = time.process_time()
    text = html.render(replace(_context(report), quicklooks=looks))
    assert time.process_time() - start < 10
    assert len(text.encode()) < 5_000_000


def test_the_same_input_gives_the_same_text() -> None:
    first = html.render(_context(_report()))
    before = dict(rcParams)
    rcParams["font.size"] = 33
    try:
        assert html.render(_context(_report())) == first
        assert rcParams["font.size"] == 33
    finally:
        rcParams["font.size"] = before["font.size"]
    assert dict(rcParams) == before
    assert not re.search(r"\d{4}-\d{2}-\d{2}", re.sub('base64,[^"]*', "", first))


def test_absent_values() -> None:
    report = _report(wavelengths=False)
    for row in report.weights:
        row.ci_low = row.ci_high = row.fwhm_nm = None
    report.convergence = Convergence(loss=float("nan"), optimum=None, relative_gap=None, steps=0)
    report.bands_dropped = []
    report.pixels = PixelCount(used=0, invalid=0, by_reason={})
    report.scores.train = {}
    context = replace(_context(report), quicklooks=[], history={}, messages=[], verdict=[])
    page = _Page(html.render(context))
    words = " ".join(page.words)
    for text in ("not convex", "No pictures were made", "No steps were needed", "No band was dropped", "band number"):
        assert text in words
    assert "Wavelength (nm)" not in words
    assert "95" not in " ".join(w for w in page.words if "Effective weight" in w)
    _Page(html.render(replace(context, report=report.model_copy(update={"weights": []}))))
    _Page(html.render(replace(context, report=report.model_copy(update={"weights": [], "outputs": []}))))


@pytest.mark.parametrize("bands", [1, 2, 5])
@pytest.mark.parametrize("value", [0.0, 0.5, float("nan")])
def test_charts_of_few_or_empty_weights(bands: int, value: float) -> None:
    rows = [_weight("red", i, value, 500.0 + i) for i in range(1, bands + 1)]
    assert figures.weights_figure(rows).startswith("<svg")


@pytest.mark.parametrize("values", [[], [0.0], [float("nan")] * 3, [1.0], [0.5, 0.5], [1.0, 0.999], [1e-12, 1e3]])
def test_loss_charts_of_odd_histories(values: list[float]) -> None:
    drawn = figures.loss_figure({"red": values})
    assert drawn.startswith("<svg")
    assert drawn.endswith("</svg>")


def test_lines_break_at_gaps_and_dropped_bands() -> None:
    x = np.array([400.0, 405, 410, 415, 440, 445, 450, 455, 460])
    assert figures.segments(x, np.array([])) == [slice(0, 4), slice(4, 9)]
    assert figures.segments(x, np.array([447.0])) == [slice(0, 4), slice(4, 6), slice(6, 9)]
    assert figures.segments(x[:1], np.array([])) == [slice(0, 1)]
    assert figures.segments(np.array([5.0, 5.0]), np.array([])) == [slice(0, 2)]


def test_order_of_rows_does_not_change_a_chart() -> None:
    rows = [r for r in _report(sparse=False).weights if r.output == "red"]
    assert figures.weights_figure(rows[::-1]) == figures.weights_figure(rows)


def test_weight_in_a_small_part_of_the_axis_gets_a_panel_of_its_own() -> None:
    sparse = figures.weights_figure([r for r in _report().weights if r.output == "red"])
    dense = figures.weights_figure([r for r in _report(sparse=False).weights if r.output == "red"])
    assert "where the weight is" in sparse
    assert "where the weight is" not in dense


def test_many_scenes_are_lines_with_a_short_legend_and_lone_bands_keep_their_interval() -> None:
    rows = [_weight("red", b, 0.1 * b, 500.0 + b, scene=f"scene {s}") for s in range(20) for b in (*range(1, 9), 90)]
    words = _Page(figures.weights_figure(rows)).words
    assert "scene 14" in words
    assert "scene 15" not in words
    assert "and 5 more" in words


def test_dropped_bands_of_other_sources_are_not_shaded() -> None:
    report = _report(sparse=False)
    rows = report.weights[:57]
    other = [d.model_copy(update={"source": "elsewhere"}) for d in report.bands_dropped]
    assert svg.SHADE in figures.weights_figure(rows, report.bands_dropped)
    assert figures.weights_figure(rows, other) == figures.weights_figure(rows)


def test_pictures_are_stretched_and_nodata_is_transparent() -> None:
    array = np.linspace(0.0, 1.0, 10_000).reshape(100, 100)
    array[0, 0] = np.nan
    array[0, 1] = np.inf
    made = pictures.picture(array)
    pixels = image.imread(io.BytesIO(made.png))
    assert made.limits[0] == pytest.approx((0.02, 0.98), abs=1e-3)
    assert pixels.shape == (100, 100, 4)
    assert (pixels[0, :2, 3] == 0).all()
    assert pixels[..., 3].sum() == 9998
    assert pixels[0, 2, 0] == 0
    assert pixels[-1, -1, 0] == 1
    assert pixels[50, 0, 0] == pytest.approx((array[50, 0] - 0.02) / 0.96, abs=0.005)


def test_pictures_without_values_without_contrast_and_too_large() -> None:
    assert pictures.picture(np.full((3, 4), np.nan)).limits == ()
    flat = image.imread(io.BytesIO(pictures.picture(np.full((3, 4, 3), 7.0)).png))
    assert flat[0, 0, :3] == pytest.approx(0.5, abs=0.01)
    large = pictures.picture(np.zeros((1000, 300)), max_side=100)
    assert (large.height, large.width) == (100, 30)
    shared = pictures.picture(np.ones((2, 2)), ((0.0, 4.0),))
    assert image.imread(io.BytesIO(shared.png))[0, 0, 0] == pytest.approx(0.25, abs=0.01)


@pytest.mark.parametrize("shape", [(3,), (2, 2, 2), (0, 4), (1, 2, 3, 4)])
def test_a_picture_of_a_wrong_shape_is_an_error(shape: tuple[int, ...]) -> None:
    with pytest.raises(MismatchError, match=re.escape(str(shape))):
        pictures.picture(np.zeros(shape))


def test_limits_must_fit_the_channels() -> None:
    with pytest.raises(MismatchError, match="limits"):
        pictures.picture(np.zeros((2, 2, 3)), ((0.0, 1.0),))


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (-0.5, "−0.5000"), (12.3456, "12.35"), (9999.96, "10\u202f000"), (2.5e-5, "2.500×10⁻⁵"), (None, "–")],
)
def test_numbers_are_short(value: float | None, text: str) -> None:
    assert numbers.number(value) == text
    assert numbers.number(float("nan")) == numbers.number(float("inf")) == "–"
