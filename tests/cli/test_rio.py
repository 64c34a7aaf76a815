"""``rio bandfuse``: the entry point, called by rasterio's own group; and the same bytes as
bandfuse."""

from __future__ import annotations

import json
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from helpers import same_bits
from rasterio.rio.main import main_group
from rasters import blend, ok, profile, read, spectra, wavelengths, write_tiff

PROJECT = Path(__file__).parents[2] / "pyproject.toml"


def plugin() -> Any:
    """What the project's entry point is, loaded as rasterio does."""
    ((name, value),) = tomllib.loads(PROJECT.read_text())["project"]["entry-points"][
        "rasterio.rio_plugins"
    ].items()
    return EntryPoint(name, value, "rasterio.rio_plugins").load()


@pytest.fixture
def rio(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setitem(main_group.commands, "bandfuse", plugin())

    def run(*arguments: object) -> Result:
        return CliRunner().invoke(main_group, [str(a) for a in arguments])

    return run


@pytest.fixture
def cube(tmp_path: Path) -> str:
    x = spectra(6, 30, 40)
    write_tiff(tmp_path / "t.tif", blend(x, [[0.5, 0.5, 0, 0, 0, 0]]).astype("float32"))
    return write_tiff(tmp_path / "cube.tif", x, nm=wavelengths(6))


def test_the_entry_point_is_a_command_of_rios_click() -> None:
    assert isinstance(plugin(), click.Command)
    assert plugin().name == "bandfuse"


def test_train_and_apply_in_rios_way(rio: Any, cube: str, tmp_path: Path) -> None:
    done = rio(
        "bandfuse",
        "train",
        cube,
        tmp_path / "run",
        "--target",
        tmp_path / "t.tif",
        "--set",
        "no_report=true",
    )
    assert done.exit_code == 0, done.output
    ok("train", cube, "--target", tmp_path / "t.tif", "--no-report", "-o", tmp_path / "own")
    weights = tmp_path / "run" / "weights.safetensors"
    same_bits(weights.read_bytes(), (tmp_path / "own" / "weights.safetensors").read_bytes())
    done = rio(
        "bandfuse",
        "apply",
        weights,
        cube,
        tmp_path / "y.tif",
        "-t",
        "int16",
        "--scale",
        "0.001",
        "--co",
        "COMPRESS=LZW",
        "-j",
        "ALL_CPUS",
        "-f",
        "GTiff",
    )
    assert (done.exit_code, done.output) == (0, "")
    ok("apply", weights, cube, "-o", tmp_path / "z.tif", "--dtype", "int16", "--scale", "0.001")
    assert (read(tmp_path / "y.tif") == read(tmp_path / "z.tif")).all()
    assert profile(tmp_path / "y.tif")["compress"] == "lzw"
    done = rio(
        "bandfuse", "apply", weights, cube, "-o", tmp_path / "y.tif", "--overwrite", "-j", "2"
    )
    assert done.exit_code == 0, done.output
    assert profile(tmp_path / "y.tif")["dtype"] == "float32"


def test_several_inputs_go_into_a_folder(rio: Any, cube: str, tmp_path: Path) -> None:
    ok("train", cube, "--no-report", "--no-fused", "-o", tmp_path / "run")
    other = write_tiff(tmp_path / "other.tif", spectra(6, 20, 20), nm=wavelengths(6))
    (tmp_path / "out").mkdir()
    done = rio(
        "bandfuse", "apply", tmp_path / "run/weights.safetensors", cube, other, tmp_path / "out"
    )
    assert done.exit_code == 0, done.output
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["cube.tif", "other.tif"]


def test_info_is_json(rio: Any, cube: str) -> None:
    done = rio("bandfuse", "info", cube, "--groups", "equal:2")
    assert done.exit_code == 0
    assert json.loads(done.stdout) == ok("info", cube, "--groups", "equal:2", "--json").json


@pytest.mark.one_in(2)
@pytest.mark.parametrize(
    ("more", "says"),
    [
        ([], "exists"),
        (["--overwrite", "-t", "int16"], "needs a declared scale"),
        (["--overwrite", "-j", "many"], "ALL_CPUS"),
        (["--overwrite", "--set", "thread=1"], "Did you mean 'threads'?"),
        (["--overwrite", "--co", "compress"], "KEY=VALUE"),
    ],
)
def test_a_mistake_is_one_message_and_exit_code_2(
    rio: Any, cube: str, tmp_path: Path, more: list[str], says: str
) -> None:
    ok("train", cube, "--no-report", "--no-fused", "-o", tmp_path / "run")
    (tmp_path / "y.tif").write_bytes(b"before")
    done = rio(
        "bandfuse", "apply", tmp_path / "run/weights.safetensors", cube, tmp_path / "y.tif", *more
    )
    assert done.exit_code == 2
    assert says in done.output
    assert done.output.count("Error") == 1
    assert (tmp_path / "y.tif").read_bytes() == b"before"


@pytest.mark.parametrize("command", [[], ["apply"], ["train"], ["info"]])
def test_help(rio: Any, command: list[str]) -> None:
    done = rio("bandfuse", *command, "--help")
    assert done.exit_code == 0
    assert done.stdout.startswith("Usage:")
    assert max(map(len, done.stdout.splitlines())) <= 80
