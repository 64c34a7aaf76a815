"""Faults: full disks, files that end too early, Ctrl-C and SIGTERM in every phase, two processes with one output."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasters import LAYOUTS, NORTH_UP, cli, listing, ok, read, spectra, truncated, write_tiff
from test_cli import weights_file

import bandfuse.tools.apply
from bandfuse.scenes import Place, Scene, open_scene

PROGRAM = Path(sys.executable).with_name("bandfuse")
POSIX = pytest.mark.skipif(os.name == "nt", reason="no such signals and limits on Windows")


def started(arguments: list[object], folder: Path, before: Callable[[], object] | None = None) -> subprocess.Popen[str]:
    """Start bandfuse in a folder; ``before`` is called in the new process."""
    return subprocess.Popen(
        [str(PROGRAM), *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder,
        preexec_fn=before,
    )  # fmt: skip


# ---------------------------------------------------------------------------------------------------------- a full disk


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pixels that no compression makes small, and weights for them."""
    folder = tmp_path_factory.mktemp("noise")
    write_tiff(folder / "x.tif", np.random.default_rng(0).normal(size=(4, 500, 520)).astype("float32"))
    weights_file(folder / "w.safetensors", 4)
    return folder


def small_files() -> None:
    """No file of this process grows over 300 kB: what a full disk looks like from inside."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))


@POSIX
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    "how", [(), ("--co", "COMPRESS=NONE"), ("--driver", "ENVI"), ("--driver", "COG")], ids=lambda how: " ".join(how)
)
def test_a_full_disk_is_said_and_leaves_nothing(
    noise: Path, tmp_path: Path, how: tuple[str, ...], threads: int
) -> None:
    process = started(
        ["apply", noise / "w.safetensors", noise / "x.tif", "-o", "out.tif", "--threads", threads, *how], tmp_path,
        small_files,
    )  # fmt: skip
    _, err = process.communicate(timeout=60)
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
    _, err = process.communicate(timeout=120)
    assert process.returncode == 2, err
    assert "cannot be" in err
    assert "Traceback" not in err
    assert listing(tmp_path) == before


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can mount a small file system")
def test_a_small_file_system_is_left_empty(noise: Path, tmp_path: Path) -> None:
    place = tmp_path / "small"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(place)], check=False).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        done = cli("apply", noise / "w.safetensors", noise / "x.tif", "-o", place / "out.tif")
        assert done.code == 2
        assert "Is there room on the disk?" in done.err
        assert listing(place) == {}
    finally:
        subprocess.run(["umount", str(place)], check=True)


@POSIX
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
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


def test_a_file_that_ends_after_it_was_opened(noise: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Path(write_tiff(tmp_path / "x.tif", read(noise / "x.tif")))

    def opened(place: Place, wavelengths: Sequence[str]) -> Scene:
        found = open_scene(place, wavelengths=wavelengths)
        truncated(scene, 0.6)
        return found

    monkeypatch.setattr(bandfuse.tools.apply, "open_scene", opened)
    done = cli("apply", noise / "w.safetensors", scene, "-o", tmp_path / "out.tif")
    assert done.code == 2
    assert "x.tif cannot be" in done.err
    assert list(listing(tmp_path)) == ["x.tif"]


# ---------------------------------------------------------------------------------------------------------- two at once


def test_what_another_process_wrote_meanwhile_is_left(noise: Path, tmp_path: Path) -> None:
    """The other one is quicker: with and without --overwrite, for files and for runs."""
    from bandfuse.errors import OutputError
    from bandfuse.output import whole_files, whole_folder

    path = tmp_path / "out.tif"
    for there in (False, True):
        with pytest.raises(OutputError, match="written by another process"), whole_files(path) as scratch:  # noqa: PT012
            scratch.write_text("mine")
            with whole_files(path) as other:
                other.write_text("theirs" + " again" * there)
        assert path.read_text().startswith("theirs")
        folder = tmp_path / "run"
        with pytest.raises(OutputError, match="written by another process"), whole_folder(folder) as scratch:  # noqa: PT012
            (scratch / "a").write_text("mine")
            with whole_folder(folder) as other:
                (other / "a").write_text("theirs")
        assert (folder / "a").read_text() == "theirs"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.tif", "run"]


@POSIX
def test_of_two_processes_one_wins(noise: Path, tmp_path: Path) -> None:
    arguments: list[object] = ["apply", noise / "w.safetensors", noise / "x.tif", "-o", "out.tif"]
    both = [started(arguments, tmp_path) for _ in range(2)]
    said = [process.communicate(timeout=60)[1] for process in both]
    assert sorted(p.returncode for p in both) == [0, 2], said
    loser = next(e for p, e in zip(both, said, strict=True) if p.returncode)
    assert "out.tif exists" in loser or "written by another process" in loser
    assert list(listing(tmp_path)) == ["out.tif"]
    assert np.isfinite(read(tmp_path / "out.tif")).all()


# ------------------------------------------------------------------------------------------------- Ctrl-C and SIGTERM


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """About 85 MB of pixels, written quickly."""
    path = tmp_path_factory.mktemp("large") / "large.tif"
    tile = spectra(16, 256, 256, dtype="int16")
    with rasterio.open(
        path, "w", driver="GTiff", count=16, height=1024, width=2560, dtype="int16", transform=NORTH_UP,
        **{**LAYOUTS["tiled-band"], "blockxsize": 256, "blockysize": 256},
    ) as ds:  # fmt: skip
        for row in range(0, 1024, 256):
            for col in range(0, 2560, 256):
                ds.write(tile + np.int16(row // 256 + col // 64), window=((row, row + 256), (col, col + 256)))
    return path


def ended(
    arguments: list[object], folder: Path, begun: Callable[[int], bool], number: signal.Signals
) -> tuple[int, str]:
    """Start bandfuse, send it a signal as soon as it has begun; the exit code and what was said. However long it takes:
    pytest's own limit ends what hangs."""
    process = started(arguments, folder, lambda: signal.signal(signal.SIGINT, signal.default_int_handler))
    try:
        while not begun(process.pid) and process.poll() is None:
            time.sleep(0.005)
        assert process.poll() is None, process.communicate()
        process.send_signal(number)
        _, err = process.communicate()
    finally:
        if process.poll() is None:
            process.kill()
    return process.returncode, err


BOTH = pytest.mark.parametrize(
    ("number", "expected"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "SIGTERM"]
)
PROC = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc to see how far it is")


def check_ended(code: int, err: str, expected: int) -> None:
    assert code == expected, err
    assert "Traceback" not in err
    assert err.count("nothing was written") == 1


@POSIX
@BOTH
def test_ended_in_apply_it_leaves_nothing(large: Path, tmp_path: Path, number: signal.Signals, expected: int) -> None:
    weights = weights_file(tmp_path / "w.safetensors", 16)
    before = listing(tmp_path)
    arguments = ["apply", weights, large, "-o", "out.tif", "--threads", 1, "--memory", 16, "--co", "ZLEVEL=9"]
    code, err = ended(arguments, tmp_path, lambda _: bool(list(tmp_path.glob(".out.tif.*/out.tif"))), number)
    check_ended(code, err, expected)
    assert listing(tmp_path) == before


@PROC
@BOTH
def test_ended_in_the_reading_of_train_it_leaves_nothing(
    large: Path, tmp_path: Path, number: signal.Signals, expected: int
) -> None:
    def reads(pid: int) -> bool:
        for link in Path(f"/proc/{pid}/fd").glob("*"):
            with suppress(OSError):
                if os.readlink(link) == str(large):
                    return True
        return False

    arguments = ["train", large, "-o", "run", "--groups", "equal:4", "--threads", 1, "--memory", 16]
    code, err = ended(arguments, tmp_path, reads, number)
    check_ended(code, err, expected)
    assert listing(tmp_path) == {}


@PROC
@BOTH
def test_ended_in_the_fit_it_leaves_nothing(tmp_path: Path, number: signal.Signals, expected: int) -> None:
    """The checkpoint appears when the first steps are taken."""
    write_tiff(tmp_path / "x.tif", spectra(6, 40, 40))
    before = listing(tmp_path)
    checkpoint = tmp_path / "state"
    code, err = ended(
        ["train", "x.tif", "-o", "run", "--groups", "equal:2", "--optimizer", "adam", "--steps", 10**7, "--checkpoint",
         checkpoint, "--checkpoint-every", 0, "--starts", 1],
        tmp_path, lambda _: checkpoint.exists(), number,
    )  # fmt: skip
    check_ended(code, err, expected)
    checkpoint.unlink(missing_ok=True)
    assert listing(tmp_path) == before


@POSIX
@BOTH
def test_ended_in_the_writing_of_train_it_leaves_nothing(
    large: Path, tmp_path: Path, number: signal.Signals, expected: int
) -> None:
    code, err = ended(
        ["train", large, "-o", "run", "--groups", "equal:4", "--steps", 1], tmp_path,
        lambda _: bool(list(tmp_path.glob(".run.*/**/fused.tif"))), number,
    )  # fmt: skip
    check_ended(code, err, expected)
    assert listing(tmp_path) == {}
