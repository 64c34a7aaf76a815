"""Paths: settings that name files, made relative to the file that holds them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bandfuse.config.base import one_or_list, one_or_many
from bandfuse.files.making import names_folder
from bandfuse.spectral.sensors import is_file

PATHS = ("scenes", "moments", "images", "source", "wavelengths", "target", "labels", "mask")
"""Settings that are lists of paths."""


def named_file(groups: str) -> str:
    """The file that ``file:groups.yaml`` or ``sensor:mine.csv`` names; empty where none is
    named."""
    word, _, path = groups.partition(":")
    return path if word == "file" or (word == "sensor" and is_file(path)) else ""


def rebased(given: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Settings whose relative paths are relative to a folder, made absolute."""
    result = dict(given)
    for key in PATHS:
        value = (one_or_many if key in ("source", "wavelengths") else one_or_list)(result.get(key))
        if isinstance(value, list):
            pairs = key == "source" or (
                key == "wavelengths" and any("=" in str(text) for text in value)
            )
            result[key] = [_rebase(str(text), folder, named=pairs) for text in value]
    groups = result.get("groups")
    if isinstance(groups, str) and (path := named_file(groups)):
        result["groups"] = f"{groups.partition(':')[0]}:{_rebase(path, folder)}"
    if isinstance(result.get("sensor"), str) and (path := named_file(f"sensor:{result['sensor']}")):
        result["sensor"] = _rebase(path, folder)
    files = [
        "output",
        "checkpoint",
        "uncertainty",
        "cube",
        *(["weights"] if "images" in given else []),
    ]
    for key in files:
        if isinstance(text := result.get(key), str):
            path = _rebase(text, folder)
            result[key] = os.path.join(path, "") if names_folder(text) else path
    return result


def _rebase(text: str, folder: Path, *, named: bool = False) -> str:
    """One path, or ``NAME=PATH``; templates, GDAL's virtual files, subdatasets and URLs stay as
    they are."""
    name, equals, path = text.partition("=") if named else ("", "", text)
    if named and not equals:
        return text
    # A part of a file is FILE:PART.
    there = any(os.path.exists(folder / p) for p in (path, path.rpartition(":")[0]) if p)
    virtual = (path.startswith("{") and not there) or path.startswith("/vsi") or "://" in path
    subdataset = ":" in path and not there and not Path(path).drive
    return text if virtual or subdataset else f"{name}{equals}{(folder / path).absolute()}"
