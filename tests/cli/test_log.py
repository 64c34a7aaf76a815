"""The log of a command: what it said, with times, what it ran with, and where errors came from."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from rasters import blend, cli, listing, ok, spectra, wavelengths, write_tiff

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d ")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    cube = spectra(4, 20, 25)
    write_tiff(tmp_path / "c.tif", cube, nm=wavelengths(4), bad=[2])
    write_tiff(tmp_path / "t.tif", blend(cube, [[0.5, 0, 0.5, 0]]).astype("float32"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def lines(log: Path) -> list[str]:
    """The lines without their times; every one but the head has a time."""
    head, *rest = log.read_text().splitlines()
    assert head == "# bandfuse log"
    assert all(TIME.match(line) for line in rest), rest
    return [TIME.sub("", line, count=1) for line in rest]


def test_a_log_holds_the_command_the_versions_and_what_was_said(place: Path) -> None:
    how = ["resample", "c.tif", "--sensor", "sentinel-2a", "-o", "s.tif"]
    done = ok(*how, "--log-file", "l.txt")
    found = lines(place / "l.txt")
    assert found[0] == "bandfuse " + " ".join(how) + " --log-file l.txt"
    assert re.match(r"Python 3\.\d+\.\d+, GDAL \d.*rasterio .*numpy .*torch .*BLAS ", found[1])
    assert done.err
    assert [line for line in done.err.splitlines() if line not in found] == []
    assert "fuse: 1 part" in found
    assert found[-1] == "exit code 0"


def test_what_quiet_does_not_say_is_logged(place: Path) -> None:
    how = ["resample", "c.tif", "--sensor", "sentinel-2a", "-o"]
    loud, quiet = ok(*how, "a.tif"), ok(*how, "b.tif", "-q", "--log-file", "l.txt")
    assert (bool(loud.err), quiet.err) == (True, "")
    assert set(loud.err.splitlines()) <= set(lines(place / "l.txt"))


@pytest.mark.parametrize("where", ["before", "after"])
def test_an_error_is_logged_with_where_it_came_from(where: str, place: Path) -> None:
    flag = ["--log-file", "l.txt"]
    call = ["info", "none.tif"]
    done = cli(*([*flag, *call] if where == "before" else [*call, *flag]))
    found = lines(place / "l.txt")
    assert done.code == 2
    assert "Traceback" not in done.err
    assert done.err.strip() in found
    assert "Traceback (most recent call last):" in found
    assert any("bandfuse/raster/describe.py" in line.replace("\\", "/") for line in found)
    assert found[-1] == "exit code 2"


def test_a_mistyped_flag_is_logged(place: Path) -> None:
    done = cli("train", "c.tif", "--taget", "t.tif", "--log-file=l.txt")
    assert done.code == 2
    assert done.err.strip() in lines(place / "l.txt")


def test_a_second_command_is_added_to_the_log(place: Path) -> None:
    for _ in range(2):
        ok("info", "c.tif", "--log-file", "l.txt")
    text = (place / "l.txt").read_text()
    assert text.count("# bandfuse log") == 2
    assert text.count("exit code 0") == 2


def test_a_log_never_goes_into_another_file(place: Path) -> None:
    before = listing(place)
    done = cli("info", "c.tif", "--log-file", "c.tif")
    assert done.code == 2
    assert "c.tif exists, and is no log" in done.err
    assert "cannot be written" in cli("info", "c.tif", "--log-file", "no/l.txt").err
    assert "no ordinary file" in cli("info", "c.tif", "--log-file", ".").err
    assert listing(place) == before


def test_the_log_of_one_command_is_not_that_of_the_next(place: Path) -> None:
    ok("info", "c.tif", "--log-file", "l.txt")
    size = (place / "l.txt").stat().st_size
    cli("info", "none.tif")
    assert (place / "l.txt").stat().st_size == size


def test_a_full_disk_ends_the_log_and_not_the_work(place: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    code = (
        "import sys\nfrom bandfuse.cli import streams\nstreams.start_log('l.txt', [])\n"
        "streams.Log.now = open('/dev/full', 'w')\nstreams.log('x')\n"
        "assert streams.Log.now is None\nprint('went on')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "went on\n", done.stderr


def test_gdal_and_batches_are_logged(place: Path) -> None:
    (place / "b.yaml").write_text(
        "version: 1\noutput: out\nscenes: [{files: [c.tif, none.tif]}]\n"
        "jobs: [{name: shrink, kind: train, pool: each, settings: {groups: '1-4'}}]\n"
    )
    done = cli("batch", "b.yaml", "--log-file", "l.txt")
    found = lines(place / "l.txt")
    assert done.code == 1
    assert "2 items" in found
    assert any(line.startswith("done shrink/c: ") for line in found)
    assert any(line.startswith("failed shrink/none: ") for line in found)
    assert found[-1] == "exit code 1"


def test_a_log_keeps_no_secret_of_a_url(place: Path) -> None:
    url = "/vsicurl/http://me:pw123@127.0.0.1:9/x.tif?part=2&sig=SECRET1&X-Amz-Credential=SECRET2"
    assert cli("info", url, "--log-file", "l.txt").code == 2
    text = (place / "l.txt").read_text()
    assert not [secret for secret in ("pw123", "SECRET1", "SECRET2") if secret in text]
    assert "http://***@127.0.0.1:9/x.tif?part=2&sig=***&X-Amz-Credential=***" in text
