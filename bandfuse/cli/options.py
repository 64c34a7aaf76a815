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

from bandfuse.config.base import Config, M, build, sections_of
from bandfuse.config.flags import ARGUMENTS, flag_of
from bandfuse.config.paths import rebased


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


def _parameter(name: str, field: FieldInfo, section: str) -> inspect.Parameter:
    """A keyword of the command's function; None means that the flag was not given."""
    kind, flag = _plain_type(field), flag_of(name, field)
    if name in ARGUMENTS:
        spec: Any = typer.Argument(help=flag.text, show_default=False, metavar=flag.names[0])
    else:
        spec = typer.Option(
            *flag.names,
            help=flag.text,
            show_default=False,
            metavar=flag.takes or None,
            rich_help_panel=section,
            case_sensitive=name != "dtype",  # GDAL writes UInt16.
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
    """One flag per field of a settings model, under the heading of its section."""
    return [
        _parameter(name, model.model_fields[name], section)
        for section, names in sections_of(model).items()
        for name in names
    ]


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
