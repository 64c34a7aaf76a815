"""What pyproject.toml declares: imports, bounds, pins, versions of Python; held without an
install."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
LISTS = {"dependencies": PROJECT["dependencies"], **EXTRAS}
ALL = [(name, Requirement(text)) for name, texts in LISTS.items() for text in texts]


def names(*lists: str) -> set[str]:
    return {canonicalize_name(r.name) for name, r in ALL if name in lists}


def pins() -> Iterator[Requirement]:
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if text := line.partition("#")[0].strip():
            yield Requirement(text)


def imported(tree: ast.Module, *, at_once: bool) -> set[str]:
    """The packages that a file imports: when it is imported itself, or ever."""
    later = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.If, ast.Try)
    body = [n for n in tree.body if not isinstance(n, later)] if at_once else [tree]
    nodes = [n for part in body for n in ast.walk(part)]
    plain = (a.name for n in nodes if isinstance(n, ast.Import) for a in n.names)
    sources = (n.module or "" for n in nodes if isinstance(n, ast.ImportFrom) and n.level == 0)
    found = {name.partition(".")[0] for name in chain(plain, sources)}
    return found - sys.stdlib_module_names - {"bandfuse", ""}


def undeclared(folder: Path, declared: set[str], *, at_once: bool) -> list[str]:
    """Files, with what they import of packages that are not declared."""
    own = {path.stem for path in folder.rglob("*.py")} | {path.name for path in folder.iterdir()}
    homes = packages_distributions()
    return [
        f"{path.relative_to(ROOT).as_posix()}: {name}"
        for path in sorted(folder.rglob("*.py"))
        for tree in [ast.parse(path.read_text(encoding="utf-8"))]
        for name in sorted(imported(tree, at_once=at_once) - own)
        if not {canonicalize_name(d) for d in homes.get(name, [name])} & declared
    ]


def test_what_the_package_imports_at_once_is_always_installed() -> None:
    assert undeclared(ROOT / "bandfuse", names("dependencies"), at_once=True) == []


def test_what_the_package_ever_imports_is_declared() -> None:
    extras = set(LISTS) - {"dev"}
    assert undeclared(ROOT / "bandfuse", names(*extras), at_once=False) == []


def test_what_the_tests_import_is_declared() -> None:
    found = undeclared(ROOT / "tests", names(*LISTS), at_once=False)
    assert found == ["tests/qgis_look.py: qgis"], "PyQGIS comes with QGIS, for its own Python"


def test_every_dependency_has_one_lower_bound() -> None:
    """A lowest version, which can be installed and tested, and no highest one."""
    loose = [str(r) for _, r in ALL if [s.operator for s in r.specifier] != [">="]]
    assert loose == []


def test_no_list_has_a_dependency_twice() -> None:
    for name, texts in LISTS.items():
        known = [canonicalize_name(Requirement(text).name) for text in texts]
        assert sorted(set(known)) == sorted(known), name


def test_a_dependency_has_the_same_bound_in_every_list() -> None:
    bounds: dict[str, set[str]] = {}
    for _, r in ALL:
        bounds.setdefault(canonicalize_name(r.name), set()).add(str(r.specifier))
    assert {name: sorted(found) for name, found in bounds.items() if len(found) > 1} == {}


def test_extras_are_tested() -> None:
    assert names(*set(LISTS) - {"dev", "dependencies", "mutants"}) <= names("dev")


def test_every_package_is_pinned_once_to_one_version() -> None:
    found = [canonicalize_name(pin.name) for pin in pins()]
    assert sorted(set(found)) == sorted(found)
    assert [str(pin) for pin in pins() if [s.operator for s in pin.specifier] != ["=="]] == []


@pytest.mark.parametrize("requirement", dict.fromkeys(str(r) for _, r in ALL))
def test_every_dependency_is_pinned_within_its_bound(requirement: str) -> None:
    asked = Requirement(requirement)
    (pin,) = [p for p in pins() if canonicalize_name(p.name) == canonicalize_name(asked.name)]
    (version,) = [s.version for s in pin.specifier]
    assert asked.specifier.contains(version, prereleases=True), f"{pin} is not {asked}"


def test_classifiers_begin_with_the_lowest_python() -> None:
    """They name every tested version, from the lowest that the package takes on."""
    words = "Programming Language :: Python :: "
    tested = [Version(c.removeprefix(words)) for c in PROJECT["classifiers"] if c.startswith(words)]
    assert tested == sorted(set(tested))
    assert str(SpecifierSet(PROJECT["requires-python"])) == f">={tested[0]}"
    assert [v.minor for v in tested] == list(range(tested[0].minor, tested[-1].minor + 1))


def test_the_core_that_the_makefile_runs_exists() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8").replace("\\\n", " ")
    (core,) = re.findall(r"^CORE := (.*)$", text, flags=re.MULTILINE)
    assert len(core.split()) > 5
    assert [name for name in core.split() if not (ROOT / name).exists()] == []
