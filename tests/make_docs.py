"""Make the parts of the documentation that the program itself knows, and the output of examples.

Run from the repository's root: ``python tests/make_docs.py``, or ``make docs``. In README.md and
the pages of bandfuse/docs it fills in

* what stands between ``<!-- begin NAME -->`` and ``<!-- end NAME -->``: tables of flags, codes,
  sensors, formats and forms of export;
* what follows the ``$ bandfuse …`` lines of ``console`` blocks: the output of these commands, run
  one after the other on a copy of the sample.
"""

from __future__ import annotations

import inspect
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pyogrio.raw
import rasterio
import typer

from bandfuse.checks.codes import CODES
from bandfuse.cli.commands import app
from bandfuse.cli.main import COMMANDS
from bandfuse.config import commands as config_of_commands
from bandfuse.config import train as config_of_train
from bandfuse.export import FORMS
from bandfuse.raster import FORMATS
from bandfuse.spectral import sensors
from bandfuse.tools.help import TOPICS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "bandfuse" / "docs"
PAGES = [ROOT / "README.md", *(DOCS / f"{topic}.md" for topic in TOPICS)]
WIDTH = 100
"""Characters of a line of output in a page; longer ones are folded."""

PART = re.compile(r"(<!-- begin ([\w-]+) -->\n).*?(<!-- end \2 -->)", re.DOTALL)
TIME = re.compile(r"\b\d+(?:\.\d+)? s\b")
CONSOLE = re.compile(r"(?<=```console\n).*?(?=```)", re.DOTALL)

ALWAYS = "Every command"
"""The section of the flags that nearly all commands have."""

SECTIONS = (
    "Inputs",
    "What to learn",
    "Groups",
    "Constraints and penalties",
    "Optimiser",
    "Which pixels count",
    "Grids",
    "Trust",
    "Where it runs",
    "Sharpening",
    "Outputs",
)
"""The sections of flags that several commands share, in their order; what is in others stands under
its command."""

EVERYWHERE = {"json", "verbose", "quiet", "config", "set_", "log_file", "help_all"}
"""Flags of nearly every command."""


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table in Markdown."""
    lines = [f"| {' | '.join(heads)} |"]
    lines.append("|" + "---|" * lines[0].count(" | ") + "---|")
    lines += [f"| {' | '.join(_cell(c) for c in row)} |" for row in rows]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(str(text).split()).replace("|", "\\|").replace("*", "\\*")


# ------------------------------------------------------------------------------------------- flags


@dataclass(frozen=True)
class Flag:
    """A flag or an argument of a command: how it is written, and what it says."""

    name: str
    written: str
    meaning: str


@cache
def commands() -> dict[str, list[Flag]]:
    """The flags of every command, as typer knows them."""
    known = typer.main.get_group(app).commands
    return {name: [flag_of(known[name], p) for p in known[name].params] for name in COMMANDS}


def flag_of(command: Any, p: Any) -> Flag:
    """A flag or an argument as it is written, with its choices and its default."""
    kind = inspect.signature(command.callback, eval_str=True).parameters[p.name].annotation
    kinds = [kind, *get_args(kind), *(k for a in get_args(kind) for k in get_args(a))]
    choice = next((k for k in kinds if get_origin(k) is Literal), None)
    takes = p.metavar or next((text for k, text in TAKES.items() if k in kinds), "")
    text = p.help or ""
    if p.param_type_name == "argument":
        return Flag(p.name, f"`{takes.strip('[].')}`", text)
    if choice:
        takes, text = "", f"{text} One of: {', '.join(map(str, get_args(choice)))}."
    if isinstance(p.show_default, str) and not p.show_default.startswith("("):
        text += f" Default: {p.show_default}."
    names = ", ".join([*p.opts, *p.secondary_opts])
    return Flag(
        p.name, f"`{names}`" if p.is_flag else f"`{names} {takes}`".replace(" `", "`"), text
    )


TAKES = {int: "N", float: "X", str: "TEXT"}
"""What stands for a value where a flag has no word of its own for it."""

MODELS = {
    name.removesuffix("Config").lower(): value
    for module in (config_of_train, config_of_commands)
    for name, value in vars(module).items()
    if name.endswith("Config") and name != "Config"
}
"""The settings of the commands that have some."""


def headings(command: str) -> dict[str, str]:
    """The section of each setting of a command."""
    model = MODELS.get(command)
    if model is None:
        return {}
    classes = [c for c in reversed(model.__mro__) if "section" in vars(c)]
    return {name: c.section for c in classes for name in vars(c).get("__annotations__", {})}


def parameters() -> Iterator[tuple[str, str, Flag]]:
    """Every flag and argument, with its command and its section."""
    for command, of_command in commands().items():
        under = headings(command)
        for flag in of_command:
            section = ALWAYS if flag.name in EVERYWHERE else under.get(flag.name, "")
            known = section in (*SECTIONS, ALWAYS)
            yield command, section if known else f"Only of `{command}`", flag


def flags() -> str:
    """The tables of all flags, section by section."""
    rows: dict[str, dict[tuple[str, str], list[str]]] = {}
    for command, section, flag in parameters():
        key = (flag.written, flag.meaning)
        rows.setdefault(section, {}).setdefault(key, []).append(command)
    order = [ALWAYS, *SECTIONS, *(s for s in rows if s not in SECTIONS and s != ALWAYS)]
    parts = []
    for section in (s for s in order if s in rows):
        parts.append(f"## {section}\n")
        only = section.startswith("Only of")
        cells = [
            (flag, text) if only else (flag, _shared(names), text)
            for (flag, text), names in rows[section].items()
        ]
        parts.append(table(("flag", "meaning") if only else ("flag", "of", "meaning"), cells))
    return "\n".join(parts)


def _shared(names: list[str]) -> str:
    """The commands that have a flag, in few words."""
    lacking = [name for name in COMMANDS if name not in names]
    if len(lacking) <= 3:
        return "all" if not lacking else f"all but {', '.join(lacking)}"
    return ", ".join(names)


# ------------------------------------------------------------------------------------ other tables


def codes() -> str:
    """What check finds, gravest first."""
    order = ("decision", "warning", "info")
    rows = sorted(CODES.items(), key=lambda item: order.index(item[1].severity))
    return table(
        ("code", "severity", "what it means", "what to do"),
        [(f"`{code}`", k.severity, k.meaning, k.remedy or "nothing") for code, k in rows],
    )


def known_sensors() -> str:
    """The sensors whose tables are shipped, with their sources."""
    rows = []
    for name in sensors.known():
        text = (resources.files(sensors) / f"{name}.csv").read_text(encoding="utf-8")
        comments = [line[1:].strip() for line in text.splitlines() if line.startswith("#")]
        lines = [line for line in text.splitlines() if line and not line.startswith("#")]
        full = lines[0].startswith(sensors.TABLE)
        count = lines[0].count(",") if full else len(lines) - 1
        kind = "response at every nm" if full else "centre and width"
        rows.append((f"`{name}`", str(count), kind, comments[0]))
    return table(("name", "bands", "known by", "source"), rows)


def formats() -> str:
    """What can be opened."""
    return table(
        ("format", "give", "what is understood", "proven on"),
        [(f.name, f.give, f.understood, f.proven) for f in FORMATS],
    )


def forms() -> str:
    """The forms of export."""
    return table(("`--to`", "what it is"), [(f"`{f.name}`", f.says) for f in FORMS.values()])


PARTS: dict[str, Callable[[], str]] = {
    "flags": flags,
    "codes": codes,
    "sensors": known_sensors,
    "formats": formats,
    "forms": forms,
}


def with_parts(text: str) -> str:
    """A page with its tables made anew."""
    return PART.sub(lambda m: f"{m[1]}{PARTS[m[2]]()}{m[3]}", text)


# ---------------------------------------------------------------------------------------- examples


def workplace(folder: Path) -> None:
    """Fill a folder with what the examples name: the sample, the configs, and files by the names of
    the recipes."""
    shutil.copytree(ROOT / "data" / "sample", folder / "data" / "sample")
    shutil.copytree(ROOT / "configs", folder / "configs")
    sample = folder / "data" / "sample"
    for name, source in COPIES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(sample / source, folder / name)
    meta, _, shapes, values = pyogrio.raw.read(sample / "fields.geojson")
    kind = {"geometry_type": meta["geometry_type"], "crs": meta["crs"]}
    pyogrio.raw.write(folder / "fields.shp", shapes, values, meta["fields"], **kind)
    with (
        rasterio.open(sample / "target.tif") as ds,
        rasterio.open(folder / "pan.tif", "w", **ds.profile | {"count": 1}) as pan,
    ):
        pan.write(ds.read([2]))


COPIES = {
    "cube.tif": "cube.tif",
    "coarse.tif": "coarse.tif",
    "other.tif": "cube.tif",
    "s2.tif": "target.tif",
    "fields.geojson": "fields.geojson",
    "may.tif": "may.tif",
    "july.tif": "july.tif",
    "june.tif": "june.tif",
    "may2.tif": "may.tif",
    "july2.tif": "july.tif",
    "june2.tif": "june.tif",
    "in/a.tif": "cube.tif",
    "in/a_t.tif": "target.tif",
    "in/b.tif": "cube.tif",
    "in/b_t.tif": "target.tif",
}
"""Files of the examples, and the files of the sample that they are copies of."""

Run = Callable[[list[str]], str]
"""Runs bandfuse with these arguments, and gives what a terminal shows."""


def in_process_of_its_own(arguments: list[str]) -> str:
    """Run bandfuse in the current folder."""
    done = subprocess.run(
        [sys.executable, "-m", "bandfuse", *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    if done.returncode:
        sys.exit(f"bandfuse {shlex.join(arguments)}\n{done.stderr}")
    return done.stderr + done.stdout


def folded(text: str) -> str:
    """Output with long lines broken between words."""
    lines = []
    for line in text.splitlines():
        indent = " " * min(13, len(line) - len(line.lstrip()) + 2)
        lines += (
            textwrap.wrap(line, WIDTH, subsequent_indent=indent)
            if len(line) > WIDTH
            else [line.rstrip()]
        )
    return "\n".join(lines) + "\n"


def answered(block: str, run: Run) -> str:
    """A console block with the output of its commands; ``| head -N`` keeps N lines."""
    parts = []
    for command in re.findall(r"^\$ (bandfuse .*)$", block, flags=re.MULTILINE):
        line, _, most = command.partition(" | head -")
        output = folded(run(shlex.split(line)[1:])).splitlines()
        shown = output[: int(most)] if most else output
        parts.append("\n".join([f"$ {command}", *shown]) + "\n")
    return "\n".join(parts)


def with_output(text: str, run: Run) -> str:
    """A page with the output of its console blocks made anew, in the current folder.

    A block of which only times differ stays as it is.
    """

    def renewed(block: re.Match[str]) -> str:
        new = answered(block[0], run)
        return block[0] if TIME.sub("", new) == TIME.sub("", block[0]) else new

    return CONSOLE.sub(renewed, text)


def main() -> None:
    """Fill in every page."""
    for path in PAGES:
        old = path.read_text(encoding="utf-8")
        with tempfile.TemporaryDirectory() as folder:
            workplace(Path(folder))
            before = Path.cwd()
            os.chdir(folder)
            try:
                new = with_output(with_parts(old), in_process_of_its_own)
            finally:
                os.chdir(before)
        if new != old:
            path.write_text(new, encoding="utf-8")
            print(f"{path.name} changed")


if __name__ == "__main__":
    main()
