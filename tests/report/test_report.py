"""The report: files for programs, charts, pictures, and the page that holds them."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import re
import time
from collections.abc import Sequence
from html import unescape
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib import image, rcParams
from pydantic import ValidationError

from bandfuse.errors import MismatchError
from bandfuse.report import csv_json as tables
from bandfuse.report import figures, html, maps, numbers, overview, pictures, svg
from bandfuse.report.choice import drawn_scenes
from bandfuse.report.page_data import BandNoise, BlockErrors, Density, Page
from bandfuse.results.base import PixelCount, PlaceRow
from bandfuse.results.training import (
    Convergence,
    DroppedBand,
    InputFile,
    OutputRow,
    ScoreTable,
    Seconds,
    TrainReport,
    WeightRow,
)

SCRIPT = "<script>alert(1)</script>"
MATHS = '$x$ & "q"'


def _weight(
    output: str, band: int, value: float, wavelength: float | None, **other: object
) -> WeightRow:
    row = {
        "output": output,
        "scene": "",
        "band": band,
        "source": "cube",
        "source_band": band,
        "name": f"b{band}",
    }
    values = {
        "wavelength_nm": wavelength,
        "fwhm_nm": 5.0,
        "weight": value,
        "effective_weight": 1.1 * value,
    }
    interval = {"ci_low": 1.1 * value - 0.01, "ci_high": 1.1 * value + 0.01}
    return WeightRow.model_validate({**row, **values, **interval, **other})


def _report(
    outputs: Sequence[str] = ("blue", "green", "red"),
    bands: int = 60,
    *,
    wavelengths: bool = True,
    sparse: bool = True,
) -> TrainReport:
    """A report of a fit of K outputs to B bands, of which bands 20 to 22 are dropped."""
    nm = np.linspace(400.0, 1000.0, bands)
    shape = [np.exp(-0.5 * ((nm - c) / 15.0) ** 2) for c in np.linspace(450, 800, len(outputs))]
    kept = [b for b in range(1, bands + 1) if b not in (20, 21, 22)]
    rows = [
        _weight(
            name,
            b,
            float(w[b - 1]) if w[b - 1] > 0.01 or not sparse else 0.0,
            nm[b - 1] if wavelengths else None,
        )
        for name, w in zip(outputs, shape, strict=True)
        for b in kept
    ]
    return TrainReport(
        outputs=[
            OutputRow(name=n, gain=1.1, offset=-0.003, constraint="free", active_bands=9)
            for n in outputs
        ],
        weights=rows,
        scores=ScoreTable(
            train={n: {"r2": 0.98, "rmse": 0.0042, "cc": 0.99, "psnr": None} for n in outputs}
        ),
        convergence=Convergence(loss=1.25e-4, optimum=1.24e-4, relative_gap=3e-7, steps=50),
        pixels=PixelCount(used=9000, invalid=1000, by_reason={"target is nodata": 1000}),
        bands_dropped=[
            DroppedBand(
                band=b,
                source="cube",
                name=f"b{b}",
                wavelength_nm=nm[b - 1],
                reason="dead: constant",
            )
            for b in (20, 21, 22)
        ],
        device={"fit": PlaceRow(device="cpu", reason="there is no GPU")},
        seconds=Seconds(read=1.5, fit=0.2, write=0.1),
        versions={"bandfuse": "0.1.0", "numpy": "2"},
        inputs=[
            InputFile(
                path="in/cube.tif",
                size=12_345_678,
                sha256="ab" * 32,
                shape=(bands, 100, 100),
                crs=None,
            )
        ],
        seed=7,
    )


def _scene() -> np.ndarray:
    scene = np.random.default_rng(1).normal(0.2, 0.05, (50, 40, 3))
    scene[:5] = np.nan
    return scene


def _densities(names: Sequence[str]) -> list[Density]:
    counts = np.random.default_rng(2).poisson(np.eye(48) * 20).tolist()
    return [
        Density(output=n, low=0.0, high=1.0, counts=counts, pixels=sum(map(sum, counts)) + 3)
        for n in names
    ]


def _block_errors(names: Sequence[str], scene: str = "cube") -> BlockErrors:
    errors = {n: [None, *(1e-3 * (i + k) for i in range(5))] for k, n in enumerate(names, 1)}
    return BlockErrors(
        scene=scene, row_edges=[0, 50, 100, 150], col_edges=[0, 60, 120], errors=errors
    )


def _data(report: TrainReport) -> Page:
    scene, names = _scene(), [output.name for output in report.outputs]
    looks = [
        html.Quicklook("Scene", "Bands 30, 20, 10.", scene),
        html.Quicklook("Fused", "", scene[:, :, 0]),
        html.Quicklook("Target", "", scene[:, :, 1]),
    ]
    return Page(
        title="cube to target",
        command="bandfuse train in/cube.tif -o run",
        equation="y = gain · (W x) + offset",
        history={name: (0.02 + np.exp(-np.arange(50) / 7)).tolist() for name in names},
        shots=html.shots(looks),
        densities=_densities(names),
        sampled="held out",
        blocks=[_block_errors(names)] if names else [],
        noise=[
            BandNoise(band=b, wavelength_nm=400.0 + b, snr_db=20 + 0.1 * b) for b in range(1, 60)
        ],
        messages=["3 bands were dropped."],
        verdict=["The fit explains 98 % of the target.", "It is at its optimum."],
    )


def _render(report: TrainReport, **changes: object) -> str:
    return html.render(report, _data(report).model_copy(update=changes))


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
        self.addresses += [
            value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "data")
        ]

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
    rows = [
        _weight("red", i, float(v), 400 + v / 3, name=names[i % 7])
        for i, v in enumerate(rng.normal(size=40), 1)
    ]
    rows.append(_weight("red", 41, 1e-300, None, fwhm_nm=None, ci_low=None, ci_high=None))
    text = tables.write_csv(rows)
    header, *read = list(csv.reader(io.StringIO(text, newline="")))
    assert header == list(WeightRow.model_fields)
    back = [
        {k: (None if v == "" and k != "scene" else v) for k, v in zip(header, r, strict=True)}
        for r in read
    ]
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


@pytest.mark.parametrize("count", [0, 1, 3, 4, 7])
def test_json_in_parts_is_the_whole(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part holds no more than some weights, and all parts are what pydantic writes at once."""
    monkeypatch.setattr(tables, "ROWS", 3)
    rows = [_weight("red", i, 0.1 * i, None, name='\n "weights": []') for i in range(count)]
    report = _report().model_copy(update={"weights": rows})
    parts = list(tables.json_parts(report))
    assert "".join(parts) == report.model_dump_json(indent=1) + "\n"
    assert max(part.count('"source_band"') for part in parts) <= 3
    assert report.weights == rows


def test_a_chart_draws_some_of_many_scenes() -> None:
    def rows(count: int) -> list[WeightRow]:
        names = [f"s{i:03d}" for i in range(count)]
        return [
            _weight("red", band, 0.1, 400 + band).model_copy(update={"scene": name})
            for band in (1, 2)
            for name in names
        ]

    assert drawn_scenes(rows(16)) == rows(16)
    some = list(dict.fromkeys(row.scene for row in drawn_scenes(rows(300))))
    assert len(some) == 16
    assert (some[0], some[-1]) == ("s000", "s299")
    text = _render(_report().model_copy(update={"weights": rows(300)}))
    assert "16 of 300 scenes are drawn; weights.csv has all." in text
    assert "s001: band" not in text


def test_every_section_is_there_in_order_and_ids_are_unique() -> None:
    page = _Page(_render(_report()))
    wanted = [name for name, _ in html.SECTIONS]
    assert [name for name in page.ids if name in wanted] == wanted
    assert len(set(page.ids)) == len(page.ids)
    assert page.tags.count("svg") == 3 + 6
    for name in ("h1", "caption", "figcaption", "details", "pre"):
        assert name in page.tags


def test_the_numbers_of_the_report_are_on_the_page() -> None:
    words = " ".join(_Page(_render(_report())).words)
    for text in (
        "0.9800",
        "0.004200",
        "0.0001240",
        "3.000×10⁻⁷",
        "ab" * 32,
        "dead: constant",
        "target is nodata",
    ):
        assert text in words
    for text in (
        "20 – 22",
        "bandfuse train in/cube.tif -o run",
        "psnr peak = the target's maximum",
    ):
        assert text in words


def test_nothing_is_fetched_and_only_the_own_script_runs() -> None:
    text = _render(_report())
    page = _Page(text)
    assert page.addresses
    assert all(a.startswith(("#", "data:image/png;base64,")) for a in page.addresses)
    bare = re.sub(r'xmlns(:\w+)?="[^"]*"', "", text)
    assert not re.search(r"https?://|@import|url\((?!#)|<link|\son\w+=", bare)
    (script,) = re.findall(r"<script>(.*?)</script>", text, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert page.tags.count("script") == 1
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    kept = (
        "default-src 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "img-src data:",
        "style-src 'unsafe-inline'",
    )
    assert set(unescape(policy).split("; ")) == {*kept, f"script-src 'sha256-{digest}'"}
    assert {a[1:] for a in page.addresses if a.startswith("#")} <= set(page.ids)


HOSTILE = [SCRIPT, MATHS, '"><img src=x onerror=alert(1)>', "_hidden", "日本 $", "a\nb </svg>"]


@pytest.mark.one_in(2)
@pytest.mark.parametrize("hostile", HOSTILE)
def test_names_are_shown_literally_and_never_as_markup(hostile: str) -> None:
    report = _report([hostile, "other"])
    for row in report.weights:
        row.name, row.source, row.scene = hostile, row.source if row.band < 30 else hostile, hostile
    report.bands_dropped[0] = report.bands_dropped[0].model_copy(
        update={"name": hostile, "reason": hostile}
    )
    report.inputs[0].path = report.outputs[0].constraint = hostile
    report.device = {hostile: PlaceRow(device=hostile, card=hostile, reason=hostile)}
    report.versions[hostile] = report.inputs[0].crs = hostile
    report.pixels.by_reason = {hostile: 3}
    report.scores.train[hostile][hostile] = 1.0
    look = html.Quicklook(hostile, hostile, np.eye(4))
    changes: dict[str, object] = dict.fromkeys(("title", "command", "equation", "sampled"), hostile)
    changes |= {
        "verdict": [hostile] * 2,
        "messages": [hostile],
        "shots": html.shots([look]),
        "noise": [],
    }
    text = _render(report, **changes, blocks=[_block_errors([hostile], hostile)])
    plain = _Page(_render(_report(["one", "other"])))
    page = _Page(text)
    compared = {"select", "option", "label", "input"}
    assert set(page.tags) == set(plain.tags) - compared
    assert page.tags.count("script") == 1
    assert page.tags.count("img") == 1
    assert sum(hostile in word for word in page.words) > 12
    if "<" in hostile:
        assert hostile not in text


def _marks(drawn: str) -> dict[str, list[float]]:
    (text,) = re.findall(r"data-marks='([^']*)'", drawn)
    found: dict[str, list[float]] = json.loads(unescape(text))
    return found


def test_values_lie_where_the_chart_draws_them() -> None:
    """The marks of a chart are the corners of its drawn line."""
    rows = [
        _weight("red", b, 0.1 * b * (-1) ** b, 400.0 + 7 * b, ci_low=None, ci_high=None)
        for b in range(1, 40)
    ]
    drawn = figures.weights_figure(rows)
    marks = _marks(drawn)
    paths = re.findall(r'd="(M [^"]*)"', drawn)
    line = max(
        (np.array(re.findall(r"-?[\d.]+ -?[\d.]+", p)) for p in paths if " z" not in p), key=len
    )
    corners = np.array([[float(v) for v in corner.split()] for corner in line])
    np.testing.assert_allclose(np.stack([marks["x"], marks["y"]], axis=1), corners, atol=0.051)
    assert marks["text"][2] == "band 3 (b3), 421.0 nm: −0.3300"


def test_the_target_is_drawn_where_it_lies() -> None:
    """A dotted line at its centre and a strip as wide as its FWHM, on the scale of the marks."""
    rows = [_weight("red", b, 0.1 * b, 400.0 + 7 * b, ci_low=None, ci_high=None) for b in range(40)]
    plain, drawn = (figures.weights_figure(rows, target=t) for t in (None, (540.0, 30.0)))
    marks = _marks(drawn)
    slope, level = np.polyfit([400.0 + 7 * b for b in range(40)], marks["x"], 1)
    assert len(_vertical(plain)) < len(_vertical(drawn))
    assert min(abs(x - (slope * 540 + level)) for x in _vertical(drawn)) < 0.6
    ends = [slope * nm + level for nm in (525.0, 555.0)]
    strips = [box for box in _boxes(drawn) if box not in _boxes(plain)]
    assert any(np.allclose(box, ends, atol=0.6) for box in strips)
    assert not [
        box
        for box in _boxes(figures.weights_figure(rows, target=(540.0, None)))
        if box not in _boxes(plain)
    ]


def _paths(drawn: str) -> list[np.ndarray]:
    found = re.findall(r'd="(M [^"]*)"', drawn)
    return [np.array(re.findall(r"-?[\d.]+ -?[\d.]+", p)) for p in found]


def _corners(path: np.ndarray) -> np.ndarray:
    return np.array([[float(v) for v in corner.split()] for corner in path])


def _vertical(drawn: str) -> list[float]:
    """Places of upright lines."""
    lines = [_corners(p) for p in _paths(drawn) if len(p) == 2]
    return [float(line[0, 0]) for line in lines if line[0, 0] == line[1, 0]]


def _boxes(drawn: str) -> list[tuple[float, float]]:
    """Left and right ends of rectangles."""
    boxes = [_corners(p) for p in _paths(drawn) if len(p) in (4, 5)]
    return [(float(b[:, 0].min()), float(b[:, 0].max())) for b in boxes]


def test_colours_with_values_have_a_bar() -> None:
    densities = [Density(output="a", low=0, high=1, counts=[[0, 900], [2, 1]], pixels=903)]
    words = set(_Page(maps.density_figure(densities)).words)
    assert {"pixels", "1", "10", "100", "900"} <= words
    scene = _block_errors(["a"])
    assert {"0", "0.50"} <= set(_Page(maps.blocks_figure([scene])).words)
    drawn = maps.blocks_figure([scene])
    assert (
        drawn.count("<image") == maps.blocks_figure([_block_errors(["a", "b"])]).count("<image") - 1
    )
    look = html.Quicklook("Residual", "", np.eye(4), ((-0.5, 0.5),), "ends")
    page = _Page(_render(_report(), shots=html.shots([look])))
    assert {"−0.500", "0", "0.500"} <= set(page.words)
    colour = html.Quicklook("Scene", "", np.random.default_rng(0).normal(size=(4, 4, 3)))
    assert html.shots([colour])[0].ends is None


def test_numbers_below_zero_have_a_true_minus_sign() -> None:
    report = _report()
    for row in report.weights:
        row.effective_weight, row.weight = -row.effective_weight, -row.weight
    report.scores.holdout = {n: {"r2": -0.15, "rmse": 0.1} for n in ("blue", "green", "red")}
    text = _render(report, messages=["moved by -0.5,-1.25 pixels"], verdict=[])
    script = re.compile("<script>.*?</script>|<style>.*?</style>", re.DOTALL)
    words = _Page(script.sub("", text)).words
    wrong = [w for w in words if re.search(r"(?<![\w.\-])-\d", w)]
    assert wrong == []
    assert any("−0.5,−1.25" in w for w in words)
    assert "−0.15000" in words
    assert all("-" not in re.sub(r"[a-z]-[a-z]", "", t) for t in _marks_of(text))


def _marks_of(text: str) -> list[str]:
    every = re.findall(r"data-marks='([^']*)'", text)
    return [str(t) for marks in every for t in json.loads(unescape(marks))["text"]]


def test_density_marks_say_how_many_pixels_lie_where() -> None:
    counts = np.zeros((4, 4), dtype=int)
    counts[3, 0] = 7
    drawn = maps.density_figure(
        [Density(output="red", low=0, high=4, counts=counts.tolist(), pixels=7)]
    )
    marks = _marks(drawn)
    assert marks["text"] == ["target 3.50, fused 0.500: 7 pixels"]
    box = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', drawn)
    assert box
    assert float(box[1]) / 8 < marks["x"][0] < float(box[1]) / 2
    assert marks["y"][0] > float(box[2]) / 2


def test_certainty_is_what_the_interval_says() -> None:
    cases = [
        (0.5, 0.4, 0.6, "sure"),
        (-0.5, -0.6, -0.4, "sure"),
        (0.1, -0.1, 0.2, "unsure"),
        (0.0, -0.1, 0.1, "zero"),
    ]
    for value, low, high, kind in cases:
        assert maps.certainty(_weight("red", 1, value, 500.0, ci_low=low, ci_high=high)) == kind
    assert maps.certainty(_weight("red", 1, 0.5, 500.0, ci_low=None)) == ""
    assert maps.certainty_figure({}, []).startswith("<svg")


def test_block_maps_show_every_block_and_the_worst_output() -> None:
    scene = _block_errors(["a", "b"])
    words = _Page(maps.blocks_figure([scene])).words
    assert "b, with the largest error" in words
    assert words.count("–") == 2
    assert {"0.15", "0.55", "0.60"} <= set(words)
    assert maps.mean_errors(scene)[1:] == pytest.approx([0.0015, 0.0025, 0.0035, 0.0045, 0.0055])
    many = _Page(maps.blocks_figure([_block_errors(["a"], f"scene {i}") for i in range(9)])).words
    assert "scene 5" in many
    assert "scene 6" not in many


def test_files_of_figures_stand_alone_and_stay_in_their_folder() -> None:
    report = _report([SCRIPT])
    data = _data(report)
    data.shots[0].title = "../../Scene"
    files = html.figure_files(report, data)
    charts = {"certainty", "fused_against_target", "error_by_block", "noise", "loss", "weights_1"}
    assert set(files) == {f"{name}.svg" for name in charts} | {
        "scene.png",
        "fused.png",
        "target.png",
    }
    for name, content in files.items():
        if name.endswith(".svg"):
            assert ElementTree.fromstring(content).tag.endswith("svg")
            assert b"var(" not in content
        else:
            assert image.imread(io.BytesIO(content)).shape[2] == 4


def test_pictures_that_are_none_are_refused() -> None:
    with pytest.raises(ValidationError):
        Page.model_validate(
            {
                **_data(_report()).model_dump(),
                "shots": [{"title": "x", "caption": "", "png": 'a"b', "width": 1, "height": 1}],
            }
        )


def test_text_inside_charts_is_text() -> None:
    drawn = figures.loss_figure(
        {SCRIPT: [1.0, 0.1], MATHS: [1.0, 0.2], "_x": [1.0, 0.3]}, label=SCRIPT
    )
    page = _Page(drawn)
    assert "<script" not in drawn
    assert "script" not in page.tags
    assert {SCRIPT, MATHS, "_x"} <= set(page.words)


@pytest.mark.thorough
def test_a_large_report_is_small_and_quick() -> None:
    report = _report([f"band {i}" for i in range(13)], 425, sparse=False)
    noise = np.random.default_rng(0).normal(size=(1500, 1400, 3))
    start = time.process_time()
    text = _render(
        report, shots=html.shots([html.Quicklook(f"picture {i}", "", noise) for i in range(4)])
    )
    assert time.process_time() - start < 10
    assert len(text.encode()) < 5_000_000


def test_the_same_input_gives_the_same_text() -> None:
    first = _render(_report())
    before = dict(rcParams)
    rcParams["font.size"] = 33
    try:
        assert _render(_report()) == first
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
    empty: dict[str, object] = {
        k: [] for k in ("shots", "densities", "blocks", "noise", "messages", "verdict")
    }
    page = _Page(_render(report, **empty, history={}))
    words = " ".join(page.words)
    for text in (
        "not convex",
        "No pictures were made",
        "No steps were needed",
        "No band was dropped",
        "band number",
    ):
        assert text in words
    assert "Wavelength (nm)" not in words
    assert "95" not in " ".join(w for w in page.words if "Effective weight" in w)
    _Page(_render(report.model_copy(update={"weights": []}), **empty, history={}))
    _Page(_render(report.model_copy(update={"weights": [], "outputs": []}), **empty, history={}))


@pytest.mark.parametrize("bands", [1, 2, 5])
@pytest.mark.parametrize("value", [0.0, 0.5, float("nan")])
def test_charts_of_few_or_empty_weights(bands: int, value: float) -> None:
    rows = [_weight("red", i, value, 500.0 + i) for i in range(1, bands + 1)]
    assert figures.weights_figure(rows).startswith("<svg")


@pytest.mark.parametrize(
    "values", [[], [0.0], [float("nan")] * 3, [1.0], [0.5, 0.5], [1.0, 0.999], [1e-12, 1e3]]
)
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
    level = [
        r.model_copy(update={"effective_weight": 0.1})
        for r in _report().weights
        if r.output == "red"
    ]
    dense = figures.weights_figure(level)
    assert "where the weight is" in sparse
    assert "where the weight is" not in dense


def test_a_little_weight_far_away_does_not_hide_where_the_weight_is() -> None:
    near = [
        _weight("red", b, 0.2 if 40 <= b < 50 else 1e-5 * (b == 90), 400.0 + 10 * b)
        for b in range(1, 101)
    ]
    assert "where the weight is" in figures.weights_figure(near)
    spread = [
        _weight("red", b, 0.2 if 40 <= b < 42 else 1.9e-3, 400.0 + 10 * b) for b in range(1, 101)
    ]
    assert "where the weight is" not in figures.weights_figure(spread)


@pytest.mark.parametrize(("size", "word"), [(1e-7, "(×10⁻⁷)"), (1e6, "(×10⁶)")])
def test_very_small_and_large_weights_have_their_power_in_the_label(size: float, word: str) -> None:
    rows = [
        _weight("red", b, size * b / 30, 400.0 + b, ci_low=None, ci_high=None) for b in range(1, 31)
    ]
    chart = figures.weights_figure(rows)
    assert f"effective weight {word}" in chart
    assert "1e" not in "".join(_Page(chart).words)


def test_all_outputs_are_in_one_chart_as_lines_or_as_a_picture() -> None:
    rows = {
        f"o{i}": [_weight(f"o{i}", b, float(b == i), 400.0 + b) for b in range(12)]
        for i in range(9)
    }
    few = overview.overview_figure({name: rows[name] for name in ("o0", "o1")})
    assert {"o0", "o1", "weight / largest"} <= set(_Page(few).words)
    many = overview.overview_figure(rows)
    assert {"o0", "o8", "−1", "0", "1"} <= set(_Page(many).words)
    data = re.search(r"data:image/png;base64,([^\"]+)", many)
    assert data
    picture = image.imread(io.BytesIO(base64.b64decode(data[1])))
    middles = picture[np.linspace(0, len(picture) - 1, 9).astype(int), :, 3]
    strongest = [np.flatnonzero(row == row.max()).mean() / len(row) for row in middles]
    assert np.floor(12 * np.array(strongest)).astype(int).tolist() == list(range(9))


def test_what_did_not_move_has_no_loss_chart() -> None:
    still = _data(_report()).model_copy(update={"history": {"a": [-4.0, -4.0]}})
    assert "against step: " not in html.render(_report(), still)


def test_many_scenes_are_lines_with_a_short_legend_and_lone_bands_keep_their_interval() -> None:
    rows = [
        _weight("red", b, 0.1 * b, 500.0 + b, scene=f"scene {s}")
        for s in range(20)
        for b in (*range(1, 9), 90)
    ]
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
    [
        (0, "0"),
        (-0.5, "−0.5000"),
        (12.3456, "12.35"),
        (9999.96, "10\u202f000"),
        (2.5e-5, "2.500×10⁻⁵"),
        (None, "–"),
    ],
)
def test_numbers_are_short(value: float | None, text: str) -> None:
    assert numbers.number(value) == text
    assert numbers.number(float("nan")) == numbers.number(float("inf")) == "–"


@pytest.mark.parametrize("wild", [1e308, 1e-308, -1.0, 0.0])
def test_numbers_that_no_axis_can_show_leave_gaps(wild: float) -> None:
    """Also where all are so; warnings are errors here."""
    for points in ([(0.0, 0.5), (1e-9, wild), (1e-8, 0.25)], [(0.0, wild), (1e-9, wild)]):
        assert "<svg" in figures.curve_figure({"a": points, "b": [(0.0, 0.5), (1e-9, 0.4)]})
        assert "<svg" in figures.curve_figure({"a": points})
        losses = [error for _, error in points]
        assert "<svg" in figures.loss_figure({"a": losses, "b": [0.5, 0.1]})
