"""Faults: full disks, files that end too early, Ctrl-C and SIGTERM in every phase, two processes
with one output."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faults import Bench, Ended, Fault, environment
from makers import weights_file
from rasters import cli, listing, ok, read, spectra, truncated, write_tiff

import bandfuse.tools.apply
from bandfuse.scenes.places import Place
from bandfuse.scenes.scene import Scene, open_scene

PROGRAM = Path(sys.executable).with_name("bandfuse")
POSIX = pytest.mark.skipif(os.name == "nt", reason="no such signals and limits on Windows")


def started(
    arguments: list[object],
    folder: Path,
    before: Callable[[], object] | None = None,
    env: dict[str, str] | None = None,
) -> subprocess.Popen[str]:
    """Start bandfuse in a folder; ``before`` is called in the new process."""
    return subprocess.Popen(
        [str(PROGRAM), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        preexec_fn=before,
        env=env,
    )


# --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pixels that no compression makes small, and weights for them."""
    folder = tmp_path_factory.mktemp("noise")
    write_tiff(
        folder / "x.tif", np.random.default_rng(0).normal(size=(4, 500, 520)).astype("float32")
    )
    weights_file(folder / "w.safetensors", 4)
    return folder


def small_files() -> None:
    """No file of this process grows over 300 kB: what a full disk looks like from inside."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))


@pytest.mark.one_in(3)
@POSIX
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    "how",
    [(), ("--co", "COMPRESS=NONE"), ("--driver", "ENVI"), ("--driver", "COG")],
    ids=lambda how: " ".join(how),
)
def test_a_full_disk_is_said_and_leaves_nothing(
    noise: Path, tmp_path: Path, how: tuple[str, ...], threads: int
) -> None:
    process = started(
        [
            "apply",
            noise / "w.safetensors",
            noise / "x.tif",
            "-o",
            "out.tif",
            "--threads",
            threads,
            *how,
        ],
        tmp_path,
        small_files,
    )
    _, err = process.communicate()
    said = [line for line in err.splitlines() if not line.startswith("_tiff")]
    assert process.returncode == 2, err
    assert len(said) == 1
    assert "out.tif cannot be" in said[0]
    assert listing(tmp_path) == {}


@POSIX
def test_a_full_disk_in_train_keeps_the_earlier_run(noise: Path, tmp_path: Path) -> None:
    arguments = ["train", noise / "x.tif", "-o", "run", "--groups", "equal:2", "--overwrite"]
    ok(*arguments[:3], tmp_path / "run", *arguments[4:], "--no-fused", "--no-report")
    before = listing(tmp_path)
    process = started(arguments, tmp_path, small_files)
    _, err = process.communicate()
    assert process.returncode == 2, err
    assert "cannot be" in err
    assert "Traceback" not in err
    assert listing(tmp_path) == before


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0,
    reason="only root can mount a small file system",
)
def test_a_small_file_system_is_left_empty(noise: Path, tmp_path: Path) -> None:
    place = tmp_path / "small"
    place.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(place)], check=False
    ).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        done = cli("apply", noise / "w.safetensors", noise / "x.tif", "-o", place / "out.tif")
        assert done.code == 2
        assert "Is there room on the disk?" in done.err
        assert listing(place) == {}
    finally:
        subprocess.run(["umount", str(place)], check=True)


@POSIX
@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere"
)
def test_a_folder_that_is_read_only_is_refused_at_once(noise: Path, tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    try:
        done = cli("apply", noise / "w.safetensors", noise / "x.tif", "-o", tmp_path / "out.tif")
        assert done.code == 2
        assert "cannot be written to" in done.err
    finally:
        tmp_path.chmod(0o755)


def test_a_folder_that_the_system_calls_read_only_is_refused(
    noise: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    done = cli("apply", noise / "w.safetensors", noise / "x.tif", "-o", tmp_path / "out.tif")
    assert (done.code, listing(tmp_path)) == (2, {})
    assert "cannot be written to" in done.err


def test_a_file_that_ends_after_it_was_opened(
    noise: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Path(write_tiff(tmp_path / "x.tif", read(noise / "x.tif")))

    def opened(place: Place, **settings: Any) -> Scene:
        found = open_scene(place, **settings)
        truncated(scene, 0.6)
        return found

    monkeypatch.setattr(bandfuse.tools.apply, "open_scene", opened)
    done = cli("apply", noise / "w.safetensors", scene, "-o", tmp_path / "out.tif")
    assert done.code == 2
    assert "x.tif cannot be" in done.err
    assert list(listing(tmp_path)) == ["x.tif"]


# --------------------------------------------------------------------------------------------------


def test_what_another_process_wrote_meanwhile_is_left(noise: Path, tmp_path: Path) -> None:
    """The other one is quicker: with and without --overwrite, for files and for runs."""
    from bandfuse.errors import OutputError
    from bandfuse.files.whole import whole_files, whole_folder

    path = tmp_path / "out.tif"
    for there in (False, True):
        theirs = pytest.raises(OutputError, match="written by another process")
        with theirs, whole_files(path) as scratch:
            scratch.write_text("mine")
            with whole_files(path) as other:
                other.write_text("theirs" + " again" * there)
        assert path.read_text().startswith("theirs")
        folder = tmp_path / "run"
        theirs = pytest.raises(OutputError, match="written by another process")
        with theirs, whole_folder(folder) as scratch:
            (scratch / "a").write_text("mine")
            with whole_folder(folder) as other:
                (other / "a").write_text("theirs")
        assert (folder / "a").read_text() == "theirs"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.tif", "run"]


@POSIX
def test_of_two_processes_one_wins(noise: Path, tmp_path: Path) -> None:
    arguments: list[object] = ["apply", noise / "w.safetensors", noise / "x.tif", "-o", "out.tif"]
    both = [started(arguments, tmp_path) for _ in range(2)]
    said = [process.communicate()[1] for process in both]
    assert sorted(p.returncode for p in both) == [0, 2], said
    loser = next(e for p, e in zip(both, said, strict=True) if p.returncode)
    assert "out.tif exists" in loser or "written by another process" in loser
    assert list(listing(tmp_path)) == ["out.tif"]
    assert np.isfinite(read(tmp_path / "out.tif")).all()


# -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with Bench() as found:
        yield found


ENDS = pytest.mark.parametrize(
    ("how", "expected"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)]
)


def check_ended(ended: Ended, expected: int, said: str = "nothing was written") -> None:
    assert ended.code == expected, ended.err
    assert "Traceback" not in ended.err
    assert ended.err.count(said) == 1


@pytest.mark.one_in(2)
@POSIX
@ENDS
@pytest.mark.parametrize("threads", [1, 2])
def test_ended_in_apply_it_leaves_nothing(
    bench: Bench, tmp_path: Path, how: str, expected: int, threads: int
) -> None:
    """While the third window of several is written."""
    weights = weights_file(tmp_path / "w.safetensors", 6)
    write_tiff(tmp_path / "x.tif", spectra(6, 1800, 520))
    before = listing(tmp_path)
    arguments = ["apply", weights, "x.tif", "-o", "out.tif", "--threads", threads, "--memory", 16]
    fault = Fault(3, how, kind="pixels")
    check_ended(bench.run(tmp_path, *arguments, fault=fault), expected)
    assert listing(tmp_path) == before


@pytest.mark.one_in(4)
@POSIX
@ENDS
@pytest.mark.parametrize(
    "fault",
    [Fault(2, kind="read"), Fault(1, kind="pixels"), Fault(1, kind="pixels", after=True)],
    ids=["reading", "writing", "written"],
)
def test_ended_in_train_it_leaves_nothing(
    bench: Bench, tmp_path: Path, fault: Fault, how: str, expected: int
) -> None:
    write_tiff(tmp_path / "x.tif", spectra(6, 300, 260))
    before = listing(tmp_path)
    arguments = ["train", "x.tif", "-o", "run", "--groups", "equal:3", "--no-report"]
    check_ended(bench.run(tmp_path, *arguments, fault=replace(fault, how=how)), expected)
    assert listing(tmp_path) == before


@POSIX
def test_what_is_to_survive_a_closed_terminal_does(tmp_path: Path) -> None:
    """As under nohup."""
    weights = weights_file(tmp_path / "w.safetensors", 6)
    write_tiff(tmp_path / "x.tif", spectra(6))
    arguments = ["apply", weights, "x.tif", "-o", "out.tif"]
    fault = environment(tmp_path, Fault(1, "SIGHUP", kind="pixels"), tmp_path / "site")
    process = started(
        arguments, tmp_path, lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN), fault
    )
    _, err = process.communicate()
    assert process.returncode == 0, err
    assert read(tmp_path / "out.tif").shape[1:] == (40, 50)


@POSIX
@ENDS
def test_ended_between_two_scenes_it_says_which_is_written(
    bench: Bench, tmp_path: Path, how: str, expected: int
) -> None:
    weights = weights_file(tmp_path / "w.safetensors", 6)
    for name in ("a", "b"):
        write_tiff(tmp_path / f"{name}.tif", spectra(6))
    arguments = ["apply", weights, "a.tif", "b.tif", "-o", "{stem}_f.tif"]
    ended = bench.run(tmp_path, *arguments, fault=Fault(2, how, kind="pixels"))
    check_ended(ended, expected, "a_f.tif written, and nothing else")
    assert set(listing(tmp_path)) == {"a.tif", "b.tif", "a_f.tif", "w.safetensors"}


@POSIX
@ENDS
def test_ended_in_the_fit_it_leaves_nothing(
    bench: Bench, tmp_path: Path, how: str, expected: int
) -> None:
    """As soon as a checkpoint is whole."""
    write_tiff(tmp_path / "x.tif", spectra(6, 40, 40))
    before = listing(tmp_path)
    ended = bench.run(
        tmp_path,
        "train",
        "x.tif",
        "-o",
        "run",
        "--groups",
        "equal:2",
        "--optimizer",
        "adam",
        "--steps",
        10**7,
        "--checkpoint",
        "state",
        "--checkpoint-every",
        0,
        "--starts",
        1,
        fault=Fault(1, how, kind="rename", after=True),
    )
    check_ended(ended, expected, "state written, and nothing else")
    (tmp_path / "state").unlink()
    assert listing(tmp_path) == before
