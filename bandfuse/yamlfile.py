"""YAML file: settings as text. YAML's safe types only, no key twice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from bandfuse.errors import ConfigError, InputError

At = tuple[str | int, ...]
"""The way to a value: keys of mappings and numbers of items."""


class _StrictLoader(yaml.SafeLoader):
    """YAML's safe types; a key that is there twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A mapping whose keys are all different."""
        keys = [self.construct_object(k, deep=True) for k, _ in node.value if k.tag != "tag:yaml.org,2002:merge"]
        twice = next((k for i, k in enumerate(keys) if k in keys[:i]), None)
        if twice is not None:
            raise yaml.constructor.ConstructorError(
                None, None, f"key {twice!r} is there twice", node.start_mark
            )  # fmt: skip
        return super().construct_mapping(node, deep)


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises
    ------
    InputError : missing, not YAML, or not a mapping.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise InputError(f"{path} cannot be read", got=reason or "", expected="a YAML file") from error
    try:
        content = yaml.load(text, _StrictLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{path} is not YAML", got=" ".join(str(error).split())) from error
    if not isinstance(content, dict):
        raise InputError(
            f"{path} holds no settings", got=type(content).__name__, expected="a mapping of keys to values"
        )
    return {str(k): v for k, v in content.items()}


class Lines:
    """Where the keys and items of a YAML file stand: lines by the way to them."""

    def __init__(self, path: str, lines: Mapping[At, int]) -> None:
        self._path, self._lines = path, lines

    def place(self, at: At) -> str:
        """File and line of a value, or of what holds it if it has none of its own."""
        known = next((self._lines[at[:n]] for n in range(len(at), -1, -1) if at[:n] in self._lines), None)
        return self._path if known is None else f"{self._path}, line {known}"


def read_located(path: str | Path) -> tuple[dict[str, Any], Lines]:
    """The mapping in a YAML file, and where its keys stand.

    Raises
    ------
    InputError : missing, not YAML, or not a mapping.
    """
    content = read_yaml(path)
    root = yaml.compose(Path(path).read_text(encoding="utf-8"), yaml.SafeLoader)
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
            result[key.strip().replace("-", "_")] = yaml.safe_load(value)
        except (yaml.YAMLError, ValueError) as error:
            raise ConfigError(
                "--set cannot be read", got=repr(item), expected="key=value, the value in YAML"
            ) from error
    return result


def dump_yaml(values: Mapping[str, Any]) -> str:
    """The settings as YAML, in their order, without empty lists."""
    text: str = yaml.safe_dump({k: v for k, v in values.items() if v != []}, sort_keys=False, allow_unicode=True)
    return text
