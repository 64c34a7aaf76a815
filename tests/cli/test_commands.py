"""The command line: it answers at once, says one thing about each mistake, and leaves nothing
behind."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from makers import weights_file
from rasters import (
    LAYOUTS,
    blend,
    cli,
    listing,
    ok,
    spectra,
    subdatasets_only,
    truncated,
    wavelengths,
    write_tiff,
)

from bandfuse.cli.commands import app_of
from bandfuse.cli.main import COMMANDS

PROGRAM = Path(sys.executable).with_name("bandfuse")
HEAVY = {"torch", "rasterio", "scipy", "matplotlib", "numpy"}


def run(*command: object, **how: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(c) for c in command], capture_output=True, text=True, timeout=120, **how
    )  # type: ignore[call-overload, no-any-return]


def imported(*arguments: object) -> tuple[int, set[str]]:
    """Exit code of ``bandfuse ARGUMENTS`` in a process of its own, and the top-level packages it
    imported."""
    code = (
        "import sys\n"
        f"sys.argv = ['bandfuse', *{[str(a) for a in arguments]!r}]\n"
        "from bandfuse.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit as e:\n    code = e.code or 0\n"
        "print('MODULES', code, *sorted({m.split('.')[0] for m in sys.modules}))\n"
    )
    done = run(sys.executable, "-c", code)
    words = done.stdout.split("MODULES")[-1].split()
    assert words, done.stderr
    return int(words[0]), set(words[1:])


# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "way", [(PROGRAM,), (sys.executable, "-m", "bandfuse")], ids=["bandfuse", "python -m"]
)
def test_help_answers_at_once(way: tuple[object, ...]) -> None:
    """In little more of this processor's time than the libraries take that print it, whatever
    machine it is."""
    libraries = (sys.executable, "-c", "import typer, rich.table, rich.panel")
    seconds: dict[tuple[object, ...], list[float]] = {libraries: [], way: []}
    for _ in range(5):
        for command, took in seconds.items():
            start = resource.getrusage(resource.RUSAGE_CHILDREN)
            done = run(*command, *(["--help"] if command is way else []))
            end = resource.getrusage(resource.RUSAGE_CHILDREN)
            took.append(end.ru_utime - start.ru_utime + end.ru_stime - start.ru_stime)
            assert done.returncode == 0
    assert all(name in done.stdout for name in COMMANDS)
    assert min(seconds[way]) <= 2 * min(seconds[libraries])


def test_threads_of_blas_sleep_when_they_have_no_work(tmp_path: Path) -> None:
    """Those that OpenBLAS starts when numpy is imported would else wait busily for 0.03 seconds;
    what the user says of them stays."""
    code = (
        "import os, sys\n"
        "sys.argv = ['bandfuse', 'schema']\n"
        "from bandfuse.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print('TIMEOUT', os.environ['OPENBLAS_THREAD_TIMEOUT'])\n"
    )
    name = "OPENBLAS_THREAD_TIMEOUT"
    unsaid = {key: value for key, value in os.environ.items() if key != name}
    for told, expected in (({}, "16"), ({name: "20"}, "20")):
        done = run(sys.executable, "-c", code, env={**unsaid, **told})
        assert done.stdout.split()[-2:] == ["TIMEOUT", expected], done.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["nothing"]])
def test_the_front_door_imports_nothing_heavy(arguments: list[str]) -> None:
    code, modules = imported(*arguments)
    assert code == (2 if arguments == ["nothing"] else 0)
    assert modules & HEAVY == set()
    assert "typer" in modules


@pytest.mark.parametrize("command", ["train", "apply", "info"])
def test_help_of_a_command_imports_neither_torch_nor_rasterio(command: str) -> None:
    code, modules = imported(command, "--help")
    assert code == 0
    assert modules & {"torch", "rasterio", "scipy", "matplotlib"} == set()
    assert "pydantic" in modules


def test_apply_imports_only_what_it_uses(tmp_path: Path) -> None:
    """Each of these takes a hundredth of a second, or brings many others with it."""
    path = write_tiff(tmp_path / "a.tif", spectra(4, 20, 20))
    weights = weights_file(tmp_path / "w.safetensors", 4)
    arguments = ["apply", weights, path, "-o", tmp_path / "out.tif", "-q"]
    code = (
        "import sys\n"
        f"sys.argv = ['bandfuse', *{[str(a) for a in arguments]!r}]\n"
        "from bandfuse.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit as e:\n    print('CODE', e.code or 0)\n"
        "print('MODULES', *sorted(sys.modules))\n"
    )
    words = run(sys.executable, "-c", code).stdout.split()
    assert words[words.index("CODE") + 1] == "0"
    modules = set(words[words.index("MODULES") :])
    unused = {"torch", "scipy", "pyogrio", "shapely", "matplotlib", "xarray", "dask", "sklearn"}
    unused |= {"xml.sax", "urllib.request", "http.client", "ssl"}
    unused |= {"rich.table", "yaml", "json.tool", "asyncio", "bandfuse.training.learn"}
    unused |= {"bandfuse.config.train", "bandfuse.solve", "bandfuse.report"}
    unused |= {"psutil", "numpy.random"}
    assert modules & unused == set()
    assert "rasterio" in modules


def test_apply_never_imports_torch(tmp_path: Path) -> None:
    cube = spectra(8, 180, 180)
    path = write_tiff(tmp_path / "a.tif", cube)
    assert Path(path).stat().st_size > 1_000_000
    weights = weights_file(tmp_path / "w.safetensors", 8)
    code, modules = imported("apply", weights, path, "-o", tmp_path / "out.tif", "-q")
    assert code == 0
    assert "torch" not in modules
    assert "rasterio" in modules
    assert (tmp_path / "out.tif").is_file()


def test_the_list_of_commands_is_that_of_the_commands() -> None:
    found = {
        c.callback.__name__: (c.callback.__doc__ or "")
        for c in app_of().registered_commands
        if c.callback
    }
    assert set(found) == set(COMMANDS)
    for name, text in COMMANDS.items():
        first = " ".join(found[name].split("\n\n")[0].split())
        assert _same_start(text, first), f"{name}: {text!r} in the list, {first!r} in the command"


def _same_start(short: str, full: str) -> bool:
    """The first words of both agree up to where the short text ends or turns."""
    a, b = ([w.strip(".,:;").lower() for w in t.split()] for t in (short, full))
    return a[:4] == b[:4]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_fits_a_terminal_and_shows_examples(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = ok(command, "--help").out.splitlines()
    assert max(map(len, lines)) <= 84  # typer breaks no long list of choices
    start = lines.index("  Examples:")
    assert all(len(line) <= 80 for line in lines[: start + 4])
    assert lines[start + 1].startswith(f"    bandfuse {command}")


@pytest.mark.parametrize(
    "words", ["bandfuse ap", "bandfuse apply --nodata-p", "bandfuse train --constraint non"]
)
def test_completion(words: str) -> None:
    """What a shell asks for, and what it is told."""
    place = {
        "_BANDFUSE_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(words.count(" ")),
    }
    done = run(PROGRAM, env={**os.environ, **place})
    want = {"ap": "apply", "--nodata-p": "--nodata-policy", "non": "nonnegative"}[words.split()[-1]]
    assert done.stdout.split() == [want]
    assert done.stderr == ""


def test_completion_can_be_shown_and_installed(tmp_path: Path) -> None:
    import shutil

    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash")
    home = {
        **os.environ,
        "HOME": str(tmp_path),
        "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1",
    }
    shown = run(PROGRAM, "--show-completion", "bash", env=home)
    assert "complete -o default -F _bandfuse_completion bandfuse" in shown.stdout
    assert run(PROGRAM, "--install-completion", "bash", env=home).returncode == 0
    assert "bandfuse" in (tmp_path / ".bashrc").read_text()
    (script,) = tmp_path.rglob("bandfuse.sh")
    assert run(bash, "-n", script).returncode == 0


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str) -> None:
    done = ok(command, "--help")
    assert re.match(rf"\s*Usage: \S.* {command} ", done.out)
    assert ok(command, "-h").out == done.out


def test_version() -> None:
    import bandfuse

    assert ok("--version").out == f"bandfuse {bandfuse.__version__}\n"


# --------------------------------------------------------------------------------------------------


class Folder:
    """A folder with good inputs, and what a test adds to it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.cube = write_tiff(path / "cube.tif", spectra(4, 20, 25), nm=wavelengths(4))
        self.target = write_tiff(path / "goal.tif", blend(spectra(4, 20, 25), [[0.5, 0.5, 0, 0]]))
        self.weights = weights_file(path / "weights.safetensors", 4)

    def text(self, name: str, content: str) -> str:
        (self.path / name).write_text(content)
        return str(self.path / name)

    def train(self, *arguments: object) -> list[object]:
        return ["train", self.cube, "--target", self.target, "-o", self.path / "run", *arguments]

    def scene(self, path: object) -> list[object]:
        return ["train", path, "-o", self.path / "run"]

    def apply(self, *arguments: object, out: object = "out.tif") -> list[object]:
        return ["apply", *arguments, "-o", self.path / str(out)]

    def raster(self, name: str, values: np.ndarray, **how: object) -> str:
        return write_tiff(self.path / name, values, **how)  # type: ignore[arg-type]


def _no_raster(f: Folder) -> str:
    return f.text("text.tif", "this is no raster")


def _truncated(f: Folder) -> str:
    return truncated(f.raster("short.tif", spectra(4, 300, 300), **LAYOUTS["tiled-band"]))


def _nodata(f: Folder) -> str:
    return f.raster("void.tif", np.full((4, 20, 25), -9, "int16"), nodata=-9)


def _file_of(f: Folder, text: str) -> str:
    return f.text("settings.yaml", text)


BAD: dict[str, tuple[Callable[[Folder], list[object]], tuple[str, ...]]] = {
    "missing file": (
        lambda f: f.scene(f.path / "cubes.tif"),
        ("cubes.tif does not exist", "'cube.tif'"),
    ),
    "missing file on apply": (
        lambda f: f.apply(f.weights, f.path / "no.tif"),
        ("no.tif does not exist",),
    ),
    "missing file on info": (lambda f: ["info", f.path / "no.tif"], ("no.tif does not exist",)),
    "missing target": (
        lambda f: ["train", f.cube, "--target", f.path / "t.tif", "-o", f.path / "run"],
        ("t.tif",),
    ),
    "folder without a raster": (
        lambda f: ["info", Path(f.text("empty.txt", "")).parent / "none"],
        ("none",),
    ),
    "not a raster": (lambda f: f.scene(_no_raster(f)), ("text.tif cannot be opened as a raster",)),
    "not a raster on info": (
        lambda f: ["info", _no_raster(f)],
        ("text.tif cannot be opened as a raster",),
    ),
    "truncated": (lambda f: f.scene(_truncated(f)), ("short.tif",)),
    "truncated on apply": (lambda f: f.apply(f.weights, _truncated(f)), ("short.tif",)),
    "all nodata": (lambda f: f.scene(_nodata(f)), ("void", "no valid pixel")),
    "target of another size": (
        lambda f: [
            *f.scene(f.cube),
            "--target",
            f.raster("big.tif", spectra(1, 21, 25), crs=None, transform=None),
        ],
        ("big.tif", "21 × 25", "20 × 25", "its CRS and position"),
    ),
    "other band count": (
        lambda f: f.apply(f.weights, f.raster("five.tif", spectra(5, 9, 9))),
        ("five.tif", "5 bands", "4 bands"),
    ),
    "NaN weights": (
        lambda f: f.apply(weights_file(f.path / "nan.safetensors", 4, float("nan")), f.cube),
        ("nan.safetensors", "NaN"),
    ),
    "missing weights": (
        lambda f: f.apply(f.path / "no.safetensors", f.cube),
        ("no.safetensors does not exist",),
    ),
    "text as weights": (
        lambda f: f.apply(f.text("w.safetensors", "0.1 0.2\n" * 20), f.cube),
        ("w.safetensors is not a weights file",),
    ),
    "raster as weights": (lambda f: f.apply(f.cube, f.cube), ("cube.tif is not a weights file",)),
    "unknown group": (lambda f: f.train("--fixed", "swir"), ("'swir'",)),
    "group that cannot be read": (
        lambda f: f.train("--group", "a=visible"),
        ("'visible'", "450-520nm"),
    ),
    "group without a name": (lambda f: f.train("--group", "1-3"), ("--group", "NAME=SPEC")),
    "empty group": (
        lambda f: f.train("--group", "a=2000-2500nm"),
        ("2000-2500nm", "400.3 to 1000.3 nm"),
    ),
    "band outside the cube": (lambda f: f.train("--group", "a=3-9"), ("3-9", "1 to 4")),
    "band outside on info": (lambda f: ["info", f.cube, "--groups", "0-2"], ("0-2", "1 to 4")),
    "groups of no number": (lambda f: f.train("--groups", "equal:many"), ("equal:many",)),
    "groups of an unknown rule": (lambda f: f.train("--groups", "equl:3"), ("equl:3",)),
    "groups file that is missing": (
        lambda f: f.train("--groups", f"file:{f.path}/g.yaml"),
        ("g.yaml",),
    ),
    "output exists": (
        lambda f: [*f.train()[:-1], f.text("run", "mine")],
        ("run was not made by bandfuse", "not replaced", "another output"),
    ),
    "output of apply exists": (
        lambda f: f.apply(f.weights, f.cube, out="goal.tif"),
        ("goal.tif exists", "--overwrite"),
    ),
    "output in no folder": (
        lambda f: [*f.train()[:-1], f.path / "no" / "run"],
        ("no does not exist",),
    ),
    "output of apply in no folder": (
        lambda f: f.apply(f.weights, f.cube, out="no/out.tif"),
        ("no does not exist",),
    ),
    "demo in no folder": (lambda f: ["demo", f.path / "no" / "demo"], ("no does not exist",)),
    "output below a file": (
        lambda f: [*f.train()[:-1], f.path / "cube.tif" / "run"],
        ("cube.tif is not a folder",),
    ),
    "output of apply below a file": (
        lambda f: f.apply(f.weights, f.cube, out="cube.tif/out.tif"),
        ("cube.tif is not a folder",),
    ),
    "no output": (lambda f: ["train", f.cube], ("-o",)),
    "no output of apply": (lambda f: ["apply", f.weights, f.cube], ("-o",)),
    "no scene": (lambda f: ["train", "-o", f.path / "run"], ("no scene", "SCENE")),
    "unknown key": (
        lambda f: f.train("--config", _file_of(f, "objectiv: regression\n")),
        ("objectiv", "'objective'"),
    ),
    "not YAML": (
        lambda f: f.train("--config", _file_of(f, "a: [1, 2\nb: }")),
        ("settings.yaml is not YAML",),
    ),
    "YAML with an impossible date": (
        lambda f: f.train("--config", _file_of(f, "seed: 2024-13-45\n")),
        ("settings.yaml",),
    ),
    "YAML with a list": (
        lambda f: f.train("--config", _file_of(f, "- 1\n- 2\n")),
        ("settings.yaml", "list"),
    ),
    "YAML of bytes": (lambda f: f.train("--config", f.cube), ("cube.tif",)),
    "missing config": (lambda f: f.train("--config", f.path / "no.yaml"), ("no.yaml",)),
    "wrong value in a file": (
        lambda f: f.train("--config", _file_of(f, "constraint: simple\n")),
        ("constraint", "simplex"),
    ),
    "infinite number in a file": (
        lambda f: f.train("--config", _file_of(f, "momentum: .inf\n")),
        ("momentum",),
    ),
    "--set without value": (lambda f: f.train("--set", "seed"), ("--set", "'seed'", "key=value")),
    "--set of an unknown key": (lambda f: f.train("--set", "sed=1"), ("'sed'", "'seed'")),
    "--set of a wrong value": (lambda f: f.train("--set", "seed=early"), ("seed", "early")),
    "--set that is not YAML": (lambda f: f.train("--set", "seed=[1"), ("seed=[1",)),
    "--set of an unknown key beside a file": (
        lambda f: f.train("--config", _file_of(f, "seed: 1\n"), "--set", "sed=1"),
        ("'sed'", "'seed'"),
    ),
    "unknown device": (lambda f: f.train("--device", "abacus"), ("abacus", "cuda")),
    "gain with free": (lambda f: f.train("--gain", "--constraint", "free"), ("--gain", "free")),
    "two scenes with one output": (
        lambda f: f.apply(
            f.weights, f.cube, f.raster("other.tif", spectra(4, 9, 9)), out="one.tif"
        ),
        ("one.tif", "{stem}"),
    ),
    "template without field": (
        lambda f: f.apply(
            f.weights, f.cube, f.raster("other.tif", spectra(4, 9, 9)), out="x{{}}.tif"
        ),
        ("same output",),
    ),
    "template of an unknown field": (
        lambda f: f.apply(f.weights, f.cube, out="{sten}.tif"),
        ("{sten}", "stem"),
    ),
    "template of an attribute": (
        lambda f: f.apply(f.weights, f.cube, out="{stem.x}.tif"),
        ("{stem.x}",),
    ),
    "apply without a scene": (lambda f: f.apply(f.weights), ("no scene",)),
    "driver that is unknown": (lambda f: f.apply(f.weights, f.cube, "--driver", "GTif"), ("GTif",)),
    "option without value": (
        lambda f: f.apply(f.weights, f.cube, "--co", "COMPRESS"),
        ("--co", "COMPRESS"),
    ),
    "evaluate without a target": (lambda f: ["evaluate", f.weights, f.cube], ("--target",)),
    "unknown command": (
        lambda f: ["trian", f.cube],
        ("no command 'trian'. Did you mean 'train'?",),
    ),
    "unknown flag": (
        lambda f: f.train("--constrain", "free"),
        ("no flag --constrain. Did you mean '--constraint'?",),
    ),
    "wrong number": (lambda f: f.train("--seed", "early"), ("--seed", "'early'", "a whole number")),
    "wrong choice": (
        lambda f: f.train("--constraint", "fre"),
        ("--constraint; got 'fre'", "Did you mean 'free'?"),
    ),
    "no argument": (lambda f: ["apply"], ("WEIGHTS is not given", "apply --help")),
    "no required flag": (
        lambda f: ["export", f.weights, "-o", f.path / "x"],
        ("no --to is given", "vrt"),
    ),
    "no value": (lambda f: f.train("--groups"), ("--groups", "without its value")),
    "too many arguments": (
        lambda f: ["batch", f.cube, "another"],
        ("no further argument", "another"),
    ),
}


def said(err: str) -> str:
    """Stderr as one text: exactly one error, and nothing before it."""
    lines = err.splitlines()
    heads = [line for line in lines if re.match(r"error: ", line, re.IGNORECASE)]
    assert len(heads) == 1, err
    assert lines[0] == heads[0], err
    return " ".join(" ".join(lines).split())


@pytest.mark.parametrize("mistake", BAD)
def test_a_mistake_gives_one_message_that_names_it(tmp_path: Path, mistake: str) -> None:
    make, words = BAD[mistake]
    arguments = make(Folder(tmp_path))
    before = listing(tmp_path)
    done = cli(*arguments)
    assert done.code == 2, done.err
    assert listing(tmp_path) == before
    assert done.out == ""
    assert "Traceback" not in done.err
    text = said(done.err)
    for word in words:
        assert word in text


def test_a_container_of_subdatasets_only(tmp_path: Path) -> None:
    path = subdatasets_only(tmp_path)
    if path is None:
        pytest.skip("rasterio's GDAL has no netCDF driver")
    before = listing(tmp_path)
    for arguments in (["info", path], ["train", path, "-o", tmp_path / "run"]):
        done = cli(*arguments)
        assert done.code == 2
        assert "container.nc has no bands" in said(done.err)
        assert "Band1" in done.err
    assert listing(tmp_path) == before


def test_the_message_of_a_real_process(tmp_path: Path) -> None:
    """Once through the door that people use: GDAL's own words must not add lines."""
    (tmp_path / "text.tif").write_text("this is no raster")
    before = listing(tmp_path)
    done = run(PROGRAM, "train", tmp_path / "text.tif", "-o", tmp_path / "run")
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("error: ")
    assert listing(tmp_path) == before


# -------------------------------------------------------------------------------------------- what


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_quiet_says_nothing_on_stderr(folder: Folder) -> None:
    noisy = folder.raster("noisy.tif", spectra(4, 20, 25), nm=[1.0, 2.0, 3.0, 4.0], units="parsecs")
    loud = ok("train", noisy, "--target", folder.target, "-o", folder.path / "loud", "--no-report")
    assert "parsecs" in loud.err
    quiet = ok(
        "train", noisy, "--target", folder.target, "-o", folder.path / "quiet", "--no-report", "-q"
    )
    assert quiet.err == ""
    assert ok("apply", folder.weights, noisy, "-o", folder.path / "out.tif", "-q").err == ""
    assert ok("evaluate", folder.weights, noisy, "--target", folder.target, "-q").err == ""
    assert ok("info", noisy, "-q").err == ""


def test_errors_are_said_even_when_quiet(folder: Folder) -> None:
    assert "no.tif" in cli("info", folder.path / "no.tif", "-q").err


def test_stdout_holds_the_result_only(folder: Folder) -> None:
    run_folder = folder.path / "run"
    assert ok(*folder.train("--no-report", "--json")).json["outputs"][0]["name"] == "b1"
    weights = run_folder / "weights.safetensors"
    out = folder.path / "out.tif"
    assert ok("apply", weights, folder.cube, "-o", out, "--json").json["outputs"] == [str(out)]
    scored = ok("evaluate", weights, folder.cube, "--target", folder.target, "--json").json
    assert set(scored["scores"]) == {"b1"}
    seen = ok("info", folder.cube, "--groups", "equal:2", "--json").json
    assert set(seen) == {"scenes", "groups"}
    assert seen["groups"] == [{"name": "g1", "bands": [1, 2]}, {"name": "g2", "bands": [3, 4]}]


def test_info_json_is_what_the_design_says(folder: Folder) -> None:
    (scene,) = ok("info", folder.cube, "--json").json["scenes"]
    assert set(scene) == {
        "path",
        "driver",
        "rows",
        "cols",
        "dtype",
        "crs",
        "transform",
        "nodata",
        "scale",
        "bands",
        "messages",
        "quality",
        "no_quality",
    }
    assert set(scene["bands"][0]) == {"index", "name", "wavelength_nm", "fwhm_nm", "good", "reason"}
    assert [b["index"] for b in scene["bands"]] == [1, 2, 3, 4]
    assert [b["wavelength_nm"] for b in scene["bands"]] == wavelengths(4)
    assert (scene["rows"], scene["cols"], scene["crs"], scene["nodata"]) == (
        20,
        25,
        "EPSG:32633",
        None,
    )


def test_a_long_path_stays_on_one_line(folder: Folder) -> None:
    deep = folder.path / "a folder with spaces in its name" / "and another one that makes it long"
    deep.mkdir(parents=True)
    out = deep / "fused.tif"
    assert f"{out} written" in ok("apply", folder.weights, folder.cube, "-o", out).out
    assert (
        f"{deep / 'run'} written" in ok("train", folder.cube, "-o", deep / "run", "--no-report").out
    )


def test_names_with_brackets_are_shown_as_they_are(folder: Folder) -> None:
    path = folder.raster("[red]x.tif", spectra(2, 9, 9), names=["[bold]a[/bold]", "b"])
    assert "[red]x.tif" in "".join(ok("info", path, "-v").out.split())
    assert "[bold]a[/bold]" in ok("info", path, "-v").out


def test_demo(tmp_path: Path) -> None:
    done = ok("demo", tmp_path / "d", "--json")
    assert done.json["folder"] == str(tmp_path / "d")
    assert all(row["similarity"] > 0.95 for row in done.json["rows"])
    assert {
        "cube.tif",
        "target.tif",
        "fused.tif",
        "true_weights.csv",
        "run",
        "run/report.html",
    } <= set(listing(tmp_path / "d"))
    assert cli("demo", tmp_path / "d").code == 2


# --------------------------------------------------------------------------------------------------


def test_interrupt_is_said_once(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    import bandfuse.tools.info

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(bandfuse.tools.info, "describe", stop)
    done = cli("info", folder.cube)
    assert (done.code, done.out) == (130, "")
    assert len(done.err.splitlines()) == 1
    assert json.dumps(done.err).count("nothing was written") == 1
