"""YAML file: settings as text. YAML's safe types only, no key twice."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from bandfuse.errors import ConfigError, InputError
from bandfuse.files.textfile import SETTINGS, text_of

At = tuple[str | int, ...]
"""The way to a value: keys of mappings and numbers of items."""


MOST_VALUES = 1_000_000
"""Values that a file may hold once its aliases are filled in: a list of 500 000 scenes is less."""

DEEPEST = 100
"""Levels of lists and mappings. Settings need four."""

KINDS = {
    f"tag:yaml.org,2002:{kind}"
    for kind in ("map", "seq", "str", "int", "float", "bool", "null", "merge")
}
"""What settings are made of: no dates, bytes, sets or objects."""


class _StrictLoader(yaml.SafeLoader):
    """What settings are made of; dates are texts. A key that appears twice is an error."""

    yaml_implicit_resolvers = {  # noqa: RUF012 (as its base class has it)
        first: [pair for pair in pairs if pair[0] in KINDS]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A mapping whose keys are all different."""
        seen = set()
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                continue
            name = self.construct_object(key, deep=True)
            if not isinstance(name, Hashable):
                raise yaml.constructor.ConstructorError(
                    None, None, "a key that is not text", key.start_mark
                )
            if name in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {name!r} appears twice", node.start_mark
                )
            seen.add(name)
        return super().construct_mapping(node, deep)


def _read(text: str) -> tuple[Any, yaml.Node | None]:
    """The value of a YAML text, and the nodes it is made of.

    Raises
    ------
    ValueError : what is wrong, in one line.
    """
    try:
        loader = _StrictLoader(text)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())[:LONGEST]) from error
    try:
        node = loader.get_single_node()
        if node is None:
            return None, None
        _require_small(node)
        return loader.construct_document(node), node
    except RecursionError as error:
        raise ValueError(f"more than {DEEPEST} levels") from error
    except (
        yaml.YAMLError,
        ValueError,
        TypeError,
        AttributeError,
        LookupError,
        OverflowError,
    ) as error:
        raise ValueError(" ".join(str(error).split())[:LONGEST]) from error
    finally:
        loader.dispose()


LONGEST = 300
"""Characters that are shown of what is wrong."""


def _require_small(root: yaml.Node) -> None:
    """Refuse values that grow without end or measure once aliases are filled in, and kinds that
    settings have not."""
    sizes: dict[int, int] = {}

    def size(node: yaml.Node, depth: int) -> int:
        if node.tag not in KINDS:
            raise ValueError(
                f"{node.tag} in line {node.start_mark.line + 1}; expected texts, numbers, lists, "
                "mappings"
            )
        if id(node) in sizes:
            if not sizes[id(node)]:
                raise ValueError(
                    f"an alias to what it is a part of, in line {node.start_mark.line + 1}"
                )
            return sizes[id(node)]
        if depth > DEEPEST:
            raise ValueError(f"more than {DEEPEST} levels")
        sizes[id(node)] = 0
        items = [] if isinstance(node, yaml.ScalarNode) else node.value
        inner = [part for item in items for part in (item if isinstance(item, tuple) else (item,))]
        sizes[id(node)] = found = 1 + sum(size(part, depth + 1) for part in inner)
        if found > MOST_VALUES:
            raise ValueError(f"more than {MOST_VALUES} values, with its aliases filled in")
        return found

    size(root, 0)


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises
    ------
    InputError : missing, not YAML, or not a mapping.
    """
    return _of_file(path)[0]


def _of_file(path: str | Path) -> tuple[dict[str, Any], yaml.Node | None]:
    text = text_of(path, "a YAML file", SETTINGS)
    try:
        content, node = _read(text)
    except ValueError as error:
        raise InputError(f"{path} is not YAML", got=str(error)) from error
    if not isinstance(content, dict):
        raise InputError(
            f"{path} holds no settings",
            got=type(content).__name__,
            expected="a mapping of keys to values",
        )
    return {str(k): v for k, v in content.items()}, node


class Lines:
    """Where the keys and items of a YAML file stand: lines by the way to them."""

    def __init__(self, path: str, lines: Mapping[At, int]) -> None:
        self._path, self._lines = path, lines

    def place(self, at: At) -> str:
        """File and line of a value, or of what holds it if it has none of its own."""
        known = next(
            (self._lines[at[:n]] for n in range(len(at), -1, -1) if at[:n] in self._lines), None
        )
        return self._path if known is None else f"{self._path}, line {known}"


def read_located(path: str | Path) -> tuple[dict[str, Any], Lines]:
    """The mapping in a YAML file, and where its keys stand.

    Raises
    ------
    InputError : missing, not YAML, or not a mapping.
    """
    content, root = _of_file(path)
    return content, Lines(str(path), dict(_walk(root, ())))


def _walk(node: yaml.Node | None, at: At) -> Iterator[tuple[At, int]]:
    """Ways and lines of all that is below a node."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*at, str(key.value))
            yield here, key.start_mark.line + 1
            yield from _walk(value, here)
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            yield (*at, number), value.start_mark.line + 1
            yield from _walk(value, (*at, number))


def parse_set(items: list[str]) -> dict[str, Any]:
    """Settings of ``--set key=value``; values are read as YAML.

    >>> parse_set(["seed=3", "gain=true"])
    {'seed': 3, 'gain': True}
    """
    result = {}
    for item in items:
        key, equals, value = item.partition("=")
        if not equals:
            raise ConfigError("--set cannot be read", got=repr(item), expected="key=value")
        try:
            result[key.strip().replace("-", "_")] = _read(value)[0]
        except ValueError as error:
            shown = repr(item if len(item) <= LONGEST else f"{item[:LONGEST]}…")
            raise ConfigError(
                "--set cannot be read", got=shown, expected="key=value, the value in YAML"
            ) from error
    return result


def dump_yaml(values: Mapping[str, Any]) -> str:
    """The settings as YAML, in their order, without empty lists."""
    text: str = yaml.safe_dump(
        {k: v for k, v in values.items() if v != []}, sort_keys=False, allow_unicode=True
    )
    return text
