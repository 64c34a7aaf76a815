"""Scenes: from the rules of a batch file to the files of each scene."""

from __future__ import annotations

import csv
import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from glob import glob, has_magic
from pathlib import Path
from typing import Any

from bandfuse.batches.settings import SceneRule
from bandfuse.errors import ConfigError, InputError, shorten
from bandfuse.files.names import linked
from bandfuse.files.textfile import TABLE, text_of, unguarded
from bandfuse.files.yamlfile import Lines
from bandfuse.raster import is_product
from bandfuse.scenes.places import fill_template, names_of

PARTS = ("target", "labels", "mask", "truth")
"""What a scene may have beside its sources."""


@dataclass(frozen=True)
class Member:
    """One scene of a batch: its key, its file, what belongs to it by role, further sources,
    settings of its own."""

    key: str
    path: str
    parts: Mapping[str, str] = field(default_factory=dict)
    source: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def files(self) -> tuple[str, ...]:
        """Every file that is named."""
        return (self.path, *self.source.values(), *self.parts.values())


def members(
    rules: Sequence[SceneRule], folder: Path, lines: Lines, written: Sequence[Path] = ()
) -> list[Member]:
    """The scenes of all rules, in order; the first rule that finds a file has it. What lies at or
    below ``written`` is found only by its name.

    Raises
    ------
    ConfigError : a rule finds nothing, or a name does not match; two scenes would share a name.
    """
    found: dict[str, Member] = {}
    for number, rule in enumerate(rules):
        place = lines.place(("scenes", number))
        some = list(_of_rule(rule, folder, place, written))
        _require_any(rule, some, place)
        if not some:
            raise ConfigError(
                f"{place}: no scene is found",
                got=_asked(rule),
                expected="at least one file outside the output",
            )
        for member in some:
            found.setdefault(str(Path(member.path).absolute()), member)
    return _named(list(found.values()))


def _require_any(rule: SceneRule, some: Sequence[Member], place: str) -> None:
    """Of what a template names, at least one scene has a file; others may fail on their own."""
    for role in PARTS:
        text, paths = (
            getattr(rule, role),
            [member.parts[role] for member in some if role in member.parts],
        )
        seen = [p for p in paths if os.path.exists(p) or p.startswith("/vsi") or "://" in p]
        if text is not None and paths and not seen:
            raise ConfigError(
                f"{place}: no scene has a {role}",
                got=f"{text}, such as {paths[0]}",
                expected="files that exist",
            )


def _asked(rule: SceneRule) -> str:
    given = rule.model_dump(
        include={"glob", "folder", "files", "table", "items"}, exclude_defaults=True
    )
    return (
        ", ".join(f"{key}: {value}" for key, value in given.items())
        or "no glob, folder, files, table or items"
    )


def _of_rule(
    rule: SceneRule, folder: Path, place: str, written: Sequence[Path]
) -> Iterator[Member]:
    """The scenes that one rule finds."""
    if rule.items is None and rule.asset != SceneRule.model_fields["asset"].default:
        raise ConfigError(
            f"{place}: asset does not apply without items",
            got=f"asset: {rule.asset}",
            expected="items: FILE",
            remedy="Leave asset out.",
        )
    for path, parts in _rows(rule, folder, place, written):
        name = Path(path).name
        if any(fnmatchcase(name, pattern) for pattern in rule.exclude):
            continue
        _require_text(path, place)
        words = _words(rule, name, place)
        given = {role: text for role in PARTS if (text := getattr(rule, role)) is not None}
        given |= {f"source {n}": text for n, text in rule.source.items()}
        made = {
            what: _path(fill_template(text, path, what, words, folder), folder)
            for what, text in given.items()
        }
        filled = {role: made[role] for role in PARTS if role in made}
        extra = {n: made[f"source {n}"] for n in rule.source}
        yield Member("", path, {**filled, **parts}, extra, rule.settings)


def _require_text(path: str, place: str) -> None:
    """Refuse a name that no file of results could hold."""
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"{place}: the name {path!r} is not UTF-8",
            remedy="Rename it, or leave it out with exclude.",
        ) from error


def _words(rule: SceneRule, name: str, place: str) -> dict[str, str]:
    """The named groups of the rule's expression."""
    if rule.match is None:
        return {}
    try:
        found = re.search(rule.match, name)
    except re.error as error:
        raise ConfigError(
            f"{place}: match is not a regular expression", got=f"{rule.match!r}: {error}"
        ) from error
    if found is None:
        raise ConfigError(
            f"{place}: the name {name!r} does not match",
            expected=rule.match,
            remedy="Leave it out with exclude.",
        )
    return {key: value or "" for key, value in found.groupdict().items()}


Row = tuple[str, dict[str, str]]
"""A scene's path, and what belongs to it as the list says."""


def _rows(rule: SceneRule, folder: Path, place: str, written: Sequence[Path]) -> Iterator[Row]:
    found: list[Path] = []
    if rule.glob is not None:
        paths = (folder / text for text in sorted(glob(rule.glob, root_dir=folder, recursive=True)))
        found += [p for p in paths if _is_scene(p)]
    if rule.folder is not None:
        found += _listed(Path(_path(rule.folder, folder)), place)
    yield from ((str(p), {}) for p in found if not _is_below(p, written))
    yield from ((_file(p, folder, place), {}) for p in rule.files)
    if rule.table is not None:
        yield from _of_table(Path(_path(rule.table, folder)))
    if rule.items is not None:
        yield from _of_items(Path(_path(rule.items, folder)), rule.asset)


def _file(text: str, folder: Path, place: str) -> str:
    """A path that is given by its name.

    Raises
    ------
    ConfigError : it is a pattern, which names no one file.
    """
    path = _path(text, folder)
    if has_magic(text) and not _is_own(text) and not os.path.exists(path):
        raise ConfigError(
            f"{place}: files are names, and {text!r} is a pattern",
            expected="a file for each scene",
            remedy=f"Give the pattern as glob: {text!r}.",
        )
    return path


def _is_below(path: Path, places: Sequence[Path]) -> bool:
    """Whether a file is one of these resolved places, or in one."""
    there = path.parent.resolve() / path.name
    return any(there.is_relative_to(place) for place in places)


def _path(text: str, folder: Path) -> str:
    """A path relative to a folder; GDAL's virtual files, subdatasets (``ZARR:"a.zarr":/b``) and
    URLs stay as they are."""
    return text if _is_own(text) else str(folder / text)


def _is_own(text: str) -> bool:
    named = re.match(r'[A-Za-z][A-Za-z0-9_]+:"', text) is not None
    return named or text.startswith("/vsi") or "://" in text


def _is_scene(path: Path) -> bool:
    """A file, or the folder of a product."""
    return path.is_file() or (path.is_dir() and is_product(str(path)))


def _listed(folder: Path, place: str) -> list[Path]:
    """The files of a folder that are no sidecars, and the folders of products in it."""
    if not folder.is_dir():
        raise ConfigError(f"{place}: {folder} is not a folder")
    sidecars = {".hdr", ".xml", ".ovr", ".msk", ".json", ".csv", ".txt"}
    shown = (p for p in folder.iterdir() if p.suffix not in sidecars and p.name[0] != ".")
    return sorted(filter(_is_scene, shown))


def _text_of(path: Path) -> str:
    return text_of(path, "a list of scenes", TABLE)


def _of_table(path: Path) -> Iterator[Row]:
    """Rows of a CSV file with a header."""
    rows = enumerate(_records(path), 1)
    columns = next(rows, (0, []))[1]
    if "scene" not in columns:
        raise InputError(f"{path} has no column scene", got=shorten(columns or ["nothing"]))
    for number, cells in rows:
        if not cells:
            continue
        row = dict(zip(columns, cells, strict=False))
        if len(cells) < len(columns) or any(cells[len(columns) :]) or not row["scene"].strip():
            raise InputError(
                f"{path}, line {number}: a row that does not fit",
                got=",".join(cells),
                expected=f"{','.join(columns)}, with a scene",
            )
        parts = {role: _path(row[role], path.parent) for role in PARTS if row.get(role)}
        yield _path(row["scene"], path.parent), parts


def _records(path: Path) -> Iterator[list[str]]:
    """The cells of each line of a CSV file."""
    try:
        for row in csv.reader(_text_of(path).splitlines()):
            yield [unguarded(cell) for cell in row]
    except csv.Error as error:
        raise InputError(
            f"{path} is not a table", got=str(error), expected="CSV, a scene a line"
        ) from error


def _of_items(path: Path, asset: str) -> Iterator[Row]:
    """Features of GeoJSON or STAC: properties name files, or assets do."""
    try:
        content = json.loads(_text_of(path))
        features = content.get("features", [content])
        for feature in features:
            assets = feature.get("assets") or {}
            hrefs = {name: linked(one["href"], path.parent) for name, one in assets.items()}
            named = {**(feature.get("properties") or {}), **hrefs}
            scene = hrefs.get(asset, named.get("scene"))
            if not scene:
                raise InputError(
                    f"a feature of {path} names no scene",
                    got=shorten(named) or "nothing",
                    expected=f"an asset {asset!r} or a property scene",
                )
            yield (
                _path(scene, path.parent),
                {r: _path(named[r], path.parent) for r in PARTS if r in named},
            )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{path} is not a GeoJSON or STAC collection of items", got=str(error)[:80]
        ) from error


def _named(found: list[Member]) -> list[Member]:
    """With the keys that a training of them gives them."""
    keys = names_of([m.path for m in found])
    count = Counter(keys)
    twice = [m.path for m, key in zip(found, keys, strict=True) if count[key] > 1]
    if twice:
        raise ConfigError(
            "two scenes would have the same output",
            got=shorten(twice),
            remedy="Rename one of them.",
        )
    return [replace(m, key=key) for m, key in zip(found, keys, strict=True)]
