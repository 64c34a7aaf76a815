"""Scratch folders, whose they are, and what is done with those of processes that ended suddenly."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rasters import cli, listing, ok, spectra, write_tiff

from bandfuse.errors import OutputError
from bandfuse.files import placing
from bandfuse.files.placing import is_scratch, make_scratch, place, settle
from bandfuse.files.whole import whole_files, whole_folder, whole_together


def scratch_of(folder: Path, host: str, process: int, start: int, name: str = "x.tif") -> Path:
    made = folder / f".{name}.{host}-{process}-{start}-0a1b2c3d.partial"
    made.mkdir()
    (made / name).write_text("new")
    return made


def ended_process() -> int:
    """The number of a process that no longer runs."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@contextmanager
def said() -> Iterator[list[str]]:
    """What is logged meanwhile."""
    found: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: found.append(record.getMessage())  # type: ignore[method-assign]
    before = placing.LOG.level
    placing.LOG.addHandler(handler)
    placing.LOG.setLevel(logging.INFO)
    try:
        yield found
    finally:
        placing.LOG.removeHandler(handler)
        placing.LOG.setLevel(before)


def test_a_name_tells_host_process_and_start(tmp_path: Path) -> None:
    made = make_scratch(tmp_path / ("x" * 200 + ".tif"))
    assert made.parent == tmp_path
    assert f".{placing._host()}-{os.getpid()}-{placing._start_of(os.getpid())}-" in made.name
    assert len(made.name) < 100
    assert is_scratch(made / "inside")
    assert not is_scratch(tmp_path / ".x.tif.abcd1234.partial")


def test_only_ones_own_dead_scratch_is_removed(tmp_path: Path) -> None:
    host, gone = placing._host(), ended_process()
    parent = os.getppid()
    start = placing._start_of(parent)
    assert start
    dead = [
        scratch_of(tmp_path, host, gone, 123),
        scratch_of(tmp_path, host, parent, start + 10**6),
    ]
    trial = tmp_path / f".x.vrt.{host}-{gone}-123-0a1b2c3d.partial.vrt"
    trial.write_text("a trial")
    left = [
        scratch_of(tmp_path, host, parent, start),
        scratch_of(tmp_path, host, parent, 0, "y"),
        scratch_of(tmp_path, f"{host}x", gone, 123),
        make_scratch(tmp_path / "mine.tif"),
    ]
    (tmp_path / ".old.abcd1234.partial").mkdir()
    with said() as words:
        settle(tmp_path)
        settle(tmp_path)
    assert set(os.listdir(tmp_path)) == {p.name for p in left} | {".old.abcd1234.partial"}
    assert sorted(words) == sorted(
        f"{p} removed: a command that ended suddenly had left it" for p in [*dead, trial]
    )


def stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moves: int) -> Path:
    """A set of files that was being replaced by a process that ended after so many moves."""
    for name in ("y.dat", "y.hdr", "y.dat.aux.xml"):
        (tmp_path / name).write_text("old")
    scratch = make_scratch(tmp_path / "y.dat")
    for name in ("y.dat", "y.hdr"):
        (scratch / name).write_text("new")
    rename, done = os.rename, []

    class Killed(BaseException):
        pass

    def limited(a: Path, b: Path) -> None:
        if len(done) == moves:
            raise Killed
        done.append(a)
        rename(a, b)

    with monkeypatch.context() as patched:
        patched.setattr(os, "rename", limited)
        with pytest.raises(Killed):
            place(scratch, tmp_path / "y.dat", ["y.dat.aux.xml"])
    dead = scratch.with_name(f".y.dat.{placing._host()}-{ended_process()}-123-0a1b2c3d.partial")
    scratch.rename(dead)
    return dead


@pytest.mark.parametrize("moves", range(1, 5))
def test_the_next_command_finishes_a_replacement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moves: int
) -> None:
    dead = stopped(tmp_path, monkeypatch, moves)
    assert (dead / placing.PLAN).exists()
    with said() as words:
        settle(tmp_path)
    assert {name: (tmp_path / name).read_text() for name in os.listdir(tmp_path)} == {
        "y.dat": "new",
        "y.hdr": "new",
    }
    assert "y.dat: a command ended suddenly while it replaced this output" in words[0]


@pytest.mark.parametrize("moves", range(1, 5))
def test_what_came_meanwhile_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moves: int
) -> None:
    """Someone looks at what is left, and writes a file of that name: nothing is lost of all
    three."""
    dead = stopped(tmp_path, monkeypatch, moves)
    (tmp_path / "y.dat").unlink(missing_ok=True)
    (tmp_path / "y.dat").write_text("theirs")
    before = {p.name: p.read_text() for p in [*tmp_path.glob("y*"), *dead.rglob("y*")]}
    with said() as words:
        settle(tmp_path)
        settle(tmp_path)
    (kept,) = tmp_path.glob(".*.partial")
    assert {p.name: p.read_text() for p in [*tmp_path.glob("y*"), *kept.rglob("y*")]} == before
    assert len(words) == 1
    assert "nothing is changed" in words[0]


def test_a_system_that_refuses_to_move_back_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, rename, calls = tmp_path / "run", os.rename, []
    run.mkdir()
    (run / "old.txt").write_text("old")

    def fails(a: Path, b: Path) -> None:
        calls.append(a)
        if len(calls) > 1:
            raise OSError(5, "Input/output error")
        rename(a, b)

    with monkeypatch.context() as patched:
        patched.setattr(os, "rename", fails)
        with pytest.raises(OutputError, match="puts them in place"), whole_folder(run) as scratch:
            (scratch / "new.txt").write_text("new")
    assert not run.exists()
    (kept,) = tmp_path.glob(".run.*.partial")
    assert (kept / placing.OLD / "run/old.txt").read_text() == "old"
    settle(tmp_path)
    assert list(listing(tmp_path)) == ["run", "run/new.txt"]


def test_a_set_is_not_mixed_while_it_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader finds no raster rather than old pixels under a new header."""
    path, rename = tmp_path / "y.dat", os.rename

    def write(text: str) -> None:
        with whole_files(path) as scratch:
            scratch.write_text(text)
            scratch.with_suffix(".hdr").write_text(text)

    def looked(a: Path, b: Path) -> None:
        rename(a, b)
        if path.exists():
            assert path.with_suffix(".hdr").read_text() == path.read_text()

    write("old")
    monkeypatch.setattr(os, "rename", looked)
    write("new")
    assert path.read_text() == "new"


def swapped_halfway(run: Path, owner: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run folder whose replacement by itself was killed between its two moves; the scratch
    folder."""
    scratch = make_scratch(run)
    shutil.copytree(run, scratch / run.name)
    rename, done = os.rename, []

    class Killed(BaseException):
        pass

    def limited(a: Path, b: Path) -> None:
        if done:
            raise Killed
        done.append(a)
        rename(a, b)

    with monkeypatch.context() as patched:
        patched.setattr(os, "rename", limited)
        patched.setattr(placing, "sync", lambda *_, **__: None)
        with pytest.raises(Killed):
            place(scratch, run)
    if run.exists():
        pytest.skip("this system exchanges folders in one step")
    dead = scratch.with_name(f".{run.name}.{owner}-123-0a1b2c3d.partial")
    rename(scratch, dead)
    assert (dead / placing.PLAN).exists()
    return dead


READERS = {
    "report": "report run -o out/o.html",
    "compare": "compare run other",
    "export": "export run/weights.safetensors --to csv -o out/o.csv",
    "apply": "apply run/weights.safetensors x.tif -o out/o.tif",
}


@pytest.mark.one_in(2)
@pytest.mark.parametrize("reader", READERS)
def test_a_reader_finishes_a_swap_of_a_dead_process_and_names_that_of_another(
    reader: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_tiff(Path("x.tif"), spectra(6, 16, 20))
    Path("out").mkdir()
    for run in ("run", "other"):
        ok("train", "x.tif", "--groups", "equal:2", "-o", run, "--no-fused", "--no-report")
    dead = swapped_halfway(tmp_path / "run", "elsewhere-1", monkeypatch)
    done = cli(*READERS[reader].split())
    assert done.code == 2
    assert "does not exist" in done.err
    assert dead.name in done.err
    assert not Path("run").exists()
    dead.rename(dead.with_name(f".run.{placing._host()}-{ended_process()}-123-0a1b2c3d.partial"))
    done = ok(*READERS[reader].split())
    assert "a command ended suddenly while it replaced this output" in done.err
    assert Path("run/weights.safetensors").exists()
    assert not list(tmp_path.glob(".run.*"))


def test_what_could_not_be_removed_inside_a_new_folder_does_not_come_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system refuses once to remove the scratch folder of a file of a run: nobody would look
    for it in there."""
    remove, refused = os.rmdir, []

    def once(path: str, **where: int) -> None:
        if not refused and os.fspath(path).endswith(".partial"):
            refused.append(path)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        remove(path, **where)

    monkeypatch.setattr(os, "rmdir", once)
    with whole_folder(tmp_path / "run") as run:
        with whole_files(run / "fused.tif") as file:
            file.write_text("new")
        assert [p.name for p in run.iterdir() if p.name.endswith(".partial")] == [
            Path(refused[0]).name
        ]
    assert [*listing(tmp_path / "run")] == ["fused.tif"]


@pytest.mark.parametrize("earlier", [False, True])
@pytest.mark.parametrize("refused", ["b.tif", "c.tif"])
def test_where_one_output_cannot_take_its_place_none_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, earlier: bool, refused: str
) -> None:
    """What was there before is there again, with what belongs to it."""
    paths = [tmp_path / folder / f"{folder}.tif" for folder in "abc"]
    for path in paths:
        path.parent.mkdir()
        if earlier:
            path.write_text("old")
            path.with_name(f"{path.name}.aux.xml").write_text("statistics")
    before = {p: p.read_text() for p in sorted(tmp_path.rglob("*")) if p.is_file()}
    written = list(placing.WRITTEN)
    kinds = {name: getattr(os, name) for name in ("rename", "replace")}

    def refuse(kind: str, source: Path, target: Path) -> None:
        if Path(target) == tmp_path / refused[0] / refused and Path(source).read_text() == "new":
            raise OSError(errno.EACCES, "the system says no")
        kinds[kind](source, target)

    for kind in kinds:
        monkeypatch.setattr(placing.os, kind, lambda *a, kind=kind: refuse(kind, *a))

    def write() -> None:
        with whole_together([(path, None) for path in paths]) as places:
            for place_of_it in places:
                place_of_it.write_text("new")

    with pytest.raises(OutputError, match=f"{refused} cannot be written"):
        write()
    assert {p: p.read_text() for p in sorted(tmp_path.rglob("*")) if p.is_file()} == before
    assert sorted(p for p in tmp_path.rglob("*") if p.is_dir()) == [p.parent for p in paths]
    assert written == placing.WRITTEN
    monkeypatch.undo()
    write()
    assert sorted(p for p in tmp_path.rglob("*") if p.is_file()) == paths
    assert {path.read_text() for path in paths} == {"new"}
