"""The rooms of the program: who may import whom, where the doors are, and how long a function may be."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import bandfuse

ROOT = Path(bandfuse.__file__).parent
ENTRIES = {"__init__", "__main__"}
"""Doors of the package as a whole: on no floor. ``__init__`` exports lazily, ``__main__`` calls the command line."""

LONGEST = 60
DOORS = {
    "rasterio": {"raster"},
    "safetensors": {"weightsfile", "checkpointfile"},
    "typer": {"cli"},
    "rich": {"cli"},
    "click": {"cli"},
}
"""Packages that only one room may import."""

_FLOOR = re.compile(r"^ {4}floor (\d+) +(.+)$")
_MORE = re.compile(r"^ {14}(\S.*)$")
_FIRST = re.compile(r"^ {4}floor 0 +[a-z_]+(?: {2}[a-z_]+)* {3,}")
"""The lowest floor's line up to its remark: all remarks begin in one column."""


def picture() -> dict[str, int]:
    """The floor of every room, from the docstring of the package: names left of the column of remarks."""
    floors: dict[str, int] = {}
    level: int | None = None
    lines = (bandfuse.__doc__ or "").splitlines()
    first = next(m for m in map(_FIRST.match, lines) if m)
    for line in (line[: first.end()] for line in lines):
        if match := _FLOOR.match(line):
            level, text = int(match[1]), match[2]
        elif level is not None and (match := _MORE.match(line)):
            text = match[1]
        else:
            level = None
            continue
        for name in text.split():
            assert re.fullmatch(r"[a-z_]+/?", name), f"{name!r} in the picture is not the name of a room"
            assert name.rstrip("/") not in floors, f"{name} is in the picture twice"
            floors[name.rstrip("/")] = level
    return floors


FLOORS = picture()
FILES = sorted(ROOT.rglob("*.py"))


def module(path: Path) -> str:
    """The dotted name below bandfuse: ``cli.show``; the package's own name for its ``__init__``."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


def room(name: str) -> str:
    return name.split(".")[0]


TREES = {module(p): ast.parse(p.read_text(encoding="utf-8")) for p in FILES}


def imports(name: str) -> Iterator[str]:
    """Every module that a module imports, inside functions and for type checking too."""
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports relatively"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def inner(name: str) -> set[str]:
    """The modules of bandfuse that a module imports, without itself and without the package's own file."""
    found = {m.removeprefix("bandfuse.") for m in imports(name) if m.startswith("bandfuse.")}
    return (found & set(TREES)) - ENTRIES - {name}


MODULES = sorted(set(TREES) - ENTRIES)


def test_the_picture_was_read() -> None:
    assert len(FLOORS) > 20
    assert FLOORS["errors"] == 0
    assert FLOORS["stream"] == FLOORS["scores"]
    assert FLOORS["cli"] == max(FLOORS.values())
    assert sorted(set(FLOORS.values())) == list(range(max(FLOORS.values()) + 1))


def test_the_picture_and_the_files_agree() -> None:
    assert {room(m) for m in MODULES} == set(FLOORS)


@pytest.mark.parametrize("name", MODULES)
def test_imports_point_downward(name: str) -> None:
    """To a lower floor, or to another file of the same package."""
    wrong = [m for m in inner(name) if room(m) != room(name) and FLOORS[room(m)] >= FLOORS[room(name)]]
    assert not wrong, f"{name} (floor {FLOORS[room(name)]}) imports {wrong}"


def test_imports_have_no_cycle() -> None:
    graph = {name: inner(name) for name in MODULES}
    while free := [name for name, needs in graph.items() if not needs]:
        for name in free:
            del graph[name]
        for needs in graph.values():
            needs.difference_update(free)
    assert not graph, f"these import each other: {sorted(graph)}"


@pytest.mark.parametrize("package", DOORS)
def test_packages_stay_behind_their_doors(package: str) -> None:
    users = {room(name) for name in TREES for m in imports(name) if m.split(".")[0] == package}
    assert {u for u in users if not any(u.startswith(door) for door in DOORS[package])} == set()
    if package != "click":
        assert users, f"nothing imports {package} any more: take it out of the list"


def test_nothing_prints() -> None:
    calls = [
        f"{name}:{node.lineno}"
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and node.id == "print"
    ]
    assert calls == []


def test_functions_are_short() -> None:
    long = [
        f"{name}.{node.name}: {node.end_lineno - node.lineno + 1} lines"
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 > LONGEST
    ]
    assert long == []


ISOLATES = ["batches.work", "cli.main"]
"""Where whatever goes wrong is made a result, so that one scene of a batch never stops the others; and a message."""


def test_no_bare_or_broad_except() -> None:
    broad = [
        name
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or (isinstance(node.type, ast.Name) and node.type.id in ("Exception", "BaseException")))
    ]
    assert broad == ISOLATES


def test_what_is_exported_is_what_is_listed() -> None:
    assert len(set(bandfuse.__all__)) == len(bandfuse.__all__)
    assert set(bandfuse.__all__) - {"__version__"} == set(bandfuse._HOMES)
    for name in bandfuse.__all__:
        value = getattr(bandfuse, name)
        assert getattr(value, "__name__", name) == name
    assert dir(bandfuse) == sorted(bandfuse.__all__)
    with pytest.raises(AttributeError, match="nothing_like_this"):
        bandfuse.nothing_like_this  # noqa: B018


def test_type_checkers_see_the_same_names() -> None:
    """The imports under TYPE_CHECKING are the lazy ones."""
    (block,) = [n for n in TREES["__init__"].body if isinstance(n, ast.If)]
    seen = {a.name: n.module for n in block.body if isinstance(n, ast.ImportFrom) for a in n.names}
    assert seen == bandfuse._HOMES


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sys, bandfuse; print(*(m for m in ('numpy', 'torch', 'rasterio', 'typer') if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == []


GATHER = {"Crew", "Moves", "RasterTags", "Sums", "Tally"}
"""Dataclasses that are filled bit by bit; all others are values."""

ARRAYS = re.compile(r"\b(Floats|Flags|Counts|Keys|NDArray|ndarray|csr_array|Tensor)\b")


def test_values_are_frozen_and_arrays_are_never_compared() -> None:
    """``==`` of arrays is no truth value: a value that holds some is equal to itself alone."""
    thawed, compared = set(), set()
    for tree in TREES.values():
        for node in (n for n in ast.walk(tree) if isinstance(n, ast.ClassDef)):
            how = next((d for d in map(ast.unparse, node.decorator_list) if d.startswith("dataclass")), "frozen=True")
            every = [ast.unparse(f.annotation) for f in node.body if isinstance(f, ast.AnnAssign)]
            fields = [field for field in every if "Callable" not in field]
            if "frozen=True" not in how:
                thawed.add(node.name)
            elif "dataclass" in how and any(map(ARRAYS.search, fields)) and "eq=False" not in how:
                compared.add(node.name)
    assert thawed == GATHER
    assert compared == set()
