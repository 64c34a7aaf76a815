"""Places: which files make a scene, from names, pairs, templates and tables."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from string import Formatter

from bandfuse.errors import ConfigError, nearest, shorten

MAIN = "scene"
"""The name of the source that a positional SCENE is."""


@dataclass(frozen=True)
class Place:
    """The file names of one scene: its key, its sources by name, and a target or labels; and which
    pixels count."""

    key: str
    sources: tuple[tuple[str, str], ...]
    target: str | None = None
    labels: str | None = None
    mask: str | None = None
    bounds: tuple[float, float, float, float] | None = None
    window: tuple[int, int, int, int] | None = None


PAIRS = {
    "--group": "NAME=SPEC, such as blue=450-520nm",
    "--source": "NAME=PATH, such as nir=nir.tif",
    "--co": "KEY=VALUE, such as COMPRESS=ZSTD",
}
"""What is expected of flags that take pairs."""


def pair_of(text: str, flag: str) -> tuple[str, str]:
    """NAME and VALUE of ``NAME=VALUE``."""
    name, equals, value = text.partition("=")
    if not (equals and name.strip() and value.strip()):
        groups = (
            f"Groups without names are given with --groups {text}." if flag == "--group" else ""
        )
        raise ConfigError(
            f"{flag} cannot be read",
            got=repr(text),
            expected=PAIRS.get(flag, "NAME=VALUE"),
            remedy=groups,
        )
    return name.strip(), value.strip()


def fill_template(
    text: str, first: str, flag: str, more: Mapping[str, str] | None = None, folder: str | Path = ""
) -> str:
    """Fill ``{parent}``, ``{stem}``, ``{name}`` and ``{suffix}`` of a scene's first file into a
    template, and further words that are known of it. Braces of what is there by that name, from
    ``folder``, are not a template."""
    path = Path(first)
    there = _there(text, folder)
    text = there.replace("{", "{{").replace("}", "}}") + text[len(there) :]
    fields = {
        "parent": str(path.parent),
        "stem": path.stem,
        "name": path.name,
        "suffix": path.suffix,
    }
    fields |= more or {}
    try:
        parts = list(Formatter().parse(text))
    except ValueError:
        parts = [("", text, "", None)]
    if any(
        name is not None and (name not in fields or form or turn) for _, name, form, turn in parts
    ):
        raise ConfigError(
            f"{flag} template cannot be filled",
            got=repr(text),
            expected=" ".join(f"{{{name}}}" for name in fields),
            remedy="A brace of a name is written twice: {{ or }}.",
        )
    return text.format(**fields)


def _there(text: str, folder: str | Path = "") -> str:
    """The longest leading part of a path with braces that is a file or a folder by that name; empty
    for none."""
    ends = [len(text), *(i for i in reversed(range(len(text))) if text[i] in ("/", os.sep))]
    return next(
        (
            text[:i]
            for i in ends
            if "{" in text[:i] and os.path.exists(os.path.join(folder, text[:i]))
        ),
        "",
    )


def _is_template(text: str) -> bool:
    return "{" in text and _there(text) != text


def _spread(given: Sequence[str], firsts: Sequence[str], flag: str) -> list[str]:
    """One file per scene, from a template or from a list in scene order."""
    if len(given) == 1 and len(firsts) > 1 and not _is_template(given[0]):
        raise ConfigError(
            f"one {flag} for {len(firsts)} scenes",
            got=repr(given[0]),
            expected=f"a template such as {{parent}}/{{stem}}_t.tif, or {len(firsts)} files in "
            "scene order",
        )
    if len(given) == 1 and "{" in given[0]:
        return [fill_template(given[0], first, flag) for first in firsts]
    if len(given) != len(firsts):
        raise ConfigError(
            f"{flag} does not fit the scenes", got=f"{len(given)} files", expected=f"{len(firsts)}"
        )
    return list(given)


def places(
    scenes: Sequence[str],
    sources: Sequence[str],
    targets: Sequence[str],
    labels: Sequence[str] = (),
) -> list[Place]:
    """Arrange what the command line gives into scenes.

    Parameters
    ----------
    scenes : positional files, each a scene.
    sources : ``NAME=PATH``: repeated in scene order, or a template; they alone make the scenes if
        no file is given.
    targets, labels : a template, or one file per scene; empty for none.
    """
    named: dict[str, list[str]] = {}
    for text in sources:
        name, path = pair_of(text, "--source")
        named.setdefault(name, []).append(path)
    if scenes and MAIN in named:
        raise ConfigError(
            f"source name {MAIN!r} is taken by the positional scene", remedy="Choose another name."
        )
    if not scenes and not named:
        raise ConfigError("no scene is given", expected="SCENE files, or --source NAME=PATH")
    firsts = list(scenes) if scenes else next(iter(named.values()))
    spread = {MAIN: list(scenes)} if scenes else {}
    spread |= {name: _spread(paths, firsts, f"--source {name}=") for name, paths in named.items()}
    nothing: list[str | None] = [None] * len(firsts)
    goals = [*_spread(targets, firsts, "--target")] if targets else nothing
    classes = [*_spread(labels, firsts, "--labels")] if labels else nothing
    keys = _keys(firsts)
    return [
        Place(
            keys[i], tuple((name, paths[i]) for name, paths in spread.items()), goals[i], classes[i]
        )
        for i in range(len(firsts))
    ]


def limited(
    places: Sequence[Place],
    masks: Sequence[str],
    bounds: tuple[float, float, float, float] | None,
    window: tuple[int, int, int, int] | None,
) -> list[Place]:
    """The same places, with what limits the pixels that count.

    Parameters
    ----------
    masks : a template, one file per scene, one file for all, or none.
    bounds : least x and y, greatest x and y in the scene's CRS.
    window : first row and column from 0, number of rows and columns.
    """
    firsts = [place.sources[0][1] for place in places]
    if len(masks) == 1 and not _is_template(masks[0]):
        masks = [*masks] * len(firsts)
    spread: list[str | None] = (
        [*_spread(masks, firsts, "--mask")] if masks else [None] * len(firsts)
    )
    return [
        replace(place, mask=mask, bounds=bounds, window=window)
        for place, mask in zip(places, spread, strict=True)
    ]


def names_of(firsts: Sequence[str]) -> list[str]:
    """The stem of each scene's first file; with the folder's name before it where stems repeat."""
    count = Counter(map(short_key, firsts))
    return [short_key(f) if count[short_key(f)] == 1 else long_key(f) for f in firsts]


def _keys(firsts: Sequence[str]) -> list[str]:
    """The names of scenes, all different.

    Raises
    ------
    ConfigError : two scenes are the same file, or still share their key.
    """
    keys = names_of(firsts)
    count = Counter(keys)
    twice = [f for f, k in zip(firsts, keys, strict=True) if count[k] > 1]
    if twice:
        raise ConfigError(
            "scenes cannot be told apart by name", got=shorten(twice), remedy="Rename one of them."
        )
    return keys


def short_key(path: str) -> str:
    """A scene's key from its file name."""
    return Path(path).stem or Path(path).name


def long_key(path: str) -> str:
    """The same with the folder's name before it, where short keys repeat."""
    return f"{Path(path).resolve().parent.name}_{short_key(path)}"


def wavelength_files(given: Sequence[str], place: Place) -> dict[str, str]:
    """The files with wavelengths, by source: ``NAME=FILE``, or one FILE for the only source; or
    templates.

    Raises
    ------
    ConfigError : a source that there is not, or a file for several sources.
    """
    names, first = [name for name, _ in place.sources], place.sources[0][1]
    found: dict[str, str] = {}
    for text in given:
        name, equals, file = text.partition("=")
        if not (equals and name.strip() in names):
            if len(names) > 1:
                raise ConfigError(
                    "--wavelengths does not name a source",
                    got=repr(text),
                    expected="NAME=FILE",
                    remedy=nearest(name.strip(), names),
                )
            name, file = names[0], text
        if name.strip() in found:
            raise ConfigError(
                f"two --wavelengths for source {name.strip()!r}",
                got=shorten(given),
                expected="one file",
            )
        file = file.strip()
        found[name.strip()] = fill_template(file, first, "--wavelengths") if "{" in file else file
    return found
