"""Show: what a terminal is shown of results and of work, and in which order."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

import pytest
from makers import weights_file
from rasters import blend, cli, ok, spectra, wavelengths, write_tiff
from rich.console import Console

import bandfuse.cli.bars as bars_module
import bandfuse.tools.train as train_module
from bandfuse.cli import show, streams
from bandfuse.cli.bars import LiveBars
from bandfuse.config.base import build
from bandfuse.config.train import TrainConfig
from bandfuse.errors import ConfigError
from bandfuse.progress import during
from bandfuse.results.batches import BatchItem, BatchPlan, BatchResult, PlannedItem
from bandfuse.results.rasters import ResampledScene, ResampleResult, SensorBandRow

T = TypeVar("T")

QUICK = ("--folds", "0", "--constraint", "free")


@pytest.fixture
def order(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is written to stdout and stderr, in one list."""
    said: list[str] = []
    monkeypatch.setattr(streams, "put", lambda text: said.append(f"out {text}"))
    monkeypatch.setattr(streams, "remark", lambda text: said.append(f"err {text}"))
    return said


def many(count: int) -> dict[str, dict[str, float | None]]:
    """Scores of outputs, the last the worst."""
    return {f"y{i}": {"r2": 1 - i / 100, "rmse": 0.1} for i in range(1, count + 1)}


# ------------------------------------------------------------------------------------------ tables


def test_a_table_of_scores_holds_the_worst_outputs(capsys: pytest.CaptureFixture[str]) -> None:
    show.scores(many(25), "Scores", rest="in report.html")
    title, _, *rows, last = capsys.readouterr().out.splitlines()
    assert title == "Scores: the worst 20 of 25 outputs"
    assert [row.split()[0] for row in rows] == [f"y{i}" for i in range(25, 5, -1)]
    assert last == "… and 5 more in report.html"


def test_a_short_table_of_scores_keeps_the_order_of_the_outputs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show.scores(many(20), "Scores")
    title, _, *rows = capsys.readouterr().out.splitlines()
    assert title == "Scores"
    assert [row.split()[0] for row in rows] == [f"y{i}" for i in range(1, 21)]


def test_outputs_without_a_score_are_the_worst() -> None:
    rows = many(25) | {"none": {"r2": None, "rmse": None}}
    assert [*show.worst(rows)][:2] == ["none", "y25"]


def test_what_is_said_of_many_scenes_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    show.set_level(False, False)
    texts = [f"s{i}: it is dark" for i in range(12)]
    show.remarks([*texts, "s1: it is cut off", "s2: it is cut off", "a pair: of words", "alone"])
    assert capsys.readouterr().err.splitlines() == [
        "s0, s1, s2, … (12 in all): it is dark",
        "s1: it is cut off",
        "s2: it is cut off",
        "a pair: of words",
        "alone",
    ]


def test_tables_of_a_sensor_that_are_equal_are_shown_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from bandfuse.cli.show_rasters import show_resampled

    def scene(name: str, coverage: float) -> ResampledScene:
        band = SensorBandRow(
            name="B1", wavelength_nm=443.0, fwhm_nm=20.0, coverage=coverage, bands=3, used=True
        )
        return ResampledScene(scene=name, output=None, weights=f"{name}.w", bands=[band])

    scenes = [scene("a", 1.0), scene("b", 1.0), scene("c", 0.7)]
    result = ResampleResult(
        sensor="s", origin="", scenes=scenes, valid_share=None, clipped=0, seconds=1.0, messages=[]
    )
    show_resampled(result)
    out = capsys.readouterr().out
    assert [x for x in out.splitlines() if x.startswith("s from")] == ["s from a, b", "s from c"]
    assert out.count(" written") == 3


def test_tables_of_a_batch_end_and_name_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    from bandfuse.cli.show_batch import show_plan, show_result

    planned = [
        PlannedItem(job="fused", kind="apply", scene=f"s{i}", needs=None, size=10, output="")
        for i in range(25)
    ]
    show_plan(BatchPlan(output="out", items=planned, size=250, seconds=None))
    head, *rows, more, last = capsys.readouterr().out.splitlines()
    assert head.startswith("job")
    assert (len(rows), more) == (20, "… and 5 more with --json")
    assert last.startswith("25 items into out")

    failed = [BatchItem(job="fused", scene=f"s{i}", state="failed", reason="no") for i in range(25)]
    counts = {"done": 0, "failed": 25, "skipped": 0, "kept": 0}
    show_result(BatchResult(output="out", seconds=1.0, items=failed, **counts))
    *_, more, summary, page = capsys.readouterr().out.splitlines()
    assert more == "… and 5 more in out/batch.html"
    assert summary.startswith("0 done, 25 failed")
    assert page == "Open out/batch.html in a browser."


# ------------------------------------------------------------------------------------------- order


def train(folder: Path, *arguments: object) -> list[object]:
    """A training of one output, whose wavelengths have an unknown unit."""
    cube = spectra(4, 20, 25)
    write_tiff(folder / "cube.tif", cube, nm=wavelengths(4), units="parsecs")
    write_tiff(folder / "t.tif", blend(cube, [[0.5, 0.5, 0, 0]]))
    place = ("-o", folder / "run")
    return ["train", folder / "cube.tif", "--target", folder / "t.tif", *place, *arguments]


def test_remarks_come_after_the_tables(tmp_path: Path, order: list[str]) -> None:
    ok(*train(tmp_path, *QUICK, "--no-report"))
    kinds = [text[:3] for text in order]
    assert any("parsecs" in text for text in order[-2:])
    assert kinds == sorted(kinds, reverse=True)  # out, …, err


def test_training_says_which_page_to_open(tmp_path: Path) -> None:
    done = ok(*train(tmp_path, *QUICK, "--no-fused"))
    page = tmp_path / "run" / "report.html"
    assert done.out.splitlines()[-1] == f"Open {page} in a browser."
    assert page.is_file()
    again = ok(*train(tmp_path, *QUICK, "--no-report", "--overwrite"))
    assert "Open" not in again.out
    made = ok("report", tmp_path / "run", "-o", tmp_path / "p.html")
    assert made.out.splitlines()[-1] == f"Open {tmp_path / 'p.html'} in a browser."


def test_a_target_with_more_bands_than_the_scene_is_doubted_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise ConfigError("the work has begun")

    x = spectra(6, 20, 25)
    cube, target = write_tiff(tmp_path / "x.tif", x), write_tiff(tmp_path / "t.tif", x[:2])
    monkeypatch.setattr(train_module, "learn", stop)
    doubt, error = cli("train", "--target", cube, target, "-o", tmp_path / "run").err.splitlines()
    assert "6 outputs are learned from 2" in doubt
    assert doubt.endswith("bandfuse train x.tif --target t.tif")
    assert error == "error: the work has begun."
    assert cli("train", cube, "--target", target, "-o", tmp_path / "run").err.count("\n") == 1


def test_a_target_without_a_place_is_taken_to_lie_on_the_scene(tmp_path: Path) -> None:
    cube = spectra(4, 20, 25)
    scene = write_tiff(tmp_path / "x.tif", cube)
    bare = write_tiff(tmp_path / "b{0}.tif", cube[:1], crs=None, transform=None)
    done = ok("train", scene, "--target", bare, *QUICK, "--no-report", "-o", tmp_path / "run")
    assert "no CRS is declared in b{0}.tif: taken to be that of x.tif" in done.err
    assert "no position is declared in b{0}.tif: taken to lie on x.tif" in done.err


# -------------------------------------------------------------------------------------------- bars


class Screen:
    """A terminal of so many columns that keeps what was written to it."""

    def __init__(self, columns: int = 80) -> None:
        self._text = io.StringIO()
        console = Console(file=self._text, force_terminal=True, width=columns, legacy_windows=False)
        self.bars = LiveBars(console)

    @property
    def text(self) -> str:
        """All of it, without control sequences."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self._text.getvalue())

    def wait_for(self, text: str) -> None:
        """Until a text is on the screen."""
        end = time.monotonic() + 20
        while text not in self.text:
            assert time.monotonic() < end, self.text
            time.sleep(0.02)


def test_a_bar_gives_the_same_items() -> None:
    screen = Screen()
    assert [*screen.bars.bar("abc", 3, "read [red]x")] == ["a", "b", "c"]
    assert "read [red]x" in screen.text
    assert "\n" not in screen.text.rstrip("\r\n").replace("\r\n", "")


def test_steps_within_steps_have_bars_of_their_own() -> None:
    screen = Screen()
    with during(screen.bars.bar, "outer"):
        for _ in screen.bars.bar(range(3), 3, "inner"):
            screen.wait_for("inner")
        screen.wait_for("outer")
    assert not screen.bars.print("there is no display any more")


def test_a_command_says_that_it_is_at_work_where_no_bar_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bars_module, "PATIENCE", 0.01)
    screen = Screen()
    with screen.bars.working("bandfuse train"):
        screen.wait_for("bandfuse train")
        with during(screen.bars.bar, "make the page"):
            screen.wait_for("make the page")
            assert screen.bars.print("a remark")
        before = screen.text.count("bandfuse train")
        end = time.monotonic() + 20
        while screen.text.count("bandfuse train") == before:
            assert time.monotonic() < end
            time.sleep(0.02)
    assert "a remark" in screen.text
    assert not screen.bars.print("gone")


def test_a_quick_command_shows_no_bar() -> None:
    screen = Screen()
    with screen.bars.working("bandfuse info"):
        pass
    assert screen.text == ""


def test_a_command_with_a_display_of_its_own_has_the_screen_for_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bars_module, "PATIENCE", 0.05)
    screen = Screen()
    with screen.bars.working("bandfuse batch"):
        screen.bars.rest()
        time.sleep(0.3)
        assert screen.text == ""


def test_a_line_comes_after_steps_that_were_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bars_module, "PATIENCE", 0.3)
    screen = Screen()
    with screen.bars.working("bandfuse train"):
        assert [*screen.bars.bar("ab", 2, "read")] == ["a", "b"]
        screen.wait_for("bandfuse train")


def test_a_step_that_fails_takes_its_bar_away() -> None:
    screen = Screen()
    with pytest.raises(ValueError, match="no"), during(screen.bars.bar, "step"):
        raise ValueError("no")
    assert not screen.bars.print("gone")


@pytest.mark.parametrize("columns", [80, 40])
def test_bars_fit_the_terminal(columns: int) -> None:
    screen = Screen(columns)
    with during(screen.bars.bar, "look for the bands that are needed, one after the other"):
        screen.wait_for("0:00:00")
    lines = re.split(r"[\r\n]+", screen.text)
    assert max(map(len, lines)) <= columns
    assert any("look for the b" in line and "━" in line and "0:00" in line for line in lines)


def test_nothing_is_shown_where_stderr_is_no_terminal(tmp_path: Path) -> None:
    show.set_level(False, False)
    assert [*show.progress()(iter("abc"), total=3, label="letters")] == ["a", "b", "c"]
    assert not show.bars_are_seen()
    weights = weights_file(tmp_path / "w.safetensors", 2)
    assert ok("export", weights, "--to", "csv", "-o", tmp_path / "w.csv").err == ""


def test_every_long_step_of_a_training_is_shown(tmp_path: Path) -> None:
    begun, ended = [], []

    def record(items: Iterable[T], total: int, label: str) -> Iterable[T]:
        begun.append(label)
        yield from items
        ended.append(label)

    command = train(tmp_path)
    settings = {"scenes": [str(command[1])], "target": [str(command[3])]}
    config = build(TrainConfig, settings | {"output": str(tmp_path / "run")})
    train_module.train(config, record)
    steps = """open the scenes|read cube|prepare the folds|choose the regularisation
        |score held-out blocks|fit the baselines|look for the bands that are needed
        |resample the blocks|fuse|describe every weight|make the page"""
    assert [label for label in begun if label in {s.strip() for s in steps.split("|")}] == [
        step.strip() for step in steps.split("|")
    ]
    assert {"open the scenes", "fit the baselines", "make the page"} <= set(ended)
