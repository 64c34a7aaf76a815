"""The licence, the version and what a wheel holds: the files that say them say the same."""

from __future__ import annotations

import fnmatch
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import bandfuse

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def citation() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))


def test_every_file_names_one_licence(pyproject: dict[str, Any], citation: dict[str, Any]) -> None:
    project = pyproject["project"]
    assert (project["license"], project["license-files"]) == ("MIT", ["LICENSE"])
    assert citation["license"] == project["license"]
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert text.startswith("MIT License\n\nCopyright (c) 2026 bandfuse contributors\n")
    assert "Permission is hereby granted, free of charge" in text
    assert 'THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND' in text


def test_every_file_names_one_version(pyproject: dict[str, Any], citation: dict[str, Any]) -> None:
    assert pyproject["project"]["dynamic"] == ["version"]
    assert pyproject["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "bandfuse.__version__"}
    assert citation["version"] == bandfuse.__version__


def test_the_citation_has_what_the_format_asks_for(citation: dict[str, Any]) -> None:
    """Citation File Format 1.2.0: the four keys that must be there, and no others than it knows."""
    assert citation["cff-version"] == "1.2.0"
    assert citation["authors"] == [{"name": "bandfuse contributors"}]
    assert citation["title"] == "bandfuse"
    assert citation["message"]
    assert set(citation) <= {
        "cff-version",
        "message",
        "type",
        "title",
        "abstract",
        "authors",
        "version",
        "license",
    }


def test_the_changelog_has_a_place_for_what_is_not_released() -> None:
    lines = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").splitlines()
    sections = [line for line in lines if line.startswith("## ")]
    assert lines[0] == "# Changelog"
    assert sections[0] == "## [Unreleased]"
    kinds = {line.removeprefix("### ") for line in lines if line.startswith("### ")}
    assert kinds
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert all(
        re.fullmatch(r"## \[(Unreleased|\d+\.\d+\.\d+)\]( - \d{4}-\d\d-\d\d)?", line)
        for line in sections
    )


def test_a_wheel_holds_every_file_that_is_read(pyproject: dict[str, Any]) -> None:
    """Whatever lies in the package beside its modules is named as package data."""
    data = pyproject["tool"]["setuptools"]["package-data"]
    package = Path(bandfuse.__file__).parent
    others = [p for p in package.rglob("*") if p.is_file() and p.suffix not in (".py", ".pyc")]
    assert others
    for path in others:
        room = ".".join(path.parent.relative_to(package.parent).parts)
        assert any(fnmatch.fnmatchcase(path.name, pattern) for pattern in data.get(room, ())), path
