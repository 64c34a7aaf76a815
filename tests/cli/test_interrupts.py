"""Ctrl-C from the first import on: one line and 130, and nothing of Python's own."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from rasters import write_tiff

ROOT = Path(__file__).parents[2]

AT_IMPORT = """
import runpy, signal, sys
name, after, left = {name!r}, {after}, None
def hook(event, values):
    global left
    if event == 'import':
        left = after if left is None and values[0] == name else left
        if left is not None:
            left -= 1
            if left == -1:
                signal.raise_signal(signal.SIGINT)
sys.addaudithook(hook)
sys.argv = ['bandfuse', *{arguments!r}]
runpy.run_module('bandfuse', run_name='__main__', alter_sys=True)
"""
"""Runs bandfuse, and is interrupted so many imports after that of a module."""


def ended(code: str, handler: str) -> tuple[int, str]:
    """Exit code and stderr of a program that hears Ctrl-C as in a terminal."""
    prepared = f"import signal; signal.signal(signal.SIGINT, {handler})\n{code}"
    done = subprocess.run(
        [sys.executable, "-c", prepared], capture_output=True, text=True, timeout=120
    )
    return done.returncode, done.stderr


def interrupted(name: str, after: int, handler: str, *arguments: object) -> tuple[int, str]:
    words = [str(word) for word in arguments]
    return ended(AT_IMPORT.format(name=name, after=after, arguments=words), handler)


HEARD = "signal.default_int_handler"


@pytest.mark.parametrize("after", [0, 1, 7, 30, 90, 180])
def test_an_import_is_interrupted_in_one_line(after: int) -> None:
    code, told = interrupted("bandfuse.cli.main", after, HEARD, "info", "none.tif")
    assert (code, told) == (130, "interrupted: nothing was written\n")


@pytest.mark.parametrize("after", [0, 1, 2])
def test_so_are_the_first_imports_of_all(after: int) -> None:
    code, told = interrupted("bandfuse.cli", after, HEARD, "info", "none.tif")
    assert (code, told) == (130, "interrupted: nothing was written\n")


@pytest.mark.parametrize("name", ["bandfuse.cli.commands", "bandfuse.tools.info", "rasterio"])
def test_the_imports_of_a_command_are_too(name: str, tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", np.ones((1, 2, 2)))
    code, told = interrupted(name, 1, HEARD, "info", path)
    assert (code, told) == (130, "interrupted: nothing was written\n")


def test_the_installed_program_begins_there_too() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["scripts"] == {"bandfuse": "bandfuse.__main__:main"}


def test_a_program_that_is_to_ignore_it_does(tmp_path: Path) -> None:
    """As behind ``nohup``, or in the background of a shell."""
    path = write_tiff(tmp_path / "a.tif", np.ones((1, 2, 2)))
    assert interrupted("bandfuse.cli.main", 1, "signal.SIG_IGN", "info", path) == (0, "")


def test_an_interrupt_inside_an_exec_ends_by_130(tmp_path: Path) -> None:
    """Dataclasses are made by exec; Python would end the program by the signal."""
    (tmp_path / "sitecustomize.py").write_text(
        "import bandfuse.cli.show, bandfuse.tools.info\n"
        "bandfuse.tools.info.describe = lambda *_: exec('raise KeyboardInterrupt')\n"
    )
    paths = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-m", "bandfuse", "info", "a.tif"],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": paths},
    )
    assert (done.returncode, done.stderr) == (130, "interrupted: nothing was written\n")


def test_a_late_interrupt_says_nothing_more() -> None:
    code = (
        "import atexit, signal, sys\n"
        "atexit.register(signal.raise_signal, signal.SIGINT)\n"
        "sys.argv = ['bandfuse', '--version']\n"
        "from bandfuse.__main__ import main\n"
        "main()\n"
    )
    assert ended(code, HEARD) == (130, "")


def test_an_import_of_the_library_leaves_the_handler_alone() -> None:
    code = (
        "import signal, bandfuse, bandfuse.cli.main\n"
        "assert signal.getsignal(signal.SIGINT) is signal.default_int_handler\n"
    )
    assert ended(code, HEARD) == (0, "")
