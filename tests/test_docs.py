"""README, pages, sample and configs do what they say: every example in them is run."""

from __future__ import annotations

import importlib.util
import math
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import numpy as np
import pytest
import rasterio
import yaml
from helpers import close_to_conditioning
from rasters import cli, ok

import bandfuse
from bandfuse.cli.main import COMMANDS
from bandfuse.config.commands import ExportConfig
from bandfuse.tools.help import TOPICS

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "bandfuse" / "docs"
PAGES = {
    "README": (ROOT / "README.md").read_text(encoding="utf-8"),
    **{p.stem: p.read_text(encoding="utf-8") for p in sorted(DOCS.glob("*.md"))},
}
README = PAGES["README"]


def script(path: Path) -> ModuleType:
    """A script of the project as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    return script(ROOT / "tests" / "make_docs.py")


@pytest.fixture
def workplace(maker: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with all files that the examples name; the current one."""
    maker.workplace(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGES[page], flags=re.DOTALL)


def having(language: str) -> list[str]:
    return [page for page in PAGES if blocks(page, language)]


# ------------------------------------------------------------------------------------------- shape


def test_the_readme_is_short_and_so_are_the_pages() -> None:
    assert len(README.splitlines()) <= 200
    long = {page: len(text.splitlines()) for page, text in PAGES.items()}
    assert {page for page, n in long.items() if n > 150} <= {"README", "flags"}
    assert long["flags"] <= 320


def test_every_topic_is_a_page_and_is_linked_from_the_readme() -> None:
    assert set(PAGES) - {"README"} == set(TOPICS)
    linked = re.findall(
        r"\]\(bandfuse/docs/([\w-]+)\.md\)", README.split("## Where the rest is")[1]
    )
    assert sorted(set(linked)) == sorted(TOPICS)
    assert set(TOPICS) & set(COMMANDS) == set()


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files_that_exist(page: str) -> None:
    folder = ROOT if page == "README" else DOCS
    text = re.sub(r"```.*?```", "", PAGES[page], flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if not link.startswith("https://"):
            assert (folder / link.partition("#")[0]).is_file(), link
            assert "#" not in link, "anchors of headings are not checked"


def test_the_picture_is_there_and_small() -> None:
    (name,) = re.findall(r"!\[[^\]]{40,}\]\(([^)]+\.png)\)", README)
    content = (ROOT / name).read_bytes()
    assert content.startswith(b"\x89PNG")
    assert len(content) < 150_000


@pytest.mark.thorough
def test_the_picture_is_what_its_script_makes() -> None:
    """To the version of matplotlib: the same size, and nearly the same grey values."""
    import io

    import matplotlib.image as pictures

    maker = script(ROOT / "tests" / "make_picture.py")
    old, new = (
        pictures.imread(io.BytesIO(content), format="png")[..., :3].mean(axis=2)
        for content in (maker.PLACE.read_bytes(), maker.make())
    )
    assert old.shape == new.shape
    assert np.abs(old - new).mean() < 0.02


@pytest.mark.parametrize("page", PAGES)
def test_generated_parts_are_what_the_generator_makes(page: str, maker: ModuleType) -> None:
    assert maker.with_parts(PAGES[page]) == PAGES[page], "run: make docs"


def test_every_generated_part_stands_in_a_page(maker: ModuleType) -> None:
    assert {m[2] for text in PAGES.values() for m in maker.PART.finditer(text)} == set(maker.PARTS)


# ------------------------------------------------------------------------------------------- flags


def long_flags(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text))


def test_every_flag_is_documented() -> None:
    for command in COMMANDS:
        missing = long_flags(ok(command, "--help").out) - long_flags(PAGES["flags"]) - {"--help"}
        assert missing == set(), command


OTHERS = {"--format", "--port", "--ntasks", "--cpus-per-task", "--nthreads"}
"""Flags of other programs in the pages."""


@pytest.fixture(scope="module")
def known() -> set[str]:
    """The flags of all commands."""
    return long_flags(ok("--help").out + "".join(ok(c, "--help").out for c in COMMANDS))


@pytest.mark.parametrize("page", PAGES)
def test_every_flag_in_a_page_exists(page: str, known: set[str]) -> None:
    assert long_flags(PAGES[page]) - known - OTHERS == set()


# ---------------------------------------------------------------------------------------- examples

NOT_RUN = {"python", ".", "pip", "dask", "srun", "make"}
"""Programs of the examples that install or start something; all others are run."""


def lines_of(block: str) -> Iterator[str]:
    """The commands of a shell block, without comments."""
    for line in block.replace("\\\n", " ").splitlines():
        if line.strip() and not line.startswith("#"):
            yield line


def run(line: str) -> None:
    """One command of an example: bandfuse in this process, other programs where they are there."""
    words = shlex.split(line, comments=True)
    if words[0] == "bandfuse":
        done = cli(*words[1:])
        assert done.code == 0, f"{line}\n{done.err}"
    elif words[0] not in NOT_RUN and "=" not in words[0] and shutil.which(words[0]):
        subprocess.run(["bash", "-c", line], check=True, capture_output=True)


EXAMPLES = [page for page in PAGES if blocks(page, "sh") or blocks(page, "python")]


@pytest.mark.thorough
@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", EXAMPLES)
def test_the_examples_of_a_page_run(page: str, workplace: Path) -> None:
    """The commands, then the Python: one cell after the other, as in a notebook."""
    for n, block in enumerate(blocks(page, "yaml")):
        Path(f"batch{n or ''}.yaml").write_text(block, encoding="utf-8")
    for block in blocks(page, "sh"):
        for line in lines_of(block):
            run(line)
    here: dict[str, Any] = {}
    for number, cell in enumerate(blocks(page, "python"), 1):
        exec(compile(cell, f"{page}, cell {number}", "exec"), here)
    if here:
        CHECKS[page](here)


@pytest.mark.thorough
def test_the_command_of_each_job_runs(workplace: Path) -> None:
    table = README.split("## Which job is yours")[1].split("\n## ")[0]
    commands = re.findall(r"^\| \*\*.*? \| `(bandfuse [^`]*)` \|", table, flags=re.MULTILINE)
    assert len(commands) == 6
    for command in commands:
        run(command)
    for name in ("match", "small", "classes", "merged"):
        assert (workplace / name / "report.html").is_file()
        assert (workplace / name / "fused.tif").is_file()
    assert (workplace / "as_s2.tif").is_file()
    assert (workplace / "sharp" / "sharpened.tif").is_file()


NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:e[-+]?\d+)?(?![\w.]*\w)")


def parts_of(text: str) -> tuple[list[str], list[str]]:
    """Words and numbers of an output, without times and without the width of columns."""
    text = re.sub(r"\b\d+(?:\.\d+)? s\b", "T", text)
    return [" ".join(t.split()) for t in NUMBER.split(text)], NUMBER.findall(text)


def same_output(found: str, quoted: str) -> None:
    """Words and whole numbers agree, other numbers to one per cent, as processors round."""
    (words, numbers), (expected, values) = parts_of(found), parts_of(quoted)
    assert words == expected
    for number, value in zip(numbers, values, strict=True):
        if set(number + value) & set(".e"):
            assert math.isclose(float(number), float(value), rel_tol=0.01), (number, value)
        else:
            assert number == value


def test_outputs_are_compared() -> None:
    same_output("r2  0.99997 5 of 7, 0.12 s", "r2 0.99996  5 of 7, 3.4 s")
    for other in ("r2 0.9 5 of 7, 1 s", "r2 0.99997 5 of 8, 1 s", "r2 0.99997 5 or 7, 1 s"):
        with pytest.raises(AssertionError):
            same_output("r2 0.99997 5 of 7, 1 s", other)


@pytest.mark.one_in(3)
@pytest.mark.parametrize("page", having("console"))
def test_the_quoted_output_is_what_comes(page: str, maker: ModuleType, workplace: Path) -> None:
    def in_this_process(arguments: list[str]) -> str:
        done = ok(*arguments)
        return done.err + done.out

    for block in blocks(page, "console"):
        same_output(maker.answered(block, in_this_process), block)


def check_readme(here: dict[str, Any]) -> None:
    assert here["y"].shape == (4, 16, 20)
    assert here["report"].scores.holdout["nir"]["r2"] > 0.99


def check_python(here: dict[str, Any]) -> None:
    assert here["y"].shape == (320, 4)
    assert here["image"].shape == (4, 16, 20)
    assert here["fused"].dims == ("band", "y", "x")
    assert here["tensor"].grad.shape == here["x"].shape
    assert here["matched"].coef_.shape == here["fusion"].matrix.shape
    assert Path("robust/config.yaml").read_text().count("loss: custom") == 1
    assert here["merged"].shape == (2, 4, 8, 8)


def check_exports(here: dict[str, Any]) -> None:
    """What each program makes of the weights agrees with the others."""
    close_to_conditioning(here["y"], here["x"] @ here["spectra"].T + here["table"]["offsets"])
    with rasterio.open("fused.vrt") as fused:
        values = fused.read()
    assert np.isfinite(values).any()
    if Path("fused_otb.tif").exists():
        with rasterio.open("fused_otb.tif") as other:
            there = np.isfinite(values)
            np.testing.assert_allclose(other.read()[there], values[there], rtol=1e-4, atol=1e-6)


def check_sharpen(here: dict[str, Any]) -> None:
    """Arrays and files come to the same grid and nearly the same values; the blur differs, as
    arrays hold bad bands too."""
    assert here["result"].shape[1:] == here["sharp"].shape[1:]
    assert Path("sharp_again/sharpened.tif").is_file()


CHECKS = {
    "README": check_readme,
    "python": check_python,
    "exports": check_exports,
    "sharpening": check_sharpen,
}


def test_every_form_of_export_has_an_example() -> None:
    shell = "".join(blocks("exports", "sh"))
    for form in get_args(ExportConfig.model_fields["to"].annotation):
        assert f"--to {form} " in shell
        assert re.search(rf"^\| `?[\w`, ]*`{form}`", PAGES["exports"], flags=re.MULTILINE)


def test_commands_named_in_the_pages_are_make_targets() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, flags=re.MULTILINE))
    text = "\n".join(PAGES.values())
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", text, flags=re.MULTILINE))
    assert {"demo", "test", "lint", "bench", "docs"} <= named <= targets
    assert all(f"`make {target}`" in README for target in ("demo", "test"))
    if shutil.which("make"):
        for target in sorted(targets):
            done = subprocess.run(
                ["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=True
            )
            for command in re.findall(r"bin/bandfuse (\S+)", done.stdout):
                assert command in COMMANDS
            for name in re.findall(r"bin/python (\S+\.py)", done.stdout):
                assert (ROOT / name).is_file()


def test_files_named_in_the_architecture_exist() -> None:
    table = PAGES["architecture"].split("## How to change it")[1]
    for name in re.findall(r"`((?:[\w-]+/)*[\w-]+(?:\.py|/))`", table):
        base = ROOT if name.startswith("tests/") else ROOT / "bandfuse"
        assert (base / name).exists(), name


def test_the_architecture_names_every_room() -> None:
    rooms = re.findall(r"^ {4}([a-z_]+) {2,}\S", bandfuse.__doc__ or "", flags=re.MULTILINE)
    assert len(rooms) > 20
    table = PAGES["architecture"].split("## The rooms")[1].split("\n## ")[0]
    named = re.findall(r"`([a-z_]+)`", table)
    assert {room for room in rooms if room not in named} == set()


# --------------------------------------------------------------------------------------- glossary

UNEXPLAINED = """moments scatter L-BFGS scope pooling affine block ERGAS PSNR kappa jackknife GLT
COG BOA drift condition gap held instance scalar channel effective"""
"""What readers of an earlier README asked for."""


def test_the_glossary_explains_what_readers_asked_for() -> None:
    terms = re.findall(r"^\| ([^|]+) \|", PAGES["glossary"], flags=re.MULTILINE)[1:]
    assert terms == sorted(terms, key=str.lower)
    words = {word.strip("()").lower() for term in terms for word in re.split(r"[\s]", term)}
    assert {word.lower() for word in UNEXPLAINED.split()} <= words


# ---------------------------------------------------------------------------- configs and sample

CONFIGS = {p.name: p.read_text(encoding="utf-8") for p in sorted((ROOT / "configs").iterdir())}
BATCHES = [name for name in CONFIGS if name.startswith("batch_")]
NO_TRAININGS = ["resample_cube.yaml", "sharpen_cube.yaml"]
TRAININGS = [name for name in CONFIGS if name not in (*BATCHES, *NO_TRAININGS)]


def test_each_job_has_a_config() -> None:
    assert {
        "match_sensor.yaml",
        "shrink_cube.yaml",
        "separate_classes.yaml",
        "merge_images.yaml",
        "resample_cube.yaml",
        "sharpen_cube.yaml",
        "suppress_noise.yaml",
    } == set(CONFIGS) - set(BATCHES)


@pytest.mark.parametrize("config", CONFIGS)
def test_each_config_says_what_it_does_and_how_to_run_it(config: str) -> None:
    head = CONFIGS[config].split("\n\n")[0].splitlines()
    assert re.match(r"# [A-Z][^:]+: ", head[0])
    assert f"configs/{config}" in CONFIGS[config]
    for line in re.findall(r"^#   (bandfuse .*)$", CONFIGS[config], flags=re.MULTILINE):
        assert shlex.split(line)[1] in COMMANDS


@pytest.mark.thorough
@pytest.mark.parametrize("config", BATCHES)
def test_each_batch_runs(config: str, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCENES", str(workplace / "data/sample"))
    ok("batch", f"configs/{config}")
    (page,) = workplace.glob("*-run/batch.html")
    assert ">done<" in page.read_text(encoding="utf-8")


@pytest.mark.thorough
@pytest.mark.parametrize("config", [*TRAININGS, *NO_TRAININGS])
def test_the_commands_of_each_config_run(config: str, workplace: Path) -> None:
    commands = re.findall(r"^#   (bandfuse .*)$", CONFIGS[config], flags=re.MULTILINE)
    assert commands
    for command in commands:
        run(command)


def test_merged_images_learn_the_known_shares(workplace: Path) -> None:
    """The shares that made june.tif, and those of least squares over the pixels."""
    maker = script(ROOT / "data" / "make_sample.py")
    settings = yaml.safe_load(CONFIGS["merge_images.yaml"])
    assert len({*settings["source"].values(), settings["target"]}) == 3
    ok("train", "--config", "configs/merge_images.yaml", "-o", "run", "--no-report")
    learned = bandfuse.load("run/weights.safetensors").common.matrix
    shares = np.diag(learned[:, :4])
    np.testing.assert_allclose(learned[:, :4] + learned[:, 4:], np.eye(4), atol=1e-12)
    np.testing.assert_allclose(shares, maker.MAY_SHARES, atol=0.002)
    may, july, june = (
        bandfuse.open(f"data/sample/{n}.tif").read().reshape(4, -1) for n in ("may", "july", "june")
    )
    there = np.isfinite(may + july + june).all(axis=0)
    for share, a, b, t in zip(shares, may[:, there], july[:, there], june[:, there], strict=True):
        x = np.stack([a - b, np.ones(len(a))], axis=1)
        np.testing.assert_allclose(share, np.linalg.lstsq(x, t - b, rcond=None)[0][0], atol=1e-9)


@pytest.mark.thorough
def test_separated_classes_have_the_names_of_their_areas(workplace: Path) -> None:
    import json

    ok("train", "--config", "configs/separate_classes.yaml", "-o", "run", "--no-report")
    report = json.loads(Path("run/report.json").read_text(encoding="utf-8"))
    assert report["scores"]["holdout"]["classes"]["accuracy"] > 0.9
    features = json.loads(Path("data/sample/fields.geojson").read_text())["features"]
    assert {f["properties"]["land"] for f in features} == {"crop", "straw", "brown soil", "forest"}


def test_the_sample_is_what_its_script_makes(tmp_path: Path) -> None:
    """The same scene, to the rounding of the noise on another machine."""
    script(ROOT / "data" / "make_sample.py").make(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {
        p.name for p in (ROOT / "data" / "sample").iterdir()
    }
    for path in tmp_path.glob("*.tif"):
        with rasterio.open(ROOT / "data" / "sample" / path.name) as old, rasterio.open(path) as new:
            assert (old.shape, old.crs, old.transform) == (new.shape, new.crs, new.transform)
            assert old.descriptions == new.descriptions
            assert [old.tags(i) for i in old.indexes] == [new.tags(i) for i in new.indexes]
            apart = np.abs(old.read().astype(np.float64) - new.read())
            # A number on the edge between two integers may fall to the other; the target is made
            # of these.
            whole = old.dtypes[0] == "int16"
            assert np.nanmax(apart) <= (1 if whole else 1e-4)
            assert np.mean(apart > 1e-6) < (1e-3 if path.name == "cube.tif" else 0.1)
    assert sum(p.stat().st_size for p in (ROOT / "data").rglob("*")) < 1_000_000
