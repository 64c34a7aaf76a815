"""From a settings model to command line options: each field is one flag, its help and its
default."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from pydantic.fields import FieldInfo

from bandfuse.config.base import Config, M, build
from bandfuse.config.paths import rebased

ARGUMENTS = {"scenes"}
"""Fields that are positional on the command line."""

SHORT = {"output": "-o"}
"""One-letter names."""

PARTS = {
    "bounds": "MINX MINY MAXX MAXY",
    "window": "ROW COL ROWS COLS",
    "co": "KEY=VALUE",
    "source": "NAME=PATH",
    "group": "NAME=SPEC",
    "groups": "SPEC",
    "fixed": "NAME",
    "target": "FILE",
    "labels": "FILE",
    "mask": "FILE",
    "output": "PATH",
    "sensor": "NAME",
    "driver": "NAME",
    "nodata": "V[,V...]",
    "scene": "FILE",
    "pan": "FILE",
}
"""What a flag takes, where its type does not tell; and what the numbers are of one that takes
several."""


def _plain_type(field: FieldInfo) -> Any:
    """The type that typer is given: a choice, bool, int, float, text, a tuple, or a list of
    texts."""
    kind = field.annotation
    options = [a for a in get_args(kind) if a is not type(None)]
    if get_origin(kind) in (Union, types.UnionType):
        kind = options[0] if len(options) == 1 else str
    if get_origin(kind) is list:
        return list[str]
    return kind if get_origin(kind) in (Literal, tuple) or kind in (bool, int, float, str) else str


def _default_text(field: FieldInfo) -> str | bool:
    """The default as the help shows it."""
    value = None if field.is_required() else field.get_default(call_default_factory=True)
    return str(value) if value not in (None, [], False) else False


def _parameter(name: str, field: FieldInfo) -> inspect.Parameter:
    """A keyword of the command's function; None means that the flag was not given."""
    kind = _plain_type(field)
    shown = _default_text(field)
    if name in ARGUMENTS:
        spec: Any = typer.Argument(help=field.description, show_default=False, metavar="SCENE")
    else:
        flag = f"--{name.replace('_', '-')}"
        flags = [flag, *([SHORT[name]] if name in SHORT else [])]
        spec = typer.Option(
            *flags, help=field.description, show_default=shown, metavar=PARTS.get(name)
        )
    return keyword(name, Annotated[kind | None, spec])


def keyword(name: str, annotation: Any, *, default: Any = None) -> inspect.Parameter:
    """A parameter of a command's function."""
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, default=default, annotation=annotation)


def taking(
    function: Callable[..., None], parameters: Sequence[inspect.Parameter]
) -> Callable[..., None]:
    """The function, with the parameters that typer is to see."""
    by_keyword = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in parameters]
    function.__signature__ = inspect.Signature(by_keyword)  # type: ignore[attr-defined]
    function.__annotations__ = {p.name: p.annotation for p in parameters}
    return function


def flags_of(model: type[Config]) -> list[inspect.Parameter]:
    """One flag per field of a settings model."""
    return [_parameter(name, field) for name, field in model.model_fields.items()]


def read_settings(
    model: type[M], flags: dict[str, Any], config: str | None, sets: list[str] | None
) -> M:
    """The settings of a command: flags before ``--set``, before the file, before defaults.

    ``flags``: by field name; None or an empty list where a flag was not given. Paths in the file
    are relative to it.
    """
    from_flags = {name: value for name, value in flags.items() if value not in (None, [])}
    from_file, from_sets = {}, {}
    if config or sets:
        from bandfuse.files.yamlfile import parse_set, read_yaml

        from_file = rebased(read_yaml(config), Path(config).parent) if config else {}
        from_sets = parse_set(sets or [])
    where = {**dict.fromkeys(from_file, config or ""), **dict.fromkeys(from_sets, "--set")}
    return build(model, {**from_file, **from_sets, **from_flags}, where, from_flags.keys())
