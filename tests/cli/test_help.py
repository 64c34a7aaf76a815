"""Help and tables in the columns of a terminal: nothing is wider, and no word is cut."""

from __future__ import annotations

import io
import json
import re
import shlex
import shutil
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasters import Done, blend, cli, ok, spectra, wavelengths, write_tiff

from bandfuse.cli import show
from bandfuse.cli.layout import command_lines, records, table_lines, wrapped
from bandfuse.cli.main import COMMANDS
from bandfuse.config.flags import flag_of
from bandfuse.config.train import TrainConfig
from bandfuse.progress import silent

WIDTHS = (80, 40)


def words(text: str) -> list[str]:
    """The words of a help page: choices that were broken after a bar are one word again."""
    return [w for w in re.sub(r"\|\s*\n\s+", "|", text).split() if w != "\\"]


PAGES = [["--help"], *([name, flag] for name in COMMANDS for flag in ("--help", "--help-all"))]


@pytest.mark.parametrize("call", PAGES, ids=" ".join)
def test_help_fits_the_terminal_and_cuts_no_word(
    call: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = {}
    for width in (*WIDTHS, 100):
        monkeypatch.setenv("COLUMNS", str(width))
        pages[width] = ok(*call).out
        assert max(map(len, pages[width].splitlines())) <= width
    assert words(pages[40]) == words(pages[80]) == words(pages[100])


@pytest.mark.parametrize("command", COMMANDS)
def test_no_type_of_python_is_shown(command: str) -> None:
    text = ok(command, "--help-all").out
    assert not re.search(r"<\w+|list\[|\[default|\[required", text)
    assert not re.search(r"\bNone\b|\bTrue\b|\bFalse\b", text)


def test_the_help_of_a_training_begins_with_what_is_used_most() -> None:
    short, whole = ok("train", "--help").out, ok("train", "--help-all").out
    assert len(short.splitlines()) < 100 < len(whole.splitlines())
    assert "--fuse within|across" in whole
    assert "Default: within." in whole
    for heading in ("Most used", "Inputs", "Groups", "Trust", "Outputs", "General"):
        assert f"\n{heading}:\n" in whole, heading
    fields = TrainConfig.model_fields.items()
    flags = {flag_of(name, field).names[0] for name, field in fields} - {"--scenes"}
    assert {f for f in flags if f not in words(short)} - {"--output"} == set()
    assert "bandfuse train --help-all explains" in " ".join(short.split())
    most = short.split("Most used:")[1].split("More flags")[0]
    assert most.index("--target FILE") < most.index("--groups SPEC") < most.index("--output PATH")
    assert "--ridge" not in most


@pytest.mark.parametrize("width", WIDTHS)
def test_examples_are_commands_at_every_width(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell reads the broken lines as the whole ones."""
    pages = {}
    for columns in (width, 100):
        monkeypatch.setenv("COLUMNS", str(columns))
        text = ok("train", "--help").out.split("Examples:\n")[1].split("\nArguments")[0]
        pages[columns] = [
            shlex.split(line) for line in text.replace("\\\n", " ").splitlines() if line.strip()
        ]
    assert pages[width] == pages[100]
    assert len(pages[100]) == 3
    assert all(words[0] == "bandfuse" for words in pages[100])


def test_words_longer_than_the_terminal_stay_whole() -> None:
    assert wrapped("a " + "b" * 30, 10) == ["a", "b" * 30]
    assert command_lines("  bandfuse info a.tif", 17) == ["  bandfuse info \\", "      a.tif"]


# ------------------------------------------------------------------------------------------ tables


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a cube, a target, two runs and a batch file."""
    folder = tmp_path_factory.mktemp("filled")
    cube = spectra(6, 24, 30)
    write_tiff(folder / "c.tif", cube, nm=wavelengths(6), bad=[3])
    names = ["first band", "second band"]
    target = blend(cube, [[0.5, 0.5, 0, 0, 0, 0], [0, 0, 0, 0.2, 0.8, 0]])
    write_tiff(folder / "t.tif", target.astype("float32"), names=names)
    write_tiff(folder / "five.tif", spectra(5, 24, 30))
    text = (
        "version: 1\noutput: out\nscenes: [{files: [c.tif, five.tif]}]\n"
        "defaults: {no_report: true}\n"
        "jobs: [{name: shrink, kind: train, pool: each, settings: {groups: '1-6'}}]\n"
    )
    (folder / "b.yaml").write_text(text)
    given = (folder / "c.tif", "--target", folder / "t.tif", "--no-report", "-o")
    ok("train", *given, folder / "r1")
    ok("train", *given, folder / "r2", "--constraint", "free")
    return folder


@pytest.fixture
def place(filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the folder, in which commands run with short names."""
    shutil.copytree(filled, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)
    return tmp_path


TABLES = {
    "info": "info c.tif -v --groups equal:2",
    "formats": "info --formats",
    "check": "check c.tif t.tif",
    "train": "train c.tif --target t.tif -o run{n} --no-report",
    "dry run": "train c.tif --target t.tif -o run --dry-run",
    "evaluate": "evaluate r1 c.tif --target t.tif",
    "compare": "compare r1 r2",
    "resample": "resample c.tif --sensor sentinel-2a -o s{n}.tif",
    "apply": "apply r1 c.tif -o a{n}.tif",
    "batch plan": "batch b.yaml --dry-run",
    "batch": "batch b.yaml --fresh --overwrite",
    "sensors": "sensors",
    "sensor": "sensors landsat-8-oli",
    "export": "export r1 --to csv -o w{n}.csv",
    "init": "init match c.tif t.tif -o c{n}.yaml",
}


class Terminal(io.StringIO):
    """What is written to it seems to be seen by people."""

    def isatty(self) -> bool:
        return True


def in_terminal(*call: object) -> Done:
    """A command whose output is seen in a terminal, without colours and bars."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rasters.io.StringIO", Terminal)
        patch.setattr("bandfuse.cli.show.progress", lambda: silent)
        patch.setattr("bandfuse.cli.show.bars_are_seen", lambda: False)
        patch.setattr("bandfuse.cli.show_batch.watching", lambda: nullcontext(lambda event: None))
        show.out.cache_clear()
        show.err.cache_clear()
        done = cli(*call)
    show.out.cache_clear()
    show.err.cache_clear()
    plain = (re.sub(r"\x1b\[[0-9;]*m", "", text) for text in (done.out, done.err))
    return Done(done.code, *plain)


@pytest.mark.parametrize("name", TABLES)
def test_tables_fit_the_terminal_and_cut_no_word(
    name: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = {}
    for width in (*WIDTHS, 150):
        monkeypatch.setenv("COLUMNS", str(width))
        done = in_terminal(*shlex.split(TABLES[name].format(n=width)))
        assert done.code in (0, 1), done.err
        for line in (done.out + done.err).splitlines():
            assert len(line) <= width or " " not in line.strip(), line
        said[width] = done.out
    drawn = re.compile("^[▁▂▃▄▅▆▇█.:=+*#@-]+$|^[0-9.]+$|^(run|s|a|w|c)[0-9]+(\\.\\w+)*$")
    plain = {
        width: {w.strip(";,:.") for w in text.split() if not drawn.search(w.strip(";,:."))}
        for width, text in said.items()
    }
    assert plain[150] - plain[40] == set()
    assert plain[150] - plain[80] == set()


def test_topics_in_a_narrow_terminal_stand_beside_their_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    lines = in_terminal("help").out.split("\n\n")[1].splitlines()
    assert lines[:2] == ["  flags         every flag of every", "                command"]
    assert all(line[:2] == "  " and len(line) <= 40 for line in lines)


def test_a_table_that_does_not_fit_becomes_lines_of_names_and_values() -> None:
    heads, rows = ["output", "r2", "rmse"], [["visible light", "0.9", "0.25"]]
    assert table_lines(heads, rows, 40, 1) == [
        "output          r2  rmse",
        "visible light  0.9  0.25",
    ]
    assert table_lines(heads, rows, 18, 1) == ["output    r2  rmse", "visible  0.9  0.25", "light"]
    assert table_lines(heads, rows, 14, 1) == []
    assert records(heads, rows, 14) == ["output visible", "    light", "  r2 0.9", "  rmse 0.25"]


def test_wide_letters_take_two_columns() -> None:
    lines = table_lines(["name", "x"], [["水田", "1"], ["abcd", "2"]], 40, 1)
    assert lines == ["name  x", "水田  1", "abcd  2"]


def test_messages_are_folded_between_words(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = (
        ["info", "unlike-any-other.h5"],
        ["resample", "c.tif", "--sensor", "sentinel-2a", "-o", "s.tif", "--overwrite"],
    )
    for call in calls:  # What they write, later ones name.
        cli(*call)
    whole = [cli(*call).err for call in calls]
    monkeypatch.setenv("COLUMNS", "40")
    for call, text in zip(calls, whole, strict=True):
        folded = in_terminal(*call).err
        assert max(map(len, folded.splitlines())) <= 40
        assert folded.split() == text.split()
        assert len(folded.splitlines()) > 1


def test_numbers_of_a_pipe_stay_in_one_line(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a terminal nothing is folded: other programs read lines."""
    monkeypatch.setenv("COLUMNS", "40")
    text = ok("info", "--formats").out
    assert any(len(line) > 100 for line in text.splitlines())


# ------------------------------------------------------------------------------------------- flags


@pytest.mark.parametrize("before", ["--verbose", "-q", "--json"])
def test_flags_of_every_command_may_stand_before_it(before: str, place: Path) -> None:
    first, last = ok(before, "info", "c.tif"), ok("info", "c.tif", before)
    assert (first.out, first.err) == (last.out, last.err)


def test_the_flag_of_the_program_may_stand_behind_the_command(place: Path) -> None:
    first, last = cli("--traceback", "info", "no.tif"), cli("info", "no.tif", "--traceback")
    assert first.err.startswith("Traceback")
    assert last.err.splitlines()[-1] == first.err.splitlines()[-1]
    assert last.err.startswith("Traceback")


def test_other_names_of_flags(place: Path) -> None:
    """What users of GDAL, make and rasterio type."""
    how = ["--no-report", "--folds", 0]
    ok("train", "c.tif", "--target", "t.tif", "-o", "j", "-j", 1, *how)
    ok("train", "c.tif", "--target", "t.tif", "-o", "k", "--jobs", 1, *how)
    ok("apply", "j", "c.tif", "-o", "x.dat", "-of", "ENVI")
    ok("apply", "j", "c.tif", "-o", "y.dat", "--format", "ENVI", "--threads", 2)
    assert (place / "x.dat").read_bytes() == (place / "y.dat").read_bytes()
    assert (place / "x.hdr").read_text().startswith("ENVI")
    ok("apply", "j", "c.tif", "-o", "z.tif", "-ot", "UInt16", "--scale", 0.0001)
    with rasterio.open(place / "z.tif") as ds:
        assert ds.dtypes[0] == "uint16"
    assert ok("batch", "b.yaml", "--dry-run").out
    done = cli("batch", "b.yaml", "-j", 0)
    assert "--workers" in done.err


def test_the_version_names_the_libraries() -> None:
    import importlib.metadata

    import rasterio

    for order in (["--version", "-v"], ["--verbose", "--version"]):
        text = ok(*order).out
        rows = dict(line.split(maxsplit=1) for line in text.splitlines()[1:])
        assert rows["GDAL"] == rasterio.__gdal_version__
        assert rows["numpy"] == np.__version__
        assert rows["torch"] == importlib.metadata.version("torch")
        assert {"Python", "rasterio", "BLAS", "scipy"} <= set(rows)
    assert len(ok("--version").out.splitlines()) == 1


def test_results_are_json_at_every_width(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    assert json.loads(ok("sensors", "--json").out)["sensors"][0]["name"] == "desis"
