"""The rooms of the program: who may import whom, where the doors are, and how long a function may
be."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import bandfuse

ROOT = Path(bandfuse.__file__).parent
TESTS = Path(__file__).parent
ENTRIES = {"__init__", "__main__"}
"""Doors of the package as a whole. ``__init__`` exports lazily, ``__main__`` calls the command
line."""

MOST_FILES = 12
"""Files at the top of the package; all others are in rooms."""

LONGEST = 60
DOORS = {
    "rasterio": {"raster", "cli.rio"},
    "pyogrio": {"raster"},
    "shapely": {"raster"},
    "safetensors": {
        "files.kinds",
        "model.weightsfile",
        "optimise.checkpointfile",
        "survey.momentsfile",
    },
    "typer": {"cli"},
    "rich": {"cli"},
    "click": {"cli"},
    "torch": {
        "device",
        "nn",
        "optimise",
        "moments.on_device",
        "training",
        "interop",
        "export.network",
    },
}
"""Packages that only some rooms or files may import."""

_LISTED = re.compile(r"^ {4}([a-z_0-9]+) {2,}\S.*$", re.MULTILINE)
_IMPORTS = re.compile(r"^It imports ([a-z_, \n]+)\.$", re.MULTILINE)


def listed(doc: str) -> list[str]:
    """The names in the list of a docstring, in its order."""
    names = _LISTED.findall(doc)
    assert len(set(names)) == len(names), f"listed twice: {names}"
    return names


def module(path: Path) -> str:
    """The dotted name below bandfuse: ``cli.show``; the package's own name for its ``__init__``."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


def room(name: str) -> str:
    return name.split(".")[0]


FILES = sorted(ROOT.rglob("*.py"))
PATHS = {module(p): p for p in FILES}
MODULES = sorted(set(PATHS) - ENTRIES)
ROOMS = listed(bandfuse.__doc__ or "")
PACKAGES = sorted(module(p) for p in FILES if p.name == "__init__.py" and p.parent != ROOT)


@cache
def tree_of(name: str) -> ast.Module:
    """What a module says, parsed when a test asks for it."""
    return ast.parse(PATHS[name].read_text(encoding="utf-8"))


def trees() -> dict[str, ast.Module]:
    """All modules by their names."""
    return {name: tree_of(name) for name in PATHS}


@cache
def imports(name: str) -> tuple[str, ...]:
    """Every module that a module imports, inside functions and for type checking too."""
    return tuple(_imports(name))


def _imports(name: str) -> Iterator[str]:
    for node in ast.walk(tree_of(name)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports relatively"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def inner(name: str) -> frozenset[str]:
    """The modules of bandfuse that a module imports, without itself and without the package's own
    file."""
    found = {m.removeprefix("bandfuse.") for m in imports(name) if m.startswith("bandfuse.")}
    return frozenset((found & set(PATHS)) - ENTRIES - {name})


def doc_of(package: str) -> str:
    return ast.get_docstring(tree_of(package), clean=True) or ""


def test_the_picture_names_every_room() -> None:
    assert set(ROOMS) == {room(m) for m in MODULES}
    assert (ROOMS[0], ROOMS[-1]) == ("errors", "cli")


def test_the_top_holds_few_files() -> None:
    files = [p.name for p in ROOT.iterdir() if p.is_file()]
    assert len(files) <= MOST_FILES, sorted(files)


@pytest.mark.parametrize("name", MODULES)
def test_a_file_imports_from_rooms_above_it_in_the_picture(name: str) -> None:
    place = ROOMS.index(room(name))
    wrong = [m for m in inner(name) if room(m) != room(name) and ROOMS.index(room(m)) >= place]
    assert not wrong, f"{name} imports {wrong}"


@pytest.mark.parametrize("package", PACKAGES)
def test_a_room_lists_its_files_in_the_order_of_their_imports(package: str) -> None:
    """Each file imports only from those listed before it; the files of a folder in the room count
    as one."""
    inside = f"{package}."
    names = listed(doc_of(package))
    of = {m: m.removeprefix(inside).split(".")[0] for m in MODULES if m.startswith(inside)}
    assert set(names) == set(of.values())
    wrong = [
        (a, b)
        for a in of
        for b in inner(a) & set(of)
        if of[a] != of[b] and names.index(of[b]) >= names.index(of[a])
    ]
    assert not wrong


def has_neighbours(package: str) -> bool:
    """Whether a folder stands beside others in its room."""
    return "." in package and sum(p.startswith(f"{room(package)}.") for p in PACKAGES) > 1


@pytest.mark.parametrize("package", [p for p in PACKAGES if "." not in p or has_neighbours(p)])
def test_a_room_says_what_it_imports(package: str) -> None:
    """So does each of several folders in a room, which names what it imports of that room too."""
    stated = _IMPORTS.search(doc_of(package))
    assert stated, f"{package} does not say what it imports"
    every = {beside(m, package) for name in MODULES if is_in(name, package) for m in inner(name)}
    assert set(re.split(r",\s+|\s+and\s+", stated[1])) == every - {""}


def is_in(name: str, package: str) -> bool:
    return f"{name}.".startswith(f"{package}.")


def beside(name: str, package: str) -> str:
    """What a package calls a module that it imports: its room, or its name within the package's own
    room; nothing for what is within the package, or around it."""
    if is_in(name, package) or is_in(package, name):
        return ""
    return name.split(".")[1] if room(name) == room(package) else room(name)


def test_imports_have_no_cycle() -> None:
    graph = {name: set(inner(name)) for name in MODULES}
    while free := [name for name, needs in graph.items() if not needs]:
        for name in free:
            del graph[name]
        for needs in graph.values():
            needs.difference_update(free)
    assert not graph, f"these import each other: {sorted(graph)}"


def test_no_file_takes_private_names_of_another() -> None:
    taken = [
        f"{name}: {alias.name} of {node.module}"
        for name, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("bandfuse")
        for alias in node.names
        if alias.name.startswith("_")
    ]
    assert taken == []


@pytest.mark.parametrize("name", MODULES)
def test_no_file_takes_private_names_of_a_dependency(name: str) -> None:
    taken = [m for m in imports(name) if any(re.match("_(?!_)", part) for part in m.split("."))]
    assert taken == []


def test_no_verb_calls_another() -> None:
    """But for the demo, which shows them."""
    verbs = [
        (a, b) for a in MODULES if room(a) == "tools" for b in inner(a) if b.startswith("tools.")
    ]
    assert {a for a, _ in verbs} <= {"tools.demo"}


def test_tests_are_in_the_rooms_that_they_test() -> None:
    parents = {p.parent.relative_to(TESTS) for p in TESTS.rglob("test_*.py")}
    folders = {".".join(parent.parts) for parent in parents} - {""}
    assert folders <= set(PACKAGES)
    assert {p for p in PACKAGES if "." not in p} <= folders


@pytest.mark.parametrize("package", DOORS)
def test_packages_stay_behind_their_doors(package: str) -> None:
    users = {name for name in PATHS for m in imports(name) if m.split(".")[0] == package}
    doors = DOORS[package]
    assert {u for u in users if not any(u == d or u.startswith(f"{d}.") for d in doors)} == set()
    if package != "click":
        assert users, f"nothing imports {package} any more: take it out of the list"


def test_nothing_prints() -> None:
    calls = [
        f"{name}:{node.lineno}"
        for name, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and node.id == "print"
    ]
    assert calls == []


def test_functions_are_short() -> None:
    long = [
        f"{name}.{node.name}: {node.end_lineno - node.lineno + 1} lines"
        for name, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 > LONGEST
    ]
    assert long == []


MOST_WHOLE = {"TrainConfig": 12, "Trained": 12}
"""Functions that take all settings of a training, or all that it leaves; the others take what they
need. Those that fill in the settings are not counted."""


@pytest.mark.parametrize("kind", MOST_WHOLE)
def test_few_functions_take_everything(kind: str) -> None:
    takers = [
        f"{name}.{node.name}"
        for name, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and not name.startswith("training.settings.")
        for argument in (*node.args.args, *node.args.kwonlyargs)
        if argument.annotation is not None
        and kind in {n.id for n in ast.walk(argument.annotation) if isinstance(n, ast.Name)}
    ]
    assert 0 < len(takers) <= MOST_WHOLE[kind], takers


ISOLATES = ["batches.item", "cli.main"]
"""Where whatever goes wrong is made a result, so that one scene of a batch never stops the others;
and a message."""


def test_no_bare_or_broad_except() -> None:
    broad = [
        name
        for name, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler)
        and (
            node.type is None
            or (isinstance(node.type, ast.Name) and node.type.id in ("Exception", "BaseException"))
        )
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


def test_no_public_name_is_that_of_a_room() -> None:
    """The import of a room would take the place of a function of its name."""
    assert not set(bandfuse.__all__) & set(ROOMS)


def test_type_checkers_see_the_same_names() -> None:
    """The imports under TYPE_CHECKING are the lazy ones."""
    (block,) = [n for n in tree_of("__init__").body if isinstance(n, ast.If)]
    seen = {a.name: n.module for n in block.body if isinstance(n, ast.ImportFrom) for a in n.names}
    assert seen == bandfuse._HOMES


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = (
        "import sys, bandfuse; print(*(m for m in ('numpy', 'torch', 'rasterio', 'typer') if m in "
        "sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == []


GATHER = {"Moves", "WorkExecutor", "RasterTags", "Sums", "Tally"}
"""Dataclasses that are filled bit by bit; all others are values."""

ARRAYS = re.compile(r"\b(Floats|Flags|Counts|Keys|NDArray|ndarray|csr_array|Tensor)\b")


def test_values_are_frozen_and_arrays_are_never_compared() -> None:
    """``==`` of arrays is no truth value: a value that holds some is equal to itself alone."""
    thawed, compared = set(), set()
    for tree in trees().values():
        for node in (n for n in ast.walk(tree) if isinstance(n, ast.ClassDef)):
            how = next(
                (d for d in map(ast.unparse, node.decorator_list) if d.startswith("dataclass")),
                "frozen=True",
            )
            every = [ast.unparse(f.annotation) for f in node.body if isinstance(f, ast.AnnAssign)]
            fields = [field for field in every if "Callable" not in field]
            if "frozen=True" not in how:
                thawed.add(node.name)
            elif "dataclass" in how and any(map(ARRAYS.search, fields)) and "eq=False" not in how:
                compared.add(node.name)
    assert thawed == GATHER
    assert compared == set()
