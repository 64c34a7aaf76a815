"""Flags: what the command line says of a setting: its names, what it takes, its default and its
help."""

from __future__ import annotations

import types
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

ARGUMENTS = {"scenes": "SCENE", "images": "CUBE SHARP..."}
"""Fields that are positional on the command line, and what stands in their place."""

ALIASES = {
    "output": ("-o",),
    "threads": ("-j", "--jobs"),
    "driver": ("-of", "--format"),
    "dtype": ("-ot",),
}
"""Other names of flags."""

RENAMED = {"registration": "--register"}
"""Flags that a field cannot have the name of, as Python's models have a method of that name."""

TAKES = {
    "bounds": "MINX MINY MAXX MAXY",
    "window": "ROW COL ROWS COLS",
    "co": "KEY=VALUE",
    "source": "NAME=PATH",
    "group": "NAME=SPEC",
    "groups": "SPEC",
    "fixed": "NAME",
    "target": "FILE",
    "labels": "FILE",
    "label_field": "NAME",
    "layer": "NAME",
    "mask": "FILE",
    "wavelengths": "FILE",
    "checkpoint": "FILE",
    "output": "PATH",
    "figures": "FOLDER",
    "sensor": "NAME",
    "driver": "NAME",
    "nodata": "V[,V...]",
    "scene": "FILE",
    "pan": "FILE",
    "objective": "NAME",
    "scenes": "FILE",
    "images": "FILE",
    "shift": "DX,DY|auto",
    "quality": "WORD,...|auto|none",
}
"""What a flag takes, where its type does not tell; and what the numbers are of one that takes
several."""

NUMBERS = {int: "N", float: "X"}


@dataclass(frozen=True)
class Flag:
    """A setting on the command line.

    Parameters
    ----------
    names : the flag and its other names; for a positional argument what stands in its place.
    takes : ``FILE``, ``N``, ``NAME=SPEC`` or choices ``a|b|c``; empty for a switch.
    default : as text; empty where nothing is set, and the help says what happens then.
    help : what it does.
    """

    names: tuple[str, ...]
    takes: str
    default: str
    help: str

    @property
    def text(self) -> str:
        """The help, with the default."""
        return f"{self.help} Default: {self.default}." if self.default else self.help


def flag_of(name: str, field: FieldInfo) -> Flag:
    """What the command line says of a field of a settings model.

    >>> from bandfuse.config.train import TrainConfig
    >>> flag_of("fuse", TrainConfig.model_fields["fuse"]).takes
    'within|across'
    """
    plain = f"--{name.replace('_', '-')}"
    names = (RENAMED.get(name, plain), *ALIASES.get(name, ()))
    if name in ARGUMENTS:
        names = (ARGUMENTS[name],)
    value = None if field.is_required() else field.get_default(call_default_factory=True)
    default = (
        ""
        if value in (None, [], False)
        else f"{value:g}"
        if isinstance(value, float)
        else str(value)
    )
    takes = field.title or _takes(name, field.annotation)
    return Flag(names, takes, default, field.description or "")


def _takes(name: str, kind: Any) -> str:
    options = _options(kind)
    if options == [bool]:
        return ""
    if name in TAKES and bool not in options:
        return TAKES[name]
    words = [_word(option) for option in sorted(options, key=_is_choice)]
    return "|".join(words)


def _word(kind: Any) -> str:
    """What stands for a value of one type."""
    if _is_choice(kind):
        return "|".join(map(str, get_args(kind)))
    if get_origin(kind) is list:
        return _word(get_args(kind)[0])
    return NUMBERS.get(kind, "TEXT")


def _is_choice(kind: Any) -> bool:
    return bool(get_origin(kind) == Literal)


def _options(kind: Any) -> list[Any]:
    """The types that a value may have, without None."""
    if get_origin(kind) is Annotated:
        return _options(get_args(kind)[0])
    if get_origin(kind) in (Union, types.UnionType):
        return [o for part in get_args(kind) if part is not type(None) for o in _options(part)]
    return [kind]
