"""The page of a run: what is counted for it, made again from the run folder, beside other runs, and
in a browser."""

from __future__ import annotations

import base64
import io
import itertools
import json
import math
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from browser import Tab, browser
from helpers import same_bits
from matplotlib import image

from bandfuse.cli.main import main
from bandfuse.config.train import TrainConfig
from bandfuse.report.html import SECTIONS
from bandfuse.report.maps import DARKEST
from bandfuse.report.page_data import BlockErrors, Density, Page
from bandfuse.runs.block_errors import block_errors, densities, held_pairs
from bandfuse.scenes.opening import open_scenes
from bandfuse.solve.scores import Pairs
from bandfuse.tools.train import train
from bandfuse.training.learn import learn
from bandfuse.training.settings.defaults import resolve
from bandfuse.training.trained import Trained

SAMPLE = Path(__file__).parents[2] / "data" / "sample"
CUBE, TARGET = str(SAMPLE / "cube.tif"), str(SAMPLE / "target.tif")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page") / "run"
    train(TrainConfig(scenes=[CUBE], target=[TARGET], output=str(folder), figures=True))
    return folder


def _learned(**changes: object) -> Trained:
    config = resolve(TrainConfig.model_validate({"scenes": [CUBE], "target": [TARGET], **changes}))
    return learn(config, open_scenes(config))


def test_what_is_said_of_many_scenes_stands_once(tmp_path: Path) -> None:
    """On the page, as in the terminal; the result in Python and the data have every message."""
    scenes, targets = [], []
    for number in range(4):
        for names, source in ((scenes, CUBE), (targets, TARGET)):
            names.append(str(tmp_path / f"{Path(source).stem}{number}.tif"))
            shutil.copy(source, names[-1])
    folder = tmp_path / "run"
    config = TrainConfig(scenes=scenes, target=targets, output=str(folder), no_fused=True)
    every = train(config)[1]
    page = json.loads((folder / "report.data.json").read_text())["messages"]
    assert sum("lies on" in text for text in every) == 4
    assert page == every
    shown = re.findall(r"<li>([^<]*lies on[^<]*)</li>", (folder / "report.html").read_text())
    assert [text.count(", ") for text in shown] == [3]


Held = Mapping[tuple[int, int], Pairs]


def _held(learned: Trained) -> dict[tuple[int, int], Pairs]:
    config = learned.config
    return held_pairs(
        learned.survey,
        learned.scene_names,
        learned.trust,
        folds=config.folds,
        per_scene=config.per_scene,
    )


def _errors(learned: Trained, held: Held) -> list[BlockErrors]:
    return block_errors(learned.survey, [scene.key for scene in learned.scenes], held)


def _densities(learned: Trained, held: Held) -> tuple[list[Density], str]:
    return densities(learned.survey, learned.scene_names, learned.model, held)


def _call(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr("sys.argv", ["bandfuse", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        main()
    return int(stop.value.code or 0)


# --------------------------------------------------------------------------------------------------


@pytest.mark.one_in(2)
@pytest.mark.parametrize(
    "changes",
    [
        {"constraint": "free", "ridge": 0.0},
        {
            "constraint": "free",
            "ridge": 0.0,
            "optimizer": "adam",
            "steps": 4,
            "window": (0, 0, 32, 60),
        },
    ],
    ids=["exact", "trained again"],
)
def test_block_errors_are_those_of_the_pixels_of_the_block(changes: dict[str, object]) -> None:
    """Against the images: fused by the weights of the fold that left the block out."""
    learned = _learned(**changes)
    held = _held(learned)
    (scene,) = _errors(learned, held)
    with rasterio.open(CUBE) as cube, rasterio.open(TARGET) as target:
        x = cube.read(masked=True).astype(np.float64).filled(np.nan)
        x = x * np.array(cube.scales)[:, None, None] + np.array(cube.offsets)[:, None, None]
        t = target.read(masked=True).astype(np.float64).filled(np.nan)
    used = list(learned.survey.design.used)
    place = next(p for p in sorted(held) if held[p].moments.count > 5)
    fold = _fold_of(learned, place)
    if learned.trust.lines:
        matrix, offset = learned.trust.lines[fold]
    else:
        fusion = learned.trust.models[fold].common
        matrix, offset = fusion.matrix[:, used], fusion.offset
    row, col = divmod(place[1], len(scene.col_edges) - 1)
    here = (
        slice(None),
        slice(*scene.row_edges[row : row + 2]),
        slice(*scene.col_edges[col : col + 2]),
    )
    y = np.tensordot(matrix, x[used][here], axes=1) + offset[:, None, None]
    ok = np.isfinite(y).all(axis=0) & np.isfinite(t[here]).all(axis=0)
    assert ok.sum() == held[place].moments.count
    every = np.isfinite(x[used]).all(axis=0) & np.isfinite(t).all(axis=0)
    if "window" in changes:
        every[32:] = False
    for k, name in enumerate(learned.survey.design.names):
        expected = ((y[k] - t[here][k])[ok] ** 2).mean() / t[k][every].var()
        assert scene.errors[name][place[1]] == pytest.approx(expected, rel=1e-6)


def _fold_of(learned: Trained, place: tuple[int, int]) -> int:
    """Blocks are cut, in their order, into five runs of nearly equal numbers of pixels."""
    parts = learned.survey.parts()
    total, seen = sum(p.moments.count for p in parts), 0
    for part in parts:
        middle = seen + part.moments.count / 2
        if (part.scene, part.number) == place:
            return int(middle * 5 / total)
        seen += part.moments.count
    raise AssertionError(place)


def test_errors_of_blocks_add_up_to_the_hold_out_score() -> None:
    learned = _learned()
    held = _held(learned)
    (scene,) = _errors(learned, held)
    count = np.array(
        [held[0, b].moments.count if (0, b) in held else 0 for b in range(len(scene.errors["red"]))]
    )
    assert learned.trust.holdout is not None
    for name, score in zip(learned.survey.design.names, learned.trust.holdout.outputs, strict=True):
        error = np.array([0.0 if e is None else e for e in scene.errors[name]])
        assert score["r2"] is not None
        assert 1 - (error * count).sum() / count.sum() == pytest.approx(score["r2"], abs=1e-12)


def test_densities_count_the_sample() -> None:
    learned = _learned()
    held = _held(learned)
    counted, which = _densities(learned, held)
    assert which == "held out"
    sample = np.concatenate([p.sample for p in held.values()])
    k = len(learned.survey.design.names)
    for i, density in enumerate(counted):
        assert density.pixels == len(sample)
        y, t = sample[:, i], sample[:, k + i]
        inside = [(density.low <= v) & (v <= density.high) for v in (y, t)]
        assert np.sum(density.counts) == (inside[0] & inside[1]).sum() > 0.98 * len(sample)
        step = (density.high - density.low) / len(density.counts)
        bright = inside[0] & inside[1] & (t >= density.low + step * (len(density.counts) // 2))
        assert np.sum(density.counts[len(density.counts) // 2 :]) == pytest.approx(
            bright.sum(), abs=1
        )
    assert _densities(_learned(folds=0), {})[1] == "trained on"


def test_without_a_target_or_with_random_parts_there_is_no_map() -> None:
    random = _learned(split="random")
    held = _held(random)
    assert held
    assert _errors(random, held) == []
    cube = resolve(
        TrainConfig(
            scenes=[CUBE], groups="equal:3", window=(0, 0, 24, 24), steps=3, starts=1, folds=0
        )
    )
    learned = learn(cube, open_scenes(cube))
    assert _held(learned) == {}
    assert _densities(learned, {}) == ([], "")


# ------------------------------------------------------------------------------------------- made a


def test_the_page_is_made_again_to_the_byte(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = shutil.copytree(run, tmp_path / "elsewhere")
    assert (
        _call(
            monkeypatch,
            "report",
            moved,
            "-o",
            tmp_path / "again.html",
            "--figures",
            tmp_path / "figures",
        )
        == 0
    )
    same_bits((tmp_path / "again.html").read_bytes(), (run / "report.html").read_bytes())
    files = sorted(p.name for p in (run / "figures").iterdir())
    assert "residual.png" in files
    assert sorted(p.name for p in (tmp_path / "figures").iterdir()) == files
    assert all(
        (tmp_path / "figures" / f).read_bytes() == (run / "figures" / f).read_bytes() for f in files
    )
    assert _call(monkeypatch, "report", moved, "-o", tmp_path / "again.html") == 2


def test_the_residual_is_fused_minus_target(run: Path) -> None:
    shots = {
        s.title: s for s in Page.model_validate_json((run / "report.data.json").read_text()).shots
    }
    assert list(shots) == ["Scene", "Fused", "Target", "Residual"]
    with rasterio.open(run / "fused.tif") as fused, rasterio.open(TARGET) as target:
        difference = (fused.read() - target.read())[:3]
    shown = image.imread(io.BytesIO(base64.b64decode(shots["Residual"].png)))
    finite = np.isfinite(difference).all(axis=0)
    assert (shown[..., 3] == finite).all()
    most = np.percentile(np.abs(difference[:, finite]), 98)
    grey = np.clip(0.5 + difference[2::-1] / (2 * most), 0, 1)
    np.testing.assert_allclose(shown[finite][:, :3], np.moveaxis(grey, 0, -1)[finite], atol=0.005)


def test_a_run_without_a_page_gets_one_that_says_what_lacks(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    shutil.copy(run / "report.json", bare)
    assert _call(monkeypatch, "report", bare, "-o", tmp_path / "bare.html", "--json") == 0
    assert "--no-report" in json.loads(capsys.readouterr().out)["messages"][0]
    assert "the run kept no pictures" in (tmp_path / "bare.html").read_text()


@pytest.mark.parametrize("damage", ["missing", "cut", "other", "picture"])
def test_damaged_runs_are_refused(
    run: Path,
    tmp_path: Path,
    damage: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    broken = shutil.copytree(run, tmp_path / "broken")
    name = "report.data.json" if damage == "picture" else "report.json"
    text = (broken / name).read_text()
    if damage == "missing":
        (broken / name).unlink()
    else:
        new = {
            "cut": text[: len(text) // 2],
            "other": '{"a": 1}',
            "picture": text.replace('"png":"', '"png":"<'),
        }
        (broken / name).write_text(new[damage])
    assert _call(monkeypatch, "report", broken, "-o", tmp_path / "page.html") == 2
    message = capsys.readouterr().err
    assert name in message
    assert len(message) < 600
    assert not (tmp_path / "page.html").exists()


def test_runs_side_by_side(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "free"
    train(
        TrainConfig(
            scenes=[CUBE], target=[TARGET], output=str(other), constraint="free", no_report=True
        )
    )
    assert not (other / "report.data.json").exists()
    assert _call(monkeypatch, "compare", run, other, "-o", tmp_path / "two.html", "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert [r["run"] for r in result["runs"]] == ["run", "free"]
    assert result["messages"] == []
    for compared, folder in zip(result["runs"], (run, other), strict=True):
        assert (
            compared["holdout"]
            == json.loads((folder / "report.json").read_text())["scores"]["holdout"]
        )
    page = (tmp_path / "two.html").read_text()
    assert page.count('<svg role="img"') == len(result["runs"][0]["constraints"]) + 1
    assert "R² on pixels that were held out" in page
    assert page.index("<svg") < page.index("<table")
    assert page.index('id="weights"') < page.index('id="scores"')
    _best_is_marked(page, result)
    assert _call(monkeypatch, "compare", run, other) == 0
    assert "r2 on blocks held out" in capsys.readouterr().out
    for wrong in ([run], [run, run], [run, tmp_path]):
        assert _call(monkeypatch, "compare", *wrong) == 2


def _best_is_marked(page: str, result: dict[str, Any]) -> None:
    """Of the RMSE, the least of each row as it is written."""
    table = re.search(r"<span>RMSE on pixels.*?</table>", page, re.DOTALL)
    assert table
    for output, row in zip(
        result["runs"][0]["holdout"], table[0].split("<tbody>")[1].split("<tr>")[1:], strict=True
    ):
        values = [run["holdout"][output]["rmse"] for run in result["runs"]]
        cells = re.findall(r"<td class=\"number( best)?\">", row)
        assert len(cells) == len(values)
        assert cells[int(np.argmin(values))] or not any(cells)


def test_headings_stay_with_what_they_head_on_paper(tab: Tab, run: Path) -> None:
    tab.open(run / "report.html", 700)
    tab.call("Emulation.setEmulatedMedia", media="print")
    style = "[...document.querySelectorAll('{}')].map(e => getComputedStyle(e).{})"
    for what in ("h2", "h3", "caption", "thead"):
        assert set(tab.run(style.format(what, "breakAfter"))) == {"avoid"}
    assert set(tab.run(style.format("caption", "breakInside"))) == {"avoid"}
    small = ".card:has(table):not(:has(figure, tr:nth-child(17)))"
    assert set(tab.run(style.format(small, "breakInside"))) == {"avoid"}
    tab.call("Emulation.setEmulatedMedia", media="")


# --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with browser(tmp_path_factory.mktemp("profile")) as found:
        yield found


SIZES = list(itertools.product((1200, 380), ("light", "dark")))


@pytest.mark.parametrize(("width", "scheme"), SIZES)
def test_the_page_shows_all_its_sections_and_asks_for_nothing(
    tab: Tab, run: Path, width: int, scheme: str
) -> None:
    page = run / "report.html"
    tab.open(page, width, scheme=scheme)
    assert tab.complaints == []
    assert [r for r in tab.requests if not r.startswith("data:")] == [page.as_uri()]
    heights = tab.run("[...document.querySelectorAll('section')].map(s => [s.id, s.offsetHeight])")
    assert [name for name, _ in heights] == [name for name, _ in SECTIONS]
    assert min(height for _, height in heights) > 60
    assert tab.run("document.documentElement.scrollWidth") <= width
    assert tab.run(
        "[...document.images].every(i => i.complete && i.naturalWidth > 0 && i.alt.length > 10)"
    )
    back = tab.run("getComputedStyle(document.body).backgroundColor")
    assert back == {"light": "rgb(244, 246, 248)", "dark": "rgb(18, 22, 28)"}[scheme]


CONTRAST = """(() => {
  const light = (c) => { const v = c.map(x => x / 255)
    .map(x => x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
    return 0.2126 * v[0] + 0.7152 * v[1] + 0.0722 * v[2]; };
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const ground = (e) => { for (; e; e = e.parentElement) {
    const c = rgb(getComputedStyle(e).backgroundColor);
    if (c.length === 3 || c[3] > 0.99) return c; } return [255, 255, 255]; };
  let least = 99;
  const texts = "h1,h2,h3,p,li,a,dt,dd,th,td,caption,figcaption,summary,output,code";
  for (const e of document.querySelectorAll(texts)) {
    const [a, b] = [light(rgb(getComputedStyle(e).color)), light(ground(e))];
    least = Math.min(least, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05));
  }
  return least; })()"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_have_contrast(tab: Tab, run: Path, scheme: str) -> None:
    tab.open(run / "report.html", scheme=scheme)
    assert tab.run(CONTRAST) >= 4.5


CHARTS = CONTRAST.replace(
    '"h1,h2,h3,p,li,a,dt,dd,th,td,caption,figcaption,summary,output,code"', '".chart svg text"'
).replace("getComputedStyle(e).color", "getComputedStyle(e).fill")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_in_charts_have_contrast(tab: Tab, run: Path, scheme: str) -> None:
    """On the card; and numbers on the darkest block of a map, whose tint lies on the card."""
    tab.open(run / "report.html", scheme=scheme)
    assert tab.run(CHARTS) >= 4.5
    names = ("ink", "series-1", "card")
    found = [
        tab.run(f"getComputedStyle(document.documentElement).getPropertyValue('--{n}')")
        for n in names
    ]
    ink, tint, card = (np.array([int(c[i : i + 2], 16) for i in (1, 3, 5)]) / 255 for c in found)
    light = [_luminance(ink), _luminance(DARKEST * tint + (1 - DARKEST) * card)]
    assert (max(light) + 0.05) / (min(light) + 0.05) >= 4.5


def _luminance(rgb: np.ndarray) -> float:
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


OUTSIDE = """[...document.querySelectorAll("body *")]
  .filter(e => !e.closest(".chart, .scroll, nav, [hidden]"))
  .filter(e => e.getBoundingClientRect().right > innerWidth + 0.5)
  .map(e => e.tagName + "." + e.className)"""
CUT = """[...document.querySelectorAll(".chart svg")].flatMap(s => {
  const b = s.getBoundingClientRect();
  return [...s.querySelectorAll("text")].filter(t => { const r = t.getBoundingClientRect();
    return r.left < b.left - 3 || r.right > b.right + 3
      || r.top < b.top - 3 || r.bottom > b.bottom + 3; })
    .map(t => t.textContent); })"""


@pytest.mark.parametrize(("width", "media"), [(1200, ""), (390, ""), (700, "print")])
def test_nothing_is_wider_than_the_window_and_no_words_are_cut(
    tab: Tab, run: Path, width: int, media: str
) -> None:
    """On paper nothing scrolls: what a screen would scroll to has to fit too."""
    tab.open(run / "report.html", width)
    tab.run("document.querySelectorAll('details').forEach(d => { d.open = true })")
    tab.call("Emulation.setEmulatedMedia", media=media)
    assert tab.run("document.documentElement.scrollWidth") <= width
    assert tab.run(OUTSIDE) == []
    assert tab.run(CUT) == []
    heads = (
        "[...document.querySelectorAll('caption span')].every(e => e.getBoundingClientRect().right "
        "<= innerWidth)"
    )
    assert tab.run(heads)
    if media:
        wide = (
            "[...document.querySelectorAll('.chart, .scroll')].filter(e => e.scrollWidth > "
            "e.clientWidth).length"
        )
        assert tab.run(wide) == 0
    tab.call("Emulation.setEmulatedMedia", media="")


def test_a_figure_is_never_cut_by_the_edge_of_a_page(tab: Tab, run: Path) -> None:
    """Whole figures are lower than a sheet, and are kept together."""
    tab.open(run / "report.html", 700)
    tab.call("Emulation.setEmulatedMedia", media="print")
    found = tab.run(
        "[...document.querySelectorAll('figure')].map(f => [f.offsetHeight, "
        "getComputedStyle(f).breakInside])"
    )
    tab.call("Emulation.setEmulatedMedia", media="")
    assert len(found) > 8
    assert max(height for height, _ in found) < 950
    assert {kind for _, kind in found} == {"avoid"}


def test_a_tall_picture_is_compared_on_one_screen(tab: Tab, run: Path) -> None:
    tab.open(run / "report.html", height=600)
    tab.run(
        "document.querySelectorAll('.looks img').forEach(i => { i.width = 31; i.height = 95; });"
        "document.querySelector('.compare select').dispatchEvent(new Event('change'))"
    )
    assert 380 < tab.run("document.querySelector('.stage').offsetHeight") <= 760


def test_the_slider_uncovers_the_picture_below(tab: Tab, run: Path) -> None:
    tab.open(run / "report.html")
    assert tab.run("!document.querySelector('.compare').hidden")
    tab.run("document.querySelector('.compare').scrollIntoView({behavior: 'instant'})")
    box = tab.run(
        "(b => [b.left, b.top, b.width, "
        "b.height])(document.querySelector('.stage').getBoundingClientRect())"
    )
    y = box[1] + box[3] / 2
    for share in (0.25, 0.8):
        tab.mouse(
            "mousePressed", box[0] + share * box[2], y, button="left", buttons=1, clickCount=1
        )
        tab.mouse("mouseReleased", box[0] + share * box[2], y, button="left", clickCount=1)
        assert tab.run("+document.querySelector('.compare input').value") == pytest.approx(
            100 * share, abs=1
        )
        clip = tab.run("getComputedStyle(document.querySelector('.stage .over')).clipPath")
        assert clip.startswith("inset(0")
        assert f"{100 - 100 * share:.0f}%" in clip
    tab.run("document.querySelector('.compare input').focus()")
    before = tab.run("+document.querySelector('.compare input').value")
    tab.key("ArrowRight")
    assert tab.run("+document.querySelector('.compare input').value") == before + 1
    tab.run(
        "(s => { s.selectedIndex = 3; s.dispatchEvent(new Event('change')) })"
        "(document.querySelector('.compare select'))"
    )
    assert tab.run("document.querySelector('.stage .over').alt").startswith("Picture of Residual")
    assert tab.complaints == []


def test_values_are_read_by_pointer_and_by_keys(tab: Tab, run: Path) -> None:
    report = json.loads((run / "report.json").read_text())
    tab.open(run / "report.html")
    tab.run("document.querySelector('#output-1').scrollIntoView({behavior: 'instant'})")
    marks = tab.run("JSON.parse(document.querySelector('#output-1 svg').dataset.marks)")
    at = int(np.argmin(marks["y"]))
    x, y = tab.run(
        f"(p => [p.x, p.y])(new DOMPoint({marks['x'][at]}, {marks['y'][at] + 20})"
        ".matrixTransform(document.querySelector('#output-1 svg').getScreenCTM()))"
    )
    tab.mouse("mouseMoved", x, y)
    shown = "document.querySelector('#output-1 .readout').textContent"
    assert tab.run(shown) == marks["text"][at]
    name = report["outputs"][0]["name"]
    top = max(
        (w for w in report["weights"] if w["output"] == name), key=lambda w: w["effective_weight"]
    )
    assert f"band {top['band']} ({top['name']})" in tab.run(shown)
    assert f"{top['effective_weight']:.4g}" in tab.run(shown)
    tab.run("document.querySelector('#output-1 .chart').focus()")
    tab.key("ArrowRight")
    assert tab.run(shown) == marks["text"][at + 1]
    tab.key("Home")
    assert tab.run(shown) == marks["text"][0]
    tab.key("Escape")
    assert "arrow keys" in tab.run(shown)
    assert tab.complaints == []


def test_without_a_script_everything_can_be_read(tab: Tab, run: Path) -> None:
    tab.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        tab.open(run / "report.html")
        size = tab.call("Page.getLayoutMetrics")["cssContentSize"]
        tab.call("Emulation.setScriptExecutionDisabled", value=False)
        assert tab.run("document.querySelector('.compare').offsetHeight") == 0
        assert tab.run("document.querySelectorAll('.readout').length") == 0
        assert size["height"] > 3000
        assert not math.isnan(tab.run("document.querySelector('.looks img').offsetHeight"))
    finally:
        tab.call("Emulation.setScriptExecutionDisabled", value=False)


def test_it_prints(tab: Tab, run: Path) -> None:
    tab.open(run / "report.html")
    pdf = base64.b64decode(tab.call("Page.printToPDF")["data"])
    assert pdf.startswith(b"%PDF")
    assert 4 <= pdf.count(b"/Type /Page\n") <= 30
    tab.call("Emulation.setEmulatedMedia", media="print")
    assert tab.run("document.querySelector('.compare').offsetHeight") == 0
    assert tab.run("document.querySelector('.readout').offsetHeight") == 0
    tab.call("Emulation.setEmulatedMedia", media="")


def test_a_hostile_name_is_text_in_the_browser(tab: Tab, run: Path, tmp_path: Path) -> None:
    from bandfuse.report.html import render
    from bandfuse.results.training import TrainReport

    script = "<script>alert(1)</script>"
    report = TrainReport.model_validate_json(
        (run / "report.json").read_text().replace('"blue"', json.dumps(script))
    )
    data = Page.model_validate_json(
        (run / "report.data.json").read_text().replace('"blue"', json.dumps(script))
    )
    path = tmp_path / "hostile.html"
    path.write_text(render(report, data), encoding="utf-8")
    tab.open(path)
    assert tab.run("document.querySelector('#output-1 h3').textContent") == f"{script} (490 nm)"
    assert tab.run("document.scripts.length") == 1
    assert tab.complaints == []
